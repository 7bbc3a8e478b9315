//! SparkHistoryServers on the engine: read, observe, decide.
//!
//! Laws:
//! - a SparkHistoryServer that cannot be decoded is `Failed`, and what runs of it is left alone; so is a status that
//!   cannot be decoded;
//! - what has a name of ours is looked for at the API itself before anything is applied to it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use windlass_api::spark::SparkHistoryServer;
use windlass_api::spark::history::{HISTORY_NAME_LABEL, SparkHistoryServerStatus as Status};
use windlass_engine::api::ApiError;
use windlass_engine::plan::{ObjectRef, Plan};
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::SPARK_HISTORY_SERVER;
use super::policies::{Concerned, PolicyDesk};
use super::standing::Parts;
use super::status::{leave_alone, status_of, written};
use super::stores::read_stores;
use crate::history::{self, HISTORY_ROLE, Observed, Obstacle, Ruled, Spec, Wanted};
use crate::lower::Settings;
use crate::standing::{DEPLOYMENT, see};

/// What a server consists of.
const PARTS: Parts = Parts {
    label: HISTORY_NAME_LABEL,
    kinds: &[DEPLOYMENT, Kind::SERVICE, Kind::CONFIG_MAP],
};

/// Keeps history servers up.
#[derive(Debug)]
pub struct SparkHistoryServers {
    settings: Settings,
    desk: PolicyDesk,
    concerned: Arc<Concerned>,
}

/// One look at a SparkHistoryServer and what is of it.
#[derive(Debug)]
pub struct HistorySight {
    reading: Result<Box<Reading>, String>,
    observed: Observed,
}

/// A SparkHistoryServer as far as it can be read.
#[derive(Debug)]
struct Reading {
    spec: Spec,
    status: Status,
}

impl SparkHistoryServers {
    pub(super) fn new(settings: Settings, desk: PolicyDesk) -> Self {
        Self {
            settings,
            desk,
            concerned: Arc::default(),
        }
    }

    /// Reads the object; an error in it is why its status cannot be understood.
    async fn read(
        &self,
        object: &Object,
        view: &View,
    ) -> Result<Result<Reading, String>, ApiError> {
        let status: Status = match status_of(object) {
            Ok(status) => status,
            Err(error) => return Ok(Err(error)),
        };
        let (suspend, wanted) = match SparkHistoryServer::deserialize(object.as_value()) {
            Ok(server) => (
                server.spec.suspend,
                self.wanted(&server, object, view).await?,
            ),
            Err(error) => (false, Err(Obstacle::Invalid(vec![error.to_string()]))),
        };
        let spec = Spec {
            generation: object.generation(),
            deleting: object.is_deleting(),
            suspend,
            wanted,
        };
        Ok(Ok(Reading { spec, status }))
    }

    /// What the server consists of, by the policies of its namespace and what its ObjectStores tell.
    async fn wanted(
        &self,
        server: &SparkHistoryServer,
        object: &Object,
        view: &View,
    ) -> Result<Result<Wanted, Obstacle>, ApiError> {
        let namespace = object.namespace().unwrap_or_default();
        let policies = self.desk.seen(view, namespace).await?;
        let ruled = match Ruled::by(&policies, server) {
            Ok(ruled) => ruled,
            Err(obstacle) => return Ok(Err(obstacle)),
        };
        let spec = object.spec();
        let stores = read_stores(spec, object, &self.settings, view).await?;
        Ok(history::wanted(&ruled, Some(&stores), &self.settings))
    }
}

async fn find(object: &Object, spec: &Spec, view: &View) -> Result<Observed, ApiError> {
    let wanted = spec.wanted.iter().flat_map(wanted_objects);
    let Some(found) = PARTS.found(object, wanted, view).await? else {
        return Ok(Observed::default());
    };
    let refusal = view.refusal();
    Ok(Observed {
        seen: see(object.uid(), &found.others, &found.pods, HISTORY_ROLE),
        taken: found.taken,
        refusal: refusal.map(|refusal| format!("the API refused to {}", refusal.error)),
    })
}

/// References to all objects of a server.
fn wanted_objects(wanted: &Wanted) -> impl Iterator<Item = ObjectRef> {
    let objects = wanted.before.iter().chain([&wanted.deployment]);
    objects.map(|object| Object::new(object.clone()).object_ref())
}

impl Controller for SparkHistoryServers {
    type Status = Value;
    type Observed = HistorySight;

    fn name(&self) -> &'static str {
        "spark-history-server"
    }

    fn primary(&self) -> Watch {
        Watch::all(SPARK_HISTORY_SERVER)
    }

    fn children(&self) -> Vec<Child> {
        let mut children = PARTS.children();
        children.push(self.concerned.policies());
        let has_stores = self.settings.serves_object_stores;
        children.extend(has_stores.then(|| self.concerned.object_stores()));
        children
    }

    /// There are few servers, so that a policy or an ObjectStore concerns all of them.
    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        self.concerned.note(old, new, |_| true);
        Vec::new()
    }

    /// There are few servers, and people wait for them.
    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<HistorySight, ApiError> {
        let reading = match self.read(object, view).await? {
            Ok(reading) => reading,
            Err(error) => {
                return Ok(HistorySight {
                    reading: Err(error),
                    observed: Observed::default(),
                });
            }
        };
        let observed = find(object, &reading.spec, view).await?;
        Ok(HistorySight {
            reading: Ok(Box::new(reading)),
            observed,
        })
    }

    fn plan(&self, object: &Object, sight: &HistorySight, now: Timestamp) -> Plan<Value> {
        let reading = match &sight.reading {
            Ok(reading) => reading,
            Err(error) => return leave_alone(object, error, now),
        };
        let decision = history::plan(&reading.spec, &reading.status, &sight.observed, now);
        Plan {
            status: written(&decision.status),
            effects: decision.effects,
            events: decision.notes,
            wake_at: decision.wake_at,
            basis: decision.basis,
        }
    }
}
