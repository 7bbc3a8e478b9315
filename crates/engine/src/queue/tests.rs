//! The laws of the queue: single cases, and a model under random steps.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

fn key(namespace: usize, name: usize) -> ObjectKey {
    ObjectKey::namespaced(format!("ns-{namespace}"), format!("app-{name}"))
}

fn queue(concurrency: usize) -> WorkQueue {
    WorkQueue::new(QueueConfig {
        concurrency,
        ..QueueConfig::default()
    })
}

const SETTLED: Outcome = Outcome::Settled { again: None };

#[test]
fn the_earliest_of_several_triggers_wins() {
    let start = Instant::now();
    let second = |n| start + Duration::from_secs(n);
    let mut queue = queue(1);
    queue.trigger(&key(0, 0), Class::New, second(9), start);
    queue.trigger(&key(0, 0), Class::New, second(3), start);
    queue.trigger(&key(0, 0), Class::New, second(7), start);
    assert_eq!(queue.next_timer(), Some(second(3)));
    assert_eq!(queue.pop(second(2)), None);
    assert_eq!(queue.pop(second(3)).map(|job| job.key), Some(key(0, 0)));
    assert_eq!(queue.next_timer(), None, "the later triggers are merged");
}

#[test]
fn a_trigger_during_a_run_is_held_until_its_end() {
    let now = Instant::now();
    let mut queue = queue(2);
    queue.trigger(&key(0, 0), Class::New, now, now);
    let job = queue.pop(now).unwrap();
    queue.trigger(&key(0, 0), Class::Status, now, now);
    assert_eq!(queue.pop(now), None, "it must not run twice at once");
    queue.done(&job.key, Class::New, SETTLED, now);
    assert_eq!(queue.pop(now).map(|job| job.class), Some(Class::Status));
}

#[test]
fn status_work_goes_first_but_new_work_is_not_starved() {
    let now = Instant::now();
    let mut queue = queue(100);
    for name in 0..20 {
        queue.trigger(&key(0, name), Class::Status, now, now);
        queue.trigger(&key(0, 100 + name), Class::New, now, now);
    }
    let first: Vec<Class> = (0..16)
        .filter_map(|_| queue.pop(now))
        .map(|job| job.class)
        .collect();
    let turn_of_new = NEW_WORK_SHARE as usize - 1;
    for (turn, class) in first.into_iter().enumerate() {
        let expected = if turn % 8 == turn_of_new {
            Class::New
        } else {
            Class::Status
        };
        assert_eq!(class, expected, "turn {turn}");
    }
}

#[test]
fn a_ready_key_is_promoted_and_runs_once() {
    let now = Instant::now();
    let mut queue = queue(100);
    queue.trigger(&key(0, 1), Class::New, now, now);
    queue.trigger(&key(0, 2), Class::New, now, now);
    queue.trigger(&key(0, 2), Class::Status, now, now);
    assert_eq!(
        (queue.depth(Class::New), queue.depth(Class::Status)),
        (1, 1)
    );
    let order: Vec<ObjectKey> = std::iter::from_fn(|| queue.pop(now))
        .map(|job| job.key)
        .collect();
    assert_eq!(order, [key(0, 2), key(0, 1)]);
}

#[test]
fn backoff_doubles_to_the_cap_and_success_forgets_it() {
    let config = QueueConfig::default();
    let mut now = Instant::now();
    let mut queue = WorkQueue::new(config);
    let mut last = Duration::ZERO;
    queue.trigger(&key(0, 0), Class::New, now, now);
    for _ in 0..20 {
        let job = queue.pop(now).unwrap();
        queue.done(
            &job.key,
            Class::New,
            Outcome::Failed {
                at_least: Duration::ZERO,
            },
            now,
        );
        let wait = queue.next_timer().unwrap() - now;
        assert!(wait <= config.backoff_cap);
        assert!(
            wait >= last.mul_f64(0.75),
            "waits do not shrink but by jitter"
        );
        (last, now) = (wait, now + wait);
    }
    assert!(last >= config.backoff_cap.mul_f64(0.75));
    let job = queue.pop(now).unwrap();
    queue.done(&job.key, Class::New, SETTLED, now);
    queue.trigger(&key(0, 0), Class::New, now, now);
    assert_eq!(queue.pop(now).map(|job| job.failures), Some(0));
}

#[test]
fn the_first_conflict_runs_again_at_once_and_the_second_waits() {
    let now = Instant::now();
    let mut queue = queue(1);
    queue.trigger(&key(0, 0), Class::New, now, now);
    let job = queue.pop(now).unwrap();
    queue.done(&job.key, Class::New, Outcome::Conflicted, now);
    let job = queue.pop(now).unwrap();
    queue.done(&job.key, Class::New, Outcome::Conflicted, now);
    assert_eq!(queue.pop(now), None);
}

