//! How members are reached: the headless Service that names them, a Service for each, and how many of
//! them may be taken away at once.

use serde_json::{Value, json};
use windlass_api::director::app::Service;

use super::{extend, headless_labels, metadata, role_selector, stamp};
use crate::blueprint::{Blueprint, Role};
use crate::names::{HEADLESS_LABEL, Names, POD_NAME_LABEL, label_value};

/// A Service needs a port, and nobody uses that of the headless one.
const UNUSED_PORT: u16 = 8888;
/// What the name of a port begins with when its service has no URL scheme.
const GENERIC: &str = "generic";

/// The Service that gives members their names. They have them before they are ready, since scripts
/// that make them ready look for each other.
pub fn headless_service(blueprint: &Blueprint, names: &Names) -> Value {
    let mut metadata = metadata(blueprint, &names.headless, None);
    extend(&mut metadata["labels"], headless_labels(blueprint));
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": {HEADLESS_LABEL: label_value(&blueprint.name)},
            "ports": [{"name": "port", "port": UNUSED_PORT}],
        },
    });
    stamp(&mut service);
    service
}

/// The Service of one member; a role that serves nothing at a port has none.
pub fn member_service(
    blueprint: &Blueprint,
    names: &Names,
    role: &Role,
    ordinal: u32,
) -> Option<Value> {
    let ports = role.ports();
    if ports.is_empty() {
        return None;
    }
    let pod = names.pod(&role.id, ordinal);
    let mut metadata = metadata(blueprint, &names.scheme.member_service(&pod), Some(role));
    let own = metadata["labels"].take();
    let settings = &blueprint.settings;
    metadata["labels"] = json!(role.spec.service_labels);
    extend(&mut metadata["labels"], settings.service_labels.clone());
    extend(
        &mut metadata["labels"],
        own.as_object().cloned().unwrap_or_default(),
    );
    let own = metadata["annotations"].take();
    metadata["annotations"] = json!(role.spec.service_annotations);
    extend(
        &mut metadata["annotations"],
        settings.service_annotations.clone(),
    );
    extend(
        &mut metadata["annotations"],
        own.as_object().cloned().unwrap_or_default(),
    );
    let ports = ports.into_iter().filter_map(|it| port(it, names));
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": blueprint.service_type.as_str(),
            "publishNotReadyAddresses": true,
            "selector": {POD_NAME_LABEL: pod},
            "ports": ports.collect::<Vec<Value>>(),
        },
    });
    stamp(&mut service);
    Some(service)
}

fn port(service: &Service, names: &Names) -> Option<Value> {
    let endpoint = service.endpoint.as_ref()?;
    let name = match names.scheme {
        crate::names::Scheme::Original => format!("port-{}", endpoint.port),
        _ => {
            let scheme = endpoint.url_scheme.as_deref().unwrap_or(GENERIC);
            format!("{scheme}-{}", service.id)
        }
    };
    Some(json!({"name": name, "port": endpoint.port, "targetPort": endpoint.port}))
}

/// How many members of a role may be away while nodes are emptied, where somebody says so.
pub fn budget(blueprint: &Blueprint, names: &Names, role: &Role) -> Option<Value> {
    let budget = role.budget.as_ref()?;
    let mut spec = json!(budget);
    spec["selector"] = json!({"matchLabels": role_selector(blueprint, role)});
    let mut object = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(blueprint, &names.budget(&role.id), Some(role)),
        "spec": spec,
    });
    stamp(&mut object);
    Some(object)
}
