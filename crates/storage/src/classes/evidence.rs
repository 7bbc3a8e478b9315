//! What there is to know of a cluster, and whose machines it makes one think it runs on.
//!
//! Laws:
//! - evidence is asked in one order: the setting, the nodes' provider IDs, CSI drivers, classes, metadata
//!   services. The first that names one provider decides;
//! - what speaks against it is told, and changes nothing;
//! - a class that was made here is no evidence of anything.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use windlass_engine::Object;

use super::class::MANAGED_BY;
use super::drivers::{Driver, Shown};
use super::provider::{NodeTells, Provider};

/// By which Kubernetes knows the default of the classes.
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// What there is to know of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What the provider IDs of the nodes tell, with how such a one begins.
    pub nodes: BTreeMap<NodeTells, String>,
    /// The names of the CSIDrivers.
    pub drivers: BTreeSet<String>,
    /// The classes, by their names.
    pub classes: BTreeMap<String, ClassSeen>,
    /// What the metadata services have said.
    pub metadata: Metadata,
}

/// A class that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassSeen {
    /// Whose volumes it has.
    pub provisioner: String,
    /// What it tells its provisioner.
    pub parameters: BTreeMap<String, String>,
    /// Whether claims without a class get it.
    pub is_default: bool,
    /// Whether it was made here.
    pub is_ours: bool,
}

/// What the metadata services of providers have said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Metadata {
    /// Nobody has asked them.
    #[default]
    NotAsked,
    /// They were asked, and these knew a machine of theirs.
    Asked(BTreeSet<Provider>),
}

impl Evidence {
    /// What these objects tell.
    pub fn of(nodes: &[Object], drivers: &[Object], classes: &[Object]) -> Self {
        let mut told = BTreeMap::new();
        for node in nodes {
            let id = node.spec()["providerID"].as_str().unwrap_or_default();
            let tells = Provider::of_node(id);
            told.entry(tells).or_insert_with(|| beginning(id));
        }
        Self {
            nodes: told,
            drivers: drivers.iter().map(|it| it.name().to_owned()).collect(),
            classes: classes
                .iter()
                .map(|it| (it.name().to_owned(), ClassSeen::of(it)))
                .collect(),
            metadata: Metadata::NotAsked,
        }
    }

    /// Whether a driver is in the cluster. One that nobody here knows is, too, where somebody has made a
    /// class of it; but for Kubernetes' own, whose classes are no sign of anything.
    pub fn is_installed(&self, name: &str) -> bool {
        let by_class = match Driver::named(name) {
            Some(driver) => driver.shown == Shown::ByClass,
            None => !name.starts_with("kubernetes.io/"),
        };
        self.drivers.contains(name) || by_class && self.classes_of(name).next().is_some()
    }

    /// The classes of a driver that were not made here.
    pub fn classes_of(&self, driver: &str) -> impl Iterator<Item = (&String, &ClassSeen)> {
        let classes = self.classes.iter();
        classes.filter(move |(_, it)| it.provisioner == driver && !it.is_ours)
    }

    /// What all classes of a driver say alike.
    pub fn common_parameters(&self, driver: &str) -> BTreeMap<String, String> {
        let mut all = self.classes_of(driver).map(|(_, class)| &class.parameters);
        let Some(first) = all.next() else {
            return BTreeMap::new();
        };
        let mut common = first.clone();
        for others in all {
            common.retain(|name, value| others.get(name) == Some(value));
        }
        common
    }
}

impl ClassSeen {
    fn of(class: &Object) -> Self {
        let fields = class.as_value();
        let parameters = fields["parameters"].as_object().into_iter().flatten();
        Self {
            provisioner: fields["provisioner"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            parameters: parameters
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
            is_default: class.annotation(IS_DEFAULT) == Some("true"),
            is_ours: class.label(MANAGED_BY.0) == Some(MANAGED_BY.1),
        }
    }
}

/// Where evidence is looked for, in the order in which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A claim's annotation, or the operator's arguments.
    Setting,
    /// `spec.providerID` of nodes.
    Nodes,
    /// CSIDriver objects.
    Drivers,
    /// StorageClasses that others have made.
    Classes,
    /// The metadata services of the machines.
    Metadata,
}

impl Source {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setting => "the setting",
            Self::Nodes => "the provider IDs of nodes",
            Self::Drivers => "the CSI drivers",
            Self::Classes => "the storage classes",
            Self::Metadata => "the metadata service",
        }
    }
}

