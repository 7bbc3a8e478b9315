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
use windlass_engine::plan::{Basis, Effect, EventNote, ObjectRef, Plan, Severity};
use windlass_engine::view::Freshness;
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::effects::effects_of;
use super::last_words::{self, LastWords};
use super::policies::{Concerned, Decided, PolicyDesk, waits_for_a_policy};
use super::policy::{no_restart, node_loss, restart_policy};
use super::{POD_DISRUPTION_BUDGET, SPARK_APPLICATION, effects, kind_of};
use crate::lifecycle::changes::{self, Changes};
use crate::lifecycle::conditions::{self, ConditionKind};
use crate::lifecycle::observed::{
    Companions, DriverPod, Exposer, ExposerKind, Observed, Owner, Refusal, SparkContainer,
};
use crate::lifecycle::spec::{Fitness, Limits, NodeLoss, Spec};
use crate::lifecycle::{self, Reason};
use crate::lower::{self, LowerError, Lowered, Settings};
use crate::metrics::{CONTROLLER, SparkMetrics};
use crate::observe::{self, APP_NAME, APP_SELECTOR, LAUNCHED_BY, Role};
use crate::policy::Policies;
use crate::queue::{Ledger, Policy, Standing};
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

/// One look at an application and everything around it.
#[derive(Debug)]
pub struct Sight {
    reading: Result<Box<Reading>, String>,
    observed: Observed,
}

impl Sight {
    pub(super) fn of(reading: Reading, findings: &Findings) -> Self {
        let observed = reading.observe(findings);
        Self {
            reading: Ok(Box::new(reading)),
            observed,
        }
    }

    pub(super) fn unreadable(error: String) -> Self {
        Self {
            reading: Err(error),
            observed: Observed::nothing(),
        }
    }
}

/// An application as far as it can be read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) app: Option<SparkApplication>,
    pub(super) status: Status,
    pub(super) spec: Spec,
    /// What is, or would be, submitted, where anybody needs to know.
    pub(super) lowered: Option<Lowered>,
    /// What the attempt that is followed should be exposed by.
    pub(super) wanted_exposers: Vec<Exposer>,
}

