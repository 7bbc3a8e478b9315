//! Every state against every observation under every policy, and what must hold in all of them.

use std::fmt::Write as _;

use windlass_api::spark::application::ApplicationStateType as State;

use super::fixtures::*;
use crate::lifecycle::observed::{Blocked, DriverPod, Observed};
use crate::lifecycle::spec::{Fitness, Limits, Spec};
use crate::lifecycle::{Action, Decision, plan};
use windlass_engine::plan::Basis;

fn observations() -> Vec<(&'static str, Observed)> {
    let drivers = |pods: Vec<DriverPod>| seen(pods, vec![]);
    let blocked = DriverPod {
        blocked: Some(Blocked {
            reason: "ImagePullBackOff".into(),
            message: Some("not found".into()),
            image: Some("spark:9".into()),
        }),
        ..driver(1).on_node()
    };
    let waiting = DriverPod {
        created: at(95),
        ..driver(1).on_node()
    };
    let earlier = |pod: DriverPod| DriverPod {
        submission_id: Some("earlier".into()),
        ..pod
    };
    vec![
        ("nothing", Observed::nothing()),
        ("driver waits", drivers(vec![waiting.clone()])),
        (
            "driver waits, objects missing",
            Observed {
                companions: crate::lifecycle::observed::Companions::Missing,
                ..drivers(vec![waiting])
            },
        ),
        ("driver image missing", drivers(vec![blocked.clone()])),
        (
            "driver waited too long",
            drivers(vec![DriverPod {
                created: at(-700),
                ..blocked
            }]),
        ),
        ("driver runs", drivers(vec![driver(1).running()])),
        (
            "driver is stopped",
            drivers(vec![driver(1).running().terminating()]),
        ),
        ("driver exited 0", drivers(vec![driver(1).exited(0)])),
        ("driver exited 1", drivers(vec![driver(1).exited(1)])),
        (
            "driver exited 0, executor left",
            seen(vec![driver(1).exited(0)], vec![executor(1, 1)]),
        ),
        ("driver exited 1, executor leaving", {
            seen(
                vec![driver(1).exited(1)],
                vec![executor(1, 1).terminating()],
            )
        }),
        (
            "driver gone, executor left",
            seen(vec![], vec![executor(1, 1)]),
        ),
        (
            "driver unreachable",
            drivers(vec![driver(1).running().lost()]),
        ),
        (
            "earlier driver ended",
            drivers(vec![earlier(driver(1).exited(1))]),
        ),
        (
            "earlier driver runs",
            drivers(vec![earlier(driver(1).running())]),
        ),
        (
            "earlier driver leaves",
            drivers(vec![earlier(driver(1).running().terminating())]),
        ),
        (
            "pod of another",
            drivers(vec![driver(1).running().of("Job", "other", false)]),
        ),
        ("pod of a deleted owner", {
            drivers(vec![driver(1).running().of("SparkApplication", "pi", true)])
        }),
        (
            "refused",
            Observed {
                refusal: Some(crate::lifecycle::observed::Refusal {
                    at: at(100),
                    ..refusal(403, "pods is forbidden")
                }),
                ..Observed::nothing()
            },
        ),
    ]
}

fn specs() -> Vec<(&'static str, Spec)> {
    let suspended = Spec {
        suspend: true,
        ..pi(on_failure(2))
    };
    let unfit = Fitness::Unfit {
        problems: vec!["spec.image: is missing".into()],
    };
    vec![
        ("Never", pi(never())),
        ("OnFailure", pi(on_failure(2))),
        ("Always", pi(always())),
        ("suspended", suspended),
        (
            "invalid",
            Spec {
                fitness: unfit,
                ..pi(never())
            },
        ),
    ]
}

fn outcome(before: State, decision: &Decision) -> String {
    let mut words = Vec::new();
    let after = decision.status.application_state.state;
    if after != before {
        words.push(match after.as_str() {
            "" => "NEW".to_owned(),
            state => state.to_owned(),
        });
    }
    words.extend(decision.actions.iter().map(|action| match action {
        Action::CreateDriver => "create driver".to_owned(),
        Action::EnsureCompanions { .. } => "create its objects".to_owned(),
        Action::Expose(exposer) => format!("create {}", exposer.name),
        Action::DeletePod { name, .. } => format!("delete {name}"),
        Action::ForceDeletePod { name, .. } => format!("force away {name}"),
        Action::Withdraw { exposer, .. } => format!("delete {}", exposer.name),
        Action::DeleteBudget { name, .. } => format!("delete {name}"),
        Action::EnsureBudget => "create budget".to_owned(),
        Action::DeletePodGroup { .. } => "delete pod group".to_owned(),
        Action::DeleteApplication => "delete application".to_owned(),
    }));
    if words.is_empty() {
        words.push("-".to_owned());
    }
    if decision.basis == Basis::Live {
        words.push("(live)".to_owned());
    }
    words.join(" ")
}

