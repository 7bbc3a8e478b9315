//! Eviction: a deletion that respects disruption budgets.
//!
//! [`Ruling::of`] decides on the pod and the budgets that cover it, purely; the rest carries that
//! out. A disruption is spent in the budget's status before the pod is deleted, so two evictions
//! cannot spend the same one; the budget's controller counts from `disruptedPods` until it sees the
//! pod go.

use ::http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_apimachinery::selectors::LabelSelector;

use super::super::{
    delete::{DeleteOptions, delete_object},
    write,
};
use crate::{
    http::{self as transport, Body, Call, decode_object},
    metadata, status,
    status::{ApiError, ApiResult},
    store::{Expect, Key, Object, Scope, StoreError, Write},
};

/// How many evictions may wait for a budget's controller to see them.
const DISRUPTED_MAX: usize = 2000;
/// How often an eviction is decided again when the pod or the budget changes meanwhile.
const ATTEMPTS: usize = 20;
/// When to ask a budget again that its controller has not looked at.
const RETRY_SECONDS: u64 = 10;

pub(super) async fn evict(call: &Call) -> ApiResult<Response<Body>> {
    let mut eviction = decode_object(&call.headers, &call.body)?.value;
    write::expect_kind(&mut eviction, "policy/v1", "Eviction")?;
    let named = metadata::text(&eviction, "name");
    if !named.is_empty() && named != call.target.name {
        return Err(ApiError::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let sent = &eviction["deleteOptions"];
    let text = |field: &Value| field.as_str().map(str::to_owned);
    let options = DeleteOptions {
        grace_period_seconds: sent["gracePeriodSeconds"].as_i64(),
        uid: text(&sent["preconditions"]["uid"]),
        resource_version: text(&sent["preconditions"]["resourceVersion"]),
        dry_run: call.query.dry_run() || !sent["dryRun"].as_array().is_none_or(Vec::is_empty),
        ..DeleteOptions::default()
    };
    for _ in 0..ATTEMPTS {
        if attempt(call, &options).await? == Progress::Done {
            let done = status::success(StatusCode::CREATED);
            return Ok(transport::json(StatusCode::CREATED, &done));
        }
    }
    Err(ApiError::disruption_budget(
        "the pod or its budget changes too often to be evicted",
        Some(RETRY_SECONDS),
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    /// Somebody else was faster, and may have changed what was decided on.
    Again,
}

/// Decides once, and acts.
async fn attempt(call: &Call, options: &DeleteOptions) -> ApiResult<Progress> {
    let pod = call.stored()?;
    let value = pod.parse();
    let budgets = covering(call, &value);
    let states: Vec<&Value> = budgets.iter().map(|(_, budget)| budget.value()).collect();
    let pinned = match Ruling::of(&value, &states, Timestamp::now())? {
        Ruling::Free => false,
        Ruling::FreeAsItIs => true,
        Ruling::Spend(next) => {
            if let (Some((key, budget)), false) = (budgets.first(), options.dry_run) {
                let expect = Expect::Revision(budget.revision());
                let spent = call
                    .server
                    .store
                    .commit(key.clone(), expect, Write::Put(next));
                match spent.await {
                    Ok(_) => {}
                    Err(StoreError::Conflict { .. }) => return Ok(Progress::Again),
                    Err(error) => return Err(error.into()),
                }
            }
            false
        }
    };
    remove(call, &pod, options, pinned).await
}

/// The budgets that cover a pod.
fn covering(call: &Call, pod: &Value) -> Vec<(Key, std::sync::Arc<Object>)> {
    let scope = Scope::new("policy", "poddisruptionbudgets", &call.target.namespace);
    let mut budgets = call.server.store.list(&scope).objects;
    budgets.retain(|(_, budget)| {
        LabelSelector::from_object(budget.value()["spec"].get("selector"))
            .is_ok_and(|selector| selector.matches(pod))
    });
    budgets
}

/// Notes in the pod why it goes, and deletes it; where it is `pinned`, only as it was seen.
async fn remove(
    call: &Call,
    pod: &Object,
    options: &DeleteOptions,
    pinned: bool,
) -> ApiResult<Progress> {
    let mut options = options.clone();
    let own_version = options.resource_version.is_some();
    if pinned && !own_version {
        options.resource_version = Some(pod.revision().to_string());
    }
    let checked = |options: &DeleteOptions, error: ApiError| {
        // A precondition of the client's is for the client to hear of.
        if pinned
            && !own_version
            && options.resource_version.is_some()
            && error.reason() == "Conflict"
        {
            Ok(Progress::Again)
        } else {
            Err(error)
        }
    };
    let live = pod.parse();
    let stale = options
        .resource_version
        .as_ref()
        .is_some_and(|wanted| *wanted != pod.revision().to_string());
    let recreated = options
        .uid
        .as_deref()
        .is_some_and(|wanted| wanted != metadata::text(&live, "uid"));
    // With a precondition that fails, the deletion itself says so.
    if !options.dry_run && !stale && !recreated && !metadata::is_deleting(&live) {
        let key = call.resource.key(&call.target.namespace, &call.target.name);
        let expect = Expect::Revision(pod.revision());
        let marked = Write::Put(with_condition(live));
        match call.server.store.commit(key, expect, marked).await {
            Ok(object) if options.resource_version.is_some() => {
                options.resource_version = Some(object.revision().to_string());
            }
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) => return Ok(Progress::Again),
            Err(error) => return Err(error.into()),
        }
    }
    match delete_object(call, &call.target.name, &options, &mut Vec::new()).await {
        Ok(_) => Ok(Progress::Done),
        Err(error) => checked(&options, error),
    }
}

fn with_condition(mut pod: Value) -> Value {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": metadata::now(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    });
    set_condition(&mut pod, condition);
    pod
}

/// Replaces the condition of the same type; the time of its last change stays if it did not.
fn set_condition(object: &mut Value, mut condition: Value) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = object["status"]["conditions"].as_array_mut() else {
        return;
    };
    match conditions
        .iter_mut()
        .find(|known| known["type"] == condition["type"])
    {
        Some(known) => {
            if known["status"] == condition["status"] {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}

/// Whether a pod may be evicted.
#[derive(Debug, PartialEq)]
enum Ruling {
    /// Nobody minds.
    Free,
    /// Nobody minds as long as the pod is as unwell as it was seen.
    FreeAsItIs,
    /// If this becomes the state of its budget.
    Spend(Value),
}

impl Ruling {
    /// Decides on a pod and the budgets that cover it.
    fn of(pod: &Value, budgets: &[&Value], now: Timestamp) -> ApiResult<Self> {
        match pod["status"]["phase"].as_str() {
            // It is gone already, as far as those who use it are concerned.
            Some("Succeeded" | "Failed") => return Ok(Self::Free),
            _ if metadata::is_deleting(pod) => return Ok(Self::Free),
            Some("Pending") => return Ok(Self::FreeAsItIs),
            _ => {}
        }
        let budget = match budgets {
            [] => return Ok(Self::Free),
            [one] => *one,
            _ => return Err(ApiError::several_budgets()),
        };
        let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
        let (healthy, desired) = (number("currentHealthy"), number("desiredHealthy"));
        if !is_ready(pod) {
            let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            if always || (healthy >= desired && desired > 0) {
                return Ok(Self::FreeAsItIs);
            }
        }
        let name = metadata::text(budget, "name");
        let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
        if number("observedGeneration") < generation {
            let why =
                format!("The disruption budget {name} is still being processed by the server.");
            return Err(ApiError::disruption_budget(&why, Some(RETRY_SECONDS)));
        }
        let forbidden = |why: &str| ApiError::forbidden("policy", "poddisruptionbudget", name, why);
        let allowed = number("disruptionsAllowed");
        if allowed < 0 {
            return Err(forbidden("pdb disruptions allowed is negative"));
        }
        let disrupted = budget["status"]["disruptedPods"].as_object();
        if disrupted.is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
            return Err(forbidden(
                "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            ));
        }
        if allowed == 0 {
            let why = refusal(budget, name, healthy, desired);
            return Err(ApiError::disruption_budget(&why, None));
        }
        let mut next = budget.clone();
        next["status"]["disruptionsAllowed"] = json!(allowed - 1);
        if allowed == 1 {
            let condition = json!({
                "type": "DisruptionAllowed",
                "status": "False",
                "reason": "InsufficientPods",
                "message": "",
                "observedGeneration": number("observedGeneration"),
                "lastTransitionTime": metadata::time(now),
            });
            set_condition(&mut next, condition);
        }
        next["status"]["disruptedPods"][metadata::text(pod, "name")] = json!(metadata::time(now));
        Ok(Self::Spend(next))
    }
}

/// Why a budget allows nothing.
fn refusal(budget: &Value, name: &str, healthy: i64, desired: i64) -> String {
    let conditions = budget["status"]["conditions"].as_array();
    let condition = conditions.into_iter().flatten().find(|condition| {
        condition["type"] == "DisruptionAllowed" && condition["status"] == "False"
    });
    let said = |field: &str| {
        condition
            .and_then(|c| c[field].as_str())
            .unwrap_or_default()
    };
    let (reason, message) = (said("reason"), said("message"));
    if reason == "SyncFailed" && !message.is_empty() {
        return format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed \
             sync: {message}"
        );
    }
    if healthy <= desired {
        return format!(
            "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        );
    }
    if !message.is_empty() {
        return format!(
            "The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
        );
    }
    format!("The disruption budget {name} does not allow evicting pods currently")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, ready: &str) -> Value {
        json!({
            "metadata": {"name": "p"},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn budget(spec: Value, status: Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 2}, "spec": spec, "status": status})
    }

    /// What is decided, in words.
    fn ruling(pod: &Value, budgets: &[&Value]) -> String {
        match Ruling::of(pod, budgets, Timestamp::UNIX_EPOCH) {
            Ok(Ruling::Free) => "free".to_owned(),
            Ok(Ruling::FreeAsItIs) => "free as it is".to_owned(),
            Ok(Ruling::Spend(next)) => {
                format!("spend, {} left", next["status"]["disruptionsAllowed"])
            }
            Err(error) => {
                let status = error.to_value();
                let cause = status["details"]["causes"][0]["message"].as_str();
                format!(
                    "{} {}",
                    error.code().as_u16(),
                    cause.unwrap_or(error.message())
                )
            }
        }
    }

    #[test]
    fn a_pod_is_evicted_as_its_budget_allows() {
        let status = |allowed: i64, healthy: i64, desired: i64| {
            json!({
                "observedGeneration": 2, "disruptionsAllowed": allowed,
                "currentHealthy": healthy, "desiredHealthy": desired,
            })
        };
        let none = json!({});
        let always = json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"});
        let mut failed_sync = status(0, 3, 2);
        failed_sync["conditions"] = json!([{
            "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale",
        }]);
        let mut stale = status(1, 3, 2);
        stale["observedGeneration"] = json!(1);
        let cases = [
            (pod("Running", "True"), vec![], "free"),
            (
                pod("Succeeded", "False"),
                vec![budget(none.clone(), status(0, 1, 1))],
                "free",
            ),
            (
                pod("Pending", "False"),
                vec![budget(none.clone(), status(0, 1, 1))],
                "free as it is",
            ),
            (
                pod("Running", "True"),
                vec![budget(none.clone(), status(2, 3, 1))],
                "spend, 1 left",
            ),
            (
                pod("Running", "True"),
                vec![budget(none.clone(), status(0, 1, 1))],
                "429 The disruption budget b needs 1 healthy pods and has 1 currently",
            ),
            (
                pod("Running", "True"),
                vec![budget(none.clone(), status(0, 3, 1))],
                "429 The disruption budget b does not allow evicting pods currently",
            ),
            (
                pod("Running", "True"),
                vec![budget(none.clone(), failed_sync)],
                "429 The disruption budget b does not allow evicting pods currently because it \
                 failed sync: no scale",
            ),
            (
                pod("Running", "True"),
                vec![budget(none.clone(), stale)],
                "429 The disruption budget b is still being processed by the server.",
            ),
            (
                pod("Running", "True"),
                vec![budget(none.clone(), status(-1, 1, 1))],
                "403 poddisruptionbudget.policy \"b\" is forbidden: pdb disruptions allowed is \
                 negative",
            ),
            (
                pod("Running", "False"),
                vec![budget(always, status(0, 0, 1))],
                "free as it is",
            ),
            (
                pod("Running", "False"),
                vec![budget(none.clone(), status(0, 2, 2))],
                "free as it is",
            ),
            (
                pod("Running", "False"),
                vec![budget(none.clone(), status(0, 1, 2))],
                "429 The disruption budget b needs 2 healthy pods and has 1 currently",
            ),
            (
                pod("Running", "True"),
                vec![
                    budget(none.clone(), status(1, 1, 1)),
                    budget(none, status(1, 1, 1)),
                ],
                "500 This pod has more than one PodDisruptionBudget, which the eviction \
                 subresource does not support.",
            ),
        ];
        for (pod, budgets, expected) in cases {
            let budgets: Vec<&Value> = budgets.iter().collect();
            assert_eq!(ruling(&pod, &budgets), expected, "{pod} {budgets:?}");
        }
    }

    #[test]
    fn the_last_disruption_is_noted_in_the_budget() {
        let status = json!({"observedGeneration": 2, "disruptionsAllowed": 1});
        let budget = budget(json!({}), status);
        let ruling = Ruling::of(&pod("Running", "True"), &[&budget], Timestamp::UNIX_EPOCH);
        let Ok(Ruling::Spend(next)) = ruling else {
            panic!("{ruling:?}");
        };
        assert_eq!(
            next["status"]["disruptedPods"],
            json!({"p": "1970-01-01T00:00:00Z"})
        );
        assert_eq!(
            next["status"]["conditions"][0]["reason"],
            "InsufficientPods"
        );
    }
}
