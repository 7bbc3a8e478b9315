//! What is allowed: images, ServiceAccounts and Spark settings.

use serde_json::Value;
use windlass_api::field::{FieldError, FieldPath, Problem};
use windlass_api::spark::policy::{ImagePattern, Pattern};

use super::layers::Policies;
use super::merge;

/// What a driver runs as when nobody says anything: the account of every namespace.
const NOBODYS: &str = "default";
/// Options of the JVM, which set Spark's settings with -D.
const JVM_OPTIONS: [&str; 4] = [
    "spark.driver.extraJavaOptions",
    "spark.driver.defaultJavaOptions",
    "spark.executor.extraJavaOptions",
    "spark.executor.defaultJavaOptions",
];

/// Every image that containers and volumes of the application have.
pub(super) fn images(policies: &Policies, spec: &Value) -> Vec<FieldError> {
    let at = FieldPath::new("spec");
    let mut named = Vec::new();
    named.extend(text(&spec["image"]).map(|image| (at.field("image"), image)));
    of_volumes(&spec["volumes"], &at, &mut named);
    for role in ["driver", "executor"] {
        let (role, at) = (&spec[role], at.field(role));
        named.extend(text(&role["image"]).map(|image| (at.field("image"), image)));
        of_containers(role, &["initContainers", "sidecars"], &at, &mut named);
        let (pod, at) = (
            &role["template"]["spec"],
            at.field("template").field("spec"),
        );
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        of_containers(pod, &lists, &at, &mut named);
        of_volumes(&pod["volumes"], &at, &mut named);
    }
    let mut refusals = Vec::new();
    for layer in policies.layers() {
        let Some(allowed) = &layer.spec.allowed_images else {
            continue;
        };
        let patterns: Vec<ImagePattern> = allowed
            .iter()
            .filter_map(|it| ImagePattern::new(it).ok())
            .collect();
        for (path, image) in &named {
            if !patterns.iter().any(|pattern| pattern.matches(image)) {
                let told = format!(
                    "{} allows no such image; use one of {}",
                    layer.source,
                    allowed.join(", ")
                );
                refusals.push(refused(path, image, told));
            }
        }
    }
    refusals
}

fn of_containers<'a>(
    pod: &'a Value,
    lists: &[&str],
    at: &FieldPath,
    named: &mut Vec<(FieldPath, &'a str)>,
) {
    for list in lists {
        for (index, container) in pod[*list].as_array().into_iter().flatten().enumerate() {
            let path = at.field(list).index(index).field("image");
            named.extend(text(&container["image"]).map(|image| (path, image)));
        }
    }
}

/// A volume may be an image, too.
fn of_volumes<'a>(volumes: &'a Value, at: &FieldPath, named: &mut Vec<(FieldPath, &'a str)>) {
    for (index, volume) in volumes.as_array().into_iter().flatten().enumerate() {
        let path = at.field("volumes").index(index);
        let path = path.field("image").field("reference");
        named.extend(text(&volume["image"]["reference"]).map(|image| (path, image)));
    }
}

/// The ServiceAccounts of driver and executors. Executors that name none have the driver's.
pub(super) fn accounts(
    policies: &Policies,
    spec: &Value,
    account: Option<&str>,
) -> Vec<FieldError> {
    let at = FieldPath::new("spec");
    let mut named = Vec::new();
    for role in ["driver", "executor"] {
        let (role, at) = (&spec[role], at.field(role));
        let own = text(&role["serviceAccount"]).map(|it| (at.field("serviceAccount"), it));
        let before = named.len();
        named.extend(own);
        let pod = at.field("template").field("spec");
        for field in ["serviceAccountName", "serviceAccount"] {
            let of_pod = text(&role["template"]["spec"][field]);
            named.extend(of_pod.map(|it| (pod.field(field), it)));
        }
        if named.len() == before && at.as_str() == "spec.driver" {
            named.push((at.field("serviceAccount"), account.unwrap_or(NOBODYS)));
        }
    }
    let mut refusals = Vec::new();
    for layer in policies.layers() {
        let Some(allowed) = &layer.spec.allowed_service_accounts else {
            continue;
        };
        let patterns = patterns(allowed);
        for (path, account) in &named {
            if !patterns.iter().any(|pattern| pattern.matches(account)) {
                let told = format!(
                    "{} allows no such ServiceAccount; set one of {}",
                    layer.source,
                    allowed.join(", ")
                );
                refusals.push(refused(path, account, told));
            }
        }
    }
    refusals
}

/// The Spark settings that a user made. What a policy sets itself is not the user's, also where he
/// wrote the same.
pub(super) fn settings(policies: &Policies, given: &Value, spec: &Value) -> Vec<FieldError> {
    let mut refusals = Vec::new();
    let made = made_by_user(given);
    for layer in policies.layers() {
        let denied = patterns(&layer.spec.denied_spark_conf);
        for Made { place, key } in &made {
            if !denied.iter().any(|pattern| pattern.matches(key)) {
                continue;
            }
            let wrote = merge::at(given, place);
            let decided = policies.layers().iter().any(|layer| {
                let templates = [&layer.spec.defaults, &layer.spec.enforced];
                let mut templates = templates.into_iter().flatten();
                templates.any(|it| merge::at(it, place).is_some_and(|it| Some(it) == wrote))
            });
            let overruled = merge::at(spec, place) != wrote;
            if !decided && !overruled {
                let setting = if place.last() == Some(key) {
                    String::new()
                } else {
                    format!("{key} ")
                };
                let told = format!(
                    "{setting}may not be set, by {}; remove it, or ask whoever keeps the policy",
                    layer.source
                );
                refusals.push(FieldError::forbidden(merge::path_of(place), told));
            }
        }
    }
    refusals
}

/// A Spark setting, and the value that makes it.
struct Made {
    place: Vec<String>,
    key: String,
}

fn made_by_user(given: &Value) -> Vec<Made> {
    let place = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let mut made = Vec::new();
    let settings = given["sparkConf"].as_object();
    for (key, value) in settings.into_iter().flatten() {
        let place = place(["sparkConf", key]);
        if JVM_OPTIONS.contains(&key.as_str()) {
            made.extend(of_jvm(value, &place));
        }
        made.push(Made {
            place,
            key: key.clone(),
        });
    }
    let settings = given["hadoopConf"].as_object();
    for key in settings.into_iter().flat_map(|it| it.keys()) {
        made.push(Made {
            place: place(["hadoopConf", key]),
            key: format!("spark.hadoop.{key}"),
        });
    }
    for role in ["driver", "executor"] {
        let options = &given[role]["javaOptions"];
        made.extend(of_jvm(options, &place([role, "javaOptions"])));
    }
    made
}

fn of_jvm(options: &Value, place: &[String]) -> Vec<Made> {
    let quotes = ['"', '\''];
    let words = text(options).unwrap_or_default().split_whitespace();
    let keys = words.filter_map(|word| {
        let (key, _) = word
            .trim_matches(quotes)
            .strip_prefix("-D")?
            .split_once('=')?;
        Some(Made {
            place: place.to_vec(),
            key: key.trim_matches(quotes).to_owned(),
        })
    });
    keys.collect()
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    let read = texts.iter().filter_map(|text| Pattern::new(text).ok());
    read.collect()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn refused(path: &FieldPath, value: &str, detail: String) -> FieldError {
    FieldError {
        path: path.clone(),
        problem: Problem::Forbidden,
        value: Some(value.into()),
        detail,
    }
}
