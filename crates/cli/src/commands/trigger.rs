//! `windlass trigger`: a run of a schedule, now.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use windlass_api::spark::scheduled::{TRIGGER_ANNOTATION, triggered_run_name};

use crate::applications::Place;
use crate::args::TriggerArgs;
use crate::exit::{Exit, Failure};
use crate::kinds::Kind;
use crate::output::{out, talk};
use crate::run::preflight::api_failure;

/// How long the operator may take to see a request.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Asks for a run, waits until it is started, and prints its name.
pub async fn trigger(args: TriggerArgs) -> Result<Exit, Failure> {
    let schedule = args.schedule.of(Kind::Schedule)?;
    let place = Place::open(&args.place).await?;
    let schedules = place.api(Kind::Schedule);
    // The moment tells one request from another.
    let request = Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { TRIGGER_ANNOTATION: request } } });
    let asked = schedules
        .patch(
            &schedule.name,
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    if let Err(error) = asked {
        return Err(place.failure(&schedule, error).await);
    }
    let status = until_answered(&schedules, &schedule.name, &request).await?;
    let run = triggered_run_name(&schedule.name, &request);
    let started = place
        .applications()
        .get_opt(&run)
        .await
        .map_err(api_failure)?
        .is_some();
    if started || status["lastRunName"] == run {
        out(&run);
        return Ok(Exit::Completed);
    }
    talk(&format!(
        "windlass: {run} was not started, since another run is live: see kubectl describe \
         scheduledsparkapplication {} -n {}",
        schedule.name, place.namespace
    ));
    Ok(Exit::JobFailed)
}

/// The status in which the request has been dealt with, and the run that it led to was seen.
async fn until_answered(
    schedules: &Api<DynamicObject>,
    name: &str,
    request: &str,
) -> Result<Value, Failure> {
    let begin = Instant::now();
    loop {
        let found = schedules.get(name).await.map_err(api_failure)?;
        let status = &found.data["status"];
        if status["lastTrigger"] == request && status["pendingRun"]["trigger"] != request {
            return Ok(status.clone());
        }
        if status["scheduleState"] == "FailedValidation" {
            return Err(Failure::bad_input(format!(
                "{name} cannot run: {}",
                status["reason"].as_str().unwrap_or_default()
            )));
        }
        if begin.elapsed() > PATIENCE {
            let why = status["reason"].as_str().map_or_else(
                || "no operator has started the run yet; it will be when one is live".to_owned(),
                str::to_owned,
            );
            return Err(Failure::cluster(format!("{name}: {why}")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
