//! The lines of all namespaces, kept at hand: what they say follows from the applications that the
//! operator's store has, so it is as old as the store and never older.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use windlass_engine::{Object, ObjectKey};

use super::{Entry, Line, Policy, Rank, Standing};

/// How many of those that wait look again when something changes for them. Whoever is let in is
/// such a change, so the next ones follow.
const WOKEN: usize = 4;

/// The lines of all namespaces.
#[derive(Debug, Default)]
pub struct Ledger {
    lines: Mutex<HashMap<Arc<str>, Line>>,
}

impl Ledger {
    /// An application changed; names those that should look again because of it.
    pub fn changed(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        let Some(application) = new.or(old) else {
            return Vec::new();
        };
        let namespace: Arc<str> = application.namespace().unwrap_or_default().into();
        let mut lines = self.lines.lock();
        let line = lines.entry(Arc::clone(&namespace)).or_default();
        let concerns_others = match new {
            Some(application) => line.note(Entry::of(application)),
            None => line.forget(application.name()),
        };
        let woken = if concerns_others {
            let claiming = line.claiming().map(|name| key(&namespace, name));
            let mut woken: Vec<ObjectKey> = claiming.collect();
            woken.extend(first(&namespace, line, WOKEN));
            woken
        } else {
            Vec::new()
        };
        if line.is_empty() {
            lines.remove(&namespace);
        }
        woken
    }

    /// Everybody who waits in a namespace.
    pub fn waiting(&self, namespace: &str) -> Vec<ObjectKey> {
        let lines = self.lines.lock();
        let line = lines.get_key_value(namespace);
        line.map(|(namespace, line)| first(namespace, line, usize::MAX))
            .unwrap_or_default()
    }

    /// What an application of this rank sees.
    pub fn standing(&self, namespace: &str, me: &Rank, policy: Policy) -> Standing {
        match self.lines.lock().get(namespace) {
            Some(line) => line.standing(me, policy),
            None => Line::default().standing(me, policy),
        }
    }
}

fn first(namespace: &Arc<str>, line: &Line, count: usize) -> Vec<ObjectKey> {
    let waiting = line.waiting().take(count);
    waiting.map(|name| key(namespace, name)).collect()
}

fn key(namespace: &Arc<str>, name: &Arc<str>) -> ObjectKey {
    ObjectKey::namespaced(Arc::clone(namespace), Arc::clone(name))
}
