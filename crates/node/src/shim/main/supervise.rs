//! One container instance, from its start to its end.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Signal, WaitStatus};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, spawn_local};

use crate::logs;
use crate::proc::ProcessId;
use crate::reexec::REEXEC;
use crate::sandbox::LaunchReport;
use crate::sandbox::spec::ContainerSpec;
use crate::shim::cgroup::Cgroup;
use crate::shim::log::LogWriter;
use crate::shim::memory;
use crate::shim::state::{Ending, Life, Limitation};

use super::streams::{Streams, pump_input, pump_output};
use super::{Live, Shim};

/// How long the output of an ended container may take to arrive.
const DRAIN: Duration = Duration::from_secs(5);
/// The longest termination message that is kept, and the longest made from the log.
const MESSAGE_BYTES: usize = 4096;
const LOG_MESSAGE_BYTES: usize = 2048;
const LOG_MESSAGE_LINES: usize = 80;

impl Shim {
    /// One container instance from its start to its end.
    pub(super) async fn supervise(&self, mut spec: ContainerSpec) {
        let name = spec.name.clone();
        let ending = match self.launch(&mut spec).await {
            Ok(launched) => self.see_out(&spec, launched).await,
            Err(report) => failed_start(report),
        };
        let live = self.live.borrow_mut().remove(&name);
        let peak = live.as_ref().map_or(0, |live| live.peak_memory);
        if let Some(cgroup) = live.and_then(|live| live.cgroup) {
            cgroup.remove();
        }
        self.record(|state| {
            if let Some(instances) = state.containers.get_mut(&name) {
                instances.peak_memory = instances.peak_memory.max(peak);
            }
            state.advance(&name, Life::Ended(ending));
        });
    }

