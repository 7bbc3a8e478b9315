//! Whose an object is that has the labels of a cluster.
//!
//! A backup brings a cluster and its objects back under other uids, without the references that said
//! whose they are, or with references to an owner that is no more. Such objects are taken for the
//! cluster's again, so that members find their names, their storage and what they have been told.
//!
//! Laws:
//! - what has another controller is never touched. An owner of the cluster's name with another uid is
//!   another one, too: whoever deletes a cluster and makes it anew gets nothing of what is being
//!   collected. Only a cluster that is known to have had that uid before is its successor;
//! - what has no controller is the cluster's when it has its labels and was made by an operator, as
//!   Kubernetes' own controllers adopt what their selectors select;
//! - what is being deleted is not adopted.

use serde_json::Value;
use windlass_api::director::admission::IDENTITY;
use windlass_engine::Object;

use crate::build::CLUSTER_KIND;

/// Whose an object is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Belonging {
    /// The cluster owns it.
    #[default]
    Own,
    /// Nobody owns it, or the cluster that this one was before.
    Lost {
        /// Other references to owners, which stay.
        others: Vec<Value>,
    },
    /// Somebody else's.
    Foreign,
}

impl Belonging {
    /// Whose an object is that has the labels of this cluster.
    pub fn of(object: &Object, cluster: &Object) -> Self {
        if object.owner_uids().any(|uid| uid == cluster.uid()) {
            return Self::Own;
        }
        let (_, kind) = CLUSTER_KIND;
        let former = cluster.annotation(IDENTITY);
        let is_former = |owner: &Value| {
            owner["kind"] == kind
                && owner["name"] == cluster.name()
                && owner["uid"].as_str().is_some_and(|uid| Some(uid) == former)
        };
        let others: Vec<Value> = object
            .owners()
            .filter(|owner| !is_former(owner))
            .cloned()
            .collect();
        let has_another = others.iter().any(|owner| owner["controller"] == true);
        if has_another || object.is_deleting() {
            return Self::Foreign;
        }
        Self::Lost { others }
    }

    /// Whether it is the cluster's, or is to be.
    pub fn is_ours(&self) -> bool {
        *self != Self::Foreign
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(identity: Option<&str>) -> Object {
        let mut cluster = json!({"metadata": {"name": "sql", "uid": "new"}});
        if let Some(identity) = identity {
            cluster["metadata"]["annotations"] = json!({IDENTITY: identity});
        }
        Object::new(cluster)
    }

    fn owner(kind: &str, name: &str, uid: &str, controller: bool) -> Value {
        json!({"kind": kind, "name": name, "uid": uid, "controller": controller})
    }

    #[test]
    fn what_came_back_with_the_cluster_is_adopted_and_what_is_somebody_elses_is_not() {
        let of_cluster = |uid| owner("KubeDirectorCluster", "sql", uid, true);
        let beside = owner("Project", "p", "p", false);
        let lost = |others: &[&Value]| Belonging::Lost {
            others: others.iter().map(|it| (*it).clone()).collect(),
        };
        for (what, owners, identity, expected) in [
            ("its own", vec![of_cluster("new")], None, Belonging::Own),
            (
                "its own, and another owner",
                vec![beside.clone(), of_cluster("new")],
                Some("old"),
                Belonging::Own,
            ),
            ("without owners", vec![], None, lost(&[])),
            (
                "with an owner that controls nothing",
                vec![beside.clone()],
                None,
                lost(&[&beside]),
            ),
            (
                "of what the cluster was",
                vec![of_cluster("old"), beside.clone()],
                Some("old"),
                lost(&[&beside]),
            ),
            (
                "of one of that name that was deleted",
                vec![of_cluster("old")],
                None,
                Belonging::Foreign,
            ),
            (
                "of one of that name, and not the former",
                vec![of_cluster("old")],
                Some("other"),
                Belonging::Foreign,
            ),
            (
                "of another cluster",
                vec![owner("KubeDirectorCluster", "etl", "old", true)],
                Some("old"),
                Belonging::Foreign,
            ),
            (
                "of another kind",
                vec![owner("Cassandra", "sql", "old", true)],
                Some("old"),
                Belonging::Foreign,
            ),
        ] {
            let object = Object::new(json!({"metadata": {"ownerReferences": owners}}));
            assert_eq!(
                Belonging::of(&object, &cluster(identity)),
                expected,
                "{what}"
            );
        }
    }

    #[test]
    fn what_is_being_deleted_is_not_adopted_and_stays_whose_it_is() {
        let deleted = |owners: Value| {
            let time = "2026-01-01T00:00:00Z";
            Object::new(json!({"metadata": {"deletionTimestamp": time, "ownerReferences": owners}}))
        };
        let cluster = cluster(Some("old"));
        let orphan = deleted(json!([]));
        assert_eq!(Belonging::of(&orphan, &cluster), Belonging::Foreign);
        let own = deleted(json!([owner("KubeDirectorCluster", "sql", "new", true)]));
        assert_eq!(Belonging::of(&own, &cluster), Belonging::Own);
    }
}
