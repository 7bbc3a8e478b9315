//! The shim's process: from its start to its last container.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Signal, WaitOptions, WaitStatus, getpid, set_child_subreaper};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};

use super::cgroup::{Cgroup, Hierarchy};
use super::log::{LogWriter, PartialLine, Stream};
use super::protocol::{Frame, Request, read_frame, write_frame};
use super::state::{Ending, Life, Limitation, PodState};
use super::{POD, SOCKET, STATE, memory};
use crate::logs;
use crate::proc::{ProcessId, boot_id};
use crate::pty::{Pty, PtyControl};
use crate::reexec::REEXEC;
use crate::sandbox::LaunchReport;
use crate::sandbox::namespace::{Authority, isolate_pod};
use crate::sandbox::spec::{ContainerSpec, PodSpec, StdinMode};

/// How often memory is looked at.
const MEMORY_PERIOD: Duration = Duration::from_millis(500);
/// How long the output of an ended container may take to arrive.
const DRAIN: Duration = Duration::from_secs(5);
/// The longest termination message that is kept, and the longest made from the log.
const MESSAGE_BYTES: usize = 4096;
const LOG_MESSAGE_BYTES: usize = 2048;
const LOG_MESSAGE_LINES: usize = 80;

/// Runs the shim of the pod in `dir`. The first line of standard output says `ready`, or why not.
pub(crate) fn run(dir: &Path) -> ExitCode {
    match prepare(dir) {
        Ok((runtime, shim)) => {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, Rc::new(shim).serve());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stdout(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that needs a single thread, then the runtime.
fn prepare(dir: &Path) -> io::Result<(tokio::runtime::Runtime, Shim)> {
    rustix::process::chdir(dir)?;
    // A group leader cannot make a session; it has one of its own then, which is as good.
    let _ = rustix::process::setsid();
    let pod: PodSpec = serde_json::from_slice(&fs::read(POD)?)?;
    // Groups are looked for before a user namespace hides who owns them.
    let hierarchy = Hierarchy::detect();
    let authority = isolate_pod().map_err(|error| {
        io::Error::other(format!(
            "this machine does not let pods have namespaces of their own ({error}); run as root, \
             or allow unprivileged user namespaces (sysctl user.max_user_namespaces, \
             kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
        ))
    })?;
    mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    if let Some(hostname) = &pod.hostname {
        rustix::system::sethostname(hostname.as_bytes())?;
    }
    for volume in &pod.memory_volumes {
        fs::create_dir_all(&volume.path)?;
        let size = volume
            .size
            .map_or_else(String::new, |bytes| format!(",size={bytes}"));
        let options = std::ffi::CString::new(format!("mode=1777{size}"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", &volume.path, "tmpfs", flags, options.as_c_str())?;
    }
    // Orphans of the short-lived launching processes, the containers' own first processes, come
    // to the shim rather than to the machine's init.
    set_child_subreaper(Some(getpid()))?;
    // A shim that follows a dead one continues its record.
    let mut state = PodState::load(Path::new(STATE))?.unwrap_or_else(PodState::new);
    for orphan in state.bury(Timestamp::now()) {
        orphan.signal(Signal::KILL);
    }
    state.boot = boot_id();
    state.shim = ProcessId::this();
    state.limitations = hierarchy
        .limitations()
        .into_iter()
        .map(Limitation::Limits)
        .collect();
    if authority == Authority::UserNamespace {
        state.limitations.push(Limitation::Users);
    }
    state.store(Path::new(STATE))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shim = Shim {
        pod,
        hierarchy,
        state: watch::Sender::new(state),
        live: RefCell::default(),
        exits: RefCell::default(),
    };
    Ok((runtime, shim))
}

/// The shim while it runs: a single thread, so plain cells are enough.
struct Shim {
    pod: PodSpec,
    hierarchy: Hierarchy,
    state: watch::Sender<PodState>,
    live: RefCell<BTreeMap<String, Live>>,
    exits: RefCell<Exits>,
}

/// What the shim holds of a container while it lives.
struct Live {
    attempt: u32,
    process: Option<ProcessId>,
    cgroup: Option<Cgroup>,
    memory_limit: Option<u64>,
    killed_for_memory: bool,
    output: broadcast::Sender<(Stream, Vec<u8>)>,
    input: Input,
    terminal: Option<PtyControl>,
    peak_memory: u64,
}

/// Where a container's standard input comes from.
#[derive(Clone)]
enum Input {
    /// Nowhere, or it has ended.
    Closed,
    /// Whoever attaches.
    Open(mpsc::Sender<Vec<u8>>),
    /// The first who attaches, until they leave.
    Once(mpsc::Sender<Vec<u8>>),
}

/// Ends of processes, by number: waited for, or seen before anyone asked.
#[derive(Default)]
struct Exits {
    waiting: HashMap<u32, oneshot::Sender<WaitStatus>>,
    seen: HashMap<u32, WaitStatus>,
}

impl Shim {
    async fn serve(self: Rc<Self>) {
        let started = start_serving();
        let (listener, mut children) = match started {
            Ok(started) => started,
            Err(error) => {
                let _ = writeln!(io::stdout(), "{error}");
                return;
            }
        };
        let _ = writeln!(io::stdout(), "ready");
        let (leave, mut leaving) = mpsc::channel::<()>(1);
        let mut tick = tokio::time::interval(MEMORY_PERIOD);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let shim = Rc::clone(&self);
                        let leave = leave.clone();
                        spawn_local(async move {
                            // A peer that goes away in the middle is no news.
                            let _ = shim.converse(stream, leave).await;
                        });
                    }
                }
                _ = children.recv() => self.reap(),
                _ = tick.tick() => {
                    self.watch_memory();
                    // Without its directory the pod can neither be found nor recorded.
                    if !Path::new(STATE).exists() {
                        break;
                    }
                }
                _ = leaving.recv() => break,
            }
        }
        for live in self.live.borrow().values() {
            live.process.map(|process| process.signal(Signal::KILL));
        }
        self.hierarchy.remove_pod(&self.pod.id);
        let _ = fs::remove_file(SOCKET);
    }

    fn reap(&self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get() as u32;
            let mut exits = self.exits.borrow_mut();
            match exits.waiting.remove(&pid) {
                // The receiver is gone only if its task failed; the end is recorded there.
                Some(waiting) => drop(waiting.send(status)),
                None => drop(exits.seen.insert(pid, status)),
            }
        }
    }

    fn exit_of(&self, pid: u32) -> oneshot::Receiver<WaitStatus> {
        let (sender, receiver) = oneshot::channel();
        let mut exits = self.exits.borrow_mut();
        match exits.seen.remove(&pid) {
            Some(status) => drop(sender.send(status)),
            None => drop(exits.waiting.insert(pid, sender)),
        }
        receiver
    }

    /// Changes the state, on disk first.
    fn record(&self, change: impl FnOnce(&mut PodState)) {
        let mut state = self.state.borrow().clone();
        change(&mut state);
        if state == *self.state.borrow() {
            return;
        }
        if let Err(error) = state.store(Path::new(STATE)) {
            let _ = writeln!(io::stderr(), "the pod's state cannot be written: {error}");
        }
        self.state.send_replace(state);
    }

    async fn converse(
        self: Rc<Self>,
        mut stream: UnixStream,
        leave: mpsc::Sender<()>,
    ) -> io::Result<()> {
        let Some(Frame::Request(request)) = read_frame(&mut stream).await? else {
            return Ok(());
        };
        let answer = match request {
            Request::Start(spec) => Rc::clone(&self).start(*spec),
            Request::Signal {
                container,
                attempt,
                signal,
            } => self.signal(&container, attempt, signal),
            Request::Subscribe => return self.publish(stream).await,
            Request::Attach { container } => return self.attach(&container, stream).await,
            Request::Resize { container, size } => match self.terminal(&container) {
                Some(terminal) => terminal.resize(size).map_err(|error| error.to_string()),
                None => Err(format!("container {container} has no terminal")),
            },
            Request::Exit if self.live.borrow().is_empty() => {
                write_frame(&mut stream, &Frame::Ok).await?;
                let _ = leave.try_send(());
                return Ok(());
            }
            Request::Exit => Err("containers still run".to_owned()),
        };
        let frame = answer.map_or_else(Frame::Refused, |()| Frame::Ok);
        write_frame(&mut stream, &frame).await
    }

    async fn publish(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut states = self.state.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            write_frame(&mut stream, &Frame::State(Box::new(state))).await?;
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return Ok(()) },
                // The peer says nothing more; reading notices that it has gone.
                frame = read_frame(&mut stream) => if frame?.is_none() { return Ok(()) },
            }
        }
    }

    fn signal(&self, container: &str, attempt: u32, number: i32) -> Result<(), String> {
        let live = self.live.borrow();
        let live = live.get(container).filter(|live| live.attempt == attempt);
        let process = live.and_then(|live| live.process);
        let process = process.ok_or_else(|| format!("container {container} does not run"))?;
        let signal = Signal::from_named_raw(number)
            .ok_or_else(|| format!("signal {number} does not exist"))?;
        process.signal(signal);
        Ok(())
    }

    fn terminal(&self, container: &str) -> Option<PtyControl> {
        self.live
            .borrow()
            .get(container)
            .and_then(|live| live.terminal.clone())
    }

    async fn attach(&self, container: &str, stream: UnixStream) -> io::Result<()> {
        let found = self
            .live
            .borrow()
            .get(container)
            .map(|live| live.output.subscribe());
        let (mut reader, mut writer) = stream.into_split();
        let Some(mut output) = found else {
            let refusal = format!("container {container} does not run");
            return write_frame(&mut writer, &Frame::Refused(refusal)).await;
        };
        write_frame(&mut writer, &Frame::Ok).await?;
        let forward = async {
            loop {
                match output.recv().await {
                    Ok((Stream::Stdout, bytes)) => {
                        write_frame(&mut writer, &Frame::Stdout(bytes)).await?;
                    }
                    Ok((Stream::Stderr, bytes)) => {
                        write_frame(&mut writer, &Frame::Stderr(bytes)).await?;
                    }
                    // A reader too slow for the container misses output; the log has it all.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return io::Result::Ok(()),
                }
            }
        };
        let input = async {
            while let Some(frame) = read_frame(&mut reader).await? {
                if let Frame::Stdin(bytes) = frame {
                    self.feed(container, bytes).await?;
                }
            }
            self.feed(container, Vec::new()).await?;
            io::Result::Ok(())
        };
        tokio::select! {
            done = forward => done,
            done = input => done,
        }
    }

    /// Passes bytes to a container's standard input; none at all is the end.
    async fn feed(&self, container: &str, bytes: Vec<u8>) -> io::Result<()> {
        let input = self
            .live
            .borrow()
            .get(container)
            .map(|live| live.input.clone());
        match input {
            Some(Input::Open(sender) | Input::Once(sender)) if !bytes.is_empty() => {
                sender.send(bytes).await.map_err(io::Error::other)
            }
            Some(Input::Once(_)) => {
                if let Some(live) = self.live.borrow_mut().get_mut(container) {
                    live.input = Input::Closed;
                }
                Ok(())
            }
            Some(Input::Open(_) | Input::Closed) | None => Ok(()),
        }
    }

    fn start(self: Rc<Self>, spec: ContainerSpec) -> Result<(), String> {
        match self.state.borrow().containers.get(&spec.name) {
            Some(instances) if instances.current.attempt >= spec.attempt => {
                // The agent asked before and died before it heard: the answer is the same.
                return Ok(());
            }
            Some(instances) if !matches!(instances.current.life, Life::Ended(_)) => {
                return Err(format!("container {} runs already", spec.name));
            }
            _ => {}
        }
        self.record(|state| state.begin(&spec.name, spec.attempt));
        spawn_local(async move { self.supervise(spec).await });
        Ok(())
    }

    /// One container instance from its start to its end.
    async fn supervise(&self, mut spec: ContainerSpec) {
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

    fn watch_memory(&self) {
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

fn start_serving() -> io::Result<(UnixListener, tokio::signal::unix::Signal)> {
    let children = signal(SignalKind::child())?;
    // Someone who ends "all windlass processes" must not thereby orphan the containers: only
    // the agent decides that a shim goes.
    for kind in [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ] {
        let mut ignored = signal(kind)?;
        spawn_local(async move { while ignored.recv().await.is_some() {} });
    }
    let _ = fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET)?;
    fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o600))?;
    Ok((listener, children))
}

