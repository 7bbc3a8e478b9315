use serde_json::json;
use windlass_api::spark::scheduled::SCHEDULE_LABEL;

use super::*;

fn a_driver(status: Value) -> Object {
    Object::new(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "pi-driver",
            "namespace": "jobs",
            "uid": "d1",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "annotations": {"a": "very long"},
            "labels": {
                ROLE: "driver", APP_SELECTOR: "spark-1", APP_NAME: "pi", SUBMISSION_ID: "s1",
                LAUNCHED_BY: "true", "team": "data",
            },
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u0"},
                {"kind": "SparkApplication", "name": "pi", "uid": "u1", "controller": true},
            ],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "sidecar", "args": ["serve"], "image": "proxy"},
                {"name": "main", "args": ["driver", "--class", "Pi"], "image": "spark:4.3"},
            ],
        },
        "status": status,
    }))
}

fn trimmed(pod: &Object) -> Object {
    let mut value = pod.as_value().clone();
    (POD.apply)(&mut value);
    Object::new(value)
}

#[test]
fn the_spark_container_is_found_by_its_argument_and_a_sidecar_changes_nothing() {
    let pod = a_driver(json!({
        "phase": "Running",
        "containerStatuses": [
            {"name": "sidecar", "state": {"running": {}}},
            {"name": "main", "state": {"terminated": {
                "exitCode": 7, "reason": "Error", "finishedAt": "2026-03-01T12:01:00Z",
            }}},
        ],
    }));
    let SparkContainer::Exited(exit) = driver_pod(&pod).spark else {
        panic!("the driver has ended");
    };
    assert_eq!((exit.code, exit.reason.as_deref()), (7, Some("Error")));
    assert_eq!(
        exit.finished_at,
        Some("2026-03-01T12:01:00Z".parse().unwrap())
    );
}

#[test]
fn the_spark_container_is_found_by_its_name_or_because_it_is_alone() {
    let named = json!({"spec": {"containers": [
        {"name": "a"}, {"name": "spark-kubernetes-driver"}, {"name": "b"},
    ]}});
    assert_eq!(
        spark_container(&named, Role::Driver),
        Some("spark-kubernetes-driver")
    );
    let alone = json!({"spec": {"containers": [{"name": "whatever"}]}});
    assert_eq!(spark_container(&alone, Role::Driver), Some("whatever"));
    let strange = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
    assert_eq!(spark_container(&strange, Role::Driver), None);
    let twice = json!({"spec": {"containers": [
        {"name": "taxi", "args": ["driver"]},
        {"name": "spark-kubernetes-driver", "args": ["driver"]},
    ]}});
    assert_eq!(
        spark_container(&twice, Role::Driver),
        Some("spark-kubernetes-driver")
    );
}

#[test]
fn what_keeps_a_driver_from_starting_is_read() {
    let waiting = |reason: &str| json!({"waiting": {"reason": reason, "message": "so it is"}});
    let spark_waits = |reason: &str| {
        let statuses = json!([{"name": "main", "image": "spark:4.3", "state": waiting(reason)}]);
        driver_pod(&a_driver(
            json!({"phase": "Pending", "containerStatuses": statuses}),
        ))
        .blocked
    };
    let on_the_way = |waiting: Value| {
        let statuses = json!([{"name": "main", "state": {"waiting": waiting}}]);
        driver_pod(&a_driver(
            json!({"phase": "Pending", "containerStatuses": statuses}),
        ))
        .blocked
    };
    assert_eq!(on_the_way(json!({"reason": "ContainerCreating"})), None);
    let told = on_the_way(json!({"reason": "ContainerCreating", "message": "no volume"}));
    assert_eq!(told.unwrap().message.as_deref(), Some("no volume"));
    let blocked = spark_waits("ImagePullBackOff").unwrap();
    assert_eq!(
        (blocked.reason.as_str(), blocked.image.as_deref()),
        ("ImagePullBackOff", Some("spark:4.3"))
    );

    let sidecar = json!([{"name": "sidecar", "state": waiting("ImagePullBackOff")}]);
    let pod = a_driver(json!({"phase": "Pending", "containerStatuses": sidecar}));
    assert_eq!(
        driver_pod(&pod).blocked,
        None,
        "a sidecar does not hold up the driver"
    );

    let init = json!([{"name": "fetch", "state": waiting("CreateContainerConfigError")}]);
    let pod = a_driver(json!({"phase": "Pending", "initContainerStatuses": init}));
    assert_eq!(
        driver_pod(&pod).blocked.unwrap().reason,
        "CreateContainerConfigError"
    );

    let conditions = json!([
        {"type": "Ready", "status": "False"},
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"},
    ]);
    let pod = a_driver(json!({"phase": "Pending", "conditions": conditions}));
    assert_eq!(driver_pod(&pod).unschedulable.as_deref(), Some("no cpu"));
}

