//! SparkConnects on the engine: read, observe, decide.
//!
//! Laws:
//! - a SparkConnect that cannot be decoded is `Failed`, and what runs of it is left alone; so is a
//!   status that cannot be decoded;
//! - what has a name of ours is looked for at the API itself before anything is applied to it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use windlass_api::spark::SparkConnect;
use windlass_api::spark::connect::{
    CONNECT_NAME_LABEL, SparkConnectStatus as Status, WAKE_REQUESTED_AT, server_name,
};
use windlass_engine::api::ApiError;
use windlass_engine::plan::{Effect, ObjectRef, Plan};
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::SPARK_CONNECT;
use super::policies::{Concerned, PolicyDesk};
use super::standing::Parts;
use super::status::{leave_alone, status_of, written};
use crate::connect::{
    self, DEPLOYMENT, Entropy, MADE_FOR_ANNOTATION, NETWORK_POLICY, Observed, RULED_ANNOTATION,
    Ruled, Spec, Wanted,
};
use crate::lower::Settings;
use crate::policy::Policies;

/// What a server consists of.
const PARTS: Parts = Parts {
    label: CONNECT_NAME_LABEL,
    kinds: &[DEPLOYMENT, Kind::SERVICE, Kind::CONFIG_MAP, NETWORK_POLICY],
};

/// Keeps Spark Connect servers up.
#[derive(Debug)]
pub struct SparkConnects {
    settings: Settings,
    desk: PolicyDesk,
    concerned: Arc<Concerned>,
}

/// One look at a SparkConnect and its server.
#[derive(Debug)]
pub struct ConnectSight {
    reading: Result<Box<Reading>, String>,
    observed: Observed,
}

/// A SparkConnect as far as it can be read.
#[derive(Debug)]
struct Reading {
    spec: Spec,
    status: Status,
}

impl SparkConnects {
    pub(super) fn new(settings: Settings, desk: PolicyDesk) -> Self {
        Self {
            settings,
            desk,
            concerned: Arc::default(),
        }
    }

    /// Reads the object, whose server may be up already; an error is why its status cannot be
    /// understood.
    fn read(
        &self,
        object: &Object,
        policies: &Policies,
        up: Option<&Object>,
    ) -> Result<Reading, String> {
        let status: Status = status_of(object)?;
        let spec = match SparkConnect::deserialize(object.as_value()) {
            Ok(connect) => Spec {
                suspend: connect.spec.suspend,
                idle_timeout: connect
                    .spec
                    .idle_timeout_seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map(std::time::Duration::from_secs),
                wanted: self.wanted(&connect, policies, up),
                ..bare(object)
            },
            Err(error) => Spec {
                wanted: Err(vec![error.to_string()]),
                ..bare(object)
            },
        };
        Ok(Reading { spec, status })
    }

    /// What the server consists of, or one line per problem. One that is up stays as it was made,
    /// whatever has been decided since.
    fn wanted(
        &self,
        connect: &SparkConnect,
        policies: &Policies,
        up: Option<&Object>,
    ) -> Result<Wanted, Vec<String>> {
        let ruled = match up {
            Some(deployment) => {
                let record = deployment.annotation(RULED_ANNOTATION);
                let recorded = record.and_then(|it| Ruled::by_record(connect, it));
                recorded.unwrap_or_else(|| Ruled::plainly(connect))
            }
            None if !policies.broken().is_empty() => return Err(policies.broken().to_vec()),
            None => {
                let account = self.settings.driver_service_account.as_deref();
                Ruled::by(policies, connect, account)?
            }
        };
        connect::wanted_of(&ruled, &self.settings)
    }
}

/// The Deployment of a server that is up and was made for the specification as it is.
async fn up(object: &Object, view: &View) -> Result<Option<Object>, ApiError> {
    let key = ObjectKey {
        namespace: object.namespace().map(Into::into),
        name: server_name(object.name()).into(),
    };
    let found = view.get(&DEPLOYMENT, &key).await?;
    Ok(found.filter(|deployment| {
        let replicas = deployment.spec()["replicas"].as_i64().unwrap_or(0);
        let made_for = deployment.annotation(MADE_FOR_ANNOTATION);
        let is_ours = deployment.owner_uids().any(|uid| uid == object.uid());
        let is_made_for_this = made_for.is_some_and(|it| it == object.generation().to_string());
        is_ours && replicas > 0 && is_made_for_this
    }))
}

/// What is known of any object.
fn bare(object: &Object) -> Spec {
    Spec {
        generation: object.generation(),
        deleting: object.is_deleting(),
        suspend: false,
        idle_timeout: None,
        wake: object.annotation(WAKE_REQUESTED_AT).map(str::to_owned),
        wanted: Err(Vec::new()),
    }
}

async fn find(object: &Object, spec: &Spec, view: &View) -> Result<Observed, ApiError> {
    let wanted = spec.wanted.iter().flat_map(wanted_objects);
    let Some(found) = PARTS.found(object, wanted, view).await? else {
        return Ok(Observed::default());
    };
    let mut observed = connect::observe(object.uid(), &found.others, &found.pods, found.taken);
    observed.refusal = view
        .refusal()
        .map(|refusal| format!("the API refused to {}", refusal.error));
    let makes_token = spec.wanted.as_ref().is_ok_and(|it| it.token.is_some());
    observed.entropy = makes_token.then(|| refused_token(view).unwrap_or_else(Entropy::draw));
    Ok(observed)
}

/// The token that the API would not take, which a second try must not change.
fn refused_token(view: &View) -> Option<Entropy> {
    match &view.refusal()?.effect {
        Effect::Apply(object) if object["kind"] == "Secret" => Entropy::of_secret(object),
        _ => None,
    }
}

/// References to all objects of a server, its token aside.
fn wanted_objects(wanted: &Wanted) -> impl Iterator<Item = ObjectRef> {
    let objects = wanted.before.iter().chain([&wanted.deployment]);
    objects.map(|object| Object::new(object.clone()).object_ref())
}

impl Controller for SparkConnects {
    type Status = Value;
    type Observed = ConnectSight;

    fn name(&self) -> &'static str {
        "spark-connect"
    }

    fn primary(&self) -> Watch {
        Watch::all(SPARK_CONNECT)
    }

    fn children(&self) -> Vec<Child> {
        let mut children = PARTS.children();
        children.push(self.concerned.policies());
        children
    }

    /// There are few servers, so that a policy concerns all of them.
    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        self.concerned.note(old, new, |_| true);
        Vec::new()
    }

    /// There are few servers, and people wait for them.
    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<ConnectSight, ApiError> {
        let namespace = object.namespace().unwrap_or_default();
        let policies = self.desk.seen(view, namespace).await?;
        let up = up(object, view).await?;
        let reading = match self.read(object, &policies, up.as_ref()) {
            Ok(reading) => reading,
            Err(error) => {
                return Ok(ConnectSight {
                    reading: Err(error),
                    observed: Observed::default(),
                });
            }
        };
        let observed = find(object, &reading.spec, view).await?;
        Ok(ConnectSight {
            reading: Ok(Box::new(reading)),
            observed,
        })
    }

    fn plan(&self, object: &Object, sight: &ConnectSight, now: Timestamp) -> Plan<Value> {
        let reading = match &sight.reading {
            Ok(reading) => reading,
            Err(error) => return leave_alone(object, error, now),
        };
        let decision = connect::plan(&reading.spec, &reading.status, &sight.observed, now);
        Plan {
            status: written(&decision.status),
            effects: decision.effects,
            events: decision.notes,
            wake_at: decision.wake_at,
            basis: decision.basis,
        }
    }
}
