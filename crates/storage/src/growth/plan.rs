//! What is written for a claim that grows by itself. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_api::quantity::Quantity;
use windlass_engine::Object;
use windlass_engine::plan::{Effect, EventNote, ObjectRef, Plan};

use super::decide::{Claim, Class, Decision, decide};
use super::policy::{Policy, PolicyError};
use super::usage::Usage;
use crate::condition::{Condition, Shown, in_seconds};

/// When the claim has grown by itself last.
pub const GROWN_AT: &str = "windlass.dev/auto-grown-at";
/// The condition of a claim that is full and does not grow; it is there only while it is so.
pub(crate) const CONDITION: Condition = Condition {
    name: "windlass.dev/AutoGrow",
    action: "GrowVolume",
};

/// How often figures are looked at. Kubelets take them about once a minute.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// What a plan depends on besides the claim. Of one that does not grow by itself it may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its class.
    pub class: Option<Class>,
    /// How full it is.
    pub usage: Option<Usage>,
    /// How the API has refused its growth.
    pub refusal: Option<String>,
}

/// What a claim says of its own growth.
///
/// # Errors
///
/// Names the annotation that cannot be meant.
pub fn policy(object: &Object) -> Result<Option<Policy>, PolicyError> {
    Policy::of(|annotation| object.annotation(annotation))
}

/// Decides.
pub fn plan(object: &Object, observed: &Observed, now: Timestamp) -> Plan<Value> {
    let mut plan = Plan::nothing(object);
    if object.is_deleting() {
        return plan;
    }
    let policy = match policy(object) {
        Ok(Some(policy)) => policy,
        Ok(None) => {
            CONDITION.show(&mut plan, object, Shown::Nothing, now);
            return plan;
        }
        Err(error) => {
            let trouble = Shown::Trouble {
                reason: "Invalid",
                text: error.to_string(),
            };
            CONDITION.show(&mut plan, object, trouble, now);
            return plan;
        }
    };
    plan.wake_at = now.checked_add(LOOK_AGAIN).ok();
    let (class, usage) = (observed.class.as_ref(), observed.usage.as_ref());
    let shown = match decide(&policy, &claim(object), class, usage, now) {
        Decision::Nothing => Shown::Nothing,
        Decision::Wait { until } => {
            plan.wake_at = until.or(plan.wake_at);
            Shown::Nothing
        }
        Decision::Grow { to, fullness } => {
            grow(&mut plan, object, to, &fullness, now);
            match &observed.refusal {
                Some(refusal) => Shown::Trouble {
                    reason: "Refused",
                    text: format!("the API refused a size of {}: {refusal}", size(to)),
                },
                None => Shown::Nothing,
            }
        }
        // The share that is used changes from look to look, and would be news each time.
        Decision::AtMax { .. } => Shown::Trouble {
            reason: "AtMax",
            text: format!(
                "it is nearly full, and has reached {}: raise {} or make room",
                size(policy.max),
                super::policy::MAX
            ),
        },
        Decision::Cannot(text) => Shown::Trouble {
            reason: "CannotGrow",
            text,
        },
    };
    CONDITION.show(&mut plan, object, shown, now);
    plan
}

fn grow(plan: &mut Plan<Value>, object: &Object, to: u64, fullness: &str, now: Timestamp) {
    let to = size(to);
    let from = object.status()["capacity"]["storage"].as_str();
    let text = format!(
        "grows from {} to {to}, since {fullness}",
        from.unwrap_or("its size")
    );
    plan.events
        .push(EventNote::normal("Growing", CONDITION.action, text));
    plan.effects.push(Effect::Patch {
        target: ObjectRef {
            api_version: "v1".to_owned(),
            kind: "PersistentVolumeClaim".to_owned(),
            namespace: object.namespace().map(str::to_owned),
            name: object.name().to_owned(),
        },
        patch: json!({
            // Who has changed it in the meantime may have made it larger.
            "metadata": {
                "resourceVersion": object.resource_version(),
                "annotations": { GROWN_AT: in_seconds(now) },
            },
            "spec": { "resources": { "requests": { "storage": to } } },
        }),
    });
}

/// Reads a PersistentVolumeClaim.
fn claim(object: &Object) -> Claim {
    let (spec, status) = (object.spec(), object.status());
    let bytes = |value: &Value| {
        let quantity: Quantity = value.as_str()?.parse().ok()?;
        u64::try_from(quantity.units()?).ok()
    };
    let is_bound = status["phase"] == "Bound";
    let grown_at = object.annotation(GROWN_AT);
    Claim {
        request: bytes(&spec["resources"]["requests"]["storage"]).unwrap_or(0),
        capacity: bytes(&status["capacity"]["storage"]).filter(|_| is_bound),
        is_raw: spec["volumeMode"] == "Block",
        infeasible: infeasible(status),
        grown_at: grown_at.and_then(|text| text.parse().ok()),
    }
}

/// Why the last growth cannot be carried out, by the status that resizers and kubelets write.
fn infeasible(status: &Value) -> Option<String> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut of_resizing = conditions.filter(|it| {
        let name = it["type"].as_str().unwrap_or_default();
        ["ControllerResizeError", "NodeResizeError"].contains(&name) && it["status"] == "True"
    });
    let told = of_resizing.find_map(|it| it["message"].as_str());
    let stands = status["allocatedResourceStatuses"]["storage"].as_str();
    let stands = stands.filter(|it| it.ends_with("Infeasible") || it.ends_with("Failed"));
    told.or(stands).map(str::to_owned)
}

fn size(bytes: u64) -> String {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    Quantity::from_bytes(bytes).to_string()
}
