//! What people read about a driver, in every situation that has a sentence of its own.

use std::fmt::Write as _;

use super::fixtures::*;
use crate::lifecycle::conditions::{self, ConditionKind};
use crate::lifecycle::health::{Health, of_driver};
use crate::lifecycle::observed::{
    Blocked, Companions, DriverPod, ExecutorPod, Exit, FailedInit, Observed, PodPhase,
    SparkContainer, Subject,
};
use crate::lifecycle::plan;
use crate::lifecycle::spec::{Fitness, Limits, Spec};
use windlass_api::spark::application::{
    ApplicationStateType as State, SparkApplicationStatus as Status,
};

fn sentence(pod: &DriverPod) -> String {
    match of_driver(pod, &Limits::default(), at(1000)) {
        Health::Pending(hold) => format!("pending, {}: {}", hold.reason, hold.message),
        Health::Unreachable(hold) => format!("unknown, {}: {}", hold.reason, hold.message),
        Health::Running { .. } => "running".to_owned(),
        Health::Ended(ending) => format!("ended, {}: {}", ending.reason, ending.message),
    }
}

#[test]
fn every_end_of_a_driver_has_its_sentence() {
    let ended = |exit: Exit| DriverPod {
        spark: SparkContainer::Exited(exit),
        ..driver(1).on_node()
    };
    let with = |code: i32, reason: &str, message: Option<&str>| {
        ended(Exit {
            reason: Some(reason.into()),
            message: message.map(Into::into),
            ..exit(code)
        })
    };
    let failed = |reason: Option<&str>, message: Option<&str>| DriverPod {
        phase: PodPhase::Failed,
        reason: reason.map(Into::into),
        message: message.map(Into::into),
        ..driver(1).on_node()
    };
    let sidecar_failed = DriverPod {
        phase: PodPhase::Failed,
        ..with(0, "Completed", None)
    };
    let sidecar_runs = DriverPod {
        phase: PodPhase::Running,
        ..with(3, "Error", None)
    };
    let evicted = DriverPod {
        reason: Some("Evicted".into()),
        message: Some("The node was low on resource: memory. ".into()),
        ..with(137, "Error", None)
    };
    let init = DriverPod {
        failed_init: Some(FailedInit {
            name: "fetch".into(),
            exit: exit(2),
        }),
        ..failed(None, None)
    };
    let cases = [
        ("exit 0", with(0, "Completed", None)),
        ("exit 0, sidecar failed", sidecar_failed),
        ("exit 3, sidecar runs", sidecar_runs),
        ("exit 1 with a message", {
            with(
                1,
                "Error",
                Some("Traceback (most recent call last):\n  ...\nValueError: boom\n\n"),
            )
        }),
        ("out of memory", with(137, "OOMKilled", None)),
        ("killed", with(137, "Error", None)),
        ("stopped", with(143, "Error", None)),
        (
            "deleted",
            with(143, "Error", Some("26/11/20 12:27:54 INFO A: b")).terminating(),
        ),
        (
            "cannot run",
            with(
                128,
                "ContainerCannotRun",
                Some("no such file: /opt/entrypoint.sh"),
            ),
        ),
        ("evicted", evicted),
        (
            "evicted before it ran",
            failed(Some("Evicted"), Some("disk pressure")),
        ),
        (
            "refused by the node",
            failed(Some("OutOfcpu"), Some("Node didn't have enough resource")),
        ),
        ("node lost", failed(Some("NodeLost"), None)),
        ("init container", init),
        ("silent failure", failed(None, None)),
        ("pod succeeded without a container", {
            DriverPod {
                phase: PodPhase::Succeeded,
                ..driver(1).on_node()
            }
        }),
    ];
    let text = cases.iter().fold(String::new(), |mut text, (what, pod)| {
        let _ = writeln!(text, "{what} => {}", sentence(pod));
        text
    });
    insta::assert_snapshot!(text);
}

#[test]
fn every_wait_of_a_driver_has_its_sentence() {
    let blocked = |reason: &str, message: Option<&str>| DriverPod {
        blocked: Some(Blocked {
            reason: reason.into(),
            message: message.map(Into::into),
            image: Some("apache/spark:9.9".into()),
        }),
        ..driver(1).on_node()
    };
    let unschedulable = DriverPod {
        unschedulable: Some("0/1 nodes are available: 1 Insufficient cpu.".into()),
        ..driver(1)
    };
    let unschedulable_of_late = DriverPod {
        unschedulable: Some(
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: \
             0/1 nodes are available: 1 No preemption victims found for incoming pod."
                .into(),
        ),
        ..driver(1)
    };
    let misfit = DriverPod {
        unschedulable: Some(
            "0/2 nodes are available: 1 Insufficient memory, 1 node(s) didn't match Pod's node \
             affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful \
             for scheduling."
                .into(),
        ),
        ..driver(1)
    };
    let cases = [
        ("no node yet", driver(1)),
        ("unschedulable", unschedulable),
        ("unschedulable, as told since 1.34", unschedulable_of_late),
        ("fits nowhere", misfit),
        (
            "volume",
            blocked("ContainerCreating", Some("configmap \"c\" not found")),
        ),
        ("on a node", driver(1).on_node()),
        (
            "image",
            blocked("ImagePullBackOff", Some("Back-off pulling image")),
        ),
        ("image, silent", blocked("ErrImagePull", None)),
        (
            "image name",
            blocked("InvalidImageName", Some("couldn't parse image name")),
        ),
        (
            "config",
            blocked(
                "CreateContainerConfigError",
                Some("secret \"s3\" not found"),
            ),
        ),
        (
            "other",
            blocked("RunContainerError", Some("exec format error")),
        ),
        ("deleted", driver(1).terminating()),
        ("runs", driver(1).running()),
        (
            "phase only",
            DriverPod {
                phase: PodPhase::Running,
                ..driver(1).on_node()
            },
        ),
        ("node silent", driver(1).running().lost()),
        ("node does not end it", driver(1).running().terminating()),
    ];
    let text = cases.iter().fold(String::new(), |mut text, (what, pod)| {
        let _ = writeln!(text, "{what} => {}", sentence(pod));
        text
    });
    insta::assert_snapshot!(text);
}

