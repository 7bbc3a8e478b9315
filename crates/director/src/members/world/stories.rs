//! What happens to clusters, told one by one, and then at random.

use proptest::prelude::*;

use super::*;

pub(super) fn wish(workers: u32) -> Wish {
    Wish {
        workers,
        image: 1,
        connection: 0,
        storage: false,
        size: 1,
        auto_grow: None,
        holds: false,
    }
}

fn up(wish: Wish) -> World {
    let mut world = World::new(wish);
    world.settle();
    world
}

/// The scripts that were begun since the last look, without the random letters of their pods.
pub(super) fn calls(world: &mut World) -> Vec<String> {
    let names: Vec<(String, String)> = world
        .sets
        .iter()
        .map(|(name, set)| (name.clone(), set.role.clone()))
        .collect();
    let mut calls = std::mem::take(&mut world.calls);
    for call in &mut calls {
        for (name, role) in &names {
            *call = call.replace(name, role);
        }
        let headless = world.headless.as_ref().unwrap().name.clone();
        *call = call.replace(&format!(".{headless}.team.svc.cluster.local"), "");
    }
    calls.sort();
    calls
}

const CONFIGURE: &str = "--configure";

/// Everybody does one thing; scripts of workers end with this code, all others well.
fn round(world: &mut World, code: i32) {
    world.pass(None);
    world.control();
    for name in world.pods.keys().cloned().collect::<Vec<String>>() {
        world.kubelet(&name);
        let is_worker = world
            .pods
            .get(&name)
            .is_some_and(|pod| pod.role == "worker");
        world.finish(&name, if is_worker { code } else { 0 });
    }
    for key in world.hooks.keys().cloned().collect::<Vec<HookKey>>() {
        if world.hooks[&key] == HookState::Running {
            world.exec(&key);
        }
    }
    world.now += SignedDuration::from_secs(5);
}

#[test]
fn a_new_cluster_sets_each_member_up_once_and_tells_nobody_anything() {
    let mut world = up(wish(2));
    assert_eq!(
        calls(&mut world),
        ["controller-0", "worker-0", "worker-1"].map(|pod| format!("{pod}: {CONFIGURE}"))
    );
    insta::assert_yaml_snapshot!(world.status, {
        ".roles[].members[].stateDetail.lastConfiguredContainer" => "[container]",
    });
}

#[test]
fn a_member_that_comes_is_told_to_the_others() {
    let mut world = up(wish(1));
    calls(&mut world);
    world.wish.workers = 3;
    world.settle();
    let add = "--addnodes --nodegroup 1 --role worker --fqdns worker-1,worker-2";
    assert_eq!(
        calls(&mut world),
        [
            format!("controller-0: {add}"),
            format!("worker-0: {add}"),
            format!("worker-1: {CONFIGURE}"),
            format!("worker-2: {CONFIGURE}"),
        ]
    );
}

#[test]
fn members_that_go_drain_first_and_then_the_others_are_told() {
    let mut world = up(wish(3));
    calls(&mut world);
    world.wish.workers = 1;
    world.settle();
    let del = "--delnodes --nodegroup 1 --role worker --fqdns worker-1,worker-2";
    assert_eq!(
        calls(&mut world),
        [
            format!("controller-0: {del}"),
            format!("worker-0: {del}"),
            "worker-1: --decommission".to_owned(),
            "worker-2: --decommission".to_owned(),
        ]
    );
}

#[test]
fn a_restart_without_storage_sets_up_anew_and_one_with_storage_does_not() {
    for storage in [false, true] {
        let mut world = up(Wish { storage, ..wish(2) });
        calls(&mut world);
        let name = world
            .pods
            .iter()
            .find(|(_, pod)| pod.role == "worker")
            .unwrap()
            .0
            .clone();
        world.stop(&name);
        world.settle();
        let expected = usize::from(!storage);
        assert_eq!(calls(&mut world).len(), expected, "{storage}");
    }
}

#[test]
fn what_happened_while_a_member_with_storage_was_away_is_told_when_it_is_back() {
    let mut world = up(Wish {
        storage: true,
        ..wish(2)
    });
    calls(&mut world);
    let name = world
        .pods
        .iter()
        .find(|(_, pod)| pod.role == "worker")
        .unwrap()
        .0
        .clone();
    let pod = world.pods.get_mut(&name).unwrap();
    pod.deleting = true;
    world.kubelet(&name);
    world.wish.workers = 3;
    world.wish.connection = 1;
    world.settle();
    let told = calls(&mut world);
    let add = "worker-0: --addnodes --nodegroup 1 --role worker --fqdns worker-2".to_owned();
    assert!(told.contains(&add), "{told:#?}");
    assert!(
        told.contains(&"worker-0: --reconnect".to_owned()),
        "{told:#?}"
    );
    assert!(
        !told.iter().any(|it| it == "worker-0: --configure"),
        "{told:#?}"
    );
}

