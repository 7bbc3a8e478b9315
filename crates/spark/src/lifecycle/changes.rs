//! What a change of the spec does to an application: one table, and how a change is told.
//!
//! Laws:
//! - every field of the spec has exactly one row that speaks for it; a test walks the schema;
//! - a change is told by comparing what the attempt ran with what is wanted now, never by an event,
//!   so one that was made while no operator looked counts as much as any other, and one that was
//!   taken back does not count at all;
//! - digests are of what the user wrote: nothing that a version of this program adds to a spec, or
//!   how it reads it, can look like a change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a change of a field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It holds at once, and nothing that runs is touched.
    InPlace,
    /// What runs goes on as it is; the next attempt has it.
    NextAttempt,
    /// What runs is replaced, and what has ended runs again: it is another job.
    Restart,
    /// It is refused; what runs goes on.
    Rejected,
}

use Effect::{InPlace, NextAttempt, Rejected, Restart};

/// Each row speaks for its path and what is below it.
pub const TABLE: &[(&str, Effect)] = &[
    // What the operator itself goes by.
    ("suspend", InPlace),
    ("timeToLiveSeconds", InPlace),
    ("restartPolicy", InPlace),
    ("failureRetries", InPlace),
    ("retryInterval", InPlace),
    // What is run.
    ("mode", Rejected),
    ("type", Restart),
    ("sparkVersion", Restart),
    ("pythonVersion", Restart),
    ("image", Restart),
    ("mainClass", Restart),
    ("mainApplicationFile", Restart),
    ("arguments", Restart),
    ("sparkConf", Restart),
    ("hadoopConf", Restart),
    ("objectStores", Restart),
    ("eventLog", Restart),
    // What runs goes on where its log is.
    ("keepLogs", NextAttempt),
    ("sparkConfigMap", Restart),
    ("hadoopConfigMap", Restart),
    ("deps", Restart),
    ("proxyUser", Restart),
    ("volumes", Restart),
    ("memoryOverheadFactor", Restart),
    ("dynamicAllocation", Restart),
    // How pods come to their places, and what stands around them.
    ("imagePullPolicy", NextAttempt),
    ("imagePullSecrets", NextAttempt),
    ("nodeSelector", NextAttempt),
    ("monitoring", NextAttempt),
    ("batchScheduler", NextAttempt),
    ("batchSchedulerOptions", NextAttempt),
    ("sparkUIOptions", NextAttempt),
    ("driverIngressOptions", NextAttempt),
    ("driverPodDisruptionBudget", NextAttempt),
    // The driver.
    ("driver.cores", Restart),
    ("driver.coreRequest", Restart),
    ("driver.coreLimit", Restart),
    ("driver.memory", Restart),
    ("driver.memoryLimit", Restart),
    ("driver.memoryOverhead", Restart),
    ("driver.gpu", Restart),
    ("driver.image", Restart),
    ("driver.javaOptions", Restart),
    ("driver.env", Restart),
    ("driver.envVars", Restart),
    ("driver.envFrom", Restart),
    ("driver.envSecretKeyRefs", Restart),
    ("driver.configMaps", Restart),
    ("driver.secrets", Restart),
    ("driver.volumeMounts", Restart),
    ("driver.template", Restart),
    ("driver.initContainers", Restart),
    ("driver.sidecars", Restart),
    ("driver.securityContext", Restart),
    ("driver.podSecurityContext", Restart),
    ("driver.serviceAccount", Restart),
    ("driver.hostNetwork", Restart),
    ("driver.hostAliases", Restart),
    ("driver.dnsConfig", Restart),
    ("driver.shareProcessNamespace", Restart),
    ("driver.ports", Restart),
    ("driver.kubernetesMaster", Restart),
    ("driver.podName", NextAttempt),
    ("driver.labels", NextAttempt),
    ("driver.annotations", NextAttempt),
    ("driver.serviceLabels", NextAttempt),
    ("driver.serviceAnnotations", NextAttempt),
    ("driver.nodeSelector", NextAttempt),
    ("driver.affinity", NextAttempt),
    ("driver.tolerations", NextAttempt),
    ("driver.schedulerName", NextAttempt),
    ("driver.priorityClassName", NextAttempt),
    ("driver.lifecycle", NextAttempt),
    ("driver.terminationGracePeriodSeconds", NextAttempt),
    // The executors.
    ("executor.instances", Restart),
    ("executor.cores", Restart),
    ("executor.coreRequest", Restart),
    ("executor.coreLimit", Restart),
    ("executor.memory", Restart),
    ("executor.memoryLimit", Restart),
    ("executor.memoryOverhead", Restart),
    ("executor.gpu", Restart),
    ("executor.image", Restart),
    ("executor.javaOptions", Restart),
    ("executor.env", Restart),
    ("executor.envVars", Restart),
    ("executor.envFrom", Restart),
    ("executor.envSecretKeyRefs", Restart),
    ("executor.configMaps", Restart),
    ("executor.secrets", Restart),
    ("executor.volumeMounts", Restart),
    ("executor.template", Restart),
    ("executor.initContainers", Restart),
    ("executor.sidecars", Restart),
    ("executor.securityContext", Restart),
    ("executor.podSecurityContext", Restart),
    ("executor.serviceAccount", Restart),
    ("executor.hostNetwork", Restart),
    ("executor.hostAliases", Restart),
    ("executor.dnsConfig", Restart),
    ("executor.shareProcessNamespace", Restart),
    ("executor.ports", Restart),
    ("executor.spot", Restart),
    ("executor.deleteOnTermination", NextAttempt),
    ("executor.labels", NextAttempt),
    ("executor.annotations", NextAttempt),
    ("executor.nodeSelector", NextAttempt),
    ("executor.affinity", NextAttempt),
    ("executor.tolerations", NextAttempt),
    ("executor.schedulerName", NextAttempt),
    ("executor.priorityClassName", NextAttempt),
    ("executor.lifecycle", NextAttempt),
    ("executor.terminationGracePeriodSeconds", NextAttempt),
];

