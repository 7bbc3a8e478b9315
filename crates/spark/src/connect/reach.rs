//! Who reaches a server: its Service, its NetworkPolicies, and the Secret of its token.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ServicePort;
use serde_json::{Value, json};
use windlass_api::spark::application::NameKey;
use windlass_api::spark::connect::{CONNECT_NAME_LABEL, ConnectPieces, server_name};
use windlass_engine::Kind;

use super::observed::Entropy;
use crate::lower::server::{SERVER_ROLE, port};
use crate::observe::ROLE;
use crate::standing::{self, service_port};
use crate::submission::Conf;

/// `networkpolicies.networking.k8s.io`.
pub const NETWORK_POLICY: Kind = Kind::namespaced(
    "networking.k8s.io",
    "v1",
    "NetworkPolicy",
    "networkpolicies",
);

/// The ports of a server by the names that users of the Kubeflow operator know: the setting that
/// moves one, and where it is otherwise.
const PORTS: [(&str, &str, u16); 3] = [
    ("driver-rpc", "spark.driver.port", 7078),
    ("blockmanager", "spark.driver.blockManager.port", 7079),
    ("web-ui", "spark.ui.port", 4040),
];
const CONNECT_PORT_NAME: &str = "spark-connect-server";

/// The labels of the server's pod by which it is found.
pub(super) fn selector(name: &str) -> BTreeMap<String, String> {
    let labels = [(CONNECT_NAME_LABEL, name), (ROLE, SERVER_ROLE)];
    labels
        .into_iter()
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .collect()
}

/// The Service in front of the server.
pub(super) fn service(name: &str, pieces: &ConnectPieces, conf: &Conf) -> Value {
    let given = pieces.service.as_ref();
    let service = standing::service(&server_name(name), given, &selector(name), own_ports(conf));
    // A Service is plain data, which always has a JSON form.
    serde_json::to_value(service).unwrap_or_default()
}

fn own_ports(conf: &Conf) -> Vec<ServicePort> {
    let set = |key: &str| conf.get(key).and_then(|text| text.trim().parse().ok());
    let mut ports: Vec<ServicePort> = PORTS
        .into_iter()
        .map(|(name, key, default)| service_port(name, set(key).unwrap_or(default)))
        .collect();
    ports.push(ServicePort {
        app_protocol: Some("grpc".to_owned()),
        ..service_port(CONNECT_PORT_NAME, port(conf))
    });
    ports
}

/// The policies of a server whose network is limited: only some reach it, and only its own pods
/// reach its executors.
pub(super) fn network_policies(name: &str, pieces: &ConnectPieces, conf: &Conf) -> Vec<Value> {
    let Some(peers) = &pieces.peers else {
        return Vec::new();
    };
    let peers = if peers.is_empty() {
        json!([{"podSelector": {}}])
    } else {
        json!(peers)
    };
    let executors = json!({CONNECT_NAME_LABEL: name, ROLE: "executor"});
    let ui = conf
        .get("spark.ui.port")
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(4040_u16);
    let open = [port(conf), ui].map(|port| json!({"port": port, "protocol": "TCP"}));
    let policy = |name: String, pods: &Value, ingress: Value| {
        json!({
            "apiVersion": NETWORK_POLICY.api_version(),
            "kind": NETWORK_POLICY.kind,
            "metadata": {"name": name},
            "spec": {
                "podSelector": {"matchLabels": pods},
                "policyTypes": ["Ingress"],
                "ingress": ingress,
            },
        })
    };
    let own = json!({"podSelector": {"matchLabels": {CONNECT_NAME_LABEL: name}}});
    vec![
        policy(
            server_name(name),
            &json!(selector(name)),
            json!([{"from": peers, "ports": open}, {"from": [own]}]),
        ),
        policy(
            format!("{name}-executors"),
            &executors,
            json!([{"from": [own]}]),
        ),
    ]
}

/// The Secret with a new token.
pub(super) fn token_secret(secret: &NameKey, token: &Entropy) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name},
        "type": "Opaque",
        "data": {secret.key.as_str(): STANDARD.encode(token.reveal())},
    })
}
