//! The headless Service by which executors find the driver.

use serde_json::{Value, json};

use super::super::SubmitError;
use super::basic::{BLOCK_PORT, CONNECT_PORT, RPC_PORT, UI_PORT};
use super::{Context, Draft};

const BIND_ADDRESS: &str = "spark.driver.bindAddress";
const NOT_READY_ADDRESSES: &str = "spark.kubernetes.driver.service.publishNotReadyAddresses";
const FAMILIES: &str = "spark.kubernetes.driver.service.ipFamilies";
const FAMILY_POLICY: &str = "spark.kubernetes.driver.service.ipFamilyPolicy";

pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let settings = &context.settings;
    if settings.raw(BIND_ADDRESS).is_some() {
        return Err(SubmitError::setting(
            BIND_ADDRESS,
            "is not supported on Kubernetes, where the driver binds to its pod's address: remove it",
        ));
    }
    let policy = one_of(
        context,
        FAMILY_POLICY,
        &["SingleStack", "PreferDualStack", "RequireDualStack"],
    )?;
    let families = one_of(
        context,
        FAMILIES,
        &["IPv4", "IPv6", "IPv4,IPv6", "IPv6,IPv4"],
    )?;
    let rpc = settings.port(RPC_PORT.1)?.unwrap_or(RPC_PORT.2);
    // Unlike the pod, the Service does not look at spark.blockManager.port.
    let block = settings.port(BLOCK_PORT.1)?.unwrap_or(BLOCK_PORT.2);
    let ui = settings.entry_port(UI_PORT.1)?.unwrap_or(UI_PORT.2);
    let mut ports = vec![
        port(RPC_PORT.0, rpc),
        port(BLOCK_PORT.0, block),
        port(UI_PORT.0, ui),
    ];
    if context.profile.connect_port {
        let number = settings.port(CONNECT_PORT.1)?.unwrap_or(CONNECT_PORT.2);
        let mut connect = port(CONNECT_PORT.0, number);
        if context.profile.network_policy {
            connect["appProtocol"] = json!("grpc");
        }
        ports.push(connect);
    }

    let name = context.service_name();
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"spark-app-selector": context.request.ids.app_id}},
        "spec": {
            "clusterIP": "None",
            "ipFamilyPolicy": policy,
            "ipFamilies": families.split(',').collect::<Vec<_>>(),
            "selector": context.labels,
            "ports": ports,
        },
    });
    for (label, value) in settings.below("spark.kubernetes.driver.service.label.") {
        service["metadata"]["labels"][label] = json!(value);
    }
    for (annotation, value) in settings.below("spark.kubernetes.driver.service.annotation.") {
        service["metadata"]["annotations"][annotation] = json!(value);
    }
    if context.profile.explicit_security {
        let published = settings.boolean(NOT_READY_ADDRESSES, false)?;
        service["spec"]["publishNotReadyAddresses"] = json!(published);
    }
    draft.objects.push(service);

    let host = format!("{name}.{}.svc", context.namespace);
    draft.added.insert("spark.driver.host".to_owned(), host);
    draft.added.insert(RPC_PORT.1.to_owned(), rpc.to_string());
    draft
        .added
        .insert(BLOCK_PORT.1.to_owned(), block.to_string());
    Ok(())
}

fn port(name: &str, number: u16) -> Value {
    json!({"name": name, "port": number, "targetPort": number, "protocol": "TCP"})
}

/// A setting with a fixed set of values, the first of which is the default.
fn one_of(context: &Context<'_>, key: &str, values: &[&str]) -> Result<String, SubmitError> {
    match context.settings.text(key)? {
        None => Ok(values[0].to_owned()),
        Some(text) if values.contains(&text.as_str()) => Ok(text),
        Some(text) => Err(SubmitError::setting(
            key,
            format!("{text:?} is not one of {}", values.join(" | ")),
        )),
    }
}
