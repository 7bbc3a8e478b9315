//! An authority of our own and the certificate it gives to the webhook, as they are kept in one
//! Secret, and when which of them is made anew.
//!
//! Laws:
//! - the certificate that is shown was given by an authority that has been published for a while,
//!   so whoever calls knows it already: a new authority is added first, and used later;
//! - deciding what to do is a pure function of what is kept and of the time.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// How long an authority is valid, in days.
const AUTHORITY_DAYS: i64 = 3 * 365;
/// How long the certificate of the server is valid, in days.
const SERVING_DAYS: i64 = 90;
/// How long an authority must have been published before it is used.
const PUBLISHED: SignedDuration = SignedDuration::from_mins(10);
/// The annotation with the time since when the newest authority is published.
const SINCE: &str = "windlass.dev/authority-since";

/// Why keys or certificates cannot be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {error}")]
pub(super) struct Unusable {
    what: &'static str,
    error: String,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// The authorities whose certificates may be in use, the newest first; never empty.
    authorities: Vec<Certificate>,
    /// The key of the newest.
    authority_key: String,
    /// Since when the newest is published.
    since: Timestamp,
    serving: Certificate,
    serving_key: String,
}

/// A certificate and what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Certificate {
    pem: String,
    subject: String,
    issuer: String,
    not_before: Timestamp,
    not_after: Timestamp,
    names: Vec<String>,
}

/// What is to be done about what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is as it should be.
    Keep,
    /// The newest authority gives the server another certificate.
    Serve,
    /// Another authority is published, and not used yet.
    Publish,
    /// Nothing of it can be used.
    BeginAnew,
}

impl Kept {
    /// The first authority, and a certificate by it: nobody knows another one.
    pub(super) fn begin(names: &[String], now: Timestamp) -> Result<Self, Unusable> {
        let (authority, key) = authority(now)?;
        let (serving, serving_key) = serving(&authority, &key, names, now)?;
        Ok(Self {
            authorities: vec![authority],
            authority_key: key,
            since: now,
            serving,
            serving_key,
        })
    }

    /// What is to be done.
    pub(super) fn step(&self, names: &[String], now: Timestamp) -> Step {
        let Some(newest) = self.authorities.first() else {
            return Step::BeginAnew;
        };
        let is_known = |it: &Certificate| it.subject == self.serving.issuer && !it.is_over(now);
        let can_serve = self.authorities.iter().any(is_known) && !self.serving.is_over(now);
        let is_published = now.duration_since(self.since) >= PUBLISHED;
        if newest.is_over(now) {
            return Step::BeginAnew;
        }
        if newest.is_due(now) && is_published {
            return Step::Publish;
        }
        let by_another = self.serving.issuer != newest.subject;
        let other_names = self.serving.names != names;
        if !can_serve || ((self.serving.is_due(now) || by_another || other_names) && is_published) {
            return Step::Serve;
        }
        Step::Keep
    }

    /// What is kept after a step.
    pub(super) fn after(
        &self,
        step: Step,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, Unusable> {
        let mut kept = self.clone();
        kept.authorities.retain(|authority| !authority.is_over(now));
        match step {
            Step::Keep => {}
            Step::Serve => {
                let newest = self.authorities.first().ok_or_else(nothing)?;
                (kept.serving, kept.serving_key) =
                    serving(newest, &self.authority_key, names, now)?;
            }
            Step::Publish => {
                let (authority, key) = authority(now)?;
                kept.authorities.insert(0, authority);
                kept.authority_key = key;
                kept.since = now;
            }
            Step::BeginAnew => return Self::begin(names, now),
        }
        Ok(kept)
    }

    /// What is in a Secret; an error when that is not what we keep.
    pub(super) fn of_secret(secret: &Value) -> Result<Self, Unusable> {
        let text = |key: &'static str| {
            let encoded = secret["data"][key].as_str().unwrap_or_default();
            let bytes = BASE64_STANDARD.decode(encoded).ok();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .filter(|text| !text.is_empty())
                .ok_or_else(|| unusable(key, "it is missing or no text"))
        };
        let since = secret["metadata"]["annotations"][SINCE].as_str();
        let since = since.and_then(|text| text.parse().ok());
        let kept = Self {
            authorities: read(&text("ca.crt")?)?,
            authority_key: text("ca.key")?,
            since: since.unwrap_or(Timestamp::UNIX_EPOCH),
            serving: read(&text("tls.crt")?)?
                .into_iter()
                .next()
                .ok_or_else(nothing)?,
            serving_key: text("tls.key")?,
        };
        // A key that is none would be found out too late.
        KeyPair::from_pem(&kept.authority_key).map_err(|error| unusable("ca.key", error))?;
        KeyPair::from_pem(&kept.serving_key).map_err(|error| unusable("tls.key", error))?;
        Ok(kept)
    }

