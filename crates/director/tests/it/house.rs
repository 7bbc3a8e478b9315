//! An API server, the cluster's own controllers, members, and operators of virtual clusters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use windlass_apiserver::{ApiServer, Config, User};
use windlass_cluster::{Cluster, ClusterConfig};
use windlass_director::controller::{DirectorConfig, clusters};
use windlass_director::names::CONFIG_MAP_TYPE_LABEL;
use windlass_director::rbac::{director_cluster_role, director_cluster_role_binding};
use windlass_engine::{Engine, QueueConfig, Territory};
use windlass_trial::mishaps::{Script, complaints, scripts};
use windlass_trial::{Objects, define};

use crate::members::Members;

/// The cluster of every story.
pub(crate) const CLUSTER: &str = "notes";
/// The cluster that shows that an operator has looked around.
pub(crate) const CANARY: &str = "canary";

/// How many lives go on at the same time.
const AT_ONCE: usize = 16;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The whole.
pub(crate) struct House {
    pub(crate) members: Arc<Members>,
    client: kube::Client,
    operator: kube::Client,
    starter: AbortHandle,
    _cluster: Cluster,
    _server: ApiServer,
    _data: tempfile::TempDir,
}

/// A namespace with an application, a cluster, and what that is connected to.
pub(crate) struct Place {
    client: kube::Client,
    pub(crate) namespace: String,
    package: String,
}

impl House {
    /// With everything in it but an operator.
    pub(crate) async fn new() -> Self {
        let octet = windlass_trial::loopback_octet();
        let data = tempfile::tempdir().unwrap();
        let members = Arc::new(Members::new(data.path().join("members")));
        // What is run in members comes over connections that become others.
        let config = Config {
            loopback_octet: octet,
            ..Config::for_tests(data.path().join("api"))
        };
        let server = ApiServer::start(config, Arc::clone(&members) as _)
            .await
            .unwrap();
        let client = server.client(User::component("test"));
        members.know(client.clone());
        let config = ClusterConfig {
            loopback_octet: octet,
            ca_pem: "the certificate".to_owned(),
            volumes_dir: data.path().join("volumes"),
            job_namespaces: Vec::new(),
            job_manifests: Vec::new(),
            shared_secret: None,
        };
        let cluster = Cluster::start(client.clone(), config).unwrap();
        let house = Self {
            members,
            operator: operator(&server),
            starter: tokio::spawn(Members::start_all(client.clone())).abort_handle(),
            client,
            _cluster: cluster,
            _server: server,
            _data: data,
        };
        house.furnish().await;
        house
    }

    async fn furnish(&self) {
        let all = |version, kind, plural| Objects::of_all(&self.client, version, kind, plural);
        for crd in windlass_api::director::crds() {
            define(&self.client, crd).await;
        }
        let rbac = "rbac.authorization.k8s.io/v1";
        let roles = all(rbac, "ClusterRole", "clusterroles");
        roles.create(director_cluster_role()).await;
        let bindings = all(rbac, "ClusterRoleBinding", "clusterrolebindings");
        let binding = director_cluster_role_binding("windlass", "operator");
        bindings.create(binding).await;
    }

