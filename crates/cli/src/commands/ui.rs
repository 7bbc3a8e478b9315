//! `windlass ui`: the web page of an application, wherever it is: with its driver while that runs, and with the
//! history server of its event log when it is over or deleted; or the list of all that a history server shows.
//!
//! A history server of an application is a pod of the namespace with the label [`HISTORY_OF_LABEL`]: that of a
//! SparkHistoryServer, or of whatever somebody has made by hand. Event logs on this machine have one of Spark's own
//! that lives as long as the command, whether the cluster is up or not.

mod server;

use std::io::IsTerminal as _;
use std::process::Stdio;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::Value;
use tokio::process::Command;
use windlass_api::spark::application::EVENT_LOG_DIR;
use windlass_api::spark::history::{
    HISTORY_OF_LABEL, HISTORY_PORT, LOG_DIRECTORY_ANNOTATION, history_of,
};

use self::server::{HistoryServer, Wanted};
use super::forward::{UI_PORT, listen, serve};
use crate::applications::{Place, state};
use crate::args::UiArgs;
use crate::datadir::DataDir;
use crate::eventlogs::EventLogs;
use crate::exit::{Exit, Failure};
use crate::histories;
use crate::kinds::{Kind, Subject};
use crate::output::{data, talk};
use crate::run::interrupts::Interrupts;
use crate::run::preflight::api_failure;

/// Where the page of an application is.
#[derive(Debug, PartialEq, Eq)]
enum Whereabouts {
    /// With its driver.
    Driver { pod: String, port: u16 },
    /// In an event log on this machine.
    Local {
        /// The application as Spark calls it, where that is known.
        id: Option<String>,
    },
    /// With a history server.
    History {
        /// The application as Spark calls it, where that is known.
        id: Option<String>,
        /// Where its event log is.
        log: EventLog,
    },
}

/// Where the event log of an application is, as far as its specification says it.
#[derive(Debug, Default, PartialEq, Eq)]
struct EventLog {
    /// The ObjectStore that has it.
    store: Option<String>,
    /// The directory that it is in.
    directory: Option<String>,
}

/// Leads to the page until it is interrupted or what serves it is gone.
pub async fn ui(args: UiArgs) -> Result<Exit, Failure> {
    match args.object.kind {
        Kind::Application => application(args).await,
        Kind::History => list(args).await,
        Kind::Connect => Err(Failure::bad_input(format!(
            "{}: its page is that of its driver: windlass forward {0} leads to it",
            args.object
        ))),
        Kind::Schedule | Kind::Cluster => Err(Failure::bad_input(format!(
            "{}: this command is about applications and history servers; windlass status {0} shows what there is",
            args.object
        ))),
    }
}

/// Leads to all that a history server shows.
async fn list(args: UiArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let found = place.object(&args.object).await?;
    let phase = histories::state(&found.data);
    let pod = found.data["status"]["podName"].as_str();
    let Some(pod) = pod.filter(|_| phase == "Ready") else {
        return Err(not_ready(&place, &args.object, &found.data));
    };
    let pods = place.pods();
    let port = pods
        .get(pod)
        .await
        .map_err(api_failure)
        .map(|it| port(&it))?;
    forward(&args, &place, pod, port, "/").await
}

/// What to say of a history server that does not answer.
fn not_ready(place: &Place, subject: &Subject, server: &Value) -> Failure {
    let message = histories::message(server);
    let why = if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    };
    Failure::bad_input(format!(
        "{} is {}{why}: windlass wait {subject} waits for it, windlass why {subject} says more",
        place.about(subject),
        histories::state(server)
    ))
}

/// Leads to the page of an application.
async fn application(args: UiArgs) -> Result<Exit, Failure> {
    let cluster = &args.place.cluster;
    let data = if cluster.names_a_cluster() {
        None
    } else {
        Some(DataDir::resolve(cluster.data_dir.as_deref())?)
    };
    let logs = data.as_ref().map(DataDir::event_logs);
    if let Some(logs) = &logs {
        logs.tidy();
    }
    // A cluster for one command is over, and its applications' event logs are not.
    let is_down = data.is_some_and(|data| data.holder().is_none());
    if let Some(logs) = logs.as_ref().filter(|logs| is_down && logs.count() > 0) {
        return local(&args, logs, None, None).await;
    }
    let place = Place::open(&args.place).await?;
    let name = &args.object.name;
    let applications = place.applications();
    let found = applications.get_opt(name).await.map_err(api_failure)?;
    let known = found.as_ref().map(|found| (state(found), &found.data));
    let about = format!("{}/{name}", place.namespace);
    let whereabouts = whereabouts(name, known, logs.as_ref())
        .map_err(|why| Failure::bad_input(format!("{about} {why}")))?;
    match (whereabouts, logs) {
        (Whereabouts::Driver { pod, port }, _) => forward(&args, &place, &pod, port, "/").await,
        (Whereabouts::Local { id }, Some(logs)) => {
            local(&args, &logs, Some(&place), id.as_deref()).await
        }
        (Whereabouts::Local { id }, None) => remote(&args, &place, id, &EventLog::default()).await,
        (Whereabouts::History { id, log }, _) => remote(&args, &place, id, &log).await,
    }
}

