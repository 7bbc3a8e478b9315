//! Namespaces: what each of them holds from the start, and how one goes away.
//!
//! Every namespace has ServiceAccount `default`, ConfigMap `kube-root-ca.crt`, and the Secret that all share
//! if there is one; job namespaces also have the manifests that jobs run with. A namespace that is being deleted is swept: when
//! nothing is left in it, the finalizer `kubernetes` goes, and with it the namespace.

mod sweep;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use kube::api::PropagationPolicy;
use parking_lot::Mutex;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use windlass_engine::kind::Scope;
use windlass_engine::plan::ObjectRef;
use windlass_engine::{Kind, ObjectKey};

use crate::api::{Api, CallError};
use crate::catalog::Catalog;
use crate::mirror::{Mirror, View};
use crate::objects::{NAMESPACE, Namespace, SECRET, SERVICE_ACCOUNT};
use crate::queue::Queue;
use crate::{ClusterConfig, ClusterError, EVERY_NAMESPACE, SharedSecret};
use sweep::Findings;

const ROOT_CA: &str = "kube-root-ca.crt";
/// How soon a namespace that still has content is swept again.
const SWEEP_AGAIN: Duration = Duration::from_millis(300);

/// What namespaces hold.
pub(crate) struct Contents {
    pub(crate) ca_pem: String,
    pub(crate) job_namespaces: Vec<String>,
    pub(crate) job_objects: Vec<JobObject>,
    pub(crate) secret: Option<SharedSecret>,
}

/// An object that every job namespace has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobObject {
    kind: Kind,
    name: String,
    manifest: Value,
}

impl JobObject {
    /// The object of a namespace. Accounts that a binding names without a namespace are its own.
    fn of(&self, namespace: &str) -> Value {
        let mut manifest = self.manifest.clone();
        let subjects = manifest
            .get_mut("subjects")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        for subject in subjects.filter(|it| it["namespace"] == "") {
            subject["namespace"] = namespace.into();
        }
        manifest
    }
}

/// Reads the job manifests of the configuration.
pub(crate) fn job_objects(config: &ClusterConfig) -> Result<Vec<JobObject>, ClusterError> {
    let read = |(index, manifest): (usize, &Value)| {
        let wrong = |reason| ClusterError::JobManifest { index, reason };
        let text = |pointer| manifest.pointer(pointer).and_then(Value::as_str);
        let api_version = text("/apiVersion").ok_or(wrong("apiVersion is missing"))?;
        let kind = text("/kind").ok_or(wrong("kind is missing"))?;
        let name = text("/metadata/name").ok_or(wrong("metadata.name is missing"))?;
        if text("/metadata/namespace").is_some() {
            return Err(wrong("metadata.namespace must be absent"));
        }
        Ok(JobObject {
            kind: Kind::of(&ObjectRef {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: Some(String::new()),
                name: name.to_owned(),
            }),
            name: name.to_owned(),
            manifest: manifest.clone(),
        })
    };
    config.job_manifests.iter().enumerate().map(read).collect()
}

/// Keeps namespaces.
pub(crate) struct Keeper {
    api: Api,
    catalog: Arc<Catalog>,
    spaces: Arc<Mirror<Namespace>>,
    accounts: Arc<Mirror<DefaultAccount>>,
    root_cas: Arc<Mirror<RootCa>>,
    /// Where there is a Secret that all share, those of its name.
    secrets: Option<Arc<Mirror<SecretSeen>>>,
    queue: Arc<Queue<Arc<str>>>,
    contents: Contents,
    furnished: Mutex<HashSet<Arc<str>>>,
    ready: watch::Sender<bool>,
}

impl Keeper {
    pub(crate) fn new(
        api: Api,
        catalog: Arc<Catalog>,
        spaces: Arc<Mirror<Namespace>>,
        contents: Contents,
    ) -> Self {
        let queue = Arc::new(Queue::new());
        let accounts = Mirror::selected(Some("metadata.name=default".to_owned()));
        let root_cas = Mirror::selected(Some(format!("metadata.name={ROOT_CA}")));
        let secrets = contents.secret.as_ref().map(|secret| {
            let secrets = Mirror::selected(Some(format!("metadata.name={}", secret.name)));
            let wake = Arc::clone(&queue);
            secrets.listen(move |change| wake.extend(change.key.namespace.as_ref()));
            secrets
        });
        let wake = Arc::clone(&queue);
        spaces.listen(move |change| wake.push(Arc::clone(&change.key.name)));
        let wake = Arc::clone(&queue);
        accounts.listen(move |change| wake.extend(change.key.namespace.as_ref()));
        let wake = Arc::clone(&queue);
        root_cas.listen(move |change| wake.extend(change.key.namespace.as_ref()));
        Self {
            api,
            catalog,
            spaces,
            accounts,
            root_cas,
            secrets,
            queue,
            contents,
            furnished: Mutex::default(),
            ready: watch::Sender::new(false),
        }
    }

