//! From a cluster of that time to one of today.

use serde_json::Value;

use super::spelling::{Field, Respelt, Shape, field, leaf, spelt};
use super::{Conversion, KubeDirectorCluster};
use crate::director::cluster::{self, NamingScheme, ServiceType};
use crate::field::{FieldError, FieldPath};

const RESOURCES: &[Field] = &[
    field("limits", &[], Shape::Amounts),
    field("requests", &[], Shape::Amounts),
];

const STORAGE: &[Field] = &[
    field("size", &[], Shape::Text),
    spelt(
        "storageClassName",
        &["storage_class_name", "storageClass", "storage_class"],
    ),
];

const ENV: &[Field] = &[leaf("name"), field("value", &[], Shape::Text)];

const PERMISSIONS: &[Field] = &[
    spelt("fileMode", &["file_mode"]),
    spelt("fileOwner", &["file_owner"]),
    spelt("fileGroup", &["file_group"]),
];

const INJECTION: &[Field] = &[
    spelt("srcURL", &["src_url", "srcUrl"]),
    spelt("destDir", &["dest_dir"]),
    field("permissions", &[], Shape::Object(PERMISSIONS)),
];

const SECRET: &[Field] = &[
    leaf("name"),
    spelt("mountPath", &["mount_path"]),
    spelt("defaultMode", &["default_mode"]),
    spelt("readOnly", &["read_only"]),
];

const ROLE: &[Field] = &[
    spelt("id", &["name"]),
    spelt("members", &["replicas"]),
    field("resources", &[], Shape::Object(RESOURCES)),
    field("storage", &[], Shape::Object(STORAGE)),
    field("env", &[], Shape::List(ENV)),
    spelt("podLabels", &["pod_labels"]),
    spelt("serviceLabels", &["service_labels"]),
    field(
        "fileInjections",
        &["file_injections"],
        Shape::List(INJECTION),
    ),
    field("secret", &[], Shape::Object(SECRET)),
];

/// The fields of a cluster.
pub(super) const FIELDS: &[Field] = &[
    leaf("app"),
    spelt("appCatalog", &["app_catalog"]),
    spelt("serviceType", &["service_type"]),
    field("defaultSecret", &["default_secret"], Shape::Object(SECRET)),
    field("roles", &[], Shape::List(ROLE)),
];

/// The cluster of today that this one stands for: with the names it had then, and reached by the
/// ports of nodes unless it says otherwise.
///
/// # Errors
/// Everything that is in the way, by the names of its own fields.
pub fn convert_cluster(
    original: &KubeDirectorCluster,
) -> Result<Conversion<cluster::KubeDirectorCluster>, Vec<FieldError>> {
    let mut respelt = Respelt::new(FIELDS, &original.spec.fields);
    limit_to_requests(&mut respelt, &FieldPath::new("spec").field("roles"));
    let read = respelt.read(&original.metadata, cluster::validate);
    match read {
        Some(mut object) => {
            let spec = &mut object.spec;
            spec.service_type = spec.service_type.or(Some(ServiceType::NodePort));
            spec.naming_scheme = Some(NamingScheme::Original);
            Ok(Conversion {
                object,
                notes: respelt.notes,
            })
        }
        None => Err(respelt.errors),
    }
}

/// A cluster of that time could say what it requests and nothing else.
fn limit_to_requests(respelt: &mut Respelt, at: &FieldPath) {
    let mut changed = Vec::new();
    let roles = respelt.spec.get_mut("roles").and_then(Value::as_array_mut);
    for (index, role) in roles.into_iter().flatten().enumerate() {
        let resources = role.get_mut("resources").and_then(Value::as_object_mut);
        let Some(resources) = resources else {
            continue;
        };
        let requests = resources.get("requests").cloned();
        if let Some(requests) = requests.filter(|_| !resources.contains_key("limits")) {
            resources.insert("limits".to_owned(), requests);
            changed.push(at.index(index).field("resources"));
        }
    }
    for resources in changed {
        let from = resources.field("requests");
        respelt.comes_from(&resources.field("limits"), &from);
        let path = respelt.as_written(&from);
        respelt.note(path, "are also the limits, which a cluster has to have");
    }
}
