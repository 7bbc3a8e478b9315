//! The options of requests, by the rules of kube-apiserver: what is wrong with one is a 422 that
//! names it, before anything is looked up.

use serde_json::json;
use windlass_apimachinery::field::FieldError;

use super::Selection;
use crate::{
    http::{Call, Query, Verb},
    status::{ApiError, ApiResult},
};

/// The longest name of a field manager.
const MANAGER_MAX: usize = 128;

/// Refuses options that the verb does not have or that contradict each other.
pub(super) fn check(call: &Call, applies: bool) -> ApiResult<()> {
    let query = &call.query;
    if matches!(call.verb, Verb::List | Verb::Watch) {
        for number in ["limit", "timeoutSeconds"] {
            call.query.number(number)?;
        }
        // Whether a field can be selected by is looked at later.
        match Selection::parse(call) {
            Err(error)
                if !error.message().starts_with("field label not supported")
                    && !error.message().contains("is not a known field selector") =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    let (kind, errors) = match call.verb {
        Verb::Create => ("CreateOptions", written(query)),
        Verb::Update => ("UpdateOptions", written(query)),
        Verb::Patch => ("PatchOptions", patched(query, applies)),
        Verb::List => ("ListOptions", listed(query)),
        Verb::Watch => ("ListOptions", watched(query)),
        // Those of a deletion may be in its body.
        Verb::Get | Verb::Delete | Verb::DeleteCollection => return Ok(()),
    };
    refuse(kind, &errors)
}

/// 422 if there are errors.
pub(super) fn refuse(kind: &str, errors: &[FieldError]) -> ApiResult<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid("meta.k8s.io", kind, "", errors))
}

/// The complaint about a `dryRun` other than `All`.
pub(super) fn not_a_dry_run(text: &str) -> FieldError {
    FieldError::not_supported("dryRun", &json!([text]), ["All"])
}

fn written(query: &Query) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(manager) = query.get("fieldManager") {
        if manager.len() > MANAGER_MAX {
            errors.push(FieldError::too_long("fieldManager", MANAGER_MAX));
        }
        if let Some((at, _)) = manager.char_indices().find(|(_, c)| c.is_control()) {
            errors.push(FieldError::invalid(
                "fieldManager",
                &json!(manager),
                format!("invalid character (at position {at})"),
            ));
        }
    }
    if let Some(other) = query.get("dryRun").filter(|text| *text != "All") {
        errors.push(not_a_dry_run(other));
    }
    if let Some(other) = query.get("fieldValidation")
        && !["Ignore", "Warn", "Strict"].contains(&other)
    {
        errors.push(FieldError::not_supported(
            "fieldValidation",
            &json!(other),
            ["", "Ignore", "Strict", "Warn"],
        ));
    }
    errors
}

fn patched(query: &Query, applies: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if applies && query.get("fieldManager").is_none() {
        errors.push(FieldError::required(
            "fieldManager",
            "is required for apply patch",
        ));
    }
    if !applies && query.get("force").is_some() {
        errors.push(FieldError::forbidden(
            "force",
            "may not be specified for non-apply patch",
        ));
    }
    errors.extend(written(query));
    errors
}

fn listed(query: &Query) -> Vec<FieldError> {
    let matching = |why: &str| FieldError::forbidden("resourceVersionMatch", why);
    let mut errors = Vec::new();
    if let Some(how) = query.get("resourceVersionMatch") {
        let revision = query.get("resourceVersion");
        if revision.is_none() {
            errors.push(matching(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if query.get("continue").is_some() {
            errors.push(matching(
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if !["Exact", "NotOlderThan"].contains(&how) {
            errors.push(FieldError::not_supported(
                "resourceVersionMatch",
                &json!(how),
                ["Exact", "NotOlderThan", ""],
            ));
        }
        if how == "Exact" && revision == Some("0") {
            errors.push(matching(
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if query.get("sendInitialEvents").is_some() {
        errors.push(FieldError::forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        ));
    }
    errors
}

fn watched(query: &Query) -> Vec<FieldError> {
    let how = query.get("resourceVersionMatch");
    let why = match query.get("sendInitialEvents") {
        Some(_) if how != Some("NotOlderThan") => {
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        }
        None if how.is_some() => {
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        }
        _ => return Vec::new(),
    };
    vec![FieldError::forbidden("resourceVersionMatch", why)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_refused_by_name() {
        type Check = fn(&Query) -> Vec<FieldError>;
        let apply: Check = |query| patched(query, true);
        let merge: Check = |query| patched(query, false);
        let cases: &[(Check, &str, &[&str])] = &[
            (
                written,
                "fieldManager=me&dryRun=All&fieldValidation=Strict",
                &[],
            ),
            (written, "dryRun=&fieldValidation=", &[]),
            (written, "dryRun=No", &["dryRun"]),
            (written, "fieldValidation=No", &["fieldValidation"]),
            (written, "fieldManager=a%00b", &["fieldManager"]),
            (apply, "", &["fieldManager"]),
            (apply, "fieldManager=me&force=true", &[]),
            (merge, "force=true&dryRun=No", &["force", "dryRun"]),
            (listed, "resourceVersion=7&resourceVersionMatch=Exact", &[]),
            (
                listed,
                "resourceVersionMatch=Exact",
                &["resourceVersionMatch"],
            ),
            (
                listed,
                "resourceVersion=7&resourceVersionMatch=No",
                &["resourceVersionMatch"],
            ),
            (
                listed,
                "resourceVersion=0&resourceVersionMatch=Exact",
                &["resourceVersionMatch"],
            ),
            (
                listed,
                "resourceVersionMatch=Exact&continue=x",
                &["resourceVersionMatch", "resourceVersionMatch"],
            ),
            (listed, "sendInitialEvents=false", &["sendInitialEvents"]),
            (
                watched,
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                &[],
            ),
            (watched, "sendInitialEvents=true", &["resourceVersionMatch"]),
            (
                watched,
                "resourceVersionMatch=NotOlderThan",
                &["resourceVersionMatch"],
            ),
        ];
        for (check, query, expected) in cases {
            let errors = check(&Query::parse(query));
            let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(fields, *expected, "{query}");
        }
        let long = format!("fieldManager={}", "m".repeat(129));
        assert_eq!(
            written(&Query::parse(&long))[0].to_string(),
            "fieldManager: Too long: may not be more than 128 bytes"
        );
    }
}
