//! Pseudo-terminals as asynchronous streams.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;
use windlass_streaming::backend::TerminalSize;

/// A terminal: its controlling side in three parts, and the side for the program.
pub(crate) struct Pty {
    /// What the programs on the terminal write.
    pub(crate) reader: PtyReader,
    /// What they read.
    pub(crate) writer: pipe::Sender,
    /// For changing its size.
    pub(crate) control: PtyControl,
    /// The program's side.
    pub(crate) program: OwnedFd,
}

/// The output of a terminal.
pub(crate) struct PtyReader(pipe::Receiver);

/// A terminal's settings; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct PtyControl(Arc<OwnedFd>);

impl Pty {
    /// Opens a terminal.
    pub(crate) fn open() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let program = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty())?;
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        // "Unchecked" only as to whether the descriptor is a pipe; readiness works the same.
        let reader = pipe::Receiver::from_owned_fd_unchecked(master.try_clone()?)?;
        let writer = pipe::Sender::from_owned_fd_unchecked(master.try_clone()?)?;
        let control = PtyControl(Arc::new(master));
        Ok(Self {
            reader: PtyReader(reader),
            writer,
            control,
            program,
        })
    }
}

impl PtyControl {
    /// Tells the programs on the terminal its size.
    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let size = Winsize {
            ws_row: size.height,
            ws_col: size.width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.0, size).map_err(Into::into)
    }
}

impl AsyncRead for PtyReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let hung_up = Some(rustix::io::Errno::IO.raw_os_error());
        match ready!(Pin::new(&mut self.0).poll_read(context, buffer)) {
            // The last program has closed the terminal: that is the end of the stream.
            Err(error) if error.raw_os_error() == hung_up => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
