//! Settings whose values are in Secrets.
//!
//! Flow: the node gives the value to the driver container as an environment variable and expands
//! it in the container's arguments, where `--conf key=$(VARIABLE)` hands it to Spark; the driver
//! passes its settings on to executors over Spark's own connection.
//! Guarantee: the value is in no object of the cluster.
//! Caveat: inside of the driver's container it can be seen in the list of processes. Spark's web
//! page and event log leave it out, because the key is added to `spark.redaction.regex`.

use k8s_openapi::api::core::v1::EnvVar;
use windlass_api::spark::application::{SecretKeyRef, SparkApplicationSpec};

use super::{editor::PodEditor, role::from_secret, route::ConfBuilder};

const REDACTION: &str = "spark.redaction.regex";
/// What Spark hides when nothing else is said.
const REDACTED_BY_DEFAULT: &str = "(?i)secret|password|token|access[.]?key";
const HIDDEN_WORDS: [&str; 5] = ["secret", "password", "token", "accesskey", "access.key"];

/// How the keys of settings end that have such a word and name what is no secret.
const HARMLESS_ENDS: [&str; 8] = [
    "name", "path", "file", "provider", "enabled", "class", "regex", "type",
];
/// Settings with a Secret's name in the place of its content.
const REFERENCES: [&str; 2] = [".secrets.", ".secretkeyref."];

/// Settings that look like secrets and are written as plain texts, which everybody can read who may
/// read the application or its ConfigMap.
pub(super) fn in_the_open(spec: &SparkApplicationSpec) -> Vec<String> {
    let looks_secret = |key: &str| {
        let key = key.to_ascii_lowercase();
        HIDDEN_WORDS.iter().any(|word| key.contains(word))
            && !REFERENCES.iter().any(|part| key.contains(part))
            && !HARMLESS_ENDS.iter().any(|end| key.ends_with(end))
    };
    let maps = [
        ("sparkConf", &spec.spark_conf),
        ("hadoopConf", &spec.hadoop_conf),
    ];
    let mut told = Vec::new();
    for (field, map) in maps {
        for (key, value) in map {
            let text = value.text().unwrap_or_default().trim();
            let says_nothing =
                text.is_empty() || text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok();
            if looks_secret(key) && !says_nothing {
                told.push(format!(
                    "spec.{field}[{key}]: is a secret that everybody reads who may read the \
                     application; write valueFrom.secretKeyRef there, and the value into a Secret"
                ));
            }
        }
    }
    told
}

/// Makes sure that Spark does not show the values.
pub(super) fn settings(spec: &SparkApplicationSpec, conf: &mut ConfBuilder) {
    let shown = |key: &String| {
        let key = key.to_ascii_lowercase();
        !HIDDEN_WORDS.iter().any(|word| key.contains(word))
    };
    let keys: Vec<String> = references(spec).map(|(key, _)| key).collect();
    for (key, _) in references(spec) {
        // The value comes with the arguments; a text of the same key would only confuse.
        conf.remove(&key);
    }
    let patterns: Vec<String> = keys
        .into_iter()
        .filter(shown)
        .map(|key| key.replace('.', "[.]"))
        .collect();
    if !patterns.is_empty() {
        let present = conf
            .get(REDACTION)
            .unwrap_or(REDACTED_BY_DEFAULT)
            .to_owned();
        conf.set(REDACTION, format!("{present}|{}", patterns.join("|")));
    }
}

/// Gives the values to the driver.
pub(super) fn deliver(spec: &SparkApplicationSpec, pod: &mut PodEditor) {
    let mut variables: Vec<EnvVar> = Vec::new();
    let mut arguments = Vec::new();
    for (index, (key, source)) in references(spec).enumerate() {
        let name = format!("WINDLASS_CONF_{}", index + 1);
        variables.push(from_secret(&name, &source.name, &source.key));
        arguments.extend(["--conf".to_owned(), format!("{key}=$({name})")]);
    }
    if arguments.is_empty() {
        return;
    }
    pod.set_env(variables);
    // The first argument says that this is a driver; what follows are those of spark-submit.
    let present = pod.spark().args.get_or_insert_default();
    let start = usize::from(!present.is_empty());
    present.splice(start..start, arguments);
}

/// The settings with values in Secrets; those of Hadoop, which come later, win.
fn references(spec: &SparkApplicationSpec) -> impl Iterator<Item = (String, SecretKeyRef)> + use<> {
    let hadoop = spec
        .hadoop_conf
        .iter()
        .map(|(key, value)| (format!("spark.hadoop.{key}"), value));
    let spark = spec
        .spark_conf
        .iter()
        .map(|(key, value)| (key.clone(), value));
    let mut all = std::collections::BTreeMap::new();
    for (key, value) in spark.chain(hadoop) {
        all.insert(key, value.secret().cloned());
    }
    all.into_iter()
        .filter_map(|(key, secret)| Some((key, secret?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::application;
    use super::*;

    #[test]
    fn only_texts_that_are_secrets_are_told_and_never_what_they_say() {
        for (key, value, is_told) in [
            ("spark.hadoop.fs.s3a.secret.key", json!("planted"), true),
            ("spark.hadoop.fs.s3a.access.key", json!("planted"), true),
            ("spark.my.Password", json!("planted"), true),
            ("spark.ssl.keyPassword", json!("planted"), true),
            (
                "spark.hadoop.fs.s3a.secret.key",
                json!({"valueFrom": {"secretKeyRef": {"name": "s3", "key": "planted"}}}),
                false,
            ),
            (
                "spark.kubernetes.driver.secrets.planted",
                json!("/etc/planted"),
                false,
            ),
            (
                "spark.kubernetes.driver.secretKeyRef.A",
                json!("planted:key"),
                false,
            ),
            (
                "spark.kubernetes.kerberos.tokenSecret.name",
                json!("planted"),
                false,
            ),
            (
                "spark.security.credentials.hive.enabled",
                json!("planted"),
                false,
            ),
            ("spark.sql.tokens.most", json!(10), false),
            ("spark.password", json!(""), false),
            ("spark.eventLog.dir", json!("s3a://planted"), false),
        ] {
            let app = application(json!({"sparkConf": {key: value}}));
            let told = in_the_open(&app.spec);
            assert_eq!(!told.is_empty(), is_told, "{key}: {told:?}");
            assert!(
                !told.concat().contains("planted") || key.contains("planted"),
                "{told:?}"
            );
            if is_told {
                assert!(
                    told[0].starts_with(&format!("spec.sparkConf[{key}]: ")),
                    "{told:?}"
                );
            }
        }
    }
}
