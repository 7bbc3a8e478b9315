//! What the controllers of workloads keep of an object's metadata and of a pod's status.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;
use serde_json::Value;

use crate::objects::{Condition, Labels, field, text};

/// Repeats a whole manifest, which no controller reads.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The metadata that workloads decide by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) uid: String,
    pub(crate) revision: String,
    pub(crate) generation: i64,
    /// Creation time; RFC 3339 in UTC sorts as text.
    pub(crate) created: String,
    pub(crate) deleting: bool,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) finalizers: Vec<String>,
    pub(crate) owners: Vec<Owner>,
}

/// A reference to an owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owner {
    #[serde(default)]
    pub(crate) api_version: String,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) uid: String,
    #[serde(default)]
    pub(crate) controller: bool,
}

impl Meta {
    pub(crate) fn read(object: &Value) -> Result<Self, serde_json::Error> {
        let mut annotations: Labels = field(object, "/metadata/annotations")?;
        annotations.remove(LAST_APPLIED);
        Ok(Self {
            uid: text(object, "/metadata/uid").unwrap_or_default(),
            revision: text(object, "/metadata/resourceVersion").unwrap_or_default(),
            generation: field(object, "/metadata/generation")?,
            created: text(object, "/metadata/creationTimestamp").unwrap_or_default(),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            labels: field(object, "/metadata/labels")?,
            annotations,
            finalizers: field(object, "/metadata/finalizers")?,
            owners: field(object, "/metadata/ownerReferences")?,
        })
    }

    /// The one owner that manages the object.
    pub(crate) fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }
}

/// A label selector; one that is absent or cannot be read matches nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matcher(Option<Selector>);

impl Matcher {
    pub(crate) fn read(selector: Option<&Value>) -> Self {
        let parsed = selector.and_then(|selector| LabelSelector::deserialize(selector).ok());
        Self(parsed.and_then(|selector| Selector::try_from(selector).ok()))
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0
            .as_ref()
            .is_some_and(|selector| selector.matches(labels))
    }
}

/// How far a pod has come, as its workload sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) stage: Stage,
    /// When it became ready, if it is.
    pub(crate) ready_since: Option<Timestamp>,
    /// When it ceased to be ready, or was first found not to be.
    pub(crate) unready_since: Option<Timestamp>,
    pub(crate) deleted: Option<Timestamp>,
    pub(crate) restarts: u64,
    /// Containers that have ended, and how.
    pub(crate) exits: Vec<Exit>,
    /// The conditions a Job may have a policy about, as type and status.
    pub(crate) conditions: Vec<(String, String)>,
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    #[default]
    Pending,
    Unknown,
    Running,
    Succeeded,
    Failed,
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) container: String,
    pub(crate) code: i64,
    pub(crate) at: Option<Timestamp>,
}

/// Whether a pod counts as available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Available {
    Yes,
    No,
    /// If it stays ready, after this time.
    In(SignedDuration),
}

impl Life {
    pub(crate) fn read(
        object: &Value,
        conditions: &[Condition],
    ) -> Result<Self, serde_json::Error> {
        let (ready, unready) = match conditions.iter().find(|known| known.kind == "Ready") {
            Some(known) if known.status == "True" => (Some(known), None),
            other => (None, other),
        };
        let mut exits = Vec::new();
        let mut restarts = 0;
        for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
            let statuses = object.pointer(list).and_then(Value::as_array);
            for status in statuses.into_iter().flatten() {
                restarts += status["restartCount"].as_u64().unwrap_or(0);
                if let Some(ended) = status.pointer("/state/terminated") {
                    exits.push(Exit {
                        container: status["name"].as_str().unwrap_or_default().to_owned(),
                        code: ended["exitCode"].as_i64().unwrap_or(0),
                        at: field(ended, "/finishedAt")?,
                    });
                }
            }
        }
        let usual = |kind: &str| {
            matches!(
                kind,
                "PodScheduled"
                    | "Initialized"
                    | "ContainersReady"
                    | "Ready"
                    | "PodReadyToStartContainers"
            )
        };
        Ok(Self {
            stage: match text(object, "/status/phase").as_deref() {
                Some("Running") => Stage::Running,
                Some("Succeeded") => Stage::Succeeded,
                Some("Failed") => Stage::Failed,
                Some("Unknown") => Stage::Unknown,
                _ => Stage::Pending,
            },
            ready_since: ready.map(|ready| ready.last_transition_time.unwrap_or_default()),
            unready_since: unready.and_then(|unready| unready.last_transition_time),
            deleted: field(object, "/metadata/deletionTimestamp")?,
            restarts,
            exits,
            conditions: conditions
                .iter()
                .filter(|condition| !usual(&condition.kind))
                .map(|condition| (condition.kind.clone(), condition.status.clone()))
                .collect(),
        })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Succeeded | Stage::Failed)
    }

    /// Ready for as long as is asked.
    pub(crate) fn available(&self, min_ready_seconds: i64, now: Timestamp) -> Available {
        let Some(since) = self.ready_since else {
            return Available::No;
        };
        let rest = since + SignedDuration::from_secs(min_ready_seconds);
        if min_ready_seconds == 0 || rest <= now {
            Available::Yes
        } else {
            Available::In(now.duration_until(rest))
        }
    }

    /// When it ended, as far as its status tells.
    pub(crate) fn ended(&self) -> Option<Timestamp> {
        let exits = self.exits.iter().filter_map(|exit| exit.at).max();
        exits.or(self.unready_since).or(self.deleted)
    }

    /// Whether it runs and is ready.
    pub(crate) fn runs(&self) -> bool {
        self.stage == Stage::Running && self.is_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_that_is_absent_matches_nothing_and_an_empty_one_everything() {
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        let cases = [
            (None, false),
            (Some(json!({})), true),
            (Some(json!({"matchLabels": {"app": "web"}})), true),
            (Some(json!({"matchLabels": {"app": "db"}})), false),
            (
                Some(json!({"matchExpressions": [
                    {"key": "app", "operator": "In", "values": ["web", "db"]},
                    {"key": "gone", "operator": "DoesNotExist"},
                ]})),
                true,
            ),
            (
                Some(json!({"matchExpressions": [{"key": "app", "operator": "Odd"}]})),
                false,
            ),
        ];
        for (selector, expected) in cases {
            let matcher = Matcher::read(selector.as_ref());
            assert_eq!(matcher.matches(&labels), expected, "{selector:?}");
        }
    }

    #[test]
    fn a_pod_is_available_once_it_has_been_ready_long_enough() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let since = |text: &str| Life {
            ready_since: Some(text.parse().unwrap()),
            ..Life::default()
        };
        assert_eq!(Life::default().available(0, now), Available::No);
        let young = since("2026-01-01T00:00:50Z");
        assert_eq!(young.available(0, now), Available::Yes);
        assert_eq!(young.available(10, now), Available::Yes);
        let rest = SignedDuration::from_secs(5);
        assert_eq!(young.available(15, now), Available::In(rest));
    }
}
