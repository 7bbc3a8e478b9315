//! The ConfigMap the driver starts from: `spark.properties` and the client's configuration files.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::steps::{Context, config_map};
use super::{Conf, SubmitError, properties};

const DIRECTORY: &str = "/opt/spark/conf";
const FILE: &str = "spark.properties";
const NAMESPACE: &str = "spark.kubernetes.namespace";
const MAX_SIZE: &str = "spark.kubernetes.configMap.maxSize";
/// The largest value Kubernetes leaves room for.
const MAX_SIZE_LIMIT: i64 = 1 << 20;

/// Mounts the ConfigMap into the container and returns it.
pub(super) fn mount(
    context: &Context<'_>,
    pod: &mut super::pod::SparkPod,
    conf: &Conf,
) -> Result<Value, SubmitError> {
    let ids = &context.request.ids;
    let name = format!("spark-drv-{}-conf-map", ids.conf_map);
    let mut files = client_files(context)?;
    let text = properties::header(&name, ids.submit_time) + &properties::write(conf);
    files.insert(FILE.to_owned(), text);

    let items: Vec<Value> = files
        .keys()
        .map(|file| json!({"key": file, "path": file, "mode": 0o644}))
        .collect();
    let source = json!({"name": name, "items": items});
    pod.add_mounted("spark-conf-volume-driver", ("configMap", source), DIRECTORY);
    pod.add_env("SPARK_CONF_DIR", DIRECTORY);

    files.insert(NAMESPACE.to_owned(), context.namespace.clone());
    let mut object = config_map(&name, &files);
    object["metadata"]["namespace"] = json!(context.namespace);
    Ok(object)
}

/// The files of the client's configuration directory that the driver gets, smallest first as long
/// as they fit.
fn client_files(context: &Context<'_>) -> Result<BTreeMap<String, String>, SubmitError> {
    let limit = max_size(context)?;
    let client = &context.request.client;
    let home = || {
        context
            .settings
            .raw("spark.home")
            .map(|home| format!("{home}/conf"))
    };
    let Some(directory) = client.env.get("SPARK_CONF_DIR").cloned().or_else(home) else {
        return Ok(BTreeMap::new());
    };
    let directory = Path::new(&directory);
    let weight = |name: &str, len: u64| len as i64 + name.encode_utf16().count() as i64;
    let mut entries: Vec<(i64, String)> = client
        .files
        .list(directory)
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| entry.is_file && is_wanted(&entry.name))
        .map(|entry| (weight(&entry.name, entry.len), entry.name))
        .filter(|(weight, _)| *weight <= limit)
        .collect();
    entries.sort();

    let mut used = 0;
    let mut files = BTreeMap::new();
    for (_, name) in entries {
        let content = client.files.read(&directory.join(&name)).ok();
        // A ConfigMap holds text only.
        let Some(text) = content.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            continue;
        };
        let size = weight(&name, text.encode_utf16().count() as u64);
        if used + size < limit {
            used += size;
            files.insert(name, text);
        }
    }
    Ok(files)
}

/// Archives cannot be in a ConfigMap, templates are not configuration, and Spark's own settings
/// arrive by `spark.properties`.
fn is_wanted(name: &str) -> bool {
    let archive = ["gz", "zip", "jar", "tar"].iter().any(|extension| {
        name.strip_suffix(extension)
            .is_some_and(|stem| stem.ends_with('.'))
    });
    let settings = name
        .strip_prefix("spark")
        .is_some_and(|rest| rest.ends_with("conf") || rest.ends_with("properties"));
    !archive && !settings && !name.ends_with(".template")
}

fn max_size(context: &Context<'_>) -> Result<i64, SubmitError> {
    let Some(text) = context.settings.text(MAX_SIZE)? else {
        return Ok(MAX_SIZE_LIMIT);
    };
    match text.trim().parse::<i64>() {
        Ok(size) if size <= MAX_SIZE_LIMIT => Ok(size),
        Ok(_) => Err(SubmitError::setting(
            MAX_SIZE,
            format!("must be at most {MAX_SIZE_LIMIT} bytes"),
        )),
        Err(_) => Err(SubmitError::setting(
            MAX_SIZE,
            format!("{text:?} is not a number of bytes"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::is_wanted;

    #[test]
    fn only_configuration_files_are_taken() {
        for (name, wanted) in [
            ("log4j2.properties", true),
            ("hive-site.xml", true),
            ("my.spark.conf", true),
            ("spark-env.sh", true),
            ("c.tgz", true),
            ("x.template.bak", true),
            ("spark-defaults.conf", false),
            ("sparkish.properties", false),
            ("sparkconf", false),
            ("a.template", false),
            ("a.jar", false),
            ("a.tar.gz", false),
        ] {
            assert_eq!(is_wanted(name), wanted, "{name}");
        }
    }
}
