//! What the commands about objects share: where to look, and what to say when one is not there; and
//! how an application is shown.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use kube::{Api, Client};
use serde_json::Value;

use crate::args::PlaceArgs;
use crate::connect::{Connection, Start};
use crate::exit::Failure;
use crate::kinds::{Kind, Subject};
use crate::run::preflight::api_failure;
use crate::shown::{age, age_of, or_none, text, time};

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

    /// The objects of a kind in the namespace.
    pub fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    /// The applications of the namespace.
    pub fn applications(&self) -> Api<DynamicObject> {
        self.api(Kind::Application)
    }

    /// The pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An object that must be there.
    pub async fn object(&self, subject: &Subject) -> Result<DynamicObject, Failure> {
        match self.api(subject.kind).get(&subject.name).await {
            Ok(found) => Ok(found),
            Err(error) => Err(self.failure(subject, error).await),
        }
    }

    /// How an object is called in messages.
    pub fn about(&self, subject: &Subject) -> String {
        let path = format!("{}/{}", self.namespace, subject.name);
        match subject.kind {
            Kind::Application => path,
            kind => format!("{} {path}", kind.noun()),
        }
    }

    /// What to say when a call about an object was not answered as hoped.
    pub async fn failure(&self, subject: &Subject, error: kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) if status.code == 404 => self.absent(subject).await,
            error => api_failure(error),
        }
    }

    /// What to say of an object that is not there. It may be of another kind than was meant.
    async fn absent(&self, subject: &Subject) -> Failure {
        let mut hint = format!("see {} for what there is", subject.kind.lister());
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != subject.kind) {
            let other = self.api(kind).get_metadata_opt(&subject.name).await;
            if matches!(other, Ok(Some(_))) {
                let other = Subject::of(kind, subject.name.as_str());
                hint = match kind {
                    Kind::Application => {
                        format!("there is an application of that name: give {other}")
                    }
                    kind => format!("there is a {} of that name: give {other}", kind.noun()),
                };
            }
        }
        Failure::bad_input(format!(
            "no {} {}/{}: {hint}",
            subject.kind.noun(),
            self.namespace,
            subject.name
        ))
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

/// The columns of applications.
pub fn head(wide: bool) -> Vec<&'static str> {
    let mut head = vec!["NAME", "STATE", "ATTEMPTS", "EXECUTORS", "AGE"];
    if wide {
        head.extend(["ENDED", "SPARK", "IMAGE", "DRIVER", "ID"]);
    }
    head.push("MESSAGE");
    head
}

/// The cells of one application.
pub fn row(application: &DynamicObject, wide: bool, now: Timestamp) -> Vec<String> {
    let data = &application.data;
    let status = &data["status"];
    let attempts = status["executionAttempts"].as_i64().unwrap_or(0);
    let mut cells = vec![
        application.metadata.name.clone().unwrap_or_default(),
        state(application).to_owned(),
        attempts.to_string(),
        executors(status),
        age_of(application, now),
    ];
    if wide {
        let ended = time(data, "/status/terminationTime");
        cells.extend([
            or_none(ended.map_or_else(String::new, |ended| {
                age(now.duration_since(ended).as_secs())
            })),
            or_none(text(data, "/spec/sparkVersion")),
            or_none(text(data, "/spec/image")),
            or_none(text(data, "/status/driverInfo/podName")),
            or_none(text(data, "/status/sparkApplicationId")),
        ]);
    }
    cells.push(message(data));
    cells
}

/// What is said of an application: what it waits for, or what is wrong.
pub fn message(application: &Value) -> String {
    match queued(application) {
        Some(message) => message.to_owned(),
        None => text(application, "/status/applicationState/errorMessage"),
    }
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
