use serde_json::{Value, json};

use super::*;
use crate::decode::decode;
use crate::director::{app, cluster};
use crate::parse;

const MANIFESTS: [(&str, &str); 3] = [
    (
        "spark221e2",
        include_str!("../../../testdata/director/original/spark221e2.yaml"),
    ),
    (
        "cassandra311",
        include_str!("../../../testdata/director/original/cassandra311.yaml"),
    ),
    (
        "spark211up",
        include_str!("../../../testdata/director/original/spark211up.yaml"),
    ),
];

fn shown<K: Serialize>(conversion: &Conversion<K>) -> Value {
    let notes: Vec<String> = conversion.notes.iter().map(ToString::to_string).collect();
    json!({ "object": conversion.object, "notes": notes })
}

fn told(errors: &[crate::field::FieldError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn app_of(spec: Value) -> KubeDirectorApp {
    let Value::Object(fields) = spec else {
        panic!("no object");
    };
    KubeDirectorApp::new("demo", AppSpec { fields })
}

fn small_app() -> Value {
    json!({
        "distro_id": "demo/one", "version": "1",
        "roles": [{ "id": "one", "cardinality": "1", "image": { "repoTag": "demo:1" } }],
        "config": { "selected_roles": ["one"], "role_services": [] },
    })
}

#[test]
fn manifests_of_all_three_spellings_are_applications_and_clusters_of_today() {
    for (name, text) in MANIFESTS {
        let documents = parse::objects(text).unwrap();
        let app: KubeDirectorApp = decode(&documents[0]).unwrap();
        let app = convert_app(&app).unwrap_or_else(|errors| panic!("{name}: {}", told(&errors)));
        let cluster: KubeDirectorCluster = decode(&documents[1]).unwrap();
        let cluster =
            convert_cluster(&cluster).unwrap_or_else(|errors| panic!("{name}: {}", told(&errors)));
        insta::assert_yaml_snapshot!(
            format!("{name}_converted"),
            json!({ "app": shown(&app), "cluster": shown(&cluster) })
        );
    }
}

#[test]
fn a_cluster_of_that_time_has_its_names_and_the_ports_of_nodes() {
    let documents = parse::objects(MANIFESTS[0].1).unwrap();
    let cluster: KubeDirectorCluster = decode(&documents[1]).unwrap();
    let converted = convert_cluster(&cluster).unwrap().object;
    let spec = &converted.spec;
    assert_eq!(spec.service_type, Some(cluster::ServiceType::NodePort));
    assert_eq!(spec.naming_scheme, Some(cluster::NamingScheme::Original));
    assert_eq!(converted.metadata.name.as_deref(), Some("spark-instance"));
}

#[test]
fn what_nobody_said_then_is_filled_in() {
    let converted = convert_app(&app_of(small_app())).unwrap();
    let spec = &converted.object.spec;
    assert_eq!(spec.label.name, "demo");
    assert_eq!(spec.config_schema_version, 7);
    assert_eq!(
        spec.default_persist_dirs.as_deref(),
        Some(&["/var".to_owned()][..])
    );
    assert_eq!(
        converted.notes[0].to_string(),
        "spec.configSchemaVersion: is not given, and taken to be 7"
    );
}

#[test]
fn a_role_without_a_package_stays_without_one() {
    let mut spec = small_app();
    spec["setup_package"] = json!({ "import_url": "https://example.com/a.tgz" });
    spec["roles"][0]["setup_package"] = Value::Null;
    // Also where it was read from a manifest.
    let document = json!({
        "apiVersion": "kubedirector.bluedata.io/v1alpha1",
        "kind": "KubeDirectorApp",
        "metadata": { "name": "demo" },
        "spec": spec,
    });
    let original = decode(&document).unwrap();
    let converted = convert_app(&original).unwrap().object.spec;
    let folded = app::fold(&converted);
    assert_eq!(
        folded.roles[0].config_package,
        crate::director::Inheritable::Nothing
    );
}

#[test]
fn mistakes_are_told_by_the_names_that_were_written() {
    let mut twice = small_app();
    twice["distroID"] = json!("demo/two");
    let mut images = small_app();
    images["roles"][0]["imageRepoTag"] = json!("demo:2");
    let mut bad = small_app();
    bad["roles"][0]["image"]["repoTag"] = json!(7);
    bad["roles"][0]["setup_package"] = json!({ "import_url": "https://example.com/a.zip" });
    bad["config"]["role_services"] = json!([{ "role_id": "oen", "service_ids": ["web"] }]);
    let mut unread = small_app();
    unread["setup_package"] = json!({ "import_url": "ftp://example.com/a.tgz" });
    unread["config"]["node_services"] = json!([]);
    unread["config"]["role_services"] = json!([{ "role_id": "oen", "service_ids": ["web"] }]);
    let mut meant = small_app();
    meant["setup_package"] = json!({ "import_url": "ftp://example.com/a.tgz" });
    meant["config"]["role_services"] = json!([{ "role_id": "oen", "service_ids": ["web"] }]);
    let rows = [
        ("two spellings of a field", twice),
        ("two spellings of an image", images),
        ("values of another type", bad),
        ("two spellings deep inside", unread),
        ("what cannot be meant", meant),
    ];
    let rows = rows.map(|(name, spec)| {
        let errors = convert_app(&app_of(spec)).unwrap_err();
        format!("{name}\n{}", told(&errors))
    });
    insta::assert_snapshot!(rows.join("\n\n"));
}

#[test]
fn a_status_is_told_in_the_words_of_that_time() {
    let status = cluster::ClusterStatus {
        state: cluster::ClusterState::Configured,
        cluster_service: Some("svc-demo-abcde".to_owned()),
        roles: vec![cluster::RoleStatus {
            id: "one".to_owned(),
            stateful_set: "demo-one-abcde".to_owned(),
            members: vec![cluster::MemberStatus {
                pod: "demo-one-abcde-0".to_owned(),
                state: cluster::MemberState::Configured,
                ..cluster::MemberStatus::default()
            }],
            ..cluster::RoleStatus::default()
        }],
        ..cluster::ClusterStatus::default()
    };
    let told = in_words_of_that_time(&status);
    assert_eq!(told.state, "ready");
    assert_eq!(told.roles[0].members[0].state, "ready");
}
