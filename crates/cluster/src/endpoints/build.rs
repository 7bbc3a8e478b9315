//! The objects that say where a Service leads. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};
use windlass_engine::ObjectKey;

use super::MANAGER;
use crate::objects::{ClusterIp, Phase, Pod, SERVICE_NAME, Service, ServicePort, TargetPort};

/// Who Endpoints objects say they are kept by.
pub(super) const ENDPOINTS_MANAGER: &str = "endpoint-controller";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// The API allows this many endpoints in one slice.
const SLICE_CAPACITY: usize = 1000;

/// Whether the Service's selector matches the pod.
pub(super) fn selects(service: &Service, pod: &Pod) -> bool {
    !service.selector.is_empty()
        && service
            .selector
            .iter()
            .all(|(label, value)| pod.labels.get(label) == Some(value))
}

/// Whether two states of a pod lead to the same endpoints.
pub(super) fn looks_the_same(old: &Pod, new: &Pod) -> bool {
    old.uid == new.uid
        && old.labels == new.labels
        && old.ip == new.ip
        && old.ready == new.ready
        && old.deleting == new.deleting
        && old.phase == new.phase
        && old.node == new.node
}

/// The EndpointSlices of a Service: pods whose named ports differ are in different slices, and a
/// Service without endpoints has one empty slice. Names follow from the Service's uid.
pub(super) fn slices(
    key: &ObjectKey,
    service: &Service,
    selected: &[(&ObjectKey, &Pod)],
) -> Vec<Value> {
    let mut groups = BTreeMap::<Vec<Port>, Vec<Value>>::new();
    for (pod_key, pod) in selected {
        if let Some(endpoint) = endpoint(key, service, pod_key, pod) {
            groups
                .entry(resolved(service, pod))
                .or_default()
                .push(endpoint);
        }
    }
    if groups.is_empty() {
        return vec![slice(key, service, 0, &[], &[])];
    }
    let mut slices = Vec::new();
    for (ports, endpoints) in &groups {
        for endpoints in endpoints.chunks(SLICE_CAPACITY) {
            slices.push(slice(key, service, slices.len(), ports, endpoints));
        }
    }
    slices
}

/// The Endpoints object of a Service, which older clients read.
pub(super) fn endpoints(service: &Service, selected: &[(&ObjectKey, &Pod)]) -> Value {
    let mut groups = BTreeMap::<Vec<Port>, (Vec<Value>, Vec<Value>)>::new();
    for (key, pod) in selected {
        let Some(ip) = address(pod) else { continue };
        if pod.deleting && !service.publish_not_ready {
            continue;
        }
        let mut address = json!({
            "ip": ip,
            "nodeName": pod.node,
            "targetRef": reference(key, pod),
        });
        if let Some(hostname) = &pod.hostname {
            address["hostname"] = hostname.as_str().into();
        }
        let group = groups.entry(resolved(service, pod)).or_default();
        if pod.ready || service.publish_not_ready {
            group.0.push(address);
        } else {
            group.1.push(address);
        }
    }
    let subsets: Vec<Value> = groups
        .into_iter()
        .map(|(ports, (ready, not_ready))| {
            let mut subset = Map::new();
            for (field, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
                if !addresses.is_empty() {
                    subset.insert(field.to_owned(), addresses.into());
                }
            }
            if !ports.is_empty() {
                let ports: Vec<Value> = ports.iter().map(Port::json).collect();
                subset.insert("ports".to_owned(), ports.into());
            }
            subset.into()
        })
        .collect();
    let mut labels = inherited_labels(service);
    labels.insert(
        "endpoints.kubernetes.io/managed-by".to_owned(),
        ENDPOINTS_MANAGER.into(),
    );
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"labels": labels},
        "subsets": subsets,
    })
}

/// A port as it is reached on a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    name: String,
    number: u16,
    protocol: String,
    app_protocol: Option<String>,
}

impl Port {
    fn json(&self) -> Value {
        let mut port = json!({
            "name": self.name,
            "port": self.number,
            "protocol": self.protocol,
        });
        if let Some(app_protocol) = &self.app_protocol {
            port["appProtocol"] = app_protocol.as_str().into();
        }
        port
    }
}

