//! Members of virtual clusters: pods whose container is a directory of this machine, in which the
//! agent does what an exec asks of it.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::{BoxFuture, ready};
use futures::{FutureExt as _, StreamExt as _};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use windlass_director::build::APP_CONTAINER;
use windlass_streaming::backend::{BackendError, ContainerRef, ExecOptions, NodeBackend, Process};
use windlass_trial::{Objects, resource};

/// What each member is set up with: it writes down what it is called with, and what it was told first. Asked
/// for demand, it answers what the test has written.
const STARTSCRIPT: &str = r#"#!/bin/sh
if [ "$1" = --demand ]; then
    [ -e "$WINDLASS_ROOT/demand" ] || { echo "nobody knows" >&2; exit 1; }
    exec cat "$WINDLASS_ROOT/demand"
fi
echo "$*" >>"$WINDLASS_ROOT/calls"
if [ "$1" = --configure ]; then
    cp "$WINDLASS_ROOT/etc/guestconfig/configmeta.json" "$WINDLASS_ROOT/first.json"
fi
"#;

/// All members, as a node.
pub(crate) struct Members {
    folder: PathBuf,
    client: OnceLock<kube::Client>,
}

impl Members {
    /// In this folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        let setup = folder.join("notes");
        fs::create_dir_all(&setup).unwrap();
        let script = setup.join("startscript");
        fs::write(&script, STARTSCRIPT).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let packed = std::process::Command::new("tar")
            .arg("-C")
            .arg(&folder)
            .arg("-czf")
            .arg(folder.join("notes.tgz"))
            .arg("notes")
            .status();
        assert!(packed.unwrap().success());
        Self {
            folder,
            client: OnceLock::new(),
        }
    }

    /// The setup package.
    pub(crate) fn package(&self) -> PathBuf {
        self.folder.join("notes.tgz")
    }

    /// What is in the member of this pod, or was.
    pub(crate) fn of(&self, uid: &str) -> Member {
        Member(self.folder.join(uid))
    }

    /// The same; of a member with storage all is on it.
    pub(crate) fn of_pod(&self, pod: &Value) -> Member {
        Member(self.folder.join(place(pod)))
    }

    /// Puts what is on the storage of one namespace on that of another one.
    pub(crate) fn copy_storage(&self, from: &str, to: &str) {
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(self.folder.join(storage(from)))
            .arg(self.folder.join(storage(to)))
            .status();
        assert!(copied.unwrap().success());
    }

    /// Starts the container of every pod there is, until it is dropped.
    pub(crate) async fn start_all(client: kube::Client) {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource("v1", "Pod", "pods"));
        let pods = watcher(api, watcher::Config::default()).default_backoff();
        let mut pods = std::pin::pin!(pods.applied_objects());
        while let Some(pod) = pods.next().await {
            if let Ok(pod) = pod
                && pod.data["status"]["containerStatuses"].is_null()
            {
                start(&client, &pod).await;
            }
        }
    }

    /// What execs read their pods with.
    pub(crate) fn know(&self, client: kube::Client) {
        assert!(self.client.set(client).is_ok());
    }
}

async fn start(client: &kube::Client, pod: &DynamicObject) {
    let (uid, name) = (pod.metadata.uid.as_deref(), pod.metadata.name.as_deref());
    let namespace = pod.metadata.namespace.as_deref().unwrap();
    let started = json!({
        "metadata": {"uid": uid},
        "status": {
            "phase": "Running", "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": APP_CONTAINER, "image": "test", "imageID": "", "ready": true,
                "restartCount": 0, "containerID": format!("test://{}", uid.unwrap()),
                "state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}},
            }],
        },
    });
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &resource("v1", "Pod", "pods"));
    let patch = Patch::Merge(started);
    // It may be gone already.
    let _ = api
        .patch_status(name.unwrap(), &PatchParams::default(), &patch)
        .await;
}

impl NodeBackend for Members {
    fn exec(
        &self,
        container: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        let folder = self.folder.clone();
        let client = self.client.get().unwrap().clone();
        async move {
            // A command goes on when nobody waits for its answer any more.
            let ran = tokio::spawn(run(client, container, folder, options.command));
            let output = ran.await.unwrap().map_err(BackendError::NotFound)?;
            let code = output.status.code().unwrap_or(137);
            Ok(Process {
                stdin: None,
                stdout: Some(Box::pin(Cursor::new(output.stdout))),
                stderr: Some(Box::pin(Cursor::new(output.stderr))),
                resize: None,
                exit: ready(Ok(code)).boxed(),
            })
        }
        .boxed()
    }
}

