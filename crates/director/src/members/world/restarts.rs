//! Containers that are restarted within their pods, in the middle of what is done in them.

use super::stories::wish;
use super::*;

#[test]
fn what_is_done_in_several_commands_is_done_in_one_container() {
    for storage in [false, true] {
        for restart in 0..4 {
            let mut world = World::new(Wish { storage, ..wish(2) });
            let mut kinds = BTreeSet::new();
            // Once with each kind of work, in this many of its commands.
            for step in 0..4 {
                match step {
                    1 => world.wish.workers = 3,
                    2 => world.wish.connection = 1,
                    3 => world.wish.workers = 1,
                    _ => {}
                }
                for _ in 0..30 {
                    world.pass(None);
                    world.control();
                    for name in world.pods.keys().cloned().collect::<Vec<String>>() {
                        world.kubelet(&name);
                    }
                    for key in world.hooks.keys().cloned().collect::<Vec<HookKey>>() {
                        if world.hooks[&key] == HookState::Running {
                            let kind = std::mem::discriminant(&key.hook);
                            let is_first = kinds.insert((step, format!("{kind:?}")));
                            world.exec_around(&key, is_first.then_some(restart));
                        }
                    }
                    world.now += SignedDuration::from_secs(5);
                }
                world.settle();
            }
        }
    }
}
