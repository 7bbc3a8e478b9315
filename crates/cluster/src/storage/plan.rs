//! What claims and volumes need. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_engine::ObjectKey;

use super::objects::{Binding, Claim, ClaimPhase, ClaimRef, StorageClass, Volume, VolumePhase};
use crate::objects::{Phase, Pod};

/// The provisioner of the classes whose volumes are directories.
pub(super) const PROVISIONER: &str = "windlass.dev/local-path";
/// The provisioner of the classes whose volumes are disks of their own.
pub(super) const DISK_PROVISIONER: &str = "windlass.dev/local-disk";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// All there is.
pub(super) struct World {
    pub(super) claims: Vec<(ObjectKey, Arc<Claim>)>,
    pub(super) volumes: Vec<(ObjectKey, Arc<Volume>)>,
    pub(super) classes: Vec<(ObjectKey, Arc<StorageClass>)>,
    pub(super) pods: Vec<(ObjectKey, Arc<Pod>)>,
    /// The volumes whose disks are mounted.
    pub(super) attached: BTreeSet<String>,
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Medium {
    /// A directory, without a size of its own.
    Directory,
    /// A disk of so many bytes, with the filesystem that the class names, or else the machine's usual one.
    Disk {
        bytes: u64,
        filesystem: Option<String>,
    },
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Make the claim of a pod's ephemeral volume.
    Claim {
        claim: ObjectKey,
        object: Value,
    },
    /// Make what the volume is made of, and the volume.
    Provision {
        claim: ObjectKey,
        volume: String,
        medium: Medium,
        object: Value,
    },
    /// Mount a disk that is not: the machine was started anew.
    Attach {
        volume: String,
    },
    /// Make a disk larger, and then say so in the volume.
    GrowDisk {
        claim: ObjectKey,
        volume: ObjectKey,
        bytes: u64,
        patch: Value,
    },
    PatchVolume {
        volume: ObjectKey,
        patch: Value,
    },
    PatchClaim {
        claim: ObjectKey,
        patch: Value,
    },
    VolumeStatus {
        volume: ObjectKey,
        status: Value,
    },
    ClaimStatus {
        claim: ObjectKey,
        status: Value,
    },
    /// Remove the directory and the volume, if the claim is really gone.
    Reclaim {
        volume: ObjectKey,
        uid: String,
        claim: ObjectKey,
        claim_uid: String,
    },
    /// Tell the owner of the claim.
    Complain {
        claim: ObjectKey,
        reason: &'static str,
        text: String,
    },
    /// Tell that the claim gets its volume when a pod that uses it has a node.
    Await {
        claim: ObjectKey,
    },
}

/// Everything that is to be done, in order. What has been done is not asked for again.
pub(super) fn plan(world: &World) -> Vec<Step> {
    let mut steps = Vec::new();
    for (key, volume) in &world.volumes {
        if volume.provisioner == DISK_PROVISIONER
            && !volume.deleting
            && !world.attached.contains(&*key.name)
        {
            let volume = key.name.to_string();
            steps.push(Step::Attach { volume });
        }
    }
    let mut taken = Vec::new();
    for (key, pod) in &world.pods {
        if is_live(pod) && !pod.deleting {
            world.ephemeral_steps(key, pod, &mut steps);
        }
    }
    for (key, claim) in &world.claims {
        if !claim.deleting {
            world.claim_steps(key, claim, &mut taken, &mut steps);
        }
    }
    for (key, volume) in &world.volumes {
        if !volume.deleting {
            world.volume_steps(key, volume, &mut steps);
        }
    }
    steps
}

/// Whether the pod still holds what it uses.
pub(super) fn is_live(pod: &Pod) -> bool {
    pod.phase == Phase::Live
}

impl World {
    /// The claims that are made for a pod, named after it and its volume. One of that name that
    /// belongs to somebody else is left alone; the node does not mount it.
    fn ephemeral_steps(&self, key: &ObjectKey, pod: &Pod, steps: &mut Vec<Step>) {
        for (name, template) in &pod.ephemeral {
            let claim = ObjectKey {
                name: name.as_str().into(),
                ..key.clone()
            };
            if self.claims.iter().any(|(key, _)| *key == claim) {
                continue;
            }
            let mut metadata = template["metadata"].clone();
            metadata["name"] = json!(name);
            metadata["namespace"] = json!(key.namespace.as_deref());
            metadata["ownerReferences"] = json!([{
                "apiVersion": "v1",
                "kind": "Pod",
                "name": &*key.name,
                "uid": pod.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }]);
            steps.push(Step::Claim {
                claim,
                object: json!({
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": metadata,
                    "spec": template["spec"],
                }),
            });
        }
    }

