use serde_json::json;

use super::*;

fn pod() -> TypeSchema {
    builtin("", "v1", "Pod").unwrap()
}

#[test]
fn built_in_kinds_have_shapes() {
    for (group, version, kind) in [
        ("", "v1", "Pod"),
        ("apps", "v1", "Deployment"),
        ("batch", "v1", "CronJob"),
        ("coordination.k8s.io", "v1", "Lease"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("events.k8s.io", "v1", "Event"),
        ("autoscaling", "v1", "Scale"),
    ] {
        assert!(
            builtin(group, version, kind).is_some(),
            "{group}/{version} {kind}"
        );
    }
    assert!(builtin("", "v1", "Nothing").is_none());
}

#[test]
fn lists_know_their_keys_and_defaults() {
    let schema = pod();
    let spec = schema.root().entry("spec").unwrap();
    let Node::List { kind, .. } = spec.entry("containers").unwrap().node() else {
        panic!("containers is a list")
    };
    assert_eq!(*kind, ListKind::Map(Box::new(["name".into()])));
    let container = spec.entry("containers").unwrap().item();
    let port = container.entry("ports").unwrap().item();
    assert_eq!(
        port.declared("protocol").unwrap().default,
        Some(json!("TCP"))
    );
    let Node::Map { atomic, .. } = spec.entry("nodeSelector").unwrap().node() else {
        panic!("nodeSelector is a map")
    };
    assert!(atomic);
    let volumes = spec.declared("volumes").unwrap();
    assert_eq!(volumes.patch.action, PatchAction::Merge);
    assert_eq!(volumes.patch.merge_key.as_deref(), Some("name"));
}

#[test]
fn unknown_fields_are_named_with_their_path() {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"x": "y"}, "nam": "a"},
        "spec": {"containers": [{"name": "a", "imag": "b"}], "foo": {"bar": 1}},
    });
    assert_eq!(
        unknown_fields(&pod(), &object),
        [
            "unknown field \"metadata.nam\"",
            "unknown field \"spec.containers[0].imag\"",
            "unknown field \"spec.foo\"",
        ]
    );
    assert!(unknown_fields(&deduced(), &object).is_empty());
}

#[test]
fn duplicate_keys_are_found_in_text() {
    let text = br#"{"a":1,"spec":{"x":[{"y":1,"y":2}],"x":[]},"a":2,"a":3}"#;
    assert_eq!(
        duplicate_fields(text),
        [
            "duplicate field \"spec.x[0].y\"",
            "duplicate field \"spec.x\"",
            "duplicate field \"a\"",
        ]
    );
    assert!(duplicate_fields(b"{\"a\":1,\"a\":").is_empty());
    assert!(duplicate_fields(b"[1,null,true,1.5,-1,\"x\"]").is_empty());
}

#[test]
fn wrong_types_are_told_as_the_decoder_does() {
    let deployment = builtin("apps", "v1", "Deployment").unwrap();
    let table = [
        (
            json!({"spec": {"replicas": "x"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of \
             type int32",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": {}}}}}),
            "json: cannot unmarshal object into Go struct field \
             PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type \
             string",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [
                {"resources": {"limits": {"cpu": "much"}}}
            ]}}}}),
            "spec.template.spec.containers.resources.limits[cpu]: quantities must match the \
             regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ];
    for (object, message) in table {
        assert_eq!(type_mismatch(&deployment, &object).unwrap().0, message);
    }
    let fine = json!({"spec": {"replicas": 1.0, "paused": null}, "metadata": {"labels": null}});
    assert_eq!(type_mismatch(&deployment, &fine), None);
}

#[test]
fn normalizing_is_what_a_round_trip_through_go_types_does() {
    let mut object = json!({
        "metadata": {"creationTimestamp": null, "labels": {}, "name": "a", "namespace": ""},
        "spec": {
            "hostNetwork": false, "bogus": 1, "nodeName": "",
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}, {"name": "w", "emptyDir": {}}],
            "containers": [{"name": "c", "args": [], "resources": {
                "limits": {"cpu": 0.5, "memory": "1.5Gi"}, "requests": {}
            }}],
        },
        "status": {"startTime": "2024-01-01T01:00:00.5+01:00"},
    });
    normalize(&pod(), &mut object);
    assert_eq!(
        object,
        json!({
            "metadata": {"name": "a"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "w", "emptyDir": {}}],
                "containers": [{"name": "c", "resources": {
                    "limits": {"cpu": "500m", "memory": "1536Mi"}
                }}],
            },
            "status": {"startTime": "2024-01-01T00:00:00Z"},
        })
    );
    let once = object.clone();
    normalize(&pod(), &mut object);
    assert_eq!(object, once, "normalizing twice changes nothing");
}

#[test]
fn custom_kinds_get_typed_metadata() {
    let schema = from_crd(&json!({
        "type": "object",
        "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "ports": {
                    "type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port"],
                    "items": {"type": "object", "properties": {"port": {"type": "integer"}}},
                },
            }},
        },
    }))
    .unwrap();
    let object = json!({
        "metadata": {"name": "a", "ownerReferences": [{"uid": "x", "boo": 1}]},
        "spec": {"free": {"any": 1}, "ports": [{"port": 1}], "other": 1},
    });
    assert_eq!(
        unknown_fields(&schema, &object),
        [
            "unknown field \"metadata.ownerReferences[0].boo\"",
            "unknown field \"spec.other\""
        ]
    );
}
