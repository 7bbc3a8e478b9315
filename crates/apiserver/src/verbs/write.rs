//! The two ways an object is written, whatever the verb: made new, or put in place of a live one.
//!
//! Laws: a write that changes nothing makes no revision; a write that names a revision succeeds
//! on that revision only; a write that does not is computed again on whatever it lost to.

mod form;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_apimachinery::{
    field::{FieldError, FieldErrorKind},
    managed,
};

pub(super) use form::{check_kind, expect_kind, judge_fields};

use super::subresources;
use crate::{
    admission::{
        self, quotas,
        webhooks::{self, Attempt, Operation},
    },
    bootstrap, convert, crd,
    http::{Call, Verb},
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
    /// This is not stored: it would have been, or the object went with its last finalizer.
    NotStored(Value),
}

/// Who owns the fields of a new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The fields that differ go to the writer.
    Follow,
    /// Server-side apply has settled it already.
    Settled,
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
    let complaints = kind.admit(&mut object).map_err(|error| {
        if ownership == Ownership::Settled {
            return ApiError::unknown(error.message());
        }
        error
    })?;
    judge_fields(call, complaints, warnings)?;
    check_namespace(call, &mut object)?;
    warn_of_owners(&mut object, warnings);
    let revision = metadata::text(&object, "resourceVersion").to_owned();
    if ownership == Ownership::Settled && !revision.is_empty() && revision.parse::<u64>().is_err() {
        return Err(not_a_revision(&revision));
    }
    metadata::strip_system_fields(&mut object, rules.generation);
    if rules.subresources.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    kind.default(&mut object);
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

    for _ in 0..GENERATED_NAMES {
        let mut candidate = object.clone();
        if generated {
            candidate["metadata"]["name"] = json!(metadata::generated_name(&prefix));
        }
        // What the kind and the cluster fill in is nobody's: whoever applies the object again
        // without it does not ask for its removal.
        if ownership == Ownership::Follow {
            candidate = managed::update(None, &candidate, &kind.types(), &actor(call));
        }
        kind.prepare_create(&mut candidate);
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
        for warning in kind.warnings(&candidate, None) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let named = Attempt {
            name: &name,
            ..attempt
        };
        webhooks::validate(named, Some(&candidate), warnings).await?;
        admission::validate(call, &candidate, None)?;
        let charge = quotas::charge(call, &candidate, None, dry_run).await?;
        warn_of_finalizers(call, &candidate, None, warnings);
        let key = call.resource.key(&call.target.namespace, &name);
        if dry_run {
            if call.server.store.get(&key).is_some() {
                return Err(taken(call, &name));
            }
            return Ok(Written::NotStored(candidate));
        }
        if ownership == Ownership::Follow && is_revision(&revision) {
            return Err(ApiError::unknown(
                "resourceVersion should not be set on objects to be created",
            ));
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
            Err(StoreError::Conflict { .. }) => return Err(taken(call, &name)),
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
        let next =
            change(&live).and_then(|wanted| successor(call, &live, wanted, ownership, &mut noted));
        let (mut next, _admitted) = match next {
            Ok(next) => next,
            Err(error) => {
                warnings.append(&mut noted);
                return Err(error);
            }
        };
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
            keep_identity(&live, &mut mutated);
            let kind = call.kind();
            kind.admit(&mut mutated)?;
            kind.prepare_update(&mut mutated, &live);
            next = mutated;
        }
        if let Err(error) = finish(call, &live, &mut next, &mut noted) {
            warnings.append(&mut noted);
            return Err(error);
        }
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
                Written::NotStored(next)
            });
        }
        let ends = has_ended(call, &next) && !has_ended(call, &live);
        // Whoever removes the last finalizer sees what was removed, at the revision before.
        // Watchers see what was stored last.
        let (write, last) = if goes {
            (Write::Delete(live_object.parse()), Some(next))
        } else {
            (Write::Put(convert::store(&call.resource, next)), None)
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
                return Ok(match last {
                    Some(last) => Written::NotStored(last),
                    None => Written::Stored(object),
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
    note_reset(call, &mut wanted);
    let complaints = kind
        .admit(&mut wanted)
        .map_err(|error| undecodable(call, ownership, &wanted, error))?;
    judge_fields(call, complaints, warnings)
        .map_err(|error| undecodable(call, ownership, &wanted, error))?;
    warn_of_owners(&mut wanted, warnings);
    check_identity(call, live, &mut wanted)?;
    check_revision(
        call,
        live,
        &wanted,
        rules.unconditional_update || ownership == Ownership::Settled,
    )?;
    keep_fixed(call, live, &mut wanted);
    kind.default(&mut wanted);
    if call.target.subresource == "scale" {
        let replicas = subresources::replicas_path(call)?;
        let actor = actor(call);
        wanted = managed::update_through_scale(live, &wanted, &kind.types(), &actor, &replicas);
    } else if ownership == Ownership::Follow {
        wanted = managed::update(Some(live), &wanted, &kind.types(), &actor(call));
    }
    keep_identity(live, &mut wanted);
    kind.prepare_update(&mut wanted, live);
    let admitted = admission::update(call, &mut wanted, live)?;
    Ok((wanted, admitted))
}

/// What the server itself derives from the state that webhooks have left, and the kind's rules.
fn finish(
    call: &Call,
    live: &Value,
    next: &mut Value,
    warnings: &mut Vec<String>,
) -> ApiResult<()> {
    let kind = call.kind();
    if kind.is_definition() {
        crd::refresh_status(next, &call.catalog);
    }
    let rules = call.resource.rules(&call.target.version);
    let status_apart = rules.subresources.status || !call.resource.is_custom();
    // The annotations of a Deployment go to its ReplicaSets.
    let annotations = |object: &Value| {
        let annotations = object["metadata"]["annotations"].as_object();
        annotations.filter(|found| !found.is_empty()).cloned()
    };
    let annotated = call.resource.group == "apps"
        && call.resource.kind == "Deployment"
        && annotations(live) != annotations(next);
    if rules.generation && (annotated || !metadata::same_desire(live, next, status_apart)) {
        let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        next["metadata"]["generation"] = json!(generation);
    }
    let mut errors = if call.target.subresource == "status" {
        kind.validate_status(next, live)
    } else {
        kind.validate_update(next, live)
    };
    if call.target.subresource == "status" && call.resource.is_custom() {
        // There the status is checked by itself, and says so.
        for error in &mut errors {
            if let Some(inner) = error.field.strip_prefix("status.") {
                error.message = error.message.replace(
                    &format!("{} in body", error.field),
                    &format!("{inner} in body"),
                );
            }
        }
    }
    kind.check(&call.target.name, &errors)?;
    if matches!(call.target.subresource.as_str(), "" | "scale") {
        warnings.extend(kind.warnings(next, Some(live)));
    }
    warn_of_finalizers(call, next, Some(live), warnings);
    Ok(())
}

/// A deletion that has begun cannot be taken back. All else of the identity that is not said stays;
/// what is said and differs is complained of.
fn keep_identity(live: &Value, wanted: &mut Value) {
    for field in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let goes = field != "uid" && metadata::is_deleting(live);
        if goes || wanted["metadata"][field].is_null() {
            carry_over(&mut wanted["metadata"], &live["metadata"], field);
        }
    }
}

/// Puts back what nobody may change: some of the metadata, and the part of the object that the
/// request is not about.
fn keep_fixed(call: &Call, live: &Value, wanted: &mut Value) {
    for field in [
        "generation",
        "resourceVersion",
        "selfLink",
        "creationTimestamp",
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
        // Of these, the status may say who owns metadata.
        "status"
            if matches!(
                call.resource.kind.as_str(),
                "Pod" | "Service" | "StatefulSet"
            ) =>
        {
            actor.through("status").resetting(["spec"])
        }
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

/// The object is to be where the path says.
pub(super) fn check_place(call: &Call, wanted: &mut Value) -> ApiResult<()> {
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
    Ok(())
}

fn check_identity(call: &Call, live: &Value, wanted: &mut Value) -> ApiResult<()> {
    check_place(call, wanted)?;
    let name = call.target.name.as_str();
    let (uid, live_uid) = (metadata::text(wanted, "uid"), metadata::text(live, "uid"));
    // A patch has no precondition: there a change of the uid is one that is not allowed.
    if call.verb == Verb::Update && !uid.is_empty() && uid != live_uid {
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
        given if !given.is_empty() && given.parse::<u64>().is_err() => Err(ApiError::unknown(
            format!("strconv.ParseUint: parsing \"{given}\": invalid syntax"),
        )),
        "" | "0" if may_be_unconditional => Ok(()),
        "" | "0" => Err(revision_missing(call)),
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

/// 422 for an update that names no revision.
fn revision_missing(call: &Call) -> ApiError {
    let (group, name) = (&call.resource.group, &call.target.name);
    // Revisions are unsigned numbers in Go, which it writes so for built-in kinds.
    let (kind, zero) = if call.resource.is_custom() {
        (&call.resource.plural, "0")
    } else {
        (&call.resource.kind, "0x0")
    };
    let error = FieldError {
        kind: FieldErrorKind::Invalid,
        field: "metadata.resourceVersion".to_owned(),
        message: format!("Invalid value: {zero}: must be specified for an update"),
    };
    ApiError::invalid(group, kind, name, &[error])
}

/// 409 for a name that somebody has.
fn taken(call: &Call, name: &str) -> ApiError {
    let key = call.resource.key(&call.target.namespace, name);
    let found = call.server.store.get(&key);
    if found.is_some_and(|object| metadata::is_deleting(&object.parse())) {
        return ApiError::still_exists(&call.resource.group, &call.resource.plural, name);
    }
    already_exists(call, name)
}

fn not_a_revision(text: &str) -> ApiError {
    ApiError::unknown(format!(
        "strconv.ParseUint: parsing \"{text}\": invalid syntax"
    ))
}

fn is_revision(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|revision| revision > 0)
}

/// An empty list of field owners resets them, but for custom kinds, whose decoder does not tell it
/// from none.
pub(super) fn note_reset(call: &Call, wanted: &mut Value) {
    let Some(metadata) = wanted.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let empty = metadata
        .get("managedFields")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty);
    if empty && call.resource.is_custom() {
        metadata.remove("managedFields");
    } else if empty {
        metadata.insert("managedFields".to_owned(), json!([{}]));
    }
}

/// What the result of a patch is told that cannot be decoded.
fn undecodable(call: &Call, ownership: Ownership, wanted: &Value, error: ApiError) -> ApiError {
    match (call.verb, ownership) {
        (Verb::Patch, Ownership::Settled) => ApiError::unknown(error.message()),
        (Verb::Patch, Ownership::Follow) => {
            ApiError::patch_makes_no_object(wanted, error.message())
        }
        _ => error,
    }
}

/// Owners that are named twice count once.
fn warn_of_owners(object: &mut Value, warnings: &mut Vec<String>) {
    let repeated = metadata::drop_repeated_owners(object);
    if !repeated.is_empty() {
        warnings.push(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner \
             references in 1.20+, and may reject such requests as early as 1.24; please fix your \
             requests; duplicate UID(s) observed: {}",
            repeated.join(", ")
        ));
    }
}

/// Finalizers had better have a domain.
fn warn_of_finalizers(
    call: &Call,
    object: &Value,
    live: Option<&Value>,
    warnings: &mut Vec<String>,
) {
    if !call.resource.is_custom() {
        return;
    }
    let known = live.map(metadata::finalizers).unwrap_or_default();
    for finalizer in object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/')
            && !known.contains(name)
            && !metadata::PLAIN_FINALIZERS.contains(&name)
        {
            warnings.push(format!(
                "metadata.finalizers: \"{name}\": prefer a domain-qualified finalizer name to avoid \
                 accidental conflicts with other finalizer writers"
            ));
        }
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
