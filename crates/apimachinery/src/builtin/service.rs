//! Validation of Services.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::{entries, items, number, text};
use super::metadata;
use super::pod::{one_of, port_range};
use crate::field::{FieldError, Path, quote};
use crate::names;

/// Validates a Service, in the order in which kube-apiserver looks at it.
pub(super) fn validate(object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    let kind = text(spec, "/type");
    let headless = text(spec, "/clusterIP") == "None";
    let addresses_path = path.child("clusterIPs");
    if items(spec, "/ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => errors.push(FieldError::invalid(
            addresses_path.index(0),
            &"None".into(),
            format!("may not be set to 'None' for {kind} services"),
        )),
        "ExternalName" => external_name(spec, path, errors),
        _ => {}
    }
    let list = path.child("ports");
    let ports = items(spec, "/ports");
    let mut seen_names = BTreeSet::new();
    for (index, one) in ports.iter().enumerate() {
        port(
            one,
            ports.len() > 1,
            &mut seen_names,
            list.index(index),
            errors,
        );
    }
    if entries(spec, "/selector").is_some() {
        metadata::labels(spec, "/selector", path.child("selector"), errors);
    }
    one_of(spec, "sessionAffinity", &["ClientIP", "None"], path, errors);
    if kind != "ExternalName" {
        addresses(spec, path, errors);
    }
    for (index, address) in items(spec, "/externalIPs").iter().enumerate() {
        let text = address.as_str().unwrap_or_default();
        if text.parse::<std::net::IpAddr>().is_err() {
            errors.push(FieldError::invalid(
                path.child("externalIPs").index(index),
                address,
                metadata::NO_ADDRESS,
            ));
        }
    }
    one_of(
        spec,
        "type",
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        path,
        errors,
    );
    node_ports(ports, kind, list, errors);
    same_ports(ports, list, errors);
    if kind != "LoadBalancer" && spec.get("allocateLoadBalancerNodePorts").is_some() {
        errors.push(FieldError::forbidden(
            path.child("allocateLoadBalancerNodePorts"),
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    traffic(spec, kind, path, errors);
    one_of(
        spec,
        "internalTrafficPolicy",
        &["Cluster", "Local"],
        path,
        errors,
    );
}

fn external_name(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for field in ["clusterIPs", "ipFamilies"] {
        if !items(spec, &format!("/{field}")).is_empty() {
            errors.push(FieldError::forbidden(
                path.child(field),
                "may not be set for ExternalName services",
            ));
        }
    }
    if !text(spec, "/ipFamilyPolicy").is_empty() {
        errors.push(FieldError::forbidden(
            path.child("ipFamilyPolicy"),
            "may not be set for ExternalName services",
        ));
    }
    let name = text(spec, "/externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::required(path.child("externalName"), ""));
        return;
    }
    for complaint in names::dns1123_subdomain(name) {
        errors.push(FieldError::invalid(
            path.child("externalName"),
            &name.into(),
            complaint,
        ));
    }
}

fn port<'v>(
    port: &'v Value,
    needs_name: bool,
    seen: &mut BTreeSet<&'v str>,
    at: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let name = text(port, "/name");
    if name.is_empty() {
        if needs_name {
            errors.push(FieldError::required(at.child("name"), ""));
        }
    } else {
        for complaint in names::dns1123_label(name) {
            errors.push(FieldError::invalid(
                at.child("name"),
                &name.into(),
                complaint,
            ));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), &name.into()));
        }
    }
    port_range(
        number(port, "/port").unwrap_or_default(),
        at.child("port"),
        errors,
    );
    match text(port, "/protocol") {
        "" => errors.push(FieldError::required(at.child("protocol"), "")),
        _ => one_of(port, "protocol", &["SCTP", "TCP", "UDP"], at, errors),
    }
    match port.get("targetPort") {
        Some(Value::Number(target)) => {
            port_range(
                target.as_i64().unwrap_or_default(),
                at.child("targetPort"),
                errors,
            );
        }
        Some(Value::String(target)) => {
            for complaint in names::port_name(target) {
                errors.push(FieldError::invalid(
                    at.child("targetPort"),
                    &target.as_str().into(),
                    complaint,
                ));
            }
        }
        _ => {}
    }
    let protocol = text(port, "/appProtocol");
    if port.get("appProtocol").is_some_and(Value::is_string) {
        for complaint in names::qualified_name(protocol) {
            errors.push(FieldError::invalid(
                at.child("appProtocol"),
                &protocol.into(),
                complaint,
            ));
        }
    }
}

