use proptest::prelude::*;
use windlass_engine::ObjectKey;

use super::*;
use crate::workloads::samples::merge;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn set(replicas: i64) -> ReplicaSet {
    ReplicaSet::read(json!({
        "metadata": {"name": "web", "namespace": "team", "uid": "set", "generation": 3},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "tier": "front"}},
                "spec": {"containers": [{"name": "main"}]},
            },
        },
    }))
    .unwrap()
}

/// A pod of the set; `state` is a phase, or `Ready`, `Leaving`.
fn pod(name: &str, state: &str) -> Value {
    let mut object = json!({
        "metadata": {
            "name": name, "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "web", "tier": "front"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true}],
        },
        "spec": {"nodeName": "one"},
        "status": {"phase": state},
    });
    match state {
        "Ready" => {
            object["status"] = json!({"phase": "Running", "conditions": [{
                "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:59:00Z",
            }]});
        }
        "Leaving" => {
            object["status"]["phase"] = "Running".into();
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:00Z".into();
        }
        _ => {}
    }
    object
}

fn world(set: ReplicaSet, pods: &[Value]) -> World {
    let pods = pods.iter().map(|object| {
        let name = object["metadata"]["name"].as_str().unwrap();
        (
            ObjectKey::namespaced("team", name),
            Arc::new(Pod::read(object.clone()).unwrap()),
        )
    });
    World {
        key: ObjectKey::namespaced("team", "web"),
        set: Arc::new(set),
        pods: pods.collect(),
    }
}

/// The steps in short.
fn told(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().map(|step| match step {
        Step::Create { object, .. } => {
            format!(
                "create {}",
                object["metadata"]["generateName"].as_str().unwrap()
            )
        }
        Step::Delete { name, .. } => format!("delete {name}"),
        Step::Patch { name, .. } => format!("patch {name}"),
        Step::Status { .. } => "status".to_owned(),
        Step::Tell(note) => note.reason.to_owned(),
    });
    steps.collect()
}

#[test]
fn as_many_pods_are_made_or_deleted_as_are_missing_or_too_many() {
    let cases: [(i64, &[&str], &[&str]); 7] = [
        (2, &[], &["status", "create web-", "create web-"]),
        (1, &["Ready"], &["status"]),
        (2, &["Ready", "Failed"], &["status", "create web-"]),
        (1, &["Leaving"], &["status", "create web-"]),
        (0, &["Leaving", "Succeeded"], &["status"]),
        (1, &["Ready", "Pending"], &["status", "delete p1"]),
        (
            0,
            &["Ready", "Running"],
            &["status", "delete p1", "delete p0"],
        ),
    ];
    for (replicas, states, expected) in cases {
        let pods: Vec<Value> = states
            .iter()
            .enumerate()
            .map(|(index, state)| pod(&format!("p{index}"), state))
            .collect();
        let plan = plan(&world(set(replicas), &pods), now());
        assert_eq!(told(&plan), expected, "{replicas} of {states:?}");
    }
}

#[test]
fn the_status_counts_what_is_ready_and_what_is_available() {
    let mut set = set(3);
    set.min_ready_seconds = 90;
    let mut other = pod("c", "Running");
    other["metadata"]["labels"]["tier"] = "back".into();
    let pods = [
        pod("a", "Ready"),
        other,
        pod("b", "Failed"),
        pod("d", "Leaving"),
    ];
    let plan = plan(&world(set, &pods), now());
    let Step::Status { patch } = &plan.steps[0] else {
        panic!("{plan:?}");
    };
    assert_eq!(
        patch["status"],
        json!({
            "replicas": 2, "fullyLabeledReplicas": 1, "readyReplicas": 1,
            "observedGeneration": 3,
        })
    );
    let again = plan.again.unwrap();
    assert!((30..32).contains(&again.as_secs()), "{again:?}");
}

