//! What the API server asks of a node: logs, exec, attach, port-forward.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc;
use windlass_streaming::backend::{
    BackendError, ContainerRef, Duplex, ExecOptions, LogOptions, NodeBackend, Process, TerminalSize,
};

use crate::config::NodeConfig;
use crate::exec::Entrance;
use crate::logs::{self, LogQuery};
use crate::poddir::PodDir;
use crate::proc::exit_code;
use crate::pty::Pty;
use crate::shim::{
    Frame, Instance, Instances, Life, PodState, Request, dial, read_frame, write_frame,
};
use crate::stats;

/// How many pods that have gone are remembered for [`NodeStreams::usage`].
const REMEMBERED: usize = 1000;
/// The buffer between a container's streams and an attached client.
const ATTACH_BUFFER: usize = 64 << 10;

/// Serves the streaming requests of pods from what their shims keep on disk.
///
/// It needs no API client, so it can be handed to the API server before the agent starts.
#[derive(Debug)]
pub struct NodeStreams {
    data_dir: PathBuf,
    exe: PathBuf,
    usage: Mutex<BTreeMap<String, PodUsage>>,
}

/// What a pod has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodUsage {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The most memory its containers were seen to hold, in bytes, added up.
    pub peak_memory: u64,
}

impl NodeStreams {
    /// Serves the pods below the configuration's data directory.
    pub fn new(config: &NodeConfig) -> Arc<Self> {
        Arc::new(Self {
            data_dir: config.data_dir.clone(),
            exe: config.exe.clone(),
            usage: Mutex::default(),
        })
    }

    /// What pods have used, by uid; pods that have gone are remembered for a while.
    pub fn usage(&self) -> BTreeMap<String, PodUsage> {
        self.usage.lock().clone()
    }

    pub(crate) fn note_usage(&self, uid: &str, usage: PodUsage) {
        let mut all = self.usage.lock();
        if all.len() >= REMEMBERED
            && !all.contains_key(uid)
            && let Some(any) = all.keys().next().cloned()
        {
            all.remove(&any);
        }
        all.insert(uid.to_owned(), usage);
    }

    fn find(&self, container: &ContainerRef) -> Result<(PodDir, Instances), BackendError> {
        let dir = self.pod_dir(container)?;
        let state = PodState::load(&dir.state())
            .map_err(|error| BackendError::Internal(error.to_string()))?;
        let instances = state.and_then(|mut state| state.containers.remove(&container.container));
        let instances = instances.ok_or_else(|| {
            BackendError::BadRequest(format!(
                "container \"{}\" in pod \"{}\" is waiting to start: ContainerCreating",
                container.container, container.pod
            ))
        })?;
        Ok((dir, instances))
    }

    fn pod_dir(&self, container: &ContainerRef) -> Result<PodDir, BackendError> {
        PodDir::new(&self.data_dir, &container.uid).ok_or_else(|| {
            BackendError::NotFound(format!("pod \"{}\" is not on this node", container.pod))
        })
    }

    /// How to enter the container, if it runs.
    fn entrance(&self, container: &ContainerRef) -> Result<Entrance, BackendError> {
        let (dir, instances) = self.find(container)?;
        match instances.current.life {
            Life::Running { process, .. } if process.is_alive() => {
                let directory = dir.container(&container.container, instances.current.attempt);
                Ok(Entrance::new(&self.exe, process, &directory))
            }
            Life::Starting { .. } | Life::Running { .. } | Life::Ended(_) => {
                Err(BackendError::BadRequest(format!(
                    "container \"{}\" in pod \"{}\" is not running",
                    container.container, container.pod
                )))
            }
        }
    }

