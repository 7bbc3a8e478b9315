//! The real kubectl against the server, whichever version the machine has: Debian's is 1.20, which
//! knows some of the commands not yet and checks manifests by itself.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::support::{TestServer, in_time};

/// kubectl with a kubeconfig of its own.
struct Kubectl {
    server: TestServer,
    /// Its own minor version.
    minor: u32,
}

impl Kubectl {
    async fn start() -> Self {
        let server = TestServer::listening().await;
        server.default_account().await;
        std::fs::write(
            server.directory.path().join("kubeconfig"),
            server.api.kubeconfig(),
        )
        .unwrap();
        let mut kubectl = Self { server, minor: 0 };
        let version = kubectl
            .run(&["version", "--client", "-o", "json"], "")
            .await;
        let version: Value = serde_json::from_str(&version).unwrap();
        let minor = version["clientVersion"]["minor"].as_str().unwrap();
        kubectl.minor = minor.trim_end_matches('+').parse().unwrap();
        kubectl
    }

    async fn output(&self, arguments: &[&str], input: &str) -> Output {
        let directory = self.server.directory.path();
        let program = std::env::var("WINDLASS_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut child = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", directory.join("kubeconfig"))
            .env("HOME", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("these tests need kubectl (make test installs it): {error}")
            });
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        in_time(&format!("kubectl {arguments:?}"), child.wait_with_output())
            .await
            .unwrap()
    }

    /// Standard output of a command that has to work.
    async fn run(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that has to fail.
    async fn fail(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input).await;
        assert!(
            !output.status.success(),
            "kubectl {arguments:?} worked: {output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    }
}

const MERGE: &str = "application/merge-patch+json";

const WEB: &str = r"
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  labels: {app: web}
data:
  greeting: hello
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports: [{port: 80}]
";

#[tokio::test]
async fn client_side_apply_creates_changes_and_leaves_alone() {
    let kubectl = Kubectl::start().await;
    let created = kubectl.run(&["apply", "-f", "-"], WEB).await;
    assert_eq!(created.matches(" created").count(), 3, "{created}");
    let again = kubectl.run(&["apply", "-f", "-"], WEB).await;
    assert_eq!(again.matches(" unchanged").count(), 3, "{again}");
    let changed = kubectl
        .run(
            &["apply", "-f", "-"],
            &WEB.replace("replicas: 2", "replicas: 3"),
        )
        .await;
    assert_eq!(changed.matches(" configured").count(), 1, "{changed}");
    let diff = kubectl.output(&["diff", "-f", "-"], WEB).await;
    assert_eq!(
        diff.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&diff.stderr)
    );
    let table = kubectl
        .run(&["get", "deploy,svc,cm", "-o", "wide"], "")
        .await;
    assert!(
        table.contains("deployment.apps/web") && table.contains("CLUSTER-IP"),
        "{table}"
    );
    let all = kubectl.run(&["get", "all"], "").await;
    assert!(
        all.contains("service/kubernetes") && all.contains("deployment.apps/web"),
        "{all}"
    );
}

#[tokio::test]
async fn server_side_apply_owns_fields_and_reports_conflicts() {
    let kubectl = Kubectl::start().await;
    let apply = ["apply", "--server-side", "-f", "-"];
    kubectl.run(&apply, WEB).await;
    let unchanged = kubectl.run(&apply, WEB).await;
    assert_eq!(
        unchanged.matches("serverside-applied").count(),
        3,
        "{unchanged}"
    );
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let conflict = kubectl
        .fail(&other, &WEB.replace("replicas: 2", "replicas: 5"))
        .await;
    assert!(conflict.contains("conflict with \"kubectl\""), "{conflict}");
    assert!(conflict.contains(".spec.replicas"), "{conflict}");
}

