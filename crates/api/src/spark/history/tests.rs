use serde_json::json;

use super::*;
use crate::decode::decode;

fn good() -> Value {
    json!({
        "apiVersion": "windlass.dev/v1alpha1",
        "kind": "SparkHistoryServer",
        "metadata": {"name": "jobs", "namespace": "team"},
        "spec": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0", "eventLog": "history"},
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut object = good();
    let mut place = &mut object;
    for step in pointer.trim_start_matches('/').split('/') {
        place = &mut place[step];
    }
    *place = value;
    object
}

fn read(object: &Value) -> SparkHistoryServer {
    decode(object).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(object: &Value) -> Vec<String> {
    let errors = validate(&read(object));
    errors.iter().map(ToString::to_string).collect()
}

fn texts(settings: &BTreeMap<String, ConfValue>) -> Vec<(&str, &str)> {
    let text = |value| ConfValue::text(value).unwrap_or_default();
    settings
        .iter()
        .map(|(key, value)| (key.as_str(), text(value)))
        .collect()
}

#[test]
fn a_few_lines_are_a_server_that_deletes_nothing() {
    assert_eq!(problems(&good()), Vec::<String>::new());
    let server = read(&good());
    assert!(!server.spec.suspend);
    assert_eq!(texts(&server.spec.settings()), []);
    let app = application(&server);
    assert_eq!(app.spec.main_class.as_deref(), Some(HISTORY_CLASS));
    assert_eq!(app.spec.event_log, None, "it writes none");
    let mut by_template = with("/spec/image", Value::Null);
    by_template["spec"]["template"] =
        json!({"spec": {"containers": [{"name": "history", "image": "spark:4.3.0"}]}});
    assert_eq!(problems(&by_template), Vec::<String>::new());
}

#[test]
fn how_long_logs_are_kept_is_said_in_settings_of_sparks_own() {
    let mut object = with("/spec/retention", json!("30d"));
    object["spec"]["maxFilesToRetain"] = json!(10);
    object["spec"]["sparkConf"] = json!({"spark.history.fs.cleaner.maxAge": "1d"});
    assert_eq!(problems(&object), Vec::<String>::new());
    assert_eq!(
        texts(&read(&object).spec.settings()),
        [
            ("spark.history.fs.cleaner.enabled", "true"),
            ("spark.history.fs.cleaner.maxAge", "30d"),
            ("spark.history.fs.eventLog.rolling.maxFilesToRetain", "10"),
        ]
    );
}

#[test]
fn logs_of_a_claim_are_mounted_for_reading_unless_some_are_to_be_deleted() {
    let mut object = with("/spec/eventLog", Value::Null);
    object["spec"]["logClaim"] = json!({"claimName": "logs", "subPath": "spark"});
    assert_eq!(problems(&object), Vec::<String>::new());
    let server = read(&object);
    assert_eq!(
        texts(&server.spec.settings()),
        [(LOG_DIRECTORY_KEY, "file:/spark-events")]
    );
    let app = application(&server);
    assert_eq!(
        app.spec.volumes,
        [json!({"name": "spark-events", "persistentVolumeClaim": {"claimName": "logs"}})]
    );
    let mount = json!({
        "name": "spark-events", "mountPath": "/spark-events", "readOnly": true, "subPath": "spark",
    });
    assert_eq!(app.spec.driver.pod.volume_mounts, [mount]);
    for (field, value) in [
        ("retention", json!("7d")),
        ("maxFilesToRetain", json!(2)),
        (
            "sparkConf",
            json!({"spark.history.fs.cleaner.enabled": "true"}),
        ),
    ] {
        let mut object = object.clone();
        object["spec"][field] = value;
        let mount = application(&read(&object)).spec.driver.pod.volume_mounts;
        assert_eq!(mount[0]["readOnly"], false, "{field}");
    }
}

#[test]
fn what_cannot_be_meant_is_told_by_the_names_of_the_fields() {
    let cases = [
        ("/metadata/name", json!("Jobs")),
        ("/metadata/name", json!("a".repeat(56))),
        ("/spec/sparkVersion", json!("four")),
        ("/spec/image", Value::Null),
        ("/spec/eventLog", Value::Null),
        ("/spec/eventLog", json!("History")),
        ("/spec/logDirectory", json!("s3a://shared/logs")),
        ("/spec/logDirectory", json!("/logs")),
        (
            "/spec/logClaim",
            json!({"claimName": "Logs", "subPath": "../x"}),
        ),
        ("/spec/objectStores", json!(["No"])),
        ("/spec/retention", json!("a month")),
        ("/spec/memory", json!("1Gi")),
        ("/spec/template", json!({"spec": {"nodeSelectors": {}}})),
        ("/spec/service", json!({"spec": {"ports": [{"name": "x"}]}})),
        ("/spec/service", json!({"spec": {"type": "ExternalName"}})),
        (
            "/spec/sparkConf",
            json!({
                "spark.history.fs.logDirectory": "s3a://others",
                "spark.history.ui.port": "0",
                "spark.kubernetes.authenticate.driver.serviceAccountName": "x",
                "spark.kubernetes.container.image": "x",
                "spark.kubernetes.driver.container.image": "x",
                "spark.kubernetes.executor.container.image": "x",
                "spark.kubernetes.driver.master": "x",
            }),
        ),
    ];
    let told = cases.into_iter().map(|(pointer, value)| {
        let problems = problems(&with(pointer, value.clone()));
        assert!(!problems.is_empty(), "{pointer} {value}");
        format!("{pointer}\n  {}\n", problems.join("\n  "))
    });
    insta::assert_snapshot!(told.collect::<String>());
}

#[test]
fn phases_are_written_in_words_and_an_unheard_of_one_is_no_error() {
    for (phase, word) in [
        (HistoryPhase::Pending, "Pending"),
        (HistoryPhase::Starting, "Starting"),
        (HistoryPhase::Ready, "Ready"),
        (HistoryPhase::NotReady, "NotReady"),
        (HistoryPhase::Suspended, "Suspended"),
        (HistoryPhase::Failed, "Failed"),
    ] {
        assert_eq!(serde_json::to_value(phase).unwrap(), word);
        let read: HistoryPhase = serde_json::from_value(json!(word)).unwrap();
        assert_eq!(read, phase);
    }
    let unheard_of: HistoryPhase = serde_json::from_str("\"Paused\"").unwrap();
    assert_eq!(unheard_of, HistoryPhase::Unknown);
}

#[test]
fn a_store_of_a_long_name_has_a_label_of_its_own() {
    assert_eq!(history_of("history"), "history");
    let long = "a".repeat(100);
    let label = history_of(&long);
    assert!(label.len() <= LABEL_MAX);
    assert_ne!(label, history_of(&format!("{long}b")));
}
