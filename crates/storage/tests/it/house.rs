//! An API server, the cluster's own controllers, and operators of storage.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use windlass_apiserver::{ApiServer, Config, User};
use windlass_cluster::{Cluster, ClusterConfig};
use windlass_engine::{Engine, QueueConfig, Territory};
use windlass_storage::buckets::{self, object_stores};
use windlass_storage::classes::Settings;
use windlass_storage::classes::controller::Claims;
use windlass_storage::classes::metadata::Endpoints;
use windlass_storage::growth::controller::GrowingClaims;
use windlass_storage::nfs;
use windlass_storage::nfs::controller::Shares;
use windlass_storage::rbac::{
    growth_cluster_role, growth_cluster_role_binding, nfs_role, nfs_role_binding,
    storage_cluster_role, storage_cluster_role_binding,
};
use windlass_trial::mishaps::Script;
use windlass_trial::{Objects, define};

use crate::figures::NearlyFull;

/// The whole.
pub(crate) struct House {
    client: kube::Client,
    operator: kube::Client,
    _cluster: Cluster,
    _server: ApiServer,
    _data: tempfile::TempDir,
}

impl House {
    /// With everything in it but an operator.
    pub(crate) async fn new() -> Self {
        let octet = windlass_trial::loopback_octet();
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            listen: false,
            loopback_octet: octet,
            ..Config::for_tests(data.path().join("api"))
        };
        let server = ApiServer::start(config, Arc::new(NearlyFull))
            .await
            .unwrap();
        let client = server.client(User::component("test"));
        let config = ClusterConfig {
            loopback_octet: octet,
            ca_pem: "the certificate".to_owned(),
            volumes_dir: data.path().join("volumes"),
            job_namespaces: Vec::new(),
            job_manifests: Vec::new(),
            shared_secret: None,
        };
        let cluster = Cluster::start(client.clone(), config).unwrap();
        let rbac = "rbac.authorization.k8s.io/v1";
        let all = |kind, plural| Objects::of_all(&client, rbac, kind, plural);
        let roles = all("ClusterRole", "clusterroles");
        roles.create(storage_cluster_role()).await;
        roles.create(growth_cluster_role()).await;
        let bindings = all("ClusterRoleBinding", "clusterrolebindings");
        let binding = storage_cluster_role_binding("windlass", "operator");
        bindings.create(binding).await;
        let binding = growth_cluster_role_binding("windlass", "operator");
        bindings.create(binding).await;
        let operator = server.client(User::service_account("windlass", "operator"));
        // The provisioner's own class, by which it is known.
        let house = Self {
            client,
            operator,
            _cluster: cluster,
            _server: server,
            _data: data,
        };
        house.classes().until_there("local-path", |_| true).await;
        house
    }

    pub(crate) fn classes(&self) -> Objects {
        let group = "storage.k8s.io/v1";
        Objects::of_all(&self.client, group, "StorageClass", "storageclasses")
    }

    pub(crate) fn drivers(&self) -> Objects {
        let group = "storage.k8s.io/v1";
        Objects::of_all(&self.client, group, "CSIDriver", "csidrivers")
    }

    pub(crate) fn nodes(&self) -> Objects {
        Objects::of_all(&self.client, "v1", "Node", "nodes")
    }

    pub(crate) fn accounts(&self, namespace: &str) -> Objects {
        let kind = "ServiceAccount";
        Objects::of(&self.client, namespace, "v1", kind, "serviceaccounts")
    }

    pub(crate) fn secrets(&self, namespace: &str) -> Objects {
        Objects::of(&self.client, namespace, "v1", "Secret", "secrets")
    }

    pub(crate) fn pods(&self, namespace: &str) -> Objects {
        Objects::of(&self.client, namespace, "v1", "Pod", "pods")
    }

    pub(crate) fn volumes(&self) -> Objects {
        Objects::of_all(&self.client, "v1", "PersistentVolume", "persistentvolumes")
    }

    pub(crate) fn namespaces(&self) -> Objects {
        Objects::of_all(&self.client, "v1", "Namespace", "namespaces")
    }

    pub(crate) fn claims(&self, namespace: &str) -> Objects {
        let kind = "PersistentVolumeClaim";
        Objects::of(
            &self.client,
            namespace,
            "v1",
            kind,
            "persistentvolumeclaims",
        )
    }

    pub(crate) fn events(&self, namespace: &str) -> Objects {
        let version = "events.k8s.io/v1";
        Objects::of(&self.client, namespace, version, "Event", "events")
    }

    /// A new namespace, which wants classes or does not.
    pub(crate) async fn namespace(&self, name: &str, wants: bool) {
        let labels = if wants {
            json!({"windlass.dev/storage-classes": "make"})
        } else {
            json!({})
        };
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        self.namespaces().create(object).await;
    }

    /// Installs a driver.
    pub(crate) async fn install(&self, driver: &str) {
        let object = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
            "metadata": {"name": driver}, "spec": {},
        });
        self.drivers().create(object).await;
    }

    /// Runs an operator of a namespace that asks these metadata services.
    pub(crate) fn operate_asking(
        &self,
        namespace: &str,
        endpoints: Endpoints,
    ) -> impl Future<Output = ()> + Send + use<> {
        let settings = Settings {
            asks_metadata: true,
            ..Settings::default()
        };
        let claims = Claims::asking(settings, endpoints);
        let (client, namespace) = (self.operator.clone(), namespace.to_owned());
        async move { run_operator(client, &namespace, claims).await }
    }

    /// The ObjectStores of a namespace, whose kind is defined.
    pub(crate) async fn object_stores(&self, namespace: &str) -> Objects {
        for crd in windlass_api::storage::crds() {
            define(&self.client, crd).await;
        }
        let version = "banzaicloud.com/v1alpha1";
        let kind = "ObjectStore";
        Objects::of(&self.client, namespace, version, kind, "objectstores")
    }

    /// Runs an operator of a namespace that operates buckets.
    pub(crate) fn operate_buckets(
        &self,
        namespace: &str,
        settings: &buckets::Settings,
    ) -> impl Future<Output = ()> + Send + use<> {
        let stores = object_stores(settings, self.operator.clone());
        let engine = Engine::builder(self.operator.clone())
            .territory(Territory::of_namespaces(vec![namespace.to_owned()]))
            .controller(stores, QueueConfig::default())
            .build();
        async move { engine.unwrap().run(CancellationToken::new()).await.unwrap() }
    }

    /// Runs an operator of a namespace by its script, and another one when that has died of it.
    pub(crate) fn operate(
        &self,
        namespace: &str,
        settings: &Settings,
        script: &Arc<Script>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (client, script) = (self.operator.clone(), Arc::clone(script));
        let (namespace, settings) = (namespace.to_owned(), settings.clone());
        async move {
            let claims = || Claims::new(settings.clone());
            let first = run_operator(script.client(client.clone()), &namespace, claims());
            tokio::select! {
                () = first => {}
                () = script.death.cancelled() => run_operator(client, &namespace, claims()).await,
            }
        }
    }
}

