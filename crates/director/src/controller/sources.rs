//! What a cluster is made of besides itself: its application, the configuration, and its secret keys.

use std::collections::BTreeMap;

use windlass_api::director::admission::{
    ConfigSurroundings, Kept, Request, Surroundings, admit, admit_config,
};
use windlass_api::director::config::{CONFIG_NAME, ConfigSpec};
use windlass_api::director::{Hidden, KubeDirectorCluster, KubeDirectorConfig};
use windlass_api::field::FieldError;
use windlass_engine::Object;
use windlass_engine::api::ApiError;

use crate::around::{Reader, read};
use crate::blueprint::{Blueprint, Sources};
use crate::secret_keys::decrypt;

/// Puts a cluster together, of whose objects this is known; the inner error is what keeps it from being
/// one, line by line.
pub(super) async fn blueprint(
    object: &Object,
    kept: &Kept,
    reader: Reader<'_>,
) -> Result<Result<Blueprint, Vec<String>>, ApiError> {
    let cluster: KubeDirectorCluster = match read(object) {
        Ok(cluster) => cluster,
        Err(error) => return Ok(Err(vec![error])),
    };
    let around = reader.around(&cluster).await?;
    Ok(around.and_then(|around| admitted(&cluster, kept, &around)))
}

/// What can be said of another cluster without asking whether it may be: of one that may not, what was
/// there before goes on.
pub(super) async fn described(
    object: &Object,
    reader: Reader<'_>,
) -> Result<Option<Blueprint>, ApiError> {
    let Ok(cluster) = read::<KubeDirectorCluster>(object) else {
        return Ok(None);
    };
    let around = reader.catalogs(&cluster, &mut Vec::new()).await?;
    Ok(put_together(&cluster, &cluster, &around).ok())
}

/// A cluster that may be, with its defaults. Pure.
fn admitted(
    cluster: &KubeDirectorCluster,
    kept: &Kept,
    around: &Surroundings,
) -> Result<Blueprint, Vec<String>> {
    let mut problems = around.config.as_ref().map_or_else(Vec::new, of_config);
    match admit(Request::Stored(kept), cluster, around) {
        Ok(defaulted) if problems.is_empty() => {
            put_together(&defaulted.into_parts().0, cluster, around)
        }
        Ok(_) => Err(problems),
        Err(errors) => {
            problems.extend(lines(&errors));
            Err(problems)
        }
    }
}

/// What is wrong with the configuration, but for storage classes: whoever needs one is told of it.
fn of_config(config: &ConfigSpec) -> Vec<String> {
    let mut whole = KubeDirectorConfig::new(CONFIG_NAME, config.clone());
    whole.metadata.namespace = Some(String::new());
    let around = ConfigSurroundings {
        storage_classes: config.default_storage_class_name.iter().cloned().collect(),
        // It may have none as long as nothing is encrypted.
        fresh_key: Hidden::new("00".repeat(32)),
        ..ConfigSurroundings::default()
    };
    let errors = admit_config(None, &whole, &around).err();
    let told = lines(&errors.unwrap_or_default());
    told.into_iter()
        .map(|line| format!("KubeDirectorConfig {CONFIG_NAME}: {line}"))
        .collect()
}

/// The blueprint of a cluster, whose secret texts are in it as it is stored.
fn put_together(
    cluster: &KubeDirectorCluster,
    stored: &KubeDirectorCluster,
    around: &Surroundings,
) -> Result<Blueprint, Vec<String>> {
    let config = around.config.clone().unwrap_or_default();
    let secret_keys = secret_keys(stored, &config)?;
    let Some((catalog, app)) = around.app(cluster) else {
        return Err(vec![format!("spec.app: there is no {}", cluster.spec.app)]);
    };
    let sources = Sources {
        app_name: &cluster.spec.app,
        catalog,
        app: &app.spec,
        config: &config,
        secret_keys: &secret_keys,
    };
    Blueprint::new(cluster, sources)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn lines(errors: &[FieldError]) -> Vec<String> {
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

#[cfg(test)]
mod tests;
