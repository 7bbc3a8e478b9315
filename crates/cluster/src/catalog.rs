//! Which kinds the API serves, including those that custom resources add while we run.

use std::sync::Arc;
use std::time::Duration;

use kube::discovery::{Discovery, Scope as KubeScope, verbs};
use serde_json::Value;
use tokio::sync::watch;
use windlass_engine::Kind;
use windlass_engine::kind::Scope;

use crate::api::{Api, CallError};
use crate::mirror::{Mirror, View};
use crate::queue::Queue;

/// Custom resources come in groups; one look a little later sees them all.
const SETTLE: Duration = Duration::from_millis(200);

/// A kind that has objects which can be listed, watched and deleted.
pub(crate) type Kinds = Arc<Vec<Kind>>;

/// The kinds, kept up to date.
pub(crate) struct Catalog {
    api: Api,
    kinds: watch::Sender<Kinds>,
}

impl Catalog {
    pub(crate) fn new(api: Api) -> Self {
        Self {
            api,
            kinds: watch::Sender::new(Kinds::default()),
        }
    }

    /// The kinds as last seen; empty before the first look.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Kinds> {
        self.kinds.subscribe()
    }

    /// The kind an owner reference names, asking the API again if it is not known.
    pub(crate) async fn find(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Kind>, CallError> {
        let same_group = |known: &&Kind| {
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            known.group == group && known.kind == kind
        };
        let known = self.kinds.borrow().iter().find(same_group).cloned();
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.look().await?.iter().find(same_group).cloned())
    }

    /// Asks the API.
    pub(crate) async fn look(&self) -> Result<Kinds, CallError> {
        let discovery = Discovery::new(self.api.client().clone());
        let discovered = match discovery.run_aggregated().await {
            Ok(discovered) => discovered,
            Err(_not_aggregated) => Discovery::new(self.api.client().clone())
                .run()
                .await
                .map_err(|error| CallError::Unavailable(error.to_string()))?,
        };
        // A group may serve some kinds at other versions than its first one alone.
        let mut kinds: Vec<Kind> = discovered
            .groups()
            .flat_map(|group| group.resources_by_stability())
            .filter(|(_, capabilities)| {
                [verbs::LIST, verbs::WATCH, verbs::DELETE]
                    .iter()
                    .all(|verb| capabilities.supports_operation(verb))
            })
            .map(|(resource, capabilities)| Kind {
                group: resource.group.into(),
                version: resource.version.into(),
                kind: resource.kind.into(),
                plural: resource.plural.into(),
                scope: match capabilities.scope {
                    KubeScope::Namespaced => Scope::Namespaced,
                    KubeScope::Cluster => Scope::Cluster,
                },
            })
            .collect();
        kinds.sort();
        let kinds = Arc::new(kinds);
        self.kinds.send_if_modified(|known| {
            let news = *known != kinds;
            if news {
                *known = Arc::clone(&kinds);
            }
            news
        });
        Ok(kinds)
    }

    /// Looks again whenever a custom resource definition changes.
    pub(crate) async fn run(self: Arc<Self>) {
        let queue = Arc::new(Queue::<&'static str>::new());
        let definitions = Mirror::<Definition>::new();
        let changed = Arc::clone(&queue);
        definitions.listen(move |_| changed.push_after("kinds", SETTLE));
        queue.push("kinds");
        let follow = definitions.run(self.api.client().clone());
        let look = queue.work("catalog", |_| async {
            self.look().await?;
            Ok::<_, CallError>(None)
        });
        tokio::join!(follow, look);
    }
}

/// A custom resource definition; only that it changed is of interest.
struct Definition;

impl View for Definition {
    const KIND: Kind = Kind::cluster(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );

    fn read(_object: Value) -> Result<Self, serde_json::Error> {
        Ok(Self)
    }
}
