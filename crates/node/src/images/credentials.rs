//! Credentials for registries, as `.dockerconfigjson` Secrets and `~/.docker/config.json` hold them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

/// What is known of registries, in the order it is tried.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    known: Vec<(String, RegistryAuth)>,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Credentials {
    /// Adds what a file of Docker's `config.json` form knows.
    pub(crate) fn add_config(&mut self, json: &[u8]) -> Result<(), String> {
        let config: DockerConfig =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        self.add(config.auths)
    }

    /// Adds what a file of the older `.dockercfg` form knows: the same without its outer object.
    pub(crate) fn add_legacy(&mut self, json: &[u8]) -> Result<(), String> {
        self.add(serde_json::from_slice(json).map_err(|error| error.to_string())?)
    }

    fn add(&mut self, logins: BTreeMap<String, Login>) -> Result<(), String> {
        for (registry, login) in logins {
            // An empty entry says that a credential helper keeps the login.
            if let Some(auth) = login
                .resolve()
                .map_err(|why| format!("{registry}: {why}"))?
            {
                self.known.push((normal(&registry), auth));
            }
        }
        Ok(())
    }

    /// What to show the registry of an image; the entry that names most of the image wins, and of
    /// equals the one that was added first.
    pub(crate) fn of(&self, image: &Reference) -> RegistryAuth {
        let name = format!("{}/{}", normal(image.registry()), image.repository());
        let mut best: Option<&(String, RegistryAuth)> = None;
        for entry in &self.known {
            let fits = name
                .strip_prefix(&entry.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if fits && best.is_none_or(|(known, _)| known.len() < entry.0.len()) {
                best = Some(entry);
            }
        }
        best.map_or(RegistryAuth::Anonymous, |(_, auth)| auth.clone())
    }
}

impl Login {
    fn resolve(self) -> Result<Option<RegistryAuth>, &'static str> {
        if !self.username.is_empty() {
            return Ok(Some(RegistryAuth::Basic(self.username, self.password)));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let bytes = STANDARD.decode(self.auth.trim());
        let text = bytes
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or("auth is not base64 of user:password")?;
        let (user, password) = text
            .split_once(':')
            .ok_or("auth is not base64 of user:password")?;
        Ok(Some(RegistryAuth::Basic(
            user.to_owned(),
            password.to_owned(),
        )))
    }
}

/// `https://index.docker.io/v1/` and `docker.io` are the same place.
fn normal(registry: &str) -> String {
    let name = registry
        .strip_prefix("https://")
        .or_else(|| registry.strip_prefix("http://"))
        .unwrap_or(registry)
        .trim_end_matches('/');
    let name = name
        .strip_suffix("/v1")
        .or_else(|| name.strip_suffix("/v2"))
        .unwrap_or(name);
    match name.split_once('/').unwrap_or((name, "")) {
        ("index.docker.io" | "registry-1.docker.io" | "docker.io", "") => "docker.io".to_owned(),
        ("index.docker.io" | "registry-1.docker.io", path) => format!("docker.io/{path}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_that_names_most_of_the_image_is_used() {
        let encoded = STANDARD.encode("hub:secret:with:colons");
        let mut credentials = Credentials::default();
        let config = format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{encoded}"}},
                "registry.example:5000": {{"username": "all", "password": "1"}},
                "registry.example:5000/team": {{"username": "team", "password": "2"}},
                "helped.example": {{}}
            }}, "credsStore": "desktop"}}"#
        );
        credentials.add_config(config.as_bytes()).unwrap();
        let legacy = r#"{"old.example": {"username": "old", "password": "3"}}"#;
        credentials.add_legacy(legacy.as_bytes()).unwrap();
        let basic =
            |user: &str, password: &str| RegistryAuth::Basic(user.to_owned(), password.to_owned());
        for (image, auth) in [
            ("nginx", basic("hub", "secret:with:colons")),
            (
                "docker.io/apache/kafka:4",
                basic("hub", "secret:with:colons"),
            ),
            ("registry.example:5000/other/x", basic("all", "1")),
            ("registry.example:5000/team/x:1", basic("team", "2")),
            ("registry.example:5000/teams/x:1", basic("all", "1")),
            ("registry.example/team/x", RegistryAuth::Anonymous),
            ("helped.example/x", RegistryAuth::Anonymous),
            ("old.example/x", basic("old", "3")),
        ] {
            assert_eq!(credentials.of(&image.parse().unwrap()), auth, "{image}");
        }
    }

    #[test]
    fn a_login_that_cannot_be_read_names_its_registry() {
        let mut credentials = Credentials::default();
        for (config, names) in [
            ("1", "expected struct"),
            (r#"{"auths": {"r.example": {"auth": "%%%"}}}"#, "r.example"),
            (
                r#"{"auths": {"r.example": {"auth": "bm9jb2xvbg=="}}}"#,
                "r.example",
            ),
        ] {
            let error = credentials.add_config(config.as_bytes()).unwrap_err();
            assert!(error.contains(names), "{error}");
        }
    }
}
