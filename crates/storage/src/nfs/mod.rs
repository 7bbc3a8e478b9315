//! Shares where a cluster has disks alone: an NFS server for each class of shares, on a disk of its own.
//! Pure; nothing carries it out yet.
//!
//! The server is NFS-Ganesha, which needs no kernel module, in the image of the Kubernetes project's
//! provisioner for it (`registry.k8s.io/sig-storage/nfs-provisioner`). Where the cluster has csi-driver-nfs
//! that makes the volumes and the server exports one tree; where not, the provisioner in the image makes them.
//!
//! Laws:
//! - each class has a server and a disk, and no two classes have the same;
//! - the disk has room for all claims of the class together, and never gets smaller;
//! - nothing is deleted: what is on the disk is the users'.

use serde_json::{Value, json};
use windlass_api::names::{LABEL_MAX, shorten};
use windlass_api::quantity::Quantity;
use windlass_engine::Object;
use windlass_engine::plan::{Effect, ObjectRef};

use crate::classes::class::{MADE_FOR, MANAGED_BY};

/// The annotation of claims whose class is one of shares, whatever its name; its value is `server`.
pub const WANTED: (&str, &str) = ("windlass.dev/storage-nfs", "server");
/// What makes volumes on servers that are there.
pub const CSI_DRIVER: &str = "nfs.csi.k8s.io";

/// What a class of shares is known by, as the original operator knew it.
const IN_ITS_NAME: &str = "nfs";
/// The label of all objects of a server, with the server's name.
const SERVER: &str = "windlass.dev/nfs-server";
const PORT: u16 = 2049;
/// What a server exports.
const EXPORT: &str = "/export";
/// What the disk has besides what is asked for: its file system, and what the server keeps.
const ROOM: &str = "2Gi";

/// How servers are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of the servers: that of the operator.
    pub namespace: String,
    /// The image of the server.
    pub image: String,
    /// The ServiceAccount of servers that make volumes themselves.
    pub account: String,
    /// The class of their disks; the cluster's default where it is not given.
    pub disk_class: Option<String>,
}

/// Who makes the volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// csi-driver-nfs, as directories of the server.
    Csi,
    /// The provisioner in the server's image.
    Own,
}

/// A class of shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its name.
    pub class: String,
    /// The claim that named it first.
    pub made_for: String,
    /// What its claims ask for.
    pub asked: Vec<Quantity>,
}

/// What of a server is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// What its disk asks for.
    pub disk: Option<Quantity>,
    /// Its Service.
    pub service: bool,
    /// What it exports.
    pub exports: bool,
    /// Its StatefulSet.
    pub set: bool,
    /// The class.
    pub class: bool,
}

/// Whether a claim is one for a share.
pub fn is_meant(claim: &Object) -> bool {
    let class = claim.spec()["storageClassName"]
        .as_str()
        .unwrap_or_default();
    claim.annotation(WANTED.0) == Some(WANTED.1) && !class.is_empty() || class.contains(IN_ITS_NAME)
}

/// The name of the server of a class, and of all that it consists of.
pub fn server_name(class: &str) -> String {
    // Names of Services are labels, without dots: two classes that differ in one only stay different.
    let plain = class.replace('.', "-");
    let name = if plain == class {
        format!("nfs-{class}")
    } else {
        format!("nfs-{plain}-{}", windlass_api::names::hash(class))
    };
    // The pod's name, and its revision's, are longer.
    shorten(&name, LABEL_MAX - 11)
}

/// What the disk of a class has to ask for; `None` beyond what can be counted.
pub fn disk_size(share: &Share) -> Option<Quantity> {
    let room: Quantity = ROOM.parse().ok()?;
    share
        .asked
        .iter()
        .try_fold(room, |sum, one| sum.checked_add(*one))
}

/// What is to be done for a class of shares.
pub fn plan(share: &Share, present: &Present, way: Way, settings: &Settings) -> Vec<Effect> {
    let server = Server {
        name: server_name(&share.class),
        share,
        way,
        settings,
    };
    let mut effects = Vec::new();
    let wanted = disk_size(share);
    match (&present.disk, wanted) {
        (None, Some(size)) => effects.push(Effect::Create(server.disk(size))),
        (Some(disk), Some(size)) if *disk < size => effects.push(Effect::Patch {
            target: server.disk_ref(),
            patch: json!({"spec": {"resources": {"requests": {"storage": size}}}}),
        }),
        _ => {}
    }
    if !present.service {
        effects.push(Effect::Create(server.service()));
    }
    if way == Way::Csi && !present.exports {
        effects.push(Effect::Create(server.exports()));
    }
    if !present.set {
        effects.push(Effect::Create(server.set()));
    }
    if !present.class {
        effects.push(Effect::Create(server.class()));
    }
    effects
}

struct Server<'a> {
    name: String,
    share: &'a Share,
    way: Way,
    settings: &'a Settings,
}

