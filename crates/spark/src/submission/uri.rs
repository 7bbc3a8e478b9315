//! Which texts are URIs, by the rules of `java.net.URI`.
//!
//! They are those of RFC 2396 with IPv6 addresses, and letters beyond ASCII anywhere but in the
//! scheme. Spark takes what breaks them for the path of a file.

/// What may stand in a host, or in a name that takes its place.
const AUTHORITY: &str = "_-!.~'()*$,;:@&=+[]";
/// What may stand in a path.
const PATH: &str = "_-!.~'()*:@&=+$,;/";
/// What may stand in a query, a fragment and behind the scheme of what is no path.
const ANY: &str = "_-!.~'()*;/?:@&=+$,[]";

/// Whether the text is a URI, with a scheme or without.
pub(super) fn is_valid(text: &str) -> bool {
    let rest = match text.find([':', '/', '?', '#']) {
        Some(end) if text[end..].starts_with(':') => {
            if !is_scheme(&text[..end]) {
                return false;
            }
            let rest = &text[end + 1..];
            if !rest.starts_with('/') {
                let (part, fragment) = split(rest, '#');
                return !part.is_empty() && holds(part, ANY) && holds(fragment, ANY);
            }
            rest
        }
        _ => text,
    };
    is_hierarchical(rest)
}

fn is_hierarchical(text: &str) -> bool {
    let path = match text.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            if rest.is_empty() || !holds(authority, AUTHORITY) {
                return false;
            }
            path
        }
        None => text,
    };
    let (path, fragment) = split(path, '#');
    let (path, query) = split(path, '?');
    holds(path, PATH) && holds(query, ANY) && holds(fragment, ANY)
}

fn split(text: &str, at: char) -> (&str, &str) {
    text.split_once(at).unwrap_or((text, ""))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Whether the text holds only letters, digits, these characters, and escapes.
fn holds(text: &str, allowed: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let fine = match c {
            '%' => {
                let escape: Vec<char> = rest.by_ref().take(2).collect();
                escape.len() == 2 && escape.iter().all(char::is_ascii_hexdigit)
            }
            c if c.is_ascii() => c.is_ascii_alphanumeric() || allowed.contains(c),
            c => !c.is_control() && !c.is_whitespace(),
        };
        if !fine {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn uris_are_told_from_texts_that_look_like_them() {
        for text in [
            "",
            "a.jar",
            "/x/y.jar#alias",
            "../a",
            "local:///a.jar",
            "local:/a.jar",
            "local:a.jar",
            "https://h:1/a%20b?x=[1]#y",
            "s3a://b/é.jar",
            "file:///x",
            "//x/y",
            "?x",
            "#x",
            "k8s+x://[::1]:80/",
        ] {
            assert!(is_valid(text), "{text}");
        }
        for text in [
            "local:///a b.jar",
            " local:///a.jar",
            "https://h/x y",
            "local:///%zz.jar",
            "/x#a#b",
            "C:\\x",
            ":x",
            "1a:b",
            "a:",
            "http://",
            "/x/[ab]*.py",
            "/x/{a,b}.py",
            "/x/\u{a0}y",
            "a|b",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }
}
