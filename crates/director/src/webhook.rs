//! What the optional webhook says of virtual clusters: whether what is asked for may be, and what it is
//! with all its defaults, as KubeDirector's own webhook stores them.
//!
//! Laws:
//! - the rules are those of [`admission`](windlass_api::director::admission), by which the controller
//!   judges a cluster that is stored: what is let through here is not refused there for its
//!   specification;
//! - a write that leaves the specification alone is let through, and so is one that could not be
//!   judged, with a warning, unless secret texts would be stored as they are;
//! - a patch touches the specification alone, and only where a default is missing or a text is secret.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_api::decode::decode;
use windlass_api::director::admission::{
    self, ConfigSurroundings, RESTORING, Review as Question, SecretText, Surroundings, needs, uses,
};
use windlass_api::director::cluster::{AppCatalog, ClusterSpec};
use windlass_api::director::config::CONFIG_NAME;
use windlass_api::director::{KubeDirectorApp, KubeDirectorCluster, KubeDirectorConfig};
use windlass_engine::api::{ApiClient, ApiError};
use windlass_engine::webhook::{Operation, Outcome, Request, Review, Route, User, Verdict};
use windlass_engine::{Kind, Object};

use crate::around::Reader;
use crate::controller::CLUSTER;
use crate::secret_keys::{KeyError, encrypt, fresh_key};

/// Where objects of virtual clusters are admitted.
pub const ADMIT: &str = "/admit-virtual-clusters";

const ACCESS_REVIEW: Kind = Kind::cluster(
    "authorization.k8s.io",
    "v1",
    "SubjectAccessReview",
    "subjectaccessreviews",
);
/// Who asks, for an object that nobody keeps.
const MANAGER: &str = "windlass-webhook";

/// Answers for an operator in this namespace.
pub fn route(home: &str) -> Route {
    let home: Arc<str> = home.into();
    Route {
        path: ADMIT,
        review: Review::Reading(Arc::new(move |request, api| {
            let home = Arc::clone(&home);
            Box::pin(async move { admit(&request, &api, &home).await })
        })),
    }
}

/// Judges a write of an object of virtual clusters.
pub async fn admit(request: &Request, api: &ApiClient, home: &str) -> Verdict {
    let is_going = request.object["metadata"]["deletionTimestamp"].is_string();
    if is_going || request.operation == Operation::Connect {
        return Verdict::allowed();
    }
    let judged = match request.kind.kind.as_str() {
        "KubeDirectorCluster" => of_cluster(request, api, home).await,
        "KubeDirectorApp" => of_app(request, api, home).await,
        "KubeDirectorConfig" => of_config(request, api, home).await,
        _ => Ok(Verdict::allowed()),
    };
    judged.unwrap_or_else(|error| unjudged(request, &error))
}

/// What is wrong is told later, by the conditions of clusters. A secret cannot be taken back.
fn unjudged(request: &Request, error: &ApiError) -> Verdict {
    if has_texts(&request.object["spec"]) {
        return refused(format!(
            "spec.roles: its secretKeys cannot be encrypted at the moment: {error}; try again"
        ));
    }
    Verdict {
        warnings: vec![format!("it could not be checked: {error}")],
        ..Verdict::allowed()
    }
}

async fn of_cluster(request: &Request, api: &ApiClient, home: &str) -> Result<Verdict, ApiError> {
    let old = KubeDirectorCluster::deserialize(&request.old_object).ok();
    if request.operation == Operation::Delete {
        let refusal = old.and_then(|old| admission::delete_cluster(&old).err());
        return Ok(refusal.map_or_else(Verdict::allowed, refused_by));
    }
    let label = |object: &Value| object["metadata"]["labels"].get(RESTORING).is_some();
    let is_same = request.object["spec"] == request.old_object["spec"]
        && label(&request.object) == label(&request.old_object);
    if is_same && !has_texts(&request.object["spec"]) {
        return Ok(Verdict::allowed());
    }
    let cluster: KubeDirectorCluster = match typed(request) {
        Ok(cluster) => cluster,
        Err(error) => return Ok(refused(error)),
    };
    let around = Reader::webhook(api, home).around(&cluster).await?;
    let mut around = match around {
        Ok(around) => around,
        Err(problems) => return Ok(Verdict::of_problems(problems)),
    };
    let namespace = cluster.metadata.namespace.as_deref().unwrap_or_default();
    let mut allowed = BTreeSet::new();
    for question in needs(&cluster).reviews {
        if may(api, &request.user_info, namespace, &question).await? {
            allowed.insert(question);
        }
    }
    around.reviews = Some(allowed);
    Ok(match judge(old.as_ref(), &cluster, &around, home) {
        Ok(spec) => changed(request, &cluster.spec, &spec),
        Err(problems) => Verdict::of_problems(problems),
    })
}

