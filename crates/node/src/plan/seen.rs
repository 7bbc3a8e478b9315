//! What the agent has seen of a pod: the other input of the plan.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use crate::shim::{Ending, Life};

/// Everything the plan may know beside the pod object and the time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    /// The pod's walls.
    pub(crate) sandbox: Sandbox,
    /// What the walls wait for.
    pub(crate) missing: Option<Missing>,
    /// The pod's address, once it has one.
    pub(crate) address: Option<Ipv4Addr>,
    /// The machine's address.
    pub(crate) host: Option<Ipv4Addr>,
    /// When the agent first took the pod on.
    pub(crate) accepted_at: Option<Timestamp>,
    /// What is known of each container, by name.
    pub(crate) containers: BTreeMap<String, ContainerSeen>,
    /// What the machine cannot do for this pod.
    pub(crate) limitations: Vec<String>,
}

/// Something a pod's walls cannot be made without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Since when it has been missed.
    pub(crate) since: Timestamp,
    /// What happened when it was last tried.
    pub(crate) why: String,
}

/// How far the pod's walls are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Sandbox {
    /// Nothing has been done yet.
    #[default]
    Absent,
    /// Volumes, address and shim are being made.
    Making,
    /// Something was missing; to be tried again then.
    Waiting {
        /// When.
        retry_at: Timestamp,
    },
    /// Containers can start.
    Ready,
    /// Torn down; nothing runs and nothing will.
    Gone,
}

/// What is known of one container.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ContainerSeen {
    /// The image.
    pub(crate) image: ImageSeen,
    /// The newest instance.
    pub(crate) instance: Option<(u32, Life)>,
    /// How the instance before it ended.
    pub(crate) previous: Option<(u32, Ending)>,
    /// What is being done to it right now.
    pub(crate) ongoing: Ongoing,
    /// Why it could not even be described, and when to try again.
    pub(crate) refusal: Option<Refusal>,
    /// Starts in a row that ended soon.
    pub(crate) streak: u32,
    /// Whether its start hook and startup probe are through.
    pub(crate) started: bool,
    /// Whether its readiness probe agrees.
    pub(crate) ready: bool,
    /// Why the instance must be replaced (a failed probe or hook).
    pub(crate) condemned: Option<String>,
}

/// What is known of a container's image.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum ImageSeen {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It can be used.
    Present {
        /// The `imageID`.
        id: String,
    },
    /// It cannot be had.
    Missing {
        /// PascalCase.
        reason: String,
        /// What to tell the user.
        message: String,
        /// How often it was looked for.
        failures: u32,
        /// When it was looked for last.
        at: Timestamp,
    },
}

/// Why a container cannot be started as it is described.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    /// PascalCase.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
    /// When to try again.
    pub(crate) retry_at: Timestamp,
}

/// An action on a container that has not come back yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ongoing {
    /// Nothing.
    #[default]
    Nothing,
    /// It is being started.
    Starting,
    /// It is being stopped, to be killed at the latest then.
    Stopping {
        /// The end of its grace.
        kill_at: Timestamp,
    },
}

impl ContainerSeen {
    /// How the newest instance ended, if it has.
    pub(crate) fn ending(&self) -> Option<&Ending> {
        match &self.instance {
            Some((_, Life::Ended(ending))) => Some(ending),
            _ => None,
        }
    }

    /// Whether a process of it may exist, or is about to.
    pub(crate) fn is_live(&self) -> bool {
        self.ongoing == Ongoing::Starting || self.live_attempt().is_some()
    }

    /// The instance that has not ended.
    pub(crate) fn live_attempt(&self) -> Option<u32> {
        match &self.instance {
            Some((attempt, Life::Starting { .. } | Life::Running { .. })) => Some(*attempt),
            Some((_, Life::Ended(_))) | None => None,
        }
    }
}
