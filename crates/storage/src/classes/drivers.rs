//! The drivers that are known: what they serve, whose disks they make, and what their classes say.
//!
//! The names and parameters are those of the drivers' own documentation. A driver that is not in the
//! table is used only where a setting or a claim names it.

use super::provider::Provider;

/// How a volume is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// By the pods of one node: `ReadWriteOnce`, `ReadWriteOncePod`.
    One,
    /// Written by pods of many nodes: `ReadWriteMany`.
    Many,
    /// Read by pods of many nodes: `ReadOnlyMany`.
    Readers,
}

/// When a class gives its claims volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// When a pod that uses the claim has a node, so that the volume is in its zone.
    FirstConsumer,
    /// At once: the volumes are reached from everywhere.
    Immediate,
}

/// How it is known that a driver is in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// By its CSIDriver object.
    Csi,
    /// It is no CSI driver: by a class that it has come with.
    ByClass,
}

/// A driver, and what is to be said in its classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Driver {
    /// The provisioner of its classes.
    pub name: &'static str,
    /// Whose disks it makes; of nobody in particular where there is none.
    pub provider: Option<Provider>,
    /// How it is known that it is there.
    pub shown: Shown,
    /// What it serves, as a file system.
    pub serves: &'static [Need],
    /// What it serves as a raw device.
    pub serves_raw: &'static [Need],
    /// Whether its volumes grow.
    pub expands: bool,
    /// When its volumes are made.
    pub binding: Binding,
    /// What each of its classes says, unless something else is wanted.
    pub usual: &'static [(&'static str, &'static str)],
    /// What a class cannot be without, and nobody but the cluster's keeper knows: one of each group.
    pub asks: &'static [&'static [&'static str]],
    /// The parameter that chooses among kinds of disks.
    pub kind: Option<&'static str>,
    /// The parameter that chooses the file system.
    pub file_system: Option<&'static str>,
    /// What else a claim may choose. What names a Secret, a server or a directory is never among it: a
    /// claim is one namespace's, and they may be another one's.
    pub choices: &'static [&'static str],
}

const ONE: &[Need] = &[Need::One];
const FILES: &[Need] = &[Need::One, Need::Many, Need::Readers];
/// The file system, as CSI's own provisioner reads it.
const FS_TYPE: &str = "csi.storage.k8s.io/fstype";
const PROVISIONER_SECRET: &str = "csi.storage.k8s.io/provisioner-secret-name";
/// Directories of a node, for trying CSI out.
const HOST_PATH: &str = "hostpath.csi.k8s.io";
const NODE_SECRET: &str = "csi.storage.k8s.io/node-stage-secret-name";

/// A driver of disks, each of which one node has at a time.
const DISK: Driver = Driver {
    name: "",
    provider: None,
    shown: Shown::Csi,
    serves: ONE,
    serves_raw: ONE,
    expands: true,
    binding: Binding::FirstConsumer,
    usual: &[],
    asks: &[],
    kind: None,
    file_system: Some(FS_TYPE),
    choices: &[],
};
/// A driver of shares, which all nodes have.
const SHARE: Driver = Driver {
    serves: FILES,
    serves_raw: &[],
    binding: Binding::Immediate,
    file_system: None,
    ..DISK
};

