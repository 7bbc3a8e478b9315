//! Volumes and where they are mounted.
//!
//! A volume whose name begins with `spark-local-dir-` is scratch space of Spark. Where Spark has
//! settings for its kind it goes that way, which also allows claims made on demand; other kinds
//! are mounted by the template, where Spark finds them by their name. All others are mounted into
//! the finished driver and the template of executors.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Volume, VolumeMount};

use super::{editor::PodEditor, role::Role, route::ConfBuilder};

const LOCAL_DIR: &str = "spark-local-dir-";

/// Makes the settings of scratch volumes.
pub(super) fn settings(role: &Role<'_>, conf: &mut ConfBuilder) {
    for (mount, volume) in local_dirs(role) {
        let Some(kind) = Kind::of(mount, volume) else {
            continue;
        };
        let (type_name, options) = kind.setting();
        let prefix = format!(
            "spark.kubernetes.{}.volumes.{type_name}.{}",
            role.kind.name(),
            volume.name
        );
        conf.set(format!("{prefix}.mount.path"), &mount.mount_path);
        conf.set(
            format!("{prefix}.mount.readOnly"),
            mount.read_only.unwrap_or(false),
        );
        if let Some(sub_path) = &mount.sub_path {
            conf.set(format!("{prefix}.mount.subPath"), sub_path);
        }
        for (name, value) in options {
            conf.set(format!("{prefix}.options.{name}"), value);
        }
    }
}

/// Whether there is scratch space that must be in the template.
pub(super) fn has_local_dirs_without_settings(role: &Role<'_>) -> bool {
    local_dirs(role)
        .iter()
        .any(|(mount, volume)| Kind::of(mount, volume).is_none())
}

/// Mounts the scratch space that Spark has no settings for.
pub(super) fn mount_local_dirs(role: &Role<'_>, pod: &mut PodEditor) {
    for (mount, volume) in local_dirs(role) {
        if Kind::of(mount, volume).is_none() {
            pod.set_volume(volume.clone());
            pod.set_mount(mount.clone());
        }
    }
}

/// Mounts everything else, and adds the volumes that other containers of the role mount.
pub(super) fn mount(role: &Role<'_>, pod: &mut PodEditor) {
    let pieces = role.pieces;
    let others = pieces.sidecars.iter().chain(&pieces.init_containers);
    let of_others = others.flat_map(|container| container.volume_mounts.iter().flatten());
    let scratch: BTreeSet<&str> = local_dirs(role)
        .iter()
        .map(|(_, volume)| volume.name.as_str())
        .collect();
    let used: BTreeSet<&str> = pieces
        .volume_mounts
        .iter()
        .chain(of_others)
        .map(|mount| mount.name.as_str())
        .collect();
    for volume in &role.context.pieces.volumes {
        if used.contains(volume.name.as_str()) && !scratch.contains(volume.name.as_str()) {
            pod.set_volume(volume.clone());
        }
    }
    for mount in &pieces.volume_mounts {
        if !scratch.contains(mount.name.as_str()) {
            pod.set_mount(mount.clone());
        }
    }
}

/// The mounts of scratch volumes with their volumes.
fn local_dirs<'a>(role: &Role<'a>) -> Vec<(&'a VolumeMount, &'a Volume)> {
    let volume = |mount: &VolumeMount| {
        role.context
            .pieces
            .volumes
            .iter()
            .find(|volume| volume.name == mount.name)
    };
    role.pieces
        .volume_mounts
        .iter()
        .filter(|mount| mount.name.starts_with(LOCAL_DIR))
        .filter_map(|mount| Some((mount, volume(mount)?)))
        .collect()
}

/// The kinds of volumes that Spark has settings for, with all that can be said about them there.
enum Kind<'a> {
    EmptyDir {
        size_limit: Option<&'a str>,
        medium: Option<&'a str>,
    },
    HostPath {
        path: &'a str,
        kind: Option<&'a str>,
    },
    Nfs {
        path: &'a str,
        server: &'a str,
        read_only: bool,
    },
    Claim {
        name: &'a str,
    },
}

impl<'a> Kind<'a> {
    /// `None` when the mount or the volume says more than settings can.
    fn of(mount: &VolumeMount, volume: &'a Volume) -> Option<Self> {
        let plain = mount.mount_propagation.is_none()
            && mount.sub_path_expr.is_none()
            && mount.recursive_read_only.is_none();
        if !plain {
            return None;
        }
        if let Some(empty) = &volume.empty_dir {
            return Some(Self::EmptyDir {
                size_limit: empty.size_limit.as_ref().map(|size| size.0.as_str()),
                medium: empty.medium.as_deref(),
            });
        }
        if let Some(host) = &volume.host_path {
            return Some(Self::HostPath {
                path: &host.path,
                kind: host.type_.as_deref(),
            });
        }
        if let Some(nfs) = &volume.nfs {
            let read_only = nfs.read_only.unwrap_or(false);
            return Some(Self::Nfs {
                path: &nfs.path,
                server: &nfs.server,
                read_only,
            });
        }
        let claim = volume.persistent_volume_claim.as_ref()?;
        // Spark makes the claim read-only exactly when the mount is.
        let read_only = claim.read_only.unwrap_or(false);
        (read_only == mount.read_only.unwrap_or(false)).then_some(Self::Claim {
            name: &claim.claim_name,
        })
    }

    fn setting(&self) -> (&'static str, Vec<(&'static str, String)>) {
        let given =
            |name: &'static str, value: Option<&str>| value.map(|value| (name, value.to_owned()));
        match self {
            Self::EmptyDir { size_limit, medium } => {
                let options = [given("sizeLimit", *size_limit), given("medium", *medium)];
                ("emptyDir", options.into_iter().flatten().collect())
            }
            Self::HostPath { path, kind } => {
                let options = [given("path", Some(path)), given("type", *kind)];
                ("hostPath", options.into_iter().flatten().collect())
            }
            Self::Nfs {
                path,
                server,
                read_only,
            } => {
                let mut options = vec![
                    ("path", (*path).to_owned()),
                    ("server", (*server).to_owned()),
                ];
                if *read_only {
                    options.push(("readOnly", read_only.to_string()));
                }
                ("nfs", options)
            }
            Self::Claim { name } => (
                "persistentVolumeClaim",
                vec![("claimName", (*name).to_owned())],
            ),
        }
    }
}
