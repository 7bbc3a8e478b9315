//! `windlass submit --upload-to`, with a server that speaks the language of S3.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{PATIENCE, installed};
use crate::common::{Answer, Up, until};

const LARGE: usize = 17 * 1024 * 1024;

/// The server, ended with the test.
struct Store {
    process: Child,
    address: String,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Store {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let server = installed("moto", "requirements.txt").join("bin/moto_server");
        let process = Command::new(server)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = Self {
            process,
            address: address.to_string(),
        };
        until("the store to answer", PATIENCE, || {
            TcpStream::connect(&store.address).ok()
        });
        store
    }

    /// Asks it, with a signature that it does not look at.
    fn ask(&self, method: &str, path: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: AWS key:none\r\n\
             Content-Length: 0\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        (head, answer[end + 4..].to_vec())
    }
}

/// Submits from a folder, to a folder of the store.
fn submit(up: &Up, store: &Store, folder: &Path, to: &str, arguments: &[&str]) -> Answer {
    let endpoint = format!("http://{}", store.address);
    let mut command = up.command(&["submit", "--upload-to", to, "--upload-endpoint", &endpoint]);
    command
        .args(arguments)
        .current_dir(folder)
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-a-test")
        .env("AWS_REGION", "us-east-1");
    command.output().unwrap().into()
}

#[test]
fn files_of_this_machine_are_uploaded_once_and_named_where_they_are() {
    let (up, store) = (Up::start(), Store::start());
    assert!(store.ask("PUT", "/jobs").0.contains(" 200 "));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).unwrap();
    };
    write("report.py", b"print('report')");
    write("large.jar", &vec![7; LARGE]);
    let application = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "report"},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "suspend": true,
            "mainApplicationFile": "report.py",
            "deps": {"jars": ["local:///opt/a.jar", "large.jar"]},
            "driver": {},
            "executor": {"instances": 1},
        },
    });
    write("app.json", application.to_string().as_bytes());
    let to = "s3://jobs/daily";

    let shown = submit(
        &up,
        &store,
        folder.path(),
        to,
        &["-f", "app.json", "--dry-run"],
    );
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        shown.stderr.contains("would be uploaded"),
        "{}",
        shown.stderr
    );
    let (head, _) = store.ask("GET", "/jobs?prefix=daily");
    assert!(head.contains(" 200 "), "{head}");

    let answer = submit(&up, &store, folder.path(), to, &["-f", "app.json"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    for name in ["report.py", "large.jar"] {
        let told = format!("{name} uploaded to s3a://jobs/daily/");
        assert!(answer.stderr.contains(&told), "{}", answer.stderr);
    }
    let made = up.get(&["sparkapplication", "report"]).unwrap();
    let spec = &made["spec"];
    assert_eq!(spec["deps"]["jars"][0], "local:///opt/a.jar");
    for (told, content) in [
        (&spec["mainApplicationFile"], b"print('report')".to_vec()),
        (&spec["deps"]["jars"][1], vec![7; LARGE]),
    ] {
        let path = told.as_str().unwrap().strip_prefix("s3a:/").unwrap();
        let (head, kept) = store.ask("GET", path);
        assert!(head.contains(" 200 "), "{path}: {head}");
        assert!(kept == content, "{path} is another file");
    }

    // The same files by another way: nothing is uploaded again.
    let line = [
        "--name",
        "again",
        "--",
        "--master",
        "k8s://https://example:6443",
        "--deploy-mode",
        "cluster",
        "--conf",
        "spark.kubernetes.container.image=apache/spark:4.3.0",
        "--jars",
        "large.jar",
        "report.py",
    ];
    let again = submit(&up, &store, folder.path(), to, &line);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(
        again.stderr.matches("is there already").count(),
        2,
        "{}",
        again.stderr
    );
    let same = up.get(&["sparkapplication", "again"]).unwrap();
    let main = |application: &Value| application["spec"]["mainApplicationFile"].clone();
    assert_eq!(main(&same), main(&made));

    let mut nobody = up.command(&[
        "submit",
        "-f",
        "app.json",
        "--name",
        "lost",
        "--upload-to",
        to,
    ]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            nobody.env_remove(name);
        }
    }
    let nobody: Answer = nobody.current_dir(folder.path()).output().unwrap().into();
    assert_eq!(nobody.code, 2, "{}", nobody.stderr);
    assert!(
        nobody.stderr.contains("AWS_ACCESS_KEY_ID"),
        "{}",
        nobody.stderr
    );

    // What the store says is told, and no application is made.
    let lost = ["-f", "app.json", "--name", "lost"];
    let lost = submit(&up, &store, folder.path(), "s3://nowhere/daily", &lost);
    assert_eq!(lost.code, 3, "{}", lost.stderr);
    assert!(
        lost.stderr.contains("s3a://nowhere/daily/"),
        "{}",
        lost.stderr
    );
    assert!(!lost.stderr.contains("secret-of-a-test"), "{}", lost.stderr);
    assert!(up.get(&["sparkapplication", "lost"]).is_none());
}
