//! What is kept of claims, volumes and classes.

use serde::Deserialize;
use serde_json::Value;
use windlass_api::quantity::Quantity;
use windlass_engine::{Kind, ObjectKey};

use super::{CLAIM, CLASS, VOLUME};
use crate::life::Owner;
use crate::mirror::View;
use crate::objects::{field, text};
use crate::resources::Resources;

/// A claim for storage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claim {
    pub(crate) uid: String,
    pub(crate) deleting: bool,
    /// `None`: the default class; empty: no class at all.
    pub(crate) class: Option<String>,
    pub(crate) volume: Option<String>,
    pub(crate) request: Quantity,
    /// How much its status says it has.
    pub(crate) capacity: Quantity,
    pub(crate) is_block: bool,
    pub(crate) modes: Vec<String>,
    pub(crate) has_selector: bool,
    pub(crate) owners: Vec<Owner>,
    pub(crate) phase: ClaimPhase,
}

/// What a claim says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimPhase {
    Pending,
    Bound,
    Lost,
}

impl View for Claim {
    const KIND: Kind = CLAIM;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let requests = object.pointer("/spec/resources/requests");
        let capacity = object.pointer("/status/capacity");
        Ok(Self {
            uid: text(&object, "/metadata/uid").unwrap_or_default(),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            class: field(&object, "/spec/storageClassName")?,
            volume: text(&object, "/spec/volumeName"),
            request: Resources::read(requests.and_then(Value::as_object)).get("storage"),
            capacity: Resources::read(capacity.and_then(Value::as_object)).get("storage"),
            is_block: text(&object, "/spec/volumeMode").as_deref() == Some("Block"),
            modes: field(&object, "/spec/accessModes")?,
            has_selector: object.pointer("/spec/selector").is_some(),
            owners: field(&object, "/metadata/ownerReferences")?,
            phase: match text(&object, "/status/phase").as_deref() {
                Some("Bound") => ClaimPhase::Bound,
                Some("Lost") => ClaimPhase::Lost,
                _ => ClaimPhase::Pending,
            },
        })
    }
}

/// A volume.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Volume {
    pub(crate) uid: String,
    pub(crate) revision: String,
    pub(crate) deleting: bool,
    pub(crate) class: String,
    pub(crate) capacity: Quantity,
    pub(crate) modes: Vec<String>,
    pub(crate) reclaim: String,
    /// Who made it; empty for volumes that people made.
    pub(crate) provisioner: String,
    pub(crate) claim: Option<ClaimRef>,
    pub(crate) phase: VolumePhase,
}

/// The claim a volume belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ClaimRef {
    #[serde(default)]
    pub(crate) namespace: String,
    #[serde(default)]
    pub(crate) name: String,
    /// Absent where people reserved the volume for a claim of that name.
    pub(crate) uid: Option<String>,
}

impl ClaimRef {
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::namespaced(self.namespace.as_str(), self.name.as_str())
    }

    pub(crate) fn is_for(&self, key: &ObjectKey, uid: &str) -> bool {
        self.key() == *key && self.uid.as_deref().is_none_or(|known| known == uid)
    }
}

/// What a volume says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumePhase {
    Pending,
    Available,
    Bound,
    Released,
}

impl View for Volume {
    const KIND: Kind = VOLUME;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let capacity = object.pointer("/spec/capacity").and_then(Value::as_object);
        let provisioner = "/metadata/annotations/pv.kubernetes.io~1provisioned-by";
        Ok(Self {
            uid: text(&object, "/metadata/uid").unwrap_or_default(),
            revision: text(&object, "/metadata/resourceVersion").unwrap_or_default(),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            class: text(&object, "/spec/storageClassName").unwrap_or_default(),
            capacity: Resources::read(capacity).get("storage"),
            modes: field(&object, "/spec/accessModes")?,
            reclaim: text(&object, "/spec/persistentVolumeReclaimPolicy")
                .unwrap_or_else(|| "Retain".to_owned()),
            provisioner: text(&object, provisioner).unwrap_or_default(),
            claim: field(&object, "/spec/claimRef")?,
            phase: match text(&object, "/status/phase").as_deref() {
                Some("Bound") => VolumePhase::Bound,
                Some("Available") => VolumePhase::Available,
                Some("Released" | "Failed") => VolumePhase::Released,
                _ => VolumePhase::Pending,
            },
        })
    }
}

/// A class of volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorageClass {
    pub(crate) default: bool,
    pub(crate) provisioner: String,
    pub(crate) reclaim: String,
    pub(crate) binding: Binding,
    pub(crate) may_grow: bool,
    /// The filesystem of its volumes, by the parameter that CSI drivers have for it.
    pub(crate) filesystem: Option<String>,
}

/// When the claims of a class get their volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    Immediate,
    /// When a pod that uses the claim has a node.
    FirstConsumer,
}

impl View for StorageClass {
    const KIND: Kind = CLASS;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let default = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
        Ok(Self {
            default: text(&object, default).as_deref() == Some("true"),
            provisioner: text(&object, "/provisioner").unwrap_or_default(),
            reclaim: text(&object, "/reclaimPolicy").unwrap_or_else(|| "Delete".to_owned()),
            binding: match text(&object, "/volumeBindingMode").as_deref() {
                Some("WaitForFirstConsumer") => Binding::FirstConsumer,
                _ => Binding::Immediate,
            },
            may_grow: field(&object, "/allowVolumeExpansion")?,
            filesystem: text(&object, "/parameters/csi.storage.k8s.io~1fstype"),
        })
    }
}
