//! Objects, as the API has them, to what decisions rest on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use windlass_api::quantity::Quantity;
use windlass_engine::Object;
use windlass_engine::view::External;

use super::auto_grow::AutoGrowMarks;
use super::belonging::Belonging;
use super::hooks::{HookState, Outcome};
use super::marks::{ClaimMarks, PodMarks};
use super::observed::{
    Container, Content, ObservedClaim, ObservedDelivery, ObservedPod, ObservedSet, ObservedVolume,
    Present,
};
use crate::build::{
    APP_CONTAINER, CONTENT_ANNOTATION, GENERATION_ANNOTATION, HASH_ANNOTATION, INIT_CONTAINER, Seed,
};
use crate::names::ROLE_LABEL;

/// Why a container waits as long as all goes well.
const USUAL_WAITS: [&str; 2] = ["ContainerCreating", "PodInitializing"];

impl Present {
    /// An object of this cluster, or of nobody; nothing when it is somebody else's. What an operator has
    /// made says what from.
    pub fn of(object: &Object, cluster: &Object) -> Option<Self> {
        let belonging = Belonging::of(object, cluster);
        let is_made = belonging == Belonging::Own || object.annotation(HASH_ANNOTATION).is_some();
        (belonging.is_ours() && is_made).then(|| Self {
            belonging,
            content: (!object.spec().is_null()).then(|| {
                let metadata = &object.as_value()["metadata"];
                Content {
                    revision: metadata["resourceVersion"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    labels: metadata["labels"].clone(),
                    spec: object.spec().clone(),
                }
            }),
            ..Self::read(object)
        })
    }

    fn read(object: &Object) -> Self {
        Self {
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            made_from: object.annotation(HASH_ANNOTATION).map(str::to_owned),
            belonging: Belonging::Own,
            content: None,
        }
    }
}

impl ObservedSet {
    /// A StatefulSet of this cluster, or of nobody, and its role; nothing when it says no role.
    pub fn of(object: &Object, cluster: &Object) -> Option<(String, Self)> {
        let spec = object.spec();
        // The API's default.
        let replicas = spec["replicas"].as_u64().unwrap_or(1);
        let claims = spec["volumeClaimTemplates"].as_array();
        let set = Self {
            object: Present::of(object, cluster)?,
            deleting: object.is_deleting(),
            replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
            claims: claims
                .filter(|claims| !claims.is_empty())
                .map(|claims| Value::Array(claims.clone())),
        };
        Some((object.label(ROLE_LABEL)?.to_owned(), set))
    }
}

impl ObservedDelivery {
    /// The Secret of the delivery, of this cluster or of nobody.
    pub fn of(object: &Object, cluster: &Object) -> Option<Self> {
        let value = object.as_value();
        let seed = value["data"][Seed::KEY].as_str();
        let seed = seed.and_then(|text| STANDARD.decode(text).ok());
        let seed = seed.and_then(|bytes| String::from_utf8(bytes).ok());
        let generation = object.annotation(GENERATION_ANNOTATION);
        let content = object.annotation(CONTENT_ANNOTATION);
        Some(Self {
            object: Present::of(object, cluster)?,
            generation: generation.and_then(|it| it.parse().ok()).unwrap_or(0),
            content: content.unwrap_or_default().to_owned(),
            seed: seed.map(Seed::new),
        })
    }
}

impl ObservedPod {
    /// A pod; nothing when it is no member.
    pub fn of(object: &Object) -> Option<Self> {
        let status = object.status();
        let app = container(status, "containerStatuses", APP_CONTAINER);
        // Where there is storage, the image is first wanted by the container that copies directories to it.
        let init = container(status, "initContainerStatuses", INIT_CONTAINER);
        let unscheduled = condition(status, "PodScheduled").filter(|it| it["status"] == "False");
        let unscheduled = unscheduled.map(|it| it["message"].as_str().unwrap_or_default());
        Some(Self {
            object: Present::read(object),
            role: object.label(ROLE_LABEL)?.to_owned(),
            ordinal: ordinal(object)?,
            created: time(&object.as_value()["metadata"]["creationTimestamp"]),
            deleting: object.is_deleting(),
            container: state(status, app),
            ready: condition(status, "Ready").is_some_and(|it| it["status"] == "True"),
            marks: PodMarks::read(&annotations(object)),
            scheduling_error: unscheduled.map(str::to_owned),
            trouble: in_the_way(init).or_else(|| in_the_way(app)),
            init_container: init_container(status),
        })
    }
}

impl ObservedClaim {
    /// A claim of a cluster's member; nothing when it is none. The StatefulSet controller makes them, and
    /// other tools bring them back.
    pub fn of(object: &Object, cluster: &Object) -> Option<Self> {
        let belonging = Belonging::of(object, cluster);
        belonging.is_ours().then_some(())?;
        Some(Self {
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            role: object.label(ROLE_LABEL)?.to_owned(),
            ordinal: ordinal(object)?,
            belonging,
            deleting: object.is_deleting(),
            marks: ClaimMarks::read(&annotations(object)),
            auto_grow: AutoGrowMarks::read(&annotations(object)),
            revision: object.as_value()["metadata"]["resourceVersion"]
                .as_str()
                .map(str::to_owned),
            volume: volume(object),
        })
    }
}

impl From<&External> for HookState {
    fn from(external: &External) -> Self {
        match external {
            External::Running => Self::Running,
            External::Done(value) => Self::Over(Outcome::of_value(value)),
            External::Failed(detail) => Self::Over(Outcome::Later {
                detail: detail.clone(),
            }),
        }
    }
}

fn volume(claim: &Object) -> ObservedVolume {
    let (spec, status) = (claim.spec(), claim.status());
    let size = |of: &Value| -> Option<Quantity> { of["storage"].as_str()?.parse().ok() };
    let holds = |kind: &str| condition(status, kind).filter(|it| it["status"] == "True");
    let failed = ["ControllerResizeError", "NodeResizeError"].map(holds);
    let trouble = failed.into_iter().flatten().next();
    let resize = status["allocatedResourceStatuses"]["storage"].as_str();
    // The second word is that of Kubernetes before 1.31.
    let given_up = resize.filter(|it| it.ends_with("Infeasible") || it.ends_with("Failed"));
    let message = trouble.and_then(|it| it["message"].as_str());
    ObservedVolume {
        bound: status["phase"] == "Bound",
        request: size(&spec["resources"]["requests"]),
        capacity: size(&status["capacity"]),
        waits_since: holds("FileSystemResizePending")
            .and_then(|it| time(&it["lastTransitionTime"])),
        trouble: message.or(given_up).map(str::to_owned),
        given_up: given_up.is_some(),
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn init_container(status: &Value) -> Option<String> {
    let init = container(status, "initContainerStatuses", INIT_CONTAINER);
    let id = init["containerID"].as_str().filter(|id| !id.is_empty())?;
    init["state"]["running"].is_object().then(|| id.to_owned())
}

/// How the container of a member stands.
fn state(status: &Value, app: &Value) -> Container {
    let id = app["containerID"].as_str().filter(|id| !id.is_empty());
    // The node controller says so of pods whose node it has not heard of for a while.
    let is_lost = status["reason"] == "NodeLost"
        || condition(status, "Ready").is_some_and(|it| it["reason"] == "NodeStatusUnknown");
    let init = container(status, "initContainerStatuses", INIT_CONTAINER);
    match (&app["state"], id) {
        (state, Some(id)) if state["running"].is_object() && is_lost => {
            Container::Unresponsive { id: id.to_owned() }
        }
        (state, Some(id)) if state["running"].is_object() => {
            Container::Running { id: id.to_owned() }
        }
        (state, _) if state["terminated"].is_object() => Container::Terminated,
        _ if init["state"]["running"].is_object() => Container::Initializing,
        (state, _) if state["waiting"].is_object() => Container::Waiting,
        _ if status["phase"] == "Pending" => Container::Waiting,
        _ => Container::Unknown,
    }
}

/// Why a container does not start.
fn in_the_way(container: &Value) -> Option<String> {
    let waiting = &container["state"]["waiting"];
    let reason = waiting["reason"].as_str()?;
    let message = waiting["message"].as_str().unwrap_or_default();
    let told = || format!("{reason} {message}").trim().to_owned();
    (!USUAL_WAITS.contains(&reason)).then(told)
}

fn container<'o>(status: &'o Value, list: &str, name: &str) -> &'o Value {
    let all = status[list].as_array();
    let mut all = all.into_iter().flatten();
    all.find(|it| it["name"] == name).unwrap_or(&Value::Null)
}

fn condition<'o>(status: &'o Value, kind: &str) -> Option<&'o Value> {
    let mut all = status["conditions"].as_array().into_iter().flatten();
    all.find(|it| it["type"] == kind)
}

