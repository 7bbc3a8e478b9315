//! The smaller structs of an application.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hooks::HealthCheck;
use crate::director::{is_false, rules};

/// What people call something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// The name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What catalogs of old wrote beside it.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// Something that members serve, or a daemon that their scripts want to know of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// The name of the service, a DNS label of at most 15 characters.
    #[schemars(length(min = 1, max = 15), extend("pattern" = rules::DNS_LABEL))]
    pub id: String,
    /// What people call it.
    pub label: Label,
    /// Where it is reached; without it it has no port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// A category that clusters connected to this one look for it by.
    #[serde(
        default,
        rename = "exported_service",
        skip_serializing_if = "Option::is_none"
    )]
    pub exported_service: Option<String>,
}

/// Where a service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.isDashboard) && self.isDashboard) || has(self.urlScheme)",
    "message": "isDashboard needs urlScheme, for example http",
}]))]
pub struct Endpoint {
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The scheme of its URL, for example http; it begins the name of the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15), extend("pattern" = rules::DNS_LABEL))]
    pub url_scheme: Option<String>,
    /// The path of its URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it is a page for people.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_dashboard: bool,
    /// Whether its users show a token, which is made for each member.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_auth_token: bool,
    /// The older spelling of hasAuthToken.
    #[serde(default, rename = "auth_token", skip_serializing_if = "is_false")]
    pub auth_token: bool,
    /// By what it is known whether a member serves: a member is ready while this holds for all of its
    /// services that have it. Where several have, the image needs bash, and for https curl. Not known to
    /// KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
}

/// The archive with the scripts that set members up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigPackage {
    /// Where it is: http:// or https://, file:// for a file of the image, or (not known to
    /// KubeDirector) configmap://NAME/KEY for a ConfigMap in the namespace of the cluster. Its name
    /// ends in .tgz or .tar.gz.
    #[serde(rename = "packageURL")]
    #[schemars(extend("pattern" = rules::PACKAGE_URL))]
    pub package_url: String,
    /// Whether scripts are kept outside of /opt and /usr, which then need not be kept on storage.
    #[serde(default, skip_serializing_if = "is_false")]
    pub use_new_setup_layout: bool,
    /// The SHA-256 of the archive, as 64 hex digits; an archive with another one is not unpacked.
    /// Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = rules::SHA256))]
    pub sha256: Option<String>,
}

/// Where a setup package is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageSource<'a> {
    /// A file of the image, by its absolute path.
    Image(&'a str),
    /// What members fetch from this http or https URL.
    Url(&'a str),
    /// An entry of a ConfigMap in the namespace of the cluster.
    ConfigMap {
        /// Its name.
        name: &'a str,
        /// The key.
        key: &'a str,
    },
}

impl ConfigPackage {
    /// Where the package is; `None` when its URL is none that validation lets through.
    pub fn source(&self) -> Option<PackageSource<'_>> {
        let url = self.package_url.as_str();
        let named = url.ends_with(".tgz") || url.ends_with(".tar.gz");
        let (scheme, rest) = url.split_once("://").filter(|_| named)?;
        match scheme {
            "file" if rest.starts_with('/') => Some(PackageSource::Image(rest)),
            "http" | "https" if !rest.starts_with(['.', '/']) => Some(PackageSource::Url(url)),
            "configmap" => {
                let (name, key) = rest.split_once('/')?;
                let whole = !name.is_empty() && !key.contains('/');
                whole.then_some(PackageSource::ConfigMap { name, key })
            }
            _ => None,
        }
    }
}

/// An event that the startscript of a member is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleEvent {
    /// The member itself is new.
    Configure,
    /// Others have come.
    AddNodes,
    /// Others go.
    DelNodes,
}

/// The least storage of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MinStorage {
    /// How much, as a Kubernetes quantity.
    #[schemars(extend("pattern" = rules::QUANTITY))]
    pub size: String,
    /// Whether a role without any storage is right, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ephemeral_mode_supported: bool,
}

/// What the container runs, and whether it has a standard input and a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!(has(self.tty) && self.tty) || (has(self.stdin) && self.stdin)",
        "message": "tty needs stdin: true",
    },
    {
        "rule": "!(has(self.idle) && self.idle) || !(has(self.command) || has(self.args))",
        "message": "idle takes the place of command and args; remove one of them",
    },
]))]
pub struct ContainerSpec {
    /// Whether it has a standard input.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stdin: bool,
    /// Whether that is a terminal.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tty: bool,
    /// What runs in the place of the image's entry point. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// What the entry point is called with, in the place of what the image says. Not known to
    /// KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Whether the container runs nothing by itself, and the setup package starts what there is: for
    /// images whose entry point does not stay. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "is_false")]
    pub idle: bool,
    /// The number of the user that it runs as, in the place of the image's. Setup packages write where
    /// only root may, and images of today often have another user: Spark's own, for one. Not known to
    /// KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub run_as_user: Option<i32>,
}

/// Which of the roles there are, and what each serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppConfig {
    /// The roles that a cluster may have.
    #[schemars(schema_with = "rules::role_ids")]
    pub selected_roles: Vec<String>,
    /// What each role serves.
    #[schemars(extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["roleID"],
    ))]
    pub role_services: Vec<RoleServices>,
    /// What else the scripts are told, as they find it in configmeta.json.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config_meta: BTreeMap<String, String>,
}

/// What a role serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleServices {
    /// The role.
    #[serde(rename = "roleID")]
    #[schemars(length(min = 1, max = 63), extend("pattern" = rules::LABEL_VALUE))]
    pub role_id: String,
    /// Its services.
    #[serde(rename = "serviceIDs")]
    #[schemars(schema_with = "rules::service_ids")]
    pub service_ids: Vec<String>,
}
