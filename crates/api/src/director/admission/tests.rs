use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::decode::decode;
use crate::director::cluster::{
    AppCatalog, ClusterState, ClusterStatus, FileInjection, NamingScheme,
};
use crate::director::config::ConfigSpec;
use crate::director::{Hidden, KubeDirectorApp, KubeDirectorCluster, KubeDirectorConfig};
use crate::field::FieldError;

mod table;

fn app() -> Value {
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorApp",
        "metadata": { "name": "db", "namespace": "team" },
        "spec": {
            "label": { "name": "Database" }, "distroID": "example/db", "version": "1.0",
            "configSchemaVersion": 8, "defaultImageRepoTag": "example/db:1",
            "defaultPersistDirs": ["/var/lib/db"],
            "roles": [
                {
                    "id": "seed", "cardinality": "2+",
                    "minResources": { "memory": "2Gi", "example.com/disk": "1" },
                    "minStorage": { "size": "10Gi", "ephemeralModeSupported": true },
                },
                { "id": "worker", "cardinality": "0+" },
                { "id": "witness", "cardinality": "3" },
            ],
            "config": { "selectedRoles": ["seed", "worker"], "roleServices": [] },
        },
    })
}

fn cluster() -> Value {
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": { "name": "prod", "namespace": "team" },
        "spec": {
            "app": "db",
            "roles": [
                {
                    "id": "seed",
                    "resources": { "limits": {
                        "memory": "4Gi", "cpu": "2", "example.com/disk": "1",
                    } },
                    "storage": { "size": "20Gi" },
                },
                {
                    "id": "worker", "members": 2,
                    "resources": { "limits": { "memory": "4Gi", "cpu": "2" } },
                },
            ],
        },
    })
}

