//! What is done at a store, and what it says about a bucket, whatever language it speaks.
//!
//! Laws:
//! - every step ends with a look, or with why there is none; so what is known of a bucket is what the store
//!   said last, and a step that was cut off anywhere is made good by the next one;
//! - a step that deletes looks first, and deletes only what is marked for this ObjectStore, or what its
//!   status says was made for it on a store that keeps no marks;
//! - a mark is never put over another one.

use std::future::Future;

use super::wanted::Owner;

/// What a plan may ask of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// See how the bucket stands.
    Look,
    /// Make it, marked.
    Create,
    /// Mark it: it was made for this object, or let go by an earlier one of its name.
    Mark,
    /// Take the uid out of its mark: it stays, and is nobody's.
    Release,
    /// Delete it.
    Delete(Known, Contents),
}

/// How it is known that a bucket may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Known {
    /// By its mark.
    ByMark,
    /// By the status of the ObjectStore, where the bucket has no mark.
    ByRecord,
}

/// What becomes of what is in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contents {
    /// A bucket that has something in it is left alone.
    Keep,
    /// It goes, too.
    Remove,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Look,
        Self::Create,
        Self::Mark,
        Self::Release,
        Self::Delete(Known::ByMark, Contents::Keep),
        Self::Delete(Known::ByMark, Contents::Remove),
        Self::Delete(Known::ByRecord, Contents::Keep),
        Self::Delete(Known::ByRecord, Contents::Remove),
    ];

    /// The step as the key of an external effect; `turn` makes each try one of its own.
    pub fn key(self, turn: u64) -> String {
        format!("{} {turn}", self.word())
    }

    /// Reads a key.
    pub fn of_key(key: &str) -> Option<Self> {
        let (word, _) = key.split_once(' ')?;
        Self::ALL.into_iter().find(|it| it.word() == word)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Create => "create",
            Self::Mark => "mark",
            Self::Release => "release",
            Self::Delete(Known::ByMark, Contents::Keep) => "delete",
            Self::Delete(Known::ByMark, Contents::Remove) => "delete-with-contents",
            Self::Delete(Known::ByRecord, Contents::Keep) => "delete-recorded",
            Self::Delete(Known::ByRecord, Contents::Remove) => "delete-recorded-with-contents",
        }
    }
}

/// What a store says about a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// There is none of this name.
    Absent,
    /// It is there.
    Present(Mark),
    /// It was to be deleted, and has something in it.
    NotEmpty(Mark),
    /// It is there, and these credentials do not reach it: it is another account's, or they lack the right.
    OutOfReach(String),
}

/// What a bucket is marked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// This object.
    Own,
    /// An object of this name that has let it go.
    Released,
    /// Another object, in words.
    Other(String),
    /// Nothing.
    None,
    /// The store keeps no marks, or does not show them.
    Impossible,
}

/// The marks of a bucket, as a store keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// The namespace of the ObjectStore.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its first uid.
    pub identity: Option<String>,
}

impl Tags {
    /// What an owner's buckets are marked with.
    pub fn of(owner: &Owner) -> Self {
        Self {
            namespace: Some(owner.namespace.clone()),
            name: Some(owner.name.clone()),
            identity: Some(owner.identity.clone()),
        }
    }

    /// The same, of a bucket that was let go.
    pub fn released(owner: &Owner) -> Self {
        Self {
            identity: None,
            ..Self::of(owner)
        }
    }

    /// What they mean to an owner.
    pub fn read(&self, owner: &Owner) -> Mark {
        if *self == Self::default() {
            return Mark::None;
        }
        let own = Self::of(owner);
        if (&self.namespace, &self.name) != (&own.namespace, &own.name) {
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            let whose = format!("{}/{}", text(&self.namespace), text(&self.name));
            return Mark::Other(format!("the ObjectStore {whose}"));
        }
        match &self.identity {
            None => Mark::Released,
            Some(identity) if *identity == owner.identity => Mark::Own,
            Some(_) => Mark::Other(
                "an ObjectStore of this name in another cluster, or an earlier one that was not let go"
                    .to_owned(),
            ),
        }
    }
}

/// Why a store has not done what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct StoreError {
    /// What kind of trouble it is.
    pub trouble: Trouble,
    /// What the store said, or what is known instead; never a secret.
    pub words: String,
}

/// What kind of trouble there is with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// There are no credentials, they cannot be read, or the store does not know them.
    Credentials,
    /// The store knows them, and they lack the right.
    Denied,
    /// The store cannot be reached, or does not answer.
    Unreachable,
    /// It has trouble of its own, or too much to do.
    Unavailable,
    /// It refuses what was asked.
    Refused,
}

impl Trouble {
    /// The reason of the condition; tools match on it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Credentials => "CredentialsRefused",
            Self::Denied => "AccessDenied",
            Self::Unreachable => "StoreUnreachable",
            Self::Unavailable => "StoreUnavailable",
            Self::Refused => "RequestRefused",
        }
    }

    /// Whether nothing can have been done: the store has answered, and said no.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Credentials | Self::Denied | Self::Refused)
    }
}

