//! What the objects of a virtual cluster are called and marked with.
//!
//! KubeDirector lets the API server draw the five characters at the end of a name and remembers the
//! name in the status. Here they follow from the cluster's uid, so that a plan made twice names the
//! same objects and no status is needed to find them again. The first uid is written on the cluster:
//! one that a backup brings back has another uid, and the same names.
//!
//! Laws:
//! - a name is a function of scheme, cluster and role; another object that has it already leads to
//!   the next of the same sequence, and an object that the cluster owns keeps the name it has;
//! - two roles of one cluster never have the same name;
//! - every name is a valid DNS label, and so is that of the pod with the highest ordinal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest as _, Sha256};
use windlass_api::director::cluster::NamingScheme;
use windlass_api::names::{LABEL_MAX, shorten};

/// On every object of a virtual cluster: the name of the cluster.
pub const CLUSTER_LABEL: &str = "kubedirector.hpe.com/kdcluster";
/// On every object: the name of the application.
pub const APP_LABEL: &str = "kubedirector.hpe.com/kdapp";
/// On every object: where the application was found, `local` or `system`.
pub const CATALOG_LABEL: &str = "kubedirector.hpe.com/appCatalog";
/// On what belongs to one role: the id of the role.
pub const ROLE_LABEL: &str = "kubedirector.hpe.com/role";
/// On pods: what the headless Service selects them by.
pub const HEADLESS_LABEL: &str = "kubedirector.hpe.com/headless";
/// On every object: the name of the application as people read it.
pub const PRETTY_NAME_ANNOTATION: &str = "kubedirector.hpe.com/kdapp-prettyName";
/// On connected ConfigMaps: the kind of what is in them.
pub const CONFIG_MAP_TYPE_LABEL: &str = "kubedirector.hpe.com/cmType";
/// On connected Secrets: the kind of what is in them.
pub const SECRET_TYPE_LABEL: &str = "kubedirector.hpe.com/secretType";

/// The original labels, which its tools select by: cluster, role, and the headless Service.
pub const ORIGINAL_LABELS: [&str; 3] = [
    "kubedirectorcluster",
    "role",
    "kubedirector.bluedata.io/headless",
];

/// The label by which the StatefulSet controller tells a pod's name.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// What the names of generated objects end in: no vowels and no digits that look like them, as
/// Kubernetes chooses for the same purpose.
const SAFE_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_DIGITS: usize = 5;
/// KubeDirector cuts the readable part of a name here, so that StatefulSets with their suffix stay
/// within the 52 characters that leave room for the hash in a pod's revision label.
const READABLE_MAX: usize = 46;

/// How objects are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// `kdss-xxxxx`: KubeDirector's usual scheme.
    #[default]
    Uid,
    /// `cluster-role-xxxxx`, with members' Services named as their pods.
    CrNameRole,
    /// Those of the first release: `cluster-role-xxxxx`, `svc-...` and `pvc-...`.
    Original,
}

impl From<NamingScheme> for Scheme {
    fn from(naming: NamingScheme) -> Self {
        match naming {
            NamingScheme::Uid => Self::Uid,
            NamingScheme::CrNameRole => Self::CrNameRole,
            NamingScheme::Original => Self::Original,
        }
    }
}

impl Scheme {
    /// As a cluster has it.
    pub fn naming(self) -> NamingScheme {
        match self {
            Self::Uid => NamingScheme::Uid,
            Self::CrNameRole => NamingScheme::CrNameRole,
            Self::Original => NamingScheme::Original,
        }
    }

    /// What stands before a pod's name in the name of its claim.
    pub fn claim_prefix(self) -> &'static str {
        match self {
            Self::Uid | Self::CrNameRole => "p",
            Self::Original => "pvc",
        }
    }

    /// The Service of one member.
    pub fn member_service(self, pod: &str) -> String {
        match self {
            Self::Uid => format!("s-{pod}"),
            Self::CrNameRole => pod.to_owned(),
            Self::Original => format!("svc-{pod}"),
        }
    }

    /// The claim of one member, as the StatefulSet controller makes it from its template.
    pub fn claim(self, pod: &str) -> String {
        format!("{}-{pod}", self.claim_prefix())
    }
}

/// The template of a raw block device, counted from 0.
pub fn block_claim_template(index: u32) -> String {
    format!("b{index}")
}

/// The pod of a StatefulSet.
pub fn pod(stateful_set: &str, ordinal: u32) -> String {
    format!("{stateful_set}-{ordinal}")
}

/// The ordinal at the end of the name of a pod, or of a claim, of this StatefulSet.
pub fn ordinal(name: &str, stateful_set: &str) -> Option<u32> {
    let (head, ordinal) = name.rsplit_once('-')?;
    let is_ours = head == stateful_set
        || head
            .strip_suffix(stateful_set)
            .is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('-'));
    let is_canonical = ordinal == "0" || !ordinal.starts_with('0');
    let digits = is_canonical && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    (is_ours && digits).then(|| ordinal.parse().ok()).flatten()
}

