//! The Spark kinds.

pub mod application;
pub mod scheduled;

pub use application::SparkApplication;
pub use scheduled::ScheduledSparkApplication;
