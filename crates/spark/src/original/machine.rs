//! One decision: what stands for the original, what is made or changed, and what its status says.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_api::spark::application::SparkApplicationStatus;
use windlass_api::spark::original::{
    ApplicationState, ApplicationStateType as Word, ConvertedTo, SparkApplicationStatus as Status,
};
use windlass_engine::plan::{Basis, EventNote};

use super::build::{Wanted, change};
use super::follow::follow;
use super::project::project;
use crate::lifecycle::observed::{DriverPod, ExecutorPod};

/// How often to look again while something is waited for, should its end go unnoticed.
const RESYNC: SignedDuration = SignedDuration::from_secs(300);
/// How often to look whether a name has become free, of which nobody tells.
const TAKEN: SignedDuration = SignedDuration::from_secs(60);

/// An original, as the plan sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name, and that of its SparkApplication.
    pub name: String,
    /// The id of its status and of the label.
    pub app_id: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Deletion has been requested; owner references do the rest.
    pub deleting: bool,
    /// What is asked for.
    pub wish: Wish,
}

/// What an original asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// To be submitted.
    Run(Box<Wanted>),
    /// To be followed; the user submits it.
    Follow,
    /// Nothing that could be done, one line per problem.
    Refused(Vec<String>),
}

/// What is seen beside the original.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What has the name of its SparkApplication.
    pub standing: Standing,
    /// The driver pods with its label that no operator made.
    pub drivers: Vec<DriverPod>,
    /// The executor pods with its label that no operator made.
    pub executors: Vec<ExecutorPod>,
    /// What the API refused last, in its words.
    pub refusal: Option<String>,
}

impl Observed {
    /// An observation in which nothing exists.
    pub fn nothing() -> Self {
        Self {
            standing: Standing::Absent,
            drivers: Vec::new(),
            executors: Vec::new(),
            refusal: None,
        }
    }
}

/// What has the name of an original's SparkApplication.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nothing.
    Absent,
    /// What was made of the original.
    Ours(Box<Twin>),
    /// A SparkApplication of somebody else.
    Foreign,
}

/// The SparkApplication of an original.
#[derive(Debug, Clone, PartialEq)]
pub struct Twin {
    /// Its uid.
    pub uid: String,
    /// The hash of what it was made from.
    pub made_from: Option<String>,
    /// Its specification, as it is stored.
    pub spec: Value,
    /// Its status.
    pub status: SparkApplicationStatus,
    /// Whether it is on its way out.
    pub deleting: bool,
}

/// What should happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The status the original should have.
    pub status: Status,
    /// What to do once the status is as it should be.
    pub action: Option<Action>,
    /// What to tell.
    pub notes: Vec<EventNote>,
    /// When to look again.
    pub wake_at: Option<Timestamp>,
    /// What this must rest on.
    pub basis: Basis,
}

/// One change to the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create the SparkApplication.
    Create(Value),
    /// Change it, by a merge patch that names its uid.
    Change(Value),
}

/// Decides. Pure and total.
pub fn plan(spec: &Spec, before: &Status, observed: &Observed, now: Timestamp) -> Decision {
    if spec.deleting {
        return Decision {
            status: before.clone(),
            action: None,
            notes: Vec::new(),
            wake_at: None,
            basis: Basis::Cached,
        };
    }
    let decided = match (&spec.wish, &observed.standing) {
        (Wish::Follow, _) => followed(before, observed, now),
        (Wish::Refused(problems), Standing::Ours(twin)) => kept(spec, twin, problems),
        (Wish::Refused(problems), Standing::Foreign) => failed(problems.join("\n")),
        (Wish::Refused(problems), Standing::Absent) => {
            deleted(spec, before).unwrap_or_else(|| failed(problems.join("\n")))
        }
        (Wish::Run(wanted), Standing::Ours(twin)) => lived(spec, twin, wanted),
        (Wish::Run(_), Standing::Foreign) => Decided {
            wait: Some(TAKEN),
            ..failed(format!(
                "a SparkApplication (sparkoperator.k8s.io/v1beta2) named {} exists and is not of \
                 this object: delete it, or choose another metadata.name",
                spec.name
            ))
        },
        (Wish::Run(wanted), Standing::Absent) => {
            deleted(spec, before).unwrap_or_else(|| begun(wanted, observed))
        }
    };
    let status = Status {
        app_id: spec.app_id.clone(),
        observed_generation: Some(spec.generation),
        ..decided.status
    };
    let mut notes = announced(spec, before, &status);
    notes.extend(decided.notes);
    Decision {
        notes,
        action: decided.action,
        wake_at: decided.wait.and_then(|wait| now.checked_add(wait).ok()),
        basis: decided.basis,
        status,
    }
}

/// A part of a [`Decision`].
struct Decided {
    status: Status,
    action: Option<Action>,
    notes: Vec<EventNote>,
    wait: Option<SignedDuration>,
    basis: Basis,
}

