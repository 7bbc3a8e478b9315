//! A case for each way a cluster is known not to be ready.

use serde_json::json;
use windlass_engine::Namespaces;

use super::*;

const NOW: &str = "2026-03-01T12:00:30Z";

fn scope(stage: Stage, job_namespaces: &[&str]) -> Scope {
    Scope {
        stage,
        home: "windlass-system".to_owned(),
        job_namespaces: job_namespaces.iter().map(|&it| it.to_owned()).collect(),
        known_by: KnownBy::Name,
        driver_account: "spark".to_owned(),
        virtual_clusters: false,
        storage: false,
    }
}

fn lease(namespace: &str, name: &str, renewed: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"holderIdentity": "pod-1", "leaseDurationSeconds": 15, "renewTime": renewed},
    })
}

const FRESH: &str = "2026-03-01T12:00:25.000000Z";
const STALE: &str = "2026-03-01T11:00:00.000000Z";

fn deployment(namespace: &str, name: &str, image: &str, args: &[&str]) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": image, "args": args}]}}},
        "status": {"availableReplicas": 1},
    })
}

fn kubeflow(args: &[&str]) -> Value {
    let image = "ghcr.io/kubeflow/spark-operator/controller:2.4.0";
    deployment("spark", "spark-operator-controller", image, args)
}

fn established(mut definition: Value) -> Value {
    definition["status"] = json!({
        "storedVersions": [definition["spec"]["versions"][0]["name"]],
        "conditions": [{"type": "Established", "status": "True"}],
    });
    definition
}

fn definitions() -> Vec<Value> {
    windlass_api::crds().into_iter().map(established).collect()
}

/// A cluster that is ready before, and in which all is well after the installation.
fn well() -> Facts {
    Facts {
        version: "v1.35.4".to_owned(),
        definitions: Look::Seen(definitions()),
        leases: Look::Seen(vec![lease("windlass-system", "windlass-operator", FRESH)]),
        deployments: Look::Seen(vec![deployment(
            "windlass-system",
            "windlass-operator",
            "registry.example/windlass:0.1.0",
            &["operator"],
        )]),
        namespaces: Look::Seen(vec![json!({"metadata": {"name": "etl"}})]),
        ..Facts::default()
    }
}

