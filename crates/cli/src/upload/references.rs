//! The files of this machine that an application names, and where they are put.

use std::path::PathBuf;
use std::str::FromStr;

use serde_json::Value;
use url::Url;
use windlass_api::spark::application::is_local_path;

/// Where an application names files: one, or lists of them.
const ONE: &str = "/spec/mainApplicationFile";
const LISTS: [&str; 4] = [
    "/spec/deps/jars",
    "/spec/deps/files",
    "/spec/deps/pyFiles",
    "/spec/deps/archives",
];

/// A folder in an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// As the store is asked for it.
    pub url: Url,
    store: Store,
}

/// The stores that there are code paths for, both here and in Hadoop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// S3, or what speaks its language.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Data Lake Storage.
    Azure,
}

/// Why a text names no folder of an object store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It is no URL.
    #[error(
        "is no URL: {0}; write s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER"
    )]
    Url(#[from] url::ParseError),
    /// It is one of something else.
    #[error(
        "{0}: is no object store known here; write s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER"
    )]
    Scheme(String),
    /// It lacks the bucket, or the container and account.
    #[error("names no {0}")]
    Incomplete(&'static str),
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let url = Url::parse(text)?;
        let store = match url.scheme() {
            "s3" | "s3a" => Store::S3,
            "gs" => Store::Google,
            "abfss" => Store::Azure,
            other => return Err(DestinationError::Scheme(other.to_owned())),
        };
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        match store {
            Store::Azure if !has_host || url.username().is_empty() => {
                Err(DestinationError::Incomplete("container and account"))
            }
            Store::S3 | Store::Google if !has_host => Err(DestinationError::Incomplete("bucket")),
            Store::S3 | Store::Google | Store::Azure => Ok(Self { url, store }),
        }
    }
}

impl Destination {
    /// Which store it is.
    pub fn store(&self) -> Store {
        self.store
    }

    /// A file of this content and name, relative to the root of the bucket or container.
    pub fn key(&self, digest: &str, name: &str) -> String {
        let folder = self.url.path().trim_matches('/');
        let separator = if folder.is_empty() { "" } else { "/" };
        format!("{folder}{separator}{digest}/{name}")
    }

    /// The same as Spark is told it, by the scheme that Hadoop has for the store.
    pub fn reference(&self, key: &str) -> String {
        let scheme = match self.store {
            Store::S3 => "s3a",
            Store::Google => "gs",
            Store::Azure => "abfss",
        };
        let host = self.url.host_str().unwrap_or_default();
        match self.url.username() {
            "" => format!("{scheme}://{host}/{key}"),
            container => format!("{scheme}://{container}@{host}/{key}"),
        }
    }
}

/// A place of an application that names a file of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Where it stands, as a JSON pointer.
    pub(super) pointer: String,
    /// The file.
    pub(super) path: PathBuf,
    /// What stands behind the file: the name that an archive or file gets where it is used.
    pub(super) fragment: Option<String>,
}

impl Reference {
    fn of(pointer: String, text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || !is_local_path(text) {
            return None;
        }
        let (file, fragment) = match text.split_once('#') {
            Some((file, fragment)) => (file, Some(fragment.to_owned())),
            None => (text, None),
        };
        let path = match file.get(.."file:".len()) {
            Some(scheme) if scheme.eq_ignore_ascii_case("file:") => {
                let path = &file["file:".len()..];
                path.strip_prefix("//").unwrap_or(path)
            }
            _ => file,
        };
        Some(Self {
            pointer,
            path: PathBuf::from(path),
            fragment,
        })
    }

    /// The field as users write it.
    pub(super) fn field(&self) -> String {
        let parts = self.pointer.split('/').skip(1);
        parts.fold(String::new(), |field, part| {
            if part.bytes().all(|byte| byte.is_ascii_digit()) {
                format!("{field}[{part}]")
            } else if field.is_empty() {
                part.to_owned()
            } else {
                format!("{field}.{part}")
            }
        })
    }

    /// The name under which it is put; an error where that would not be the name that Spark sees.
    pub(super) fn name(&self) -> Result<&str, String> {
        let name = self.path.file_name().and_then(|name| name.to_str());
        let is_plain = |name: &&str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=".contains(&byte);
            name.bytes().all(plain)
        };
        name.filter(is_plain).ok_or_else(|| {
            format!(
                "{}: {} is no name for an object: rename the file, with letters, digits and . _ - + = \
                 alone",
                self.field(),
                self.path.display()
            )
        })
    }
}

