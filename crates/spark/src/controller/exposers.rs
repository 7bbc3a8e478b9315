//! What exposes an application: what should, and where it is looked for.

use serde_json::Value;
use windlass_api::spark::application::ApplicationStateType as State;
use windlass_engine::api::ApiError;
use windlass_engine::view::Freshness;
use windlass_engine::{Object, ObjectKey, View};

use super::application::SparkApplications;
use super::kind_of;
use super::sight::Reading;
use crate::lifecycle::observed::{Exposer, ExposerKind};
use crate::lower::{self, Offer, PodMonitors, Routes};
use crate::observe::APP_NAME;

impl SparkApplications {
    /// The kinds that this operator makes of what exposes drivers. It watches no others: a watch
    /// of what the cluster does not serve never begins.
    pub(super) fn exposer_kinds(&self) -> impl Iterator<Item = ExposerKind> + use<> {
        let exposing = &self.settings().exposing;
        let route = match &exposing.routes {
            Routes::Ingress(_) => Some(ExposerKind::Ingress),
            Routes::Gateway { api, .. } => {
                (*api == Offer::Served).then_some(ExposerKind::HttpRoute)
            }
        };
        let monitor = exposing.pod_monitors == PodMonitors::On(Offer::Served);
        let monitor = monitor.then_some(ExposerKind::PodMonitor);
        std::iter::once(ExposerKind::Service)
            .chain(route)
            .chain(monitor)
    }

    /// What should expose the attempt, as it would be created.
    pub(super) fn exposed(&self, reading: &Reading) -> Vec<(Exposer, Value)> {
        let Some(app) = &reading.app else {
            return Vec::new();
        };
        let attempt = reading.status.attempt.as_ref();
        let id = attempt.map_or("", |attempt| attempt.spark_application_id.as_str());
        let exposed = lower::expose(app, id, &self.settings().exposing);
        let named = exposed.objects.into_iter().filter_map(|object| {
            let kind = ExposerKind::ALL
                .into_iter()
                .find(|kind| object["kind"] == *kind_of(*kind).kind)?;
            let name = object["metadata"]["name"].as_str()?.to_owned();
            Some((Exposer { kind, name }, object))
        });
        named.collect()
    }

    /// What exposes the application, and what stands where something of it belongs.
    pub(super) async fn find_exposers(
        &self,
        object: &Object,
        reading: &Reading,
        view: &View,
    ) -> Result<Vec<(ExposerKind, Object)>, ApiError> {
        let mut found = Vec::new();
        let is_ours = |it: &Object| it.owner_uids().any(|uid| uid == object.uid());
        for kind in self.exposer_kinds() {
            let (all, app) = (kind_of(kind), object.name());
            let namespace = object.namespace();
            let known = view.cached();
            let mut objects = known.labelled(&all, namespace, APP_NAME, app).await?;
            let is_wanted = reading.wanted_exposers.iter().any(|it| it.kind == kind);
            // What the store does not know yet is found when it does: whatever is known later
            // leads to another look.
            if view.freshness() == Freshness::Live && (is_wanted || !objects.is_empty()) {
                objects = view.labelled(&all, namespace, APP_NAME, app).await?;
            }
            found.extend(objects.into_iter().filter(is_ours).map(|it| (kind, it)));
        }
        for wanted in &reading.wanted_exposers {
            let is_it = |(kind, it): &(ExposerKind, Object)| {
                *kind == wanted.kind && it.name() == wanted.name
            };
            if found.iter().any(is_it) {
                continue;
            }
            let key = ObjectKey {
                namespace: object.namespace().map(Into::into),
                name: wanted.name.as_str().into(),
            };
            let stranger = view.get(&kind_of(wanted.kind), &key).await?;
            found.extend(stranger.map(|it| (wanted.kind, it)));
        }
        Ok(found)
    }
}

impl Reading {
    /// Whether there is a driver that may be exposed.
    pub(super) fn follows_a_driver(&self) -> bool {
        let state = self.status.application_state.state;
        matches!(state, State::Submitted | State::Running | State::Unknown)
    }
}
