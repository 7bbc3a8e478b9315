mod checkpoints;
mod executors;
mod fields;
mod groups;
mod laws;
mod objects;

use serde_json::{Value, json};
use windlass_api::{decode::decode, spark::SparkApplication};

use super::*;

/// The versions between which Spark changed most.
const VERSIONS: [&str; 2] = ["3.5.9", "4.3.0"];

pub(super) fn application(spec: Value) -> SparkApplication {
    let mut object = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {
            "name": "spark-pi",
            "namespace": "jobs",
            "uid": "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001",
        },
        "spec": {
            "type": "Python",
            "sparkVersion": "3.5.9",
            "image": "apache/spark:3.5.9",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "driver": {},
            "executor": {},
        },
    });
    merge(&mut object["spec"], spec);
    decode(&object).unwrap_or_else(|error| panic!("{error}"))
}

/// Puts values into others, object by object.
pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn lowered(app: &SparkApplication) -> Lowered {
    let attempt = identity::first_attempt(app);
    lower(app, &attempt, &Settings::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The template that the driver makes executors from.
fn executor_template(lowered: &Lowered) -> Value {
    let data = |object: &Value| {
        let text = object["data"]["podspec-configmap-key"].as_str()?;
        serde_json::from_str(text).ok()
    };
    lowered
        .submission
        .objects
        .iter()
        .find_map(data)
        .expect("there is always a template")
}