/// Leads to a history server in the cluster.
async fn remote(
    args: &UiArgs,
    place: &Place,
    id: Option<String>,
    log: &EventLog,
) -> Result<Exit, Failure> {
    let (pod, port) = history_server(place, log).await?;
    let path = id.map_or_else(|| "/".to_owned(), |id| format!("/history/{id}/"));
    if path == "/" {
        talk(&format!(
            "there is no application {}/{} now: the list of the history server has those of before by their names",
            place.namespace, args.object.name
        ));
    }
    forward(args, place, &pod, port, &path).await
}

/// Forwards to a page of a pod.
async fn forward(
    args: &UiArgs,
    place: &Place,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<Exit, Failure> {
    let pods = place.pods();
    let mut interrupts = Interrupts::listen()?;
    let (listener, local) = listen(args.local_port).await?;
    let url = format!("http://127.0.0.1:{local}{path}");
    data(&url)?;
    talk(&format!("leads to port {port} of {pod}; Ctrl-C ends it"));
    show(args, &url);
    tokio::select! {
        failure = serve(&listener, &pods, pod, port) => Err(failure),
        _ = interrupts.next() => Ok(Exit::Completed),
    }
}

/// Serves the event logs of this machine. An application that is deleted may have had its own elsewhere: then a
/// history server of its namespace is asked, if there is one.
async fn local(
    args: &UiArgs,
    logs: &EventLogs,
    place: Option<&Place>,
    id: Option<&str>,
) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let namespace = args.place.namespace.as_deref();
    let namespace = place.map_or(namespace.unwrap_or("default"), |it| it.namespace.as_str());
    let name = args.object.name.as_str();
    let wanted = id.map_or(Wanted::LastOf { namespace, name }, Wanted::Id);
    // The server takes the port that was free a moment ago.
    let (listener, port) = listen(args.local_port).await?;
    drop(listener);
    let start = async {
        let mut server = HistoryServer::start(logs, port).await?;
        let found = server.find(wanted).await?;
        Ok::<_, Failure>((server, found))
    };
    let (mut server, found) = tokio::select! {
        started = start => started?,
        _ = interrupts.next() => return Ok(Exit::Stopped),
    };
    let path = match (found, place) {
        (Some(id), _) => format!("/history/{id}/"),
        (None, Some(place)) if history_server(place, &EventLog::default()).await.is_ok() => {
            drop(server);
            return remote(args, place, None, &EventLog::default()).await;
        }
        (None, _) => {
            talk(&format!(
                "no event log here is known to be of an application {namespace}/{name}: this is the list of all"
            ));
            "/".to_owned()
        }
    };
    let url = format!("http://127.0.0.1:{port}{path}");
    data(&url)?;
    talk(&format!(
        "shows the event logs in {}; Ctrl-C ends it",
        logs.folder().display()
    ));
    show(args, &url);
    tokio::select! {
        failure = server.ended() => Err(failure),
        _ = interrupts.next() => Ok(Exit::Completed),
    }
}

