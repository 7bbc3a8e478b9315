//! The Spark kinds.

pub mod application;
pub mod connect;
pub mod original;
pub mod policy;
pub mod scheduled;

pub use application::SparkApplication;
pub use connect::SparkConnect;
pub use original::SparkApplication as OriginalSparkApplication;
pub use policy::SparkPolicy;
pub use scheduled::ScheduledSparkApplication;
