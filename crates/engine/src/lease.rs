//! Leadership by one Lease.
//!
//! The rules are client-go's: a holder's claim is over when the Lease has not *changed* for its
//! duration, measured on this process's own clock from when it saw the last change; times written
//! by others are never compared with local ones. Every write carries the resourceVersion that was
//! read. A leader that could not renew for the renew deadline stops acting, well before others
//! may take over, and one that shuts down gives the Lease back.
//!
//! The Lease does not fence: two processes may still believe to lead for a moment. What keeps
//! them from harm are names, uids and preconditions; the Lease only keeps them from working twice.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiClient, ApiError};
use crate::events::micro_time;
use crate::kind::{Kind, ObjectKey};
use crate::object::Object;

/// Which Lease, who asks for it, and how patient everyone is.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseConfig {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub name: String,
    /// Names this process among its peers. Must be unique to a process: a process that starts
    /// with the identity of the holder takes over at once.
    pub identity: String,
    /// How long an unchanged Lease is respected.
    pub duration: Duration,
    /// How long a leader acts without a successful renewal. Must be shorter than `duration`.
    pub renew_deadline: Duration,
    /// How long to wait between tries.
    pub retry_period: Duration,
}

impl LeaseConfig {
    /// A Lease with the times client-go's users have: 15, 10 and 2 seconds.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        identity: impl Into<String>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::namespaced(self.namespace.as_str(), self.name.as_str())
    }
}

/// Whether this process may act.
#[derive(Debug, Clone, Default)]
pub(crate) enum Leadership {
    /// The Lease has not been read yet.
    #[default]
    Unknown,
    /// Someone else leads.
    Standby,
    /// This process leads until the token is cancelled.
    Leader(CancellationToken),
}

/// Seeks, keeps and finally gives back the Lease; publishes what that means. Runs as one task
/// until `stop`.
pub(crate) async fn seek(
    config: LeaseConfig,
    api: ApiClient,
    leadership: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    let mut candidate = Candidate {
        elector: Elector::new(config),
        api,
        leadership,
    };
    while !stop.is_cancelled() {
        // A call that hangs must not keep a leader in office.
        let deadline = candidate.elector.deadline();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            result = candidate.attempt() => {
                if let Err(error) = result {
                    tracing::warn!(%error, "the Lease could not be read or renewed");
                }
            }
            () = sleep_until(deadline) => {}
        }
        candidate.publish();
        let deadline = candidate.elector.deadline();
        let pause = candidate.elector.pause();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
            () = sleep_until(deadline) => {}
        }
        candidate.publish();
    }
    candidate.resign().await;
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

struct Candidate {
    elector: Elector,
    api: ApiClient,
    leadership: watch::Sender<Leadership>,
}

impl Candidate {
    async fn attempt(&mut self) -> Result<(), ApiError> {
        let key = self.elector.config.key();
        let manager = "windlass-lease";
        let found = self.api.get(&Kind::LEASE, &key).await?;
        let observed = found.as_ref().map(Record::read);
        // The claim counts from before it was sent: others may see it from then on.
        let now = Instant::now();
        let reply = match (self.elector.observe(observed, now, Timestamp::now()), found) {
            (Move::Wait, _) => return Ok(()),
            (Move::Claim(record), None) => {
                let body = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {
                        "namespace": self.elector.config.namespace,
                        "name": self.elector.config.name,
                    },
                    "spec": record.spec(),
                });
                self.api.create(&Kind::LEASE, &body, manager).await?
            }
            (Move::Claim(record), Some(lease)) => {
                let mut body = lease.into_value();
                body["spec"] = record.spec();
                self.api.update(&Kind::LEASE, &body, manager).await?
            }
        };
        self.elector.claimed(Record::read(&reply), now);
        Ok(())
    }

    fn publish(&mut self) {
        let leads = self.elector.leads(Instant::now());
        if !leads {
            // An old deadline must not cut off the tries that follow.
            self.elector.renewed = None;
        }
        let identity = &self.elector.config.identity;
        self.leadership
            .send_if_modified(|leadership| match (&*leadership, leads) {
                (Leadership::Leader(_), true) | (Leadership::Standby, false) => false,
                (Leadership::Unknown | Leadership::Standby, true) => {
                    tracing::info!(%identity, "this process leads");
                    *leadership = Leadership::Leader(CancellationToken::new());
                    true
                }
                (Leadership::Unknown, false) => {
                    *leadership = Leadership::Standby;
                    true
                }
                (Leadership::Leader(term), false) => {
                    tracing::warn!(%identity, "leadership is lost");
                    term.cancel();
                    *leadership = Leadership::Standby;
                    true
                }
            });
    }

    /// Ends the term and gives the Lease back, if it is still ours.
    async fn resign(&mut self) {
        let led = self.elector.leads(Instant::now());
        self.elector.renewed = None;
        let term = self.leadership.send_replace(Leadership::Standby);
        // Whoever did not lead has nothing to give back.
        let (true, Leadership::Leader(term)) = (led, term) else {
            return;
        };
        tracing::info!(
            identity = self.elector.config.identity,
            "this process gives up the lead"
        );
        term.cancel();
        let key = self.elector.config.key();
        let given_back = async {
            let Some(lease) = self.api.get(&Kind::LEASE, &key).await? else {
                return Ok(());
            };
            let record = Record::read(&lease);
            if record.holder == self.elector.config.identity {
                let mut body = lease.into_value();
                body["spec"] = record.given_back(Timestamp::now()).spec();
                self.api
                    .update(&Kind::LEASE, &body, "windlass-lease")
                    .await?;
            }
            Ok::<_, ApiError>(())
        };
        if let Err(error) = given_back.await {
            tracing::warn!(%error, "the Lease could not be given back; it will expire");
        }
    }
}

