//! What is allowed, but hardly meant: whoever writes it is warned.

use serde_json::Value;

use super::json::{items, number, text};
use crate::field::{Path, quote};
use crate::names;
use crate::quantity::Quantity;

/// What the writer of an object should know. `old` is what it replaces.
pub fn warnings(group: &str, kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    let spec_path = Path::ROOT.child("spec");
    let template_path = spec_path.child("template");
    let template = object.pointer("/spec/template/spec");
    let counted =
        |old: &Value| old.pointer("/metadata/generation") != object.pointer("/metadata/generation");
    match (group, kind) {
        // Pods are written far too often by what is no person.
        ("", "Pod") if old.is_none() => {
            name(object, "the Pod's hostname", &mut found);
            pod(
                object.get("spec").unwrap_or(&Value::Null),
                spec_path,
                &mut found,
            );
        }
        ("", "Service") => service(object, &mut found),
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet") => {
            if kind == "Deployment" && old.is_none() {
                name(object, "Pod names and hostnames", &mut found);
            }
            if old.is_none_or(counted)
                && let Some(template) = template
            {
                pod(template, template_path.child("spec"), &mut found);
            }
            let history = number(object, "/spec/revisionHistoryLimit");
            if kind == "StatefulSet" && history.is_some_and(|limit| limit < 0) {
                found.push(
                    "spec.revisionHistoryLimit: a negative value retains all historical \
                     revisions; a value >= 0 is recommended"
                        .to_owned(),
                );
            }
        }
        _ => {}
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|warning| seen.insert(warning.clone()));
    found
}

fn name(object: &Value, used_in: &str, found: &mut Vec<String>) {
    let complaints = names::dns1123_label(text(object, "/metadata/name"));
    if !complaints.is_empty() {
        found.push(format!(
            "metadata.name: this is used in {used_in}, which can result in surprising behavior; a \
             DNS label is recommended: [{}]",
            complaints.join(" ")
        ));
    }
}

fn service(object: &Value, found: &mut Vec<String>) {
    let kind = text(object, "/spec/type");
    let external = !items(object, "/spec/externalIPs").is_empty();
    if kind == "ClusterIP" && text(object, "/spec/clusterIP") == "None" {
        if !text(object, "/spec/loadBalancerIP").is_empty() {
            found.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if external {
            found.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if text(object, "/spec/sessionAffinity") != "None" {
            found.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    if kind == "ExternalName" && external {
        found.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !text(object, "/spec/externalName").is_empty() {
        found
            .push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
}

/// The containers of a pod with their places, in the order in which they are looked at.
fn containers<'v>(spec: &'v Value, visit: &mut dyn FnMut(&'v Value, Path<'_>), path: Path<'_>) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = items(spec, &format!("/{list}")).iter();
        let list = path.child(list);
        for (index, container) in containers.enumerate() {
            visit(container, list.index(index));
        }
    }
}

fn pod(spec: &Value, path: Path<'_>, found: &mut Vec<String>) {
    let list = path.child("topologySpreadConstraints");
    for (index, spread) in items(spec, "/topologySpreadConstraints").iter().enumerate() {
        if spread.get("labelSelector").is_none() {
            let at = list.index(index);
            found.push(format!(
                "{}: a null labelSelector results in matching no pod",
                at.child("labelSelector")
            ));
        }
    }
    repeated(spec, "hostAliases", "ip", path, found);
    repeated(spec, "imagePullSecrets", "name", path, found);
    containers(
        spec,
        &mut |container, at| container_warnings(container, at, found),
        path,
    );
    repeated_ports(spec, path, found);
    repeated_port_names(spec, path, found);
    if number(spec, "/terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        found.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            path.child("terminationGracePeriodSeconds")
        ));
    }
}

fn repeated(spec: &Value, list: &str, field: &str, path: Path<'_>, found: &mut Vec<String>) {
    let all = items(spec, &format!("/{list}"));
    let value = |item: &Value| text(item, &format!("/{field}")).to_owned();
    let list = path.child(list);
    for (index, item) in all.iter().enumerate() {
        if all
            .iter()
            .take(index)
            .any(|other| value(other) == value(item))
        {
            let at = list.index(index);
            found.push(format!(
                "{}: duplicate {field} {}",
                at.child(field),
                quote(&value(item))
            ));
        }
    }
}

fn container_warnings(container: &Value, path: Path<'_>, found: &mut Vec<String>) {
    let resources = path.child("resources");
    for resource in ["memory", "ephemeral-storage"] {
        for kind in ["limits", "requests"] {
            let amount = text(container, &format!("/resources/{kind}/{resource}"));
            if let Ok(parsed) = Quantity::parse(amount)
                && parsed.milli_units() % 1000 != 0
            {
                found.push(format!(
                    "{}: fractional byte value {} is invalid, must be an integer",
                    resources.child(kind).key(resource),
                    quote(&parsed.to_string())
                ));
            }
        }
    }
    let variables = items(container, "/env");
    let list = path.child("env");
    for (index, variable) in variables.iter().enumerate() {
        let name = text(variable, "/name");
        let before = variables.iter().take(index);
        let mut before = before.filter(|other| text(other, "/name") == name);
        let reference = format!("$({name})");
        let value = text(variable, "/value");
        let extends =
            variable.get("valueFrom").is_none() && value != reference && value.contains(&reference);
        if before.next().is_some() && !extends {
            found.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                list.index(index),
                quote(name)
            ));
        }
    }
}

