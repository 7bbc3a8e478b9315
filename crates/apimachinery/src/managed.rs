//! Field ownership: server-side apply, and who owns what after any other write.
//!
//! Ownership is recorded in `metadata.managedFields`, one entry per (manager, operation,
//! apiVersion, subresource), each with a FieldsV1 set. Laws:
//! - An apply makes its manager own exactly what it sent; what it no longer sends and nobody else
//!   owns is removed.
//! - Any other write takes the fields it changes away from everybody else.
//! - Time stamps move only when the object does.

mod entries;
mod path;
mod set;
mod typed;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;

use self::entries::{Identity, Managers, Operation, Owned};
use self::set::Set;
use crate::schema::{Shape, TypeSchema};

const LAST_APPLIED: &str =
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
const LAST_APPLIED_KEY: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Owns what an object had before its first apply, where nobody was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Collects the oldest updaters once there are too many.
const ANCIENT_CHANGES: &str = "ancient-changes";
const MAX_UPDATERS: usize = 10;

/// Metadata that nobody owns: the server writes it, or it is the identity of the object.
const NEVER_OWNED: [&[&str]; 12] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Who writes, through which version and subresource, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The field manager.
    pub manager: String,
    /// The `apiVersion` of the request (`apps/v1`).
    pub api_version: String,
    /// The subresource written through, empty for the object itself.
    pub subresource: String,
    /// The time recorded for a change.
    pub time: Timestamp,
    /// Dotted paths the endpoint resets and this write therefore cannot own: `status` on the main
    /// endpoint of a kind with a status subresource, `spec` and `metadata` parts on `/status`.
    pub reset_fields: Vec<String>,
}

impl Actor {
    /// A writer of the object itself that owns all it writes.
    pub fn new(
        manager: impl Into<String>,
        api_version: impl Into<String>,
        time: Timestamp,
    ) -> Self {
        Self {
            manager: manager.into(),
            api_version: api_version.into(),
            subresource: String::new(),
            time,
            reset_fields: Vec::new(),
        }
    }

    /// The same writer through a subresource.
    #[must_use]
    pub fn through(mut self, subresource: impl Into<String>) -> Self {
        self.subresource = subresource.into();
        self
    }

    /// The same writer at an endpoint that resets these dotted paths.
    #[must_use]
    pub fn resetting<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.reset_fields = paths.into_iter().map(Into::into).collect();
        self
    }
}

/// One field that another manager owns with a different value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The field, as `.spec.replicas`.
    pub field: String,
    /// `conflict with "MANAGER" using apps/v1 at TIME`.
    pub message: String,
}

/// An apply that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields this apply wants to change. Answered with `409 Conflict`, one cause of
    /// reason `FieldManagerConflict` per entry.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration cannot be applied. Answered with `400 BadRequest`.
    #[error("{0}")]
    BadRequest(String),
    /// The configuration does not fit the schema. Answered with `500 InternalError`, as upstream.
    #[error("failed to create typed patch object {0}")]
    Typed(String),
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!(
            "Apply failed with 1 conflict: {}: {}",
            one.message, one.field
        );
    }
    let mut lines: Vec<String> = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.message) {
            lines.push(format!(
                "{}:",
                conflict.message.replacen("conflict", "conflicts", 1)
            ));
            last = Some(&conflict.message);
        }
        lines.push(format!("- {}", conflict.field));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}

/// Server-side apply: what the object becomes when `actor` applies `config`.
///
/// `live` is the stored object, absent when the apply creates it. The result carries updated
/// `managedFields`. An apply that changes neither values nor ownership returns `live` unchanged.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    schema: &TypeSchema,
    actor: &Actor,
    force: bool,
) -> Result<Value, ApplyError> {
    check_config(config, schema, actor)?;
    let mut managers = match live {
        None => Managers::new(),
        Some(live) => entries::decode(live).ok_or_else(|| {
            ApplyError::BadRequest(
                "failed to decode managed fields: reset them by sending metadata.managedFields \
                 as an empty list in an update"
                    .to_owned(),
            )
        })?,
    };
    let mut base = live.cloned().unwrap_or_else(|| serde_json::json!({}));
    entries::clear(&mut base);
    if managers.is_empty() {
        let before = Actor {
            manager: BEFORE_FIRST_APPLY.to_owned(),
            ..actor.clone()
        };
        record_update(
            &typed::zero(schema.root(), &base),
            &base,
            schema,
            &before,
            &mut managers,
        );
    }
    let outcome = apply_to(&base, config, schema, actor, force, managers.clone()).or_else(
        |error| match error {
            ApplyError::Conflicts(conflicts) if actor.manager == "kubectl" => {
                let left = beyond_last_applied(conflicts, &base, schema, actor);
                if left.is_empty() {
                    apply_to(&base, config, schema, actor, true, managers)
                } else {
                    Err(ApplyError::Conflicts(left))
                }
            }
            other => Err(other),
        },
    )?;
    let (mut result, managers) = outcome;
    if actor.manager == "kubectl" && result.pointer(LAST_APPLIED).is_some() {
        record_last_applied(&mut result, config);
    }
    entries::encode(&mut result, &managers);
    Ok(result)
}

