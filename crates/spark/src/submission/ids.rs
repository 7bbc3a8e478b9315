//! The identifiers Spark draws at random, here given from outside.

use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use windlass_api::names::AttemptId;

/// The identifiers and the time that Spark would draw by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitIds {
    /// `spark.app.id`, and the value of the label `spark-app-selector`.
    pub app_id: String,
    /// Ends the prefix of most names: `<application name>-<this>`.
    pub prefix: String,
    /// Names the Service when `<prefix>-driver-svc` would be too long.
    pub service: String,
    /// Names the ConfigMap of `spark.properties`: `spark-drv-<this>-conf-map`.
    pub conf_map: String,
    /// A UUID, part of the path of the default local directory.
    pub local_dir: String,
    /// What the UUIDs of upload directories are derived from.
    pub upload_seed: String,
    /// `spark.app.submitTime`.
    pub submit_time: Timestamp,
}

impl SubmitIds {
    /// The ids of one attempt of an application.
    pub fn of_attempt(attempt: &AttemptId, submit_time: Timestamp) -> Self {
        Self {
            app_id: attempt.application_id(),
            ..Self::derive(attempt.unique(), submit_time)
        }
    }

    /// Ids that are a function of `id` alone: 16 hex digits, as long as those Spark draws.
    pub fn derive(id: &str, submit_time: Timestamp) -> Self {
        Self {
            app_id: format!("spark-{}", &hex(id, "application")[..32]),
            prefix: id.to_owned(),
            service: id.to_owned(),
            conf_map: id.to_owned(),
            local_dir: uuid(id, "local-dir"),
            upload_seed: id.to_owned(),
            submit_time,
        }
    }

    /// The UUID of the n-th upload directory.
    pub fn upload(&self, n: usize) -> String {
        uuid(&self.upload_seed, &format!("upload-{n}"))
    }
}

fn hex(seed: &str, purpose: &str) -> String {
    let digest = Sha256::digest(format!("{seed}/{purpose}").as_bytes());
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A UUID of version 8 (RFC 9562: contents of the maker's choice) derived from a seed.
fn uuid(seed: &str, purpose: &str) -> String {
    let h = hex(seed, purpose);
    format!(
        "{}-{}-8{}-8{}-{}",
        &h[..8],
        &h[8..12],
        &h[13..16],
        &h[17..20],
        &h[20..32]
    )
}
