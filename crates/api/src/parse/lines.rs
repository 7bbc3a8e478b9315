//! At which lines of a text its fields are.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::field::FieldPath;

/// Where the fields of the documents of a text are.
#[derive(Debug)]
pub struct Lines(Vec<Spanned<Node>>);

/// A value, of which only the shape is kept.
#[derive(Debug)]
enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Scalar,
}

impl Lines {
    /// Of a text that [`documents`](super::documents) reads; nothing of another one.
    pub fn of(text: &str) -> Option<Self> {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_multiple_with_options(text, options)
            .ok()
            .map(Self)
    }

    /// The line of a field of the document of this number, counted from 0, or of what it would be in if it were
    /// given; counted from 1.
    pub fn line(&self, document: usize, path: &FieldPath) -> Option<u64> {
        let mut here = self.0.get(document)?;
        for step in steps(path.as_str()) {
            let next = match &here.value {
                Node::Map(fields) => fields
                    .iter()
                    .find(|(name, _)| *name == step)
                    .map(|(_, value)| value),
                Node::List(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
                Node::Scalar => None,
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        Some(here.referenced.line())
    }
}

/// The fields, positions and keys of a path, outermost first. Keys stand in brackets and may hold dots.
fn steps(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').unwrap_or((inner, "")),
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        steps.push(step);
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Map(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Node, D::Error> {
        Node::deserialize(value)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(value).map(|_| Node::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
kind: Notes
metadata: {name: a}
---
kind: App
spec:
  roles:
    - id: first
      resources:
        limits:
          nvidia.com/gpu: 1
    - id: second
      members: 3
";

    #[test]
    fn a_field_is_at_its_line_and_a_missing_one_where_it_would_be() {
        let lines = Lines::of(TEXT).unwrap();
        let root = FieldPath::root();
        let role = |index: usize| FieldPath::new("spec").field("roles").index(index);
        for (document, path, expected) in [
            (0, FieldPath::new("metadata").field("name"), Some(2)),
            (1, FieldPath::new("kind"), Some(4)),
            (1, role(1).field("members"), Some(12)),
            (1, role(1).field("cardinality"), Some(11)),
            (
                1,
                role(0)
                    .field("resources")
                    .field("limits")
                    .key("nvidia.com/gpu"),
                Some(10),
            ),
            (2, root, None),
        ] {
            assert_eq!(lines.line(document, &path), expected, "{path}");
        }
        assert!(Lines::of("a: [").is_none());
    }
}
