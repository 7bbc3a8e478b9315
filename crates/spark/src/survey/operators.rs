//! Who serves applications: Windlass, the Kubeflow operator, or what is left of it.
//!
//! The Kubeflow operator is known by the image of its Deployments and by the name of its Lease;
//! its webhooks by the Service they call.

use jiff::Timestamp;
use serde_json::Value;
use windlass_engine::{Namespaces, Object, Selector};

use super::cluster::condition;
use super::directors::is_kubedirector;
use super::{Category, Facts, Finding, Look, Scope, Stage, listed, name, namespace, text};

/// The name of the operator's Deployment and of its Lease.
const WINDLASS: &str = "windlass-operator";
/// What the image of every release of the Kubeflow operator, and of its ancestors, has in its path.
const KUBEFLOW_IMAGE: &str = "/spark-operator";
/// How the Lease of the Kubeflow operator ends, whatever its Helm release is called.
const KUBEFLOW_LEASES: [&str; 2] = ["spark-operator-controller-lock", "spark-operator-lock"];
/// The Service of the webhook of a KubeDirector, which refuses everything while nobody answers.
const KUBEDIRECTOR_SERVICE: &str = "kubedirector-validator";
/// A Lease without a duration is taken to last this long.
const USUAL_LEASE: i64 = 15;
/// Clocks of machines differ, and renewals are late.
const TOLERANCE: i64 = 5;

/// An operator of the same kinds that is not Windlass, and lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherOperator {
    /// What it was recognised by, in words.
    pub seen: String,
    /// The command that stops it, where that is known.
    pub stop: Option<String>,
    /// The namespaces it serves by name.
    pub namespaces: Vec<String>,
    /// The labels of namespaces that it serves, too. Without names and labels it serves all, or
    /// nobody knows.
    pub selector: Option<Selector>,
}

/// The operators besides Windlass that live and serve a namespace of `ours`. `known` are the
/// namespaces of the cluster, where they could be looked at: only they tell who has a label.
pub fn others(
    leases: &[Value],
    deployments: &[Value],
    ours: &Namespaces,
    known: Option<&[Value]>,
    now: Timestamp,
) -> Vec<OtherOperator> {
    let mut others: Vec<OtherOperator> = deployments.iter().filter_map(controller).collect();
    for lease in leases {
        let seen = format!("Lease {}/{}", namespace(lease), name(lease));
        let is_known = deployments
            .iter()
            .any(|it| namespace(it) == namespace(lease) && controller(it).is_some());
        if is_kubeflows(lease) && is_live(lease, now) && !is_known {
            others.push(OtherOperator {
                seen: format!("{seen}, held by {}", text(lease, "/spec/holderIdentity")),
                stop: None,
                namespaces: Vec::new(),
                selector: None,
            });
        }
    }
    others.retain(|other| overlap(other, ours, known));
    others
}

pub(super) fn judge(scope: &Scope, facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, look) in [
        ("Leases", &facts.leases),
        ("Deployments", &facts.deployments),
        ("admission webhooks", &facts.webhooks),
    ] {
        if let Look::Refused(why) = look {
            findings.push(Finding::unseen(Category::Operators, what, why));
        }
    }
    let leases = facts.leases.objects();
    let deployments = facts.deployments.objects();
    let known = match &facts.namespaces {
        Look::Seen(namespaces) => Some(namespaces.as_slice()),
        Look::Refused(_) => None,
    };
    let ours = match &scope.job_namespaces[..] {
        [] => Namespaces::All,
        names => Namespaces::Named(names.to_vec()),
    };
    let theirs = others(leases, deployments, &ours, known, now);
    findings.extend(theirs.iter().map(other));
    if theirs.is_empty() && scope.stage == Stage::Before {
        findings.push(Finding::ok(
            Category::Operators,
            "no other operator serves these namespaces",
        ));
    }
    for webhook in facts.webhooks.objects() {
        findings.extend(left_over(webhook, deployments));
    }
    if scope.stage == Stage::After {
        if matches!(facts.deployments, Look::Seen(_)) {
            findings.push(deployment(scope, deployments));
        }
        if matches!(facts.leases, Look::Seen(_)) {
            findings.push(leader(scope, leases, now));
        }
    }
    findings
}

fn other(other: &OtherOperator) -> Finding {
    let labelled = other.selector.as_ref();
    let labelled = labelled.map(|labels| format!("namespaces with {labels}"));
    let serves: Vec<String> = other.namespaces.iter().cloned().chain(labelled).collect();
    let serves = match &serves[..] {
        [] => "every namespace, as far as one can see".to_owned(),
        some => listed(some),
    };
    let stop = other.stop.clone();
    Finding::problem(
        Category::Operators,
        format!("another operator lives: {}; it serves {serves}", other.seen),
        format!(
            "stop it first: {}; its applications are taken over as they are",
            stop.unwrap_or_else(|| "scale its Deployment to 0".to_owned())
        ),
    )
}

