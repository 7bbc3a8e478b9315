//! The status of a definition: which names it got, whether it is served, and its end.

use serde_json::{Value, json};

use super::{Arc, storage_version};
use crate::{
    metadata,
    registry::{Catalog, Resource},
};

/// Keeps a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether objects can be written.
pub(super) fn is_established(definition: &Value) -> bool {
    condition(definition, "Established").is_some_and(|condition| condition["status"] == "True")
}

/// Brings the status up to date with the spec and with the names others hold.
pub(crate) fn refresh_status(definition: &mut Value, catalog: &Catalog) {
    let conflict = name_conflict(definition, catalog);
    let names = &definition["spec"]["names"];
    let accepted = match &conflict {
        None => names.clone(),
        Some(_) => definition["status"]["acceptedNames"].clone(),
    };
    definition["status"]["acceptedNames"] = accepted;
    let was_established = is_established(definition);
    match &conflict {
        None => {
            set(
                definition,
                "NamesAccepted",
                "True",
                "NoConflicts",
                "no conflicts found",
            );
            let message = "the initial names have been accepted";
            set(
                definition,
                "Established",
                "True",
                "InitialNamesAccepted",
                message,
            );
        }
        Some((reason, message)) => {
            set(definition, "NamesAccepted", "False", reason, message);
            if !was_established {
                set(
                    definition,
                    "Established",
                    "False",
                    "NotAccepted",
                    "not all names are accepted",
                );
            }
        }
    }
    if let Some(storage) = storage_version(definition).map(str::to_owned) {
        match definition["status"]["storedVersions"].as_array_mut() {
            Some(stored) if stored.iter().any(|version| *version == *storage) => {}
            Some(stored) => stored.push(json!(storage)),
            None => definition["status"]["storedVersions"] = json!([storage]),
        }
    }
    if metadata::is_deleting(definition) {
        let message = "CustomResource deletion is in progress";
        set(
            definition,
            "Terminating",
            "True",
            "InstanceDeletionInProgress",
            message,
        );
    }
}

/// The first name that another resource of the group holds.
fn name_conflict(definition: &Value, catalog: &Catalog) -> Option<(&'static str, String)> {
    let spec = &definition["spec"];
    let group = spec["group"].as_str()?;
    let names = &spec["names"];
    let plural = names["plural"].as_str()?;
    let others: Vec<&Arc<Resource>> = catalog
        .iter()
        .filter(|resource| resource.group == group && resource.plural != plural)
        .collect();
    let taken = |name: &str| {
        others.iter().any(|other| {
            other.plural == name
                || other.names.singular == name
                || other.names.short.iter().any(|short| short == name)
        })
    };
    let short = names["shortNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let words = [("PluralConflict", plural)]
        .into_iter()
        .chain(
            names["singular"]
                .as_str()
                .map(|name| ("SingularConflict", name)),
        )
        .chain(short.map(|name| ("ShortNamesConflict", name)));
    for (reason, name) in words {
        if taken(name) {
            return Some((reason, format!("\"{name}\" is already in use")));
        }
    }
    let kinds = [("KindConflict", "kind"), ("ListKindConflict", "listKind")];
    for (reason, field) in kinds {
        let name = names[field].as_str().unwrap_or_default();
        if others
            .iter()
            .any(|other| other.kind == name || other.names.list_kind == name)
        {
            return Some((reason, format!("\"{name}\" is already in use")));
        }
    }
    None
}

fn condition<'a>(definition: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = definition["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn set(definition: &mut Value, kind: &str, status: &str, reason: &str, message: &str) {
    let since = condition(definition, kind)
        .filter(|condition| condition["status"] == status)
        .map(|condition| condition["lastTransitionTime"].clone());
    let updated = json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since.unwrap_or_else(|| json!(metadata::now())),
    });
    if !definition["status"]["conditions"].is_array() {
        definition["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = definition["status"]["conditions"].as_array_mut() {
        match conditions
            .iter_mut()
            .find(|condition| condition["type"] == kind)
        {
            Some(condition) => *condition = updated,
            None => conditions.push(updated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "names": {"plural": "widgets", "kind": "Widget", "singular": "widget"},
                "versions": [{"name": "v1", "served": true, "storage": true}],
            },
        })
    }

    #[test]
    fn names_nobody_holds_are_accepted_and_a_second_pass_changes_nothing() {
        let mut first = definition();
        refresh_status(&mut first, &Catalog::default());
        assert!(is_established(&first));
        assert_eq!(first["status"]["storedVersions"], json!(["v1"]));
        let mut second = first.clone();
        refresh_status(&mut second, &Catalog::default());
        assert_eq!(first, second);
    }
}
