//! A virtual cluster that is made, grows, is connected to something else, gets other resources, shrinks
//! and goes, while a call of its operator goes wrong: every call, in every way. However it goes, no
//! script is called twice or left out, and nothing is left to do or left over.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_trial::mishaps::Script;

use crate::house::{CANARY, CLUSTER, House, Place};

/// How far apart the tried points are: a life takes the CPU for more than a second.
pub(crate) const STEP: usize = 960;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_the_life_of_a_cluster() {
    let house = House::new().await;
    house
        .sweep("life", STEP, async |place| tell(&house, place).await)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_comes_back_without_its_status_is_the_same_to_its_members() {
    let house = House::new().await;
    let place = house.place("restored").await;
    let operator = tokio::spawn(house.operate(&place, &Arc::default()));
    place.clusters().create(Place::cluster(CLUSTER, 2)).await;
    let before = place.settled().await.unwrap();
    operator.abort();
    let _ = operator.await;

    // Null is how a patch says that there is to be none.
    place
        .clusters()
        .merge_status(CLUSTER, json!({"status": null}))
        .await;
    let operator = tokio::spawn(house.operate(&place, &Arc::default()));
    let after = place.settled().await.unwrap();
    assert_eq!(uids(&before), uids(&after));
    for pod in &after {
        assert_eq!(house.members.of(uid(pod)).calls(), ["--configure"]);
    }
    operator.abort();
}

/// The story; the error is what was against the laws.
async fn tell(house: &House, place: &Place) -> Result<(), String> {
    place.clusters().create(Place::cluster(CLUSTER, 2)).await;
    let two = place.settled().await?;
    all_know_each_other(house, &two)?;

    place
        .change(|spec| spec["roles"][1]["members"] = json!(3))
        .await;
    let three = place.settled().await?;
    all_know_each_other(house, &three)?;

    let connections = json!({"configmaps": ["model-2"]});
    place.change(|spec| spec["connections"] = connections).await;
    let connected = place.settled().await?;
    all_know_each_other(house, &connected)?;
    if uids(&connected) != uids(&three) {
        return Err("a connection has replaced members".to_owned());
    }
    for pod in &connected {
        let calls = house.members.of(uid(pod)).calls();
        if house.members.of(uid(pod)).count("--reconnect") != 1 {
            return Err(format!("{} was called with {calls:?}", pod_name(pod)));
        }
    }

    let more = json!({"limits": {"memory": "128Mi", "cpu": "100m"}});
    place
        .change(|spec| spec["roles"][1]["resources"] = more)
        .await;
    let replaced = place.settled().await?;
    all_know_each_other(house, &replaced)?;
    let kept = uids(&replaced).intersection(&uids(&connected)).count();
    if kept != 1 {
        return Err(format!(
            "{kept} members were kept, and 1 has its old resources"
        ));
    }

    place
        .change(|spec| spec["roles"][1]["members"] = json!(1))
        .await;
    let left = place.settled().await?;
    all_know_each_other(house, &left)?;
    for gone in uids(&replaced).difference(&uids(&left)) {
        let calls = house.members.of(gone).calls();
        if house.members.of(gone).count("--decommission") != 1 {
            return Err(format!("who went was called with {calls:?}"));
        }
    }

    second_look(house, place, |_| false).await?;
    place.clusters().delete(CLUSTER).await;
    place.vanished().await
}

/// Every member was set up once, and knows exactly who is there.
pub(crate) fn all_know_each_other(house: &House, pods: &[Value]) -> Result<(), String> {
    let mut there: Vec<String> = pods.iter().map(pod_name).collect();
    there.sort();
    for pod in pods {
        let (name, member) = (pod_name(pod), house.members.of_pod(pod));
        let calls = member.calls();
        let wrong = |what: &str| format!("{name} {what}; it was called with {calls:#?}");
        if member.count("--configure") != 1 {
            return Err(wrong("was not set up once"));
        }
        let known = member.knows().map_err(|why| wrong(&why))?;
        if known != there {
            return Err(wrong(&format!("knows {known:?}, and {there:?} are there")));
        }
    }
    Ok(())
}

/// Another look, by a new operator, finds nothing to do about the cluster; calls of a path that is `apart`
/// change nothing.
pub(crate) async fn second_look(
    house: &House,
    place: &Place,
    apart: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let fresh = Arc::new(Script::default());
    let operator = tokio::spawn(house.operate(place, &fresh));
    place.clusters().create(Place::cluster(CANARY, 0)).await;
    let is_made = |cluster: &Option<Value>| {
        let service = cluster.as_ref().map(|it| &it["status"]["clusterService"]);
        service.is_some_and(Value::is_string)
    };
    place.clusters().until(CANARY, is_made).await;
    operator.abort();
    let _ = operator.await;
    let calls = fresh.calls.lock();
    let writes = calls.iter().filter(|it| it.is_write() && !it.is_event());
    let about: Vec<String> = writes
        .filter(|call| call.path.contains(CLUSTER) && !apart(&call.path))
        .map(|call| format!("{call:?}"))
        .collect();
    if about.is_empty() {
        Ok(())
    } else {
        Err(format!("a second look was followed by {about:#?}"))
    }
}

pub(crate) fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}

pub(crate) fn uids(pods: &[Value]) -> BTreeSet<String> {
    pods.iter().map(|pod| uid(pod).to_owned()).collect()
}

pub(crate) fn pod_name(pod: &Value) -> String {
    pod["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
