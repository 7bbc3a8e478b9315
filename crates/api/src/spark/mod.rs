//! The Spark kinds.

pub mod application;
pub mod connect;
pub mod history;
pub mod original;
pub mod policy;
pub mod scheduled;
mod standing;

pub use application::SparkApplication;
pub use connect::SparkConnect;
pub use history::SparkHistoryServer;
pub use original::SparkApplication as OriginalSparkApplication;
pub use policy::SparkPolicy;
pub use scheduled::ScheduledSparkApplication;
