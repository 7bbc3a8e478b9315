//! The parts of a worker's job that take time. Each may be cut off and done again.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio_util::sync::CancellationToken;

use super::{Context, SetUpFailure, StartOutcome};
use crate::describe::{Ingredients, describe};
use crate::env::{self, References};
use crate::events::Kind;
use crate::exec::Entrance;
use crate::hosts;
use crate::images::{
    self, Credentials, Image, ImageError, ImageRequest, ImageSource, Origin, Provided, PullPolicy,
};
use crate::poddir::{PodDir, PodRecord, remove_tree};
use crate::probes::{self, Target};
use crate::runtime::{PodSpec, ProcessId};
use crate::shim::{self, Life, Request, ShimClient, ShimError};
use crate::volumes::{self, Volumes};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// How long a killed container may take to be reported.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// Makes a pod's walls.
pub(super) async fn set_up(
    context: Arc<Context>,
    pod: Pod,
    dir: PodDir,
    record: PodRecord,
    hosts_text: String,
) -> Result<(ShimClient, Volumes), SetUpFailure> {
    let prepare = || -> io::Result<()> {
        dir.create()?;
        dir.write_record(&record)?;
        hosts::rewrite(&dir.hosts(), &hosts_text)?;
        fs::write(dir.hostname(), hosts::hostname(&pod) + "\n")?;
        let machine = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        fs::write(dir.resolv_conf(), hosts::resolver(&pod, &machine))
    };
    prepare().map_err(|error| SetUpFailure::Walls(error.to_string()))?;
    let facts = context.facts(&pod, record.address);
    let made = volumes::materialize(&context.client, &facts, dir.path(), Timestamp::now()).await;
    let volumes = made.map_err(|error| SetUpFailure::Volumes(chain(&error)))?;
    if let Ok(shim) = ShimClient::connect(dir.path()).await {
        return Ok((shim, volumes));
    }
    let spec = pod.spec.clone().unwrap_or_default();
    let walls = PodSpec {
        hostname: (spec.host_network != Some(true)).then(|| hosts::hostname(&pod)),
        memory_volumes: volumes.memory.clone(),
        id: pod.metadata.uid.clone().unwrap_or_default(),
    };
    let spawned = shim::spawn(
        &context.config.exe,
        dir.path(),
        &walls,
        context.lifeline.as_ref(),
    )
    .await;
    let shim = spawned.map_err(|error| SetUpFailure::Walls(chain(&error)))?;
    Ok((shim, volumes))
}

/// Starting one container.
pub(super) struct Start {
    pub(super) context: Arc<Context>,
    pub(super) pod: Pod,
    pub(super) container: Container,
    pub(super) attempt: u32,
    pub(super) address: Ipv4Addr,
    pub(super) dir: PodDir,
    pub(super) volumes: Volumes,
    pub(super) shim: ShimClient,
    /// Cancelled when the pod is to end.
    pub(super) ending: CancellationToken,
}

impl Start {
    pub(super) async fn run(mut self) -> StartOutcome {
        let provided = tokio::select! {
            provided = self.image() => provided,
            // A pod that is to end needs no image any more, and pulls take long.
            () = self.ending.cancelled() => return StartOutcome::Abandoned,
        };
        let (image, origin) = match provided {
            Ok(Provided { image, origin }) => (image, origin),
            Err(error) => {
                let message = error.to_string();
                return StartOutcome::NoImage {
                    reason: error.reason(),
                    message,
                };
            }
        };
        let spec = match self.describe(&image).await {
            Ok(spec) => spec,
            Err(why) => return StartOutcome::Refused(why),
        };
        if self.ending.is_cancelled() {
            return StartOutcome::Abandoned;
        }
        let (events, name) = (&self.context.events, &self.container.name);
        events.tell(
            &self.pod,
            Some(name),
            Kind::Normal,
            "Pulled",
            self.pulled(&origin),
        );
        // What older instances wrote is of no use to anyone any more.
        for old in 0..self.attempt {
            let _ = remove_tree(&self.dir.container(name, old));
        }
        if self.attempt >= 2 {
            let _ = fs::remove_file(self.dir.log(name, self.attempt - 2));
        }
        events.tell(
            &self.pod,
            Some(name),
            Kind::Normal,
            "Created",
            format!("Created container: {name}"),
        );
        if let Err(error) = self.shim.request(Request::Start(Box::new(spec))).await {
            return StartOutcome::Refused(chain(&error));
        }
        let Some(process) = self.until_running().await else {
            return StartOutcome::Running(Box::new(image));
        };
        self.context.events.tell(
            &self.pod,
            Some(&self.container.name),
            Kind::Normal,
            "Started",
            format!("Started container {}", self.container.name),
        );
        let hook = self
            .container
            .lifecycle
            .as_ref()
            .and_then(|l| l.post_start.clone());
        if let Some(hook) = hook {
            let directory = self.dir.container(&self.container.name, self.attempt);
            let entrance = Entrance::new(&self.context.config.exe, process, &directory);
            let target = Target {
                container: self.container.clone(),
                address: self.address,
                entrance,
            };
            if let Err(why) = probes::hook(&target, &hook).await {
                return StartOutcome::HookFailed(Box::new(image), why);
            }
        }
        StartOutcome::Running(Box::new(image))
    }

