//! The template of a role's pods.
//!
//! A member is a container that stays up; what makes a member of it is done inside, by exec. Its file
//! system is the image's, with tmpfs where systems expect it, what the operator tells it at
//! `/opt/windlass`, and the directories that are to outlive containers on its storage.

use serde_json::{Map, Value, json};
use windlass_api::director::app::PackageSource;

use super::readiness::readiness;
use super::{extend, headless_labels, labels, persistent_directories};
use crate::agent::{Layout, MOUNT, PACKAGE_MOUNT};
use crate::blueprint::{Blueprint, Role};
use crate::names::{Names, PRETTY_NAME_ANNOTATION, block_claim_template};

/// The container that is the member.
pub const APP_CONTAINER: &str = "app";
/// The container that copies directories to storage.
pub const INIT_CONTAINER: &str = "init";

/// Where a member finds the uid of its pod.
const POD_UID: &str = "WINDLASS_POD_UID";

/// Directories of running systems, which begin empty.
const TMPFS: [(&str, &str); 3] = [
    ("tmpfs-tmp", "/tmp"),
    ("tmpfs-run", "/run"),
    ("tmpfs-run-lock", "/run/lock"),
];
const TMPFS_SIZE: &str = "20Gi";
/// Velero does not back these volumes up.
const NOT_BACKED_UP: &str = "backup.velero.io/backup-volumes-excludes";

const DELIVERY_VOLUME: &str = "windlass";
const PACKAGE_VOLUME: &str = "windlass-package";
const SHARED_MEMORY_VOLUME: &str = "shared-memory";
/// The container's user is not known, and it reads all of it.
const DELIVERY_MODE: u32 = 0o444;

/// Services such as sshd refuse a directory that everybody writes to.
const AFTER_START: &str = "chmod 755 /run 2>/dev/null; exit 0";

/// What the pods of a role are made from.
pub(super) fn template(blueprint: &Blueprint, names: &Names, role: &Role) -> Value {
    let mut volumes = Volumes::default();
    persistent(blueprint, role, &mut volumes);
    delivery(names, role, &mut volumes);
    tmpfs(role, &mut volumes);
    shared(role, &mut volumes);
    systemd(blueprint, &mut volumes);
    let spec = &role.spec;
    let mut pod = json!({
        "automountServiceAccountToken": spec.service_account_name.is_some(),
        "dnsConfig": {"searches": [blueprint.domain(names).as_str().trim_end_matches('.')]},
        "containers": [app_container(blueprint, role, &volumes)],
        "volumes": volumes.volumes,
    });
    if let Some(init) = init_container(blueprint, role) {
        pod["initContainers"] = json!([init]);
    }
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            pod[field] = value;
        }
    };
    set(
        "serviceAccountName",
        spec.service_account_name.as_ref().map(|it| json!(it)),
    );
    set("affinity", spec.affinity.clone());
    set(
        "priorityClassName",
        spec.priority_class_name.as_ref().map(|it| json!(it)),
    );
    let some = |value: Value, is_empty: bool| (!is_empty).then_some(value);
    set(
        "nodeSelector",
        some(json!(spec.node_selector), spec.node_selector.is_empty()),
    );
    set(
        "tolerations",
        some(json!(spec.tolerations), spec.tolerations.is_empty()),
    );
    let spread = &spec.topology_spread_constraints;
    set(
        "topologySpreadConstraints",
        some(json!(spread), spread.is_empty()),
    );
    let secrets = spec
        .image_pull_secrets
        .iter()
        .map(|name| json!({"name": name}));
    let secrets: Vec<Value> = secrets.collect();
    set("imagePullSecrets", some(json!(secrets), secrets.is_empty()));
    json!({
        "metadata": metadata(blueprint, role),
        "spec": pod,
    })
}

/// Labels of the configuration take precedence over those of the role, and ours over all.
fn metadata(blueprint: &Blueprint, role: &Role) -> Value {
    let settings = &blueprint.settings;
    let mut own = json!(role.spec.pod_labels);
    extend(&mut own, settings.pod_labels.clone());
    let ours = labels(blueprint, Some(role));
    extend(&mut own, ours.as_object().cloned().unwrap_or_default());
    extend(&mut own, headless_labels(blueprint));
    let mut annotations = json!(role.spec.pod_annotations);
    extend(&mut annotations, settings.pod_annotations.clone());
    let volumes = TMPFS.map(|(volume, _)| volume).join(",");
    annotations[NOT_BACKED_UP] = json!(volumes);
    annotations[PRETTY_NAME_ANNOTATION] = json!(blueprint.app.pretty_name);
    json!({"labels": own, "annotations": annotations})
}