    /// The Secret that keeps it.
    pub(super) fn to_secret(&self, namespace: &str, name: &str) -> Value {
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "namespace": namespace,
                "name": name,
                "annotations": { SINCE: self.since.to_string() },
            },
            "data": {
                "ca.crt": encoded(&self.bundle()),
                "ca.key": encoded(&self.authority_key),
                "tls.crt": encoded(&self.serving.pem),
                "tls.key": encoded(&self.serving_key),
            },
        })
    }

    /// The certificates of all authorities, in PEM.
    pub(super) fn bundle(&self) -> String {
        self.authorities.iter().map(|it| it.pem.as_str()).collect()
    }

    /// The certificate that is shown and its key, in PEM.
    pub(super) fn shown(&self) -> (&str, &str) {
        (&self.serving.pem, &self.serving_key)
    }
}

impl Certificate {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// In the last third of its time.
    fn is_due(&self, now: Timestamp) -> bool {
        let whole = self.not_after.duration_since(self.not_before);
        self.not_after.duration_since(now) < whole / 3
    }
}

fn authority(now: Timestamp) -> Result<(Certificate, String), Unusable> {
    let what = "a new authority";
    let key = KeyPair::generate().map_err(|error| unusable(what, error))?;
    let mut params = valid_for(AUTHORITY_DAYS, now);
    // Authorities are told apart by their names, and several are kept.
    let name = format!("windlass-webhook-authority-{}", now.as_millisecond());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let made = params
        .self_signed(&key)
        .map_err(|error| unusable(what, error))?;
    Ok((one(&made.pem())?, key.serialize_pem()))
}

fn serving(
    authority: &Certificate,
    authority_key: &str,
    names: &[String],
    now: Timestamp,
) -> Result<(Certificate, String), Unusable> {
    let what = "a new certificate";
    let authority_key =
        KeyPair::from_pem(authority_key).map_err(|error| unusable("ca.key", error))?;
    let issuer = Issuer::from_ca_cert_pem(&authority.pem, authority_key)
        .map_err(|error| unusable("ca.crt", error))?;
    let key = KeyPair::generate().map_err(|error| unusable(what, error))?;
    let mut params = valid_for(SERVING_DAYS, now);
    params.subject_alt_names = CertificateParams::new(names.to_vec())
        .map_err(|error| unusable(what, error))?
        .subject_alt_names;
    let name = names.first().map_or("windlass-webhook", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let made = params
        .signed_by(&key, &issuer)
        .map_err(|error| unusable(what, error))?;
    Ok((one(&made.pem())?, key.serialize_pem()))
}

/// From yesterday, because clocks differ.
fn valid_for(days: i64, now: Timestamp) -> CertificateParams {
    let today = now.to_zoned(TimeZone::UTC).date();
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(today.saturating_add(days.days()));
    params
}

fn one(pem: &str) -> Result<Certificate, Unusable> {
    read(pem)?.into_iter().next().ok_or_else(nothing)
}

/// The certificates of a PEM text.
fn read(pem: &str) -> Result<Vec<Certificate>, Unusable> {
    let broken = |error: &dyn std::fmt::Display| unusable("a certificate", error);
    let mut all = Vec::new();
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        let block = block.map_err(|error| broken(&error))?;
        let parsed = block.parse_x509().map_err(|error| broken(&error))?;
        let time = |it: i64| Timestamp::from_second(it).map_err(|error| broken(&error));
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| &extension.value.general_names);
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        all.push(Certificate {
            pem: pem_of(&block.contents),
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
            names: names.into_iter().flatten().filter_map(dns).collect(),
        });
    }
    Ok(all)
}

