//! The pod itself: name, labels, image, ports, resources and the first variables.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_api::quantity::Quantity;

use super::super::memory::{
    JVM_OVERHEAD_FACTOR, MIN_OVERHEAD_MIB, NON_JVM_OVERHEAD_FACTOR, Overhead, PodMemory,
};
use super::super::pod::{list, object};
use super::super::request::MainResource;
use super::super::{SubmitError, numbers};
use super::{Context, Draft};

const IMAGE: &str = "spark.kubernetes.container.image";
const DRIVER_IMAGE: &str = "spark.kubernetes.driver.container.image";
const PULL_POLICY: &str = "spark.kubernetes.container.image.pullPolicy";
const PRIVILEGES: &str = "spark.kubernetes.securityContext.allowPrivilegeEscalation";
const DRIVER_PRIVILEGES: &str = "spark.kubernetes.driver.securityContext.allowPrivilegeEscalation";
const POD_NAME: &str = "spark.kubernetes.driver.pod.name";
const OVERHEAD_FACTOR: &str = "spark.kubernetes.memoryOverheadFactor";
const DRIVER_OVERHEAD_FACTOR: &str = "spark.driver.memoryOverheadFactor";

/// The ports of the driver by their names in pod and Service.
pub(super) const RPC_PORT: (&str, &str, u16) = ("driver-rpc-port", "spark.driver.port", 7078);
pub(super) const BLOCK_PORT: (&str, &str, u16) =
    ("blockmanager", "spark.driver.blockManager.port", 7079);
pub(super) const UI_PORT: (&str, &str, u16) = ("spark-ui", "spark.ui.port", 4040);
pub(super) const CONNECT_PORT: (&str, &str, u16) =
    ("spark-connect", "spark.connect.grpc.binding.port", 15002);

pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let settings = &context.settings;
    let name = settings
        .text(POD_NAME)?
        .unwrap_or_else(|| format!("{}-driver", context.prefix));
    if name.is_empty() {
        return Err(SubmitError::setting(
            POD_NAME,
            "is empty: name the pod or remove the setting",
        ));
    }
    let factor = default_overhead_factor(context)?;

    fill_container(context, draft, factor)?;
    fill_pod(context, draft, &name)?;

    draft.added.insert(POD_NAME.to_owned(), name);
    draft.added.insert(
        "spark.app.id".to_owned(),
        context.request.ids.app_id.clone(),
    );
    draft.added.insert(
        "spark.kubernetes.submitInDriver".to_owned(),
        "true".to_owned(),
    );
    draft
        .added
        .insert(OVERHEAD_FACTOR.to_owned(), numbers::java_double(factor));
    for key in [
        "spark.jars",
        "spark.files",
        "spark.archives",
        "spark.submit.pyFiles",
    ] {
        let resources = settings.list(key)?;
        if let Some(replaced) = draft.uploads.replace(key, &resources)? {
            draft.added.insert(key.to_owned(), replaced);
        }
    }
    Ok(())
}

fn fill_container(
    context: &Context<'_>,
    draft: &mut Draft<'_>,
    factor: f64,
) -> Result<(), SubmitError> {
    let settings = &context.settings;
    let resources = resources(context, factor)?;
    let container = object(&mut draft.pod.container);
    container
        .entry("name")
        .or_insert_with(|| json!("spark-kubernetes-driver"));
    container.insert("image".to_owned(), json!(image(context)?));
    container.insert("imagePullPolicy".to_owned(), json!(pull_policy(context)?));
    for (kind, amounts) in resources {
        for (resource, amount) in amounts {
            draft.pod.container["resources"][kind][resource] = Value::String(amount);
        }
    }
    if context.profile.explicit_security {
        let general = settings.boolean(PRIVILEGES, false)?;
        let allowed = settings.boolean(DRIVER_PRIVILEGES, general)?;
        object(&mut draft.pod.container["securityContext"])
            .insert("allowPrivilegeEscalation".to_owned(), json!(allowed));
    }

    let block_default = settings
        .port("spark.blockManager.port")?
        .unwrap_or(BLOCK_PORT.2);
    draft
        .pod
        .add_port(RPC_PORT.0, settings.port(RPC_PORT.1)?.unwrap_or(RPC_PORT.2));
    draft.pod.add_port(
        BLOCK_PORT.0,
        settings.port(BLOCK_PORT.1)?.unwrap_or(block_default),
    );
    draft.pod.add_port(
        UI_PORT.0,
        settings.entry_port(UI_PORT.1)?.unwrap_or(UI_PORT.2),
    );
    if context.profile.connect_port {
        let port = settings.port(CONNECT_PORT.1)?.unwrap_or(CONNECT_PORT.2);
        draft.pod.add_port(CONNECT_PORT.0, port);
    }

    draft.pod.add_env("SPARK_USER", user(context));
    draft
        .pod
        .add_env("SPARK_APPLICATION_ID", &context.request.ids.app_id);
    for (name, value) in settings.below("spark.kubernetes.driverEnv.") {
        draft.pod.add_env(name, value);
    }
    draft.pod.add_env_from(
        "SPARK_DRIVER_BIND_ADDRESS",
        json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}),
    );
    Ok(())
}

