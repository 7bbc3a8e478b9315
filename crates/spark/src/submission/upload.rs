//! Where the client's own files go so that the driver can read them.

use std::path::Path;

use super::client::{escape, file_name, is_client_local, path_of, require_files, scheme};
use super::request::Client;
use super::settings::Settings;
use super::{SubmitError, SubmitIds, Upload};

const TARGET: &str = "spark.kubernetes.file.upload.path";

/// Collects the uploads of one submission.
#[derive(Debug)]
pub(super) struct Uploads<'a> {
    client: &'a Client,
    ids: &'a SubmitIds,
    target: Option<String>,
    pub(super) files: Vec<Upload>,
}

impl<'a> Uploads<'a> {
    pub(super) fn new(
        settings: &Settings<'_>,
        client: &'a Client,
        ids: &'a SubmitIds,
    ) -> Result<Self, SubmitError> {
        Ok(Self {
            client,
            ids,
            target: settings.text(TARGET)?,
            files: Vec::new(),
        })
    }

    /// The URI the driver will read instead of this client file.
    pub(super) fn add(&mut self, key: &str, uri: &str) -> Result<String, SubmitError> {
        let path = path_of(uri);
        require_files(self.client, key, &path)?;
        let Some(target) = &self.target else {
            return Err(SubmitError::setting(
                TARGET,
                format!(
                    "must be set, because {path} of {key} is a local file that the driver cannot read"
                ),
            ));
        };
        if let Some(store @ ("local" | "http" | "https")) = scheme(target) {
            return Err(SubmitError::setting(
                TARGET,
                format!("{target:?} cannot be written to by {store}: name a store that can"),
            ));
        }
        let unreadable = |reason: String| SubmitError::File {
            key: key.to_owned(),
            path: path.clone(),
            reason,
        };
        // A directory is copied with all that is in it.
        self.client
            .files
            .stat(Path::new(&path))
            .map_err(|error| unreadable(error.to_string()))?;
        let directory = self.ids.upload(self.files.len());
        let to = format!("{target}/spark-upload-{directory}/{}", file_name(&path));
        self.files.push(Upload {
            from: path,
            to: to.clone(),
        });
        Ok(to)
    }

    /// A list of resources with the client's files first, as they will be after the upload;
    /// `None` when it names none.
    pub(super) fn replace(
        &mut self,
        key: &str,
        resources: &[String],
    ) -> Result<Option<String>, SubmitError> {
        let (local, remote): (Vec<&String>, Vec<&String>) =
            resources.iter().partition(|uri| is_client_local(uri));
        if local.is_empty() {
            return Ok(None);
        }
        let mut replaced = Vec::with_capacity(resources.len());
        for uri in local {
            let uploaded = self.add(key, uri)?;
            replaced.push(if key == "spark.archives" {
                with_alias(&uploaded, uri)
            } else {
                // Spark loses the alias of an uploaded file, except for archives.
                uploaded
            });
        }
        replaced.extend(remote.into_iter().cloned());
        Ok(Some(replaced.join(",")))
    }
}

/// The alias of the original on the uploaded archive. The library Spark uses for it writes an
/// empty authority as none at all, and escapes what a URI cannot hold.
fn with_alias(uploaded: &str, original: &str) -> String {
    let uri = escape(&uploaded.replacen(":///", ":/", 1));
    match original.split_once('#') {
        Some((_, alias)) if !alias.is_empty() => format!("{uri}#{alias}"),
        _ => uri,
    }
}
