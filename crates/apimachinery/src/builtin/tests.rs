use serde_json::{Value, json};

use super::*;

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

fn complaints(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pod_is_completed_as_the_api_does() {
    let mut object = pod();
    object["spec"]["volumes"] = json!([
        {"name": "a"},
        {"name": "b", "configMap": {"name": "m"}},
        {"name": "c", "hostPath": {"path": "/"}},
        {"name": "d", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ]}},
    ]);
    object["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    object["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 80}});
    object["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
    default("", "v1", "Pod", &mut object);
    let once = object.clone();
    default("", "v1", "Pod", &mut object);
    assert_eq!(object, once, "defaulting twice changes nothing");
    prepare_create("", "v1", "Pod", &mut object);
    insta::assert_yaml_snapshot!("completed_pod", object);
    assert_eq!(
        complaints(&validate_create("", "v1", "Pod", &object)),
        [""; 0]
    );
}

#[test]
fn the_pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("spark", "Always"),
        ("spark:latest", "Always"),
        ("spark:3.5", "IfNotPresent"),
        ("localhost:5000/spark", "Always"),
        ("localhost:5000/spark:1", "IfNotPresent"),
        ("spark@sha256:0123", "IfNotPresent"),
        ("", "IfNotPresent"),
        (" spark", "IfNotPresent"),
    ] {
        let mut object = pod();
        object["spec"]["containers"][0]["image"] = image.into();
        default("", "v1", "Pod", &mut object);
        assert_eq!(
            object["spec"]["containers"][0]["imagePullPolicy"], policy,
            "{image}"
        );
    }
}

#[test]
fn quality_of_service_follows_requests_and_limits() {
    let table = [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": {"cpu": "1"}}), "Burstable"),
        (
            json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
            "Guaranteed",
        ),
        (
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
            "Burstable",
        ),
        (json!({"requests": {"cpu": "0"}}), "BestEffort"),
    ];
    for (resources, class) in table {
        let mut object = pod();
        object["spec"]["containers"][0]["resources"] = resources.clone();
        default("", "v1", "Pod", &mut object);
        prepare_create("", "v1", "Pod", &mut object);
        assert_eq!(object["status"]["qosClass"], class, "{resources}");
    }
}

#[test]
fn a_bad_pod_is_refused_field_by_field() {
    let object = json!({
        "metadata": {"name": "P"},
        "spec": {
            "restartPolicy": "Sometimes",
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "secret": {}}],
            "containers": [
                {"name": "c"},
                {
                    "name": "c", "image": "i", "imagePullPolicy": "Perhaps",
                    "ports": [{"containerPort": 70000, "name": "UPPER"}],
                    "env": [{"name": "a=b"}, {}],
                    "volumeMounts": [{"name": "nope", "mountPath": "/x"}],
                    "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1", "memory": "-1"}},
                },
            ],
        },
    });
    insta::assert_yaml_snapshot!(
        "bad_pod",
        complaints(&validate_create("", "v1", "Pod", &object))
    );
}

#[test]
fn a_pod_spec_is_fixed_but_for_its_images() {
    let mut old = pod();
    default("", "v1", "Pod", &mut old);
    let mut new = old.clone();
    new["spec"]["containers"][0]["image"] = "other".into();
    new["metadata"]["labels"] = json!({"a": "b"});
    assert!(validate_update("", "v1", "Pod", &new, &old).is_empty());
    new["spec"]["nodeName"] = "elsewhere".into();
    let errors = validate_update("", "v1", "Pod", &new, &old);
    assert_eq!(errors[0].field, "spec");
    assert!(
        errors[0]
            .message
            .starts_with("Forbidden: pod updates may not change fields")
    );
    let mut new = old.clone();
    new["spec"]["containers"] = json!([]);
    assert_eq!(
        complaints(&validate_update("", "v1", "Pod", &new, &old)),
        [
            "spec.containers: Required value",
            "spec.containers: Forbidden: pod updates may not add or remove containers"
        ]
    );
}

#[test]
fn services_get_their_defaults_and_keep_their_address() {
    let mut service = json!({
        "metadata": {"name": "s", "namespace": "n"},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}},
    });
    default("", "v1", "Service", &mut service);
    prepare_create("", "v1", "Service", &mut service);
    assert_eq!(
        service["spec"],
        json!({
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "selector": {"a": "b"}, "type": "ClusterIP", "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack",
            "ipFamilies": ["IPv4"],
        })
    );
    assert!(validate_create("", "v1", "Service", &service).is_empty());
    let mut old = service.clone();
    old["spec"]["clusterIP"] = "127.1.0.9".into();
    old["spec"]["clusterIPs"] = json!(["127.1.0.9"]);
    let mut new = service.clone();
    prepare_update("", "v1", "Service", &mut new, &old);
    assert_eq!(new["spec"]["clusterIP"], "127.1.0.9");
    assert!(validate_update("", "v1", "Service", &new, &old).is_empty());
    new["spec"]["clusterIP"] = "127.1.0.10".into();
    new["spec"]["clusterIPs"] = json!(["127.1.0.10"]);
    assert_eq!(
        complaints(&validate_update("", "v1", "Service", &new, &old)),
        ["spec.clusterIPs[0]: Invalid value: [\"127.1.0.10\"]: may not change once set"]
    );
}

#[test]
fn string_data_becomes_data() {
    let mut secret = json!({
        "metadata": {"name": "s"}, "stringData": {"a": "x", "b": "y"}, "data": {"a": "AAAA"},
    });
    default("", "v1", "Secret", &mut secret);
    assert_eq!(secret["data"], json!({"a": "eA==", "b": "eQ=="}));
    assert_eq!(secret["type"], "Opaque");
    assert!(secret.get("stringData").is_none());
}

