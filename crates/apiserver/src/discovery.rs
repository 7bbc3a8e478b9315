//! What the server says about itself: discovery in both forms, versions, health, documents.

mod groups;

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use windlass_apimachinery::openapi::{V2_PROTOBUF, v2_protobuf};

use crate::{
    auth::tokens::{self, ISSUER},
    hex::hex,
    http::{self as transport, Body, Query, full, json as json_response, pretty, text},
    server::Server,
    status::{ApiError, ApiResult},
};

/// The Kubernetes version whose API this is.
const MINOR: &str = "32";

/// Whether a path needs no credentials.
pub(crate) fn is_public(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    path == "/version"
        || ["/healthz", "/livez", "/readyz"]
            .iter()
            .any(|health| path == *health || path.starts_with(&format!("{health}/")))
}

/// Answers everything that is no resource.
pub(crate) fn serve(
    server: &Arc<Server>,
    path: &str,
    headers: &HeaderMap,
    query: &Query,
) -> ApiResult<Response<Body>> {
    let catalog = server.registry.catalog();
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let document = match segments.as_slice() {
        [] => json!({"paths": groups::paths(&catalog)}),
        ["version"] => version(),
        ["healthz" | "livez" | "readyz", ..] => return Ok(health(segments[0], query)),
        ["api"] => match groups::Aggregated::wanted(headers) {
            Some(form) => return Ok(tagged(headers, form.content_type(), &form.core(&catalog))),
            None => groups::api_versions(server),
        },
        ["apis"] => match groups::Aggregated::wanted(headers) {
            Some(form) => return Ok(tagged(headers, form.content_type(), &form.named(&catalog))),
            None => groups::group_list(&catalog),
        },
        ["api", version] => groups::resource_list(&catalog, "", version)?,
        ["apis", group] => groups::group(&catalog, group)?,
        ["apis", group, version] => groups::resource_list(&catalog, group, version)?,
        ["openapi", "v2"] => {
            let document = server.documents.everything(&catalog);
            // Clients write the name of this type in two ways, and accept nothing else.
            let accepts = headers
                .get(header::ACCEPT)
                .and_then(|accept| accept.to_str().ok());
            if accepts.is_some_and(|accept| accept.contains("proto-openapi.spec.v2")) {
                return Ok(with_tag(
                    headers,
                    V2_PROTOBUF,
                    v2_protobuf(&document).into(),
                ));
            }
            document
        }
        ["openapi", "v3"] => server.documents.index(&catalog),
        ["openapi", "v3", rest @ ..] => {
            return document(server, &rest.join("/"), headers, query);
        }
        [".well-known", "openid-configuration"] => json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }),
        ["openid", "v1", "jwks"] => tokens::key_set(server),
        _ => return Err(ApiError::no_such_path()),
    };
    if query.flag("pretty") {
        return Ok(transport::response(
            StatusCode::OK,
            "application/json",
            pretty(&document),
        ));
    }
    Ok(json_response(StatusCode::OK, &document))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+windlass.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

/// The name that Kubernetes has for this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The server answers, so it is healthy: it listens only once its store is open.
fn health(check: &str, query: &Query) -> Response<Body> {
    if query.flag("verbose") {
        let lines = format!("[+]ping ok\n[+]store ok\n{check} check passed\n");
        return text(StatusCode::OK, lines);
    }
    text(StatusCode::OK, "ok")
}

fn document(
    server: &Server,
    path: &str,
    headers: &HeaderMap,
    query: &Query,
) -> ApiResult<Response<Body>> {
    let catalog = server.registry.catalog();
    let bytes = server
        .documents
        .get(&catalog, path)
        .ok_or_else(ApiError::no_such_path)?;
    let mut response = with_tag(headers, "application/json", bytes);
    if query.get("hash").is_some() {
        // The address changes with the content, so it may be kept for ever.
        let forever = HeaderValue::from_static("public, immutable");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, forever);
    }
    Ok(response)
}

fn tagged(headers: &HeaderMap, content_type: &'static str, value: &Value) -> Response<Body> {
    with_tag(headers, content_type, Bytes::from(value.to_string()))
}

/// An answer that the client need not fetch again while it stays the same.
fn with_tag(headers: &HeaderMap, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let tag = format!("\"{}\"", hex(&Sha256::digest(&bytes)));
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = transport::response(StatusCode::OK, content_type, bytes);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = full(Bytes::new());
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}
