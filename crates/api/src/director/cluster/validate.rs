//! What a cluster may not say, whatever the application and whatever else there is.

use super::{
    Autoscale, BlockStorage, ClusterRole, ClusterSpec, KubeDirectorCluster, MEMBERS_MAX,
    RoleStorage, SecretMount,
};
use crate::director::findings::{Findings, is_at_or_below};
use crate::field::{FieldError, FieldPath};
use crate::names::LabelValue;
use crate::quantity::Quantity;
use crate::storage::growth;

/// Where members have something of their own, so that no claim may be mounted there.
const OWN_MOUNTS: [&str; 8] = [
    "/dev",
    "/etc",
    "/opt/guestconfig",
    "/opt/windlass",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
];

/// Everything in the cluster that cannot be meant.
pub fn validate(cluster: &KubeDirectorCluster) -> Vec<FieldError> {
    let mut findings = Findings::default();
    let at = FieldPath::new("spec");
    let spec = &cluster.spec;
    // It is the value of a label of everything that belongs to the cluster.
    findings.label_name(cluster.metadata.name.as_deref());
    findings.not_empty(at.field("app"), &spec.app);
    check_secret(
        &mut findings,
        spec.default_secret.as_ref(),
        &at.field("defaultSecret"),
    );
    check_connections(&mut findings, cluster, &at.field("connections"));
    let list = at.field("roles");
    let ids = spec.roles.iter().enumerate();
    let ids = ids.map(|(index, it)| (list.index(index).field("id"), it.id.as_str()));
    findings.unique("a role", ids);
    for (index, role) in spec.roles.iter().enumerate() {
        let at = list.index(index);
        check_role(&mut findings, role, &at);
        // What was copied into the role is told where it was written.
        if role.secret != spec.default_secret {
            check_secret(&mut findings, role.secret.as_ref(), &at.field("secret"));
        }
    }
    check_total(&mut findings, spec, &list);
    findings.into_errors()
}

fn check_connections(findings: &mut Findings, cluster: &KubeDirectorCluster, at: &FieldPath) {
    let connections = &cluster.spec.connections;
    let lists = [
        ("clusters", &connections.clusters),
        ("configmaps", &connections.configmaps),
        ("secrets", &connections.secrets),
    ];
    for (field, names) in lists {
        let at = at.field(field);
        for (index, name) in names.iter().enumerate() {
            findings.object_name(at.index(index), name);
        }
        let names = names.iter().enumerate();
        let names = names.map(|(index, it)| (at.index(index), it.as_str()));
        findings.unique("a connection", names);
    }
    let own = cluster.metadata.name.as_deref();
    let itself = connections
        .clusters
        .iter()
        .position(|it| Some(it.as_str()) == own);
    if let (Some(index), Some(own)) = (itself, own) {
        let detail = "is this cluster itself, of which members know anyway; remove it";
        findings.invalid(at.field("clusters").index(index), own, detail);
    }
}

fn check_role(findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
    findings.not_empty(at.field("id"), &role.id);
    if let Err(error) = LabelValue::new(role.id.as_str()) {
        findings.invalid(at.field("id"), role.id.as_str(), error.to_string());
    }
    if let Some(members) = role.members.filter(|it| *it < 0) {
        findings.invalid(at.field("members"), members, "must not be negative");
    }
    findings.labels(&at.field("podLabels"), &role.pod_labels);
    findings.annotations(&at.field("podAnnotations"), &role.pod_annotations);
    findings.labels(&at.field("serviceLabels"), &role.service_labels);
    findings.annotations(&at.field("serviceAnnotations"), &role.service_annotations);
    findings.labels(&at.field("nodeSelector"), &role.node_selector);
    check_resources(findings, role, &at.field("resources"));
    if let Some(storage) = &role.storage {
        let at = at.field("storage");
        findings.positive(at.field("size"), &storage.size);
        check_auto_grow(findings, storage, &at.field("autoGrow"));
    }
    if let Some(size) = &role.shared_memory {
        findings.positive(at.field("sharedMemory"), size);
    }
    let names = role.env.iter().map(|it| it.name.as_str());
    findings.environment(&at.field("env"), names);
    check_injections(findings, role, &at.field("fileInjections"));
    check_devices(
        findings,
        role.block_storage.as_ref(),
        &at.field("blockStorage"),
    );
    check_secret_keys(findings, role, &at.field("secretKeys"));
    check_projections(findings, role, &at.field("volumeProjections"));
    for (index, name) in role.image_pull_secrets.iter().enumerate() {
        findings.object_name(at.field("imagePullSecrets").index(index), name);
    }
    let budget = role.disruption_budget.as_ref();
    findings.budget(&at.field("disruptionBudget"), budget);
    if let Some(autoscale) = &role.autoscale {
        check_autoscale(findings, autoscale, role.members, at);
    }
}

