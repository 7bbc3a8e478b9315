//! What the controllers keep of the objects they share: the fields they decide by, and no more.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeSelector, Taint, Toleration};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_engine::Kind;

use crate::life::{Life, Meta};
use crate::mirror::View;
use crate::resources::{Resources, pod_requests};

pub(crate) type Labels = BTreeMap<String, String>;

pub(crate) const SERVICE: Kind = Kind::SERVICE;
pub(crate) const SLICE: Kind =
    Kind::namespaced("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
pub(crate) const ENDPOINTS: Kind = Kind::namespaced("", "v1", "Endpoints", "endpoints");
pub(crate) const NAMESPACE: Kind = Kind::cluster("", "v1", "Namespace", "namespaces");
pub(crate) const NODE: Kind = Kind::cluster("", "v1", "Node", "nodes");
pub(crate) const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");
pub(crate) const SERVICE_ACCOUNT: Kind =
    Kind::namespaced("", "v1", "ServiceAccount", "serviceaccounts");
/// The label that binds a slice to its Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    /// Creation time; RFC 3339 in UTC sorts as text.
    pub(crate) created: String,
    pub(crate) deleting: bool,
    pub(crate) labels: Labels,
    pub(crate) node: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) ready: bool,
    pub(crate) ip: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) subdomain: Option<String>,
    /// The named ports of its containers.
    pub(crate) ports: Vec<NamedPort>,
    /// The PersistentVolumeClaims it mounts.
    pub(crate) claims: Vec<String>,
    /// Those of them that are made for it and go with it, each with its template.
    pub(crate) ephemeral: Vec<(String, Value)>,
    pub(crate) demands: Demands,
    /// All but the labels, which are above.
    pub(crate) meta: Meta,
    pub(crate) life: Life,
}

/// What a pod asks of its node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Demands {
    pub(crate) scheduler: String,
    pub(crate) gated: bool,
    pub(crate) priority: i64,
    pub(crate) requests: Resources,
    pub(crate) node_selector: Labels,
    pub(crate) node_affinity: Option<NodeSelector>,
    pub(crate) tolerations: Vec<Toleration>,
    /// What its status says about scheduling.
    pub(crate) verdict: Option<Condition>,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not ended yet.
    #[default]
    Live,
    /// Succeeded or failed; it holds nothing any more.
    Ended,
}

/// A port a container has given a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamedPort {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) container_port: u16,
    #[serde(default = "tcp")]
    pub(crate) protocol: String,
}

/// A condition of a status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) last_transition_time: Option<Timestamp>,
}

impl View for Pod {
    const KIND: Kind = Kind::POD;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let mut meta = Meta::read(&object)?;
        let conditions: Vec<Condition> = field(&object, "/status/conditions")?;
        let condition = |kind: &str| conditions.iter().find(|condition| condition.kind == kind);
        let phase = match text(&object, "/status/phase").as_deref() {
            Some("Succeeded" | "Failed") => Phase::Ended,
            _ => Phase::Live,
        };
        let mut ports = Vec::new();
        let containers: Vec<Value> = field(&object, "/spec/containers")?;
        for container in &containers {
            let declared: Vec<NamedPort> = field(container, "/ports")?;
            ports.extend(declared.into_iter().filter(|port| !port.name.is_empty()));
        }
        let volumes = object.pointer("/spec/volumes").and_then(Value::as_array);
        let volumes = volumes.into_iter().flatten();
        let ephemeral: Vec<(String, Value)> = volumes
            .clone()
            .filter_map(|volume| {
                let template = volume.pointer("/ephemeral/volumeClaimTemplate")?;
                let pod = object.pointer("/metadata/name")?.as_str()?;
                let volume = text(volume, "/name")?;
                Some((format!("{pod}-{volume}"), template.clone()))
            })
            .collect();
        let claims = volumes
            .filter_map(|volume| text(volume, "/persistentVolumeClaim/claimName"))
            .chain(ephemeral.iter().map(|(claim, _)| claim.clone()));
        Ok(Self {
            claims: claims.collect(),
            ephemeral,
            uid: meta.uid.clone(),
            created: meta.created.clone(),
            deleting: meta.deleting,
            labels: std::mem::take(&mut meta.labels),
            node: text(&object, "/spec/nodeName"),
            phase,
            ready: condition("Ready").is_some_and(|ready| ready.status == "True"),
            ip: text(&object, "/status/podIP"),
            hostname: text(&object, "/spec/hostname"),
            subdomain: text(&object, "/spec/subdomain"),
            ports,
            meta,
            life: Life::read(&object, &conditions)?,
            demands: Demands {
                scheduler: text(&object, "/spec/schedulerName")
                    .unwrap_or_else(|| "default-scheduler".to_owned()),
                gated: object
                    .pointer("/spec/schedulingGates")
                    .and_then(Value::as_array)
                    .is_some_and(|gates| !gates.is_empty()),
                priority: field::<i64>(&object, "/spec/priority")?,
                requests: object.get("spec").map(pod_requests).unwrap_or_default(),
                node_selector: field(&object, "/spec/nodeSelector")?,
                node_affinity: field(
                    &object,
                    "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
                )?,
                tolerations: field(&object, "/spec/tolerations")?,
                verdict: condition("PodScheduled").cloned(),
            },
        })
    }
}

/// A node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) labels: Labels,
    pub(crate) unschedulable: bool,
    pub(crate) taints: Vec<Taint>,
    pub(crate) allocatable: Resources,
}

