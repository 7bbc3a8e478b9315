//! How many members a role may have.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many members a role may have: `3` is exactly three, `1+` at least one, `0+` any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// So many.
    Exactly(u32),
    /// So many or more.
    AtLeast(u32),
}

/// Why a text is no cardinality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a number of members such as 3, or a least one such as 1+")]
pub struct CardinalityError;

impl Cardinality {
    /// The least number of members.
    pub const fn minimum(self) -> u32 {
        match self {
            Self::Exactly(count) | Self::AtLeast(count) => count,
        }
    }

    /// Whether a role may have so many.
    pub const fn allows(self, members: u32) -> bool {
        match self {
            Self::Exactly(count) => members == count,
            Self::AtLeast(count) => members >= count,
        }
    }
}

impl FromStr for Cardinality {
    type Err = CardinalityError;

    fn from_str(text: &str) -> Result<Self, CardinalityError> {
        let (digits, open) = match text.strip_suffix('+') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        // What Rust reads as a number may begin with a sign.
        if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
            return Err(CardinalityError);
        }
        let count = digits.parse().map_err(|_| CardinalityError)?;
        Ok(if open {
            Self::AtLeast(count)
        } else {
            Self::Exactly(count)
        })
    }
}

impl fmt::Display for Cardinality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{count}"),
            Self::AtLeast(count) => write!(f, "{count}+"),
        }
    }
}

/// A cardinality as it was written. Its pattern is the CRD's, so what is stored is right but for its
/// size; what else is written is told by validation, and no reason not to read the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CardinalityText(String);

impl CardinalityText {
    /// A cardinality that is written like this.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it says.
    ///
    /// # Errors
    /// When it is no cardinality.
    pub fn read(&self) -> Result<Cardinality, CardinalityError> {
        self.0.parse()
    }
}

impl From<Cardinality> for CardinalityText {
    fn from(cardinality: Cardinality) -> Self {
        Self(cardinality.to_string())
    }
}

impl JsonSchema for CardinalityText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cardinality".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^\d+\+?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_exact_and_a_plus_leaves_room() {
        use Cardinality::{AtLeast, Exactly};
        for (text, expected) in [
            ("3", Ok(Exactly(3))),
            ("0", Ok(Exactly(0))),
            ("1+", Ok(AtLeast(1))),
            ("0+", Ok(AtLeast(0))),
            ("007+", Ok(AtLeast(7))),
            ("", Err(CardinalityError)),
            ("+", Err(CardinalityError)),
            ("+1", Err(CardinalityError)),
            ("-1", Err(CardinalityError)),
            ("1++", Err(CardinalityError)),
            ("1 +", Err(CardinalityError)),
            ("99999999999", Err(CardinalityError)),
        ] {
            assert_eq!(text.parse::<Cardinality>(), expected, "{text:?}");
        }
        assert!(Exactly(3).allows(3) && !Exactly(3).allows(4));
        assert!(AtLeast(1).allows(4) && !AtLeast(1).allows(0));
        assert_eq!(format!("{} {}", Exactly(3), AtLeast(1)), "3 1+");
    }
}
