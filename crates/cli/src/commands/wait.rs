//! `windlass wait`: until an application, a schedule, a server or a virtual cluster is where somebody needs it
//! to be.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;
use windlass_api::spark::application::RERUN_REQUESTED_AT;

use crate::applications::Place;
use crate::args::{Awaited, WaitArgs};
use crate::clusters;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::{out, talk};
use crate::run::outage::{self, Pace};
use crate::shown::{message, state};

/// Waits; the exit code tells whether what came is what was waited for.
pub async fn wait(args: WaitArgs) -> Result<Exit, Failure> {
    let subject = args.object.clone();
    let awaited = awaited(&subject, args.awaited)?;
    let place = Place::open(&args.place).await?;
    let first = match place.object(&subject).await {
        Ok(first) => first,
        Err(failure) if failure.exit == Exit::BadInput && awaited == Awaited::Deleted => {
            out(&format!("{} is gone", place.about(&subject)));
            return Ok(Exit::Completed);
        }
        Err(failure) => return Err(failure),
    };
    let mut last = state(subject.kind, &first);
    let patience = args.reconnect.patience();
    let watching = watch(&place, &subject, awaited, patience, &mut last);
    let Some(limit) = args.limit() else {
        return watching.await;
    };
    match tokio::time::timeout(limit, watching).await {
        Ok(result) => result,
        Err(_) => Err(Failure {
            exit: Exit::Stopped,
            message: format!(
                "{} is {last} after {} s: windlass why {subject} tells what it waits for",
                place.about(&subject),
                limit.as_secs(),
            ),
        }),
    }
}

/// What is waited for; an error where an object of this kind never gets there.
fn awaited(subject: &Subject, given: Option<Awaited>) -> Result<Awaited, Failure> {
    let usual = match subject.kind {
        Kind::Connect | Kind::History | Kind::Cluster => Awaited::Running,
        Kind::Application | Kind::Schedule => Awaited::End,
    };
    let awaited = given.unwrap_or(usual);
    match (subject.kind, awaited) {
        (Kind::Connect | Kind::History, Awaited::End) => Err(Failure::bad_input(format!(
            "{subject} has no end: --for running waits until it answers, --for suspended until it \
             is stopped"
        ))),
        (Kind::Cluster, Awaited::End | Awaited::Suspended) => Err(Failure::bad_input(format!(
            "{subject} neither ends nor is suspended: --for running waits until all its members are \
             ready, --for deleted until it is gone"
        ))),
        (Kind::Schedule, Awaited::End | Awaited::Running) => Err(Failure::bad_input(format!(
            "{subject} does not run, its runs do: windlass status {subject} shows them, give the \
             name of one; --for suspended and --for deleted wait for the schedule itself"
        ))),
        _ => Ok(awaited),
    }
}

async fn watch(
    place: &Place,
    subject: &Subject,
    awaited: Awaited,
    patience: Duration,
    last: &mut String,
) -> Result<Exit, Failure> {
    let config = watcher::Config::default().fields(&format!("metadata.name={}", subject.name));
    let mut events = pin!(watcher(place.api(subject.kind), config).backoff(Pace::default()));
    let mut listed = false;
    while let Some(event) = events.next().await {
        let found = match event {
            Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found)) => {
                listed = true;
                Some(found)
            }
            Ok(watcher::Event::Delete(_)) => None,
            Ok(watcher::Event::InitDone) if !listed => None,
            Ok(watcher::Event::Init) => {
                listed = false;
                continue;
            }
            Ok(watcher::Event::InitDone) => continue,
            Err(_) => {
                wait_for_cluster(place, patience).await?;
                continue;
            }
        };
        if let Some(found) = &found {
            *last = state(subject.kind, found);
        }
        if let Some(verdict) = verdict(subject.kind, awaited, found.as_ref()) {
            return tell(place, subject, found.as_ref(), verdict);
        }
    }
    Err(Failure::cluster("the watch ended"))
}

async fn wait_for_cluster(place: &Place, patience: Duration) -> Result<(), Failure> {
    if outage::answers(&place.client).await {
        return Ok(());
    }
    talk(&outage::beginning(patience).to_string());
    if outage::until_over(place.client.clone(), patience).await {
        return Ok(());
    }
    Err(Failure::cluster(format!(
        "the cluster has not answered for {} s",
        patience.as_secs()
    )))
}

