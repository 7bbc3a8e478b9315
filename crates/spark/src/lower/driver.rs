//! The fields of the driver: settings where Spark has them, the finished pod for the rest.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use windlass_api::{
    field::{FieldError, FieldPath},
    quantity::Quantity,
};

use super::{
    LowerError, common,
    editor::PodEditor,
    identity,
    role::Role,
    route::{self, ConfBuilder, Row},
    secrets, template, volumes,
};
use crate::submission::{Submission, SubmitError};

/// Every field of the driver and its way.
pub(super) const FIELDS: &[Row] = &[
    Row::start("template"),
    Row::conf("podName", |role, conf| {
        conf.set(
            "spark.kubernetes.driver.pod.name",
            identity::driver_pod_name(role.context.app),
        );
    }),
    Row::conf("image", |role, conf| {
        conf.set_some(
            "spark.kubernetes.driver.container.image",
            role.pod.image.as_ref(),
        );
    }),
    Row::conf("cores", |role, conf| {
        conf.set_some("spark.driver.cores", role.context.resolved.driver_cores);
    }),
    Row::conf("coreRequest", |role, conf| {
        let request = role.driver().core_request.as_ref();
        conf.set_some("spark.kubernetes.driver.request.cores", request);
    }),
    Row::conf("coreLimit", |role, conf| {
        conf.set_some(
            "spark.kubernetes.driver.limit.cores",
            role.pod.core_limit.as_ref(),
        );
    }),
    Row::conf("memory", |role, conf| {
        conf.set_some(
            "spark.driver.memory",
            role.context.resolved.driver_memory.as_ref(),
        );
    }),
    Row::conf("memoryOverhead", |role, conf| {
        conf.set_some(
            "spark.driver.memoryOverhead",
            role.pod.memory_overhead.as_ref(),
        );
    }),
    Row::conf("javaOptions", |role, conf| {
        let options = role.driver().java_options.as_ref();
        conf.set_some("spark.driver.extraJavaOptions", options);
    }),
    Row::conf("serviceAccount", service_account),
    Row::conf("kubernetesMaster", |role, conf| {
        let url = |master: &String| master.strip_prefix("k8s://").unwrap_or(master).to_owned();
        let master = role.driver().kubernetes_master.as_ref().map(url);
        conf.set_some("spark.kubernetes.driver.master", master);
    }),
    Row::conf("labels", |role, conf| {
        conf.set_map("spark.kubernetes.driver.label.", &role.pod.labels);
    }),
    Row::conf("annotations", |role, conf| {
        conf.set_map("spark.kubernetes.driver.annotation.", &role.pod.annotations);
    }),
    Row::conf("serviceLabels", |role, conf| {
        conf.set_map(
            "spark.kubernetes.driver.service.label.",
            &role.driver().service_labels,
        );
    }),
    Row::conf("serviceAnnotations", |role, conf| {
        let annotations = &role.driver().service_annotations;
        conf.set_map("spark.kubernetes.driver.service.annotation.", annotations);
    }),
    Row::conf("nodeSelector", |role, conf| {
        conf.set_map(
            "spark.kubernetes.driver.node.selector.",
            &role.pod.node_selector,
        );
    }),
    Row::conf("schedulerName", |role, conf| {
        conf.set_some(
            "spark.kubernetes.driver.scheduler.name",
            role.pod.scheduler_name.as_ref(),
        );
    }),
    Row::conf("volumeMounts", volumes::settings).and_pod(volumes::mount),
    Row::pod("configMaps", common::config_maps),
    Row::pod("secrets", common::secrets),
    Row::pod("env", environment),
    Row::within("envVars", "env"),
    Row::within("envSecretKeyRefs", "env"),
    Row::pod("envFrom", common::env_from),
    Row::pod("ports", common::ports),
    Row::pod("hostNetwork", common::host_network),
    Row::pod("hostAliases", common::host_aliases),
    Row::pod("initContainers", common::init_containers),
    Row::pod("sidecars", common::sidecars),
    Row::pod("dnsConfig", common::dns_config),
    Row::pod("priorityClassName", common::priority_class),
    Row::pod("affinity", common::affinity),
    Row::pod("tolerations", common::tolerations),
    Row::pod("memoryLimit", |role, pod| {
        if let Some(limit) = &role.pod.memory_limit {
            pod.set_limit("memory", limit);
        }
    }),
    Row::pod("gpu", common::gpu),
    Row::pod("securityContext", common::security_context),
    Row::pod("podSecurityContext", common::pod_security_context),
    Row::pod("terminationGracePeriodSeconds", common::grace_period),
    Row::pod("lifecycle", common::lifecycle),
    Row::pod("shareProcessNamespace", common::share_process_namespace),
];

