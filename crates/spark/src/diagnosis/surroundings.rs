//! What the application's own status and the objects around its pods tell.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Cause, Evidence, Finding, events_about, list, one_line, text, told, warnings_about};
use crate::lifecycle::health::Hold;
use crate::lifecycle::{Reason, remedy};

/// How long an operator may take to look at an application for the first time.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(30);

/// What the status says where no driver pod does.
pub(super) fn application(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let application = &evidence.application;
    let status = &application["status"];
    let state = text(&status["applicationState"]["state"]);
    let message = text(&status["applicationState"]["errorMessage"]);
    match state {
        "" => return nobody_looked(application, "application", now),
        "SUSPENDED" | "SUSPENDING" => {
            return Some(Finding {
                cause: Cause::Suspended,
                what: "the application is suspended".to_owned(),
                evidence: vec![format!(
                    "spec.suspend is {}",
                    application["spec"]["suspend"]
                )],
                next: "windlass resume starts it again".to_owned(),
            });
        }
        "COMPLETED" | "SUCCEEDING" => return None,
        // What a retry waits for was told by its last attempt.
        _ if message.is_empty() => return None,
        _ => {}
    }
    let reason = list(&status["conditions"])
        .iter()
        .filter(|it| matches!(text(&it["type"]), "Running" | "Validated"))
        .find(|it| it["status"] == "False")
        .map_or("", |it| text(&it["reason"]));
    let (cause, next) = of_reason(evidence, reason, message);
    let name = text(&application["metadata"]["name"]);
    let mut seen = vec![format!("state {state}, reason {}", or_none(reason))];
    if cause == Cause::QuotaExceeded {
        seen.extend(evidence.quotas.iter().map(usage));
    }
    if let Some(event) = warnings_about(evidence, "SparkApplication", name).last() {
        seen.push(told(event));
    }
    let advice = format!("; {next}");
    Some(Finding {
        cause,
        what: one_line(message.strip_suffix(&advice).unwrap_or(message)),
        evidence: seen,
        next,
    })
}

/// An application that waits for its turn.
pub(super) fn queued(application: &Value) -> Option<Finding> {
    let status = &application["status"];
    let admitted = list(&status["conditions"])
        .iter()
        .find(|it| it["type"] == "Admitted" && it["status"] == "False")?;
    let ask = &status["admission"];
    let name = text(&application["metadata"]["name"]);
    let next = if text(&admitted["reason"]) == crate::lifecycle::TOO_LARGE {
        "make spec.driver and spec.executor smaller, or have the limit raised".to_owned()
    } else {
        format!(
            "wait, or let it go before others: kubectl annotate sparkapplication {name} --overwrite \
             windlass.dev/priority=1"
        )
    };
    Some(Finding {
        cause: Cause::Queued,
        what: one_line(text(&admitted["message"])),
        evidence: vec![
            format!("it waits since {}", text(&admitted["lastTransitionTime"])),
            format!(
                "driver and fewest executors request cpu {} and memory {}",
                text(&ask["cpu"]),
                text(&ask["memory"])
            ),
        ],
        next,
    })
}

/// What to say of an object that has had no status for too long.
pub(super) fn nobody_looked(object: &Value, what: &str, now: Timestamp) -> Option<Finding> {
    let created: Timestamp = text(&object["metadata"]["creationTimestamp"])
        .parse()
        .ok()?;
    (now.duration_since(created) > FIRST_LOOK).then(|| Finding {
        cause: Cause::NoOperator,
        what: format!("no operator has looked at the {what}"),
        evidence: vec![format!("created at {created}, and its status is empty")],
        next: "see that windlass operator runs and serves this namespace (--namespaces): kubectl get leases -A shows \
               who leads"
            .to_owned(),
    })
}

