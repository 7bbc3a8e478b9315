//! The types of expressions: what is certain to go wrong is refused before anything runs.

use super::{
    Issue,
    ast::{Expr, Fold, Makes, Node, Presence},
    eval, functions, parse,
    types::{Bindings, Type},
};

/// The type of an expression, and what is wrong with it.
pub(super) fn check(expr: &Expr, names: &[(&str, Type)]) -> (Type, Vec<Issue>) {
    let mut checker = Checker {
        names: names
            .iter()
            .map(|(name, of)| ((*name).to_owned(), of.clone()))
            .collect(),
        issues: Vec::new(),
    };
    let of = checker.of(expr);
    (of, checker.issues)
}

/// A type by the name that expressions give it.
pub(super) fn type_named(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 18] = [
        "bool",
        "bytes",
        "double",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "type",
        "uint",
        "optional_type",
        "google.protobuf.Duration",
        "google.protobuf.Timestamp",
        "kubernetes.Quantity",
        "kubernetes.URL",
        "kubernetes.Semver",
        "net.IP",
        "net.CIDR",
    ];
    NAMES.into_iter().find(|known| *known == name)
}

struct Checker {
    names: Vec<(String, Type)>,
    issues: Vec<Issue>,
}

impl Checker {
    fn issue(&mut self, at: usize, why: String) -> Type {
        self.issues.push(Issue::new(at, why));
        // Whatever it is, it is not complained about again.
        Type::Dyn
    }

