//! A cluster with its defaults.

use super::surroundings::Surroundings;
use crate::director::app::AppSpec;
use crate::director::cluster::{AppCatalog, ClusterRole, KubeDirectorCluster};

/// The cluster with everything that it leaves to others, as far as there is something.
///
/// What cannot change is taken from the cluster as it was, where the new one is silent.
pub(super) fn with_defaults(
    old: Option<&KubeDirectorCluster>,
    cluster: &KubeDirectorCluster,
    catalog: AppCatalog,
    app: &AppSpec,
    around: &Surroundings,
) -> KubeDirectorCluster {
    let mut cluster = cluster.clone();
    let old = old.map(|old| &old.spec);
    let config = around.config.as_ref();
    let spec = &mut cluster.spec;
    let before = old.and_then(|old| old.app_catalog);
    spec.app_catalog = spec.app_catalog.or(before).or(Some(catalog));
    let default = config.and_then(|config| config.default_service_type);
    spec.service_type = spec.service_type.or(Some(default.unwrap_or_default()));
    let before = old.and_then(|old| old.naming_scheme);
    let default = config.and_then(|config| config.default_naming_scheme);
    let default = before.or(default).unwrap_or_default();
    spec.naming_scheme = spec.naming_scheme.or(Some(default));
    let secret = spec.default_secret.clone();
    for role in &mut spec.roles {
        let before = old.and_then(|old| old.role(&role.id));
        complete_role(role, before, app, around);
        role.secret = role.secret.take().or_else(|| secret.clone());
    }
    cluster
}

fn complete_role(
    role: &mut ClusterRole,
    before: Option<&ClusterRole>,
    app: &AppSpec,
    around: &Surroundings,
) {
    // Of a role that is autoscaled nobody has said how many there are to be.
    if role.members.is_none() && role.autoscale.is_none() {
        let cardinality = app.role(&role.id).and_then(|it| it.cardinality.read().ok());
        role.members = cardinality.and_then(|it| i32::try_from(it.minimum()).ok());
    }
    let default = || around.default_class().map(str::to_owned);
    if let Some(storage) = &mut role.storage {
        let before = before.and_then(|role| role.storage.as_ref());
        let before = || before.and_then(|it| it.storage_class_name.clone());
        let class = storage.storage_class_name.take();
        storage.storage_class_name = class.or_else(before).or_else(default);
    }
    if let Some(devices) = &mut role.block_storage {
        let before = before.and_then(|role| role.block_storage.as_ref());
        let before = || before.and_then(|it| it.storage_class_name.clone());
        let class = devices.storage_class_name.take();
        devices.storage_class_name = class.or_else(before).or_else(default);
    }
}
