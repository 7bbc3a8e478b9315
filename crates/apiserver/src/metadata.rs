//! The rules of `metadata` that hold for every kind.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value, json};

/// The longest prefix that `generateName` keeps.
const MAX_GENERATED_PREFIX: usize = 58;
/// Letters and digits that make no words and are not mistaken for each other.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Now, to the second, as API objects write it.
pub(crate) fn now() -> String {
    time(Timestamp::now())
}

/// A time, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Gives a new object its identity.
pub(crate) fn stamp_new(object: &mut Value) {
    let metadata = fields(object);
    metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), json!(now()));
}

/// The metadata, made if it is missing or no object.
pub(crate) fn fields(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    match metadata {
        Value::Object(fields) => fields,
        _ => unreachable!("metadata was just made an object"),
    }
}

/// A text field of the metadata; empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The name that the object has or, for `generateName`, could have.
pub(crate) fn generated_name(prefix: &str) -> String {
    let mut cut = prefix.len().min(MAX_GENERATED_PREFIX);
    while !prefix.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{}", &prefix[..cut], random_suffix())
}

/// Five random letters.
pub(crate) fn random_suffix() -> String {
    let mut bytes = [0_u8; 5];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without a random source, time has to do: uniqueness is checked by the store anyway.
        bytes.copy_from_slice(&Timestamp::now().as_nanosecond().to_le_bytes()[..5]);
    }
    bytes
        .iter()
        .map(|byte| char::from(SUFFIX_ALPHABET[usize::from(*byte) % SUFFIX_ALPHABET.len()]))
        .collect()
}

/// The finalizers.
pub(crate) fn finalizers(object: &Value) -> BTreeSet<&str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Whether deletion has begun.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether two states are the same but for the revision, and for the times at which fields were
/// taken over: the fields alone make no new state, as with kube-apiserver.
pub(crate) fn same_but_revision(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return a == b;
    };
    a.len() == b.len()
        && a.iter()
            .all(|(field, value)| match (field.as_str(), b.get(field)) {
                (_, None) => false,
                ("metadata", Some(other)) => same_metadata(value, other),
                (_, Some(other)) => value == other,
            })
}

fn same_metadata(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return a == b;
    };
    let relevant = |fields: &Map<String, Value>| {
        fields.len() - usize::from(fields.contains_key("resourceVersion"))
    };
    relevant(a) == relevant(b)
        && a.iter()
            .filter(|(field, _)| *field != "resourceVersion")
            .all(|(field, value)| match (field.as_str(), b.get(field)) {
                ("managedFields", Some(other)) => same_managers(value, other),
                (_, other) => other == Some(value),
            })
}

/// Whether the same managers manage the same fields, whenever that was.
fn same_managers(a: &Value, b: &Value) -> bool {
    let (Value::Array(a), Value::Array(b)) = (a, b) else {
        return a == b;
    };
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        if let Value::Object(fields) = &mut entry {
            fields.remove("time");
        }
        entry
    };
    a.len() == b.len() && (a.iter().zip(b)).all(|(a, b)| a == b || timeless(a) == timeless(b))
}

/// Whether what is wanted is the same: everything outside metadata, and outside of the status where
/// that is written apart.
pub(crate) fn same_desire(a: &Value, b: &Value, status_apart: bool) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return a == b;
    };
    let wanted = |field: &str| match field {
        "metadata" | "apiVersion" | "kind" => false,
        "status" => !status_apart,
        _ => true,
    };
    let covers = |a: &Map<String, Value>, b: &Map<String, Value>| {
        a.iter()
            .filter(|(field, _)| wanted(field))
            .all(|(field, value)| b.get(field) == Some(value))
    };
    covers(a, b) && covers(b, a)
}

/// The finalizers that Kubernetes itself uses.
pub(crate) const PLAIN_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Drops owners that are named again, and returns their uids.
pub(crate) fn drop_repeated_owners(object: &mut Value) -> Vec<String> {
    let mut repeated = Vec::new();
    let mut seen: Vec<Value> = Vec::new();
    if let Some(owners) = object["metadata"]
        .get_mut("ownerReferences")
        .and_then(Value::as_array_mut)
    {
        owners.retain(|owner| {
            let again = seen.contains(owner);
            if again {
                repeated.push(owner["uid"].as_str().unwrap_or_default().to_owned());
            } else {
                seen.push(owner.clone());
            }
            !again
        });
    }
    repeated
}

/// What clients may never set themselves; the generation only where the server counts it.
pub(crate) fn strip_system_fields(object: &mut Value, counted: bool) {
    let metadata = fields(object);
    if counted {
        metadata.remove("generation");
    }
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        metadata.remove(field);
    }
}

/// `metadata` and nothing else, as `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": object["metadata"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_keep_the_prefix_and_stay_short() {
        let name = generated_name(&"x".repeat(80));
        assert_eq!(name.len(), 63);
        assert!(generated_name("job-").starts_with("job-"));
        assert_ne!(generated_name("job-"), generated_name("job-"));
    }

    #[test]
    fn only_the_revision_may_differ_between_equal_states() {
        let a = json!({"metadata": {"name": "x", "resourceVersion": "1"}, "spec": {"a": 1}});
        let mut b = a.clone();
        b["metadata"]["resourceVersion"] = json!("2");
        assert!(same_but_revision(&a, &b));
        b["metadata"]["labels"] = json!({"k": "v"});
        assert!(!same_but_revision(&a, &b) && !same_but_revision(&b, &a));
        assert!(same_desire(&a, &b, false));
        let managed = |time: &str, manager: &str| {
            let entry = json!({"manager": manager, "time": time, "fieldsV1": {"f:spec": {}}});
            json!({"metadata": {"managedFields": [entry]}})
        };
        let early = managed("2026-01-02T03:04:05Z", "one");
        assert!(same_but_revision(
            &early,
            &managed("2026-01-02T03:04:06Z", "one")
        ));
        assert!(!same_but_revision(
            &early,
            &managed("2026-01-02T03:04:05Z", "two")
        ));
        b["spec"]["a"] = json!(2);
        assert!(!same_desire(&a, &b, false));
        let mut b = a.clone();
        b["status"] = json!({"seen": true});
        assert!(same_desire(&a, &b, true));
        assert!(!same_desire(&a, &b, false));
    }
}
