//! The patterns of KubeDirector's schemas, and what validation has in their place: what the API server
//! refuses by a pattern is told here in words.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A DNS label; its length is told beside it.
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The value of a label; its length is told beside it.
pub(crate) const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
/// An amount of something.
pub(crate) const QUANTITY: &str = "^([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";
/// A share, from 1% to 100%.
pub(crate) const SHARE: &str = "^([1-9][0-9]?|100)%$";
/// A picture.
pub(crate) const LOGO_URL: &str = r"^(file|https?)://.+\.(jpeg|png)$";
/// A setup package. KubeDirector has no configmap:// and no .tar.gz.
pub(crate) const PACKAGE_URL: &str = r"^(file|https?|configmap)://.+\.(tgz|tar\.gz)$";
/// 32 bytes in hex.
pub(crate) const SHA256: &str = "^[0-9A-Fa-f]{64}$";
/// A path from the root.
pub(crate) const ABSOLUTE_PATH: &str = "^/.*$";
/// A path from the root that may be mounted at. KubeDirector's pattern has a range by mistake, so that it
/// refuses nothing; this one says what that does.
pub(crate) const MOUNT_PATH: &str = "^/.*$";
/// A path of a directory.
const DIRECTORY: &str = "^/.*[^/]$";
/// What is fetched into members.
pub(crate) const FETCHED_URL: &str = "^https?://.+$";
/// A key of AES-128, AES-192 or AES-256 in hex.
pub(crate) const ENCRYPTION_KEY: &str = "^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{48}|[0-9A-Fa-f]{64})$";

/// A list of directories that may be absent.
pub(crate) fn directories(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "items": { "type": "string", "pattern": DIRECTORY },
    })
}

/// A list of texts of which none is empty.
pub(crate) fn non_empty_texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "minLength": 1 },
    })
}

/// A list of names of roles, each once.
pub(crate) fn role_ids(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "minLength": 1 },
        "x-kubernetes-list-type": "set",
    })
}

/// A list of names of services.
pub(crate) fn service_ids(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "minLength": 1, "maxLength": 15, "pattern": DNS_LABEL },
    })
}
