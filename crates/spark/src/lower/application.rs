//! The fields of the application itself.

use windlass_api::{
    field::{FieldError, FieldPath},
    spark::application::{Dependencies, DynamicAllocation, Language, SparkApplicationSpec},
};

use super::{Context, LowerError, NotApplied, identity, route::ConfBuilder};
use crate::submission::{MainResource, SparkVersion};

/// Who gives a field of the specification its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The settings made here.
    Settings,
    /// What the driver runs, and with what arguments.
    Command,
    /// The table of the role.
    Role,
    /// Volumes, ConfigMaps and metrics, which the tables of both roles mount, and labels of both.
    Pods,
    /// The life of the application: suspending, retrying, deleting.
    Lifecycle,
    /// The batch scheduler, and what it is told.
    Group,
    /// The Services and routes that lead to the driver.
    Exposure,
    /// Nobody, for the reason given.
    Nothing(&'static str),
}

/// Every field of the specification and its way.
pub(super) const FIELDS: &[(&str, Way)] = &[
    ("suspend", Way::Lifecycle),
    ("type", Way::Command),
    ("sparkVersion", Way::Command),
    ("mode", Way::Command),
    ("proxyUser", Way::Command),
    ("image", Way::Settings),
    ("imagePullPolicy", Way::Settings),
    ("imagePullSecrets", Way::Settings),
    ("mainClass", Way::Command),
    ("mainApplicationFile", Way::Command),
    ("arguments", Way::Command),
    ("sparkConf", Way::Settings),
    ("hadoopConf", Way::Settings),
    // They are settings and Secrets by the time they are lowered (crate::stores).
    ("objectStores", Way::Settings),
    ("eventLog", Way::Settings),
    ("keepLogs", Way::Pods),
    ("sparkConfigMap", Way::Pods),
    ("hadoopConfigMap", Way::Pods),
    ("volumes", Way::Pods),
    ("driver", Way::Role),
    ("executor", Way::Role),
    ("deps", Way::Settings),
    ("restartPolicy", Way::Lifecycle),
    ("nodeSelector", Way::Settings),
    (
        "failureRetries",
        Way::Nothing("is superseded by restartPolicy.onFailureRetries; set that"),
    ),
    (
        "retryInterval",
        Way::Nothing("is superseded by restartPolicy.onFailureRetryInterval; set that"),
    ),
    ("pythonVersion", Way::Settings),
    ("memoryOverheadFactor", Way::Settings),
    ("monitoring", Way::Pods),
    ("batchScheduler", Way::Group),
    ("batchSchedulerOptions", Way::Group),
    ("timeToLiveSeconds", Way::Lifecycle),
    ("sparkUIOptions", Way::Exposure),
    ("driverIngressOptions", Way::Exposure),
    ("dynamicAllocation", Way::Settings),
    ("driverPodDisruptionBudget", Way::Lifecycle),
];

/// Files of the submitting machine, which has none here.
const TEMPLATE_FILES: [&str; 2] = [
    "spark.kubernetes.driver.podTemplateFile",
    "spark.kubernetes.executor.podTemplateFile",
];

/// What is said about fields of the specification that have no effect.
pub(super) fn notes(context: &Context<'_>) -> Vec<NotApplied> {
    let Ok(spec) = serde_json::to_value(&context.app.spec) else {
        return Vec::new();
    };
    let mut notes: Vec<NotApplied> = FIELDS
        .iter()
        .filter(|(field, _)| spec.get(field).is_some())
        .filter_map(|(field, way)| match way {
            Way::Nothing(reason) => Some(NotApplied {
                field: format!("spec.{field}"),
                reason: (*reason).to_owned(),
            }),
            _ => None,
        })
        .collect();
    if context.app.spec.keep_logs.is_some() && !context.settings.serves_object_stores {
        notes.push(NotApplied {
            field: "spec.keepLogs".to_owned(),
            reason: "this operator looks after no ObjectStores; start it with --storage".to_owned(),
        });
    }
    for key in TEMPLATE_FILES
        .iter()
        .filter(|key| context.app.spec.spark_conf.contains_key(**key))
    {
        notes.push(NotApplied {
            field: format!("spec.sparkConf[{key}]"),
            reason: "template files are not read; write it in the role's template field".to_owned(),
        });
    }
    let settings = context.app.spec.spark_conf.keys();
    notes.extend(
        settings
            .filter(|key| !key.starts_with("spark."))
            .map(|key| NotApplied {
                field: format!("spec.sparkConf[{key}]"),
                reason:
                    "Spark reads only settings that begin with spark.; those of Hadoop go into \
                         hadoopConf"
                        .to_owned(),
            }),
    );
    notes
}

