use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::super::keeper::Step;
use super::count::INDEX;
use super::*;
use crate::workloads::samples::merge;

/// A Job and its pods as the API keeps them.
#[derive(Clone)]
struct Stage {
    job: Option<Value>,
    pods: BTreeMap<String, Value>,
    told: Vec<String>,
    made: usize,
    now: Timestamp,
}

impl Stage {
    fn new(spec: &Value) -> Self {
        let mut job = json!({
            "metadata": {"name": "sum", "namespace": "team", "uid": "job", "generation": 1},
            "spec": {
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 6,
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "job"}},
                "template": {
                    "metadata": {"labels": {
                        "batch.kubernetes.io/controller-uid": "job",
                        "batch.kubernetes.io/job-name": "sum",
                    }},
                    "spec": {"containers": [{"name": "main"}], "restartPolicy": "Never"},
                },
            },
        });
        merge(&mut job["spec"], spec);
        Self {
            job: Some(job),
            pods: BTreeMap::new(),
            told: Vec::new(),
            made: 0,
            now: "2026-01-01T01:00:00Z".parse().unwrap(),
        }
    }

    fn world(&self) -> World {
        let pods = self.pods.iter().map(|(name, pod)| {
            (
                ObjectKey::namespaced("team", name.as_str()),
                Arc::new(Pod::read(pod.clone()).unwrap()),
            )
        });
        World {
            key: ObjectKey::namespaced("team", "sum"),
            job: self
                .job
                .as_ref()
                .map(|job| Arc::new(Job::read(job.clone()).unwrap())),
            pods: pods.collect(),
        }
    }

    fn plan(&self) -> Plan {
        plan::plan(&self.world(), self.now)
    }

    /// One pass, of which only the first so many steps are carried out.
    fn pass_up_to(&mut self, steps: usize) {
        for step in self.plan().steps.into_iter().take(steps) {
            self.carry_out(&step);
        }
    }

    fn pass(&mut self) {
        self.pass_up_to(usize::MAX);
    }

    /// Passes until there is nothing to do.
    fn settle(&mut self) {
        for _ in 0..50 {
            if self.plan().steps.is_empty() {
                return;
            }
            self.pass();
        }
        panic!("it does not settle: {:?}", self.plan().steps);
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Create { object, .. } => {
                self.made += 1;
                let mut pod = object.clone();
                pod["metadata"]["uid"] = format!("uid-{}", self.made).into();
                pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
                pod["spec"]["nodeName"] = "one".into();
                pod["status"] = json!({"phase": "Running"});
                self.pods.insert(format!("sum-{:03}", self.made), pod);
            }
            Step::Delete { kind, name, .. } => {
                if *kind == JOB {
                    self.job = None;
                    return;
                }
                self.delete(name);
            }
            Step::Patch { name, patch, .. } => {
                let Some(pod) = self.pods.get_mut(&**name) else {
                    return;
                };
                let removed = &patch["metadata"]["$deleteFromPrimitiveList/finalizers"];
                assert_eq!(removed, &json!([TRACKED]), "{patch}");
                pod["metadata"]["finalizers"] = json!([]);
                if pod["metadata"]["deletionTimestamp"].is_string() {
                    self.pods.remove(&**name);
                }
            }
            Step::Status { patch } => merge(self.job.as_mut().unwrap(), patch),
            Step::Tell(note) => self.told.push(note.reason.to_owned()),
        }
    }

    /// As the API: a pod with a finalizer stays.
    fn delete(&mut self, name: &str) {
        let Some(pod) = self.pods.get_mut(name) else {
            return;
        };
        if pod["metadata"]["finalizers"] == json!([TRACKED]) {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:00Z".into();
        } else {
            self.pods.remove(name);
        }
    }

    /// The pod ends with this exit code, long ago.
    fn ends(&mut self, name: &str, code: i64) {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let ended = json!({"exitCode": code, "finishedAt": "2026-01-01T00:10:00Z"});
        self.pods.get_mut(name).unwrap()["status"] = json!({
            "phase": phase,
            "containerStatuses": [{"name": "main", "state": {"terminated": ended}}],
        });
    }

    /// The pods that run.
    fn active(&self) -> Vec<String> {
        let runs = |pod: &Value| {
            pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let running = self.pods.iter().filter(|(_, pod)| runs(pod));
        running.map(|(name, _)| name.clone()).collect()
    }

    fn status(&self) -> &Value {
        &self.job.as_ref().unwrap()["status"]
    }

    fn condition(&self, kind: &str) -> Option<&str> {
        let conditions = self.status()["conditions"].as_array()?;
        let known = conditions
            .iter()
            .find(|known| known["type"] == kind && known["status"] == "True")?;
        known["reason"].as_str()
    }
}

