//! The plan under tables of pods, and under worlds that misbehave.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::seen::ContainerSeen;
use super::{ImageSeen, Missing, Ongoing, Refusal, Sandbox, Seen, Step, plan};
use crate::proc::ProcessId;
use crate::shim::{Ending, Life};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn pod(spec: Value) -> Pod {
    let metadata = json!({"name": "p", "namespace": "ns", "uid": "u"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn deleted(mut pod: Pod, until: i64) -> Pod {
    let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(until));
    pod.metadata.deletion_timestamp = Some(time);
    pod.metadata.deletion_grace_period_seconds = Some(30);
    pod
}

fn deleted_at_once(pod: Pod, now: i64) -> Pod {
    let mut pod = deleted(pod, now);
    pod.metadata.deletion_grace_period_seconds = Some(0);
    pod
}

fn standing(containers: &[(&str, ContainerSeen)]) -> Seen {
    Seen {
        sandbox: Sandbox::Ready,
        missing: None,
        address: Some(Ipv4Addr::new(127, 20, 128, 1)),
        host: Some(Ipv4Addr::LOCALHOST),
        accepted_at: Some(at(0)),
        containers: containers
            .iter()
            .map(|(name, c)| ((*name).to_owned(), c.clone()))
            .collect(),
        limitations: vec![],
    }
}

fn running(attempt: u32) -> ContainerSeen {
    let life = Life::Running {
        process: ProcessId { pid: 7, start: 7 },
        started_at: at(1),
    };
    ContainerSeen {
        instance: Some((attempt, life)),
        image: ImageSeen::Present {
            id: "image".to_owned(),
        },
        started: true,
        ready: true,
        ..ContainerSeen::default()
    }
}

fn ended(attempt: u32, exit_code: i32, finished: i64) -> ContainerSeen {
    let ending = Ending {
        exit_code,
        signal: None,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: String::new(),
        started_at: Some(at(1)),
        finished_at: at(finished),
    };
    ContainerSeen {
        instance: Some((attempt, Life::Ended(ending))),
        image: ImageSeen::Present {
            id: "image".to_owned(),
        },
        streak: attempt,
        ..ContainerSeen::default()
    }
}

/// What was decided, in one line.
fn decide(pod: &Pod, seen: &Seen, now: i64) -> String {
    let decision = plan(pod, seen, at(now));
    let steps: Vec<String> = decision.steps.iter().map(show).collect();
    let wake = decision
        .wake_at
        .map(|wake| wake.duration_since(at(0)).as_secs());
    let phase = decision.status.phase.unwrap_or_default();
    let states: Vec<String> = decision
        .status
        .init_container_statuses
        .into_iter()
        .chain(decision.status.container_statuses)
        .flatten()
        .map(|status| {
            let state = status.state.unwrap_or_default();
            let word = match (state.waiting, state.running, state.terminated) {
                (Some(waiting), ..) => {
                    let reason = waiting.reason.unwrap_or_default();
                    let message = waiting.message.filter(|_| reason == "ContainerCreating");
                    message.map_or(reason.clone(), |message| format!("{reason}: {message}"))
                }
                (_, Some(_), _) if status.ready => "Ready".to_owned(),
                (_, Some(_), _) => "Running".to_owned(),
                (.., Some(ended)) => format!("Exit{}", ended.exit_code),
                _ => String::new(),
            };
            format!("{}={word}", status.name)
        })
        .collect();
    let wake = wake.map_or_else(String::new, |wake| format!(" wake@{wake}"));
    format!(
        "{phase} [{}] -> [{}]{wake}",
        states.join(" "),
        steps.join(", ")
    )
}

fn show(step: &Step) -> String {
    match step {
        Step::SetUp => "SetUp".to_owned(),
        Step::Start {
            container, attempt, ..
        } => format!("Start {container}#{attempt}"),
        Step::Stop {
            container,
            attempt,
            kill_at,
            ..
        } => {
            let kill_at = kill_at.duration_since(at(0)).as_secs();
            format!("Stop {container}#{attempt}@{kill_at}")
        }
        Step::TearDown => "TearDown".to_owned(),
        Step::Remove => "Remove".to_owned(),
    }
}

#[test]
fn a_pod_goes_through_its_life() {
    let one = |policy: &str| pod(json!({"restartPolicy": policy, "containers": [{"name": "a"}]}));
    let full = pod(json!({
        "restartPolicy": "OnFailure",
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}, {"name": "b"}],
    }));
    let bounded = pod(json!({"activeDeadlineSeconds": 60, "containers": [{"name": "a"}]}));
    let with = |change: fn(&mut ContainerSeen), mut seen: ContainerSeen| {
        change(&mut seen);
        seen
    };
    let missing = with(
        |seen| {
            let (reason, message) = ("ErrImagePull".to_owned(), "no".to_owned());
            seen.image = ImageSeen::Missing {
                reason,
                message,
                failures: 2,
                at: at(5),
            };
        },
        ContainerSeen::default(),
    );
    let refused = with(
        |seen| {
            let (reason, message) = ("CreateContainerConfigError".to_owned(), "no".to_owned());
            seen.refusal = Some(Refusal {
                reason,
                message,
                retry_at: at(9),
            });
        },
        ContainerSeen::default(),
    );
    let starting = with(
        |seen| seen.ongoing = Ongoing::Starting,
        ContainerSeen::default(),
    );
    let unstarted = with(|seen| seen.started = false, running(0));
    let condemned = with(
        |seen| seen.condemned = Some("liveness".to_owned()),
        running(0),
    );
    let stopping = with(
        |seen| seen.ongoing = Ongoing::Stopping { kill_at: at(40) },
        running(0),
    );
    let restarting = with(|seen| seen.ongoing = Ongoing::Starting, ended(0, 0, 12));
    let gone = |mut seen: Seen| {
        seen.sandbox = Sandbox::Gone;
        seen
    };
    let final_pod = |mut pod: Pod, phase: &str| {
        pod.status = serde_json::from_value(json!({"phase": phase})).unwrap();
        pod
    };
    let missing_volume = Some(Missing {
        since: at(0),
        why: "MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found".to_owned(),
    });
    let table: Vec<(&str, Pod, Seen, i64)> = vec![
        ("fresh", one("Always"), Seen::default(), 0),
        (
            "volume missing",
            one("Always"),
            Seen {
                sandbox: Sandbox::Waiting { retry_at: at(3) },
                missing: missing_volume.clone(),
                ..Seen::default()
            },
            0,
        ),
        (
            "volume missing, for long",
            one("Always"),
            Seen {
                sandbox: Sandbox::Waiting { retry_at: at(3) },
                missing: missing_volume,
                ..Seen::default()
            },
            2,
        ),
        ("walls are up", one("Always"), standing(&[]), 1),
        (
            "being started",
            one("Always"),
            standing(&[("a", starting)]),
            1,
        ),
        ("running", one("Always"), standing(&[("a", running(0))]), 2),
        (
            "image missing, at once",
            one("Always"),
            standing(&[("a", missing.clone())]),
            5,
        ),
        (
            "image missing, later",
            one("Always"),
            standing(&[("a", missing.clone())]),
            8,
        ),
        (
            "image missing, due",
            one("Always"),
            standing(&[("a", missing)]),
            25,
        ),
        ("refused", one("Always"), standing(&[("a", refused)]), 8),
        (
            "ended well, always",
            one("Always"),
            standing(&[("a", ended(0, 0, 5))]),
            5,
        ),
        (
            "failed again, always",
            one("Always"),
            standing(&[("a", ended(1, 1, 5))]),
            6,
        ),
        (
            "failed again, due",
            one("Always"),
            standing(&[("a", ended(1, 1, 5))]),
            15,
        ),
        (
            "ended well, on failure",
            one("OnFailure"),
            standing(&[("a", ended(0, 0, 5))]),
            5,
        ),
        (
            "failed, never",
            one("Never"),
            standing(&[("a", ended(0, 2, 5))]),
            5,
        ),
        (
            "failed, and known",
            final_pod(one("Never"), "Failed"),
            standing(&[("a", ended(0, 2, 5))]),
            6,
        ),
        (
            "failed, known, torn down",
            final_pod(one("Never"), "Failed"),
            gone(standing(&[("a", ended(0, 2, 5))])),
            7,
        ),
        ("condemned", one("Always"), standing(&[("a", condemned)]), 8),
        ("order: init first", full.clone(), standing(&[]), 1),
        (
            "order: sidecar next",
            full.clone(),
            standing(&[("i", ended(0, 0, 2))]),
            2,
        ),
        (
            "order: sidecar not started yet",
            full.clone(),
            standing(&[("i", ended(0, 0, 2)), ("s", unstarted)]),
            3,
        ),
        (
            "order: then all",
            full.clone(),
            standing(&[("i", ended(0, 0, 2)), ("s", running(0))]),
            4,
        ),
        (
            "order: sidecar goes last",
            full.clone(),
            standing(&[
                ("i", ended(0, 0, 2)),
                ("s", running(0)),
                ("a", ended(0, 0, 5)),
                ("b", ended(0, 0, 6)),
            ]),
            10,
        ),
        (
            "deleted",
            deleted(full.clone(), 40),
            standing(&[
                ("i", ended(0, 0, 2)),
                ("s", running(0)),
                ("a", running(0)),
                ("b", running(1)),
            ]),
            10,
        ),
        (
            "deleted, without grace",
            deleted_at_once(one("Always"), 10),
            standing(&[("a", running(0))]),
            10,
        ),
        (
            "deleted, asked already",
            deleted(one("Always"), 40),
            standing(&[("a", stopping.clone())]),
            11,
        ),
        (
            "deleted again, shorter",
            deleted(one("Always"), 12),
            standing(&[("a", stopping)]),
            11,
        ),
        (
            "deleted, all dead",
            deleted(one("Always"), 40),
            standing(&[("a", ended(0, 0, 12))]),
            13,
        ),
        (
            "deleted, the next start under way",
            deleted(one("Always"), 40),
            standing(&[("a", restarting)]),
            13,
        ),
        (
            "deleted, torn down",
            deleted(one("Always"), 40),
            gone(standing(&[("a", ended(0, 0, 12))])),
            14,
        ),
        (
            "deleted before it began",
            deleted(one("Always"), 0),
            Seen::default(),
            0,
        ),
        (
            "deadline ahead",
            bounded.clone(),
            standing(&[("a", running(0))]),
            30,
        ),
        (
            "deadline passed",
            bounded,
            standing(&[("a", running(0))]),
            60,
        ),
    ];
    let lines: Vec<String> = table
        .iter()
        .map(|(name, pod, seen, now)| format!("{name}: {}", decide(pod, seen, *now)))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// A world that carries steps out, with containers that end as they like.
struct World {
    pod: Pod,
    seen: Seen,
    now: Timestamp,
    starts: BTreeMap<String, u32>,
    /// Starts that were asked for and have not come to anything yet, with their attempts.
    coming: BTreeMap<String, u32>,
}

impl World {
    fn new(policy: &str) -> Self {
        let pod = pod(json!({
            "restartPolicy": policy,
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}],
        }));
        Self {
            pod,
            seen: Seen::default(),
            now: at(0),
            starts: BTreeMap::new(),
            coming: BTreeMap::new(),
        }
    }

    /// Plans and carries everything out; says whether the pod is removed.
    fn step(&mut self) -> Result<bool, TestCaseError> {
        let was_final = super::status::is_final(&self.pod);
        let decision = plan(&self.pod, &self.seen, self.now);
        if was_final {
            let before = self
                .pod
                .status
                .as_ref()
                .and_then(|status| status.phase.clone());
            prop_assert_eq!(
                &decision.status.phase,
                &before,
                "a final phase must not change"
            );
            let starts = decision
                .steps
                .iter()
                .any(|s| matches!(s, Step::Start { .. } | Step::SetUp));
            prop_assert!(!starts, "a pod that is over must not run anything");
        }
        self.pod.status = Some(decision.status);
        for step in decision.steps {
            match step {
                Step::SetUp => {
                    self.seen.sandbox = Sandbox::Ready;
                    self.seen.accepted_at.get_or_insert(self.now);
                }
                Step::Start {
                    container,
                    attempt,
                    streak,
                } => {
                    prop_assert_eq!(&self.seen.sandbox, &Sandbox::Ready);
                    let seen = self.seen.containers.entry(container.clone()).or_default();
                    prop_assert!(!seen.is_live(), "{container} must not run twice");
                    prop_assert_eq!(attempt, *self.starts.entry(container.clone()).or_default());
                    *self.starts.entry(container.clone()).or_default() += 1;
                    seen.ongoing = Ongoing::Starting;
                    seen.streak = streak;
                    self.coming.insert(container.clone(), attempt);
                    if container != "i" && container != "s" {
                        let first = self.seen.containers["i"].ending().map(|e| e.exit_code);
                        prop_assert_eq!(first, Some(0), "init containers come first");
                    }
                }
                Step::Stop {
                    container,
                    attempt,
                    kill_at,
                    ..
                } => {
                    let seen = self.seen.containers.entry(container).or_default();
                    prop_assert_eq!(seen.instance.as_ref().map(|(a, _)| *a), Some(attempt));
                    prop_assert!(seen.ending().is_none(), "what has ended is not stopped");
                    seen.ongoing = Ongoing::Stopping { kill_at };
                }
                Step::TearDown => {
                    let live = self.seen.containers.values().any(ContainerSeen::is_live);
                    prop_assert!(!live, "the walls must not fall on the living");
                    prop_assert!(self.coming.is_empty(), "nor on who is about to live");
                    self.seen.sandbox = Sandbox::Gone;
                }
                Step::Remove => return Ok(true),
            }
        }
        Ok(false)
    }

    /// What was asked to start runs.
    fn arrive(&mut self, name: &str) {
        if let Some(attempt) = self.coming.remove(name)
            && let Some(seen) = self.seen.containers.get_mut(name)
        {
            *seen = ContainerSeen {
                streak: seen.streak,
                ongoing: match seen.ongoing {
                    Ongoing::Starting => Ongoing::Nothing,
                    other => other,
                },
                ..running(attempt)
            };
        }
    }

    fn end(&mut self, name: &str, exit_code: i32) {
        let finished = self.now.duration_since(at(0)).as_secs();
        if let Some(seen) = self.seen.containers.get_mut(name)
            && let Some((attempt, Life::Running { .. })) = seen.instance
        {
            let streak = seen.streak;
            *seen = ContainerSeen {
                streak,
                ..ended(attempt, exit_code, finished)
            };
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_containers_keep_their_order_and_a_deleted_pod_goes(
        policy in prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")],
        happenings in proptest::collection::vec((0..4_usize, 0..4_usize, 0..3_i32, 0..400_i64), 0..60),
    ) {
        let mut world = World::new(policy);
        let names = ["i", "s", "a", "b"];
        for (starts, ends, exit_code, seconds) in happenings {
            prop_assert!(!world.step()?, "nobody asked for its removal");
            world.now += SignedDuration::from_secs(seconds);
            world.arrive(names[starts]);
            world.end(names[ends], exit_code);
        }
        world.pod = deleted(world.pod.clone(), world.now.duration_since(at(0)).as_secs() + 30);
        let mut removed = false;
        for _ in 0..20 {
            removed = world.step()?;
            if removed {
                break;
            }
            for name in names {
                world.end(name, 143);
                world.arrive(name);
            }
        }
        prop_assert!(removed, "a deleted pod must go");
    }
}
