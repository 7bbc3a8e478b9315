//! What the optional webhook says: whether an object of ours can be meant, told before it is
//! stored, and what pods get that people submit by themselves.

mod customise;
mod validate;

use std::sync::Arc;

use windlass_api::spark::original::OldImages;
use windlass_engine::webhook::{Review, Route};

use crate::controller::PolicyDesk;
use crate::lower::Settings;

pub use customise::customise;
pub use validate::validate;

/// Where objects of our kinds are validated.
pub const VALIDATE: &str = "/validate";
/// Where pods are customised.
pub const CUSTOMISE: &str = "/customise-pods";

/// What is answered where. Applications are judged by the settings of the operator, by what it does
/// with images that are too old, and by the policies that it knows of.
pub fn routes(settings: Settings, old_images: OldImages, policies: Arc<PolicyDesk>) -> Vec<Route> {
    vec![
        Route {
            path: VALIDATE,
            review: Review::Pure(Arc::new(move |request| {
                let namespace = request.namespace.as_deref().unwrap_or_default();
                validate(request, &settings, &old_images, &policies.shown(namespace))
            })),
        },
        Route {
            path: CUSTOMISE,
            review: Review::Pure(Arc::new(customise)),
        },
    ]
}

#[cfg(test)]
pub(crate) fn request(
    operation: &str,
    object: &serde_json::Value,
    old: &serde_json::Value,
) -> windlass_engine::webhook::Request {
    let written = if object.is_null() { old } else { object };
    let api_version = written["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    serde_json::from_value(serde_json::json!({
        "uid": "u",
        "kind": {"group": group, "version": version, "kind": written["kind"]},
        "namespace": written["metadata"]["namespace"],
        "operation": operation,
        "object": object,
        "oldObject": old,
    }))
    .unwrap()
}
