//! `windlass submit --upload-to`: files of this machine, put where pods can read them.
//!
//! Laws:
//! - the place of a file follows from its content, so what is there already is not uploaded again, and
//!   what an application reads never changes under it;
//! - only references to files of this machine are rewritten, each in its place;
//! - nothing is uploaded before all files have been read;
//! - credentials come from the environment, and are printed nowhere.

mod references;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::exit::Failure;
use crate::output::talk;
pub use references::{Destination, DestinationError};
use references::{Store, references, rewrite};

/// How much is read, and sent, at a time.
const PART: usize = 8 * 1024 * 1024;
/// How long a store may take to say whether it has something.
const ANSWER: Duration = Duration::from_secs(30);
/// How many parts are on their way at once.
const AT_ONCE: usize = 4;

/// Where files go, and what is known about that store beyond its URL.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The folder.
    pub to: Destination,
    /// The address of the store, where it is not its vendor's.
    pub endpoint: Option<String>,
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    key: String,
    size: u64,
}

/// The files that an application names, as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Content>);

impl Upload {
    /// Reads the files of this machine that an application names, and makes it name the places where
    /// they will be.
    pub async fn rewrite(&self, application: &mut Value) -> Result<Files, Failure> {
        let mut contents = BTreeMap::new();
        for reference in references(application) {
            let name = reference.name().map_err(Failure::bad_input)?;
            let (digest, size) = digest(&reference.path).await.map_err(|error| {
                Failure::bad_input(format!(
                    "{}: {}: {error}: paths begin where windlass is started",
                    reference.field(),
                    reference.path.display()
                ))
            })?;
            let key = self.to.key(&digest, name);
            rewrite(application, &reference, &self.to.reference(&key));
            contents.insert(reference.path.clone(), Content { key, size });
        }
        Ok(Files(contents))
    }

    /// Says what would be uploaded.
    pub fn pretend(&self, files: &Files) {
        for (path, content) in &files.0 {
            let told = self.to.reference(&content.key);
            talk(&format!("{} would be uploaded to {told}", path.display()));
        }
    }

    /// Puts the files into their places.
    pub async fn put(&self, files: &Files) -> Result<(), Failure> {
        if files.0.is_empty() {
            return Ok(());
        }
        let store = self.store()?;
        for (path, content) in &files.0 {
            let told = self.to.reference(&content.key);
            let is_new = put(store.as_ref(), path, content)
                .await
                .map_err(|error| Failure::cluster(format!("{told}: {error}")))?;
            talk(&if is_new {
                format!("{} uploaded to {told}", path.display())
            } else {
                format!("{} is there already: {told}", path.display())
            });
        }
        Ok(())
    }

    /// The store, with what the environment says about it.
    fn store(&self) -> Result<Arc<dyn ObjectStore>, Failure> {
        // Whoever comes second finds the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let environment = of_environment(self.to.store(), std::env::vars_os());
        if self.to.store() == Store::S3 && !has_credentials(&environment) {
            return Err(Failure::bad_input(format!(
                "--upload-to {}: the environment has no credentials: set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, for example by eval \"$(aws configure export-credentials \
                 --format env)\"",
                self.to.url
            )));
        }
        let options = environment.into_iter().chain(self.options());
        let (store, _) = object_store::parse_url_opts(&self.to.url, options)
            .map_err(|error| Failure::bad_input(format!("--upload-to {}: {error}", self.to.url)))?;
        Ok(Arc::from(store))
    }

    /// What the flags say about the store.
    fn options(&self) -> Vec<(String, String)> {
        let Some(endpoint) = &self.endpoint else {
            return Vec::new();
        };
        let key = match self.to.store() {
            Store::S3 => "aws_endpoint",
            Store::Google => "google_base_url",
            Store::Azure => "azure_storage_endpoint",
        };
        let mut options = vec![(key.to_owned(), endpoint.clone())];
        if endpoint.starts_with("http://") {
            options.push(("allow_http".to_owned(), "true".to_owned()));
        }
        options
    }
}

/// What the environment says about a store, in the variables of its vendor. Others are not looked at,
/// whose names might be meant for anything.
fn of_environment(
    store: Store,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(String, String)> {
    let prefix = match store {
        Store::S3 => "AWS_",
        Store::Google => "GOOGLE_",
        Store::Azure => "AZURE_",
    };
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

/// Whether there is anything to sign with. Without, the address at which virtual machines of the vendor
/// get credentials would be asked, and elsewhere that takes minutes to fail.
fn has_credentials(environment: &[(String, String)]) -> bool {
    const ANY: [&str; 6] = [
        "aws_access_key_id",
        "aws_web_identity_token_file",
        "aws_container_credentials_relative_uri",
        "aws_container_credentials_full_uri",
        "aws_metadata_endpoint",
        "aws_skip_signature",
    ];
    let is_any = |(name, value): &(String, String)| ANY.contains(&&**name) && !value.is_empty();
    environment.iter().any(is_any)
}

/// What a file contains, as a word, and how long it is.
async fn digest(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path).await?;
    if file.metadata().await?.is_dir() {
        return Err(std::io::Error::other(
            "is a folder: pack it into an archive",
        ));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PART];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    let digest = hasher.finalize();
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    Ok((hex.collect(), size))
}

/// Why a file is not in its place.
#[derive(Debug, thiserror::Error)]
enum PutError {
    #[error("{0}")]
    Store(#[from] object_store::Error),
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
    #[error("the file has changed while it was uploaded: submit again")]
    Changed,
    #[error(
        "the store has not answered for {} s: check --upload-to, --upload-endpoint and your network",
        ANSWER.as_secs()
    )]
    Silent,
}

