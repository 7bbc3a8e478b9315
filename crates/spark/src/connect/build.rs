//! What a server consists of, made from the specification alone.

use serde::Deserialize as _;
use serde_json::{Value, json};
use windlass_api::field::FieldError;
use windlass_api::spark::application::{NameKey, SparkApplicationSpec};
use windlass_api::spark::connect::{
    self, CONNECT_NAME_LABEL, ConnectPieces, in_own_words, server_name,
};
use windlass_api::spark::{SparkApplication, SparkConnect};

use super::{MADE_FOR_ANNOTATION, TOKEN_ANNOTATION, reach};
use crate::lower::{self, LowerError, Lowered, Settings};
use crate::policy::Policies;
use crate::standing::{Owner, deployment, rename_file, stamp};

/// On the Deployment: the specification of the server as policies made it, where there were some.
pub const RULED_ANNOTATION: &str = "windlass.dev/ruled";

/// How the server learns the token that clients must show.
const TOKEN_VARIABLE: &str = "SPARK_CONNECT_AUTHENTICATE_TOKEN";

/// The objects of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What must be there before the server: its files, its Service, its policies.
    pub before: Vec<Value>,
    /// The Deployment of the server, with one replica.
    pub deployment: Value,
    /// The name of the Service.
    pub service: String,
    /// The Secret of the token that the operator makes, if it makes one.
    pub token: Option<NameKey>,
    /// Fields that have no effect, one line each.
    pub not_applied: Vec<String>,
    /// Fields that a policy decided otherwise, one line each.
    pub decided: Vec<String>,
    /// Settings with a secret that everybody reads, one line each.
    pub exposed: Vec<String>,
}

/// A SparkConnect as policies make it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruled {
    connect: SparkConnect,
    /// The application that its server is.
    app: SparkApplication,
    decided: Vec<String>,
    is_ruled: bool,
}

impl Ruled {
    /// The SparkConnect, with the fields that policies decide.
    pub fn connect(&self) -> &SparkConnect {
        &self.connect
    }

    /// As the user wrote it.
    pub fn plainly(connect: &SparkConnect) -> Self {
        Self {
            connect: connect.clone(),
            app: connect::application(connect),
            decided: Vec::new(),
            is_ruled: false,
        }
    }

    /// By these policies, or why they do not let it be.
    pub fn by(
        policies: &Policies,
        connect: &SparkConnect,
        account: Option<&str>,
    ) -> Result<Self, Vec<String>> {
        if policies.is_empty() {
            return Ok(Self::plainly(connect));
        }
        let app = connect::application(connect);
        let (app, decided) = policies.apply_to(&app, account).map_err(|refusals| {
            let own = refusals.into_iter().map(in_own_words);
            own.map(|it| it.to_string()).collect::<Vec<_>>()
        })?;
        let decided = decided
            .iter()
            .map(|it| it.replace("spec.driver.", "spec.server."));
        Ok(Self {
            decided: decided.collect(),
            ..Self::of(connect, app)
        })
    }

    /// By the policies that held when its Deployment was made, as that tells.
    pub fn by_record(connect: &SparkConnect, record: &str) -> Option<Self> {
        let spec: Value = serde_json::from_str(record).ok()?;
        let spec = SparkApplicationSpec::deserialize(&spec).ok()?;
        let app = SparkApplication {
            spec,
            ..connect::application(connect)
        };
        Some(Self::of(connect, app))
    }

    fn of(connect: &SparkConnect, app: SparkApplication) -> Self {
        let mut connect = connect.clone();
        connect
            .spec
            .spark_version
            .clone_from(&app.spec.spark_version);
        connect.spec.image.clone_from(&app.spec.image);
        connect.spec.spark_conf.clone_from(&app.spec.spark_conf);
        connect.spec.hadoop_conf.clone_from(&app.spec.hadoop_conf);
        connect.spec.keep_logs.clone_from(&app.spec.keep_logs);
        connect.spec.dynamic_allocation = app.spec.dynamic_allocation;
        Self {
            connect,
            app,
            decided: Vec::new(),
            is_ruled: true,
        }
    }
}