/// Where the page of an application is, by its state and itself as far as it is there; or why it has none, and
/// what to do, to be read after its name.
fn whereabouts(
    name: &str,
    known: Option<(&str, &Value)>,
    local: Option<&EventLogs>,
) -> Result<Whereabouts, String> {
    let Some((state, application)) = known else {
        if local.is_some_and(|logs| logs.count() > 0) {
            return Ok(Whereabouts::Local { id: None });
        }
        return Ok(Whereabouts::History {
            id: None,
            log: EventLog::default(),
        });
    };
    let (spec, status) = (&application["spec"], &application["status"]);
    let conf = |key: &str| spec["sparkConf"][key].as_str();
    if state == "RUNNING"
        && let Some(pod) = status["driverInfo"]["podName"].as_str()
    {
        return Ok(Whereabouts::Driver {
            pod: pod.to_owned(),
            port: conf("spark.ui.port")
                .and_then(|port| port.parse().ok())
                .unwrap_or(UI_PORT),
        });
    }
    if !matches!(state, "COMPLETED" | "FAILED" | "SUSPENDED") {
        return Err(format!(
            "is {state}: its page is there while its driver runs; windlass wait {name} --for running waits for it"
        ));
    }
    let store = spec["eventLog"].as_str();
    let id = status["sparkApplicationId"]
        .as_str()
        .filter(|id| !id.is_empty());
    if let Some(id) = id
        && local.is_some_and(|logs| logs.has(id))
    {
        let id = Some(id.to_owned());
        return Ok(Whereabouts::Local { id });
    }
    if store.is_none() && conf("spark.eventLog.enabled") != Some("true") {
        return Err(format!(
            "is {state} and has written no event log: name an ObjectStore in spec.eventLog before its next run"
        ));
    }
    let id =
        id.ok_or_else(|| format!("is {state} and had no driver: windlass why {name} says why"))?;
    let directory = conf(EVENT_LOG_DIR);
    Ok(Whereabouts::History {
        id: Some(id.to_owned()),
        log: EventLog {
            // With a directory of its own it only takes the keys from there.
            store: store.filter(|_| directory.is_none()).map(str::to_owned),
            directory: directory.map(str::to_owned),
        },
    })
}

/// The pod of a history server that answers, and its port.
async fn history_server(place: &Place, log: &EventLog) -> Result<(String, u16), Failure> {
    let label = match &log.store {
        Some(store) => format!("{HISTORY_OF_LABEL}={}", history_of(store)),
        None => HISTORY_OF_LABEL.to_owned(),
    };
    let labelled = ListParams::default().labels(&label);
    let pods = place.pods().list(&labelled).await.map_err(api_failure)?;
    let pods = pods.items;
    let ready = pods.iter().filter(|pod| is_ready(pod));
    if let Some(pod) = ready.max_by_key(|pod| shows(pod, log)) {
        return Ok((pod.metadata.name.clone().unwrap_or_default(), port(pod)));
    }
    if let Some(failure) = waiting_server(place, log).await {
        return Err(failure);
    }
    let namespace = &place.namespace;
    Err(Failure::bad_input(match pods.first() {
        Some(pod) => format!(
            "the history server {namespace}/{} does not answer: kubectl logs {0} --namespace {namespace} may say \
             why",
            pod.metadata.name.as_deref().unwrap_or_default()
        ),
        None => format!(
            "namespace {namespace} has no history server for {}: make a SparkHistoryServer, as in \
             docs/object-stores.md",
            log.store.as_ref().map_or_else(
                || "its event logs".to_owned(),
                |store| format!("the event logs of ObjectStore {store}")
            )
        ),
    }))
}

/// Whether a server shows the very directory that the application writes to.
fn shows(pod: &Pod, log: &EventLog) -> bool {
    let plain = |directory: &str| directory.trim_end_matches('/').to_owned();
    let annotations = pod.metadata.annotations.as_ref();
    let shown = annotations.and_then(|it| it.get(LOG_DIRECTORY_ANNOTATION));
    let wanted = log.directory.as_deref().map(plain);
    wanted.is_some() && shown.map(|it| plain(it)) == wanted
}

/// What to say of a SparkHistoryServer that would show the event logs if it answered.
async fn waiting_server(place: &Place, log: &EventLog) -> Option<Failure> {
    let (api, all) = (place.api(Kind::History), ListParams::default());
    // Older clusters do not know them, and not everybody may see them.
    let servers = api.list(&all).await.ok()?.items;
    let shows = |server: &Value| {
        let store = server["spec"]["eventLog"].as_str();
        log.store.is_none() || store == log.store.as_deref()
    };
    let server = servers.into_iter().find(|it| shows(&it.data))?;
    let name = server.metadata.name.unwrap_or_default();
    Some(not_ready(
        place,
        &Subject::of(Kind::History, name),
        &server.data,
    ))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|it| it.type_ == "Ready" && it.status == "True")
}

/// The first port that a container of the pod names.
fn port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|it| it.ports.iter().flatten());
    ports
        .next()
        .and_then(|it| u16::try_from(it.container_port).ok())
        .unwrap_or(HISTORY_PORT)
}

