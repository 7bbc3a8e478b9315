//! Virtual clusters: the applications of KubeDirector, run from their metadata and a setup package.
//!
//! A cluster is a StatefulSet per role of its application. Members are told of their cluster by a
//! file that is mounted into them, are set up by a script that an exec starts, and hear by the same
//! script who comes and goes. All but [`controller`] is pure: objects and decisions are made from values.
//!
//! Laws:
//! - how a cluster stands follows from its objects, their labels and annotations; its status is what
//!   people read and no memory, so that a restore of the objects without it goes on;
//! - what a member has been told is written on its pod after it was told, and asked for again until
//!   then; the member itself sees to it that nothing is started twice.

pub mod agent;
pub mod around;
pub mod autoscale;
pub mod blueprint;
pub mod build;
pub mod configmeta;
pub mod controller;
pub mod diagnosis;
pub mod members;
pub mod names;
pub mod original;
pub mod rbac;
pub mod secret_keys;
pub mod webhook;

#[cfg(test)]
mod samples;