    fn find(&self, name: &str) -> Option<Type> {
        self.names
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, of)| of.clone())
    }

    fn of(&mut self, expr: &Expr) -> Type {
        match &expr.is {
            Node::Null => Type::Null,
            Node::Bool(_) => Type::Bool,
            Node::Int(_) => Type::Int,
            Node::Uint(_) => Type::Uint,
            Node::Double(_) => Type::Double,
            Node::Str(_) => Type::String,
            Node::Bytes(_) => Type::Bytes,
            Node::Name(name) => match self.find(name) {
                Some(of) => of,
                None if type_named(name).is_some() => Type::Type,
                None => {
                    let why = format!("undeclared reference to '{name}' (in container '')");
                    self.issue(expr.at, why)
                }
            },
            Node::Select(operand, field, presence) => {
                if self.is_type_name(expr) {
                    return Type::Type;
                }
                let operand = self.of(operand);
                self.select(expr.at, &operand, field, *presence)
            }
            Node::Has(operand, field) => {
                let of = self.of(operand);
                self.select(expr.at, &of, field, Presence::Required);
                Type::Bool
            }
            Node::Index(operand, index, presence) => {
                let operand = self.of(operand);
                let index_type = self.of(index);
                self.index(expr.at, &operand, &index_type, *presence)
            }
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::And(a, b) | Node::Or(a, b) => {
                self.truth(a);
                self.truth(b);
                Type::Bool
            }
            Node::Condition(parts) => {
                let [condition, yes, no] = &**parts;
                let (condition, yes, no) = (self.of(condition), self.of(yes), self.of(no));
                let joined = yes.join(&no);
                match (Type::Bool.join(&condition), joined) {
                    (Some(_), Some(joined)) => joined,
                    _ => self.no_overload(expr.at, "_?_:_", false, &[condition, yes, no]),
                }
            }
            Node::Call {
                function,
                method,
                arguments,
            } => self.call(expr.at, function, *method, arguments),
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn is_type_name(&self, expr: &Expr) -> bool {
        parse::dotted(expr).is_some_and(|dotted| {
            let first = dotted.split('.').next().unwrap_or_default();
            self.find(first).is_none() && type_named(&dotted).is_some()
        })
    }

    fn select(&mut self, at: usize, operand: &Type, field: &str, presence: Presence) -> Type {
        let (of, optional) = match operand {
            Type::Optional(inner) => (&**inner, true),
            other => (other, presence == Presence::Optional),
        };
        let found = match of {
            Type::Dyn => Type::Dyn,
            Type::Map(map) => map.1.clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some(found) => found.of.clone(),
                None => return self.issue(at, format!("undefined field '{field}'")),
            },
            other => {
                let why = format!("type '{other}' does not support field selection");
                return self.issue(at, why);
            }
        };
        if optional {
            Type::optional(found)
        } else {
            found
        }
    }

    fn index(&mut self, at: usize, operand: &Type, index: &Type, presence: Presence) -> Type {
        let (of, optional) = match operand {
            Type::Optional(inner) => (&**inner, true),
            other => (other, presence == Presence::Optional),
        };
        let found = match of {
            Type::Dyn => Some(Type::Dyn),
            Type::List(list) => Type::Int.join(index).map(|_| list.items.clone()),
            Type::Map(map) => map.0.join(index).map(|_| map.1.clone()),
            _ => None,
        };
        match found {
            Some(found) if optional => Type::optional(found),
            Some(found) => found,
            None => {
                let name = if presence == Presence::Optional {
                    "_[?_]"
                } else {
                    "_[_]"
                };
                self.no_overload(at, name, false, &[operand.clone(), index.clone()])
            }
        }
    }

    fn list(&mut self, items: &[(Expr, Presence)]) -> Type {
        let mut joined: Option<Type> = None;
        for (item, presence) in items {
            let of = self.of(item);
            let of = self.present(item.at, of, *presence);
            joined = Some(self.same(item.at, joined, of));
        }
        Type::list(joined.unwrap_or(Type::Dyn))
    }

    fn map(&mut self, entries: &[(Expr, Expr, Presence)]) -> Type {
        let (mut keys, mut values): (Option<Type>, Option<Type>) = (None, None);
        for (key, value, presence) in entries {
            let of_key = self.of(key);
            keys = Some(self.same(key.at, keys, of_key));
            let of = self.of(value);
            let of = self.present(value.at, of, *presence);
            values = Some(self.same(value.at, values, of));
        }
        Type::map(keys.unwrap_or(Type::Dyn), values.unwrap_or(Type::Dyn))
    }

    fn present(&mut self, at: usize, of: Type, presence: Presence) -> Type {
        match (presence, of) {
            (Presence::Required, of) => of,
            (Presence::Optional, Type::Optional(inner)) => (*inner).clone(),
            (Presence::Optional, Type::Dyn) => Type::Dyn,
            (Presence::Optional, other) => {
                let why = format!("expected type 'optional_type' but found '{other}'");
                self.issue(at, why)
            }
        }
    }

    /// Items of one literal have one type.
    fn same(&mut self, at: usize, before: Option<Type>, of: Type) -> Type {
        let Some(before) = before else { return of };
        match before.join(&of) {
            Some(joined) => joined,
            None => self.issue(at, format!("expected type '{before}' but found '{of}'")),
        }
    }

    fn call(&mut self, at: usize, name: &str, method: bool, arguments: &[Expr]) -> Type {
        let types: Vec<Type> = arguments
            .iter()
            .map(|argument| match &argument.is {
                // What is formatted may be of many types.
                Node::List(items) if name == "format" => {
                    for (item, _) in items {
                        self.of(item);
                    }
                    Type::list(Type::Dyn)
                }
                _ => self.of(argument),
            })
            .collect();
        let Some(function) = functions::find(name) else {
            let why = format!("undeclared reference to '{name}' (in container '')");
            return self.issue(at, why);
        };
        self.literals(name, arguments);
        let mut results: Vec<Type> = Vec::new();
        for shape in &function.shapes {
            if shape.method != method || shape.takes.len() != types.len() {
                continue;
            }
            let mut bound: Bindings = [None, None];
            let fits = shape
                .takes
                .iter()
                .zip(&types)
                .all(|(wanted, found)| wanted.accepts(found, &mut bound));
            if fits {
                results.push(shape.gives.filled(&bound));
            }
        }
        let mut results = results.into_iter();
        let Some(first) = results.next() else {
            return self.no_overload(at, name, method, &types);
        };
        // Arguments of any type may fit several shapes, and then the result is open too.
        results
            .try_fold(first, |joined, next| {
                joined
                    .join(&next)
                    .filter(|_| joined.to_string() == next.to_string())
            })
            .unwrap_or(Type::Dyn)
    }

    /// Patterns, lengths of time and moments that are written out have to be right.
    fn literals(&mut self, name: &str, arguments: &[Expr]) {
        type Parse = fn(&str) -> Result<(), String>;
        let (position, parse): (usize, Parse) = match name {
            "matches" => (1, |text| eval::compile_pattern(text).map(|_| ())),
            "duration" => (0, |text| match functions::time::parse_duration(text) {
                Some(_) => Ok(()),
                None => Err("invalid duration argument".to_owned()),
            }),
            "timestamp" => (0, |text| match text.parse::<jiff::Timestamp>() {
                Ok(_) => Ok(()),
                Err(_) => Err("invalid timestamp argument".to_owned()),
            }),
            _ => return,
        };
        if let Some(Expr {
            at,
            is: Node::Str(text),
            ..
        }) = arguments.get(position)
            && let Err(why) = parse(text)
        {
            let why = if name == "matches" {
                "invalid matches argument".to_owned()
            } else {
                why
            };
            self.issue(*at, why);
        }
    }

    fn no_overload(&mut self, at: usize, name: &str, method: bool, types: &[Type]) -> Type {
        let shown: Vec<String> = types.iter().map(ToString::to_string).collect();
        let signature = match (method, shown.split_first()) {
            (true, Some((target, rest))) => format!("{target}.({})", rest.join(", ")),
            _ => format!("({})", shown.join(", ")),
        };
        let why = format!("found no matching overload for '{name}' applied to '{signature}'");
        self.issue(at, why)
    }

    fn fold(&mut self, fold: &Fold) -> Type {
        let range = self.of(&fold.range);
        let (key, value) = match (&range, fold.makes) {
            (Type::Optional(inner), Makes::OptionalMapped | Makes::OptionalFlat) => {
                ((**inner).clone(), Type::Dyn)
            }
            (Type::Dyn, _) => (Type::Dyn, Type::Dyn),
            (other, Makes::OptionalMapped | Makes::OptionalFlat) => {
                let types = [other.clone()];
                return self.no_overload(fold.range.at, "hasValue", true, &types);
            }
            (Type::List(list), _) if fold.names.len() == 1 => (list.items.clone(), Type::Dyn),
            (Type::List(list), _) => (Type::Int, list.items.clone()),
            (Type::Map(map), _) => (map.0.clone(), map.1.clone()),
            (other, _) => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be \
                     list, map, or dynamic)"
                );
                self.issue(fold.range.at, why);
                (Type::Dyn, Type::Dyn)
            }
        };
        let depth = self.names.len();
        let bound = [key.clone(), value];
        for (name, of) in fold.names.iter().zip(bound) {
            self.names.push((name.clone(), of));
        }
        if let Some(when) = &fold.when {
            self.truth(when);
        }
        let gives = match fold.makes {
            Makes::All | Makes::Exists | Makes::ExistsOne => {
                self.truth(&fold.body);
                Type::Bool
            }
            Makes::Filter => {
                self.truth(&fold.body);
                match &range {
                    Type::List(_) => range.clone(),
                    _ => Type::list(key.clone()),
                }
            }
            Makes::Mapped => Type::list(self.of(&fold.body)),
            Makes::MappedEntries => Type::map(key.clone(), self.of(&fold.body)),
            Makes::OptionalMapped => Type::optional(self.of(&fold.body)),
            Makes::OptionalFlat => self.of(&fold.body),
        };
        self.names.truncate(depth);
        gives
    }

    fn truth(&mut self, expr: &Expr) {
        let of = self.of(expr);
        if Type::Bool.join(&of).is_none() {
            self.issue(expr.at, format!("expected type 'bool' but found '{of}'"));
        }
    }
}
