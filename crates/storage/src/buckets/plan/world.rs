//! A world of one ObjectStore and a store, in which plans are carried out with the operator dying at any
//! point: before or after each write, and each call of a step.

use std::collections::BTreeMap;

use futures::executor::block_on;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use windlass_api::storage::object_store::{ObjectStoreStatus, Ownership, Phase};
use windlass_engine::Object;
use windlass_engine::plan::Effect;

use super::*;
use crate::buckets::defaults::Defaults;
use crate::buckets::steps::{
    Bucket, Creation, Deletion, Found, StoreError, Tags, Trouble, carry_out,
};

/// When a life begins.
const BEGIN: &str = "2026-01-01T00:00:00Z";
/// So many passes are enough for any life.
const ENOUGH: usize = 60;

/// How a store keeps marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marks {
    AtOnce,
    After,
    Never,
}

/// A bucket of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kept {
    tags: Tags,
    objects: usize,
}

/// A store, and the point at which the operator dies.
struct Store {
    marks: Marks,
    bucket: Mutex<Option<Kept>>,
    point: Mutex<Point>,
}

/// Points are counted; at the one that is named the operator dies.
#[derive(Debug, Default)]
struct Point {
    seen: usize,
    dies_at: Option<usize>,
    is_dead: bool,
}

impl Point {
    /// Whether the operator is alive past the next point.
    fn pass(&mut self) -> bool {
        self.seen += 1;
        self.is_dead |= self.dies_at == Some(self.seen);
        !self.is_dead
    }
}

fn dead() -> StoreError {
    StoreError::new(Trouble::Unreachable, "the operator is dead")
}

impl Store {
    fn call<T>(&self, change: impl FnOnce(&mut Option<Kept>) -> T) -> Result<T, StoreError> {
        if !self.point.lock().pass() {
            return Err(dead());
        }
        let answer = change(&mut self.bucket.lock());
        if self.point.lock().pass() {
            Ok(answer)
        } else {
            Err(dead())
        }
    }
}

impl Bucket for Store {
    async fn look(&self) -> Result<Found, StoreError> {
        let marks = self.marks;
        self.call(|bucket| match bucket {
            None => Found::Absent,
            Some(kept) => Found::Present((marks != Marks::Never).then(|| kept.tags.clone())),
        })
    }

    async fn create(&self, tags: &Tags) -> Result<Creation, StoreError> {
        let marks = self.marks;
        self.call(|bucket| {
            if bucket.is_some() {
                return Creation::Exists;
            }
            let mut kept = Kept::default();
            if marks == Marks::AtOnce {
                kept.tags = tags.clone();
            }
            *bucket = Some(kept);
            if marks == Marks::AtOnce {
                Creation::Marked
            } else {
                Creation::Bare
            }
        })
    }

    async fn mark(&self, tags: &Tags) -> Result<(), StoreError> {
        if self.marks == Marks::Never {
            return self.call(|_| ()).and_then(|()| {
                Err(StoreError::new(
                    Trouble::Refused,
                    "marks are not implemented",
                ))
            });
        }
        self.call(|bucket| {
            if let Some(kept) = bucket {
                kept.tags = tags.clone();
            }
        })
    }

    async fn delete(&self, contents: Contents) -> Result<Deletion, StoreError> {
        self.call(|bucket| {
            let Some(kept) = bucket else {
                return Deletion::Gone;
            };
            if contents == Contents::Remove {
                kept.objects = kept.objects.saturating_sub(2);
            }
            if kept.objects > 0 {
                return Deletion::NotEmpty;
            }
            *bucket = None;
            Deletion::Gone
        })
    }
}

/// Everything there is.
struct World {
    object: Option<Value>,
    store: Store,
    answer: Option<Answer>,
    turn: u64,
    now: Timestamp,
    writes: usize,
}

impl World {
    fn new(spec: Value, marks: Marks, bucket: Option<Kept>, dies_at: Option<usize>) -> Self {
        Self {
            object: Some(json!({
                "apiVersion": "banzaicloud.com/v1alpha1",
                "kind": "ObjectStore",
                "metadata": {
                    "name": "history", "namespace": "jobs", "uid": "1", "generation": 1,
                    "resourceVersion": "1",
                },
                "spec": spec,
            })),
            store: Store {
                marks,
                bucket: Mutex::new(bucket),
                point: Mutex::new(Point {
                    dies_at,
                    ..Point::default()
                }),
            },
            answer: None,
            turn: 0,
            now: BEGIN.parse().unwrap(),
            writes: 0,
        }
    }

    fn plan(&self, object: &Value) -> Plan<ObjectStoreStatus> {
        let object = Object::new(object.clone());
        let spec = Spec::of(&object, &Defaults::default());
        let observed = Observed {
            secret: Secret::Unneeded,
            work: Work::Idle,
            answer: self.answer.clone(),
            turn: self.turn,
            refusal: None,
        };
        plan(&spec, &status(&object), &observed, self.now)
    }

