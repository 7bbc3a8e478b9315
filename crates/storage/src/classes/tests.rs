//! Tables: what claims get where.

use std::fmt::Write as _;

use serde_json::{Value, json};
use windlass_engine::Object;
use windlass_engine::plan::Effect;

use super::claim::{self, Claim};
use super::decide::{Around, Decision, Reason, Why, decide, in_words as why};
use super::drivers::DRIVERS;
use super::evidence::{Evidence, Metadata, Source, detect};
use super::plan::{ASK, CONDITION, Observed, plan};
use super::provider::Provider;
use super::settings::{Settings, Table};

const MODES: [&str; 4] = [
    "ReadWriteOnce",
    "ReadWriteOncePod",
    "ReadWriteMany",
    "ReadOnlyMany",
];

fn claim_of(modes: &[&str], annotations: Value) -> Object {
    Object::new(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "team", "annotations": annotations},
        "spec": {
            "storageClassName": "made-up",
            "accessModes": modes,
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": "Pending"},
    }))
}

fn node(id: &str) -> Object {
    Object::new(json!({"metadata": {"name": "n"}, "spec": {"providerID": id}}))
}

fn driver(name: &str) -> Object {
    Object::new(json!({"metadata": {"name": name}}))
}

fn class(name: &str, provisioner: &str, parameters: Value) -> Object {
    Object::new(json!({
        "metadata": {"name": name}, "provisioner": provisioner, "parameters": parameters,
    }))
}

fn default_class(name: &str, provisioner: &str) -> Object {
    Object::new(json!({
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": provisioner,
    }))
}

/// A cluster of these nodes, drivers and classes.
fn cluster(nodes: &[&str], drivers: &[&str], classes: &[Object]) -> Around {
    let nodes: Vec<Object> = nodes.iter().map(|it| node(it)).collect();
    let drivers: Vec<Object> = drivers.iter().map(|it| driver(it)).collect();
    Around {
        is_wanted: true,
        has_own_volumes: false,
        evidence: Evidence::of(&nodes, &drivers, classes),
    }
}

fn in_words(decision: &Decision) -> String {
    match decision {
        Decision::Make(class) => {
            let class = serde_json::to_value(class).unwrap();
            let parameters = class["parameters"].as_object().unwrap().iter();
            let parameters: Vec<String> = parameters
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
                .collect();
            let grows = match &class["allowVolumeExpansion"] {
                Value::Bool(true) => "grows",
                Value::Bool(false) => "does not grow",
                _ => "nothing of growing",
            };
            format!(
                "{} {{{}}} {} {} {grows}",
                class["provisioner"].as_str().unwrap(),
                parameters.join(", "),
                class["volumeBindingMode"].as_str().unwrap(),
                class["reclaimPolicy"].as_str().unwrap(),
            )
        }
        Decision::Nothing(why) => format!("nothing: {why}"),
        Decision::Cannot(reason) => format!("{}: {reason}", reason.name()),
    }
}

fn decided(object: &Object, around: &Around, settings: &Settings) -> Decision {
    decide(&Claim::of(object), around, settings)
}

/// What each access mode gets.
fn table(lines: &mut String, title: &str, around: &Around, settings: &Settings) {
    writeln!(lines, "{title}").unwrap();
    for mode in MODES {
        let decision = decided(&claim_of(&[mode], json!({})), around, settings);
        writeln!(lines, "  {mode:<17} {}", in_words(&decision)).unwrap();
    }
}

/// The providers with what their nodes are called.
const NODES: [(Provider, &str); 9] = [
    (Provider::Aws, "aws:///eu-west-1a/i-1"),
    (Provider::Azure, "azure:///subscriptions/a"),
    (Provider::Google, "gce://project/zone/a"),
    (Provider::Alibaba, "cn-hangzhou.i-1"),
    (Provider::Oracle, "ocid1.instance.oc1.a"),
    (Provider::Ibm, "ibm://a"),
    (Provider::OpenStack, "openstack:///a"),
    (Provider::DigitalOcean, "digitalocean://1"),
    (Provider::VSphere, "vsphere://a"),
];

