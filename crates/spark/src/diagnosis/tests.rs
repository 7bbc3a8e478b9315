//! A case for each way an application is known to go wrong, as Kubernetes and Spark tell it.

use serde_json::json;

use super::*;

const NOW: &str = "2026-03-01T12:10:00Z";

fn application(state: &str, message: &str) -> Value {
    json!({
        "metadata": {"name": "app", "namespace": "jobs", "creationTimestamp": "2026-03-01T12:00:00Z"},
        "spec": {},
        "status": {
            "submissionID": "s1",
            "sparkApplicationId": "spark-1",
            "applicationState": {"state": state, "errorMessage": message},
        },
    })
}

fn refused(state: &str, reason: &str, message: &str) -> Evidence {
    let mut application = application(state, message);
    application["status"]["conditions"] =
        json!([{"type": "Running", "status": "False", "reason": reason, "message": message}]);
    Evidence {
        application,
        ..Evidence::default()
    }
}

fn queued(reason: &str) -> Evidence {
    let mut application = application("PENDING_RERUN", "");
    application["status"]["admission"] = json!({"cpu": "3", "memory": "4Gi"});
    application["status"]["conditions"] = json!([{
        "type": "Admitted", "status": "False", "reason": reason,
        "message": "position 3 in the queue of namespace jobs: windlass.dev/running of \
            ResourceQuota spark is 5",
        "lastTransitionTime": "2026-03-01T12:00:01Z",
    }]);
    Evidence {
        application,
        ..Evidence::default()
    }
}

fn driver(status: &Value) -> PodEvidence {
    PodEvidence {
        pod: json!({
            "metadata": {
                "name": "app-driver", "namespace": "jobs", "uid": "d1",
                "creationTimestamp": "2026-03-01T12:00:00Z",
                "labels": {"spark-role": "driver", "spark-app-selector": "spark-1",
                    "sparkoperator.k8s.io/submission-id": "s1"},
            },
            "spec": {
                "nodeName": "node-1",
                "containers": [
                    {"name": "proxy", "args": ["serve"]},
                    {"name": "spark-kubernetes-driver", "args": ["driver"], "image": "registry.example/etl:7"},
                ],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
            "status": status,
        }),
        logs: BTreeMap::new(),
    }
}

fn executor(id: i32, status: &Value, log: &str) -> PodEvidence {
    let mut it = driver(status);
    it.pod["metadata"]["name"] = json!(format!("app-exec-{id}"));
    it.pod["metadata"]["labels"] = json!({
        "spark-role": "executor", "spark-app-selector": "spark-1", "spark-exec-id": id.to_string(),
    });
    it.pod["spec"]["containers"] =
        json!([{"name": "spark-kubernetes-executor", "args": ["executor"]}]);
    if !log.is_empty() {
        it.logs
            .insert("spark-kubernetes-executor".to_owned(), log.to_owned());
    }
    it
}

fn exited(code: i32, reason: &str, log: &str) -> PodEvidence {
    let mut it = driver(&json!({
        "phase": "Failed",
        "containerStatuses": [{"name": "spark-kubernetes-driver", "state": {"terminated": {
            "exitCode": code, "reason": reason, "finishedAt": "2026-03-01T12:05:00Z"}}}],
    }));
    it.logs
        .insert("spark-kubernetes-driver".to_owned(), log.to_owned());
    it
}

fn running(log: &str) -> PodEvidence {
    let mut it = driver(&json!({
        "phase": "Running",
        "containerStatuses": [{"name": "spark-kubernetes-driver", "state": {"running": {
            "startedAt": "2026-03-01T12:01:00Z"}}}],
    }));
    it.logs
        .insert("spark-kubernetes-driver".to_owned(), log.to_owned());
    it
}

fn unschedulable(message: &str) -> PodEvidence {
    let mut it = driver(&json!({
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}],
    }));
    it.pod["spec"].as_object_mut().unwrap().remove("nodeName");
    it
}

fn waiting(reason: &str, message: &str) -> PodEvidence {
    let mut state = json!({"reason": reason});
    if !message.is_empty() {
        state["message"] = json!(message);
    }
    driver(&json!({
        "phase": "Pending",
        "containerStatuses": [{"name": "spark-kubernetes-driver", "image": "registry.example/etl:7",
            "state": {"waiting": state}}],
    }))
}

fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Warning", "reason": reason, "message": message, "lastTimestamp": "2026-03-01T12:04:00Z",
        "involvedObject": {"kind": kind, "name": name}})
}

/// Evidence around a driver, of an application in this state.
fn with(state: &str, driver: PodEvidence) -> Evidence {
    Evidence {
        application: application(
            state,
            if state.starts_with("FAIL") {
                "as the driver"
            } else {
                ""
            },
        ),
        pods: vec![driver],
        ..Evidence::default()
    }
}

fn failed(code: i32, log: &str) -> Evidence {
    with("FAILED", exited(code, "Error", log))
}

const SHUTDOWN: &str = "26/03/01 12:04:58 INFO SparkContext: SparkContext is stopping with exitCode 1.\n\
                        26/03/01 12:04:59 INFO ShutdownHookManager: Shutdown hook called\n";

fn python(error: &str) -> String {
    format!(
        "Traceback (most recent call last):\n  File \"/opt/job.py\", line 7, in <module>\n    main()\n{error}\n{SHUTDOWN}"
    )
}

/// Everything that is staged: what, the evidence, and the first cause.
fn cases() -> Vec<(&'static str, Evidence, Cause)> {
    let mut cases = of_logs();
    cases.extend(of_pods());
    cases.extend(of_surroundings());
    cases
}

fn of_logs() -> Vec<(&'static str, Evidence, Cause)> {
    let stage = "py4j.protocol.Py4JJavaError: An error occurred while calling o52.collectToPython.\n\
                 : org.apache.spark.SparkException: Job aborted due to stage failure: Task 3 in stage 1.0 failed 4 \
                 times, most recent failure: Lost task 3.3 in stage 1.0 (TID 9) (10.1.2.3 executor 4): ";
    vec![
        (
            "driver out of heap",
            failed(
                1,
                &format!(
                    "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space\n\tat a.B.c(B.scala:1)\n{SHUTDOWN}"
                ),
            ),
            Cause::DriverOutOfMemory,
        ),
        (
            "Python of the driver out of memory",
            failed(1, &python("MemoryError")),
            Cause::DriverOutOfMemory,
        ),
        (
            "executors killed for memory until the job gave up",
            failed(
                1,
                &python(&format!(
                    "{stage}ExecutorLostFailure (executor 4 exited caused by one of the running tasks) Reason: \n\
                     The executor with id 4 exited with exit code 137(SIGKILL, possible container OOM)."
                )),
            ),
            Cause::ExecutorOutOfMemory,
        ),
        (
            "Python worker out of memory",
            failed(
                1,
                &python(&format!(
                    "{stage}org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)\n\
                     \tat org.apache.spark.api.python.BasePythonRunner.f(PythonRunner.scala:1)\nCaused by: java.io.EOFException"
                )),
            ),
            Cause::PythonWorkerOutOfMemory,
        ),
        (
            "missing jar",
            failed(
                101,
                &format!(
                    "26/03/01 12:04:50 WARN DependencyUtils: Local jar /opt/jobs/none.jar does not exist, skipping.\n\
                     Error: Failed to load class org.example.Main.\n{SHUTDOWN}"
                ),
            ),
            Cause::ApplicationFileMissing,
        ),
        (
            "missing Python file",
            failed(
                2,
                "python3: can't open file '/opt/none.py': [Errno 2] No such file or directory\n",
            ),
            Cause::ApplicationFileMissing,
        ),
        (
            "missing main class",
            failed(
                101,
                &format!("Error: Failed to load class org.example.Nope.\n{SHUTDOWN}"),
            ),
            Cause::ClassMissing,
        ),
        (
            "missing data source",
            failed(
                1,
                &python(
                    "py4j.protocol.Py4JJavaError: An error occurred while calling o40.load.\n\
                     : org.apache.spark.SparkClassNotFoundException: [DATA_SOURCE_NOT_FOUND] Failed to find the data \
                     source: delta. Make sure the provider name is correct",
                ),
            ),
            Cause::ClassMissing,
        ),
        (
            "no s3a class",
            failed(
                1,
                &python(
                    "py4j.protocol.Py4JJavaError: An error occurred while calling o40.parquet.\n\
                     : java.lang.RuntimeException: java.lang.ClassNotFoundException: Class \
                     org.apache.hadoop.fs.s3a.S3AFileSystem not found",
                ),
            ),
            Cause::FileSystemMissing,
        ),
        (
            "scheme s3",
            failed(
                1,
                &python(
                    "py4j.protocol.Py4JJavaError: An error occurred while calling o40.parquet.\n\
                     : org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme \"s3\"",
                ),
            ),
            Cause::FileSystemMissing,
        ),
        (
            "missing module",
            failed(1, &python("ModuleNotFoundError: No module named 'pandas'")),
            Cause::ModuleMissing,
        ),
        (
            "missing input",
            failed(
                1,
                &python(
                    "pyspark.errors.exceptions.captured.AnalysisException: [PATH_NOT_FOUND] Path does not exist: \
                     s3a://bucket/in. SQLSTATE: 42K03",
                ),
            ),
            Cause::InputMissing,
        ),
        (
            "name of the database not resolved",
            failed(
                1,
                &format!(
                    "Exception in thread \"main\" java.sql.SQLException: cannot connect\n\tat a.B.c(B.java:1)\n\
                     Caused by: java.net.UnknownHostException: db.jobs.svc\n\t... 5 more\n{SHUTDOWN}"
                ),
            ),
            Cause::NameNotResolved,
        ),
        (
            "account without rights",
            failed(
                1,
                &format!(
                    "Exception in thread \"main\" org.apache.spark.SparkException: External scheduler cannot be \
                     instantiated\n\tat a.B.c(B.scala:1)\nCaused by: io.fabric8.kubernetes.client.KubernetesClientException: \
                     Failure executing: GET at: https://kubernetes.default.svc/api/v1/namespaces/jobs/pods/app-driver. \
                     Message: pods \"app-driver\" is forbidden: User \"system:serviceaccount:jobs:default\" cannot get \
                     resource \"pods\" in API group \"\" in the namespace \"jobs\".\n\t... 20 more\n{SHUTDOWN}"
                ),
            ),
            Cause::NotPermitted,
        ),
        (
            "user exception",
            failed(1, &python("ValueError: the input is empty")),
            Cause::UserException,
        ),
        (
            "user exception after an outage that was survived",
            failed(
                1,
                &format!(
                    "26/03/01 12:03:00 WARN Client: java.net.UnknownHostException: db, trying again\n{}",
                    python("ValueError: the input is empty")
                ),
            ),
            Cause::UserException,
        ),
    ]
}

