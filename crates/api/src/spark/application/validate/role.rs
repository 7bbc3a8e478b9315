//! What driver and executor may not say.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::{
    field::FieldPath,
    jvm,
    names::{DnsLabel, LabelValue, check_env_name, check_label_key},
    quantity::Quantity,
    spark::application::{
        PodPieces, Port, RolePieces, SparkApplicationSpec, SparkPodSpec, defaults::Resolved,
    },
};

/// Labels that Spark sets itself and refuses from anybody else.
const LABELS_OF_SPARK: [&str; 6] = [
    "spark-app-selector",
    "spark-app-name",
    "spark-role",
    "spark-version",
    "spark-exec-id",
    "spark-exec-resourceprofile-id",
];

/// Labels by which the operator finds what it made.
const LABELS_OF_THE_OPERATOR: [&str; 3] = [
    "sparkoperator.k8s.io/app-name",
    "sparkoperator.k8s.io/launched-by-spark-operator",
    "sparkoperator.k8s.io/submission-id",
];

/// One role with the parts that its checks look at.
pub(super) struct View<'a> {
    pod: &'a SparkPodSpec,
    pieces: &'a RolePieces,
    volumes: BTreeSet<&'a str>,
    name: &'static str,
    pod_name: Option<&'a str>,
    core_request: Option<&'a str>,
    cores: Option<i32>,
    kubernetes_master: Option<&'a str>,
    ports: &'a [Port],
    priority_class_name: Option<&'a str>,
    service_labels: Option<&'a BTreeMap<String, String>>,
}

impl<'a> View<'a> {
    pub(super) fn driver(spec: &'a SparkApplicationSpec, pieces: &'a PodPieces) -> Self {
        let driver = &spec.driver;
        Self {
            pod: &driver.pod,
            pieces: &pieces.driver,
            volumes: volume_names(spec, pieces, &pieces.driver, "driver"),
            name: "driver",
            pod_name: driver.pod_name.as_deref(),
            core_request: driver.core_request.as_deref(),
            cores: Resolved::of(spec).driver_cores,
            kubernetes_master: driver.kubernetes_master.as_deref(),
            ports: &driver.ports,
            priority_class_name: driver.priority_class_name.as_deref(),
            service_labels: Some(&driver.service_labels),
        }
    }

    pub(super) fn executor(spec: &'a SparkApplicationSpec, pieces: &'a PodPieces) -> Self {
        let executor = &spec.executor;
        Self {
            pod: &executor.pod,
            pieces: &pieces.executor,
            volumes: volume_names(spec, pieces, &pieces.executor, "executor"),
            name: "executor",
            pod_name: None,
            core_request: executor.core_request.as_deref(),
            cores: Resolved::of(spec).executor_cores,
            kubernetes_master: None,
            ports: &executor.ports,
            priority_class_name: executor.priority_class_name.as_deref(),
            service_labels: None,
        }
    }
}

/// The volumes a mount may name: of the application, of the template, and of sparkConf.
fn volume_names<'a>(
    spec: &'a SparkApplicationSpec,
    pieces: &'a PodPieces,
    role: &'a RolePieces,
    name: &str,
) -> BTreeSet<&'a str> {
    let template = role
        .template
        .iter()
        .filter_map(|template| template.spec.as_ref());
    let of_template = template.flat_map(|pod| pod.volumes.iter().flatten());
    let prefix = format!("spark.kubernetes.{name}.volumes.");
    let of_conf = spec.spark_conf.keys().filter_map(move |key| {
        let (_kind, rest) = key.strip_prefix(&prefix)?.split_once('.')?;
        rest.split('.').next()
    });
    pieces
        .volumes
        .iter()
        .chain(of_template)
        .map(|v| v.name.as_str())
        .chain(of_conf)
        .collect()
}

