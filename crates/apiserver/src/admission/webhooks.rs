//! Admission webhooks: services that may change or refuse what clients write.
//!
//! Laws: mutating webhooks are asked one after another, by the names of their configurations,
//! before an object is validated; validating ones are asked all at once, on what would be stored.
//! A webhook is asked again when a write is computed again. Where there are no configurations,
//! nothing is looked at. Configurations themselves go past all webhooks, so that a broken one can
//! be removed. Not done: asking a webhook again after a later one has changed the object.

mod client;
mod hooks;
mod matching;
mod review;

use std::sync::Arc;

use futures::future::join_all;
use parking_lot::RwLock;
use serde_json::Value;

pub(crate) use review::Operation;

use self::{
    hooks::{Hook, Hooks, OnFailure},
    review::{Request, Verdict},
};
use crate::{
    http::Call,
    status::{ApiError, ApiResult},
    store::Store,
};

/// The group of the configurations.
pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// What asks webhooks of one cluster.
#[derive(Default)]
pub(crate) struct Webhooks {
    hooks: RwLock<Arc<Hooks>>,
}

impl Webhooks {
    /// Reads the stored configurations again.
    pub(crate) fn refresh(&self, store: &Store) {
        let mut hooks = self.hooks.write();
        *hooks = Arc::new(Hooks::read(store));
    }

    fn current(&self) -> Arc<Hooks> {
        Arc::clone(&self.hooks.read())
    }
}

/// A write as webhooks see it.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) call: &'a Call,
    pub(crate) operation: Operation,
    pub(crate) name: &'a str,
    pub(crate) old: Option<&'a Value>,
    pub(crate) dry_run: bool,
    /// What a deletion does to dependents, if it says so.
    pub(crate) propagation: Option<&'static str>,
}

impl Attempt<'_> {
    /// Whether any webhook could have a say.
    fn is_exempt(&self) -> bool {
        // The scale of an object is an object of another kind.
        self.call.resource.group == GROUP || self.call.target.subresource == "scale"
    }
}

/// Whether there are webhooks at all.
pub(crate) fn are_configured(call: &Call) -> bool {
    let hooks = call.server.webhooks.current();
    !hooks.mutating.is_empty() || !hooks.validating.is_empty()
}

/// What mutating webhooks make of an object, if they change it. Of a deletion there is no object.
pub(crate) async fn mutate(
    attempt: Attempt<'_>,
    object: Option<&Value>,
    warnings: &mut Vec<String>,
) -> ApiResult<Option<Value>> {
    let hooks = attempt.call.server.webhooks.current();
    if hooks.mutating.is_empty() || attempt.is_exempt() {
        return Ok(None);
    }
    let mut changed: Option<Value> = None;
    for hook in &hooks.mutating {
        let object = changed.as_ref().or(object);
        let Some(request) = Request::for_hook(&attempt, object, hook)? else {
            continue;
        };
        let Some(verdict) = ask(&attempt, hook, &request, warnings).await? else {
            continue;
        };
        if let Some(next) = verdict.patched(hook, object)? {
            changed = Some(next);
        }
    }
    Ok(changed)
}

/// Asks validating webhooks about what would be stored.
pub(crate) async fn validate(
    attempt: Attempt<'_>,
    object: Option<&Value>,
    warnings: &mut Vec<String>,
) -> ApiResult<()> {
    let hooks = attempt.call.server.webhooks.current();
    if hooks.validating.is_empty() || attempt.is_exempt() {
        return Ok(());
    }
    let mut asked = Vec::new();
    for hook in &hooks.validating {
        if let Some(request) = Request::for_hook(&attempt, object, hook)? {
            asked.push((hook, request));
        }
    }
    let answers = asked.iter().map(|(hook, request)| async {
        let mut warnings = Vec::new();
        let answer = ask(&attempt, hook, request, &mut warnings).await;
        (answer, warnings)
    });
    let mut refusal = None;
    for (answer, mut said) in join_all(answers).await {
        warnings.append(&mut said);
        if let Err(error) = answer {
            refusal = refusal.or(Some(error));
        }
    }
    refusal.map_or(Ok(()), Err)
}

/// Asks one webhook. Nothing comes back from one that failed and may.
async fn ask(
    attempt: &Attempt<'_>,
    hook: &Hook,
    request: &Request,
    warnings: &mut Vec<String>,
) -> ApiResult<Option<Verdict>> {
    let name = crate::admission::quoted(&hook.name);
    if attempt.dry_run && hook.has_side_effects {
        return Err(ApiError::bad_request(format!(
            "admission webhook {name} does not support dry run"
        )));
    }
    let answer = match hook
        .client
        .post(&attempt.call.server.store, request.body(), hook.timeout)
        .await
    {
        Ok(answer) => Verdict::read(&answer, request, hook.mutates)
            .map_err(|why| format!("received invalid webhook response: {why}")),
        Err(why) => Err(format!("failed to call webhook: {why}")),
    };
    match (answer, hook.on_failure) {
        (Ok(verdict), _) => {
            warnings.extend(verdict.warnings.iter().cloned());
            verdict.refusal(&hook.name).map_or(Ok(Some(verdict)), Err)
        }
        (Err(why), OnFailure::Refuse) => {
            let why = format!("failed calling webhook {name}: {why}");
            Err(ApiError::internal(why))
        }
        (Err(why), OnFailure::GoOn) => {
            tracing::warn!(webhook = hook.name, why, "a webhook failed, which it may");
            Ok(None)
        }
    }
}
