//! Whatever happens to a schedule, its runs and its operator: the laws hold.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use windlass_api::spark::scheduled::{CatchUpPolicy, ConcurrencyPolicy};

use super::world::{Death, World, rhythm};
use crate::schedule::{History, RunState, plan};

#[derive(Debug, Clone)]
enum Happening {
    /// Nobody looks for a while, or the clock is set back.
    Time(i64),
    /// The operator wakes when it wants to, for some seconds.
    Awake(i64),
    /// The operator looks, and dies of it.
    Dies(Death),
    /// The n-th live run ends.
    Ends(usize, RunState),
    /// The n-th ended run is deleted by somebody.
    Deleted(usize),
    Suspend(bool),
    Schedule(&'static str),
    Trigger(u8),
    Concurrency(ConcurrencyPolicy),
    CatchUp(CatchUpPolicy),
    Deadline(Option<i64>),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    use Happening::{
        Awake, CatchUp, Concurrency, Deadline, Deleted, Dies, Ends, Schedule, Suspend, Time,
        Trigger,
    };
    let policies = vec![
        ConcurrencyPolicy::Allow,
        ConcurrencyPolicy::Forbid,
        ConcurrencyPolicy::Replace,
    ];
    let deaths = vec![
        Death::BeforeEffects,
        Death::AfterEffect(1),
        Death::AfterEffect(2),
    ];
    let schedules = vec![
        "@hourly",
        "*/7 * * * *",
        "@every 90s",
        "@every 20m",
        "0 3 * * *",
    ];
    let catch_ups = vec![
        CatchUpPolicy::Latest,
        CatchUpPolicy::All,
        CatchUpPolicy::None,
    ];
    prop_oneof![
        4 => (-600..4000_i64).prop_map(Time),
        4 => (1..4000_i64).prop_map(Awake),
        4 => select(deaths).prop_map(Dies),
        4 => (0..3_usize, select(vec![RunState::Succeeded, RunState::Failed]))
            .prop_map(|(number, state)| Ends(number, state)),
        1 => (0..3_usize).prop_map(Deleted),
        1 => any::<bool>().prop_map(Suspend),
        1 => select(schedules).prop_map(Schedule),
        1 => (0..4_u8).prop_map(Trigger),
        1 => select(policies).prop_map(Concurrency),
        1 => select(catch_ups).prop_map(CatchUp),
        1 => proptest::option::of(1..4000_i64).prop_map(Deadline),
    ]
}

/// The creation of a run twice is found by the world itself.
fn live(world: &mut World, happening: &Happening) {
    let before = world.created.len();
    let live_before = world.observed.live().count();
    match happening {
        Happening::Time(seconds) => {
            world.pass_time(*seconds);
        }
        Happening::Awake(seconds) => {
            let until = world.now + jiff::SignedDuration::from_secs(*seconds);
            world.live_until(&until.to_string());
        }
        Happening::Dies(death) => {
            world.pass(*death);
        }
        Happening::Ends(number, state) => {
            let name = world
                .observed
                .live()
                .nth(*number)
                .map(|run| run.name.clone());
            if let Some(name) = name {
                world.end(&name, *state);
            }
        }
        Happening::Deleted(number) => {
            // What nobody has seen cannot be told from what never was.
            let pending = world.status.pending_run.as_ref().map(|it| it.name.clone());
            let mut ended =
                world.observed.runs.iter().filter(|run| {
                    run.state != RunState::Live && Some(&run.name) != pending.as_ref()
                });
            let uid = ended.nth(*number).map(|run| run.uid.clone());
            world
                .observed
                .runs
                .retain(|run| Some(&run.uid) != uid.as_ref());
        }
        Happening::Suspend(suspend) => world.spec.suspend = *suspend,
        Happening::Schedule(schedule) => world.spec.rhythm = rhythm(schedule),
        // The same request, but never one that was asked before another.
        Happening::Trigger(more) => {
            let last = world.spec.trigger.as_deref().unwrap_or("0");
            let next = last.parse::<u32>().unwrap() + u32::from(*more);
            world.spec.trigger = Some(next.to_string());
        }
        Happening::Concurrency(policy) => world.spec.concurrency = *policy,
        Happening::CatchUp(policy) => world.spec.catch_up = *policy,
        Happening::Deadline(deadline) => world.spec.deadline = *deadline,
    }
    let started = world.created.len() - before;
    if world.spec.concurrency != ConcurrencyPolicy::Allow && started > 0 {
        let live_now = world.observed.live().count();
        assert!(
            live_now <= live_before.max(1),
            "runs overlap: {:?}",
            world.observed.runs
        );
    }
}

fn any_world() -> impl Strategy<Value = World> {
    (
        select(vec!["@hourly", "*/7 * * * *", "@every 90s", "0 3 * * *"]),
        0..3_usize,
        0..3_usize,
    )
        .prop_map(|(schedule, successful, failed)| {
            let mut world = World::new(schedule, "2026-03-01T01:00:30Z");
            world.spec.history = History { successful, failed };
            world
        })
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.story())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_time_is_run_twice_and_every_look_ends(
        mut world in any_world(),
        happenings in vec(any_happening(), 1..40),
    ) {
        for happening in &happenings {
            live(&mut world, happening);
        }
        world.settle();

        // Another look at the same time changes nothing.
        let (status, created) = (world.status.clone(), world.created.clone());
        let told = world.told.len();
        world.settle();
        prop_assert_eq!(&world.status, &status);
        prop_assert_eq!(&world.created, &created);
        prop_assert!(world.told[told..].is_empty(), "{:?}", &world.told[told..]);

        // What is kept is what the status tells of, and no more than was asked for.
        let ended = |state| world.observed.runs.iter().filter(|run| run.state == state).count();
        prop_assert!(ended(RunState::Succeeded) <= world.spec.history.successful);
        prop_assert!(ended(RunState::Failed) <= world.spec.history.failed);
        prop_assert_eq!(ended(RunState::Failed), status.past_failed_run_names.len());

        // It goes on: there is a next time, and a moment to look again at.
        let last = plan(&world.spec, &world.status, &world.observed, world.now);
        prop_assert_eq!(world.status.next_run.is_some(), !world.spec.suspend);
        prop_assert_eq!(last.wake_at.is_some(), !world.spec.suspend);
    }
}