    /// One pass, in the order of the engine; tells whether anything was done.
    fn pass(&mut self) -> bool {
        let Some(mut object) = self.object.clone() else {
            return false;
        };
        let mut made = self.plan(&object);
        let mut written = serde_json::to_value(&made.status).unwrap();
        if object["status"] != written {
            if !self.store.point.lock().pass() {
                return true;
            }
            object["status"] = written.take();
            self.object = Some(object.clone());
            self.writes += 1;
            if !self.store.point.lock().pass() {
                return true;
            }
            made = self.plan(&object);
            assert_eq!(
                object["status"],
                serde_json::to_value(&made.status).unwrap()
            );
        }
        for effect in &made.effects {
            match effect {
                Effect::Patch { patch, .. } => {
                    if !self.store.point.lock().pass() {
                        return true;
                    }
                    let finalizers = patch["metadata"]["finalizers"].clone();
                    if let Some(identity) = patch["metadata"]["annotations"].get(IDENTITY) {
                        object["metadata"]["annotations"] = json!({IDENTITY: identity});
                    }
                    let is_free = finalizers == json!([]);
                    object["metadata"]["finalizers"] = finalizers;
                    let is_deleting = object["metadata"]["deletionTimestamp"].is_string();
                    self.object = (!is_deleting || !is_free).then(|| object.clone());
                    self.writes += 1;
                    if !self.store.point.lock().pass() {
                        return true;
                    }
                }
                Effect::External { key } => {
                    let spec = Spec::of(&Object::new(object.clone()), &Defaults::default());
                    let wanted = spec.wanted.unwrap();
                    let step = Step::of_key(key).unwrap();
                    let result = block_on(carry_out(&self.store, step, &wanted.owner));
                    self.writes += 1;
                    self.turn += 1;
                    let before = self.answer.as_ref().map_or(0, |it| it.failures);
                    self.answer = Some(Answer {
                        question: wanted.question(None, spec.life.word()),
                        step,
                        failures: if result.is_err() { before + 1 } else { 0 },
                        result,
                        keys: Vec::new(),
                        at: self.now,
                    });
                }
                other => panic!("{other:?}"),
            }
        }
        !made.effects.is_empty()
    }

    /// Until nothing is left to do, with a successor for an operator that dies.
    fn live(&mut self) {
        for _ in 0..ENOUGH {
            let has_acted = self.pass();
            let mut point = self.store.point.lock();
            if point.is_dead {
                point.is_dead = false;
                point.dies_at = None;
                drop(point);
                self.answer = None;
                self.turn = 0;
            } else if !has_acted {
                drop(point);
                let made = self.object.as_ref().map(|object| self.plan(object));
                let soon = self.now.checked_add(SOON).unwrap();
                match made.and_then(|it| it.wake_at) {
                    Some(due) if due <= soon => self.now = due,
                    _ => return,
                }
            }
            self.now = self.now.checked_add(SignedDuration::from_secs(1)).unwrap();
        }
        panic!("it never comes to an end: {:?}", self.object);
    }

    fn delete(&mut self) {
        let object = self.object.as_mut().unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    }

    fn bucket(&self) -> Option<Kept> {
        self.store.bucket.lock().clone()
    }

    fn status(&self) -> ObjectStoreStatus {
        status(&Object::new(self.object.clone().unwrap()))
    }
}

fn status(object: &Object) -> ObjectStoreStatus {
    serde_json::from_value(object.status().clone()).unwrap_or_default()
}

fn owner_tags() -> Tags {
    Tags {
        namespace: Some("jobs".to_owned()),
        name: Some("history".to_owned()),
        identity: Some("1".to_owned()),
    }
}

/// A provider whose stores keep marks so.
fn spec(marks: Marks, policy: &str) -> Value {
    let provider = match marks {
        Marks::AtOnce => "GCS",
        Marks::After | Marks::Never => "S3",
    };
    json!({"name": "logs", "provider": provider, "deletionPolicy": policy})
}

/// A life without trouble, and then one for each point at which the operator may die.
fn sweep(life: impl Fn(Option<usize>) -> World) {
    let points = life(None).store.point.lock().seen;
    assert!(points > 5, "{points}");
    for point in 1..=points {
        life(Some(point));
    }
}

const ALL_MARKS: [Marks; 3] = [Marks::AtOnce, Marks::After, Marks::Never];

