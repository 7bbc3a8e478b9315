use std::path::Path;

use super::admission::{Request, admit, admit_app};
use super::*;
use crate::decode::decode;
use crate::parse;

/// The names of the applications of KubeDirector's catalog, whose shape the manifests have.
pub(super) const CATALOG: [&str; 20] = [
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

pub(super) fn manifest(folder: &str, name: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/director");
    let text = std::fs::read_to_string(root.join(folder).join(format!("{name}.yaml"))).unwrap();
    parse::objects(&text).unwrap().remove(0)
}

#[test]
fn the_applications_of_the_catalog_and_their_clusters_are_admitted() {
    for name in CATALOG {
        let app: KubeDirectorApp =
            decode(&manifest("apps", name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let app = admit_app(None, &app, &[]).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        assert!(
            app.spec
                .roles
                .iter()
                .all(|role| !role.config_package.is_inherited())
        );
        let cluster: KubeDirectorCluster =
            decode(&manifest("clusters", name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let around = admission::tests::with_everything(&cluster, &app);
        let admitted = admit(Request::Create, &cluster, &around);
        let admitted = admitted.unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        let (cluster, _) = admitted.into_parts();
        assert!(cluster.spec.roles.iter().all(|role| role.members.is_some()));
    }
}

/// What a client of the API server reads has no schema to help it, and must lose nothing.
#[test]
fn manifests_of_the_catalog_read_and_write_the_same() {
    for name in CATALOG {
        let app = manifest("apps", name);
        let read: KubeDirectorApp = serde_json::from_value(app.clone()).unwrap();
        assert_same(&serde_json::to_value(&read).unwrap(), &app, name);
        let cluster = manifest("clusters", name);
        let read: KubeDirectorCluster = serde_json::from_value(cluster.clone()).unwrap();
        assert_same(&serde_json::to_value(&read).unwrap(), &cluster, name);
    }
}

/// Everything that was written is still there, but for what says nothing.
fn assert_same(read: &Value, written: &Value, path: &str) {
    match written {
        Value::Object(fields) => {
            for (name, value) in fields {
                let says_nothing = value == &Value::Bool(false)
                    || value.as_object().is_some_and(serde_json::Map::is_empty);
                if !says_nothing {
                    assert_same(&read[name], value, &format!("{path}.{name}"));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                assert_same(&read[index], item, &format!("{path}[{index}]"));
            }
        }
        other => assert_eq!(read, other, "{path}"),
    }
}

fn rules_of(schema: &Value, path: &str, found: &mut Vec<String>) {
    let rules = schema["x-kubernetes-validations"].as_array();
    for rule in rules.into_iter().flatten() {
        found.push(format!("{path}: {}", rule["message"].as_str().unwrap()));
    }
    let fields = schema["properties"].as_object().into_iter().flatten();
    for (name, field) in fields {
        rules_of(field, &format!("{path}.{name}"), found);
    }
    if schema["items"].is_object() {
        rules_of(&schema["items"], &format!("{path}[]"), found);
    }
}

#[test]
fn the_definitions_have_the_rules_that_a_schema_can_say() {
    let mut found = Vec::new();
    for crd in crds() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        rules_of(schema, kind, &mut found);
    }
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn the_definitions_are_called_as_users_call_them() {
    let names = |crd: &Value| {
        let names = &crd["spec"]["names"];
        let status = &crd["spec"]["versions"][0]["subresources"]["status"];
        format!(
            "{} {} {} status: {}",
            crd["metadata"]["name"].as_str().unwrap(),
            names["kind"].as_str().unwrap(),
            names["shortNames"],
            status.is_object()
        )
    };
    let all = crds().into_iter().chain(original_crds());
    let all: Vec<String> = all.map(|crd| names(&crd)).collect();
    insta::assert_snapshot!(all.join("\n"));
}
