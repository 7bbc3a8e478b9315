//! The options of `spark-submit`.

use std::collections::BTreeMap;

use crate::submission::{Conf, Profile, SubmitError};

/// Options with a value; the second name is an abbreviation.
const WITH_VALUE: [(&str, &str); 29] = [
    ("--archives", ""),
    ("--class", ""),
    ("--conf", "-c"),
    ("--deploy-mode", ""),
    ("--driver-class-path", ""),
    ("--driver-cores", ""),
    ("--driver-java-options", ""),
    ("--driver-library-path", ""),
    ("--driver-memory", ""),
    ("--exclude-packages", ""),
    ("--executor-cores", ""),
    ("--executor-memory", ""),
    ("--files", ""),
    ("--jars", ""),
    ("--keytab", ""),
    ("--kill", ""),
    ("--master", ""),
    ("--name", ""),
    ("--num-executors", ""),
    ("--packages", ""),
    ("--principal", ""),
    ("--properties-file", ""),
    ("--proxy-user", ""),
    ("--py-files", ""),
    ("--queue", ""),
    ("--remote", ""),
    ("--repositories", ""),
    ("--status", ""),
    ("--total-executor-cores", ""),
];

/// Options without one.
const SWITCHES: [(&str, &str); 6] = [
    ("--help", "-h"),
    ("--load-spark-defaults", ""),
    ("--supervise", ""),
    ("--usage-error", ""),
    ("--verbose", "-v"),
    ("--version", ""),
];

/// Options the launcher turns into settings, so that the last of option and `--conf` wins.
const LAUNCHER: [(&str, &str); 4] = [
    ("--driver-memory", "spark.driver.memory"),
    ("--driver-java-options", "spark.driver.extraJavaOptions"),
    ("--driver-library-path", "spark.driver.extraLibraryPath"),
    ("--driver-class-path", "spark.driver.extraClassPath"),
];

/// Options that ask for something else than a submission to Kubernetes.
const NOT_A_SUBMISSION: [&str; 6] = [
    "--help",
    "--kill",
    "--remote",
    "--status",
    "--usage-error",
    "--version",
];

/// What the arguments say, each by its own.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    /// `--conf`, and the options the launcher treats likewise.
    pub(super) conf: Conf,
    /// Every other option; of repeated ones the last. A switch has an empty value.
    pub(super) options: BTreeMap<&'static str, String>,
    /// The first argument that is not an option.
    pub(super) resource: Option<String>,
    /// All arguments after it.
    pub(super) app_args: Vec<String>,
}

impl CommandLine {
    pub(super) fn read(args: &[String], profile: &Profile) -> Result<Self, SubmitError> {
        let mut line = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (name, attached) = split(arg);
            if let Some(option) = find(&WITH_VALUE, name) {
                let value = match attached {
                    Some(value) => value,
                    None => rest
                        .next()
                        .ok_or_else(|| SubmitError::setting(option, "needs a value after it"))?,
                };
                line.set(option, value)?;
            } else if let Some(switch) = find(&SWITCHES, name).filter(|s| known(s, profile)) {
                line.set(switch, "")?;
            } else if arg.starts_with('-') {
                return Err(SubmitError::setting(
                    arg,
                    "is not an option of this spark-submit",
                ));
            } else {
                line.resource = Some(arg.clone());
                line.app_args = rest.cloned().collect();
                break;
            }
        }
        Ok(line)
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    fn set(&mut self, option: &'static str, value: &str) -> Result<(), SubmitError> {
        if NOT_A_SUBMISSION.contains(&option) {
            return Err(SubmitError::setting(
                option,
                "is not about a submission to Kubernetes: leave it out",
            ));
        }
        if option == "--conf" {
            let (key, value) = value.split_once('=').ok_or_else(|| {
                SubmitError::setting(
                    "--conf",
                    format!("{value:?} is not a setting: write KEY=VALUE"),
                )
            })?;
            self.conf.insert(key.to_owned(), value.to_owned());
        } else if let Some((_, key)) = LAUNCHER.iter().find(|(launcher, _)| *launcher == option) {
            self.conf.insert((*key).to_owned(), value.to_owned());
        } else {
            self.options.insert(option, value.to_owned());
        }
        Ok(())
    }
}

/// `--option=value` is `--option value`.
fn split(arg: &str) -> (&str, Option<&str>) {
    match arg.split_once('=') {
        Some((name, value)) if name.len() > 2 && name.starts_with("--") && !value.is_empty() => {
            (name, Some(value))
        }
        _ => (arg, None),
    }
}

fn find(options: &[(&'static str, &str)], name: &str) -> Option<&'static str> {
    options
        .iter()
        .find(|(long, short)| *long == name || (!short.is_empty() && *short == name))
        .map(|(long, _)| *long)
}

fn known(switch: &str, profile: &Profile) -> bool {
    switch != "--load-spark-defaults" || profile.loads_defaults_on_request
}
