//! File name patterns of the client: `*` and `?` within one part of a path.

use std::path::Path;

use super::request::Client;

/// The regular files a path or pattern names, sorted; `None` when a plain path leads nowhere.
pub(super) fn files(client: &Client, pattern: &str) -> Option<Vec<String>> {
    let is_pattern = |part: &str| part.contains(['*', '?']);
    if !is_pattern(pattern) {
        let entry = client.files.stat(Path::new(pattern)).ok()?;
        return Some(if entry.is_file {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        });
    }
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = if is_pattern(part) {
            found
                .iter()
                .flat_map(|dir| matching(client, dir, part))
                .collect()
        } else {
            found.iter().map(|dir| format!("{dir}/{part}")).collect()
        };
    }
    found.retain(|path| {
        client
            .files
            .stat(Path::new(path))
            .is_ok_and(|entry| entry.is_file)
    });
    found.sort();
    Some(found)
}

fn matching(client: &Client, dir: &str, part: &str) -> Vec<String> {
    let parent = if dir.is_empty() { "/" } else { dir };
    let entries = client.files.list(Path::new(parent)).unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| matches(part, &entry.name))
        .map(|entry| format!("{dir}/{}", entry.name))
        .collect()
}

/// Whether the whole name matches.
fn matches(pattern: &str, name: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = chars.as_str();
            name.char_indices()
                .any(|(at, _)| matches(rest, &name[at..]))
                || matches(rest, "")
        }
        Some(c) => {
            let mut name = name.chars();
            name.next().is_some_and(|n| c == '?' || c == n)
                && matches(chars.as_str(), name.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, result) in [
            ("*.jar", "a.jar", true),
            ("*.jar", "a.jar.bak", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxyyc", false),
            ("é*", "été", true),
        ] {
            assert_eq!(matches(pattern, name), result, "{pattern} {name}");
        }
    }
}
