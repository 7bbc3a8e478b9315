//! The LimitRanges of a namespace: what they fill in, and what they refuse.

use serde_json::Value;
use windlass_apimachinery::limits;

use crate::{
    http::Call,
    metadata,
    status::{ApiError, ApiResult},
    store::Scope,
};

/// Gives a new pod what it does not say. Says whether anything changed.
pub(super) fn fill(call: &Call, pod: &mut Value) -> bool {
    let mut changed = false;
    for (_, range) in ranges(call) {
        changed |= limits::fill(range.value(), pod);
    }
    changed
}

/// Refuses a pod or a claim that asks for too much, or for too little.
pub(super) fn check(call: &Call, object: &Value) -> ApiResult<()> {
    let plural = call.resource.plural.as_str();
    for (_, range) in ranges(call) {
        let complaints = match plural {
            "pods" => limits::pod_complaints(range.value(), object),
            _ => limits::claim_complaints(range.value(), object),
        };
        if !complaints.is_empty() {
            let name = metadata::text(object, "name");
            let why = limits::joined(&complaints);
            return Err(ApiError::forbidden("", plural, name, why));
        }
    }
    Ok(())
}

fn ranges(call: &Call) -> Vec<(crate::store::Key, std::sync::Arc<crate::store::Object>)> {
    let scope = Scope::new("", "limitranges", &call.target.namespace);
    call.server.store.list(&scope).objects
}
