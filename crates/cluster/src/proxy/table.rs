//! Which addresses lead to which endpoints. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use windlass_engine::ObjectKey;

use crate::objects::{ClusterIp, EndpointConditions, Service, Slice};

/// What should be listened to, and what cannot be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) routes: BTreeMap<SocketAddr, Route>,
    /// Services that ask for more than there is, with what to tell their owners.
    pub(super) refused: Vec<(ObjectKey, String)>,
}

/// Where connections to one address go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) service: ObjectKey,
    pub(super) endpoints: Vec<SocketAddr>,
    /// How long a client stays with its endpoint.
    pub(super) affinity: Option<Duration>,
}

/// The table of all Services with an address in `network`/16. The Service of the API itself is
/// listened to by the API server.
pub(super) fn table(
    network: Ipv4Addr,
    services: &[(ObjectKey, Arc<Service>)],
    slices: &[(ObjectKey, Arc<Slice>)],
) -> Table {
    let api = ObjectKey::namespaced("default", "kubernetes");
    let mut table = Table::default();
    for (key, service) in services {
        let ClusterIp::Address(address) = &service.cluster_ip else {
            continue;
        };
        if service.external || *key == api {
            continue;
        }
        let Some(address) = in_network(network, address) else {
            let note = format!("clusterIP {address} is not an address of this cluster");
            table.refused.push((key.clone(), note));
            continue;
        };
        let own: Vec<&Slice> = slices
            .iter()
            .filter(|(slice_key, slice)| {
                slice_key.namespace == key.namespace && *slice.service == *key.name
            })
            .map(|(_, slice)| slice.as_ref())
            .collect();
        for port in &service.ports {
            if port.protocol != "TCP" {
                let note = format!(
                    "port {} is {}: the embedded cluster forwards TCP only",
                    port.port, port.protocol
                );
                table.refused.push((key.clone(), note));
                continue;
            }
            let route = Route {
                service: key.clone(),
                endpoints: endpoints(&own, &port.name),
                affinity: service.affinity_seconds.map(Duration::from_secs),
            };
            if let Some(node_port) = port.node_port.filter(|port| *port != 0) {
                let local = SocketAddr::from((Ipv4Addr::LOCALHOST, node_port));
                table.routes.insert(local, route.clone());
            }
            table
                .routes
                .insert(SocketAddr::new(address, port.port), route);
        }
    }
    table
}

fn in_network(network: Ipv4Addr, address: &str) -> Option<IpAddr> {
    let address: Ipv4Addr = address.parse().ok()?;
    (address.octets()[..2] == network.octets()[..2]).then_some(address.into())
}

/// The ready endpoints of the port; when there is none, those that still serve while they leave.
fn endpoints(slices: &[&Slice], port: &str) -> Vec<SocketAddr> {
    let ready = |conditions: EndpointConditions| conditions.ready != Some(false);
    let leaving = |conditions: EndpointConditions| {
        conditions.serving == Some(true) && conditions.terminating == Some(true)
    };
    let found = addresses(slices, port, ready);
    if found.is_empty() {
        return addresses(slices, port, leaving);
    }
    found
}

fn addresses(
    slices: &[&Slice],
    port: &str,
    wanted: impl Fn(EndpointConditions) -> bool,
) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for slice in slices {
        let named = slice.ports.iter().find(|known| known.name == port);
        let Some(number) = named.and_then(|known| known.port) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let address = endpoint
                .addresses
                .first()
                .and_then(|ip| ip.parse::<IpAddr>().ok());
            if let Some(ip) = address
                && wanted(endpoint.conditions)
            {
                found.push(SocketAddr::new(ip, number));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::View;
    use serde_json::{Value, json};

    const NETWORK: Ipv4Addr = Ipv4Addr::new(127, 20, 0, 0);

    fn service(name: &str, spec: Value) -> (ObjectKey, Arc<Service>) {
        let service = Service::read(json!({"metadata": {"uid": name}, "spec": spec})).unwrap();
        (ObjectKey::namespaced("team", name), Arc::new(service))
    }

    fn slice(service: &str, endpoints: Value) -> (ObjectKey, Arc<Slice>) {
        let slice = Slice::read(json!({
            "metadata": {"labels": {"kubernetes.io/service-name": service}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": endpoints,
        }));
        (
            ObjectKey::namespaced("team", format!("{service}-x")),
            Arc::new(slice.unwrap()),
        )
    }

    fn web(cluster_ip: &str) -> Value {
        json!({
            "clusterIP": cluster_ip,
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
        })
    }

    fn lines(table: &Table) -> Vec<String> {
        table
            .routes
            .iter()
            .map(|(address, route)| format!("{address} -> {:?}", route.endpoints))
            .collect()
    }

    #[test]
    fn a_service_leads_to_its_ready_endpoints_from_both_of_its_addresses() {
        let endpoints = json!([
            {"addresses": ["127.20.128.2"], "conditions": {"ready": true}},
            {"addresses": ["127.20.128.1"]},
            {"addresses": ["127.20.128.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        ]);
        let table = table(
            NETWORK,
            &[service("web", web("127.20.0.9"))],
            &[slice("web", endpoints)],
        );
        assert_eq!(
            lines(&table),
            [
                "127.0.0.1:30080 -> [127.20.128.1:8080, 127.20.128.2:8080]",
                "127.20.0.9:80 -> [127.20.128.1:8080, 127.20.128.2:8080]",
            ]
        );
    }

    #[test]
    fn leaving_endpoints_serve_only_when_nobody_else_does() {
        let endpoints = json!([
            {"addresses": ["127.20.128.2"], "conditions": {"ready": false, "serving": false}},
            {"addresses": ["127.20.128.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        ]);
        let spec = json!({"clusterIP": "127.20.0.9", "ports": [{"name": "http", "port": 80}]});
        let table = table(NETWORK, &[service("web", spec)], &[slice("web", endpoints)]);
        assert_eq!(lines(&table), ["127.20.0.9:80 -> [127.20.128.3:8080]"]);
    }

    #[test]
    fn services_without_an_address_of_ours_are_not_listened_to() {
        let mut external = web("127.20.0.8");
        external["type"] = "ExternalName".into();
        let mut udp = web("127.20.0.7");
        udp["ports"][0]["protocol"] = "UDP".into();
        let services = [
            service("headless", web("None")),
            service("foreign", web("10.0.0.1")),
            service("external", external),
            service("udp", udp),
        ];
        let table = table(NETWORK, &services, &[]);
        assert!(table.routes.is_empty());
        let refused: Vec<&str> = table
            .refused
            .iter()
            .map(|(_, note)| note.as_str())
            .collect();
        assert_eq!(
            refused,
            [
                "clusterIP 10.0.0.1 is not an address of this cluster",
                "port 80 is UDP: the embedded cluster forwards TCP only",
            ]
        );
    }
}
