//! `windlass wait`: until an application is where somebody needs it to be.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};

use crate::applications::{Place, state};
use crate::args::{Awaited, WaitArgs};
use crate::exit::{Exit, Failure};
use crate::output::{out, talk};
use crate::run::outage::{self, Pace};

/// Waits; the exit code tells whether what came is what was waited for.
pub async fn wait(args: WaitArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let first = match place.application(&args.name).await {
        Ok(first) => first,
        Err(failure) if failure.exit == Exit::BadInput && args.awaited == Awaited::Deleted => {
            out(&format!("{}/{} is gone", place.namespace, args.name));
            return Ok(Exit::Completed);
        }
        Err(failure) => return Err(failure),
    };
    let mut last = state(&first).to_owned();
    let watching = watch(&place, &args, &mut last);
    let Some(limit) = args.limit() else {
        return watching.await;
    };
    match tokio::time::timeout(limit, watching).await {
        Ok(result) => result,
        Err(_) => Err(Failure {
            exit: Exit::Stopped,
            message: format!(
                "{}/{} is {last} after {} s: windlass why {} tells what it waits for",
                place.namespace,
                args.name,
                limit.as_secs(),
                args.name
            ),
        }),
    }
}

async fn watch(place: &Place, args: &WaitArgs, last: &mut String) -> Result<Exit, Failure> {
    let patience = args.reconnect.patience();
    let config = watcher::Config::default().fields(&format!("metadata.name={}", args.name));
    let mut events = pin!(watcher(place.applications(), config).backoff(Pace::default()));
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
            state(found).clone_into(last);
        }
        if let Some(verdict) = verdict(args.awaited, found.as_ref()) {
            return tell(place, &args.name, found.as_ref(), verdict);
        }
    }
    Err(Failure::cluster("the watch of the application ended"))
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

/// What the sight of an application, or of its absence, means for who waits; nothing while there
/// is still something to wait for.
fn verdict(awaited: Awaited, found: Option<&DynamicObject>) -> Option<Exit> {
    let Some(found) = found else {
        return Some(match awaited {
            Awaited::Deleted => Exit::Completed,
            Awaited::Running | Awaited::End | Awaited::Suspended => Exit::Stopped,
        });
    };
    match (awaited, state(found)) {
        (Awaited::Running, "RUNNING" | "COMPLETED")
        | (Awaited::Suspended, "SUSPENDED")
        | (Awaited::End, "COMPLETED") => Some(Exit::Completed),
        // What has ended is never suspended any more.
        (Awaited::Suspended, "COMPLETED" | "FAILED")
        | (Awaited::Running | Awaited::End, "FAILED") => Some(Exit::JobFailed),
        _ => None,
    }
}

fn tell(
    place: &Place,
    name: &str,
    found: Option<&DynamicObject>,
    verdict: Exit,
) -> Result<Exit, Failure> {
    let namespace = &place.namespace;
    let Some(found) = found else {
        if verdict == Exit::Completed {
            out(&format!("{namespace}/{name} is gone"));
            return Ok(verdict);
        }
        return Err(Failure {
            exit: verdict,
            message: format!("{namespace}/{name} was deleted before it ended"),
        });
    };
    out(&format!("{namespace}/{name} {}", state(found)));
    if verdict != Exit::Completed {
        let why = found.data["status"]["applicationState"]["errorMessage"].as_str();
        talk(&format!(
            "windlass: {namespace}/{name} is {}: {}",
            state(found),
            why.unwrap_or("no reason is given")
        ));
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
            let seen = verdict(awaited, Some(&found));
            assert_eq!(seen, expected, "{awaited:?} {state}");
        }
        assert_eq!(verdict(Awaited::Deleted, None), Some(Exit::Completed));
        assert_eq!(verdict(Awaited::End, None), Some(Exit::Stopped));
    }
}
