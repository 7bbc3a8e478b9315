//! The table that the original operator had: Kubernetes' own provisioners, and the first access mode.
//!
//! Newer Kubernetes hands these classes to the CSI drivers of the same provider, which have to be there;
//! older has the provisioners in itself, and nothing in its API shows them. So nobody asks here whether
//! there is a driver, and this table is a setting. What the original did without saying so is said: modes
//! that no provisioner has, and an unknown provider.

use std::collections::BTreeMap;

use super::claim::{Claim, FS_TYPE, Hints, PARAMETERS, TYPE};
use super::class::Class;
use super::decide::{Reason, in_words};
use super::drivers::Binding;
use super::evidence::Detection;
use super::provider::Provider;
use super::settings::Settings;

/// The class of the provider and the claim's first access mode.
pub(super) fn class(
    claim: &Claim,
    hints: &Hints,
    detection: &Detection,
    settings: &Settings,
) -> Result<Class, Reason> {
    let Some((provider, by)) = detection.provider else {
        return Err(Reason::NoProvider);
    };
    let mode = claim.modes.first().map(String::as_str);
    let (provisioner, usual, kind): (_, &[(&str, &str)], _) = match (provider, mode) {
        (Provider::Azure, Some("ReadWriteOnce")) => (
            "kubernetes.io/azure-disk",
            &[("skuName", "Standard_LRS"), ("kind", "managed")],
            "skuName",
        ),
        // It makes its storage account by itself, where the original operator made one for it.
        (Provider::Azure, Some("ReadWriteMany" | "ReadOnlyMany")) => (
            "kubernetes.io/azure-file",
            &[("skuName", "Standard_LRS")],
            "skuName",
        ),
        (Provider::Aws, Some("ReadWriteOnce")) => ("kubernetes.io/aws-ebs", &[], "type"),
        (Provider::Google, Some("ReadWriteOnce" | "ReadOnlyMany")) => {
            ("kubernetes.io/gce-pd", &[], "type")
        }
        _ => {
            return Err(Reason::NotInTree {
                provider,
                wanted: claim.use_in_words(),
            });
        }
    };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut parameters: BTreeMap<String, String> = usual.iter().map(owned).collect();
    let set = settings.parameters.get(provisioner).into_iter().flatten();
    parameters.extend(set.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(wanted) = &hints.kind {
        parameters.insert(kind.to_owned(), wanted.clone());
    }
    let unknown = [
        (FS_TYPE, hints.file_system.is_some()),
        (PARAMETERS, !hints.parameters.is_empty()),
    ];
    if let Some((what, _)) = unknown.into_iter().find(|(_, is_there)| *is_there) {
        return Err(Reason::Claim(format!(
            "{what} is nothing that a claim can choose of {provisioner}; {TYPE} is"
        )));
    }
    Ok(Class {
        name: claim.class.clone().unwrap_or_default(),
        provisioner: provisioner.to_owned(),
        parameters,
        reclaim_policy: hints.reclaim.unwrap_or(settings.reclaim),
        // As the API has it where nobody says anything, which is what the original did.
        volume_binding_mode: Binding::Immediate,
        allow_volume_expansion: None,
        why: in_words(provider, by),
    })
}
