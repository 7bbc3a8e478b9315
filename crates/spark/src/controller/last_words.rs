//! The end of a failed driver's log, where the pod's status holds too little of it.
//!
//! A termination message has at most 2 KiB or 80 lines. When a task fails, the driver logs a stack
//! trace of the JVM after the error itself, and what is left in the message no longer says why.
//!
//! Laws:
//! - the log is read once an attempt has ended badly and before its outcome is recorded, never
//!   while a driver runs;
//! - a log that cannot be read (no permission, the pod or its node is gone) holds up nothing: the
//!   outcome is told with what the status says.

use windlass_engine::{Object, ObjectKey, View};

use super::sight::{Findings, Reading};
use crate::lifecycle::observed::{Exit, SparkContainer};
use crate::observe;

/// A status of fewer lines, and of fewer bytes, has lost nothing of the log it was made from.
const MESSAGE_LINES: usize = 80;
/// See [`MESSAGE_LINES`]. Kubernetes cuts at 2,048 bytes; a character may be torn off there.
const MESSAGE_BYTES: usize = 2000;

/// How much of the end of the log is read: Spark prints the trace of a failed task two or three
/// times, some hundred lines each.
const LOG_LINES: u32 = 2000;
/// A bound on memory for programs that print very long lines.
const LOG_BYTES: u32 = 512 * 1024;

/// More of the log of a driver than its status has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastWords {
    /// The uid of the driver pod.
    pub(super) pod: String,
    /// The end of its log.
    pub(super) text: String,
}

/// Reads the end of the log of a driver whose status does not say enough.
pub(super) async fn read(reading: &Reading, findings: &Findings, view: &View) -> Option<LastWords> {
    let (pod, container) = wanted(reading, findings)?;
    let key = ObjectKey {
        namespace: pod.namespace().map(Into::into),
        name: pod.name().into(),
    };
    let log = view.api().log_tail(&key, container, LOG_LINES, LOG_BYTES);
    match log.await {
        Ok(text) => Some(LastWords {
            pod: pod.uid().to_owned(),
            text,
        }),
        Err(error) => {
            tracing::debug!(%error, "the end of the driver's log cannot be read");
            None
        }
    }
}

/// The pod and the container whose log is to be read.
pub(super) fn wanted<'a>(
    reading: &Reading,
    findings: &'a Findings,
) -> Option<(&'a Object, &'a str)> {
    let attempt = reading.status.attempt.as_ref()?;
    if attempt.outcome.is_some() {
        return None;
    }
    findings.pods.iter().find_map(|object| {
        let pod = observe::driver_pod(object);
        let ours = pod.submission_id.is_some() && pod.submission_id == reading.status.submission_id;
        let SparkContainer::Exited(exit) = pod.spark else {
            return None;
        };
        let container = observe::driver_container(object)?;
        (ours && says_too_little(&exit)).then_some((object, container))
    })
}

/// Whether more of the log could tell more: not of a good end, nor of one that came from outside.
fn says_too_little(exit: &Exit) -> bool {
    let by_itself = !matches!(exit.code, 0 | 137 | 143)
        && matches!(exit.reason.as_deref(), None | Some("Error" | "Completed"));
    let message = exit.message.as_deref().unwrap_or_default();
    let whole = !message.trim().is_empty()
        && message.len() < MESSAGE_BYTES
        && message.lines().count() < MESSAGE_LINES;
    by_itself && !whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read_when_the_status_may_have_lost_the_error() {
        let exit = |code, reason: Option<&str>, message: &str| Exit {
            code,
            reason: reason.map(str::to_owned),
            message: Some(message.to_owned()).filter(|text| !text.is_empty()),
            started_at: None,
            finished_at: None,
        };
        let line = "\tat a.B.c(B.java:1)\n";
        let cases = [
            ("a good end", exit(0, Some("Completed"), ""), false),
            (
                "a short log",
                exit(1, Some("Error"), "ValueError: boom"),
                false,
            ),
            (
                "a cut off log",
                exit(1, Some("Error"), &line.repeat(105)),
                true,
            ),
            (
                "many short lines",
                exit(1, Some("Error"), &"x\n".repeat(80)),
                true,
            ),
            ("no message", exit(1, Some("Error"), ""), true),
            ("a node that gives no reason", exit(3, None, ""), true),
            ("killed", exit(137, Some("Error"), ""), false),
            ("stopped", exit(143, Some("Error"), ""), false),
            ("out of memory", exit(137, Some("OOMKilled"), ""), false),
            (
                "never started",
                exit(128, Some("ContainerCannotRun"), ""),
                false,
            ),
        ];
        for (what, exit, expected) in cases {
            assert_eq!(says_too_little(&exit), expected, "{what}");
        }
    }
}
