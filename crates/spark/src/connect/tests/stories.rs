//! What happens to a server, from its first line to its last.

use proptest::prelude::*;

use super::world::{UID, World};
use super::*;

fn elastic() -> SparkConnect {
    connect(json!({
        "dynamicAllocation": {"enabled": true, "maxExecutors": 4},
        "idleTimeoutSeconds": 600,
    }))
}

#[test]
fn a_server_is_provisioned_and_ready_and_then_nothing_is_written() {
    let mut world = World::new(connect(json!({})));
    world.settle();
    let written = world.written();
    assert_eq!(written.len(), 4, "{written:?}");
    assert_eq!(written.last().unwrap(), "apply Deployment sql-server");
    assert_eq!(world.told(), "Provisioning (False: there is no pod yet)");
    world.roll_out();
    world.settle();
    assert!(
        world.told().contains("does not answer yet"),
        "{}",
        world.told()
    );
    world.server_answers();
    world.settle();
    assert_eq!(world.told(), "Ready (True: the server answers)");
    assert_eq!(world.status.server.pod_ip.as_deref(), Some("10.0.0.7"));
    assert_eq!(
        world.status.server.service_name.as_deref(),
        Some("sql-server")
    );
    world.executors(2);
    world.settle();
    assert_eq!(world.status.executors["Running"], 2);
    assert_eq!(world.written(), Vec::<String>::new());
    let reasons: Vec<_> = world.told.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(reasons, ["ServerProvisioning", "ServerReady"]);
}

#[test]
fn a_change_replaces_the_server_and_its_old_files_go() {
    let mut world = World::up(connect(json!({})));
    world.written();
    world.change(|connect| connect.spec.server.memory = Some("2g".to_owned()));
    world.settle();
    let written = world.written();
    let kinds: Vec<_> = written
        .iter()
        .map(|it| it.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(
        kinds,
        ["apply ConfigMap", "apply Deployment", "delete ConfigMap"]
    );
    // The old server still answers.
    assert!(world.told().starts_with("Provisioning"), "{}", world.told());
    world.roll_out();
    world.settle();
    assert!(world.told().starts_with("Provisioning"), "{}", world.told());
    world.server_answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
}

#[test]
fn a_server_that_fails_says_why_and_that_it_is_started_again() {
    let mut world = World::up(connect(json!({})));
    let message =
        "Exception in thread \"main\" java.lang.ClassNotFoundException: x\n\tat a.b(C.java)";
    let failed = json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{
            "name": "spark-kubernetes-driver", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": message}},
        }],
    });
    world.server(&failed);
    world.settle();
    assert_eq!(
        world.told(),
        "NotReady (False: the server exited with 1: Exception in thread \"main\" \
         java.lang.ClassNotFoundException: x)"
    );
    assert_eq!(world.status.server.restarts, Some(3));
    assert_eq!(world.told.last().unwrap().reason, "ServerNotReady");
    world.written();
    world.server_answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
    assert_eq!(world.written(), Vec::<String>::new());
}

#[test]
fn what_is_in_the_way_of_a_server_is_told() {
    for (status, told) in [
        (
            json!({"phase": "Pending", "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/1 nodes are available",
            }]}),
            "no node takes the pod: 0/1 nodes are available",
        ),
        (
            json!({"phase": "Pending", "containerStatuses": [{
                "name": "spark-kubernetes-driver",
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            }]}),
            "ImagePullBackOff: no such image",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{
                "name": "spark-kubernetes-driver", "restartCount": 1,
                "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            }]}),
            "the server exited with 137 (OOMKilled)",
        ),
    ] {
        let mut world = World::new(connect(json!({})));
        world.settle();
        world.roll_out();
        world.server(&status);
        world.settle();
        assert_eq!(world.told(), format!("NotReady (False: {told})"));
    }
}

#[test]
fn a_suspended_server_stops_and_a_resumed_one_starts() {
    let mut world = World::up(connect(json!({})));
    world.written();
    world.change(|connect| connect.spec.suspend = true);
    world.settle();
    assert_eq!(world.written(), ["apply Deployment sql-server"]);
    world.roll_out();
    world.settle();
    assert!(world.pods.is_empty());
    assert!(
        world.told().starts_with("NotReady (False: suspended"),
        "{}",
        world.told()
    );
    world.change(|connect| connect.spec.suspend = false);
    world.settle();
    assert!(world.told().starts_with("Provisioning"), "{}", world.told());
    world.roll_out();
    world.server_answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
}

