//! Sizes as the JVM side of Spark writes them: `512m`, `2g`, `1024`.
//!
//! These are not Kubernetes quantities: `m` means MiB, not thousandths; `Gi` does not exist; a
//! bare number counts in the unit of the setting, which for memory is MiB. Laws: parsing accepts
//! exactly what Spark accepts; [`Memory::mib`] rounds down, as Spark does.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A number of bytes, read from Spark's notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Memory {
    bytes: u64,
}

/// The unit that a bare number counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Single bytes.
    Byte,
    /// 1024 bytes.
    Kib,
    /// 1024 KiB: the unit of Spark's memory settings.
    Mib,
    /// 1024 MiB.
    Gib,
    /// 1024 GiB.
    Tib,
    /// 1024 TiB.
    Pib,
}

impl Unit {
    /// How many bytes one of it is.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::Kib => 1 << 10,
            Self::Mib => 1 << 20,
            Self::Gib => 1 << 30,
            Self::Tib => 1 << 40,
            Self::Pib => 1 << 50,
        }
    }

    fn of_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "b" => Self::Byte,
            "k" | "kb" => Self::Kib,
            "m" | "mb" => Self::Mib,
            "g" | "gb" => Self::Gib,
            "t" | "tb" => Self::Tib,
            "p" | "pb" => Self::Pib,
            _ => return None,
        })
    }
}

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// No number, or something between number and unit.
    #[error("is not a JVM memory size; write a whole number and a unit, for example 512m or 2g")]
    Malformed,
    /// Spark reads whole numbers only.
    #[error(
        "is a fraction, which Spark does not read; use the next smaller unit, for example 1536m for 1.5g"
    )]
    Fraction,
    /// Another unit than Spark knows.
    #[error("has the unit {unit:?}, which Spark does not know; use one of b, k, m, g, t, p")]
    UnknownUnit {
        /// The unit that was given.
        unit: String,
    },
    /// A Kubernetes quantity was given where Spark reads its own notation.
    #[error("is a Kubernetes quantity but Spark reads JVM sizes here; write {instead}")]
    Quantity {
        /// The same size in Spark's notation.
        instead: String,
    },
    /// More bytes than can be counted.
    #[error("is larger than Spark can count; the largest is 8191p")]
    TooLarge,
}

impl Memory {
    /// Reads a size; a bare number counts in `bare`.
    pub fn parse(text: &str, bare: Unit) -> Result<Self, MemoryError> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        if number.is_empty() {
            return Err(MemoryError::Malformed);
        }
        if let Some(fraction) = suffix.strip_prefix('.') {
            let well_formed = fraction.starts_with(|c: char| c.is_ascii_digit());
            return Err(if well_formed {
                MemoryError::Fraction
            } else {
                MemoryError::Malformed
            });
        }
        let unit = if suffix.is_empty() {
            bare
        } else {
            Unit::of_suffix(suffix).ok_or_else(|| unknown_suffix(number, suffix))?
        };
        let count: u64 = number.parse().map_err(|_| MemoryError::TooLarge)?;
        let bytes = count
            .checked_mul(unit.bytes())
            .ok_or(MemoryError::TooLarge)?;
        if i64::try_from(bytes).is_err() {
            return Err(MemoryError::TooLarge);
        }
        Ok(Self { bytes })
    }

    /// A size of whole MiB.
    pub const fn from_mib(mib: u32) -> Self {
        Self {
            bytes: mib as u64 * Unit::Mib.bytes(),
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// The size in MiB, rounded down.
    pub const fn mib(self) -> u64 {
        self.bytes / Unit::Mib.bytes()
    }
}

fn unknown_suffix(number: &str, suffix: &str) -> MemoryError {
    let binary = suffix
        .strip_suffix('i')
        .filter(|unit| Unit::of_suffix(unit).is_some());
    match binary {
        Some(unit) => MemoryError::Quantity {
            instead: format!("{number}{unit}"),
        },
        None if suffix.chars().all(|c| c.is_ascii_alphabetic()) => MemoryError::UnknownUnit {
            unit: suffix.to_owned(),
        },
        None => MemoryError::Malformed,
    }
}

impl FromStr for Memory {
    type Err = MemoryError;

    /// Reads a memory setting: a bare number counts MiB.
    fn from_str(text: &str) -> Result<Self, MemoryError> {
        Self::parse(text, Unit::Mib)
    }
}

impl fmt::Display for Memory {
    /// The largest unit that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(Unit, &str); 5] = [
            (Unit::Pib, "p"),
            (Unit::Tib, "t"),
            (Unit::Gib, "g"),
            (Unit::Mib, "m"),
            (Unit::Kib, "k"),
        ];
        let whole = |(unit, _): &&(Unit, &str)| {
            self.bytes >= unit.bytes() && self.bytes.is_multiple_of(unit.bytes())
        };
        match UNITS.iter().find(whole) {
            Some((unit, suffix)) => write!(f, "{}{suffix}", self.bytes / unit.bytes()),
            None => write!(f, "{}b", self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_spark_reads_them() {
        let kib = |n: u64| Ok(n * 1024);
        let cases: [(&str, Result<u64, &str>); 19] = [
            ("512m", kib(512 * 1024)),
            ("512", kib(512 * 1024)),
            ("2G", kib(2 * 1024 * 1024)),
            (" 1gb ", kib(1024 * 1024)),
            ("1t", kib(1 << 30)),
            ("3k", kib(3)),
            ("7b", Ok(7)),
            ("1p", kib(1 << 40)),
            ("0", Ok(0)),
            ("1.5g", Err("fraction")),
            ("1.g", Err("not a JVM memory size")),
            ("", Err("not a JVM memory size")),
            ("g", Err("not a JVM memory size")),
            ("-1g", Err("not a JVM memory size")),
            ("1 g", Err("not a JVM memory size")),
            ("2Gi", Err("write 2g")),
            ("2x", Err("does not know")),
            ("9999999p", Err("larger than Spark can count")),
            ("99999999999999999999", Err("larger than Spark can count")),
        ];
        for (text, expected) in cases {
            match (text.parse::<Memory>(), expected) {
                (Ok(found), Ok(bytes)) => assert_eq!(found.bytes(), bytes, "{text:?}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text:?}: {error}");
                }
                (found, _) => panic!("{text:?} gave {found:?}"),
            }
        }
    }

    #[test]
    fn less_than_a_mebibyte_counts_as_none() {
        assert_eq!("1023k".parse::<Memory>().unwrap().mib(), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in 0_u64..=(i64::MAX as u64)) {
            let memory = Memory { bytes };
            prop_assert_eq!(memory.to_string().parse::<Memory>().unwrap(), memory);
        }
    }
}
