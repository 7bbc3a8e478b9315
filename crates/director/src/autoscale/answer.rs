//! What an application answers that is asked for demand.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use windlass_api::director::cluster::MEMBERS_MAX;

/// How much of what is said is shown, in characters.
const SHOWN_MAX: usize = 200;

/// How many members an application has a use for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How many; no more than a cluster may have.
    pub members: u32,
    /// What it says of that.
    pub message: Option<String>,
}

/// The last time that somebody was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    at: Timestamp,
    answer: Result<Answer, String>,
}

/// An answer in JSON that is not just a number.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    members: Option<f64>,
    units: Option<f64>,
    units_per_member: Option<f64>,
    message: Option<String>,
}

impl Answer {
    /// Reads what was written to standard output.
    ///
    /// # Errors
    /// What is wrong with it, for the people who wrote the application.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            let shown = shorten(text.trim());
            format!("the answer is {shown:?}, {why}")
        };
        let value = serde_json::from_str::<Value>(text.trim()).ok();
        let value = value.filter(|it| it.is_number() || it.is_object());
        let value = value.ok_or_else(|| {
            wrong("which is neither a number nor a JSON object with members, or units and unitsPerMember")
        })?;
        if let Some(members) = value.as_f64() {
            let members = counted(members).ok_or_else(|| wrong("which is no number of members"))?;
            return Ok(Self {
                members,
                message: None,
            });
        }
        let written = Written::deserialize(&value)
            .map_err(|error| wrong(&format!("which is wrong: {error}")))?;
        let members = match (written.members, written.units, written.units_per_member) {
            (Some(members), None, None) => {
                counted(members).ok_or_else(|| wrong("whose members are no number of members"))
            }
            (None, Some(units), Some(each)) if each > 0.0 => {
                counted(units / each).ok_or_else(|| wrong("whose units are no number of units"))
            }
            (None, Some(_), Some(_)) => Err(wrong("whose unitsPerMember is not above 0")),
            _ => Err(wrong(
                "which must have members, or units and unitsPerMember",
            )),
        };
        Ok(Self {
            members: members?,
            message: written.message.map(|message| shorten(message.trim())),
        })
    }
}

impl Sample {
    /// An answer, or why there is none, as it came at this time.
    pub fn new(at: Timestamp, answer: Result<Answer, String>) -> Self {
        // Decisions know whole seconds: with a part of one, the next question would be due a moment after
        // the look that asks it, again and again.
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        Self { at, answer }
    }

    /// The answer, or why there is none.
    pub fn answer(&self) -> &Result<Answer, String> {
        &self.answer
    }

    /// When the next question is due.
    pub fn next(&self, period: SignedDuration) -> Timestamp {
        self.at.checked_add(period).unwrap_or(Timestamp::MAX)
    }

    /// Whether it still tells how it is: no question has been left out since.
    pub fn is_fresh(
        &self,
        period: SignedDuration,
        timeout: SignedDuration,
        now: Timestamp,
    ) -> bool {
        let longest = period.saturating_add(period).saturating_add(timeout);
        // A clock that was set back makes it no younger.
        now.duration_since(self.at).abs() <= longest
    }
}

/// A number of members: rounded up, and no more than a cluster may have.
fn counted(members: f64) -> Option<u32> {
    if !members.is_finite() || members < 0.0 {
        return None;
    }
    // What is a whole number but for the last bits of a division is meant as one.
    let whole = (members - 1e-9).ceil().clamp(0.0, MEMBERS_MAX as f64);
    Some(whole as u32)
}

/// The beginning of a text, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(SHOWN_MAX).collect()
}
