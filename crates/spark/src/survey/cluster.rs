//! The API server, the rights that people and programs have in it, and our definitions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::operators::Originals;
use super::{Answer, Category, Finding, Look, Right, Scope, Stage, Whose, listed, name, text};

/// The oldest minor version that is meant to work.
const OLDEST: u32 = 20;
/// From this minor version on PodDisruptionBudgets are served as we make them.
const BUDGETS_SINCE: u32 = 21;
/// From this minor version on the API server itself checks the rules in our definitions.
const RULES_SINCE: u32 = 25;

/// Is the API server one that will do?
pub(super) fn version(version: &str) -> Finding {
    let about = |text: &str| format!("Kubernetes {version}{text}");
    match minor(version) {
        None => Finding::note(
            Category::Cluster,
            format!("the API server calls itself {version:?}, which is no version of Kubernetes 1"),
            None,
        ),
        Some(minor) if minor < OLDEST => Finding::problem(
            Category::Cluster,
            about(&format!(" is older than 1.{OLDEST}")),
            "upgrade the cluster",
        ),
        Some(minor) if minor < RULES_SINCE => Finding::note(
            Category::Cluster,
            about(" does not check the rules in CustomResourceDefinitions"),
            Some(
                "some mistakes in applications are told in their status instead of at once"
                    .to_owned(),
            ),
        ),
        Some(_) => Finding::ok(Category::Cluster, about("")),
    }
}

/// What a version that will do lacks nevertheless.
pub(super) fn lacks(version: &str) -> Option<Finding> {
    let minor = minor(version).filter(|minor| (OLDEST..BUDGETS_SINCE).contains(minor))?;
    Some(Finding::note(
        Category::Cluster,
        format!("Kubernetes 1.{minor} does not serve PodDisruptionBudgets of policy/v1"),
        Some("nothing makes evictions wait for drivers; upgrade the cluster for that".to_owned()),
    ))
}

/// The 35 of `v1.35.4+k3s1`.
fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("v1.")?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Who lacks what. One line for each who has everything.
pub(super) fn permissions(scope: &Scope, rights: &[Right]) -> Vec<Finding> {
    let mut by_holder: BTreeMap<(Whose, Option<&str>), Vec<&Right>> = BTreeMap::new();
    for right in rights {
        let holder = (right.whose, right.namespace.as_deref());
        by_holder.entry(holder).or_default().push(right);
    }
    let judged = by_holder.iter().flat_map(|(&(whose, namespace), rights)| {
        let place = match namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        of_holder(scope, whose, &place, rights)
    });
    judged.collect()
}

fn of_holder(scope: &Scope, whose: Whose, place: &str, rights: &[&Right]) -> Vec<Finding> {
    let (who, all, next) = match whose {
        Whose::Yours => (
            "you".to_owned(),
            "may create what install prints",
            "let somebody who may do so apply what windlass install prints",
        ),
        Whose::Operators => (
            format!("the operator's account in {}", scope.home),
            "has the rights it needs",
            "apply what windlass install prints for the same namespaces",
        ),
        Whose::Drivers => (
            format!("the drivers' account {}", scope.driver_account),
            "has the rights it needs",
            "apply what windlass install prints with this namespace among --job-namespaces",
        ),
    };
    let denied: Vec<&Right> = rights
        .iter()
        .filter(|right| right.answer == Answer::Denied)
        .copied()
        .collect();
    let unknown = rights.iter().find_map(|right| match &right.answer {
        Answer::Unknown(why) => Some(why),
        Answer::Allowed | Answer::Denied => None,
    });
    let mut findings = Vec::new();
    if !denied.is_empty() {
        findings.push(Finding::problem(
            Category::Permissions,
            format!("{who} may not {} {place}", summed_up(&denied)),
            next,
        ));
    }
    if let Some(why) = unknown {
        findings.push(Finding::unseen(
            Category::Permissions,
            &format!("the rights of {who} {place}"),
            why,
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            Category::Permissions,
            format!("{who} {all} {place}"),
        ));
    }
    findings
}

