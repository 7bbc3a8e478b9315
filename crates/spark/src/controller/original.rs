//! Applications of the first operator on the engine: read, observe, decide.
//!
//! Laws:
//! - an original that cannot be decoded is `FAILED`, and what runs of it is left alone; a status that
//!   cannot be decoded is left alone, too;
//! - of pods, only those are looked at that no operator launched.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use windlass_api::spark::OriginalSparkApplication;
use windlass_api::spark::original::{
    APP_ID_LABEL, OldImages, SparkApplicationStatus as Status, app_id, check_followed, name_of,
};
use windlass_engine::api::ApiError;
use windlass_engine::plan::{Effect, Plan};
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::status::{leave_alone, status_of, written};
use super::{ORIGINAL_SPARK_APPLICATION, SPARK_APPLICATION};
use crate::observe::{self, LAUNCHED_BY, Role};
use crate::original::{Action, MADE_FROM, Observed, Spec, Standing, Twin, Wish, plan, wanted};

/// Runs and follows applications of the first operator.
#[derive(Debug)]
pub struct OriginalSparkApplications {
    old_images: OldImages,
}

/// One look at an original and what stands for it.
#[derive(Debug)]
pub struct OriginalSight {
    reading: Result<Box<Reading>, String>,
    observed: Observed,
}

/// An original as far as it can be read.
#[derive(Debug)]
struct Reading {
    spec: Spec,
    status: Status,
}

impl OriginalSparkApplications {
    pub(super) fn new(old_images: OldImages) -> Self {
        Self { old_images }
    }

    /// Reads the object; an error is why its status cannot be understood.
    fn read(&self, object: &Object) -> Result<Reading, String> {
        let status: Status = status_of(object)?;
        let spec = Spec {
            name: object.name().to_owned(),
            app_id: app_id(object.name(), object.uid()),
            generation: object.generation(),
            deleting: object.is_deleting(),
            wish: self.wish(object),
        };
        Ok(Reading { spec, status })
    }

    fn wish(&self, object: &Object) -> Wish {
        let original = match OriginalSparkApplication::deserialize(object.as_value()) {
            Ok(original) => original,
            Err(error) => return Wish::Refused(vec![error.to_string()]),
        };
        if original.spec.submission_by_user {
            let problems = check_followed(&original);
            return if problems.is_empty() {
                Wish::Follow
            } else {
                Wish::Refused(problems.iter().map(ToString::to_string).collect())
            };
        }
        match wanted(&original, &self.old_images) {
            Ok(wanted) => Wish::Run(Box::new(wanted)),
            Err(problems) => Wish::Refused(problems),
        }
    }
}

async fn find(object: &Object, spec: &Spec, view: &View) -> Result<Observed, ApiError> {
    let mut observed = Observed::nothing();
    observed.refusal = view.refusal().map(|refusal| refusal.error.message.clone());
    if spec.wish == Wish::Follow {
        let pods = view
            .labelled(&Kind::POD, object.namespace(), APP_ID_LABEL, &spec.app_id)
            .await?;
        for pod in &pods {
            match Role::of(pod) {
                Some(Role::Driver) => observed.drivers.push(observe::driver_pod(pod)),
                Some(Role::Executor) => observed.executors.push(observe::executor_pod(pod)),
                None => {}
            }
        }
        return Ok(observed);
    }
    let found = view.get(&SPARK_APPLICATION, &object.key()).await?;
    observed.standing = found.map_or(Standing::Absent, |found| standing(object, &found));
    Ok(observed)
}

fn standing(object: &Object, found: &Object) -> Standing {
    if !found.owner_uids().any(|uid| uid == object.uid()) {
        return Standing::Foreign;
    }
    Standing::Ours(Box::new(Twin {
        uid: found.uid().to_owned(),
        made_from: found.annotation(MADE_FROM).map(str::to_owned),
        spec: found.spec().clone(),
        // What cannot be read there is told there; here nothing is known of it yet.
        status: Deserialize::deserialize(found.status()).unwrap_or_default(),
        deleting: found.is_deleting(),
    }))
}

impl Controller for OriginalSparkApplications {
    type Status = Value;
    type Observed = OriginalSight;

    fn name(&self) -> &'static str {
        "original-spark-application"
    }

    fn primary(&self) -> Watch {
        Watch::all(ORIGINAL_SPARK_APPLICATION)
    }

    fn children(&self) -> Vec<Child> {
        let pods = Watch::all(Kind::POD)
            .labels(format!("{APP_ID_LABEL},!{LAUNCHED_BY}"))
            .index(APP_ID_LABEL)
            .trim(observe::POD);
        let followed = |pod: &Object| {
            let name = pod.label(APP_ID_LABEL).and_then(name_of);
            let key = name.map(|name| ObjectKey {
                namespace: pod.namespace().map(Into::into),
                name: name.into(),
            });
            key.into_iter().collect()
        };
        vec![
            Child::owned(Watch::all(SPARK_APPLICATION)),
            Child::mapped(pods, followed),
        ]
    }

    fn class(&self, object: &Object) -> Class {
        match object.status().get("convertedTo") {
            None => Class::New,
            Some(_) => Class::Status,
        }
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<OriginalSight, ApiError> {
        let reading = match self.read(object) {
            Ok(reading) => reading,
            Err(error) => {
                return Ok(OriginalSight {
                    reading: Err(error),
                    observed: Observed::nothing(),
                });
            }
        };
        let observed = find(object, &reading.spec, view).await?;
        Ok(OriginalSight {
            reading: Ok(Box::new(reading)),
            observed,
        })
    }

    fn plan(&self, object: &Object, sight: &OriginalSight, now: Timestamp) -> Plan<Value> {
        let reading = match &sight.reading {
            Ok(reading) => reading,
            Err(error) => return leave_alone(object, error, now),
        };
        let decision = plan(&reading.spec, &reading.status, &sight.observed, now);
        let effects = decision.action.into_iter().map(|action| match action {
            Action::Create(application) => Effect::Create(application),
            Action::Change(patch) => Effect::Patch {
                target: SPARK_APPLICATION.object_ref(&object.key()),
                patch,
            },
        });
        Plan {
            status: written(&decision.status),
            effects: effects.collect(),
            events: decision.notes,
            wake_at: decision.wake_at,
            basis: decision.basis,
        }
    }
}
