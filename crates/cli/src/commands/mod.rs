//! The commands other than `run`.

pub mod app;
pub mod change;
pub mod check;
pub mod cloud;
pub mod connect;
pub mod diff;
pub mod events;
pub mod forward;
pub mod images;
pub mod install;
mod kept;
pub mod list;
pub mod logs;
pub mod operator;
pub mod render;
pub mod status;
pub mod submit;
pub mod tenant;
pub mod trigger;
pub mod ui;
pub mod up;
pub mod wait;
pub mod warm;
pub mod why;
