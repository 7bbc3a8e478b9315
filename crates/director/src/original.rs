//! Applications and clusters in the words of the first KubeDirector (`kubedirector.bluedata.io/v1alpha1`),
//! as a pure function.
//!
//! Such an object is converted into one of today of its own name, which it owns; that one lives as every
//! other one does, and what is said of a cluster is said of the original in the words of that time.
//!
//! Laws:
//! - what was made by somebody else under that name is never changed: the original says so, and waits;
//! - of the one of today only what the original says is written, and it is changed when the original is:
//!   what it was converted into last is in an annotation.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Map, Value, json};
use windlass_api::director::cluster::ClusterStatus;
use windlass_api::director::original::{self, in_words_of_that_time};
use windlass_engine::plan::{Basis, Effect, EventNote, Plan};
use windlass_engine::{Kind, Object};

/// On an object of today: the specification that its original was converted into last.
pub const CONVERTED_ANNOTATION: &str = "windlass.dev/converted";

/// How often a name that somebody else has is looked at again.
const RESYNC: SignedDuration = SignedDuration::from_secs(30);

/// What an original is converted into.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The object of today.
    pub object: Value,
    /// What was not taken over as it stands.
    pub notes: Vec<String>,
}

/// What stands under the name of the original.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nothing.
    Absent,
    /// Something of somebody else's.
    Foreign,
    /// What was made of the original; nobody owns it where a backup has brought it back.
    Ours(Object),
}

impl Standing {
    /// What was found.
    pub fn of(original: &Object, found: Option<Object>) -> Self {
        match found {
            None => Self::Absent,
            Some(found) if is_owned(original, &found) || is_lost(&found) => Self::Ours(found),
            Some(_) => Self::Foreign,
        }
    }
}

/// What is seen of an original.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What stands under its name.
    pub standing: Standing,
    /// What the API refused last.
    pub refusal: Option<String>,
}

/// Decides about an original of a kind, whose twin is of that one. Pure and total. The status is that
/// of clusters; an application has none.
pub fn plan(
    object: &Object,
    twin: &Kind,
    wanted: &Result<Wanted, Vec<String>>,
    observed: &Observed,
    now: Timestamp,
) -> Plan<original::ClusterStatus> {
    let standing = &observed.standing;
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let before: original::ClusterStatus =
        serde_json::from_value(object.status().clone()).unwrap_or_default();
    let problems = match (wanted, standing) {
        (Err(problems), _) => problems.clone(),
        (Ok(_), Standing::Foreign) => vec![format!(
            "metadata.name: there is a {} of this name already, which is not made of this object; \
             delete one of the two, or give it another name",
            twin.kind
        )],
        (Ok(_), Standing::Absent | Standing::Ours(_)) => observed.refusal.iter().cloned().collect(),
    };
    let mut status = match standing {
        Standing::Ours(found) => {
            let status = found.status().clone();
            let known: ClusterStatus = serde_json::from_value(status).unwrap_or_default();
            in_words_of_that_time(&known)
        }
        Standing::Absent | Standing::Foreign => original::ClusterStatus::default(),
    };
    status.observed_generation = Some(object.generation());
    let mut events = Vec::new();
    if !problems.is_empty() {
        let told = problems.join("; ");
        status.conditions.retain(|it| it.type_ != DEGRADED);
        let condition = degraded(&before, &told, object.generation(), now);
        status.conditions.push(condition);
        status.message = Some(told.clone());
        if before.message.as_ref() != Some(&told) {
            events.push(EventNote::warning("NotConverted", "Convert", told));
        }
    }
    let effects = match (wanted, standing) {
        _ if object.is_deleting() => None,
        (Ok(wanted), Standing::Absent) => {
            for note in &wanted.notes {
                events.push(EventNote::normal("Converted", "Convert", note.clone()));
            }
            Some(Effect::Create(made(object, &wanted.object)))
        }
        (Ok(wanted), Standing::Ours(found)) => {
            change(object, &wanted.object, found).map(|patch| Effect::Patch {
                target: twin.object_ref(&found.key()),
                patch,
            })
        }
        (Err(_), _) | (Ok(_), Standing::Foreign) => None,
    };
    let waits = *standing == Standing::Foreign;
    Plan {
        status,
        effects: effects.into_iter().collect(),
        events,
        wake_at: waits.then(|| now.checked_add(RESYNC).ok()).flatten(),
        basis: Basis::Cached,
    }
}

