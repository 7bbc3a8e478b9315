//! What claims of shares say, and when they are looked at again.

use serde_json::{Value, json};
use windlass_engine::plan::Effect;

use super::*;
use crate::classes::class::Reclaim;
use crate::nfs::server::Disk;
use crate::nfs::share::Part;

fn now() -> Timestamp {
    "2026-05-04T03:02:01Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now()
        .checked_sub(SignedDuration::from_secs(seconds))
        .unwrap()
}

fn settings() -> Settings {
    Settings {
        namespace: "windlass-nfs".to_owned(),
        image: "registry.example/nfs:v4".to_owned(),
        disk_class: None,
        max_size: "1Ti".parse().unwrap(),
    }
}

fn claim(phase: &str) -> Object {
    Object::new(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "team", "name": "data"},
        "spec": {"storageClassName": "nfs-shared", "accessModes": ["ReadWriteMany"]},
        "status": {"phase": phase},
    }))
}

fn disk(size: &str) -> Disk {
    Disk {
        size: size.parse().unwrap(),
        is_bound: true,
    }
}

fn complete() -> Present {
    Present {
        disk: Some(disk("12Gi")),
        address: Some("10.0.0.9".to_owned()),
        exports: true,
        set: true,
        class: true,
        known_at: Some("10.0.0.9".to_owned()),
    }
}

fn part(claim: &str, size: &str) -> Part {
    Part {
        of: format!("the claim team/{claim}"),
        size: size.parse().unwrap(),
    }
}

fn keeping(present: Present, standing: Standing) -> Keeping {
    Keeping {
        share: Share {
            class: "nfs-shared".to_owned(),
            made_for: "team/data".to_owned(),
            parts: vec![part("data", "10Gi")],
            reclaim: Reclaim::Retain,
        },
        present,
        taken: Vec::new(),
        way: Way::Csi,
        standing,
        refusal: None,
    }
}

fn keeper(present: Present, standing: Standing) -> Observed {
    Observed::Keeper(Box::new(keeping(present, standing)))
}

/// Kinds of what is made, the reason that is shown, the seconds until the next look.
fn decided(phase: &str, observed: &Observed) -> (Vec<String>, Option<String>, Option<i64>) {
    let object = claim(phase);
    let plan = plan(&object, observed, &settings(), now());
    let mut made = Vec::new();
    let mut reason = None;
    for effect in &plan.effects {
        match effect {
            Effect::Create(body) => made.push(body["kind"].as_str().unwrap().to_owned()),
            Effect::Patch { target, .. } => made.push(format!("more {}", target.kind)),
            Effect::ApplyStatus(body) => {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                reason = Some(text(&body["status"]["conditions"][0]["reason"]));
            }
            other => panic!("{other:?}"),
        }
    }
    let wait = plan.wake_at.map(|at| at.duration_since(now()).as_secs());
    (made, reason, wait)
}

#[test]
fn a_class_is_made_when_its_server_has_an_address() {
    let nothing = keeper(Present::default(), Standing::Absent);
    let (made, reason, wait) = decided("Pending", &nothing);
    let kinds = [
        "PersistentVolumeClaim",
        "Service",
        "ConfigMap",
        "StatefulSet",
    ];
    assert_eq!(made, kinds);
    assert_eq!((reason, wait), (None, Some(2)));
    let addressed = Present {
        class: false,
        ..complete()
    };
    let (made, _, wait) = decided("Pending", &keeper(addressed, Standing::Starting(ago(1))));
    assert_eq!((made, wait), (vec!["StorageClass".to_owned()], Some(2)));
    let rest = keeper(complete(), Standing::Ready);
    assert_eq!(decided("Bound", &rest), (vec![], None, Some(300)));
    assert_eq!(decided("Pending", &rest), (vec![], None, Some(15)));
    let narrow = Present {
        disk: Some(disk("11Gi")),
        ..complete()
    };
    let (made, ..) = decided("Bound", &keeper(narrow, Standing::Ready));
    assert_eq!(made, ["more PersistentVolumeClaim"]);
}

#[test]
fn a_claim_tells_trouble_and_only_while_it_waits() {
    let starting = |seconds| keeper(complete(), Standing::Starting(ago(seconds)));
    let late = Some("ServerNotReady".to_owned());
    assert_eq!(decided("Pending", &starting(59)).1, None);
    assert_eq!(decided("Pending", &starting(61)).1, late);
    assert_eq!(decided("Bound", &starting(61)).1, None);
    let served = Observed::Served(Standing::Starting(ago(61)), None);
    assert_eq!(decided("Pending", &served), (vec![], late, Some(15)));
    assert_eq!(decided("Bound", &served), (vec![], None, None));

    let narrow = Present {
        disk: Some(disk("1Gi")),
        ..complete()
    };
    let refused = Keeping {
        refusal: Some("the class cannot expand".to_owned()),
        ..keeping(narrow, Standing::Ready)
    };
    let told = Observed::Keeper(Box::new(refused.clone()));
    let (made, reason, _) = decided("Bound", &told);
    assert_eq!(made, ["more PersistentVolumeClaim"]);
    assert_eq!(reason.as_deref(), Some("Refused"));
    let taken = Keeping {
        taken: vec!["the Service nfs-nfs-shared".to_owned()],
        ..refused
    };
    let taken = Observed::Keeper(Box::new(taken));
    let (made, reason, _) = decided("Pending", &taken);
    assert_eq!((made, reason.as_deref()), (vec![], Some("NameTaken")));
    let trouble = Trouble::on(&claim_told(&taken));
    let served = Observed::Served(Standing::Absent, trouble);
    assert_eq!(
        decided("Pending", &served),
        (vec![], Some("NameTaken".to_owned()), Some(15)),
        "those that wait tell it, too"
    );
    assert_eq!(decided("Bound", &served), (vec![], None, None));
    assert_eq!(
        decided("Pending", &Observed::NoConcern),
        (vec![], None, None)
    );
}

/// A claim with what the plan makes it show.
fn claim_told(observed: &Observed) -> Object {
    let plan = plan(&claim("Pending"), observed, &settings(), now());
    let Some(Effect::ApplyStatus(body)) = plan.effects.into_iter().next() else {
        panic!("nothing is shown");
    };
    Object::new(body)
}

#[test]
fn a_claim_that_has_no_room_is_named() {
    let mut keeping = keeping(complete(), Standing::Ready);
    keeping
        .share
        .parts
        .extend([part("wrong", "5Ei"), part("late", "2Ti")]);
    let shown = claim_told(&Observed::Keeper(Box::new(keeping)));
    let condition = &shown.status()["conditions"][0];
    assert_eq!(condition["reason"], "NoRoom");
    assert_eq!(
        condition["message"],
        "the claim team/wrong asks for 5Ei, and 1 more, which the disk of the NFS server \
         windlass-nfs/nfs-nfs-shared has no room for: it has 12Gi for what is older, and may have 1Ti \
         (--storage-nfs-max-size); ask for less, or allow more"
    );
}

#[test]
fn a_trouble_is_read_as_it_was_written() {
    for reason in Reason::ALL {
        let Shown::Trouble { reason: name, text } = reason.told("why".to_owned()) else {
            panic!("{reason:?}");
        };
        let claim = Object::new(json!({"status": {"conditions": [
            {"type": CONDITION, "status": "False", "reason": name, "message": text},
        ]}}));
        assert_eq!(Trouble::on(&claim), Some(Trouble { reason, text }));
    }
    assert_eq!(Trouble::on(&claim("Pending")), None);
}
