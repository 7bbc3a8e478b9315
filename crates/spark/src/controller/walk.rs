//! A walk over the schema: every field of a running application is changed, and changed back, and
//! must have the effect that the table of changes declares.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use windlass_api::spark::SparkApplication;
use windlass_api::storage::hadoop::Access;
use windlass_engine::plan::{Effect, Plan};
use windlass_engine::{Controller, Object};

use super::sight::Findings;
use super::*;
use crate::lifecycle::changes::{self, Effect as Declared};
use crate::policy::Policies;
use crate::stores::Stores;

/// A running application, as its status and its driver pod say.
struct Running {
    object: Object,
    pod: Object,
}

/// What a change was seen to do.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Pending(String),
    Refused(String),
    Replaced(String),
    Suspended,
}

impl Running {
    fn new() -> Self {
        let object = Object::new(json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {
                "name": "pi", "namespace": "jobs", "uid": "0b6b1f3e-7f0a-4a39-9a5b-0d3f2f2b8a11",
                "generation": 1, "resourceVersion": "7",
            },
            "spec": base(),
        }));
        let (intended, plan) = settle(object, &[]);
        let [Effect::Create(driver)] = &plan.effects[..] else {
            panic!(
                "the driver is created: {:?}, {}",
                plan.effects,
                intended.status()
            );
        };
        let mut pod = driver.clone();
        pod["metadata"]["uid"] = json!("driver-uid");
        pod["metadata"]["creationTimestamp"] = json!("2026-03-01T12:00:25Z");
        pod["status"] = json!({"phase": "Running", "containerStatuses": [{
            "name": "spark-kubernetes-driver",
            "state": {"running": {"startedAt": "2026-03-01T12:00:26Z"}},
        }]});
        let pod = Object::new(pod);
        let (object, _) = settle(intended, std::slice::from_ref(&pod));
        let running = Self { object, pod };
        assert_eq!(running.seen(&running.object), Seen::Nothing);
        running
    }

    fn look(&self, object: &Object) -> Object {
        settle(object.clone(), std::slice::from_ref(&self.pod)).0
    }

    fn seen(&self, object: &Object) -> Seen {
        let after = self.look(object);
        let status = after.status();
        let said = |kind: &str| {
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let found = conditions.clone().find(|it| it["type"] == kind)?;
            Some((
                found["status"].clone(),
                found["message"].as_str()?.to_owned(),
            ))
        };
        let outcome = &status["attempt"]["outcome"]["message"];
        match status["applicationState"]["state"].as_str() {
            Some("INVALIDATING") => Seen::Replaced(outcome.as_str().unwrap_or_default().to_owned()),
            Some("SUSPENDING") => Seen::Suspended,
            Some("RUNNING") => match (said("Validated"), said("UpdatePending")) {
                (Some((truth, why)), _) if truth == "False" => Seen::Refused(why),
                (_, Some((_, what))) => Seen::Pending(what),
                _ => Seen::Nothing,
            },
            other => panic!("{other:?}: {status}"),
        }
    }
}

/// The application with another spec, as the API stores the change.
fn with(before: &Object, spec: &Value) -> Object {
    let mut value = before.as_value().clone();
    value["spec"] = spec.clone();
    value["metadata"]["generation"] = json!(before.generation() + 1);
    Object::new(value)
}

fn settle(mut object: Object, pods: &[Object]) -> (Object, Plan<Value>) {
    let operator = spark_application(&OperatorConfig::default());
    let findings = Findings {
        pods: pods.to_vec(),
        ..Findings::default()
    };
    let store = ("history".to_owned(), Ok(Access::default()));
    let stores = Stores::Known([store].into());
    for _ in 0..10 {
        let sight = match operator.read(&object, &Policies::default(), &stores) {
            Ok(reading) => Sight::of(reading, &findings),
            Err(error) => panic!("{error}"),
        };
        let plan = operator.plan(&object, &sight, "2026-03-01T12:00:30Z".parse().unwrap());
        let mut value = object.as_value().clone();
        value["status"] = plan.status.clone();
        let next = Object::new(value);
        if next == object {
            return (object, plan);
        }
        object = next;
    }
    panic!("the status never settles");
}

