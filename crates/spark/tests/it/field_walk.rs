//! Every field of the spec is changed while an application runs, and has the effect that is declared
//! for it, or is refused by its name; then it is taken back, and the application goes on to its end
//! as if nothing had been.

use std::collections::BTreeSet;

use futures::StreamExt;
use serde_json::{Value, json};
use windlass_spark::lifecycle::changes::{Effect, TABLE};

use crate::house::{House, Place, pi};

/// How many applications are changed at the same time.
const AT_ONCE: usize = 16;

/// Another value of every field; what is below `executor` is below `driver` as well.
const OTHER: &str = r#"
suspend: true
timeToLiveSeconds: 3600
restartPolicy: {type: OnFailure, onFailureRetries: 1}
failureRetries: 1
retryInterval: 7
mode: client
type: Scala
sparkVersion: 3.5.9
pythonVersion: "3"
image: apache/spark:4.3.1
mainClass: org.example.Main
mainApplicationFile: local:///other.py
arguments: ["9"]
sparkConf: {spark.ui.port: "4041"}
hadoopConf: {io.file.buffer.size: "65536"}
objectStores: [history]
eventLog: history
keepLogs: printed
sparkConfigMap: spark-files
hadoopConfigMap: hadoop-files
deps: {files: ["https://example.com/list.txt"]}
proxyUser: ada
volumes: [{name: scratch, emptyDir: {}}]
memoryOverheadFactor: "0.2"
dynamicAllocation: {enabled: true, initialExecutors: 1, maxExecutors: 3}
imagePullPolicy: Always
imagePullSecrets: [login]
nodeSelector: {disk: ssd}
monitoring: {exposeDriverMetrics: true, exposeExecutorMetrics: false, prometheus: {jmxExporterJar: /agent.jar}}
batchScheduler: kube-scheduler
batchSchedulerOptions: {queue: nightly}
sparkUIOptions: {servicePort: 4042}
driverIngressOptions: [{servicePort: 8888, servicePortName: api, ingressURLFormat: "example.com/{{$appName}}"}]
driverPodDisruptionBudget: false
cores: 2
coreRequest: 300m
coreLimit: "3"
memory: 700m
memoryLimit: 3Gi
memoryOverhead: 500m
gpu: {name: nvidia.com/gpu, quantity: 1}
javaOptions: -XX:+UseSerialGC
env: [{name: LEVEL, value: high}]
envVars: {OLD: "1"}
envFrom: [{configMapRef: {name: settings}}]
envSecretKeyRefs: {PASSWORD: {name: db, key: password}}
configMaps: [{name: settings, path: /etc/app}]
secrets: [{name: db, path: /mnt/db, secretType: Generic}]
volumeMounts: [{name: scratch, mountPath: /scratch}]
template: {metadata: {labels: {tier: batch}}}
initContainers: [{name: prepare, image: busybox}]
sidecars: [{name: logs, image: busybox}]
securityContext: {runAsUser: 185}
podSecurityContext: {fsGroup: 2000}
serviceAccount: own
hostNetwork: true
hostAliases: [{ip: 10.0.0.1, hostnames: [db]}]
dnsConfig: {nameservers: [10.0.0.2]}
shareProcessNamespace: true
ports: [{name: api, protocol: TCP, containerPort: 8080}]
kubernetesMaster: k8s://https://example.com
podName: by-another-name
labels: {team: data}
annotations: {example.com/owner: ada}
serviceLabels: {team: data}
serviceAnnotations: {example.com/owner: ada}
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}]}]}}}
tolerations: [{key: spot, operator: Exists}]
schedulerName: default-scheduler
priorityClassName: high
lifecycle: {preStop: {exec: {command: [sleep, "1"]}}}
terminationGracePeriodSeconds: 77
instances: 3
spot: true
deleteOnTermination: false
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_that_is_changed_on_a_running_application_does_what_is_declared() {
    let house = House::start().await;
    house
        .accounts()
        .create(named("ServiceAccount", "own"))
        .await;
    for name in ["spark-files", "hadoop-files", "settings"] {
        house.config_maps().create(named("ConfigMap", name)).await;
    }
    let other = windlass_api::parse::objects(OTHER).unwrap().remove(0);
    let used: BTreeSet<&str> = TABLE.iter().map(|(path, _)| last(path)).collect();
    for (field, _) in other.as_object().unwrap() {
        assert!(used.contains(field.as_str()), "{field} is in no row");
    }
    let rows = TABLE.iter().enumerate();
    let told: Vec<String> = futures::stream::iter(rows)
        .map(|(number, (path, effect))| {
            let place = Place::clone(&house);
            let value = other[last(path)].clone();
            async move {
                let name = format!("field-{number}");
                let walk = async move { walk(&place, &name, path, *effect, value).await };
                // So that all are told of, and not only the first one that waits in vain.
                match tokio::spawn(walk).await {
                    Ok(Ok(())) => None,
                    Ok(Err(problem)) => Some(format!("{path}: {problem}")),
                    Err(panicked) => Some(format!("{path}: {panicked}")),
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn named(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
}

/// The patch that gives a field this value.
fn patch(path: &str, value: Value) -> Value {
    let inner = path
        .rsplit('.')
        .fold(value, |inner, key| json!({ key: inner }));
    json!({ "spec": inner })
}

/// What has become of a change.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The driver is the same, and nothing is said.
    GoesOn,
    /// The driver is the same, and the change waits for the next attempt.
    Waits,
    /// The driver is the same, and the change is refused.
    Refused,
    /// There is a driver of another attempt.
    Replaced,
    /// There is no driver.
    Suspended,
}

async fn walk(
    place: &Place,
    name: &str,
    path: &str,
    effect: Effect,
    value: Value,
) -> Result<(), String> {
    if value.is_null() {
        return Err("there is no other value for it".to_owned());
    }
    let app = place.apps().create(pi(name)).await;
    let field = path
        .split('.')
        .try_fold(&app["spec"], |at, key| at.get(key));
    let before = field.cloned().unwrap_or_default();
    runs(place, name, 1).await;

    place.apps().merge(name, patch(path, value)).await;
    let seen = settled(place, name, path, 1).await?;
    let expected = match (path, effect) {
        ("suspend", _) => &[Seen::Suspended][..],
        (_, Effect::InPlace) => &[Seen::GoesOn],
        (_, Effect::NextAttempt) => &[Seen::Waits],
        // What cannot be run at all is refused by name.
        (_, Effect::Restart) => &[Seen::Replaced, Seen::Refused],
        (_, Effect::Rejected) => &[Seen::Refused],
    };
    if !expected.contains(&seen) {
        return Err(format!("{seen:?}, expected {expected:?}"));
    }
    let mut attempt = 1;
    if seen == Seen::Replaced {
        attempt += 1;
        runs(place, name, attempt).await;
    }

    place.apps().merge(name, patch(path, before)).await;
    if matches!(seen, Seen::Replaced | Seen::Suspended) {
        attempt += 1;
        runs(place, name, attempt).await;
    }
    let after = settled(place, name, path, attempt).await?;
    if after != Seen::GoesOn {
        return Err(format!("{after:?} after it was taken back"));
    }
    place.driver_exits(name, 0).await;
    let done = place.until_state(name, "COMPLETED").await;
    let number = &done["status"]["attempt"]["number"];
    if *number != attempt {
        return Err(format!("attempt {number} has ended, and not {attempt}"));
    }
    Ok(())
}

/// Lets the driver of an attempt run, and waits until that is known.
async fn runs(place: &Place, name: &str, attempt: u32) {
    place.until_driver(name, attempt).await;
    place.driver_runs(name).await;
    place
        .apps()
        .until(name, |app| {
            let status = app.as_ref().map(|app| &app["status"]);
            status.is_some_and(|status| {
                status["applicationState"]["state"] == "RUNNING"
                    && status["attempt"]["number"] == attempt
            })
        })
        .await;
}

/// What has become of the last change, once it has been looked at.
async fn settled(place: &Place, name: &str, path: &str, attempt: u32) -> Result<Seen, String> {
    let app = place
        .apps()
        .until(name, |app| {
            let app = app.as_ref().unwrap();
            let status = &app["status"];
            let state = status["applicationState"]["state"].as_str().unwrap_or("");
            status["observedGeneration"] == app["metadata"]["generation"]
                && !matches!(
                    state,
                    "INVALIDATING" | "SUSPENDING" | "PENDING_RERUN" | "SUBMITTING"
                )
        })
        .await;
    let status = &app["status"];
    let says = |kind: &str, truth: &str| {
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions
            .iter()
            .find(|it| it["type"] == kind && it["status"] == truth);
        found.map(|it| it["message"].as_str().unwrap().to_owned())
    };
    let by_name = |message: String, seen: Seen| {
        if message.contains(path) {
            Ok(seen)
        } else {
            Err(format!("{seen:?} without its name: {message}"))
        }
    };
    if status["applicationState"]["state"] == "SUSPENDED" {
        return Ok(Seen::Suspended);
    }
    if status["attempt"]["number"] != attempt {
        return Ok(Seen::Replaced);
    }
    if let Some(message) = says("Validated", "False") {
        return by_name(message, Seen::Refused);
    }
    if let Some(message) = says("UpdatePending", "True") {
        return by_name(message, Seen::Waits);
    }
    Ok(Seen::GoesOn)
}
