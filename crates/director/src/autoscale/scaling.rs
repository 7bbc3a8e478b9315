//! What a cluster and its application say of a role that is autoscaled.

use jiff::SignedDuration;
use windlass_api::director::app::{AppRole, Demand};
use windlass_api::director::cluster::ClusterRole;

use super::Bounds;
use crate::agent::What;

/// What the number of members of a role follows from.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Between which bounds it is.
    pub bounds: Bounds,
    /// How it is asked how many there is a use for.
    pub probe: Probe,
}

/// How it is asked how many members there is a use for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The role whose members are asked.
    pub role: String,
    /// What is called.
    pub what: What,
    /// The arguments, or the whole command line.
    pub arguments: Vec<String>,
    /// From one answer to the next question.
    pub period: SignedDuration,
    /// Seconds in which the answer has to come.
    pub timeout_seconds: u32,
}

impl Scaling {
    /// Of a role that is autoscaled and says how.
    pub(crate) fn of(app: &AppRole, cluster: &ClusterRole) -> Option<Self> {
        let autoscale = cluster.autoscale.as_ref()?;
        let least = app.cardinality.read().map_or(0, |it| it.minimum());
        let least = autoscale.min_members.map_or(least, unsigned);
        let most = unsigned(autoscale.max_members);
        let delay = i64::from(autoscale.scale_down_delay());
        Some(Self {
            bounds: Bounds {
                min: least.min(most),
                max: most,
                scale_down_delay: SignedDuration::from_secs(delay),
            },
            probe: Probe::of(&app.id, app.demand.as_ref()?)?,
        })
    }
}

impl Probe {
    fn of(role: &str, demand: &Demand) -> Option<Self> {
        let (what, arguments) = match (&demand.command, &demand.arguments) {
            (Some(command), _) => (What::Program, command.clone()),
            (None, Some(arguments)) => (What::Startscript, arguments.clone()),
            (None, None) => return None,
        };
        Some(Self {
            role: demand.asked(role).to_owned(),
            what,
            arguments,
            period: SignedDuration::from_secs(i64::from(demand.period())),
            timeout_seconds: unsigned(demand.timeout()),
        })
    }

    /// In which the answer has to come.
    pub fn timeout(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.timeout_seconds))
    }
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
