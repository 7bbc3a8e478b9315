//! The fields of executors: settings, environment settings, or the template the driver reads.
//!
//! The driver makes executor pods from the template and then overwrites the image, the memory
//! request and limit, the CPU request, the host name, the restart policy and, from Spark 4.1 on,
//! the grace period; decommissioning replaces the lifecycle. Variables of the template come first,
//! so Spark's own and those of `spark.executorEnv` win over them.

use k8s_openapi::api::core::v1::EnvVar;
use serde_json::Value;

use super::{
    common,
    editor::PodEditor,
    identity,
    role::Role,
    route::{self, ConfBuilder, Row},
    template, volumes,
};

/// Every field of the executors and its way.
pub(super) const FIELDS: &[Row] = &[
    Row::start("template"),
    // Settings of Spark.
    Row::conf("instances", |role, conf| {
        conf.set_some(
            "spark.executor.instances",
            role.context.resolved.executor_instances,
        );
    }),
    Row::conf("image", |role, conf| {
        conf.set_some(
            "spark.kubernetes.executor.container.image",
            role.pod.image.as_ref(),
        );
    }),
    Row::conf("cores", |role, conf| {
        conf.set_some("spark.executor.cores", role.context.resolved.executor_cores);
    }),
    Row::conf("coreRequest", |role, conf| {
        let request = role.executor().core_request.as_ref();
        conf.set_some("spark.kubernetes.executor.request.cores", request);
    }),
    Row::conf("coreLimit", |role, conf| {
        conf.set_some(
            "spark.kubernetes.executor.limit.cores",
            role.pod.core_limit.as_ref(),
        );
    }),
    Row::conf("memory", |role, conf| {
        conf.set_some(
            "spark.executor.memory",
            role.context.resolved.executor_memory.as_ref(),
        );
    }),
    Row::conf("memoryOverhead", |role, conf| {
        conf.set_some(
            "spark.executor.memoryOverhead",
            role.pod.memory_overhead.as_ref(),
        );
    }),
    Row::conf("javaOptions", |role, conf| {
        let options = role.executor().java_options.as_ref();
        conf.set_some("spark.executor.extraJavaOptions", options);
    }),
    Row::conf("deleteOnTermination", |role, conf| {
        let delete = role.executor().delete_on_termination;
        conf.set_some("spark.kubernetes.executor.deleteOnTermination", delete);
    }),
    Row::conf("serviceAccount", |role, conf| {
        let account = role.pod.service_account.as_ref();
        conf.set_some(
            "spark.kubernetes.authenticate.executor.serviceAccountName",
            account,
        );
    }),
    Row::conf("labels", |role, conf| {
        conf.set_map("spark.kubernetes.executor.label.", &role.pod.labels);
    }),
    Row::conf("annotations", |role, conf| {
        conf.set_map(
            "spark.kubernetes.executor.annotation.",
            &role.pod.annotations,
        );
    }),
    Row::conf("nodeSelector", |role, conf| {
        conf.set_map(
            "spark.kubernetes.executor.node.selector.",
            &role.pod.node_selector,
        );
    }),
    Row::conf("spot", spot),
    Row::conf("schedulerName", |role, conf| {
        let scheduler = role.pod.scheduler_name.as_ref();
        conf.set_some("spark.kubernetes.executor.scheduler.name", scheduler);
    }),
    Row::conf("terminationGracePeriodSeconds", grace_period_setting).and_pod(common::grace_period),
    Row::conf("volumeMounts", volumes::settings).and_pod(mounts),
    // Environment: a setting where it can be one, else the template.
    Row::conf("env", environment_settings).and_pod(environment_of_template),
    Row::within("envVars", "env"),
    Row::within("envSecretKeyRefs", "env"),
    // The template.
    Row::pod("envFrom", common::env_from),
    Row::pod("configMaps", common::config_maps),
    Row::pod("secrets", common::secrets),
    Row::pod("gpu", common::gpu),
    Row::pod("ports", common::ports),
    Row::pod("hostNetwork", common::host_network),
    Row::pod("hostAliases", common::host_aliases),
    Row::pod("initContainers", common::init_containers),
    Row::pod("sidecars", common::sidecars),
    Row::pod("dnsConfig", common::dns_config),
    Row::pod("priorityClassName", common::priority_class),
    Row::pod("affinity", common::affinity),
    Row::pod("tolerations", common::tolerations),
    Row::pod("securityContext", common::security_context),
    Row::pod("podSecurityContext", common::pod_security_context),
    Row::pod("shareProcessNamespace", common::share_process_namespace),
    Row::pod("lifecycle", common::lifecycle).unless(|role| {
        is_decommissioning(role).then(|| {
            "Spark puts its own preStop hook there while spark.decommission.enabled is true; \
             switch one of the two off"
                .to_owned()
        })
    }),
    // Nothing.
    Row::obstructed("memoryLimit", |_| {
        Some(
            "Spark sets the memory limit of executors to memory and memoryOverhead together; \
             raise memoryOverhead instead"
                .to_owned(),
        )
    }),
];

