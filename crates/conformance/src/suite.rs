//! All sequences of a seed, several at a time, and what came of them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    generate,
    kind::{self, Kind},
    random::Random,
    report,
    runner::{self, Found, Outcome, Pair},
    sequence::Sequence,
    shrink,
};

/// How many sequences run at a time.
const PARALLEL: usize = 8;
/// How many different differences are shrunk; the others are told as they were met.
const SHOWN: usize = 25;

/// What to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What all sequences are made from.
    pub seed: u64,
    /// How many.
    pub sequences: u64,
    /// What they are about.
    pub kinds: Vec<Kind>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    /// Sequences run.
    pub sequences: usize,
    /// Requests sent to both servers.
    pub requests: usize,
    /// Allowed differences met, by name.
    pub allowed: BTreeMap<&'static str, usize>,
    /// Differences, by signature.
    pub different: BTreeMap<String, usize>,
    /// What to show of them.
    pub report: String,
}

/// The seed of one sequence.
fn sequence_seed(seed: u64, index: u64) -> u64 {
    Random::new(seed ^ index.wrapping_mul(0x2545_f491_4f6c_dd1d)).number()
}

/// Makes the custom kinds known to both servers.
pub async fn define(pair: &Pair) -> anyhow::Result<()> {
    for client in [&pair.embedded, &pair.real] {
        for definition in kind::definitions() {
            let request = http::Request::post(kind::DEFINITIONS)
                .header("content-type", "application/json")
                .body(definition.to_string().into_bytes())?;
            client
                .request::<serde_json::Value>(request)
                .await
                .context("cannot define a custom kind")?;
        }
        for kind in [Kind::Widget, Kind::Gadget] {
            let path = kind.path().replace("{{ns}}", "default");
            runner::wait_until_served(client, &path).await?;
        }
    }
    Ok(())
}

/// Runs all sequences.
pub async fn run(pair: &Pair, settings: &Settings) -> anyhow::Result<Summary> {
    let permits = Arc::new(Semaphore::new(PARALLEL));
    let mut running = JoinSet::new();
    for index in 0..settings.sequences {
        let (pair, permits) = (pair.clone(), Arc::clone(&permits));
        let sequence = generate::generate(sequence_seed(settings.seed, index), &settings.kinds);
        running.spawn(async move {
            let _permit = permits.acquire().await?;
            let mut outcome = runner::run(&pair, &sequence, &format!("s-{index}")).await;
            if outcome.as_ref().is_ok_and(may_be_chance) {
                outcome = runner::run(&pair, &sequence, &format!("s-{index}-again")).await;
            }
            outcome
                .with_context(|| format!("sequence {index}"))
                .map(|outcome| (sequence, outcome))
        });
    }
    let mut summary = Summary::default();
    let mut examples: BTreeMap<String, (Sequence, Found)> = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        let (sequence, outcome): (Sequence, Outcome) = ended??;
        summary.sequences += 1;
        summary.requests += outcome.sent;
        for name in outcome.allowed {
            *summary.allowed.entry(name).or_default() += 1;
        }
        for found in outcome.found {
            *summary
                .different
                .entry(found.signature.clone())
                .or_default() += 1;
            let shorter = examples
                .get(&found.signature)
                .is_none_or(|(known, _)| sequence.requests.len() < known.requests.len());
            if shorter {
                examples.insert(found.signature.clone(), (sequence.clone(), found));
            }
        }
    }
    let mut shown: Vec<(Sequence, Found)> = examples.into_values().collect();
    shown.sort_by_key(|(_, found)| std::cmp::Reverse(summary.different[&found.signature]));
    for (index, (sequence, found)) in shown.into_iter().enumerate() {
        let times = summary.different[&found.signature];
        let seed = sequence.seed;
        if index >= SHOWN {
            let _ = writeln!(summary.report, "{times}x {}", report::brief(&found, seed));
            continue;
        }
        let found = smallest(pair, sequence, found).await;
        let _ = writeln!(
            summary.report,
            "{times}x {}",
            report::difference(&found, seed)
        );
    }
    Ok(summary)
}

/// Whether the servers differ in a port that they draw by lot. Such a number is known by whether it has been
/// seen before, and now and then one of them draws again what it had given back; it does not do so twice.
fn may_be_chance(outcome: &Outcome) -> bool {
    let mut differences = outcome.found.iter().flat_map(|it| &it.differences);
    differences.any(|it| it.place.ends_with("/nodePort"))
}

/// The same difference in fewer requests.
async fn smallest(pair: &Pair, mut sequence: Sequence, found: Found) -> Found {
    static RUN: AtomicU64 = AtomicU64::new(0);
    let wanted = &found.signature;
    if found.request.watch.is_none() {
        sequence
            .requests
            .retain(|request| request.id <= found.request.id);
    }
    let again = |sequence: Sequence| async move {
        let namespace = format!("shrunk-{}", RUN.fetch_add(1, Ordering::Relaxed));
        let outcome = runner::run(pair, &sequence, &namespace).await.ok()?;
        let mut found = outcome.found.into_iter();
        found.find(|found| found.signature == *wanted)
    };
    let stays = |shorter| async move { again(shorter).await.is_some() };
    let shortest = shrink::shrink(sequence, stays).await;
    again(shortest).await.unwrap_or(found)
}