    /// Becomes true once every job namespace that exists holds what it should.
    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    pub(crate) async fn run(self) {
        let client = self.api.client();
        let accounts = Arc::clone(&self.accounts).run(client.clone());
        let root_cas = Arc::clone(&self.root_cas).run(client.clone());
        let secrets = self.secrets.clone();
        let secrets = async move {
            if let Some(secrets) = secrets {
                secrets.run(client.clone()).await;
            }
        };
        let work = async {
            self.spaces.synced().await;
            self.accounts.synced().await;
            self.root_cas.synced().await;
            if let Some(secrets) = &self.secrets {
                secrets.synced().await;
            }
            self.note_readiness();
            self.queue.work("namespaces", |name| self.pass(name)).await;
        };
        tokio::join!(accounts, root_cas, secrets, work);
    }

    async fn pass(&self, name: Arc<str>) -> Result<Option<Duration>, CallError> {
        match self.spaces.get(&ObjectKey::cluster(Arc::clone(&name))) {
            None => Ok(None),
            Some(space) if space.deleting => self.sweep(&name).await,
            Some(_) => {
                self.furnish(&name).await?;
                self.furnished.lock().insert(name);
                self.note_readiness();
                Ok(None)
            }
        }
    }

    fn note_readiness(&self) {
        let furnished = self.furnished.lock();
        let is_done = |job: &String| {
            let space = self.spaces.get(&ObjectKey::cluster(job.as_str()));
            space.is_none_or(|space| space.deleting) || furnished.contains(job.as_str())
        };
        if self.contents.job_namespaces.iter().all(is_done) {
            self.ready.send_replace(true);
        }
    }

    /// Sees to it that a namespace holds what it should.
    async fn furnish(&self, name: &Arc<str>) -> Result<(), CallError> {
        let account = ObjectKey::namespaced(Arc::clone(name), "default");
        if self.accounts.get(&account).is_none() {
            let object = json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default"},
            });
            self.api
                .create(&SERVICE_ACCOUNT, Some(name), &object)
                .await?;
        }
        let root_ca = ObjectKey::namespaced(Arc::clone(name), ROOT_CA);
        let current = self.root_cas.get(&root_ca);
        if current.is_none_or(|current| current.pem != self.contents.ca_pem) {
            let object = root_ca_object(&self.contents.ca_pem);
            self.api.apply(&Kind::CONFIG_MAP, &root_ca, &object).await?;
        }
        if let (Some(secret), Some(seen)) = (&self.contents.secret, &self.secrets) {
            let key = ObjectKey::namespaced(Arc::clone(name), secret.name.as_str());
            let current = seen.get(&key);
            if current.is_none_or(|current| !current.has(secret)) {
                self.api
                    .apply(&SECRET, &key, &secret_object(secret))
                    .await?;
            }
        }
        let is_job_namespace = |job: &String| match job.as_str() {
            EVERY_NAMESPACE => !name.starts_with("kube-"),
            job => *job == **name,
        };
        if self.contents.job_namespaces.iter().any(is_job_namespace) {
            for object in &self.contents.job_objects {
                let key = ObjectKey::namespaced(Arc::clone(name), object.name.as_str());
                self.api.apply(&object.kind, &key, &object.of(name)).await?;
            }
        }
        Ok(())
    }

    /// Deletes what is in the namespace, reports what is left, and lets it go when nothing is.
    async fn sweep(&self, name: &Arc<str>) -> Result<Option<Duration>, CallError> {
        let key = ObjectKey::cluster(Arc::clone(name));
        let mut findings = Findings::default();
        match self.catalog.look().await {
            Ok(kinds) => {
                for kind in kinds.iter().filter(|kind| kind.scope == Scope::Namespaced) {
                    if let Err(error) = self.sweep_kind(name, kind, &mut findings).await {
                        findings.failed(kind, &error.to_string());
                    }
                }
            }
            Err(error) => findings.undiscovered(&error.to_string()),
        }
        let Some(live) = self.api.get(&NAMESPACE, &key).await? else {
            return Ok(None);
        };
        if live.pointer("/metadata/deletionTimestamp").is_none() {
            // Another namespace of that name: the watch will show it.
            return Ok(None);
        }
        if findings.is_clear() {
            return self.release(&key, live).await.map(|()| None);
        }
        let known = live.pointer("/status/conditions").unwrap_or(&Value::Null);
        if let Some(conditions) = findings.conditions(known, Timestamp::now()) {
            let patch = json!({"status": {"conditions": conditions}});
            self.api.merge_status(&NAMESPACE, &key, &patch).await?;
        }
        Ok(Some(SWEEP_AGAIN))
    }

    async fn sweep_kind(
        &self,
        namespace: &Arc<str>,
        kind: &Kind,
        findings: &mut Findings,
    ) -> Result<(), CallError> {
        let objects = match self.api.list_metadata(kind, namespace).await {
            Ok(objects) => objects,
            // The kind went away between the two calls.
            Err(CallError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for object in &objects {
            let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
            let (Some(name), Some(uid)) = (text("/metadata/name"), text("/metadata/uid")) else {
                continue;
            };
            if text("/metadata/deletionTimestamp").is_none() {
                let key = ObjectKey::namespaced(Arc::clone(namespace), name);
                self.api
                    .delete(kind, &key, uid, PropagationPolicy::Background)
                    .await?;
            }
            findings.found(kind, object);
        }
        Ok(())
    }

    /// Takes the finalizer away; the API server removes the namespace.
    async fn release(&self, key: &ObjectKey, mut live: Value) -> Result<(), CallError> {
        if let Some(Value::Array(finalizers)) = live.pointer_mut("/spec/finalizers") {
            finalizers.retain(|finalizer| finalizer != "kubernetes");
        }
        match self
            .api
            .replace_subresource(&NAMESPACE, key, "finalize", &live)
            .await
        {
            Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Queue<Arc<str>> {
    fn extend(&self, namespace: Option<&Arc<str>>) {
        if let Some(namespace) = namespace {
            self.push(Arc::clone(namespace));
        }
    }
}

fn root_ca_object(pem: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CA,
            "annotations": {
                "kubernetes.io/description":
                    "Contains a CA bundle that can be used to verify the kube-apiserver.",
            },
        },
        "data": {"ca.crt": pem},
    })
}

fn secret_object(secret: &SharedSecret) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name},
        "type": "Opaque",
        "data": encoded(secret),
    })
}