#[test]
fn a_bucket_is_made_once_and_deleted_by_policy_wherever_the_operator_dies() {
    for marks in ALL_MARKS {
        for policy in ["Retain", "Delete", "DeleteWithContents"] {
            sweep(|dies_at| {
                let mut world = World::new(spec(marks, policy), marks, None, dies_at);
                world.live();
                let told = format!("{marks:?} {policy} {dies_at:?}");
                let status = world.status();
                assert_eq!(status.phase, Phase::Ready, "{told}: {status:?}");
                let ownership = if marks == Marks::Never {
                    Ownership::Recorded
                } else {
                    Ownership::Marked
                };
                assert_eq!(status.ownership, Some(ownership), "{told}");
                let kept = world.bucket().unwrap();
                if marks != Marks::Never {
                    assert_eq!(kept.tags, owner_tags(), "{told}");
                }
                let writes = world.writes;
                world.live();
                assert_eq!(world.writes, writes, "{told}: it is quiet when it is done");

                world.delete();
                world.live();
                assert_eq!(world.object, None, "{told}");
                assert_eq!(world.bucket().is_some(), policy == "Retain", "{told}");
                if policy == "Retain" && marks != Marks::Never {
                    assert_eq!(world.bucket().unwrap().tags.identity, None, "{told}");
                }
                world
            });
        }
    }
}

#[test]
fn a_bucket_with_something_in_it_waits_or_is_emptied_by_policy_wherever_the_operator_dies() {
    for marks in ALL_MARKS {
        sweep(|dies_at| {
            let mut world = World::new(spec(marks, "Delete"), marks, None, dies_at);
            world.live();
            world.store.bucket.lock().as_mut().unwrap().objects = 5;
            world.delete();
            world.live();
            let told = format!("{marks:?} {dies_at:?}");
            let status = world.status();
            assert_eq!(status.conditions[0].reason, "BucketNotEmpty", "{told}");
            assert_eq!(world.bucket().unwrap().objects, 5, "{told}");
            // Somebody decides that all of it may go.
            world.object.as_mut().unwrap()["spec"]["deletionPolicy"] = json!("DeleteWithContents");
            world.answer = None;
            world.live();
            assert_eq!((&world.object, world.bucket()), (&None, None), "{told}");
            world
        });
    }
}

#[test]
fn a_bucket_of_somebody_else_is_never_touched() {
    for marks in ALL_MARKS {
        for policy in ["Retain", "Delete", "DeleteWithContents"] {
            for tags in [
                Tags::default(),
                Tags {
                    name: Some("other".to_owned()),
                    ..owner_tags()
                },
                Tags {
                    identity: Some("other".to_owned()),
                    ..owner_tags()
                },
            ] {
                sweep(|dies_at| {
                    let bucket = Kept {
                        tags: tags.clone(),
                        objects: 3,
                    };
                    let before = Some(bucket.clone());
                    let mut world = World::new(spec(marks, policy), marks, before.clone(), dies_at);
                    world.live();
                    let status = world.status();
                    assert_eq!(status.conditions[0].reason, "BucketNotOurs", "{marks:?}");
                    assert_eq!(status.url, None);
                    world.delete();
                    world.live();
                    assert_eq!(world.object, None);
                    assert_eq!(world.bucket(), before);
                    world
                });
            }
        }
    }
}

#[test]
fn a_bucket_that_an_earlier_object_of_the_name_let_go_is_adopted() {
    for marks in [Marks::AtOnce, Marks::After] {
        sweep(|dies_at| {
            let bucket = Kept {
                tags: Tags {
                    identity: None,
                    ..owner_tags()
                },
                objects: 3,
            };
            let mut world = World::new(spec(marks, "Retain"), marks, Some(bucket), dies_at);
            world.live();
            assert_eq!(world.status().ownership, Some(Ownership::Marked));
            let kept = world.bucket().unwrap();
            assert_eq!((kept.tags, kept.objects), (owner_tags(), 3));
            world
        });
    }
}

#[test]
fn what_exists_is_used_and_nothing_is_written_on_it() {
    for marks in ALL_MARKS {
        let mut spec = spec(marks, "Retain");
        spec["existing"] = json!(true);
        let bucket = Some(Kept::default());
        let mut world = World::new(spec.clone(), marks, bucket.clone(), None);
        world.live();
        assert_eq!(world.status().ownership, Some(Ownership::Existing));
        assert_eq!(
            world.object.as_ref().unwrap()["metadata"]["finalizers"],
            Value::Null
        );
        assert_eq!(world.bucket(), bucket);
        let mut world = World::new(spec, marks, None, None);
        world.live();
        assert_eq!(world.status().conditions[0].reason, "BucketMissing");
        assert_eq!(world.bucket(), None);
    }
}

#[test]
fn a_bucket_that_is_lost_is_made_again_and_told() {
    let mut world = World::new(spec(Marks::After, "Retain"), Marks::After, None, None);
    world.live();
    *world.store.bucket.lock() = None;
    world.answer = None;
    let mut told = BTreeMap::new();
    for _ in 0..ENOUGH {
        let made = world.plan(world.object.as_ref().unwrap());
        for event in made.events {
            told.insert(event.reason, event.note);
        }
        if !world.pass() {
            break;
        }
    }
    assert!(told.contains_key("BucketLost"), "{told:?}");
    assert_eq!(world.status().phase, Phase::Ready);
    assert_eq!(world.bucket().unwrap().tags, owner_tags());
}
