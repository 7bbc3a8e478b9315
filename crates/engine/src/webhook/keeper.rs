//! Keeps the certificate that is shown a current one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Certificates;
use super::certificates::{Kept, Step};
use crate::api::{ApiClient, ApiError, Fault};
use crate::health::Health;
use crate::kind::{Kind, ObjectKey};

/// How often what is kept is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// Who writes, for managed fields.
const MANAGER: &str = "windlass-webhook";
/// The name under which this loop shows signs of life.
pub(crate) const LOOP: &str = "webhook certificates";

const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");
const GROUP: &str = "admissionregistration.k8s.io";
const CONFIGURATIONS: [Kind; 2] = [
    Kind::cluster(
        GROUP,
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
    Kind::cluster(
        GROUP,
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
];

/// The certificate that is shown. Until there is one, nobody can greet.
#[derive(Debug, Default)]
pub(crate) struct Shown(RwLock<Option<Arc<CertifiedKey>>>);

impl Shown {
    /// How a server shows it.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn show(&self, certificates: &str, key: &str) -> Result<(), String> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(certificates.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|error| format!("tls.crt: {error}"))?;
        if chain.is_empty() {
            return Err("tls.crt: there is no certificate in it".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| format!("tls.key: {error}"))?;
        let both = CertifiedKey::from_der(chain, key, &provider::default_provider())
            .map_err(|error| format!("tls.crt and tls.key: {error}"))?;
        *self.0.write() = Some(Arc::new(both));
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

/// Looks again and again until `stop`. What goes wrong is told once, and tried again.
pub(crate) async fn keep(
    certificates: Certificates,
    shown: Arc<Shown>,
    api: ApiClient,
    health: Health,
    stop: CancellationToken,
) {
    let mut last_problem = None;
    loop {
        health.beat(LOOP);
        let problem = match &certificates {
            Certificates::Files(folder) => from_files(folder, &shown).await.err(),
            Certificates::Own {
                namespace,
                secret,
                names,
                configuration,
            } => {
                let key = ObjectKey::namespaced(namespace.as_str(), secret.as_str());
                let looked = own(&api, &key, names, configuration, &shown).await;
                looked.err()
            }
        };
        if problem != last_problem {
            match &problem {
                Some(problem) => tracing::warn!("the webhook's certificate: {problem}"),
                None => tracing::info!("the webhook has a certificate"),
            }
            last_problem = problem;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    health.retire(LOOP);
}

async fn from_files(folder: &Path, shown: &Shown) -> Result<(), String> {
    let file = async |name: &str| {
        let path = folder.join(name);
        let read = tokio::fs::read_to_string(&path).await;
        read.map_err(|error| format!("{}: {error}", path.display()))
    };
    let (certificates, key) = (file("tls.crt").await?, file("tls.key").await?);
    shown.show(&certificates, &key)
}

async fn own(
    api: &ApiClient,
    key: &ObjectKey,
    names: &[String],
    configuration: &str,
    shown: &Shown,
) -> Result<(), String> {
    let kept = current(api, key, names).await?;
    let (certificate, private_key) = kept.shown();
    shown.show(certificate, private_key)?;
    publish(api, configuration, &kept.bundle())
        .await
        .map_err(|error| error.to_string())
}

/// What is kept, brought up to date. Whoever writes second reads what the first has written.
async fn current(api: &ApiClient, key: &ObjectKey, names: &[String]) -> Result<Kept, String> {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    // Somebody else writes at the same time, then we; more often than that it is next time's.
    for _ in 0..3 {
        let now = Timestamp::now();
        let found = api
            .get(&SECRET, key)
            .await
            .map_err(|error| error.to_string())?;
        let Some(found) = found else {
            let kept = Kept::begin(names, now).map_err(|error| error.to_string())?;
            match api
                .create(&SECRET, &kept.to_secret(namespace, &key.name), MANAGER)
                .await
            {
                Ok(_) => return Ok(kept),
                Err(error) if error.fault == Fault::AlreadyExists => continue,
                Err(error) => return Err(error.to_string()),
            }
        };
        // What cannot be read, somebody has damaged: nothing in it can be used.
        let next = match Kept::of_secret(found.as_value()) {
            Ok(kept) => match kept.step(names, now) {
                Step::Keep => return Ok(kept),
                step => kept.after(step, names, now),
            },
            Err(error) => {
                tracing::warn!("Secret {namespace}/{} is made anew: {error}", key.name);
                Kept::begin(names, now)
            }
        };
        let next = next.map_err(|error| error.to_string())?;
        let mut secret = found.as_value().clone();
        let ours = next.to_secret(namespace, &key.name);
        secret["data"] = ours["data"].clone();
        for (name, value) in ours["metadata"]["annotations"]
            .as_object()
            .into_iter()
            .flatten()
        {
            secret["metadata"]["annotations"][name] = value.clone();
        }
        match api.update(&SECRET, &secret, MANAGER).await {
            Ok(_) => return Ok(next),
            Err(error) if error.fault == Fault::Conflict => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("others write it at the same time".to_owned())
}

/// Tells the configurations the authorities, where they do not know them.
async fn publish(api: &ApiClient, configuration: &str, bundle: &str) -> Result<(), ApiError> {
    let bundle = BASE64_STANDARD.encode(bundle);
    for kind in &CONFIGURATIONS {
        let key = ObjectKey::cluster(configuration);
        let Some(found) = api.get(kind, &key).await? else {
            continue;
        };
        if let Some(told) = with_bundle(found.as_value(), &bundle) {
            api.update(kind, &told, MANAGER).await?;
        }
    }
    Ok(())
}

/// The configuration with this bundle everywhere, if it has another one anywhere.
fn with_bundle(configuration: &Value, bundle: &str) -> Option<Value> {
    let mut told = configuration.clone();
    for webhook in told["webhooks"].as_array_mut()? {
        if let Some(client) = webhook["clientConfig"].as_object_mut() {
            client.insert("caBundle".to_owned(), json!(bundle));
        }
    }
    (told != *configuration).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_told_the_bundle_once() {
        let configuration = json!({"webhooks": [
            {"name": "a", "clientConfig": {"service": {"name": "s"}}},
            {"name": "b", "clientConfig": {"service": {"name": "s"}, "caBundle": "b2xk"}},
        ]});
        let told = with_bundle(&configuration, "bmV3").unwrap();
        for webhook in told["webhooks"].as_array().unwrap() {
            assert_eq!(webhook["clientConfig"]["caBundle"], "bmV3");
        }
        assert_eq!(with_bundle(&told, "bmV3"), None);
        assert_eq!(with_bundle(&json!({}), "bmV3"), None);
    }

    #[tokio::test]
    async fn files_are_read_again_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let shown = Shown::default();
        assert!(from_files(folder.path(), &shown).await.is_err());
        let write = |kept: &Kept| {
            let (certificate, key) = kept.shown();
            std::fs::write(folder.path().join("tls.crt"), certificate).unwrap();
            std::fs::write(folder.path().join("tls.key"), key).unwrap();
        };
        let current = || shown.0.read().as_ref().map(|it| it.cert[0].to_vec());
        let names = ["a.b.svc".to_owned()];
        write(&Kept::begin(&names, Timestamp::now()).unwrap());
        from_files(folder.path(), &shown).await.unwrap();
        let first = current();
        assert!(first.is_some());
        write(&Kept::begin(&names, Timestamp::now()).unwrap());
        from_files(folder.path(), &shown).await.unwrap();
        let second = current();
        assert_ne!(second, first);
        std::fs::write(folder.path().join("tls.key"), "half a k").unwrap();
        let problem = from_files(folder.path(), &shown).await.unwrap_err();
        assert!(problem.starts_with("tls.key: "), "{problem}");
        assert_eq!(current(), second);
    }
}
