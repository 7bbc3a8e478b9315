//! Who may do what: authentication by certificate or token, authorization by RBAC.

mod authn;
mod escalation;
pub(crate) mod policy;
mod rbac;
pub(crate) mod reviews;
pub(crate) mod tokens;

use http::Method;

pub(crate) use authn::{authenticate, certificate_user};
pub(crate) use escalation::check_grant;
pub(crate) use rbac::effective_rules;

use crate::{
    http::{Query, Target, Verb},
    server::Server,
    status::{ApiError, ApiResult},
    user::User,
};

pub(crate) const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// What somebody wants to do, in the words of RBAC rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// For what is no resource, the path; then only the verb besides it counts.
    pub(crate) path: Option<String>,
}

impl Attributes {
    pub(crate) fn of(verb: Verb, target: &Target, query: &Query) -> Self {
        // A list that a field selector narrows to one name counts as naming it.
        let selected = query
            .get("fieldSelector")
            .filter(|_| target.name.is_empty())
            .and_then(|selector| selector.strip_prefix("metadata.name="))
            .filter(|name| !name.contains(','));
        Self {
            verb: verb.as_str().to_owned(),
            group: target.group.clone(),
            resource: target.plural.clone(),
            subresource: target.subresource.clone(),
            namespace: target.namespace.clone(),
            name: selected.unwrap_or(&target.name).to_owned(),
            path: None,
        }
    }

    pub(crate) fn path(verb: &str, path: &str) -> Self {
        Self {
            verb: verb.to_owned(),
            path: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// `pods`, `pods/log` or `*/scale`, as rules name it.
    fn resource_and_subresource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Refuses what no rule allows.
pub(crate) fn authorize(server: &Server, user: &User, wanted: &Attributes) -> ApiResult<()> {
    if allowed(server, user, wanted) {
        return Ok(());
    }
    let what = match &wanted.path {
        Some(path) => {
            let why = format!(
                "User \"{}\" cannot {} path \"{path}\"",
                user.name, wanted.verb
            );
            return Err(ApiError::forbidden_path(why));
        }
        None => wanted.resource_and_subresource(),
    };
    let whither = if wanted.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", wanted.namespace)
    };
    let why = format!(
        "User \"{}\" cannot {} resource \"{what}\" in API group \"{}\" {whither}",
        user.name, wanted.verb, wanted.group
    );
    Err(ApiError::forbidden(
        &wanted.group,
        &wanted.resource,
        &wanted.name,
        why,
    ))
}

/// Refuses a path that is no resource.
pub(crate) fn authorize_path(
    server: &Server,
    user: &User,
    method: &Method,
    path: &str,
) -> ApiResult<()> {
    authorize(
        server,
        user,
        &Attributes::path(&method.as_str().to_lowercase(), path),
    )
}

/// Whether some rule allows it.
pub(crate) fn allowed(server: &Server, user: &User, wanted: &Attributes) -> bool {
    user.is_master() || rbac::allowed(&server.store, user, wanted)
}
