//! The decision itself: which containers start, which stop, and when the pod is over.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};

use super::backoff::{image_delay, restart_delay};
use super::seen::{ContainerSeen, ImageSeen, Ongoing, Sandbox, Seen};
use super::status;

/// The grace of a pod that names none.
const DEFAULT_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    /// What the pod's status should be; written before any step is taken.
    pub(crate) status: PodStatus,
    /// What to do now; each is harmless when repeated.
    pub(crate) steps: Vec<Step>,
    /// When to decide again even if nothing is heard.
    pub(crate) wake_at: Option<Timestamp>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the pod's walls: address, volumes, shim.
    SetUp,
    /// Start an instance of a container.
    Start {
        /// Its name.
        container: String,
        /// Which start it is, from 0.
        attempt: u32,
        /// How many starts in a row ended soon, this one included.
        streak: u32,
    },
    /// Ask a container to stop, and make it stop at the given time.
    Stop {
        /// Its name.
        container: String,
        /// The instance that is meant.
        attempt: u32,
        /// The end of its grace.
        kill_at: Timestamp,
        /// Why, for the event.
        why: String,
    },
    /// Nothing runs any more: let the walls go, keep the logs.
    TearDown,
    /// Remove the pod from the API; nothing of it is left here.
    Remove,
}

/// Where a container stands in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// Starts in the order of the init containers and stays.
    Sidecar,
    /// One of the pod's containers proper.
    Main,
}

/// When an ended container runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// Where a container stands in its own life, as far as the pod's order cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has to be started, at the given time at the earliest.
    Due {
        at: Timestamp,
        attempt: u32,
        streak: u32,
    },
    /// It runs, or is about to.
    Live { started: bool },
    /// It has ended for good.
    Done { success: bool },
}

/// Why everything must stop.
struct Verdict {
    kill_at: Timestamp,
    why: String,
    /// The phase and reason the pod ends with, where the containers' ends do not say it.
    failure: Option<(&'static str, &'static str)>,
}

/// Decides what a pod needs now.
pub(crate) fn plan(pod: &Pod, seen: &Seen, now: Timestamp) -> Decision {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut planner = Planner {
        pod,
        spec: &spec,
        seen,
        now,
        steps: Vec::new(),
        wake_at: None,
    };
    let deleting = pod.metadata.deletion_timestamp.is_some();
    let over = status::is_final(pod);
    let verdict = planner.verdict();
    let mut finished = false;
    if verdict.is_some() || over {
        let kill_at = verdict
            .as_ref()
            .map_or(now + DEFAULT_GRACE, |verdict| verdict.kill_at);
        let why = verdict
            .as_ref()
            .map_or("Stopping container", |verdict| &verdict.why);
        planner.stop_all(kill_at, why);
    } else {
        finished = planner.run();
    }
    let quiet = !seen.containers.values().any(ContainerSeen::is_live);
    let ending = quiet && (deleting || finished || over || verdict.is_some());
    let failure = verdict.and_then(|verdict| verdict.failure);
    let status = status::build(&planner.units(), pod, seen, now, ending, failure);
    // The walls fall only after the final status is known to everyone.
    if ending && (over || deleting) {
        match seen.sandbox {
            Sandbox::Gone if deleting => planner.steps.push(Step::Remove),
            Sandbox::Gone | Sandbox::Making => {}
            Sandbox::Absent | Sandbox::Waiting { .. } | Sandbox::Ready => {
                planner.steps.push(Step::TearDown);
            }
        }
    }
    Decision {
        status,
        steps: planner.steps,
        wake_at: planner.wake_at,
    }
}

struct Planner<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    seen: &'a Seen,
    now: Timestamp,
    steps: Vec<Step>,
    wake_at: Option<Timestamp>,
}

