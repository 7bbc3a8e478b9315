//! A room without members: an API server with the kinds of virtual clusters, and their operator.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use windlass_apiserver::{ApiServer, Config, User};
use windlass_director::controller::{DirectorConfig, clusters, original_apps, original_clusters};
use windlass_director::{rbac, webhook};
use windlass_engine::webhook::{Certificates, WebhookConfig};
use windlass_engine::{Engine, QueueConfig};
use windlass_streaming::backend::NoNode;
use windlass_trial::{Objects, define};

const DEADLINE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The namespace of the operator.
pub(crate) const HOME: &str = "windlass-system";
/// The webhook's configuration and Secret.
const HOOK: &str = "hook";

/// The whole.
pub(crate) struct Room {
    server: ApiServer,
    client: kube::Client,
    stop: CancellationToken,
    _data: tempfile::TempDir,
}

impl Room {
    /// With an operator, which serves no webhook.
    pub(crate) async fn start() -> Self {
        let room = Self::empty().await;
        room.operate(None);
        room
    }

    /// With an operator, whose webhook is asked.
    pub(crate) async fn start_with_webhook() -> Self {
        let room = Self::empty().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        room.configure_webhook(port).await;
        room.operate(Some(WebhookConfig {
            listener,
            certificates: Certificates::Own {
                namespace: HOME.to_owned(),
                secret: HOOK.to_owned(),
                names: vec!["localhost".to_owned()],
                configuration: HOOK.to_owned(),
            },
            routes: vec![webhook::route(HOME)],
        }));
        let configurations = room.all(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
        );
        let is_told = |found: &Value| {
            let bundle = &found["webhooks"][0]["clientConfig"]["caBundle"];
            bundle.as_str().is_some_and(|it| !it.is_empty())
        };
        configurations.until_there(HOOK, is_told).await;
        room.until_webhook_answers().await;
        room
    }

