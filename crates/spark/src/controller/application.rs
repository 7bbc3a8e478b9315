//! SparkApplications on the engine: read, observe, decide.
//!
//! Laws:
//! - an application that cannot be decoded is a condition on that application; a status that
//!   cannot be decoded is left alone, because acting without memory could run a job twice;
//! - whether a spec can be submitted is only asked when something is about to be submitted.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde_json::Value;
use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::{
    ApplicationStateType as State, Attempt, RERUN_REQUESTED_AT, SparkApplicationStatus as Status,
};
use windlass_engine::api::ApiError;
use windlass_engine::plan::Plan;
use windlass_engine::view::Freshness;
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::effects::effects_of;
use super::last_words;
use super::policies::{Concerned, Decided, PolicyDesk, waits_for_a_policy};
use super::policy::{no_restart, node_loss, restart_policy};
use super::sight::{Findings, Reading, Sight};
use super::status::{leave_alone, status_of, written};
use super::{POD_DISRUPTION_BUDGET, SPARK_APPLICATION, effects, kind_of};
use crate::lifecycle::changes::{self, Changes};
use crate::lifecycle::conditions::{self, ConditionKind};
use crate::lifecycle::observed::Refusal;
use crate::lifecycle::spec::{Fitness, Limits, NodeLoss, Spec};
use crate::lifecycle::{self, Reason};
use crate::lower::{self, LowerError, Lowered, Settings};
use crate::metrics::{CONTROLLER, SparkMetrics};
use crate::observe::{self, APP_NAME, APP_SELECTOR, LAUNCHED_BY};
use crate::policy::Policies;
use crate::queue::{Ledger, Policy};
use crate::stores::{Stores, Waits};
use crate::submission::Note;

/// Brings SparkApplications through their lives.
#[derive(Debug)]
pub struct SparkApplications {
    limits: Limits,
    settings: Settings,
    /// The limits of namespaces that have none of their own.
    pub(super) policy: Policy,
    pub(super) ledger: Arc<Ledger>,
    pub(super) desk: PolicyDesk,
    concerned: Arc<Concerned>,
    metrics: SparkMetrics,
}

impl SparkApplications {
    pub(super) fn new(
        limits: Limits,
        settings: Settings,
        policy: Policy,
        desk: PolicyDesk,
        metrics: SparkMetrics,
    ) -> Self {
        Self {
            limits,
            settings,
            policy,
            ledger: Arc::default(),
            desk,
            concerned: Arc::default(),
            metrics,
        }
    }