pub(super) fn check_role(
    findings: &mut Findings,
    spec: &SparkApplicationSpec,
    role: &View<'_>,
    path: &FieldPath,
) {
    check_resources(findings, spec, role, path);
    check_metadata(findings, role, path);
    check_environment(findings, role, path);
    check_mounts(findings, role, path);
    check_ports(findings, role.ports, &path.field("ports"));
    for (name, object) in [
        ("podName", role.pod_name),
        ("serviceAccount", role.pod.service_account.as_deref()),
        ("priorityClassName", role.priority_class_name),
    ] {
        if let Some(object) = object {
            findings.object_name(&path.field(name), object);
        }
    }
    if let Some(master) = role.kubernetes_master {
        let url = master.strip_prefix("k8s://").unwrap_or(master);
        if !url.starts_with("https://") && !url.starts_with("http://") {
            let detail = "is not a URL; write it like https://kubernetes.default.svc";
            findings.invalid(&path.field("kubernetesMaster"), master, detail);
        }
    }
    let grace = role.pod.termination_grace_period_seconds;
    if let Some(grace) = grace.filter(|grace| *grace < 0) {
        let path = path.field("terminationGracePeriodSeconds");
        findings.invalid(&path, grace, "must not be negative");
    }
}

fn check_resources(
    findings: &mut Findings,
    spec: &SparkApplicationSpec,
    role: &View<'_>,
    path: &FieldPath,
) {
    let pod = role.pod;
    let mut quantity = |name: &str, text: Option<&str>| -> Option<Quantity> {
        let path = path.field(name);
        let quantity: Quantity = findings.parses(&path, text?)?;
        if quantity <= Quantity::ZERO {
            findings.invalid(&path, quantity.to_string(), "must be more than nothing");
            return None;
        }
        Some(quantity)
    };
    let core_limit = quantity("coreLimit", pod.core_limit.as_deref());
    let core_request = quantity("coreRequest", role.core_request);
    let memory_limit = quantity("memoryLimit", pod.memory_limit.as_deref());

    if let Some(cores) = pod.cores.filter(|cores| *cores < 1) {
        let detail = "must be at least 1; for a part of a core use coreRequest";
        findings.invalid(&path.field("cores"), cores, detail);
    }
    let cores = role.cores.map(|cores| Quantity::from_units(cores.into()));
    if let (Some(limit), Some(request)) = (core_limit, core_request.or(cores))
        && request > limit
    {
        let asked = if core_request.is_some() {
            "coreRequest"
        } else {
            "cores"
        };
        let detail = format!("must not be less than {asked}, which is {request}");
        findings.invalid(&path.field("coreLimit"), limit.to_string(), detail);
    }
    let mut memory = |name: &str, text: &Option<String>, least: u64| -> Option<jvm::Memory> {
        let path = path.field(name);
        let memory: jvm::Memory = findings.parses(&path, text.as_deref()?)?;
        if memory.mib() < least {
            let detail = format!("must be at least {least}m");
            findings.invalid(&path, memory.to_string(), detail);
            return None;
        }
        Some(memory)
    };
    let heap = memory("memory", &pod.memory, 1);
    memory("memoryOverhead", &pod.memory_overhead, 0);
    if let (Some(heap), Some(limit)) = (heap, memory_limit.and_then(|limit| limit.units()))
        && u64::try_from(limit).is_ok_and(|limit| limit < heap.bytes())
    {
        let detail = format!("must not be less than memory, which is {heap}");
        let limit = pod.memory_limit.clone().unwrap_or_default();
        findings.invalid(&path.field("memoryLimit"), limit, detail);
    }
    if let Some(gpu) = &pod.gpu {
        let path = path.field("gpu");
        if !gpu.name.contains('/') || check_label_key(&gpu.name).is_err() {
            let detail = "is not the name of a resource; write it like nvidia.com/gpu";
            findings.invalid(&path.field("name"), gpu.name.as_str(), detail);
        }
        if gpu.quantity < 1 {
            findings.invalid(&path.field("quantity"), gpu.quantity, "must be at least 1");
        }
    }
    let batch = spec
        .batch_scheduler_options
        .as_ref()
        .filter(|_| role.name == "driver");
    for (name, value) in batch.iter().flat_map(|options| &options.resources) {
        let path = FieldPath::new("spec.batchSchedulerOptions.resources").key(name);
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        findings.parses::<Quantity>(&path, &text);
    }
}

