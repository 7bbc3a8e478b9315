//! One row for each rule of a cluster's admission.

use super::*;

mod autoscaled;

/// A cluster that is created, or changed, and what is around it.
struct Case {
    old: Option<Value>,
    cluster: Value,
    app: Value,
    /// Changes of the surroundings, after everything was put there.
    around: fn(&mut Surroundings),
}

impl Default for Case {
    fn default() -> Self {
        Self {
            old: None,
            cluster: cluster(),
            app: app(),
            around: |_| {},
        }
    }
}

fn nothing(_: &mut Surroundings) {}

fn told_of(case: &Case) -> String {
    let cluster: KubeDirectorCluster = match decode(&case.cluster) {
        Ok(cluster) => cluster,
        Err(error) => return error.to_string(),
    };
    let mut around = with_everything(&cluster, &read(&case.app));
    (case.around)(&mut around);
    let old: Option<KubeDirectorCluster> = case.old.as_ref().map(read);
    let request = old.as_ref().map_or(Request::Create, Request::Update);
    match admit(request, &cluster, &around) {
        Ok(_) => String::new(),
        Err(errors) => told(&errors),
    }
}

/// A cluster that is created with these fields in its specification.
fn created(fields: &Value) -> Case {
    let mut case = Case::default();
    merge(&mut case.cluster["spec"], fields);
    case
}

/// A cluster that is created with these fields in its first role.
fn role(fields: &Value) -> Case {
    let mut case = Case::default();
    merge(&mut case.cluster["spec"]["roles"][0], fields);
    case
}

fn role_in(fields: &Value, around: fn(&mut Surroundings)) -> Case {
    Case {
        around,
        ..role(fields)
    }
}