#[test]
fn a_server_that_nobody_uses_stops_and_starts_when_it_is_asked_for() {
    let mut world = World::up(elastic());
    world.executors(1);
    world.settle();
    world.later(3600);
    world.settle();
    assert!(world.told().starts_with("Ready"), "somebody uses it");
    world.executors(0);
    world.settle();
    world.later(599);
    world.settle();
    assert!(world.told().starts_with("Ready"), "not yet");
    let due = world.wake_at.unwrap();
    assert_eq!(due, world.now + jiff::SignedDuration::from_secs(1));
    world.written();
    world.later(1);
    world.settle();
    assert_eq!(world.written(), ["apply Deployment sql-server"]);
    world.roll_out();
    world.settle();
    assert!(
        world
            .told()
            .starts_with("NotReady (False: stopped after 10m without executors"),
        "{}",
        world.told()
    );
    world.later(3600);
    world.settle();
    assert_eq!(world.written(), Vec::<String>::new());

    world.wake = Some("now".to_owned());
    world.settle();
    assert_eq!(world.written(), ["apply Deployment sql-server"]);
    world.roll_out();
    world.server_answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
    assert_eq!(world.status.wake_requested_at.as_deref(), Some("now"));
}

#[test]
fn a_token_is_made_once_and_again_when_its_secret_is_gone() {
    let secret = |world: &World| {
        let secret = world.objects.values().find(|it| it["kind"] == "Secret");
        secret.map(|it| it["data"]["token"].clone())
    };
    let mut world = World::new(connect(json!({"access": {"token": {}}})));
    world.settle();
    let written = world.written();
    let at = |what: &str| written.iter().position(|it| it == what).unwrap();
    assert!(at("apply Secret sql-connect-token") < at("apply Deployment sql-server"));
    let first = secret(&world);
    assert!(first.is_some());
    world.roll_out();
    world.server_answers();
    world.settle();
    world.change(|connect| connect.spec.server.memory = Some("2g".to_owned()));
    world.settle();
    assert_eq!(secret(&world), first, "a change of the server keeps it");

    world.objects.retain(|target, _| target.kind != "Secret");
    world.roll_out();
    world.server(&json!({"phase": "Pending", "containerStatuses": [{
        "name": "spark-kubernetes-driver",
        "state": {"waiting": {
            "reason": "CreateContainerConfigError",
            "message": "secret \"sql-connect-token\" not found",
        }},
    }]}));
    let decision = world.look();
    let is_secret = |effect: &windlass_engine::plan::Effect| matches!(effect, windlass_engine::plan::Effect::Apply(it) if it["kind"] == "Secret");
    assert!(decision.effects.iter().any(is_secret));
    let told = format!("{:?}", world.observed().entropy);
    assert_eq!(told, "Some(Entropy(..))");
}

#[test]
fn what_is_not_wanted_any_more_goes_and_what_is_missing_comes_back() {
    let mut world = World::up(connect(json!({"access": {"networkPolicy": {}}})));
    world.written();
    world
        .objects
        .retain(|target, _| target.kind != "NetworkPolicy");
    world.settle();
    let policies = [
        "apply NetworkPolicy sql-server",
        "apply NetworkPolicy sql-executors",
    ];
    assert_eq!(world.written(), policies);
    world.change(|connect| connect.spec.access = None);
    world.settle();
    let mut written = world.written();
    written.sort();
    assert_eq!(
        written,
        [
            // It says which generation it is made for now; its pods stay.
            "apply Deployment sql-server",
            "delete NetworkPolicy sql-executors",
            "delete NetworkPolicy sql-server",
        ]
    );
}

#[test]
fn a_name_of_somebody_else_is_left_alone() {
    let mut world = World::new(connect(json!({})));
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "sql-server", "namespace": "jobs"},
    });
    let target = windlass_engine::Object::new(service.clone()).object_ref();
    world.objects.insert(target, service);
    world.settle();
    assert_eq!(world.written(), Vec::<String>::new());
    assert_eq!(
        world.told(),
        "Failed (False: Service sql-server belongs to somebody else: delete it, or give the \
         SparkConnect another name)"
    );
}

