//! A pod's volumes as directories and files on the host, and where containers mount them.
//!
//! What a volume refers to may not exist yet: that is a reason to try again, never to fail.

mod atomic;
mod claims;
mod payload;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod,
    Secret, Volume, VolumeMount,
};
use kube::{Api, Client};

use crate::env::{Facts, expand};
use crate::quantity;
use crate::runtime::{MemoryVolume, MountSpec};

pub(crate) use claims::ClaimedVolume;
pub(crate) use payload::Payloads;

/// A volume that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// What is mounted.
    pub(crate) source: PathBuf,
    /// Whether nobody may write it, whatever the mount says.
    pub(crate) read_only: bool,
}

/// A pod's volumes, ready to be mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volumes {
    /// By the volume's name.
    pub(crate) mounted: BTreeMap<String, Mounted>,
    /// Those the shim has to mount, because they live in memory.
    pub(crate) memory: Vec<MemoryVolume>,
    /// When the first of the tokens among them should be replaced.
    pub(crate) refresh_at: Option<Timestamp>,
}

/// Why a volume is not there yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// Something it refers to does not exist, or not in a usable state.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {reason}")]
    Missing {
        /// The volume's name in the pod.
        volume: String,
        /// What is missing.
        reason: String,
    },
    /// The API could not be asked.
    #[error("MountVolume.SetUp failed for volume \"{volume}\"")]
    Api {
        /// The volume's name in the pod.
        volume: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The files could not be written.
    #[error("MountVolume.SetUp failed for volume \"{volume}\"")]
    Io {
        /// The volume's name in the pod.
        volume: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kind of volume cannot be had here.
    #[error(
        "volume \"{volume}\" is of kind {kind}, which this node cannot mount; use configMap, secret, emptyDir, hostPath, downwardAPI, projected, ephemeral or persistentVolumeClaim"
    )]
    Unsupported {
        /// The volume's name in the pod.
        volume: String,
        /// The kind, as the manifest writes it.
        kind: String,
    },
}

/// Makes the pod's volumes, or brings them up to date.
pub(crate) async fn materialize(
    client: &Client,
    facts: &Facts<'_>,
    pod_dir: &Path,
    now: Timestamp,
) -> Result<Volumes, VolumeError> {
    let spec = facts.pod.spec.clone().unwrap_or_default();
    let group = spec
        .security_context
        .as_ref()
        .and_then(|context| u32::try_from(context.fs_group?).ok())
        // Only root can give files away; that users have no effect is said in the pod's status.
        .filter(|_| rustix::process::geteuid().is_root());
    let mut volumes = Volumes::default();
    let mut claimed = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        let directory = pod_dir.join("volumes").join(&volume.name);
        let payloads = Payloads { client, facts, now };
        if let Some(made) = payloads.of(volume, &directory).await? {
            let io = |source| VolumeError::Io {
                volume: volume.name.clone(),
                source,
            };
            if let Some((mut payload, refresh_at)) = made {
                if group.is_some() {
                    // What a kubelet adds to the modes of a volume that cannot be written.
                    for (_, mode) in payload.values_mut() {
                        *mode |= 0o440;
                    }
                }
                atomic::write(&directory, &payload, group, now).map_err(io)?;
                volumes.refresh_at = volumes.refresh_at.into_iter().chain(refresh_at).min();
            }
            let mounted = Mounted {
                source: directory,
                read_only: true,
            };
            volumes.mounted.insert(volume.name.clone(), mounted);
            continue;
        }
        let mounted = storage(
            client,
            facts.pod,
            volume,
            &directory,
            group,
            &mut volumes.memory,
        );
        let mounted = mounted.await?;
        if let Some(claim) = claim_of(facts.pod, volume) {
            claimed.push(ClaimedVolume {
                volume: volume.name.clone(),
                claim: claim.name,
                path: mounted.source.clone(),
            });
        }
        volumes.mounted.insert(volume.name.clone(), mounted);
    }
    claims::write(pod_dir, &claimed).map_err(|source| VolumeError::Io {
        volume: claimed
            .first()
            .map(|it| it.volume.clone())
            .unwrap_or_default(),
        source,
    })?;
    Ok(volumes)
}

