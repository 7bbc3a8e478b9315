//! What is written for a claim. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use windlass_engine::Object;
use windlass_engine::plan::{Effect, EventNote, Plan};

use super::claim::Claim;
use super::decide::{Around, Decision, Why, decide, detection, ignored};
use super::evidence::Metadata;
use super::settings::Settings;
use crate::condition::{Condition, Shown};

/// The condition of a claim that should have a class and cannot; it is there only while it is so.
pub const CONDITION: &str = "windlass.dev/StorageClass";
/// The external work of asking metadata services.
pub const ASK: &str = "metadata";

/// How long a claim without a class waits if nothing changes. What it waits for is watched; this is for
/// what no watch shows, as metadata services and volumes that are made by hand.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);
/// How long an answer of metadata services is waited for; they have their own, shorter limits.
const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// What a plan depends on besides the claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// What is around the claim. Of a claim that is no concern of ours it may be empty.
    pub around: Around,
    /// How the API has refused the class.
    pub refusal: Option<String>,
}

/// How the claim shows it.
const SHOWN: Condition = Condition {
    name: CONDITION,
    action: "MakeStorageClass",
};

/// Decides.
pub fn plan(
    object: &Object,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Plan<Value> {
    let claim = Claim::of(object);
    let around = &observed.around;
    // The status is Kubernetes' own: what is ours of it is applied.
    let mut plan = Plan::nothing(object);
    if asks_metadata(&claim, around, settings) {
        plan.effects.push(Effect::External {
            key: ASK.to_owned(),
        });
        plan.wake_at = now.checked_add(ASK_AGAIN).ok();
        return plan;
    }
    let contradictions = detection(&claim, &around.evidence, settings).contradictions;
    let told = |text: String| {
        if contradictions.is_empty() {
            return text;
        }
        format!("{text}. Note that {}", contradictions.join("; and "))
    };
    let shown = match decide(&claim, around, settings) {
        // Who deletes a claim needs no more words about it.
        Decision::Nothing(Why::Deleting) => Shown::Kept,
        Decision::Nothing(_) => Shown::Nothing,
        Decision::Cannot(reason) => {
            plan.wake_at = now.checked_add(LOOK_AGAIN).ok();
            Shown::Trouble {
                reason: reason.name(),
                text: told(reason.to_string()),
            }
        }
        Decision::Make(mut class) => {
            class.why = told(class.why);
            plan.wake_at = now.checked_add(LOOK_AGAIN).ok();
            let text = format!(
                "made the storage class {} of {class}, because {}",
                class.name, class.why
            );
            let event = EventNote::normal("StorageClassMade", "MakeStorageClass", text);
            plan.events.push(event);
            let made_for = format!("{}/{}", claim.namespace, claim.name);
            plan.effects.push(Effect::Create(class.object(&made_for)));
            match &observed.refusal {
                Some(refusal) => Shown::Trouble {
                    reason: "Refused",
                    text: format!("the API refused the storage class: {refusal}"),
                },
                None => Shown::Kept,
            }
        }
    };
    SHOWN.show(&mut plan, object, shown, now);
    plan
}

/// Whether nothing but the metadata services can tell whose machines these are, and they may be asked.
fn asks_metadata(claim: &Claim, around: &Around, settings: &Settings) -> bool {
    settings.asks_metadata
        && around.evidence.metadata == Metadata::NotAsked
        && ignored(claim, around, settings).is_none()
        && detection(claim, &around.evidence, settings)
            .provider
            .is_none()
}
