//! The Service in front of the driver's web page.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_api::{
    names::{LABEL_MAX, shorten},
    spark::{SparkApplication, application::ServiceType},
};

use crate::submission::Conf;

const DEFAULT_PORT: u16 = 4040;
const DEFAULT_PORT_NAME: &str = "spark-driver-ui-port";

/// The Service that leads to the web page of the application's driver, whichever attempt it is.
/// The settings say where the driver serves it, and whether it does at all.
pub fn ui_service(app: &SparkApplication, conf: &Conf) -> Option<Value> {
    let enabled = conf
        .get("spark.ui.enabled")
        .is_none_or(|value| value.trim() != "false");
    enabled.then(|| service(app, conf))
}

fn service(app: &SparkApplication, conf: &Conf) -> Value {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let options = app.spec.spark_ui_options.clone().unwrap_or_default();
    let target: u16 = conf
        .get("spark.ui.port")
        .and_then(|port| port.trim().parse().ok())
        .unwrap_or(DEFAULT_PORT);
    let kind = match options.service_type {
        None | Some(ServiceType::ClusterIP) => "ClusterIP",
        Some(ServiceType::NodePort) => "NodePort",
        Some(ServiceType::LoadBalancer) => "LoadBalancer",
        Some(ServiceType::ExternalName) => "ExternalName",
    };
    let mut labels = BTreeMap::from([
        ("sparkoperator.k8s.io/app-name".to_owned(), name.to_owned()),
        (
            "sparkoperator.k8s.io/created-by-spark-operator".to_owned(),
            "true".to_owned(),
        ),
    ]);
    labels.extend(options.service_labels);
    let mut metadata = json!({
        "name": shorten(&format!("{name}-ui-svc"), LABEL_MAX),
        "namespace": app.metadata.namespace.as_deref().unwrap_or("default"),
        "labels": labels,
    });
    if !options.service_annotations.is_empty() {
        metadata["annotations"] = json!(options.service_annotations);
    }
    if let Some(uid) = &app.metadata.uid {
        metadata["ownerReferences"] = json!([{
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "name": name,
            "uid": uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": kind,
            "selector": {
                "sparkoperator.k8s.io/app-name": name,
                "spark-role": "driver",
            },
            "ports": [{
                "name": options.service_port_name.as_deref().unwrap_or(DEFAULT_PORT_NAME),
                "protocol": "TCP",
                "port": options.service_port.unwrap_or_else(|| target.into()),
                "targetPort": target,
            }],
        },
    })
}