fn base() -> Value {
    json!({
        "type": "Scala",
        "mode": "cluster",
        "sparkVersion": "4.3.0",
        "image": "apache/spark:4.3.0",
        "mainClass": "org.example.Main",
        "mainApplicationFile": "local:///opt/app.jar",
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "driver": {"serviceAccount": "spark"},
        "executor": {"instances": 2},
        "suspend": false,
        "restartPolicy": {"type": "Never"},
    })
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(SparkApplication::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
});

/// Every field that holds a value, with its schema.
fn leaves(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    let Some(fields) = schema["properties"].as_object() else {
        found.push((path.to_owned(), schema.clone()));
        return;
    };
    for (name, schema) in fields {
        let below = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        leaves(&below, schema, found);
    }
}

fn fields() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    leaves("", &SCHEMA, &mut found);
    assert!(found.len() > 120, "{}", found.len());
    found
}

/// A value of this field that is valid and not the one it has.
fn another(path: &str, schema: &Value, now: &Value) -> Value {
    let name = path.rsplit('.').next().unwrap_or(path);
    match name {
        "name" if path.ends_with("gpu.name") => return json!("nvidia.com/gpu"),
        "name" => return json!("example.com/gpu"),
        "quantity" => return json!(2),
        "memory" | "memoryOverhead" => return json!("2g"),
        "memoryLimit" => return json!("3Gi"),
        "coreLimit" | "coreRequest" => return json!("1500m"),
        "memoryOverheadFactor" => return json!("0.3"),
        "sparkVersion" => return json!("3.5.9"),
        "mainApplicationFile" => return json!("local:///opt/other.jar"),
        "imagePullPolicy" => return json!("Always"),
        "jmxExporterJar" | "configFile" | "metricsPropertiesFile" => return json!("/opt/file"),
        "kubernetesMaster" => return json!("k8s://https://other:443"),
        "jars" | "files" | "pyFiles" | "archives" => return json!(["https://example.org/a.zip"]),
        "packages" => return json!(["org.example:lib:1.0"]),
        "excludePackages" => return json!(["org.example:lib"]),
        "repositories" => return json!(["https://example.org/maven"]),
        "imagePullSecrets" => return json!(["registry"]),
        "sparkConf" => return json!({"spark.eventLog.enabled": "true"}),
        "hadoopConf" => return json!({"fs.s3a.endpoint": "example.org"}),
        "objectStores" => return json!(["history"]),
        "eventLog" => return json!("history"),
        "keepLogs" => return json!("logs"),
        "resources" => return json!({"cpu": "2"}),
        "volumes" => return json!([{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]),
        "volumeMounts" => return json!([{"name": "scratch", "mountPath": "/scratch"}]),
        "env" => return json!([{"name": "A", "value": "b"}]),
        "envFrom" => return json!([{"configMapRef": {"name": "a"}}]),
        "envSecretKeyRefs" => return json!({"A": {"name": "secret", "key": "a"}}),
        "hostAliases" => return json!([{"ip": "10.0.0.1", "hostnames": ["a"]}]),
        "initContainers" | "sidecars" => return json!([{"name": "other", "image": "busybox"}]),
        "tolerations" => return json!([{"key": "spot", "operator": "Exists"}]),
        "configMaps" => return json!([{"name": "a", "path": "/etc/a"}]),
        "secrets" => return json!([{"name": "a", "path": "/etc/a", "secretType": "Generic"}]),
        "ports" => return json!([{"name": "web", "protocol": "TCP", "containerPort": 9000}]),
        "affinity" => {
            return json!({"nodeAffinity": {}, "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}});
        }
        "dnsConfig" => return json!({"nameservers": ["10.0.0.1"]}),
        "lifecycle" => return json!({"preStop": {"exec": {"command": ["true"]}}}),
        "podSecurityContext" | "securityContext" => return json!({"runAsUser": 1000}),
        "template" => return json!({"metadata": {"labels": {"a": "b"}}}),
        "ingressTLS" => return json!([{"hosts": ["a.example.org"], "secretName": "a"}]),
        "driverIngressOptions" => {
            return json!([{"servicePort": 9000, "servicePortName": "web",
            "ingressURLFormat": "a.example.org"}]);
        }
        "javaOptions" => return json!("-Da=b"),
        _ => {}
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .find(|it| *it != now && !it.is_null())
            .unwrap()
            .clone();
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(!now.as_bool().unwrap_or(false)),
        Some("integer") => {
            // A minimum is written as 1 or as 1.0.
            let least = schema["minimum"].to_string();
            let least = least.split('.').next().and_then(|text| text.parse().ok());
            json!(now.as_i64().or(least).unwrap_or(60) + 1)
        }
        Some("string") => json!("other"),
        Some("array") => json!(["other"]),
        Some("object") if schema.get("additionalProperties").is_some() => json!({"other": "value"}),
        other => panic!("{path}: no value of {other:?} is known"),
    }
}

/// The spec with another value in this field; what is required beside it is given, too.
fn change(spec: &Value, path: &str) -> Value {
    let mut spec = spec.clone();
    let (mut at, mut schema) = (&mut spec, &*SCHEMA);
    let names: Vec<&str> = path.split('.').collect();
    for (index, name) in names.iter().enumerate() {
        let below = &schema["properties"][*name];
        let so_far = names[..=index].join(".");
        if index + 1 == names.len() {
            at[*name] = another(&so_far, below, &at[*name]);
        } else if at[*name].is_null() {
            at[*name] = json!({});
            for required in below["required"].as_array().into_iter().flatten() {
                let required = required.as_str().unwrap();
                let schema = &below["properties"][required];
                at[*name][required] = another(required, schema, &Value::Null);
            }
        }
        at = &mut at[*name];
        schema = below;
    }
    spec
}

#[test]
fn every_field_of_the_schema_has_its_row_and_every_row_a_field() {
    let fields = fields();
    for (path, _) in &fields {
        assert!(
            changes::effect_of(path).is_some(),
            "spec.{path}: say in lifecycle/changes.rs what a change of it does"
        );
    }
    for (row, _) in changes::TABLE {
        let speaks = |path: &str| path == *row || path.starts_with(&format!("{row}."));
        assert!(
            fields.iter().any(|(path, _)| speaks(path)),
            "spec.{row} is no field"
        );
    }
    let rows: BTreeSet<&str> = changes::TABLE.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows.len(), changes::TABLE.len(), "a row is there twice");
}

#[test]
fn a_change_of_each_field_has_its_declared_effect_and_is_forgotten_when_taken_back() {
    let running = Running::new();
    let mut told = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for (path, _) in fields() {
        let changed = with(&running.object, &change(&base(), &path));
        assert_ne!(
            changed.spec(),
            running.object.spec(),
            "spec.{path} was not changed"
        );
        let seen = running.seen(&changed);
        let declared = changes::effect_of(&path).unwrap();
        let is_named = |text: &str| {
            let row = changes::TABLE
                .iter()
                .find(|(row, _)| path == *row || path.starts_with(&format!("{row}.")));
            text.contains(&format!("spec.{}", row.unwrap().0))
        };
        let is_right = match (&declared, &seen) {
            (Declared::InPlace, Seen::Nothing) => path != "suspend",
            (Declared::InPlace, Seen::Suspended) => path == "suspend",
            (Declared::NextAttempt, Seen::Pending(text))
            | (Declared::Restart, Seen::Replaced(text))
            | (Declared::Rejected, Seen::Refused(text)) => is_named(text),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("spec.{path} is declared {declared:?} but {seen:?}"));
        }
        *told.entry(format!("{declared:?}")).or_insert(0) += 1;

        // Taken back before anybody looked, and after.
        let unseen = with(&changed, &base());
        assert_eq!(running.seen(&unseen), Seen::Nothing, "spec.{path}");
        if !matches!(seen, Seen::Replaced(_) | Seen::Suspended) {
            let taken_back = with(&running.look(&changed), &base());
            assert_eq!(running.seen(&taken_back), Seen::Nothing, "spec.{path}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn what_the_api_may_add_to_a_spec_is_no_change() {
    let running = Running::new();
    let mut spec = base();
    spec["arguments"] = json!([]);
    spec["deps"] = json!({});
    spec["image"] = json!("apache/spark:4.3.0");
    spec["driver"]["coreLimit"] = Value::Null;
    spec.as_object_mut().unwrap().remove("mode");
    spec.as_object_mut().unwrap().remove("suspend");
    spec.as_object_mut().unwrap().remove("restartPolicy");
    let replaced = with(&running.object, &spec);
    assert_eq!(running.seen(&replaced), Seen::Nothing);
}
