//! ScheduledSparkApplications on the engine: read, observe, decide.
//!
//! Laws:
//! - a template that policies do not let run is `FailedValidation`, with what they say;
//! - the application of a run is the template as it is stored, so that nothing is lost on the way;
//! - a run belongs to the schedule that owns it, not to whichever has its name;
//! - a schedule that cannot be decoded is `FailedValidation`, and nothing of it is removed; a status
//!   that cannot be decoded is left alone, because acting without memory could run a time twice.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_api::names::LabelValue;
use windlass_api::spark::ScheduledSparkApplication;
use windlass_api::spark::scheduled::{
    self, CatchUpPolicy, ConcurrencyPolicy, PendingRun, SCHEDULE_LABEL, SCHEDULED_TIME_ANNOTATION,
    ScheduledSparkApplicationStatus as Status, TRIGGER_ANNOTATION,
};
use windlass_engine::api::ApiError;
use windlass_engine::plan::{Effect, Plan};
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::policies::{Concerned, PolicyDesk};
use super::status::{leave_alone, status_of, written};
use super::{SCHEDULED_SPARK_APPLICATION, SPARK_APPLICATION};
use crate::observe::{self, APP_NAME, ROLE};
use crate::policy::Policies;
use crate::schedule::{self, Action, History, Observed, Rhythm, Spec};

/// Starts the runs of ScheduledSparkApplications.
#[derive(Debug)]
pub struct ScheduledSparkApplications {
    /// The ServiceAccount of drivers whose application names none.
    account: Option<String>,
    desk: PolicyDesk,
    concerned: Arc<Concerned>,
}

/// One look at a schedule and its runs.
#[derive(Debug)]
pub struct ScheduleSight {
    pub(super) reading: Result<Box<Reading>, String>,
    pub(super) observed: Observed,
}

/// A schedule as far as it can be read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) spec: Spec,
    pub(super) status: Status,
}

impl ScheduledSparkApplications {
    pub(super) fn new(account: Option<String>, desk: PolicyDesk) -> Self {
        Self {
            account,
            desk,
            concerned: Arc::default(),
        }
    }

    /// Reads the schedule; an error is why its status cannot be understood.
    pub(super) fn read(&self, object: &Object, policies: &Policies) -> Result<Reading, String> {
        let status: Status = status_of(object)?;
        let spec = match ScheduledSparkApplication::deserialize(object.as_value()) {
            Ok(scheduled) => {
                let ruled = policies.apply_to_schedule(&scheduled, self.account.as_deref());
                spec_of(object, &scheduled, ruled.as_ref())
            }
            Err(error) => unreadable(object, &error.to_string()),
        };
        Ok(Reading { spec, status })
    }

    async fn find(object: &Object, status: &Status, view: &View) -> Result<Observed, ApiError> {
        let (namespace, name) = (object.namespace(), object.name());
        // A label cannot have that value, so nothing has.
        if LabelValue::new(name).is_err() {
            return Ok(Observed::default());
        }
        let labelled = view
            .labelled(&SPARK_APPLICATION, namespace, SCHEDULE_LABEL, name)
            .await?;
        let is_ours = |run: &Object| run.owner_uids().any(|uid| uid == object.uid());
        let pods = view
            .labelled(&Kind::POD, namespace, SCHEDULE_LABEL, name)
            .await?;
        let orphans = pods.iter().filter(|pod| {
            let app = pod.label(APP_NAME).unwrap_or_default();
            observe::is_live_driver(pod) && !labelled.iter().any(|run| run.name() == app)
        });
        let mut observed = Observed {
            orphans: orphans.map(|pod| pod.name().to_owned()).collect(),
            runs: labelled
                .iter()
                .filter(|run| is_ours(run))
                .map(observe::run)
                .collect(),
            name_is_taken: false,
            refusal: refusal(view),
        };
        if let Some(pending) = &status.pending_run
            && !observed.runs.iter().any(|run| run.name == pending.name)
        {
            let key = ObjectKey {
                namespace: namespace.map(Into::into),
                name: pending.name.as_str().into(),
            };
            let found = view.get(&SPARK_APPLICATION, &key).await?;
            observed.name_is_taken = found.is_some_and(|found| !is_ours(&found));
        }
        Ok(observed)
    }
}

impl Controller for ScheduledSparkApplications {
    type Status = Value;
    type Observed = ScheduleSight;

