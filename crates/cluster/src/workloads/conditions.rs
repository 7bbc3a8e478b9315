//! Statuses: conditions that keep their times, and the patch that leads from one status to another.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::keeper::Step;
use crate::life::Meta;

/// Whether conditions of a kind say when they were last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// Only when their status changed.
    Transition,
    /// Also when they were last written, as Deployments do.
    Update,
    /// Also when they were probed, as Jobs do.
    Probe,
}

/// The conditions of a status.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conditions {
    list: Vec<Value>,
    times: Times,
}

/// What a condition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Says<'a> {
    pub(super) kind: &'a str,
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

impl Conditions {
    pub(super) fn of(status: &Value, times: Times) -> Self {
        let list = status.get("conditions").and_then(Value::as_array);
        Self {
            list: list.cloned().unwrap_or_default(),
            times,
        }
    }

    pub(super) fn get(&self, kind: &str) -> Option<&Value> {
        self.list.iter().find(|known| known["type"] == kind)
    }

    pub(super) fn reason(&self, kind: &str) -> Option<&str> {
        self.get(kind)?["reason"].as_str()
    }

    pub(super) fn is_true(&self, kind: &str) -> bool {
        self.get(kind)
            .is_some_and(|known| known["status"] == "True")
    }

    /// Says it, unless the same status for the same reason is said already.
    pub(super) fn set(&mut self, says: Says<'_>, now: Timestamp) {
        let same = |known: &Value| known["status"] == says.status && known["reason"] == says.reason;
        if !self.get(says.kind).is_some_and(same) {
            self.renew(says, now);
        }
    }

    /// Says it with a new time; the transition is new only where the status is.
    pub(super) fn renew(&mut self, says: Says<'_>, now: Timestamp) {
        let now = Value::from(format!("{now:.0}"));
        let before = self.get(says.kind);
        let since = before
            .filter(|known| known["status"] == says.status)
            .map_or(&now, |known| &known["lastTransitionTime"]);
        let mut condition = json!({
            "type": says.kind,
            "status": says.status,
            "lastTransitionTime": since,
        });
        for (field, value) in [("reason", says.reason), ("message", says.message)] {
            if !value.is_empty() {
                condition[field] = value.into();
            }
        }
        match self.times {
            Times::Transition => {}
            Times::Update => condition["lastUpdateTime"] = now,
            Times::Probe => condition["lastProbeTime"] = now,
        }
        match self
            .list
            .iter_mut()
            .find(|known| known["type"] == says.kind)
        {
            Some(place) => *place = condition,
            None => self.list.push(condition),
        }
    }

    /// Copies a condition from elsewhere, unless the same is said already.
    pub(super) fn adopt(&mut self, kind: &str, other: &Value, now: Timestamp) {
        let text = |field: &str| other[field].as_str().unwrap_or_default();
        let says = Says {
            kind,
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
        };
        self.set(says, now);
    }

    pub(super) fn remove(&mut self, kind: &str) {
        self.list.retain(|known| known["type"] != kind);
    }

    /// Puts them into a status; without any, the field is absent.
    pub(super) fn put(self, status: &mut Value) {
        if !self.list.is_empty() {
            status["conditions"] = self.list.into();
        }
    }
}

/// Sets a count; zero is absent.
pub(super) fn count(status: &mut Value, field: &str, number: i64) {
    if number != 0 {
        status[field] = number.into();
    }
}

/// The step that makes one status of another, if they differ.
pub(super) fn status_step(meta: &Meta, before: &Value, after: &Value) -> Option<Step> {
    let status = difference(before, after)?;
    Some(Step::Status {
        patch: json!({"metadata": {"uid": meta.uid}, "status": status}),
    })
}

/// The merge patch that makes one value of another; `None` if nothing differs.
pub(super) fn difference(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (field, value) in new {
        match old.get(field) {
            Some(known) => {
                if let Some(inner) = difference(known, value) {
                    patch.insert(field.clone(), inner);
                }
            }
            None => {
                patch.insert(field.clone(), value.clone());
            }
        }
    }
    let gone = old.keys().filter(|field| !new.contains_key(*field));
    patch.extend(gone.map(|field| (field.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: &str = "2026-01-01T00:00:00Z";

    fn now() -> Timestamp {
        "2026-01-01T00:01:00Z".parse().unwrap()
    }

    fn conditions() -> Conditions {
        let status = json!({"conditions": [{
            "type": "Progressing", "status": "True", "reason": "New", "message": "m",
            "lastTransitionTime": EARLY, "lastUpdateTime": EARLY,
        }]});
        Conditions::of(&status, Times::Update)
    }

    fn says<'a>(status: &'a str, reason: &'a str) -> Says<'a> {
        Says {
            kind: "Progressing",
            status,
            reason,
            message: "other",
        }
    }

    #[test]
    fn the_same_said_again_changes_nothing() {
        let mut known = conditions();
        known.set(says("True", "New"), now());
        assert_eq!(known, conditions());
    }

    #[test]
    fn a_new_reason_keeps_the_time_of_the_transition_and_a_new_status_does_not() {
        let mut known = conditions();
        known.set(says("True", "Other"), now());
        let progressing = known.get("Progressing").unwrap();
        assert_eq!(progressing["lastTransitionTime"], EARLY);
        assert_eq!(progressing["lastUpdateTime"], "2026-01-01T00:01:00Z");
        known.set(says("False", "Other"), now());
        let progressing = known.get("Progressing").unwrap();
        assert_eq!(progressing["lastTransitionTime"], "2026-01-01T00:01:00Z");
    }

    #[test]
    fn a_patch_leads_from_one_status_to_another() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!(null), json!({"a": 1}), Some(json!({"a": 1}))),
            (
                json!({"a": 1, "b": {"c": 1, "d": 2}}),
                json!({"b": {"c": 1, "d": 3}, "e": []}),
                Some(json!({"a": null, "b": {"d": 3}, "e": []})),
            ),
            (
                json!({"l": [1]}),
                json!({"l": [2]}),
                Some(json!({"l": [2]})),
            ),
        ];
        for (before, after, expected) in cases {
            assert_eq!(difference(&before, &after), expected, "{before} {after}");
        }
    }
}
