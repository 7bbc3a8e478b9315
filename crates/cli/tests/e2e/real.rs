//! What the long tests share: applications whose job lies in a folder of the test, and looking at
//! them with kubectl as they run.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::common::Kubectl;

/// The oldest and the newest Spark that `make e2e` installs.
pub(crate) const VERSIONS: [&str; 2] = ["3.5.9", "4.3.0"];

/// Nothing here takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// Spares a JVM that lives for seconds a third of the processor's time.
pub(crate) const QUICK_START: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";

/// Says that it has worked, and waits until it may end.
pub(crate) const JOB: &str = r#"
import os, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
with open("/job/runs", "a") as runs:
    runs.write("begin\n")
print("first", spark.sparkContext.parallelize(range(10), 2).count(), flush=True)
open("/job/worked", "w").close()
deadline = time.monotonic() + 280
while not os.path.exists("/job/end"):
    if time.monotonic() > deadline:
        raise SystemExit("nobody ended it")
    time.sleep(0.1)
print("second", spark.sparkContext.parallelize(range(10), 2).count(), flush=True)
spark.stop()
"#;

/// A name of an object for this version.
pub(crate) fn named(what: &str, version: &str) -> String {
    format!("{what}-{}", version.replace('.', "-"))
}

/// An application as small as it can be: one executor, and the job's folder at /job in driver and
/// executors. The fields of `more` are merged into its spec.
pub(crate) fn application(
    name: &str,
    version: &str,
    folder: &Path,
    file: &str,
    more: &Value,
) -> Value {
    let mounts = json!([{ "name": "job", "mountPath": "/job" }]);
    let mut application = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": { "name": name },
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": version,
            "image": format!("apache/spark:{version}"),
            "mainApplicationFile": format!("local:///job/{file}"),
            "sparkConf": {
                "spark.ui.enabled": "false",
                // These jobs are over before code that is optimized more has paid for itself.
                "spark.driver.defaultJavaOptions": QUICK_START,
                "spark.executor.defaultJavaOptions": QUICK_START,
            },
            "volumes": [{ "name": "job", "hostPath": { "path": folder, "type": "Directory" } }],
            "driver": {
                // Several applications share a node of two cores.
                "coreRequest": "100m",
                "memory": "512m",
                "serviceAccount": "spark",
                "volumeMounts": mounts,
            },
            "executor": {
                "instances": 1,
                "cores": 1,
                "coreRequest": "100m",
                "memory": "512m",
                "volumeMounts": mounts,
            },
        },
    });
    merge(&mut application["spec"], more);
    application
}

/// The example that everybody tries first, asking for little enough for a node of two cores.
pub(crate) fn spark_pi(namespace: &str) -> String {
    let example = crate::common::root().join("examples/spark-pi.yaml");
    let pi = std::fs::read_to_string(example).unwrap();
    pi.replace("namespace: default", &format!("namespace: {namespace}"))
        .replace("cores: 1", "cores: 1\n    coreRequest: 100m")
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// Waits until the condition gives a value, asking now and then only, since Spark needs the machine.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(700));
    }
}

/// The application now.
pub(crate) fn look(cluster: &Kubectl, name: &str) -> Value {
    let found = ask(cluster, async |client| {
        let kind = ApiResource {
            group: "sparkoperator.k8s.io".to_owned(),
            version: "v1beta2".to_owned(),
            api_version: "sparkoperator.k8s.io/v1beta2".to_owned(),
            kind: "SparkApplication".to_owned(),
            plural: "sparkapplications".to_owned(),
        };
        let applications: Api<DynamicObject> = Api::default_namespaced_with(client, &kind);
        applications.get_opt(name).await
    });
    let found = found.unwrap_or_else(|| panic!("{name} is gone"));
    serde_json::to_value(found).unwrap()
}

/// The pods of an application that play this role.
fn pods(cluster: &Kubectl, application: &str, role: &str) -> Vec<Value> {
    let selector = format!("sparkoperator.k8s.io/app-name={application},spark-role={role}");
    let found = ask(cluster, async |client| {
        let pods: Api<DynamicObject> =
            Api::default_namespaced_with(client, &ApiResource::erase::<Pod>(&()));
        pods.list(&ListParams::default().labels(&selector)).await
    });
    let values = found.items.into_iter().map(serde_json::to_value);
    values.collect::<Result<_, _>>().unwrap()
}