/// A port of a container, and its place.
struct Port<'v> {
    port: &'v Value,
    place: String,
}

fn all_ports<'v>(spec: &'v Value, path: Path<'_>) -> Vec<Port<'v>> {
    let mut ports = Vec::new();
    let mut visit = |container: &'v Value, at: Path<'_>| {
        let list = at.child("ports");
        for (index, port) in items(container, "/ports").iter().enumerate() {
            let place = list.index(index).to_string();
            ports.push(Port { port, place });
        }
    };
    containers(spec, &mut visit, path);
    ports
}

fn repeated_ports(spec: &Value, path: Path<'_>, found: &mut Vec<String>) {
    let ports = all_ports(spec, path);
    for (index, Port { port, place }) in ports.iter().enumerate() {
        let key = |port: &Value| {
            let number = number(port, "/containerPort").unwrap_or_default();
            (number, text(port, "/protocol").to_owned())
        };
        let on_host = |port: &Value| {
            let number = number(port, "/hostPort").unwrap_or_default();
            (number, text(port, "/hostIP").to_owned())
        };
        for other in ports.iter().take(index) {
            if key(other.port) != key(port) {
                continue;
            }
            let (ours, theirs) = (on_host(port), on_host(other.port));
            let how = if ours == theirs {
                "duplicate"
            } else if ours.0 == 0
                || theirs.0 == 0
                || (ours.0 == theirs.0 && ours.1.is_empty() != theirs.1.is_empty())
            {
                "overlapping"
            } else {
                continue;
            };
            found.push(format!(
                "{place}: {how} port definition with {}",
                other.place
            ));
        }
    }
}

fn repeated_port_names(spec: &Value, path: Path<'_>, found: &mut Vec<String>) {
    let ports = all_ports(spec, path);
    for (index, Port { port, place }) in ports.iter().enumerate() {
        let name = text(port, "/name");
        let mut before = ports.iter().take(index);
        let first = before.find(|other| text(other.port, "/name") == name);
        if let Some(first) = first.filter(|_| !name.is_empty()) {
            let first = &first.place;
            found.push(format!(
                "{place}: duplicate port name {} with {first}, services and probes that select \
                 ports by name will use {first}",
                quote(name)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_hardly_meant_is_warned_of() {
        let pod = |spec: Value| json!({"metadata": {"name": "p"}, "spec": spec});
        let one = |more: Value| {
            let mut container = json!({"name": "main", "image": "app"});
            for (field, value) in more.as_object().unwrap() {
                container[field] = value.clone();
            }
            container
        };
        let port = json!({"containerPort": 80, "protocol": "TCP", "name": "web"});
        let cases = [
            (pod(json!({"containers": [one(json!({}))]})), vec![]),
            (
                json!({"metadata": {"name": "a.b"}, "spec": {"containers": []}}),
                vec![
                    "metadata.name: this is used in the Pod's hostname, which can result in \
                      surprising behavior; a DNS label is recommended: [must not contain dots]",
                ],
            ),
            (
                pod(json!({
                    "containers": [one(json!({"ports": [port]}))],
                    "initContainers": [one(json!({"ports": [port]}))],
                })),
                vec![
                    "spec.containers[0].ports[0]: duplicate port definition with \
                     spec.initContainers[0].ports[0]",
                    "spec.containers[0].ports[0]: duplicate port name \"web\" with \
                     spec.initContainers[0].ports[0], services and probes that select ports by \
                     name will use spec.initContainers[0].ports[0]",
                ],
            ),
            (
                pod(json!({"containers": [one(json!({"env": [
                    {"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"},
                ]}))]})),
                vec![],
            ),
            (
                pod(json!({
                    "terminationGracePeriodSeconds": -1,
                    "containers": [one(json!({"env": [{"name": "A"}, {"name": "A", "value": "2"}]}))],
                })),
                vec![
                    "spec.containers[0].env[1]: hides previous definition of \"A\", which may be \
                     dropped when using apply",
                    "spec.terminationGracePeriodSeconds: must be >= 0; negative values are \
                     invalid and will be treated as 1",
                ],
            ),
        ];
        for (object, expected) in cases {
            assert_eq!(warnings("", "Pod", &object, None), expected, "{object}");
            assert!(warnings("", "Pod", &object, Some(&object)).is_empty());
        }
    }

    #[test]
    fn fields_that_a_service_ignores_are_named() {
        let cases = [
            (
                json!({"type": "ClusterIP", "sessionAffinity": "None"}),
                vec![],
            ),
            (
                json!({"type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "ClientIP"}),
                vec!["spec.SessionAffinity is ignored for headless services"],
            ),
            (
                json!({"type": "NodePort", "externalName": "x"}),
                vec!["spec.externalName is ignored when spec.type is not \"ExternalName\""],
            ),
        ];
        for (spec, expected) in cases {
            let object = json!({"spec": spec});
            assert_eq!(warnings("", "Service", &object, None), expected, "{spec}");
        }
    }
}
