//! Pruning and defaulting.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Additional, Node};

/// What a value is within its object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// An object with apiVersion, kind and metadata, which no schema needs to declare.
    Resource,
    /// A part of one.
    Value,
}

pub(super) fn prune(
    node: &Node,
    value: &mut Value,
    place: Place,
    path: &mut String,
    dropped: &mut Vec<String>,
) {
    match value {
        Value::Object(entries) => entries.retain(|key, value| {
            let implied =
                place == Place::Resource && matches!(&**key, "apiVersion" | "kind" | "metadata");
            if implied {
                return true;
            }
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(key);
            let inner = node.properties.get(key).or(match &node.additional {
                Additional::Values(inner) => Some(&**inner),
                Additional::Nothing | Additional::Anything => None,
            });
            let keep = match inner {
                Some(inner) => {
                    let place = if inner.embedded {
                        Place::Resource
                    } else {
                        Place::Value
                    };
                    prune(inner, value, place, path, dropped);
                    true
                }
                None => node.preserve || matches!(node.additional, Additional::Anything),
            };
            if !keep {
                dropped.push(path.clone());
            }
            path.truncate(length);
            keep
        }),
        Value::Array(items) => {
            let Some(inner) = &node.items else { return };
            let place = if inner.embedded {
                Place::Resource
            } else {
                Place::Value
            };
            for (index, item) in items.iter_mut().enumerate() {
                let length = path.len();
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
                prune(inner, item, place, path, dropped);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Drops nulls of fields that are neither nullable nor have a default.
pub(super) fn drop_nulls(node: &Node, value: &mut Value) {
    let unwanted = |inner: &Node| !inner.nullable && inner.default.is_none();
    match value {
        Value::Object(entries) => entries.retain(|key, value| {
            let inner = node.properties.get(key).or(match &node.additional {
                Additional::Values(inner) => Some(&**inner),
                Additional::Nothing | Additional::Anything => None,
            });
            let Some(inner) = inner else { return true };
            if value.is_null() && unwanted(inner) {
                return false;
            }
            drop_nulls(inner, value);
            true
        }),
        Value::Array(items) => {
            if let Some(inner) = &node.items {
                for item in items {
                    drop_nulls(inner, item);
                }
            }
        }
        _ => {}
    }
}

pub(super) fn default(node: &Node, value: &mut Value) {
    let fill = |inner: &Node, value: &mut Value| {
        if value.is_null()
            && !inner.nullable
            && let Some(default) = &inner.default
        {
            *value = default.clone();
        }
    };
    match value {
        Value::Object(entries) => {
            for (name, inner) in &node.properties {
                if let Some(default) = &inner.default
                    && !entries.contains_key(name)
                {
                    entries.insert(name.clone(), default.clone());
                }
            }
            for (key, value) in entries {
                let inner = node.properties.get(key).or(match &node.additional {
                    Additional::Values(inner) => Some(&**inner),
                    Additional::Nothing | Additional::Anything => None,
                });
                if let Some(inner) = inner {
                    fill(inner, value);
                    default(inner, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &node.items {
                for item in items {
                    fill(inner, item);
                    default(inner, item);
                }
            }
        }
        _ => {}
    }
}
