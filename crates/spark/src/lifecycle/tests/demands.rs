//! What users ask of an application in the middle of its life: wait, go on, change, run again.

use std::time::Duration;

use windlass_api::spark::application::ApplicationStateType as State;

use super::fixtures::*;
use super::stories::Story;
use crate::lifecycle::Action;
use crate::lifecycle::conditions::{self, ConditionKind};
use crate::lifecycle::observed::{Blocked, Disruption, DriverPod, Observed, Refusal};
use crate::lifecycle::spec::{Fitness, NodeLoss, RestartPolicy};
use windlass_engine::plan::Basis;

fn runs(restart: RestartPolicy) -> Story {
    let mut story = Story::of(restart);
    story.spec.fields = Some(fields("a", "x"));
    story.sees_nothing(0);
    story.sees(driver(1).running(), 5);
    assert_eq!(story.state(), State::Running);
    story
}

impl Story {
    fn changes(&mut self, image: &str, labels: &str) {
        self.spec.fields = Some(fields(image, labels));
        self.spec.generation += 1;
    }

    fn number(&self) -> u32 {
        self.status.attempt.as_ref().unwrap().number
    }

    fn message_of(&self, kind: ConditionKind) -> Option<String> {
        conditions::find(&self.status.conditions, kind).map(|it| it.message.clone())
    }
}

fn old_driver(attempt: u32) -> Action {
    Action::DeletePod {
        name: "pi-driver".into(),
        uid: format!("driver-{attempt}"),
    }
}

// Suspend and resume.

#[test]
fn an_application_that_waits_for_its_next_try_is_suspended_at_once() {
    let mut story = runs(on_failure(3));
    story.fails(1, 1, 20);
    story.sees(driver(1).exited(1), 21);
    assert_eq!(story.state(), State::Failing);
    story.spec.suspend = true;
    story.sees(driver(1).exited(1), 22);
    assert_eq!(story.state(), State::Suspended);

    story.spec.suspend = false;
    story.sees_nothing(100);
    assert_eq!(story.state(), State::Resuming);
    let attempt = story.status.attempt.as_ref().unwrap();
    assert_eq!((attempt.charged_before(), attempt.runs()), (0, 1));
}

#[test]
fn a_failure_that_is_final_stays_one_when_it_is_suspended() {
    let mut story = runs(never());
    story.spec.suspend = true;
    story.sees(driver(1).exited(1), 22);
    assert_eq!(story.state(), State::Failed);
}

#[test]
fn a_driver_that_completes_before_it_is_told_to_go_has_completed() {
    let mut story = runs(never());
    story.spec.suspend = true;
    story.sees(driver(1).running(), 20);
    assert_eq!(story.state(), State::Suspending);
    story.sees(driver(1).exited(0), 21);
    assert_eq!(story.state(), State::Completed);
    assert_eq!(
        story.status.attempt.unwrap().outcome.unwrap().reason,
        "Completed"
    );
}

#[test]
fn a_driver_that_was_told_to_go_is_suspended_however_it_ends() {
    for code in [0, 143] {
        let mut story = runs(on_failure(1));
        story.spec.suspend = true;
        story.sees(driver(1).running(), 20);
        story.sees(driver(1).exited(code).terminating(), 21);
        assert_eq!(story.state(), State::Suspending, "exit code {code}");
        story.sees_nothing(22);
        assert_eq!(story.state(), State::Suspended, "exit code {code}");
    }
}

#[test]
fn an_application_that_is_born_suspended_runs_when_it_is_resumed() {
    let mut story = Story::of(never());
    story.spec.suspend = true;
    let waits = story.sees_nothing(0);
    assert_eq!((story.state(), waits.actions), (State::Suspended, vec![]));
    story.spec.suspend = false;
    assert_eq!(story.sees_nothing(9).actions, [Action::CreateDriver]);
    assert_eq!(story.number(), 1);
}

// Changes of the spec.