/// The decision the engine comes to after it wrote what the first look noted without changing
/// the state.
fn first_move(spec: &Spec, state: State, seen: &Observed) -> Decision {
    let mut status = status_in(state);
    loop {
        let decision = plan(spec, &Limits::default(), &status, seen, at(100));
        let moved = decision.status.application_state.state != state;
        if moved || decision.status == status {
            return decision;
        }
        status = decision.status;
    }
}

#[test]
fn every_state_has_an_answer_to_everything_that_can_be_seen() {
    let mut table = String::new();
    for state in State::ALL {
        let _ = writeln!(
            table,
            "## {}",
            if state == State::New {
                "NEW"
            } else {
                state.as_str()
            }
        );
        for (what, seen) in observations() {
            let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
            for (policy, spec) in specs() {
                let answer = outcome(state, &first_move(&spec, state, &seen));
                match answers.iter_mut().find(|(known, _)| *known == answer) {
                    Some((_, policies)) => policies.push(policy),
                    None => answers.push((answer, vec![policy])),
                }
            }
            let answers: Vec<String> = match &answers[..] {
                [(answer, _)] => vec![answer.clone()],
                _ => answers
                    .iter()
                    .map(|(answer, who)| format!("{}: {answer}", who.join(", ")))
                    .collect(),
            };
            let _ = writeln!(table, "{what} => {}", answers.join(" | "));
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

#[test]
fn what_holds_in_every_state() {
    for state in State::ALL {
        for (what, seen) in observations() {
            for (policy, spec) in specs() {
                let case = format!("{state:?}, {what}, {policy}");
                let before = status_in(state);
                let decision = plan(&spec, &Limits::default(), &before, &seen, at(100));
                let after = decision.status.application_state.state;

                assert!(
                    after.is_terminal() || decision.wake_at.is_some(),
                    "{case}: no wake_at"
                );
                assert!(
                    decision.status == before || decision.actions.is_empty(),
                    "{case}: acts before the status is written"
                );
                assert_eq!(
                    state.is_terminal(),
                    state.is_terminal() && after == state,
                    "{case}"
                );
                let grave = decision.actions.iter().any(|action| {
                    matches!(
                        action,
                        Action::CreateDriver
                            | Action::DeletePod { .. }
                            | Action::ForceDeletePod { .. }
                            | Action::Withdraw { .. }
                            | Action::DeleteApplication
                    )
                });
                let winding_down = matches!(
                    state,
                    State::Succeeding | State::Failing | State::Invalidating | State::Suspending
                );
                let ends = after != state && (after.is_terminal() || winding_down);
                if grave || ends {
                    assert_eq!(decision.basis, Basis::Live, "{case}: on a cache");
                }
                if decision.actions.contains(&Action::CreateDriver) {
                    assert!(seen.drivers.is_empty(), "{case}: a second driver");
                    assert!(!spec.suspend, "{case}: while suspended");
                }
            }
        }
    }
}

#[test]
fn a_status_that_was_written_is_asked_for_again() {
    for state in State::ALL {
        for (_, seen) in observations() {
            for (_, spec) in specs() {
                let settled = settle(&spec, &status_in(state), &seen, at(100));
                let again = plan(&spec, &Limits::default(), &settled.status, &seen, at(100));
                assert_eq!(again.status, settled.status);
                assert_eq!(again.actions, settled.actions);
                assert!(again.notes.is_empty());
            }
        }
    }
}

#[test]
fn nothing_is_done_for_an_application_that_is_being_deleted() {
    for state in State::ALL {
        for (_, seen) in observations() {
            let spec = Spec {
                deleting: true,
                ..pi(always())
            };
            let before = status_in(state);
            let decision = plan(&spec, &Limits::default(), &before, &seen, at(100));
            assert_eq!(decision.status, before);
            assert_eq!((decision.actions, decision.wake_at), (vec![], None));
        }
    }
}
