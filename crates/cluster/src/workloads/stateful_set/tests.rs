use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::super::keeper::Step;
use super::*;
use crate::storage::CLAIM;
use crate::workloads::samples::merge;

/// A set and what the API keeps for it.
#[derive(Clone)]
struct Stage {
    set: Value,
    pods: BTreeMap<String, Value>,
    revisions: BTreeMap<String, Value>,
    claims: BTreeMap<String, Value>,
    told: Vec<String>,
    made: usize,
    now: Timestamp,
}

impl Stage {
    fn new(replicas: i64, spec: &Value) -> Self {
        let mut set = json!({
            "metadata": {"name": "db", "namespace": "team", "uid": "set", "generation": 1},
            "spec": {
                "replicas": replicas,
                "serviceName": "dbs",
                "selector": {"matchLabels": {"app": "db"}},
                "template": template("one"),
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "revisionHistoryLimit": 1,
            },
        });
        merge(&mut set["spec"], spec);
        Self {
            set,
            pods: BTreeMap::new(),
            revisions: BTreeMap::new(),
            claims: BTreeMap::new(),
            told: Vec::new(),
            made: 0,
            now: "2026-01-01T01:00:00Z".parse().unwrap(),
        }
    }

    fn world(&self) -> World {
        World {
            key: ObjectKey::namespaced("team", "db"),
            set: Arc::new(StatefulSet::read(self.set.clone()).unwrap()),
            pods: views(&self.pods),
            revisions: views(&self.revisions),
            claims: views(&self.claims),
        }
    }

    /// One pass, carried out; returns what it did to pods, in short.
    fn pass(&mut self) -> Vec<String> {
        let plan = plan::plan(&self.world(), self.now);
        let mut done = Vec::new();
        for step in &plan.steps {
            match step {
                Step::Create { kind, object, .. } => {
                    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                    let mut object = object.clone();
                    self.made += 1;
                    object["metadata"]["uid"] = format!("uid-{}", self.made).into();
                    if *kind == Kind::POD {
                        done.push(format!("+{name}"));
                        object["status"] = json!({"phase": "Pending"});
                    }
                    let before = self.of(kind).insert(name.clone(), object);
                    assert!(before.is_none(), "{name} is there twice");
                }
                Step::Delete {
                    kind, name, uid, ..
                } => {
                    if *kind == Kind::POD {
                        done.push(format!("-{name}"));
                    }
                    let gone = self.of(kind).remove(&**name).unwrap();
                    assert_eq!(gone["metadata"]["uid"], **uid);
                    // What a deleted object owns goes with it.
                    let owns = |claim: &Value| {
                        let owners = claim["metadata"]["ownerReferences"].as_array();
                        owners
                            .is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == **uid))
                    };
                    self.claims.retain(|_, claim| !owns(claim));
                }
                Step::Patch { kind, name, patch } => {
                    let object = self.of(kind).get_mut(&**name).unwrap();
                    let mut patch = patch.clone();
                    if let Some(changes) = patch["metadata"]["ownerReferences"].as_array().cloned()
                    {
                        let owners = &mut object["metadata"]["ownerReferences"];
                        let mut list = owners.as_array().cloned().unwrap_or_default();
                        for change in changes {
                            list.retain(|owner| owner["uid"] != change["uid"]);
                            if change["$patch"].is_null() {
                                list.push(change);
                            }
                        }
                        patch["metadata"]["ownerReferences"] = list.into();
                    }
                    merge(object, &patch);
                }
                Step::Status { patch } => merge(&mut self.set, patch),
                Step::Tell(note) => self.told.push(note.text.clone()),
            }
        }
        done
    }

    fn of(&mut self, kind: &Kind) -> &mut BTreeMap<String, Value> {
        if *kind == Kind::POD {
            &mut self.pods
        } else if *kind == CLAIM {
            &mut self.claims
        } else {
            assert_eq!(*kind, REVISION);
            &mut self.revisions
        }
    }

    fn ready(&mut self, name: &str) {
        self.pods.get_mut(name).unwrap()["status"] = json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:59:50Z"},
        ]});
    }

    fn all_ready(&mut self) {
        let names: Vec<String> = self.pods.keys().cloned().collect();
        for name in names {
            self.ready(&name);
        }
    }

    /// Passes until there is nothing to do, with every pod ready at once; returns all that
    /// happened to pods.
    fn settle(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..200 {
            self.all_ready();
            done.extend(self.pass());
            if self.is_settled() {
                return done;
            }
        }
        panic!("it does not settle: {done:?}");
    }

    fn is_settled(&self) -> bool {
        let mut next = self.clone();
        next.all_ready();
        plan::plan(&next.world(), next.now).steps.is_empty()
    }

    fn edit(&mut self, image: &str) {
        self.set["spec"]["template"] = template(image);
        let generation = self.set["metadata"]["generation"].as_i64().unwrap();
        self.set["metadata"]["generation"] = (generation + 1).into();
    }

    /// The images of the pods, in the order of their names.
    fn images(&self) -> Vec<&str> {
        self.pods
            .values()
            .map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap())
            .collect()
    }

    fn status(&self, field: &str) -> i64 {
        self.set["status"][field].as_i64().unwrap_or(0)
    }
}

