//! What KubeDirector lacks: knowing whether a member serves, letting it go in good order, and knowing how
//! many there are to be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::director::rules;

/// By what it is known whether a member serves. Exactly one of tcp, http, grpc and exec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.tcp) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.grpc) ? 1 : 0) + (has(self.exec) ? 1 : 0) == 1",
    "message": "give exactly one of tcp, http, grpc and exec",
}]))]
pub struct HealthCheck {
    /// The port takes connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// A page answers with a status from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// The health service of gRPC says SERVING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcCheck>,
    /// A command inside of the member ends with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
    /// Seconds after the start of the container before it is asked for; 0 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds from one time to the next; 10 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub period_seconds: Option<i32>,
    /// Seconds in which it must hold; 5 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: Option<i32>,
    /// After how many times that it did not hold the member is not ready; 3 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub failure_threshold: Option<i32>,
}

/// The port of the endpoint takes connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpCheck {}

/// A page at the port of the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// The path; that of the endpoint, or /, when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = rules::ABSOLUTE_PATH))]
    pub path: Option<String>,
    /// HTTP or HTTPS; HTTPS when not given and the endpoint's urlScheme is https, else HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<HttpScheme>,
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpScheme {
    /// In the clear.
    Http,
    /// By TLS; the certificate is not looked at.
    Https,
}

/// The health service of gRPC at the port of the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcCheck {
    /// The service that is asked about; the server as a whole when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A command inside of the member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecCheck {
    /// The program and its arguments; no shell reads them.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
}

/// What a member does before it is taken away, as long as the others are still there. Exactly one of
/// arguments and command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.arguments) != has(self.command)",
    "message": "give one of arguments and command",
}]))]
pub struct Drain {
    /// The arguments that the startscript of the setup package is called with, for example
    /// [--decommission].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub arguments: Option<Vec<String>>,
    /// A program inside of the member and its arguments, for example [nodetool, decommission]; no
    /// shell reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// Seconds that a member has for it; 300 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: Option<i32>,
    /// What happens to a member that ends it with something else than 0, or not in time: Proceed
    /// takes it away, Hold keeps it until the hook succeeds or the cluster is to have it again;
    /// Proceed when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<DrainFailure>,
}

/// What happens to a member whose drain does not succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DrainFailure {
    /// It is taken away.
    #[default]
    Proceed,
    /// It stays.
    Hold,
}

impl Drain {
    /// Seconds that a member has when nothing is given.
    pub const DEFAULT_TIMEOUT_SECONDS: i32 = 300;

    /// Seconds that a member has.
    pub fn timeout(&self) -> i32 {
        self.timeout_seconds
            .unwrap_or(Self::DEFAULT_TIMEOUT_SECONDS)
    }

    /// What happens to a member that does not succeed.
    pub fn on_failure(&self) -> DrainFailure {
        self.on_failure.unwrap_or_default()
    }
}

/// How it is asked how many members of a role the application has a use for. Exactly one of arguments
/// and command.
///
/// What is called writes a number of members to its standard output, or a JSON object: `members`, or
/// `units` (cores, partitions, whatever the application counts) and `unitsPerMember`, of which the
/// quotient is rounded up; and `message`, one line for people. They are all that there is a use for,
/// those in use included. Where it does not know, it ends with another code than 0, says why on its
/// standard error, and nobody comes or goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.arguments) != has(self.command)",
    "message": "give one of arguments and command",
}]))]
pub struct Demand {
    /// The role of the member that is asked, which is the first one of it that is set up; the role
    /// itself when not given.
    #[serde(default, rename = "roleID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("pattern" = rules::LABEL_VALUE))]
    pub role_id: Option<String>,
    /// The arguments that the startscript of the setup package is called with, for example [--demand].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub arguments: Option<Vec<String>>,
    /// A program inside of the member and its arguments; no shell reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// Seconds from one answer to the next question; 15 when not given, which is how often a
    /// HorizontalPodAutoscaler looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub period_seconds: Option<i32>,
    /// Seconds in which the answer has to come; 10 when not given, at most 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 120))]
    pub timeout_seconds: Option<i32>,
}

impl Demand {
    /// Seconds from one answer to the next question when nothing is given.
    pub const DEFAULT_PERIOD_SECONDS: i32 = 15;
    /// Seconds in which the answer has to come when nothing is given.
    pub const DEFAULT_TIMEOUT_SECONDS: i32 = 10;
    /// The most seconds that an answer may take: a connection is held open for it.
    pub const TIMEOUT_SECONDS_MAX: i32 = 120;

    /// Seconds from one answer to the next question.
    pub fn period(&self) -> i32 {
        self.period_seconds.unwrap_or(Self::DEFAULT_PERIOD_SECONDS)
    }

    /// Seconds in which the answer has to come.
    pub fn timeout(&self) -> i32 {
        self.timeout_seconds
            .unwrap_or(Self::DEFAULT_TIMEOUT_SECONDS)
    }

    /// The role whose member is asked, for members of `role`.
    pub fn asked<'a>(&'a self, role: &'a str) -> &'a str {
        self.role_id.as_deref().unwrap_or(role)
    }
}
