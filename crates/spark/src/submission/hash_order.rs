//! The order in which Scala's immutable maps give back their keys.
//!
//! Spark numbers claims in the order of the volumes, and the volumes come in the order of such a
//! map: without it, two claims would swap their names. Laws: the order depends on the keys alone;
//! maps of up to four keys keep the order they were filled in, and are not handled here.

use super::profile::Profile;

/// The most keys a map holds without hashing.
pub(super) const UNHASHED: usize = 4;

/// The keys in the order of a hash map of the Scala that this version of Spark was compiled for.
pub(super) fn sort<'a>(keys: impl IntoIterator<Item = &'a str>, profile: &Profile) -> Vec<&'a str> {
    let mut hashed: Vec<(u32, &str)> = keys
        .into_iter()
        .map(|key| (spread(java_hash(key)), key))
        .collect();
    // Of equal hashes the one that came first would be first: here that is the smaller key.
    hashed.sort_unstable();
    let mut sorted = Vec::new();
    walk(hashed, 0, profile.scala_2_13, &mut sorted);
    sorted
}

/// Both Scala's tries branch by five bits of the hash at a time. Those of 2.12 give everything in
/// the order of the branches; those of 2.13 give the keys that need no further branching first.
fn walk<'a>(hashed: Vec<(u32, &'a str)>, shift: u32, leaves_first: bool, out: &mut Vec<&'a str>) {
    const BRANCHES: usize = 32;
    let mut branches: Vec<Vec<(u32, &str)>> = vec![Vec::new(); BRANCHES];
    for (hash, key) in hashed {
        // Equal hashes end in one leaf.
        let branch = hash.checked_shr(shift).unwrap_or_default() as usize % BRANCHES;
        branches[branch].push((hash, key));
    }
    if leaves_first {
        out.extend(
            branches
                .iter()
                .filter(|branch| branch.len() == 1)
                .map(|branch| branch[0].1),
        );
        branches.retain(|branch| branch.len() > 1);
    }
    for branch in branches {
        let collide = branch.iter().all(|(hash, _)| *hash == branch[0].0);
        if collide {
            out.extend(branch.iter().map(|(_, key)| key));
        } else {
            walk(branch, shift + 5, leaves_first, out);
        }
    }
}

/// `String.hashCode`.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    })
}

/// Scala's improvement of a hash.
fn spread(hash: u32) -> u32 {
    let hash = hash.wrapping_add(!(hash << 9));
    let hash = hash ^ (hash >> 14);
    let hash = hash.wrapping_add(hash << 4);
    hash ^ (hash >> 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile(version: &str) -> Profile {
        Profile::of(&version.parse().unwrap()).0
    }

    #[test]
    fn keys_come_in_the_order_spark_was_seen_to_send_them() {
        let keys: Vec<String> = (0..12).map(|n| format!("V{n}")).collect();
        let sorted = |version| sort(keys.iter().map(String::as_str), &profile(version)).join(" ");
        assert_eq!(sorted("3.5"), "V9 V11 V4 V10 V3 V2 V7 V1 V6 V8 V5 V0");
        assert_eq!(sorted("4.3"), "V9 V10 V3 V2 V7 V8 V5 V0 V11 V4 V1 V6");
    }

    #[test]
    fn equal_hashes_come_to_an_end() {
        assert_eq!(java_hash("Aa"), java_hash("BB"));
        assert_eq!(sort(["Aa", "BB", "c"], &profile("4.3")).len(), 3);
    }

    proptest! {
        #[test]
        fn the_order_is_a_permutation_that_depends_on_the_keys_alone(
            keys in proptest::collection::btree_set(".{0,12}", 0..40), version in "(3\\.5|4\\.3)"
        ) {
            let profile = profile(&version);
            let forward = sort(keys.iter().map(String::as_str), &profile);
            let backward = sort(keys.iter().rev().map(String::as_str), &profile);
            let mut sorted = forward.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.iter().copied().eq(keys.iter().map(String::as_str)));
            prop_assert_eq!(forward, backward);
        }
    }
}
