//! What is decided, case by case.

use windlass_api::spark::scheduled::{
    CatchUpPolicy, ConcurrencyPolicy, ScheduleState, run_name, triggered_run_name,
};
use windlass_engine::plan::Basis;

use super::world::{Death, World, at, rhythm};
use crate::schedule::{History, Rhythm, RunState, plan};

fn name(time: &str) -> String {
    run_name("report", at(time))
}

/// A schedule that has been seen, at one o'clock, for every full hour from two on.
fn hourly() -> World {
    let mut world = World::new("@hourly", "2026-03-01T01:00:00Z");
    world.settle();
    world
}

#[test]
fn a_new_schedule_waits_for_its_first_time() {
    let world = hourly();
    assert_eq!(world.created, [""; 0]);
    assert_eq!(world.status.schedule_state, ScheduleState::Scheduled);
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T02:00:00Z"));
    assert_eq!(
        world.last.as_ref().unwrap().wake_at,
        Some(at("2026-03-01T02:00:00Z"))
    );
    assert_eq!(
        world.told,
        ["ScheduleAccepted: the next run is due at 2026-03-01T02:00:00Z"]
    );
}

#[test]
fn a_run_is_written_down_before_it_is_created_and_forgotten_when_it_was_seen() {
    let mut world = hourly();
    world.pass_time(3600);
    world.pass(Death::BeforeEffects);
    let pending = world.status.pending_run.clone().unwrap();
    assert_eq!(pending.name, name("2026-03-01T02:00:00Z"));
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T03:00:00Z"));
    assert_eq!(world.status.last_run_name, None);
    assert_eq!(world.created, [""; 0]);

    // Whoever comes next creates it, however late.
    world.pass_time(600).settle();
    assert_eq!(world.created, [name("2026-03-01T02:00:00Z")]);
    assert_eq!(world.status.pending_run, None);
    insta::assert_snapshot!(world.story());
}

#[test]
fn starting_and_removing_rest_on_live_reads() {
    let mut world = hourly();
    world.pass_time(3600);
    let first = plan(&world.spec, &world.status, &world.observed, world.now);
    assert_eq!((first.basis, first.actions.len()), (Basis::Live, 0));
    let second = plan(&world.spec, &first.status, &world.observed, world.now);
    assert_eq!((second.basis, second.actions.len()), (Basis::Live, 1));
}

#[test]
fn allow_runs_beside_what_is_live() {
    let mut world = hourly();
    world.live_until("2026-03-01T04:30:00Z");
    assert_eq!(world.runs().len(), 3);
    assert_eq!(world.created.len(), 3);
}

#[test]
fn forbid_skips_while_an_earlier_run_is_live_and_says_so() {
    let mut world = hourly();
    world.spec.concurrency = ConcurrencyPolicy::Forbid;
    world.live_until("2026-03-01T04:30:00Z");
    let first = name("2026-03-01T02:00:00Z");
    assert_eq!(world.created, [first.as_str()]);
    world
        .end(&first, RunState::Succeeded)
        .live_until("2026-03-01T05:30:00Z");
    assert_eq!(world.created, [first, name("2026-03-01T05:00:00Z")]);
    let skipped = world
        .told
        .iter()
        .filter(|told| told.starts_with("ScheduledRunSkipped"));
    assert_eq!(skipped.count(), 2);
    insta::assert_snapshot!(world.story());
}

#[test]
fn forbid_counts_a_driver_that_outlives_its_application() {
    let mut world = hourly();
    world.spec.concurrency = ConcurrencyPolicy::Forbid;
    world.observed.orphans = vec!["report-1-driver".to_owned()];
    world.live_until("2026-03-01T02:30:00Z");
    assert_eq!(world.created, [""; 0]);
}

#[test]
fn replace_waits_until_nothing_is_left_of_the_earlier_run() {
    let mut world = hourly();
    world.spec.concurrency = ConcurrencyPolicy::Replace;
    world.live_until("2026-03-01T02:30:00Z");
    let first = name("2026-03-01T02:00:00Z");
    assert_eq!(world.runs(), [first.as_str()]);

    // Its application goes at once, its driver pod takes its time.
    world.observed.orphans = vec![format!("{first}-driver")];
    world.live_until("2026-03-01T03:00:40Z");
    assert_eq!(world.runs(), [""; 0]);
    assert_eq!(world.created, [first.as_str()]);
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T03:00:00Z"));
    assert!(world.last.as_ref().unwrap().wake_at.is_some());

    world.observed.orphans.clear();
    world.settle();
    assert_eq!(world.created, [first, name("2026-03-01T03:00:00Z")]);
    insta::assert_snapshot!(world.story());
}

