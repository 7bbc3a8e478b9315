use serde_json::json;
use windlass_api::spark::scheduled::SCHEDULE_LABEL;

use super::*;
use crate::lifecycle::observed::{Exposer, ExposerKind, Exposure, PageRoute, PageService, WebPage};

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
        (EXPOSER.apply)(&mut small);
        (RUN.apply)(&mut small);
        assert_eq!(run(&Object::new(value.clone())).state, RunState::Live);
        let pod = driver_pod(&Object::new(value));
        assert_eq!(
            (pod.phase, pod.spark),
            (PodPhase::Pending, SparkContainer::Unreported)
        );
    }
}

fn a_service(uid: &str, spec: Value, status: Value) -> (ExposerKind, Object) {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "pi-ui-svc", "uid": "s1", "ownerReferences": [{"uid": uid}],
            "annotations": {"a": "very long"},
        },
        "spec": spec,
        "status": status,
    });
    (ExposerKind::Service, Object::new(service))
}

fn shown(found: &[(ExposerKind, Object)]) -> Exposure {
    let wanted = [
        (ExposerKind::Service, "pi-ui-svc"),
        (ExposerKind::Ingress, "pi-ui-ingress"),
    ]
    .map(|(kind, name)| Exposer {
        kind,
        name: name.to_owned(),
    });
    let trimmed: Vec<_> = found
        .iter()
        .map(|(kind, object)| {
            let mut small = object.as_value().clone();
            (EXPOSER.apply)(&mut small);
            (*kind, Object::new(small))
        })
        .collect();
    let is_web_page = |name: &str| name.starts_with("pi-ui-");
    let exposure = exposure(found, &wanted, "u1", is_web_page);
    let of_trimmed = super::exposure(&trimmed, &wanted, "u1", is_web_page);
    assert_eq!(of_trimmed, exposure, "trimming changes nothing");
    exposure
}

#[test]
fn what_exposes_a_driver_is_told_by_its_owner() {
    let names =
        |missing: &[Exposer]| -> Vec<String> { missing.iter().map(|it| it.name.clone()).collect() };
    let nothing = shown(&[]);
    assert_eq!(names(&nothing.missing), ["pi-ui-svc", "pi-ui-ingress"]);
    let foreign = shown(&[a_service("other", json!({}), json!({}))]);
    assert_eq!(
        names(&foreign.missing),
        ["pi-ui-ingress"],
        "its name is taken"
    );
    assert_eq!(
        (foreign.present, foreign.web_page),
        (vec![], WebPage::default())
    );

    let (kind, leaving) = a_service("u1", json!({}), json!({}));
    let mut leaving = leaving.into_value();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
    let leaving = shown(&[(kind, Object::new(leaving))]);
    assert_eq!(leaving.present, [], "it is deleted once");
    assert_eq!(names(&leaving.missing), ["pi-ui-ingress"]);
}

#[test]
fn the_web_page_is_where_its_service_is() {
    for (spec, status, port, node_port, address, outside) in [
        (
            json!({"clusterIP": "10.0.0.7", "ports": [{"port": 4040}]}),
            json!({"loadBalancer": {}}),
            Some(4040),
            None,
            Some("10.0.0.7:4040"),
            None,
        ),
        (
            json!({"clusterIP": "fd00::1", "ports": [{"port": 80, "nodePort": 30080}]}),
            json!(null),
            Some(80),
            Some(30080),
            Some("[fd00::1]:80"),
            None,
        ),
        (
            json!({"clusterIP": "10.0.0.7", "ports": [{"port": 80, "nodePort": 30080}]}),
            json!({"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}),
            Some(80),
            Some(30080),
            Some("10.0.0.7:80"),
            Some("lb.example.com:80"),
        ),
        (
            json!({"clusterIP": "None", "ports": []}),
            json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}),
            None,
            None,
            None,
            None,
        ),
    ] {
        let expected = PageService {
            name: "pi-ui-svc".to_owned(),
            port,
            node_port,
            address: address.map(str::to_owned),
            external_address: outside.map(str::to_owned),
        };
        let page = shown(&[a_service("u1", spec, status)]).web_page;
        assert_eq!(page.service, Some(expected));
    }
}

#[test]
fn the_url_of_a_route_is_the_one_it_was_made_for() {
    let ingress = Object::new(json!({
        "metadata": {
            "name": "pi-ui-ingress", "uid": "i1", "ownerReferences": [{"uid": "u1"}],
            "annotations": {"windlass.dev/url": "https://pi.example.com", "other": "x"},
        },
        "spec": {"rules": []},
    }));
    let page = shown(&[(ExposerKind::Ingress, ingress)]).web_page;
    let expected = PageRoute {
        name: "pi-ui-ingress".to_owned(),
        address: Some("https://pi.example.com".to_owned()),
    };
    assert_eq!(page.route, Some(expected));
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
