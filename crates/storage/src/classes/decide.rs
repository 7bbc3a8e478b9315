//! What a claim gets: a class, nothing, or a reason why there is none. Pure and total.
//!
//! Laws:
//! - a class has a driver that is in the cluster, and all that the driver cannot be without;
//! - where several drivers would do alike, nobody is chosen: who keeps the cluster says which;
//! - a claim chooses among kinds of disks, and never names a Secret, a server or a directory.

use std::collections::BTreeMap;
use std::fmt;

use windlass_api::names::DnsSubdomain;

use super::claim::{Claim, FS_TYPE, Hints, PARAMETERS, Phase, TYPE};
use super::class::Class;
use super::drivers::{Binding, DRIVERS, Driver, Need};
use super::evidence::{Detection, Evidence, Source, detect};
use super::legacy;
use super::provider::Provider;
use super::settings::{Settings, Shares, Table};

/// Whose machines these are, and what says so.
pub fn in_words(provider: Provider, by: Source) -> String {
    format!("these are machines of {provider}, by {}", by.as_str())
}

/// What is around a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// Whether its namespace wants classes.
    pub is_wanted: bool,
    /// Whether somebody makes volumes of this class's name by hand.
    pub has_own_volumes: bool,
    /// What there is to know of the cluster.
    pub evidence: Evidence,
}

/// What a claim gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This class.
    Make(Class),
    /// There is nothing to do about it.
    Nothing(Why),
    /// It should have one, and cannot.
    Cannot(Reason),
}

/// Why there is nothing to do about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It has a volume, or had one.
    NotPending,
    /// It is being deleted.
    Deleting,
    /// It names no class, so the default one is meant.
    NoClass,
    /// It says that it wants no class.
    EmptyClass,
    /// It names or describes its volume.
    OwnVolume,
    /// Its class is there.
    ClassExists,
    /// It gets an NFS server.
    Share,
    /// Nobody wants classes for it.
    NotWanted,
    /// Volumes of this class are made by hand.
    VolumesByHand,
}

/// Why a claim that should have a class cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Its annotations, its access modes or the name of its class cannot be meant.
    Claim(String),
    /// Nothing in the cluster does what is wanted.
    NoDriver {
        /// The provider.
        provider: Option<Provider>,
        /// How the volume is to be used.
        wanted: String,
        /// What would do it.
        would: Vec<String>,
    },
    /// The driver that was named is not in the cluster.
    NotInstalled(String),
    /// The driver that was named does not do what is wanted.
    Unfit {
        /// The driver.
        driver: String,
        /// How the volume is to be used.
        wanted: String,
    },
    /// The driver has to be told what nobody here knows.
    Parameters {
        /// The driver.
        driver: String,
        /// One of each.
        missing: Vec<String>,
    },
    /// Several drivers would do alike.
    Several(Vec<String>),
    /// The table of old provisioners has no provider for this.
    NoProvider,
    /// It has none for this use.
    NotInTree {
        /// The provider.
        provider: Provider,
        /// How the volume is to be used.
        wanted: String,
    },
}

/// What a claim gets in this cluster.
pub fn decide(claim: &Claim, around: &Around, settings: &Settings) -> Decision {
    match ignored(claim, around, settings) {
        Some(why) => Decision::Nothing(why),
        None => match fit(claim, &around.evidence, settings) {
            Ok(class) => Decision::Make(class),
            Err(reason) => Decision::Cannot(reason),
        },
    }
}

