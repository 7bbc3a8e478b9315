//! Spark on Kubernetes: native submission, lifecycle and the controllers of the Spark kinds.

pub mod connect;
pub mod controller;
pub mod diagnosis;
pub mod eventlogs;
pub mod history;
pub mod lifecycle;
pub mod lower;
pub mod metrics;
pub mod observe;
pub mod original;
pub mod policy;
pub mod queue;
pub mod rbac;
pub mod resources;
pub mod schedule;
pub mod spark_submit;
pub mod standing;
pub mod stores;
pub mod submission;
pub mod survey;
pub mod webhook;
