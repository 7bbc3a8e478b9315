//! What becomes of an ObjectStore. Pure and total.
//!
//! Laws:
//! - the name of a bucket is in the status, as one that is being made, before it is made: so a bucket without
//!   a mark is ours only where the status said so first and the store marks buckets after it has made them;
//! - what is marked for somebody else, or was there before, is never made ours, changed or deleted;
//! - what the status knows of a bucket without a mark is known of the server that it was made at, and of no
//!   other one;
//! - the finalizer is there before the bucket is, and goes when the policy of deletion is carried out. Where
//!   the bucket is to stay, nothing holds it up: a store that does not answer leaves only a mark behind;
//! - what a store has said counts for the question it was asked, so other credentials are tried at once,
//!   and the same ones after a while;
//! - when the bucket stands as it should, nothing is written.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;
use windlass_api::storage::object_store::{
    DeletionPolicy, ObjectStoreStatus, Ownership, Phase, Provider,
};
use windlass_engine::plan::{Basis, Effect, EventNote, Plan};

use super::observed::{Answer, Life, Observed, Secret, Spec, Work};
use super::steps::{Contents, Known, Mark, Sight, Step, StoreError};
use super::wanted::{IDENTITY, Origin, Unwanted, Wanted};

/// What holds an ObjectStore until its bucket is dealt with.
pub const FINALIZER: &str = "windlass.dev/bucket";

/// The condition that tools wait for.
pub const READY: &str = "Ready";

/// How often a bucket that stands as it should is looked at again.
const RESYNC: SignedDuration = SignedDuration::from_mins(10);
/// How often one is looked at that somebody has to do something about.
const STUCK: SignedDuration = SignedDuration::from_mins(1);
/// How soon after a step its effect is looked for again where it was not to be seen.
const SOON: SignedDuration = SignedDuration::from_secs(2);
/// The longest time until a store that gives trouble is asked again; it is asked for the first time after 2 s.
const LONGEST: i64 = 60;
/// A step that nobody has heard of for so long is looked after.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// Decides. Pure and total.
pub fn plan(
    spec: &Spec,
    before: &ObjectStoreStatus,
    observed: &Observed,
    now: Timestamp,
) -> Plan<ObjectStoreStatus> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut draft = Draft {
        spec,
        before,
        observed,
        now,
        status: ObjectStoreStatus {
            observed_generation: Some(spec.generation),
            ..before.clone()
        },
        effects: Vec::new(),
        events: Vec::new(),
        wake_at: None,
        basis: Basis::Cached,
    };
    match spec.life {
        Life::Kept => draft.keep(),
        Life::Deleting => draft.let_go(),
    }
    Plan {
        status: draft.status,
        effects: draft.effects,
        events: draft.events,
        wake_at: draft.wake_at,
        basis: draft.basis,
    }
}

struct Draft<'a> {
    spec: &'a Spec,
    before: &'a ObjectStoreStatus,
    observed: &'a Observed,
    now: Timestamp,
    status: ObjectStoreStatus,
    effects: Vec<Effect>,
    events: Vec<EventNote>,
    wake_at: Option<Timestamp>,
    basis: Basis,
}

