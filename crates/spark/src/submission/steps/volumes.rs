//! The volumes of the settings, and the claims that are made for them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use windlass_api::quantity::Quantity;

use super::super::profile::Profile;
use super::super::settings::Settings;
use super::super::{SubmitError, hash_order};
use super::{Context, Draft};

const DRIVER: &str = "spark.kubernetes.driver.volumes.";
const EXECUTOR: &str = "spark.kubernetes.executor.volumes.";
const LEGACY_ACCESS_MODE: &str = "spark.kubernetes.legacy.useReadWriteOnceAccessMode";

/// Refuses executor volumes that the driver would stumble over.
pub(in super::super) fn check_executor_volumes(
    settings: &Settings<'_>,
    profile: &Profile,
) -> Result<(), SubmitError> {
    parse(settings, EXECUTOR, profile).map(|_| ())
}

pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let settings = &context.settings;
    let volumes = parse(settings, DRIVER, &context.profile)?;
    let mut paths = BTreeSet::new();
    for volume in &volumes {
        if !paths.insert(volume.mount_path) {
            return Err(SubmitError::setting(
                format!("{DRIVER}{}.{}.mount.path", volume.kind, volume.name),
                format!(
                    "{:?} is the mount path of another volume too: choose another",
                    volume.mount_path
                ),
            ));
        }
    }
    let legacy = settings.boolean(LEGACY_ACCESS_MODE, !context.profile.claims_once_per_pod)?;
    let access_mode = if legacy {
        "ReadWriteOnce"
    } else {
        "ReadWriteOncePod"
    };

    for (index, volume) in volumes.iter().enumerate() {
        let source = match &volume.source {
            Source::HostPath { path, kind } => json!({"path": path, "type": kind}),
            Source::Nfs { server, path } => json!({"server": server, "path": path}),
            Source::EmptyDir { medium, size_limit } => {
                let mut source = json!({"medium": medium});
                if let Some(size) = size_limit {
                    source["sizeLimit"] = json!(size);
                }
                source
            }
            Source::Claim { name, request } => {
                let on_demand = format!("{}-driver-pvc-{index}", context.prefix);
                let name = name.replace("OnDemand", &on_demand);
                if let Some(request) = request {
                    draft
                        .objects
                        .push(claim(context, &name, access_mode, request));
                }
                json!({"claimName": name, "readOnly": volume.read_only})
            }
        };
        let mut mount = json!({
            "name": volume.name,
            "mountPath": volume.mount_path,
            "readOnly": volume.read_only,
            "subPath": volume.sub_path,
        });
        if context.profile.rich_volumes {
            mount["subPathExpr"] = json!(volume.sub_path_expr);
        }
        draft.pod.add_volume(volume.name, (volume.kind, source));
        draft.pod.add_mount(mount);
    }
    Ok(())
}

/// One volume of the settings.
#[derive(Debug)]
struct Volume<'a> {
    kind: &'a str,
    name: &'a str,
    mount_path: &'a str,
    sub_path: &'a str,
    sub_path_expr: &'a str,
    read_only: bool,
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    HostPath {
        path: &'a str,
        kind: &'a str,
    },
    EmptyDir {
        medium: &'a str,
        size_limit: Option<&'a str>,
    },
    Nfs {
        server: &'a str,
        path: &'a str,
    },
    Claim {
        name: &'a str,
        request: Option<ClaimRequest<'a>>,
    },
}

/// What a claim that Spark makes asks for.
#[derive(Debug)]
struct ClaimRequest<'a> {
    storage_class: &'a str,
    size: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
}

/// The volumes below a prefix, in the order in which Spark numbers them: that of their first
/// setting in its map. (Of five volumes and more Spark makes hash sets too; those keep the order
/// of the map here.)
fn parse<'a>(
    settings: &Settings<'a>,
    prefix: &str,
    profile: &Profile,
) -> Result<Vec<Volume<'a>>, SubmitError> {
    let all = settings.below(prefix);
    let keys = if all.len() > hash_order::UNHASHED {
        hash_order::sort(all.keys().copied(), profile)
    } else {
        all.keys().copied().collect()
    };
    let mut seen = BTreeSet::new();
    keys.into_iter()
        .filter_map(|key| {
            let (kind, rest) = key.split_once('.')?;
            Some((kind, rest.split('.').next().unwrap_or(rest)))
        })
        .filter(|volume| seen.insert(*volume))
        .map(|(kind, name)| {
            let options = Options {
                prefix,
                kind,
                name,
                all: &all,
            };
            options.volume(profile)
        })
        .collect()
}

/// The settings of one volume.
struct Options<'a, 'm> {
    prefix: &'m str,
    kind: &'a str,
    name: &'a str,
    all: &'m BTreeMap<&'a str, &'a str>,
}