const DEGRADED: &str = "Degraded";

fn degraded(
    before: &original::ClusterStatus,
    told: &str,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let known = before
        .conditions
        .iter()
        .find(|it| it.type_ == DEGRADED && it.status == "True");
    Condition {
        last_transition_time: known.map_or(Time(now), |it| it.last_transition_time.clone()),
        message: told.to_owned(),
        observed_generation: Some(generation),
        reason: "NotConverted".to_owned(),
        status: "True".to_owned(),
        type_: DEGRADED.to_owned(),
    }
}

fn is_owned(original: &Object, found: &Object) -> bool {
    found.owner_uids().any(|uid| uid == original.uid())
}

/// Whether it was made of an original of this name, and has no owner any more.
fn is_lost(found: &Object) -> bool {
    let is_controlled = found.owners().any(|owner| owner["controller"] == true);
    !is_controlled && found.annotation(CONVERTED_ANNOTATION).is_some()
}

fn owner(original: &Object) -> Value {
    json!({
        "apiVersion": original.api_version(),
        "kind": original.kind(),
        "name": original.name(),
        "uid": original.uid(),
        "controller": true,
    })
}

/// The object of today, owned by its original.
fn made(original: &Object, wanted: &Value) -> Value {
    let mut made = wanted.clone();
    let metadata = &mut made["metadata"];
    metadata["ownerReferences"] = json!([owner(original)]);
    metadata["annotations"][CONVERTED_ANNOTATION] = json!(wanted["spec"].to_string());
    made
}

