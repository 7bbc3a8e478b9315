//! When and how far a volume grows by itself, as its claim's annotations say. Roles of virtual clusters have
//! fields of the same words ([`AutoGrow`](crate::director::cluster::AutoGrow)), which are written there.

use std::str::FromStr;

use crate::quantity::Quantity;
use jiff::SignedDuration;

/// The size that the volume never exceeds; with it a claim grows by itself.
pub const MAX: &str = "windlass.dev/auto-grow-max";
/// How full it is when it grows: `80%`.
pub const THRESHOLD: &str = "windlass.dev/auto-grow-threshold";
/// By how much: `20%` of its size, or `10Gi`.
pub const STEP: &str = "windlass.dev/auto-grow-step";
/// How long it does not grow again: `10m`, `6h`.
pub const COOL_DOWN: &str = "windlass.dev/auto-grow-cool-down";

/// When and how far a volume grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How full it is when it grows, in percent of its bytes or inodes; 80 by default.
    pub threshold: Percent,
    /// By how much; 20 % by default.
    pub step: Step,
    /// The size that it never exceeds, in bytes.
    pub max: u64,
    /// How long it does not grow again; without it what the driver needs.
    pub cool_down: Option<SignedDuration>,
}

/// A share, from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

/// By how much a volume grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Of its size.
    Share(Percent),
    /// So many bytes.
    Bytes(u64),
}

/// An annotation that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata.annotations[{annotation}] {problem}")]
pub struct PolicyError {
    /// Which one.
    pub annotation: &'static str,
    /// What is wrong with it, and what to write.
    pub problem: String,
}

impl Policy {
    /// Reads the annotations of a claim; nothing where they do not speak of growth.
    ///
    /// # Errors
    ///
    /// Names the first annotation that cannot be meant.
    pub fn of<'a>(
        annotation: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Option<Self>, PolicyError> {
        let Some(max) = annotation(MAX) else {
            return match [THRESHOLD, STEP, COOL_DOWN]
                .into_iter()
                .find(|it| annotation(it).is_some())
            {
                Some(annotation) => Err(PolicyError {
                    annotation,
                    problem: format!("says nothing without {MAX}: add it, or leave this out"),
                }),
                None => Ok(None),
            };
        };
        Ok(Some(Self {
            max: read(MAX, max, bytes)?,
            threshold: or(&annotation, THRESHOLD, Percent(80), |text| {
                text.parse().ok()
            })?,
            step: or(&annotation, STEP, Step::Share(Percent(20)), |text| {
                let share = text.parse().ok().map(Step::Share);
                share.or_else(|| bytes(text).map(Step::Bytes))
            })?,
            cool_down: annotation(COOL_DOWN)
                .map(|text| {
                    read(COOL_DOWN, text, |text| {
                        let duration: SignedDuration = text.parse().ok()?;
                        (!duration.is_negative()).then_some(duration)
                    })
                })
                .transpose()?,
        }))
    }
}

impl Percent {
    /// So much of an amount, rounded up.
    pub fn of(self, amount: u64) -> u64 {
        let product = u128::from(amount) * u128::from(self.0);
        u64::try_from(product.div_ceil(100)).unwrap_or(u64::MAX)
    }
}

impl FromStr for Percent {
    type Err = ();

    /// Reads `80%`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.strip_suffix('%').ok_or(())?;
        let number: u8 = number.parse().map_err(|_| ())?;
        (1..=100)
            .contains(&number)
            .then_some(Self(number))
            .ok_or(())
    }
}

fn or<'a, T>(
    annotation: &impl Fn(&'static str) -> Option<&'a str>,
    name: &'static str,
    otherwise: T,
    meant: impl Fn(&str) -> Option<T>,
) -> Result<T, PolicyError> {
    annotation(name).map_or(Ok(otherwise), |text| read(name, text, meant))
}

fn read<T>(
    annotation: &'static str,
    text: &str,
    meant: impl Fn(&str) -> Option<T>,
) -> Result<T, PolicyError> {
    meant(text).ok_or_else(|| PolicyError {
        annotation,
        problem: format!("is {text:?}: write {}", example(annotation)),
    })
}

/// What a text is to be that cannot be meant for this annotation; nothing where it can.
pub(crate) fn correction(annotation: &'static str, text: &str) -> Option<&'static str> {
    let read = Policy::of(|it| {
        if it == annotation {
            Some(text)
        } else {
            (it == MAX).then_some("1Gi")
        }
    });
    read.err().map(|_| example(annotation))
}

fn example(annotation: &str) -> &'static str {
    match annotation {
        MAX => "a size, for example 100Gi",
        THRESHOLD => "a share from 1% to 100%, for example 80%",
        STEP => "a share from 1% to 100% or a size, for example 20% or 10Gi",
        _ => "a time, for example 10m or 6h",
    }
}

/// A size of at least one byte.
fn bytes(text: &str) -> Option<u64> {
    let bytes = text.parse::<Quantity>().ok()?.units()?;
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}