/// The controller of a Kubeflow operator that has, or is to have, replicas.
fn controller(deployment: &Value) -> Option<OtherOperator> {
    let replicas = deployment.pointer("/spec/replicas").and_then(Value::as_i64);
    if replicas == Some(0) {
        return None;
    }
    let container = containers(deployment).find(|it| is_kubeflow_image(text(it, "/image")))?;
    let arguments = words(container, "/command").chain(words(container, "/args"));
    let arguments: Vec<&str> = arguments.collect();
    // Newer releases have the webhook in a Deployment of its own, which starts no job.
    if arguments.contains(&"webhook") {
        return None;
    }
    let (home, name) = (namespace(deployment), name(deployment));
    Some(OtherOperator {
        seen: format!(
            "Deployment {home}/{name} with image {}",
            text(container, "/image")
        ),
        stop: Some(format!(
            "kubectl --namespace {home} scale deployment {name} --replicas 0"
        )),
        namespaces: served(&arguments),
        selector: selected(&arguments),
    })
}

/// What `--namespaces=a,b`, or the older `-namespace=a`, says.
fn served(arguments: &[&str]) -> Vec<String> {
    let mut namespaces = Vec::new();
    for value in values(arguments, &["namespaces", "namespace"]) {
        let values = value.split(',').map(str::trim);
        namespaces.extend(values.filter(|it| !it.is_empty()).map(str::to_owned));
    }
    namespaces
}

/// What `--namespace-selector=team=a` says. One that cannot be read may be of any namespace.
fn selected(arguments: &[&str]) -> Option<Selector> {
    let mut values = values(arguments, &["namespace-selector"]);
    let value = values.find(|value| !value.trim().is_empty())?;
    Some(value.parse().unwrap_or_default())
}

/// The values of flags, written behind them or as the next argument.
fn values<'a>(
    arguments: &'a [&'a str],
    flags: &'a [&'a str],
) -> impl Iterator<Item = &'a str> + use<'a> {
    let value = |(index, argument): (usize, &&'a str)| {
        let flag = argument.trim_start_matches('-');
        let value = match flag.split_once('=') {
            Some((name, value)) if flags.contains(&name) => value,
            None if flags.contains(&flag) => arguments.get(index + 1).copied()?,
            _ => return None,
        };
        Some(value.trim_matches('"'))
    };
    arguments.iter().enumerate().filter_map(value)
}

/// A webhook that asks a Kubeflow operator, or a KubeDirector, which is not there any more: it stops
/// people's work, or does nothing.
fn left_over(configuration: &Value, deployments: &[Value]) -> Option<Finding> {
    let kind = match text(configuration, "/kind") {
        "" => "webhook configuration",
        kind => kind,
    };
    let webhooks = configuration.pointer("/webhooks")?.as_array()?;
    let webhook = webhooks.iter().find(|it| {
        let service = text(it, "/clientConfig/service/name");
        ["spark-operator", "spark-webhook", KUBEDIRECTOR_SERVICE]
            .iter()
            .any(|part| service.contains(part))
    })?;
    let service = text(webhook, "/clientConfig/service/name");
    let is_its = |image: &str| {
        if service.contains(KUBEDIRECTOR_SERVICE) {
            is_kubedirector(image)
        } else {
            is_kubeflow_image(image)
        }
    };
    let home = text(webhook, "/clientConfig/service/namespace");
    let answers = deployments.iter().any(|it| {
        let replicas = it.pointer("/spec/replicas").and_then(Value::as_i64);
        namespace(it) == home
            && replicas != Some(0)
            && containers(it).any(|it| is_its(text(it, "/image")))
    });
    let name = name(configuration);
    let next = format!("kubectl delete {} {name}", kind.to_lowercase());
    if answers {
        return Some(Finding::note(
            Category::Operators,
            format!("{kind} {name} calls the webhook of another operator in {home}"),
            Some(format!("when that operator goes: {next}")),
        ));
    }
    let effect = if text(webhook, "/failurePolicy") == "Ignore" {
        "costs time for each object"
    } else {
        "objects are refused"
    };
    Some(Finding::problem(
        Category::Operators,
        format!("{kind} {name} calls a webhook in {home} that nobody answers: {effect}"),
        next,
    ))
}

/// Whether the API of the first operator is a matter of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Originals {
    /// Our operator was told to serve it.
    AskedFor,
    /// It was not, as far as one can see, and serves it where it is.
    NotAskedFor,
}

/// What the arguments of our operator say of the API of the first one. Before the installation there
/// are none.
pub(super) fn asks_for_originals(scope: &Scope, deployments: &Look) -> Originals {
    let ours = our_deployment(scope, deployments.objects());
    let mut arguments = ours.into_iter().flat_map(|ours| {
        let containers = containers(ours);
        containers.flat_map(|container| words(container, "/args"))
    });
    let asks = |argument: &str| {
        let flag = argument.split('=').next();
        matches!(flag, Some("--original-api" | "--original-image"))
    };
    if scope.stage == Stage::After && arguments.any(asks) {
        Originals::AskedFor
    } else {
        Originals::NotAskedFor
    }
}

pub(super) fn our_deployment<'a>(scope: &Scope, deployments: &'a [Value]) -> Option<&'a Value> {
    let is_ours = |it: &&Value| namespace(it) == scope.home && name(it) == WINDLASS;
    deployments.iter().find(is_ours)
}