    fn claim_steps<'a>(
        &'a self,
        key: &ObjectKey,
        claim: &Claim,
        taken: &mut Vec<&'a ObjectKey>,
        steps: &mut Vec<Step>,
    ) {
        let chosen = match &claim.volume {
            Some(name) => {
                let found = self.volumes.iter().find(|(key, _)| *key.name == **name);
                if found.is_none() && claim.phase == ClaimPhase::Bound {
                    steps.push(Step::ClaimStatus {
                        claim: key.clone(),
                        status: json!({"phase": "Lost"}),
                    });
                }
                found
            }
            None => match self.reserved(key, claim, taken) {
                Some(found) => Some(found),
                None if self.waits(key, claim) => {
                    steps.push(Step::Await { claim: key.clone() });
                    return;
                }
                None => self.suitable(claim, taken),
            },
        };
        match chosen {
            Some((volume_key, volume)) => {
                taken.push(volume_key);
                bind(key, claim, volume_key, volume, steps);
                self.grow(key, claim, volume_key, volume, steps);
            }
            None if claim.volume.is_none() => steps.push(self.provision(key, claim)),
            None => {}
        }
    }

    /// The volume that waits for this claim.
    fn reserved(
        &self,
        key: &ObjectKey,
        claim: &Claim,
        taken: &[&ObjectKey],
    ) -> Option<&(ObjectKey, Arc<Volume>)> {
        self.volumes.iter().find(|(volume_key, volume)| {
            let reference = volume.claim.as_ref();
            is_open(volume_key, volume, taken)
                && reference.is_some_and(|reference| reference.is_for(key, &claim.uid))
        })
    }

    /// The smallest volume that nobody has and that will do.
    fn suitable(&self, claim: &Claim, taken: &[&ObjectKey]) -> Option<&(ObjectKey, Arc<Volume>)> {
        if claim.has_selector {
            return None;
        }
        let class = claim.class.clone().unwrap_or_default();
        let suits = |volume: &Volume| {
            volume.claim.is_none()
                && volume.class == class
                && volume.capacity >= claim.request
                && claim.modes.iter().all(|mode| volume.modes.contains(mode))
        };
        self.volumes
            .iter()
            .filter(|(key, volume)| is_open(key, volume, taken) && suits(volume))
            .min_by_key(|(_, volume)| volume.capacity)
    }

    /// The class of a claim, by its name or as the default.
    fn class(&self, claim: &Claim) -> Option<&(ObjectKey, Arc<StorageClass>)> {
        match claim.class.as_deref() {
            Some(name) => self.classes.iter().find(|(key, _)| &*key.name == name),
            None => self.classes.iter().find(|(_, class)| class.default),
        }
    }

    /// Whether the claim gets its volume only when a pod that uses it has its place, and none has.
    fn waits(&self, key: &ObjectKey, claim: &Claim) -> bool {
        let waits =
            |(_, class): &(ObjectKey, Arc<StorageClass>)| class.binding == Binding::FirstConsumer;
        let consumes = |(pod_key, pod): &(ObjectKey, Arc<Pod>)| {
            pod_key.namespace == key.namespace
                && is_live(pod)
                && pod.node.is_some()
                && pod.claims.iter().any(|name| **name == *key.name)
        };
        self.class(claim).is_some_and(waits) && !self.pods.iter().any(consumes)
    }

