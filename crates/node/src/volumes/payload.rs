//! The contents of volumes that show API objects: configMap, secret, downwardAPI, projected.

use std::path::{Component, Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, KeyToPath, ServiceAccount, ServiceAccountTokenProjection,
    Volume,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::atomic::Payload;
use super::{VolumeError, config_map, secret};
use crate::env::{Facts, field, resource};

/// The mode of files whose volume names none.
const DEFAULT_MODE: i32 = 0o644;
/// The lifetime of a token whose volume names none, in seconds.
const DEFAULT_TOKEN_SECONDS: i64 = 3600;

/// What contents are made from.
pub(crate) struct Payloads<'a> {
    pub(super) client: &'a Client,
    pub(super) facts: &'a Facts<'a>,
    pub(super) now: Timestamp,
}

/// A payload, and when it should be made again even if nothing changes.
type Made = (Payload, Option<Timestamp>);

impl Payloads<'_> {
    /// The contents of a volume; `None` for kinds that hold data. The inner `None` means that what
    /// is there already may stay.
    pub(super) async fn of(
        &self,
        volume: &Volume,
        directory: &Path,
    ) -> Result<Option<Option<Made>>, VolumeError> {
        let missing = |reason: String| VolumeError::Missing {
            volume: volume.name.clone(),
            reason,
        };
        let mut payload = Payload::new();
        if let Some(source) = &volume.config_map {
            let items = source.items.as_deref();
            let mode = source.default_mode;
            let optional = source.optional == Some(true);
            self.config_map(&mut payload, volume, &source.name, items, mode, optional)
                .await?;
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let items = source.items.as_deref();
            let mode = source.default_mode;
            let optional = source.optional == Some(true);
            self.secret(&mut payload, volume, name, items, mode, optional)
                .await?;
        } else if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            self.downward(&mut payload, items, source.default_mode)
                .map_err(missing)?;
        } else if let Some(source) = &volume.projected {
            let mode = source.default_mode;
            let mut refresh_at = None;
            for part in source.sources.iter().flatten() {
                if let Some(part) = &part.config_map {
                    let items = part.items.as_deref();
                    let optional = part.optional == Some(true);
                    self.config_map(&mut payload, volume, &part.name, items, mode, optional)
                        .await?;
                } else if let Some(part) = &part.secret {
                    let items = part.items.as_deref();
                    let optional = part.optional == Some(true);
                    self.secret(&mut payload, volume, &part.name, items, mode, optional)
                        .await?;
                } else if let Some(part) = &part.downward_api {
                    let items = part.items.as_deref().unwrap_or_default();
                    self.downward(&mut payload, items, mode).map_err(missing)?;
                } else if let Some(part) = &part.service_account_token {
                    let at = self
                        .token(&mut payload, volume, part, mode, directory)
                        .await?;
                    refresh_at = refresh_at.into_iter().chain([at]).min();
                } else {
                    return Err(missing(
                        "a projected source is neither configMap, secret, downwardAPI nor serviceAccountToken"
                            .to_owned(),
                    ));
                }
            }
            return Ok(Some(Some((payload, refresh_at))));
        } else {
            return Ok(None);
        }
        Ok(Some(Some((payload, None))))
    }

    fn namespace(&self) -> &str {
        self.facts
            .pod
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default()
    }

    async fn config_map(
        &self,
        payload: &mut Payload,
        volume: &Volume,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: Option<i32>,
        optional: bool,
    ) -> Result<(), VolumeError> {
        let missing = |reason: String| VolumeError::Missing {
            volume: volume.name.clone(),
            reason,
        };
        let found = config_map(self.client, self.namespace(), name).await;
        let found = found.map_err(|source| VolumeError::Api {
            volume: volume.name.clone(),
            source: Box::new(source),
        })?;
        let Some(found) = found else {
            return if optional {
                Ok(())
            } else {
                Err(missing(format!("configmap \"{name}\" not found")))
            };
        };
        let text = found
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(k, v)| (k, v.into_bytes()));
        let binary = found
            .binary_data
            .unwrap_or_default()
            .into_iter()
            .map(|(k, v)| (k, v.0));
        let entries = text.chain(binary).collect();
        project(payload, entries, items, mode, optional)
            .map_err(|key| missing(format!("configmap \"{name}\" has no usable key {key}")))
    }

    async fn secret(
        &self,
        payload: &mut Payload,
        volume: &Volume,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: Option<i32>,
        optional: bool,
    ) -> Result<(), VolumeError> {
        let missing = |reason: String| VolumeError::Missing {
            volume: volume.name.clone(),
            reason,
        };
        let found = secret(self.client, self.namespace(), name).await;
        let found = found.map_err(|source| VolumeError::Api {
            volume: volume.name.clone(),
            source: Box::new(source),
        })?;
        let Some(found) = found else {
            return if optional {
                Ok(())
            } else {
                Err(missing(format!("secret \"{name}\" not found")))
            };
        };
        let entries = found
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(k, v)| (k, v.0))
            .collect();
        project(payload, entries, items, mode, optional)
            .map_err(|key| missing(format!("secret \"{name}\" has no usable key {key}")))
    }

    fn downward(
        &self,
        payload: &mut Payload,
        items: &[DownwardAPIVolumeFile],
        mode: Option<i32>,
    ) -> Result<(), String> {
        let none = Container::default();
        for item in items {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(selector), _) => field(self.facts, selector)?,
                (None, Some(selector)) => resource(self.facts, &none, selector)?,
                (None, None) => {
                    return Err(format!("downwardAPI item {} has no source", item.path));
                }
            };
            let mode = item.mode.or(mode).unwrap_or(DEFAULT_MODE) as u32;
            payload.insert(inside(&item.path)?, (text.into_bytes(), mode));
        }
        Ok(())
    }

    /// A token for the pod's account; says when it should be replaced.
    async fn token(
        &self,
        payload: &mut Payload,
        volume: &Volume,
        source: &ServiceAccountTokenProjection,
        mode: Option<i32>,
        directory: &Path,
    ) -> Result<Timestamp, VolumeError> {
        let missing = |reason: String| VolumeError::Missing {
            volume: volume.name.clone(),
            reason,
        };
        let path = inside(&source.path).map_err(missing)?;
        let mode = mode.unwrap_or(DEFAULT_MODE) as u32;
        let seconds = source.expiration_seconds.unwrap_or(DEFAULT_TOKEN_SECONDS);
        if let Some((token, refresh_at)) = self.present_token(directory, &path) {
            payload.insert(path, (token, mode));
            return Ok(refresh_at);
        }
        let pod = self.facts.pod;
        let account = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: source.audience.clone().map(|audience| vec![audience]),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                expiration_seconds: Some(seconds),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), self.namespace());
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .map_err(|source| VolumeError::Api {
                volume: volume.name.clone(),
                source: Box::new(source),
            })?;
        let status = answer.status.unwrap_or_default();
        let (Some(token), Some(expires)) = (status.token, status.expiration_timestamp) else {
            return Err(missing(format!(
                "no token was issued for account {account}"
            )));
        };
        let refresh_at = refresh_time(self.now, expires.0);
        payload.insert(path, (token.into_bytes(), mode));
        Ok(refresh_at)
    }

    /// The token that is there already, unless it is due to be replaced.
    fn present_token(&self, directory: &Path, path: &Path) -> Option<(Vec<u8>, Timestamp)> {
        let token = std::fs::read(directory.join(path)).ok()?;
        let (issued, expires) = validity(&token)?;
        let refresh_at = refresh_time(issued, expires);
        (self.now < refresh_at).then_some((token, refresh_at))
    }
}

