//! From an application of that time to one of today.

use serde_json::{Map, Value, json};

use super::spelling::{Field, Respelt, Shape, field, leaf, spelt};
use super::{Conversion, KubeDirectorApp};
use crate::director::app;
use crate::field::{FieldError, FieldPath};

/// The version of configmeta.json that scripts of that time read when nothing says so.
const SCHEMA_VERSION: i64 = 7;

/// What was kept on storage then, and is not today unless it is said.
const KEPT_THEN: &str = "/var";

const LABEL: &[Field] = &[field("name", &[], Shape::Text), leaf("description")];

const IMAGE: &[Field] = &[spelt("repoTag", &["repo_tag"])];

/// A package also told the version of configmeta.json.
const API_VERSION: &str = "configApiVersion";

const PACKAGE: &[Field] = &[
    spelt(
        "packageURL",
        &[
            "package_url",
            "packageUrl",
            "import_url",
            "importURL",
            "importUrl",
        ],
    ),
    spelt(API_VERSION, &["config_api_version", "configAPIVersion"]),
    spelt("useNewSetupLayout", &["use_new_setup_layout"]),
];

const PACKAGE_NAMES: &[&str] = &["config_package", "setup_package", "setupPackage"];

const ENDPOINT: &[Field] = &[
    leaf("port"),
    spelt("urlScheme", &["url_scheme"]),
    leaf("path"),
    spelt("isDashboard", &["is_dashboard"]),
    spelt("hasAuthToken", &["has_auth_token", "auth_token"]),
];

const SERVICE: &[Field] = &[
    leaf("id"),
    field("label", &[], Shape::Object(LABEL)),
    field("endpoint", &[], Shape::Object(ENDPOINT)),
    spelt("exported_service", &["exportedService"]),
];

const ROLE: &[Field] = &[
    spelt("id", &["name"]),
    field("cardinality", &[], Shape::Text),
    spelt("imageRepoTag", &["image_repo_tag"]),
    field("image", &[], Shape::Object(IMAGE)),
    field("configPackage", PACKAGE_NAMES, Shape::Object(PACKAGE)),
    spelt("persistDirs", &["persist_dirs"]),
    spelt("eventList", &["event_list"]),
    field("minResources", &["min_resources"], Shape::Amounts),
];

const ROLE_SERVICES: &[Field] = &[
    spelt("roleID", &["role_id", "roleId"]),
    spelt("serviceIDs", &["service_ids", "serviceIds"]),
];

const CONFIG: &[Field] = &[
    spelt("selectedRoles", &["selected_roles"]),
    field(
        "roleServices",
        &["role_services", "node_services", "nodeServices"],
        Shape::List(ROLE_SERVICES),
    ),
    spelt("configMeta", &["config_meta", "config_metadata"]),
];

/// The fields of an application.
pub(super) const FIELDS: &[Field] = &[
    field("label", &[], Shape::Object(LABEL)),
    spelt("distroID", &["distro_id", "distroId"]),
    field("version", &[], Shape::Text),
    spelt(
        "configSchemaVersion",
        &["config_schema_version", "schema_version", "schemaVersion"],
    ),
    spelt("logoURL", &["logo_url"]),
    leaf("categories"),
    field("services", &[], Shape::List(SERVICE)),
    spelt("defaultImageRepoTag", &["default_image_repo_tag"]),
    field("image", &[], Shape::Object(IMAGE)),
    field(
        "defaultConfigPackage",
        &["default_config_package", "setup_package", "setupPackage"],
        Shape::Object(PACKAGE),
    ),
    spelt(
        "defaultPersistDirs",
        &["default_persist_dirs", "persist_dirs", "persistDirs"],
    ),
    spelt("defaultEventList", &["default_event_list"]),
    field("roles", &[], Shape::List(ROLE)),
    field("config", &[], Shape::Object(CONFIG)),
    leaf("capabilities"),
    spelt(
        "systemdRequired",
        &["systemd_required", "systemctlMounts", "systemctl_mounts"],
    ),
];

/// The application of today that this one stands for.
///
/// # Errors
/// Everything that is in the way, by the names of its own fields.
pub fn convert_app(
    original: &KubeDirectorApp,
) -> Result<Conversion<app::KubeDirectorApp>, Vec<FieldError>> {
    let mut respelt = Respelt::new(FIELDS, &original.spec.fields);
    let at = FieldPath::new("spec");
    move_image(&mut respelt, None, "defaultImageRepoTag", &at);
    for index in 0..list(&respelt.spec, "roles").len() {
        let at = at.field("roles").index(index);
        move_image(&mut respelt, Some(index), "imageRepoTag", &at);
    }
    take_schema_version(&mut respelt, &at);
    fill_labels(&mut respelt, original);
    hyphenate_services(&mut respelt, &at);
    let spec = &mut respelt.spec;
    spec.entry("defaultPersistDirs")
        .or_insert_with(|| json!([KEPT_THEN]));
    match respelt.read(&original.metadata, app::validate) {
        Some(object) => Ok(Conversion {
            object,
            notes: respelt.notes,
        }),
        None => Err(respelt.errors),
    }
}

