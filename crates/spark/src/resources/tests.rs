use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::json;
use windlass_api::decode::decode;
use windlass_api::spark::SparkApplication;
use windlass_api::{parse, quantity::Quantity};

use super::*;
use crate::lower::{Settings, render};

fn demand(spec: Value) -> Demand {
    let mut object = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "pi", "namespace": "jobs", "uid": "u"},
        "spec": {
            "type": "Scala", "sparkVersion": "4.3.0", "image": "spark",
            "mainClass": "org.example.Main", "mainApplicationFile": "local:///opt/app.jar",
            "driver": {}, "executor": {},
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    let app: SparkApplication = decode(&object).unwrap_or_else(|error| panic!("{error}"));
    of(&app)
}

fn of(app: &SparkApplication) -> Demand {
    let (_, lowered) = render(app, &Settings::default()).unwrap_or_else(|error| panic!("{error}"));
    lowered.demand
}

fn amounts(pairs: &[(&str, &str)]) -> Amounts {
    pairs
        .iter()
        .map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned()))
        .collect()
}

type Pairs = &'static [(&'static str, &'static str)];

#[test]
fn an_application_asks_for_what_its_pods_ask_for() {
    let gpu = json!({"name": "nvidia.com/gpu", "quantity": 1});
    let sidecar = json!([{"name": "logs", "image": "logs", "resources": {
        "requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"},
    }}]);
    let cases: [(&str, Value, Pairs); 6] = [
        (
            "the defaults",
            json!({}),
            &[("cpu", "2"), ("memory", "2816Mi")],
        ),
        (
            "python has more overhead",
            json!({"type": "Python", "mainApplicationFile": "local:///opt/job.py"}),
            &[("cpu", "2"), ("memory", "2866Mi")],
        ),
        (
            "cores are requested as the user says",
            json!({
                "driver": {"cores": 1, "coreRequest": "500m"},
                "executor": {"cores": 4, "instances": 3},
            }),
            &[("cpu", "12500m"), ("memory", "5632Mi")],
        ),
        (
            "dynamic allocation counts with as few as it may",
            json!({
                "dynamicAllocation": {"enabled": true, "minExecutors": 2, "maxExecutors": 50},
                "executor": {"memory": "2g", "memoryOverhead": "1g"},
            }),
            &[("cpu", "3"), ("memory", "7552Mi")],
        ),
        (
            "sidecars and GPUs",
            json!({
                "driver": {"sidecars": sidecar},
                "executor": {"gpu": gpu, "sidecars": sidecar, "instances": 2},
            }),
            &[
                ("cpu", "3300m"),
                ("memory", "4416Mi"),
                ("nvidia.com/gpu", "2"),
            ],
        ),
        (
            "an init container that needs more than what follows it",
            json!({"driver": {"initContainers": [{"name": "fetch", "image": "fetch", "resources": {
                "requests": {"cpu": "3", "memory": "100Mi"},
            }}]}}),
            &[("cpu", "4"), ("memory", "2816Mi")],
        ),
    ];
    for (what, spec, expected) in cases {
        assert_eq!(demand(spec).least(), amounts(expected), "{what}");
    }
}

#[test]
fn what_an_application_begins_with_may_be_more_than_the_least() {
    let demand = demand(json!({"dynamicAllocation": {
        "enabled": true, "minExecutors": 1, "initialExecutors": 4,
    }}));
    assert_eq!(demand.least().get("cpu"), Quantity::from_units(2));
    assert_eq!(demand.initial().get("cpu"), Quantity::from_units(5));
}

/// The recordings are of what Spark's own code made of an application with every field.
#[test]
fn executors_ask_for_what_they_asked_for_when_spark_made_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/executor");
    for version in ["3.5.9", "4.3.0"] {
        let text = fs::read_to_string(folder.join("application.yaml")).unwrap();
        let text = text.replace("VERSION", version);
        let app = decode(&parse::objects(&text).unwrap()[0]).unwrap();
        let recording = fs::read_to_string(folder.join(format!("{version}.json"))).unwrap();
        let recording: Value = serde_json::from_str(&recording).unwrap();
        let recorded = of_pod(&recording["pod"], &Containers::default());
        assert_eq!(of(&app).executor, recorded, "{version}");
    }
}

proptest! {
    #[test]
    fn many_are_as_much_as_one_so_many_times(count in 0_u32..50, milli in 0_i64..100_000) {
        let one: Amounts = [("cpu".to_owned(), Quantity::from_millis(milli))].into_iter().collect();
        let mut sum = one.times(0);
        for _ in 0..count {
            sum = sum.plus(&one);
        }
        prop_assert_eq!(sum, one.times(count));
    }
}

#[test]
fn what_cannot_be_counted_is_very_much() {
    let much: Amounts = [("memory".to_owned(), Quantity::from_units(i64::MAX))]
        .into_iter()
        .collect();
    let more = (0..40).fold(much, |much, _| much.plus(&much));
    let most = more.times(u32::MAX);
    assert!(most.get("memory") > Quantity::from_units(1 << 60));
}
