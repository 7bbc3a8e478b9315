//! An API server, the cluster's own controllers, an operator, and ways to play everything else.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use windlass_api::spark::original::OldImages;
use windlass_apiserver::{ApiServer, Config, User};
use windlass_cluster::{Cluster, ClusterConfig};
use windlass_engine::metrics::{Format, Metrics};
use windlass_engine::{Engine, QueueConfig, Territory};
use windlass_spark::controller::{
    OperatorConfig, original_spark_application, scheduled_spark_application, spark_application,
    spark_connect, spark_history_server,
};
use windlass_spark::lower::Exposing;
use windlass_spark::rbac;
use windlass_streaming::backend::NoNode;
pub(crate) use windlass_trial::Objects;

const DEADLINE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The user the operator is.
pub(crate) const OPERATOR: &str = "system:serviceaccount:windlass:operator";

/// The whole, and of its namespaces the one named `default`.
pub(crate) struct House {
    pub(crate) server: ApiServer,
    default: Place,
    operator: Option<Operator>,
    _cluster: Cluster,
    _data: tempfile::TempDir,
}

/// A namespace for applications.
#[derive(Clone)]
pub(crate) struct Place {
    client: kube::Client,
    namespace: String,
}

struct Operator {
    task: JoinHandle<()>,
    stop: CancellationToken,
    metrics: Metrics,
}

