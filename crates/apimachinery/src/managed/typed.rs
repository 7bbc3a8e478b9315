//! Objects seen through their schema: which paths they have, how two of them differ, what they
//! make together, and what is left without some paths.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::path::{Element, Scalar, same};
use super::set::Set;
use crate::go;
use crate::schema::{self, ListKind, Node, Rest, Shape};

/// How a value is to be treated, from its declared type or, where nothing is declared, from itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form<'a> {
    /// One value that changes as a whole: a scalar, or an atomic list or map.
    Leaf,
    /// A list whose items are told apart by themselves (no keys) or by these fields.
    List(&'a [Box<str>]),
    /// An object with fields of their own.
    Map,
}

fn form<'a>(shape: Shape<'a>, value: Option<&Value>) -> Form<'a> {
    match shape.node() {
        Node::Scalar(_) => Form::Leaf,
        Node::List { kind, .. } => match kind {
            ListKind::Atomic => Form::Leaf,
            ListKind::Set => Form::List(&[]),
            ListKind::Map(keys) => Form::List(keys),
        },
        Node::Map { atomic, .. } => {
            if *atomic {
                Form::Leaf
            } else {
                Form::Map
            }
        }
        Node::Struct(message) => {
            if message.atomic {
                Form::Leaf
            } else {
                Form::Map
            }
        }
        Node::Deduced => match value {
            Some(Value::Object(_) | Value::Null) | None => Form::Map,
            Some(_) => Form::Leaf,
        },
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(entries)) => entries.is_empty(),
        Some(_) => false,
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The step to a list item, or why it has none.
fn item_element(shape: Shape<'_>, keys: &[Box<str>], item: &Value) -> Result<Element, String> {
    if keys.is_empty() {
        return match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => {
                Err("not supported: associative list with lists as elements".to_owned())
            }
            Value::Null => Err(
                "associative list without keys has an element that's an explicit \
                                null"
                    .to_owned(),
            ),
            scalar => Ok(Element::Item(Scalar(scalar.clone()))),
        };
    }
    let entries = match item {
        Value::Object(entries) => entries,
        Value::Null => {
            return Err("associative list with keys may not have a null element".to_owned());
        }
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let default = || {
            shape
                .item()
                .declared(key)
                .and_then(|field| field.default.as_ref())
        };
        let Some(value) = entries.get(&**key).or_else(default) else {
            let none = keys.iter().all(|key| entries.get(&**key).is_none());
            return Err(if none {
                let keys: Vec<String> = keys.iter().map(|key| crate::field::quote(key)).collect();
                format!(
                    "associative list with keys has an element that omits all key fields [{}] \
                     (and doesn't have default values for any key fields)",
                    keys.join(" ")
                )
            } else {
                format!(
                    "associative list with keys has an element that omits key field {} (and \
                     doesn't have default value)",
                    crate::field::quote(key)
                )
            });
        };
        found.push((key.clone(), Scalar(value.clone())));
    }
    found.sort();
    Ok(Element::Key(found))
}

/// The paths of a value: every leaf, list item and free map entry.
pub(super) fn paths(shape: Shape<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    collect(shape, value, &mut Vec::new(), &mut set);
    set
}

