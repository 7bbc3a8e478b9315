//! Lists of objects.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[allow(
    clippy::wildcard_imports,
    reason = "each call has types of its own, which are what this is about"
)]
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::Ops;
use super::conditions::etag;
use crate::index::{Look, Refused};
use crate::listing::{Names, Page, Query, page};
use crate::rows::Object as Row;

/// The longest page, as Amazon has it.
pub(super) const PAGE: usize = 1000;

/// The keys of a bucket.
struct Keys<'a> {
    look: &'a Look,
    bucket: &'a str,
}

impl Names for Keys<'_> {
    type Item = Row;
    type Error = Refused;

    fn at_or_after(&self, name: &str) -> Result<Option<(String, Row)>, Refused> {
        self.look.object_at_or_after(self.bucket, name)
    }
}

impl Ops {
    pub(super) async fn list(&self, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
        let limit = limit(input.max_keys)?;
        let words = Words::of(input.encoding_type.as_ref());
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone(),
            after: input.marker.clone(),
            limit,
        };
        let page = self.page(input.bucket.clone(), query).await?;
        Ok(ListObjectsOutput {
            is_truncated: Some(page.next.is_some()),
            next_marker: words.optional(page.next),
            common_prefixes: Some(folders(page.folders, words)),
            contents: Some(contents(page.entries, words)),
            delimiter: words.optional(input.delimiter),
            marker: words.optional(Some(input.marker.unwrap_or_default())),
            prefix: words.optional(Some(input.prefix.unwrap_or_default())),
            max_keys: Some(limit as i32),
            encoding_type: input.encoding_type,
            name: Some(input.bucket),
            request_charged: None,
        })
    }

    pub(super) async fn list_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        let limit = limit(input.max_keys)?;
        let words = Words::of(input.encoding_type.as_ref());
        let continued = input.continuation_token.as_deref();
        let continued = continued.map(|it| {
            let name = URL_SAFE_NO_PAD.decode(it).ok();
            let name = name.and_then(|it| String::from_utf8(it).ok());
            name.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token is incorrect"))
        });
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone(),
            after: continued.transpose()?.or(input.start_after.clone()),
            limit,
        };
        let page = self.page(input.bucket.clone(), query).await?;
        Ok(ListObjectsV2Output {
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(|it| URL_SAFE_NO_PAD.encode(it)),
            key_count: Some((page.entries.len() + page.folders.len()) as i32),
            common_prefixes: Some(folders(page.folders, words)),
            contents: Some(contents(page.entries, words)),
            continuation_token: input.continuation_token,
            delimiter: words.optional(input.delimiter),
            start_after: words.optional(input.start_after),
            prefix: words.optional(Some(input.prefix.unwrap_or_default())),
            max_keys: Some(limit as i32),
            encoding_type: input.encoding_type,
            name: Some(input.bucket),
            request_charged: None,
        })
    }

    async fn page(&self, bucket: String, query: Query) -> S3Result<Page<Row>> {
        let read = self.index.read(move |look| {
            look.bucket(&bucket)?;
            let keys = Keys {
                look,
                bucket: &bucket,
            };
            page(&keys, &query)
        });
        Ok(read.await?)
    }
}

/// How many entries a page has that is to have so many.
pub(super) fn limit(asked: Option<i32>) -> S3Result<usize> {
    let asked = asked.unwrap_or(PAGE as i32);
    let limit = usize::try_from(asked);
    let limit = limit.map_err(|_| s3_error!(InvalidArgument, "A page cannot be that long"))?;
    Ok(limit.min(PAGE))
}

/// How names are written in an answer: XML cannot say all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    AsTheyAre,
    AsInAddresses,
}

impl Words {
    pub(super) fn of(asked: Option<&EncodingType>) -> Self {
        match asked.map(EncodingType::as_str) {
            Some(EncodingType::URL) => Self::AsInAddresses,
            _ => Self::AsTheyAre,
        }
    }

    pub(super) fn write(self, name: String) -> String {
        match self {
            Self::AsTheyAre => name,
            Self::AsInAddresses => encoded(&name),
        }
    }

    pub(super) fn optional(self, name: Option<String>) -> Option<String> {
        name.map(|it| self.write(it))
    }
}

fn folders(all: Vec<String>, words: Words) -> Vec<CommonPrefix> {
    let folder = |name| CommonPrefix {
        prefix: Some(words.write(name)),
    };
    all.into_iter().map(folder).collect()
}

fn contents(all: Vec<(String, Row)>, words: Words) -> Vec<Object> {
    let object = |(key, row): (String, Row)| Object {
        e_tag: Some(etag(&row.content.etag)),
        key: Some(words.write(key)),
        last_modified: Some(Timestamp::from(row.modified.time())),
        size: Some(row.content.size() as i64),
        storage_class: Some(ObjectStorageClass::from_static(
            ObjectStorageClass::STANDARD,
        )),
        ..Object::default()
    };
    all.into_iter().map(object).collect()
}

/// As in an address, but for slashes.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&super::receive::hex(&[byte]).to_uppercase());
        }
    }
    encoded
}

/// A part of a query as it is meant.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.get(..2)?;
                // Numbers may have a sign.
                let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
                let digits = std::str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_so_that_they_come_back() {
        assert_eq!(encoded("a/b c+d=ä\n"), "a/b%20c%2Bd%3D%C3%A4%0A");
        for name in ["a/b c+d=ä\n", "", "100%", "~._-"] {
            assert_eq!(decoded(&encoded(name)).as_deref(), Some(name));
        }
        for wrong in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_has_at_most_a_thousand_entries() {
        assert_eq!(limit(None).unwrap(), 1000);
        assert_eq!(limit(Some(0)).unwrap(), 0);
        assert_eq!(limit(Some(5000)).unwrap(), 1000);
        assert!(limit(Some(-1)).is_err());
    }
}
