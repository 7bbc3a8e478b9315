//! Names that Kubernetes accepts, as types, and the rule by which long ones are shortened.
//!
//! Laws: a value of one of these types is valid for as long as it lives; [`shorten`] is
//! deterministic, leaves what fits alone, and keeps different long names different; every name of
//! an attempt derives from [`AttemptId`], so that planning twice names the same objects.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The longest DNS label, label value and Service name.
pub const LABEL_MAX: usize = 63;
/// How much of a hash is put behind a shortened name.
const HASH_DIGITS: usize = 8;
/// The longest DNS subdomain and name of most objects.
pub const SUBDOMAIN_MAX: usize = 253;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("is empty; give it at least one character")]
    Empty,
    /// More characters than Kubernetes takes.
    #[error("has {length} characters but at most {max} are allowed; choose a shorter one")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        max: usize,
    },
    /// A character out of place.
    #[error("may hold {allowed}, not {found:?} at position {position}")]
    BadCharacter {
        /// What is allowed, in words.
        allowed: &'static str,
        /// The first character that is not.
        found: char,
        /// Where it is, counted from 1.
        position: usize,
    },
    /// The first or last character is of a kind that may only stand inside.
    #[error("must start with {start} and end with a letter or digit")]
    BadEdge {
        /// What the first character must be, in words.
        start: &'static str,
    },
}

/// What the characters of one kind of name may be.
struct Grammar {
    max: usize,
    allowed: &'static str,
    inside: fn(char) -> bool,
    first: fn(char) -> bool,
    start: &'static str,
    last: fn(char) -> bool,
}

impl Grammar {
    fn check(&self, text: &str) -> Result<(), NameError> {
        let length = text.chars().count();
        if length > self.max {
            return Err(NameError::TooLong {
                length,
                max: self.max,
            });
        }
        if let Some((at, found)) = text.chars().enumerate().find(|(_, c)| !(self.inside)(*c)) {
            return Err(NameError::BadCharacter {
                allowed: self.allowed,
                found,
                position: at + 1,
            });
        }
        match (text.chars().next(), text.chars().last()) {
            (Some(first), Some(last)) if (self.first)(first) && (self.last)(last) => Ok(()),
            (None, _) => Err(NameError::Empty),
            _ => Err(NameError::BadEdge { start: self.start }),
        }
    }
}

fn lower_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

const LABEL: Grammar = Grammar {
    max: LABEL_MAX,
    allowed: "lower-case letters, digits and '-'",
    inside: |c| lower_alphanumeric(c) || c == '-',
    first: lower_alphanumeric,
    start: "a lower-case letter or digit",
    last: lower_alphanumeric,
};

const SERVICE: Grammar = Grammar {
    first: |c| c.is_ascii_lowercase(),
    start: "a lower-case letter",
    ..LABEL
};

const VALUE: Grammar = Grammar {
    max: LABEL_MAX,
    allowed: "letters, digits, '-', '_' and '.'",
    inside: |c| alphanumeric(c) || matches!(c, '-' | '_' | '.'),
    first: alphanumeric,
    start: "a letter or digit",
    last: alphanumeric,
};

fn check_subdomain(text: &str) -> Result<(), NameError> {
    let length = text.chars().count();
    if length > SUBDOMAIN_MAX {
        return Err(NameError::TooLong {
            length,
            max: SUBDOMAIN_MAX,
        });
    }
    let unbounded = Grammar {
        max: usize::MAX,
        allowed: "lower-case letters, digits, '-' and '.'",
        ..LABEL
    };
    text.split('.').try_for_each(|label| unbounded.check(label))
}

fn check_value(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Ok(())
    } else {
        VALUE.check(text)
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes the text if it is valid.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(&text).map(|()| Self(text))
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// An RFC 1123 label: containers, volumes, namespaces.
    DnsLabel, |text| LABEL.check(text)
}
name_type! {
    /// An RFC 1035 label: Services, and SparkApplications, whose names become service names.
    ServiceName, |text| SERVICE.check(text)
}
name_type! {
    /// An RFC 1123 subdomain: pods, ConfigMaps, Secrets and most other objects.
    DnsSubdomain, check_subdomain
}
name_type! {
    /// The value of a label; may be empty.
    LabelValue, check_value
}

/// Checks the key of a label or annotation: an optional DNS prefix, a slash, and a name.
pub fn check_label_key(key: &str) -> Result<(), NameError> {
    match key.split_once('/') {
        Some((prefix, name)) => check_subdomain(prefix).and_then(|()| VALUE.check(name)),
        None => VALUE.check(key),
    }
}

/// Checks the name of an environment variable the way a pod's validation does since 1.32: any
/// printable ASCII character but `=`.
pub fn check_env_name(name: &str) -> Result<(), NameError> {
    let printable = Grammar {
        max: usize::MAX,
        allowed: "printable ASCII characters other than '='",
        inside: |c| (' '..='~').contains(&c) && c != '=',
        first: |_| true,
        start: "any allowed character",
        last: |_| true,
    };
    printable.check(name)
}

/// Cuts a name to `max` characters, replacing its end by a hash of the whole when it is longer.
///
/// What fits comes back unchanged. A shortened name ends in `-` and 8 hex digits; two names that
/// differ anywhere stay different.
pub fn shorten(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let hash = hash(name);
    let room = max.saturating_sub(HASH_DIGITS + 1);
    let head: String = name.chars().take(room).collect();
    let head = head.trim_end_matches(['-', '.', '_']);
    if head.is_empty() {
        hash
    } else {
        format!("{head}-{hash}")
    }
}