    /// A new namespace with all that the story is about but its cluster.
    pub(crate) async fn place(&self, namespace: &str) -> Place {
        let namespaces = Objects::of_all(&self.client, "v1", "Namespace", "namespaces");
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
        });
        namespaces.create(object).await;
        let place = Place {
            client: self.client.clone(),
            namespace: namespace.to_owned(),
            package: format!("file://{}", self.members.package().display()),
        };
        place.apps().create(place.app()).await;
        for name in ["model-1", "model-2"] {
            let labels = json!({CONFIG_MAP_TYPE_LABEL: "model"});
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "labels": labels},
            });
            place.config_maps().create(object).await;
        }
        place
    }

    /// Runs an operator of a namespace by its script, and another one when that has died of it.
    pub(crate) fn operate(
        &self,
        place: &Place,
        script: &Arc<Script>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (client, script) = (self.operator.clone(), Arc::clone(script));
        let namespace = place.namespace.clone();
        async move {
            let first = run_operator(script.client(client.clone()), &namespace);
            tokio::select! {
                () = first => {}
                () = script.death.cancelled() => run_operator(client, &namespace).await,
            }
        }
    }

    /// Lives one life in a namespace of its own under an operator with this script, and says what was wrong
    /// about it.
    pub(crate) async fn lived(
        &self,
        life: &str,
        script: Arc<Script>,
        story: impl AsyncFnOnce(&Place) -> Result<(), String>,
    ) -> Option<String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{life}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let place = self.place(&name).await;
        script.past.set(place.clusters().revision().await).unwrap();
        let operator = tokio::spawn(self.operate(&place, &script));
        let told = story(&place).await;
        operator.abort();
        let _ = operator.await;
        told.err()
    }

    /// Lives a life without trouble, and then with one mishap at each of the points that are tried.
    pub(crate) async fn sweep(
        &self,
        life: &str,
        step: usize,
        story: impl AsyncFn(&Place) -> Result<(), String>,
    ) {
        let usual = Arc::new(Script::default());
        assert_eq!(self.lived(life, Arc::clone(&usual), &story).await, None);
        let scripts = scripts(&usual, step, |_| true);
        let calls = usual.calls.lock().len();
        println!("{life}: {calls} calls, {} points", scripts.len());
        let told = complaints(scripts, AT_ONCE, |script| self.lived(life, script, &story)).await;
        assert!(told.is_empty(), "{}", told.join("\n"));
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.starter.abort();
    }
}

async fn run_operator(client: kube::Client, namespace: &str) {
    let config = DirectorConfig {
        home: namespace.to_owned(),
        serves_originals: false,
        serves_budgets: true,
        lets_claims_grow: false,
    };
    let controller = clusters(&config, client.clone());
    let engine = Engine::builder(client)
        .territory(Territory::of_namespaces(vec![namespace.to_owned()]))
        .controller(controller, QueueConfig::default())
        .build();
    engine.unwrap().run(CancellationToken::new()).await.unwrap();
}

/// A client with exactly the rights of an operator.
fn operator(server: &ApiServer) -> kube::Client {
    let user = User::service_account("windlass", "operator");
    let certificate = server.client_certificate(&user).unwrap();
    let address = server.address().unwrap();
    let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
    let authority = server.ca_certificate().lines();
    let authority: String = authority.filter(|line| !line.starts_with('-')).collect();
    config.root_cert = Some(vec![BASE64_STANDARD.decode(authority).unwrap()]);
    config.auth_info.client_certificate_data =
        Some(BASE64_STANDARD.encode(certificate.certificate));
    config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(certificate.key).into());
    kube::Client::try_from(config).unwrap()
}

impl Place {
    fn app(&self) -> Value {
        json!({
            "apiVersion": "kubedirector.hpe.com/v1beta1",
            "kind": "KubeDirectorApp",
            "metadata": {"name": CLUSTER},
            "spec": {
                "label": {"name": "Notes"},
                "distroID": "test/notes",
                "version": "1",
                "configSchemaVersion": 7,
                "defaultImageRepoTag": "local/host:latest",
                "defaultConfigPackage": {
                    "packageURL": self.package, "useNewSetupLayout": true,
                },
                "services": [],
                "roles": [
                    {"id": "controller", "cardinality": "1"},
                    {"id": "worker", "cardinality": "0+",
                     "drain": {"arguments": ["--decommission"], "timeoutSeconds": 600},
                     "demand": {"roleID": "controller", "arguments": ["--demand"], "periodSeconds": 1}},
                ],
                "config": {"selectedRoles": ["controller", "worker"], "roleServices": []},
            },
        })
    }

    /// A cluster of this name with so many workers.
    pub(crate) fn cluster(name: &str, workers: u32) -> Value {
        let resources = json!({"limits": {"memory": "64Mi", "cpu": "100m"}});
        json!({
            "apiVersion": "kubedirector.hpe.com/v1beta1",
            "kind": "KubeDirectorCluster",
            "metadata": {"name": name},
            "spec": {
                "app": CLUSTER,
                "namingScheme": "CrNameRole",
                "connections": {"configmaps": ["model-1"]},
                "roles": [
                    {"id": "controller", "members": 1, "resources": resources},
                    {"id": "worker", "members": workers, "resources": resources},
                ],
            },
        })
    }

