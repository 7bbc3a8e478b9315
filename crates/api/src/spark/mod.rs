//! The Spark kinds.

pub mod application;

pub use application::SparkApplication;