/// All of them, in the order in which they stand.
pub(super) fn references(application: &Value) -> Vec<Reference> {
    let text = |pointer: String| {
        let text = application.pointer(&pointer)?.as_str()?;
        Reference::of(pointer.clone(), text)
    };
    let lists = LISTS.iter().flat_map(|list| {
        let items = application.pointer(list).and_then(Value::as_array);
        let count = items.map_or(0, Vec::len);
        (0..count).map(move |index| format!("{list}/{index}"))
    });
    std::iter::once(ONE.to_owned())
        .chain(lists)
        .filter_map(text)
        .collect()
}

/// Puts what Spark is told in the place of a file of this machine.
pub(super) fn rewrite(application: &mut Value, reference: &Reference, told: &str) {
    if let Some(place) = application.pointer_mut(&reference.pointer) {
        let fragment = reference.fragment.as_deref();
        let fragment = fragment.map_or_else(String::new, |it| format!("#{it}"));
        *place = Value::from(format!("{told}{fragment}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn destination(text: &str) -> Destination {
        text.parse().unwrap()
    }

    #[test]
    fn each_file_of_this_machine_is_found_in_its_place() {
        let application = json!({"spec": {
            "mainApplicationFile": "jobs/report.py",
            "deps": {
                "jars": ["local:///opt/a.jar", "/libs/b.jar", "https://example.com/c.jar"],
                "files": ["file:///etc/tables.csv"],
                "pyFiles": ["FILE:/lib/helpers.zip", ""],
                "archives": ["env.tar.gz#environment"],
                "packages": ["org.example:d:1"],
            },
        }});
        let found: Vec<(String, String, Option<String>)> = references(&application)
            .into_iter()
            .map(|it| (it.field(), it.path.display().to_string(), it.fragment))
            .collect();
        let expect = |field: &str, path: &str, fragment: Option<&str>| {
            (
                field.to_owned(),
                path.to_owned(),
                fragment.map(str::to_owned),
            )
        };
        assert_eq!(
            found,
            [
                expect("spec.mainApplicationFile", "jobs/report.py", None),
                expect("spec.deps.jars[1]", "/libs/b.jar", None),
                expect("spec.deps.files[0]", "/etc/tables.csv", None),
                expect("spec.deps.pyFiles[0]", "/lib/helpers.zip", None),
                expect("spec.deps.archives[0]", "env.tar.gz", Some("environment")),
            ]
        );
        for odd in [
            json!(null),
            json!({"spec": 1}),
            json!({"spec": {"deps": {"jars": [1]}}}),
        ] {
            assert_eq!(references(&odd), []);
        }
    }

    #[test]
    fn a_reference_becomes_what_hadoop_calls_it_and_nothing_else_changes() {
        let application = json!({"spec": {
            "mainApplicationFile": "local:///opt/job.py",
            "deps": {"archives": ["https://example.com/a.zip", "env.tar.gz#environment"]},
        }});
        for (to, expected) in [
            ("s3://data", "s3a://data/ab12/env.tar.gz#environment"),
            (
                "s3a://data/jobs/",
                "s3a://data/jobs/ab12/env.tar.gz#environment",
            ),
            (
                "gs://data/jobs/daily",
                "gs://data/jobs/daily/ab12/env.tar.gz#environment",
            ),
            (
                "abfss://jobs@account.dfs.core.windows.net/daily",
                "abfss://jobs@account.dfs.core.windows.net/daily/ab12/env.tar.gz#environment",
            ),
        ] {
            let to = destination(to);
            let mut rewritten = application.clone();
            let found = references(&application).remove(0);
            let key = to.key("ab12", found.name().unwrap());
            rewrite(&mut rewritten, &found, &to.reference(&key));
            let mut wanted = application.clone();
            wanted["spec"]["deps"]["archives"][1] = json!(expected);
            assert_eq!(rewritten, wanted);
        }
    }

    #[test]
    fn what_cannot_be_a_destination_or_a_name_is_told() {
        for (text, expected) in [
            ("bucket/folder", "is no URL"),
            ("hdfs://name/folder", "hdfs: is no object store known here"),
            (
                "abfss://account.dfs.core.windows.net/x",
                "names no container and account",
            ),
        ] {
            let error = text.parse::<Destination>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let named = Reference {
            pointer: "/spec/deps/jars/0".to_owned(),
            path: "my jar.jar".into(),
            fragment: None,
        };
        let error = named.name().unwrap_err();
        assert!(
            error.starts_with("spec.deps.jars[0]: my jar.jar is no name"),
            "{error}"
        );
    }
}
