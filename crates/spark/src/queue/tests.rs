use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_engine::Object;

use super::*;

const CPU: u64 = 1000;
const GIB: u64 = 1 << 30;

fn share(cpu: u64, gib: u64) -> Share {
    Share {
        milli_cpu: cpu * CPU,
        memory: gib * GIB,
    }
}

fn quota(name: &str, hard: Value) -> Object {
    Object::new(json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": "jobs"}, "spec": {"hard": hard},
    }))
}

fn limits(hard: Value) -> Policy {
    Policy::of(&[quota("spark", hard)], &Policy::default())
}

fn usage(applications: u64, share: Share) -> Usage {
    Usage {
        applications,
        share,
    }
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Go => "go".to_owned(),
        Verdict::Wait { position, bound } => match bound {
            Some(bound) => format!("{position}: {bound}"),
            None => format!("{position}: after the others"),
        },
        Verdict::TooLarge { bound } => format!("too large: {bound}"),
    }
}

#[test]
fn whose_turn_it_is_follows_from_who_is_there() {
    let nobody = Usage::default();
    let running = json!({"windlass.dev/running": "2"});
    let resources = json!({"windlass.dev/cpu": "8", "windlass.dev/memory": "10Gi"});
    let cases = [
        (
            "no limit that matters",
            json!({"pods": "5"}),
            nobody,
            nobody,
            "go",
        ),
        ("an empty house", running.clone(), nobody, nobody, "go"),
        (
            "one place left",
            running.clone(),
            usage(1, share(90, 90)),
            nobody,
            "go",
        ),
        (
            "no place left",
            running.clone(),
            usage(2, share(0, 0)),
            nobody,
            "1: windlass.dev/running of ResourceQuota spark is 2",
        ),
        (
            "one place left and somebody before it",
            running.clone(),
            usage(1, share(0, 0)),
            usage(1, share(0, 0)),
            "2: after the others",
        ),
        (
            "nothing may run",
            json!({"windlass.dev/running": "0"}),
            nobody,
            nobody,
            "1: windlass.dev/running of ResourceQuota spark is 0",
        ),
        (
            "just enough resources",
            resources.clone(),
            usage(1, share(5, 6)),
            nobody,
            "go",
        ),
        (
            "too little cpu left",
            resources.clone(),
            usage(1, share(6, 0)),
            nobody,
            "1: windlass.dev/cpu of ResourceQuota spark is 8",
        ),
        (
            "too little memory left",
            resources.clone(),
            usage(1, share(1, 7)),
            usage(3, share(1, 1)),
            "4: windlass.dev/memory of ResourceQuota spark is 10Gi",
        ),
        (
            "a large one before it is not passed",
            resources.clone(),
            usage(1, share(1, 1)),
            usage(1, share(7, 7)),
            "2: after the others",
        ),
        (
            "larger than all there is",
            json!({"windlass.dev/cpu": "2500m"}),
            nobody,
            nobody,
            "too large: windlass.dev/cpu of ResourceQuota spark is 2500m",
        ),
    ];
    for (what, hard, held, ahead, expected) in cases {
        let standing = Standing {
            policy: limits(hard),
            held,
            claimed_before: nobody,
            claimed_behind: nobody,
            ahead,
        };
        assert_eq!(said(&decide(&standing, share(3, 4))), expected, "{what}");
    }
}

#[test]
fn of_those_let_in_at_once_the_first_ones_go_on() {
    let among = |held, claimed_before, claimed_behind| Standing {
        policy: limits(json!({"windlass.dev/running": "3"})),
        held: usage(held, Share::default()),
        claimed_before: usage(claimed_before, Share::default()),
        claimed_behind: usage(claimed_behind, Share::default()),
        ahead: Usage::default(),
    };
    for (held, before, behind, expected) in [
        (0, 0, 0, Claim::Stands),
        (1, 1, 0, Claim::Stands),
        (0, 0, 2, Claim::Stands),
        (0, 0, 3, Claim::Awaits),
        (1, 1, 1, Claim::Awaits),
        (2, 1, 0, Claim::StepsBack),
        (3, 0, 0, Claim::StepsBack),
        (0, 3, 7, Claim::StepsBack),
    ] {
        let standing = among(held, before, behind);
        let case = format!("{held} {before} {behind}");
        assert_eq!(confirm(&standing, Share::default()), expected, "{case}");
    }
}

