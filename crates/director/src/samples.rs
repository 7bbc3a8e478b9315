//! Clusters for tests.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use windlass_api::director::cluster::AppCatalog;
use windlass_api::director::{
    Hidden, KubeDirectorApp, KubeDirectorCluster, KubeDirectorConfig, original,
};

use crate::blueprint::{Blueprint, Sources};

pub(crate) fn blueprint_of(app: &Value, cluster: &Value, config: &Value) -> Blueprint {
    let app: KubeDirectorApp = read(app);
    let cluster: KubeDirectorCluster = read(cluster);
    let config: KubeDirectorConfig = read(config);
    let mut secret_keys: BTreeMap<String, BTreeMap<String, Hidden>> = BTreeMap::new();
    for role in &cluster.spec.roles {
        let keys = role
            .secret_keys
            .iter()
            .map(|it| (it.name.clone(), it.value.clone()));
        secret_keys.insert(role.id.clone(), keys.collect());
    }
    let sources = Sources {
        app_name: app.metadata.name.as_deref().unwrap_or_default(),
        catalog: AppCatalog::Local,
        app: &app.spec,
        config: &config.spec,
        secret_keys: &secret_keys,
    };
    Blueprint::new(&cluster, sources).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// As the API has it: null is not the same as nothing.
fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}"))
}

fn config(spec: Value) -> Value {
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorConfig",
        "metadata": {"name": "kd-global-config"},
        "spec": spec,
    })
}

pub(crate) fn spark_app() -> Value {
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorApp",
        "metadata": {"name": "spark245"},
        "spec": {
            "label": {"name": "Spark 2.4.5"},
            "distroID": "bluedata/spark245",
            "version": "1.4",
            "configSchemaVersion": 8,
            "defaultImageRepoTag": "bluedata/spark245:1",
            "defaultConfigPackage": {
                "packageURL": "file:///opt/configscripts/appconfig.tgz",
                "useNewSetupLayout": true,
            },
            "services": [
                {"id": "ssh", "label": {"name": "SSH"}, "endpoint": {"port": 22}},
                {"id": "spark", "label": {"name": "Master"}, "exported_service": "spark",
                 "endpoint": {"port": 7077, "urlScheme": "spark"}},
                {"id": "spark-ui", "label": {"name": "UI"},
                 "endpoint": {"port": 8080, "urlScheme": "http", "isDashboard": true,
                              "healthCheck": {"http": {}}}},
                {"id": "spark-worker", "label": {"name": "Worker"}},
            ],
            "roles": [
                {"id": "controller", "cardinality": "1"},
                {"id": "worker", "cardinality": "0+",
                 "drain": {"arguments": ["--decommission"], "timeoutSeconds": 600}},
                {"id": "jupyter", "cardinality": "0+", "configPackage": null,
                 "eventList": ["configure"]},
            ],
            "config": {
                "selectedRoles": ["controller", "worker", "jupyter"],
                "roleServices": [
                    {"roleID": "controller", "serviceIDs": ["ssh", "spark", "spark-ui"]},
                    {"roleID": "worker", "serviceIDs": ["ssh", "spark-worker"]},
                    {"roleID": "jupyter", "serviceIDs": ["ssh"]},
                ],
                "configMeta": {"streaming": "true"},
            },
        },
    })
}

/// A Spark with so many workers and no storage.
pub(crate) fn spark(workers: u32) -> Blueprint {
    let resources = json!({"limits": {"memory": "4Gi", "cpu": "2"}});
    let cluster = json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": {
            "name": "sql", "namespace": "team",
            "uid": "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001", "generation": 1,
        },
        "spec": {
            "app": "spark245",
            "roles": [
                {"id": "controller", "resources": resources},
                {"id": "worker", "members": workers, "resources": resources},
            ],
        },
    });
    blueprint_of(&spark_app(), &cluster, &config(json!({})))
}

/// The same, whose workers are between these bounds: the controller is asked how many there are to be.
pub(crate) fn autoscaled_spark(least: u32, most: u32) -> Blueprint {
    let mut app = spark_app();
    app["spec"]["roles"][1]["demand"] = json!({"roleID": "controller", "arguments": ["--demand"]});
    let resources = json!({"limits": {"memory": "4Gi", "cpu": "2"}});
    let autoscale = json!({"minMembers": least, "maxMembers": most});
    let cluster = json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": {
            "name": "sql", "namespace": "team",
            "uid": "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001", "generation": 1,
        },
        "spec": {
            "app": "spark245",
            "roles": [
                {"id": "controller", "resources": resources},
                {"id": "worker", "autoscale": autoscale, "resources": resources},
            ],
        },
    });
    blueprint_of(&app, &cluster, &config(json!({})))
}

