//! The documents about real Kubernetes keep their word: the commands they show are run on it.
//!
//! The commands of one document are one shell session. What has to be different here is changed in
//! [`here`], and only there.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::clusters::kubeconfig;
use crate::common::{Answer, Kubectl, WINDLASS, root, shell_lines, write};
use crate::helm::helm;
use crate::real::spark_pi;

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn every_command_about_the_real_kubernetes_for_tests_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let answer = session(folder.path(), "docs/real-kubernetes.md");
    assert!(answer.stdout.contains("windlass-node"), "{answer:?}");
    assert!(answer.stdout.contains("198.19.255.2"), "{answer:?}");
    assert!(
        answer.stdout.contains("disks.csi.windlass.test"),
        "{answer:?}"
    );
}

#[test]
fn every_command_about_installing_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let kubectl = Kubectl {
        kubeconfig: folder.path().join("kubeconfig"),
        home: folder.path().to_owned(),
    };
    fs::copy(kubeconfig(), &kubectl.kubeconfig).unwrap();
    let context = kubectl.kubectl_ok(&["config", "current-context"]);
    kubectl.kubectl_ok(&["config", "rename-context", context.trim(), "prod"]);
    let gone = |wait: &str| {
        let namespaces = ["delete", "namespace", "etl", "ml", "windlass-system"];
        kubectl.kubectl_ok(&[&namespaces[..], &["--ignore-not-found", wait]].concat());
    };
    gone("--wait");
    write(folder.path(), "app.yaml", &spark_pi("default"));

    let answer = session(folder.path(), "docs/install.md");
    assert!(answer.stdout.contains("Pi is roughly 3.1"), "{answer:?}");
    gone("--wait=false");
}

/// Runs the commands of a document. The working folder is the one given, so that nothing is
/// written into the repository.
fn session(folder: &Path, document: &str) -> Answer {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let image = format!("/windlass:{VERSION}");
    assert!(text.contains(&image), "{document} is of another version");
    let lines: Vec<String> = shell_lines(&text)
        .iter()
        .flat_map(|line| here(line))
        .collect();
    let mut script = String::from("set -euo pipefail\n");
    for line in &lines {
        script.push_str(&format!("echo '+ {}'\n{line}\n", line.replace('\'', "")));
    }
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(WINDLASS, bin.join("windlass")).unwrap();
    std::os::unix::fs::symlink(helm(), bin.join("helm")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .stdin(Stdio::null())
        .output();
    let answer = Answer::from(output.unwrap());
    assert_eq!(
        answer.code, 0,
        "{document}:\n{script}\n{}\n{}",
        answer.stdout, answer.stderr
    );
    answer
}

/// What is run for a line of a document.
fn here(line: &str) -> Vec<String> {
    let root = root().canonicalize().unwrap().display().to_string();
    // An optimized build takes minutes and makes no difference here.
    let mut lines = vec![line.replace("hack/static.sh --release", "hack/static.sh")];
    match line {
        // hack/e2e.sh runs it, when all tests are over.
        "hack/kubernetes/down" => lines.clear(),
        // It goes on until it is told to stop, and its usual port may be somebody else's.
        "windlass operator --context prod" => {
            let operator = format!("timeout --preserve-status 5 {line} --listen 127.0.0.1:0");
            lines = vec![operator];
        }
        // There is no registry that this node could pull from.
        _ if line.ends_with(" >windlass.tar") => {
            lines.push("hack/kubernetes/image windlass.tar".to_owned());
        }
        _ => {}
    }
    let absolute = |line: String| {
        let line = line.replace("hack/", &format!("{root}/hack/"));
        line.replace("deploy/", &format!("{root}/deploy/"))
    };
    lines.into_iter().map(absolute).collect()
}
