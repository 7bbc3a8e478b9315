//! What is wrong with an object, on purpose.

use serde_json::{Value, json};

use crate::{kind::Kind, random::Random};

/// Makes an object wrong in one way.
pub(super) fn spoil(kind: Kind, object: &mut Value, random: &mut Random) {
    if random.percent(45) {
        let wrong = change(kind, random);
        json_patch::merge(object, &wrong);
        // Only where there is something to delete is that a flaw.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("deletionTimestamp");
        }
        return;
    }
    match random.below(14) {
        0 => object["unknown"] = json!(1),
        1 => object["metadata"]["unknown"] = json!("x"),
        2 => object["spec"] = json!("text"),
        3 => object["metadata"] = json!("text"),
        4 => object["kind"] = json!("Other"),
        5 => object["apiVersion"] = json!("example.org/v9"),
        6 => object["metadata"]["name"] = json!("Not_A_Name"),
        7 => object["metadata"]["namespace"] = json!("elsewhere"),
        8 => object["metadata"]["resourceVersion"] = json!("1"),
        9 => object["metadata"]["labels"] = json!({"app": 5}),
        10 => drop_kind(object),
        11 => object["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555"),
        12 => object["metadata"]["name"] = json!("n".repeat(260)),
        _ => object["metadata"]["generation"] = json!(7),
    }
}

fn drop_kind(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
}

/// A change that is wrong, as a merge patch.
pub(super) fn change(kind: Kind, random: &mut Random) -> Value {
    let common = [
        json!({"metadata": {"labels": {"app": "not valid!"}}}),
        json!({"metadata": {"labels": {"-bad-": "x"}}}),
        json!({"metadata": {"annotations": {"a b": "x"}}}),
        json!({"metadata": {"finalizers": ["not qualified"]}}),
        json!({"metadata": {"finalizers": ["plain"]}}),
        json!({"metadata": {"name": "zzz"}}),
        json!({"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}}),
        json!({"metadata": {"resourceVersion": "1"}}),
        json!({"metadata": {"resourceVersion": "abc"}}),
        json!({"metadata": {"generation": 99}}),
        json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}}),
        json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}),
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x"}]}}),
        json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "1", "controller": true},
            {"apiVersion": "v1", "kind": "Pod", "name": "y", "uid": "2", "controller": true},
        ]}}),
        json!({"metadata": {"labels": "text"}}),
    ];
    if random.percent(35) {
        return random.pick(&common).clone();
    }
    let own: Vec<Value> = match kind {
        Kind::ConfigMap => vec![
            json!({"data": {"bad key": "x"}}),
            json!({"data": {"n": 5}}),
            json!({"data": []}),
            json!({"binaryData": {"bin": "no base64!"}}),
            json!({"data": {"bin": "x"}, "binaryData": {"bin": "AAEC"}}),
            json!({"immutable": "yes"}),
            json!({"data": {"..": "x"}}),
        ],
        Kind::Pod => pod_flaws("spec"),
        Kind::Service => vec![
            json!({"spec": {"ports": []}}),
            json!({"spec": {"ports": [{"port": 0}]}}),
            json!({"spec": {"ports": [{"port": 80}, {"port": 81}]}}),
            json!({"spec": {"ports": [{"port": 80, "protocol": "SPX"}]}}),
            json!({"spec": {"ports": [{"port": 80, "name": "Bad_Name"}]}}),
            json!({"spec": {"ports": [{"port": 80, "targetPort": "way-too-long-port-name"}]}}),
            json!({"spec": {"ports": [{"port": "80"}]}}),
            json!({"spec": {"type": "Wrong"}}),
            json!({"spec": {"clusterIP": "not-an-ip"}}),
            json!({"spec": {"clusterIP": "9.9.9.9"}}),
            json!({"spec": {"sessionAffinity": "Wrong"}}),
            json!({"spec": {"externalIPs": ["x"]}}),
            json!({"spec": {"selector": {"a b": "x"}}}),
            json!({"spec": {"unknown": true}}),
            json!({"spec": {"externalTrafficPolicy": "Local"}}),
            json!({"spec": {"type": "ExternalName"}}),
            json!({"metadata": {"name": "1-starts-with-a-digit"}}),
        ],
        Kind::Deployment => {
            let mut flaws = pod_flaws("spec.template.spec");
            flaws.extend([
                json!({"spec": {"replicas": -1}}),
                json!({"spec": {"replicas": "2"}}),
                json!({"spec": {"replicas": 1.5}}),
                json!({"spec": {"selector": null}}),
                json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}),
                json!({"spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "Is"}]}}}),
                json!({"spec": {"strategy": {"type": "Wrong"}}}),
                json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}}),
                json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": "x%"}}}}),
                json!({"spec": {"minReadySeconds": -1}}),
                json!({"spec": {"progressDeadlineSeconds": 1, "minReadySeconds": 5}}),
                json!({"spec": {"revisionHistoryLimit": -1}}),
                json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}),
                json!({"spec": {"template": null}}),
                json!({"spec": {"unknown": true}}),
            ]);
            flaws
        }
        Kind::StatefulSet => {
            let mut flaws = pod_flaws("spec.template.spec");
            flaws.extend([
                json!({"spec": {"replicas": -1}}),
                json!({"spec": {"selector": null}}),
                json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}),
                json!({"spec": {"podManagementPolicy": "Wrong"}}),
                json!({"spec": {"updateStrategy": {"type": "Wrong"}}}),
                json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}}}}),
                json!({"spec": {"serviceName": "other"}}),
                json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}),
                json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Wrong"}}}),
                json!({"spec": {"unknown": true}}),
            ]);
            flaws
        }
        Kind::Widget => vec![
            json!({"spec": {"color": "pink"}}),
            json!({"spec": {"color": null}}),
            json!({"spec": {"size": -1}}),
            json!({"spec": {"size": 1000}}),
            json!({"spec": {"size": "3"}}),
            json!({"spec": {"size": 1.5}}),
            json!({"spec": {"ratio": -0.5}}),
            json!({"spec": {"code": "ABC"}}),
            json!({"spec": {"code": "abcdefg"}}),
            json!({"spec": {"tags": ["x", "x"]}}),
            json!({"spec": {"tags": ["1", "2", "3", "4", "5"]}}),
            json!({"spec": {"tags": "x"}}),
            json!({"spec": {"ports": [{"name": "a"}, {"name": "a"}]}}),
            json!({"spec": {"ports": [{"number": 1}]}}),
            json!({"spec": {"ports": [{"name": "a", "number": 0, "more": 1}]}}),
            json!({"spec": {"limits": {"cpu": 1}}}),
            json!({"spec": {"steps": [{"run": ""}]}}),
            json!({"spec": {"port": true}}),
            json!({"spec": {"since": "yesterday"}}),
            json!({"spec": {"unknown": {"x": 1}}}),
            json!({"spec": null}),
        ],
        Kind::Gadget => vec![
            json!({"spec": {"level": "high"}}),
            json!({"spec": []}),
            json!({"spec": {"level": 1.5}}),
        ],
    };
    random.pick(&own).clone()
}