fn fill_pod(context: &Context<'_>, draft: &mut Draft<'_>, name: &str) -> Result<(), SubmitError> {
    let settings = &context.settings;
    let pod = &mut draft.pod.pod;
    let metadata = object(&mut pod["metadata"]);
    metadata.insert("name".to_owned(), json!(name));
    if metadata.contains_key("namespace") {
        metadata.insert("namespace".to_owned(), json!(context.namespace));
    }
    for (label, value) in &context.labels {
        pod["metadata"]["labels"][label] = json!(value);
    }
    for (annotation, value) in settings.below("spark.kubernetes.driver.annotation.") {
        pod["metadata"]["annotations"][annotation] = json!(context.expand_ids(value));
    }

    pod["spec"]["restartPolicy"] = json!("Never");
    for prefix in [
        "spark.kubernetes.node.selector.",
        "spark.kubernetes.driver.node.selector.",
    ] {
        for (label, value) in settings.below(prefix) {
            pod["spec"]["nodeSelector"][label] = json!(value);
        }
    }
    let pull_secrets = settings.list("spark.kubernetes.container.image.pullSecrets")?;
    if !pull_secrets.is_empty() {
        list(&mut pod["spec"]["imagePullSecrets"])
            .extend(pull_secrets.iter().map(|name| json!({"name": name})));
    }
    let scheduler = match settings.text("spark.kubernetes.driver.scheduler.name")? {
        Some(name) => Some(name),
        None => settings.text("spark.kubernetes.scheduler.name")?,
    };
    if let Some(scheduler) = scheduler {
        pod["spec"]["schedulerName"] = json!(scheduler);
    }
    Ok(())
}

fn image(context: &Context<'_>) -> Result<String, SubmitError> {
    let image = match context.settings.text(DRIVER_IMAGE)? {
        Some(image) => Some(image),
        None => context.settings.text(IMAGE)?,
    };
    let image = image.filter(|image| !image.is_empty()).ok_or_else(|| {
        SubmitError::setting(IMAGE, "is missing: name the image that holds Spark")
    })?;
    Ok(if context.profile.expands_image {
        image.replace("{{SPARK_VERSION}}", context.request.version.as_str())
    } else {
        image
    })
}

fn pull_policy(context: &Context<'_>) -> Result<String, SubmitError> {
    let policy = context
        .settings
        .text(PULL_POLICY)?
        .unwrap_or_else(|| "IfNotPresent".to_owned());
    if ["Always", "Never", "IfNotPresent"].contains(&policy.as_str()) {
        Ok(policy)
    } else {
        Err(SubmitError::setting(
            PULL_POLICY,
            format!("{policy:?} is not a pull policy: use Always, Never or IfNotPresent"),
        ))
    }
}

fn user<'a>(context: &'a Context<'_>) -> &'a str {
    let client = &context.request.client;
    let from_env = client.env.get("SPARK_USER").map(String::as_str);
    let proxy = context.request.proxy_user.as_deref();
    let first = if context.profile.proxy_user_first {
        proxy.or(from_env)
    } else {
        from_env.or(proxy)
    };
    // Without Kerberos, Hadoop believes this variable.
    let hadoop = || client.env.get("HADOOP_USER_NAME").map(String::as_str);
    first.or_else(hadoop).unwrap_or(&client.user)
}

