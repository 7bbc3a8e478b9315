use super::*;
use crate::mirror::View;

fn world() -> World {
    World {
        claims: Vec::new(),
        volumes: Vec::new(),
        classes: vec![
            class("local-path", true, PROVISIONER),
            class("cloud", false, "cloud.example.com"),
        ],
        pods: Vec::new(),
        attached: BTreeSet::new(),
    }
}

fn class(name: &str, default: bool, provisioner: &str) -> (ObjectKey, Arc<StorageClass>) {
    let class = StorageClass::read(json!({
        "metadata": {"annotations": {
            "storageclass.kubernetes.io/is-default-class": default.to_string(),
        }},
        "provisioner": provisioner,
        "allowVolumeExpansion": true,
    }));
    (ObjectKey::cluster(name), Arc::new(class.unwrap()))
}

fn claim(name: &str, spec: Value, phase: &str) -> (ObjectKey, Arc<Claim>) {
    let mut object = json!({
        "metadata": {"uid": format!("uid-{name}")},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": phase},
    });
    if phase == "Bound" {
        object["status"]["capacity"] = json!({"storage": "1Gi"});
    }
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    (
        ObjectKey::namespaced("team", name),
        Arc::new(Claim::read(object).unwrap()),
    )
}

fn volume(
    name: &str,
    size: &str,
    claim: Option<(&str, &str)>,
    phase: &str,
) -> (ObjectKey, Arc<Volume>) {
    let mut object = json!({
        "metadata": {
            "uid": format!("vol-{name}"), "resourceVersion": "7",
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "local-path",
        },
        "status": {"phase": phase},
    });
    if let Some((name, uid)) = claim {
        object["spec"]["claimRef"] = json!({"namespace": "team", "name": name, "uid": uid});
    }
    (
        ObjectKey::cluster(name),
        Arc::new(Volume::read(object).unwrap()),
    )
}

#[test]
fn a_claim_without_a_class_gets_a_volume_of_the_default_one_named_after_it() {
    let mut world = world();
    world.claims.push(claim("data", json!({}), "Pending"));
    let steps = plan(&world);
    let [Step::Provision { volume, object, .. }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(volume, "pvc-uid-data");
    assert_eq!(object["spec"]["claimRef"]["uid"], "uid-data");
    assert_eq!(object["spec"]["capacity"]["storage"], "1Gi");
    assert_eq!(
        plan(&world),
        steps,
        "the same again, as the names are the same"
    );
}

#[test]
fn binding_goes_from_the_volume_to_the_claim_and_ends() {
    let mut world = world();
    world.claims.push(claim("data", json!({}), "Pending"));
    let reference = Some(("data", "uid-data"));
    world
        .volumes
        .push(volume("pvc-uid-data", "1Gi", reference, "Pending"));
    let steps = plan(&world);
    assert!(
        matches!(
            &steps[..],
            [
                Step::PatchClaim { .. },
                Step::VolumeStatus { .. },
                Step::ClaimStatus { .. }
            ]
        ),
        "{steps:?}"
    );
    let bound = json!({"volumeName": "pvc-uid-data"});
    world.claims = vec![claim("data", bound, "Bound")];
    world.volumes = vec![volume("pvc-uid-data", "1Gi", reference, "Bound")];
    assert_eq!(plan(&world), []);
}

#[test]
fn the_smallest_free_volume_that_will_do_is_taken_once() {
    let mut world = world();
    let class = json!({"storageClassName": "local-path"});
    world.claims.push(claim("a", class.clone(), "Pending"));
    world.claims.push(claim("b", class, "Pending"));
    world
        .volumes
        .push(volume("large", "10Gi", None, "Available"));
    world
        .volumes
        .push(volume("medium", "2Gi", None, "Available"));
    world
        .volumes
        .push(volume("small", "500Mi", None, "Available"));
    let chosen: Vec<String> = plan(&world)
        .iter()
        .map(|step| match step {
            Step::PatchVolume { volume, patch } => {
                format!("{} for {}", volume.name, patch["spec"]["claimRef"]["name"])
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(chosen, ["medium for \"a\"", "large for \"b\""]);
}

#[test]
fn a_volume_is_reclaimed_when_its_claim_and_its_last_user_are_gone() {
    let mut world = world();
    world
        .volumes
        .push(volume("old", "1Gi", Some(("data", "uid-old")), "Bound"));
    let user = Pod::read(json!({
        "metadata": {"uid": "p"},
        "spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
    }));
    world.pods = vec![(
        ObjectKey::namespaced("team", "user"),
        Arc::new(user.unwrap()),
    )];
    assert_eq!(plan(&world), []);
    world.pods.clear();
    assert!(
        matches!(&plan(&world)[..], [Step::Reclaim { claim_uid, .. }] if claim_uid == "uid-old")
    );
    let mut kept = (*world.volumes[0].1).clone();
    kept.reclaim = "Retain".to_owned();
    world.volumes[0].1 = Arc::new(kept);
    let steps = plan(&world);
    assert!(
        matches!(&steps[..], [Step::VolumeStatus { status, .. }] if status["phase"] == "Released"),
        "{steps:?}"
    );
}

#[test]
fn an_ephemeral_volume_gets_a_claim_that_its_pod_owns_once() {
    let mut world = world();
    let pod = |phase: &str| {
        let pod = Pod::read(json!({
            "metadata": {"uid": "p", "name": "worker"},
            "spec": {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
                "metadata": {"labels": {"use": "scratch"}},
                "spec": {"accessModes": ["ReadWriteOnce"]},
            }}}]},
            "status": {"phase": phase},
        }));
        (
            ObjectKey::namespaced("team", "worker"),
            Arc::new(pod.unwrap()),
        )
    };
    world.pods = vec![pod("Pending")];
    let steps = plan(&world);
    let [Step::Claim { claim: key, object }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(*key, ObjectKey::namespaced("team", "worker-scratch"));
    assert_eq!(object["metadata"]["namespace"], "team");
    assert_eq!(object["metadata"]["labels"]["use"], "scratch");
    assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "p");
    assert_eq!(object["spec"]["accessModes"][0], "ReadWriteOnce");
    let made = claim("worker-scratch", json!({}), "Pending");
    world.claims.push(made);
    assert!(
        matches!(&plan(&world)[..], [Step::Provision { .. }]),
        "made once"
    );
    world.claims.clear();
    world.pods = vec![pod("Failed")];
    assert_eq!(plan(&world), [], "an ended pod needs none");
}