fn node_ports(ports: &[Value], kind: &str, list: Path<'_>, errors: &mut Vec<FieldError>) {
    let node_port = |port: &Value| number(port, "/nodePort").unwrap_or_default();
    if kind == "ClusterIP" {
        for (index, _) in ports
            .iter()
            .enumerate()
            .filter(|(_, port)| node_port(port) != 0)
        {
            errors.push(FieldError::forbidden(
                list.index(index).child("nodePort"),
                "may not be used when `type` is 'ClusterIP'",
            ));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let given = node_port(port);
        let at = list.index(index);
        if given == 0 {
            continue;
        }
        if !seen.insert((text(port, "/protocol"), given)) {
            errors.push(FieldError::duplicate(at.child("nodePort"), &given.into()));
        }
    }
}

/// A port and protocol stand for one thing only.
fn same_ports(ports: &[Value], list: Path<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = (
            text(port, "/protocol"),
            number(port, "/port").unwrap_or_default(),
        );
        if !seen.insert((protocol, number)) {
            // Only the two are shown, in what else Go's type has.
            let mut error = FieldError::duplicate(list.index(index), &Value::Null);
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\
                 \"TargetPort\":0,\"NodePort\":0}}",
                quote(protocol)
            );
            error.message = error.message.replacen("null", &shown, 1);
            errors.push(error);
        }
    }
}

fn traffic(spec: &Value, kind: &str, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let policy = text(spec, "/externalTrafficPolicy");
    let accessible = matches!(kind, "NodePort" | "LoadBalancer")
        || kind == "ClusterIP" && !items(spec, "/externalIPs").is_empty();
    if accessible {
        one_of(
            spec,
            "externalTrafficPolicy",
            &["Cluster", "Local"],
            path,
            errors,
        );
    } else if !policy.is_empty() {
        errors.push(FieldError::invalid(
            path.child("externalTrafficPolicy"),
            &policy.into(),
            "may only be set for externally-accessible services",
        ));
    }
    let checked = number(spec, "/healthCheckNodePort").unwrap_or_default();
    if checked != 0 && !(kind == "LoadBalancer" && policy == "Local") {
        errors.push(FieldError::invalid(
            path.child("healthCheckNodePort"),
            &checked.into(),
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ));
    }
}

fn addresses(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let address = text(spec, "/clusterIP");
    let list = items(spec, "/clusterIPs");
    let at = path.child("clusterIPs");
    if let Some(first) = list.first()
        && first.as_str() != Some(address)
    {
        errors.push(FieldError::invalid(
            at,
            &Value::from(list.to_vec()),
            if address.is_empty() {
                "must be empty when `clusterIP` is not specified"
            } else {
                "first value must match `clusterIP`"
            },
        ));
    }
    for (index, address) in list.iter().enumerate() {
        let text = address.as_str().unwrap_or_default();
        if !(index == 0 && text == "None") && text.parse::<std::net::IpAddr>().is_err() {
            errors.push(FieldError::invalid(
                at.index(index),
                address,
                metadata::NO_ADDRESS,
            ));
        }
    }
}

/// The address of a Service never changes while it has one.
pub(super) fn update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let without_address = |service: &Value| text(service, "/spec/type") == "ExternalName";
    let before = items(old, "/spec/clusterIPs").first();
    let after = items(object, "/spec/clusterIPs");
    if without_address(object) || without_address(old) || before.is_none() {
        return;
    }
    if before != after.first() {
        let path = Path::new("spec");
        let list = path.child("clusterIPs");
        errors.push(FieldError::invalid(
            list.index(0),
            &Value::from(after.to_vec()),
            "may not change once set",
        ));
    }
}
