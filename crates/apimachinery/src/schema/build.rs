//! Builds [`TypeSchema`]s from OpenAPI: the embedded one of built-in kinds, or a CRD's.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{
    Arena, DEDUCED, Field, ListKind, Node, NodeId, PatchAction, PatchStrategy, Rest, Scalar,
    SchemaError, Shape, Struct, TypeSchema,
};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const REFERENCE_PREFIX: &str = "#/components/schemas/";

/// The definitions of every built-in kind without their prose, compressed.
static DEFINITIONS: &[u8] = include_bytes!("../../data/types.json.zst");

/// The parsed shapes of all built-in kinds: read once, about half a megabyte.
static BUILTIN: LazyLock<Builtin> = LazyLock::new(Builtin::load);

static DEDUCED_SCHEMA: LazyLock<TypeSchema> = LazyLock::new(|| TypeSchema {
    arena: Arc::new(Arena::new()),
    root: DEDUCED,
});

struct Builtin {
    arena: Arc<Arena>,
    kinds: HashMap<Box<str>, NodeId>,
    object_meta: NodeId,
}

/// The schema of a built-in kind, from the embedded OpenAPI of Kubernetes.
pub fn builtin(group: &str, version: &str, kind: &str) -> Option<TypeSchema> {
    let root = *BUILTIN.kinds.get(kind_key(group, version, kind).as_str())?;
    Some(TypeSchema {
        arena: Arc::clone(&BUILTIN.arena),
        root,
    })
}

/// The schema of a custom kind, from the `openAPIV3Schema` of its CRD version.
///
/// `metadata` always has the shape of `ObjectMeta`, whatever the CRD says.
pub fn from_crd(open_api_v3_schema: &Value) -> Result<TypeSchema, SchemaError> {
    if !open_api_v3_schema.is_object() {
        return Err(SchemaError(
            "openAPIV3Schema must be an object; give it at least `type: object`".to_owned(),
        ));
    }
    let none = Map::new();
    let mut builder = Builder::new(&none);
    let root = builder.resource(open_api_v3_schema);
    Ok(TypeSchema {
        arena: Arc::new(builder.arena),
        root,
    })
}

/// The schema of a kind nothing is known about: maps merge by key, lists are atomic.
pub fn deduced() -> TypeSchema {
    DEDUCED_SCHEMA.clone()
}

/// The schema of one definition among others.
#[cfg(test)]
pub(super) fn from_definitions(definitions: &Map<String, Value>, root: &str) -> TypeSchema {
    let mut builder = Builder::new(definitions);
    let root = builder.definition(root);
    TypeSchema {
        arena: Arc::new(builder.arena),
        root,
    }
}

impl Builtin {
    fn load() -> Self {
        let definitions = zstd::decode_all(DEFINITIONS)
            .ok()
            .and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok())
            .unwrap_or_default();
        let mut builder = Builder::new(&definitions);
        let mut kinds = HashMap::new();
        for (name, definition) in &definitions {
            let id = builder.definition(name);
            let gvks = definition
                .get("x-kubernetes-group-version-kind")
                .and_then(Value::as_array);
            for gvk in gvks.into_iter().flatten() {
                let part = |key| gvk.get(key).and_then(Value::as_str).unwrap_or_default();
                let key = kind_key(part("group"), part("version"), part("kind"));
                kinds.insert(key.into_boxed_str(), id);
            }
        }
        let object_meta = builder.definition(OBJECT_META);
        Self {
            arena: Arc::new(builder.arena),
            kinds,
            object_meta,
        }
    }
}

fn kind_key(group: &str, version: &str, kind: &str) -> String {
    format!("{group}/{version}/{kind}")
}

struct Builder<'a> {
    arena: Arena,
    definitions: &'a Map<String, Value>,
    built: HashMap<String, NodeId>,
    /// Nodes copied from the built-in arena, by their id there.
    imported: HashMap<NodeId, NodeId>,
}

impl<'a> Builder<'a> {
    fn new(definitions: &'a Map<String, Value>) -> Self {
        Self {
            arena: Arena::new(),
            definitions,
            built: HashMap::new(),
            imported: HashMap::new(),
        }
    }

