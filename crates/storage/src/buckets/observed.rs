//! What a plan for an ObjectStore is made from.

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;
use windlass_api::storage::object_store::DeletionPolicy;
use windlass_engine::Object;
use windlass_engine::plan::ObjectRef;

use super::defaults::Defaults;
use super::steps::{Sight, Step, StoreError};
use super::wanted::{Unwanted, Wanted};

/// What is known of an ObjectStore itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The object.
    pub target: ObjectRef,
    /// Its resourceVersion, which a change of its finalizers rests on.
    pub version: String,
    /// Its generation.
    pub generation: i64,
    /// Whether it is to stay.
    pub life: Life,
    /// All of its finalizers.
    pub finalizers: Vec<String>,
    /// What becomes of the bucket, as far as that can be read; it stays where it cannot.
    pub policy: DeletionPolicy,
    /// What it asks for.
    pub wanted: Result<Wanted, Unwanted>,
}

impl Spec {
    /// Reads an ObjectStore, with these defaults for what it does not say.
    pub fn of(object: &Object, defaults: &Defaults) -> Self {
        let finalizers = object.as_value()["metadata"]["finalizers"].as_array();
        let finalizers = finalizers.into_iter().flatten();
        Self {
            target: object.object_ref(),
            version: object.resource_version().to_owned(),
            generation: object.generation(),
            life: if object.is_deleting() {
                Life::Deleting
            } else {
                Life::Kept
            },
            finalizers: finalizers
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            policy: DeletionPolicy::deserialize(&object.spec()["deletionPolicy"])
                .unwrap_or_default(),
            wanted: Wanted::of(object, defaults),
        }
    }
}

/// Whether an ObjectStore is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is.
    Kept,
    /// Somebody has deleted it.
    Deleting,
}

impl Life {
    /// As a word, which is part of what a store is asked.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Deleting => "deleting",
        }
    }
}

/// What is seen besides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The Secret with the credentials.
    pub secret: Secret,
    /// What is being done.
    pub work: Work,
    /// What the store said last, to whatever question.
    pub answer: Option<Answer>,
    /// How many answers there were: each try is one of its own.
    pub turn: u64,
    /// What the API refused last.
    pub refusal: Option<String>,
}

/// Whether something is being done at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    Idle,
    /// A step.
    Running,
}

/// A Secret with credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// None is named.
    Unneeded,
    /// It is not there.
    Missing(String),
    /// It is there, at this version.
    Found(String),
}

impl Secret {
    /// Its version.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Found(version) => Some(version),
            Self::Unneeded | Self::Missing(_) => None,
        }
    }
}

/// What a store said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it was asked; see [`Wanted::question`].
    pub question: String,
    /// What was to be done.
    pub step: Step,
    /// How the bucket stands.
    pub result: Result<Sight, StoreError>,
    /// Which entries of the Secret there were.
    pub keys: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// How often in a row it gave trouble.
    pub failures: u32,
}
