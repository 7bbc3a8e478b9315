//! The values of settings that nobody made, for references to them (`${spark.driver.memory}`).
//!
//! `defaults.tsv` lists the settings Spark registers at submission with what it prints as their
//! default: key, the version it holds from, and the value, `-` for none and `=KEY` for that of
//! another setting.

use super::profile::Profile;

const TABLE: &str = include_str!("defaults.tsv");

/// What stands for a setting that nobody made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    Text(&'static str),
    ValueOf(&'static str),
}

/// The default of a setting in this version, if it has one.
pub(super) fn of(key: &str, profile: &Profile) -> Option<Fallback> {
    let value = TABLE
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(candidate, _)| *candidate == key)
        .filter_map(|(_, rest)| rest.split_once('\t'))
        .take_while(|(since, _)| *since <= profile.minor)
        .last()?
        .1;
    match value.strip_prefix('=') {
        Some(other) => Some(Fallback::ValueOf(other)),
        None if value == "-" => None,
        None => Some(Fallback::Text(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_that_of_the_version() {
        let of = |key, version: &str| of(key, &Profile::of(&version.parse().unwrap()).0);
        for (key, v3_5, v4_3) in [
            ("spark.driver.memory", Some("1g"), Some("1g")),
            ("spark.jars.ivy", None, Some("~/.ivy2.5.2")),
            (
                "spark.kubernetes.allocation.batch.size",
                Some("5"),
                Some("20"),
            ),
            ("spark.app.name", None, None),
        ] {
            assert_eq!(of(key, "3.5"), v3_5.map(Fallback::Text), "{key}");
            assert_eq!(of(key, "4.3"), v4_3.map(Fallback::Text), "{key}");
        }
        assert_eq!(
            of("spark.kubernetes.driver.container.image", "4.3"),
            Some(Fallback::ValueOf("spark.kubernetes.container.image"))
        );
    }
}
