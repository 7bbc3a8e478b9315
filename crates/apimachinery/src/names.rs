//! The name grammars of Kubernetes: labels, subdomains, qualified names, environment variables.
//!
//! Each check returns the complaints of kube-apiserver; none means the text is fine.

/// The longest label value and DNS label.
pub const LABEL_MAX: usize = 63;
/// The longest DNS subdomain, which most object names are.
pub const SUBDOMAIN_MAX: usize = 253;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and \
     must start and end with an alphanumeric character";
const QUALIFIED_NAME_EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];

/// A lowercase DNS label: namespaces, container and volume names.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, LABEL_MAX);
    if !is_dns1123_label(text) {
        errors.push(if is_dns1123_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            grammar(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
                 '-', and must start and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    errors
}

/// A lowercase DNS subdomain: most object names.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = too_long(text, SUBDOMAIN_MAX);
    if !is_dns1123_subdomain(text) {
        errors.push(grammar(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character",
            DNS1123_SUBDOMAIN,
            &["example.com"],
        ));
    }
    errors
}

/// A DNS label that starts with a letter: service names.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, LABEL_MAX);
    let starts = text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase());
    if !starts || !is_dns1123_label(text) {
        errors.push(grammar(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character",
            DNS1035_LABEL,
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// A label or annotation key: an optional subdomain prefix, a slash, and a name.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(
                    dns1123_subdomain(prefix)
                        .into_iter()
                        .map(|text| format!("prefix part {text}")),
                );
            }
            *name
        }
        _ => {
            errors.push(format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')",
                grammar(
                    QUALIFIED_NAME_RULE,
                    QUALIFIED_NAME,
                    &QUALIFIED_NAME_EXAMPLES
                )
            ));
            return errors;
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!(
            "name part must be no more than {LABEL_MAX} characters"
        ));
    }
    if !is_qualified(name) {
        errors.push(format!(
            "name part {}",
            grammar(
                QUALIFIED_NAME_RULE,
                QUALIFIED_NAME,
                &QUALIFIED_NAME_EXAMPLES
            )
        ));
    }
    errors
}

/// A label value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = too_long(text, LABEL_MAX);
    if !text.is_empty() && !is_qualified(text) {
        errors.push(grammar(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// An environment variable name: printable ASCII without `=`.
pub fn environment_variable(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if text
        .bytes()
        .all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=')
    {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other \
         than '='"
            .to_owned(),
    ]
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = too_long(text, SUBDOMAIN_MAX);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(allowed) {
        errors.push(grammar(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        text if text.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// A port name.
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 15);
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || !text.bytes().all(allowed) {
        errors.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A port number.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// A path segment, the weakest rule: RBAC object names.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|illegal| text.contains(**illegal))
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

fn is_dns1123_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_dns1123_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns1123_label)
}

fn is_qualified(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().next_back())
}

fn too_long(text: &str, limit: usize) -> Vec<String> {
    if text.len() > limit {
        vec![format!("must be no more than {limit} characters")]
    } else {
        Vec::new()
    }
}

fn grammar(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|text| format!("'{text}', ")).collect();
    format!(
        "{rule} (e.g. {}regex used for validation is '{pattern}')",
        examples.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars_accept_and_refuse_as_upstream_does() {
        type Check = fn(&str) -> Vec<String>;
        let long = "a".repeat(64);
        let table: &[(Check, &[&str], &[&str])] = &[
            (
                dns1123_label,
                &["a", "a-1", "1a"],
                &["", "A", "-a", "a-", "a.b", &long],
            ),
            (dns1123_subdomain, &["a.b", "a"], &["", "a..b", "a_b", ".a"]),
            (dns1035_label, &["a", "a1"], &["1a", "", "a-"]),
            (
                qualified_name,
                &["a", "a.b/c", "A_b"],
                &["", "/a", "a/", "a/b/c", "-a", "A.b/c"],
            ),
            (
                label_value,
                &["", "a", "A_b.c-d"],
                &["-", "a b", "a/b", &long],
            ),
            (
                config_map_key,
                &["a", ".a", "A_b"],
                &["", ".", "..", "..a", "a/b"],
            ),
            (
                port_name,
                &["http", "a1"],
                &["", "80", "a--b", "-a", "abcdefghijklmnop", "A"],
            ),
            (
                environment_variable,
                &["A", "a.b", "1A", "a b"],
                &["", "a=b", "\u{e9}"],
            ),
            (path_segment, &["system:x"], &["a/b", "..", "a%b"]),
        ];
        for (number, (check, good, bad)) in table.iter().enumerate() {
            for text in *good {
                assert!(
                    check(text).is_empty(),
                    "row {number}: {text:?}: {:?}",
                    check(text)
                );
            }
            for text in *bad {
                assert!(!check(text).is_empty(), "row {number}: {text:?} passed");
            }
        }
    }

    #[test]
    fn a_complaint_names_rule_and_examples() {
        assert_eq!(
            dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
              and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
              regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
    }
}