/// The Service's ports on this pod; a named port the pod does not have is left out.
fn resolved(service: &Service, pod: &Pod) -> Vec<Port> {
    let ports = service.ports.iter().filter_map(|port| {
        Some(Port {
            name: port.name.clone(),
            number: target(port, pod)?,
            protocol: port.protocol.clone(),
            app_protocol: port.app_protocol.clone(),
        })
    });
    ports.collect()
}

fn target(port: &ServicePort, pod: &Pod) -> Option<u16> {
    match &port.target_port {
        // Zero is how an absent number is sometimes written.
        None | Some(TargetPort::Number(0)) => Some(port.port),
        Some(TargetPort::Number(number)) => Some(*number),
        Some(TargetPort::Name(name)) => pod
            .ports
            .iter()
            .find(|declared| declared.name == *name && declared.protocol == port.protocol)
            .map(|declared| declared.container_port),
    }
}

/// Pods that have ended, or have no address yet, lead nowhere.
fn address(pod: &Pod) -> Option<&str> {
    match pod.phase {
        Phase::Live => pod.ip.as_deref(),
        Phase::Ended => None,
    }
}

fn endpoint(key: &ObjectKey, service: &Service, pod_key: &ObjectKey, pod: &Pod) -> Option<Value> {
    let address = address(pod)?;
    let serving = pod.ready;
    let mut endpoint = json!({
        "addresses": [address],
        "conditions": {
            "ready": service.publish_not_ready || (serving && !pod.deleting),
            "serving": serving,
            "terminating": pod.deleting,
        },
        "targetRef": reference(pod_key, pod),
    });
    if let Some(node) = &pod.node {
        endpoint["nodeName"] = node.as_str().into();
    }
    // The pod has a name of its own under this Service.
    if let Some(hostname) = &pod.hostname
        && pod.subdomain.as_deref() == Some(&*key.name)
    {
        endpoint["hostname"] = hostname.as_str().into();
    }
    Some(endpoint)
}

fn reference(key: &ObjectKey, pod: &Pod) -> Value {
    json!({
        "kind": "Pod",
        "namespace": key.namespace.as_deref(),
        "name": &*key.name,
        "uid": pod.uid,
    })
}

fn slice(
    key: &ObjectKey,
    service: &Service,
    index: usize,
    ports: &[Port],
    endpoints: &[Value],
) -> Value {
    let mut labels = inherited_labels(service);
    labels.insert(SERVICE_NAME.to_owned(), (&*key.name).into());
    labels.insert(
        "endpointslice.kubernetes.io/managed-by".to_owned(),
        MANAGER.into(),
    );
    let ports: Vec<Value> = ports.iter().map(Port::json).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-{}", key.name, suffix(&service.uid, index)),
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": "Service",
                "name": &*key.name,
                "uid": service.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": endpoints,
    })
}

/// Endpoints carry the labels of their Service.
fn inherited_labels(service: &Service) -> Map<String, Value> {
    let mut labels: Map<String, Value> = service
        .labels
        .iter()
        .map(|(label, value)| (label.clone(), value.as_str().into()))
        .collect();
    if service.cluster_ip == ClusterIp::Headless {
        labels.insert(HEADLESS.to_owned(), "".into());
    }
    labels
}

