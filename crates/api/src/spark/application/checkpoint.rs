//! `spark.kubernetes.checkpointdir.*`: a folder for the checkpoints of streaming jobs, which outlives each of
//! their runs. The settings are those of the first operator of claims, whose Spark had them; no other Spark
//! knows them.

use std::str::FromStr;

use super::{ConfValue, SparkApplication, SparkApplicationSpec};
use crate::field::{FieldError, FieldPath};
use crate::names::{DnsSubdomain, LABEL_MAX, shorten};
use crate::quantity::Quantity;

/// What the settings begin with.
pub const CHECKPOINT_DIR: &str = "spark.kubernetes.checkpointdir.";

/// The settings, without what they begin with.
const KEYS: [&str; 5] = ["enable", "path", "size", "storageClass", "accessMode"];
/// Where the folder is, unless a setting says so.
const PATH: &str = "/checkpointdir";
/// How large its claim is, unless a setting says so.
const SIZE: Quantity = Quantity::from_bytes(1 << 30);

/// A folder for checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDir {
    /// Where the pods have it. Default: `/checkpointdir`.
    pub path: String,
    /// How much the claim asks for. Default: 1Gi.
    pub size: Quantity,
    /// The class of the claim. Default: the cluster's.
    pub storage_class: Option<String>,
    /// Who may mount it. Default: `ReadWriteMany`, since executors write the state of queries there.
    pub access_mode: CheckpointAccess,
}

/// Who may mount the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointAccess {
    /// The driver and its executors, wherever they are.
    ReadWriteMany,
    /// The driver alone: executors may be on other nodes.
    ReadWriteOnce,
    /// The driver alone.
    ReadWriteOncePod,
}

impl CheckpointDir {
    /// Reads the settings; `None` where `spark.kubernetes.checkpointdir.enable` is not `true`.
    pub fn of(spec: &SparkApplicationSpec) -> Result<Option<Self>, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut reader = Reader {
            spec,
            errors: &mut errors,
        };
        let is_wanted = reader.read("enable", "true or false", |text| text.parse().ok());
        let dir = Self {
            path: reader
                .read(
                    "path",
                    "an absolute path, and not that of the whole container",
                    path,
                )
                .unwrap_or_else(|| PATH.to_owned()),
            size: reader
                .read("size", "an amount of storage, such as 5Gi", size)
                .unwrap_or(SIZE),
            storage_class: reader.read("storageClass", "the name of a StorageClass", |text| {
                DnsSubdomain::new(text).ok().map(|_| text.to_owned())
            }),
            access_mode: reader
                .read(
                    "accessMode",
                    "ReadWriteMany, ReadWriteOnce or ReadWriteOncePod",
                    |text| text.parse().ok(),
                )
                .unwrap_or(CheckpointAccess::ReadWriteMany),
        };
        for name in names(spec).filter(|name| !KEYS.contains(name)) {
            let detail = format!("is none of these settings, which are {}", KEYS.join(", "));
            errors.push(FieldError::forbidden(field(name), detail));
        }
        if errors.is_empty() {
            Ok((is_wanted == Some(true)).then_some(dir))
        } else {
            Err(errors)
        }
    }

    /// The name of the claim, which is the same for all runs of an application of this name.
    pub fn claim_name(application: &SparkApplication) -> String {
        let name = application.metadata.name.as_deref().unwrap_or_default();
        shorten(&format!("{name}-checkpointdir"), LABEL_MAX)
    }
}

impl CheckpointAccess {
    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteMany => "ReadWriteMany",
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteOncePod => "ReadWriteOncePod",
        }
    }
}

impl FromStr for CheckpointAccess {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::ReadWriteMany,
            Self::ReadWriteOnce,
            Self::ReadWriteOncePod,
        ]
        .into_iter()
        .find(|mode| mode.as_str() == text)
        .ok_or(())
    }
}

struct Reader<'a> {
    spec: &'a SparkApplicationSpec,
    errors: &'a mut Vec<FieldError>,
}