/// What the sight of an object, or of its absence, means for who waits; nothing while there is still
/// something to wait for.
fn verdict(kind: Kind, awaited: Awaited, found: Option<&DynamicObject>) -> Option<Exit> {
    let Some(found) = found else {
        return Some(match awaited {
            Awaited::Deleted => Exit::Completed,
            Awaited::Running | Awaited::End | Awaited::Suspended => Exit::Stopped,
        });
    };
    let state = state(kind, found);
    match (kind, awaited, state.as_str()) {
        // A status that is about an earlier specification says nothing.
        (Kind::Connect | Kind::History | Kind::Cluster, ..) if !is_current(found) => None,
        // Nor does one of the run before that which somebody has asked for.
        (Kind::Application, Awaited::End | Awaited::Running, _) if is_about_to_run(found) => None,
        (Kind::Cluster, Awaited::Running, _) if clusters::is_ready(&found.data) => {
            Some(Exit::Completed)
        }
        (Kind::Application, Awaited::Running, "RUNNING" | "COMPLETED")
        | (Kind::Application, Awaited::Suspended, "SUSPENDED")
        | (Kind::Application, Awaited::End, "COMPLETED")
        | (Kind::Connect | Kind::History, Awaited::Running, "Ready")
        | (Kind::Connect | Kind::History | Kind::Schedule, Awaited::Suspended, "Suspended") => {
            Some(Exit::Completed)
        }
        // What has ended is never suspended any more.
        (Kind::Application, Awaited::Suspended, "COMPLETED" | "FAILED")
        | (Kind::Application, Awaited::Running | Awaited::End, "FAILED")
        // A specification that is wrong does not mend itself.
        | (Kind::Connect | Kind::History, Awaited::Running | Awaited::Suspended, "Failed")
        | (Kind::Cluster, Awaited::Running, "Invalid") => Some(Exit::JobFailed),
        _ => None,
    }
}

fn is_current(found: &DynamicObject) -> bool {
    found.data["status"]["observedGeneration"] == json!(found.metadata.generation)
}

/// Whether an application will run again, of which its status does not know yet. The status of an operator
/// that writes no generation is taken for current.
fn is_about_to_run(found: &DynamicObject) -> bool {
    let annotations = found.metadata.annotations.as_ref();
    let requested = annotations.and_then(|all| all.get(RERUN_REQUESTED_AT));
    let status = &found.data["status"];
    let is_old = !status["observedGeneration"].is_null() && !is_current(found);
    is_old || requested.is_some_and(|it| status["rerunRequestedAt"] != it.as_str())
}

