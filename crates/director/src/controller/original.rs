//! Applications and clusters of the first KubeDirector on the engine: read, observe, decide.

use jiff::Timestamp;
use kube::{CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_api::decode::decode;
use windlass_api::director::original::{self, Conversion, convert_app, convert_cluster};
use windlass_api::field::FieldError;
use windlass_engine::api::ApiError;
use windlass_engine::plan::Plan;
use windlass_engine::{Child, Class, Controller, Kind, Object, View, Watch};

use super::{APP, CLUSTER, ORIGINAL_APP, ORIGINAL_CLUSTER};
use crate::original::{Observed, Standing, Wanted, plan};

/// Keeps an application or a cluster of today for each of that time.
#[derive(Debug)]
pub struct Originals {
    name: &'static str,
    kind: Kind,
    twin: Kind,
    convert: fn(&Value) -> Result<Wanted, Vec<String>>,
}

impl Originals {
    /// Of applications.
    pub(super) fn apps() -> Self {
        Self {
            name: "original-kubedirector-app",
            kind: ORIGINAL_APP,
            twin: APP,
            convert: |object| converted(object, convert_app),
        }
    }

    /// Of clusters.
    pub(super) fn clusters() -> Self {
        Self {
            name: "original-kubedirector-cluster",
            kind: ORIGINAL_CLUSTER,
            twin: CLUSTER,
            convert: |object| converted(object, convert_cluster),
        }
    }

    fn has_status(&self) -> bool {
        self.kind == ORIGINAL_CLUSTER
    }
}

fn converted<O, T>(
    object: &Value,
    convert: fn(&O) -> Result<Conversion<T>, Vec<FieldError>>,
) -> Result<Wanted, Vec<String>>
where
    O: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned,
    T: Serialize,
{
    let mut bare = object.clone();
    if let Some(metadata) = bare["metadata"].as_object_mut() {
        metadata.retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
    }
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("status");
    }
    let original: O = decode(&bare).map_err(|error| vec![error.to_string()])?;
    let conversion = convert(&original).map_err(|errors| {
        let lines = errors.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>()
    })?;
    let made = serde_json::to_value(&conversion.object).map_err(|it| vec![it.to_string()])?;
    Ok(Wanted {
        object: made,
        notes: conversion.notes.iter().map(ToString::to_string).collect(),
    })
}

impl Controller for Originals {
    type Status = Value;
    type Observed = Observed;

    fn name(&self) -> &'static str {
        self.name
    }

    fn primary(&self) -> Watch {
        Watch::all(self.kind.clone())
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::owned(Watch::all(self.twin.clone()))]
    }

    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<Observed, ApiError> {
        let found = view.get(&self.twin, &object.key()).await?;
        Ok(Observed {
            standing: Standing::of(object, found),
            refusal: view.refusal().map(|it| it.error.message.clone()),
        })
    }

    fn plan(&self, object: &Object, observed: &Observed, now: Timestamp) -> Plan<Value> {
        let wanted = (self.convert)(object.as_value());
        let plan = plan(object, &self.twin, &wanted, observed, now);
        let before: Option<original::ClusterStatus> =
            serde_json::from_value(object.status().clone()).ok();
        let says_news = before.as_ref() != Some(&plan.status) && self.has_status();
        plan.about(object, says_news)
    }
}