impl StoreError {
    /// An error in words.
    pub fn new(trouble: Trouble, words: impl Into<String>) -> Self {
        Self {
            trouble,
            words: words.into(),
        }
    }
}

/// What a store says when it is asked for a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Absent,
    /// It is there, with these marks; none when the store keeps or shows none.
    Present(Option<Tags>),
    /// These credentials do not reach it.
    OutOfReach(String),
}

/// How making a bucket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is made, and marked.
    Marked,
    /// It is made, and marks come after.
    Bare,
    /// There is one already, of this account.
    Exists,
    /// There is one already, of another account.
    Theirs,
}

/// How deleting a bucket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Gone,
    /// It has something in it; more of it than before may be gone.
    NotEmpty,
}

/// One bucket of a store, in its language.
pub trait Bucket: Sync {
    /// Whether it is there, and how it is marked.
    fn look(&self) -> impl Future<Output = Result<Found, StoreError>> + Send;
    /// Makes it, with these marks if the store can do both at once.
    fn create(&self, tags: &Tags) -> impl Future<Output = Result<Creation, StoreError>> + Send;
    /// Marks it. Other marks of users stay.
    fn mark(&self, tags: &Tags) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Deletes it. With its contents, it may take several times until it is empty.
    fn delete(
        &self,
        contents: Contents,
    ) -> impl Future<Output = Result<Deletion, StoreError>> + Send;
}

/// Does a step for an owner, and says how the bucket stands after it.
///
/// # Errors
/// Why nothing is known.
pub async fn carry_out(
    bucket: &impl Bucket,
    step: Step,
    owner: &Owner,
) -> Result<Sight, StoreError> {
    match step {
        Step::Look => look(bucket, owner).await,
        Step::Create => {
            match bucket.create(&Tags::of(owner)).await? {
                Creation::Theirs => {
                    let words = "the name is taken by another account".to_owned();
                    return Ok(Sight::OutOfReach(words));
                }
                Creation::Bare => mark(bucket, &Tags::of(owner)).await?,
                Creation::Marked | Creation::Exists => {}
            }
            look(bucket, owner).await
        }
        Step::Mark => match look(bucket, owner).await? {
            Sight::Present(Mark::None | Mark::Released) => {
                mark(bucket, &Tags::of(owner)).await?;
                look(bucket, owner).await
            }
            sight => Ok(sight),
        },
        Step::Release => match look(bucket, owner).await? {
            Sight::Present(Mark::Own) => {
                mark(bucket, &Tags::released(owner)).await?;
                look(bucket, owner).await
            }
            sight => Ok(sight),
        },
        Step::Delete(known, contents) => {
            let mark = match (known, look(bucket, owner).await?) {
                (_, Sight::Present(mark @ Mark::Own))
                | (Known::ByRecord, Sight::Present(mark @ (Mark::None | Mark::Impossible))) => mark,
                (_, sight) => return Ok(sight),
            };
            match bucket.delete(contents).await? {
                Deletion::Gone => look(bucket, owner).await,
                Deletion::NotEmpty => Ok(Sight::NotEmpty(mark)),
            }
        }
    }
}

async fn look(bucket: &impl Bucket, owner: &Owner) -> Result<Sight, StoreError> {
    Ok(match bucket.look().await? {
        Found::Absent => Sight::Absent,
        Found::OutOfReach(words) => Sight::OutOfReach(words),
        Found::Present(None) => Sight::Present(Mark::Impossible),
        Found::Present(Some(tags)) => Sight::Present(tags.read(owner)),
    })
}

/// A store that does not let the bucket be marked is one without marks.
async fn mark(bucket: &impl Bucket, tags: &Tags) -> Result<(), StoreError> {
    match bucket.mark(tags).await {
        Err(error) if !error.trouble.is_final() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            namespace: "jobs".to_owned(),
            name: "history".to_owned(),
            identity: "1".to_owned(),
        }
    }

    #[test]
    fn every_step_has_a_key_of_its_own() {
        for step in Step::ALL {
            assert_eq!(Step::of_key(&step.key(7)), Some(step));
        }
        assert_eq!(Step::of_key("look"), None);
        assert_eq!(Step::of_key("burn 1"), None);
    }

    #[test]
    fn a_mark_is_read_by_whom_it_names() {
        let owner = owner();
        assert_eq!(Tags::default().read(&owner), Mark::None);
        assert_eq!(Tags::of(&owner).read(&owner), Mark::Own);
        assert_eq!(Tags::released(&owner).read(&owner), Mark::Released);
        let twin = Owner {
            identity: "2".to_owned(),
            ..owner.clone()
        };
        assert!(matches!(Tags::of(&twin).read(&owner), Mark::Other(_)));
        let other = Owner {
            name: "logs".to_owned(),
            ..owner.clone()
        };
        let mark = Tags::released(&other).read(&owner);
        assert_eq!(mark, Mark::Other("the ObjectStore jobs/logs".to_owned()));
    }
}
