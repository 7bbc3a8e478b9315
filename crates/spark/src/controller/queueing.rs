//! What SparkApplications see of the queue of their namespace.

use std::sync::Arc;

use windlass_api::spark::application::ApplicationStateType as State;
use windlass_engine::api::ApiError;
use windlass_engine::view::Freshness;
use windlass_engine::{Child, Object, View, Watch};

use super::application::SparkApplications;
use super::sight::Reading;
use super::{RESOURCE_QUOTA, SPARK_APPLICATION};
use crate::observe;
use crate::queue::{Entry, Line, Policy, Rank, Standing};

impl SparkApplications {
    /// What the application sees of the queue of its namespace, if it is about to stand in it. The
    /// limits may be a moment old; who holds a place may not, where that is asked live.
    pub(super) async fn standing(
        &self,
        object: &Object,
        reading: &Reading,
        view: &View,
    ) -> Result<Option<Standing>, ApiError> {
        let namespace = object.namespace();
        let stands_in_it = matches!(
            reading.status.application_state.state,
            State::New | State::PendingRerun | State::Resuming
        );
        if !stands_in_it {
            return Ok(None);
        }
        let quotas = view.cached().all(&RESOURCE_QUOTA, namespace).await?;
        let policy = Policy::of(&quotas, &self.policy);
        if policy.is_open() {
            return Ok(None);
        }
        let me = Rank::of(object);
        Ok(Some(match view.freshness() {
            Freshness::Cached => {
                let namespace = namespace.unwrap_or_default();
                self.ledger.standing(namespace, &me, policy)
            }
            Freshness::Live => {
                let applications = view.all(&SPARK_APPLICATION, namespace).await?;
                let line: Line = applications.iter().map(Entry::of).collect();
                line.standing(&me, policy)
            }
        }))
    }

    /// The limits of namespaces concern everybody who waits there.
    pub(super) fn quotas(&self) -> Child {
        let ledger = Arc::clone(&self.ledger);
        let quotas = Watch::all(RESOURCE_QUOTA).trim(observe::QUOTA);
        Child::mapped(quotas, move |quota| {
            ledger.waiting(quota.namespace().unwrap_or_default())
        })
    }
}
