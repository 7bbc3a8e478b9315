//! What claims and volumes need. Pure.

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_engine::ObjectKey;

use super::objects::{Claim, ClaimPhase, ClaimRef, StorageClass, Volume, VolumePhase};
use crate::objects::{Phase, Pod};

/// The provisioner of the classes that are served here.
pub(super) const PROVISIONER: &str = "windlass.dev/local-path";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// All there is.
pub(super) struct World {
    pub(super) claims: Vec<(ObjectKey, Arc<Claim>)>,
    pub(super) volumes: Vec<(ObjectKey, Arc<Volume>)>,
    pub(super) classes: Vec<(ObjectKey, Arc<StorageClass>)>,
    pub(super) pods: Vec<(ObjectKey, Arc<Pod>)>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Make the claim of a pod's ephemeral volume.
    Claim {
        claim: ObjectKey,
        object: Value,
    },
    /// Make the directory and the volume.
    Provision {
        claim: ObjectKey,
        volume: String,
        object: Value,
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
        text: String,
    },
}

/// Everything that is to be done, in order. What has been done is not asked for again.
pub(super) fn plan(world: &World) -> Vec<Step> {
    let mut steps = Vec::new();
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
            None => self.available(key, claim, taken),
        };
        match chosen {
            Some((volume_key, volume)) => {
                taken.push(volume_key);
                bind(key, claim, volume_key, volume, steps);
            }
            None if claim.volume.is_none() => steps.push(self.provision(key, claim)),
            None => {}
        }
    }

    /// The volume that waits for this claim, or else the smallest one that will do.
    fn available(
        &self,
        key: &ObjectKey,
        claim: &Claim,
        taken: &[&ObjectKey],
    ) -> Option<&(ObjectKey, Arc<Volume>)> {
        let mut open = self
            .volumes
            .iter()
            .filter(|(key, volume)| !volume.deleting && !taken.contains(&key));
        let waiting = open.clone().find(|(_, volume)| {
            volume
                .claim
                .as_ref()
                .is_some_and(|reference| reference.is_for(key, &claim.uid))
        });
        waiting.or_else(|| {
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
            let mut suitable: Vec<_> = open.by_ref().filter(|(_, volume)| suits(volume)).collect();
            suitable.sort_by_key(|(_, volume)| volume.capacity);
            suitable.first().copied()
        })
    }

    fn provision(&self, key: &ObjectKey, claim: &Claim) -> Step {
        let complain = |text: String| Step::Complain {
            claim: key.clone(),
            text,
        };
        let class = match claim.class.as_deref() {
            Some("") => None,
            Some(name) => match self.classes.iter().find(|(key, _)| &*key.name == name) {
                Some(class) => Some(class),
                None => {
                    return complain(format!("storageclass.storage.k8s.io \"{name}\" not found"));
                }
            },
            None => self.classes.iter().find(|(_, class)| class.default),
        };
        let Some((class_key, class)) = class else {
            return complain(
                "no persistent volumes available for this claim and no storage class is set"
                    .to_owned(),
            );
        };
        if class.provisioner != PROVISIONER {
            return complain(format!(
                "storage class {} belongs to provisioner {}, which this cluster does not run; \
                 local-path is the class that works here",
                class_key.name, class.provisioner
            ));
        }
        if claim.has_selector {
            return complain(
                "claim.spec.selector: a volume that is made for a claim cannot be selected; \
                 leave the selector out"
                    .to_owned(),
            );
        }
        let volume = format!("pvc-{}", claim.uid);
        let object = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": volume,
                "annotations": {PROVISIONED_BY: PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": claim.request.to_string()},
                "accessModes": claim.modes,
                "persistentVolumeReclaimPolicy": class.reclaim,
                "storageClassName": &*class_key.name,
                "volumeMode": "Filesystem",
                "claimRef": reference(key, claim),
                "hostPath": {"type": "DirectoryOrCreate"},
            },
        });
        Step::Provision {
            claim: key.clone(),
            volume,
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
        if volume.provisioner == PROVISIONER && volume.reclaim == "Delete" {
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
mod tests {
    use super::*;
    use crate::mirror::View;

    fn world() -> World {
        World {
            claims: Vec::new(),
            volumes: Vec::new(),
            classes: vec![
                class("local-path", true, PROVISIONER),
                class("cloud", false, "cloud.example.com"),
            ],
            pods: Vec::new(),
        }
    }

    fn class(name: &str, default: bool, provisioner: &str) -> (ObjectKey, Arc<StorageClass>) {
        let class = StorageClass::read(json!({
            "metadata": {"annotations": {
                "storageclass.kubernetes.io/is-default-class": default.to_string(),
            }},
            "provisioner": provisioner,
        }));
        (ObjectKey::cluster(name), Arc::new(class.unwrap()))
    }

    fn claim(name: &str, spec: Value, phase: &str) -> (ObjectKey, Arc<Claim>) {
        let mut object = json!({
            "metadata": {"uid": format!("uid-{name}")},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
            "status": {"phase": phase},
        });
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        (
            ObjectKey::namespaced("team", name),
            Arc::new(Claim::read(object).unwrap()),
        )
    }

    fn volume(
        name: &str,
        size: &str,
        claim: Option<(&str, &str)>,
        phase: &str,
    ) -> (ObjectKey, Arc<Volume>) {
        let mut object = json!({
            "metadata": {
                "uid": format!("vol-{name}"), "resourceVersion": "7",
                "annotations": {PROVISIONED_BY: PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "local-path",
            },
            "status": {"phase": phase},
        });
        if let Some((name, uid)) = claim {
            object["spec"]["claimRef"] = json!({"namespace": "team", "name": name, "uid": uid});
        }
        (
            ObjectKey::cluster(name),
            Arc::new(Volume::read(object).unwrap()),
        )
    }

    #[test]
    fn a_claim_without_a_class_gets_a_volume_of_the_default_one_named_after_it() {
        let mut world = world();
        world.claims.push(claim("data", json!({}), "Pending"));
        let steps = plan(&world);
        let [Step::Provision { volume, object, .. }] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert_eq!(volume, "pvc-uid-data");
        assert_eq!(object["spec"]["claimRef"]["uid"], "uid-data");
        assert_eq!(object["spec"]["capacity"]["storage"], "1Gi");
        assert_eq!(
            plan(&world),
            steps,
            "the same again, as the names are the same"
        );
    }

    #[test]
    fn binding_goes_from_the_volume_to_the_claim_and_ends() {
        let mut world = world();
        world.claims.push(claim("data", json!({}), "Pending"));
        let reference = Some(("data", "uid-data"));
        world
            .volumes
            .push(volume("pvc-uid-data", "1Gi", reference, "Pending"));
        let steps = plan(&world);
        assert!(
            matches!(
                &steps[..],
                [
                    Step::PatchClaim { .. },
                    Step::VolumeStatus { .. },
                    Step::ClaimStatus { .. }
                ]
            ),
            "{steps:?}"
        );
        let bound = json!({"volumeName": "pvc-uid-data"});
        world.claims = vec![claim("data", bound, "Bound")];
        world.volumes = vec![volume("pvc-uid-data", "1Gi", reference, "Bound")];
        assert_eq!(plan(&world), []);
    }

    #[test]
    fn the_smallest_free_volume_that_will_do_is_taken_once() {
        let mut world = world();
        let class = json!({"storageClassName": "local-path"});
        world.claims.push(claim("a", class.clone(), "Pending"));
        world.claims.push(claim("b", class, "Pending"));
        world
            .volumes
            .push(volume("large", "10Gi", None, "Available"));
        world
            .volumes
            .push(volume("medium", "2Gi", None, "Available"));
        world
            .volumes
            .push(volume("small", "500Mi", None, "Available"));
        let chosen: Vec<String> = plan(&world)
            .iter()
            .map(|step| match step {
                Step::PatchVolume { volume, patch } => {
                    format!("{} for {}", volume.name, patch["spec"]["claimRef"]["name"])
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(chosen, ["medium for \"a\"", "large for \"b\""]);
    }

    #[test]
    fn a_volume_is_reclaimed_when_its_claim_and_its_last_user_are_gone() {
        let mut world = world();
        world
            .volumes
            .push(volume("old", "1Gi", Some(("data", "uid-old")), "Bound"));
        let user = Pod::read(json!({
            "metadata": {"uid": "p"},
            "spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
        }));
        world.pods = vec![(
            ObjectKey::namespaced("team", "user"),
            Arc::new(user.unwrap()),
        )];
        assert_eq!(plan(&world), []);
        world.pods.clear();
        assert!(
            matches!(&plan(&world)[..], [Step::Reclaim { claim_uid, .. }] if claim_uid == "uid-old")
        );
        let mut kept = (*world.volumes[0].1).clone();
        kept.reclaim = "Retain".to_owned();
        world.volumes[0].1 = Arc::new(kept);
        let steps = plan(&world);
        assert!(
            matches!(&steps[..], [Step::VolumeStatus { status, .. }] if status["phase"] == "Released"),
            "{steps:?}"
        );
    }

    #[test]
    fn an_ephemeral_volume_gets_a_claim_that_its_pod_owns_once() {
        let mut world = world();
        let pod = |phase: &str| {
            let pod = Pod::read(json!({
                "metadata": {"uid": "p", "name": "worker"},
                "spec": {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
                    "metadata": {"labels": {"use": "scratch"}},
                    "spec": {"accessModes": ["ReadWriteOnce"]},
                }}}]},
                "status": {"phase": phase},
            }));
            (
                ObjectKey::namespaced("team", "worker"),
                Arc::new(pod.unwrap()),
            )
        };
        world.pods = vec![pod("Pending")];
        let steps = plan(&world);
        let [Step::Claim { claim: key, object }] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert_eq!(*key, ObjectKey::namespaced("team", "worker-scratch"));
        assert_eq!(object["metadata"]["namespace"], "team");
        assert_eq!(object["metadata"]["labels"]["use"], "scratch");
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "p");
        assert_eq!(object["spec"]["accessModes"][0], "ReadWriteOnce");
        let made = claim("worker-scratch", json!({}), "Pending");
        world.claims.push(made);
        assert!(
            matches!(&plan(&world)[..], [Step::Provision { .. }]),
            "made once"
        );
        world.claims.clear();
        world.pods = vec![pod("Failed")];
        assert_eq!(plan(&world), [], "an ended pod needs none");
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let mut world = world();
        for (name, spec) in [
            ("a", json!({"storageClassName": "fast"})),
            ("b", json!({"storageClassName": ""})),
            ("c", json!({"storageClassName": "cloud"})),
            ("d", json!({"selector": {"matchLabels": {"disk": "ssd"}}})),
        ] {
            world.claims.push(claim(name, spec, "Pending"));
        }
        let said: Vec<String> = plan(&world)
            .into_iter()
            .map(|step| match step {
                Step::Complain { text, .. } => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(said[0], "storageclass.storage.k8s.io \"fast\" not found");
        assert!(said[1].contains("no storage class is set"));
        assert!(said[2].contains("cloud.example.com"));
        assert!(said[3].contains("claim.spec.selector"));
    }
}
