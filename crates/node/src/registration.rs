//! The Node object and the Lease that says it is alive.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use kube::api::Patch;
use kube::{Api, Client};
use serde_json::json;

use crate::config::{NodeConfig, NodeError, patching, posting};
use crate::proc::boot_id;

/// How often the Lease is renewed, and for how long a renewal counts: the kubelet's numbers.
const RENEW: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;
/// Where node Leases live.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Pods at once, unless configured.
const DEFAULT_PODS: u32 = 250;

/// What the machine has, or what the configuration says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Thousandths of a core.
    pub(crate) cpu_millis: u64,
    /// Bytes.
    pub(crate) memory_bytes: u64,
    /// Pods at once.
    pub(crate) pods: u32,
}

impl Capacity {
    /// Looks at the machine.
    pub(crate) fn of_machine(config: &NodeConfig) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        let overrides = config.capacity;
        Self {
            cpu_millis: overrides.cpu_millis.unwrap_or(cores * 1000),
            memory_bytes: overrides.memory_bytes.unwrap_or_else(total_memory),
            pods: overrides.pods.unwrap_or(DEFAULT_PODS),
        }
    }

    fn resources(self) -> BTreeMap<String, Quantity> {
        let cpu = if self.cpu_millis.is_multiple_of(1000) {
            (self.cpu_millis / 1000).to_string()
        } else {
            format!("{}m", self.cpu_millis)
        };
        [
            ("cpu", cpu),
            ("memory", format!("{}Ki", self.memory_bytes / 1024)),
            ("pods", self.pods.to_string()),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Quantity(text)))
        .collect()
    }
}

fn total_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .unwrap_or_default();
    let kib: u64 = line
        .split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    kib * 1024
}

/// Creates or updates the Node object; returns its uid.
pub(crate) async fn register(
    client: &Client,
    config: &NodeConfig,
    capacity: Capacity,
) -> Result<String, NodeError> {
    let api: Api<Node> = Api::all(client.clone());
    let labels: BTreeMap<String, String> = [
        ("kubernetes.io/hostname", config.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("node.windlass.dev/kind", "process"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    let node = Node {
        metadata: ObjectMeta {
            name: Some(config.name.clone()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        ..Node::default()
    };
    match api.create(&posting(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
            api.patch(&config.name, &patching(), &patch)
                .await
                .map_err(NodeError::api("label the Node object"))?;
        }
        Err(error) => return Err(NodeError::api("create the Node object")(error)),
    }
    let status = json!({"status": status(config, capacity, Timestamp::now())});
    let written = api
        .patch_status(&config.name, &patching(), &Patch::Merge(status))
        .await
        .map_err(NodeError::api("write the Node's status"))?;
    Ok(written.metadata.uid.unwrap_or_default())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn status(config: &NodeConfig, capacity: Capacity, now: Timestamp) -> NodeStatus {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    NodeStatus {
        capacity: Some(capacity.resources()),
        allocatable: Some(capacity.resources()),
        conditions: Some(vec![
            condition(
                "MemoryPressure",
                "False",
                "NotMeasured",
                "the node does not evict pods",
            ),
            condition(
                "DiskPressure",
                "False",
                "NotMeasured",
                "the node does not evict pods",
            ),
            condition(
                "PIDPressure",
                "False",
                "NotMeasured",
                "the node does not evict pods",
            ),
            condition(
                "Ready",
                "True",
                "KubeletReady",
                "the node runs pods as local processes",
            ),
        ]),
        addresses: Some(vec![
            NodeAddress {
                type_: "InternalIP".to_owned(),
                address: "127.0.0.1".to_owned(),
            },
            NodeAddress {
                type_: "Hostname".to_owned(),
                address: config.name.clone(),
            },
        ]),
        daemon_endpoints: Some(NodeDaemonEndpoints::default()),
        node_info: Some(NodeSystemInfo {
            // Machines without firmware to ask are known by the same id twice, as the kubelet has it.
            system_uuid: machine_id(),
            machine_id: machine_id(),
            boot_id: boot_id(),
            kernel_version: text(uname.release()),
            os_image: os_name(),
            container_runtime_version: format!("windlass://{}", env!("CARGO_PKG_VERSION")),
            kubelet_version: format!("v{}+windlass", env!("CARGO_PKG_VERSION")),
            kube_proxy_version: String::new(),
            operating_system: "linux".to_owned(),
            architecture: architecture().to_owned(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

fn machine_id() -> String {
    let text = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    text.trim().to_owned()
}

fn os_name() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

/// Renews the node's Lease until dropped.
pub(crate) async fn keep_alive(client: Client, name: String, uid: String) {
    let api: Api<Lease> = Api::namespaced(client, LEASE_NAMESPACE);
    loop {
        if let Err(error) = renew(&api, &name, &uid).await {
            tracing::debug!(%error, "the node's lease was not renewed");
        }
        tokio::time::sleep(RENEW).await;
    }
}

async fn renew(api: &Api<Lease>, name: &str, uid: &str) -> kube::Result<()> {
    let now = MicroTime(Timestamp::now());
    let patch = Patch::Merge(json!({"spec": {"renewTime": now, "holderIdentity": name}}));
    match api.patch(name, &patching(), &patch).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(LEASE_NAMESPACE.to_owned()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: name.to_owned(),
                uid: uid.to_owned(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.to_owned()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    };
    api.create(&posting(), &lease).await.map(drop)
}
