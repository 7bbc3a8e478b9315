//! Validation of pods and pod templates.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::{entries, items, number, text};
use super::{metadata, probes, volumes};
use crate::field::{FieldError, Path};
use crate::names;
use crate::quantity::Quantity;

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
/// What is said of a number below zero.
pub(super) const NEGATIVE: &str = "must be greater than or equal to 0";
const FIELD_PATHS: [&str; 11] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Validates a pod: its spec, and what templates may have, but pods may not.
pub(super) fn pod(pod: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.child("spec");
    let nothing = Value::Null;
    let spec = pod.get("spec").unwrap_or(&nothing);
    self::spec(spec, path, errors);
    for list in ["containers", "initContainers"] {
        let containers = items(spec, &format!("/{list}")).iter();
        let list = path.child(list);
        for (index, container) in containers.enumerate() {
            image_without_blanks(container, list.index(index), errors);
        }
    }
}

pub(super) fn image_without_blanks(
    container: &Value,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let image = text(container, "/image");
    if image.trim() != image {
        errors.push(FieldError::invalid(
            path.child("image"),
            &image.into(),
            "must not have leading or trailing whitespace",
        ));
    }
}

/// Validates the metadata and spec of a pod template. The places of its metadata are told without
/// `metadata`, as kube-apiserver does.
pub(super) fn template(template: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    metadata::labels(template, "/metadata/labels", path.child("labels"), errors);
    metadata::annotations(
        template,
        "/metadata/annotations",
        path.child("annotations"),
        errors,
    );
    let nothing = Value::Null;
    spec(
        template.get("spec").unwrap_or(&nothing),
        path.child("spec"),
        errors,
    );
}

/// Validates a pod spec.
pub(super) fn spec(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let volume_names = volumes::volumes(spec, path, errors);
    let mut names_seen = BTreeSet::new();
    let regular = items(spec, "/containers");
    if regular.is_empty() {
        errors.push(FieldError::required(path.child("containers"), ""));
    }
    for (list, containers) in [
        ("containers", regular),
        ("initContainers", items(spec, "/initContainers")),
    ] {
        let list = path.child(list);
        for (index, container) in containers.iter().enumerate() {
            let at = list.index(index);
            self::container(container, &volume_names, at, errors);
            let name = text(container, "/name");
            if !names_seen.insert(name.to_owned()) {
                errors.push(FieldError::duplicate(at.child("name"), &name.into()));
            }
            probes::probes(container, at, errors);
        }
    }
    one_of(spec, "restartPolicy", &RESTART_POLICIES, path, errors);
    one_of(spec, "dnsPolicy", &DNS_POLICIES, path, errors);
    metadata::labels(spec, "/nodeSelector", path.child("nodeSelector"), errors);
    if text(spec, "/dnsPolicy") == "None" && items(spec, "/dnsConfig/nameservers").is_empty() {
        let at = path.child("dnsConfig");
        errors.push(if spec.get("dnsConfig").is_some() {
            FieldError::required(
                at.child("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )
        } else {
            FieldError::required(at, "must provide `dnsConfig` when `dnsPolicy` is None")
        });
    }
    named(
        spec,
        "serviceAccountName",
        names::dns1123_subdomain,
        path,
        errors,
    );
    named(spec, "nodeName", names::dns1123_subdomain, path, errors);
    if let Some(seconds) = number(spec, "/activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.push(FieldError::invalid(
            path.child("activeDeadlineSeconds"),
            &seconds.into(),
            "must be between 1 and 2147483647, inclusive",
        ));
    }
    named(spec, "hostname", names::dns1123_label, path, errors);
    named(spec, "subdomain", names::dns1123_label, path, errors);
    tolerations(spec, path, errors);
    named(
        spec,
        "priorityClassName",
        names::dns1123_subdomain,
        path,
        errors,
    );
}

/// Complains about a name that is set and does not follow its rule.
fn named(
    spec: &Value,
    field: &str,
    rule: fn(&str) -> Vec<String>,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let value = text(spec, &format!("/{field}"));
    if value.is_empty() {
        return;
    }
    for complaint in rule(value) {
        errors.push(FieldError::invalid(
            path.child(field),
            &value.into(),
            complaint,
        ));
    }
}

fn container(
    container: &Value,
    volume_names: &BTreeSet<String>,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if text(container, "/name").is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    named(container, "name", names::dns1123_label, path, errors);
    if text(container, "/image").is_empty() {
        errors.push(FieldError::required(path.child("image"), ""));
    }
    one_of(
        container,
        "terminationMessagePolicy",
        &["File", "FallbackToLogsOnError"],
        path,
        errors,
    );
    ports(container, path, errors);
    environment(container, path, errors);
    volumes::mounts(container, volume_names, path, errors);
    one_of(container, "imagePullPolicy", &PULL_POLICIES, path, errors);
    resources(container, path, errors);
    security_context(container, path, errors);
}

