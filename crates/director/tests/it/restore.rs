//! A cluster that a backup brings back elsewhere: all its objects under other uids, without owners and
//! without a status, new pods, and what was on storage. An operator works all the time, and a call of it
//! goes wrong: every call, in every way. However it goes, there is one of everything, members with storage
//! go on where they were, and the others are set up once.

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_trial::Objects;

use crate::house::{CLUSTER, House, Place};
use crate::sweep::{STEP, all_know_each_other, pod_name, second_look};

/// What a tool that makes backups does not bring back.
const LEFT_OUT: [&str; 9] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "ownerReferences",
    "namespace",
    "finalizers",
];

/// All objects of a cluster, in the order in which a tool brings them back.
struct Backup(Vec<(Kind, Value)>);

/// A kind of which a cluster has objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Claim,
    Secret,
    Pod,
    Service,
    Cluster,
    Set,
}

impl Kind {
    /// In the order of Velero: what pods need, pods, and all others by their names.
    const ALL: [Self; 6] = [
        Self::Claim,
        Self::Secret,
        Self::Pod,
        Self::Service,
        Self::Cluster,
        Self::Set,
    ];

    fn of(self, place: &Place) -> Objects {
        match self {
            Self::Claim => place.claims(),
            Self::Secret => place.secrets(),
            Self::Pod => place.pods(),
            Self::Service => place.services(),
            Self::Cluster => place.clusters(),
            Self::Set => place.sets(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_a_restore() {
    let house = House::new().await;
    let backup = Backup::of(&house, &house.place("backed-up").await).await;
    let story = async |place: &Place| tell(&house, &backup, place).await;
    house.sweep("restore", STEP, story).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_object_comes_back_first_there_is_one_of_everything() {
    let house = House::new().await;
    let mut backup = Backup::of(&house, &house.place("backed-up").await).await;
    let lived = async |backup: &Backup| {
        let story = async |place: &Place| tell(&house, backup, place).await;
        house.lived("restore", Arc::default(), story).await
    };
    for _ in 0..3 {
        assert_eq!(lived(&backup).await, None);
        backup.0.rotate_left(3);
    }
    // The cluster first: what its operator makes meanwhile has the names of what comes.
    backup.0.sort_by_key(|(kind, _)| *kind != Kind::Cluster);
    assert_eq!(lived(&backup).await, None);
}

/// The story; the error is what was against the laws.
async fn tell(house: &House, backup: &Backup, place: &Place) -> Result<(), String> {
    house.members.copy_storage("backed-up", &place.namespace);
    // Pods are refused before the namespace has it.
    place.accounts().until_there("default", |_| true).await;
    for (kind, object) in &backup.0 {
        // What is there already a tool leaves alone.
        let restored = kind.of(place).try_create(object).await;
        if let Err(why) = restored
            && !why.contains("already exists")
        {
            return Err(format!("{kind:?} is refused: {why}"));
        }
    }
    let there = place.settled().await?;
    all_know_each_other(house, &there)?;
    let names = |kind: Kind, objects: &[Value]| {
        let mut names: Vec<String> = objects.iter().map(pod_name).collect();
        names.sort();
        format!("{kind:?} {names:?}")
    };
    let uid = place.clusters().get(CLUSTER).await.unwrap()["metadata"]["uid"].take();
    for kind in Kind::ALL {
        let found = backup.0.iter().filter(|(it, _)| *it == kind);
        let before: Vec<Value> = found.map(|(_, object)| object.clone()).collect();
        let after = kind.of(place).list().await;
        let (before, after_names) = (names(kind, &before), names(kind, &after));
        if before != after_names {
            return Err(format!("there was {before}, and there is {after_names}"));
        }
        let owned = after.iter().all(|object| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            let mut owners = owners.into_iter().flatten();
            owners.any(|owner| owner["uid"] == uid)
        });
        if !owned && !matches!(kind, Kind::Cluster | Kind::Pod) {
            return Err(format!("the cluster does not own all of {after_names}"));
        }
    }

    place
        .change(|spec| spec["roles"][1]["members"] = json!(3))
        .await;
    let more = place.settled().await?;
    all_know_each_other(house, &more)?;
    second_look(house, place, |_| false).await?;
    place.clusters().delete(CLUSTER).await;
    place.vanished().await
}

impl Backup {
    /// Of a cluster with members that have storage, and others.
    async fn of(house: &House, place: &Place) -> Self {
        let operator = tokio::spawn(house.operate(place, &Arc::default()));
        let mut cluster = Place::cluster(CLUSTER, 2);
        let storage = json!({"size": "1Gi", "storageClassName": "local-path"});
        cluster["spec"]["roles"][1]["storage"] = storage;
        place.clusters().create(cluster).await;
        let there = place.settled().await.unwrap();
        all_know_each_other(house, &there).unwrap();
        operator.abort();
        let _ = operator.await;
        let mut backup = Vec::new();
        for kind in Kind::ALL {
            for mut object in kind.of(place).list().await {
                bare(kind, &mut object);
                backup.push((kind, object));
            }
        }
        Self(backup)
    }
}

/// What a tool brings back of an object.
fn bare(kind: Kind, object: &mut Value) {
    let remove = |object: &mut Value, fields: &[&str]| {
        if let Some(all) = object.as_object_mut() {
            all.retain(|field, _| !fields.contains(&field.as_str()));
        }
    };
    remove(object, &["status"]);
    remove(&mut object["metadata"], &LEFT_OUT);
    match kind {
        Kind::Claim => remove(&mut object["spec"], &["volumeName"]),
        Kind::Pod => remove(&mut object["spec"], &["nodeName"]),
        Kind::Service if object["spec"]["clusterIP"] != "None" => {
            remove(&mut object["spec"], &["clusterIP", "clusterIPs"]);
        }
        Kind::Service | Kind::Secret | Kind::Cluster | Kind::Set => {}
    }
}