impl House {
    /// With everything in it but the operator.
    pub(crate) async fn empty() -> Self {
        let octet = windlass_trial::loopback_octet();
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            listen: false,
            loopback_octet: octet,
            ..Config::for_tests(data.path())
        };
        let server = ApiServer::start(config, Arc::new(NoNode)).await.unwrap();
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
        let house = Self {
            server,
            default: Place {
                client,
                namespace: "default".to_owned(),
            },
            operator: None,
            _cluster: cluster,
            _data: data,
        };
        house.furnish().await;
        house
    }

    pub(crate) async fn start() -> Self {
        let mut house = Self::empty().await;
        house.start_operator();
        house
    }

    /// With an operator that serves applications of the first one, too.
    pub(crate) async fn start_with_originals(old_images: OldImages) -> Self {
        let mut house = Self::empty().await;
        house.install(windlass_api::original_crd()).await;
        house.run_operator(&OperatorConfig {
            serves_originals: true,
            old_images,
            ..Self::config()
        });
        house
    }

    /// With an operator that looks after ObjectStores, and may read them.
    pub(crate) async fn start_with_object_stores() -> Self {
        let mut house = Self::empty().await;
        for crd in windlass_api::storage::crds() {
            house.install(crd).await;
        }
        let group = "rbac.authorization.k8s.io";
        let api_version = format!("{group}/v1");
        let named = json!({"name": "stores"});
        let roles = house.all(&api_version, "ClusterRole", "clusterroles");
        let rule = json!({
            "apiGroups": ["banzaicloud.com"], "resources": ["objectstores"],
            "verbs": ["get", "list", "watch"],
        });
        roles
            .create(json!({
                "apiVersion": api_version, "kind": "ClusterRole", "metadata": named, "rules": [rule],
            }))
            .await;
        let bindings = house.all(&api_version, "ClusterRoleBinding", "clusterrolebindings");
        let subject =
            json!({"kind": "ServiceAccount", "namespace": "windlass", "name": "operator"});
        bindings
            .create(json!({
                "apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": named,
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "stores"},
                "subjects": [subject],
            }))
            .await;
        house.run_operator(&OperatorConfig {
            serves_object_stores: true,
            ..Self::config()
        });
        house
    }

    async fn furnish(&self) {
        for crd in windlass_api::crds() {
            self.install(crd).await;
        }
        let group = "rbac.authorization.k8s.io/v1";
        let roles = self.all(group, "ClusterRole", "clusterroles");
        roles
            .create(rbac::operator_cluster_role(&rbac::Extra::ALL))
            .await;
        let bindings = self.all(group, "ClusterRoleBinding", "clusterrolebindings");
        bindings
            .create(rbac::operator_cluster_role_binding("windlass", "operator"))
            .await;
        self.default.furnish().await;
    }

    /// Makes a kind known, and waits until it is served.
    pub(crate) async fn install(&self, crd: Value) {
        windlass_trial::define(&self.client, crd).await;
    }

    /// Adds a kind of somebody else, whatever its fields.
    pub(crate) async fn define_foreign(&self, kind: &windlass_engine::Kind) {
        self.install(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": kind.to_string(),
                "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
            },
            "spec": {
                "group": kind.group,
                "scope": "Namespaced",
                "names": {
                    "kind": kind.kind,
                    "plural": kind.plural,
                    "singular": kind.kind.to_lowercase(),
                    "listKind": format!("{}List", kind.kind),
                },
                "versions": [{
                    "name": kind.version, "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }],
            },
        }))
        .await;
    }

    /// A new namespace, with what applications need in it.
    pub(crate) async fn place(&self, namespace: &str) -> Place {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
        });
        self.namespaces().create(object).await;
        let place = Place {
            client: self.client.clone(),
            namespace: namespace.to_owned(),
        };
        place.furnish().await;
        place
    }

    pub(crate) fn start_operator(&mut self) {
        self.start_operator_that_exposes(Exposing::default());
    }

    pub(crate) fn start_operator_that_exposes(&mut self, exposing: Exposing) {
        self.run_operator(&OperatorConfig {
            exposing,
            ..Self::config()
        });
    }

    fn run_operator(&mut self, config: &OperatorConfig) {
        let stop = CancellationToken::new();
        let engine = Self::engine(self.operator_client(), config);
        let metrics = engine.metrics();
        let run = engine.run(stop.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        self.operator = Some(Operator {
            task,
            stop,
            metrics,
        });
    }

    /// A client with exactly the rights of an operator.
    pub(crate) fn operator_client(&self) -> kube::Client {
        self.server
            .client(User::service_account("windlass", "operator"))
    }

    /// Runs an operator of these namespaces until it is told to stop.
    pub(crate) fn operate(
        client: kube::Client,
        namespaces: &[String],
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let territory = Territory::of_namespaces(namespaces.to_vec());
        Self::operate_in(client, territory, stop)
    }

    /// Runs an operator of this territory until it is told to stop.
    pub(crate) fn operate_in(
        client: kube::Client,
        territory: Territory,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let config = OperatorConfig {
            territory,
            ..Self::config()
        };
        let engine = Self::engine(client, &config);
        async move { engine.run(stop).await.unwrap() }
    }

    fn config() -> OperatorConfig {
        OperatorConfig {
            default_driver_service_account: Some("spark".to_owned()),
            missing_driver_grace: Duration::from_secs(1),
            ..OperatorConfig::default()
        }
    }

    fn engine(client: kube::Client, config: &OperatorConfig) -> Engine {
        let applications = spark_application(config);
        let metrics = applications.metrics();
        let mut builder = Engine::builder(client)
            .territory(config.territory.clone())
            .controller(applications, QueueConfig::default())
            .controller(scheduled_spark_application(config), QueueConfig::default())
            .controller(spark_connect(config), QueueConfig::default())
            .controller(spark_history_server(config), QueueConfig::default());
        if config.serves_originals {
            builder =
                builder.controller(original_spark_application(config), QueueConfig::default());
        }
        let engine = builder.build().unwrap();
        metrics.register(&engine);
        engine
    }

    /// What a scrape of the operator shows.
    pub(crate) fn metrics_page(&self) -> String {
        let operator = self.operator.as_ref().unwrap();
        operator.metrics.encode(Format::Prometheus).unwrap()
    }

    /// The operator dies where it stands.
    pub(crate) async fn kill_operator(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.task.abort();
            let _ = operator.task.await;
        }
    }

    pub(crate) fn all(&self, api_version: &str, kind: &str, plural: &str) -> Objects {
        Objects::of_all(&self.client, api_version, kind, plural)
    }

    pub(crate) fn namespaces(&self) -> Objects {
        self.all("v1", "Namespace", "namespaces")
    }

    /// Gives the operator's account the rights of one that serves the namespaces with a label.
    pub(crate) async fn allow_to_select(&self) {
        let group = "rbac.authorization.k8s.io/v1";
        let (role, binding) = rbac::selecting_cluster_role("windlass", "operator", &[]);
        let roles = self.all(group, "ClusterRole", "clusterroles");
        roles.create(role).await;
        let bindings = self.all(group, "ClusterRoleBinding", "clusterrolebindings");
        bindings.create(binding).await;
    }

    /// Gives a namespace this label, or takes it away.
    pub(crate) async fn label(&self, namespace: &str, label: &str, value: Option<&str>) {
        let patch = json!({"metadata": {"labels": {label: value}}});
        self.namespaces().merge(namespace, patch).await;
    }
}

