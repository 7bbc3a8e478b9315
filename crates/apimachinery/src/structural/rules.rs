//! The rules of a schema (`x-kubernetes-validations`): their compilation with the definition, and
//! their evaluation on objects.
//!
//! A schema without rules costs nothing: its nodes hold no types, and no object is walked for it.

mod run;

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

pub(super) use run::validate;

use super::{Additional, Kind, List, Node};
use crate::{
    cel::{FieldType, Identity, ListType, ObjectType, Program, Type, escape},
    field::{FieldError, FieldErrorKind},
};

/// The rules of one node.
#[derive(Debug)]
pub(super) struct Validations {
    of: Type,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    source: String,
    message: String,
    program: Program,
    /// `messageExpression`.
    explains: Option<Program>,
    transition: Transition,
    reason: FieldErrorKind,
    /// Where the error belongs, relative to the node: `spec.x`.
    field_path: String,
}

/// Whether a rule compares with the state before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transition {
    /// It does not.
    None,
    /// It does, and is not asked where there is none.
    Strict,
    /// It does, and knows itself what to do where there is none.
    Optional,
}

/// Whether a schema has rules anywhere.
pub(super) fn has_rules(schema: &Value) -> bool {
    let own = schema
        .get(RULES)
        .and_then(Value::as_array)
        .is_some_and(|rules| !rules.is_empty());
    let values = |key: &str| schema.get(key).into_iter();
    own || values("properties")
        .filter_map(Value::as_object)
        .flat_map(Map::values)
        .chain(values("items"))
        .chain(values("additionalProperties"))
        .chain(values("allOf").filter_map(Value::as_array).flatten())
        .any(has_rules)
}

const RULES: &str = "x-kubernetes-validations";

/// Checks what rules say besides their expressions.
pub(super) fn check(schema: &Value, node: &Node, path: &str, errors: &mut Vec<FieldError>) {
    for (index, rule) in rules_of(schema).iter().enumerate() {
        let at = format!("{path}.{RULES}[{index}]");
        let (source, message) = (text(rule, "rule"), text(rule, "message"));
        if source.trim().is_empty() {
            errors.push(FieldError::required(
                format!("{at}.rule"),
                "rule is not specified",
            ));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(
                format!("{at}.message"),
                &json!(message),
                "must be non-empty if specified",
            ));
        } else if message.trim().contains('\n') {
            errors.push(FieldError::invalid(
                format!("{at}.message"),
                &json!(message),
                "must not contain line breaks",
            ));
        } else if source.trim().contains('\n') && message.trim().is_empty() {
            errors.push(FieldError::required(
                format!("{at}.message"),
                "message must be specified if rule contains line breaks",
            ));
        }
        let explains = text(rule, "messageExpression");
        if !explains.is_empty() && explains.trim().is_empty() {
            errors.push(FieldError::required(
                format!("{at}.messageExpression"),
                "messageExpression must be non-empty if specified",
            ));
        }
        if let Some(reason) = rule.get("reason").and_then(Value::as_str)
            && reason_named(reason).is_none()
        {
            errors.push(FieldError::not_supported(
                format!("{at}.reason"),
                &json!(reason),
                [
                    "FieldValueDuplicate",
                    "FieldValueForbidden",
                    "FieldValueInvalid",
                    "FieldValueRequired",
                ],
            ));
        }
        let field_path = text(rule, "fieldPath");
        let mut wrong_path = |why: &str| {
            let at = format!("{at}.fieldPath");
            errors.push(FieldError::invalid(at, &json!(field_path), why));
        };
        if !field_path.is_empty() && field_path.trim().is_empty() {
            wrong_path("must be non-empty if specified");
        }
        if field_path.contains('\n') {
            wrong_path("must not contain line breaks");
        }
        if !field_path.is_empty() && resolve(node, field_path).is_none() {
            wrong_path("must be a valid path");
        }
    }
}

/// Compiles the rules of a node and of all in it.
pub(super) fn compile(root: &mut Node, schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(of) = declared(root, true) else {
        return;
    };
    let mut compiler = Compiler { errors };
    compiler.node(root, schema, Some(&of), path, None);
}

struct Compiler<'e> {
    errors: &'e mut Vec<FieldError>,
}

