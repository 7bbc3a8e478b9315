//! Java's properties format, read and written as `java.util.Properties` does.
//!
//! Laws: reading what was written gives the same map back; the writer never escapes characters
//! beyond ASCII, because Spark writes to a string and not to a Latin-1 stream.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The text of a properties file, without comments, one line per key in the order of the keys.
pub fn write(map: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in map {
        escape(&mut text, key, true);
        text.push('=');
        escape(&mut text, value, false);
        text.push('\n');
    }
    text
}

/// Reads a properties file. The last of several equal keys wins.
///
/// The error is what is wrong with the text: the only thing Java refuses is a malformed `\u`.
pub fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut map = BTreeMap::new();
    for line in logical_lines(text) {
        let (key, value) = split(&line);
        map.insert(unescape(key)?, unescape(value)?);
    }
    Ok(map)
}

/// Every space of a key is escaped; of a value only the first character, if it is one.
fn escape(out: &mut String, text: &str, key: bool) {
    for (position, c) in text.chars().enumerate() {
        match c {
            ' ' if key || position == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{c}' => out.push_str("\\f"),
            '\\' | '=' | ':' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines with their continuations joined; blank lines and comments are left out. A blank line
/// ends a continuation, a comment does not.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let text = text.replace("\r\n", "\n");
    let mut natural = text
        .split(['\n', '\r'])
        .map(|line| line.trim_start_matches(is_blank));
    while let Some(line) = natural.next() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut joined = line.to_owned();
        while ends_with_continuation(&joined) {
            joined.pop();
            joined.push_str(natural.next().unwrap_or_default());
        }
        lines.push(joined);
    }
    lines
}

/// An odd number of backslashes at the end.
fn ends_with_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that is not escaped; blanks and one separator
/// before the value belong to neither.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (matches!(c, '=' | ':') || is_blank(*c));
        escaped = *c == '\\' && !escaped;
        ends
    });
    let Some((end, _)) = end else {
        return (line, "");
    };
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_blank))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let push = |c: char, units: &mut Vec<u16>| {
        let mut buffer = [0; 2];
        units.extend_from_slice(c.encode_utf16(&mut buffer));
    };
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(c, &mut units);
            continue;
        }
        match chars.next() {
            Some('t') => push('\t', &mut units),
            Some('n') => push('\n', &mut units),
            Some('r') => push('\r', &mut units),
            Some('f') => push('\u{c}', &mut units),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let unit = Some(&digits)
                    .filter(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|d| u16::from_str_radix(d, 16).ok());
                units.push(unit.ok_or_else(|| format!("malformed \\u{digits} escape"))?);
            }
            Some(other) => push(other, &mut units),
            None => {}
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

/// The comment lines Java puts first, for the ConfigMap of this name.
pub(super) fn header(conf_map: &str, time: jiff::Timestamp) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "#Java properties built from Kubernetes config map with name: {conf_map}"
    );
    let _ = writeln!(text, "#{}", time.strftime("%a %b %d %H:%M:%S UTC %Y"));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(key: &str, value: &str) -> String {
        write(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn values_are_escaped_as_java_escapes_them() {
        for (value, written) in [
            ("a\tb\nc\rd\u{c}e", r"a\tb\nc\rd\fe"),
            ("é€😀", "é€😀"),
            ("  lead", r"\  lead"),
            ("trail  ", "trail  "),
            (r"a\b", r"a\\b"),
            ("a=b:c#d!e", r"a\=b\:c\#d\!e"),
            ("a\u{1}b\u{7f}c", "a\u{1}b\u{7f}c"),
        ] {
            assert_eq!(one("k", value), format!("k={written}\n"));
        }
        assert_eq!(one("a key:x", "v"), "a\\ key\\:x=v\n");
    }

    #[test]
    fn files_are_read_as_java_reads_them() {
        let text = "# comment\n! also\n\na 1\nb:value with spaces   \n  c = x\nd = one, \\\n    two\r\ne=\\u00e9\nf\ng=\\q\\\\\nh\\ i=1\nj==x\nk\\\r\n l\nn 1\\\n\no 2\np 3\\\n# q\n# end\\\nm = last";
        let map = read(text).unwrap();
        let lines: Vec<String> = map.iter().map(|(k, v)| format!("{k}|{v}")).collect();
        assert_eq!(
            lines,
            [
                "a|1",
                "b|value with spaces   ",
                "c|x",
                "d|one, two",
                "e|é",
                "f|",
                "g|q\\",
                "h i|1",
                "j|=x",
                "kl|",
                "m|last",
                "n|1",
                "o|2",
                "p|3# q"
            ]
        );
        assert_eq!(read("a=\\u00g0").unwrap_err(), "malformed \\u00g0 escape");
    }

    proptest! {
        #[test]
        fn reading_what_was_written_gives_the_same_map(
            map in proptest::collection::btree_map("\\PC*|[ -~\\t\\n\\r\\\\]{0,20}", "\\PC*|[ -~\\t\\n\\r\\\\]{0,20}", 0..6)
        ) {
            prop_assert_eq!(read(&write(&map)).unwrap(), map);
        }
    }
}
