//! A configuration as it is asked for.

use std::collections::BTreeSet;

use super::app::list;
use crate::director::config::{CONFIG_NAME, KubeDirectorConfig};
use crate::director::findings::Findings;
use crate::director::secret::Hidden;
use crate::field::{FieldError, FieldPath};

/// What was read around a configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigSurroundings {
    /// The namespace of the operator.
    pub operator_namespace: String,
    /// The storage classes.
    pub storage_classes: BTreeSet<String>,
    /// The clusters that there are, by name.
    pub clusters: Vec<String>,
    /// A new key, 32 random bytes as hex digits, for a configuration that has none.
    pub fresh_key: Hidden,
}

/// The configuration with its defaults, if it may be.
///
/// # Errors
/// Everything that is in the way.
pub fn admit_config(
    old: Option<&KubeDirectorConfig>,
    config: &KubeDirectorConfig,
    around: &ConfigSurroundings,
) -> Result<KubeDirectorConfig, Vec<FieldError>> {
    let mut defaulted = config.clone();
    let old = old.map(|old| &old.spec);
    let spec = &mut defaulted.spec;
    spec.default_service_type = Some(spec.default_service_type.unwrap_or_default());
    spec.default_naming_scheme = Some(spec.default_naming_scheme.unwrap_or_default());
    let before = old.and_then(|old| old.master_encryption_key.clone());
    let key = spec.master_encryption_key.take().or_else(|| before.clone());
    spec.master_encryption_key = Some(key.unwrap_or_else(|| around.fresh_key.clone()));

    let mut findings = Findings::default();
    check_place(&mut findings, config, around);
    let at = FieldPath::new("spec");
    if let Some(class) = &spec.default_storage_class_name
        && !around.storage_classes.contains(class)
    {
        let detail = "does not exist; name one of kubectl get storageclasses";
        let path = at.field("defaultStorageClassName");
        findings.invalid(path, class.as_str(), detail);
    }
    check_key(
        &mut findings,
        before.as_ref(),
        spec.master_encryption_key.as_ref(),
        around,
    );
    if let Some(base) = &spec.cluster_svc_domain_base
        && !(base.starts_with('.') && base.len() > 1)
    {
        let detail = "must begin with a dot, as .svc.cluster.local does";
        findings.invalid(at.field("clusterSvcDomainBase"), base.as_str(), detail);
    }
    findings.labels(&at.field("podLabels"), &spec.pod_labels);
    findings.annotations(&at.field("podAnnotations"), &spec.pod_annotations);
    findings.labels(&at.field("serviceLabels"), &spec.service_labels);
    findings.annotations(&at.field("serviceAnnotations"), &spec.service_annotations);
    let errors = findings.into_errors();
    if errors.is_empty() {
        Ok(defaulted)
    } else {
        Err(errors)
    }
}

/// Whether the configuration may be deleted.
///
/// # Errors
/// When there are clusters: nobody could read their secret texts any more.
pub fn delete_config(clusters: &[String]) -> Result<(), Vec<FieldError>> {
    if clusters.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "cannot be deleted while there are clusters ({}); delete those first",
        list(clusters)
    );
    Err(vec![FieldError::forbidden(FieldPath::root(), detail)])
}

fn check_place(findings: &mut Findings, config: &KubeDirectorConfig, around: &ConfigSurroundings) {
    let at = FieldPath::new("metadata");
    let name = config.metadata.name.as_deref().unwrap_or_default();
    if name != CONFIG_NAME {
        let detail = format!("must be {CONFIG_NAME}; no other KubeDirectorConfig counts");
        findings.invalid(at.field("name"), name, detail);
    }
    let namespace = config.metadata.namespace.as_deref().unwrap_or_default();
    if namespace != around.operator_namespace {
        let detail = format!(
            "must be {}, the namespace of the operator",
            around.operator_namespace
        );
        findings.invalid(at.field("namespace"), namespace, detail);
    }
}

/// The key is no part of any message.
fn check_key(
    findings: &mut Findings,
    before: Option<&Hidden>,
    key: Option<&Hidden>,
    around: &ConfigSurroundings,
) {
    let path = FieldPath::new("spec").field("masterEncryptionKey");
    let text = key.map(Hidden::expose).unwrap_or_default();
    let is_hex = text.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_hex || ![32, 48, 64].contains(&text.len()) {
        let detail =
            "must be 16, 24 or 32 bytes as hex digits; openssl rand -hex 32 makes such a key";
        findings.forbidden(path.clone(), detail);
    }
    if before.is_some() && before != key && !around.clusters.is_empty() {
        let detail = format!(
            "cannot change while there are clusters ({}), whose secret texts are encrypted with \
             it; delete those first",
            list(&around.clusters)
        );
        findings.forbidden(path, detail);
    }
}
