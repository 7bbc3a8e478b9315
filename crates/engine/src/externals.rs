//! Work outside of the Kubernetes API, and its results until a plan has seen them.
//!
//! Laws: one key of one object runs at most once at a time; a result is kept until a pass that saw
//! it went through; everything is forgotten when leadership ends, because another process may
//! already be doing it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::kind::ObjectKey;
use crate::object::Object;
use crate::view::External;

/// Results by object, and the way to start more. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Externals {
    results: Arc<Mutex<HashMap<ObjectKey, Results>>>,
    start: mpsc::UnboundedSender<Request>,
}

/// Work to be started.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) object: Object,
    pub(crate) external: String,
}

#[derive(Debug, Default)]
struct Results {
    uid: String,
    by_key: BTreeMap<String, External>,
}

impl Externals {
    /// An empty memory, and the queue of work to start. The queue needs no bound of its own: it
    /// holds each key of each object at most once.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (start, requests) = mpsc::unbounded_channel();
        (
            Self {
                results: Arc::default(),
                start,
            },
            requests,
        )
    }

    /// What is known for one incarnation of an object.
    pub(crate) fn of(&self, key: &ObjectKey, uid: &str) -> BTreeMap<String, External> {
        match self.results.lock().get(key) {
            Some(results) if results.uid == uid => results.by_key.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// What became of one piece of work; starts it if nothing is known. `None` means it was just
    /// started.
    pub(crate) fn ask(&self, object: &Object, external: &str) -> Option<External> {
        let mut all = self.results.lock();
        let results = all.entry(object.key()).or_default();
        if results.uid != object.uid() {
            *results = Results {
                uid: object.uid().to_owned(),
                by_key: BTreeMap::new(),
            };
        }
        if let Some(known) = results.by_key.get(external) {
            return Some(known.clone());
        }
        results
            .by_key
            .insert(external.to_owned(), External::Running);
        // The receiver lives as long as the runner that calls this.
        let _ = self.start.send(Request {
            object: object.clone(),
            external: external.to_owned(),
        });
        None
    }

    /// Work ended. Ignored when the object was replaced meanwhile.
    pub(crate) fn finish(&self, object: &Object, external: String, result: External) {
        if let Some(results) = self.results.lock().get_mut(&object.key())
            && results.uid == object.uid()
        {
            results.by_key.insert(external, result);
        }
    }

    /// Forgets finished work of an object but what `keep` names.
    pub(crate) fn keep_only(&self, key: &ObjectKey, keep: impl Fn(&str) -> bool) {
        let mut all = self.results.lock();
        if let Some(results) = all.get_mut(key) {
            results
                .by_key
                .retain(|external, state| *state == External::Running || keep(external));
            if results.by_key.is_empty() {
                all.remove(key);
            }
        }
    }

    /// Forgets everything about an object that is gone.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.results.lock().remove(key);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.results.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str) -> Object {
        Object::new(json!({ "metadata": { "namespace": "team", "name": "a", "uid": uid } }))
    }

    #[test]
    fn work_is_started_once_and_its_result_is_kept_until_it_was_seen() {
        let (externals, mut requests) = Externals::new();
        let app = object("1");
        assert_eq!(externals.ask(&app, "hook"), None);
        assert_eq!(externals.ask(&app, "hook"), Some(External::Running));
        assert_eq!(requests.try_recv().unwrap().external, "hook");
        assert!(requests.try_recv().is_err());

        externals.keep_only(&app.key(), |_| false);
        assert_eq!(
            externals.ask(&app, "hook"),
            Some(External::Running),
            "running work stays"
        );
        externals.finish(&app, "hook".to_owned(), External::Done(json!(7)));
        assert_eq!(
            externals.of(&app.key(), "1")["hook"],
            External::Done(json!(7))
        );
        externals.keep_only(&app.key(), |_| false);
        assert!(externals.of(&app.key(), "1").is_empty());
    }

    #[test]
    fn results_belong_to_one_incarnation() {
        let (externals, _requests) = Externals::new();
        externals.ask(&object("1"), "hook");
        assert_eq!(
            externals.ask(&object("2"), "hook"),
            None,
            "the new object starts over"
        );
        externals.finish(
            &object("1"),
            "hook".to_owned(),
            External::Failed("late".to_owned()),
        );
        assert_eq!(
            externals.of(&object("2").key(), "2")["hook"],
            External::Running
        );
    }
}
