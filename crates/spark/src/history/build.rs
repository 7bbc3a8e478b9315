//! What a history server consists of, made from the specification, policies and ObjectStores.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use windlass_api::field::FieldError;
use windlass_api::spark::application::{ConfValue, ExecutorSpec, SparkApplicationSpec};
use windlass_api::spark::history::{
    self, HISTORY_NAME_LABEL, HISTORY_OF_LABEL, LOG_DIRECTORY_ANNOTATION, LOG_DIRECTORY_KEY,
    history_of, in_own_words, server_name,
};
use windlass_api::spark::{SparkApplication, SparkHistoryServer};

use crate::lower::history::{HISTORY_ROLE, PORT_NAME, port};
use crate::lower::{self, LowerError, Settings};
use crate::observe::ROLE;
use crate::policy::Policies;
use crate::standing::{self, Owner, deployment, rename_file, service_port, stamp};
use crate::stores::{Stores, Waits};

/// The objects of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What must be there before the server: its file, its Service.
    pub before: Vec<Value>,
    /// The Deployment of the server, with one replica.
    pub deployment: Value,
    /// The name of the Service.
    pub service: String,
    /// Where its page is inside of the cluster.
    pub url: String,
    /// The directory whose event logs it shows, where that is known.
    pub log_directory: Option<String>,
    /// Fields that have no effect, one line each.
    pub not_applied: Vec<String>,
    /// Fields that a policy decided otherwise, one line each.
    pub decided: Vec<String>,
    /// Settings with a secret that everybody reads, one line each.
    pub exposed: Vec<String>,
}

/// Why there is nothing to be made of a server; one line per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The specification cannot be meant, or a policy does not allow it.
    Invalid(Vec<String>),
    /// A policy is broken.
    Policy(Vec<String>),
    /// An ObjectStore is not there yet.
    ObjectStore(Vec<String>),
}

impl Obstacle {
    /// The problems.
    pub fn problems(&self) -> &[String] {
        match self {
            Self::Invalid(problems) | Self::Policy(problems) | Self::ObjectStore(problems) => {
                problems
            }
        }
    }
}

/// A SparkHistoryServer as policies make it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruled {
    server: SparkHistoryServer,
    /// The application that it is.
    app: SparkApplication,
    decided: Vec<String>,
}

impl Ruled {
    /// By these policies, or why they do not let it be.
    pub fn by(policies: &Policies, server: &SparkHistoryServer) -> Result<Self, Obstacle> {
        if !policies.broken().is_empty() {
            return Err(Obstacle::Policy(policies.broken().to_vec()));
        }
        let app = history::application(server);
        // Pods without an account of their own have that of the namespace.
        let (app, decided) = policies
            .apply_to(&app, None)
            .map_err(|refusals| invalid(refusals.into_iter().map(in_own_words)))?;
        let mut server = server.clone();
        let spec = &mut server.spec;
        spec.spark_version.clone_from(&app.spec.spark_version);
        spec.image.clone_from(&app.spec.image);
        spec.spark_conf.clone_from(&app.spec.spark_conf);
        spec.hadoop_conf.clone_from(&app.spec.hadoop_conf);
        Ok(Self {
            app: bare(app, &server),
            server,
            decided: decided.iter().map(|it| own_fields(it)).collect(),
        })
    }

    /// The SparkHistoryServer, with the fields that policies decide.
    pub fn server(&self) -> &SparkHistoryServer {
        &self.server
    }
}

/// Without what policies say of jobs and a server is not: it has no executors, reports to nobody, and neither writes
/// an event log nor has to wait for its turn.
fn bare(app: SparkApplication, server: &SparkHistoryServer) -> SparkApplication {
    let SparkApplication {
        metadata,
        spec,
        status,
    } = app;
    SparkApplication {
        metadata,
        spec: SparkApplicationSpec {
            object_stores: server.spec.object_stores.clone(),
            event_log: None,
            keep_logs: None,
            executor: ExecutorSpec::default(),
            dynamic_allocation: None,
            monitoring: None,
            batch_scheduler: None,
            batch_scheduler_options: None,
            spark_ui_options: None,
            driver_ingress_options: Vec::new(),
            ..spec
        },
        status,
    }
}

