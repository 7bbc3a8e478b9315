//! Members whose volumes become larger, while a call of their operator goes wrong: every call, in every way.
//! However it goes, all volumes have the size in the end, and so do those that come later; no member is
//! restarted, and no script is called for it. Their claims say what their role says of growing by themselves, and
//! one that has done so keeps what it has.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_api::storage::growth::MAX;

use crate::house::{CLUSTER, House, Place};
use crate::room::condition;
use crate::sweep::{STEP, all_know_each_other, pod_name, second_look, uids};

/// What one volume has grown to by itself.
const BY_ITSELF: &str = "3Gi";
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
    let storage = json!({
        "size": "1Gi", "storageClassName": "local-path",
        "autoGrow": {"max": "8Gi", "threshold": "70%"},
    });
    cluster["spec"]["roles"][1]["storage"] = storage;
    place.clusters().create(cluster).await;
    let before = place.settled().await?;
    all_know_each_other(house, &before)?;
    grown(place, "1Gi", Some("8Gi")).await?;
    let growth_is_off = |it: &Value| condition(it, "AutoGrowActive", "False").is_some();
    place.clusters().until_there(CLUSTER, growth_is_off).await;

    // One grows by itself, as whoever reads its annotations has it, while all are to be larger.
    let claims = place.claims().list().await;
    let first = claims.iter().map(pod_name).min().unwrap_or_default();
    let more = json!({"spec": {"resources": {"requests": {"storage": BY_ITSELF}}}});
    place.claims().merge(&first, more).await;
    place
        .change(|spec| spec["roles"][1]["storage"]["size"] = json!("2Gi"))
        .await;
    grown(place, "2Gi", Some("8Gi")).await?;
    let after = place.settled().await?;
    if uids(&before) != uids(&after) {
        return Err("members were replaced so that their volumes grow".to_owned());
    }
    all_know_each_other(house, &after)?;

    // Who comes later has as much, and a shrink is told and does nothing.
    place
        .change(|spec| {
            spec["roles"][1]["members"] = json!(3);
            spec["roles"][1]["storage"]["autoGrow"] = Value::Null;
        })
        .await;
    let more = place.settled().await?;
    all_know_each_other(house, &more)?;
    grown(place, "2Gi", None).await?;
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

/// Waits until every claim has the size, or what it has grown to by itself, and says up to which one it grows;
/// and the StatefulSet makes others of that size.
async fn grown(place: &Place, size: &str, max: Option<&str>) -> Result<(), String> {
    let mut last = Vec::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            last = differences(place, size, max).await;
            if last.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.map_err(|_| format!("not {size}: {last:?}"))
}

async fn differences(place: &Place, size: &str, max: Option<&str>) -> Vec<String> {
    let mut differences = Vec::new();
    let mut by_themselves = 0;
    for claim in place.claims().list().await {
        let asked = &claim["spec"]["resources"]["requests"]["storage"];
        let given = &claim["status"]["capacity"]["storage"];
        by_themselves += usize::from(asked == BY_ITSELF);
        let has_it = [size, BY_ITSELF].iter().any(|it| asked == it);
        let told = &claim["metadata"]["annotations"][MAX];
        if !has_it || asked != given || told.as_str() != max {
            differences.push(format!(
                "{} asks for {asked}, has {given} and grows up to {told}",
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
    if by_themselves != usize::from(size != "1Gi") {
        differences.push(format!("{by_themselves} have grown by themselves"));
    }
    let cluster = place.clusters().get(CLUSTER).await.unwrap_or_default();
    if size != "1Gi" && condition(&cluster, "StorageResizing", "False").is_none() {
        differences.push(format!("{}", cluster["status"]["conditions"]));
    }
    differences
}
