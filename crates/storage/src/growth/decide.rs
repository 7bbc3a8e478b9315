//! Whether a volume grows now, and to which size. Pure.

use jiff::{SignedDuration, Timestamp};

use super::policy::{Policy, Step};
use super::usage::Usage;

/// Sizes are whole multiples of this from one of it on, and of a MiB below.
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
/// Kubelets take figures about once a minute: before this those of the larger volume are not there, and it would
/// grow twice for one need.
const FIGURES: SignedDuration = SignedDuration::from_mins(2);
const USUAL_COOL_DOWN: SignedDuration = SignedDuration::from_mins(10);
/// Amazon lets a volume be changed once in six hours.
const COOL_DOWN_OF_EBS: SignedDuration = SignedDuration::from_hours(6);
const EBS: &str = "ebs.csi.aws.com";

/// What is known of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What it asks for, in bytes.
    pub request: u64,
    /// What it has, in bytes; nothing before it is bound.
    pub capacity: Option<u64>,
    /// Whether it is a device without a filesystem.
    pub is_raw: bool,
    /// Why its last growth cannot be, in the words of its driver.
    pub infeasible: Option<String>,
    /// When it has grown by itself last.
    pub grown_at: Option<Timestamp>,
}

/// What is known of its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Who makes its volumes.
    pub provisioner: String,
    /// Whether they may grow.
    pub expands: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: there is room, or nothing is known.
    Nothing,
    /// Ask for so many bytes.
    Grow {
        /// How many.
        to: u64,
        /// How full it is, for people.
        fullness: String,
    },
    /// It grows already, or has just grown.
    Wait {
        /// When to look again; nothing while it grows, since the claim changes when it has.
        until: Option<Timestamp>,
    },
    /// It is full, and as large as it may be.
    AtMax {
        /// How full it is, for people.
        fullness: String,
    },
    /// It is full, and cannot grow.
    Cannot(String),
}

/// Decides.
pub fn decide(
    policy: &Policy,
    claim: &Claim,
    class: Option<&Class>,
    usage: Option<&Usage>,
    now: Timestamp,
) -> Decision {
    let Some(capacity) = claim.capacity else {
        return Decision::Nothing;
    };
    if claim.is_raw {
        return Decision::Cannot(
            "spec.volumeMode is Block, and nobody knows how full a device is: leave auto-grow out"
                .to_owned(),
        );
    }
    let Some(fullness) = usage.and_then(|usage| full(policy, usage)) else {
        return Decision::Nothing;
    };
    if let Some(why) = &claim.infeasible {
        return Decision::Cannot(format!("{fullness}, and its last growth failed: {why}"));
    }
    if claim.request > capacity {
        return Decision::Wait { until: None };
    }
    if capacity >= policy.max {
        return Decision::AtMax { fullness };
    }
    let Some(class) = class else {
        return Decision::Cannot(format!(
            "{fullness}, and its StorageClass is not there, so that nobody knows whether it may grow"
        ));
    };
    if !class.expands {
        return Decision::Cannot(format!(
            "{fullness}, and StorageClass {} does not have allowVolumeExpansion: true",
            class.name
        ));
    }
    let usual = if class.provisioner == EBS {
        COOL_DOWN_OF_EBS
    } else {
        USUAL_COOL_DOWN
    };
    let cool_down = policy.cool_down.unwrap_or(usual).max(FIGURES);
    // What is beyond the end of time is never.
    let until = claim
        .grown_at
        .map(|grown| grown.checked_add(cool_down).unwrap_or(Timestamp::MAX));
    if let Some(until) = until.filter(|until| now < *until) {
        return Decision::Wait { until: Some(until) };
    }
    let step = match policy.step {
        Step::Share(share) => share.of(capacity),
        Step::Bytes(bytes) => bytes,
    };
    let wanted = capacity.saturating_add(step.max(1));
    let grain = if wanted >= GIB { GIB } else { MIB };
    let rounded = wanted.div_ceil(grain).saturating_mul(grain);
    Decision::Grow {
        to: rounded.min(policy.max),
        fullness,
    }
}

/// How full it is, if that is full enough.
fn full(policy: &Policy, usage: &Usage) -> Option<String> {
    let reaches = |used: u64, all: u64| all > 0 && used >= policy.threshold.of(all);
    let percent = |used: u64, all: u64| u128::from(used) * 100 / u128::from(all.max(1));
    if reaches(usage.used, usage.capacity) {
        let percent = percent(usage.used, usage.capacity);
        return Some(format!("{percent} % of its bytes are used"));
    }
    reaches(usage.inodes_used, usage.inodes).then(|| {
        let percent = percent(usage.inodes_used, usage.inodes);
        format!("{percent} % of its inodes are used")
    })
}