impl<'a> Draft<'a> {
    fn keep(&mut self) {
        let wanted = match &self.spec.wanted {
            Ok(wanted) => wanted,
            Err(error) => {
                let reason = match error {
                    Unwanted::NoProvider => "ProviderUnknown",
                    Unwanted::NoEndpoint => "EndpointUnknown",
                    Unwanted::NoKeys | Unwanted::Invalid(_) => "InvalidSpec",
                };
                let phase = self.unless_intended(Phase::Failed);
                self.say(phase, reason, &error.to_string());
                // A cloud may be recognised, and a field corrected: both are told.
                self.wake(PATIENCE);
                return;
            }
        };
        if self.has_finalizer() != (wanted.origin == Origin::Made) {
            self.set_finalizer(wanted.origin == Origin::Made);
            let text = "the bucket has not been asked for yet";
            if self.status.conditions.is_empty() || self.observed.refusal.is_some() {
                self.say(Phase::Pending, "Pending", text);
            }
            self.wake(PATIENCE);
            return;
        }
        if let Secret::Missing(name) = &self.observed.secret {
            let by = match wanted.secret_by {
                None => "spec.credentials names",
                Some(_) => "this operator reads for ObjectStores that name none",
            };
            let text = format!("there is no Secret {name} in this namespace, which {by}");
            let phase = self.unless_intended(Phase::Failed);
            self.say(phase, "CredentialsMissing", &text);
            self.wake(PATIENCE);
            return;
        }
        if !self.is_where_it_was(wanted) {
            self.status.ownership = None;
            self.status.url = None;
            let text = format!("{} has not been asked yet", wanted.endpoint);
            self.say(Phase::Pending, "Pending", &text);
        }
        self.status.provider = Some(wanted.provider);
        self.status.provider_by = wanted.provider_by;
        self.status.endpoint = Some(wanted.endpoint.clone());
        self.status.endpoint_by = wanted.endpoint_by();
        self.status.secret.clone_from(&wanted.secret);
        self.status.location.clone_from(&wanted.location);
        let Some(answer) = self.answer(wanted) else {
            if self.status.conditions.is_empty() {
                self.say(
                    Phase::Pending,
                    "Pending",
                    "the store has not been asked yet",
                );
            }
            self.ask(Step::Look);
            return;
        };
        match (&answer.result, wanted.origin) {
            (Err(error), _) => self.trouble(answer, error),
            (Ok(Sight::OutOfReach(words)), _) => {
                let text = format!(
                    "there is a bucket {}, and these credentials do not reach it: it is another account's, \
                     or they lack the right; the store says: {words}",
                    wanted.bucket
                );
                self.refuse("BucketOutOfReach", &text);
            }
            (Ok(Sight::Absent), Origin::Existing) => {
                let text = format!(
                    "there is no bucket {}, and spec.existing says that there is",
                    wanted.bucket
                );
                self.refuse("BucketMissing", &text);
            }
            (Ok(_), Origin::Existing) => self.ready(wanted, answer, Ownership::Existing),
            // It was made, and cannot be seen yet.
            (Ok(Sight::Absent), Origin::Made) if answer.step == Step::Create => {
                self.look_again(answer, SOON);
            }
            (Ok(Sight::Absent), Origin::Made) => self.create(wanted),
            (Ok(Sight::Present(mark) | Sight::NotEmpty(mark)), Origin::Made) => {
                self.found(wanted, answer, mark);
            }
        }
    }

    /// A bucket of the name is there, and was to be made.
    fn found(&mut self, wanted: &Wanted, answer: &Answer, mark: &Mark) {
        let is_ours = self.is_intended() && !marks_at_once(wanted.provider);
        let is_recorded = self.is_recorded(wanted);
        match mark {
            Mark::Own => self.ready(wanted, answer, Ownership::Marked),
            Mark::None | Mark::Released | Mark::Impossible if is_recorded => {
                self.ready(wanted, answer, Ownership::Recorded);
            }
            // These credentials may not mark it.
            Mark::Released if answer.step == Step::Mark => {
                self.ready(wanted, answer, Ownership::Recorded);
            }
            Mark::Released => self.ask(Step::Mark),
            Mark::None if is_ours && answer.step != Step::Mark => self.ask(Step::Mark),
            Mark::None | Mark::Impossible if is_ours => {
                self.ready(wanted, answer, Ownership::Recorded);
            }
            Mark::Other(whose) => {
                let text = format!("the bucket {} is that of {whose}", wanted.bucket);
                self.refuse("BucketNotOurs", &text);
            }
            Mark::None | Mark::Impossible => {
                let text = format!(
                    "there is a bucket {} already that was not made for this ObjectStore; set spec.existing \
                     to use it as it is, or choose another name",
                    wanted.bucket
                );
                self.refuse("BucketNotOurs", &text);
            }
        }
    }

    fn create(&mut self, wanted: &Wanted) {
        if self.before.phase == Phase::Ready {
            let text = format!("the bucket {} is gone, and is made again", wanted.bucket);
            self.events
                .push(EventNote::warning("BucketLost", "Create", text));
        }
        self.status.ownership = None;
        self.status.bucket = Some(wanted.bucket.clone());
        let text = format!("the bucket {} is being made", wanted.bucket);
        self.say(Phase::Creating, "Creating", &text);
        self.ask(Step::Create);
    }

