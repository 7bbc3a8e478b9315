//! CustomResourceDefinitions: what makes one valid, what its status says, and the resource it
//! adds.

mod status;

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use windlass_apimachinery::{
    field::FieldError, printers::Printer, schema, selectors::SelectableFields,
    structural::StructuralSchema,
};

use crate::registry::{CustomVersion, Handling, Names, Resource, ScalePaths};

pub(crate) use status::{CLEANUP_FINALIZER, refresh_status};

/// The group of the definitions themselves.
pub(crate) const GROUP: &str = "apiextensions.k8s.io";

const APPROVAL: &str = "api-approved.kubernetes.io";

/// Fills in what a definition may leave out.
pub(crate) fn default(definition: &mut Value) {
    if !definition["spec"]["names"].is_object() {
        return;
    }
    let kind = definition["spec"]["names"]["kind"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let names = &mut definition["spec"]["names"];
    if names["singular"].as_str().is_none_or(str::is_empty) {
        names["singular"] = json!(kind.to_lowercase());
    }
    if names["listKind"].as_str().is_none_or(str::is_empty) && !kind.is_empty() {
        names["listKind"] = json!(format!("{kind}List"));
    }
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

/// Sets what only the server decides about a new definition.
pub(crate) fn prepare_create(definition: &mut Value) {
    let storage = storage_version(definition).map(str::to_owned);
    definition["status"] = json!({
        "conditions": [],
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": storage.into_iter().collect::<Vec<_>>(),
    });
    let finalizers = &mut definition["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|name| name == CLEANUP_FINALIZER) => {}
        Some(list) => list.push(json!(CLEANUP_FINALIZER)),
        None => *finalizers = json!([CLEANUP_FINALIZER]),
    }
}

/// What is wrong with a definition.
pub(crate) fn validate(definition: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    for (field, value) in [
        ("spec.group", &group),
        ("spec.names.plural", &plural),
        ("spec.names.kind", &text(&spec["names"]["kind"])),
    ] {
        if value.is_empty() {
            errors.push(FieldError::required(field, ""));
        }
    }
    let name = text(&definition["metadata"]["name"]);
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &json!(name), why));
    }
    if !matches!(spec["scope"].as_str(), Some("Namespaced" | "Cluster")) {
        let supported = ["Cluster", "Namespaced"];
        errors.push(FieldError::not_supported(
            "spec.scope",
            &spec["scope"],
            supported,
        ));
    }
    if spec["conversion"]["strategy"] == "Webhook" {
        let why = "conversion webhooks are not served here; use the strategy None";
        errors.push(FieldError::not_supported(
            "spec.conversion.strategy",
            &json!("Webhook"),
            ["None"],
        ));
        errors.push(FieldError::forbidden("spec.conversion.webhook", why));
    }
    errors.extend(approval(definition, &group));
    errors.extend(versions(spec, old));
    if let Some(old) = old {
        for field in ["group", "scope"] {
            if old["spec"][field] != spec[field] {
                errors.push(FieldError::invalid(
                    format!("spec.{field}"),
                    &spec[field],
                    "field is immutable",
                ));
            }
        }
    }
    errors
}

/// Groups of the Kubernetes project need its approval, or the word that there is none.
fn approval(definition: &Value, group: &str) -> Option<FieldError> {
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|suffix| group == *suffix || group.ends_with(&format!(".{suffix}")));
    let field = format!("metadata.annotations[{APPROVAL}]");
    let value = &definition["metadata"]["annotations"][APPROVAL];
    match value.as_str() {
        _ if !protected => None,
        Some(text) if text.starts_with("https://") || text.starts_with("http://") => None,
        Some(text) if text.starts_with("unapproved") => None,
        Some(_) => {
            let why = "protected groups must have approval annotation with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
            Some(FieldError::invalid(field, value, why))
        }
        None => {
            let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
            Some(FieldError::required(field, why))
        }
    }
}

fn versions(spec: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let list = spec["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if list.is_empty() {
        errors.push(FieldError::invalid(
            "spec.versions",
            &spec["versions"],
            "must have exactly one version marked as storage version",
        ));
    }
    let storages = list
        .iter()
        .filter(|version| version["storage"] == true)
        .count();
    if !list.is_empty() && storages != 1 {
        errors.push(FieldError::invalid(
            "spec.versions",
            &spec["versions"],
            "must have exactly one version marked as storage version",
        ));
    }
    // One schema for all versions is looked at once, under the name it has inside a real one.
    let one_schema = list
        .iter()
        .all(|version| version["schema"] == list[0]["schema"] && !version["schema"].is_null());
    for (index, version) in list.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        let name = version["name"].as_str().unwrap_or_default();
        if list[..index].iter().any(|earlier| earlier["name"] == name) {
            errors.push(FieldError::duplicate(
                format!("{path}.name"),
                &version["name"],
            ));
        }
        let schema = &version["schema"]["openAPIV3Schema"];
        let schema_path = if one_schema {
            "spec.validation.openAPIV3Schema".to_owned()
        } else {
            format!("{path}.schema.openAPIV3Schema")
        };
        if one_schema && index > 0 {
            continue;
        }
        if schema.is_null() {
            let at = format!("{path}.schema.openAPIV3Schema");
            errors.push(FieldError::required(at, "schemas are required"));
            continue;
        }
        let unchanged = old.is_some_and(|old| {
            old["spec"]["versions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|before| before["name"] == name && before["schema"] == version["schema"])
        });
        if !unchanged && let Err(found) = StructuralSchema::compile(schema, &schema_path) {
            errors.extend(found);
        }
    }
    errors
}

