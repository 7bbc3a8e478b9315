//! `windlass app test`: an application on an embedded cluster of its own, from its package to members that
//! serve, one more, and one less.
//!
//! Everything is judged by what a user would see: the cluster's status, its pods, and whether its services
//! answer. What goes wrong is told with the log of the member where it did.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    ApiResource, AttachParams, DynamicObject, GroupVersionKind, ListParams, LogParams,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use windlass_api::decode::is_kind;
use windlass_api::director::KubeDirectorCluster;
use windlass_director::build::APP_CONTAINER;
use windlass_director::names::CLUSTER_LABEL;

use super::plans::{self, Growth};
use super::probe::probe;
use super::standing::{Member, Standing};
use crate::args::{TestArgs, Told};
use crate::embedded::{Embedded, Options, Served};
use crate::exit::{Exit, Failure};
use crate::manifest;
use crate::output::{data, table};
use crate::run::apply_beside;
use crate::run::interrupts::Interrupts;
use crate::run::preflight::api_failure;
use crate::run::screen::Screen;
use crate::scratch::Scratch;
use crate::shown::document;

/// Where everything is.
pub(super) const NAMESPACE: &str = "default";
/// How often the cluster is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How much of a log is shown.
const LOG_LINES: usize = 20;

/// Tests an application.
///
/// # Errors
/// When there is nothing to test, or nothing to test it on.
pub(super) async fn test(args: TestArgs) -> Result<Exit, Failure> {
    let application = super::read(&args.folder)?;
    let app = application.object.clone();
    let mut objects = super::packaged(application, &args.folder)?;
    let (cluster, beside) = cluster(&args, &app)?;
    let growth = plans::growth(&app, &cluster, args.grow.as_deref(), args.no_grow)
        .map_err(Failure::bad_input)?;
    objects.extend(beside);
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::cluster(
            "windlass app test must be run by root: members write to directories such as /opt and /etc of \
             their image, which are not an ordinary user's on this machine",
        ));
    }
    let mut screen = Screen::new(args.progress);
    let mut interrupts = Interrupts::listen()?;
    screen.headline("starting the cluster");
    let scratch = Scratch::new(&std::env::temp_dir())?;
    let mut options = Options::ephemeral(scratch.path());
    options.virtual_clusters = Served::Yes;
    let embedded = Embedded::start(options).await?;
    let result = Box::pin(on(
        &embedded,
        &args,
        objects,
        cluster,
        growth,
        &mut screen,
        &mut interrupts,
    ))
    .await;
    if args.keep && !matches!(result, Ok(Exit::Stopped)) {
        keep(&embedded, &scratch, &screen, &mut interrupts).await?;
    }
    screen.pause();
    match (embedded.stop().await, result) {
        (Err(failure), Ok(exit)) => {
            screen.say(&format!(
                "windlass: the cluster did not end well: {failure}"
            ));
            Ok(exit)
        }
        (_, result) => result,
    }
}

/// The cluster that is tested, and what stands beside it in its file.
fn cluster(args: &TestArgs, app: &Value) -> Result<(Value, Vec<Value>), Failure> {
    let usual = args.folder.join("cluster.yaml");
    let file: Option<&Path> = match &args.cluster {
        Some(file) => Some(file),
        None => usual.exists().then_some(&usual),
    };
    let Some(file) = file else {
        return Ok((plans::least(app).map_err(Failure::bad_input)?, Vec::new()));
    };
    let objects = manifest::objects(file)?;
    let (mut clusters, others): (Vec<Value>, Vec<Value>) = objects
        .into_iter()
        .partition(is_kind::<KubeDirectorCluster>);
    let at = file.display();
    let (Some(mut cluster), true) = (clusters.pop(), clusters.is_empty()) else {
        return Err(Failure::bad_input(format!(
            "{at}: must have one KubeDirectorCluster of kubedirector.hpe.com/v1beta1, which is tested"
        )));
    };
    let name = &app["metadata"]["name"];
    if cluster["spec"]["app"] != *name {
        return Err(Failure::bad_input(format!(
            "{at}: spec.app: {}: is another application than {name}",
            cluster["spec"]["app"]
        )));
    }
    cluster["metadata"]["namespace"] = json!(NAMESPACE);
    Ok((cluster, others))
}

