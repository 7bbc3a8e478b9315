//! What the failure of a pod, or the success of some, means for the whole Job. Pure.

use std::collections::BTreeSet;

use serde::Deserialize;
use windlass_engine::ObjectKey;

use super::indexes;
use crate::life::Stage;
use crate::objects::Pod;

/// One rule of `podFailurePolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailureRule {
    action: Action,
    #[serde(default)]
    on_exit_codes: Option<ExitCodes>,
    #[serde(default)]
    on_pod_conditions: Vec<PodCondition>,
}

/// What a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Action {
    FailJob,
    Ignore,
    Count,
    /// Indexes do not fail by themselves here, so that such a pod counts.
    FailIndex,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExitCodes {
    #[serde(default)]
    container_name: Option<String>,
    operator: String,
    #[serde(default)]
    values: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    status: Option<String>,
}

/// One rule of `successPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SuccessRule {
    #[serde(default)]
    succeeded_indexes: Option<String>,
    #[serde(default)]
    succeeded_count: Option<i64>,
}

/// What a failed pod means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Counts,
    Ignored,
    /// The Job fails, for this reason.
    Fatal(String),
}

/// Judges a pod by the first rule that is about it.
pub(super) fn judge(rules: &[FailureRule], key: &ObjectKey, pod: &Pod) -> Verdict {
    // A pod that has not ended yet has nothing to be judged by.
    if pod.life.stage != Stage::Failed {
        return Verdict::Counts;
    }
    for (index, rule) in rules.iter().enumerate() {
        let Some(found) = rule.applies(pod) else {
            continue;
        };
        return match rule.action {
            Action::Ignore => Verdict::Ignored,
            Action::Count | Action::FailIndex => Verdict::Counts,
            Action::FailJob => Verdict::Fatal(match found {
                Found::Exit { container, code } => format!(
                    "Container {container} for pod {key} failed with exit code {code} matching \
                     FailJob rule at index {index}"
                ),
                Found::Condition(kind) => {
                    format!("Pod {key} has condition {kind} matching FailJob rule at index {index}")
                }
            }),
        };
    }
    Verdict::Counts
}

/// What a rule found.
enum Found<'a> {
    Exit { container: &'a str, code: i64 },
    Condition(&'a str),
}

impl FailureRule {
    fn applies<'a>(&'a self, pod: &'a Pod) -> Option<Found<'a>> {
        if let Some(codes) = &self.on_exit_codes {
            let exit = pod.life.exits.iter().find(|exit| {
                let named = codes
                    .container_name
                    .as_ref()
                    .is_none_or(|name| *name == exit.container);
                let listed = codes.values.contains(&exit.code);
                named && exit.code != 0 && listed == (codes.operator == "In")
            })?;
            return Some(Found::Exit {
                container: &exit.container,
                code: exit.code,
            });
        }
        let holds = |wanted: &&PodCondition| {
            let status = wanted.status.as_deref().unwrap_or("True");
            let known = &pod.life.conditions;
            known
                .iter()
                .any(|(kind, is)| *kind == wanted.kind && is == status)
        };
        let condition = self.on_pod_conditions.iter().find(holds)?;
        Some(Found::Condition(&condition.kind))
    }
}

/// The first rule that these successes are enough for.
pub(super) fn enough(rules: &[SuccessRule], succeeded: &BTreeSet<i64>) -> Option<usize> {
    rules.iter().position(|rule| {
        let wanted = rule.succeeded_indexes.as_deref().map(indexes::read);
        let matched = match &wanted {
            Some(wanted) => wanted.intersection(succeeded).count() as i64,
            None => succeeded.len() as i64,
        };
        match (rule.succeeded_count, &wanted) {
            (Some(count), _) => matched >= count,
            (None, Some(wanted)) => matched == wanted.len() as i64,
            (None, None) => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::View;
    use serde_json::{Value, json};

    fn pod(code: i64, condition: &str) -> Pod {
        Pod::read(json!({"status": {
            "phase": "Failed",
            "conditions": [{"type": condition, "status": "True"}],
            "containerStatuses": [
                {"name": "main", "state": {"terminated": {"exitCode": code}}},
                {"name": "side", "state": {"terminated": {"exitCode": 0}}},
            ],
        }}))
        .unwrap()
    }

    fn judged(rules: Value, pod: &Pod) -> Verdict {
        let rules: Vec<FailureRule> = serde_json::from_value(rules).unwrap();
        judge(&rules, &ObjectKey::namespaced("team", "p"), pod)
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let fail_42 = json!({"action": "FailJob", "onExitCodes": {
            "containerName": "main", "operator": "In", "values": [42],
        }});
        let ignore_disruption = json!({"action": "Ignore", "onPodConditions": [
            {"type": "DisruptionTarget"},
        ]});
        let others_count = json!({"action": "Count", "onExitCodes": {
            "operator": "NotIn", "values": [1, 2],
        }});
        let ignore_all = json!({"action": "Ignore", "onExitCodes": {
            "operator": "NotIn", "values": [255],
        }});
        let rules = json!([fail_42, ignore_disruption, others_count, ignore_all]);
        let fatal = "Container main for pod team/p failed with exit code 42 matching FailJob rule \
                     at index 0";
        let cases = [
            (42, "Other", Verdict::Fatal(fatal.to_owned())),
            (1, "DisruptionTarget", Verdict::Ignored),
            (7, "Other", Verdict::Counts),
            (1, "Other", Verdict::Ignored),
            (255, "Other", Verdict::Counts),
        ];
        for (code, condition, expected) in cases {
            let found = judged(rules.clone(), &pod(code, condition));
            assert_eq!(found, expected, "{code} {condition}");
        }
    }

    #[test]
    fn a_success_policy_asks_for_indexes_or_for_a_number_of_them() {
        let cases = [
            (json!({"succeededIndexes": "0-2"}), &[0, 1][..], false),
            (json!({"succeededIndexes": "0-2"}), &[0, 1, 2][..], true),
            (
                json!({"succeededIndexes": "0-2", "succeededCount": 2}),
                &[0, 2][..],
                true,
            ),
            (json!({"succeededCount": 2}), &[5][..], false),
            (json!({"succeededCount": 2}), &[5, 9][..], true),
        ];
        for (rule, indexes, expected) in cases {
            let rules: Vec<SuccessRule> = serde_json::from_value(json!([rule])).unwrap();
            let indexes = indexes.iter().copied().collect();
            assert_eq!(
                enough(&rules, &indexes).is_some(),
                expected,
                "{rule} {indexes:?}"
            );
        }
    }
}