    async fn launch(&self, spec: &mut ContainerSpec) -> Result<Launched, LaunchReport> {
        let refused = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| LaunchReport::Failed {
                reason: "CreateContainerError".to_owned(),
                message: format!("{what}: {error}"),
            }
        };
        let cgroup = match self.hierarchy.create(&self.pod.id, &spec.name, spec.limits) {
            Ok(cgroup) => cgroup,
            Err(error) => {
                let limitation = Limitation::Limits(format!(
                    "control group of container {}: {error}",
                    spec.name
                ));
                self.record(|state| {
                    if !state.limitations.contains(&limitation) {
                        state.limitations.push(limitation);
                    }
                });
                None
            }
        };
        spec.cgroups = cgroup.as_ref().map(Cgroup::procs_files).unwrap_or_default();
        write_container_files(spec).map_err(refused("prepare the container's directory"))?;
        let log = LogWriter::open(&spec.log).map_err(refused("open the container's log"))?;
        let log = Rc::new(RefCell::new(log));
        let streams = Streams::open(spec).map_err(refused("make the container's streams"))?;
        let (channel, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(refused("make a socket"))?;
        rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())
            .map_err(|error| refused("make a socket")(error.into()))?;
        let Streams {
            stdin,
            stdout,
            stderr,
            input,
            feed,
            terminal,
            readers,
        } = streams;
        // The child is collected by `reap`, like every other process below the shim.
        Command::new("/proc/self/exe")
            .args([REEXEC, "hatch"])
            .arg(spec.file())
            .arg(theirs.as_raw_fd().to_string())
            .env_clear()
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(refused("start the container"))?;
        drop(theirs);
        let (output, _) = broadcast::channel(256);
        self.live.borrow_mut().insert(
            spec.name.clone(),
            Live {
                attempt: spec.attempt,
                process: None,
                cgroup,
                memory_limit: spec.limits.memory,
                killed_for_memory: false,
                output: output.clone(),
                input,
                terminal,
                peak_memory: 0,
            },
        );
        if let Some((receiver, sink)) = feed {
            spawn_local(pump_input(receiver, sink));
        }
        let pumps = readers
            .into_iter()
            .map(|(stream, reader)| {
                spawn_local(pump_output(stream, reader, Rc::clone(&log), output.clone()))
            })
            .collect();
        let process = self.accompany(spec, channel).await?;
        Ok(Launched {
            process,
            started_at: Timestamp::now(),
            pumps,
        })
    }

    /// Follows the launching processes until the program runs.
    async fn accompany(
        &self,
        spec: &ContainerSpec,
        channel: std::os::unix::net::UnixStream,
    ) -> Result<ProcessId, LaunchReport> {
        let broken = |message: String| LaunchReport::Failed {
            reason: "CreateContainerError".to_owned(),
            message,
        };
        let channel = channel
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(channel))
            .map_err(|error| broken(error.to_string()))?;
        let (reader, mut writer) = channel.into_split();
        let mut lines = BufReader::new(reader).lines();
        let mut process = None;
        loop {
            let line = lines
                .next_line()
                .await
                .map_err(|error| broken(error.to_string()))?;
            let Some(line) = line else { break };
            match serde_json::from_str(&line).map_err(|error| broken(error.to_string()))? {
                failure @ LaunchReport::Failed { .. } => return Err(failure),
                LaunchReport::Pid(pid) => {
                    let found = ProcessId::of(pid)
                        .ok_or_else(|| broken("the first process ended at once".to_owned()))?;
                    process = Some(found);
                    if let Some(live) = self.live.borrow_mut().get_mut(&spec.name) {
                        live.process = Some(found);
                    }
                    self.record(|state| {
                        state.advance(
                            &spec.name,
                            Life::Starting {
                                process: Some(found),
                            },
                        );
                    });
                    // If it has died meanwhile, the end of the channel says so.
                    let _ = writer.write_all(b"g").await;
                }
            }
        }
        process.ok_or_else(|| broken("the launching process ended without a word".to_owned()))
    }

    async fn see_out(&self, spec: &ContainerSpec, launched: Launched) -> Ending {
        let Launched {
            process,
            started_at,
            pumps,
        } = launched;
        self.record(|state| {
            state.advance(
                &spec.name,
                Life::Running {
                    process,
                    started_at,
                },
            );
        });
        let status = self.exit_of(process.pid).await.ok();
        let finished_at = Timestamp::now();
        let drained = async {
            for pump in pumps {
                // A pump that failed has written what it could.
                let _ = pump.await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, drained).await;
        let code = status.and_then(WaitStatus::exit_status);
        let signal = status.and_then(WaitStatus::terminating_signal);
        let exit_code = code.unwrap_or(128 + signal.unwrap_or(9));
        let out_of_memory = exit_code != 0 && self.ran_out_of_memory(&spec.name);
        Ending {
            exit_code,
            signal,
            reason: match (exit_code, out_of_memory) {
                (_, true) => "OOMKilled",
                (0, false) => "Completed",
                (_, false) => "Error",
            }
            .to_owned(),
            message: last_words(spec, exit_code),
            started_at: Some(started_at),
            finished_at,
        }
    }

    fn ran_out_of_memory(&self, container: &str) -> bool {
        let mut live = self.live.borrow_mut();
        let Some(live) = live.get_mut(container) else {
            return false;
        };
        let kernel = live
            .cgroup
            .as_ref()
            .is_some_and(|group| group.out_of_memory_kills() > 0);
        if kernel {
            // The last look was before the end; by then it had reached its limit.
            live.peak_memory = live.peak_memory.max(live.memory_limit.unwrap_or(0));
        }
        kernel || live.killed_for_memory
    }

    pub(super) fn watch_memory(&self) {
        for live in self.live.borrow_mut().values_mut() {
            let Some(process) = live.process else {
                continue;
            };
            let processes = match &live.cgroup {
                Some(cgroup) => cgroup.processes(),
                None => memory::descendants(process.pid),
            };
            let used = memory::resident(&processes);
            live.peak_memory = live.peak_memory.max(used);
            let enforced = live.cgroup.as_ref().is_some_and(Cgroup::limits_memory);
            let Some(limit) = live.memory_limit.filter(|_| !enforced) else {
                continue;
            };
            // Shared pages are counted once only where it decides.
            if used > limit && memory::proportional(&processes) > limit {
                live.killed_for_memory = process.signal(Signal::KILL);
            }
        }
    }
}

/// A container whose program runs.
struct Launched {
    process: ProcessId,
    started_at: Timestamp,
    pumps: Vec<JoinHandle<()>>,
}

fn write_container_files(spec: &ContainerSpec) -> io::Result<()> {
    fs::create_dir_all(&spec.dir)?;
    let termination_log = spec.termination_log();
    fs::write(&termination_log, b"")?;
    fs::set_permissions(&termination_log, fs::Permissions::from_mode(0o666))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(spec.file())?;
    file.write_all(&serde_json::to_vec(spec)?)
}

/// The ending of a container whose program never ran; 128 is what the kubelet reports then.
fn failed_start(report: LaunchReport) -> Ending {
    let (reason, message) = match report {
        LaunchReport::Failed { reason, message } => (reason, message),
        LaunchReport::Pid(pid) => (
            "CreateContainerError".to_owned(),
            format!("process {pid} was not expected"),
        ),
    };
    Ending {
        exit_code: 128,
        signal: None,
        reason,
        message,
        started_at: None,
        finished_at: Timestamp::now(),
    }
}

fn last_words(spec: &ContainerSpec, exit_code: i32) -> String {
    let mut message = fs::read(spec.termination_log()).unwrap_or_default();
    message.truncate(MESSAGE_BYTES);
    if message.is_empty() && spec.message_from_log && exit_code != 0 {
        message = logs::last_lines(&spec.log, LOG_MESSAGE_LINES, LOG_MESSAGE_BYTES);
    }
    String::from_utf8_lossy(&message).into_owned()
}
