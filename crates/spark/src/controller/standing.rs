//! Servers that stay, on the engine: which of their objects are watched, and what of them is there.

use windlass_api::names::LabelValue;
use windlass_engine::api::ApiError;
use windlass_engine::plan::ObjectRef;
use windlass_engine::{Child, Kind, Object, View, Watch};

use crate::standing::{CHILD, POD};

/// The kinds of a server's objects, and the label with its name that all of them have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    /// The label.
    pub(super) label: &'static str,
    /// The kinds, pods aside.
    pub(super) kinds: &'static [Kind],
}

/// What is there of a server.
#[derive(Debug)]
pub(super) struct Found {
    /// Its pods.
    pub(super) pods: Vec<Object>,
    /// All else that has its label, of whomever it is.
    pub(super) others: Vec<Object>,
    /// Objects of somebody else that have a name of ours.
    pub(super) taken: Vec<ObjectRef>,
}

impl Parts {
    /// What is watched of servers.
    pub(super) fn children(self) -> Vec<Child> {
        let labelled = |kind: &Kind, trim| {
            let watch = Watch::all(kind.clone())
                .labels(self.label)
                .index(self.label)
                .trim(trim);
            Child::labelled(watch, self.label)
        };
        let mut children: Vec<Child> = self.kinds.iter().map(|it| labelled(it, CHILD)).collect();
        children.push(labelled(&Kind::POD, POD));
        children
    }

    /// What is there of the server that this object asks for, which is to have these objects; `None` for a name
    /// that no label can have, so that there is nothing.
    pub(super) async fn found(
        self,
        object: &Object,
        wanted: impl Iterator<Item = ObjectRef>,
        view: &View,
    ) -> Result<Option<Found>, ApiError> {
        let (namespace, name) = (object.namespace(), object.name());
        if LabelValue::new(name).is_err() {
            return Ok(None);
        }
        let mut others = Vec::new();
        for kind in self.kinds {
            others.extend(view.labelled(kind, namespace, self.label, name).await?);
        }
        let pods = view
            .labelled(&Kind::POD, namespace, self.label, name)
            .await?;
        let is_own = |it: &&Object| it.owner_uids().any(|uid| uid == object.uid());
        let mut taken = Vec::new();
        for target in wanted {
            let is_seen = |it: &Object| it.object_ref() == target;
            if others.iter().filter(is_own).any(is_seen) {
                continue;
            }
            // What has not our label is in no store.
            let kind = self.kind_of(&target);
            let found = view.live().get(&kind, &(&target).into()).await?;
            if found.is_some_and(|found| !is_own(&&found)) {
                taken.push(target);
            }
        }
        Ok(Some(Found {
            pods,
            others,
            taken,
        }))
    }

    fn kind_of(self, target: &ObjectRef) -> Kind {
        let mut known = self.kinds.iter();
        let known = known.find(|kind| kind.matches(&target.api_version, &target.kind));
        known.cloned().unwrap_or_else(|| Kind::of(target))
    }
}
