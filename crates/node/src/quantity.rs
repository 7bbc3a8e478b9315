//! Kubernetes quantities, as far as a node needs them: amounts to compare and divide.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Billionths, so that every suffix is a whole number.
const NANO: i128 = 1_000_000_000;

/// An amount in billionths; `None` when the text is not a quantity.
pub(crate) fn nanos(quantity: &Quantity) -> Option<i128> {
    let text = quantity.0.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+' || c == '-'));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let whole: i128 = match whole.trim_start_matches(['+', '-']) {
        "" if !fraction.is_empty() => 0,
        digits => digits.parse().ok()?,
    };
    let mut amount = whole.checked_mul(NANO)?;
    if !fraction.is_empty() {
        let padded = format!("{:0<9}", &fraction[..fraction.len().min(9)]);
        amount += padded.parse::<i128>().ok()?;
    }
    let (factor, divisor) = scale(suffix)?;
    let scaled = amount.checked_mul(factor)? / divisor;
    Some(if negative { -scaled } else { scaled })
}

/// The amount in whole units, rounded up as Kubernetes does.
pub(crate) fn units(quantity: &Quantity) -> Option<u64> {
    u64::try_from(ceil(nanos(quantity)?, NANO)).ok()
}

/// The amount in thousandths, rounded up.
pub(crate) fn millis(quantity: &Quantity) -> Option<u64> {
    u64::try_from(ceil(nanos(quantity)?, NANO / 1000)).ok()
}

/// The amount divided by another, rounded up: what a `resourceFieldRef` shows.
pub(crate) fn divided(amount: i128, divisor: i128) -> i128 {
    if divisor <= 0 {
        amount
    } else {
        ceil(amount, divisor)
    }
}

fn ceil(amount: i128, divisor: i128) -> i128 {
    amount.div_euclid(divisor) + i128::from(amount.rem_euclid(divisor) != 0)
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (NANO, 1),
        "T" => (1000 * NANO, 1),
        "P" => (1_000_000 * NANO, 1),
        "E" => (NANO * NANO, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            let power: i32 = digits.parse().ok()?;
            let factor = 10_i128.checked_pow(power.unsigned_abs())?;
            if power >= 0 { (factor, 1) } else { (1, factor) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_every_notation() {
        let table = [
            ("1", Some(1000)),
            ("500m", Some(500)),
            ("0.1", Some(100)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("2k", Some(2_000_000)),
            ("1e3", Some(1_000_000)),
            ("100n", Some(1)),
            ("abc", None),
            ("1Zi", None),
        ];
        for (text, expected) in table {
            assert_eq!(millis(&Quantity(text.to_owned())), expected, "{text}");
        }
        assert_eq!(units(&Quantity("1433Mi".to_owned())), Some(1_502_609_408));
    }
}
