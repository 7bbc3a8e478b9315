//! What a cluster keeps whose objects are there.
//!
//! A webhook is shown a cluster as it was, and its defaults are stored. Where there is none, a change
//! may be there already when somebody looks. So whoever makes objects writes on them what they were
//! made from, as far as it cannot change, and hands it back here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::director::cluster::{
    AppCatalog, BlockStorage, ClusterRole, ClusterStatus, FileInjection, KubeDirectorCluster,
    MemberStatus, NamingScheme, RoleStatus, RoleStorage,
};

/// What a cluster keeps whose objects are there, by the roles that have some; nothing where there are
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(BTreeMap<String, KeptRole>);

/// What the objects of a role were made from, as far as it cannot change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptRole {
    app_catalog: AppCatalog,
    naming_scheme: NamingScheme,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    storage: Option<RoleStorage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_storage: Option<BlockStorage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    file_injections: Vec<FileInjection>,
}

impl KeptRole {
    /// Of a role with its defaults. Whether its volumes grow by themselves may change at any time.
    pub fn of(app_catalog: AppCatalog, naming_scheme: NamingScheme, role: &ClusterRole) -> Self {
        Self {
            app_catalog,
            naming_scheme,
            storage: role.storage.as_ref().map(|storage| RoleStorage {
                auto_grow: None,
                ..storage.clone()
            }),
            block_storage: role.block_storage.clone(),
            file_injections: role.file_injections.clone(),
        }
    }
}

impl FromIterator<(String, KeptRole)> for Kept {
    fn from_iter<I: IntoIterator<Item = (String, KeptRole)>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

impl Kept {
    /// The cluster as it must have been: in everything else it is as it is now.
    pub(super) fn before(&self, cluster: &KubeDirectorCluster) -> Option<KubeDirectorCluster> {
        let any = self.0.values().next()?;
        let mut before = cluster.clone();
        before.spec.app_catalog = Some(any.app_catalog);
        before.spec.naming_scheme = Some(any.naming_scheme);
        for role in &mut before.spec.roles {
            if let Some(kept) = self.0.get(&role.id) {
                role.storage.clone_from(&kept.storage);
                role.block_storage.clone_from(&kept.block_storage);
                role.file_injections.clone_from(&kept.file_injections);
            }
        }
        let roles = self.0.keys().map(|id| RoleStatus {
            id: id.clone(),
            members: vec![MemberStatus::default()],
            ..RoleStatus::default()
        });
        before.status = Some(ClusterStatus {
            roles: roles.collect(),
            ..ClusterStatus::default()
        });
        Some(before)
    }
}
