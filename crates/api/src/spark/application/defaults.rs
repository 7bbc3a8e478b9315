//! What is decided when a plan is made, because it depends on more than one field.
//!
//! Law: these are pure functions of the specification; nothing of it is ever written back to the
//! object, so a client that replaces the object does not change what runs.

use super::{RestartPolicyType, SparkApplicationSpec};

/// The settings that have a value even when the specification gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Cores of the driver; `None` when sparkConf says it.
    pub driver_cores: Option<i32>,
    /// Heap of the driver; `None` when sparkConf says it.
    pub driver_memory: Option<String>,
    /// Cores of each executor; `None` when sparkConf says it.
    pub executor_cores: Option<i32>,
    /// Heap of each executor; `None` when sparkConf says it.
    pub executor_memory: Option<String>,
    /// How many executors; `None` when dynamic allocation or sparkConf says it.
    pub executor_instances: Option<i32>,
    /// Whether Spark adds and removes executors.
    pub dynamic_allocation: bool,
    /// When and how often an attempt is followed by another one.
    pub retries: Retries,
}

/// When and how often an attempt is followed by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Which ends are followed by another attempt.
    pub policy: RestartPolicyType,
    /// How many reruns may follow failures; without meaning unless the policy is OnFailure.
    pub on_failure: u32,
    /// Seconds before the first rerun.
    pub on_failure_interval: u32,
    /// How many more submissions may follow one that failed.
    pub on_submission_failure: u32,
    /// Seconds before the second submission.
    pub on_submission_failure_interval: u32,
}

impl Retries {
    const DEFAULT_INTERVAL_SECONDS: u32 = 5;
}

impl Resolved {
    /// Decides the defaults of a specification.
    pub fn of(spec: &SparkApplicationSpec) -> Self {
        let in_conf = |key: &str| spec.spark_conf.contains_key(key);
        let or_default =
            |given: Option<i32>, key: &str| given.or_else(|| (!in_conf(key)).then_some(1));
        let heap = |given: &Option<String>, key: &str| {
            given
                .clone()
                .or_else(|| (!in_conf(key)).then(|| "1g".to_owned()))
        };
        let dynamic_allocation = dynamic_allocation_enabled(spec);
        let instances_elsewhere = dynamic_allocation || in_conf("spark.executor.instances");
        Self {
            driver_cores: or_default(spec.driver.pod.cores, "spark.driver.cores"),
            driver_memory: heap(&spec.driver.pod.memory, "spark.driver.memory"),
            executor_cores: or_default(spec.executor.pod.cores, "spark.executor.cores"),
            executor_memory: heap(&spec.executor.pod.memory, "spark.executor.memory"),
            executor_instances: spec
                .executor
                .instances
                .or_else(|| (!instances_elsewhere).then_some(1)),
            dynamic_allocation,
            retries: retries(spec),
        }
    }
}

/// Typed fields beat sparkConf, so a typed `enabled: false` switches a conf key off.
fn dynamic_allocation_enabled(spec: &SparkApplicationSpec) -> bool {
    match &spec.dynamic_allocation {
        Some(dynamic) => dynamic.enabled,
        None => spec
            .spark_conf
            .get("spark.dynamicAllocation.enabled")
            .and_then(|value| value.text())
            .is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
    }
}

fn retries(spec: &SparkApplicationSpec) -> Retries {
    let policy = &spec.restart_policy;
    let count = |given: Option<i32>| {
        given
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0)
    };
    let seconds = |given: Option<i64>| {
        given
            .and_then(|seconds| u32::try_from(seconds).ok())
            .unwrap_or(Retries::DEFAULT_INTERVAL_SECONDS)
    };
    Retries {
        policy: policy.kind,
        on_failure: count(policy.on_failure_retries),
        on_failure_interval: seconds(policy.on_failure_retry_interval),
        on_submission_failure: count(policy.on_submission_failure_retries),
        on_submission_failure_interval: seconds(policy.on_submission_failure_retry_interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spark::application::DynamicAllocation;

    fn spec(conf: &[(&str, &str)]) -> SparkApplicationSpec {
        let spark_conf = conf
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect();
        SparkApplicationSpec {
            spark_conf,
            ..SparkApplicationSpec::default()
        }
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let resolved = Resolved::of(&spec(&[]));
        assert_eq!(resolved.driver_cores, Some(1));
        assert_eq!(resolved.driver_memory.as_deref(), Some("1g"));
        assert_eq!(resolved.executor_instances, Some(1));
        assert_eq!(resolved.retries.on_failure_interval, 5);
    }

    #[test]
    fn what_spark_conf_says_is_left_to_it() {
        let resolved = Resolved::of(&spec(&[
            ("spark.driver.cores", "2"),
            ("spark.executor.memory", "4g"),
            ("spark.dynamicAllocation.enabled", "true"),
        ]));
        assert_eq!(resolved.driver_cores, None);
        assert_eq!(resolved.executor_memory, None);
        assert_eq!(resolved.executor_instances, None);
        assert!(resolved.dynamic_allocation);
    }

    #[test]
    fn a_typed_field_beats_spark_conf() {
        let mut spec = spec(&[
            ("spark.dynamicAllocation.enabled", "true"),
            ("spark.driver.cores", "2"),
        ]);
        spec.dynamic_allocation = Some(DynamicAllocation::default());
        spec.driver.pod.cores = Some(3);
        let resolved = Resolved::of(&spec);
        assert!(!resolved.dynamic_allocation);
        assert_eq!(resolved.driver_cores, Some(3));
        assert_eq!(resolved.executor_instances, Some(1));
    }
}