/// A process that is privileged can always get more privileges.
fn security_context(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(context) = container.get("securityContext") else {
        return;
    };
    if context.get("privileged") == Some(&Value::Bool(true))
        && context.get("allowPrivilegeEscalation") == Some(&Value::Bool(false))
    {
        // The whole context is shown, as Go's type has it.
        let fields = [
            "Capabilities",
            "Privileged",
            "SELinuxOptions",
            "WindowsOptions",
            "RunAsUser",
            "RunAsGroup",
            "RunAsNonRoot",
            "ReadOnlyRootFilesystem",
            "AllowPrivilegeEscalation",
            "ProcMount",
            "SeccompProfile",
            "AppArmorProfile",
        ]
        .map(|field| format!("\"{field}\":{}", in_go(context, field)));
        errors.push(FieldError::invalid_as(
            path.child("securityContext"),
            format!("{{{}}}", fields.join(",")),
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ));
    }
}

fn in_go(context: &Value, field: &str) -> String {
    let name = if field == "SELinuxOptions" {
        "seLinuxOptions".to_owned()
    } else {
        format!("{}{}", field[..1].to_lowercase(), &field[1..])
    };
    let value = context.get(&name).unwrap_or(&Value::Null);
    if field == "Capabilities" && value.is_object() {
        let list = |name: &str| value.get(name).unwrap_or(&Value::Null).to_string();
        return format!("{{\"Add\":{},\"Drop\":{}}}", list("add"), list("drop"));
    }
    value.to_string()
}

fn ports(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("ports");
    let mut seen = BTreeSet::new();
    for (index, port) in items(container, "/ports").iter().enumerate() {
        let at = list.index(index);
        let name = text(port, "/name");
        if !name.is_empty() {
            for complaint in names::port_name(name) {
                errors.push(FieldError::invalid(
                    at.child("name"),
                    &name.into(),
                    complaint,
                ));
            }
            if names::port_name(name).is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(at.child("name"), &name.into()));
            }
        }
        match number(port, "/containerPort").unwrap_or_default() {
            0 => errors.push(FieldError::required(at.child("containerPort"), "")),
            value => port_range(value, at.child("containerPort"), errors),
        }
        match number(port, "/hostPort").unwrap_or_default() {
            0 => {}
            value => port_range(value, at.child("hostPort"), errors),
        }
        one_of(port, "protocol", &PROTOCOLS, at, errors);
    }
}

/// Complains about a number that is no port.
pub(super) fn port_range(value: i64, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for complaint in names::port_number(value) {
        errors.push(FieldError::invalid(path, &value.into(), complaint));
    }
}

fn environment(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("env");
    for (index, variable) in items(container, "/env").iter().enumerate() {
        let at = list.index(index);
        let name = text(variable, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        } else {
            for complaint in names::environment_variable(name) {
                errors.push(FieldError::invalid(
                    at.child("name"),
                    &name.into(),
                    complaint,
                ));
            }
        }
        let Some(source) = variable
            .get("valueFrom")
            .filter(|source| source.is_object())
        else {
            continue;
        };
        let at = at.child("valueFrom");
        value_source(source, at, errors);
        let sources = source.as_object().map_or(0, serde_json::Map::len);
        if sources == 0 {
            errors.push(FieldError::invalid(
                at,
                &"".into(),
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
                 `secretKeyRef` or `fileKeyRef`",
            ));
        } else if !text(variable, "/value").is_empty() {
            errors.push(FieldError::invalid(
                at,
                &"".into(),
                "may not be specified when `value` is not empty",
            ));
        } else if sources > 1 {
            errors.push(FieldError::invalid(
                at,
                &"".into(),
                "may not have more than one field specified at a time",
            ));
        }
    }
    let list = path.child("envFrom");
    for (index, source) in items(container, "/envFrom").iter().enumerate() {
        let at = list.index(index);
        let kinds: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|kind| source.get(kind).is_some_and(Value::is_object))
            .collect();
        match kinds.as_slice() {
            [] => errors.push(FieldError::invalid(
                at,
                &"".into(),
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            [kind] => {
                if text(source, &format!("/{kind}/name")).is_empty() {
                    errors.push(FieldError::required(at.child(kind).child("name"), ""));
                }
            }
            _ => errors.push(FieldError::invalid(
                at,
                &"".into(),
                "may not have more than one field specified at a time",
            )),
        }
    }
}

fn value_source(source: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = source.get(kind).filter(|reference| reference.is_object()) {
            let at = path.child(kind);
            if text(reference, "/name").is_empty() {
                errors.push(FieldError::required(at.child("name"), ""));
            }
            let key = text(reference, "/key");
            if key.is_empty() {
                errors.push(FieldError::required(at.child("key"), ""));
            } else {
                for complaint in names::config_map_key(key) {
                    errors.push(FieldError::invalid(at.child("key"), &key.into(), complaint));
                }
            }
        }
    }
    if let Some(reference) = source
        .get("fieldRef")
        .filter(|reference| reference.is_object())
    {
        let at = path.child("fieldRef");
        let at = at.child("fieldPath");
        let field = text(reference, "/fieldPath");
        let base = field.split('[').next().unwrap_or_default();
        if field.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if !FIELD_PATHS.contains(&base) {
            errors.push(FieldError::not_supported(at, &field.into(), FIELD_PATHS));
        }
    }
    if source.get("resourceFieldRef").is_some_and(Value::is_object)
        && text(source, "/resourceFieldRef/resource").is_empty()
    {
        errors.push(FieldError::required(
            path.child("resourceFieldRef").child("resource"),
            "",
        ));
    }
}

