//! DELETE: at once, after a grace period, or when the last finalizer is gone.

use std::sync::Arc;

use ::http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_apimachinery::field::FieldError;

use super::{options, write};
use crate::{
    admission::{
        self, quotas,
        webhooks::{self, Attempt, Operation},
    },
    convert,
    http::{self as transport, Body, Call, decode_object},
    metadata, status,
    status::{ApiError, ApiResult},
    store::{Expect, Object, StoreError, Write},
};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// What a pod that does not say otherwise gets.
const DEFAULT_GRACE: i64 = 30;
const ATTEMPTS: usize = 64;

/// How the client wants the object gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
    /// Whether the client said so by the option of old.
    pub(crate) asked_not_to_orphan: bool,
}

/// What happens to the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl Propagation {
    fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// What became of a deletion.
pub(crate) enum Deletion {
    /// The object is gone; this was its last state.
    Gone(Arc<Object>),
    /// It will go: its kubelet or its finalizers have work to do first.
    Pending(Arc<Object>),
    /// It would have gone: a dry run.
    WouldGo(Value),
    /// It would have waited: a dry run.
    WouldWait(Value),
}

impl DeleteOptions {
    /// Reads the options, from the body first and then from the query.
    pub(crate) fn read(call: &Call) -> ApiResult<Self> {
        let body = if call.body.is_empty() {
            Value::Null
        } else {
            decode_object(&call.headers, &call.body)?.value
        };
        let text = |field: &Value| field.as_str().map(str::to_owned);
        let propagation = text(&body["propagationPolicy"])
            .or_else(|| call.query.get("propagationPolicy").map(str::to_owned));
        let orphan = body["orphanDependents"].as_bool().or_else(|| {
            call.query
                .get("orphanDependents")
                .map(|value| value == "true")
        });
        let mut errors = Vec::new();
        if propagation.is_some() && orphan.is_some() {
            errors.push(FieldError::invalid(
                "propagationPolicy",
                &json!(propagation),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        let propagation = match (propagation.as_deref(), orphan) {
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (None, None) => None,
            (Some(other), _) => {
                errors.push(FieldError::not_supported(
                    "propagationPolicy",
                    &json!(other),
                    ["Foreground", "Background", "Orphan", "nil"],
                ));
                None
            }
        };
        let dry_run = match body["dryRun"].as_array().map(Vec::as_slice) {
            None | Some([]) => call.query.get("dryRun"),
            Some(values) => values
                .iter()
                .map(|value| value.as_str().unwrap_or_default())
                .find(|value| *value != "All")
                .or(Some("All")),
        };
        if let Some(other) = dry_run.filter(|text| *text != "All") {
            errors.push(options::not_a_dry_run(other));
        }
        options::refuse("DeleteOptions", &errors)?;
        Ok(Self {
            grace_period_seconds: match body["gracePeriodSeconds"].as_i64() {
                Some(seconds) => Some(seconds),
                None => call.query.number("gracePeriodSeconds")?,
            },
            propagation,
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            dry_run: dry_run.is_some(),
            asked_not_to_orphan: orphan == Some(false),
        })
    }
}

pub(super) async fn delete(call: &Call) -> ApiResult<Response<Body>> {
    let options = DeleteOptions::read(call)?;
    let name = call.target.name.as_str();
    admission::delete(call, name)?;
    let mut warnings = Vec::new();
    let deletion = delete_object(call, name, &options, &mut warnings).await?;
    let returns_deleted = call.resource.rules(&call.target.version).returns_deleted;
    let mut response = match &deletion {
        Deletion::Gone(_) | Deletion::WouldGo(_) if !returns_deleted => {
            let uid = match &deletion {
                Deletion::Gone(object) => metadata::text(object.facts(), "uid"),
                Deletion::WouldGo(value) => metadata::text(value, "uid"),
                Deletion::Pending(_) | Deletion::WouldWait(_) => "",
            };
            let (group, plural) = (&call.resource.group, &call.resource.plural);
            let gone = status::deleted(group, plural, name, uid);
            Ok(transport::json(StatusCode::OK, &gone))
        }
        Deletion::Gone(object) => call.answer(StatusCode::OK, object),
        Deletion::Pending(object) if options.asked_not_to_orphan => {
            call.answer(StatusCode::ACCEPTED, object)
        }
        Deletion::Pending(object) => call.answer(StatusCode::OK, object),
        Deletion::WouldGo(value) | Deletion::WouldWait(value) => {
            call.answer_value(StatusCode::OK, value)
        }
    }?;
    transport::warn(&mut response, &warnings);
    Ok(response)
}

/// Deletes one object of the call's resource and namespace.
pub(crate) async fn delete_object(
    call: &Call,
    name: &str,
    options: &DeleteOptions,
    warnings: &mut Vec<String>,
) -> ApiResult<Deletion> {
    let key = call.resource.key(&call.target.namespace, name);
    for _ in 0..ATTEMPTS {
        let object = call
            .server
            .store
            .get(&key)
            .ok_or_else(|| call.not_found(name))?;
        let live = object.parse();
        check_preconditions(call, name, &live, options)?;
        let mut noted = Vec::new();
        if webhooks::are_configured(call) {
            let seen = convert::read(&call.resource, &call.target.version, &object);
            let attempt = Attempt {
                call,
                operation: Operation::Delete,
                name,
                old: Some(&seen),
                dry_run: options.dry_run,
                propagation: options.propagation.map(Propagation::name),
            };
            webhooks::mutate(attempt, None, &mut noted).await?;
            webhooks::validate(attempt, None, &mut noted).await?;
        }
        let step = Step::decide(call, &live, options);
        if options.dry_run {
            warnings.append(&mut noted);
            return Ok(match step {
                Step::Nothing => Deletion::WouldWait(live),
                Step::Mark(next) => Deletion::WouldWait(next),
                Step::Remove(last) | Step::MarkAndRemove(last) => Deletion::WouldGo(last),
            });
        }
        let write = match step {
            Step::Nothing => {
                warnings.append(&mut noted);
                return Ok(Deletion::Pending(object));
            }
            Step::Mark(next) => Write::Put(next),
            Step::MarkAndRemove(last) => Write::PutAndDelete(last),
            Step::Remove(last) => Write::Delete(last),
        };
        let removes = !matches!(write, Write::Put(_));
        let expect = Expect::Revision(object.revision());
        match call.server.store.commit(key.clone(), expect, write).await {
            Ok(object) => {
                if removes {
                    quotas::note_less(&call.server, &call.target.namespace);
                }
                write::after_write(call).await;
                warnings.append(&mut noted);
                return Ok(if removes {
                    Deletion::Gone(object)
                } else {
                    Deletion::Pending(object)
                });
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::modified(
        &call.resource.group,
        &call.resource.plural,
        name,
    ))
}

fn check_preconditions(
    call: &Call,
    name: &str,
    live: &Value,
    options: &DeleteOptions,
) -> ApiResult<()> {
    let checks = [
        (
            "UID",
            &options.uid,
            metadata::text(live, "uid"),
            "The object might have been deleted and then recreated",
        ),
        (
            "ResourceVersion",
            &options.resource_version,
            metadata::text(live, "resourceVersion"),
            "The object might have been modified",
        ),
    ];
    for (what, wanted, found, guess) in checks {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record \
                 ({found}). {guess}"
            );
            let (group, kind) = (&call.resource.group, &call.resource.kind);
            return Err(ApiError::conflict(group, kind, name, why));
        }
    }
    Ok(())
}

/// What a deletion does to the live object.
#[derive(Debug, PartialEq)]
enum Step {
    /// It is on its way already.
    Nothing,
    /// It is marked, and goes later.
    Mark(Value),
    /// It goes now.
    Remove(Value),
    /// It goes now, and is marked before, so that watchers see it deleted before it is gone.
    MarkAndRemove(Value),
}

impl Step {
    fn decide(call: &Call, live: &Value, options: &DeleteOptions) -> Self {
        let core = call.resource.group.is_empty();
        let grace = match call.resource.plural.as_str() {
            "pods" if core => pod_grace(live, options.grace_period_seconds),
            _ => 0,
        };
        let mut next = live.clone();
        set_finalizers(&mut next, options.propagation);
        if core && call.resource.plural == "namespaces" {
            next["status"]["phase"] = json!("Terminating");
        }
        let holds = !metadata::finalizers(&next).is_empty()
            || (core
                && call.resource.plural == "namespaces"
                && next["spec"]["finalizers"]
                    .as_array()
                    .is_some_and(|list| !list.is_empty()));
        if grace == 0 && !holds {
            let mut last = live.clone();
            if core && call.resource.plural == "pods" && mark(&mut last, live, 0, Timestamp::now())
            {
                count(&mut last, live);
                return Self::MarkAndRemove(last);
            }
            return Self::Remove(last);
        }
        if mark(&mut next, live, grace, Timestamp::now()) || next != *live {
            if call.kind().is_definition() {
                crate::crd::refresh_status(&mut next, &call.catalog);
            }
            count(&mut next, live);
            Self::Mark(next)
        } else {
            Self::Nothing
        }
    }
}

/// A deletion is a change of what is wanted, where that is counted.
fn count(next: &mut Value, live: &Value) {
    if !metadata::is_deleting(live)
        && let Some(generation) = live["metadata"]["generation"].as_i64()
    {
        next["metadata"]["generation"] = json!(generation + 1);
    }
}

/// Writes down when the object goes; a later deletion may only bring that forward. Says whether
/// anything changed.
fn mark(next: &mut Value, live: &Value, grace: i64, now: Timestamp) -> bool {
    let before = live["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if metadata::is_deleting(live) && before.is_none_or(|before| before <= grace) {
        return false;
    }
    // A shortened period counts from the first request, not from now.
    let began = live["metadata"]["deletionTimestamp"]
        .as_str()
        .and_then(|ends| ends.parse::<Timestamp>().ok())
        .and_then(|ends| {
            ends.checked_sub(SignedDuration::from_secs(before.unwrap_or(0)))
                .ok()
        })
        .unwrap_or(now);
    let ends = began
        .checked_add(SignedDuration::from_secs(grace))
        .unwrap_or(now);
    next["metadata"]["deletionTimestamp"] = json!(metadata::time(ends));
    next["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    true
}

/// A pod that nobody runs needs no time to stop.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let unscheduled = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    if unscheduled || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(DEFAULT_GRACE);
    let grace = asked.unwrap_or(own);
    if grace < 0 { 1 } else { grace }
}

/// The garbage collector acts on these finalizers.
fn set_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else {
        return;
    };
    let mut finalizers: Vec<String> = metadata::finalizers(object)
        .into_iter()
        .map(str::to_owned)
        .collect();
    finalizers.retain(|name| name != ORPHAN && name != FOREGROUND);
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
    }
    let metadata = metadata::fields(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), json!(finalizers));
    }
}

