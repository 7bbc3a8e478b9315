//! Volumes that grow.

use super::stories::{calls, wish};
use super::*;
use windlass_api::quantity::Quantity;
use windlass_api::storage::growth;

impl World {
    /// Whoever provides volumes makes one larger, if it is to be.
    pub(super) fn provide(&mut self) -> bool {
        let mut claims = self.claims.values_mut();
        let Some(claim) = claims.find(|it| it.capacity < it.request && it.waits_since.is_none())
        else {
            return false;
        };
        if self.grows_on_mount {
            claim.waits_since = Some(self.now);
        } else {
            claim.capacity = claim.request;
        }
        true
    }

    /// What members have, and what those that come will have, is what is asked for.
    pub(super) fn check_sizes(&self) {
        if !self.wish.storage {
            return;
        }
        let size = self.wish.size;
        for set in self.sets.values().filter(|it| it.role == "worker") {
            assert_eq!(set.size, size);
        }
        let workers = self.workers();
        for (name, claim) in &self.claims {
            // What a backup has left behind nobody mounts.
            if claim.ordinal < workers {
                let grown = claim.by_itself.unwrap_or(size).max(size);
                assert_eq!((claim.request, claim.capacity), (grown, grown), "{name}");
                let told = claim.annotations.get(growth::MAX);
                let auto_grow = self.wish.auto_grow.as_ref();
                assert_eq!(told, auto_grow.map(|it| &it.max), "{name}");
            }
        }
    }

    /// Whoever lets claims grow gives one more than its role has.
    fn grow_by_itself(&mut self, ordinal: u32, to: u32) {
        let mut claims = self.claims.values_mut();
        let claim = claims.find(|it| it.ordinal == ordinal).unwrap();
        claim.request = to;
        claim.by_itself = Some(to);
    }

    fn uids(&self) -> Vec<String> {
        self.pods.values().map(|pod| pod.uid.clone()).collect()
    }

    fn told(&self, kind: &str) -> String {
        let mut conditions = self.status.conditions.iter();
        let found = conditions.find(|it| it.type_ == kind);
        found.map_or_else(String::new, |it| {
            format!("{} {}: {}", it.status, it.reason, it.message)
        })
    }
}

impl Claim {
    pub(super) fn observed(&self) -> ObservedVolume {
        let size = |gib: u32| Some(Quantity::from_bytes(i64::from(gib) << 30));
        ObservedVolume {
            bound: true,
            request: size(self.request),
            capacity: size(self.capacity),
            waits_since: self.waits_since,
            ..ObservedVolume::default()
        }
    }
}

/// A quantity as the sample has it.
pub(super) fn gibibytes(value: &Value) -> u32 {
    let text = value.as_str().unwrap();
    text.strip_suffix("Gi").unwrap().parse().unwrap()
}

fn up(workers: u32) -> World {
    let mut world = World::new(Wish {
        storage: true,
        ..wish(workers)
    });
    world.settle();
    calls(&mut world);
    world
}

#[test]
fn volumes_grow_under_members_that_notice_nothing() {
    let mut world = up(2);
    let (pods, sets) = (world.uids(), world.sets.clone());
    assert_eq!(world.told("StorageResizing"), "");
    world.wish.size = 3;
    world.pass(None);
    assert_eq!(
        world.told("StorageResizing"),
        "True VolumesGrow: worker: 0 of 2 volumes have 3Gi"
    );
    assert!(world.told("Ready").starts_with("True"));
    world.settle();
    assert_eq!(world.uids(), pods);
    assert_eq!(calls(&mut world), Vec::<String>::new());
    let replaced = world.sets.iter().filter(|(name, set)| {
        let before = &sets[*name];
        before.object.uid != set.object.uid
    });
    assert_eq!(replaced.count(), 1, "only that of workers");
    assert_eq!(
        world.told("StorageResizing"),
        "False Resized: all volumes have the size that is specified"
    );
    // Who comes later has as much.
    world.wish.workers = 3;
    world.settle();
}

#[test]
fn whoever_dies_while_volumes_grow_leaves_a_cluster_that_goes_on() {
    for deaths in 0..5 {
        for before in 0..3 {
            for workers in [1, 2, 4] {
                let mut world = up(2);
                let pods = world.uids();
                world.wish.size = 2;
                for _ in 0..deaths {
                    world.pass(Some(before));
                    world.control();
                }
                world.wish.workers = workers;
                world.settle();
                if workers >= 2 {
                    assert!(pods.iter().all(|uid| world.uids().contains(uid)));
                }
            }
        }
    }
}

