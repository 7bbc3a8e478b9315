use super::*;
use crate::mirror::View;
use serde_json::Value;

fn node(name: &str, extra: Value) -> (ObjectKey, Arc<Node>) {
    let mut object = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    merge(&mut object, extra);
    (
        ObjectKey::cluster(name),
        Arc::new(Node::read(object).unwrap()),
    )
}

fn pod(name: &str, extra: Value) -> (ObjectKey, Arc<Pod>) {
    let mut object = json!({
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]},
    });
    merge(&mut object, extra);
    (
        ObjectKey::namespaced("team", name),
        Arc::new(Pod::read(object).unwrap()),
    )
}

fn merge(object: &mut Value, extra: Value) {
    match (object, extra) {
        (Value::Object(object), Value::Object(extra)) => {
            for (name, value) in extra {
                merge(object.entry(name).or_insert(Value::Null), value);
            }
        }
        (object, extra) => *object = extra,
    }
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "main", "resources": {"requests": {"cpu": amount}}}]})
}

fn decide(pods: &[(ObjectKey, Arc<Pod>)], nodes: &[(ObjectKey, Arc<Node>)]) -> Vec<String> {
    plan(pods, nodes, &HashMap::new())
        .into_iter()
        .map(|decision| match decision {
            Decision::Bind { pod, node } => format!("{} -> {node}", pod.name),
            Decision::Refuse { pod, message } => format!("{}: {message}", pod.name),
        })
        .collect()
}

#[test]
fn the_most_important_pod_goes_first_and_then_the_oldest() {
    let at = |time: &str| json!({"metadata": {"creationTimestamp": time}});
    let mut urgent = at("2026-01-03T00:00:00Z");
    urgent["spec"] = json!({"priority": 10});
    let pods = [
        pod("young", at("2026-01-02T00:00:00Z")),
        pod("old", at("2026-01-01T00:00:00Z")),
        pod("urgent", urgent),
    ];
    assert_eq!(
        decide(&pods, &[node("one", json!({}))]),
        ["urgent -> one", "old -> one", "young -> one"]
    );
}

#[test]
fn a_pod_that_does_not_fit_is_refused_in_the_words_of_kube_scheduler() {
    let nodes = [node("one", json!({}))];
    let pods = [
        pod(
            "running",
            json!({"spec": {"nodeName": "one", "containers": cpu("3500m")["containers"]}}),
        ),
        pod("small", json!({"spec": cpu("500m")})),
        pod("wide", json!({"spec": cpu("2")})),
        pod("vast", json!({"spec": cpu("8")})),
    ];
    assert_eq!(
        decide(&pods, &nodes),
        [
            "small -> one",
            "vast: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are \
             available: 1 Preemption is not helpful for scheduling.",
            "wide: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are \
             available: 1 No preemption victims found for incoming pod.",
        ]
    );
}

#[test]
fn ended_pods_hold_nothing_and_assumed_ones_do() {
    let nodes = [node("one", json!({}))];
    let big = cpu("3")["containers"].clone();
    let ended = pod(
        "ended",
        json!({"spec": {"nodeName": "one", "containers": big}, "status": {"phase": "Succeeded"}}),
    );
    let bound = pod("bound", json!({"spec": {"containers": big}}));
    let next = pod("next", json!({"spec": {"containers": big}}));
    assert_eq!(decide(&[ended, next.clone()], &nodes), ["next -> one"]);
    let assumed = HashMap::from([("uid-bound".to_owned(), "one".to_owned())]);
    let decisions = plan(&[bound, next], &nodes, &assumed);
    assert!(matches!(&decisions[..], [Decision::Refuse { pod, .. }] if &*pod.name == "next"));
}

#[test]
fn pods_of_others_and_gated_and_terminating_ones_are_left_alone() {
    let pods = [
        pod("other", json!({"spec": {"schedulerName": "volcano"}})),
        pod(
            "gated",
            json!({"spec": {"schedulingGates": [{"name": "quota"}]}}),
        ),
        pod(
            "leaving",
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        ),
        pod("failed", json!({"status": {"phase": "Failed"}})),
    ];
    assert!(decide(&pods, &[node("one", json!({}))]).is_empty());
}

#[test]
fn selectors_taints_and_cordons_keep_pods_away() {
    let affinity = |expression: Value| {
        json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [expression]}],
            },
        }}}})
    };
    let pods = [
        pod(
            "a-selector",
            json!({"spec": {"nodeSelector": {"disk": "ssd"}}}),
        ),
        pod(
            "b-affinity",
            affinity(json!({"key": "disk", "operator": "Exists"})),
        ),
        pod(
            "c-elsewhere",
            affinity(json!({"key": "disk", "operator": "NotIn", "values": ["ssd"]})),
        ),
        pod(
            "d-gt",
            affinity(json!({"key": "cores", "operator": "Gt", "values": ["3"]})),
        ),
    ];
    let selector = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. \
                    preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(
        decide(
            &pods,
            &[node("one", json!({"metadata": {"labels": {"cores": "4"}}}))]
        ),
        [
            format!("a-selector: {selector}"),
            format!("b-affinity: {selector}"),
            "c-elsewhere -> one".to_owned(),
            "d-gt -> one".to_owned(),
        ]
    );
    let tainted =
        json!({"spec": {"taints": [{"key": "team", "value": "x", "effect": "NoSchedule"}]}});
    let tolerant = json!({"spec": {"tolerations": [{"key": "team", "operator": "Exists"}]}});
    let pods = [pod("plain", json!({})), pod("tolerant", tolerant)];
    assert_eq!(
        decide(&pods, &[node("one", tainted)]),
        [
            "plain: 0/1 nodes are available: 1 node(s) had untolerated taint {team: x}. \
             preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
            "tolerant -> one",
        ]
    );
    let cordoned = [
        node("one", json!({"spec": {"unschedulable": true}})),
        node("two", json!({})),
    ];
    assert_eq!(decide(&pods[..1], &cordoned), ["plain -> two"]);
    let refused = decide(&pods[..1], &cordoned[..1]);
    assert!(
        refused[0].contains("1 node(s) were unschedulable"),
        "{refused:?}"
    );
}

#[test]
fn without_nodes_the_message_says_so() {
    assert_eq!(
        decide(&[pod("a", json!({}))], &[]),
        ["a: no nodes available to schedule pods"]
    );
}

#[test]
fn the_pod_limit_counts_pods() {
    let nodes = [node(
        "one",
        json!({"status": {"allocatable": {"pods": "1"}}}),
    )];
    let pods = [pod("a", json!({})), pod("b", json!({}))];
    let decided = decide(&pods, &nodes);
    assert_eq!(decided[0], "a -> one");
    assert!(decided[1].contains("1 Too many pods"), "{decided:?}");
}
