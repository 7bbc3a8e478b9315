//! What happens to a history server, from its first line to its last.

use proptest::prelude::*;
use windlass_engine::plan::ObjectRef;

use super::world::World;
use super::*;

#[test]
fn a_server_starts_and_answers_and_then_nothing_is_written() {
    let mut world = World::new(server(json!({})));
    world.settle();
    let written = world.written();
    let kinds: Vec<_> = written
        .iter()
        .filter_map(|it| it.split(' ').nth(1))
        .collect();
    assert_eq!(kinds, ["ConfigMap", "Service", "Deployment"]);
    assert_eq!(
        world.told(),
        "Starting (False Starting: there is no pod yet)"
    );
    world.roll_out();
    world.settle();
    assert!(
        world.told().contains("does not answer yet"),
        "{}",
        world.told()
    );
    world.answers();
    world.settle();
    assert_eq!(world.told(), "Ready (True Answers: the server answers)");
    let status = &world.status;
    assert_eq!(
        status.url.as_deref(),
        Some("http://jobs-history.team:18080")
    );
    assert_eq!(
        status.log_directory.as_deref(),
        Some("s3a://spark-history/")
    );
    assert_eq!(status.service_name.as_deref(), Some("jobs-history"));
    assert_eq!(status.pod_name.as_deref(), Some("jobs-history-1"));
    world.later(3600);
    world.settle();
    assert_eq!(world.written(), Vec::<String>::new());
    let reasons: Vec<_> = world.told.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(reasons, ["ServerStarting", "ServerReady"]);
}

#[test]
fn a_bucket_that_is_not_there_is_waited_for_and_one_that_goes_takes_no_server_away() {
    let mut world = World::new(server(json!({})));
    world.stores = Stores::default();
    world.settle();
    assert_eq!(world.written(), Vec::<String>::new());
    assert_eq!(
        world.told(),
        "Pending (False ObjectStoreNotReady: spec.eventLog: the ObjectStore history cannot be used: there is \
         none in this namespace)"
    );
    assert_eq!(world.told.last().unwrap().reason, "ObjectStoreNotReady");
    world.stores = stores("http://minio:9000");
    world.settle();
    world.roll_out();
    world.answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
    world.written();
    world.stores = Stores::default();
    world.settle();
    assert!(
        world
            .told()
            .starts_with("Ready (True Answers: the server answers, by what it was before: "),
        "{}",
        world.told()
    );
    assert_eq!(world.written(), Vec::<String>::new());
}

#[test]
fn another_endpoint_of_the_bucket_replaces_the_server_and_its_old_file_goes() {
    let mut world = World::up(server(json!({})));
    world.stores = stores("http://other:9000");
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
    assert!(world.told().starts_with("Starting"), "{}", world.told());
    world.roll_out();
    world.answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
}

#[test]
fn a_server_that_fails_says_why_and_that_it_is_started_again() {
    let mut world = World::up(server(json!({})));
    world.pod_says(&json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{
            "name": "spark-kubernetes-driver", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message":
                "Exception in thread \"main\" java.io.FileNotFoundException: no such bucket\n\tat a.b(C.java)"}},
        }],
    }));
    world.settle();
    assert_eq!(
        world.told(),
        "NotReady (False ServerFailed: the server exited with 1: Exception in thread \"main\" \
         java.io.FileNotFoundException: no such bucket)"
    );
    assert_eq!(world.status.restarts, Some(3));
    assert_eq!(world.told.last().unwrap().reason, "ServerNotReady");
    world.answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
    assert_eq!(world.written(), Vec::<String>::new());
}

#[test]
fn a_suspended_server_stops_and_a_resumed_one_starts() {
    let mut world = World::up(server(json!({})));
    world.change(|server| server.spec.suspend = true);
    world.settle();
    assert_eq!(world.written(), ["apply Deployment jobs-history"]);
    world.roll_out();
    world.settle();
    assert!(world.pods.is_empty());
    assert!(
        world.told().starts_with("Suspended (False Suspended: "),
        "{}",
        world.told()
    );
    assert_eq!(world.told.last().unwrap().reason, "ServerStopped");
    world.change(|server| server.spec.suspend = false);
    world.settle();
    assert!(world.told().starts_with("Starting"), "{}", world.told());
    world.roll_out();
    world.answers();
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
}

