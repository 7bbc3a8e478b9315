//! Objects that are right, and right changes of them.

use serde_json::{Value, json};

use crate::{kind::Kind, random::Random};

/// A new object.
pub(super) fn object(kind: Kind, name: &str, random: &mut Random) -> Value {
    let mut object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": metadata(name, random),
    });
    match kind {
        Kind::ConfigMap => config_map(&mut object, random),
        Kind::Pod => object["spec"] = pod_spec(random),
        Kind::Service => object["spec"] = service_spec(random),
        Kind::Deployment => object["spec"] = deployment_spec(random),
        Kind::StatefulSet => object["spec"] = stateful_set_spec(random),
        Kind::Widget => object["spec"] = widget_spec(random),
        Kind::Gadget => gadget(&mut object, random),
    }
    object
}

fn metadata(name: &str, random: &mut Random) -> Value {
    let mut metadata = json!({"name": name});
    if random.percent(80) {
        metadata["labels"] = json!({"app": random.pick(&["a", "b", "c"])});
        if random.percent(40) {
            metadata["labels"]["tier"] = json!(random.pick(&["front", "back", ""]));
        }
    }
    if random.percent(25) {
        metadata["annotations"] = json!({"note": random.pick(&["one", "", "two words"])});
    }
    if random.percent(10) {
        metadata["namespace"] = json!("{{ns}}");
    }
    metadata
}

fn config_map(object: &mut Value, random: &mut Random) {
    if random.percent(90) {
        object["data"] = json!({"one": random.pick(&["1", "", "line\nline\n"]), "two.conf": "x"});
    }
    if random.percent(15) {
        object["binaryData"] = json!({"bin": "AAEC"});
    }
    if random.percent(6) {
        object["immutable"] = json!(random.percent(60));
    }
}

fn container(name: &str, random: &mut Random) -> Value {
    let mut container = json!({
        "name": name,
        "image": random.pick(&["busybox", "registry.example/app:1.2", "app:latest", "app@sha256:0000000000000000000000000000000000000000000000000000000000000000"]),
    });
    if random.percent(30) {
        container["env"] = json!([
            {"name": "A", "value": random.pick(&["1", "", "$(B)"])},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ]);
    }
    if random.percent(30) {
        container["ports"] = json!([{"containerPort": random.pick(&[80, 8080]), "name": "web"}, {"containerPort": 53, "protocol": "UDP"}]);
    }
    if random.percent(35) {
        container["resources"] = json!({
            "requests": {"cpu": random.pick(&[json!("100m"), json!("0.5"), json!(1)]), "memory": random.pick(&["64Mi", "1Gi", "1000k"])},
            "limits": {"cpu": "2", "memory": "2Gi"},
        });
        if random.percent(40)
            && let Some(resources) = container["resources"].as_object_mut()
        {
            resources.remove("requests");
        }
    }
    if random.percent(20) {
        container["command"] = json!(["sh", "-c"]);
        container["args"] = json!(["sleep 1"]);
    }
    if random.percent(15) {
        container["readinessProbe"] = random
            .pick(&[
                json!({"httpGet": {"path": "/", "port": 80}}),
                json!({"tcpSocket": {"port": "web"}, "periodSeconds": 3}),
                json!({"exec": {"command": ["true"]}, "initialDelaySeconds": 1}),
            ])
            .clone();
    }
    if random.percent(15) {
        container["securityContext"] = json!({"runAsUser": 1000, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    }
    if random.percent(10) {
        container["imagePullPolicy"] = json!(random.pick(&["Always", "Never", "IfNotPresent"]));
    }
    container
}

fn pod_spec(random: &mut Random) -> Value {
    let mut containers = vec![container("main", random)];
    if random.percent(20) {
        containers.push(container("side", random));
    }
    let mut spec = json!({"containers": containers});
    if random.percent(35) {
        spec["volumes"] = json!([
            {"name": "scratch", "emptyDir": {}},
            {"name": "conf", "configMap": {"name": "a", "items": [{"key": "one", "path": "one"}]}},
        ]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}, {"name": "conf", "mountPath": "/conf", "readOnly": true}]);
        match random.below(5) {
            0 => spec["volumes"][0]["emptyDir"] = json!({"medium": "Memory", "sizeLimit": "64Mi"}),
            1 => {
                spec["volumes"][1] =
                    json!({"name": "conf", "secret": {"secretName": "s", "optional": true}});
            }
            2 => {
                spec["volumes"][1] = json!({"name": "conf", "projected": {"sources": [{"configMap": {"name": "a"}}, {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}});
            }
            3 => spec["volumes"][1] = json!({"name": "conf", "hostPath": {"path": "/tmp"}}),
            _ => {}
        }
    }
    if random.percent(15) {
        spec["initContainers"] = json!([container("init", random)]);
        if let Some(init) = spec["initContainers"][0].as_object_mut() {
            init.remove("readinessProbe");
        }
    }
    for (percent, field, value) in [
        (25, "restartPolicy", json!("Always")),
        (15, "nodeSelector", json!({"disk": "fast"})),
        (
            15,
            "tolerations",
            json!([{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]),
        ),
        (
            15,
            "securityContext",
            json!({"runAsUser": 185, "fsGroup": 185}),
        ),
        (15, "terminationGracePeriodSeconds", json!(5)),
        (8, "hostname", json!("host")),
        (8, "subdomain", json!("sub")),
        (8, "enableServiceLinks", json!(false)),
        (8, "automountServiceAccountToken", json!(false)),
        (
            8,
            "dnsConfig",
            json!({"options": [{"name": "ndots", "value": "1"}]}),
        ),
        (
            6,
            "hostAliases",
            json!([{"ip": "10.0.0.1", "hostnames": ["x"]}]),
        ),
        (6, "imagePullSecrets", json!([{"name": "pull"}])),
        (6, "schedulerName", json!("other")),
        (6, "shareProcessNamespace", json!(true)),
        (
            6,
            "affinity",
            json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"}}]}}),
        ),
        (
            6,
            "topologySpreadConstraints",
            json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "a"}}}]),
        ),
        (4, "activeDeadlineSeconds", json!(60)),
    ] {
        if random.percent(percent) {
            spec[field] = value;
        }
    }
    spec
}

