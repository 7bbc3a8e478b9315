//! Pods that people submit with spark-submit themselves get what their annotations ask for, as the
//! original operator's initializer did. The annotations are set by `spark.kubernetes.driver.
//! annotation.*` and its executor twin:
//!
//! | annotation | value | what the Spark container gets |
//! |---|---|---|
//! | `spark-operator.k8s.io/sparkConfigMap` | a ConfigMap | it at `/etc/spark/conf`, and `SPARK_CONF_DIR` |
//! | `spark-operator.k8s.io/hadoopConfigMap` | a ConfigMap | it at `/etc/hadoop/conf`, and `HADOOP_CONF_DIR` |
//! | `spark-operator.k8s.io/configMap.NAME` | a path | the ConfigMap NAME there |
//! | `spark-operator.k8s.io/GCPServiceAccount.NAME` | a path | the Secret NAME there, and `GOOGLE_APPLICATION_CREDENTIALS` for its `key.json` |
//!
//! Law: a pod that has it already is not changed, so being asked twice changes nothing.

use serde_json::{Value, json};
use windlass_api::names::{DnsSubdomain, LABEL_MAX, shorten};
use windlass_engine::webhook::{Operation, Outcome, Request, Verdict};

use crate::lower::{HADOOP_CONF_DIR, SPARK_CONF_DIR};

const PREFIX: &str = "spark-operator.k8s.io/";
/// The containers that Spark runs in, by the names that Spark gives them.
const SPARK_CONTAINERS: [&str; 3] = [
    "spark-kubernetes-driver",
    "spark-kubernetes-executor",
    "executor",
];

/// Adds to a new pod what its annotations ask for.
pub fn customise(request: &Request) -> Verdict {
    if request.operation != Operation::Create || request.kind.kind != "Pod" {
        return Verdict::allowed();
    }
    let demands = match demands(&request.object) {
        Ok(demands) if demands.is_empty() => return Verdict::allowed(),
        Ok(demands) => demands,
        Err(problems) => return Verdict::of_problems(problems),
    };
    let mut pod = request.object.clone();
    for demand in &demands {
        demand.add_to(&mut pod);
    }
    Verdict {
        outcome: Outcome::Changed(pod),
        warnings: Vec::new(),
    }
}

