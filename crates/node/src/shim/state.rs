//! The shim's durable record: which containers ran, and how they ended.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::proc::{ProcessId, boot_id};

/// Everything a later agent must know about a pod's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodState {
    /// The run of the machine the process ids belong to.
    pub boot: String,
    /// The shim itself.
    pub shim: Option<ProcessId>,
    /// The newest instance of each container, and the one before it.
    pub containers: BTreeMap<String, Instances>,
    /// What of the pod's wishes this machine cannot fulfil.
    pub limitations: Vec<Limitation>,
}

/// Something this machine cannot do for pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limitation {
    /// Containers cannot have users of their own.
    Users,
    /// Resources cannot be limited as they should be, and why.
    Limits(String),
}

impl fmt::Display for Limitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users => f.write_str(
                "containers run as the user of the node, whatever user or group they ask for",
            ),
            Self::Limits(why) => write!(
                f,
                "{why}; memory limits are enforced by polling and cpu limits are not enforced"
            ),
        }
    }
}

/// The two instances of a container that matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instances {
    /// The newest one.
    pub current: Instance,
    /// The one before.
    pub previous: Option<Instance>,
    /// The most memory any instance was seen to use, in bytes.
    pub peak_memory: u64,
}

/// One start of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Counts the starts, from 0.
    pub attempt: u32,
    /// How far it is.
    pub life: Life,
}

/// The life of a container instance; it only moves forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// Its root is being built; there is a process once its number is known.
    Starting {
        /// The process that will become the program.
        process: Option<ProcessId>,
    },
    /// Its program runs.
    Running {
        /// The first process.
        process: ProcessId,
        /// When the program started.
        started_at: Timestamp,
    },
    /// It is over.
    Ended(Ending),
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// As a shell would report it: 128 plus the signal for a killed program.
    pub exit_code: i32,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// PascalCase: `Completed`, `Error`, `OOMKilled`, `StartError`, ...
    pub reason: String,
    /// What it left as its last words, or why it could not start.
    pub message: String,
    /// When its program started; `None` when it never did.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Timestamp,
}

impl PodState {
    /// The record of a pod nothing has run in yet.
    pub(crate) fn new() -> Self {
        Self {
            boot: boot_id(),
            shim: ProcessId::this(),
            containers: BTreeMap::new(),
            limitations: Vec::new(),
        }
    }

    /// Reads the record; `None` when there is none.
    pub fn load(file: &Path) -> io::Result<Option<Self>> {
        match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| io::Error::other(format!("{}: {error}", file.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the record so that a crash leaves either the old or the new one.
    pub(crate) fn store(&self, file: &Path) -> io::Result<()> {
        write_durably(file, &serde_json::to_vec(self)?)
    }

    /// Whether every container that was ever started has ended.
    pub(crate) fn is_over(&self) -> bool {
        let mut instances = self.containers.values();
        instances.all(|instances| matches!(instances.current.life, Life::Ended(_)))
    }

    /// Notes a new instance; the current one becomes the previous.
    pub(crate) fn begin(&mut self, name: &str, attempt: u32) {
        let instance = Instance {
            attempt,
            life: Life::Starting { process: None },
        };
        match self.containers.get_mut(name) {
            Some(instances) => {
                let ended = std::mem::replace(&mut instances.current, instance);
                instances.previous = Some(ended);
            }
            None => {
                self.containers.insert(
                    name.to_owned(),
                    Instances {
                        current: instance,
                        previous: None,
                        peak_memory: 0,
                    },
                );
            }
        }
    }

    /// The container's current life.
    pub fn life(&self, name: &str) -> Option<&Life> {
        self.containers
            .get(name)
            .map(|instances| &instances.current.life)
    }

    /// Moves the container's current life forward; an ended life stays as it is.
    pub(crate) fn advance(&mut self, name: &str, life: Life) {
        if let Some(instances) = self.containers.get_mut(name)
            && !matches!(instances.current.life, Life::Ended(_))
        {
            instances.current.life = life;
        }
    }

    /// The record of a pod whose shim is gone: whatever had not ended counts as killed.
    ///
    /// Returns the processes that may still run; they must be killed, for nobody would see their
    /// end.
    pub(crate) fn bury(&mut self, now: Timestamp) -> Vec<ProcessId> {
        let same_boot = self.boot == boot_id();
        let mut orphans = Vec::new();
        for instances in self.containers.values_mut() {
            let life = &instances.current.life;
            let Some(process) = life.process() else {
                if matches!(life, Life::Starting { process: None }) {
                    instances.current.life = Life::Ended(Ending::lost(None, now));
                }
                continue;
            };
            if same_boot {
                orphans.push(process);
            }
            instances.current.life = Life::Ended(Ending::lost(life.started_at(), now));
        }
        self.shim = None;
        orphans
    }
}

impl Life {
    /// The process, while there is one.
    pub(crate) fn process(&self) -> Option<ProcessId> {
        match self {
            Self::Starting { process } => *process,
            Self::Running { process, .. } => Some(*process),
            Self::Ended(_) => None,
        }
    }

    /// When the program started, if it did.
    pub(crate) fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Starting { .. } => None,
            Self::Running { started_at, .. } => Some(*started_at),
            Self::Ended(ending) => ending.started_at,
        }
    }
}

impl Ending {
    fn lost(started_at: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            exit_code: 137,
            signal: None,
            reason: "ContainerStatusUnknown".to_owned(),
            message: "The process that watched the container is gone, so its own end was not seen"
                .to_owned(),
            started_at,
            finished_at: now,
        }
    }
}

/// Writes a file whole: temporary file, sync, rename.
pub(crate) fn write_durably(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("new");
    let mut writer = File::create(&temporary)?;
    writer.write_all(bytes)?;
    writer.sync_data()?;
    fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_life_never_comes_back() {
        let now = Timestamp::from_second(1).unwrap();
        let mut state = PodState::new();
        state.begin("a", 0);
        state.advance("a", Life::Ended(Ending::lost(None, now)));
        state.advance("a", Life::Starting { process: None });
        assert!(matches!(state.life("a"), Some(Life::Ended(_))));
        state.begin("a", 1);
        assert!(matches!(state.life("a"), Some(Life::Starting { .. })));
        assert_eq!(
            state.containers["a"].previous.as_ref().map(|i| i.attempt),
            Some(0)
        );
    }

    #[test]
    fn a_record_of_another_boot_names_no_process_to_kill() {
        let now = Timestamp::from_second(1).unwrap();
        let mut state = PodState::new();
        state.boot = "another".to_owned();
        state.begin("a", 0);
        let process = ProcessId { pid: 1, start: 1 };
        state.advance(
            "a",
            Life::Running {
                process,
                started_at: now,
            },
        );
        assert_eq!(state.bury(now), vec![]);
        let Some(Life::Ended(ending)) = state.life("a") else {
            panic!("it must have ended")
        };
        assert_eq!((ending.exit_code, ending.started_at), (137, Some(now)));
    }
}
