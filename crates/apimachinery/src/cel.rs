//! The Common Expression Language, as Kubernetes extends it.
//!
//! An expression is compiled once against the types of its names and runs many times on
//! documents, which it reads in place. What Kubernetes calls the cost is counted in steps of the
//! same order; a program that exceeds its limit ends with [`EvalError::TooMuchWork`].
//!
//! Laws: compiling and running are total, whatever the text and the documents; a program that has
//! been compiled against exact types goes wrong only in ways that depend on values; the depth of
//! recursion is bounded by [`ast`]'s limit on the height of a tree.

mod ast;
mod check;
mod eval;
mod functions;
mod lexer;
mod parse;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

pub use eval::{EvalError, Work};
pub use types::{FieldType, Identity, ListType, ObjectType, Type, escape};
pub use value::{List, Map, Value};

/// An expression that has been checked.
#[derive(Debug)]
pub struct Program {
    root: ast::Expr,
    gives: Type,
}

/// What is wrong with an expression, and where, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issue {
    at: usize,
    why: String,
}

impl Issue {
    fn new(at: usize, why: String) -> Self {
        Self { at, why }
    }
}

impl Program {
    /// Compiles an expression that may use these names. The error is a text for people, with the
    /// line and a pointer to the place.
    pub fn compile(source: &str, names: &[(&str, Type)]) -> Result<Self, String> {
        let root = parse::parse(source).map_err(|issue| shown(source, &[issue]))?;
        let (gives, issues) = check::check(&root, names);
        if issues.is_empty() {
            Ok(Self { root, gives })
        } else {
            Err(shown(source, &issues))
        }
    }

    /// The type of the result.
    pub fn gives(&self) -> &Type {
        &self.gives
    }

    /// Whether the expression names this variable.
    pub fn uses(&self, name: &str) -> bool {
        let mut found = false;
        self.root.visit(&mut |expr| {
            found |= matches!(&expr.is, ast::Node::Name(known) if known == name);
        });
        found
    }

    /// Runs the expression.
    pub fn run<'a>(
        &'a self,
        names: impl IntoIterator<Item = (&'a str, Value<'a>)>,
        work: &mut Work,
    ) -> Result<Value<'a>, EvalError> {
        eval::Scope::new(names).eval(&self.root, work)
    }
}

/// Issues as the reference implementation of the language shows them.
fn shown(source: &str, issues: &[Issue]) -> String {
    let mut text = String::new();
    for issue in issues {
        let at = issue.at.min(source.len());
        let before = &source[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_number = before.matches('\n').count() + 1;
        let column = source[start..at].chars().count();
        let line = source[start..].lines().next().unwrap_or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        let dots = ".".repeat(column);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "ERROR: <input>:{line_number}:{}: {}\n | {}\n | {dots}^",
            column + 1,
            issue.why,
            line.replace('\t', " "),
        );
    }
    text
}