#[test]
fn what_is_immutable_stays() {
    let map = |value: &str, immutable: bool| json!({"metadata": {"name": "m"}, "data": {"k": value}, "immutable": immutable});
    let update =
        |new: &Value, old: &Value| complaints(&validate_update("", "v1", "ConfigMap", new, old));
    assert!(update(&map("b", true), &map("a", false)).is_empty());
    assert_eq!(
        update(&map("b", false), &map("a", true)),
        [
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set",
        ]
    );
    let secret = |kind: &str| json!({"metadata": {"name": "s"}, "type": kind});
    assert_eq!(
        complaints(&validate_update(
            "",
            "v1",
            "Secret",
            &secret("b"),
            &secret("a")
        )),
        ["type: Invalid value: \"b\": field is immutable"]
    );
}

#[test]
fn workloads_get_defaults_and_their_selector_is_checked() {
    let mut deployment = json!({
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "c"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    });
    default("apps", "v1", "Deployment", &mut deployment);
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"],
        "25%"
    );
    assert_eq!(
        deployment["spec"]["template"]["spec"]["restartPolicy"],
        "Always"
    );
    assert!(
        deployment["spec"]["template"]["spec"]
            .get("enableServiceLinks")
            .is_none()
    );
    assert_eq!(
        complaints(&validate_create("apps", "v1", "Deployment", &deployment)),
        [
            "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match \
          template `labels`"
        ]
    );
}

#[test]
fn a_job_selects_its_own_pods() {
    let mut job = json!({
        "metadata": {"name": "j", "uid": "u"},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
        }}},
    });
    default("batch", "v1", "Job", &mut job);
    prepare_create("batch", "v1", "Job", &mut job);
    assert_eq!(
        job["spec"]["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
    );
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"]["job-name"],
        "j"
    );
    assert!(validate_create("batch", "v1", "Job", &job).is_empty());
    job["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
    assert_eq!(
        complaints(&validate_create("batch", "v1", "Job", &job)),
        [
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
        ]
    );
}

#[test]
fn metadata_is_checked_for_every_kind() {
    let table = [
        (
            json!({}),
            "metadata.name: Required value: name or generateName is required",
        ),
        (
            json!({"name": "a", "labels": {"k": "-"}}),
            "metadata.labels: Invalid value: \"-\": a valid label must be",
        ),
        (
            json!({"name": "a", "annotations": {"a/b/c": ""}}),
            "metadata.annotations: Invalid value: \"a/b/c\": a qualified name",
        ),
        (
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "P", "name": "p"}]}),
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ),
        (
            json!({"name": "a", "finalizers": ["orphan", "mine"]}),
            "metadata.finalizers[1]: Invalid value: \"mine\": name is neither a standard finalizer",
        ),
        (
            json!({"generateName": "A-"}),
            "metadata.generateName: Invalid value: \"A-\"",
        ),
    ];
    for (metadata, start) in table {
        let object = json!({"metadata": metadata});
        let errors = complaints(&validate_create("example.com", "v1", "Any", &object));
        assert!(
            errors.first().is_some_and(|error| error.starts_with(start)),
            "{metadata}: {errors:?}"
        );
    }
    let fine = json!({"metadata": {"generateName": "spark-", "annotations": {"A.b/C": "x"}}});
    assert!(
        validate_create("", "v1", "Pod", &fine)
            .iter()
            .all(|e| e.field.starts_with("spec"))
    );
    assert!(
        validate_create(
            "rbac.authorization.k8s.io",
            "v1",
            "ClusterRole",
            &json!({"metadata": {"name": "system:node"}})
        )
        .is_empty()
    );
}

#[test]
fn no_finalizer_is_added_to_what_is_going() {
    let old = json!({"metadata": {"name": "a", "deletionTimestamp": "x", "finalizers": ["a.b/c"]}});
    let new = json!({"metadata": {"name": "a", "finalizers": ["a.b/c", "d.e/f"]}});
    assert_eq!(
        complaints(&validate_metadata_update(&new, &old, true)),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being \
          deleted, found new finalizers []string{\"d.e/f\"}"
        ]
    );
}

#[test]
fn a_definition_in_a_protected_group_needs_a_statement() {
    let mut crd = json!({
        "metadata": {"name": "as.x.k8s.io"},
        "spec": {
            "group": "x.k8s.io", "scope": "Namespaced", "names": {"plural": "as", "kind": "A"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let validate = |crd: &Value| {
        complaints(&validate_create(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            crd,
        ))
    };
    default(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        &mut crd,
    );
    assert_eq!(crd["spec"]["names"]["listKind"], "AList");
    assert_eq!(crd["spec"]["conversion"]["strategy"], "None");
    assert_eq!(validate(&crd).len(), 1);
    crd["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, local"});
    assert_eq!(validate(&crd), [""; 0]);
}

#[test]
fn containers_of_a_stateful_set_mount_its_claims() {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "s", "namespace": "n"},
        "spec": {
            "serviceName": "s",
            "selector": {"matchLabels": {"app": "s"}},
            "template": {
                "metadata": {"labels": {"app": "s"}},
                "spec": {"containers": [{
                    "name": "c", "image": "i",
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }]},
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }],
        },
    });
    default("apps", "v1", "StatefulSet", &mut set);
    let errors = validate_create("apps", "v1", "StatefulSet", &set);
    assert_eq!(complaints(&errors), [""; 0]);
    set["spec"]["volumeClaimTemplates"] = json!([]);
    let errors = validate_create("apps", "v1", "StatefulSet", &set);
    assert_eq!(
        complaints(&errors),
        ["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""]
    );
}
