//! What may change of a cluster that is there.

use super::cluster::naming;
use super::surroundings::StorageClasses;
use crate::director::cluster::{
    ClusterRole, ClusterState, ClusterStatus, KubeDirectorCluster, MemberStatus, RoleStorage,
    STORAGE_RESIZING,
};
use crate::field::{FieldError, FieldPath};
use crate::quantity::Quantity;

/// What cannot change. Both have their defaults, the old one as far as they were stored.
///
/// KubeDirector lets nothing of a role with members change but their number. Here what a pod is made of
/// may, since members are replaced one by one then, and volumes may grow; what cannot be given to members
/// that are there may not.
pub(super) fn check(
    old: &KubeDirectorCluster,
    new: &KubeDirectorCluster,
    classes: &StorageClasses,
) -> Vec<FieldError> {
    let mut errors = of_application(old, new);
    let at = FieldPath::new("spec");
    if naming(&old.spec) != naming(&new.spec) {
        let detail = "cannot change, since the objects of the cluster have their names; make \
                      another cluster";
        errors.push(FieldError::forbidden(at.field("namingScheme"), detail));
    }
    for (index, role) in new.spec.roles.iter().enumerate() {
        let at = at.field("roles").index(index);
        if members(old.status.as_ref(), &role.id).is_empty() {
            continue;
        }
        match old.spec.role(&role.id) {
            Some(before) => {
                check_locked(&mut errors, before, role, &at);
                // Until volumes have what was asked for, it can be taken back; how far, the operator knows.
                if !is_resizing(old.status.as_ref()) {
                    errors.extend(check_size(before, role, classes, &at));
                }
            }
            None => errors.push(FieldError::forbidden(
                at,
                format!(
                    "cannot come back while members of {} are still going; wait until they are gone",
                    role.id
                ),
            )),
        }
    }
    errors
}

/// Whether it is still the same application.
pub(super) fn of_application(
    old: &KubeDirectorCluster,
    new: &KubeDirectorCluster,
) -> Vec<FieldError> {
    let at = FieldPath::new("spec");
    let (before, after) = (&old.spec, &new.spec);
    let mut errors = Vec::new();
    if before.app != after.app {
        let detail = format!(
            "cannot change from {}; make another cluster for another application",
            before.app
        );
        errors.push(FieldError::invalid(
            at.field("app"),
            after.app.as_str(),
            detail,
        ));
    }
    if let (Some(before), Some(after)) = (before.app_catalog, after.app_catalog)
        && before != after
    {
        let detail = format!(
            "cannot change from {}; make another cluster for another application",
            before.as_str()
        );
        let path = at.field("appCatalog");
        errors.push(FieldError::invalid(path, after.as_str(), detail));
    }
    errors
}

fn members<'a>(status: Option<&'a ClusterStatus>, role: &str) -> &'a [MemberStatus] {
    let roles = status.map_or(&[] as &[_], |status| &status.roles);
    let role = roles.iter().find(|it| it.id == role);
    role.map_or(&[], |role| &role.members)
}

fn is_resizing(status: Option<&ClusterStatus>) -> bool {
    let mut conditions = status.iter().flat_map(|status| &status.conditions);
    conditions.any(|it| it.type_ == STORAGE_RESIZING && it.status == "True")
}

fn check_locked(
    errors: &mut Vec<FieldError>,
    before: &ClusterRole,
    after: &ClusterRole,
    at: &FieldPath,
) {
    let class = |role: &ClusterRole| {
        let storage = role.storage.as_ref();
        storage.map(|it| it.storage_class_name.clone())
    };
    let locked = [
        (
            "storage",
            class(before) == class(after),
            "whose storage stays as it is but for its size",
        ),
        (
            "blockStorage",
            before.block_storage == after.block_storage,
            "whose devices stay as they are",
        ),
        (
            "fileInjections",
            before.file_injections == after.file_injections,
            "which get their files once",
        ),
    ];
    for (field, same, why) in locked {
        if !same {
            let detail = format!(
                "cannot change while the role has members, {why}; set members to 0 first, or make \
                 another cluster"
            );
            errors.push(FieldError::forbidden(at.field(field), detail));
        }
    }
}

/// Volumes grow, where their class lets them, and do not shrink.
fn check_size(
    before: &ClusterRole,
    after: &ClusterRole,
    classes: &StorageClasses,
    at: &FieldPath,
) -> Option<FieldError> {
    let (before, after) = (before.storage.as_ref()?, after.storage.as_ref()?);
    if before.storage_class_name != after.storage_class_name {
        return None;
    }
    let size = |storage: &RoleStorage| storage.size.parse::<Quantity>().ok();
    // What is no size is told by others, and so is a class that is not there.
    let (old, new) = (size(before)?, size(after)?);
    let class = after.storage_class_name.as_ref()?;
    let known = &before.size;
    let detail = if new < old {
        format!(
            "cannot be less than {known} while the role has members, since volumes do not shrink; \
             leave it, or make another cluster"
        )
    } else if new > old && classes.names.contains(class) && !classes.expandable.contains(class) {
        format!(
            "cannot be more than {known} while the role has members, since the StorageClass {class} \
             does not let volumes grow; set its allowVolumeExpansion if its provisioner can do that, \
             or make another cluster"
        )
    } else {
        return None;
    };
    let path = at.field("storage").field("size");
    Some(FieldError::invalid(path, after.size.as_str(), detail))
}

/// Whether the last change has been dealt with, as KubeDirector wants it before the next one.
pub(super) fn check_processed(old: &KubeDirectorCluster) -> Option<FieldError> {
    let generation = old.metadata.generation;
    let detail = match &old.status {
        None => "cannot change yet: the operator has not looked at the cluster",
        Some(status)
            if status.state == ClusterState::SpecModified
                || status
                    .observed_generation
                    .is_some_and(|seen| Some(seen) < generation) =>
        {
            "cannot change yet: the operator has not looked at the last change"
        }
        Some(_) => return None,
    };
    let detail = format!("{detail}; try again in a moment");
    Some(FieldError::forbidden(FieldPath::new("spec"), detail))
}
