//! A real kube-apiserver with its etcd, and nothing else: no controller, no scheduler, no node.
//!
//! Both end with this value, also when a test panics, and with the process, however that ends.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The network of Services; [`crate::normalise`] knows it.
const SERVICES: &str = "10.96.0.0/16";
const TOKEN: &str = "conformance";
/// How long the servers may take to get ready.
const START: Duration = Duration::from_mins(2);

/// Whether an acknowledged write has to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It has, as in production.
    Waits,
    /// What is stored need not outlive the machine.
    IsNotWaitedFor,
}

/// The running servers.
pub struct Real {
    client: kube::Client,
    kubeconfig: String,
    // Dropped in this order: the API server first, its files last.
    processes: Vec<Process>,
    _directory: tempfile::TempDir,
}

impl Real {
    /// Builds what is missing, and starts for tests. To be called on a thread that stays.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on(Disk::IsNotWaitedFor).await
    }

    /// The same with a choice. To be called on a thread that stays.
    pub async fn start_on(disk: Disk) -> anyhow::Result<Self> {
        let binaries = binaries()?;
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let certificate = write_keys(at)?;
        let [store, peers, api] = free_ports()?;
        let store = format!("http://127.0.0.1:{store}");
        let peers = format!("http://127.0.0.1:{peers}");
        let etcd = Process::start(
            at,
            &binaries.join("etcd"),
            &[
                format!("--data-dir={}", at.join("etcd").display()),
                format!("--unsafe-no-fsync={}", disk == Disk::IsNotWaitedFor),
                format!("--listen-client-urls={store}"),
                format!("--advertise-client-urls={store}"),
                format!("--listen-peer-urls={peers}"),
                format!("--initial-advertise-peer-urls={peers}"),
                format!("--initial-cluster=default={peers}"),
            ],
        )?;
        let file = |name: &str| at.join(name).display().to_string();
        // Nobody reaches it through a Service, so it needs no endpoints, for which it would want
        // an address of this machine. Nothing here is to wait for its turn.
        let server = Process::start(
            at,
            &binaries.join("kube-apiserver"),
            &[
                format!("--etcd-servers={store}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={api}"),
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--service-cluster-ip-range={SERVICES}"),
                format!("--tls-cert-file={}", file("server.crt")),
                format!("--tls-private-key-file={}", file("server.key")),
                format!("--token-auth-file={}", file("tokens")),
                format!("--service-account-key-file={}", file("accounts.pub")),
                format!(
                    "--service-account-signing-key-file={}",
                    file("accounts.key")
                ),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                "--allow-privileged=true".to_owned(),
                "--enable-priority-and-fairness=false".to_owned(),
            ],
        )?;
        let url = format!("https://127.0.0.1:{api}");
        let kubeconfig = kubeconfig(&url, &std::fs::read_to_string(at.join("server.crt"))?);
        let mut config = kube::Config::new(url.parse()?);
        config.root_cert = Some(vec![certificate]);
        config.auth_info.token = Some(TOKEN.to_owned().into());
        config.read_timeout = Some(Duration::from_mins(2));
        let client = kube::Client::try_from(config)?;
        let mut real = Self {
            client,
            kubeconfig,
            processes: vec![server, etcd],
            _directory: directory,
        };
        real.wait_until_ready().await?;
        Ok(real)
    }

    /// A client that may do everything.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// What other programs need to know to be such a client.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The processes of both servers.
    pub fn process_ids(&self) -> Vec<u32> {
        let ids = self.processes.iter().map(|process| process.child.id());
        ids.collect()
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            if self.client.request_text(request).await.is_ok() {
                return Ok(());
            }
            for process in &mut self.processes {
                process.must_run()?;
            }
            if Instant::now() > deadline {
                let logs: Vec<String> = self.processes.iter().map(Process::log_tail).collect();
                bail!(
                    "kube-apiserver was not ready within {START:?}:\n{}",
                    logs.join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Where etcd and kube-apiserver are.
fn binaries() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") {
        let folder = PathBuf::from(folder);
        for name in ["etcd", "kube-apiserver"] {
            if !folder.join(name).is_file() {
                bail!(
                    "KUBEBUILDER_ASSETS is {}, but there is no {name} in it",
                    folder.display()
                );
            }
        }
        return Ok(folder);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/kubernetes/assets");
    let output = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    if !output.status.success() {
        bail!("hack/kubernetes/assets could not build kube-apiserver and etcd; it says why above");
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// Writes what the servers read, and returns the certificate that clients trust.
fn write_keys(at: &Path) -> anyhow::Result<Vec<u8>> {
    let server =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    std::fs::write(at.join("server.crt"), server.cert.pem())?;
    std::fs::write(at.join("server.key"), server.signing_key.serialize_pem())?;
    let accounts = rcgen::KeyPair::generate()?;
    std::fs::write(at.join("accounts.key"), accounts.serialize_pem())?;
    std::fs::write(at.join("accounts.pub"), accounts.public_key_pem())?;
    std::fs::write(
        at.join("tokens"),
        format!("{TOKEN},admin,1,system:masters\n"),
    )?;
    Ok(server.cert.der().to_vec())
}

fn kubeconfig(url: &str, certificate: &str) -> String {
    let authority = BASE64_STANDARD.encode(certificate);
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "real",
        "contexts": [{ "name": "real", "context": { "cluster": "real", "user": "admin" } }],
        "clusters": [{
            "name": "real",
            "cluster": { "server": url, "certificate-authority-data": authority },
        }],
        "users": [{ "name": "admin", "user": { "token": TOKEN } }],
    })
    .to_string()
}

/// Ports that nobody has at this moment.
fn free_ports() -> anyhow::Result<[u16; 3]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(at: &Path, program: &Path, arguments: &[String]) -> anyhow::Result<Self> {
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let log = at.join(format!("{name}.log"));
        let output = File::create(&log)?;
        // The kernel ends it with us, should we be killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, self.log_tail());
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
