//! Workloads: who keeps pods, and sets of pods, as many and as new as somebody wants them.
//!
//! Each controller is a pure `plan` from what is seen to [`Step`]s, and [`Keeper`] carries it out.
//!
//! Laws:
//! - the copies only tell whether there is something to do; what is done is planned again from
//!   reads that went to the API just before, so that an object a watch shows late is not made or
//!   deleted twice;
//! - one worker per controller, so nobody else writes the status of its objects meanwhile;
//! - deletions and patches name the uid they are about;
//! - a pass over an object that is as it should be has no steps.

mod claiming;
mod conditions;
mod deployment;
mod job;
mod keeper;
mod replica_set;
mod shape;
mod stateful_set;

use std::sync::Arc;

use windlass_engine::ObjectKey;

use crate::api::Api;
use crate::mirror::Mirror;
use crate::objects::Pod;
use crate::storage::Claim;
use deployment::Deployments;
use job::Jobs;
use keeper::Keeper;
use replica_set::{ReplicaSet, ReplicaSets};
use stateful_set::StatefulSets;

/// All controllers of workloads, ready to run.
pub(crate) struct Workloads {
    replica_sets: Keeper<ReplicaSets>,
    deployments: Keeper<Deployments>,
    stateful_sets: Keeper<StatefulSets>,
    jobs: Keeper<Jobs>,
}

impl Workloads {
    pub(crate) fn new(api: &Api, pods: &Arc<Mirror<Pod>>, claims: Arc<Mirror<Claim>>) -> Self {
        let sets = Mirror::<ReplicaSet>::new();
        Self {
            replica_sets: Keeper::new(
                api.clone(),
                ReplicaSets::new(Arc::clone(&sets), Arc::clone(pods)),
            ),
            deployments: Keeper::new(api.clone(), Deployments::new(sets, Arc::clone(pods))),
            jobs: Keeper::new(api.clone(), Jobs::new(Arc::clone(pods))),
            stateful_sets: Keeper::new(api.clone(), StatefulSets::new(Arc::clone(pods), claims)),
        }
    }

    pub(crate) async fn run(self) {
        tokio::join!(
            self.replica_sets.run(),
            self.deployments.run(),
            self.stateful_sets.run(),
            self.jobs.run(),
        );
    }
}

/// The key of an owner, which lives in the namespace of what it owns.
fn beside(key: &ObjectKey, name: &str) -> ObjectKey {
    ObjectKey {
        namespace: key.namespace.clone(),
        name: name.into(),
    }
}
