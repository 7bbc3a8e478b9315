//! The controllers of the Spark kinds: what is watched, what is read, and which objects the
//! decisions of [`crate::lifecycle`] stand for.
//!
//! # The order of creation
//! The driver pod is created first, its Service and ConfigMaps when its uid is known, owned by it,
//! as Spark's own submission does. A crash in between orphans nothing: the pod waits for its
//! volumes, the next look finds what is missing and applies it, and whatever ends the pod collects
//! the rest. The other order would need owner references written afterwards, and would leave
//! ConfigMaps behind when the pod is refused. The ConfigMap with the settings is the last of them
//! and the pod cannot start without it, so a driver that runs has everything it needs.

mod application;
mod connect;
mod effects;
mod exposers;
mod history;
mod last_words;
mod original;
mod policies;
mod policy;
mod queueing;
mod scheduled;
mod sight;
mod standing;
mod status;
mod stores;

use std::sync::Arc;
use std::time::Duration;

use windlass_api::spark::original::OldImages;
use windlass_engine::{Kind, Territory};

use crate::eventlogs::LocalEventLogs;
use crate::lifecycle::observed::ExposerKind;
use crate::lifecycle::spec::Limits;
use crate::lower::{Exposing, IpFamily, Settings};
use crate::metrics::SparkMetrics;
use crate::policy::Layer;
use crate::queue::Policy;

pub use application::SparkApplications;
pub use connect::{ConnectSight, SparkConnects};
pub use history::{HistorySight, SparkHistoryServers};
pub use original::{OriginalSight, OriginalSparkApplications};
pub use policies::PolicyDesk;
pub use scheduled::{ScheduleSight, ScheduledSparkApplications};
pub use sight::Sight;

/// `sparkapplications.sparkoperator.k8s.io`.
pub const SPARK_APPLICATION: Kind = Kind::namespaced(
    "sparkoperator.k8s.io",
    "v1beta2",
    "SparkApplication",
    "sparkapplications",
);

/// `sparkapplications.spark-operator.k8s.io`, those of the first Spark operator.
pub const ORIGINAL_SPARK_APPLICATION: Kind = Kind::namespaced(
    "spark-operator.k8s.io",
    "v1alpha1",
    "SparkApplication",
    "sparkapplications",
);

/// `scheduledsparkapplications.sparkoperator.k8s.io`.
pub const SCHEDULED_SPARK_APPLICATION: Kind = Kind::namespaced(
    "sparkoperator.k8s.io",
    "v1beta2",
    "ScheduledSparkApplication",
    "scheduledsparkapplications",
);

/// `sparkconnects.sparkoperator.k8s.io`.
pub const SPARK_CONNECT: Kind = Kind::namespaced(
    "sparkoperator.k8s.io",
    "v1alpha1",
    "SparkConnect",
    "sparkconnects",
);

/// `sparkhistoryservers.windlass.dev`.
pub const SPARK_HISTORY_SERVER: Kind = Kind::namespaced(
    "windlass.dev",
    "v1alpha1",
    "SparkHistoryServer",
    "sparkhistoryservers",
);

/// `sparkpolicies.windlass.dev`.
pub const SPARK_POLICY: Kind =
    Kind::namespaced("windlass.dev", "v1alpha1", "SparkPolicy", "sparkpolicies");
/// `objectstores.banzaicloud.com`, which the operator of storage looks after.
pub const OBJECT_STORE: Kind =
    Kind::namespaced("banzaicloud.com", "v1alpha1", "ObjectStore", "objectstores");
/// `poddisruptionbudgets.policy`, as Kubernetes has them since 1.21.
pub const POD_DISRUPTION_BUDGET: Kind = Kind::namespaced(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
);
const RESOURCE_QUOTA: Kind = Kind::namespaced("", "v1", "ResourceQuota", "resourcequotas");
/// `ingresses.networking.k8s.io`.
pub const INGRESS: Kind = Kind::namespaced("networking.k8s.io", "v1", "Ingress", "ingresses");

/// `httproutes.gateway.networking.k8s.io`.
pub const HTTP_ROUTE: Kind =
    Kind::namespaced("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes");

/// `podmonitors.monitoring.coreos.com`.
pub const POD_MONITOR: Kind =
    Kind::namespaced("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors");

/// The kind of an exposer, as the API has it.
fn kind_of(exposer: ExposerKind) -> Kind {
    match exposer {
        ExposerKind::Service => Kind::SERVICE,
        ExposerKind::Ingress => INGRESS,
        ExposerKind::HttpRoute => HTTP_ROUTE,
        ExposerKind::PodMonitor => POD_MONITOR,
    }
}

