//! What makes API servers ask the operator about writes: its webhook configurations, the Service by
//! which they reach it, and whoever makes its certificates.

use serde_json::{Value, json};
use windlass_director::webhook as director;
use windlass_engine::Selector;
use windlass_spark::{rbac, webhook};

use super::{OPERATOR, label_selector, object, selector};
use crate::args::InstallArgs;
use crate::exit::Failure;

/// The port of the webhook.
pub(super) const WEBHOOK_PORT: u16 = 9443;
/// The webhook's Service, and the Secret with its certificates; also its Certificate and Issuer, where
/// cert-manager makes them.
const WEBHOOK: &str = "windlass-webhook";
/// The Secret that cert-manager puts them into: never the one that the operator writes.
pub(super) const CERTIFICATES_SECRET: &str = "windlass-webhook-tls";
/// Where the operator finds that Secret's files.
pub(super) const CERTIFICATES_FOLDER: &str = "/etc/windlass/webhook";
/// By which cert-manager tells the configurations the authority.
const INJECT_CA: &str = "cert-manager.io/inject-ca-from";

/// The name of the webhook configurations of an operator in this namespace. They are of the whole
/// cluster, which may have several operators.
pub fn webhook_configuration(home: &str) -> String {
    format!("{home}-webhook")
}

/// All that there is for a webhook.
pub(super) fn webhook_objects(args: &InstallArgs) -> Result<Vec<Value>, Failure> {
    let home = args.namespace.as_str();
    let name = webhook_configuration(home);
    let mut objects = if args.cert_manager {
        certificates(args)
    } else {
        let (cluster_role, cluster_binding) = rbac::webhook_cluster_role(&name, home, OPERATOR);
        let (role, binding) = rbac::webhook_role(WEBHOOK, home, OPERATOR);
        vec![
            object(&cluster_role)?,
            object(&cluster_binding)?,
            object(&role)?,
            object(&binding)?,
        ]
    };
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": WEBHOOK, "namespace": home },
        "spec": {
            "selector": { "app.kubernetes.io/name": OPERATOR },
            "ports": [{ "name": "webhook", "port": 443, "targetPort": "webhook" }],
        },
    });
    let configuration = |kind: &str, webhooks: &[Value]| {
        let mut configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": { "name": name },
            "webhooks": webhooks,
        });
        if args.cert_manager {
            let certificate = format!("{home}/{WEBHOOK}");
            configuration["metadata"]["annotations"] = json!({ INJECT_CA: certificate });
        }
        configuration
    };
    let written = |group: &str, version: &str, resources: &[&str]| {
        json!({
            "apiGroups": [group],
            "apiVersions": [version],
            "resources": resources,
            "operations": ["CREATE", "UPDATE"],
            "scope": "Namespaced",
        })
    };
    let jobs = ["sparkapplications", "scheduledsparkapplications"];
    let mut ours = vec![
        written("sparkoperator.k8s.io", "v1beta2", &jobs),
        written("sparkoperator.k8s.io", "v1alpha1", &["sparkconnects"]),
        written("windlass.dev", "v1alpha1", &["sparkhistoryservers"]),
    ];
    if args.original_api {
        let originals = ["sparkapplications"];
        ours.push(written("spark-operator.k8s.io", "v1alpha1", &originals));
    }
    let policies = json!([written("windlass.dev", "v1alpha1", &["sparkpolicies"])]);
    let pods = json!([{
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["pods"],
        "operations": ["CREATE"],
        "scope": "Namespaced",
    }]);
    let mut validating = hook(
        args,
        "validate.windlass.dev",
        webhook::VALIDATE,
        &json!(ours),
    )?;
    if let Some(selector) = label_selector(args) {
        validating["objectSelector"] = in_manifest(selector, "--selector")?;
    }
    let of_policies = hook(
        args,
        "validate-policies.windlass.dev",
        webhook::VALIDATE,
        &policies,
    )?;
    let mut mutating = hook(
        args,
        "customise-pods.windlass.dev",
        webhook::CUSTOMISE,
        &pods,
    )?;
    // Nobody else's pods are asked about.
    mutating["objectSelector"] = json!({ "matchExpressions": [
        { "key": "spark-role", "operator": "In", "values": ["driver", "executor"] },
    ]});
    let mut all_mutating = vec![mutating];
    if args.virtual_clusters {
        all_mutating.extend(virtual_cluster_hooks(args)?);
    }
    objects.extend([
        service,
        configuration("ValidatingWebhookConfiguration", &[validating, of_policies]),
        configuration("MutatingWebhookConfiguration", &all_mutating),
    ]);
    Ok(objects)
}

