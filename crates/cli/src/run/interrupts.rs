//! Signals that ask a running command to stop.
//!
//! They are listened to from the start, so that none is lost between two moments of waiting.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C: someone may be there to be asked what they want.
    Asked,
    /// SIGTERM: stop.
    Told,
}

/// The signals of this process.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Takes the signals over; from now on none of them ends the process by itself.
    pub fn listen() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(Failure::internal)?,
            terminate: signal(SignalKind::terminate()).map_err(Failure::internal)?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::Asked,
            _ = self.terminate.recv() => Interrupt::Told,
        }
    }
}
