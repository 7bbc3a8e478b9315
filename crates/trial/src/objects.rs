//! Objects of the API as raw JSON, for a test that reads and writes them as a user would.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use serde::Serialize;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The objects of one kind, as raw JSON.
#[derive(Clone)]
pub struct Objects(Api<DynamicObject>);

impl Objects {
    /// Those of a namespace; `api_version` as in manifests.
    pub fn of(
        client: &Client,
        namespace: &str,
        api_version: &str,
        kind: &str,
        plural: &str,
    ) -> Self {
        let resource = resource(api_version, kind, plural);
        Self(Api::namespaced_with(client.clone(), namespace, &resource))
    }

    /// Those of all namespaces, or of a kind that has none.
    pub fn of_all(client: &Client, api_version: &str, kind: &str, plural: &str) -> Self {
        Self(Api::all_with(
            client.clone(),
            &resource(api_version, kind, plural),
        ))
    }

    /// The revision of everything now.
    pub async fn revision(&self) -> String {
        let list = self.0.list(&Default::default()).await.unwrap();
        list.metadata.resource_version.unwrap()
    }

    /// Makes one, and returns it as the API has it.
    pub async fn create(&self, object: impl Serialize) -> Value {
        self.try_create(object).await.unwrap()
    }

    /// The same; the error is how the API refuses it.
    pub async fn try_create(&self, object: impl Serialize) -> Result<Value, String> {
        let object = serde_json::to_value(object).unwrap();
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let created = self.0.create(&PostParams::default(), &object).await;
        told(created.map(|object| serde_json::to_value(object).unwrap()))
    }

    /// Everything that happens to these objects, from the beginning.
    pub async fn watch(&self) -> BoxStream<'static, WatchEvent<DynamicObject>> {
        let params = WatchParams::default().timeout(290);
        let events = self.0.watch(&params, "0").await.unwrap();
        events
            .filter_map(|event| std::future::ready(event.ok()))
            .boxed()
    }

    /// The one of this name, if it is there.
    pub async fn get(&self, name: &str) -> Option<Value> {
        let found = self.0.get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    /// All of them.
    pub async fn list(&self) -> Vec<Value> {
        let list = self.0.list(&Default::default()).await.unwrap();
        list.items
            .into_iter()
            .map(|object| serde_json::to_value(object).unwrap())
            .collect()
    }

    /// Merges this into one.
    pub async fn merge(&self, name: &str, patch: Value) {
        self.try_merge(name, patch).await.unwrap();
    }

    /// The same; the error is how the API refuses it.
    pub async fn try_merge(&self, name: &str, patch: Value) -> Result<Value, String> {
        self.patch(name, Patch::Merge(patch)).await
    }

    /// Replaces one value, or adds it; the error is how the API refuses it.
    pub async fn try_replace(&self, name: &str, path: &str, value: Value) -> Result<Value, String> {
        let patch = json!([{"op": "add", "path": path, "value": value}]);
        self.patch(name, Patch::Json(serde_json::from_value(patch).unwrap()))
            .await
    }

    async fn patch(&self, name: &str, patch: Patch<Value>) -> Result<Value, String> {
        let patched = self.0.patch(name, &PatchParams::default(), &patch).await;
        told(patched.map(|object| serde_json::to_value(object).unwrap()))
    }

    /// Merges this into one, through its status.
    pub async fn merge_status(&self, name: &str, patch: Value) {
        let patch = Patch::Merge(patch);
        self.0
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Asks for the removal of one.
    pub async fn delete(&self, name: &str) {
        self.try_delete(name).await.unwrap();
    }

    /// The same; the error is how the API refuses it.
    pub async fn try_delete(&self, name: &str) -> Result<(), String> {
        let deleted = self.0.delete(name, &DeleteParams::default()).await;
        told(deleted.map(|_| ()))
    }

    /// Waits until one of them is as wanted.
    pub async fn until_one(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                if let Some(found) = self.list().await.into_iter().find(&wanted) {
                    return found;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        waited.await.unwrap()
    }

    /// Waits until the object is there and as wanted.
    pub async fn until_there(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until(name, |found| found.as_ref().is_some_and(&wanted))
            .await
    }

    /// Waits until the object, or its absence, is as wanted.
    pub async fn until(&self, name: &str, wanted: impl Fn(&Option<Value>) -> bool) -> Value {
        let mut last = None;
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                last = self.get(name).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        let waited = waited.await;
        assert!(waited.is_ok(), "{name} stayed {last:#?}");
        last.unwrap_or_default()
    }

    /// Waits until there is none of this name.
    pub async fn until_gone(&self, name: &str) {
        self.until(name, Option::is_none).await;
    }
}

fn told<T>(result: Result<T, kube::Error>) -> Result<T, String> {
    result.map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    })
}

/// Makes a kind known, and waits until it is served.
pub async fn define(client: &Client, crd: impl Serialize) {
    let definitions = Objects::of_all(
        client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    let crd = definitions.create(crd).await;
    let is_served = |crd: &Value| {
        let conditions = crd["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|it| it["type"] == "Established" && it["status"] == "True")
    };
    let name = crd["metadata"]["name"].as_str().unwrap();
    definitions.until_there(name, is_served).await;
}

/// What the client has to know of a kind; `api_version` as in manifests.
pub fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}
