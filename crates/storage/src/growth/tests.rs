use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use windlass_engine::{Object, ObjectKey};

use super::decide::{Claim, Class, Decision, decide};
use super::plan::{Observed, plan};
use super::policy::{self, Policy, PolicyError};
use super::usage::{self, Usage};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn read(annotations: &[(&'static str, &'static str)]) -> Result<Option<Policy>, PolicyError> {
    let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
    Policy::of(|name| annotations.get(name).copied())
}

fn policy(more: &[(&'static str, &'static str)]) -> Policy {
    let annotations = [&[(policy::MAX, "100Gi")], more].concat();
    read(&annotations).unwrap().unwrap()
}

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn claim(gib: u64) -> Claim {
    Claim {
        request: gib * GIB,
        capacity: Some(gib * GIB),
        is_raw: false,
        infeasible: None,
        grown_at: None,
    }
}

fn class() -> Class {
    Class {
        name: "fast".to_owned(),
        provisioner: "disk.example.com".to_owned(),
        expands: true,
    }
}

fn used(percent: u64) -> Usage {
    Usage {
        capacity: 1000,
        used: percent * 10,
        inodes: 0,
        inodes_used: 0,
    }
}

#[test]
fn annotations_are_read_or_told_with_their_name() {
    assert_eq!(read(&[]), Ok(None));
    let read_whole = policy(&[
        (policy::THRESHOLD, "90%"),
        (policy::STEP, "10Gi"),
        (policy::COOL_DOWN, "6h"),
    ]);
    assert_eq!(read_whole.cool_down, Some(SignedDuration::from_hours(6)));
    let told =
        |annotations: &[(&'static str, &'static str)]| read(annotations).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            told(&[(policy::STEP, "10Gi")]),
            told(&[(policy::MAX, "much")]),
            told(&[(policy::MAX, "0")]),
            told(&[(policy::MAX, "1Ti"), (policy::THRESHOLD, "80")]),
            told(&[(policy::MAX, "1Ti"), (policy::THRESHOLD, "120%")]),
            told(&[(policy::MAX, "1Ti"), (policy::STEP, "-1Gi")]),
            told(&[(policy::MAX, "1Ti"), (policy::COOL_DOWN, "soon")]),
        ]
        .join("\n")
    );
}

#[test]
fn a_volume_grows_when_it_is_full_may_grow_and_has_not_just_done_so() {
    let ago = |minutes: i64| Some(now() - SignedDuration::from_mins(minutes));
    let usual = policy(&[]);
    let grows = |gib: u64| Decision::Grow {
        to: gib * GIB,
        fullness: "80 % of its bytes are used".to_owned(),
    };
    let of =
        |claim: &Claim, usage: &Usage| decide(&usual, claim, Some(&class()), Some(usage), now());

    assert_eq!(of(&claim(10), &used(79)), Decision::Nothing);
    assert_eq!(of(&claim(10), &used(80)), grows(12));
    assert_eq!(
        of(
            &Claim {
                capacity: None,
                ..claim(10)
            },
            &used(99)
        ),
        Decision::Nothing
    );
    assert_eq!(
        decide(&usual, &claim(10), Some(&class()), None, now()),
        Decision::Nothing
    );
    // Not beyond the most, and not by less than can be.
    assert_eq!(of(&claim(95), &used(80)), grows(100));
    assert!(matches!(of(&claim(100), &used(80)), Decision::AtMax { .. }));
    assert!(matches!(of(&claim(120), &used(80)), Decision::AtMax { .. }));
    // While it grows, and after it.
    let grows_already = Claim {
        request: 12 * GIB,
        ..claim(10)
    };
    assert_eq!(
        of(&grows_already, &used(99)),
        Decision::Wait { until: None }
    );
    let just_grown = Claim {
        grown_at: ago(9),
        ..claim(10)
    };
    let until = Some(now() + SignedDuration::from_mins(1));
    assert_eq!(of(&just_grown, &used(99)), Decision::Wait { until });
    let long_ago = Claim {
        grown_at: ago(10),
        ..claim(10)
    };
    assert_eq!(of(&long_ago, &used(80)), grows(12));
    // Not before there are new figures, whatever is wished.
    let at_once = policy(&[(policy::COOL_DOWN, "0s")]);
    let a_minute_ago = Claim {
        grown_at: ago(1),
        ..claim(10)
    };
    let waits = decide(
        &at_once,
        &a_minute_ago,
        Some(&class()),
        Some(&used(99)),
        now(),
    );
    assert_eq!(waits, Decision::Wait { until });
    let ebs = Class {
        provisioner: "ebs.csi.aws.com".to_owned(),
        ..class()
    };
    let waits = decide(&usual, &long_ago, Some(&ebs), Some(&used(80)), now());
    assert!(
        matches!(waits, Decision::Wait { until: Some(_) }),
        "{waits:?}"
    );
    // Inodes count, too.
    let small_files = Usage {
        inodes: 100,
        inodes_used: 95,
        ..used(10)
    };
    let Decision::Grow { fullness, .. } = of(&claim(10), &small_files) else {
        panic!("it does not grow");
    };
    assert_eq!(fullness, "95 % of its inodes are used");
    // Small volumes grow by small steps.
    let small = Claim {
        request: 300 * MIB,
        capacity: Some(300 * MIB),
        ..claim(0)
    };
    let Decision::Grow { to, .. } = of(&small, &used(90)) else {
        panic!("it does not grow");
    };
    assert_eq!(to, 360 * MIB);
}

