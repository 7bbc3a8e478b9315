//! The clusters that the scenarios run on: the embedded one, and a real Kubernetes.
//!
//! A scenario is written once, against [`Cluster`]. On both clusters the operator and the drivers
//! have the shipped rules and no others: the embedded cluster enforces them by itself, and on
//! Kubernetes the operator is a process with the token of the shipped ServiceAccount.

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::common::{Answer, Kubectl, Up, WINDLASS, root};
use crate::real::{VERSIONS, eventually};

/// Where the kubeconfig of the real Kubernetes is looked for.
const KUBECONFIG: &str = "WINDLASS_TEST_KUBECONFIG";
/// The namespace of the operator.
const SYSTEM: &str = "windlass-system";
/// The label of the namespaces of scenarios, of which each has its own.
const SCENARIO: &str = "windlass.dev/scenario";

/// A cluster with an operator.
pub(crate) enum Cluster {
    Embedded(Up),
    Kubernetes(Kubernetes),
}

impl Cluster {
    /// A new embedded cluster.
    pub(crate) fn embedded() -> Self {
        Self::Embedded(Up::start())
    }

    /// The real Kubernetes, with an operator and an empty namespace.
    pub(crate) fn kubernetes() -> Self {
        Self::Kubernetes(Kubernetes::prepare())
    }

    /// The versions of Spark that a scenario runs with here. What a version changes shows on the
    /// embedded cluster, where jobs start faster; Kubernetes is to show what Windlass does.
    pub(crate) fn versions(&self) -> &'static [&'static str] {
        match self {
            Self::Embedded(_) => &VERSIONS,
            Self::Kubernetes(_) => &VERSIONS[1..],
        }
    }
}

impl Deref for Cluster {
    type Target = Kubectl;

    fn deref(&self) -> &Kubectl {
        match self {
            Self::Embedded(up) => up,
            Self::Kubernetes(kubernetes) => kubernetes,
        }
    }
}

/// A folder of a job, which the users of all images may read and write.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// The kubeconfig of the real Kubernetes.
pub(crate) fn kubeconfig() -> PathBuf {
    let given = std::env::var_os(KUBECONFIG).map(PathBuf::from);
    given.unwrap_or_else(|| {
        panic!(
            "there is no Kubernetes to run this on: `make e2e` starts one, and {KUBECONFIG} names \
             the kubeconfig of another"
        )
    })
}

/// A namespace of a real Kubernetes, and the operator that serves it.
pub(crate) struct Kubernetes {
    pub(crate) namespace: String,
    kubectl: Kubectl,
    operator: Option<Operator>,
    serves: Serves,
    home: tempfile::TempDir,
}

/// What an operator is told to operate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serves {
    Spark,
    /// Virtual clusters, too.
    All,
}

impl Kubernetes {
    /// Applies what a user would, makes a namespace and starts an operator.
    pub(crate) fn prepare() -> Self {
        Self::prepared(Serves::Spark)
    }

    /// The same for virtual clusters.
    pub(crate) fn prepare_for_virtual_clusters() -> Self {
        Self::prepared(Serves::All)
    }

    fn prepared(serves: Serves) -> Self {
        let mut kubernetes = Self::without_operator();
        kubernetes.serves = serves;
        // What the operator of a user gets, from the same files.
        let crds = Command::new(WINDLASS).arg("crd").output().unwrap();
        let crds = String::from_utf8(crds.stdout).unwrap();
        kubernetes.kubectl_with(&["apply", "-f", "-"], &crds);
        let file = |name: &str| root().join("deploy/rbac").join(name);
        let rules = file("operator.yaml").display().to_string();
        kubernetes.kubectl_ok(&["apply", "-f", &rules]);
        if serves == Serves::All {
            for more in ["deploy/director", "deploy/rbac/director.yaml"] {
                let more = root().join(more).display().to_string();
                kubernetes.kubectl_ok(&["apply", "-f", &more]);
            }
        }
        let token = ["-n", SYSTEM, "create", "token", "windlass-operator"];
        let token = kubernetes.kubectl_ok(&token);
        let operator = Kubectl {
            kubeconfig: kubernetes.home.path().join("operator"),
            home: kubernetes.home.path().to_owned(),
        };
        std::fs::copy(&kubernetes.kubeconfig, &operator.kubeconfig).unwrap();
        let user = ["config", "set-credentials", "operator", "--token"];
        operator.kubectl_ok(&[&user[..], &[token.trim()]].concat());
        operator.kubectl_ok(&["config", "set-context", "--current", "--user=operator"]);
        let drivers = std::fs::read_to_string(file("driver.yaml")).unwrap();
        let drivers = drivers.replace(
            "namespace: default",
            &format!("namespace: {}", kubernetes.namespace),
        );
        kubernetes.kubectl_with(&["apply", "-f", "-"], &drivers);
        kubernetes.start_operator();
        kubernetes
    }