#[test]
fn a_wrong_specification_leaves_alone_what_runs() {
    let mut world = World::up(connect(json!({})));
    world.written();
    world.change(|connect| connect.spec.server.memory = Some("1Gi".to_owned()));
    world.settle();
    assert_eq!(world.written(), Vec::<String>::new());
    let told = world.told();
    assert!(
        told.starts_with(
            "Failed (True: the server answers, with an earlier specification: spec.server.memory"
        ),
        "{told}"
    );
    world.change(|connect| connect.spec.server.memory = None);
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
}

/// The Kubeflow operator makes a bare pod, and a ConfigMap with another name.
#[test]
fn what_the_kubeflow_operator_made_makes_way() {
    let mut world = World::new(connect(json!({})));
    let owner = json!([{
        "apiVersion": "sparkoperator.k8s.io/v1alpha1", "kind": "SparkConnect",
        "name": "sql", "uid": UID, "controller": true,
    }]);
    let labels = json!({
        "sparkoperator.k8s.io/connect-name": "sql", "spark-role": "connect-server",
    });
    let metadata = |name: &str| {
        json!({
            "name": name, "namespace": "jobs", "uid": "old", "labels": labels,
            "ownerReferences": owner,
        })
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata("sql-server"),
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    world.pods.insert("sql-server".to_owned(), pod);
    for (kind, name) in [("ConfigMap", "sql-conf"), ("Service", "sql-server")] {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata(name)});
        let target = windlass_engine::Object::new(object.clone()).object_ref();
        world.objects.insert(target, object);
    }
    world.settle();
    let written = world.written();
    assert_eq!(written.first().unwrap(), "delete Pod sql-server");
    assert!(
        written.contains(&"delete ConfigMap sql-conf".to_owned()),
        "{written:?}"
    );
    assert!(
        written.contains(&"apply Service sql-server".to_owned()),
        "{written:?}"
    );
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Suspend(bool),
    Memory(bool),
    Nonsense(bool),
    Policy(bool),
    RollOut,
    Answers,
    Executors(usize),
    Time(i64),
    Wake(u8),
    Loses,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        any::<bool>().prop_map(Happening::Suspend),
        any::<bool>().prop_map(Happening::Memory),
        any::<bool>().prop_map(Happening::Nonsense),
        any::<bool>().prop_map(Happening::Policy),
        Just(Happening::RollOut),
        Just(Happening::Answers),
        (0_usize..3).prop_map(Happening::Executors),
        (1_i64..900).prop_map(Happening::Time),
        any::<u8>().prop_map(Happening::Wake),
        Just(Happening::Loses),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_it_settles_and_ends_with_one_server_or_none(
        happenings in proptest::collection::vec(happening(), 1..16)
    ) {
        let mut world = World::new(elastic());
        for happening in happenings {
            match happening {
                Happening::Suspend(suspend) => world.change(|it| it.spec.suspend = suspend),
                Happening::Memory(more) => world.change(|it| {
                    it.spec.server.memory = more.then(|| "2g".to_owned());
                }),
                Happening::Nonsense(nonsense) => world.change(|it| {
                    it.spec.executor.memory = nonsense.then(|| "1Gi".to_owned());
                }),
                Happening::Policy(policy) => world.change(|it| {
                    let access = json!({"networkPolicy": {}, "token": {}});
                    let access = serde_json::from_value(access).unwrap();
                    it.spec.access = policy.then_some(access);
                }),
                Happening::RollOut => world.roll_out(),
                Happening::Answers if !world.pods.keys().all(|it| it.starts_with("executor")) => {
                    world.server_answers();
                }
                Happening::Answers => {}
                Happening::Executors(count) => world.executors(count),
                Happening::Time(seconds) => world.later(seconds),
                Happening::Wake(number) => world.wake = Some(number.to_string()),
                Happening::Loses => {
                    world.objects.pop_first();
                }
            }
            world.settle();
            world.written();
            world.settle();
            prop_assert_eq!(world.written(), Vec::<String>::new());
        }
        world.change(|it| {
            it.spec.suspend = false;
            it.spec.executor.memory = None;
        });
        world.wake = Some("in the end".to_owned());
        world.executors(1);
        world.settle();
        world.roll_out();
        world.server_answers();
        world.settle();
        prop_assert!(world.told().starts_with("Ready"), "{}", world.told());
        let servers = world.pods.keys().filter(|it| it.starts_with("sql-server"));
        prop_assert_eq!(servers.count(), 1);
    }
}
