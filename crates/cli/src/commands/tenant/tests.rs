use clap::Parser as _;
use serde_json::Value;

use super::objects::objects;
use crate::args::{Cli, Command, TenantArgs, TenantCommand};

fn args(words: &[&str]) -> TenantArgs {
    let head = ["windlass", "tenant", "create"].iter();
    let cli = Cli::try_parse_from(head.chain(words)).unwrap();
    match cli.command {
        Command::Tenant {
            command: TenantCommand::Create(args),
        } => *args,
        other => panic!("{other:?}"),
    }
}

fn made(words: &[&str]) -> Vec<Value> {
    objects(&args(words)).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

#[test]
fn a_team_gets_a_namespace_with_all_it_needs_and_nothing_of_others() {
    let objects = made(&[
        "ada",
        "--group",
        "ada-team",
        "--user",
        "grace@example.org",
        "--quota",
        "cpu=20,memory=64Gi,pods=100,windlass.dev/running=5",
        "--max",
        "memory=16Gi",
        "--allow-from",
        "monitoring,ingress-nginx",
    ]);
    insta::assert_snapshot!(windlass_api::parse::to_yaml_documents(&objects).unwrap());
}

#[test]
fn what_is_not_asked_for_is_not_made() {
    let objects = made(&["ada"]);
    assert_eq!(of_kind(&objects, "ResourceQuota"), None);
    // The driver's alone.
    let bindings = objects.iter().filter(|it| it["kind"] == "RoleBinding");
    assert_eq!(bindings.count(), 1);
}

#[test]
fn nothing_that_people_may_write_widens_their_rights() {
    let keeps = [
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
        "namespaces",
        "resourcequotas",
        "limitranges",
        "networkpolicies",
        "sparkpolicies",
        "serviceaccounts",
        "serviceaccounts/token",
        "nodes",
        "persistentvolumes",
        "*",
    ];
    let objects = made(&["ada", "--group", "ada-team"]);
    let role = objects
        .iter()
        .find(|it| it["kind"] == "Role" && it["metadata"]["name"] == "windlass-tenant");
    for rule in role.unwrap()["rules"].as_array().unwrap() {
        let words = |field: &str| -> Vec<&str> {
            let words = rule[field].as_array().unwrap().iter();
            words.map(|word| word.as_str().unwrap()).collect()
        };
        assert!(!words("verbs").contains(&"*"), "{rule}");
        assert!(!words("apiGroups").contains(&"*"), "{rule}");
        let writes = words("verbs")
            .iter()
            .any(|verb| !["get", "list", "watch"].contains(verb));
        for resource in words("resources") {
            assert!(!writes || !keeps.contains(&resource), "{rule}");
        }
    }
    for object in objects {
        let is_the_namespace = object["kind"] == "Namespace";
        assert!(
            is_the_namespace || object["metadata"]["namespace"] == "ada",
            "{object}"
        );
    }
}

#[test]
fn what_cannot_be_meant_is_told_with_its_option() {
    let told: Vec<String> = [
        &["windlass-system"] as &[&str],
        &["ada", "--quota", "cpu=1,cpu=2"],
        &["ada", "--quota", "limits.cpu=20"],
        &[
            "ada",
            "--default-request",
            "cpu=1",
            "--default-request",
            "cpu=2",
        ],
    ]
    .iter()
    .map(|words| objects(&args(words)).unwrap_err().message)
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}
