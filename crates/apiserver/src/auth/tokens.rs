//! Service account tokens: ES256 JWTs that name an account and, usually, the pod they were made
//! for. A token dies with what it is bound to.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};
use windlass_apimachinery::field::quote;

use crate::{server::Server, store::Key, user::User};

/// Who issues the tokens, and whom they are for unless somebody asks otherwise.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What a token is bound to besides its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) kind: BoundKind,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The kinds a token can be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoundKind {
    Pod,
    Secret,
    Node,
}

impl BoundKind {
    fn claim(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Secret => "secret",
            Self::Node => "node",
        }
    }
}

/// What a new token says.
#[derive(Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) account: &'a str,
    pub(crate) account_uid: &'a str,
    pub(crate) audiences: &'a [String],
    pub(crate) bound: Option<&'a Bound>,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

/// A token that is valid.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) user: User,
    pub(crate) audiences: Vec<String>,
}

/// Why a token is not valid, in the words of kube-apiserver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the token is not a JWT of this cluster")]
    Malformed,
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Signature,
    #[error("service account token has expired")]
    Expired,
    #[error("service account token is not valid yet")]
    TooEarly,
    #[error("token audiences {held} is invalid for the target audiences {wanted}")]
    Audience {
        /// Whom the token is for.
        held: String,
        /// Whom it would have to be for.
        wanted: String,
    },
    #[error("service account token has been invalidated")]
    Unbound,
}

/// A list as Go prints one of quoted texts.
fn listed<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(quote).collect();
    format!("[{}]", quoted.join(" "))
}

/// Signs a token.
pub(crate) fn issue(server: &Server, grant: &Grant<'_>) -> Result<String, Refused> {
    let mut kubernetes = json!({
        "namespace": grant.namespace,
        "serviceaccount": {"name": grant.account, "uid": grant.account_uid},
    });
    if let Some(bound) = grant.bound {
        kubernetes[bound.kind.claim()] = json!({"name": bound.name, "uid": bound.uid});
    }
    let claims = json!({
        "aud": grant.audiences,
        "exp": grant.expires.as_second(),
        "iat": grant.issued.as_second(),
        "nbf": grant.issued.as_second(),
        "iss": ISSUER,
        "jti": uuid::Uuid::new_v4().to_string(),
        "kubernetes.io": kubernetes,
        "sub": format!("system:serviceaccount:{}:{}", grant.namespace, grant.account),
    });
    let header = json!({"alg": "ES256", "typ": "JWT"});
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = server
        .pki
        .token_key()
        .sign(server.pki.random(), signed.as_bytes())
        .map_err(|_| Refused::Signature)?;
    Ok(format!(
        "{signed}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref())
    ))
}

/// The public key as a JSON web key set, for those who check tokens themselves.
pub(crate) fn key_set(server: &Server) -> Value {
    // An uncompressed point: a marker byte, then both coordinates.
    let point = server.pki.token_key().public_key().as_ref();
    let (x, y) = point[1..].split_at(point.len() / 2);
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let key = json!({
        "use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "x": encode(x), "y": encode(y),
    });
    json!({"keys": [key]})
}

/// Checks a token: signature, time, audience, and that account and bound object still live. No
/// `audiences` means the API server's own.
pub(crate) fn verify(
    server: &Server,
    token: &str,
    audiences: &[String],
) -> Result<Verified, Refused> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
    let decode = |text: &str| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| Refused::Malformed)
    };
    let parse = |text: &str| -> Result<Value, Refused> {
        serde_json::from_slice(&decode(text)?).map_err(|_| Refused::Malformed)
    };
    if parse(header)?["alg"] != "ES256" {
        return Err(Refused::Malformed);
    }
    let public_key = server.pki.token_key().public_key().as_ref();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key)
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| Refused::Signature)?;

    let claims = parse(claims)?;
    let now = Timestamp::now().as_second();
    if claims["exp"].as_i64().is_none_or(|expires| expires <= now) {
        return Err(Refused::Expired);
    }
    if claims["nbf"].as_i64().is_some_and(|from| from > now) {
        return Err(Refused::TooEarly);
    }
    let own = [ISSUER.to_owned()];
    let wanted = if audiences.is_empty() {
        &own
    } else {
        audiences
    };
    let held: Vec<&str> = claims["aud"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let matched: Vec<String> = held
        .iter()
        .filter(|held| wanted.iter().any(|wanted| wanted == *held))
        .map(|held| (*held).to_owned())
        .collect();
    if matched.is_empty() {
        return Err(Refused::Audience {
            held: listed(held),
            wanted: listed(wanted.iter().map(String::as_str)),
        });
    }
    let mut user = bound_user(server, &claims["kubernetes.io"])?;
    if let Some(id) = claims["jti"].as_str() {
        let id = vec![format!("JTI={id}")];
        user.extra
            .insert("authentication.kubernetes.io/credential-id".to_owned(), id);
    }
    Ok(Verified {
        user,
        audiences: matched,
    })
}

fn bound_user(server: &Server, claim: &Value) -> Result<User, Refused> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&claim["namespace"]);
    let name = text(&claim["serviceaccount"]["name"]);
    let uid = text(&claim["serviceaccount"]["uid"]);
    alive(server, "serviceaccounts", &namespace, &name, &uid)?;
    let mut user = User::service_account(&namespace, &name);
    user.uid = uid;
    let bindings = [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")];
    for (kind, plural) in bindings {
        let Some(bound) = claim.get(kind) else {
            continue;
        };
        let (name, uid) = (text(&bound["name"]), text(&bound["uid"]));
        let namespace = if kind == "node" {
            ""
        } else {
            namespace.as_str()
        };
        alive(server, plural, namespace, &name, &uid)?;
        let extra = |what: &str| format!("authentication.kubernetes.io/{kind}-{what}");
        user.extra.insert(extra("name"), vec![name]);
        user.extra.insert(extra("uid"), vec![uid]);
    }
    Ok(user)
}

fn alive(
    server: &Server,
    plural: &str,
    namespace: &str,
    name: &str,
    uid: &str,
) -> Result<(), Refused> {
    let object = server.store.get(&Key::new("", plural, namespace, name));
    let lives = object.is_some_and(|object| object.facts()["metadata"]["uid"] == uid);
    if lives { Ok(()) } else { Err(Refused::Unbound) }
}