/// Puts a file in its place, where it is not there yet; tells whether it was not.
async fn put(store: &dyn ObjectStore, path: &Path, content: &Content) -> Result<bool, PutError> {
    let key = Key::from(content.key.as_str());
    // The store is asked again and again, for minutes.
    let looked = tokio::time::timeout(ANSWER, store.head(&key)).await;
    match looked.map_err(|_| PutError::Silent)? {
        Ok(found) if found.size == content.size => return Ok(false),
        // What was left behind by another tool is replaced.
        Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut file = File::open(path).await?;
    let mut first = read(&mut file).await?;
    if first.len() < PART {
        check(first.len() as u64, content)?;
        store.put(&key, PutPayload::from(first)).await?;
        return Ok(true);
    }
    let bar = bar(path, content.size);
    let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(&key).await?, PART);
    let mut sent = 0;
    while !first.is_empty() {
        upload.wait_for_capacity(AT_ONCE).await?;
        sent += first.len() as u64;
        upload.write(&first);
        bar.set_position(sent);
        first = read(&mut file).await?;
    }
    bar.finish_and_clear();
    if let Err(changed) = check(sent, content) {
        upload.abort().await?;
        return Err(changed);
    }
    upload.finish().await?;
    Ok(true)
}

fn check(sent: u64, content: &Content) -> Result<(), PutError> {
    if sent == content.size {
        Ok(())
    } else {
        Err(PutError::Changed)
    }
}

/// The next part of a file, a whole one as long as there is so much.
async fn read(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::with_capacity(PART);
    file.take(PART as u64).read_to_end(&mut part).await?;
    Ok(part)
}

/// On a terminal, how far a large file is.
fn bar(path: &Path, size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    let template = "{wide_msg} {bytes}/{total_bytes} {bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(path.display().to_string());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use serde_json::json;

    use super::*;

    fn upload() -> Upload {
        Upload {
            to: "s3://data/jobs".parse().unwrap(),
            endpoint: None,
        }
    }

    #[tokio::test]
    async fn the_same_content_has_one_place_and_is_put_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("job.py"), "print(1)").unwrap();
        std::fs::write(path("large.jar"), vec![7; 2 * PART + 5]).unwrap();
        let mut application = json!({"spec": {
            "mainApplicationFile": path("job.py"),
            "deps": {"jars": [path("large.jar"), format!("file://{}", path("large.jar").display())]},
        }});
        let Files(contents) = upload().rewrite(&mut application).await.unwrap();
        let told = application["spec"]["mainApplicationFile"].as_str().unwrap();
        assert!(told.starts_with("s3a://data/jobs/"), "{told}");
        assert!(told.ends_with("/job.py"), "{told}");
        let jars = &application["spec"]["deps"]["jars"];
        assert_eq!(jars[0], jars[1]);

        let store = InMemory::new();
        for (path, content) in &contents {
            assert!(put(&store, path, content).await.unwrap());
            assert!(!put(&store, path, content).await.unwrap());
            let key = Key::from(content.key.as_str());
            let kept = store.get(&key).await.unwrap().bytes().await.unwrap();
            assert_eq!(kept.as_ref(), std::fs::read(path).unwrap());
            // What is there and is not it, is replaced.
            store
                .put(&key, PutPayload::from_static(b"half"))
                .await
                .unwrap();
            assert!(put(&store, path, content).await.unwrap());
        }
        assert_eq!(contents.len(), 2);
        std::fs::write(path("job.py"), "print(12)").unwrap();
        let changed = put(
            &InMemory::new(),
            &path("job.py"),
            &contents[&path("job.py")],
        )
        .await;
        assert!(matches!(changed, Err(PutError::Changed)));
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_told_with_its_field_before_anything_is_uploaded() {
        let mut application = json!({"spec": {
            "mainApplicationFile": "local:///opt/job.py",
            "deps": {"jars": ["nowhere/a.jar"], "archives": ["/tmp"]},
        }});
        let failure = upload().rewrite(&mut application).await.unwrap_err();
        assert!(
            failure
                .message
                .starts_with("spec.deps.jars[0]: nowhere/a.jar: "),
            "{failure}"
        );
        application["spec"]["deps"]["jars"] = json!([]);
        let failure = upload().rewrite(&mut application).await.unwrap_err();
        assert!(
            failure.message.contains("is a folder: pack it"),
            "{failure}"
        );
    }

    #[test]
    fn without_credentials_nobody_is_asked() {
        let told = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
        assert!(has_credentials(&told("aws_access_key_id", "key")));
        assert!(!has_credentials(&told("aws_access_key_id", "")));
        assert!(!has_credentials(&told("aws_region", "here")));
    }

    #[test]
    fn the_environment_counts_by_the_names_of_the_vendor_alone() {
        let variables = ["AWS_ACCESS_KEY_ID", "TOKEN", "GOOGLE_BUCKET", "REGION"];
        let variables = variables.map(|name| (name.into(), "x".into()));
        let told = of_environment(Store::S3, variables.into_iter());
        assert_eq!(told, [("aws_access_key_id".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn an_endpoint_is_told_to_the_store_in_its_words() {
        let options = |to: &str, endpoint: &str| {
            Upload {
                to: to.parse().unwrap(),
                endpoint: Some(endpoint.to_owned()),
            }
            .options()
        };
        let plain = options("s3://data", "http://127.0.0.1:9000");
        assert_eq!(plain.len(), 2);
        assert_eq!(plain[0].0, "aws_endpoint");
        let google = options("gs://data", "https://storage.example.com");
        assert_eq!(google.len(), 1);
    }
}
