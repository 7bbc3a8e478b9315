//! SPDY/3.1, as far as Kubernetes clients use it: streams opened by the client, headers, data.
//!
//! [`frame`] knows the bytes, [`headers`] their compression, [`connection`] the streams.
//! Flow control: consumed bytes are credited with WINDOW_UPDATE, but our own sending does not
//! wait for credit, because the client library of kubectl never gives any; the bound is the
//! connection's own back pressure.

mod connection;
mod dictionary;
mod frame;
mod headers;

pub(crate) use connection::{Connection, Credit, Stream, StreamSender, open};