/// Volumes that hold data of the pod's own or of the machine.
async fn storage(
    client: &Client,
    pod: &Pod,
    volume: &Volume,
    directory: &Path,
    group: Option<u32>,
    memory: &mut Vec<MemoryVolume>,
) -> Result<Mounted, VolumeError> {
    let missing = |reason: String| VolumeError::Missing {
        volume: volume.name.clone(),
        reason,
    };
    if let Some(source) = &volume.empty_dir {
        fs::create_dir_all(directory)
            .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o777)))
            .and_then(|()| give_to_group(directory, group))
            .map_err(|source| VolumeError::Io {
                volume: volume.name.clone(),
                source,
            })?;
        if source.medium.as_deref() == Some("Memory") {
            let size = source.size_limit.as_ref().and_then(quantity::units);
            memory.push(MemoryVolume {
                path: directory.to_owned(),
                size,
                group,
            });
        }
        return Ok(Mounted {
            source: directory.to_owned(),
            read_only: false,
        });
    }
    if let Some(source) = &volume.host_path {
        let path = host_path(source).map_err(missing)?;
        return Ok(Mounted {
            source: path,
            read_only: false,
        });
    }
    if let Some(claim) = claim_of(pod, volume) {
        let backing = backing(client, pod, &volume.name, &claim).await?;
        if backing.may_be_made && fs::metadata(&backing.path).is_err() {
            fs::create_dir_all(&backing.path)
                .and_then(|()| {
                    fs::set_permissions(&backing.path, fs::Permissions::from_mode(0o777))
                })
                .map_err(|source| VolumeError::Io {
                    volume: volume.name.clone(),
                    source,
                })?;
        }
        if !backing.path.is_dir() {
            let path = backing.path.display();
            return Err(missing(format!(
                "directory {path} of persistentvolumeclaim \"{}\" is not there: its disk is not mounted yet",
                claim.name
            )));
        }
        return Ok(Mounted {
            source: backing.path,
            read_only: claim.read_only,
        });
    }
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let kind = fields
        .as_object()
        .and_then(|fields| fields.keys().find(|key| *key != "name").cloned())
        .unwrap_or_else(|| "unknown".to_owned());
    Err(VolumeError::Unsupported {
        volume: volume.name.clone(),
        kind,
    })
}

fn give_to_group(directory: &Path, group: Option<u32>) -> io::Result<()> {
    if group.is_none() {
        return Ok(());
    }
    std::os::unix::fs::chown(directory, None, group)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o2777))
}

/// Checks a path of the machine as its type asks, making it where that is allowed.
fn host_path(source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let found = fs::metadata(&path).ok();
    let is = |check: fn(&fs::Metadata) -> bool| found.as_ref().is_some_and(check);
    let make = |result: io::Result<()>| {
        result.map_err(|error| format!("hostPath {} cannot be made: {error}", source.path))
    };
    let fits = match kind {
        "" => {
            if found.is_none() {
                make(fs::create_dir_all(&path))?;
            }
            true
        }
        "DirectoryOrCreate" => {
            if found.is_none() {
                make(fs::create_dir_all(&path))?;
            }
            found.is_none() || is(fs::Metadata::is_dir)
        }
        "FileOrCreate" => {
            if found.is_none() {
                make(fs::File::create(&path).map(drop))?;
            }
            found.is_none() || is(fs::Metadata::is_file)
        }
        "Directory" => is(fs::Metadata::is_dir),
        "File" => is(fs::Metadata::is_file),
        "Socket" => is(|metadata| metadata.file_type().is_socket()),
        "CharDevice" => is(|metadata| metadata.file_type().is_char_device()),
        "BlockDevice" => is(|metadata| metadata.file_type().is_block_device()),
        other => return Err(format!("hostPath type {other} is not known")),
    };
    if fits {
        Ok(path)
    } else {
        Err(format!(
            "hostPath type check failed: {} is not a {kind}",
            source.path
        ))
    }
}

