//! Services in front of a driver.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_api::spark::{SparkApplication, application::ServiceType};

use super::{app_name, beside};

/// The port of a Service, and where it leads.
pub(super) struct Port<'a> {
    pub(super) name: &'a str,
    pub(super) number: i32,
    pub(super) target: i32,
}

/// A Service that leads to the application's driver, whichever attempt it is.
pub(super) fn service(
    app: &SparkApplication,
    name: &str,
    port: &Port<'_>,
    kind: Option<ServiceType>,
    (labels, annotations): (&BTreeMap<String, String>, &BTreeMap<String, String>),
) -> Value {
    let kind = match kind {
        None | Some(ServiceType::ClusterIP) => "ClusterIP",
        Some(ServiceType::NodePort) => "NodePort",
        Some(ServiceType::LoadBalancer) => "LoadBalancer",
        Some(ServiceType::ExternalName) => "ExternalName",
    };
    let mut metadata = beside(app, name);
    for (label, value) in labels {
        // The operator finds its objects by its own.
        if metadata["labels"].get(label).is_none() {
            metadata["labels"][label] = json!(value);
        }
    }
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": kind,
            "selector": {
                "sparkoperator.k8s.io/app-name": app_name(app),
                "spark-role": "driver",
            },
            "ports": [{
                "name": port.name,
                "protocol": "TCP",
                "port": port.number,
                "targetPort": port.target,
            }],
        },
    })
}