/// All of them; of two that would do, the first is taken where both are of the provider.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "ebs.csi.aws.com",
        provider: Some(Provider::Aws),
        usual: &[("type", "gp3")],
        kind: Some("type"),
        choices: &["iops", "iopsPerGB", "throughput", "encrypted", "kmsKeyId"],
        ..DISK
    },
    // EKS with nodes that it keeps itself.
    Driver {
        name: "ebs.csi.eks.amazonaws.com",
        provider: Some(Provider::Aws),
        usual: &[("type", "gp3")],
        kind: Some("type"),
        choices: &["iops", "iopsPerGB", "throughput", "encrypted", "kmsKeyId"],
        ..DISK
    },
    Driver {
        name: "efs.csi.aws.com",
        provider: Some(Provider::Aws),
        expands: false,
        usual: &[("provisioningMode", "efs-ap"), ("directoryPerms", "700")],
        asks: &[&["fileSystemId"]],
        choices: &["directoryPerms", "uid", "gid"],
        ..SHARE
    },
    Driver {
        name: "disk.csi.azure.com",
        provider: Some(Provider::Azure),
        usual: &[("skuName", "StandardSSD_LRS")],
        kind: Some("skuName"),
        choices: &["cachingMode"],
        ..DISK
    },
    Driver {
        name: "file.csi.azure.com",
        provider: Some(Provider::Azure),
        usual: &[("skuName", "Standard_LRS")],
        kind: Some("skuName"),
        choices: &["protocol"],
        ..SHARE
    },
    // Disks of Google's are read by many nodes at once, so they come first for who only reads.
    Driver {
        name: "pd.csi.storage.gke.io",
        provider: Some(Provider::Google),
        serves: &[Need::One, Need::Readers],
        usual: &[("type", "pd-balanced")],
        kind: Some("type"),
        choices: &["replication-type"],
        ..DISK
    },
    Driver {
        name: "filestore.csi.storage.gke.io",
        provider: Some(Provider::Google),
        usual: &[("tier", "standard"), ("network", "default")],
        kind: Some("tier"),
        ..SHARE
    },
    Driver {
        name: "diskplugin.csi.alibabacloud.com",
        provider: Some(Provider::Alibaba),
        usual: &[("type", "cloud_essd")],
        kind: Some("type"),
        choices: &["performanceLevel", "encrypted", "kmsKeyId"],
        ..DISK
    },
    Driver {
        name: "nasplugin.csi.alibabacloud.com",
        provider: Some(Provider::Alibaba),
        usual: &[("volumeAs", "subpath")],
        asks: &[&["server"]],
        ..SHARE
    },
    Driver {
        name: "blockvolume.csi.oraclecloud.com",
        provider: Some(Provider::Oracle),
        usual: &[("vpusPerGB", "10")],
        kind: Some("vpusPerGB"),
        choices: &["attachment-type"],
        ..DISK
    },
    Driver {
        name: "fss.csi.oraclecloud.com",
        provider: Some(Provider::Oracle),
        asks: &[
            &["availabilityDomain"],
            &["mountTargetOcid", "mountTargetSubnetOcid"],
        ],
        choices: &["encryptInTransit"],
        ..SHARE
    },
    Driver {
        name: "vpc.block.csi.ibm.io",
        provider: Some(Provider::Ibm),
        usual: &[("profile", "general-purpose")],
        kind: Some("profile"),
        choices: &["encrypted", "encryptionKey", "billingType", "iops"],
        ..DISK
    },
    Driver {
        name: "vpc.file.csi.ibm.io",
        provider: Some(Provider::Ibm),
        usual: &[("profile", "dp2")],
        kind: Some("profile"),
        choices: &["iops", "isENIEnabled", "isEITEnabled"],
        ..SHARE
    },
    Driver {
        name: "cinder.csi.openstack.org",
        provider: Some(Provider::OpenStack),
        kind: Some("type"),
        choices: &["availability"],
        ..DISK
    },
    Driver {
        name: "nfs.manila.csi.openstack.org",
        provider: Some(Provider::OpenStack),
        asks: &[&["type"], &[PROVISIONER_SECRET], &[NODE_SECRET]],
        kind: Some("type"),
        ..SHARE
    },
    Driver {
        name: "cephfs.manila.csi.openstack.org",
        provider: Some(Provider::OpenStack),
        asks: &[&["type"], &[PROVISIONER_SECRET], &[NODE_SECRET]],
        kind: Some("type"),
        ..SHARE
    },
    Driver {
        name: "dobs.csi.digitalocean.com",
        provider: Some(Provider::DigitalOcean),
        ..DISK
    },
    Driver {
        name: "csi.vsphere.vmware.com",
        provider: Some(Provider::VSphere),
        kind: Some("storagepolicyname"),
        choices: &["datastoreurl"],
        ..DISK
    },
    Driver {
        name: "topolvm.io",
        kind: Some("topolvm.io/device-class"),
        ..DISK
    },
    Driver {
        name: "rbd.csi.ceph.com",
        // A device of its own can be written by many nodes; a file system on it cannot.
        serves_raw: FILES,
        binding: Binding::Immediate,
        asks: &[
            &["clusterID"],
            &["pool"],
            &[PROVISIONER_SECRET],
            &[NODE_SECRET],
        ],
        ..DISK
    },
    Driver {
        name: "cephfs.csi.ceph.com",
        asks: &[
            &["clusterID"],
            &["fsName"],
            &[PROVISIONER_SECRET],
            &[NODE_SECRET],
        ],
        ..SHARE
    },
    Driver {
        name: "driver.longhorn.io",
        serves: FILES,
        binding: Binding::Immediate,
        choices: &["numberOfReplicas", "staleReplicaTimeout", "dataLocality"],
        file_system: Some("fsType"),
        ..DISK
    },
    Driver {
        name: "nfs.csi.k8s.io",
        asks: &[&["server"], &["share"]],
        choices: &["mountPermissions", "onDelete"],
        ..SHARE
    },
    Driver {
        name: HOST_PATH,
        file_system: None,
        ..DISK
    },
    Driver {
        name: "rancher.io/local-path",
        shown: Shown::ByClass,
        serves_raw: &[],
        expands: false,
        file_system: None,
        ..DISK
    },
    // Of a cluster that Windlass runs by itself: every directory is on its one node.
    Driver {
        name: "windlass.dev/local-path",
        shown: Shown::ByClass,
        serves: FILES,
        serves_raw: &[],
        binding: Binding::Immediate,
        file_system: None,
        ..DISK
    },
];

