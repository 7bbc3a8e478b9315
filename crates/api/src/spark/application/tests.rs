//! Laws that hold for whole applications: what users have decodes, and nothing is lost on the way.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::*;
use crate::{decode::decode, parse};

fn manifests() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/applications");
    let mut manifests: Vec<(String, Value)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let mut objects = parse::objects(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(objects.len(), 1, "{name}");
            (name, objects.remove(0))
        })
        .collect();
    manifests.sort_by(|a, b| a.0.cmp(&b.0));
    manifests
}

#[test]
fn manifests_of_users_decode_and_are_valid() {
    let manifests = manifests();
    assert!(manifests.len() >= 14);
    for (name, manifest) in manifests {
        let application: SparkApplication =
            decode(&manifest).unwrap_or_else(|error| panic!("{name}: {error}"));
        let findings = validate(&application);
        assert!(findings.is_empty(), "{name}: {findings:#?}");
        assert_eq!(
            lost(&manifest, &serde_json::to_value(&application).unwrap()),
            None,
            "{name}"
        );
    }
}

/// The first value of `before` that `after` does not have. Empty values may be left out, and
/// settings may have become texts.
fn lost(before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .filter(|(_, value)| !is_empty(value))
            .find_map(|(name, value)| match after.get(name) {
                Some(found) => lost(value, found).map(|inner| format!("{name}.{inner}")),
                None => Some(name.clone()),
            }),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .iter()
            .zip(after)
            .find_map(|(before, after)| lost(before, after)),
        (Value::Number(_) | Value::Bool(_), Value::String(text)) => {
            let as_text = ConfValue::from(before.clone());
            (as_text.text() != Some(text)).then(|| format!("{before} became {after}"))
        }
        _ => (before != after).then(|| format!("{before} became {after}")),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(_) => false,
    }
}

#[test]
fn every_mistake_of_a_manifest_is_told_at_once() {
    let text = "
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata:
  name: bad
  lables: {a: b}
spec:
  type: Pyhton
  sparkVersion: 3.5
  mainApplicationFille: local:///a.py
  arguments: [1000]
  memoryOverheadFactor: 0.2
  driver:
    cores: one
    enviroment: []
    volumeMounts: {name: a}
    podname: x
  executor:
    instances: 0
    labels: {a: true}
  restartPolicy: Never
";
    let object = parse::objects(text).unwrap().remove(0);
    let error = decode::<SparkApplication>(&object).unwrap_err();
    insta::assert_snapshot!(error);
}

#[test]
fn what_is_not_an_application_is_told_what_it_is() {
    let cases = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment"}),
        json!({"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "ScheduledSparkApplication"}),
        json!({"apiVersion": "sparkoperator.k8s.io/v1", "kind": "SparkApplication"}),
        json!({"kind": "SparkApplication"}),
        json!({"name": "x"}),
        json!("print(1)"),
        json!([1]),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|case| decode::<SparkApplication>(case).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn driver_and_executor_have_the_common_fields_beside_their_own() {
    let spec = object_schema()["properties"]["spec"]["properties"].clone();
    for (role, own) in [("driver", "podName"), ("executor", "instances")] {
        let fields = spec[role]["properties"].as_object().unwrap();
        assert!(
            fields.contains_key(own) && fields.contains_key("memory"),
            "{role}"
        );
        assert!(!fields.contains_key("pod"), "{role}");
        assert!(spec[role].get("allOf").is_none(), "{role}");
    }
}

fn object_schema() -> Value {
    crate::crds()[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Any value that fits a structural schema.
fn any_of(schema: &Value) -> BoxedStrategy<Value> {
    if schema["x-kubernetes-int-or-string"] == true {
        return prop_oneof![(1..100_i64).prop_map(Value::from), Just(json!("1Gi"))].boxed();
    }
    match schema["type"].as_str() {
        Some("object") => any_object(schema),
        Some("array") => vec(any_of(&schema["items"]), 0..3)
            .prop_map(Value::from)
            .boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => {
            let limit = |name: &str, default: i64| schema[name].as_i64().unwrap_or(default);
            (limit("minimum", -5)..=limit("maximum", 100))
                .prop_map(Value::from)
                .boxed()
        }
        Some("string") => match schema["enum"].as_array() {
            Some(values) => select(values.clone()).boxed(),
            None if schema["format"] == "date-time" => Just(json!("2026-01-02T03:04:05Z")).boxed(),
            None => "[a-zA-Z0-9:/ ._-]{0,8}".prop_map(Value::from).boxed(),
        },
        _ => prop_oneof![
            "[a-z0-9]{0,8}".prop_map(Value::from),
            Just(json!({"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}})),
            Just(json!({"else": [1]})),
        ]
        .boxed(),
    }
}

fn any_object(schema: &Value) -> BoxedStrategy<Value> {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return select(vec![
            json!({"name": "a"}),
            json!({"any": {"thing": [1, "b"]}}),
        ])
        .boxed();
    }
    if schema["additionalProperties"].is_object() {
        let value = any_of(&schema["additionalProperties"]);
        return proptest::collection::btree_map("[a-z./]{1,5}", value, 0..3)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
            .boxed();
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let fields: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = fields
        .into_iter()
        .map(|(name, field)| {
            let name_of = name.clone();
            let value = any_field(name, field).prop_map(move |value| (name_of.clone(), value));
            if required.contains(&json!(name)) {
                value.prop_map(Some).boxed()
            } else {
                proptest::option::weighted(0.3, value).boxed()
            }
        })
        .collect();
    fields
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>()))
        .boxed()
}

/// States are open in the schema, but only known ones are kept as they are.
fn any_field(name: &str, schema: &Value) -> BoxedStrategy<Value> {
    let executor_states = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "UNKNOWN"];
    match name {
        "state" => select(ApplicationStateType::ALL.map(|state| json!(state)).to_vec()).boxed(),
        "executorState" => select(executor_states.to_vec())
            .prop_map(|state| json!({"job-exec-1": state}))
            .boxed(),
        _ => any_of(schema),
    }
}

fn any_application() -> impl Strategy<Value = Value> {
    let schema = object_schema();
    let part = |name: &str| any_of(&schema["properties"][name]);
    (part("spec"), proptest::option::of(part("status"))).prop_map(|(spec, status)| {
        let mut object = json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {"name": "any"},
            "spec": spec,
        });
        if let Some(status) = status {
            object["status"] = status;
        }
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn nothing_that_fits_the_schema_is_lost_by_decoding(object in any_application()) {
        let application: SparkApplication = decode(&object).unwrap();
        let encoded = serde_json::to_value(&application).unwrap();
        prop_assert_eq!(lost(&object, &encoded), None);
        // Whatever is found wrong, looking for it must not fail.
        let _ = validate(&application);
        prop_assert_eq!(decode::<SparkApplication>(&encoded).unwrap(), application);
        let yaml = parse::to_yaml(&encoded).unwrap();
        prop_assert_eq!(parse::documents(&yaml).unwrap(), vec![encoded]);
    }
}
