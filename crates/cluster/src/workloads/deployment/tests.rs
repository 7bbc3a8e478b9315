use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::super::keeper::Step;
use super::super::replica_set::REPLICA_SET;
use super::*;
use crate::workloads::samples::merge;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// A Deployment, its sets as the API keeps them, and the controller of sets as a story.
struct Stage {
    deployment: Value,
    sets: BTreeMap<String, Value>,
    pods: Vec<Keyed<Pod>>,
    told: Vec<String>,
    now: Timestamp,
    made: usize,
}

impl Stage {
    fn new(replicas: i64, strategy: Value) -> Self {
        Self {
            deployment: json!({
                "metadata": {"name": "web", "namespace": "team", "uid": "dep", "generation": 1},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": {"app": "web"}},
                    "strategy": strategy,
                    "revisionHistoryLimit": 2,
                    "progressDeadlineSeconds": 60,
                    "template": template("one"),
                },
            }),
            sets: BTreeMap::new(),
            pods: Vec::new(),
            told: Vec::new(),
            now: now(),
            made: 0,
        }
    }

    fn rolling(replicas: i64, surge: i64, unavailable: i64) -> Self {
        let amounts = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        Self::new(
            replicas,
            json!({"type": "RollingUpdate", "rollingUpdate": amounts}),
        )
    }

    fn world(&self) -> World {
        let sets = self.sets.iter().map(|(name, set)| {
            (
                ObjectKey::namespaced("team", name.as_str()),
                Arc::new(ReplicaSet::read(set.clone()).unwrap()),
            )
        });
        World {
            key: ObjectKey::namespaced("team", "web"),
            deployment: Arc::new(Deployment::read(self.deployment.clone()).unwrap()),
            sets: sets.collect(),
            pods: self.pods.clone(),
        }
    }

    /// One pass, carried out; tells whether it had any steps.
    fn pass(&mut self) -> bool {
        let plan = rollout::plan(&self.world(), self.now);
        for step in &plan.steps {
            self.carry_out(step);
        }
        !plan.steps.is_empty()
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Create { object, .. } => {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                let mut object = object.clone();
                self.made += 1;
                object["metadata"]["uid"] = format!("set-{name}").into();
                object["metadata"]["creationTimestamp"] =
                    format!("2026-01-01T00:00:{:02}Z", self.made).into();
                assert!(self.sets.insert(name, object).is_none(), "made twice");
            }
            Step::Delete { name, uid, .. } => {
                let gone = self.sets.remove(&**name).unwrap();
                assert_eq!(gone["metadata"]["uid"], **uid);
            }
            Step::Patch { kind, name, patch } => {
                let object = if *kind == REPLICA_SET {
                    self.sets.get_mut(&**name).unwrap()
                } else {
                    &mut self.deployment
                };
                merge(object, patch);
            }
            Step::Status { patch } => merge(&mut self.deployment, patch),
            Step::Tell(note) => self.told.push(note.text.clone()),
        }
    }

    /// Every set has its pods; of each at most `available` are available.
    fn sets_follow(&mut self, available: impl Fn(&str, i64) -> i64) {
        for (name, set) in &mut self.sets {
            let replicas = set["spec"]["replicas"].as_i64().unwrap();
            let available = available(name, replicas).min(replicas);
            set["status"] = json!({
                "replicas": replicas, "readyReplicas": available, "availableReplicas": available,
            });
        }
    }

    /// Passes and sets that follow, until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.sets_follow(|_, replicas| replicas);
            if !self.pass() {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.told);
    }

    fn edit(&mut self, image: &str) {
        self.deployment["spec"]["template"] = template(image);
        self.bump();
    }

    fn bump(&mut self) {
        let generation = self.deployment["metadata"]["generation"].as_i64().unwrap();
        self.deployment["metadata"]["generation"] = (generation + 1).into();
    }

    /// The sizes of the sets, by revision.
    fn sizes(&self) -> BTreeMap<i64, i64> {
        let size = |set: &Value| {
            let revision = &set["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            (
                revision.as_str().unwrap().parse().unwrap(),
                set["spec"]["replicas"].as_i64().unwrap(),
            )
        };
        self.sets.values().map(size).collect()
    }

    fn condition(&self, kind: &str) -> Value {
        let conditions = self.deployment["status"]["conditions"].as_array();
        let found = conditions
            .into_iter()
            .flatten()
            .find(|known| known["type"] == kind);
        found.cloned().unwrap_or_default()
    }

    fn total(&self, pointer: &str) -> i64 {
        let number = |set: &Value| set.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
        self.sets.values().map(number).sum()
    }
}

fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    })
}

#[test]
fn a_new_deployment_gets_a_set_named_after_the_hash_of_its_template() {
    let mut stage = Stage::rolling(3, 1, 1);
    stage.pass();
    let (name, set) = stage.sets.first_key_value().unwrap();
    let hash = set["metadata"]["labels"]["pod-template-hash"]
        .as_str()
        .unwrap();
    assert_eq!(*name, format!("web-{hash}"));
    assert_eq!(
        set["spec"]["selector"]["matchLabels"],
        json!({"app": "web", "pod-template-hash": hash})
    );
    assert_eq!(
        set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"],
        *hash
    );
    assert_eq!(set["spec"]["replicas"], 3);
    assert_eq!(
        set["metadata"]["annotations"],
        json!({
            "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
        })
    );
    assert_eq!(
        stage.condition("Progressing")["reason"],
        "NewReplicaSetCreated"
    );
    assert_eq!(stage.condition("Available")["status"], "False");
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 3)]));
    assert_eq!(
        stage.condition("Progressing")["reason"],
        "NewReplicaSetAvailable"
    );
    assert_eq!(stage.condition("Available")["status"], "True");
    let status = &stage.deployment["status"];
    assert_eq!(status["availableReplicas"], 3);
    assert_eq!(status["unavailableReplicas"], Value::Null);
    let revision = "/metadata/annotations/deployment.kubernetes.io~1revision";
    assert_eq!(stage.deployment.pointer(revision).unwrap(), "1");
}

#[test]
fn a_change_is_rolled_out_and_rolled_back_to_the_old_set_under_a_new_revision() {
    let mut stage = Stage::rolling(2, 1, 0);
    stage.settle();
    stage.edit("two");
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 0), (2, 2)]));
    stage.edit("one");
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(2, 0), (3, 2)]));
    let back = stage
        .sets
        .values()
        .find(|set| set["spec"]["replicas"] == 2)
        .unwrap();
    let history = "deployment.kubernetes.io/revision-history";
    assert_eq!(back["metadata"]["annotations"][history], "1");
    assert!(
        stage.told.iter().any(|text| text.ends_with("from 2 to 1")),
        "{:?}",
        stage.told
    );
}

#[test]
fn only_so_many_old_sets_are_kept() {
    let mut stage = Stage::rolling(1, 1, 0);
    for image in ["a", "b", "c", "d"] {
        stage.edit(image);
        stage.settle();
    }
    let revisions: Vec<i64> = stage.sizes().into_keys().collect();
    assert_eq!(revisions, [2, 3, 4]);
}

#[test]
fn recreate_ends_the_old_pods_before_it_makes_new_ones() {
    let mut stage = Stage::new(2, json!({"type": "Recreate"}));
    stage.settle();
    let old = stage.sets.values().next().unwrap()["metadata"]["uid"].clone();
    let pod = Pod::read(json!({
        "metadata": {"uid": "p", "ownerReferences": [
            {"kind": "ReplicaSet", "uid": old, "controller": true},
        ]},
        "status": {"phase": "Running"},
    }));
    let pod = (ObjectKey::namespaced("team", "p"), Arc::new(pod.unwrap()));
    stage.pods = vec![pod];
    stage.edit("two");
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 0)]), "one pod is left");
    stage.pods.clear();
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 0), (2, 2)]));
}

#[test]
fn a_paused_deployment_scales_but_rolls_nothing_out() {
    let mut stage = Stage::rolling(2, 1, 0);
    stage.settle();
    stage.deployment["spec"]["paused"] = true.into();
    stage.edit("two");
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 2)]));
    assert_eq!(stage.condition("Progressing")["reason"], "DeploymentPaused");
    stage.deployment["spec"]["replicas"] = 4.into();
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 4)]));
    stage.deployment["spec"]["paused"] = false.into();
    stage.settle();
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 0), (2, 4)]));
    assert_eq!(
        stage.condition("Progressing")["reason"],
        "NewReplicaSetAvailable"
    );
}

