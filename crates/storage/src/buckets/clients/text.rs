//! What stores write: the few elements of their XML that matter, and their messages in one line.

use http::StatusCode;

use super::http::Reply;
use crate::buckets::steps::{StoreError, Trouble};

/// The longest message that is told.
const TOLD: usize = 300;

/// The texts of all elements of a name, wherever they are, in order. The XML of stores has neither
/// sections of raw text nor elements of one name inside of each other where this is used.
pub(super) fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find(&open) {
        rest = &rest[start + open.len()..];
        // Of another, longer name.
        if !rest.starts_with(['>', ' ', '/', '\n', '\t', '\r']) {
            continue;
        }
        let Some(end) = rest.find('>') else {
            break;
        };
        let is_empty = rest[..end].ends_with('/');
        rest = &rest[end + 1..];
        if is_empty {
            found.push("");
        } else if let Some(end) = rest.find(&close) {
            found.push(&rest[..end]);
            rest = &rest[end + close.len()..];
        }
    }
    found
}

/// The text of the first element of a name, as it is meant.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).first().map(|it| unescape(it))
}

/// A text out of XML.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find(';').unwrap_or(0);
        let meant = match &rest[..end] {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            number => code(number),
        };
        match meant {
            Some(meant) => {
                plain.push(meant);
                rest = &rest[end + 1..];
            }
            None => plain.push('&'),
        }
    }
    plain.push_str(rest);
    plain
}

fn code(text: &str) -> Option<char> {
    let number = text.strip_prefix('#')?;
    let number = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(number)
}

/// A text for XML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // What readers take for a line break, or refuse, is written as its code.
            c if c.is_control() => escaped.push_str(&format!("&#x{:x};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// What a store has said against something: the code it has for that, and its message.
pub(super) fn refusal(reply: &Reply, code: Option<&str>, message: Option<&str>) -> StoreError {
    let status = reply.status;
    let trouble = match (status, code.unwrap_or_default()) {
        (
            _,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "AuthenticationFailed"
            | "InvalidAuthenticationInfo"
            | "RequestTimeTooSkewed"
            | "InvalidSecurity",
        )
        | (StatusCode::UNAUTHORIZED, _) => Trouble::Credentials,
        (StatusCode::FORBIDDEN, _) => Trouble::Denied,
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _)
        | (_, "OperationAborted" | "ContainerBeingDeleted" | "SlowDown") => Trouble::Unavailable,
        (StatusCode::NOT_IMPLEMENTED, _) => Trouble::Refused,
        (status, _) if status.is_server_error() => Trouble::Unavailable,
        _ => Trouble::Refused,
    };
    let words = match (code, message.map(one_line)) {
        (Some(code), Some(message)) => format!("{}: {message}", one_line(code)),
        (Some(code), None) => one_line(code),
        (None, Some(message)) => message,
        (None, None) => "it says no more".to_owned(),
    };
    StoreError::new(
        trouble,
        format!("the store answers {}: {words}", status.as_u16()),
    )
}

/// The first line of a message, without what no terminal should get. What stores write after it (ids and
/// times of requests) is another one each time.
pub(super) fn one_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let visible = line.chars().filter(|it| !it.is_control());
    let told: String = visible.take(TOLD + 1).collect();
    match told.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}...", &told[..end]),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_whole_name() {
        let xml = "<?xml version=\"1.0\"?><R xmlns=\"x\"><Keys>no</Keys><Key>a&amp;b</Key>\
                   <Key/><Key x=\"1\">c</Key><Truncated>true</Truncated></R>";
        assert_eq!(elements(xml, "Key"), ["a&amp;b", "", "c"]);
        assert_eq!(element(xml, "Key").as_deref(), Some("a&b"));
        assert_eq!(element(xml, "Truncated").as_deref(), Some("true"));
        assert_eq!(element(xml, "Absent"), None);
        for broken in ["<Key", "<Key>", "<Key>a", "</Key><Key>", "<Key<Key>a</Key>"] {
            elements(broken, "Key");
        }
    }

    #[test]
    fn texts_come_back_as_they_were() {
        for text in ["a", "a&b<c>\"d\"", "a\nb\rc", "&amp;", "ü", "&", "a;b&"] {
            assert_eq!(unescape(&escape(text)), text, "{text:?}");
        }
        assert_eq!(
            unescape("&#65;&#x42;&bogus;&#x110000;"),
            "AB&bogus;&#x110000;"
        );
    }

    #[test]
    fn a_message_is_one_line_that_a_terminal_can_show() {
        assert_eq!(one_line("no such key\nRequestId: 7"), "no such key");
        assert_eq!(one_line("a\u{1b}[31mb"), "a[31mb");
        assert_eq!(one_line(&"x".repeat(400)).len(), TOLD + 3);
        assert_eq!(one_line(""), "");
    }
}
