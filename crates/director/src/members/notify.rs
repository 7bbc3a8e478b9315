//! What a member is still to be told: the difference between who is there and who it knows.
//!
//! Nothing is queued. Whoever comes and goes while a member is away, or busy with something else,
//! shows as a difference when it is back, and what has been undone meanwhile as none.

use super::marks::Call;
use super::membership::{ConnectionsVersion, Membership, Told};
use crate::blueprint::{Events, Role};

/// Who is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// Members that stay and are set up.
    pub up: Membership,
    /// Members that are not to be forgotten: those that stay, set up or not, and those that leave and
    /// have not done what they have to do before.
    pub kept: Membership,
    /// The version of the connections.
    pub connections: ConnectionsVersion,
}

/// What a member is to be told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// It has no hook for some of it, and is taken to know that.
    Silently(Told),
    /// This.
    Call(Call),
}

/// What a member of a role is to be told next.
///
/// Who goes is told before who comes, and connections last; roles in alphabetical order.
pub fn next(role: &Role, told: &Told, roster: &Roster) -> Next {
    let differences = differences(told, roster);
    let silent = differences.iter().filter(|call| !hears(role, call));
    let after = silent.fold(told.clone(), |told, call| call.applied_to(&told));
    if after != *told {
        return Next::Silently(after);
    }
    let first = differences.into_iter().next();
    first.map_or(Next::Nothing, Next::Call)
}

/// All that a member does not know, in the order in which it is told.
pub fn differences(told: &Told, roster: &Roster) -> Vec<Call> {
    let mut calls = Vec::new();
    for (role, known) in told.members.roles() {
        let members = known.difference(&roster.kept.of(role)).copied().collect();
        calls.push(Call::DelNodes {
            role: role.to_owned(),
            members,
        });
    }
    for (role, up) in roster.up.roles() {
        let members = up.difference(&told.members.of(role)).copied().collect();
        calls.push(Call::AddNodes {
            role: role.to_owned(),
            members,
        });
    }
    calls.retain(|call| match call {
        Call::AddNodes { members, .. } | Call::DelNodes { members, .. } => !members.is_empty(),
        Call::Reconnect { .. } => true,
    });
    if told.connections != roster.connections {
        calls.push(Call::Reconnect {
            version: roster.connections.as_str().to_owned(),
        });
    }
    calls
}

/// Whether members of a role have a hook for it. Which events a role hears of says nothing about
/// connections: those all are told of.
fn hears(role: &Role, call: &Call) -> bool {
    let Events {
        add_nodes,
        del_nodes,
        ..
    } = role.events;
    role.package.is_some()
        && match call {
            Call::AddNodes { .. } => add_nodes,
            Call::DelNodes { .. } => del_nodes,
            Call::Reconnect { .. } => true,
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn roster(up: &str, kept: &str, connections: &str) -> Roster {
        Roster {
            up: up.parse().unwrap(),
            kept: kept.parse().unwrap(),
            connections: ConnectionsVersion::new(connections),
        }
    }

    fn shown(told: &str, roster: &Roster, events: [bool; 2]) -> String {
        let blueprint = samples::spark(1);
        let mut role = blueprint.role("worker").unwrap().clone();
        role.events.add_nodes = events[0];
        role.events.del_nodes = events[1];
        match next(&role, &told.parse().unwrap(), roster) {
            Next::Nothing => "nothing".to_owned(),
            Next::Silently(told) => format!("silently {told}"),
            Next::Call(call) => serde_json::to_string(&call).unwrap(),
        }
    }

    #[test]
    fn a_member_is_told_the_difference() {
        let all = [true, true];
        for (told, roster, events, expected) in [
            ("1 - w:0-1", roster("w:0-1", "w:0-1", "-"), all, "nothing"),
            // Who is not up yet is not spoken of, and who is known and down is not forgotten.
            ("1 - w:0-1", roster("w:0", "w:0-3", "-"), all, "nothing"),
            (
                "1 - w:0-1",
                roster("w:0-3", "w:0-3", "-"),
                all,
                r#"{"addnodes":{"role":"w","members":"2-3"}}"#,
            ),
            (
                "1 - w:0-3",
                roster("w:0-1 x:0", "w:0-1 x:0", "-"),
                all,
                r#"{"delnodes":{"role":"w","members":"2-3"}}"#,
            ),
            (
                "1 - w:0",
                roster("w:0", "w:0", "ab"),
                all,
                r#"{"reconnect":{"version":"ab"}}"#,
            ),
            (
                "1 - w:0",
                roster("w:0-1", "w:0-1", "-"),
                [false, true],
                "silently 1 - w:0-1",
            ),
            (
                "1 - w:0-1",
                roster("w:0", "w:0", "-"),
                [true, false],
                "silently 1 - w:0",
            ),
            (
                "1 - w:0-1",
                roster("w:0 x:0", "w:0 x:0", "ab"),
                [false, false],
                "silently 1 - w:0 x:0",
            ),
        ] {
            assert_eq!(shown(told, &roster, events), expected, "{told} {roster:?}");
        }
    }

    fn memberships() -> impl Strategy<Value = Membership> {
        proptest::collection::btree_map(
            "[abc]",
            proptest::collection::btree_set(0_u32..6, 0..5),
            0..3,
        )
        .prop_map(|roles| {
            let mut all = Membership::default();
            for (role, ordinals) in &roles {
                all.add(role, ordinals);
            }
            all
        })
    }

    proptest! {
        #[test]
        fn told_all_of_it_a_member_knows_who_is_there(
            told in memberships(),
            staying in memberships(),
            up in memberships(),
            add_nodes in any::<bool>(),
            del_nodes in any::<bool>(),
        ) {
            let mut members_up = Membership::default();
            for (role, ordinals) in staying.roles() {
                members_up.add(role, &ordinals.intersection(&up.of(role)).copied().collect());
            }
            let roster = Roster {
                up: members_up.clone(),
                kept: staying.clone(),
                connections: ConnectionsVersion::new("ab"),
            };
            let blueprint = samples::spark(1);
            let mut role = blueprint.role("worker").unwrap().clone();
            role.events.add_nodes = add_nodes;
            role.events.del_nodes = del_nodes;
            let mut known = Told { members: told.clone(), ..Told::default() };
            for _ in 0..20 {
                known = match next(&role, &known, &roster) {
                    Next::Nothing => break,
                    Next::Silently(told) => told,
                    Next::Call(call) => call.applied_to(&known),
                };
            }
            prop_assert_eq!(next(&role, &known, &roster), Next::Nothing);
            prop_assert_eq!(known.connections.as_str(), "ab");
            for (role, ordinals) in members_up.roles() {
                prop_assert!(ordinals.is_subset(&known.members.of(role)));
            }
            for (role, ordinals) in known.members.roles() {
                prop_assert!(ordinals.is_subset(&staying.of(role)));
            }
        }
    }
}
