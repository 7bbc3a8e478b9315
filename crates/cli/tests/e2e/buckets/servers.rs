//! Servers that speak the languages of the three providers, on this machine.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{ObjectStore, PutPayload, RetryConfig};
use serde_json::{Value, json};

use crate::clients::{PATIENCE, installed};
use crate::common::until;

/// The account and key that azurite has unless it is told another one; both are in its documentation.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a user of the server that checks keys and signatures from then on, and prints his key.
const CHECKING: &str = r#"
import json, sys, urllib.request, boto3
at = sys.argv[1]
iam = boto3.client("iam", endpoint_url=at, aws_access_key_id="a", aws_secret_access_key="b",
                   region_name="us-east-1")
iam.create_user(UserName="windlass")
key = iam.create_access_key(UserName="windlass")["AccessKey"]
iam.put_user_policy(UserName="windlass", PolicyName="all", PolicyDocument=json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
plain = {"Content-Type": "text/plain"}
urllib.request.urlopen(urllib.request.Request(at + "/moto-api/reset-auth", b"0", plain, method="POST"))
print(key["AccessKeyId"], key["SecretAccessKey"])
"#;

/// Which language a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    S3,
    Gcs,
    Azure,
}

impl Language {
    pub(super) const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }
}

/// A server, ended with the test.
pub(super) struct Server {
    pub(super) language: Language,
    port: u16,
    process: Option<Child>,
    /// A user of S3, where keys are checked.
    user: (String, String),
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// Starts one with nothing in it. That of S3 checks keys and signatures.
    pub(super) fn start(language: Language) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Self {
            language,
            port,
            process: None,
            user: ("any".to_owned(), "secret-of-a-test".to_owned()),
        };
        server.go_on();
        if language == Language::S3 {
            let python = installed("moto", "requirements.txt").join("bin/python3");
            let made = Command::new(python)
                .args(["-c", CHECKING, &format!("http://127.0.0.1:{port}")])
                .output()
                .unwrap();
            let told = String::from_utf8(made.stdout).unwrap();
            let errors = String::from_utf8_lossy(&made.stderr);
            let (key, secret) = told.trim().split_once(' ').expect(&errors);
            server.user = (key.to_owned(), secret.to_owned());
        }
        server
    }

    /// Starts it again, with nothing in it; that of S3 does not check keys then.
    pub(super) fn go_on(&mut self) {
        let port = self.port.to_string();
        let mut command = match self.language {
            Language::S3 => {
                let folder = installed("moto", "requirements.txt");
                let mut command = Command::new(folder.join("bin/moto_server"));
                command.args(["-H", "127.0.0.1", "-p", &port]);
                command
            }
            Language::Gcs => {
                let folder = installed("gcs", "requirements.txt");
                let mut command = Command::new(folder.join("bin/gcp-storage-emulator"));
                command.args(["start", "-H", "127.0.0.1", "--port", &port, "-q", "-M"]);
                command
            }
            Language::Azure => {
                let folder = installed("azurite", "package-lock.json");
                let mut command = Command::new("node");
                command
                    .arg(folder.join("node_modules/azurite/dist/src/blob/main.js"))
                    .args(["--blobHost", "127.0.0.1", "--blobPort", &port, "--silent"])
                    .args([
                        "--inMemoryPersistence",
                        "--skipApiVersionCheck",
                        "--disableTelemetry",
                    ]);
                command
            }
        };
        self.process = Some(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        until("the store to answer", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// Ends it.
    pub(super) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The specification of a bucket that is reached at this port.
    pub(super) fn spec(&self, bucket: &str, port: u16) -> Value {
        let mut spec = json!({
            "name": bucket,
            "endpoint": format!("http://127.0.0.1:{port}"),
            "credentials": {"secretRef": {"name": "keys"}},
        });
        let more = match self.language {
            Language::S3 => json!({"provider": "S3"}),
            Language::Gcs => json!({"provider": "GCS", "project": "test"}),
            Language::Azure => json!({
                "provider": "Azure", "storageAccount": AZURE_ACCOUNT,
                "endpoint": format!("http://127.0.0.1:{port}/{AZURE_ACCOUNT}"),
            }),
        };
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        spec
    }

    /// The Secret of its user.
    pub(super) fn keys(&self) -> Value {
        secret(match self.language {
            Language::S3 => json!({
                "AWS_ACCESS_KEY_ID": self.user.0, "AWS_SECRET_ACCESS_KEY": self.user.1,
            }),
            // The server asks for no key, and the client for one that is well-formed.
            Language::Gcs => json!({"key.json": google_key().to_string()}),
            Language::Azure => json!({"AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}),
        })
    }

    /// The secret of its user of S3.
    pub(super) fn secret_key(&self) -> &str {
        &self.user.1
    }

    /// A Secret that is not its user's, and why it is refused.
    pub(super) fn wrong_keys(&self) -> (Value, &'static str) {
        match self.language {
            Language::S3 => (
                secret(json!({
                    "AWS_ACCESS_KEY_ID": self.user.0, "AWS_SECRET_ACCESS_KEY": "hunter2",
                })),
                "SignatureDoesNotMatch",
            ),
            Language::Gcs => (
                secret(json!({"key.json": "{\"private_key\": \"hunter2\"}"})),
                "must be the JSON that Google gave",
            ),
            Language::Azure => (
                // "hunter2" in Base64.
                secret(json!({"AZURE_STORAGE_ACCOUNT_KEY": "aHVudGVyMg=="})),
                "Server failed to authenticate",
            ),
        }
    }

    /// A client of one of its buckets that is not ours.
    pub(super) fn client(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        // Whoever comes second finds the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let at = format!("http://127.0.0.1:{}", self.port);
        let retry = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        match self.language {
            Language::S3 => Arc::new(
                AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region("us-east-1")
                    .with_endpoint(at)
                    .with_allow_http(true)
                    .with_access_key_id(&self.user.0)
                    .with_secret_access_key(&self.user.1)
                    .with_retry(retry)
                    .build()
                    .unwrap(),
            ),
            // The server has no API of XML, which this client speaks with Google.
            Language::Gcs => panic!("it is asked otherwise"),
            Language::Azure => Arc::new(
                MicrosoftAzureBuilder::new()
                    .with_account(AZURE_ACCOUNT)
                    .with_access_key(AZURE_KEY)
                    .with_container_name(bucket)
                    .with_endpoint(format!("{at}/{AZURE_ACCOUNT}"))
                    .with_allow_http(true)
                    .with_retry(retry)
                    .build()
                    .unwrap(),
            ),
        }
    }

    /// A client of S3 that does not know how to write only where nothing is.
    pub(super) fn old_client(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        let client = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region("us-east-1")
            .with_endpoint(format!("http://127.0.0.1:{}", self.port))
            .with_allow_http(true)
            .with_access_key_id(&self.user.0)
            .with_secret_access_key(&self.user.1)
            .with_conditional_put(S3ConditionalPut::Disabled);
        Arc::new(client.build().unwrap())
    }

    /// Asks the server of Google; `None` when it says no.
    fn ask(&self, path: &str, more: &[&str]) -> Option<String> {
        let at = format!("http://127.0.0.1:{}/{path}", self.port);
        let mut curl = Command::new("curl");
        let answer = curl
            .args(["-sS", "-f"])
            .args(more)
            .arg(at)
            .output()
            .unwrap();
        let text = String::from_utf8(answer.stdout).unwrap();
        answer.status.success().then_some(text)
    }

    /// Whether it has a bucket.
    pub(super) async fn has(&self, bucket: &str) -> bool {
        if self.language == Language::Gcs {
            return self.ask(&format!("storage/v1/b/{bucket}"), &[]).is_some();
        }
        self.client(bucket).list_with_delimiter(None).await.is_ok()
    }

    /// Puts objects into a bucket, with names that paths and XML would read as something else.
    pub(super) async fn fill(&self, bucket: &str) {
        if self.language == Language::Gcs {
            for name in ["a%26b%3Cc%3E.txt", "logs/2026-01-01/part%201.gz", "plain"] {
                let path = format!("upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}");
                self.ask(&path, &["-d", "content"]).unwrap();
            }
            return;
        }
        let client = self.client(bucket);
        for name in ["a&b<c>.txt", "logs/2026-01-01/part 1.gz", "plain"] {
            let payload = PutPayload::from_static(b"content");
            client.put(&Path::from(name), payload).await.unwrap();
        }
    }

    /// How many objects are in a bucket.
    pub(super) async fn count(&self, bucket: &str) -> usize {
        if self.language == Language::Gcs {
            let found = self.ask(&format!("storage/v1/b/{bucket}/o"), &[]).unwrap();
            let found: Value = serde_json::from_str(&found).unwrap();
            return found["items"].as_array().map_or(0, Vec::len);
        }
        let found = self.client(bucket).list_with_delimiter(None).await.unwrap();
        found.objects.len() + found.common_prefixes.len()
    }
}

fn google_key() -> Value {
    json!({
        "private_key": "none", "private_key_id": "none", "client_email": "test@example.com",
        "disable_oauth": true,
    })
}

fn secret(data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data,
    })
}
