//! Where Spark keeps its scratch data.

use serde_json::{Value, json};

use super::super::SubmitError;
use super::{Context, Draft};

const VOLUME_PREFIX: &str = "spark-local-dir-";

/// Mounted volumes of the right name are taken as they are; else each directory gets an emptyDir.
pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let mounts = draft.pod.container["volumeMounts"].as_array();
    let mounted: Vec<String> = mounts
        .into_iter()
        .flatten()
        .filter(|mount| is_local_dir(mount))
        .filter_map(|mount| mount["mountPath"].as_str().map(str::to_owned))
        .collect();
    if !mounted.is_empty() {
        draft.pod.add_env("SPARK_LOCAL_DIRS", &mounted.join(","));
        return Ok(());
    }

    let default = format!("/var/data/spark-{}", context.request.ids.local_dir);
    let configured = match context.request.client.env.get("SPARK_LOCAL_DIRS") {
        Some(directories) => Some(directories.as_str()),
        None => context.settings.raw("spark.local.dir"),
    };
    let directories = configured.unwrap_or(&default).trim_end_matches(',');
    let medium = if context
        .settings
        .boolean("spark.kubernetes.local.dirs.tmpfs", false)?
    {
        json!({"medium": "Memory"})
    } else {
        json!({})
    };
    // As Java splits them: commas alone name no directory.
    let only_commas = directories.is_empty() && configured.is_some_and(|text| !text.is_empty());
    let named = directories.split(',').filter(|_| !only_commas);
    for (index, directory) in named.enumerate() {
        let name = format!("{VOLUME_PREFIX}{}", index + 1);
        draft
            .pod
            .add_mounted(&name, ("emptyDir", medium.clone()), directory);
    }
    draft.pod.add_env("SPARK_LOCAL_DIRS", directories);
    Ok(())
}

fn is_local_dir(mount: &Value) -> bool {
    mount["name"]
        .as_str()
        .is_some_and(|name| name.starts_with(VOLUME_PREFIX))
}
