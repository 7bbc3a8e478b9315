//! Admission: what the cluster as a whole has to say about an object, beyond the rules of its
//! kind. In order: the namespace, then what is filled in, then what is refused; then webhooks may
//! change the object, the kind's rules are checked, and webhooks may refuse it.

mod limits;
mod pods;
pub(crate) mod quotas;
mod service_ips;
pub(crate) mod webhooks;

use serde_json::{Value, json};

pub(crate) use windlass_apimachinery::field::quote as quoted;

pub(crate) use service_ips::{Reservation, ServiceIps};

use crate::{
    auth,
    http::Call,
    metadata,
    status::{ApiError, ApiResult},
    store::{Key, Scope},
};

/// Namespaces the cluster cannot do without.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// What has to live until the write is done.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// Addresses that nobody else may get meanwhile.
    reservation: Option<Reservation>,
}

/// Admits a new object, filling in what the cluster decides.
pub(crate) fn create(call: &Call, object: &mut Value) -> ApiResult<Admitted> {
    let server = &call.server;
    if call.resource.namespaced {
        namespace_accepts(call, metadata::text(object, "name"))?;
    }
    let mut admitted = Admitted::default();
    match (call.resource.group.as_str(), call.resource.plural.as_str()) {
        ("", "pods") => {
            if limits::fill(call, object) {
                // What a pod asks for decides how it ranks.
                call.kind().prepare_create(object);
            }
            pods::service_account(server, &call.target.namespace, object)?;
            pods::priority(server, object)?;
        }
        ("", "services") => {
            admitted.reservation = service_ips::assign(call, object, None)?;
        }
        ("", "persistentvolumeclaims") => default_storage_class(call, object),
        ("", "namespaces") => {
            let name = metadata::text(object, "name").to_owned();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
        }
        (auth::RBAC_GROUP, plural) => {
            auth::check_grant(server, &call.user, plural, object, None)?;
        }
        _ => {}
    }
    Ok(admitted)
}

/// Admits a replacement.
pub(crate) fn update(call: &Call, object: &mut Value, old: &Value) -> ApiResult<Admitted> {
    let server = &call.server;
    let mut admitted = Admitted::default();
    match (call.resource.group.as_str(), call.resource.plural.as_str()) {
        ("", "services") if call.target.subresource.is_empty() => {
            admitted.reservation = service_ips::assign(call, object, Some(old))?;
        }
        (auth::RBAC_GROUP, plural) => {
            auth::check_grant(server, &call.user, plural, object, Some(old))?;
        }
        _ => {}
    }
    Ok(admitted)
}

/// What the cluster has against an object that is right by its kind's rules.
pub(crate) fn validate(call: &Call, object: &Value, old: Option<&Value>) -> ApiResult<()> {
    let plural = call.resource.plural.as_str();
    let concerns_limits = call.resource.group.is_empty()
        && call.target.subresource.is_empty()
        && match old {
            None => matches!(plural, "pods" | "persistentvolumeclaims"),
            // What goes away is let go.
            Some(old) => plural == "persistentvolumeclaims" && !metadata::is_deleting(old),
        };
    if concerns_limits {
        limits::check(call, object)?;
    }
    Ok(())
}

/// Refuses to delete what the cluster cannot do without.
pub(crate) fn delete(call: &Call, name: &str) -> ApiResult<()> {
    let immortal = call.resource.group.is_empty()
        && call.resource.plural == "namespaces"
        && IMMORTAL.contains(&name);
    if immortal {
        return Err(ApiError::forbidden(
            "",
            "namespaces",
            name,
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

/// A new object needs a namespace that exists and is not going away.
fn namespace_accepts(call: &Call, name: &str) -> ApiResult<()> {
    let namespace = &call.target.namespace;
    let found = call
        .server
        .store
        .get(&Key::new("", "namespaces", "", namespace));
    let Some(found) = found else {
        return Err(ApiError::not_found("", "namespaces", namespace));
    };
    let going =
        metadata::is_deleting(found.value()) || found.value()["status"]["phase"] == "Terminating";
    if going {
        let (group, plural) = (&call.resource.group, &call.resource.plural);
        return Err(ApiError::namespace_terminating(
            group, plural, name, namespace,
        ));
    }
    Ok(())
}

/// A claim that names no class gets the default one, if there is one.
fn default_storage_class(call: &Call, claim: &mut Value) {
    let named = !claim["spec"]["storageClassName"].is_null()
        || claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].is_string();
    if named {
        return;
    }
    let classes = call
        .server
        .store
        .list(&Scope::new("storage.k8s.io", "storageclasses", ""));
    let default = classes
        .objects
        .iter()
        .map(|(_, class)| class.value())
        .filter(|class| class["metadata"]["annotations"][DEFAULT_CLASS] == "true")
        .max_by_key(|class| metadata::text(class, "creationTimestamp").to_owned());
    if let Some(class) = default {
        claim["spec"]["storageClassName"] = class["metadata"]["name"].clone();
    }
}
