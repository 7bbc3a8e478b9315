//! The commands other than `run`.

pub mod install;
pub mod operator;
pub mod render;
pub mod status;
pub mod trigger;
pub mod up;
pub mod warm;
