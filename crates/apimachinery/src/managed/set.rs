//! Sets of field paths, as a tree: what a manager owns.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use serde_json::{Map, Value};

use super::path::Element;
use crate::schema::{Node, Shape};

/// A set of paths. A step can be a member (the path to it is in the set), have children (paths
/// through it are), or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) members: BTreeSet<Element>,
    /// No child is ever an empty set.
    pub(super) children: BTreeMap<Element, Set>,
}

impl Set {
    /// The set of one dotted path of fields.
    pub(super) fn of_fields<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let path: Vec<Element> = names.into_iter().map(Element::field).collect();
        let mut set = Self::default();
        set.insert(&path);
        set
    }

    pub(super) fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            // Most steps are there already, by another path through them.
            [first, rest @ ..] => match self.children.get_mut(first) {
                Some(child) => child.insert(rest),
                None => self.children.entry(first.clone()).or_default().insert(rest),
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        self.clone().with(other.clone())
    }

    /// The union, of sets that nobody needs any more.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.members.extend(other.members);
        for (element, child) in other.children {
            match self.children.entry(element) {
                Entry::Occupied(mut own) => {
                    let merged = std::mem::take(own.get_mut()).with(child);
                    own.insert(merged);
                }
                Entry::Vacant(free) => {
                    free.insert(child);
                }
            }
        }
        self
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: self.children_with(|element, own| {
                other
                    .children
                    .get(element)
                    .map(|child| own.intersection(child))
            }),
        }
    }

    /// The paths of this set that are not in the other. Paths below a removed one stay.
    pub(super) fn difference(&self, other: &Self) -> Self {
        self.clone().less(other)
    }

    /// The difference, of a set that nobody needs any more.
    pub(super) fn less(mut self, other: &Self) -> Self {
        self.members
            .retain(|member| !other.members.contains(member));
        self.change_children(other, Self::less);
        self
    }

    /// The paths of this set that neither are in the other nor lead through one that is.
    pub(super) fn recursive_difference(mut self, other: &Self) -> Self {
        self.members
            .retain(|member| !other.members.contains(member));
        for member in &other.members {
            self.children.remove(member);
        }
        self.change_children(other, Self::recursive_difference);
        self
    }

    /// Changes the children that the other set has, too.
    fn change_children(&mut self, other: &Self, change: impl Fn(Self, &Self) -> Self) {
        for (element, child) in &other.children {
            let Some(own) = self.children.get_mut(element) else {
                continue;
            };
            *own = change(std::mem::take(own), child);
            if own.is_empty() {
                self.children.remove(element);
            }
        }
    }

    fn children_with(
        &self,
        mut make: impl FnMut(&Element, &Self) -> Option<Self>,
    ) -> BTreeMap<Element, Self> {
        self.children
            .iter()
            .filter_map(|(element, own)| Some((element.clone(), make(element, own)?)))
            .filter(|(_, child)| !child.is_empty())
            .collect()
    }

    /// Adds the declared fields that only have children. Sets that are compared as sets of things
    /// to remove need it: a struct goes when all in it goes.
    pub(super) fn with_named_fields(&self, shape: Shape<'_>) -> Self {
        let mut result = Self {
            members: self.members.clone(),
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            let inner = match element {
                Element::Field(name) => {
                    if shape.declared(name).is_some() {
                        result.members.insert(element.clone());
                    }
                    shape.entry(name).unwrap_or_else(|| shape.deduced())
                }
                Element::Key(_) | Element::Item(_) | Element::Index(_) => shape.item(),
            };
            result
                .children
                .insert(element.clone(), child.with_named_fields(inner));
        }
        result
    }

    /// Adapts a recorded set to a schema that has since made a part atomic: whoever owned
    /// something inside owns all of it.
    pub(super) fn reconciled(&self, shape: Shape<'_>) -> Self {
        let mut result = Self {
            members: self.members.clone(),
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            let inner = match element {
                Element::Field(name) => shape.entry(name),
                Element::Key(_) | Element::Item(_) | Element::Index(_) => Some(shape.item()),
            };
            let atomic = inner.is_some_and(|inner| match inner.node() {
                Node::Map { atomic, .. } => *atomic,
                Node::Struct(message) => message.atomic,
                Node::List { kind, .. } => *kind == crate::schema::ListKind::Atomic,
                Node::Deduced | Node::Scalar(_) => false,
            });
            if atomic {
                result.members.insert(element.clone());
            } else {
                let child = match inner {
                    Some(inner) => child.reconciled(inner),
                    None => child.clone(),
                };
                result.children.insert(element.clone(), child);
            }
        }
        result
    }

    /// All paths, in order.
    pub(super) fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for member in &self.members {
            let mut path = prefix.clone();
            path.push(member.clone());
            paths.push(path);
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// Reads a FieldsV1 object.
    pub(super) fn decode(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, inner) in fields.as_object()? {
            if key == "." {
                continue;
            }
            let element = Element::parse(key)?;
            let entries = inner.as_object()?;
            if entries.is_empty() || entries.contains_key(".") {
                set.members.insert(element.clone());
            }
            let child = Self::decode(inner)?;
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Some(set)
    }

    /// The FieldsV1 object of this set.
    pub(super) fn encode(&self) -> Value {
        let mut fields = Map::new();
        for member in &self.members {
            fields.insert(member.encode(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            let Value::Object(mut inner) = child.encode() else {
                continue;
            };
            if self.members.contains(element) {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(element.encode(), Value::Object(inner));
        }
        Value::Object(fields)
    }
}