/// Why there is nothing to do about a claim, if there is nothing.
pub fn ignored(claim: &Claim, around: &Around, settings: &Settings) -> Option<Why> {
    if claim.phase != Phase::Pending {
        return Some(Why::NotPending);
    }
    if claim.is_deleting {
        return Some(Why::Deleting);
    }
    let Some(class) = &claim.class else {
        return Some(Why::NoClass);
    };
    if class.is_empty() {
        return Some(Why::EmptyClass);
    }
    if claim.picks_a_volume {
        return Some(Why::OwnVolume);
    }
    if around.evidence.classes.contains_key(class) {
        return Some(Why::ClassExists);
    }
    if claim.is_share && settings.shares == Shares::Servers {
        return Some(Why::Share);
    }
    if !around.is_wanted && !settings.is_for_everybody(class) {
        return Some(Why::NotWanted);
    }
    around.has_own_volumes.then_some(Why::VolumesByHand)
}

/// Whose machines the cluster runs on, for this claim.
pub fn detection(claim: &Claim, evidence: &Evidence, settings: &Settings) -> Detection {
    let chosen = claim.hints.as_ref().ok().and_then(|it| it.provider);
    detect(evidence, chosen.or(settings.provider))
}

/// The class for a claim, whoever wants it.
pub fn fit(claim: &Claim, evidence: &Evidence, settings: &Settings) -> Result<Class, Reason> {
    let name = claim.class.clone().unwrap_or_default();
    DnsSubdomain::new(name.clone())
        .map_err(|error| Reason::Claim(format!("spec.storageClassName: {error}")))?;
    let hints = claim.hints.as_ref();
    let hints = hints.map_err(|error| Reason::Claim(error.clone()))?;
    let need = claim.need().map_err(Reason::Claim)?;
    let detection = detection(claim, evidence, settings);
    if settings.table == Table::InTree {
        return legacy::class(claim, hints, &detection, settings);
    }
    let chooser = Chooser {
        claim,
        hints,
        need,
        evidence,
        settings,
        detection: &detection,
    };
    let chosen = chooser.driver()?;
    let driver = chosen.driver;
    let mut parameters = chosen.parameters;
    if let Some(kind) = &hints.kind {
        let place = driver.and_then(|it| it.kind);
        parameters.insert(told(place, TYPE, &chosen.name)?, kind.clone());
    }
    if let Some(file_system) = hints.file_system.as_ref().filter(|_| !claim.is_raw) {
        let place = driver.and_then(|it| it.file_system);
        parameters.insert(told(place, FS_TYPE, &chosen.name)?, file_system.clone());
    }
    for (parameter, value) in &hints.parameters {
        let choices = driver.map_or(&[][..], |it| it.choices);
        let place = choices.iter().find(|it| *it == parameter).copied();
        let what = format!("{PARAMETERS}: {parameter}");
        parameters.insert(told(place, &what, &chosen.name)?, value.clone());
    }
    Ok(Class {
        name,
        provisioner: chosen.name,
        parameters,
        reclaim_policy: hints.reclaim.unwrap_or(settings.reclaim),
        volume_binding_mode: driver.map_or(Binding::FirstConsumer, |it| it.binding),
        allow_volume_expansion: driver.map(|it| it.expands),
        why: chosen.because,
    })
}

/// The parameter by which a driver is told something, if it can be.
fn told(place: Option<&str>, what: &str, driver: &str) -> Result<String, Reason> {
    place.map(str::to_owned).ok_or_else(|| {
        Reason::Claim(format!(
            "{what} is nothing that a claim can choose of {driver}"
        ))
    })
}

/// What a driver is chosen by.
struct Chooser<'a> {
    claim: &'a Claim,
    hints: &'a Hints,
    need: Need,
    evidence: &'a Evidence,
    settings: &'a Settings,
    detection: &'a Detection,
}

/// The driver, by its name, and as it is known.
struct Chosen {
    name: String,
    driver: Option<&'static Driver>,
    parameters: BTreeMap<String, String>,
    because: String,
}