/// Every field that changes an object.
pub(crate) fn everything() -> Blueprint {
    let app = json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorApp",
        "metadata": {"name": "all"},
        "spec": {
            "label": {"name": "All of it"},
            "distroID": "test/all",
            "version": "1",
            "configSchemaVersion": 7,
            "capabilities": ["SYS_RESOURCE", "IPC_LOCK"],
            "systemdRequired": true,
            "services": [
                {"id": "api", "label": {"name": "API"},
                 "endpoint": {"port": 9000, "urlScheme": "https", "hasAuthToken": true,
                              "healthCheck": {"tcp": {}, "periodSeconds": 3}}},
                {"id": "22", "label": {"name": "No letter"}, "endpoint": {"port": 22}},
            ],
            "roles": [{
                "id": "node", "cardinality": "1+",
                "imageRepoTag": "test/all:1",
                "configPackage": {
                    "packageURL": "configmap://setup/all.tgz", "useNewSetupLayout": true,
                },
                "persistDirs": ["/data", "/usr/local", "/etc/all"],
                "containerSpec": {"stdin": true, "tty": true, "idle": true, "runAsUser": 0},
                "env": [{"name": "MODE", "value": "app"}, {"name": "HEAP", "value": "1g"}],
                "disruptionBudget": {"maxUnavailable": 1},
            }],
            "config": {
                "selectedRoles": ["node"],
                "roleServices": [{"roleID": "node", "serviceIDs": ["api", "22"]}],
            },
        },
    });
    let cluster = json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": {
            "name": "all", "namespace": "team",
            "uid": "11111111-3c1b-4a53-9d2c-2f6a55a8a001", "generation": 3,
        },
        "spec": {
            "app": "all",
            "serviceType": "NodePort",
            "namingScheme": "CrNameRole",
            "defaultSecret": {"name": "certs", "mountPath": "/certs", "defaultMode": 256, "readOnly": true},
            "roles": [{
                "id": "node", "members": 2,
                "podLabels": {"team": "role", "own": "1"},
                "podAnnotations": {"note": "role"},
                "serviceLabels": {"team": "role"},
                "serviceAnnotations": {"internal": "true"},
                "resources": {
                    "limits": {"memory": "8Gi", "cpu": "1500m", "nvidia.com/gpu": "1"},
                    "requests": {"memory": "4Gi", "cpu": "1"},
                },
                "affinity": {"nodeAffinity": {}},
                "serviceAccountName": "member",
                "storage": {"size": "40Gi", "storageClassName": "fast"},
                "env": [{"name": "POD_IP", "value": "mine"}, {"name": "MODE", "value": "test"}],
                "sharedMemory": "2Gi",
                "blockStorage": {"storageClassName": "raw", "pathPrefix": "/dev/disk", "size": "5Gi", "numDevices": 2},
                "secretKeys": [{"name": "password", "value": "hunter2"}],
                "volumeProjections": [{"pvcName": "shared", "mountPath": "/shared", "readOnly": true}],
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
                "imagePullSecrets": ["registry"],
                "priorityClassName": "high",
            }],
        },
    });
    let config = config(json!({
        "nativeSystemdSupport": false,
        "podLabels": {"team": "config"},
        "serviceLabels": {"team": "config"},
        "clusterSvcDomainBase": ".svc.example.org",
    }));
    blueprint_of(&app, &cluster, &config)
}

/// A manifest of the API's test data.
pub(crate) fn manifests(file: &str) -> Vec<Value> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../api/testdata/director");
    let text = std::fs::read_to_string(format!("{root}/{file}")).unwrap();
    windlass_api::parse::objects(&text).unwrap()
}

/// The applications of KubeDirector's catalog.
pub(crate) const CATALOG: [&str; 20] = [
    "cassandra311",
    "cdh5142cm",
    "cdh632",
    "centos7x",
    "confluentplatform55",
    "deployment-engine",
    "dfcompute610",
    "elkstack771",
    "gitlab",
    "jupyter-notebook",
    "mapr610-secure",
    "mlflow",
    "ngc-tensorflow",
    "qwen2-server",
    "spark245",
    "tensorflow-cpu-jupyter",
    "tensorflow-gpu-jupyter",
    "training-engine",
    "ubuntu18x",
    "vllm-server",
];

/// A cluster of the catalog.
pub(crate) fn of_catalog(name: &str) -> Blueprint {
    let app = manifests(&format!("apps/{name}.yaml")).remove(0);
    let cluster = manifests(&format!("clusters/{name}.yaml")).remove(0);
    blueprint_of(&app, &identified(cluster), &config(json!({})))
}

/// What the API server adds to an object that was created.
fn identified(mut cluster: Value) -> Value {
    cluster["metadata"]["namespace"] = json!("team");
    cluster["metadata"]["uid"] = json!("5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001");
    cluster["metadata"]["generation"] = json!(1);
    cluster
}

/// A cluster of the first release.
pub(crate) fn of_the_first_release(name: &str) -> Blueprint {
    let documents = manifests(&format!("original/{name}.yaml"));
    let app = windlass_api::decode::decode(&documents[0]).unwrap();
    let app = original::convert_app(&app).unwrap().object;
    let cluster = windlass_api::decode::decode(&documents[1]).unwrap();
    let cluster = original::convert_cluster(&cluster).unwrap().object;
    let cluster = identified(json!(cluster));
    blueprint_of(&json!(app), &cluster, &config(json!({})))
}