/// Growth by itself is said in the words of claims, and read as it is there.
fn check_auto_grow(findings: &mut Findings, storage: &RoleStorage, at: &FieldPath) {
    let Some(auto_grow) = &storage.auto_grow else {
        return;
    };
    for (field, annotation, text) in auto_grow.fields() {
        let Some(text) = text else {
            continue;
        };
        if let Some(want) = growth::correction(annotation, text) {
            findings.invalid(at.field(field), text, format!("must be {want}"));
        }
    }
    let (max, size) = (auto_grow.max.as_str(), storage.size.as_str());
    if let (Ok(most), Ok(first)) = (max.parse::<Quantity>(), size.parse::<Quantity>())
        && most < first
    {
        let detail = format!(
            "must be at least {size}, the size that each volume has anyway; raise it, or remove autoGrow"
        );
        findings.invalid(at.field("max"), max, detail);
    }
}

fn check_autoscale(
    findings: &mut Findings,
    autoscale: &Autoscale,
    members: Option<i32>,
    of: &FieldPath,
) {
    let at = of.field("autoscale");
    let (least, most) = (autoscale.min_members, autoscale.max_members);
    if let Some(least) = least.filter(|it| *it < 0) {
        findings.invalid(at.field("minMembers"), least, "must not be negative");
    }
    if most < 1 {
        let detail = "must be at least 1; without members remove autoscale";
        findings.invalid(at.field("maxMembers"), most, detail);
    } else if let Some(least) = least.filter(|it| *it > most) {
        let detail = format!("must be at least minMembers, which is {least}");
        findings.invalid(at.field("maxMembers"), most, detail);
    } else if let Some(members) = members
        && (members < least.unwrap_or(0) || members > most)
    {
        let detail = format!(
            "must be from {} to {most}, the bounds of autoscale; it says how many there are to begin \
             with, and may be left out",
            least.unwrap_or(0)
        );
        findings.invalid(of.field("members"), members, detail);
    }
    let longest = Autoscale::SCALE_DOWN_DELAY_SECONDS_MAX;
    let delay = autoscale.scale_down_delay_seconds;
    if let Some(delay) = delay.filter(|it| !(0..=longest).contains(it)) {
        let detail = format!("must be from 0 to {longest}");
        findings.invalid(at.field("scaleDownDelaySeconds"), delay, detail);
    }
}

fn check_resources(findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
    let (limits, requests) = (&role.resources.limits, &role.resources.requests);
    for name in ["cpu", "memory"] {
        if !limits.contains_key(name) {
            let detail = "must be given: configmeta.json tells members how much they may use";
            findings.missing(at.field("limits").key(name), detail);
        }
    }
    findings.amounts(&at.field("limits"), limits);
    findings.amounts(&at.field("requests"), requests);
    for (name, request) in requests {
        let limit = limits.get(name).and_then(|limit| limit.quantity().ok());
        let (Some(limit), Ok(asked)) = (limit, request.quantity()) else {
            continue;
        };
        if asked > limit {
            let detail = format!("is more than the limit of {limit}; raise that, or ask for less");
            let path = at.field("requests").key(name);
            findings.invalid(path, request.as_str(), detail);
        }
    }
}

