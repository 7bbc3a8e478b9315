//! Differences as text: what to send, as lines for a shell, and what both answered.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    compare::Difference,
    runner::{Found, Sent},
};

/// How many places of one answer are shown.
const PLACES: usize = 12;
/// How long a value is shown.
const WIDTH: usize = 700;

/// A difference with the sequence that shows it.
pub fn difference(found: &Found, seed: u64) -> String {
    let mut text = format!("{} (seed {seed})\n", found.signature);
    for sent in &found.sent {
        let _ = writeln!(text, "  {}", curl(sent));
    }
    let _ = writeln!(
        text,
        "  the answers to request {} differ:",
        found.request.id
    );
    for difference in found.differences.iter().take(PLACES) {
        let _ = writeln!(text, "    {}", place(difference));
    }
    if found.differences.len() > PLACES {
        let _ = writeln!(
            text,
            "    and in {} more places",
            found.differences.len() - PLACES
        );
    }
    let _ = writeln!(text, "  embedded: {}", cut(&found.answers.0.body));
    let _ = writeln!(text, "  real:     {}", cut(&found.answers.1.body));
    text
}

/// A difference with the one request that shows it.
pub fn brief(found: &Found, seed: u64) -> String {
    let mut text = format!("{} (seed {seed}, not shrunk)\n", found.signature);
    let sent = found
        .sent
        .iter()
        .find(|sent| sent.request.id == found.request.id);
    if let Some(sent) = sent {
        let _ = writeln!(text, "  {}", curl(sent));
    }
    for difference in found.differences.iter().take(PLACES) {
        let _ = writeln!(text, "    {}", place(difference));
    }
    text
}

fn place(difference: &Difference) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), cut);
    format!(
        "{}: embedded {}, real {}",
        difference.place,
        value(&difference.embedded),
        value(&difference.real)
    )
}

fn curl(sent: &Sent) -> String {
    let (ours, theirs) = sent.statuses;
    let codes = if ours == theirs {
        ours.to_string()
    } else {
        format!("{ours} but {theirs}")
    };
    let mut line = format!(
        "[{}] curl -X {} \"$API{}\"",
        sent.request.id, sent.request.method, sent.filled.uri
    );
    if sent.request.accept != crate::sequence::JSON {
        let _ = write!(line, " -H 'accept: {}'", sent.request.accept);
    }
    if let Some(body) = &sent.filled.body {
        let body = body.to_string().replace('\'', "'\\''");
        let _ = write!(
            line,
            " -H 'content-type: {}' -d '{body}'",
            sent.filled.content_type
        );
    }
    format!("{line}   # {codes}")
}

fn cut(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