fn of_pods() -> Vec<(&'static str, Evidence, Cause)> {
    let evicted = |message: &str| {
        with(
            "FAILING",
            driver(&json!({"phase": "Failed", "reason": "Evicted", "message": message})),
        )
    };
    let mut drained = failed(143, "");
    drained.pods[0].pod["status"]["conditions"] = json!([{
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }]);
    let mut deleted = failed(143, "");
    deleted.pods[0].pod["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:05:00Z");
    let mut sidecar = with(
        "RUNNING",
        running("26/03/01 12:04:50 INFO DAGScheduler: ok\n"),
    );
    sidecar.pods[0].pod["status"]["containerStatuses"]
        .as_array_mut()
        .unwrap()
        .push(
            json!({"name": "proxy", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}),
        );
    sidecar.pods[0]
        .logs
        .insert("proxy".to_owned(), "no configuration\n".to_owned());
    let mut executors = with("RUNNING", running(""));
    executors.pods.push(executor(
        2,
        &json!({"phase": "Failed", "containerStatuses": [{"name": "spark-kubernetes-executor",
            "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
        "",
    ));
    let mut deaf = with("RUNNING", running(""));
    deaf.pods.push(executor(
        1,
        &json!({"phase": "Failed", "containerStatuses": [{"name": "spark-kubernetes-executor",
            "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
        "Exception in thread \"main\" java.lang.reflect.UndeclaredThrowableException\n\tat a.B.c(B.java:1)\n\
         Caused by: java.io.IOException: Failed to connect to app-1-driver-svc.jobs.svc:7078\n\
         Caused by: java.net.UnknownHostException: app-1-driver-svc.jobs.svc\n",
    ));
    let init = with(
        "FAILED",
        driver(
            &json!({"phase": "Failed", "initContainerStatuses": [{"name": "fetch",
            "state": {"terminated": {"exitCode": 7, "reason": "Error"}}}]}),
        ),
    );
    let gone = "26/03/01 12:04:00 ERROR TaskSchedulerImpl: Lost executor 3 on 10.1.2.3: \n\
                The executor with id 3 exited with exit code 137(SIGKILL, possible container OOM).\n";
    vec![
        (
            "driver out of memory",
            with("FAILED", exited(137, "OOMKilled", "")),
            Cause::DriverOutOfMemory,
        ),
        ("driver killed", failed(137, "started\n"), Cause::Killed),
        (
            "executor out of memory",
            executors,
            Cause::ExecutorOutOfMemory,
        ),
        (
            "executor out of memory whose pod is gone",
            with("RUNNING", running(&gone.replace(": \n", ": "))),
            Cause::ExecutorOutOfMemory,
        ),
        (
            "executor that does not find its driver",
            deaf,
            Cause::NameNotResolved,
        ),
        (
            "image",
            with(
                "SUBMITTED",
                waiting(
                    "ImagePullBackOff",
                    "Back-off pulling image \"registry.example/etl:7\"",
                ),
            ),
            Cause::ImageUnavailable,
        ),
        (
            "evicted for its disk",
            evicted("The node was low on resource: ephemeral-storage."),
            Cause::Evicted,
        ),
        (
            "evicted for memory",
            evicted("The node was low on resource: memory."),
            Cause::Evicted,
        ),
        ("drained", drained, Cause::Evicted),
        ("deleted by hand", deleted, Cause::PodDeleted),
        (
            "node lost",
            with(
                "FAILING",
                driver(
                    &json!({"phase": "Failed", "reason": "NodeLost", "message": "Node node-1 which was running pod app-driver is unresponsive"}),
                ),
            ),
            Cause::NodeLost,
        ),
        ("init container", init, Cause::InitContainerFailed),
        ("sidecar", sidecar, Cause::SidecarFailed),
        (
            "missing ConfigMap as variables",
            with(
                "SUBMITTED",
                waiting(
                    "CreateContainerConfigError",
                    "configmap \"settings\" not found",
                ),
            ),
            Cause::ReferenceMissing,
        ),
    ]
}

fn of_surroundings() -> Vec<(&'static str, Evidence, Cause)> {
    let mut quota = refused(
        "SUBMISSION_FAILED",
        "QuotaExceeded",
        "pods \"app-driver\" is forbidden: exceeded quota: team, requested: limits.memory=2Gi, used: limits.memory=7Gi, limited: limits.memory=8Gi",
    );
    quota.quotas = vec![json!({"metadata": {"name": "team"},
        "status": {"hard": {"limits.memory": "8Gi"}, "used": {"limits.memory": "7Gi"}}})];
    let mut claim = with(
        "SUBMITTED",
        unschedulable(
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        ),
    );
    claim.claims = vec![
        json!({"metadata": {"name": "data"}, "spec": {"storageClassName": "fast"},
        "status": {"phase": "Pending"}}),
    ];
    claim.events = vec![event(
        "PersistentVolumeClaim",
        "data",
        "ProvisioningFailed",
        "storageclass.storage.k8s.io \"fast\" not found",
    )];
    let mut no_claim = with(
        "SUBMITTED",
        unschedulable("0/1 nodes are available: persistentvolumeclaim \"data\" not found."),
    );
    no_claim.missing = vec![Missing {
        kind: "PersistentVolumeClaim".to_owned(),
        name: "data".to_owned(),
    }];
    let mut mount = with("SUBMITTED", waiting("ContainerCreating", ""));
    mount.events = vec![event(
        "Pod",
        "app-driver",
        "FailedMount",
        "MountVolume.SetUp failed for volume \"conf\" : configmap \"settings\" not found",
    )];
    let mut silent = with("RUNNING", running(""));
    silent.nodes = vec![
        json!({"metadata": {"name": "node-1"}, "status": {"conditions": [
        {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-03-01T12:06:00Z",
            "message": "Kubelet stopped posting node status."}]}}),
    ];
    let mut new = refused("", "", "");
    new.application["status"] = Value::Null;
    vec![
        (
            "no service account",
            refused(
                "FAILED",
                "ServiceAccountMissing",
                "spec.driver.serviceAccount: \"nobody\" does not exist in namespace jobs",
            ),
            Cause::ServiceAccountMissing,
        ),
        (
            "no service account, as the Kubeflow operator tells it",
            refused(
                "SUBMISSION_FAILED",
                "",
                "failed to run spark-submit: pods \"app-driver\" is forbidden: error looking up service account jobs/nobody: serviceaccount \"nobody\" not found",
            ),
            Cause::ServiceAccountMissing,
        ),
        (
            "deleted by hand, and gone",
            refused(
                "FAILED",
                "DriverFailed",
                "driver pod app-driver was deleted while the driver ran (exit code 143)",
            ),
            Cause::PodDeleted,
        ),
        (
            "killed, and gone",
            refused(
                "FAILED",
                "DriverFailed",
                "the driver was killed (exit code 137, SIGKILL)",
            ),
            Cause::Killed,
        ),
        (
            "missing class, and the pod gone",
            refused(
                "FAILED",
                "DriverFailed",
                "the driver exited with code 101: Error: Failed to load class org.example.Nope.; check spec.mainClass, and that the jar which has the class is spec.mainApplicationFile or in spec.deps.jars or spec.deps.packages",
            ),
            Cause::ClassMissing,
        ),
        ("quota", quota, Cause::QuotaExceeded),
        (
            "unschedulable for now",
            with(
                "SUBMITTED",
                unschedulable(
                    "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.",
                ),
            ),
            Cause::Unschedulable,
        ),
        (
            "unschedulable for ever",
            with(
                "SUBMITTED",
                unschedulable(
                    "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
                ),
            ),
            Cause::Unschedulable,
        ),
        ("claim pending", claim, Cause::ClaimPending),
        ("claim missing", no_claim, Cause::ClaimPending),
        (
            "volume of a missing ConfigMap",
            mount,
            Cause::ReferenceMissing,
        ),
        ("node silent", silent, Cause::NodeLost),
        (
            "invalid",
            refused(
                "FAILED",
                "InvalidSpec",
                "spec.mode: client is not supported; use cluster",
            ),
            Cause::InvalidSpec,
        ),
        ("suspended", refused("SUSPENDED", "", ""), Cause::Suspended),
        ("queued", queued("Queued"), Cause::Queued),
        (
            "larger than its queue",
            queued("ExceedsQueue"),
            Cause::Queued,
        ),
        ("no operator", new, Cause::NoOperator),
    ]
}

#[test]
fn every_staged_failure_is_told_with_cause_evidence_and_next_step() {
    let now: Timestamp = NOW.parse().unwrap();
    let mut told = String::new();
    for (what, evidence, cause) in cases() {
        let findings = diagnose(&evidence, now);
        let first = findings
            .first()
            .unwrap_or_else(|| panic!("{what}: nothing found"));
        assert_eq!(first.cause, cause, "{what}: {first:?}");
        assert!(
            !first.next.is_empty() && !first.evidence.is_empty(),
            "{what}"
        );
        told.push_str(&format!("# {what}\n"));
        for finding in findings {
            told.push_str(&format!("{}: {}\n", finding.cause.as_str(), finding.what));
            for line in finding.evidence {
                told.push_str(&format!("  {line}\n"));
            }
            told.push_str(&format!("  -> {}\n", finding.next));
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_application_that_is_well_has_no_findings() {
    let now: Timestamp = NOW.parse().unwrap();
    let mut completed = with("COMPLETED", exited(0, "Completed", ""));
    completed.application["status"]["applicationState"] = json!({"state": "COMPLETED"});
    for evidence in [
        completed,
        with(
            "RUNNING",
            running("26/03/01 12:04:50 INFO DAGScheduler: ok\n"),
        ),
        with("SUBMITTED", waiting("ContainerCreating", "")),
    ] {
        assert_eq!(diagnose(&evidence, now), []);
    }
}

#[test]
fn evidence_in_any_shape_is_no_error() {
    let now: Timestamp = NOW.parse().unwrap();
    let odd = json!({"metadata": 7, "status": ["x"], "spec": "y"});
    let evidence = Evidence {
        application: odd.clone(),
        pods: vec![PodEvidence {
            pod: odd.clone(),
            logs: BTreeMap::new(),
        }],
        events: vec![odd.clone(), Value::Null],
        nodes: vec![odd.clone()],
        claims: vec![odd.clone()],
        quotas: vec![odd],
        missing: Vec::new(),
    };
    assert_eq!(diagnose(&evidence, now), []);
    assert_eq!(diagnose(&Evidence::default(), now), []);
}
