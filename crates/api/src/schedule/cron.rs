//! The five fields of cron, and the walk to the next time they match.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// How far ahead a time is looked for: a 29th of February may be eight years away.
const YEARS: i16 = 10;
const MINUTE: i64 = 60;

/// Which times match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

/// The numbers that a field matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set {
    bits: u64,
    /// Whether it was written as `*` or `?`. Two day fields that both restrict are alternatives.
    unrestricted: bool,
}

/// A field of an expression.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names of the numbers, from the least on.
    names: &'static [&'static str],
}

const MINUTES: Field = Field {
    name: "minute",
    least: 0,
    most: 59,
    names: &[],
};
const HOURS: Field = Field {
    name: "hour",
    least: 0,
    most: 23,
    names: &[],
};
const DAYS: Field = Field {
    name: "day of month",
    least: 1,
    most: 31,
    names: &[],
};
const MONTHS: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAYS: Field = Field {
    name: "day of week",
    least: 0,
    most: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// The days that each month can have.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Why a text is not five fields of cron.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Too few or too many fields.
    #[error("has {0} fields but must have five: minute, hour, day of month, month and day of week")]
    Count(usize),
    /// A field that is not understood.
    #[error("has {given:?} as {field}; {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// The part of it that is wrong.
        given: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A day that no month has.
    #[error("never happens: none of its months has one of its days; correct day of month or month")]
    Never,
}

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(CronError::Count(fields.len()));
        };
        let cron = Self {
            minutes: MINUTES.parse(minutes)?,
            hours: HOURS.parse(hours)?,
            days: DAYS.parse(days)?,
            months: MONTHS.parse(months)?,
            weekdays: WEEKDAYS.parse(weekdays)?,
        };
        if cron.ever_happens() {
            Ok(cron)
        } else {
            Err(CronError::Never)
        }
    }

    /// Two restricted day fields are alternatives, and every month has every weekday.
    fn ever_happens(&self) -> bool {
        let by_weekday = !self.weekdays.unrestricted && !self.days.unrestricted;
        by_weekday
            || (1..=12).zip(LENGTHS).any(|(month, length)| {
                self.months.has(month) && (1..=length).any(|day| self.days.has(day))
            })
    }

    /// The first matching time after `after`.
    pub(super) fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let mut at = plus(after, 1)?;
        let last_year = zone.to_datetime(at).year().saturating_add(YEARS);
        loop {
            let local = zone.to_datetime(at);
            if local.year() > last_year {
                return None;
            }
            let to_the_minute = MINUTE - i64::from(local.second());
            let step = if !self.months.has(local.month()) {
                until_midnight(
                    zone,
                    at,
                    local.date().last_of_month().tomorrow().ok()?.into(),
                )
            } else if !self.matches_day(local) {
                until_midnight(zone, at, local.date().tomorrow().ok()?.into())
            } else if !self.hours.has(local.hour()) {
                to_the_minute + MINUTE * (59 - i64::from(local.minute()))
            } else if local.second() != 0 || !self.minutes.has(local.minute()) {
                to_the_minute
            } else {
                return Some(at);
            };
            let then = plus(at, step.max(to_the_minute))?;
            // What the clock shows beyond a change of the zone is looked at, not computed.
            at = match zone.following(at).next().map(|change| change.timestamp()) {
                Some(change) if change < then => change,
                _ => then,
            };
        }
    }

    #[cfg(test)]
    pub(super) fn matches(&self, local: DateTime) -> bool {
        self.months.has(local.month())
            && self.matches_day(local)
            && self.hours.has(local.hour())
            && self.minutes.has(local.minute())
    }

    fn matches_day(&self, local: DateTime) -> bool {
        let day = self.days.has(local.day());
        let weekday = self.weekdays.has(local.weekday().to_sunday_zero_offset());
        if self.days.unrestricted || self.weekdays.unrestricted {
            day && weekday
        } else {
            day || weekday
        }
    }
}

/// The seconds from `at` to a midnight; less than none where the clock goes back over it.
fn until_midnight(zone: &TimeZone, at: Timestamp, midnight: DateTime) -> i64 {
    zone.to_timestamp(midnight)
        .map_or(0, |midnight| midnight.as_second() - at.as_second())
}

/// Whole seconds only: the parts of seconds of `time` are dropped.
fn plus(time: Timestamp, seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(time.as_second().checked_add(seconds)?).ok()
}

impl Set {
    fn has(self, number: impl TryInto<u32>) -> bool {
        number
            .try_into()
            .is_ok_and(|number: u32| self.bits & (1 << number) != 0)
    }
}

impl Field {
    /// A list of ranges, of which empty ones are passed over.
    fn parse(&self, text: &str) -> Result<Set, CronError> {
        let mut set = Set {
            bits: 0,
            unrestricted: false,
        };
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let found = self.range(range)?;
            set.bits |= found.bits;
            set.unrestricted |= found.unrestricted;
        }
        if set.bits == 0 {
            return Err(self.wrong(text, "give a number, a range or *"));
        }
        Ok(set)
    }

    /// `*`, `N`, `N-M`, each possibly with `/step`.
    fn range(&self, text: &str) -> Result<Set, CronError> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.step(text, step)?)),
            None => (text, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (self.least, self.most),
            Some((first, last)) => (self.number(text, first)?, self.number(text, last)?),
            None if step.is_some() => (self.number(text, range)?, self.most),
            None => {
                let only = self.number(text, range)?;
                (only, only)
            }
        };
        if first > last {
            return Err(self.wrong(text, "its beginning is beyond its end; swap them"));
        }
        let step = step.unwrap_or(1);
        let numbers = (first..=last).step_by(step);
        Ok(Set {
            bits: numbers.fold(0, |bits, number| bits | (1 << number)),
            unrestricted: matches!(range, "*" | "?") && step == 1,
        })
    }

    fn step(&self, text: &str, step: &str) -> Result<usize, CronError> {
        match step.parse() {
            Ok(step) if step > 0 => Ok(step),
            _ => Err(self.wrong(text, "its step must be a whole number of at least 1")),
        }
    }

    fn number(&self, text: &str, number: &str) -> Result<u32, CronError> {
        let lower = number.to_ascii_lowercase();
        let named = (self.least..).zip(self.names);
        if let Some((number, _)) = named.into_iter().find(|(_, name)| **name == lower) {
            return Ok(number);
        }
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let value = plain.then(|| number.parse().ok()).flatten();
        let (least, most) = (self.least, self.most);
        match value {
            Some(value) if (least..=most).contains(&value) => Ok(value),
            // The one number that other crons take and this one does not.
            Some(7) if self.name == WEEKDAYS.name => {
                Err(self.wrong(text, "days of the week go from 0 to 6; Sunday is 0"))
            }
            _ => {
                let names = match self.names {
                    [first, .., last] => format!(", its names from {first} to {last}"),
                    _ => String::new(),
                };
                let problem = format!("its numbers go from {least} to {most}{names}");
                Err(self.wrong(text, &problem))
            }
        }
    }

    fn wrong(&self, given: &str, problem: &str) -> CronError {
        CronError::Field {
            field: self.name,
            given: given.to_owned(),
            problem: problem.to_owned(),
        }
    }
}
