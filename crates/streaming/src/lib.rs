//! The remote command and port-forward protocols of Kubernetes: channel WebSockets, and SPDY/3.1.

pub mod backend;
