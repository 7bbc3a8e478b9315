//! `windlass status` and `windlass logs`: a look at the cluster and its applications.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DynamicObject, ListParams, LogParams};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::args::{LogsArgs, StatusArgs};
use crate::connect::{Connection, Start};
use crate::exit::{Exit, Failure};
use crate::output::{out, table, talk};
use crate::podlog::PodLog;
use crate::run::follow::{APP_NAME_LABEL, application_resource, applications};
use crate::run::preflight::api_failure;

/// Shows nodes and applications.
pub async fn status(args: StatusArgs) -> Result<Exit, Failure> {
    let connection = Connection::open(&args.cluster, Start::Never).await?;
    let client = connection.client();
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes
        .list(&ListParams::default())
        .await
        .map_err(api_failure)?;
    let rows: Vec<Vec<String>> = nodes
        .items
        .iter()
        .map(|node| {
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
        })
        .collect();
    out(&table(&["NODE", "STATUS", "CPU", "MEMORY"], &rows));

    let all: Api<DynamicObject> = Api::all_with(client.clone(), &application_resource());
    let found = all
        .list(&ListParams::default())
        .await
        .map_err(api_failure)?;
    if found.items.is_empty() {
        talk("no applications");
        return Ok(Exit::Completed);
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = found.items.iter().map(|object| row(object, now)).collect();
    out("");
    out(&table(
        &["NAMESPACE", "NAME", "STATE", "ATTEMPTS", "AGE", "MESSAGE"],
        &rows,
    ));
    Ok(Exit::Completed)
}

fn row(application: &DynamicObject, now: Timestamp) -> Vec<String> {
    let status = &application.data["status"];
    let state = status["applicationState"]["state"]
        .as_str()
        .unwrap_or_default();
    let age = application
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or_else(String::new, |created| {
            age(now.duration_since(created.0).as_secs())
        });
    vec![
        application.metadata.namespace.clone().unwrap_or_default(),
        application.metadata.name.clone().unwrap_or_default(),
        if state.is_empty() { "New" } else { state }.to_owned(),
        status["executionAttempts"]
            .as_i64()
            .unwrap_or(0)
            .to_string(),
        age,
        status["applicationState"]["errorMessage"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    ]
}

/// An age in its largest unit, as kubectl shows it.
fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{}s", seconds.max(0)),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Prints a log of an application.
pub async fn logs(args: LogsArgs) -> Result<Exit, Failure> {
    let connection = Connection::open(&args.cluster, Start::Never).await?;
    let client = connection.client();
    applications(client.clone(), &args.namespace)
        .get(&args.name)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => Failure::bad_input(format!(
                "no application {}/{}: see windlass status for what there is",
                args.namespace, args.name
            )),
            error => api_failure(error),
        })?;
    let selector = match args.executor {
        None => format!("{APP_NAME_LABEL}={},spark-role=driver", args.name),
        Some(id) => {
            format!(
                "{APP_NAME_LABEL}={},spark-role=executor,spark-exec-id={id}",
                args.name
            )
        }
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &args.namespace);
    let found = pods
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(api_failure)?;
    let newest = found
        .items
        .into_iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.clone());
    let Some(pod) = newest else {
        return Err(Failure::bad_input(match args.executor {
            None => format!("{}/{} has no driver pod (yet)", args.namespace, args.name),
            Some(id) => format!(
                "{}/{} has no executor {id}: executors that ended are removed by Spark unless \
                 spark.kubernetes.executor.deleteOnTermination is false",
                args.namespace, args.name
            ),
        }));
    };
    let name = pod.metadata.name.clone().unwrap_or_default();
    let container = pod.spec.as_ref().and_then(|spec| {
        let spark = spec.containers.iter().find(|container| {
            container
                .args
                .as_ref()
                .and_then(|args| args.first())
                .is_some_and(|role| role == "driver" || role == "executor")
        });
        spark
            .or(spec.containers.first())
            .map(|container| container.name.clone())
    });
    if args.follow {
        let log = PodLog {
            pods,
            pod: name,
            uid: pod.metadata.uid.unwrap_or_default(),
            container: container.unwrap_or_default(),
            tail: args.tail,
            patience: args.reconnect.patience(),
        };
        return follow(log).await;
    }
    let params = LogParams {
        tail_lines: args.tail,
        container,
        ..LogParams::default()
    };
    let stream = pods.log_stream(&name, &params).await.map_err(api_failure)?;
    let mut stream = std::pin::pin!(tokio_util::compat::FuturesAsyncReadCompatExt::compat(
        stream
    ));
    let mut stdout = std::io::stdout();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer).await.map_err(Failure::internal)?;
        if count == 0 || std::io::Write::write_all(&mut stdout, &buffer[..count]).is_err() {
            return Ok(Exit::Completed);
        }
        let _ = std::io::Write::flush(&mut stdout);
    }
}

/// Prints a log as it grows.
async fn follow(log: PodLog) -> Result<Exit, Failure> {
    let (sender, mut text) = mpsc::channel(64);
    let copying = tokio::spawn(async move { log.follow(sender).await });
    let mut stdout = std::io::stdout();
    while let Some(bytes) = text.recv().await {
        let written = std::io::Write::write_all(&mut stdout, &bytes);
        if written
            .and_then(|()| std::io::Write::flush(&mut stdout))
            .is_err()
        {
            return Ok(Exit::Completed);
        }
    }
    copying.await.map_err(Failure::internal)??;
    Ok(Exit::Completed)
}
