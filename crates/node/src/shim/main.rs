//! The shim's process: from its start to its last container.

mod streams;
mod supervise;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Signal, WaitOptions, WaitStatus, getpid, set_child_subreaper};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::spawn_local;

use super::cgroup::{Cgroup, Hierarchy};
use super::log::Stream;
use super::protocol::{Frame, Request, read_frame, write_frame};
use super::state::{Life, Limitation, PodState};
use super::{POD, SOCKET, STATE};
use crate::config::Orphans;
use crate::lifeline::Agent;
use crate::proc::{ProcessId, boot_id};
use crate::pty::PtyControl;
use crate::sandbox::namespace::{Authority, isolate_pod};
use crate::sandbox::spec::{ContainerSpec, PodSpec};

/// How often memory is looked at.
const MEMORY_PERIOD: Duration = Duration::from_millis(500);
/// How long killed containers may take to be gone when the shim has to leave.
const ENDING_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the shim of the pod in `dir`. The first line of standard output says `ready`, or why not.
///
/// Where orphans end, standard input is the agent's lifeline.
pub(crate) fn run(dir: &Path, orphans: Orphans) -> ExitCode {
    match prepare(dir) {
        Ok((runtime, shim)) => {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, Rc::new(shim).serve(orphans));
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
        let mode = volume.group.map_or_else(
            || "mode=1777".to_owned(),
            |group| format!("mode=2777,gid={group}"),
        );
        let options = std::ffi::CString::new(format!("{mode}{size}"))?;
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
    async fn serve(self: Rc<Self>, orphans: Orphans) {
        let started = start_serving(orphans);
        let (listener, mut children, mut agent) = match started {
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
                    // Without its directory the pod can neither be found nor recorded. The file looked
                    // for is one that only the agent writes.
                    if !Path::new(POD).exists() {
                        break;
                    }
                }
                () = agent.gone() => break,
                _ = leaving.recv() => break,
            }
        }
        let _ = tokio::time::timeout(ENDING_PATIENCE, self.end_all(&mut children)).await;
        self.hierarchy.remove_pod(&self.pod.id);
        let _ = fs::remove_file(SOCKET);
    }

    /// Kills what lives, until nothing does.
    async fn end_all(&self, children: &mut tokio::signal::unix::Signal) {
        let mut changes = self.state.subscribe();
        while !self.live.borrow().is_empty() {
            // One that is only being launched has its process a moment later.
            for live in self.live.borrow().values() {
                live.process.map(|process| process.signal(Signal::KILL));
            }
            tokio::select! {
                _ = children.recv() => self.reap(),
                _ = changes.changed() => {}
            }
        }
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
            Request::Exit if self.state.borrow().is_over() => {
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
}

fn start_serving(
    orphans: Orphans,
) -> io::Result<(UnixListener, tokio::signal::unix::Signal, Agent)> {
    let agent = match orphans {
        Orphans::GoOn => Agent::Dispensable,
        Orphans::End => Agent::at_stdin()?,
    };
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
    Ok((listener, children, agent))
}