#[test]
fn the_lowest_limit_of_the_quotas_holds_and_the_operators_where_they_say_nothing() {
    let defaults = Policy::defaults(Some(9), None, "64Gi".parse().ok());
    let quotas = [
        quota("a", json!({"windlass.dev/running": "5"})),
        quota("b", json!({"windlass.dev/running": 4, "requests.cpu": "1"})),
    ];
    let policy = Policy::of(&quotas, &defaults);
    let told = |bound: &Option<Bound>| bound.as_ref().map(ToString::to_string);
    assert_eq!(
        told(&policy.running).as_deref(),
        Some("windlass.dev/running of ResourceQuota b is 4")
    );
    assert_eq!(policy.milli_cpu, None);
    assert_eq!(
        told(&policy.memory).as_deref(),
        Some("--max-memory of the operator is 64Gi")
    );
    assert!(!policy.is_open());
    assert!(Policy::of(&[], &Policy::default()).is_open());
}

#[test]
fn positions_are_told_so_that_they_seldom_change() {
    let told: Vec<String> = [1, 10, 11, 20, 21, 100, 101, 250]
        .map(|position| Position(position).to_string())
        .into();
    assert_eq!(
        told,
        [
            "position 1",
            "position 10",
            "position over 10",
            "position over 10",
            "position over 20",
            "position over 90",
            "position over 100",
            "position over 200",
        ]
    );
}

fn application(name: &str, priority: i64, created: i64, status: Value) -> Object {
    let created = jiff::Timestamp::from_second(1_772_366_400 + created).unwrap();
    Object::new(json!({
        "kind": "SparkApplication",
        "metadata": {
            "name": name, "namespace": "jobs", "creationTimestamp": created.to_string(),
            "annotations": {PRIORITY: priority.to_string()},
        },
        "status": status,
    }))
}

#[test]
fn a_place_is_told_from_the_application_alone() {
    let asks = json!({"cpu": "1500m", "memory": "1Gi"});
    let let_in = json!({"cpu": "1500m", "memory": "1Gi", "admittedTime": "2026-03-01T12:00:00Z"});
    let known = Share {
        milli_cpu: 1500,
        memory: GIB,
    };
    let unknown = Share::default();
    let cases = [
        ("", Value::Null, Place::Outside),
        ("", asks.clone(), Place::Waits(known)),
        ("PENDING_RERUN", asks.clone(), Place::Waits(known)),
        ("", let_in.clone(), Place::Claims(known)),
        ("RESUMING", let_in.clone(), Place::Claims(known)),
        ("RUNNING", let_in.clone(), Place::Holds(known)),
        ("FAILING", let_in.clone(), Place::Holds(known)),
        ("RUNNING", Value::Null, Place::Holds(unknown)),
        ("UNKNOWN", Value::Null, Place::Holds(unknown)),
        ("a state of tomorrow", let_in.clone(), Place::Holds(known)),
        ("COMPLETED", let_in.clone(), Place::Outside),
        ("SUSPENDED", let_in.clone(), Place::Outside),
        ("SUBMISSION_FAILED", let_in, Place::Outside),
    ];
    for (state, admission, expected) in cases {
        let status = json!({"applicationState": {"state": state}, "admission": admission});
        let entry = Entry::of(&application("a", 0, 0, status));
        assert_eq!(entry.place, expected, "{state:?}");
    }
    let retried = json!({
        "applicationState": {"state": "PENDING_RERUN"},
        "admission": {"cpu": "1500m", "memory": "1Gi", "admittedTime": "2026-03-01T12:00:00Z"},
        "attempt": {"createdTime": "2026-03-01T12:09:00Z"},
    });
    let entry = Entry::of(&application("a", 0, 0, retried));
    assert_eq!(entry.place, Place::Holds(known), "kept for a retry");
}