#[test]
fn a_file_system_that_nobody_makes_larger_is_mounted_anew_one_after_another() {
    let mut world = up(3);
    world.grows_on_mount = true;
    let pods = world.uids();
    world.wish.size = 2;
    let start = world.now;
    let mut first = None;
    for _ in 0..300 {
        world.pass(None);
        world.control();
        for name in world.pods.keys().cloned().collect::<Vec<String>>() {
            world.kubelet(&name);
            world.finish(&name, 0);
        }
        for key in world.hooks.keys().cloned().collect::<Vec<HookKey>>() {
            if world.hooks[&key] == HookState::Running {
                world.exec(&key);
            }
        }
        let away = 4 - world.pods.values().filter(|pod| !pod.deleting).count();
        assert!(away <= 1, "more than one is away");
        if away > 0 && first.is_none() {
            first = Some(world.now);
        }
        world.now += SignedDuration::from_secs(5);
    }
    let waited = first.unwrap().duration_since(start).as_secs();
    assert!((300..400).contains(&waited), "{waited}");
    world.settle();
    let stayed = pods.iter().filter(|uid| world.uids().contains(uid));
    assert_eq!(stayed.count(), 1, "only the controller has no storage");
}

#[test]
fn what_storage_cannot_give_can_be_taken_back() {
    let mut world = up(1);
    world.wish.size = 9;
    world.pass(None);
    let asked = |world: &World, given_up: bool| {
        let mut observed = world.observed();
        for claim in &mut observed.claims {
            claim.volume.given_up = given_up;
            claim.volume.trouble = Some("no room".to_owned());
        }
        let spec = Spec {
            generation: 1,
            deleting: false,
            blueprint: Ok(world.blueprint()),
        };
        let decided = plan(&spec, &world.status, &observed, world.now);
        let patches = decided.effects.iter().filter_map(|effect| match effect {
            Effect::Patch { patch, .. } => patch
                .pointer("/spec/resources/requests/storage")
                .map(gibibytes),
            _ => None,
        });
        let told = decided.status.conditions.iter();
        let told = told.filter(|it| it.type_ == "StorageResizing" || it.type_ == "Degraded");
        let told = told.map(|it| format!("{} {}", it.reason, it.message));
        (
            patches.collect::<Vec<_>>(),
            told.collect::<Vec<_>>().join(" | "),
        )
    };
    let (patches, told) = asked(&world, true);
    assert_eq!(patches, Vec::<u32>::new());
    assert!(
        told.contains("ResizeFailed worker: 0 of 1 volumes have 9Gi"),
        "{told}"
    );
    assert!(told.contains("does not grow to 9Gi: no room"), "{told}");
    world.wish.size = 2;
    assert_eq!(asked(&world, true).0, [2]);
    // As long as it may still come, it is waited for.
    assert_eq!(asked(&world, false).0, Vec::<u32>::new());
    // Less than the StatefulSet makes is refused before it comes here, and changes nothing.
    world.wish.size = 1;
    assert_eq!(asked(&world, true).0, Vec::<u32>::new());
}

fn up_to(max: &str) -> AutoGrow {
    AutoGrow {
        max: max.to_owned(),
        ..AutoGrow::default()
    }
}

#[test]
fn what_has_grown_by_itself_is_neither_drift_nor_a_shrink() {
    let mut world = up(2);
    let pods = world.uids();
    let sets: Vec<String> = world
        .sets
        .values()
        .map(|it| it.object.uid.clone())
        .collect();
    assert_eq!(world.told("AutoGrowActive"), "");
    world.wish.auto_grow = Some(up_to("9Gi"));
    // It is written on claims that are there already, and checked when all is calm.
    world.settle();
    assert_eq!(
        world.told("AutoGrowActive"),
        "False AutoGrowOff: volumes of worker do not grow by themselves: this operator was started \
         without --storage --storage-auto-grow, so nothing reads storage.autoGrow"
    );
    world.grow_by_itself(0, 5);
    world.settle();
    let now: Vec<String> = world
        .sets
        .values()
        .map(|it| it.object.uid.clone())
        .collect();
    assert_eq!(now, sets, "no StatefulSet is replaced");
    // Who comes later begins with the size of the role, and says the same.
    world.wish.workers = 3;
    world.settle();
    // What is asked for of all is less than one has, and more than one has.
    world.wish.size = 3;
    world.settle();
    world.wish.size = 7;
    world.settle();
    assert!(pods.iter().all(|uid| world.uids().contains(uid)));
    world.wish.auto_grow = Some(up_to("8Gi"));
    world.settle();
    world.wish.auto_grow = None;
    world.settle();
    assert_eq!(world.told("AutoGrowActive"), "");
}

#[test]
fn whoever_dies_while_claims_are_told_to_grow_leaves_a_cluster_that_goes_on() {
    for deaths in 0..4 {
        for before in 0..3 {
            for (grown, size) in [(1, 0), (4, 1), (4, 2), (2, 4)] {
                let mut world = up(2);
                let pods = world.uids();
                world.wish.auto_grow = Some(up_to("9Gi"));
                for death in 0..=deaths {
                    if death == 1 && size > 0 {
                        world.grow_by_itself(1, grown);
                        world.wish.size = size;
                    }
                    world.pass(Some(before));
                    world.control();
                }
                world.settle();
                assert_eq!(world.uids(), pods);
                world.wish.auto_grow = None;
                world.pass(Some(before));
                world.settle();
            }
        }
    }
}