    fn ready(&mut self, wanted: &Wanted, answer: &Answer, ownership: Ownership) {
        if self.before.phase != Phase::Ready {
            let (reason, verb) = match (ownership, self.is_intended(), self.before.ownership) {
                (_, _, Some(_)) => ("BucketReady", "is to be had again"),
                (Ownership::Existing, ..) => ("BucketFound", "is used as it is"),
                (_, true, _) => ("BucketCreated", "was made"),
                (_, false, _) => ("BucketAdopted", "is this ObjectStore's already"),
            };
            let text = format!("the bucket {} {verb}: {}", wanted.bucket, wanted.url());
            let text = with_choices(&text, wanted);
            self.events.push(EventNote::normal(reason, "Create", text));
        }
        self.status.bucket = Some(wanted.bucket.clone());
        self.status.url = Some(wanted.url());
        self.status.ownership = Some(ownership);
        self.status.credential_keys.clone_from(&answer.keys);
        let text = match ownership {
            Ownership::Marked => "the bucket is there, and marked as this ObjectStore's",
            Ownership::Recorded => {
                "the bucket is there; the store keeps no marks for these credentials, so that only this \
                 status knows that it is this ObjectStore's"
            }
            Ownership::Existing => "the bucket is there, and is used as it is",
        };
        self.say(Phase::Ready, "BucketReady", &with_choices(text, wanted));
        self.look_again(answer, RESYNC);
    }

    /// Somebody has to do something about a bucket that is not ours to touch.
    fn refuse(&mut self, reason: &str, text: &str) {
        self.status.ownership = None;
        self.status.url = None;
        self.status.bucket = None;
        self.warn(Phase::Failed, reason, text);
        if let Some(answer) = &self.observed.answer {
            self.look_again(answer, STUCK);
        }
    }

    fn trouble(&mut self, answer: &Answer, error: &StoreError) {
        // The store has said no to making it, so nothing was made.
        let phase = if answer.step == Step::Create && error.trouble.is_final() {
            self.status.bucket = None;
            Phase::Failed
        } else {
            self.unless_intended(Phase::Failed)
        };
        self.warn(phase, error.trouble.reason(), &error.words);
        self.look_again(answer, back_off(answer.failures));
    }

