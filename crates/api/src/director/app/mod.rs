//! KubeDirectorApp: what an application is made of.
//!
//! A stored application has no defaults any more where the webhook serves: `fold` puts them into
//! the roles. Whoever reads an application folds it again, which changes nothing then.

mod fold;
mod hooks;
mod parts;
mod validate;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    fold::{DEFAULT_MAX_LOG_SIZE_DUMP, fold},
    hooks::{
        Demand, Drain, DrainFailure, ExecCheck, GrpcCheck, HealthCheck, HttpCheck, HttpScheme,
        TcpCheck,
    },
    parts::{
        AppConfig, ConfigPackage, ContainerSpec, Endpoint, Label, LifecycleEvent, MinStorage,
        PackageSource, RoleServices, Service,
    },
    validate::validate,
};
use super::amount::{self, Amounts, DisruptionBudget};
use super::cardinality::CardinalityText;
use super::cluster::EnvVar;
use super::inherit::Inheritable;
use super::{is_false, rules};

/// What an application is made of.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedirector.hpe.com",
    version = "v1beta1",
    kind = "KubeDirectorApp",
    plural = "kubedirectorapps",
    singular = "kubedirectorapp",
    shortname = "kdapp",
    namespaced,
    doc = "An application that virtual clusters run: its roles, services and set-up.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Label","type":"string","jsonPath":".spec.label.name"}"#,
    printcolumn = r#"{"name":"Distro","type":"string","jsonPath":".spec.distroID"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// What people call it.
    pub label: Label,
    /// The family of applications that this is a version of.
    #[serde(rename = "distroID")]
    #[schemars(length(min = 1))]
    pub distro_id: String,
    /// The version of the application.
    #[schemars(length(min = 1))]
    pub version: String,
    /// The version of configmeta.json that its scripts read; at least 7.
    #[schemars(range(min = 7))]
    pub config_schema_version: i32,
    /// A picture for catalogs: a file, http or https URL of a JPEG or PNG.
    #[serde(default, rename = "logoURL", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = rules::LOGO_URL))]
    pub logo_url: Option<String>,
    /// The shelves of a catalog it stands on; only shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// What the roles serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"],
    ))]
    pub services: Vec<Service>,
    /// The image of roles that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub default_image_repo_tag: Option<String>,
    /// The setup package of roles that say nothing about theirs; null is none.
    #[serde(default, skip_serializing_if = "Inheritable::is_inherited")]
    pub default_config_package: Inheritable<ConfigPackage>,
    /// Directories that are kept on the storage of a member, for roles that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::directories")]
    pub default_persist_dirs: Option<Vec<String>>,
    /// The events that roles are told of which do not say so themselves; all when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_event_list: Option<Vec<LifecycleEvent>>,
    /// Bytes of a failed script's output that the status shows, for roles that do not say so; 256
    /// when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub default_max_log_size_dump: Option<i32>,
    /// What a member does before it is taken away, for roles that do not say so. Not known to
    /// KubeDirector.
    #[serde(default, skip_serializing_if = "Inheritable::is_inherited")]
    pub default_drain: Inheritable<Drain>,
    /// The kinds of members a cluster may have.
    #[schemars(length(max = 1000), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"],
    ))]
    pub roles: Vec<AppRole>,
    /// Which of the roles there are, and what each serves.
    pub config: AppConfig,
    /// Linux capabilities of the members beyond the usual ones, without CAP_.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::non_empty_texts")]
    pub capabilities: Vec<String>,
    /// Whether the image starts systemd.
    #[serde(default, skip_serializing_if = "is_false")]
    pub systemd_required: bool,
}

/// A kind of member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppRole {
    /// The name of the role, which is the value of a label.
    #[schemars(length(min = 1, max = 63), extend("pattern" = rules::LABEL_VALUE))]
    pub id: String,
    /// How many members it may have: 3 is exactly three, 1+ at least one, 0+ any number.
    pub cardinality: CardinalityText,
    /// The image, where it is not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image_repo_tag: Option<String>,
    /// The setup package: the default when absent, none when null.
    #[serde(default, skip_serializing_if = "Inheritable::is_inherited")]
    pub config_package: Inheritable<ConfigPackage>,
    /// Directories that are kept on the storage of a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::directories")]
    pub persist_dirs: Option<Vec<String>>,
    /// The events that members are told of: configure, addnodes, delnodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_list: Option<Vec<LifecycleEvent>>,
    /// The least resources of a member.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    #[schemars(schema_with = "amount::amounts")]
    pub min_resources: Amounts,
    /// The least storage of a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_storage: Option<MinStorage>,
    /// What the container runs, and whether it has a standard input and a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_spec: Option<ContainerSpec>,
    /// Environment variables, where a cluster does not set them. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Bytes of a failed script's output that the status shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_log_size_dump: Option<i32>,
    /// What a member does before it is taken away: the default when absent, nothing when null. Not
    /// known to KubeDirector.
    #[serde(default, skip_serializing_if = "Inheritable::is_inherited")]
    pub drain: Inheritable<Drain>,
    /// How many members may be away while nodes are emptied; a cluster may say otherwise. Not known
    /// to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
    /// How it is asked how many members there is a use for, so that clusters may autoscale the role. Not
    /// known to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
}

impl AppRole {
    /// Whether members are told of an event; the application is folded.
    pub fn hears(&self, event: LifecycleEvent) -> bool {
        let events = self.event_list.as_ref();
        events.is_none_or(|events| events.contains(&event))
    }
}

impl AppSpec {
    /// The role of this name.
    pub fn role(&self, id: &str) -> Option<&AppRole> {
        self.roles.iter().find(|role| role.id == id)
    }

    /// Whether a cluster may have members of this role.
    pub fn selects(&self, id: &str) -> bool {
        self.config.selected_roles.iter().any(|it| it == id)
    }

    /// What a role serves, in the order in which the application lists it for the role.
    pub fn services_of(&self, role: &str) -> impl Iterator<Item = &Service> {
        let of_role = self.config.role_services.iter();
        of_role
            .filter(move |it| it.role_id == role)
            .flat_map(|it| &it.service_ids)
            .filter_map(|id| self.services.iter().find(|service| service.id == *id))
    }
}

#[cfg(test)]
mod tests;
