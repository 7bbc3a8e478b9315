//! `windlass suspend`, `resume`, `rerun` and `delete`: what a user wants of objects, written where
//! the operator reads it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams, Preconditions,
};
use serde_json::{Value, json};
use windlass_api::spark::application::RERUN_REQUESTED_AT;

use super::connect::wake;
use crate::applications::Place;
use crate::args::{ChangeArgs, DeleteArgs, Show};
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::{out, talk};
use crate::run::preflight::api_failure;
use crate::shown::{Found, Scope, show};

/// How long a deleted object may take to be gone.
const GONE_PATIENCE: Duration = Duration::from_mins(5);
/// How long to wait between two looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Sets `spec.suspend`.
pub async fn suspend(args: ChangeArgs) -> Result<Exit, Failure> {
    change(args, Change::Suspend).await
}

/// Clears `spec.suspend`.
pub async fn resume(args: ChangeArgs) -> Result<Exit, Failure> {
    change(args, Change::Resume).await
}

/// Asks for one more run.
pub async fn rerun(args: ChangeArgs) -> Result<Exit, Failure> {
    change(args, Change::Rerun).await
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Suspend,
    Resume,
    Rerun,
}

impl Change {
    fn patch(self) -> Value {
        match self {
            Self::Suspend => json!({ "spec": { "suspend": true } }),
            Self::Resume => json!({ "spec": { "suspend": false } }),
            Self::Rerun => {
                let now = Timestamp::now().to_string();
                json!({ "metadata": { "annotations": { RERUN_REQUESTED_AT: now } } })
            }
        }
    }

    /// What has been done, for people.
    const fn done(self) -> &'static str {
        match self {
            Self::Suspend => "suspended",
            Self::Resume => "resumed",
            Self::Rerun => "asked to run again",
        }
    }

    /// Refuses what has no meaning for the kind of an object.
    fn check(self, subject: &Subject) -> Result<(), Failure> {
        match (self, subject.kind) {
            (Self::Rerun, Kind::Schedule) => Err(Failure::bad_input(format!(
                "{subject} has runs of its own: windlass trigger {} starts one now",
                subject.name
            ))),
            (Self::Rerun, Kind::Connect | Kind::History) => Err(Failure::bad_input(format!(
                "{subject} has no end from which it could run again: windlass suspend {subject} \
                 and then windlass resume {subject} start it anew"
            ))),
            (Self::Suspend | Self::Resume | Self::Rerun, Kind::Cluster) => {
                Err(Failure::bad_input(format!(
                    "{subject} is a virtual cluster, which neither stops nor runs again: give its roles \
                     fewer members, as far as the application allows, or delete it"
                )))
            }
            (Self::Suspend | Self::Resume, _) | (Self::Rerun, Kind::Application) => Ok(()),
        }
    }
}

/// Patches every named object; the first that is not there ends it.
async fn change(args: ChangeArgs, change: Change) -> Result<Exit, Failure> {
    for subject in &args.names {
        change.check(subject)?;
    }
    let place = Place::open(&args.place).await?;
    let patch = change.patch();
    let mut changed: Vec<Found> = Vec::new();
    for subject in &args.names {
        let api = place.api(subject.kind);
        let params = PatchParams::default();
        let patched = api
            .patch(&subject.name, &params, &Patch::Merge(&patch))
            .await;
        let object = match patched {
            Ok(object) => object,
            Err(error) => return Err(place.failure(subject, error).await),
        };
        if change == Change::Resume && subject.kind == Kind::Connect {
            // It may be stopped for another reason, too.
            wake(&api, &subject.name, &object).await?;
        }
        if args.output.is_none() {
            out(&format!("{} {}", place.about(subject), change.done()));
        }
        changed.push(Found {
            kind: subject.kind,
            object,
        });
    }
    let scope = if changed.len() == 1 {
        Scope::One
    } else {
        Scope::Namespace
    };
    match args.output {
        Some(how) => show(&changed, how, scope),
        None => Ok(Exit::Completed),
    }
}

/// Deletes every named object.
pub async fn delete(args: DeleteArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let mut deleted = Vec::new();
    for subject in &args.names {
        match remove(&place, subject).await {
            Ok(uid) => deleted.push((subject, uid)),
            Err(kube::Error::Api(status)) if status.code == 404 && args.ignore_not_found => {
                talk(&format!("{} is not there", place.about(subject)));
            }
            Err(error) => return Err(place.failure(subject, error).await),
        }
    }
    for (subject, uid) in deleted {
        if !args.no_wait {
            wait_until_gone(&place, subject, &uid).await?;
        }
        out(&format!("{} deleted", place.about(subject)));
    }
    Ok(Exit::Completed)
}

/// Deletes an object and returns its uid.
pub async fn remove(place: &Place, subject: &Subject) -> Result<String, kube::Error> {
    let api = place.api(subject.kind);
    let found = api.get(&subject.name).await?;
    let uid = found.metadata.uid.unwrap_or_default();
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: Some(uid.clone()),
        resource_version: None,
    });
    api.delete(&subject.name, &params).await?;
    Ok(uid)
}

/// Waits until the object of this uid is gone, and its pods with it.
pub async fn wait_until_gone(place: &Place, subject: &Subject, uid: &str) -> Result<(), Failure> {
    let selector = ListParams::default().labels(&subject.selector());
    let api = place.api(subject.kind);
    let deadline = Instant::now() + GONE_PATIENCE;
    loop {
        let found = api.get_metadata_opt(&subject.name).await;
        let found = found.map_err(api_failure)?;
        let exists = found.and_then(|object| object.metadata.uid).as_deref() == Some(uid);
        let pods = place.pods().list_metadata(&selector).await;
        let pods = pods.map_err(api_failure)?.items;
        if !exists && pods.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::cluster(format!(
                "{} is still being deleted after {} s, and of its pods {}: see what holds it with kubectl \
                 describe {} {} and kubectl get pods",
                place.about(subject),
                GONE_PATIENCE.as_secs(),
                what_is_left(&pods),
                subject.kind.singular(),
                subject.name
            )));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The pods that are there, each with whether anybody has asked for its end.
fn what_is_left(pods: &[PartialObjectMeta<Pod>]) -> String {
    if pods.is_empty() {
        return "none is left".to_owned();
    }
    let told = pods.iter().map(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let owners = pod.metadata.owner_references.iter().flatten();
        let owners: Vec<&str> = owners.map(|owner| owner.name.as_str()).collect();
        match &pod.metadata.deletion_timestamp {
            Some(due) => format!("{name} was to be gone at {}", due.0),
            None => format!("{name} of {} is not being deleted", owners.join(", ")),
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

/// How a created application is told about.
pub fn created(
    place: &Place,
    application: DynamicObject,
    how: Option<Show>,
) -> Result<Exit, Failure> {
    let name = application.metadata.name.clone().unwrap_or_default();
    let found = Found {
        kind: Kind::Application,
        object: application,
    };
    if let Some(how) = how {
        return show(&[found], how, Scope::One);
    }
    out(&format!("{}/{name} submitted", place.namespace));
    Ok(Exit::Completed)
}