impl Compiler<'_> {
    /// `uncorrelated` is the path of the list above whose items have no past. Says whether the
    /// node or something in it has rules.
    fn node(
        &mut self,
        node: &mut Node,
        schema: &Value,
        of: Option<&Type>,
        path: &str,
        uncorrelated: Option<&str>,
    ) -> bool {
        if !has_rules(schema) {
            return false;
        }
        let mut rules = Vec::new();
        if let Some(of) = of {
            self.rules(node, schema, of, path, uncorrelated, &mut rules);
            let all_of = schema.get("allOf").and_then(Value::as_array);
            for (index, inner) in all_of.into_iter().flatten().enumerate() {
                let path = format!("{path}.allOf[{index}]");
                self.rules(node, inner, of, &path, uncorrelated, &mut rules);
            }
            if !rules.is_empty() {
                let of = of.clone();
                node.validations = Some(Box::new(Validations { of, rules }));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, inner) in properties.into_iter().flatten() {
            let Some(property) = node.properties.get_mut(name) else {
                continue;
            };
            let of = match of {
                Some(Type::Object(object)) => escape(name)
                    .and_then(|name| object.fields.get(&name))
                    .map(|field| field.of.clone()),
                _ => None,
            };
            // A name that is no identifier is no reason not to check what stands there.
            let of = of.or_else(|| declared(property, property.embedded));
            let path = format!("{path}.properties[{name}]");
            self.node(property, inner, of.as_ref(), &path, uncorrelated);
        }
        if let (Some(items), Some(inner)) = (&mut node.items, schema.get("items")) {
            let of = match of {
                Some(Type::List(list)) => Some(&list.items),
                _ => None,
            };
            let here = match node.list {
                List::Map(_) => uncorrelated,
                List::Atomic | List::Set => uncorrelated.or(Some(path)),
            };
            self.node(items, inner, of, &format!("{path}.items"), here);
        }
        if let (Additional::Values(values), Some(inner)) =
            (&mut node.additional, schema.get("additionalProperties"))
        {
            let of = match of {
                Some(Type::Map(map)) => Some(&map.1),
                _ => None,
            };
            let path = format!("{path}.additionalProperties");
            self.node(values, inner, of, &path, uncorrelated);
        }
        node.has_rules = true;
        true
    }

    fn rules(
        &mut self,
        node: &Node,
        schema: &Value,
        of: &Type,
        path: &str,
        uncorrelated: Option<&str>,
        rules: &mut Vec<Rule>,
    ) {
        for (index, rule) in rules_of(schema).iter().enumerate() {
            let at = format!("{path}.{RULES}[{index}]");
            if let Some(compiled) = self.rule(node, rule, of, &at, uncorrelated) {
                rules.push(compiled);
            }
        }
    }

    fn rule(
        &mut self,
        node: &Node,
        rule: &Value,
        of: &Type,
        at: &str,
        uncorrelated: Option<&str>,
    ) -> Option<Rule> {
        let optional = rule.get("optionalOldSelf") == Some(&json!(true));
        let old = if optional {
            Type::optional(of.clone())
        } else {
            of.clone()
        };
        let names = [("self", of.clone()), ("oldSelf", old)];
        let source = text(rule, "rule");
        let program = match Program::compile(source, &names) {
            Ok(program) if matches!(program.gives(), Type::Bool) => program,
            Ok(_) => {
                self.refuse(at, "rule", rule, "cel expression must evaluate to a bool");
                return None;
            }
            Err(why) => {
                self.refuse(at, "rule", rule, &format!("compilation failed: {why}"));
                return None;
            }
        };
        let explains = match text(rule, "messageExpression") {
            "" => None,
            explains => match Program::compile(explains, &names) {
                Ok(program) if matches!(program.gives(), Type::String) => Some(program),
                Ok(_) => {
                    let why = "messageExpression must evaluate to a string";
                    self.refuse(at, "messageExpression", rule, why);
                    None
                }
                Err(why) => {
                    let why = format!("messageExpression compilation failed: {why}");
                    self.refuse(at, "messageExpression", rule, &why);
                    None
                }
            },
        };
        let uses_old = program.uses("oldSelf");
        if uses_old && let Some(list) = uncorrelated {
            let why = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
            );
            let error = FieldError::invalid(format!("{at}.rule"), &json!(source), why);
            self.errors.push(error);
        }
        if !uses_old && let Some(given) = rule.get("optionalOldSelf").filter(|v| v.is_boolean()) {
            self.errors.push(FieldError::invalid(
                format!("{at}.optionalOldSelf"),
                given,
                "may not be set if oldSelf is not used in rule",
            ));
        }
        let reason = rule.get("reason").and_then(Value::as_str);
        Some(Rule {
            source: source.trim().to_owned(),
            message: text(rule, "message").trim().to_owned(),
            program,
            explains,
            transition: match (uses_old, optional) {
                (false, _) => Transition::None,
                (true, false) => Transition::Strict,
                (true, true) => Transition::Optional,
            },
            reason: reason
                .and_then(reason_named)
                .unwrap_or(FieldErrorKind::Invalid),
            field_path: resolve(node, text(rule, "fieldPath")).unwrap_or_default(),
        })
    }

    fn refuse(&mut self, at: &str, field: &str, rule: &Value, why: &str) {
        self.errors.push(FieldError {
            kind: FieldErrorKind::Invalid,
            field: format!("{at}.{field}"),
            message: format!("Invalid value: {}: {why}", go_rule(rule)),
        });
    }
}

