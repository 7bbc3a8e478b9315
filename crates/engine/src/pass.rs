//! One pass over one object: read, observe, plan, write the status, run the effects.
//!
//! The order is the law of the engine:
//! - a status that differs is written alone, with the observed resourceVersion; a conflict means
//!   read again, never force;
//! - after a status write the plan is made again, from the reply;
//! - effects run only when the status is settled, in order, and stop at the first error;
//! - what the API refused, and that something existed already, are observations for the next plan;
//! - a plan that needs live reads is carried out only when it was made from live reads;
//! - `now` is one moment for the whole pass, so a plan made twice asks for the same times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::api::{ApiClient, ApiError, Fault, Grace};
use crate::controller::{Class, Controller};
use crate::events::Recorder;
use crate::externals::Externals;
use crate::gate::{Gate, PATIENCE, Verdict};
use crate::kind::{Kind, ObjectKey};
use crate::object::Object;
use crate::plan::{Basis, Effect, EventNote, ObjectRef, Plan, Severity};
use crate::runner::Clock;
use crate::same::first_difference;
use crate::store::Store;
use crate::territory::Served;
use crate::view::{External, Freshness, Memory, Refusal, View};

/// How many plans one pass makes before it is called a bug: each round must get closer to a
/// status that stays.
const ROUNDS: usize = 10;

/// How many conflicts one pass resolves itself before it goes back to the queue.
const CONFLICTS: usize = 3;

/// How long an object that the API refused, or whose plan is a bug, waits if nothing changes.
pub(crate) const SLOW_RETRY: Duration = Duration::from_mins(5);

/// What one pass works with. Borrowed from the runner for the time of the pass.
pub(crate) struct Pass<'a, C: Controller> {
    pub(crate) controller: &'a C,
    pub(crate) primary: &'a Arc<Store>,
    pub(crate) stores: &'a Arc<[Arc<Store>]>,
    pub(crate) api: &'a ApiClient,
    pub(crate) manager: &'a str,
    pub(crate) recorder: &'a Recorder,
    pub(crate) externals: &'a Externals,
    pub(crate) served: &'a Served,
    pub(crate) clock: &'a Clock,
    pub(crate) now: Timestamp,
}

/// What the engine keeps for an object between its passes.
#[derive(Debug, Default)]
pub(crate) struct ObjectState {
    pub(crate) uid: String,
    pub(crate) gate: Gate,
    pub(crate) refusal: Option<Refusal>,
}

impl ObjectState {
    pub(crate) fn is_blank(&self) -> bool {
        self.gate.is_open() && self.refusal.is_none()
    }
}

/// How a pass ended.
#[derive(Debug)]
pub(crate) enum PassEnd {
    /// Everything the plan asked for is done.
    Settled {
        wake_at: Option<Timestamp>,
        class: Class,
    },
    /// The stores are behind; try again when they move, or at this time.
    Behind { until: Instant },
    /// There is no such object.
    Gone,
    /// It did not go through.
    Failed(PassError),
}

/// Why a pass did not go through.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PassError {
    /// It will pass by itself.
    #[error("{0}")]
    Transient(ApiError),
    /// The object changed faster than it could be written.
    #[error("{0}")]
    Conflict(ApiError),
    /// The API refuses what the plan asks for.
    #[error("{0}")]
    Invalid(ApiError),
    /// The controller did what it never should.
    #[error("{0}")]
    Bug(String),
}

impl PassError {
    /// A stable name for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Transient(_) => "Transient",
            Self::Conflict(_) => "Conflict",
            Self::Invalid(_) => "Invalid",
            Self::Bug(_) => "Bug",
        }
    }

    /// How long to wait at least before the next try.
    pub(crate) fn at_least(&self) -> Duration {
        match self {
            Self::Transient(error) => match error.fault {
                Fault::Throttled(after) | Fault::Unavailable(after) => after.unwrap_or_default(),
                _ => Duration::ZERO,
            },
            Self::Conflict(_) => Duration::ZERO,
            Self::Invalid(error) if error.fault == Fault::Invalid => SLOW_RETRY,
            // Quota, a missing namespace or a missing rule may be put right at any time.
            Self::Invalid(_) => Duration::from_secs(1),
            Self::Bug(_) => SLOW_RETRY,
        }
    }
}

impl From<ApiError> for PassError {
    fn from(error: ApiError) -> Self {
        match error.fault {
            Fault::Conflict => Self::Conflict(error),
            fault if fault.is_refusal() => Self::Invalid(error),
            _ => Self::Transient(error),
        }
    }
}

/// How the effects of one plan went.
enum Effects {
    Done,
    /// An external effect runs; the rest waits for its result.
    Pending,
    /// All others have run, and the external ones at the end still do.
    Asked,
    /// What was to be created is there already.
    Exists(ApiError),
    /// The API refused this effect.
    Refused(Effect, ApiError),
}

