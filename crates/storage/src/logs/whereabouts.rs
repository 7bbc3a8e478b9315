//! How it is written where logs are kept: a folder, or `objectstore/NAMESPACE/NAME`. Pure.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use windlass_api::names::{DnsLabel, DnsSubdomain};

/// Where logs lie in a bucket, unless it is said otherwise: whoever reads it shall know what they are.
pub const PREFIX: &str = "kept-logs";
/// What a bucket is written with; a folder of this name is `./objectstore`.
const SCHEME: &str = "objectstore/";

/// Where logs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeptIn {
    /// In a folder.
    Folder(PathBuf),
    /// In the bucket of an ObjectStore.
    Bucket(BucketName),
}

/// The bucket of an ObjectStore, below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketName {
    namespace: String,
    name: String,
    prefix: String,
}

/// Why a text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhereError {
    /// It has another number of parts, or some that are no names.
    #[error(
        "{0:?} names no bucket: write objectstore/NAMESPACE/NAME, with the namespace and the name of an \
         ObjectStore, and behind them another folder in it than kept-logs if you want"
    )]
    Bucket(String),
    /// It is the address of a bucket.
    #[error(
        "{0:?} is an address: make an ObjectStore for the bucket, and write objectstore/NAMESPACE/NAME"
    )]
    Address(String),
    /// It is nothing.
    #[error("it is empty: name a folder, or objectstore/NAMESPACE/NAME")]
    Empty,
}

impl BucketName {
    /// The bucket of this ObjectStore, where logs lie in it unless it is said otherwise.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            prefix: PREFIX.to_owned(),
        }
    }

    /// The namespace of the ObjectStore.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the names of all logs in it begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for KeptIn {
    type Err = WhereError;

    fn from_str(text: &str) -> Result<Self, WhereError> {
        if text.is_empty() {
            return Err(WhereError::Empty);
        }
        if text.contains("://") {
            return Err(WhereError::Address(text.to_owned()));
        }
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return Ok(Self::Folder(PathBuf::from(text)));
        };
        let wrong = || WhereError::Bucket(text.to_owned());
        let mut parts = rest.splitn(3, '/');
        let (Some(namespace), Some(name)) = (parts.next(), parts.next()) else {
            return Err(wrong());
        };
        if DnsLabel::new(namespace).is_err() || DnsSubdomain::new(name).is_err() {
            return Err(wrong());
        }
        let mut bucket = BucketName::new(namespace, name);
        if let Some(prefix) = parts.next() {
            if !prefix.split('/').all(is_folder) {
                return Err(wrong());
            }
            prefix.clone_into(&mut bucket.prefix);
        }
        Ok(Self::Bucket(bucket))
    }
}

/// Whether every store and shell takes this for a name.
fn is_folder(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(is_plain)
}

impl fmt::Display for KeptIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.namespace, self.name)?;
        if self.prefix != PREFIX {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_the_bucket_of_an_object_store() {
        for (text, prefix) in [
            ("objectstore/platform/logs", "kept-logs"),
            ("objectstore/platform/logs.spark/of/berlin_1", "of/berlin_1"),
        ] {
            let Ok(KeptIn::Bucket(bucket)) = text.parse() else {
                panic!("{text}");
            };
            assert_eq!((bucket.namespace(), bucket.prefix()), ("platform", prefix));
            assert_eq!(KeptIn::Bucket(bucket).to_string(), text);
        }
        for text in [
            "/var/lib/logs",
            "logs",
            "./objectstore/platform/logs",
            "objectstore",
        ] {
            assert_eq!(text.parse(), Ok(KeptIn::Folder(text.into())));
        }
    }

    #[test]
    fn what_names_no_place_is_told_with_what_does() {
        for text in [
            "objectstore/",
            "objectstore/logs",
            "objectstore/platform/",
            "objectstore//logs",
            "objectstore/Platform/logs",
            "objectstore/platform/logs/",
            "objectstore/platform/logs/../other",
            "objectstore/platform/logs/a b",
            "s3://logs",
            "",
        ] {
            let told = text.parse::<KeptIn>().unwrap_err().to_string();
            assert!(
                told.contains("objectstore/NAMESPACE/NAME"),
                "{text}: {told}"
            );
        }
    }
}
