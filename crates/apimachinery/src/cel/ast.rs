//! Expressions as trees, with the macros of the language as nodes of their own.

use super::Issue;

/// The highest tree: walks over it recur, and a higher one would be a danger to the stack.
const HEIGHT: u16 = 120;

/// An expression, and where it stands: for operators and calls, the sign that makes them one.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) at: usize,
    pub(super) is: Node,
    height: u16,
}

#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(String),
    Bytes(Vec<u8>),
    Name(String),
    /// `a.b`, or `a.?b`.
    Select(Box<Expr>, String, Presence),
    /// `has(a.b)`.
    Has(Box<Expr>, String),
    /// `a[b]`, or `a[?b]`.
    Index(Box<Expr>, Box<Expr>, Presence),
    /// `[a, ?b]`.
    List(Vec<(Expr, Presence)>),
    /// `{a: b, ?c: d}`.
    Map(Vec<(Expr, Expr, Presence)>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Condition(Box<[Expr; 3]>),
    /// A function with all its arguments; of a method, the target is the first.
    Call {
        function: String,
        method: bool,
        arguments: Vec<Expr>,
    },
    /// `range.all(x, body)` and its kin.
    Fold(Box<Fold>),
}

/// Whether a value may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

/// A macro that goes through a list or map, or looks into an optional.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) makes: Makes,
    pub(super) range: Expr,
    pub(super) names: Vec<String>,
    /// The condition of `map` and of the `transform` macros.
    pub(super) when: Option<Expr>,
    pub(super) body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Makes {
    All,
    Exists,
    ExistsOne,
    Filter,
    Mapped,
    MappedEntries,
    OptionalMapped,
    OptionalFlat,
}

impl Expr {
    /// An expression, if it is not too high.
    pub(super) fn new(at: usize, is: Node) -> Result<Self, Issue> {
        let mut highest = 0;
        is.children(&mut |child| highest = highest.max(child.height));
        let height = highest + 1;
        if height > HEIGHT {
            let why = format!("expression recursion limit exceeded: {HEIGHT}");
            return Err(Issue::new(at, why));
        }
        Ok(Self { at, is, height })
    }

    /// Calls `f` for this expression and all in it.
    pub(super) fn visit(&self, f: &mut impl FnMut(&Self)) {
        f(self);
        // A trait object ends the types' recursion.
        let f: &mut dyn FnMut(&Self) = f;
        self.is.children(&mut |child| visit_dyn(child, f));
    }
}

fn visit_dyn(expr: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(expr);
    expr.is.children(&mut |child| visit_dyn(child, f));
}

impl Node {
    fn children(&self, f: &mut dyn FnMut(&Expr)) {
        match self {
            Self::Select(inner, ..) | Self::Has(inner, _) => f(inner),
            Self::Index(a, b, _) | Self::And(a, b) | Self::Or(a, b) => {
                f(a);
                f(b);
            }
            Self::List(items) => items.iter().for_each(|(item, _)| f(item)),
            Self::Map(entries) => {
                for (key, value, _) in entries {
                    f(key);
                    f(value);
                }
            }
            Self::Condition(parts) => parts.iter().for_each(f),
            Self::Call { arguments, .. } => arguments.iter().for_each(f),
            Self::Fold(fold) => {
                f(&fold.range);
                if let Some(when) = &fold.when {
                    f(when);
                }
                f(&fold.body);
            }
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Str(_)
            | Self::Bytes(_)
            | Self::Name(_) => {}
        }
    }
}
