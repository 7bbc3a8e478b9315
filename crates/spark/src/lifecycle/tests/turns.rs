//! Applications that wait for their turn.

use serde_json::json;
use windlass_api::spark::application::ApplicationStateType as State;
use windlass_engine::Object;
use windlass_engine::plan::Basis;

use super::fixtures::*;
use super::stories::Story;
use crate::lifecycle::Action;
use crate::lifecycle::conditions::{self, ConditionKind};
use crate::lifecycle::observed::Observed;
use crate::lifecycle::spec::RestartPolicy;
use crate::queue::{Policy, Share, Standing, Usage};
use crate::resources::Amounts;

/// A story in a namespace with limits.
fn queued(restart: RestartPolicy) -> Story {
    let mut story = Story::of(restart);
    story.spec.least = Some(amounts("3", "4Gi"));
    story
}

fn amounts(cpu: &str, memory: &str) -> Amounts {
    [("cpu", cpu), ("memory", memory)]
        .map(|(name, amount)| (name.to_owned(), amount.to_owned()))
        .into_iter()
        .collect()
}

fn usage(applications: u64) -> Usage {
    Usage {
        applications,
        share: Share {
            milli_cpu: 3000 * applications,
            memory: 0,
        },
    }
}

/// Two may run, with nine cores together.
fn among(held: u64, ahead: u64) -> Observed {
    let quota = Object::new(json!({
        "metadata": {"name": "spark"},
        "spec": {"hard": {"windlass.dev/running": "2", "windlass.dev/cpu": "9"}},
    }));
    Observed {
        standing: Some(Standing {
            policy: Policy::of(&[quota], &Policy::default()),
            held: usage(held),
            claimed_before: Usage::default(),
            claimed_behind: Usage::default(),
            ahead: usage(ahead),
        }),
        ..Observed::nothing()
    }
}

fn admitted(story: &Story) -> (String, String) {
    let found = conditions::find(&story.status.conditions, ConditionKind::Admitted);
    found.map_or_else(Default::default, |it| {
        (format!("{}={}", it.status, it.reason), it.message.clone())
    })
}

fn holds_place(story: &Story) -> Option<bool> {
    let admission = story.status.admission.as_ref()?;
    Some(admission.admitted_time.is_some())
}

#[test]
fn an_application_waits_until_it_is_its_turn_and_says_where_it_stands_and_why() {
    let mut story = queued(never());
    let decision = story.look(&among(2, 3), 0);
    assert_eq!(decision.actions, []);
    assert_eq!(decision.basis, Basis::Cached, "waiting costs no reads");
    assert!(decision.wake_at.is_some());
    assert_eq!(story.state(), State::New);
    let (condition, message) = admitted(&story);
    assert_eq!(condition, "False=Queued");
    assert_eq!(
        message,
        "position 4 in the queue of namespace jobs: windlass.dev/running of ResourceQuota spark \
         is 2"
    );
    let admission = story.status.admission.clone().unwrap();
    assert_eq!((&*admission.cpu, &*admission.memory), ("3", "4Gi"));

    story.look(&among(1, 1), 5);
    assert_eq!(
        admitted(&story).1,
        "position 2 in the queue of namespace jobs: those before it go first"
    );
    let decision = story.look(&among(1, 0), 10);
    assert_eq!(decision.actions, [Action::CreateDriver]);
    assert_eq!(decision.basis, Basis::Live);
    assert_eq!(admitted(&story).0, "True=Admitted");
    assert_eq!(
        story.events,
        ["SparkApplicationQueued", "SparkApplicationAdmitted"]
    );
}

#[test]
fn the_place_is_written_before_the_driver_is_created() {
    let mut story = queued(never());
    story.look(&among(2, 0), 0);
    let seen = among(0, 0);
    let limits = story.limits;
    let decision = crate::lifecycle::plan(&story.spec, &limits, &story.status, &seen, at(9));
    assert_eq!(decision.actions, []);
    let admission = decision.status.admission.unwrap();
    assert!(admission.admitted_time.is_some());
}

#[test]
fn of_two_that_were_let_in_at_once_one_steps_back() {
    let mut story = queued(never());
    story.look(&among(1, 0), 0);
    assert_eq!(holds_place(&story), Some(true));
    let decision = story.look(&among(2, 0), 1);
    assert_eq!(decision.actions, []);
    assert_eq!(holds_place(&story), Some(false));
    assert_eq!(admitted(&story).0, "False=Queued");
}

