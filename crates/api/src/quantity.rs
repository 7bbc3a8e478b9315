//! Kubernetes quantities: `500m` CPU, `1536Mi` memory.
//!
//! A value is held exactly, in billionths, with the notation it was written in. Laws: anything
//! finer than a billionth rounds away from zero (who asks for a little gets something); binary
//! values saturate at 2^63-1; two quantities are equal when their values are, whatever their
//! notation; the text form is canonical: the largest suffix that needs no fraction.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// An exact amount with the notation it was written in.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    notation: Notation,
}

/// Which family of suffixes a quantity is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notation {
    /// `1e3`, `5e-3`.
    Exponent,
    /// `Ki`, `Mi`, `Gi`, ...
    Binary,
    /// `m`, `k`, `M`, `G`, ...
    Decimal,
}

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// No digits, or characters where none may be.
    #[error("is not a quantity; write a number and a suffix, for example 500m, 2 or 1Gi")]
    Malformed,
    /// A suffix outside of the three families.
    #[error(
        "has the suffix {suffix:?}, which is none of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent"
    )]
    UnknownSuffix {
        /// The suffix that was given.
        suffix: String,
    },
    /// The amount cannot be held exactly.
    #[error("is larger or has more digits than can be counted")]
    OutOfRange,
}

const NANOS_PER_ONE: i128 = 1_000_000_000;
const BINARY_MAX: i128 = i64::MAX as i128 * NANOS_PER_ONE;
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL_SUFFIXES: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self {
        nanos: 0,
        notation: Notation::Decimal,
    };

    /// A whole number, written with decimal suffixes.
    pub const fn from_units(units: i64) -> Self {
        Self {
            nanos: units as i128 * NANOS_PER_ONE,
            notation: Notation::Decimal,
        }
    }

    /// Thousandths, as CPU shares are counted.
    pub const fn from_millis(millis: i64) -> Self {
        Self {
            nanos: millis as i128 * (NANOS_PER_ONE / 1000),
            notation: Notation::Decimal,
        }
    }

    /// Bytes, written with binary suffixes.
    pub const fn from_bytes(bytes: i64) -> Self {
        Self {
            nanos: bytes as i128 * NANOS_PER_ONE,
            notation: Notation::Binary,
        }
    }

    /// The notation it is written in.
    pub const fn notation(&self) -> Notation {
        self.notation
    }

    /// The amount in billionths.
    pub const fn nanos(&self) -> i128 {
        self.nanos
    }

    /// The amount in whole units, rounded away from zero; `None` beyond 64 bits.
    pub fn units(&self) -> Option<i64> {
        i64::try_from(divide_away_from_zero(self.nanos, NANOS_PER_ONE)).ok()
    }

    /// The amount in thousandths, rounded away from zero; `None` beyond 64 bits.
    pub fn millis(&self) -> Option<i64> {
        i64::try_from(divide_away_from_zero(self.nanos, NANOS_PER_ONE / 1000)).ok()
    }

    /// Whether the amount is less than nothing.
    pub const fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The sum, in the notation of the first summand unless that is zero; `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let notation = if self.nanos == 0 {
            other.notation
        } else {
            self.notation
        };
        Some(Self {
            nanos: self.nanos.checked_add(other.nanos)?,
            notation,
        })
    }

    /// The difference, in the notation of the first number unless that is zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let notation = if self.nanos == 0 {
            other.notation
        } else {
            self.notation
        };
        Some(Self {
            nanos: self.nanos.checked_sub(other.nanos)?,
            notation,
        })
    }
}

fn divide_away_from_zero(value: i128, by: i128) -> i128 {
    let rest = value % by;
    value / by + rest.signum()
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

// ---- reading ----

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = split_digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Malformed);
        }
        let (scale, mut notation) = read_suffix(suffix)?;
        let number = Decimal { whole, fraction };
        let magnitude = match scale {
            Scale::Ten(exponent) => number.times_power_of_ten(exponent)?,
            Scale::Two(bits) => number.times_power_of_two(bits)?,
        };
        if notation == Notation::Binary && 0 < magnitude && magnitude < NANOS_PER_ONE {
            // Less than one byte cannot be shown with a binary suffix.
            notation = Notation::Decimal;
        }
        Ok(Self {
            nanos: if negative { -magnitude } else { magnitude },
            notation,
        })
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

enum Scale {
    Ten(i32),
    Two(u32),
}

fn read_suffix(suffix: &str) -> Result<(Scale, Notation), QuantityError> {
    if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(known, _)| *known == suffix) {
        return Ok((Scale::Ten(*exponent), Notation::Decimal));
    }
    if let Some(power) = BINARY_SUFFIXES.iter().position(|known| *known == suffix) {
        return Ok((Scale::Two(10 * power as u32), Notation::Binary));
    }
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
        let exponent = exponent.parse().map_err(|_| QuantityError::Malformed)?;
        return Ok((Scale::Ten(exponent), Notation::Exponent));
    }
    if suffix.chars().all(|c| c.is_ascii_alphabetic()) {
        return Err(QuantityError::UnknownSuffix {
            suffix: suffix.to_owned(),
        });
    }
    Err(QuantityError::Malformed)
}

/// The digits of a number without sign, before and after the point.
struct Decimal<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl Decimal<'_> {
    /// In billionths, what is finer rounded up.
    fn times_power_of_ten(&self, exponent: i32) -> Result<i128, QuantityError> {
        let digits = format!("{}{}", self.whole, self.fraction);
        let shift = i64::from(exponent) + 9 - self.fraction.len() as i64;
        if shift >= 0 {
            let digits = read_digits(&digits)?;
            let power = u32::try_from(shift)
                .ok()
                .and_then(|shift| 10_i128.checked_pow(shift));
            return match (digits, power) {
                (0, _) => Ok(0),
                (digits, Some(power)) => digits.checked_mul(power).ok_or(QuantityError::OutOfRange),
                (_, None) => Err(QuantityError::OutOfRange),
            };
        }
        let dropped = usize::try_from(-shift)
            .unwrap_or(usize::MAX)
            .min(digits.len());
        let (kept, lost) = digits.split_at(digits.len() - dropped);
        Ok(read_digits(kept)? + i128::from(lost.bytes().any(|digit| digit != b'0')))
    }

    /// In billionths, what is finer rounded up, and no more than 2^63-1 units.
    fn times_power_of_two(&self, bits: u32) -> Result<i128, QuantityError> {
        let fraction_digits = self.fraction.len() as u32;
        let scaled = (|| {
            let digits = read_digits(&format!("{}{}", self.whole, self.fraction)).ok()?;
            let (factor, divisor) = match fraction_digits {
                0..=9 => (10_i128.pow(9 - fraction_digits), 1),
                more => (1, 10_i128.checked_pow(more - 9)?),
            };
            let product = digits.checked_mul(1 << bits)?.checked_mul(factor)?;
            Some(divide_away_from_zero(product, divisor))
        })();
        match scaled {
            Some(nanos) => Ok(nanos.min(BINARY_MAX)),
            None if fraction_digits <= 9 => Ok(BINARY_MAX),
            None => Err(QuantityError::OutOfRange),
        }
    }
}

fn read_digits(digits: &str) -> Result<i128, QuantityError> {
    if digits.is_empty() {
        Ok(0)
    } else {
        digits.parse().map_err(|_| QuantityError::OutOfRange)
    }
}

// ---- writing ----

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos % NANOS_PER_ONE == 0;
        let units = self.nanos / NANOS_PER_ONE;
        match self.notation {
            // Small or broken numbers of bytes would lose precision in powers of 1024.
            Notation::Binary if whole && units.abs() >= 1024 => write_binary(f, units),
            Notation::Exponent => {
                let (mantissa, exponent) = self.mantissa_and_exponent(i32::MAX);
                match exponent {
                    0 => write!(f, "{mantissa}"),
                    _ => write!(f, "{mantissa}e{exponent}"),
                }
            }
            Notation::Binary | Notation::Decimal => {
                let (mantissa, exponent) = self.mantissa_and_exponent(18);
                let suffix = DECIMAL_SUFFIXES
                    .iter()
                    .find(|(_, power)| *power == exponent);
                write!(f, "{mantissa}{}", suffix.map_or("", |(suffix, _)| suffix))
            }
        }
    }
}

impl Quantity {
    /// The shortest mantissa whose exponent is a multiple of three.
    fn mantissa_and_exponent(&self, largest: i32) -> (i128, i32) {
        let (mut mantissa, mut exponent) = (self.nanos, -9);
        while mantissa % 1000 == 0 && exponent < largest {
            mantissa /= 1000;
            exponent += 3;
        }
        (mantissa, exponent)
    }
}

fn write_binary(f: &mut fmt::Formatter<'_>, units: i128) -> fmt::Result {
    let (mut mantissa, mut power) = (units, 0);
    while mantissa % 1024 == 0 && power + 1 < BINARY_SUFFIXES.len() {
        mantissa /= 1024;
        power += 1;
    }
    write!(f, "{mantissa}{}", BINARY_SUFFIXES[power])
}

// ---- as JSON: a string, and a number is accepted ----

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            other => return Err(de::Error::custom(format!("{other} is not a quantity"))),
        };
        text.parse()
            .map_err(|error| de::Error::custom(format!("{text:?} {error}")))
    }
}

#[cfg(test)]
#[path = "quantity_tests.rs"]
mod tests;
