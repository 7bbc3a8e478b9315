//! The driver's own credentials for the Kubernetes API.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::{SubmitError, client};
use super::{Context, Draft, secret};

const PREFIX: &str = "spark.kubernetes.authenticate.driver";
const SERVICE_ACCOUNT: &str = "spark.kubernetes.authenticate.driver.serviceAccountName";
const DIRECTORY: &str = "/mnt/secrets/spark-kubernetes-credentials";
const REDACTED: &str = "<present_but_redacted>";

/// The settings that name files, and the keys of their contents in the Secret.
const FILES: [(&str, &str); 3] = [
    ("caCertFile", "ca-cert"),
    ("clientKeyFile", "client-key"),
    ("clientCertFile", "client-cert"),
];

pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    check_submission(context)?;
    let mut data = BTreeMap::new();
    let mut mounted = Vec::new();
    if let Some(token) = context.settings.raw(&format!("{PREFIX}.oauthToken")) {
        data.insert("oauth-token".to_owned(), STANDARD.encode(token));
        mounted.push(("oauthTokenFile", "oauth-token"));
    }
    for (suffix, item) in FILES {
        let key = format!("{PREFIX}.{suffix}");
        if let Some(path) = context.settings.raw(&key) {
            let content = client::read(&context.request.client, &key, path)?;
            data.insert(item.to_owned(), STANDARD.encode(content));
            mounted.push((suffix, item));
        }
    }

    if data.is_empty() {
        if let Some(account) = context.settings.text(SERVICE_ACCOUNT)? {
            draft.pod.pod["spec"]["serviceAccountName"] = json!(account);
            draft.pod.pod["spec"]["serviceAccount"] = json!(account);
        }
    } else {
        let name = format!("{}-kubernetes-credentials", context.prefix);
        let source = ("secret", json!({"secretName": name}));
        draft
            .pod
            .add_mounted("kubernetes-credentials", source, DIRECTORY);
        draft.objects.push(secret(&name, &data));
    }

    for (suffix, item) in mounted {
        let key = format!("{PREFIX}.mounted.{suffix}");
        let path = format!("{DIRECTORY}/{item}");
        draft.added.insert(
            key.clone(),
            context.settings.raw(&key).map_or(path, str::to_owned),
        );
    }
    for key in context.settings.below("spark.").keys() {
        if key.ends_with("oauthToken") {
            draft
                .added
                .insert(format!("spark.{key}"), REDACTED.to_owned());
        }
    }
    Ok(())
}

/// The credentials of the submission itself are not used here, but contradictions are refused
/// where Spark refuses them.
fn check_submission(context: &Context<'_>) -> Result<(), SubmitError> {
    const TOKEN: &str = "spark.kubernetes.authenticate.submission.oauthToken";
    const TOKEN_FILE: &str = "spark.kubernetes.authenticate.submission.oauthTokenFile";
    const CA_FILE: &str = "spark.kubernetes.authenticate.submission.caCertFile";
    if context.settings.raw(TOKEN).is_some() && context.settings.raw(TOKEN_FILE).is_some() {
        return Err(SubmitError::setting(
            TOKEN,
            format!("contradicts {TOKEN_FILE}: set only one"),
        ));
    }
    if context.request.client.files.available() {
        for key in [TOKEN_FILE, CA_FILE] {
            if let Some(path) = context.settings.raw(key).filter(|path| !path.is_empty()) {
                client::read(&context.request.client, key, path)?;
            }
        }
    }
    Ok(())
}
