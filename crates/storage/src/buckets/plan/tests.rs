use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_api::storage::object_store::{ObjectStoreStatus, Ownership, Phase};
use windlass_engine::Object;

use super::*;
use crate::buckets::defaults::Defaults;
use crate::buckets::steps::Trouble;

const NOW: &str = "2026-01-01T00:10:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn object(spec: Value, is_deleting: bool) -> Object {
    let mut object = json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {
            "name": "history", "namespace": "jobs", "uid": "1", "generation": 2,
            "resourceVersion": "9", "finalizers": ["theirs", FINALIZER],
        },
        "spec": spec,
    });
    if is_deleting {
        object["metadata"]["deletionTimestamp"] = json!(NOW);
    }
    Object::new(object)
}

fn observed(spec: &Spec, result: Option<(Step, Result<Sight, StoreError>)>) -> Observed {
    let wanted = spec.wanted.as_ref().ok();
    Observed {
        secret: Secret::Unneeded,
        work: Work::Idle,
        answer: wanted.zip(result).map(|(wanted, (step, result))| Answer {
            question: wanted.question(None, spec.life.word()),
            step,
            failures: u32::from(result.is_err()),
            result,
            keys: vec!["AWS_ACCESS_KEY_ID".to_owned()],
            at: now(),
        }),
        turn: 4,
        refusal: None,
    }
}

fn reason(plan: &Plan<ObjectStoreStatus>) -> &str {
    &plan.status.conditions[0].reason
}

fn keys(plan: &Plan<ObjectStoreStatus>) -> Vec<&str> {
    let effects = plan.effects.iter();
    effects
        .filter_map(|it| match it {
            Effect::External { key } => Some(key.as_str()),
            _ => None,
        })
        .collect()
}

fn s3(policy: &str) -> Value {
    json!({"name": "logs", "provider": "S3", "deletionPolicy": policy})
}

#[test]
fn a_provider_that_nobody_knows_is_asked_for() {
    let spec = Spec::of(
        &object(json!({"name": "logs"}), false),
        &Defaults::default(),
    );
    let plan = plan(
        &spec,
        &ObjectStoreStatus::default(),
        &observed(&spec, None),
        now(),
    );
    assert_eq!(reason(&plan), "ProviderUnknown");
    assert!(plan.status.conditions[0].message.contains("spec.provider"));
    assert_eq!(plan.effects, []);
}

#[test]
fn what_is_known_without_a_mark_is_known_of_one_server_alone() {
    let spec = |endpoint: &str, is_deleting| {
        let spec = json!({
            "name": "logs", "provider": "S3", "endpoint": endpoint, "deletionPolicy": "Delete",
            "credentials": {"secretRef": {"name": "keys"}},
        });
        Spec::of(&object(spec, is_deleting), &Defaults::default())
    };
    let found = Ok(Sight::Present(Mark::Impossible));
    let before = ObjectStoreStatus {
        phase: Phase::Ready,
        bucket: Some("logs".to_owned()),
        provider: Some(Provider::S3),
        endpoint: Some("http://one".to_owned()),
        ownership: Some(Ownership::Recorded),
        ..ObjectStoreStatus::default()
    };
    let same = spec("http://one", false);
    let seen = observed(&same, Some((Step::Look, found.clone())));
    assert_eq!(reason(&plan(&same, &before, &seen, now())), "BucketReady");
    let moved = spec("http://two", false);
    let first = plan(&moved, &before, &observed(&moved, None), now());
    assert_eq!(
        (first.status.phase, first.status.ownership),
        (Phase::Pending, None)
    );
    assert_eq!(first.status.conditions[0].status, "False");
    let seen = observed(&moved, Some((Step::Look, found.clone())));
    let then = plan(&moved, &first.status, &seen, now());
    assert_eq!(reason(&then), "BucketNotOurs");
    // Nor is it deleted there.
    for (endpoint, expected) in [
        ("http://one", vec!["delete-recorded 4"]),
        ("http://two", vec![]),
    ] {
        let gone = spec(endpoint, true);
        let seen = observed(&gone, Some((Step::Look, found.clone())));
        assert_eq!(
            keys(&plan(&gone, &before, &seen, now())),
            expected,
            "{endpoint}"
        );
    }
}

