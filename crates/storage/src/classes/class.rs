//! A class that is made, as an object.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::drivers::Binding;

/// The label of classes that were made here, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "windlass");
/// The label with the hash of what a class is to be, so that one that somebody has made anew is known.
pub const MADE_FROM: &str = "windlass.dev/made-from";
/// The annotation with the claim that a class was made for first.
pub const MADE_FOR: &str = "windlass.dev/made-for";
/// The annotation with what has led to the class.
pub const WHY: &str = "windlass.dev/made-because";

/// A class that fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Class {
    /// The name that the claim has for it.
    #[serde(skip)]
    pub name: String,
    /// The driver.
    pub provisioner: String,
    /// What it is told.
    pub parameters: BTreeMap<String, String>,
    /// What becomes of volumes whose claim is gone.
    pub reclaim_policy: Reclaim,
    /// When volumes are made.
    pub volume_binding_mode: Binding,
    /// Whether claims may grow; nothing is said where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_volume_expansion: Option<bool>,
    /// What has led to it, for people.
    #[serde(skip)]
    pub why: String,
}

/// What becomes of volumes whose claim is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Reclaim {
    /// They go, too.
    #[default]
    Delete,
    /// They stay, for whoever takes care of them.
    Retain,
}

impl FromStr for Reclaim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Delete" => Ok(Self::Delete),
            "Retain" => Ok(Self::Retain),
            other => Err(format!("{other:?} is neither Delete nor Retain")),
        }
    }
}

impl Serialize for Binding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::FirstConsumer => "WaitForFirstConsumer",
            Self::Immediate => "Immediate",
        })
    }
}

impl Class {
    /// The StorageClass, made for a claim.
    pub fn object(&self, made_for: &str) -> Value {
        // Plain data always has a JSON form.
        let mut object = serde_json::to_value(self).unwrap_or_default();
        object["apiVersion"] = json!("storage.k8s.io/v1");
        object["kind"] = json!("StorageClass");
        object["metadata"] = json!({
            "name": self.name,
            "labels": { MANAGED_BY.0: MANAGED_BY.1, MADE_FROM: self.hash() },
            "annotations": { MADE_FOR: made_for, WHY: self.why },
        });
        object
    }

    /// The first 16 hex digits of the SHA-256 of what it says.
    pub fn hash(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        let digest = Sha256::digest(text.as_bytes());
        let digits = digest.iter().take(8);
        digits.fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
    }
}

impl fmt::Display for Class {
    /// The driver, and what it is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.provisioner)?;
        let secret = |name: &str| name.contains("secret");
        let told = self.parameters.iter().filter(|(name, _)| !secret(name));
        for (place, (name, value)) in told.enumerate() {
            let before = if place == 0 { " with " } else { ", " };
            write!(f, "{before}{name}={value}")?;
        }
        Ok(())
    }
}
