//! `windlass logs`: what a driver, a server, an executor or a member of a virtual cluster has printed: from its
//! pod, or from where it was kept when that is gone.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams, LogParams};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use windlass_spark::connect::SERVER_ROLE;
use windlass_spark::history::HISTORY_ROLE;

use super::kept::KeptLogs;
use crate::applications::Place;
use crate::args::LogsArgs;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::talk;
use crate::podlog::PodLog;
use crate::run::preflight::api_failure;
use crate::shown::{message, state};

/// Prints a log.
pub async fn logs(args: LogsArgs) -> Result<Exit, Failure> {
    if args.kept.is_some() || args.run.is_some() {
        let printed = KeptLogs::of(&args).await?.print(&args, "").await?;
        let hint = if args.kept.is_some() {
            ""
        } else {
            ": --kept says where others are kept, such as objectstore/NAMESPACE/NAME"
        };
        return printed.ok_or_else(|| {
            let told = format!("there is no such kept log of {}{hint}", args.object);
            Failure::bad_input(told)
        });
    }
    let found = match find(&args).await {
        Ok(found) => found,
        Err(failure) => {
            let why = format!("{}\n", failure.message);
            // What was found out about the log itself is what is told in the end.
            let kept = match KeptLogs::of(&args).await {
                Ok(kept) => kept.print(&args, &why).await,
                Err(_) => return Err(failure),
            };
            return kept.ok().flatten().ok_or(failure);
        }
    };
    print(&args, found).await
}

/// Finds the pod whose log is meant.
async fn find(args: &LogsArgs) -> Result<(Place, Pod), Failure> {
    let place = Place::open(&args.place).await?;
    let mut subject = args.object.clone();
    let mut found = place.object(&subject).await?;
    if subject.kind == Kind::Schedule {
        subject = last_run(&subject, &found)?;
        talk(&format!("the last run is {}", subject.name));
        found = place.object(&subject).await?;
    }
    check(args, &subject)?;
    let selector = match (args.executor, subject.kind) {
        (None, Kind::Connect) => format!("{},spark-role={SERVER_ROLE}", subject.selector()),
        (None, Kind::History) => format!("{},spark-role={HISTORY_ROLE}", subject.selector()),
        (_, Kind::Cluster) => subject.selector(),
        (None, _) => format!("{},spark-role=driver", subject.selector()),
        (Some(id), _) => format!(
            "{},spark-role=executor,spark-exec-id={id}",
            subject.selector()
        ),
    };
    let listed = place
        .pods()
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(api_failure)?;
    let chosen = match subject.kind {
        Kind::Cluster => member(listed.items, args.member.as_deref()),
        _ => listed
            .items
            .into_iter()
            .max_by_key(|pod| pod.metadata.creation_timestamp.clone()),
    };
    let Some(pod) = chosen else {
        return Err(Failure::bad_input(absent(&place, &subject, &found, args)));
    };
    if subject.kind == Kind::Cluster && args.member.is_none() {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        talk(&format!("this is {name}; --member chooses another one"));
    }
    Ok((place, pod))
}

/// Prints the log of a pod.
async fn print(args: &LogsArgs, (place, pod): (Place, Pod)) -> Result<Exit, Failure> {
    let pods = place.pods();
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

/// Refuses what has no meaning for the kind of an object.
fn check(args: &LogsArgs, subject: &Subject) -> Result<(), Failure> {
    let told = match subject.kind {
        Kind::Cluster if args.executor.is_some() => {
            format!("{subject} has members and no executors: give --member and a pod")
        }
        Kind::History if args.executor.is_some() => {
            format!("{subject} has no executors: leave out --executor")
        }
        Kind::Application | Kind::Schedule | Kind::Connect | Kind::History
            if args.member.is_some() =>
        {
            format!("{subject} has no members: --member is for cluster/NAME")
        }
        _ => return Ok(()),
    };
    Err(Failure::bad_input(told))
}

/// The member of this name; else the first one that is not ready, else the first.
fn member(mut pods: Vec<Pod>, name: Option<&str>) -> Option<Pod> {
    if let Some(name) = name {
        pods.retain(|pod| pod.metadata.name.as_deref() == Some(name));
        return pods.pop();
    }
    let is_ready = |pod: &Pod| {
        let conditions = pod
            .status
            .iter()
            .flat_map(|it| it.conditions.iter().flatten());
        let mut ready = conditions.filter(|it| it.type_ == "Ready");
        ready.any(|it| it.status == "True")
    };
    pods.into_iter()
        .min_by_key(|pod| (is_ready(pod), pod.metadata.name.clone()))
}

/// The last run of a schedule.
fn last_run(schedule: &Subject, found: &DynamicObject) -> Result<Subject, Failure> {
    let run = found.data["status"]["lastRunName"].as_str();
    run.map(Subject::application).ok_or_else(|| {
        Failure::bad_input(format!(
            "{schedule} has not run yet: windlass trigger {} starts a run now",
            schedule.name
        ))
    })
}

/// What to say where there is no such pod.
fn absent(place: &Place, subject: &Subject, found: &DynamicObject, args: &LogsArgs) -> String {
    let about = place.about(subject);
    match (args.executor, subject.kind) {
        (_, Kind::Cluster) => match &args.member {
            Some(member) => {
                format!("{about} has no member {member}: windlass status {subject} shows them")
            }
            None => format!("{about} has no pods (yet): windlass why {subject} tells why"),
        },
        (Some(id), _) => format!(
            "{about} has no executor {id}: executors that ended are removed by Spark unless \
             spark.kubernetes.executor.deleteOnTermination is false"
        ),
        (None, Kind::Connect | Kind::History) => format!(
            "{about} is {} and has no pod: {}",
            state(subject.kind, found),
            message(subject.kind, found)
        ),
        (None, _) => format!("{about} has no driver pod (yet)"),
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
