//! Semantic versions.

use std::cmp::Ordering;

use super::{
    super::{
        eval::{EvalError, Work},
        value::Value,
    },
    Row, no_overload,
};

/// `major.minor.patch-pre+build`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<String>,
}

pub(super) const FUNCTIONS: &[Row] = &[
    (
        "semver",
        "(string)->semver (string,bool)->semver",
        |values, work| {
            let (text, loose) = arguments(values, work)?;
            parse(text, loose)
                .map(|version| Value::Semver(version.into()))
                .ok_or_else(|| EvalError::new(format!("semver: invalid version {text}")))
        },
    ),
    (
        "isSemver",
        "(string)->bool (string,bool)->bool",
        |values, work| {
            let (text, loose) = arguments(values, work)?;
            Ok(Value::Bool(parse(text, loose).is_some()))
        },
    ),
    ("major", "semver.()->int", |values, _| number(values, 0)),
    ("minor", "semver.()->int", |values, _| number(values, 1)),
    ("patch", "semver.()->int", |values, _| number(values, 2)),
];

impl Semver {
    /// The order of versions; what comes before a release is less than it.
    pub(in super::super) fn compare(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre(&self.pre, &other.pre),
            }
        })
    }
}

fn compare_pre(a: &[String], b: &[String]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn arguments<'v>(values: &'v [Value<'_>], work: &mut Work) -> Result<(&'v str, bool), EvalError> {
    work.spend(values[0].weight())?;
    match values {
        [Value::Str(text)] => Ok((text, false)),
        [Value::Str(text), Value::Bool(loose)] => Ok((text, *loose)),
        _ => no_overload(),
    }
}

fn number<'a>(values: &[Value<'a>], index: usize) -> Result<Value<'a>, EvalError> {
    match &values[0] {
        Value::Semver(version) => Ok(Value::Int(version.numbers[index] as i64)),
        _ => no_overload(),
    }
}

/// Reads a version; a loose one may begin with `v` and leave parts out.
fn parse(text: &str, loose: bool) -> Option<Semver> {
    let text = if loose {
        text.trim().strip_prefix('v').unwrap_or(text.trim())
    } else {
        text
    };
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    let mut numbers = [0; 3];
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() > 3 || (parts.len() < 3 && !loose) {
        return None;
    }
    for (number, part) in numbers.iter_mut().zip(&parts) {
        let digits = part.chars().all(|c| c.is_ascii_digit());
        let leading_zero = part.len() > 1 && part.starts_with('0') && !loose;
        if !digits || leading_zero {
            return None;
        }
        *number = part.parse().ok()?;
    }
    let is_identifier = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let pre: Vec<String> = pre
        .map(|pre| pre.split('.').map(str::to_owned).collect())
        .unwrap_or_default();
    let well_formed = pre.iter().all(|part| {
        let number = part.chars().all(|c| c.is_ascii_digit());
        is_identifier(part) && !(number && part.len() > 1 && part.starts_with('0'))
    });
    let build_is_well_formed = build.is_none_or(|build| build.split('.').all(is_identifier));
    (well_formed && build_is_well_formed).then_some(Semver { numbers, pre })
}