#[test]
fn a_new_image_replaces_members_one_after_another() {
    let mut world = up(wish(3));
    calls(&mut world);
    world.wish.image = 2;
    for _ in 0..200 {
        round(&mut world, 0);
        let away = world.pods.values().filter(|pod| {
            let marks = PodMarks::read(&pod.annotations);
            let running = pod.container.as_ref().filter(|_| !pod.deleting);
            running.is_none_or(|it| marks.set_up(&it.id) != SetUp::Done)
        });
        let missing = 4 - world.pods.len();
        assert!(away.count() + missing <= 1, "more than one is away");
    }
    world.settle();
    assert_eq!(calls(&mut world).len(), 4);
}

#[test]
fn a_restore_without_a_status_goes_on() {
    let mut world = up(Wish {
        storage: true,
        ..wish(2)
    });
    calls(&mut world);
    world.status = ClusterStatus::default();
    world.hooks.clear();
    world.settle();
    assert_eq!(calls(&mut world), Vec::<String>::new());
    // Without pods and without what was mounted: storage has the members.
    world.status = ClusterStatus::default();
    world.delivery = None;
    for name in world.pods.keys().cloned().collect::<Vec<String>>() {
        world.stop(&name);
    }
    world.pods.clear();
    world.settle();
    assert_eq!(calls(&mut world), [format!("controller-0: {CONFIGURE}")]);
}

#[test]
fn a_shrink_that_is_taken_back_makes_new_members() {
    let mut world = up(Wish {
        storage: true,
        ..wish(3)
    });
    calls(&mut world);
    world.wish.workers = 1;
    world.pass(None);
    world.pass(None);
    world.wish.workers = 3;
    world.settle();
    let told = calls(&mut world);
    let of = |what: &str| told.iter().filter(|it| it.contains(what)).count();
    assert_eq!(of("--decommission"), 2, "{told:#?}");
    assert_eq!(of(CONFIGURE), 2, "{told:#?}");
    assert_eq!((of("--delnodes"), of("--addnodes")), (2, 2), "{told:#?}");
}

#[test]
fn a_drain_that_does_not_end_is_waited_for_until_its_time_is_over() {
    let mut world = up(wish(2));
    world.wish.workers = 1;
    let start = world.now;
    let mut gone = None;
    for _ in 0..400 {
        world.pass(None);
        world.control();
        for name in world.pods.keys().cloned().collect::<Vec<String>>() {
            world.kubelet(&name);
            if !name.ends_with("-1") {
                world.finish(&name, 0);
            }
        }
        for key in world.hooks.keys().cloned().collect::<Vec<HookKey>>() {
            if world.hooks[&key] == HookState::Running {
                world.exec(&key);
            }
        }
        if world.pods.len() == 2 && gone.is_none() {
            gone = Some(world.now);
        }
        world.now += SignedDuration::from_secs(5);
    }
    let waited = gone.unwrap().duration_since(start).as_secs();
    assert!(
        (DRAIN_SECONDS..DRAIN_SECONDS + 120).contains(&waited),
        "{waited}"
    );
    world.settle();
}

#[test]
fn a_configure_that_fails_is_an_error_until_the_member_is_made_anew() {
    let mut world = World::new(wish(1));
    for _ in 0..40 {
        round(&mut world, 1);
    }
    assert!(world.status.member_state_rollup.config_errors);
    assert!(world.plan().effects.is_empty());
    let name = world
        .pods
        .iter()
        .find(|(_, pod)| pod.role == "worker")
        .unwrap()
        .0
        .clone();
    world.stop(&name);
    world.settle();
}