#[tokio::test]
async fn everyday_verbs_work() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-f", "-"], WEB).await;
    kubectl.run(&["label", "cm/web", "tier=front"], "").await;
    kubectl.run(&["annotate", "cm/web", "note=x"], "").await;
    let named = kubectl
        .run(&["get", "cm", "-l", "tier=front", "-o", "name"], "")
        .await;
    assert_eq!(named.trim(), "configmap/web");
    kubectl
        .run(
            &["patch", "deploy/web", "-p", r#"{"spec":{"replicas":4}}"#],
            "",
        )
        .await;
    kubectl
        .run(&["scale", "deploy/web", "--replicas=1"], "")
        .await;
    let replicas = kubectl
        .run(
            &["get", "deploy/web", "-o", "jsonpath={.spec.replicas}"],
            "",
        )
        .await;
    assert_eq!(replicas, "1");
    let explained = kubectl
        .run(&["explain", "deployment.spec.replicas"], "")
        .await;
    assert!(explained.contains("replicas <integer>"), "{explained}");
    let described = kubectl.run(&["describe", "cm/web"], "").await;
    assert!(described.contains("greeting"), "{described}");
    kubectl
        .run(&["create", "configmap", "typed", "--from-literal=a=b"], "")
        .await;
    kubectl.run(&["create", "namespace", "team"], "").await;
    kubectl
        .run(&["create", "serviceaccount", "robot"], "")
        .await;
    if kubectl.minor >= 24 {
        let token = kubectl.run(&["create", "token", "robot"], "").await;
        assert_eq!(token.trim().split('.').count(), 3, "{token}");
    }
    assert_eq!(
        kubectl
            .run(&["auth", "can-i", "create", "pods"], "")
            .await
            .trim(),
        "yes"
    );
    if kubectl.minor >= 28 {
        let who = kubectl.run(&["auth", "whoami"], "").await;
        assert!(who.contains("kubernetes-admin"), "{who}");
    }
    let deleted = kubectl.run(&["delete", "-f", "-"], WEB).await;
    assert_eq!(deleted.matches(" deleted").count(), 3, "{deleted}");
    let missing = kubectl.fail(&["get", "cm/web"], "").await;
    assert_eq!(
        missing.trim(),
        "Error from server (NotFound): configmaps \"web\" not found"
    );
    let resources = kubectl.run(&["api-resources"], "").await;
    assert!(
        resources.contains("po ") && resources.contains("deployments"),
        "{resources}"
    );
    let version = kubectl.run(&["version", "-o", "json"], "").await;
    assert!(version.contains("\"gitVersion\": \"v1.32"), "{version}");
}

#[tokio::test]
async fn strict_validation_names_the_unknown_field() {
    let kubectl = Kubectl::start().await;
    let wrong = WEB.replace("replicas: 2", "replicaz: 2");
    let error = kubectl.fail(&["apply", "-f", "-"], &wrong).await;
    assert!(error.contains("unknown field"), "{error}");
    assert!(error.contains("replicaz"), "{error}");
}

#[tokio::test]
async fn waiting_ends_when_the_condition_is_there() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-f", "-"], WEB).await;
    let condition = json!({"status": {"conditions": [{"type": "Available", "status": "True"}]}});
    let path = "/apis/apps/v1/namespaces/default/deployments/web/status";
    let wait = [
        "wait",
        "deploy/web",
        "--for=condition=Available",
        "--timeout=20s",
    ];
    let (waited, _) = tokio::join!(
        kubectl.run(&wait, ""),
        kubectl.server.patch(path, MERGE, condition)
    );
    assert!(waited.contains("condition met"), "{waited}");
}

#[tokio::test]
async fn logs_and_exec_reach_the_node() {
    let kubectl = Kubectl::start().await;
    let pod = crate::support::pod("p").to_string();
    kubectl.run(&["create", "-f", "-"], &pod).await;
    let running = json!({"status": {"phase": "Running", "containerStatuses": [{
        "name": "main", "ready": true, "restartCount": 0, "image": "x", "imageID": "",
        "state": {"running": {}},
    }]}});
    let path = "/api/v1/namespaces/default/pods/p/status";
    kubectl.server.patch(path, MERGE, running).await;
    let log = kubectl.run(&["logs", "p", "--tail=5"], "").await;
    assert_eq!(log, "main says hello, tail Some(5)\n");
    let output = kubectl
        .run(&["exec", "p", "--", "echo", "a", "b"], "")
        .await;
    assert_eq!(output, "echo a b\n");
    let pods = kubectl.run(&["get", "pods"], "").await;
    assert!(pods.contains("Running"), "{pods}");
}

#[tokio::test]
async fn a_list_is_checked_and_created() {
    let kubectl = Kubectl::start().await;
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}
    ]}"#;
    let created = kubectl.run(&["create", "-f", "-"], list).await;
    assert_eq!(created.matches(" created").count(), 2, "{created}");
}

#[tokio::test]
async fn applying_a_pod_anew_leaves_what_the_cluster_filled_in() {
    let kubectl = Kubectl::start().await;
    let pod = r"
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - {name: main, image: x, resources: {requests: {cpu: 100m}}}
";
    kubectl.run(&["apply", "-f", "-"], pod).await;
    let again = kubectl.run(&["apply", "-f", "-"], pod).await;
    assert_eq!(again.trim(), "pod/p unchanged");
    let path = "/api/v1/namespaces/default/pods/p";
    let (_, before) = kubectl.server.request("GET", path, None).await;
    let owned = before["metadata"]["managedFields"].to_string();
    assert!(
        owned.contains("f:image") && !owned.contains("kube-api-access"),
        "{owned}"
    );

    // The first server-side apply takes over what the client-side one owned.
    let output = kubectl
        .output(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            pod,
        )
        .await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let (_, after) = kubectl.server.request("GET", path, None).await;
    assert_eq!(after["spec"], before["spec"]);
}
