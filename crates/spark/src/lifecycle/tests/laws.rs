//! Laws that hold whatever happens: never two live drivers, results that stay, an end that comes.

use proptest::prelude::*;
use windlass_api::spark::application::ApplicationStateType as State;

use super::fixtures::{always, never, on_failure};
use super::world::{Step, World};
use crate::lifecycle::observed::PodPhase;
use crate::lifecycle::spec::RestartPolicy;

fn a_policy() -> impl Strategy<Value = RestartPolicy> {
    prop_oneof![
        Just(never()),
        (0u32..4).prop_map(on_failure),
        Just(always())
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Pass { dies_after: None }),
        3 => (0usize..4).prop_map(|writes| Step::Pass { dies_after: Some(writes) }),
        4 => Just(Step::Refresh),
        2 => (0usize..40).prop_map(Step::TimeTravel),
        2 => (0usize..40).prop_map(Step::PodsLag),
        2 => Just(Step::LateRequest),
        4 => (1i64..700).prop_map(Step::Wait),
        4 => Just(Step::DriverStarts),
        3 => prop_oneof![Just(0), Just(1), Just(137)].prop_map(Step::DriverExits),
        2 => Just(Step::ExecutorAppears),
        1 => prop_oneof![Just(0), Just(143)].prop_map(Step::ExecutorEnds),
        3 => Just(Step::Reap),
        1 => Just(Step::DriverIsDeleted),
        1 => Just(Step::NodeFlips),
        1 => Just(Step::RefusalFlips),
        1 => Just(Step::SuspendFlips),
        1 => Just(Step::DriverIsRenamed),
        1 => Just(Step::ImageChanges),
        1 => Just(Step::LabelChanges),
        1 => Just(Step::RerunIsRequested),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_no_two_drivers_live_and_the_end_comes(
        policy in a_policy(),
        steps in prop::collection::vec(a_step(), 0..80),
    ) {
        let mut world = World::new(policy);
        for step in &steps {
            world.step(step);
        }
        // An application that always runs again ends when its user changes that.
        world.cluster.spec.restart = on_failure(1);
        world.cluster.spec.suspend = false;
        world.calm_down(0);

        prop_assert!(world.state().is_terminal(), "never ends: {:?}", world.state());
        let alive = |phase| matches!(phase, PodPhase::Pending | PodPhase::Running);
        prop_assert!(!world.cluster.drivers.iter().any(|pod| alive(pod.phase)));
        prop_assert!(!world.cluster.executors.iter().any(|pod| alive(pod.phase)));
        prop_assert_eq!(&world.cluster.ui, &None);
        prop_assert!(!World::is_wish_open(&world.cluster), "a wish was forgotten");

        let writes = world.writes;
        world.calm_down(0);
        prop_assert_eq!(world.writes, writes, "not quiet when done");
    }
}

/// What happens to an operator when nothing happens to the application.
fn a_disturbance() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Pass { dies_after: None }),
        2 => (0usize..4).prop_map(|writes| Step::Pass { dies_after: Some(writes) }),
        2 => Just(Step::Refresh),
        2 => (0usize..20).prop_map(Step::TimeTravel),
        3 => (0usize..20).prop_map(Step::PodsLag),
        2 => prop_oneof![Just(5), Just(15), Just(700)].prop_map(Step::Wait),
        1 => Just(Step::LateRequest),
        2 => Just(Step::DriverStarts),
        1 => Just(Step::ExecutorAppears),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_operator_that_lags_and_dies_never_costs_a_healthy_run(
        steps in prop::collection::vec(a_disturbance(), 0..60),
    ) {
        let mut world = World::new(never());
        for step in &steps {
            // A driver that waits for so long would rightly be given up.
            if !(matches!(step, Step::Wait(700)) && world.started.is_empty()) {
                world.step(step);
            }
        }
        world.calm_down(0);
        prop_assert_eq!(world.state(), State::Completed);
        prop_assert_eq!(world.started.len(), 1);
    }
}

/// What an application leaves behind that must not depend on when the operator died.
fn result_of(world: &World) -> (State, Vec<String>, i32, usize, Option<String>) {
    let status = &world.cluster.status;
    (
        status.application_state.state,
        world.started.clone(),
        status.execution_attempts,
        status.attempt_history.len(),
        status.application_state.error_message.clone(),
    )
}

