//! Moments and lengths of time.

use jiff::{
    SignedDuration, Timestamp,
    civil::Weekday,
    tz::{Offset, TimeZone},
};

use super::{
    super::{eval::EvalError, value::Value},
    Row, no_overload,
};

type Out<'a> = Result<Value<'a>, EvalError>;

const PART: &str = "timestamp.()->int timestamp.(string)->int";
const PART_OR_LENGTH: &str = "timestamp.()->int timestamp.(string)->int duration.()->int";

pub(super) const FUNCTIONS: &[Row] = &[
    (
        "duration",
        "(string)->duration (duration)->duration (int)->duration",
        |values, _| match &values[0] {
            Value::Duration(_) => Ok(values[0].clone()),
            Value::Int(nanos) => Ok(Value::Duration(SignedDuration::from_nanos(*nanos))),
            Value::Str(text) => parse_go(text)
                .map(Value::Duration)
                .ok_or_else(|| EvalError::not_a("google.protobuf.Duration")),
            _ => no_overload(),
        },
    ),
    (
        "timestamp",
        "(string)->timestamp (timestamp)->timestamp (int)->timestamp",
        |values, _| match &values[0] {
            Value::Timestamp(_) => Ok(values[0].clone()),
            Value::Int(seconds) => Timestamp::from_second(*seconds)
                .map(Value::Timestamp)
                .map_err(|_| EvalError::new("timestamp overflow")),
            Value::Str(text) => text
                .parse()
                .map(Value::Timestamp)
                .map_err(|_| EvalError::not_a("google.protobuf.Timestamp")),
            _ => no_overload(),
        },
    ),
    ("getFullYear", PART, |values, _| {
        part(values, |at| i64::from(at.year()))
    }),
    ("getMonth", PART, |values, _| {
        part(values, |at| i64::from(at.month()) - 1)
    }),
    ("getDate", PART, |values, _| {
        part(values, |at| i64::from(at.day()))
    }),
    ("getDayOfMonth", PART, |values, _| {
        part(values, |at| i64::from(at.day()) - 1)
    }),
    ("getDayOfYear", PART, |values, _| {
        part(values, |at| i64::from(at.day_of_year()) - 1)
    }),
    ("getDayOfWeek", PART, |values, _| {
        part(values, |at| i64::from(at.weekday().since(Weekday::Sunday)))
    }),
    ("getHours", PART_OR_LENGTH, |values, _| {
        either(
            values,
            |length| length.as_secs() / 3600,
            |at| i64::from(at.hour()),
        )
    }),
    ("getMinutes", PART_OR_LENGTH, |values, _| {
        either(
            values,
            |length| length.as_secs() / 60,
            |at| i64::from(at.minute()),
        )
    }),
    ("getSeconds", PART_OR_LENGTH, |values, _| {
        either(
            values,
            |length| length.as_secs(),
            |at| i64::from(at.second()),
        )
    }),
    ("getMilliseconds", PART_OR_LENGTH, |values, _| {
        either(
            values,
            |length| i64::from(length.subsec_millis()),
            |at| i64::from(at.millisecond()),
        )
    }),
];

fn part<'a>(values: &[Value<'a>], read: impl Fn(&jiff::Zoned) -> i64) -> Out<'a> {
    let zone = match values.get(1) {
        None => TimeZone::UTC,
        Some(Value::Str(name)) => zone(name)?,
        Some(_) => return no_overload(),
    };
    match &values[0] {
        Value::Timestamp(at) => Ok(Value::Int(read(&at.to_zoned(zone)))),
        _ => no_overload(),
    }
}

fn either<'a>(
    values: &[Value<'a>],
    of_length: impl Fn(&SignedDuration) -> i64,
    of_moment: impl Fn(&jiff::Zoned) -> i64,
) -> Out<'a> {
    match &values[0] {
        Value::Duration(length) => Ok(Value::Int(of_length(length))),
        _ => part(values, of_moment),
    }
}

/// A name of the time zone database, or an offset as `+02:00`.
fn zone(name: &str) -> Result<TimeZone, EvalError> {
    let unknown = || EvalError::new(format!("unknown time zone {name}"));
    if let Some((hours, minutes)) = name.split_once(':') {
        let hours: i32 = hours.parse().map_err(|_| unknown())?;
        let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
        let sign = if name.starts_with('-') { -1 } else { 1 };
        let seconds = hours
            .saturating_mul(3600)
            .saturating_add(minutes.saturating_mul(60 * sign));
        return Offset::from_seconds(seconds)
            .map(TimeZone::fixed)
            .map_err(|_| unknown());
    }
    match name {
        "UTC" | "" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|_| unknown()),
    }
}

/// A length of time as schemas of the format `duration` allow it.
pub(in super::super) fn parse_duration(text: &str) -> Option<SignedDuration> {
    parse_go(text)
}

/// A moment as schemas of the formats `date` and `date-time` allow it.
pub(in super::super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    date.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// `1h30m`, as Go writes lengths of time.
fn parse_go(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(length);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 20 || fraction.contains('.') {
            return None;
        }
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let unit: i128 = match &tail[..end] {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        nanos = nanos.checked_add(whole.checked_mul(unit)?)?;
        let mut scale = unit;
        for digit in fraction.bytes().take(12) {
            scale /= 10;
            nanos = nanos.checked_add(i128::from(digit - b'0') * scale)?;
        }
        rest = &tail[end..];
    }
    let nanos = i64::try_from(if negative { -nanos } else { nanos }).ok()?;
    Some(SignedDuration::from_nanos(nanos))
}

/// A length of time as seconds, which is how CEL shows it.
pub(super) fn duration_text(length: SignedDuration) -> String {
    let nanos = length.as_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    let (seconds, fraction) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
    if fraction == 0 {
        return format!("{sign}{seconds}s");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{seconds}.{}s", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_go_writes_them() {
        let cases = [
            ("1h30m", Some("5400s")),
            ("1.5s", Some("1.5s")),
            ("-2ms", Some("-0.002s")),
            ("0", Some("0s")),
            (".5m", Some("30s")),
            ("1", None),
            ("s", None),
            ("1d", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse_go(text).map(duration_text).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
