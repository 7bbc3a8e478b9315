//! `windlass suspend`, `resume`, `rerun` and `delete`: what a user wants of applications, written
//! where the operator reads it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use windlass_api::spark::application::RERUN_REQUESTED_AT;

use crate::applications::{Place, Scope, show};
use crate::args::{ChangeArgs, DeleteArgs, Show};
use crate::exit::{Exit, Failure};
use crate::output::{out, talk};
use crate::run::follow::APP_NAME_LABEL;
use crate::run::preflight::api_failure;

/// How long a deleted application may take to be gone.
const GONE_PATIENCE: Duration = Duration::from_mins(5);
/// How long to wait between two looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Sets `spec.suspend`.
pub async fn suspend(args: ChangeArgs) -> Result<Exit, Failure> {
    change(args, "suspended", &json!({ "spec": { "suspend": true } })).await
}

/// Clears `spec.suspend`.
pub async fn resume(args: ChangeArgs) -> Result<Exit, Failure> {
    change(args, "resumed", &json!({ "spec": { "suspend": false } })).await
}

/// Asks for one more run.
pub async fn rerun(args: ChangeArgs) -> Result<Exit, Failure> {
    let now = Timestamp::now().to_string();
    let request = json!({ "metadata": { "annotations": { RERUN_REQUESTED_AT: now } } });
    change(args, "asked to run again", &request).await
}

/// Patches every named application; the first that is not there ends it.
async fn change(args: ChangeArgs, done: &str, patch: &Value) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let mut changed: Vec<DynamicObject> = Vec::new();
    for name in &args.names {
        let params = PatchParams::default();
        let patched = place
            .applications()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .map_err(|error| place.failure(name, error))?;
        if args.output.is_none() {
            out(&format!("{}/{name} {done}", place.namespace));
        }
        changed.push(patched);
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

/// Deletes every named application.
pub async fn delete(args: DeleteArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let mut deleted = Vec::new();
    for name in &args.names {
        match remove(&place, name).await {
            Ok(uid) => deleted.push((name, uid)),
            Err(kube::Error::Api(status)) if status.code == 404 && args.ignore_not_found => {
                talk(&format!("{}/{name} is not there", place.namespace));
            }
            Err(error) => return Err(place.failure(name, error)),
        }
    }
    for (name, uid) in deleted {
        if !args.no_wait {
            wait_until_gone(&place, name, &uid).await?;
        }
        out(&format!("{}/{name} deleted", place.namespace));
    }
    Ok(Exit::Completed)
}

/// Deletes an application and returns its uid.
pub async fn remove(place: &Place, name: &str) -> Result<String, kube::Error> {
    let found = place.applications().get(name).await?;
    let uid = found.metadata.uid.unwrap_or_default();
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: Some(uid.clone()),
        resource_version: None,
    });
    place.applications().delete(name, &params).await?;
    Ok(uid)
}

/// Waits until the application of this uid is gone, and its pods with it.
pub async fn wait_until_gone(place: &Place, name: &str, uid: &str) -> Result<(), Failure> {
    let selector = ListParams::default().labels(&format!("{APP_NAME_LABEL}={name}"));
    let deadline = Instant::now() + GONE_PATIENCE;
    loop {
        let found = place.applications().get_metadata_opt(name).await;
        let found = found.map_err(api_failure)?;
        let exists = found.and_then(|object| object.metadata.uid).as_deref() == Some(uid);
        let pods = place.pods().list_metadata(&selector).await;
        let pods = pods.map_err(api_failure)?.items.len();
        if !exists && pods == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::cluster(format!(
                "{}/{name} is still being deleted after {} s, and {pods} of its pods are there: see what holds it \
                 with kubectl describe sparkapplication {name} and kubectl get pods",
                place.namespace,
                GONE_PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// How a created application is told about.
pub fn created(
    place: &Place,
    application: &DynamicObject,
    how: Option<Show>,
) -> Result<Exit, Failure> {
    let name = application.metadata.name.as_deref().unwrap_or_default();
    if let Some(how) = how {
        return show(std::slice::from_ref(application), how, Scope::One);
    }
    out(&format!("{}/{name} submitted", place.namespace));
    Ok(Exit::Completed)
}