async fn on(
    embedded: &Embedded,
    args: &TestArgs,
    objects: Vec<Value>,
    cluster: Value,
    growth: Option<Growth>,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
) -> Result<Exit, Failure> {
    let client = embedded.client().await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&cluster["metadata"]["name"]);
    let app = objects.iter().find(|it| it["kind"] == "KubeDirectorApp");
    let app = app.cloned().unwrap_or_default();
    for object in objects {
        let applied = apply_beside(&client, object, NAMESPACE).await?;
        screen.line(&applied);
    }
    screen.line(&apply_beside(&client, cluster.clone(), NAMESPACE).await?);
    let mut trial = Trial {
        client,
        name,
        app,
        patience: Duration::from_secs(args.timeout),
        seen: BTreeMap::new(),
        steps: Vec::new(),
        members: Vec::new(),
        generation: 1,
    };
    let went = tokio::select! {
        went = trial.run(growth, screen) => went?,
        _ = interrupts.next() => {
            screen.pause();
            screen.say("stopped before the end");
            return Ok(Exit::Stopped);
        }
    };
    screen.pause();
    trial.report(args.output)?;
    if let Err(failed) = went {
        screen.say(&format!(
            "windlass: {} failed the test: {failed}",
            trial.name
        ));
        return Ok(Exit::JobFailed);
    }
    Ok(Exit::Completed)
}

/// Leaves all as it is until somebody has seen enough.
async fn keep(
    embedded: &Embedded,
    scratch: &Scratch,
    screen: &Screen,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let file = scratch.path().join("kubeconfig");
    std::fs::write(&file, embedded.kubeconfig()).map_err(Failure::internal)?;
    screen.pause();
    screen.say(&format!(
        "The cluster stays until Ctrl-C.\nUse it:   export KUBECONFIG={}",
        file.display()
    ));
    interrupts.next().await;
    Ok(())
}

/// A test on its way.
struct Trial {
    client: Client,
    name: String,
    app: Value,
    /// How long a step may take.
    patience: Duration,
    /// What was said of each member last.
    seen: BTreeMap<String, String>,
    /// What was tried, and how long it took; the last one may have failed.
    steps: Vec<Step>,
    members: Vec<Member>,
    /// The least generation of the cluster that its status must be about.
    generation: i64,
}

/// One step of a test.
struct Step {
    what: String,
    seconds: f64,
    failure: Option<String>,
}