/// The decisions, without the calls.
#[derive(Debug)]
struct Elector {
    config: LeaseConfig,
    /// The last record seen, and when it was first seen.
    seen: Option<(Record, Instant)>,
    /// When the last successful claim was sent; `None` while not leading.
    renewed: Option<Instant>,
}

/// What to do with the Lease that was read.
#[derive(Debug, PartialEq)]
enum Move {
    /// Someone else's claim holds.
    Wait,
    /// Write this.
    Claim(Record),
}

/// The part of a Lease that elections are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Record {
    holder: String,
    duration_seconds: u64,
    acquired: String,
    renewed: String,
    transitions: u64,
}

impl Elector {
    fn new(config: LeaseConfig) -> Self {
        Self {
            config,
            seen: None,
            renewed: None,
        }
    }

    /// Takes in what the Lease says now.
    fn observe(&mut self, lease: Option<Record>, now: Instant, wall: Timestamp) -> Move {
        let Some(record) = lease else {
            self.seen = None;
            return Move::Claim(self.claim(None, wall));
        };
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        self.seen = Some((record.clone(), since));
        let is_ours = record.holder == self.config.identity;
        let holds = now < since + Duration::from_secs(record.duration_seconds);
        if !is_ours && !record.holder.is_empty() && holds {
            // Even if we thought we led: the Lease says otherwise.
            self.renewed = None;
            return Move::Wait;
        }
        Move::Claim(self.claim(Some(&record), wall))
    }

    /// A claim was accepted; it was sent at `sent`.
    fn claimed(&mut self, record: Record, sent: Instant) {
        self.seen = Some((record, sent));
        self.renewed = Some(sent);
    }

    fn leads(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now < deadline)
    }

    /// When leadership ends unless it is renewed.
    fn deadline(&self) -> Option<Instant> {
        self.renewed
            .map(|renewed| renewed + self.config.renew_deadline)
    }

    /// How long to wait before the next try; a little longer for some than for others, so that
    /// candidates do not collide forever.
    fn pause(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        self.config.identity.hash(&mut hasher);
        let share = (hasher.finish() % 1024) as f64 / 1024.0;
        self.config.retry_period.mul_f64(1.0 + 0.2 * share)
    }

    fn claim(&self, before: Option<&Record>, wall: Timestamp) -> Record {
        let now = micro_time(wall);
        let (acquired, transitions) = match before {
            Some(before) if before.holder == self.config.identity => {
                (before.acquired.clone(), before.transitions)
            }
            Some(before) => (now.clone(), before.transitions + 1),
            None => (now.clone(), 0),
        };
        Record {
            holder: self.config.identity.clone(),
            duration_seconds: self.config.duration.as_secs().max(1),
            acquired,
            renewed: now,
            transitions,
        }
    }
}

impl Record {
    fn read(lease: &Object) -> Self {
        let text = |name| lease.spec()[name].as_str().unwrap_or_default().to_owned();
        let number = |name| lease.spec()[name].as_u64().unwrap_or_default();
        Self {
            holder: text("holderIdentity"),
            duration_seconds: number("leaseDurationSeconds"),
            acquired: text("acquireTime"),
            renewed: text("renewTime"),
            transitions: number("leaseTransitions"),
        }
    }