/// The account of the field, else of the template, else of the operator.
fn service_account(role: &Role<'_>, conf: &mut ConfBuilder) {
    let template = role
        .pieces
        .template
        .as_ref()
        .and_then(|template| template.spec.as_ref());
    let in_template = template
        .is_some_and(|pod| pod.service_account_name.is_some() || pod.service_account.is_some());
    let default = role
        .context
        .settings
        .driver_service_account
        .as_ref()
        .filter(|_| !in_template);
    conf.set_some(
        "spark.kubernetes.authenticate.driver.serviceAccountName",
        role.pod.service_account.as_ref().or(default),
    );
}

/// The variables of `env` and of its older forms, which are one list.
fn environment(role: &Role<'_>, pod: &mut PodEditor) {
    pod.set_env(role.environment());
}

/// The template the driver starts from, if it has one.
pub(super) fn template(role: &Role<'_>, conf: &mut ConfBuilder) -> Option<Value> {
    let local_dirs = volumes::has_local_dirs_without_settings(role);
    if role.pieces.template.is_none() && !local_dirs {
        return None;
    }
    let mut pod = template::start(role, conf);
    volumes::mount_local_dirs(role, &mut pod);
    Some(pod.into_pod())
}

/// Applies to the finished pod what Spark has no setting for.
pub(super) fn finish(role: &Role<'_>, submission: &mut Submission) -> Result<(), LowerError> {
    let Pod { metadata, spec, .. } = read(&submission.driver)?;
    let mut pod = PodEditor::new(metadata, spec.unwrap_or_default(), &submission.container);
    secrets::deliver(role.spec(), &mut pod);
    route::edit(role, FIELDS, &mut pod);
    role.context.monitoring.expose(role, &mut pod);
    check_memory_limit(&mut pod, role)?;
    keep_last_words(&mut pod);
    submission.driver = pod.into_pod();
    Ok(())
}

fn read(pod: &Value) -> Result<Pod, LowerError> {
    let not_a_pod = |error: serde_json::Error| SubmitError::Template {
        key: "spec.driver.template".to_owned(),
        reason: error.to_string(),
    };
    Ok(serde_json::from_value(pod.clone()).map_err(not_a_pod)?)
}

/// A driver that fails says why in its log; without this nothing of it reaches the pod's status.
fn keep_last_words(pod: &mut PodEditor) {
    pod.spark()
        .termination_message_policy
        .get_or_insert_with(|| "FallbackToLogsOnError".to_owned());
}

/// A limit below the request would be refused by the API server with less to go by.
fn check_memory_limit(pod: &mut PodEditor, role: &Role<'_>) -> Result<(), LowerError> {
    let Some(limit) = &role.pod.memory_limit else {
        return Ok(());
    };
    let Some(request) = pod.request("memory") else {
        return Ok(());
    };
    match (limit.parse::<Quantity>(), request.parse::<Quantity>()) {
        (Ok(least), Ok(request)) if least < request => {
            let path = FieldPath::new("spec").field("driver").field("memoryLimit");
            let detail = format!("must be at least memory and overhead together, {request}");
            Err(LowerError::Invalid(vec![FieldError::invalid(
                path,
                limit.as_str(),
                detail,
            )]))
        }
        _ => Ok(()),
    }
}