impl Decided {
    fn only(status: Status) -> Self {
        let is_over = status.application_state.state.is_terminal();
        Self {
            status,
            action: None,
            notes: Vec::new(),
            wait: (!is_over).then_some(RESYNC),
            basis: Basis::Cached,
        }
    }
}

fn followed(before: &Status, observed: &Observed, now: Timestamp) -> Decided {
    let status = follow(before, &observed.drivers, &observed.executors, now);
    let ends = status.application_state.state.is_terminal()
        && !before.application_state.state.is_terminal();
    Decided {
        basis: if ends { Basis::Live } else { Basis::Cached },
        ..Decided::only(status)
    }
}

/// Its SparkApplication lives, and is changed when the original was.
fn lived(spec: &Spec, twin: &Twin, wanted: &Wanted) -> Decided {
    let is_old = twin.made_from.as_ref() != Some(&wanted.hash);
    let mut decided = Decided::only(told_of(spec, twin));
    if is_old && !twin.deleting {
        let mut patch = json!({
            "metadata": { "uid": twin.uid },
            "spec": change(&twin.spec, &wanted.application["spec"]),
        });
        for field in ["labels", "annotations"] {
            let value = &wanted.application["metadata"][field];
            if value.is_object() {
                patch["metadata"][field] = value.clone();
            }
        }
        decided.action = Some(Action::Change(patch));
        decided.wait = Some(RESYNC);
        decided.notes.push(EventNote::normal(
            "SparkApplicationChanged",
            "Convert",
            format!(
                "SparkApplication {} is changed as this object was",
                spec.name
            ),
        ));
    }
    decided
}

/// A change that cannot be converted leaves alone what runs.
fn kept(spec: &Spec, twin: &Twin, problems: &[String]) -> Decided {
    let mut status = told_of(spec, twin);
    let state = &mut status.application_state;
    if state.error_message.is_empty() {
        state.error_message = format!("a change is not taken over: {}", problems.join("\n"));
    }
    Decided::only(status)
}

/// There was one, and somebody deleted it: unless the original is another one since, that was the
/// last word.
fn deleted(spec: &Spec, before: &Status) -> Option<Decided> {
    let is_same = before.observed_generation == Some(spec.generation);
    let made = before.converted_to.as_ref().filter(|_| is_same)?;
    let mut status = before.clone();
    if !before.application_state.state.is_terminal() {
        status.application_state = ApplicationState {
            state: Word::Failed,
            error_message: format!(
                "SparkApplication {}, which ran it, was deleted: change this object or create it \
                 anew to run it again",
                made.name
            ),
        };
    }
    Some(Decided {
        basis: Basis::Live,
        ..Decided::only(status)
    })
}

fn begun(wanted: &Wanted, observed: &Observed) -> Decided {
    let refused = observed.refusal.as_ref();
    let message = refused.map(|said| format!("the API refused the SparkApplication: {said}"));
    Decided {
        action: Some(Action::Create(wanted.application.clone())),
        basis: Basis::Live,
        ..Decided::only(Status {
            application_state: ApplicationState {
                state: Word::New,
                error_message: message.unwrap_or_default(),
            },
            ..Status::default()
        })
    }
}

fn failed(message: String) -> Decided {
    Decided::only(Status {
        application_state: ApplicationState {
            state: Word::Failed,
            error_message: message,
        },
        ..Status::default()
    })
}

fn told_of(spec: &Spec, twin: &Twin) -> Status {
    Status {
        converted_to: Some(ConvertedTo {
            name: spec.name.clone(),
            uid: twin.uid.clone(),
        }),
        ..project(&twin.status)
    }
}

/// What people who watch the object are told; it follows from the difference of two statuses, so
/// each is told once.
fn announced(spec: &Spec, before: &Status, after: &Status) -> Vec<EventNote> {
    let mut notes = Vec::new();
    if after.converted_to.is_some() && before.converted_to != after.converted_to {
        notes.push(EventNote::normal(
            "Converted",
            "Convert",
            format!(
                "SparkApplication {} (sparkoperator.k8s.io/v1beta2) runs it",
                spec.name
            ),
        ));
        if let Wish::Run(wanted) = &spec.wish {
            let lines = wanted.notes.iter();
            notes.extend(
                lines.map(|line| EventNote::normal("NotTakenOver", "Convert", line.clone())),
            );
        }
    }
    let (state, message) = (
        after.application_state.state,
        &after.application_state.error_message,
    );
    let is_news = before.application_state != after.application_state;
    match (state, &spec.wish) {
        (_, Wish::Refused(problems)) if is_news => {
            notes.push(EventNote::warning(
                "NotConvertible",
                "Convert",
                problems.join("\n"),
            ));
        }
        (Word::Failed, _) if is_news => {
            notes.push(EventNote::warning("Failed", "Follow", message.clone()));
        }
        (Word::Completed, _) if is_news => {
            notes.push(EventNote::normal(
                "Completed",
                "Follow",
                format!("{} completed", spec.name),
            ));
        }
        _ => {}
    }
    notes
}
