//! What is submitted, by the SparkApplication that stands for it.

use windlass_engine::plan::Basis;

use super::*;

#[test]
fn an_original_becomes_this_sparkapplication() {
    let wanted = wanted(&original(), &OldImages::Refuse).unwrap();
    insta::assert_yaml_snapshot!(wanted.application);
}

#[test]
fn it_is_created_once_and_told_to_its_end_in_the_words_of_that_time() {
    let mut world = World::new(to_run(&original()));
    let first = world.plan();
    assert_eq!(first.basis, Basis::Live);
    assert_eq!(first.status.app_id, "estimate-17");
    world.settle();
    assert_eq!(world.created, 1);
    assert_eq!(world.status.application_state.state, Word::New);
    let made = world.status.converted_to.clone().unwrap();
    assert_eq!((&*made.name, &*made.uid), ("estimate", "twin-1"));

    for (state, word) in [
        (State::Submitted, Word::Submitted),
        (State::Running, Word::Running),
        (State::Succeeding, Word::Running),
        (State::Completed, Word::Completed),
    ] {
        world.twin_is(state);
        let rest = world.settle();
        assert_eq!(world.status.application_state.state, word, "{state:?}");
        assert_eq!(rest.wake_at.is_none(), word == Word::Completed, "{state:?}");
    }
    assert_eq!(world.created, 1);
    insta::assert_snapshot!(world.told.join("\n"));
}

#[test]
fn a_change_of_the_original_changes_what_stands_for_it_and_nothing_else_does() {
    let mut world = World::new(to_run(&original()));
    world.settle();
    world.twin_is(State::Running);
    // What others say of it stays.
    world.twin().spec["suspend"] = json!(true);
    world.settle();

    let mut changed = original();
    changed.spec.arguments = vec!["20".to_owned()];
    changed.spec.driver.cores = None;
    world.spec = Spec {
        generation: 2,
        ..spec(to_run(&changed))
    };
    let patch = match world.plan().action {
        Some(Action::Change(patch)) => patch["spec"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        patch,
        json!({
            "arguments": ["20"],
            "driver": {"cores": null, "coreRequest": null},
        })
    );
    world.settle();
    assert_eq!(world.twin().spec["suspend"], json!(true));
    assert_eq!(world.twin().spec["arguments"], json!(["20"]));
    assert_eq!(world.status.observed_generation, Some(2));
    assert_eq!(world.created, 1);
}

#[test]
fn a_change_that_cannot_be_taken_over_leaves_alone_what_runs() {
    let mut world = World::new(to_run(&original()));
    world.settle();
    world.twin_is(State::Running);
    world.settle();
    world.spec = Spec {
        generation: 2,
        ..spec(Wish::Refused(vec!["spec.mode: \"client\": no".to_owned()]))
    };
    world.settle();
    let state = &world.status.application_state;
    assert_eq!(state.state, Word::Running);
    assert_eq!(
        state.error_message,
        "a change is not taken over: spec.mode: \"client\": no"
    );
    assert!(
        world
            .told
            .contains(&"NotConvertible: spec.mode: \"client\": no".to_owned())
    );
}

#[test]
fn what_cannot_be_converted_has_failed_until_it_is_repaired() {
    let mut world = World::new(Wish::Refused(vec!["spec.driver.image: no".to_owned()]));
    let rest = world.settle();
    assert_eq!(rest.wake_at, None);
    assert_eq!(world.status.application_state.state, Word::Failed);
    assert_eq!(
        world.status.application_state.error_message,
        "spec.driver.image: no"
    );
    assert_eq!(world.told, ["NotConvertible: spec.driver.image: no"]);

    world.spec = Spec {
        generation: 2,
        ..spec(to_run(&original()))
    };
    world.settle();
    assert_eq!(world.created, 1);
    assert_eq!(world.status.application_state.state, Word::New);
}

#[test]
fn a_sparkapplication_of_somebody_else_under_the_name_is_left_alone() {
    let mut world = World::new(to_run(&original()));
    world.observed.standing = Standing::Foreign;
    let rest = world.settle();
    assert_eq!(world.status.application_state.state, Word::Failed);
    insta::assert_snapshot!(world.status.application_state.error_message);
    // Nobody tells when the name becomes free.
    assert_eq!(rest.wake_at, Some(now() + SignedDuration::from_mins(1)));
    world.observed.standing = Standing::Absent;
    world.settle();
    assert_eq!(world.created, 1);
}

#[test]
fn one_that_was_deleted_is_not_made_again_before_the_original_changes() {
    for (state, word) in [
        (State::Running, Word::Failed),
        (State::Completed, Word::Completed),
    ] {
        let mut world = World::new(to_run(&original()));
        world.settle();
        world.twin_is(state);
        world.settle();
        world.observed.standing = Standing::Absent;
        assert_eq!(world.plan().basis, Basis::Live);
        world.settle();
        assert_eq!(world.status.application_state.state, word, "{state:?}");
        assert_eq!(world.created, 1, "{state:?}");
        // The operator may have been told something else about old images since.
        let refused = spec(Wish::Refused(vec!["spec.driver.image: no".to_owned()]));
        let decision = plan(&refused, &world.status, &world.observed, now());
        assert_eq!(decision.status, world.status, "{state:?}");

        world.spec.generation = 2;
        world.settle();
        assert_eq!(world.created, 2, "{state:?}");
        assert_eq!(world.status.application_state.state, Word::New, "{state:?}");
    }
}

#[test]
fn what_the_api_refuses_is_told_and_tried_again() {
    let mut world = World::new(to_run(&original()));
    world.observed.refusal = Some("exceeded quota: objects".to_owned());
    let decision = world.plan();
    assert_eq!(
        decision.status.application_state.error_message,
        "the API refused the SparkApplication: exceeded quota: objects"
    );
    assert!(matches!(decision.action, Some(Action::Create(_))));
}

#[test]
fn an_original_that_is_being_deleted_is_left_alone() {
    let mut world = World::new(to_run(&original()));
    world.spec.deleting = true;
    let decision = world.plan();
    assert_eq!(decision.status, Status::default());
    assert_eq!((decision.action, decision.wake_at), (None, None));
}

#[test]
fn what_was_not_taken_over_is_told_once() {
    let mut old = original();
    old.spec.driver.image = Some("kubespark/spark-driver:v2.2.0-kubernetes-0.5.0".to_owned());
    old.spec.executor.image = Some("kubespark/spark-executor:v2.2.0-kubernetes-0.5.0".to_owned());
    let images = OldImages::Replace("apache/spark:4.3.0".parse().unwrap());
    let wanted = wanted(&old, &images).unwrap();
    let mut world = World::new(Wish::Run(Box::new(wanted)));
    world.settle();
    insta::assert_snapshot!(world.told.join("\n"));
}