/// The claim that a volume stands for.
struct Claim {
    name: String,
    read_only: bool,
    /// An ephemeral volume: the claim must be the pod's own.
    made_for_the_pod: bool,
}

fn claim_of(pod: &Pod, volume: &Volume) -> Option<Claim> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(Claim {
            name: source.claim_name.clone(),
            read_only: source.read_only == Some(true),
            made_for_the_pod: false,
        }),
        (None, Some(_)) => Some(Claim {
            name: format!("{pod_name}-{}", volume.name),
            read_only: false,
            made_for_the_pod: true,
        }),
        (None, None) => None,
    }
}

/// What is behind a claim.
struct Backing {
    path: PathBuf,
    /// Whether it may be made when it is not there. What says `Directory` is on a disk: while that is not
    /// mounted, nobody may write to the place where it should be.
    may_be_made: bool,
}

async fn backing(
    client: &Client,
    pod: &Pod,
    volume: &str,
    claim: &Claim,
) -> Result<Backing, VolumeError> {
    let missing = |reason: String| VolumeError::Missing {
        volume: volume.to_owned(),
        reason,
    };
    let api = |source| VolumeError::Api {
        volume: volume.to_owned(),
        source: Box::new(source),
    };
    let Claim {
        name: claim,
        made_for_the_pod,
        ..
    } = claim;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let found = claims.get_opt(claim).await.map_err(api)?;
    let found =
        found.ok_or_else(|| missing(format!("persistentvolumeclaim \"{claim}\" not found")))?;
    let mut owners = found.metadata.owner_references.iter().flatten();
    let is_own = owners.any(|owner| Some(&owner.uid) == pod.metadata.uid.as_ref());
    if *made_for_the_pod && !is_own {
        return Err(missing(format!(
            "persistentvolumeclaim \"{claim}\" was not made for this pod; delete or rename it"
        )));
    }
    let phase = found
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let name = found
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_deref());
    let name = name
        .filter(|_| phase == Some("Bound"))
        .ok_or_else(|| missing(format!("persistentvolumeclaim \"{claim}\" is not bound")))?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = volumes.get_opt(name).await.map_err(api)?;
    let found = found.ok_or_else(|| missing(format!("persistentvolume \"{name}\" not found")))?;
    let spec = found.spec.unwrap_or_default();
    let (path, may_be_made) = match (&spec.host_path, &spec.local) {
        (Some(source), _) => (&source.path, source.type_.as_deref() != Some("Directory")),
        (None, Some(source)) => (&source.path, true),
        (None, None) => {
            return Err(missing(format!(
                "persistentvolume \"{name}\" is neither hostPath nor local"
            )));
        }
    };
    Ok(Backing {
        path: PathBuf::from(path),
        may_be_made,
    })
}

/// Where a container mounts the pod's volumes.
pub(crate) fn mounts(
    container: &Container,
    volumes: &Volumes,
    env: &[(String, String)],
) -> Result<Vec<MountSpec>, String> {
    container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| mount_of(mount, volumes, env))
        .collect()
}