/// The factor that executors get too, unless they have one of their own.
fn default_overhead_factor(context: &Context<'_>) -> Result<f64, SubmitError> {
    let default = match context.request.main {
        MainResource::Java { .. } => JVM_OVERHEAD_FACTOR,
        MainResource::Python { .. } | MainResource::R { .. } => NON_JVM_OVERHEAD_FACTOR,
    };
    match context.settings.double(OVERHEAD_FACTOR)? {
        Some(factor) if factor < 0.0 => {
            Err(SubmitError::setting(OVERHEAD_FACTOR, "may not be negative"))
        }
        factor => Ok(factor.unwrap_or(default)),
    }
}

fn memory(context: &Context<'_>, default_factor: f64) -> Result<PodMemory, SubmitError> {
    let settings = &context.settings;
    let factor = match settings.double(DRIVER_OVERHEAD_FACTOR)? {
        Some(factor) if factor <= 0.0 => {
            return Err(SubmitError::setting(
                DRIVER_OVERHEAD_FACTOR,
                "must be greater than 0",
            ));
        }
        factor => factor.unwrap_or(default_factor),
    };
    let minimum = if context.profile.reads_min_overhead {
        settings.mib("spark.driver.minMemoryOverhead")?
    } else {
        None
    };
    let overhead = match settings.mib("spark.driver.memoryOverhead")? {
        Some(mib) => Overhead::Explicit(mib),
        None => Overhead::Factor {
            factor,
            minimum: minimum.unwrap_or(MIN_OVERHEAD_MIB),
        },
    };
    let heap = settings.mib("spark.driver.memory")?.unwrap_or(1024);
    Ok(PodMemory {
        heap,
        overhead,
        off_heap: 0,
        pyspark: 0,
    })
}

type Amounts = BTreeMap<String, String>;

fn resources(
    context: &Context<'_>,
    factor: f64,
) -> Result<[(&'static str, Amounts); 2], SubmitError> {
    let settings = &context.settings;
    let memory = format!("{}Mi", memory(context, factor)?.total_mib());
    let mut requests = Amounts::new();
    let mut limits = custom_resources(context)?;
    let cores = match cores(context, "spark.kubernetes.driver.request.cores")? {
        Some(cores) => cores,
        None => settings
            .integer("spark.driver.cores")?
            .unwrap_or(1)
            .to_string(),
    };
    requests.insert("cpu".to_owned(), cores);
    requests.insert("memory".to_owned(), memory.clone());
    if let Some(cores) = cores_limit(context)? {
        limits.insert("cpu".to_owned(), cores);
    }
    limits.insert("memory".to_owned(), memory);
    Ok([("requests", requests), ("limits", limits)])
}

fn cores_limit(context: &Context<'_>) -> Result<Option<String>, SubmitError> {
    cores(context, "spark.kubernetes.driver.limit.cores")
}

fn cores(context: &Context<'_>, key: &str) -> Result<Option<String>, SubmitError> {
    let Some(text) = context.settings.text(key)? else {
        return Ok(None);
    };
    match text.parse::<Quantity>() {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(SubmitError::setting(
            key,
            format!("{text:?} is not a CPU amount: {error}"),
        )),
    }
}

/// GPUs and the like: `spark.driver.resource.<name>.{amount,vendor}`.
fn custom_resources(context: &Context<'_>) -> Result<Amounts, SubmitError> {
    const PREFIX: &str = "spark.driver.resource.";
    let below = context.settings.below(PREFIX);
    let mut amounts = Amounts::new();
    for key in below.keys() {
        let refused = |reason: String| Err(SubmitError::setting(format!("{PREFIX}{key}"), reason));
        let Some((name, _)) = key.split_once('.') else {
            return refused(format!("names no property: write {PREFIX}{key}.amount"));
        };
        let Some(amount) = below.get(format!("{name}.amount").as_str()) else {
            return refused(format!(
                "has no amount beside it: set {PREFIX}{name}.amount"
            ));
        };
        match (
            amount.parse::<i32>(),
            below.get(format!("{name}.vendor").as_str()),
        ) {
            (Err(_), _) => return refused(format!("the amount {amount:?} is not a whole number")),
            (Ok(number), _) if number <= 0 => {}
            (Ok(_), None) => {
                return refused(format!(
                    "has no vendor: set {PREFIX}{name}.vendor, for example nvidia.com"
                ));
            }
            (Ok(number), Some(vendor)) => {
                amounts.insert(format!("{vendor}/{name}"), number.to_string());
            }
        }
    }
    Ok(amounts)
}
