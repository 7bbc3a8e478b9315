//! The Spark kinds.

pub mod application;
pub mod connect;
pub mod scheduled;

pub use application::SparkApplication;
pub use connect::SparkConnect;
pub use scheduled::ScheduledSparkApplication;