impl<C: Controller> Pass<'_, C> {
    /// Brings one object one pass further.
    pub(crate) async fn run(&self, key: &ObjectKey, state: &mut ObjectState) -> PassEnd {
        let freshness = match state
            .gate
            .verdict(self.stores, tokio::time::Instant::now().into_std())
        {
            Verdict::Wait(until) => return PassEnd::Behind { until },
            Verdict::Cached => Freshness::Cached,
            Verdict::Live => Freshness::Live,
        };
        match self.settle(key, state, freshness).await {
            Ok(end) => end,
            Err(error) => {
                // A write may have happened, or the stores are known to be behind.
                if !matches!(error, PassError::Bug(_)) {
                    state.gate.doubt();
                }
                PassEnd::Failed(error)
            }
        }
    }

    async fn settle(
        &self,
        key: &ObjectKey,
        state: &mut ObjectState,
        mut freshness: Freshness,
    ) -> Result<PassEnd, PassError> {
        let Some(mut object) = self.read(key, state, freshness).await? else {
            return Ok(PassEnd::Gone);
        };
        if state.uid != object.uid() {
            // Another object took the name: what was refused to the old one means nothing.
            object.uid().clone_into(&mut state.uid);
            state.refusal = None;
        }
        let mut written: Option<Value> = None;
        let mut conflicts = 0;
        let mut refused_now = false;
        for _ in 0..ROUNDS {
            let plan = self.plan(&object, state, freshness).await?;
            let status = serde_json::to_value(&plan.status)
                .map_err(|error| PassError::Bug(format!("the status is not JSON: {error}")))?;
            let difference = first_difference("status", object.status(), &status);
            let changes_something = difference.is_some() || !plan.effects.is_empty();
            if freshness == Freshness::Cached && changes_something && rests_on_live_reads(&plan) {
                freshness = Freshness::Live;
                match self.read(key, state, freshness).await? {
                    Some(found) => object = found,
                    None => return Ok(PassEnd::Gone),
                }
                continue;
            }
            if let Some(path) = difference {
                if written.as_ref() == Some(&status) {
                    return Err(PassError::Bug(format!(
                        "the API does not keep {path} as written; the installed \
                         CustomResourceDefinition is older than this controller: apply the \
                         current one"
                    )));
                }
                match self.write_status(&object, &status, state).await {
                    Ok(reply) => {
                        self.emit(&object, plan.events);
                        self.controller
                            .status_written(&object, &reply, (self.clock)());
                        object = reply;
                        written = Some(status);
                    }
                    Err(error) if error.fault == Fault::NotFound => return Ok(PassEnd::Gone),
                    Err(error) if error.fault == Fault::Conflict && conflicts < CONFLICTS => {
                        conflicts += 1;
                        freshness = Freshness::Live;
                        match self.read(key, state, freshness).await? {
                            Some(found) => object = found,
                            None => return Ok(PassEnd::Gone),
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            if let Some(refusal) = &state.refusal
                && refused_now
                && plan.effects.contains(&refusal.effect)
            {
                // The plan knows of the refusal and wants to try again: later, not at once.
                return Err(refusal.error.clone().into());
            }
            match self.run_effects(&object, &plan, state).await? {
                Effects::Done | Effects::Asked => {
                    self.emit(&object, plan.events);
                    self.forget_seen(key, &plan.effects, state);
                    return Ok(self.settled(&object, plan.wake_at));
                }
                Effects::Pending => return Ok(self.settled(&object, plan.wake_at)),
                Effects::Exists(error) if freshness == Freshness::Live && conflicts > 0 => {
                    return Err(PassError::Transient(error));
                }
                Effects::Exists(_) => {
                    conflicts += 1;
                    freshness = Freshness::Live;
                    match self.read(key, state, freshness).await? {
                        Some(found) => object = found,
                        None => return Ok(PassEnd::Gone),
                    }
                }
                Effects::Refused(effect, error) => {
                    self.note_refusal(effect, error, state);
                    refused_now = true;
                    // Effects before the refused one may have gone through; only the API shows it.
                    freshness = Freshness::Live;
                    match self.read(key, state, freshness).await? {
                        Some(found) => object = found,
                        None => return Ok(PassEnd::Gone),
                    }
                }
            }
        }
        Err(PassError::Bug(format!(
            "the plan still changes after {ROUNDS} rounds on the same observations"
        )))
    }

    async fn plan(
        &self,
        object: &Object,
        state: &ObjectState,
        freshness: Freshness,
    ) -> Result<Plan<C::Status>, PassError> {
        let memory = Arc::new(Memory {
            externals: self.externals.of(&object.key(), object.uid()),
            refusal: state.refusal.clone(),
        });
        let view = View::new(freshness, Arc::clone(self.stores), self.api.clone(), memory);
        let observed = self.controller.observe(object, &view).await?;
        Ok(self.controller.plan(object, &observed, self.now))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        state: &mut ObjectState,
        freshness: Freshness,
    ) -> Result<Option<Object>, PassError> {
        // What is no longer the engine's is as good as gone: whoever has it now decides about it.
        if !self.served.includes(key.namespace.as_deref()) {
            return Ok(None);
        }
        match freshness {
            Freshness::Cached => Ok(self.primary.get(key)),
            Freshness::Live => {
                if !self.served.is_ours_now(self.api, key).await? {
                    return Ok(None);
                }
                let found = self.api.get(self.primary.kind(), key).await?;
                let ours = found.filter(|object| self.primary.selects(object));
                Ok(ours.map(|object| {
                    self.expect(self.primary.kind(), &object, state);
                    self.primary.trimmed(object)
                }))
            }
        }
    }

    async fn write_status(
        &self,
        object: &Object,
        status: &Value,
        state: &mut ObjectState,
    ) -> Result<Object, ApiError> {
        let kind = self.primary.kind();
        let reply = self
            .api
            .update_status(kind, object, status, self.manager)
            .await?;
        self.expect(kind, &reply, state);
        Ok(self.primary.trimmed(reply).with_kind(kind))
    }

    async fn run_effects(
        &self,
        object: &Object,
        plan: &Plan<C::Status>,
        state: &mut ObjectState,
    ) -> Result<Effects, PassError> {
        let mut is_waiting = false;
        for effect in &plan.effects {
            let result = match effect {
                Effect::External { key } => {
                    let known = self.externals.ask(object, key);
                    is_waiting |= matches!(known, Some(External::Running) | None);
                    continue;
                }
                _ if is_waiting => return Ok(Effects::Pending),
                Effect::Create(body) => self.create(body, state).await,
                Effect::Apply(body) => self.apply(body, state).await,
                Effect::ApplyStatus(body) => self.apply_status(body, state).await,
                Effect::Patch { target, patch } => self.patch(target, patch, state).await,
                Effect::Delete { target, uid } => self.delete(target, uid, Grace::Own, state).await,
                Effect::ForceDelete { target, uid } => {
                    self.delete(target, uid, Grace::None, state).await
                }
                Effect::Orphan { target, uid } => self.orphan(target, uid).await,
            };
            match result {
                Ok(()) => {}
                Err(error) if error.fault == Fault::AlreadyExists => {
                    return Ok(Effects::Exists(error));
                }
                Err(error) if error.fault.is_refusal() => {
                    return Ok(Effects::Refused(effect.clone(), error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(if is_waiting {
            Effects::Asked
        } else {
            Effects::Done
        })
    }

    async fn create(&self, body: &Value, state: &mut ObjectState) -> Result<(), ApiError> {
        let kind = self.kind_of(&Object::new(body.clone()).object_ref());
        let reply = self.api.create(&kind, body, self.manager).await?;
        self.expect(&kind, &reply, state);
        Ok(())
    }

    async fn apply(&self, body: &Value, state: &mut ObjectState) -> Result<(), ApiError> {
        let kind = self.kind_of(&Object::new(body.clone()).object_ref());
        let reply = self.api.apply(&kind, body, self.manager).await?;
        self.expect(&kind, &reply, state);
        Ok(())
    }

    async fn apply_status(&self, body: &Value, state: &mut ObjectState) -> Result<(), ApiError> {
        let kind = self.kind_of(&Object::new(body.clone()).object_ref());
        let reply = self.api.apply_status(&kind, body, self.manager).await?;
        self.expect(&kind, &reply, state);
        Ok(())
    }

    async fn patch(
        &self,
        target: &ObjectRef,
        patch: &Value,
        state: &mut ObjectState,
    ) -> Result<(), ApiError> {
        let kind = self.kind_of(target);
        let reply = self
            .api
            .patch(&kind, &target.into(), patch, self.manager)
            .await?;
        self.expect(&kind, &reply, state);
        Ok(())
    }

    async fn delete(
        &self,
        target: &ObjectRef,
        uid: &str,
        grace: Grace,
        state: &mut ObjectState,
    ) -> Result<(), ApiError> {
        let kind = self.kind_of(target);
        let key = target.into();
        self.api.delete(&kind, &key, uid, grace).await?;
        state.gate.expect_deleted(&kind, &key, uid, patience());
        Ok(())
    }

    /// The object stays until what it owned has lost its owner, so nothing tells when the stores show it.
    async fn orphan(&self, target: &ObjectRef, uid: &str) -> Result<(), ApiError> {
        let kind = self.kind_of(target);
        self.api.orphan(&kind, &target.into(), uid).await
    }

    /// The stores must show what was just seen, before the object is planned from them again. What
    /// no watch will ever show is not waited for.
    fn expect(&self, kind: &Kind, seen: &Object, state: &mut ObjectState) {
        let mut stores = self.stores.iter();
        let store = stores.find(|store| store.kind() == kind);
        if store.is_some_and(|store| store.selects(seen)) {
            state.gate.expect_seen(kind, seen, patience());
        }
    }

    fn kind_of(&self, target: &ObjectRef) -> Kind {
        let watched = self.stores.iter().map(|store| store.kind());
        watched
            .into_iter()
            .find(|kind| kind.matches(&target.api_version, &target.kind))
            .cloned()
            .unwrap_or_else(|| Kind::of(target))
    }

    fn note_refusal(&self, effect: Effect, error: ApiError, state: &mut ObjectState) {
        let (times, since) = match &state.refusal {
            Some(before) if before.effect == effect => (before.times + 1, before.since),
            _ => (1, self.now),
        };
        state.refusal = Some(Refusal {
            effect,
            error,
            times,
            since,
        });
    }

    /// A pass that went through has told the plan everything it was meant to learn.
    fn forget_seen(&self, key: &ObjectKey, effects: &[Effect], state: &mut ObjectState) {
        state.refusal = None;
        self.externals.keep_only(key, |external| {
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::External { key } if key == external))
        });
    }

    fn settled(&self, object: &Object, wake_at: Option<Timestamp>) -> PassEnd {
        PassEnd::Settled {
            wake_at,
            class: self.controller.class(object),
        }
    }

    fn emit(&self, object: &Object, events: Vec<EventNote>) {
        for event in events {
            self.recorder
                .record(self.controller.name(), object, event, self.now);
        }
    }
}

/// What people are told when a pass cannot go on by itself.
pub(crate) fn failure_event(error: &PassError) -> Option<EventNote> {
    let (reason, note) = match error {
        PassError::Transient(_) | PassError::Conflict(_) => return None,
        PassError::Invalid(error) => ("Refused", format!("the API refused to {error}")),
        PassError::Bug(note) => ("InternalError", note.clone()),
    };
    Some(EventNote {
        severity: Severity::Warning,
        reason: reason.to_owned(),
        action: "Reconcile".to_owned(),
        note,
    })
}

fn rests_on_live_reads<S>(plan: &Plan<S>) -> bool {
    let deletes = |effect: &Effect| {
        matches!(
            effect,
            Effect::Delete { .. } | Effect::ForceDelete { .. } | Effect::Orphan { .. }
        )
    };
    plan.basis == Basis::Live || plan.effects.iter().any(deletes)
}

fn patience() -> Instant {
    tokio::time::Instant::now().into_std() + PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Verb;

    #[test]
    fn errors_wait_as_long_as_it_takes_to_matter() {
        let after = Duration::from_secs(7);
        let cases = [
            (Fault::Unavailable(None), "Transient", Duration::ZERO),
            (Fault::Unavailable(Some(after)), "Transient", after),
            (Fault::Throttled(Some(after)), "Transient", after),
            (Fault::AlreadyExists, "Transient", Duration::ZERO),
            (Fault::Conflict, "Conflict", Duration::ZERO),
            (Fault::Invalid, "Invalid", SLOW_RETRY),
            (Fault::Forbidden, "Invalid", Duration::from_secs(1)),
            (Fault::NotFound, "Invalid", Duration::from_secs(1)),
        ];
        for (fault, reason, at_least) in cases {
            let error = PassError::from(ApiError {
                verb: Verb::Create,
                target: "pods team/a".to_owned(),
                fault,
                code: 0,
                reason: String::new(),
                message: String::new(),
            });
            assert_eq!(
                (error.reason(), error.at_least()),
                (reason, at_least),
                "{fault:?}"
            );
        }
    }

    #[test]
    fn a_plan_that_deletes_rests_on_live_reads_whatever_it_says() {
        let plan = |basis, effects| Plan {
            status: (),
            effects,
            events: vec![],
            wake_at: None,
            basis,
        };
        let target = Kind::POD.object_ref(&ObjectKey::namespaced("team", "a"));
        let delete = Effect::Delete {
            target: target.clone(),
            uid: "u".to_owned(),
        };
        let force = Effect::ForceDelete {
            target,
            uid: "u".to_owned(),
        };
        assert!(!rests_on_live_reads(&plan(Basis::Cached, vec![])));
        assert!(rests_on_live_reads(&plan(Basis::Live, vec![])));
        assert!(rests_on_live_reads(&plan(Basis::Cached, vec![delete])));
        assert!(rests_on_live_reads(&plan(Basis::Cached, vec![force])));
    }
}
