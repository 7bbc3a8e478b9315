//! How any Windlass controller runs: watch, observe, plan, apply, status.

pub mod plan;