fn resources(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("resources");
    let amount = |value: &Value| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Quantity::parse(&text)
    };
    for kind in ["limits", "requests"] {
        let at = path.child(kind);
        let list = entries(container, &format!("/resources/{kind}"));
        for (name, value) in list.into_iter().flatten() {
            for complaint in names::qualified_name(name) {
                errors.push(FieldError::invalid(
                    at.key(name),
                    &name.as_str().into(),
                    complaint,
                ));
            }
            match amount(value) {
                Err(error) => errors.push(FieldError::invalid(at.key(name), value, error)),
                Ok(amount) if amount.is_negative() => errors.push(FieldError::invalid(
                    at.key(name),
                    value,
                    "must be greater than or equal to 0",
                )),
                Ok(_) => {}
            }
        }
    }
    let requests = entries(container, "/resources/requests");
    for (name, request) in requests.into_iter().flatten() {
        let limit = entries(container, "/resources/limits").and_then(|limits| limits.get(name));
        if let Some(limit) = limit
            && let (Ok(requested), Ok(allowed)) = (amount(request), amount(limit))
            && requested > allowed
        {
            errors.push(FieldError::invalid(
                path.child("requests"),
                &requested.to_string().into(),
                format!("must be less than or equal to {name} limit of {allowed}"),
            ));
        }
    }
}

pub(super) fn tolerations(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("tolerations");
    for (index, toleration) in items(spec, "/tolerations").iter().enumerate() {
        let at = list.index(index);
        let key = text(toleration, "/key");
        let operator = text(toleration, "/operator");
        if key.is_empty() {
            if operator != "Exists" {
                errors.push(FieldError::invalid(
                    at.child("operator"),
                    &operator.into(),
                    "operator must be Exists when `key` is empty, which means \"match all values \
                     and all keys\"",
                ));
            }
        } else {
            for complaint in names::qualified_name(key) {
                errors.push(FieldError::invalid(at.child("key"), &key.into(), complaint));
            }
        }
        let effect = text(toleration, "/effect");
        if number(toleration, "/tolerationSeconds").is_some() && effect != "NoExecute" {
            errors.push(FieldError::invalid(
                at.child("effect"),
                &effect.into(),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        let value = text(toleration, "/value");
        let complaint = match operator {
            "Exists" if !value.is_empty() => {
                "value must be empty when `operator` is 'Exists'".to_owned()
            }
            "" | "Equal" => names::label_value(value).join(";"),
            _ => String::new(),
        };
        if !complaint.is_empty() {
            errors.push(FieldError::invalid(
                at.child("operator"),
                &value.into(),
                complaint,
            ));
        }
        if !matches!(operator, "" | "Equal" | "Exists") {
            errors.push(FieldError::not_supported(
                at.child("operator"),
                &operator.into(),
                ["Equal", "Exists"],
            ));
        }
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            errors.push(FieldError::not_supported(
                at.child("effect"),
                &effect.into(),
                ["NoSchedule", "PreferNoSchedule", "NoExecute"],
            ));
        }
    }
}

/// Complains about a set text that is none of these.
pub(super) fn one_of(
    object: &Value,
    field: &str,
    allowed: &[&str],
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let value = text(object, &format!("/{field}"));
    if !value.is_empty() && !allowed.contains(&value) {
        errors.push(FieldError::not_supported(
            path.child(field),
            &value.into(),
            allowed,
        ));
    }
}

/// Complains about a set number below zero.
pub(super) fn not_negative(
    object: &Value,
    field: &str,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(value) = number(object, &format!("/{field}"))
        && value < 0
    {
        errors.push(FieldError::invalid(
            path.child(field),
            &value.into(),
            NEGATIVE,
        ));
    }
}
