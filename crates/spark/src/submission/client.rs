//! Paths and URIs of the client's machine, as Spark understands them.

use std::path::Path;

use super::request::Client;
use super::{SubmitError, uri};

/// The scheme of a URI, if the text has one.
pub(crate) fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut chars = scheme.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then_some(scheme)
}

/// Whether only the client can read this resource.
pub(super) fn is_client_local(uri: &str) -> bool {
    matches!(scheme(uri), None | Some("file"))
}

/// A URI for what may be a plain path: the path becomes an absolute `file:` URI. What is not
/// quite a URI is a path, however much it looks like one.
pub(crate) fn resolve_uri(text: &str, current_dir: &str) -> String {
    let (path, fragment) = match text.split_once('#') {
        _ if !uri::is_valid(text) => (text, None),
        _ if scheme(text).is_some() => return text.to_owned(),
        Some((path, fragment)) => (path, Some(fragment)),
        None => (text, None),
    };
    let path = encode(&absolute(path, current_dir));
    match fragment {
        Some(fragment) => format!("file:{path}#{fragment}"),
        None => format!("file:{path}"),
    }
}

/// Escapes what a URI's path cannot hold, as Java does when it makes a URI of a file.
pub(super) fn encode(path: &str) -> String {
    escape_these(path, " \"%<>[]^`{|}#?\\")
}

/// Escapes what no part of a URI can hold.
pub(super) fn escape(uri: &str) -> String {
    escape_these(uri, " \"<>[]^`{|}\\")
}

fn escape_these(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() || special.contains(c) {
            out.push_str(&format!("%{:02X}", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

/// Undoes [`encode`]; an escape that is not UTF-8 stays as it is.
fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        let escape = (bytes[position] == b'%')
            .then(|| path.get(position + 1..position + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escape.unwrap_or(bytes[position]));
        position += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| path.to_owned())
}

/// The URIs of a list in an option. Unlike in settings, blanks are part of what is between commas.
pub(crate) fn resolve_uris(list: &str, current_dir: &str) -> String {
    let uris: Vec<String> = list
        .split(',')
        .filter(|element| !element.trim().is_empty())
        .map(|element| resolve_uri(element, current_dir))
        .collect();
    uris.join(",")
}

/// The path of a `file:` URI.
pub(crate) fn path_of(uri: &str) -> String {
    let rest = uri.strip_prefix("file:").unwrap_or(uri);
    let path = match rest.strip_prefix("//") {
        Some(after) => after.find('/').map_or("/", |root| &after[root..]),
        None => rest,
    };
    decode(path.split('#').next().unwrap_or(path))
}

/// The path of a file Spark reads at submission; `local:` means the client here.
pub(super) fn local_path(key: &str, file: &str) -> Result<String, SubmitError> {
    match scheme(file) {
        // The fragment of a URI says nothing here.
        None if uri::is_valid(file) => Ok(file.split('#').next().unwrap_or(file).to_owned()),
        None => Ok(file.to_owned()),
        Some("file") => Ok(path_of(file)),
        Some("local") => Ok(path_of(&format!("file{}", &file["local".len()..]))),
        Some(other) => Err(SubmitError::setting(
            key,
            format!(
                "{file:?} is read at submission, and {other}: cannot be read here: give a local file"
            ),
        )),
    }
}

/// The content of a client's file as text.
pub(super) fn read_text(client: &Client, key: &str, path: &str) -> Result<String, SubmitError> {
    let bytes = read(client, key, path)?;
    String::from_utf8(bytes).map_err(|_| SubmitError::File {
        key: key.to_owned(),
        path: path.to_owned(),
        reason: "it is not UTF-8 text".to_owned(),
    })
}

/// The content of a client's file.
pub(super) fn read(client: &Client, key: &str, path: &str) -> Result<Vec<u8>, SubmitError> {
    require_files(client, key, path)?;
    let file = absolute(path, &client.files.current_dir());
    client
        .files
        .read(Path::new(&file))
        .map_err(|error| SubmitError::File {
            key: key.to_owned(),
            path: path.to_owned(),
            reason: error.to_string(),
        })
}

/// Refuses a local path when there is no client whose path it could be.
pub(super) fn require_files(client: &Client, key: &str, path: &str) -> Result<(), SubmitError> {
    if client.files.available() {
        return Ok(());
    }
    Err(SubmitError::setting(
        key,
        format!(
            "{path:?} is a local file, and there is no client whose file it could be: put it into \
             the image (local:///...), a volume or a remote store (s3a://..., https://...)"
        ),
    ))
}

/// An absolute path without `.` and `..`.
pub(crate) fn absolute(path: &str, current_dir: &str) -> String {
    let from = if path.starts_with('/') {
        ""
    } else {
        current_dir
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_file_uris() {
        for (text, uri) in [
            ("a.jar", "file:/work/a.jar"),
            ("../b/./c.jar", "file:/b/c.jar"),
            ("/x/y.txt#alias", "file:/x/y.txt#alias"),
            // A blank makes it no URI, and so the alias a part of the name.
            ("/x/y z.txt#alias", "file:/x/y%20z.txt%23alias"),
            ("local:///opt/a.jar", "local:///opt/a.jar"),
            ("s3a://b/c", "s3a://b/c"),
            ("file:///x", "file:///x"),
        ] {
            assert_eq!(resolve_uri(text, "/work"), uri);
        }
        assert_eq!(resolve_uris("a, ,local:///b", "/w"), "file:/w/a,local:///b");
    }

    #[test]
    fn the_path_of_a_file_uri_is_found() {
        for (uri, path) in [
            ("file:/a/b", "/a/b"),
            ("file:///a/b#c", "/a/b"),
            ("file://host/a", "/a"),
            ("file:/a%20b%25", "/a b%"),
            ("/a", "/a"),
        ] {
            assert_eq!(path_of(uri), path);
        }
    }
}