/// The entries as the API has them.
fn encoded(secret: &SharedSecret) -> BTreeMap<String, String> {
    let entries = secret.data.iter();
    entries
        .map(|(name, text)| (name.clone(), BASE64.encode(text)))
        .collect()
}

/// A Secret of the name that all share.
struct SecretSeen {
    data: BTreeMap<String, String>,
}

impl SecretSeen {
    /// Whether it says what all of them say; what somebody says besides is left to him.
    fn has(&self, secret: &SharedSecret) -> bool {
        let mut wanted = encoded(secret).into_iter();
        wanted.all(|(name, text)| self.data.get(&name) == Some(&text))
    }
}

impl View for SecretSeen {
    const KIND: Kind = SECRET;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let data = object.get("data").filter(|it| !it.is_null());
        Ok(Self {
            data: data.map_or_else(|| Ok(BTreeMap::new()), BTreeMap::deserialize)?,
        })
    }
}

/// The ServiceAccount `default`; only that it is there is of interest.
struct DefaultAccount;

impl View for DefaultAccount {
    const KIND: Kind = SERVICE_ACCOUNT;

    fn read(_object: Value) -> Result<Self, serde_json::Error> {
        Ok(Self)
    }
}

/// The ConfigMap `kube-root-ca.crt`.
struct RootCa {
    pem: String,
}

impl View for RootCa {
    const KIND: Kind = Kind::CONFIG_MAP;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let pem = object.pointer("/data/ca.crt").and_then(Value::as_str);
        Ok(Self {
            pem: pem.unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(manifests: Vec<Value>) -> ClusterConfig {
        ClusterConfig {
            loopback_octet: 20,
            ca_pem: String::new(),
            volumes_dir: "/volumes".into(),
            job_namespaces: vec!["default".to_owned()],
            job_manifests: manifests,
            shared_secret: None,
        }
    }

    #[test]
    fn a_binding_of_every_namespace_names_the_accounts_of_its_own() {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "driver"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "spark", "namespace": ""},
                {"kind": "ServiceAccount", "name": "other", "namespace": "elsewhere"},
            ],
        });
        let objects = job_objects(&config(vec![binding])).unwrap();
        let subjects = &objects[0].of("team")["subjects"];
        assert_eq!(subjects[0]["namespace"], "team");
        assert_eq!(subjects[1]["namespace"], "elsewhere");
    }

    #[test]
    fn job_manifests_are_read_in_order_and_refused_by_position() {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "driver"}, "rules": [],
        });
        let objects = job_objects(&config(vec![role.clone()])).unwrap();
        assert_eq!(
            objects[0].kind.collection_path(Some("team")),
            "/apis/rbac.authorization.k8s.io/v1/namespaces/team/roles"
        );
        let mut placed = role.clone();
        placed["metadata"]["namespace"] = "x".into();
        let error = job_objects(&config(vec![role, placed])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "job manifest 1: metadata.namespace must be absent"
        );
        let error = job_objects(&config(vec![json!({"kind": "Role"})])).unwrap_err();
        assert_eq!(error.to_string(), "job manifest 0: apiVersion is missing");
    }
}