    /// Gives a bound claim the room it asks for by now: a directory has no size of its own, a disk grows. Then
    /// the volume says so, then the claim.
    fn grow(
        &self,
        key: &ObjectKey,
        claim: &Claim,
        volume_key: &ObjectKey,
        volume: &Volume,
        steps: &mut Vec<Step>,
    ) {
        let is_own = volume
            .claim
            .as_ref()
            .is_some_and(|known| known.uid.as_deref() == Some(&claim.uid));
        if claim.phase != ClaimPhase::Bound || !is_own {
            return;
        }
        if volume.capacity < claim.request {
            let is_disk = volume.provisioner == DISK_PROVISIONER;
            let may_grow = (volume.provisioner == PROVISIONER || is_disk)
                && self
                    .classes
                    .iter()
                    .any(|(key, class)| *key.name == *volume.class && class.may_grow);
            if !may_grow {
                steps.push(Step::Complain {
                    claim: key.clone(),
                    reason: "VolumeResizeFailed",
                    text: format!(
                        "volume {} cannot grow: only volumes that a storage class with \
                         allowVolumeExpansion: true has made here can",
                        volume_key.name
                    ),
                });
                return;
            }
            let volume_key = volume_key.clone();
            let patch = json!({
                "metadata": {"uid": volume.uid, "resourceVersion": volume.revision},
                "spec": {"capacity": {"storage": claim.request.to_string()}},
            });
            steps.push(match bytes(claim) {
                Some(bytes) if is_disk => Step::GrowDisk {
                    claim: key.clone(),
                    volume: volume_key,
                    bytes,
                    patch,
                },
                _ => Step::PatchVolume {
                    volume: volume_key,
                    patch,
                },
            });
        } else if claim.capacity < volume.capacity {
            steps.push(Step::ClaimStatus {
                claim: key.clone(),
                status: json!({"capacity": {"storage": volume.capacity.to_string()}}),
            });
        }
    }

    fn provision(&self, key: &ObjectKey, claim: &Claim) -> Step {
        let complain = |text: String| Step::Complain {
            claim: key.clone(),
            reason: "ProvisioningFailed",
            text,
        };
        let class = self.class(claim);
        if let (None, Some(name)) = (class, claim.class.as_deref())
            && !name.is_empty()
        {
            return complain(format!("storageclass.storage.k8s.io \"{name}\" not found"));
        }
        let Some((class_key, class)) = class else {
            return complain(
                "no persistent volumes available for this claim and no storage class is set"
                    .to_owned(),
            );
        };
        let medium = match (&*class.provisioner, bytes(claim)) {
            (PROVISIONER, _) => Some(Medium::Directory),
            (DISK_PROVISIONER, Some(bytes)) => Some(Medium::Disk {
                bytes,
                filesystem: class.filesystem.clone(),
            }),
            _ => None,
        };
        let Some(medium) = medium else {
            return complain(format!(
                "storage class {} belongs to provisioner {}, which this cluster does not run; \
                 local-path is the class that works here",
                class_key.name, class.provisioner
            ));
        };
        if claim.has_selector {
            return complain(
                "claim.spec.selector: a volume that is made for a claim cannot be selected; \
                 leave the selector out"
                    .to_owned(),
            );
        }
        if claim.is_block {
            return complain(
                "claim.spec.volumeMode: volumes are directories here; leave Block out".to_owned(),
            );
        }
        let volume = format!("pvc-{}", claim.uid);
        let object = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": volume,
                "annotations": {PROVISIONED_BY: &class.provisioner},
            },
            "spec": {
                "capacity": {"storage": claim.request.to_string()},
                "accessModes": claim.modes,
                "persistentVolumeReclaimPolicy": class.reclaim,
                "storageClassName": &*class_key.name,
                "volumeMode": "Filesystem",
                "claimRef": reference(key, claim),
                // What is on a disk is there only while the disk is mounted.
                "hostPath": {"type": match medium {
                    Medium::Directory => "DirectoryOrCreate",
                    Medium::Disk { .. } => "Directory",
                }},
            },
        });
        Step::Provision {
            claim: key.clone(),
            volume,
            medium,
            object,
        }
    }

    fn volume_steps(&self, key: &ObjectKey, volume: &Volume, steps: &mut Vec<Step>) {
        let Some(reference) = &volume.claim else {
            if volume.phase == VolumePhase::Pending {
                steps.push(volume_status(key, "Available"));
            }
            return;
        };
        let Some(uid) = &reference.uid else {
            return;
        };
        let claim_key = reference.key();
        let is_there =
            |(key, claim): &(ObjectKey, Arc<Claim>)| *key == claim_key && claim.uid == *uid;
        if self.claims.iter().any(is_there) || self.is_used(reference) {
            return;
        }
        let is_ours = [PROVISIONER, DISK_PROVISIONER].contains(&&*volume.provisioner);
        if is_ours && volume.reclaim == "Delete" {
            steps.push(Step::Reclaim {
                volume: key.clone(),
                uid: volume.uid.clone(),
                claim: claim_key,
                claim_uid: uid.clone(),
            });
        } else if volume.phase == VolumePhase::Bound {
            steps.push(volume_status(key, "Released"));
        }
    }

    fn is_used(&self, reference: &ClaimRef) -> bool {
        self.pods.iter().any(|(key, pod)| {
            key.namespace.as_deref() == Some(&reference.namespace)
                && is_live(pod)
                && pod.claims.contains(&reference.name)
        })
    }
}

