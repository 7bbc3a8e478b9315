//! Which claims a pod has mounted: a record beside the pod's others, for whoever asks how full they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::shim::write_durably;

const FILE: &str = "claims.json";

/// A volume of a pod that is a claim's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimedVolume {
    /// The volume's name in the pod.
    pub(crate) volume: String,
    /// The claim.
    pub(crate) claim: String,
    /// Where it is on this machine.
    pub(crate) path: PathBuf,
}

impl ClaimedVolume {
    /// Those of the pod with this directory.
    pub(crate) fn of(pod_dir: &Path) -> Vec<Self> {
        let text = fs::read(pod_dir.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

/// Keeps which ones a pod has; nothing for a pod without any.
pub(super) fn write(pod_dir: &Path, claimed: &[ClaimedVolume]) -> io::Result<()> {
    if claimed.is_empty() {
        return Ok(());
    }
    write_durably(&pod_dir.join(FILE), &serde_json::to_vec(claimed)?)
}
