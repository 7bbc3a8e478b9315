//! An application called `pi`, its pods, and a clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use windlass_api::names::AttemptId;
use windlass_api::spark::application::{
    ApplicationStateType as State, SparkApplicationStatus as Status,
};

use crate::lifecycle::changes::Fields;
use crate::lifecycle::observed::{
    Blocked, Companions, DriverPod, ExecutorPod, Exit, Exposer, ExposerKind, Exposure, Observed,
    Owner, PageService, PodPhase, Present, Refusal, SparkContainer, Subject, WebPage,
};
use crate::lifecycle::spec::{Budget, Fitness, Limits, NodeLoss, RestartKind, RestartPolicy, Spec};
use crate::lifecycle::{Decision, plan};

pub(super) const UID: &str = "0b6b1f3e-7f0a-4a39-9a5b-0d3f2f2b8a11";

/// Seconds after the application was created.
pub(super) fn at(seconds: i64) -> Timestamp {
    let created: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    created + SignedDuration::from_secs(seconds)
}

pub(super) fn never() -> RestartPolicy {
    let budget = Budget {
        retries: 0,
        interval: Duration::from_secs(5),
    };
    RestartPolicy {
        kind: RestartKind::Never,
        submission: budget,
        failure: budget,
    }
}

pub(super) fn on_failure(retries: u32) -> RestartPolicy {
    let budget = Budget {
        retries,
        interval: Duration::from_secs(5),
    };
    RestartPolicy {
        kind: RestartKind::OnFailure,
        submission: budget,
        failure: budget,
    }
}

pub(super) fn always() -> RestartPolicy {
    RestartPolicy {
        kind: RestartKind::Always,
        ..never()
    }
}

pub(super) fn pi(restart: RestartPolicy) -> Spec {
    Spec {
        name: "pi".into(),
        namespace: "jobs".into(),
        uid: UID.into(),
        generation: 1,
        deleting: false,
        suspend: false,
        rerun: None,
        fields: None,
        driver_pod: "pi-driver".into(),
        restart,
        node_loss: NodeLoss::Wait,
        time_to_live: None,
        protected: false,
        fitness: Fitness::Fit {
            not_applied: vec![],
            decided: vec![],
            exposed: vec![],
        },
        least: None,
    }
}

/// What `pi` consists of, as far as changes matter.
pub(super) fn fields(image: &str, labels: &str) -> Fields {
    [("image", image), ("driver.labels", labels)]
        .map(|(path, value)| (path.to_owned(), value.to_owned()))
        .into()
}

/// A driver pod of this attempt of `pi`, waiting for a node.
pub(super) fn driver(attempt: u32) -> DriverPod {
    let id = AttemptId::new(UID, attempt);
    DriverPod {
        name: "pi-driver".into(),
        uid: format!("driver-{attempt}"),
        created: at(0),
        owner: Some(Owner {
            kind: "SparkApplication".into(),
            name: "pi".into(),
            uid: UID.into(),
            gone: false,
        }),
        submission_id: Some(id.submission_id()),
        application_id: Some(id.application_id()),
        terminating: None,
        node: None,
        phase: PodPhase::Pending,
        reason: None,
        message: None,
        disruption: None,
        unschedulable: None,
        blocked: None,
        failed_init: None,
        spark: SparkContainer::Unreported,
    }
}

impl DriverPod {
    pub(super) fn on_node(mut self) -> Self {
        self.node = Some("node-1".into());
        self
    }

    pub(super) fn running(mut self) -> Self {
        self.phase = PodPhase::Running;
        self.spark = SparkContainer::Running { since: Some(at(2)) };
        self.on_node()
    }

    pub(super) fn exited(mut self, code: i32) -> Self {
        self.phase = if code == 0 {
            PodPhase::Succeeded
        } else {
            PodPhase::Failed
        };
        self.spark = SparkContainer::Exited(exit(code));
        self.on_node()
    }

    pub(super) fn lost(mut self) -> Self {
        self.phase = PodPhase::Unknown;
        self
    }

    pub(super) fn terminating(mut self) -> Self {
        self.terminating = Some(at(90));
        self
    }

    pub(super) fn of(mut self, kind: &str, name: &str, gone: bool) -> Self {
        self.owner = Some(Owner {
            kind: kind.into(),
            name: name.into(),
            uid: format!("uid-of-{name}"),
            gone,
        });
        self.submission_id = None;
        self
    }
}

pub(super) fn exit(code: i32) -> Exit {
    Exit {
        code,
        reason: Some(if code == 0 { "Completed" } else { "Error" }.into()),
        message: None,
        started_at: Some(at(2)),
        finished_at: Some(at(20)),
    }
}