fn views<T: View>(objects: &BTreeMap<String, Value>) -> Vec<Keyed<T>> {
    objects
        .iter()
        .map(|(name, object)| {
            (
                ObjectKey::namespaced("team", name.as_str()),
                Arc::new(T::read(object.clone()).unwrap()),
            )
        })
        .collect()
}

fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    })
}

fn claim_template() -> Value {
    json!({"volumeClaimTemplates": [{
        "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]},
    }]})
}

#[test]
fn pods_start_in_their_order_and_each_waits_for_the_one_before() {
    let mut stage = Stage::new(3, &json!({}));
    assert_eq!(stage.pass(), ["+db-0"]);
    assert_eq!(stage.pass(), [""; 0]);
    stage.ready("db-0");
    assert_eq!(stage.pass(), ["+db-1"]);
    stage.ready("db-1");
    assert_eq!(stage.pass(), ["+db-2"]);
    stage.ready("db-2");
    stage.pass();
    assert_eq!(stage.status("readyReplicas"), 3);
    assert_eq!(
        stage.set["status"]["currentRevision"],
        stage.set["status"]["updateRevision"]
    );
    assert_eq!(stage.pass(), [""; 0]);
}

#[test]
fn a_pod_is_what_its_ordinal_says() {
    let mut spec = claim_template();
    spec["ordinals"] = json!({"start": 5});
    let mut stage = Stage::new(1, &spec);
    stage.set["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]);
    assert_eq!(stage.pass(), ["+db-5"]);
    let pod = &stage.pods["db-5"];
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-5");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "5");
    assert_eq!(
        labels["controller-revision-hash"],
        stage.set["status"]["updateRevision"]
    );
    assert_eq!(
        (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
        (&json!("db-5"), &json!("dbs"))
    );
    assert_eq!(
        pod["spec"]["volumes"],
        json!([
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-5"}},
            {"name": "tmp", "emptyDir": {}},
        ])
    );
    let claim = &stage.claims["data-db-5"];
    assert_eq!(claim["metadata"]["labels"], json!({"app": "db"}));
    assert_eq!(claim["metadata"]["ownerReferences"], Value::Null);
}

#[test]
fn pods_go_from_the_last_one_down_and_their_claims_stay() {
    let mut stage = Stage::new(3, &claim_template());
    stage.settle();
    stage.set["spec"]["replicas"] = 1.into();
    assert_eq!(stage.pass(), ["-db-2"]);
    assert_eq!(stage.pass(), ["-db-1"]);
    stage.settle();
    assert_eq!(stage.claims.len(), 3);
    stage.set["spec"]["replicas"] = 2.into();
    assert_eq!(stage.settle(), ["+db-1"], "it finds its claim again");
}

#[test]
fn a_parallel_set_waits_for_nobody() {
    let mut stage = Stage::new(3, &json!({"podManagementPolicy": "Parallel"}));
    assert_eq!(stage.pass(), ["+db-0", "+db-1", "+db-2"]);
    stage.set["spec"]["replicas"] = 1.into();
    assert_eq!(stage.pass(), ["-db-2", "-db-1"]);
}

#[test]
fn an_update_goes_from_the_last_pod_down_one_at_a_time() {
    let mut stage = Stage::new(3, &json!({}));
    stage.settle();
    let before = stage.set["status"]["currentRevision"].clone();
    stage.edit("two");
    assert_eq!(stage.pass(), ["-db-2"]);
    assert_eq!(stage.set["status"]["currentRevision"], before);
    assert_ne!(stage.set["status"]["updateRevision"], before);
    assert_eq!(stage.pass(), ["+db-2"]);
    assert_eq!(stage.pass(), [""; 0], "it is not ready yet");
    let done = stage.settle();
    assert_eq!(done, ["-db-1", "+db-1", "-db-0", "+db-0"]);
    assert_eq!(stage.images(), ["two", "two", "two"]);
    assert_eq!(
        stage.set["status"]["currentRevision"],
        stage.set["status"]["updateRevision"]
    );
}

#[test]
fn pods_below_the_partition_stay_at_the_old_revision_even_when_they_are_lost() {
    let mut stage = Stage::new(3, &json!({}));
    stage.settle();
    stage.set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 2.into();
    stage.edit("two");
    stage.settle();
    assert_eq!(stage.images(), ["one", "one", "two"]);
    stage.pods.remove("db-0");
    stage.settle();
    assert_eq!(stage.images(), ["one", "one", "two"]);
    assert_eq!(
        (
            stage.status("currentReplicas"),
            stage.status("updatedReplicas")
        ),
        (2, 1)
    );
    stage.set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0.into();
    stage.settle();
    assert_eq!(stage.images(), ["two", "two", "two"]);
}

#[test]
fn on_delete_replaces_what_somebody_else_deletes() {
    let mut stage = Stage::new(2, &json!({"updateStrategy": {"type": "OnDelete"}}));
    stage.settle();
    stage.edit("two");
    assert_eq!(stage.settle(), [""; 0]);
    stage.pods.remove("db-1");
    stage.settle();
    assert_eq!(stage.images(), ["one", "two"]);
}

#[test]
fn several_pods_are_updated_at_once_where_the_set_allows_it() {
    let rolling = json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}});
    let mut stage = Stage::new(5, &rolling);
    stage.settle();
    stage.edit("two");
    assert_eq!(stage.pass(), ["-db-4", "-db-3"]);
}

