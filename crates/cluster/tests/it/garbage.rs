use kube::api::PropagationPolicy::{Background, Foreground, Orphan};
use serde_json::{Value, json};

use crate::home::Home;

fn config_map(name: &str, owners: &[Value]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": owners},
    })
}

fn owner(name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid,
        "blockOwnerDeletion": true,
    })
}

#[tokio::test]
async fn dependents_go_with_their_last_owner_down_the_whole_chain() {
    let home = Home::start().await;
    let maps = home.config_maps("default");
    let one = maps.create(config_map("one", &[])).await;
    let two = maps.create(config_map("two", &[])).await;
    let owners = [owner("one", &one), owner("two", &two)];
    let child = maps.create(config_map("child", &owners)).await;
    maps.create(config_map("grandchild", &[owner("child", &child)]))
        .await;
    maps.delete("one", Background).await;
    let kept = maps
        .until("child", |child| {
            let owners = child
                .as_ref()
                .map(|child| &child["metadata"]["ownerReferences"]);
            owners.is_some_and(|owners| owners.as_array().is_some_and(|owners| owners.len() == 1))
        })
        .await;
    assert_eq!(kept["metadata"]["ownerReferences"][0]["name"], "two");
    maps.delete("two", Background).await;
    maps.until_gone("child").await;
    maps.until_gone("grandchild").await;
}

#[tokio::test]
async fn references_that_never_led_anywhere_are_garbage() {
    let home = Home::start().await;
    home.namespace("other").await;
    let maps = home.config_maps("default");
    let owner_uid = maps.create(config_map("owner", &[])).await;
    // An older incarnation of an object that is there.
    maps.create(config_map(
        "stale",
        &[owner("owner", "11111111-0000-4000-8000-000000000000")],
    ))
    .await;
    // An owner of another namespace.
    let others = home.config_maps("other");
    others
        .create(config_map("abroad", &[owner("owner", &owner_uid)]))
        .await;
    maps.until_gone("stale").await;
    others.until_gone("abroad").await;
    assert!(maps.get("owner").await.is_some());
}

#[tokio::test]
async fn a_foreground_deletion_waits_for_its_dependents() {
    let home = Home::start().await;
    let maps = home.config_maps("default");
    let top = maps.create(config_map("top", &[])).await;
    let mut child = config_map("child", &[owner("top", &top)]);
    child["metadata"]["finalizers"] = json!(["example.com/held"]);
    maps.create(child).await;
    maps.delete("top", Foreground).await;
    maps.until("child", |child| {
        child
            .as_ref()
            .is_some_and(|child| !child["metadata"]["deletionTimestamp"].is_null())
    })
    .await;
    let waiting = maps.get("top").await.expect("the owner waits");
    assert_eq!(
        waiting["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    maps.merge("child", json!({"metadata": {"finalizers": null}}))
        .await;
    maps.until_gone("child").await;
    maps.until_gone("top").await;
}

#[tokio::test]
async fn an_orphaning_deletion_leaves_the_dependents() {
    let home = Home::start().await;
    let maps = home.config_maps("default");
    let top = maps.create(config_map("top", &[])).await;
    maps.create(config_map("child", &[owner("top", &top)]))
        .await;
    maps.delete("top", Orphan).await;
    maps.until_gone("top").await;
    let child = maps.get("child").await.expect("the dependent stays");
    assert!(
        child["metadata"]["ownerReferences"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
}

#[tokio::test]
async fn custom_resources_own_and_are_owned_as_soon_as_they_are_served() {
    let home = Home::start().await;
    let definitions = home.kind(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        None,
    );
    definitions
        .create(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }],
            },
        }))
        .await;
    definitions
        .until("widgets.example.com", |crd| {
            crd.as_ref().is_some_and(|crd| {
                let conditions = crd["status"]["conditions"].as_array();
                conditions.into_iter().flatten().any(|condition| {
                    condition["type"] == "Established" && condition["status"] == "True"
                })
            })
        })
        .await;
    let widgets = home.kind("example.com/v1", "Widget", "widgets", Some("default"));
    let widget = |name: &str, owners: Value| {
        json!({
            "apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": {"name": name, "ownerReferences": owners},
        })
    };
    let parent = widgets.create(widget("parent", json!([]))).await;
    let reference = json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "name": "parent", "uid": parent,
    });
    let maps = home.config_maps("default");
    maps.create(config_map("of-widget", std::slice::from_ref(&reference)))
        .await;
    widgets.create(widget("child", json!([reference]))).await;
    widgets.delete("parent", Background).await;
    maps.until_gone("of-widget").await;
    widgets.until_gone("child").await;
}
