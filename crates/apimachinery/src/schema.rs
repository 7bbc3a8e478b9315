//! What the API knows about the shape of a kind, in a form small enough to keep for all of them.
//!
//! A [`TypeSchema`] answers the structural questions of patches, server-side apply and field
//! validation: which fields exist, how lists and maps merge, which key identifies a list item.
//! It says nothing about values being *valid*; that is [`crate::builtin`] and
//! [`crate::structural`].

mod build;
mod decode;
mod duplicates;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use build::{builtin, deduced, from_crd};
pub use decode::{TypeMismatch, metadata, normalize, type_mismatch, unknown_fields};
pub use duplicates::duplicate_fields;

/// The shape of one kind. Cloning is cheap.
#[derive(Clone)]
pub struct TypeSchema {
    arena: Arc<Arena>,
    root: NodeId,
}

/// A CRD schema that cannot be turned into a [`TypeSchema`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema cannot be used for field management: {0}")]
pub struct SchemaError(String);

impl TypeSchema {
    /// Whether nothing is known about the kind.
    pub fn is_deduced(&self) -> bool {
        matches!(self.root().node(), Node::Deduced)
    }

    pub(crate) fn root(&self) -> Shape<'_> {
        Shape {
            arena: &self.arena,
            id: self.root,
        }
    }
}

impl fmt::Debug for TypeSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeSchema")
            .field("root", self.root().node())
            .finish_non_exhaustive()
    }
}

/// All nodes of a schema. Types refer to each other by index, so recursion costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

/// One type.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Anything; its shape is read off the value. Maps merge by key, lists are atomic.
    Deduced,
    /// A single value.
    Scalar(Scalar),
    /// A message with named fields.
    Struct(Struct),
    /// Values of one type under free keys.
    Map { value: NodeId, atomic: bool },
    /// Items of one type.
    List { item: NodeId, kind: ListKind },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    String,
    Bytes,
    Time,
    MicroTime,
    Int32,
    Int64,
    Number,
    Boolean,
    Quantity,
    IntOrString,
}

#[derive(Debug, Clone)]
pub(crate) struct Struct {
    /// The Go type, such as `v1.PodSpec`; empty for anonymous structs of custom kinds.
    pub(crate) name: Box<str>,
    /// Sorted by name.
    pub(crate) fields: Box<[Field]>,
    pub(crate) rest: Rest,
    pub(crate) atomic: bool,
}

/// What a struct allows beside its declared fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: other fields are unknown.
    Closed,
    /// Anything (`x-kubernetes-preserve-unknown-fields`).
    Preserved,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) node: NodeId,
    pub(crate) required: bool,
    /// Whether the API leaves the field out when it is zero, false or empty text.
    pub(crate) omits_zero: bool,
    /// The default of a scalar field; list keys left out are read as it.
    pub(crate) default: Option<Value>,
    pub(crate) patch: PatchStrategy,
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Default)]
pub(crate) struct PatchStrategy {
    pub(crate) action: PatchAction,
    pub(crate) merge_key: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PatchAction {
    /// None declared: objects merge, lists are replaced.
    #[default]
    Unset,
    Merge,
    Replace,
}

/// How the items of a list are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    Map(Box<[Box<str>]>),
}

/// A type in its arena.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    arena: &'a Arena,
    id: NodeId,
}

impl<'a> Shape<'a> {
    pub(crate) fn node(self) -> &'a Node {
        // Ids are made by the arena that holds them, so the fallback is never taken.
        self.arena
            .nodes
            .get(self.id.0 as usize)
            .unwrap_or(&Node::Deduced)
    }

    pub(crate) fn at(self, id: NodeId) -> Shape<'a> {
        Shape {
            arena: self.arena,
            id,
        }
    }

    /// A declared field of a struct.
    pub(crate) fn declared(self, name: &str) -> Option<&'a Field> {
        match self.node() {
            Node::Struct(message) => message.field(name),
            _ => None,
        }
    }

    /// The type of the value under `key` of an object of this type; `None` if there cannot be one.
    pub(crate) fn entry(self, key: &str) -> Option<Shape<'a>> {
        match self.node() {
            Node::Deduced => Some(self),
            Node::Struct(message) => match message.field(key) {
                Some(field) => Some(self.at(field.node)),
                None => match message.rest {
                    Rest::Closed => None,
                    Rest::Preserved => Some(self.at(DEDUCED)),
                },
            },
            Node::Map { value, .. } => Some(self.at(*value)),
            Node::List { .. } | Node::Scalar(_) => None,
        }
    }

    /// The type of something undeclared.
    pub(crate) fn deduced(self) -> Shape<'a> {
        self.at(DEDUCED)
    }

    /// The type of the items of a list of this type.
    pub(crate) fn item(self) -> Shape<'a> {
        match self.node() {
            Node::List { item, .. } => self.at(*item),
            _ => self.at(DEDUCED),
        }
    }
}

impl Struct {
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let at = self
            .fields
            .binary_search_by(|field| (*field.name).cmp(name))
            .ok()?;
        self.fields.get(at)
    }
}

/// Every arena begins with the deduced type.
const DEDUCED: NodeId = NodeId(0);

impl Arena {
    fn new() -> Self {
        Self {
            nodes: vec![Node::Deduced],
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(0));
        self.nodes.push(node);
        id
    }

    fn replace(&mut self, id: NodeId, node: Node) {
        if let Some(slot) = self.nodes.get_mut(id.0 as usize) {
            *slot = node;
        }
    }
}

#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;
