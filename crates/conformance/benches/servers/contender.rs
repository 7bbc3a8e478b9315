//! The servers that are measured, as processes.

#![allow(dead_code, reason = "each benchmark uses a part of this")]

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use windlass_apiserver::{ApiServer, Config};
use windlass_conformance::real::{Disk, Real};
use windlass_streaming::backend::NoNode;

use crate::table::{Figure, Table};

/// The argument that makes this program an embedded server.
pub(crate) const SERVE: &str = "serve";

/// The unit of time of proc(5), which is the same on every architecture that Linux runs on here.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server.
pub(crate) struct Contender {
    server: Server,
    client: kube::Client,
    kubeconfig: String,
    started_in: Duration,
}

enum Server {
    Embedded(Child, tempfile::TempDir),
    Real(Real),
}

impl Contender {
    /// The embedded API server alone, as everything beside it is missing in the other one, too.
    pub(crate) async fn embedded() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let kubeconfig = lines.next_line().await?.context("it did not start")?;
        let text = std::fs::read_to_string(kubeconfig)?;
        let kubeconfig = Kubeconfig::from_yaml(&text)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = kube::Client::try_from(config)?;
        client.apiserver_version().await?;
        Ok(Self {
            started_in: begun.elapsed(),
            server: Server::Embedded(child, directory),
            client,
            kubeconfig: text,
        })
    }

    /// kube-apiserver and etcd.
    pub(crate) async fn real() -> anyhow::Result<Self> {
        let begun = Instant::now();
        let real = Real::start_on(Disk::Waits).await?;
        Ok(Self {
            started_in: begun.elapsed(),
            client: real.client(),
            kubeconfig: real.kubeconfig().to_owned(),
            server: Server::Real(real),
        })
    }

    /// Ends it, and waits until it has let go of its address and its files.
    async fn stop(self) -> anyhow::Result<()> {
        if let Server::Embedded(mut child, _directory) = self.server {
            child.kill().await?;
        }
        Ok(())
    }

    /// What to call it.
    pub(crate) fn name(&self) -> &'static str {
        match self.server {
            Server::Embedded(..) => "embedded",
            Server::Real(_) => "kube-apiserver + etcd",
        }
    }

    /// A client that may do everything.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// What other programs need to know to be such a client.
    pub(crate) fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// From the start of its processes to the first answer.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// CPU time of its processes so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.ids()?.into_iter().map(cpu_seconds).sum()
    }

    /// Memory that its processes have resident, in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        self.ids()?.into_iter().map(resident_mib).sum()
    }

    fn ids(&self) -> anyhow::Result<Vec<u32>> {
        Ok(match &self.server {
            Server::Embedded(child, _) => vec![child.id().context("it still runs")?],
            Server::Real(real) => real.process_ids(),
        })
    }
}
/// CPU time of a process so far, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("stat names the program")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // proc(5): utime and stime are the 14th and 15th field, the program the second.
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// Memory that a process has resident, in MiB.
pub(crate) fn resident_mib(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.context("status tells the resident memory")?;
    let number = line.trim().trim_end_matches(" kB");
    Ok(number.parse::<f64>()? / 1024.0)
}

/// Measures a fresh server of each kind in every round.
pub(crate) async fn take_turns(
    rounds: usize,
    measure: impl AsyncFn(&Contender) -> anyhow::Result<Vec<(&'static str, Figure)>>,
) -> anyhow::Result<Table> {
    let mut table = Table::default();
    for round in 0..rounds {
        // Whoever comes second may find a warmer or a busier machine.
        let embedded_first = round % 2 == 0;
        for embedded in [embedded_first, !embedded_first] {
            let contender = if embedded {
                Contender::embedded().await?
            } else {
                Contender::real().await?
            };
            eprintln!("round {} of {rounds}: {}", round + 1, contender.name());
            for (what, figure) in measure(&contender).await? {
                table.add(what, embedded, figure);
            }
            contender.stop().await?;
        }
    }
    Ok(table)
}

/// Runs an embedded server until this process is ended; says on stdout where its kubeconfig is.
pub(crate) async fn serve(directory: &Path) -> anyhow::Result<()> {
    let mut config = Config::new(directory.join("data"));
    config.port = 0;
    let server = ApiServer::start(config, Arc::new(NoNode)).await?;
    let kubeconfig = directory.join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig())?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", kubeconfig.display())?;
    stdout.flush()?;
    drop(stdout);
    std::future::pending().await
}
