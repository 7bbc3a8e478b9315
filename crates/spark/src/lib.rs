//! Spark on Kubernetes: native submission, lifecycle and the controllers of the Spark kinds.

pub mod lifecycle;
pub mod lower;
pub mod spark_submit;
pub mod submission;
