//! Authentication: a client certificate, the administrator's token, or a service account token.

use http::{HeaderMap, header};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Attributes, authorize, tokens};
use crate::{
    server::Server,
    status::{ApiError, ApiResult},
    user::User,
};

/// Finds out who sends a request. No credentials at all make an anonymous user; wrong ones are
/// refused.
pub(crate) fn authenticate(
    server: &Server,
    headers: &HeaderMap,
    certificate: Option<&User>,
) -> ApiResult<User> {
    let user = match (certificate, bearer(headers)) {
        (Some(user), _) => user.clone(),
        (None, Some(token)) => by_token(server, token)?,
        (None, None) => User::anonymous(),
    };
    impersonated(server, headers, user)
}

/// The user that a client certificate names: common name and organisations.
pub(crate) fn certificate_user(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok());
    Some(User::new(name, groups))
}

/// The user of a bearer token.
pub(crate) fn by_token(server: &Server, token: &str) -> ApiResult<User> {
    if is_admin_token(server, token) {
        return Ok(User::admin());
    }
    tokens::verify(server, token, &[])
        .map(|verified| verified.user)
        .map_err(|why| {
            tracing::debug!(%why, "a token was refused");
            ApiError::unauthorized()
        })
}

/// Whether it is the administrator's token.
pub(super) fn is_admin_token(server: &Server, token: &str) -> bool {
    // Compared by digest, so that the time taken says nothing about the token.
    let known = digest(&SHA256, server.pki.admin_token().as_bytes());
    digest(&SHA256, token.as_bytes()).as_ref() == known.as_ref()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// `kubectl --as`: acting as somebody else, for who may.
fn impersonated(server: &Server, headers: &HeaderMap, user: User) -> ApiResult<User> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let Some(name) = headers.get("impersonate-user").and_then(text) else {
        // Not to act with one's own, greater rights when the name was forgotten.
        let parts = ["impersonate-group", "impersonate-uid"];
        if parts.iter().any(|part| headers.contains_key(*part)) {
            return Err(ApiError::bad_request(
                "groups or a uid are impersonated without a user; send Impersonate-User too",
            ));
        }
        return Ok(user);
    };
    let groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(text)
        .collect();
    let mut wanted = Attributes {
        verb: "impersonate".to_owned(),
        resource: "users".to_owned(),
        name: name.clone(),
        ..Attributes::default()
    };
    let account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|account| account.split_once(':'))
        .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    if let Some((namespace, name)) = &account {
        wanted.resource = "serviceaccounts".to_owned();
        wanted.namespace.clone_from(namespace);
        wanted.name.clone_from(name);
    }
    let mut needed = vec![wanted];
    needed.extend(groups.iter().map(|group| Attributes {
        verb: "impersonate".to_owned(),
        resource: "groups".to_owned(),
        name: group.clone(),
        ..Attributes::default()
    }));
    for attributes in &needed {
        authorize(server, &user, attributes)?;
    }
    Ok(match account {
        Some((namespace, name)) if groups.is_empty() => User::service_account(&namespace, &name),
        _ => User::new(name, groups),
    })
}
