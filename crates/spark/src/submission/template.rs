//! Pod templates: reading them, and finding the container Spark will run in.

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::SubmitError;
use super::client::{local_path, read_text};
use super::numbers::java_double;
use super::pod::{SparkPod, list, object};
use super::profile::Profile;
use super::request::{Client, Templates};
use super::settings::Settings;

const DRIVER_FILE: &str = "spark.kubernetes.driver.podTemplateFile";
const DRIVER_CONTAINER: &str = "spark.kubernetes.driver.podTemplateContainerName";
pub(super) const EXECUTOR_FILE: &str = "spark.kubernetes.executor.podTemplateFile";

/// The pod the driver pod is made from.
pub(super) fn driver(
    settings: &Settings<'_>,
    client: &Client,
    templates: &Templates,
    profile: &Profile,
) -> Result<SparkPod, SubmitError> {
    let template = match &templates.driver {
        Some(template) => template.clone(),
        None => match settings.text(DRIVER_FILE)? {
            Some(file) => read(client, &file, profile)?,
            None => return Ok(SparkPod::empty()),
        },
    };
    let mut pod = normalized(template)?;
    let containers = std::mem::take(list(&mut pod["spec"]["containers"]));
    let wanted = settings.text(DRIVER_CONTAINER)?;
    let (container, others) = select(containers, wanted.as_deref());
    if !others.is_empty() {
        pod["spec"]["containers"] = Value::Array(others);
    }
    Ok(SparkPod { pod, container })
}

/// The text the driver will read executor templates from, if there is one.
pub(super) fn executor(
    settings: &Settings<'_>,
    client: &Client,
    templates: &Templates,
) -> Result<Option<String>, SubmitError> {
    if let Some(template) = &templates.executor {
        // JSON is YAML, and the driver reads YAML.
        return Ok(Some(format!("{template:#}\n")));
    }
    settings
        .text(EXECUTOR_FILE)?
        .map(|file| read_text(client, EXECUTOR_FILE, &local_path(EXECUTOR_FILE, &file)?))
        .transpose()
}

/// The container with this name if there is exactly one, else the first; and the others.
fn select(mut containers: Vec<Value>, wanted: Option<&str>) -> (Value, Vec<Value>) {
    let matching = |(position, container): (usize, &Value)| {
        (container["name"].as_str() == wanted).then_some(position)
    };
    let found: Vec<usize> = match wanted {
        Some(_) => containers.iter().enumerate().filter_map(matching).collect(),
        None => Vec::new(),
    };
    if containers.is_empty() {
        return (json!({}), containers);
    }
    let position = match found[..] {
        [only] => only,
        _ => 0,
    };
    (containers.remove(position), containers)
}

fn read(client: &Client, file: &str, profile: &Profile) -> Result<Value, SubmitError> {
    let path = local_path(DRIVER_FILE, file)?;
    let text = read_text(client, DRIVER_FILE, &path)?;
    let mut documents = documents(&text, profile)
        .map_err(|error| refused(format!("{path} is not YAML: {error}")))?;
    match documents.len() {
        1 => Ok(documents.remove(0)),
        count => Err(refused(format!(
            "{path} holds {count} documents: write exactly one pod"
        ))),
    }
}

/// YAML as Spark's library reads it: unlike for kubectl, `yes` is a text.
fn documents(text: &str, profile: &Profile) -> Result<Vec<Value>, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        legacy_octal_numbers: profile.octal_in_yaml,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options)
}

fn refused(reason: impl Into<String>) -> SubmitError {
    SubmitError::Template {
        key: DRIVER_FILE.to_owned(),
        reason: reason.into(),
    }
}

