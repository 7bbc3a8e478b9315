//! What happens to clusters whose workers are as many as there is a use for.

use proptest::prelude::*;
use windlass_engine::plan::EventNote;

use super::stories::{calls, happenings, wish};
use super::*;

/// Seconds for which fewer must have been wanted before some go.
const DELAY: i64 = 300;

fn up(demand: Demand) -> World {
    let mut world = World::new(wish(0));
    world.demand = Some(demand);
    world.settle();
    calls(&mut world);
    world
}

fn workers(world: &World) -> usize {
    world.pods.values().filter(|it| it.role == "worker").count()
}

/// How many workers are not on their way out.
fn staying(world: &World) -> usize {
    let workers = world.pods.values().filter(|it| it.role == "worker");
    let stay = workers.filter(|it| PodMarks::read(&it.annotations).leaving.is_none());
    stay.count()
}

/// The operator looks, and its questions are answered, for so many seconds.
fn wait(world: &mut World, seconds: i64) {
    let end = world.now + SignedDuration::from_secs(seconds);
    while world.now < end {
        world.pass(None);
        for key in world.hooks.keys().cloned().collect::<Vec<HookKey>>() {
            if world.hooks[&key] == HookState::Running {
                world.exec(&key);
            }
        }
        world.now += SignedDuration::from_secs(5);
    }
}

fn condition(world: &World, kind: &str) -> String {
    let conditions = world.status.conditions.iter();
    let found = conditions.filter(|it| it.type_ == kind);
    let mut found = found.map(|it| format!("{} {}: {}", it.status, it.reason, it.message));
    found.next().unwrap_or_default()
}

fn worker_status(world: &World) -> &windlass_api::director::cluster::AutoscaleStatus {
    let mut roles = world.status.roles.iter();
    let role = roles.find(|it| it.id == "worker").unwrap();
    role.autoscale.as_ref().unwrap()
}

/// What is told by a plan of this moment.
fn told(world: &World) -> Vec<String> {
    let line = |event: &EventNote| format!("{}: {}", event.reason, event.note);
    world.plan().events.iter().map(line).collect()
}

#[test]
fn it_begins_with_the_fewest_and_has_as_many_as_are_wanted() {
    let mut world = up(Demand::Wants(0));
    assert_eq!(workers(&world), 1);
    world.demand = Some(Demand::Wants(3));
    world.settle();
    assert_eq!(workers(&world), 3);
    let add = "--addnodes --nodegroup 1 --role worker --fqdns worker-1,worker-2";
    assert_eq!(calls(&mut world)[0], format!("controller-0: {add}"));
    world.demand = Some(Demand::Wants(9));
    world.settle();
    assert_eq!(workers(&world), 4);
    insta::assert_snapshot!(
        [
            condition(&world, "ScalingActive"),
            condition(&world, "ScalingLimited"),
            format!("{:?}", worker_status(&world)),
        ]
        .join("\n")
    );
}

#[test]
fn some_go_when_fewer_were_wanted_for_the_whole_delay_and_are_drained() {
    let mut world = up(Demand::Wants(3));
    world.demand = Some(Demand::Wants(1));
    wait(&mut world, DELAY - 30);
    assert_eq!(staying(&world), 3);
    // Once it was more again, the delay begins anew.
    world.demand = Some(Demand::Wants(3));
    wait(&mut world, 20);
    world.demand = Some(Demand::Wants(1));
    wait(&mut world, DELAY - 30);
    assert_eq!(staying(&world), 3);
    // What was wanted in between stays.
    world.demand = Some(Demand::Wants(2));
    wait(&mut world, 60);
    assert_eq!(staying(&world), 2);
    world.settle();
    assert_eq!(workers(&world), 2);
    let told = calls(&mut world);
    assert_eq!(
        told.last().unwrap(),
        "worker-2: --decommission",
        "{told:#?}"
    );
}

