//! The PodMonitor by which a Prometheus that the Prometheus operator runs finds an application's
//! pods.

use serde_json::{Value, json};
use windlass_api::{
    names::{SUBDOMAIN_MAX, shorten},
    spark::{SparkApplication, application::MonitoringSpec},
};

use super::{Exposed, Exposing, NotApplied, Offer, PodMonitors, app_name, beside, setting};

/// The port of the driver's web page in its pod, as Spark names it.
const UI_PORT_NAME: &str = "spark-ui";
/// Where Spark's own servlet serves the driver's metrics when its configuration names no path.
const SERVLET_PATH: &str = "/metrics/prometheus";
const SERVLET: &str = "org.apache.spark.metrics.sink.PrometheusServlet";
/// Where the driver serves its executors' metrics (`spark.ui.prometheus.enabled`).
const EXECUTORS_PATH: &str = "/metrics/executors/prometheus";

/// Adds the PodMonitor of an application that has something to measure.
pub(super) fn add(app: &SparkApplication, settings: &Exposing, made: &mut Exposed) {
    let Some(monitoring) = &app.spec.monitoring else {
        return;
    };
    let endpoints = endpoints(app, monitoring);
    if endpoints.is_empty() {
        return;
    }
    match settings.pod_monitors {
        PodMonitors::Off => {}
        PodMonitors::On(Offer::Served) => made.objects.push(pod_monitor(app, &endpoints)),
        PodMonitors::On(Offer::Missing) => made.not_applied.push(NotApplied {
            field: "--pod-monitors".to_owned(),
            reason: "the cluster does not serve podmonitors.monitoring.coreos.com; install the \
                     Prometheus operator's CustomResourceDefinitions and restart this operator"
                .to_owned(),
        }),
        PodMonitors::On(Offer::Forbidden) => made.not_applied.push(NotApplied {
            field: "--pod-monitors".to_owned(),
            reason: "the operator has no rights for podmonitors.monitoring.coreos.com; apply what \
                     windlass install prints with --pod-monitors, or set podMonitors of the chart, \
                     and restart the operator"
                .to_owned(),
        }),
    }
}

/// A pod without the named port is left out, so one list of endpoints is for both roles.
fn endpoints(app: &SparkApplication, monitoring: &MonitoringSpec) -> Vec<Value> {
    let (driver, executor) = (
        monitoring.expose_driver_metrics,
        monitoring.expose_executor_metrics,
    );
    let mut endpoints = Vec::new();
    let mut add = |port: &str, path: &str| {
        endpoints.push(json!({ "port": port, "path": path }));
    };
    if let Some(exporter) = monitoring
        .prometheus
        .as_ref()
        .filter(|_| driver || executor)
    {
        add(&exporter.port_name, "/metrics");
    }
    let servlet = monitoring
        .metrics_properties
        .as_deref()
        .and_then(servlet_path);
    if let Some(path) = servlet.filter(|_| driver) {
        add(UI_PORT_NAME, &path);
    }
    if executor && setting(app, "spark.ui.prometheus.enabled") == Some("true") {
        add(UI_PORT_NAME, EXECUTORS_PATH);
    }
    endpoints
}

/// Where the driver serves its metrics, if these properties give it the servlet: the class and the
/// path of a sink stand beside each other, for the driver or for every role.
fn servlet_path(properties: &str) -> Option<String> {
    let lines = || {
        properties
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim(), value.trim()))
    };
    let (class, _) = lines().find(|(key, value)| {
        *value == SERVLET && (key.starts_with("*.sink.") || key.starts_with("driver.sink."))
    })?;
    let sink = class.strip_suffix(".class")?;
    let path = format!("{sink}.path");
    let given = lines().find(|(key, _)| *key == path);
    Some(given.map_or(SERVLET_PATH, |(_, path)| path).to_owned())
}

fn pod_monitor(app: &SparkApplication, endpoints: &[Value]) -> Value {
    let name = app_name(app);
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": beside(app, &shorten(&format!("{name}-pod-monitor"), SUBDOMAIN_MAX)),
        "spec": {
            "selector": { "matchLabels": { "sparkoperator.k8s.io/app-name": name } },
            "podTargetLabels": ["sparkoperator.k8s.io/app-name", "spark-role"],
            "podMetricsEndpoints": endpoints,
        },
    })
}
