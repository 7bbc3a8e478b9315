//! Times in the precision of the API, so that a status read back equals the status written.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A time in whole seconds.
pub(super) fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `time` plus `pause`, as late as time can be told.
pub(super) fn later(time: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause)
        .ok()
        .and_then(|pause| time.checked_add(pause).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A duration as people write it: `10m`, `1h30m`, `45s`.
pub(crate) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let mut words = String::new();
    for (n, unit) in parts.into_iter().filter(|(n, _)| *n > 0) {
        // Writing to a String cannot fail.
        let _ = write!(words, "{n}{unit}");
    }
    if words.is_empty() {
        "0s".to_owned()
    } else {
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (seconds, words) in [(0, "0s"), (45, "45s"), (600, "10m"), (5400, "1h30m")] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_pause_without_end_ends_with_time() {
        assert_eq!(later(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
    }
}
