use serde_json::{Value, json};
use windlass_api::director::KubeDirectorApp;
use windlass_api::director::admission::{KeptRole, StorageClasses};
use windlass_api::director::cluster::{AppCatalog, NamingScheme, RoleStorage};

use super::*;
use crate::names::Scheme;
use crate::samples;
use crate::secret_keys::encrypt;

fn cluster(change: impl FnOnce(&mut Value)) -> KubeDirectorCluster {
    let resources = json!({"limits": {"memory": "4Gi", "cpu": "2"}});
    let mut cluster = json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": {"name": "sql", "namespace": "team", "uid": "u", "generation": 1},
        "spec": {
            "app": "spark245",
            "roles": [
                {"id": "controller", "resources": resources},
                {"id": "worker", "members": 2, "resources": resources},
            ],
        },
    });
    change(&mut cluster["spec"]);
    serde_json::from_value(cluster).unwrap()
}

fn around(config: &Value) -> Surroundings {
    Surroundings {
        local_app: serde_json::from_value(samples::spark_app()).unwrap(),
        config: serde_json::from_value(config.clone()).unwrap(),
        storage_classes: StorageClasses {
            names: ["standard".to_owned()].into(),
            expandable: ["standard".to_owned()].into(),
            default: Some("standard".to_owned()),
        },
        ..Surroundings::default()
    }
}

fn told(cluster: &KubeDirectorCluster, kept: &Kept, around: &Surroundings) -> String {
    let admitted = admitted(cluster, kept, around);
    admitted.map_or_else(|problems| problems.join("\n"), |_| String::new())
}

#[test]
fn a_cluster_that_may_not_be_is_none_and_says_which_field_and_what_to_do() {
    type Change = fn(&mut Value);
    let rows: &[(Change, Value, &str)] = &[
        (
            |it| it["app"] = json!("spark"),
            Value::Null,
            "spec.app: \"spark\": is no KubeDirectorApp in this namespace, nor in that of the operator; \
             create it first",
        ),
        (
            |it| it["roles"][1]["id"] = json!("workr"),
            Value::Null,
            "spec.roles[1].id: \"workr\": is no role of the application; did you mean worker?",
        ),
        (
            |it| it["roles"][0]["members"] = json!(2),
            Value::Null,
            "spec.roles[0].members: 2: must be exactly 1",
        ),
        (
            |it| it["roles"][1]["storage"] = json!({"size": "1Gi", "storageClassName": "gone"}),
            Value::Null,
            "spec.roles[1].storage.storageClassName: \"gone\": does not exist; name one of",
        ),
        (
            |it| it["defaultSecret"] = json!({"name": "certs", "mountPath": "/certs"}),
            Value::Null,
            "spec.defaultSecret.name: \"certs\": is no Secret of this namespace; create it first",
        ),
        (
            |it| it["roles"][1]["serviceAccountName"] = json!("spark"),
            Value::Null,
            "spec.roles[1].serviceAccountName: \"spark\": is no ServiceAccount of this namespace",
        ),
        (
            |it| {
                it["roles"][1]["volumeProjections"] =
                    json!([{"pvcName": "shared", "mountPath": "/shared"}]);
            },
            Value::Null,
            "spec.roles[1].volumeProjections[0].pvcName: \"shared\": is no PersistentVolumeClaim",
        ),
        (
            |_| {},
            json!({"masterEncryptionKey": "secret"}),
            "KubeDirectorConfig kd-global-config: spec.masterEncryptionKey: must be 16, 24 or 32 bytes",
        ),
        (
            |_| {},
            json!({"podLabels": {"team": "not ok"}}),
            "KubeDirectorConfig kd-global-config: spec.podLabels",
        ),
        (
            |it| {
                it["roles"][1]["secretKeys"] =
                    json!([{"name": "password", "encryptedValue": "00"}]);
            },
            json!({"masterEncryptionKey": "00".repeat(32)}),
            "the secret key password of worker cannot be read: encryptedValue is too short",
        ),
    ];
    for (change, config, expected) in rows {
        let told = told(&cluster(change), &Kept::default(), &around(config));
        assert!(told.contains(expected), "{expected}\n{told}");
        assert!(!told.contains("\"secret\""), "{told}");
    }
    let all = told(
        &cluster(|it| {
            it["roles"][0]["members"] = json!(2);
            it["roles"][1]["serviceAccountName"] = json!("spark");
        }),
        &Kept::default(),
        &around(&Value::Null),
    );
    assert_eq!(all.lines().count(), 2, "{all}");
}

