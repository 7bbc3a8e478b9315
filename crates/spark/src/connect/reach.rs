//! Who reaches a server: its Service, its NetworkPolicies, and the Secret of its token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ServicePort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use windlass_api::spark::application::NameKey;
use windlass_api::spark::connect::{CONNECT_NAME_LABEL, ConnectPieces, server_name};
use windlass_engine::Kind;

use super::observed::Entropy;
use crate::lower::server::{SERVER_ROLE, port};
use crate::observe::ROLE;
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
pub(super) fn selector(name: &str) -> Value {
    json!({CONNECT_NAME_LABEL: name, ROLE: SERVER_ROLE})
}

/// The Service in front of the server: the user's, led to the pod, with the ports it lacks.
pub(super) fn service(name: &str, pieces: &ConnectPieces, conf: &Conf) -> Value {
    let mut service = pieces.service.clone().unwrap_or_default();
    service
        .metadata
        .name
        .get_or_insert_with(|| server_name(name));
    service.status = None;
    let spec = service.spec.get_or_insert_default();
    let labels = [(CONNECT_NAME_LABEL, name), (ROLE, SERVER_ROLE)];
    spec.selector = Some(
        labels
            .into_iter()
            .map(|(label, value)| (label.to_owned(), value.to_owned()))
            .collect(),
    );
    let ports = spec.ports.get_or_insert_default();
    for port in own_ports(conf) {
        let is_there = |it: &ServicePort| it.name == port.name || it.port == port.port;
        if !ports.iter().any(is_there) {
            ports.push(port);
        }
    }
    // A Service is plain data, which always has a JSON form.
    serde_json::to_value(service).unwrap_or_default()
}

fn own_ports(conf: &Conf) -> Vec<ServicePort> {
    let make = |name: &str, number: u16| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let set = |key: &str| conf.get(key).and_then(|text| text.trim().parse().ok());
    let mut ports: Vec<ServicePort> = PORTS
        .into_iter()
        .map(|(name, key, default)| make(name, set(key).unwrap_or(default)))
        .collect();
    ports.push(ServicePort {
        app_protocol: Some("grpc".to_owned()),
        ..make(CONNECT_PORT_NAME, port(conf))
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
            &selector(name),
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
