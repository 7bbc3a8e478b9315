//! Folders for checkpoints.

use windlass_api::parse;

use super::*;

fn mounts(pod: &Value) -> Vec<&Value> {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let mounts = containers[0]["volumeMounts"].as_array().unwrap().iter();
    mounts
        .filter(|mount| mount["name"] == "checkpointdir")
        .collect()
}

#[test]
fn a_folder_for_checkpoints_is_a_claim_that_is_there_before_the_driver_and_stays() {
    let app = application(json!({"sparkConf": {
        "spark.kubernetes.checkpointdir.enable": "true",
        "spark.kubernetes.checkpointdir.storageClass": "checkpoints",
        "spark.kubernetes.checkpointdir.size": "5Gi",
    }}));
    let lowered = lowered(&app);
    let conf = &lowered.submission.conf;
    let about = |key: &&String| key.to_lowercase().contains("checkpoint");
    let conf: serde_json::Map<String, Value> = conf
        .keys()
        .filter(about)
        .map(|key| (key.clone(), json!(conf[key])))
        .collect();
    let claim = lowered.checkpoint_claim.clone().unwrap();
    insta::assert_snapshot!(parse::to_yaml_documents(&[claim, json!(conf)]).unwrap());
    let mounted = [json!({"name": "checkpointdir", "mountPath": "/checkpointdir"})];
    let found: Vec<Value> = mounts(&lowered.submission.driver)
        .into_iter()
        .map(|it| json!({"name": it["name"], "mountPath": it["mountPath"]}))
        .collect();
    assert_eq!(found, mounted);
    let (objects, _) = render(&app, &Settings::default()).unwrap();
    assert_eq!(objects[0]["kind"], "PersistentVolumeClaim");
}

#[test]
fn what_one_node_has_is_mounted_by_the_driver_alone() {
    let app = application(json!({"sparkConf": {
        "spark.kubernetes.checkpointdir.enable": true,
        "spark.kubernetes.checkpointdir.accessMode": "ReadWriteOnce",
        "spark.sql.streaming.checkpointLocation": "s3a://elsewhere/",
    }}));
    let lowered = lowered(&app);
    let conf = &lowered.submission.conf;
    let has = |role: &str| {
        let prefix = format!("spark.kubernetes.{role}.volumes.");
        conf.keys().any(|key| key.starts_with(&prefix))
    };
    assert_eq!((has("driver"), has("executor")), (true, false));
    assert_eq!(
        conf["spark.sql.streaming.checkpointLocation"],
        "s3a://elsewhere/"
    );
}

#[test]
fn settings_of_a_folder_that_is_not_enabled_are_told() {
    let app = application(json!({"sparkConf": {"spark.kubernetes.checkpointdir.size": "5Gi"}}));
    let lowered = lowered(&app);
    assert_eq!(lowered.checkpoint_claim, None);
    let told: Vec<String> = lowered
        .not_applied
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = "spec.sparkConf[spark.kubernetes.checkpointdir.size]: has no effect without \
                    spark.kubernetes.checkpointdir.enable=true; set that";
    assert_eq!(told, [expected]);
}
