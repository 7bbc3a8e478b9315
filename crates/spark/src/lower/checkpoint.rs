//! The folder for checkpoints that `spark.kubernetes.checkpointdir.*` asks for: a claim that is there before
//! the driver and stays when the application goes, and Spark's own settings to mount it.

use serde_json::{Value, json};
use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::{CHECKPOINT_DIR, CheckpointAccess, CheckpointDir};

use super::{NotApplied, Product, identity, role::Kind, route::ConfBuilder};

/// The name of the volume.
const VOLUME: &str = "checkpointdir";
/// Where queries of Structured Streaming keep their checkpoints that name no place of their own.
const LOCATION: &str = "spark.sql.streaming.checkpointLocation";

/// The claim; `None` where none is asked for. It has no owner: who deletes an application and applies it
/// again goes on where it ended.
pub(super) fn claim(product: Product, app: &SparkApplication) -> Option<Value> {
    let dir = wanted(product, app)?;
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": identity::beside(app, &CheckpointDir::claim_name(app)),
        "spec": {
            "accessModes": [dir.access_mode.as_str()],
            "resources": {"requests": {"storage": dir.size}},
        },
    });
    if let Some(metadata) = claim["metadata"].as_object_mut() {
        metadata.remove("ownerReferences");
    }
    if let Some(class) = dir.storage_class {
        claim["spec"]["storageClassName"] = json!(class);
    }
    Some(claim)
}

/// Mounts it, in the words of Spark, which knows nothing of the settings that ask for it.
pub(super) fn settings(product: Product, app: &SparkApplication, conf: &mut ConfBuilder) {
    for key in keys(app) {
        conf.remove(key);
    }
    let Some(dir) = wanted(product, app) else {
        return;
    };
    let claim = CheckpointDir::claim_name(app);
    let roles: &[Kind] = match dir.access_mode {
        CheckpointAccess::ReadWriteMany => &[Kind::Driver, Kind::Executor],
        CheckpointAccess::ReadWriteOnce | CheckpointAccess::ReadWriteOncePod => &[Kind::Driver],
    };
    for role in roles {
        let prefix = format!(
            "spark.kubernetes.{}.volumes.persistentVolumeClaim.{VOLUME}",
            role.name()
        );
        conf.set(format!("{prefix}.options.claimName"), &claim);
        conf.set(format!("{prefix}.mount.path"), &dir.path);
    }
    conf.set_default(LOCATION, format!("file://{}", dir.path));
}

/// What is said about settings that have no effect.
pub(super) fn notes(product: Product, app: &SparkApplication) -> Vec<NotApplied> {
    if wanted(product, app).is_some() {
        return Vec::new();
    }
    let reason = match product {
        Product::Run => format!("has no effect without {CHECKPOINT_DIR}enable=true; set that"),
        Product::Server => {
            "is for applications; mount a claim by spec.volumes and the server's volumeMounts"
                .to_owned()
        }
        Product::HistoryServer => "is for applications; remove it".to_owned(),
    };
    let keys = keys(app).filter(|key| {
        product != Product::Run || key.strip_prefix(CHECKPOINT_DIR) != Some("enable")
    });
    keys.map(|key| NotApplied {
        field: format!("spec.sparkConf[{key}]"),
        reason: reason.clone(),
    })
    .collect()
}

fn wanted(product: Product, app: &SparkApplication) -> Option<CheckpointDir> {
    // What cannot be read has been refused by now.
    let dir = CheckpointDir::of(&app.spec).ok().flatten();
    dir.filter(|_| product == Product::Run)
}

fn keys(app: &SparkApplication) -> impl Iterator<Item = &str> {
    let keys = app.spec.spark_conf.keys().map(String::as_str);
    keys.filter(|key| key.starts_with(CHECKPOINT_DIR))
}