fn tell(
    place: &Place,
    subject: &Subject,
    found: Option<&DynamicObject>,
    verdict: Exit,
) -> Result<Exit, Failure> {
    let about = place.about(subject);
    let Some(found) = found else {
        if verdict == Exit::Completed {
            out(&format!("{about} is gone"));
            return Ok(verdict);
        }
        return Err(Failure {
            exit: verdict,
            message: format!("{about} was deleted before it ended"),
        });
    };
    let state = state(subject.kind, found);
    out(&format!("{about} {state}"));
    if verdict != Exit::Completed {
        let why = Some(message(subject.kind, found)).filter(|why| !why.is_empty());
        talk(&format!(
            "windlass: {about} is {state}: {}",
            why.as_deref().unwrap_or("no reason is given")
        ));
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_what_was_waited_for_or_when_it_can_never_come() {
        let application = |state: &str| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "app"},
                "status": {"applicationState": {"state": state}},
            }))
            .unwrap()
        };
        let cases = [
            (Awaited::End, "RUNNING", None),
            (Awaited::End, "COMPLETED", Some(Exit::Completed)),
            (Awaited::End, "FAILED", Some(Exit::JobFailed)),
            (Awaited::End, "SUSPENDED", None),
            (Awaited::Running, "SUBMITTED", None),
            (Awaited::Running, "RUNNING", Some(Exit::Completed)),
            (Awaited::Running, "COMPLETED", Some(Exit::Completed)),
            (Awaited::Running, "FAILED", Some(Exit::JobFailed)),
            (Awaited::Suspended, "SUSPENDING", None),
            (Awaited::Suspended, "SUSPENDED", Some(Exit::Completed)),
            (Awaited::Suspended, "COMPLETED", Some(Exit::JobFailed)),
            (Awaited::Deleted, "RUNNING", None),
            (Awaited::Deleted, "COMPLETED", None),
        ];
        for (awaited, state, expected) in cases {
            let found = application(state);
            let seen = verdict(Kind::Application, awaited, Some(&found));
            assert_eq!(seen, expected, "{awaited:?} {state}");
        }
        let gone = |awaited| verdict(Kind::Application, awaited, None);
        assert_eq!(gone(Awaited::Deleted), Some(Exit::Completed));
        assert_eq!(gone(Awaited::End), Some(Exit::Stopped));
    }

    #[test]
    fn the_end_of_a_run_is_not_that_of_the_next_one_which_was_asked_for() {
        let application = |requested: Option<&str>, granted: Option<&str>, seen: Option<i64>| {
            let annotations = requested.map(|it| json!({ RERUN_REQUESTED_AT: it }));
            serde_json::from_value::<DynamicObject>(json!({
                "metadata": {"name": "app", "generation": 2, "annotations": annotations},
                "status": {
                    "applicationState": {"state": "COMPLETED"},
                    "rerunRequestedAt": granted,
                    "observedGeneration": seen,
                },
            }))
            .unwrap()
        };
        let ended = Some(Exit::Completed);
        for (requested, granted, seen, expected) in [
            (None, None, Some(2), ended),
            (None, None, None, ended),
            (None, None, Some(1), None),
            (Some("one"), None, Some(2), None),
            (Some("two"), Some("one"), Some(2), None),
            (Some("one"), Some("one"), Some(2), ended),
            (None, Some("one"), Some(2), ended),
        ] {
            let found = application(requested, granted, seen);
            for awaited in [Awaited::End, Awaited::Running] {
                let told = verdict(Kind::Application, awaited, Some(&found));
                assert_eq!(told, expected, "{requested:?} {granted:?} {seen:?}");
            }
        }
    }

    #[test]
    fn a_server_is_waited_for_by_what_is_said_of_its_present_specification() {
        let server = |state: &str, suspend: bool, seen: i64| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "sql", "generation": 2},
                "spec": {"suspend": suspend},
                "status": {"state": state, "observedGeneration": seen},
            }))
            .unwrap()
        };
        for (awaited, server, expected) in [
            (
                Awaited::Running,
                server("Ready", false, 2),
                Some(Exit::Completed),
            ),
            (Awaited::Running, server("Ready", false, 1), None),
            (Awaited::Running, server("Provisioning", false, 2), None),
            (Awaited::Running, server("NotReady", false, 2), None),
            (
                Awaited::Running,
                server("Failed", false, 2),
                Some(Exit::JobFailed),
            ),
            (
                Awaited::Suspended,
                server("NotReady", true, 2),
                Some(Exit::Completed),
            ),
            (Awaited::Suspended, server("NotReady", true, 1), None),
            (Awaited::Suspended, server("Ready", true, 2), None),
            (Awaited::Deleted, server("Ready", false, 2), None),
        ] {
            let seen = verdict(Kind::Connect, awaited, Some(&server));
            assert_eq!(seen, expected, "{awaited:?} {:?}", server.data);
        }
    }

    #[test]
    fn a_history_server_is_waited_for_until_it_answers() {
        let server = |phase: &str, seen: i64| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "jobs", "generation": 2},
                "status": {"phase": phase, "observedGeneration": seen},
            }))
            .unwrap()
        };
        for (awaited, server, expected) in [
            (Awaited::Running, server("Ready", 2), Some(Exit::Completed)),
            (Awaited::Running, server("Ready", 1), None),
            (Awaited::Running, server("Pending", 2), None),
            (Awaited::Running, server("Starting", 2), None),
            (Awaited::Running, server("Failed", 2), Some(Exit::JobFailed)),
            (
                Awaited::Suspended,
                server("Suspended", 2),
                Some(Exit::Completed),
            ),
            (Awaited::Deleted, server("Ready", 2), None),
        ] {
            let seen = verdict(Kind::History, awaited, Some(&server));
            assert_eq!(seen, expected, "{awaited:?} {:?}", server.data);
        }
    }

    #[test]
    fn a_cluster_is_waited_for_until_its_members_are_ready() {
        let cluster = |kind: &str, status: &str, reason: &str, seen: i64| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "db", "generation": 2},
                "status": {
                    "state": "updating", "observedGeneration": seen,
                    "conditions": [{"type": kind, "status": status, "reason": reason}],
                },
            }))
            .unwrap()
        };
        for (found, expected) in [
            (
                cluster("Ready", "True", "Configured", 2),
                Some(Exit::Completed),
            ),
            (cluster("Ready", "True", "Configured", 1), None),
            (cluster("Ready", "False", "MembersChanging", 2), None),
            (
                cluster("Degraded", "True", "Invalid", 2),
                Some(Exit::JobFailed),
            ),
            (cluster("Degraded", "True", "MembersInTrouble", 2), None),
        ] {
            let seen = verdict(Kind::Cluster, Awaited::Running, Some(&found));
            assert_eq!(seen, expected, "{:?}", found.data);
            assert_eq!(verdict(Kind::Cluster, Awaited::Deleted, Some(&found)), None);
        }
    }

    #[test]
    fn what_never_comes_is_not_waited_for() {
        let of = |kind, given| awaited(&Subject::of(kind, "x"), given);
        assert_eq!(of(Kind::Application, None).unwrap(), Awaited::End);
        assert_eq!(of(Kind::Connect, None).unwrap(), Awaited::Running);
        assert_eq!(of(Kind::History, None).unwrap(), Awaited::Running);
        assert_eq!(of(Kind::Cluster, None).unwrap(), Awaited::Running);
        let suspended = Some(Awaited::Suspended);
        assert_eq!(of(Kind::Schedule, suspended).unwrap(), Awaited::Suspended);
        let told = |kind, given| of(kind, given).unwrap_err().message;
        assert!(told(Kind::Connect, Some(Awaited::End)).contains("connect/x has no end"));
        assert!(told(Kind::Cluster, suspended).contains("cluster/x neither ends"));
        assert!(told(Kind::Schedule, None).contains("windlass status schedule/x"));
        assert!(told(Kind::Schedule, Some(Awaited::Running)).contains("its runs do"));
    }
}