#[test]
fn a_job_is_complete_after_as_many_successes_as_it_wants() {
    let mut stage = Stage::new(&json!({"completions": 3, "parallelism": 2}));
    stage.settle();
    assert_eq!(stage.active(), ["sum-001", "sum-002"]);
    assert_eq!(stage.status()["active"], 2);
    assert_eq!(stage.status()["startTime"], "2026-01-01T01:00:00Z");
    let pod = &stage.pods["sum-001"]["metadata"];
    assert_eq!(pod["finalizers"], json!([TRACKED]));
    assert_eq!(pod["generateName"], "sum-");
    stage.ends("sum-001", 0);
    stage.settle();
    assert_eq!(stage.active(), ["sum-002", "sum-003"]);
    stage.ends("sum-002", 0);
    stage.settle();
    assert_eq!(
        stage.active(),
        ["sum-003"],
        "not more than are still wanted"
    );
    stage.ends("sum-003", 0);
    stage.settle();
    assert_eq!(
        stage.condition("SuccessCriteriaMet"),
        Some("CompletionsReached")
    );
    assert_eq!(stage.condition("Complete"), Some("CompletionsReached"));
    assert_eq!(stage.status()["succeeded"], 3);
    assert_eq!(stage.status()["completionTime"], "2026-01-01T01:00:00Z");
    assert_eq!(stage.status()["uncountedTerminatedPods"], json!({}));
    let finalizers: Vec<_> = stage
        .pods
        .values()
        .map(|pod| &pod["metadata"]["finalizers"])
        .collect();
    assert_eq!(finalizers, [&json!([]); 3]);
    assert_eq!(stage.told, ["Completed"]);
}

#[test]
fn a_job_without_completions_is_complete_when_one_has_succeeded_and_none_is_left() {
    let mut stage = Stage::new(&json!({"completions": null, "parallelism": 3}));
    stage.settle();
    stage.ends("sum-002", 0);
    stage.settle();
    assert_eq!(stage.active(), ["sum-001", "sum-003"]);
    stage.ends("sum-001", 1);
    stage.settle();
    assert_eq!(
        stage.active(),
        ["sum-003"],
        "a failed one is not replaced any more"
    );
    stage.ends("sum-003", 0);
    stage.settle();
    assert_eq!(stage.condition("Complete"), Some("CompletionsReached"));
}

#[test]
fn failures_are_made_up_for_until_there_are_too_many() {
    let mut stage = Stage::new(&json!({"backoffLimit": 1, "completions": 2, "parallelism": 2}));
    stage.settle();
    stage.ends("sum-001", 1);
    stage.settle();
    assert_eq!(stage.active(), ["sum-002", "sum-003"]);
    assert_eq!(stage.status()["failed"], 1);
    stage.ends("sum-003", 1);
    stage.pass();
    assert_eq!(
        stage.condition("FailureTarget"),
        Some("BackoffLimitExceeded")
    );
    assert_eq!(stage.condition("Failed"), None, "one pod still runs");
    stage.settle();
    assert_eq!(stage.condition("Failed"), Some("BackoffLimitExceeded"));
    assert_eq!(stage.status()["failed"], 3, "what was ended has failed");
    assert_eq!(stage.active(), [""; 0]);
}

#[test]
fn a_failed_pod_is_replaced_after_a_pause_that_grows() {
    let mut stage = Stage::new(&json!({}));
    stage.settle();
    stage.ends("sum-001", 1);
    let finished = "/status/containerStatuses/0/state/terminated/finishedAt";
    *stage
        .pods
        .get_mut("sum-001")
        .unwrap()
        .pointer_mut(finished)
        .unwrap() = "2026-01-01T00:59:57Z".into();
    stage.settle();
    assert_eq!(stage.active(), [""; 0]);
    let again = stage.plan().again.unwrap();
    assert_eq!(again.as_secs(), 7);
    stage.now = "2026-01-01T01:00:07Z".parse().unwrap();
    stage.settle();
    assert_eq!(stage.active(), ["sum-002"]);
    stage.ends("sum-002", 1);
    *stage
        .pods
        .get_mut("sum-002")
        .unwrap()
        .pointer_mut(finished)
        .unwrap() = "2026-01-01T01:00:07Z".into();
    stage.settle();
    assert_eq!(stage.plan().again.unwrap().as_secs(), 20);
}

