//! ObjectStore `banzaicloud.com/v1alpha1`: a bucket, as users of the PVC operator asked for one by its
//! name alone, and what that lacked: whose server it is on, with which credentials, and what becomes of
//! it in the end.
//!
//! Laws:
//! - `spec.name` alone is a specification, as it was originally; changes to the served version only add;
//! - what makes it another bucket (name, provider, location) cannot change;
//! - no field holds a secret: keys are in a Secret, or come from where the operator runs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::field::{FieldError, FieldPath};

/// What a bucket may be called anywhere; each provider asks for more, which [`validate`] tells.
const BUCKET: &str = "^[a-z0-9][a-z0-9._-]*[a-z0-9]$";
/// A server, and perhaps a folder of it: no user, query or fragment.
const ENDPOINT: &str = r"^https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~-]+)*/?$";

/// A bucket in an object store.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "banzaicloud.com",
    version = "v1alpha1",
    kind = "ObjectStore",
    plural = "objectstores",
    singular = "objectstore",
    namespaced,
    status = "ObjectStoreStatus",
    doc = "A bucket in an object store: S3 and what speaks it, Google Cloud Storage, or Azure Blob.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Bucket","type":"string","jsonPath":".spec.name"}"#,
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".status.provider"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(oldSelf.provider) || (has(self.provider) && self.provider == oldSelf.provider)",
        "message": "provider cannot change; make another ObjectStore for another bucket",
    },
    {
        "rule": "has(self.location) == has(oldSelf.location) && (!has(self.location) || self.location == oldSelf.location)",
        "message": "location cannot change; make another ObjectStore for another bucket",
    },
]))]
pub struct ObjectStoreSpec {
    /// The bucket; for Azure, the container. It cannot change.
    #[schemars(length(min = 3, max = 222), extend("pattern" = BUCKET, "x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "name cannot change; make another ObjectStore for another bucket",
    }]))]
    pub name: String,
    /// Which language the store speaks: S3, GCS or Azure. When not given, S3 where the operator has an
    /// endpoint for such ObjectStores, else that of the cloud it runs in. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Where the bucket is made: a region of S3 (us-east-1 when not given) or a location of Google (US
    /// when not given). Azure has that of the storage account. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub location: Option<String>,
    /// The server, such as https://minio.storage:9000. When not given, that of the operator for S3, if it has
    /// one, else that of the provider. One that is given needs credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), extend("pattern" = ENDPOINT))]
    pub endpoint: Option<String>,
    /// The project of Google that a new bucket belongs to; that of the credentials when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub project: Option<String>,
    /// The storage account of Azure that the container is in; needed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 24), extend("pattern" = "^[a-z0-9]+$"))]
    pub storage_account: Option<String>,
    /// Who asks. When not given, what the Secret says that the operator names for such ObjectStores, if it
    /// names one, else the identity that the operator runs with (environment, workload identity or instance
    /// metadata).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What becomes of the bucket when this object is deleted. Retain leaves it. Delete deletes it once
    /// it is empty, and waits until then. DeleteWithContents deletes it with all that is in it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether the bucket is there already and somebody else's: it is used as it is, and never made,
    /// marked or deleted.
    #[serde(default)]
    pub existing: bool,
}

/// The language of a store.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Provider {
    /// Amazon S3, and what speaks its language.
    S3,
    /// Google Cloud Storage.
    #[serde(rename = "GCS")]
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Gcs => "GCS",
            Self::Azure => "Azure",
        }
    }
}

/// What becomes of a bucket when its ObjectStore is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It goes once it is empty.
    Delete,
    /// It goes, with all that is in it.
    DeleteWithContents,
}

/// Who asks a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// A Secret of the namespace, with the keys that the provider's own tools know: AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; GOOGLE_SERVICE_ACCOUNT_KEY or key.json;
    /// AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and
    /// AZURE_TENANT_ID. A certificate authority of the server's may be there as ca.crt.
    pub secret_ref: SecretRef,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStoreStatus {
    /// How the bucket stands.
    #[serde(default)]
    pub phase: Phase,
    /// The bucket. It is here before it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Which language the store speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// What has decided that, where the specification does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_by: Option<ChosenBy>,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What has decided that, where it is neither the specification's nor the provider's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_by: Option<ChosenBy>,
    /// The Secret with the keys, whether the specification or the operator names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The region or location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What Spark and Hadoop call it: s3a://, gs:// or abfss://.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Which entries of the Secret the store was asked with: names alone. Empty with the operator's own
    /// identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credential_keys: Vec<String>,
    /// How it is known whose the bucket is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ownership: Option<Ownership>,
    /// What holds, in the form tools wait for: Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the specification that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// How a bucket stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing has been done for it yet.
    #[default]
    Pending,
    /// It is being made. Written before it is.
    Creating,
    /// It is there.
    Ready,
    /// It cannot be had until somebody acts, or the store answers; the condition says what.
    Failed,
    /// It is being let go.
    Deleting,
    /// A word of another version.
    #[serde(other)]
    Unknown,
}

/// Phases are plain strings in the CRD, so that an older server accepts what a newer one wrote.
impl JsonSchema for Phase {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Phase".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// What has decided something that a specification does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChosenBy {
    /// The operator's settings.
    Operator,
    /// The provider IDs of nodes.
    Nodes,
    /// The CSI drivers that are installed.
    CsiDrivers,
    /// The storage classes that there are.
    StorageClasses,
    /// A word of another version.
    #[serde(other)]
    Unknown,
}