/// The number that the names of a StatefulSet's pods and claims end in.
fn ordinal(object: &Object) -> Option<u32> {
    let (_, ordinal) = object.name().rsplit_once('-')?;
    ordinal.parse().ok()
}

fn annotations(object: &Object) -> std::collections::BTreeMap<String, String> {
    let annotations = object.as_value()["metadata"]["annotations"].as_object();
    let annotations = annotations.into_iter().flatten();
    annotations
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Object {
        Object::new(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "kdss-x-12",
                "uid": "u",
                "labels": {ROLE_LABEL: "worker"},
                "annotations": {HASH_ANNOTATION: "h", "kubedirector.hpe.com/hooks": "3"},
            },
            "status": status,
        }))
    }

    fn app(state: Value) -> Value {
        json!({"containerStatuses": [
            {"name": "beside", "state": {"running": {}}, "containerID": "containerd://b"},
            {"name": "app", "state": state, "containerID": "containerd://a"},
        ]})
    }

    #[test]
    fn containers_stand_as_the_kubelet_says() {
        let id = || "containerd://a".to_owned();
        let lost = json!({
            "conditions": [{"type": "Ready", "status": "False", "reason": "NodeStatusUnknown"}],
            "containerStatuses": app(json!({"running": {}}))["containerStatuses"],
        });
        let init = json!({
            "phase": "Pending",
            "initContainerStatuses": [{"name": "init", "state": {"running": {}}}],
            "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "PodInitializing"}}}],
        });
        for (status, expected) in [
            (
                app(json!({"running": {"startedAt": "x"}})),
                Container::Running { id: id() },
            ),
            (lost, Container::Unresponsive { id: id() }),
            (
                app(json!({"terminated": {"exitCode": 1}})),
                Container::Terminated,
            ),
            (
                app(json!({"waiting": {"reason": "CrashLoopBackOff"}})),
                Container::Waiting,
            ),
            (init, Container::Initializing),
            (json!({"phase": "Pending"}), Container::Waiting),
            (json!({}), Container::Unknown),
        ] {
            let read = ObservedPod::of(&pod(status.clone())).unwrap();
            assert_eq!(read.container, expected, "{status}");
        }
    }

    #[test]
    fn a_pod_is_read_with_what_is_in_its_way() {
        let read = ObservedPod::of(&pod(json!({
            "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit"},
                {"type": "Ready", "status": "True"},
            ],
            "containerStatuses": [{"name": "app", "state": {"waiting": {
                "reason": "ImagePullBackOff", "message": "no such image",
            }}}],
        })))
        .unwrap();
        assert_eq!((read.role.as_str(), read.ordinal), ("worker", 12));
        assert_eq!(read.object.made_from.as_deref(), Some("h"));
        assert_eq!(read.marks.hooks, 3);
        assert!(read.ready);
        assert_eq!(read.scheduling_error.as_deref(), Some("0/3 nodes fit"));
        assert_eq!(
            read.trouble.as_deref(),
            Some("ImagePullBackOff no such image")
        );
        let copies = ObservedPod::of(&pod(json!({
            "initContainerStatuses": [{"name": "init", "state": {"waiting": {
                "reason": "ErrImagePull", "message": "no such host",
            }}}],
            "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "PodInitializing"}}}],
        })))
        .unwrap();
        assert_eq!(copies.trouble.as_deref(), Some("ErrImagePull no such host"));
        let nobody = Object::new(json!({"metadata": {"name": "x-1"}}));
        assert_eq!(ObservedPod::of(&nobody), None);
    }

    #[test]
    fn what_was_built_is_read_again() {
        let blueprint = crate::samples::everything();
        let subject = blueprint.subject();
        let names = crate::names::Names::settle(subject, ["node"], Default::default());
        let role = blueprint.role("node").unwrap();
        let set = crate::build::stateful_set(&blueprint, &names, role, 2, None);
        let cluster =
            Object::new(json!({"metadata": {"name": blueprint.name, "uid": blueprint.uid}}));
        let (id, read) = ObservedSet::of(&Object::new(set.clone()), &cluster).unwrap();
        assert_eq!((id.as_str(), read.replicas), ("node", 2));
        assert_eq!(
            read.claims.as_ref(),
            Some(&set["spec"]["volumeClaimTemplates"])
        );
        assert!(read.object.made_from.is_some());

        let mut claim = set["spec"]["volumeClaimTemplates"][0].clone();
        claim["metadata"]["name"] = json!("p-all-node-x-1");
        let claim = Object::new(claim);
        let read = ObservedClaim::of(&claim, &cluster).unwrap();
        assert_eq!((read.role.as_str(), read.ordinal), ("node", 1));
        assert_eq!(read.belonging, Belonging::Own);
        let another = Object::new(json!({"metadata": {"name": blueprint.name, "uid": "another"}}));
        assert_eq!(ObservedClaim::of(&claim, &another), None);
        assert_eq!(ObservedSet::of(&Object::new(set.clone()), &another), None);
        let (_, read) = ObservedSet::of(&Object::new(set), &cluster).unwrap();
        assert!(!read.makes_claims_of_others(&blueprint.uid));
        assert!(read.makes_claims_of_others("another"));

        let seed = Seed::new("s");
        let delivery = crate::build::Delivery {
            generation: 7,
            document: crate::configmeta::Document::of(
                &blueprint.describe(&names, |_| 1, |_| None),
                &Default::default(),
                &[],
            ),
            memo: String::new(),
            seed: seed.clone(),
        };
        let secret = crate::build::delivery_secret(&blueprint, &names, &delivery, "c");
        let read = ObservedDelivery::of(&Object::new(secret), &cluster).unwrap();
        assert_eq!((read.generation, read.content.as_str()), (7, "c"));
        assert_eq!(read.seed, Some(seed));
    }

    #[test]
    fn a_claim_tells_how_far_its_volume_is() {
        let read = |status: Value| {
            volume(&Object::new(json!({
                "metadata": {"name": "p-x-1"},
                "spec": {"resources": {"requests": {"storage": "20Gi"}}},
                "status": status,
            })))
        };
        let size = |text: &str| Some(text.parse::<Quantity>().unwrap());
        assert_eq!(read(json!({"phase": "Pending"})).request, size("20Gi"));
        let waits = read(json!({
            "phase": "Bound",
            "capacity": {"storage": "10Gi"},
            "conditions": [{
                "type": "FileSystemResizePending", "status": "True",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        }));
        assert_eq!(
            waits,
            ObservedVolume {
                bound: true,
                request: size("20Gi"),
                capacity: size("10Gi"),
                waits_since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
                ..ObservedVolume::default()
            }
        );
        let failed = read(json!({
            "phase": "Bound",
            "allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"},
            "conditions": [{
                "type": "ControllerResizeError", "status": "True", "message": "no room",
            }],
        }));
        assert_eq!(failed.trouble.as_deref(), Some("no room"));
        assert!(failed.given_up);
    }

    #[test]
    fn what_became_of_external_work_is_read() {
        let done = External::Done(Outcome::Fine.to_value());
        assert_eq!(HookState::from(&done), HookState::Over(Outcome::Fine));
        assert_eq!(HookState::from(&External::Running), HookState::Running);
        let failed = HookState::from(&External::Failed("no exec".to_owned()));
        assert!(matches!(failed, HookState::Over(Outcome::Later { .. })));
    }
}
