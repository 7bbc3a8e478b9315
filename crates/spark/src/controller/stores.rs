//! The ObjectStores that an application or a history server names, read for it.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;
use windlass_api::storage::ObjectStore;
use windlass_api::storage::hadoop;
use windlass_engine::api::ApiError;
use windlass_engine::{Object, ObjectKey, View};

use super::OBJECT_STORE;
use super::application::SparkApplications;
use crate::lower::Settings;
use crate::policy::Policies;
use crate::stores::{Stores, named};

impl SparkApplications {
    /// The ObjectStores that an application names, or that policies name for it, as the view shows them.
    pub(super) async fn stores(
        &self,
        object: &Object,
        policies: &Policies,
        view: &View,
    ) -> Result<Stores, ApiError> {
        let account = self.settings().driver_service_account.as_deref();
        let ruled: Value;
        let spec = if policies.is_empty() {
            object.spec()
        } else {
            ruled = policies.apply(object.spec(), account).spec;
            &ruled
        };
        read_stores(spec, object, self.settings(), view).await
    }
}

/// The ObjectStores that a specification names, in the namespace of its object.
pub(super) async fn read_stores(
    spec: &Value,
    object: &Object,
    settings: &Settings,
    view: &View,
) -> Result<Stores, ApiError> {
    let names = named(spec);
    if !names.is_empty() && !settings.serves_object_stores {
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
