//! The remote command and port-forward protocols of Kubernetes: channel WebSockets, and SPDY/3.1.
//!
//! The API server looks a pod up and authorizes the request; this crate answers it. A handler
//! negotiates the protocol, asks the [`backend::NodeBackend`] for the process or the connection,
//! and returns the `101` response; the session then runs in a task that [`Sessions`] owns.
//!
//! Laws:
//! - nothing outlives its session: a client that goes away drops the [`backend::Process`] or the
//!   pod connection, and [`Sessions::shutdown`] waits for all of them;
//! - every queue is bounded, so that a slow reader slows the writer and never fills memory;
//! - the exit status is the last thing a remote command sends, after all of its output.

pub mod backend;
mod link;
pub mod port_forward;
pub mod query;
pub mod remote_command;
mod spdy;
mod status;
mod upgrade;
mod websocket;

pub use upgrade::{Refusal, Sessions};
