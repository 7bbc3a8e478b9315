use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2024-01-01T01:00:00Z".parse().unwrap()
}

fn cells(group: &str, kind: &str, mut object: Value) -> Vec<Value> {
    object["metadata"]["name"] = "x".into();
    object["metadata"]["creationTimestamp"] = "2024-01-01T00:55:00Z".into();
    let printer = Printer::builtin(group, kind);
    let cells = printer.cells(&object, now());
    assert_eq!(cells.len(), printer.columns().len(), "{kind}");
    cells
}

#[test]
fn ages_have_about_two_units() {
    for (seconds, text) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (10_860, "3h1m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (176_400, "2d1h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (63_158_400, "2y1d"),
        (252_288_000, "8y"),
    ] {
        assert_eq!(human_duration(seconds), text, "{seconds}");
    }
}

#[test]
fn the_status_of_a_pod_is_one_word() {
    let container =
        |state: Value| json!([{"name": "c", "ready": true, "restartCount": 0, "state": state}]);
    let init = |state: Value| json!([{"name": "i", "restartCount": 1, "state": state}]);
    let table = [
        (json!({"phase": "Pending"}), "0/1", "Pending"),
        (
            json!({"phase": "Running", "containerStatuses": container(json!({"running": {}}))}),
            "1/1",
            "Running",
        ),
        (
            json!({"phase": "Pending", "containerStatuses":
                container(json!({"waiting": {"reason": "ImagePullBackOff"}}))}),
            "0/1",
            "ImagePullBackOff",
        ),
        (
            json!({"phase": "Failed", "containerStatuses":
                container(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))}),
            "0/1",
            "OOMKilled",
        ),
        (
            json!({"phase": "Failed", "containerStatuses":
                container(json!({"terminated": {"exitCode": 3}}))}),
            "0/1",
            "ExitCode:3",
        ),
        (
            json!({"phase": "Succeeded", "containerStatuses":
                container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))}),
            "0/1",
            "Completed",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": init(json!({"running": {}}))}),
            "0/1",
            "Init:0/1",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses":
                init(json!({"terminated": {"exitCode": 1, "reason": "Error"}}))}),
            "0/1",
            "Init:Error",
        ),
        (
            json!({"phase": "Failed", "reason": "Evicted"}),
            "0/1",
            "Evicted",
        ),
    ];
    for (status, ready, word) in table {
        let pod = json!({
            "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]},
            "status": status,
        });
        let row = cells("", "Pod", pod);
        assert_eq!(
            (&row[1], &row[2]),
            (&json!(ready), &json!(word)),
            "{status}"
        );
    }
    let going = json!({
        "metadata": {"deletionTimestamp": "2024-01-01T00:59:00Z"},
        "spec": {"containers": [{"name": "c"}], "nodeName": "n"},
        "status": {"phase": "Running", "podIPs": [{"ip": "127.1.128.1"}], "containerStatuses": [
            {"name": "c", "restartCount": 2,
             "lastState": {"terminated": {"finishedAt": "2024-01-01T00:59:30Z"}}},
        ]},
    });
    assert_eq!(
        cells("", "Pod", going),
        [
            json!("x"),
            json!("0/1"),
            json!("Terminating"),
            json!("2 (30s ago)"),
            json!("5m"),
            json!("127.1.128.1"),
            json!("n"),
            json!("<none>"),
            json!("<none>"),
        ]
    );
}