fn template(random: &mut Random) -> Value {
    let mut template = json!({"metadata": {"labels": {"app": "a"}}, "spec": pod_spec(random)});
    if let Some(spec) = template["spec"].as_object_mut() {
        spec.remove("activeDeadlineSeconds");
    }
    if random.percent(20) {
        template["metadata"]["annotations"] = json!({"note": "x"});
    }
    template
}

fn service_spec(random: &mut Random) -> Value {
    let mut spec = json!({"selector": {"app": "a"}, "ports": [{"port": 80}]});
    match random.below(6) {
        0 => {
            spec["ports"] = json!([{"name": "web", "port": 80, "targetPort": "http"}, {"name": "tls", "port": 443, "targetPort": 8443, "protocol": "TCP"}]);
        }
        1 => {
            spec["ports"] = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP", "appProtocol": "dns"}]);
        }
        _ => {}
    }
    match random.below(10) {
        0 | 1 => spec["clusterIP"] = json!("None"),
        2 => spec["type"] = json!("NodePort"),
        3 => spec = json!({"type": "ExternalName", "externalName": "example.org"}),
        4 => spec["type"] = json!("LoadBalancer"),
        5 => spec["type"] = json!("ClusterIP"),
        _ => {}
    }
    for (percent, field, value) in [
        (8, "sessionAffinity", json!("ClientIP")),
        (8, "publishNotReadyAddresses", json!(true)),
        (6, "externalIPs", json!(["192.0.2.1"])),
        (4, "internalTrafficPolicy", json!("Local")),
    ] {
        if random.percent(percent) && spec["type"] != "ExternalName" {
            spec[field] = value;
        }
    }
    spec
}

fn selector(random: &mut Random) -> Value {
    if random.percent(80) {
        json!({"matchLabels": {"app": "a"}})
    } else {
        json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]})
    }
}

fn deployment_spec(random: &mut Random) -> Value {
    let mut spec = json!({"selector": selector(random), "template": template(random)});
    for (percent, field, value) in [
        (60, "replicas", json!(1 + random.below(3))),
        (12, "strategy", json!({"type": "Recreate"})),
        (
            12,
            "strategy",
            json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "50%"}}),
        ),
        (10, "minReadySeconds", json!(5)),
        (10, "revisionHistoryLimit", json!(2)),
        (10, "progressDeadlineSeconds", json!(100)),
        (8, "paused", json!(true)),
    ] {
        if random.percent(percent) {
            spec[field] = value;
        }
    }
    spec
}

