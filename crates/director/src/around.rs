//! What has to be read before a cluster can be judged, read from the API: for the controller, and for
//! the webhook, which both hand it to [`admission`](windlass_api::director::admission).
//!
//! Laws:
//! - of Secrets nothing is kept but that they are there;
//! - what was there a moment ago is not asked for again; what was missing is, so that who makes it is
//!   not kept waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use windlass_api::director::admission::{
    AccessMode, Claim, StorageClasses, Surroundings, VolumeMode, needs,
};
use windlass_api::director::cluster::AppCatalog;
use windlass_api::director::config::CONFIG_NAME;
use windlass_api::director::{KubeDirectorApp, KubeDirectorCluster, KubeDirectorConfig};
use windlass_engine::api::{ApiClient, ApiError};
use windlass_engine::{Kind, Object, ObjectKey, View};

use crate::controller::{APP, CONFIG};

/// How long what was there is taken to be there.
const FRESH: Duration = Duration::from_secs(20);
/// By which Kubernetes knows the default of the storage classes.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");
const ACCOUNT: Kind = Kind::namespaced("", "v1", "ServiceAccount", "serviceaccounts");
const CLAIM: Kind = Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
const CLASS: Kind = Kind::cluster("storage.k8s.io", "v1", "StorageClass", "storageclasses");

/// What was there a moment ago.
#[derive(Debug, Default)]
pub struct Lately {
    objects: Mutex<HashMap<(Kind, ObjectKey), (Instant, Claim)>>,
    classes: Mutex<Option<(Instant, StorageClasses)>>,
}

/// Who reads.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    api: &'a ApiClient,
    view: Option<&'a View>,
    lately: Option<&'a Lately>,
    home: &'a str,
}

impl<'a> Reader<'a> {
    /// A controller, whose stores have applications and the configuration.
    pub(crate) fn controller(view: &'a View, lately: &'a Lately, home: &'a str) -> Self {
        Self {
            api: view.api(),
            view: Some(view),
            lately: Some(lately),
            home,
        }
    }

    /// A webhook, which judges by what is there now.
    pub fn webhook(api: &'a ApiClient, home: &'a str) -> Self {
        Self {
            api,
            view: None,
            lately: None,
            home,
        }
    }

