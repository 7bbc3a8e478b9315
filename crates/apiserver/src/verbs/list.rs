//! Reading collections, whole or page by page.
//!
//! Every page of a list shows the store at the revision of the first page.

use std::sync::Arc;

use ::http::{Response, StatusCode};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Value, json};
use windlass_apimachinery::selectors::{FieldSelector, LabelSelector};

use super::{Tables, encoded, get::parse_revision, untyped};
use crate::{
    convert,
    faults::Fault,
    http::{self as transport, Body, Call, Encoding, Form, negotiate},
    metadata,
    registry::Resource,
    status::{ApiError, ApiResult},
    store::{Key, Object, Snapshot},
};

pub(super) fn list(call: &Call) -> ApiResult<Response<Body>> {
    let selection = Selection::parse(call)?;
    let page = Page::read(call, &selection)?;
    render(call, &page)
}

/// The selectors of a request.
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub(crate) fn parse(call: &Call) -> ApiResult<Self> {
        let wrong = |error: windlass_apimachinery::selectors::SelectorError| {
            ApiError::bad_request(error.to_string())
        };
        let labels = match call.query.get("labelSelector") {
            Some(text) => LabelSelector::parse(text)
                .map_err(|error| ApiError::bad_request(error.to_string()))?,
            None => LabelSelector::everything(),
        };
        let selectable = call.resource.selectable(&call.target.version);
        let fields = match call.query.get("fieldSelector") {
            Some(text) => FieldSelector::parse(text, &selectable).map_err(wrong)?,
            None => FieldSelector::default(),
        };
        Ok(Self { labels, fields })
    }

    fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    /// The one name the objects can have, when there is only one.
    fn name(&self) -> Option<&str> {
        self.fields.required_value("metadata.name")
    }

    /// Whether a reader of this version would select the object. Parses it only where its facts
    /// are not enough: for fields that another version or a definition names.
    pub(crate) fn admits(&self, resource: &Resource, version: &str, object: &Object) -> bool {
        if self.is_everything() {
            return true;
        }
        let facts_suffice = self.fields.is_empty()
            || (!resource.is_custom() && convert::is_stored_form(resource, version, object));
        if facts_suffice {
            self.matches(object.facts())
        } else {
            self.matches(&convert::read(resource, version, object))
        }
    }
}

/// One answer.
struct Page {
    revision: u64,
    objects: Vec<Arc<Object>>,
    token: Option<String>,
    remaining: Option<usize>,
}

/// Where a list goes on: the revision it shows, and the first key not yet shown.
struct Token {
    revision: u64,
    start: String,
}

/// The revision of a token that goes on with whatever is there.
const INCONSISTENT: i64 = -1;
/// The form of tokens.
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Token {
    fn encode(&self) -> String {
        let json = json!({"v": TOKEN_VERSION, "rv": self.revision, "start": self.start});
        BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
    }

    fn inconsistent(start: &str) -> String {
        let json = json!({"v": TOKEN_VERSION, "rv": INCONSISTENT, "start": start});
        BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
    }

    /// The token; without a revision it is one that goes on inconsistently.
    fn decode(text: &str) -> ApiResult<(Option<u64>, String)> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| Self::refused(&error.to_string()))?;
        let json: Value =
            serde_json::from_slice(&bytes).map_err(|error| Self::refused(&error.to_string()))?;
        let version = json["v"].as_str().unwrap_or_default();
        if version != TOKEN_VERSION {
            let why = format!("server does not recognize this encoded version {version}");
            return Err(Self::refused(&why));
        }
        let revision = match json["rv"].as_i64() {
            Some(INCONSISTENT) => None,
            Some(revision) if revision > 0 => Some(revision as u64),
            _ => {
                let why = format!("incorrect encoded start resourceVersion (version {version})");
                return Err(Self::refused(&why));
            }
        };
        match json["start"].as_str() {
            Some(start) if !start.is_empty() => Ok((revision, start.to_owned())),
            _ => {
                let why = format!("encoded start key empty (version {version})");
                Err(Self::refused(&why))
            }
        }
    }

    fn refused(why: &str) -> ApiError {
        ApiError::bad_request(format!(
            "invalid continue token: continue key is not valid: {why}"
        ))
    }
}

impl Page {
    fn read(call: &Call, selection: &Selection) -> ApiResult<Self> {
        let limit = call.query.number("limit")?.unwrap_or(0).max(0) as usize;
        let token = call.query.get("continue");
        let matching = call.query.get("resourceVersionMatch");
        let asked = call
            .query
            .get("resourceVersion")
            .map(|text| {
                parse_revision(text).map_err(|why| {
                    ApiError::bad_request(format!("invalid resource version: {why}"))
                })
            })
            .transpose()?;
        // Whoever takes any state takes all of it.
        let limit = match (token, asked) {
            (None, Some(0)) => 0,
            _ => limit,
        };
        // In pages a revision means that one, unless the client says otherwise.
        let matching = match (matching, asked) {
            (None, Some(1..)) if limit > 0 && token.is_none() => Some("Exact"),
            _ => matching,
        };
        let (snapshot, start) = match token {
            Some(token) => resume(call, token, asked.unwrap_or(0))?,
            None => (begin(call, selection, asked, matching)?, String::new()),
        };
        let from = snapshot
            .objects
            .partition_point(|(key, _)| key.as_str() < start.as_str());
        let mut objects = Vec::new();
        let mut token = None;
        let mut remaining = None;
        for (index, (key, object)) in snapshot.objects.iter().enumerate().skip(from) {
            // Whether what follows is selected is not known before it is read.
            if limit > 0 && objects.len() == limit {
                let revision = snapshot.revision;
                token = Some(
                    Token {
                        revision,
                        start: key.as_str().to_owned(),
                    }
                    .encode(),
                );
                // With selectors nobody has looked at the rest, so its size is not known.
                remaining = selection
                    .is_everything()
                    .then_some(snapshot.objects.len() - index);
                break;
            }
            if selection.admits(&call.resource, &call.target.version, object) {
                objects.push(Arc::clone(object));
            }
        }
        Ok(Self {
            revision: snapshot.revision,
            objects,
            token,
            remaining,
        })
    }
}