/// Files at a path, and a variable that says where.
#[derive(Debug, PartialEq)]
struct Demand {
    volume: String,
    source: Value,
    path: String,
    variable: Option<(&'static str, String)>,
}

fn demands(pod: &Value) -> Result<Vec<Demand>, Vec<String>> {
    let annotations = pod
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let mut demands = Vec::new();
    let mut problems = Vec::new();
    for (key, value) in annotations.into_iter().flatten() {
        let Some(what) = key.strip_prefix(PREFIX) else {
            continue;
        };
        match demand(what, value.as_str().unwrap_or_default()) {
            Ok(demand) => demands.extend(demand),
            Err(problem) => problems.push(format!("metadata.annotations[{key}]: {problem}")),
        }
    }
    if problems.is_empty() {
        Ok(demands)
    } else {
        Err(problems)
    }
}

/// What one annotation asks for; other annotations of that prefix ask for nothing.
fn demand(what: &str, value: &str) -> Result<Option<Demand>, String> {
    let demand = match what.split_once('.') {
        None => match what {
            "sparkConfigMap" => config_map(value, SPARK_CONF_DIR, Some("SPARK_CONF_DIR"))?,
            "hadoopConfigMap" => config_map(value, HADOOP_CONF_DIR, Some("HADOOP_CONF_DIR"))?,
            _ => return Ok(None),
        },
        Some(("configMap", name)) => config_map(name, value, None)?,
        Some(("GCPServiceAccount", name)) => secret(name, value)?,
        Some(_) => return Ok(None),
    };
    Ok(Some(demand))
}

fn config_map(name: &str, path: &str, variable: Option<&'static str>) -> Result<Demand, String> {
    check(name, path)?;
    Ok(Demand {
        volume: volume_name(name, "vol"),
        source: json!({ "configMap": { "name": name } }),
        path: path.to_owned(),
        variable: variable.map(|variable| (variable, path.to_owned())),
    })
}

fn secret(name: &str, path: &str) -> Result<Demand, String> {
    check(name, path)?;
    let file = format!("{}/key.json", path.trim_end_matches('/'));
    Ok(Demand {
        volume: volume_name(name, "secret"),
        source: json!({ "secret": { "secretName": name } }),
        path: path.to_owned(),
        variable: Some(("GOOGLE_APPLICATION_CREDENTIALS", file)),
    })
}

fn check(name: &str, path: &str) -> Result<(), String> {
    DnsSubdomain::new(name)
        .map_err(|error| format!("{name:?} is no name of an object: {error}"))?;
    if path.starts_with('/') && !path.contains(':') {
        return Ok(());
    }
    Err(format!(
        "{path:?} is no path to mount at: give an absolute one without a colon"
    ))
}

/// A label, as names of volumes have to be.
fn volume_name(name: &str, end: &str) -> String {
    shorten(&format!("{}-{end}", name.replace('.', "-")), LABEL_MAX)
}

impl Demand {
    fn add_to(&self, pod: &mut Value) {
        let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else {
            return;
        };
        if !has(&spec["volumes"], "name", &self.volume) {
            let mut volume = self.source.clone();
            volume["name"] = json!(self.volume);
            push(spec, "volumes", volume);
        }
        let Some(container) = spark_container(spec) else {
            return;
        };
        if !has(&container["volumeMounts"], "mountPath", &self.path) {
            let mount = json!({ "name": self.volume, "mountPath": self.path });
            push(container, "volumeMounts", mount);
        }
        if let Some((name, value)) = &self.variable
            && !has(&container["env"], "name", name)
        {
            push(container, "env", json!({ "name": name, "value": value }));
        }
    }
}

/// The container that Spark runs in: the one with its name, else the first.
fn spark_container(spec: &mut Value) -> Option<&mut Value> {
    let containers = spec.get_mut("containers")?.as_array_mut()?;
    let named = containers
        .iter()
        .position(|it| SPARK_CONTAINERS.iter().any(|name| it["name"] == *name));
    containers.get_mut(named.unwrap_or(0))
}

fn has(list: &Value, key: &str, value: &str) -> bool {
    let items = list.as_array().into_iter().flatten();
    items.into_iter().any(|item| item[key] == value)
}

fn push(object: &mut Value, list: &str, item: Value) {
    match object[list].as_array_mut() {
        Some(items) => items.push(item),
        None => object[list] = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::request;

    fn pod(annotations: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "jobs", "annotations": annotations,
                "labels": {"spark-role": "driver"},
            },
            "spec": {"containers": [
                {"name": "istio-proxy", "image": "proxy"},
                {"name": "spark-kubernetes-driver", "image": "spark"},
            ]},
        })
    }

    fn customised(pod: &Value) -> Outcome {
        customise(&request("CREATE", pod, &Value::Null)).outcome
    }

    #[test]
    fn each_annotation_gives_the_spark_container_its_files_and_its_variable() {
        let asked = pod(&json!({
            "spark-operator.k8s.io/sparkConfigMap": "settings",
            "spark-operator.k8s.io/hadoopConfigMap": "hdfs",
            "spark-operator.k8s.io/configMap.lookup.tables": "/opt/tables",
            "spark-operator.k8s.io/GCPServiceAccount.gcs-key": "/etc/gcs",
            "other": "thing",
        }));
        let Outcome::Changed(changed) = customised(&asked) else {
            panic!("it was not changed");
        };
        insta::assert_yaml_snapshot!(changed["spec"]);
        // Asked again, because another webhook has changed it: nothing more.
        assert_eq!(customised(&changed), Outcome::Changed(changed.clone()));
    }

    #[test]
    fn pods_that_ask_for_nothing_are_left_alone() {
        for annotations in [
            json!(null),
            json!({}),
            json!({"spark-operator.k8s.io/other": "x", "spark-operator.k8s.io/some.thing": "y"}),
        ] {
            assert_eq!(customised(&pod(&annotations)), Outcome::Allowed);
        }
        let update = request(
            "UPDATE",
            &pod(&json!({"spark-operator.k8s.io/sparkConfigMap": "s"})),
            &json!({}),
        );
        assert_eq!(customise(&update), Verdict::allowed());
    }

    #[test]
    fn an_annotation_that_cannot_be_meant_refuses_the_pod_by_name() {
        for (key, value, expected) in [
            ("sparkConfigMap", "", "no name of an object"),
            ("hadoopConfigMap", "No Name", "no name of an object"),
            (
                "configMap.tables",
                "relative",
                "\"relative\" is no path to mount at",
            ),
            ("GCPServiceAccount.key", "", "\"\" is no path to mount at"),
        ] {
            let key = format!("spark-operator.k8s.io/{key}");
            let Outcome::Refused(problems) = customised(&pod(&json!({&key: value}))) else {
                panic!("{key} was not refused");
            };
            assert_eq!(problems.len(), 1);
            assert!(problems[0].starts_with(&format!("metadata.annotations[{key}]: ")));
            assert!(problems[0].contains(expected), "{problems:?}");
        }
    }

    #[test]
    fn pods_of_any_shape_are_survived() {
        for spec in [
            json!(null),
            json!({}),
            json!({"containers": []}),
            json!({"containers": "x"}),
        ] {
            let mut odd = pod(&json!({"spark-operator.k8s.io/sparkConfigMap": "s"}));
            odd["spec"] = spec;
            customised(&odd);
        }
    }
}
