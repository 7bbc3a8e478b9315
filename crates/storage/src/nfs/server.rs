//! What an NFS server of a class consists of: its disk, its address, what it exports, and the class itself.

use serde_json::{Value, json};
use windlass_api::names::{LABEL_MAX, shorten};
use windlass_api::quantity::Quantity;
use windlass_engine::plan::{Effect, ObjectRef};

use super::share::{Part, Share};
use crate::classes::class::{MADE_FOR, MANAGED_BY};

/// The image of a server, where nobody names another one: NFS-Ganesha with the provisioner for it.
pub const IMAGE: &str = "registry.k8s.io/sig-storage/nfs-provisioner:v4.0.8";
/// The namespace of servers, where nobody names another one.
pub const NAMESPACE: &str = "windlass-nfs";
/// What a disk has at most, where nobody says otherwise: as much as the common disks of clouds.
pub const MAX_SIZE: Quantity = Quantity::from_bytes(16 << 40);
/// The ServiceAccount of servers that make volumes themselves.
pub const ACCOUNT: &str = "windlass-nfs";
/// What makes volumes on servers that are there.
pub const CSI_DRIVER: &str = "nfs.csi.k8s.io";

/// The label of all objects of a server, with the server's name.
pub const SERVER: &str = "windlass.dev/nfs-server";
const PORT: u16 = 2049;
/// What nfs-ganesha-server-and-external-provisioner looks for at its Service before it makes a volume.
const PORTS_OF_PROVISIONER: [(&str, u16); 6] = [
    ("nfs", PORT),
    ("nlockmgr", 32_803),
    ("mountd", 20_048),
    ("rquotad", 875),
    ("rpcbind", 111),
    ("statd", 662),
];
/// What a server exports.
const EXPORT: &str = "/export";
/// What clients call it.
const SHARE: &str = "/share";
/// Where a server that exports one tree has its configuration.
const CONFIGURATION: &str = "/etc/windlass";
/// What the disk has besides what is asked for: its file system, and what the server keeps.
pub const ROOM: Quantity = Quantity::from_bytes(2 << 30);

/// How servers are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of the servers. Their pods open files for whoever owns them, which the stricter two of
    /// the pod security standards do not allow, so it is not the operator's.
    pub namespace: String,
    /// The image of the server.
    pub image: String,
    /// The class of their disks; the cluster's default where it is not given.
    pub disk_class: Option<String>,
    /// What a disk has at most. A disk never gets smaller, so that one claim with a wrong unit must not
    /// make it as large as it says.
    pub max_size: Quantity,
}

/// Who makes the volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// csi-driver-nfs, as directories of the server.
    Csi,
    /// The provisioner in the server's image.
    Own,
}

/// The disk of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What it asks for.
    pub size: Quantity,
    /// Whether it has a volume. Kubernetes lets no other claim ask for more.
    pub is_bound: bool,
}

/// What of a server is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// Its disk.
    pub disk: Option<Disk>,
    /// The address of its Service.
    pub address: Option<String>,
    /// Whether what it exports is.
    pub exports: bool,
    /// Whether its StatefulSet is.
    pub set: bool,
    /// Whether the class is.
    pub class: bool,
    /// The address that the class names, where it names one.
    pub known_at: Option<String>,
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

/// The name of the claim for the disk of the server of a class.
pub fn disk_name(class: &str) -> String {
    format!("{}-data", server_name(class))
}

/// What the disk of a class has to ask for, and what finds no room on one of the largest size. What is older
/// comes first, so that a claim of an absurd size takes nothing from those that were there before.
pub fn disk_size(share: &Share, max_size: Quantity) -> (Quantity, Vec<&Part>) {
    let mut sum = ROOM;
    let mut left_out = Vec::new();
    for part in &share.parts {
        match sum.checked_add(part.size).filter(|it| *it <= max_size) {
            Some(more) => sum = more,
            None => left_out.push(part),
        }
    }
    (sum, left_out)
}

