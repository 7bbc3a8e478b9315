//! Members whose volumes become larger, while a call of their operator goes wrong: every call, in every way.
//! However it goes, all volumes have the size in the end, and so do those that come later; no member is
//! restarted, and no script is called for it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{CLUSTER, House, Place};
use crate::room::condition;
use crate::sweep::{STEP, all_know_each_other, pod_name, second_look, uids};

/// How long it may take until all volumes have their size.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_volumes_that_grow() {
    let house = House::new().await;
    house
        .sweep("grows", STEP, async |place| tell(&house, place).await)
        .await;
}

/// The story; the error is what was against the laws.
async fn tell(house: &House, place: &Place) -> Result<(), String> {
    let mut cluster = Place::cluster(CLUSTER, 2);
    let storage = json!({"size": "1Gi", "storageClassName": "local-path"});
    cluster["spec"]["roles"][1]["storage"] = storage;
    place.clusters().create(cluster).await;
    let before = place.settled().await?;
    all_know_each_other(house, &before)?;

    place
        .change(|spec| spec["roles"][1]["storage"]["size"] = json!("2Gi"))
        .await;
    grown(place, "2Gi").await?;
    let after = place.settled().await?;
    if uids(&before) != uids(&after) {
        return Err("members were replaced so that their volumes grow".to_owned());
    }
    all_know_each_other(house, &after)?;

    // Who comes later has as much, and a shrink is told and does nothing.
    place
        .change(|spec| {
            spec["roles"][1]["members"] = json!(3);
        })
        .await;
    let more = place.settled().await?;
    all_know_each_other(house, &more)?;
    grown(place, "2Gi").await?;
    place
        .change(|spec| spec["roles"][1]["storage"]["size"] = json!("1Gi"))
        .await;
    let refused = |it: &Value| {
        condition(it, "Degraded", "True")
            .is_some_and(|told| told.contains("cannot be less than 2Gi"))
    };
    place.clusters().until_there(CLUSTER, refused).await;
    place
        .change(|spec| spec["roles"][1]["storage"]["size"] = json!("2Gi"))
        .await;
    let back = place.settled().await?;
    if uids(&more) != uids(&back) {
        return Err("a size that is refused has replaced members".to_owned());
    }
    second_look(house, place, |_| false).await?;
    place.clusters().delete(CLUSTER).await;
    place.vanished().await
}

/// Waits until every claim has the size, and the StatefulSet makes others of that size.
async fn grown(place: &Place, size: &str) -> Result<(), String> {
    let mut last = Vec::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            last = differences(place, size).await;
            if last.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.map_err(|_| format!("not {size}: {last:?}"))
}

async fn differences(place: &Place, size: &str) -> Vec<String> {
    let mut differences = Vec::new();
    for claim in place.claims().list().await {
        let asked = &claim["spec"]["resources"]["requests"]["storage"];
        let given = &claim["status"]["capacity"]["storage"];
        if (asked, given) != (&json!(size), &json!(size)) {
            differences.push(format!(
                "{} asks for {asked} and has {given}",
                pod_name(&claim)
            ));
        }
    }
    let sets = place.sets().list().await;
    let templates = sets
        .iter()
        .filter_map(|set| set.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests"));
    let templates: Vec<&Value> = templates.collect();
    if templates != [&json!({"storage": size})] {
        differences.push(format!("the StatefulSet makes {templates:?}"));
    }
    let cluster = place.clusters().get(CLUSTER).await.unwrap_or_default();
    if condition(&cluster, "StorageResizing", "False").is_none() {
        differences.push(format!("{}", cluster["status"]["conditions"]));
    }
    differences
}