impl Driver {
    /// The driver of this name, if it is known.
    pub fn named(name: &str) -> Option<&'static Self> {
        DRIVERS.iter().find(|it| it.name == name)
    }

    /// Whether its volumes are directories that all nodes have, and never a disk.
    pub fn is_share(&self) -> bool {
        self.serves.contains(&Need::Many) && self.serves_raw.is_empty()
    }

    /// Whether somebody who lacks a driver is well advised to install it: it is neither a part of a
    /// distribution nor for trying things out.
    pub fn is_for_everybody(&self) -> bool {
        self.shown == Shown::Csi && self.name != HOST_PATH
    }

    /// Whether it makes volumes for this use.
    pub fn does(&self, need: Need, is_raw: bool) -> bool {
        let list = if is_raw { self.serves_raw } else { self.serves };
        list.contains(&need)
    }
}

impl Need {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::One, Self::Many, Self::Readers];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_driver_is_in_the_table_once_and_can_be_told_from_the_others() {
        let names: BTreeSet<&str> = DRIVERS.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), DRIVERS.len());
        assert!(names.iter().all(|name| !name.is_empty()));
    }

    #[test]
    fn a_claim_never_chooses_what_may_be_somebody_elses() {
        let forbidden = [
            "secret",
            "csi.storage.k8s.io",
            "server",
            "share",
            "path",
            "Dir",
            "fileSystem",
        ];
        for driver in DRIVERS {
            let mut all = driver.choices.iter().filter(|it| **it != "directoryPerms");
            let wrong = all.find(|it| forbidden.iter().any(|word| it.contains(word)));
            assert_eq!(wrong, None, "{}", driver.name);
        }
    }

    #[test]
    fn every_provider_has_a_driver_of_disks() {
        for provider in Provider::ALL {
            let mut own = DRIVERS.iter().filter(|it| it.provider == Some(provider));
            assert!(own.any(|it| it.does(Need::One, false)), "{provider}");
        }
    }
}
