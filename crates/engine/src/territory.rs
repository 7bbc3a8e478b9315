//! What an engine is responsible for: some namespaces, or those with a label, and in them some
//! objects, or all.
//!
//! Laws:
//! - what is outside is not planned, not read and not kept: no status, no event, no memory;
//! - namespaces with a label come and go while the engine runs. One that comes is planned when every
//!   store has its first full list of it, as at the start of the engine; one that goes is forgotten,
//!   and what runs in it goes on for whoever has it next;
//! - a watch may be late, so a decision that needs live reads asks for the labels of the namespace,
//!   too. Two engines may think for a moment that an object is theirs; what keeps that harmless is
//!   the same as for two that were started by mistake: names, uids and resourceVersions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::Client;
use parking_lot::RwLock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiClient, ApiError};
use crate::controller::{Trim, Watch};
use crate::kind::{Kind, ObjectKey, Scope};
use crate::metrics::Metrics;
use crate::object::Object;
use crate::runner::Run;
use crate::selector::Selector;
use crate::store::{Store, Subscriber};
use crate::watch::feed;

/// What an engine is responsible for; everything, unless it is said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Territory {
    /// Where objects are looked at.
    pub namespaces: Namespaces,
    /// Which labels the objects of primary kinds must have; all of them when not given.
    pub objects: Option<Selector>,
}

/// Where objects are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// In the whole cluster.
    #[default]
    All,
    /// In these alone.
    Named(Vec<String>),
    /// In those whose Namespace object matches, at any time.
    Selected(Selector),
}

impl Territory {
    /// Some namespaces; all of them where the list is empty.
    pub fn of_namespaces(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self {
            namespaces: if names.is_empty() {
                Namespaces::All
            } else {
                Namespaces::Named(names)
            },
            objects: None,
        }
    }

    /// A primary kind's watch, which shows only the objects that are meant.
    pub(crate) fn primary(&self, mut watch: Watch) -> Watch {
        let Some(objects) = self.objects.as_ref().filter(|it| !it.is_everything()) else {
            return watch;
        };
        watch.label_selector = Some(match watch.label_selector {
            Some(own) => format!("{own},{objects}"),
            None => objects.to_string(),
        });
        watch
    }

    /// The parts of a store that are watched from the start; `None` is everything at once. Those of
    /// namespaces with a label are not known yet.
    pub(crate) fn parts(&self, scope: Scope) -> Vec<Option<String>> {
        match (scope, &self.namespaces) {
            (Scope::Cluster, _) | (Scope::Namespaced, Namespaces::All) => vec![None],
            (Scope::Namespaced, Namespaces::Named(names)) => {
                names.iter().cloned().map(Some).collect()
            }
            (Scope::Namespaced, Namespaces::Selected(_)) => Vec::new(),
        }
    }

    /// How many first lists a store of this scope waits for. Where namespaces have a label, that is
    /// the list of the namespaces.
    pub(crate) fn first_lists(&self, scope: Scope) -> usize {
        self.parts(scope).len().max(1)
    }
}

/// The namespaces that are the engine's at the moment.
#[derive(Debug, Clone)]
pub(crate) enum Served {
    /// All that the stores show.
    Shown,
    /// Those whose objects the stores know all of.
    Selected {
        selector: Selector,
        entered: Arc<RwLock<BTreeSet<Arc<str>>>>,
    },
}

impl Served {
    pub(crate) fn of(territory: &Territory) -> Self {
        match &territory.namespaces {
            Namespaces::All | Namespaces::Named(_) => Self::Shown,
            Namespaces::Selected(selector) => Self::Selected {
                selector: selector.clone(),
                entered: Arc::default(),
            },
        }
    }

    /// Whether objects of this namespace may be planned.
    pub(crate) fn includes(&self, namespace: Option<&str>) -> bool {
        match (self, namespace) {
            (Self::Selected { entered, .. }, Some(namespace)) => entered.read().contains(namespace),
            (Self::Selected { .. } | Self::Shown, _) => true,
        }
    }

