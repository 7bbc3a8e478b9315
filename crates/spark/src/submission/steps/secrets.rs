//! The user's Secrets, mounted and as variables.

use serde_json::json;

use super::super::SubmitError;
use super::{Context, Draft};

/// `spark.kubernetes.driver.secrets.<name>=<path>`
#[expect(clippy::unnecessary_wraps, reason = "every step has this signature")]
pub(super) fn mount(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    for (secret, path) in context.settings.below("spark.kubernetes.driver.secrets.") {
        let source = ("secret", json!({"secretName": secret}));
        draft
            .pod
            .add_mounted(&format!("{secret}-volume"), source, path);
    }
    Ok(())
}

/// `spark.kubernetes.driver.secretKeyRef.<variable>=<name>:<key>`
pub(super) fn env(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    const PREFIX: &str = "spark.kubernetes.driver.secretKeyRef.";
    for (variable, reference) in context.settings.below(PREFIX) {
        match reference.split_once(':') {
            Some((name, key)) if !key.is_empty() && !key.contains(':') => draft.pod.add_env_from(
                variable,
                json!({"secretKeyRef": {"name": name, "key": key}}),
            ),
            _ => {
                return Err(SubmitError::setting(
                    format!("{PREFIX}{variable}"),
                    format!("{reference:?} is not a reference to a Secret: write NAME:KEY"),
                ));
            }
        }
    }
    Ok(())
}