#[test]
fn a_member_that_is_held_back_stays_when_it_is_wanted_again() {
    let wish = Wish {
        storage: true,
        holds: true,
        ..wish(2)
    };
    let mut world = up(wish);
    calls(&mut world);
    let uids = |world: &World| {
        let pods = world.pods.values();
        pods.map(|pod| pod.uid.clone()).collect::<Vec<String>>()
    };
    let before = uids(&world);
    world.wish.workers = 1;
    for _ in 0..40 {
        round(&mut world, 1);
    }
    assert_eq!(uids(&world), before, "it is held back");
    // Between two tries it may stay; while one runs, nobody knows what becomes of it.
    let waits = |world: &World| {
        let drained = world
            .pods
            .values()
            .find_map(|pod| PodMarks::read(&pod.annotations).drained);
        drained.is_some_and(|it| it.outcome == DrainOutcome::Failed)
    };
    for _ in 0..100 {
        if !waits(&world) {
            round(&mut world, 1);
        }
    }
    assert!(waits(&world));
    world.wish.workers = 2;
    world.settle();
    assert_eq!(uids(&world), before);
    let told = calls(&mut world);
    assert!(
        told.iter()
            .all(|it| it.ends_with("worker-1: --decommission")),
        "{told:#?}"
    );
}

#[test]
fn what_somebody_scaled_by_hand_is_put_right_and_keeps_its_data() {
    let mut world = up(Wish {
        storage: true,
        ..wish(2)
    });
    calls(&mut world);
    let claims: Vec<String> = world.claims.values().map(|it| it.uid.clone()).collect();
    let workers = |world: &mut World, replicas| {
        let mut sets = world.sets.values_mut();
        sets.find(|set| set.role == "worker").unwrap().replicas = replicas;
    };
    workers(&mut world, 1);
    world.control();
    // Nobody drained it; that is not what is tried here.
    world.faults.clear();
    world.settle();
    let now: Vec<String> = world.claims.values().map(|it| it.uid.clone()).collect();
    assert_eq!(now, claims);
    assert_eq!(calls(&mut world), Vec::<String>::new());
    workers(&mut world, 4);
    while world.control() {}
    world.settle();
    assert_eq!(calls(&mut world), Vec::<String>::new());
}

#[test]
fn without_what_was_mounted_nobody_is_set_up_anew() {
    let mut world = up(wish(2));
    calls(&mut world);
    world.delivery = None;
    world.settle();
    assert_eq!(world.status.spec_generation_to_process, Some(2));
    assert_eq!(calls(&mut world), Vec::<String>::new());
}

#[test]
fn a_cluster_that_is_deleted_or_cannot_be_is_left_alone() {
    let world = up(wish(1));
    let problem = "spec.roles: \"x\" is no role of the application".to_owned();
    for (deleting, blueprint) in [(true, Ok(world.blueprint())), (false, Err(vec![problem]))] {
        let spec = Spec {
            generation: 2,
            deleting,
            blueprint,
        };
        let decided = plan(&spec, &world.status, &world.observed(), world.now);
        assert!(decided.effects.is_empty());
        let ready = decided
            .status
            .conditions
            .iter()
            .find(|it| it.type_ == "Ready")
            .unwrap();
        assert_eq!(ready.status == "True", deleting, "{ready:?}");
    }
    // Nothing begins before there is a random text.
    let spec = Spec {
        generation: 1,
        deleting: false,
        blueprint: Ok(world.blueprint()),
    };
    let decided = plan(
        &spec,
        &ClusterStatus::default(),
        &Observed::default(),
        world.now,
    );
    assert!(decided.effects.is_empty() && decided.wake_at.is_some());
}

#[test]
fn a_role_that_is_not_there_any_more_leaves_nothing() {
    let mut world = up(Wish {
        storage: true,
        ..wish(2)
    });
    world.wish.workers = 0;
    world.settle();
    assert_eq!(world.sets.len(), 1);
    assert!(world.claims.is_empty());
}

#[test]
fn a_cluster_that_comes_back_from_a_backup_keeps_its_names_and_sets_up_only_who_has_no_storage() {
    let mut world = up(Wish {
        storage: true,
        ..wish(2)
    });
    calls(&mut world);
    let named = |world: &World| {
        let sets = world.sets.keys().cloned().collect::<Vec<_>>();
        let claims = world
            .claims
            .iter()
            .map(|(name, it)| (name.clone(), it.uid.clone()));
        (
            sets,
            world.headless.clone().unwrap().name,
            claims.collect::<Vec<_>>(),
        )
    };
    let before = named(&world);
    world.restore();
    world.settle();
    assert_eq!(named(&world), before);
    assert_eq!(calls(&mut world), [format!("controller-0: {CONFIGURE}")]);

    world.wish.workers = 3;
    world.settle();
    let told = calls(&mut world);
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn members_whose_role_goes_while_its_statefulset_is_replaced_go_too() {
    let mut world = up(Wish {
        storage: true,
        ..wish(2)
    });
    world.restore();
    world.pass(None);
    world.wish.workers = 0;
    world.settle();
    assert!(world.claims.is_empty());
}

/// What may happen between two looks.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Pass,
    Death(usize),
    Control,
    Kubelet(usize),
    Finish(usize, bool),
    Exec(usize),
    ExecAround(usize, usize),
    Crash(usize),
    Evict(usize),
    Resize(u32),
    Image(u32),
    Grow,
    Connect(u32),
    Time(i64),
    Restore,
}

