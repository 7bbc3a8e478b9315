//! Jobs: pods that are to succeed a number of times.
//!
//! A pod that has ended is counted exactly once. Its finalizer keeps it until the status of the Job
//! names it as ended; then the finalizer goes, and once it is gone the pod becomes a number. Whoever
//! crashes in between finds where it was in the status and in the finalizers.

mod count;
mod indexes;
mod plan;
mod policy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use windlass_engine::{Kind, ObjectKey};

use super::beside;
use super::claiming::Keyed;
use super::keeper::{Plan, Workload};
use crate::api::{Api, CallError};
use crate::life::{Matcher, Meta};
use crate::mirror::{Mirror, View, read_all, read_one};
use crate::objects::{Pod, field, text};
use crate::queue::Queue;

const JOB: Kind = Kind::namespaced("batch", "v1", "Job", "jobs");
/// Keeps a pod until it is counted.
const TRACKED: &str = "batch.kubernetes.io/job-tracking";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Who a Job that names nobody is managed by.
const MANAGER: &str = "kubernetes.io/job-controller";

/// A Job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    meta: Meta,
    managed_here: bool,
    parallelism: i64,
    /// Absent: one success is enough, and the pods know themselves when all is done.
    completions: Option<i64>,
    indexed: bool,
    backoff_limit: i64,
    deadline: Option<i64>,
    ttl: Option<i64>,
    suspended: bool,
    replacement: Replacement,
    failure_policy: Vec<policy::FailureRule>,
    success_policy: Vec<policy::SuccessRule>,
    matcher: Matcher,
    template: Value,
    status: Value,
}

/// When a pod is replaced that is about to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replacement {
    /// At once; it counts as failed.
    Terminating,
    /// When it has ended.
    Failed,
}

impl View for Job {
    const KIND: Kind = JOB;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let is = |pointer: &str, value: &str| text(&object, pointer).as_deref() == Some(value);
        let number = |pointer: &str| field::<Option<i64>>(&object, pointer);
        Ok(Self {
            meta: Meta::read(&object)?,
            managed_here: text(&object, "/spec/managedBy").is_none_or(|by| by == MANAGER),
            parallelism: number("/spec/parallelism")?.unwrap_or(1),
            completions: number("/spec/completions")?,
            indexed: is("/spec/completionMode", "Indexed"),
            backoff_limit: number("/spec/backoffLimit")?.unwrap_or(6),
            deadline: number("/spec/activeDeadlineSeconds")?,
            ttl: number("/spec/ttlSecondsAfterFinished")?,
            suspended: field(&object, "/spec/suspend")?,
            replacement: if is("/spec/podReplacementPolicy", "Failed") {
                Replacement::Failed
            } else {
                Replacement::Terminating
            },
            failure_policy: field(&object, "/spec/podFailurePolicy/rules")?,
            success_policy: field(&object, "/spec/successPolicy/rules")?,
            matcher: Matcher::read(object.pointer("/spec/selector")),
            template: field(&object, "/spec/template")?,
            status: field(&object, "/status")?,
        })
    }
}

/// A Job and the pods of its namespace. A Job that is gone may have left pods.
pub(super) struct World {
    key: ObjectKey,
    job: Option<Arc<Job>>,
    pods: Vec<Keyed<Pod>>,
}

/// Keeps Jobs.
pub(super) struct Jobs {
    jobs: Arc<Mirror<Job>>,
    pods: Arc<Mirror<Pod>>,
}

impl Jobs {
    pub(super) fn new(pods: Arc<Mirror<Pod>>) -> Self {
        Self {
            jobs: Mirror::new(),
            pods,
        }
    }
}

/// The Job a pod is or was of.
fn job_of(pod: &Pod) -> Option<&str> {
    match pod.meta.controller() {
        Some(owner) if owner.kind == "Job" => Some(&owner.name),
        Some(_) => None,
        None => pod.labels.get(JOB_NAME).map(String::as_str),
    }
}

fn is_tracked(pod: &Pod) -> bool {
    pod.meta.finalizers.iter().any(|name| name == TRACKED)
}

impl Workload for Jobs {
    const KIND: Kind = JOB;
    const NAME: &'static str = "job-controller";
    type World = World;

    async fn follow(&self, client: kube::Client) {
        Arc::clone(&self.jobs).run(client).await;
    }

    async fn synced(&self) {
        self.jobs.synced().await;
        self.pods.synced().await;
    }

    fn wake(&self, queue: &Arc<Queue<ObjectKey>>) {
        let wake = Arc::clone(queue);
        self.jobs
            .listen(move |change| wake.push(change.key.clone()));
        let wake = Arc::clone(queue);
        let jobs = Arc::clone(&self.jobs);
        self.pods.listen(move |change| {
            for pod in [change.old, change.new].into_iter().flatten() {
                if let Some(name) = job_of(pod) {
                    wake.push(beside(change.key, name));
                } else if pod.meta.controller().is_none() {
                    for (key, job) in jobs.in_namespace(change.key.namespace.as_deref()) {
                        if job.matcher.matches(&pod.labels) {
                            wake.push(key);
                        }
                    }
                }
            }
        });
    }

    fn seen(&self, key: &ObjectKey) -> Option<World> {
        Some(World {
            key: key.clone(),
            job: self.jobs.get(key),
            pods: self.pods.in_namespace(key.namespace.as_deref()),
        })
    }

    async fn read(&self, api: &Api, key: &ObjectKey) -> Result<Option<World>, CallError> {
        Ok(Some(World {
            key: key.clone(),
            job: read_one::<Job>(api, key).await?,
            pods: read_all(api, key.namespace.as_deref()).await?,
        }))
    }

    fn plan(world: &World, now: Timestamp) -> Plan {
        plan::plan(world, now)
    }

    fn uid(world: &World) -> &str {
        world.job.as_ref().map_or("", |job| &job.meta.uid)
    }
}
