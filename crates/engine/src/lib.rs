//! How any Windlass controller runs: watch, observe, plan, apply, status.
//!
//! A controller answers four questions as a [`Controller`]; everything that talks to a cluster is
//! here. The contract, with an example, is in [`controller`]; the data a decision is made of is in
//! [`plan`].

mod accept;
pub mod api;
pub mod controller;
pub mod engine;
pub mod events;
mod externals;
mod gate;
pub mod health;
pub mod kind;
pub mod lease;
pub mod metrics;
pub mod object;
mod pass;
pub mod plan;
pub mod queue;
pub mod rbac;
mod runner;
mod same;
pub mod selector;
pub mod store;
mod territory;
pub mod view;
mod watch;
pub mod webhook;

pub use controller::{Child, Class, Controller, Link, Trim, Watch};
pub use engine::{Engine, EngineBuilder};
pub use kind::{Kind, ObjectKey};
pub use object::Object;
pub use pass::PassError;
pub use queue::QueueConfig;
pub use runner::Clock;
pub use selector::Selector;
pub use territory::{Namespaces, Territory};
pub use view::View;
