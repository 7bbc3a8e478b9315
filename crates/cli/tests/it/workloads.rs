//! Workloads under kubectl, with pods that run.

use std::time::Duration;

use crate::common::{Up, until, write};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: local/host:latest
        command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done']
        env: [{name: COLOUR, value: blue}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
"#;

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: dbs
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: local/host:latest
        command: [sh, -c, 'hostname >> /data/names; trap "exit 0" TERM; while :; do sleep 0.2; done']
        volumeMounts: [{name: data, mountPath: /data}]
        readinessProbe: {exec: {command: [test, -s, /data/names]}, periodSeconds: 1, timeoutSeconds: 60}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec:
  completions: 3
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: local/host:latest
        command: [sh, -c, 'echo index $JOB_COMPLETION_INDEX']
"#;

/// What kubectl says when all goes well.
fn kubectl(up: &Up, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    up.kubectl_ok(&arguments)
}

#[test]
fn a_deployment_is_rolled_out_undone_scaled_and_adopted_by_kubectl() {
    let up = Up::start();
    let web = write(up.data.path(), "web.yaml", WEB);
    let apply = format!("apply -f {web}");
    let rolled_out = || kubectl(&up, "rollout status deployment/web --timeout=120s");
    let colours = || {
        let path = "jsonpath={.items[*].spec.template.spec.containers[0].env[0].value}";
        kubectl(&up, &format!("get deployments -o {path}"))
    };
    kubectl(&up, &apply);
    rolled_out();
    kubectl(
        &up,
        "wait --for=jsonpath={.status.disruptionsAllowed}=1 pdb/web --timeout=120s",
    );
    kubectl(&up, "set env deployment/web COLOUR=red");
    assert!(rolled_out().contains("successfully rolled out"));
    let history = kubectl(&up, "rollout history deployment/web");
    assert!(history.contains("\n2 "), "{history}");
    kubectl(&up, "rollout undo deployment/web");
    rolled_out();
    assert_eq!(colours(), "blue");
    kubectl(&up, "scale deployment/web --replicas=3");
    rolled_out();
    let pods = || {
        let names = kubectl(&up, "get pods -l app=web -o name --sort-by=.metadata.name");
        names.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = pods();
    assert_eq!(before.len(), 3);

    kubectl(&up, "delete deployment web --cascade=orphan");
    assert_eq!(pods(), before);
    kubectl(&up, &apply);
    rolled_out();
    // A roll-out does not wait for pods that end.
    let left = until("two pods to be left", Duration::from_mins(2), || {
        Some(pods()).filter(|left| left.len() == 2)
    });
    assert!(
        left.iter().all(|pod| before.contains(pod)),
        "{left:?} of {before:?}"
    );
    kubectl(&up, "delete deployment web");
    kubectl(&up, "wait --for=delete pod -l app=web --timeout=120s");
}

#[test]
fn a_stateful_set_keeps_what_its_pods_write_and_a_job_counts_its_indexes() {
    let up = Up::start();
    let db = write(up.data.path(), "db.yaml", DB);
    kubectl(&up, &format!("apply -f {db}"));
    kubectl(&up, "rollout status statefulset/db --timeout=120s");
    kubectl(&up, "delete pod db-0");
    kubectl(&up, "rollout status statefulset/db --timeout=120s");
    let names = kubectl(&up, "exec db-0 -- cat /data/names");
    assert_eq!(
        names, "db-0\ndb-0\n",
        "the second pod finds what the first one wrote"
    );
    kubectl(&up, "scale statefulset/db --replicas=1");
    kubectl(&up, "wait --for=delete pod/db-1 --timeout=120s");
    let claims = kubectl(&up, "get pvc -o name");
    assert_eq!(claims.lines().count(), 2, "{claims}");

    kubectl(&up, "wait --for=condition=complete job/sum --timeout=120s");
    let mut logs: Vec<String> = kubectl(&up, "logs -l job-name=sum")
        .lines()
        .map(str::to_owned)
        .collect();
    logs.sort();
    assert_eq!(logs, ["index 0", "index 1", "index 2"]);
    kubectl(&up, "delete job sum");
    kubectl(&up, "wait --for=delete pod -l job-name=sum --timeout=120s");
}