impl Deref for House {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.default
    }
}

impl Place {
    async fn furnish(&self) {
        let accounts = self.accounts();
        accounts.until("default", Option::is_some).await;
        accounts
            .create(rbac::driver_service_account(&self.namespace, "spark"))
            .await;
    }

    fn named(&self, api_version: &str, kind: &str, plural: &str) -> Objects {
        Objects::of(&self.client, &self.namespace, api_version, kind, plural)
    }

    pub(crate) fn apps(&self) -> Objects {
        self.named(
            "sparkoperator.k8s.io/v1beta2",
            "SparkApplication",
            "sparkapplications",
        )
    }

    /// Applications of the first operator.
    pub(crate) fn originals(&self) -> Objects {
        self.named(
            "spark-operator.k8s.io/v1alpha1",
            "SparkApplication",
            "sparkapplications",
        )
    }

    pub(crate) fn schedules(&self) -> Objects {
        self.named(
            "sparkoperator.k8s.io/v1beta2",
            "ScheduledSparkApplication",
            "scheduledsparkapplications",
        )
    }

    pub(crate) fn connects(&self) -> Objects {
        self.named(
            "sparkoperator.k8s.io/v1alpha1",
            "SparkConnect",
            "sparkconnects",
        )
    }

    pub(crate) fn histories(&self) -> Objects {
        self.named(
            "windlass.dev/v1alpha1",
            "SparkHistoryServer",
            "sparkhistoryservers",
        )
    }

    pub(crate) fn object_stores(&self) -> Objects {
        self.named("banzaicloud.com/v1alpha1", "ObjectStore", "objectstores")
    }

    pub(crate) fn deployments(&self) -> Objects {
        self.named("apps/v1", "Deployment", "deployments")
    }

    pub(crate) fn events(&self) -> Objects {
        self.named("events.k8s.io/v1", "Event", "events")
    }

    pub(crate) fn secrets(&self) -> Objects {
        self.named("v1", "Secret", "secrets")
    }