/// What one source says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Which one.
    pub source: Source,
    /// The providers that it names, with what says so.
    pub names: BTreeMap<Provider, String>,
    /// What it says besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Whose machines a cluster runs on, and why that is thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The provider, and which source has decided.
    pub provider: Option<(Provider, Source)>,
    /// What every source says.
    pub told: Vec<Told>,
    /// What speaks against it, a line each.
    pub contradictions: Vec<String>,
}

impl Detection {
    /// The provider.
    pub fn provider(&self) -> Option<Provider> {
        self.provider.map(|(provider, _)| provider)
    }
}

/// Reads the evidence, where this provider was set.
pub fn detect(evidence: &Evidence, set: Option<Provider>) -> Detection {
    let told = vec![
        Told {
            source: Source::Setting,
            names: set.map(|it| (it, it.to_string())).into_iter().collect(),
            note: None,
        },
        nodes(evidence),
        drivers(evidence),
        classes(evidence),
        metadata(evidence),
    ];
    let provider = told.iter().find_map(|it| match it.names.keys().next() {
        Some(only) if it.names.len() == 1 => Some((*only, it.source)),
        _ => None,
    });
    let contradictions = told.iter().filter_map(|it| against(it, provider));
    Detection {
        provider,
        contradictions: contradictions.collect(),
        told,
    }
}

/// How what a source says speaks against the provider, or against itself.
fn against(told: &Told, provider: Option<(Provider, Source)>) -> Option<String> {
    let others = told.names.iter();
    let others = others.filter(|(named, _)| provider.is_none_or(|(it, _)| it != **named));
    let others: Vec<String> = others
        .map(|(named, words)| format!("{named} ({words})"))
        .collect();
    if others.is_empty() || (provider.is_none() && others.len() == 1) {
        return None;
    }
    let named = others.join(" and ");
    Some(format!("{} would have it be {named}", told.source.as_str()))
}

/// The part of a provider ID that all machines of the provider have, so that what is told of it stays when
/// nodes come and go.
fn beginning(id: &str) -> String {
    match id.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://"),
        None => id.split('.').next().unwrap_or_default().to_owned(),
    }
}

fn nodes(evidence: &Evidence) -> Told {
    let mut names = BTreeMap::new();
    let mut note = None;
    for (tells, example) in &evidence.nodes {
        match tells {
            NodeTells::Provider(provider) => {
                names.insert(*provider, example.clone());
            }
            NodeTells::Unknown => note = Some(format!("{example:?} is of nobody known here")),
            NodeTells::Nothing => {}
        }
    }
    Told {
        source: Source::Nodes,
        names,
        note,
    }
}

fn drivers(evidence: &Evidence) -> Told {
    let known = evidence.drivers.iter().filter_map(|name| {
        let provider = Driver::named(name)?.provider?;
        Some((provider, name.clone()))
    });
    Told {
        source: Source::Drivers,
        names: by_provider(known),
        note: None,
    }
}

fn classes(evidence: &Evidence) -> Told {
    let others = evidence.classes.iter().filter(|(_, it)| !it.is_ours);
    let known = others.filter_map(|(name, class)| {
        let provisioner = &class.provisioner;
        let of_driver = Driver::named(provisioner).and_then(|it| it.provider);
        let provider = of_driver.or_else(|| Provider::of_in_tree(provisioner))?;
        Some((provider, format!("{name} of {provisioner}")))
    });
    Told {
        source: Source::Classes,
        names: by_provider(known),
        note: None,
    }
}

fn metadata(evidence: &Evidence) -> Told {
    let (names, note) = match &evidence.metadata {
        Metadata::NotAsked => (BTreeMap::new(), Some("not asked".to_owned())),
        Metadata::Asked(known) => {
            let answers = known
                .iter()
                .map(|it| (*it, "it knows this machine".to_owned()));
            (answers.collect(), None)
        }
    };
    Told {
        source: Source::Metadata,
        names,
        note,
    }
}

/// The words of several by whom they name.
fn by_provider(known: impl Iterator<Item = (Provider, String)>) -> BTreeMap<Provider, String> {
    let mut names: BTreeMap<Provider, String> = BTreeMap::new();
    for (provider, words) in known {
        let all = names.entry(provider).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(&words);
    }
    names
}

/// What is kept of a node: nothing else of it matters here.
pub fn trim_node(node: &mut Value) {
    let id = node["spec"]["providerID"].take();
    if let Some(fields) = node.as_object_mut() {
        fields.retain(|name, _| ["apiVersion", "kind", "metadata"].contains(&name.as_str()));
        fields.insert("spec".to_owned(), serde_json::json!({ "providerID": id }));
    }
    if let Some(metadata) = node["metadata"].as_object_mut() {
        metadata.retain(|name, _| ["name", "uid", "resourceVersion"].contains(&name.as_str()));
    }
}