fn stateful_set_spec(random: &mut Random) -> Value {
    let mut spec =
        json!({"serviceName": "a", "selector": selector(random), "template": template(random)});
    for (percent, field, value) in [
        (60, "replicas", json!(1 + random.below(3))),
        (20, "podManagementPolicy", json!("Parallel")),
        (15, "updateStrategy", json!({"type": "OnDelete"})),
        (
            15,
            "updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}),
        ),
        (10, "minReadySeconds", json!(5)),
        (10, "revisionHistoryLimit", json!(2)),
        (
            10,
            "persistentVolumeClaimRetentionPolicy",
            json!({"whenDeleted": "Delete"}),
        ),
        (
            25,
            "volumeClaimTemplates",
            json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]),
        ),
        (8, "ordinals", json!({"start": 1})),
    ] {
        if random.percent(percent) {
            spec[field] = value;
        }
    }
    spec
}

fn widget_spec(random: &mut Random) -> Value {
    let mut spec = json!({"color": random.pick(&["red", "blue"])});
    for (percent, field, value) in [
        (40, "size", json!(1 + random.below(9))),
        (20, "ratio", json!(1.5)),
        (10, "ratio", json!(2)),
        (20, "code", json!("abc")),
        (15, "active", json!(false)),
        (25, "tags", json!(["x", "y"])),
        (
            25,
            "ports",
            json!([{"name": "a", "number": 1}, {"name": "b", "protocol": "UDP"}]),
        ),
        (20, "limits", json!({"cpu": "1"})),
        (20, "whole", json!({"a": "1"})),
        (20, "steps", json!([{"run": "x"}, {}])),
        (15, "port", json!("http")),
        (15, "port", json!(80)),
        (20, "free", json!({"any": [1, {"thing": null}]})),
        (15, "maybe", Value::Null),
        (10, "since", json!("2026-01-02T03:04:05Z")),
    ] {
        if random.percent(percent) {
            spec[field] = value;
        }
    }
    spec
}

fn gadget(object: &mut Value, random: &mut Random) {
    object["spec"] = json!({"level": random.below(3), "more": {"x": [1, 2]}});
    if random.percent(30) {
        object["status"] = json!({"seen": true});
    }
    if random.percent(20) {
        object["extra"] = json!("text");
    }
}

/// A right change, as a merge patch on an object that is there.
pub(super) fn change(kind: Kind, random: &mut Random) -> Value {
    let common = [
        json!({"metadata": {"labels": {"app": "b"}}}),
        json!({"metadata": {"labels": {"tier": null}}}),
        json!({"metadata": {"annotations": {"note": "changed"}}}),
        json!({"metadata": {"annotations": null}}),
        json!({"metadata": {"finalizers": ["conformance.windlass.dev/wait"]}}),
        json!({"metadata": {"finalizers": null}}),
        json!({"metadata": {"managedFields": []}}),
        json!({}),
    ];
    if random.percent(35) {
        return random.pick(&common).clone();
    }
    let own: Vec<Value> = match kind {
        Kind::ConfigMap => vec![
            json!({"data": {"one": "2"}}),
            json!({"data": {"two.conf": null, "three": "3"}}),
            json!({"data": null}),
            json!({"binaryData": {"bin": "AAE="}}),
            json!({"immutable": true}),
        ],
        Kind::Pod => vec![
            json!({"spec": {"activeDeadlineSeconds": 30}}),
            json!({"spec": {"tolerations": [{"key": "new", "operator": "Exists"}]}}),
            json!({"spec": {"terminationGracePeriodSeconds": 1}}),
            json!({"spec": {"restartPolicy": "Never"}}),
            json!({"spec": {"nodeName": "n"}}),
            json!({"spec": {"hostname": "other"}}),
        ],
        Kind::Service => vec![
            json!({"spec": {"selector": {"app": "b"}}}),
            json!({"spec": {"selector": null}}),
            json!({"spec": {"ports": [{"port": 81}]}}),
            json!({"spec": {"ports": [{"name": "x", "port": 81}, {"name": "y", "port": 82, "targetPort": "z"}]}}),
            json!({"spec": {"type": "NodePort"}}),
            json!({"spec": {"type": "ClusterIP"}}),
            json!({"spec": {"sessionAffinity": "ClientIP"}}),
            json!({"spec": {"clusterIP": "None"}}),
        ],
        Kind::Deployment => vec![
            json!({"spec": {"replicas": 1 + random.below(4)}}),
            json!({"spec": {"replicas": null}}),
            json!({"spec": {"paused": true}}),
            json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "app:2"}]}}}}),
            json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
            json!({"spec": {"strategy": null}}),
            json!({"spec": {"minReadySeconds": 1}}),
        ],
        Kind::StatefulSet => vec![
            json!({"spec": {"replicas": 1 + random.below(4)}}),
            json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}),
            json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}}),
            json!({"spec": {"minReadySeconds": 1}}),
            json!({"spec": {"revisionHistoryLimit": 4}}),
            json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}}),
        ],
        Kind::Widget => vec![
            json!({"spec": {"size": 1 + random.below(8)}}),
            json!({"spec": {"size": null}}),
            json!({"spec": {"color": "green"}}),
            json!({"spec": {"tags": ["z"]}}),
            json!({"spec": {"ports": [{"name": "c"}]}}),
            json!({"spec": {"limits": {"memory": "1"}}}),
            json!({"spec": {"free": {"b": {"c": 1}}}}),
            json!({"spec": {"maybe": "text"}}),
            json!({"status": {"size": 2}}),
        ],
        Kind::Gadget => vec![
            json!({"spec": {"level": 7}}),
            json!({"spec": {"other": null, "new": [true]}}),
            json!({"extra": {"deep": 1}}),
            json!({"status": {"seen": false}}),
        ],
    };
    random.pick(&own).clone()
}