/// Shows a page in the browser of whoever sits at this machine, if there is one; the URL is printed anyway.
fn show(args: &UiArgs, url: &str) {
    if args.no_browser || !std::io::stdout().is_terminal() {
        return;
    }
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        "xdg-open"
    } else {
        return;
    };
    let mut command = Command::new(opener);
    command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = command.spawn();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(state: &str, spec: Value) -> Result<Whereabouts, String> {
        let application = json!({
            "spec": spec,
            "status": {"driverInfo": {"podName": "pi-driver"}, "sparkApplicationId": "spark-1"},
        });
        whereabouts("pi", Some((state, &application)), None)
    }

    #[test]
    fn a_page_is_with_the_driver_while_it_runs_and_with_a_history_server_afterwards() {
        let driver = |port| Whereabouts::Driver {
            pod: "pi-driver".to_owned(),
            port,
        };
        let history = |store: Option<&str>, directory: Option<&str>| Whereabouts::History {
            id: Some("spark-1".to_owned()),
            log: EventLog {
                store: store.map(str::to_owned),
                directory: directory.map(str::to_owned),
            },
        };
        assert_eq!(of("RUNNING", json!({})), Ok(driver(4040)));
        let moved = json!({"sparkConf": {"spark.ui.port": "4041"}, "eventLog": "history"});
        assert_eq!(of("RUNNING", moved.clone()), Ok(driver(4041)));
        assert_eq!(of("COMPLETED", moved), Ok(history(Some("history"), None)));
        let by_settings = json!({"sparkConf": {"spark.eventLog.enabled": "true"}});
        assert_eq!(of("FAILED", by_settings), Ok(history(None, None)));
        let in_a_folder = json!({
            "eventLog": "shared", "sparkConf": {"spark.eventLog.dir": "s3a://shared/logs"},
        });
        assert_eq!(
            of("FAILED", in_a_folder),
            Ok(history(None, Some("s3a://shared/logs")))
        );
        let gone = Whereabouts::History {
            id: None,
            log: EventLog::default(),
        };
        assert_eq!(whereabouts("pi", None, None), Ok(gone));
    }

    #[test]
    fn an_event_log_on_this_machine_is_a_page_of_what_is_over_or_deleted() {
        let data = tempfile::tempdir().unwrap();
        let logs = EventLogs::of(data.path());
        let of = |known: Option<(&str, &Value)>| whereabouts("pi", known, Some(&logs));
        let over = json!({"spec": {}, "status": {"sparkApplicationId": "spark-1"}});
        assert!(of(Some(("COMPLETED", &over))).is_err());
        assert!(matches!(of(None), Ok(Whereabouts::History { .. })));
        std::fs::create_dir_all(logs.folder().join("eventlog_v2_spark-1")).unwrap();
        let id = Some("spark-1".to_owned());
        assert_eq!(
            of(Some(("COMPLETED", &over))),
            Ok(Whereabouts::Local { id })
        );
        assert_eq!(of(None), Ok(Whereabouts::Local { id: None }));
    }

    #[test]
    fn of_several_servers_the_one_of_the_directory_is_chosen() {
        let pod = |directory: Option<&str>| -> Pod {
            let annotations = directory.map(|it| json!({"windlass.dev/log-directory": it}));
            serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
        };
        let log = EventLog {
            directory: Some("s3a://shared/logs/".to_owned()),
            ..EventLog::default()
        };
        assert!(shows(&pod(Some("s3a://shared/logs")), &log));
        assert!(!shows(&pod(Some("s3a://shared/others")), &log));
        assert!(!shows(&pod(None), &log));
        assert!(!shows(&pod(None), &EventLog::default()));
    }

    #[test]
    fn where_there_is_no_page_it_is_said_what_to_do() {
        let why = of("COMPLETED", json!({})).unwrap_err();
        assert!(
            why.contains("name an ObjectStore in spec.eventLog"),
            "{why}"
        );
        let why = of("SUBMITTED", json!({"eventLog": "history"})).unwrap_err();
        assert!(why.contains("windlass wait pi --for running"), "{why}");
        let never = json!({"spec": {"eventLog": "history"}, "status": {}});
        let why = whereabouts("pi", Some(("FAILED", &never)), None).unwrap_err();
        assert!(why.contains("windlass why pi"), "{why}");
    }
}
