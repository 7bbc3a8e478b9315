//! Names, labels and owners: how what belongs to an attempt is told apart.

use std::collections::BTreeMap;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
    jiff::Timestamp,
};
use serde_json::{Value, json};
use windlass_api::{
    names::AttemptId,
    spark::{
        SparkApplication,
        application::{Attempt, KEEP_LOGS_LABEL},
        connect::CONNECT_NAME_LABEL,
        history::HISTORY_NAME_LABEL,
    },
};

use super::{Context, Product, editor::PodEditor};
use crate::submission::{Submission, SubmitIds};

/// The application that a pod belongs to.
const APP_NAME_LABEL: &str = "sparkoperator.k8s.io/app-name";
/// That a pod was made by the operator.
const LAUNCHED_LABEL: &str = "sparkoperator.k8s.io/launched-by-spark-operator";
/// That an object other than a pod was made by the operator.
const CREATED_LABEL: &str = "sparkoperator.k8s.io/created-by-spark-operator";
/// The submission that a pod belongs to.
const SUBMISSION_LABEL: &str = "sparkoperator.k8s.io/submission-id";
/// The number of the attempt that a pod belongs to.
pub const ATTEMPT_LABEL: &str = "sparkoperator.k8s.io/attempt";
/// Labels of the application with this prefix are for its own queue, not for its pods.
const NOT_INHERITED: &str = "kueue.x-k8s.io/";

/// The name of the driver pod: of the field, else of sparkConf, else of the application.
pub fn driver_pod_name(app: &SparkApplication) -> String {
    let setting = app.spec.spark_conf.get("spark.kubernetes.driver.pod.name");
    let name = app.spec.driver.pod_name.as_deref();
    match name.or_else(|| setting.and_then(|value| value.text())) {
        Some(name) => name.to_owned(),
        None => format!(
            "{}-driver",
            app.metadata.name.as_deref().unwrap_or_default()
        ),
    }
}

/// What Spark would draw at random, derived from the application's uid and the attempt.
pub fn submit_ids(app: &SparkApplication, attempt: &Attempt) -> SubmitIds {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let id = AttemptId::new(uid, attempt.number);
    SubmitIds {
        app_id: attempt.spark_application_id.clone(),
        ..SubmitIds::derive(id.unique(), attempt.created_time.0)
    }
}

/// The first attempt of an application, for looking at what it would create.
pub(super) fn first_attempt(app: &SparkApplication) -> Attempt {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    Attempt::new(uid, 1, driver_pod_name(app), Time(Timestamp::UNIX_EPOCH))
}

/// Labels and owner of what the operator creates: a layer over what Spark would create.
pub(super) fn mark(context: &Context<'_>, submission: &mut Submission) {
    let own = labels(context);
    let inherited = inherited_labels(context);
    let driver = &mut submission.driver["metadata"];
    default_labels(driver, &inherited);
    set_labels(driver, &own);
    if let (Product::Run, Some(owner)) = (context.product, owner(context.app)) {
        driver["ownerReferences"] = json!([owner]);
    }
    driver["namespace"] = json!(context.namespace());
    for object in &mut submission.objects {
        let metadata = &mut object["metadata"];
        set_labels(metadata, &own);
        metadata["namespace"] = json!(context.namespace());
    }
}

/// Executors get their labels from the template; settings, which are the user's, win over it.
pub(super) fn label_executors(context: &Context<'_>, pod: &mut PodEditor) {
    pod.default_labels(&inherited_labels(context));
    pod.set_labels(&labels(context));
}

fn labels(context: &Context<'_>) -> BTreeMap<String, String> {
    let name = context.name().to_owned();
    let mut labels = match context.product {
        Product::Run => BTreeMap::from([
            (APP_NAME_LABEL.to_owned(), name),
            (LAUNCHED_LABEL.to_owned(), "true".to_owned()),
            (
                SUBMISSION_LABEL.to_owned(),
                context.attempt.submission_id.clone(),
            ),
            (ATTEMPT_LABEL.to_owned(), context.attempt.number.to_string()),
        ]),
        Product::Server => BTreeMap::from([
            (CONNECT_NAME_LABEL.to_owned(), name),
            (LAUNCHED_LABEL.to_owned(), "true".to_owned()),
        ]),
        // It runs no job, and its log is not kept.
        Product::HistoryServer => {
            return BTreeMap::from([(HISTORY_NAME_LABEL.to_owned(), name)]);
        }
    };
    if let Some(store) = &context.app.spec.keep_logs {
        labels.insert(KEEP_LOGS_LABEL.to_owned(), store.clone());
    }
    labels
}

fn inherited_labels(context: &Context<'_>) -> BTreeMap<String, String> {
    let labels = context.app.metadata.labels.clone().unwrap_or_default();
    labels
        .into_iter()
        .filter(|(name, _)| !name.starts_with(NOT_INHERITED))
        .collect()
}

fn set_labels(metadata: &mut Value, labels: &BTreeMap<String, String>) {
    for (name, value) in labels {
        metadata["labels"][name.as_str()] = json!(value);
    }
}

fn default_labels(metadata: &mut Value, labels: &BTreeMap<String, String>) {
    for (name, value) in labels {
        if metadata["labels"].get(name).is_none() {
            metadata["labels"][name.as_str()] = json!(value);
        }
    }
}

/// The metadata of an object that the operator makes beside the driver: the application's namespace,
/// and the application as what it is of and whose it is.
pub(super) fn beside(app: &SparkApplication, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "namespace": app.metadata.namespace.as_deref().unwrap_or("default"),
        "labels": {
            APP_NAME_LABEL: app.metadata.name.as_deref().unwrap_or_default(),
            CREATED_LABEL: "true",
        },
    });
    if let Some(owner) = owner(app) {
        metadata["ownerReferences"] = json!([owner]);
    }
    metadata
}

/// The application as the owner of its driver; `None` for one that is not in a cluster.
fn owner(app: &SparkApplication) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: "sparkoperator.k8s.io/v1beta2".to_owned(),
        kind: "SparkApplication".to_owned(),
        name: app.metadata.name.clone()?,
        uid: app.metadata.uid.clone()?,
        controller: Some(true),
        block_owner_deletion: Some(true),
    })
}
