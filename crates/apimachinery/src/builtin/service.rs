//! Validation of Services.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::{entries, items, number, text};
use super::metadata;
use super::pod::{one_of, port_range};
use crate::field::{FieldError, Path};
use crate::names;

pub(super) fn validate(object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    let kind = text(spec, "/type");
    let headless = text(spec, "/clusterIP") == "None";
    one_of(
        spec,
        "type",
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        path,
        errors,
    );
    one_of(spec, "sessionAffinity", &["ClientIP", "None"], path, errors);
    one_of(
        spec,
        "internalTrafficPolicy",
        &["Cluster", "Local"],
        path,
        errors,
    );
    one_of(
        spec,
        "externalTrafficPolicy",
        &["Cluster", "Local"],
        path,
        errors,
    );
    if kind == "ExternalName" {
        let name = text(spec, "/externalName").trim_end_matches('.');
        if name.is_empty() {
            errors.push(FieldError::required(path.child("externalName"), ""));
        } else {
            for complaint in names::dns1123_subdomain(name) {
                errors.push(FieldError::invalid(
                    path.child("externalName"),
                    &name.into(),
                    complaint,
                ));
            }
        }
    } else if items(spec, "/ports").is_empty() && !headless {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    if kind == "LoadBalancer" && headless {
        errors.push(FieldError::invalid(
            path.child("clusterIP"),
            &"None".into(),
            "may not be set to 'None' for LoadBalancer services",
        ));
    }
    if entries(spec, "/selector").is_some() {
        metadata::labels(spec, "/selector", path.child("selector"), errors);
    }
    ports(spec, kind, path, errors);
    addresses(spec, path, errors);
    for (index, address) in items(spec, "/externalIPs").iter().enumerate() {
        let text = address.as_str().unwrap_or_default();
        if text.parse::<std::net::IpAddr>().is_err() {
            errors.push(FieldError::invalid(
                path.child("externalIPs").index(index),
                address,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ));
        }
    }
}

fn ports(spec: &Value, kind: &str, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("ports");
    let ports = items(spec, "/ports");
    let mut seen_names = BTreeSet::new();
    let mut seen_ports = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = list.index(index);
        let name = text(port, "/name");
        if name.is_empty() {
            if ports.len() > 1 {
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
            if !seen_names.insert(name) {
                errors.push(FieldError::duplicate(at.child("name"), &name.into()));
            }
        }
        let value = number(port, "/port").unwrap_or_default();
        port_range(value, at.child("port"), errors);
        match text(port, "/protocol") {
            "" => errors.push(FieldError::required(at.child("protocol"), "")),
            _ => one_of(port, "protocol", &["SCTP", "TCP", "UDP"], at, errors),
        }
        if !seen_ports.insert((text(port, "/protocol"), value)) {
            errors.push(FieldError::duplicate(at, port));
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
        let node_port = number(port, "/nodePort").unwrap_or_default();
        if node_port != 0 && matches!(kind, "ClusterIP" | "ExternalName") {
            errors.push(FieldError::forbidden(
                at.child("nodePort"),
                format!("may not be used when `type` is '{kind}'"),
            ));
        } else if node_port != 0 && !(30000..=32767).contains(&node_port) {
            errors.push(FieldError::invalid(
                at.child("nodePort"),
                &node_port.into(),
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            ));
        }
    }
}

fn addresses(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let address = text(spec, "/clusterIP");
    let list = items(spec, "/clusterIPs");
    if let Some(first) = list.first()
        && first.as_str() != Some(address)
    {
        errors.push(FieldError::invalid(
            path.child("clusterIPs"),
            &Value::from(list.to_vec()),
            "first value must match `clusterIP`",
        ));
    }
    if !matches!(address, "" | "None") && address.parse::<std::net::IpAddr>().is_err() {
        let list = path.child("clusterIPs");
        errors.push(FieldError::invalid(
            list.index(0),
            &address.into(),
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ));
    }
}

/// The address of a Service never changes while it has one.
pub(super) fn update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let without_address = |service: &Value| text(service, "/spec/type") == "ExternalName";
    let before = text(old, "/spec/clusterIP");
    let after = text(object, "/spec/clusterIP");
    if without_address(object) || without_address(old) || before.is_empty() || before == after {
        return;
    }
    let path = Path::new("spec");
    let list = path.child("clusterIPs");
    errors.push(FieldError::invalid(
        list.index(0),
        &serde_json::json!([after]),
        "may not change once set",
    ));
}
