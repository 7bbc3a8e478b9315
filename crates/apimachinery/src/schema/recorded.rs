//! Schemas of recorded upstream test cases.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    Arena, Field, ListKind, Node, NodeId, PatchStrategy, Rest, Scalar, Struct, TypeSchema,
};

/// A schema in the language of structured-merge-diff.
pub(crate) fn from_structured_merge(types: &[Value], root: &str) -> TypeSchema {
    let mut reader = Reader {
        arena: Arena::new(),
        types: types
            .iter()
            .map(|t| (t["name"].as_str().unwrap(), t))
            .collect(),
        read: HashMap::new(),
    };
    let root = reader.named(root);
    TypeSchema {
        arena: reader.arena.into(),
        root,
    }
}

/// A definition among others in OpenAPI.
pub(crate) fn from_definitions(definitions: &Map<String, Value>, root: &str) -> TypeSchema {
    super::build::from_definitions(definitions, root)
}

struct Reader<'a> {
    arena: Arena,
    types: HashMap<&'a str, &'a Value>,
    read: HashMap<String, NodeId>,
}

impl Reader<'_> {
    fn named(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.read.get(name) {
            return *id;
        }
        let id = self.arena.add(Node::Deduced);
        self.read.insert(name.to_owned(), id);
        let node = match self.types.get(name).copied() {
            Some(atom) => self.atom(atom),
            None => Node::Deduced,
        };
        self.arena.replace(id, node);
        id
    }

    fn reference(&mut self, reference: &Value) -> NodeId {
        let id = match reference["namedType"].as_str() {
            Some(name) => self.named(name),
            None => {
                let node = self.atom(reference);
                self.arena.add(node)
            }
        };
        let Some(relation) = reference["elementRelationship"].as_str() else {
            return id;
        };
        let wanted = relation == "atomic";
        let node = match self.arena.nodes[id.0 as usize].clone() {
            Node::Struct(message) => Node::Struct(Struct {
                atomic: wanted,
                ..message
            }),
            Node::Map { value, .. } => Node::Map {
                value,
                atomic: wanted,
            },
            Node::List { item, .. } if wanted => Node::List {
                item,
                kind: ListKind::Atomic,
            },
            Node::List {
                item,
                kind: ListKind::Atomic,
            } => Node::List {
                item,
                kind: ListKind::Set,
            },
            other => other,
        };
        self.arena.add(node)
    }

    fn atom(&mut self, atom: &Value) -> Node {
        let forms = ["scalar", "list", "map"]
            .iter()
            .filter(|form| !atom[**form].is_null())
            .count();
        if forms > 1 {
            let atomic = atom["map"]["elementRelationship"] == "atomic";
            return if atomic {
                Node::Scalar(Scalar::IntOrString)
            } else {
                Node::Deduced
            };
        }
        if let Some(scalar) = atom["scalar"].as_str() {
            return Node::Scalar(match scalar {
                "string" => Scalar::String,
                "numeric" => Scalar::Number,
                "boolean" => Scalar::Boolean,
                _ => Scalar::IntOrString,
            });
        }
        if atom["list"].is_object() {
            let list = &atom["list"];
            let item = self.reference(&list["elementType"]);
            let keys = list["keys"].as_array().map(|keys| {
                keys.iter()
                    .filter_map(Value::as_str)
                    .map(Into::into)
                    .collect::<Box<[_]>>()
            });
            let kind = match (list["elementRelationship"].as_str(), keys) {
                (Some("associative"), Some(keys)) if !keys.is_empty() => ListKind::Map(keys),
                (Some("associative"), _) => ListKind::Set,
                _ => ListKind::Atomic,
            };
            return Node::List { item, kind };
        }
        let map = &atom["map"];
        let atomic = map["elementRelationship"] == "atomic";
        let element = &map["elementType"];
        let open = element.is_object() && element != &serde_json::json!({});
        match map["fields"].as_array() {
            Some(fields) => {
                let mut fields: Vec<Field> = fields
                    .iter()
                    .map(|field| Field {
                        name: field["name"].as_str().unwrap().into(),
                        node: self.reference(&field["type"]),
                        required: false,
                        omits_zero: false,
                        default: field
                            .get("default")
                            .cloned()
                            .filter(|value| !value.is_null()),
                        patch: PatchStrategy::default(),
                    })
                    .collect();
                fields.sort_by(|a, b| a.name.cmp(&b.name));
                let rest = if open { Rest::Preserved } else { Rest::Closed };
                Node::Struct(Struct {
                    name: "".into(),
                    fields: fields.into(),
                    rest,
                    atomic,
                })
            }
            None if open => Node::Map {
                value: self.reference(element),
                atomic,
            },
            None => Node::Struct(Struct {
                name: "".into(),
                fields: Box::default(),
                rest: Rest::Closed,
                atomic,
            }),
        }
    }
}