fn is_decommissioning(role: &Role<'_>) -> bool {
    let setting = role.spec().spark_conf.get("spark.decommission.enabled");
    match setting.and_then(|value| value.text()) {
        Some(text) => text.eq_ignore_ascii_case("true"),
        None => is_spot(role),
    }
}

fn is_spot(role: &Role<'_>) -> bool {
    role.executor().spot == Some(true)
}

/// Nodes that may go at any time: an executor that is told to go hands its shuffle and cached
/// blocks to others first, and the driver keeps claims that were made for executors and gives them
/// to the next ones. What the user has set stays.
fn spot(role: &Role<'_>, conf: &mut ConfBuilder) {
    if !is_spot(role) {
        return;
    }
    for key in [
        "spark.decommission.enabled",
        "spark.storage.decommission.enabled",
        "spark.storage.decommission.shuffleBlocks.enabled",
        "spark.storage.decommission.rddBlocks.enabled",
        "spark.kubernetes.driver.ownPersistentVolumeClaim",
        "spark.kubernetes.driver.reusePersistentVolumeClaim",
    ] {
        conf.set_default(key, true);
    }
}

/// From 4.1 on Spark writes its own grace period over that of the template.
fn grace_period_setting(role: &Role<'_>, conf: &mut ConfBuilder) {
    if role.context.is_at_least(4, 1) {
        let seconds = role.pod.termination_grace_period_seconds;
        let key = "spark.kubernetes.executor.terminationGracePeriodSeconds";
        conf.set_some(key, seconds.map(|seconds| format!("{seconds}s")));
    }
}

fn mounts(role: &Role<'_>, pod: &mut PodEditor) {
    volumes::mount_local_dirs(role, pod);
    volumes::mount(role, pod);
}

fn environment_settings(role: &Role<'_>, conf: &mut ConfBuilder) {
    let variables = role.environment();
    for variable in &variables {
        // A typed field beats a setting of the same name, wherever it goes.
        conf.remove(&executor_env(&variable.name));
    }
    for variable in variables
        .iter()
        .filter(|variable| fits_setting(variable, &variables))
    {
        let value = variable.value.as_deref().unwrap_or_default();
        conf.set(executor_env(&variable.name), value);
    }
}

fn environment_of_template(role: &Role<'_>, pod: &mut PodEditor) {
    let variables = role.environment();
    let rest = variables
        .iter()
        .filter(|variable| !fits_setting(variable, &variables));
    pod.set_env(rest.cloned());
}

fn executor_env(name: &str) -> String {
    format!("spark.executorEnv.{name}")
}

/// Whether a variable reaches the executor unchanged as a setting.
///
/// Spark sets those in no particular order, trims values, and leaves out names it finds odd; and
/// who refers to others needs the order of the template.
fn fits_setting(variable: &EnvVar, all: &[EnvVar]) -> bool {
    let Some(value) = &variable.value else {
        return false;
    };
    let refers = all.iter().any(|variable| {
        variable
            .value
            .as_ref()
            .is_some_and(|value| value.contains("$("))
    });
    let mut characters = variable.name.chars();
    let is_start = |c: char| c.is_ascii_alphabetic() || "-._".contains(c);
    let named = characters.next().is_some_and(is_start)
        && characters.all(|c| is_start(c) || c.is_ascii_digit());
    !refers && named && !value.is_empty() && value.trim() == value
}

/// The template the driver makes executors from.
pub(super) fn template(role: &Role<'_>, conf: &mut ConfBuilder) -> Value {
    let mut pod = template::start(role, conf);
    route::edit(role, FIELDS, &mut pod);
    role.context.monitoring.expose(role, &mut pod);
    identity::label_executors(role.context, &mut pod);
    pod.into_pod()
}
