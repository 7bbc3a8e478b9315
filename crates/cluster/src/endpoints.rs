//! EndpointSlices and Endpoints of the Services that select pods.
//!
//! A Service without a selector is left alone: whoever made it keeps its endpoints. Slices go with
//! their Service by owner reference; the Endpoints object shares its name and goes here.

mod build;

use std::sync::Arc;
use std::time::Duration;

use kube::api::PropagationPolicy;
use serde_json::Value;
use windlass_engine::ObjectKey;

use crate::api::{Api, CallError};
use crate::mirror::Mirror;
use crate::objects::{ENDPOINTS, Pod, SLICE, Service, Slice};
use crate::queue::Queue;

/// Who slices say they are kept by.
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Publishes endpoints.
pub(crate) struct Publisher {
    api: Api,
    services: Arc<Mirror<Service>>,
    pods: Arc<Mirror<Pod>>,
    slices: Arc<Mirror<Slice>>,
    queue: Arc<Queue<ObjectKey>>,
}

impl Publisher {
    pub(crate) fn new(
        api: Api,
        services: Arc<Mirror<Service>>,
        pods: Arc<Mirror<Pod>>,
        slices: Arc<Mirror<Slice>>,
    ) -> Self {
        let queue = Arc::new(Queue::new());
        let wake = Arc::clone(&queue);
        services.listen(move |change| {
            let selects = |service: &Service| !service.selector.is_empty();
            if change.old.is_some_and(selects) || change.new.is_some_and(selects) {
                wake.push(change.key.clone());
            }
        });
        let wake = Arc::clone(&queue);
        let by_pod = Arc::clone(&services);
        pods.listen(move |change| {
            if let (Some(old), Some(new)) = (change.old, change.new)
                && build::looks_the_same(old, new)
            {
                return;
            }
            for (key, service) in by_pod.in_namespace(change.key.namespace.as_deref()) {
                let selects = |pod: &Pod| build::selects(&service, pod);
                if change.old.is_some_and(selects) || change.new.is_some_and(selects) {
                    wake.push(key);
                }
            }
        });
        let wake = Arc::clone(&queue);
        slices.listen(move |change| {
            // Someone changed or deleted what is published here.
            if let Some(slice) = change.new.or(change.old)
                && slice.manager == MANAGER
            {
                wake.push(ObjectKey {
                    namespace: change.key.namespace.clone(),
                    name: slice.service.as_str().into(),
                });
            }
        });
        Self {
            api,
            services,
            pods,
            slices,
            queue,
        }
    }

    pub(crate) async fn run(self) {
        self.services.synced().await;
        self.pods.synced().await;
        self.slices.synced().await;
        self.queue.work("endpoints", |key| self.pass(key)).await;
    }

    async fn pass(&self, key: ObjectKey) -> Result<Option<Duration>, CallError> {
        let published = self.published(&key);
        let Some(service) = self.services.get(&key) else {
            // Endpoints that belong to a Service of a new incarnation are written again at once.
            if let Some(uid) = self.endpoints_uid(&key).await? {
                self.api
                    .delete(&ENDPOINTS, &key, &uid, PropagationPolicy::Background)
                    .await?;
            }
            return Ok(None);
        };
        if service.selector.is_empty() {
            return Ok(None);
        }
        let pods = self.pods.in_namespace(key.namespace.as_deref());
        let selected: Vec<_> = pods
            .iter()
            .filter(|(_, pod)| build::selects(&service, pod))
            .map(|(key, pod)| (key, pod.as_ref()))
            .collect();
        let wanted = build::slices(&key, &service, &selected);
        let applied = self.publish(&key, &service, &selected, &wanted).await;
        match applied {
            Ok(()) => {}
            // The namespace is being deleted: nothing new may appear in it.
            Err(CallError::Refused { code: 403, .. } | CallError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let stale = published.iter().filter(|(slice, _)| {
            let name = |object: &Value| object["metadata"]["name"] == *slice.name;
            !wanted.iter().any(name)
        });
        for (slice, view) in stale {
            self.api
                .delete(&SLICE, slice, &view.uid, PropagationPolicy::Background)
                .await?;
        }
        Ok(None)
    }

    async fn publish(
        &self,
        key: &ObjectKey,
        service: &Service,
        selected: &[(&ObjectKey, &Pod)],
        slices: &[Value],
    ) -> Result<(), CallError> {
        for slice in slices {
            let slice_key = ObjectKey {
                namespace: key.namespace.clone(),
                name: slice["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .into(),
            };
            // An apply that changes nothing writes nothing.
            self.api.apply(&SLICE, &slice_key, slice).await?;
        }
        let endpoints = build::endpoints(service, selected);
        self.api.apply(&ENDPOINTS, key, &endpoints).await?;
        Ok(())
    }

    /// The slices that are published for the Service.
    fn published(&self, key: &ObjectKey) -> Vec<(ObjectKey, Arc<Slice>)> {
        let mut slices = self.slices.in_namespace(key.namespace.as_deref());
        slices.retain(|(_, slice)| slice.manager == MANAGER && *slice.service == *key.name);
        slices
    }

    async fn endpoints_uid(&self, key: &ObjectKey) -> Result<Option<String>, CallError> {
        let live = self.api.get_metadata(&ENDPOINTS, key).await?;
        let ours = live.as_ref().filter(|live| {
            let label = "/metadata/labels/endpoints.kubernetes.io~1managed-by";
            live.pointer(label)
                .is_some_and(|manager| manager == build::ENDPOINTS_MANAGER)
        });
        let uid = ours.and_then(|live| live.pointer("/metadata/uid"));
        Ok(uid.and_then(Value::as_str).map(str::to_owned))
    }
}
