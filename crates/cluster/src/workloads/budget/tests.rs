use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn budget(spec: Value, status: Value) -> Arc<Budget> {
    let mut object = json!({
        "metadata": {"uid": "b", "resourceVersion": "7", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": status,
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    Arc::new(Budget::read(object).unwrap())
}

fn pod(index: usize, ready: bool, deleting: bool) -> Keyed<Pod> {
    let ready = if ready { "True" } else { "False" };
    let mut object = json!({
        "metadata": {"uid": format!("p{index}"), "labels": {"app": "web"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    });
    if deleting {
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:00Z".into();
    }
    (
        ObjectKey::namespaced("team", format!("p{index}")),
        Arc::new(Pod::read(object).unwrap()),
    )
}

fn world(spec: Value, status: Value, ready: usize, unready: usize, size: i64) -> World {
    World {
        budget: budget(spec, status),
        pods: (0..ready + unready)
            .map(|index| pod(index, index < ready, false))
            .collect(),
        sizes: Sizes::Known(BTreeMap::from([("set".to_owned(), size)])),
    }
}

/// The status after a pass.
fn status(world: &World) -> Value {
    match &plan(world, now()).steps[..] {
        [Step::Status { patch }] => {
            assert_eq!(
                patch["metadata"],
                json!({"uid": "b", "resourceVersion": "7"})
            );
            patch["status"].clone()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_budget_allows_what_it_can_spare() {
    // Ready pods, others, and the wanted size; then expected, desired and allowed.
    let cases = [
        (json!({"minAvailable": 2}), (3, 0, 3), (3, 2, 1)),
        (json!({"minAvailable": 2}), (1, 1, 2), (2, 2, 0)),
        (json!({"minAvailable": "50%"}), (3, 0, 5), (5, 3, 0)),
        (json!({"minAvailable": "50%"}), (4, 0, 4), (4, 2, 2)),
        (json!({"maxUnavailable": 1}), (3, 0, 3), (3, 2, 1)),
        (json!({"maxUnavailable": 1}), (2, 1, 3), (3, 2, 0)),
        (json!({"maxUnavailable": "30%"}), (5, 0, 5), (5, 3, 2)),
        (json!({"maxUnavailable": 9}), (2, 0, 2), (2, 0, 2)),
        (json!({}), (2, 0, 2), (2, 1, 1)),
        (json!({"minAvailable": 0}), (0, 0, 0), (0, 0, 0)),
    ];
    for (spec, (ready, unready, size), (expected, desired, allowed)) in cases {
        let status = status(&world(spec.clone(), json!({}), ready, unready, size));
        assert_eq!(status["expectedPods"], expected, "{spec} {ready} {unready}");
        assert_eq!(
            status["desiredHealthy"], desired,
            "{spec} {ready} {unready}"
        );
        assert_eq!(
            status["disruptionsAllowed"], allowed,
            "{spec} {ready} {unready}"
        );
        assert_eq!(status["currentHealthy"], ready);
        assert_eq!(status["observedGeneration"], 2);
        let reason = if allowed > 0 {
            "SufficientPods"
        } else {
            "InsufficientPods"
        };
        assert_eq!(status["conditions"][0]["reason"], reason);
    }
}

#[test]
fn a_pod_that_is_to_be_evicted_does_not_count_until_it_has_gone_or_has_stayed_too_long() {
    let noted = |since: &str| json!({"disruptedPods": {"p0": since}});
    let spec = json!({"minAvailable": 1});
    let fresh = world(spec.clone(), noted("2026-01-01T00:59:30Z"), 2, 0, 2);
    let status_of_fresh = status(&fresh);
    assert_eq!(status_of_fresh["disruptionsAllowed"], 0);
    assert_eq!(
        status_of_fresh.get("disruptedPods"),
        None,
        "it is unchanged"
    );
    assert_eq!(plan(&fresh, now()).again.unwrap().as_secs(), 90);
    let stale = world(spec.clone(), noted("2026-01-01T00:58:00Z"), 2, 0, 2);
    assert_eq!(status(&stale)["disruptionsAllowed"], 1);
    assert_eq!(status(&stale)["disruptedPods"], Value::Null);
    let mut leaving = world(spec, noted("2026-01-01T00:59:30Z"), 2, 0, 2);
    leaving.pods[0] = pod(0, true, true);
    assert_eq!(status(&leaving)["currentHealthy"], 1);
    assert_eq!(status(&leaving)["disruptedPods"], Value::Null);
}

#[test]
fn a_controller_without_a_size_makes_the_budget_allow_nothing() {
    let mut world = world(json!({"maxUnavailable": 1}), json!({}), 2, 0, 2);
    world.sizes = Sizes::None {
        kind: "Job".to_owned(),
        name: "sum".to_owned(),
    };
    let status = status(&world);
    assert_eq!(status["disruptionsAllowed"], 0);
    assert_eq!(status["conditions"][0]["reason"], "SyncFailed");
    world.sizes = Sizes::Unread;
    assert_eq!(plan(&world, now()), Plan::default());
    assert!(Budgets::is_incomplete(&world));
}

proptest! {
    #[test]
    fn what_is_allowed_never_takes_more_than_the_budget_spares_and_a_second_pass_writes_nothing(
        ready in 0_usize..10,
        unready in 0_usize..5,
        limit in 0_i64..12,
        most in any::<bool>(),
    ) {
        let spec = if most { json!({"maxUnavailable": limit}) } else { json!({"minAvailable": limit}) };
        let size = (ready + unready) as i64;
        let first = world(spec.clone(), json!({}), ready, unready, size);
        let status = status(&first);
        let allowed = status["disruptionsAllowed"].as_i64().unwrap();
        let left = ready as i64 - allowed;
        let least = if most { size - limit } else { limit };
        prop_assert!(allowed == 0 || left >= least, "{left} of {least}");
        let second = world(spec, status, ready, unready, size);
        prop_assert_eq!(plan(&second, now()), Plan::default());
    }
}