/// Flaws of a pod's spec, at this place.
fn pod_flaws(at: &str) -> Vec<Value> {
    let main = |more: Value| {
        let mut container = json!({"name": "main", "image": "app"});
        json_patch::merge(&mut container, &more);
        json!({"containers": [container]})
    };
    let flaws = [
        json!({"containers": []}),
        json!({"containers": null}),
        json!({"containers": [{"name": "main"}]}),
        json!({"containers": [{"image": "app"}]}),
        json!({"containers": "text"}),
        main(json!({"name": "Bad_Name"})),
        json!({"containers": [{"name": "main", "image": "app"}, {"name": "main", "image": "app"}]}),
        main(json!({"image": " app"})),
        main(json!({"imagePullPolicy": "Sometimes"})),
        main(json!({"env": [{"name": "", "value": "x"}]})),
        main(
            json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        ),
        main(json!({"env": [{"name": "A", "value": 1}]})),
        main(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
        main(json!({"ports": [{"containerPort": 0}]})),
        main(json!({"ports": [{"containerPort": 70000}]})),
        main(json!({"ports": [{"containerPort": 80, "protocol": "tcp"}]})),
        main(
            json!({"ports": [{"name": "a", "containerPort": 80}, {"name": "a", "containerPort": 81}]}),
        ),
        main(json!({"resources": {"requests": {"memory": "lots"}}})),
        main(json!({"resources": {"requests": {"memory": "-1"}}})),
        main(json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}})),
        main(json!({"volumeMounts": [{"name": "missing", "mountPath": "/x"}]})),
        main(json!({"volumeMounts": [{"name": "missing"}]})),
        main(json!({"livenessProbe": {"periodSeconds": 1}})),
        main(json!({"livenessProbe": {"httpGet": {"port": 0}}})),
        main(json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}})),
        main(json!({"unknown": 1})),
        json!({"restartPolicy": "Sometimes"}),
        json!({"dnsPolicy": "Wrong"}),
        json!({"dnsPolicy": "None"}),
        json!({"terminationGracePeriodSeconds": -1}),
        json!({"terminationGracePeriodSeconds": "5"}),
        json!({"volumes": [{"name": "v"}, {"name": "v"}]}),
        json!({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]}),
        json!({"volumes": [{"name": "v", "configMap": {}}]}),
        json!({"nodeSelector": {"a b": "x"}}),
        json!({"tolerations": [{"operator": "Equal", "value": "x"}]}),
        json!({"tolerations": [{"key": "a", "effect": "Wrong"}]}),
        json!({"serviceAccountName": "missing"}),
        json!({"priorityClassName": "missing"}),
        json!({"hostname": "Not_A_Name"}),
        json!({"activeDeadlineSeconds": 0}),
        json!({"unknown": true}),
    ];
    flaws
        .into_iter()
        .map(|flaw| {
            at.rsplit('.')
                .fold(flaw, |inner, field| json!({field: inner}))
        })
        .collect()
}

/// A status that is wrong.
pub(super) fn status(kind: Kind, random: &mut Random) -> Value {
    let own: Vec<Value> = match kind {
        Kind::Pod => vec![
            json!({"phase": 5}),
            json!({"unknown": 1}),
            json!({"conditions": [{"status": "True"}]}),
        ],
        Kind::Deployment | Kind::StatefulSet => vec![
            json!({"replicas": -1}),
            json!({"replicas": 1, "readyReplicas": 2}),
            json!({"unknown": 1}),
            json!({"replicas": "x"}),
        ],
        Kind::Widget => vec![
            json!({"phase": "Wrong"}),
            json!({"size": "x"}),
            json!({"unknown": 1}),
        ],
        Kind::ConfigMap | Kind::Service | Kind::Gadget => {
            vec![json!({"unknown": 1}), json!("text")]
        }
    };
    random.pick(&own).clone()
}
