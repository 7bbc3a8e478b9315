//! `windlass install`: what a cluster needs for the operator, as manifests.
//!
//! Laws: every rule is one of [`windlass_spark::rbac`], none has a wildcard; the Deployment's pods
//! pass the restricted profile of Kubernetes' pod security standards.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use windlass_api::names::DnsLabel;
use windlass_engine::Selector;
use windlass_spark::{rbac, webhook};

use crate::args::InstallArgs;
use crate::exit::{Exit, Failure};
use crate::{manifest, output};

/// The operator's ServiceAccount, Deployment and container.
pub const OPERATOR: &str = "windlass-operator";
/// The ServiceAccount of drivers.
pub const DRIVER_ACCOUNT: &str = "spark";
/// The namespace that gets the drivers' account where none is named.
pub const DEFAULT_NAMESPACE: &str = "default";
/// The port of /healthz, /readyz and /metrics.
const PORT: u16 = 8080;
/// The port of the webhook.
const WEBHOOK_PORT: u16 = 9443;
/// The webhook's Service, and the Secret with its certificates; also its Certificate and Issuer, where
/// cert-manager makes them.
const WEBHOOK: &str = "windlass-webhook";
/// The Secret that cert-manager puts them into: never the one that the operator writes.
const CERTIFICATES_SECRET: &str = "windlass-webhook-tls";
/// Where the operator finds that Secret's files.
const CERTIFICATES_FOLDER: &str = "/etc/windlass/webhook";
/// By which cert-manager tells the configurations the authority.
const INJECT_CA: &str = "cert-manager.io/inject-ca-from";
/// The ConfigMap with the operator's policies, and their file in it.
const POLICY: (&str, &str) = ("windlass-policy", "policy.yaml");
/// Where the operator finds it.
const POLICY_FOLDER: &str = "/etc/windlass/policy";

/// Prints the manifests.
pub fn install(args: &InstallArgs) -> Result<Exit, Failure> {
    output::data(documents(args)?.trim_end())
}

/// The manifests as YAML documents.
fn documents(args: &InstallArgs) -> Result<String, Failure> {
    let crds = windlass_api::crds();
    let original = args.original_api.then(windlass_api::original_crd);
    let mut all = crds
        .iter()
        .chain(&original)
        .map(object)
        .collect::<Result<Vec<_>, _>>()?;
    all.extend(objects(args)?);
    windlass_api::parse::to_yaml_documents(&all).map_err(Failure::internal)
}

/// Everything but the CustomResourceDefinitions, in an order in which it can be applied.
pub fn objects(args: &InstallArgs) -> Result<Vec<Value>, Failure> {
    let home = args.namespace.as_str();
    let extras = args.exposing.extras();
    let mut objects = vec![
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": home,
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
            },
        }),
        object(&rbac::driver_service_account(home, OPERATOR))?,
        object(&rbac::leader_role(home))?,
        object(&rbac::leader_role_binding(home, OPERATOR))?,
    ];
    // Whoever serves a part of what has labels is not alone in the cluster, or in a namespace.
    let is_alone = selector(args).is_none() && label_selector(args).is_none();
    let named = |object: Value| if is_alone { object } else { own(object, home) };
    if selector(args).is_some() {
        let (role, binding) = rbac::selecting_cluster_role(home, OPERATOR, &extras);
        objects.push(object(&role)?);
        objects.push(object(&binding)?);
    } else if args.job_namespaces.is_empty() {
        let role = rbac::operator_cluster_role(&extras);
        let binding = rbac::operator_cluster_role_binding(home, OPERATOR);
        objects.push(named(object(&role)?));
        objects.push(named(object(&binding)?));
    }
    for namespace in args.job_namespaces.iter().map(DnsLabel::as_str) {
        let role = rbac::operator_role(namespace, &extras);
        let binding = rbac::operator_role_binding(namespace, home, OPERATOR);
        objects.push(named(object(&role)?));
        objects.push(named(object(&binding)?));
    }
    let named = args.job_namespaces.iter().map(DnsLabel::as_str);
    // Who has the labels is not known here, and changes.
    let has_all = args.job_namespaces.is_empty() && selector(args).is_none();
    let fallback = has_all.then_some(DEFAULT_NAMESPACE);
    for namespace in named.chain(fallback) {
        objects.push(object(&rbac::driver_service_account(
            namespace,
            DRIVER_ACCOUNT,
        ))?);
        objects.push(object(&rbac::driver_role(namespace))?);
        objects.push(object(&rbac::driver_role_binding(
            namespace,
            DRIVER_ACCOUNT,
        ))?);
    }
    let policy = policy(args)?;
    objects.extend(policy.as_deref().map(|text| policy_object(home, text)));
    objects.push(deployment(args, policy.as_deref()));
    if args.webhook {
        objects.extend(webhook_objects(args)?);
    }
    Ok(objects)
}