/// Any other write: `new` with the ownership that follows from replacing `live` by it.
///
/// `live` is absent on create. `new.metadata.managedFields` may be what the client sent: an empty
/// list resets ownership, an undecodable one is ignored.
pub fn update(live: Option<&Value>, new: &Value, schema: &TypeSchema, actor: &Actor) -> Value {
    let sent = new
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let reset = match sent.map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    };
    let recorded = || live.and_then(entries::decode).unwrap_or_default();
    let mut managers = if !actor.subresource.is_empty() {
        recorded()
    } else if reset {
        Managers::new()
    } else {
        match entries::decode(new) {
            Some(sent) if !sent.is_empty() => sent,
            _ => recorded(),
        }
    };
    let mut result = new.clone();
    entries::clear(&mut result);
    // What was never tracked stays untracked, until somebody applies it.
    if !managers.is_empty() || live.is_none() {
        let mut before = live
            .cloned()
            .unwrap_or_else(|| typed::zero(schema.root(), new));
        entries::clear(&mut before);
        record_update(&before, &result, schema, actor, &mut managers);
        cap_updaters(&mut managers);
    }
    entries::encode(&mut result, &managers);
    result
}

/// A write through the scale subresource, which knows of the replicas alone, and of none when
/// there are none: only where somebody is recorded as their owner is the new one recorded, without
/// a time, as upstream.
pub fn update_through_scale(
    live: &Value,
    new: &Value,
    schema: &TypeSchema,
    actor: &Actor,
    replicas: &[String],
) -> Value {
    let path = Set::of_fields(replicas.iter().map(String::as_str));
    let before = entries::decode(live).unwrap_or_default();
    let known = before
        .values()
        .any(|owned| !owned.set.intersection(&path).is_empty());
    let pointer = format!("/{}", replicas.join("/"));
    let wanted = new.pointer(&pointer);
    let mut result = update(Some(live), new, schema, actor);
    if live.pointer(&pointer) == wanted {
        entries::clear(&mut result);
        entries::encode(&mut result, &before);
        return result;
    }
    let mut after = if known && wanted.and_then(Value::as_i64) != Some(0) {
        entries::decode(&result).unwrap_or_default()
    } else {
        before.clone()
    };
    if known && wanted.and_then(Value::as_i64) == Some(0) {
        for owned in after.values_mut() {
            owned.set = owned.set.difference(&path);
        }
        after.retain(|_, owned| !owned.set.is_empty());
    }
    for (identity, owned) in &mut after {
        if identity.subresource == actor.subresource {
            owned.time = None;
        }
    }
    entries::clear(&mut result);
    entries::encode(&mut result, &after);
    result
}

fn check_config(config: &Value, schema: &TypeSchema, actor: &Actor) -> Result<(), ApplyError> {
    let version = config
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if version != actor.api_version {
        return Err(ApplyError::BadRequest(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, \
             expected: {}",
            actor.api_version
        )));
    }
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(ApplyError::BadRequest(
            "metadata.managedFields must be nil".to_owned(),
        ));
    }
    let complaints = typed::complaints(schema.root(), config);
    match complaints.as_slice() {
        [] => Ok(()),
        [one] => Err(ApplyError::Typed(format!("{}: {one}", described(config)))),
        many => Err(ApplyError::Typed(format!(
            "{}: errors:\n  {}",
            described(config),
            many.join("\n  ")
        ))),
    }
}

/// The object that a configuration is about, as kube-apiserver names it.
fn described(config: &Value) -> String {
    let text = |pointer: &str| {
        let found = config.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    };
    let api_version = text("/apiVersion");
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!(
        "({}/{}; {slash}{api_version}, Kind={})",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/kind")
    )
}