#[test]
fn replace_does_not_ask_twice_for_what_is_being_deleted() {
    let mut world = hourly();
    world.spec.concurrency = ConcurrencyPolicy::Replace;
    world.live_until("2026-03-01T02:30:00Z");
    world.observed.runs[0].deleting = true;
    world.live_until("2026-03-01T03:10:00Z");
    assert_eq!(
        world.runs(),
        [name("2026-03-01T02:00:00Z")],
        "a finalizer holds it"
    );
}

#[test]
fn what_passed_unnoticed_is_made_up_for_by_policy() {
    let three = "2026-03-01T03:00:00Z";
    let five = "2026-03-01T05:00:00Z";
    // The operator was away from two o'clock, which it has run, until twenty past five.
    let cases = [
        (CatchUpPolicy::Latest, None, vec![name(five)]),
        (CatchUpPolicy::Latest, Some(3600), vec![name(five)]),
        (CatchUpPolicy::Latest, Some(600), vec![]),
        (CatchUpPolicy::None, None, vec![]),
        (CatchUpPolicy::None, Some(7200), vec![]),
        (
            CatchUpPolicy::All,
            None,
            vec![name(three), name("2026-03-01T04:00:00Z"), name(five)],
        ),
        (
            CatchUpPolicy::All,
            Some(7200),
            vec![name("2026-03-01T04:00:00Z"), name(five)],
        ),
    ];
    for (policy, deadline, expected) in cases {
        let mut world = hourly();
        world.spec.catch_up = policy;
        world.spec.deadline = deadline;
        world.live_until("2026-03-01T02:00:30Z");
        world.pass_time(3 * 3600 + 20 * 60).settle();
        assert_eq!(world.created[1..], expected, "{policy:?} {deadline:?}");
        assert_eq!(world.next_run().as_deref(), Some("2026-03-01T06:00:00Z"));
        let missed = world
            .told
            .iter()
            .any(|told| told.starts_with("ScheduledRunMissed"));
        assert_eq!(missed, expected.len() < 3, "{policy:?} {deadline:?}");
    }
}

#[test]
fn a_punctual_run_needs_no_catching_up() {
    for policy in [
        CatchUpPolicy::Latest,
        CatchUpPolicy::All,
        CatchUpPolicy::None,
    ] {
        let mut world = hourly();
        world.spec.catch_up = policy;
        world.spec.deadline = Some(1);
        world.live_until("2026-03-01T03:30:00Z");
        assert_eq!(world.created.len(), 2, "{policy:?}");
    }
}

#[test]
fn each_time_has_its_turn_where_runs_may_not_overlap_and_all_are_made_up_for() {
    let mut world = hourly();
    world.spec.catch_up = CatchUpPolicy::All;
    world.spec.concurrency = ConcurrencyPolicy::Forbid;
    world.pass_time(3 * 3600).settle();
    for hour in 2..=4 {
        let run = name(&format!("2026-03-01T0{hour}:00:00Z"));
        assert_eq!(world.created.last(), Some(&run));
        world.end(&run, RunState::Succeeded).settle();
    }
    assert_eq!(world.created.len(), 3);
    assert!(
        !world
            .told
            .iter()
            .any(|told| told.starts_with("ScheduledRunSkipped"))
    );
}

#[test]
fn a_dense_schedule_makes_up_for_a_hundred_times_at_most() {
    let mut world = World::new("@every 1s", "2026-03-01T00:00:00Z");
    world.spec.catch_up = CatchUpPolicy::All;
    world.settle();
    world.pass_time(365 * 24 * 3600);
    world.settle();
    assert_eq!(world.created.len(), 100);
}

#[test]
fn history_is_trimmed_when_a_run_ends_and_not_only_when_the_next_one_starts() {
    let mut world = hourly();
    world.spec.history = History {
        successful: 2,
        failed: 0,
    };
    world.live_until("2026-03-01T05:30:00Z");
    let names: Vec<String> = (2..=5)
        .map(|hour| name(&format!("2026-03-01T0{hour}:00:00Z")))
        .collect();
    world.end(&names[0], RunState::Succeeded).settle();
    assert_eq!(world.runs().len(), 4);
    world.end(&names[1], RunState::Failed).settle();
    assert_eq!(world.runs().len(), 3, "no failed run is kept");
    world.end(&names[2], RunState::Succeeded).settle();
    world.end(&names[3], RunState::Succeeded).settle();
    assert_eq!(world.runs(), [names[2].as_str(), names[3].as_str()]);
    assert_eq!(
        world.status.past_successful_run_names,
        [names[3].as_str(), names[2].as_str()],
        "the latest first"
    );
    assert_eq!(world.status.past_failed_run_names, [""; 0]);
}