/// A container whose program runs.
struct Launched {
    process: ProcessId,
    started_at: Timestamp,
    pumps: Vec<JoinHandle<()>>,
}

type BoxedReader = Box<dyn AsyncRead + Unpin>;
type BoxedWriter = Box<dyn AsyncWrite + Unpin>;

/// Both halves of a container's standard streams.
struct Streams {
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    input: Input,
    feed: Option<(mpsc::Receiver<Vec<u8>>, BoxedWriter)>,
    terminal: Option<PtyControl>,
    readers: Vec<(Stream, BoxedReader)>,
}

impl Streams {
    fn open(spec: &ContainerSpec) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(16);
        let input = match spec.stdin {
            StdinMode::Null => Input::Closed,
            StdinMode::Open => Input::Open(sender),
            StdinMode::Once => Input::Once(sender),
        };
        if spec.tty {
            let Pty {
                reader,
                writer,
                control,
                program,
            } = Pty::open()?;
            own(&program, spec)?;
            return Ok(Self {
                stdin: program.try_clone()?.into(),
                stdout: program.try_clone()?.into(),
                stderr: program.into(),
                input,
                feed: Some((receiver, Box::new(writer))),
                terminal: Some(control),
                readers: vec![(Stream::Stdout, Box::new(reader))],
            });
        }
        let (out_reader, out) = output_pipe(spec)?;
        let (err_reader, err) = output_pipe(spec)?;
        let (stdin, feed): (Stdio, Option<(_, BoxedWriter)>) = match input {
            Input::Closed => (Stdio::null(), None),
            Input::Open(_) | Input::Once(_) => {
                let (reader, writer) = io::pipe()?;
                let sink = pipe::Sender::from_owned_fd(writer.into())?;
                (reader.into(), Some((receiver, Box::new(sink))))
            }
        };
        Ok(Self {
            stdin,
            stdout: out.into(),
            stderr: err.into(),
            input,
            feed,
            terminal: None,
            readers: vec![
                (Stream::Stdout, Box::new(out_reader)),
                (Stream::Stderr, Box::new(err_reader)),
            ],
        })
    }
}