impl View for Node {
    const KIND: Kind = NODE;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let allocatable = object
            .pointer("/status/allocatable")
            .or_else(|| object.pointer("/status/capacity"));
        Ok(Self {
            labels: field(&object, "/metadata/labels")?,
            unschedulable: field(&object, "/spec/unschedulable")?,
            taints: field(&object, "/spec/taints")?,
            allocatable: Resources::read(allocatable.and_then(Value::as_object)),
        })
    }
}

/// A namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Namespace {
    pub(crate) deleting: bool,
}

impl View for Namespace {
    const KIND: Kind = NAMESPACE;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        Ok(Self {
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
        })
    }
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Service {
    pub(crate) uid: String,
    pub(crate) labels: Labels,
    /// Empty: whoever made the Service keeps its endpoints.
    pub(crate) selector: Labels,
    pub(crate) cluster_ip: ClusterIp,
    pub(crate) external: bool,
    pub(crate) publish_not_ready: bool,
    pub(crate) ports: Vec<ServicePort>,
    /// Whether, and for how many seconds, a client stays with its endpoint.
    pub(crate) affinity_seconds: Option<u64>,
}

/// The virtual address of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ClusterIp {
    /// Not allocated (yet).
    #[default]
    Absent,
    /// None on purpose.
    Headless,
    /// This one.
    Address(String),
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServicePort {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default = "tcp")]
    pub(crate) protocol: String,
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) target_port: Option<TargetPort>,
    #[serde(default)]
    pub(crate) node_port: Option<u16>,
    #[serde(default)]
    pub(crate) app_protocol: Option<String>,
}

/// Which port of a pod a Service port leads to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum TargetPort {
    Number(u16),
    Name(String),
}

impl View for Service {
    const KIND: Kind = SERVICE;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let cluster_ip = match text(&object, "/spec/clusterIP").as_deref() {
            None | Some("") => ClusterIp::Absent,
            Some("None") => ClusterIp::Headless,
            Some(address) => ClusterIp::Address(address.to_owned()),
        };
        let sticky = text(&object, "/spec/sessionAffinity").as_deref() == Some("ClientIP");
        let seconds: Option<u64> = field(
            &object,
            "/spec/sessionAffinityConfig/clientIP/timeoutSeconds",
        )?;
        Ok(Self {
            uid: text(&object, "/metadata/uid").unwrap_or_default(),
            labels: field(&object, "/metadata/labels")?,
            selector: field(&object, "/spec/selector")?,
            cluster_ip,
            external: text(&object, "/spec/type").as_deref() == Some("ExternalName"),
            publish_not_ready: field(&object, "/spec/publishNotReadyAddresses")?,
            ports: field(&object, "/spec/ports")?,
            affinity_seconds: sticky.then(|| seconds.unwrap_or(10_800)),
        })
    }
}

/// An EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slice {
    pub(crate) uid: String,
    /// The Service it belongs to.
    pub(crate) service: String,
    pub(crate) manager: String,
    pub(crate) ports: Vec<SlicePort>,
    pub(crate) endpoints: Vec<SliceEndpoint>,
}

/// A port of all endpoints of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SlicePort {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) port: Option<u16>,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SliceEndpoint {
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    #[serde(default)]
    pub(crate) conditions: EndpointConditions,
}

/// What is known of an endpoint; absent is unknown, which counts as ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct EndpointConditions {
    pub(crate) ready: Option<bool>,
    pub(crate) serving: Option<bool>,
    pub(crate) terminating: Option<bool>,
}

impl View for Slice {
    const KIND: Kind = SLICE;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let labels: Labels = field(&object, "/metadata/labels")?;
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        Ok(Self {
            uid: text(&object, "/metadata/uid").unwrap_or_default(),
            service: label(SERVICE_NAME),
            manager: label("endpointslice.kubernetes.io/managed-by"),
            ports: field(&object, "/ports")?,
            endpoints: field(&object, "/endpoints")?,
        })
    }
}

pub(crate) fn field<T: DeserializeOwned + Default>(
    object: &Value,
    pointer: &str,
) -> Result<T, serde_json::Error> {
    match object.pointer(pointer) {
        Some(value) => T::deserialize(value),
        None => Ok(T::default()),
    }
}

pub(crate) fn text(object: &Value, pointer: &str) -> Option<String> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn tcp() -> String {
    "TCP".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_read_with_the_defaults_of_absent_fields() {
        let pod = Pod::read(json!({
            "metadata": {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "a", "ports": [
                {"containerPort": 80},
                {"name": "http", "containerPort": 8080},
            ]}]},
        }))
        .unwrap();
        assert_eq!(pod.demands.scheduler, "default-scheduler");
        assert_eq!(pod.phase, Phase::Live);
        assert_eq!(pod.created, "2026-01-01T00:00:00Z");
        assert_eq!(pod.ports.len(), 1, "{:?}", pod.ports);
        assert_eq!(pod.ports[0].protocol, "TCP");
        assert!(!pod.ready);
    }

    #[test]
    fn a_service_says_whether_it_has_an_address() {
        let service = |spec: Value| Service::read(json!({"spec": spec})).unwrap();
        assert_eq!(service(json!({})).cluster_ip, ClusterIp::Absent);
        let headless = service(json!({"clusterIP": "None"}));
        assert_eq!(headless.cluster_ip, ClusterIp::Headless);
        let sticky = service(json!({"sessionAffinity": "ClientIP"}));
        assert_eq!(sticky.affinity_seconds, Some(10_800));
        let named = service(json!({"ports": [{"port": 80, "targetPort": "web"}]}));
        let target = named.ports[0].target_port.clone();
        assert_eq!(target, Some(TargetPort::Name("web".to_owned())));
    }
}
