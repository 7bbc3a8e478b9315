//! The objects of a server, as far as all kinds of servers have the same.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{DEPLOYMENT, HASH_ANNOTATION, MADE_FOR_ANNOTATION};

/// Old ReplicaSets are of no use: their ConfigMaps are gone.
const REVISIONS: u32 = 1;

/// Whose the objects of a server are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    /// The label with the owner's name.
    pub(crate) label: &'static str,
    pub(crate) metadata: &'a ObjectMeta,
}

impl Owner<'_> {
    /// Makes an object one of this owner.
    pub(crate) fn adopt(&self, object: &mut Value) {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let namespace = self.metadata.namespace.as_deref().unwrap_or("default");
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!(namespace);
        metadata["labels"][self.label] = json!(name);
        if let Some(uid) = &self.metadata.uid {
            metadata["ownerReferences"] = json!([{
                "apiVersion": self.api_version,
                "kind": self.kind,
                "name": name,
                "uid": uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }]);
        }
    }
}

/// The Deployment of a pod. The selector is among the pod's labels.
pub(crate) fn deployment(name: &str, selector: &BTreeMap<String, String>, pod: &Value) -> Value {
    json!({
        "apiVersion": DEPLOYMENT.api_version(),
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": REVISIONS,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": {"metadata": pod["metadata"], "spec": pod["spec"]},
        },
    })
}

/// The Service in front of a server: the user's, led to the pod, with the ports it lacks.
pub(crate) fn service(
    name: &str,
    given: Option<&Service>,
    selector: &BTreeMap<String, String>,
    ports: Vec<ServicePort>,
) -> Service {
    let mut service = given.cloned().unwrap_or_default();
    service.metadata.name.get_or_insert_with(|| name.to_owned());
    service.status = None;
    let spec = service.spec.get_or_insert_default();
    spec.selector = Some(selector.clone());
    let present = spec.ports.get_or_insert_default();
    for port in ports {
        let is_there = |it: &ServicePort| it.name == port.name || it.port == port.port;
        if !present.iter().any(is_there) {
            present.push(port);
        }
    }
    service
}

/// A port of a Service that leads to the one of this number in the pod.
pub(crate) fn service_port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}

/// A ConfigMap never changes, so another content has another name, in the pod that mounts it, too.
pub(crate) fn rename_file(file: &mut Value, pod: &mut Value, prefix: &str) {
    let hash = hash(&file["data"]);
    let new = json!(format!("{prefix}-{}", &hash[..8]));
    let old = std::mem::replace(&mut file["metadata"]["name"], new.clone());
    let volumes = pod["spec"]["volumes"].as_array_mut();
    for volume in volumes.into_iter().flatten() {
        if volume["configMap"]["name"] == old {
            volume["configMap"]["name"] = new.clone();
        }
    }
}

/// Writes the hash of an object on it.
pub(crate) fn stamp(object: &mut Value) {
    let annotations = object.pointer_mut("/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object_mut);
    let made_for = annotations.and_then(|annotations| {
        annotations.remove(HASH_ANNOTATION);
        annotations.remove(MADE_FOR_ANNOTATION)
    });
    let hash = hash(object);
    object["metadata"]["annotations"][HASH_ANNOTATION] = json!(hash);
    if let Some(made_for) = made_for {
        object["metadata"]["annotations"][MADE_FOR_ANNOTATION] = made_for;
    }
}

/// 16 hex digits that stand for a value.
fn hash(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string().as_bytes());
    let (head, _) = digest.split_at(8);
    head.iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
