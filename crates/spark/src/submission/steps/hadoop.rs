//! Hadoop's configuration, from the client's directory or from a ConfigMap that exists.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::SubmitError;
use super::{Context, Draft, config_map};

const CONFIG_MAP: &str = "spark.kubernetes.hadoop.configMapName";
const DIRECTORY: &str = "/opt/hadoop/conf";

pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let directory = context.request.client.env.get("HADOOP_CONF_DIR");
    let existing = context.settings.text(CONFIG_MAP)?;
    let (name, source) = match (directory, existing) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            return Err(SubmitError::setting(
                CONFIG_MAP,
                "contradicts HADOOP_CONF_DIR in the environment: use only one of them",
            ));
        }
        (None, Some(name)) => {
            let source = json!({"name": name});
            (name, source)
        }
        (Some(directory), None) => {
            let name = format!("{}-hadoop-config", context.prefix);
            let files = files(context, directory);
            let mut source = json!({"name": name});
            if !files.is_empty() {
                let items: Vec<Value> = files
                    .keys()
                    .map(|file| json!({"key": file, "path": file}))
                    .collect();
                source["items"] = Value::Array(items);
            }
            draft.objects.push(config_map(&name, &files));
            (name, source)
        }
    };
    draft
        .pod
        .add_mounted("hadoop-properties", ("configMap", source), DIRECTORY);
    draft.pod.add_env("HADOOP_CONF_DIR", DIRECTORY);
    if context.profile.names_hadoop_config_map {
        draft.added.insert(
            "spark.kubernetes.executor.hadoopConfigMapName".to_owned(),
            name,
        );
    }
    Ok(())
}

/// The regular files of the directory; none if there is no such directory.
fn files(context: &Context<'_>, directory: &str) -> BTreeMap<String, String> {
    let client = &context.request.client.files;
    let directory = Path::new(directory);
    let entries = client.list(directory).unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| entry.is_file)
        .filter_map(|entry| {
            let content = client.read(&directory.join(&entry.name)).ok()?;
            Some((entry.name, String::from_utf8_lossy(&content).into_owned()))
        })
        .collect()
}
