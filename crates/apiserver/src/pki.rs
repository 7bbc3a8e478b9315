//! Keys and certificates: a certificate authority, the serving certificate, the key that signs
//! service account tokens, and the administrator's token. All but the serving certificate are
//! made once and kept, readable by the owner only.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use ring::{
    rand::{SecureRandom as _, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring as provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::{files::keep_name, hex::hex};

/// Why keys or certificates could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the data directory cannot be used.
    #[error("cannot use {path}: {error}")]
    File {
        /// Which one.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A key or certificate is not usable.
    #[error("{what}: {error}")]
    Material {
        /// Which one.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// A kept key, certificate or token is damaged.
    #[error(
        "{path} is damaged ({error}): restore it from a copy, or remove it to have a new one made; \
         clients then need the new kubeconfig"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: String,
    },
}

/// The length of the administrator's token before it is written in hexadecimal.
const TOKEN_BYTES: usize = 32;

/// The secrets of a server.
pub(crate) struct Pki {
    ca_pem: String,
    ca_key: KeyPair,
    token_key: EcdsaKeyPair,
    admin_token: String,
    random: SystemRandom,
}

/// A client's certificate and key, both in PEM.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Pki {
    /// Reads the secrets in `directory`, making those that are missing.
    pub(crate) fn open(directory: &Path) -> Result<Self, PkiError> {
        make_private_directory(directory)?;
        let ca_key = key_pair(&directory.join("ca.key"), "the CA key")?;
        let ca_path = directory.join("ca.crt");
        let ca_pem = kept(&ca_path, || ca_certificate(&ca_key))?;
        check_ca(&ca_pem, &ca_key).map_err(|error| damaged(&ca_path, error))?;
        let token_pair = key_pair(&directory.join("sa.key"), "the service account key")?;
        let random = SystemRandom::new();
        let token_key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &token_pair.serialize_der(),
            &random,
        )
        .map_err(|error| material("the service account key", error))?;
        let token_path = directory.join("admin.token");
        let admin_token = kept(&token_path, || random_token(&random))?;
        let admin_token = admin_token.trim();
        if admin_token.len() != 2 * TOKEN_BYTES {
            return Err(damaged(&token_path, "it is not a whole token"));
        }
        Ok(Self {
            ca_pem,
            ca_key,
            token_key,
            admin_token: admin_token.to_owned(),
            random,
        })
    }

    /// The authority's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The bearer token of the administrator.
    pub(crate) fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The key of service account tokens.
    pub(crate) fn token_key(&self) -> &EcdsaKeyPair {
        &self.token_key
    }

    pub(crate) fn random(&self) -> &SystemRandom {
        &self.random
    }

    /// A certificate for a client: common name is the user, organisations are the groups.
    pub(crate) fn client_certificate(
        &self,
        user: &str,
        groups: &[String],
    ) -> Result<ClientCertificate, PkiError> {
        let made = |error: rcgen::Error| material("a client certificate", error);
        let key = KeyPair::generate().map_err(made)?;
        let mut params = CertificateParams::default();
        validity(&mut params);
        params.distinguished_name.push(DnType::CommonName, user);
        // The distinguished name holds one value per type, so further groups cannot be named.
        if let Some(group) = groups.first() {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer()?).map_err(made)?;
        Ok(ClientCertificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// How to serve TLS under all the names by which clients know this server.
    pub(crate) fn server_config(&self, service_ip: Ipv4Addr) -> Result<ServerConfig, PkiError> {
        let what = "the serving certificate";
        let key = KeyPair::generate().map_err(|error| material(what, error))?;
        let mut params = CertificateParams::new(
            [
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                "localhost",
            ]
            .map(str::to_owned),
        )
        .map_err(|error| material(what, error))?;
        for address in [Ipv4Addr::LOCALHOST, service_ip] {
            params
                .subject_alt_names
                .push(SanType::IpAddress(IpAddr::V4(address)));
        }
        validity(&mut params);
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params
            .signed_by(&key, &self.issuer()?)
            .map_err(|error| material(what, error))?;

        let authority = CertificateDer::from_pem_slice(self.ca_pem.as_bytes())
            .map_err(|error| material("the CA certificate", error))?;
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.clone())
            .map_err(|error| material("the CA certificate", error))?;
        let crypto = Arc::new(provider::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| material("the CA certificate", error))?;
        let private_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .map_err(|error| material(what, error))?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone(), authority], private_key)
            .map_err(|error| material(what, error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, PkiError> {
        Issuer::from_ca_cert_pem(&self.ca_pem, &self.ca_key)
            .map_err(|error| material("the CA certificate", error))
    }
}

/// Makes a directory that only the owner can enter.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| PkiError::File {
            path: path.display().to_string(),
            error,
        })
}