#[test]
fn what_cannot_grow_says_why() {
    let why = |claim: &Claim, class: Option<&Class>| match decide(
        &policy(&[]),
        claim,
        class,
        Some(&used(85)),
        now(),
    ) {
        Decision::Cannot(why) => why,
        other => panic!("{other:?}"),
    };
    let fixed = Class {
        expands: false,
        ..class()
    };
    let failed = Claim {
        infeasible: Some("out of quota".to_owned()),
        ..claim(10)
    };
    insta::assert_snapshot!(
        [
            why(
                &Claim {
                    is_raw: true,
                    ..claim(10)
                },
                Some(&class())
            ),
            why(&claim(10), None),
            why(&claim(10), Some(&fixed)),
            why(&failed, Some(&class())),
        ]
        .join("\n")
    );
}

#[test]
fn figures_are_those_of_claims_and_the_fullest_ones() {
    let volume = |claim: &str, capacity: u64, available: u64| {
        json!({
            "pvcRef": {"namespace": "team", "name": claim},
            "capacityBytes": capacity, "availableBytes": available, "usedBytes": 1, "inodes": 7, "inodesUsed": 3,
        })
    };
    let summary = json!({
        "node": {"nodeName": "one"},
        "pods": [
            {"volume": [volume("data", 100, 40), {"name": "scratch", "capacityBytes": 9, "usedBytes": 9}]},
            {"volume": [volume("data", 100, 30)]},
            // A driver that does not know.
            {"volume": [volume("unknown", 0, 0)]},
            {},
        ],
    });
    let found = usage::of_node(&summary);
    let data = Usage {
        capacity: 100,
        used: 70,
        inodes: 7,
        inodes_used: 3,
    };
    assert_eq!(
        found,
        BTreeMap::from([(ObjectKey::namespaced("team", "data"), data)])
    );
    assert_eq!(usage::of_node(&json!("nonsense")), BTreeMap::new());
}

proptest! {
    #[test]
    fn whatever_is_known_a_volume_only_grows_and_never_beyond_the_most(
        capacity in 1..1u64 << 50, request in 1..1u64 << 50, max in 1..1u64 << 50,
        share in 1..=100u8, all in 1..u64::MAX, used in 0..u64::MAX,
    ) {
        let text = |bytes: u64| -> &'static str { Box::leak(bytes.to_string().into_boxed_str()) };
        let step: &'static str = Box::leak(format!("{share}%").into_boxed_str());
        let policy = read(&[(policy::MAX, text(max)), (policy::STEP, step)]).unwrap().unwrap();
        let claim = Claim { request, capacity: Some(capacity), ..claim(0) };
        let usage = Usage { capacity: all, used, inodes: 0, inodes_used: 0 };
        if let Decision::Grow { to, .. } = decide(&policy, &claim, Some(&class()), Some(&usage), now()) {
            prop_assert!(to > capacity && to > request && to <= max);
        }
    }
}

#[test]
fn a_step_is_one_write_with_its_time_and_what_is_wrong_is_a_condition() {
    let object = |annotations: serde_json::Value, conditions: serde_json::Value| {
        Object::new(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data", "namespace": "team", "resourceVersion": "7", "annotations": annotations,
            },
            "spec": {"resources": {"requests": {"storage": "10Gi"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}, "conditions": conditions},
        }))
    };
    let observed = |percent: u64| Observed {
        class: Some(class()),
        usage: Some(used(percent)),
        refusal: None,
    };
    let trouble = json!([{
        "type": "windlass.dev/AutoGrow", "status": "False", "reason": "AtMax", "message": "old",
    }]);
    let max = |max: &str| json!({policy::MAX: max});
    let plans = [
        (
            "there is room",
            plan(&object(max("1Ti"), json!([])), &observed(10), now()),
        ),
        (
            "there is room again",
            plan(&object(max("1Ti"), trouble.clone()), &observed(10), now()),
        ),
        (
            "it is full",
            plan(&object(max("1Ti"), json!([])), &observed(90), now()),
        ),
        (
            "it is full and at its most",
            plan(&object(max("10Gi"), json!([])), &observed(90), now()),
        ),
        (
            "what it says cannot be meant",
            plan(&object(max("a lot"), json!([])), &observed(90), now()),
        ),
        (
            "it says nothing any more",
            plan(&object(json!({}), trouble), &observed(90), now()),
        ),
    ];
    let shown = plans.map(|(name, plan)| {
        format!(
            "{name}: wake {:?}\n{:#?}\n{:#?}",
            plan.wake_at.map(|it| it.to_string()),
            plan.effects,
            plan.events
        )
    });
    insta::assert_snapshot!(shown.join("\n\n"));
}
