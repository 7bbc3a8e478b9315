//! Checks that a schema is structural, and compiles it.

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{Additional, Bound, Kind, List, Node, Rules, Size, rules, validate, values};
use crate::field::FieldError;

/// Where a schema stands; some rules differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
    /// Inside allOf, anyOf, oneOf or not: only rules on values are allowed there.
    Logic,
}

const NOT_IN_LOGIC: [(&str, &str); 10] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (
        "x-kubernetes-preserve-unknown-fields",
        "must be false to be structural",
    ),
    (
        "x-kubernetes-embedded-resource",
        "must be false to be structural",
    ),
    (
        "x-kubernetes-int-or-string",
        "must be false to be structural",
    ),
    (
        "x-kubernetes-list-type",
        "must be undefined to be structural",
    ),
];

pub(super) fn compile(schema: &Value, path: &str) -> Result<Node, Vec<FieldError>> {
    let mut compiler = Compiler { errors: Vec::new() };
    let mut node = compiler.node(schema, Level::Root, path);
    if compiler.errors.is_empty() {
        compiler.defaults(&node, path, Level::Root);
    }
    if compiler.errors.is_empty() && rules::has_rules(schema) {
        rules::compile(&mut node, schema, path, &mut compiler.errors);
    }
    if compiler.errors.is_empty() {
        Ok(node)
    } else {
        compiler.errors.sort_by_key(ToString::to_string);
        Err(compiler.errors)
    }
}

struct Compiler {
    errors: Vec<FieldError>,
}

impl Compiler {
    fn required(&mut self, field: String, detail: &str) {
        self.errors.push(FieldError::required(field, detail));
    }

    fn forbidden(&mut self, field: String, detail: &str) {
        self.errors.push(FieldError::forbidden(field, detail));
    }

    fn invalid(&mut self, field: String, value: &Value, detail: &str) {
        self.errors.push(FieldError::invalid(field, value, detail));
    }

