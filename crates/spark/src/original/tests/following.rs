//! What the user submits, followed by its label.

use windlass_engine::plan::Basis;

use super::*;

fn driver(name: &str, created: &str, spark: SparkContainer) -> DriverPod {
    let phase = match &spark {
        SparkContainer::Exited(exit) if exit.code == 0 => PodPhase::Succeeded,
        SparkContainer::Exited(_) => PodPhase::Failed,
        SparkContainer::Running { .. } => PodPhase::Running,
        SparkContainer::Unreported | SparkContainer::Waiting => PodPhase::Pending,
    };
    DriverPod {
        name: name.to_owned(),
        uid: format!("uid of {name}"),
        created: at(created),
        owner: None,
        submission_id: None,
        application_id: Some(format!("spark-{name}")),
        terminating: None,
        node: Some("node-1".to_owned()),
        phase,
        reason: None,
        message: None,
        disruption: None,
        unschedulable: None,
        blocked: None,
        failed_init: None,
        spark,
    }
}

fn executor(of: &str, id: i32, phase: PodPhase) -> ExecutorPod {
    ExecutorPod {
        name: format!("{of}-exec-{id}"),
        uid: format!("{of}-{id}"),
        id,
        application_id: Some(format!("spark-{of}")),
        terminating: false,
        phase,
        exit_code: None,
        node: None,
        unschedulable: None,
        blocked: None,
    }
}

fn running() -> SparkContainer {
    SparkContainer::Running { since: None }
}

fn exited(code: i32) -> SparkContainer {
    SparkContainer::Exited(Exit {
        code,
        reason: Some("Error".to_owned()),
        message: None,
        started_at: None,
        finished_at: Some(at("2026-11-29T12:30:00Z")),
    })
}

const CREATED: &str = "2026-11-29T11:59:00Z";

#[test]
fn nothing_is_made_of_what_the_user_submits() {
    let mut world = World::new(Wish::Follow);
    let rest = world.settle();
    assert_eq!((world.created, rest.action), (0, None));
    assert_eq!(world.status.application_state.state, Word::New);
    assert_eq!(world.status.app_id, "estimate-17");
    assert!(rest.wake_at.is_some());
}

#[test]
fn its_pods_are_told_from_the_first_to_the_last() {
    let mut world = World::new(Wish::Follow);
    let mut told = Vec::new();
    for (spark, executors) in [
        (SparkContainer::Waiting, vec![]),
        (running(), vec![PodPhase::Pending, PodPhase::Running]),
        (running(), vec![PodPhase::Running, PodPhase::Failed]),
        (exited(0), vec![PodPhase::Succeeded]),
    ] {
        world.observed.drivers = vec![driver("mine", CREATED, spark)];
        world.observed.executors = (1..)
            .zip(executors)
            .map(|(id, phase)| executor("mine", id, phase))
            .collect();
        world.settle();
        told.push(world.status.clone());
    }
    insta::assert_yaml_snapshot!(told);
    assert_eq!(world.created, 0);

    // It has ended, whatever is deleted afterwards.
    let last = world.status.clone();
    world.observed.drivers.clear();
    world.observed.executors.clear();
    assert_eq!(world.settle().wake_at, None);
    assert_eq!(world.status, last);
}

#[test]
fn a_driver_that_fails_or_disappears_has_failed_with_a_reason() {
    let mut world = World::new(Wish::Follow);
    world.observed.drivers = vec![driver("mine", CREATED, running())];
    world.settle();
    let seen = world.status.clone();

    world.observed.drivers = vec![driver("mine", CREATED, exited(7))];
    let decision = world.plan();
    assert_eq!(decision.basis, Basis::Live);
    let state = decision.status.application_state;
    assert_eq!(state.state, Word::Failed);
    assert_eq!(state.error_message, "the driver exited with code 7");

    world.status = seen;
    world.observed.drivers.clear();
    world.settle();
    let state = &world.status.application_state;
    assert_eq!(state.state, Word::Failed);
    assert_eq!(
        state.error_message,
        "driver pod mine is gone, and did not say how it ended"
    );
}

#[test]
fn what_is_submitted_again_is_followed_anew() {
    let mut world = World::new(Wish::Follow);
    world.observed.drivers = vec![driver("first", CREATED, exited(1))];
    world.observed.executors = vec![executor("first", 1, PodPhase::Failed)];
    world.settle();
    assert_eq!(world.status.application_state.state, Word::Failed);

    world
        .observed
        .drivers
        .push(driver("second", "2026-11-29T12:40:00Z", running()));
    world
        .observed
        .executors
        .push(executor("second", 1, PodPhase::Running));
    world.now = at("2026-11-29T12:41:00Z");
    world.settle();
    let status = &world.status;
    assert_eq!(status.application_state.state, Word::Running);
    assert_eq!(status.driver_info.pod_name.as_deref(), Some("second"));
    assert_eq!(status.completion_time, None);
    let names: Vec<&String> = status.executor_state.keys().collect();
    assert_eq!(names, ["second-exec-1"]);
}

#[test]
fn a_driver_that_cannot_start_says_why() {
    let mut world = World::new(Wish::Follow);
    let mut pod = driver("mine", CREATED, SparkContainer::Unreported);
    pod.unschedulable = Some("0/1 nodes are available: 1 Insufficient cpu.".to_owned());
    world.observed.drivers = vec![pod];
    world.settle();
    let state = &world.status.application_state;
    assert_eq!(state.state, Word::Submitted);
    assert!(state.error_message.contains("Insufficient cpu"));
}
