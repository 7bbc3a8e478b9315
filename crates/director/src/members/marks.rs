//! What is written on pods and claims about the members they are.
//!
//! A pod carries what its member has been told, so that nothing of it is in the operator's memory or
//! in the cluster's status. What is about one container names the container: in the next one it does
//! not hold. Claims carry what must outlive a pod.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_engine::plan::{Effect, ObjectRef};

use super::membership::{Told, ranges, read_ranges};

/// The container that was set up.
pub const CONFIGURED: &str = "kubedirector.hpe.com/configured-container";
/// The version of configmeta.json that the member has.
pub const META_GENERATION: &str = "kubedirector.hpe.com/config-data-generation";
/// What the member has been told.
pub const TOLD: &str = "kubedirector.hpe.com/told";
/// The hook that is being run for the member, or will be.
pub const PENDING: &str = "kubedirector.hpe.com/pending-hook";
/// How many hooks were begun for the member.
pub const HOOKS: &str = "kubedirector.hpe.com/hooks";
/// Why the member could not be set up.
pub const CONFIG_ERROR: &str = "kubedirector.hpe.com/config-error";
/// What is in the way of setting the member up, as long as it is tried again.
pub const TROUBLE: &str = "kubedirector.hpe.com/trouble";
/// Since when the member is to go. It goes, even if the cluster is to have more members again.
pub const LEAVING: &str = "kubedirector.hpe.com/leaving-since";
/// How the hook of a member that leaves has ended.
pub const DRAINED: &str = "kubedirector.hpe.com/drained";
/// On claims: there is something on it that a member was set up with.
pub const IN_USE: &str = "kubedirector.hpe.com/in-use";

/// What is written on a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodMarks {
    /// The container that was set up.
    pub configured: Option<String>,
    /// The version of configmeta.json that the member has.
    pub meta_generation: u64,
    /// What the member has been told.
    pub told: Option<Told>,
    /// The hook that is run, or will be.
    pub pending: Option<Pending>,
    /// How many hooks were begun.
    pub hooks: u32,
    /// Why the member could not be set up.
    pub error: Option<ConfigError>,
    /// What is in the way of setting it up, as long as it is tried again.
    pub trouble: Option<String>,
    /// Since when it is to go.
    pub leaving: Option<Timestamp>,
    /// How its last hook ended.
    pub drained: Option<Drained>,
}

/// A hook that was decided on. It is written before it is started, and what is written is what is
/// run, whatever has changed meanwhile: so a member is told of each change once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The container it is for.
    pub container: String,
    /// Its number among the hooks of the member.
    pub number: u32,
    /// How often it has failed.
    #[serde(default)]
    pub failures: u32,
    /// When it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// How it failed last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What it says.
    pub call: Call,
}

/// What a member is told by a hook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// Members have come.
    AddNodes {
        /// Their role.
        role: String,
        /// Which.
        #[serde(with = "compact")]
        members: BTreeSet<u32>,
    },
    /// Members go.
    DelNodes {
        /// Their role.
        role: String,
        /// Which.
        #[serde(with = "compact")]
        members: BTreeSet<u32>,
    },
    /// What the cluster is connected to has changed.
    Reconnect {
        /// To this version.
        version: String,
    },
}

/// Why a member could not be set up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// In which container.
    pub container: String,
    /// What went wrong.
    pub detail: String,
    /// The end of what the script wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// The end of what it wrote as errors.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
}

/// How the hook of a member that leaves has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: DrainOutcome,
    /// What there is to say of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How often it has failed.
    #[serde(default)]
    pub failures: u32,
}

/// How the hook of a member that leaves has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainOutcome {
    /// Well.
    Done,
    /// Not well.
    Failed,
    /// Not in time.
    Late,
    /// Not well, and it is run again.
    Again,
}

/// Whether a member is set up in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetUp {
    /// Not yet.
    Open,
    /// It is.
    Done,
    /// It could not be.
    Failed,
}

/// What is written on a claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimMarks {
    /// A member was set up with it.
    pub in_use: bool,
    /// Since when its member is to go.
    pub leaving: Option<Timestamp>,
}

impl PodMarks {
    /// What the annotations of a pod say. What cannot be read is as if it was not there.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| annotations.get(key).map(String::as_str);
        Self {
            configured: text(CONFIGURED).map(str::to_owned),
            meta_generation: text(META_GENERATION)
                .and_then(|it| it.parse().ok())
                .unwrap_or(0),
            told: text(TOLD).and_then(|it| it.parse().ok()),
            pending: text(PENDING).and_then(|it| serde_json::from_str(it).ok()),
            hooks: text(HOOKS).and_then(|it| it.parse().ok()).unwrap_or(0),
            error: text(CONFIG_ERROR).and_then(|it| serde_json::from_str(it).ok()),
            trouble: text(TROUBLE).map(str::to_owned),
            leaving: text(LEAVING).and_then(|it| it.parse().ok()),
            drained: text(DRAINED).and_then(|it| serde_json::from_str(it).ok()),
        }
    }

    /// Whether the member is set up in this container.
    pub fn set_up(&self, container: &str) -> SetUp {
        if self
            .error
            .as_ref()
            .is_some_and(|error| error.container == container)
        {
            SetUp::Failed
        } else if self.configured.as_deref() == Some(container) {
            SetUp::Done
        } else {
            SetUp::Open
        }
    }

    /// The annotations that make what is written here into `next`, as a merge patch.
    fn difference(&self, next: &Self) -> Value {
        let (old, new) = (self.annotations(), next.annotations());
        let mut patch = json!({});
        for (key, value) in new {
            if old[key] != value {
                patch[key] = value;
            }
        }
        patch
    }

    fn annotations(&self) -> BTreeMap<&'static str, Value> {
        fn shown<T: ToString>(value: Option<&T>) -> Value {
            value.map_or(Value::Null, |value| Value::String(value.to_string()))
        }
        fn number<T: ToString + Default + PartialEq>(value: &T) -> Value {
            shown(Some(value).filter(|it| **it != T::default()))
        }
        let json = |value: Option<Value>| shown(value.as_ref());
        BTreeMap::from([
            (CONFIGURED, shown(self.configured.as_ref())),
            (META_GENERATION, number(&self.meta_generation)),
            (TOLD, shown(self.told.as_ref())),
            (PENDING, json(self.pending.as_ref().map(|it| json!(it)))),
            (HOOKS, number(&self.hooks)),
            (CONFIG_ERROR, json(self.error.as_ref().map(|it| json!(it)))),
            (TROUBLE, shown(self.trouble.as_ref())),
            (LEAVING, shown(self.leaving.as_ref())),
            (DRAINED, json(self.drained.as_ref().map(|it| json!(it)))),
        ])
    }

    /// The patch of a pod that has these marks into one that has `next`; nothing when they are the
    /// same. The uid keeps it from another pod of the same name.
    pub fn patch(&self, pod: ObjectRef, uid: &str, next: &Self) -> Option<Effect> {
        let annotations = self.difference(next);
        let is_empty = annotations.as_object().is_none_or(|it| it.is_empty());
        (!is_empty).then(|| Effect::Patch {
            target: pod,
            patch: json!({"metadata": {"uid": uid, "annotations": annotations}}),
        })
    }
}