pub(super) fn executor(attempt: u32, id: i32) -> ExecutorPod {
    ExecutorPod {
        name: format!("pi-{attempt}-exec-{id}"),
        uid: format!("executor-{attempt}-{id}"),
        id,
        application_id: Some(AttemptId::new(UID, attempt).application_id()),
        terminating: false,
        phase: PodPhase::Running,
        exit_code: None,
        node: Some("node-1".into()),
        unschedulable: None,
        blocked: None,
    }
}

impl ExecutorPod {
    pub(super) fn unschedulable(mut self, why: &str) -> Self {
        self.phase = PodPhase::Pending;
        self.node = None;
        self.unschedulable = Some(why.into());
        self
    }

    pub(super) fn blocked(mut self, reason: &str, message: &str) -> Self {
        self.phase = PodPhase::Pending;
        self.blocked = Some(Blocked {
            reason: reason.into(),
            message: Some(message.into()),
            image: Some("apache/spark:9.9".into()),
        });
        self
    }

    pub(super) fn ended(mut self, code: i32) -> Self {
        self.phase = if code == 0 {
            PodPhase::Succeeded
        } else {
            PodPhase::Failed
        };
        self.exit_code = Some(code);
        self
    }

    pub(super) fn terminating(mut self) -> Self {
        self.terminating = true;
        self
    }
}

pub(super) fn refusal(code: u16, message: &str) -> Refusal {
    Refusal {
        subject: Subject::Driver,
        at: at(10),
        code,
        message: message.into(),
    }
}

/// The Service of the application's web page.
pub(super) fn ui_service() -> Exposer {
    Exposer {
        kind: ExposerKind::Service,
        name: "pi-ui-svc".into(),
    }
}

/// An application whose web page has a Service.
pub(super) fn exposed(uid: &str) -> Exposure {
    Exposure {
        present: vec![Present {
            exposer: ui_service(),
            uid: uid.into(),
        }],
        missing: vec![],
        web_page: WebPage {
            service: Some(PageService {
                name: "pi-ui-svc".into(),
                port: Some(4040),
                address: Some("10.0.0.7:4040".into()),
                ..PageService::default()
            }),
            route: None,
        },
    }
}

/// An application whose web page should have a Service.
pub(super) fn unexposed() -> Exposure {
    Exposure {
        missing: vec![ui_service()],
        ..Exposure::default()
    }
}

/// An observation of these pods, in which nothing else is missing.
pub(super) fn seen(drivers: Vec<DriverPod>, executors: Vec<ExecutorPod>) -> Observed {
    Observed {
        drivers,
        executors,
        companions: Companions::Complete,
        exposure: unexposed(),
        ..Observed::nothing()
    }
}

/// Plans until the status stays as it is, as the engine does; then the decision about it.
pub(super) fn settle(spec: &Spec, status: &Status, seen: &Observed, now: Timestamp) -> Decision {
    let mut status = status.clone();
    for _ in 0..10 {
        let decision = plan(spec, &Limits::default(), &status, seen, now);
        if decision.status == status {
            return decision;
        }
        status = decision.status;
    }
    panic!("the status never settles: {status:#?}");
}

/// The status of `pi` in this state, as it gets there in its first attempt.
pub(super) fn status_in(state: State) -> Status {
    if state == State::New {
        return Status::default();
    }
    let spec = pi(always());
    let intended = settle(&spec, &Status::default(), &Observed::nothing(), at(0)).status;
    let running = settle(
        &spec,
        &intended,
        &seen(vec![driver(1).running()], vec![executor(1, 1)]),
        at(5),
    );
    let waiting = settle(&spec, &intended, &seen(vec![driver(1)], vec![]), at(1));
    let mut status = match state {
        State::PendingRerun | State::SubmissionFailed | State::Resuming | State::Suspended => {
            intended
        }
        State::Submitted => waiting.status,
        _ => running.status,
    };
    let ended = match state {
        State::Succeeding | State::Completed => Some(driver(1).exited(0)),
        State::Failing | State::Failed => Some(driver(1).exited(1)),
        _ => None,
    };
    if let Some(driver) = ended {
        status = plan(
            &spec,
            &Limits::default(),
            &status,
            &seen(vec![driver], vec![]),
            at(20),
        )
        .status;
    }
    if state == State::SubmissionFailed {
        let refused = Observed {
            refusal: Some(refusal(403, "no")),
            ..Observed::nothing()
        };
        status = plan(&spec, &Limits::default(), &status, &refused, at(10)).status;
    }
    if state.is_terminal() {
        status.termination_time = Some(at(20).into());
    }
    status.application_state.state = state;
    status
}