#[test]
fn an_application_with_mistakes_makes_no_cluster_and_all_of_them_are_told() {
    let mut around = around(&Value::Null);
    let mut app: KubeDirectorApp = around.local_app.unwrap();
    app.spec.config.selected_roles.push("none".to_owned());
    app.spec.roles.truncate(2);
    around.local_app = Some(app);
    let told = told(&cluster(|_| {}), &Kept::default(), &around);
    assert!(
        told.contains("is a KubeDirectorApp that cannot be used: its spec.config.selectedRoles"),
        "{told}"
    );
    assert!(told.lines().count() > 1, "{told}");
}

#[test]
fn what_a_cluster_leaves_out_is_what_the_configuration_and_the_cluster_have() {
    let config = json!({
        "defaultNamingScheme": "CrNameRole", "defaultServiceType": "NodePort",
        "requiredSecretPrefix": "kd-",
    });
    let mut around = around(&config);
    around.secrets = ["kd-certs".to_owned()].into();
    let cluster = cluster(|it| {
        it["defaultSecret"] = json!({"name": "kd-certs", "mountPath": "/certs"});
        it["roles"][1]["storage"] = json!({"size": "1Gi"});
    });
    let blueprint = admitted(&cluster, &Kept::default(), &around).unwrap();
    assert_eq!(blueprint.scheme, Scheme::CrNameRole);
    assert_eq!(blueprint.service_type.as_str(), "NodePort");
    assert_eq!(blueprint.role("controller").unwrap().members, 1);
    let worker = blueprint.role("worker").unwrap();
    assert_eq!(worker.secret.as_ref().unwrap().name, "kd-certs");
    let class = |role: &crate::blueprint::Role| {
        let storage = role.spec.storage.clone();
        storage.unwrap().storage_class_name
    };
    assert_eq!(class(worker).as_deref(), Some("standard"));

    // What was made stays what it is, whatever the configuration says later.
    let mut role = worker.spec.clone();
    role.storage = Some(RoleStorage {
        size: "1Gi".to_owned(),
        storage_class_name: Some("older".to_owned()),
        ..RoleStorage::default()
    });
    let kept = KeptRole::of(AppCatalog::Local, NamingScheme::Uid, &role);
    let kept: Kept = [("worker".to_owned(), kept)].into_iter().collect();
    around.storage_classes.names.insert("older".to_owned());
    let blueprint = admitted(&cluster, &kept, &around).unwrap();
    assert_eq!(blueprint.scheme, Scheme::Uid);
    let worker = blueprint.role("worker").unwrap();
    assert_eq!(class(worker).as_deref(), Some("older"));
}

#[test]
fn secret_texts_are_read_whether_they_were_encrypted_or_not() {
    let key = Hidden::new("0f".repeat(16));
    let sealed = encrypt(Some(&key), &Hidden::new("hunter2")).unwrap();
    let cluster = cluster(|it| {
        it["roles"][1]["secretKeys"] = json!([
            {"name": "sealed", "encryptedValue": sealed}, {"name": "plain", "value": "text"},
        ]);
    });
    let config = json!({"masterEncryptionKey": key});
    let blueprint = admitted(&cluster, &Kept::default(), &around(&config)).unwrap();
    let keys = &blueprint.role("worker").unwrap().secret_keys;
    assert_eq!(keys["sealed"].expose(), "hunter2");
    assert_eq!(keys["plain"].expose(), "text");
    let stored = serde_json::to_string(&blueprint.role("worker").unwrap().spec).unwrap();
    assert!(!stored.contains("text"), "{stored}");
}
