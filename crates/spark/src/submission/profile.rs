//! What differs between Spark's minor versions at submission.

use std::fmt;
use std::str::FromStr;

use super::yaml::Dialect;

/// A version of Spark as users write it: `4.3.0`, `3.5`, `4.1.0-preview1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    text: String,
}

impl SparkVersion {
    /// The version as it was written; the value of the label `spark-version`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SparkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text is not a version of Spark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Spark version: write it like 4.3.0 or 3.5")]
pub struct ParseVersionError(String);

impl FromStr for SparkVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseVersionError(text.to_owned());
        let mut parts = text.splitn(3, '.');
        let number = |part: Option<&str>| part.and_then(|p| p.parse().ok()).ok_or_else(refused);
        let major = number(parts.next())?;
        let minor_text = parts.next();
        let minor = number(minor_text.map(|p| p.split('-').next().unwrap_or(p)))?;
        let label = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !label || text.len() > 63 || !text.ends_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(refused());
        }
        Ok(Self {
            major,
            minor,
            text: text.to_owned(),
        })
    }
}

/// The rules of one minor version where they differ from the others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The minor version these are the rules of, `3.5`.
    pub minor: &'static str,
    /// A submission time the user sets is kept.
    pub keeps_submit_time: bool,
    /// `spark.properties` names the Hadoop ConfigMap for the executors.
    pub names_hadoop_config_map: bool,
    /// Claims made on demand can be mounted by one pod only, unless the user says otherwise.
    pub claims_once_per_pod: bool,
    /// `{driver,executor}.minMemoryOverhead` is read.
    pub reads_min_overhead: bool,
    /// Spark is compiled for Scala 2.13, whose hash maps have another order than those of 2.12.
    pub scala_2_13: bool,
    /// Volumes know `mount.subPathExpr`, labels and annotations of claims, the type of a hostPath,
    /// and refuse sizes that lack a unit.
    pub rich_volumes: bool,
    /// How pod templates are read.
    pub yaml: Dialect,
    /// Of a pod template, `0644` is an octal number where a whole number is due, and a fraction is
    /// refused there.
    pub octal_integers: bool,
    /// `{{SPARK_VERSION}}` in image names is expanded.
    pub expands_image: bool,
    /// Java options are split into words before the heap's is looked for among them.
    pub splits_java_options: bool,
    /// The shell of Spark Connect is refused as every shell.
    pub knows_connect_shell: bool,
    /// `--load-spark-defaults` is an option.
    pub loads_defaults_on_request: bool,
    /// `pod.excludedFeatureSteps` is read.
    pub excludes_steps: bool,
    /// The port of Spark Connect is always opened.
    pub connect_port: bool,
    /// That port says which protocol it speaks, and a NetworkPolicy keeps strangers from executors.
    pub network_policy: bool,
    /// The user who is impersonated goes before `SPARK_USER`.
    pub proxy_user_first: bool,
    /// Spark's container says whether it may gain privileges, and the Service whether it publishes
    /// addresses that are not ready: both by settings that say no by default.
    pub explicit_security: bool,
    /// Memory may be written with Kubernetes' units, `mib` as well as `m`.
    pub binary_units: bool,
}

const V3_4: Profile = Profile {
    minor: "3.4",
    keeps_submit_time: false,
    names_hadoop_config_map: false,
    claims_once_per_pod: false,
    reads_min_overhead: false,
    scala_2_13: false,
    rich_volumes: false,
    yaml: Dialect::Yaml1_1,
    octal_integers: false,
    expands_image: false,
    splits_java_options: false,
    knows_connect_shell: false,
    loads_defaults_on_request: false,
    excludes_steps: false,
    connect_port: false,
    network_policy: false,
    proxy_user_first: false,
    explicit_security: false,
    binary_units: false,
};

const V3_5: Profile = Profile {
    minor: "3.5",
    keeps_submit_time: true,
    names_hadoop_config_map: true,
    yaml: Dialect::Json,
    ..V3_4
};

const V4_0: Profile = Profile {
    minor: "4.0",
    claims_once_per_pod: true,
    reads_min_overhead: true,
    scala_2_13: true,
    rich_volumes: true,
    octal_integers: true,
    splits_java_options: true,
    knows_connect_shell: true,
    loads_defaults_on_request: true,
    ..V3_5
};

const V4_1: Profile = Profile {
    minor: "4.1",
    expands_image: true,
    excludes_steps: true,
    connect_port: true,
    ..V4_0
};

const V4_2: Profile = Profile {
    minor: "4.2",
    network_policy: true,
    binary_units: true,
    ..V4_1
};

const V4_3: Profile = Profile {
    minor: "4.3",
    proxy_user_first: true,
    explicit_security: true,
    ..V4_2
};

/// Every profile, oldest first.
const PROFILES: [((u32, u32), Profile); 6] = [
    ((3, 4), V3_4),
    ((3, 5), V3_5),
    ((4, 0), V4_0),
    ((4, 1), V4_1),
    ((4, 2), V4_2),
    ((4, 3), V4_3),
];

impl Profile {
    /// The rules for a version, and whether they are exactly its own. An unknown version takes
    /// those of the nearest older one, and one older than all takes the oldest.
    pub fn of(version: &SparkVersion) -> (Self, bool) {
        let asked = (version.major, version.minor);
        match PROFILES.iter().rev().find(|(minor, _)| *minor <= asked) {
            Some((minor, profile)) => (*profile, *minor == asked),
            None => (V3_4, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_takes_the_nearest_profile() {
        for (version, minor, exact) in [
            ("3.4.4", "3.4", true),
            ("3.5", "3.5", true),
            ("4.0.1", "4.0", true),
            ("4.3.0-SNAPSHOT", "4.3", true),
            ("4.9.0", "4.3", false),
            ("3.3.2", "3.4", false),
            ("2.4.8", "3.4", false),
        ] {
            let (profile, known) = Profile::of(&version.parse().unwrap());
            assert_eq!((profile.minor, known), (minor, exact), "{version}");
        }
    }

    #[test]
    fn a_version_is_a_label_value() {
        for text in ["", "4", "x.y", "4.x", "4.1 ", "4.1/2", "4.1.", "v4.1"] {
            assert!(text.parse::<SparkVersion>().is_err(), "{text:?}");
        }
        assert_eq!(
            "4.1.0-preview1".parse::<SparkVersion>().unwrap().as_str(),
            "4.1.0-preview1"
        );
    }
}