impl Chooser<'_> {
    fn driver(&self) -> Result<Chosen, Reason> {
        if let Some(name) = &self.hints.driver {
            return self.named(name);
        }
        let preferred = self.settings.drivers.iter().find(|name| {
            let does = match Driver::named(name) {
                Some(driver) => driver.does(self.need, self.claim.is_raw),
                // Of a driver that nobody knows it is only safe to say that it makes disks.
                None => self.need == Need::One && !self.claim.is_raw,
            };
            does && self.evidence.is_installed(name)
        });
        if let Some(name) = preferred {
            return self.chosen(name, "the operator's arguments prefer it");
        }
        self.by_evidence()
    }

    /// The driver that the claim names.
    fn named(&self, name: &str) -> Result<Chosen, Reason> {
        if !self.evidence.is_installed(name) {
            return Err(Reason::NotInstalled(name.to_owned()));
        }
        let does = |driver: &Driver| driver.does(self.need, self.claim.is_raw);
        if Driver::named(name).is_some_and(|driver| !does(driver)) {
            return Err(Reason::Unfit {
                driver: name.to_owned(),
                wanted: self.claim.use_in_words(),
            });
        }
        self.chosen(name, "the claim names it")
    }

    /// The provider's driver, or else the one of nobody in particular.
    fn by_evidence(&self) -> Result<Chosen, Reason> {
        let provider = self.detection.provider();
        let here = DRIVERS.iter().filter(|it| {
            it.does(self.need, self.claim.is_raw) && self.evidence.is_installed(it.name)
        });
        let own = here
            .clone()
            .filter(|it| provider.is_some() && it.provider == provider);
        let mut incomplete = None;
        for driver in own {
            match self.chosen(driver.name, &self.of_provider()) {
                Ok(chosen) => return Ok(chosen),
                Err(reason) => incomplete = incomplete.or(Some(reason)),
            }
        }
        // Where it is not known whose machines these are, everything that is there will do.
        let free = here.filter(|it| it.provider.is_none() || provider.is_none());
        let mut others = Vec::new();
        for driver in free {
            match self.chosen(driver.name, "no other installed driver can") {
                Ok(chosen) => others.push(chosen),
                Err(reason) => incomplete = incomplete.or(Some(reason)),
            }
        }
        // Of what one node has alone a disk is made, where there is one.
        let is_share = |it: &Chosen| it.driver.is_some_and(Driver::is_share);
        if self.need == Need::One && !others.iter().all(is_share) {
            others.retain(|it| !is_share(it));
        }
        if others.len() > 1 {
            return self.usual(others);
        }
        match (others.pop(), incomplete) {
            (Some(only), _) => Ok(only),
            (None, Some(reason)) => Err(reason),
            (None, None) => Err(self.nobody()),
        }
    }

    /// Of several that would do alike the one that the default class has.
    fn usual(&self, others: Vec<Chosen>) -> Result<Chosen, Reason> {
        let names: Vec<String> = others.iter().map(|it| it.name.clone()).collect();
        let is_usual = |chosen: &Chosen| {
            let mut classes = self.evidence.classes_of(&chosen.name);
            classes.any(|(_, class)| class.is_default)
        };
        let mut usual = others.into_iter().filter(is_usual);
        match (usual.next(), usual.next()) {
            (Some(only), None) => Ok(Chosen {
                because: "the default class has it".to_owned(),
                ..only
            }),
            _ => Err(Reason::Several(names)),
        }
    }

    fn nobody(&self) -> Reason {
        let provider = self.detection.provider();
        let is_apt = |it: &Driver| {
            let is_needless = self.need == Need::One && it.is_share();
            it.does(self.need, self.claim.is_raw) && it.is_for_everybody() && !is_needless
        };
        let of = |wanted: Option<Provider>| {
            let apt = DRIVERS.iter().filter(|it| is_apt(it));
            let apt = apt.filter(|it| it.provider == wanted);
            apt.map(|it| it.name.to_owned()).collect::<Vec<_>>()
        };
        let own = provider.map_or_else(Vec::new, |it| of(Some(it)));
        Reason::NoDriver {
            provider,
            wanted: self.claim.use_in_words(),
            would: if own.is_empty() { of(None) } else { own },
        }
    }

    fn of_provider(&self) -> String {
        match self.detection.provider {
            Some((provider, by)) => in_words(provider, by),
            None => String::new(),
        }
    }

    /// The driver with what its classes have to say.
    fn chosen(&self, name: &str, because: &str) -> Result<Chosen, Reason> {
        let driver = Driver::named(name);
        let usual = driver.map_or(&[][..], |it| it.usual);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut parameters: BTreeMap<String, String> = usual.iter().map(owned).collect();
        let set = self.settings.parameters.get(name);
        // What only the cluster's keeper knows is in the classes that he has made.
        if driver.is_none_or(|it| !it.asks.is_empty()) {
            parameters.extend(self.evidence.common_parameters(name));
        }
        parameters.extend(
            set.into_iter()
                .flatten()
                .map(|(a, b)| (a.clone(), b.clone())),
        );
        let asks = driver.map_or(&[][..], |it| it.asks);
        let kind = driver
            .and_then(|it| it.kind)
            .filter(|_| self.hints.kind.is_some());
        let is_told = |one: &&str| parameters.contains_key(*one) || kind == Some(*one);
        let missing: Vec<String> = asks
            .iter()
            .filter(|group| !group.iter().any(is_told))
            .map(|group| group.join(" or "))
            .collect();
        if !missing.is_empty() {
            let driver = name.to_owned();
            return Err(Reason::Parameters { driver, missing });
        }
        Ok(Chosen {
            name: name.to_owned(),
            driver,
            parameters,
            because: because.to_owned(),
        })
    }
}

