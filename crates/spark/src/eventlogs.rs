//! Event logs: what Spark is told of them, and a folder of the node for those of applications that say nothing about
//! theirs. Pure.
//!
//! Laws:
//! - an application that says where its event log goes, or whether there is one, is left as it is, and so is one
//!   whose own volumes are in the way;
//! - only the driver gets the folder: executors do not write event logs;
//! - nothing is added to the application itself, so no policy, status or comparison knows of it.

use std::path::PathBuf;

use serde_json::{Value, json};
use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::{ConfValue, EVENT_LOG_DIR};

/// The setting by which an event log says whose it is, as namespace/name: the name that Spark itself keeps is often
/// one that the program chose.
pub const APPLICATION: &str = "spark.windlass.application";
const ENABLED: &str = "spark.eventLog.enabled";
/// The volume of a driver.
const VOLUME: &str = "spark-events";
/// Where a driver has it.
const MOUNT_PATH: &str = "/spark-events";

/// Where event logs go on the only node there is. It is for clusters of one node that is the user's own: any
/// driver can read there what others have written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEventLogs {
    /// The folder, which is there and may be written by whatever user a driver runs as: Spark ends a driver that
    /// cannot begin its event log.
    pub directory: PathBuf,
}

impl LocalEventLogs {
    /// Lets the driver of an application write its event log into the folder.
    pub fn apply(&self, app: &mut SparkApplication) {
        let metadata = &app.metadata;
        let application = format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or("default"),
            metadata.name.as_deref().unwrap_or_default()
        );
        let spec = &mut app.spec;
        let says = |key| spec.spark_conf.contains_key(key);
        if spec.event_log.is_some() || says(ENABLED) || says(EVENT_LOG_DIR) {
            return;
        }
        let is = |value: &Value, key: &str, text: &str| value[key].as_str() == Some(text);
        let mounts = &mut spec.driver.pod.volume_mounts;
        let is_in_the_way = spec.volumes.iter().any(|it| is(it, "name", VOLUME))
            || mounts.iter().any(|it| is(it, "mountPath", MOUNT_PATH));
        if is_in_the_way {
            return;
        }
        mounts.push(json!({"name": VOLUME, "mountPath": MOUNT_PATH}));
        spec.volumes.push(json!({
            "name": VOLUME,
            "hostPath": {"path": self.directory.to_string_lossy(), "type": "DirectoryOrCreate"},
        }));
        log_to(
            app,
            &format!("file:{MOUNT_PATH}"),
            (APPLICATION, &application),
        );
    }
}

/// Lets Spark write event logs to a directory, in rolling files, and tells it one thing more. What the application
/// says itself wins. The settings are Spark's own, "Monitoring and Instrumentation".
pub(crate) fn log_to(app: &mut SparkApplication, directory: &str, besides: (&str, &str)) {
    for (key, value) in [
        (ENABLED, "true"),
        (EVENT_LOG_DIR, directory),
        ("spark.eventLog.rolling.enabled", "true"),
        ("spark.eventLog.compress", "true"),
        besides,
    ] {
        let conf = &mut app.spec.spark_conf;
        conf.entry(key.to_owned())
            .or_insert_with(|| ConfValue::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(more: &Value) -> SparkApplication {
        let mut app = json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {"name": "pi"},
            "spec": {
                "type": "Python", "sparkVersion": "4.3.0", "mainApplicationFile": "local:///pi.py",
                "driver": {}, "executor": {},
            },
        });
        for (key, value) in more.as_object().unwrap() {
            app["spec"][key] = value.clone();
        }
        serde_json::from_value(app).unwrap()
    }

    fn applied(mut app: SparkApplication) -> SparkApplication {
        let directory = PathBuf::from("/data/event-logs");
        LocalEventLogs { directory }.apply(&mut app);
        app
    }

    #[test]
    fn a_driver_writes_into_the_folder_and_an_executor_does_not_see_it() {
        let own = json!({"sparkConf": {"spark.eventLog.compress": "false"}});
        let spec = applied(with(&own)).spec;
        for (key, value) in [
            ("spark.eventLog.enabled", "true"),
            ("spark.eventLog.dir", "file:/spark-events"),
            ("spark.eventLog.rolling.enabled", "true"),
            ("spark.eventLog.compress", "false"),
            ("spark.windlass.application", "default/pi"),
        ] {
            assert_eq!(spec.spark_conf[key], ConfValue::from(value), "{key}");
        }
        assert_eq!(
            spec.volumes,
            [json!({
                "name": "spark-events",
                "hostPath": {"path": "/data/event-logs", "type": "DirectoryOrCreate"},
            })]
        );
        let mount = json!({"name": "spark-events", "mountPath": "/spark-events"});
        assert_eq!(spec.driver.pod.volume_mounts, [mount]);
        assert_eq!(spec.executor.pod.volume_mounts, [Value::Null; 0]);
    }

    #[test]
    fn an_application_that_has_a_say_or_volumes_in_the_way_is_left_as_it_is() {
        for more in [
            json!({"eventLog": "history"}),
            json!({"sparkConf": {"spark.eventLog.enabled": "false"}}),
            json!({"sparkConf": {"spark.eventLog.enabled": "true"}}),
            json!({"sparkConf": {"spark.eventLog.dir": "s3a://logs/"}}),
            json!({"volumes": [{"name": "spark-events", "emptyDir": {}}]}),
            json!({"driver": {"volumeMounts": [{"name": "mine", "mountPath": "/spark-events"}]}}),
        ] {
            assert_eq!(applied(with(&more)), with(&more), "{more}");
        }
    }
}
