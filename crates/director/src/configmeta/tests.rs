use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_api::director::app::{Endpoint, Label};

use super::*;

pub(crate) fn service(id: &str, port: Option<i32>, scheme: Option<&str>) -> Service {
    Service {
        id: id.to_owned(),
        label: Label {
            name: format!("The {id}"),
            ..Label::default()
        },
        endpoint: port.map(|port| Endpoint {
            port,
            url_scheme: scheme.map(str::to_owned),
            ..Endpoint::default()
        }),
        exported_service: None,
    }
}

fn members(name: &str, first: u32, count: u32) -> Vec<MemberDescription> {
    let member = |index| MemberDescription {
        pod: format!("{name}-{index}"),
        node_id: first + index,
    };
    (0..count).map(member).collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A Spark of two roles with members and one without.
fn spark(name: &str, set: &str, workers: u32) -> Description {
    let mut ui = service("spark-ui", Some(8080), Some("http"));
    ui.exported_service = Some("spark".to_owned());
    if let Some(endpoint) = &mut ui.endpoint {
        endpoint.has_auth_token = true;
    }
    let role = |id: &str, services: &[&str], members| RoleDescription {
        id: id.to_owned(),
        services: services.iter().map(|it| (*it).to_owned()).collect(),
        members,
        flavor: Flavor {
            memory_mib: 4096,
            cores: 2,
        },
        secret_keys: BTreeMap::new(),
        token: None,
        block_devices: Vec::new(),
    };
    let mut controller = role(
        "controller",
        &["spark-ui", "spark-master", "ssh"],
        members(&format!("{set}c"), 1, 1),
    );
    controller.token = Some(Hidden::new("t0ken"));
    controller
        .secret_keys
        .insert("password".to_owned(), Hidden::new("hunter2"));
    let mut worker = role(
        "worker",
        &["spark-worker", "ssh"],
        members(&format!("{set}w"), 1001, workers),
    );
    worker.block_devices = vec!["/dev/b0".to_owned()];
    Description {
        name: name.to_owned(),
        uid: "5f0c1f0e".to_owned(),
        schema_version: 7,
        distro_id: "bluedata/spark".to_owned(),
        app_version: "2.4.5".to_owned(),
        config_meta: texts(&[("streaming", "true")]),
        domain: Domain::new(&format!("kdhs-{set}"), "team", ".svc.cluster.local"),
        services: vec![
            ui,
            service("spark-master", Some(7077), Some("spark")),
            service("spark-worker", Some(8081), None),
            service("ssh", None, None),
        ],
        roles: vec![controller, worker, role("jupyter", &["ssh"], Vec::new())],
    }
}

fn connections() -> Connections {
    Connections {
        clusters: vec![spark("other", "o", 2)],
        config_maps: vec![
            ConnectedConfigMap {
                kind: "model".to_owned(),
                name: "first".to_owned(),
                data: texts(&[("path", "/models/1")]),
                labels: texts(&[("kubedirector.hpe.com/cmType", "model")]),
                annotations: BTreeMap::new(),
            },
            ConnectedConfigMap {
                kind: "model".to_owned(),
                name: "second".to_owned(),
                data: texts(&[("path", "/models/2")]),
                ..ConnectedConfigMap::default()
            },
        ],
        secrets: vec![ConnectedSecret {
            kind: "notebookusersecret".to_owned(),
            name: "users".to_owned(),
            data: BTreeMap::from([("notebook_username".to_owned(), Hidden::new("YWRtaW4="))]),
            labels: texts(&[("team", "a")]),
            annotations: BTreeMap::new(),
        }],
    }
}

fn file_of(document: &Document, pod: &str) -> Value {
    serde_json::from_str(&document.file(pod).unwrap()).unwrap()
}

fn sample() -> Value {
    serde_json::from_str(&sample_file()).unwrap()
}

/// What a worker of a connected Spark reads.
pub(crate) fn sample_file() -> String {
    let document = Document::of(&spark("sql", "s", 2), &connections(), &[]);
    document.file("sw-1").unwrap()
}

#[test]
fn the_file_of_a_member_has_these_fields() {
    let document = Document::of(&spark("sql", "s", 2), &Connections::default(), &[]);
    insta::assert_json_snapshot!(file_of(&document, "sw-1"));
}

#[test]
fn what_a_cluster_is_connected_to_has_these_fields() {
    insta::assert_json_snapshot!(sample()["connections"]);
}

#[test]
fn roles_without_members_are_left_out_and_so_are_their_services() {
    let document = Document::of(&spark("sql", "s", 0), &Connections::default(), &[]);
    let file = file_of(&document, "sc-0");
    assert_eq!(
        file["nodegroups"]["1"]["roles"].as_object().unwrap().len(),
        1
    );
    assert!(file["services"].get("spark-worker").is_none());
    assert!(file["services"]["ssh"]["1"].get("worker").is_none());
}

#[test]
fn who_leaves_has_a_file_of_its_own_and_is_in_nobody_elses() {
    let leaver = MemberDescription {
        pod: "sw-2".to_owned(),
        node_id: 1003,
    };
    let document = Document::of(
        &spark("sql", "s", 2),
        &Connections::default(),
        &[("worker".to_owned(), leaver)],
    );
    assert_eq!(file_of(&document, "sw-2")["node"]["role_id"], "worker");
    assert!(!document.common().contains("sw-2"));
}

/// Where references of one cluster lead, every one of them.
fn references(value: &Value, found: &mut Vec<Vec<String>>) {
    if let Some(path) = value.get("bdvlibrefkey") {
        found.push(serde_json::from_value(path.clone()).unwrap());
        return;
    }
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    for value in inner {
        references(value, found);
    }
}

#[test]
fn references_of_a_connected_cluster_lead_into_it() {
    let file = sample();
    let mut found = Vec::new();
    references(&file["connections"]["clusters"]["other"], &mut found);
    assert!(found.len() > 10);
    for path in found {
        assert_eq!(path[..3], ["connections", "clusters", "other"], "{path:?}");
        assert!(lookup(&file, &path.join(".")).is_ok(), "{path:?}");
    }
    let mut own = Vec::new();
    for key in ["services", "nodegroups", "distros", "cluster"] {
        references(&file[key], &mut own);
    }
    for path in own {
        assert_eq!(path[0], "nodegroups");
        assert!(lookup(&file, &path.join(".")).is_ok(), "{path:?}");
    }
}

#[test]
fn keys_lead_where_configcli_leads() {
    let file = sample();
    let fqdn = |pod: &str| format!("{pod}.kdhs-s.team.svc.cluster.local");
    for (key, expected) in [
        ("version", "7".to_owned()),
        ("node.role_id", "worker".to_owned()),
        ("node.hostname", fqdn("sw-1")),
        ("node.depends_on", String::new()),
        ("cluster.isolated", "false".to_owned()),
        ("cluster.config_metadata.1.streaming", "true".to_owned()),
        ("cluster.config_metadata.1", "streaming".to_owned()),
        ("services.spark-master.1", "controller".to_owned()),
        ("services.spark-master.1.controller.fqdns", fqdn("sc-0")),
        (
            "services.spark-master.1.controller.endpoints",
            format!("spark://{}:7077", fqdn("sc-0")),
        ),
        (
            "distros.bluedata/spark.1.roles.worker.fqdns",
            format!("{},{}", fqdn("sw-0"), fqdn("sw-1")),
        ),
        (
            "connections.clusters.other.services.spark-master.1.controller.hostnames",
            "oc-0.kdhs-o.team.svc.cluster.local".to_owned(),
        ),
        (
            "connections.configmaps.model",
            "annotations,data,labels,metadata".to_owned(),
        ),
        (
            "connections.configmaps.model.data.path",
            "/models/2".to_owned(),
        ),
        (
            "connections.secrets.notebookusersecret.data.notebook_username",
            "YWRtaW4=".to_owned(),
        ),
    ] {
        assert_eq!(
            lookup(&file, key).map(|it| it.to_string()),
            Ok(expected),
            "{key}"
        );
    }
    for key in [
        "node.nothing",
        "version.x",
        "",
        "node.role_id.x",
        "services.ssh.1.jupyter",
    ] {
        assert_eq!(lookup(&file, key), Err(NoSuchKey(key.to_owned())), "{key}");
    }
}

#[test]
fn values_of_any_kind_are_answered_and_circles_are_not_followed() {
    let file = json!({
        "null": null, "int": 3, "mixed": [1, "a"], "empty": [],
        "a": {"bdvlibrefkey": ["b"]}, "b": {"bdvlibrefkey": ["a"]},
        "chain": {"bdvlibrefkey": ["end", "x"]}, "end": {"x": {"bdvlibrefkey": ["int"]}},
    });
    assert_eq!(lookup(&file, "null"), Ok(Answer::Nothing));
    assert_eq!(lookup(&file, "int"), Ok(Answer::One("3".to_owned())));
    assert_eq!(lookup(&file, "chain"), Ok(Answer::One("3".to_owned())));
    assert_eq!(lookup(&file, "empty"), Ok(Answer::Many(Vec::new())));
    assert!(lookup(&file, "mixed").is_err());
    assert!(lookup(&file, "a").is_err());
}

#[test]
fn no_debug_shows_a_secret() {
    let (cluster, connections) = (spark("sql", "s", 1), connections());
    let document = Document::of(&cluster, &connections, &[]);
    assert!(document.common().contains("hunter2"));
    let shown = format!("{cluster:?} {connections:?} {document:?}");
    for secret in ["hunter2", "t0ken", "YWRtaW4="] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

proptest! {
    #[test]
    fn the_parts_are_the_whole(
        workers in 0_u32..40,
        name in "[a-z\"\\\\é ]{1,12}",
        secret in ".{0,12}",
    ) {
        let mut cluster = spark(&name, "s", workers);
        cluster.roles[0].secret_keys.insert("k".to_owned(), Hidden::new(secret.clone()));
        let document = Document::of(&cluster, &connections(), &[]);
        prop_assert!(document.common().ends_with(",\"node\":"));
        prop_assert_eq!(document.nodes().count() as u32, workers + 1);
        for (pod, node) in document.nodes() {
            let whole: Value = serde_json::from_str(&format!("{}{node}", document.common())).unwrap();
            prop_assert_eq!(&whole["cluster"]["name"], &Value::from(name.as_str()));
            let kept = &whole["nodegroups"]["1"]["roles"]["controller"]["secret_keys"]["k"];
            prop_assert_eq!(kept, &Value::from(secret.as_str()));
            let fqdn = whole["node"]["fqdn"].as_str().unwrap();
            let start = format!("{pod}.");
            prop_assert!(fqdn.starts_with(&start), "{}", fqdn);
        }
        prop_assert_eq!(document, Document::of(&cluster, &connections(), &[]));
    }
}
