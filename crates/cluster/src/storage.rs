//! Claims and volumes: StorageClass `local-path` keeps every volume in a directory of its own.
//!
//! [`plan`](plan::plan) says what claims and volumes need; the wiring does it. A volume's name and
//! directory follow from the uid of its claim, so that nothing is made twice. What a claim held is
//! removed once the claim is gone and no pod of its namespace uses it any more. Ephemeral volumes of
//! pods are claims that are made for the pod and owned by it.

mod objects;
mod plan;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::api::PropagationPolicy;
use parking_lot::Mutex;
use serde_json::{Value, json};
use windlass_engine::{Kind, ObjectKey};

use crate::api::{Api, CallError};
use crate::events::{Events, Note, Severity, Subject};
use crate::mirror::Mirror;
use crate::objects::Pod;
use crate::queue::Queue;
pub(crate) use objects::Claim;
use objects::{StorageClass, Volume};
use plan::{PROVISIONER, Step, World};

pub(crate) const CLAIM: Kind =
    Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
pub(crate) const VOLUME: Kind = Kind::cluster("", "v1", "PersistentVolume", "persistentvolumes");
pub(crate) const CLASS: Kind =
    Kind::cluster("storage.k8s.io", "v1", "StorageClass", "storageclasses");

/// The class of claims that name none.
const DEFAULT_CLASS: &str = "local-path";
/// A pass about all claims and volumes has this one key.
const PASS: &str = "volumes";

/// Provisions, binds and reclaims.
pub(crate) struct Provisioner {
    api: Api,
    events: Events,
    directory: PathBuf,
    pods: Arc<Mirror<Pod>>,
    claims: Arc<Mirror<Claim>>,
    volumes: Arc<Mirror<Volume>>,
    classes: Arc<Mirror<StorageClass>>,
    queue: Arc<Queue<&'static str>>,
    told: Mutex<Vec<(String, String)>>,
}

impl Provisioner {
    pub(crate) fn new(
        api: Api,
        directory: PathBuf,
        pods: Arc<Mirror<Pod>>,
        claims: Arc<Mirror<Claim>>,
    ) -> Self {
        let queue = Arc::new(Queue::new());
        let volumes = Mirror::<Volume>::new();
        let classes = Mirror::<StorageClass>::new();
        let wake = Arc::clone(&queue);
        claims.listen(move |_| wake.push(PASS));
        let wake = Arc::clone(&queue);
        volumes.listen(move |_| wake.push(PASS));
        let wake = Arc::clone(&queue);
        classes.listen(move |_| wake.push(PASS));
        let wake = Arc::clone(&queue);
        pods.listen(move |change| {
            // A pod that ends may have been the last one to use a volume; one that comes may need
            // claims of its own.
            let uses = |pod: &Pod| !pod.claims.is_empty() && plan::is_live(pod);
            let needs = |pod: &Pod| !pod.ephemeral.is_empty();
            let came = change.old.is_none() && change.new.is_some_and(needs);
            // Some claims wait until a pod that uses them has its place.
            let placed = |pod: &Pod| uses(pod) && pod.node.is_some();
            let came = came || !change.old.is_some_and(placed) && change.new.is_some_and(placed);
            if came || change.old.is_some_and(uses) && !change.new.is_some_and(uses) {
                wake.push(PASS);
            }
        });
        Self {
            events: Events::new(api.clone(), "windlass-volumes"),
            api,
            directory,
            pods,
            claims,
            volumes,
            classes,
            queue,
            told: Mutex::default(),
        }
    }

    pub(crate) async fn run(self) {
        let client = self.api.client();
        let claims = Arc::clone(&self.claims).run(client.clone());
        let volumes = Arc::clone(&self.volumes).run(client.clone());
        let classes = Arc::clone(&self.classes).run(client.clone());
        let work = async {
            self.pods.synced().await;
            self.claims.synced().await;
            self.volumes.synced().await;
            self.classes.synced().await;
            self.queue.push(PASS);
            self.queue.work("volumes", |_| self.pass()).await;
        };
        tokio::join!(claims, volumes, classes, work);
    }

