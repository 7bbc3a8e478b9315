//! Lives of applications, told step by step.

use windlass_api::spark::application::{
    ApplicationStateType as State, ExecutorState, SparkApplicationStatus as Status,
};

use super::fixtures::*;
use crate::lifecycle::executors::{Book, Outlook, keep};
use crate::lifecycle::observed::{Blocked, Companions, DriverPod, ExecutorPod, Observed};
use crate::lifecycle::spec::{Limits, RestartPolicy, Spec};
use crate::lifecycle::{Action, Decision, plan};
use windlass_engine::plan::Basis;

/// An application whose story is told.
pub(super) struct Story {
    pub(super) spec: Spec,
    pub(super) status: Status,
    pub(super) states: Vec<State>,
    pub(super) events: Vec<String>,
    pub(super) limits: Limits,
}

impl Story {
    pub(super) fn of(restart: RestartPolicy) -> Self {
        Self {
            spec: pi(restart),
            status: Status::default(),
            states: Vec::new(),
            events: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Lets the engine look until the status stays; says what it would do then.
    pub(super) fn look(&mut self, seen: &Observed, seconds: i64) -> Decision {
        for _ in 0..10 {
            let decision = plan(&self.spec, &self.limits, &self.status, seen, at(seconds));
            if decision.status == self.status {
                return decision;
            }
            self.events
                .extend(decision.notes.iter().map(|note| note.reason.clone()));
            self.status = decision.status;
            if self.states.last() != Some(&self.state()) {
                self.states.push(self.state());
            }
        }
        panic!("the status never settles");
    }

    pub(super) fn state(&self) -> State {
        self.status.application_state.state
    }

    pub(super) fn sees(&mut self, driver: DriverPod, seconds: i64) -> Decision {
        self.look(&seen(vec![driver], vec![]), seconds)
    }

    pub(super) fn sees_nothing(&mut self, seconds: i64) -> Decision {
        self.look(&seen(vec![], vec![]), seconds)
    }

    pub(super) fn fails(&mut self, attempt: u32, code: i32, seconds: i64) {
        let mut ended = driver(attempt).exited(code);
        if let crate::lifecycle::observed::SparkContainer::Exited(exit) = &mut ended.spark {
            exit.finished_at = Some(at(seconds));
        }
        self.sees(driver(attempt).running(), seconds);
        self.sees(ended, seconds);
    }
}

#[test]
fn the_intent_is_written_before_the_driver_is_created() {
    let spec = pi(never());
    let first = plan(
        &spec,
        &Limits::default(),
        &Status::default(),
        &Observed::nothing(),
        at(0),
    );
    assert!(first.actions.is_empty());
    let attempt = first.status.attempt.as_ref().unwrap();
    assert_eq!(
        first.status.submission_id.as_ref(),
        Some(&attempt.submission_id)
    );
    assert_eq!(
        first.status.driver_info.pod_name.as_deref(),
        Some("pi-driver")
    );
    assert_eq!(first.status.execution_attempts, 0);

    let second = plan(
        &spec,
        &Limits::default(),
        &first.status,
        &Observed::nothing(),
        at(0),
    );
    assert_eq!(second.status, first.status);
    assert_eq!(second.actions, [Action::CreateDriver]);
}

#[test]
fn a_job_that_succeeds_is_told_in_kubeflows_words() {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    story.sees(driver(1), 1);
    story.sees(driver(1).on_node(), 2);
    let executors = vec![executor(1, 1), executor(1, 2)];
    story.look(&seen(vec![driver(1).running()], executors), 5);
    story.look(
        &seen(
            vec![driver(1).exited(0)],
            vec![executor(1, 1).terminating()],
        ),
        20,
    );
    let end = story.sees(driver(1).exited(0), 25);

    assert_eq!(
        story.states,
        [
            State::New,
            State::Submitted,
            State::Running,
            State::Succeeding,
            State::Completed
        ]
    );
    assert_eq!((end.actions, end.wake_at), (vec![], None));
    insta::assert_yaml_snapshot!((story.events, story.status));
}

#[test]
fn a_job_that_throws_fails_with_its_exit_code() {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    story.fails(1, 7, 20);
    assert_eq!(story.state(), State::Failed);
    let outcome = story.status.attempt.unwrap().outcome.unwrap();
    assert_eq!(outcome.exit_code, Some(7));
    assert_eq!(
        story.status.application_state.error_message.as_deref(),
        Some("the driver exited with code 7")
    );
}

#[test]
fn two_retries_mean_three_runs_each_after_its_pause() {
    let mut story = Story::of(on_failure(2));
    story.sees_nothing(0);
    for (attempt, ended, pause) in [(1, 20, 5), (2, 40, 10), (3, 60, 0)] {
        story.fails(attempt, 1, ended);
        assert_eq!(
            story.status.execution_attempts,
            i32::try_from(attempt).unwrap()
        );
        if attempt == 3 {
            break;
        }
        assert_eq!(story.state(), State::Failing);
        let waits = story.sees(driver(attempt).exited(1), ended + 4);
        let due = waits.wake_at.unwrap();
        assert!(due <= at(ended + pause) && due > at(ended + pause * 3 / 4));
        assert_eq!(story.state(), State::Failing);

        let clears = story.sees(driver(attempt).exited(1), ended + pause);
        assert_eq!(story.state(), State::PendingRerun);
        let old = Action::DeletePod {
            name: "pi-driver".into(),
            uid: format!("driver-{attempt}"),
        };
        assert_eq!(clears.actions, [old], "the old driver goes first");
        assert_eq!(
            story.sees_nothing(ended + pause + 1).actions,
            [Action::CreateDriver]
        );
    }
    assert_eq!(story.state(), State::Failed);
    assert_eq!(story.status.attempt_history.len(), 2);
}

#[test]
fn a_refused_submission_has_a_budget_of_its_own() {
    let mut story = Story::of(on_failure(1));
    story.sees_nothing(0);
    let refused = |seconds| Observed {
        refusal: Some(crate::lifecycle::observed::Refusal {
            at: at(seconds),
            ..refusal(403, "pods is forbidden")
        }),
        ..Observed::nothing()
    };
    story.look(&refused(1), 1);
    assert_eq!(story.state(), State::SubmissionFailed);
    let again = story.look(&refused(1), 6);
    assert_eq!(story.state(), State::PendingRerun);
    assert_eq!(
        again.actions,
        [Action::CreateDriver],
        "an old refusal does not count twice"
    );
    story.look(&refused(7), 7);
    assert_eq!(story.state(), State::Failed);
    assert_eq!(
        (
            story.status.submission_attempts,
            story.status.execution_attempts
        ),
        (2, 0)
    );
}

#[test]
fn a_driver_that_was_created_after_all_is_adopted() {
    let mut story = Story::of(never());
    story.status = status_in(State::SubmissionFailed);
    story.sees(driver(1).running(), 11);
    assert_eq!(story.state(), State::Running);
    assert_eq!(story.status.application_state.error_message, None);
}

#[test]
fn a_driver_that_does_not_start_in_time_is_given_up_and_removed() {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    let waits = story.sees(driver(1), 599);
    assert_eq!(
        (story.state(), waits.wake_at),
        (State::Submitted, Some(at(600)))
    );

    let removes = story.sees(driver(1), 600);
    assert_eq!(story.state(), State::Failing);
    assert!(matches!(&removes.actions[..], [Action::DeletePod { .. }]));
    let waits = story.sees(driver(1).terminating(), 601);
    assert_eq!((story.state(), waits.actions), (State::Failing, vec![]));
    story.sees_nothing(602);
    assert_eq!(story.state(), State::Failed);
    insta::assert_snapshot!(story.status.application_state.error_message.unwrap());
}

#[test]
fn an_image_that_cannot_be_had_is_given_up_sooner_counted_from_when_it_was_missed() {
    let blocked = |reason: &str| DriverPod {
        blocked: Some(Blocked {
            reason: reason.into(),
            message: Some("manifest unknown".into()),
            image: Some("spark:9".into()),
        }),
        ..driver(1).on_node()
    };
    let mut story = Story::of(never());
    story.sees_nothing(0);
    // A slow start is not the image's fault.
    story.sees(driver(1).on_node(), 200);
    let waits = story.sees(blocked("ErrImagePull"), 300);
    assert_eq!(waits.wake_at, Some(at(420)));
    story.sees(blocked("ImagePullBackOff"), 419);
    assert_eq!(story.state(), State::Submitted);
    story.sees(blocked("ImagePullBackOff"), 420);
    assert_eq!(story.state(), State::Failing);
    let outcome = story.status.attempt.unwrap().outcome.unwrap();
    assert_eq!(outcome.reason, "ImagePullBackOff");
    insta::assert_snapshot!(outcome.message.unwrap());
}

#[test]
fn a_driver_that_fits_no_node_has_the_deadline_of_this_cluster() {
    let limits = Limits {
        misfit: std::time::Duration::from_secs(15),
        ..Limits::default()
    };
    let refused = |preemption: &str| DriverPod {
        unschedulable: Some(format!(
            "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: \
             1 {preemption}."
        )),
        ..driver(1)
    };
    let state_after = |preemption: &str, seconds: i64| {
        let before = status_in(State::Submitted);
        let seen = seen(vec![refused(preemption)], vec![]);
        let noticed = plan(&pi(never()), &limits, &before, &seen, at(1)).status;
        let later = plan(&pi(never()), &limits, &noticed, &seen, at(seconds)).status;
        later.application_state.state
    };
    let never_fits = "Preemption is not helpful for scheduling";
    let is_full = "No preemption victims found for incoming pod";
    assert_eq!(state_after(never_fits, 15), State::Submitted);
    assert_eq!(state_after(never_fits, 16), State::Failing);
    assert_eq!(state_after(is_full, 16), State::Submitted);
}

#[test]
fn a_terminating_driver_is_waited_for() {
    let mut story = Story::of(on_failure(1));
    story.status = status_in(State::PendingRerun);
    let old = DriverPod {
        submission_id: Some("old".into()),
        ..driver(1).running().terminating()
    };
    assert!(story.sees(old, 30).actions.is_empty());
    assert_eq!(story.sees_nothing(31).actions, [Action::CreateDriver]);
}

#[test]
fn a_driver_that_outlives_its_deletion_is_told_as_soon_as_that_is_overdue() {
    let mut story = Story::of(on_failure(1));
    story.status = status_in(State::Running);
    let dying = || driver(1).running().terminating();
    let waits = story.sees(dying(), 91);
    assert_eq!(
        (story.state(), waits.wake_at),
        (State::Running, Some(at(150)))
    );
    story.sees(dying(), 150);
    assert_eq!(story.state(), State::Unknown);
}

#[test]
fn a_missing_driver_gets_a_moment_to_come_back() {
    let mut story = Story::of(never());
    story.status = status_in(State::Running);
    let waits = story.sees_nothing(30);
    assert_eq!(
        (story.state(), waits.wake_at),
        (State::Running, Some(at(40)))
    );
    assert_eq!(waits.basis, Basis::Live);
    story.sees(driver(1).running(), 31);
    assert_eq!(story.state(), State::Running);

    story.sees_nothing(50);
    story.sees_nothing(60);
    assert_eq!(story.state(), State::Failed);
    assert_eq!(
        story.events.last().map(String::as_str),
        Some("SparkApplicationFailed")
    );
}

#[test]
fn a_driver_on_a_silent_node_is_not_replaced() {
    let mut story = Story::of(on_failure(3));
    story.status = status_in(State::Running);
    for seconds in [30, 3600, 86_400] {
        let waits = story.sees(driver(1).running().lost().terminating(), seconds);
        assert_eq!((story.state(), waits.actions), (State::Unknown, vec![]));
    }
    story.sees(driver(1).exited(0), 90_000);
    assert_eq!(story.state(), State::Completed);
}

#[test]
fn executors_are_gone_before_an_attempt_counts_as_ended() {
    let mut story = Story::of(on_failure(1));
    story.status = status_in(State::Running);
    let ended = |executors| seen(vec![driver(1).exited(1)], executors);
    let removes = story.look(&ended(vec![executor(1, 1)]), 30);
    let gone = Action::DeletePod {
        name: "pi-1-exec-1".into(),
        uid: "executor-1-1".into(),
    };
    assert_eq!(
        (story.state(), removes.actions),
        (State::Failing, vec![gone])
    );
    let waits = story.look(&ended(vec![executor(1, 1).terminating()]), 31);
    assert_eq!((story.state(), waits.actions), (State::Failing, vec![]));
    story.look(&ended(vec![]), 32);
    assert_eq!(story.state(), State::PendingRerun);
}

#[test]
fn an_executor_on_a_dead_node_is_named_while_the_end_waits_for_it() {
    let mut story = Story::of(never());
    story.status = status_in(State::Running);
    let left = seen(
        vec![driver(1).exited(0)],
        vec![executor(1, 7).terminating()],
    );
    let soon = story.look(&left, 30);
    assert_eq!(
        (story.state(), soon.wake_at),
        (State::Succeeding, Some(at(80)))
    );
    story.look(&left, 80);
    assert_eq!(story.state(), State::Succeeding);
    let running = story
        .status
        .conditions
        .iter()
        .find(|it| it.type_ == "Running")
        .unwrap();
    insta::assert_snapshot!(running.message);
}

#[test]
fn what_a_node_first_said_of_an_image_stays() {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    let blocked = |reason: &str, message: &str| DriverPod {
        blocked: Some(Blocked {
            reason: reason.into(),
            message: Some(message.into()),
            image: Some("spark:9".into()),
        }),
        ..driver(1).on_node()
    };
    story.sees(blocked("ErrImagePull", "manifest unknown"), 1);
    let first = story.status.clone();
    assert_eq!(
        first.driver_info.pod_reason.as_deref(),
        Some("ImagePullBackOff")
    );
    story.sees(blocked("ImagePullBackOff", "Back-off pulling image"), 2);
    assert_eq!(story.status, first);
    let message = story.status.application_state.error_message.unwrap();
    assert_eq!(
        message,
        "image spark:9 (spec.image or spec.driver.image) cannot be pulled (ErrImagePull): manifest unknown"
    );
}

#[test]
fn finished_executors_may_stay_for_their_logs() {
    let mut story = Story::of(never());
    story.status = status_in(State::Running);
    story.look(
        &seen(vec![driver(1).exited(0)], vec![executor(1, 1).ended(0)]),
        30,
    );
    assert_eq!(story.state(), State::Completed);
}

#[test]
fn the_ui_service_lives_as_long_as_the_attempt() {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    assert_eq!(
        story.sees(driver(1), 1).actions,
        [Action::Expose(ui_service())]
    );

    let with_ui = |driver: DriverPod| Observed {
        exposure: exposed("ui"),
        ..seen(vec![driver], vec![])
    };
    story.look(&with_ui(driver(1).running()), 5);
    assert_eq!(
        story.status.driver_info.web_ui_address.as_deref(),
        Some("10.0.0.7:4040")
    );

    let end = story.look(&with_ui(driver(1).exited(0)), 20);
    let removed = Action::Withdraw {
        exposer: ui_service(),
        uid: "ui".into(),
    };
    assert_eq!(end.actions, [removed]);
    assert_eq!(story.status.driver_info.web_ui_address, None);
}

#[test]
fn a_driver_gets_its_objects_once_its_uid_is_known() {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    let missing = Observed {
        companions: Companions::Missing,
        ..seen(vec![driver(1)], vec![])
    };
    let decision = story.look(&missing, 1);
    let wanted = Action::EnsureCompanions {
        driver_uid: "driver-1".into(),
    };
    assert_eq!(decision.actions, [wanted, Action::Expose(ui_service())]);
}

#[test]
fn an_application_of_another_operator_is_adopted_by_its_submission_id() {
    let mut story = Story::of(on_failure(1));
    story.status.submission_id = Some("5d5ae9a5-theirs".into());
    story.status.execution_attempts = 1;
    story.status.submission_attempts = 1;
    story.status.driver_info.pod_name = Some("pi-driver".into());
    story.status.application_state.state = State::Running;
    let theirs = |pod: DriverPod| DriverPod {
        submission_id: Some("5d5ae9a5-theirs".into()),
        application_id: Some("spark-theirs".into()),
        ..pod
    };
    let missing = Observed {
        companions: Companions::Missing,
        ..seen(vec![theirs(driver(1).running())], vec![])
    };
    let follows = story.look(&missing, 10);
    assert_eq!(
        (story.state(), follows.actions),
        (State::Running, vec![Action::Expose(ui_service())])
    );

    story.sees(theirs(driver(1).exited(1)), 30);
    assert_eq!(story.state(), State::PendingRerun);
    assert_eq!(story.status.attempt.as_ref().unwrap().number, 2);
}

#[test]
fn a_driver_that_another_operator_started_without_writing_so_is_adopted() {
    for state in [State::New, State::SubmissionFailed] {
        let mut story = Story::of(never());
        story.status.application_state.state = state;
        story.status.submission_id =
            (state == State::SubmissionFailed).then(|| "5d5ae9a5-second".into());
        let theirs = DriverPod {
            submission_id: Some("5d5ae9a5-first".into()),
            application_id: Some("spark-theirs".into()),
            ..driver(1).running()
        };
        let adopts = story.sees(theirs.clone(), 1);
        assert_eq!(adopts.actions, [Action::Expose(ui_service())], "{state:?}");
        story.sees(theirs, 2);
        assert_eq!(story.state(), State::Running, "{state:?}");
        assert_eq!(
            story.status.submission_id.as_deref(),
            Some("5d5ae9a5-first")
        );
        assert_eq!(story.status.execution_attempts, 1);
    }
}

#[test]
fn a_driver_that_another_operator_was_about_to_replace_is_not_the_next_one() {
    for state in [State::PendingRerun, State::Resuming] {
        let mut story = Story::of(never());
        story.status.application_state.state = state;
        story.status.submission_id = Some("5d5ae9a5-theirs".into());
        story.status.execution_attempts = 1;
        let theirs = DriverPod {
            submission_id: Some("5d5ae9a5-theirs".into()),
            ..driver(1).exited(1)
        };
        let clears = story.sees(theirs, 1);
        let deletes = matches!(&clears.actions[..], [Action::DeletePod { .. }]);
        assert!(deletes, "{state:?}: {:?}", clears.actions);
        assert_eq!(story.sees_nothing(2).actions, [Action::CreateDriver]);
        assert_eq!(story.state(), state);
    }
}

#[test]
fn suspending_removes_the_driver_and_resuming_starts_a_new_round() {
    let mut story = Story::of(on_failure(1));
    story.status = status_in(State::Running);
    story.spec.suspend = true;
    let removes = story.sees(driver(1).running(), 30);
    assert_eq!(story.state(), State::Suspending);
    assert!(matches!(&removes.actions[..], [Action::DeletePod { .. }]));
    story.sees_nothing(31);
    assert_eq!(story.state(), State::Suspended);

    story.spec.suspend = false;
    let resumes = story.sees_nothing(60);
    assert_eq!(
        (story.state(), resumes.actions),
        (State::Resuming, vec![Action::CreateDriver])
    );
    story.sees(driver(2).running(), 61);
    assert_eq!(story.status.execution_attempts, 1);
    assert_eq!(story.status.attempt.as_ref().unwrap().number, 2);
}

#[test]
fn an_application_that_runs_always_runs_again_after_a_success() {
    let mut story = Story::of(always());
    story.status = status_in(State::Running);
    let clears = story.sees(driver(1).exited(0), 30);
    assert_eq!(story.state(), State::PendingRerun);
    assert!(matches!(&clears.actions[..], [Action::DeletePod { .. }]));
}

#[test]
fn a_finished_application_is_removed_when_its_time_is_over() {
    let mut story = Story::of(never());
    story.status = status_in(State::Completed);
    story.spec.time_to_live = Some(std::time::Duration::from_mins(1));
    let waits = story.sees(driver(1).exited(0), 30);
    assert_eq!((waits.actions, waits.wake_at), (vec![], Some(at(80))));
    let removes = story.sees(driver(1).exited(0), 80);
    assert_eq!(removes.actions, [Action::DeleteApplication]);
}

#[test]
fn a_renamed_driver_never_runs_beside_the_old_one() {
    let mut story = Story::of(on_failure(1));
    story.sees_nothing(0);
    story.fails(1, 1, 20);
    story.spec.driver_pod = "renamed".into();
    let clears = story.sees(driver(1).exited(1), 40);
    assert!(matches!(&clears.actions[..], [Action::DeletePod { .. }]));
    assert_eq!(story.sees_nothing(41).actions, [Action::CreateDriver]);
    assert_eq!(
        story.status.driver_info.pod_name.as_deref(),
        Some("renamed")
    );
}

fn kept(book: &Book, pods: &[ExecutorPod], outlook: Outlook) -> Book {
    let limits = Limits {
        live_executors: 3,
        finished_executors: 2,
        ..Limits::default()
    };
    keep(book, &pods.iter().collect::<Vec<_>>(), outlook, &limits)
}

fn states(book: &Book) -> Vec<(&str, ExecutorState)> {
    book.listed
        .iter()
        .map(|(name, state)| (name.as_str(), *state))
        .collect()
}

#[test]
fn executors_that_vanish_from_a_completed_application_completed() {
    let book = kept(
        &Book::default(),
        &[executor(1, 1), executor(1, 2)],
        Outlook::Working,
    );
    let book = kept(&book, &[executor(1, 2)], Outlook::Working);
    assert_eq!(states(&book)[0].1, ExecutorState::Unknown);
    let well = kept(&book, &[], Outlook::EndedWell);
    assert!(
        states(&well)
            .iter()
            .all(|(_, state)| *state == ExecutorState::Completed)
    );
    let badly = kept(&book, &[], Outlook::EndedBadly);
    assert_eq!(states(&badly)[1].1, ExecutorState::Failed);
}

#[test]
fn an_executor_that_was_told_to_stop_did_not_fail() {
    for (code, outlook, state) in [
        (143, Outlook::EndedWell, ExecutorState::Completed),
        // It was still starting, and found its driver gone.
        (1, Outlook::EndedWell, ExecutorState::Completed),
        (137, Outlook::EndedWell, ExecutorState::Failed),
        (143, Outlook::Working, ExecutorState::Failed),
        (1, Outlook::Working, ExecutorState::Failed),
        (1, Outlook::EndedBadly, ExecutorState::Failed),
    ] {
        let book = kept(&Book::default(), &[executor(1, 1).ended(code)], outlook);
        assert_eq!(states(&book)[0].1, state, "{code} {outlook:?}");
    }
}

#[test]
fn the_book_stays_small_and_counts_each_executor_once() {
    let mut book = Book::default();
    for id in 1..=100 {
        book = kept(&book, &[executor(1, id)], Outlook::Working);
        // Its pod stays for its logs, and is seen again and again.
        let pods: Vec<_> = (1..=id).map(|id| executor(1, id).ended(id % 2)).collect();
        book = kept(&book, &pods, Outlook::Working);
        book = kept(&book, &pods, Outlook::Working);
        assert!(book.listed.len() <= 5);
    }
    let listed = i32::try_from(book.listed.len()).unwrap();
    assert_eq!(book.folded.completed + book.folded.failed + listed, 100);
    assert_eq!(book.folded.completed, book.folded.failed);
}

#[test]
fn live_executors_are_listed_up_to_a_cap() {
    let pods: Vec<_> = (1..=10).map(|id| executor(1, id)).collect();
    let book = kept(&Book::default(), &pods, Outlook::Working);
    assert_eq!(states(&book).len(), 3);
}
