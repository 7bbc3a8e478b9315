//! ObjectStores that say next to nothing. Whatever is asked of stores is in the long tests.

use serde_json::{Value, json};
use windlass_storage::buckets::Settings;

use crate::house::House;

fn store(spec: &Value) -> Value {
    json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {"name": "logs"},
        "spec": spec,
    })
}

fn reason(store: &Value) -> &str {
    let conditions = &store["status"]["conditions"];
    conditions[0]["reason"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_provider_nobody_knows_is_decided_when_the_cluster_tells_it() {
    let house = House::new().await;
    house.namespace("team", false).await;
    let stores = house.object_stores("team").await;
    let operator = tokio::spawn(house.operate_buckets("team", &Settings::default()));
    stores.create(store(&json!({"name": "logs"}))).await;
    stores
        .until_there("logs", |it| reason(it) == "ProviderUnknown")
        .await;
    // On Azure, a storage account is needed besides: so it is known by now, and nobody is asked yet.
    house.install("disk.csi.azure.com").await;
    let told = stores
        .until_there("logs", |it| reason(it) == "InvalidSpec")
        .await;
    let message = told["status"]["conditions"][0]["message"].as_str();
    assert!(message.unwrap().contains("storageAccount"), "{told}");
    operator.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_the_operator_names_is_waited_for_in_the_namespace() {
    let house = House::new().await;
    house.namespace("team", false).await;
    let stores = house.object_stores("team").await;
    let settings = Settings {
        machines: None,
        // Where nobody listens.
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        secret: Some("keys".to_owned()),
    };
    let operator = tokio::spawn(house.operate_buckets("team", &settings));
    stores.create(store(&json!({"name": "logs"}))).await;
    let told = stores
        .until_there("logs", |it| reason(it) == "CredentialsMissing")
        .await;
    let message = told["status"]["conditions"][0]["message"].as_str();
    assert!(
        message.unwrap().contains("there is no Secret keys"),
        "{told}"
    );
    house
        .secrets("team")
        .create(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
            "stringData": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        }))
        .await;
    let told = stores
        .until_there("logs", |it| reason(it) == "StoreUnreachable")
        .await;
    let status = &told["status"];
    assert_eq!(status["endpoint"], "http://127.0.0.1:1");
    assert_eq!(status["endpointBy"], "Operator");
    assert_eq!(status["providerBy"], "Operator");
    assert_eq!(status["secret"], "keys");
    operator.abort();
}