/// The labels of the namespaces that are served, where labels decide.
fn selector(args: &InstallArgs) -> Option<&Selector> {
    let selector = args.namespace_selector.as_ref();
    selector.filter(|selector| !selector.is_everything())
}

/// The labels of what is served in them, where labels decide.
fn label_selector(args: &InstallArgs) -> Option<&Selector> {
    let selector = args.selector.as_ref();
    selector.filter(|selector| !selector.is_everything())
}

/// A role, or its binding, of this operator and not of the others of the cluster.
fn own(mut object: Value, home: &str) -> Value {
    let name = json!(format!("{}-{home}", rbac::OPERATOR_ROLE));
    if object["roleRef"].is_object() {
        object["roleRef"]["name"] = name.clone();
    }
    object["metadata"]["name"] = name;
    object
}

/// The text of the operator's policies, if it has any and they can be meant.
fn policy(args: &InstallArgs) -> Result<Option<String>, Failure> {
    let Some(file) = &args.policy else {
        return Ok(None);
    };
    let (text, _) = manifest::policy_text(file)?;
    Ok(Some(text))
}

fn policy_object(home: &str, text: &str) -> Value {
    let (name, file) = POLICY;
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": home },
        "data": { file: text },
    })
}

/// The name of the webhook configurations of an operator in this namespace. They are of the whole
/// cluster, which may have several operators.
pub fn webhook_configuration(home: &str) -> String {
    format!("{home}-webhook")
}

fn webhook_objects(args: &InstallArgs) -> Result<Vec<Value>, Failure> {
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
    let ours = [
        written("sparkoperator.k8s.io", "v1beta2", &jobs),
        written("sparkoperator.k8s.io", "v1alpha1", &["sparkconnects"]),
    ];
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
    objects.extend([
        service,
        configuration("ValidatingWebhookConfiguration", &[validating, of_policies]),
        configuration("MutatingWebhookConfiguration", &[mutating]),
    ]);
    Ok(objects)
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

/// The operator's image in a registry.
pub fn image_of(registry: &str) -> String {
    format!("{registry}/windlass:{}", env!("CARGO_PKG_VERSION"))
}

fn deployment(args: &InstallArgs, policy: Option<&str>) -> Value {
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
    let image = args.original.original_image.as_ref();
    arguments.extend(image.map(|image| format!("--original-image={image}")));
    arguments.extend(args.exposing.arguments());
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
                        "runAsGroup": 65532,
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
        mount(&mut deployment, volume, CERTIFICATES_FOLDER);
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
        mount(&mut deployment, volume, POLICY_FOLDER);
    }
    deployment
}

/// Gives the operator's container a volume, to read.
fn mount(deployment: &mut Value, volume: Value, folder: &str) {
    let pod = &mut deployment["spec"]["template"]["spec"];
    let mount = json!({ "name": volume["name"], "mountPath": folder, "readOnly": true });
    let add = |place: &mut Value, item: Value| match place.as_array_mut() {
        Some(list) => list.push(item),
        None => *place = json!([item]),
    };
    add(&mut pod["volumes"], volume);
    add(&mut pod["containers"][0]["volumeMounts"], mount);
}

