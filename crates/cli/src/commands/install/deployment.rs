//! The operator's Deployment.

use clap::{Args as _, Command};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use windlass_api::names::DnsLabel;

use super::webhook::{CERTIFICATES_FOLDER, CERTIFICATES_SECRET, WEBHOOK_PORT};
use super::{DRIVER_ACCOUNT, OPERATOR, image_of, label_selector, selector};
use crate::args::{InstallArgs, OperatorArgs};
use crate::exit::Failure;

/// The port of /healthz, /readyz and /metrics.
const PORT: u16 = 8080;
/// The ConfigMap with the operator's policies, and their file in it.
const POLICY: (&str, &str) = ("windlass-policy", "policy.yaml");
/// Where the operator finds it.
const POLICY_FOLDER: &str = "/etc/windlass/policy";

/// Where the operator keeps logs on a volume.
const LOGS_FOLDER: &str = "/var/lib/windlass/logs";
/// The group of the operator's processes.
const GROUP: u32 = 65532;

/// The Deployment, with these policies.
pub(super) fn deployment(args: &InstallArgs, policy: Option<&str>) -> Result<Value, Failure> {
    let labels = json!({ "app.kubernetes.io/name": OPERATOR });
    let mut arguments = vec![
        "operator".to_owned(),
        format!("--default-driver-service-account={DRIVER_ACCOUNT}"),
    ];
    if !args.job_namespaces.is_empty() {
        let names: Vec<&str> = args.job_namespaces.iter().map(DnsLabel::as_str).collect();
        arguments.push(format!("--namespaces={}", names.join(",")));
    }
    if let Some(selector) = selector(args) {
        arguments.push(format!("--namespace-selector={selector}"));
    }
    if let Some(selector) = label_selector(args) {
        arguments.push(format!("--selector={selector}"));
    }
    if policy.is_some() {
        arguments.push(format!("--policy={POLICY_FOLDER}/{}", POLICY.1));
    }
    let mut ports = vec![json!({ "name": "http", "containerPort": PORT })];
    if args.webhook {
        arguments.push(format!("--webhook-listen=0.0.0.0:{WEBHOOK_PORT}"));
        ports.push(json!({ "name": "webhook", "containerPort": WEBHOOK_PORT }));
    }
    if args.cert_manager {
        arguments.push(format!("--webhook-certificates={CERTIFICATES_FOLDER}"));
    }
    if args.original_api {
        arguments.push("--original-api".to_owned());
    }
    let image = args.original.original_image.as_ref();
    arguments.extend(image.map(|image| format!("--original-image={image}")));
    if args.virtual_clusters {
        arguments.push("--virtual-clusters".to_owned());
    }
    if args.original_kubedirector {
        arguments.push("--original-kubedirector".to_owned());
    }
    if args.storage {
        arguments.push("--storage".to_owned());
    }
    if args.storage_auto_grow {
        arguments.push("--storage-auto-grow".to_owned());
    }
    if args.storage_nfs {
        arguments.push("--storage-nfs".to_owned());
        let namespace = &args.storage_nfs_namespace;
        arguments.push(format!("--storage-nfs-namespace={namespace}"));
    }
    if let Some(bucket) = &args.keep_logs {
        arguments.push(format!("--keep-logs={bucket}"));
    }
    if args.keep_logs_claim.is_some() {
        arguments.push(format!("--keep-logs={LOGS_FOLDER}"));
    }
    arguments.extend(args.exposing.arguments());
    check_further(&arguments, &args.further)?;
    arguments.extend(args.further.iter().cloned());
    let image = match &args.image {
        Some(image) => image.clone(),
        None => image_of(&args.registry),
    };
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": "http" } });
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": OPERATOR, "namespace": args.namespace, "labels": labels },
        "spec": {
            "replicas": args.replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "serviceAccountName": OPERATOR,
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": 65532,
                        "runAsGroup": GROUP,
                        "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    // Running work is finished first; see the operator's own drain.
                    "terminationGracePeriodSeconds": 30,
                    "containers": [{
                        "name": OPERATOR,
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "args": arguments,
                        "env": [{
                            "name": "POD_NAMESPACE",
                            "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } },
                        }],
                        "ports": ports,
                        "livenessProbe": probe("/healthz"),
                        "readinessProbe": probe("/readyz"),
                        "resources": {
                            "requests": { "cpu": "50m", "memory": "64Mi" },
                            "limits": { "memory": "256Mi" },
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": { "drop": ["ALL"] },
                        },
                    }],
                },
            },
        },
    });
    if args.cert_manager {
        // Applications need no webhook, so the operator waits for no certificate.
        let source = json!({ "secretName": CERTIFICATES_SECRET, "optional": true });
        let volume = json!({ "name": "certificates", "secret": source });
        mount(&mut deployment, volume, CERTIFICATES_FOLDER, Use::Reading);
    }
    if let Some(text) = policy {
        // It is read at the start only, so other policies are another pod.
        let digest = Sha256::digest(text.as_bytes());
        let (head, _) = digest.split_at(8);
        let digest = head
            .iter()
            .fold(String::new(), |all, byte| all + &format!("{byte:02x}"));
        let pod = &mut deployment["spec"]["template"];
        pod["metadata"]["annotations"]["windlass.dev/policy"] = json!(digest);
        let volume = json!({ "name": "policy", "configMap": { "name": POLICY.0 } });
        mount(&mut deployment, volume, POLICY_FOLDER, Use::Reading);
    }
    if let Some(claim) = &args.keep_logs_claim {
        let source = json!({ "claimName": claim });
        let volume = json!({ "name": "logs", "persistentVolumeClaim": source });
        mount(&mut deployment, volume, LOGS_FOLDER, Use::Writing);
        let pod = &mut deployment["spec"]["template"]["spec"];
        pod["securityContext"]["fsGroup"] = json!(GROUP);
        // Most volumes are on one node at a time, and a new pod may be on another one.
        deployment["spec"]["strategy"] = json!({ "type": "Recreate" });
    }
    Ok(deployment)
}