    fn let_go(&mut self) {
        if !self.has_finalizer() {
            return;
        }
        let stays = self.spec.policy == DeletionPolicy::Retain;
        let wanted = match &self.spec.wanted {
            Ok(wanted) if wanted.origin == Origin::Made => wanted,
            // Without a provider nothing was ever asked for.
            Ok(_) | Err(Unwanted::NoProvider) => return self.release_object(None),
            Err(_) if stays => return self.release_object(None),
            Err(error) => {
                let text = format!(
                    "{error}; the bucket cannot be dealt with until that is corrected; remove the finalizer \
                     {FINALIZER} to leave it as it is"
                );
                self.say(Phase::Deleting, "InvalidSpec", &text);
                self.wake(PATIENCE);
                return;
            }
        };
        if let Secret::Missing(name) = &self.observed.secret {
            if stays {
                return self.release_object(Some(wanted));
            }
            let text = format!(
                "there is no Secret {name}, with which the bucket {} would be deleted; make it again, or set \
                 spec.deletionPolicy to Retain to leave the bucket",
                wanted.bucket
            );
            self.say(Phase::Deleting, "CredentialsMissing", &text);
            self.wake(PATIENCE);
            return;
        }
        let Some(answer) = self.answer(wanted) else {
            let text = format!("the bucket {} is being dealt with", wanted.bucket);
            if self.status.phase != Phase::Deleting {
                self.say(self.unless_intended(Phase::Deleting), "Deleting", &text);
            }
            self.ask(Step::Look);
            return;
        };
        match &answer.result {
            Err(_) if stays => self.release_object(Some(wanted)),
            Err(error) => {
                let text = format!(
                    "{}; set spec.deletionPolicy to Retain to leave the bucket {} as it is",
                    error.words, wanted.bucket
                );
                let phase = self.unless_intended(Phase::Deleting);
                self.warn(phase, error.trouble.reason(), &text);
                self.look_again(answer, back_off(answer.failures));
            }
            Ok(Sight::Absent) => self.release_object(None),
            Ok(Sight::OutOfReach(_)) => self.release_object(Some(wanted)),
            // It was deleted, and can still be seen.
            Ok(Sight::Present(_)) if matches!(answer.step, Step::Delete(..)) => {
                self.look_again(answer, SOON);
            }
            Ok(Sight::Present(mark)) => match self.deletable(wanted, mark) {
                Some(Known::ByMark) if stays && answer.step != Step::Release => {
                    self.ask(Step::Release);
                }
                Some(known) if !stays => {
                    let text = format!("the bucket {} is being deleted", wanted.bucket);
                    self.say(self.unless_intended(Phase::Deleting), "Deleting", &text);
                    self.ask(Step::Delete(known, contents(wanted.policy)));
                }
                _ => self.release_object(Some(wanted)),
            },
            Ok(Sight::NotEmpty(mark)) => match (self.deletable(wanted, mark), wanted.policy) {
                (Some(known), DeletionPolicy::DeleteWithContents) => {
                    let text = format!("the bucket {} is being emptied", wanted.bucket);
                    self.say(self.unless_intended(Phase::Deleting), "Emptying", &text);
                    if answer.step == Step::Delete(known, Contents::Remove) {
                        self.look_again(answer, SOON);
                    } else {
                        self.ask(Step::Delete(known, Contents::Remove));
                    }
                }
                (Some(_), DeletionPolicy::Delete) => {
                    let text = format!(
                        "the bucket {} has something in it; empty it, set spec.deletionPolicy to \
                         DeleteWithContents to delete it with all that is in it, or to Retain to leave it",
                        wanted.bucket
                    );
                    let phase = self.unless_intended(Phase::Deleting);
                    self.warn(phase, "BucketNotEmpty", &text);
                    self.look_again(answer, STUCK);
                }
                (_, _) => self.ask(Step::Look),
            },
        }
    }

    /// How it is known that a bucket is ours to delete; `None` when it is not.
    fn deletable(&self, wanted: &Wanted, mark: &Mark) -> Option<Known> {
        let is_recorded =
            self.is_recorded(wanted) || (self.is_intended() && !marks_at_once(wanted.provider));
        match mark {
            Mark::Own => Some(Known::ByMark),
            Mark::None | Mark::Impossible if is_recorded => Some(Known::ByRecord),
            Mark::None | Mark::Impossible | Mark::Released | Mark::Other(_) => None,
        }
    }

    /// Lets the object go; with a bucket that stays, says so.
    fn release_object(&mut self, stays: Option<&Wanted>) {
        if let Some(wanted) = stays {
            let text = format!("the bucket {} stays as it is", wanted.bucket);
            self.events
                .push(EventNote::normal("BucketLeft", "Delete", text));
        }
        self.set_finalizer(false);
        self.basis = Basis::Live;
        self.wake(PATIENCE);
    }

    fn has_finalizer(&self) -> bool {
        self.spec.finalizers.iter().any(|it| it == FINALIZER)
    }

    /// The patch rests on the object as it was seen, since it says what all of the finalizers are.
    fn set_finalizer(&mut self, is_wanted: bool) {
        let others = self.spec.finalizers.iter();
        let mut finalizers: Vec<&str> = others
            .map(String::as_str)
            .filter(|it| *it != FINALIZER)
            .collect();
        let mut metadata = json!({"resourceVersion": self.spec.version});
        if is_wanted {
            finalizers.push(FINALIZER);
            if let Ok(wanted) = &self.spec.wanted {
                metadata["annotations"] = json!({IDENTITY: wanted.owner.identity});
            }
        }
        metadata["finalizers"] = json!(finalizers);
        self.effects.push(Effect::Patch {
            target: self.spec.target.clone(),
            patch: json!({"metadata": metadata}),
        });
    }

