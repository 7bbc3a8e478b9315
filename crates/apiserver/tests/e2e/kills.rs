//! The server is killed under writers and watchers, again and again, and everybody goes on.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use kube::{Client, config::KubeConfigOptions, config::Kubeconfig};
use tokio::sync::watch;
use windlass_apiserver::{ApiServer, Config, store::Durability};
use windlass_streaming::backend::NoNode;

use crate::common::crowd::{Size, crowd};

/// Set for the process that is killed: where its data is.
const VICTIM: &str = "WINDLASS_KILLED_SERVER";
/// What that process says before its address for clients.
const READY: &str = "the kubeconfig is at ";
/// Octet of the loopback network.
const OCTET: u8 = 119;
const KILLS: u64 = 25;
const SIZE: Size = Size {
    writers: 8,
    writes: 700,
};

/// The body of the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Some(data) = std::env::var_os(VICTIM) else {
        return;
    };
    let mut config = Config::for_tests(&data);
    config.durability = Durability::Immediate;
    config.loopback_octet = OCTET;
    let server = ApiServer::start(config, Arc::new(NoNode)).await.unwrap();
    let kubeconfig = Path::new(&data).join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    println!("\n{READY}{}", kubeconfig.display());
    std::future::pending::<()>().await;
}

/// A process that serves, and dies with the test.
struct Server(Child);

impl Server {
    /// Returns once it serves, with the path of its kubeconfig.
    fn start(data: &Path) -> (Self, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::victim", "--exact", "--nocapture"])
            .env(VICTIM, data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let server = Self(child);
        let mut lines = output.lines().map_while(Result::ok);
        let ready = lines.find_map(|line| line.strip_prefix(READY).map(ToOwned::to_owned));
        (
            server,
            ready.unwrap_or_else(|| panic!("the server did not start")),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_and_no_watch_misses_anything_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (server, kubeconfig) = Server::start(&data);
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let (written, mut progress) = watch::channel(0);

    let total = SIZE.writers * SIZE.writes;
    let kills = tokio::spawn(async move {
        let mut server = server;
        for kill in 1..=KILLS {
            let enough = progress.wait_for(|written| *written >= kill * total / (KILLS + 1));
            drop(enough.await.unwrap());
            drop(server);
            let data = data.clone();
            let start = tokio::task::spawn_blocking(move || Server::start(&data).0);
            server = start.await.unwrap();
        }
        server
    });
    let story = crowd(&client, 1, SIZE, &written);
    let tally = tokio::time::timeout(Duration::from_mins(5), story)
        .await
        .unwrap();
    drop(kills.await.unwrap());
    println!("{tally:?}");
    assert!(
        tally.acknowledged as u64 + SIZE.writers * KILLS >= total,
        "{tally:?}"
    );
    assert!(tally.unanswered > 10, "{tally:?}");
    assert!(tally.resumed > 100, "{tally:?}");
    assert_eq!(tally.relisted, 0, "{tally:?}");
}
