use kube::api::PropagationPolicy::Background;
use serde_json::json;
use windlass_cluster::SharedSecret;

use crate::home::Home;

#[tokio::test]
async fn every_namespace_gets_its_account_and_authority_and_gets_them_back() {
    let home = Home::start().await;
    home.namespace("team").await;
    for namespace in ["default", "kube-system", "team"] {
        home.furnished(namespace).await;
        let maps = home.config_maps(namespace);
        let authority = maps.until("kube-root-ca.crt", Option::is_some).await;
        assert_eq!(authority["data"]["ca.crt"], "the certificate");
    }
    let maps = home.config_maps("team");
    maps.delete("kube-root-ca.crt", Background).await;
    maps.until("kube-root-ca.crt", Option::is_some).await;
    maps.merge("kube-root-ca.crt", json!({"data": {"ca.crt": "another"}}))
        .await;
    maps.until("kube-root-ca.crt", |map| {
        map.as_ref()
            .is_some_and(|map| map["data"]["ca.crt"] == "the certificate")
    })
    .await;
}

#[tokio::test]
async fn a_shared_secret_is_in_every_namespace_and_comes_back() {
    let secret = SharedSecret {
        name: "shared".to_owned(),
        data: [("key".to_owned(), "text".to_owned())].into(),
    };
    let home = Home::with(Vec::new(), Some(secret)).await;
    home.namespace("team").await;
    for namespace in ["default", "kube-system", "team"] {
        let secrets = home.kind("v1", "Secret", "secrets", Some(namespace));
        let found = secrets.until("shared", Option::is_some).await;
        assert_eq!(found["data"]["key"], "dGV4dA==");
    }
    let secrets = home.kind("v1", "Secret", "secrets", Some("team"));
    secrets.delete("shared", Background).await;
    secrets.until("shared", Option::is_some).await;
    secrets
        .merge(
            "shared",
            json!({"data": {"key": "b3RoZXI=", "own": "b3du"}}),
        )
        .await;
    let back = secrets
        .until("shared", |secret| {
            let secret = secret.as_ref();
            secret.is_some_and(|it| it["data"]["key"] == "dGV4dA==")
        })
        .await;
    assert_eq!(back["data"]["own"], "b3du");
    home.quiet().await;
}

#[tokio::test]
async fn job_namespaces_have_what_jobs_run_with() {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "spark"},
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "windlass-spark-driver"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    });
    let home = Home::with_jobs(vec![account, role]).await;
    home.namespace("team").await;
    home.cluster.as_ref().unwrap().ready().await;
    let roles = |namespace| {
        home.kind(
            "rbac.authorization.k8s.io/v1",
            "Role",
            "roles",
            Some(namespace),
        )
    };
    let role = roles("default").get("windlass-spark-driver").await;
    let role = role.expect("ready means that it is there");
    assert_eq!(role["rules"][0]["resources"], json!(["pods"]));
    assert!(roles("team").get("windlass-spark-driver").await.is_none());
}

#[tokio::test]
async fn a_namespace_goes_with_all_it_holds_and_says_what_it_waits_for() {
    let home = Home::start().await;
    home.namespace("team").await;
    let maps = home.config_maps("team");
    for name in ["free", "held"] {
        let finalizers = if name == "held" {
            json!(["example.com/held"])
        } else {
            json!([])
        };
        maps.create(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "finalizers": finalizers},
        }))
        .await;
    }
    let spaces = home.namespaces();
    spaces.delete("team", Background).await;
    let waiting = spaces
        .until("team", |space| {
            space.as_ref().is_some_and(|space| {
                let conditions = space["status"]["conditions"].as_array();
                conditions.into_iter().flatten().any(|condition| {
                    condition["type"] == "NamespaceFinalizersRemaining"
                        && condition["status"] == "True"
                })
            })
        })
        .await;
    assert_eq!(waiting["status"]["phase"], "Terminating");
    maps.until_gone("free").await;
    maps.merge("held", json!({"metadata": {"finalizers": null}}))
        .await;
    spaces.until_gone("team").await;
}
