//! Durations as Go writes them: `1h30m`, `1.5h`, `90s`.

/// The nanoseconds of a second.
pub(super) const SECOND: i64 = 1_000_000_000;

/// The nanoseconds that a text stands for.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = nanoseconds(unit)?;
        let number = |digits: &str| match digits {
            "" => Some(0),
            digits => digits.parse::<i128>().ok(),
        };
        sum = sum.checked_add(number(whole)?.checked_mul(unit)?)?;
        // No unit is finer than a nanosecond, so more digits than these change nothing.
        let fraction = fraction.get(..fraction.len().min(18))?;
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        sum = sum.checked_add(number(fraction)?.checked_mul(unit)? / scale)?;
        rest = after;
    }
    let sum = i64::try_from(sum).ok()?;
    Some(if negative { -sum } else { sum })
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn nanoseconds(unit: &str) -> Option<i128> {
    let second = i128::from(SECOND);
    match unit {
        "ns" => Some(1),
        "us" | "µs" | "μs" => Some(second / 1_000_000),
        "ms" => Some(second / 1000),
        "s" => Some(second),
        "m" => Some(60 * second),
        "h" => Some(3600 * second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("1s", Some(SECOND)),
            ("1h30m", Some(5400 * SECOND)),
            ("1.5h", Some(5400 * SECOND)),
            (".5m", Some(30 * SECOND)),
            ("1.s", Some(SECOND)),
            ("+2ms", Some(SECOND / 500)),
            ("-1m", Some(-60 * SECOND)),
            ("3µs4ns", Some(3004)),
            ("", None),
            ("-", None),
            ("10", None),
            ("1d", None),
            (".s", None),
            ("1 h", None),
            ("99999999999999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
