//! The ObjectStores that an application names, read for it.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;
use windlass_api::storage::ObjectStore;
use windlass_api::storage::hadoop;
use windlass_engine::api::ApiError;
use windlass_engine::{Object, ObjectKey, View};

use super::OBJECT_STORE;
use super::application::SparkApplications;
use crate::stores::Stores;

impl SparkApplications {
    /// The ObjectStores that an application names, as the view shows them. What a policy would add is not
    /// among them: a policy says nothing of buckets.
    pub(super) async fn stores(&self, object: &Object, view: &View) -> Result<Stores, ApiError> {
        let names = object.spec()["objectStores"].as_array();
        let mut names = names
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .peekable();
        if names.peek().is_some() && !self.settings().serves_object_stores {
            return Ok(Stores::Unserved);
        }
        let mut known = BTreeMap::new();
        for name in names {
            let key = ObjectKey {
                namespace: object.namespace().map(Into::into),
                name: name.into(),
            };
            if let Some(found) = view.get(&OBJECT_STORE, &key).await? {
                let store = ObjectStore::deserialize(found.as_value());
                let access = store
                    .map_err(|error| error.to_string())
                    .and_then(|store| hadoop::access(&store));
                known.insert(name.to_owned(), access);
            }
        }
        Ok(Stores::Known(known))
    }
}
