//! What every controller does with the status of an object: reads it, writes it, and does nothing
//! where it cannot be read.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_engine::Object;
use windlass_engine::plan::{Basis, Effect, EventNote, Plan, Severity};

/// The status as it is stored; an error is why it cannot be understood.
pub(super) fn status_of<S: DeserializeOwned + Default>(object: &Object) -> Result<S, String> {
    match object.status() {
        Value::Null => Ok(S::default()),
        status => S::deserialize(status).map_err(|error| format!("status: {error}")),
    }
}

/// The status as it is written.
pub(super) fn written(status: &impl Serialize) -> Value {
    // Serializing plain data cannot fail; a null would be refused by the API.
    serde_json::to_value(status).unwrap_or_default()
}

/// Without its status an object has no memory, and nothing is safe to do.
pub(super) fn leave_alone(object: &Object, error: &str, now: Timestamp) -> Plan<Value> {
    Plan {
        status: object.status().clone(),
        basis: Basis::Cached,
        effects: Vec::<Effect>::new(),
        events: vec![EventNote {
            severity: Severity::Warning,
            reason: "StatusUnreadable".to_owned(),
            action: "Read".to_owned(),
            note: format!("{error}: repair the status, or create the object anew"),
        }],
        wake_at: now.checked_add(jiff::SignedDuration::from_mins(5)).ok(),
    }
}
