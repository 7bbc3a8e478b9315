//! What a controller tells the engine.
//!
//! A controller is four answers and no loop: what it watches, what it sees for one object
//! ([`Controller::observe`]), what should change ([`Controller::plan`], pure and total), and how
//! urgent an object is. The engine owns every watch, write, timer and retry.
//!
//! # Flow
//! A change of the primary object, of a linked child, or a timer brings the object's key into the
//! queue. One worker then reads the object, observes, plans, writes the status if it differs
//! (alone, with the observed resourceVersion), plans again from the reply, and only then runs the
//! effects in order.
//!
//! # Guarantees
//! - One object is never planned twice at once; a trigger that arrives meanwhile is kept.
//! - No plan is made before every store of the controller has its first full list.
//! - No plan is made on a store that has not yet seen the engine's own writes for the object.
//! - A plan with [`Basis::Live`](crate::plan::Basis::Live), and every plan that deletes, is only
//!   carried out when it was made from reads that went to the API just before.
//!
//! # Assumptions
//! - `plan` with the status it asked for, and nothing else changed, asks for that status again.
//! - Names of created objects follow from the primary object alone.
//!
//! # Caveats
//! - Every `await` of the engine is a point where the process may die: what is not in the status
//!   or in the cluster is forgotten.
//!
//! # Example
//! A controller that keeps one ConfigMap per `Greeting`:
//! ```ignore
//! struct Greetings;
//!
//! impl Controller for Greetings {
//!     type Status = Value;
//!     type Observed = Option<Object>;
//!
//!     fn name(&self) -> &'static str { "greetings" }
//!     fn primary(&self) -> Watch { Watch::all(GREETING) }
//!     fn children(&self) -> Vec<Child> {
//!         vec![Child::owned(Watch::all(Kind::CONFIG_MAP))]
//!     }
//!     async fn observe(&self, object: &Object, view: &View) -> Result<Option<Object>, ApiError> {
//!         view.get(&Kind::CONFIG_MAP, &object.key()).await
//!     }
//!     fn plan(&self, object: &Object, found: &Option<Object>, _now: Timestamp) -> Plan<Value> {
//!         Plan {
//!             status: json!({ "ready": found.is_some() }),
//!             effects: match found {
//!                 Some(_) => vec![],
//!                 None => vec![Effect::Create(config_map_for(object))],
//!             },
//!             events: vec![],
//!             wake_at: None,
//!             basis: Basis::Cached,
//!         }
//!     }
//! }
//! ```

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::api::ApiError;
use crate::kind::{Kind, ObjectKey};
use crate::object::Object;
use crate::plan::Plan;
use crate::view::View;

/// How one kind of object is brought from what is to what should be.
pub trait Controller: Send + Sync + 'static {
    /// The status as this controller writes it. It becomes `.status` as a whole.
    type Status: Serialize + Send + Sync;
    /// Everything outside of the object that a plan depends on.
    type Observed: Send + Sync;

    /// A short stable name: field manager, queue and metric label.
    fn name(&self) -> &'static str;

    /// The kind whose objects are planned.
    fn primary(&self) -> Watch;

    /// The other kinds whose changes lead to a new plan, and the kinds `observe` reads often.
    fn children(&self) -> Vec<Child> {
        Vec::new()
    }

    /// Hears of every change of the primary kind's store, in order, from its first list on and also
    /// while nothing is planned. Answers which other objects' plans the change concerns: they are
    /// planned again. Must not block.
    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        let _ = (old, new);
        Vec::new()
    }

    /// How urgent the object is. Objects that already have something running should be
    /// [`Class::Status`], so that reporting what happens goes before starting more.
    fn class(&self, object: &Object) -> Class;

    /// Reads what the plan depends on.
    ///
    /// Written once, used twice: the view answers from the shared stores, or from the API itself
    /// when the engine confirms a plan that needs live reads.
    fn observe(
        &self,
        object: &Object,
        view: &View,
    ) -> impl Future<Output = Result<Self::Observed, ApiError>> + Send;

    /// Decides. Pure and total: no clock, no randomness, no I/O, an answer for every input.
    fn plan(
        &self,
        object: &Object,
        observed: &Self::Observed,
        now: Timestamp,
    ) -> Plan<Self::Status>;

    /// Is told of every status that this process has written, with the object before and after, for
    /// counting. What other processes wrote is not told, so all of them together count once.
    fn status_written(&self, before: &Object, after: &Object, at: Timestamp) {
        let _ = (before, after, at);
    }

    /// Does the work behind [`Effect::External`](crate::plan::Effect::External), outside of any worker. Its result is kept and
    /// seen through [`View::external`] until a pass that saw it has gone through without asking
    /// for the same key again.
    fn external(
        &self,
        object: Object,
        key: String,
    ) -> impl Future<Output = Result<Value, String>> + Send {
        let _ = object;
        async move { Err(format!("no handler for the external effect {key:?}")) }
    }
}