#[test]
fn a_server_stops_also_while_its_bucket_is_away() {
    let mut world = World::up(server(json!({})));
    world.stores = Stores::default();
    world.change(|server| server.spec.suspend = true);
    world.settle();
    assert_eq!(world.written(), ["patch Deployment jobs-history"]);
    world.roll_out();
    world.settle();
    assert!(world.pods.is_empty());
    assert!(world.told().starts_with("Suspended"), "{}", world.told());
    world.stores = stores("http://minio:9000");
    world.change(|server| server.spec.suspend = false);
    world.settle();
    assert_eq!(world.written(), ["apply Deployment jobs-history"]);
}

#[test]
fn a_wrong_specification_leaves_alone_what_runs() {
    let mut world = World::up(server(json!({})));
    world.change(|server| server.spec.memory = Some("much".to_owned()));
    world.settle();
    assert_eq!(world.written(), Vec::<String>::new());
    let told = world.told();
    assert!(
        told.starts_with(
            "Failed (True Answers: the server answers, by what it was before: spec.memory: "
        ),
        "{told}"
    );
    assert_eq!(world.told.last().unwrap().reason, "ServerInvalid");
    world.change(|server| server.spec.memory = None);
    world.settle();
    assert!(world.told().starts_with("Ready"), "{}", world.told());
}

#[test]
fn what_belongs_to_somebody_else_is_not_applied_over() {
    let mut world = World::new(server(json!({})));
    let service = ObjectRef {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        namespace: Some("team".to_owned()),
        name: "jobs-history".to_owned(),
    };
    world.objects.insert(
        service.clone(),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "jobs-history", "namespace": "team"},
        }),
    );
    world.settle();
    assert_eq!(
        world.told(),
        "Failed (False NameTaken: Service jobs-history belongs to somebody else: delete it, or give the \
         SparkHistoryServer another name)"
    );
    assert_eq!(world.written(), Vec::<String>::new());
    world.objects.remove(&service);
    world.settle();
    assert!(world.told().starts_with("Starting"), "{}", world.told());
}

/// Something that happens in the world of a server.
#[derive(Debug, Clone)]
enum Turn {
    BucketGoes,
    BucketComes(bool),
    Suspend(bool),
    Memory(bool),
    RollOut,
    Answer,
    PodDies,
    Lose(usize),
    Scaled(i64),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        Just(Turn::BucketGoes),
        any::<bool>().prop_map(Turn::BucketComes),
        any::<bool>().prop_map(Turn::Suspend),
        any::<bool>().prop_map(Turn::Memory),
        Just(Turn::RollOut),
        Just(Turn::Answer),
        Just(Turn::PodDies),
        (0_usize..4).prop_map(Turn::Lose),
        (0_i64..3).prop_map(Turn::Scaled),
    ];
    prop::collection::vec(turn, 0..12)
}

proptest! {
    #[test]
    fn whatever_happens_it_settles_and_ends_as_one_that_nothing_happened_to(turns in turns()) {
        let mut world = World::new(server(json!({})));
        for turn in turns {
            match turn {
                Turn::BucketGoes => world.stores = Stores::default(),
                Turn::BucketComes(there) => {
                    let endpoint = if there { "http://minio:9000" } else { "http://other:9000" };
                    world.stores = stores(endpoint);
                }
                Turn::Suspend(is) => world.change(|server| server.spec.suspend = is),
                Turn::Memory(is) => world.change(|server| {
                    let memory = if is { "2g" } else { "much" };
                    server.spec.memory = Some(memory.to_owned());
                }),
                Turn::RollOut => world.roll_out(),
                Turn::Answer if !world.pods.is_empty() => world.answers(),
                Turn::Answer => {}
                Turn::PodDies => world.pods.clear(),
                Turn::Lose(index) => {
                    let lost = world.objects.keys().nth(index).cloned();
                    lost.map(|lost| world.objects.remove(&lost));
                }
                Turn::Scaled(replicas) => {
                    let mut objects = world.objects.iter_mut();
                    if let Some((_, found)) = objects.find(|(it, _)| it.kind == "Deployment") {
                        found["spec"]["replicas"] = json!(replicas);
                    }
                }
            }
            world.later(1);
            world.settle();
        }
        world.stores = stores("http://minio:9000");
        world.change(|server| {
            server.spec.suspend = false;
            server.spec.memory = None;
        });
        world.settle();
        world.roll_out();
        world.answers();
        world.settle();
        prop_assert!(world.told().starts_with("Ready (True"), "{}", world.told());
        let plain = World::up(server(json!({})));
        let names = |world: &World| world.objects.keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(names(&world), names(&plain));
        world.written();
        world.settle();
        prop_assert_eq!(world.written(), Vec::<String>::new());
    }
}