#[test]
fn those_that_wait_stand_by_priority_then_age_then_name() {
    let waits = json!({"admission": {"cpu": "1", "memory": "1"}});
    let line: Line = [("old", 0, 1), ("b", 0, 5), ("a", 0, 5), ("urgent", 7, 9)]
        .map(|(name, priority, created)| application(name, priority, created, waits.clone()))
        .iter()
        .map(Entry::of)
        .collect();
    let names: Vec<&str> = line.waiting().map(|name| &**name).collect();
    assert_eq!(names, ["urgent", "old", "a", "b"]);
}

#[test]
fn what_could_not_run_alone_holds_up_nobody() {
    let waits = |cpu: &str| json!({"admission": {"cpu": cpu, "memory": "1"}});
    let small = application("small", 0, 5, waits("2"));
    let line: Line = [application("huge", 0, 1, waits("9")), small.clone()]
        .iter()
        .map(Entry::of)
        .collect();
    let policy = limits(json!({"windlass.dev/cpu": "4"}));
    let standing = line.standing(&Rank::of(&small), policy);
    assert_eq!(decide(&standing, share(2, 0)), Verdict::Go);
}

#[test]
fn whoever_leaves_wakes_the_next_ones() {
    let ledger = Ledger::default();
    let waits = json!({"admission": {"cpu": "1", "memory": "1"}});
    let runs = application(
        "first",
        0,
        0,
        json!({"applicationState": {"state": "RUNNING"}}),
    );
    assert!(ledger.changed(None, Some(&runs)).is_empty());
    for number in 0..9 {
        let one = application(&format!("w{number}"), 0, number, waits.clone());
        assert!(!ledger.changed(None, Some(&one)).is_empty());
        assert!(
            ledger.changed(Some(&one), Some(&one)).is_empty(),
            "nothing changed"
        );
    }
    let done = json!({"applicationState": {"state": "COMPLETED"}});
    let done = application("first", 0, 0, done);
    let woken = ledger.changed(Some(&runs), Some(&done));
    let names: Vec<String> = woken.iter().map(|key| key.to_string()).collect();
    assert_eq!(names, ["jobs/w0", "jobs/w1", "jobs/w2", "jobs/w3"]);
    assert_eq!(ledger.waiting("jobs").len(), 9);
    assert_eq!(ledger.waiting("elsewhere").len(), 0);
}

/// What becomes of an application of the little world below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waits,
    /// Its status says that it was let in.
    LetIn,
    /// It has seen that there is room; its driver is being created.
    Checked,
    Runs,
    Done,
}

#[derive(Debug, Clone)]
struct Job {
    priority: i64,
    created: i64,
    cpu: u64,
    stage: Stage,
}

impl Job {
    fn object(&self, number: usize) -> Object {
        let admitted = match self.stage {
            Stage::Waits => Value::Null,
            _ => json!("2026-03-01T12:00:00Z"),
        };
        let state = match self.stage {
            Stage::Waits | Stage::LetIn | Stage::Checked => "",
            Stage::Runs => "RUNNING",
            Stage::Done => "COMPLETED",
        };
        let status = json!({
            "applicationState": {"state": state},
            "admission": {"cpu": self.cpu.to_string(), "memory": "1", "admittedTime": admitted},
        });
        application(
            &format!("job-{number}"),
            self.priority,
            self.created,
            status,
        )
    }

    fn share(&self) -> Share {
        Share {
            milli_cpu: self.cpu * CPU,
            memory: 1,
        }
    }
}

fn line(jobs: &[Job]) -> Line {
    let objects = jobs
        .iter()
        .enumerate()
        .map(|(number, job)| job.object(number));
    objects.map(|object| Entry::of(&object)).collect()
}

/// One job makes its next step, deciding by a line that may be of the past.
fn step(jobs: &mut [Job], number: usize, seen: &Line, policy: &Policy) {
    let me = Rank::of(&jobs[number].object(number));
    let share = jobs[number].share();
    jobs[number].stage = match jobs[number].stage {
        Stage::Waits => match decide(&seen.standing(&me, policy.clone()), share) {
            Verdict::Go => Stage::LetIn,
            Verdict::Wait { .. } | Verdict::TooLarge { .. } => Stage::Waits,
        },
        Stage::LetIn => match confirm(&line(jobs).standing(&me, policy.clone()), share) {
            Claim::Stands => Stage::Checked,
            Claim::Awaits => Stage::LetIn,
            Claim::StepsBack => Stage::Waits,
        },
        Stage::Checked => Stage::Runs,
        Stage::Runs | Stage::Done => Stage::Done,
    };
}

