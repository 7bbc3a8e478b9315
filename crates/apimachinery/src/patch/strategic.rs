//! Strategic merge patch: a merge patch that knows how lists merge.
//!
//! Beside plain values a patch may hold directives: `$patch` (replace, delete, merge) in an object
//! or list item, `$retainKeys` in an object, and `$deleteFromPrimitiveList/FIELD` and
//! `$setElementOrder/FIELD` beside a list. No directive ever reaches the result.

use serde_json::{Map, Value};

use super::PatchError;
use crate::go;
use crate::schema::{Node, PatchAction, Shape, TypeSchema};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

type Object = Map<String, Value>;

/// Applies a strategic merge patch, with merge keys and strategies from the schema.
pub fn strategic_merge(
    document: &Value,
    patch: &Value,
    schema: &TypeSchema,
) -> Result<Value, PatchError> {
    let (Value::Object(document), Value::Object(patch)) = (document, patch) else {
        return Err(malformed("invalid JSON document"));
    };
    merge_object(document.clone(), patch.clone(), schema.root()).map(Value::Object)
}

fn malformed(text: impl Into<String>) -> PatchError {
    PatchError::Malformed(text.into())
}

/// How one field merges.
struct Strategy<'a> {
    shape: Shape<'a>,
    action: PatchAction,
    merge_key: Option<&'a str>,
}

fn strategy<'a>(parent: Shape<'a>, key: &str) -> Strategy<'a> {
    let shape = parent.entry(key).unwrap_or_else(|| parent.deduced());
    let declared = parent.declared(key).map(|field| &field.patch);
    Strategy {
        shape,
        action: declared.map(|patch| patch.action).unwrap_or_default(),
        merge_key: declared.and_then(|patch| patch.merge_key.as_deref()),
    }
}

fn merge_object(
    mut original: Object,
    mut patch: Object,
    shape: Shape<'_>,
) -> Result<Object, PatchError> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Object::new()),
            _ => {
                let name = go::plain(&directive);
                patch.insert(DIRECTIVE.to_owned(), directive);
                Err(PatchError::UnknownDirective(format!(
                    "unknown patch type: {name} in map: {}",
                    go::plain(&Value::Object(patch))
                )))
            }
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_element_orders(&mut original, &mut patch, shape)?;

    for (key, value) in patch {
        let (key, deletes_items) = match key.strip_prefix(DELETE_FROM_LIST) {
            Some(list) => (list.to_owned(), true),
            None => (key, false),
        };
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let merged = match (original.remove(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if !deletes_items => {
                let field = strategy(shape, &key);
                Some(Value::Object(if field.action == PatchAction::Replace {
                    new
                } else {
                    merge_object(old, new, field.shape)?
                }))
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let field = strategy(shape, &key);
                Some(Value::Array(if deletes_items {
                    delete_from(old, &new)
                } else {
                    merge_list(old, new, &field)?
                }))
            }
            (old, _) if deletes_items => old,
            (_, mut new) => {
                discard_nulls(&mut new);
                without_directives(new)
            }
        };
        if let Some(merged) = merged {
            original.insert(key, merged);
        }
    }
    Ok(original)
}

/// `$retainKeys` names all keys that may remain; what the patch sets must be among them.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let bad_format = || malformed("invalid patch format of retainKeys");
    let retained = retained.as_array().ok_or_else(bad_format)?;
    let keeps = |key: &str| retained.iter().any(|name| name.as_str() == Some(key));
    let sets_other = patch.iter().any(|(key, value)| {
        !value.is_null()
            && !key.starts_with(DELETE_FROM_LIST)
            && !key.starts_with(SET_ORDER)
            && !keeps(key)
    });
    if sets_other {
        return Err(bad_format());
    }
    original.retain(|key, _| keeps(key));
    Ok(())
}

