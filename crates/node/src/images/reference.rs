//! Image names: parsing, and the pure decision what a name stands for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use oci_client::Reference;

use super::{HOST_IMAGE, ImageConfig, SoftwareInstallation, SparkInstallation};

/// A minor version of Spark, such as 3.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SparkMinor {
    /// 3
    pub major: u16,
    /// 5
    pub minor: u16,
}

/// What an image name stands for on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// The machine's own programs.
    Host,
    /// An installed Spark.
    Spark {
        /// Its version.
        minor: SparkMinor,
        /// Where it is.
        installation: SparkInstallation,
    },
    /// Other installed software.
    Software {
        /// Its name, without that of its publisher.
        name: String,
        /// Where it is.
        installation: SoftwareInstallation,
    },
    /// A directory that holds a root file system.
    Directory(PathBuf),
    /// An image in a directory of the OCI image layout.
    Layout {
        /// The directory.
        path: PathBuf,
        /// Which of its images; may be left out where there is one only.
        tag: Option<String>,
    },
    /// An image of a registry.
    Registry(Reference),
}

/// Why an image cannot be had; the text is what the user sees in the container's status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Not an image name at all.
    #[error("couldn't parse image name \"{image}\": {reason}")]
    InvalidName {
        /// The name as given.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A Spark image whose version is not installed.
    #[error(
        "image \"{image}\" needs Spark {wanted}, which is not installed (installed: {installed}); {hint}"
    )]
    SparkNotInstalled {
        /// The name as given.
        image: String,
        /// The minor version it asks for.
        wanted: String,
        /// The minor versions there are.
        installed: String,
        /// What to do.
        hint: String,
    },
    /// It is in a registry, and may not be fetched.
    #[error("Container image \"{image}\" is not present with pull policy of Never")]
    NeverPull {
        /// The name as given.
        image: String,
    },
    /// The registry did not give it.
    #[error(
        "failed to pull image \"{image}\": {reason}; what needs no registry: {HOST_IMAGE}, spark:VERSION, oci:/path, dir:/path"
    )]
    PullFailed {
        /// The name as given.
        image: String,
        /// What the registry or the network said.
        reason: String,
    },
    /// The directory or installation the name stands for cannot be used.
    #[error("image \"{image}\" cannot be used: {reason}")]
    Unusable {
        /// The name as given.
        image: String,
        /// What is wrong on the machine.
        reason: String,
    },
}

impl ImageError {
    /// The reason a waiting container shows.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "InvalidImageName",
            Self::NeverPull { .. } => "ErrImageNeverPull",
            Self::SparkNotInstalled { .. } | Self::PullFailed { .. } | Self::Unusable { .. } => {
                "ErrImagePull"
            }
        }
    }
}

impl ImageConfig {
    /// Decides what an image name stands for.
    pub fn resolve(&self, image: &str) -> Result<ImageSource, ImageError> {
        let invalid = |reason: &str| {
            Err(ImageError::InvalidName {
                image: image.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if let Some(path) = image.strip_prefix("dir:") {
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return invalid("a directory image is dir: followed by an absolute path");
            }
            return Ok(ImageSource::Directory(path));
        }
        if let Some(layout) = image.strip_prefix("oci:") {
            let (path, tag) = split_tag(layout);
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return invalid("a layout image is oci: followed by an absolute path");
            }
            let tag = tag.map(ToOwned::to_owned);
            return Ok(ImageSource::Layout { path, tag });
        }
        if image.is_empty() {
            return invalid("the name is empty");
        }
        if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return invalid("the name contains white space");
        }
        let (repository, tag) = split_tag(image);
        if repository == "local/host" && matches!(tag, None | Some("latest")) {
            return Ok(ImageSource::Host);
        }
        let reference: Reference = match image.parse() {
            Ok(reference) => reference,
            Err(error) => return invalid(&format!("{error}")),
        };
        if let Some(found) = self.software(repository, tag) {
            return Ok(found);
        }
        let version = tag.filter(|tag| *tag != "latest").map(SparkMinor::of_tag);
        if !is_spark(repository) || version == Some(None) {
            return Ok(ImageSource::Registry(reference));
        }
        let minor = match version.flatten() {
            None => self.spark.keys().next_back().copied(),
            some => some,
        };
        let found = minor.and_then(|minor| Some((minor, self.spark.get(&minor)?)));
        match found {
            Some((minor, installation)) => Ok(ImageSource::Spark {
                minor,
                installation: installation.clone(),
            }),
            None => Err(self.not_installed(image, minor)),
        }
    }

    /// Software other than Spark, where it is installed in this version; what is not is in a registry.
    fn software(&self, repository: &str, tag: Option<&str>) -> Option<ImageSource> {
        let name = repository.strip_prefix("docker.io/").unwrap_or(repository);
        let name = if name.contains('/') {
            name.to_owned()
        } else {
            format!("library/{name}")
        };
        let installation = self.software.get(&name)?;
        let rest = match tag {
            None | Some("latest") => Some(""),
            Some(tag) => installation.version.strip_prefix(tag),
        };
        let is_it = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        is_it.then(|| ImageSource::Software {
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            installation: installation.clone(),
        })
    }

