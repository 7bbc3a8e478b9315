//! Validation of webhook configurations.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::json::{items, number, text};
use crate::{
    conditions,
    field::{FieldError, Path},
    names,
};

pub(super) fn configuration(object: &Value, errors: &mut Vec<FieldError>) {
    let webhooks = Path::ROOT.child("webhooks");
    let mut seen = BTreeSet::new();
    for (index, webhook) in items(object, "/webhooks").iter().enumerate() {
        let at = webhooks.index(index);
        let name = text(webhook, "/name");
        name_is_proper(name, at.child("name"), errors);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), &json!(name)));
        }
        let rules = at.child("rules");
        for (index, rule) in items(webhook, "/rules").iter().enumerate() {
            check_rule(rule, rules.index(index), errors);
        }
        one_of(webhook, "failurePolicy", &["Fail", "Ignore"], at, errors);
        one_of(webhook, "matchPolicy", &["Equivalent", "Exact"], at, errors);
        match text(webhook, "/sideEffects") {
            "" => errors.push(FieldError::required(
                at.child("sideEffects"),
                "must specify one of None, NoneOnDryRun",
            )),
            _ => one_of(
                webhook,
                "sideEffects",
                &["None", "NoneOnDryRun"],
                at,
                errors,
            ),
        }
        if let Some(seconds) = number(webhook, "/timeoutSeconds")
            && !(1..=30).contains(&seconds)
        {
            errors.push(FieldError::invalid(
                at.child("timeoutSeconds"),
                &json!(seconds),
                "the timeout value must be between 1 and 30 seconds",
            ));
        }
        let versions = items(webhook, "/admissionReviewVersions");
        let versions_at = at.child("admissionReviewVersions");
        if versions.is_empty() {
            let why = "must specify one of v1, v1beta1";
            errors.push(FieldError::required(versions_at, why));
        } else if !versions.iter().any(|v| v == "v1" || v == "v1beta1") {
            let why = "must include at least one of v1, v1beta1";
            errors.push(FieldError::invalid(versions_at, &json!(versions), why));
        }
        client(webhook, at.child("clientConfig"), errors);
        match_conditions(webhook, at.child("matchConditions"), errors);
    }
}

fn name_is_proper(name: &str, at: Path<'_>, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    for why in names::dns1123_subdomain(name) {
        errors.push(FieldError::invalid(at, &json!(name), why));
    }
    if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(at, &json!(name), why));
    }
}

fn one_of(
    webhook: &Value,
    field: &str,
    allowed: &[&str],
    at: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(value) = webhook.get(field).and_then(Value::as_str)
        && !allowed.contains(&value)
    {
        errors.push(FieldError::not_supported(
            at.child(field),
            &json!(value),
            allowed,
        ));
    }
}

fn check_rule(rule: &Value, at: Path<'_>, errors: &mut Vec<FieldError>) {
    let lists = [
        (
            "operations",
            "if '*' is present, must not specify other operations",
        ),
        (
            "apiGroups",
            "if '*' is present, must not specify other API groups",
        ),
        (
            "apiVersions",
            "if '*' is present, must not specify other API versions",
        ),
    ];
    for (field, alone) in lists {
        let values = items(rule, &format!("/{field}"));
        if values.is_empty() {
            errors.push(FieldError::required(at.child(field), ""));
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") {
            errors.push(FieldError::invalid(at.child(field), &json!(values), alone));
        }
    }
    let operations = at.child("operations");
    let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    for (index, operation) in items(rule, "/operations").iter().enumerate() {
        if !known.iter().any(|known| operation == known) {
            errors.push(FieldError::not_supported(
                operations.index(index),
                operation,
                known,
            ));
        }
    }
    let versions = at.child("apiVersions");
    for (index, version) in items(rule, "/apiVersions").iter().enumerate() {
        if version == "" {
            errors.push(FieldError::required(versions.index(index), ""));
        }
    }
    let resources = items(rule, "/resources");
    if resources.is_empty() {
        errors.push(FieldError::required(at.child("resources"), ""));
    }
    if resources.len() > 1 && resources.iter().any(|resource| resource == "*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(
            at.child("resources"),
            &json!(resources),
            why,
        ));
    }
    one_of(rule, "scope", &["*", "Cluster", "Namespaced"], at, errors);
}

fn client(webhook: &Value, at: Path<'_>, errors: &mut Vec<FieldError>) {
    let url = webhook.pointer("/clientConfig/url").and_then(Value::as_str);
    let service = webhook
        .pointer("/clientConfig/service")
        .filter(|s| !s.is_null());
    match (url, service) {
        (Some(url), None) => check_url(url, at.child("url"), errors),
        (None, Some(service)) => check_service(service, at.child("service"), errors),
        _ => errors.push(FieldError::required(
            at,
            "exactly one of url or service is required",
        )),
    }
}

fn check_url(url: &str, at: Path<'_>, errors: &mut Vec<FieldError>) {
    const FORM: &str = "desired format: https://host[/path]";
    let mut wrong = |value: &str, why: String| {
        errors.push(FieldError::invalid(at, &json!(value), why));
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        wrong(
            scheme,
            format!("'https' is the only allowed URL scheme; {FORM}"),
        );
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        wrong(host, format!("host must be specified; {FORM}"));
    }
    if !user.is_empty() {
        wrong(
            user,
            "user information is not permitted in the URL".to_owned(),
        );
    }
    if !fragment.is_empty() {
        wrong(
            fragment,
            "fragments are not permitted in the URL".to_owned(),
        );
    }
    if !query.is_empty() {
        wrong(
            query,
            "query parameters are not permitted in the URL".to_owned(),
        );
    }
}

fn check_service(service: &Value, at: Path<'_>, errors: &mut Vec<FieldError>) {
    for field in ["name", "namespace"] {
        if text(service, &format!("/{field}")).is_empty() {
            errors.push(FieldError::required(at.child(field), ""));
        }
    }
    if let Some(port) = number(service, "/port")
        && !names::port_number(port).is_empty()
    {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(at.child("port"), &json!(port), why));
    }
    let path = text(service, "/path");
    if path.is_empty() || path == "/" {
        return;
    }
    let mut wrong = |why: String| {
        errors.push(FieldError::invalid(at.child("path"), &json!(path), why));
    };
    if !path.starts_with('/') {
        wrong("must start with a '/'".to_owned());
    }
    let trimmed = path.get(1..).unwrap_or_default();
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    for (index, step) in trimmed.split('/').enumerate() {
        if step.is_empty() {
            wrong(format!("segment[{index}] may not be empty"));
        }
    }
}

fn match_conditions(webhook: &Value, at: Path<'_>, errors: &mut Vec<FieldError>) {
    let conditions = items(webhook, "/matchConditions");
    if conditions.len() > 64 {
        errors.push(FieldError::too_many(at, conditions.len(), 64));
    }
    let mut seen = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        let expression = text(condition, "/expression").trim();
        if expression.is_empty() {
            errors.push(FieldError::required(at.child("expression"), ""));
        } else if let Err(why) = conditions::check(expression) {
            let at = at.child("expression");
            errors.push(FieldError::invalid(at, &json!(expression), why));
        }
        let name = text(condition, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), &json!(name)));
        } else {
            for why in names::qualified_name(name) {
                errors.push(FieldError::invalid(at.child("name"), &json!(name), why));
            }
        }
    }
}