/// One attempt at an apply: the merged object without its entries, and the new entries.
fn apply_to(
    base: &Value,
    config: &Value,
    schema: &TypeSchema,
    actor: &Actor,
    force: bool,
    mut managers: Managers,
) -> Result<(Value, Managers), ApplyError> {
    let shape = schema.root();
    let ignored = ignored(actor);
    reconcile(&mut managers, shape);
    let own = Identity::new(
        Operation::Apply,
        &actor.manager,
        &actor.api_version,
        &actor.subresource,
    );
    let last = managers.get(&own).cloned();
    let merged = typed::merge(shape, base, config);
    let set = typed::paths(shape, config).recursive_difference(&ignored);
    managers.insert(
        own.clone(),
        Owned {
            set,
            api_version: actor.api_version.clone(),
            time: last.as_ref().and_then(|last| last.time),
        },
    );
    let (result, compared) = match &last {
        Some(last) if !last.set.is_empty() => prune(shape, merged, &managers, &last.set),
        _ => (merged.clone(), merged),
    };
    let comparison = typed::compare(shape, base, &compared).without(&ignored);
    disown(&mut managers, &comparison, Some(&own), force)?;
    let changed = !path::same(base, &result);
    if let Some(owned) = managers.get_mut(&own) {
        owned.set = owned.set.difference(&never_owned());
        if owned.set.is_empty() {
            managers.remove(&own);
        } else if changed {
            owned.time = Some(actor.time);
        }
    }
    Ok((result, managers))
}

/// Removes what the manager applied last time, does not apply now, and nobody else owns. Returns
/// what is left, and the same with maps that have become empty: those are not taken from whoever
/// owns them.
fn prune(shape: Shape<'_>, merged: Value, managers: &Managers, last: &Set) -> (Value, Value) {
    let named = |set: &Set| set.with_named_fields(shape);
    let left = |removed: &Set| {
        typed::without(shape, &merged, removed).unwrap_or_else(|| serde_json::json!({}))
    };
    let last = named(last);
    let all = named(&typed::paths(shape, &merged));
    // Everything applied last time goes, then comes back what anybody owns, now including the new
    // configuration of this manager.
    let pruned = left(&last);
    let owned = managers
        .values()
        .fold(Set::default(), |all, owned| all.union(&owned.set));
    let kept = named(&typed::paths(shape, &pruned)).union(&named(&owned));
    // A map that somebody else owns stays theirs, however empty it becomes.
    let emptied = |removed: &Set| {
        typed::emptied(shape, &merged, removed).unwrap_or_else(|| serde_json::json!({}))
    };
    let pruned = emptied(&all.difference(&kept));
    // What this manager never applied must not go with what it did.
    let gone = all.difference(&named(&typed::paths(shape, &pruned)));
    let goes = gone.intersection(&last);
    (left(&goes), emptied(&goes))
}

/// Takes changed and removed fields from all managers but `keep`; without `force`, taking a
/// changed one is a conflict.
fn disown(
    managers: &mut Managers,
    comparison: &typed::Comparison,
    keep: Option<&Identity>,
    force: bool,
) -> Result<(), ApplyError> {
    if managers.is_empty() {
        return Ok(());
    }
    let written = comparison.modified.union(&comparison.added);
    if !force {
        let mut others: Vec<(&Identity, &Owned)> = managers
            .iter()
            .filter(|(identity, _)| Some(*identity) != keep)
            .collect();
        others.sort_by_cached_key(|(identity, owned)| identity.in_messages(owned.time));
        let conflicts: Vec<Conflict> = others
            .into_iter()
            .flat_map(|(identity, owned)| {
                owned
                    .set
                    .intersection(&written)
                    .paths()
                    .into_iter()
                    .map(|path| Conflict {
                        field: path.iter().map(ToString::to_string).collect(),
                        message: format!("conflict with {}", identity.describe()),
                    })
            })
            .collect();
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
    }
    for (identity, owned) in managers.iter_mut() {
        if Some(identity) != keep {
            let set = std::mem::take(&mut owned.set);
            owned.set = set.less(&written).less(&comparison.removed);
        }
    }
    managers.retain(|_, owned| !owned.set.is_empty());
    Ok(())
}

