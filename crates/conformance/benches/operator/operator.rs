//! The operator that is measured, as a process.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::contender;

const START: Duration = Duration::from_secs(30);

/// A running operator.
pub(crate) struct Operator {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Operator {
    /// Starts it, and waits until it leads.
    pub(crate) async fn start(windlass: &Path, kubeconfig: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig)?;
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.local_addr()?.to_string()
        };
        let child = Command::new(windlass)
            .args([
                "operator",
                "--lease-namespace",
                "default",
                "--listen",
                &address,
            ])
            .args(["--default-driver-service-account", "spark", "--kubeconfig"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", windlass.display()))?;
        let operator = Self {
            child,
            address,
            _directory: directory,
        };
        let deadline = Instant::now() + START;
        while !operator
            .page("/readyz")
            .await
            .is_ok_and(|page| page.contains("leadership: leader"))
        {
            if Instant::now() > deadline {
                bail!("the operator does not lead after {START:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(operator)
    }

    /// Its CPU time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        contender::cpu_seconds(self.child.id().context("the operator still runs")?)
    }

    /// Its memory, in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        contender::resident_mib(self.child.id().context("the operator still runs")?)
    }

    /// The sum of all samples of a metric whose labels have this text.
    pub(crate) async fn counted(&self, metric: &str, label: &str) -> anyhow::Result<f64> {
        let page = self.page("/metrics").await?;
        let samples = page.lines().filter(|line| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        samples
            .map(|line| {
                let (_, value) = line.rsplit_once(' ').context("a sample has a value")?;
                Ok(value.parse::<f64>()?)
            })
            .sum()
    }

    async fn page(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        Ok(page)
    }
}
