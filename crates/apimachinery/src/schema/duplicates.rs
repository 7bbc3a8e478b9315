//! Keys that occur twice in JSON text. A parsed [`serde_json::Value`] no longer shows them.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::field::quote;

/// The keys that occur twice in one JSON object of `text`, as `duplicate field "spec.foo"`.
///
/// Text that is not JSON has no duplicates: the decoder reports it.
pub fn duplicate_fields(text: &[u8]) -> Vec<String> {
    let mut walk = Walk {
        path: String::new(),
        found: Vec::new(),
    };
    let mut decoder = serde_json::Deserializer::from_slice(text);
    match (&mut walk).deserialize(&mut decoder) {
        Ok(()) => walk.found,
        Err(_) => Vec::new(),
    }
}

struct Walk {
    path: String,
    found: Vec<String>,
}

impl<'de> DeserializeSeed<'de> for &mut Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if !seen.insert(key) {
                let complaint = format!("duplicate field {}", quote(&self.path));
                if !self.found.contains(&complaint) {
                    self.found.push(complaint);
                }
            }
            map.next_value_seed(&mut *self)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let length = self.path.len();
        for index in 0.. {
            // Writing to a String cannot fail.
            let _ = write!(self.path, "[{index}]");
            let item = list.next_element_seed(&mut *self)?;
            self.path.truncate(length);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_ignored_any(IgnoredAny).map(|_| ())
    }
}