fn list<'a>(object: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    let list = object.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn objects_in<'a>(
    object: &'a mut Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = object.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// `image.repoTag`, of the application or one of its roles, is a field of its own today.
fn move_image(respelt: &mut Respelt, role: Option<usize>, name: &str, at: &FieldPath) {
    let place = match role {
        None => Some(&mut respelt.spec),
        Some(index) => {
            let roles = respelt.spec.get_mut("roles").and_then(Value::as_array_mut);
            let role = roles.and_then(|roles| roles.get_mut(index));
            role.and_then(Value::as_object_mut)
        }
    };
    let Some(place) = place else {
        return;
    };
    let Some(image) = place.remove("image") else {
        return;
    };
    // Also an image that is a plain text is meant.
    let tag = image.get("repoTag").cloned().unwrap_or(image);
    if place.contains_key(name) {
        let path = respelt.as_written(&at.field("image"));
        let other = respelt.as_written(&at.field(name));
        let detail = format!("says the same as {other}; remove one of the two");
        respelt.errors.push(FieldError::forbidden(path, detail));
        return;
    }
    place.insert(name.to_owned(), tag);
    let from = at.field("image").field("repoTag");
    respelt.comes_from(&at.field(name), &from);
}

/// The version of configmeta.json, which packages told.
fn take_schema_version(respelt: &mut Respelt, at: &FieldPath) {
    let spec = &mut respelt.spec;
    let mut told = Vec::new();
    let default = spec.get_mut("defaultConfigPackage");
    let default = default.and_then(Value::as_object_mut);
    told.extend(default.and_then(|package| package.remove(API_VERSION)));
    for role in objects_in(spec, "roles") {
        let package = role.get_mut("configPackage");
        let package = package.and_then(Value::as_object_mut);
        told.extend(package.and_then(|package| package.remove(API_VERSION)));
    }
    if spec.contains_key("configSchemaVersion") {
        return;
    }
    let most = told.iter().filter_map(Value::as_i64).max();
    let version = most.unwrap_or(SCHEMA_VERSION);
    spec.insert("configSchemaVersion".to_owned(), version.into());
    if most.is_none() {
        let what = format!("is not given, and taken to be {version}");
        respelt.note(at.field("configSchemaVersion"), what);
    }
}

/// What has no label is called by its name.
fn fill_labels(respelt: &mut Respelt, original: &KubeDirectorApp) {
    let spec = &mut respelt.spec;
    let name = original.metadata.name.as_deref().unwrap_or_default();
    spec.entry("label").or_insert_with(|| json!({"name": name}));
    for service in objects_in(spec, "services") {
        let id = service.get("id").cloned().unwrap_or_default();
        service
            .entry("label")
            .or_insert_with(|| json!({"name": id}));
    }
}

/// Names of services are DNS labels today, and had underscores before the first release.
fn hyphenate_services(respelt: &mut Respelt, at: &FieldPath) {
    let hyphenated = |id: &Value| {
        let id = id.as_str().filter(|id| id.contains('_'))?;
        Some(id.replace('_', "-"))
    };
    let mut notes = Vec::new();
    let list = at.field("services");
    for (index, service) in objects_in(&mut respelt.spec, "services").enumerate() {
        if let Some(id) = service.get("id").and_then(hyphenated) {
            let what = format!("is {id} now, also in configmeta.json, since it names ports");
            notes.push((list.index(index).field("id"), what));
            service.insert("id".to_owned(), id.into());
        }
    }
    let config = respelt
        .spec
        .get_mut("config")
        .and_then(Value::as_object_mut);
    for of_role in config
        .into_iter()
        .flat_map(|it| objects_in(it, "roleServices"))
    {
        let ids = of_role.get_mut("serviceIDs").and_then(Value::as_array_mut);
        for id in ids.into_iter().flatten() {
            if let Some(now) = hyphenated(id) {
                *id = now.into();
            }
        }
    }
    for (path, what) in notes {
        let path = respelt.as_written(&path);
        respelt.note(path, what);
    }
}
