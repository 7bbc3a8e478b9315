//! Images of Spark: which Spark is in one, and what becomes of those of that time.
//!
//! The only thing that can be known of an image without pulling it is its name. Its tag usually
//! begins with the version of Spark (`4.3.0`, `v2.2.0-kubernetes-0.5.0`).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The first major version that can be run: the drivers of earlier ones were started in other ways,
/// and their client does not speak with the API servers of today.
pub(super) const OLDEST_MAJOR: u32 = 3;

/// What becomes of images whose Spark is too old to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OldImages {
    /// The application is refused, with the reason.
    #[default]
    Refuse,
    /// This one takes their place.
    Replace(CurrentImage),
}

/// An image whose tag tells a version of Spark that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentImage {
    name: String,
    version: Version,
}

impl CurrentImage {
    /// The image.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The version of Spark in it, as its tag tells it.
    pub fn spark_version(&self) -> &str {
        &self.version.text
    }
}

impl fmt::Display for CurrentImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why an image cannot take the place of old ones.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CurrentImageError {
    /// Its tag does not tell.
    #[error(
        "the tag does not begin with a version of Spark; give one that does, for example \
         apache/spark:4.3.0"
    )]
    Untold,
    /// Its Spark is too old itself.
    #[error("Spark {0} is too old to be run; give an image of Spark 3 or later")]
    TooOld(String),
}

impl FromStr for CurrentImage {
    type Err = CurrentImageError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match Version::of_image(name) {
            None => Err(CurrentImageError::Untold),
            Some(version) if version.is_too_old() => Err(CurrentImageError::TooOld(version.text)),
            Some(version) => Ok(Self {
                name: name.to_owned(),
                version,
            }),
        }
    }
}

/// A version of Spark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) text: String,
}

impl Version {
    /// The version that the tag of an image begins with.
    pub(super) fn of_image(image: &str) -> Option<Self> {
        let name = image.rsplit('/').next()?;
        let (_, tag) = name.split('@').next()?.split_once(':')?;
        let tag = tag.strip_prefix('v').unwrap_or(tag);
        let end = tag
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(tag.len());
        tag[..end].trim_end_matches('.').parse().ok()
    }

    pub(super) fn is_too_old(&self) -> bool {
        self.major < OLDEST_MAJOR
    }

    /// Whether drivers of one understand executors of the other.
    pub(super) fn fits(&self, other: &Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

/// Not a version of Spark. Whoever asked says what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    /// Two or three numbers; a first one of several digits is a date, or a number of a build.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let numbers: Vec<u32> = text
            .split('.')
            .map(|part| part.parse().map_err(|_| NoVersion))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [major @ 1..10, minor] | [major @ 1..10, minor, _] => Ok(Self {
                major,
                minor,
                text: text.to_owned(),
            }),
            _ => Err(NoVersion),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_told_by_the_beginning_of_the_tag() {
        for (image, expected) in [
            ("apache/spark:4.3.0", Some("4.3.0")),
            ("spark:3.5", Some("3.5")),
            ("spark:4.0.1-scala2.13-java17-python3-ubuntu", Some("4.0.1")),
            (
                "kubespark/spark-driver:v2.2.0-kubernetes-0.5.0",
                Some("2.2.0"),
            ),
            (
                "registry:5000/team/spark:3.4.1@sha256:00112233",
                Some("3.4.1"),
            ),
            ("registry:5000/team/spark", None),
            ("spark", None),
            ("spark:latest", None),
            ("spark:v", None),
            ("spark:3", None),
            ("spark:2026.11.29", None),
            ("spark:3.5.1.7", None),
        ] {
            let found = Version::of_image(image).map(|version| version.text);
            assert_eq!(found.as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn only_an_image_that_can_be_run_takes_the_place_of_old_ones() {
        let image: CurrentImage = "apache/spark:4.3.0".parse().unwrap();
        assert_eq!(image.as_str(), "apache/spark:4.3.0");
        assert_eq!(image.spark_version(), "4.3.0");
        let told = |image: &str| image.parse::<CurrentImage>().unwrap_err().to_string();
        assert_eq!(
            told("apache/spark:latest"),
            "the tag does not begin with a version of Spark; give one that does, for example \
             apache/spark:4.3.0"
        );
        assert_eq!(
            told("apache/spark:2.4.8"),
            "Spark 2.4.8 is too old to be run; give an image of Spark 3 or later"
        );
    }
}