/// A cluster, as far as names go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// How objects are named.
    pub scheme: Scheme,
    /// The cluster's name.
    pub cluster: &'a str,
    /// Its uid, or, where it came back from a backup, the one it had at first.
    pub uid: &'a str,
}

/// What is there already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Present<'a> {
    /// The headless Service that the cluster owns.
    pub headless: Option<&'a str>,
    /// The Secret of what is mounted in members.
    pub delivery: Option<&'a str>,
    /// The StatefulSets that the cluster owns, by role.
    pub sets: Option<&'a BTreeMap<String, String>>,
    /// Names of StatefulSets and Services that are somebody else's.
    pub taken: Option<&'a BTreeSet<String>>,
}

/// The names of one cluster's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// How they were made.
    pub scheme: Scheme,
    /// The headless Service, which all names of members end in.
    pub headless: String,
    /// The Secret of what is mounted in each member.
    pub delivery: String,
    sets: BTreeMap<String, String>,
}

impl Names {
    /// Names for the cluster and these roles.
    ///
    /// Roles are named in alphabetical order, so that the order in which a user lists them does not
    /// matter. What is owned keeps its name even if another one would be given today.
    pub fn settle<'a>(
        subject: Subject<'_>,
        roles: impl IntoIterator<Item = &'a str>,
        present: Present<'_>,
    ) -> Self {
        let roles: BTreeSet<&str> = roles.into_iter().collect();
        let mut used: BTreeSet<String> = present.taken.cloned().unwrap_or_default();
        let owned = |role: &str| present.sets.and_then(|sets| sets.get(role));
        used.extend(present.sets.into_iter().flat_map(BTreeMap::values).cloned());
        let mut sets = BTreeMap::new();
        for role in roles {
            let name = match owned(role) {
                Some(name) => name.clone(),
                None => first_free(&used, |attempt| subject.stateful_set(role, attempt)),
            };
            used.insert(name.clone());
            sets.insert(role.to_owned(), name);
        }
        let headless = match present.headless {
            Some(name) => name.to_owned(),
            None => first_free(&used, |attempt| subject.headless(attempt)),
        };
        let delivery = present.delivery.map_or_else(
            || {
                let suffix = subject.suffix("delivery", 0);
                format!("kd-{}-{suffix}", munge(subject.cluster))
            },
            str::to_owned,
        );
        Self {
            scheme: subject.scheme,
            delivery,
            headless,
            sets,
        }
    }

    /// The StatefulSet of a role; the role's own id where it was not among those that were named.
    pub fn stateful_set<'a>(&'a self, role: &'a str) -> &'a str {
        self.sets.get(role).map_or(role, String::as_str)
    }

    /// A member's pod.
    pub fn pod(&self, role: &str, ordinal: u32) -> String {
        pod(self.stateful_set(role), ordinal)
    }

    /// The PodDisruptionBudget of a role.
    pub fn budget(&self, role: &str) -> String {
        self.stateful_set(role).to_owned()
    }
}

/// Where the members of a cluster are found: `<headless>.<namespace>.svc.cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    /// The domain behind a headless Service. `base` is what the configuration gives as
    /// `clusterSvcDomainBase`, with the dot it starts with.
    pub fn new(headless: &str, namespace: &str, base: &str) -> Self {
        Self(format!("{headless}.{namespace}{base}"))
    }

    /// The full name of a member.
    pub fn fqdn(&self, pod: &str) -> String {
        format!("{pod}.{}", self.0)
    }

    /// The domain itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name as the value of a label, which is shorter than names may be.
pub fn label_value(name: &str) -> String {
    shorten(name, LABEL_MAX)
}

impl Subject<'_> {
    fn stateful_set(&self, role: &str, attempt: u32) -> String {
        let suffix = self.suffix(role, attempt);
        match self.scheme {
            Scheme::Uid => format!("kdss-{suffix}"),
            Scheme::CrNameRole | Scheme::Original => {
                format!("{}-{suffix}", munge(&format!("{}-{role}", self.cluster)))
            }
        }
    }

    fn headless(&self, attempt: u32) -> String {
        // No role has an empty id, so this is nobody's suffix.
        let suffix = self.suffix("", attempt);
        match self.scheme {
            Scheme::Uid => format!("kdhs-{suffix}"),
            Scheme::CrNameRole => format!("{}{suffix}", munge(self.cluster)),
            Scheme::Original => format!("svc-{}-{suffix}", munge(self.cluster)),
        }
    }

    fn suffix(&self, role: &str, attempt: u32) -> String {
        let of = match attempt {
            0 => format!("{}/{role}", self.uid),
            again => format!("{}/{role}/{again}", self.uid),
        };
        let digest = Sha256::digest(of.as_bytes());
        let (head, _) = digest.split_at(8);
        let mut number = head
            .iter()
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        let base = SAFE_ALPHABET.len() as u64;
        let mut suffix = String::with_capacity(SUFFIX_DIGITS);
        for _ in 0..SUFFIX_DIGITS {
            let digit = usize::try_from(number % base).unwrap_or_default();
            suffix.push(char::from(SAFE_ALPHABET[digit]));
            number /= base;
        }
        suffix
    }
}

