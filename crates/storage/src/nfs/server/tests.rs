//! Servers for classes of shares.

use std::collections::BTreeSet;

use super::*;
use crate::classes::class::Reclaim;

fn settings() -> Settings {
    Settings {
        namespace: "windlass-system".to_owned(),
        image: "registry.example/nfs-provisioner:v4".to_owned(),
        disk_class: None,
    }
}

fn share(class: &str, asked: &[&str]) -> Share {
    Share {
        class: class.to_owned(),
        made_for: "team/data".to_owned(),
        sizes: asked.iter().map(|it| it.parse().unwrap()).collect(),
        reclaim: Reclaim::Retain,
    }
}

fn all_there(disk: &str) -> Present {
    Present {
        disk: Some(disk.parse().unwrap()),
        address: Some("10.0.0.9".to_owned()),
        exports: true,
        set: true,
        class: true,
    }
}

/// Nothing but an address, with which a class can be made at once.
fn addressed() -> Present {
    Present {
        address: Some("10.0.0.9".to_owned()),
        ..Present::default()
    }
}

fn created(effects: &[Effect]) -> Vec<&Value> {
    let bodies = effects.iter().map(|effect| match effect {
        Effect::Create(body) => body,
        other => panic!("{other:?}"),
    });
    bodies.collect()
}

#[test]
fn a_server_is_made_of_these() {
    let share = share("nfs-shared", &["10Gi", "5Gi"]);
    for way in [Way::Csi, Way::Own] {
        let mut effects = effects(&share, &addressed(), way, &settings());
        effects.extend(super::effects(
            &share,
            &Present {
                address: None,
                ..all_there("99Gi")
            },
            way,
            &settings(),
        ));
        insta::assert_yaml_snapshot!(format!("{way:?}"), created(&effects));
    }
}

#[test]
fn two_classes_have_two_servers_and_two_disks() {
    let long = format!("nfs-{}", "x".repeat(200));
    let classes = ["nfs", "nfs.a", "nfs-a", long.as_str()];
    let mut names = BTreeSet::new();
    for class in classes {
        let share = share(class, &["1Gi"]);
        let effects = effects(&share, &addressed(), Way::Own, &settings());
        for body in created(&effects) {
            let name = body["metadata"]["name"].as_str().unwrap().to_owned();
            let kind = body["kind"].as_str().unwrap();
            assert!(name.len() <= 253, "{name}");
            assert!(names.insert(format!("{kind} {name}")), "{kind} {name}");
            if kind == "Service" {
                windlass_api::names::ServiceName::new(name).unwrap();
            }
        }
    }
}

#[test]
fn the_disk_has_room_for_all_claims_and_never_gets_smaller() {
    let size = |asked: &[&str]| disk_size(&share("nfs", asked)).unwrap().to_string();
    assert_eq!(size(&[]), "2Gi");
    assert_eq!(size(&["10Gi", "512Mi"]), "12800Mi");
    let after = |asked: &[&str], disk: &str| {
        effects(
            &share("nfs", asked),
            &all_there(disk),
            Way::Csi,
            &settings(),
        )
    };
    assert_eq!(after(&["10Gi"], "12Gi"), vec![]);
    assert_eq!(after(&["1Gi"], "12Gi"), vec![]);
    let [Effect::Patch { target, patch }] = &after(&["10Gi", "10Gi"], "12Gi")[..] else {
        panic!("the disk grows");
    };
    assert_eq!(target.name, "nfs-nfs-data");
    assert_eq!(patch["spec"]["resources"]["requests"]["storage"], "22Gi");
}

#[test]
fn what_is_there_is_not_made_again() {
    let half = Present {
        set: false,
        ..all_there("12Gi")
    };
    let effects = effects(&share("nfs", &["10Gi"]), &half, Way::Csi, &settings());
    let kinds: Vec<&Value> = created(&effects).iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["StatefulSet"]);
}
