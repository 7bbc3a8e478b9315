//! Laws of the decision, for whatever clusters and claims there are.

use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_api::names::{DnsSubdomain, check_label_key};
use windlass_engine::Object;

use super::claim::{self, Claim};
use super::decide::{Around, Decision, decide};
use super::drivers::{DRIVERS, Driver};
use super::evidence::{Evidence, Metadata};
use super::provider::Provider;
use super::settings::{Settings, Table};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9.-]{0,20}",
        1 => ".{0,12}",
    ]
}

fn driver_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(DRIVERS).prop_map(|it| it.name.to_owned()),
        1 => text(),
    ]
}

fn provider_id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "(aws|gce|azure|openstack|kind|hcloud)://[a-z]{0,4}",
        text(),
    ]
}

fn object_of_class() -> impl Strategy<Value = Object> {
    let parameters = proptest::collection::btree_map(
        prop_oneof![
            Just("fileSystemId".to_owned()),
            Just("server".to_owned()),
            Just("share".to_owned()),
            text()
        ],
        text(),
        0..4,
    );
    (
        text(),
        driver_name(),
        parameters,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(name, provisioner, parameters, is_default, is_ours)| {
            let labels = if is_ours {
                json!({"app.kubernetes.io/managed-by": "windlass"})
            } else {
                json!({})
            };
            Object::new(json!({
                "metadata": {
                    "name": name,
                    "labels": labels,
                    "annotations": {
                        "storageclass.kubernetes.io/is-default-class": is_default.to_string(),
                    },
                },
                "provisioner": provisioner,
                "parameters": parameters,
            }))
        })
}

fn around() -> impl Strategy<Value = Around> {
    let nodes = proptest::collection::vec(provider_id(), 0..3);
    let drivers = proptest::collection::vec(driver_name(), 0..4);
    let classes = proptest::collection::vec(object_of_class(), 0..4);
    let answers = proptest::option::of(proptest::collection::btree_set(
        proptest::sample::select(&Provider::ALL),
        0..3,
    ));
    (nodes, drivers, classes, answers, any::<bool>()).prop_map(
        |(nodes, drivers, classes, answers, has_own_volumes)| {
            let of = |field: Value| Object::new(field);
            let nodes: Vec<Object> = nodes
                .iter()
                .map(|id| of(json!({"metadata": {"name": "n"}, "spec": {"providerID": id}})))
                .collect();
            let drivers: Vec<Object> = drivers
                .iter()
                .map(|name| of(json!({"metadata": {"name": name}})))
                .collect();
            let mut evidence = Evidence::of(&nodes, &drivers, &classes);
            evidence.metadata = answers.map_or(Metadata::NotAsked, Metadata::Asked);
            Around {
                is_wanted: true,
                has_own_volumes,
                evidence,
            }
        },
    )
}

fn claim() -> impl Strategy<Value = Claim> {
    let mode = prop_oneof![
        8 => proptest::sample::select(vec![
            "ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany",
        ]).prop_map(str::to_owned),
        1 => text(),
    ];
    let annotation = prop_oneof![
        driver_name().prop_map(|it| (claim::DRIVER, it)),
        text().prop_map(|it| (claim::TYPE, it)),
        text().prop_map(|it| (claim::FS_TYPE, it)),
        "(Delete|Retain|Recycle)".prop_map(|it| (claim::RECLAIM, it)),
        "(aws|google|azure|nobody)".prop_map(|it| (claim::PROVIDER, it)),
        "[a-zA-Z]{0,6}=[a-z]{0,3}(,iops=3)?".prop_map(|it| (claim::PARAMETERS, it)),
    ];
    let annotations = proptest::collection::vec(annotation, 0..2);
    let modes = proptest::collection::vec(mode, 0..3);
    (text(), modes, annotations, any::<bool>()).prop_map(|(class, modes, annotations, is_raw)| {
        let annotations: serde_json::Map<String, Value> = annotations
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        Claim::of(&Object::new(json!({
            "metadata": {"name": "data", "namespace": "team", "annotations": annotations},
            "spec": {
                "storageClassName": class,
                "accessModes": modes,
                "volumeMode": if is_raw { "Block" } else { "Filesystem" },
            },
        })))
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let drivers = proptest::collection::vec(driver_name(), 0..2);
    let provider = proptest::option::weighted(0.2, proptest::sample::select(&Provider::ALL));
    (drivers, provider).prop_map(|(drivers, provider)| Settings {
        provider,
        drivers,
        ..Settings::default()
    })
}

proptest! {
    #[test]
    fn a_class_has_a_driver_that_is_there_and_all_that_it_asks_for(
        claim in claim(), around in around(), settings in settings()
    ) {
        let Decision::Make(class) = decide(&claim, &around, &settings) else {
            return Ok(());
        };
        let evidence = &around.evidence;
        let driver = Driver::named(&class.provisioner);
        let by_class = evidence.classes_of(&class.provisioner).next().is_some();
        prop_assert!(evidence.drivers.contains(&class.provisioner) || by_class);
        prop_assert!(evidence.is_installed(&class.provisioner));
        prop_assert!(!evidence.classes.contains_key(&class.name));
        for group in driver.map_or(&[][..], |it| it.asks) {
            prop_assert!(group.iter().any(|one| class.parameters.contains_key(*one)), "{group:?}");
        }
        if let Some(driver) = driver {
            prop_assert!(driver.does(claim.need().unwrap(), claim.is_raw));
        }
    }

    #[test]
    fn what_is_made_has_names_that_the_api_takes(
        claim in claim(), around in around(), settings in settings()
    ) {
        let Decision::Make(class) = decide(&claim, &around, &settings) else {
            return Ok(());
        };
        let object = class.object("team/data");
        prop_assert_eq!(&class.name, claim.class.as_ref().unwrap());
        prop_assert!(DnsSubdomain::new(class.name.clone()).is_ok());
        for part in ["labels", "annotations"] {
            for key in object["metadata"][part].as_object().unwrap().keys() {
                prop_assert!(check_label_key(key).is_ok(), "{key}");
            }
        }
        for value in object["metadata"]["labels"].as_object().unwrap().values() {
            prop_assert!(windlass_api::names::LabelValue::new(value.as_str().unwrap()).is_ok());
        }
    }

    #[test]
    fn a_claim_brings_no_secret_into_a_class(
        claim in claim(), around in around(), settings in settings()
    ) {
        let Decision::Make(class) = decide(&claim, &around, &settings) else {
            return Ok(());
        };
        let common = around.evidence.common_parameters(&class.provisioner);
        for name in class.parameters.keys().filter(|it| it.contains("secret")) {
            prop_assert!(common.contains_key(name), "{name}");
        }
    }

    #[test]
    fn the_original_table_answers_everything(claim in claim(), around in around()) {
        let settings = Settings { table: Table::InTree, ..Settings::default() };
        if let Decision::Make(class) = decide(&claim, &around, &settings) {
            prop_assert!(class.provisioner.starts_with("kubernetes.io/"));
        }
    }
}