#[test]
fn what_is_decided_is_told_once() {
    let mut world = up(Demand::Wants(1));
    world.demand = Some(Demand::Wants(2));
    let mut all = Vec::new();
    for _ in 0..8 {
        all.extend(told(&world));
        wait(&mut world, 5);
    }
    all.retain(|it| it.starts_with("Scaled"));
    assert_eq!(
        all,
        ["ScaledUp: worker grows from 1 to 2 members: 2 wanted"]
    );
    world.settle();
    world.demand = Some(Demand::Wants(0));
    let mut all = Vec::new();
    for _ in 0..90 {
        all.extend(told(&world));
        wait(&mut world, 5);
    }
    all.retain(|it| it.starts_with("Scaled"));
    assert_eq!(all.len(), 1, "{all:#?}");
    let begin = "ScaledDown: worker shrinks from 2 to 1 members: no more than 1 wanted since";
    assert!(all[0].starts_with(begin), "{all:#?}");
}

#[test]
fn while_nobody_knows_nobody_comes_or_goes() {
    let mut world = up(Demand::Wants(2));
    world.demand = Some(Demand::Wants(1));
    wait(&mut world, DELAY - 30);
    world.demand = Some(Demand::DoesNotKnow);
    wait(&mut world, 60);
    assert_eq!(
        condition(&world, "ScalingActive"),
        "False DemandUnknown: worker: ended with 1: nobody knows"
    );
    assert_eq!(worker_status(&world).demanded_members, None);
    wait(&mut world, 2 * DELAY);
    assert_eq!(staying(&world), 2);
    // It may have been more meanwhile, so the delay begins anew.
    world.demand = Some(Demand::Wants(1));
    wait(&mut world, DELAY - 30);
    assert_eq!(staying(&world), 2);
    wait(&mut world, 60);
    assert_eq!(staying(&world), 1);
    world.settle();
}

#[test]
fn without_its_controller_nobody_is_asked() {
    let mut world = up(Demand::Wants(2));
    let name = world.pods.iter().find(|(_, pod)| pod.role == "controller");
    let name = name.unwrap().0.clone();
    world.stop(&name);
    world.pods.get_mut(&name).unwrap().reported = None;
    world.pass(None);
    assert_eq!(
        condition(&world, "ScalingActive"),
        "False NobodyToAsk: worker: no member of controller is set up"
    );
    assert!(!world.hooks.keys().any(is_question));
    world.settle();
    assert!(condition(&world, "ScalingActive").starts_with("True"));
}

#[test]
fn another_process_goes_on_where_the_last_one_stopped() {
    let mut world = up(Demand::Wants(3));
    world.demand = Some(Demand::Wants(1));
    wait(&mut world, DELAY - 60);
    world.hooks.clear();
    world.demands.clear();
    world.pass(None);
    assert_eq!(staying(&world), 3);
    wait(&mut world, 90);
    assert_eq!(staying(&world), 1);
    world.settle();
    // Without a status it is only waited anew.
    world.demand = Some(Demand::Wants(3));
    world.settle();
    world.demand = Some(Demand::Wants(2));
    wait(&mut world, DELAY - 60);
    world.status = ClusterStatus::default();
    wait(&mut world, DELAY - 60);
    assert_eq!(staying(&world), 3);
    wait(&mut world, 120);
    assert_eq!(staying(&world), 2);
    world.settle();
}

#[test]
fn what_is_written_of_it_goes_when_nothing_is_autoscaled_any_more() {
    let mut world = up(Demand::Wants(2));
    world.demand = None;
    world.wish.workers = 2;
    world.settle();
    assert_eq!(condition(&world, "ScalingActive"), "");
    assert_eq!(condition(&world, "ScalingLimited"), "");
    assert!(world.status.roles.iter().all(|it| it.autoscale.is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_happens_there_are_as_many_as_are_wanted_in_the_end(
        storage in any::<bool>(),
        holds in prop::bool::weighted(0.2),
        workers in 0_u32..6,
        story in proptest::collection::vec(happenings(), 0..160),
    ) {
        let mut world = World::new(Wish { storage, holds, ..wish(0) });
        world.demand = Some(Demand::Wants(workers));
        for happening in &story {
            world.happen(happening);
            let most = world.sets.values().map(|it| it.replicas).max();
            prop_assert!(most.is_none_or(|it| it <= MOST));
        }
        world.settle();
    }
}