/// Is our Deployment as it should be?
fn deployment(scope: &Scope, deployments: &[Value]) -> Finding {
    let Some(ours) = our_deployment(scope, deployments) else {
        return Finding::note(
            Category::Operators,
            format!("there is no Deployment {}/{WINDLASS}", scope.home),
            Some(
                "windlass install prints it; nothing is missing where the operator runs elsewhere"
                    .to_owned(),
            ),
        );
    };
    let available = ours.pointer("/status/availableReplicas");
    let image = containers(ours).next().map_or("", |it| text(it, "/image"));
    if available.and_then(Value::as_i64).unwrap_or(0) > 0 {
        return Finding::ok(
            Category::Operators,
            format!(
                "Deployment {}/{WINDLASS} is available ({image})",
                scope.home
            ),
        );
    }
    let why = condition(ours, "Available").map_or("", |it| text(it, "/message"));
    Finding::problem(
        Category::Operators,
        format!(
            "Deployment {}/{WINDLASS} ({image}) has no pod that is ready: {why}",
            scope.home
        ),
        format!(
            "kubectl --namespace {} describe pods --selector app.kubernetes.io/name={WINDLASS}",
            scope.home
        ),
    )
}

/// Does somebody lead?
fn leader(scope: &Scope, leases: &[Value], now: Timestamp) -> Finding {
    let live: Vec<&Value> = leases
        .iter()
        .filter(|it| name(it) == WINDLASS && is_live(it, now))
        .collect();
    let ours = live.iter().find(|it| namespace(it) == scope.home);
    match ours {
        Some(lease) => Finding::ok(
            Category::Operators,
            format!("{} leads", text(lease, "/spec/holderIdentity")),
        ),
        None if !live.is_empty() => {
            let homes: Vec<String> = live.iter().map(|it| namespace(it).to_owned()).collect();
            Finding::problem(
                Category::Operators,
                format!(
                    "no operator leads in {}, but one in {}",
                    scope.home,
                    listed(&homes)
                ),
                format!(
                    "ask about that one: windlass check --namespace {}",
                    homes[0]
                ),
            )
        }
        None => Finding::problem(
            Category::Operators,
            "no operator leads: nobody takes up applications",
            format!(
                "see what it says: kubectl --namespace {} logs deployment/{WINDLASS}",
                scope.home
            ),
        ),
    }
}

/// Whether both serve some namespace. Who has a label is seen in what there is now; where that could
/// not be looked at, both may.
fn overlap(theirs: &OtherOperator, ours: &Namespaces, known: Option<&[Value]>) -> bool {
    let has_all = theirs.namespaces.is_empty() && theirs.selector.is_none();
    let ours_has = |name: &str, labels: &Object| match ours {
        Namespaces::All => true,
        Namespaces::Named(names) => names.iter().any(|it| it == name),
        Namespaces::Selected(selector) => selector.selects(labels),
    };
    let by_labels = theirs.selector.is_some() || matches!(ours, Namespaces::Selected(_));
    match (ours, known) {
        (Namespaces::All, _) => true,
        (Namespaces::Named(_), _) if has_all => true,
        (Namespaces::Named(names), _) if !by_labels => {
            theirs.namespaces.iter().any(|it| names.contains(it))
        }
        (_, None) => true,
        (_, Some(known)) => known.iter().any(|namespace| {
            let labels = Object::new(namespace.clone());
            let name = name(namespace);
            let theirs_has = has_all
                || theirs.namespaces.iter().any(|it| it == name)
                || theirs
                    .selector
                    .as_ref()
                    .is_some_and(|it| it.selects(&labels));
            theirs_has && ours_has(name, &labels)
        }),
    }
}

fn is_kubeflows(lease: &Value) -> bool {
    KUBEFLOW_LEASES.iter().any(|end| name(lease).ends_with(end))
}

/// Whether somebody holds a Lease, and has renewed it in time.
pub fn is_live(lease: &Value, now: Timestamp) -> bool {
    let renewed = text(lease, "/spec/renewTime").parse::<Timestamp>();
    let duration = lease.pointer("/spec/leaseDurationSeconds");
    let duration = duration.and_then(Value::as_i64).unwrap_or(USUAL_LEASE);
    let is_fresh = renewed.is_ok_and(|renewed| {
        now.duration_since(renewed).as_secs() <= duration.saturating_add(TOLERANCE)
    });
    is_fresh && !text(lease, "/spec/holderIdentity").is_empty()
}

fn is_kubeflow_image(image: &str) -> bool {
    // Not a registry that happens to have the word in its name.
    image
        .split_once('/')
        .is_some_and(|(_, path)| format!("/{path}").contains(KUBEFLOW_IMAGE))
}

pub(super) fn containers(deployment: &Value) -> impl Iterator<Item = &Value> {
    let containers = deployment.pointer("/spec/template/spec/containers");
    containers.and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn words<'a>(container: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    let words = container.pointer(pointer).and_then(Value::as_array);
    words.into_iter().flatten().filter_map(Value::as_str)
}
