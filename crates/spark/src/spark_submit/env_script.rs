//! `spark-env.sh`, as far as it only sets variables.

use std::path::Path;

use crate::submission::Client;

/// Sets the variables that the script of the configuration directory sets plainly. Returns the
/// script's path if it does more than that, which only a shell could.
pub(super) fn source(client: &mut Client) -> Option<String> {
    if client.env.contains_key("SPARK_ENV_LOADED") {
        return None;
    }
    let (path, text) = script(client)?;
    let mut needs_shell = false;
    for line in text.lines() {
        match Line::of(line) {
            Line::Assignment(name, value) => {
                client.env.insert(name.to_owned(), value.to_owned());
            }
            Line::Other => needs_shell = true,
            Line::Nothing => {}
        }
    }
    needs_shell.then_some(path)
}

fn script(client: &Client) -> Option<(String, String)> {
    let directory = client.env.get("SPARK_CONF_DIR")?;
    let path = format!("{directory}/spark-env.sh");
    let bytes = client.files.read(Path::new(&path)).ok()?;
    Some((path, String::from_utf8(bytes).ok()?))
}

#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Assignment(&'a str, &'a str),
    Other,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Self::Nothing;
        }
        let assignment = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some((name, value)) = assignment.split_once('=') else {
            return Self::Other;
        };
        let plain_name = !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match literal(value) {
            Some(value) if plain_name => Self::Assignment(name, value),
            _ => Self::Other,
        }
    }
}

/// The text a shell would make of this word, if that needs no shell.
fn literal(word: &str) -> Option<&str> {
    let quoted = |quote: char| {
        word.strip_prefix(quote)?
            .strip_suffix(quote)
            .filter(|inner| !inner.contains(quote))
    };
    if let Some(inner) = quoted('\'') {
        return Some(inner);
    }
    if let Some(inner) = quoted('"') {
        return (!inner.contains(['$', '`', '\\'])).then_some(inner);
    }
    let special = |c: char| c.is_whitespace() || "$`\\'\"|&;<>()*?[]#~!{}".contains(c);
    (!word.contains(special)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_assignments_are_told_from_shell() {
        for (line, expected) in [
            ("", Line::Nothing),
            ("# export A=b", Line::Nothing),
            ("export A=b", Line::Assignment("A", "b")),
            ("A_1='x y'", Line::Assignment("A_1", "x y")),
            ("  export  A=\"x y\"", Line::Assignment("A", "x y")),
            ("A=", Line::Assignment("A", "")),
            ("A=$B", Line::Other),
            ("A=\"$B\"", Line::Other),
            ("if true; then A=b; fi", Line::Other),
            ("A=b C=d", Line::Other),
            ("ulimit -n 10", Line::Other),
        ] {
            assert_eq!(Line::of(line), expected, "{line}");
        }
    }
}