#[test]
fn each_provider_gives_what_its_installed_drivers_can() {
    let mut lines = String::new();
    for (provider, id) in NODES {
        let own = DRIVERS.iter().filter(|it| it.provider == Some(provider));
        let own: Vec<&str> = own.map(|it| it.name).collect();
        let title = format!("{provider}, all of its drivers");
        let settings = Settings::default();
        table(&mut lines, &title, &cluster(&[id], &own, &[]), &settings);
        let title = format!("{provider}, no driver");
        table(&mut lines, &title, &cluster(&[id], &[], &[]), &settings);
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn clusters_of_nobodys_machines_give_what_the_one_driver_can_or_the_usual_one() {
    let plain = |name: &str| class("there", name, json!({}));
    let ceph = json!({
        "clusterID": "rook", "pool": "replicated", "fsName": "files",
        "csi.storage.k8s.io/provisioner-secret-name": "secret",
        "csi.storage.k8s.io/provisioner-secret-namespace": "rook",
        "csi.storage.k8s.io/node-stage-secret-name": "secret",
    });
    let cases: [(&str, Around); 11] = [
        ("nothing", cluster(&[], &[], &[])),
        (
            "k3s with its directories",
            cluster(&["k3s://a"], &[], &[plain("rancher.io/local-path")]),
        ),
        (
            "the embedded cluster",
            cluster(
                &[""],
                &[],
                &[default_class("local-path", "windlass.dev/local-path")],
            ),
        ),
        ("topolvm", cluster(&[], &["topolvm.io"], &[])),
        ("longhorn", cluster(&[], &["driver.longhorn.io"], &[])),
        (
            "longhorn and topolvm",
            cluster(&[], &["driver.longhorn.io", "topolvm.io"], &[]),
        ),
        (
            "longhorn, and topolvm by default",
            cluster(
                &[],
                &["driver.longhorn.io", "topolvm.io"],
                &[default_class("usual", "topolvm.io")],
            ),
        ),
        (
            "ceph that nobody has set up",
            cluster(&[], &["rbd.csi.ceph.com", "cephfs.csi.ceph.com"], &[]),
        ),
        (
            "ceph with classes of its keeper",
            cluster(
                &[],
                &["rbd.csi.ceph.com", "cephfs.csi.ceph.com"],
                &[
                    class("a", "rbd.csi.ceph.com", ceph.clone()),
                    class("b", "cephfs.csi.ceph.com", ceph),
                ],
            ),
        ),
        (
            "disks of a provider that the nodes do not tell",
            cluster(&["kind://a"], &["ebs.csi.aws.com"], &[]),
        ),
        (
            "a driver for NFS on machines of DigitalOcean",
            cluster(
                &["digitalocean://1"],
                &["dobs.csi.digitalocean.com", "nfs.csi.k8s.io"],
                &[class(
                    "nfs",
                    "nfs.csi.k8s.io",
                    json!({"server": "10.0.0.1", "share": "/data"}),
                )],
            ),
        ),
    ];
    let mut lines = String::new();
    for (title, around) in cases {
        table(&mut lines, title, &around, &Settings::default());
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn the_original_table_has_the_original_provisioners() {
    let settings = Settings {
        table: Table::InTree,
        ..Settings::default()
    };
    let mut lines = String::new();
    for (provider, id) in NODES {
        table(
            &mut lines,
            provider.as_str(),
            &cluster(&[id], &[], &[]),
            &settings,
        );
    }
    table(&mut lines, "nobody", &cluster(&[], &[], &[]), &settings);
    insta::assert_snapshot!(lines);
}

#[test]
fn a_claim_chooses_among_what_there_is() {
    let aws = cluster(
        &["aws:///a/i-1"],
        &["ebs.csi.aws.com", "efs.csi.aws.com", "topolvm.io"],
        &[],
    );
    let mut settings = Settings::default();
    settings.parameters.insert(
        "efs.csi.aws.com".to_owned(),
        [("fileSystemId".to_owned(), "fs-1".to_owned())].into(),
    );
    let cases: [(&[&str], Value); 17] = [
        (
            &["ReadWriteOnce"],
            json!({claim::TYPE: "io2", claim::PARAMETERS: "iops=4000, encrypted=true"}),
        ),
        (
            &["ReadWriteOnce"],
            json!({claim::FS_TYPE: "xfs", claim::RECLAIM: "Retain"}),
        ),
        (&["ReadWriteOnce"], json!({claim::DRIVER: "topolvm.io"})),
        (
            &["ReadWriteOnce"],
            json!({claim::DRIVER: "driver.longhorn.io"}),
        ),
        (
            &["ReadWriteMany"],
            json!({claim::DRIVER: "ebs.csi.aws.com"}),
        ),
        (&["ReadWriteMany"], json!({})),
        (&["ReadWriteOnce", "ReadOnlyMany"], json!({})),
        (
            &["ReadWriteMany"],
            json!({claim::PARAMETERS: "fileSystemId=fs-2"}),
        ),
        (&["ReadWriteMany"], json!({claim::TYPE: "fast"})),
        (&["ReadWriteOnce"], json!({claim::PROVIDER: "google"})),
        (&["ReadWriteOnce"], json!({claim::PROVIDER: "amazon"})),
        (&["ReadWriteOnce"], json!({claim::RECLAIM: "Recycle"})),
        (&["ReadWriteOnce"], json!({claim::PARAMETERS: "iops"})),
        (
            &["ReadWriteOnce"],
            json!({claim::PARAMETERS: "iops=1,iops=2"}),
        ),
        (
            &["ReadWriteOnce"],
            json!({claim::PARAMETERS: "csi.storage.k8s.io/provisioner-secret-name=admin"}),
        ),
        (&["ReadWriteSometimes"], json!({})),
        (&[], json!({})),
    ];
    let mut lines = String::new();
    for (modes, annotations) in cases {
        let decision = decided(&claim_of(modes, annotations.clone()), &aws, &settings);
        writeln!(
            lines,
            "{} {annotations}\n  {}",
            modes.join("+"),
            in_words(&decision)
        )
        .unwrap();
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn the_arguments_of_the_operator_choose_before_the_evidence() {
    let aws = cluster(&["aws:///a/i-1"], &["ebs.csi.aws.com", "topolvm.io"], &[]);
    let prefer = |drivers: &[&str]| Settings {
        drivers: drivers.iter().map(|&it| it.to_owned()).collect(),
        ..Settings::default()
    };
    let provisioner = |settings: &Settings| match decided(
        &claim_of(&["ReadWriteOnce"], json!({})),
        &aws,
        settings,
    ) {
        Decision::Make(class) => class.provisioner,
        other => panic!("{other:?}"),
    };
    assert_eq!(provisioner(&Settings::default()), "ebs.csi.aws.com");
    assert_eq!(provisioner(&prefer(&["topolvm.io"])), "topolvm.io");
    // One that is not there, or does not do it, is passed over.
    let others = prefer(&["driver.longhorn.io", "nfs.csi.k8s.io", "topolvm.io"]);
    assert_eq!(provisioner(&others), "topolvm.io");
}

#[test]
fn a_class_of_kubernetes_own_provisioners_installs_nothing() {
    for provisioner in ["kubernetes.io/aws-ebs", "kubernetes.io/no-provisioner"] {
        let around = cluster(&[], &[], &[class("old", provisioner, json!({}))]);
        let object = claim_of(&["ReadWriteOnce"], json!({claim::DRIVER: provisioner}));
        let decision = decided(&object, &around, &Settings::default());
        let reason = Reason::NotInstalled(provisioner.to_owned());
        assert_eq!(decision, Decision::Cannot(reason));
    }
}

#[test]
fn a_device_without_a_file_system_is_made_by_who_can() {
    let mut object = claim_of(&["ReadWriteMany"], json!({})).into_value();
    object["spec"]["volumeMode"] = json!("Block");
    let object = Object::new(object);
    let aws = cluster(&["aws:///a/i-1"], &["ebs.csi.aws.com"], &[]);
    let decision = decided(&object, &aws, &Settings::default());
    assert_eq!(
        in_words(&decision),
        "NoDriver: no installed driver makes volumes for ReadWriteMany without a file system on machines of \
         aws: install rbd.csi.ceph.com"
    );
}

#[test]
fn claims_that_are_no_concern_of_ours_are_left_alone() {
    let around = cluster(
        &["aws:///a/i-1"],
        &["ebs.csi.aws.com"],
        &[class("gp2", "ebs.csi.aws.com", json!({}))],
    );
    let unwanted = Around {
        is_wanted: false,
        ..around.clone()
    };
    let by_hand = Around {
        has_own_volumes: true,
        ..around.clone()
    };
    let with = |path: &str, value: Value| {
        let mut object = claim_of(&["ReadWriteOnce"], json!({})).into_value();
        let (parent, field) = path.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        Object::new(object)
    };
    let usual = claim_of(&["ReadWriteOnce"], json!({}));
    for (object, around, why) in [
        (
            with("/status/phase", json!("Bound")),
            &around,
            Why::NotPending,
        ),
        (
            with("/status/phase", json!("Lost")),
            &around,
            Why::NotPending,
        ),
        (
            with("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
            &around,
            Why::Deleting,
        ),
        (
            with("/spec/storageClassName", json!(null)),
            &around,
            Why::NoClass,
        ),
        (
            with("/spec/storageClassName", json!("")),
            &around,
            Why::EmptyClass,
        ),
        (
            with("/spec/volumeName", json!("mine")),
            &around,
            Why::OwnVolume,
        ),
        (
            with("/spec/selector", json!({"matchLabels": {"disk": "mine"}})),
            &around,
            Why::OwnVolume,
        ),
        (
            with("/spec/storageClassName", json!("gp2")),
            &around,
            Why::ClassExists,
        ),
        (usual.clone(), &unwanted, Why::NotWanted),
        (usual.clone(), &by_hand, Why::VolumesByHand),
    ] {
        let decision = decided(&object, around, &Settings::default());
        assert_eq!(decision, Decision::Nothing(why));
    }
    let by_name = Settings {
        names: vec!["made-*".parse().unwrap()],
        ..Settings::default()
    };
    let decision = decided(&usual, &unwanted, &by_name);
    assert!(matches!(decision, Decision::Make(_)), "{decision:?}");
}

#[test]
fn evidence_counts_in_its_order_and_what_speaks_against_it_is_told() {
    let mut lines = String::new();
    let mut tell = |title: &str, around: &Around, set: Option<Provider>| {
        let detection = detect(&around.evidence, set);
        let by = detection.provider.map_or_else(
            || "nobody".to_owned(),
            |(provider, by)| format!("{provider} by {}", by.as_str()),
        );
        writeln!(lines, "{title}: {by}").unwrap();
        for line in &detection.contradictions {
            writeln!(lines, "  but {line}").unwrap();
        }
    };
    let in_tree = class("gp2", "kubernetes.io/aws-ebs", json!({}));
    let google = "gce://project/zone/a";
    let all = cluster(
        &[google],
        &["ebs.csi.aws.com"],
        std::slice::from_ref(&in_tree),
    );
    tell("a setting", &all, Some(Provider::Azure));
    tell("nodes, drivers and classes", &all, None);
    let none = cluster(&["kind://a"], &["ebs.csi.aws.com"], &[]);
    tell("a driver", &none, None);
    tell("a class", &cluster(&[], &[], &[in_tree]), None);
    let two = ["aws:///a/i-1", google];
    tell("two kinds of nodes", &cluster(&two, &[], &[]), None);
    tell(
        "two kinds of nodes, one of which has a driver",
        &cluster(&two, &["pd.csi.storage.gke.io"], &[]),
        None,
    );
    tell(
        "a stranger's nodes",
        &cluster(&["hcloud://1"], &[], &[]),
        None,
    );
    let mut asked = cluster(&[], &[], &[]);
    asked.evidence.metadata = Metadata::Asked([Provider::Oracle].into());
    tell("a metadata service", &asked, None);
    asked.evidence.metadata = Metadata::Asked([Provider::Oracle, Provider::Aws].into());
    tell("two metadata services", &asked, None);
    let ours = Object::new(json!({
        "metadata": {"name": "x", "labels": {"app.kubernetes.io/managed-by": "windlass"}},
        "provisioner": "ebs.csi.aws.com",
    }));
    tell(
        "a class that was made here",
        &cluster(&[], &[], &[ours]),
        None,
    );
    insta::assert_snapshot!(lines);
}

#[test]
fn a_class_says_who_made_it_and_of_what() {
    let around = cluster(&["aws:///a/i-1"], &["ebs.csi.aws.com"], &[]);
    let object = claim_of(&["ReadWriteOnce"], json!({claim::FS_TYPE: "xfs"}));
    let observed = Observed {
        around,
        refusal: None,
    };
    let plan = plan(&object, &observed, &Settings::default(), now());
    insta::assert_json_snapshot!(effects(&plan.effects));
    assert_eq!(plan.status, *object.status());
    assert_eq!(plan.events.len(), 1);
}

#[test]
fn a_claim_that_gets_no_class_says_so_once_and_no_longer_than_it_is_so() {
    let object = claim_of(&["ReadWriteOnce"], json!({}));
    let mut observed = Observed {
        around: cluster(&["aws:///a/i-1"], &[], &[]),
        refusal: None,
    };
    let settings = Settings::default();
    let first = plan(&object, &observed, &settings, now());
    insta::assert_json_snapshot!(effects(&first.effects));
    assert!(first.wake_at.is_some());
    let [Effect::ApplyStatus(body)] = &first.effects[..] else {
        panic!("{:?}", first.effects);
    };
    // Said is said.
    let mut told = object.into_value();
    told["status"]["conditions"] = body["status"]["conditions"].clone();
    let told = Object::new(told);
    let second = plan(&told, &observed, &settings, now());
    assert_eq!((second.effects, second.events), (vec![], vec![]));
    // The driver comes: the class is made, and when it is there the condition goes.
    observed.around = cluster(&["aws:///a/i-1"], &["ebs.csi.aws.com"], &[]);
    let third = plan(&told, &observed, &settings, now());
    assert!(matches!(&third.effects[..], [Effect::Create(_)]));
    let made = class("made-up", "ebs.csi.aws.com", json!({}));
    observed.around = cluster(&["aws:///a/i-1"], &["ebs.csi.aws.com"], &[made]);
    let last = plan(&told, &observed, &settings, now());
    let [Effect::ApplyStatus(body)] = &last.effects[..] else {
        panic!("{:?}", last.effects);
    };
    assert_eq!(body.get("status"), None);
    assert_eq!(last.wake_at, None);
}

#[test]
fn a_class_that_the_api_refuses_is_told_and_asked_for_again() {
    let object = claim_of(&["ReadWriteOnce"], json!({}));
    let observed = Observed {
        around: cluster(&["aws:///a/i-1"], &["ebs.csi.aws.com"], &[]),
        refusal: Some("a webhook does not like it".to_owned()),
    };
    let plan = plan(&object, &observed, &Settings::default(), now());
    let [Effect::ApplyStatus(body), Effect::Create(_)] = &plan.effects[..] else {
        panic!("{:?}", plan.effects);
    };
    let condition = &body["status"]["conditions"][0];
    assert_eq!(condition["type"], CONDITION);
    assert_eq!(condition["reason"], "Refused");
}

#[test]
fn metadata_services_are_asked_only_where_nothing_else_tells_and_they_may_be() {
    let object = claim_of(&["ReadWriteOnce"], json!({}));
    let asking = Settings {
        asks_metadata: true,
        ..Settings::default()
    };
    let asks = |around: Around, settings: &Settings| {
        let observed = Observed {
            around,
            refusal: None,
        };
        let effects = plan(&object, &observed, settings, now()).effects;
        effects.contains(&Effect::External {
            key: ASK.to_owned(),
        })
    };
    let unknown = cluster(&["hcloud://1"], &[], &[]);
    assert!(asks(unknown.clone(), &asking));
    assert!(!asks(unknown.clone(), &Settings::default()));
    assert!(!asks(cluster(&["aws:///a/i-1"], &[], &[]), &asking));
    let mut asked = unknown.clone();
    asked.evidence.metadata = Metadata::Asked([].into());
    assert!(!asks(asked, &asking));
    let unwanted = Around {
        is_wanted: false,
        ..unknown
    };
    assert!(!asks(unwanted, &asking));
}

#[test]
fn who_decides_is_the_nearest() {
    let around = cluster(&["aws:///a/i-1"], &["pd.csi.storage.gke.io"], &[]);
    let object = claim_of(&["ReadWriteOnce"], json!({claim::PROVIDER: "google"}));
    let decision = decided(&object, &around, &Settings::default());
    let Decision::Make(class) = decision else {
        panic!("{decision:?}");
    };
    assert_eq!(class.provisioner, "pd.csi.storage.gke.io");
    assert_eq!(class.why, why(Provider::Google, Source::Setting));
    let object = claim_of(&["ReadWriteOnce"], json!({}));
    let decision = decided(&object, &around, &Settings::default());
    assert!(
        matches!(&decision, Decision::Cannot(Reason::NoDriver { would, .. }) if would.contains(&"ebs.csi.aws.com".to_owned())),
        "{decision:?}"
    );
}

fn now() -> jiff::Timestamp {
    "2026-01-01T00:00:00.5Z".parse().unwrap()
}

fn effects(effects: &[Effect]) -> Vec<Value> {
    let told = effects.iter().map(|effect| match effect {
        Effect::Create(body) => json!({"create": body}),
        Effect::ApplyStatus(body) => json!({"applyStatus": body}),
        other => panic!("{other:?}"),
    });
    told.collect()
}