fn check_metadata(findings: &mut Findings, role: &View<'_>, path: &FieldPath) {
    let service_labels = role.service_labels.map(|labels| ("serviceLabels", labels));
    let labels = [
        ("labels", &role.pod.labels),
        ("nodeSelector", &role.pod.node_selector),
    ];
    for (name, labels) in labels.into_iter().chain(service_labels) {
        let path = path.field(name);
        for (key, value) in labels {
            let path = path.key(key);
            findings.name(&path, key, check_label_key(key));
            // A value may hold a place for the application's id, which is filled in later.
            let value = value
                .replace("{{APP_ID}}", "app")
                .replace("{{APPLICATION_ID}}", "app");
            findings.name(&path, &value, LabelValue::new(value.clone()).map(drop));
        }
    }
    for key in role.pod.labels.keys() {
        let owner = match key.as_str() {
            key if LABELS_OF_SPARK.contains(&key) => "Spark",
            key if LABELS_OF_THE_OPERATOR.contains(&key) => "the operator",
            _ => continue,
        };
        let detail = format!("is set by {owner}; choose another label");
        findings.forbidden(&path.field("labels").key(key), detail);
    }
    for key in role.pod.annotations.keys() {
        // Annotation keys follow the rule of label keys, but for case.
        let lower = key.to_ascii_lowercase();
        findings.name(
            &path.field("annotations").key(key),
            key,
            check_label_key(&lower),
        );
    }
}

fn check_environment(findings: &mut Findings, role: &View<'_>, path: &FieldPath) {
    for name in role.pod.env_vars.keys() {
        findings.name(&path.field("envVars").key(name), name, check_env_name(name));
    }
    for (name, source) in &role.pod.env_secret_key_refs {
        let path = path.field("envSecretKeyRefs").key(name);
        findings.name(&path, name, check_env_name(name));
        findings.object_name(&path.field("name"), &source.name);
        if source.key.is_empty() {
            findings.missing(&path.field("key"), "must be given");
        }
    }
    for (index, variable) in role.pieces.env.iter().enumerate() {
        let path = path.field("env").index(index);
        findings.name(
            &path.field("name"),
            &variable.name,
            check_env_name(&variable.name),
        );
        if variable.value.is_some() && variable.value_from.is_some() {
            findings.forbidden(&path.field("valueFrom"), "cannot be combined with value");
        }
    }
}

fn check_mounts(findings: &mut Findings, role: &View<'_>, path: &FieldPath) {
    for (index, mount) in role.pieces.volume_mounts.iter().enumerate() {
        if !role.volumes.contains(mount.name.as_str()) {
            findings.invalid(
                &path.field("volumeMounts").index(index).field("name"),
                mount.name.as_str(),
                "is not a volume of the application; add it to spec.volumes",
            );
        }
    }
    let config_maps = role
        .pod
        .config_maps
        .iter()
        .map(|map| (&map.name, &map.path));
    let secrets = role
        .pod
        .secrets
        .iter()
        .map(|secret| (&secret.name, &secret.path));
    let config_maps = config_maps.enumerate().map(|entry| ("configMaps", entry));
    let secrets = secrets.enumerate().map(|entry| ("secrets", entry));
    for (field, (index, (name, directory))) in config_maps.chain(secrets) {
        let path = path.field(field).index(index);
        findings.object_name(&path.field("name"), name);
        if !directory.starts_with('/') {
            let detail = "must be an absolute path inside of the container";
            findings.invalid(&path.field("path"), directory.as_str(), detail);
        }
    }
}

fn check_ports(findings: &mut Findings, ports: &[Port], path: &FieldPath) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        findings.port(&path.field("containerPort"), port.container_port);
        if !["TCP", "UDP", "SCTP"].contains(&port.protocol.as_str()) {
            let detail = "must be TCP, UDP or SCTP";
            findings.invalid(&path.field("protocol"), port.protocol.as_str(), detail);
        }
        check_port_name(findings, &path.field("name"), &port.name);
        if !names.insert(&port.name) {
            findings.invalid(&path.field("name"), port.name.as_str(), "is used twice");
        }
        if !numbers.insert((&port.protocol, port.container_port)) {
            findings.invalid(
                &path.field("containerPort"),
                port.container_port,
                "is used twice",
            );
        }
    }
}

/// The name of a port: a short DNS label with at least one letter.
pub(super) fn check_port_name(findings: &mut Findings, path: &FieldPath, name: &str) {
    const LONGEST: usize = 15;
    findings.name(path, name, DnsLabel::new(name).map(drop));
    if name.len() > LONGEST {
        findings.invalid(
            path,
            name,
            "is too long for a port; use 15 characters or less",
        );
    } else if !name.is_empty() && !name.contains(|c: char| c.is_ascii_lowercase()) {
        findings.invalid(path, name, "needs at least one letter");
    }
}