/// What somebody applies: a part of an object.
pub(super) fn applied(kind: Kind, name: &str, random: &mut Random) -> Value {
    if random.percent(50) {
        return object(kind, name, random);
    }
    let mut part =
        json!({"apiVersion": kind.api_version(), "kind": kind.name(), "metadata": {"name": name}});
    if random.percent(50) {
        part["metadata"]["labels"] = json!({"app": random.pick(&["a", "b"]), "own": "x"});
    }
    let own: Vec<Value> = match kind {
        Kind::ConfigMap => vec![
            json!({"data": {"one": "applied"}}),
            json!({"data": {"four": "4"}}),
            json!({}),
        ],
        Kind::Pod => vec![
            json!({"spec": {"containers": [{"name": "main", "image": "app:3"}]}}),
            json!({"spec": {"activeDeadlineSeconds": 30}}),
            json!({"metadata": {"name": name, "annotations": {"note": "applied"}}}),
        ],
        Kind::Service => vec![
            json!({"spec": {"ports": [{"port": 80, "name": "web"}]}}),
            json!({"spec": {"ports": [{"port": 90, "protocol": "TCP"}], "selector": {"app": "c"}}}),
        ],
        Kind::Deployment | Kind::StatefulSet => vec![
            json!({"spec": {"replicas": 2}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "app:3"}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "B", "value": "2"}]}]}}}}),
            json!({"spec": {"template": {"metadata": {"annotations": {"applied": "yes"}}}}}),
        ],
        Kind::Widget => vec![
            json!({"spec": {"size": 4}}),
            json!({"spec": {"color": "red", "tags": ["t"]}}),
            json!({"spec": {"color": "blue", "ports": [{"name": "a", "number": 2}]}}),
            json!({"spec": {"whole": {"b": "2"}}}),
            json!({"spec": {"limits": {"gpu": "1"}, "free": {"x": 1}}}),
        ],
        Kind::Gadget => vec![
            json!({"spec": {"level": 1}}),
            json!({"spec": {"list": [1, 2]}}),
            json!({"extra": "applied"}),
        ],
    };
    json_patch::merge(&mut part, random.pick(&own));
    part
}

/// A right status.
pub(super) fn status(kind: Kind, random: &mut Random) -> Value {
    let own: Vec<Value> = match kind {
        Kind::Pod => vec![
            json!({"phase": "Running"}),
            json!({"phase": "Succeeded", "message": "done"}),
            json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}),
            json!({"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}),
            json!({"containerStatuses": [{"name": "main", "image": "app", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}]}),
        ],
        Kind::Service => vec![
            json!({"loadBalancer": {}}),
            json!({"conditions": [{"type": "X", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}),
        ],
        Kind::Deployment => vec![
            json!({"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "observedGeneration": 1}),
            json!({"conditions": [{"type": "Available", "status": "True", "reason": "R", "message": "m"}]}),
        ],
        Kind::StatefulSet => vec![
            json!({"replicas": 2, "readyReplicas": 1, "currentRevision": "r1", "observedGeneration": 1}),
            json!({"replicas": 1, "availableReplicas": 1, "collisionCount": 0}),
        ],
        Kind::Widget => vec![
            json!({"size": 2, "selector": "app=a"}),
            json!({"phase": "Done"}),
            json!({"phase": "Waiting", "size": 0}),
        ],
        Kind::ConfigMap | Kind::Gadget => vec![json!({"seen": 1})],
    };
    random.pick(&own).clone()
}