impl ClaimMarks {
    /// What the annotations of a claim say.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        Self {
            in_use: annotations.contains_key(IN_USE),
            leaving: annotations.get(LEAVING).and_then(|it| it.parse().ok()),
        }
    }

    /// The annotations that say it.
    pub fn annotations(self) -> Value {
        json!({
            IN_USE: self.in_use.then_some("true"),
            LEAVING: self.leaving.map(|it| it.to_string()),
        })
    }
}

impl Call {
    /// What a member has been told after this.
    pub fn applied_to(&self, told: &Told) -> Told {
        let mut told = told.clone();
        match self {
            Self::AddNodes { role, members } => told.members.add(role, members),
            Self::DelNodes { role, members } => told.members.remove(role, members),
            Self::Reconnect { version } => {
                told.connections = super::ConnectionsVersion::new(version.as_str());
            }
        }
        told
    }
}

/// Ordinals as ranges.
mod compact {
    use std::collections::BTreeSet;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        ordinals: &BTreeSet<u32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::ranges(ordinals))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<u32>, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::read_ranges(&text).ok_or_else(|| de::Error::custom("not a list of ordinals"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> PodMarks {
        PodMarks {
            configured: Some("containerd://1".to_owned()),
            meta_generation: 4,
            told: "3 - worker:0-2".parse().ok(),
            pending: Some(Pending {
                container: "containerd://1".to_owned(),
                number: 2,
                failures: 1,
                failed_at: Some(Timestamp::UNIX_EPOCH),
                detail: "ended with 1".to_owned(),
                call: Call::AddNodes {
                    role: "worker".to_owned(),
                    members: BTreeSet::from([3, 4]),
                },
            }),
            hooks: 2,
            error: Some(ConfigError {
                container: "containerd://0".to_owned(),
                detail: "no".to_owned(),
                ..ConfigError::default()
            }),
            trouble: Some("cannot fetch".to_owned()),
            leaving: Some(Timestamp::UNIX_EPOCH),
            drained: Some(Drained {
                at: Timestamp::UNIX_EPOCH,
                outcome: DrainOutcome::Late,
                detail: String::new(),
                failures: 0,
            }),
        }
    }

    fn annotated(marks: &PodMarks, patch: &Value, before: &PodMarks) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::new();
        for (key, value) in before.annotations() {
            if let Some(text) = value.as_str() {
                annotations.insert(key.to_owned(), text.to_owned());
            }
        }
        for (key, value) in patch.as_object().unwrap() {
            match value.as_str() {
                Some(text) => annotations.insert(key.clone(), text.to_owned()),
                None => annotations.remove(key),
            };
        }
        assert_eq!(PodMarks::read(&annotations), *marks);
        annotations
    }

    #[test]
    fn a_patch_leads_from_any_marks_to_any_others() {
        let (none, full) = (PodMarks::default(), full());
        let one = PodMarks {
            pending: None,
            meta_generation: 5,
            ..full.clone()
        };
        for before in [&none, &full, &one] {
            for after in [&none, &full, &one] {
                let patch = before.difference(after);
                annotated(after, &patch, before);
                assert_eq!(before == after, patch == json!({}));
            }
        }
    }

    #[test]
    fn the_annotations_are_short_and_readable() {
        insta::assert_yaml_snapshot!(full().annotations());
    }

    #[test]
    fn what_holds_for_one_container_does_not_hold_for_the_next() {
        let marks = full();
        assert_eq!(marks.set_up("containerd://1"), SetUp::Done);
        assert_eq!(marks.set_up("containerd://0"), SetUp::Failed);
        assert_eq!(marks.set_up("containerd://2"), SetUp::Open);
    }

    #[test]
    fn what_nobody_can_read_is_as_if_it_was_not_there() {
        let keys = [
            CONFIGURED,
            META_GENERATION,
            TOLD,
            PENDING,
            HOOKS,
            CONFIG_ERROR,
            LEAVING,
            DRAINED,
        ];
        let rubbish = keys.map(|key| (key.to_owned(), "{rubbish".to_owned()));
        let expected = PodMarks {
            configured: Some("{rubbish".to_owned()),
            ..PodMarks::default()
        };
        assert_eq!(PodMarks::read(&BTreeMap::from(rubbish)), expected);
    }
}