/// A rule as Go prints its internal form.
fn go_rule(rule: &Value) -> String {
    let shown = |value: &Value| {
        value
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
    };
    let field = |name: &str, absent: Value| shown(rule.get(name).unwrap_or(&absent));
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\
         \"OptionalOldSelf\":{}}}",
        field("rule", json!("")),
        field("message", json!("")),
        field("messageExpression", json!("")),
        field("reason", Value::Null),
        field("fieldPath", json!("")),
        field("optionalOldSelf", Value::Null),
    )
}

fn rules_of(schema: &Value) -> &[Value] {
    schema
        .get(RULES)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn text<'v>(rule: &'v Value, field: &str) -> &'v str {
    rule.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn reason_named(name: &str) -> Option<FieldErrorKind> {
    Some(match name {
        "FieldValueRequired" => FieldErrorKind::Required,
        "FieldValueForbidden" => FieldErrorKind::Forbidden,
        "FieldValueInvalid" => FieldErrorKind::Invalid,
        "FieldValueDuplicate" => FieldErrorKind::Duplicate,
        _ => return None,
    })
}

/// `.spec['a.b'].c` as a field path, if the schema has such a field.
fn resolve(node: &Node, json_path: &str) -> Option<String> {
    let mut node = node;
    let mut path = String::new();
    let mut rest = json_path;
    while !rest.is_empty() {
        let name = if let Some(after) = rest.strip_prefix("['") {
            let end = after.find("']")?;
            rest = &after[end + 2..];
            after[..end].replace("\\'", "'")
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            rest = &after[end..];
            after[..end].to_owned()
        };
        match (&node.additional, node.properties.get(&name)) {
            (_, Some(property)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&name);
                node = property;
            }
            (Additional::Values(values), None) => {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{name}]");
                node = values;
            }
            _ => return None,
        }
    }
    Some(path)
}

/// What expressions know about the values of a node. Without a type there is nothing to know.
fn declared(node: &Node, resource: bool) -> Option<Type> {
    Some(match node.kind {
        Kind::IntOrString => Type::Dyn,
        Kind::Any => return None,
        Kind::Boolean => Type::Bool,
        Kind::Integer => Type::Int,
        Kind::Number => Type::Double,
        Kind::String => {
            let format = node
                .rules
                .as_ref()
                .and_then(|rules| rules.format.as_deref());
            match format {
                Some("byte") => Type::Bytes,
                Some("duration") => Type::Duration,
                Some("date" | "date-time") => Type::Timestamp,
                _ => Type::String,
            }
        }
        Kind::Array => {
            let items = node.items.as_ref()?;
            let list = ListType {
                items: declared(items, items.embedded)?,
                identity: match &node.list {
                    List::Atomic => Identity::Place,
                    List::Set => Identity::Value,
                    List::Map(keys) => Identity::Keys(keys.clone()),
                },
            };
            Type::List(list.into())
        }
        Kind::Object => {
            if let Additional::Values(values) = &node.additional {
                return Some(Type::map(Type::String, declared(values, values.embedded)?));
            }
            let mut object = ObjectType::default();
            let mut add = |name: &str, of: Type| {
                if let Some(escaped) = escape(name) {
                    let name = name.to_owned();
                    object.fields.insert(escaped, FieldType { name, of });
                }
            };
            for (name, property) in &node.properties {
                if let Some(of) = declared(property, property.embedded) {
                    add(name, of);
                }
            }
            if resource {
                let names = ["name", "generateName"].map(|name| (name.to_owned(), Type::String));
                add("apiVersion", Type::String);
                add("kind", Type::String);
                add("metadata", Type::object(names));
            }
            Type::Object(object.into())
        }
    })
}