#[test]
fn a_return_to_an_old_template_reuses_its_revision_and_old_ones_are_forgotten() {
    let mut stage = Stage::new(1, &json!({}));
    stage.settle();
    let first = stage.set["status"]["currentRevision"].clone();
    stage.edit("two");
    stage.settle();
    stage.edit("one");
    stage.settle();
    assert_eq!(stage.set["status"]["currentRevision"], first);
    let number = |name: &Value| stage.revisions[name.as_str().unwrap()]["revision"].clone();
    assert_eq!(number(&first), 3);
    for image in ["three", "four", "five"] {
        stage.edit(image);
        stage.settle();
    }
    assert_eq!(
        stage.revisions.len(),
        2,
        "the live one and one to go back to"
    );
}

#[test]
fn a_pod_that_has_ended_is_replaced() {
    let mut stage = Stage::new(1, &json!({}));
    stage.settle();
    stage.pods.get_mut("db-0").unwrap()["status"] = json!({"phase": "Failed"});
    assert_eq!(stage.pass(), ["-db-0"]);
    assert_eq!(stage.pass(), ["+db-0"]);
}

#[test]
fn claims_are_owned_as_the_retention_policy_says() {
    let owners = |stage: &Stage, claim: &str| -> Vec<String> {
        let owners = stage.claims[claim]["metadata"]["ownerReferences"].as_array();
        let owner = |owner: &Value| owner["kind"].as_str().unwrap().to_owned();
        owners.into_iter().flatten().map(owner).collect()
    };
    let policy = |deleted: &str, scaled: &str| {
        json!({"persistentVolumeClaimRetentionPolicy": {
            "whenDeleted": deleted, "whenScaled": scaled,
        }})
    };
    let mut stage = Stage::new(2, &claim_template());
    stage.settle();
    for (deleted, scaled, expected, left) in [
        ("Delete", "Retain", &["StatefulSet"][..], 2),
        ("Retain", "Retain", &[][..], 2),
        ("Retain", "Delete", &[][..], 1),
        ("Delete", "Delete", &["StatefulSet"][..], 1),
    ] {
        merge(&mut stage.set["spec"], &policy(deleted, scaled));
        stage.set["spec"]["replicas"] = 2.into();
        stage.settle();
        assert_eq!(owners(&stage, "data-db-1"), expected, "{deleted} {scaled}");
        stage.set["spec"]["replicas"] = 1.into();
        stage.settle();
        assert_eq!(stage.claims.len(), left, "{deleted} {scaled}");
    }
}