/// The template as Spark's client library would send it: texts where Kubernetes has texts, and no
/// nulls and empty lists.
fn normalized(mut pod: Value) -> Result<Value, SubmitError> {
    if !pod["spec"].is_object() {
        return Err(refused(
            "it has no spec: write a pod with a spec, even an empty one",
        ));
    }
    if pod.get("kind").is_some_and(|kind| kind != "Pod") {
        return Err(refused(format!("it is a {}, not a Pod", pod["kind"])));
    }
    tidy(&mut pod);
    let fields = object(&mut pod);
    fields.insert("apiVersion".to_owned(), json!("v1"));
    fields.insert("kind".to_owned(), json!("Pod"));
    object(&mut pod["metadata"]);
    object(&mut pod["spec"]);
    Pod::deserialize(&pod).map_err(|error| refused(error.to_string()))?;
    Ok(pod)
}

/// Maps of texts; an empty one is left out.
const TEXT_MAPS: [&str; 7] = [
    "labels",
    "annotations",
    "nodeSelector",
    "matchLabels",
    "limits",
    "requests",
    "overhead",
];

fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(tidy);
        }
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if TEXT_MAPS.contains(&name.as_str()) {
                    for entry in field.as_object_mut().into_iter().flatten() {
                        make_text(entry.1);
                    }
                } else if matches!(name.as_str(), "value" | "sizeLimit" | "priorityClassName") {
                    make_text(field);
                } else if matches!(name.as_str(), "args" | "command") {
                    field
                        .as_array_mut()
                        .into_iter()
                        .flatten()
                        .for_each(make_text);
                }
                tidy(field);
            }
            fields.retain(|name, field| match field {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(entries) => {
                    !(entries.is_empty() && TEXT_MAPS.contains(&name.as_str()))
                }
                _ => true,
            });
        }
        Value::Number(_) => make_whole(value),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn make_text(value: &mut Value) {
    let text = match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => java_double(float),
            None => number.to_string(),
        },
        Value::Bool(flag) => flag.to_string(),
        _ => return,
    };
    *value = Value::String(text);
}

/// A number written with a fraction of zero, or with zeros in front, is a whole number.
fn make_whole(value: &mut Value) {
    let whole = value
        .as_f64()
        .filter(|n| n.fract() == 0.0 && n.abs() < 9e15);
    if let (true, Some(whole)) = (value.is_f64(), whole) {
        *value = json!(whole as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Value> {
        names.iter().map(|name| json!({"name": name})).collect()
    }

    #[test]
    fn the_named_container_is_taken_else_the_first() {
        for (names, wanted, taken) in [
            (&["a", "b"][..], Some("b"), json!({"name": "b"})),
            (&["a", "b"], Some("c"), json!({"name": "a"})),
            (&["a", "b", "b"], Some("b"), json!({"name": "a"})),
            (&["a", "b"], None, json!({"name": "a"})),
            (&[], Some("a"), json!({})),
        ] {
            let (container, others) = select(named(names), wanted);
            assert_eq!(container, taken);
            assert_eq!(others.len(), names.len().saturating_sub(1));
        }
    }

    #[test]
    fn values_take_the_form_kubernetes_has() {
        let pod = normalized(json!({
            "metadata": {"labels": {"n": 1, "b": true}, "annotations": {}, "creationTimestamp": null},
            "spec": {
                "tolerations": [],
                "containers": [{
                    "args": [1, ""],
                    "env": [{"name": "N", "value": 1.5}],
                    "resources": {"limits": {"cpu": 2}, "requests": {}},
                    "securityContext": {},
                }],
                "volumes": [{"name": "e", "emptyDir": {}}],
            },
        }));
        assert_eq!(
            pod.unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"labels": {"n": "1", "b": "true"}},
                "spec": {
                    "containers": [{
                        "args": ["1", ""],
                        "env": [{"name": "N", "value": "1.5"}],
                        "resources": {"limits": {"cpu": "2"}},
                        "securityContext": {},
                    }],
                    "volumes": [{"name": "e", "emptyDir": {}}],
                },
            })
        );
    }

    #[test]
    fn what_is_not_a_pod_is_refused() {
        for template in [
            json!({"metadata": {}}),
            json!({"kind": "ConfigMap", "spec": {}}),
            json!({"spec": {"containers": [], "priority": "many"}}),
        ] {
            assert!(normalized(template).is_err());
        }
    }
}