pub(super) fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => Just(Happening::Pass),
        3 => (0_usize..6).prop_map(Happening::Death),
        6 => Just(Happening::Control),
        8 => (0_usize..8).prop_map(Happening::Kubelet),
        6 => (0_usize..8, prop::bool::weighted(0.85)).prop_map(|(pod, well)| Happening::Finish(pod, well)),
        8 => (0_usize..8).prop_map(Happening::Exec),
        2 => (0_usize..8, 0_usize..4).prop_map(|(hook, at)| Happening::ExecAround(hook, at)),
        1 => (0_usize..8).prop_map(Happening::Crash),
        1 => (0_usize..8).prop_map(Happening::Evict),
        2 => (0_u32..5).prop_map(Happening::Resize),
        1 => (1_u32..3).prop_map(Happening::Image),
        1 => Just(Happening::Grow),
        1 => (0_u32..3).prop_map(Happening::Connect),
        2 => (1_i64..400).prop_map(Happening::Time),
        1 => Just(Happening::Restore),
    ]
}

impl World {
    fn nth_pod(&self, index: usize) -> Option<String> {
        let count = self.pods.len();
        (count > 0)
            .then(|| self.pods.keys().nth(index % count).cloned())
            .flatten()
    }

    pub(super) fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Pass => self.pass(None),
            Happening::Death(at) => self.pass(Some(*at)),
            Happening::Control => {
                self.control();
            }
            Happening::Kubelet(index) => {
                if let Some(name) = self.nth_pod(*index) {
                    self.kubelet(&name);
                }
            }
            Happening::Finish(index, well) => {
                if let Some(name) = self.nth_pod(*index) {
                    // A member that cannot be set up stays like that until somebody acts.
                    let sets_up = self.pods[&name]
                        .container
                        .as_ref()
                        .is_some_and(|it| it.script.knows == Membership::default());
                    self.finish(&name, i32::from(!well && !sets_up));
                }
            }
            Happening::Exec(index) | Happening::ExecAround(index, _) => {
                let restart = match happening {
                    Happening::ExecAround(_, at) => Some(*at),
                    _ => None,
                };
                let running = self
                    .hooks
                    .iter()
                    .filter(|(_, state)| **state == HookState::Running);
                let keys: Vec<HookKey> = running.map(|(key, _)| key.clone()).collect();
                if !keys.is_empty() {
                    self.exec_around(&keys[index % keys.len()], restart);
                }
            }
            Happening::Crash(index) => {
                if let Some(name) = self.nth_pod(*index) {
                    self.stop(&name);
                }
            }
            Happening::Evict(index) => {
                if let Some(name) = self.nth_pod(*index) {
                    self.pods.get_mut(&name).unwrap().deleting = true;
                }
            }
            Happening::Resize(workers) => match &mut self.demand {
                Some(demand) => *demand = Demand::Wants(*workers),
                None => self.wish.workers = *workers,
            },
            Happening::Image(image) => self.wish.image = *image,
            Happening::Grow => self.wish.size += 1,
            Happening::Connect(version) => self.wish.connection = *version,
            Happening::Time(seconds) => self.now += SignedDuration::from_secs(*seconds),
            // A backup of a cluster that never was written on has nothing of it either.
            Happening::Restore if self.identity.is_none() => {}
            Happening::Restore => self.restore(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_happens_the_cluster_becomes_what_is_asked_for(
        storage in any::<bool>(),
        holds in prop::bool::weighted(0.2),
        workers in 0_u32..4,
        grows_on_mount in any::<bool>(),
        story in proptest::collection::vec(happenings(), 0..160),
    ) {
        let mut world = World::new(Wish { storage, holds, ..wish(workers) });
        world.grows_on_mount = grows_on_mount;
        for happening in &story {
            world.happen(happening);
        }
        world.settle();
    }
}
