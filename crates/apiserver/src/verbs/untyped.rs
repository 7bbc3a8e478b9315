//! Items of lists of built-in kinds do not say what they are: the list does.

/// Appends the text of an object without its `apiVersion` and `kind`. The text is what
/// `serde_json` writes: no white space, and no field twice.
pub(super) fn append(to: &mut Vec<u8>, object: &[u8]) {
    let Some(fields) = object.strip_prefix(b"{") else {
        to.extend_from_slice(object);
        return;
    };
    to.push(b'{');
    let mut rest = fields;
    let mut first = true;
    let mut left = 2;
    while left > 0 && rest.first() == Some(&b'"') {
        let end = end_of_field(rest);
        let (field, behind) = rest.split_at(end);
        if field.starts_with(b"\"apiVersion\":") || field.starts_with(b"\"kind\":") {
            left -= 1;
        } else {
            if !first {
                to.push(b',');
            }
            first = false;
            to.extend_from_slice(field);
        }
        rest = behind.strip_prefix(b",").unwrap_or(behind);
    }
    if !first && rest.first() == Some(&b'"') {
        to.push(b',');
    }
    to.extend_from_slice(rest);
}

/// Where the field at the beginning of this text ends.
fn end_of_field(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b',' if depth == 0 => return at,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_version_go_and_the_rest_stays() {
        let cases = [
            ("{}", "{}"),
            (r#"{"apiVersion":"v1","kind":"Pod"}"#, "{}"),
            (
                r#"{"apiVersion":"v1","kind":"Pod","metadata":{"kind":"x"}}"#,
                r#"{"metadata":{"kind":"x"}}"#,
            ),
            (
                r#"{"apiVersion":"v1","data":{"a":"},\"kind\":\\","kind":"b"},"kind":"C","z":[1,{"q":2}]}"#,
                r#"{"data":{"a":"},\"kind\":\\","kind":"b"},"z":[1,{"q":2}]}"#,
            ),
            (r#"{"data":{},"kind":"C"}"#, r#"{"data":{}}"#),
            (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        ];
        for (object, expected) in cases {
            let mut text = Vec::new();
            append(&mut text, object.as_bytes());
            assert_eq!(String::from_utf8_lossy(&text), expected, "{object}");
        }
    }
}
