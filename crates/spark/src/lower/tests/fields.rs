//! Every field of the API does something, or says why not.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn properties(pointer: &str) -> BTreeSet<String> {
    let schema = windlass_api::crds()[0]
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .unwrap()
        .clone();
    let fields = schema.pointer(pointer).and_then(Value::as_object).unwrap();
    fields.keys().cloned().collect()
}

#[test]
fn every_field_of_the_api_has_exactly_one_row() {
    let names = |rows: &[route::Row]| rows.iter().map(|row| row.field).collect::<Vec<_>>();
    let own = application::FIELDS
        .iter()
        .map(|(field, _)| *field)
        .collect::<Vec<_>>();
    for (rows, pointer) in [
        (names(driver::FIELDS), "/properties/driver/properties"),
        (names(executor::FIELDS), "/properties/executor/properties"),
        (own, "/properties"),
    ] {
        let distinct: BTreeSet<String> = rows.iter().map(|row| (*row).to_owned()).collect();
        assert_eq!(distinct.len(), rows.len(), "{pointer} has a row twice");
        assert_eq!(distinct, properties(pointer), "{pointer}");
    }
}

/// A value of each field that both roles have, unlike the default.
fn common_samples(role: &str) -> Vec<(&'static str, Value)> {
    vec![
        (
            "template",
            json!({
                "metadata": {"labels": {"tier": "batch"}},
                "spec": {"containers": [
                    {"name": format!("spark-kubernetes-{role}"), "env": [{"name": "T", "value": "1"}]},
                ]},
            }),
        ),
        ("cores", json!(2)),
        ("coreLimit", json!("3")),
        ("memory", json!("2g")),
        ("memoryLimit", json!("4Gi")),
        ("memoryOverhead", json!("700m")),
        ("gpu", json!({"name": "nvidia.com/gpu", "quantity": 2})),
        ("image", json!("registry/own:1")),
        (
            "configMaps",
            json!([{"name": "app.settings", "path": "/etc/app"}]),
        ),
        (
            "secrets",
            json!([
                {"name": "gcp", "path": "/mnt/gcp/", "secretType": "GCPServiceAccount"},
                {"name": "hdfs", "path": "/mnt/hdfs", "secretType": "HadoopDelegationToken"},
                {"name": "other", "path": "/mnt/other"},
            ]),
        ),
        (
            "env",
            json!([
                {"name": "PLAIN", "value": "a b"},
                {"name": "EMPTY", "value": ""},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ]),
        ),
        ("envVars", json!({"OLD": "1"})),
        ("envFrom", json!([{"configMapRef": {"name": "settings"}}])),
        (
            "envSecretKeyRefs",
            json!({"PASSWORD": {"name": "db", "key": "password"}}),
        ),
        ("labels", json!({"team": "data"})),
        ("annotations", json!({"example.com/id": "{{APP_ID}}"})),
        (
            "volumeMounts",
            json!([{"name": "data", "mountPath": "/data"}]),
        ),
        ("affinity", json!({"nodeAffinity": {}})),
        (
            "tolerations",
            json!([{"key": "spot", "operator": "Exists"}]),
        ),
        ("podSecurityContext", json!({"fsGroup": 185})),
        ("securityContext", json!({"runAsUser": 185})),
        ("schedulerName", json!("volcano")),
        (
            "sidecars",
            json!([{"name": "logs", "image": "fluentbit:2"}]),
        ),
        (
            "initContainers",
            json!([{"name": "wait", "image": "busybox:1"}]),
        ),
        ("hostNetwork", json!(true)),
        ("nodeSelector", json!({"disk": "ssd"})),
        ("dnsConfig", json!({"nameservers": ["10.0.0.2"]})),
        ("terminationGracePeriodSeconds", json!(77)),
        ("serviceAccount", json!("own")),
        (
            "hostAliases",
            json!([{"ip": "10.0.0.1", "hostnames": ["db"]}]),
        ),
        ("shareProcessNamespace", json!(true)),
        ("coreRequest", json!("500m")),
        ("javaOptions", json!("-XX:+UseZGC")),
        (
            "lifecycle",
            json!({"preStop": {"exec": {"command": ["sleep", "1"]}}}),
        ),
        (
            "ports",
            json!([{"name": "api", "protocol": "TCP", "containerPort": 8080}]),
        ),
        ("priorityClassName", json!("high")),
    ]
}

pub(super) fn samples(role: &str) -> BTreeMap<&'static str, Value> {
    let own = match role {
        "driver" => vec![
            ("podName", json!("my-driver")),
            ("kubernetesMaster", json!("https://api.example.com:6443")),
            ("serviceAnnotations", json!({"a": "b"})),
            ("serviceLabels", json!({"c": "d"})),
        ],
        _ => vec![
            ("instances", json!(3)),
            ("deleteOnTermination", json!(false)),
            ("spot", json!(true)),
        ],
    };
    common_samples(role).into_iter().chain(own).collect()
}

#[test]
fn every_field_of_a_role_changes_what_is_submitted_or_says_why_not() {
    for version in VERSIONS {
        for role in ["driver", "executor"] {
            let samples = samples(role);
            let shared = json!({
                "sparkVersion": version,
                "volumes": [{"name": "data", "emptyDir": {}}],
            });
            let before = effects(&lowered(&application(shared.clone())));
            let mut told = String::new();
            for field in properties(&format!("/properties/{role}/properties")) {
                let sample = samples.get(field.as_str());
                let sample = sample.unwrap_or_else(|| panic!("{role}.{field} has no sample"));
                let mut spec = shared.clone();
                spec[role][field.as_str()] = sample.clone();
                let after = lowered(&application(spec));
                let changes = difference(&before, &effects(&after));
                let notes: Vec<_> = after.not_applied.iter().map(ToString::to_string).collect();
                assert!(
                    !changes.is_empty() || !notes.is_empty(),
                    "{role}.{field} has no effect"
                );
                told.push_str(&format!("# {field} = {sample}\n"));
                for line in changes.into_iter().chain(notes) {
                    told.push_str(&format!("  {line}\n"));
                }
            }
            insta::assert_snapshot!(format!("{role}_{version}"), told);
        }
    }
}

/// Everything a submission consists of, as a map from place to value.
fn effects(lowered: &Lowered) -> BTreeMap<String, Value> {
    let mut places = BTreeMap::new();
    for (key, value) in &lowered.submission.conf {
        places.insert(format!("conf {key}"), json!(value));
    }
    flatten("driver", &lowered.submission.driver, &mut places);
    flatten("template", &executor_template(lowered), &mut places);
    for object in &lowered.submission.objects {
        if object["kind"] == "Service" {
            flatten("service", object, &mut places);
        }
    }
    places
}

/// Elements of lists are told by their name, so that one more does not rename the others.
fn flatten(place: &str, value: &Value, places: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                flatten(&format!("{place}.{name}"), field, places);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                let name = item["mountPath"].as_str().or(item["name"].as_str());
                let name = name.map_or_else(|| index.to_string(), str::to_owned);
                flatten(&format!("{place}[{name}]"), item, places);
            }
        }
        leaf => {
            places.insert(place.to_owned(), leaf.clone());
        }
    }
}

fn difference(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let places: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    places
        .into_iter()
        .filter_map(|place| match (before.get(place), after.get(place)) {
            (None, Some(new)) => Some(format!("+ {place} = {new}")),
            (Some(_), None) => Some(format!("- {place}")),
            (Some(old), Some(new)) if old != new => Some(format!("~ {place} = {new}")),
            _ => None,
        })
        .collect()
}
