//! What the API server is told by the webhook before it stores something.

use serde_json::{Value, json};
use windlass_apiserver::User;

use crate::room::{HOME, Room, app, cluster};

const CONFIG: &str = "kd-global-config";

#[tokio::test]
async fn wrong_objects_are_refused_by_their_fields_and_others_stored_with_their_defaults() {
    let room = Room::start_with_webhook().await;
    let clusters = room.clusters();
    let refused = clusters
        .try_create(cluster("prod", &json!({})))
        .await
        .unwrap_err();
    assert!(
        refused.contains("spec.app: \"db\": is no KubeDirectorApp in this namespace"),
        "{refused}"
    );

    let mut wrong = app();
    wrong["spec"]["config"]["selectedRoles"] = json!(["seed", "none"]);
    let refused = room.apps().try_create(wrong).await.unwrap_err();
    assert!(
        refused.contains("spec.config.selectedRoles[1]"),
        "{refused}"
    );
    let stored = room.apps().try_create(app()).await.unwrap();
    assert_eq!(stored["spec"]["defaultImageRepoTag"], Value::Null);
    assert_eq!(stored["spec"]["roles"][1]["imageRepoTag"], "example/db:1");

    for (fields, expected) in [
        (
            json!({"members": 0}),
            "spec.roles[0].members: 0: must be at least 1",
        ),
        (
            json!({"secret": {"name": "certs", "mountPath": "/certs"}}),
            "spec.roles[0].secret.name: \"certs\": is no Secret",
        ),
        (
            json!({"storage": {"size": "1Gi"}}),
            "spec.roles[0].storage.storageClassName: must be given, because there is no default",
        ),
        (
            json!({"serviceAccountName": "db"}),
            "spec.roles[0].serviceAccountName: \"db\": is no ServiceAccount",
        ),
        (json!({"members": "two"}), "spec.roles[0].members"),
    ] {
        let refused = clusters.try_create(cluster("prod", &fields)).await;
        let refused = refused.unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
    let stored = clusters
        .try_create(cluster("prod", &json!({})))
        .await
        .unwrap();
    let spec = &stored["spec"];
    assert_eq!(spec["appCatalog"], "local");
    assert_eq!(spec["namingScheme"], "UID");
    assert_eq!(spec["serviceType"], "LoadBalancer");

    // What is there is changed by the same rules.
    let is_seen = |it: &Value| it["status"]["observedGeneration"] == it["metadata"]["generation"];
    clusters.until_there("prod", is_seen).await;
    let refused = clusters.try_replace("prod", "/spec/namingScheme", json!("CrNameRole"));
    let refused = refused.await.unwrap_err();
    assert!(
        refused.contains("spec.namingScheme: cannot change"),
        "{refused}"
    );
    let patched = clusters.try_replace("prod", "/spec/roles/0/members", json!(3));
    patched.await.unwrap();
    let labelled = json!({"metadata": {"labels": {"team": "a"}}});
    clusters.try_merge("prod", labelled).await.unwrap();
}

#[tokio::test]
async fn an_application_in_use_neither_changes_nor_goes() {
    let room = Room::start_with_webhook().await;
    let mut system = app();
    system["metadata"]["name"] = json!("catalog");
    let catalog = room.at_home("kubedirector.hpe.com/v1beta1", "KubeDirectorApp");
    catalog.try_create(system).await.unwrap();
    room.apps().try_create(app()).await.unwrap();
    let mut of_catalog = cluster("second", &json!({}));
    of_catalog["spec"]["app"] = json!("catalog");
    let clusters = room.clusters();
    clusters
        .try_create(cluster("first", &json!({})))
        .await
        .unwrap();
    let stored = clusters.try_create(of_catalog).await.unwrap();
    assert_eq!(stored["spec"]["appCatalog"], "system");
    for (apps, name, user) in [
        (room.apps(), "db", "team/first"),
        (catalog, "catalog", "team/second"),
    ] {
        let refused = apps.try_delete(name).await.unwrap_err();
        let expected = format!("cannot be deleted while it is in use by {user}");
        assert!(refused.contains(&expected), "{refused}");
        let refused = apps.try_replace(name, "/spec/version", json!("2")).await;
        let refused = refused.unwrap_err();
        let expected = format!("spec: cannot change while the application is in use by {user}");
        assert!(refused.contains(&expected), "{refused}");
        let labels = json!({"metadata": {"labels": {"team": "a"}}});
        apps.try_merge(name, labels).await.unwrap();
        // The same with its defaults outside of the roles again is the same.
        let mut same = app();
        same["metadata"]["name"] = json!(name);
        apps.try_merge(name, same).await.unwrap();
        clusters
            .try_delete(user.trim_start_matches("team/"))
            .await
            .unwrap();
        apps.try_replace(name, "/spec/version", json!("2"))
            .await
            .unwrap();
        apps.try_delete(name).await.unwrap();
    }
}

#[tokio::test]
async fn a_configuration_gets_a_key_that_secret_texts_are_encrypted_with() {
    let room = Room::start_with_webhook().await;
    room.apps().try_create(app()).await.unwrap();
    let secret = json!({"secretKeys": [{"name": "password", "value": "hunter2"}]});
    let refused = room.clusters().try_create(cluster("prod", &secret)).await;
    let refused = refused.unwrap_err();
    let expected = format!(
        "spec.roles[0].secretKeys[0].value: cannot be encrypted: the KubeDirectorConfig has no \
         masterEncryptionKey; apply a KubeDirectorConfig {CONFIG} in the namespace {HOME}"
    );
    assert!(refused.contains(&expected), "{refused}");

    let config = |name: &str| {
        json!({
            "apiVersion": "kubedirector.hpe.com/v1beta1",
            "kind": "KubeDirectorConfig",
            "metadata": {"name": name},
            "spec": {},
        })
    };
    let refused = room.configs().try_create(config("mine")).await.unwrap_err();
    assert!(
        refused.contains("metadata.name: \"mine\": must be"),
        "{refused}"
    );
    let stored = room.configs().try_create(config(CONFIG)).await.unwrap();
    let key = stored["spec"]["masterEncryptionKey"].as_str().unwrap();
    assert_eq!(key.len(), 64);
    assert_eq!(stored["spec"]["defaultServiceType"], "LoadBalancer");

    let stored = room
        .clusters()
        .try_create(cluster("prod", &secret))
        .await
        .unwrap();
    let kept = &stored["spec"]["roles"][0]["secretKeys"][0];
    assert!(!stored.to_string().contains("hunter2"), "{stored:#}");
    assert!(kept["encryptedValue"].is_string(), "{stored:#}");
    // Members are told the text, in the one Secret that is mounted.
    room.clusters()
        .until_there("prod", |it| {
            it["status"]["roles"][0]["statefulSet"].is_string()
        })
        .await;
    let status = room.clusters().get("prod").await.unwrap()["status"].clone();
    let of_role = &status["roles"][0]["encryptedSecretKeys"]["password"];
    assert_eq!(*of_role, kept["encryptedValue"]);

    let path = "/spec/masterEncryptionKey";
    let configs = room.configs();
    let refused = configs
        .try_replace(CONFIG, path, json!("00".repeat(32)))
        .await;
    let refused = refused.unwrap_err();
    let expected = "spec.masterEncryptionKey: cannot change while there are clusters (team/prod)";
    assert!(refused.contains(expected), "{refused}");
    assert!(!refused.contains(key), "{refused}");
    let refused = room.configs().try_delete(CONFIG).await.unwrap_err();
    assert!(
        refused.contains("cannot be deleted while there are clusters"),
        "{refused}"
    );
    room.clusters().try_delete("prod").await.unwrap();
    room.configs().try_delete(CONFIG).await.unwrap();
}

#[tokio::test]
async fn who_names_an_account_must_be_allowed_to_act_as_it() {
    let room = Room::start_with_webhook().await;
    room.apps().try_create(app()).await.unwrap();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "db"}});
    room.here("v1", "ServiceAccount")
        .try_create(account)
        .await
        .unwrap();
    let group = "rbac.authorization.k8s.io/v1";
    let grant = async |name: &str, rule: Value| {
        let metadata = json!({"name": name});
        let role = json!({
            "apiVersion": group, "kind": "Role", "metadata": metadata, "rules": [rule],
        });
        room.here(group, "Role").try_create(role).await.unwrap();
        let binding = json!({
            "apiVersion": group, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "ada", "namespace": "team"}],
        });
        room.here(group, "RoleBinding")
            .try_create(binding)
            .await
            .unwrap();
    };
    let clusters = json!({
        "apiGroups": ["kubedirector.hpe.com"], "resources": ["kubedirectorclusters"],
        "verbs": ["create", "get"],
    });
    grant("writes", clusters).await;
    let of_ada = room.clusters_as(User::service_account("team", "ada"));
    let asked = cluster("prod", &json!({"serviceAccountName": "db"}));
    let refused = of_ada.try_create(asked.clone()).await.unwrap_err();
    assert!(
        refused.contains("spec.roles[0].serviceAccountName: is not yours to use"),
        "{refused}"
    );
    let accounts = json!({
        "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"],
        "resourceNames": ["db"],
    });
    grant("acts", accounts).await;
    of_ada.try_create(asked).await.unwrap();
}