    fn definition(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.built.get(name) {
            return *id;
        }
        let Some(schema) = self.definitions.get(name) else {
            return DEDUCED;
        };
        let id = self.arena.add(Node::Deduced);
        self.built.insert(name.to_owned(), id);
        let node = match name.rsplit('.').next() {
            Some("Time") => Node::Scalar(Scalar::Time),
            Some("MicroTime") => Node::Scalar(Scalar::MicroTime),
            Some("Quantity") => Node::Scalar(Scalar::Quantity),
            Some("IntOrString") => Node::Scalar(Scalar::IntOrString),
            Some("RawExtension" | "FieldsV1") => Node::Map {
                value: DEDUCED,
                atomic: false,
            },
            _ => self.node(schema, &go_type(name)),
        };
        self.arena.replace(id, node);
        id
    }

    /// The type of a custom object, or of an embedded one: its metadata is typed.
    fn resource(&mut self, schema: &Value) -> NodeId {
        let node = self.node(schema, "");
        let Node::Struct(mut message) = node else {
            let fields = self.type_meta(Vec::new()).into_boxed_slice();
            let rest = match node {
                Node::Deduced => Rest::Preserved,
                _ => Rest::Closed,
            };
            return self.arena.add(Node::Struct(Struct {
                name: "".into(),
                fields,
                rest,
                atomic: false,
            }));
        };
        let declared = std::mem::take(&mut message.fields).into_vec();
        message.fields = self.type_meta(declared).into_boxed_slice();
        self.arena.add(Node::Struct(message))
    }