    /// The cluster as it is, but for a new namespace. What failed scenarios have left goes, and is
    /// not waited for.
    pub(crate) fn without_operator() -> Self {
        let home = tempfile::tempdir().unwrap();
        let kubectl = Kubectl {
            kubeconfig: home.path().join("admin"),
            home: home.path().to_owned(),
        };
        std::fs::copy(kubeconfig(), &kubectl.kubeconfig).unwrap();
        kubectl.kubectl_ok(&["delete", "namespace", "-l", SCENARIO, "--wait=false"]);
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "generateName": "windlass-scenario-", "labels": { SCENARIO: "" } },
        });
        let create = ["create", "-o", "jsonpath={.metadata.name}", "-f", "-"];
        let namespace = kubectl.kubectl_with(&create, &namespace.to_string());
        let here = format!("--namespace={namespace}");
        kubectl.kubectl_ok(&["config", "set-context", "--current", &here]);
        Self {
            namespace,
            kubectl,
            operator: None,
            serves: Serves::Spark,
            home,
        }
    }

    /// Starts the operator and waits until it leads.
    pub(crate) fn start_operator(&mut self) {
        self.operator = Some(self.another_operator());
        self.until_somebody_leads();
    }

    /// One more operator, which is not waited for.
    pub(crate) fn another_operator(&self) -> Operator {
        Operator::start(&self.home.path().join("operator"), self.serves)
    }

    /// Kills the operator as a crash would.
    pub(crate) fn kill_operator(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.kill();
        }
    }

    /// Waits until the holder of the Lease is an operator that lives.
    pub(crate) fn until_somebody_leads(&self) {
        let lease = ["lease", "windlass-operator", "-n", SYSTEM];
        let before = self.kubectl.get(&lease);
        let renewed = |lease: &Option<Value>| {
            lease
                .as_ref()
                .map(|lease| lease["spec"]["renewTime"].clone())
        };
        eventually("an operator to lead", || {
            let lease = self.kubectl.get(&lease);
            (lease.is_some() && renewed(&lease) != renewed(&before)).then_some(())
        });
    }
}

impl Deref for Kubernetes {
    type Target = Kubectl;

    fn deref(&self) -> &Kubectl {
        &self.kubectl
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        // A failed scenario is looked at before its namespace goes, and the next one makes it anew.
        if !std::thread::panicking() {
            let namespace = ["delete", "namespace", &self.namespace, "--wait=false"];
            self.kubectl.kubectl_ok(&namespace);
        }
    }
}

/// A `windlass operator`, told to end with the value, so that the next one need not wait for its
/// Lease to run out.
pub(crate) struct Operator {
    process: Child,
    log: tempfile::NamedTempFile,
}

impl Operator {
    fn start(kubeconfig: &Path, serves: Serves) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        // An operator that outlived its test would work for the next one, too.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", WINDLASS])
            .args(["-v", "operator", "--listen", "127.0.0.1:0", "--kubeconfig"])
            .arg(kubeconfig)
            .args((serves == Serves::All).then_some("--virtual-clusters"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Self { process, log }
    }

    /// Ends it as a crash would.
    fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // A process that has ended is waited for already, and its number may be another's.
        if matches!(self.process.try_wait(), Ok(None)) {
            if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log.path()).unwrap_or_default();
            eprintln!("--- an operator said:\n{log}");
        }
    }
}

/// Stops, kills or starts a service of the node that hack/kubernetes runs.
pub(crate) fn node_service(what: &str, name: &str) {
    let script = root().join("hack/kubernetes/service");
    let answer: Answer = Command::new(script)
        .args([what, name])
        .output()
        .unwrap()
        .into();
    assert_eq!(answer.code, 0, "{what} {name}: {}", answer.stderr);
}

/// Makes the tests of scenarios, on each cluster one.
macro_rules! scenarios {
    ($($scenario:ident),+ $(,)?) => {
        mod embedded {
            $(#[test]
            fn $scenario() {
                super::$scenario(&crate::clusters::Cluster::embedded());
            })+
        }
        mod kubernetes {
            $(#[test]
            fn $scenario() {
                super::$scenario(&crate::clusters::Cluster::kubernetes());
            })+
        }
    };
}
pub(crate) use scenarios;