    fn not_installed(&self, image: &str, minor: Option<SparkMinor>) -> ImageError {
        let wanted = minor.map_or_else(|| "of any version".to_owned(), |m| m.to_string());
        let installed: Vec<String> = self.spark.keys().map(SparkMinor::to_string).collect();
        let hint = match (&self.install_hint, minor) {
            (Some(hint), Some(minor)) => {
                format!("run: {}", hint.replace("{minor}", &minor.to_string()))
            }
            _ => "install it and name its directory in the node's image configuration".to_owned(),
        };
        ImageError::SparkNotInstalled {
            image: image.to_owned(),
            wanted,
            installed: if installed.is_empty() {
                "none".to_owned()
            } else {
                installed.join(", ")
            },
            hint,
        }
    }
}

impl SparkMinor {
    /// The minor version a tag such as `3.5.9`, `v4.1` or `4.3.0-scala2.13-java17-python3` names.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let version = tag.strip_prefix('v').unwrap_or(tag);
        let version = version.split(['-', '_']).next()?;
        let mut parts = version.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        parts
            .all(|part| part.parse::<u32>().is_ok())
            .then_some(Self { major, minor })
    }
}

impl FromStr for SparkMinor {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        Self::of_tag(text).ok_or_else(|| ImageError::InvalidName {
            image: text.to_owned(),
            reason: "a Spark version is MAJOR.MINOR".to_owned(),
        })
    }
}

impl fmt::Display for SparkMinor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Splits `registry:5000/name:tag`; a colon before the last slash belongs to the registry.
fn split_tag(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

fn is_spark(repository: &str) -> bool {
    let name = repository.strip_prefix("docker.io/").unwrap_or(repository);
    let name = name
        .strip_prefix("library/")
        .or_else(|| name.strip_prefix("apache/"))
        .unwrap_or(name);
    matches!(name, "spark" | "spark-py")
}

#[cfg(test)]
mod tests {
    use super::super::Runtime;
    use super::*;

    fn config() -> ImageConfig {
        let home = |minor: &str| SparkInstallation {
            spark_home: PathBuf::from(format!("/sparks/{minor}")),
            python: None,
            java_home: None,
            class_archive: None,
        };
        let software = |name: &str, version: &str| SoftwareInstallation {
            version: version.to_owned(),
            home: PathBuf::from(format!("/software/{name}/{version}")),
            runtime: Runtime::Java(None),
        };
        ImageConfig {
            spark: ["3.5", "4.3"]
                .iter()
                .map(|m| (m.parse().unwrap(), home(m)))
                .collect(),
            software: [
                ("library/cassandra", "5.0.9"),
                ("apache/kafka", "4.3.1"),
                ("tensorflow/tensorflow", "2.21.0-jupyter"),
            ]
            .map(|(name, version)| (name.to_owned(), software(name, version)))
            .into(),
            install_hint: Some("get-spark {minor}".to_owned()),
            store: None,
        }
    }

    #[test]
    fn an_image_name_stands_for_what_is_installed() {
        let table = [
            "spark:3.5.9",
            "spark-py:v3.5.1",
            "docker.io/apache/spark:4.3.0-scala2.13-java17-python3-ubuntu",
            "docker.io/library/spark:4.3",
            "apache/spark",
            "spark:latest",
            "apache/spark:4.0.1",
            "spark:nightly",
            "local/host:latest",
            "local/host",
            "dir:/images/busybox",
            "dir:images",
            "oci:/images/layout",
            "oci:/images/layout:v1",
            "oci:layout",
            "",
            "a b",
            "Spark:3.5",
            "localhost:5000/spark:3.5",
            "nginx:1.27",
            "spark@sha256:0123",
            "spark@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "registry.example/team/etl:1.2",
            "spark-r:3.5.9",
            "cassandra",
            "docker.io/library/cassandra:5.0",
            "cassandra:5.0.9",
            "cassandra:5.0.8",
            "cassandra:5.0.90",
            "someone/cassandra:5.0",
            "apache/kafka:4.3.1",
            "docker.io/apache/kafka:4.3",
            "apache/kafka:4.2.0",
            "apache/kafka-native:4.3.1",
            "kafka:4.3.1",
            "tensorflow/tensorflow:2.21.0-jupyter",
            "tensorflow/tensorflow:2.21.0",
        ];
        let mut lines = String::new();
        for image in table {
            let said = match config().resolve(image) {
                Ok(ImageSource::Host) => "host".to_owned(),
                Ok(ImageSource::Spark { minor, .. }) => format!("Spark {minor}"),
                Ok(ImageSource::Software { name, installation }) => {
                    format!("{name} {}", installation.version)
                }
                Ok(ImageSource::Directory(path)) => format!("directory {}", path.display()),
                Ok(ImageSource::Layout { path, tag }) => {
                    format!("layout {} {tag:?}", path.display())
                }
                Ok(ImageSource::Registry(name)) => format!("registry {}", name.whole()),
                Err(error) => format!("{}: {error}", error.reason()),
            };
            lines.push_str(&format!("{image:?} -> {said}\n"));
        }
        insta::assert_snapshot!(lines);
    }
}
