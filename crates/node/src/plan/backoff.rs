//! How long to wait before trying again.

use jiff::SignedDuration;

/// The first wait.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// The longest wait.
const LONGEST: SignedDuration = SignedDuration::from_secs(300);

/// A container that ran at least this long starts afresh.
pub(crate) const FORGIVEN_AFTER: SignedDuration = SignedDuration::from_secs(600);

/// The wait before a container is started for the n-th time in a row of short lives; the first
/// start and the first restart come at once.
pub(crate) fn restart_delay(streak: u32) -> SignedDuration {
    match streak {
        0 | 1 => SignedDuration::ZERO,
        n => doubled(n - 2),
    }
}

/// The wait before an image is looked for again after so many failures.
pub(super) fn image_delay(failures: u32) -> SignedDuration {
    doubled(failures.saturating_sub(1))
}

fn doubled(times: u32) -> SignedDuration {
    let factor = 1_i32.checked_shl(times.min(16)).unwrap_or(i32::MAX);
    FIRST.checked_mul(factor).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<i64> = (0..9).map(|n| restart_delay(n).as_secs()).collect();
        assert_eq!(waits, [0, 0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(restart_delay(u32::MAX).as_secs(), 300);
        assert_eq!(
            (image_delay(1).as_secs(), image_delay(3).as_secs()),
            (10, 40)
        );
    }
}