/// Handles every `$setElementOrder/FIELD` together with the list it orders.
fn set_element_orders(
    original: &mut Object,
    patch: &mut Object,
    shape: Shape<'_>,
) -> Result<(), PatchError> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(SET_ORDER))
        .cloned()
        .collect();
    for directive in directives {
        let bad_format = || malformed("invalid patch format of setElementOrder list");
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(bad_format());
        };
        let key = directive.trim_start_matches(SET_ORDER).to_owned();
        let field = strategy(shape, &key);
        let as_list = |value: Option<Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(bad_format()),
        };
        // An explicit null deletes the list; there is nothing left to order.
        if patch.get(&key).is_some_and(Value::is_null) {
            continue;
        }
        let patched = as_list(patch.remove(&key))?;
        if let Some(patched) = &patched {
            check_order(patched, &order, field.merge_key)?;
        }
        let live = as_list(original.remove(&key))?;
        let server_order = server_order(
            live.as_deref().unwrap_or_default(),
            patched.as_deref().unwrap_or_default(),
            field.merge_key,
        );
        let merged = match (live, patched) {
            (None, None) => continue,
            (Some(live), None) => live,
            (None, Some(patched)) => match without_directives(Value::Array(patched)) {
                Some(Value::Array(items)) => items,
                _ => continue,
            },
            (Some(live), Some(patched)) => merge_list(live, patched, &field)?,
        };
        let ordered = in_order(merged, &order, &server_order, field.merge_key)?;
        original.insert(key, Value::Array(ordered));
    }
    Ok(())
}

/// The places of items on the server: a new item may take the place of one that goes.
fn server_order(live: &[Value], patched: &[Value], merge_key: Option<&str>) -> Vec<Value> {
    let deletes = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str) == Some("delete");
    let same = |a: &Value, b: &Value| identity(a, merge_key) == identity(b, merge_key);
    let kept = live.iter().filter(|item| {
        !patched
            .iter()
            .any(|other| deletes(other) && same(item, other))
    });
    let new = patched.iter().filter(|item| {
        item.get(DIRECTIVE).is_none() && !live.iter().any(|other| same(item, other))
    });
    kept.chain(new).take(live.len()).cloned().collect()
}

/// The items a patch sets must come in the order it asks for.
fn check_order(
    patched: &[Value],
    order: &[Value],
    merge_key: Option<&str>,
) -> Result<(), PatchError> {
    if patched.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for item in patched.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        if !wanted.any(|entry| identity(entry, merge_key) == identity(item, merge_key)) {
            return Err(malformed(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                Value::from(patched.to_vec()),
                Value::from(order.to_vec())
            )));
        }
    }
    Ok(())
}

fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    field: &Strategy<'_>,
) -> Result<Vec<Value>, PatchError> {
    if field.action != PatchAction::Merge {
        return Ok(patch);
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let objects = element_kind(original.iter().chain(&patch))?;
    let server_order = original.clone();
    if objects == Elements::Scalars {
        let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
        for item in original.into_iter().chain(patch.iter().cloned()) {
            if !merged.contains(&item) {
                merged.push(item);
            }
        }
        return in_order(merged, &patch, &server_order, None);
    }
    let Some(merge_key) = field.merge_key else {
        return Err(malformed(format!(
            "cannot merge lists without merge key for {}",
            type_name(field.shape)
        )));
    };
    let (mut merged, patch) = apply_item_directives(original, patch, merge_key)?;
    for item in &patch {
        let Value::Object(item) = item else { continue };
        let wanted = item
            .get(merge_key)
            .ok_or_else(|| no_merge_key(item, merge_key))?;
        match merged
            .iter_mut()
            .find(|live| live.get(merge_key) == Some(wanted))
        {
            Some(live) => {
                let old = live.take();
                let Value::Object(old) = old else { continue };
                *live = Value::Object(merge_object(old, item.clone(), field.shape.item())?);
            }
            None => {
                let mut new = Value::Object(item.clone());
                discard_nulls(&mut new);
                // As it is: a directive in it has nothing to direct, and is an unknown field.
                merged.push(new);
            }
        }
    }
    in_order(merged, &patch, &server_order, Some(merge_key))
}

/// Carries out `$patch` directives among list items; returns both lists without them.
fn apply_item_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::new();
    let mut replace = false;
    for item in patch {
        match item.get(DIRECTIVE).map(Value::as_str) {
            None => plain.push(item),
            Some(Some("delete")) => {
                let key = item.get(merge_key).cloned().ok_or_else(|| {
                    no_merge_key(item.as_object().unwrap_or(&Object::new()), merge_key)
                })?;
                original.retain(|live| live.get(merge_key) != Some(&key));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                return Err(malformed(
                    "merging lists cannot yet be specified in the patch",
                ));
            }
            Some(_) => return Err(malformed(format!("unknown patch type in map: {item}"))),
        }
    }
    if replace {
        Ok((plain, Vec::new()))
    } else {
        Ok((original, plain))
    }
}