/// What an operator would not start with is told by whoever writes it, and not by a pod.
fn check_further(own: &[String], further: &[String]) -> Result<(), Failure> {
    let refused = |what: &str| {
        Failure::bad_input(format!(
            "behind --: {what}: give arguments of windlass operator; its --help shows them"
        ))
    };
    fn name(argument: &str) -> &str {
        argument.split_once('=').map_or(argument, |(name, _)| name)
    }
    let is_own = |given: &&String| own.iter().any(|own| name(own) == name(given));
    if let Some(twice) = further.iter().find(is_own) {
        let twice = name(twice);
        return Err(refused(&format!(
            "{twice} is set by an argument of install already"
        )));
    }
    // Together, since some of the operator's arguments ask for others. The first one names the command.
    let words = own.iter().chain(further);
    let operator = OperatorArgs::augment_args(Command::new("operator"));
    operator
        .try_get_matches_from(words)
        .map(drop)
        .map_err(|error| {
            let told = error.to_string();
            let lines = told.lines().take_while(|line| !line.is_empty());
            let lines: Vec<&str> = lines.map(str::trim).collect();
            refused(lines.join(" ").trim_start_matches("error: "))
        })
}

/// What the operator does with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Reading,
    Writing,
}

/// Gives the operator's container a volume.
fn mount(deployment: &mut Value, volume: Value, folder: &str, usage: Use) {
    let pod = &mut deployment["spec"]["template"]["spec"];
    let mut mount = json!({ "name": volume["name"], "mountPath": folder });
    if usage == Use::Reading {
        mount["readOnly"] = json!(true);
    }
    let add = |place: &mut Value, item: Value| match place.as_array_mut() {
        Some(list) => list.push(item),
        None => *place = json!([item]),
    };
    add(&mut pod["volumes"], volume);
    add(&mut pod["containers"][0]["volumeMounts"], mount);
}

/// The ConfigMap with the operator's policies.
pub(super) fn policy_object(home: &str, text: &str) -> Value {
    let (name, file) = POLICY;
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": home },
        "data": { file: text },
    })
}
