//! Which directories of a member are kept on its storage.

use crate::agent::Layout;
use crate::blueprint::Role;
use crate::names::Scheme;

/// Kept for every member: what it was told, and that its directories were copied, is in there.
const ALWAYS: &str = "/etc";
/// Where setup keeps things when it keeps to itself.
const NEW_LAYOUT: [&str; 4] = [
    "/opt/guestconfig",
    "/var/log/guestconfig",
    "/usr/local/bin",
    "/usr/local/lib",
];
/// Where setup may put things otherwise.
const OLD_LAYOUT: [&str; 2] = ["/opt", "/usr"];
/// What the first release kept, whatever the application said.
const ORIGINAL: [&str; 4] = ["/usr", "/opt", "/var", "/etc"];

/// The directories of a role that are kept on storage: those that setup needs, then those that the
/// application asks for. None of them is inside of another one, and none is there twice.
pub fn persistent_directories(role: &Role, scheme: Scheme) -> Vec<String> {
    let own: &[&str] = match (&role.package, role.layout()) {
        (None, _) => &[],
        (Some(_), Layout::New) => &NEW_LAYOUT,
        (Some(_), Layout::Old) => &OLD_LAYOUT,
    };
    let mut wanted: Vec<&str> = match scheme {
        Scheme::Original => ORIGINAL.into(),
        Scheme::Uid | Scheme::CrNameRole => [&[ALWAYS], own].concat(),
    };
    wanted.extend(role.persist_dirs.iter().map(String::as_str));
    union(&wanted)
}

/// All directories in their order, without those that another one of them holds.
fn union(directories: &[&str]) -> Vec<String> {
    let clean: Vec<String> = directories.iter().map(|it| normalize(it)).collect();
    let holds = |outer: &str, inner: &str| {
        outer == "/"
            || inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    let mut kept: Vec<String> = Vec::new();
    for directory in &clean {
        let is_held = clean
            .iter()
            .any(|outer| outer != directory && holds(outer, directory));
        // The root of the image cannot be on a volume.
        if directory != "/" && !is_held && !kept.contains(directory) {
            kept.push(directory.clone());
        }
    }
    kept
}

/// A path without `.`, `..`, doubled slashes and a slash at its end.
fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directories_inside_of_others_are_not_named_again() {
        for (given, expected) in [
            (vec!["/etc", "/opt", "/usr"], vec!["/etc", "/opt", "/usr"]),
            (vec!["/etc", "/etc/hadoop", "/etc/"], vec!["/etc"]),
            (vec!["/usr/local/bin", "/usr"], vec!["/usr"]),
            (vec!["/etc", "/etcetera"], vec!["/etc", "/etcetera"]),
            (vec!["/var/../data//x/."], vec!["/data/x"]),
            (vec!["/a/b", "/a/b", "/a/c"], vec!["/a/b", "/a/c"]),
        ] {
            assert_eq!(union(&given), expected, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn every_directory_is_held_by_exactly_one(
            given in proptest::collection::vec("(/[ab]{1,2}){1,3}", 0..8),
        ) {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            let kept = union(&given);
            for directory in given {
                let holders = kept.iter().filter(|outer| {
                    directory == *outer || directory.starts_with(&format!("{outer}/"))
                });
                prop_assert_eq!(holders.count(), 1, "{} in {:?}", directory, kept);
            }
        }
    }
}
