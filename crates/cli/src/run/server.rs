//! `windlass run -f` of a SparkConnect or a SparkHistoryServer: the server is started, can be reached at a port of
//! this machine, and is gone when the user stops it.
//!
//! Laws:
//! - only what was created here is deleted here: with `--attach` a server that was there stays;
//! - a server that does not come up is left as it is, where the cluster stays, so that its user can
//!   look at it.

use std::time::Duration;

use kube::api::{DynamicObject, PostParams};
use serde_json::Value;
use tokio::net::TcpListener;
use windlass_api::spark::history::{HISTORY_PORT, HISTORY_PORT_KEY};

use super::interrupts::Interrupts;
use super::preflight::{self, api_failure};
use super::screen::Screen;
use super::{apply_beside, close, job, source_name};
use crate::applications::Place;
use crate::args::RunArgs;
use crate::commands::change::{remove, wait_until_gone};
use crate::commands::connect::{port, spec_of, token, until_ready, url, wake};
use crate::commands::forward::{listen, serve};
use crate::connect::Connection;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::manifest;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_mins(5);

/// Runs the server of a file until it is stopped.
pub async fn run(
    args: RunArgs,
    kind: Kind,
    mut object: Value,
    others: Vec<Value>,
    mut screen: Screen,
) -> Result<Exit, Failure> {
    if let Some(namespace) = &args.namespace {
        object["metadata"]["namespace"] = Value::from(namespace.as_str());
    }
    job::configure(&mut object, &args.conf)?;
    let source = source_name(&args);
    let metadata = if kind == Kind::History {
        let checked = manifest::check_history(&[], &object, &source)?;
        checked.server().metadata.clone()
    } else {
        let checked = manifest::check_connect(&[], &object, &source)?;
        checked.connect().metadata.clone()
    };
    let name = metadata.name.unwrap_or_default();
    let namespace = metadata.namespace.filter(|it| !it.is_empty());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());

    let mut interrupts = Interrupts::listen()?;
    let Some(connection) = super::connect(&args, &screen, &mut interrupts).await? else {
        return Ok(Exit::Stopped);
    };
    let place = Place {
        client: connection.client().clone(),
        namespace,
    };
    let server = Server {
        subject: Subject::of(kind, name),
        place,
    };
    let result = server
        .run_on(
            &connection,
            &args,
            object,
            others,
            &mut screen,
            &mut interrupts,
        )
        .await;
    close(connection, &screen, result).await
}

struct Server {
    subject: Subject,
    place: Place,
}

impl Server {
    async fn run_on(
        &self,
        connection: &Connection,
        args: &RunArgs,
        object: Value,
        others: Vec<Value>,
        screen: &mut Screen,
        interrupts: &mut Interrupts,
    ) -> Result<Exit, Failure> {
        let Place { client, namespace } = &self.place;
        if !connection.is_embedded() {
            preflight::check(client, namespace).await?;
        }
        let api = self.place.api(self.subject.kind);
        let existing = api.get_opt(&self.subject.name).await.map_err(api_failure)?;
        if let Some(existing) = existing {
            if !args.attach {
                return Err(self.is_there());
            }
            wake(&api, &self.subject.name, &existing).await?;
            return self.stay(&existing, screen, interrupts).await;
        }
        if !connection.outlives_us() {
            preflight::make_namespace(client, namespace).await?;
        }
        for other in others {
            screen.line(&apply_beside(client, other, namespace).await?);
        }
        let object: DynamicObject = serde_json::from_value(object).map_err(Failure::internal)?;
        let created = api.create(&PostParams::default(), &object).await;
        let created = created.map_err(api_failure)?;
        screen.line(&format!("{} created", self.place.about(&self.subject)));
        let exit = self.stay(&created, screen, interrupts).await?;
        self.stop(screen, interrupts).await?;
        Ok(exit)
    }

    /// What to say when there is one of this name.
    fn is_there(&self) -> Failure {
        let Subject { name, kind } = &self.subject;
        let opener = match kind {
            Kind::History => format!("windlass ui {}", self.subject),
            _ => format!("windlass connect {name}"),
        };
        Failure::bad_input(format!(
            "metadata.name {name:?}: there is a {} of this name in namespace {}: {opener} uses it, --attach \
             stays with it, windlass delete {} removes it",
            kind.noun(),
            self.place.namespace,
            self.subject
        ))
    }

    /// The port that the server listens at.
    fn port(&self, found: &DynamicObject) -> Result<u16, Failure> {
        if self.subject.kind == Kind::History {
            let port = found.data["spec"]["sparkConf"][HISTORY_PORT_KEY].as_str();
            let port = port.and_then(|port| port.trim().parse().ok());
            return Ok(port.unwrap_or(HISTORY_PORT));
        }
        spec_of(&self.subject, found).map(|spec| port(&spec))
    }

    /// What clients on this machine are given.
    async fn url(&self, found: &DynamicObject, local: u16) -> Result<String, Failure> {
        if self.subject.kind == Kind::History {
            return Ok(format!("http://127.0.0.1:{local}/"));
        }
        let spec = spec_of(&self.subject, found)?;
        let token = token(&self.place, &spec, &self.subject.name).await?;
        Ok(url(local, token.as_deref()))
    }

    /// Leads a port of this machine to the server, whichever pod it is in, until the user stops it.
    async fn stay(
        &self,
        found: &DynamicObject,
        screen: &mut Screen,
        interrupts: &mut Interrupts,
    ) -> Result<Exit, Failure> {
        let (place, subject, port) = (&self.place, &self.subject, self.port(found)?);
        let mut listening: Option<TcpListener> = None;
        loop {
            screen.headline(&format!("waiting for {subject}"));
            let told = |line: &str| screen.line(line);
            let pod = tokio::select! {
                pod = until_ready(place, subject, PATIENCE, told) => pod?,
                _ = interrupts.next() => return Ok(Exit::Stopped),
            };
            let listener = match &mut listening {
                Some(listener) => listener,
                none => {
                    let (listener, local) = near(port).await?;
                    screen.log(format!("{}\n", self.url(found, local).await?).as_bytes());
                    screen.say(&format!(
                        "leads to port {port} of {}; Ctrl-C ends it",
                        place.about(subject)
                    ));
                    none.insert(listener)
                }
            };
            screen.headline(&format!("{subject} answers in {pod}"));
            let pods = place.pods();
            tokio::select! {
                failure = serve(listener, &pods, &pod, port) => {
                    if failure.exit != Exit::ClusterNotReady {
                        return Err(failure);
                    }
                    screen.line(&failure.message);
                }
                _ = interrupts.next() => return Ok(Exit::Completed),
            }
        }
    }

    /// Deletes the server and waits until its pods are gone.
    async fn stop(&self, screen: &Screen, interrupts: &mut Interrupts) -> Result<(), Failure> {
        let (place, subject) = (&self.place, &self.subject);
        screen.pause();
        screen.say(&format!("stopping {}", subject.name));
        let uid = match remove(place, subject).await {
            Ok(uid) => uid,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(api_failure(error)),
        };
        tokio::select! {
            gone = wait_until_gone(place, subject, &uid) => gone?,
            _ = interrupts.next() => {
                screen.say(&format!("{} is deleted; its pods are still ending", subject.name));
                return Ok(());
            }
        }
        screen.say(&format!("stopped: {} and its pods are gone", subject.name));
        Ok(())
    }
}

/// The server's own port on this machine, where clients look for it without being told, or any.
async fn near(port: u16) -> Result<(TcpListener, u16), Failure> {
    match listen(port).await {
        Ok(listening) => Ok(listening),
        Err(_) => listen(0).await,
    }
}
