//! The fields of all messages: one line per message (`> NAME`) and field
//! (`NUMBER NAME FLAGS TYPE`).

use std::collections::HashMap;
use std::ops::Range;

/// Made by `xtask kubernetes` from upstream's message definitions.
static PACKED: &[u8] = include_bytes!("../../data/protobuf.txt.zst");

/// The unpacked table.
pub(super) struct Table {
    text: String,
    /// Where the fields of a message stand in the text.
    messages: HashMap<String, Range<usize>>,
}

/// One field of a message.
pub(super) struct Field<'t> {
    pub(super) number: u32,
    /// The JSON name.
    pub(super) name: &'t str,
    pub(super) shape: Shape,
    /// Whether JSON leaves the field out when it is zero.
    pub(super) omits_zero: bool,
    /// A scalar type or the name of a message.
    pub(super) kind: &'t str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    Repeated,
    /// From text to the type.
    Map,
    /// The fields of the message are fields of the outer one in JSON.
    Inline,
}

impl Table {
    pub(super) fn open() -> Self {
        let text = zstd::decode_all(PACKED)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        let mut messages = HashMap::new();
        let mut current: Option<(String, usize)> = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if let Some(name) = line.strip_prefix("> ") {
                if let Some((name, start)) = current.take() {
                    messages.insert(name, start..at);
                }
                current = Some((name.trim_end().to_owned(), at + line.len()));
            }
            at += line.len();
        }
        if let Some((name, start)) = current {
            messages.insert(name, start..at);
        }
        Self { text, messages }
    }

    /// The fields of a message.
    pub(super) fn message(&self, name: &str) -> Option<Vec<Field<'_>>> {
        let lines = self.text.get(self.messages.get(name)?.clone())?;
        Some(lines.lines().filter_map(field).collect())
    }
}

fn field(line: &str) -> Option<Field<'_>> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let name = words.next()?;
    let flags = words.next()?;
    let kind = words.next()?;
    let shape = if flags.contains('i') {
        Shape::Inline
    } else if flags.contains('m') {
        Shape::Map
    } else if flags.contains('r') {
        Shape::Repeated
    } else {
        Shape::Single
    };
    Some(Field {
        number,
        name,
        shape,
        omits_zero: flags.contains('z'),
        kind,
    })
}