/// A token is replaced when four fifths of its life are over, as the kubelet does.
fn refresh_time(issued: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(issued);
    issued + SignedDuration::from_secs(life.as_secs() * 4 / 5)
}

/// When a JSON web token was issued and when it expires.
fn validity(token: &[u8]) -> Option<(Timestamp, Timestamp)> {
    use base64::Engine as _;
    let claims = token.split(|byte| *byte == b'.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let time = |name: &str| Timestamp::from_second(claims.get(name)?.as_i64()?).ok();
    Some((time("iat")?, time("exp")?))
}

/// Adds an object's entries: all of them, or those the items name. The error is the bad key.
fn project(
    payload: &mut Payload,
    entries: Vec<(String, Vec<u8>)>,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
) -> Result<(), String> {
    let default = mode.unwrap_or(DEFAULT_MODE) as u32;
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        for (key, bytes) in entries {
            payload.insert(PathBuf::from(key), (bytes, default));
        }
        return Ok(());
    };
    for item in items {
        let Some((_, bytes)) = entries.iter().find(|(key, _)| *key == item.key) else {
            if optional {
                continue;
            }
            return Err(item.key.clone());
        };
        let mode = item.mode.map_or(default, |mode| mode as u32);
        payload.insert(inside(&item.path)?, (bytes.clone(), mode));
    }
    Ok(())
}

/// A path that stays inside its volume.
fn inside(path: &str) -> Result<PathBuf, String> {
    let clean = PathBuf::from(path);
    let stays = clean
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if stays && !path.is_empty() && !path.starts_with("..") {
        Ok(clean)
    } else {
        Err(format!(
            "{path} (it must be a relative path without \"..\")"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_choose_keys_paths_and_modes() {
        let entries = vec![
            ("a".to_owned(), b"1".to_vec()),
            ("b".to_owned(), b"2".to_vec()),
        ];
        let item = |key: &str, path: &str, mode| KeyToPath {
            key: key.to_owned(),
            path: path.to_owned(),
            mode,
            ..KeyToPath::default()
        };
        let mut payload = Payload::new();
        let items = [item("b", "deep/file", Some(0o400))];
        project(&mut payload, entries.clone(), Some(&items), None, false).unwrap();
        let expected = [(PathBuf::from("deep/file"), (b"2".to_vec(), 0o400))].into();
        assert_eq!(payload, expected);
        let refused = |items: &[KeyToPath], optional| {
            project(
                &mut Payload::new(),
                entries.clone(),
                Some(items),
                None,
                optional,
            )
            .err()
        };
        assert_eq!(
            refused(&[item("c", "c", None)], false).as_deref(),
            Some("c")
        );
        assert_eq!(refused(&[item("c", "c", None)], true), None);
        assert!(refused(&[item("a", "../a", None)], false).is_some());
    }

    #[test]
    fn a_token_is_replaced_after_four_fifths_of_its_life() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(refresh_time(at(0), at(3600)), at(2880));
        use base64::Engine as _;
        let claims =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"iat":5,"exp":9}"#);
        assert_eq!(
            validity(format!("x.{claims}.y").as_bytes()),
            Some((at(5), at(9)))
        );
        assert_eq!(validity(b"no token"), None);
    }
}
