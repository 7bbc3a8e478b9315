//! `windlass forward`: the driver's web page at a port of this machine.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::net::{TcpListener, TcpStream};

use crate::applications::{Place, state};
use crate::args::ForwardArgs;
use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::run::interrupts::Interrupts;
use crate::run::preflight::api_failure;

/// Spark's own port for the page.
const UI_PORT: u16 = 4040;

/// Forwards until it is interrupted or the driver is gone.
pub async fn forward(args: ForwardArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let application = place.application(&args.name).await?;
    let configured = application.data["spec"]["sparkConf"]["spark.ui.port"].as_str();
    let remote = args
        .remote_port
        .or_else(|| configured.and_then(|port| port.parse().ok()))
        .unwrap_or(UI_PORT);
    let not_running = |state: &str| {
        Failure::bad_input(format!(
            "{}/{} is {state}: its page is there while its driver runs; windlass wait --for running waits for it",
            place.namespace, args.name
        ))
    };
    let driver = application.data["status"]["driverInfo"]["podName"]
        .as_str()
        .filter(|_| state(&application) == "RUNNING")
        .ok_or_else(|| not_running(state(&application)))?
        .to_owned();
    let pods = place.pods();
    let mut interrupts = Interrupts::listen()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.local_port))
        .await
        .map_err(|error| {
            Failure::bad_input(format!(
                "port {} of this machine cannot be used: {error}: choose another one with --local-port (0: any)",
                args.local_port
            ))
        })?;
    let local = listener.local_addr().map_err(Failure::internal)?.port();
    talk(&format!(
        "http://127.0.0.1:{local} leads to port {remote} of {driver}; Ctrl-C ends it"
    ));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.map_err(Failure::internal)?;
                if pods.get_opt(&driver).await.map_err(api_failure)?.is_none() {
                    return Err(Failure::cluster(format!("driver pod {driver} is gone")));
                }
                let (pods, driver) = (pods.clone(), driver.clone());
                tokio::spawn(async move {
                    if let Err(error) = carry(&pods, &driver, remote, stream).await {
                        talk(&format!("a connection to port {remote} of {driver} failed: {error:#}"));
                    }
                });
            }
            _ = interrupts.next() => return Ok(Exit::Completed),
        }
    }
}

/// Copies both ways until either side is done.
async fn carry(
    pods: &Api<Pod>,
    driver: &str,
    port: u16,
    mut local: TcpStream,
) -> anyhow::Result<()> {
    let mut forward = pods.portforward(driver, &[port]).await?;
    let mut remote = forward
        .take_stream(port)
        .ok_or_else(|| anyhow::anyhow!("the cluster opened no stream"))?;
    // A browser that hangs up is no error.
    let _ = tokio::io::copy_bidirectional(&mut local, &mut remote).await;
    drop(remote);
    forward.join().await?;
    Ok(())
}
