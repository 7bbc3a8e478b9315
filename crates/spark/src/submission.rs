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

pub(crate) mod client;
mod conf_map;
mod defaults;
pub mod error;
mod executor;
mod glob;
mod hash_order;
pub mod ids;
pub mod memory;
mod names;
mod numbers;
mod pod;
pub(crate) mod prepare;
pub mod profile;
pub mod properties;
pub mod request;
mod settings;
mod steps;
mod template;
mod upload;
mod uri;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use windlass_api::names::DnsLabel;

use self::settings::Settings;
use self::steps::{Context, Draft};
use self::upload::Uploads;

pub use self::error::SubmitError;
pub use self::executor::{ExecutorContainer, ExecutorCount, executors};
pub use self::ids::SubmitIds;
pub use self::profile::{Profile, SparkVersion};
pub use self::request::{
    Client, ClientFiles, Conf, DirEntry, MainResource, NoFiles, SubmitRequest, Templates,
};

/// The objects Spark's own `spark-submit` creates for these settings.
pub fn build(request: &SubmitRequest) -> Result<Submission, SubmitError> {
    let (profile, exact) = Profile::of(&request.version);
    let conf = prepare::prepare(request, &profile)?;
    let settings = Settings::new(&conf, &request.client, profile);
    check_client_settings(&settings)?;
    steps::check_executor_volumes(&settings, &profile)?;
    let context = context(request, profile, settings)?;
    let mut draft = Draft {
        pod: template::driver(&settings, &request.client, &request.templates, &profile)?,
        objects: Vec::new(),
        added: Conf::new(),
        uploads: Uploads::new(&settings, &request.client, &request.ids)?,
    };
    steps::apply(&context, &mut draft)?;

    let Draft {
        mut pod,
        mut objects,
        added,
        uploads,
    } = draft;
    let mut conf = conf.clone();
    conf.extend(added);
    objects.push(conf_map::mount(&context, &mut pod, &conf)?);
    let namespace = context.namespace;
    let (driver, container) = pod.finish();
    let uploads = uploads.files;
    let notes = notes(request, &profile, exact);
    Ok(Submission {
        driver,
        objects,
        namespace,
        container,
        conf,
        uploads,
        notes,
    })
}

fn context<'a>(
    request: &'a SubmitRequest,
    profile: Profile,
    settings: Settings<'a>,
) -> Result<Context<'a>, SubmitError> {
    // Of this setting alone Spark takes no notice of references in it.
    let app_name = settings.raw("spark.app.name").unwrap_or_default();
    let namespace = namespace(&settings)?;
    let mut context = Context {
        request,
        profile,
        settings,
        namespace,
        prefix: names::resource_prefix(app_name, &request.ids.prefix),
        labels: BTreeMap::new(),
    };
    context.labels = labels(&context, app_name)?;
    Ok(context)
}

fn namespace(settings: &Settings<'_>) -> Result<String, SubmitError> {
    const KEY: &str = "spark.kubernetes.namespace";
    let name = settings.text(KEY)?.unwrap_or_else(|| "default".to_owned());
    match DnsLabel::new(name.clone()) {
        Ok(_) => Ok(name),
        Err(error) => Err(SubmitError::setting(KEY, format!("{name:?} {error}"))),
    }
}

/// Settings of `spark-submit` itself: they do nothing here, but nonsense in them is refused where
/// Spark refuses it.
fn check_client_settings(settings: &Settings<'_>) -> Result<(), SubmitError> {
    for flag in ["submission.waitAppCompletion", "trust.certificates"] {
        settings.boolean(&format!("spark.kubernetes.{flag}"), false)?;
    }
    for number in ["submission.requestTimeout", "submission.connectionTimeout"] {
        settings.integer(&format!("spark.kubernetes.{number}"))?;
    }
    Ok(())
}

/// The user's labels and Spark's own.
fn labels(context: &Context<'_>, app_name: &str) -> Result<BTreeMap<String, String>, SubmitError> {
    const PREFIX: &str = "spark.kubernetes.driver.label.";
    let own = [
        ("spark-version", context.request.version.as_str().to_owned()),
        ("spark-app-selector", context.request.ids.app_id.clone()),
        ("spark-app-name", names::app_name_label(app_name)),
        ("spark-role", "driver".to_owned()),
    ];
    let mut labels = BTreeMap::new();
    for (label, value) in context.settings.below(PREFIX) {
        if own.iter().any(|(reserved, _)| *reserved == label) {
            return Err(SubmitError::setting(
                format!("{PREFIX}{label}"),
                "is reserved: Spark finds its pods by this label; choose another",
            ));
        }
        labels.insert(label.to_owned(), context.expand_ids(value));
    }
    labels.extend(own.map(|(label, value)| (label.to_owned(), value)));
    Ok(labels)
}

fn notes(request: &SubmitRequest, profile: &Profile, exact: bool) -> Vec<Note> {
    let mut notes = Vec::new();
    if !exact {
        notes.push(Note::NearestProfile {
            asked: request.version.clone(),
            used: profile.minor,
        });
    }
    if request
        .conf
        .get("spark.jars.packages")
        .is_some_and(|packages| !packages.is_empty())
    {
        notes.push(Note::PackagesLeftToDriver);
    }
    notes
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
    /// The client's `spark-env.sh` is a shell script; no shell runs here.
    SparkEnvNotRun {
        /// Where it is.
        path: String,
    },
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
            Self::SparkEnvNotRun { path } => {
                write!(f, "{path} was not run: set what it exports in the environment")
            }
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

    /// All objects in creation order, as they look before the driver pod has a uid: the owner is
    /// the pod with the nil uid.
    pub fn rendered(&self) -> Vec<Value> {
        let mut objects = vec![self.driver.clone()];
        objects.extend(self.owned_by("00000000-0000-0000-0000-000000000000"));
        objects
    }

    /// The driver pod's name.
    pub fn driver_name(&self) -> &str {
        self.driver["metadata"]["name"].as_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
