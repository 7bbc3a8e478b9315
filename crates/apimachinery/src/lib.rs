//! Kubernetes API semantics on [`serde_json::Value`], with no client, no clock and no I/O.
//!
//! The embedded API server asks this crate every question whose answer does not depend on what
//! is stored: does a selector match, what does a patch make of a document, who owns which field
//! afterwards, is this object valid, how does it print, what does this protobuf body say.
//!
//! Laws that hold throughout the crate:
//! - Every function is total over JSON: a malformed object yields an error value, never a panic.
//! - Nothing reads the clock. Whoever needs "now" passes it in.
//! - Messages are those of kube-apiserver, because clients and people match on them.

pub mod amounts;
pub mod builtin;
pub mod cel;
pub mod conditions;
pub mod field;
pub mod go;
pub mod limits;
pub mod managed;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod printers;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod schema;
pub mod selectors;
pub mod structural;