impl<'a> Planner<'a> {
    /// The pod's containers in the order they start.
    fn units(&self) -> Vec<(Role, &'a Container)> {
        let init = self.spec.init_containers.iter().flatten().map(|container| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            (if sidecar { Role::Sidecar } else { Role::Init }, container)
        });
        init.chain(
            self.spec
                .containers
                .iter()
                .map(|container| (Role::Main, container)),
        )
        .collect()
    }

    fn seen_of(&self, container: &Container) -> ContainerSeen {
        self.seen
            .containers
            .get(&container.name)
            .cloned()
            .unwrap_or_default()
    }

    fn verdict(&mut self) -> Option<Verdict> {
        if let Some(deletion) = &self.pod.metadata.deletion_timestamp {
            let why = "Stopping container".to_owned();
            return Some(Verdict {
                kill_at: deletion.0 + self.cut_off(),
                why,
                failure: None,
            });
        }
        if let Some(seconds) = self.spec.active_deadline_seconds
            && let Some(started) = self.seen.accepted_at
        {
            let deadline = started + SignedDuration::from_secs(seconds);
            if deadline <= self.now {
                return Some(Verdict {
                    kill_at: self.now + self.grace(),
                    why: "Pod was active on the node longer than the specified deadline".to_owned(),
                    failure: Some((
                        "DeadlineExceeded",
                        "Pod was active on the node longer than the specified deadline",
                    )),
                });
            }
            self.wake(deadline);
        }
        None
    }

    fn grace(&self) -> SignedDuration {
        let seconds = self.spec.termination_grace_period_seconds;
        seconds.map_or(DEFAULT_GRACE, SignedDuration::from_secs)
    }

    /// What the API server has cut off the time of a deletion, which it writes in whole seconds: a container
    /// never gets less than the grace that was asked for, as with a kubelet, which counts from its own start.
    /// Nothing where no grace was asked for.
    fn cut_off(&self) -> SignedDuration {
        let grace = self.pod.metadata.deletion_grace_period_seconds;
        SignedDuration::from_secs(i64::from(grace != Some(0)))
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Stops what runs: the containers proper first, sidecars after them, all before `kill_at`.
    fn stop_all(&mut self, kill_at: Timestamp, why: &str) {
        let (sidecars, others): (Vec<_>, Vec<_>) = self
            .units()
            .into_iter()
            .partition(|(role, _)| *role == Role::Sidecar);
        let mut waiting = false;
        for (_, container) in others {
            waiting |= self.stop(container, kill_at, why);
        }
        if !waiting || kill_at <= self.now {
            for (_, container) in sidecars.into_iter().rev() {
                self.stop(container, kill_at, why);
            }
        } else {
            self.wake(kill_at);
        }
    }

    /// Stops one container; says whether it still lives.
    fn stop(&mut self, container: &Container, kill_at: Timestamp, why: &str) -> bool {
        let seen = self.seen_of(container);
        if !seen.is_live() {
            return false;
        }
        // One that is being started cannot be asked yet, and the one before it need not be.
        let asked_already =
            matches!(seen.ongoing, Ongoing::Stopping { kill_at: asked } if asked <= kill_at);
        if let (Some(attempt), false) = (seen.live_attempt(), asked_already) {
            self.steps.push(Step::Stop {
                container: container.name.clone(),
                attempt,
                kill_at,
                why: why.to_owned(),
            });
        }
        true
    }

    /// Moves a pod that should run forward; says whether it is over.
    fn run(&mut self) -> bool {
        let units = self.units();
        let standings: Vec<(Role, &Container, Standing)> = units
            .iter()
            .map(|(role, container)| (*role, *container, self.standing(*role, container)))
            .collect();
        let main_done = standings
            .iter()
            .filter(|(role, ..)| *role == Role::Main)
            .all(|(.., standing)| matches!(standing, Standing::Done { .. }));
        let init_failed = standings.iter().any(|(role, _, standing)| {
            *role == Role::Init && *standing == Standing::Done { success: false }
        });
        if main_done || init_failed {
            let kill_at = self.now + self.grace();
            for (_, container) in units
                .iter()
                .rev()
                .filter(|(role, _)| *role == Role::Sidecar)
            {
                self.stop(container, kill_at, "Stopping container");
            }
            return true;
        }
        match self.seen.sandbox {
            Sandbox::Ready => {}
            Sandbox::Absent | Sandbox::Gone => {
                self.steps.push(Step::SetUp);
                return false;
            }
            Sandbox::Waiting { retry_at } if retry_at <= self.now => {
                self.steps.push(Step::SetUp);
                return false;
            }
            Sandbox::Waiting { retry_at } => {
                self.wake(retry_at);
                return false;
            }
            Sandbox::Making => return false,
        }
        for (_, container, _) in &standings {
            self.replace_condemned(container);
        }
        let initialized = units
            .iter()
            .any(|(role, c)| *role == Role::Main && self.seen_of(c).instance.is_some());
        for (role, container, standing) in standings {
            if initialized && role == Role::Init {
                continue;
            }
            self.start_if_due(container, standing);
            let blocks = !initialized
                && match (role, standing) {
                    (Role::Main, _) | (_, Standing::Done { .. }) => false,
                    (Role::Sidecar, Standing::Live { started }) => !started,
                    (Role::Init | Role::Sidecar, _) => true,
                };
            if blocks {
                break;
            }
        }
        false
    }

    fn replace_condemned(&mut self, container: &Container) {
        let seen = self.seen_of(container);
        if let Some(why) = &seen.condemned {
            let probe = container
                .liveness_probe
                .as_ref()
                .or(container.startup_probe.as_ref());
            let grace = probe
                .and_then(|probe| probe.termination_grace_period_seconds)
                .map_or_else(|| self.grace(), SignedDuration::from_secs);
            self.stop(container, self.now + grace, why);
            if let Ongoing::Stopping { kill_at } = seen.ongoing {
                self.wake(kill_at);
            }
        }
    }

    fn standing(&self, role: Role, container: &Container) -> Standing {
        let seen = self.seen_of(container);
        if seen.is_live() || seen.ongoing != Ongoing::Nothing {
            return Standing::Live {
                started: seen.started,
            };
        }
        let mut at = self.now;
        if let ImageSeen::Missing {
            failures, at: last, ..
        } = &seen.image
        {
            at = at.max(*last + image_delay(*failures));
        }
        if let Some(refusal) = &seen.refusal {
            at = at.max(refusal.retry_at);
        }
        let Some((attempt, _)) = seen.instance else {
            return Standing::Due {
                at,
                attempt: 0,
                streak: 0,
            };
        };
        let Some(ending) = seen.ending() else {
            return Standing::Live {
                started: seen.started,
            };
        };
        let success = ending.exit_code == 0;
        let again = match self.restart_policy(role) {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !success,
            RestartPolicy::Never => false,
        };
        if !again {
            return Standing::Done { success };
        }
        let streak = next_streak(&seen);
        let earliest = ending.finished_at + restart_delay(streak);
        Standing::Due {
            at: at.max(earliest),
            attempt: attempt + 1,
            streak,
        }
    }

    fn restart_policy(&self, role: Role) -> RestartPolicy {
        match (role, self.spec.restart_policy.as_deref()) {
            (Role::Sidecar, _) => RestartPolicy::Always,
            (_, Some("Never")) => RestartPolicy::Never,
            (Role::Init, _) | (Role::Main, Some("OnFailure")) => RestartPolicy::OnFailure,
            (Role::Main, _) => RestartPolicy::Always,
        }
    }

    fn start_if_due(&mut self, container: &Container, standing: Standing) {
        match standing {
            Standing::Due {
                at,
                attempt,
                streak,
            } if at <= self.now => {
                let container = container.name.clone();
                self.steps.push(Step::Start {
                    container,
                    attempt,
                    streak,
                });
            }
            Standing::Due { at, .. } => {
                self.wake(at);
                // A missing image shows first as an error, then as a wait.
                if let ImageSeen::Missing { at: looked, .. } = self.seen_of(container).image
                    && looked + status::IMAGE_ERROR_SHOWN > self.now
                {
                    self.wake(looked + status::IMAGE_ERROR_SHOWN);
                }
            }
            Standing::Live { .. } | Standing::Done { .. } => {}
        }
    }
}

/// How many short lives in a row the next start would follow.
pub(super) fn next_streak(seen: &ContainerSeen) -> u32 {
    let long = seen.ending().is_some_and(|ending| {
        ending.started_at.is_some_and(|started| {
            ending.finished_at.duration_since(started) >= super::backoff::FORGIVEN_AFTER
        })
    });
    if long {
        1
    } else {
        seen.streak.saturating_add(1)
    }
}