/// The specification as it is stored, of a cluster that may be. Pure but for the random bytes of what
/// is encrypted.
fn judge(
    old: Option<&KubeDirectorCluster>,
    cluster: &KubeDirectorCluster,
    around: &Surroundings,
    home: &str,
) -> Result<ClusterSpec, Vec<String>> {
    let asked = old.map_or(admission::Request::Create, admission::Request::Update);
    let admitted = admission::admit(asked, cluster, around);
    let defaulted = admitted.map_err(|errors| lines(&errors))?;
    let config = around.config.as_ref();
    let key = config.and_then(|config| config.master_encryption_key.as_ref());
    let sealed = defaulted.seal(|text| {
        encrypt(key, &text.text).map_err(|why| vec![not_encrypted(cluster, text, why, home)])
    });
    sealed.map(|cluster| cluster.spec)
}

fn not_encrypted(
    cluster: &KubeDirectorCluster,
    text: &SecretText,
    why: KeyError,
    home: &str,
) -> String {
    let mut roles = cluster.spec.roles.iter().enumerate();
    let role = roles.find(|(_, role)| role.id == text.role);
    let place = role.and_then(|(index, role)| {
        let mut keys = role.secret_keys.iter();
        Some((index, keys.position(|key| key.name == text.name)?))
    });
    let (role, key) = place.unwrap_or_default();
    format!(
        "spec.roles[{role}].secretKeys[{key}].value: cannot be encrypted: {why}; apply a \
         KubeDirectorConfig {CONFIG_NAME} in the namespace {home}, which gets a key by itself"
    )
}

async fn of_app(request: &Request, api: &ApiClient, home: &str) -> Result<Verdict, ApiError> {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    if request.operation == Operation::Delete {
        let name = request.old_object["metadata"]["name"].as_str();
        let users = users(api, name.unwrap_or_default(), namespace, home).await?;
        let refusal = admission::delete_app(&users).err();
        return Ok(refusal.map_or_else(Verdict::allowed, refused_by));
    }
    let is_same = request.object["spec"] == request.old_object["spec"];
    if is_same {
        return Ok(Verdict::allowed());
    }
    let app: KubeDirectorApp = match typed(request) {
        Ok(app) => app,
        Err(error) => return Ok(refused(error)),
    };
    let old = KubeDirectorApp::deserialize(&request.old_object).ok();
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let users = match request.operation {
        Operation::Update => users(api, name, namespace, home).await?,
        _ => Vec::new(),
    };
    Ok(match admission::admit_app(old.as_ref(), &app, &users) {
        Ok(folded) => changed(request, &app.spec, &folded.spec),
        Err(errors) => refused_by(errors),
    })
}

async fn of_config(request: &Request, api: &ApiClient, home: &str) -> Result<Verdict, ApiError> {
    if request.operation == Operation::Delete {
        let counts = request.old_object["metadata"]["name"] == CONFIG_NAME
            && request.namespace.as_deref() == Some(home);
        let clusters = if counts {
            clusters(api, None, |_| true).await?
        } else {
            Vec::new()
        };
        let refusal = admission::delete_config(&clusters).err();
        return Ok(refusal.map_or_else(Verdict::allowed, refused_by));
    }
    if request.object["spec"] == request.old_object["spec"] {
        return Ok(Verdict::allowed());
    }
    let config: KubeDirectorConfig = match typed(request) {
        Ok(config) => config,
        Err(error) => return Ok(refused(error)),
    };
    let old = KubeDirectorConfig::deserialize(&request.old_object).ok();
    let around = ConfigSurroundings {
        operator_namespace: home.to_owned(),
        storage_classes: if config.spec.default_storage_class_name.is_some() {
            let reader = Reader::webhook(api, home);
            reader.storage_classes().await?.names
        } else {
            BTreeSet::new()
        },
        clusters: if old.is_some() {
            clusters(api, None, |_| true).await?
        } else {
            Vec::new()
        },
        fresh_key: match fresh_key() {
            Ok(key) => key,
            Err(error) => return Ok(refused(format!("spec.masterEncryptionKey: {error}"))),
        },
    };
    Ok(
        match admission::admit_config(old.as_ref(), &config, &around) {
            Ok(defaulted) => changed(request, &config.spec, &defaulted.spec),
            Err(errors) => refused_by(errors),
        },
    )
}