/// What a container mounts, and where it comes from.
#[derive(Default)]
struct Volumes {
    volumes: Vec<Value>,
    mounts: Vec<Value>,
}

impl Volumes {
    fn add(&mut self, mut volume: Value, mount: Value) {
        volume["name"] = mount["name"].clone();
        self.volumes.push(volume);
        self.mounts.push(mount);
    }
}

/// What has storage mounts each of its directories from there.
fn persistent(blueprint: &Blueprint, role: &Role, volumes: &mut Volumes) {
    if !role.has_storage() {
        return;
    }
    let claim = blueprint.scheme.claim_prefix();
    for directory in persistent_directories(role, blueprint.scheme) {
        volumes.mounts.push(json!({
            "name": claim,
            "mountPath": directory,
            "subPath": directory.trim_start_matches('/'),
        }));
    }
}

fn delivery(names: &Names, role: &Role, volumes: &mut Volumes) {
    volumes.add(
        json!({"projected": {
            "defaultMode": DELIVERY_MODE,
            "sources": [{"secret": {"name": names.delivery}}],
        }}),
        json!({"name": DELIVERY_VOLUME, "mountPath": MOUNT, "readOnly": true}),
    );
    let package = role.package.as_ref().and_then(|package| package.source());
    if let Some(PackageSource::ConfigMap { name, key }) = package {
        volumes.add(
            json!({"projected": {
                "defaultMode": DELIVERY_MODE,
                "sources": [{"configMap": {"name": name, "items": [{"key": key, "path": key}]}}],
            }}),
            json!({"name": PACKAGE_VOLUME, "mountPath": PACKAGE_MOUNT, "readOnly": true}),
        );
    }
}

fn tmpfs(role: &Role, volumes: &mut Volumes) {
    for (name, path) in TMPFS {
        volumes.add(
            json!({"emptyDir": {"medium": "Memory", "sizeLimit": TMPFS_SIZE}}),
            json!({"name": name, "mountPath": path}),
        );
    }
    if let Some(size) = &role.spec.shared_memory {
        volumes.add(
            json!({"emptyDir": {"medium": "Memory", "sizeLimit": size}}),
            json!({"name": SHARED_MEMORY_VOLUME, "mountPath": "/dev/shm"}),
        );
    }
}

/// What a user has put into the namespace.
fn shared(role: &Role, volumes: &mut Volumes) {
    if let Some(secret) = &role.secret {
        let mut source = json!({"secret": {"secretName": secret.name}});
        if let Some(mode) = secret.default_mode {
            source["secret"]["defaultMode"] = json!(mode);
        }
        volumes.add(
            source,
            json!({
                "name": format!("secret-vol-{}", secret.name.replace('.', "-")),
                "mountPath": secret.mount_path,
                "readOnly": secret.read_only,
            }),
        );
    }
    for (index, projection) in role.spec.volume_projections.iter().enumerate() {
        volumes.add(
            json!({"persistentVolumeClaim": {
                "claimName": projection.pvc_name,
                "readOnly": projection.read_only,
            }}),
            json!({
                "name": format!("projected-vol-{index}"),
                "mountPath": projection.mount_path,
                "readOnly": projection.read_only,
            }),
        );
    }
}

/// What systemd needs of a node with cgroup v1 whose runtime does not give it to it.
fn systemd(blueprint: &Blueprint, volumes: &mut Volumes) {
    if !(blueprint.app.systemd && blueprint.settings.systemd_mounts) {
        return;
    }
    for (name, path, read_only) in [
        ("cgroupfs", "/sys/fs/cgroup", true),
        ("systemd", "/sys/fs/cgroup/systemd", false),
    ] {
        volumes.add(
            json!({"hostPath": {"path": path}}),
            json!({"name": name, "mountPath": path, "readOnly": read_only}),
        );
    }
}