/// Orders a merged list: items of the patch as the patch has them, all others as the server had
/// them, and the two woven together so that known items keep their relative places.
fn in_order(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    merge_key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    if let Some(key) = merge_key
        && let Some(Value::Object(item)) = merged.iter().find(|item| item.get(key).is_none())
    {
        return Err(no_merge_key(item, key));
    }
    let position = |list: &[Value], item: &Value| {
        list.iter()
            .position(|entry| identity(entry, merge_key) == identity(item, merge_key))
    };
    let (mut patched, mut others): (Vec<Value>, Vec<Value>) = merged
        .into_iter()
        .partition(|item| position(patch_order, item).is_some());
    patched.sort_by_key(|item| position(patch_order, item));
    others.sort_by_key(|item| position(server_order, item).unwrap_or(usize::MAX));

    let mut woven = Vec::with_capacity(patched.len() + others.len());
    let mut patched = patched.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    loop {
        let other_first = match (others.peek(), patched.peek()) {
            (None, None) => return Ok(woven),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(patched)) => {
                match (
                    position(server_order, other),
                    position(server_order, patched),
                ) {
                    (Some(other), Some(patched)) => other < patched,
                    _ => false,
                }
            }
        };
        woven.extend(if other_first {
            others.next()
        } else {
            patched.next()
        });
    }
}

fn identity<'v>(item: &'v Value, merge_key: Option<&str>) -> Option<&'v Value> {
    match merge_key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn delete_from(list: Vec<Value>, unwanted: &[Value]) -> Vec<Value> {
    list.into_iter()
        .filter(|item| !unwanted.contains(item))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Elements {
    Scalars,
    Objects,
}

fn element_kind<'v>(items: impl Iterator<Item = &'v Value>) -> Result<Elements, PatchError> {
    let mut kind = None;
    for item in items {
        let this = match item {
            Value::Array(_) => {
                return Err(PatchError::Rejected(
                    "lists of lists are not supported".to_owned(),
                ));
            }
            Value::Object(_) => Elements::Objects,
            _ => Elements::Scalars,
        };
        if *kind.get_or_insert(this) != this {
            return Err(malformed("list element types are not identical"));
        }
    }
    Ok(kind.unwrap_or(Elements::Scalars))
}

fn no_merge_key(item: &Object, key: &str) -> PatchError {
    PatchError::UnknownDirective(format!(
        "map: {} does not contain declared merge key: {key}",
        go::plain(&Value::Object(item.clone()))
    ))
}

fn type_name(shape: Shape<'_>) -> &str {
    match shape.item().node() {
        Node::Struct(message) => &message.name,
        _ => "this list",
    }
}

/// Nulls in a part of the patch that meets nothing have nothing to delete.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// The value without the parts that a directive marks; `None` if it is marked itself. Directives of
/// other kinds have nothing to direct there, and are unknown fields.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(entries) if entries.contains_key(DIRECTIVE) => None,
        Value::Object(entries) => Some(
            entries
                .into_iter()
                .filter_map(|(key, value)| Some((key, without_directives(value)?)))
                .collect(),
        ),
        Value::Array(items) => Some(items.into_iter().filter_map(without_directives).collect()),
        scalar => Some(scalar),
    }
}
