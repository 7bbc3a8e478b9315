//! Images that are not installed: from a directory of the OCI layout, and from a real registry.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::{Up, until};

const PATIENCE: Duration = Duration::from_mins(1);

/// The image: this machine's shell with the libraries it needs, and one program of its own.
struct Tool {
    layers: Vec<Vec<u8>>,
    config: Vec<u8>,
}

impl Tool {
    fn new() -> Self {
        let mut shell = tar::Builder::new(Vec::new());
        shell.follow_symlinks(true);
        for file in ["sh", "id", "cat"].into_iter().flat_map(with_libraries) {
            let inside = file.strip_prefix("/").unwrap();
            shell.append_path_with_name(&file, inside).unwrap();
        }
        let mut files = tar::Builder::new(Vec::new());
        for (path, mode, text) in [
            ("etc/passwd", 0o644, "worker:x:1234:1234::/:/bin/sh\n"),
            (
                "opt/tool",
                0o755,
                "#!/bin/sh\nread line < /etc/note\necho \"$GREETING $line $*\"\n/bin/id -u\n",
            ),
            ("etc/note", 0o644, "from the image"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(text.len() as u64);
            files
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        let config = json!({
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
            "os": "linux",
            "config": {
                "Env": ["GREETING=hello", "PATH=/usr/bin:/bin"],
                "Entrypoint": ["/opt/tool"],
                "Cmd": ["by", "itself"],
                "User": "worker",
            },
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        Self {
            layers: vec![shell.into_inner().unwrap(), files.into_inner().unwrap()],
            config: config.to_string().into_bytes(),
        }
    }

    /// Writes it as a layout.
    fn write_layout(&self, folder: &Path, tag: &str) {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let blob = |bytes: &[u8], kind: &str| -> Value {
            let hex = Sha256::digest(bytes)
                .iter()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            std::fs::write(folder.join("blobs/sha256").join(&hex), bytes).unwrap();
            let media_type = format!("application/vnd.oci.image.{kind}");
            json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
        };
        let layers = self.layers.iter().map(|layer| blob(layer, "layer.v1.tar"));
        let layers: Vec<Value> = layers.collect();
        let config = blob(&self.config, "config.v1+json");
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut entry = blob(manifest.to_string().as_bytes(), "manifest.v1+json");
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    }

    fn push(&self, name: &str, auth: &RegistryAuth) {
        // That another test was first is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::Http,
            ..ClientConfig::default()
        });
        let name: Reference = name.parse().unwrap();
        let layers = self.layers.iter().cloned();
        let layers: Vec<ImageLayer> = layers
            .map(|layer| ImageLayer::oci_v1(layer, None))
            .collect();
        let config = Config::oci_v1(self.config.clone(), None);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime
            .block_on(client.push(&name, &layers, config, auth, None))
            .unwrap();
    }
}

/// A program with all that the dynamic linker needs for it.
fn with_libraries(program: &str) -> Vec<PathBuf> {
    let path = PathBuf::from("/bin").join(program);
    let output = Command::new("ldd").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    std::iter::once(path.clone())
        .chain(libraries.map(PathBuf::from))
        .collect()
}

/// A registry that asks for a password.
struct Registry {
    address: String,
    process: Child,
    _data: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        // What `htpasswd -nbB robot secret` prints.
        let users = "robot:$2b$05$l0.Yjp14lb2omnYODoex1.GSv1/rCgmPs6gSIAA/f3jU/zPaJK.3O\n";
        std::fs::write(data.path().join("users"), users).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap().to_string();
        drop(port);
        let config = data.path().join("config.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\n\
                 log: {{level: error}}\n\
                 storage: {{filesystem: {{rootdirectory: {0}/store}}}}\n\
                 http: {{addr: '{address}'}}\n\
                 auth: {{htpasswd: {{realm: test, path: {0}/users}}}}\n",
                data.path().display()
            ),
        )
        .unwrap();
        let process = Command::new(program())
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry is installed (make e2e installs it)");
        until("the registry to listen", PATIENCE, || {
            std::net::TcpStream::connect(&address).ok()
        });
        Self {
            address,
            process,
            _data: data,
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where hack/setup.sh puts it.
fn program() -> PathBuf {
    let cache = std::env::var_os("WINDLASS_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/windlass")
    });
    cache.join("registry/usr/bin/docker-registry")
}

fn pod(name: &str, image: &str, changes: Value) -> Value {
    let mut spec = json!({
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": image}],
    });
    for (field, value) in changes.as_object().unwrap() {
        match field.as_str() {
            "imagePullSecrets" => spec[field] = value.clone(),
            _ => spec["containers"][0][field] = value.clone(),
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// Runs a pod to its end and returns what it printed.
fn run(up: &Up, pod: &Value) -> String {
    let name = pod["metadata"]["name"].as_str().unwrap();
    up.kubectl_with(&["create", "-f", "-"], &pod.to_string());
    until(&format!("{name} to end"), PATIENCE, || {
        let found = up.get(&["pod", name])?;
        let waiting = &found["status"]["containerStatuses"][0]["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        assert!(!reason.starts_with("ErrImage"), "{waiting}");
        (found["status"]["phase"] == "Succeeded").then_some(())
    });
    up.kubectl_ok(&["logs", name])
}

fn waiting(up: &Up, pod: &Value, reason: &str) -> String {
    let name = pod["metadata"]["name"].as_str().unwrap();
    up.kubectl_with(&["create", "-f", "-"], &pod.to_string());
    until(&format!("{name} to wait: {reason}"), PATIENCE, || {
        let found = up.get(&["pod", name])?;
        let waiting = &found["status"]["containerStatuses"][0]["state"]["waiting"];
        (waiting["reason"] == reason).then(|| waiting["message"].as_str().unwrap().to_owned())
    })
}

#[test]
fn an_image_in_a_directory_of_the_oci_layout_runs_as_its_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    Tool::new().write_layout(folder.path(), "v1");
    let up = Up::start();
    let image = format!("oci:{}:v1", folder.path().display());
    let text = run(&up, &pod("plain", &image, json!({})));
    assert_eq!(text, "hello from the image by itself\n1234\n");
    let changes = json!({"args": ["with", "arguments"], "securityContext": {"runAsUser": 0}});
    let text = run(&up, &pod("changed", &image, changes));
    assert_eq!(text, "hello from the image with arguments\n0\n");

    let image = format!("oci:{}:v2", folder.path().display());
    let message = waiting(&up, &pod("no-tag", &image, json!({})), "ErrImagePull");
    assert!(message.contains("its tags are: v1"), "{message}");
}

#[test]
fn an_image_is_pulled_from_a_registry_with_the_pods_own_login() {
    let registry = Registry::start();
    let name = format!("{}/team/tool:1", registry.address);
    let login = RegistryAuth::Basic("robot".to_owned(), "secret".to_owned());
    Tool::new().push(&name, &login);
    let up = Up::start();
    let server = format!("--docker-server={}", registry.address);
    up.kubectl_ok(&[
        "create",
        "secret",
        "docker-registry",
        "login",
        &server,
        "--docker-username=robot",
        "--docker-password=secret",
    ]);

    let never = json!({"imagePullPolicy": "Never"});
    let message = waiting(
        &up,
        &pod("never", &name, never.clone()),
        "ErrImageNeverPull",
    );
    assert!(message.contains("pull policy of Never"), "{message}");
    let message = waiting(&up, &pod("stranger", &name, json!({})), "ErrImagePull");
    assert!(message.contains("failed to pull image"), "{message}");

    let secrets = json!({"imagePullSecrets": [{"name": "login"}]});
    let text = run(&up, &pod("friend", &name, secrets.clone()));
    assert_eq!(text, "hello from the image by itself\n1234\n");
    let events = up.kubectl_ok(&["describe", "pod", "friend"]);
    assert!(events.contains("Successfully pulled image"), "{events}");

    // What has been pulled is there, without any login.
    assert!(run(&up, &pod("again", &name, json!({}))).starts_with("hello"));
    up.kubectl_ok(&["delete", "pod", "never"]);
    assert!(run(&up, &pod("never", &name, never)).starts_with("hello"));

    // Only Always asks for what is new.
    let changed = Tool {
        config: String::from_utf8(Tool::new().config)
            .unwrap()
            .replace("GREETING=hello", "GREETING=goodbye")
            .into_bytes(),
        ..Tool::new()
    };
    changed.push(&name, &login);
    assert!(run(&up, &pod("old", &name, secrets.clone())).starts_with("hello"));
    let mut always = secrets;
    always["imagePullPolicy"] = json!("Always");
    assert!(run(&up, &pod("new", &name, always)).starts_with("goodbye"));
}
