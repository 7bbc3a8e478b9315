//! Validation of volumes and of what mounts them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::{items, text};
use crate::field::{FieldError, Path};
use crate::names;

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// The order in which kube-apiserver looks at what a volume is: the first that is there counts.
const ORDER: [&str; 14] = [
    "emptyDir",
    "hostPath",
    "secret",
    "nfs",
    "iscsi",
    "persistentVolumeClaim",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "projected",
    "csi",
    "ephemeral",
    "image",
];

/// Validates the volumes of a pod spec; returns their names.
pub(super) fn volumes(
    spec: &Value,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let list = path.child("volumes");
    for (index, volume) in items(spec, "/volumes").iter().enumerate() {
        let at = list.index(index);
        let before = errors.len();
        source(volume, at, errors);
        let name = text(volume, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        } else {
            for complaint in names::dns1123_label(name) {
                errors.push(FieldError::invalid(
                    at.child("name"),
                    &name.into(),
                    complaint,
                ));
            }
        }
        if seen.contains(name) {
            errors.push(FieldError::duplicate(at.child("name"), &name.into()));
        }
        // A volume that is wrong cannot be mounted either.
        if errors.len() == before {
            seen.insert(name.to_owned());
        }
    }
    seen
}

fn source(volume: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let mut sources: Vec<(&String, &Value)> = volume
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "name")
        .collect();
    sources.sort_by_key(|(kind, _)| ORDER.iter().position(|known| known == kind));
    if sources.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for (kind, _) in sources.iter().skip(1) {
        errors.push(FieldError::forbidden(
            path.child(kind),
            "may not specify more than 1 volume type",
        ));
    }
    let Some((kind, source)) = sources.first() else {
        return;
    };
    let at = path.child(kind);
    let required: &[&str] = match kind.as_str() {
        "secret" => &["secretName"],
        "configMap" => &["name"],
        "hostPath" => &["path"],
        "persistentVolumeClaim" => &["claimName"],
        "nfs" => &["server", "path"],
        "csi" => &["driver"],
        _ => &[],
    };
    for field in required {
        if text(source, &format!("/{field}")).is_empty() {
            errors.push(FieldError::required(at.child(field), ""));
        }
    }
    match kind.as_str() {
        "secret" | "configMap" => {
            mode(source, at, errors);
            key_paths(source, at, errors);
        }
        "downwardAPI" => {
            mode(source, at, errors);
            downward_items(source, at, errors);
        }
        "projected" => projected(source, at, errors),
        "hostPath" => host_path(source, at, errors),
        _ => {}
    }
}

fn host_path(source: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if text(source, "/path").split('/').any(|step| step == "..") {
        errors.push(FieldError::invalid(
            path.child("path"),
            &text(source, "/path").into(),
            "must not contain '..'",
        ));
    }
    let kind = text(source, "/type");
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(
            path.child("type"),
            &kind.into(),
            HOST_PATH_TYPES,
        ));
    }
}

fn mode(source: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    check_mode(source.get("defaultMode"), path.child("defaultMode"), errors);
}

fn check_mode(mode: Option<&Value>, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(mode) = mode
        && let Some(bits) = mode.as_i64()
        && !(0..=0o777).contains(&bits)
    {
        errors.push(FieldError::invalid(
            path,
            mode,
            "must be a number between 0 and 0777 (octal), both inclusive",
        ));
    }
}

fn key_paths(source: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("items");
    for (index, item) in items(source, "/items").iter().enumerate() {
        let at = list.index(index);
        if text(item, "/key").is_empty() {
            errors.push(FieldError::required(at.child("key"), ""));
        }
        relative_path(item, at, errors);
        check_mode(item.get("mode"), at.child("mode"), errors);
    }
}

fn downward_items(source: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("items");
    for (index, item) in items(source, "/items").iter().enumerate() {
        let at = list.index(index);
        relative_path(item, at, errors);
        check_mode(item.get("mode"), at.child("mode"), errors);
        if item.get("fieldRef").is_none() && item.get("resourceFieldRef").is_none() {
            errors.push(FieldError::required(
                at,
                "one of fieldRef and resourceFieldRef is required",
            ));
        }
    }
}

fn relative_path(item: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let file = text(item, "/path");
    let at = path.child("path");
    if file.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if file.starts_with('/') {
        errors.push(FieldError::invalid(
            at,
            &file.into(),
            "must be a relative path",
        ));
    } else if file.split('/').any(|step| step == "..") {
        errors.push(FieldError::invalid(
            at,
            &file.into(),
            "must not contain '..'",
        ));
    } else if file.starts_with("..") {
        errors.push(FieldError::invalid(
            at,
            &file.into(),
            "must not start with '..'",
        ));
    }
}

fn projected(source: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    mode(source, path, errors);
    let list = path.child("sources");
    for (index, source) in items(source, "/sources").iter().enumerate() {
        let at = list.index(index);
        let kinds: Vec<&String> = source
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, _)| k)
            .collect();
        for kind in kinds.iter().skip(1) {
            errors.push(FieldError::forbidden(
                at.child(kind),
                "may not specify more than 1 volume type per source",
            ));
        }
        for kind in ["secret", "configMap"] {
            if let Some(inner) = source.get(kind) {
                if text(inner, "/name").is_empty() {
                    errors.push(FieldError::required(at.child(kind).child("name"), ""));
                }
                key_paths(inner, at.child(kind), errors);
            }
        }
        if let Some(inner) = source.get("downwardAPI") {
            downward_items(inner, at.child("downwardAPI"), errors);
        }
        if let Some(token) = source.get("serviceAccountToken") {
            let token_path = at.child("serviceAccountToken");
            if text(token, "/path").is_empty() {
                errors.push(FieldError::required(token_path.child("path"), ""));
            }
            let seconds = token.get("expirationSeconds");
            if let Some(seconds) = seconds
                && seconds.as_i64().is_some_and(|number| number < 600)
            {
                errors.push(FieldError::invalid(
                    token_path.child("expirationSeconds"),
                    seconds,
                    "may not specify a duration less than 10 minutes",
                ));
            }
        }
    }
}

/// Validates the mounts of one container against the volumes of its pod.
pub(super) fn mounts(
    container: &Value,
    volumes: &BTreeSet<String>,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let list = path.child("volumeMounts");
    let mut places = BTreeSet::new();
    for (index, mount) in items(container, "/volumeMounts").iter().enumerate() {
        let at = list.index(index);
        let name = text(mount, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(at.child("name"), &name.into()));
        }
        let place = text(mount, "/mountPath");
        if place.is_empty() {
            errors.push(FieldError::required(at.child("mountPath"), ""));
        }
        if !places.insert(place) {
            errors.push(FieldError::invalid(
                at.child("mountPath"),
                &place.into(),
                "must be unique",
            ));
        }
        let sub_path = text(mount, "/subPath");
        if !sub_path.is_empty() {
            let complaint = if sub_path.starts_with('/') {
                Some("must be a relative path")
            } else if sub_path.split('/').any(|step| step == "..") {
                Some("must not contain '..'")
            } else {
                None
            };
            if let Some(complaint) = complaint {
                errors.push(FieldError::invalid(
                    at.child("subPath"),
                    &sub_path.into(),
                    complaint,
                ));
            }
            if !text(mount, "/subPathExpr").is_empty() {
                errors.push(FieldError::invalid(
                    at.child("subPathExpr"),
                    &text(mount, "/subPathExpr").into(),
                    "subPathExpr and subPath are mutually exclusive",
                ));
            }
        }
    }
}
