//! A virtual cluster that has as many workers as its application has a use for, while a call of its operator
//! goes wrong. Nobody writes its specification, no script is called twice or left out, and the operator that
//! comes next finds nothing to do.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_director::names::ROLE_LABEL;

use crate::house::{CLUSTER, House, Place};
use crate::sweep::{all_know_each_other, second_look, uid, uids};

/// How far apart the tried points are.
const STEP: usize = 600;
/// How long it may take until there are as many members as there is a use for.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_how_many_members_there_are() {
    let house = House::new().await;
    house
        .sweep("scaled", STEP, async |place| tell(&house, place).await)
        .await;
}

/// The story; the error is what was against the laws.
async fn tell(house: &House, place: &Place) -> Result<(), String> {
    let mut cluster = Place::cluster(CLUSTER, 1);
    cluster["spec"]["roles"][1]["members"] = Value::Null;
    cluster["spec"]["roles"][1]["autoscale"] =
        json!({"minMembers": 1, "maxMembers": 3, "scaleDownDelaySeconds": 2});
    place.clusters().create(cluster).await;
    let one = with_workers(place, 1).await?;
    let spec = stored(place).await["spec"].clone();
    says(
        place,
        "False DemandUnknown worker: it ended with 1: nobody knows",
    )
    .await?;

    let controller = one.iter().find(|pod| role(pod) == "controller");
    let controller = house.members.of(uid(controller.ok_or("no controller")?));
    controller.wants(r#"{"units": 50, "unitsPerMember": 10, "message": "50 notes wait"}"#);
    let three = with_workers(place, 3).await?;
    all_know_each_other(house, &three)?;
    says(place, "True DemandKnown worker: 5 wanted: 50 notes wait").await?;

    controller.wants("0");
    let left = with_workers(place, 1).await?;
    all_know_each_other(house, &left)?;
    for gone in uids(&three).difference(&uids(&left)) {
        let calls = house.members.of(gone).calls();
        if house.members.of(gone).count("--decommission") != 1 {
            return Err(format!("who went was called with {calls:?}"));
        }
    }

    let after = stored(place).await;
    if after["spec"] != spec || after["metadata"]["generation"] != 1 {
        return Err(format!("somebody has written {:#}", after["spec"]));
    }
    // It asks for demand, too.
    second_look(house, place, |path| path.ends_with("/exec")).await?;
    place.clusters().delete(CLUSTER).await;
    place.vanished().await
}

async fn stored(place: &Place) -> Value {
    place.clusters().get(CLUSTER).await.unwrap()
}

/// The pods of the cluster, once it has so many workers and is settled.
async fn with_workers(place: &Place, number: usize) -> Result<Vec<Value>, String> {
    let mut last = 0;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let pods = place.settled().await?;
            last = pods.iter().filter(|pod| role(pod) == "worker").count();
            if last == number {
                return Ok(pods);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    let waited = waited.await;
    waited.unwrap_or_else(|_| {
        Err(format!(
            "{number} workers were waited for, and {last} are there"
        ))
    })
}

/// Waits until the condition that says whether demand is known says this.
async fn says(place: &Place, expected: &str) -> Result<(), String> {
    let mut last = String::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        while last != expected {
            tokio::time::sleep(LOOK_AGAIN).await;
            let cluster = stored(place).await;
            let conditions = cluster["status"]["conditions"].as_array().into_iter();
            let mut active = conditions
                .flatten()
                .filter(|it| it["type"] == "ScalingActive");
            if let Some(found) = active.next() {
                let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
                last = ["status", "reason", "message"].map(text).join(" ");
            }
        }
    });
    let waited = waited.await.is_ok();
    let told = || format!("{expected} was waited for, and it says {last}");
    if waited { Ok(()) } else { Err(told()) }
}

fn role(pod: &Value) -> &str {
    pod["metadata"]["labels"][ROLE_LABEL]
        .as_str()
        .unwrap_or_default()
}
