//! What the quick and the long tests share: a disk whose power fails, lives of a store on it, and
//! what a watch must have seen.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod chance;
pub(crate) mod crowd;
pub(crate) mod disk;
pub(crate) mod history;
pub(crate) mod lives;