/// The Spark of the application.
pub(super) fn version(spec: &SparkApplicationSpec) -> Result<SparkVersion, LowerError> {
    spec.spark_version
        .parse()
        .map_err(|error: crate::submission::profile::ParseVersionError| {
            let path = FieldPath::new("spec").field("sparkVersion");
            let version = spec.spark_version.as_str();
            LowerError::Invalid(vec![FieldError::invalid(path, version, error.to_string())])
        })
}

/// What the driver runs.
pub(super) fn main_resource(spec: &SparkApplicationSpec) -> MainResource {
    let file = spec.main_application_file.clone();
    match spec.language {
        Language::Python => MainResource::Python { file },
        Language::R => MainResource::R { file },
        Language::Java | Language::Scala => MainResource::Java {
            jar: (file != "spark-internal").then_some(file),
            class: spec.main_class.clone().unwrap_or_default(),
        },
    }
}

/// Makes the settings of the application's own fields; later ones beat earlier ones.
pub(super) fn settings(context: &Context<'_>, conf: &mut ConfBuilder) {
    let spec = &context.app.spec;
    let own = spec
        .spark_conf
        .iter()
        .filter(|(key, _)| !TEMPLATE_FILES.contains(&key.as_str()));
    for (key, value) in own {
        conf.set_some(key, value.text());
    }
    for (key, value) in &spec.hadoop_conf {
        conf.set_some(&format!("spark.hadoop.{key}"), value.text());
    }
    conf.set("spark.master", format!("k8s://{}", context.settings.master));
    conf.set("spark.app.name", context.name());
    conf.set("spark.kubernetes.namespace", context.namespace());
    conf.set(
        "spark.kubernetes.driver.pod.name",
        identity::driver_pod_name(context.app),
    );
    conf.set("spark.kubernetes.submission.waitAppCompletion", false);

    conf.set_some("spark.kubernetes.container.image", spec.image.as_ref());
    conf.set_some(
        "spark.kubernetes.container.image.pullPolicy",
        spec.image_pull_policy.as_ref(),
    );
    conf.set_list(
        "spark.kubernetes.container.image.pullSecrets",
        &spec.image_pull_secrets,
    );
    let python = spec.python_version.map(|version| version.as_str());
    conf.set_some("spark.kubernetes.pyspark.pythonVersion", python);
    let factor = spec
        .memory_overhead_factor
        .as_ref()
        .map(|factor| factor.trim());
    conf.set_some("spark.kubernetes.memoryOverheadFactor", factor);
    conf.set_map("spark.kubernetes.node.selector.", &spec.node_selector);
    if let Some(deps) = &spec.deps {
        dependencies(deps, conf);
    }
    if let Some(dynamic) = &spec.dynamic_allocation {
        dynamic_allocation(dynamic, conf);
    }
}

fn dependencies(deps: &Dependencies, conf: &mut ConfBuilder) {
    for (key, list) in [
        ("spark.jars", &deps.jars),
        ("spark.files", &deps.files),
        ("spark.submit.pyFiles", &deps.py_files),
        ("spark.archives", &deps.archives),
        ("spark.jars.packages", &deps.packages),
        ("spark.jars.excludes", &deps.exclude_packages),
        ("spark.jars.repositories", &deps.repositories),
    ] {
        conf.set_list(key, list);
    }
}

/// Without a shuffle service Spark can only give executors back when it tracks their shuffles.
fn dynamic_allocation(dynamic: &DynamicAllocation, conf: &mut ConfBuilder) {
    conf.set("spark.dynamicAllocation.enabled", dynamic.enabled);
    if !dynamic.enabled {
        return;
    }
    let tracking = dynamic.shuffle_tracking_enabled.unwrap_or(true);
    conf.set("spark.dynamicAllocation.shuffleTracking.enabled", tracking);
    conf.set_some(
        "spark.dynamicAllocation.initialExecutors",
        dynamic.initial_executors,
    );
    conf.set_some(
        "spark.dynamicAllocation.minExecutors",
        dynamic.min_executors,
    );
    conf.set_some(
        "spark.dynamicAllocation.maxExecutors",
        dynamic.max_executors,
    );
    let timeout = dynamic
        .shuffle_tracking_timeout
        .map(|milliseconds| format!("{milliseconds}ms"));
    conf.set_some("spark.dynamicAllocation.shuffleTracking.timeout", timeout);
}