#[test]
fn trouble_is_told_in_the_words_of_the_store_and_tried_again_after_a_while() {
    let spec = Spec::of(&object(s3("Retain"), false), &Defaults::default());
    for (trouble, expected) in [
        (Trouble::Credentials, "CredentialsRefused"),
        (Trouble::Denied, "AccessDenied"),
        (Trouble::Unreachable, "StoreUnreachable"),
        (Trouble::Unavailable, "StoreUnavailable"),
        (Trouble::Refused, "RequestRefused"),
    ] {
        let error = StoreError::new(trouble, "InvalidAccessKeyId: no such key");
        let mut observed = observed(&spec, Some((Step::Look, Err(error))));
        let first = plan(&spec, &ObjectStoreStatus::default(), &observed, now());
        assert_eq!(
            (reason(&first), first.status.phase),
            (expected, Phase::Failed)
        );
        assert!(first.status.conditions[0].message.contains("no such key"));
        assert_eq!(keys(&first), [""; 0]);
        assert_eq!(first.events.len(), 1);
        let after = first.wake_at.unwrap().duration_since(now());
        assert_eq!(after, SignedDuration::from_secs(2));
        // The same again is no news, and later it is asked again.
        let again = plan(&spec, &first.status, &observed, first.wake_at.unwrap());
        assert_eq!((&again.status, again.events.len()), (&first.status, 0));
        assert_eq!(keys(&again), ["look 4"]);
        // Other credentials are tried at once.
        observed.secret = Secret::Found("17".to_owned());
        let other = plan(&spec, &first.status, &observed, now());
        assert_eq!(keys(&other), ["look 4"]);
    }
    assert_eq!(back_off(1).as_secs(), 2);
    assert_eq!(back_off(40).as_secs(), LONGEST);
}

#[test]
fn a_refusal_to_make_a_bucket_takes_the_intent_back_and_silence_does_not() {
    let spec = Spec::of(&object(s3("Retain"), false), &Defaults::default());
    let intended = ObjectStoreStatus {
        phase: Phase::Creating,
        bucket: Some("logs".to_owned()),
        ..ObjectStoreStatus::default()
    };
    for (trouble, expected) in [
        (Trouble::Refused, Phase::Failed),
        (Trouble::Denied, Phase::Failed),
        (Trouble::Unreachable, Phase::Creating),
        (Trouble::Unavailable, Phase::Creating),
    ] {
        let error = StoreError::new(trouble, "no");
        let observed = observed(&spec, Some((Step::Create, Err(error))));
        let plan = plan(&spec, &intended, &observed, now());
        assert_eq!(plan.status.phase, expected, "{trouble:?}");
        let is_kept = expected == Phase::Creating;
        assert_eq!(plan.status.bucket.is_some(), is_kept, "{trouble:?}");
    }
}

#[test]
fn a_secret_that_is_missing_is_waited_for() {
    let spec = Spec::of(&object(s3("Delete"), false), &Defaults::default());
    let mut seen = observed(&spec, None);
    seen.secret = Secret::Missing("keys".to_owned());
    let kept = plan(&spec, &ObjectStoreStatus::default(), &seen, now());
    assert_eq!(
        (reason(&kept), kept.effects.len()),
        ("CredentialsMissing", 0)
    );
    let spec = Spec::of(&object(s3("Delete"), true), &Defaults::default());
    let going = plan(&spec, &ObjectStoreStatus::default(), &seen, now());
    assert_eq!(
        (reason(&going), going.effects.len()),
        ("CredentialsMissing", 0)
    );
    assert!(going.status.conditions[0].message.contains("Retain"));
    // A bucket that stays holds nothing up.
    let spec = Spec::of(&object(s3("Retain"), true), &Defaults::default());
    let going = plan(&spec, &ObjectStoreStatus::default(), &seen, now());
    let Effect::Patch { patch, .. } = &going.effects[0] else {
        panic!("{:?}", going.effects);
    };
    assert_eq!(
        *patch,
        json!({"metadata": {"resourceVersion": "9", "finalizers": ["theirs"]}})
    );
}

#[test]
fn a_store_that_is_down_holds_up_a_deletion_only_where_the_bucket_is_to_go() {
    for (policy, is_held) in [
        ("Retain", false),
        ("Delete", true),
        ("DeleteWithContents", true),
    ] {
        let spec = Spec::of(&object(s3(policy), true), &Defaults::default());
        let error = StoreError::new(Trouble::Unreachable, "connection refused");
        let observed = observed(&spec, Some((Step::Look, Err(error))));
        let plan = plan(&spec, &ObjectStoreStatus::default(), &observed, now());
        assert_eq!(plan.effects.is_empty(), is_held, "{policy}");
        assert_eq!(plan.basis == Basis::Live, !is_held, "{policy}");
    }
}