fn of_reason(evidence: &Evidence, reason: &str, message: &str) -> (Cause, String) {
    let namespace = text(&evidence.application["metadata"]["namespace"]);
    let is = |known: Reason| reason == known.as_str();
    let lower = message.to_lowercase();
    if is(Reason::ServiceAccountMissing)
        || (lower.contains("serviceaccount") && lower.contains("not found"))
    {
        return (
            Cause::ServiceAccountMissing,
            format!(
                "create the account and its rights: windlass install --job-namespaces {namespace} | kubectl apply -f -; \
                 or name another one in spec.driver.serviceAccount"
            ),
        );
    }
    if is(Reason::QuotaExceeded) || lower.contains("exceeded quota") {
        return (
            Cause::QuotaExceeded,
            "wait until others have ended, make spec.driver and spec.executor smaller, or have the ResourceQuota raised"
                .to_owned(),
        );
    }
    let next = |text: &str| text.to_owned();
    if is(Reason::OomKilled) {
        return (
            Cause::DriverOutOfMemory,
            next(
                "raise spec.driver.memoryOverhead (Python and native memory) or spec.driver.memory (the heap)",
            ),
        );
    }
    if is(Reason::Evicted) {
        return (
            Cause::Evicted,
            next("spec.restartPolicy OnFailure runs it again elsewhere"),
        );
    }
    if is(Reason::NodeLost) {
        return (
            Cause::NodeLost,
            next("spec.restartPolicy OnFailure runs it again on another node"),
        );
    }
    if is(Reason::InitContainerFailed) {
        return (
            Cause::InitContainerFailed,
            next("see spec.driver.initContainers and the image they use"),
        );
    }
    if is(Reason::InvalidSpec) {
        return (
            Cause::InvalidSpec,
            next(
                "correct the named fields; windlass validate -f FILE checks them without a cluster",
            ),
        );
    }
    if is(Reason::PolicyInvalid) {
        return (
            Cause::InvalidSpec,
            next("have the named fields of the policy corrected; the application then goes on"),
        );
    }
    if is(Reason::ObjectStoreNotReady) {
        return (
            Cause::ReferenceMissing,
            next("see kubectl describe objectstore NAME; the application then goes on"),
        );
    }
    if is(Reason::DriverMissing) {
        return (
            Cause::PodDeleted,
            next(
                "look for who deleted the driver pod; spec.restartPolicy OnFailure runs the job again",
            ),
        );
    }
    if is(Reason::SubmissionRefused) || is(Reason::DriverNameTaken) {
        return (
            Cause::SubmissionRefused,
            next("change what the message names and submit again"),
        );
    }
    if is(Reason::DriverStartDeadline) {
        let cause = if lower.contains("image") {
            Cause::ImageUnavailable
        } else if lower.contains("no node takes") {
            Cause::Unschedulable
        } else if lower.contains("volumes cannot be set up")
            || lower.contains("cannot be configured")
        {
            Cause::ReferenceMissing
        } else {
            Cause::Other
        };
        return (
            cause,
            next("remove what kept the driver from starting, then windlass rerun"),
        );
    }
    if is(Reason::DriverFailed) && lower.contains("was deleted while") {
        return (
            Cause::PodDeleted,
            next("look for who deleted the pod; spec.restartPolicy OnFailure runs the job again"),
        );
    }
    if is(Reason::DriverFailed) && (lower.contains("sigkill") || lower.contains("sigterm")) {
        return (
            Cause::Killed,
            next(
                "look for who ended it: windlass events, and kubectl describe node; most often it is memory: raise spec.driver.memoryOverhead",
            ),
        );
    }
    match remedy::of(message) {
        Some(remedy) => (remedy.cause, remedy.next.to_owned()),
        None if is(Reason::DriverFailed) => (
            Cause::UserException,
            next("its pod is gone and its log with it: run it again and read windlass logs -f"),
        ),
        None => (
            Cause::Other,
            next("see windlass events and kubectl describe sparkapplication"),
        ),
    }
}

fn or_none(reason: &str) -> &str {
    if reason.is_empty() {
        "not given"
    } else {
        reason
    }
}

/// What is used of a quota.
fn usage(quota: &Value) -> String {
    let status = &quota["status"];
    let used: Vec<String> = status["hard"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, hard)| {
            let used = text(&status["used"][name]);
            format!(
                "{name} {} of {}",
                if used.is_empty() { "0" } else { used },
                text(hard)
            )
        })
        .collect();
    format!(
        "quota {}: {}",
        text(&quota["metadata"]["name"]),
        used.join(", ")
    )
}