#[test]
fn a_change_of_what_is_run_replaces_the_driver() {
    let mut story = runs(never());
    story.changes("b", "x");
    let removes = story.sees(driver(1).running(), 20);
    assert_eq!(story.state(), State::Invalidating);
    assert_eq!(
        (removes.actions, removes.basis),
        (vec![old_driver(1)], Basis::Live)
    );
    let outcome = story
        .status
        .attempt
        .as_ref()
        .unwrap()
        .outcome
        .clone()
        .unwrap();
    assert_eq!(
        (outcome.state, outcome.reason.as_str()),
        (State::Invalidating, "SpecChanged")
    );
    assert_eq!(outcome.message.as_deref(), Some("spec.image changed"));

    let waits = story.sees(driver(1).running().terminating(), 21);
    assert_eq!(waits.actions, []);
    assert_eq!(story.sees_nothing(30).actions, [Action::CreateDriver]);
    assert_eq!((story.state(), story.number()), (State::PendingRerun, 2));
    story.sees(driver(2).running(), 31);
    assert_eq!(
        (story.state(), story.status.execution_attempts),
        (State::Running, 1)
    );
    assert_eq!(
        story.sees(driver(2).running(), 32).actions,
        [Action::Expose(ui_service())]
    );
}

#[test]
fn a_change_around_the_job_waits_for_the_next_attempt_and_says_so() {
    let mut story = runs(on_failure(1));
    story.changes("a", "y");
    story.sees(driver(1).running(), 20);
    assert_eq!((story.state(), story.number()), (State::Running, 1));
    assert_eq!(
        story.message_of(ConditionKind::UpdatePending).as_deref(),
        Some("spec.driver.labels takes effect with the next attempt")
    );
    story.sees(driver(1).exited(1), 30);
    story.sees_nothing(60);
    story.sees(driver(2).running(), 61);
    assert_eq!(story.message_of(ConditionKind::UpdatePending), None);
}

#[test]
fn a_change_that_is_taken_back_leaves_no_trace() {
    let mut story = runs(never());
    story.changes("a", "y");
    story.sees(driver(1).running(), 20);
    story.changes("a", "x");
    story.sees(driver(1).running(), 30);
    assert_eq!((story.state(), story.number()), (State::Running, 1));
    assert_eq!(story.message_of(ConditionKind::UpdatePending), None);

    // Not even seen.
    story.changes("b", "x");
    story.changes("a", "x");
    story.sees(driver(1).running(), 40);
    assert_eq!((story.state(), story.number()), (State::Running, 1));
}

#[test]
fn a_finished_application_runs_again_for_another_job_but_not_for_a_label() {
    for code in [0, 1] {
        let mut story = runs(never());
        story.sees(driver(1).exited(code), 20);
        let ended = story.state();
        assert!(ended.is_terminal());

        story.changes("a", "y");
        let quiet = story.sees(driver(1).exited(code), 30);
        assert_eq!((story.state(), quiet.actions), (ended, vec![]));
        assert_eq!(story.status.observed_generation, Some(2));

        story.changes("b", "y");
        let clears = story.sees(driver(1).exited(code), 40);
        assert_eq!(
            (story.state(), clears.basis),
            (State::PendingRerun, Basis::Live)
        );
        assert_eq!(clears.actions, [old_driver(1)]);
        assert_eq!(story.sees_nothing(41).actions, [Action::CreateDriver]);
    }
}

#[test]
fn a_change_that_cannot_be_submitted_leaves_what_runs_alone() {
    let mut story = runs(never());
    story.changes("b", "x");
    story.spec.fitness = Fitness::Unfit {
        problems: vec!["spec.image: is no image".into()],
    };
    let quiet = story.sees(driver(1).running(), 20);
    assert_eq!(
        (story.state(), quiet.actions),
        (State::Running, vec![Action::Expose(ui_service())])
    );
    let why = story.message_of(ConditionKind::Validated).unwrap();
    assert_eq!(
        why,
        "spec.image: is no image; the running attempt keeps the spec it was submitted with"
    );
    assert_eq!(
        story.events.last().unwrap(),
        "SparkApplicationSpecUpdateFailed"
    );

    story.changes("a", "x");
    story.spec.fitness = Fitness::Fit {
        not_applied: vec![],
        decided: vec![],
        exposed: vec![],
    };
    story.sees(driver(1).running(), 30);
    assert_eq!(
        story.message_of(ConditionKind::Validated).unwrap(),
        "the spec can be submitted"
    );
    assert_eq!((story.state(), story.number()), (State::Running, 1));
}