#[test]
fn a_pod_waits_for_a_claim_of_its_name_that_is_about_to_go() {
    let mut stage = Stage::new(1, &claim_template());
    stage.claims.insert(
        "data-db-0".to_owned(),
        json!({"metadata": {"uid": "old", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    );
    assert_eq!(stage.pass(), [""; 0]);
    stage.claims.clear();
    assert_eq!(stage.pass(), ["+db-0"]);
}

#[test]
fn pods_of_the_name_are_adopted_and_get_their_labels() {
    let mut stage = Stage::new(1, &json!({}));
    let mut orphan = template("old");
    orphan["metadata"]["uid"] = "orphan".into();
    stage.pods.insert("db-0".to_owned(), orphan.clone());
    stage.pods.insert("other-0".to_owned(), orphan);
    stage.pass();
    let labels = &stage.pods["db-0"]["metadata"]["labels"];
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "0");
    assert_eq!(
        stage.pods["db-0"]["metadata"]["ownerReferences"][0]["uid"],
        "set"
    );
    assert_eq!(
        stage.pods["other-0"]["metadata"]["ownerReferences"],
        Value::Null
    );
}

#[test]
fn a_pod_counts_as_available_after_the_seconds_asked_for() {
    let mut stage = Stage::new(2, &json!({"minReadySeconds": 30}));
    stage.pass();
    stage.ready("db-0");
    assert_eq!(stage.pass(), [""; 0], "it has been ready for ten seconds");
    let plan = plan::plan(&stage.world(), stage.now);
    assert!(
        (20..22).contains(&plan.again.unwrap().as_secs()),
        "{plan:?}"
    );
    stage.now = "2026-01-01T01:00:21Z".parse().unwrap();
    assert_eq!(stage.pass(), ["+db-1"]);
}

/// What happens between two passes.
#[derive(Debug, Clone)]
enum Happens {
    Ready(usize),
    Unready(usize),
    Lost(usize),
    Fails(usize),
    Edit(usize),
    Scale(i64),
    Nothing,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (0_usize..6).prop_map(Happens::Ready),
        1 => (0_usize..6).prop_map(Happens::Unready),
        1 => (0_usize..6).prop_map(Happens::Lost),
        1 => (0_usize..6).prop_map(Happens::Fails),
        1 => (0_usize..3).prop_map(Happens::Edit),
        1 => (0_i64..6).prop_map(Happens::Scale),
        2 => Just(Happens::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pods_of_an_ordered_set_never_start_early_and_an_update_takes_one_at_a_time(
        story in prop::collection::vec(happens(), 1..40),
    ) {
        let mut stage = Stage::new(3, &claim_template());
        for event in story {
            let nth = |index: usize| format!("db-{index}");
            match event {
                Happens::Ready(index) if stage.pods.contains_key(&nth(index)) => {
                    stage.ready(&nth(index));
                }
                Happens::Unready(index) if stage.pods.contains_key(&nth(index)) => {
                    stage.pods.get_mut(&nth(index)).unwrap()["status"] = json!({"phase": "Running"});
                }
                Happens::Fails(index) if stage.pods.contains_key(&nth(index)) => {
                    stage.pods.get_mut(&nth(index)).unwrap()["status"] = json!({"phase": "Failed"});
                }
                Happens::Lost(index) => {
                    stage.pods.remove(&nth(index));
                }
                Happens::Edit(image) => stage.edit(["one", "two", "three"][image]),
                Happens::Scale(replicas) => stage.set["spec"]["replicas"] = replicas.into(),
                _ => {}
            }
            let before = stage.pods.clone();
            let is_ready = |name: &str| {
                before.get(name).is_some_and(|pod| pod["status"]["phase"] == "Running"
                    && pod["status"]["conditions"].is_array())
            };
            let done = stage.pass();
            for deed in &done {
                let (sign, name) = deed.split_at(1);
                let ordinal = identity::ordinal("db", name).unwrap();
                if sign == "+" {
                    for earlier in 0..ordinal {
                        prop_assert!(is_ready(&nth(earlier as usize)), "{done:?} from {before:?}");
                    }
                }
            }
            let replicas = stage.set["spec"]["replicas"].as_i64().unwrap();
            let disturbed = done.iter().filter(|deed| {
                let (sign, name) = deed.split_at(1);
                sign == "-" && is_ready(name)
                    && identity::ordinal("db", name).unwrap() < replicas
            });
            prop_assert!(disturbed.count() <= 1, "{done:?}");
        }
        stage.settle();
        let replicas = stage.set["spec"]["replicas"].as_i64().unwrap();
        prop_assert_eq!(stage.pods.len() as i64, replicas);
        prop_assert_eq!(stage.status("updatedReplicas"), replicas);
        prop_assert_eq!(stage.status("readyReplicas"), replicas);
    }

    #[test]
    fn an_update_of_several_at_once_never_has_more_unavailable_than_allowed(
        most in 1_i64..4,
        parallel in any::<bool>(),
        luck in prop::collection::vec(0_usize..6, 60),
    ) {
        let policy = if parallel { "Parallel" } else { "OrderedReady" };
        let mut stage = Stage::new(5, &json!({
            "podManagementPolicy": policy,
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": most}},
        }));
        stage.settle();
        stage.edit("two");
        for lucky in luck {
            stage.pass();
            let ready = stage.pods.values().filter(|pod| pod["status"]["phase"] == "Running");
            let ready = ready.count() as i64;
            prop_assert!(5 - ready <= most, "{ready} of 5 with {most}");
            let name = format!("db-{lucky}");
            if stage.pods.contains_key(&name) {
                stage.ready(&name);
            }
        }
        stage.settle();
        prop_assert_eq!(stage.images(), vec!["two"; 5]);
    }
}