/// The patch that makes what is there what is wanted, if it was made from something else or is nobody's.
fn change(original: &Object, wanted: &Value, found: &Object) -> Option<Value> {
    let text = wanted["spec"].to_string();
    let last = found.annotation(CONVERTED_ANNOTATION);
    let is_owned = is_owned(original, found);
    if (last == Some(text.as_str()) && is_owned) || found.is_deleting() {
        return None;
    }
    let last: Map<String, Value> = last
        .and_then(|last| serde_json::from_str(last).ok())
        .unwrap_or_default();
    let now: BTreeMap<&String, &Value> = wanted["spec"].as_object().into_iter().flatten().collect();
    let mut spec = Map::new();
    for (field, value) in &now {
        if last.get(*field) != Some(*value) {
            spec.insert((*field).clone(), (*value).clone());
        }
    }
    for field in last.keys().filter(|field| !now.contains_key(field)) {
        spec.insert(field.clone(), Value::Null);
    }
    let mut metadata = json!({
        "uid": found.uid(),
        "annotations": {CONVERTED_ANNOTATION: text},
    });
    if !is_owned {
        let others = found.owners().cloned();
        metadata["ownerReferences"] = others.chain([owner(original)]).collect();
    }
    Some(json!({"metadata": metadata, "spec": spec}))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: Kind = Kind::namespaced(
        "kubedirector.hpe.com",
        "v1beta1",
        "KubeDirectorCluster",
        "kubedirectorclusters",
    );

    fn original() -> Object {
        Object::new(json!({
            "apiVersion": "kubedirector.bluedata.io/v1alpha1",
            "kind": "KubeDirectorCluster",
            "metadata": {"name": "sql", "namespace": "team", "uid": "o", "generation": 2},
            "spec": {},
        }))
    }

    fn wanted(spec: &Value) -> Wanted {
        Wanted {
            object: json!({
                "apiVersion": "kubedirector.hpe.com/v1beta1",
                "kind": "KubeDirectorCluster",
                "metadata": {"name": "sql", "namespace": "team"},
                "spec": spec,
            }),
            notes: vec!["an underscore became a hyphen".to_owned()],
        }
    }

    fn planned(
        wanted: &Result<Wanted, Vec<String>>,
        standing: &Standing,
    ) -> Plan<original::ClusterStatus> {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let observed = Observed {
            standing: standing.clone(),
            refusal: None,
        };
        plan(&original(), &CLUSTER, wanted, &observed, now)
    }

    fn twin(object: Value, status: &Value) -> Standing {
        let mut object = object;
        object["metadata"]["uid"] = json!("t");
        object["status"] = status.clone();
        Standing::of(&original(), Some(Object::new(object)))
    }

    #[test]
    fn an_original_makes_one_of_today_that_it_owns_and_says_how_it_stands_in_its_own_words() {
        let first = Ok(wanted(&json!({"app": "spark", "serviceType": "NodePort"})));
        let plan = planned(&first, &Standing::Absent);
        let [Effect::Create(made)] = &plan.effects[..] else {
            panic!("{:?}", plan.effects)
        };
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "o");
        assert_eq!(plan.events.len(), 1);
        let status = json!({
            "state": "configured", "clusterService": "svc-sql-abcde",
            "roles": [{"id": "controller", "statefulSet": "s", "members": [
                {"pod": "s-0", "service": "svc-s-0", "state": "create pending", "nodeID": 1},
            ]}],
        });
        let standing = twin(made.clone(), &status);
        let plan = planned(&first, &standing);
        assert_eq!((plan.effects.len(), plan.events.len()), (0, 0));
        assert_eq!(plan.status.state, "ready");
        assert_eq!(plan.status.roles[0].members[0].state, "create_pending");
        assert_eq!(plan.status.observed_generation, Some(2));

        // Only what the original says, and has said, is changed.
        let second = Ok(wanted(&json!({"app": "spark", "roles": []})));
        let plan = planned(&second, &standing);
        let [Effect::Patch { patch, .. }] = &plan.effects[..] else {
            panic!("{:?}", plan.effects)
        };
        assert_eq!(patch["spec"], json!({"roles": [], "serviceType": null}));
        assert_eq!(patch["metadata"]["uid"], "t");
    }

    #[test]
    fn what_a_backup_brought_back_without_its_owner_is_owned_again() {
        let fine = Ok(wanted(&json!({"app": "spark"})));
        let plan = planned(&fine, &Standing::Absent);
        let [Effect::Create(made)] = &plan.effects[..] else {
            panic!("{:?}", plan.effects)
        };
        let mut lost = made.clone();
        lost["metadata"]["ownerReferences"] = json!([]);
        let plan = planned(&fine, &twin(lost, &json!({})));
        let [Effect::Patch { patch, .. }] = &plan.effects[..] else {
            panic!("{:?}", plan.effects)
        };
        let expected = &made["metadata"]["ownerReferences"];
        assert_eq!(&patch["metadata"]["ownerReferences"], expected);
        assert_eq!(patch["spec"], json!({}));
    }

    #[test]
    fn what_cannot_be_converted_or_is_somebody_elses_is_told_and_left_alone() {
        let refused = Err(vec!["spec.roles[0].members: must be a number".to_owned()]);
        let foreign = Standing::of(&original(), Some(Object::new(json!({"metadata": {}}))));
        let fine = Ok(wanted(&json!({"app": "spark"})));
        for (wanted, standing, expected) in [
            (&refused, &Standing::Absent, "spec.roles[0].members"),
            (
                &fine,
                &foreign,
                "there is a KubeDirectorCluster of this name already",
            ),
        ] {
            let plan = planned(wanted, standing);
            assert!(plan.effects.is_empty());
            let message = plan.status.message.unwrap();
            assert!(message.contains(expected), "{message}");
            assert_eq!(plan.status.conditions[0].type_, "Degraded");
            assert_eq!(plan.events.len(), 1);
        }
    }
}
