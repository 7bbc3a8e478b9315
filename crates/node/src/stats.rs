//! How full the volumes of pods are, in the words of a kubelet's `stats/summary`.
//!
//! Law, as of a kubelet: only what has a size of its own is told of. A volume that is a directory of the
//! machine's disk is as large as that, which nobody asked about.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::poddir::PodDir;
use crate::volumes::ClaimedVolume;

/// The summary of the pods of this directory.
pub(crate) fn summary(data_dir: &Path, node: &str, now: Timestamp) -> io::Result<Value> {
    let machine = std::fs::metadata(data_dir)?.dev();
    let mut pods = Vec::new();
    for (uid, dir) in PodDir::all(data_dir)? {
        let Some(record) = dir.record() else {
            continue;
        };
        let claimed = ClaimedVolume::of(dir.path()).into_iter();
        let volumes: Vec<Value> = claimed
            .filter_map(|volume| fullness(&volume, &record.namespace, machine, now))
            .collect();
        let mut pod = json!({
            "podRef": {"name": record.name, "namespace": record.namespace, "uid": uid},
            "startTime": record.accepted_at,
        });
        if !volumes.is_empty() {
            pod["volume"] = json!(volumes);
        }
        pods.push(pod);
    }
    Ok(json!({"node": {"nodeName": node}, "pods": pods}))
}

fn fullness(
    volume: &ClaimedVolume,
    namespace: &str,
    machine: u64,
    now: Timestamp,
) -> Option<Value> {
    // What went in the meantime is not told of.
    let has_a_size = std::fs::metadata(&volume.path).ok()?.dev() != machine;
    let stat = has_a_size.then(|| rustix::fs::statvfs(&volume.path).ok())??;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(json!({
        "time": now,
        "name": volume.volume,
        "pvcRef": {"name": volume.claim, "namespace": namespace},
        "capacityBytes": bytes(stat.f_blocks),
        "availableBytes": bytes(stat.f_bavail),
        "usedBytes": bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        "inodes": stat.f_files,
        "inodesFree": stat.f_ffree,
        "inodesUsed": stat.f_files.saturating_sub(stat.f_ffree),
    }))
}
