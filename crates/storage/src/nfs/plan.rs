//! What is written for a claim of a share. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use windlass_engine::Object;
use windlass_engine::plan::{EventNote, Plan};

use super::server::{Present, Settings, Way, effects, server_name};
use super::share::{Share, unfit};
use crate::classes::claim::{Claim, Phase};
use crate::condition::{Condition, Shown};

/// The condition of a claim whose server gives trouble; it is there only while it does.
pub const CONDITION: &str = "windlass.dev/NfsServer";

/// How long a server may take to start before its claims say that it is not there.
const START: SignedDuration = SignedDuration::from_mins(1);
/// How long a claim waits for what it has just asked for.
const SOON: SignedDuration = SignedDuration::from_secs(2);
/// How long a claim waits for its volume until the server is looked at again.
const WAITING: SignedDuration = SignedDuration::from_secs(15);
/// How long a class that has all it needs is left alone. Who deletes a server has it back after this.
const AT_REST: SignedDuration = SignedDuration::from_mins(5);

/// What a plan depends on besides the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// The claim is none for a share, or nobody wants one for it.
    NoConcern,
    /// It cannot be one.
    Unfit,
    /// Another claim of the class takes care of the server.
    Served(Standing),
    /// This one does.
    Keeper(Box<Keeping>),
}

/// What the claim knows that takes care of the server of its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// The class.
    pub share: Share,
    /// What of the server is there.
    pub present: Present,
    /// What bears a name of the server, and is somebody else's.
    pub taken: Vec<String>,
    /// Who makes the volumes.
    pub way: Way,
    /// How the server stands.
    pub standing: Standing,
    /// How the API has refused what was asked of it.
    pub refusal: Option<String>,
}

/// How a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It answers.
    Ready,
    /// It has been made, at this time, and does not answer.
    Starting(Timestamp),
    /// It is not there.
    Absent,
}

/// How the claim shows it.
const SHOWN: Condition = Condition {
    name: CONDITION,
    action: "MakeNfsServer",
};

/// Decides.
pub fn plan(
    object: &Object,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Plan<Value> {
    let mut plan = Plan::nothing(object);
    let claim = Claim::of(object);
    let waits = claim.phase == Phase::Pending && !claim.is_deleting;
    let class = claim.class.as_deref().unwrap_or_default();
    let server = format!("{}/{}", settings.namespace, server_name(class));
    let mut wait = None;
    let shown = match observed {
        Observed::NoConcern => Shown::Nothing,
        Observed::Unfit => unfit(object)
            .filter(|_| waits)
            .map_or(Shown::Nothing, |text| Shown::Trouble {
                reason: "InvalidClaim",
                text,
            }),
        Observed::Served(standing) => {
            wait = waits.then_some(WAITING);
            started(*standing, &server, waits, now)
        }
        Observed::Keeper(keeping) if !keeping.taken.is_empty() => {
            wait = Some(AT_REST);
            let text = format!(
                "{} of the namespace {} is somebody else's, and an NFS server for the class {class} needs \
                 that name: remove it, or name the class otherwise",
                keeping.taken.join(" and "),
                settings.namespace
            );
            Shown::Trouble {
                reason: "NameTaken",
                text,
            }
        }
        Observed::Keeper(keeping) => {
            plan.effects = effects(&keeping.share, &keeping.present, keeping.way, settings);
            wait = Some(if !keeping.present.class {
                SOON
            } else if waits {
                WAITING
            } else {
                AT_REST
            });
            if !keeping.present.set {
                let text = format!("made the NFS server {server} for the class {class}");
                let event = EventNote::normal("NfsServerMade", SHOWN.action, text);
                plan.events.push(event);
            }
            match &keeping.refusal {
                Some(refusal) if !plan.effects.is_empty() => Shown::Trouble {
                    reason: "Refused",
                    text: format!("the API refused a part of the NFS server {server}: {refusal}"),
                },
                _ => started(keeping.standing, &server, waits, now),
            }
        }
    };
    plan.wake_at = wait.and_then(|wait| now.checked_add(wait).ok());
    SHOWN.show(&mut plan, object, shown, now);
    plan
}

/// What a claim says of a server: nothing while it starts, or where the claim has its volume.
fn started(standing: Standing, server: &str, waits: bool, now: Timestamp) -> Shown {
    match standing {
        Standing::Starting(since) if waits && now.duration_since(since) > START => Shown::Trouble {
            reason: "ServerNotReady",
            text: format!(
                "the NFS server {server} has not started: see its pod {server}-0 and its claim {server}-data"
            ),
        },
        Standing::Starting(_) if waits => Shown::Kept,
        Standing::Starting(_) | Standing::Absent | Standing::Ready => Shown::Nothing,
    }
}

#[cfg(test)]
mod tests;
