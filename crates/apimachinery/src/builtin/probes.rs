//! Validation of probes.

use serde_json::Value;

use super::json::{items, number};
use super::pod::{not_negative, port_range};
use crate::field::{FieldError, Path};
use crate::names;

/// Validates the probes of a container.
pub(super) fn probes(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get(name).filter(|probe| probe.is_object()) {
            self::probe(name, probe, path.child(name), errors);
        }
    }
}

fn probe(name: &str, probe: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    let given: Vec<&str> = handlers
        .into_iter()
        .filter(|handler| probe.get(handler).is_some_and(Value::is_object))
        .collect();
    if given.is_empty() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    for handler in given.iter().skip(1) {
        errors.push(FieldError::forbidden(
            path.child(handler),
            "may not specify more than 1 handler type",
        ));
    }
    if let Some(handler) = given.first() {
        self::handler(handler, &probe[*handler], path.child(handler), errors);
    }
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        not_negative(probe, field, path, errors);
    }
    if name != "readinessProbe"
        && let Some(successes) = number(probe, "/successThreshold")
        && successes != 1
    {
        errors.push(FieldError::invalid(
            path.child("successThreshold"),
            &successes.into(),
            "must be 1",
        ));
    }
}

fn handler(kind: &str, handler: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if kind == "exec" && items(handler, "/command").is_empty() {
        errors.push(FieldError::required(path.child("command"), ""));
    }
    match handler.get("port") {
        Some(Value::Number(port)) => {
            port_range(
                port.as_i64().unwrap_or_default(),
                path.child("port"),
                errors,
            );
        }
        Some(Value::String(port)) => {
            for complaint in names::port_name(port) {
                errors.push(FieldError::invalid(
                    path.child("port"),
                    &port.as_str().into(),
                    complaint,
                ));
            }
        }
        _ => {}
    }
}
