//! What is in the way of single members.

use jiff::Timestamp;
use serde_json::Value;
use windlass_engine::Object;

use super::{Cause, Evidence, Finding, latest, list, name, one_line, text, told};
use crate::agent::NO_SYSTEMD;
use crate::build::{APP_CONTAINER, INIT_CONTAINER};
use crate::members::{ConfigError, Container, DrainOutcome, ObservedPod, SetUp};

/// How many lines of a script's output are shown.
const OUTPUT_LINES: usize = 8;

/// One member and its pod.
struct Member<'a> {
    evidence: &'a Evidence,
    pod: &'a Value,
    seen: ObservedPod,
}

/// Everything that is in the way of members, each by the first thing.
pub(super) fn diagnose(evidence: &Evidence, now: Timestamp) -> Vec<Finding> {
    let members = evidence.pods.iter().filter_map(|pod| {
        let seen = ObservedPod::of(&Object::new(pod.clone()))?;
        Some(Member {
            evidence,
            pod,
            seen,
        })
    });
    members.filter_map(|member| member.finding(now)).collect()
}

impl Member<'_> {
    fn finding(&self, now: Timestamp) -> Option<Finding> {
        if self.seen.deleting {
            return None;
        }
        self.no_node()
            .or_else(|| self.no_container())
            .or_else(|| self.not_set_up())
            .or_else(|| self.leaving(now))
            .or_else(|| self.not_told())
            .or_else(|| self.not_ready())
    }

    fn name(&self) -> &str {
        name(self.pod)
    }

    fn found(&self, cause: Cause, what: &str, seen: Vec<String>, next: String) -> Finding {
        Finding {
            cause,
            what: format!("{} {}", self.name(), one_line(what)),
            evidence: seen,
            next,
        }
    }

    /// No node takes it, perhaps because a claim has no volume.
    fn no_node(&self) -> Option<Finding> {
        let error = self.seen.scheduling_error.as_deref()?;
        let pending = self.pending_claim();
        let mut seen = vec![format!("PodScheduled is False: {}", one_line(error))];
        if let Some((claim, event)) = pending {
            seen.extend(event.map(told));
            let next =
                format!("see kubectl describe pvc {claim}: its StorageClass has to make volumes");
            let what = format!("waits for a volume: {claim} has none");
            return Some(self.found(Cause::ClaimPending, &what, seen, next));
        }
        let next = format!(
            "give the role {} less in resources, or other nodeSelector, affinity or tolerations; or make \
             room on a node",
            self.seen.role
        );
        let what = format!("finds no node: {error}");
        Some(self.found(Cause::Unschedulable, &what, seen, next))
    }

    /// A claim of the pod that has no volume, and what was said of that.
    fn pending_claim(&self) -> Option<(&str, Option<&Value>)> {
        let volumes = list(&self.pod["spec"]["volumes"]).iter();
        let mut names = volumes.filter_map(|it| it["persistentVolumeClaim"]["claimName"].as_str());
        let claim = names.find(|claim| {
            let mut claims = self.evidence.claims.iter();
            let found = claims.find(|it| name(it) == *claim);
            found.is_some_and(|it| it["status"]["phase"] == "Pending")
        })?;
        let kind = "PersistentVolumeClaim";
        let event = latest(self.evidence, kind, |event| {
            event["involvedObject"]["name"] == claim
        });
        Some((claim, event))
    }

    /// Its container does not come, or does not stay.
    fn no_container(&self) -> Option<Finding> {
        if let Container::Unresponsive { .. } = self.seen.container {
            let node = text(&self.pod["spec"]["nodeName"]);
            let what = format!("is on {node}, which does not answer");
            let next = format!("look at the node: kubectl describe node {node}");
            return Some(self.found(Cause::NodeLost, &what, Vec::new(), next));
        }
        let init = status(self.pod, "initContainerStatuses", INIT_CONTAINER);
        if let Some(ended) = end(init).filter(|it| it["exitCode"] != 0) {
            let seen = vec![format!("container {INIT_CONTAINER}: {}", exit(ended))];
            let next = format!("see what it says: kubectl logs {} -c init", self.name());
            let what = "could not copy its directories to its storage";
            return Some(self.found(Cause::CopyFailed, what, seen, next));
        }
        let app = status(self.pod, "containerStatuses", APP_CONTAINER);
        // The image of both is the same, and the first one wants it first.
        self.not_starting(init, INIT_CONTAINER)
            .or_else(|| self.not_starting(app, APP_CONTAINER))
            .or_else(|| self.not_staying(app, text(&app["state"]["waiting"]["reason"])))
    }

    /// What a container needs is not there.
    fn not_starting(&self, container: &Value, name: &str) -> Option<Finding> {
        let waiting = &container["state"]["waiting"];
        let reason = text(&waiting["reason"]);
        let message = one_line(text(&waiting["message"]));
        let image = text(&container["image"]);
        let seen = vec![format!("container {name}: {reason} {message}")];
        match reason {
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
                let next =
                    "correct the application's image or the role's imageRepoTag, or give the role \
                            imagePullSecrets"
                        .to_owned();
                let what = format!("cannot have its image {image}");
                Some(self.found(Cause::ImageUnavailable, &what, seen, next))
            }
            "CreateContainerConfigError" | "CreateContainerError" => {
                let what = format!("cannot start: {message}");
                let next = "make what is missing: a Secret, a ConfigMap, a key".to_owned();
                Some(self.found(Cause::ReferenceMissing, &what, seen, next))
            }
            _ => None,
        }
    }

    /// Its first process has ended, and does so again.
    fn not_staying(&self, app: &Value, reason: &str) -> Option<Finding> {
        let ended = end(app).filter(|_| {
            reason == "CrashLoopBackOff" || matches!(self.seen.container, Container::Terminated)
        })?;
        let seen = vec![format!("container {APP_CONTAINER}: {}", exit(ended))];
        if ended["reason"] == "OOMKilled" {
            let next = format!(
                "raise resources.limits.memory of the role {}",
                self.seen.role
            );
            let what = "was ended because it needed more memory than it may have";
            return Some(self.found(Cause::OutOfMemory, what, seen, next));
        }
        let next = format!(
            "see what it said: kubectl logs {} -c {APP_CONTAINER} --previous; an image whose first process does not \
             stay needs containerSpec.idle: true, or a command, in the application",
            self.name()
        );
        let what = "does not stay: its first process ends";
        Some(self.found(Cause::ContainerEnds, what, seen, next))
    }

    fn not_set_up(&self) -> Option<Finding> {
        let id = self.seen.container.id()?;
        let marks = &self.seen.marks;
        match marks.set_up(id) {
            SetUp::Done => None,
            SetUp::Failed => {
                let error = marks.error.as_ref()?;
                let what = format!("could not be set up: {}", error.detail);
                let next = format!(
                    "correct the setup package, or what it finds; then kubectl delete pod {}, which is set up \
                     anew",
                    self.name()
                );
                Some(self.found(Cause::SetUpFailed, &what, output(error), next))
            }
            SetUp::Open => {
                let trouble = marks.trouble.as_deref()?;
                if let Some(why) = trouble.strip_prefix(NO_SYSTEMD) {
                    let what = format!("needs systemd{why}");
                    let next = "use nodes that give containers their cgroups, or set containerSpec.idle for roles that \
                                need no systemd"
                        .to_owned();
                    return Some(self.found(Cause::SystemdNotRunning, &what, Vec::new(), next));
                }
                let what = format!("cannot be set up yet: {trouble}");
                let next = "it is tried again; where it is about a package or a file, see that its URL can be reached \
                            from the member"
                    .to_owned();
                Some(self.found(Cause::SetUpWaits, &what, Vec::new(), next))
            }
        }
    }

    /// It is to go, and does what it has to do before that.
    fn leaving(&self, now: Timestamp) -> Option<Finding> {
        let marks = &self.seen.marks;
        let since = marks.leaving?;
        let waits = now.duration_since(since).as_secs();
        let seen = vec![format!("it is to go since {since}")];
        let kept = |failed: bool| {
            if failed {
                "correct the application's drain; with onFailure: Hold the member stays until its drain ends \
                 well, or until as many members are wanted again as there are"
            } else {
                "wait for it: after the drain's timeoutSeconds it goes all the same, unless the application says \
                 onFailure: Hold"
            }
        };
        match &marks.drained {
            None => {
                let what = format!("does what it has to do before it goes, for {waits} s");
                let next = kept(false).to_owned();
                Some(self.found(Cause::Draining, &what, seen, next))
            }
            Some(drained) => match drained.outcome {
                DrainOutcome::Done | DrainOutcome::Late => None,
                DrainOutcome::Failed | DrainOutcome::Again => {
                    let what = format!(
                        "could not do what it has to do before it goes: {}",
                        drained.detail
                    );
                    let next = kept(true).to_owned();
                    Some(self.found(Cause::DrainFailed, &what, seen, next))
                }
            },
        }
    }

    fn not_told(&self) -> Option<Finding> {
        let pending = self.seen.marks.pending.as_ref();
        let pending = pending.filter(|it| it.failures > 0)?;
        let seen = vec![format!("it was tried {} times", pending.failures)];
        let what = format!("could not be told of others: {}", pending.detail);
        let next = "correct what its startscript does then; it is called again".to_owned();
        Some(self.found(Cause::NotTold, &what, seen, next))
    }

    fn not_ready(&self) -> Option<Finding> {
        let id = self.seen.container.id()?;
        if self.seen.ready || self.seen.marks.set_up(id) != SetUp::Done {
            return None;
        }
        let event = latest(self.evidence, "Pod", |event| {
            event["reason"] == "Unhealthy" && event["involvedObject"]["name"] == self.name()
        });
        let next = format!(
            "see what its service says: kubectl logs {0}, kubectl exec -it {0} -- sh",
            self.name()
        );
        let what = "is set up, and the check of its service does not hold";
        Some(self.found(
            Cause::NotReady,
            what,
            event.map(told).into_iter().collect(),
            next,
        ))
    }
}

/// The ends of what a script wrote.
fn output(error: &ConfigError) -> Vec<String> {
    let lines = |what: &str, text: &str| {
        let lines: Vec<String> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!("{what}: {}", one_line(line)))
            .collect();
        let skipped = lines.len().saturating_sub(OUTPUT_LINES);
        lines.into_iter().skip(skipped).collect::<Vec<_>>()
    };
    let mut seen = lines("stderr", &error.stderr);
    seen.extend(lines("stdout", &error.stdout));
    seen
}

fn status<'p>(pod: &'p Value, list_name: &str, container: &str) -> &'p Value {
    let mut all = list(&pod["status"][list_name]).iter();
    all.find(|it| it["name"] == container)
        .unwrap_or(&Value::Null)
}

/// How a container ended last.
fn end(status: &Value) -> Option<&Value> {
    let states = ["state", "lastState"].map(|of| &status[of]["terminated"]);
    states.into_iter().find(|it| it.is_object())
}

fn exit(ended: &Value) -> String {
    let code = ended["exitCode"].as_i64().unwrap_or_default();
    match text(&ended["reason"]) {
        "" => format!("exit code {code}"),
        reason => format!("exit code {code} ({reason})"),
    }
}