/// How many bytes a claim asks for.
fn bytes(claim: &Claim) -> Option<u64> {
    claim
        .request
        .units()
        .and_then(|bytes| u64::try_from(bytes).ok())
}

/// Whether a volume may be given to a claim.
fn is_open(key: &ObjectKey, volume: &Volume, taken: &[&ObjectKey]) -> bool {
    !volume.deleting && !taken.contains(&key)
}

/// First the volume names the claim, then the claim names the volume, then both say so.
fn bind(
    key: &ObjectKey,
    claim: &Claim,
    volume_key: &ObjectKey,
    volume: &Volume,
    steps: &mut Vec<Step>,
) {
    match &volume.claim {
        Some(known) if !known.is_for(key, &claim.uid) => {
            let text = format!(
                "volume {} already bound to a different claim",
                volume_key.name
            );
            steps.push(Step::Complain {
                claim: key.clone(),
                reason: "ProvisioningFailed",
                text,
            });
            return;
        }
        Some(known) if known.uid.is_some() => {}
        _ => {
            steps.push(Step::PatchVolume {
                volume: volume_key.clone(),
                patch: json!({
                    "metadata": {"uid": volume.uid, "resourceVersion": volume.revision},
                    "spec": {"claimRef": reference(key, claim)},
                }),
            });
            // The next look binds the claim to the volume that is its own by then.
            return;
        }
    }
    if claim.volume.is_none() {
        steps.push(Step::PatchClaim {
            claim: key.clone(),
            patch: json!({
                "metadata": {
                    "uid": claim.uid,
                    "annotations": {
                        "pv.kubernetes.io/bind-completed": "yes",
                        "pv.kubernetes.io/bound-by-controller": "yes",
                    },
                },
                "spec": {"volumeName": &*volume_key.name},
            }),
        });
    }
    if volume.phase != VolumePhase::Bound {
        steps.push(volume_status(volume_key, "Bound"));
    }
    if claim.phase != ClaimPhase::Bound {
        steps.push(Step::ClaimStatus {
            claim: key.clone(),
            status: json!({
                "phase": "Bound",
                "accessModes": volume.modes,
                "capacity": {"storage": volume.capacity.to_string()},
            }),
        });
    }
}

fn volume_status(volume: &ObjectKey, phase: &str) -> Step {
    Step::VolumeStatus {
        volume: volume.clone(),
        status: json!({"phase": phase}),
    }
}

fn reference(key: &ObjectKey, claim: &Claim) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": key.namespace.as_deref(),
        "name": &*key.name,
        "uid": claim.uid,
    })
}

#[cfg(test)]
mod tests;
