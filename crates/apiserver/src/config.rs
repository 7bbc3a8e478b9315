//! What the server has to be told.

use std::path::PathBuf;

use crate::store::{Durability, WindowLimits};

/// How to run a server. Everything else it needs (keys, certificates, tokens, the chosen port)
/// it makes once and keeps in `data_dir`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where all state lives; created with mode 0700. Only one server may use it at a time.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1. 0 picks a free one the first time and keeps it.
    pub port: u16,
    /// The octet N of this cluster's network 127.N.0.0/16, from 16 to 250.
    pub loopback_octet: u8,
    /// Whether acknowledged writes survive a crash.
    pub durability: Durability,
    /// How much history watchers can resume from.
    pub window: WindowLimits,
    /// Whether to listen at all; a server without listeners serves in-process clients only.
    pub listen: bool,
}

impl Config {
    /// The usual settings for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 6443,
            loopback_octet: 20,
            durability: Durability::Immediate,
            window: WindowLimits::default(),
            listen: true,
        }
    }

    /// The port that the server of this data directory had the last time.
    pub fn kept_port(&self) -> Option<u16> {
        let text = std::fs::read_to_string(self.data_dir.join("port")).ok()?;
        text.trim().parse().ok().filter(|port| *port != 0)
    }

    /// Settings for tests: nothing is synchronised to disk, and the port is picked.
    pub fn for_tests(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            port: 0,
            durability: Durability::None,
            ..Self::new(data_dir)
        }
    }
}
