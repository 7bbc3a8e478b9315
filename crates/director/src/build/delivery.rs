//! The Secret that is mounted in every member, and that the kubelet refreshes there.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use windlass_api::director::Hidden;

use super::{CONTENT_ANNOTATION, GENERATION_ANNOTATION, hash_text, metadata, stamp};
use crate::agent::{CONFIGCLI, CONFIGCLI_WITHOUT_PYTHON, PROBE, SCRIPT};
use crate::blueprint::Blueprint;
use crate::configmeta::Document;
use crate::names::{Names, SECRET_TYPE_LABEL};

/// The type of the Secret, beside those of the Secrets that users connect clusters to.
pub const DELIVERY_TYPE: &str = "windlass-delivery";

/// What the members of a cluster are given.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The version of what they are told.
    pub generation: u64,
    /// What they are told.
    pub document: Document,
    /// What they have been told once they have read it, as [`Run::memo`](crate::agent::Run::memo).
    pub memo: String,
    /// What tokens are made from.
    pub seed: Seed,
}

/// A random text per cluster, which only the Secret has.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Hidden);

impl Seed {
    /// The key it is under.
    pub const KEY: &str = "seed";

    /// One that was drawn, or read from the Secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Hidden::new(text))
    }

    /// The token of the services of a role: 32 hex digits, as KubeDirector's are.
    pub fn token(&self, role: &str) -> Hidden {
        Hidden::new(self.digest(&format!("token/{role}")))
    }

    /// 32 hex digits that stand for a text, and that nobody without the seed can tell from it.
    pub fn digest(&self, text: &str) -> String {
        let digest = Sha256::digest(format!("{}/{text}", self.0.expose()).as_bytes());
        let (head, _) = digest.split_at(16);
        head.iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(...)")
    }
}

/// The hash of what members are told. Those that leave are not in it: their going tells nobody
/// anything new.
pub fn content_hash<'a>(
    document: &Document,
    staying: impl IntoIterator<Item = &'a str>,
    memo: &str,
    seed: &Seed,
) -> String {
    let mut text = format!("{}\n{memo}\n", document.common());
    for pod in staying {
        text.push_str(document.node(pod).unwrap_or_default());
        text.push('\n');
    }
    // The text has secrets, and the hash is in an annotation.
    let digest = seed.digest(&text);
    hash_text(&digest)
}

/// The Secret itself. `content` is its [`content_hash`].
pub fn delivery_secret(
    blueprint: &Blueprint,
    names: &Names,
    delivery: &Delivery,
    content: &str,
) -> Value {
    let mut data = Map::new();
    let mut put = |key: &str, text: &str| {
        data.insert(key.to_owned(), json!(STANDARD.encode(text)));
    };
    put("agent", SCRIPT);
    put("configcli", CONFIGCLI);
    put("configcli.sh", CONFIGCLI_WITHOUT_PYTHON);
    put("probe", PROBE);
    put("generation", &format!("{}\n", delivery.generation));
    put("memo", &format!("{}\n", delivery.memo));
    put("common", delivery.document.common());
    for (pod, node) in delivery.document.nodes() {
        put(&format!("node.{pod}"), node);
    }
    for role in blueprint
        .roles
        .iter()
        .filter(|role| role.members > 0 && role.wants_token())
    {
        let token = delivery.seed.token(&role.id);
        put(&format!("token.{}", role.id), token.expose());
    }
    put(Seed::KEY, delivery.seed.0.expose());
    let mut metadata = metadata(blueprint, &names.delivery, None);
    // Secrets that matter to clusters have a type, this one too: so the operator need not see others.
    metadata["labels"][SECRET_TYPE_LABEL] = json!(DELIVERY_TYPE);
    metadata["annotations"][GENERATION_ANNOTATION] = json!(delivery.generation.to_string());
    metadata["annotations"][CONTENT_ANNOTATION] = json!(content);
    let mut secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": data,
    });
    stamp(&mut secret);
    secret
}