#[test]
fn what_cannot_be_had_is_said() {
    let mut world = world();
    for (name, spec) in [
        ("a", json!({"storageClassName": "fast"})),
        ("b", json!({"storageClassName": ""})),
        ("c", json!({"storageClassName": "cloud"})),
        ("d", json!({"selector": {"matchLabels": {"disk": "ssd"}}})),
        ("e", json!({"volumeMode": "Block"})),
    ] {
        world.claims.push(claim(name, spec, "Pending"));
    }
    let said: Vec<String> = plan(&world)
        .into_iter()
        .map(|step| match step {
            Step::Complain { text, .. } => text,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said[0], "storageclass.storage.k8s.io \"fast\" not found");
    assert!(said[1].contains("no storage class is set"));
    assert!(said[2].contains("cloud.example.com"));
    assert!(said[3].contains("claim.spec.selector"));
    assert!(said[4].contains("claim.spec.volumeMode"));
}

/// A pod that uses the claim, on a node if one is given.
fn user(claim: &str, node: Option<&str>, phase: &str) -> (ObjectKey, Arc<Pod>) {
    let mut object = json!({
        "metadata": {"uid": "p"},
        "spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]},
        "status": {"phase": phase},
    });
    if let Some(node) = node {
        object["spec"]["nodeName"] = node.into();
    }
    (
        ObjectKey::namespaced("team", "user"),
        Arc::new(Pod::read(object).unwrap()),
    )
}

#[test]
fn a_claim_of_a_waiting_class_gets_its_volume_when_a_pod_that_uses_it_has_a_node() {
    let mut world = world();
    let mut waiting = (*world.classes[0].1).clone();
    waiting.binding = Binding::FirstConsumer;
    world.classes[0].1 = Arc::new(waiting);
    world.claims.push(claim("data", json!({}), "Pending"));
    world.volumes.push(volume("free", "1Gi", None, "Available"));
    let cases = [
        (None, true),
        (Some(user("data", None, "Pending")), true),
        (Some(user("other", Some("one"), "Pending")), true),
        (Some(user("data", Some("one"), "Succeeded")), true),
        (Some(user("data", Some("one"), "Pending")), false),
    ];
    for (pod, waits) in cases {
        world.pods = pod.into_iter().collect();
        let steps = plan(&world);
        let awaits = matches!(&steps[..], [Step::Await { .. }]);
        assert_eq!(awaits, waits, "{:?} {steps:?}", world.pods);
    }
    world.pods.clear();
    let reserved = volume("mine", "1Gi", Some(("data", "uid-data")), "Pending");
    world.volumes.push(reserved);
    let steps = plan(&world);
    assert!(
        matches!(&steps[0], Step::PatchClaim { .. }),
        "a volume that is reserved for it needs no pod: {steps:?}"
    );
}

#[test]
fn a_claim_that_asks_for_more_gets_it_first_in_its_volume_and_then_in_its_status() {
    let mut world = world();
    let reference = Some(("data", "uid-data"));
    let larger = json!({
        "volumeName": "pvc-uid-data", "resources": {"requests": {"storage": "3Gi"}},
    });
    world.claims.push(claim("data", larger, "Bound"));
    world
        .volumes
        .push(volume("pvc-uid-data", "1Gi", reference, "Bound"));
    let steps = plan(&world);
    let [Step::PatchVolume { patch, .. }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(patch["spec"]["capacity"]["storage"], "3Gi");
    world.volumes = vec![volume("pvc-uid-data", "3Gi", reference, "Bound")];
    let steps = plan(&world);
    let [Step::ClaimStatus { status, .. }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(*status, json!({"capacity": {"storage": "3Gi"}}));
    let mut grown = (*world.claims[0].1).clone();
    grown.capacity = "3Gi".parse().unwrap();
    world.claims[0].1 = Arc::new(grown);
    assert_eq!(plan(&world), []);

    world.volumes = vec![volume("pvc-uid-data", "1Gi", reference, "Bound")];
    let mut fixed = (*world.classes[0].1).clone();
    fixed.may_grow = false;
    world.classes[0].1 = Arc::new(fixed);
    assert!(
        matches!(
            &plan(&world)[..],
            [Step::Complain {
                reason: "VolumeResizeFailed",
                ..
            }]
        ),
        "its class does not allow it"
    );
}

#[test]
fn a_volume_is_shared_as_its_claim_wants_to() {
    let mut world = world();
    let shared = json!({"accessModes": ["ReadWriteMany", "ReadOnlyMany"]});
    world.claims.push(claim("data", shared, "Pending"));
    let steps = plan(&world);
    let [Step::Provision { object, .. }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(
        object["spec"]["accessModes"],
        json!(["ReadWriteMany", "ReadOnlyMany"])
    );
}
