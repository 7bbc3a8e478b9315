//! `windlass status`: a look at the cluster and its applications, or at one of them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use windlass_spark::diagnosis::{Finding, diagnose};

use super::why;
use crate::applications::{Place, Scope, age, executors, queued, show, state};
use crate::args::{Show, StatusArgs};
use crate::evidence::gather;
use crate::exit::{Exit, Failure};
use crate::output::{data, out, table, talk};
use crate::run::follow::application_resource;
use crate::run::preflight::api_failure;

/// Shows nodes and applications, or one application.
pub async fn status(args: StatusArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let Some(name) = &args.name else {
        return cluster(&place, args.place.namespace.is_some()).await;
    };
    if !matches!(args.output, Show::Table | Show::Wide) {
        let application = place.application(name).await?;
        return show(&[application], args.output, Scope::One);
    }
    let gathered = gather(&place, name).await?;
    let now = Timestamp::now();
    let findings = diagnose(&gathered.evidence, now);
    let wide = args.output == Show::Wide;
    data(&one(&gathered.evidence.application, &findings, wide, now))
}

/// The nodes, and the applications of all namespaces or of the one that was named.
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
    let api: Api<DynamicObject> = if only_namespace {
        place.applications()
    } else {
        Api::all_with(place.client.clone(), &application_resource())
    };
    let found = api
        .list(&ListParams::default())
        .await
        .map_err(api_failure)?;
    if found.items.is_empty() {
        talk("no applications");
        return Ok(Exit::Completed);
    }
    show(&found.items, Show::Table, Scope::AllNamespaces)
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
    let text = |pointer: &str| {
        let value = application.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let since = |pointer: &str| {
        let at: Option<Timestamp> = text(pointer).parse().ok();
        at.map_or_else(
            || "-".to_owned(),
            |at| format!("{} ago", age(now.duration_since(at).as_secs())),
        )
    };
    let status = &application["status"];
    let state = serde_json::from_value::<DynamicObject>(application.clone());
    let state = state
        .as_ref()
        .map_or("New", |it| self::state(it))
        .to_owned();
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
    let message = match queued(application) {
        Some(message) => message.to_owned(),
        None => text("/status/applicationState/errorMessage"),
    };
    rows.push(("Message", message));
    let mut lines: Vec<String> = rows
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<12}{value}"))
        .collect();
    if wide {
        lines.extend(executor_lines(status));
    }
    for finding in findings {
        lines.push(String::new());
        lines.extend(why::block(finding));
    }
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
