//! What the state machine needs to know of an application's spec.
//!
//! It is a view, not the spec: the controller has parsed, defaulted and validated what the user
//! wrote before the machine sees it, so nothing here can be malformed.

use std::time::Duration;

use super::changes::Fields;
use super::health::Obstacle;
use super::reason::Reason;
use crate::resources::Amounts;

/// The application as the state machine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The application's name.
    pub name: String,
    /// The application's namespace.
    pub namespace: String,
    /// The application's uid; owner of everything that is created for it.
    pub uid: String,
    /// `metadata.generation`, reported back as `observedGeneration`.
    pub generation: i64,
    /// Deletion has been requested; owner references do the rest.
    pub deleting: bool,
    /// The user asked for the application not to run for now.
    pub suspend: bool,
    /// The request to run again, as it was last made.
    pub rerun: Option<String>,
    /// What the user wrote, by field; `None` where it is what the current attempt runs anyway.
    pub fields: Option<Fields>,
    /// The name the next driver pod gets.
    pub driver_pod: String,
    /// What happens after an attempt.
    pub restart: RestartPolicy,
    /// What happens to a driver whose node does not answer.
    pub node_loss: NodeLoss,
    /// How long a finished application is kept, where the user limits it.
    pub time_to_live: Option<Duration>,
    /// Whether evictions have to wait for the driver.
    pub protected: bool,
    /// Whether the spec can be submitted at all.
    pub fitness: Fitness,
    /// What its driver and the fewest executors it can do with request, where anybody needs to
    /// know.
    pub least: Option<Amounts>,
}

/// What validation and lowering said about the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitness {
    /// It can be submitted. Fields that Spark cannot honour are named, each with its reason.
    Fit {
        /// One line per field that has no effect.
        not_applied: Vec<String>,
        /// One line per field that a policy decided otherwise.
        decided: Vec<String>,
        /// One line per setting with a secret that everybody reads.
        exposed: Vec<String>,
    },
    /// It cannot be submitted before the user changes it.
    Unfit {
        /// One line per problem, each naming the field, what is wrong and what to do.
        problems: Vec<String>,
    },
    /// It is not submitted for now: a policy about it is broken, so that whoever keeps that has to act;
    /// or an ObjectStore that it names is not there yet.
    Held {
        /// Which of these it is.
        reason: Reason,
        /// One line per mistake of the policy, or ObjectStore.
        problems: Vec<String>,
    },
    /// Nobody asked: nothing is about to be submitted.
    Unassessed,
}

/// What happens after an attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// When to run again.
    pub kind: RestartKind,
    /// How often, and how long after it, a refused submission is repeated.
    pub submission: Budget,
    /// How often, and how long after it, a failed run is repeated.
    pub failure: Budget,
}

/// When an application runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartKind {
    /// One attempt, whatever becomes of it.
    Never,
    /// After a failure, within the budget of its cause.
    OnFailure,
    /// After every end, without limit.
    Always,
}

/// What happens to a driver whose node does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeLoss {
    /// It is waited for: it may still run there.
    Wait,
    /// Its pod is removed without the node's word. The user knows that a second driver beside one
    /// that still runs there does no harm.
    Replace,
}

/// How often something is repeated, and how long to wait before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Repetitions after the first try: 2 means three runs.
    pub retries: u32,
    /// The pause after the first failure, measured from it.
    pub interval: Duration,
}

/// The operator's own settings for every application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A driver whose Spark container has not started after this long is given up.
    pub pending_driver: Duration,
    /// A driver whose image cannot be had for this long is given up.
    pub unpullable_image: Duration,
    /// A driver that no node could ever take is given up after this long, in which nodes may come.
    pub misfit: Duration,
    /// A driver that waits for a ConfigMap, Secret or volume that is not there is given up after
    /// this long.
    pub missing_reference: Duration,
    /// A driver pod that is missing for this long is gone.
    pub missing_driver: Duration,
    /// A pod that is still terminating this long after its grace period sits on a dead node.
    pub overdue_termination: Duration,
    /// A driver that cannot be created because another pod is leaving its name is given up after
    /// this long.
    pub taken_name: Duration,
    /// A driver whose node has not answered for this long is replaced, where the user wants that.
    pub silent_node: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// The longest pause between two looks at a quota.
    pub longest_quota_pause: Duration,
    /// After a run of this length, pauses begin anew.
    pub healthy_run: Duration,
    /// How many failures in a row that came from outside are not charged.
    pub free_failures: u32,
    /// How long the driver pod of a finished application stays for its log; `None` for as long as
    /// the application.
    pub finished_driver: Option<Duration>,
    /// How often to look again when nothing happens.
    pub resync: Duration,
    /// How many live executors the status lists.
    pub live_executors: usize,
    /// How many finished executors the status lists before they become counts.
    pub finished_executors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_driver: Duration::from_mins(10),
            unpullable_image: Duration::from_mins(2),
            misfit: Duration::from_mins(10),
            missing_reference: Duration::from_mins(10),
            missing_driver: Duration::from_secs(10),
            overdue_termination: Duration::from_mins(1),
            taken_name: Duration::from_mins(10),
            silent_node: Duration::from_mins(5),
            longest_pause: Duration::from_mins(5),
            longest_quota_pause: Duration::from_mins(1),
            healthy_run: Duration::from_mins(10),
            free_failures: 10,
            finished_driver: None,
            resync: Duration::from_mins(5),
            live_executors: 1000,
            finished_executors: 50,
        }
    }
}

impl Limits {
    /// How long to wait for an obstacle to go, where that is less than for any other start.
    pub(super) fn patience(&self, obstacle: Obstacle) -> Option<Duration> {
        match obstacle {
            Obstacle::Image => Some(self.unpullable_image),
            Obstacle::Misfit => Some(self.misfit),
            Obstacle::Reference => Some(self.missing_reference),
            Obstacle::Nothing | Obstacle::Other => None,
        }
    }
}