    fn node(&mut self, schema: &Value, level: Level, path: &str) -> Node {
        let kind = self.kind(schema, level, path);
        let mut node = Node {
            kind,
            nullable: flag(schema, "nullable"),
            default: schema.get("default").cloned(),
            preserve: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(schema, "x-kubernetes-embedded-resource"),
            ..Node::default()
        };
        if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(false)) {
            self.invalid(
                format!("{path}.x-kubernetes-preserve-unknown-fields"),
                &json!(false),
                "must be true or undefined",
            );
        }
        if flag(schema, "uniqueItems") {
            self.forbidden(
                format!("{path}.uniqueItems"),
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            );
        }
        if schema.get("$ref").is_some() {
            self.forbidden(format!("{path}.$ref"), "$ref is not supported");
        }
        self.properties(schema, level, path, &mut node);
        self.additional(schema, level, path, &mut node);
        match (schema.get("items"), kind) {
            (Some(items), _) => {
                let inner = if level == Level::Logic {
                    Level::Logic
                } else {
                    Level::Item
                };
                node.items = Some(Box::new(self.node(items, inner, &format!("{path}.items"))));
            }
            (None, Kind::Array) if level != Level::Logic => {
                self.required(format!("{path}.items"), "must be specified");
            }
            (None, _) => {}
        }
        if level == Level::Logic {
            for (field, detail) in NOT_IN_LOGIC {
                // The common way to say int-or-string is the one exception.
                let set = schema
                    .get(field)
                    .is_some_and(|value| *value != json!(false));
                if set && !(field == "type" && is_int_or_string_part(schema)) {
                    self.forbidden(format!("{path}.{field}"), detail);
                }
            }
        } else {
            self.list(schema, path, &mut node);
            self.embedded(schema, path, &node);
        }
        node.rules = self.rules(schema, path);
        rules::check(schema, &node, path, &mut self.errors);
        node
    }

    fn kind(&mut self, schema: &Value, level: Level, path: &str) -> Kind {
        let name = text(schema, "type");
        let at = format!("{path}.type");
        if flag(schema, "x-kubernetes-int-or-string") {
            if !name.is_empty() {
                self.invalid(
                    at,
                    &name.into(),
                    "must be empty if x-kubernetes-int-or-string is true",
                );
            }
            for other in [
                "x-kubernetes-preserve-unknown-fields",
                "x-kubernetes-embedded-resource",
            ] {
                if flag(schema, other) {
                    self.invalid(
                        format!("{path}.{other}"),
                        &json!(true),
                        "must be false if x-kubernetes-int-or-string is true",
                    );
                }
            }
            return Kind::IntOrString;
        }
        let kind = match name {
            "object" => Kind::Object,
            "array" => Kind::Array,
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            "" => Kind::Any,
            other => {
                self.errors.push(FieldError::not_supported(
                    at,
                    &other.into(),
                    ["array", "boolean", "integer", "number", "object", "string"],
                ));
                return Kind::Any;
            }
        };
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        match level {
            Level::Logic => {}
            _ if embedded => {
                let detail = "must be object if x-kubernetes-embedded-resource is true";
                match kind {
                    Kind::Object => {}
                    Kind::Any => self.required(at, detail),
                    _ => self.invalid(at, &name.into(), detail),
                }
            }
            Level::Root if kind != Kind::Any && kind != Kind::Object => {
                self.invalid(at, &name.into(), "must be object at the root");
            }
            _ if kind == Kind::Any && !flag(schema, "x-kubernetes-preserve-unknown-fields") => {
                let detail = match level {
                    Level::Root => "must not be empty at the root",
                    Level::Item => "must not be empty for specified array items",
                    _ => "must not be empty for specified object fields",
                };
                self.required(at, detail);
            }
            _ => {}
        }
        kind
    }

    fn properties(&mut self, schema: &Value, level: Level, path: &str, node: &mut Node) {
        let inner = if level == Level::Logic {
            Level::Logic
        } else {
            Level::Field
        };
        let resource = level == Level::Root || node.embedded;
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let at = format!("{path}.properties[{name}]");
            if resource && name == "metadata" {
                self.metadata(property, level, &at);
            } else if resource && matches!(name.as_str(), "apiVersion" | "kind") {
                let kind = text(property, "type");
                if kind != "string" {
                    self.invalid(format!("{at}.type"), &kind.into(), "must be string");
                }
            }
            let compiled = if resource && name == "metadata" && text(property, "type").is_empty() {
                self.node(&json!({"type": "object"}), inner, &at)
            } else {
                self.node(property, inner, &at)
            };
            node.properties.insert(name.clone(), compiled);
        }
    }

    fn metadata(&mut self, metadata: &Value, level: Level, path: &str) {
        let kind = text(metadata, "type");
        if kind != "object" {
            self.invalid(format!("{path}.type"), &kind.into(), "must be object");
        }
        if level != Level::Root {
            return;
        }
        let said = metadata
            .as_object()
            .into_iter()
            .flatten()
            .any(|(key, value)| match &**key {
                "type" => false,
                "properties" => value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .any(|(name, _)| !matches!(name.as_str(), "name" | "generateName")),
                _ => true,
            });
        if said {
            self.forbidden(
                path.to_owned(),
                "must not specify anything other than name and generateName, but metadata is \
                 implicitly specified",
            );
        }
    }

    fn additional(&mut self, schema: &Value, level: Level, path: &str, node: &mut Node) {
        let at = format!("{path}.additionalProperties");
        let Some(additional) = schema.get("additionalProperties") else {
            return;
        };
        if level == Level::Root {
            self.forbidden(at.clone(), "must not be used at the root");
        }
        if node.embedded {
            self.forbidden(
                at.clone(),
                "must not be used if x-kubernetes-embedded-resource is set",
            );
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        if properties.is_some_and(|properties| !properties.is_empty()) {
            self.forbidden(
                at.clone(),
                "additionalProperties and properties are mutual exclusive",
            );
        }
        node.additional = match additional {
            Value::Bool(true) => Additional::Anything,
            Value::Bool(false) => {
                self.forbidden(at, "additionalProperties cannot be set to false");
                Additional::Nothing
            }
            schema => {
                let inner = if level == Level::Logic {
                    Level::Logic
                } else {
                    Level::Field
                };
                Additional::Values(Box::new(self.node(schema, inner, &at)))
            }
        };
    }

    fn list(&mut self, schema: &Value, path: &str, node: &mut Node) {
        let list_type = text(schema, "x-kubernetes-list-type");
        let at = format!("{path}.x-kubernetes-list-type");
        let keys: Vec<String> = schema
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array)
            .map(|keys| {
                keys.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default();
        if !list_type.is_empty() && node.kind != Kind::Array {
            self.invalid(
                format!("{path}.type"),
                &text(schema, "type").into(),
                "must be array if x-kubernetes-list-type is specified",
            );
        }
        if !keys.is_empty() && list_type != "map" {
            self.invalid(
                at.clone(),
                &list_type.into(),
                "must be map if x-kubernetes-list-map-keys is non-empty",
            );
        }
        match list_type {
            "" | "atomic" => {}
            "set" => node.list = List::Set,
            "map" => {
                self.map_keys(schema, path, &keys, node);
                node.list = List::Map(keys);
            }
            other => {
                self.errors.push(FieldError::not_supported(
                    at,
                    &other.into(),
                    ["atomic", "set", "map"],
                ));
            }
        }
        let map_type = text(schema, "x-kubernetes-map-type");
        if !matches!(map_type, "" | "atomic" | "granular") {
            self.errors.push(FieldError::not_supported(
                format!("{path}.x-kubernetes-map-type"),
                &map_type.into(),
                ["atomic", "granular"],
            ));
        }
    }

    fn map_keys(&mut self, schema: &Value, path: &str, keys: &[String], node: &Node) {
        let at = format!("{path}.x-kubernetes-list-map-keys");
        if keys.is_empty() {
            self.required(at, "must not be empty if x-kubernetes-list-type is map");
            return;
        }
        let Some(items) = &node.items else { return };
        if items.kind != Kind::Object {
            self.invalid(
                format!("{path}.items.type"),
                schema.pointer("/items/type").unwrap_or(&json!("")),
                "must be object if parent array's x-kubernetes-list-type is map",
            );
        }
        for (index, key) in keys.iter().enumerate() {
            if !items.properties.contains_key(key) {
                self.invalid(
                    at.clone(),
                    &json!(keys),
                    "entries must all be names of item properties",
                );
            }
            if keys.iter().take(index).any(|other| other == key) {
                self.invalid(
                    at.clone(),
                    &json!(keys),
                    "must not contain duplicate entries",
                );
            }
        }
    }

    fn embedded(&mut self, schema: &Value, path: &str, node: &Node) {
        let no_properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .is_none_or(Map::is_empty);
        if node.embedded && !node.preserve && no_properties {
            self.required(
                format!("{path}.properties"),
                "must not be empty if x-kubernetes-embedded-resource is true without \
                 x-kubernetes-preserve-unknown-fields",
            );
        }
    }

    fn rules(&mut self, schema: &Value, path: &str) -> Option<Box<Rules>> {
        let number = |key| schema.get(key).and_then(Value::as_f64);
        let size = |least: &str, most: &str| Size {
            least: schema
                .get(least)
                .and_then(Value::as_u64)
                .map(|n| n as usize),
            most: schema.get(most).and_then(Value::as_u64).map(|n| n as usize),
        };
        let bound = |key, exclusive| {
            number(key).map(|value| Bound {
                value,
                exclusive: flag(schema, exclusive),
            })
        };
        let pattern = match text(schema, "pattern") {
            "" => None,
            pattern => match Regex::new(pattern) {
                Ok(regex) => Some((pattern.to_owned(), regex)),
                Err(error) => {
                    self.invalid(
                        format!("{path}.pattern"),
                        &pattern.into(),
                        &format!("must be a valid regular expression, but isn't: {error}"),
                    );
                    None
                }
            },
        };
        let mut several = |key: &str| -> Vec<Node> {
            let list = schema
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            list.enumerate()
                .map(|(index, inner)| {
                    self.node(inner, Level::Logic, &format!("{path}.{key}[{index}]"))
                })
                .collect()
        };
        let (all_of, any_of, one_of) = (several("allOf"), several("anyOf"), several("oneOf"));
        let not = schema
            .get("not")
            .filter(|not| !not.is_null())
            .map(|not| Box::new(self.node(not, Level::Logic, &format!("{path}.not"))));
        let rules = Rules {
            format: schema
                .get("format")
                .and_then(Value::as_str)
                .map(str::to_owned),
            one_of_values: schema.get("enum").and_then(Value::as_array).cloned(),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            length: size("minLength", "maxLength"),
            items: size("minItems", "maxItems"),
            properties: size("minProperties", "maxProperties"),
            pattern,
            required: schema
                .get("required")
                .and_then(Value::as_array)
                .map(|names| {
                    names
                        .iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
            all_of,
            any_of,
            one_of,
            not,
        };
        rules.says_something().then(|| Box::new(rules))
    }

    /// Every default must be valid where it stands, and hold nothing unknown.
    fn defaults(&mut self, node: &Node, path: &str, level: Level) {
        if let Some(default) = &node.default {
            let at = format!("{path}.default");
            if level == Level::Root {
                self.forbidden(at, "must not be set at the root");
            } else {
                let mut pruned = default.clone();
                let mut dropped = Vec::new();
                let place = if node.embedded {
                    values::Place::Resource
                } else {
                    values::Place::Value
                };
                values::prune(node, &mut pruned, place, &mut String::new(), &mut dropped);
                values::default(node, &mut pruned);
                if !dropped.is_empty() {
                    self.invalid(at.clone(), default, "must not have unknown fields");
                }
                let complaints = validate::value(node, &pruned, &at);
                self.errors.extend(complaints);
            }
        }
        for (name, property) in &node.properties {
            self.defaults(
                property,
                &format!("{path}.properties[{name}]"),
                Level::Field,
            );
        }
        if let Some(items) = &node.items {
            self.defaults(items, &format!("{path}.items"), Level::Item);
        }
        if let Additional::Values(inner) = &node.additional {
            self.defaults(inner, &format!("{path}.additionalProperties"), Level::Field);
        }
    }
}

impl Rules {
    fn says_something(&self) -> bool {
        let sized = |size: Size| size.least.is_some() || size.most.is_some();
        self.format.is_some()
            || self.one_of_values.is_some()
            || self.minimum.is_some()
            || self.maximum.is_some()
            || self.multiple_of.is_some()
            || sized(self.length)
            || sized(self.items)
            || sized(self.properties)
            || self.pattern.is_some()
            || !self.required.is_empty()
            || !self.all_of.is_empty()
            || !self.any_of.is_empty()
            || !self.one_of.is_empty()
            || self.not.is_some()
    }
}

/// `{type: integer}` or `{type: string}` and nothing else, as `anyOf` of int-or-string has them.
fn is_int_or_string_part(schema: &Value) -> bool {
    *schema == json!({"type": "integer"}) || *schema == json!({"type": "string"})
}

fn text<'v>(schema: &'v Value, key: &str) -> &'v str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or_default()
}
