//! What is said of Deployments, StatefulSets, their status, and of Services that change their type.

use serde_json::{Value, json};

use super::*;

fn workload(kind: &str, more: &Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "w", "namespace": "n"},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "main", "image": "app"}]},
            },
        },
    });
    json_patch::merge(&mut object["spec"], more);
    default("apps", "v1", kind, &mut object);
    object
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_wrong_with_a_workload_is_said_in_order() {
    let cases = [
        ("Deployment", json!({}), vec![]),
        (
            "Deployment",
            json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}),
            vec![
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when \
                 `maxSurge` is 0",
            ],
        ),
        (
            "Deployment",
            json!({"strategy": {"type": "Wrong"}}),
            vec![
                "spec.strategy: Unsupported value: {\"Type\":\"Wrong\",\"RollingUpdate\":null}: \
                 supported values: \"Recreate\", \"RollingUpdate\"",
            ],
        ),
        (
            "Deployment",
            json!({"progressDeadlineSeconds": 1, "minReadySeconds": 5}),
            vec![
                "spec.progressDeadlineSeconds: Invalid value: 1: must be greater than \
                 minReadySeconds",
            ],
        ),
        (
            "Deployment",
            json!({"template": {"spec": {"terminationGracePeriodSeconds": -1}}}),
            vec![],
        ),
        (
            "StatefulSet",
            json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 0}}}),
            vec![
                "spec.updateStrategy.rollingUpdate: Invalid value: \
                 {\"Partition\":0,\"MaxUnavailable\":null}: only allowed for updateStrategy \
                 'RollingUpdate'",
            ],
        ),
        (
            "StatefulSet",
            json!({"podManagementPolicy": "Wrong", "selector": null}),
            vec![
                "spec.podManagementPolicy: Invalid value: \"Wrong\": must be 'OrderedReady' or \
                 'Parallel'",
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does \
                 not match template `labels`",
            ],
        ),
        (
            "StatefulSet",
            json!({"selector": {"matchExpressions": [{"key": "app", "operator": "Is"}]}}),
            vec![
                "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid \
                 selector operator",
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\"},\"matchExpressions\":\
                 [{\"key\":\"app\",\"operator\":\"Is\"}]}",
            ],
        ),
    ];
    for (kind, more, expected) in cases {
        let object = workload(kind, &more);
        let errors = texts(&validate_create("apps", "v1", kind, &object));
        assert_eq!(errors, expected, "{kind} with {more}");
    }
}

#[test]
fn the_counts_of_a_status_fit_together() {
    let cases = [
        (
            "Deployment",
            json!({"replicas": 2, "readyReplicas": 1}),
            vec![],
        ),
        (
            "Deployment",
            json!({"replicas": -1}),
            vec![
                "status.replicas: Invalid value: -1: must be greater than or equal to 0",
                "status.updatedReplicas: Invalid value: 0: cannot be greater than status.replicas",
                "status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 0: cannot be greater than \
                 status.replicas",
            ],
        ),
        (
            "StatefulSet",
            json!({"replicas": 1, "availableReplicas": 1}),
            vec![
                "status.availableReplicas: Invalid value: 1: cannot be greater than \
                 status.readyReplicas",
            ],
        ),
    ];
    for (kind, status, expected) in cases {
        let old = workload(kind, &json!({}));
        let mut object = old.clone();
        object["status"] = status.clone();
        let errors = texts(&validate_status("apps", kind, &object, &old));
        assert_eq!(errors, expected, "{kind} with {status}");
    }
}

#[test]
fn a_service_of_another_type_loses_what_it_cannot_have() {
    let service = |spec: Value| {
        let mut object = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec});
        default("", "v1", "Service", &mut object);
        object
    };
    let old = service(json!({
        "type": "LoadBalancer", "clusterIP": "127.1.0.9", "clusterIPs": ["127.1.0.9"],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "ports": [{"name": "web", "port": 80, "nodePort": 30001}],
    }));
    let mut cluster = old.clone();
    cluster["spec"]["type"] = "ClusterIP".into();
    default("", "v1", "Service", &mut cluster);
    prepare_update("", "v1", "Service", &mut cluster, &old);
    assert_eq!(
        cluster["spec"],
        json!({
            "type": "ClusterIP", "clusterIP": "127.1.0.9", "clusterIPs": ["127.1.0.9"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
            "ports": [{"name": "web", "port": 80, "protocol": "TCP", "targetPort": 80}],
        })
    );
    assert!(validate_update("", "v1", "Service", &cluster, &old).is_empty());

    let mut external = old.clone();
    external["spec"]["type"] = "ExternalName".into();
    external["spec"]["externalName"] = "example.org".into();
    prepare_update("", "v1", "Service", &mut external, &old);
    assert_eq!(external["spec"]["clusterIP"], Value::Null);
    assert!(validate_update("", "v1", "Service", &external, &old).is_empty());

    // Node ports follow the name of a port, whatever else of it changes.
    let mut moved = service(json!({"type": "NodePort", "ports": [{"name": "web", "port": 81}]}));
    prepare_update("", "v1", "Service", &mut moved, &old);
    assert_eq!(moved["spec"]["ports"][0]["nodePort"], 30001);
}
