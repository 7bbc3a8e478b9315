//! Patches in the three formats that are no configuration.

use serde_json::{Value, json};

use super::{flaws, objects};
use crate::{
    kind::Kind,
    random::Random,
    sequence::{JSON_PATCH, STRATEGIC_PATCH},
};

/// A patch; `revision` is a request whose answer has a revision of the object.
pub(super) fn patch(
    format: &str,
    kind: Kind,
    revision: Option<usize>,
    random: &mut Random,
) -> Value {
    let mut patch = match format {
        JSON_PATCH => return json_patch(kind, revision, random),
        STRATEGIC_PATCH if !kind.is_custom() && random.percent(60) => strategic(kind, random),
        _ if random.percent(15) => flaws::change(kind, random),
        _ => objects::change(kind, random),
    };
    if let Some(id) = revision.filter(|_| random.percent(8)) {
        json_patch::merge(
            &mut patch,
            &json!({"metadata": {"resourceVersion": format!("{{{{rv:{id}}}}}")}}),
        );
    }
    patch
}

fn json_patch(kind: Kind, revision: Option<usize>, random: &mut Random) -> Value {
    let mut operations = vec![
        json!({"op": "add", "path": "/metadata/labels", "value": {"app": "c"}}),
        json!({"op": "add", "path": "/metadata/labels/added", "value": "yes"}),
        json!({"op": "replace", "path": "/metadata/labels/app", "value": "b"}),
        json!({"op": "remove", "path": "/metadata/labels/app"}),
        json!({"op": "remove", "path": "/metadata/labels/missing"}),
        json!({"op": "replace", "path": "/metadata/missing/deep", "value": 1}),
        json!({"op": "test", "path": "/metadata/name", "value": "a"}),
        json!({"op": "test", "path": "/metadata/labels/app", "value": "zzz"}),
        json!({"op": "copy", "from": "/metadata/name", "path": "/metadata/labels/name"}),
        json!({"op": "move", "from": "/metadata/labels/app", "path": "/metadata/labels/moved"}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {"patched": "yes"}}),
        json!({"op": "add", "path": "/metadata/finalizers", "value": ["conformance.windlass.dev/wait"]}),
        json!({"op": "remove", "path": "/metadata/finalizers"}),
        json!({"op": "remove", "path": "/metadata/finalizers/0"}),
        json!({"op": "wrong", "path": "/metadata/name"}),
        json!({"op": "add", "path": "no-slash", "value": 1}),
        json!({"op": "add", "path": "/unknown", "value": 1}),
        json!({"op": "replace", "path": "/kind", "value": "Other"}),
        json!({"op": "replace", "path": "/metadata/name", "value": "other"}),
    ];
    operations.extend(match kind {
        Kind::ConfigMap => vec![
            json!({"op": "add", "path": "/data/one", "value": "patched"}),
            json!({"op": "remove", "path": "/data/one"}),
            json!({"op": "add", "path": "/data/a~1b", "value": "x"}),
            json!({"op": "add", "path": "/data", "value": {}}),
        ],
        Kind::Pod => vec![
            json!({"op": "replace", "path": "/spec/containers/0/image", "value": "app:4"}),
            json!({"op": "add", "path": "/spec/tolerations/-", "value": {"key": "x", "operator": "Exists"}}),
            json!({"op": "remove", "path": "/spec/containers/0"}),
            json!({"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 20}),
        ],
        Kind::Service => vec![
            json!({"op": "replace", "path": "/spec/ports/0/port", "value": 8080}),
            json!({"op": "add", "path": "/spec/selector", "value": {"app": "c"}}),
            json!({"op": "add", "path": "/spec/ports/-", "value": {"port": 1, "name": "new"}}),
        ],
        Kind::Deployment | Kind::StatefulSet => vec![
            json!({"op": "replace", "path": "/spec/replicas", "value": 3}),
            json!({"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "app:4"}),
            json!({"op": "add", "path": "/spec/template/metadata/labels/x", "value": "y"}),
            json!({"op": "remove", "path": "/spec/selector"}),
            json!({"op": "remove", "path": "/spec/replicas"}),
        ],
        Kind::Widget => vec![
            json!({"op": "add", "path": "/spec/size", "value": 8}),
            json!({"op": "add", "path": "/spec/tags/-", "value": "t"}),
            json!({"op": "add", "path": "/spec/tags", "value": []}),
            json!({"op": "remove", "path": "/spec/color"}),
            json!({"op": "add", "path": "/spec/size", "value": "eight"}),
        ],
        Kind::Gadget => vec![
            json!({"op": "add", "path": "/spec/list", "value": [1]}),
            json!({"op": "replace", "path": "/spec/level", "value": 4}),
            json!({"op": "remove", "path": "/spec"}),
        ],
    });
    if let Some(id) = revision {
        operations.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": format!("{{{{rv:{id}}}}}")}));
        operations.push(
            json!({"op": "test", "path": "/metadata/uid", "value": format!("{{{{uid:{id}}}}}")}),
        );
    }
    if random.percent(2) {
        return json!({"op": "add"});
    }
    let count = 1 + random.below(3);
    (0..count)
        .map(|_| random.pick(&operations).clone())
        .collect()
}

fn strategic(kind: Kind, random: &mut Random) -> Value {
    let mut patches = vec![
        json!({"metadata": {"labels": {"app": "b", "tier": null}}}),
        json!({"metadata": {"finalizers": ["conformance.windlass.dev/other"]}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["conformance.windlass.dev/wait"]}}),
        json!({"metadata": {"labels": {"$patch": "replace", "only": "this"}}}),
        json!({"metadata": {"labels": {"$patch": "wrong"}}}),
        json!({"metadata": {"ownerReferences": [{"uid": "1", "apiVersion": "v1", "kind": "Pod", "name": "x"}]}}),
        json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "1"}]}}),
    ];
    patches.extend(match kind {
        Kind::ConfigMap => vec![
            json!({"data": {"one": "s"}}),
            json!({"data": {"one": null}}),
            json!({"data": {"$patch": "replace", "z": "1"}}),
            json!({"data": {"$patch": "delete"}}),
            json!({"data": null}),
        ],
        Kind::Pod => vec![
            json!({"spec": {"containers": [{"name": "main", "image": "app:5"}]}}),
            json!({"spec": {"tolerations": [{"key": "t", "operator": "Exists"}]}}),
            json!({"spec": {"containers": [{"$patch": "delete", "name": "main"}]}}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "side"}, {"name": "main"}]}}),
            json!({"spec": {"containers": [{"image": "nameless"}]}}),
        ],
        Kind::Service => vec![
            json!({"spec": {"ports": [{"port": 80, "name": "patched"}]}}),
            json!({"spec": {"ports": [{"port": 99, "name": "more"}]}}),
            json!({"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}),
            json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 7}]}}),
            json!({"spec": {"selector": {"app": null, "other": "x"}}}),
        ],
        Kind::Deployment | Kind::StatefulSet => {
            let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
            vec![
                json!({"spec": {"replicas": 1}}),
                pod(json!({"containers": [{"name": "main", "image": "app:5"}]})),
                pod(json!({"containers": [{"name": "more", "image": "app"}]})),
                pod(json!({"$setElementOrder/containers": [{"name": "more"}, {"name": "main"}], "containers": [{"name": "more", "image": "app"}]})),
                pod(json!({"containers": [{"name": "main", "env": [{"name": "A", "value": "9"}, {"name": "Z", "value": "0"}]}]})),
                pod(json!({"containers": [{"name": "main", "env": [{"name": "A", "$patch": "delete"}]}]})),
                pod(json!({"containers": [{"name": "main", "ports": [{"containerPort": 80, "name": "other"}]}]})),
                pod(json!({"volumes": [{"name": "scratch", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]})),
                pod(json!({"volumes": [{"name": "scratch", "$patch": "delete"}]})),
                json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
                json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}}}}}),
                pod(json!({"imagePullSecrets": [{"name": "more"}]})),
                pod(json!({"nodeSelector": {"$patch": "replace", "a": "b"}})),
            ]
        }
        Kind::Widget | Kind::Gadget => vec![],
    });
    random.pick(&patches).clone()
}
