//! What Spark's own `spark-submit` creates in Kubernetes cluster mode, without a JVM.
//!
//! [`build`] is a pure function of a [`SubmitRequest`]: the same settings give the driver pod,
//! the Service, ConfigMaps, claims, Secrets and policies that the same version of Spark would
//! have sent. The differences between Spark's minor versions live in [`profile::Profile`] and
//! nowhere else. Laws:
//! - nothing random and nothing of this machine enters: ids, time, environment and files are
//!   part of the request;
//! - what Spark refuses at submission is refused here, with the setting named;
//! - settings that would run JVM classes at submission are refused, never ignored.
//!
//! Where the result differs from Spark on purpose: port 0 and feature steps are refused,
//! `{{APP_ID}}` in labels is expanded on every version, ports name their protocol, a variable
//! set twice is sent once with the outcome a kubelet would produce, and packages are left to the
//! driver to resolve.

pub mod error;
pub mod ids;
pub mod profile;
pub mod request;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

pub use self::error::SubmitError;
pub use self::ids::SubmitIds;
pub use self::profile::{Profile, SparkVersion};
pub use self::request::{
    Client, ClientFiles, Conf, DirEntry, MainResource, NoFiles, SubmitRequest, Templates,
};

/// The objects Spark's own `spark-submit` creates for these settings.
pub fn build(request: &SubmitRequest) -> Result<Submission, SubmitError> {
    let (_profile, _exact) = Profile::of(&request.version);
    Err(SubmitError::setting(
        "spark.master",
        "submission is being built",
    ))
}

/// Everything one submission creates.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The driver pod. It is created first: everything else is owned by it.
    pub driver: Value,
    /// The other objects in creation order, without owner references: see [`Self::owned_by`].
    pub objects: Vec<Value>,
    /// The namespace all of them go to. Spark names it in the request's path; of the bodies only
    /// some repeat it.
    pub namespace: String,
    /// The name of the container Spark runs in; it need not be the first one.
    pub container: String,
    /// The content of `spark.properties`.
    pub conf: BTreeMap<String, String>,
    /// Client files that must be copied before the driver starts.
    pub uploads: Vec<Upload>,
    /// What the caller should know although nothing was refused.
    pub notes: Vec<Note>,
}

/// A file of the client that `spark.kubernetes.file.upload.path` receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The absolute path on the client.
    pub from: String,
    /// The URI the driver will read.
    pub to: String,
}

/// Something the caller should know although nothing was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// This version of Spark has no profile of its own.
    NearestProfile {
        /// The version that was asked for.
        asked: SparkVersion,
        /// The minor version whose rules were used.
        used: &'static str,
    },
    /// `spark-submit` would resolve packages on the client too; here only the driver does.
    PackagesLeftToDriver,
    /// Something was left out or behaves differently than a reader may expect.
    Remark(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NearestProfile { asked, used } => {
                write!(f, "Spark {asked} is not known; the rules of Spark {used} were used")
            }
            Self::PackagesLeftToDriver => f.write_str(
                "spark.jars.packages is not resolved at submission; the driver resolves it when it starts",
            ),
            Self::Remark(text) => f.write_str(text),
        }
    }
}

impl Submission {
    /// The objects with the owner reference Spark gives them once the driver pod exists.
    pub fn owned_by(&self, driver_uid: &str) -> Vec<Value> {
        let owner = json!([{
            "apiVersion": "v1",
            "kind": "Pod",
            "name": self.driver_name(),
            "uid": driver_uid,
            "controller": true,
        }]);
        let mut objects = self.objects.clone();
        for object in &mut objects {
            object["metadata"]["ownerReferences"] = owner.clone();
        }
        objects
    }

    /// The driver pod's name.
    pub fn driver_name(&self) -> &str {
        self.driver["metadata"]["name"].as_str().unwrap_or_default()
    }
}