impl Server<'_> {
    fn metadata(&self, name: &str) -> Value {
        json!({
            "name": name,
            "namespace": self.settings.namespace,
            "labels": { MANAGED_BY.0: MANAGED_BY.1, SERVER: self.name },
            "annotations": { MADE_FOR: self.share.class },
        })
    }

    fn disk_name(&self) -> String {
        format!("{}-data", self.name)
    }

    fn disk_ref(&self) -> ObjectRef {
        ObjectRef {
            api_version: "v1".to_owned(),
            kind: "PersistentVolumeClaim".to_owned(),
            namespace: Some(self.settings.namespace.clone()),
            name: self.disk_name(),
        }
    }

    fn disk(&self, size: Quantity) -> Value {
        let mut disk = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": self.metadata(&self.disk_name()),
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": size}},
            },
        });
        if let Some(class) = &self.settings.disk_class {
            disk["spec"]["storageClassName"] = json!(class);
        }
        disk
    }

    fn service(&self) -> Value {
        // Volumes name this address for as long as they live, so it is one that stays.
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata(&self.name),
            "spec": {
                "selector": { SERVER: self.name },
                "ports": [{"name": "nfs", "port": PORT, "targetPort": "nfs"}],
            },
        })
    }

    /// The server's configuration: version 4 alone, so that there is one port, and what clients hold is
    /// kept on the disk for the next start.
    fn exports(&self) -> Value {
        let text = format!(
            "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {PORT}; }}\n\
             NFSv4 {{ Minor_Versions = 1, 2; RecoveryRoot = {EXPORT}/.recovery; }}\n\
             EXPORT {{\n  Export_Id = 1;\n  Path = {EXPORT};\n  Pseudo = /;\n  Access_Type = RW;\n  \
             Squash = No_Root_Squash;\n  SecType = sys;\n  FSAL {{ Name = VFS; }}\n}}\n"
        );
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.metadata(&self.name),
            "data": { "ganesha.conf": text },
        })
    }

    fn set(&self) -> Value {
        let labels = json!({ SERVER: self.name });
        let mut container = json!({
            "name": "nfs",
            "image": self.settings.image,
            "ports": [{"name": "nfs", "containerPort": PORT}],
            "readinessProbe": {"tcpSocket": {"port": "nfs"}},
            // It opens files by their handles, for whoever owns them.
            "securityContext": {"capabilities": {"add": ["DAC_READ_SEARCH", "SYS_RESOURCE"]}},
            "volumeMounts": [{"name": "data", "mountPath": EXPORT}],
        });
        let mut pod = json!({
            "terminationGracePeriodSeconds": 30,
            "volumes": [{
                "name": "data", "persistentVolumeClaim": {"claimName": self.disk_name()},
            }],
        });
        match self.way {
            Way::Csi => {
                container["command"] = json!([
                    "ganesha.nfsd",
                    "-F",
                    "-L",
                    "/dev/stdout",
                    "-f",
                    "/etc/windlass/ganesha.conf"
                ]);
                container["volumeMounts"] = json!([
                    {"name": "data", "mountPath": EXPORT},
                    {"name": "exports", "mountPath": "/etc/windlass", "readOnly": true},
                ]);
                pod["volumes"] = json!([
                    {"name": "data", "persistentVolumeClaim": {"claimName": self.disk_name()}},
                    {"name": "exports", "configMap": {"name": self.name}},
                ]);
                pod["automountServiceAccountToken"] = json!(false);
            }
            Way::Own => {
                let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
                container["args"] = json!([format!("-provisioner={}", self.provisioner())]);
                container["env"] = json!([
                    {"name": "POD_IP", "valueFrom": field("status.podIP")},
                    {"name": "POD_NAMESPACE", "valueFrom": field("metadata.namespace")},
                    {"name": "SERVICE_NAME", "value": self.name},
                ]);
                pod["serviceAccountName"] = json!(self.settings.account);
            }
        }
        pod["containers"] = json!([container]);
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": self.metadata(&self.name),
            "spec": {
                "replicas": 1,
                "serviceName": self.name,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        })
    }

    fn provisioner(&self) -> String {
        match self.way {
            Way::Csi => CSI_DRIVER.to_owned(),
            Way::Own => format!("windlass.dev/{}", self.name),
        }
    }

    fn class(&self) -> Value {
        let mut class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": self.share.class,
                "labels": { MANAGED_BY.0: MANAGED_BY.1, SERVER: self.name },
                "annotations": { MADE_FOR: self.share.made_for },
            },
            "provisioner": self.provisioner(),
            // As the original operator had it: what is shared by many is not thrown away with one claim.
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "Immediate",
            "mountOptions": ["nfsvers=4.1"],
        });
        if self.way == Way::Csi {
            class["parameters"] = json!({
                "server": format!("{}.{}.svc.cluster.local", self.name, self.settings.namespace),
                "share": "/",
                "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}",
            });
        }
        class
    }
}

#[cfg(test)]
mod tests;
