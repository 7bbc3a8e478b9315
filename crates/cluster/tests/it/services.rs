use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use kube::api::PropagationPolicy::Background;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::home::{Home, Objects, eventually};

fn web(cluster_ip: Option<&str>) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": "main", "port": 8765, "targetPort": "http"}],
        },
    });
    if let Some(cluster_ip) = cluster_ip {
        service["spec"]["clusterIP"] = cluster_ip.into();
    }
    service
}

/// A pod that is bound and running as a node would report it, with a server behind it that
/// answers with the pod's name.
async fn running(home: &Home, servers: &mut JoinSet<()>, name: &'static str, host: u8) {
    let address = Ipv4Addr::new(127, home.octet, 128, host);
    let listener = TcpListener::bind((address, 8080)).await.unwrap();
    servers.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            let _ = stream.write_all(name.as_bytes()).await;
        }
    });
    let pods = home.pods("default");
    pods.create(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {
            "nodeName": "one",
            "containers": [{
                "name": "main", "image": "demo",
                "ports": [{"name": "http", "containerPort": 8080}],
            }],
        },
    }))
    .await;
    ready(&pods, name, address, true).await;
}

async fn ready(pods: &Objects, name: &str, address: Ipv4Addr, ready: bool) {
    let status = if ready { "True" } else { "False" };
    let patch = json!({"status": {
        "phase": "Running",
        "podIP": address.to_string(),
        "podIPs": [{"ip": address.to_string()}],
        "conditions": [{"type": "Ready", "status": status}],
    }});
    pods.merge_status(name, patch).await;
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn address(services: &Objects) -> SocketAddr {
    let service = services
        .until("web", |service| {
            service
                .as_ref()
                .is_some_and(|service| service["spec"]["clusterIP"].is_string())
        })
        .await;
    let ip: Ipv4Addr = service["spec"]["clusterIP"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    SocketAddr::from((ip, 8765))
}

#[tokio::test]
async fn a_service_reaches_its_ready_pods_and_nobody_once_it_is_gone() {
    let mut home = Home::start().await;
    home.furnished("default").await;
    let services = home.kind("v1", "Service", "services", Some("default"));
    services.create(web(None)).await;
    let address = address(&services).await;
    eventually("without pods the connection is reset", || async {
        matches!(ask(address).await, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
    })
    .await;
    let mut servers = JoinSet::new();
    running(&home, &mut servers, "a", 1).await;
    running(&home, &mut servers, "b", 2).await;
    for wanted in ["a", "b"] {
        eventually("both pods take their turns", || async {
            ask(address).await.is_ok_and(|answer| answer == wanted)
        })
        .await;
    }
    let pods = home.pods("default");
    ready(&pods, "a", Ipv4Addr::new(127, home.octet, 128, 1), false).await;
    eventually("only the ready pod answers", || async {
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(ask(address).await.unwrap_or_default());
        }
        answers.iter().all(|answer| answer == "b")
    })
    .await;
    let endpoints = home.kind("v1", "Endpoints", "endpoints", Some("default"));
    endpoints
        .until("web", |endpoints| {
            endpoints.as_ref().is_some_and(|endpoints| {
                let subset = &endpoints["subsets"][0];
                subset["addresses"]
                    .as_array()
                    .is_some_and(|ready| ready.len() == 1)
                    && subset["notReadyAddresses"]
                        .as_array()
                        .is_some_and(|other| other.len() == 1)
            })
        })
        .await;
    services.delete("web", Background).await;
    eventually("nobody listens any more", || async {
        matches!(ask(address).await, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    })
    .await;
    endpoints.until_gone("web").await;
    let slices = home.kind(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "endpointslices",
        Some("default"),
    );
    eventually("the slices are collected", || async {
        let slices = slices.list().await;
        slices
            .iter()
            .all(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] != "web")
    })
    .await;
    services.create(web(None)).await;
    let again = self::address(&services).await;
    eventually("a Service of the same name is served again", || async {
        ask(again).await.is_ok_and(|answer| answer == "b")
    })
    .await;
    home.cluster.take().unwrap().shutdown().await;
    let refused = ask(again).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_headless_service_publishes_addresses_and_listens_nowhere() {
    let home = Home::start().await;
    home.furnished("default").await;
    let services = home.kind("v1", "Service", "services", Some("default"));
    services.create(web(Some("None"))).await;
    let mut servers = JoinSet::new();
    running(&home, &mut servers, "a", 1).await;
    let slices = home.kind(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "endpointslices",
        Some("default"),
    );
    let address = format!("127.{}.128.1", home.octet);
    eventually("the slice names the pod", || async {
        let slices = slices.list().await;
        slices.iter().any(|slice| {
            slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
                && slice["endpoints"][0]["addresses"] == json!([address])
                && slice["ports"][0]["port"] == 8080
        })
    })
    .await;
}

#[tokio::test]
async fn services_that_come_and_go_leave_nothing_listening() {
    let mut home = Home::start().await;
    home.furnished("default").await;
    let services = home.kind("v1", "Service", "services", Some("default"));
    let mut addresses = Vec::new();
    for round in 0..3 {
        for index in 0..20 {
            let mut service = web(None);
            service["metadata"]["name"] = format!("web-{index}").into();
            services.create(service).await;
        }
        for index in 0..20 {
            let name = format!("web-{index}");
            let service = services.get(&name).await.unwrap();
            let ip = service["spec"]["clusterIP"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            addresses.push(SocketAddr::new(ip, 8765));
            // In the first round nobody waits for the listeners, in the others somebody does.
            if round > 0 {
                let address = addresses[addresses.len() - 1];
                eventually("the address is listened to", || async {
                    TcpStream::connect(address).await.is_ok()
                })
                .await;
            }
            services.delete(&name, Background).await;
        }
    }
    eventually("nobody listens any more", || async {
        let mut open = 0;
        for address in &addresses {
            open += u32::from(TcpStream::connect(address).await.is_ok());
        }
        open == 0
    })
    .await;
    home.cluster.take().unwrap().shutdown().await;
}