#[test]
fn a_rollout_in_progress_is_scaled_in_proportion() {
    let mut stage = Stage::rolling(10, 3, 2);
    stage.settle();
    stage.edit("two");
    let new_are_broken = |name: &str, sets: &BTreeMap<String, Value>| {
        let revision = &sets[name]["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
        revision == "2"
    };
    for _ in 0..10 {
        let sets = stage.sets.clone();
        stage.sets_follow(|name, replicas| {
            if new_are_broken(name, &sets) {
                0
            } else {
                replicas
            }
        });
        stage.pass();
    }
    assert_eq!(stage.sizes(), BTreeMap::from([(1, 8), (2, 5)]));
    stage.deployment["spec"]["replicas"] = 15.into();
    for _ in 0..3 {
        let sets = stage.sets.clone();
        stage.sets_follow(|name, replicas| {
            if new_are_broken(name, &sets) {
                0
            } else {
                replicas
            }
        });
        stage.pass();
    }
    assert_eq!(
        stage.sizes(),
        BTreeMap::from([(1, 11), (2, 7)]),
        "as the documentation of Kubernetes shows it"
    );
}

#[test]
fn a_rollout_without_progress_is_late_after_its_deadline_and_recovers() {
    let mut stage = Stage::rolling(1, 1, 0);
    stage.settle();
    stage.edit("two");
    for _ in 0..5 {
        stage.sets_follow(|_, _| 0);
        stage.pass();
    }
    assert_eq!(
        stage.condition("Progressing")["reason"],
        "ReplicaSetUpdated"
    );
    let plan = rollout::plan(&stage.world(), stage.now);
    let again = plan.again.expect("a time to look again").as_secs();
    assert!((60..=62).contains(&again), "{again}");
    stage.now = "2026-01-01T01:02:00Z".parse().unwrap();
    stage.pass();
    assert_eq!(
        stage.condition("Progressing")["reason"],
        "ProgressDeadlineExceeded"
    );
    assert_eq!(stage.condition("Progressing")["status"], "False");
    assert!(!stage.pass(), "it is said once");
    stage.settle();
    assert_eq!(
        stage.condition("Progressing")["reason"],
        "NewReplicaSetAvailable"
    );
}

#[test]
fn a_set_of_the_same_name_by_someone_else_makes_for_another_name() {
    let mut stage = Stage::rolling(1, 1, 0);
    stage.pass();
    let (name, mut set) = stage.sets.pop_first().unwrap();
    set["metadata"]["ownerReferences"] = json!([{"uid": "other", "controller": true}]);
    stage.sets.insert(name.clone(), set);
    stage.deployment["status"] = json!({});
    stage.pass();
    assert_eq!(stage.deployment["status"]["collisionCount"], 1);
    stage.pass();
    assert_eq!(stage.sets.len(), 2);
    assert!(stage.sets.keys().any(|other| *other != name));
}

#[test]
fn what_a_set_cannot_do_shows_on_the_deployment() {
    let mut stage = Stage::rolling(1, 1, 0);
    stage.pass();
    let failure = json!({
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota",
    });
    for set in stage.sets.values_mut() {
        set["status"] = json!({"replicas": 0, "conditions": [failure]});
    }
    stage.pass();
    assert_eq!(stage.condition("ReplicaFailure")["message"], "quota");
    stage.settle();
    assert_eq!(stage.condition("ReplicaFailure"), Value::Null);
}

proptest! {
    #[test]
    fn a_rollout_keeps_within_its_limits_and_ends(
        replicas in 1_i64..12,
        surge in 0_i64..4,
        unavailable in 0_i64..4,
        luck in prop::collection::vec(0_i64..12, 40),
        edits in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4),
    ) {
        let mut stage = Stage::rolling(replicas, surge, unavailable);
        stage.settle();
        let (surge, unavailable) = (surge, if surge == 0 { unavailable.max(1) } else { unavailable });
        let enough = (replicas - unavailable.min(replicas)).max(0);
        let mut luck = luck.into_iter();
        for image in edits {
            stage.edit(image);
            // Some passes with bad luck: a few pods of each set become available, none ever leaves
            // that was available before.
            for lucky in luck.by_ref().take(12) {
                let before = stage.sets.clone();
                stage.sets_follow(|name, replicas| {
                    let had = before[name]["status"]["availableReplicas"].as_i64().unwrap_or(0);
                    (had + lucky).min(replicas)
                });
                let available = stage.total("/status/availableReplicas");
                prop_assert!(available >= enough, "{available} of {enough} available");
                stage.pass();
                let total = stage.total("/spec/replicas");
                prop_assert!(total <= replicas + surge, "{total} pods");
            }
        }
        stage.settle();
        let status = &stage.deployment["status"];
        prop_assert_eq!(status["updatedReplicas"].as_i64(), Some(replicas));
        prop_assert_eq!(stage.total("/spec/replicas"), replicas);
        prop_assert!(!stage.pass(), "a second pass does nothing");
    }
}