#[test]
fn the_first_of_those_let_in_at_once_waits_for_the_others_to_step_back() {
    let mut story = queued(never());
    story.look(&among(0, 0), 0);
    let mut crowd = among(0, 0);
    if let Some(standing) = &mut crowd.standing {
        standing.claimed_behind = usage(2);
    }
    let decision = story.look(&crowd, 1);
    assert_eq!(decision.actions, []);
    assert_eq!(holds_place(&story), Some(true));
    assert_eq!(decision.wake_at, Some(at(2)));
    let decision = story.look(&among(1, 0), 2);
    assert_eq!(decision.actions, [Action::CreateDriver]);
}

#[test]
fn what_would_not_fit_alone_is_told_what_to_do() {
    let mut story = queued(never());
    story.spec.least = Some(amounts("10", "4Gi"));
    story.look(&among(0, 0), 0);
    assert_eq!(
        admitted(&story),
        (
            "False=ExceedsQueue".to_owned(),
            "the driver and the fewest executors it can do with request cpu 10 and memory 4Gi, \
             and windlass.dev/cpu of ResourceQuota spark is 9: ask for less, or raise the limit"
                .to_owned()
        )
    );
    story.spec.least = Some(amounts("9", "4Gi"));
    let decision = story.look(&among(0, 0), 1);
    assert_eq!(decision.actions, [Action::CreateDriver]);
}

#[test]
fn the_place_is_kept_for_a_retry_and_left_at_the_end() {
    let mut story = queued(on_failure(1));
    story.look(&among(0, 0), 0);
    story.fails(1, 1, 10);
    assert_eq!(holds_place(&story), Some(true), "{:?}", story.state());
    // The pause is over; others have come, but the place is its own.
    let decision = story.look(&among(1, 5), 30);
    assert_eq!(story.state(), State::PendingRerun);
    assert_eq!(decision.actions, [Action::CreateDriver]);
    story.sees(driver(2).exited(0), 40);
    assert_eq!(story.state(), State::Completed);
    assert_eq!(holds_place(&story), None);
    assert_eq!(admitted(&story), Default::default());
}

#[test]
fn who_is_suspended_or_refused_goes_to_the_end_of_what_waits_before_it() {
    let mut story = queued(on_failure(3));
    story.look(&among(0, 0), 0);
    let refused = Observed {
        refusal: Some(refusal(403, "exceeded quota: small")),
        ..among(0, 0)
    };
    story.look(&refused, 10);
    assert_eq!(story.state(), State::SubmissionFailed);
    assert_eq!(holds_place(&story), None, "nothing of it runs");
    story.look(&among(2, 0), 60);
    assert_eq!(holds_place(&story), Some(false));

    story.spec.suspend = true;
    story.look(&among(0, 0), 70);
    assert_eq!(story.state(), State::Suspended);
    assert_eq!(holds_place(&story), None);
    story.spec.suspend = false;
    story.look(&among(2, 0), 80);
    assert_eq!(story.state(), State::Resuming);
    assert_eq!(holds_place(&story), Some(false));
}

#[test]
fn another_job_under_the_same_name_waits_anew() {
    let mut story = queued(never());
    story.look(&among(0, 0), 0);
    story.sees(driver(1).running(), 5);
    assert_eq!(holds_place(&story), Some(true));
    story.spec.rerun = Some("now".to_owned());
    story.sees(driver(1).running(), 6);
    assert_eq!(story.state(), State::Invalidating);
    story.look(&among(2, 0), 9);
    assert_eq!(story.state(), State::PendingRerun);
    assert_eq!(holds_place(&story), Some(false));
}

#[test]
fn when_the_limits_go_everybody_goes() {
    let mut story = queued(never());
    story.look(&among(2, 7), 0);
    let decision = story.look(&Observed::nothing(), 5);
    assert_eq!(decision.actions, [Action::CreateDriver]);
    assert_eq!(holds_place(&story), None);
}

#[test]
fn a_driver_that_is_there_takes_its_place() {
    let mut story = queued(never());
    story.look(&among(2, 0), 0);
    let seen = Observed {
        drivers: vec![driver(1)],
        ..among(2, 0)
    };
    story.look(&seen, 5);
    assert_eq!(story.state(), State::Submitted);
    assert_eq!(holds_place(&story), Some(true));
}

#[test]
fn what_is_asked_for_is_what_the_spec_says_when_it_is_its_turn() {
    let mut story = queued(never());
    story.look(&among(2, 0), 0);
    story.spec.least = Some(amounts("1", "1Gi"));
    story.look(&among(2, 0), 1);
    assert_eq!(story.status.admission.as_ref().unwrap().cpu, "1");
    story.look(&among(0, 0), 2);
    story.spec.least = Some(amounts("2", "1Gi"));
    let decision = story.look(&among(0, 0), 3);
    assert_eq!(story.status.admission.as_ref().unwrap().cpu, "2");
    assert_eq!(decision.actions, [Action::CreateDriver]);
}
