//! Resource quantities (`500m`, `1Gi`, `1e3`): exact parsing, comparison and canonical text.

use std::fmt;

/// An exact quantity in units of 10⁻⁹, with the notation it was written in.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nano: i128,
    notation: Notation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    BinarySi,
    DecimalSi,
    DecimalExponent,
}

/// A text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not match the grammar.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The suffix is none of the known ones.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// The number cannot be read.
    #[error("unable to parse numeric part of quantity")]
    Number,
}

const NANO: i128 = 1_000_000_000;
/// Binary quantities are capped at 2⁶³-1 units, as upstream caps them.
const MAX_BINARY: i128 = i64::MAX as i128 * NANO;
/// Everything is capped where its sums still fit: about 4 × 10²⁸ units.
const MAX: i128 = i128::MAX / 4;

impl Quantity {
    /// Parses a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
            None => return Err(QuantityError::Format),
        };
        let digits_end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let no_digits = whole.is_empty() && fraction.is_empty();
        if no_digits || fraction.contains('.') || !has_suffix_form(suffix) {
            return Err(QuantityError::Format);
        }
        let (scale, notation) = parse_suffix(suffix)?;
        let nano = scaled(whole, fraction, scale).ok_or(QuantityError::Number)?;
        let capped = match notation {
            Notation::BinarySi => nano.min(MAX_BINARY),
            Notation::DecimalSi | Notation::DecimalExponent => nano,
        };
        Ok(Self {
            nano: if negative { -capped } else { capped },
            notation,
        })
    }

    /// The value rounded up (away from zero) to whole units.
    pub fn units(self) -> i64 {
        i64::try_from(round_away(self.nano, NANO)).unwrap_or(i64::MAX)
    }

    /// The value rounded up (away from zero) to thousandths.
    pub fn milli_units(self) -> i64 {
        i64::try_from(round_away(self.nano, NANO / 1000)).unwrap_or(i64::MAX)
    }

    /// Whether the quantity is below zero.
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// Whether the quantity is zero.
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// So many whole units.
    pub fn of_units(units: i64) -> Self {
        Self {
            nano: i128::from(units) * NANO,
            notation: Notation::DecimalSi,
        }
    }

    /// The value in whole units, if it is one.
    pub fn whole(self) -> Option<i64> {
        if self.nano % NANO == 0 {
            i64::try_from(self.nano / NANO).ok()
        } else {
            None
        }
    }

    /// The nearest floating point number.
    pub fn approximate(self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// The difference, in this quantity's notation unless this is zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self {
            nano: -other.nano,
            notation: other.notation,
        })
    }

    /// The sum, in this quantity's notation unless this is zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let notation = if self.nano == 0 {
            other.notation
        } else {
            self.notation
        };
        let nano = self.nano.saturating_add(other.nano).clamp(-MAX, MAX);
        Self { nano, notation }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.nano.unsigned_abs();
        if magnitude == 0 {
            return f.write_str("0");
        }
        if self.nano < 0 {
            f.write_str("-")?;
        }
        let nano = NANO as u128;
        // Binary notation has no fractions and starts at 1Ki; everything else falls back to decimal.
        if self.notation == Notation::BinarySi
            && magnitude.is_multiple_of(nano)
            && magnitude >= 1024 * nano
        {
            let mut number = magnitude / nano;
            let mut power = 0;
            while number.is_multiple_of(1024) && power < BINARY.len() - 1 {
                number /= 1024;
                power += 1;
            }
            return write!(f, "{number}{}", BINARY[power]);
        }
        let mut number = magnitude;
        let mut exponent = -9;
        while number.is_multiple_of(1000) && exponent < 18 {
            number /= 1000;
            exponent += 3;
        }
        if self.notation == Notation::DecimalExponent {
            return match exponent {
                0 => write!(f, "{number}"),
                other => write!(f, "{number}e{other}"),
            };
        }
        let suffix = DECIMAL
            .iter()
            .find(|(_, power)| *power == exponent)
            .map_or("", |(s, _)| *s);
        write!(f, "{number}{suffix}")
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] = [
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

#[derive(Debug, Clone, Copy)]
enum Scale {
    TwoTo(u32),
    TenTo(i32),
}

fn parse_suffix(suffix: &str) -> Result<(Scale, Notation), QuantityError> {
    if let Some((_, power)) = DECIMAL.iter().find(|(text, _)| *text == suffix) {
        return Ok((Scale::TenTo(*power), Notation::DecimalSi));
    }
    if let Some(power) = BINARY.iter().position(|text| *text == suffix) {
        return Ok((Scale::TwoTo(power as u32 * 10), Notation::BinarySi));
    }
    match suffix.strip_prefix(['e', 'E']).map(str::parse::<i32>) {
        Some(Ok(power)) => Ok((Scale::TenTo(power), Notation::DecimalExponent)),
        _ => Err(QuantityError::Suffix),
    }
}

/// Whether a suffix looks like one: letters, then an optional sign and digits.
fn has_suffix_form(suffix: &str) -> bool {
    let exponent = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `whole.fraction × scale` in 10⁻⁹ units, rounded up; values beyond the cap saturate.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> Option<i128> {
    // Nothing below 10⁻⁹ survives but as a rounding, whatever the suffix makes of it.
    let kept = fraction.get(..fraction.len().min(60))?;
    let lost = fraction.len() > kept.len() && fraction.bytes().any(|digit| digit != b'0');
    let digits = format!("{whole}{kept}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(i128::from(lost));
    }
    if digits.len() > 160 {
        return Some(MAX);
    }
    let fraction = kept;
    let places = fraction.len() as i32;
    let (binary, ten) = match scale {
        Scale::TwoTo(power) => (power, 0),
        Scale::TenTo(power) => (0, power),
    };
    let exponent = ten.saturating_sub(places).saturating_add(9);
    let mut number = Wide::parse(digits)?;
    if exponent > 40 {
        return Some(MAX);
    }
    number.shift_left(binary);
    if exponent >= 0 {
        for _ in 0..exponent {
            number.times_ten();
        }
        return Some(number.capped());
    }
    let mut inexact = lost;
    for _ in 0..exponent.unsigned_abs().min(300) {
        inexact |= number.divide_by_ten() != 0;
    }
    Some(number.capped().saturating_add(i128::from(inexact)).min(MAX))
}

/// Just enough of a wide unsigned integer for exact scaling.
struct Wide(Vec<u32>);

impl Wide {
    fn parse(digits: &str) -> Option<Self> {
        let mut number = Self(Vec::new());
        for digit in digits.chars() {
            number.multiply_add(10, digit.to_digit(10)?);
        }
        Some(number)
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            let value = u64::from(*limb) * u64::from(factor) + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn times_ten(&mut self) {
        self.multiply_add(10, 0);
    }

    fn shift_left(&mut self, bits: u32) {
        for _ in 0..bits / 10 {
            self.multiply_add(1024, 0);
        }
    }

    fn divide_by_ten(&mut self) -> u32 {
        let mut remainder = 0_u64;
        for limb in self.0.iter_mut().rev() {
            let value = (remainder << 32) | u64::from(*limb);
            *limb = (value / 10) as u32;
            remainder = value % 10;
        }
        remainder as u32
    }

    fn capped(&self) -> i128 {
        let mut value = 0_i128;
        for limb in self.0.iter().rev() {
            if value > i128::MAX >> 34 {
                return MAX;
            }
            value = (value << 32) | i128::from(*limb);
        }
        value.min(MAX)
    }
}

fn round_away(value: i128, unit: i128) -> i128 {
    let quotient = value / unit;
    match value % unit {
        0 => quotient,
        rest if rest < 0 => quotient - 1,
        _ => quotient + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_quantities_read_and_print_the_same() {
        let text = include_bytes!("../testdata/quantities.json");
        let rows: Vec<serde_json::Value> = serde_json::from_slice(text).unwrap();
        for row in &rows {
            let parsed = Quantity::parse(row["text"].as_str().unwrap());
            match (parsed, row["error"].as_str()) {
                (Err(error), Some(expected)) => assert_eq!(error.to_string(), expected, "{row}"),
                (Ok(quantity), None) => {
                    assert_eq!(row["shown"], quantity.to_string(), "{row}");
                    if let Some(units) = row["units"].as_str() {
                        assert_eq!(quantity.units().to_string(), units, "{row}");
                        assert_eq!(row["milli"], quantity.milli_units().to_string(), "{row}");
                    }
                }
                (parsed, _) => panic!("{row}: {parsed:?}"),
            }
        }
    }

    mod laws {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn what_is_printed_reads_back_as_the_same(
                number in -1_000_000_i64..1_000_000,
                suffix in "(n|u|m|k|M|G|Ki|Mi|Gi|e3|e-3)?",
            ) {
                let quantity = Quantity::parse(&format!("{number}{suffix}")).unwrap();
                let shown = quantity.to_string();
                let again = Quantity::parse(&shown).unwrap();
                prop_assert_eq!(quantity, again);
                prop_assert_eq!(shown, again.to_string());
            }

            #[test]
            fn no_text_makes_parsing_panic(text in "[-+0-9.eEKMGiumn]{0,200}") {
                let _ = Quantity::parse(&text);
            }
        }
    }
}