/// 8 hex digits that stand for a name.
pub fn hash(name: &str) -> String {
    hex(&Sha256::digest(name.as_bytes()), HASH_DIGITS)
}

/// What every name of one attempt of one object is made from: sha256 of `uid/attempt`.
///
/// It stands where Spark draws random numbers, so that a plan made twice makes the same objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptId(String);

impl AttemptId {
    const UNIQUE_DIGITS: usize = 16;
    const LONG_DIGITS: usize = 32;

    /// The id of the `attempt`-th attempt (counted from 1) of the object with this uid.
    pub fn new(uid: &str, attempt: u32) -> Self {
        let digest = Sha256::digest(format!("{uid}/{attempt}").as_bytes());
        Self(hex(&digest, Self::LONG_DIGITS))
    }

    /// 16 hex digits: Spark's unique id in the names of its objects.
    pub fn unique(&self) -> &str {
        &self.0[..Self::UNIQUE_DIGITS]
    }

    /// `spark-` and 32 hex digits: what Spark calls the application id.
    pub fn application_id(&self) -> String {
        format!("spark-{}", self.0)
    }

    /// The submission id, in the shape of a UUID as users of the API know it.
    pub fn submission_id(&self) -> String {
        let id = &self.0;
        format!(
            "{}-{}-{}-{}-{}",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..]
        )
    }
}

fn hex(bytes: &[u8], digits: usize) -> String {
    let digit = |index: usize| {
        let byte = u32::from(bytes[index / 2]);
        let nibble = if index.is_multiple_of(2) {
            byte >> 4
        } else {
            byte & 0xf
        };
        char::from_digit(nibble, 16).unwrap_or_default()
    };
    (0..digits.min(bytes.len() * 2)).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_told_valid_or_not_with_the_reason() {
        let long = "a".repeat(64);
        let cases: [(&str, Result<(), &str>); 10] = [
            ("spark-pi", Ok(())),
            ("", Err("is empty; give it at least one character")),
            (
                "2024-report",
                Err("must start with a lower-case letter and end with a letter or digit"),
            ),
            (
                "a-",
                Err("must start with a lower-case letter and end with a letter or digit"),
            ),
            (
                "Spark",
                Err("may hold lower-case letters, digits and '-', not 'S' at position 1"),
            ),
            (
                "a.b",
                Err("may hold lower-case letters, digits and '-', not '.' at position 2"),
            ),
            (
                "a_b",
                Err("may hold lower-case letters, digits and '-', not '_' at position 2"),
            ),
            (
                "é",
                Err("may hold lower-case letters, digits and '-', not 'é' at position 1"),
            ),
            (
                &long,
                Err("has 64 characters but at most 63 are allowed; choose a shorter one"),
            ),
            ("a", Ok(())),
        ];
        for (name, expected) in cases {
            let found = ServiceName::new(name)
                .map(|_| ())
                .map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{name:?}");
        }
    }

    #[test]
    fn each_kind_of_name_has_its_own_grammar() {
        assert!(DnsLabel::new("0a").is_ok());
        assert!(DnsSubdomain::new("a.b-c.0").is_ok());
        assert!(DnsSubdomain::new("a..b").is_err());
        assert!(DnsSubdomain::new("a".repeat(254)).is_err());
        assert!(LabelValue::new("").is_ok());
        assert!(LabelValue::new("A_b.c-1").is_ok());
        assert!(LabelValue::new("-a").is_err());
        assert!(check_label_key("sparkoperator.k8s.io/app-name").is_ok());
        assert!(check_label_key("Bad_/x").is_err());
        assert!(check_env_name("MY.VAR-1").is_ok());
        assert!(check_env_name("A=B").is_err());
    }

    #[test]
    fn an_invalid_name_does_not_decode() {
        assert!(serde_json::from_str::<DnsLabel>("\"Not Valid\"").is_err());
        assert_eq!(
            serde_json::to_string(&DnsLabel::new("ok").unwrap()).unwrap(),
            "\"ok\""
        );
    }

    #[test]
    fn ids_of_an_attempt_are_stable() {
        let id = AttemptId::new("0b6b1f3e-7f0a-4a39-9a5b-0d3f2f2b8a11", 1);
        insta::assert_snapshot!(format!(
            "{} {} {}",
            id.unique(),
            id.application_id(),
            id.submission_id()
        ));
        assert_ne!(
            id,
            AttemptId::new("0b6b1f3e-7f0a-4a39-9a5b-0d3f2f2b8a11", 2)
        );
    }

    proptest! {
        #[test]
        fn a_shortened_name_is_valid_and_tells_its_original_apart(
            a in "[a-z][a-z0-9-]{0,120}[a-z0-9]",
            b in "[a-z][a-z0-9-]{0,120}[a-z0-9]",
        ) {
            let (short_a, short_b) = (shorten(&a, LABEL_MAX), shorten(&b, LABEL_MAX));
            prop_assert!(ServiceName::new(short_a.clone()).is_ok(), "{}", short_a);
            prop_assert_eq!(shorten(&short_a, LABEL_MAX), short_a.clone());
            prop_assert_eq!(a == b, short_a == short_b);
        }
    }
}
