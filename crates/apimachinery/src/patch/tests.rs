use serde_json::json;

use super::*;
use crate::schema;

#[test]
fn json_patches_follow_the_standard_and_the_kubernetes_exception() {
    let document = json!({"metadata": {"name": "a"}, "list": [1, 2]});
    let table = [
        (
            json!([{"op": "add", "path": "/list/-", "value": 3}]),
            Ok(json!([1, 2, 3])),
        ),
        (json!([{"op": "remove", "path": "/list/0"}]), Ok(json!([2]))),
        (
            json!([{"op": "test", "path": "/metadata/finalizers", "value": null}]),
            Ok(json!([1, 2])),
        ),
        (
            json!([{"op": "test", "path": "/metadata/name", "value": null}]),
            Err(422),
        ),
        (
            json!([{"op": "test", "path": "/no/where", "value": null}]),
            Err(422),
        ),
        (json!([{"op": "remove", "path": "/no"}]), Err(422)),
        (json!([{"op": "boo"}]), Err(422)),
        (
            json!([{"op": "add", "path": "no/slash", "value": 1}]),
            Err(422),
        ),
        (json!({"op": "add"}), Err(400)),
        (
            json!(vec![
                json!({"op": "test", "path": "/list/0", "value": 1});
                10_001
            ]),
            Err(413),
        ),
    ];
    for (patch, expected) in table {
        let result = json_patch(&document, &patch);
        let shown = result
            .map(|result| result["list"].clone())
            .map_err(|error| error.code());
        assert_eq!(
            shown,
            expected,
            "{}",
            patch.to_string().chars().take(200).collect::<String>()
        );
    }
}

#[test]
fn merge_patches_delete_with_null() {
    let document = json!({"a": {"b": 1, "c": 2}, "d": [1]});
    let patch = json!({"a": {"b": null, "e": {"f": null, "g": 1}}, "d": [2]});
    assert_eq!(
        merge_patch(&document, &patch),
        Ok(json!({"a": {"c": 2, "e": {"g": 1}}, "d": [2]}))
    );
    assert!(merge_patch(&document, &json!([])).is_err());
}

#[test]
fn strategic_patches_merge_pods() {
    let schema = schema::builtin("", "v1", "Pod").unwrap();
    let document = json!({
        "metadata": {"labels": {"a": "1"}, "finalizers": ["x", "y"]},
        "spec": {
            "containers": [
                {"name": "a", "image": "i", "env": [{"name": "E", "value": "1"}]},
                {"name": "b", "image": "j"},
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "tolerations": [{"key": "k"}],
        },
    });
    let table = [
        // Labels, as Spark sets them.
        (
            json!({"metadata": {"labels": {"b": "2"}}}),
            "/metadata/labels",
            json!({"a": "1", "b": "2"}),
        ),
        (
            json!({"metadata": {"labels": {"a": null}}}),
            "/metadata/labels",
            json!({}),
        ),
        // Items merge by their key, new ones go first, unknown ones stay.
        (
            json!({"spec": {"containers": [{"name": "b", "image": "k"}]}}),
            "/spec/containers/1",
            json!({"name": "b", "image": "k"}),
        ),
        (
            json!({"spec": {"containers": [{"name": "b", "$patch": "delete"}]}}),
            "/spec/containers",
            json!([{"name": "a", "image": "i", "env": [{"name": "E", "value": "1"}]}]),
        ),
        (
            json!({"spec": {"containers": [{"name": "c"}, {"$patch": "replace"}]}}),
            "/spec/containers",
            json!([{"name": "c"}]),
        ),
        (
            json!({"spec": {"containers": [{"name": "c"}]}}),
            "/spec/containers",
            json!([
                {"name": "c"},
                {"name": "a", "image": "i", "env": [{"name": "E", "value": "1"}]},
                {"name": "b", "image": "j"},
            ]),
        ),
        (
            json!({"spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
                "containers": [{"name": "c", "args": null}],
            }}),
            "/spec/containers",
            json!([
                {"name": "b", "image": "j"},
                {"name": "c"},
                {"name": "a", "image": "i", "env": [{"name": "E", "value": "1"}]},
            ]),
        ),
        // Lists without a strategy are replaced.
        (
            json!({"spec": {"tolerations": []}}),
            "/spec/tolerations",
            json!([]),
        ),
        // Primitive lists merge, and shrink only by directive.
        (
            json!({"metadata": {"finalizers": ["z", "x"]}}),
            "/metadata/finalizers",
            json!(["z", "x", "y"]),
        ),
        (
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}),
            "/metadata/finalizers",
            json!(["y"]),
        ),
        (
            json!({"spec": {"volumes": [
                {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}
            ]}}),
            "/spec/volumes",
            json!([{"name": "v", "hostPath": {"path": "/"}}]),
        ),
        (
            json!({"metadata": {"$patch": "replace", "name": "n"}}),
            "/metadata",
            json!({"name": "n"}),
        ),
        (
            json!({"metadata": {"$patch": "delete"}}),
            "/metadata",
            json!({}),
        ),
    ];
    for (patch, pointer, expected) in table {
        let result = strategic_merge(&document, &patch, &schema).unwrap();
        assert_eq!(result.pointer(pointer), Some(&expected), "{patch}");
    }
    let bad = [
        json!({"spec": {"containers": [{"image": "no name"}]}}),
        json!({"spec": {"$patch": "boo"}}),
        json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}}),
        json!([]),
    ];
    for patch in bad {
        assert!(
            strategic_merge(&document, &patch, &schema).is_err(),
            "{patch}"
        );
    }
}

/// Every patch that upstream's own tests apply gives the document it gives there.
#[test]
fn recorded_strategic_patches_give_the_same_document() {
    let text =
        zstd::decode_all(&include_bytes!("../../testdata/strategic-merge-patch.json.zst")[..]);
    let recorded: Value = serde_json::from_slice(&text.unwrap()).unwrap();
    let definitions = recorded["definitions"].as_object().unwrap();
    let schema = schema::recorded::from_definitions(definitions, "mergeItem");
    let cases = recorded["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let outcome = strategic_merge(&case["original"], &case["patch"], &schema);
        let complaint = match (&outcome, case.get("result")) {
            (Ok(document), Some(expected)) if document == expected => None,
            (Err(_), None) => None,
            _ => Some(format!("{outcome:?}\n not {case}")),
        };
        failures.extend(complaint);
    }
    assert!(cases.len() > 200, "only {} cases", cases.len());
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