#[test]
fn executors_that_cannot_start_are_told_with_the_field_while_the_driver_runs() {
    let nothing = Observed::nothing();
    let mut status = settle(&pi(never()), &Status::default(), &nothing, at(0)).status;
    let mut look = |executors: Vec<ExecutorPod>, driver: DriverPod, seconds: i64| {
        let seen = seen(vec![driver], executors);
        let decision = settle(&pi(never()), &status, &seen, at(seconds));
        status = decision.status;
        let kind = ConditionKind::ExecutorsHeldUp;
        let told = conditions::find(&status.conditions, kind).map_or_else(
            || "nothing".to_owned(),
            |it| format!("{} ({})", it.message, it.reason),
        );
        format!("{:?}: {told}", status.application_state.state)
    };
    let too_large = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are \
                     available: 1 Preemption is not helpful for scheduling.";
    let lines = [
        look(
            vec![executor(1, 1).unschedulable("too early")],
            driver(1),
            1,
        ),
        look(vec![executor(1, 1)], driver(1).running(), 2),
        look(
            vec![
                executor(1, 2).unschedulable(too_large),
                executor(1, 1).unschedulable(too_large),
                executor(1, 3),
            ],
            driver(1).running(),
            3,
        ),
        look(
            vec![executor(1, 4).blocked("ErrImagePull", "no such image")],
            driver(1).running(),
            4,
        ),
        look(
            vec![executor(1, 4).blocked("ContainerCreating", "configmap \"c\" not found")],
            driver(1).running(),
            5,
        ),
        look(vec![executor(1, 4)], driver(1).running(), 6),
        look(
            vec![executor(1, 5).unschedulable("0/1 nodes are available: 1 Too many pods.")],
            driver(1).running(),
            7,
        ),
        look(
            vec![executor(1, 5).unschedulable("0/1 nodes are available: 1 Too many pods.")],
            driver(1).exited(1),
            8,
        ),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_refusal_says_what_to_do() {
    let answers = [
        (
            403,
            "pods \"pi-driver\" is forbidden: error looking up service account jobs/spark: \
               serviceaccount \"spark\" not found",
        ),
        (
            403,
            "pods \"pi-driver\" is forbidden: exceeded quota: small, requested: cpu=1",
        ),
        (
            403,
            "pods is forbidden: User \"windlass\" cannot create resource \"pods\"",
        ),
        (
            422,
            "Pod \"pi-driver\" is invalid: spec.containers[0].image: Required value",
        ),
        (404, "namespaces \"jobs\" not found"),
    ];
    let intended = settle(
        &pi(never()),
        &Status::default(),
        &Observed::nothing(),
        at(0),
    )
    .status;
    let text = answers
        .iter()
        .fold(String::new(), |mut text, (code, message)| {
            let refused = Observed {
                refusal: Some(refusal(*code, message)),
                ..Observed::nothing()
            };
            let status = plan(
                &pi(never()),
                &Limits::default(),
                &intended,
                &refused,
                at(10),
            )
            .status;
            let outcome = status.attempt.unwrap().outcome.unwrap();
            let _ = writeln!(text, "{}: {}", outcome.reason, outcome.message.unwrap());
            text
        });
    insta::assert_snapshot!(text);
}

#[test]
fn a_taken_name_says_whose_it_is() {
    let other = seen(
        vec![driver(1).running().of("Job", "nightly", false)],
        vec![],
    );
    let status = settle(&pi(never()), &Status::default(), &other, at(0)).status;
    assert_eq!(status.application_state.state, State::Failed);
    insta::assert_snapshot!(status.application_state.error_message.unwrap());
}

#[test]
fn a_refused_companion_is_named_while_the_driver_waits() {
    let status = status_in(State::Submitted);
    let mut refused = refusal(403, "configmaps is forbidden");
    refused.subject = Subject::Companion;
    let seen = Observed {
        refusal: Some(refused),
        companions: Companions::Missing,
        ..seen(vec![driver(1).on_node()], vec![])
    };
    let decision = settle(&pi(never()), &status, &seen, at(10));
    assert_eq!(decision.status.application_state.state, State::Submitted);
    insta::assert_snapshot!(decision.status.application_state.error_message.unwrap());
}

#[test]
fn an_invalid_spec_names_its_fields_and_recovers_when_it_is_repaired() {
    let problems = vec!["spec.image: is missing; name the image to run".to_owned()];
    let broken = Spec {
        fitness: Fitness::Unfit { problems },
        ..pi(never())
    };
    let failed = settle(&broken, &Status::default(), &Observed::nothing(), at(0)).status;
    assert_eq!(failed.application_state.state, State::Failed);
    insta::assert_yaml_snapshot!(failed);

    let repaired = Spec {
        generation: 2,
        ..pi(never())
    };
    let decision = settle(&repaired, &failed, &Observed::nothing(), at(60));
    assert_eq!(decision.status.application_state.state, State::New);
    assert_eq!(decision.actions, [crate::lifecycle::Action::CreateDriver]);
}

#[test]
fn long_messages_from_elsewhere_are_cut_between_characters() {
    let pod = DriverPod {
        unschedulable: Some("é".repeat(2000)),
        ..driver(1)
    };
    assert!(sentence(&pod).chars().count() < 600);
}
