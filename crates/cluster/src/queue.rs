//! The work of a controller: keys that need a look, each once, some of them later.
//!
//! Laws:
//! - a key is in the queue at most once, at the earliest time anyone asked for;
//! - a key that fails comes back after a delay that doubles up to a cap, until a pass succeeds;
//! - one worker takes keys one at a time, so a key is never worked on twice at once.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The queue of one controller.
pub(crate) struct Queue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
}

struct Inner<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

impl<K: Clone + Ord + Hash + Display> Queue<K> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                by_time: BTreeSet::new(),
                by_key: HashMap::new(),
                failures: HashMap::new(),
            }),
            changed: Notify::new(),
        }
    }

    /// Asks for a look now.
    pub(crate) fn push(&self, key: K) {
        self.push_after(key, Duration::ZERO);
    }

    /// Asks for a look after a while; an earlier time that was asked for stands.
    pub(crate) fn push_after(&self, key: K, delay: Duration) {
        let at = Instant::now() + delay;
        let mut inner = self.inner.lock();
        if let Some(known) = inner.by_key.get(&key).copied() {
            if known <= at {
                return;
            }
            inner.by_time.remove(&(known, key.clone()));
        }
        inner.by_key.insert(key.clone(), at);
        inner.by_time.insert((at, key));
        drop(inner);
        self.changed.notify_one();
    }

    /// Works on keys for ever: a pass may name the time of the next one.
    pub(crate) async fn work<F, E>(&self, name: &'static str, pass: impl Fn(K) -> F)
    where
        F: Future<Output = Result<Option<Duration>, E>>,
        E: Display,
    {
        loop {
            let key = self.next().await;
            match pass(key.clone()).await {
                Ok(again) => {
                    self.inner.lock().failures.remove(&key);
                    if let Some(delay) = again {
                        self.push_after(key, delay);
                    }
                }
                Err(error) => {
                    let delay = self.failed(&key);
                    tracing::debug!(controller = name, %key, %error, ?delay, "pass failed");
                    self.push_after(key, delay);
                }
            }
        }
    }

    /// The next key whose time has come.
    async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut inner = self.inner.lock();
                match inner.by_time.first().cloned() {
                    Some((at, key)) if at <= Instant::now() => {
                        inner.by_time.remove(&(at, key.clone()));
                        inner.by_key.remove(&key);
                        return key;
                    }
                    Some((at, _)) => Some(at),
                    None => None,
                }
            };
            match due {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    fn failed(&self, key: &K) -> Duration {
        let mut inner = self.inner.lock();
        let failures = inner.failures.entry(key.clone()).or_default();
        let delay = FIRST_RETRY.saturating_mul(1 << (*failures).min(12));
        *failures += 1;
        delay.min(LAST_RETRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_waits_once_at_the_earliest_time_asked_for() {
        let queue = Queue::<String>::new();
        queue.push_after("later".to_owned(), Duration::from_secs(1000));
        queue.push_after("later".to_owned(), Duration::from_millis(20));
        queue.push_after("later".to_owned(), Duration::from_secs(500));
        queue.push("now".to_owned());
        queue.push("now".to_owned());
        let start = Instant::now();
        assert_eq!(queue.next().await, "now");
        assert_eq!(queue.next().await, "later");
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(20), "{waited:?}");
        assert!(waited < Duration::from_secs(100), "{waited:?}");
        assert!(queue.inner.lock().by_key.is_empty());
    }

    #[tokio::test]
    async fn a_key_that_is_pushed_while_someone_waits_is_taken() {
        let queue = Queue::<String>::new();
        let (taken, ()) = tokio::join!(queue.next(), async {
            tokio::task::yield_now().await;
            queue.push("key".to_owned());
        });
        assert_eq!(taken, "key");
    }

    #[tokio::test]
    async fn failures_are_spaced_out_and_forgotten_after_a_success() {
        let queue = Queue::<String>::new();
        let key = "key".to_owned();
        let delays: Vec<u128> = (0..14).map(|_| queue.failed(&key).as_millis()).collect();
        assert_eq!(delays[..4], [50, 100, 200, 400]);
        assert_eq!(delays[13], 5_000);
        queue.push(key);
        let done = Notify::new();
        let work = queue.work("test", |_| {
            done.notify_one();
            async { Ok::<_, String>(None) }
        });
        tokio::select! {
            () = work => {}
            () = async {
                done.notified().await;
                while !queue.inner.lock().failures.is_empty() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        assert!(queue.inner.lock().by_key.is_empty());
    }
}