/// The resource that an established definition adds.
pub(crate) fn resource(definition: &Value) -> Option<Resource> {
    if !status::is_established(definition) {
        return None;
    }
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let strings = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let kind = text(&names["kind"]);
    let versions: BTreeMap<String, Arc<CustomVersion>> = spec["versions"]
        .as_array()?
        .iter()
        .filter_map(|version| Some((text(&version["name"]), Arc::new(custom_version(version)?))))
        .collect();
    let defined_at = definition["metadata"]["resourceVersion"]
        .as_str()?
        .parse()
        .ok()?;
    Some(Resource {
        group: text(&spec["group"]),
        plural: text(&names["plural"]),
        namespaced: spec["scope"] == "Namespaced",
        names: Names {
            singular: names["singular"]
                .as_str()
                .map_or_else(|| kind.to_lowercase(), str::to_owned),
            list_kind: names["listKind"]
                .as_str()
                .map_or_else(|| format!("{kind}List"), str::to_owned),
            short: strings(&names["shortNames"]),
            categories: strings(&names["categories"]),
        },
        kind,
        handling: Handling::Custom {
            storage: storage_version(definition)?.to_owned(),
            versions,
            defined_at,
        },
    })
}

fn custom_version(version: &Value) -> Option<CustomVersion> {
    let source = &version["schema"]["openAPIV3Schema"];
    let compiled = StructuralSchema::compile(source, "spec.schema");
    let selectable = version["selectableFields"].as_array();
    let paths = selectable
        .into_iter()
        .flatten()
        .filter_map(|field| field["jsonPath"].as_str());
    let deprecation = (version["deprecated"] == true).then(|| {
        version["deprecationWarning"].as_str().map_or_else(
            || {
                format!(
                    "version {} is deprecated",
                    version["name"].as_str().unwrap_or_default()
                )
            },
            str::to_owned,
        )
    });
    let scale = &version["subresources"]["scale"];
    Some(CustomVersion {
        served: version["served"] == true,
        deprecation,
        schema: compiled.ok()?,
        types: schema::from_crd(source).unwrap_or_else(|_| schema::deduced()),
        openapi: source.clone(),
        printer: Printer::custom(version.get("additionalPrinterColumns")),
        selectable: SelectableFields::custom(paths),
        status: version["subresources"]["status"].is_object(),
        scale: scale.is_object().then(|| ScalePaths {
            spec_replicas: steps(&scale["specReplicasPath"]),
            status_replicas: steps(&scale["statusReplicasPath"]),
            label_selector: scale["labelSelectorPath"]
                .is_string()
                .then(|| steps(&scale["labelSelectorPath"])),
        }),
    })
}

/// `.spec.replicas` as its steps.
fn steps(path: &Value) -> Vec<String> {
    let path = path.as_str().unwrap_or_default();
    path.split('.')
        .filter(|step| !step.is_empty())
        .map(str::to_owned)
        .collect()
}

pub(crate) fn storage_version(definition: &Value) -> Option<&str> {
    let versions = definition["spec"]["versions"].as_array()?;
    versions.iter().find(|version| version["storage"] == true)?["name"].as_str()
}

/// Versions by preference: `v2` before `v1` before `v1beta1` before `v1alpha1` before the rest.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability, major and minor number; greater is preferred.
fn parse_version(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    for (word, stability) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stability, major.parse().ok()?, minor.parse().ok()?));
        }
    }
    Some((2, rest.parse().ok()?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_preference() {
        let mut versions = vec!["v1alpha1", "foo", "v1", "v1beta2", "v2", "v1beta10", "bar"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            ["v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "bar", "foo"]
        );
    }

    #[test]
    fn protected_groups_need_a_word_about_their_approval() {
        let with = |value: Value| json!({"metadata": {"annotations": {APPROVAL: value}}});
        let group = "spark.k8s.io";
        assert!(approval(&with(json!("unapproved, experimental")), group).is_none());
        assert!(approval(&with(json!("https://example.com/1")), group).is_none());
        assert!(approval(&with(json!("yes")), group).is_some());
        assert!(approval(&json!({}), group).is_some());
        assert!(approval(&json!({}), "example.com").is_none());
    }
}