fn object(typed: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(typed).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use super::objects as objects_of;
    use super::*;
    use crate::args::{ExposingArgs, OriginalArgs};

    fn args(job_namespaces: &[&str]) -> InstallArgs {
        InstallArgs {
            namespace: DnsLabel::new("windlass-system").unwrap(),
            namespace_selector: None,
            selector: None,
            policy: None,
            job_namespaces: job_namespaces
                .iter()
                .map(|&name| DnsLabel::new(name).unwrap())
                .collect(),
            registry: "registry.example".to_owned(),
            image: None,
            replicas: 1,
            webhook: false,
            cert_manager: false,
            cert_manager_issuer: None,
            original_api: false,
            original: OriginalArgs::default(),
            exposing: ExposingArgs::default(),
        }
    }

    fn names(objects: &[Value]) -> String {
        let line = |object: &Value| {
            let metadata = &object["metadata"];
            let namespace = metadata["namespace"].as_str();
            let namespace = namespace.map(|name| format!("{name}/")).unwrap_or_default();
            let (kind, name) = (&object["kind"], &metadata["name"]);
            format!(
                "{} {namespace}{}",
                kind.as_str().unwrap(),
                name.as_str().unwrap()
            )
        };
        objects.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_operator_of_some_namespaces_has_no_rights_in_the_others() {
        let of = |namespaces: &[&str]| names(&objects(&args(namespaces)).unwrap());
        insta::assert_snapshot!(format!(
            "all:\n{}\n\nsome:\n{}",
            of(&[]),
            of(&["etl", "ml"])
        ));
    }

    #[test]
    fn what_is_printed_is_the_definitions_and_then_everything_else() {
        let args = args(&[]);
        let printed = windlass_api::parse::objects(&documents(&args).unwrap()).unwrap();
        let (crds, others) = printed.split_at(windlass_api::crds().len());
        let is_crd = |object: &Value| object["kind"] == "CustomResourceDefinition";
        assert!(crds.iter().all(is_crd));
        assert_eq!(others, objects(&args).unwrap());
    }

    #[test]
    fn a_webhook_is_asked_about_nothing_but_spark_in_the_namespaces_that_are_served() {
        let with = |namespaces: &[&str]| InstallArgs {
            webhook: true,
            ..args(namespaces)
        };
        insta::assert_yaml_snapshot!(webhook_objects(&with(&["etl", "ml"])).unwrap());
        let everywhere = webhook_objects(&with(&[])).unwrap();
        assert!(
            everywhere
                .iter()
                .all(|object| { object["webhooks"][0].get("namespaceSelector").is_none() })
        );
        let container = &deployment(&with(&[]), None)["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["ports"][1]["name"], "webhook");
    }

    #[test]
    fn with_cert_manager_the_operator_reads_files_and_has_no_rights_for_certificates() {
        let with = InstallArgs {
            webhook: true,
            cert_manager: true,
            ..args(&["etl"])
        };
        let printed = objects(&with).unwrap();
        let is_about_it = |it: &&Value| {
            let name = it["metadata"]["name"].as_str().unwrap();
            name.ends_with("-webhook") || it["kind"] == "Deployment"
        };
        let about: Vec<&Value> = printed.iter().filter(is_about_it).collect();
        insta::assert_yaml_snapshot!(about);
        let by_another = InstallArgs {
            cert_manager_issuer: Some("ClusterIssuer/company".parse().unwrap()),
            ..with
        };
        let printed = webhook_objects(&by_another).unwrap();
        assert!(printed.iter().all(|it| it["kind"] != "Issuer"));
        let certificate = printed.iter().find(|it| it["kind"] == "Certificate");
        assert_eq!(
            certificate.unwrap()["spec"]["issuerRef"],
            json!({"kind": "ClusterIssuer", "name": "company"})
        );
    }

    #[test]
    fn what_the_operator_is_to_make_it_is_told_and_allowed() {
        let exposing = ExposingArgs {
            ui_gateway: Some("edge/shared".parse().unwrap()),
            pod_monitors: true,
            ..ExposingArgs::default()
        };
        let args = InstallArgs {
            exposing,
            ..args(&["etl"])
        };
        let objects = objects(&args).unwrap();
        let of = |kind: &str, name: &str| {
            let mut found = objects
                .iter()
                .filter(|it| it["kind"] == kind && it["metadata"]["name"] == name);
            found.next().unwrap()
        };
        let told = &of("Deployment", OPERATOR)["spec"]["template"]["spec"]["containers"][0];
        let told = told["args"].as_array().unwrap();
        assert!(
            told.contains(&json!("--ui-gateway=edge/shared")),
            "{told:?}"
        );
        assert!(told.contains(&json!("--pod-monitors")), "{told:?}");
        let rules = &of("Role", rbac::OPERATOR_ROLE)["rules"];
        let rules = rules.as_array().unwrap().iter();
        let extra = rules.filter(|rule| {
            let resources = &rule["resources"];
            *resources == json!(["httproutes"]) || *resources == json!(["podmonitors"])
        });
        assert_eq!(extra.count(), 2);
    }

    #[test]
    fn the_api_of_the_first_operator_is_printed_where_it_is_wanted() {
        let args = InstallArgs {
            original_api: true,
            original: OriginalArgs {
                original_image: Some("apache/spark:4.3.0".parse().unwrap()),
            },
            ..args(&[])
        };
        let printed = windlass_api::parse::objects(&documents(&args).unwrap()).unwrap();
        assert!(printed.contains(&windlass_api::original_crd()));
        let container = &deployment(&args, None)["spec"]["template"]["spec"]["containers"][0];
        let told = container["args"].as_array().unwrap();
        assert!(
            told.contains(&json!("--original-image=apache/spark:4.3.0")),
            "{told:?}"
        );
    }

    #[test]
    fn the_pod_monitor_that_is_shipped_finds_the_operator() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../deploy/monitoring/podmonitor.yaml"
        );
        let text = std::fs::read_to_string(file).unwrap();
        let monitor = &windlass_api::parse::objects(&text).unwrap()[0];
        let args = args(&[]);
        let deployment = deployment(&args, None);
        let pod = &deployment["spec"]["template"];
        assert_eq!(
            monitor["metadata"]["namespace"],
            deployment["metadata"]["namespace"]
        );
        assert_eq!(
            monitor["spec"]["selector"]["matchLabels"],
            pod["metadata"]["labels"]
        );
        assert_eq!(
            monitor["spec"]["podMetricsEndpoints"][0]["port"],
            pod["spec"]["containers"][0]["ports"][0]["name"]
        );
    }

    #[test]
    fn an_operator_of_labelled_namespaces_may_look_who_has_the_label_and_is_told() {
        let args = InstallArgs {
            namespace_selector: Some("team=etl".parse().unwrap()),
            selector: Some("tier!=test".parse().unwrap()),
            webhook: true,
            ..args(&[])
        };
        let objects = objects(&args).unwrap();
        let of = |kind: &str| objects.iter().find(|it| it["kind"] == kind).unwrap();
        let hooks = &of("ValidatingWebhookConfiguration")["webhooks"];
        let rules = of("ClusterRole")["rules"].as_array().unwrap();
        insta::assert_yaml_snapshot!((
            names(&objects).lines().collect::<Vec<_>>(),
            &of("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"],
            rules.last(),
            &hooks[0]["namespaceSelector"],
            &hooks[0]["objectSelector"],
        ));
        let roles = |namespaces: &[&str]| {
            let args = InstallArgs {
                selector: Some("release=next".parse().unwrap()),
                ..self::args(namespaces)
            };
            let objects = objects_of(&args).unwrap();
            let own = objects.into_iter().filter(|it| {
                let name = it["metadata"]["name"].as_str().unwrap();
                name == "windlass-spark-operator-windlass-system"
                    && it["roleRef"].get("name").is_none_or(|it| it == name)
            });
            own.count()
        };
        assert_eq!((roles(&[]), roles(&["etl"])), (2, 2));
        let by_number = InstallArgs {
            namespace_selector: Some("size>3".parse().unwrap()),
            ..args
        };
        let refused = objects_of(&by_number).unwrap_err();
        assert!(
            refused.message.contains("--namespace-selector size>3"),
            "{refused}"
        );
    }

    #[test]
    fn policies_are_read_before_they_are_printed_and_another_text_is_another_pod() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        let write = |allowed: &str| {
            let text = format!(
                "apiVersion: windlass.dev/v1alpha1\nkind: SparkPolicy\nmetadata: {{name: all}}\n\
                 spec: {{allowedImages: [{allowed:?}]}}\n"
            );
            std::fs::write(&file, text).unwrap();
            objects_of(&InstallArgs {
                policy: Some(file.clone()),
                ..args(&["etl"])
            })
        };
        let pod_of = |objects: &[Value]| {
            let mut found = objects.iter().filter(|it| it["kind"] == "Deployment");
            found.next().unwrap()["spec"]["template"].clone()
        };
        let first = write("registry.example.com/*").unwrap();
        let config = first.iter().find(|it| it["kind"] == "ConfigMap").unwrap();
        assert_eq!(config["metadata"]["name"], "windlass-policy");
        let pod = pod_of(&first);
        let container = &pod["spec"]["containers"][0];
        let told = container["args"].as_array().unwrap();
        assert!(
            told.contains(&json!("--policy=/etc/windlass/policy/policy.yaml")),
            "{told:?}"
        );
        assert_eq!(
            container["volumeMounts"][0]["mountPath"],
            "/etc/windlass/policy"
        );
        assert_ne!(pod, pod_of(&write("apache/spark").unwrap()));
        let refused = write("").unwrap_err();
        assert!(
            refused.message.contains("spec.allowedImages[0]"),
            "{refused}"
        );
    }

    #[test]
    fn the_deployment_is_this() {
        insta::assert_yaml_snapshot!(deployment(&args(&["etl", "ml"]), None));
    }
}