#[test]
fn of_runs_made_within_one_second_the_last_one_is_kept() {
    let mut world = hourly();
    for request in ["one", "two", "three", "four"] {
        world.spec.trigger = Some(request.to_owned());
        world.settle();
        let run = triggered_run_name("report", request);
        world.end(&run, RunState::Succeeded).settle();
        assert_eq!(world.runs(), [run]);
    }
}

#[test]
fn a_suspended_schedule_starts_nothing_trims_and_goes_on_without_catching_up() {
    let mut world = hourly();
    world.live_until("2026-03-01T03:30:00Z");
    world.spec.suspend = true;
    world.live_until("2026-03-01T03:40:00Z");
    assert_eq!(world.next_run(), None);
    assert_eq!(world.last.as_ref().unwrap().wake_at, None);
    for run in world.created.clone() {
        world.end(&run, RunState::Succeeded);
    }
    world.live_until("2026-03-01T06:30:00Z");
    assert_eq!(world.runs().len(), 1, "history is trimmed");
    world.spec.suspend = false;
    world.live_until("2026-03-01T06:59:59Z");
    assert_eq!(world.created.len(), 2, "what passed is not made up for");
    world.live_until("2026-03-01T07:00:00Z");
    assert_eq!(world.created.len(), 3);
}

#[test]
fn a_run_that_was_not_created_before_the_schedule_was_suspended_is_not_created() {
    let mut world = hourly();
    world.pass_time(3600);
    world.pass(Death::BeforeEffects);
    world.spec.suspend = true;
    world.settle();
    assert_eq!(world.created, [""; 0]);
    assert_eq!(world.status.pending_run, None);
}

#[test]
fn any_change_of_the_schedule_takes_effect_at_once() {
    let mut world = hourly();
    let cases = [
        ("30 1 * * *", "2026-03-01T01:30:00Z"),
        ("0 5 1 * *", "2026-03-01T05:00:00Z"),
        ("CRON_TZ=Europe/Berlin 0 5 1 * *", "2026-03-01T04:00:00Z"),
        ("@every 10m", "2026-03-01T01:10:00Z"),
        ("@every 11m", "2026-03-01T01:11:00Z"),
    ];
    for (schedule, expected) in cases {
        world.spec.rhythm = rhythm(schedule);
        world.spec.generation += 1;
        world.settle();
        assert_eq!(world.next_run().as_deref(), Some(expected), "{schedule}");
        assert_eq!(
            world.status.observed_generation,
            Some(world.spec.generation)
        );
    }
}

#[test]
fn a_change_of_anything_else_leaves_the_next_run_as_it_is() {
    let mut world = World::new("@every 1h", "2026-03-01T01:00:00Z");
    world.settle();
    world.pass_time(1200);
    world.spec.generation = 2;
    world.spec.concurrency = ConcurrencyPolicy::Forbid;
    world.settle();
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T02:00:00Z"));
}

#[test]
fn what_is_wrong_is_told_and_forgotten_once_it_is_repaired() {
    let mut world = hourly();
    let good = world.spec.rhythm.clone();
    world.spec.rhythm = Rhythm::Invalid {
        problems: vec![
            "spec.schedule: \"x\": no".to_owned(),
            "spec.timeZone: no".to_owned(),
        ],
    };
    world.live_until("2026-03-01T04:30:00Z");
    assert_eq!(world.status.schedule_state, ScheduleState::FailedValidation);
    assert_eq!(world.status.conditions[0].status, "False");
    assert_eq!(world.created, [""; 0]);
    insta::assert_snapshot!(world.story());
    world.spec.rhythm = good;
    world.live_until("2026-03-01T05:30:00Z");
    assert_eq!(world.status.schedule_state, ScheduleState::Scheduled);
    assert_eq!(
        (world.status.reason.as_deref(), world.created.len()),
        (None, 1)
    );
    assert_eq!(world.status.conditions[0].status, "True");
}

