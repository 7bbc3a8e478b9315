//! Kerberos: krb5.conf, the keytab and delegation tokens.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::SubmitError;
use super::super::client::{file_name, read};
use super::{Context, Draft, config_map, secret};

const KRB5_FILE: &str = "spark.kubernetes.kerberos.krb5.path";
const KRB5_CONFIG_MAP: &str = "spark.kubernetes.kerberos.krb5.configMapName";
const TOKEN_SECRET: &str = "spark.kubernetes.kerberos.tokenSecret.name";
const TOKEN_ITEM: &str = "spark.kubernetes.kerberos.tokenSecret.itemKey";
const PRINCIPAL: &str = "spark.kerberos.principal";
const KEYTAB: &str = "spark.kerberos.keytab";

pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    krb5_conf(context, draft)?;
    let keytab = both(context, KEYTAB, PRINCIPAL)?.map(|(keytab, _)| keytab);
    let tokens = both(context, TOKEN_SECRET, TOKEN_ITEM)?;
    match (keytab, tokens) {
        // A keytab in the image needs nothing; one to upload makes tokens superfluous.
        (Some(keytab), _) if !keytab.starts_with("local:") => {
            mount_keytab(context, draft, &keytab)?;
        }
        (_, Some((name, item))) => {
            const DIRECTORY: &str = "/mnt/secrets/hadoop-credentials";
            let source = ("secret", json!({"secretName": name}));
            draft.pod.add_mounted("hadoop-secret", source, DIRECTORY);
            draft
                .pod
                .add_env("HADOOP_TOKEN_FILE_LOCATION", &format!("{DIRECTORY}/{item}"));
        }
        _ => {}
    }
    Ok(())
}

fn krb5_conf(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let file = context.settings.text(KRB5_FILE)?;
    let existing = context.settings.text(KRB5_CONFIG_MAP)?;
    let source = match (file, existing) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            return Err(SubmitError::setting(
                KRB5_FILE,
                format!("contradicts {KRB5_CONFIG_MAP}: set only one of them"),
            ));
        }
        (None, Some(name)) => json!({"name": name}),
        (Some(path), None) => {
            let name = format!("{}-krb5-file", context.prefix);
            let content = read(&context.request.client, KRB5_FILE, &path)?;
            let text = String::from_utf8_lossy(&content).into_owned();
            let file = file_name(&path);
            draft.objects.push(config_map(
                &name,
                &BTreeMap::from([(file.to_owned(), text)]),
            ));
            json!({"name": name, "items": [{"key": file, "path": file}]})
        }
    };
    draft.pod.add_volume("krb5-file", ("configMap", source));
    draft.pod.add_mount(json!({
        "name": "krb5-file",
        "mountPath": "/etc/krb5.conf",
        "subPath": "krb5.conf",
    }));
    Ok(())
}

fn mount_keytab(
    context: &Context<'_>,
    draft: &mut Draft<'_>,
    path: &str,
) -> Result<(), SubmitError> {
    const DIRECTORY: &str = "/mnt/secrets/kerberos-keytab";
    let name = format!("{}-kerberos-keytab", context.prefix);
    let content = STANDARD.encode(read(&context.request.client, KEYTAB, path)?);
    let file = file_name(path);
    draft.pod.add_mounted(
        "kerberos-keytab",
        ("secret", json!({"secretName": name})),
        DIRECTORY,
    );
    draft
        .objects
        .push(secret(&name, &BTreeMap::from([(file.to_owned(), content)])));
    draft
        .added
        .insert(KEYTAB.to_owned(), format!("{DIRECTORY}/{file}"));
    Ok(())
}

/// Two settings of which neither makes sense without the other.
fn both(
    context: &Context<'_>,
    first: &str,
    second: &str,
) -> Result<Option<(String, String)>, SubmitError> {
    let missing = |missing: &str, given: &str| {
        Err(SubmitError::setting(
            missing,
            format!("is missing: {given} needs it"),
        ))
    };
    match (
        context.settings.text(first)?,
        context.settings.text(second)?,
    ) {
        (None, None) => Ok(None),
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (Some(_), None) => missing(second, first),
        (None, Some(_)) => missing(first, second),
    }
}