#[test]
fn containers_that_are_restarted_count_where_their_pod_stays() {
    let mut spec = json!({"backoffLimit": 2});
    spec["template"]["spec"]["restartPolicy"] = "OnFailure".into();
    let mut stage = Stage::new(&spec);
    stage.settle();
    stage.pods.get_mut("sum-001").unwrap()["status"]["containerStatuses"] =
        json!([{"name": "main", "restartCount": 2}]);
    stage.settle();
    assert_eq!(stage.condition("Failed"), Some("BackoffLimitExceeded"));
}

#[test]
fn a_job_that_takes_too_long_fails() {
    let mut stage = Stage::new(&json!({"activeDeadlineSeconds": 60}));
    stage.settle();
    assert_eq!(stage.plan().again.unwrap().as_secs(), 60);
    stage.now = "2026-01-01T01:01:00Z".parse().unwrap();
    stage.settle();
    assert_eq!(stage.condition("Failed"), Some("DeadlineExceeded"));
    assert_eq!(stage.active(), [""; 0]);
}

#[test]
fn a_suspended_job_has_no_pods_and_its_clock_starts_again() {
    let mut stage = Stage::new(&json!({"suspend": true, "activeDeadlineSeconds": 60}));
    stage.settle();
    assert_eq!(
        (stage.active(), stage.condition("Suspended")),
        (vec![], Some("JobSuspended"))
    );
    assert_eq!(stage.status()["startTime"], Value::Null);
    stage.job.as_mut().unwrap()["spec"]["suspend"] = false.into();
    stage.settle();
    assert_eq!(stage.active(), ["sum-001"]);
    stage.job.as_mut().unwrap()["spec"]["suspend"] = true.into();
    stage.settle();
    assert_eq!(stage.active(), [""; 0]);
    assert_eq!(stage.status()["failed"], Value::Null, "it has not failed");
    stage.now = "2026-01-01T02:00:00Z".parse().unwrap();
    stage.job.as_mut().unwrap()["spec"]["suspend"] = false.into();
    stage.settle();
    assert_eq!(stage.status()["startTime"], "2026-01-01T02:00:00Z");
    assert_eq!(stage.active(), ["sum-002"]);
    assert_eq!(stage.told, ["Suspended", "Resumed", "Suspended", "Resumed"]);
}

#[test]
fn an_indexed_job_has_one_pod_for_each_index_until_all_have_succeeded() {
    let spec = json!({"completionMode": "Indexed", "completions": 3, "parallelism": 2});
    let mut stage = Stage::new(&spec);
    stage.settle();
    let pod = &stage.pods["sum-002"];
    assert_eq!(pod["metadata"]["annotations"][INDEX], "1");
    assert_eq!(pod["metadata"]["labels"][INDEX], "1");
    assert_eq!(pod["metadata"]["generateName"], "sum-1-");
    assert_eq!(pod["spec"]["hostname"], "sum-1");
    assert_eq!(
        pod["spec"]["containers"][0]["env"][0]["name"],
        "JOB_COMPLETION_INDEX"
    );
    stage.ends("sum-002", 1);
    stage.settle();
    assert_eq!(
        stage.pods["sum-003"]["metadata"]["labels"][INDEX], "1",
        "the same index again"
    );
    stage.ends("sum-001", 0);
    stage.ends("sum-003", 0);
    stage.settle();
    assert_eq!(stage.status()["completedIndexes"], "0,1");
    stage.ends("sum-004", 0);
    stage.settle();
    assert_eq!(stage.status()["completedIndexes"], "0-2");
    assert_eq!(
        (&stage.status()["succeeded"], &stage.status()["failed"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(stage.condition("Complete"), Some("CompletionsReached"));
}

#[test]
fn fewer_pods_run_after_the_parallelism_is_lowered_and_none_counts_as_failed() {
    let spec = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 3});
    let mut stage = Stage::new(&spec);
    stage.settle();
    stage.job.as_mut().unwrap()["spec"]["parallelism"] = 1.into();
    stage.settle();
    assert_eq!(stage.active(), ["sum-001"], "the lowest index stays");
    assert_eq!(stage.status()["failed"], Value::Null);
}

#[test]
fn the_policy_says_what_a_failure_means() {
    let rule = |action: &str, code: i64| json!({"action": action, "onExitCodes": {"operator": "In", "values": [code]}});
    let rules = json!([rule("FailJob", 42), rule("Ignore", 7)]);
    let spec = json!({
        "completions": 2, "parallelism": 2, "backoffLimit": 0,
        "podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": rules},
    });
    let mut stage = Stage::new(&spec);
    stage.settle();
    stage.ends("sum-001", 7);
    stage.settle();
    assert_eq!(stage.active(), ["sum-002", "sum-003"], "it does not count");
    assert_eq!(stage.status()["failed"], Value::Null);
    stage.ends("sum-003", 42);
    stage.pass();
    assert_eq!(stage.condition("FailureTarget"), Some("PodFailurePolicy"));
    stage.settle();
    // The node tells of the end of the pod that was still running.
    stage.ends("sum-002", 137);
    stage.settle();
    assert_eq!(stage.condition("Failed"), Some("PodFailurePolicy"));
}

