//! Objects whose plans depend on others of their kind.

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_engine::api::ApiError;
use windlass_engine::plan::{Basis, Plan};
use windlass_engine::{
    Class, Controller, Engine, Kind, Object, ObjectKey, QueueConfig, View, Watch,
};

use crate::api::FakeApi;
use crate::apps::{Running, app};

/// Each App's status says how many there are; only the one named `counter` is told of the others.
struct Census;

impl Controller for Census {
    type Status = Value;
    type Observed = usize;

    fn name(&self) -> &'static str {
        "census"
    }

    fn primary(&self) -> Watch {
        Watch::all(Kind::namespaced("test.windlass.dev", "v1", "App", "apps"))
    }

    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        if old.is_some() == new.is_some() {
            return Vec::new();
        }
        vec![ObjectKey::namespaced("team", "counter")]
    }

    fn class(&self, _: &Object) -> Class {
        Class::New
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<usize, ApiError> {
        let kind = Kind::namespaced("test.windlass.dev", "v1", "App", "apps");
        Ok(view.cached().all(&kind, object.namespace()).await?.len())
    }

    fn plan(&self, _: &Object, seen: &usize, _: Timestamp) -> Plan<Value> {
        Plan {
            status: json!({ "seen": seen }),
            effects: vec![],
            events: vec![],
            wake_at: None,
            basis: Basis::Cached,
        }
    }
}

#[tokio::test]
async fn a_change_leads_to_plans_of_the_objects_it_concerns() {
    let api = FakeApi::new();
    let engine = Engine::builder(api.client()).controller(Census, QueueConfig::default());
    let engine = Running::start(engine);
    let seen = |api: &FakeApi, name: &str| {
        let app = api.get("apps", &format!("team/{name}"));
        app.and_then(|app| app["status"]["seen"].as_u64())
    };
    for (number, name) in ["counter", "one", "two"].into_iter().enumerate() {
        api.put("apps", app(name, json!({})));
        let expected = Some(number as u64 + 1);
        api.until("the count", |api| seen(api, "counter") == expected)
            .await;
    }
    engine.stop().await;
}