    fn image_name(&self) -> &str {
        self.container.image.as_deref().unwrap_or_default()
    }

    /// What the event says, in the kubelet's words.
    fn pulled(&self, origin: &Origin) -> String {
        let name = self.image_name();
        match origin {
            Origin::There => format!("Container image \"{name}\" already present on machine"),
            Origin::Pulled { took, size } => {
                let size = size.map_or_else(
                    || "nothing was new".to_owned(),
                    |bytes| format!("{bytes} bytes fetched"),
                );
                let took = took.as_secs_f64();
                format!("Successfully pulled image \"{name}\" in {took:.3}s ({size})")
            }
        }
    }

    async fn image(&self) -> Result<Provided, ImageError> {
        let name = self.image_name();
        let source = self.context.config.images.resolve(name)?;
        let credentials = match source {
            ImageSource::Registry(_) => self.credentials().await,
            _ => Credentials::default(),
        };
        let pulling = || {
            self.context.events.tell(
                &self.pod,
                Some(&self.container.name),
                Kind::Normal,
                "Pulling",
                format!("Pulling image \"{name}\""),
            );
        };
        let request = ImageRequest {
            name,
            source: &source,
            policy: PullPolicy::of(self.container.image_pull_policy.as_deref()),
            credentials,
            pulling: &pulling,
        };
        let mut provided = images::provide(&request, &self.context.images).await?;
        let env = &mut provided.image.env;
        if self.of_spark() {
            env.push(("SPARK_LOCAL_IP".to_owned(), self.address.to_string()));
        }
        let api = self.context.config.api;
        if matches!(source, ImageSource::Spark { .. }) && api.port != 443 {
            // Spark's drivers go to port 443 of this name unless they are told.
            let master = format!("https://kubernetes.default.svc:{}", api.port);
            env.push(("WINDLASS_KUBERNETES_MASTER".to_owned(), master));
        }
        Ok(provided)
    }

    /// Whether Spark made the pod: then its servers must keep to the pod's own address, since all
    /// pods share the machine's network.
    fn of_spark(&self) -> bool {
        let labels = self.pod.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key("spark-role"))
    }

    /// The logins the pod names, then the user's own. One that is missing or cannot be read is
    /// told and left out, as a kubelet does.
    async fn credentials(&self) -> Credentials {
        let mut credentials = Credentials::default();
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let secrets = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.image_pull_secrets.as_deref());
        for reference in secrets.unwrap_or_default() {
            let name = &reference.name;
            let found = volumes::secret(&self.context.client, namespace, name).await;
            let data = match found {
                Ok(Some(secret)) => secret.data.unwrap_or_default(),
                Ok(None) => {
                    self.no_login(&format!("Secret {namespace}/{name} does not exist"));
                    continue;
                }
                Err(error) => {
                    self.no_login(&format!("Secret {namespace}/{name}: {error}"));
                    continue;
                }
            };
            let read = match (data.get(".dockerconfigjson"), data.get(".dockercfg")) {
                (Some(json), _) => credentials.add_config(&json.0),
                (None, Some(json)) => credentials.add_legacy(&json.0),
                (None, None) => Err("it has neither .dockerconfigjson nor .dockercfg".to_owned()),
            };
            if let Err(why) = read {
                self.no_login(&format!("Secret {namespace}/{name}: {why}"));
            }
        }
        let own = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
        if let Some(file) = own.map(|folder| folder.join("config.json"))
            && let Ok(json) = fs::read(&file)
            && let Err(why) = credentials.add_config(&json)
        {
            self.no_login(&format!("{}: {why}", file.display()));
        }
        credentials
    }

    fn no_login(&self, why: &str) {
        self.context.events.tell(
            &self.pod,
            None,
            Kind::Warning,
            "FailedToRetrieveImagePullSecret",
            format!("Unable to use some image pull secrets, the pull may not succeed: {why}"),
        );
    }

    async fn describe(&self, image: &Image) -> Result<crate::runtime::ContainerSpec, String> {
        let facts = self.context.facts(&self.pod, self.address);
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut references = References::of(&self.container);
        let client = &self.context.client;
        for (name, found) in &mut references.config_maps {
            let fetched = volumes::config_map(client, namespace, name).await;
            *found = fetched.map_err(|error| chain(&error))?;
        }
        for (name, found) in &mut references.secrets {
            let fetched = volumes::secret(client, namespace, name).await;
            *found = fetched.map_err(|error| chain(&error))?;
        }
        let links = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.enable_service_links);
        let services =
            self.context
                .network
                .service_env(namespace, links != Some(false), &self.context.config);
        let env = env::resolve(&facts, &self.container, &image.env, &services, &references)?;
        let mounts = volumes::mounts(&self.container, &self.volumes, &env)?;
        let ingredients = Ingredients {
            facts: &facts,
            image,
            env,
            mounts,
            dir: &self.dir,
            hidden: vec![self.context.config.data_dir.clone()],
        };
        describe(&self.container, self.attempt, ingredients)
    }

    /// Waits until the program runs; `None` when it does not come to that, or is over already.
    async fn until_running(&mut self) -> Option<ProcessId> {
        loop {
            let state = self.shim.state();
            let instances = state.containers.get(&self.container.name);
            match instances.map(|instances| &instances.current) {
                Some(current) if current.attempt >= self.attempt => match &current.life {
                    Life::Running { process, .. } => return Some(*process),
                    Life::Ended(_) => return None,
                    Life::Starting { .. } => {}
                },
                _ => {}
            }
            if !self.shim.changed().await {
                return None;
            }
        }
    }
}

