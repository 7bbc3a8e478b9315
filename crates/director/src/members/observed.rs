//! What is: the objects of one cluster, reduced to what decisions rest on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use windlass_api::director::cluster::ContainerState;
use windlass_api::quantity::Quantity;

use super::auto_grow::AutoGrowMarks;
use super::belonging::Belonging;
use super::hooks::{HookKey, HookState};
use super::marks::{ClaimMarks, PodMarks};
use crate::autoscale::Sample;
use crate::blueprint::Blueprint;
use crate::build::{Seed, storage_size};
use crate::configmeta::Connections;
use crate::names::{self, Names, Present as PresentNames};

/// Everything a decision may look at besides the cluster itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The headless Service.
    pub headless: Option<Present>,
    /// The StatefulSets, by role.
    pub sets: BTreeMap<String, ObservedSet>,
    /// The pods of all roles.
    pub pods: Vec<ObservedPod>,
    /// The claims of all roles.
    pub claims: Vec<ObservedClaim>,
    /// The members' Services.
    pub services: Vec<Present>,
    /// The PodDisruptionBudgets.
    pub budgets: Vec<Present>,
    /// The Secret of the delivery.
    pub delivery: Option<ObservedDelivery>,
    /// Second StatefulSets of roles, which nobody owns.
    pub strays: Vec<String>,
    /// Names of StatefulSets and Services that are somebody else's.
    pub taken: BTreeSet<String>,
    /// What the cluster is connected to, as far as it is there.
    pub connections: Connections,
    /// Hooks that run, and results of hooks that no plan has made use of yet.
    pub hooks: BTreeMap<HookKey, HookState>,
    /// How many members there is a use for, by role, as far as that was answered to this process.
    pub demands: BTreeMap<String, Sample>,
    /// A random text, in case one is needed.
    pub entropy: Option<Seed>,
    /// What the API refused last.
    pub refusal: Option<String>,
    /// Whether this operator lets claims grow by themselves that say so.
    pub lets_claims_grow: bool,
}

impl Observed {
    /// What the cluster's objects are called: what is there keeps its name.
    pub fn names(&self, blueprint: &Blueprint) -> Names {
        let sets = self.sets.iter();
        let sets: BTreeMap<String, String> = sets
            .map(|(role, set)| (role.clone(), set.object.name.clone()))
            .collect();
        let present = PresentNames {
            headless: self.headless.as_ref().map(|it| it.name.as_str()),
            delivery: self.delivery.as_ref().map(|it| it.object.name.as_str()),
            sets: Some(&sets),
            taken: Some(&self.taken),
        };
        let ids = blueprint.roles.iter().map(|role| role.id.as_str());
        Names::settle(blueprint.subject(), ids, present)
    }

    /// Takes away what has the cluster's labels and belongs to none of its StatefulSets: members of a
    /// StatefulSet of another name are not counted as if they were of these.
    pub fn only_of(mut self, names: &Names) -> Self {
        let is_of = |role: &str, name: &str, ordinal: u32| {
            names::ordinal(name, names.stateful_set(role)) == Some(ordinal)
        };
        self.pods
            .retain(|pod| is_of(&pod.role, &pod.object.name, pod.ordinal));
        self.claims
            .retain(|claim| is_of(&claim.role, &claim.name, claim.ordinal));
        self
    }
}

/// An object that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The hash of what it was made from.
    pub made_from: Option<String>,
    /// Whose it is.
    pub belonging: Belonging,
    /// What it is by now, where that is to be looked at: labels and specification.
    pub content: Option<Content>,
}

/// What an object is, as far as others could have changed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Its `metadata.resourceVersion`.
    pub revision: String,
    /// Its labels.
    pub labels: Value,
    /// Its specification.
    pub spec: Value,
}

/// A StatefulSet that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedSet {
    /// The object.
    pub object: Present,
    /// How many replicas it is to have.
    pub replicas: u32,
    /// Its templates of claims.
    pub claims: Option<Value>,
    /// Its deletion has been requested.
    pub deleting: bool,
}

