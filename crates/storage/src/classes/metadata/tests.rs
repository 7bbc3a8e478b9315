//! Metadata services as they answer, and as they do not.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// How a service answers a request, from its head: status line and body. `None` is silence.
type Answers = fn(&str) -> Option<(&'static str, &'static str)>;

/// A server of these answers on a port of its own.
async fn serve(answers: Answers) -> Endpoints {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).await.unwrap_or_default() == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let Some((status, body)) = answers(&head) else {
                    // The client ends it.
                    let _ = stream.read(&mut byte).await;
                    return;
                };
                let text = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(text.as_bytes()).await;
            });
        }
    });
    Endpoints {
        usual: address.clone(),
        alibaba: address,
        patience: Duration::from_secs(20),
    }
}

async fn known(answers: Answers) -> Vec<Provider> {
    ask(&serve(answers).await).await.into_iter().collect()
}

fn aws_answers(head: &str) -> (&'static str, &'static str) {
    let has = |line: &str| head.contains(line);
    if has("put /latest/api/token") && has("x-aws-ec2-metadata-token-ttl-seconds: 60") {
        ("200 OK", "a-token")
    } else if !has("x-aws-ec2-metadata-token: a-token") {
        // IMDSv2 alone: whatever the path.
        ("401 Unauthorized", "")
    } else if has("get /latest/dynamic/instance-identity/document") {
        (
            "200 OK",
            r#"{"instanceId": "i-0123", "imageId": "ami-4567"}"#,
        )
    } else {
        ("404 Not Found", "")
    }
}

#[tokio::test]
async fn a_service_that_wants_a_token_gets_one_and_is_nobody_elses() {
    let endpoints = serve(|head| Some(aws_answers(head))).await;
    let heard = ask_all(&endpoints).await;
    assert_eq!(heard[&Provider::Aws], Heard::Knows);
    assert_eq!(heard[&Provider::Azure], Heard::Refuses(401));
    assert_eq!(
        ask(&endpoints).await.into_iter().collect::<Vec<_>>(),
        [Provider::Aws]
    );
}

#[tokio::test]
async fn a_service_that_refuses_everything_is_nobodys() {
    assert!(known(|_| Some(("401 Unauthorized", ""))).await.is_empty());
    assert!(known(|_| Some(("403 Forbidden", ""))).await.is_empty());
}

#[tokio::test]
async fn a_service_that_says_yes_to_everything_is_nobodys() {
    assert!(known(|_| Some(("200 OK", "welcome"))).await.is_empty());
    assert!(known(|_| Some(("200 OK", "{}"))).await.is_empty());
    assert!(known(|_| Some(("200 OK", ""))).await.is_empty());
}

#[tokio::test]
async fn each_service_is_known_by_what_it_answers() {
    let cases: [(Provider, Answers); 6] = [
        (Provider::Azure, |head| {
            let is_right =
                head.contains("get /metadata/instance?") && head.contains("metadata: true");
            is_right.then_some((
                "200 OK",
                r#"{"compute": {"vmId": "1", "subscriptionId": "2"}}"#,
            ))
        }),
        (Provider::Google, |head| {
            let is_right = head.contains("get /computemetadata/v1/instance/id")
                && head.contains("metadata-flavor: google");
            is_right.then_some(("200 OK\r\nmetadata-flavor: Google", "1234567"))
        }),
        (Provider::Oracle, |head| {
            let is_right = head.contains("get /opc/v2/instance/")
                && head.contains("authorization: bearer oracle");
            is_right.then_some(("200 OK", r#"{"id": "ocid1.instance.oc1..a"}"#))
        }),
        (Provider::DigitalOcean, |head| {
            let is_right = head.contains("get /metadata/v1.json");
            is_right.then_some(("200 OK", r#"{"droplet_id": 17}"#))
        }),
        (Provider::OpenStack, |head| {
            let is_right = head.contains("get /openstack/latest/meta_data.json");
            is_right.then_some(("200 OK", r#"{"uuid": "a", "availability_zone": "nova"}"#))
        }),
        (Provider::Alibaba, |head| {
            let is_right = head.contains("get /latest/meta-data/instance/instance-type");
            is_right.then_some(("200 OK", "ecs.g6.large"))
        }),
    ];
    for (provider, answers) in cases {
        let mut endpoints = serve(answers).await;
        // The others are silent, as an address that nobody has.
        endpoints.patience = Duration::from_millis(500);
        let found: Vec<Provider> = ask(&endpoints).await.into_iter().collect();
        assert_eq!(found, [provider]);
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_is_not_waited_for() {
    let mut endpoints = serve(|_| None).await;
    endpoints.patience = Duration::from_millis(20);
    assert_eq!(ask(&endpoints).await.len(), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(LONG.as_bytes()).await;
                while stream.write_all(&[b' '; 4096]).await.is_ok() {}
            });
        }
    });
    let endpoints = Endpoints {
        usual: address.clone(),
        alibaba: address,
        patience: Duration::from_secs(20),
    };
    assert_eq!(ask(&endpoints).await.len(), 0);
}

#[tokio::test]
async fn nobody_at_the_address_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let endpoints = Endpoints {
        usual: address.clone(),
        alibaba: address,
        patience: Duration::from_secs(20),
    };
    assert_eq!(ask(&endpoints).await.len(), 0);
}
