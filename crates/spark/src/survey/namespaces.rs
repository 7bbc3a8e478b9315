//! Where jobs run: is the namespace there, and does it take the pods that Spark makes?

use serde_json::Value;
use windlass_engine::Object;

use super::{Category, Facts, Finding, Look, Scope, name, namespace, text};
use crate::policy::Layer;

/// The label by which a namespace asks for a pod security profile.
const PROFILE: &str = "/metadata/labels/pod-security.kubernetes.io~1enforce";

pub(super) fn judge(scope: &Scope, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, look) in [
        ("namespaces", &facts.namespaces),
        ("quotas", &facts.quotas),
        ("LimitRanges", &facts.limits),
        ("SparkPolicies", &facts.policies),
    ] {
        if let Look::Refused(why) = look {
            findings.push(Finding::unseen(Category::Namespaces, what, why));
        }
    }
    if let Look::Seen(all) = &facts.namespaces {
        for wanted in &scope.job_namespaces {
            findings.push(existence(wanted, all.iter().find(|it| name(it) == wanted)));
        }
        findings.extend(
            all.iter()
                .filter(|it| scope.serves(name(it)))
                .filter_map(profile),
        );
    }
    let limits = facts.limits.objects();
    findings.extend(
        facts
            .quotas
            .objects()
            .iter()
            .filter_map(|it| quota(it, limits)),
    );
    findings.extend(facts.policies.objects().iter().filter_map(policy));
    findings
}

/// A broken policy keeps every application of its namespace from being submitted.
fn policy(found: &Value) -> Option<Finding> {
    let problems = Layer::read(&Object::new(found.clone())).err()?;
    Some(Finding::problem(
        Category::Namespaces,
        format!(
            "nothing is submitted in namespace {}: {}",
            namespace(found),
            problems.join("; ")
        ),
        "correct the named fields, or delete the policy: what waits goes on then",
    ))
}

fn existence(wanted: &str, found: Option<&Value>) -> Finding {
    match found {
        None => Finding::problem(
            Category::Namespaces,
            format!("namespace {wanted} does not exist"),
            format!("kubectl create namespace {wanted}"),
        ),
        Some(found) if text(found, "/status/phase") == "Terminating" => Finding::problem(
            Category::Namespaces,
            format!("namespace {wanted} is being deleted"),
            "wait until it is gone, and create it anew",
        ),
        Some(_) => Finding::ok(Category::Namespaces, format!("namespace {wanted} is there")),
    }
}

/// The pods of a plain application say nothing about privileges, which the restricted profile
/// wants them to.
fn profile(found: &Value) -> Option<Finding> {
    (text(found, PROFILE) == "restricted").then(|| {
        Finding::note(
            Category::Namespaces,
            format!(
                "namespace {} takes only restricted pods; those of an application without a securityContext are refused",
                name(found)
            ),
            Some(
                "give driver and executor securityContext {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}"
                    .to_owned(),
            ),
        )
    })
}

/// A quota on the limit of CPU refuses every pod that names none, and Spark names none by itself.
fn quota(quota: &Value, limits: &[Value]) -> Option<Finding> {
    let home = namespace(quota);
    let hard = quota.pointer("/spec/hard")?.as_object()?;
    hard.get("limits.cpu")?;
    let has_default = limits
        .iter()
        .filter(|it| namespace(it) == home)
        .any(|range| {
            let items = range.pointer("/spec/limits").and_then(Value::as_array);
            items.into_iter().flatten().any(|item| {
                text(item, "/type") == "Container" && item.pointer("/default/cpu").is_some()
            })
        });
    (!has_default).then(|| {
        Finding::note(
            Category::Namespaces,
            format!(
                "quota {home}/{} counts limits.cpu, so pods without one are refused; Spark sets none by itself",
                name(quota)
            ),
            Some("set coreLimit of driver and executor, or a LimitRange with a default".to_owned()),
        )
    })
}
