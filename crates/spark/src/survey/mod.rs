//! Whether a cluster is ready for the operator, or the operator is well in it: from what its API
//! shows to findings by category.
//!
//! Laws:
//! - pure and total: facts in any shape give findings;
//! - what could not be looked at is a finding, never silence: a report without problems means that
//!   every question was answered;
//! - every problem says what to do.

mod applications;
mod cluster;
mod directors;
mod namespaces;
mod operators;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use directors::{kubedirectors, serves_storage, serves_virtual_clusters};
pub use operators::{OtherOperator, is_live, others};

/// When the cluster is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the operator is installed.
    Before,
    /// When it is there.
    After,
}

/// What the operator is, or is to be, responsible for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Before or after the installation.
    pub stage: Stage,
    /// The operator's own namespace.
    pub home: String,
    /// The namespaces it serves; empty for all.
    pub job_namespaces: Vec<String>,
    /// How it knows them.
    pub known_by: KnownBy,
    /// The ServiceAccount of drivers.
    pub driver_account: String,
    /// Whether it is to operate virtual clusters, whatever its arguments say.
    pub virtual_clusters: bool,
    /// Whether it is to operate storage, whatever its arguments say.
    pub storage: bool,
}

/// How an operator knows the namespaces that it serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KnownBy {
    /// By their names, or it serves all; it has its rights there.
    #[default]
    Name,
    /// By their labels; it has its rights in the whole cluster.
    Label,
}

impl Scope {
    /// Whether jobs of this namespace are the operator's.
    fn serves(&self, namespace: &str) -> bool {
        self.job_namespaces.is_empty() || self.job_namespaces.iter().any(|it| it == namespace)
    }
}

/// What was found where, or why it could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The objects, as the API gave them.
    Seen(Vec<Value>),
    /// The API's words.
    Refused(String),
}

impl Look {
    /// The objects, none where they could not be looked at.
    fn objects(&self) -> &[Value] {
        match self {
            Self::Seen(objects) => objects,
            Self::Refused(_) => &[],
        }
    }
}

impl Default for Look {
    fn default() -> Self {
        Self::Seen(Vec::new())
    }
}

/// What the cluster shows.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// `gitVersion` of the API server.
    pub version: String,
    /// The CustomResourceDefinitions of our groups.
    pub definitions: Look,
    /// The Leases of the whole cluster.
    pub leases: Look,
    /// The Deployments of the whole cluster.
    pub deployments: Look,
    /// The configurations of admission webhooks, both kinds.
    pub webhooks: Look,
    /// All namespaces.
    pub namespaces: Look,
    /// The quotas of the namespaces in scope.
    pub quotas: Look,
    /// The LimitRanges of the namespaces in scope.
    pub limits: Look,
    /// The SparkApplications of the namespaces in scope.
    pub applications: Look,
    /// The SparkPolicies of the namespaces in scope.
    pub policies: Look,
    /// What access reviews answered.
    pub rights: Vec<Right>,
}

/// The answer to one access review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Whose right it is.
    pub whose: Whose,
    /// The API group.
    pub group: String,
    /// The resource, with its subresource.
    pub resource: String,
    /// The verb.
    pub verb: String,
    /// The namespace; all of them when not given.
    pub namespace: Option<String>,
    /// What the API said.
    pub answer: Answer,
}

/// Whose right a [`Right`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// The person's who asks.
    Yours,
    /// The operator's.
    Operators,
    /// The drivers'.
    Drivers,
}

/// What an access review said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// The question itself was refused.
    Unknown(String),
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Category {
    /// The API server.
    Cluster,
    /// What may be done, and by whom.
    Permissions,
    /// The CustomResourceDefinitions.
    Definitions,
    /// Who serves applications.
    Operators,
    /// Where jobs run.
    Namespaces,
    /// What is there already.
    Applications,
}

impl Category {
    /// The word people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Permissions => "Permissions",
            Self::Definitions => "Definitions",
            Self::Operators => "Operators",
            Self::Namespaces => "Namespaces",
            Self::Applications => "Applications",
        }
    }
}

/// How a question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Nothing breaks; worth knowing.
    Note,
    /// It will not work.
    Problem,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub category: Category,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, on one line.
    pub what: String,
    /// What to do; for every problem, and for notes where there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    fn ok(category: Category, what: impl Into<String>) -> Self {
        Self {
            category,
            verdict: Verdict::Ok,
            what: what.into(),
            next: None,
        }
    }

    fn note(category: Category, what: impl Into<String>, next: Option<String>) -> Self {
        Self {
            category,
            verdict: Verdict::Note,
            what: what.into(),
            next,
        }
    }

    fn problem(category: Category, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            category,
            verdict: Verdict::Problem,
            what: what.into(),
            next: Some(next.into()),
        }
    }

    /// Something that was not seen because the API refused.
    fn unseen(category: Category, what: &str, refused: &str) -> Self {
        Self::note(
            category,
            format!("{what} could not be looked at: {refused}"),
            Some("ask again as somebody who may read them".to_owned()),
        )
    }
}

/// Judges a cluster; findings come by category, in the order of [`Category`].
pub fn judge(scope: &Scope, facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![cluster::version(&facts.version)];
    findings.extend(cluster::lacks(&facts.version));
    findings.extend(cluster::permissions(scope, &facts.rights));
    findings.extend(cluster::definitions(
        scope,
        &facts.definitions,
        operators::asks_for_originals(scope, &facts.deployments),
        serves_virtual_clusters(scope, &facts.deployments),
        serves_storage(scope, &facts.deployments),
    ));
    findings.extend(operators::judge(scope, facts, now));
    findings.extend(directors::judge(scope, &facts.deployments));
    findings.extend(namespaces::judge(scope, facts));
    findings.extend(applications::judge(scope, facts, now));
    findings
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// `one, two and three`
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