#[test]
fn a_broken_policy_holds_submissions_and_leaves_alone_what_runs() {
    let broken = || Fitness::Held {
        reason: crate::lifecycle::Reason::PolicyInvalid,
        problems: vec!["SparkPolicy etl/team: spec.allowedImages: allows nothing".into()],
    };
    let whole = || Fitness::Fit {
        not_applied: vec![],
        decided: vec!["spec.image is decided by SparkPolicy etl/team".into()],
        exposed: vec![],
    };
    let mut story = Story::of(on_failure(1));
    story.spec.fields = Some(fields("a", "x"));
    story.spec.fitness = broken();
    assert_eq!(story.sees_nothing(0).actions, vec![]);
    assert_eq!(story.state(), State::New);
    let why = "nothing is submitted before the policy is repaired: SparkPolicy etl/team: \
               spec.allowedImages: allows nothing";
    assert_eq!(story.message_of(ConditionKind::Running).unwrap(), why);
    assert_eq!(story.events.last().unwrap(), "SparkApplicationHeld");
    story.spec.fitness = whole();
    assert_eq!(story.sees_nothing(1).actions, [Action::CreateDriver]);
    assert_eq!(
        story.message_of(ConditionKind::PolicyApplied).unwrap(),
        "spec.image is decided by SparkPolicy etl/team"
    );
    story.sees(driver(1).running(), 5);

    // Another job is wanted, and nobody can tell whether it may be had.
    story.spec.fields = Some(fields("b", "x"));
    story.spec.generation += 1;
    story.spec.fitness = broken();
    story.sees(driver(1).running(), 20);
    assert_eq!((story.state(), story.number()), (State::Running, 1));
    story.spec.fitness = whole();
    story.sees(driver(1).running(), 30);
    assert_eq!(story.state(), State::Invalidating);
}

#[test]
fn a_driver_that_cannot_start_is_replaced_for_any_change_that_may_help() {
    let mut story = Story::of(never());
    story.spec.fields = Some(fields("a", "x"));
    story.sees_nothing(0);
    let stuck = || DriverPod {
        blocked: Some(Blocked {
            reason: "ImagePullBackOff".into(),
            message: None,
            image: None,
        }),
        ..driver(1).on_node()
    };
    story.sees(stuck(), 5);
    story.changes("a", "y");
    assert_eq!(story.sees(stuck(), 6).actions, [old_driver(1)]);
    assert_eq!(story.state(), State::Invalidating);
}

#[test]
fn a_repaired_spec_does_not_wait_for_the_pause_after_a_failure() {
    let mut story = runs(on_failure(1));
    story.fails(1, 1, 20);
    story.sees(driver(1).exited(1), 21);
    assert_eq!(story.state(), State::Failing);
    story.changes("b", "x");
    story.sees(driver(1).exited(1), 22);
    assert_eq!((story.state(), story.number()), (State::PendingRerun, 2));
    assert_eq!(story.status.attempt.as_ref().unwrap().charged_before(), 0);
}

#[test]
fn an_attempt_follows_the_spec_until_its_driver_exists() {
    let mut story = Story::of(never());
    story.spec.fields = Some(fields("a", "x"));
    story.sees_nothing(0);
    story.changes("b", "x");
    let creates = story.sees_nothing(1);
    assert_eq!(creates.actions, [Action::CreateDriver]);
    assert_eq!(story.status.attempt.as_ref().unwrap().generation, Some(2));
    story.sees(driver(1).running(), 2);
    assert_eq!(story.state(), State::Running, "what runs is what is wanted");
}

#[test]
fn what_another_operator_ran_counts_as_unchanged_until_it_changes() {
    for state in [State::Running, State::Completed] {
        let mut story = Story::of(never());
        story.status.submission_id = Some("theirs".into());
        story.status.execution_attempts = 1;
        story.status.application_state.state = state;
        story.status.termination_time = state.is_terminal().then(|| at(10).into());
        story.spec.generation = 7;
        story.spec.fields = Some(fields("a", "x"));
        let theirs = || {
            let mut pod = if state == State::Running {
                driver(1).running()
            } else {
                driver(1).exited(0)
            };
            pod.submission_id = Some("theirs".into());
            pod
        };
        story.sees(theirs(), 20);
        assert_eq!(story.state(), state);
        story.changes("b", "x");
        story.sees(theirs(), 30);
        assert_ne!(story.state(), state, "{state:?}");
    }
}

