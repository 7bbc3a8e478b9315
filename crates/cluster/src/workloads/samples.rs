//! What the tests of the controllers share.

use serde_json::{Value, json};

/// Writes a merge patch into an object, as the API would.
pub(super) fn merge(to: &mut Value, patch: &Value) {
    if !to.is_object() {
        *to = json!({});
    }
    for (field, value) in patch.as_object().unwrap() {
        if value.is_null() {
            to.as_object_mut().unwrap().remove(field);
        } else if value.is_object() {
            merge(&mut to[field], value);
        } else {
            to[field] = value.clone();
        }
    }
}