#[test]
fn a_request_runs_once_whatever_the_schedule_says() {
    let mut world = hourly();
    world.spec.trigger = Some("now".to_owned());
    world.settle().settle();
    assert_eq!(world.created, [triggered_run_name("report", "now")]);
    assert_eq!(world.status.last_trigger.as_deref(), Some("now"));
    assert_eq!(world.next_run().as_deref(), Some("2026-03-01T02:00:00Z"));
    world.spec.suspend = true;
    world.spec.trigger = Some("again".to_owned());
    world.settle();
    assert_eq!(world.created.len(), 2, "a suspended schedule, too");
    world.spec.trigger = Some("now".to_owned());
    world.settle();
    assert_eq!(world.created.len(), 2, "that one is there already");
    world.spec.trigger = Some(String::new());
    world.settle();
    world.spec.trigger = None;
    world.settle();
    assert_eq!(world.created.len(), 2);
    insta::assert_snapshot!(world.story());
}

#[test]
fn a_request_obeys_the_concurrency_policy() {
    let mut world = hourly();
    world.live_until("2026-03-01T02:30:00Z");
    world.spec.concurrency = ConcurrencyPolicy::Forbid;
    world.spec.trigger = Some("one".to_owned());
    world.settle();
    assert_eq!(world.created.len(), 1);
    assert!(
        world
            .told
            .last()
            .unwrap()
            .starts_with("ScheduledRunSkipped")
    );

    world.spec.concurrency = ConcurrencyPolicy::Replace;
    world.spec.trigger = Some("two".to_owned());
    world.settle();
    assert_eq!(world.runs(), [triggered_run_name("report", "two")]);
}

#[test]
fn a_run_that_was_decided_on_still_obeys_the_policy_when_it_is_created() {
    let mut world = hourly();
    world.live_until("2026-03-01T02:30:00Z");
    world.pass_time(1800);
    world.pass(Death::BeforeEffects);
    assert!(world.status.pending_run.is_some());
    world.spec.concurrency = ConcurrencyPolicy::Forbid;
    world.settle();
    assert_eq!(world.created.len(), 1);
    assert_eq!(world.status.pending_run, None);
}

#[test]
fn a_name_that_is_taken_is_told_and_costs_one_run() {
    let mut world = hourly();
    world.pass_time(3600);
    world.observed.name_is_taken = true;
    world.pass(Death::BeforeEffects);
    world.settle();
    assert_eq!(world.created, [""; 0]);
    assert_eq!(world.status.pending_run, None);
    assert!(
        world
            .told
            .iter()
            .any(|told| told.starts_with("ScheduledRunNameTaken"))
    );
    world.observed.name_is_taken = false;
    world.live_until("2026-03-01T03:00:00Z");
    assert_eq!(world.created, [name("2026-03-01T03:00:00Z")]);
}

#[test]
fn a_run_that_the_api_refuses_is_tried_until_the_next_is_due() {
    let mut world = hourly();
    world.pass_time(3600);
    world.pass(Death::BeforeEffects);
    world.observed.refusal = Some("exceeded quota".to_owned());
    world.pass(Death::BeforeEffects);
    let first = name("2026-03-01T02:00:00Z");
    assert_eq!(
        world.status.reason,
        Some(format!("{first} cannot be created: exceeded quota"))
    );
    world.pass_time(3600);
    world.pass(Death::BeforeEffects);
    world.observed.refusal = None;
    world.settle();
    assert_eq!(world.created, [name("2026-03-01T03:00:00Z")]);
    assert_eq!(world.status.reason, None);
    assert!(
        world
            .told
            .iter()
            .any(|told| told.starts_with("ScheduledRunMissed"))
    );
}

#[test]
fn a_run_that_the_api_refuses_beyond_its_deadline_is_missed() {
    let mut world = hourly();
    world.spec.deadline = Some(60);
    world.pass_time(3600);
    world.pass(Death::BeforeEffects);
    world.pass_time(61).settle();
    assert_eq!((world.created.len(), &world.status.pending_run), (0, &None));
}

#[test]
fn a_deleted_schedule_is_left_to_its_owner_references() {
    let mut world = hourly();
    world.spec.deleting = true;
    let before = world.status.clone();
    world.pass_time(7200).settle();
    assert_eq!(world.status, before);
    assert_eq!(world.created, [""; 0]);
}

#[test]
fn a_clock_that_goes_back_runs_nothing_twice() {
    let mut world = hourly();
    world.live_until("2026-03-01T03:30:00Z");
    world.pass_time(-5400).settle();
    world.spec.suspend = true;
    world.settle();
    world.spec.suspend = false;
    world.live_until("2026-03-01T04:30:00Z");
    assert_eq!(world.created.len(), 3, "two, three and four o'clock");
}