/// The settings of the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorConfig {
    /// Which objects are operated. Give the same to the engine.
    pub territory: Territory,
    /// The ServiceAccount of drivers whose application names none.
    pub default_driver_service_account: Option<String>,
    /// The URL of the Kubernetes API as drivers reach it.
    pub kubernetes_master: String,
    /// The user Spark runs as, unless the application says otherwise.
    pub spark_user: String,
    /// A driver that has not started after this long is given up.
    pub pending_driver_deadline: Duration,
    /// A driver whose image cannot be had for this long is given up.
    pub unpullable_image_deadline: Duration,
    /// A driver that no node could ever take is given up after this long.
    pub misfit_deadline: Duration,
    /// A driver that waits for a ConfigMap, Secret or volume that is not there is given up after
    /// this long.
    pub missing_reference_deadline: Duration,
    /// A driver pod that is missing for this long is gone.
    pub missing_driver_grace: Duration,
    /// How long the driver pod of a finished application stays for its log; for as long as the
    /// application when not given.
    pub finished_driver_retention: Option<Duration>,
    /// A driver whose node has not answered for this long is replaced, where its application wants
    /// that.
    pub silent_node_deadline: Duration,
    /// How many live executors a status lists.
    pub tracked_executors: usize,
    /// Whether evictions have to wait for drivers whose application does not say otherwise.
    pub protect_drivers: bool,
    /// Whether the cluster serves PodDisruptionBudgets of `policy/v1`; a watch of what is not served
    /// never begins.
    pub serves_budgets: bool,
    /// Whether the operator looks after ObjectStores, too, which applications may name; a watch of what is
    /// not served never begins.
    pub serves_object_stores: bool,
    /// Whether the cluster serves SparkHistoryServers, so that they are operated; a watch of what is not served
    /// never begins.
    pub serves_history_servers: bool,
    /// Where the event logs of applications go that say nothing about theirs; they have none when not given.
    pub event_logs: Option<LocalEventLogs>,
    /// What may run at once in namespaces whose quotas do not say it.
    pub queue: Policy,
    /// How drivers are reached from outside.
    pub exposing: Exposing,
    /// The family of pods' addresses.
    pub pod_addresses: IpFamily,
    /// What is decided about applications, besides the SparkPolicies of their namespaces.
    pub policies: Vec<Arc<Layer>>,
    /// The labels of applications that metrics have, too; `namespace` stands for their namespace.
    pub metrics_labels: Vec<String>,
    /// Whether the cluster serves applications of the first operator, so that they are operated.
    pub serves_originals: bool,
    /// What becomes of their images that are too old.
    pub old_images: OldImages,
}

impl Default for OperatorConfig {
    fn default() -> Self {
        let (limits, settings) = (Limits::default(), Settings::default());
        Self {
            territory: Territory::default(),
            default_driver_service_account: settings.driver_service_account,
            kubernetes_master: settings.master,
            spark_user: settings.user,
            pending_driver_deadline: limits.pending_driver,
            unpullable_image_deadline: limits.unpullable_image,
            misfit_deadline: limits.misfit,
            missing_reference_deadline: limits.missing_reference,
            missing_driver_grace: limits.missing_driver,
            finished_driver_retention: limits.finished_driver,
            silent_node_deadline: limits.silent_node,
            tracked_executors: limits.live_executors,
            protect_drivers: settings.protect_drivers,
            serves_budgets: settings.serves_budgets,
            serves_object_stores: settings.serves_object_stores,
            serves_history_servers: true,
            event_logs: settings.event_logs,
            queue: Policy::default(),
            exposing: settings.exposing,
            pod_addresses: settings.pod_addresses,
            policies: Vec::new(),
            metrics_labels: Vec::new(),
            serves_originals: false,
            old_images: OldImages::default(),
        }
    }
}

impl OperatorConfig {
    fn limits(&self) -> Limits {
        Limits {
            pending_driver: self.pending_driver_deadline,
            unpullable_image: self.unpullable_image_deadline,
            misfit: self.misfit_deadline,
            missing_reference: self.missing_reference_deadline,
            missing_driver: self.missing_driver_grace,
            finished_driver: self.finished_driver_retention,
            silent_node: self.silent_node_deadline,
            live_executors: self.tracked_executors,
            ..Limits::default()
        }
    }

    /// What the operator adds to every application.
    pub fn settings(&self) -> Settings {
        Settings {
            master: self.kubernetes_master.clone(),
            driver_service_account: self.default_driver_service_account.clone(),
            user: self.spark_user.clone(),
            protect_drivers: self.protect_drivers,
            serves_budgets: self.serves_budgets,
            serves_object_stores: self.serves_object_stores,
            event_logs: self.event_logs.clone(),
            exposing: self.exposing.clone(),
            pod_addresses: self.pod_addresses,
        }
    }
}

/// The controller of SparkApplications.
pub fn spark_application(config: &OperatorConfig) -> SparkApplications {
    SparkApplications::new(
        config.limits(),
        config.settings(),
        config.queue.clone(),
        PolicyDesk::new(config.policies.clone()),
        SparkMetrics::new(&config.metrics_labels),
    )
}

/// The controller of SparkConnects.
pub fn spark_connect(config: &OperatorConfig) -> SparkConnects {
    SparkConnects::new(config.settings(), PolicyDesk::new(config.policies.clone()))
}

/// The controller of SparkHistoryServers. Only for clusters that serve them: a watch of what is not
/// served never begins.
pub fn spark_history_server(config: &OperatorConfig) -> SparkHistoryServers {
    SparkHistoryServers::new(config.settings(), PolicyDesk::new(config.policies.clone()))
}

/// The controller of applications of the first operator. Only for clusters that serve them: a watch
/// of what is not served never begins.
pub fn original_spark_application(config: &OperatorConfig) -> OriginalSparkApplications {
    OriginalSparkApplications::new(config.old_images.clone())
}

/// The controller of ScheduledSparkApplications.
pub fn scheduled_spark_application(config: &OperatorConfig) -> ScheduledSparkApplications {
    let account = config.settings().driver_service_account;
    ScheduledSparkApplications::new(account, PolicyDesk::new(config.policies.clone()))
}

#[cfg(test)]
mod scheduled_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;