/// A cluster whose members are there, and that is changed like this.
fn changed(change: impl Fn(&mut Value)) -> Case {
    let mut case = Case::default();
    let mut old = cluster();
    old["metadata"]["generation"] = json!(2);
    old["spec"]["appCatalog"] = json!("local");
    old["spec"]["namingScheme"] = json!("UID");
    old["spec"]["serviceType"] = json!("LoadBalancer");
    old["spec"]["roles"][0]["members"] = json!(2);
    old["spec"]["roles"][0]["storage"]["storageClassName"] = json!("standard");
    old["status"] = json!({
        "state": "configured", "observedGeneration": 2,
        "roles": [
            { "id": "seed", "members": [{ "pod": "kdss-x-0", "state": "configured", "nodeID": 1 }] },
            { "id": "witness", "members": [{ "pod": "kdss-y-0", "state": "deleting", "nodeID": 2 }] },
        ],
    });
    case.cluster = old.clone();
    change(&mut case.cluster);
    case.old = Some(old);
    case
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn restoring(case: &mut Value) {
    case["metadata"]["labels"] = json!({ "kubedirector.hpe.com/restoring": "" });
}

#[test]
fn what_may_be_is_not_refused() {
    let rows = [
        ("as it is", Case::default()),
        (
            "a member more",
            changed(|it| it["spec"]["roles"][0]["members"] = json!(3)),
        ),
        (
            "another type of Services",
            changed(|it| it["spec"]["serviceType"] = json!("NodePort")),
        ),
        (
            "other connections",
            changed(|it| it["spec"]["connections"] = json!({ "clusters": ["other"] })),
        ),
        (
            "other resources of members, which are replaced one by one",
            changed(|it| {
                it["spec"]["roles"][0]["resources"]["limits"]["memory"] = json!("8Gi");
            }),
        ),
        (
            "more storage",
            changed(|it| it["spec"]["roles"][0]["storage"]["size"] = json!("30Gi")),
        ),
        (
            "volumes that grow by themselves from now on",
            changed(|it| {
                it["spec"]["roles"][0]["storage"]["autoGrow"] =
                    json!({ "max": "20Gi", "threshold": "90%", "step": "512Mi", "coolDown": "6h" });
            }),
        ),
        ("less storage than what its volumes have not got yet", {
            let mut case = changed(|it| it["spec"]["roles"][0]["storage"]["size"] = json!("15Gi"));
            let old = case.old.as_mut().unwrap();
            old["status"]["conditions"] = json!([{
                "type": "StorageResizing", "status": "True", "reason": "ResizeFailed",
                "message": "no room", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]);
            case
        }),
        (
            "as much storage in other words",
            changed(|it| it["spec"]["roles"][0]["storage"]["size"] = json!("20480Mi")),
        ),
        (
            "storage of a role without members",
            changed(|it| it["spec"]["roles"][1]["storage"] = json!({ "size": "1Gi" })),
        ),
        (
            "a change that says no defaults again",
            changed(|it| {
                it["spec"] = cluster()["spec"].clone();
                it["spec"]["roles"][1]["members"] = json!(4);
            }),
        ),
        (
            "no requests, where limits are enough for the application",
            role(&json!({ "resources": { "requests": { "cpu": "1" } } })),
        ),
        (
            "shared memory that is forced",
            role_in(&json!({ "sharedMemory": "1Gi" }), |around| {
                around.kubernetes_minor = Some(21);
                around.config = serde_json::from_value(json!({
                    "forceSharedMemorySizeSupport": true,
                }))
                .ok();
            }),
        ),
        (
            "no storage, where the application can do without",
            role(&json!({ "storage": null })),
        ),
    ];
    for (name, case) in rows {
        assert_eq!(told_of(&case), "", "{name}");
    }
}

#[test]
fn each_rule_is_told_with_its_field_and_what_to_do() {
    let claim = json!({ "volumeProjections": [{ "pvcName": "data", "mountPath": "/data" }] });
    let rows = [
        // What KubeDirector's section of the application and of the whole asks.
        (
            "an unknown application",
            Case {
                around: |it| it.local_app = None,
                ..Case::default()
            },
        ),
        (
            "an application that is not in this catalog",
            created(&json!({ "appCatalog": "system" })),
        ),
        ("an application that is wrong", {
            let mut case = Case::default();
            case.app["spec"]["config"]["selectedRoles"] = json!(["sead"]);
            case
        }),
        (
            "fewer members than the application needs",
            role(&json!({ "members": 1 })),
        ),
        ("another number of members than the application has", {
            let mut case = Case::default();
            case.cluster["spec"]["roles"][1]["id"] = json!("witness");
            case
        }),
        (
            "a negative number of members",
            role(&json!({ "members": -1 })),
        ),
        (
            "more members than a cluster may have",
            role(&json!({ "members": 999 })),
        ),
        (
            "a role that the application has not",
            role(&json!({ "id": "seeds" })),
        ),
        ("a role twice", {
            let mut case = Case::default();
            case.cluster["spec"]["roles"][1]["id"] = json!("seed");
            case
        }),
        ("a role that the application needs", {
            let mut case = Case::default();
            case.cluster["spec"]["roles"]
                .as_array_mut()
                .unwrap()
                .remove(0);
            case
        }),
        // Resources.
        (
            "no limits",
            role(&json!({ "resources": { "limits": { "memory": null } } })),
        ),
        (
            "less than the application needs, by limits",
            role(&json!({ "resources": { "limits": { "memory": "1Gi" } } })),
        ),
        (
            "less than the application needs, by requests",
            role(&json!({ "resources": { "requests": { "memory": "1Gi" } } })),
        ),
        (
            "nothing of what the application needs",
            role(&json!({ "resources": { "limits": { "example.com/disk": null } } })),
        ),
        (
            "more requested than allowed",
            role(&json!({ "resources": { "requests": { "cpu": "3" } } })),
        ),
        (
            "a resource that is none",
            role(&json!({ "resources": { "limits": { "cpu": "1.2.3" } } })),
        ),
        // Storage.
        (
            "less storage than the application needs",
            role(&json!({ "storage": { "size": "1Gi" } })),
        ),
        ("no storage, though the application needs some", {
            let mut case = role(&json!({ "storage": null }));
            case.app["spec"]["roles"][0]["minStorage"]["ephemeralModeSupported"] = json!(false);
            case
        }),
        (
            "storage that is none",
            role(&json!({ "storage": { "size": "0" } })),
        ),
        (
            "growth to less than there is",
            role(&json!({ "storage": { "autoGrow": { "max": "10Gi" } } })),
        ),
        (
            "growth that nobody can read",
            role(&json!({ "storage": { "autoGrow": {
                "max": "much", "threshold": "0%", "step": "110%", "coolDown": "soon",
            } } })),
        ),
        (
            "a threshold that is no share",
            role(&json!({ "storage": { "autoGrow": { "max": "1Ti", "threshold": "0.8" } } })),
        ),
        (
            "growth of a class whose volumes do not grow",
            role_in(
                &json!({ "storage": { "autoGrow": { "max": "1Ti" } } }),
                |it| {
                    it.storage_classes.expandable.clear();
                },
            ),
        ),
        (
            "a class that does not exist",
            role(&json!({ "storage": { "storageClassName": "slow" } })),
        ),
        (
            "no class at all",
            Case {
                around: |it| it.storage_classes.default = None,
                ..Case::default()
            },
        ),
        (
            "a default class that does not exist",
            role_in(&json!({}), |it| {
                it.config =
                    serde_json::from_value(json!({ "defaultStorageClassName": "slow" })).ok();
            }),
        ),
        (
            "devices that are none",
            role(&json!({ "blockStorage": {
                "pathPrefix": "disk", "numDevices": 1, "size": "x", "storageClassName": "slow",
            } })),
        ),
        (
            "no devices",
            role(&json!({ "blockStorage": { "pathPrefix": "/disk", "numDevices": 0 } })),
        ),
        (
            "shared memory that is none",
            role(&json!({ "sharedMemory": "-1Gi" })),
        ),
        (
            "shared memory that there is not",
            role_in(&json!({ "sharedMemory": "1Gi" }), |it| {
                it.kubernetes_minor = Some(21);
            }),
        ),
        // Labels.
        (
            "labels and annotations that are none",
            role(&json!({
                "podLabels": { "a b": "x" }, "podAnnotations": { "/": "x" },
                "serviceLabels": { "a": "-x-" }, "serviceAnnotations": { "a/b/c": "x" },
            })),
        ),
        (
            "variables that are none",
            role(&json!({ "env": [{ "name": "A=", "value": "1" }] })),
        ),
        // Accounts.
        (
            "an account that does not exist",
            role_in(&json!({ "serviceAccountName": "db" }), |it| {
                it.service_accounts.clear();
            }),
        ),
        (
            "an account of somebody else",
            role_in(&json!({ "serviceAccountName": "db" }), |it| {
                it.reviews = Some(BTreeSet::new());
            }),
        ),
        // Files.
        (
            "files that cannot be fetched",
            role_in(
                &json!({ "fileInjections": [
                    { "srcURL": "https://example.com/a", "destDir": "/opt" },
                    { "srcURL": "https://example.com/b", "destDir": "/opt" },
                ] }),
                |it| {
                    it.urls = Some(BTreeMap::from([(
                        "https://example.com/a".to_owned(),
                        Err("404 Not Found".to_owned()),
                    )]));
                },
            ),
        ),
        (
            "files that are none",
            role(&json!({ "fileInjections": [{
                "srcURL": "ftp://example.com/a", "destDir": "opt",
                "permissions": { "fileMode": 7777 },
            }] })),
        ),
        // Secrets.
        (
            "a Secret that does not exist",
            role_in(
                &json!({ "secret": { "name": "keys", "mountPath": "/keys" } }),
                |it| {
                    it.secrets.clear();
                },
            ),
        ),
        (
            "a Secret without the prefix that Secrets have",
            role_in(
                &json!({ "secret": { "name": "keys", "mountPath": "/keys" } }),
                |it| {
                    it.config =
                        serde_json::from_value(json!({ "requiredSecretPrefix": "kd-" })).ok();
                },
            ),
        ),
        (
            "a default Secret that does not exist, told once",
            Case {
                around: |it| it.secrets.clear(),
                ..created(&json!({ "defaultSecret": { "name": "keys", "mountPath": "/keys" } }))
            },
        ),
        (
            "a Secret in a place that is none",
            created(&json!({ "defaultSecret": {
                "name": "Keys", "mountPath": "keys", "defaultMode": -1,
            } })),
        ),
        (
            "an encrypted text from elsewhere",
            role(&json!({ "secretKeys": [{ "name": "a", "encryptedValue": "00" }] })),
        ),
        (
            "two secret texts of a name",
            role(&json!({ "secretKeys": [{ "name": "a", "value": "x" }, { "name": "a" }] })),
        ),
        // Claims.
        (
            "a claim that does not exist",
            role_in(&claim, |it| it.claims.clear()),
        ),
        (
            "a claim of somebody else",
            role_in(&claim, |it| {
                it.reviews = Some([Review::of_claim("data", true)].into());
            }),
        ),
        (
            "a claim that is a device",
            role_in(&claim, |it| {
                for claim in it.claims.values_mut() {
                    claim.volume_mode = VolumeMode::Block;
                }
            }),
        ),
        (
            "a claim for one node alone",
            role_in(&claim, |it| {
                for claim in it.claims.values_mut() {
                    claim.access_modes = [AccessMode::ReadWriteOnce].into();
                }
            }),
        ),
        (
            "a claim that can only be read",
            role_in(&claim, |it| {
                for claim in it.claims.values_mut() {
                    claim.access_modes = [AccessMode::ReadOnlyMany].into();
                }
            }),
        ),
        (
            "claims in places that are taken",
            role(&json!({
                "secret": { "name": "keys", "mountPath": "/opt/app/keys" },
                "volumeProjections": [
                    { "pvcName": "a", "mountPath": "/etc/app" },
                    { "pvcName": "a", "mountPath": "/opt" },
                    { "pvcName": "a", "mountPath": "/opt/app" },
                    { "pvcName": "a", "mountPath": "/var/lib" },
                    { "pvcName": "a", "mountPath": "/data" },
                    { "pvcName": "a", "mountPath": "/data/" },
                    { "pvcName": "A", "mountPath": "data" },
                ],
            })),
        ),
        // Connections and names.
        (
            "connections that are none",
            created(&json!({ "connections": {
                "clusters": ["prod", "Other"], "secrets": ["a", "a"], "configmaps": ["a b"],
            } })),
        ),
        (
            "a budget that is none",
            role(&json!({ "disruptionBudget": { "maxUnavailable": 1, "minAvailable": 1 } })),
        ),
        ("a name that fits into no label", {
            let mut case = Case::default();
            case.cluster["metadata"]["name"] = json!("a".repeat(64));
            case
        }),
        // Changes. Whatever else is wrong, they are told alone.
        (
            "another application",
            changed(|it| {
                it["spec"]["app"] = json!("web");
                it["spec"]["roles"][0]["members"] = json!(0);
            }),
        ),
        (
            "another catalog",
            changed(|it| it["spec"]["appCatalog"] = json!("system")),
        ),
        (
            "other names",
            changed(|it| it["spec"]["namingScheme"] = json!("CrNameRole")),
        ),
        (
            "what members have for good",
            changed(|it| {
                merge(
                    &mut it["spec"]["roles"][0],
                    &json!({
                        "members": 0,
                        "storage": { "size": "30Gi", "storageClassName": "fast" },
                        "blockStorage": { "pathPrefix": "/disk", "numDevices": 1 },
                        "fileInjections": [{ "srcURL": "https://example.com/a", "destDir": "/opt" }],
                    }),
                );
            }),
        ),
        (
            "less storage",
            changed(|it| it["spec"]["roles"][0]["storage"]["size"] = json!("15Gi")),
        ),
        ("more storage of a class whose volumes do not grow", {
            let mut case = changed(|it| it["spec"]["roles"][0]["storage"]["size"] = json!("30Gi"));
            case.around = |it| it.storage_classes.expandable.clear();
            case
        }),
        (
            "a role that comes back before its members are gone",
            changed(|it| {
                let role = json!({
                    "id": "witness", "members": 3,
                    "resources": { "limits": { "memory": "1Gi", "cpu": "1" } },
                });
                it["spec"]["roles"].as_array_mut().unwrap().push(role);
            }),
        ),
        ("a change before the cluster was looked at", {
            let mut case = changed(|it| it["spec"]["roles"][0]["members"] = json!(3));
            case.old.as_mut().unwrap()["status"] = Value::Null;
            case
        }),
        ("a change before the last one was looked at", {
            let mut case = changed(|it| it["spec"]["roles"][0]["members"] = json!(3));
            case.old.as_mut().unwrap()["metadata"]["generation"] = json!(3);
            case
        }),
        ("a change before KubeDirector looked at the last one", {
            let mut case = changed(|it| it["spec"]["roles"][0]["members"] = json!(3));
            case.old.as_mut().unwrap()["status"]["state"] = json!("spec modified");
            case
        }),
        ("a change while KubeDirector restores the cluster", {
            let mut case = changed(|it| it["spec"]["roles"][0]["members"] = json!(3));
            restoring(case.old.as_mut().unwrap());
            restoring(&mut case.cluster);
            case
        }),
        ("the end of a restore that is wrong", {
            let mut case = changed(|_| {});
            restoring(case.old.as_mut().unwrap());
            case.around = |it| it.local_app = None;
            case
        }),
    ];
    assert_eq!(
        told_of(&Case {
            around: nothing,
            ..Case::default()
        }),
        ""
    );
    let mut rows: Vec<String> = rows
        .into_iter()
        .map(|(name, case)| {
            let told = told_of(&case);
            assert!(!told.is_empty(), "{name} is not told");
            format!("{name}\n{told}")
        })
        .collect();
    let mut restored = cluster();
    restoring(&mut restored);
    let errors = delete_cluster(&read(&restored)).unwrap_err();
    rows.push(format!(
        "deleting a cluster while KubeDirector restores it\n{}",
        told(&errors)
    ));
    restored["metadata"]["labels"]["kubedirector.hpe.com/allow-delete-while-restoring"] = json!("");
    assert!(delete_cluster(&read(&restored)).is_ok());
    insta::assert_snapshot!(rows.join("\n\n"));
}