fn app_container(blueprint: &Blueprint, role: &Role, volumes: &Volumes) -> Value {
    let mut container = json!({
        "name": APP_CONTAINER,
        "image": role.image,
        "resources": resources(role),
        "env": environment(role),
        "volumeMounts": volumes.mounts,
        "lifecycle": {"postStart": {"exec": {"command": ["/bin/sh", "-c", AFTER_START]}}},
    });
    let ports: Vec<Value> = role
        .ports()
        .into_iter()
        .filter_map(|service| {
            let endpoint = service.endpoint.as_ref()?;
            Some(json!({"name": service.id, "containerPort": endpoint.port}))
        })
        // What names a port has a letter in it, and a service's id need not.
        .map(|mut port| {
            let name = port["name"].as_str().unwrap_or_default();
            let is_name = name.contains(|c: char| c.is_ascii_lowercase()) && !name.contains("--");
            if let Some(fields) = port.as_object_mut().filter(|_| !is_name) {
                fields.remove("name");
            }
            port
        })
        .collect();
    let mut set = |field: &str, value: Value| container[field] = value;
    if !ports.is_empty() {
        set("ports", json!(ports));
    }
    let mut security = Map::new();
    if !blueprint.app.capabilities.is_empty() {
        let added = json!({"add": blueprint.app.capabilities});
        security.insert("capabilities".to_owned(), added);
    }
    if let Some(user) = role.container.run_as_user {
        security.insert("runAsUser".to_owned(), json!(user));
    }
    if !security.is_empty() {
        set("securityContext", Value::Object(security));
    }
    if role.container.idle {
        let agent = format!("{MOUNT}/agent");
        set("command", json!(["/bin/sh", agent, "idle"]));
    }
    if let Some(command) = &role.container.command {
        set("command", json!(command));
    }
    if let Some(arguments) = &role.container.args {
        set("args", json!(arguments));
    }
    if role.container.stdin {
        set("stdin", json!(true));
    }
    if role.container.tty {
        set("tty", json!(true));
    }
    let devices: Vec<Value> = (0..)
        .zip(role.block_devices())
        .map(|(index, path)| json!({"name": block_claim_template(index), "devicePath": path}))
        .collect();
    if !devices.is_empty() {
        set("volumeDevices", json!(devices));
    }
    if let Some(probe) = readiness(&role.services) {
        set("readinessProbe", probe);
    }
    container
}

/// What a user asks for, and limits of everything else that is asked for nothing about.
fn resources(role: &Role) -> Value {
    let resources = &role.spec.resources;
    let mut value = json!({"limits": resources.limits});
    if !resources.requests.is_empty() {
        value["requests"] = json!(resources.requests);
    }
    value
}

/// The user's variables, and before them what members may want to know. The user's win.
fn environment(role: &Role) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut variables = vec![
        field(POD_UID, "metadata.uid"),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("POD_IP", "status.podIP"),
        field("NODE_NAME", "spec.nodeName"),
    ];
    let resources = &role.spec.resources;
    let mut asked = resources.limits.keys().chain(resources.requests.keys());
    if !asked.any(|name| name.starts_with("nvidia.com/")) {
        // Images with CUDA see every device of the node otherwise.
        variables.push(json!({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}));
    }
    if role.package.is_some() && role.layout() == Layout::New {
        variables.push(json!({"name": "PYTHONUSERBASE", "value": "/usr/local"}));
    }
    let own = &role.env;
    variables.retain(|it| own.iter().all(|own| it["name"] != own.name));
    variables.extend(
        own.iter()
            .map(|it| json!({"name": it.name, "value": it.value})),
    );
    variables
}

/// What copies directories of the image to storage, once per storage.
fn init_container(blueprint: &Blueprint, role: &Role) -> Option<Value> {
    if !role.has_storage() {
        return None;
    }
    let directories = persistent_directories(role, blueprint.scheme);
    let mut command = vec![
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        COPY.to_owned(),
        "init".to_owned(),
    ];
    command.extend(directories);
    Some(json!({
        "name": INIT_CONTAINER,
        "image": role.image,
        "command": command,
        "resources": resources(role),
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": blueprint.scheme.claim_prefix(), "mountPath": "/mnt"}],
    }))
}

/// Shell rather than a program of ours, since the image is the user's and nothing is mounted in this
/// container but the storage. It has cp and no rsync, as KubeDirector takes where there is one: one way
/// that can be begun again is better than two that cannot.
const COPY: &str = include_str!("copy.sh");
