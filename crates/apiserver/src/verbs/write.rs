//! The two ways an object is written, whatever the verb: made new, or put in place of a live one.
//!
//! Laws: a write that changes nothing makes no revision; a write that names a revision succeeds
//! on that revision only; a write that does not is computed again on whatever it lost to.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_apimachinery::{
    field::{FieldError, FieldErrorKind},
    managed,
};

use crate::{
    admission::{
        self, quotas,
        webhooks::{self, Attempt, Operation},
    },
    bootstrap, convert, crd,
    http::Call,
    metadata,
    status::{ApiError, ApiResult},
    store::{Expect, Object, StoreError, Write},
};

/// How often a write without a revision is computed again before the client has to.
const ATTEMPTS: usize = 64;
/// How many generated names are tried.
const GENERATED_NAMES: usize = 8;

/// What became of a write.
pub(super) enum Written {
    /// It is durable, or there was nothing to write.
    Stored(Arc<Object>),
    /// The object went, because its last finalizer did.
    Gone(Arc<Object>),
    /// It would have worked: a dry run.
    Tried(Value),
}

/// Who owns the fields of a new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The fields that differ go to the writer.
    Follow,
    /// Server-side apply has settled it already.
    Settled,
}

/// How a request treats fields that its kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// Turns complaints about fields into warnings or a refusal, as the client wishes.
pub(super) fn judge_fields(
    call: &Call,
    complaints: Vec<String>,
    warnings: &mut Vec<String>,
) -> ApiResult<()> {
    let strictness = match call.query.get("fieldValidation") {
        Some("Ignore") => Strictness::Ignore,
        Some("Strict") => Strictness::Strict,
        _ => Strictness::Warn,
    };
    match strictness {
        _ if complaints.is_empty() => Ok(()),
        Strictness::Ignore => Ok(()),
        Strictness::Warn => {
            warnings.extend(complaints);
            Ok(())
        }
        Strictness::Strict => {
            let why = format!("strict decoding error: {}", complaints.join(", "));
            Err(call.kind().cannot_be_handled(&why))
        }
    }
}

/// Makes sure a body is an object of the kind that the path names.
pub(super) fn check_kind(call: &Call, object: &mut Value) -> ApiResult<()> {
    let expected = call.resource.api_version(&call.target.version);
    expect_kind(object, &expected, &call.resource.kind)
}

/// The same for any kind. What is left out is taken from the path.
pub(super) fn expect_kind(object: &mut Value, api_version: &str, kind: &str) -> ApiResult<()> {
    if !object.is_object() {
        return Err(ApiError::bad_request(
            "the object provided is unrecognized (must be of type Object)",
        ));
    }
    if let Some(wrong @ (Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_))) =
        object.get("metadata")
    {
        let found = match wrong {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            _ => "bool",
        };
        return Err(ApiError::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: json: cannot unmarshal \
             {found} into Go struct field {kind}.metadata of type v1.ObjectMeta",
            api_version.rsplit('/').next().unwrap_or_default()
        )));
    }
    for (field, expected) in [("apiVersion", api_version), ("kind", kind)] {
        let given = object[field].as_str().unwrap_or_default();
        if given.is_empty() {
            object[field] = json!(expected);
        } else if given != expected && field == "apiVersion" {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({given}) does not match the expected API version \
                 ({expected})"
            )));
        } else if given != expected {
            let version = api_version.rsplit('/').next().unwrap_or_default();
            return Err(ApiError::bad_request(format!(
                "{given} in version \"{version}\" cannot be handled as a {kind}: the kinds differ"
            )));
        }
    }
    Ok(())
}

