use windlass_api::director::Hidden;
use windlass_api::director::config::ConfigSpec;
use windlass_engine::api::{Fault, Verb};

use super::*;
use crate::samples;
use crate::secret_keys::decrypt;

fn cluster(fields: &Value) -> Value {
    let resources = json!({"limits": {"memory": "4Gi", "cpu": "2"}});
    let mut cluster = json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": {"name": "sql", "namespace": "team", "managedFields": [{"manager": "kubectl"}]},
        "spec": {
            "app": "spark245",
            "roles": [
                {"id": "controller", "resources": resources},
                {"id": "worker", "members": 2, "resources": resources},
            ],
        },
    });
    for (name, value) in fields.as_object().unwrap() {
        cluster["spec"]["roles"][1][name] = value.clone();
    }
    cluster
}

fn request(operation: &str, object: &Value, old: &Value) -> Request {
    let kind = if object.is_null() { old } else { object };
    serde_json::from_value(json!({
        "uid": "u",
        "kind": {"group": "kubedirector.hpe.com", "version": "v1beta1", "kind": kind["kind"]},
        "namespace": "team",
        "operation": operation,
        "object": object,
        "oldObject": old,
    }))
    .unwrap()
}

fn around(config: Option<ConfigSpec>) -> Surroundings {
    Surroundings {
        system_app: serde_json::from_value(samples::spark_app()).unwrap(),
        config,
        ..Surroundings::default()
    }
}

fn created(object: &Value, around: &Surroundings) -> Result<Value, String> {
    let request = request("CREATE", object, &Value::Null);
    let cluster: KubeDirectorCluster = typed(&request)?;
    let spec =
        judge(None, &cluster, around, "windlass-system").map_err(|errors| errors.join("\n"))?;
    match changed(&request, &cluster.spec, &spec).outcome {
        Outcome::Changed(object) => Ok(object),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cluster_is_stored_with_its_defaults_and_nothing_else_of_it_changes() {
    let object = cluster(&json!({}));
    let mut stored = created(&object, &around(None)).unwrap();
    let spec = stored["spec"].take();
    let mut rest = object.clone();
    rest["spec"] = Value::Null;
    assert_eq!(stored, rest);
    insta::assert_json_snapshot!(spec);
}

#[test]
fn what_has_all_its_defaults_is_not_patched() {
    let stored = created(&cluster(&json!({})), &around(None)).unwrap();
    let request = request("CREATE", &stored, &Value::Null);
    let cluster: KubeDirectorCluster = typed(&request).unwrap();
    let spec = judge(None, &cluster, &around(None), "windlass-system").unwrap();
    assert_eq!(changed(&request, &cluster.spec, &spec), Verdict::allowed());
}

#[test]
fn secret_texts_are_stored_encrypted_or_not_at_all() {
    let object = cluster(&json!({"secretKeys": [{"name": "password", "value": "hunter2"}]}));
    let told = created(&object, &around(None)).unwrap_err();
    assert_eq!(
        told,
        "spec.roles[1].secretKeys[0].value: cannot be encrypted: the KubeDirectorConfig has no \
         masterEncryptionKey; apply a KubeDirectorConfig kd-global-config in the namespace \
         windlass-system, which gets a key by itself"
    );
    let key = Hidden::new("0f".repeat(32));
    let config = ConfigSpec {
        master_encryption_key: Some(key.clone()),
        ..ConfigSpec::default()
    };
    let stored = created(&object, &around(Some(config))).unwrap();
    assert!(!stored.to_string().contains("hunter2"), "{stored}");
    let sealed = &stored["spec"]["roles"][1]["secretKeys"][0]["encryptedValue"];
    let text = decrypt(Some(&key), sealed.as_str().unwrap()).unwrap();
    assert_eq!(text.expose(), "hunter2");
    assert!(has_texts(&object["spec"]) && !has_texts(&stored["spec"]));

    // When nobody can tell, it is not stored either; everything else is.
    let error = ApiError {
        verb: Verb::Get,
        target: "kubedirectorapps".to_owned(),
        fault: Fault::Unavailable(None),
        code: 0,
        reason: String::new(),
        message: "no answer".to_owned(),
    };
    let told = unjudged(&request("CREATE", &object, &Value::Null), &error);
    assert!(matches!(told.outcome, Outcome::Refused(_)), "{told:?}");
    let told = unjudged(
        &request("CREATE", &cluster(&json!({})), &Value::Null),
        &error,
    );
    assert_eq!(told.outcome, Outcome::Allowed);
    assert!(told.warnings[0].contains("no answer"), "{told:?}");
}

#[test]
fn what_the_schema_would_refuse_is_refused_by_its_field() {
    let object = cluster(&json!({"members": "two"}));
    let told = created(&object, &around(None)).unwrap_err();
    assert!(told.contains("spec.roles[1].members"), "{told}");
    let mut generated = cluster(&json!({}));
    generated["metadata"] = json!({"generateName": "sql-"});
    let cluster: KubeDirectorCluster = typed(&request("CREATE", &generated, &Value::Null)).unwrap();
    assert_eq!(cluster.metadata.name.as_deref(), Some("sql-xxxxx"));
    assert_eq!(cluster.metadata.namespace.as_deref(), Some("team"));
}

#[test]
fn an_application_keeps_the_null_that_means_no_package() {
    let mut app = samples::spark_app();
    app["metadata"] = json!({"name": "spark245"});
    let request = request("CREATE", &app, &Value::Null);
    let app: KubeDirectorApp = typed(&request).unwrap();
    let folded = admission::admit_app(None, &app, &[]).unwrap();
    let Outcome::Changed(stored) = changed(&request, &app.spec, &folded.spec).outcome else {
        panic!("it has no defaults")
    };
    let spec = &stored["spec"];
    assert_eq!(spec.get("defaultImageRepoTag"), None);
    assert_eq!(spec["roles"][0]["imageRepoTag"], "bluedata/spark245:1");
    assert_eq!(spec["roles"][2].get("configPackage"), Some(&Value::Null));
}
