//! Compares the embedded API with a real kube-apiserver, request by request.
//!
//! A sequence of requests is made from a seed ([`generate`]), sent to both servers in a namespace
//! of its own ([`runner`]), and the answers are compared ([`compare`]) after what cannot be equal
//! (uids, times, revisions) has got the name of its first appearance ([`normalise`]). What differs
//! is shrunk to the requests that it takes ([`shrink`]) and told as lines for a shell ([`report`]).
//! The differences that stay are one table ([`allowed`]), explained in docs/conformance.md.
//!
//! Laws: a seed makes the same sequence everywhere; a sequence depends on no other one; a request
//! that needs the answer of one that is not there is left out on both sides.

pub mod allowed;
pub mod compare;
pub mod embedded;
pub mod generate;
pub mod kind;
pub mod normalise;
pub mod random;
pub mod real;
pub mod report;
pub mod runner;
pub mod sequence;
pub mod shrink;
pub mod suite;