#[test]
fn a_key_that_triggers_itself_by_failing_does_not_spin() {
    let now = Instant::now();
    let mut queue = queue(1);
    queue.trigger(&key(0, 0), Class::New, now, now);
    let job = queue.pop(now).unwrap();
    queue.trigger(&key(0, 0), Class::Status, now, now);
    let at_least = Duration::from_mins(5);
    queue.done(&job.key, Class::New, Outcome::Failed { at_least }, now);
    assert_eq!(queue.pop(now), None);
    let next = queue.next_timer().unwrap();
    assert!(
        next > now && next <= now + COOLING,
        "a trigger cuts the long wait short"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Trigger {
        namespace: usize,
        name: usize,
        class: Class,
        in_ms: u64,
    },
    Advance {
        ms: u64,
    },
    Pop,
    Done {
        which: usize,
        outcome: u8,
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![Just(Class::New), Just(Class::Status)];
    prop_oneof![
        4 => (0..3_usize, 0..4_usize, class, 0..50_u64).prop_map(|(namespace, name, class, in_ms)| {
            Step::Trigger { namespace, name, class, in_ms }
        }),
        2 => (0..40_u64).prop_map(|ms| Step::Advance { ms }),
        4 => Just(Step::Pop),
        4 => (0..8_usize, 0..6_u8, 0..60_u64)
            .prop_map(|(which, outcome, ms)| Step::Done { which, outcome, ms }),
    ]
}

proptest! {
    /// Against a model that knows, for every key, the earliest run it is still owed.
    #[test]
    fn no_trigger_is_lost_and_nothing_runs_twice_at_once(
        steps in prop::collection::vec(step(), 1..200),
        concurrency in 1..4_usize,
    ) {
        let mut now = Instant::now();
        let mut queue = queue(concurrency);
        let mut running: Vec<ObjectKey> = Vec::new();
        let mut owed: BTreeMap<ObjectKey, Instant> = BTreeMap::new();
        // Failures in a row, and the time before which triggers do nothing.
        let mut floors: BTreeMap<ObjectKey, (u32, Option<Instant>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Trigger { namespace, name, class, in_ms } => {
                    let (key, at) = (key(namespace, name), now + Duration::from_millis(in_ms));
                    queue.trigger(&key, class, at, now);
                    let at = match floors.get(&key) {
                        Some((_, Some(floor))) if !running.contains(&key) => at.max(*floor),
                        _ => at,
                    };
                    let earliest = owed.entry(key).or_insert(at);
                    *earliest = at.min(*earliest);
                }
                Step::Advance { ms } => now += Duration::from_millis(ms),
                Step::Pop => {
                    let due = owed
                        .iter()
                        .filter(|(key, at)| **at <= now && !running.contains(key))
                        .count();
                    let job = queue.pop(now);
                    prop_assert_eq!(
                        job.is_some(), due > 0 && running.len() < concurrency,
                        "a due key runs exactly when a worker is free"
                    );
                    if let Some(job) = job {
                        prop_assert!(!running.contains(&job.key));
                        prop_assert!(owed.remove(&job.key).is_some_and(|at| at <= now));
                        running.push(job.key);
                    }
                }
                Step::Done { which, outcome, ms } => {
                    if running.is_empty() { continue; }
                    let key = running.swap_remove(which % running.len());
                    let later = now + Duration::from_millis(ms);
                    let (failures, floor) = floors.remove(&key).unwrap_or_default();
                    let wait = backoff(&queue.config, &key, failures + 1);
                    let failed = (failures + 1, Some(now + wait.min(COOLING)));
                    let at_least = Duration::from_millis(ms);
                    let (outcome, again, after) = match outcome {
                        0 => (SETTLED, None, (0, None)),
                        1 => (Outcome::Settled { again: Some(later) }, Some(later), (0, None)),
                        2 => (Outcome::Parked { until: later }, Some(later), (failures, floor)),
                        3 => (Outcome::Gone, None, (0, None)),
                        4 if failures == 0 => (Outcome::Conflicted, Some(now), (1, None)),
                        4 => (Outcome::Conflicted, Some(now + wait), failed),
                        _ => {
                            let again = now + wait.max(at_least);
                            (Outcome::Failed { at_least }, Some(again), failed)
                        }
                    };
                    queue.done(&key, Class::New, outcome, now);
                    if let (Some(held), Some(floor)) = (owed.get_mut(&key), after.1) {
                        *held = floor.max(*held);
                    }
                    if let Some(at) = again {
                        let earliest = owed.entry(key.clone()).or_insert(at);
                        *earliest = at.min(*earliest);
                    }
                    floors.insert(key, after);
                }
            }
            prop_assert_eq!(queue.running(), running.len());
            prop_assert!(running.len() <= concurrency);
        }
        // Whatever happened, everything owed runs in the end, once.
        for key in running.drain(..) {
            queue.done(&key, Class::New, SETTLED, now);
        }
        // Longer than any backoff.
        now += Duration::from_mins(10);
        while let Some(job) = queue.pop(now) {
            prop_assert!(owed.remove(&job.key).is_some());
            queue.done(&job.key, Class::New, SETTLED, now);
        }
        prop_assert!(owed.is_empty(), "lost: {:?}", owed);
        prop_assert!(queue.entries.is_empty(), "an idle queue holds nothing");
    }

    /// A namespace with many ready keys does not keep another one waiting.
    #[test]
    fn namespaces_take_turns(sizes in prop::collection::vec(1..30_usize, 2..6)) {
        let now = Instant::now();
        let mut queue = queue(usize::MAX);
        for (namespace, size) in sizes.iter().enumerate() {
            for name in 0..*size {
                queue.trigger(&key(namespace, name), Class::New, now, now);
            }
        }
        let order: Vec<ObjectKey> =
            std::iter::from_fn(|| queue.pop(now)).map(|job| job.key).collect();
        prop_assert_eq!(order.len(), sizes.iter().sum::<usize>());
        // While n namespaces have ready keys, any n turns in a row serve all of them.
        let mut left = sizes.clone();
        let mut at = 0;
        while at < order.len() {
            let open = left.iter().filter(|size| **size > 0).count();
            let served: HashSet<_> =
                order[at..at + open].iter().map(|key| key.namespace.clone()).collect();
            prop_assert_eq!(served.len(), open);
            for size in &mut left {
                *size = size.saturating_sub(1);
            }
            at += open;
        }
    }
}
