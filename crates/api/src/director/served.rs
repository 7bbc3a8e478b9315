//! What an API server makes of the definitions: their patterns and rules, asked as it asks them.

use serde_json::{Value, json};
use windlass_apimachinery::structural::StructuralSchema;

use super::tests::{CATALOG, manifest};
use super::*;

fn schema_of(kind: &str) -> StructuralSchema {
    let crds = crds();
    let crd = crds.iter().find(|crd| crd["spec"]["names"]["kind"] == kind);
    compiled(crd.unwrap())
}

fn compiled(crd: &Value) -> StructuralSchema {
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    StructuralSchema::compile(schema, "schema").unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}: {}", crd["metadata"]["name"], lines.join("\n"))
    })
}

fn spec_of(manifest: &Value) -> Value {
    json!({ "spec": manifest["spec"] })
}

fn told(schema: &StructuralSchema, object: &Value, old: Option<&Value>) -> String {
    let errors = match old {
        None => schema.validate(object),
        Some(old) => schema.validate_update(object, old),
    };
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn all_definitions_are_taken() {
    for crd in crds().iter().chain(&original_crds()) {
        compiled(crd);
    }
}

#[test]
fn manifests_of_the_catalog_are_taken_and_lose_nothing() {
    for (kind, folder) in [
        ("KubeDirectorApp", "apps"),
        ("KubeDirectorCluster", "clusters"),
    ] {
        let schema = schema_of(kind);
        for name in CATALOG {
            let mut object = spec_of(&manifest(folder, name));
            let written = object.clone();
            assert_eq!(schema.prune(&mut object), Vec::<String>::new(), "{name}");
            schema.default(&mut object);
            assert_eq!(object, written, "{name}");
            assert_eq!(told(&schema, &object, None), "", "{name}");
        }
    }
}

#[test]
fn an_original_manifest_loses_nothing_either() {
    for crd in original_crds() {
        let schema = compiled(&crd);
        let written = json!({ "spec": {
            "app": "a", "distro_id": "b", "anything": { "else": [null] },
            "roles": [{ "name": "c", "setup_package": null }],
        } });
        let mut object = written.clone();
        schema.prune(&mut object);
        assert_eq!(object, written);
    }
}

#[test]
fn what_a_schema_can_say_the_api_server_refuses() {
    let app = spec_of(&manifest("apps", "cassandra311"));
    let cluster = spec_of(&manifest("clusters", "cassandra311"));
    let changed = |object: &Value, pointer: &str, value: Value| {
        let mut object = object.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value;
        object
    };
    let rows = [
        ("/spec/roles/0/containerSpec", json!({ "tty": true })),
        (
            "/spec/roles/0/containerSpec",
            json!({ "idle": true, "args": ["x"] }),
        ),
        ("/spec/roles/0/containerSpec", json!({ "runAsUser": -1 })),
        ("/spec/services/0/endpoint/isDashboard", json!(true)),
        (
            "/spec/services/0/endpoint/healthCheck",
            json!({ "tcp": {}, "grpc": {} }),
        ),
        ("/spec/services/0/id", json!("a_service")),
        ("/spec/services/0/id", json!("a-long-service-id")),
        ("/spec/services/0/id", json!("cassandra")),
        ("/spec/roles/0/id", json!("worker")),
        ("/spec/roles/0/cardinality", json!("2-4")),
        ("/spec/roles/0/minResources", json!({ "memory": "a lot" })),
        ("/spec/roles/0/drain", json!({ "timeoutSeconds": 1 })),
        ("/spec/roles/0/disruptionBudget", json!({})),
        (
            "/spec/roles/0/configPackage",
            json!({ "packageURL": "ftp://a/b.tgz" }),
        ),
        ("/spec/defaultPersistDirs", json!(["data/"])),
        ("/spec/defaultEventList", json!(["added"])),
        ("/spec/configSchemaVersion", json!(6)),
        ("/spec/config/selectedRoles", json!(["seed", "seed"])),
        ("/spec/logoURL", json!("https://example.com/a.gif")),
    ];
    let schema = schema_of("KubeDirectorApp");
    let of_apps = rows.map(|(pointer, value)| told(&schema, &changed(&app, pointer, value), None));
    let rows = [
        ("/spec/app", json!("")),
        ("/spec/serviceType", json!("ExternalName")),
        ("/spec/roles/0/resources/limits", json!({ "memory": "1Gi" })),
        ("/spec/roles/0/resources/limits/cpu", json!("two")),
        ("/spec/roles/1/id", json!("seed")),
        ("/spec/roles/0/members", json!(-1)),
        (
            "/spec/roles/0/secret",
            json!({ "name": "a", "mountPath": "b", "defaultMode": 600 }),
        ),
        (
            "/spec/roles/0/blockStorage",
            json!({ "pathPrefix": "a", "numDevices": 0 }),
        ),
        (
            "/spec/roles/0/fileInjections",
            json!([{ "srcURL": "ftp://a", "destDir": "b" }]),
        ),
        (
            "/spec/roles/0/volumeProjections",
            json!([{ "pvcName": "a", "mountPath": "/" }]),
        ),
        (
            "/spec/roles/0/disruptionBudget",
            json!({ "maxUnavailable": 1, "minAvailable": 1 }),
        ),
    ];
    let schema = schema_of("KubeDirectorCluster");
    let of_clusters =
        rows.map(|(pointer, value)| told(&schema, &changed(&cluster, pointer, value), None));
    let stored = changed(&cluster, "/spec/appCatalog", json!("local"));
    let changes = [
        changed(&stored, "/spec/app", json!("other")),
        changed(&stored, "/spec/appCatalog", json!("system")),
        cluster.clone(),
    ];
    let of_changes = changes.map(|object| told(&schema, &object, Some(&stored)));
    let all = of_apps.into_iter().chain(of_clusters).chain(of_changes);
    let all: Vec<String> = all.collect();
    assert!(all.iter().all(|row| !row.is_empty()), "{all:#?}");
    insta::assert_snapshot!(all.join("\n\n"));
}
