//! What a cluster shows, and what claims would get in it. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use super::claim::{Claim, Hints, Phase};
use super::class::Class;
use super::decide::{Reason, fit};
use super::drivers::Driver;
use super::evidence::{Detection, Evidence, Source, Told, detect};
use super::provider::Provider;
use super::settings::Settings;

/// How a volume can be used.
const MODES: [&str; 4] = [
    "ReadWriteOnce",
    "ReadWriteOncePod",
    "ReadWriteMany",
    "ReadOnlyMany",
];

/// What a cluster shows, and what claims would get in it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whose machines it runs on.
    pub provider: Option<Provider>,
    /// Which evidence says so.
    pub by: Option<Source>,
    /// What every source says.
    pub evidence: Vec<Told>,
    /// What speaks against it.
    pub contradictions: Vec<String>,
    /// The drivers that are there.
    pub drivers: Vec<DriverSeen>,
    /// What each access mode would get.
    pub claims: Vec<Gets>,
}

/// A driver that is there.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverSeen {
    /// Its name.
    pub name: String,
    /// Whose disks it makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Whether classes are made for it without anybody naming it.
    pub is_known: bool,
}

/// What a claim with an access mode would get.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gets {
    /// The access mode.
    pub access_mode: String,
    /// The class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Or why there is none: a stable name, and words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// See there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Tells what this evidence leads to.
pub fn report(evidence: &Evidence, settings: &Settings) -> Report {
    let Detection {
        provider,
        told,
        contradictions,
    } = detect(evidence, settings.provider);
    let names: BTreeSet<&String> = evidence
        .drivers
        .iter()
        .chain(evidence.classes.values().map(|it| &it.provisioner))
        .filter(|name| evidence.is_installed(name))
        .collect();
    let drivers = names.into_iter().map(|name| {
        let known = Driver::named(name);
        DriverSeen {
            name: name.clone(),
            provider: known.and_then(|it| it.provider),
            is_known: known.is_some(),
        }
    });
    Report {
        provider: provider.map(|(provider, _)| provider),
        by: provider.map(|(_, by)| by),
        evidence: told,
        contradictions,
        drivers: drivers.collect(),
        claims: MODES.map(|mode| gets(mode, evidence, settings)).into(),
    }
}

fn gets(mode: &str, evidence: &Evidence, settings: &Settings) -> Gets {
    let claim = Claim {
        namespace: "any".to_owned(),
        name: "any".to_owned(),
        class: Some("any".to_owned()),
        phase: Phase::Pending,
        is_deleting: false,
        picks_a_volume: false,
        modes: vec![mode.to_owned()],
        is_raw: false,
        is_share: false,
        hints: Ok(Hints::default()),
    };
    let (class, reason): (Option<Class>, Option<Reason>) = match fit(&claim, evidence, settings) {
        Ok(class) => (Some(class), None),
        Err(reason) => (None, Some(reason)),
    };
    Gets {
        access_mode: mode.to_owned(),
        class,
        reason: reason.as_ref().map(|it| it.name().to_owned()),
        message: reason.as_ref().map(ToString::to_string),
    }
}