fn read<K>(object: &Value) -> K
where
    K: kube::Resource<DynamicType = ()> + kube::CustomResourceExt + serde::de::DeserializeOwned,
{
    decode(object).unwrap_or_else(|error| panic!("{error}"))
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Surroundings in which there is everything that a cluster needs.
pub(in crate::director) fn with_everything(
    cluster: &KubeDirectorCluster,
    app: &KubeDirectorApp,
) -> Surroundings {
    let needs = needs(cluster);
    let claim = Claim {
        volume_mode: VolumeMode::Filesystem,
        access_modes: [AccessMode::ReadWriteMany].into(),
    };
    Surroundings {
        local_app: Some(app.clone()),
        system_app: None,
        config: None,
        storage_classes: StorageClasses {
            names: names(&["standard", "fast", "block"]),
            expandable: names(&["standard"]),
            default: Some("standard".to_owned()),
        },
        secrets: needs.secrets,
        service_accounts: needs.service_accounts,
        claims: needs
            .claims
            .into_iter()
            .map(|it| (it, claim.clone()))
            .collect(),
        reviews: Some(needs.reviews),
        urls: Some(needs.urls.into_iter().map(|it| (it, Ok(()))).collect()),
        kubernetes_minor: Some(34),
    }
}

fn told(errors: &[FieldError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn sealed(defaulted: Defaulted) -> KubeDirectorCluster {
    let seal = |text: &SecretText| Ok::<_, ()>(format!("sealed:{}", text.text.expose().len()));
    defaulted.seal(seal).unwrap()
}

#[test]
fn a_cluster_is_stored_with_its_defaults() {
    let mut object = cluster();
    object["spec"]["defaultSecret"] = json!({ "name": "keys", "mountPath": "/keys" });
    object["spec"]["roles"][1]["secret"] = json!({ "name": "own", "mountPath": "/own" });
    object["spec"]["roles"][1]["blockStorage"] =
        json!({ "pathPrefix": "/data/disk", "numDevices": 2 });
    object["spec"]["roles"][1]["secretKeys"] = json!([{ "name": "password", "value": "hunter2" }]);
    let cluster: KubeDirectorCluster = read(&object);
    let around = with_everything(&cluster, &read(&app()));
    let defaulted = admit(Request::Create, &cluster, &around).unwrap();
    assert_eq!(defaulted.texts().len(), 1);
    insta::assert_yaml_snapshot!(sealed(defaulted).spec);
}

#[test]
fn the_configuration_says_what_holds_where_a_cluster_does_not() {
    let cluster: KubeDirectorCluster = read(&cluster());
    let mut around = with_everything(&cluster, &read(&app()));
    around.config = serde_json::from_value(json!({
        "defaultStorageClassName": "fast",
        "defaultServiceType": "NodePort",
        "defaultNamingScheme": "CrNameRole",
    }))
    .unwrap();
    let stored = sealed(admit(Request::Create, &cluster, &around).unwrap()).spec;
    let stored = serde_json::to_value(stored).unwrap();
    assert_eq!(stored["serviceType"], "NodePort");
    assert_eq!(stored["namingScheme"], "CrNameRole");
    assert_eq!(stored["roles"][0]["storage"]["storageClassName"], "fast");
}

#[test]
fn an_application_is_looked_for_here_and_then_in_the_catalog_of_the_system() {
    let mut object = cluster();
    let cluster: KubeDirectorCluster = read(&object);
    let mut around = with_everything(&cluster, &read(&app()));
    let catalog = |object: &Value, around: &Surroundings| {
        let admitted = admit(Request::Create, &read(object), around);
        admitted.map(|it| it.into_parts().0.spec.app_catalog.map(|it| it.as_str()))
    };
    assert_eq!(catalog(&object, &around).unwrap(), Some("local"));
    around.system_app = around.local_app.clone();
    assert_eq!(catalog(&object, &around).unwrap(), Some("local"));
    around.local_app = None;
    assert_eq!(catalog(&object, &around).unwrap(), Some("system"));
    object["spec"]["appCatalog"] = json!("local");
    assert!(catalog(&object, &around).is_err());
}

#[test]
fn a_secret_text_is_encrypted_once_and_shown_by_nothing() {
    let mut object = cluster();
    object["spec"]["roles"][0]["secretKeys"] = json!([
        { "name": "password", "value": "hunter2" }, { "name": "empty" },
    ]);
    let cluster: KubeDirectorCluster = read(&object);
    let around = with_everything(&cluster, &read(&app()));
    let defaulted = admit(Request::Create, &cluster, &around).unwrap();
    let shown = format!("{cluster:?} {defaulted:?} {:?}", defaulted.texts());
    assert!(!shown.contains("hunter2"), "{shown}");
    let stored = sealed(defaulted);
    let keys = &stored.spec.roles[0].secret_keys;
    assert_eq!(keys[0].encrypted_value, "sealed:7");
    assert!(keys[0].value.is_empty());
    assert_eq!(keys[1].encrypted_value, "sealed:0");
    // What is encrypted may be sent back, and stays as it is.
    let mut stored = stored;
    stored.metadata.generation = Some(1);
    stored.status = Some(ClusterStatus {
        state: ClusterState::Configured,
        observed_generation: Some(1),
        ..ClusterStatus::default()
    });
    let mut changed = stored.clone();
    changed.spec.roles[1].members = Some(3);
    let admitted = admit(Request::Update(&stored), &changed, &around).unwrap();
    assert!(admitted.texts().is_empty());
    assert_eq!(sealed(admitted), changed);
}

#[test]
fn a_secret_text_of_another_type_is_not_shown_either() {
    let mut object = cluster();
    object["spec"]["roles"][0]["secretKeys"] = json!([{ "name": "pin", "value": 4711 }]);
    let error = decode::<KubeDirectorCluster>(&object).unwrap_err();
    assert_eq!(
        error.to_string(),
        "spec.roles[0].secretKeys[0].value: must be a text; write it in quotes"
    );
}

#[test]
fn what_nobody_reads_is_not_asked_for() {
    let mut object = cluster();
    object["spec"]["roles"][0]["serviceAccountName"] = json!("db");
    object["spec"]["roles"][0]["fileInjections"] =
        json!([{ "srcURL": "https://example.com/a", "destDir": "/opt" }]);
    let cluster: KubeDirectorCluster = read(&object);
    let mut around = with_everything(&cluster, &read(&app()));
    around.reviews = None;
    around.urls = None;
    assert!(admit(Request::Stored(&Kept::default()), &cluster, &around).is_ok());
}

#[test]
fn what_objects_were_made_from_holds_where_the_stored_cluster_does_not_say() {
    let cluster: KubeDirectorCluster = read(&cluster());
    let mut around = with_everything(&cluster, &read(&app()));
    let made = admit(Request::Stored(&Kept::default()), &cluster, &around).unwrap();
    let (made, _) = made.into_parts();
    let kept = |cluster: &KubeDirectorCluster| {
        let roles = cluster.spec.roles.iter().map(|role| {
            let kept = KeptRole::of(AppCatalog::Local, NamingScheme::Uid, role);
            let text = serde_json::to_string(&kept).unwrap();
            (role.id.clone(), serde_json::from_str(&text).unwrap())
        });
        roles.collect::<Kept>()
    };
    let kept = kept(&made);
    // Neither a configuration nor an application that comes later makes another cluster of it.
    around.config = serde_json::from_value(json!({
        "defaultStorageClassName": "fast", "defaultNamingScheme": "CrNameRole",
    }))
    .ok();
    around.system_app = around.local_app.clone();
    let again = admit(Request::Stored(&kept), &cluster, &around).unwrap();
    assert_eq!(again.into_parts().0.spec, made.spec);
    let around = Surroundings {
        local_app: None,
        ..around
    };
    let errors = admit(Request::Stored(&kept), &cluster, &around).unwrap_err();
    assert!(told(&errors).contains("local catalog"), "{errors:?}");
}

#[test]
fn without_a_webhook_what_cannot_change_is_told_alone_and_changed_back() {
    let old: KubeDirectorCluster = read(&cluster());
    let around = with_everything(&old, &read(&app()));
    let (made, _) = admit(Request::Create, &old, &around).unwrap().into_parts();
    let roles = made.spec.roles.iter();
    let kept: Kept = roles
        .map(|role| {
            let kept = KeptRole::of(AppCatalog::Local, NamingScheme::Uid, role);
            (role.id.clone(), kept)
        })
        .collect();
    let told_of = |change: &dyn Fn(&mut KubeDirectorCluster)| {
        let mut changed = old.clone();
        change(&mut changed);
        let admitted = admit(Request::Stored(&kept), &changed, &around);
        admitted.map_or_else(|errors| told(&errors), |_| String::new())
    };
    for (change, expected) in [
        (
            (|it| it.spec.naming_scheme = Some(NamingScheme::Original))
                as fn(&mut KubeDirectorCluster),
            "spec.namingScheme: cannot change",
        ),
        (
            |it| {
                it.spec.roles[0].members = Some(1);
                it.spec.roles[0].storage = None;
            },
            "spec.roles[0].storage: cannot change",
        ),
        (
            |it| it.spec.roles[0].storage.as_mut().unwrap().size = "15Gi".to_owned(),
            "spec.roles[0].storage.size: \"15Gi\": cannot be less than 20Gi",
        ),
        (
            |it| it.spec.roles[0].storage.as_mut().unwrap().size = "30Gi".to_owned(),
            "",
        ),
        (
            |it| {
                it.spec.roles[1]
                    .file_injections
                    .push(FileInjection::default());
            },
            "spec.roles[1].fileInjections: cannot change",
        ),
        (
            |it| it.spec.app_catalog = Some(AppCatalog::System),
            "spec.appCatalog: ",
        ),
        (|it| it.spec.roles[1].members = Some(5), ""),
        (|_| {}, ""),
    ] {
        let told = told_of(&change);
        assert!(told.starts_with(expected), "{expected}: {told}");
        assert!(told.lines().count() <= 1, "{told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{told}");
    }
}

#[test]
fn a_cluster_that_a_backup_puts_back_is_taken_as_it_is_by_who_may() {
    let mut object = cluster();
    object["metadata"]["annotations"] =
        json!({ "kubedirector.hpe.com/status-backup-exists": "true" });
    object["spec"]["roles"][0]["serviceAccountName"] = json!("db");
    object["spec"]["roles"][0]["secretKeys"] =
        json!([{ "name": "password", "encryptedValue": "00ff" }]);
    let cluster: KubeDirectorCluster = read(&object);
    let nothing = Surroundings {
        reviews: Some([Review::of_account("db")].into()),
        ..Surroundings::default()
    };
    let admitted = admit(Request::Create, &cluster, &nothing).unwrap();
    assert_eq!(sealed(admitted), cluster);
    let nobody = Surroundings {
        reviews: Some(BTreeSet::new()),
        ..Surroundings::default()
    };
    let errors = admit(Request::Create, &cluster, &nobody).unwrap_err();
    assert_eq!(
        told(&errors),
        "spec.roles: uses the serviceaccounts db, which is not yours to use: ask for the right to \
         impersonate it"
    );
}

#[test]
fn an_update_of_something_else_is_never_refused() {
    let old: KubeDirectorCluster = read(&cluster());
    let mut new = old.clone();
    new.metadata.labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    let admitted = admit(Request::Update(&old), &new, &Surroundings::default()).unwrap();
    assert_eq!(sealed(admitted), new);
}

#[test]
fn an_application_in_use_keeps_its_specification() {
    let old: KubeDirectorApp = read(&app());
    let users = |count: usize| -> Vec<String> {
        (1..=count)
            .map(|number| format!("team/c{number}"))
            .collect()
    };
    let mut labelled = old.clone();
    labelled.metadata.labels = Some(BTreeMap::new());
    let folded = admit_app(Some(&old), &labelled, &users(2)).unwrap();
    // What folding does is no change.
    assert!(admit_app(Some(&old), &folded, &users(2)).is_ok());
    let mut changed = old.clone();
    changed.spec.version = "1.1".to_owned();
    assert!(admit_app(Some(&old), &changed, &[]).is_ok());
    let refusals = [
        told(&admit_app(Some(&old), &changed, &users(2)).unwrap_err()),
        told(&delete_app(&users(7)).unwrap_err()),
    ];
    assert!(delete_app(&[]).is_ok());
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn a_cluster_uses_the_application_that_it_reaches() {
    let used = |catalog: Option<&str>, namespace: &str| {
        let mut object = cluster();
        object["spec"]["appCatalog"] = json!(catalog);
        let cluster: KubeDirectorCluster = read(&object);
        uses(&cluster, "db", namespace, "system")
    };
    assert!(used(Some("local"), "team") && !used(Some("local"), "system"));
    assert!(!used(Some("system"), "team") && used(Some("system"), "system"));
    assert!(used(None, "team") && used(None, "system") && !used(None, "other"));
}

fn configuration(spec: Value) -> KubeDirectorConfig {
    let mut config = KubeDirectorConfig::new("kd-global-config", ConfigSpec::default());
    config.metadata.namespace = Some("system".to_owned());
    config.spec = serde_json::from_value(spec).unwrap();
    config
}

#[test]
fn a_configuration_is_completed_and_keeps_its_key() {
    let around = ConfigSurroundings {
        operator_namespace: "system".to_owned(),
        fresh_key: Hidden::new("f".repeat(64)),
        clusters: vec!["team/prod".to_owned()],
        ..ConfigSurroundings::default()
    };
    let first = admit_config(None, &configuration(json!({})), &around).unwrap();
    assert_eq!(
        first
            .spec
            .master_encryption_key
            .as_ref()
            .map(Hidden::expose),
        Some("f".repeat(64).as_str())
    );
    let later = ConfigSurroundings {
        fresh_key: Hidden::new("0".repeat(64)),
        ..around.clone()
    };
    let again = admit_config(Some(&first), &configuration(json!({})), &later).unwrap();
    assert_eq!(again, first);
    assert!(!format!("{first:?}").contains("ffff"));
}

#[test]
fn each_mistake_of_a_configuration_is_told() {
    let around = ConfigSurroundings {
        operator_namespace: "system".to_owned(),
        fresh_key: Hidden::new("f".repeat(64)),
        clusters: vec!["team/prod".to_owned()],
        storage_classes: names(&["standard"]),
    };
    let key = json!({ "masterEncryptionKey": "a".repeat(32) });
    let old = configuration(key);
    let rows = [
        (
            "a class that does not exist",
            json!({ "defaultStorageClassName": "fast" }),
        ),
        (
            "a key that is none",
            json!({ "masterEncryptionKey": "secret" }),
        ),
        (
            "another key",
            json!({ "masterEncryptionKey": "b".repeat(32) }),
        ),
        (
            "a domain without its dot",
            json!({ "clusterSvcDomainBase": "svc.cluster.local" }),
        ),
        (
            "a label that is none",
            json!({ "podLabels": { "a/b/c": "-" } }),
        ),
        (
            "an annotation that is none",
            json!({ "serviceAnnotations": { "": "x" } }),
        ),
    ];
    let mut rows = rows
        .map(|(name, spec)| {
            let config = configuration(spec);
            let errors = admit_config(Some(&old), &config, &around).unwrap_err();
            format!("{name}\n{}", told(&errors))
        })
        .to_vec();
    let mut other = configuration(json!({}));
    other.metadata.name = Some("mine".to_owned());
    other.metadata.namespace = Some("team".to_owned());
    let errors = admit_config(None, &other, &around).unwrap_err();
    rows.push(format!("one that does not count\n{}", told(&errors)));
    let errors = delete_config(&around.clusters).unwrap_err();
    rows.push(format!(
        "deleting it while there are clusters\n{}",
        told(&errors)
    ));
    assert!(delete_config(&[]).is_ok());
    insta::assert_snapshot!(rows.join("\n\n"));
}

prop_compose! {
    fn any_cluster()(
        members in prop::option::of(2..5_i32),
        workers in prop::option::of(0..5_i32),
        class in prop::option::of(prop_oneof![Just("standard"), Just("fast")]),
        storage in any::<bool>(),
        devices in any::<bool>(),
        default_secret in any::<bool>(),
        secret in any::<bool>(),
        keys in 0..3_usize,
        service_type in prop::option::of(prop_oneof![
            Just("ClusterIP"), Just("NodePort"), Just("LoadBalancer"),
        ]),
        naming in prop::option::of(prop_oneof![Just("UID"), Just("CrNameRole"), Just("Original")]),
    ) -> KubeDirectorCluster {
        let mut object = cluster();
        let spec = &mut object["spec"];
        spec["serviceType"] = json!(service_type);
        spec["namingScheme"] = json!(naming);
        if default_secret {
            spec["defaultSecret"] = json!({ "name": "keys", "mountPath": "/keys" });
        }
        let seed = &mut spec["roles"][0];
        seed["members"] = json!(members);
        seed["storage"] = json!(storage.then(|| json!({ "size": "20Gi", "storageClassName": class })));
        let names = (0..keys).map(|it| json!({ "name": format!("k{it}"), "value": "x".repeat(it) }));
        seed["secretKeys"] = names.collect::<Vec<Value>>().into();
        let worker = &mut spec["roles"][1];
        worker["members"] = json!(workers);
        if secret {
            worker["secret"] = json!({ "name": "own", "mountPath": "/own" });
        }
        if devices {
            worker["blockStorage"] =
                json!({ "pathPrefix": "/disk", "numDevices": 1, "storageClassName": class });
        }
        read(&object)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_admitted_is_admitted_again_without_any_change(
        cluster in any_cluster(),
        config in prop::option::of(Just(json!({
            "defaultStorageClassName": "fast", "defaultServiceType": "NodePort",
        }))),
    ) {
        let mut around = with_everything(&cluster, &read(&app()));
        around.config = config.map(|it| serde_json::from_value(it).unwrap());
        let stored = sealed(admit(Request::Create, &cluster, &around).unwrap());
        let nothing = Kept::default();
        for request in [Request::Stored(&nothing), Request::Update(&stored)] {
            let again = admit(request, &stored, &around).unwrap();
            prop_assert!(again.texts().is_empty());
            prop_assert_eq!(sealed(again), stored.clone());
        }
        // A configuration that says otherwise later changes nothing of it.
        around.config = serde_json::from_value(json!({
            "defaultStorageClassName": "standard", "defaultServiceType": "ClusterIP",
            "defaultNamingScheme": "CrNameRole",
        })).ok();
        let again = sealed(admit(Request::Stored(&nothing), &stored, &around).unwrap());
        prop_assert_eq!(again, stored);
    }
}