impl ChosenBy {
    /// In words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Operator => "the operator's settings",
            Self::Nodes => "the provider IDs of nodes",
            Self::CsiDrivers => "the CSI drivers",
            Self::StorageClasses => "the storage classes",
            Self::Unknown => "another version of the operator",
        }
    }
}

/// Plain strings in the CRD, too.
impl JsonSchema for ChosenBy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ChosenBy".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// How it is known whose a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Ownership {
    /// The bucket carries the mark of this object: tags of S3, labels of Google, metadata of Azure.
    Marked,
    /// The store keeps no marks for these credentials; that it was made for this object is known from
    /// this status alone.
    Recorded,
    /// It was there before, and is somebody else's.
    Existing,
}

/// What cannot be meant of a store that speaks this language.
pub fn validate(store: &ObjectStore, provider: Provider) -> Vec<FieldError> {
    let spec = &store.spec;
    let at = FieldPath::new("spec");
    let mut findings = Vec::new();
    if let Some(detail) = wrong_with_name(&spec.name, provider) {
        findings.push(FieldError::invalid(
            at.field("name"),
            spec.name.as_str(),
            detail,
        ));
    }
    if let Some(endpoint) = &spec.endpoint {
        if !is_endpoint(endpoint) {
            let detail =
                "must be a server such as https://minio.storage:9000, without user and query";
            findings.push(FieldError::invalid(
                at.field("endpoint"),
                endpoint.as_str(),
                detail,
            ));
        }
        if spec.credentials.is_none() {
            let detail = "must be given where an endpoint is: the operator's own identity is shown to \
                          servers of the provider alone";
            findings.push(FieldError::missing(at.field("credentials"), detail));
        }
    }
    let account = spec.storage_account.as_deref();
    match (provider, account) {
        (Provider::Azure, None) => {
            let detail = "must be given: the storage account that the container is in";
            findings.push(FieldError::missing(at.field("storageAccount"), detail));
        }
        (Provider::Azure, Some(account)) if !is_account(account) => {
            let detail = "must be 3 to 24 lower-case letters and digits";
            findings.push(FieldError::invalid(
                at.field("storageAccount"),
                account,
                detail,
            ));
        }
        (Provider::S3 | Provider::Gcs, Some(_)) => {
            let detail = "is for Azure alone; remove it";
            findings.push(FieldError::forbidden(at.field("storageAccount"), detail));
        }
        (Provider::Azure, Some(_)) | (Provider::S3 | Provider::Gcs, None) => {}
    }
    if provider != Provider::Gcs && spec.project.is_some() {
        let detail = "is for GCS alone; remove it";
        findings.push(FieldError::forbidden(at.field("project"), detail));
    }
    if provider == Provider::Azure && spec.location.is_some() {
        let detail = "is that of the storage account; remove it";
        findings.push(FieldError::forbidden(at.field("location"), detail));
    }
    if let Some(location) = &spec.location
        && !location
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-')
    {
        let detail = "must be letters, digits and hyphens, for example eu-central-1";
        findings.push(FieldError::invalid(
            at.field("location"),
            location.as_str(),
            detail,
        ));
    }
    if spec.existing && spec.deletion_policy != DeletionPolicy::Retain {
        let detail =
            "must be Retain where existing is true: what is somebody else's is not deleted";
        findings.push(FieldError::forbidden(at.field("deletionPolicy"), detail));
    }
    findings
}

/// The rules of the providers: "Bucket naming rules" of Amazon S3, "About Cloud Storage buckets" of
/// Google, "Naming and referencing containers" of Azure.
fn wrong_with_name(name: &str, provider: Provider) -> Option<&'static str> {
    let is_allowed = |others: &[u8]| {
        let ends = |byte: Option<&u8>| {
            byte.is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
        };
        let bytes = name.as_bytes();
        ends(bytes.first())
            && ends(bytes.last())
            && bytes
                .iter()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || others.contains(it))
    };
    let has_length = |max: usize| (3..=max).contains(&name.len());
    match provider {
        Provider::S3 => (!has_length(63) || !is_allowed(b".-") || name.contains("..")).then_some(
            "must be 3 to 63 lower-case letters, digits, single dots and hyphens, with a letter or \
             digit at both ends",
        ),
        Provider::Gcs => {
            let max = if name.contains('.') { 222 } else { 63 };
            let parts_fit = name.split('.').all(|part| (1..=63).contains(&part.len()));
            (!has_length(max) || !is_allowed(b"._-") || !parts_fit)
                .then_some(
                    "must be 3 to 63 lower-case letters, digits, dots, hyphens and underscores, with a \
                     letter or digit at both ends",
                )
        }
        Provider::Azure => (!has_length(63) || !is_allowed(b"-") || name.contains("--")).then_some(
            "must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at \
             both ends",
        ),
    }
}

fn is_account(text: &str) -> bool {
    let is_usual = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    (3..=24).contains(&text.len()) && text.bytes().all(is_usual)
}

/// Whether a text is the address of a server, as `spec.endpoint` has it.
pub fn is_endpoint(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return false;
    };
    let mut parts = rest.strip_suffix('/').unwrap_or(rest).split('/');
    let of = |part: &str, others: &str| {
        let is_usual = |it: char| it.is_ascii_alphanumeric() || others.contains(it);
        !part.is_empty() && part.chars().all(is_usual)
    };
    parts.next().is_some_and(|host| of(host, ".:[]_-")) && parts.all(|part| of(part, "._~-"))
}

#[cfg(test)]
mod tests;