    /// What the store said to what would be asked now.
    fn answer(&self, wanted: &Wanted) -> Option<&'a Answer> {
        let question = wanted.question(self.observed.secret.version(), self.spec.life.word());
        let answer = self.observed.answer.as_ref();
        answer.filter(|it| it.question == question)
    }

    /// Asks the store, unless it is being asked.
    fn ask(&mut self, step: Step) {
        if matches!(step, Step::Delete(..) | Step::Release) {
            self.basis = Basis::Live;
        }
        if self.observed.work == Work::Idle {
            self.effects.push(Effect::External {
                key: step.key(self.observed.turn),
            });
        }
        self.wake(PATIENCE);
    }

    /// Asks again when an answer is so old.
    fn look_again(&mut self, answer: &Answer, after: SignedDuration) {
        // In whole seconds, as now is: or the time that was waited for would not have come yet.
        let at = Timestamp::from_second(answer.at.as_second()).unwrap_or(answer.at);
        let due = at.checked_add(after).unwrap_or(at);
        if due <= self.now {
            self.ask(Step::Look);
        } else {
            self.wake_at = Some(due);
        }
    }

    fn wake(&mut self, after: SignedDuration) {
        self.wake_at = self.now.checked_add(after).ok();
    }

    /// Whether the status said that this bucket is being made.
    fn is_intended(&self) -> bool {
        let is_there = |wanted: &Wanted| {
            self.is_where_it_was(wanted) && self.before.bucket.as_ref() == Some(&wanted.bucket)
        };
        self.before.phase == Phase::Creating && self.spec.wanted.as_ref().is_ok_and(is_there)
    }

    /// Whether the status alone knows that the bucket is ours.
    fn is_recorded(&self, wanted: &Wanted) -> bool {
        self.before.ownership == Some(Ownership::Recorded) && self.is_where_it_was(wanted)
    }

    /// Whether what the status says is said of the server that is meant now.
    fn is_where_it_was(&self, wanted: &Wanted) -> bool {
        let endpoint = self.before.endpoint.as_ref();
        endpoint.is_none_or(|it| *it == wanted.endpoint)
    }

    /// A phase, where none is to be kept for what it says about the bucket.
    fn unless_intended(&self, phase: Phase) -> Phase {
        if self.is_intended() {
            Phase::Creating
        } else {
            phase
        }
    }

    fn warn(&mut self, phase: Phase, reason: &str, text: &str) {
        let known = self.before.conditions.iter().find(|it| it.type_ == READY);
        if known.is_none_or(|it| it.reason != reason) {
            self.events
                .push(EventNote::warning(reason, "Operate", text.to_owned()));
        }
        self.say(phase, reason, text);
    }

    fn say(&mut self, phase: Phase, reason: &str, text: &str) {
        self.status.phase = phase;
        let status = if phase == Phase::Ready {
            "True"
        } else {
            "False"
        };
        let known = self
            .before
            .conditions
            .iter()
            .find(|it| it.type_ == READY && it.status == status);
        let message = match &self.observed.refusal {
            Some(refusal) => format!("{text}; the API refused a change: {refusal}"),
            None => text.to_owned(),
        };
        let condition = Condition {
            last_transition_time: known
                .map_or(Time(self.now), |it| it.last_transition_time.clone()),
            message,
            observed_generation: Some(self.spec.generation),
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: READY.to_owned(),
        };
        self.status.conditions.retain(|it| it.type_ != READY);
        self.status.conditions.push(condition);
    }
}

/// Whether the store marks a bucket by the same call that makes it: then one without a mark is not ours.
/// Google does so, too, but not everything that speaks its language.
const fn marks_at_once(provider: Provider) -> bool {
    match provider {
        Provider::S3 | Provider::Gcs => false,
        Provider::Azure => true,
    }
}

const fn contents(policy: DeletionPolicy) -> Contents {
    match policy {
        DeletionPolicy::Retain | DeletionPolicy::Delete => Contents::Keep,
        DeletionPolicy::DeleteWithContents => Contents::Remove,
    }
}

/// What is said of a bucket, with what was chosen for it and why.
fn with_choices(text: &str, wanted: &Wanted) -> String {
    match wanted.choices() {
        Some(choices) => {
            format!("{text}; what the specification does not say was chosen: {choices}")
        }
        None => text.to_owned(),
    }
}

fn back_off(failures: u32) -> SignedDuration {
    let seconds = 1_i64 << failures.clamp(1, 6);
    SignedDuration::from_secs(seconds.min(LONGEST))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