/// `create and patch pods, get leases.coordination.k8s.io`
fn summed_up(rights: &[&Right]) -> String {
    let mut verbs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for right in rights {
        let resource = if right.group.is_empty() {
            right.resource.clone()
        } else {
            format!("{}.{}", right.resource, right.group)
        };
        verbs.entry(resource).or_default().push(right.verb.clone());
    }
    let parts = verbs
        .iter()
        .map(|(resource, verbs)| format!("{} {resource}", listed(verbs)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Are our definitions there, and are they ours? That of the first operator is looked for when the
/// operator was told to serve it.
pub(super) fn definitions(
    scope: &Scope,
    found: &Look,
    originals: Originals,
    virtual_clusters: bool,
    storage: bool,
) -> Vec<Finding> {
    if let Look::Refused(why) = found {
        return vec![Finding::unseen(
            Category::Definitions,
            "CustomResourceDefinitions",
            why,
        )];
    }
    const USUAL: &str = "windlass crd | kubectl apply -f -";
    const ORIGINAL: &str = "apply what windlass install --original-api prints, or take --original-api \
                            and --original-image from the operator's arguments";
    const DIRECTOR: &str = "apply what windlass install --virtual-clusters prints, or take \
                            --virtual-clusters from the operator's arguments";
    const STORAGE: &str = "apply what windlass install --storage prints, or take --storage from the \
                           operator's arguments";
    let usual = windlass_api::crds().into_iter().map(|ours| (ours, USUAL));
    let original = match originals {
        Originals::AskedFor => Some((windlass_api::original_crd(), ORIGINAL)),
        Originals::NotAskedFor => None,
    };
    let directors = if virtual_clusters {
        windlass_api::director::crds()
    } else {
        Vec::new()
    };
    let directors = directors.into_iter().map(|ours| (ours, DIRECTOR));
    let stores = if storage {
        windlass_api::storage::crds()
    } else {
        Vec::new()
    };
    let stores = stores.into_iter().map(|ours| (ours, STORAGE));
    usual
        .chain(original)
        .chain(directors)
        .chain(stores)
        .map(|(ours, apply)| {
            let found = found.objects().iter().find(|it| name(it) == name(&ours));
            definition(scope.stage, &ours, apply, found)
        })
        .collect()
}

/// One of them, and what brings it.
fn definition(stage: Stage, ours: &Value, apply: &str, found: Option<&Value>) -> Finding {
    let name = name(ours);
    let Some(found) = found else {
        return match stage {
            Stage::Before => {
                Finding::ok(Category::Definitions, format!("{name} comes with install"))
            }
            Stage::After => {
                Finding::problem(Category::Definitions, format!("{name} is not there"), apply)
            }
        };
    };
    let version = text(ours, "/spec/versions/0/name");
    let kept: Vec<String> = found
        .pointer("/status/storedVersions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect();
    let others: Vec<String> = kept.into_iter().filter(|it| it != version).collect();
    if !others.is_empty() {
        return Finding::problem(
            Category::Definitions,
            format!("{name} has objects stored as {}", listed(&others)),
            format!(
                "rewrite them as {version} (kubectl get and replace each), and take the old version out of status.storedVersions"
            ),
        );
    }
    if !is_established(found) {
        return Finding::problem(
            Category::Definitions,
            format!("{name} is not served: {}", why_not_established(found)),
            apply,
        );
    }
    if is_same(ours, found) {
        return Finding::ok(
            Category::Definitions,
            format!("{name} is the one of this version"),
        );
    }
    match stage {
        Stage::Before => Finding::note(
            Category::Definitions,
            format!("{name} is there, of another operator or version; its objects stay"),
            Some("install replaces it".to_owned()),
        ),
        Stage::After => Finding::problem(
            Category::Definitions,
            format!("{name} is of another operator or version"),
            apply,
        ),
    }
}

/// The schema and the columns are what users meet; what the API server adds by itself is not
/// compared.
fn is_same(ours: &Value, found: &Value) -> bool {
    let version = text(ours, "/spec/versions/0/name");
    let theirs = found
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|it| text(it, "/name") == version);
    let schema = "/schema/openAPIV3Schema";
    theirs.is_some_and(|theirs| {
        theirs.pointer(schema) == ours.pointer(&format!("/spec/versions/0{schema}"))
    })
}

fn is_established(definition: &Value) -> bool {
    condition(definition, "Established").is_some_and(|it| text(it, "/status") == "True")
}

fn why_not_established(definition: &Value) -> &str {
    let mut conditions = ["NamesAccepted", "Established"]
        .into_iter()
        .filter_map(|name| condition(definition, name));
    let untrue = conditions.find(|it| text(it, "/status") != "True");
    untrue.map_or("the API server has not looked at it", |it| {
        text(it, "/message")
    })
}

pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|it| text(it, "/type") == kind)
}
