//! What is written for a claim of a share. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use windlass_engine::Object;
use windlass_engine::plan::{EventNote, Plan};

use super::server::{Present, Settings, Way, disk_size, effects, server_name};
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
    /// Another claim of the class takes care of the server, and shows this trouble.
    Served(Standing, Option<Trouble>),
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

/// What is wrong with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    reason: Reason,
    text: String,
}

/// What is wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    InvalidClaim,
    NameTaken,
    NoRoom,
    Refused,
    ServerNotReady,
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
        Observed::Unfit => {
            let trouble = unfit(object).filter(|_| waits);
            trouble.map_or(Shown::Nothing, |text| Reason::InvalidClaim.told(text))
        }
        Observed::Served(standing, trouble) => {
            wait = waits.then_some(WAITING);
            match trouble {
                Some(trouble) if waits => trouble.reason.told(trouble.text.clone()),
                _ => started(*standing, &server, waits, now),
            }
        }
        Observed::Keeper(keeping) if !keeping.taken.is_empty() => {
            wait = Some(AT_REST);
            Reason::NameTaken.told(format!(
                "{} of the namespace {} is somebody else's, and an NFS server for the class {class} needs \
                 that name: remove it, or name the class otherwise",
                keeping.taken.join(" and "),
                settings.namespace
            ))
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
            match (&keeping.refusal, no_room(&keeping.share, &server, settings)) {
                (Some(refusal), _) if !plan.effects.is_empty() => Reason::Refused.told(format!(
                    "the API refused a part of the NFS server {server}: {refusal}"
                )),
                (_, Some(text)) => Reason::NoRoom.told(text),
                _ => started(keeping.standing, &server, waits, now),
            }
        }
    };
    plan.wake_at = wait.and_then(|wait| now.checked_add(wait).ok());
    SHOWN.show(&mut plan, object, shown, now);
    plan
}

/// What has no room on the server's disk.
fn no_room(share: &Share, server: &str, settings: &Settings) -> Option<String> {
    let (size, left_out) = disk_size(share, settings.max_size);
    let first = left_out.first()?;
    let more = match left_out.len() {
        1 => ",".to_owned(),
        many => format!(", and {} more,", many - 1),
    };
    Some(format!(
        "{} asks for {}{more} which the disk of the NFS server {server} has no room for: it has {size} for what \
         is older, and may have {} (--storage-nfs-max-size); ask for less, or allow more",
        first.of, first.size, settings.max_size
    ))
}

impl Trouble {
    /// What a claim shows already, if this controller has written it.
    pub fn on(claim: &Object) -> Option<Self> {
        let conditions = claim.status()["conditions"].as_array()?;
        let shown = conditions.iter().find(|it| it["type"] == CONDITION)?;
        let reason = shown["reason"].as_str()?;
        Some(Self {
            reason: Reason::ALL.into_iter().find(|it| it.name() == reason)?,
            text: shown["message"].as_str()?.to_owned(),
        })
    }
}

impl Reason {
    const ALL: [Self; 5] = [
        Self::InvalidClaim,
        Self::NameTaken,
        Self::NoRoom,
        Self::Refused,
        Self::ServerNotReady,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::InvalidClaim => "InvalidClaim",
            Self::NameTaken => "NameTaken",
            Self::NoRoom => "NoRoom",
            Self::Refused => "Refused",
            Self::ServerNotReady => "ServerNotReady",
        }
    }

    fn told(self, text: String) -> Shown {
        let reason = self.name();
        Shown::Trouble { reason, text }
    }
}

/// What a claim says of a server: nothing while it starts, or where the claim has its volume.
fn started(standing: Standing, server: &str, waits: bool, now: Timestamp) -> Shown {
    match standing {
        Standing::Starting(since) if waits && now.duration_since(since) > START => {
            Reason::ServerNotReady.told(format!(
                "the NFS server {server} has not started: see its pod {server}-0 and its claim {server}-data"
            ))
        }
        Standing::Starting(_) if waits => Shown::Kept,
        Standing::Starting(_) | Standing::Absent | Standing::Ready => Shown::Nothing,
    }
}

#[cfg(test)]
mod tests;