/// Makes a new object out of what the client sent.
pub(super) async fn create(
    call: &Call,
    mut object: Value,
    ownership: Ownership,
    warnings: &mut Vec<String>,
) -> ApiResult<Written> {
    let dry_run = call.query.dry_run();
    let kind = call.kind();
    let rules = call.resource.rules(&call.target.version);
    check_namespace(call, &mut object)?;
    if !metadata::text(&object, "resourceVersion").is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    metadata::strip_system_fields(&mut object);
    if rules.subresources.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    let complaints = kind.admit(&mut object)?;
    judge_fields(call, complaints, warnings)?;
    if rules.stored_only {
        warnings.push(format!(
            "a {} is only stored: nothing in this cluster acts upon it",
            call.resource.kind
        ));
    }
    let prefix = metadata::text(&object, "generateName").to_owned();
    let generated = metadata::text(&object, "name").is_empty() && !prefix.is_empty();
    metadata::stamp_new(&mut object);
    if rules.generation {
        object["metadata"]["generation"] = json!(1);
    }
    kind.prepare_create(&mut object);

    for _ in 0..GENERATED_NAMES {
        let mut candidate = object.clone();
        if generated {
            candidate["metadata"]["name"] = json!(metadata::generated_name(&prefix));
        }
        // What the cluster fills in is nobody's: whoever applies the object again without it does
        // not ask for its removal.
        if ownership == Ownership::Follow {
            candidate = managed::update(None, &candidate, &kind.types(), &actor(call));
        }
        // The reservation lives until the write is done.
        let _admitted = admission::create(call, &mut candidate)?;
        let name = metadata::text(&candidate, "name").to_owned();
        let attempt = Attempt {
            call,
            operation: Operation::Create,
            // A name that is made up is made up after the webhooks.
            name: if generated { "" } else { &name },
            old: None,
            dry_run,
            propagation: None,
        };
        mutate_new(attempt, &mut candidate, generated, warnings).await?;
        if kind.is_definition() {
            crd::refresh_status(&mut candidate, &call.catalog);
        }
        kind.check(&name, &kind.validate_create(&candidate))?;
        let named = Attempt {
            name: &name,
            ..attempt
        };
        webhooks::validate(named, Some(&candidate), warnings).await?;
        admission::validate(call, &candidate, None)?;
        let charge = quotas::charge(call, &candidate, None, dry_run).await?;
        let key = call.resource.key(&call.target.namespace, &name);
        if dry_run {
            if call.server.store.get(&key).is_some() {
                return Err(already_exists(call, &name));
            }
            return Ok(Written::Tried(candidate));
        }
        let stored = convert::store(&call.resource, candidate);
        match call
            .server
            .store
            .commit(key, Expect::Absent, Write::Put(stored))
            .await
        {
            Ok(object) => {
                charge.into_iter().for_each(quotas::Charge::settle);
                after_write(call).await;
                return Ok(Written::Stored(object));
            }
            Err(StoreError::Conflict { .. }) if generated => {}
            Err(StoreError::Conflict { .. }) => return Err(already_exists(call, &name)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(already_exists(call, &prefix))
}

/// Puts a new state in place of a live one. `change` computes it from the live state, and is
/// called again when somebody else was faster.
pub(super) async fn modify(
    call: &Call,
    ownership: Ownership,
    warnings: &mut Vec<String>,
    change: &(dyn Fn(&Value) -> ApiResult<Value> + Sync),
) -> ApiResult<Written> {
    let dry_run = call.query.dry_run();
    let key = call.resource.key(&call.target.namespace, &call.target.name);
    for _ in 0..ATTEMPTS {
        let live_object = call.stored()?;
        let live = convert::read(&call.resource, &call.target.version, &live_object);
        let mut noted = Vec::new();
        let wanted = change(&live)?;
        let (mut next, _admitted) = successor(call, &live, wanted, ownership, &mut noted)?;
        let attempt = Attempt {
            call,
            operation: Operation::Update,
            name: &call.target.name,
            old: Some(&live),
            dry_run,
            propagation: None,
        };
        if let Some(mut mutated) = webhooks::mutate(attempt, Some(&next), &mut noted).await? {
            keep_fixed(call, &live, &mut mutated);
            let kind = call.kind();
            kind.admit(&mut mutated)?;
            kind.prepare_update(&mut mutated, &live);
            next = mutated;
        }
        finish(call, &live, &mut next)?;
        webhooks::validate(attempt, Some(&next), &mut noted).await?;
        admission::validate(call, &next, Some(&live))?;
        let charge = quotas::charge(call, &next, Some(&live), dry_run).await?;
        let goes = metadata::is_deleting(&next)
            && metadata::finalizers(&next).is_empty()
            && next["metadata"]["deletionGracePeriodSeconds"]
                .as_i64()
                .unwrap_or(0)
                == 0
            && next["spec"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty);
        let unchanged = !goes && metadata::same_but_revision(&live, &next);
        if dry_run || unchanged {
            charge.into_iter().for_each(quotas::Charge::settle);
            warnings.append(&mut noted);
            return Ok(if unchanged {
                Written::Stored(live_object)
            } else {
                Written::Tried(next)
            });
        }
        let ends = has_ended(call, &next) && !has_ended(call, &live);
        let stored = convert::store(&call.resource, next);
        let write = if goes {
            Write::Delete(stored)
        } else {
            Write::Put(stored)
        };
        let expect = Expect::Revision(live_object.revision());
        match call.server.store.commit(key.clone(), expect, write).await {
            Ok(object) => {
                charge.into_iter().for_each(quotas::Charge::settle);
                if goes || ends {
                    quotas::note_less(&call.server, &call.target.namespace);
                }
                after_write(call).await;
                warnings.append(&mut noted);
                return Ok(if goes {
                    Written::Gone(object)
                } else {
                    Written::Stored(object)
                });
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(modified(call))
}

/// Whether it is a pod that uses nothing any more.
fn has_ended(call: &Call, object: &Value) -> bool {
    let phase = object["status"]["phase"].as_str();
    call.resource.group.is_empty()
        && call.resource.plural == "pods"
        && matches!(phase, Some("Succeeded" | "Failed"))
}

/// A change the server itself makes on behalf of a client, to parts that clients cannot write:
/// only `change` says what may happen.
pub(super) async fn replace(
    call: &Call,
    change: &(dyn Fn(&Value) -> ApiResult<Value> + Sync),
) -> ApiResult<()> {
    let dry_run = call.query.dry_run();
    let key = call.resource.key(&call.target.namespace, &call.target.name);
    for _ in 0..ATTEMPTS {
        let live = call.stored()?;
        let before = live.parse();
        let next = change(&before)?;
        if dry_run {
            return Ok(());
        }
        let next = managed::update(Some(&before), &next, &call.kind().types(), &actor(call));
        let expect = Expect::Revision(live.revision());
        match call
            .server
            .store
            .commit(key.clone(), expect, Write::Put(next))
            .await
        {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(modified(call))
}

/// The state that follows `live` when a client wants `wanted`: what it may not change is as
/// before, everything else is as the rules of the kind make it.
fn successor(
    call: &Call,
    live: &Value,
    mut wanted: Value,
    ownership: Ownership,
    warnings: &mut Vec<String>,
) -> ApiResult<(Value, admission::Admitted)> {
    let kind = call.kind();
    let rules = call.resource.rules(&call.target.version);
    check_identity(call, live, &mut wanted)?;
    check_revision(
        call,
        live,
        &wanted,
        rules.unconditional_update || ownership == Ownership::Settled,
    )?;
    keep_fixed(call, live, &mut wanted);
    let complaints = kind.admit(&mut wanted)?;
    judge_fields(call, complaints, warnings)?;
    kind.prepare_update(&mut wanted, live);
    let admitted = admission::update(call, &mut wanted, live)?;
    if ownership == Ownership::Follow {
        wanted = managed::update(Some(live), &wanted, &kind.types(), &actor(call));
    }
    Ok((wanted, admitted))
}

/// What the server itself derives from the state that webhooks have left, and the kind's rules.
fn finish(call: &Call, live: &Value, next: &mut Value) -> ApiResult<()> {
    let kind = call.kind();
    if kind.is_definition() {
        crd::refresh_status(next, &call.catalog);
    }
    let rules = call.resource.rules(&call.target.version);
    if rules.generation && !metadata::same_desire(live, next) {
        let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        next["metadata"]["generation"] = json!(generation);
    }
    kind.check(&call.target.name, &kind.validate_update(next, live))
}

/// Puts back what nobody may change: some of the metadata, and the part of the object that the
/// request is not about.
fn keep_fixed(call: &Call, live: &Value, wanted: &mut Value) {
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "selfLink",
    ] {
        carry_over(&mut wanted["metadata"], &live["metadata"], field);
    }
    let rules = call.resource.rules(&call.target.version);
    if call.target.subresource == "status" {
        let mut kept = live.clone();
        carry_over(&mut kept, wanted, "status");
        carry_over(&mut kept["metadata"], &wanted["metadata"], "managedFields");
        *wanted = kept;
    } else if rules.subresources.status {
        carry_over(wanted, live, "status");
    }
}

/// Lets webhooks change a new object.
async fn mutate_new(
    attempt: Attempt<'_>,
    candidate: &mut Value,
    generated: bool,
    warnings: &mut Vec<String>,
) -> ApiResult<()> {
    let call = attempt.call;
    let name = candidate["metadata"]["name"].clone();
    if generated {
        metadata::fields(candidate).remove("name");
    }
    let mutated = webhooks::mutate(attempt, Some(candidate), warnings).await?;
    if let Some(mut mutated) = mutated {
        for field in ["uid", "creationTimestamp", "generation", "namespace"] {
            carry_over(&mut mutated["metadata"], &candidate["metadata"], field);
        }
        if call
            .resource
            .rules(&call.target.version)
            .subresources
            .status
        {
            carry_over(&mut mutated, candidate, "status");
        }
        let kind = call.kind();
        kind.admit(&mut mutated)?;
        kind.prepare_create(&mut mutated);
        *candidate = mutated;
    }
    if generated || !name.is_null() {
        candidate["metadata"]["name"] = name;
    }
    Ok(())
}

/// The writer, as field ownership records it.
pub(super) fn actor(call: &Call) -> managed::Actor {
    let api_version = call.resource.api_version(&call.target.version);
    let actor = managed::Actor::new(call.field_manager(), api_version, Timestamp::now());
    let rules = call.resource.rules(&call.target.version);
    match call.target.subresource.as_str() {
        "status" => actor.through("status").resetting(["spec", "metadata"]),
        "" if rules.subresources.status => actor.resetting(["status"]),
        "" => actor,
        other => actor.through(other),
    }
}

fn check_namespace(call: &Call, object: &mut Value) -> ApiResult<()> {
    let wanted = if call.resource.namespaced {
        call.target.namespace.as_str()
    } else {
        ""
    };
    if call.resource.namespaced && wanted.is_empty() {
        return Err(ApiError::bad_request(
            "an empty namespace may not be set during creation",
        ));
    }
    let metadata = metadata::fields(object);
    match metadata.get("namespace").and_then(Value::as_str) {
        Some(given) if !given.is_empty() && given != wanted => Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        _ if wanted.is_empty() => {
            metadata.remove("namespace");
            Ok(())
        }
        _ => {
            metadata.insert("namespace".to_owned(), json!(wanted));
            Ok(())
        }
    }
}

fn check_identity(call: &Call, live: &Value, wanted: &mut Value) -> ApiResult<()> {
    check_namespace(call, wanted)?;
    let name = call.target.name.as_str();
    let given = metadata::text(wanted, "name");
    if given.is_empty() {
        wanted["metadata"]["name"] = json!(name);
    } else if given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let (uid, live_uid) = (metadata::text(wanted, "uid"), metadata::text(live, "uid"));
    if !uid.is_empty() && uid != live_uid {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {live_uid}"
        );
        return Err(ApiError::conflict(
            &call.resource.group,
            &call.resource.plural,
            name,
            why,
        ));
    }
    Ok(())
}

fn check_revision(
    call: &Call,
    live: &Value,
    wanted: &Value,
    may_be_unconditional: bool,
) -> ApiResult<()> {
    match metadata::text(wanted, "resourceVersion") {
        "" | "0" if may_be_unconditional => Ok(()),
        "" | "0" => {
            // Revisions are unsigned numbers in Go, which it writes so.
            let error = FieldError {
                kind: FieldErrorKind::Invalid,
                field: "metadata.resourceVersion".to_owned(),
                message: "Invalid value: 0x0: must be specified for an update".to_owned(),
            };
            call.kind().check(&call.target.name, &[error])
        }
        given if given == metadata::text(live, "resourceVersion") => Ok(()),
        _ => Err(modified(call)),
    }
}

fn carry_over(to: &mut Value, from: &Value, field: &str) {
    let Some(fields) = to.as_object_mut() else {
        return;
    };
    match from.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// What the server itself derives from stored objects follows them.
pub(super) async fn after_write(call: &Call) {
    match (call.resource.group.as_str(), call.resource.plural.as_str()) {
        (crd::GROUP, "customresourcedefinitions") => {
            call.server.registry.refresh(&call.server.store);
        }
        // Whoever makes a quota finds it in force.
        ("", "resourcequotas") if call.target.subresource.is_empty() => {
            quotas::count(&call.server, &call.target.namespace).await;
        }
        (webhooks::GROUP, _) => call.server.webhooks.refresh(&call.server.store),
        (crate::auth::RBAC_GROUP, "clusterroles") => {
            if let Err(error) = bootstrap::refresh_aggregates(&call.server).await {
                tracing::warn!(%error, "aggregated roles are not up to date");
            }
        }
        _ => {}
    }
}

fn already_exists(call: &Call, name: &str) -> ApiError {
    ApiError::already_exists(&call.resource.group, &call.resource.plural, name)
}

fn modified(call: &Call) -> ApiError {
    ApiError::modified(
        &call.resource.group,
        &call.resource.plural,
        &call.target.name,
    )
}