impl<'a> Options<'a, '_> {
    fn volume(&self, profile: &Profile) -> Result<Volume<'a>, SubmitError> {
        let source = self.source(profile)?;
        let sub_path = self.get("mount.subPath");
        let sub_path_expr = self
            .get("mount.subPathExpr")
            .filter(|_| profile.rich_volumes);
        if sub_path.is_some() && sub_path_expr.is_some() {
            return Err(self.refused(
                "mount.subPathExpr",
                "contradicts mount.subPath: set only one",
            ));
        }
        let read_only = match self
            .get("mount.readOnly")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(self.refused("mount.readOnly", "is neither true nor false")),
        };
        Ok(Volume {
            kind: self.kind,
            name: self.name,
            mount_path: self.required("mount.path")?,
            sub_path: sub_path.unwrap_or_default(),
            sub_path_expr: sub_path_expr.unwrap_or_default(),
            read_only,
            source,
        })
    }

    fn source(&self, profile: &Profile) -> Result<Source<'a>, SubmitError> {
        match self.kind {
            "hostPath" => Ok(Source::HostPath {
                path: self.required("options.path")?,
                kind: self
                    .get("options.type")
                    .filter(|_| profile.rich_volumes)
                    .unwrap_or_default(),
            }),
            "nfs" => Ok(Source::Nfs {
                path: self.required("options.path")?,
                server: self.required("options.server")?,
            }),
            "emptyDir" => Ok(Source::EmptyDir {
                medium: self.get("options.medium").unwrap_or_default(),
                size_limit: self
                    .size(profile)?
                    .map(|size| self.quantity(size))
                    .transpose()?,
            }),
            "persistentVolumeClaim" => {
                let name = self.required("options.claimName")?;
                let request = match (self.get("options.storageClass"), self.size(profile)?) {
                    (Some(storage_class), Some(size)) => Some(ClaimRequest {
                        storage_class,
                        size: self.quantity(size)?,
                        labels: self.below("label.", profile),
                        annotations: self.below("annotation.", profile),
                    }),
                    _ => None,
                };
                Ok(Source::Claim { name, request })
            }
            other => Err(SubmitError::setting(
                format!("{}{other}.{}", self.prefix, self.name),
                format!(
                    "{other:?} is not a kind of volume Spark knows: use hostPath, emptyDir, nfs, persistentVolumeClaim or a pod template"
                ),
            )),
        }
    }

    fn size(&self, profile: &Profile) -> Result<Option<&'a str>, SubmitError> {
        let option = "options.sizeLimit";
        let Some(size) = self.get(option) else {
            return Ok(None);
        };
        let bare = size.bytes().all(|b| b.is_ascii_digit());
        if profile.rich_volumes && bare && !size.parse::<i64>().is_ok_and(|bytes| bytes >= 1024) {
            return Err(self.refused(option, "is less than 1 KiB: add a unit, for example 10Gi"));
        }
        Ok(Some(size))
    }

    /// The size, when an object will hold it and the API server will read it.
    fn quantity(&self, size: &'a str) -> Result<&'a str, SubmitError> {
        match size.parse::<Quantity>() {
            Ok(_) => Ok(size),
            Err(error) => Err(self.refused("options.sizeLimit", &format!("as a size {error}"))),
        }
    }

    fn get(&self, option: &str) -> Option<&'a str> {
        self.all
            .get(format!("{}.{}.{option}", self.kind, self.name).as_str())
            .copied()
    }

    fn required(&self, option: &str) -> Result<&'a str, SubmitError> {
        self.get(option).ok_or_else(|| {
            SubmitError::setting(
                self.key(option),
                format!("is missing: a {} volume needs it", self.kind),
            )
        })
    }

    fn below(&self, option: &str, profile: &Profile) -> BTreeMap<&'a str, &'a str> {
        if !profile.rich_volumes {
            return BTreeMap::new();
        }
        let prefix = format!("{}.{}.{option}", self.kind, self.name);
        self.all
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, *value)))
            .collect()
    }

    fn key(&self, option: &str) -> String {
        format!("{}{}.{}.{option}", self.prefix, self.kind, self.name)
    }

    fn refused(&self, option: &str, reason: &str) -> SubmitError {
        let value = self.get(option).unwrap_or_default();
        SubmitError::setting(self.key(option), format!("{value:?} {reason}"))
    }
}

fn claim(
    context: &Context<'_>,
    name: &str,
    access_mode: &str,
    request: &ClaimRequest<'_>,
) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": request.labels},
        "spec": {
            "accessModes": [access_mode],
            "storageClassName": request.storage_class,
            "resources": {"requests": {"storage": request.size}},
        },
    });
    object["metadata"]["labels"]["spark-app-selector"] = json!(context.request.ids.app_id);
    if !request.annotations.is_empty() {
        object["metadata"]["annotations"] = json!(request.annotations);
    }
    object
}