/// Virtual clusters are judged and given their defaults by one call, also when they go. What labels the
/// operator goes by, clusters have; applications and the configuration are everybody's.
fn virtual_cluster_hooks(args: &InstallArgs) -> Result<[Value; 2], Failure> {
    let written = |resources: &[&str]| {
        json!([{
            "apiGroups": ["kubedirector.hpe.com"],
            "apiVersions": ["v1beta1"],
            "resources": resources,
            "operations": ["CREATE", "UPDATE", "DELETE"],
            "scope": "Namespaced",
        }])
    };
    let path = director::ADMIT;
    let rules = written(&["kubedirectorclusters"]);
    let mut clusters = hook(args, "admit-virtual-clusters.windlass.dev", path, &rules)?;
    if let Some(selector) = label_selector(args) {
        clusters["objectSelector"] = in_manifest(selector, "--selector")?;
    }
    let rules = written(&["kubedirectorapps", "kubedirectorconfigs"]);
    let name = "admit-virtual-applications.windlass.dev";
    Ok([clusters, hook(args, name, path, &rules)?])
}

/// What makes cert-manager keep the webhook's certificates in a Secret. The operator needs no rights
/// for any of it.
fn certificates(args: &InstallArgs) -> Vec<Value> {
    let home = args.namespace.as_str();
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": kind,
            "metadata": { "name": WEBHOOK, "namespace": home },
            "spec": spec,
        })
    };
    let issuer = match &args.cert_manager_issuer {
        Some(issuer) => json!({ "kind": issuer.kind.as_str(), "name": issuer.name.as_str() }),
        None => json!({ "kind": "Issuer", "name": WEBHOOK }),
    };
    let certificate = json!({
        "secretName": CERTIFICATES_SECRET,
        "dnsNames": [format!("{WEBHOOK}.{home}.svc")],
        "issuerRef": issuer,
        "privateKey": {
            "algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always",
        },
        "usages": ["digital signature", "server auth"],
    });
    let mut objects = Vec::new();
    if args.cert_manager_issuer.is_none() {
        objects.push(object("Issuer", json!({ "selfSigned": {} })));
    }
    objects.push(object("Certificate", certificate));
    objects
}

/// One webhook. Everything works without it, so that its absence must not stop anybody.
fn hook(args: &InstallArgs, name: &str, path: &str, rules: &Value) -> Result<Value, Failure> {
    let mut hook = json!({
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "service": { "name": WEBHOOK, "namespace": args.namespace, "path": path, "port": 443 },
        },
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "rules": rules,
        "sideEffects": "None",
        "timeoutSeconds": 5,
    });
    if !args.job_namespaces.is_empty() {
        hook["namespaceSelector"] = json!({ "matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "In",
            "values": args.job_namespaces,
        }]});
    }
    if let Some(selector) = selector(args) {
        hook["namespaceSelector"] = in_manifest(selector, "--namespace-selector")?;
    }
    Ok(hook)
}

fn in_manifest(selector: &Selector, flag: &str) -> Result<Value, Failure> {
    selector.as_field().ok_or_else(|| {
        Failure::bad_input(format!(
            "{flag} {selector}: a webhook cannot select by < and >; use a label with a value of its \
             own, or leave out --webhook"
        ))
    })
}
