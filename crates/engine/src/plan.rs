//! The data a decision is made of.
//!
//! A controller's `plan()` is a pure, total function that returns a [`Plan`]; the engine alone
//! talks to the cluster. Laws:
//! - a plan depends on what is, never on which event arrived;
//! - status is written before any effect, and a plan is made again from the written object;
//! - effects run in order and stop at the first error;
//! - a plan that is final, destructive or starts something names [`Basis::Live`];
//! - every state that is not final names a `wake_at`;
//! - when nothing is left to do, a second pass writes nothing.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::object::Object;

/// What should change for one object, decided from what is.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<S> {
    /// The status the object should have. The engine writes it only when it differs.
    pub status: S,
    /// Changes to other objects, in order. They run only while the status is as planned.
    pub effects: Vec<Effect>,
    /// What to tell the people who watch this object. They are told when the plan has been carried
    /// through: when the status it asks for is written, or else when its effects have run. The
    /// same event again within minutes only counts up.
    pub events: Vec<EventNote>,
    /// When to look again even if nothing happens; `None` only in a final state.
    pub wake_at: Option<Timestamp>,
    /// What the plan must rest on before any of it is carried out.
    pub basis: Basis,
}

impl<S: Serialize> Plan<S> {
    /// The plan as the engine wants it. A status that says nothing new stays to the letter as the object has
    /// it, so that nothing is written.
    pub fn about(self, object: &Object, says_news: bool) -> Plan<Value> {
        Plan {
            // Serializing plain data cannot fail; a null would be refused by the API.
            status: if says_news {
                serde_json::to_value(&self.status).unwrap_or_default()
            } else {
                object.status().clone()
            },
            effects: self.effects,
            events: self.events,
            wake_at: self.wake_at,
            basis: self.basis,
        }
    }
}

impl Plan<Value> {
    /// Nothing to do, and nothing to wait for: what a plan begins with whose object's status is somebody
    /// else's.
    pub fn nothing(object: &Object) -> Self {
        Self {
            status: object.status().clone(),
            effects: Vec::new(),
            events: Vec::new(),
            wake_at: None,
            basis: Basis::Cached,
        }
    }
}

/// What a plan must rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// The stores: if they were behind, the next plan corrects it.
    #[default]
    Cached,
    /// Reads that went to the API just before: what follows cannot be taken back. A plan with a
    /// [`Effect::Delete`], [`Effect::ForceDelete`] or [`Effect::Orphan`] always rests on live reads,
    /// whatever it says here.
    Live,
}

/// One change to the cluster, or to something outside of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// POST the object. That it exists already is an observation for the next plan, not an error.
    Create(Value),
    /// Server-side apply of the object with the controller's field manager.
    Apply(Value),
    /// Server-side apply, with the controller's field manager, of the status of an object that is somebody
    /// else's: only what is in it is the controller's. Where the controller's own kind has a status of its
    /// own, that is [`Plan::status`].
    ApplyStatus(Value),
    /// JSON merge patch of the named object.
    Patch {
        /// The object to patch.
        target: ObjectRef,
        /// The merge patch body.
        patch: Value,
    },
    /// Delete exactly this incarnation of the object (uid precondition). Absence is success.
    Delete {
        /// The object to delete.
        target: ObjectRef,
        /// The uid that was observed.
        uid: String,
    },
    /// Delete exactly this incarnation of a pod at once, whatever its node has to say (uid
    /// precondition, no grace period): it may go on running there. Absence is success.
    ForceDelete {
        /// The pod to delete.
        target: ObjectRef,
        /// The uid that was observed.
        uid: String,
    },
    /// Delete exactly this incarnation of the object (uid precondition), and leave what it owns where it
    /// is: a successor adopts it. Absence is success.
    Orphan {
        /// The object to delete.
        target: ObjectRef,
        /// The uid that was observed.
        uid: String,
    },
    /// Something outside the Kubernetes API; its result comes back as an observation, and the
    /// effects after it wait for that. Several of them in a row run side by side.
    External {
        /// What the controller's external handler knows the work by.
        key: String,
    },
}

/// Names one object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// `v1`, `apps/v1`, ...
    pub api_version: String,
    /// `Pod`, `ConfigMap`, ...
    pub kind: String,
    /// `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

/// A line for the object's event stream (events.k8s.io).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNote {
    /// Normal or Warning.
    pub severity: Severity,
    /// PascalCase, stable: tools match on it.
    pub reason: String,
    /// What was done or refused, as a verb in PascalCase (`Submit`, `Delete`).
    pub action: String,
    /// One sentence for a person.
    pub note: String,
}

impl EventNote {
    /// Things go as they should.
    pub fn normal(reason: &str, action: &str, note: String) -> Self {
        Self::of(Severity::Normal, reason, action, note)
    }

    /// Someone may have to act.
    pub fn warning(reason: &str, action: &str, note: String) -> Self {
        Self::of(Severity::Warning, reason, action, note)
    }

    fn of(severity: Severity, reason: &str, action: &str, note: String) -> Self {
        Self {
            severity,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note,
        }
    }
}

/// How an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Things go as they should.
    Normal,
    /// Someone may have to act.
    Warning,
}