/// What is to be made for a class of shares, and how its disk grows. The class comes last, once the server
/// has its address: until then nobody makes volumes of it.
pub fn effects(share: &Share, present: &Present, way: Way, settings: &Settings) -> Vec<Effect> {
    let server = Server {
        name: server_name(&share.class),
        share,
        way,
        settings,
    };
    let mut effects = Vec::new();
    let (wanted, _) = disk_size(share, settings.max_size);
    if present.disk.is_none() {
        effects.push(Effect::Create(server.disk(wanted)));
    }
    if present.address.is_none() {
        let known_at = present.known_at.as_deref();
        effects.push(Effect::Create(server.service(known_at)));
    }
    if way == Way::Csi && !present.exports {
        effects.push(Effect::Create(server.exports()));
    }
    if !present.set {
        effects.push(Effect::Create(server.set()));
    }
    if let (false, Some(address)) = (present.class, &present.address) {
        effects.push(Effect::Create(server.class(address)));
    }
    // Last, since a disk that cannot grow must hold up nothing else.
    if let Some(disk) = &present.disk
        && disk.is_bound
        && disk.size < wanted
    {
        effects.push(Effect::Patch {
            target: server.disk_ref(),
            patch: json!({"spec": {"resources": {"requests": {"storage": wanted}}}}),
        });
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
        disk_name(&self.share.class)
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

    fn service(&self, known_at: Option<&str>) -> Value {
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata(&self.name),
            "spec": {
                "selector": { SERVER: self.name },
                "ports": self.ports(),
            },
        });
        // Volumes name this address for as long as they live, so one that is made anew has the same.
        if let Some(address) = known_at {
            service["spec"]["clusterIP"] = json!(address);
        }
        service
    }

    /// The provisioner insists on all the ports that older versions of the protocol use.
    fn ports(&self) -> Value {
        if self.way == Way::Csi {
            return json!([{"name": "nfs", "port": PORT}]);
        }
        let mut ports = Vec::new();
        for (name, port) in PORTS_OF_PROVISIONER {
            ports.push(json!({"name": name, "port": port, "protocol": "TCP"}));
            ports.push(json!({"name": format!("{name}-udp"), "port": port, "protocol": "UDP"}));
        }
        Value::Array(ports)
    }

    /// The server's configuration: version 4 alone, so that there is one port and nothing to register at a
    /// portmapper, and what clients hold is kept on the disk for the next start. Owners are numbers, as they
    /// are in containers.
    fn exports(&self) -> Value {
        let text = format!(
            "NFS_CORE_PARAM {{\n  Protocols = 4;\n  NFS_Port = {PORT};\n  Enable_UDP = false;\n  \
             Enable_NLM = false;\n  Enable_RQUOTA = false;\n}}\n\
             NFSv4 {{\n  Minor_Versions = 0, 1, 2;\n  RecoveryRoot = {EXPORT}/.recovery;\n  \
             Only_Numeric_Owners = true;\n  IdmapConf = {CONFIGURATION}/idmapd.conf;\n}}\n\
             NFS_KRB5 {{\n  Active_krb5 = false;\n}}\n\
             EXPORT {{\n  Export_Id = 1;\n  Path = {EXPORT}/volumes;\n  Pseudo = {SHARE};\n  \
             Access_Type = RW;\n  Squash = No_Root_Squash;\n  SecType = sys;\n  FSAL {{\n    \
             Name = VFS;\n  }}\n}}\n"
        );
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.metadata(&self.name),
            "data": {
                "ganesha.conf": text,
                "idmapd.conf": "[Mapping]\nNobody-User = nobody\nNobody-Group = nogroup\n",
            },
        })
    }

    fn set(&self) -> Value {
        let labels = json!({ SERVER: self.name });
        let mut container = json!({
            "name": "nfs",
            "image": self.settings.image,
            "ports": [{"name": "nfs", "containerPort": PORT}],
            "readinessProbe": {"tcpSocket": {"port": "nfs"}},
            "securityContext": {"capabilities": {"add": self.capabilities()}},
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
                let start = format!(
                    "[ -e /etc/mtab ] || ln -s /proc/self/mounts /etc/mtab; \
                     mkdir -p {EXPORT}/volumes {EXPORT}/.recovery /var/run/ganesha && \
                     exec ganesha.nfsd -F -L /dev/stdout -f {CONFIGURATION}/ganesha.conf"
                );
                container["command"] = json!(["/bin/sh", "-c", start]);
                container["volumeMounts"] = json!([
                    {"name": "data", "mountPath": EXPORT},
                    {"name": "exports", "mountPath": CONFIGURATION, "readOnly": true},
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
                pod["serviceAccountName"] = json!(ACCOUNT);
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

    /// It opens files by their handles, for whoever owns them. The provisioner sets quotas besides.
    fn capabilities(&self) -> &'static [&'static str] {
        match self.way {
            Way::Csi => &["DAC_READ_SEARCH"],
            Way::Own => &["DAC_READ_SEARCH", "SYS_RESOURCE"],
        }
    }

    fn provisioner(&self) -> String {
        match self.way {
            Way::Csi => CSI_DRIVER.to_owned(),
            Way::Own => format!("windlass.dev/{}", self.name),
        }
    }

    fn class(&self, address: &str) -> Value {
        let mut class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": self.share.class,
                "labels": { MANAGED_BY.0: MANAGED_BY.1, SERVER: self.name },
                "annotations": { MADE_FOR: self.share.made_for },
            },
            "provisioner": self.provisioner(),
            "reclaimPolicy": self.share.reclaim,
            "volumeBindingMode": "Immediate",
            "mountOptions": ["nfsvers=4.1"],
        });
        if self.way == Way::Csi {
            class["parameters"] = json!({
                // Nodes need not know the cluster's names.
                "server": address,
                "share": SHARE,
                "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}",
            });
        }
        class
    }
}

#[cfg(test)]
mod tests;
