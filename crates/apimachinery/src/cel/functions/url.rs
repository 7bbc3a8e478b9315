//! URLs, read as Go's `url.ParseRequestURI` reads them.

use super::{
    super::{
        eval::{EvalError, Work},
        value::Value,
    },
    Row, no_overload,
};

/// The parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub(in super::super) text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

pub(super) const FUNCTIONS: &[Row] = &[
    ("url", "(string)->url", |values, work| match &values[0] {
        Value::Str(text) => {
            work.spend(values[0].weight())?;
            parse(text)
                .map(|url| Value::Url(url.into()))
                .map_err(|why| {
                    EvalError::new(format!(
                        "URL parse error during conversion from string: {why}"
                    ))
                })
        }
        _ => no_overload(),
    }),
    ("isURL", "(string)->bool", |values, work| match &values[0] {
        Value::Str(text) => {
            work.spend(values[0].weight())?;
            Ok(Value::Bool(parse(text).is_ok()))
        }
        _ => no_overload(),
    }),
    ("getScheme", "url.()->string", |values, work| {
        part(values, work, |url| url.scheme.clone())
    }),
    ("getHost", "url.()->string", |values, work| {
        part(values, work, |url| url.host.clone())
    }),
    ("getHostname", "url.()->string", |values, work| {
        part(values, work, |url| url.host_and_port().0.to_owned())
    }),
    ("getPort", "url.()->string", |values, work| {
        part(values, work, |url| url.host_and_port().1.to_owned())
    }),
    ("getEscapedPath", "url.()->string", |values, work| {
        part(values, work, |url| url.path.clone())
    }),
    ("getQuery", "url.()->map(string,list(string))", query),
];

fn part<'a>(
    values: &[Value<'a>],
    _: &mut Work,
    read: impl Fn(&Url) -> String,
) -> Result<Value<'a>, EvalError> {
    match &values[0] {
        Value::Url(url) => Ok(Value::text(read(url))),
        _ => no_overload(),
    }
}

fn query<'a>(values: &[Value<'a>], _: &mut Work) -> Result<Value<'a>, EvalError> {
    let Value::Url(url) = &values[0] else {
        return no_overload();
    };
    let mut found: Vec<(String, Vec<Value<'a>>)> = Vec::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (unescape(key), Value::text(unescape(value)));
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, list)) => list.push(value),
            None => found.push((key, vec![value])),
        }
    }
    let entries = found
        .into_iter()
        .map(|(key, list)| (Value::text(key), Value::list(list)))
        .collect::<Vec<_>>();
    Ok(Value::Map(super::super::value::Map::Made(entries.into())))
}

impl Url {
    fn host_and_port(&self) -> (&str, &str) {
        let after_bracket = self.host.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match self.host[after_bracket..].rfind(':') {
            Some(at) => (
                &self.host[..after_bracket + at],
                &self.host[after_bracket + at + 1..],
            ),
            None => (self.host.as_str(), ""),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        (host, port)
    }
}

/// Reads an absolute URL or an absolute path.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let quoted = crate::field::quote(text);
    let wrong = |why: &str| format!("parse {quoted}: {why}");
    if text.is_empty() {
        return Err(wrong("empty url"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!(
            "parse {quoted}: net/url: invalid control character in URL"
        ));
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        Some(("", _)) => return Err(wrong("missing protocol scheme")),
        _ => (String::new(), text),
    };
    if !rest.starts_with('/') {
        return Err(wrong("invalid URI for request"));
    }
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() => {
            let end = rest.find('/').unwrap_or(rest.len());
            rest.split_at(end)
        }
        _ => ("", rest),
    };
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    check_host(host).map_err(|why| wrong(&why))?;
    check_escapes(path).map_err(|why| wrong(&why))?;
    Ok(Url {
        text: text.to_owned(),
        scheme,
        host: host.to_owned(),
        path: path.replace(' ', "%20"),
        query: query.to_owned(),
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn check_host(host: &str) -> Result<(), String> {
    let port = if host.starts_with('[') {
        let Some(end) = host.rfind(']') else {
            return Err("missing ']' in host".to_owned());
        };
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let proper =
        (port.is_empty() || port.starts_with(':')) && digits.chars().all(|c| c.is_ascii_digit());
    if !proper {
        let quoted = crate::field::quote(port);
        return Err(format!("invalid port {quoted} after host"));
    }
    match host.chars().find(|c| " <>\"`{}|\\^".contains(*c)) {
        Some(c) => {
            let quoted = crate::field::quote(&c.to_string());
            Err(format!("invalid character {quoted} in host name"))
        }
        None => check_escapes(host),
    }
}

fn check_escapes(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('%') {
        let digits = text.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() < 2 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            let shown: String = text[at..].chars().take(3).collect();
            return Err(format!(
                "invalid URL escape {}",
                crate::field::quote(&shown)
            ));
        }
    }
    Ok(())
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