/// The objects of a server, or one line per problem of its specification.
pub fn wanted(connect: &SparkConnect, settings: &Settings) -> Result<Wanted, Vec<String>> {
    wanted_of(&Ruled::plainly(connect), settings)
}

/// The same, of what policies make of it.
pub fn wanted_of(ruled: &Ruled, settings: &Settings) -> Result<Wanted, Vec<String>> {
    let connect = &ruled.connect;
    let problems = connect::validate(connect);
    if !problems.is_empty() {
        return Err(lines(problems));
    }
    let pieces = ConnectPieces::parse(&connect.spec).map_err(lines)?;
    let lowered = lower::lower_server(&ruled.app, settings).map_err(|error| match error {
        LowerError::Invalid(errors) => lines(errors.into_iter().map(in_own_words).collect()),
        refused @ LowerError::Refused(_) => refused.problems(),
    })?;
    Ok(assemble(ruled, &pieces, lowered))
}

fn lines(errors: Vec<FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn assemble(ruled: &Ruled, pieces: &ConnectPieces, lowered: Lowered) -> Wanted {
    let connect = &ruled.connect;
    let name = connect.metadata.name.as_deref().unwrap_or_default();
    // No batch scheduler is asked for a server, and it waits in no queue.
    let Lowered {
        submission,
        not_applied,
        exposed,
        demand: _,
        pod_group: _,
        checkpoint_claim: _,
    } = lowered;
    let mut pod = submission.driver;
    let mut before = reach::network_policies(name, pieces, &submission.conf);
    for mut file in submission.objects {
        let what = match file["data"].get("spark.properties") {
            Some(_) => "conf",
            None => "executors",
        };
        rename_file(&mut file, &mut pod, &format!("{name}-{what}"));
        before.push(file);
    }
    let service = reach::service(name, pieces, &submission.conf);
    let service_name = service["metadata"]["name"].as_str().unwrap_or_default();
    let service_name = service_name.to_owned();
    before.push(service);
    let token = connect.spec.token(name);
    if let Some(secret) = &token {
        show_token(&mut pod, &submission.container, secret);
    }
    let made = token.filter(|_| connect.spec.makes_token());
    let mut deployment = deployment(&server_name(name), &reach::selector(name), &pod);
    if let Some(secret) = &made {
        deployment["metadata"]["annotations"][TOKEN_ANNOTATION] = json!(secret.name);
    }
    if ruled.is_ruled {
        let record = serde_json::to_string(&ruled.app.spec).unwrap_or_default();
        deployment["metadata"]["annotations"][RULED_ANNOTATION] = json!(record);
    }
    let owner = Owner {
        api_version: "sparkoperator.k8s.io/v1alpha1",
        kind: "SparkConnect",
        label: CONNECT_NAME_LABEL,
        metadata: &connect.metadata,
    };
    for object in before.iter_mut().chain([&mut deployment]) {
        owner.adopt(object);
        stamp(object);
    }
    if let Some(generation) = connect.metadata.generation {
        let generation = json!(generation.to_string());
        deployment["metadata"]["annotations"][MADE_FOR_ANNOTATION] = generation;
    }
    Wanted {
        before,
        deployment,
        service: service_name,
        token: made,
        not_applied: not_applied
            .iter()
            .map(|note| note.to_string().replace("spec.driver.", "spec.server."))
            .collect(),
        decided: ruled.decided.clone(),
        exposed,
    }
}

/// The server reads the token from its environment.
fn show_token(pod: &mut Value, container: &str, secret: &NameKey) {
    let containers = pod["spec"]["containers"].as_array_mut();
    let spark = containers
        .into_iter()
        .flatten()
        .find(|it| it["name"] == *container);
    let variables = spark.and_then(|spark| spark["env"].as_array_mut());
    if let Some(variables) = variables {
        variables.retain(|it| it["name"] != TOKEN_VARIABLE);
        variables.push(json!({
            "name": TOKEN_VARIABLE,
            "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}},
        }));
    }
}
