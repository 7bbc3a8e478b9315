//! How any Windlass controller runs: watch, observe, plan, apply, status.
//!
//! A controller answers four questions as a [`Controller`]; everything that talks to a cluster is
//! here. The contract, with an example, is in [`controller`]; the data a decision is made of is in
//! [`plan`].

pub mod api;
pub mod controller;
pub mod kind;
pub mod metrics;
pub mod object;
pub mod plan;
pub mod store;
pub mod view;

pub use controller::{Child, Class, Controller, Link, Trim, Watch};
pub use kind::{Kind, ObjectKey};
pub use object::Object;
pub use view::View;
