//! Carrying out what a plan says.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::PropagationPolicy;
use parking_lot::Mutex;
use serde_json::Value;
use windlass_engine::{Kind, ObjectKey};

use crate::api::{Api, CallError};
use crate::events::{Events, Note, Severity, Subject};
use crate::queue::Queue;

/// How many pods are made or deleted at the same time.
const MOST_AT_ONCE: usize = 16;

/// What is to be done about one object, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// When to look again although nothing has happened.
    pub(super) again: Option<Duration>,
}

/// One thing to do, in the namespace of the object it is done for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Make the object; that it exists is an error, as every plan knows what exists.
    Create {
        kind: Kind,
        object: Value,
        said: Option<Said>,
    },
    /// Delete exactly this incarnation, with its dependents.
    Delete {
        kind: Kind,
        name: Arc<str>,
        uid: String,
        said: Option<Said>,
    },
    /// Strategic merge patch. The patch names the uid, and the revision where it matters.
    Patch {
        kind: Kind,
        name: Arc<str>,
        patch: Value,
    },
    /// Merge patch of the status of the object itself.
    Status { patch: Value },
    /// Tell the people who watch the object.
    Tell(Note),
}

impl Step {
    /// Whether two steps in a row may be carried out at the same time: they make or delete different
    /// objects of one kind.
    fn may_go_beside(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Create { kind, .. }, Self::Create { kind: other, .. }) => kind == other,
            (
                Self::Delete { kind, name, .. },
                Self::Delete {
                    kind: other,
                    name: next,
                    ..
                },
            ) => kind == other && name != next,
            _ => false,
        }
    }
}

/// An event about a step that succeeded; `{}` in its text stands for the name of what was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) reason: &'static str,
    pub(super) text: String,
}

/// One kind of workload.
pub(super) trait Workload: Send + Sync + 'static {
    const KIND: Kind;
    const NAME: &'static str;
    /// All that a plan is made of.
    type World: Send + Sync;

    /// Starts whatever watches it has to itself and never ends.
    fn follow(&self, client: kube::Client) -> impl Future<Output = ()> + Send;
    /// Waits until the copies are complete.
    fn synced(&self) -> impl Future<Output = ()> + Send;
    /// Asks for a look at whatever a change may concern.
    fn wake(&self, queue: &Arc<Queue<ObjectKey>>);
    /// What the copies say.
    fn seen(&self, key: &ObjectKey) -> Option<Self::World>;
    /// Whether the copies do not tell enough, so that every pass has to ask the API.
    fn is_incomplete(world: &Self::World) -> bool {
        let _ = world;
        false
    }
    /// What the API says.
    fn read(
        &self,
        api: &Api,
        key: &ObjectKey,
    ) -> impl Future<Output = Result<Option<Self::World>, CallError>> + Send;
    /// What is to be done.
    fn plan(world: &Self::World, now: Timestamp) -> Plan;
    /// The uid of the object.
    fn uid(world: &Self::World) -> &str;
    /// What is to be done when the API refuses to make something for the object.
    fn refused(world: &Self::World, reason: &str, now: Timestamp) -> Vec<Step> {
        let _ = (world, reason, now);
        Vec::new()
    }
}

/// Runs one kind of workload.
pub(super) struct Keeper<W> {
    api: Api,
    events: Events,
    queue: Arc<Queue<ObjectKey>>,
    /// What the API has refused, so that it is told once and not at every attempt.
    refusals: Mutex<HashMap<ObjectKey, String>>,
    /// Whether the cluster is about to end, so that no pod is made any more.
    ending: Arc<AtomicBool>,
    workload: W,
}

impl<W: Workload> Keeper<W> {
    pub(super) fn new(api: Api, ending: Arc<AtomicBool>, workload: W) -> Self {
        let queue = Arc::new(Queue::new());
        workload.wake(&queue);
        Self {
            events: Events::new(api.clone(), W::NAME),
            api,
            queue,
            refusals: Mutex::default(),
            ending,
            workload,
        }
    }

    pub(super) async fn run(self) {
        let work = async {
            self.workload.synced().await;
            self.queue.work(W::NAME, |key| self.pass(key)).await;
        };
        tokio::join!(self.workload.follow(self.api.client().clone()), work);
    }

