//! Which clusters an application, a configuration or a connection concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use windlass_engine::{Object, ObjectKey};

/// What clusters refer to, kept as the store of clusters changes.
#[derive(Debug, Default)]
pub(super) struct References(Mutex<BTreeMap<ObjectKey, Refers>>);

/// What one cluster refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Refers {
    app: String,
    clusters: Vec<String>,
    config_maps: Vec<String>,
    secrets: Vec<String>,
}

/// A kind of connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// Another cluster.
    Cluster,
    /// A ConfigMap with a type.
    ConfigMap,
    /// A Secret with a type.
    Secret,
}

impl References {
    /// Hears of a change of the store of clusters.
    pub(super) fn note(&self, old: Option<&Object>, new: Option<&Object>) {
        let mut known = self.0.lock();
        match (old, new) {
            (_, Some(cluster)) => {
                known.insert(cluster.key(), Refers::of(cluster));
            }
            (Some(cluster), None) => {
                known.remove(&cluster.key());
            }
            (None, None) => {}
        }
    }

    /// The clusters that run an application: those of its namespace, and, where that is the
    /// operator's, all others.
    pub(super) fn of_app(&self, app: &Object, home: &str) -> Vec<ObjectKey> {
        let everywhere = app.namespace() == Some(home);
        self.filtered(|key, refers| {
            refers.app == app.name() && (everywhere || key.namespace.as_deref() == app.namespace())
        })
    }

    /// The clusters that are connected to this object.
    pub(super) fn connected_to(&self, what: Connection, object: &Object) -> Vec<ObjectKey> {
        self.filtered(|key, refers| {
            key.namespace.as_deref() == object.namespace()
                && refers.of_kind(what).iter().any(|it| it == object.name())
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<ObjectKey> {
        self.filtered(|_, _| true)
    }

    fn filtered(&self, wanted: impl Fn(&ObjectKey, &Refers) -> bool) -> Vec<ObjectKey> {
        let known = self.0.lock();
        let found = known.iter().filter(|(key, refers)| wanted(key, refers));
        found.map(|(key, _)| key.clone()).collect()
    }
}

impl Refers {
    fn of(cluster: &Object) -> Self {
        let spec = cluster.spec();
        let names = |list: &str| {
            let names = spec["connections"][list].as_array().into_iter().flatten();
            names
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        Self {
            app: spec["app"].as_str().unwrap_or_default().to_owned(),
            clusters: names("clusters"),
            config_maps: names("configmaps"),
            secrets: names("secrets"),
        }
    }

    fn of_kind(&self, what: Connection) -> &[String] {
        match what {
            Connection::Cluster => &self.clusters,
            Connection::ConfigMap => &self.config_maps,
            Connection::Secret => &self.secrets,
        }
    }
}

/// The references, where closures of watches share them.
pub(super) type Shared = Arc<References>;