    /// What is counted while applications live; register it with the engine.
    pub fn metrics(&self) -> SparkMetrics {
        self.metrics.clone()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reads the application; an error is why its status cannot be understood.
    pub(super) fn read(
        &self,
        object: &Object,
        policies: &Policies,
        stores: &Stores,
    ) -> Result<Reading, String> {
        let status: Status = status_of(object)?;
        let app = SparkApplication::deserialize(object.as_value());
        let (app, decided) = match app {
            Ok(app) if !policies.is_empty() => self.under(policies, app, object.spec()),
            app => (app, Decided::default()),
        };
        let mut spec = self.spec(object, app.as_ref().ok(), &status);
        let (app, waits) = match app {
            Ok(mut app) => {
                let waits = stores.apply(&mut app).err();
                if let Some(logs) = &self.settings.event_logs {
                    logs.apply(&mut app);
                }
                (app, waits)
            }
            Err(error) => {
                spec.fitness = Fitness::Unfit {
                    problems: vec![error.to_string()],
                };
                return Ok(Reading {
                    app: None,
                    status,
                    spec,
                    lowered: None,
                    wanted_exposers: Vec::new(),
                });
            }
        };
        let mut lowered = None;
        if is_in_question(&status, &spec) {
            // Policies are about what is to be submitted, and not about a driver that is there.
            let is_submitted = status.application_state.state == State::Submitted
                && !differs(&status, &spec, false);
            let attempt = attempt_of(&status, &spec);
            if !policies.broken().is_empty() {
                if !is_submitted {
                    spec.fitness = Fitness::Held {
                        reason: Reason::PolicyInvalid,
                        problems: policies.broken().to_vec(),
                    };
                }
            } else if !decided.refusals.is_empty() && !is_submitted {
                spec.fitness = Fitness::Unfit {
                    problems: decided.refusals,
                };
            } else if let Some(waits) = waits {
                if !is_submitted {
                    spec.fitness = match waits {
                        Waits::ForOperator(problem) => Fitness::Unfit {
                            problems: vec![problem],
                        },
                        Waits::ForStores(problems) => Fitness::Held {
                            reason: Reason::ObjectStoreNotReady,
                            problems,
                        },
                    };
                }
            } else {
                spec.fitness = match lower::lower(&app, &attempt, &self.settings) {
                    Ok(made) => {
                        let fitness = Fitness::Fit {
                            not_applied: not_applied(&made),
                            decided: decided.replaced,
                            exposed: made.exposed.clone(),
                        };
                        spec.least = Some(made.demand.least());
                        lowered = Some(made);
                        fitness
                    }
                    Err(error) => Fitness::Unfit {
                        problems: error.problems(),
                    },
                };
            }
        }
        let mut reading = Reading {
            app: Some(app),
            status,
            spec,
            lowered,
            wanted_exposers: Vec::new(),
        };
        if reading.follows_a_driver() {
            let exposed = self.exposed(&reading);
            reading.wanted_exposers = exposed.into_iter().map(|(exposer, _)| exposer).collect();
        }
        Ok(reading)
    }

    fn spec(&self, object: &Object, app: Option<&SparkApplication>, status: &Status) -> Spec {
        let default_name = || {
            let known = status.driver_info.pod_name.clone();
            known.unwrap_or_else(|| format!("{}-driver", object.name()))
        };
        let time_to_live = app.and_then(|app| app.spec.time_to_live_seconds);
        Spec {
            name: object.name().to_owned(),
            namespace: object.namespace().unwrap_or("default").to_owned(),
            uid: object.uid().to_owned(),
            generation: object.generation(),
            deleting: object.is_deleting(),
            suspend: app.is_some_and(|app| app.spec.suspend),
            rerun: object
                .annotation(RERUN_REQUESTED_AT)
                .filter(|token| !token.is_empty())
                .map(str::to_owned),
            fields: runs_another_spec(status, object.generation())
                .then(|| changes::fields_of(object.spec())),
            driver_pod: app.map_or_else(default_name, lower::driver_pod_name),
            restart: app.map_or_else(no_restart, restart_policy),
            node_loss: app.map_or(NodeLoss::Wait, node_loss),
            time_to_live: time_to_live
                .map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
            protected: app.is_some_and(|app| lower::has_budget(app, &self.settings)),
            fitness: Fitness::Unassessed,
            least: None,
        }
    }

    /// What a SparkApplication's objects look like now, for a caller that lacks them.
    pub(super) fn lower(&self, reading: &Reading) -> Option<Result<Lowered, LowerError>> {
        let app = reading.app.as_ref()?;
        let attempt = attempt_of(&reading.status, &reading.spec);
        Some(lower::lower(app, &attempt, &self.settings))
    }

    async fn find(
        &self,
        object: &Object,
        reading: &Reading,
        view: &View,
    ) -> Result<Findings, ApiError> {
        let namespace = object.namespace();
        let key = |name: &str| ObjectKey {
            namespace: namespace.map(Into::into),
            name: name.into(),
        };
        let mut findings = Findings {
            refusal: refusal(view),
            ..Findings::default()
        };

        if !(view.freshness() == Freshness::Live && reading.never_ran()) {
            findings.pods = view
                .labelled(&Kind::POD, namespace, APP_NAME, object.name())
                .await?;
        }
        if let Some(id) = reading.wound_down_id(view.freshness()) {
            let found = view
                .labelled(&Kind::POD, namespace, APP_SELECTOR, id)
                .await?;
            findings.add_pods(found);
        }
        for name in reading.driver_names() {
            if !findings.pods.iter().any(|pod| pod.name() == name) {
                findings.add_pods(view.get(&Kind::POD, &key(&name)).await?);
            }
        }
        for owner in findings.other_applications(object.uid()) {
            let found = view.get(&SPARK_APPLICATION, &key(&owner.name)).await?;
            if found.is_none_or(|found| found.uid() != owner.uid) {
                findings.gone_owners.push(owner.uid);
            }
        }
        findings.exposers = self.find_exposers(object, reading, view).await?;
        if let Some(name) = reading
            .name_of_budget()
            .filter(|_| self.settings.serves_budgets)
        {
            findings.budget = view.get(&POD_DISRUPTION_BUDGET, &key(name)).await?;
        }
        if let Some(group) = reading.leftover_group() {
            let kind = Kind::of(&group);
            findings.pod_group = view.get(&kind, &key(&group.name)).await?;
        }
        for (kind, name) in reading.watched_companions() {
            findings
                .companions
                .extend(view.get(&kind, &key(name)).await?);
        }
        findings.last_words = last_words::read(reading, &findings, view).await;
        findings.standing = self.standing(object, reading, view).await?;
        Ok(findings)
    }
}

impl Controller for SparkApplications {
    type Status = Value;
    type Observed = Sight;