    fn open_log(
        &self,
        container: &ContainerRef,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<Bytes, BackendError>>, BackendError> {
        let query = LogQuery::new(options, Timestamp::now())?;
        let (dir, instances) = self.find(container)?;
        let instance = if options.previous {
            instances.previous.ok_or_else(|| {
                BackendError::BadRequest(format!(
                    "previous terminated container \"{}\" in pod \"{}\" not found",
                    container.container, container.pod
                ))
            })?
        } else {
            instances.current
        };
        let log = dir.log(&container.container, instance.attempt);
        let name = container.container.clone();
        let Instance { attempt, .. } = instance;
        let ended = move || {
            let state = PodState::load(&dir.state()).ok().flatten();
            let current = state.and_then(|mut state| state.containers.remove(&name));
            current.is_none_or(|instances| {
                instances.current.attempt != attempt
                    || matches!(instances.current.life, Life::Ended(_))
            })
        };
        Ok(logs::read(log, query, ended))
    }

    fn start(
        &self,
        container: &ContainerRef,
        options: &ExecOptions,
    ) -> Result<Process, BackendError> {
        let entrance = self.entrance(container)?;
        let internal = |error: std::io::Error| {
            BackendError::Internal(format!("the command could not be started: {error}"))
        };
        let mut command = entrance
            .command(&options.command, options.tty)
            .map_err(internal)?;
        if options.tty {
            let Pty {
                reader,
                writer,
                control,
                program,
            } = Pty::open().map_err(internal)?;
            command
                .stdin(program.try_clone().map_err(internal)?)
                .stdout(program.try_clone().map_err(internal)?)
                .stderr(program);
            let mut child = command.spawn().map_err(internal)?;
            // The command keeps the program's side open as long as this is not dropped.
            drop(command);
            let (sender, mut sizes) = mpsc::channel::<TerminalSize>(4);
            tokio::spawn(async move {
                while let Some(size) = sizes.recv().await {
                    // A terminal that is gone needs no size.
                    let _ = control.resize(size);
                }
            });
            return Ok(Process {
                stdin: options.stdin.then(|| Box::pin(writer) as _),
                stdout: Some(Box::pin(reader)),
                stderr: None,
                resize: Some(sender),
                exit: Box::pin(async move {
                    let status = child.wait().await;
                    status
                        .map(|status| i32::from(exit_code(status)))
                        .map_err(|error| BackendError::Internal(error.to_string()))
                }),
            });
        }
        let pipe = |wanted: bool| {
            if wanted {
                Stdio::piped()
            } else {
                Stdio::null()
            }
        };
        command
            .stdin(pipe(options.stdin))
            .stdout(pipe(options.stdout))
            .stderr(pipe(options.stderr));
        let mut child = command.spawn().map_err(internal)?;
        Ok(Process {
            stdin: child.stdin.take().map(|stdin| Box::pin(stdin) as _),
            stdout: child.stdout.take().map(|stdout| Box::pin(stdout) as _),
            stderr: child.stderr.take().map(|stderr| Box::pin(stderr) as _),
            resize: None,
            exit: Box::pin(async move {
                let status = child.wait().await;
                status
                    .map(|status| i32::from(exit_code(status)))
                    .map_err(|error| BackendError::Internal(error.to_string()))
            }),
        })
    }
}

impl NodeBackend for NodeStreams {
    fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<Bytes, BackendError>>, BackendError>>
    {
        let opened = self.open_log(&container, &options);
        Box::pin(async move { opened })
    }

    fn exec(
        &self,
        container: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        let started = self.start(&container, &options);
        Box::pin(async move { started })
    }

    fn stats(&self, node: String) -> BoxFuture<'static, Result<Value, BackendError>> {
        let data_dir = self.data_dir.clone();
        Box::pin(async move {
            let read = move || stats::summary(&data_dir, &node, Timestamp::now());
            let read = tokio::task::spawn_blocking(read).await;
            let summary = read.map_err(io::Error::other).flatten();
            summary.map_err(|error| BackendError::Internal(error.to_string()))
        })
    }

    fn attach(
        &self,
        container: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        let found = self
            .entrance(&container)
            .and_then(|_| self.find(&container));
        Box::pin(async move {
            let (dir, instances) = found?;
            attach(dir, container.container, instances.current.attempt, options).await
        })
    }

