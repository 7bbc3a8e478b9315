//! A trimmed copy of all objects of one kind, shared by the controllers that read it.
//!
//! Laws:
//! - an object the view cannot read is left out and logged; its neighbours are not held up;
//! - whoever listens is told after the copy shows the new state, with the old one and the new one;
//! - a full list replaces everything: what it does not name is gone.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::sync::watch;
use windlass_engine::{Kind, ObjectKey};

use crate::api::{Api, CallError};

/// What a controller needs to know of an object of one kind.
pub(crate) trait View: Send + Sync + Sized + 'static {
    /// Which kind it is a view of.
    const KIND: Kind;

    /// Reads the view out of an object, whose null fields have been removed.
    fn read(object: Value) -> Result<Self, serde_json::Error>;
}

/// One difference; at least one side is present.
pub(crate) struct Change<'a, T> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) old: Option<&'a T>,
    pub(crate) new: Option<&'a T>,
}

type Listener<T> = Box<dyn Fn(&Change<'_, T>) + Send + Sync>;

/// The copy.
pub(crate) struct Mirror<T> {
    objects: RwLock<HashMap<ObjectKey, Arc<T>>>,
    listeners: Mutex<Vec<Listener<T>>>,
    synced: watch::Sender<bool>,
    selector: Option<String>,
}

impl<T: View> Mirror<T> {
    pub(crate) fn new() -> Arc<Self> {
        Self::selected(None)
    }

    /// A copy of the objects that a field selector matches.
    pub(crate) fn selected(selector: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            objects: RwLock::default(),
            listeners: Mutex::default(),
            synced: watch::Sender::new(false),
            selector,
        })
    }

    /// Calls `listener` with every difference, beginning with the first list. It must not block.
    pub(crate) fn listen(&self, listener: impl Fn(&Change<'_, T>) + Send + Sync + 'static) {
        self.listeners.lock().push(Box::new(listener));
    }

    /// Waits until the first full list is in.
    pub(crate) async fn synced(&self) {
        // The sender lives in `self`, so waiting can only end with the value.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.objects.read().get(key).cloned()
    }

    /// All objects, in the order of their keys.
    pub(crate) fn all(&self) -> Vec<(ObjectKey, Arc<T>)> {
        self.select(|_| true)
    }

    /// The objects of a namespace, in the order of their keys.
    pub(crate) fn in_namespace(&self, namespace: Option<&str>) -> Vec<(ObjectKey, Arc<T>)> {
        self.select(|key| key.namespace.as_deref() == namespace)
    }

    /// Follows the API for ever.
    pub(crate) async fn run(self: Arc<Self>, client: kube::Client) {
        let api = kube::Api::<DynamicObject>::all_with(client, &resource(&T::KIND));
        let config = watcher::Config {
            field_selector: self.selector.clone(),
            ..watcher::Config::default()
        };
        let mut events = pin!(watcher::watcher(api, config).default_backoff());
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(self.upsert(object));
                }
                Ok(Event::InitDone) => {
                    self.retain(&listed);
                    listed = HashSet::new();
                    self.synced.send_replace(true);
                }
                Ok(Event::Apply(object)) => {
                    self.upsert(object);
                }
                Ok(Event::Delete(object)) => self.remove(&key_of(&object)),
                Err(error) => tracing::debug!(kind = %T::KIND, %error, "watch interrupted"),
            }
        }
    }

    fn select(&self, wanted: impl Fn(&ObjectKey) -> bool) -> Vec<(ObjectKey, Arc<T>)> {
        let mut selected: Vec<_> = self
            .objects
            .read()
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        selected.sort_by(|(a, _), (b, _)| a.cmp(b));
        selected
    }

    fn upsert(&self, mut object: DynamicObject) -> ObjectKey {
        let key = key_of(&object);
        object.metadata.managed_fields = None;
        match serde_json::to_value(object).and_then(view::<T>) {
            Ok(new) => {
                let new = Arc::new(new);
                let old = self.objects.write().insert(key.clone(), Arc::clone(&new));
                self.tell(&key, old.as_deref(), Some(&new));
            }
            Err(error) => {
                tracing::warn!(kind = %T::KIND, %key, %error, "object cannot be read; it is left out");
                self.remove(&key);
            }
        }
        key
    }

    fn remove(&self, key: &ObjectKey) {
        let old = self.objects.write().remove(key);
        if let Some(old) = old {
            self.tell(key, Some(&old), None);
        }
    }

    fn retain(&self, listed: &HashSet<ObjectKey>) {
        let gone: Vec<ObjectKey> = self
            .objects
            .read()
            .keys()
            .filter(|key| !listed.contains(*key))
            .cloned()
            .collect();
        for key in gone {
            self.remove(&key);
        }
    }

    fn tell(&self, key: &ObjectKey, old: Option<&T>, new: Option<&T>) {
        let change = Change { key, old, new };
        for listener in self.listeners.lock().iter() {
            listener(&change);
        }
    }
}

/// Reads one object from the API; absence is `None`.
pub(crate) async fn read_one<T: View>(
    api: &Api,
    key: &ObjectKey,
) -> Result<Option<Arc<T>>, CallError> {
    let found = api.get(&T::KIND, key).await?;
    found
        .map(|object| view(object).map(Arc::new).map_err(unreadable))
        .transpose()
}

/// Reads all objects of a namespace from the API, in the order of their keys.
pub(crate) async fn read_all<T: View>(
    api: &Api,
    namespace: Option<&str>,
) -> Result<Vec<(ObjectKey, Arc<T>)>, CallError> {
    let mut objects = Vec::new();
    for object in api.list(&T::KIND, namespace).await? {
        let text = |field: &str| object["metadata"][field].as_str();
        let key = ObjectKey {
            namespace: text("namespace").map(Arc::from),
            name: text("name").unwrap_or_default().into(),
        };
        // What the copy leaves out is left out here too.
        if let Ok(object) = view(object) {
            objects.push((key, Arc::new(object)));
        }
    }
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(objects)
}

/// Reads a view as the copy does.
pub(crate) fn view<T: View>(mut object: Value) -> Result<T, serde_json::Error> {
    drop_nulls(&mut object);
    T::read(object)
}

fn unreadable(error: serde_json::Error) -> CallError {
    CallError::Refused {
        code: 0,
        message: error.to_string(),
    }
}

/// The kind in kube's terms.
pub(crate) fn resource(kind: &Kind) -> ApiResource {
    ApiResource {
        group: kind.group.to_string(),
        version: kind.version.to_string(),
        api_version: kind.api_version(),
        kind: kind.kind.to_string(),
        plural: kind.plural.to_string(),
    }
}

fn key_of(object: &DynamicObject) -> ObjectKey {
    ObjectKey {
        namespace: object.metadata.namespace.as_deref().map(Arc::from),
        name: Arc::from(object.metadata.name.as_deref().unwrap_or_default()),
    }
}

/// A null is an absent field, everywhere in Kubernetes.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
