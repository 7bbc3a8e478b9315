//! `windlass forward`: the driver's web page at a port of this machine.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DynamicObject;
use tokio::net::{TcpListener, TcpStream};
use windlass_api::spark::history::{HISTORY_PORT, HISTORY_PORT_KEY};

use crate::applications::{Place, state};
use crate::args::ForwardArgs;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::talk;
use crate::run::interrupts::Interrupts;
use crate::run::preflight::api_failure;
use crate::{connects, histories};

/// Spark's own port for the page.
pub const UI_PORT: u16 = 4040;
/// How often it is looked whether the pod is still there.
const LOOK: Duration = Duration::from_secs(2);

/// Forwards until it is interrupted or the driver is gone.
pub async fn forward(args: ForwardArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let subject = &args.object;
    let found = place.object(subject).await?;
    let (key, usual) = match subject.kind {
        Kind::History => (HISTORY_PORT_KEY, HISTORY_PORT),
        _ => ("spark.ui.port", UI_PORT),
    };
    let configured = found.data["spec"]["sparkConf"][key].as_str();
    let remote = args
        .remote_port
        .or_else(|| configured.and_then(|port| port.parse().ok()))
        .unwrap_or(usual);
    let driver = pod(&place, subject, &found)?;
    let pods = place.pods();
    let mut interrupts = Interrupts::listen()?;
    let (listener, local) = listen(args.local_port).await?;
    talk(&format!(
        "http://127.0.0.1:{local} leads to port {remote} of {driver}; Ctrl-C ends it"
    ));
    tokio::select! {
        failure = serve(&listener, &pods, &driver, remote) => Err(failure),
        _ = interrupts.next() => Ok(Exit::Completed),
    }
}

/// The pod that serves the page.
fn pod(place: &Place, subject: &Subject, found: &DynamicObject) -> Result<String, Failure> {
    let status = &found.data["status"];
    let (state, pod, whose) = match subject.kind {
        Kind::Application => {
            let pod = &status["driverInfo"]["podName"];
            (state(found), pod, "driver")
        }
        Kind::Connect => {
            let pod = &status["server"]["podName"];
            (connects::state(&found.data), pod, "server")
        }
        Kind::History => (histories::state(&found.data), &status["podName"], "server"),
        Kind::Cluster => {
            return Err(Failure::bad_input(format!(
                "{subject} has members with services of their own: windlass status {subject} shows where \
                 they are, and kubectl port-forward service/NAME PORT leads to one"
            )));
        }
        Kind::Schedule => {
            return Err(Failure::bad_input(format!(
                "{subject} has no page: its runs have, windlass status {subject} shows them"
            )));
        }
    };
    let runs = matches!(state, "RUNNING" | "Ready");
    pod.as_str()
        .filter(|_| runs)
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::bad_input(format!(
                "{} is {state}: its page is there while its {whose} runs; windlass wait {subject} \
                 --for running waits for it",
                place.about(subject)
            ))
        })
}

/// A port of this machine, and its number.
pub async fn listen(port: u16) -> Result<(TcpListener, u16), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| {
            Failure::bad_input(format!(
                "port {port} of this machine cannot be used: {error}: choose another one with --local-port (0: any)"
            ))
        })?;
    let local = listener.local_addr().map_err(Failure::internal)?.port();
    Ok((listener, local))
}

/// Carries every connection to a port of the pod, for as long as that runs.
pub async fn serve(listener: &TcpListener, pods: &Api<Pod>, pod: &str, port: u16) -> Failure {
    tokio::select! {
        failure = carry_all(listener, pods, pod, port) => failure,
        failure = ended(pods, pod) => failure,
    }
}

async fn carry_all(listener: &TcpListener, pods: &Api<Pod>, pod: &str, port: u16) -> Failure {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return Failure::internal(error),
        };
        match pods.get_opt(pod).await {
            Ok(Some(_)) => {}
            Ok(None) => return gone(pod),
            Err(error) => return api_failure(error),
        }
        let (pods, pod) = (pods.clone(), pod.to_owned());
        tokio::spawn(async move {
            if let Err(error) = carry(&pods, &pod, port, stream).await {
                talk(&format!(
                    "a connection to port {port} of {pod} failed: {error:#}"
                ));
            }
        });
    }
}

/// Waits until the pod has ended or is gone: a connection to it would wait for ever.
async fn ended(pods: &Api<Pod>, pod: &str) -> Failure {
    let mut first = None;
    loop {
        // What cannot be asked for the moment is asked again; connections say what is wrong.
        match pods.get_opt(pod).await {
            Ok(None) => return gone(pod),
            Ok(Some(found)) => {
                let uid = found.metadata.uid;
                // Another one has taken its name.
                if *first.get_or_insert_with(|| uid.clone()) != uid {
                    return gone(pod);
                }
                let phase = found.status.and_then(|it| it.phase);
                if matches!(phase.as_deref(), Some("Succeeded" | "Failed")) {
                    return Failure::cluster(format!("pod {pod} has ended, and its page with it"));
                }
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn gone(pod: &str) -> Failure {
    Failure::cluster(format!(
        "pod {pod} is gone, and its page with it; the same command looks for it anew"
    ))
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
    let refused = forward.take_error(port);
    // A browser that hangs up is no error, and neither is what is not sent to it any more.
    let _ = tokio::io::copy_bidirectional(&mut local, &mut remote).await;
    forward.abort();
    if let Some(refused) = refused
        && let Some(error) = refused.await
    {
        return Err(anyhow::anyhow!(error));
    }
    Ok(())
}
