//! Objects as the Kubeflow operator leaves them: no time is missed, and none is run twice.

use serde_json::{Value, json};
use windlass_api::spark::scheduled::{ConcurrencyPolicy, ScheduleState, run_name};

use super::world::{World, at};
use crate::schedule::RunState;

/// A schedule that another operator has followed, at half past three.
fn left(schedule: &str, status: Value) -> World {
    let mut world = World::new(schedule, "2026-03-01T03:30:00Z");
    world.status = serde_json::from_value(status).unwrap();
    world
}

fn scheduled(last: &str, next: &str) -> Value {
    json!({
        "lastRun": last, "nextRun": next, "lastRunName": "report-1772330400000000001",
        "pastSuccessfulRunNames": ["report-1772330400000000001"], "scheduleState": "Scheduled",
    })
}

/// A run as that operator names it.
fn run(world: &mut World, created: &str, state: RunState) {
    let now = world.now;
    world.now = at(created);
    world.add(
        &format!("report-{}000000001", at(created).as_second()),
        state,
    );
    world.now = now;
}

#[test]
fn a_next_run_that_lies_ahead_is_kept() {
    for (schedule, next) in [
        ("@hourly", "2026-03-01T04:00:00Z"),
        ("@every 1h", "2026-03-01T04:07:13Z"),
    ] {
        let mut world = left(schedule, scheduled("2026-03-01T03:00:00Z", next));
        run(&mut world, "2026-03-01T03:00:00Z", RunState::Succeeded);
        world.live_until("2026-03-01T03:59:59Z");
        assert_eq!(world.next_run().as_deref(), Some(next), "{schedule}");
        assert_eq!(world.created, [""; 0], "{schedule}");
        world.live_until("2026-03-01T04:30:00Z");
        assert_eq!(world.created, [run_name("report", at(next))], "{schedule}");
    }
}

#[test]
fn a_time_that_passed_while_nobody_was_there_is_run_once() {
    let mut world = left(
        "@hourly",
        scheduled("2026-03-01T02:00:00Z", "2026-03-01T03:00:00Z"),
    );
    run(&mut world, "2026-03-01T02:00:00Z", RunState::Succeeded);
    world.settle().settle();
    assert_eq!(
        world.created,
        [run_name("report", at("2026-03-01T03:00:00Z"))]
    );
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T04:00:00Z"));
}

/// It creates the run first, and may die before it writes the next time.
#[test]
fn a_time_whose_run_exists_already_is_not_run_again() {
    let mut world = left(
        "@hourly",
        scheduled("2026-03-01T02:00:00Z", "2026-03-01T03:00:00Z"),
    );
    run(&mut world, "2026-03-01T03:00:01Z", RunState::Live);
    world.settle();
    assert_eq!(world.created, [""; 0]);
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T04:00:00Z"));
}

#[test]
fn a_next_run_of_an_earlier_schedule_is_not_believed() {
    for (next, expected) in [
        ("2026-03-02T12:15:00Z", "2026-03-01T04:00:00Z"),
        ("2026-03-01T03:31:00Z", "2026-03-01T04:00:00Z"),
        ("2026-03-01T03:15:00Z", "2026-03-01T04:00:00Z"),
    ] {
        let mut world = left("@hourly", scheduled("2026-03-01T03:00:00Z", next));
        world.settle();
        assert_eq!(world.created, [""; 0], "{next}");
        assert_eq!(world.next_run().as_deref(), Some(expected), "{next}");
    }
}

#[test]
fn a_schedule_that_failed_validation_there_is_followed_once_it_is_right() {
    let status = json!({"scheduleState": "FailedValidation", "reason": "x", "nextRun": null});
    let mut world = left("@hourly", status);
    world.settle();
    assert_eq!(world.status.schedule_state, ScheduleState::Scheduled);
    assert_eq!(world.status.reason, None);
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T04:00:00Z"));
}

#[test]
fn its_live_run_counts_and_its_ended_runs_are_history() {
    let mut world = left(
        "@hourly",
        scheduled("2026-03-01T03:00:00Z", "2026-03-01T04:00:00Z"),
    );
    world.spec.concurrency = ConcurrencyPolicy::Forbid;
    run(&mut world, "2026-03-01T01:00:00Z", RunState::Succeeded);
    run(&mut world, "2026-03-01T02:00:00Z", RunState::Succeeded);
    run(&mut world, "2026-03-01T03:00:00Z", RunState::Live);
    world.live_until("2026-03-01T04:30:00Z");
    assert_eq!(world.created, [""; 0]);
    assert_eq!(
        world.status.past_successful_run_names,
        ["report-1772330400000000001"]
    );
    assert_eq!(world.runs().len(), 2);
    assert_eq!(
        world.status.last_run_name.as_deref(),
        Some("report-1772330400000000001"),
        "what it wrote is kept"
    );
}

#[test]
fn a_suspended_schedule_stays_so() {
    let mut world = left(
        "@hourly",
        scheduled("2026-02-01T02:00:00Z", "2026-02-01T03:00:00Z"),
    );
    world.spec.suspend = true;
    world.settle();
    assert_eq!((world.created.len(), world.next_run()), (0, None));
}