/// The clusters that use an application.
async fn users(
    api: &ApiClient,
    app: &str,
    namespace: &str,
    home: &str,
) -> Result<Vec<String>, ApiError> {
    let place = (namespace != home).then_some(namespace);
    clusters(api, place, |it| uses(it, app, namespace, home)).await
}

/// The clusters that are meant, by namespace and name. What else they say need not be readable.
async fn clusters(
    api: &ApiClient,
    namespace: Option<&str>,
    meant: impl Fn(&KubeDirectorCluster) -> bool,
) -> Result<Vec<String>, ApiError> {
    let found = api.list(&CLUSTER, namespace, None).await?;
    let named = |object: &Object| {
        let spec = object.spec();
        let mut cluster = KubeDirectorCluster::new(object.name(), ClusterSpec::default());
        cluster.metadata.namespace = object.namespace().map(str::to_owned);
        cluster.spec.app = spec["app"].as_str().unwrap_or_default().to_owned();
        cluster.spec.app_catalog = AppCatalog::deserialize(&spec["appCatalog"]).ok();
        meant(&cluster).then(|| object.key().to_string())
    };
    Ok(found.iter().filter_map(named).collect())
}

/// Whether the API lets a user do something with an object of the core group.
async fn may(
    api: &ApiClient,
    user: &User,
    namespace: &str,
    question: &Question,
) -> Result<bool, ApiError> {
    let mut review = json!({
        "apiVersion": ACCESS_REVIEW.api_version(),
        "kind": ACCESS_REVIEW.kind,
        "spec": {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups,
            "resourceAttributes": {
                "namespace": namespace,
                "verb": question.verb,
                "resource": question.resource,
                "name": question.name,
            },
        },
    });
    if user.extra.is_object() {
        review["spec"]["extra"] = user.extra.clone();
    }
    let answered = api.create(&ACCESS_REVIEW, &review, MANAGER).await?;
    Ok(answered.status()["allowed"] == true)
}

/// Whether there is a secret text that is not encrypted.
fn has_texts(spec: &Value) -> bool {
    let roles = spec["roles"].as_array().into_iter().flatten();
    let mut keys = roles.flat_map(|role| role["secretKeys"].as_array().into_iter().flatten());
    keys.any(|key| key["value"].as_str().is_some_and(|text| !text.is_empty()))
}

/// The object, strictly read: the API server has not looked at its schema yet. One that is to get a name
/// has some, and the namespace is that of the request.
fn typed<K>(request: &Request) -> Result<K, String>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned,
{
    let given = &request.object["metadata"];
    let mut metadata = json!({});
    for field in ["name", "labels", "annotations", "generation"] {
        if let Some(value) = given.get(field) {
            metadata[field] = value.clone();
        }
    }
    let prefix = given["generateName"].as_str();
    if let Some(prefix) = prefix.filter(|_| given["name"].as_str().is_none_or(str::is_empty)) {
        metadata["name"] = json!(format!("{prefix}xxxxx"));
    }
    if let Some(namespace) = &request.namespace {
        metadata["namespace"] = json!(namespace);
    }
    let object = json!({
        "apiVersion": request.object["apiVersion"],
        "kind": request.object["kind"],
        "metadata": metadata,
        "spec": request.object["spec"],
    });
    decode(&object).map_err(|error| error.to_string())
}

/// The object with what was made of its specification, if something was.
fn changed<S: PartialEq + Serialize>(request: &Request, asked: &S, made: &S) -> Verdict {
    if asked == made {
        return Verdict::allowed();
    }
    let mut object = request.object.clone();
    match serde_json::to_value(made) {
        Ok(spec) => object["spec"] = spec,
        Err(error) => return refused(error.to_string()),
    }
    Verdict {
        outcome: Outcome::Changed(object),
        ..Verdict::default()
    }
}

fn refused(problem: String) -> Verdict {
    Verdict::of_problems(vec![problem])
}

fn refused_by<E: Display>(errors: Vec<E>) -> Verdict {
    Verdict::of_problems(lines(&errors))
}

fn lines<E: Display>(errors: &[E]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