    fn name(&self) -> &'static str {
        "scheduled-spark-application"
    }

    fn primary(&self) -> Watch {
        Watch::all(SCHEDULED_SPARK_APPLICATION)
    }

    fn children(&self) -> Vec<Child> {
        let runs = Watch::all(SPARK_APPLICATION)
            .labels(SCHEDULE_LABEL)
            .index(SCHEDULE_LABEL)
            .trim(observe::RUN);
        let drivers = Watch::all(Kind::POD)
            .labels(format!("{SCHEDULE_LABEL},{ROLE}=driver"))
            .index(SCHEDULE_LABEL)
            .trim(observe::DRIVER_OF_RUN);
        vec![
            Child::labelled(runs, SCHEDULE_LABEL),
            Child::labelled(drivers, SCHEDULE_LABEL),
            self.concerned.policies(),
        ]
    }

    /// There are few schedules, so that a policy concerns all of them.
    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        self.concerned.note(old, new, |_| true);
        Vec::new()
    }

    /// There are few schedules, and a run that is due does not wait behind a thousand others.
    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<ScheduleSight, ApiError> {
        let namespace = object.namespace().unwrap_or_default();
        let policies = self.desk.seen(view, namespace).await?;
        let reading = match self.read(object, &policies) {
            Ok(reading) => reading,
            Err(error) => {
                return Ok(ScheduleSight {
                    reading: Err(error),
                    observed: Observed::default(),
                });
            }
        };
        let observed = Self::find(object, &reading.status, view).await?;
        Ok(ScheduleSight {
            reading: Ok(Box::new(reading)),
            observed,
        })
    }

    fn plan(&self, object: &Object, sight: &ScheduleSight, now: Timestamp) -> Plan<Value> {
        let reading = match &sight.reading {
            Ok(reading) => reading,
            Err(error) => return leave_alone(object, error, now),
        };
        let decision = schedule::plan(&reading.spec, &reading.status, &sight.observed, now);
        let effects = decision.actions.iter();
        Plan {
            status: written(&decision.status),
            effects: effects.map(|action| effect(object, action)).collect(),
            events: decision.notes,
            wake_at: decision.wake_at,
            basis: decision.basis,
        }
    }
}

/// `ruled` is the schedule as policies make it, or why they do not let it run.
fn spec_of(
    object: &Object,
    scheduled: &ScheduledSparkApplication,
    ruled: Result<&ScheduledSparkApplication, &Vec<String>>,
) -> Spec {
    let spec = &scheduled.spec;
    let problems: Vec<String> = match ruled {
        Ok(ruled) => {
            let problems = scheduled::validate(ruled);
            problems.iter().map(ToString::to_string).collect()
        }
        Err(problems) => problems.clone(),
    };
    let rhythm = match scheduled::schedule(spec) {
        Ok(schedule) if problems.is_empty() => Rhythm::Times(Box::new(schedule)),
        _ => Rhythm::Invalid { problems },
    };
    let limit = |given: i32| usize::try_from(given).unwrap_or(usize::MAX);
    Spec {
        name: object.name().to_owned(),
        generation: object.generation(),
        deleting: object.is_deleting(),
        suspend: spec.suspend,
        rhythm,
        concurrency: spec.concurrency_policy,
        catch_up: spec.catch_up_policy,
        deadline: spec.starting_deadline_seconds,
        history: History {
            successful: limit(spec.successful_run_history_limit),
            failed: limit(spec.failed_run_history_limit),
        },
        trigger: trigger(object),
    }
}

fn unreadable(object: &Object, error: &str) -> Spec {
    Spec {
        name: object.name().to_owned(),
        generation: object.generation(),
        deleting: object.is_deleting(),
        suspend: false,
        rhythm: Rhythm::Invalid {
            problems: vec![error.to_owned()],
        },
        concurrency: ConcurrencyPolicy::default(),
        catch_up: CatchUpPolicy::default(),
        deadline: None,
        history: History::EVERYTHING,
        trigger: None,
    }
}

fn trigger(object: &Object) -> Option<String> {
    let annotations = object.as_value().pointer("/metadata/annotations")?;
    annotations
        .get(TRIGGER_ANNOTATION)?
        .as_str()
        .map(str::to_owned)
}

/// Why the API did not take a run, if that is what it refused last.
fn refusal(view: &View) -> Option<String> {
    let refusal = view.refusal()?;
    matches!(refusal.effect, Effect::Create(_)).then(|| refusal.error.message.clone())
}

fn effect(object: &Object, action: &Action) -> Effect {
    match action {
        Action::CreateRun(pending) => Effect::Create(application(object, pending)),
        Action::DeleteRun { name, uid } => Effect::Delete {
            target: SPARK_APPLICATION.object_ref(&ObjectKey {
                namespace: object.namespace().map(Into::into),
                name: name.as_str().into(),
            }),
            uid: uid.clone(),
        },
    }
}

/// The application of a run. Its pods get its labels, so that each is known to the schedule.
fn application(object: &Object, pending: &PendingRun) -> Value {
    let metadata = &object.as_value()["metadata"];
    let mut labels = match &metadata["labels"] {
        labels @ Value::Object(_) => labels.clone(),
        _ => json!({}),
    };
    labels[SCHEDULE_LABEL] = json!(object.name());
    let mut application = json!({
        "apiVersion": SPARK_APPLICATION.api_version(),
        "kind": SPARK_APPLICATION.kind,
        "metadata": {
            "name": pending.name,
            "labels": labels,
            "annotations": {
                SCHEDULED_TIME_ANNOTATION: pending.scheduled_time.0.to_string(),
            },
            "ownerReferences": [{
                "apiVersion": SCHEDULED_SPARK_APPLICATION.api_version(),
                "kind": SCHEDULED_SPARK_APPLICATION.kind,
                "name": object.name(),
                "uid": object.uid(),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": object.spec()["template"],
    });
    if let Some(namespace) = object.namespace() {
        application["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(trigger) = &pending.trigger {
        application["metadata"]["annotations"][TRIGGER_ANNOTATION] = json!(trigger);
    }
    application
}