    fn name(&self) -> &'static str {
        CONTROLLER
    }

    fn primary(&self) -> Watch {
        Watch::all(SPARK_APPLICATION)
    }

    fn children(&self) -> Vec<Child> {
        let pods = Watch::all(Kind::POD).labels(format!("{LAUNCHED_BY}=true"));
        let others = |kind| Watch::all(kind).labels(APP_NAME).index(APP_NAME);
        let mut children = vec![
            Child::labelled(pods.index(APP_NAME).trim(observe::POD), APP_NAME),
            Child::labelled(others(Kind::CONFIG_MAP).trim(observe::CHILD), APP_NAME),
            self.quotas(),
            self.concerned.policies(),
        ];
        children.extend(
            self.settings
                .serves_object_stores
                .then(|| self.concerned.object_stores()),
        );
        let budgets = self
            .settings
            .serves_budgets
            .then(|| others(POD_DISRUPTION_BUDGET).trim(observe::CHILD));
        children.extend(budgets.map(|watch| Child::labelled(watch, APP_NAME)));
        let exposers = self.exposer_kinds().map(kind_of);
        children.extend(
            exposers.map(|kind| Child::labelled(others(kind).trim(observe::EXPOSER), APP_NAME)),
        );
        children
    }

    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        self.concerned.note(old, new, waits_for_a_policy);
        self.ledger.changed(old, new)
    }

    fn class(&self, object: &Object) -> Class {
        let state = object
            .status()
            .pointer("/applicationState/state")
            .and_then(Value::as_str);
        match state.unwrap_or_default() {
            "" | "PENDING_RERUN" | "RESUMING" | "SUBMISSION_FAILED" => Class::New,
            _ => Class::Status,
        }
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<Sight, ApiError> {
        let policies = self.policies(object, view).await?;
        let stores = self.stores(object, &policies, view).await?;
        let reading = match self.read(object, &policies, &stores) {
            Ok(reading) => reading,
            Err(error) => return Ok(Sight::unreadable(error)),
        };
        let findings = self.find(object, &reading, view).await?;
        Ok(Sight::of(reading, &findings))
    }

    fn plan(&self, object: &Object, sight: &Sight, now: Timestamp) -> Plan<Value> {
        let reading = match &sight.reading {
            Ok(reading) => reading,
            Err(error) => return leave_alone(object, error, now),
        };
        let Reading { spec, status, .. } = reading.as_ref();
        let decision = lifecycle::plan(spec, &self.limits, status, &sight.observed, now);
        let effects = effects_of(self, object, reading, &decision.actions);
        Plan {
            status: written(&decision.status),
            basis: decision.basis,
            effects,
            events: decision.notes,
            wake_at: decision.wake_at,
        }
    }

    fn status_written(&self, before: &Object, after: &Object, at: Timestamp) {
        self.metrics.status_written(before, after, at);
    }
}