    /// A configuration is in force a moment after it was written.
    async fn until_webhook_answers(&self) {
        let probe = json!({
            "apiVersion": "kubedirector.hpe.com/v1beta1",
            "kind": "KubeDirectorConfig",
            "metadata": {"name": "probe"},
            "spec": {},
        });
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                match self.configs().try_create(&probe).await {
                    Ok(_) => self.configs().delete("probe").await,
                    Err(refused) if refused.contains("metadata.name") => return,
                    Err(_) => {}
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        waited.await.unwrap();
    }

    async fn empty() -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            listen: false,
            loopback_octet: windlass_trial::loopback_octet(),
            ..Config::for_tests(data.path())
        };
        let server = ApiServer::start(config, Arc::new(NoNode)).await.unwrap();
        let client = server.client(User::component("test"));
        let room = Self {
            server,
            client,
            stop: CancellationToken::new(),
            _data: data,
        };
        room.furnish().await;
        room
    }

    async fn furnish(&self) {
        let originals = windlass_api::director::original_crds();
        for crd in windlass_api::director::crds().into_iter().chain(originals) {
            define(&self.client, crd).await;
        }
        for name in [HOME, "team"] {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
            });
            let namespaces = self.all("v1", "Namespace");
            if namespaces.get(name).await.is_none() {
                namespaces.create(namespace).await;
            }
        }
        let group = "rbac.authorization.k8s.io/v1";
        let roles = self.all(group, "ClusterRole");
        let bindings = self.all(group, "ClusterRoleBinding");
        roles.create(rbac::director_cluster_role()).await;
        let binding = rbac::director_cluster_role_binding(HOME, "operator");
        bindings.create(binding).await;
        // What install adds for a webhook.
        let rules = json!([
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
                "verbs": ["get", "update"],
            },
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["update"]},
        ]);
        roles
            .create(json!({
                "apiVersion": group, "kind": "ClusterRole", "metadata": {"name": HOOK},
                "rules": rules,
            }))
            .await;
        let mut binding = json!(rbac::director_cluster_role_binding(HOME, "operator"));
        binding["metadata"]["name"] = json!(HOOK);
        binding["roleRef"]["name"] = json!(HOOK);
        bindings.create(binding).await;
    }

    async fn configure_webhook(&self, port: u16) {
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": HOOK},
            "webhooks": [{
                "name": "admit.windlass.dev",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://localhost:{port}{}", webhook::ADMIT)},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "rules": [{
                    "apiGroups": ["kubedirector.hpe.com"],
                    "apiVersions": ["v1beta1"],
                    "resources": [
                        "kubedirectorapps", "kubedirectorclusters", "kubedirectorconfigs",
                    ],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                }],
            }],
        });
        let group = "admissionregistration.k8s.io/v1";
        let configurations = self.all(group, "MutatingWebhookConfiguration");
        configurations.create(configuration).await;
    }

    fn operate(&self, webhook: Option<WebhookConfig>) {
        let client = self.server.client(User::service_account(HOME, "operator"));
        let config = DirectorConfig {
            home: HOME.to_owned(),
            serves_originals: true,
            serves_budgets: true,
            lets_claims_grow: false,
        };
        let controller = clusters(&config, client.clone());
        let mut builder = Engine::builder(client)
            .controller(controller, QueueConfig::default())
            .controller(original_apps(), QueueConfig::default())
            .controller(original_clusters(), QueueConfig::default());
        if let Some(webhook) = webhook {
            builder = builder.webhook(webhook);
        }
        let engine = builder.build().unwrap();
        let run = engine.run(self.stop.clone());
        tokio::spawn(async move { run.await.unwrap() });
    }

    /// The objects of a kind that is in no namespace.
    pub(crate) fn all(&self, api_version: &str, kind: &str) -> Objects {
        Objects::of_all(&self.client, api_version, kind, &plural(kind))
    }

    /// The objects of a kind in the namespace `team`.
    pub(crate) fn here(&self, api_version: &str, kind: &str) -> Objects {
        objects(&self.client, "team", api_version, kind)
    }

    pub(crate) fn at_home(&self, api_version: &str, kind: &str) -> Objects {
        objects(&self.client, HOME, api_version, kind)
    }

    /// The clusters of `team`, as a user of these groups sees them.
    pub(crate) fn clusters_as(&self, user: User) -> Objects {
        let client = self.server.client(user);
        objects(
            &client,
            "team",
            "kubedirector.hpe.com/v1beta1",
            "KubeDirectorCluster",
        )
    }

    pub(crate) fn clusters(&self) -> Objects {
        self.here("kubedirector.hpe.com/v1beta1", "KubeDirectorCluster")
    }

    pub(crate) fn apps(&self) -> Objects {
        self.here("kubedirector.hpe.com/v1beta1", "KubeDirectorApp")
    }

    pub(crate) fn configs(&self) -> Objects {
        self.at_home("kubedirector.hpe.com/v1beta1", "KubeDirectorConfig")
    }

    pub(crate) fn sets(&self) -> Objects {
        self.here("apps/v1", "StatefulSet")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn objects(client: &kube::Client, namespace: &str, api_version: &str, kind: &str) -> Objects {
    Objects::of(client, namespace, api_version, kind, &plural(kind))
}

fn plural(kind: &str) -> String {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "", kind)).plural
}

/// An application of two roles.
pub(crate) fn app() -> Value {
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorApp",
        "metadata": {"name": "db"},
        "spec": {
            "label": {"name": "Database"},
            "distroID": "example/db",
            "version": "1",
            "configSchemaVersion": 8,
            "defaultImageRepoTag": "example/db:1",
            "roles": [
                {"id": "seed", "cardinality": "1+"},
                {"id": "worker", "cardinality": "0+"},
            ],
            "config": {"selectedRoles": ["seed", "worker"], "roleServices": []},
        },
    })
}

/// A cluster of it, with these fields in its first role.
pub(crate) fn cluster(name: &str, fields: &Value) -> Value {
    let mut seed = json!({
        "id": "seed", "members": 2, "resources": {"limits": {"memory": "1Gi", "cpu": "1"}},
    });
    for (field, value) in fields.as_object().unwrap() {
        seed[field] = value.clone();
    }
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": {"name": name},
        "spec": {"app": "db", "roles": [seed]},
    })
}

/// The message of a condition that has this status.
pub(crate) fn condition<'a>(cluster: &'a Value, kind: &str, status: &str) -> Option<&'a str> {
    let conditions = cluster["status"]["conditions"].as_array()?;
    let mut found = conditions
        .iter()
        .filter(|it| it["type"] == kind && it["status"] == status);
    found.next()?["message"].as_str()
}