fn check_injections(findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
    for (index, file) in role.file_injections.iter().enumerate() {
        let at = at.index(index);
        let url = file.src_url.as_str();
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let holds = rest.is_some_and(|rest| !rest.is_empty());
        let detail = "must be an http or https URL";
        findings.matches(at.field("srcURL"), url, holds, detail);
        findings.absolute(at.field("destDir"), &file.dest_dir);
        let mode = file.permissions.as_ref().and_then(|it| it.file_mode);
        if let Some(mode) = mode.filter(|it| !(0..=0o7777).contains(it)) {
            let detail = "must be permission bits, from 0 to 4095 (07777); 420 is 0644";
            findings.invalid(at.field("permissions").field("fileMode"), mode, detail);
        }
    }
}

fn check_secret(findings: &mut Findings, secret: Option<&SecretMount>, at: &FieldPath) {
    let Some(secret) = secret else {
        return;
    };
    findings.object_name(at.field("name"), &secret.name);
    findings.absolute(at.field("mountPath"), &secret.mount_path);
    if let Some(mode) = secret.default_mode.filter(|it| !(0..=0o777).contains(it)) {
        let detail = "must be permission bits, from 0 to 511 (0777); 256 is 0400";
        findings.invalid(at.field("defaultMode"), mode, detail);
    }
}

fn check_devices(findings: &mut Findings, devices: Option<&BlockStorage>, at: &FieldPath) {
    let Some(devices) = devices else {
        return;
    };
    findings.absolute(at.field("pathPrefix"), &devices.path_prefix);
    if devices.num_devices < 1 {
        let detail = "must be at least 1; without devices remove blockStorage";
        findings.invalid(at.field("numDevices"), devices.num_devices, detail);
    }
    if let Some(size) = &devices.size {
        findings.positive(at.field("size"), size);
    }
}

/// The texts are no part of any message.
fn check_secret_keys(findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
    for (index, key) in role.secret_keys.iter().enumerate() {
        let at = at.index(index);
        findings.not_empty(at.field("name"), &key.name);
    }
    let names = role.secret_keys.iter().enumerate();
    let names = names.map(|(index, it)| (at.index(index).field("name"), it.name.as_str()));
    findings.unique("a key", names);
}

fn check_projections(findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
    let paths = || {
        let all = role.volume_projections.iter().enumerate();
        all.map(|(index, it)| (at.index(index).field("mountPath"), it.mount_path.as_str()))
    };
    for (index, projection) in role.volume_projections.iter().enumerate() {
        findings.object_name(at.index(index).field("pvcName"), &projection.pvc_name);
    }
    for (path, mount) in paths() {
        if mount.len() < 2 || !mount.starts_with('/') {
            let detail = "must be an absolute path other than /";
            findings.invalid(path, mount, detail);
            continue;
        }
        let own = OWN_MOUNTS
            .into_iter()
            .find(|own| is_at_or_below(mount, own) || is_at_or_below(own, mount));
        if let Some(own) = own {
            let detail = format!("is taken: members have {own} of their own; choose another path");
            findings.invalid(path, mount, detail);
            continue;
        }
        let secret = role.secret.as_ref();
        if let Some(secret) = secret.filter(|it| is_at_or_below(&it.mount_path, mount)) {
            let detail = format!(
                "would hide the Secret at {}; choose another path",
                secret.mount_path
            );
            findings.invalid(path, mount, detail);
        }
    }
    // A slash at the end makes no other directory.
    let trimmed = paths().map(|(path, mount)| (path, mount.trim_end_matches('/')));
    findings.unique("a mount path", trimmed);
}

fn check_total(findings: &mut Findings, spec: &ClusterSpec, at: &FieldPath) {
    let total: i64 = spec
        .roles
        .iter()
        .filter_map(ClusterRole::most_members)
        .map(|members| i64::from(members.max(0)))
        .sum();
    if total > MEMBERS_MAX {
        let detail = format!(
            "have {total} members together but at most {MEMBERS_MAX} are allowed; make it smaller, \
             or make two clusters and connect them"
        );
        findings.forbidden(at.clone(), detail);
    }
}