/// Whether the spec may be another than the one the current attempt runs: it has another
/// generation, or nobody noted what the attempt runs.
fn runs_another_spec(status: &Status, generation: i64) -> bool {
    status
        .attempt
        .as_ref()
        .is_none_or(|attempt| attempt.fields.is_empty() || attempt.generation != Some(generation))
}

/// Whether anybody needs to know what would be submitted: before a submission, and when the spec
/// is to replace what runs.
fn is_in_question(status: &Status, spec: &Spec) -> bool {
    let refusals = [
        Reason::InvalidSpec,
        Reason::PolicyInvalid,
        Reason::ObjectStoreNotReady,
    ];
    let was_refused = refusals.iter().any(|it| {
        conditions::has_reason(&status.conditions, ConditionKind::Validated, it.as_str())
    });
    let is_final = status.application_state.state.is_terminal();
    is_about_to_be_submitted(status, spec.generation)
        || differs(status, spec, is_final)
        || (was_refused && !is_final)
}

fn differs(status: &Status, spec: &Spec, is_final: bool) -> bool {
    let (Some(attempt), Some(wanted)) = (&status.attempt, &spec.fields) else {
        return false;
    };
    if attempt.fields.is_empty() {
        return false;
    }
    let changes = Changes::between(&attempt.fields, wanted);
    if is_final {
        !changes.restart.is_empty()
    } else {
        !changes.is_empty()
    }
}

fn is_about_to_be_submitted(status: &Status, generation: i64) -> bool {
    match status.application_state.state {
        State::New
        | State::PendingRerun
        | State::Resuming
        | State::SubmissionFailed
        | State::Submitted => true,
        State::Failed => {
            let rejected = conditions::has_reason(
                &status.conditions,
                ConditionKind::Succeeded,
                Reason::InvalidSpec.as_str(),
            );
            rejected && status.observed_generation != Some(generation)
        }
        State::Running
        | State::Completed
        | State::Invalidating
        | State::Succeeding
        | State::Failing
        | State::Suspending
        | State::Suspended
        | State::Unknown => false,
    }
}

/// The attempt that is, or would be, submitted.
fn attempt_of<'a>(status: &'a Status, spec: &Spec) -> Cow<'a, Attempt> {
    let intended = status
        .attempt
        .as_ref()
        .filter(|_| !status.application_state.state.is_terminal());
    match intended {
        Some(attempt) => Cow::Borrowed(attempt),
        None => {
            let number = status
                .attempt
                .as_ref()
                .map_or(1, |last| last.number.saturating_add(1));
            let time = Time(Timestamp::UNIX_EPOCH);
            Cow::Owned(Attempt::new(
                &spec.uid,
                number,
                spec.driver_pod.clone(),
                time,
            ))
        }
    }
}

fn not_applied(lowered: &Lowered) -> Vec<String> {
    let versions = lowered
        .submission
        .notes
        .iter()
        .filter(|note| matches!(note, Note::NearestProfile { .. }))
        .map(|note| format!("spec.sparkVersion: {note}"));
    lowered
        .not_applied
        .iter()
        .map(ToString::to_string)
        .chain(versions)
        .collect()
}

/// What the API refused last, if it is about the driver or what it needs.
fn refusal(view: &View) -> Option<Refusal> {
    let refusal = view.refusal()?;
    Some(Refusal {
        subject: effects::subject_of(&refusal.effect)?,
        at: refusal.since,
        code: refusal.error.code,
        message: refusal.error.message.clone(),
    })
}