impl Reason {
    /// A stable name, for the reason of events and conditions.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claim(_) => "InvalidClaim",
            Self::NoDriver { .. } => "NoDriver",
            Self::NotInstalled(_) => "DriverNotInstalled",
            Self::Unfit { .. } => "DriverUnfit",
            Self::Parameters { .. } => "ParametersMissing",
            Self::Several(_) => "SeveralDrivers",
            Self::NoProvider => "ProviderUnknown",
            Self::NotInTree { .. } => "NotInTree",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(what) => f.write_str(what),
            Self::NoDriver {
                provider,
                wanted,
                would,
            } => {
                let machines = match provider {
                    Some(provider) => format!(" on machines of {provider}"),
                    None => String::new(),
                };
                write!(
                    f,
                    "no installed driver makes volumes for {wanted}{machines}: install {}",
                    would.join(" or ")
                )
            }
            Self::NotInstalled(driver) => write!(
                f,
                "{driver} is not installed: there is no CSIDriver of that name"
            ),
            Self::Unfit { driver, wanted } => {
                write!(f, "{driver} makes no volumes for {wanted}")
            }
            Self::Parameters { driver, missing } => write!(
                f,
                "{driver} has to be told {}: make a class of it by hand, whose parameters others get, too, or \
                 give the operator --storage-parameters {driver}:NAME=VALUE",
                missing.join(", ")
            ),
            Self::Several(drivers) => write!(
                f,
                "{} would do alike: name one in the claim's annotation windlass.dev/storage-driver, or with \
                 the operator's --storage-drivers",
                drivers.join(" and ")
            ),
            Self::NoProvider => f.write_str(
                "nothing tells which provider's provisioner is meant: give the operator --storage-provider",
            ),
            Self::NotInTree { provider, wanted } => {
                write!(f, "Kubernetes has no provisioner of {provider} for {wanted}")
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPending => "it does not wait for a volume",
            Self::Deleting => "it is being deleted",
            Self::NoClass => "it names no class",
            Self::EmptyClass => "it wants no class",
            Self::OwnVolume => "it names or describes its volume",
            Self::ClassExists => "its class is there",
            Self::Share => "its class is one of an NFS server",
            Self::NotWanted => "its namespace does not want classes",
            Self::VolumesByHand => "volumes of its class are made by hand",
        })
    }
}
