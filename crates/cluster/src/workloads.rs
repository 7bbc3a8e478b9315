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

mod budget;
mod claiming;
mod conditions;
mod deployment;
mod job;
mod keeper;
mod replica_set;
#[cfg(test)]
mod samples;
mod shape;
mod stateful_set;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use windlass_engine::ObjectKey;

use crate::api::Api;
use crate::catalog::Catalog;
use crate::mirror::Mirror;
use crate::objects::Pod;
use crate::storage::Claim;
use budget::Budgets;
use deployment::{Deployment, Deployments};
use job::Jobs;
use keeper::Keeper;
use replica_set::{ReplicaSet, ReplicaSets};
use stateful_set::{StatefulSet, StatefulSets};

/// All controllers of workloads, ready to run.
pub(crate) struct Workloads {
    replica_sets: Keeper<ReplicaSets>,
    deployments: Keeper<Deployments>,
    stateful_sets: Keeper<StatefulSets>,
    jobs: Keeper<Jobs>,
    budgets: Keeper<Budgets>,
}

impl Workloads {
    pub(crate) fn new(
        api: &Api,
        catalog: Arc<Catalog>,
        pods: &Arc<Mirror<Pod>>,
        claims: Arc<Mirror<Claim>>,
        ending: &Arc<AtomicBool>,
    ) -> Self {
        let ending = || Arc::clone(ending);
        let sets = Mirror::<ReplicaSet>::new();
        let deployments = Mirror::<Deployment>::new();
        let stateful_sets = Mirror::<StatefulSet>::new();
        let pods = || Arc::clone(pods);
        let budgets = Budgets::new(
            pods(),
            Arc::clone(&sets),
            Arc::clone(&deployments),
            Arc::clone(&stateful_sets),
            catalog,
        );
        let of_sets = ReplicaSets::new(Arc::clone(&sets), pods());
        let of_deployments = Deployments::new(deployments, sets, pods());
        let of_stateful_sets = StatefulSets::new(stateful_sets, pods(), claims);
        Self {
            replica_sets: Keeper::new(api.clone(), ending(), of_sets),
            deployments: Keeper::new(api.clone(), ending(), of_deployments),
            stateful_sets: Keeper::new(api.clone(), ending(), of_stateful_sets),
            jobs: Keeper::new(api.clone(), ending(), Jobs::new(pods())),
            budgets: Keeper::new(api.clone(), ending(), budgets),
        }
    }

    pub(crate) async fn run(self) {
        tokio::join!(
            self.replica_sets.run(),
            self.deployments.run(),
            self.stateful_sets.run(),
            self.jobs.run(),
            self.budgets.run(),
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