    /// Whether the namespace of this object has the label still, by the API's word.
    pub(crate) async fn is_ours_now(
        &self,
        api: &ApiClient,
        key: &ObjectKey,
    ) -> Result<bool, ApiError> {
        let (Self::Selected { selector, .. }, Some(namespace)) = (self, &key.namespace) else {
            return Ok(true);
        };
        let namespace = ObjectKey::cluster(Arc::clone(namespace));
        let found = api.get(&Kind::NAMESPACE, &namespace).await?;
        Ok(found.is_some_and(|found| selector.selects(&found)))
    }

    fn enter(&self, namespace: &str) {
        if let Self::Selected { entered, .. } = self {
            entered.write().insert(namespace.into());
        }
    }

    fn leave(&self, namespace: &str) {
        if let Self::Selected { entered, .. } = self {
            entered.write().remove(namespace);
        }
    }
}

/// Of a namespace nothing matters but that it is there and matches.
const NAME_ALONE: Trim = Trim {
    name: "name-alone",
    apply: |namespace| {
        if let Some(fields) = namespace.as_object_mut() {
            fields.retain(|name, _| ["apiVersion", "kind", "metadata"].contains(&name.as_str()));
        }
    },
};

/// The store of the namespaces that match.
pub(crate) fn namespaces(territory: &Territory) -> Option<Arc<Store>> {
    let Namespaces::Selected(selector) = &territory.namespaces else {
        return None;
    };
    let mut watch = Watch::all(Kind::NAMESPACE).trim(NAME_ALONE);
    if !selector.is_everything() {
        watch = watch.labels(selector.to_string());
    }
    Some(Arc::new(Store::new(&watch, 1)))
}

/// What a [`Keeper`] hears of.
enum News {
    /// The namespaces were listed for the first time.
    Listed,
    /// This one matches now.
    Comes(String),
    /// This one is gone, or does not match any more.
    Goes(String),
    /// Every store has its first full list of this one, since it came for the n-th time.
    Known(String, u64),
}

/// Tells a keeper what the store of namespaces shows.
struct Teller(mpsc::UnboundedSender<News>);

impl Subscriber for Teller {
    fn changed(&self, _: &Store, old: Option<&Object>, new: Option<&Object>) {
        let name = |object: &Object| object.name().to_owned();
        let news = match (old, new) {
            (None, Some(new)) => News::Comes(name(new)),
            (Some(old), None) => News::Goes(name(old)),
            _ => return,
        };
        // Without a keeper the engine has ended.
        let _ = self.0.send(news);
    }
}

/// Keeps the stores at the namespaces that match.
pub(crate) struct Keeper {
    pub(crate) namespaces: Arc<Store>,
    pub(crate) stores: Vec<Arc<Store>>,
    pub(crate) runners: Vec<Arc<dyn Run>>,
    pub(crate) served: Served,
    pub(crate) client: Client,
    pub(crate) metrics: Metrics,
}

/// The watches of one namespace.
struct Watched {
    turn: u64,
    stop: CancellationToken,
    feeds: JoinSet<()>,
    waiting: JoinSet<()>,
}