fn any_jobs() -> impl Strategy<Value = Vec<Job>> {
    let job = (0..3_i64, 0..4_i64, 1..5_u64).prop_map(|(priority, created, cpu)| Job {
        priority,
        created,
        cpu,
        stage: Stage::Waits,
    });
    prop::collection::vec(job, 1..12)
}

proptest! {
    #[test]
    fn however_late_news_travel_the_limits_hold_and_everybody_runs(
        mut jobs in any_jobs(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize), 0..120),
        running in 1..4_u64,
        cpu in 4..9_u64,
    ) {
        let policy = limits(json!({
            "windlass.dev/running": running.to_string(), "windlass.dev/cpu": cpu.to_string(),
        }));
        let mut past = vec![line(&jobs)];
        let holds = |jobs: &[Job]| {
            let runs = jobs.iter().filter(|job| matches!(job.stage, Stage::Checked | Stage::Runs));
            runs.fold(Usage::default(), |sum, job| sum.and(job.share()))
        };
        for (index, back) in steps {
            let number = index.index(jobs.len());
            let seen = past[past.len().saturating_sub(1 + back)].clone();
            step(&mut jobs, number, &seen, &policy);
            prop_assert_eq!(policy.exceeded_by(holds(&jobs)), None);
            past.push(line(&jobs));
        }
        for _ in 0..80 {
            for number in 0..jobs.len() {
                let now = line(&jobs);
                step(&mut jobs, number, &now, &policy);
                prop_assert_eq!(policy.exceeded_by(holds(&jobs)), None);
            }
        }
        prop_assert!(jobs.iter().all(|job| job.stage == Stage::Done), "{:?}", jobs);
    }

    #[test]
    fn nobody_takes_the_room_of_one_that_waits_before_him(mut jobs in any_jobs(), running in 1..4_u64) {
        let policy = limits(json!({
            "windlass.dev/running": running.to_string(), "windlass.dev/cpu": "6",
        }));
        for _ in 0..80 {
            for number in 0..jobs.len() {
                let waited = jobs[number].stage == Stage::Waits;
                let before = line(&jobs);
                step(&mut jobs, number, &before, &policy);
                if !waited || jobs[number].stage != Stage::LetIn {
                    continue;
                }
                // Whoever waits before it has his room all the same.
                let me = Rank::of(&jobs[number].object(number));
                let after = line(&jobs);
                for (other, job) in jobs.iter().enumerate() {
                    let rank = Rank::of(&job.object(other));
                    if job.stage == Stage::Waits && rank < me {
                        let standing = after.standing(&rank, policy.clone());
                        prop_assert_eq!(decide(&standing, job.share()), Verdict::Go);
                    }
                }
            }
        }
        prop_assert!(jobs.iter().all(|job| job.stage == Stage::Done));
    }

    #[test]
    fn the_line_at_hand_is_the_line_there_is(
        changes in prop::collection::vec((0..5_usize, 0..3_i64, 0..4_u8), 1..60),
    ) {
        let ledger = Ledger::default();
        let mut there: std::collections::BTreeMap<usize, Object> = Default::default();
        let policy = limits(json!({"windlass.dev/running": "1"}));
        for (number, priority, what) in changes {
            let stage = [Stage::Waits, Stage::LetIn, Stage::Runs, Stage::Done][what as usize];
            let job = Job { priority, created: 0, cpu: 1, stage };
            let new = (what < 3).then(|| job.object(number));
            let old = match &new {
                Some(new) => there.insert(number, new.clone()),
                None => there.remove(&number),
            };
            ledger.changed(old.as_ref(), new.as_ref());
            let line: Line = there.values().map(Entry::of).collect();
            let me = Rank::of(&application("me", 1, 0, Value::Null));
            prop_assert_eq!(
                ledger.standing("jobs", &me, policy.clone()),
                line.standing(&me, policy.clone())
            );
        }
    }
}