/// Whether a pod waits for a claim, in the words of the scheduler or because the claim has no
/// volume.
pub(super) fn blocked_by_claim(
    evidence: &Evidence,
    pod: &str,
    hold: &Hold,
    seen: &[String],
) -> Option<Finding> {
    let says_so = [
        "PersistentVolumeClaim",
        "persistentvolumeclaim",
        "VolumeBinding",
    ]
    .iter()
    .any(|word| hold.message.contains(word));
    let names = claims_of(evidence, pod);
    let missing = names.iter().find(|name| {
        evidence
            .missing
            .iter()
            .any(|it| it.kind == "PersistentVolumeClaim" && it.name == **name)
    });
    let pending = evidence.claims.iter().find(|claim| {
        names.contains(&text(&claim["metadata"]["name"])) && claim["status"]["phase"] == "Pending"
    });
    let mut seen = seen.to_vec();
    let (what, next) = match (missing, pending) {
        (Some(name), _) => (
            format!("claim {name} does not exist"),
            "create the claim, or correct its name in spec.volumes".to_owned(),
        ),
        (None, Some(claim)) => {
            let name = text(&claim["metadata"]["name"]);
            let class = claim["spec"]["storageClassName"].as_str();
            seen.push(format!(
                "claim {name}: Pending, class {}",
                class.unwrap_or("not named")
            ));
            let events = events_about(evidence, "PersistentVolumeClaim", name);
            seen.extend(events.last().map(|event| told(event)));
            (
                format!("claim {name} has no volume"),
                format!(
                    "see kubectl describe pvc {name}, and kubectl get storageclass for the classes there are"
                ),
            )
        }
        (None, None) if says_so => (
            "a claim of the pod cannot be used".to_owned(),
            format!("see kubectl get pvc and kubectl describe pod {pod}"),
        ),
        (None, None) => return None,
    };
    Some(Finding {
        cause: Cause::ClaimPending,
        what: format!("{what}: {}", hold.message),
        evidence: seen,
        next,
    })
}

fn claims_of<'a>(evidence: &'a Evidence, pod: &str) -> Vec<&'a str> {
    let found = evidence
        .pods
        .iter()
        .find(|it| it.pod["metadata"]["name"] == pod);
    let volumes = found.map_or(&[][..], |it| list(&it.pod["spec"]["volumes"]));
    volumes
        .iter()
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
        .collect()
}

/// Kubelets say only "creating" of a pod whose volumes or network cannot be had; events say more.
pub(super) fn reference_trouble(
    evidence: &Evidence,
    pod: &str,
    role: &str,
    what: &str,
) -> Option<Finding> {
    let warnings = warnings_about(evidence, "Pod", pod);
    let event = warnings.iter().rev().find(|event| {
        matches!(
            text(&event["reason"]),
            "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox" | "FailedScheduling"
        )
    })?;
    let message = text(&event["message"]);
    let (cause, next) = if message.contains("not found") {
        (Cause::ReferenceMissing, named_and_not_there(role))
    } else {
        (Cause::Other, format!("see kubectl describe pod {pod}"))
    };
    Some(Finding {
        cause,
        what: format!("{what}: {}", one_line(message)),
        evidence: vec![told(event)],
        next,
    })
}

/// What to do about a reference, whether the pod's status or an event tells of it first.
pub(super) fn named_and_not_there(role: &str) -> String {
    format!(
        "create what is named and not there, or correct the name in spec.volumes, spec.{role}.env or envFrom"
    )
}

/// Nodes that hold pods of the application and do not answer.
pub(super) fn nodes(evidence: &Evidence) -> Vec<Finding> {
    let hosts_live_pods = |name: &str| {
        let count = evidence
            .pods
            .iter()
            .filter(|it| it.pod["spec"]["nodeName"] == name)
            .filter(|it| !matches!(text(&it.pod["status"]["phase"]), "Succeeded" | "Failed"))
            .count();
        (count > 0).then_some(count)
    };
    let not_ready = evidence.nodes.iter().filter_map(|node| {
        let name = text(&node["metadata"]["name"]);
        let ready = list(&node["status"]["conditions"])
            .iter()
            .find(|it| it["type"] == "Ready")?;
        let pods = hosts_live_pods(name)?;
        (ready["status"] != "True").then(|| Finding {
            cause: Cause::NodeLost,
            what: format!(
                "node {name}, which holds {pods} of the application's pods, is not ready"
            ),
            evidence: vec![format!(
                "node {name}: Ready is {} since {}: {}",
                text(&ready["status"]),
                text(&ready["lastTransitionTime"]),
                one_line(text(&ready["message"]))
            )],
            next: format!(
                "bring the node back, or delete it if it is lost: kubectl describe node {name}"
            ),
        })
    });
    let gone = evidence
        .missing
        .iter()
        .filter(|it| it.kind == "Node")
        .filter_map(|it| {
            let pods = hosts_live_pods(&it.name)?;
            Some(Finding {
                cause: Cause::NodeLost,
                what: format!("node {}, which holds {pods} of the application's pods, is gone", it.name),
                evidence: vec![format!("node {} does not exist", it.name)],
                next: "the cluster will delete the pods; spec.restartPolicy OnFailure runs the job again".to_owned(),
            })
        });
    not_ready.chain(gone).collect()
}