/// Defaults of the CRD below rows that are compared: written out or not, they are the same.
const DEFAULTS: &[(&str, &str)] = &[("mode", "\"cluster\"")];

/// Digests of what the user wrote, by the path of the row that speaks for it. What is not written
/// has none.
pub type Fields = BTreeMap<String, String>;

/// What a change of the field at this path does; `None` for what is no field of the spec.
pub fn effect_of(path: &str) -> Option<Effect> {
    let speaks = |row: &str| {
        path.strip_prefix(row)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    TABLE
        .iter()
        .find(|(row, _)| speaks(row))
        .map(|(_, effect)| *effect)
}

/// The digests of a spec, of all that is not in place anyway.
pub fn fields_of(spec: &Value) -> Fields {
    let compared = TABLE.iter().filter(|(_, effect)| *effect != InPlace);
    compared
        .filter_map(|(path, _)| {
            let value = path.split('.').try_fold(spec, |at, name| at.get(name))?;
            let text = canonical(value)?;
            if DEFAULTS.contains(&(*path, text.as_str())) {
                return None;
            }
            Some(((*path).to_owned(), digest(&text)))
        })
        .collect()
}

/// The fields in which two specs differ, by what that does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Those that replace what runs.
    pub restart: Vec<&'static str>,
    /// Those that wait for the next attempt.
    pub next_attempt: Vec<&'static str>,
    /// Those that cannot be changed.
    pub rejected: Vec<&'static str>,
}

impl Changes {
    /// What is wanted but not run.
    pub fn between(ran: &Fields, wanted: &Fields) -> Self {
        let mut changes = Self::default();
        for (path, effect) in TABLE {
            if ran.get(*path) == wanted.get(*path) {
                continue;
            }
            match effect {
                InPlace => {}
                NextAttempt => changes.next_attempt.push(path),
                Restart => changes.restart.push(path),
                Rejected => changes.rejected.push(path),
            }
        }
        changes
    }