    fn named(&self, version: &str, kind: &str, plural: &str) -> Objects {
        Objects::of(&self.client, &self.namespace, version, kind, plural)
    }

    fn apps(&self) -> Objects {
        let version = "kubedirector.hpe.com/v1beta1";
        self.named(version, "KubeDirectorApp", "kubedirectorapps")
    }

    fn config_maps(&self) -> Objects {
        self.named("v1", "ConfigMap", "configmaps")
    }

    pub(crate) fn clusters(&self) -> Objects {
        let version = "kubedirector.hpe.com/v1beta1";
        self.named(version, "KubeDirectorCluster", "kubedirectorclusters")
    }

    pub(crate) fn pods(&self) -> Objects {
        self.named("v1", "Pod", "pods")
    }

    pub(crate) fn sets(&self) -> Objects {
        self.named("apps/v1", "StatefulSet", "statefulsets")
    }

    pub(crate) fn services(&self) -> Objects {
        self.named("v1", "Service", "services")
    }

    pub(crate) fn secrets(&self) -> Objects {
        self.named("v1", "Secret", "secrets")
    }

    pub(crate) fn accounts(&self) -> Objects {
        self.named("v1", "ServiceAccount", "serviceaccounts")
    }

    pub(crate) fn claims(&self) -> Objects {
        self.named("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
    }

    pub(crate) fn budgets(&self) -> Objects {
        self.named("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
    }

    /// Changes the specification of the cluster.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut spec = self.clusters().get(CLUSTER).await.unwrap()["spec"].take();
        change(&mut spec);
        self.clusters()
            .merge(CLUSTER, json!({ "spec": spec }))
            .await;
    }

    /// The pods of the cluster, once it is as it is specified to be. The error is how it stood when
    /// patience ended.
    pub(crate) async fn settled(&self) -> Result<Vec<Value>, String> {
        let mut last = Value::Null;
        let settled = tokio::time::timeout(PATIENCE, async {
            loop {
                last = self.clusters().get(CLUSTER).await.unwrap_or_default();
                if is_settled(&last) {
                    return self.members_of(CLUSTER).await;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        let settled = settled.await;
        settled.map_err(|_| format!("it does not settle: {:#}", last["status"]))
    }

    /// The pods of a cluster.
    pub(crate) async fn members_of(&self, cluster: &str) -> Vec<Value> {
        let mut pods = self.pods().list().await;
        let label = windlass_director::names::CLUSTER_LABEL;
        pods.retain(|pod| pod["metadata"]["labels"][label] == cluster);
        pods
    }

    /// Waits until there is nothing of the cluster any more. The error is what stays.
    pub(crate) async fn vanished(&self) -> Result<(), String> {
        let mut left = Vec::new();
        let vanished = tokio::time::timeout(PATIENCE, async {
            loop {
                left = self.of_cluster().await;
                if left.is_empty() {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        vanished.await.map_err(|_| format!("{left:?} stay"))
    }

    /// The names of all objects of the cluster.
    async fn of_cluster(&self) -> Vec<String> {
        let kinds = [
            self.clusters(),
            self.sets(),
            self.pods(),
            self.services(),
            self.secrets(),
            self.budgets(),
            self.claims(),
        ];
        let mut names = Vec::new();
        for kind in kinds {
            let objects = kind.list().await;
            let all = objects
                .iter()
                .filter_map(|it| it["metadata"]["name"].as_str());
            names.extend(all.filter(|it| it.contains(CLUSTER)).map(str::to_owned));
        }
        names
    }
}

fn is_settled(cluster: &Value) -> bool {
    let status = &cluster["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|it| it["type"] == "Ready");
    status["state"] == "configured"
        && status["observedGeneration"] == cluster["metadata"]["generation"]
        && ready.any(|it| it["status"] == "True")
}
