use std::collections::BTreeMap;

use serde_json::Value;
use windlass_api::parse;

use super::*;
use crate::configmeta::{Connections, Document};
use crate::names::{Names, Present};
use crate::samples;

fn names(blueprint: &Blueprint) -> Names {
    let subject = blueprint.subject();
    let roles = blueprint.roles.iter().map(|role| role.id.as_str());
    Names::settle(subject, roles, Present::default())
}

/// All objects of a cluster but the Secret of its delivery, as YAML.
fn shown(blueprint: &Blueprint) -> String {
    let names = names(blueprint);
    let mut objects = vec![headless_service(blueprint, &names)];
    for role in blueprint.roles.iter().filter(|role| role.members > 0) {
        let mut set = stateful_set(blueprint, &names, role, role.members, None);
        // Its test is another one.
        let script = set.pointer_mut("/spec/template/spec/initContainers/0/command/2");
        if let Some(script) = script {
            *script = json!("[copy.sh]");
        }
        objects.push(set);
        objects.extend(budget(blueprint, &names, role));
        objects.extend(member_service(blueprint, &names, role, 0));
    }
    parse::to_yaml_documents(&objects).unwrap()
}

#[test]
fn a_small_cluster_consists_of_these_objects() {
    insta::assert_snapshot!(shown(&samples::spark(2)));
}

#[test]
fn a_cluster_with_everything_consists_of_these_objects() {
    insta::assert_snapshot!(shown(&samples::everything()));
}

#[test]
fn only_budgets_are_missing_where_the_cluster_does_not_serve_them() {
    let budgets = |serves_budgets: bool| {
        let shown = shown(&samples::everything().as_served(serves_budgets));
        let kinds = shown.lines().filter(|line| line.starts_with("kind: "));
        let (budgets, others): (Vec<&str>, Vec<&str>) =
            kinds.partition(|line| line.ends_with("PodDisruptionBudget"));
        (budgets.len(), others.len())
    };
    let (with, others) = budgets(true);
    assert_eq!(with, 1);
    assert_eq!(budgets(false), (0, others));
}

#[test]
fn growing_changes_no_template() {
    let template = |members| {
        let blueprint = samples::spark(members);
        let names = names(&blueprint);
        let role = blueprint.role("worker").unwrap().clone();
        stateful_set(&blueprint, &names, &role, 1, None)
    };
    assert_eq!(template(2), template(5));
}

#[test]
fn the_delivery_has_all_that_members_are_told_and_shows_it_to_no_debug() {
    let blueprint = samples::everything();
    let names = names(&blueprint);
    let seed = Seed::new("a seed");
    let description = blueprint.describe(
        &names,
        |role| role.members,
        |role| Some(seed.token(&role.id)),
    );
    let delivery = Delivery {
        generation: 7,
        document: Document::of(&description, &Connections::default(), &[]),
        memo: "7 - node:0".to_owned(),
        seed: seed.clone(),
    };
    let pods: Vec<String> = (0..2).map(|ordinal| names.pod("node", ordinal)).collect();
    let staying = || pods.iter().map(String::as_str);
    let content = content_hash(&delivery.document, staying(), &delivery.memo, &seed);
    let secret = delivery_secret(&blueprint, &names, &delivery, &content);
    let keys: Vec<String> = secret["data"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut expected: Vec<String> = [
        "agent",
        "common",
        "configcli",
        "configcli.sh",
        "generation",
        "memo",
        "probe",
        "seed",
    ]
    .map(str::to_owned)
    .into();
    expected.extend(pods.iter().map(|pod| format!("node.{pod}")));
    expected.push("token.node".to_owned());
    expected.sort();
    let mut keys = keys;
    keys.sort();
    assert_eq!(keys, expected);
    assert_eq!(
        secret["metadata"]["annotations"][GENERATION_ANNOTATION],
        "7"
    );
    let other = content_hash(&delivery.document, staying(), "8 - node:0-1", &seed);
    assert_ne!(content, other);
    let shown = format!("{delivery:?} {blueprint:?}");
    for secret in ["a seed", "hunter2", seed.token("node").expose()] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn a_thousand_members_fit_into_the_delivery() {
    let blueprint = samples::spark(999);
    let names = names(&blueprint);
    let description = blueprint.describe(&names, |role| role.members, |_| None);
    let delivery = Delivery {
        generation: 1,
        document: Document::of(&description, &Connections::default(), &[]),
        memo: "1 - controller:0 worker:0-998".to_owned(),
        seed: Seed::new("a seed"),
    };
    let secret = delivery_secret(&blueprint, &names, &delivery, "");
    let values = secret["data"].as_object().unwrap().values();
    let encoded: usize = values.map(|value| value.as_str().unwrap().len()).sum();
    // The API server counts what is encoded, and base64 makes 4 bytes of 3.
    assert!(encoded / 4 * 3 < 1 << 20, "{encoded}");
}

#[test]
fn claims_of_a_stateful_set_that_is_there_stay_as_they_are() {
    let blueprint = samples::everything();
    let names = names(&blueprint);
    let role = blueprint.role("node").unwrap();
    let claims = json!([{"metadata": {"name": "p"}, "spec": {"was": "before"}}]);
    let set = stateful_set(&blueprint, &names, role, 2, Some(&claims));
    assert_eq!(set["spec"]["volumeClaimTemplates"], claims);
}

#[test]
fn the_first_release_named_ports_by_their_number() {
    let mut blueprint = samples::spark(1);
    blueprint.scheme = crate::names::Scheme::Original;
    let names = names(&blueprint);
    let service = member_service(&blueprint, &names, blueprint.role("controller").unwrap(), 0);
    let ports = service.unwrap()["spec"]["ports"].clone();
    let ports: BTreeMap<String, Value> = ports
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            (
                port["name"].as_str().unwrap().to_owned(),
                port["port"].clone(),
            )
        })
        .collect();
    assert_eq!(ports["port-8080"], 8080);
}

/// All objects, and what the first member of each role is told.
fn shown_with_files(blueprint: &Blueprint) -> String {
    let names = names(blueprint);
    let description = blueprint.describe(&names, |role| role.members, |_| None);
    let document = Document::of(&description, &Connections::default(), &[]);
    let mut text = shown(blueprint);
    let common: Value = serde_json::from_str(&format!("{}{{}}}}", document.common())).unwrap();
    text += "---\n# configmeta.json\n";
    text += &parse::to_yaml(&common).unwrap();
    text
}

#[test]
fn the_applications_of_the_catalog_become_these_objects() {
    for name in samples::CATALOG {
        let blueprint = samples::of_catalog(name);
        insta::assert_snapshot!(format!("catalog_{name}"), shown_with_files(&blueprint));
    }
}

#[test]
fn the_applications_of_the_first_release_become_these_objects() {
    for name in ["spark221e2", "cassandra311", "spark211up"] {
        let blueprint = samples::of_the_first_release(name);
        insta::assert_snapshot!(format!("original_{name}"), shown_with_files(&blueprint));
    }
}
