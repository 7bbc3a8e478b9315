//! Servers for classes of shares.

use std::collections::BTreeSet;

use super::*;
use crate::classes::class::Reclaim;

fn settings() -> Settings {
    Settings {
        namespace: "windlass-system".to_owned(),
        image: "registry.example/nfs-provisioner:v4".to_owned(),
        disk_class: None,
        max_size: "1Ti".parse().unwrap(),
    }
}

fn share(class: &str, asked: &[&str]) -> Share {
    Share {
        class: class.to_owned(),
        made_for: "team/data".to_owned(),
        parts: asked
            .iter()
            .map(|size| Part {
                of: format!("the claim team/of-{size}"),
                size: size.parse().unwrap(),
            })
            .collect(),
        reclaim: Reclaim::Retain,
    }
}

fn all_there(disk: &str) -> Present {
    Present {
        disk: Some(Disk {
            size: disk.parse().unwrap(),
            is_bound: true,
        }),
        address: Some("10.0.0.9".to_owned()),
        exports: true,
        set: true,
        class: true,
        known_at: Some("10.0.0.9".to_owned()),
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
    let size = |asked: &[&str]| {
        let share = share("nfs", asked);
        disk_size(&share, settings().max_size).0.to_string()
    };
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
fn a_claim_of_an_absurd_size_takes_nothing_from_others() {
    let table: [(&[&str], &str, &[&str]); 5] = [
        (&["10Gi", "5Ei", "5Gi"], "17Gi", &["5Ei"]),
        (&["5Ei", "10Gi"], "12Gi", &["5Ei"]),
        (&["1022Gi"], "1Ti", &[]),
        (&["1023Gi"], "2Gi", &["1023Gi"]),
        (&["600Gi", "600Gi", "400Gi"], "1002Gi", &["600Gi"]),
    ];
    for (asked, size, left_out) in table {
        let share = share("nfs", asked);
        let (sum, out) = disk_size(&share, settings().max_size);
        let out: Vec<String> = out.iter().map(|it| it.size.to_string()).collect();
        assert_eq!(sum, size.parse().unwrap(), "{asked:?}");
        assert_eq!(out, left_out, "{asked:?}");
    }
}

#[test]
fn a_disk_asks_for_more_when_it_has_a_volume_and_holds_nothing_up() {
    let mut present = Present {
        set: false,
        class: false,
        ..all_there("1Gi")
    };
    let share = share("nfs", &["10Gi"]);
    let made = effects(&share, &present, Way::Csi, &settings());
    assert!(matches!(
        &made[..],
        [Effect::Create(_), Effect::Create(_), Effect::Patch { .. }]
    ));
    if let Some(disk) = &mut present.disk {
        disk.is_bound = false;
    }
    let made = effects(&share, &present, Way::Csi, &settings());
    let kinds: Vec<&Value> = created(&made).iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["StatefulSet", "StorageClass"]);
}

#[test]
fn a_service_that_is_made_anew_has_the_address_that_volumes_know() {
    let gone = Present {
        address: None,
        ..all_there("12Gi")
    };
    let made = effects(&share("nfs", &["10Gi"]), &gone, Way::Csi, &settings());
    let [service] = &created(&made)[..] else {
        panic!("{made:?}");
    };
    assert_eq!(service["spec"]["clusterIP"], "10.0.0.9");
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