/// Five letters and digits in the style of generated names, the same on every run.
fn suffix(uid: &str, index: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hasher = DefaultHasher::new();
    (uid, index).hash(&mut hasher);
    let mut hash = hasher.finish();
    let mut suffix = String::new();
    for _ in 0..5 {
        suffix.push(char::from(ALPHABET[(hash % 27) as usize]));
        hash /= 27;
    }
    suffix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::View;

    fn service(spec: Value) -> Service {
        let object = json!({"metadata": {"uid": "svc-uid", "labels": {"team": "x"}}, "spec": spec});
        Service::read(object).unwrap()
    }

    fn pod(name: &str, ip: &str, ready: bool) -> (ObjectKey, Pod) {
        let object = json!({
            "metadata": {"uid": format!("uid-{name}"), "labels": {"app": "web"}},
            "spec": {
                "nodeName": "node",
                "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}],
            },
            "status": {
                "phase": "Running",
                "podIP": ip,
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            },
        });
        (
            ObjectKey::namespaced("team", name),
            Pod::read(object).unwrap(),
        )
    }

    fn build(service: &Service, pods: &[(ObjectKey, Pod)]) -> (Vec<Value>, Value) {
        let key = ObjectKey::namespaced("team", "web");
        let selected: Vec<_> = pods
            .iter()
            .filter(|(_, pod)| selects(service, pod))
            .map(|(key, pod)| (key, pod))
            .collect();
        (
            slices(&key, service, &selected),
            endpoints(service, &selected),
        )
    }

    fn web() -> Value {
        json!({
            "selector": {"app": "web"}, "clusterIP": "127.20.0.9",
            "ports": [{"name": "main", "port": 80, "targetPort": "http"}],
        })
    }

    #[test]
    fn ready_and_unready_and_leaving_pods_are_told_apart() {
        let mut leaving = pod("leaving", "127.20.128.3", true);
        leaving.1.deleting = true;
        let mut ended = pod("ended", "127.20.128.4", false);
        ended.1.phase = Phase::Ended;
        let mut young = pod("young", "", false);
        young.1.ip = None;
        let pods = [
            pod("ready", "127.20.128.1", true),
            pod("unready", "127.20.128.2", false),
            leaving,
            ended,
            young,
        ];
        insta::assert_json_snapshot!(build(&service(web()), &pods));
    }

    #[test]
    fn unready_pods_are_published_where_the_service_says_so() {
        let mut spec = web();
        spec["publishNotReadyAddresses"] = true.into();
        spec["clusterIP"] = "None".into();
        let mut named = pod("named", "127.20.128.1", false);
        named.1.hostname = Some("db-0".to_owned());
        named.1.subdomain = Some("web".to_owned());
        let (slices, endpoints) = build(&service(spec), &[named]);
        assert_eq!(slices[0]["metadata"]["labels"][HEADLESS], "");
        assert_eq!(slices[0]["endpoints"][0]["conditions"]["ready"], true);
        assert_eq!(slices[0]["endpoints"][0]["conditions"]["serving"], false);
        assert_eq!(slices[0]["endpoints"][0]["hostname"], "db-0");
        assert_eq!(
            endpoints["subsets"][0]["addresses"][0]["ip"],
            "127.20.128.1"
        );
    }

    #[test]
    fn pods_that_name_their_ports_differently_are_in_different_slices() {
        let mut other = pod("other", "127.20.128.2", true);
        other.1.ports[0].container_port = 9090;
        let mut without = pod("without", "127.20.128.3", true);
        without.1.ports.clear();
        let pods = [pod("one", "127.20.128.1", true), other, without];
        let (slices, _) = build(&service(web()), &pods);
        let ports: Vec<&Value> = slices.iter().map(|slice| &slice["ports"]).collect();
        assert_eq!(ports[0], &json!([]));
        assert_eq!(ports[1][0]["port"], 8080);
        assert_eq!(ports[2][0]["port"], 9090);
        let names: std::collections::BTreeSet<&str> = slices
            .iter()
            .map(|slice| slice["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn a_service_without_pods_has_one_empty_slice_of_a_stable_name() {
        let (slices, endpoints) = build(&service(web()), &[]);
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0]["endpoints"], json!([]));
        assert_eq!(endpoints["subsets"], json!([]));
        let (again, _) = build(&service(web()), &[]);
        assert_eq!(slices[0]["metadata"]["name"], again[0]["metadata"]["name"]);
    }

    #[test]
    fn a_large_service_fills_several_slices() {
        let pods: Vec<_> = (0..1500)
            .map(|index| {
                pod(
                    &format!("p{index:04}"),
                    &format!("127.20.{}.{}", 128 + index / 250, index % 250),
                    true,
                )
            })
            .collect();
        let (slices, _) = build(&service(web()), &pods);
        let sizes: Vec<usize> = slices
            .iter()
            .map(|slice| slice["endpoints"].as_array().unwrap().len())
            .collect();
        assert_eq!(sizes, [1000, 500]);
    }
}