fn mount_of(
    mount: &VolumeMount,
    volumes: &Volumes,
    env: &[(String, String)],
) -> Result<MountSpec, String> {
    let volume = volumes
        .mounted
        .get(&mount.name)
        .ok_or_else(|| format!("volumeMount {} names no volume of the pod", mount.name))?;
    let expression = mount
        .sub_path_expr
        .as_deref()
        .filter(|text| !text.is_empty());
    let sub_path = match expression {
        Some(text) => {
            let unknown = std::cell::RefCell::new(None);
            let expanded = expand(text, |name| {
                let value = env
                    .iter()
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value.clone());
                if value.is_none() {
                    unknown.replace(Some(name.to_owned()));
                }
                value
            });
            if let Some(name) = unknown.into_inner() {
                return Err(format!("subPathExpr {text}: {name} is not set"));
            }
            Some(expanded)
        }
        None => mount.sub_path.clone().filter(|text| !text.is_empty()),
    };
    if let Some(path) = &sub_path
        && (path.starts_with('/') || path.split('/').any(|part| part == ".."))
    {
        return Err(format!(
            "subPath \"{path}\" must be relative and must not contain \"..\""
        ));
    }
    Ok(MountSpec {
        source: volume.source.clone(),
        sub_path: sub_path.map(PathBuf::from),
        target: PathBuf::from(&mount.mount_path),
        read_only: volume.read_only || mount.read_only == Some(true),
    })
}

/// Whether a pod's volumes show a ConfigMap or Secret of this name.
pub(crate) fn shows(pod: &Pod, kind: Source, name: &str) -> bool {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes.into_iter().any(|volume| {
        let projected = volume
            .projected
            .iter()
            .flat_map(|p| p.sources.iter().flatten());
        match kind {
            Source::ConfigMap => {
                volume
                    .config_map
                    .as_ref()
                    .is_some_and(|source| source.name == name)
                    || projected
                        .filter_map(|source| source.config_map.as_ref())
                        .any(|source| source.name == name)
            }
            Source::Secret => {
                volume
                    .secret
                    .as_ref()
                    .is_some_and(|s| s.secret_name.as_deref() == Some(name))
                    || projected
                        .filter_map(|source| source.secret.as_ref())
                        .any(|source| source.name == name)
            }
        }
    })
}

/// What a volume may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// Fetches a ConfigMap; absence is an answer.
pub(crate) async fn config_map(
    client: &Client,
    namespace: &str,
    name: &str,
) -> kube::Result<Option<ConfigMap>> {
    Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
}

/// Fetches a Secret; absence is an answer.
pub(crate) async fn secret(
    client: &Client,
    namespace: &str,
    name: &str,
) -> kube::Result<Option<Secret>> {
    Api::<Secret>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sub_path_is_expanded_and_kept_inside() {
        let mounted = Mounted {
            source: PathBuf::from("/v"),
            read_only: false,
        };
        let volumes = Volumes {
            mounted: [("v".to_owned(), mounted)].into(),
            ..Volumes::default()
        };
        let env = [("POD".to_owned(), "p-1".to_owned())];
        let table = [
            (json!({"subPathExpr": "logs/$(POD)"}), Ok(Some("logs/p-1"))),
            (
                json!({"subPathExpr": "$(NOPE)"}),
                Err("subPathExpr $(NOPE): NOPE is not set"),
            ),
            (json!({"subPath": ""}), Ok(None)),
            (
                json!({"subPath": "../x"}),
                Err("subPath \"../x\" must be relative and must not contain \"..\""),
            ),
        ];
        for (mut fields, expected) in table {
            fields["name"] = json!("v");
            fields["mountPath"] = json!("/m");
            let mount: VolumeMount = serde_json::from_value(fields).unwrap();
            let found = mount_of(&mount, &volumes, &env).map(|mount| mount.sub_path);
            assert_eq!(
                found,
                expected
                    .map(|p| p.map(PathBuf::from))
                    .map_err(str::to_owned)
            );
        }
    }

    #[test]
    fn a_host_path_is_what_its_type_says_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str, kind: &str| {
            let path = directory.path().join(name).display().to_string();
            host_path(&HostPathVolumeSource {
                path,
                type_: Some(kind.to_owned()),
            })
        };
        assert!(at("made", "DirectoryOrCreate").unwrap().is_dir());
        assert!(at("file", "FileOrCreate").unwrap().is_file());
        assert!(at("file", "Directory").is_err());
        assert!(at("absent", "Directory").is_err());
        assert!(at("plain", "").unwrap().is_dir());
    }
}