    fn spec(&self) -> Value {
        json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration_seconds,
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
            "leaseTransitions": self.transitions,
        })
    }

    /// Nobody holds it; whoever looks next may take it.
    fn given_back(&self, wall: Timestamp) -> Self {
        Self {
            holder: String::new(),
            duration_seconds: 1,
            renewed: micro_time(wall),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elector(identity: &str) -> Elector {
        Elector::new(LeaseConfig::new("system", "windlass", identity))
    }

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn held(holder: &str, renewed: i64) -> Record {
        Record {
            holder: holder.to_owned(),
            duration_seconds: 15,
            acquired: micro_time(wall(0)),
            renewed: micro_time(wall(renewed)),
            transitions: 3,
        }
    }

    #[test]
    fn an_absent_or_given_back_lease_is_claimed_at_once() {
        let now = Instant::now();
        let mut b = elector("b");
        assert!(
            matches!(b.observe(None, now, wall(0)), Move::Claim(record) if record.transitions == 0)
        );
        let Move::Claim(record) = b.observe(Some(held("", 0)), now, wall(1)) else {
            panic!("free")
        };
        assert_eq!((record.holder.as_str(), record.transitions), ("b", 4));
    }

    #[test]
    fn expiry_is_judged_by_locally_seen_change_and_not_by_remote_time() {
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut b = elector("b");
        // The remote clock is an hour behind: what it wrote means nothing here.
        assert_eq!(
            b.observe(Some(held("a", -3600)), start, wall(0)),
            Move::Wait
        );
        assert_eq!(
            b.observe(Some(held("a", -3590)), second(14), wall(14)),
            Move::Wait
        );
        assert_eq!(
            b.observe(Some(held("a", -3590)), second(28), wall(28)),
            Move::Wait
        );
        assert!(matches!(
            b.observe(Some(held("a", -3590)), second(29), wall(29)),
            Move::Claim(_)
        ));
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_before_others_may_start() {
        let start = Instant::now();
        let mut a = elector("a");
        let Move::Claim(record) = a.observe(None, start, wall(0)) else {
            panic!("free")
        };
        a.claimed(record, start);
        let config = a.config.clone();
        assert!(a.leads(start + config.renew_deadline - Duration::from_millis(1)));
        assert!(!a.leads(start + config.renew_deadline));
        assert!(config.renew_deadline < config.duration);
    }

    #[test]
    fn a_renewal_keeps_the_term_and_a_takeover_ends_it() {
        let start = Instant::now();
        let mut a = elector("a");
        let Move::Claim(first) = a.observe(None, start, wall(0)) else {
            panic!("free")
        };
        a.claimed(first.clone(), start);
        let later = start + Duration::from_secs(2);
        let Move::Claim(second) = a.observe(Some(first.clone()), later, wall(2)) else {
            panic!("still ours")
        };
        assert_eq!(
            (second.acquired, second.transitions),
            (first.acquired, first.transitions)
        );
        assert_eq!(a.observe(Some(held("b", 3)), later, wall(3)), Move::Wait);
        assert!(!a.leads(later), "the Lease names another holder");
    }

    proptest! {
        /// Two candidates with one Lease that accepts a write only on top of what was read: at no
        /// moment do both believe to lead, whatever is lost or late, as long as clocks tick alike.
        #[test]
        fn never_two_leaders(
            steps in prop::collection::vec((0..2_usize, 0..4_000_u64, any::<bool>()), 1..200),
        ) {
            let mut now = Instant::now();
            let mut electors = [elector("a"), elector("b")];
            let mut lease: Option<Record> = None;
            let mut elapsed = 0;
            for (who, ms, reply_is_lost) in steps {
                now += Duration::from_millis(ms);
                elapsed += ms;
                let wall = wall(0) + jiff::SignedDuration::from_millis(elapsed as i64);
                                if let Move::Claim(record) = electors[who].observe(lease.clone(), now, wall) {
                    lease = Some(record.clone());
                    if !reply_is_lost {
                        electors[who].claimed(record, now);
                    }
                }
                let leaders = electors.iter().filter(|elector| elector.leads(now)).count();
                prop_assert!(leaders <= 1);
            }
        }
    }
}