/// The objects of a server. Without the ObjectStores, as where there is no cluster, they lack what follows from these.
pub fn wanted(
    ruled: &Ruled,
    stores: Option<&Stores>,
    settings: &Settings,
) -> Result<Wanted, Obstacle> {
    let server = &ruled.server;
    let problems = history::validate(server);
    if !problems.is_empty() {
        return Err(invalid(problems.into_iter()));
    }
    let service = server
        .spec
        .service()
        .map_err(|it| invalid(it.into_iter()))?;
    let mut app = ruled.app.clone();
    app.spec.spark_conf.extend(server.spec.settings());
    if let Some(stores) = stores {
        reach(&mut app, server, stores)?;
    }
    let lowered = lower::lower_history(&app, settings).map_err(|error| match error {
        LowerError::Invalid(errors) => invalid(errors.into_iter().map(in_own_words)),
        refused @ LowerError::Refused(_) => Obstacle::Invalid(refused.problems()),
    })?;
    let submission = lowered.submission;
    let directory = submission.conf.get(LOG_DIRECTORY_KEY).cloned();
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let mut pod = submission.driver;
    let mut before = Vec::new();
    for mut file in submission.objects {
        rename_file(&mut file, &mut pod, &format!("{name}-history-conf"));
        before.push(file);
    }
    mark(&mut pod, server, directory.as_deref());
    let port = port(&submission.conf);
    let selector = selector(name);
    let ports = vec![service_port(PORT_NAME, port)];
    let service = standing::service(&server_name(name), service.as_ref(), &selector, ports);
    let service_name = service.metadata.name.clone().unwrap_or_default();
    let namespace = server.metadata.namespace.as_deref().unwrap_or("default");
    let url = format!(
        "http://{service_name}.{namespace}:{}",
        outer(&service, port)
    );
    // A Service is plain data, which always has a JSON form.
    before.push(serde_json::to_value(&service).unwrap_or_default());
    let mut deployment = deployment(&server_name(name), &selector, &pod);
    let owner = Owner {
        api_version: "windlass.dev/v1alpha1",
        kind: "SparkHistoryServer",
        label: HISTORY_NAME_LABEL,
        metadata: &server.metadata,
    };
    for object in before.iter_mut().chain([&mut deployment]) {
        owner.adopt(object);
        stamp(object);
    }
    let not_applied = lowered.not_applied.iter();
    Ok(Wanted {
        before,
        deployment,
        service: service_name,
        url,
        log_directory: directory,
        not_applied: not_applied.map(|it| own_fields(&it.to_string())).collect(),
        decided: ruled.decided.clone(),
        exposed: lowered.exposed,
    })
}

/// Gives the server what it needs to reach its buckets.
fn reach(
    app: &mut SparkApplication,
    server: &SparkHistoryServer,
    stores: &Stores,
) -> Result<(), Obstacle> {
    let waits = |waits| match waits {
        Waits::ForOperator(problem) => Obstacle::Invalid(vec![problem]),
        Waits::ForStores(problems) => Obstacle::ObjectStore(problems),
    };
    stores.apply(app).map_err(waits)?;
    if let Some(store) = &server.spec.event_log {
        let directory = stores.read_logs(app, store).map_err(waits)?;
        let directory = ConfValue::from(directory.as_str());
        let conf = &mut app.spec.spark_conf;
        conf.insert(LOG_DIRECTORY_KEY.to_owned(), directory);
    }
    Ok(())
}

/// What the pod is of, for whoever looks for a page.
fn mark(pod: &mut Value, server: &SparkHistoryServer, directory: Option<&str>) {
    let metadata = &mut pod["metadata"];
    let store = server.spec.event_log.as_deref();
    let store = store.map_or_else(String::new, history_of);
    metadata["labels"][HISTORY_OF_LABEL] = json!(store);
    if let Some(directory) = directory {
        metadata["annotations"][LOG_DIRECTORY_ANNOTATION] = json!(directory);
    }
}

/// The labels of the server's pod by which it is found.
fn selector(name: &str) -> BTreeMap<String, String> {
    let labels = [(HISTORY_NAME_LABEL, name), (ROLE, HISTORY_ROLE)];
    labels
        .into_iter()
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .collect()
}

/// The port of the Service that leads to this one of the pod.
fn outer(service: &Service, port: u16) -> i32 {
    let target = IntOrString::Int(i32::from(port));
    let leads_there = |it: &&ServicePort| {
        it.name.as_deref() == Some(PORT_NAME) || it.target_port.as_ref() == Some(&target)
    };
    let spec = service.spec.iter();
    let mut ports = spec.flat_map(|spec| spec.ports.iter().flatten());
    let found = ports.find(leads_there);
    found.map_or(i32::from(port), |it| it.port)
}

fn invalid(errors: impl Iterator<Item = FieldError>) -> Obstacle {
    Obstacle::Invalid(errors.map(|error| error.to_string()).collect())
}

/// A line about fields of the application, by the names that they have here.
fn own_fields(line: &str) -> String {
    line.replace("spec.driver.", "spec.")
}
