//! The engine as a whole, against a small API in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod api;
mod apps;
mod leadership;
mod neighbours;
mod order;
mod probes;
mod watching;