fn pem_of(der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn nothing() -> Unusable {
    unusable("a certificate", "there is none")
}

fn unusable(what: &'static str, error: impl std::fmt::Display) -> Unusable {
    Unusable {
        what,
        error: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec![
            "webhook.home.svc".to_owned(),
            "webhook.home.svc.cluster.local".to_owned(),
        ]
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn days(count: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * count)
    }

    #[test]
    fn what_is_kept_comes_back_from_its_secret() {
        let kept = Kept::begin(&names(), at("2026-01-01T12:00:00Z")).unwrap();
        let secret = kept.to_secret("home", "webhook");
        assert_eq!(Kept::of_secret(&secret).unwrap(), kept);
        assert_eq!(kept.serving.names, names());
        assert_eq!(kept.serving.issuer, kept.authorities[0].subject);
        for (key, value) in [
            ("ca.key", ""),
            ("tls.crt", "Z2FyYmFnZQ=="),
            ("tls.key", "!"),
        ] {
            let mut damaged = secret.clone();
            damaged["data"][key] = json!(value);
            assert!(Kept::of_secret(&damaged).is_err(), "{key}");
        }
        assert!(Kept::of_secret(&Value::Null).is_err());
    }

    #[test]
    fn each_time_has_its_step() {
        let begin = at("2026-01-01T12:00:00Z");
        let kept = Kept::begin(&names(), begin).unwrap();
        let step = |kept: &Kept, after: SignedDuration| kept.step(&names(), begin + after);
        let minute = SignedDuration::from_mins(1);
        for (after, expected) in [
            (minute, Step::Keep),
            (days(50), Step::Keep),
            (days(65), Step::Serve),
            // It has not been looked at for long: an old certificate is no reason not to serve.
            (days(200), Step::Serve),
            (days(800), Step::Publish),
            (days(1200), Step::BeginAnew),
        ] {
            assert_eq!(step(&kept, after), expected, "{after:?}");
        }
        let others = ["another.home.svc".to_owned()];
        assert_eq!(kept.step(&others, begin + PUBLISHED), Step::Serve);
    }

    #[test]
    fn a_new_authority_is_published_before_it_is_used() {
        let begin = at("2026-01-01T12:00:00Z");
        let first = Kept::begin(&names(), begin).unwrap();
        let then = begin + days(60);
        let first = first.after(Step::Serve, &names(), then).unwrap();
        let due = begin + days(800);
        let both = first.after(Step::Publish, &names(), due).unwrap();
        assert_eq!(both.authorities.len(), 2);
        assert_eq!(both.serving, first.serving);
        assert_eq!(Kept::of_secret(&both.to_secret("h", "s")).unwrap(), both);

        let soon = due + PUBLISHED;
        assert_eq!(both.step(&names(), soon), Step::Serve);
        let used = both.after(Step::Serve, &names(), soon).unwrap();
        assert_eq!(used.serving.issuer, used.authorities[0].subject);
        assert_ne!(used.serving.issuer, first.serving.issuer);
        assert_eq!(used.step(&names(), soon), Step::Keep);
        // The old one is forgotten when it is over.
        let later = begin + days(1200);
        let last = used.after(Step::Serve, &names(), later).unwrap();
        assert_eq!(last.authorities.len(), 1);
    }

    /// Looked at every day for ten years, the certificate is always valid, and always by an
    /// authority that callers had before.
    #[test]
    fn whoever_knew_the_authorities_an_hour_ago_can_still_call() {
        let mut now = at("2026-01-01T12:00:00Z");
        let mut kept = Kept::begin(&names(), now).unwrap();
        let mut known: Vec<String> = kept
            .authorities
            .iter()
            .map(|it| it.subject.clone())
            .collect();
        for day in 0..3650 {
            for _ in 0..3 {
                let step = kept.step(&names(), now);
                if step != Step::Keep {
                    assert_ne!(step, Step::BeginAnew, "day {day}");
                    kept = kept.after(step, &names(), now).unwrap();
                }
                let issuer = &kept.serving.issuer;
                assert!(known.contains(issuer), "day {day}: {issuer}");
                assert!(!kept.serving.is_over(now), "day {day}");
                now += SignedDuration::from_hours(1);
                known = kept
                    .authorities
                    .iter()
                    .map(|it| it.subject.clone())
                    .collect();
            }
            now += SignedDuration::from_hours(21);
        }
        assert!(kept.authorities.len() <= 2);
    }
}
