//! How full volumes are, as kubelets tell at `/stats/summary`.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_engine::ObjectKey;

/// How full a volume is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of its filesystem.
    pub capacity: u64,
    /// Bytes that are taken, or not to be had by programs.
    pub used: u64,
    /// Inodes of its filesystem; 0 where it does not count them.
    pub inodes: u64,
    /// Inodes that are taken.
    pub inodes_used: u64,
}

impl Usage {
    /// Whether the filesystem has figures that mean something.
    fn is_known(&self) -> bool {
        self.capacity > 0 && self.used <= self.capacity
    }
}

/// The volumes of claims in the summary of one node. Of a claim that several pods use, the fullest figures.
pub fn of_node(summary: &Value) -> BTreeMap<ObjectKey, Usage> {
    let mut known: BTreeMap<ObjectKey, Usage> = BTreeMap::new();
    let volumes = summary["pods"].as_array().into_iter().flatten();
    let volumes = volumes.flat_map(|pod| pod["volume"].as_array().into_iter().flatten());
    for volume in volumes {
        let claim = &volume["pvcRef"];
        let (Some(namespace), Some(name)) = (claim["namespace"].as_str(), claim["name"].as_str())
        else {
            continue;
        };
        let number = |field: &str| volume[field].as_u64().unwrap_or(0);
        let capacity = number("capacityBytes");
        let usage = Usage {
            capacity,
            // What is kept back for root is not to be had, and no program sees it.
            used: capacity.saturating_sub(number("availableBytes")),
            inodes: number("inodes"),
            inodes_used: number("inodesUsed"),
        };
        if !usage.is_known() {
            continue;
        }
        let fullest = known
            .entry(ObjectKey::namespaced(namespace, name))
            .or_default();
        if usage.used >= fullest.used {
            *fullest = usage;
        }
    }
    known
}
