//! Gathers what a cluster shows of an application, server or virtual cluster that is not well.
//!
//! Laws:
//! - what may not be read is left out and named; only the object itself must be there;
//! - nothing is changed.

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, ResourceQuota, ServiceAccount};
use kube::Api;
use kube::api::{ListParams, LogParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_spark::connect::SERVER_ROLE;
use windlass_spark::diagnosis::{Evidence, Missing, PodEvidence};
use windlass_spark::history::HISTORY_ROLE;

use crate::applications::Place;
use crate::commands::events;
use crate::exit::Failure;
use crate::kinds::Subject;

/// How much of the end of each log is read.
const LOG_LINES: i64 = 2000;
const LOG_BYTES: i64 = 512 * 1024;
/// How many executors' logs are read.
const EXECUTOR_LOGS: usize = 3;

/// What was found, and what could not be looked at.
pub struct Gathered {
    /// What the cluster shows.
    pub evidence: Evidence,
    /// A line for each look that was refused.
    pub unread: Vec<String>,
}

/// Looks at the object and at everything around it.
pub async fn gather(place: &Place, subject: &Subject) -> Result<Gathered, Failure> {
    let object = place.object(subject).await?;
    let mut unread = Vec::new();
    let selector = ListParams::default().labels(&subject.selector());
    let pods = note(&mut unread, "pods", place.pods().list(&selector).await)
        .map(|list| list.items)
        .unwrap_or_default();
    let events = events::about(place, subject, &object).await;
    let events = note(&mut unread, "events", events).unwrap_or_default();
    let quotas: Api<ResourceQuota> = Api::namespaced(place.client.clone(), &place.namespace);
    let quotas = quotas.list(&ListParams::default()).await;
    let quotas = note(&mut unread, "quotas", quotas).map(|list| list.items);

    let mut missing = Vec::new();
    let mut found = |kind: &str, name: &str, object: Option<Value>| {
        if object.is_none() {
            missing.push(Missing {
                kind: kind.to_owned(),
                name: name.to_owned(),
            });
        }
        object
    };
    let mut nodes = Vec::new();
    for node in distinct(
        pods.iter()
            .filter_map(|pod| pod.spec.as_ref()?.node_name.clone()),
    ) {
        let api: Api<Node> = Api::all(place.client.clone());
        if let Some(looked) = note(&mut unread, "nodes", look(&api, &node).await) {
            nodes.extend(found("Node", &node, looked));
        }
    }
    let mut claims = Vec::new();
    for claim in distinct(pods.iter().flat_map(claims_of)) {
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(place.client.clone(), &place.namespace);
        if let Some(looked) = note(&mut unread, "claims", look(&api, &claim).await) {
            claims.extend(found("PersistentVolumeClaim", &claim, looked));
        }
    }
    let account = object.data["spec"]["driver"]["serviceAccount"].as_str();
    if let Some(account) = account {
        let api: Api<ServiceAccount> = Api::namespaced(place.client.clone(), &place.namespace);
        if let Some(looked) = note(&mut unread, "service accounts", look(&api, account).await) {
            found("ServiceAccount", account, looked);
        }
    }

    let evidence = Evidence {
        application: serde_json::to_value(&object).map_err(Failure::internal)?,
        pods: with_logs(place, pods, &mut unread).await,
        events: values(events),
        nodes,
        claims,
        quotas: values(quotas.unwrap_or_default()),
        missing,
    };
    unread.dedup();
    Ok(Gathered { evidence, unread })
}

/// The claims that a pod names.
pub fn claims_of(pod: &Pod) -> impl Iterator<Item = String> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let claim = volume.persistent_volume_claim.as_ref()?;
        Some(claim.claim_name.clone())
    })
}

/// Adds the ends of the logs of drivers and servers, and of a few executors that ended badly.
async fn with_logs(place: &Place, pods: Vec<Pod>, unread: &mut Vec<String>) -> Vec<PodEvidence> {
    let mut executors = 0;
    let mut all = Vec::new();
    for pod in pods {
        let mut evidence = PodEvidence {
            pod: serde_json::to_value(&pod).unwrap_or_default(),
            ..PodEvidence::default()
        };
        let role = &evidence.pod["metadata"]["labels"]["spark-role"];
        let is_driver =
            ["driver", SERVER_ROLE, HISTORY_ROLE].contains(&role.as_str().unwrap_or(""));
        let is_failed = evidence.pod["status"]["phase"] == "Failed";
        if is_driver || (is_failed && executors < EXECUTOR_LOGS) {
            executors += usize::from(!is_driver);
            for container in started(&evidence.pod) {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                let log = tail(place, name, &container).await;
                if let Some(log) = note(unread, "logs", log) {
                    evidence.logs.insert(container, log);
                }
            }
        }
        all.push(evidence);
    }
    all
}

/// The containers of a pod that have, or had, something to say.
fn started(pod: &Value) -> Vec<String> {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let has_started = |status: &&Value| {
        let state = |of: &str, word: &str| status[of][word].is_object();
        state("state", "running")
            || state("state", "terminated")
            || state("lastState", "terminated")
    };
    statuses
        .into_iter()
        .flatten()
        .filter(has_started)
        .filter_map(|status| status["name"].as_str().map(str::to_owned))
        .collect()
}

async fn tail(place: &Place, pod: &str, container: &str) -> Result<String, kube::Error> {
    let params = LogParams {
        container: Some(container.to_owned()),
        tail_lines: Some(LOG_LINES),
        limit_bytes: Some(LOG_BYTES),
        ..LogParams::default()
    };
    place.pods().logs(pod, &params).await
}

async fn look<K>(api: &Api<K>, name: &str) -> Result<Option<Value>, kube::Error>
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let found = api.get_opt(name).await?;
    Ok(found.and_then(|object| serde_json::to_value(object).ok()))
}

/// The answer, or a note that there is none.
fn note<T, E: std::fmt::Display>(
    unread: &mut Vec<String>,
    what: &str,
    answer: Result<T, E>,
) -> Option<T> {
    match answer {
        Ok(found) => Some(found),
        Err(error) => {
            unread.push(format!("{what} could not be looked at: {error}"));
            None
        }
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

fn values<K: Serialize>(objects: Vec<K>) -> Vec<Value> {
    objects
        .into_iter()
        .filter_map(|object| serde_json::to_value(object).ok())
        .collect()
}