    /// Whether what is wanted is what runs.
    pub fn is_empty(&self) -> bool {
        self.restart.is_empty() && self.next_attempt.is_empty() && self.rejected.is_empty()
    }
}

/// `spec.image, spec.arguments and 2 more`
pub(super) fn named(paths: &[&str]) -> String {
    const NAMED: usize = 4;
    let mut words = String::new();
    for (index, path) in paths.iter().take(NAMED).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(words, "{comma}spec.{path}");
    }
    if let Some(more) = paths.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = write!(words, " and {more} more");
    }
    words
}

/// The value as text, in which order of keys and what is empty make no difference; `None` for what
/// says nothing.
pub(super) fn canonical(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(fields) => {
            let keys: BTreeSet<&String> = fields.keys().collect();
            let inner: Vec<String> = keys
                .into_iter()
                .filter_map(|key| {
                    Some(format!(
                        "{}:{}",
                        Value::from(key.as_str()),
                        canonical(&fields[key])?
                    ))
                })
                .collect();
            (!inner.is_empty()).then(|| format!("{{{}}}", inner.join(",")))
        }
        Value::Array(items) => {
            // The place of an item may matter even where the item says nothing.
            let inner: Vec<String> = items
                .iter()
                .map(|item| canonical(item).unwrap_or_else(|| "null".to_owned()))
                .collect();
            (!inner.is_empty()).then(|| format!("[{}]", inner.join(",")))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.to_string()),
    }
}

/// Enough digits that two values of one field are told apart, and few enough to be kept for each.
const DIGITS: usize = 12;

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let mut digits = String::with_capacity(DIGITS);
    for byte in hash.iter().take(DIGITS / 2) {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changes(ran: &Value, wanted: &Value) -> Changes {
        Changes::between(&fields_of(ran), &fields_of(wanted))
    }

    #[test]
    fn a_change_is_told_with_its_field_and_what_it_does() {
        let ran = json!({"image": "a", "driver": {"cores": 1, "labels": {"team": "x"}}});
        let wanted = json!({"image": "b", "driver": {"cores": 1, "labels": {"team": "y"}},
            "timeToLiveSeconds": 60, "mode": "client"});
        let changes = changes(&ran, &wanted);
        assert_eq!(changes.restart, ["image"]);
        assert_eq!(changes.next_attempt, ["driver.labels"]);
        assert_eq!(changes.rejected, ["mode"]);
    }

    #[test]
    fn how_a_value_is_written_is_no_change() {
        let pairs = [
            (json!({"mode": "cluster"}), json!({})),
            (
                json!({"sparkConf": {"a": "1", "b": "2"}}),
                json!({"sparkConf": {"b": "2", "a": "1"}}),
            ),
            (
                json!({"arguments": [], "deps": {"jars": []}}),
                json!({"image": null}),
            ),
            (json!({"driver": {}}), json!({"driver": {"env": []}})),
        ];
        for (ran, wanted) in pairs {
            assert_eq!(changes(&ran, &wanted), Changes::default(), "{ran} {wanted}");
        }
    }

    #[test]
    fn the_order_of_a_list_is_a_change() {
        let changes = changes(
            &json!({"arguments": ["1", "2"]}),
            &json!({"arguments": ["2", "1"]}),
        );
        assert_eq!(changes.restart, ["arguments"]);
    }

    #[test]
    fn a_row_speaks_for_what_is_below_it_and_for_nothing_else() {
        assert_eq!(effect_of("restartPolicy.onFailureRetries"), Some(InPlace));
        assert_eq!(effect_of("deps.jars[]"), Some(Restart));
        assert_eq!(effect_of("imagePullPolicy"), Some(NextAttempt));
        assert_eq!(effect_of("driver"), None);
        assert_eq!(effect_of("imageTag"), None);
    }

    #[test]
    fn many_fields_are_counted() {
        assert_eq!(named(&["a", "b"]), "spec.a, spec.b");
        assert_eq!(
            named(&["a", "b", "c", "d", "e"]),
            "spec.a, spec.b, spec.c, spec.d and 1 more"
        );
    }
}