/// The Secret of the delivery, as it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedDelivery {
    /// The object.
    pub object: Present,
    /// The version of what is in it.
    pub generation: u64,
    /// The hash of what is in it.
    pub content: String,
    /// What its tokens are made from.
    pub seed: Option<Seed>,
}

/// A pod that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedPod {
    /// The object, with the hash of the template that it was made from.
    pub object: Present,
    /// Its role.
    pub role: String,
    /// Its ordinal.
    pub ordinal: u32,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Its deletion has been requested.
    pub deleting: bool,
    /// How its container stands.
    pub container: Container,
    /// Whether it is ready.
    pub ready: bool,
    /// What is written on it.
    pub marks: PodMarks,
    /// Why it finds no node.
    pub scheduling_error: Option<String>,
    /// Why its container does not start.
    pub trouble: Option<String>,
    /// The container that copies its directories, while it runs.
    pub init_container: Option<String>,
}

/// How the container of a member stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Container {
    /// It runs.
    Running {
        /// Its id.
        id: String,
    },
    /// It runs as far as is known, but its node does not answer.
    Unresponsive {
        /// Its id.
        id: String,
    },
    /// It waits to be started.
    Waiting,
    /// The directories are copied to its storage.
    Initializing,
    /// It has ended.
    Terminated,
    /// It cannot be told.
    #[default]
    Unknown,
}

/// A claim that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedClaim {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The role of its member.
    pub role: String,
    /// The ordinal of its member.
    pub ordinal: u32,
    /// Whether it goes with the cluster.
    pub belonging: Belonging,
    /// Its deletion has been requested.
    pub deleting: bool,
    /// What is written on it.
    pub marks: ClaimMarks,
    /// What it says of growing by itself.
    pub auto_grow: AutoGrowMarks,
    /// Its `metadata.resourceVersion`.
    pub revision: Option<String>,
    /// Its volume.
    pub volume: ObservedVolume,
}

/// The volume of a claim, as the claim tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedVolume {
    /// There is one.
    pub bound: bool,
    /// How much the claim asks for.
    pub request: Option<Quantity>,
    /// How much it has.
    pub capacity: Option<Quantity>,
    /// Since when its file system waits to be made larger, which a node does that mounts it.
    pub waits_since: Option<Timestamp>,
    /// Why it did not become larger when that was tried last.
    pub trouble: Option<String>,
    /// It will not be tried again.
    pub given_up: bool,
}

impl ObservedSet {
    /// How much the file systems of its members are made with.
    pub fn storage(&self, prefix: &str) -> Option<Quantity> {
        storage_size(self.claims.as_ref()?, prefix)?.parse().ok()
    }

    /// Whether claims that are made from its templates are not those of this owner: Kubernetes would
    /// collect them at once.
    pub fn makes_claims_of_others(&self, uid: &str) -> bool {
        let templates = self.claims.as_ref().and_then(Value::as_array);
        let owners = templates.into_iter().flatten().flat_map(|template| {
            let owners = template["metadata"]["ownerReferences"].as_array();
            owners.into_iter().flatten()
        });
        let mut uids = owners.filter_map(|owner| owner["uid"].as_str());
        uids.any(|it| it != uid)
    }
}

impl Container {
    /// The id of a container that is there.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Running { id } | Self::Unresponsive { id } => Some(id),
            Self::Waiting | Self::Initializing | Self::Terminated | Self::Unknown => None,
        }
    }

    /// Whether hooks can be run in it.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// As the status has it.
    pub fn state(&self) -> ContainerState {
        match self {
            Self::Running { .. } => ContainerState::Running,
            Self::Unresponsive { .. } => ContainerState::Unresponsive,
            Self::Waiting => ContainerState::Waiting,
            Self::Initializing => ContainerState::Initializing,
            Self::Terminated => ContainerState::Terminated,
            Self::Unknown => ContainerState::Unknown,
        }
    }
}
