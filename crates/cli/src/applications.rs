//! What the commands about applications share: where to look, what to say when it is not there,
//! and the ways to show one.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::args::{PlaceArgs, Show};
use crate::connect::{Connection, Start};
use crate::exit::{Exit, Failure};
use crate::output::{data, table};
use crate::run::follow;
use crate::run::preflight::api_failure;

/// A namespace of a cluster.
pub struct Place {
    /// The way to the cluster.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Place {
    /// Opens the way.
    pub async fn open(args: &PlaceArgs) -> Result<Self, Failure> {
        let connection = Connection::open(&args.cluster, Start::Never).await?;
        let client = connection.client().clone();
        let namespace = match &args.namespace {
            Some(namespace) => namespace.clone(),
            None => client.default_namespace().to_owned(),
        };
        Ok(Self { client, namespace })
    }

    /// The applications of the namespace.
    pub fn applications(&self) -> Api<DynamicObject> {
        follow::applications(self.client.clone(), &self.namespace)
    }

    /// The pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An application that must be there.
    pub async fn application(&self, name: &str) -> Result<DynamicObject, Failure> {
        self.applications()
            .get(name)
            .await
            .map_err(|error| self.failure(name, error))
    }

    /// What to say when a call about an application was not answered as hoped.
    pub fn failure(&self, name: &str, error: kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) if status.code == 404 => Failure::bad_input(format!(
                "no application {}/{name}: see windlass list for what there is",
                self.namespace
            )),
            error => api_failure(error),
        }
    }
}

/// What is said of an application that waits for its turn.
pub fn queued(application: &Value) -> Option<&str> {
    let conditions = application["status"]["conditions"].as_array();
    let admitted = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Admitted")?;
    let message = admitted["message"].as_str().unwrap_or_default();
    (admitted["status"] == "False").then_some(message)
}

/// The state of an application, in the API's word; `New` when nobody has looked at it, and `QUEUED`
/// when it waits for its turn, for which the API's states have no word.
pub fn state(application: &DynamicObject) -> &str {
    if queued(&application.data).is_some() {
        return "QUEUED";
    }
    application.data["status"]["applicationState"]["state"]
        .as_str()
        .filter(|state| !state.is_empty())
        .unwrap_or("New")
}

/// Prints applications.
pub fn show(applications: &[DynamicObject], how: Show, scope: Scope) -> Result<Exit, Failure> {
    match how {
        Show::Table | Show::Wide => {
            let now = Timestamp::now();
            let mut head = vec!["NAME", "STATE", "ATTEMPTS", "EXECUTORS", "AGE"];
            if scope == Scope::AllNamespaces {
                head.insert(0, "NAMESPACE");
            }
            if how == Show::Wide {
                head.extend(["ENDED", "SPARK", "IMAGE", "DRIVER", "ID"]);
            }
            head.push("MESSAGE");
            let rows: Vec<Vec<String>> = applications
                .iter()
                .map(|application| row(application, how, scope, now))
                .collect();
            data(&table(&head, &rows))
        }
        Show::Name => data(
            &applications
                .iter()
                .map(|it| {
                    format!(
                        "sparkapplication.sparkoperator.k8s.io/{}",
                        it.metadata.name.as_deref().unwrap_or_default()
                    )
                })
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        Show::Json | Show::Yaml => {
            let mut objects = Vec::new();
            for application in applications {
                let mut object = serde_json::to_value(application).map_err(Failure::internal)?;
                object["apiVersion"] = json!("sparkoperator.k8s.io/v1beta2");
                object["kind"] = json!("SparkApplication");
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("managedFields");
                }
                objects.push(object);
            }
            let whole = match (objects.len(), scope) {
                (1, Scope::One) => objects.remove(0),
                _ => json!({"apiVersion": "v1", "kind": "List", "items": objects}),
            };
            document(&whole, how == Show::Json)
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One application.
    One,
    /// Several of one namespace.
    Namespace,
    /// Those of all namespaces.
    AllNamespaces,
}

/// Prints one document.
pub fn document(value: &Value, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        return data(&serde_json::to_string_pretty(value).map_err(Failure::internal)?);
    }
    let text = windlass_api::parse::to_yaml(value).map_err(Failure::internal)?;
    data(text.trim_end())
}

fn row(application: &DynamicObject, how: Show, scope: Scope, now: Timestamp) -> Vec<String> {
    let text = |pointer: &str| {
        let value = application.data.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let status = &application.data["status"];
    let mut cells = vec![
        application.metadata.name.clone().unwrap_or_default(),
        state(application).to_owned(),
        status["executionAttempts"]
            .as_i64()
            .unwrap_or(0)
            .to_string(),
        executors(status),
        application
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or_else(String::new, |created| {
                age(now.duration_since(created.0).as_secs())
            }),
    ];
    if scope == Scope::AllNamespaces {
        cells.insert(
            0,
            application.metadata.namespace.clone().unwrap_or_default(),
        );
    }
    if how == Show::Wide {
        let or_none = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text
            }
        };
        let ended: Option<Timestamp> = text("/status/terminationTime").parse().ok();
        cells.extend([
            ended.map_or_else(
                || "-".to_owned(),
                |ended| age(now.duration_since(ended).as_secs()),
            ),
            or_none(text("/spec/sparkVersion")),
            or_none(text("/spec/image")),
            or_none(text("/status/driverInfo/podName")),
            or_none(text("/status/sparkApplicationId")),
        ]);
    }
    cells.push(match queued(&application.data) {
        Some(message) => message.to_owned(),
        None => text("/status/applicationState/errorMessage"),
    });
    cells
}

/// How many executors run.
pub fn executors(status: &Value) -> String {
    let running = status["executorState"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, state)| *state == "RUNNING")
        .count();
    running.to_string()
}

/// An age in its largest unit, as kubectl shows it.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{}s", seconds.max(0)),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
