//! Classes for claims: what a claim that names a class which does not exist gets in this cluster.
//!
//! Reading order: [`provider`] and [`evidence`] say whose machines a cluster runs on, [`drivers`] which
//! drivers there are, [`claim`] what is asked for, and [`decide()`](decide::decide) what it gets. All of that
//! is pure; [`controller`] watches and writes, and [`metadata`] asks the servers of providers.
//!
//! Laws:
//! - a class is made by POST and never changed or deleted: who has made one of the same name was quicker;
//! - a claim is its writer's: of it only one condition is written, which goes when its reason has gone.

pub mod claim;
pub mod class;
pub mod controller;
pub mod decide;
pub mod drivers;
pub mod evidence;
mod legacy;
pub mod metadata;
pub mod plan;
pub mod provider;
pub mod report;
pub mod settings;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use settings::{NamePattern, Parameter, Settings, Shares, Table};
