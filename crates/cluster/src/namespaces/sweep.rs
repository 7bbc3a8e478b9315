//! What a sweep of a terminating namespace found, in the conditions people know. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_engine::Kind;

/// What is left, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    remaining: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    failures: Vec<String>,
    undiscovered: Option<String>,
}

impl Findings {
    /// An object is still there.
    pub(super) fn found(&mut self, kind: &Kind, object: &Value) {
        *self.remaining.entry(kind.to_string()).or_default() += 1;
        let finalizers = object.pointer("/metadata/finalizers");
        for finalizer in finalizers.and_then(Value::as_array).into_iter().flatten() {
            let name = finalizer.as_str().unwrap_or_default().to_owned();
            *self.finalizers.entry(name).or_default() += 1;
        }
    }

    /// A kind could not be swept.
    pub(super) fn failed(&mut self, kind: &Kind, error: &str) {
        self.failures.push(format!("{kind}: {error}"));
    }

    /// The kinds could not be found out.
    pub(super) fn undiscovered(&mut self, error: &str) {
        self.undiscovered = Some(error.to_owned());
    }

    /// Whether the namespace is known to be empty.
    pub(super) fn is_clear(&self) -> bool {
        self.remaining.is_empty() && self.failures.is_empty() && self.undiscovered.is_none()
    }

    /// The conditions the namespace should show, or `None` if it does already.
    pub(super) fn conditions(&self, known: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let known = known.as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = self.wanted();
        let shows = |(kind, status, reason, message): &(&str, bool, &str, String)| {
            known.iter().any(|condition| {
                condition["type"] == *kind
                    && condition["status"] == truth(*status)
                    && condition["reason"] == *reason
                    && condition["message"] == **message
            })
        };
        if wanted.iter().all(shows) {
            return None;
        }
        let conditions = wanted.iter().map(|(kind, status, reason, message)| {
            let since = known
                .iter()
                .find(|condition| {
                    condition["type"] == *kind && condition["status"] == truth(*status)
                })
                .map(|condition| condition["lastTransitionTime"].clone())
                .filter(Value::is_string)
                .unwrap_or_else(|| format!("{now:.0}").into());
            json!({
                "type": kind,
                "status": truth(*status),
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
            })
        });
        Some(conditions.collect())
    }

    fn wanted(&self) -> [(&'static str, bool, &'static str, String); 4] {
        let undiscovered = self.undiscovered.clone();
        let discovery = match &undiscovered {
            Some(_) => "DiscoveryFailed",
            None => "ResourcesDiscovered",
        };
        let content = if self.failures.is_empty() {
            (
                false,
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization".to_owned(),
            )
        } else {
            let message = format!(
                "Failed to delete all resource types, {} remaining: {}",
                self.failures.len(),
                self.failures.join(", ")
            );
            (true, "ContentDeletionFailed", message)
        };
        let remaining = if self.remaining.is_empty() {
            (
                false,
                "ContentRemoved",
                "All content successfully removed".to_owned(),
            )
        } else {
            let counts = listed(&self.remaining, |kind, count| {
                format!("{kind} has {count} resource instances")
            });
            (
                true,
                "SomeResourcesRemain",
                format!("Some resources are remaining: {counts}"),
            )
        };
        let finalizers = if self.finalizers.is_empty() {
            (
                false,
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".to_owned(),
            )
        } else {
            let counts = listed(&self.finalizers, |name, count| {
                format!("{name} in {count} resource instances")
            });
            (
                true,
                "SomeFinalizersRemain",
                format!("Some content in the namespace has finalizers remaining: {counts}"),
            )
        };
        [
            (
                "NamespaceDeletionDiscoveryFailure",
                undiscovered.is_some(),
                discovery,
                undiscovered.unwrap_or_else(|| "All resources successfully discovered".to_owned()),
            ),
            (
                "NamespaceDeletionContentFailure",
                content.0,
                content.1,
                content.2,
            ),
            (
                "NamespaceContentRemaining",
                remaining.0,
                remaining.1,
                remaining.2,
            ),
            (
                "NamespaceFinalizersRemaining",
                finalizers.0,
                finalizers.1,
                finalizers.2,
            ),
        ]
    }
}

fn listed(counts: &BTreeMap<String, usize>, show: impl Fn(&str, usize) -> String) -> String {
    let shown: Vec<String> = counts
        .iter()
        .map(|(name, count)| show(name, *count))
        .collect();
    shown.join(", ")
}

fn truth(status: bool) -> &'static str {
    if status { "True" } else { "False" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_what_remains_and_are_written_once() {
        let mut findings = Findings::default();
        assert!(findings.is_clear());
        findings.found(&Kind::POD, &json!({"metadata": {}}));
        let held = json!({"metadata": {"finalizers": ["example.com/mine"]}});
        findings.found(&Kind::POD, &held);
        assert!(!findings.is_clear());
        let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let conditions = findings.conditions(&Value::Null, first).unwrap();
        let messages: Vec<&str> = conditions
            .iter()
            .map(|condition| condition["message"].as_str().unwrap())
            .collect();
        assert_eq!(
            messages,
            [
                "All resources successfully discovered",
                "All content successfully deleted, may be waiting on finalization",
                "Some resources are remaining: pods has 2 resource instances",
                "Some content in the namespace has finalizers remaining: example.com/mine in 1 \
                 resource instances",
            ]
        );
        let known = Value::from(conditions);
        assert_eq!(findings.conditions(&known, first), None);
        findings.found(&Kind::POD, &json!({}));
        let later: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let conditions = findings.conditions(&known, later).unwrap();
        let since = &conditions[2]["lastTransitionTime"];
        assert_eq!(since, "2026-01-01T00:00:00Z", "its status did not change");
    }

    #[test]
    fn failures_keep_the_namespace() {
        let mut findings = Findings::default();
        findings.failed(&Kind::LEASE, "no answer");
        assert!(!findings.is_clear());
        let mut findings = Findings::default();
        findings.undiscovered("no answer");
        assert!(!findings.is_clear());
        let conditions = findings
            .conditions(&Value::Null, Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(conditions[0]["status"], "True");
        assert_eq!(conditions[0]["reason"], "DiscoveryFailed");
    }
}