/// The text of a file; a missing file is made, complete or not at all, for the owner only.
pub(crate) fn kept(
    path: &Path,
    make: impl FnOnce() -> Result<String, PkiError>,
) -> Result<String, PkiError> {
    let failed = |error| PkiError::File {
        path: path.display().to_string(),
        error,
    };
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = make()?;
            write_private(path, &text).map_err(failed)?;
            Ok(text)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file of mode 0600 by renaming a complete one into place.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    keep_name(path);
    Ok(())
}

fn material(what: &'static str, error: impl std::fmt::Display) -> PkiError {
    PkiError::Material {
        what,
        error: error.to_string(),
    }
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> PkiError {
    PkiError::Damaged {
        path: path.display().to_string(),
        error: error.to_string(),
    }
}

fn key_pair(path: &Path, what: &'static str) -> Result<KeyPair, PkiError> {
    let pem = kept(path, || {
        Ok(KeyPair::generate()
            .map_err(|error| material(what, error))?
            .serialize_pem())
    })?;
    KeyPair::from_pem(&pem).map_err(|error| damaged(path, error))
}

/// A certificate that is not the key's own would make a server that no client trusts.
fn check_ca(pem: &str, key: &KeyPair) -> Result<(), String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
    let own = key.public_key_raw();
    if der.windows(own.len()).any(|bytes| bytes == own) {
        Ok(())
    } else {
        Err("it does not belong to ca.key".to_owned())
    }
}

fn ca_certificate(key: &KeyPair) -> Result<String, PkiError> {
    let mut params = CertificateParams::default();
    validity(&mut params);
    params
        .distinguished_name
        .push(DnType::CommonName, "windlass-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let certificate = params
        .self_signed(key)
        .map_err(|error| material("the CA certificate", error))?;
    Ok(certificate.pem())
}

/// From yesterday, because clocks differ, for ten years, because nothing here outlives that.
fn validity(params: &mut CertificateParams) {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let from = today.saturating_sub(1.day());
    let until = today.saturating_add(10.years());
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8)
    };
    params.not_before = day(from);
    params.not_after = day(until);
}

fn random_token(random: &SystemRandom) -> Result<String, PkiError> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    random
        .fill(&mut bytes)
        .map_err(|error| material("the administrator's token", error))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pki");
        let first = Pki::open(&path).unwrap();
        let second = Pki::open(&path).unwrap();
        assert_eq!(first.ca_pem(), second.ca_pem());
        assert_eq!(first.admin_token(), second.admin_token());
        for entry in fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
    }

    #[test]
    fn a_damaged_secret_is_refused_with_its_path() {
        for name in ["ca.crt", "ca.key", "sa.key", "admin.token"] {
            for text in ["", "garbage\n"] {
                let directory = tempfile::tempdir().unwrap();
                drop(Pki::open(directory.path()).unwrap());
                let path = directory.path().join(name);
                fs::write(&path, text).unwrap();
                let error = Pki::open(directory.path()).err().unwrap().to_string();
                assert!(
                    error.starts_with(&format!("{} is damaged", path.display())),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_ca_certificate_of_another_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(Pki::open(directory.path()).unwrap());
        fs::remove_file(directory.path().join("ca.key")).unwrap();
        assert!(Pki::open(directory.path()).is_err());
    }

    #[test]
    fn a_serving_certificate_can_be_made_from_kept_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pki");
        drop(Pki::open(&path).unwrap());
        let config = Pki::open(&path)
            .unwrap()
            .server_config(Ipv4Addr::new(127, 20, 0, 1))
            .unwrap();
        assert_eq!(config.alpn_protocols.len(), 2);
    }
}
