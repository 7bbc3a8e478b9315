//! Pieces of cells that several kinds share.

use jiff::Timestamp;
use serde_json::Value;

use super::duration;

pub(super) const NONE: &str = "<none>";

pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn text_or(object: &Value, pointer: &str, absent: &str) -> Value {
    match text(object, pointer) {
        "" => absent.into(),
        text => text.into(),
    }
}

pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

pub(super) fn items<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    match object.pointer(pointer) {
        Some(Value::Array(items)) => items.len() as i64,
        Some(Value::Object(entries)) => entries.len() as i64,
        _ => 0,
    }
}

pub(super) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(object, "/metadata/creationTimestamp", now).into()
}

/// How long ago the time at a path was.
pub(super) fn since(object: &Value, pointer: &str, now: Timestamp) -> String {
    match text(object, pointer).parse::<Timestamp>() {
        Ok(time) => duration::since(time, now),
        Err(_) => "<unknown>".to_owned(),
    }
}

pub(super) fn is_terminating(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}

/// Whether a condition of this type has this status.
pub(super) fn has_condition(object: &Value, kind: &str, status: &str) -> bool {
    items(object, "/status/conditions")
        .iter()
        .any(|condition| text(condition, "/type") == kind && text(condition, "/status") == status)
}

/// `a=1,b=2` of a plain map.
pub(super) fn labels(object: &Value, pointer: &str) -> Value {
    let entries = object.pointer(pointer).and_then(Value::as_object);
    let pairs: Vec<String> = entries
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(pairs.join(","))
}

/// A selector object as its query text.
pub(super) fn selector(object: &Value, pointer: &str) -> Value {
    match crate::selectors::LabelSelector::from_object(object.pointer(pointer)) {
        Ok(selector) => or_none(selector.to_string()),
        Err(_) => "<invalid>".into(),
    }
}

/// Names and images of the containers at a path.
pub(super) fn containers(object: &Value, pointer: &str) -> [Value; 2] {
    ["/name", "/image"].map(|field| {
        let texts: Vec<&str> = items(object, pointer)
            .iter()
            .map(|container| text(container, field))
            .collect();
        texts.join(",").into()
    })
}

pub(super) fn access_modes(object: &Value, pointer: &str) -> Value {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "",
    };
    items(object, pointer)
        .iter()
        .map(short)
        .collect::<Vec<_>>()
        .join(",")
        .into()
}

pub(super) fn or_none(text: String) -> Value {
    if text.is_empty() {
        NONE.into()
    } else {
        text.into()
    }
}

/// The first three of a list, and how many more there are.
pub(super) fn first_three(list: &[String], absent: &str) -> Value {
    match list {
        [] => absent.into(),
        [a, b, c, more @ ..] if !more.is_empty() => {
            format!("{a},{b},{c} + {} more...", more.len()).into()
        }
        few => few.join(",").into(),
    }
}
