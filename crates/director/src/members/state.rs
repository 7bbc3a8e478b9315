//! How a member stands.
//!
//! A member has no state of its own that could be wrong: it follows, by [`state`], from where it is to
//! be, whether its container runs, and whether it was set up in that container. A restart is a
//! container with another id, so it leads back to the beginning by itself.

use windlass_api::director::cluster::MemberState;

use super::marks::SetUp;

/// Where a member is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the cluster.
    Staying,
    /// It is to go, and does what it has to do before that.
    Leaving,
    /// It goes: nothing is waited for any more.
    Gone,
}

/// Whether the container of a member runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// There is no pod, or its container does not run.
    Away,
    /// It runs.
    Up,
}

/// How a member stands.
pub fn state(place: Place, presence: Presence, set_up: SetUp) -> MemberState {
    match (place, presence, set_up) {
        (Place::Gone, _, _) => MemberState::Deleting,
        (Place::Leaving, _, _) => MemberState::DeletePending,
        (Place::Staying, Presence::Away, _) => MemberState::CreatePending,
        (Place::Staying, Presence::Up, SetUp::Open) => MemberState::Creating,
        (Place::Staying, Presence::Up, SetUp::Done) => MemberState::Configured,
        (Place::Staying, Presence::Up, SetUp::Failed) => MemberState::ConfigError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_has_a_state() {
        let mut table = String::new();
        for place in [Place::Staying, Place::Leaving, Place::Gone] {
            for presence in [Presence::Away, Presence::Up] {
                for set_up in [SetUp::Open, SetUp::Done, SetUp::Failed] {
                    let state = state(place, presence, set_up);
                    table += &format!("{place:?} {presence:?} {set_up:?} -> {state:?}\n");
                }
            }
        }
        insta::assert_snapshot!(table);
    }
}
