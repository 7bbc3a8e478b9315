//! What a driver pod lacks to be a history server's, and has too much: no executor is ever made, no Kubernetes is
//! asked, and what it serves is a page.
//!
//! It is started as a driver is, by `spark-submit` in client mode: so its settings are read from a file, those whose
//! values are in Secrets come as arguments that only the node knows, and packages are fetched. The history server's
//! own script can do none of these.

use serde_json::{Value, json};
use windlass_api::spark::history::{HISTORY_PORT, HISTORY_PORT_KEY};

use super::role::Role;
use super::server::{container, list, named, probes, resources, stay};
use crate::submission::{Conf, Submission, properties};

/// The role of a history server's pod, in the label `spark-role`.
pub const HISTORY_ROLE: &str = "history-server";
/// What the port of its page is called.
pub(crate) const PORT_NAME: &str = "history-ui";

/// What answers without any event log: "REST API" of Spark's "Monitoring and Instrumentation".
const QUESTION: &str = "/api/v1/version";

/// How long an answer may take: it waits while many event logs are read.
const PATIENCE_SECONDS: u32 = 5;

/// The ports of a driver.
const DRIVER_PORTS: [&str; 4] = [
    "driver-rpc-port",
    "blockmanager",
    "spark-ui",
    "spark-connect",
];

/// Settings that make no sense without executors, or without the API of Kubernetes.
const OF_JOBS: [&str; 8] = [
    "spark.app.",
    "spark.blockManager.",
    "spark.driver.blockManager.",
    "spark.driver.host",
    "spark.driver.port",
    "spark.executor.",
    "spark.kubernetes.",
    "spark.submit.",
];

/// Makes a history server of the finished driver.
pub(super) fn finish(role: &Role<'_>, submission: &mut Submission) {
    let port = port(&submission.conf);
    let template = role.pod.template.as_ref();
    let name = submission.container.clone();
    let pod = &mut submission.driver;
    stay(pod, HISTORY_ROLE);
    if pod["spec"]
        .get("automountServiceAccountToken")
        .is_none_or(Value::is_null)
    {
        pod["spec"]["automountServiceAccountToken"] = json!(false);
    }
    if let Some(spark) = container(pod, &name) {
        if let Some(variables) = list(spark, "env") {
            variables.retain(|it| it["name"] != "SPARK_APPLICATION_ID");
        }
        if spark.get("securityContext").is_none_or(Value::is_null) {
            spark["securityContext"] = json!({"allowPrivilegeEscalation": false});
        }
        ports(spark, port);
        probes(
            spark,
            &json!({"httpGet": {"path": QUESTION, "port": port}, "timeoutSeconds": PATIENCE_SECONDS}),
        );
        if let Some(given) = template.and_then(|template| named(template, &name)) {
            resources(spark, given);
        }
    }
    settings(submission);
}

/// The port of the page.
pub(crate) fn port(conf: &Conf) -> u16 {
    conf.get(HISTORY_PORT_KEY)
        .and_then(|port| port.trim().parse().ok())
        .unwrap_or(HISTORY_PORT)
}

/// Its page is the only one, and stands first: that is where `windlass ui` goes.
fn ports(spark: &mut Value, port: u16) {
    let Some(ports) = list(spark, "ports") else {
        return;
    };
    let of_driver = |it: &Value| DRIVER_PORTS.iter().any(|name| it["name"] == **name);
    ports.retain(|it| !of_driver(it) && it["containerPort"] != port);
    let own = json!({"name": PORT_NAME, "containerPort": port, "protocol": "TCP"});
    ports.insert(0, own);
}

/// Only the file with its settings remains of the objects beside the driver.
fn settings(submission: &mut Submission) {
    let conf = &mut submission.conf;
    conf.retain(|key, _| !OF_JOBS.iter().any(|prefix| key.starts_with(prefix)));
    // Nobody is asked to run anything; Spark's submission wants to know all the same.
    conf.insert("spark.master".to_owned(), "local".to_owned());
    let text = properties::write(conf);
    submission
        .objects
        .retain(|it| it["data"].get("spark.properties").is_some());
    for object in &mut submission.objects {
        object["data"] = json!({"spark.properties": text});
    }
}
