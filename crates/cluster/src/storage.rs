//! Claims and volumes: StorageClass `local-path` keeps every volume in a directory of its own.
//!
//! [`plan`](plan::plan) says what claims and volumes need; the wiring does it. A volume's name and
//! directory follow from the uid of its claim, so that nothing is made twice. What a claim held is
//! removed once the claim is gone and no pod of its namespace uses it any more. Ephemeral volumes of
//! pods are claims that are made for the pod and owned by it. Where the machine lets disks be mounted,
//! StorageClass `local-disk` gives volumes that have a size ([`disk`]).

mod disk;
mod objects;
mod plan;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::api::PropagationPolicy;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use windlass_engine::{Kind, ObjectKey};

use crate::api::{Api, CallError};
use crate::events::{Events, Note, Severity, Subject};
use crate::mirror::Mirror;
use crate::objects::Pod;
use crate::queue::Queue;
use disk::{Disks, Filesystem};
pub(crate) use objects::Claim;
use objects::{StorageClass, Volume};
use plan::{DISK_PROVISIONER, Medium, PROVISIONER, Step, World};

pub(crate) const CLAIM: Kind =
    Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
pub(crate) const VOLUME: Kind = Kind::cluster("", "v1", "PersistentVolume", "persistentvolumes");
pub(crate) const CLASS: Kind =
    Kind::cluster("storage.k8s.io", "v1", "StorageClass", "storageclasses");

/// The class of claims that name none.
const DEFAULT_CLASS: &str = "local-path";
/// The class of volumes with a size of their own.
const DISK_CLASS: &str = "local-disk";
/// A pass about all claims and volumes has this one key.
const PASS: &str = "volumes";
/// Finding out whether disks can be had, and offering them: the programs of the system that it takes keep no
/// claim waiting.
const OFFER: &str = "disks";

/// Provisions, binds and reclaims.
pub(crate) struct Provisioner {
    api: Api,
    events: Events,
    directory: PathBuf,
    disks: Disks,
    /// What disks have where their class does not say, or why there are none here.
    filesystem: OnceCell<Result<Filesystem, String>>,
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
        classes.listen(move |_| {
            wake.push(PASS);
            wake.push(OFFER);
        });
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
            disks: Disks::new(directory.clone()),
            filesystem: OnceCell::new(),
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
            self.queue.push(OFFER);
            let work = async |key| match key {
                OFFER => self.offer_disks().await,
                _ => self.pass().await,
            };
            self.queue.work("volumes", work).await;
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
        let volumes = self.volumes.all();
        let world = World {
            claims: self.claims.all(),
            classes,
            pods: self.pods.all(),
            attached: self.attached(&volumes),
            volumes,
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

    /// Makes the class of disks where the machine lets them be mounted.
    async fn offer_disks(&self) -> Result<Option<Duration>, CallError> {
        let classes = self.classes.all();
        let is_there = classes.iter().any(|(key, _)| &*key.name == DISK_CLASS);
        if !is_there && self.filesystem().await.is_ok() {
            self.api.create(&CLASS, None, &disk_class()).await?;
        }
        Ok(None)
    }

    /// The volumes whose disks are mounted. The machine is asked only where there are any.
    fn attached(&self, volumes: &[(ObjectKey, Arc<Volume>)]) -> BTreeSet<String> {
        let mut disks = volumes.iter();
        if disks.any(|(_, volume)| volume.provisioner == DISK_PROVISIONER) {
            self.disks.attached().into_keys().collect()
        } else {
            BTreeSet::new()
        }
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
                medium,
                object,
            } => {
                let made = match medium {
                    Medium::Directory => self.make_directory(volume).await,
                    Medium::Disk { bytes, filesystem } => {
                        let filesystem = filesystem.as_deref();
                        self.make_disk(volume, *bytes, filesystem).await
                    }
                };
                let directory = match made {
                    Ok(directory) => directory,
                    Err(text) => {
                        let severity = Severity::Warning;
                        return self.tell(claim, severity, "ProvisioningFailed", text).await;
                    }
                };
                let mut object = object.clone();
                object["spec"]["hostPath"]["path"] = directory.to_string_lossy().into();
                self.api.create(&VOLUME, None, &object).await?;
                let text = format!("Successfully provisioned volume {volume}");
                self.say(claim, Severity::Normal, "ProvisioningSucceeded", text)
                    .await;
                Ok(())
            }
            Step::Attach { volume } => self
                .disks
                .attach(volume)
                .await
                .map_err(CallError::Unavailable),
            Step::GrowDisk {
                claim,
                volume,
                bytes,
                patch,
            } => {
                if let Err(text) = self.disks.grow(&volume.name, *bytes).await {
                    let severity = Severity::Warning;
                    self.tell(claim, severity, "VolumeResizeFailed", text.clone())
                        .await?;
                    // The disk may be full of room again later.
                    return Err(CallError::Unavailable(text));
                }
                self.api.merge(&VOLUME, volume, patch).await.map(drop)
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

    async fn make_directory(&self, volume: &str) -> Result<PathBuf, String> {
        let directory = self.directory.join(volume);
        match make_directory(&directory).await {
            Ok(()) => Ok(directory),
            Err(error) => Err(format!("cannot make {}: {error}", directory.display())),
        }
    }

    async fn make_disk(
        &self,
        volume: &str,
        bytes: u64,
        filesystem: Option<&str>,
    ) -> Result<PathBuf, String> {
        let usual = self.filesystem().await.clone()?;
        let filesystem = match filesystem {
            None => usual,
            Some(name) => Filesystem::named(name).ok_or_else(|| {
                format!("csi.storage.k8s.io/fstype {name}: disks have ext4 or xfs here")
            })?,
        };
        self.disks.make(volume, bytes, filesystem).await?;
        Ok(self.disks.data(volume))
    }

    /// What this machine can make, looked for once.
    async fn filesystem(&self) -> &Result<Filesystem, String> {
        self.filesystem.get_or_init(Filesystem::usual).await
    }

    /// Only directories this provisioner makes are ever removed: the name is the volume's own.
    async fn remove_directory(&self, volume: &ObjectKey) -> Result<(), CallError> {
        let detached = self.disks.detach(&volume.name).await;
        detached.map_err(CallError::Unavailable)?;
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

/// Unmounts the disks of volumes below this directory, for a cluster whose pods have ended. Its next start
/// mounts them again.
pub async fn detach_disks(directory: &Path) {
    let disks = Disks::new(directory.to_owned());
    for volume in disks.attached().into_keys() {
        if let Err(error) = disks.detach(&volume).await {
            tracing::warn!(volume, error, "the disk stays mounted");
        }
    }
}

/// Whoever the pod runs as may write to its volume.
async fn make_directory(directory: &Path) -> io::Result<()> {
    tokio::fs::create_dir_all(directory).await?;
    tokio::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).await
}

fn disk_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": DISK_CLASS},
        "provisioner": DISK_PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    })
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
