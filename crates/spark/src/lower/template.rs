//! Where the pod of a role starts, and which of its containers is Spark's.
//!
//! Spark takes the container that `podTemplateContainerName` names, else the first one. The
//! setting is always written, so that driver and operator never disagree about it.

use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::{editor::PodEditor, role::Role, route::ConfBuilder};

/// The pod of the role's template, or an empty one, with Spark's container told by name.
pub(super) fn start(role: &Role<'_>, conf: &mut ConfBuilder) -> PodEditor {
    let PodTemplateSpec { metadata, spec } = role.pieces.template.clone().unwrap_or_default();
    let spec = spec.unwrap_or_default();
    let key = format!(
        "spark.kubernetes.{}.podTemplateContainerName",
        role.kind.name()
    );
    let present = |name: &str| {
        spec.containers
            .iter()
            .any(|container| container.name == name)
    };
    let named = conf
        .get(&key)
        .filter(|name| present(name))
        .map(str::to_owned);
    let name = named.unwrap_or_else(|| role.kind.container().to_owned());
    let mut pod = PodEditor::new(metadata.unwrap_or_default(), spec, &name);
    // A container without a name would be given one by Spark, and then not be found by it.
    if pod.spark().name.is_empty() {
        pod.spark().name = name;
    }
    let name = pod.spark().name.clone();
    conf.set(key, name);
    pod
}