    async fn pass(&self) -> Result<Option<Duration>, CallError> {
        let classes = self.classes.all();
        if !classes.iter().any(|(key, _)| &*key.name == DEFAULT_CLASS) {
            self.api.create(&CLASS, None, &default_class()).await?;
            // The class shows in a moment, and with it comes the next pass.
            return Ok(None);
        }
        let world = World {
            claims: self.claims.all(),
            volumes: self.volumes.all(),
            classes,
            pods: self.pods.all(),
        };
        let mut failed = None;
        for step in plan::plan(&world) {
            match self.carry_out(&step).await {
                // Someone was quicker, and the watch will tell.
                Ok(()) | Err(CallError::Conflict(_) | CallError::NotFound(_)) => {}
                Err(error) => {
                    tracing::debug!(?step, %error, "step not carried out");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn carry_out(&self, step: &Step) -> Result<(), CallError> {
        match step {
            Step::Claim { claim, object } => {
                let namespace = claim.namespace.as_deref();
                self.api.create(&CLAIM, namespace, object).await.map(drop)
            }
            Step::Provision {
                claim,
                volume,
                object,
            } => {
                let directory = self.directory.join(volume);
                let made = make_directory(&directory).await;
                if let Err(error) = made {
                    let text = format!("cannot make {}: {error}", directory.display());
                    let severity = Severity::Warning;
                    return self.tell(claim, severity, "ProvisioningFailed", text).await;
                }
                let mut object = object.clone();
                object["spec"]["hostPath"]["path"] = directory.to_string_lossy().into();
                self.api.create(&VOLUME, None, &object).await?;
                let text = format!("Successfully provisioned volume {volume}");
                self.say(claim, Severity::Normal, "ProvisioningSucceeded", text)
                    .await;
                Ok(())
            }
            Step::PatchVolume { volume, patch } => {
                self.api.merge(&VOLUME, volume, patch).await.map(drop)
            }
            Step::PatchClaim { claim, patch } => {
                self.api.merge(&CLAIM, claim, patch).await.map(drop)
            }
            Step::VolumeStatus { volume, status } => {
                let patch = json!({"status": status});
                self.api
                    .merge_status(&VOLUME, volume, &patch)
                    .await
                    .map(drop)
            }
            Step::ClaimStatus { claim, status } => {
                let patch = json!({"status": status});
                self.api.merge_status(&CLAIM, claim, &patch).await.map(drop)
            }
            Step::Reclaim {
                volume,
                uid,
                claim,
                claim_uid,
            } => {
                if self.claim_is_there(claim, claim_uid).await? {
                    return Ok(());
                }
                self.remove_directory(volume).await?;
                self.api
                    .delete(&VOLUME, volume, uid, PropagationPolicy::Background)
                    .await
            }
            Step::Complain {
                claim,
                reason,
                text,
            } => {
                self.tell(claim, Severity::Warning, reason, text.clone())
                    .await
            }
            Step::Await { claim } => {
                let text = "waiting for first consumer to be created before binding".to_owned();
                let severity = Severity::Normal;
                self.tell(claim, severity, "WaitForFirstConsumer", text)
                    .await
            }
        }
    }

    /// Reads live: what is removed does not come back.
    async fn claim_is_there(&self, claim: &ObjectKey, uid: &str) -> Result<bool, CallError> {
        let live = self.api.get_metadata(&CLAIM, claim).await?;
        let known = live.as_ref().and_then(|live| live.pointer("/metadata/uid"));
        Ok(known.and_then(Value::as_str) == Some(uid))
    }

    /// Only directories this provisioner makes are ever removed: the name is the volume's own.
    async fn remove_directory(&self, volume: &ObjectKey) -> Result<(), CallError> {
        let directory = self.directory.join(&*volume.name);
        match tokio::fs::remove_dir_all(&directory).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(CallError::Unavailable(format!(
                "cannot remove {}: {error}",
                directory.display()
            ))),
        }
    }

    /// Says once what is to be known of a claim.
    async fn tell(
        &self,
        claim: &ObjectKey,
        severity: Severity,
        reason: &'static str,
        text: String,
    ) -> Result<(), CallError> {
        let Some(known) = self.claims.get(claim) else {
            return Ok(());
        };
        let news = (known.uid.clone(), text.clone());
        {
            let mut told = self.told.lock();
            let live = self.claims.all();
            told.retain(|(uid, _)| live.iter().any(|(_, claim)| claim.uid == *uid));
            if told.contains(&news) {
                return Ok(());
            }
            told.push(news);
        }
        self.say(claim, severity, reason, text).await;
        Ok(())
    }

    async fn say(&self, claim: &ObjectKey, severity: Severity, reason: &'static str, text: String) {
        let Some(known) = self.claims.get(claim) else {
            return;
        };
        let subject = Subject {
            kind: CLAIM,
            key: claim,
            uid: &known.uid,
        };
        let note = Note {
            severity,
            reason,
            action: "Provision",
            text,
        };
        self.events.publish(&subject, &note).await;
    }
}

/// Whoever the pod runs as may write to its volume.
async fn make_directory(directory: &Path) -> io::Result<()> {
    tokio::fs::create_dir_all(directory).await?;
    tokio::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).await
}

fn default_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": DEFAULT_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": true,
    })
}