#[test]
fn nothing_is_asked_twice_at_once() {
    let spec = Spec::of(&object(s3("Retain"), false), &Defaults::default());
    let mut seen = observed(&spec, None);
    seen.work = Work::Running;
    let plan = plan(&spec, &ObjectStoreStatus::default(), &seen, now());
    assert_eq!(plan.effects, []);
    assert!(plan.wake_at.is_some());
}

fn marks() -> impl Strategy<Value = Mark> {
    prop_oneof![
        Just(Mark::Own),
        Just(Mark::Released),
        Just(Mark::Other("somebody".to_owned())),
        Just(Mark::None),
        Just(Mark::Impossible),
    ]
}

fn results() -> impl Strategy<Value = Result<Sight, StoreError>> {
    prop_oneof![
        Just(Ok(Sight::Absent)),
        Just(Ok(Sight::OutOfReach("403".to_owned()))),
        marks().prop_map(|mark| Ok(Sight::Present(mark))),
        marks().prop_map(|mark| Ok(Sight::NotEmpty(mark))),
        prop::sample::select(vec![
            Trouble::Credentials,
            Trouble::Unreachable,
            Trouble::Refused
        ])
        .prop_map(|trouble| Err(StoreError::new(trouble, "no"))),
    ]
}

fn statuses() -> impl Strategy<Value = ObjectStoreStatus> {
    let phases = vec![
        Phase::Pending,
        Phase::Creating,
        Phase::Ready,
        Phase::Failed,
        Phase::Deleting,
        Phase::Unknown,
    ];
    let ownerships = vec![
        None,
        Some(Ownership::Marked),
        Some(Ownership::Recorded),
        Some(Ownership::Existing),
    ];
    let buckets = vec![None, Some("logs".to_owned()), Some("other".to_owned())];
    (
        prop::sample::select(phases),
        prop::sample::select(ownerships),
        prop::sample::select(buckets),
    )
        .prop_map(|(phase, ownership, bucket)| ObjectStoreStatus {
            phase,
            ownership,
            bucket,
            ..ObjectStoreStatus::default()
        })
}

proptest! {
    /// What is not known to be ours is never marked or deleted, what is to stay is never deleted, and
    /// what is not over is looked at again.
    #[test]
    fn only_what_is_ours_is_changed(
        before in statuses(),
        result in prop::option::of((prop::sample::select(Step::ALL.to_vec()), results())),
        policy in prop::sample::select(vec!["Retain", "Delete", "DeleteWithContents"]),
        provider in prop::sample::select(vec!["S3", "GCS"]),
        existing in any::<bool>(),
        is_deleting in any::<bool>(),
    ) {
        let existing = existing && policy == "Retain";
        let spec = json!({
            "name": "logs", "provider": provider, "deletionPolicy": policy, "existing": existing,
        });
        let spec = Spec::of(&object(spec, is_deleting), &Defaults::default());
        let seen = observed(&spec, result.clone());
        let made = plan(&spec, &before, &seen, now());
        let mark = match &result {
            Some((_, Ok(Sight::Present(mark) | Sight::NotEmpty(mark)))) => Some(mark.clone()),
            _ => None,
        };
        let was_said = before.ownership == Some(Ownership::Recorded)
            || (before.phase == Phase::Creating && before.bucket.as_deref() == Some("logs"));
        for key in keys(&made) {
            let step = Step::of_key(key).unwrap();
            prop_assert!(!existing || step == Step::Look);
            match step {
                Step::Look => {}
                Step::Create => prop_assert!(mark.is_none() && !is_deleting),
                Step::Mark => prop_assert!(
                    mark == Some(Mark::Released) || (mark == Some(Mark::None) && was_said)
                ),
                Step::Release => {
                    prop_assert!(is_deleting && policy == "Retain" && mark == Some(Mark::Own));
                }
                Step::Delete(known, contents) => {
                    prop_assert!(is_deleting && policy != "Retain");
                    prop_assert!(contents == Contents::Keep || policy == "DeleteWithContents");
                    prop_assert_eq!(made.basis, Basis::Live);
                    match known {
                        Known::ByMark => prop_assert_eq!(mark.clone(), Some(Mark::Own)),
                        Known::ByRecord => prop_assert!(was_said),
                    }
                }
            }
        }
        prop_assert!(made.wake_at.is_some());
        // With the status it asked for, it asks for that again.
        let settled = plan(&spec, &made.status, &seen, now());
        prop_assert_eq!(&settled.status, &made.status);
        let once_more = plan(&spec, &settled.status, &seen, now());
        prop_assert_eq!(once_more.effects, settled.effects);
    }
}
