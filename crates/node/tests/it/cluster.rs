//! A cluster of one API server and one node, for tests of whole pods.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};
use windlass_apiserver::{ApiServer, Config, User};
use windlass_node::images::ImageConfig;
use windlass_node::{
    ApiEndpoint, CapacityOverrides, LoopbackOctet, Node, NodeConfig, NodeStreams, Orphans,
};
use windlass_streaming::backend::ContainerRef;

use crate::support::DEADLINE;

/// Tests of one process run at once; each cluster has a network of its own.
static NEXT_OCTET: AtomicU8 = AtomicU8::new(100);

pub(crate) struct TestCluster {
    pub(crate) client: Client,
    pub(crate) streams: Arc<NodeStreams>,
    config: NodeConfig,
    node: Option<Node>,
    _server: ApiServer,
    _data: tempfile::TempDir,
}

impl TestCluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(ImageConfig::default()).await
    }

    pub(crate) async fn start_with(images: ImageConfig) -> Self {
        let data = tempfile::tempdir().unwrap();
        let octet = NEXT_OCTET.fetch_add(1, Ordering::Relaxed);
        let config = NodeConfig {
            name: "here".to_owned(),
            data_dir: data.path().join("node"),
            loopback: LoopbackOctet::new(octet).unwrap(),
            exe: PathBuf::from(env!("CARGO_BIN_EXE_windlass-shim")),
            images,
            api: ApiEndpoint {
                host: [127, octet, 0, 1].into(),
                port: 443,
            },
            capacity: CapacityOverrides::default(),
            orphans: Orphans::GoOn,
        };
        let streams = NodeStreams::new(&config);
        let server_config = Config {
            loopback_octet: octet,
            listen: false,
            ..Config::for_tests(data.path().join("api"))
        };
        let server = ApiServer::start(server_config, Arc::clone(&streams) as _)
            .await
            .unwrap();
        let client = server.client(User::new("admin", ["system:masters"]));
        let account = json!({"metadata": {"name": "default"}});
        let account: ServiceAccount = serde_json::from_value(account).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        accounts
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
        let mut cluster = Self {
            client,
            streams,
            config,
            node: None,
            _server: server,
            _data: data,
        };
        cluster
            .create_map("kube-root-ca.crt", &[("ca.crt", "a certificate")])
            .await;
        cluster.start_node().await;
        cluster
    }

    pub(crate) async fn start_node(&mut self) {
        let streams = Arc::clone(&self.streams);
        let node = Node::start(self.client.clone(), self.config.clone(), streams).await;
        self.node = Some(node.unwrap());
    }

    pub(crate) async fn stop_node(&mut self) {
        self.node.take().unwrap().shutdown().await;
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(crate) async fn create_map(&self, name: &str, data: &[(&str, &str)]) {
        let data: std::collections::BTreeMap<_, _> = data.iter().copied().collect();
        let map = json!({"metadata": {"name": name}, "data": data});
        let map: ConfigMap = serde_json::from_value(map).unwrap();
        self.api::<ConfigMap>()
            .create(&PostParams::default(), &map)
            .await
            .unwrap();
    }

    /// Creates a pod of the given spec, bound to the node.
    pub(crate) async fn create(&self, name: &str, mut spec: Value) -> Pod {
        spec["nodeName"] = json!("here");
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                if container["image"].is_null() {
                    container["image"] = json!("local/host:latest");
                }
            }
        }
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.api()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap()
    }

    /// A pod with one container that runs a shell script.
    pub(crate) async fn script(&self, name: &str, script: &str) -> Pod {
        let command = ["sh", "-c", script];
        let container = json!({"name": "main", "command": command});
        self.create(
            name,
            json!({"restartPolicy": "Never", "containers": [container]}),
        )
        .await
    }

    /// Waits until the pod is as wanted.
    pub(crate) async fn until(&self, name: &str, wanted: fn(&Pod) -> bool) -> Pod {
        let condition = move |pod: Option<&Pod>| pod.is_some_and(wanted);
        let wait = await_condition(self.api(), name, condition);
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(pod) => pod.unwrap().unwrap(),
            Err(_) => {
                let pod = self.api::<Pod>().get_opt(name).await.unwrap();
                let status = pod.map(|pod| serde_json::to_string_pretty(&pod.status).unwrap());
                panic!(
                    "still waiting for {name}: {status:?}\n{}",
                    self.events(name).await
                )
            }
        }
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        let condition = |pod: Option<&Pod>| pod.is_none();
        let wait = await_condition(self.api(), name, condition);
        tokio::time::timeout(DEADLINE, wait)
            .await
            .expect("the pod must go")
            .unwrap();
    }

    pub(crate) async fn delete(&self, name: &str, grace: u32) {
        self.api::<Pod>()
            .delete(name, &DeleteParams::default().grace_period(grace))
            .await
            .unwrap();
    }

    /// The whole log of a container.
    pub(crate) async fn log(&self, pod: &Pod, container: &str) -> String {
        use futures::StreamExt as _;
        use windlass_streaming::backend::{LogOptions, NodeBackend as _};
        let container = container_of(pod, container);
        let chunks = self
            .streams
            .logs(container, LogOptions::default())
            .await
            .unwrap();
        let chunks: Vec<_> = chunks.map(Result::unwrap).collect().await;
        String::from_utf8(chunks.concat()).unwrap()
    }

    /// The reasons of the pod's events, with their messages.
    pub(crate) async fn events(&self, name: &str) -> String {
        let params = ListParams::default().fields(&format!("involvedObject.name={name}"));
        let events = self.api::<Event>().list(&params).await.unwrap();
        let line = |event: &Event| {
            let reason = event.reason.as_deref().unwrap_or_default();
            format!(
                "{reason}: {}\n",
                event.message.as_deref().unwrap_or_default()
            )
        };
        events.iter().map(line).collect()
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // First the agent, which would replace a shim that leaves.
        drop(self.node.take());
        // Shims whose pod is gone kill their containers and leave.
        let pods = std::fs::read_dir(self.config.data_dir.join("pods"));
        for pod in pods.into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(pod.path().join("pod.json"));
        }
    }
}

pub(crate) fn container_of(pod: &Pod, container: &str) -> ContainerRef {
    ContainerRef {
        namespace: pod.metadata.namespace.clone().unwrap(),
        pod: pod.metadata.name.clone().unwrap(),
        uid: pod.metadata.uid.clone().unwrap(),
        container: container.to_owned(),
    }
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}
