//! A container's standard streams: making them, and moving what they carry.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::rc::Rc;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{broadcast, mpsc};

use crate::pty::{Pty, PtyControl};
use crate::sandbox::spec::{ContainerSpec, StdinMode};
use crate::shim::log::{LogWriter, PartialLine, Stream};

use super::Input;

pub(super) type BoxedReader = Box<dyn AsyncRead + Unpin>;
pub(super) type BoxedWriter = Box<dyn AsyncWrite + Unpin>;

/// Both halves of a container's standard streams.
pub(super) struct Streams {
    pub(super) stdin: Stdio,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
    pub(super) input: Input,
    pub(super) feed: Option<(mpsc::Receiver<Vec<u8>>, BoxedWriter)>,
    pub(super) terminal: Option<PtyControl>,
    pub(super) readers: Vec<(Stream, BoxedReader)>,
}

impl Streams {
    pub(super) fn open(spec: &ContainerSpec) -> io::Result<Self> {
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

pub(super) async fn pump_output(
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

pub(super) async fn pump_input(mut receiver: mpsc::Receiver<Vec<u8>>, mut sink: BoxedWriter) {
    while let Some(bytes) = receiver.recv().await {
        if sink.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
