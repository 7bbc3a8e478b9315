//! Facts about processes, from /proc.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start: u64,
}

impl ProcessId {
    /// Looks the process up.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            start: Stat::read(pid)?.start,
        })
    }

    /// This very process.
    pub(crate) fn this() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs (a zombie does not).
    pub fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start == self.start && !stat.zombie)
    }

    /// Sends a signal, unless the process is gone.
    pub fn signal(self, signal: Signal) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.is_alive() && pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The parent's number.
    pub(crate) parent: u32,
    /// When it started, in clock ticks since the machine did.
    pub(crate) start: u64,
    /// Whether it has ended already and waits for its parent.
    pub(crate) zombie: bool,
}

impl Stat {
    /// Reads a process's line; `None` when there is no such process.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The name is in parentheses and may itself hold spaces and parentheses.
        let (_, rest) = line.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            zombie: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The identity of this run of the machine: process ids mean nothing across it.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// The exit code a shell would report.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128 + signal.unwrap_or(0) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_confuse_the_fields() {
        let line = "42 (a ) b) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1000 256 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.start), (7, 12345));
    }

    #[test]
    fn a_process_is_itself_and_no_other() {
        let this = ProcessId::this().unwrap();
        assert!(this.is_alive());
        assert!(
            !ProcessId {
                start: this.start + 1,
                ..this
            }
            .is_alive()
        );
    }
}
