//! Eviction: a deletion that respects disruption budgets.

use ::http::{Response, StatusCode};
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
    store::{Expect, Scope, Write},
};

const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

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
    let pod = call.stored()?;
    let pod = &pod.parse();
    // A pod that runs nowhere, or no more, disrupts nobody.
    let disrupts = !metadata::is_deleting(pod) && pod["status"]["phase"] == "Running";
    if disrupts {
        spend_budget(call, pod, options.dry_run).await?;
    }
    delete_object(call, &call.target.name, &options, &mut Vec::new()).await?;
    Ok(transport::json(
        StatusCode::CREATED,
        &status::success(StatusCode::CREATED),
    ))
}

/// Takes one disruption from the budget that covers the pod.
async fn spend_budget(call: &Call, pod: &Value, dry_run: bool) -> ApiResult<()> {
    let store = &call.server.store;
    let scope = Scope::new("policy", "poddisruptionbudgets", &call.target.namespace);
    let mut covering = store.list(&scope).objects;
    covering.retain(|(_, budget)| {
        LabelSelector::from_object(budget.value()["spec"].get("selector"))
            .is_ok_and(|selector| selector.matches(pod))
    });
    if covering.len() > 1 {
        return Err(ApiError::internal(
            "this pod has more than one PodDisruptionBudget, which the eviction subresource does \
             not support",
        ));
    }
    let Some((key, budget)) = covering.pop() else {
        return Ok(());
    };
    let value = budget.value();
    let number = |field: &str| value["status"][field].as_i64().unwrap_or(0);
    let allowed = number("disruptionsAllowed");
    if allowed <= 0 {
        let cause = format!(
            "The disruption budget {} needs {} healthy pods and has {} currently",
            metadata::text(value, "name"),
            number("desiredHealthy"),
            number("currentHealthy"),
        );
        return Err(ApiError::disruption_budget(VIOLATION, &cause));
    }
    if dry_run {
        return Ok(());
    }
    let mut next = value.clone();
    next["status"]["disruptionsAllowed"] = json!(allowed - 1);
    next["status"]["disruptedPods"][call.target.name.as_str()] = json!(metadata::now());
    let expect = Expect::Revision(budget.revision());
    store
        .commit(key, expect, Write::Put(next))
        .await
        .map(|_| ())
        .map_err(|_| {
            // Somebody else spent it at the same moment; the client tries again.
            ApiError::disruption_budget(VIOLATION, "the budget was changed at the same time")
        })
}
