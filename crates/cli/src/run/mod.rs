//! `windlass run`: one application, from input to verdict, or a Connect server for as long as somebody
//! needs it.

pub mod follow;
pub mod interrupts;
pub mod job;
pub mod outage;
pub mod preflight;
pub mod progress;
pub mod screen;
pub mod server;
pub mod stages;
pub mod summary;

use kube::api::{DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::discovery::Scope;
use kube::{Api, Client};
use serde_json::Value;

use crate::args::RunArgs;
use crate::commands::submit::from_schedule;
use crate::connect::{Connection, Start};
use crate::exit::{Exit, Failure};
use crate::manifest::{self, Manifest, Runnable};
use follow::Target;
use interrupts::Interrupts;
use screen::Screen;

/// Runs the command.
pub async fn run(args: RunArgs) -> Result<Exit, Failure> {
    let mut screen = Screen::new(args.progress);
    let embedded = !args.cluster.names_a_cluster();
    let manifest = match &args.file {
        Some(file) => {
            let mut manifest = match manifest::load_runnable(file, &args.original.old_images())? {
                Runnable::Application(manifest) => manifest,
                Runnable::Schedule { schedule, others } => {
                    once(&schedule, others, &source_name(&args), &screen)?
                }
                Runnable::Server {
                    kind,
                    object,
                    others,
                } => {
                    return Box::pin(server::run(args, kind, object, others, screen)).await;
                }
            };
            if let Some(namespace) = &args.namespace {
                manifest.application["metadata"]["namespace"] = Value::from(namespace.as_str());
            }
            job::configure(&mut manifest.application, &args.conf)?;
            manifest
        }
        None => {
            let version = crate::sparks::default_version(args.spark_version.as_deref(), embedded)?;
            if embedded && args.image.is_none() {
                crate::sparks::require(&version)?;
            }
            let cwd = std::env::current_dir().map_err(Failure::internal)?;
            let application = job::application(&args, &version, &cwd, embedded)?.application;
            Manifest {
                application,
                others: Vec::new(),
            }
        }
    };
    manifest::check(&manifest.application, &source_name(&args))?;

    let mut interrupts = Interrupts::listen()?;
    let Some(connection) = connect(&args, &screen, &mut interrupts).await? else {
        return Ok(Exit::Stopped);
    };
    let result = run_on(&connection, manifest, &args, &mut screen, &mut interrupts).await;
    close(connection, &screen, result).await
}

/// Opens the way to the cluster, and starts one if need be; nothing when the user stops it.
async fn connect(
    args: &RunArgs,
    screen: &Screen,
    interrupts: &mut Interrupts,
) -> Result<Option<Connection>, Failure> {
    screen.headline("starting the cluster");
    tokio::select! {
        connection = Connection::open(&args.cluster, Start::IfDown) => connection.map(Some),
        _ = interrupts.next() => {
            screen.pause();
            screen.say("stopped before anything was created");
            Ok(None)
        }
    }
}

/// Ends what was started for the run. The exit code is the run's result, whatever becomes of what it
/// ran on.
async fn close(
    connection: Connection,
    screen: &Screen,
    result: Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    screen.pause();
    match (connection.close().await, result) {
        (Err(failure), Ok(exit)) => {
            screen.say(&format!(
                "windlass: the run is over, but its cluster did not end well: {failure}"
            ));
            Ok(exit)
        }
        (_, result) => result,
    }
}

/// The application of a schedule's template, for one run at once: whoever runs a file waits for its
/// result, and not for the next night.
fn once(
    schedule: &Value,
    others: Vec<Value>,
    source: &str,
    screen: &Screen,
) -> Result<Manifest, Failure> {
    let schedule = manifest::check_scheduled(&[], schedule, source)?;
    screen.say(&format!(
        "{source} is a schedule: its template runs once, now; kubectl apply -f {source} lets it run at {:?}",
        schedule.spec.schedule
    ));
    Ok(Manifest {
        application: from_schedule(&schedule)?,
        others,
    })
}

/// What messages about the application begin with.
fn source_name(args: &RunArgs) -> String {
    let job = || args.job.clone().unwrap_or_default();
    args.file
        .as_ref()
        .map_or_else(job, |file| file.display().to_string())
}

async fn run_on(
    connection: &Connection,
    manifest: Manifest,
    args: &RunArgs,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
) -> Result<Exit, Failure> {
    let client = connection.client();
    let Manifest {
        application,
        others,
    } = manifest;
    let text = |pointer: &str| {
        application
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let name = text("/metadata/name");
    let namespace = match text("/metadata/namespace") {
        namespace if namespace.is_empty() => "default".to_owned(),
        namespace => namespace,
    };
    if !connection.is_embedded() {
        preflight::check(client, &namespace).await?;
    }
    let ui_port = application["spec"]["sparkConf"]["spark.ui.port"]
        .as_str()
        .and_then(|port| port.parse().ok())
        .unwrap_or(4040);
    let mut target = Target {
        namespace: namespace.clone(),
        name: name.clone(),
        uid: String::new(),
        cluster_stays: connection.outlives_us(),
        ui_port,
        patience: args.reconnect.patience(),
    };

    let api = follow::applications(client.clone(), &namespace);
    if let Some(existing) = api.get_opt(&name).await.map_err(preflight::api_failure)? {
        target.uid = existing.metadata.uid.clone().unwrap_or_default();
        let state = state_of(&existing);
        match (is_final(&state), args.attach) {
            (true, _) => {
                screen.line(&format!("replacing {name}, which is {state}"));
                follow::delete_and_wait(client, &target, screen).await?;
            }
            (false, true) => return follow::follow(client, &target, screen, interrupts).await,
            (false, false) => {
                return Err(Failure::bad_input(format!(
                    "metadata.name {name:?}: an application of this name is live in namespace {namespace} ({}): \
                     follow it with --attach, delete it first, or {}",
                    if state.is_empty() { "New" } else { &state },
                    if args.file.is_some() {
                        "change metadata.name"
                    } else {
                        "choose another --name"
                    },
                )));
            }
        }
    }

    if !connection.outlives_us() {
        preflight::make_namespace(client, &namespace).await?;
    }
    for other in others {
        let applied = apply_beside(client, other, &namespace).await?;
        screen.line(&applied);
    }
    let object: DynamicObject = serde_json::from_value(application).map_err(Failure::internal)?;
    let created = api
        .create(&PostParams::default(), &object)
        .await
        .map_err(preflight::api_failure)?;
    target.uid = created.metadata.uid.unwrap_or_default();
    screen.line(&format!("application {namespace}/{name} created"));
    follow::follow(client, &target, screen, interrupts).await
}

/// Applies an object that stands beside the application in its file, and says so.
pub async fn apply_beside(
    client: &Client,
    object: Value,
    namespace: &str,
) -> Result<String, Failure> {
    apply_object(client, object, namespace, "windlass-run").await
}

/// Applies an object as this manager of its fields, in the namespace if it has none of its own, and says so.
pub async fn apply_object(
    client: &Client,
    object: Value,
    namespace: &str,
    manager: &str,
) -> Result<String, Failure> {
    let mut object: DynamicObject = serde_json::from_value(object).map_err(|error| {
        Failure::bad_input(format!(
            "an object beside the application is none of Kubernetes: {error}"
        ))
    })?;
    let kind = object
        .types
        .clone()
        .and_then(|types| GroupVersionKind::try_from(types).ok());
    let Some(kind) = kind else {
        return Err(Failure::bad_input(
            "an object beside the application has no apiVersion and kind: add them",
        ));
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    let (resource, capabilities) =
        kube::discovery::pinned_kind(client, &kind)
            .await
            .map_err(|_| {
                Failure::bad_input(format!(
                    "{} {name}: this cluster does not know {} ({})",
                    kind.kind,
                    kind.kind,
                    kind.api_version()
                ))
            })?;
    let api: Api<DynamicObject> = if capabilities.scope == Scope::Namespaced {
        let own = object
            .metadata
            .namespace
            .get_or_insert_with(|| namespace.to_owned())
            .clone();
        Api::namespaced_with(client.clone(), &own, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    api.patch(
        &name,
        &PatchParams::apply(manager).force(),
        &Patch::Apply(&object),
    )
    .await
    .map_err(preflight::api_failure)?;
    Ok(format!("{} {name} applied", kind.kind))
}

fn state_of(application: &DynamicObject) -> String {
    application.data["status"]["applicationState"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The states from which nothing follows by itself.
fn is_final(state: &str) -> bool {
    matches!(state, "COMPLETED" | "FAILED")
}