/// The last state of an object, in the version of the call.
pub(super) fn last_state(call: &Call, object: &Object) -> Value {
    convert::read(&call.resource, &call.target.version, object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_pod_gets_grace() {
        let pod = |node: &str, phase: &str, grace: Option<i64>| json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": grace}, "status": {"phase": phase}});
        let cases = [
            (pod("", "Pending", Some(60)), None, 0),
            (pod("n", "Running", Some(60)), None, 60),
            (pod("n", "Running", None), None, 30),
            (pod("n", "Running", Some(60)), Some(5), 5),
            (pod("n", "Running", Some(60)), Some(0), 0),
            (pod("n", "Running", Some(60)), Some(-1), 1),
            (pod("n", "Succeeded", Some(60)), None, 0),
        ];
        for (pod, asked, expected) in cases {
            assert_eq!(pod_grace(&pod, asked), expected, "{pod} {asked:?}");
        }
    }

    #[test]
    fn a_second_deletion_may_only_shorten() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let live = json!({"metadata": {}});
        let mut marked = live.clone();
        assert!(mark(&mut marked, &live, 30, now));
        assert_eq!(
            marked["metadata"]["deletionTimestamp"],
            "2026-01-01T00:00:30Z"
        );
        let mut longer = marked.clone();
        assert!(!mark(&mut longer, &marked, 60, now));
        let mut shorter = marked.clone();
        assert!(mark(&mut shorter, &marked, 10, now));
        assert_eq!(
            shorter["metadata"]["deletionTimestamp"],
            "2026-01-01T00:00:10Z"
        );
    }

    #[test]
    fn propagation_is_a_finalizer() {
        let mut object = json!({"metadata": {"finalizers": ["a/b", "orphan"]}});
        set_finalizers(&mut object, Some(Propagation::Foreground));
        assert_eq!(
            object["metadata"]["finalizers"],
            json!(["a/b", "foregroundDeletion"])
        );
        set_finalizers(&mut object, Some(Propagation::Background));
        assert_eq!(object["metadata"]["finalizers"], json!(["a/b"]));
        set_finalizers(&mut object, None);
        assert_eq!(object["metadata"]["finalizers"], json!(["a/b"]));
    }
}