#[test]
fn enough_successes_end_the_rest() {
    let spec = json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    });
    let mut stage = Stage::new(&spec);
    stage.settle();
    stage.ends("sum-001", 0);
    stage.settle();
    assert_eq!(stage.condition("Complete"), Some("SuccessPolicy"));
    assert_eq!(stage.active(), [""; 0]);
}

#[test]
fn a_job_goes_when_it_has_been_over_for_long_enough() {
    let mut stage = Stage::new(&json!({"ttlSecondsAfterFinished": 30}));
    stage.settle();
    stage.ends("sum-001", 0);
    stage.settle();
    assert_eq!(stage.plan().again.unwrap().as_secs(), 30);
    stage.now = "2026-01-01T01:00:30Z".parse().unwrap();
    stage.pass();
    assert!(stage.job.is_none());
}

#[test]
fn a_job_that_goes_keeps_no_pod() {
    for orphaned in [false, true] {
        let mut stage = Stage::new(&json!({}));
        stage.settle();
        stage.job = None;
        let pod = stage.pods.get_mut("sum-001").unwrap();
        if orphaned {
            pod["metadata"]["ownerReferences"] = json!([]);
        }
        stage.settle();
        assert_eq!(stage.pods["sum-001"]["metadata"]["finalizers"], json!([]));
    }
    let mut stage = Stage::new(&json!({}));
    stage.settle();
    stage.job.as_mut().unwrap()["metadata"]["deletionTimestamp"] = "2026-01-01T01:00:00Z".into();
    stage.settle();
    assert_eq!(stage.pods["sum-001"]["metadata"]["finalizers"], json!([]));
}

#[test]
fn a_job_that_somebody_else_manages_is_left_alone() {
    let mut stage = Stage::new(&json!({"managedBy": "example.com/other"}));
    stage.pass();
    assert!(stage.pods.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_pod_counts_once_wherever_a_pass_is_cut_off(
        completions in 1_i64..5,
        parallelism in 1_i64..4,
        indexed in any::<bool>(),
        story in prop::collection::vec((0_usize..8, prop::sample::select(vec![0_i64, 0, 1]), any::<bool>()), 1..40),
    ) {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let mut stage = Stage::new(&json!({
            "completions": completions, "parallelism": parallelism,
            "completionMode": mode, "backoffLimit": 1000,
        }));
        let (mut good, mut bad) = (0, 0);
        for (steps, code, lost) in story {
            stage.pass_up_to(steps);
            let running = stage.active();
            prop_assert!(running.len() as i64 <= parallelism, "{running:?}");
            if let Some(name) = running.first() {
                if lost {
                    // Somebody deletes it, which is a failure.
                    stage.delete(name);
                    if stage.pods.contains_key(name) {
                        bad += 1;
                    }
                } else {
                    stage.ends(name, code);
                    if code == 0 { good += 1 } else { bad += 1 }
                }
            }
        }
        for _ in 0..100 {
            stage.settle();
            match stage.active().first().cloned() {
                Some(name) => {
                    stage.ends(&name, 0);
                    good += 1;
                }
                None => break,
            }
        }
        prop_assert_eq!(stage.condition("Complete"), Some("CompletionsReached"));
        prop_assert_eq!(stage.status()["succeeded"].as_i64().unwrap_or(0), good);
        prop_assert_eq!(stage.status()["failed"].as_i64().unwrap_or(0), bad);
        prop_assert_eq!(good, completions);
    }
}
