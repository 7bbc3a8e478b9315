//! What a cluster is made of besides itself: its application, the configuration, and its secret keys.

use std::collections::BTreeMap;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::de::DeserializeOwned;
use windlass_api::director::cluster::AppCatalog;
use windlass_api::director::config::{CONFIG_NAME, ConfigSpec};
use windlass_api::director::{
    Hidden, KubeDirectorApp, KubeDirectorCluster, KubeDirectorConfig, app, cluster,
};
use windlass_engine::api::ApiError;
use windlass_engine::{Object, ObjectKey, View};

use super::{APP, CONFIG};
use crate::blueprint::{Blueprint, Sources};

/// Puts a cluster together; the inner error is what keeps it from being one, line by line.
pub(super) async fn blueprint(
    object: &Object,
    home: &str,
    view: &View,
) -> Result<Result<Blueprint, Vec<String>>, ApiError> {
    let cluster: KubeDirectorCluster = match read(object) {
        Ok(cluster) => cluster,
        Err(error) => return Ok(Err(vec![error])),
    };
    let found = application(&cluster, home, view).await?;
    let config = configuration(home, view).await?;
    Ok(put_together(
        &cluster,
        home,
        found.as_ref(),
        config.as_ref(),
    ))
}

/// The same of what was found. Pure.
fn put_together(
    cluster: &KubeDirectorCluster,
    home: &str,
    found: Option<&(AppCatalog, Object)>,
    config: Option<&Object>,
) -> Result<Blueprint, Vec<String>> {
    let mut problems: Vec<String> = lines(cluster::validate(cluster));
    let Some((catalog, found)) = found else {
        problems.push(missing(cluster, home));
        return Err(problems);
    };
    let application: KubeDirectorApp = match read(found) {
        Ok(application) => application,
        Err(error) => {
            problems.push(format!("KubeDirectorApp {}: {error}", found.name()));
            return Err(problems);
        }
    };
    let of_app = lines(app::validate(&application));
    problems.extend(
        of_app
            .into_iter()
            .map(|line| format!("KubeDirectorApp {}: {line}", found.name())),
    );
    let config = match config.map(read::<KubeDirectorConfig>).transpose() {
        Ok(config) => config.map(|config| config.spec).unwrap_or_default(),
        Err(error) => {
            problems.push(format!("KubeDirectorConfig {CONFIG_NAME}: {error}"));
            return Err(problems);
        }
    };
    let secret_keys = match secret_keys(cluster, &config) {
        Ok(keys) => keys,
        Err(more) => {
            problems.extend(more);
            BTreeMap::new()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let sources = Sources {
        app_name: found.name(),
        catalog: *catalog,
        app: &application.spec,
        config: &config,
        secret_keys: &secret_keys,
    };
    Blueprint::new(cluster, sources)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// The application, which is in the namespace of the cluster or in that of the operator.
async fn application(
    cluster: &KubeDirectorCluster,
    home: &str,
    view: &View,
) -> Result<Option<(AppCatalog, Object)>, ApiError> {
    let own = cluster.metadata.namespace.as_deref().unwrap_or_default();
    for (catalog, namespace) in [(AppCatalog::Local, own), (AppCatalog::System, home)] {
        if cluster.spec.app_catalog.is_some_and(|it| it != catalog) {
            continue;
        }
        let key = ObjectKey::namespaced(namespace, cluster.spec.app.as_str());
        if let Some(found) = view.get(&APP, &key).await? {
            return Ok(Some((catalog, found)));
        }
    }
    Ok(None)
}

async fn configuration(home: &str, view: &View) -> Result<Option<Object>, ApiError> {
    view.get(&CONFIG, &ObjectKey::namespaced(home, CONFIG_NAME))
        .await
}

fn missing(cluster: &KubeDirectorCluster, home: &str) -> String {
    let name = &cluster.spec.app;
    let own = cluster.metadata.namespace.as_deref().unwrap_or_default();
    let places = match cluster.spec.app_catalog {
        Some(AppCatalog::Local) => format!("in the namespace {own}"),
        Some(AppCatalog::System) => format!("in the namespace {home}"),
        None if own == home => format!("in the namespace {own}"),
        None => format!("in the namespaces {own} and {home}"),
    };
    format!("spec.app: there is no KubeDirectorApp {name} {places}; apply it there")
}

fn read<T: DeserializeOwned>(object: &Object) -> Result<T, String> {
    T::deserialize(object.as_value()).map_err(|error| error.to_string())
}

fn lines(errors: Vec<windlass_api::field::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Secret texts in the clear, by role and name: as they were written, where no webhook has encrypted
/// them, or decrypted with the configuration's key.
fn secret_keys(
    cluster: &KubeDirectorCluster,
    config: &ConfigSpec,
) -> Result<BTreeMap<String, BTreeMap<String, Hidden>>, Vec<String>> {
    let mut all = BTreeMap::new();
    let mut problems = Vec::new();
    for role in &cluster.spec.roles {
        let mut of_role = BTreeMap::new();
        for key in &role.secret_keys {
            let text = if key.encrypted_value.is_empty() {
                Ok(key.value.clone())
            } else {
                decrypt(config.master_encryption_key.as_ref(), &key.encrypted_value)
            };
            match text {
                Ok(text) => {
                    of_role.insert(key.name.clone(), text);
                }
                Err(why) => problems.push(format!(
                    "spec.roles: the secret key {} of {} cannot be read: {why}",
                    key.name, role.id
                )),
            }
        }
        all.insert(role.id.clone(), of_role);
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(problems)
    }
}

/// The text that is hex(nonce, ciphertext, tag) of AES in Galois/counter mode, as KubeDirector writes it.
fn decrypt(key: Option<&Hidden>, text: &str) -> Result<Hidden, &'static str> {
    let key = key.ok_or("the KubeDirectorConfig has no masterEncryptionKey")?;
    let key = unhex(key.expose()).ok_or("the masterEncryptionKey is no text of hex digits")?;
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        32 => &AES_256_GCM,
        _ => return Err("the masterEncryptionKey has neither 16 nor 32 bytes"),
    };
    let key =
        UnboundKey::new(algorithm, &key).map_err(|_| "the masterEncryptionKey cannot be used")?;
    let mut sealed = unhex(text).ok_or("encryptedValue is no text of hex digits")?;
    let (nonce, sealed) = sealed
        .split_at_mut_checked(NONCE_LEN)
        .ok_or("encryptedValue is too short")?;
    let nonce =
        Nonce::try_assume_unique_for_key(nonce).map_err(|_| "encryptedValue is too short")?;
    let opened = LessSafeKey::new(key)
        .open_in_place(nonce, Aad::empty(), sealed)
        .map_err(|_| "it was encrypted with another key, or changed")?;
    let text = std::str::from_utf8(opened).map_err(|_| "it is no text")?;
    Ok(Hidden::new(text))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits.filter(|it| it.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect(),
    )
}