#[test]
fn the_least_useful_pods_go_first() {
    let mut unscheduled = pod("unscheduled", "Pending");
    unscheduled["spec"] = json!({});
    let mut cheap = pod("cheap", "Ready");
    cheap["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"] = "-5".into();
    let mut crowded = pod("crowded", "Ready");
    crowded["spec"]["nodeName"] = "two".into();
    let mut crowd = pod("crowd", "Ready");
    crowd["spec"]["nodeName"] = "two".into();
    crowd["status"]["containerStatuses"] = json!([{"name": "main", "restartCount": 3}]);
    let mut alone = pod("alone", "Ready");
    alone["spec"]["nodeName"] = "three".into();
    let pods = [
        alone,
        crowded,
        crowd,
        cheap,
        pod("running", "Running"),
        pod("pending", "Pending"),
        unscheduled,
    ];
    let plan = plan(&world(set(0), &pods), now());
    assert_eq!(
        told(&plan)[1..],
        [
            "delete unscheduled",
            "delete pending",
            "delete running",
            "delete cheap",
            "delete crowd",
            "delete crowded",
            "delete alone",
        ]
    );
}

#[test]
fn a_set_that_goes_makes_and_deletes_nothing() {
    let mut set = set(5);
    set.meta.deleting = true;
    let plan = plan(&world(set, &[]), now());
    assert_eq!(told(&plan), ["status"]);
}

#[test]
fn a_refusal_shows_in_the_status_until_the_number_is_right() {
    let world_of = |set: ReplicaSet, pods: &[Value]| world(set, pods);
    let mut set = set(1);
    let steps = ReplicaSets::refused(&world_of(set.clone(), &[]), "quota", now());
    let [Step::Status { patch }] = &steps[..] else {
        panic!("{steps:?}");
    };
    set.status = patch["status"].clone();
    assert_eq!(set.status["conditions"][0]["type"], "ReplicaFailure");
    let again = ReplicaSets::refused(&world_of(set.clone(), &[]), "quota", now());
    assert_eq!(again, [], "it is said once");
    let plan = plan(&world_of(set, &[pod("a", "Ready")]), now());
    let Step::Status { patch } = &plan.steps[0] else {
        panic!("{plan:?}");
    };
    assert_eq!(patch["status"]["conditions"], Value::Null);
}

/// Carries out a plan as the API would.
fn carry_out(set: &mut ReplicaSet, pods: &mut Vec<Value>, plan: &Plan, made: &mut usize) {
    for step in &plan.steps {
        match step {
            Step::Create { object, .. } => {
                *made += 1;
                let mut object = object.clone();
                object["metadata"]["name"] = format!("new{made}").into();
                object["metadata"]["uid"] = format!("uid-new{made}").into();
                object["status"] = json!({"phase": "Pending"});
                pods.push(object);
            }
            Step::Delete { uid, .. } => pods.retain(|pod| pod["metadata"]["uid"] != **uid),
            Step::Status { patch } => {
                let mut object = json!({"status": set.status});
                merge(&mut object["status"], &patch["status"]);
                set.status = object["status"].clone();
            }
            Step::Patch { name, .. } => {
                for pod in pods.iter_mut() {
                    if pod["metadata"]["name"] == **name {
                        pod["metadata"]["ownerReferences"] =
                            json!([{"kind": "ReplicaSet", "uid": "set", "controller": true}]);
                    }
                }
            }
            Step::Tell(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn a_pass_makes_the_number_right_and_a_second_one_does_nothing(
        replicas in 0_i64..8,
        states in prop::collection::vec(
            prop::sample::select(vec!["Ready", "Running", "Pending", "Failed", "Leaving", "Succeeded"]),
            0..8,
        ),
        orphans in prop::collection::vec(any::<bool>(), 8),
    ) {
        let mut set = set(replicas);
        let mut pods: Vec<Value> = states.iter().enumerate().map(|(index, state)| {
            let mut pod = pod(&format!("p{index}"), state);
            if orphans[index] {
                pod["metadata"]["ownerReferences"] = json!([]);
            }
            pod
        }).collect();
        let mut made = 0;
        for _ in 0..2 {
            let plan = plan(&world(set.clone(), &pods), now());
            carry_out(&mut set, &mut pods, &plan, &mut made);
        }
        let world = world(set, &pods);
        let active = world.pods.iter().filter(|(_, pod)| is_active(pod)).count();
        prop_assert_eq!(active as i64, replicas);
        prop_assert_eq!(plan(&world, now()).steps, vec![]);
    }
}
