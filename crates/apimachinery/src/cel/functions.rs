//! The functions of expressions: which there are, and what they take and give.
//!
//! A row names all shapes of a function and the code that runs it; the code looks at the values,
//! because the types of some are only known then.

mod core;
mod lists;
mod math;
pub(super) mod net;
pub(super) mod semver;
mod strings;
pub(super) mod time;
pub(super) mod url;
mod words;

use std::{collections::BTreeMap, sync::OnceLock};

use super::{
    eval::{EvalError, Work},
    types::{Opaque, Type},
    value::Value,
};

/// What runs a function.
pub(super) type Code = for<'a> fn(&[Value<'a>], &mut Work) -> Result<Value<'a>, EvalError>;

/// A function by its name.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) shapes: Vec<Shape>,
    pub(super) code: Code,
}

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) method: bool,
    pub(super) takes: Vec<Type>,
    pub(super) gives: Type,
}

/// Finds a function.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    table().get(name)
}

/// Whether `strings.quote` and the like is a function and not a method.
pub(super) fn is_qualified(name: &str) -> bool {
    table()
        .get(name)
        .is_some_and(|function| !function.shapes[0].method)
}

fn table() -> &'static BTreeMap<&'static str, Function> {
    static TABLE: OnceLock<BTreeMap<&'static str, Function>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let groups = [
            core::FUNCTIONS,
            math::FUNCTIONS,
            strings::FUNCTIONS,
            words::FUNCTIONS,
            time::FUNCTIONS,
            lists::FUNCTIONS,
            url::FUNCTIONS,
            net::FUNCTIONS,
            semver::FUNCTIONS,
        ];
        groups
            .into_iter()
            .flatten()
            .map(|(name, shapes, code)| {
                let shapes = shapes.split_whitespace().map(shape).collect();
                (
                    *name,
                    Function {
                        shapes,
                        code: *code,
                    },
                )
            })
            .collect()
    })
}

/// A row of a table: the name, its shapes, and the code. A shape is written without blanks:
/// `string.(string)->bool` is a method, `(A,list(A))->bool` a function with a parameter.
pub(super) type Row = (&'static str, &'static str, Code);

fn shape(text: &str) -> Shape {
    let (head, gives) = text.split_once("->").unwrap_or((text, "dyn"));
    let open = head.find(".(").map_or(0, |dot| dot + 1);
    let (target, rest) = if open == 0 {
        (None, head)
    } else {
        (Some(&head[..open - 1]), &head[open..])
    };
    let inner = rest
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let takes = target
        .into_iter()
        .chain(split(inner.unwrap_or_default()))
        .map(named)
        .collect();
    Shape {
        method: target.is_some(),
        takes,
        gives: named(gives),
    }
}

/// The parts between commas that are in no brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

fn named(text: &str) -> Type {
    let inner = |prefix: &str| {
        text.strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('('))
            .and_then(|rest| rest.strip_suffix(')'))
    };
    if let Some(items) = inner("list") {
        return Type::list(named(items));
    }
    if let Some(of) = inner("optional") {
        return Type::optional(named(of));
    }
    if let Some([keys, values]) = inner("map").map(split).as_deref() {
        return Type::map(named(keys), named(values));
    }
    match text {
        "A" => Type::Parameter(0),
        "B" => Type::Parameter(1),
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "type" => Type::Type,
        "quantity" => Type::Opaque(Opaque::Quantity),
        "url" => Type::Opaque(Opaque::Url),
        "ip" => Type::Opaque(Opaque::Ip),
        "cidr" => Type::Opaque(Opaque::Cidr),
        "format" => Type::Opaque(Opaque::Format),
        "semver" => Type::Opaque(Opaque::Semver),
        _ => Type::Dyn,
    }
}

/// The error of values that no shape takes.
pub(super) fn no_overload<T>() -> Result<T, EvalError> {
    Err(EvalError::new("no such overload"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_says_what_it_gives() {
        for (name, function) in table() {
            assert!(!function.shapes.is_empty(), "{name}");
        }
        let method = shape("map(string,list(A)).(int,A)->optional(A)");
        assert!(method.method);
        assert_eq!(method.takes.len(), 3);
        assert_eq!(method.gives.to_string(), "optional_type(dyn)");
        assert!(is_qualified("sets.contains"));
        assert!(!is_qualified("startsWith"));
    }
}
