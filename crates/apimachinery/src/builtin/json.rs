//! Small accessors for reading and completing JSON objects.

use serde_json::{Map, Value};

pub(super) type Object = Map<String, Value>;

/// The text at a path; empty if absent.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a path.
pub(super) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// Whether the flag at a path is set.
pub(super) fn flag(value: &Value, pointer: &str) -> bool {
    value
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// The items at a path; none if absent.
pub(super) fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The entries at a path.
pub(super) fn entries<'v>(value: &'v Value, pointer: &str) -> Option<&'v Object> {
    value.pointer(pointer).and_then(Value::as_object)
}

/// The items at a path, to be completed.
pub(super) fn items_mut<'v>(value: &'v mut Value, pointer: &str) -> &'v mut [Value] {
    match value.pointer_mut(pointer) {
        Some(Value::Array(items)) => items,
        _ => &mut [],
    }
}

/// Sets a field that is absent, null or empty text.
pub(super) fn fill(object: &mut Value, key: &str, default: impl Into<Value>) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let absent = match object.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if absent {
        object.insert(key.to_owned(), default.into());
    }
}

/// Sets a number that is absent, null or zero.
pub(super) fn fill_zero(object: &mut Value, key: &str, default: i64) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    if object.get(key).and_then(Value::as_i64).unwrap_or_default() == 0 {
        object.insert(key.to_owned(), default.into());
    }
}

/// The object under a key, made if it is absent. `None` if something else stands there.
pub(super) fn child<'v>(object: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    let slot = object.as_object_mut()?.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.is_object().then_some(slot)
}

/// The object under a key, if it is there.
pub(super) fn existing<'v>(object: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    object.get_mut(key).filter(|value| value.is_object())
}