/// Stopping one container.
pub(super) struct Stop {
    pub(super) context: Arc<Context>,
    pub(super) container: Container,
    pub(super) attempt: u32,
    pub(super) process: Option<ProcessId>,
    pub(super) address: Ipv4Addr,
    pub(super) dir: PodDir,
    pub(super) shim: ShimClient,
    pub(super) kill_at: Timestamp,
    pub(super) run_hook: bool,
}

impl Stop {
    pub(super) async fn run(mut self) {
        let hook = self
            .container
            .lifecycle
            .as_ref()
            .and_then(|l| l.pre_stop.clone());
        if let (Some(hook), Some(process), true) = (hook, self.process, self.run_hook) {
            let directory = self.dir.container(&self.container.name, self.attempt);
            let entrance = Entrance::new(&self.context.config.exe, process, &directory);
            let target = Target {
                container: self.container.clone(),
                address: self.address,
                entrance,
            };
            // The hook's time is part of the grace; the container may also end during it.
            let left = self.left();
            tokio::select! {
                result = tokio::time::timeout(left, probes::hook(&target, &hook)) => {
                    if let Ok(Err(why)) = result {
                        tracing::debug!(container = self.container.name, why, "a preStop hook failed");
                    }
                }
                () = ended(&mut self.shim, &self.container.name, self.attempt) => {}
            }
        }
        let signal = self
            .container
            .lifecycle
            .as_ref()
            .and_then(|l| l.stop_signal.as_deref());
        let signal = signal.and_then(number_of_signal).unwrap_or(SIGTERM);
        self.send(signal).await;
        let left = self.left();
        let over = ended(&mut self.shim, &self.container.name, self.attempt);
        if tokio::time::timeout(left, over).await.is_err() {
            self.send(SIGKILL).await;
            let over = ended(&mut self.shim, &self.container.name, self.attempt);
            let _ = tokio::time::timeout(KILL_WAIT, over).await;
        }
    }

    async fn send(&self, signal: i32) {
        let container = self.container.name.clone();
        let request = Request::Signal {
            container,
            attempt: self.attempt,
            signal,
        };
        // That it does not run any more is what was wanted.
        let _ = self.shim.request(request).await;
    }

    fn left(&self) -> Duration {
        Duration::try_from(self.kill_at.duration_since(Timestamp::now())).unwrap_or_default()
    }
}

/// Waits until a container instance has ended, or nobody knows any more.
async fn ended(shim: &mut ShimClient, container: &str, attempt: u32) {
    loop {
        let state = shim.state();
        let current = state
            .containers
            .get(container)
            .map(|instances| &instances.current);
        let over = current.is_none_or(|current| {
            current.attempt != attempt || matches!(current.life, Life::Ended(_))
        });
        if over || !shim.changed().await {
            return;
        }
    }
}

/// Kills every container of a pod and lets its shim go.
pub(super) async fn kill_everything(mut shim: ShimClient) {
    let state = shim.state();
    for (name, instances) in &state.containers {
        let attempt = instances.current.attempt;
        let container = name.clone();
        let _ = shim
            .request(Request::Signal {
                container,
                attempt,
                signal: SIGKILL,
            })
            .await;
    }
    for (name, instances) in &state.containers {
        let over = ended(&mut shim, name, instances.current.attempt);
        let _ = tokio::time::timeout(KILL_WAIT, over).await;
    }
    if let Err(why) = dismiss(shim).await {
        // It goes by itself when its directory does.
        tracing::debug!(why, "a pod's shim stays");
    }
}

/// Lets a shim that owns nothing any more go, and waits until it has; the error says why one that
/// still owns something stays.
pub(super) async fn dismiss(mut shim: ShimClient) -> Result<(), String> {
    match shim.request(Request::Exit).await {
        Ok(()) => {
            let gone = async { while shim.changed().await {} };
            let _ = tokio::time::timeout(KILL_WAIT, gone).await;
            Ok(())
        }
        Err(ShimError::Refused(why)) => Err(why),
        // A shim that cannot be reached is gone.
        Err(ShimError::Unreachable(_)) => Ok(()),
    }
}

fn number_of_signal(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let known = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("WINCH", 28),
        ("PWR", 30),
    ];
    known
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// An error with everything behind it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