fn output_pipe(spec: &ContainerSpec) -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let writer = OwnedFd::from(writer);
    own(&writer, spec)?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer))
}

/// Programs reopen their streams by name (`/dev/stdout`), which asks for ownership.
fn own(descriptor: &OwnedFd, spec: &ContainerSpec) -> io::Result<()> {
    match spec.user.uid {
        Some(uid) if rustix::process::geteuid().is_root() => {
            // In a user namespace no other user exists, and the container stays the same user.
            match rustix::fs::fchown(descriptor, Some(rustix::process::Uid::from_raw(uid)), None) {
                Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        _ => Ok(()),
    }
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

async fn pump_output(
    stream: Stream,
    mut reader: BoxedReader,
    log: Rc<RefCell<LogWriter>>,
    output: broadcast::Sender<(Stream, Vec<u8>)>,
) {
    let mut partial = PartialLine::default();
    let mut buffer = vec![0; 32 << 10];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        let bytes = &buffer[..count];
        let taken = log
            .borrow_mut()
            .take(stream, &mut partial, bytes, Timestamp::now());
        if let Err(error) = taken {
            let _ = writeln!(io::stderr(), "output was lost: {error}");
        }
        // Nobody needs to be attached.
        let _ = output.send((stream, bytes.to_vec()));
    }
    let finished = log
        .borrow_mut()
        .finish(stream, &mut partial, Timestamp::now());
    if let Err(error) = finished {
        let _ = writeln!(io::stderr(), "output was lost: {error}");
    }
}

async fn pump_input(mut receiver: mpsc::Receiver<Vec<u8>>, mut sink: BoxedWriter) {
    while let Some(bytes) = receiver.recv().await {
        if sink.write_all(&bytes).await.is_err() {
            return;
        }
    }
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