fn collect(shape: Shape<'_>, value: &Value, path: &mut Vec<Element>, set: &mut Set) {
    match form(shape, Some(value)) {
        Form::Leaf => set.insert(path),
        Form::List(keys) => {
            let mut seen: BTreeMap<Element, usize> = BTreeMap::new();
            let elements: Vec<(Element, &Value)> = items(Some(value))
                .iter()
                .filter_map(|item| Some((item_element(shape, keys, item).ok()?, item)))
                .collect();
            for (element, _) in &elements {
                *seen.entry(element.clone()).or_default() += 1;
            }
            for (element, item) in elements {
                let once = seen.get(&element) == Some(&1);
                path.push(element);
                // Items that occur twice are owned as one, without what is in them.
                if once {
                    collect(shape.item(), item, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
        Form::Map => {
            for (key, value) in value.as_object().into_iter().flatten() {
                let inner = shape.entry(key).unwrap_or_else(|| shape.deduced());
                path.push(Element::field(key));
                collect(inner, value, path, set);
                let empty_map = value.as_object().is_some_and(Map::is_empty);
                if value.is_null() || empty_map || shape.declared(key).is_none() {
                    set.insert(path);
                }
                path.pop();
            }
        }
    }
}

/// How one object differs from another.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) removed: Set,
    pub(super) modified: Set,
    pub(super) added: Set,
}

impl Comparison {
    /// Leaves out what lies under these paths.
    pub(super) fn without(self, ignored: &Set) -> Self {
        Self {
            removed: self.removed.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
            added: self.added.recursive_difference(ignored),
        }
    }
}

pub(super) fn compare(shape: Shape<'_>, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    difference(
        shape,
        Some(old),
        Some(new),
        &mut Vec::new(),
        &mut comparison,
    );
    comparison
}

fn difference(
    shape: Shape<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let (old_form, new_form) = (form(shape, old), form(shape, new));
    let mut leaf = false;
    if new.is_none() || (old.is_some() && old_form != new_form) {
        leaf |= differ_as(old_form, shape, old, new, path, found);
    }
    if new.is_some() {
        leaf |= differ_as(new_form, shape, old, new, path, found);
    }
    if !leaf {
        if old.is_none() {
            found.added.insert(path);
        } else if new.is_none() {
            found.removed.insert(path);
        }
    }
}

/// Compares two values of one form; tells whether they were compared as a whole.
fn differ_as(
    form: Form<'_>,
    shape: Shape<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) -> bool {
    // Two empty containers are a leaf: that keeps null and empty apart.
    if form == Form::Leaf || (is_empty(old) && is_empty(new)) {
        match (old, new) {
            (None, Some(_)) => found.added.insert(path),
            (Some(_), None) => found.removed.insert(path),
            (Some(old), Some(new)) if !same(old, new) => found.modified.insert(path),
            _ => {}
        }
        return true;
    }
    if let Form::List(keys) = form {
        differ_in_items(shape, keys, items(old), items(new), path, found);
        return false;
    }
    let (old, new) = (
        old.and_then(Value::as_object),
        new.and_then(Value::as_object),
    );
    let keys: BTreeSet<&String> = old
        .into_iter()
        .chain(new)
        .flat_map(|entries| entries.keys())
        .collect();
    for key in keys {
        let inner = shape.entry(key).unwrap_or_else(|| shape.deduced());
        path.push(Element::field(key));
        let (before, after) = (
            old.and_then(|entries| entries.get(key)),
            new.and_then(|entries| entries.get(key)),
        );
        difference(inner, before, after, path, found);
        path.pop();
    }
    false
}

fn differ_in_items(
    shape: Shape<'_>,
    keys: &[Box<str>],
    old: &[Value],
    new: &[Value],
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let mut sides: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in old {
        if let Ok(element) = item_element(shape, keys, item) {
            sides.entry(element).or_default().0.push(item);
        }
    }
    for item in new {
        if let Ok(element) = item_element(shape, keys, item) {
            sides.entry(element).or_default().1.push(item);
        }
    }
    let item_shape = shape.item();
    for (element, (old, new)) in sides {
        path.push(element);
        match (old.as_slice(), new.as_slice()) {
            ([] | [_], [] | [_]) => {
                difference(
                    item_shape,
                    old.first().copied(),
                    new.first().copied(),
                    path,
                    found,
                );
            }
            ([_, _, ..], [_, _, ..]) => {
                let equal = old.len() == new.len() && old.iter().zip(&new).all(|(a, b)| same(a, b));
                if !equal {
                    found.modified.insert(path);
                }
            }
            ([_, _, ..], _) => {
                if let Some(new) = new.first() {
                    difference(item_shape, None, Some(new), path, found);
                }
                found.removed.insert(path);
            }
            _ => {
                if let Some(old) = old.first() {
                    difference(item_shape, Some(old), None, path, found);
                }
                found.added.insert(path);
            }
        }
        path.pop();
    }
}

/// The first object with everything the second says. Nothing is removed; items keep the order of
/// the second where it names them.
pub(super) fn merge(shape: Shape<'_>, base: &Value, over: &Value) -> Value {
    merged(shape, Some(base), Some(over)).unwrap_or(Value::Null)
}

fn merged(shape: Shape<'_>, base: Option<&Value>, over: Option<&Value>) -> Option<Value> {
    let form = form(shape, over.or(base));
    if form == Form::Leaf || (is_empty(base) && is_empty(over)) {
        return over.or(base).cloned();
    }
    match form {
        Form::Leaf => over.or(base).cloned(),
        Form::List(keys) => {
            let items = merged_items(shape, keys, items(base), items(over));
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Form::Map => {
            let (base, over) = (
                base.and_then(Value::as_object),
                over.and_then(Value::as_object),
            );
            let keys: BTreeSet<&String> = base
                .into_iter()
                .chain(over)
                .flat_map(|entries| entries.keys())
                .collect();
            let entries: Map<String, Value> = keys
                .into_iter()
                .filter_map(|key| {
                    let inner = shape.entry(key).unwrap_or_else(|| shape.deduced());
                    let base = base.and_then(|entries| entries.get(key));
                    let over = over.and_then(|entries| entries.get(key));
                    Some((key.clone(), merged(inner, base, over)?))
                })
                .collect();
            (!entries.is_empty()).then_some(Value::Object(entries))
        }
    }
}

fn merged_items(shape: Shape<'_>, keys: &[Box<str>], base: &[Value], over: &[Value]) -> Vec<Value> {
    let index = |list: &[Value]| -> Vec<(Element, Value)> {
        list.iter()
            .filter_map(|item| Some((item_element(shape, keys, item).ok()?, item.clone())))
            .collect()
    };
    let (base, over) = (index(base), index(over));
    let mut base_by: BTreeMap<&Element, Option<&Value>> = BTreeMap::new();
    for (element, item) in &base {
        // Items that occur twice are not merged with the new one.
        base_by
            .entry(element)
            .and_modify(|slot| *slot = None)
            .or_insert(Some(item));
    }
    let over_by: BTreeMap<&Element, &Value> = over.iter().map(|(e, item)| (e, item)).collect();
    let mut shared = over
        .iter()
        .map(|(element, _)| element)
        .filter(|e| base_by.contains_key(e));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut result = Vec::with_capacity(base.len().max(over.len()));
    let item_shape = shape.item();
    let (mut left, mut right) = (0, 0);
    while left < base.len() || right < over.len() {
        if let (Some((element, _)), Some((wanted, item))) = (base.get(left), over.get(right)) {
            if element == wanted {
                let own = base_by.get(element).copied().flatten();
                result.extend(merged(item_shape, own, Some(item)));
                done.insert(element);
                left += 1;
                right += 1;
                next_shared = shared.next();
                continue;
            }
            if over_by.contains_key(element) && next_shared.is_some_and(|next| next != element) {
                // It comes later, in the order of the other side.
                left += 1;
                continue;
            }
        }
        if let Some((element, item)) = base.get(left) {
            if !over_by.contains_key(element) {
                result.extend(merged(item_shape, Some(item), None));
                left += 1;
                continue;
            }
            if done.contains(element) {
                left += 1;
            }
        }
        if let Some((element, item)) = over.get(right) {
            let own = base_by.get(element).copied().flatten();
            result.extend(merged(item_shape, own, Some(item)));
            done.insert(element);
            right += 1;
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
    result
}

/// The value without the items and fields at these paths; `None` if nothing is left of it.
pub(super) fn without(shape: Shape<'_>, value: &Value, removed: &Set) -> Option<Value> {
    remove(shape, value, removed, Emptied::Goes)
}

/// The same, but what has lost all that was in it stays, empty.
pub(super) fn emptied(shape: Shape<'_>, value: &Value, removed: &Set) -> Option<Value> {
    remove(shape, value, removed, Emptied::Stays)
}

/// What becomes of maps and lists that lose everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emptied {
    Goes,
    Stays,
}

fn remove(shape: Shape<'_>, value: &Value, removed: &Set, emptied: Emptied) -> Option<Value> {
    match form(shape, Some(value)) {
        Form::Leaf => match value {
            // Paths into what is atomic are left over from another schema: all of it goes.
            Value::Array(_) | Value::Object(_) => None,
            scalar => Some(scalar.clone()),
        },
        Form::List(keys) => {
            let mut kept = Vec::new();
            for item in items(Some(value)) {
                let Ok(element) = item_element(shape, keys, item) else {
                    kept.push(item.clone());
                    continue;
                };
                if removed.members.contains(&element) {
                    continue;
                }
                match removed.children.get(&element) {
                    Some(inner) => kept.extend(remove(shape.item(), item, inner, emptied)),
                    None => kept.push(item.clone()),
                }
            }
            (emptied == Emptied::Stays || !kept.is_empty()).then_some(Value::Array(kept))
        }
        Form::Map => {
            let mut kept = Map::new();
            for (key, value) in value.as_object().into_iter().flatten() {
                let element = Element::field(key);
                if removed.members.contains(&element) {
                    continue;
                }
                let left = match removed.children.get(&element) {
                    Some(inner) => {
                        let entry = shape.entry(key).unwrap_or_else(|| shape.deduced());
                        let left = remove(entry, value, inner, emptied);
                        // Nothing says there that null is nothing, so it stays.
                        let untyped = matches!(entry.node(), Node::Deduced);
                        left.or_else(|| untyped.then_some(Value::Null))
                    }
                    None => Some(value.clone()),
                };
                if let Some(left) = left {
                    kept.insert(key.clone(), left);
                }
            }
            (emptied == Emptied::Stays || !kept.is_empty()).then_some(Value::Object(kept))
        }
    }
}

/// The object before it existed: the structs and lists of `object` that are always there, empty.
///
/// Creating an object does not create them, so nobody comes to own them as such.
pub(super) fn zero(shape: Shape<'_>, object: &Value) -> Value {
    let entries = object
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            let field = shape.declared(key)?;
            let inner = shape.at(field.node);
            let present = field.omits_zero
                && value.is_object()
                && matches!(inner.node(), Node::Struct(message) if !message.name.is_empty());
            let listed = field.required && matches!(inner.node(), Node::List { .. });
            if listed && value.is_array() {
                return Some((key.clone(), Value::Array(Vec::new())));
            }
            present.then(|| (key.clone(), zero(inner, value)))
        });
    Value::Object(entries.collect())
}

/// What keeps a configuration from being applied, as `.spec.foo: field not declared in schema`.
pub(super) fn complaints(shape: Shape<'_>, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(shape, value, "", &mut found);
    found
}

fn check(shape: Shape<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match (shape.node(), value) {
        (Node::Deduced, _) => {}
        (Node::Scalar(scalar), value) => {
            if let Some(complaint) = scalar_complaint(*scalar, value) {
                found.push(format!("{path}: {complaint}"));
            }
        }
        (Node::List { kind, .. }, Value::Array(list)) => {
            let keys: &[Box<str>] = match kind {
                ListKind::Map(keys) => keys,
                ListKind::Set | ListKind::Atomic => &[],
            };
            let mut seen = BTreeSet::new();
            for (index, item) in list.iter().enumerate() {
                let step = if *kind == ListKind::Atomic {
                    Element::Index(index as i64)
                } else {
                    match item_element(shape, keys, item) {
                        Ok(element) => element,
                        Err(error) => {
                            found.push(format!("{path}: element {index}: {error}"));
                            continue;
                        }
                    }
                };
                if !seen.insert(step.clone()) {
                    found.push(format!("{path}: duplicate entries for key {step}"));
                    continue;
                }
                check(shape.item(), item, &format!("{path}{step}"), found);
            }
        }
        (Node::Map { value: inner, .. }, Value::Object(entries)) => {
            for (key, value) in entries {
                check(shape.at(*inner), value, &format!("{path}.{key}"), found);
            }
        }
        (Node::Struct(message), Value::Object(entries)) => {
            for (key, value) in entries {
                match shape.entry(key) {
                    Some(inner) => check(inner, value, &format!("{path}.{key}"), found),
                    None if message.rest == Rest::Closed => {
                        found.push(format!("{path}.{key}: field not declared in schema"));
                    }
                    None => {}
                }
            }
        }
        (Node::List { .. }, value) => {
            found.push(format!(
                "{path}: expected list, got &{{{}}}",
                go::plain(value)
            ));
        }
        (Node::Map { .. } | Node::Struct(_), value) => {
            found.push(format!(
                "{path}: expected map, got &{{{}}}",
                go::plain(value)
            ));
        }
    }
}

fn scalar_complaint(scalar: schema::Scalar, value: &Value) -> Option<String> {
    use schema::Scalar as S;
    let container = value.is_array() || value.is_object();
    let (fits, expected) = match scalar {
        S::String | S::Bytes | S::Time | S::MicroTime => (value.is_string(), "string"),
        S::Int32 | S::Int64 | S::Number => (value.is_number(), "numeric (int or float)"),
        S::Boolean => (value.is_boolean(), "boolean"),
        S::Quantity | S::IntOrString => (!container, "any scalar"),
    };
    let found = || match scalar {
        S::Int32 | S::Int64 | S::Number => go::type_name(value).to_owned(),
        S::Boolean => format!("&{{{}}}", go::plain(value)),
        S::Quantity | S::IntOrString => go::plain(value),
        S::String | S::Bytes | S::Time | S::MicroTime => {
            format!("&value.valueUnstructured{{Value:{}}}", go::literal(value))
        }
    };
    (!fits).then(|| format!("expected {expected}, got {}", found()))
}
