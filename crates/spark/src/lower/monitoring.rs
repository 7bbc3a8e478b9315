//! Metrics: a metrics.properties for Spark, and the JMX exporter for Prometheus.
//!
//! Configuration that the application gives, or that is made here, is in one ConfigMap, which
//! driver and executors mount; configuration inside of the image is only referred to.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_api::{
    names::{SUBDOMAIN_MAX, shorten},
    spark::{
        SparkApplication,
        application::{Attempt, MonitoringSpec, PrometheusSpec},
    },
};

use super::{
    Context, common,
    editor::PodEditor,
    identity,
    role::{Kind, Role},
    route::ConfBuilder,
};

const DIRECTORY: &str = "/etc/metrics/conf";
const PROPERTIES: &str = "metrics.properties";
const RULES: &str = "prometheus.yaml";
const VOLUME: &str = "metrics-configmap-volume";
const METRICS_PATH: &str = "/metrics";

/// Every source over JMX, where the exporter finds it.
const DEFAULT_PROPERTIES: &str = "\
*.sink.jmx.class=org.apache.spark.metrics.sink.JmxSink
driver.source.jvm.class=org.apache.spark.metrics.source.JvmSource
executor.source.jvm.class=org.apache.spark.metrics.source.JvmSource
";

/// Names and labels for Spark's MBeans, which begin with the metrics namespace
/// `<namespace>.<application>` and the driver, or the number of the executor.
const DEFAULT_RULES: &str = include_str!("prometheus_rules.yaml");

/// What is measured, and where.
#[derive(Debug, Default)]
pub(super) struct Monitoring {
    driver: bool,
    executor: bool,
    /// Where Spark reads its metrics configuration.
    properties_file: Option<String>,
    exporter: Option<Exporter>,
    files: BTreeMap<&'static str, String>,
    config_map: String,
}

/// The agent that serves metrics.
#[derive(Debug)]
struct Exporter {
    flag: String,
    port: i32,
    port_name: String,
}

impl Monitoring {
    pub(super) fn of(app: &SparkApplication, attempt: &Attempt) -> Self {
        let Some(spec) = &app.spec.monitoring else {
            return Self::default();
        };
        if !spec.expose_driver_metrics && !spec.expose_executor_metrics {
            return Self::default();
        }
        let mut files = BTreeMap::new();
        let properties_file = properties(spec, &mut files);
        let exporter = spec.prometheus.as_ref().map(|it| exporter(it, &mut files));
        let ids = identity::submit_ids(app, attempt);
        let name = app.metadata.name.as_deref().unwrap_or_default();
        Self {
            driver: spec.expose_driver_metrics,
            executor: spec.expose_executor_metrics,
            properties_file,
            exporter,
            files,
            config_map: shorten(&format!("{name}-{}-prom-conf", ids.prefix), SUBDOMAIN_MAX),
        }
    }

    fn exposes(&self, kind: Kind) -> bool {
        match kind {
            Kind::Driver => self.driver,
            Kind::Executor => self.executor,
        }
    }

    /// Makes the settings.
    pub(super) fn settings(&self, context: &Context<'_>, conf: &mut ConfBuilder) {
        if let Some(file) = &self.properties_file {
            conf.set("spark.metrics.conf", file);
            let namespace = format!("{}.{}", context.namespace(), context.name());
            conf.set_default("spark.metrics.namespace", namespace);
        }
        let Some(exporter) = &self.exporter else {
            return;
        };
        for kind in [Kind::Driver, Kind::Executor] {
            if !self.exposes(kind) {
                continue;
            }
            let role = kind.name();
            conf.append(&format!("spark.{role}.extraJavaOptions"), &exporter.flag);
            let annotation =
                |name: &str| format!("spark.kubernetes.{role}.annotation.prometheus.io/{name}");
            conf.set_default(&annotation("scrape"), true);
            conf.set_default(&annotation("port"), exporter.port);
            conf.set_default(&annotation("path"), METRICS_PATH);
        }
    }

    /// Mounts the configuration and opens the port. Executors read the same settings as the
    /// driver, so both need the file even when only one is watched.
    pub(super) fn expose(&self, role: &Role<'_>, pod: &mut PodEditor) {
        if !self.files.is_empty() {
            common::mount_config_map(pod, &self.config_map, VOLUME, DIRECTORY);
        }
        if let Some(exporter) = self.exporter.as_ref().filter(|_| self.exposes(role.kind)) {
            pod.set_port(&exporter.port_name, "TCP", exporter.port);
        }
    }

    /// The ConfigMap, if there is something to put into one.
    pub(super) fn config_map(&self, context: &Context<'_>) -> Option<Value> {
        (!self.files.is_empty()).then(|| {
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": self.config_map, "namespace": context.namespace()},
                "data": self.files,
            })
        })
    }
}

/// The exporter reads JMX, so without a configuration of the user's one for JMX is made.
fn properties(spec: &MonitoringSpec, files: &mut BTreeMap<&'static str, String>) -> Option<String> {
    if let Some(file) = &spec.metrics_properties_file {
        return Some(file.clone());
    }
    let default = spec
        .prometheus
        .as_ref()
        .map(|_| DEFAULT_PROPERTIES.to_owned());
    let content = spec.metrics_properties.clone().or(default)?;
    files.insert(PROPERTIES, content);
    Some(format!("{DIRECTORY}/{PROPERTIES}"))
}

fn exporter(spec: &PrometheusSpec, files: &mut BTreeMap<&'static str, String>) -> Exporter {
    let configuration = spec.config_file.clone().unwrap_or_else(|| {
        let rules = spec.configuration.as_deref().unwrap_or(DEFAULT_RULES);
        files.insert(RULES, rules.to_owned());
        format!("{DIRECTORY}/{RULES}")
    });
    Exporter {
        flag: format!(
            "-javaagent:{}={}:{configuration}",
            spec.jmx_exporter_jar, spec.port
        ),
        port: spec.port,
        port_name: spec.port_name.clone(),
    }
}