/// How urgent an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Work that starts something new.
    New,
    /// Work that reports on, or looks after, something that runs.
    Status,
}

/// What to watch of one kind, and what to keep of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Watch {
    /// The kind.
    pub kind: Kind,
    /// Restricts the watch by labels, in the API's selector syntax.
    pub label_selector: Option<String>,
    /// Labels whose values are looked up often.
    pub indexes: Vec<&'static str>,
    /// Whether objects are looked up by the uid of an owner often.
    pub owner_index: bool,
    /// What is dropped before an object is kept.
    pub trim: Trim,
}

impl Watch {
    /// Watches every object of a kind.
    pub fn all(kind: Kind) -> Self {
        Self {
            kind,
            label_selector: None,
            indexes: Vec::new(),
            owner_index: false,
            trim: Trim::METADATA,
        }
    }

    /// Watches only what the label selector matches.
    #[must_use]
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.label_selector = Some(selector.into());
        self
    }

    /// Keeps an index of the values of this label.
    #[must_use]
    pub fn index(mut self, label: &'static str) -> Self {
        self.indexes.push(label);
        self
    }

    /// Keeps an index of the uids of owners.
    #[must_use]
    pub fn index_owners(mut self) -> Self {
        self.owner_index = true;
        self
    }

    /// Drops what the controller never reads.
    #[must_use]
    pub fn trim(mut self, trim: Trim) -> Self {
        self.trim = trim;
        self
    }
}

/// Drops parts of an object before it is kept in memory.
///
/// `managedFields` are always dropped. Everything a controller sees of an object is trimmed, its
/// class and its links too, so a trim must leave the labels and owners that links follow; and the
/// trim of a primary kind must leave the status as it is, because it is compared with the plan's.
/// Two watches with the same kind, selector, indexes and trim
/// name share one store, so a name must stand for one function.
#[derive(Clone, Copy)]
pub struct Trim {
    /// Identifies the function.
    pub name: &'static str,
    /// Edits the object in place.
    pub apply: fn(&mut Value),
}

impl Trim {
    /// Drops nothing but `managedFields` and kubectl's copy of the last applied manifest.
    pub const METADATA: Self = Self {
        name: "metadata",
        apply: |_| {},
    };
}

impl fmt::Debug for Trim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trim").field(&self.name).finish()
    }
}

impl PartialEq for Trim {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Trim {}

impl std::hash::Hash for Trim {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// A watched kind and how its objects lead to the primary object.
#[derive(Debug, Clone)]
pub struct Child {
    /// What is watched.
    pub watch: Watch,
    /// Whose plan a change concerns.
    pub link: Link,
}

impl Child {
    /// A child that names the primary object among its owners.
    pub fn owned(watch: Watch) -> Self {
        Self {
            watch,
            link: Link::Owner,
        }
    }

    /// A child that carries the primary object's name in a label.
    pub fn labelled(watch: Watch, label: &'static str) -> Self {
        Self {
            watch,
            link: Link::Label(label),
        }
    }

    /// A kind whose objects name the primary objects in some other way.
    pub fn mapped(
        watch: Watch,
        map: impl Fn(&Object) -> Vec<ObjectKey> + Send + Sync + 'static,
    ) -> Self {
        Self {
            watch,
            link: Link::Map(Arc::new(map)),
        }
    }
}

/// How a child's change finds the primary object.
#[derive(Clone)]
pub enum Link {
    /// An owner reference to the primary kind.
    Owner,
    /// A label whose value is the primary object's name, in the same namespace.
    Label(&'static str),
    /// Any other rule.
    Map(MapChild),
}

/// Names the primary objects that one child concerns.
pub type MapChild = Arc<dyn Fn(&Object) -> Vec<ObjectKey> + Send + Sync>;

impl Link {
    /// The primary objects a child's change concerns.
    pub fn primaries(&self, primary: &Kind, child: &Object) -> Vec<ObjectKey> {
        let in_same_namespace = |name: &str| ObjectKey {
            namespace: child.namespace().map(Into::into),
            name: name.into(),
        };
        match self {
            Self::Owner => child
                .owners()
                .filter(|owner| {
                    let field = |name| owner.get(name).and_then(Value::as_str).unwrap_or_default();
                    // Owners are named with whatever version their creator spoke.
                    let group = field("apiVersion")
                        .split_once('/')
                        .map_or("", |(group, _)| group);
                    group == primary.group && field("kind") == primary.kind
                })
                .filter_map(|owner| owner.get("name").and_then(Value::as_str))
                .map(in_same_namespace)
                .collect(),
            Self::Label(label) => child
                .label(label)
                .map(in_same_namespace)
                .into_iter()
                .collect(),
            Self::Map(map) => map(child),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("Owner"),
            Self::Label(label) => f.debug_tuple("Label").field(label).finish(),
            Self::Map(_) => f.write_str("Map"),
        }
    }
}
