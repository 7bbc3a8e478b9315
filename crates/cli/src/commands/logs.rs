//! `windlass logs`: what a driver or an executor has printed.

use kube::api::{ListParams, LogParams};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::applications::Place;
use crate::args::LogsArgs;
use crate::exit::{Exit, Failure};
use crate::podlog::PodLog;
use crate::run::follow::APP_NAME_LABEL;
use crate::run::preflight::api_failure;

/// Prints a log of an application.
pub async fn logs(args: LogsArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    place.application(&args.name).await?;
    let selector = match args.executor {
        None => format!("{APP_NAME_LABEL}={},spark-role=driver", args.name),
        Some(id) => {
            format!(
                "{APP_NAME_LABEL}={},spark-role=executor,spark-exec-id={id}",
                args.name
            )
        }
    };
    let pods = place.pods();
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
            None => format!("{}/{} has no driver pod (yet)", place.namespace, args.name),
            Some(id) => format!(
                "{}/{} has no executor {id}: executors that ended are removed by Spark unless \
                 spark.kubernetes.executor.deleteOnTermination is false",
                place.namespace, args.name
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
