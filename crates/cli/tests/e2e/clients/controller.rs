//! A controller of kube's runtime: it makes a child of every parent, keeps it as it should be, and
//! cleans up behind a finalizer.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Error as FinalizerError, Event, finalizer};
use kube::runtime::watcher;
use kube::{Client, Resource as _, ResourceExt as _};
use parking_lot::Mutex;
use serde_json::json;

use super::{eventually, kube_client};
use crate::common::Up;

const FINALIZER: &str = "windlass.test/parent";

struct Context {
    maps: Api<ConfigMap>,
    /// What was cleaned up.
    cleaned: Mutex<Vec<String>>,
}

/// The transcript of a session.
pub(super) async fn session(up: Up) -> String {
    let client = kube_client(&up).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let context = Arc::new(Context {
        maps: maps.clone(),
        cleaned: Mutex::default(),
    });
    let controller = tokio::spawn(run(client, Arc::clone(&context)));
    let mut told = String::new();
    let mut tell = |what: &str, child: &ConfigMap| {
        let data = child.data.as_ref();
        let n = data.and_then(|data| data.get("n")).cloned();
        writeln!(
            told,
            "{what}: {} {}",
            child.name_any(),
            n.unwrap_or_default()
        )
        .unwrap();
    };

    let parent = maps
        .create(&PostParams::default(), &parent("1"))
        .await
        .unwrap();
    let child = child_with(&maps, "1").await;
    let owner = &child.owner_references()[0];
    assert_eq!(Some(&owner.uid), parent.meta().uid.as_ref());
    assert_eq!(owner.controller, Some(true));
    tell("made", &child);

    set(&maps, "2").await;
    let changed = child_with(&maps, "2").await;
    assert_eq!(changed.uid(), child.uid());
    tell("changed with its parent", &changed);

    maps.delete("family-child", &DeleteParams::default())
        .await
        .unwrap();
    let again = eventually("another child", || async {
        let found = maps.get_opt("family-child").await.ok()??;
        (found.uid() != child.uid()).then_some(found)
    })
    .await;
    tell("made again", &again);

    let wrong = json!({"data": {"n": "wrong"}});
    let edit = PatchParams::default();
    maps.patch("family-child", &edit, &Patch::Merge(&wrong))
        .await
        .unwrap();
    tell("put right", &child_with(&maps, "2").await);

    let up = Up::on(up.kill());
    set(&maps, "3").await;
    tell("changed after a restart", &child_with(&maps, "3").await);

    maps.delete("family", &DeleteParams::default())
        .await
        .unwrap();
    for name in ["family", "family-child"] {
        eventually("the family to be gone", || async {
            maps.get_opt(name).await.ok()?.is_none().then_some(())
        })
        .await;
        writeln!(told, "gone: {name}").unwrap();
    }
    writeln!(told, "cleaned up: {:?}", context.cleaned.lock()).unwrap();
    controller.abort();
    drop(up);
    told
}

fn parent(n: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some("family".to_owned()),
            labels: Some([("role".to_owned(), "parent".to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some([("n".to_owned(), n.to_owned())].into()),
        ..ConfigMap::default()
    }
}

/// Changes the parent, as soon as the server answers.
async fn set(maps: &Api<ConfigMap>, n: &str) {
    let change = json!({"data": {"n": n}});
    eventually("the parent to be changed", || async {
        let params = PatchParams::default();
        maps.patch("family", &params, &Patch::Merge(&change))
            .await
            .ok()
    })
    .await;
}

/// The child once it is as its parent.
async fn child_with(maps: &Api<ConfigMap>, n: &str) -> ConfigMap {
    eventually(&format!("a child with {n}"), || async {
        let child = maps.get_opt("family-child").await.ok()??;
        let is_so = child.data.as_ref()?.get("n")? == n;
        is_so.then_some(child)
    })
    .await
}

async fn run(client: Client, context: Arc<Context>) {
    let parents = Api::<ConfigMap>::default_namespaced(client.clone());
    let children = Api::<ConfigMap>::default_namespaced(client);
    Controller::new(parents, watcher::Config::default().labels("role=parent"))
        .owns(children, watcher::Config::default().labels("role=child"))
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(100)),
            context,
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn reconcile(
    parent: Arc<ConfigMap>,
    context: Arc<Context>,
) -> Result<Action, FinalizerError<kube::Error>> {
    let maps = &context.maps;
    finalizer(maps, FINALIZER, parent, |event| async {
        match event {
            Event::Apply(parent) => {
                let name = format!("{}-child", parent.name_any());
                let child = ConfigMap {
                    metadata: ObjectMeta {
                        name: Some(name.clone()),
                        labels: Some([("role".to_owned(), "child".to_owned())].into()),
                        owner_references: parent.controller_owner_ref(&()).map(|owner| vec![owner]),
                        ..ObjectMeta::default()
                    },
                    data: parent.data.clone(),
                    ..ConfigMap::default()
                };
                let apply = PatchParams::apply("family").force();
                maps.patch(&name, &apply, &Patch::Apply(&child)).await?;
            }
            Event::Cleanup(parent) => context.cleaned.lock().push(parent.name_any()),
        }
        Ok(Action::requeue(Duration::from_mins(5)))
    })
    .await
}
