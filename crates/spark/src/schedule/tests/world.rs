//! A small world of one schedule and its runs, in which a test moves the clock, ends runs and kills
//! the operator.

use jiff::{SignedDuration, Timestamp};
use windlass_api::schedule::{Schedule, Zone};
use windlass_api::spark::scheduled::{
    CatchUpPolicy, ConcurrencyPolicy, ScheduledSparkApplicationStatus as Status,
};

use crate::schedule::{Action, Decision, History, Observed, Rhythm, Run, RunState, Spec, plan};

/// How many rounds of a pass lead to a status that stays.
const ROUNDS: usize = 5;
/// How many passes lead to rest: two for each run that is made up for, and some.
const PASSES: usize = 300;

/// What came of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Something was done, or would have been.
    Acted,
    /// There was nothing to do.
    Quiet,
}

pub(super) struct World {
    pub(super) spec: Spec,
    pub(super) status: Status,
    pub(super) observed: Observed,
    pub(super) now: Timestamp,
    /// Every run there ever was, in the order of their creation.
    pub(super) created: Vec<String>,
    /// What was told, as `Reason: note`.
    pub(super) told: Vec<String>,
    /// The last decision, which asked for nothing more.
    pub(super) last: Option<Decision>,
}

/// When an operator dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    Never,
    /// Before the first effect of a pass.
    BeforeEffects,
    /// After the n-th effect of a pass.
    AfterEffect(usize),
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(super) fn rhythm(schedule: &str) -> Rhythm {
    Rhythm::Times(Box::new(Schedule::new(schedule, Zone::utc()).unwrap()))
}

impl World {
    pub(super) fn new(schedule: &str, now: &str) -> Self {
        Self {
            spec: Spec {
                name: "report".to_owned(),
                generation: 1,
                deleting: false,
                suspend: false,
                rhythm: rhythm(schedule),
                concurrency: ConcurrencyPolicy::Allow,
                catch_up: CatchUpPolicy::Latest,
                deadline: None,
                history: History {
                    successful: 1,
                    failed: 1,
                },
                trigger: None,
            },
            status: Status::default(),
            observed: Observed::default(),
            now: at(now),
            created: Vec::new(),
            told: Vec::new(),
            last: None,
        }
    }

    /// Looks until there is nothing left to do.
    pub(super) fn settle(&mut self) -> &mut Self {
        for _ in 0..PASSES {
            if self.pass(Death::Never) == Pass::Quiet {
                return self;
            }
        }
        panic!("there is always more to do: {}", self.story());
    }

    /// One pass, as the engine makes it: a status that differs is written, then the effects run.
    pub(super) fn pass(&mut self, death: Death) -> Pass {
        for _ in 0..ROUNDS {
            let decision = plan(&self.spec, &self.status, &self.observed, self.now);
            if decision.status != self.status {
                self.status = decision.status.clone();
                self.tell(&decision);
                continue;
            }
            if decision.actions.is_empty() {
                self.tell(&decision);
                self.last = Some(decision);
                return Pass::Quiet;
            }
            if death == Death::BeforeEffects {
                return Pass::Acted;
            }
            self.tell(&decision);
            for (number, action) in (1..).zip(&decision.actions) {
                self.act(action);
                if death == Death::AfterEffect(number) {
                    break;
                }
            }
            return Pass::Acted;
        }
        panic!("the status never stays: {}", self.story());
    }

    fn tell(&mut self, decision: &Decision) {
        let notes = decision.notes.iter();
        self.told
            .extend(notes.map(|note| format!("{}: {}", note.reason, note.note)));
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::CreateRun(pending) => {
                assert!(
                    !self.created.contains(&pending.name),
                    "{} was run twice",
                    pending.name
                );
                self.created.push(pending.name.clone());
                self.add(&pending.name, RunState::Live);
            }
            Action::DeleteRun { name, uid } => {
                self.observed
                    .runs
                    .retain(|run| run.name != *name || run.uid != *uid);
            }
        }
    }

    pub(super) fn add(&mut self, name: &str, state: RunState) {
        self.observed.runs.push(Run {
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            created: self.now,
            state,
            deleting: false,
        });
    }

    /// The run ends.
    pub(super) fn end(&mut self, name: &str, state: RunState) -> &mut Self {
        let run = self.observed.runs.iter_mut().find(|run| run.name == name);
        run.unwrap_or_else(|| panic!("{name} exists")).state = state;
        self
    }

    pub(super) fn pass_time(&mut self, seconds: i64) -> &mut Self {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
        self
    }

    /// Goes to a time as an operator that is awake: it looks whenever it wanted to.
    pub(super) fn live_until(&mut self, until: &str) -> &mut Self {
        let until = at(until);
        self.settle();
        while let Some(wake_at) = self.last.as_ref().and_then(|last| last.wake_at)
            && wake_at <= until
        {
            assert!(wake_at > self.now, "it wakes at once, again and again");
            self.now = wake_at;
            self.settle();
        }
        self.now = until;
        self.settle()
    }

    pub(super) fn runs(&self) -> Vec<&str> {
        let runs = self.observed.runs.iter();
        runs.map(|run| run.name.as_str()).collect()
    }

    pub(super) fn next_run(&self) -> Option<String> {
        self.status.next_run.as_ref().map(|next| next.0.to_string())
    }

    /// What happened, for a snapshot.
    pub(super) fn story(&self) -> String {
        let status = serde_json::to_value(&self.status).unwrap();
        let status = windlass_api::parse::to_yaml(&status).unwrap();
        format!(
            "at {}\ntold:\n  {}\ncreated: {:?}\nruns: {:?}\nwake: {:?}\nstatus:\n{status}",
            self.now,
            self.told.join("\n  "),
            self.created,
            self.runs(),
            self.last
                .as_ref()
                .and_then(|last| last.wake_at)
                .map(|wake_at| wake_at.to_string()),
        )
    }
}
