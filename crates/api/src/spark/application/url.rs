//! URLs under which what runs in a driver is reached, as templates.
//!
//! Law: a format that was read gives a URL for every application whose name fits into it; what a
//! long name makes too long is told when it is filled in.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use crate::names::{DnsLabel, DnsSubdomain, NameError};

/// A URL with `{{$appName}}`, `{{$appNamespace}}` and `{{$appId}}` in it, as the Kubeflow operator
/// has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlFormat {
    text: String,
    scheme: Option<Scheme>,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    AppName,
    AppNamespace,
    AppId,
}

/// How the browser talks to what answers at a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

/// What stands for the variables of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlValues<'a> {
    /// `{{$appName}}`: the name of the application.
    pub app_name: &'a str,
    /// `{{$appNamespace}}`: its namespace.
    pub app_namespace: &'a str,
    /// `{{$appId}}`: Spark's id of the attempt.
    pub app_id: &'a str,
}

/// A URL of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// As the format names it.
    pub scheme: Option<Scheme>,
    /// A DNS name.
    pub host: String,
    /// Where it is not that of the scheme.
    pub port: Option<u16>,
    /// Empty, or from its first slash to the last character that is none.
    pub path: String,
}

/// Why a text is no format of URLs, or does not give one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Only the web is served.
    #[error("begins with {0}://; begin with http://, https:// or the host")]
    Scheme(String),
    /// A variable nobody knows.
    #[error(
        "{{{{{0}}}}} is no variable; there are {{{{$appName}}}}, {{{{$appNamespace}}}} and \
         {{{{$appId}}}}"
    )]
    Variable(String),
    /// A variable that does not end.
    #[error("has {{{{ without }}}}; close it")]
    Open,
    /// The host is none.
    #[error("host {host:?} {error}")]
    Host {
        /// As it is after filling in.
        host: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// Routes go by name.
    #[error("host {0} is an address; give a DNS name, by which routes are told apart")]
    Address(String),
    /// The port is none.
    #[error("{0:?} is no port; give a number from 1 to 65535")]
    Port(String),
    /// The path has a character that URLs escape, or a query.
    #[error("the path may not hold {0:?}; give a plain path")]
    Path(char),
}

impl UrlFormat {
    /// The URL with these values.
    pub fn fill(&self, values: &UrlValues<'_>) -> Result<Url, UrlError> {
        let filled = values.join(&self.pieces);
        let (authority, path) = match filled.find('/') {
            Some(at) => filled.split_at(at),
            None => (filled.as_str(), ""),
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port_of(port)?)),
            None => (authority, None),
        };
        if host.parse::<IpAddr>().is_ok() {
            return Err(UrlError::Address(host.to_owned()));
        }
        // Kubernetes takes parts of any length; DNS does not.
        DnsSubdomain::new(host)
            .map(drop)
            .and_then(|()| {
                host.split('.')
                    .try_for_each(|it| DnsLabel::new(it).map(drop))
            })
            .map_err(|error| UrlError::Host {
                host: host.to_owned(),
                error,
            })?;
        if let Some(odd) = path.chars().find(|character| !is_plain(*character)) {
            return Err(UrlError::Path(odd));
        }
        Ok(Url {
            scheme: self.scheme,
            host: host.to_owned(),
            port,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

impl UrlValues<'_> {
    /// A text with the variables replaced; whatever else is in braces stays.
    pub fn fill_text(&self, text: &str) -> String {
        match pieces_of(text) {
            Ok(pieces) => self.join(&pieces),
            Err(_) => text.to_owned(),
        }
    }

    fn join(&self, pieces: &[Piece]) -> String {
        let filled = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::AppName => self.app_name,
            Piece::AppNamespace => self.app_namespace,
            Piece::AppId => self.app_id,
        });
        filled.collect()
    }
}

impl Url {
    /// The address for a browser; `usual` is the scheme where the format names none.
    pub fn address(&self, usual: Scheme) -> String {
        let scheme = match self.scheme.unwrap_or(usual) {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}{}", self.host, self.path)
    }
}

impl FromStr for UrlFormat {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some((name, rest)) if name.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
            Some((name, rest)) if name.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
            Some((name, _)) => return Err(UrlError::Scheme(name.to_owned())),
        };
        let format = Self {
            text: text.to_owned(),
            scheme,
            pieces: pieces_of(rest)?,
        };
        let example = UrlValues {
            app_name: "a",
            app_namespace: "a",
            app_id: "a",
        };
        format.fill(&example)?;
        Ok(format)
    }
}

impl fmt::Display for UrlFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn pieces_of(text: &str) -> Result<Vec<Piece>, UrlError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(UrlError::Open)?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(match name.trim() {
            "$appName" => Piece::AppName,
            "$appNamespace" => Piece::AppNamespace,
            "$appId" => Piece::AppId,
            other => return Err(UrlError::Variable(other.to_owned())),
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn port_of(text: &str) -> Result<u16, UrlError> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| UrlError::Port(text.to_owned()))
}

/// What the path of an HTTPRoute, which is the stricter of both, may hold.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: UrlValues<'_> = UrlValues {
        app_name: "pi",
        app_namespace: "jobs",
        app_id: "spark-0123",
    };

    #[test]
    fn a_format_gives_the_address_of_each_application() {
        for (format, usual, address) in [
            (
                "{{$appName}}.{{$appNamespace}}.spark.example.com",
                Scheme::Https,
                "https://pi.jobs.spark.example.com",
            ),
            (
                "http://spark.example.com:8080/{{ $appNamespace }}/{{$appName}}/",
                Scheme::Https,
                "http://spark.example.com:8080/jobs/pi",
            ),
            (
                "HTTPS://example.com/{{$appId}}",
                Scheme::Http,
                "https://example.com/spark-0123",
            ),
            ("example.com/", Scheme::Http, "http://example.com"),
        ] {
            let format: UrlFormat = format.parse().unwrap();
            assert_eq!(format.fill(&VALUES).unwrap().address(usual), address);
            assert_eq!(format.to_string().parse::<UrlFormat>(), Ok(format));
        }
    }

    #[test]
    fn what_gives_no_url_is_refused_with_the_reason() {
        let refused = [
            "",
            "/jobs/{{$appName}}",
            "ftp://example.com",
            "{{$appname}}.example.com",
            "{{$appName.example.com",
            "Example.com",
            "10.0.0.1/{{$appName}}",
            "example.com:http",
            "example.com:0",
            "example.com/a?b=c",
            "{{$appName}}_x.example.com",
        ];
        let told = refused.map(|text| {
            let error = text.parse::<UrlFormat>().unwrap_err();
            format!("{text:?}: {error}")
        });
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_name_that_is_too_long_for_its_place_is_told_when_it_is_filled_in() {
        let format: UrlFormat = "{{$appName}}-{{$appNamespace}}.example.com"
            .parse()
            .unwrap();
        let long = "x".repeat(60);
        let values = UrlValues {
            app_name: &long,
            ..VALUES
        };
        let error = format.fill(&values).unwrap_err().to_string();
        assert!(error.contains("at most 63"), "{error}");
    }

    #[test]
    fn texts_keep_what_is_no_variable() {
        assert_eq!(VALUES.fill_text("/{{$appName}}/(.*) $2"), "/pi/(.*) $2");
        assert_eq!(VALUES.fill_text("{{ .Values.x }}"), "{{ .Values.x }}");
    }
}