#[test]
fn kinds_print_as_kubectl_users_know_them() {
    let table = [
        cells(
            "",
            "Service",
            json!({"spec": {"type": "ClusterIP", "clusterIP": "127.1.0.1",
            "ports": [{"port": 443, "protocol": "TCP"}], "selector": {"a": "b"}}}),
        ),
        cells(
            "",
            "Service",
            json!({"spec": {"type": "NodePort", "clusterIP": "127.1.0.2",
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}}),
        ),
        cells(
            "",
            "Node",
            json!({
                "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "127.1.128.0"}],
                    "nodeInfo": {"kubeletVersion": "v1.32.9"},
                },
            }),
        ),
        cells(
            "",
            "Event",
            json!({
                "type": "Normal", "reason": "Started", "message": "m\n", "count": 3,
                "involvedObject": {"kind": "Pod", "name": "p"},
                "firstTimestamp": "2024-01-01T00:50:00Z", "lastTimestamp": "2024-01-01T00:59:55Z",
                "source": {"component": "kubelet", "host": "n"},
            }),
        ),
        cells(
            "events.k8s.io",
            "Event",
            json!({
                "type": "Warning", "reason": "Failed", "note": "n",
                "regarding": {"kind": "Pod", "name": "p"},
                "eventTime": "2024-01-01T00:59:00.000000Z", "reportingController": "c",
            }),
        ),
        cells(
            "",
            "ConfigMap",
            json!({"data": {"a": "1"}, "binaryData": {"b": ""}}),
        ),
        cells("", "Secret", json!({"type": "Opaque", "data": {"a": ""}})),
        cells(
            "apps",
            "Deployment",
            json!({
                "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
                    "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
                "status": {"readyReplicas": 1, "updatedReplicas": 2},
            }),
        ),
        cells(
            "batch",
            "Job",
            json!({
                "spec": {"completions": 1},
                "status": {"startTime": "2024-01-01T00:59:00Z"},
            }),
        ),
        cells(
            "",
            "PersistentVolumeClaim",
            json!({
                "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "1Gi"}},
            }),
        ),
        cells(
            "",
            "Endpoints",
            json!({"subsets": [{
                "addresses": [{"ip": "a"}, {"ip": "b"}, {"ip": "c"}, {"ip": "d"}],
                "ports": [{"port": 80}],
            }]}),
        ),
        cells(
            "discovery.k8s.io",
            "EndpointSlice",
            json!({"addressType": "IPv4",
            "ports": [{"port": 80}], "endpoints": [{"addresses": ["a"]}]}),
        ),
        cells(
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"holderIdentity": "h"}}),
        ),
        cells(
            "rbac.authorization.k8s.io",
            "RoleBinding",
            json!({
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}],
            }),
        ),
        cells(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            json!({}),
        ),
    ];
    let lines: Vec<String> = table
        .iter()
        .map(|row| {
            let texts = row
                .iter()
                .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned));
            texts.collect::<Vec<_>>().join(" | ")
        })
        .collect();
    insta::assert_yaml_snapshot!("rows", lines);
}

#[test]
fn custom_columns_follow_their_paths() {
    let printer = Printer::custom(Some(&json!([
        {"name": "State", "type": "string", "jsonPath": ".status.applicationState.state"},
        {"name": "Attempts", "type": "integer", "jsonPath": ".status.attempts"},
        {"name": "Ready", "type": "string", "priority": 1,
         "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "First", "type": "string", "jsonPath": ".spec.list[0]['a.b']"},
        {"name": "Annotated", "type": "string", "jsonPath": ".metadata.annotations.x\\.io/y"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.no"},
        {"name": "Map", "type": "string", "jsonPath": ".spec.map"},
    ])));
    assert_eq!(printer.columns()[3].priority, 1);
    let object = json!({
        "metadata": {
            "name": "x", "creationTimestamp": "2024-01-01T00:59:00Z",
            "annotations": {"x.io/y": "z"},
        },
        "spec": {"list": [{"a.b": "c"}], "map": {"k": 1}},
        "status": {
            "applicationState": {"state": "RUNNING"}, "attempts": 2,
            "conditions": [{"type": "Other", "status": "True"}, {"type": "Ready", "status": "False"}],
        },
    });
    assert_eq!(
        printer.cells(&object, now()),
        [
            json!("x"),
            json!("RUNNING"),
            json!(2),
            json!("False"),
            json!("c"),
            json!("z"),
            json!("60s"),
            json!(null),
            json!("{\"k\":1}"),
        ]
    );
    let plain = Printer::custom(None);
    assert_eq!(plain.cells(&object, now()), [json!("x"), json!("60s")]);
    assert_eq!(plain.columns()[1].name, "Age");
}

#[test]
fn a_revision_names_its_controller() {
    let owner = json!([
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": true},
    ]);
    let object = json!({"metadata": {"ownerReferences": owner}, "revision": 3});
    assert_eq!(
        cells("apps", "ControllerRevision", object),
        [
            "x".into(),
            "statefulset.apps/db".into(),
            3.into(),
            Value::from("5m")
        ]
    );
    let orphan = cells("apps", "ControllerRevision", json!({}));
    assert_eq!(orphan[1], "<none>");
}

#[test]
fn the_row_of_a_pod_that_has_ended_says_so() {
    let pods = Printer::builtin("", "Pod");
    for (phase, told) in [
        ("Running", None),
        ("Succeeded", Some("The pod has completed successfully.")),
        ("Failed", Some("The pod failed.")),
    ] {
        let conditions = pods.conditions(&json!({"status": {"phase": phase}}));
        let message = conditions.as_ref().map(|them| &them[0]["message"]);
        assert_eq!(message, told.map(Value::from).as_ref(), "{phase}");
    }
    let jobs = Printer::builtin("batch", "Job");
    assert_eq!(
        jobs.conditions(&json!({"status": {"phase": "Failed"}})),
        None
    );
}