    async fn pass(&self, key: ObjectKey) -> Result<Option<Duration>, CallError> {
        let Some(seen) = self.workload.seen(&key) else {
            self.refusals.lock().remove(&key);
            return Ok(None);
        };
        let glance = W::plan(&seen, Timestamp::now());
        if glance.steps.is_empty() && !W::is_incomplete(&seen) {
            return Ok(glance.again);
        }
        let Some(live) = Box::pin(self.workload.read(&self.api, &key)).await? else {
            return Ok(None);
        };
        let now = Timestamp::now();
        let plan = W::plan(&live, now);
        let subject = Subject {
            kind: W::KIND,
            key: &key,
            uid: W::uid(&live),
        };
        for run in plan.steps.chunk_by(Step::may_go_beside) {
            if let Err(error) = self.carry_out_run(&subject, run).await {
                let makes = matches!(run, [Step::Create { .. }, ..]);
                if let CallError::Refused { message, .. } = &error
                    && makes
                {
                    self.tell_refusal(&subject, message).await;
                    for step in W::refused(&live, message, now) {
                        self.carry_out(&subject, &step).await?;
                    }
                }
                return Err(error);
            }
        }
        self.refusals.lock().remove(&key);
        Ok(plan.again)
    }

    /// Carries out steps that need not wait for each other: one first, as whatever stops one stops
    /// all, and then more and more at a time.
    async fn carry_out_run(&self, subject: &Subject<'_>, run: &[Step]) -> Result<(), CallError> {
        let mut rest = run;
        let mut size = 1;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(size));
            let batch = batch.iter().map(|step| self.carry_out(subject, step));
            let done = futures::future::join_all(batch).await;
            done.into_iter().collect::<Result<(), CallError>>()?;
            rest = later;
            size = MOST_AT_ONCE.min(size * 2);
        }
        Ok(())
    }

    async fn tell_refusal(&self, subject: &Subject<'_>, message: &str) {
        let known = self
            .refusals
            .lock()
            .insert(subject.key.clone(), message.to_owned());
        if known.as_deref() != Some(message) {
            let note = Note {
                severity: Severity::Warning,
                reason: "FailedCreate",
                action: "FailedCreate",
                text: format!("Error creating: {message}"),
            };
            self.events.publish(subject, &note).await;
        }
    }

    async fn carry_out(&self, subject: &Subject<'_>, step: &Step) -> Result<(), CallError> {
        let namespace = subject.key.namespace.as_deref();
        let key = |name: &Arc<str>| ObjectKey {
            namespace: subject.key.namespace.clone(),
            name: Arc::clone(name),
        };
        match step {
            Step::Create { kind, .. } if *kind == Kind::POD && self.ending.load(Relaxed) => {}
            Step::Create { kind, object, said } => {
                let made = self.api.make(kind, namespace, object).await?;
                let name = made["metadata"]["name"].as_str().unwrap_or_default();
                self.say(subject, said.as_ref(), name).await;
            }
            Step::Delete {
                kind,
                name,
                uid,
                said,
            } => {
                let policy = PropagationPolicy::Background;
                self.api.delete(kind, &key(name), uid, policy).await?;
                self.say(subject, said.as_ref(), name).await;
            }
            Step::Patch { kind, name, patch } => {
                match self.api.patch(kind, &key(name), patch).await {
                    // It went meanwhile, which the watch will tell.
                    Ok(_) | Err(CallError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Step::Status { patch } => {
                self.api
                    .replace_status(&W::KIND, subject.key, patch)
                    .await?;
            }
            Step::Tell(note) => self.events.publish(subject, note).await,
        }
        Ok(())
    }

    async fn say(&self, subject: &Subject<'_>, said: Option<&Said>, name: &str) {
        if let Some(said) = said {
            let note = Note {
                severity: Severity::Normal,
                reason: said.reason,
                action: said.reason,
                text: said.text.replace("{}", name),
            };
            self.events.publish(subject, &note).await;
        }
    }
}

/// The earlier of two times to look again.
pub(super) fn sooner(first: Option<Duration>, second: Option<Duration>) -> Option<Duration> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (some, None) | (None, some) => some,
    }
}

/// A wait that is not negative; a moment more, as the API keeps whole seconds.
pub(super) fn wait(rest: SignedDuration) -> Duration {
    Duration::try_from(rest).unwrap_or_default() + Duration::from_millis(10)
}