/// Tells a story while an operator works, and then ends the operator. `None` where the story does not end in time.
pub(crate) async fn under<T>(
    patience: Duration,
    operator: impl Future<Output = ()> + Send + 'static,
    story: impl Future<Output = T>,
) -> Option<T> {
    let operator = tokio::spawn(operator);
    let told = tokio::time::timeout(patience, story).await;
    operator.abort();
    let _ = operator.await;
    told.ok()
}

/// What is in the namespace of NFS servers.
pub(crate) struct Servers {
    pub(crate) disks: Objects,
    pub(crate) services: Objects,
    pub(crate) sets: Objects,
}

impl House {
    /// A namespace for NFS servers, in which the operator may make them.
    pub(crate) async fn servers(&self, namespace: &str) -> Servers {
        self.namespace(namespace, false).await;
        let rbac = "rbac.authorization.k8s.io/v1";
        let of =
            |version, kind, plural| Objects::of(&self.client, namespace, version, kind, plural);
        of(rbac, "Role", "roles").create(nfs_role(namespace)).await;
        let binding = nfs_role_binding(namespace, "windlass", "operator");
        of(rbac, "RoleBinding", "rolebindings")
            .create(binding)
            .await;
        Servers {
            disks: self.claims(namespace),
            services: of("v1", "Service", "services"),
            sets: of("apps/v1", "StatefulSet", "statefulsets"),
        }
    }

    /// Runs an operator of a namespace by its script that makes NFS servers in another one, and another
    /// operator when that has died of it.
    pub(crate) fn serve_shares(
        &self,
        namespace: &str,
        home: &str,
        script: &Arc<Script>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (client, script) = (self.operator.clone(), Arc::clone(script));
        let namespace = namespace.to_owned();
        let nfs = nfs::Settings {
            namespace: home.to_owned(),
            image: nfs::server::IMAGE.to_owned(),
            disk_class: None,
            max_size: windlass_storage::nfs::server::MAX_SIZE,
        };
        async move {
            let run = |client| {
                let engine = Engine::builder(client)
                    .territory(Territory::of_namespaces(vec![namespace.clone()]))
                    .controller(
                        Shares::new(nfs.clone(), Settings::default()),
                        QueueConfig::default(),
                    )
                    .build();
                async move { engine.unwrap().run(CancellationToken::new()).await.unwrap() }
            };
            tokio::select! {
                () = run(script.client(client.clone())) => {}
                () = script.death.cancelled() => run(client).await,
            }
        }
    }
}

async fn run_operator(client: kube::Client, namespace: &str, claims: Claims) {
    let engine = Engine::builder(client)
        .territory(Territory::of_namespaces(vec![namespace.to_owned()]))
        .controller(claims, QueueConfig::default())
        .controller(GrowingClaims::default(), QueueConfig::default())
        .build();
    engine.unwrap().run(CancellationToken::new()).await.unwrap();
}

/// A claim of a class.
pub(crate) fn claim(name: &str, class: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "storageClassName": class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}