// Another run.

#[test]
fn a_rerun_is_granted_once_in_every_state() {
    for state in State::ALL {
        let mut story = Story::of(never());
        story.status = status_in(state);
        let before = story.status.attempt.as_ref().map_or(0, |it| it.number);
        story.spec.rerun = Some("2026-03-01T12:01:00Z".into());
        // Whatever is there goes; what goes, is gone.
        if !matches!(state, State::New | State::PendingRerun | State::Resuming) {
            story.sees(driver(1).running(), 50);
        }
        story.sees_nothing(51);
        story.sees_nothing(52);
        assert_eq!(
            story.status.rerun_requested_at, story.spec.rerun,
            "{state:?}"
        );
        let wanted = match state {
            // The first run, or the one that is due anyway.
            State::New | State::PendingRerun | State::Resuming => before.max(1),
            _ => before + 1,
        };
        assert_eq!(story.number(), wanted, "{state:?}");
        story.sees(driver(wanted).running(), 60);
        assert_eq!(
            (story.state(), story.number()),
            (State::Running, wanted),
            "{state:?}"
        );
    }
}

#[test]
fn an_application_that_is_created_with_a_request_runs_once() {
    let mut story = Story::of(never());
    story.spec.rerun = Some("from a backup".into());
    story.sees_nothing(0);
    story.sees(driver(1).running(), 1);
    story.sees(driver(1).exited(0), 20);
    assert_eq!((story.state(), story.number()), (State::Completed, 1));
    story.spec.rerun = None;
    story.sees(driver(1).exited(0), 21);
    story.spec.rerun = Some("from a backup".into());
    story.sees(driver(1).exited(0), 22);
    assert_eq!(
        story.state(),
        State::Completed,
        "the same request is no new one"
    );
}

#[test]
fn a_suspended_application_stays_suspended_when_another_run_is_requested() {
    let mut story = runs(never());
    story.spec.suspend = true;
    story.sees(driver(1).running(), 20);
    story.sees_nothing(21);
    story.spec.rerun = Some("now".into());
    story.sees_nothing(22);
    assert_eq!(story.state(), State::Suspended);
    story.spec.suspend = false;
    story.sees_nothing(23);
    story.sees(driver(2).running(), 24);
    assert_eq!((story.state(), story.number()), (State::Running, 2));
}

// Budgets and pauses.

#[test]
fn what_the_cluster_did_is_not_charged() {
    let drained = || DriverPod {
        disruption: Some(Disruption {
            reason: "EvictionByEvictionAPI".into(),
            message: None,
        }),
        ..driver(1).exited(143).terminating()
    };
    let mut story = runs(on_failure(0));
    story.sees(drained(), 20);
    assert_eq!(story.state(), State::Failing);
    story.sees_nothing(25);
    assert_eq!((story.state(), story.number()), (State::PendingRerun, 2));
    story.sees(driver(2).running(), 26);
    assert_eq!(story.status.execution_attempts, 2, "it did run twice");

    let mut story = runs(never());
    story.sees(drained(), 20);
    story.sees_nothing(25);
    assert_eq!(story.state(), State::Failed, "never means never");
}

#[test]
fn a_quota_is_waited_for_and_costs_no_try() {
    let refused = |seconds| Observed {
        refusal: Some(Refusal {
            at: at(seconds),
            ..refusal(403, "exceeded quota: small")
        }),
        ..Observed::nothing()
    };
    let mut story = Story::of(never());
    story.sees_nothing(0);
    for seconds in [1, 100, 200, 300] {
        story.look(&refused(seconds), seconds);
        assert_eq!(story.state(), State::SubmissionFailed);
        let again = story.look(&refused(seconds), seconds + 60);
        assert_eq!(again.actions, [Action::CreateDriver]);
    }
    story.sees(driver(1).running(), 400);
    assert_eq!(
        (story.state(), story.status.submission_attempts),
        (State::Running, 1)
    );
}

