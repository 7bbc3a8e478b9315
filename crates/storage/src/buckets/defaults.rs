//! What an ObjectStore gets that it does not ask for: which language its store speaks, where that is, and
//! whose keys it is asked with. Pure.
//!
//! Laws:
//! - what the specification says goes before everything;
//! - a bucket does not move: its language stays what it was, and one at the provider's own server stays there.
//!   One at the operator's endpoint follows that, and never falls back to somebody else's server;
//! - nothing is guessed: evidence counts as it does for classes, and where it names none of those who have
//!   such stores the author is asked;
//! - the keys that the operator names are shown to the server that it names, and to nobody else's.

use windlass_api::storage::object_store::{ChosenBy, ObjectStoreSpec, ObjectStoreStatus, Provider};

use super::Settings;
use super::wanted::{Server, Unwanted};
use crate::classes::evidence::{Evidence, Source, detect};
use crate::classes::provider::Provider as Machines;

/// What ObjectStores get that say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The language of the store, and what tells it.
    pub provider: Option<(Provider, ChosenBy)>,
    /// The server of those that speak S3.
    pub endpoint: Option<String>,
    /// The Secret with the keys, in the namespace of each.
    pub secret: Option<String>,
}

impl Defaults {
    /// What follows from the operator's settings, and from the cluster where they leave it open.
    pub fn of(settings: &Settings, evidence: &Evidence) -> Self {
        let provider = match &settings.endpoint {
            Some(_) => Some((Provider::S3, ChosenBy::Operator)),
            None => by_machines(settings, evidence),
        };
        Self {
            provider,
            endpoint: settings.endpoint.clone(),
            secret: settings.secret.clone(),
        }
    }

    /// What an ObjectStore was given, for those who read it without the settings of its operator. The language
    /// is not among it: that of a bucket that was asked for stays.
    pub fn given(status: &ObjectStoreStatus) -> Self {
        let endpoint = status.endpoint.clone();
        Self {
            provider: None,
            endpoint: endpoint.filter(|_| status.endpoint_by.is_some()),
            secret: status.secret.clone(),
        }
    }
}

/// The store of those whose machines the cluster runs on.
fn by_machines(settings: &Settings, evidence: &Evidence) -> Option<(Provider, ChosenBy)> {
    let (machines, source) = detect(evidence, settings.machines).provider?;
    let provider = match machines {
        Machines::Aws => Provider::S3,
        Machines::Google => Provider::Gcs,
        Machines::Azure => Provider::Azure,
        Machines::Alibaba
        | Machines::Oracle
        | Machines::Ibm
        | Machines::OpenStack
        | Machines::DigitalOcean
        | Machines::VSphere => return None,
    };
    let by = match source {
        Source::Setting => ChosenBy::Operator,
        Source::Nodes => ChosenBy::Nodes,
        Source::Drivers => ChosenBy::CsiDrivers,
        Source::Classes => ChosenBy::StorageClasses,
        // They are asked for the sake of claims alone.
        Source::Metadata => return None,
    };
    Some((provider, by))
}

/// What was chosen for a bucket that was asked for already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// The language of its store, and what told it.
    pub provider: Option<(Provider, Option<ChosenBy>)>,
    /// Its server.
    pub endpoint: Option<String>,
    /// What told that, if it was none of the usual.
    pub endpoint_by: Option<ChosenBy>,
}

/// What follows for one ObjectStore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The server.
    pub endpoint: String,
    /// Whose it is.
    pub server: Server,
    /// The Secret with the keys; the operator's own identity without.
    pub secret: Option<String>,
    /// What has decided about the Secret, where the specification does not.
    pub secret_by: Option<ChosenBy>,
}

/// Which language the store of an ObjectStore speaks, and what has decided it if the specification has not.
///
/// # Errors
/// Nothing tells it, or it would change.
pub fn provider(
    said: Option<Provider>,
    before: &Before,
    defaults: &Defaults,
) -> Result<(Provider, Option<ChosenBy>), Unwanted> {
    match (said, before.provider) {
        (Some(said), Some((chosen, _))) if said != chosen => Err(Unwanted::Invalid(vec![format!(
            "spec.provider: was {} when nobody had said it, and cannot change; make another ObjectStore",
            chosen.as_str()
        )])),
        (Some(said), _) => Ok((said, None)),
        (None, Some(chosen)) => Ok(chosen),
        (None, None) => {
            let (provider, by) = defaults.provider.ok_or(Unwanted::NoProvider)?;
            Ok((provider, Some(by)))
        }
    }
}

