//! What a request makes its being done depend on. Pure.

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use crate::index::Refused;
use crate::rows::Object;

/// What a write asks of the object that is there.
#[derive(Debug, Clone, Default)]
pub(super) struct ForWrite {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

/// What a read asks of the object.
#[derive(Debug, Clone, Default)]
pub(super) struct ForRead {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// Why an object is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is another one.
    Failed,
    /// Who asks has it already.
    NotModified,
}

impl ForWrite {
    /// Whether it may be written over what is there.
    pub(super) fn check(&self, there: Option<&Object>) -> Result<(), Refused> {
        match (&self.if_match, there) {
            (None, _) => {}
            (Some(_), None) => return Err(Refused::NoSuchKey),
            (Some(wanted), Some(there)) if !matches(wanted, there) => {
                return Err(Refused::Precondition);
            }
            (Some(_), Some(_)) => {}
        }
        match (&self.if_none_match, there) {
            (Some(unwanted), Some(there)) if matches(unwanted, there) => Err(Refused::Precondition),
            _ => Ok(()),
        }
    }
}

impl ForRead {
    /// In the order of RFC 9110, 13.2.2.
    pub(super) fn check(&self, object: &Object) -> Result<(), Unread> {
        let modified = Timestamp::from(object.modified.whole_seconds());
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !matches(wanted, object) => return Err(Unread::Failed),
            (None, Some(since)) if modified > *since => return Err(Unread::Failed),
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(unwanted), _) if matches(unwanted, object) => Err(Unread::NotModified),
            (None, Some(since)) if modified <= *since => Err(Unread::NotModified),
            _ => Ok(()),
        }
    }

    /// The same, as the answer to who asks for the object itself.
    pub(super) fn answer(&self, object: &Object) -> S3Result<()> {
        self.check(object).map_err(|unread| match unread {
            Unread::Failed => Refused::Precondition.into(),
            Unread::NotModified => s3_error!(NotModified),
        })
    }

    /// The same, of an object that is copied: there is no other answer than that it is not.
    pub(super) fn allow(&self, object: &Object) -> Result<(), Refused> {
        self.check(object).map_err(|_| Refused::Precondition)
    }
}

/// Whether the object is one of those that are meant.
pub(super) fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.content.etag,
    }
}

/// As it is sent.
pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::rows::Content;

    fn object() -> Object {
        let content = Content {
            etag: "one".to_owned(),
            pieces: Vec::new(),
        };
        // 1970-01-01T00:00:10.500Z
        serde_json::from_value(serde_json::json!({"content": content, "modified": 10_500})).unwrap()
    }

    fn is(value: &str) -> ETagCondition {
        ETagCondition::ETag(etag(value))
    }

    fn at(seconds: u64) -> Timestamp {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Timestamp::from(time)
    }

    #[test]
    fn a_write_is_made_where_what_it_asks_for_is() {
        let any = Some(ETagCondition::Any);
        let (there, nothing) = (object(), None);
        for (if_match, if_none_match, there, expected) in [
            (None, None, nothing, Ok(())),
            (None, None, Some(&there), Ok(())),
            (None, any.clone(), nothing, Ok(())),
            (None, any.clone(), Some(&there), Err(Refused::Precondition)),
            (Some(is("one")), None, Some(&there), Ok(())),
            (
                Some(is("two")),
                None,
                Some(&there),
                Err(Refused::Precondition),
            ),
            (Some(is("one")), None, nothing, Err(Refused::NoSuchKey)),
            (any, None, nothing, Err(Refused::NoSuchKey)),
            (
                None,
                Some(is("one")),
                Some(&there),
                Err(Refused::Precondition),
            ),
            (None, Some(is("two")), Some(&there), Ok(())),
        ] {
            let condition = ForWrite {
                if_match,
                if_none_match,
            };
            assert_eq!(condition.check(there), expected, "{condition:?}");
        }
    }

    #[test]
    fn a_read_is_answered_as_http_says() {
        for (condition, expected) in [
            (ForRead::default(), Ok(())),
            (
                ForRead {
                    if_match: Some(is("one")),
                    if_unmodified_since: Some(at(1)),
                    ..ForRead::default()
                },
                Ok(()),
            ),
            (
                ForRead {
                    if_match: Some(is("two")),
                    ..ForRead::default()
                },
                Err(Unread::Failed),
            ),
            (
                ForRead {
                    if_none_match: Some(is("one")),
                    ..ForRead::default()
                },
                Err(Unread::NotModified),
            ),
            (
                ForRead {
                    if_none_match: Some(is("two")),
                    if_modified_since: Some(at(99)),
                    ..ForRead::default()
                },
                Ok(()),
            ),
            (
                ForRead {
                    if_modified_since: Some(at(10)),
                    ..ForRead::default()
                },
                Err(Unread::NotModified),
            ),
            (
                ForRead {
                    if_modified_since: Some(at(9)),
                    ..ForRead::default()
                },
                Ok(()),
            ),
            (
                ForRead {
                    if_unmodified_since: Some(at(10)),
                    ..ForRead::default()
                },
                Ok(()),
            ),
            (
                ForRead {
                    if_unmodified_since: Some(at(9)),
                    ..ForRead::default()
                },
                Err(Unread::Failed),
            ),
        ] {
            assert_eq!(condition.check(&object()), expected, "{condition:?}");
        }
    }
}