    /// What is around a cluster, but for what its user may do; the inner error is what of it cannot be
    /// read, line by line.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn around(
        &self,
        cluster: &KubeDirectorCluster,
    ) -> Result<Result<Surroundings, Vec<String>>, ApiError> {
        let mut problems = Vec::new();
        let around = self.catalogs(cluster, &mut problems).await?;
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        let namespace = cluster.metadata.namespace.as_deref().unwrap_or_default();
        let needs = needs(cluster);
        let mut roles = cluster.spec.roles.iter();
        let stores = roles.any(|role| role.storage.is_some() || role.block_storage.is_some());
        let mut claims = BTreeMap::new();
        for name in needs.claims {
            if let Some(claim) = self.look(&CLAIM, namespace, &name).await? {
                claims.insert(name, claim);
            }
        }
        Ok(Ok(Surroundings {
            storage_classes: if stores {
                self.storage_classes().await?
            } else {
                StorageClasses::default()
            },
            secrets: self.there(&SECRET, namespace, needs.secrets).await?,
            service_accounts: self
                .there(&ACCOUNT, namespace, needs.service_accounts)
                .await?,
            claims,
            ..around
        }))
    }

    /// The applications and the configuration alone.
    ///
    /// # Errors
    /// When the API does not answer.
    pub(crate) async fn catalogs(
        &self,
        cluster: &KubeDirectorCluster,
        problems: &mut Vec<String>,
    ) -> Result<Surroundings, ApiError> {
        let own = cluster.metadata.namespace.as_deref().unwrap_or_default();
        let app = cluster.spec.app.as_str();
        let wanted = |catalog| cluster.spec.app_catalog.is_none_or(|it| it == catalog);
        let local = if wanted(AppCatalog::Local) {
            self.object(&APP, own, app).await?
        } else {
            None
        };
        let system = if wanted(AppCatalog::System) {
            self.object(&APP, self.home, app).await?
        } else {
            None
        };
        let mut typed = |app: Option<Object>| {
            let app = app?;
            let read: Result<KubeDirectorApp, String> = read(&app);
            read.map_err(|error| problems.push(format!("KubeDirectorApp {}: {error}", app.name())))
                .ok()
        };
        let (local_app, system_app) = (typed(local), typed(system));
        let config = match self.configuration().await? {
            Ok(config) => config,
            Err(error) => {
                problems.push(format!("KubeDirectorConfig {CONFIG_NAME}: {error}"));
                None
            }
        };
        let config = config.map(|config| config.spec);
        Ok(Surroundings {
            local_app,
            system_app,
            config,
            ..Surroundings::default()
        })
    }

    /// The configuration, if there is one that can be read.
    ///
    /// # Errors
    /// When the API does not answer.
    pub(crate) async fn configuration(
        &self,
    ) -> Result<Result<Option<KubeDirectorConfig>, String>, ApiError> {
        let found = self.object(&CONFIG, self.home, CONFIG_NAME).await?;
        Ok(found.as_ref().map(read).transpose())
    }

    /// All storage classes.
    ///
    /// # Errors
    /// When the API does not answer.
    pub(crate) async fn storage_classes(&self) -> Result<StorageClasses, ApiError> {
        let known = self.lately.and_then(|it| it.classes.lock().clone());
        if let Some((_, classes)) = known.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(classes);
        }
        let found = self.api.list(&CLASS, None, None).await?;
        let is_default = |class: &&Object| class.annotation(DEFAULT_CLASS) == Some("true");
        let classes = StorageClasses {
            names: found.iter().map(|it| it.name().to_owned()).collect(),
            expandable: found
                .iter()
                .filter(|it| it.as_value()["allowVolumeExpansion"] == true)
                .map(|it| it.name().to_owned())
                .collect(),
            // Of several, Kubernetes takes the youngest.
            default: found
                .iter()
                .filter(is_default)
                .max_by(|a, b| created(a).cmp(created(b)))
                .map(|it| it.name().to_owned()),
        };
        if let Some(lately) = self.lately {
            *lately.classes.lock() = Some((Instant::now(), classes.clone()));
        }
        Ok(classes)
    }

    /// An object that the stores have, or, since a store has what is in the namespaces that are
    /// served, one of the operator's own.
    async fn object(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Object>, ApiError> {
        let key = ObjectKey::namespaced(namespace, name);
        if let Some(view) = self.view {
            let found = view.get(kind, &key).await?;
            if found.is_some() || namespace != self.home {
                return Ok(found);
            }
        }
        self.api.get(kind, &key).await
    }

    async fn there(
        &self,
        kind: &Kind,
        namespace: &str,
        names: BTreeSet<String>,
    ) -> Result<BTreeSet<String>, ApiError> {
        let mut there = BTreeSet::new();
        for name in names {
            if self.look(kind, namespace, &name).await?.is_some() {
                there.insert(name);
            }
        }
        Ok(there)
    }

    /// What counts of an object, if it is there; what no claim says is what Kubernetes makes of it.
    async fn look(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Claim>, ApiError> {
        let key = ObjectKey::namespaced(namespace, name);
        let place = (kind.clone(), key);
        if let Some(lately) = self.lately {
            let mut known = lately.objects.lock();
            known.retain(|_, (at, _)| at.elapsed() < FRESH);
            if let Some((_, claim)) = known.get(&place) {
                return Ok(Some(claim.clone()));
            }
        }
        let Some(found) = self.api.get(kind, &place.1).await? else {
            return Ok(None);
        };
        let claim = claim(found.spec());
        if let Some(lately) = self.lately {
            let known = (Instant::now(), claim.clone());
            lately.objects.lock().insert(place, known);
        }
        Ok(Some(claim))
    }
}

fn created(object: &Object) -> &str {
    let created = object.as_value()["metadata"]["creationTimestamp"].as_str();
    created.unwrap_or_default()
}

fn claim(spec: &Value) -> Claim {
    let modes = spec["accessModes"].as_array().into_iter().flatten();
    Claim {
        volume_mode: if spec["volumeMode"] == "Block" {
            VolumeMode::Block
        } else {
            VolumeMode::Filesystem
        },
        access_modes: modes
            .filter_map(|mode| match mode.as_str()? {
                "ReadWriteOnce" => Some(AccessMode::ReadWriteOnce),
                "ReadWriteOncePod" => Some(AccessMode::ReadWriteOncePod),
                "ReadOnlyMany" => Some(AccessMode::ReadOnlyMany),
                "ReadWriteMany" => Some(AccessMode::ReadWriteMany),
                _ => None,
            })
            .collect(),
    }
}

pub(crate) fn read<T: DeserializeOwned>(object: &Object) -> Result<T, String> {
    T::deserialize(object.as_value()).map_err(|error| error.to_string())
}