#[test]
fn pauses_grow_and_begin_anew_after_a_healthy_run() {
    let mut story = runs(always());
    let mut now = 5;
    let mut pauses = Vec::new();
    for attempt in 1..=5 {
        let healthy = attempt == 4;
        now += if healthy { 1000 } else { 10 };
        let mut ended = driver(attempt).exited(1);
        if let crate::lifecycle::observed::SparkContainer::Exited(exit) = &mut ended.spark {
            exit.finished_at = Some(at(now));
        }
        let waits = story.sees(ended, now);
        let due = waits.wake_at.unwrap();
        pauses.push((due - at(now)).get_seconds());
        now += 400;
        story.sees_nothing(now);
        let mut running = driver(attempt + 1).running();
        running.created = at(now);
        running.spark = crate::lifecycle::observed::SparkContainer::Running {
            since: Some(at(now)),
        };
        story.sees(running, now);
    }
    assert_eq!((pauses[0], pauses[3]), (5, 5), "{pauses:?}");
    assert!(
        pauses[1] >= 8 && pauses[2] >= 16 && pauses[4] >= 8,
        "{pauses:?}"
    );
}

// Nodes that do not answer.

#[test]
fn a_driver_on_a_silent_node_is_replaced_where_its_user_wants_that() {
    let mut story = runs(on_failure(0));
    story.spec.node_loss = NodeLoss::Replace;
    let silent = || driver(1).running().lost();
    let waits = story.sees(silent(), 20);
    assert_eq!(
        (story.state(), waits.wake_at),
        (State::Unknown, Some(at(320)))
    );
    let gives_up = story.sees(silent(), 320);
    assert_eq!(
        (story.state(), gives_up.basis),
        (State::Failing, Basis::Live)
    );
    let forced = Action::ForceDeletePod {
        name: "pi-driver".into(),
        uid: "driver-1".into(),
    };
    assert_eq!(gives_up.actions, [forced]);
    story.sees_nothing(326);
    assert_eq!(
        (story.state(), story.number()),
        (State::PendingRerun, 2),
        "and not charged"
    );
}

#[test]
fn a_suspension_says_which_node_it_waits_for() {
    let mut story = runs(never());
    story.spec.suspend = true;
    let dying = || driver(1).running().terminating();
    story.sees(driver(1).running(), 20);
    let waits = story.sees(dying(), 91);
    assert_eq!(waits.wake_at, Some(at(150)));
    story.sees(dying(), 150);
    assert_eq!(story.state(), State::Suspending);
    let message = story.message_of(ConditionKind::Running).unwrap();
    assert!(message.contains("node-1"), "{message}");
}

#[test]
fn a_name_that_does_not_get_free_is_given_up() {
    let mut story = Story::of(never());
    let leaving = || {
        seen(
            vec![driver(1).running().of("Job", "old", false).terminating()],
            vec![],
        )
    };
    story.look(&leaving(), 0);
    story.look(&leaving(), 599);
    assert_eq!(story.state(), State::New);
    story.look(&leaving(), 600);
    assert_eq!(story.state(), State::Failed);
}

// What stays.

#[test]
fn the_driver_pod_of_a_finished_application_goes_when_its_time_is_over() {
    let mut story = runs(never());
    story.limits.finished_driver = Some(Duration::from_mins(1));
    let waits = story.sees(driver(1).exited(0), 30);
    assert_eq!(
        (story.state(), waits.actions, waits.wake_at),
        (State::Completed, vec![], Some(at(80)))
    );
    assert_eq!(story.sees(driver(1).exited(0), 80).actions, [old_driver(1)]);
    let quiet = story.sees_nothing(90);
    assert_eq!((quiet.actions, quiet.wake_at), (vec![], None));
}

#[test]
fn a_time_to_live_counts_from_the_end_and_can_be_changed_afterwards() {
    let mut story = runs(never());
    story.sees(driver(1).exited(0), 30);
    assert_eq!(story.sees(driver(1).exited(0), 9000).actions, []);
    story.spec.time_to_live = Some(Duration::ZERO);
    assert_eq!(
        story.sees(driver(1).exited(0), 9001).actions,
        [Action::DeleteApplication]
    );
    // Another run first.
    story.changes("b", "x");
    story.sees(driver(1).exited(0), 9002);
    assert_eq!(story.state(), State::PendingRerun);
}