/// Runs a command of the operator in a member, with what is mounted there now.
async fn run(
    client: kube::Client,
    container: ContainerRef,
    folder: PathBuf,
    command: Vec<String>,
) -> Result<std::process::Output, String> {
    let pods = Objects::of(&client, &container.namespace, "v1", "Pod", "pods");
    let pod = pods.get(&container.pod).await;
    let pod = pod.filter(|pod| pod["metadata"]["uid"] == *container.uid);
    let pod = pod.ok_or("the pod is gone")?;
    let root = folder.join(place(&pod));
    let secrets = Objects::of(&client, &container.namespace, "v1", "Secret", "secrets");
    for name in projected_secrets(&pod) {
        let secret = secrets.get(&name).await.ok_or("the secret is gone")?;
        mount(&root.join("opt/windlass"), &secret);
    }
    let (shell, agent) = (&command[0], &command[1]);
    let mut process = tokio::process::Command::new(shell);
    process
        .arg(root.join(agent.trim_start_matches('/')))
        .args(&command[2..])
        .env("WINDLASS_ROOT", &root)
        .env("WINDLASS_POD_UID", container.uid.as_str());
    process.output().await.map_err(|error| error.to_string())
}

/// Where the member of a pod is, in the folder of all.
fn place(pod: &Value) -> PathBuf {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let mut claims = volumes.filter_map(|it| it["persistentVolumeClaim"]["claimName"].as_str());
    let metadata = &pod["metadata"];
    match claims.next() {
        Some(claim) => storage(metadata["namespace"].as_str().unwrap()).join(claim),
        None => metadata["uid"].as_str().unwrap().into(),
    }
}

fn storage(namespace: &str) -> PathBuf {
    format!("storage-{namespace}").into()
}

fn projected_secrets(pod: &Value) -> Vec<String> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let sources =
        volumes.flat_map(|it| it["projected"]["sources"].as_array().into_iter().flatten());
    let names = sources.filter_map(|source| source["secret"]["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Puts each key of a Secret into a file, as a kubelet does: whoever reads sees an old one or a new one.
fn mount(folder: &Path, secret: &Value) {
    fs::create_dir_all(folder).unwrap();
    for (key, text) in secret["data"].as_object().into_iter().flatten() {
        let bytes = BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap();
        let file = folder.join(key);
        if fs::read(&file).ok().as_ref() != Some(&bytes) {
            let mut new = tempfile::NamedTempFile::new_in(folder).unwrap();
            std::io::Write::write_all(&mut new, &bytes).unwrap();
            new.persist(&file).unwrap();
        }
    }
}

/// What is in a member.
pub(crate) struct Member(PathBuf);

impl Member {
    /// What its startscript was called with.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// From now on this is what it answers when it is asked for demand.
    pub(crate) fn wants(&self, answer: &str) {
        let mut new = tempfile::NamedTempFile::new_in(&self.0).unwrap();
        std::io::Write::write_all(&mut new, answer.as_bytes()).unwrap();
        new.persist(self.0.join("demand")).unwrap();
    }

    /// How often it was called with this first.
    pub(crate) fn count(&self, option: &str) -> usize {
        let calls = self.calls();
        let found = calls
            .iter()
            .filter(|call| call.split(' ').next() == Some(option));
        found.count()
    }

    /// The pods that it has been told of: those of the first configmeta.json, and who came and went
    /// since.
    pub(crate) fn knows(&self) -> Result<Vec<String>, String> {
        let first = fs::read(self.0.join("first.json")).map_err(|error| error.to_string())?;
        let first: Value = serde_json::from_slice(&first).map_err(|error| error.to_string())?;
        let roles = first["nodegroups"]["1"]["roles"].as_object();
        let names = roles.into_iter().flatten().flat_map(|(_, role)| {
            let fqdns = role["fqdns"].as_array().into_iter().flatten();
            fqdns.filter_map(Value::as_str).map(pod_of)
        });
        let mut known: Vec<String> = names.collect();
        for call in self.calls() {
            let words: Vec<&str> = call.split(' ').collect();
            let named = words.iter().position(|word| *word == "--fqdns");
            let Some(named) = named.map(|at| words[at + 1].split(',').map(pod_of)) else {
                continue;
            };
            for pod in named {
                let before = known.len();
                known.retain(|it| *it != pod);
                let was_known = known.len() < before;
                if was_known == (words[0] == "--addnodes") {
                    return Err(format!("{call}: known before: {was_known}"));
                }
                if words[0] == "--addnodes" {
                    known.push(pod);
                }
            }
        }
        known.sort();
        Ok(known)
    }
}

fn pod_of(fqdn: &str) -> String {
    fqdn.split('.').next().unwrap_or_default().to_owned()
}
