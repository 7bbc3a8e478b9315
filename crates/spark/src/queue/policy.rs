//! The limits of a namespace.
//!
//! They stand in its ResourceQuotas, under names of our own: there, whoever may limit a namespace
//! may do it, and whoever only runs jobs in it may not; and no further kind has to be installed.
//! The API server keeps such names and counts nothing under them. Of several quotas the lowest
//! limit holds, as for all quotas; where none says anything, the operator's own defaults do.

use std::fmt;

use serde_json::Value;
use windlass_api::quantity::Quantity;
use windlass_engine::Object;

use super::{Share, Usage};

/// How many applications run at once.
pub const RUNNING_KEY: &str = "windlass.dev/running";
/// How much CPU they request together.
pub const CPU_KEY: &str = "windlass.dev/cpu";
/// How much memory they request together.
pub const MEMORY_KEY: &str = "windlass.dev/memory";

/// The limits of a namespace; none are no queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// How many applications run at once.
    pub running: Option<Bound>,
    /// How many thousandths of a CPU they request together.
    pub milli_cpu: Option<Bound>,
    /// How many bytes of memory they request together.
    pub memory: Option<Bound>,
}

/// One limit and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// No more than this.
    pub most: u64,
    /// Where it stands and what it says, for people.
    pub said: String,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl Policy {
    /// The limits of a namespace with these ResourceQuotas.
    pub fn of(quotas: &[Object], defaults: &Self) -> Self {
        let bound = |key: &str, count: fn(Quantity) -> Option<i64>, default: &Option<Bound>| {
            let found = quotas.iter().filter_map(|quota| {
                let amount = match quota.spec().get("hard")?.get(key)? {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                // The API server takes nothing but quantities that are not negative.
                let most = count(amount.parse().ok()?).unwrap_or(i64::MAX);
                Some(Bound {
                    most: u64::try_from(most).unwrap_or(0),
                    said: format!("{key} of ResourceQuota {} is {amount}", quota.name()),
                })
            });
            found
                .min_by_key(|bound| bound.most)
                .or_else(|| default.clone())
        };
        Self {
            running: bound(RUNNING_KEY, |amount| amount.units(), &defaults.running),
            milli_cpu: bound(CPU_KEY, |amount| amount.millis(), &defaults.milli_cpu),
            memory: bound(MEMORY_KEY, |amount| amount.units(), &defaults.memory),
        }
    }

    /// The operator's own limits for namespaces that have none.
    pub fn defaults(running: Option<u32>, cpu: Option<Quantity>, memory: Option<Quantity>) -> Self {
        let bound = |most: Option<i64>, said: String| Bound {
            most: u64::try_from(most.unwrap_or(i64::MAX)).unwrap_or(0),
            said,
        };
        Self {
            running: running.map(|running| {
                let said = format!("--max-running of the operator is {running}");
                bound(Some(running.into()), said)
            }),
            milli_cpu: cpu.map(|cpu| {
                let said = format!("--max-cpu of the operator is {cpu}");
                bound(cpu.millis(), said)
            }),
            memory: memory.map(|memory| {
                let said = format!("--max-memory of the operator is {memory}");
                bound(memory.units(), said)
            }),
        }
    }

    /// Whether nothing is limited.
    pub fn is_open(&self) -> bool {
        self.running.is_none() && self.milli_cpu.is_none() && self.memory.is_none()
    }

    /// The first limit that these exceed together.
    pub fn exceeded_by(&self, usage: Usage) -> Option<&Bound> {
        let running = self.running.as_ref();
        running
            .filter(|bound| usage.applications > bound.most)
            .or_else(|| self.too_small_for(usage.share))
    }

    /// The limit of resources that is below this.
    pub fn too_small_for(&self, share: Share) -> Option<&Bound> {
        let cpu = self.milli_cpu.as_ref();
        let memory = self.memory.as_ref();
        cpu.filter(|bound| share.milli_cpu > bound.most)
            .or_else(|| memory.filter(|bound| share.memory > bound.most))
    }
}