impl Keeper {
    /// Works until `stop`.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let (sender, mut news) = mpsc::unbounded_channel();
        let teller = Arc::new(Teller(sender.clone()));
        let subscriber: Arc<dyn Subscriber> = teller.clone();
        self.namespaces.subscribe(Arc::downgrade(&subscriber));
        let listed = sender.clone();
        let store = Arc::clone(&self.namespaces);
        let first = move || {
            store.part_synced();
            let _ = listed.send(News::Listed);
        };
        let watching = feed(
            Arc::clone(&self.namespaces),
            self.client.clone(),
            None,
            self.metrics.clone(),
            first,
            stop.child_token(),
        );
        let mut watching = std::pin::pin!(watching);
        let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
        let mut turn = 0;
        loop {
            let news = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = &mut watching => break,
                Some(news) = news.recv() => news,
            };
            match news {
                News::Listed => self.namespaced().for_each(|store| store.part_synced()),
                News::Comes(name) => {
                    turn += 1;
                    let begun = self.watch(&name, turn, &sender, &stop);
                    if let Some(before) = watched.insert(name.clone(), begun) {
                        before.end().await;
                    }
                }
                News::Known(name, turn) => {
                    // The word about one that has gone meanwhile means nothing.
                    if watched.get(&name).is_some_and(|it| it.turn == turn) {
                        tracing::info!(namespace = %name, "a namespace is served from now on");
                        self.served.enter(&name);
                        self.runners.iter().for_each(|runner| runner.entered(&name));
                    }
                }
                News::Goes(name) => {
                    self.served.leave(&name);
                    if let Some(before) = watched.remove(&name) {
                        tracing::info!(namespace = %name, "a namespace is served no longer");
                        before.end().await;
                        self.forget(&name);
                    }
                }
            }
        }
        for (_, of_name) in watched {
            of_name.end().await;
        }
    }

    fn namespaced(&self) -> impl Iterator<Item = &Arc<Store>> {
        let stores = self.stores.iter();
        stores.filter(|store| store.kind().scope == Scope::Namespaced)
    }

    /// Begins to watch a namespace.
    fn watch(
        &self,
        name: &str,
        turn: u64,
        news: &mpsc::UnboundedSender<News>,
        stop: &CancellationToken,
    ) -> Watched {
        let stop = stop.child_token();
        let mut feeds = JoinSet::new();
        let mut listed = Vec::new();
        for store in self.namespaced() {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            listed.push(receiver);
            feeds.spawn(feed(
                Arc::clone(store),
                self.client.clone(),
                Some(name.to_owned()),
                self.metrics.clone(),
                move || {
                    // Whoever waited has gone with the namespace.
                    let _ = sender.send(());
                },
                stop.clone(),
            ));
        }
        let (name, news) = (name.to_owned(), news.clone());
        let mut waiting = JoinSet::new();
        waiting.spawn(async move {
            for listed in listed {
                if listed.await.is_err() {
                    return;
                }
            }
            let _ = news.send(News::Known(name, turn));
        });
        Watched {
            turn,
            stop,
            feeds,
            waiting,
        }
    }

    /// Whoever plans hears that all objects of the namespace are gone.
    fn forget(&self, name: &str) {
        for store in self.namespaced() {
            store.replace(Some(name), Vec::new());
            store.set_problem(None);
        }
    }
}

impl Watched {
    /// Returns when nothing is put into a store any more.
    async fn end(mut self) {
        self.stop.cancel();
        self.waiting.abort_all();
        while self.feeds.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(selector: &str) -> Territory {
        Territory {
            namespaces: Namespaces::Selected(selector.parse().unwrap()),
            objects: None,
        }
    }

    #[test]
    fn cluster_scoped_kinds_are_watched_once_whatever_the_namespaces() {
        let some = Territory::of_namespaces(vec!["b".to_owned(), "a".to_owned(), "b".to_owned()]);
        let all = Territory::of_namespaces(Vec::new());
        for (territory, namespaced, first_lists) in
            [(&all, 1, 1), (&some, 2, 2), (&selected("team=a"), 0, 1)]
        {
            assert_eq!(territory.parts(Scope::Cluster), [None]);
            assert_eq!(territory.parts(Scope::Namespaced).len(), namespaced);
            assert_eq!(territory.first_lists(Scope::Namespaced), first_lists);
        }
    }

    #[test]
    fn a_primary_kind_is_watched_by_its_own_selector_and_the_one_of_the_territory() {
        let territory = Territory {
            objects: Some("team=etl".parse().unwrap()),
            ..Territory::default()
        };
        let bare = territory.primary(Watch::all(Kind::POD));
        assert_eq!(bare.label_selector.as_deref(), Some("team=etl"));
        let own = territory.primary(Watch::all(Kind::POD).labels("app"));
        assert_eq!(own.label_selector.as_deref(), Some("app,team=etl"));
        let all = Territory::default().primary(Watch::all(Kind::POD));
        assert_eq!(all, Watch::all(Kind::POD));
    }

    #[test]
    fn a_namespace_is_served_from_its_entry_to_its_leave() {
        let served = Served::of(&selected("team=a"));
        assert!(!served.includes(Some("etl")));
        served.enter("etl");
        assert!(served.includes(Some("etl")) && !served.includes(Some("ml")));
        served.leave("etl");
        assert!(!served.includes(Some("etl")));
        assert!(
            served.includes(None),
            "what is in no namespace is everybody's"
        );
        assert!(Served::of(&Territory::default()).includes(Some("any")));
    }
}
