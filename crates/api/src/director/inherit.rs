//! What a part of an application may have of its own, take from the default, or do without.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field whose absence and whose null mean different things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inheritable<T> {
    /// The field is absent: the default holds.
    #[default]
    Inherited,
    /// The field is null: there is none, whatever the default.
    Nothing,
    /// The field is given.
    Given(T),
}

impl<T> Inheritable<T> {
    /// Whether the field is absent.
    pub const fn is_inherited(&self) -> bool {
        matches!(self, Self::Inherited)
    }

    /// What the field itself has.
    pub const fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Inherited | Self::Nothing => None,
        }
    }

    /// This where it is not absent, else the default.
    #[must_use]
    pub fn or(self, default: Self) -> Self {
        if self.is_inherited() { default } else { self }
    }
}

/// Meant for fields that are left out when they are [`Inheritable::Inherited`].
impl<T: Serialize> Serialize for Inheritable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.given().serialize(serializer)
    }
}

/// Meant for fields with a default: a field that is there is null or given.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Inheritable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(value) => Self::Given(value),
            None => Self::Nothing,
        })
    }
}

impl<T: JsonSchema> JsonSchema for Inheritable<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}
