//! A condition on a claim, which is there only while something is wrong. The status is Kubernetes' own: what
//! is ours of it is applied, and nothing else of it is written.

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_engine::Object;
use windlass_engine::plan::{Effect, EventNote, Plan};

/// Which condition it is, and what those who make events of it say they were at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    /// Its type.
    pub(crate) name: &'static str,
    /// A verb.
    pub(crate) action: &'static str,
}

/// What a claim shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// What it shows already.
    Kept,
    /// No condition.
    Nothing,
    /// What is wrong.
    Trouble {
        /// For programs.
        reason: &'static str,
        /// For people.
        text: String,
    },
}

impl Condition {
    /// Adds to the plan what makes the claim show this, if it does not already.
    pub(crate) fn show(
        self,
        plan: &mut Plan<Value>,
        object: &Object,
        shown: Shown,
        now: Timestamp,
    ) {
        let known = object.status()["conditions"].as_array();
        let known = known
            .into_iter()
            .flatten()
            .find(|it| it["type"] == self.name);
        let conditions = match shown {
            Shown::Kept => return,
            Shown::Nothing if known.is_none() => return,
            Shown::Nothing => None,
            Shown::Trouble { reason, text } => {
                let is_known = known
                    .is_some_and(|it| it["reason"] == reason && it["message"] == text.as_str());
                if is_known {
                    return;
                }
                let event = EventNote::warning(reason, self.action, text.clone());
                plan.events.push(event);
                let since = known.map(|it| it["lastTransitionTime"].clone());
                let since = since.filter(Value::is_string);
                let since = since.unwrap_or_else(|| json!(in_seconds(now)));
                Some(json!([{
                    "type": self.name,
                    "status": "False",
                    "reason": reason,
                    "message": text,
                    "lastProbeTime": in_seconds(now),
                    "lastTransitionTime": since,
                }]))
            }
        };
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "namespace": object.namespace(), "name": object.name() },
        });
        if let Some(conditions) = conditions {
            body["status"] = json!({ "conditions": conditions });
        }
        plan.effects.insert(0, Effect::ApplyStatus(body));
    }
}

/// As times are written in objects: to the second.
pub(crate) fn in_seconds(now: Timestamp) -> String {
    let seconds = Timestamp::from_second(now.as_second());
    seconds.unwrap_or(now).to_string()
}
