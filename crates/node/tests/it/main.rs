//! Integration tests: real processes in real namespaces.

mod cluster;
mod pods;
mod sandbox;
mod support;