#[test]
fn a_failed_init_container_is_read() {
    let statuses = json!([
        {"name": "first", "state": {"terminated": {"exitCode": 0}}},
        {"name": "second", "state": {"terminated": {"exitCode": 2, "message": "no"}}},
    ]);
    let pod = driver_pod(&a_driver(
        json!({"phase": "Failed", "initContainerStatuses": statuses}),
    ));
    let failed = pod.failed_init.unwrap();
    assert_eq!((failed.name.as_str(), failed.exit.code), ("second", 2));
}

#[test]
fn trimming_changes_nothing_that_is_read() {
    let pods = [
        json!({}),
        json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "m"},
            {"type": "Initialized", "status": "True"},
        ]}),
        json!({"phase": "Failed", "reason": "Evicted", "message": "disk", "hostIP": "10.0.0.1"}),
        json!({"phase": "Running", "podIP": "10.1.0.1", "containerStatuses": [
            {"name": "main", "imageID": "sha256:1", "image": "spark",
             "state": {"running": {"startedAt": "2026-03-01T12:00:02Z"}}},
        ]}),
    ];
    for status in pods {
        let pod = a_driver(status);
        let small = trimmed(&pod);
        assert_eq!(driver_pod(&small), driver_pod(&pod));
        assert_eq!(executor_pod(&small), executor_pod(&pod));
        assert!(small.as_value().to_string().len() < pod.as_value().to_string().len());
        assert_eq!(trimmed(&small), small);
    }
}

#[test]
fn an_object_in_any_shape_reads_as_something() {
    for value in [
        json!(null),
        json!({}),
        json!({"spec": 1, "status": []}),
        json!({"status": {"phase": 3}}),
    ] {
        let mut small = value.clone();
        (POD.apply)(&mut small);
        (CHILD.apply)(&mut small);
        (RUN.apply)(&mut small);
        assert_eq!(run(&Object::new(value.clone())).state, RunState::Live);
        let pod = driver_pod(&Object::new(value));
        assert_eq!(
            (pod.phase, pod.spark),
            (PodPhase::Pending, SparkContainer::Unreported)
        );
    }
}

#[test]
fn a_ui_service_is_told_by_its_owner() {
    let service = |uid: &str, ip: &str| {
        Object::new(json!({
            "metadata": {"name": "pi-ui-svc", "uid": "s1", "ownerReferences": [{"uid": uid}]},
            "spec": {"clusterIP": ip, "ports": [{"port": 4040}]},
        }))
    };
    assert_eq!(ui_service(None, "u1"), UiService::Absent);
    assert_eq!(
        ui_service(Some(&service("other", "10.0.0.7")), "u1"),
        UiService::Foreign
    );
    for (ip, expected) in [
        ("10.0.0.7", Some("10.0.0.7:4040")),
        ("fd00::1", Some("[fd00::1]:4040")),
        ("None", None),
    ] {
        let UiService::Ours { address, .. } = ui_service(Some(&service("u1", ip)), "u1") else {
            panic!("it is ours");
        };
        assert_eq!(address.as_deref(), expected);
    }
}

#[test]
fn trimming_changes_nothing_that_is_read_of_a_run() {
    let states = ["", "RUNNING", "COMPLETED", "FAILED", "SUBMISSION_FAILED"];
    let expected = [
        RunState::Live,
        RunState::Live,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Live,
    ];
    for (state, expected) in states.into_iter().zip(expected) {
        let application = Object::new(json!({
            "metadata": {
                "name": "report-1", "namespace": "jobs", "uid": "u1", "resourceVersion": "7",
                "creationTimestamp": "2026-03-01T02:00:00Z",
                "labels": {SCHEDULE_LABEL: "report", "team": "etl"},
                "ownerReferences": [{"uid": "s1"}],
            },
            "spec": {"sparkVersion": "4.3.0"},
            "status": {"applicationState": {"state": state}, "executorState": {"e": "RUNNING"}},
        }));
        let mut small = application.as_value().clone();
        (RUN.apply)(&mut small);
        let small = Object::new(small);
        assert_eq!(run(&small), run(&application));
        assert_eq!(run(&small).state, expected);
        assert_eq!(small.label(SCHEDULE_LABEL), Some("report"));
        assert_eq!(small.owner_uids().next(), Some("s1"));
        assert!(small.spec().is_null());
    }
}

#[test]
fn a_driver_is_live_until_its_pod_has_ended() {
    for (phase, live) in [
        ("Pending", true),
        ("Running", true),
        ("Unknown", true),
        ("Succeeded", false),
        ("Failed", false),
    ] {
        let pod = a_driver(json!({"phase": phase}));
        let mut small = pod.as_value().clone();
        (DRIVER_OF_RUN.apply)(&mut small);
        assert_eq!(is_live_driver(&pod), live, "{phase}");
        assert_eq!(is_live_driver(&Object::new(small)), live, "{phase}");
    }
}