fn begin(
    call: &Call,
    selection: &Selection,
    asked: Option<u64>,
    matching: Option<&str>,
) -> ApiResult<Snapshot> {
    let store = &call.server.store;
    let scope = call.resource.scope(&call.target.namespace);
    let current = store.revision();
    if let Some(asked) = asked.filter(|asked| *asked > current) {
        return Err(ApiError::revision_too_large(asked, current));
    }
    if let Some(Fault::OldRevision(revision)) = call.fault {
        return store.list_at(&scope, revision).map_err(|_| too_old());
    }
    if let (Some(asked), Some("Exact")) = (asked, matching) {
        return store.list_at(&scope, asked).map_err(|_| too_old());
    }
    // A list by name is a read: clients wait for single objects this way, often.
    if let Some(name) = selection.name()
        && (!call.resource.namespaced || !call.target.namespace.is_empty())
    {
        let key = call.resource.key(&call.target.namespace, name);
        let revision = store.revision();
        let objects: Vec<(Key, Arc<Object>)> = store
            .get(&key)
            .map(|object| (key, object))
            .into_iter()
            .collect();
        // Should the object have been written in between, the list is as new as the object.
        let newest = objects.first().map_or(0, |(_, object)| object.revision());
        return Ok(Snapshot {
            revision: revision.max(newest),
            objects,
        });
    }
    Ok(store.list(&scope))
}

fn resume(call: &Call, token: &str, asked: u64) -> ApiResult<(Snapshot, String)> {
    let (revision, start) = Token::decode(token)?;
    let scope = call.resource.scope(&call.target.namespace);
    if !start.starts_with(scope.prefix()) {
        return Err(Token::refused("it is for another list"));
    }
    if asked != 0 {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let snapshot = match revision {
        None => call.server.store.list(&scope),
        Some(revision) => call
            .server
            .store
            .list_at(&scope, revision)
            .map_err(|_| ApiError::expired_continue(Token::inconsistent(&start)))?,
    };
    Ok((snapshot, start))
}

fn too_old() -> ApiError {
    ApiError::expired("The resourceVersion for the provided list is too old.")
}

fn render(call: &Call, page: &Page) -> ApiResult<Response<Body>> {
    let wanted = negotiate(&call.headers)?;
    let mut list_meta = json!({"resourceVersion": page.revision.to_string()});
    if let Some(token) = &page.token {
        list_meta["continue"] = json!(token);
    } else if call.resource.is_custom() && wanted.form == Form::Objects {
        // Lists of custom kinds have this field even where there is nothing to say.
        list_meta["continue"] = json!("");
    }
    if let Some(remaining) = page.remaining {
        list_meta["remainingItemCount"] = json!(remaining);
    }
    let version = call.target.version.as_str();
    let mut response = match (wanted.form, wanted.encoding) {
        (Form::Objects, Encoding::Json) => {
            let bytes = whole_objects(call, page, &list_meta);
            transport::response(StatusCode::OK, "application/json", bytes)
        }
        (Form::Objects, Encoding::Yaml) => {
            let bytes = whole_objects(call, page, &list_meta);
            let value = serde_json::from_slice(&bytes).map_err(ApiError::internal)?;
            encoded(StatusCode::OK, wanted, &value)
        }
        (Form::Metadata, _) => {
            let items: Vec<Value> = page
                .objects
                .iter()
                .map(|object| metadata::partial(&object.parse()))
                .collect();
            // Nothing at all is null here, as only in this list.
            let items = if items.is_empty() {
                Value::Null
            } else {
                Value::Array(items)
            };
            let list = json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": list_meta,
                "items": items,
            });
            encoded(StatusCode::OK, wanted, &list)
        }
        (Form::Table, _) => {
            let tables = Tables::new(call);
            let rows = page
                .objects
                .iter()
                .map(|object| tables.row(&convert::read(&call.resource, version, object)))
                .collect();
            encoded(StatusCode::OK, wanted, &tables.table(rows, list_meta))
        }
    };
    transport::warn(&mut response, &call.deprecation());
    Ok(response)
}

/// The list as text, put together from the objects' stored text.
fn whole_objects(call: &Call, page: &Page, list_meta: &Value) -> Bytes {
    let version = call.target.version.as_str();
    let head = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{list_meta},\"items\":[",
        call.resource.names.list_kind,
        call.resource.api_version(version),
    );
    let bytes: usize = page
        .objects
        .iter()
        .map(|object| object.json().len() + 1)
        .sum();
    let mut text = Vec::with_capacity(head.len() + bytes + 2);
    text.extend_from_slice(head.as_bytes());
    for (index, object) in page.objects.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let item = convert::read_json(&call.resource, version, object);
        if call.resource.is_custom() {
            text.extend_from_slice(&item);
        } else {
            untyped::append(&mut text, &item);
        }
    }
    text.extend_from_slice(b"]}");
    text.into()
}