fn first_free(used: &BTreeSet<String>, name: impl Fn(u32) -> String) -> String {
    let free = (0..u32::MAX).map(&name).find(|name| !used.contains(name));
    free.unwrap_or_else(|| name(0))
}

/// The readable part of a name: lower case, dots and underscores as hyphens, at most 46 characters.
/// Service names must start with a letter, so what does not gets one.
fn munge(text: &str) -> String {
    let text = text.to_lowercase().replace(['.', '_'], "-");
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    let text = if starts_well {
        text
    } else {
        format!("k{text}")
    };
    text.chars().take(READABLE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use windlass_api::names::ServiceName;

    use super::*;

    const UID: &str = "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001";

    fn subject(scheme: Scheme, cluster: &str) -> Subject<'_> {
        Subject {
            scheme,
            cluster,
            uid: UID,
        }
    }

    #[test]
    fn the_schemes_are_those_of_kubedirector() {
        let shown = |scheme| {
            let names = Names::settle(
                subject(scheme, "My.Spark_1"),
                ["Worker", "master"],
                Present::default(),
            );
            let pod = names.pod("Worker", 3);
            [
                names.headless.clone(),
                names.stateful_set("master").to_owned(),
                pod.clone(),
                scheme.member_service(&pod),
                scheme.claim(&pod),
            ]
            .join("\n")
        };
        let schemes = [Scheme::Uid, Scheme::CrNameRole, Scheme::Original];
        insta::assert_snapshot!(schemes.map(shown).join("\n\n"));
    }

    #[test]
    fn what_is_owned_keeps_its_name_and_what_is_taken_is_passed_over() {
        let subject = subject(Scheme::Uid, "sql");
        let plain = Names::settle(subject, ["a", "b"], Present::default());
        let taken = BTreeSet::from([plain.stateful_set("a").to_owned()]);
        let owned = BTreeMap::from([("b".to_owned(), "kdss-old".to_owned())]);
        let names = Names::settle(
            subject,
            ["a", "b"],
            Present {
                headless: Some("kdhs-old"),
                delivery: Some("kd-old"),
                sets: Some(&owned),
                taken: Some(&taken),
            },
        );
        assert_ne!(names.stateful_set("a"), plain.stateful_set("a"));
        assert_eq!(names.stateful_set("b"), "kdss-old");
        assert_eq!(names.headless, "kdhs-old");
        assert_eq!(names.delivery, "kd-old");
    }

    #[test]
    fn ordinals_are_read_from_the_names_of_pods_and_claims() {
        for (name, expected) in [
            ("kdss-x-0", Some(0)),
            ("kdss-x-12", Some(12)),
            ("p-kdss-x-3", Some(3)),
            ("pvc-kdss-x-3", Some(3)),
            ("kdss-x-03", None),
            ("kdss-x-", None),
            ("kdss-x-1a", None),
            ("kdss-y-1", None),
            ("-kdss-x-1", None),
            ("akdss-x-1", None),
        ] {
            assert_eq!(ordinal(name, "kdss-x"), expected, "{name}");
        }
    }

    fn schemes() -> impl Strategy<Value = Scheme> {
        prop_oneof![
            Just(Scheme::Uid),
            Just(Scheme::CrNameRole),
            Just(Scheme::Original)
        ]
    }

    proptest! {
        #[test]
        fn names_are_valid_and_the_same_every_time(
            scheme in schemes(),
            cluster in "[a-z0-9]([-a-z0-9.]{0,80}[a-z0-9])?",
            uid in "[0-9a-f]{8}",
            roles in proptest::collection::btree_set("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", 1..6),
        ) {
            let subject = Subject { scheme, cluster: &cluster, uid: &uid };
            let names = || Names::settle(subject, roles.iter().map(String::as_str), Present::default());
            let these = names();
            prop_assert_eq!(&these, &names());
            let mut seen = BTreeSet::from([these.headless.clone()]);
            prop_assert!(ServiceName::new(&these.headless).is_ok(), "{}", these.headless);
            prop_assert!(ServiceName::new(&these.delivery).is_ok(), "{}", these.delivery);
            for role in &roles {
                let set = these.stateful_set(role);
                prop_assert!(set.len() <= 52, "{set}");
                prop_assert!(seen.insert(set.to_owned()), "{} twice", set);
                let pod = these.pod(role, 999);
                prop_assert_eq!(ordinal(&pod, set), Some(999));
                prop_assert_eq!(ordinal(&scheme.claim(&pod), set), Some(999));
                let service = scheme.member_service(&pod);
                prop_assert!(ServiceName::new(&service).is_ok(), "{}", service);
            }
        }

        #[test]
        fn the_order_of_roles_does_not_matter(
            cluster in "[a-z]{1,8}",
            roles in proptest::collection::vec("[a-zA-Z]{1,3}", 1..8),
        ) {
            let subject = subject(Scheme::CrNameRole, &cluster);
            let forward = Names::settle(subject, roles.iter().map(String::as_str), Present::default());
            let backward = Names::settle(subject, roles.iter().rev().map(String::as_str), Present::default());
            prop_assert_eq!(forward, backward);
        }
    }
}
