//! An API server and the controllers, and ways to wait for what they do.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams,
    PropagationPolicy,
};
use serde_json::Value;
use windlass_apiserver::{ApiServer, Config, User};
use windlass_cluster::{Cluster, ClusterConfig, SharedSecret};
use windlass_streaming::backend::NoNode;

const DEADLINE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Home {
    pub(crate) octet: u8,
    pub(crate) client: kube::Client,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) server: ApiServer,
    pub(crate) data: tempfile::TempDir,
}

impl Home {
    pub(crate) async fn start() -> Self {
        Self::with_jobs(Vec::new()).await
    }

    pub(crate) async fn with_jobs(job_manifests: Vec<Value>) -> Self {
        Self::with(job_manifests, None).await
    }

    pub(crate) async fn with(
        job_manifests: Vec<Value>,
        shared_secret: Option<SharedSecret>,
    ) -> Self {
        let octet = windlass_trial::loopback_octet();
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            listen: false,
            loopback_octet: octet,
            ..Config::for_tests(data.path())
        };
        let server = ApiServer::start(config, Arc::new(NoNode)).await.unwrap();
        let controllers = server.client(User::component("cluster"));
        let config = ClusterConfig {
            loopback_octet: octet,
            ca_pem: "the certificate".to_owned(),
            volumes_dir: data.path().join("volumes"),
            job_namespaces: vec!["default".to_owned()],
            job_manifests,
            shared_secret,
        };
        Self {
            octet,
            client: server.client(User::admin()),
            cluster: Some(Cluster::start(controllers, config).unwrap()),
            server,
            data,
        }
    }

    /// Objects of a kind, in a namespace if one is given.
    pub(crate) fn kind(
        &self,
        api_version: &str,
        kind: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Objects {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let client = self.client.clone();
        Objects(match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        })
    }

    pub(crate) fn config_maps(&self, namespace: &str) -> Objects {
        self.kind("v1", "ConfigMap", "configmaps", Some(namespace))
    }

    pub(crate) fn pods(&self, namespace: &str) -> Objects {
        self.kind("v1", "Pod", "pods", Some(namespace))
    }

    pub(crate) fn namespaces(&self) -> Objects {
        self.kind("v1", "Namespace", "namespaces", None)
    }

    /// Makes a namespace and waits until pods can be made in it.
    pub(crate) async fn namespace(&self, name: &str) {
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        });
        self.namespaces().create(object).await;
        self.furnished(name).await;
    }

    pub(crate) fn deployments(&self, namespace: &str) -> Objects {
        self.kind("apps/v1", "Deployment", "deployments", Some(namespace))
    }

    pub(crate) fn replica_sets(&self, namespace: &str) -> Objects {
        self.kind("apps/v1", "ReplicaSet", "replicasets", Some(namespace))
    }

    pub(crate) fn claims(&self, namespace: &str) -> Objects {
        let plural = "persistentvolumeclaims";
        self.kind("v1", "PersistentVolumeClaim", plural, Some(namespace))
    }

    /// Waits until nothing has been written for a while.
    pub(crate) async fn quiet(&self) {
        let last = Cell::new((0, Instant::now()));
        eventually("nothing is written for half a second", || async {
            let (revision, since) = last.get();
            if self.server.revision() != revision {
                last.set((self.server.revision(), Instant::now()));
            }
            revision == self.server.revision() && since.elapsed() > Duration::from_millis(500)
        })
        .await;
    }

    pub(crate) async fn furnished(&self, namespace: &str) {
        let accounts = self.kind("v1", "ServiceAccount", "serviceaccounts", Some(namespace));
        accounts.until("default", Option::is_some).await;
    }
}

/// The objects of one kind, as raw JSON.
pub(crate) struct Objects(Api<DynamicObject>);

impl Objects {
    /// Creates the object and returns its uid.
    pub(crate) async fn create(&self, object: Value) -> String {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let created = self
            .0
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        created.metadata.uid.unwrap()
    }

    pub(crate) async fn get(&self, name: &str) -> Option<Value> {
        let found = self.0.get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    pub(crate) async fn list(&self) -> Vec<Value> {
        let list = self.0.list(&Default::default()).await.unwrap();
        let values = list.items.into_iter();
        values
            .map(|object| serde_json::to_value(object).unwrap())
            .collect()
    }

    pub(crate) async fn merge(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        self.0
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub(crate) async fn merge_status(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        let patch = Patch::Merge(patch);
        self.0.patch_status(name, &params, &patch).await.unwrap();
    }

    pub(crate) async fn try_merge_status(
        &self,
        name: &str,
        patch: Value,
    ) -> Result<(), kube::Error> {
        let params = PatchParams::default();
        let patch = Patch::Merge(patch);
        self.0.patch_status(name, &params, &patch).await.map(drop)
    }

    pub(crate) async fn delete(&self, name: &str, policy: PropagationPolicy) {
        let params = DeleteParams {
            propagation_policy: Some(policy),
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        self.0.delete(name, &params).await.unwrap();
    }

    /// Waits until the object, or its absence, is as wanted.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&Option<Value>) -> bool) -> Value {
        let mut last = None;
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                last = self.get(name).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        assert!(waited.is_ok(), "{name} stayed {last:#?}");
        last.unwrap_or_default()
    }

    /// Waits until the object is there and as wanted.
    pub(crate) async fn until_it(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until(name, |object| object.as_ref().is_some_and(&wanted))
            .await
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        self.until(name, Option::is_none).await;
    }
}

/// Waits until the condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !holds().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not in time");
}
