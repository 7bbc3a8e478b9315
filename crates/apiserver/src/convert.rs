//! Between the form in which objects are stored and the version in which somebody reads or writes
//! them.
//!
//! Events are one set behind two groups: stored as core/v1, seen as `events.k8s.io/v1` on request.
//! Versions of custom kinds differ in `apiVersion` only (conversion strategy None).

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    registry::{Handling, Resource},
    store::Object,
};

/// Core field and `events.k8s.io` field of the same meaning.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// An object as a reader of this version sees it.
pub(crate) fn read(resource: &Resource, version: &str, object: &Object) -> Value {
    let mut value = object.parse();
    if is_stored_form(resource, version, object) {
        return value;
    }
    value["apiVersion"] = json!(resource.api_version(version));
    if resource.is_custom() {
        if let Some(custom) = resource.custom_version(version) {
            custom.schema.default(&mut value);
        }
    } else {
        rename_event_fields(&mut value, |(core, new)| (core, new));
    }
    value
}

/// The same as JSON text, without work where the stored text fits.
pub(crate) fn read_json(resource: &Resource, version: &str, object: &Object) -> Bytes {
    if is_stored_form(resource, version, object) {
        object.json().clone()
    } else {
        Bytes::from(read(resource, version, object).to_string())
    }
}

/// What a writer of this version wrote, in the form to store.
pub(crate) fn store(resource: &Resource, mut value: Value) -> Value {
    if is_event_view(resource) {
        rename_event_fields(&mut value, |(core, new)| (new, core));
        value["apiVersion"] = json!("v1");
    } else {
        value["apiVersion"] = json!(resource.api_version(resource.storage_version()));
    }
    value
}

/// Whether readers of this version see the object just as it is stored.
pub(crate) fn is_stored_form(resource: &Resource, version: &str, object: &Object) -> bool {
    match &resource.handling {
        // An object that is older than the definition has not seen its defaults yet.
        Handling::Custom {
            storage,
            defined_at,
            ..
        } => version == storage && object.revision() > *defined_at,
        _ => !is_event_view(resource),
    }
}

fn is_event_view(resource: &Resource) -> bool {
    resource.group == "events.k8s.io"
}

fn rename_event_fields(
    value: &mut Value,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    for pair in EVENT_FIELDS {
        let (from, to) = direction(pair);
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_way_through_the_other_group() {
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "e"},
            "regarding": {"kind": "Pod", "name": "p"},
            "note": "started",
            "reason": "Started",
            "reportingController": "c",
            "deprecatedCount": 2,
        });
        let resources = crate::registry::builtin_resources();
        let view = resources
            .iter()
            .find(|resource| resource.group == "events.k8s.io")
            .unwrap();
        let stored = store(view, event.clone());
        assert_eq!(stored["involvedObject"]["name"], "p");
        assert_eq!(stored["apiVersion"], "v1");
        let object = Object::for_tests(7, &stored);
        assert_eq!(read(view, "v1", &object), event);
    }
}