impl Trial {
    /// All steps, up to the first that fails: the inner error is why.
    async fn run(
        &mut self,
        growth: Option<Growth>,
        screen: &Screen,
    ) -> Result<Result<(), String>, Failure> {
        if let Err(why) = self.step("set up", screen).await? {
            return Ok(Err(why));
        }
        if let Err(why) = self.serves(screen).await {
            return Ok(Err(why));
        }
        let Some(growth) = growth else {
            return Ok(Ok(()));
        };
        for (members, what) in [
            (growth.members + 1, format!("one more {}", growth.role)),
            (growth.members, format!("one {} less", growth.role)),
        ] {
            self.resize(&growth, members).await?;
            if let Err(why) = self.step(&what, screen).await? {
                return Ok(Err(why));
            }
            if let Err(why) = self.serves(screen).await {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Waits until the cluster is as it is to be.
    async fn step(&mut self, what: &str, screen: &Screen) -> Result<Result<(), String>, Failure> {
        screen.headline(what);
        let begun = Instant::now();
        let failure = loop {
            let standing = self.look().await?;
            for line in standing.news(&mut self.seen) {
                screen.line(&line);
            }
            self.members.clone_from(&standing.members);
            if let Some(why) = standing.failure() {
                self.tell_logs(&standing, screen).await;
                break Some(why);
            }
            if standing.is_settled(self.generation) {
                break None;
            }
            if begun.elapsed() > self.patience {
                self.tell_logs(&standing, screen).await;
                let seconds = self.patience.as_secs();
                let waits = standing.waits_for();
                break Some(format!("{what}: not there after {seconds} s: {waits}"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let seconds = begun.elapsed().as_secs_f64();
        if failure.is_none() {
            screen.line(&format!(
                "{what}: {} members are as specified",
                self.members.len()
            ));
        }
        self.steps.push(Step {
            what: what.to_owned(),
            seconds,
            failure: failure.clone(),
        });
        Ok(failure.map_or(Ok(()), Err))
    }

    async fn look(&self) -> Result<Standing, Failure> {
        let cluster = self.clusters().get(&self.name).await.map_err(api_failure)?;
        let params = ListParams::default().labels(&format!("{CLUSTER_LABEL}={}", self.name));
        let pods = self.pods().list(&params).await.map_err(api_failure)?;
        let cluster = serde_json::to_value(cluster).map_err(Failure::internal)?;
        let pods = serde_json::to_value(pods.items).map_err(Failure::internal)?;
        Ok(Standing::of(
            &cluster,
            pods.as_array().map_or(&[], Vec::as_slice),
        ))
    }

    fn clusters(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("kubedirector.hpe.com", "v1beta1", "KubeDirectorCluster");
        let resource = ApiResource::from_gvk_with_plural(&kind, "kubedirectorclusters");
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Asks for another number of members.
    async fn resize(&mut self, growth: &Growth, members: i64) -> Result<(), Failure> {
        let clusters = self.clusters();
        let cluster = clusters.get(&self.name).await.map_err(api_failure)?;
        let mut roles = cluster.data["spec"]["roles"].clone();
        let mut all = roles.as_array_mut().into_iter().flatten();
        if let Some(role) = all.find(|role| role["id"] == *growth.role) {
            role["members"] = json!(members);
        }
        let patch = Patch::Merge(json!({"spec": {"roles": roles}}));
        let params = PatchParams::default();
        let patched = clusters.patch(&self.name, &params, &patch);
        let patched = patched.await.map_err(api_failure)?;
        self.generation = patched.metadata.generation.unwrap_or(self.generation);
        Ok(())
    }

    /// Whether each service that says how it is known to answer does, in each member.
    async fn serves(&mut self, screen: &Screen) -> Result<(), String> {
        let begun = Instant::now();
        let mut failure = None;
        let mut asked = 0;
        for member in &self.members {
            for service in plans::services(&self.app, &member.role) {
                let deadline = Instant::now() + self.patience;
                let (pod, id) = (&member.pod, &service.id);
                asked += 1;
                loop {
                    let Err(why) = probe(&member.address, &service).await else {
                        screen.line(&format!(
                            "{pod}: {id} answers at {}:{}",
                            member.address, service.port
                        ));
                        break;
                    };
                    if Instant::now() > deadline {
                        failure.get_or_insert(format!("{pod}: {id} does not answer: {why}"));
                        break;
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
        if asked > 0 {
            self.steps.push(Step {
                what: format!("services answer ({asked})"),
                seconds: begun.elapsed().as_secs_f64(),
                failure: failure.clone(),
            });
        }
        failure.map_or(Ok(()), Err)
    }

    /// Shows what the scripts of members in trouble have written.
    async fn tell_logs(&self, standing: &Standing, screen: &Screen) {
        for member in standing.members.iter().filter(|it| it.is_in_trouble()) {
            for (title, text) in self.logs(&member.pod).await {
                let text = last_lines(&text);
                if !text.is_empty() {
                    screen.say(&format!("--- {} {title}\n{text}", member.pod));
                }
            }
        }
    }

    async fn logs(&self, pod: &str) -> Vec<(&'static str, String)> {
        let mut logs = Vec::new();
        for (title, file) in [
            ("/opt/guestconfig/configure.stdout", "configure.stdout"),
            ("/opt/guestconfig/configure.stderr", "configure.stderr"),
        ] {
            let argv = ["cat".to_owned(), format!("/opt/guestconfig/{file}")];
            logs.push((title, self.exec(pod, argv).await));
        }
        let params = LogParams {
            container: Some(APP_CONTAINER.to_owned()),
            tail_lines: i64::try_from(LOG_LINES).ok(),
            ..LogParams::default()
        };
        // A container that has not started has none.
        let log = self.pods().logs(pod, &params).await.unwrap_or_default();
        logs.push(("log", log));
        logs
    }

    /// What a command writes; nothing where it cannot be run.
    async fn exec(&self, pod: &str, argv: [String; 2]) -> String {
        let params = AttachParams::default()
            .container(APP_CONTAINER)
            .stdin(false)
            .stdout(true)
            .stderr(false);
        let mut text = Vec::new();
        if let Ok(mut process) = self.pods().exec(pod, argv, &params).await
            && let Some(mut stdout) = process.stdout()
        {
            let read = stdout.read_to_end(&mut text);
            let _ = tokio::time::timeout(Duration::from_secs(10), read).await;
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What came out.
    fn report(&self, output: Told) -> Result<(), Failure> {
        let rows = self.members.iter().map(Member::row).collect::<Vec<_>>();
        if output != Told::Text {
            let steps = self.steps.iter().map(|step| {
                json!({
                    "step": step.what,
                    "seconds": (step.seconds * 10.0).round() / 10.0,
                    "passed": step.failure.is_none(),
                    "message": step.failure,
                })
            });
            let whole = json!({
                "app": self.app["metadata"]["name"],
                "cluster": self.name,
                "passed": self.steps.iter().all(|step| step.failure.is_none()),
                "steps": steps.collect::<Vec<_>>(),
                "members": self.members.iter().map(Member::document).collect::<Vec<_>>(),
            });
            return document(&whole, output == Told::Json).map(|_| ());
        }
        let steps = self.steps.iter().map(|step| {
            let verdict = if step.failure.is_none() {
                "passed"
            } else {
                "FAILED"
            };
            vec![
                step.what.clone(),
                verdict.to_owned(),
                format!("{:.1} s", step.seconds),
            ]
        });
        let steps = table(&["STEP", "RESULT", "TIME"], &steps.collect::<Vec<_>>());
        let members = table(&["MEMBER", "ROLE", "STATE"], &rows);
        data(&format!("{steps}\n\n{members}")).map(|_| ())
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
