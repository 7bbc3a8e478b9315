//! Typed reading of Spark settings, with the rules of Spark's `ConfigEntry`.

use std::collections::BTreeMap;

use windlass_api::jvm::Unit;

use super::profile::Profile;
use super::request::Client;
use super::{Conf, SubmitError, defaults, defaults::Fallback, memory};

/// Keys that Spark still reads when the newer key is not set.
const ALTERNATIVES: [(&str, &str); 4] = [
    (
        "spark.driver.memoryOverhead",
        "spark.yarn.driver.memoryOverhead",
    ),
    (
        "spark.executor.memoryOverhead",
        "spark.yarn.executor.memoryOverhead",
    ),
    ("spark.kerberos.keytab", "spark.yarn.keytab"),
    ("spark.kerberos.principal", "spark.yarn.principal"),
];

/// Settings and what their values may refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    conf: &'a Conf,
    client: &'a Client,
    profile: Profile,
}

impl<'a> Settings<'a> {
    pub(super) fn new(conf: &'a Conf, client: &'a Client, profile: Profile) -> Self {
        Self {
            conf,
            client,
            profile,
        }
    }

    /// The value as it was written, or that of the key's deprecated name.
    pub(super) fn raw(&self, key: &str) -> Option<&'a str> {
        let alternative = || {
            let (_, older) = ALTERNATIVES.iter().find(|(newer, _)| *newer == key)?;
            self.conf.get(*older)
        };
        self.conf.get(key).or_else(alternative).map(String::as_str)
    }

    /// The value with `${...}` expanded.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, SubmitError> {
        self.raw(key)
            .map(|value| self.expand(key, value, &mut Vec::new()))
            .transpose()
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool, SubmitError> {
        let Some(text) = self.text(key)? else {
            return Ok(default);
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(SubmitError::setting(
                key,
                format!("{text:?} is neither true nor false"),
            )),
        }
    }

    /// A port, from a setting that Spark reads without trimming.
    pub(super) fn port(&self, key: &str) -> Result<Option<u16>, SubmitError> {
        self.raw(key).map(|text| port(key, text)).transpose()
    }

    /// A port, from a setting that Spark trims and expands.
    pub(super) fn entry_port(&self, key: &str) -> Result<Option<u16>, SubmitError> {
        self.text(key)?
            .map(|text| port(key, text.trim()))
            .transpose()
    }

    pub(super) fn double(&self, key: &str) -> Result<Option<f64>, SubmitError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        // Java's notation allows a type suffix.
        let digits = text.trim().trim_end_matches(['d', 'D', 'f', 'F']);
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(SubmitError::setting(
                key,
                format!("{text:?} is not a number"),
            )),
        }
    }

    pub(super) fn mib(&self, key: &str) -> Result<Option<i64>, SubmitError> {
        self.text(key)?
            .map(|text| {
                memory::mib(text.trim(), &self.profile)
                    .map_err(|error| SubmitError::setting(key, format!("{text:?} {error}")))
            })
            .transpose()
    }

    /// A size, of which a bare number counts bytes.
    pub(super) fn bytes(&self, key: &str) -> Result<Option<i64>, SubmitError> {
        self.text(key)?
            .map(|text| {
                let size = memory::read(text.trim(), Unit::Byte, &self.profile)
                    .map_err(|error| SubmitError::setting(key, format!("{text:?} {error}")))?;
                Ok(i64::try_from(size.bytes()).unwrap_or(i64::MAX))
            })
            .transpose()
    }

    /// A whole number.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i32>, SubmitError> {
        self.text(key)?
            .map(|text| {
                text.trim().parse().map_err(|_| {
                    SubmitError::setting(key, format!("{text:?} is not a whole number"))
                })
            })
            .transpose()
    }

    /// A list separated by commas; blanks around the elements and empty ones do not count.
    pub(super) fn list(&self, key: &str) -> Result<Vec<String>, SubmitError> {
        Ok(self
            .text(key)?
            .map(|text| elements(&text))
            .unwrap_or_default())
    }

    /// The settings below a prefix, by the rest of their keys, values as written.
    pub(super) fn below(&self, prefix: &str) -> BTreeMap<&'a str, &'a str> {
        self.conf
            .range(prefix.to_owned()..)
            .map_while(|(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
            .collect()
    }

    /// What a reference to a setting stands for: its value as written, else its default.
    fn referenced(&self, key: &str) -> Option<&'a str> {
        let written = |key: &str| self.conf.get(key).map(String::as_str);
        written(key).or_else(|| match defaults::of(key, &self.profile)? {
            Fallback::Text(text) => Some(text),
            Fallback::ValueOf(other) => self.referenced(other),
        })
    }

    /// Spark's variables: `${spark.x}`, `${env:X}` and, of `${system:x}`, what is known here.
    /// What has no value stays as it is.
    fn expand(&self, key: &str, text: &str, open: &mut Vec<String>) -> Result<String, SubmitError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(length) = rest[start..].find('}') else {
                break;
            };
            let reference = &rest[start..=start + length];
            let name = &reference[2..reference.len() - 1];
            out.push_str(&rest[..start]);
            rest = &rest[start + length + 1..];
            if open.iter().any(|outer| outer == name) {
                return Err(SubmitError::setting(
                    key,
                    format!("{reference} refers to itself: break the circle"),
                ));
            }
            let (prefix, plain) = name.split_once(':').unwrap_or(("", name));
            let value = match prefix {
                "" if plain.starts_with("spark.") => self.referenced(plain),
                "env" => self.client.env.get(plain).map(String::as_str),
                "system" if plain == "user.name" => Some(self.client.user.as_str()),
                _ => None,
            };
            match value {
                Some(value) => {
                    open.push(name.to_owned());
                    out.push_str(&self.expand(key, value, open)?);
                    open.pop();
                }
                None => out.push_str(reference),
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The elements of a list as Spark reads it.
pub(super) fn elements(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(str::to_owned)
        .collect()
}

fn port(key: &str, text: &str) -> Result<u16, SubmitError> {
    let refused = |reason: &str| Err(SubmitError::setting(key, format!("{text:?} {reason}")));
    match text.parse::<i64>() {
        Ok(0) => refused(
            "means a port drawn at random, which the Service of the driver cannot name: choose a fixed port",
        ),
        Ok(number) => match u16::try_from(number) {
            Ok(port) => Ok(port),
            Err(_) => refused("is not a port: choose one from 1 to 65535"),
        },
        Err(_) => refused("is not a port number"),
    }
}
