//! What stands beside a driver while it runs: its PodDisruptionBudget, and the group its scheduler
//! knows it by.

use windlass_api::spark::application::ApplicationStateType as State;

use super::fixtures::*;
use super::stories::Story;
use crate::lifecycle::Action;
use crate::lifecycle::observed::{Beside, DriverPod, Observed, Subject};
use windlass_engine::plan::Basis;

fn ours(name: &str) -> Beside {
    Beside::Ours {
        name: name.to_owned(),
        uid: format!("uid of {name}"),
    }
}

/// A driver with the UI that it has anyway, and these beside it.
fn with(driver: DriverPod, budget: Beside, pod_group: Beside) -> Observed {
    Observed {
        exposure: exposed("ui"),
        budget,
        pod_group,
        ..seen(vec![driver], vec![])
    }
}

#[test]
fn the_budget_of_a_driver_lives_as_long_as_it_runs() {
    let mut story = Story::of(never());
    story.spec.protected = true;
    story.sees_nothing(0);
    let waiting = with(driver(1), Beside::Absent, Beside::Absent);
    assert_eq!(story.look(&waiting, 1).actions, [], "nothing to lose yet");
    let running = |budget| with(driver(1).running(), budget, Beside::Absent);
    let decision = story.look(&running(Beside::Absent), 5);
    assert_eq!(decision.actions, [Action::EnsureBudget]);
    for budget in [ours("pi-driver"), Beside::Foreign] {
        assert_eq!(story.look(&running(budget), 6).actions, []);
    }

    let ended = Observed {
        budget: ours("pi-driver"),
        ..seen(vec![driver(1).exited(0)], vec![])
    };
    let decision = story.look(&ended, 20);
    assert_eq!(story.state(), State::Completed);
    assert_eq!(decision.basis, Basis::Live);
    assert_eq!(
        decision.actions,
        [Action::DeleteBudget {
            name: "pi-driver".to_owned(),
            uid: "uid of pi-driver".to_owned(),
        }]
    );
    assert_eq!(story.sees(driver(1).exited(0), 21).actions, []);
}

#[test]
fn a_driver_that_may_be_evicted_has_no_budget() {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    let running = with(driver(1).running(), Beside::Absent, Beside::Absent);
    assert_eq!(story.look(&running, 5).actions, []);
}

#[test]
fn the_group_goes_when_the_attempt_has_ended() {
    let mut story = Story::of(on_failure(1));
    story.sees_nothing(0);
    let running = with(driver(1).running(), Beside::Absent, ours("spark-pi-pg"));
    assert_eq!(story.look(&running, 5).actions, []);
    let failed = Observed {
        pod_group: ours("spark-pi-pg"),
        ..seen(vec![driver(1).exited(1)], vec![])
    };
    let decision = story.look(&failed, 20);
    assert_eq!(story.state(), State::Failing);
    assert_eq!(
        decision.actions,
        [Action::DeletePodGroup {
            uid: "uid of spark-pi-pg".to_owned(),
        }]
    );
}

/// What an application says of a refusal.
fn said(subject: Subject, code: u16, message: &str) -> String {
    let mut story = Story::of(never());
    story.sees_nothing(0);
    let mut refused = refusal(code, message);
    refused.subject = subject;
    let refused = Observed {
        refusal: Some(refused),
        ..Observed::nothing()
    };
    story.look(&refused, 10);
    story.status.application_state.error_message.unwrap()
}

#[test]
fn a_group_that_is_refused_says_what_to_do() {
    let said = |code, message| said(Subject::PodGroup, code, message);
    assert_eq!(
        said(404, "the server could not find the requested resource"),
        "the cluster knows no PodGroups of spec.batchScheduler: install that scheduler, or name \
         another one"
    );
    assert_eq!(
        said(403, "podgroups is forbidden"),
        "the API server refused the PodGroup: podgroups is forbidden"
    );
}

#[test]
fn a_claim_for_checkpoints_that_is_refused_is_named() {
    let said = |code, message| said(Subject::CheckpointClaim, code, message);
    assert_eq!(
        said(
            422,
            "spec.resources.requests.storage: Forbidden: field can not be less"
        ),
        "the API server refused the claim of spark.kubernetes.checkpointdir: \
         spec.resources.requests.storage: Forbidden: field can not be less"
    );
    assert_eq!(
        said(403, "exceeded quota: storage"),
        "a ResourceQuota has no room for the claim of checkpointdir: exceeded quota: storage"
    );
}