/// The problems and notes, a line each.
fn told(scope: &Scope, facts: &Facts) -> String {
    let findings = judge(scope, facts, NOW.parse().unwrap());
    for finding in &findings {
        assert!(!finding.what.contains('\n'), "{}", finding.what);
        let has_next = finding.next.as_ref().is_some_and(|next| !next.is_empty());
        assert!(
            finding.verdict != Verdict::Problem || has_next,
            "{}",
            finding.what
        );
    }
    let order: Vec<Category> = findings.iter().map(|it| it.category).collect();
    assert!(order.is_sorted(), "{order:?}");
    let lines = findings
        .into_iter()
        .filter(|it| it.verdict != Verdict::Ok)
        .map(|it| {
            let next = it.next.unwrap_or_default();
            format!(
                "{:?} {}: {} => {next}",
                it.verdict,
                it.category.as_str(),
                it.what
            )
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn before(facts: &Facts) -> String {
    told(&scope(Stage::Before, &["etl"]), facts)
}

fn after(facts: &Facts) -> String {
    told(&scope(Stage::After, &["etl"]), facts)
}

#[test]
fn a_cluster_that_is_well_has_nothing_to_tell() {
    assert_eq!(before(&well()), "");
    assert_eq!(after(&well()), "");
    let empty = Facts {
        version: "v1.35.4".to_owned(),
        ..Facts::default()
    };
    assert_eq!(told(&scope(Stage::Before, &[]), &empty), "");
}

#[test]
fn versions_are_told_apart() {
    let of = |version: &str| {
        after(&Facts {
            version: version.to_owned(),
            ..well()
        })
    };
    assert_eq!(of("v1.35.4+k3s1"), "");
    insta::assert_snapshot!(
        [of("v1.19.3"), of("v1.20.15"), of("v1.24.17-eks"), of("dev")].join("\n")
    );
}

#[test]
fn another_operator_of_the_same_namespaces_is_a_problem() {
    let with = |deployments: Vec<Value>, leases: Vec<Value>| {
        before(&Facts {
            deployments: Look::Seen(deployments),
            leases: Look::Seen(leases),
            ..well()
        })
    };
    let lock = |renewed| lease("spark", "my-spark-operator-controller-lock", renewed);
    let mut scaled_down = kubeflow(&["controller", "start"]);
    scaled_down["spec"]["replicas"] = json!(0);
    let old = deployment(
        "spark",
        "spark",
        "gcr.io/googlecloudplatform/spark-operator:v1beta2-1.3.8",
        &["-v=2", "-namespace=etl"],
    );
    insta::assert_snapshot!(
        [
            with(
                vec![kubeflow(&["controller", "start", "--namespaces=etl,ml"])],
                vec![lock(FRESH)]
            ),
            with(
                vec![kubeflow(&["controller", "start", "--namespaces="])],
                vec![]
            ),
            with(vec![old], vec![]),
            with(vec![], vec![lock(FRESH)]),
        ]
        .join("\n")
    );
    for nobody in [
        with(
            vec![kubeflow(&["controller", "start", "--namespaces", "ml"])],
            vec![],
        ),
        with(vec![kubeflow(&["webhook", "start"])], vec![]),
        with(vec![scaled_down], vec![]),
        with(vec![], vec![lock(STALE)]),
        // A registry of that name is nobody's operator.
        with(
            vec![deployment("a", "b", "spark-operator.example/tool:1", &[])],
            vec![],
        ),
    ] {
        assert_eq!(nobody, "");
    }
}

#[test]
fn operators_that_go_by_labels_share_a_cluster_as_long_as_no_namespace_has_both() {
    let named = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    let apart = vec![
        named("etl", json!({"team": "etl"})),
        named("ml", json!({"spark": "kubeflow"})),
    ];
    let both = vec![named("etl", json!({"team": "etl", "spark": "kubeflow"}))];
    let theirs = kubeflow(&["controller", "start", "--namespace-selector=spark=kubeflow"]);
    let alone = kubeflow(&["controller", "start", "--namespaces=ml"]);
    let ours = Namespaces::Selected("team=etl".parse().unwrap());
    let etl = Namespaces::Named(vec!["etl".to_owned()]);
    for (theirs, ours, known, expected) in [
        (&theirs, &ours, Some(&apart), 0),
        (&theirs, &ours, Some(&both), 1),
        // Nobody knows who has which label.
        (&theirs, &ours, None, 1),
        (&theirs, &Namespaces::All, Some(&apart), 1),
        (&theirs, &etl, Some(&apart), 0),
        (&theirs, &etl, Some(&both), 1),
        (&alone, &ours, Some(&apart), 0),
        (&alone, &etl, None, 0),
    ] {
        let deployments = std::slice::from_ref(theirs);
        let known = known.map(Vec::as_slice);
        let found = others(&[], deployments, ours, known, NOW.parse().unwrap());
        assert_eq!(found.len(), expected, "{theirs} {ours:?} {known:?}");
    }
}

#[test]
fn a_broken_policy_is_a_problem_that_names_its_field() {
    let policy =
        |spec: Value| json!({"metadata": {"name": "team", "namespace": "etl"}, "spec": spec});
    let with = |policies: Vec<Value>| {
        after(&Facts {
            policies: Look::Seen(policies),
            ..well()
        })
    };
    assert_eq!(
        with(vec![policy(json!({"allowedImages": ["apache/spark"]}))]),
        ""
    );
    let told = with(vec![policy(json!({"allowedImages": []}))]);
    for part in [
        "nothing is submitted in namespace etl",
        "SparkPolicy etl/team: spec.allowedImages",
        "correct the named fields",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_webhook_that_nobody_answers_is_a_problem() {
    let webhook = |policy: &str| {
        json!({
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "spark-operator-webhook"},
            "webhooks": [{
                "failurePolicy": policy,
                "clientConfig": {"service": {"namespace": "spark", "name": "spark-operator-webhook-svc"}},
            }],
        })
    };
    let with = |policy: &str, deployments: Vec<Value>| {
        let mut facts = well();
        facts.webhooks = Look::Seen(vec![webhook(policy)]);
        if let Look::Seen(all) = &mut facts.deployments {
            all.extend(deployments);
        }
        after(&facts)
    };
    insta::assert_snapshot!(
        [
            with("Fail", vec![]),
            with("Ignore", vec![]),
            with("Fail", vec![kubeflow(&["webhook", "start"])]),
        ]
        .join("\n")
    );
}

#[test]
fn an_operator_that_is_not_there_or_not_ready_is_a_problem() {
    let mut not_ready = deployment("windlass-system", "windlass-operator", "r/windlass:1", &[]);
    not_ready["status"] = json!({"conditions": [{
        "type": "Available", "status": "False",
        "message": "Deployment does not have minimum availability.",
    }]});
    let with = |deployments: Vec<Value>, leases: Vec<Value>| {
        after(&Facts {
            deployments: Look::Seen(deployments),
            leases: Look::Seen(leases),
            ..well()
        })
    };
    insta::assert_snapshot!(
        [
            with(
                vec![not_ready],
                vec![lease("windlass-system", "windlass-operator", STALE)]
            ),
            with(vec![], vec![lease("elsewhere", "windlass-operator", FRESH)]),
        ]
        .join("\n")
    );
}

#[test]
fn definitions_that_are_missing_or_not_ours_are_told() {
    let with = |stage, definitions: Vec<Value>| {
        let facts = Facts {
            definitions: Look::Seen(definitions),
            ..well()
        };
        told(&scope(stage, &["etl"]), &facts)
    };
    let mut theirs = definitions();
    theirs[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"type": "object"});
    let mut older = definitions();
    older[0]["status"]["storedVersions"] = json!(["v1beta1", "v1beta2"]);
    let mut refused = definitions();
    refused[1]["status"]["conditions"] = json!([
        {"type": "NamesAccepted", "status": "False", "message": "short name is taken"},
        {"type": "Established", "status": "False"},
    ]);
    insta::assert_snapshot!(
        [
            with(Stage::After, vec![]),
            with(Stage::Before, theirs.clone()),
            with(Stage::After, theirs),
            with(Stage::Before, older),
            with(Stage::After, refused),
        ]
        .join("\n\n")
    );
}

#[test]
fn the_definition_of_the_first_operator_is_looked_for_where_the_operator_is_told_to_serve_it() {
    let with = |stage, argument: &str, definitions: Vec<Value>| {
        let image = "registry.example/windlass:0.1.0";
        let arguments = ["operator", argument];
        let ours = deployment("windlass-system", "windlass-operator", image, &arguments);
        let facts = Facts {
            definitions: Look::Seen(definitions),
            deployments: Look::Seen(vec![ours]),
            ..well()
        };
        told(&scope(stage, &["etl"]), &facts)
    };
    let missing = "Problem Definitions: sparkapplications.spark-operator.k8s.io is not there => apply \
                   what windlass install --original-api prints, or take --original-api and \
                   --original-image from the operator's arguments";
    for argument in ["--original-api", "--original-image=apache/spark:4.3.0"] {
        assert_eq!(with(Stage::After, argument, definitions()), missing);
        // Install is about to bring it.
        assert_eq!(with(Stage::Before, argument, definitions()), "");
        let mut all = definitions();
        all.push(established(windlass_api::original_crd()));
        assert_eq!(with(Stage::After, argument, all), "");
    }
    assert_eq!(with(Stage::After, "--pod-monitors", definitions()), "");
}

#[test]
fn missing_rights_are_summed_up_by_their_holder() {
    let right = |whose, resource: &str, verb: &str, namespace: Option<&str>, answer| Right {
        whose,
        group: if resource == "leases" {
            "coordination.k8s.io"
        } else {
            ""
        }
        .to_owned(),
        resource: resource.to_owned(),
        verb: verb.to_owned(),
        namespace: namespace.map(str::to_owned),
        answer,
    };
    let unknown = || Answer::Unknown("forbidden".to_owned());
    insta::assert_snapshot!(after(&Facts {
        rights: vec![
            right(
                Whose::Drivers,
                "pods",
                "create",
                Some("etl"),
                Answer::Denied
            ),
            right(
                Whose::Drivers,
                "pods",
                "delete",
                Some("etl"),
                Answer::Denied
            ),
            right(
                Whose::Drivers,
                "services",
                "create",
                Some("etl"),
                Answer::Allowed
            ),
            right(
                Whose::Operators,
                "pods",
                "create",
                Some("etl"),
                Answer::Allowed
            ),
            right(
                Whose::Operators,
                "leases",
                "get",
                Some("windlass-system"),
                Answer::Denied
            ),
            right(Whose::Operators, "pods", "list", None, unknown()),
            right(Whose::Yours, "namespaces", "create", None, Answer::Denied),
        ],
        ..well()
    }));
}

#[test]
fn namespaces_that_refuse_pods_of_spark_are_told() {
    let quota = json!({
        "metadata": {"namespace": "etl", "name": "team"},
        "spec": {"hard": {"limits.cpu": "20", "limits.memory": "80Gi"}},
    });
    let defaults = json!({
        "metadata": {"namespace": "etl", "name": "defaults"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]},
    });
    let restricted = json!({"metadata": {
        "name": "etl",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    }});
    let elsewhere = json!({"metadata": {
        "name": "other",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    }});
    let leaving = json!({"metadata": {"name": "etl"}, "status": {"phase": "Terminating"}});
    let with = |namespaces: Vec<Value>, quotas: Vec<Value>, limits: Vec<Value>| {
        before(&Facts {
            namespaces: Look::Seen(namespaces),
            quotas: Look::Seen(quotas),
            limits: Look::Seen(limits),
            ..well()
        })
    };
    insta::assert_snapshot!(
        [
            with(vec![], vec![], vec![]),
            with(vec![leaving], vec![], vec![]),
            with(vec![restricted, elsewhere], vec![quota.clone()], vec![]),
        ]
        .join("\n")
    );
    let there = json!({"metadata": {"name": "etl"}});
    assert_eq!(with(vec![there], vec![quota], vec![defaults]), "");
}

#[test]
fn applications_are_counted_and_those_that_need_somebody_are_named() {
    let application = |name: &str, state: &str| {
        json!({
            "metadata": {"namespace": "etl", "name": name, "creationTimestamp": "2026-03-01T11:00:00Z"},
            "spec": {
                "type": "Python", "mode": "cluster", "sparkVersion": "4.3.0",
                "mainApplicationFile": "local:///job.py", "driver": {}, "executor": {},
            },
            "status": {"applicationState": {"state": state}},
        })
    };
    let mut new = application("new", "");
    new.as_object_mut().unwrap().remove("status");
    let mut just_now = new.clone();
    just_now["metadata"]["creationTimestamp"] = json!(NOW);
    just_now["metadata"]["name"] = json!("just-now");
    let mut client = application("shell", "");
    client["spec"]["mode"] = json!("client");
    let mut odd = application("odd", "RUNNING");
    odd["spec"]["driver"] = json!("none");
    let mut odd_but_over = odd.clone();
    odd_but_over["status"]["applicationState"]["state"] = json!("COMPLETED");
    let facts = Facts {
        applications: Look::Seen(vec![
            application("one", "RUNNING"),
            application("two", "COMPLETED"),
            new,
            just_now,
            client,
            odd,
            odd_but_over,
        ]),
        ..well()
    };
    let all = |scope| {
        let findings = judge(scope, &facts, NOW.parse().unwrap());
        let ours = findings
            .into_iter()
            .filter(|it| it.category == Category::Applications);
        ours.map(|it| {
            format!(
                "{:?} {} => {}",
                it.verdict,
                it.what,
                it.next.unwrap_or_default()
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
    };
    insta::assert_snapshot!(format!(
        "before:\n{}\nafter:\n{}",
        all(&scope(Stage::Before, &["etl"])),
        all(&scope(Stage::After, &["etl"]))
    ));
}

#[test]
fn what_may_not_be_read_is_told_and_nothing_is_made_up_of_it() {
    let refused = || Look::Refused("no".to_owned());
    insta::assert_snapshot!(after(&Facts {
        version: "v1.35.4".to_owned(),
        definitions: refused(),
        leases: refused(),
        deployments: refused(),
        webhooks: refused(),
        namespaces: refused(),
        quotas: refused(),
        limits: refused(),
        policies: refused(),
        applications: refused(),
        rights: Vec::new(),
    }));
}

#[test]
fn facts_of_any_shape_are_judged() {
    for odd in [
        json!(null),
        json!(1),
        json!({"metadata": 1, "spec": [], "status": "x"}),
        json!([]),
    ] {
        let look = || Look::Seen(vec![odd.clone()]);
        let facts = Facts {
            version: String::new(),
            definitions: look(),
            leases: look(),
            deployments: look(),
            webhooks: look(),
            namespaces: look(),
            quotas: look(),
            limits: look(),
            policies: look(),
            applications: look(),
            rights: Vec::new(),
        };
        before(&facts);
        after(&facts);
    }
}

fn of_kubedirector(replicas: u32) -> Value {
    let mut found = deployment("kd", "kubedirector", "bluek8s/kubedirector:0.11.0", &[]);
    found["spec"]["replicas"] = json!(replicas);
    found
}

fn with_deployment(more: Value) -> Facts {
    let mut facts = well();
    let Look::Seen(deployments) = &mut facts.deployments else {
        panic!("they are seen")
    };
    deployments.push(more);
    facts
}

#[test]
fn a_kubedirector_that_lives_is_a_problem_for_who_wants_virtual_clusters_and_a_note_for_others() {
    let wants = Scope {
        virtual_clusters: true,
        ..scope(Stage::Before, &[])
    };
    let facts = with_deployment(of_kubedirector(1));
    let all = told(&wants, &facts);
    for expected in [
        "a KubeDirector lives: Deployment kd/kubedirector with image bluek8s/kubedirector:0.11.0",
        "kubectl --namespace kd scale deployment kubedirector --replicas 0",
    ] {
        assert!(all.contains(expected), "{all}");
    }
    let verdict = |scope: &Scope, facts: &Facts| {
        let findings = judge(scope, facts, NOW.parse().unwrap());
        let mut found = findings
            .into_iter()
            .filter(|it| it.what.contains("KubeDirector"));
        found.next().map(|it| it.verdict)
    };
    assert_eq!(verdict(&wants, &facts), Some(Verdict::Problem));
    let without = scope(Stage::Before, &[]);
    assert_eq!(verdict(&without, &facts), Some(Verdict::Note));
    let stopped = with_deployment(of_kubedirector(0));
    assert_eq!(verdict(&wants, &stopped), None);
    // A registry or a folder of that name is none.
    for image in ["kubedirector/spark:1", "registry.kubedirector:5000/app"] {
        let other = with_deployment(deployment("kd", "other", image, &[]));
        assert_eq!(verdict(&wants, &other), None, "{image}");
    }
}

#[test]
fn definitions_of_virtual_clusters_are_missed_where_the_operator_is_to_have_them() {
    let missing = |scope: &Scope, facts: &Facts| {
        let findings = judge(scope, facts, NOW.parse().unwrap());
        let missing = findings.into_iter().filter(|it| {
            it.verdict == Verdict::Problem
                && it.what.ends_with(".kubedirector.hpe.com is not there")
        });
        missing.count()
    };
    let after = scope(Stage::After, &[]);
    assert_eq!(missing(&after, &well()), 0);
    let asked = Scope {
        virtual_clusters: true,
        ..scope(Stage::After, &[])
    };
    assert_eq!(missing(&asked, &well()), 4);
    let mut told = well();
    told.deployments = Look::Seen(vec![deployment(
        "windlass-system",
        "windlass-operator",
        "registry.example/windlass:0.1.0",
        &["operator", "--virtual-clusters"],
    )]);
    assert_eq!(missing(&after, &told), 4);
    let own = windlass_api::director::crds().into_iter();
    let all = definitions().into_iter().chain(own.map(established));
    told.definitions = Look::Seen(all.collect());
    assert_eq!(missing(&after, &told), 0);
}

#[test]
fn the_webhook_of_a_kubedirector_that_is_gone_stops_people() {
    let webhook = json!({
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "kubedirector-webhook"},
        "webhooks": [{
            "failurePolicy": "Fail",
            "clientConfig": {"service": {"name": "kubedirector-validator", "namespace": "kd"}},
        }],
    });
    let mut facts = with_deployment(of_kubedirector(0));
    facts.webhooks = Look::Seen(vec![webhook]);
    let all = told(&scope(Stage::Before, &[]), &facts);
    let expected = "kubectl delete mutatingwebhookconfiguration kubedirector-webhook";
    assert!(
        all.contains("objects are refused") && all.contains(expected),
        "{all}"
    );
}
