//! Which claims get classes, and what is known of the cluster besides what it shows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use windlass_engine::Object;

use super::class::Reclaim;
use super::provider::Provider;

/// The label of namespaces whose claims get classes, and its value.
pub const WANTED: (&str, &str) = ("windlass.dev/storage-classes", "make");

/// Which claims get classes, and how it is known which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names of classes that are made for claims of every namespace. Without any, the namespace has to
    /// want them by its label [`WANTED`].
    pub names: Vec<NamePattern>,
    /// The provider, instead of what the cluster shows.
    pub provider: Option<Provider>,
    /// Drivers that are taken before all others, the first of them that is there and does what is wanted.
    pub drivers: Vec<String>,
    /// What the classes of a driver say besides, by the driver's name.
    pub parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// What becomes of volumes whose claim is gone, where the claim does not say.
    pub reclaim: Reclaim,
    /// Which table classes come from.
    pub table: Table,
    /// Whether the metadata services of providers are asked when nothing else tells.
    pub asks_metadata: bool,
    /// Who makes the classes of shares that claims want a server for.
    pub shares: Shares,
}

/// Who makes the classes of [shares](crate::nfs).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shares {
    /// They are like all others.
    #[default]
    AsAll,
    /// Each is one of an NFS server, and another controller's.
    Servers,
}

/// Which table classes come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Table {
    /// That of CSI drivers.
    #[default]
    Drivers,
    /// That of Kubernetes' own provisioners, which the original operator had.
    InTree,
}

impl Settings {
    /// Whether a class of this name is made for claims of every namespace.
    pub fn is_for_everybody(&self, class: &str) -> bool {
        self.names.iter().any(|pattern| pattern.matches(class))
    }

    /// Whether a namespace wants classes.
    pub fn is_wanted_in(namespace: &Object) -> bool {
        namespace.label(WANTED.0) == Some(WANTED.1)
    }
}

/// Names of classes: `*` stands for any number of any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

/// No name of a class can be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pattern of names: lower case letters, digits, '-', '.', and '*' for anything")]
pub struct NoPattern(String);

impl NamePattern {
    /// Whether a name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else {
            return rest.is_empty();
        };
        for part in middle {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

impl FromStr for NamePattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_usual =
            |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "-.*".contains(it);
        if text.is_empty() || !text.chars().all(is_usual) {
            return Err(NoPattern(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One parameter of the classes of a driver, as an argument says it: `DRIVER:NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The driver.
    pub driver: String,
    /// The parameter's name.
    pub name: String,
    /// And its value.
    pub value: String,
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').and_then(|(driver, rest)| {
            let (name, value) = rest.split_once('=')?;
            let is_whole = !driver.is_empty() && !name.is_empty();
            is_whole.then(|| Self {
                driver: driver.to_owned(),
                name: name.to_owned(),
                value: value.to_owned(),
            })
        });
        parts.ok_or_else(|| {
            format!("{text:?} is not of the form DRIVER:NAME=VALUE, as in efs.csi.aws.com:fileSystemId=fs-1")
        })
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", self.driver, self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_with_stars() {
        for (pattern, name, matches) in [
            ("*", "anything", true),
            ("*", "", true),
            ("fast", "fast", true),
            ("fast", "faster", false),
            ("fast-*", "fast-1", true),
            ("fast-*", "slow-1", false),
            ("*-data", "my-data", true),
            ("*-data", "my-data-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
        ] {
            let pattern: NamePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(name), matches, "{pattern} {name}");
        }
        for wrong in ["", "Fast", "a b", "a/b"] {
            assert!(wrong.parse::<NamePattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_parameter_is_read_as_it_is_written() {
        let text = "nfs.csi.k8s.io:server=nfs.example:2049=x";
        let parameter: Parameter = text.parse().unwrap();
        assert_eq!(parameter.to_string(), text);
        assert_eq!(parameter.value, "nfs.example:2049=x");
        for wrong in ["", "a=b", "a:b", ":a=b", "a:=b"] {
            assert!(wrong.parse::<Parameter>().is_err(), "{wrong}");
        }
    }
}
