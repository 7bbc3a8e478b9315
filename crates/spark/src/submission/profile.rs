//! What differs between Spark's minor versions at submission.

use std::fmt;
use std::str::FromStr;

/// A version of Spark as users write it: `4.3.0`, `3.5`, `4.1.0-preview1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    text: String,
}

impl SparkVersion {
    /// The version as it was written; the value of the label `spark-version`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SparkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text is not a version of Spark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Spark version: write it like 4.3.0 or 3.5")]
pub struct ParseVersionError(String);

impl FromStr for SparkVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseVersionError(text.to_owned());
        let mut parts = text.splitn(3, '.');
        let number = |part: Option<&str>| part.and_then(|p| p.parse().ok()).ok_or_else(refused);
        let major = number(parts.next())?;
        let minor_text = parts.next();
        let minor = number(minor_text.map(|p| p.split('-').next().unwrap_or(p)))?;
        let label = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !label || text.len() > 63 || !text.ends_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(refused());
        }
        Ok(Self {
            major,
            minor,
            text: text.to_owned(),
        })
    }
}

/// The rules of one minor version where they differ from the others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The minor version these are the rules of, `3.5`.
    pub minor: &'static str,
}

const PROFILES: [((u32, u32), Profile); 6] = [
    ((3, 4), Profile { minor: "3.4" }),
    ((3, 5), Profile { minor: "3.5" }),
    ((4, 0), Profile { minor: "4.0" }),
    ((4, 1), Profile { minor: "4.1" }),
    ((4, 2), Profile { minor: "4.2" }),
    ((4, 3), Profile { minor: "4.3" }),
];

impl Profile {
    /// The rules for a version, and whether they are exactly its own.
    pub fn of(version: &SparkVersion) -> (Self, bool) {
        let asked = (version.major, version.minor);
        let below = PROFILES.iter().rev().find(|(minor, _)| *minor <= asked);
        match below {
            Some((minor, profile)) => (*profile, *minor == asked),
            None => (PROFILES[0].1, false),
        }
    }
}
