//! The objects every cluster has before anybody asks: namespaces, roles, the API's own Service.

use std::net::{Ipv4Addr, SocketAddrV4};

use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    auth::{RBAC_GROUP, policy},
    metadata,
    server::Server,
    status::ApiError,
    store::{Expect, Key, StoreError, Write},
};

/// The Service of the API itself, and what says where it leads.
const API: &str = "kubernetes";

/// Creates what is missing. All writes are sent at once, so that they share one commit.
pub(crate) async fn run(server: &Server) -> Result<(), ApiError> {
    let objects = objects(server.config.loopback_octet);
    try_join_all(
        objects
            .into_iter()
            .map(|(key, object)| ensure(server, key, object)),
    )
    .await?;
    refresh_aggregates(server).await
}

async fn ensure(server: &Server, key: Key, mut object: Value) -> Result<(), ApiError> {
    if server.store.get(&key).is_some() {
        return Ok(());
    }
    metadata::stamp_new(&mut object);
    match server
        .store
        .commit(key, Expect::Absent, Write::Put(object))
        .await
    {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the rules of aggregating roles into them, for those who read them; authorization
/// itself always aggregates afresh.
pub(crate) async fn refresh_aggregates(server: &Server) -> Result<(), ApiError> {
    for (key, role) in server
        .store
        .list(&crate::store::Scope::new(RBAC_GROUP, "clusterroles", ""))
        .objects
    {
        if role.value()["aggregationRule"].is_null() {
            continue;
        }
        let rules = Value::Array(crate::auth::effective_rules(&server.store, role.value()));
        if role.value()["rules"] == rules {
            continue;
        }
        let mut updated = role.value().clone();
        updated["rules"] = rules;
        let expect = Expect::Revision(role.revision());
        match server.store.commit(key, expect, Write::Put(updated)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn objects(octet: u8) -> Vec<(Key, Value)> {
    let mut objects: Vec<(Key, Value)> =
        ["default", "kube-system", "kube-public", "kube-node-lease"]
            .map(|name| (Key::new("", "namespaces", "", name), namespace(name)))
            .into();
    objects.extend(
        policy::cluster_roles()
            .into_iter()
            .map(|role| cluster_rbac("clusterroles", role)),
    );
    objects.extend(
        policy::cluster_role_bindings()
            .into_iter()
            .map(|binding| cluster_rbac("clusterrolebindings", binding)),
    );
    for (name, value) in [
        ("system-cluster-critical", 2_000_000_000),
        ("system-node-critical", 2_000_001_000),
    ] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name, "generation": 1},
            "value": value,
            "preemptionPolicy": "PreemptLowerPriority",
            "description": "For the cluster's own pods.",
        });
        objects.push((
            Key::new("scheduling.k8s.io", "priorityclasses", "", name),
            class,
        ));
    }
    objects.push((
        Key::new("", "services", "default", API),
        api_service(Ipv4Addr::new(127, octet, 0, 1)),
    ));
    objects
}

/// Says where the API's own Service leads, which is known once the server listens.
pub(crate) async fn publish_address(
    server: &Server,
    address: SocketAddrV4,
) -> Result<(), ApiError> {
    let (ip, port) = (address.ip().to_string(), address.port());
    let port = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let endpoints = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": API,
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": ip}], "ports": port}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": API,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": API},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
        "ports": port,
    });
    try_join_all([
        put(server, Key::new("", "endpoints", "default", API), endpoints),
        put(
            server,
            Key::new("discovery.k8s.io", "endpointslices", "default", API),
            slice,
        ),
    ])
    .await
    .map(drop)
}

/// Creates or replaces an object that is only the server's own. Nobody else writes it, so a
/// conflict means that it is being removed by hand; the next start brings it back.
async fn put(server: &Server, key: Key, mut object: Value) -> Result<(), ApiError> {
    let Some(live) = server.store.get(&key) else {
        return ensure(server, key, object).await;
    };
    object["metadata"] = live.value()["metadata"].clone();
    if object == *live.value() {
        return Ok(());
    }
    let expect = Expect::Revision(live.revision());
    match server.store.commit(key, expect, Write::Put(object)).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn cluster_rbac(plural: &str, object: Value) -> (Key, Value) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    (Key::new(RBAC_GROUP, plural, "", name), object)
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}

/// The server itself listens on this address; the Service is there so that its name resolves.
fn api_service(address: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": API,
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address.to_string(),
            "clusterIPs": [address.to_string()],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    })
}
