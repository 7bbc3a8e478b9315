//! Sets of members, and what a member has been told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Members of a cluster: ordinals by role. Roles without any are not in it.
///
/// As a text it is `controller:0 worker:0-3,5`, so that a thousand members take a few bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership(BTreeMap<String, BTreeSet<u32>>);

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} does not name members")]
pub struct NotMembers(String);

impl Membership {
    /// The first so many members of each role.
    pub fn first<'a>(counts: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let counts = counts.into_iter();
        counts
            .map(|(role, count)| (role, (0..count).collect::<BTreeSet<u32>>()))
            .fold(Self::default(), |mut all, (role, ordinals)| {
                all.add(role, &ordinals);
                all
            })
    }

    /// Members of one role.
    pub fn of(&self, role: &str) -> BTreeSet<u32> {
        self.0.get(role).cloned().unwrap_or_default()
    }

    /// Whether a member is among them.
    pub fn contains(&self, role: &str, ordinal: u32) -> bool {
        self.0
            .get(role)
            .is_some_and(|ordinals| ordinals.contains(&ordinal))
    }

    /// The roles with members, in alphabetical order.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &BTreeSet<u32>)> {
        self.0
            .iter()
            .map(|(role, ordinals)| (role.as_str(), ordinals))
    }

    /// Adds members.
    pub fn add(&mut self, role: &str, ordinals: &BTreeSet<u32>) {
        if !ordinals.is_empty() {
            self.0.entry(role.to_owned()).or_default().extend(ordinals);
        }
    }

    /// Takes members away.
    pub fn remove(&mut self, role: &str, ordinals: &BTreeSet<u32>) {
        if let Some(own) = self.0.get_mut(role) {
            own.retain(|ordinal| !ordinals.contains(ordinal));
            if own.is_empty() {
                self.0.remove(role);
            }
        }
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (role, ordinals)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{role}:{}", ranges(ordinals))?;
        }
        Ok(())
    }
}

impl FromStr for Membership {
    type Err = NotMembers;

    fn from_str(text: &str) -> Result<Self, NotMembers> {
        let mut all = Self::default();
        for part in text.split_whitespace() {
            let read = part
                .split_once(':')
                .and_then(|(role, list)| Some((role, read_ranges(list)?)));
            let (role, ordinals) = read.ok_or_else(|| NotMembers(text.to_owned()))?;
            all.add(role, &ordinals);
        }
        Ok(all)
    }
}

/// `0-3,5`.
pub(super) fn ranges(ordinals: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for ordinal in ordinals {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*ordinal) => *last = *ordinal,
            _ => runs.push((*ordinal, *ordinal)),
        }
    }
    let shown = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<String>>().join(",")
}

/// The most ordinals that a text may name: no cluster has more members.
const MOST: u32 = 10_000;

pub(super) fn read_ranges(text: &str) -> Option<BTreeSet<u32>> {
    let mut ordinals = BTreeSet::new();
    for run in text.split(',') {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last > MOST {
            return None;
        }
        ordinals.extend(first..=last);
    }
    Some(ordinals)
}

/// What a member has been told of its cluster, by configmeta.json when it was set up and by hooks
/// since. As a text it is `GENERATION CONNECTIONS MEMBERS`: the member itself keeps it with what else
/// its storage keeps, so that it is known again when the pod is another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Told {
    /// The version of configmeta.json that it was set up with.
    pub generation: u64,
    /// The version of the connections.
    pub connections: ConnectionsVersion,
    /// The members.
    pub members: Membership,
}

/// A hash of all that a cluster is connected to; `-` where it is connected to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionsVersion(String);

impl ConnectionsVersion {
    /// The version of no connections.
    pub const NONE: &str = "-";

    /// The version that is written like this, in hex digits.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ConnectionsVersion {
    fn default() -> Self {
        Self(Self::NONE.to_owned())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.generation, self.connections.0)?;
        if self.members == Membership::default() {
            Ok(())
        } else {
            write!(f, " {}", self.members)
        }
    }
}

impl FromStr for Told {
    type Err = NotMembers;

    fn from_str(text: &str) -> Result<Self, NotMembers> {
        let wrong = || NotMembers(text.to_owned());
        let mut parts = text.trim().splitn(3, ' ');
        let generation = parts
            .next()
            .and_then(|it| it.parse().ok())
            .ok_or_else(wrong)?;
        let connections = parts.next().filter(|it| !it.is_empty()).ok_or_else(wrong)?;
        Ok(Self {
            generation,
            connections: ConnectionsVersion::new(connections),
            members: parts.next().unwrap_or_default().parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_name_no_members_are_refused() {
        for text in [
            "worker",
            "worker:",
            "worker:a",
            "worker:3-1",
            "worker:0-99999999",
            ":",
        ] {
            assert!(text.parse::<Membership>().is_err(), "{text}");
        }
        for text in ["", "5", "x -", "5 - worker"] {
            assert!(text.parse::<Told>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_told_is_read_as_it_was_written(
            generation in any::<u64>(),
            connections in "-|[0-9a-f]{16}",
            roles in proptest::collection::btree_map(
                "[A-Za-z0-9][-A-Za-z0-9_.]{0,5}",
                proptest::collection::btree_set(0_u32..40, 0..20),
                0..4,
            ),
        ) {
            let mut members = Membership::default();
            for (role, ordinals) in &roles {
                members.add(role, ordinals);
            }
            let told = Told {
                generation,
                connections: ConnectionsVersion::new(connections),
                members,
            };
            prop_assert_eq!(told.to_string().parse::<Told>(), Ok(told));
        }
    }
}