/// Asks the cluster without kubectl, which takes as much of a processor for each question as Spark
/// takes for a second's work.
fn ask<T>(cluster: &Kubectl, question: impl AsyncFnOnce(Client) -> kube::Result<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let file = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options).await;
        let client = Client::try_from(config.unwrap()).unwrap();
        question(client).await.unwrap()
    })
}

/// The application once it has ended for good.
pub(crate) fn ended(cluster: &Kubectl, name: &str) -> Value {
    eventually(&format!("the end of {name}"), || {
        let application = look(cluster, name);
        let state = state(&application);
        matches!(state, "COMPLETED" | "FAILED").then_some(application)
    })
}

/// The state of an application.
pub(crate) fn state(application: &Value) -> &str {
    let state = &application["status"]["applicationState"]["state"];
    state.as_str().unwrap_or_default()
}

/// Waits for a good end, and returns the application and what the driver printed.
pub(crate) fn completed(cluster: &Kubectl, name: &str) -> (Value, String) {
    let application = ended(cluster, name);
    let log = cluster.kubectl_ok(&["logs", &format!("{name}-driver")]);
    assert_eq!(state(&application), "COMPLETED", "{application:#}\n{log}");
    let outcome = &application["status"]["attempt"]["outcome"];
    assert_eq!(outcome["exitCode"], 0, "{application:#}");
    assert_eq!(outcome["reason"], "Completed", "{application:#}");
    (application, log)
}

/// The condition of this type.
pub(crate) fn condition<'a>(application: &'a Value, kind: &str) -> &'a Value {
    let conditions = application["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == kind));
    found.unwrap_or(&Value::Null)
}

/// The driver pods of an application, whichever attempt they are of.
pub(crate) fn drivers(cluster: &Kubectl, name: &str) -> Vec<Value> {
    pods(cluster, name, "driver")
}

/// The executor pods of an application whose Spark container runs.
pub(crate) fn executors(cluster: &Kubectl, name: &str) -> Vec<Value> {
    let mut executors = pods(cluster, name, "executor");
    executors.retain(runs);
    executors
}

fn runs(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let spark = statuses.and_then(|all| {
        let name = "spark-kubernetes-executor";
        all.iter().find(|one| one["name"] == name)
    });
    spark.is_some_and(|status| status["state"]["running"].is_object())
}

/// The names of those pods.
pub(crate) fn executor_names(cluster: &Kubectl, application: &str) -> Vec<String> {
    executors(cluster, application).iter().map(name).collect()
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Waits until a file of the job is there, which the job itself makes.
pub(crate) fn sign(cluster: &Kubectl, application: &str, file: &Path) {
    eventually(&format!("{} of {application}", file.display()), || {
        let application = look(cluster, application);
        let over = matches!(state(&application), "COMPLETED" | "FAILED");
        if over && !file.exists() {
            let log = cluster.kubectl_ok(&["logs", &format!("{}-driver", name(&application))]);
            panic!("it ended without: {application:#}\n{log}");
        }
        file.exists().then_some(())
    });
}

/// Compiles a Java program against an installed Spark and packs it into `folder`. Additional lines
/// of the manifest come from `manifest`.
pub(crate) fn jar(
    folder: &Path,
    jar: &str,
    version: &str,
    sources: &[(&str, &str)],
    manifest: &str,
) {
    let spark = windlass::sparks::find()
        .into_iter()
        .find(|spark| spark.version == version)
        .unwrap_or_else(|| panic!("Spark {version} is not installed: make e2e installs it"));
    let scratch = tempfile::tempdir().unwrap();
    let classes = scratch.path().join("classes");
    let mut compile = Command::new("javac");
    compile
        .args(["--release", "17", "-cp"])
        .arg(spark.home.join("jars").join("*"))
        .arg("-d")
        .arg(&classes);
    for (name, text) in sources {
        compile.arg(crate::common::write(scratch.path(), name, text));
    }
    run(&mut compile);
    let manifest = crate::common::write(scratch.path(), "manifest", manifest);
    run(Command::new("jar")
        .args(["--create", "--file"])
        .arg(folder.join(jar))
        .args(["--manifest", &manifest, "-C"])
        .arg(&classes)
        .arg("."));
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .expect("a Java compiler is installed (make e2e installs it)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
