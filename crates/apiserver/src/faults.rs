//! Faults on request: what a network, a stale replica or a dying server can do to a client.
//!
//! Faults act on requests after authentication, in-process and over TLS alike, in the order in
//! which they were injected; the first one that is due decides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use parking_lot::Mutex;

use crate::http::{Target, Verb};

/// Which requests a fault is about; what is not said matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    verb: Option<Verb>,
    resource: Option<(String, String)>,
    subresource: Option<String>,
    name: Option<String>,
    user: Option<String>,
}

impl Calls {
    /// Every call.
    pub fn any() -> Self {
        Self::default()
    }

    /// Calls with this verb.
    pub fn verb(verb: Verb) -> Self {
        Self {
            verb: Some(verb),
            ..Self::default()
        }
    }

    /// Only on this resource, `("", "pods")` for example.
    #[must_use]
    pub fn on(mut self, group: &str, plural: &str) -> Self {
        self.resource = Some((group.to_owned(), plural.to_owned()));
        self
    }

    /// Only on this subresource; an empty name means the object itself.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        self.subresource = Some(name.to_owned());
        self
    }

    /// Only on the object of this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only by this user.
    #[must_use]
    pub fn by(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    fn matches(&self, verb: Verb, target: &Target, user: &str) -> bool {
        self.verb.is_none_or(|wanted| wanted == verb)
            && self
                .resource
                .as_ref()
                .is_none_or(|(group, plural)| *group == target.group && *plural == target.plural)
            && self
                .subresource
                .as_ref()
                .is_none_or(|wanted| *wanted == target.subresource)
            && self
                .name
                .as_ref()
                .is_none_or(|wanted| *wanted == target.name)
            && self.user.as_ref().is_none_or(|wanted| wanted == user)
    }
}

/// Which of the matching calls are hit, counted from 1 and from the injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only this one.
    Nth(u64),
    /// This many from the first.
    First(u64),
    /// All of them.
    Always,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this code and changes nothing.
    Refuse(StatusCode),
    /// It is carried out later.
    Delay(Duration),
    /// It is carried out, and answered with this code as if it had not been.
    LoseAnswer(StatusCode),
    /// It is carried out twice; the client sees the first answer.
    Duplicate,
    /// A get or list is answered with the state at this revision.
    OldRevision(u64),
    /// A watch begins with `410 Expired`.
    ExpireWatch,
}

/// The faults of a server; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    injected: Arc<Mutex<Vec<Arc<Injected>>>>,
}

/// A fault that is in place; dropping the handle leaves it there.
#[derive(Debug, Clone)]
pub struct FaultHandle {
    faults: Faults,
    injected: Arc<Injected>,
}

#[derive(Debug)]
struct Injected {
    calls: Calls,
    when: When,
    fault: Fault,
    seen: AtomicU64,
    hits: AtomicU64,
}

impl Faults {
    /// Puts a fault in place.
    pub fn inject(&self, calls: Calls, when: When, fault: Fault) -> FaultHandle {
        let injected = Arc::new(Injected {
            calls,
            when,
            fault,
            seen: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        });
        self.injected.lock().push(Arc::clone(&injected));
        FaultHandle {
            faults: self.clone(),
            injected,
        }
    }

    /// Takes all faults away.
    pub fn clear(&self) {
        self.injected.lock().clear();
    }

    /// The fault that this call meets.
    pub(crate) fn meet(&self, verb: Verb, target: &Target, user: &str) -> Option<Fault> {
        let injected = self.injected.lock();
        let mut met = None;
        for entry in injected
            .iter()
            .filter(|entry| entry.calls.matches(verb, target, user))
        {
            let seen = entry.seen.fetch_add(1, Ordering::Relaxed) + 1;
            let due = match entry.when {
                When::Nth(number) => seen == number,
                When::First(count) => seen <= count,
                When::Always => true,
            };
            if due && met.is_none() {
                entry.hits.fetch_add(1, Ordering::Relaxed);
                met = Some(entry.fault.clone());
            }
        }
        met
    }
}

impl FaultHandle {
    /// How many calls it has hit.
    pub fn hits(&self) -> u64 {
        self.injected.hits.load(Ordering::Relaxed)
    }

    /// How many calls it was asked about.
    pub fn seen(&self) -> u64 {
        self.injected.seen.load(Ordering::Relaxed)
    }

    /// Takes this fault away.
    pub fn remove(&self) {
        self.faults
            .injected
            .lock()
            .retain(|entry| !Arc::ptr_eq(entry, &self.injected));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Target {
        Target {
            plural: "pods".to_owned(),
            ..Target::default()
        }
    }

    #[test]
    fn the_nth_matching_call_is_hit_and_no_other() {
        let faults = Faults::default();
        let handle = faults.inject(
            Calls::verb(Verb::Create).on("", "pods"),
            When::Nth(2),
            Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        );
        let met: Vec<bool> = (0..4)
            .map(|_| {
                assert_eq!(faults.meet(Verb::Get, &pods(), "u"), None);
                faults.meet(Verb::Create, &pods(), "u").is_some()
            })
            .collect();
        assert_eq!(met, [false, true, false, false]);
        assert_eq!((handle.hits(), handle.seen()), (1, 4));
    }

    #[test]
    fn a_removed_fault_is_gone_and_the_others_stay() {
        let faults = Faults::default();
        let first = faults.inject(Calls::any(), When::Always, Fault::Duplicate);
        let _second = faults.inject(Calls::any().named("x"), When::Always, Fault::ExpireWatch);
        first.remove();
        assert_eq!(faults.meet(Verb::Get, &pods(), "u"), None);
        let named = Target {
            name: "x".to_owned(),
            ..pods()
        };
        assert_eq!(
            faults.meet(Verb::Get, &named, "u"),
            Some(Fault::ExpireWatch)
        );
    }
}