    pub(crate) fn network_policies(&self) -> Objects {
        self.named("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
    }

    pub(crate) fn pods(&self) -> Objects {
        self.named("v1", "Pod", "pods")
    }

    pub(crate) fn services(&self) -> Objects {
        self.named("v1", "Service", "services")
    }

    /// The revision of everything now.
    pub(crate) async fn revision(&self) -> String {
        self.accounts().revision().await
    }

    /// The objects of any kind.
    pub(crate) fn of_kind(&self, kind: &windlass_engine::Kind) -> Objects {
        self.named(&kind.api_version(), &kind.kind, &kind.plural)
    }

    pub(crate) fn config_maps(&self) -> Objects {
        self.named("v1", "ConfigMap", "configmaps")
    }

    pub(crate) fn policies(&self) -> Objects {
        self.of_kind(&windlass_spark::controller::SPARK_POLICY)
    }

    pub(crate) fn quotas(&self) -> Objects {
        self.named("v1", "ResourceQuota", "resourcequotas")
    }

    pub(crate) fn budgets(&self) -> Objects {
        self.named("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
    }

    /// The PodGroups of Volcano.
    pub(crate) fn pod_groups(&self) -> Objects {
        self.named("scheduling.volcano.sh/v1beta1", "PodGroup", "podgroups")
    }

    pub(crate) fn accounts(&self) -> Objects {
        self.named("v1", "ServiceAccount", "serviceaccounts")
    }

    /// Waits for an event with this reason.
    pub(crate) async fn until_told(&self, reason: &str) {
        let events = self.named("events.k8s.io/v1", "Event", "events");
        let waited = tokio::time::timeout(DEADLINE, async {
            while !events
                .list()
                .await
                .iter()
                .any(|event| event["reason"] == reason)
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        assert!(waited.await.is_ok(), "{reason} was never told");
    }

    /// The application, once it is in this state.
    pub(crate) async fn until_state(&self, name: &str, state: &str) -> Value {
        self.apps()
            .until(name, |app| {
                let state_of = |app: &Value| app["status"]["applicationState"]["state"] == state;
                app.as_ref().is_some_and(state_of)
            })
            .await
    }

    /// The driver pod of this attempt, once it has all it needs to start.
    pub(crate) async fn until_driver(&self, app: &str, attempt: u32) -> Value {
        let number = attempt.to_string();
        let driver = self
            .pods()
            .until(&format!("{app}-driver"), |pod| {
                let label = "sparkoperator.k8s.io/attempt";
                pod.as_ref()
                    .is_some_and(|pod| pod["metadata"]["labels"][label] == number)
            })
            .await;
        self.until_startable(&driver).await;
        driver
    }

    /// Waits until a driver has all it needs to start.
    pub(crate) async fn until_startable(&self, driver: &Value) {
        for volume in driver["spec"]["volumes"].as_array().unwrap() {
            if let Some(name) = volume["configMap"]["name"].as_str() {
                self.config_maps().until(name, Option::is_some).await;
            }
        }
    }

    /// The node starts the Spark container of a driver.
    pub(crate) async fn driver_runs(&self, app: &str) {
        let status = json!({"phase": "Running", "containerStatuses": [container(
            "spark-kubernetes-driver", json!({"running": {"startedAt": "2026-03-01T12:00:00Z"}}),
        )]});
        self.pods()
            .merge_status(&format!("{app}-driver"), json!({ "status": status }))
            .await;
    }

    /// The Spark container of a driver ends.
    pub(crate) async fn driver_exits(&self, app: &str, code: i32) {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let terminated = json!({"terminated": {"exitCode": code, "reason": "Error"}});
        let status = json!({"phase": phase, "containerStatuses": [container(
            "spark-kubernetes-driver", terminated,
        )]});
        self.pods()
            .merge_status(&format!("{app}-driver"), json!({ "status": status }))
            .await;
    }

    /// The driver asks for an executor, which runs at once.
    pub(crate) async fn executor_runs(&self, driver: &Value, id: u32) -> String {
        let label = |name: &str| driver["metadata"]["labels"][name].clone();
        let name = format!("{}-exec-{id}", driver["metadata"]["name"].as_str().unwrap());
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": {
                    "spark-role": "executor",
                    "spark-exec-id": id.to_string(),
                    "spark-app-selector": label("spark-app-selector"),
                    "sparkoperator.k8s.io/app-name": label("sparkoperator.k8s.io/app-name"),
                    "sparkoperator.k8s.io/launched-by-spark-operator": "true",
                },
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Pod", "controller": true,
                    "name": driver["metadata"]["name"], "uid": driver["metadata"]["uid"],
                }],
            },
            "spec": {"containers": [{"name": "spark-kubernetes-executor", "image": "spark"}]},
        });
        self.pods().create(pod).await;
        self.pods()
            .merge_status(&name, json!({"status": {"phase": "Running"}}))
            .await;
        name
    }
}

pub(crate) fn container(name: &str, state: Value) -> Value {
    json!({
        "name": name, "image": "spark", "imageID": "", "ready": false, "restartCount": 0,
        "state": state,
    })
}

/// An application that computes pi.
pub(crate) fn pi(name: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": name},
        "spec": {
            "type": "Python",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "driver": {},
            "executor": {"instances": 2},
        },
    })
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(operator) = &self.operator {
            operator.stop.cancel();
        }
    }
}
