//! `windlass status`: a look at the cluster and what is in it, or at one object.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use super::why;
use crate::applications::{self, Place, executors};
use crate::args::{Show, StatusArgs};
use crate::exit::{Exit, Failure};
use crate::findings::{Finding, paragraphs};
use crate::kinds::Kind;
use crate::output::{data, out, table, talk};
use crate::run::preflight::api_failure;
use crate::shown::{Found, Scope, ago, lines, show, text, time};
use crate::{clusters, connects, histories, schedules};

/// Shows nodes and all objects, or one object.
pub async fn status(args: StatusArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let Some(subject) = &args.object else {
        return cluster(&place, args.place.namespace.is_some()).await;
    };
    if !matches!(args.output, Show::Table | Show::Wide) {
        let found = Found {
            kind: subject.kind,
            object: place.object(subject).await?,
        };
        return show(&[found], args.output, Scope::One);
    }
    let judgement = why::judge(&place, subject).await?;
    let (object, findings) = (&judgement.object, &judgement.findings);
    let (wide, now) = (args.output == Show::Wide, Timestamp::now());
    data(&match subject.kind {
        Kind::Application => one(object, findings, wide, now),
        Kind::Connect => connects::one(object, findings, wide, now),
        Kind::History => histories::one(object, findings, wide),
        Kind::Schedule => {
            let runs = schedules::runs(&place, &subject.name).await?;
            schedules::one(object, &runs, findings, wide, now)
        }
        Kind::Cluster => {
            let services = clusters::services(&place, subject).await?;
            clusters::one(object, &services, findings, wide)
        }
    })
}

/// The nodes, and the objects of all namespaces or of the one that was named.
async fn cluster(place: &Place, only_namespace: bool) -> Result<Exit, Failure> {
    let nodes: Api<Node> = Api::all(place.client.clone());
    match nodes.list(&ListParams::default()).await {
        Ok(nodes) => {
            let rows: Vec<Vec<String>> = nodes.items.iter().map(node_row).collect();
            out(&table(&["NODE", "STATUS", "CPU", "MEMORY"], &rows));
            out("");
        }
        // Not everybody may see the nodes; the applications are what most look for.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            talk(&format!("note: {}", status.message));
        }
        Err(error) => return Err(api_failure(error)),
    }
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let api: Api<DynamicObject> = if only_namespace {
            place.api(kind)
        } else {
            Api::all_with(place.client.clone(), &kind.resource())
        };
        let objects = match api.list(&ListParams::default()).await {
            Ok(objects) => objects.items,
            // Older operators' users may not see all kinds, and older clusters do not have them.
            Err(kube::Error::Api(status))
                if kind != Kind::Application && matches!(status.code, 403 | 404) =>
            {
                continue;
            }
            Err(error) => return Err(api_failure(error)),
        };
        if objects.is_empty() && kind == Kind::Application {
            talk("no applications");
        }
        found.extend(objects.into_iter().map(|object| Found { kind, object }));
    }
    if found.is_empty() {
        return Ok(Exit::Completed);
    }
    show(&found, Show::Table, Scope::AllNamespaces)
}

fn node_row(node: &Node) -> Vec<String> {
    let status = node.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let quantity = |name: &str| {
        status
            .allocatable
            .as_ref()
            .and_then(|all| all.get(name))
            .map_or_else(String::new, |quantity| quantity.0.clone())
    };
    vec![
        node.metadata.name.clone().unwrap_or_default(),
        if ready { "Ready" } else { "NotReady" }.to_owned(),
        quantity("cpu"),
        quantity("memory"),
    ]
}

/// One application for people, with what is not well.
fn one(application: &Value, findings: &[Finding], wide: bool, now: Timestamp) -> String {
    let text = |pointer: &str| text(application, pointer);
    let since = |pointer: &str| {
        time(application, pointer).map_or_else(|| "-".to_owned(), |at| ago(at, now))
    };
    let status = &application["status"];
    let state = serde_json::from_value::<DynamicObject>(application.clone());
    let state = state.as_ref().map_or("New", applications::state).to_owned();
    let mut rows = vec![
        (
            "Name",
            format!("{}/{}", text("/metadata/namespace"), text("/metadata/name")),
        ),
        ("State", state),
        ("Submitted", since("/status/lastSubmissionAttemptTime")),
        ("Started", since("/status/driverInfo/startTime")),
        ("Ended", since("/status/terminationTime")),
        (
            "Attempts",
            status["executionAttempts"]
                .as_i64()
                .unwrap_or(0)
                .to_string(),
        ),
        ("Driver", text("/status/driverInfo/podName")),
        ("Executors", format!("{} running", executors(status))),
        ("Page", page(&text)),
    ];
    if wide {
        rows.push(("Id", text("/status/sparkApplicationId")));
        rows.push(("Submission", text("/status/submissionID")));
        rows.push(("Spark", text("/spec/sparkVersion")));
        rows.push(("Image", text("/spec/image")));
    }
    rows.push(("Message", applications::message(application)));
    let mut lines = lines(rows);
    if wide {
        lines.extend(executor_lines(status));
    }
    lines.extend(paragraphs(findings));
    lines.join("\n")
}

/// Where the driver's web page is, for whoever is farthest away and still reaches it.
fn page(text: &impl Fn(&str) -> String) -> String {
    let addresses = [
        "webUIIngressAddress",
        "webUIExternalAddress",
        "webUIAddress",
    ];
    let mut addresses = addresses
        .map(|name| text(&format!("/status/driverInfo/{name}")))
        .into_iter();
    addresses
        .find(|address| !address.is_empty())
        .unwrap_or_default()
}

fn executor_lines(status: &Value) -> Vec<String> {
    let executors = status["executorState"].as_object();
    let line = |(pod, state): (&String, &Value)| {
        format!("            {pod} {}", state.as_str().unwrap_or_default())
    };
    executors.into_iter().flatten().map(line).collect()
}