/// What was found around an application, as the API showed it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) pods: Vec<Object>,
    /// The uids of owners that were looked for and do not exist.
    pub(super) gone_owners: Vec<String>,
    /// What leads to the driver, of this application or under its names.
    pub(super) exposers: Vec<(ExposerKind, Object)>,
    pub(super) budget: Option<Object>,
    pub(super) pod_group: Option<Object>,
    /// Services and ConfigMaps that exist of those the driver needs.
    pub(super) companions: Vec<Object>,
    pub(super) refusal: Option<Refusal>,
    /// The end of a failed driver's log, where its status says too little.
    pub(super) last_words: Option<LastWords>,
    /// Its place among the applications of a namespace that has limits.
    pub(super) standing: Option<Standing>,
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
    pub(super) fn read(&self, object: &Object, policies: &Policies) -> Result<Reading, String> {
        let status = match object.status() {
            Value::Null => Status::default(),
            status => Status::deserialize(status).map_err(|error| format!("status: {error}"))?,
        };
        let app = SparkApplication::deserialize(object.as_value());
        let (app, decided) = match app {
            Ok(app) if !policies.is_empty() => self.under(policies, app, object.spec()),
            app => (app, Decided::default()),
        };
        let mut spec = self.spec(object, app.as_ref().ok(), &status);
        let app = match app {
            Ok(app) => app,
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
                        problems: policies.broken().to_vec(),
                    };
                }
            } else if !decided.refusals.is_empty() && !is_submitted {
                spec.fitness = Fitness::Unfit {
                    problems: decided.refusals,
                };
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
            protected: app.is_some_and(|app| lower::is_protected(app, &self.settings)),
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
        if let Some(name) = reading.name_of_budget() {
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
            Child::labelled(others(POD_DISRUPTION_BUDGET).trim(observe::CHILD), APP_NAME),
            self.quotas(),
            self.concerned.policies(),
        ];
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
        let reading = match self.read(object, &policies) {
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
            // Serializing plain data cannot fail; a null would be refused by the API.
            status: serde_json::to_value(&decision.status).unwrap_or_default(),
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

impl Reading {
    /// What the state machine sees of these findings.
    pub(super) fn observe(&self, findings: &Findings) -> Observed {
        let names = self.driver_names();
        let is_driver = |pod: &&Object| {
            Role::of(pod) == Some(Role::Driver) || names.iter().any(|name| name == pod.name())
        };
        let drivers: Vec<DriverPod> = findings
            .pods
            .iter()
            .filter(is_driver)
            .map(|pod| {
                let mut driver = observe::driver_pod(pod);
                if let Some(owner) = &mut driver.owner {
                    owner.gone = findings.gone_owners.contains(&owner.uid);
                }
                findings.add_last_words(&mut driver);
                driver
            })
            .collect();
        let executors = findings
            .pods
            .iter()
            .filter(|pod| Role::of(pod) == Some(Role::Executor));
        Observed {
            companions: self.companions(findings, &drivers),
            drivers,
            executors: executors.map(observe::executor_pod).collect(),
            exposure: observe::exposure(
                &findings.exposers,
                &self.wanted_exposers,
                &self.spec.uid,
                |name| lower::is_web_page(&self.spec.name, name),
            ),
            budget: observe::beside(findings.budget.as_ref(), &self.spec.uid),
            pod_group: observe::beside(findings.pod_group.as_ref(), &self.spec.uid),
            refusal: findings.refusal.clone(),
            standing: findings.standing.clone(),
        }
    }

    /// Complete when each of those that are watched exists and belongs to this attempt's driver.
    /// The others were applied before them.
    fn companions(&self, findings: &Findings, drivers: &[DriverPod]) -> Companions {
        let id = self.status.submission_id.as_ref();
        let driver = drivers.iter().find(|pod| pod.submission_id.as_ref() == id);
        let exists = |(_, name): (Kind, &str)| {
            findings.companions.iter().any(|object| {
                object.name() == name
                    && driver.is_some_and(|pod| object.owner_uids().any(|uid| uid == pod.uid))
            })
        };
        if self.watched_companions().all(exists) {
            Companions::Complete
        } else {
            Companions::Missing
        }
    }

    /// The Services and ConfigMaps of the driver. Their kinds are watched, so looking is free.
    fn watched_companions(&self) -> impl Iterator<Item = (Kind, &str)> {
        let objects = self
            .lowered
            .iter()
            .flat_map(|lowered| &lowered.submission.objects);
        objects.filter_map(|object| {
            let kind = [Kind::SERVICE, Kind::CONFIG_MAP]
                .into_iter()
                .find(|kind| object["kind"] == *kind.kind)?;
            Some((kind, object["metadata"]["name"].as_str()?))
        })
    }

    /// The names a driver of this application has or will have.
    fn driver_names(&self) -> Vec<String> {
        let mut names = vec![self.spec.driver_pod.clone()];
        let intended = self
            .status
            .attempt
            .as_ref()
            .map(|attempt| &attempt.driver_pod_name);
        names.extend(
            intended
                .filter(|name| **name != self.spec.driver_pod)
                .cloned(),
        );
        names
    }

    /// The name of the driver's PodDisruptionBudget, where the driver has come so far that it may
    /// have one.
    fn name_of_budget(&self) -> Option<&str> {
        let may_have_one = match self.status.application_state.state {
            State::New
            | State::PendingRerun
            | State::Resuming
            | State::Submitted
            | State::SubmissionFailed => false,
            State::Running
            | State::Unknown
            | State::Succeeding
            | State::Failing
            | State::Invalidating
            | State::Suspending
            | State::Suspended
            | State::Completed
            | State::Failed => true,
        };
        let attempt = self.status.attempt.as_ref().filter(|_| may_have_one)?;
        Some(&attempt.driver_pod_name)
    }

    /// The PodGroup, once it is of no more use. Its kind is not watched, because most clusters do
    /// not know it.
    fn leftover_group(&self) -> Option<ObjectRef> {
        let is_over = matches!(
            self.status.application_state.state,
            State::Succeeding
                | State::Failing
                | State::Invalidating
                | State::Suspending
                | State::Suspended
                | State::Completed
                | State::Failed
        );
        let app = self.app.as_ref().filter(|_| is_over)?;
        lower::pod_group_ref(app)
    }

    /// Before the first submission only the driver's own name can be taken: one read instead of a
    /// list of the namespace.
    fn never_ran(&self) -> bool {
        let first = |attempt: &Attempt| attempt.number == 1 && attempt.submitted_time.is_none();
        self.status.application_state.state == State::New
            && self.status.attempt.as_ref().is_some_and(first)
    }

    /// Spark's id of an attempt that is being wound down: the last look at its executors goes by
    /// the label that Spark itself finds them by.
    fn wound_down_id(&self, freshness: Freshness) -> Option<&str> {
        let state = self.status.application_state.state;
        let winding_down = matches!(
            state,
            State::Succeeding | State::Failing | State::Suspending | State::Invalidating
        );
        let attempt = self.status.attempt.as_ref()?;
        (freshness == Freshness::Live && winding_down)
            .then_some(attempt.spark_application_id.as_str())
            .filter(|id| !id.is_empty())
    }
}

impl Findings {
    fn add_pods(&mut self, pods: impl IntoIterator<Item = Object>) {
        for pod in pods {
            if !self.pods.iter().any(|known| known.uid() == pod.uid()) {
                self.pods.push(pod);
            }
        }
    }

    /// What the log says takes the place of the part of it that the status has.
    fn add_last_words(&self, driver: &mut DriverPod) {
        let said = self.last_words.iter().find(|said| said.pod == driver.uid);
        if let (Some(said), SparkContainer::Exited(exit)) = (said, &mut driver.spark) {
            exit.message = Some(said.text.clone());
        }
    }

    /// Other applications that own a pod which stands in our way.
    fn other_applications(&self, uid: &str) -> Vec<Owner> {
        let owners = self
            .pods
            .iter()
            .filter_map(|pod| observe::driver_pod(pod).owner);
        let other = |owner: &Owner| owner.kind == SPARK_APPLICATION.kind && owner.uid != uid;
        owners.filter(other).collect()
    }
}

/// Without its status an object has no memory, and nothing is safe to do.
pub(super) fn leave_alone(object: &Object, error: &str, now: Timestamp) -> Plan<Value> {
    Plan {
        status: object.status().clone(),
        basis: Basis::Cached,
        effects: Vec::<Effect>::new(),
        events: vec![EventNote {
            severity: Severity::Warning,
            reason: "StatusUnreadable".to_owned(),
            action: "Read".to_owned(),
            note: format!("{error}: repair the status, or create the object anew"),
        }],
        wake_at: now.checked_add(jiff::SignedDuration::from_mins(5)).ok(),
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
    let was_refused = [Reason::InvalidSpec, Reason::PolicyInvalid]
        .iter()
        .any(|it| {
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
