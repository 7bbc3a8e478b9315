use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn manifest() -> Value {
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorApp",
        "metadata": { "name": "db" },
        "spec": {
            "label": { "name": "Database" },
            "distroID": "example/db",
            "version": "1.0",
            "configSchemaVersion": 8,
            "defaultImageRepoTag": "example/db:1",
            "defaultConfigPackage": { "packageURL": "file:///opt/setup.tgz" },
            "services": [
                { "id": "ssh", "label": { "name": "SSH" }, "endpoint": { "port": 22 } },
                {
                    "id": "db",
                    "label": { "name": "Database" },
                    "endpoint": { "port": 9042, "urlScheme": "db", "healthCheck": { "tcp": {} } },
                },
                { "id": "daemon", "label": { "name": "A daemon" } },
            ],
            "roles": [
                { "id": "seed", "cardinality": "2+" },
                { "id": "worker", "cardinality": "0+" },
            ],
            "config": {
                "selectedRoles": ["seed", "worker"],
                "roleServices": [
                    { "roleID": "seed", "serviceIDs": ["ssh", "db", "daemon"] },
                    { "roleID": "worker", "serviceIDs": ["ssh", "db"] },
                ],
            },
        },
    })
}

fn read(manifest: &Value) -> KubeDirectorApp {
    decode(manifest).unwrap_or_else(|error| panic!("{error}"))
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

/// What validation says of the application when its specification is changed like this.
fn told(change: &Value) -> String {
    let mut manifest = manifest();
    merge(&mut manifest["spec"], change);
    let errors = match decode::<KubeDirectorApp>(&manifest) {
        Ok(app) => validate(&app),
        Err(error) => return format!("{error}"),
    };
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn with_role(fields: &Value) -> Value {
    let mut role = json!({ "id": "seed", "cardinality": "2+" });
    merge(&mut role, fields);
    json!({ "roles": [role, { "id": "worker", "cardinality": "0+" }] })
}

fn with_service(fields: &Value) -> Value {
    let mut services = manifest()["spec"]["services"].clone();
    merge(&mut services[1], fields);
    json!({ "services": services })
}

#[test]
fn an_application_that_is_right_is_told_nothing() {
    assert_eq!(told(&json!({})), "");
    let everything = with_role(&json!({
        "imageRepoTag": "example/db:2",
        "configPackage": {
            "packageURL": "configmap://db-setup/setup.tgz",
            "useNewSetupLayout": true,
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        },
        "persistDirs": ["/var/lib/db"],
        "eventList": ["configure", "addnodes", "delnodes"],
        "minResources": { "memory": "4Gi", "cpu": "500m", "example.com/disk": 1 },
        "minStorage": { "size": "10Gi", "ephemeralModeSupported": true },
        "containerSpec": { "stdin": true, "tty": true, "command": ["init"], "args": ["--all"] },
        "env": [{ "name": "HEAP", "value": "1g" }, { "name": "EMPTY" }],
        "maxLogSizeDump": 0,
        "drain": { "arguments": ["--decommission"], "timeoutSeconds": 600, "onFailure": "Hold" },
        "demand": { "command": ["a", "--demand"], "periodSeconds": 5, "timeoutSeconds": 3 },
        "disruptionBudget": { "maxUnavailable": "25%" },
    }));
    assert_eq!(told(&everything), "");
}

#[test]
fn each_mistake_is_told_with_its_field_and_what_to_do() {
    let rows = [
        ("a label without a name", json!({ "label": { "name": "" } })),
        ("a distro without a name", json!({ "distroID": "" })),
        ("a version without a name", json!({ "version": "" })),
        ("an old schema", json!({ "configSchemaVersion": 6 })),
        (
            "a logo of another type",
            json!({ "logoURL": "https://example.com/logo.gif" }),
        ),
        (
            "a capability with its prefix",
            json!({ "capabilities": ["CAP_IPC_LOCK", ""] }),
        ),
        (
            "a service with a long name",
            with_service(&json!({ "id": "database-service" })),
        ),
        (
            "a service that is no DNS label",
            with_service(&json!({ "id": "db_1" })),
        ),
        (
            "two services of a name",
            with_service(&json!({ "id": "ssh" })),
        ),
        (
            "a service without a label",
            with_service(&json!({ "label": null })),
        ),
        (
            "a port that is none",
            with_service(&json!({ "endpoint": { "port": 65536 } })),
        ),
        (
            "a dashboard without a scheme",
            with_service(&json!({ "endpoint": { "isDashboard": true, "urlScheme": null } })),
        ),
        (
            "a scheme that is none",
            with_service(&json!({ "endpoint": { "urlScheme": "HTTP" } })),
        ),
        (
            "two health checks in one",
            with_service(&json!({ "endpoint": { "healthCheck": { "http": { "path": "x" } } } })),
        ),
        (
            "a health check of no time",
            with_service(&json!({ "endpoint": { "healthCheck": { "periodSeconds": 0 } } })),
        ),
        (
            "a health check of no program",
            with_service(
                &json!({ "endpoint": { "healthCheck": { "tcp": null, "exec": { "command": [] } } } }),
            ),
        ),
        (
            "two ports that are one",
            with_service(&json!({ "endpoint": { "port": 22 } })),
        ),
        (
            "a package that is no archive",
            json!({ "defaultConfigPackage": { "packageURL": "https://example.com/setup.zip" } }),
        ),
        (
            "a package of an image by a path that is none",
            json!({ "defaultConfigPackage": { "packageURL": "file://setup.tgz" } }),
        ),
        (
            "a package of a ConfigMap without a key",
            json!({ "defaultConfigPackage": { "packageURL": "configmap://setup.tgz" } }),
        ),
        (
            "a sum that is none",
            json!({ "defaultConfigPackage": { "sha256": "e3b0c442" } }),
        ),
        (
            "a directory that is none",
            json!({ "defaultPersistDirs": ["data", "/data/"] }),
        ),
        (
            "an event that there is not",
            json!({ "defaultEventList": ["addnode"] }),
        ),
        (
            "two roles of a name",
            json!({ "roles": [
                { "id": "seed", "cardinality": "2+" }, { "id": "seed", "cardinality": "1" },
                { "id": "worker", "cardinality": "0+" },
            ] }),
        ),
        (
            "a role that is no value of a label",
            with_role(&json!({ "id": "seed!" })),
        ),
        (
            "a cardinality that is none",
            with_role(&json!({ "cardinality": "2-4" })),
        ),
        (
            "a role without an image",
            json!({ "defaultImageRepoTag": null }),
        ),
        (
            "resources that are none",
            with_role(&json!({ "minResources": { "memory": "4GB" } })),
        ),
        (
            "storage that is none",
            with_role(&json!({ "minStorage": { "size": "0" } })),
        ),
        (
            "a terminal without input",
            with_role(&json!({ "containerSpec": { "tty": true } })),
        ),
        (
            "a container that is idle and is not",
            with_role(&json!({ "containerSpec": { "idle": true, "command": ["init"] } })),
        ),
        (
            "a user that is none",
            with_role(&json!({ "containerSpec": { "runAsUser": -1 } })),
        ),
        (
            "a variable without a name",
            with_role(&json!({ "env": [{ "name": "A" }, { "name": "B=" }, { "name": "" }] })),
        ),
        (
            "a hook that is two",
            with_role(&json!({ "drain": { "command": ["a"], "arguments": ["--b"] } })),
        ),
        (
            "a hook of no time",
            with_role(&json!({ "drain": { "command": ["a"], "timeoutSeconds": 0 } })),
        ),
        (
            "a hook of a package that there is not",
            with_role(&json!({ "configPackage": null, "drain": { "arguments": ["--b"] } })),
        ),
        (
            "two ways to ask for demand, at no time",
            with_role(&json!({ "demand": {
                "command": ["a"], "arguments": ["--b"], "periodSeconds": 0, "timeoutSeconds": 121,
            } })),
        ),
        (
            "demand asked of nobody",
            with_role(&json!({ "demand": { "roleID": "sead", "command": [] } })),
        ),
        (
            "demand asked of a script that there is none of",
            with_role(&json!({ "configPackage": null, "demand": { "arguments": ["--b"] } })),
        ),
        (
            "a default hook of a package that there is not",
            json!({ "defaultConfigPackage": null, "defaultDrain": { "arguments": ["--b"] } }),
        ),
        (
            "a budget that is none",
            with_role(
                &json!({ "disruptionBudget": { "maxUnavailable": "half", "minAvailable": -1 } }),
            ),
        ),
        (
            "a role that is selected and is not there",
            json!({ "config": { "selectedRoles": ["seeds"] } }),
        ),
        (
            "a role that is selected twice",
            json!({ "config": { "selectedRoles": ["seed", "seed"] } }),
        ),
        (
            "services of a role that is not there",
            json!({ "config": { "roleServices": [{ "roleID": "master", "serviceIDs": ["ssh"] }] } }),
        ),
        (
            "services of a role said twice",
            json!({ "config": { "roleServices": [
                { "roleID": "seed", "serviceIDs": ["ssh"] }, { "roleID": "seed", "serviceIDs": ["db"] },
            ] } }),
        ),
        (
            "a service that is not there",
            json!({ "config": { "roleServices": [{ "roleID": "seed", "serviceIDs": ["shh", "ssh", "ssh"] }] } }),
        ),
    ];
    let rows = rows.map(|(name, change)| {
        let told = told(&change);
        assert!(!told.is_empty(), "{name} is not told");
        format!("{name}\n{told}")
    });
    insta::assert_snapshot!(rows.join("\n\n"));
}

#[test]
fn a_name_must_fit_into_a_label() {
    let mut app = read(&manifest());
    app.metadata.name = Some("a".repeat(64));
    let told = validate(&app)[0].to_string();
    let expected = "has 64 characters but at most 63 are allowed; choose a shorter one";
    assert!(
        told.starts_with("metadata.name: ") && told.ends_with(expected),
        "{told}"
    );
}

#[test]
fn a_package_may_be_absent_null_or_given() {
    let mut manifest = manifest();
    manifest["spec"]["roles"] = json!([
        { "id": "seed", "cardinality": "2+" },
        { "id": "worker", "cardinality": "0+", "configPackage": null },
        { "id": "own", "cardinality": "0+",
          "configPackage": { "packageURL": "https://example.com/a.tgz" } },
    ]);
    let app = read(&manifest);
    let packages: Vec<_> = app.spec.roles.iter().map(|it| &it.config_package).collect();
    assert!(matches!(
        packages[..],
        [
            Inheritable::Inherited,
            Inheritable::Nothing,
            Inheritable::Given(_)
        ]
    ));
    // As it was read it is written.
    let written = serde_json::to_value(&app).unwrap();
    assert_eq!(written["spec"]["roles"], manifest["spec"]["roles"]);
    // A client of the API server reads it without a schema.
    let again: KubeDirectorApp = serde_json::from_value(written).unwrap();
    assert_eq!(again, app);
}

#[test]
fn a_folded_application_has_its_defaults_in_its_roles() {
    let mut manifest = manifest();
    merge(
        &mut manifest["spec"],
        &json!({
            "defaultPersistDirs": ["/data"],
            "defaultEventList": ["configure"],
            "defaultDrain": { "command": ["stop"] },
            "roles": [
                { "id": "seed", "cardinality": "2+" },
                {
                    "id": "worker", "cardinality": "0+", "imageRepoTag": "example/worker:1",
                    "configPackage": null, "persistDirs": [], "drain": null, "maxLogSizeDump": 1024,
                    "eventList": ["addnodes"],
                },
            ],
        }),
    );
    insta::assert_yaml_snapshot!(fold(&read(&manifest).spec));
}

#[test]
fn where_a_package_is_follows_from_its_url() {
    let source = |url: &str| {
        let package = ConfigPackage {
            package_url: url.to_owned(),
            ..ConfigPackage::default()
        };
        package.source().map(|it| format!("{it:?}"))
    };
    insta::assert_snapshot!(
        [
            "file:///opt/a.tgz",
            "https://example.com/a.tgz",
            "http://example.com/a.tar.gz",
            "configmap://setup/a.tgz",
            "file://opt/a.tgz",
            "https:///a.tgz",
            "configmap:///a.tgz",
            "configmap://setup/a/b.tgz",
            "ftp://example.com/a.tgz",
            "https://example.com/a.zip",
        ]
        .map(|url| format!("{url}: {:?}", source(url)))
        .join("\n")
    );
}

fn any_choice<T: Clone + std::fmt::Debug + 'static>(
    given: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Inheritable<T>> {
    prop_oneof![
        Just(Inheritable::Inherited),
        Just(Inheritable::Nothing),
        given.prop_map(Inheritable::Given),
    ]
}

fn any_package() -> impl Strategy<Value = ConfigPackage> {
    "[a-z]{1,4}".prop_map(|name| ConfigPackage {
        package_url: format!("file:///opt/{name}.tgz"),
        ..ConfigPackage::default()
    })
}

fn any_drain() -> impl Strategy<Value = Drain> {
    "[a-z]{1,4}".prop_map(|name| Drain {
        command: Some(vec![name]),
        ..Drain::default()
    })
}

fn any_directories() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::of(prop::collection::vec("/[a-z]{1,4}", 0..3))
}

fn any_events() -> impl Strategy<Value = Option<Vec<LifecycleEvent>>> {
    let event = prop_oneof![
        Just(LifecycleEvent::Configure),
        Just(LifecycleEvent::AddNodes),
        Just(LifecycleEvent::DelNodes),
    ];
    prop::option::of(prop::collection::vec(event, 0..3))
}

prop_compose! {
    fn any_role()(
        image in prop::option::of("[a-z]{1,4}"),
        package in any_choice(any_package()),
        directories in any_directories(),
        events in any_events(),
        dump in prop::option::of(0..1024),
        drain in any_choice(any_drain()),
    ) -> AppRole {
        AppRole {
            id: "role".to_owned(),
            image_repo_tag: image,
            config_package: package,
            persist_dirs: directories,
            event_list: events,
            max_log_size_dump: dump,
            drain,
            ..AppRole::default()
        }
    }
}

prop_compose! {
    fn any_app()(
        image in prop::option::of("[a-z]{1,4}"),
        package in any_choice(any_package()),
        directories in any_directories(),
        events in any_events(),
        dump in prop::option::of(0..1024),
        drain in any_choice(any_drain()),
        token in any::<bool>(),
        roles in prop::collection::vec(any_role(), 0..4),
    ) -> AppSpec {
        let endpoint = Endpoint { port: 1, auth_token: token, ..Endpoint::default() };
        AppSpec {
            default_image_repo_tag: image,
            default_config_package: package,
            default_persist_dirs: directories,
            default_event_list: events,
            default_max_log_size_dump: dump,
            default_drain: drain,
            services: vec![Service { endpoint: Some(endpoint), ..Service::default() }],
            roles,
            ..AppSpec::default()
        }
    }
}

proptest! {
    #[test]
    fn folding_again_changes_nothing(spec in any_app()) {
        let folded = fold(&spec);
        prop_assert_eq!(fold(&folded), folded.clone());
        // Neither does storing it in between.
        let stored = serde_json::to_value(&folded).unwrap();
        let read: AppSpec = serde_json::from_value(stored).unwrap();
        prop_assert_eq!(read, folded);
    }
}
