//! The types of expressions, and what they say about JSON.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// The type of an expression. Cloning is cheap.
#[derive(Debug, Clone)]
pub enum Type {
    /// Anything; checks wait until the expression runs.
    Dyn,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// A signed number of 64 bits.
    Int,
    /// An unsigned number of 64 bits.
    Uint,
    /// A floating point number.
    Double,
    /// Text.
    String,
    /// Bytes, as base64 in JSON.
    Bytes,
    /// A length of time, as `1h30m` in JSON.
    Duration,
    /// A moment, as RFC 3339 in JSON.
    Timestamp,
    /// A list.
    List(Arc<ListType>),
    /// A map with keys of one type and values of another.
    Map(Arc<(Type, Type)>),
    /// An object with declared fields.
    Object(Arc<ObjectType>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// The type of a value, as a value.
    Type,
    /// A type of a function library.
    Opaque(Opaque),
    /// A parameter of a function's signature.
    Parameter(usize),
}

/// Types that only functions make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opaque {
    /// `quantity('1Gi')`.
    Quantity,
    /// `url('https://x')`.
    Url,
    /// `ip('10.0.0.1')`.
    Ip,
    /// `cidr('10.0.0.0/8')`.
    Cidr,
    /// `format.dns1123Label()`.
    Format,
    /// `semver('1.2.3')`.
    Semver,
}

/// A list, and what makes two of them equal.
#[derive(Debug)]
pub struct ListType {
    /// The type of the items.
    pub items: Type,
    /// How items are told apart.
    pub identity: Identity,
}

/// How the items of a list are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// By their place.
    Place,
    /// By their value, so that the order does not matter.
    Value,
    /// By some of their fields, so that the order does not matter.
    Keys(Vec<String>),
}

/// An object's fields.
#[derive(Debug, Default)]
pub struct ObjectType {
    /// By the name that expressions use.
    pub fields: BTreeMap<String, FieldType>,
}

/// One field of an object.
#[derive(Debug)]
pub struct FieldType {
    /// The name in JSON, which need not be an identifier.
    pub name: String,
    /// What it holds.
    pub of: Type,
}

impl Type {
    /// A list whose items are told apart by their place.
    pub fn list(items: Self) -> Self {
        Self::List(Arc::new(ListType {
            items,
            identity: Identity::Place,
        }))
    }

    /// A map.
    pub fn map(keys: Self, values: Self) -> Self {
        Self::Map(Arc::new((keys, values)))
    }

    /// A value that may be absent.
    pub fn optional(inner: Self) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// An object with these fields; names that no identifier can stand for are left out.
    pub fn object(fields: impl IntoIterator<Item = (String, Self)>) -> Self {
        let fields = fields
            .into_iter()
            .filter_map(|(name, of)| Some((escape(&name)?, FieldType { name, of })))
            .collect();
        Self::Object(Arc::new(ObjectType { fields }))
    }

    /// Whether a value of `other` may stand where this is wanted; parameters are bound on the way.
    pub(super) fn accepts(&self, other: &Self, bound: &mut Bindings) -> bool {
        match (self, other) {
            (Self::Parameter(index), _) => match bound[*index].clone() {
                None => {
                    bound[*index] = Some(other.clone());
                    true
                }
                Some(before) => match before.join(other) {
                    Some(joined) => {
                        bound[*index] = Some(joined);
                        true
                    }
                    None => false,
                },
            },
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(a), Self::List(b)) => a.items.accepts(&b.items, bound),
            (Self::Map(a), Self::Map(b)) => a.0.accepts(&b.0, bound) && a.1.accepts(&b.1, bound),
            (Self::Optional(a), Self::Optional(b)) => a.accepts(b, bound),
            _ => self.join(other).is_some(),
        }
    }

    /// The type that both are, if there is one.
    pub(super) fn join(&self, other: &Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => Self::Dyn,
            (Self::Null, Self::Null) => Self::Null,
            (Self::Null, may) | (may, Self::Null) if may.may_be_null() => may.clone(),
            (Self::Bool, Self::Bool)
            | (Self::Int, Self::Int)
            | (Self::Uint, Self::Uint)
            | (Self::Double, Self::Double)
            | (Self::String, Self::String)
            | (Self::Bytes, Self::Bytes)
            | (Self::Duration, Self::Duration)
            | (Self::Timestamp, Self::Timestamp)
            | (Self::Type, Self::Type) => self.clone(),
            (Self::Opaque(a), Self::Opaque(b)) if a == b => self.clone(),
            (Self::Object(a), Self::Object(b)) if Arc::ptr_eq(a, b) => self.clone(),
            (Self::List(a), Self::List(b)) if Arc::ptr_eq(a, b) => self.clone(),
            (Self::List(a), Self::List(b)) => Self::list(a.items.join(&b.items)?),
            (Self::Map(a), Self::Map(b)) => Self::map(a.0.join(&b.0)?, a.1.join(&b.1)?),
            (Self::Optional(a), Self::Optional(b)) => Self::optional(a.join(b)?),
            _ => return None,
        })
    }

    fn may_be_null(&self) -> bool {
        matches!(
            self,
            Self::Object(_)
                | Self::Opaque(_)
                | Self::Optional(_)
                | Self::Duration
                | Self::Timestamp
        )
    }

    /// A result type with its parameters filled in; what nothing bound is anything.
    pub(super) fn filled(&self, bound: &Bindings) -> Self {
        match self {
            Self::Parameter(index) => bound[*index].clone().unwrap_or(Self::Dyn),
            Self::List(list) => Self::list(list.items.filled(bound)),
            Self::Map(map) => Self::map(map.0.filled(bound), map.1.filled(bound)),
            Self::Optional(inner) => Self::optional(inner.filled(bound)),
            other => other.clone(),
        }
    }
}

/// What the parameters of a signature stand for.
pub(super) type Bindings = [Option<Type>; 2];

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::List(list) => write!(f, "list({})", list.items),
            Self::Map(map) => write!(f, "map({}, {})", map.0, map.1),
            Self::Object(_) => f.write_str("object"),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Type => f.write_str("type"),
            Self::Opaque(opaque) => f.write_str(opaque.name()),
            Self::Parameter(_) => f.write_str("dyn"),
        }
    }
}

impl Opaque {
    /// The name that `type()` gives.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantity => "kubernetes.Quantity",
            Self::Url => "kubernetes.URL",
            Self::Ip => "net.IP",
            Self::Cidr => "net.CIDR",
            Self::Format => "kubernetes.NamedFormat",
            Self::Semver => "kubernetes.Semver",
        }
    }
}

/// Words that no identifier may be.
pub(super) const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The identifier that stands for a field's name, if there is one.
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            escaped.push_str("__underscores__");
            rest = after;
            continue;
        }
        match c {
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => escaped.push(c),
            _ => return None,
        }
        rest = &rest[1..];
    }
    Some(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_into_identifiers() {
        let cases = [
            ("replicas", Some("replicas")),
            ("namespace", Some("__namespace__")),
            ("a-b", Some("a__dash__b")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("a__b", Some("a__underscores__b")),
            ("a_b", Some("a_b")),
            ("1a", None),
            ("a b", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(escape(name).as_deref(), expected, "{name}");
        }
    }
}
