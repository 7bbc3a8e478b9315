//! An application as it is asked for.

use crate::director::app::{KubeDirectorApp, fold, validate};
use crate::director::cluster::{AppCatalog, KubeDirectorCluster};
use crate::field::{FieldError, FieldPath};

/// The application with its defaults in its roles, if it may be. The clusters that use it are given
/// by name.
///
/// # Errors
/// Everything in it that cannot be meant, and a change while it is in use; of what is not its
/// specification everything may change.
pub fn admit_app(
    old: Option<&KubeDirectorApp>,
    app: &KubeDirectorApp,
    used_by: &[String],
) -> Result<KubeDirectorApp, Vec<FieldError>> {
    let mut folded = app.clone();
    folded.spec = fold(&app.spec);
    let changed = old.is_some_and(|old| fold(&old.spec) != folded.spec);
    if old.is_some() && !changed {
        return Ok(folded);
    }
    let mut errors = validate(app);
    if changed && !used_by.is_empty() {
        let detail = format!(
            "cannot change while the application is in use by {}; make an application of another \
             name",
            list(used_by)
        );
        errors.push(FieldError::forbidden(FieldPath::new("spec"), detail));
    }
    if errors.is_empty() {
        Ok(folded)
    } else {
        Err(errors)
    }
}

/// Whether a cluster uses an application of this name in this namespace. One that does not say where
/// its application is may use either.
pub fn uses(
    cluster: &KubeDirectorCluster,
    app: &str,
    app_namespace: &str,
    operator_namespace: &str,
) -> bool {
    let local = cluster.metadata.namespace.as_deref() == Some(app_namespace);
    let system = operator_namespace == app_namespace;
    let reached = match cluster.spec.app_catalog {
        Some(AppCatalog::Local) => local,
        Some(AppCatalog::System) => system,
        None => local || system,
    };
    reached && cluster.spec.app == app
}

/// Whether an application may be deleted.
///
/// # Errors
/// When clusters use it.
pub fn delete_app(used_by: &[String]) -> Result<(), Vec<FieldError>> {
    if used_by.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "cannot be deleted while it is in use by {}; delete those first",
        list(used_by)
    );
    Err(vec![FieldError::forbidden(FieldPath::root(), detail)])
}

/// As many names as a message has room for.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str);
    let shown: Vec<&str> = shown.collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