    fn port_forward(
        &self,
        pod: ContainerRef,
        port: u16,
    ) -> BoxFuture<'static, Result<Box<dyn Duplex>, BackendError>> {
        let record = self.pod_dir(&pod).map(|dir| dir.record());
        Box::pin(async move {
            let record = record?.ok_or_else(|| {
                BackendError::NotFound(format!("pod \"{}\" is not on this node", pod.pod))
            })?;
            let stream = TcpStream::connect((record.address, port))
                .await
                .map_err(|error| {
                    BackendError::Internal(format!("dial tcp {}:{port}: {error}", record.address))
                })?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        })
    }
}

async fn attach(
    dir: PodDir,
    name: String,
    attempt: u32,
    options: ExecOptions,
) -> Result<Process, BackendError> {
    let internal = |error: std::io::Error| {
        BackendError::Internal(format!("the container's shim cannot be reached: {error}"))
    };
    let request = Request::Attach {
        container: name.clone(),
    };
    let mut stream = dial(dir.path(), request).await.map_err(internal)?;
    match read_frame(&mut stream).await.map_err(internal)? {
        Some(Frame::Ok) => {}
        Some(Frame::Refused(why)) => return Err(BackendError::BadRequest(why)),
        _ => {
            return Err(BackendError::Internal(
                "the container's shim went away".to_owned(),
            ));
        }
    }
    let (frames, mut input) = stream.into_split();
    let (stdout, out) = tokio::io::duplex(ATTACH_BUFFER);
    let (stderr, err) = tokio::io::duplex(ATTACH_BUFFER);
    let (stdin, mut typed) = tokio::io::duplex(ATTACH_BUFFER);
    let wants_stdin = options.stdin;
    // The writing half is handed back at the end of the client's input rather than dropped: its
    // closing would end the session, and output may still come.
    let typing = tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = typed.read(&mut buffer).await {
            let frame = Frame::Stdin(buffer[..count].to_vec());
            if write_frame(&mut input, &frame).await.is_err() {
                return input;
            }
        }
        if wants_stdin {
            // If the shim is gone, its end of the session says so.
            let _ = write_frame(&mut input, &Frame::Stdin(Vec::new())).await;
        }
        input
    });
    let pump = tokio::spawn(async move {
        demultiplex(frames, out, err).await;
        typing.abort();
    });
    let (resize, mut sizes) = mpsc::channel::<TerminalSize>(4);
    let (shim, container) = (dir.path().to_owned(), name.clone());
    tokio::spawn(async move {
        while let Some(size) = sizes.recv().await {
            let request = Request::Resize {
                container: container.clone(),
                size,
            };
            // A container without a terminal has no size; the client learns nothing new by it.
            let _ = dial(&shim, request).await;
        }
    });
    Ok(Process {
        stdin: options.stdin.then(|| Box::pin(stdin) as _),
        stdout: options.stdout.then(|| Box::pin(stdout) as _),
        stderr: (options.stderr && !options.tty).then(|| Box::pin(stderr) as _),
        resize: options.tty.then_some(resize),
        exit: Box::pin(async move {
            let _ = pump.await;
            let state = PodState::load(&dir.state()).ok().flatten();
            let instances = state.and_then(|mut state| state.containers.remove(&name));
            let code = instances.and_then(|instances| {
                let instance = [Some(instances.current), instances.previous]
                    .into_iter()
                    .flatten();
                instance
                    .filter(|i| i.attempt == attempt)
                    .find_map(|i| match i.life {
                        Life::Ended(ending) => Some(ending.exit_code),
                        Life::Starting { .. } | Life::Running { .. } => None,
                    })
            });
            Ok(code.unwrap_or(0))
        }),
    })
}

async fn demultiplex(
    mut frames: OwnedReadHalf,
    mut out: tokio::io::DuplexStream,
    mut err: tokio::io::DuplexStream,
) {
    // A client that stopped listening to one stream may still listen to the other.
    while let Ok(Some(frame)) = read_frame(&mut frames).await {
        match frame {
            Frame::Stdout(bytes) => drop(out.write_all(&bytes).await),
            Frame::Stderr(bytes) => drop(err.write_all(&bytes).await),
            _ => {}
        }
    }
}
