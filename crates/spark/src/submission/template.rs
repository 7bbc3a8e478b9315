//! Pod templates: reading them, and finding the container Spark will run in.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use super::SubmitError;
use super::client::{local_path, read_text};
use super::numbers::java_double;
use super::pod::{SparkPod, list, object};
use super::profile::Profile;
use super::request::{Client, Templates};
use super::settings::Settings;
use super::yaml;

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
    let mut pod = normalized(template, profile)?;
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
    let mut documents = yaml::documents(&text, profile.yaml)
        .map_err(|error| refused(format!("{path} is not YAML: {error}")))?;
    match documents.len() {
        1 => Ok(documents.remove(0)),
        count => Err(refused(format!(
            "{path} holds {count} documents: write exactly one pod"
        ))),
    }
}

fn refused(reason: impl Into<String>) -> SubmitError {
    SubmitError::Template {
        key: DRIVER_FILE.to_owned(),
        reason: reason.into(),
    }
}

/// The template as Spark's client library would send it: texts where Kubernetes has texts, numbers
/// where it has numbers, and no nulls and empty lists.
fn normalized(mut pod: Value, profile: &Profile) -> Result<Value, SubmitError> {
    if !pod["spec"].is_object() {
        return Err(refused(
            "it has no spec: write a pod with a spec, even an empty one",
        ));
    }
    if pod.get("kind").is_some_and(|kind| kind != "Pod") {
        return Err(refused(format!("it is a {}, not a Pod", pod["kind"])));
    }
    match pod["spec"].get("containers") {
        Some(Value::Null) => return Err(refused("spec.containers is empty: remove the line")),
        Some(Value::Array(containers)) if containers.contains(&Value::Null) => {
            return Err(refused("spec.containers has an empty entry: remove it"));
        }
        _ => {}
    }
    tidy(&mut pod);
    let fields = object(&mut pod);
    fields.insert("apiVersion".to_owned(), json!("v1"));
    fields.insert("kind".to_owned(), json!("Pod"));
    object(&mut pod["metadata"]);
    object(&mut pod["spec"]);
    give_types(pod, profile)
}

/// The pod with every scalar in the type that Kubernetes has there.
fn give_types(mut pod: Value, profile: &Profile) -> Result<Value, SubmitError> {
    loop {
        let mut candidate = pod.clone();
        // Kubernetes reads these as empty texts.
        drop_empty_entries(&mut candidate);
        let Err(error) = serde_path_to_error::deserialize::<_, Pod>(candidate) else {
            return Ok(pod);
        };
        let path = error.path().to_string();
        let reason = error.inner().to_string();
        let place = error
            .path()
            .iter()
            .try_fold(&mut pod, |place, segment| match segment {
                Segment::Seq { index } => place.get_mut(index),
                Segment::Map { key } => place.get_mut(key),
                Segment::Enum { .. } | Segment::Unknown => None,
            });
        let expected = reason
            .rsplit_once("expected ")
            .map_or("", |(_, expected)| expected);
        let typed = place
            .as_deref()
            .and_then(|value| convert(value, expected, profile));
        match (place, typed) {
            (Some(place), Some(typed)) if *place != typed => *place = typed,
            _ => return Err(refused(format!("{path}: {reason}"))),
        }
    }
}

/// A scalar of another type as one of the expected type, by the rules of Spark's client library.
fn convert(value: &Value, expected: &str, profile: &Profile) -> Option<Value> {
    match (expected, value) {
        ("a string", Value::Number(_) | Value::Bool(_)) => {
            let mut text = value.clone();
            make_text(&mut text);
            Some(text)
        }
        ("i32", Value::String(text)) if profile.octal_integers => {
            let octal = ["0o", "0O", "0"]
                .iter()
                .find_map(|prefix| text.strip_prefix(prefix))
                .and_then(|digits| i32::from_str_radix(digits, 8).ok());
            octal
                .or_else(|| text.parse().ok())
                .map(|number| json!(number))
        }
        ("i32", Value::String(text)) => text.trim().parse::<i32>().ok().map(|number| json!(number)),
        ("i64", Value::String(text)) => text.trim().parse::<i64>().ok().map(|number| json!(number)),
        ("i32", Value::Number(number)) if !profile.octal_integers => {
            let whole = number.as_f64().filter(|_| number.is_f64())?.trunc();
            (whole.abs() <= f64::from(i32::MAX)).then(|| json!(whole as i32))
        }
        ("i64", Value::Number(number)) => {
            let whole = number.as_f64().filter(|_| number.is_f64())?.trunc();
            (whole.abs() < 9e15).then(|| json!(whole as i64))
        }
        ("a boolean", Value::String(text)) => match text.trim() {
            "true" | "True" | "TRUE" => Some(json!(true)),
            "false" | "False" | "FALSE" => Some(json!(false)),
            _ => None,
        },
        _ => None,
    }
}

fn drop_empty_entries(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_empty_entries),
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_empty_entries);
        }
        _ => {}
    }
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
                    // An entry without a value is sent as such.
                    for entry in field.as_object_mut().into_iter().flatten() {
                        make_text(entry.1);
                    }
                    continue;
                }
                if matches!(name.as_str(), "value" | "sizeLimit" | "priorityClassName") {
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
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(version: &str) -> Profile {
        Profile::of(&version.parse().unwrap()).0
    }

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
        let template = json!({
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
        });
        assert_eq!(
            normalized(template, &profile("4.3")).unwrap(),
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
            json!({"spec": {"containers": [null]}}),
            json!({"spec": {"containers": {"name": "a"}}}),
        ] {
            assert!(normalized(template, &profile("4.3")).is_err());
        }
    }

    #[test]
    fn scalars_take_the_type_kubernetes_has_as_the_version_reads_them() {
        for (field, value, v3_5, v4_0) in [
            ("hostname", json!(5), Some(json!("5")), Some(json!("5"))),
            (
                "hostname",
                json!(true),
                Some(json!("true")),
                Some(json!("true")),
            ),
            ("priority", json!("90"), Some(json!(90)), Some(json!(90))),
            (
                "priority",
                json!("0644"),
                Some(json!(644)),
                Some(json!(420)),
            ),
            ("priority", json!("0o644"), None, Some(json!(420))),
            ("priority", json!("0x1a4"), None, None),
            ("priority", json!(1.5), Some(json!(1)), None),
            ("priority", json!(99_999_999_999_i64), None, None),
            (
                "activeDeadlineSeconds",
                json!("30"),
                Some(json!(30)),
                Some(json!(30)),
            ),
            (
                "activeDeadlineSeconds",
                json!(1.0),
                Some(json!(1)),
                Some(json!(1)),
            ),
            (
                "hostNetwork",
                json!("true"),
                Some(json!(true)),
                Some(json!(true)),
            ),
            ("hostNetwork", json!("yes"), None, None),
        ] {
            let read = |version| {
                let template = json!({"spec": {field: value.clone()}});
                let pod = normalized(template, &profile(version)).ok()?;
                Some(pod["spec"][field].clone())
            };
            assert_eq!(read("3.5"), v3_5, "{field} {value}");
            assert_eq!(read("4.0"), v4_0, "{field} {value}");
        }
    }

    #[test]
    fn an_entry_without_a_value_is_kept_where_entries_are_free() {
        let template = json!({"metadata": {"labels": {"a": null}, "uid": null}, "spec": {}});
        let pod = normalized(template, &profile("4.3")).unwrap();
        assert_eq!(pod["metadata"], json!({"labels": {"a": null}}));
    }
}