/// Where the bucket of an ObjectStore is, and whose keys it is asked for with. `vendor` is the server of the
/// provider itself.
///
/// # Errors
/// It was at an endpoint of the operator, which has none any more, or none of the keys for it.
pub fn choose(
    spec: &ObjectStoreSpec,
    provider: Provider,
    vendor: String,
    before: &Before,
    defaults: &Defaults,
) -> Result<Choice, Unwanted> {
    let stays_with_vendor = before.endpoint.as_deref() == Some(vendor.as_str());
    let (endpoint, server) = match (&spec.endpoint, &defaults.endpoint) {
        (Some(said), _) => (said, Server::Named),
        (None, Some(endpoint)) if provider == Provider::S3 && !stays_with_vendor => {
            (endpoint, Server::Operator)
        }
        (None, None) if before.endpoint_by == Some(ChosenBy::Operator) => {
            return Err(Unwanted::NoEndpoint);
        }
        (None, _) => (&vendor, Server::Vendor),
    };
    let named = spec.credentials.as_ref().map(|it| &it.secret_ref.name);
    let secret = match (named, server) {
        (Some(named), _) => Some(named),
        // Whoever names a server is not to get the keys of another one.
        (None, Server::Named) => None,
        (None, Server::Operator) => match &defaults.secret {
            Some(secret) => Some(secret),
            None => return Err(Unwanted::NoKeys),
        },
        (None, Server::Vendor) => defaults
            .secret
            .as_ref()
            .filter(|_| defaults.endpoint.is_none()),
    };
    Ok(Choice {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        server,
        secret: secret.cloned(),
        secret_by: secret
            .filter(|_| named.is_none())
            .map(|_| ChosenBy::Operator),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use windlass_engine::Object;

    use super::*;

    const VENDOR: &str = "https://s3.us-east-1.amazonaws.com";
    const MINIO: &str = "http://minio:9000";

    fn settings(endpoint: bool, secret: bool) -> Settings {
        Settings {
            machines: None,
            endpoint: endpoint.then(|| format!("{MINIO}/")),
            secret: secret.then(|| "keys".to_owned()),
        }
    }

    fn evidence(node: &str, driver: &str, provisioner: &str) -> Evidence {
        let object = |value: Value| vec![Object::new(value)];
        let nodes = object(json!({"spec": {"providerID": node}}));
        let drivers = object(json!({"metadata": {"name": driver}}));
        let classes = object(json!({"metadata": {"name": "own"}, "provisioner": provisioner}));
        Evidence::of(&nodes, &drivers, &classes)
    }

    #[test]
    fn a_provider_follows_from_settings_and_then_from_the_cluster() {
        let nothing = evidence("kind://a/b", "csi.example.com", "example.com/own");
        let set = |machines| Settings {
            machines: Some(machines),
            ..Settings::default()
        };
        for (settings, evidence, expected) in [
            (Settings::default(), nothing.clone(), None),
            (
                set(Machines::Azure),
                nothing.clone(),
                Some((Provider::Azure, ChosenBy::Operator)),
            ),
            (
                set(Machines::Oracle),
                evidence("aws:///eu-west-1a/i-1", "", ""),
                None,
            ),
            (
                Settings::default(),
                evidence("aws:///eu-west-1a/i-1", "", ""),
                Some((Provider::S3, ChosenBy::Nodes)),
            ),
            (
                Settings::default(),
                evidence("", "pd.csi.storage.gke.io", ""),
                Some((Provider::Gcs, ChosenBy::CsiDrivers)),
            ),
            (
                Settings::default(),
                evidence("", "", "kubernetes.io/azure-disk"),
                Some((Provider::Azure, ChosenBy::StorageClasses)),
            ),
            // An endpoint speaks S3, wherever the cluster is.
            (
                settings(true, false),
                evidence("gce://project/zone/name", "", ""),
                Some((Provider::S3, ChosenBy::Operator)),
            ),
        ] {
            let defaults = Defaults::of(&settings, &evidence);
            assert_eq!(defaults.provider, expected, "{settings:?} {evidence:?}");
        }
    }

    #[test]
    fn a_provider_that_was_said_or_chosen_stays() {
        let defaults = Defaults {
            provider: Some((Provider::Gcs, ChosenBy::Nodes)),
            ..Defaults::default()
        };
        let before = |provider, by| Before {
            provider: Some((provider, by)),
            ..Before::default()
        };
        let nothing = Before::default();
        let by_nodes = Some(ChosenBy::Nodes);
        for (said, before, expected) in [
            (None, &nothing, Ok((Provider::Gcs, by_nodes))),
            (Some(Provider::S3), &nothing, Ok((Provider::S3, None))),
            (
                None,
                &before(Provider::S3, by_nodes),
                Ok((Provider::S3, by_nodes)),
            ),
            (None, &before(Provider::S3, None), Ok((Provider::S3, None))),
            (
                Some(Provider::S3),
                &before(Provider::S3, by_nodes),
                Ok((Provider::S3, None)),
            ),
        ] {
            assert_eq!(
                provider(said, before, &defaults),
                expected,
                "{said:?} {before:?}"
            );
        }
        let told = provider(Some(Provider::Gcs), &before(Provider::S3, None), &defaults);
        assert!(told.unwrap_err().to_string().contains("was S3"));
        let told = provider(None, &nothing, &Defaults::default());
        assert_eq!(told, Err(Unwanted::NoProvider));
    }

    #[test]
    fn a_server_and_its_keys_follow_from_what_is_said() {
        let at = |endpoint: &str, by| Before {
            endpoint: Some(endpoint.to_owned()),
            endpoint_by: by,
            ..Before::default()
        };
        let nothing = Before::default();
        let minio = at("http://old:9000", Some(ChosenBy::Operator));
        let vendor = at(VENDOR, None);
        let plain = json!({"name": "logs"});
        let keyed = json!({"name": "logs", "credentials": {"secretRef": {"name": "own"}}});
        let named = json!({"name": "logs", "endpoint": "http://mine:1/"});
        let by_operator = Some(ChosenBy::Operator);
        for (spec, provider, before, settings, expected) in [
            (
                &plain,
                Provider::S3,
                &nothing,
                (false, false),
                Ok((VENDOR, None, None)),
            ),
            (
                &plain,
                Provider::S3,
                &nothing,
                (true, true),
                Ok((MINIO, Some("keys"), by_operator)),
            ),
            (
                &keyed,
                Provider::S3,
                &nothing,
                (true, true),
                Ok((MINIO, Some("own"), None)),
            ),
            (
                &keyed,
                Provider::S3,
                &nothing,
                (true, false),
                Ok((MINIO, Some("own"), None)),
            ),
            (
                &plain,
                Provider::S3,
                &nothing,
                (true, false),
                Err(Unwanted::NoKeys),
            ),
            // A Secret alone is for the provider's own server.
            (
                &plain,
                Provider::S3,
                &nothing,
                (false, true),
                Ok((VENDOR, Some("keys"), by_operator)),
            ),
            // One that somebody names does not get to see it.
            (
                &named,
                Provider::S3,
                &nothing,
                (true, true),
                Ok(("http://mine:1", None, None)),
            ),
            // Other languages are not spoken there.
            (
                &plain,
                Provider::Gcs,
                &nothing,
                (true, true),
                Ok((VENDOR, None, None)),
            ),
            // What was at the provider's stays, and what was at the operator's follows it.
            (
                &plain,
                Provider::S3,
                &vendor,
                (true, true),
                Ok((VENDOR, None, None)),
            ),
            (
                &plain,
                Provider::S3,
                &minio,
                (true, true),
                Ok((MINIO, Some("keys"), by_operator)),
            ),
            (
                &plain,
                Provider::S3,
                &minio,
                (false, true),
                Err(Unwanted::NoEndpoint),
            ),
            (
                &named,
                Provider::S3,
                &minio,
                (false, true),
                Ok(("http://mine:1", None, None)),
            ),
        ] {
            let told = format!("{spec} {provider:?} {before:?} {settings:?}");
            let settings = super::tests::settings(settings.0, settings.1);
            let defaults = Defaults::of(&settings, &Evidence::default());
            let spec: ObjectStoreSpec = serde_json::from_value(spec.clone()).unwrap();
            let choice = choose(&spec, provider, VENDOR.to_owned(), before, &defaults);
            let choice = choice
                .as_ref()
                .map(|it| (it.endpoint.as_str(), it.secret.as_deref(), it.secret_by))
                .map_err(Clone::clone);
            assert_eq!(choice, expected, "{told}");
        }
    }
}
