//! The SparkApplication that stands for an original, made from the specification alone.

use serde_json::{Value, json};
use windlass_api::names;
use windlass_api::spark::OriginalSparkApplication;
use windlass_api::spark::original::{APP_ID_LABEL, Conversion, OldImages, app_id, convert};

use super::MADE_FROM;

/// What is wanted of an original that is to be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The SparkApplication.
    pub application: Value,
    /// A hash of what it is made from.
    pub hash: String,
    /// What was not taken over as it stands, one line each.
    pub notes: Vec<String>,
}

/// The SparkApplication of an original, or one line per problem of its specification.
pub fn wanted(
    original: &OriginalSparkApplication,
    old_images: &OldImages,
) -> Result<Wanted, Vec<String>> {
    let Conversion {
        mut application,
        notes,
    } = convert(original, old_images)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let name = original.metadata.name.as_deref().unwrap_or_default();
    let uid = original.metadata.uid.as_deref().unwrap_or_default();
    // Whoever looked for pods by this label goes on finding them.
    let spec = &mut application.spec;
    for pod in [&mut spec.driver.pod, &mut spec.executor.pod] {
        pod.labels
            .insert(APP_ID_LABEL.to_owned(), app_id(name, uid));
    }
    // Plain data, whose serialization cannot fail.
    let mut made = serde_json::to_value(&application).unwrap_or_default();
    if let Some(fields) = made.as_object_mut() {
        fields.remove("status");
    }
    let hash = names::hash(&made.to_string());
    let metadata = &mut made["metadata"];
    metadata["annotations"][MADE_FROM] = json!(hash);
    metadata["ownerReferences"] = json!([{
        "apiVersion": "spark-operator.k8s.io/v1alpha1",
        "kind": "SparkApplication",
        "name": name,
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    Ok(Wanted {
        application: made,
        hash,
        notes: notes.iter().map(ToString::to_string).collect(),
    })
}

/// What turns one specification into another, as a merge patch (RFC 7396). Whether an application is
/// suspended is not the original's to say.
pub(super) fn change(present: &Value, wanted: &Value) -> Value {
    let mut patch = difference(present, wanted);
    if let Some(fields) = patch.as_object_mut() {
        fields.remove("suspend");
    }
    patch
}

fn difference(present: &Value, wanted: &Value) -> Value {
    let (Value::Object(present), Value::Object(wanted)) = (present, wanted) else {
        return wanted.clone();
    };
    let gone = present
        .keys()
        .filter(|key| !wanted.contains_key(*key))
        .map(|key| (key.clone(), Value::Null));
    let other = wanted.iter().filter_map(|(key, value)| {
        let before = present.get(key).unwrap_or(&Value::Null);
        (before != value).then(|| (key.clone(), difference(before, value)))
    });
    Value::Object(gone.chain(other).collect())
}