    /// Replaces or adds `apiVersion`, `kind` and `metadata`.
    fn type_meta(&mut self, mut fields: Vec<Field>) -> Vec<Field> {
        fields.retain(|field| !matches!(&*field.name, "apiVersion" | "kind" | "metadata"));
        let text = self.arena.add(Node::Scalar(Scalar::String));
        let metadata = self.import(Shape {
            arena: &BUILTIN.arena,
            id: BUILTIN.object_meta,
        });
        for (name, node) in [("apiVersion", text), ("kind", text), ("metadata", metadata)] {
            fields.push(Field {
                name: name.into(),
                node,
                required: false,
                omits_zero: true,
                default: None,
                patch: PatchStrategy::default(),
            });
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields
    }

    /// Copies a type out of the built-in arena.
    fn import(&mut self, shape: Shape<'_>) -> NodeId {
        if shape.id == DEDUCED {
            return DEDUCED;
        }
        if let Some(id) = self.imported.get(&shape.id) {
            return *id;
        }
        let id = self.arena.add(Node::Deduced);
        self.imported.insert(shape.id, id);
        let node = match shape.node() {
            node @ (Node::Deduced | Node::Scalar(_)) => node.clone(),
            Node::Map { value, atomic } => Node::Map {
                value: self.import(shape.at(*value)),
                atomic: *atomic,
            },
            Node::List { item, kind } => Node::List {
                item: self.import(shape.at(*item)),
                kind: kind.clone(),
            },
            Node::Struct(message) => {
                let mut message = message.clone();
                for field in &mut message.fields {
                    field.node = self.import(shape.at(field.node));
                }
                Node::Struct(message)
            }
        };
        self.arena.replace(id, node);
        id
    }

    fn child(&mut self, schema: &Value) -> NodeId {
        if let Some(name) = reference(schema) {
            let id = self.definition(name);
            return self.overridden(id, schema);
        }
        if flag(schema, "x-kubernetes-embedded-resource") {
            return self.resource(schema);
        }
        match self.node(schema, "") {
            Node::Deduced => DEDUCED,
            node => self.arena.add(node),
        }
    }

    /// A field may merge differently from what its type says.
    fn overridden(&mut self, id: NodeId, schema: &Value) -> NodeId {
        let Some(map_type) = text(schema, "x-kubernetes-map-type") else {
            return id;
        };
        let wanted = map_type == "atomic";
        let node = Shape {
            arena: &self.arena,
            id,
        }
        .node()
        .clone();
        match node {
            Node::Struct(message) if message.atomic != wanted => {
                self.arena.add(Node::Struct(Struct {
                    atomic: wanted,
                    ..message
                }))
            }
            Node::Map { value, atomic } if atomic != wanted => self.arena.add(Node::Map {
                value,
                atomic: wanted,
            }),
            _ => id,
        }
    }

    fn node(&mut self, schema: &Value, name: &str) -> Node {
        if flag(schema, "x-kubernetes-int-or-string") {
            return Node::Scalar(Scalar::IntOrString);
        }
        let atomic = text(schema, "x-kubernetes-map-type") == Some("atomic");
        let format = text(schema, "format").unwrap_or_default();
        match text(schema, "type") {
            Some("string") if format == "byte" && !self.definitions.is_empty() => {
                Node::Scalar(Scalar::Bytes)
            }
            Some("string") => Node::Scalar(Scalar::String),
            Some("boolean") => Node::Scalar(Scalar::Boolean),
            Some("integer") if format == "int32" => Node::Scalar(Scalar::Int32),
            Some("integer") => Node::Scalar(Scalar::Int64),
            Some("number") => Node::Scalar(Scalar::Number),
            Some("array") => {
                let item = schema
                    .get("items")
                    .map_or(DEDUCED, |items| self.child(items));
                Node::List {
                    item,
                    kind: list_kind(schema),
                }
            }
            Some("object") => self.object(schema, name, atomic),
            _ if schema.get("properties").is_some() => self.object(schema, name, atomic),
            _ => Node::Deduced,
        }
    }

    fn object(&mut self, schema: &Value, name: &str, atomic: bool) -> Node {
        let properties = schema.get("properties").and_then(Value::as_object);
        let preserved = flag(schema, "x-kubernetes-preserve-unknown-fields");
        match (properties, schema.get("additionalProperties")) {
            (None, Some(Value::Object(_))) => {
                let value = schema
                    .get("additionalProperties")
                    .map_or(DEDUCED, |value| self.child(value));
                Node::Map { value, atomic }
            }
            (None, Some(Value::Bool(true))) => Node::Map {
                value: DEDUCED,
                atomic,
            },
            (None, _) if preserved => Node::Map {
                value: DEDUCED,
                atomic,
            },
            (properties, _) => {
                let required: Vec<&str> = schema
                    .get("required")
                    .and_then(Value::as_array)
                    .map(|names| names.iter().filter_map(Value::as_str).collect())
                    .unwrap_or_default();
                let mut fields: Vec<Field> = properties
                    .into_iter()
                    .flatten()
                    .map(|(name, schema)| Field {
                        name: name.as_str().into(),
                        node: self.child(schema),
                        required: required.contains(&name.as_str()),
                        omits_zero: flag(schema, "x-omit-zero"),
                        default: schema
                            .get("default")
                            .filter(|value| !value.is_object() && !value.is_array())
                            .cloned(),
                        patch: patch_strategy(schema),
                    })
                    .collect();
                fields.sort_by(|a, b| a.name.cmp(&b.name));
                let rest = if preserved {
                    Rest::Preserved
                } else {
                    Rest::Closed
                };
                Node::Struct(Struct {
                    name: name.into(),
                    fields: fields.into(),
                    rest,
                    atomic,
                })
            }
        }
    }
}

/// `io.k8s.api.core.v1.PodSpec` is the Go type `v1.PodSpec`.
fn go_type(definition: &str) -> String {
    let mut parts = definition.rsplit('.');
    match (parts.next(), parts.next()) {
        (Some(name), Some(package)) => format!("{package}.{name}"),
        _ => definition.to_owned(),
    }
}

fn reference(schema: &Value) -> Option<&str> {
    let direct = schema.get("$ref");
    let wrapped = || schema.get("allOf")?.get(0)?.get("$ref");
    direct
        .or_else(wrapped)?
        .as_str()?
        .strip_prefix(REFERENCE_PREFIX)
}

fn list_kind(schema: &Value) -> ListKind {
    match text(schema, "x-kubernetes-list-type") {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array);
            ListKind::Map(
                keys.into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(Into::into)
                    .collect(),
            )
        }
        _ => ListKind::Atomic,
    }
}

fn patch_strategy(schema: &Value) -> PatchStrategy {
    let declared = text(schema, "x-kubernetes-patch-strategy").unwrap_or_default();
    let action = declared
        .split(',')
        .find_map(|word| match word {
            "merge" => Some(PatchAction::Merge),
            "replace" => Some(PatchAction::Replace),
            // retainKeys only changes how clients build patches; the directive itself is honoured
            // wherever it stands.
            _ => None,
        })
        .unwrap_or_default();
    let merge_key = text(schema, "x-kubernetes-patch-merge-key").map(Into::into);
    PatchStrategy { action, merge_key }
}

fn text<'v>(schema: &'v Value, key: &str) -> Option<&'v str> {
    schema.get(key).and_then(Value::as_str)
}

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or_default()
}