/// Passes of an operator that dies once, after so many writes in all, or never.
fn passes(dies_after: Option<usize>) -> impl FnMut(&mut World) {
    let mut dead = dies_after.is_none();
    move |world| {
        let left = dies_after
            .unwrap_or(usize::MAX)
            .saturating_sub(world.writes);
        let before = world.writes;
        let dies_after = (!dead).then_some(left);
        world.step(&Step::Pass { dies_after });
        dead |= world.writes - before == left;
    }
}

/// A job that fails twice and then succeeds, with an operator that dies once, after so many
/// writes in all.
fn fails_twice_then_succeeds(dies_after: Option<usize>) -> World {
    let mut world = World::new(on_failure(2));
    let mut pass = passes(dies_after);
    for _ in 0..40 {
        world.step(&Step::Refresh);
        pass(&mut world);
        world.step(&Step::DriverStarts);
        world.step(&Step::ExecutorAppears);
        pass(&mut world);
        world.step(&Step::Refresh);
        pass(&mut world);
        let code = i32::from(world.started.len() < 3);
        world.step(&Step::DriverExits(code));
        world.step(&Step::Refresh);
        pass(&mut world);
        world.step(&Step::Reap);
        world.step(&Step::Wait(10));
    }
    world
}

#[test]
fn dying_between_any_two_writes_leads_to_the_same_end() {
    let undisturbed = fails_twice_then_succeeds(None);
    let expected = result_of(&undisturbed);
    assert_eq!(expected.0, State::Completed);
    assert_eq!(expected.1.len(), 3, "two retries mean three runs");
    for writes in 0..=undisturbed.writes {
        let world = fails_twice_then_succeeds(Some(writes));
        assert_eq!(result_of(&world), expected, "after {writes} writes");
    }
}

#[test]
fn a_finished_application_is_not_run_again_by_an_operator_that_sees_the_past() {
    let mut world = World::new(on_failure(3));
    world.calm_down(0);
    assert_eq!(world.state(), State::Completed);
    let finished = world.cluster.clone();
    world.cluster.drivers.clear();
    for back in 0..200 {
        world.step(&Step::TimeTravel(back));
        world.step(&Step::Pass { dies_after: None });
        assert_eq!(world.cluster.status, finished.status);
        assert!(
            world.cluster.drivers.is_empty(),
            "a second run from {back} steps back"
        );
    }
}

/// An application that is changed, asked to run again, suspended and resumed, always while no
/// operator looks.
fn demands_in_the_dark(dies_after: Option<usize>) -> World {
    let mut world = World::new(on_failure(1));
    let mut pass = passes(dies_after);
    let mut demands = [
        vec![Step::ImageChanges],
        vec![Step::LabelChanges],
        vec![Step::RerunIsRequested],
        vec![Step::SuspendFlips],
        vec![Step::ImageChanges, Step::SuspendFlips],
        // Taken back before anybody saw it.
        vec![Step::SuspendFlips, Step::SuspendFlips],
    ]
    .into_iter();
    for _ in 0..40 {
        for _ in 0..4 {
            world.step(&Step::Refresh);
            pass(&mut world);
            world.step(&Step::DriverStarts);
            world.step(&Step::Refresh);
            pass(&mut world);
            world.step(&Step::Reap);
            world.step(&Step::Wait(10));
        }
        match demands.next() {
            Some(steps) => steps.iter().for_each(|step| world.step(step)),
            None => world.step(&Step::DriverExits(0)),
        }
    }
    world
}

#[test]
fn what_users_demand_while_no_operator_looks_is_done_whenever_the_operator_dies() {
    let undisturbed = demands_in_the_dark(None);
    let expected = result_of(&undisturbed);
    assert_eq!(expected.0, State::Completed);
    assert_eq!(
        expected.1.len(),
        4,
        "the first run, a changed image, a rerun, and one after the suspension"
    );
    for writes in 0..=undisturbed.writes {
        let world = demands_in_the_dark(Some(writes));
        assert_eq!(result_of(&world), expected, "after {writes} writes");
    }
}
