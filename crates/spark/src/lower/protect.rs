//! What keeps a driver where it is: losing it loses the whole run, however many executors it has.
//!
//! A PodDisruptionBudget makes evictions (drains, the descheduler) wait for the driver; annotations
//! make the usual autoscalers leave its node alone. Neither is applied to executors, which Spark
//! replaces.

use serde_json::{Value, json};
use windlass_api::spark::SparkApplication;

use super::{Settings, driver_pod_name, identity};
use crate::submission::Submission;

/// Annotations that autoscalers read: the cluster autoscaler and Karpenter.
const DO_NOT_EVICT: [(&str, &str); 2] = [
    ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
    ("karpenter.sh/do-not-disrupt", "true"),
];

/// Whether the driver is to be protected: the application says so, else the operator.
pub(super) fn is_protected(app: &SparkApplication, settings: &Settings) -> bool {
    let own = app.spec.driver_pod_disruption_budget;
    own.unwrap_or(settings.protect_drivers)
}

/// Whether evictions are to wait for the driver, and can.
pub fn has_budget(app: &SparkApplication, settings: &Settings) -> bool {
    settings.serves_budgets && is_protected(app, settings)
}

/// Annotates the driver pod; what its user has set stays.
pub(super) fn annotate(submission: &mut Submission) {
    let annotations = &mut submission.driver["metadata"]["annotations"];
    for (name, value) in DO_NOT_EVICT {
        if annotations.get(name).is_none() {
            annotations[name] = json!(value);
        }
    }
}

/// The PodDisruptionBudget of the driver. It has the name of its pod.
pub fn disruption_budget(app: &SparkApplication) -> Value {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": identity::beside(app, &driver_pod_name(app)),
        "spec": {
            "minAvailable": 1,
            "selector": {"matchLabels": {
                "sparkoperator.k8s.io/app-name": name,
                "spark-role": "driver",
            }},
            // A driver that does not get off the ground holds up no drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    })
}
