//! What the operator sees when it looks at an application: the application as far as it can be read,
//! and what was found around it.

use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::{
    ApplicationStateType as State, Attempt, SparkApplicationStatus as Status,
};
use windlass_engine::plan::ObjectRef;
use windlass_engine::view::Freshness;
use windlass_engine::{Kind, Object};

use super::SPARK_APPLICATION;
use super::last_words::LastWords;
use crate::lifecycle::observed::{
    Companions, DriverPod, Exposer, ExposerKind, Observed, Owner, Refusal, SparkContainer,
};
use crate::lifecycle::spec::Spec;
use crate::lower::{self, Lowered};
use crate::observe::{self, Role};
use crate::queue::Standing;

/// One look at an application and everything around it.
#[derive(Debug)]
pub struct Sight {
    pub(super) reading: Result<Box<Reading>, String>,
    pub(super) observed: Observed,
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
    pub(super) fn watched_companions(&self) -> impl Iterator<Item = (Kind, &str)> {
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
    pub(super) fn driver_names(&self) -> Vec<String> {
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
    pub(super) fn name_of_budget(&self) -> Option<&str> {
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
    pub(super) fn leftover_group(&self) -> Option<ObjectRef> {
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
    pub(super) fn never_ran(&self) -> bool {
        let first = |attempt: &Attempt| attempt.number == 1 && attempt.submitted_time.is_none();
        self.status.application_state.state == State::New
            && self.status.attempt.as_ref().is_some_and(first)
    }

    /// Spark's id of an attempt that is being wound down: the last look at its executors goes by
    /// the label that Spark itself finds them by.
    pub(super) fn wound_down_id(&self, freshness: Freshness) -> Option<&str> {
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
    pub(super) fn add_pods(&mut self, pods: impl IntoIterator<Item = Object>) {
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
    pub(super) fn other_applications(&self, uid: &str) -> Vec<Owner> {
        let owners = self
            .pods
            .iter()
            .filter_map(|pod| observe::driver_pod(pod).owner);
        let other = |owner: &Owner| owner.kind == SPARK_APPLICATION.kind && owner.uid != uid;
        owners.filter(other).collect()
    }
}
