//! What a claim asks for.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;
use windlass_engine::Object;

use super::class::Reclaim;
use super::drivers::Need;
use super::provider::Provider;
use crate::nfs::share;

/// Whose disks: `aws`, `azure`, `google`, ...; instead of what the cluster shows.
pub const PROVIDER: &str = "windlass.dev/storage-provider";
/// The driver, by the name of its CSIDriver.
pub const DRIVER: &str = "windlass.dev/storage-driver";
/// The kind of disks, in the driver's words: `gp3`, `Premium_LRS`, `pd-ssd`.
pub const TYPE: &str = "windlass.dev/storage-type";
/// The file system: `ext4`, `xfs`.
pub const FS_TYPE: &str = "windlass.dev/storage-fstype";
/// What becomes of volumes whose claim is gone: `Delete`, `Retain`.
pub const RECLAIM: &str = "windlass.dev/storage-reclaim-policy";
/// Other parameters of the driver that a claim may choose: `iops=4000,throughput=250`.
pub const PARAMETERS: &str = "windlass.dev/storage-parameters";

/// A claim for storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The namespace, and the name in it.
    pub namespace: String,
    /// See there.
    pub name: String,
    /// The class; `None` is the default one, empty is none at all.
    pub class: Option<String>,
    /// Whether it waits for a volume.
    pub phase: Phase,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Whether it names, or describes, a volume that somebody makes by hand.
    pub picks_a_volume: bool,
    /// How the volume is to be used, as Kubernetes says it.
    pub modes: Vec<String>,
    /// Whether it wants a device without a file system.
    pub is_raw: bool,
    /// Whether it wants an NFS server, where there are any.
    pub is_share: bool,
    /// What its annotations choose; the error is what in them cannot be meant.
    pub hints: Result<Hints, String>,
}

/// Whether a claim has a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not yet.
    Pending,
    /// It has.
    Bound,
    /// It had.
    Lost,
}

/// What a claim chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// See [`PROVIDER`].
    pub provider: Option<Provider>,
    /// See [`DRIVER`].
    pub driver: Option<String>,
    /// See [`TYPE`].
    pub kind: Option<String>,
    /// See [`FS_TYPE`].
    pub file_system: Option<String>,
    /// See [`RECLAIM`].
    pub reclaim: Option<Reclaim>,
    /// See [`PARAMETERS`].
    pub parameters: BTreeMap<String, String>,
}

impl Claim {
    /// Reads a PersistentVolumeClaim. What is missing or of a wrong type reads as absent.
    pub fn of(object: &Object) -> Self {
        let spec = object.spec();
        let modes = spec["accessModes"].as_array().into_iter().flatten();
        let is_there = |field: &str| !matches!(&spec[field], Value::Null) && spec[field] != "";
        Self {
            namespace: object.namespace().unwrap_or_default().to_owned(),
            name: object.name().to_owned(),
            class: spec["storageClassName"].as_str().map(str::to_owned),
            phase: match object.status()["phase"].as_str() {
                Some("Bound") => Phase::Bound,
                Some("Lost") => Phase::Lost,
                _ => Phase::Pending,
            },
            is_deleting: object.is_deleting(),
            picks_a_volume: is_there("volumeName") || is_there("selector"),
            modes: modes.filter_map(Value::as_str).map(str::to_owned).collect(),
            is_raw: spec["volumeMode"] == "Block",
            is_share: share::is_meant(object),
            hints: Hints::of(object),
        }
    }

    /// The widest of its access modes; the error is a mode that nobody here knows.
    pub fn need(&self) -> Result<Need, String> {
        let mut widest = None;
        for mode in &self.modes {
            let need = match mode.as_str() {
                "ReadWriteOnce" | "ReadWriteOncePod" => Need::One,
                "ReadOnlyMany" => Need::Readers,
                "ReadWriteMany" => Need::Many,
                other => return Err(format!("the access mode {other:?} is not known here")),
            };
            let breadth = |need: Need| match need {
                Need::One => 0,
                Need::Readers => 1,
                Need::Many => 2,
            };
            if widest.is_none_or(|it| breadth(it) < breadth(need)) {
                widest = Some(need);
            }
        }
        widest.ok_or_else(|| "it has no access mode".to_owned())
    }

    /// How the volume is to be used, in words.
    pub fn use_in_words(&self) -> String {
        let modes = self.modes.join("+");
        if self.is_raw {
            format!("{modes} without a file system")
        } else {
            modes
        }
    }
}

impl Hints {
    fn of(object: &Object) -> Result<Self, String> {
        let text = |name: &str| object.annotation(name).map(str::trim).map(str::to_owned);
        fn read<T: FromStr>(name: &str, text: Option<String>) -> Result<Option<T>, String>
        where
            T::Err: std::fmt::Display,
        {
            let read = text.map(|it| it.parse());
            read.transpose()
                .map_err(|error: T::Err| format!("{name}: {error}"))
        }
        let word = |name: &str| match text(name) {
            Some(it) if it.is_empty() || !it.chars().all(is_of_a_word) => {
                Err(format!("{name}: {it:?} is no name"))
            }
            other => Ok(other),
        };
        Ok(Self {
            provider: read(PROVIDER, text(PROVIDER))?,
            driver: word(DRIVER)?,
            kind: word(TYPE)?,
            file_system: word(FS_TYPE)?,
            reclaim: read(RECLAIM, text(RECLAIM))?,
            parameters: pairs(PARAMETERS, text(PARAMETERS).as_deref().unwrap_or_default())?,
        })
    }
}

fn is_of_a_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || ['-', '_', '.', '/'].contains(&it)
}

/// `name=value,name=value`; the error says what of it is not.
fn pairs(place: &str, text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("{place}: {pair:?} is not of the form name=value"));
        };
        let (name, value) = (name.trim(), value.trim());
        if all.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{place}: {name} is there twice"));
        }
    }
    Ok(all)
}