impl Reader<'_> {
    fn read<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self
            .spec
            .spark_conf
            .get(&format!("{CHECKPOINT_DIR}{name}"))?;
        let text = match value {
            ConfValue::Text(text) => text.trim(),
            ConfValue::From(_) | ConfValue::Unreadable(_) => "",
        };
        let read = parse(text);
        if read.is_none() {
            let detail = format!("must be {wanted}");
            self.errors
                .push(FieldError::invalid(field(name), text, detail));
        }
        read
    }
}

fn field(name: &str) -> FieldPath {
    let conf = FieldPath::new("spec").field("sparkConf");
    conf.key(&format!("{CHECKPOINT_DIR}{name}"))
}

fn names(spec: &SparkApplicationSpec) -> impl Iterator<Item = &str> {
    spec.spark_conf
        .keys()
        .filter_map(|key| key.strip_prefix(CHECKPOINT_DIR))
}

fn path(text: &str) -> Option<String> {
    let text = text.trim_end_matches('/');
    let is_plain = text.starts_with('/') && !text.split('/').any(|part| part == "..");
    // A colon ends the path of a mount.
    (is_plain && !text.contains(':')).then(|| text.to_owned())
}

fn size(text: &str) -> Option<Quantity> {
    text.parse().ok().filter(|size| *size > Quantity::ZERO)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decode::decode;

    fn spec(conf: &[(&str, Value)]) -> SparkApplicationSpec {
        let conf: serde_json::Map<String, Value> = conf
            .iter()
            .map(|(name, value)| (format!("{CHECKPOINT_DIR}{name}"), value.clone()))
            .collect();
        let application: SparkApplication = decode(&json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {"name": "stream"},
            "spec": {
                "type": "Python", "sparkVersion": "3.5.9", "mainApplicationFile": "local:///a.py",
                "sparkConf": conf, "driver": {}, "executor": {},
            },
        }))
        .unwrap();
        application.spec
    }

    #[test]
    fn a_folder_for_checkpoints_is_there_when_it_is_enabled() {
        assert_eq!(CheckpointDir::of(&spec(&[])), Ok(None));
        assert_eq!(
            CheckpointDir::of(&spec(&[("enable", json!(false))])),
            Ok(None)
        );
        let usual = CheckpointDir {
            path: "/checkpointdir".to_owned(),
            size: "1Gi".parse().unwrap(),
            storage_class: None,
            access_mode: CheckpointAccess::ReadWriteMany,
        };
        assert_eq!(
            CheckpointDir::of(&spec(&[("enable", json!(true))])),
            Ok(Some(usual))
        );
        let said = spec(&[
            ("enable", json!("true")),
            ("path", json!("/data/checkpoints/")),
            ("size", json!("20Gi")),
            ("storageClass", json!("fast")),
            ("accessMode", json!("ReadWriteOnce")),
        ]);
        let dir = CheckpointDir {
            path: "/data/checkpoints".to_owned(),
            size: "20Gi".parse().unwrap(),
            storage_class: Some("fast".to_owned()),
            access_mode: CheckpointAccess::ReadWriteOnce,
        };
        assert_eq!(CheckpointDir::of(&said), Ok(Some(dir)));
    }

    #[test]
    fn every_mistake_about_it_is_told() {
        let wrong = spec(&[
            ("enable", json!("yes")),
            ("path", json!("checkpoints")),
            ("size", json!("-1Gi")),
            ("storageClass", json!("Fast Disks")),
            ("accessMode", json!("ReadOnlyMany")),
            ("volume", json!("x")),
        ]);
        let errors = CheckpointDir::of(&wrong).unwrap_err();
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"));
        for path in ["/", "/a/../b", "/a:b", ""] {
            let wrong = spec(&[("enable", json!(true)), ("path", json!(path))]);
            assert!(CheckpointDir::of(&wrong).is_err(), "{path}");
        }
    }
}