fn record_update(
    before: &Value,
    after: &Value,
    schema: &TypeSchema,
    actor: &Actor,
    managers: &mut Managers,
) {
    let shape = schema.root();
    reconcile(managers, shape);
    let own = Identity::new(
        Operation::Update,
        &actor.manager,
        &actor.api_version,
        &actor.subresource,
    );
    let previous = managers.get(&own).cloned();
    let comparison = typed::compare(shape, before, after).without(&ignored(actor));
    if disown(managers, &comparison, None, true).is_err() {
        return;
    }
    let written = comparison
        .modified
        .with(comparison.added)
        .less(&never_owned());
    if written.is_empty() {
        return;
    }
    // The entry keeps what it had, even of fields this very write replaced.
    let set = match previous.as_ref().and_then(|_| managers.get(&own)) {
        Some(kept) => written.with(kept.set.clone()),
        None => written,
    };
    managers.insert(
        own,
        Owned {
            set,
            api_version: actor.api_version.clone(),
            time: Some(actor.time),
        },
    );
}

fn reconcile(managers: &mut Managers, shape: Shape<'_>) {
    for owned in managers.values_mut() {
        owned.set = owned.set.reconciled(shape);
    }
}

fn ignored(actor: &Actor) -> Set {
    actor.reset_fields.iter().fold(Set::default(), |all, path| {
        all.union(&Set::of_fields(path.split('.')))
    })
}

fn never_owned() -> Set {
    NEVER_OWNED.iter().fold(Set::default(), |all, path| {
        all.union(&Set::of_fields(path.iter().copied()))
    })
}

/// Keeps the ten latest updaters; older ones of one version are folded into one.
fn cap_updaters(managers: &mut Managers) {
    let mut updaters: Vec<(i64, Identity)> = managers
        .iter()
        .filter(|(identity, _)| identity.operation == Operation::Update)
        .map(|(identity, owned)| {
            (
                owned.time.map(Timestamp::as_second).unwrap_or_default(),
                identity.clone(),
            )
        })
        .collect();
    updaters.sort();
    let mut excess = updaters.len().saturating_sub(MAX_UPDATERS);
    let mut first_of: Vec<(String, Identity)> = Vec::new();
    for (_, identity) in updaters {
        if excess == 0 {
            break;
        }
        let Some(owned) = managers.get(&identity).cloned() else {
            continue;
        };
        let bucket = Identity::new(Operation::Update, ANCIENT_CHANGES, &owned.api_version, "");
        let Some((_, first)) = first_of
            .iter()
            .find(|(version, _)| *version == owned.api_version)
            .cloned()
        else {
            first_of.push((owned.api_version, identity));
            continue;
        };
        if !managers.contains_key(&bucket)
            && let Some(oldest) = managers.remove(&first)
        {
            managers.insert(bucket.clone(), oldest);
        }
        managers.remove(&identity);
        if let Some(collected) = managers.get_mut(&bucket) {
            collected.set = collected.set.union(&owned.set);
            collected.time = owned.time;
        }
        excess -= 1;
    }
}

/// Conflicts that are no change since kubectl's last client-side apply are its own to resolve.
fn beyond_last_applied(
    conflicts: Vec<Conflict>,
    live: &Value,
    schema: &TypeSchema,
    actor: &Actor,
) -> Vec<Conflict> {
    let shape = schema.root();
    let last = live
        .pointer(LAST_APPLIED)
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .filter(|last| last.get("apiVersion").and_then(Value::as_str) == Some(&*actor.api_version));
    let Some(last) = last else { return conflicts };
    let comparison = typed::compare(shape, &last, live);
    let unchanged = typed::paths(shape, &last)
        .difference(&comparison.modified)
        .difference(&comparison.added)
        .difference(&comparison.removed);
    let allowed: Vec<String> = unchanged
        .paths()
        .iter()
        .map(|path| path.iter().map(ToString::to_string).collect())
        .collect();
    conflicts
        .into_iter()
        .filter(|conflict| !allowed.contains(&conflict.field))
        .collect()
}

/// Keeps kubectl's annotation in step, so that a later client-side apply starts from here.
fn record_last_applied(object: &mut Value, config: &Value) {
    let mut applied = config.clone();
    if let Some(annotations) = applied
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED_KEY);
    }
    if let Some(slot) = object.pointer_mut(LAST_APPLIED) {
        *slot = Value::String(format!("{applied}\n"));
    }
}
