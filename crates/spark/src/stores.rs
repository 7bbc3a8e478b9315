//! The ObjectStores that an application names: what it is given to reach them. Pure.
//!
//! Laws:
//! - what the application says itself wins, setting by setting;
//! - event logs are at the root of their bucket: Spark and its history server want a folder to be there before
//!   they begin, and a store has no other one until somebody makes it;
//! - nothing is submitted before all of them have been there once; a store that does not answer for a
//!   while takes nothing away from an application that is to run again.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::validate;
use windlass_api::storage::hadoop::Access;

use crate::eventlogs::log_to;

/// The ObjectStores that an application names.
#[derive(Debug, Clone, PartialEq)]
pub enum Stores {
    /// By name: how it is reached, or why it cannot be yet.
    Known(BTreeMap<String, Result<Access, String>>),
    /// This operator does not look after any.
    Unserved,
}

/// How large a file of an event log is when Spark begins another one. Only whole files are to be seen in a
/// bucket, so this is also what a driver that dies may take with it, and what its history lacks until then.
const EVENT_LOG_FILE: &str = "32m";

/// The ObjectStores that a specification names, each once.
pub fn named(spec: &Value) -> Vec<&str> {
    let stores = spec["objectStores"].as_array().into_iter().flatten();
    let mut names: Vec<&str> = stores
        .chain([&spec["eventLog"]])
        .filter_map(Value::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Default for Stores {
    fn default() -> Self {
        Self::Known(BTreeMap::new())
    }
}

/// Why an application cannot be submitted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Nobody looks after ObjectStores.
    ForOperator(String),
    /// One line for each that is not there.
    ForStores(Vec<String>),
}

impl Stores {
    /// Gives an application what it needs to reach the buckets that it names. One that cannot be meant is left as
    /// it is: what it is given could hide why.
    ///
    /// # Errors
    /// What it has to wait for; the application is left as it is.
    pub fn apply(&self, app: &mut SparkApplication) -> Result<(), Waits> {
        let stores = app.spec.object_stores.iter().enumerate();
        let stores = stores.map(|(index, name)| (format!("spec.objectStores[{index}]"), name));
        let log = app.spec.event_log.iter();
        let log = log.map(|name| ("spec.eventLog".to_owned(), name));
        let mut named = stores.chain(log).peekable();
        let Some((first, _)) = named.peek() else {
            return Ok(());
        };
        if !validate(app).is_empty() {
            return Ok(());
        }
        let known = self.known(first)?;
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for (path, name) in named {
            match access(known, &path, name) {
                Ok(access) => found.push(access),
                Err(why) => missing.push(why),
            }
        }
        if !missing.is_empty() {
            return Err(Waits::ForStores(missing));
        }
        // It is the last that is named.
        if app.spec.event_log.is_some()
            && let Some(access) = found.last()
        {
            // Spark takes one slash from the end, and Hadoop 3.3 nothing without a path.
            let root = format!("{}//", access.url);
            let size = ("spark.eventLog.rolling.maxFileSize", EVENT_LOG_FILE);
            log_to(app, &root, size);
        }
        for access in found {
            give(app, access);
        }
        Ok(())
    }

    /// Gives a history server what it needs to read the event logs of applications that name this ObjectStore, and
    /// tells their directory.
    ///
    /// # Errors
    /// What it has to wait for; the server is left as it is.
    pub(crate) fn read_logs(
        &self,
        app: &mut SparkApplication,
        name: &str,
    ) -> Result<String, Waits> {
        const FIELD: &str = "spec.eventLog";
        let access = access(self.known(FIELD)?, FIELD, name);
        let access = access.map_err(|why| Waits::ForStores(vec![why]))?;
        // Hadoop finds nothing without a path.
        let directory = format!("{}/", access.url);
        give(app, access);
        Ok(directory)
    }

    /// Those that are known; an error says so of the field that asks where nobody looks after any.
    fn known(&self, field: &str) -> Result<&BTreeMap<String, Result<Access, String>>, Waits> {
        match self {
            Self::Known(known) => Ok(known),
            Self::Unserved => Err(Waits::ForOperator(format!(
                "{field}: this operator looks after no ObjectStores; start it with --storage"
            ))),
        }
    }
}

/// How the ObjectStore that a field names is reached, or why it cannot be yet.
fn access(
    known: &BTreeMap<String, Result<Access, String>>,
    field: &str,
    name: &str,
) -> Result<Access, String> {
    let absent = || Err("there is none in this namespace".to_owned());
    let access = known.get(name).cloned().unwrap_or_else(absent);
    access.map_err(|why| format!("{field}: the ObjectStore {name} cannot be used: {why}"))
}

fn give(app: &mut SparkApplication, access: Access) {
    let spec = &mut app.spec;
    for (key, value) in access.hadoop_conf {
        if !spec.spark_conf.contains_key(&format!("spark.hadoop.{key}")) {
            spec.hadoop_conf.entry(key).or_insert(value);
        }
    }
    if let Some(secret) = access.secret {
        for pod in [&mut spec.driver.pod, &mut spec.executor.pod] {
            if !pod.secrets.iter().any(|it| it.path == secret.path) {
                pod.secrets.push(secret.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_api::spark::application::{ConfValue, SecretInfo, SecretType};

    use super::*;

    fn app() -> SparkApplication {
        serde_json::from_value(json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {"name": "pi"},
            "spec": {
                "type": "Python", "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
                "mainApplicationFile": "local:///pi.py",
                "driver": {}, "executor": {},
                "sparkConf": {"spark.hadoop.fs.a": "mine"},
                "hadoopConf": {"fs.b": "mine"},
                "objectStores": ["history"],
            },
        }))
        .unwrap()
    }

    fn access() -> Access {
        let conf = ["fs.a", "fs.b", "fs.c"];
        let conf = conf.map(|key| (key.to_owned(), ConfValue::from("theirs")));
        Access {
            url: "s3a://logs".to_owned(),
            hadoop_conf: conf.into(),
            secret: Some(SecretInfo {
                name: "keys".to_owned(),
                path: "/etc/keys".to_owned(),
                kind: SecretType::Generic,
            }),
        }
    }

    #[test]
    fn what_an_application_says_itself_wins() {
        let mut app = app();
        let known = [("history".to_owned(), Ok(access()))];
        Stores::Known(known.into()).apply(&mut app).unwrap();
        let conf = &app.spec.hadoop_conf;
        assert_eq!(conf.get("fs.a"), None);
        assert_eq!(conf["fs.b"], ConfValue::from("mine"));
        assert_eq!(conf["fs.c"], ConfValue::from("theirs"));
        for pod in [&app.spec.driver.pod, &app.spec.executor.pod] {
            assert_eq!(pod.secrets.len(), 1);
        }
    }

    #[test]
    fn an_event_log_rolls_at_the_root_of_its_bucket_unless_settings_say_otherwise() {
        let mut app = app();
        app.spec.object_stores.clear();
        app.spec.event_log = Some("history".to_owned());
        let own = ("spark.eventLog.compress", "false");
        app.spec
            .spark_conf
            .insert(own.0.to_owned(), ConfValue::from(own.1));
        let waits = Stores::default().apply(&mut app).unwrap_err();
        let told = "spec.eventLog: the ObjectStore history cannot be used: there is none in this namespace";
        assert_eq!(waits, Waits::ForStores(vec![told.to_owned()]));
        let known = [("history".to_owned(), Ok(access()))];
        Stores::Known(known.into()).apply(&mut app).unwrap();
        let conf = &app.spec.spark_conf;
        for (key, value) in [
            ("spark.eventLog.enabled", "true"),
            ("spark.eventLog.dir", "s3a://logs//"),
            ("spark.eventLog.rolling.enabled", "true"),
            ("spark.eventLog.rolling.maxFileSize", "32m"),
            own,
        ] {
            assert_eq!(conf[key], ConfValue::from(value), "{key}");
        }
        assert_eq!(app.spec.hadoop_conf["fs.c"], ConfValue::from("theirs"));
        let spec = json!({"objectStores": ["in", "out"], "eventLog": "in"});
        assert_eq!(named(&spec), ["in", "out"]);
    }

    #[test]
    fn what_an_application_is_given_hides_nothing_that_is_wrong_with_it() {
        let stores = Stores::Known([("history".to_owned(), Ok(access()))].into());
        for (field, spec) in [
            ("spec.eventLog", json!({"objectStores": ["history"]})),
            (
                "spec.keepLogs",
                json!({"objectStores": [], "keepLogs": "history"}),
            ),
        ] {
            let mut value = serde_json::to_value(app()).unwrap();
            value["spec"]["eventLog"] = json!("history");
            for (name, said) in spec.as_object().unwrap() {
                value["spec"][name] = said.clone();
            }
            let mut app: SparkApplication = serde_json::from_value(value).unwrap();
            stores.apply(&mut app).unwrap();
            let told = validate(&app);
            let told: Vec<String> = told.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|it| it.starts_with(field)), "{told:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_named_and_leaves_the_application_as_it_is() {
        let mut changed = app();
        let waits = Stores::default().apply(&mut changed).unwrap_err();
        assert_eq!(
            waits,
            Waits::ForStores(vec![
                "spec.objectStores[0]: the ObjectStore history cannot be used: there is none in this \
                 namespace"
                    .to_owned()
            ])
        );
        assert_eq!(changed, app());
        let waits = Stores::Unserved.apply(&mut changed).unwrap_err();
        assert!(matches!(waits, Waits::ForOperator(_)));
        changed.spec.object_stores.clear();
        assert_eq!(Stores::Unserved.apply(&mut changed), Ok(()));
    }
}
