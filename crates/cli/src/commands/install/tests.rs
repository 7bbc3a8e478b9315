//! What is printed for which arguments.

use super::objects as objects_of;
use super::*;
use crate::args::{ExposingArgs, OriginalArgs};

fn args(job_namespaces: &[&str]) -> InstallArgs {
    InstallArgs {
        namespace: DnsLabel::new("windlass-system").unwrap(),
        namespace_selector: None,
        selector: None,
        policy: None,
        job_namespaces: job_namespaces
            .iter()
            .map(|&name| DnsLabel::new(name).unwrap())
            .collect(),
        registry: "registry.example".to_owned(),
        image: None,
        replicas: 1,
        webhook: false,
        cert_manager: false,
        cert_manager_issuer: None,
        original_api: false,
        original: OriginalArgs::default(),
        virtual_clusters: false,
        original_kubedirector: false,
        storage: false,
        storage_auto_grow: false,
        storage_nfs: false,
        storage_nfs_namespace: DnsLabel::new("windlass-nfs").unwrap(),
        keep_logs: None,
        keep_logs_claim: None,
        exposing: ExposingArgs::default(),
        further: Vec::new(),
    }
}

fn names(objects: &[Value]) -> String {
    let line = |object: &Value| {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str();
        let namespace = namespace.map(|name| format!("{name}/")).unwrap_or_default();
        let (kind, name) = (&object["kind"], &metadata["name"]);
        format!(
            "{} {namespace}{}",
            kind.as_str().unwrap(),
            name.as_str().unwrap()
        )
    };
    objects.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_operator_of_some_namespaces_has_no_rights_in_the_others() {
    let of = |namespaces: &[&str]| names(&objects(&args(namespaces)).unwrap());
    insta::assert_snapshot!(format!(
        "all:\n{}\n\nsome:\n{}",
        of(&[]),
        of(&["etl", "ml"])
    ));
}

#[test]
fn logs_are_kept_on_a_volume_that_is_not_printed_or_in_a_bucket() {
    let claim = |namespaces: &[&str]| InstallArgs {
        keep_logs_claim: Some(windlass_api::names::DnsSubdomain::new("logs").unwrap()),
        ..args(namespaces)
    };
    for (namespaces, kind) in [(&[][..], "ClusterRole"), (&["etl", "ml"], "Role")] {
        let less = objects(&args(namespaces)).unwrap();
        let mut more = objects(&claim(namespaces)).unwrap();
        more.retain(|object| !less.contains(object));
        let deployment = more.pop().unwrap();
        let rights = "windlass-kept-logs";
        assert!(
            more.iter().all(|it| it["metadata"]["name"] == rights),
            "{more:?}"
        );
        let roles = more.iter().filter(|it| it["kind"] == kind);
        for role in roles {
            let rules = json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]);
            assert_eq!(role["rules"], rules);
        }
        assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["fsGroup"], 65532);
        assert_eq!(
            pod["volumes"][0]["persistentVolumeClaim"]["claimName"],
            "logs"
        );
        let mount = &pod["containers"][0]["volumeMounts"][0];
        assert_eq!(mount["readOnly"], Value::Null);
        let arguments = pod["containers"][0]["args"].as_array().unwrap();
        let told = format!("--keep-logs={}", mount["mountPath"].as_str().unwrap());
        assert!(arguments.contains(&json!(told)), "{arguments:?}");
    }
    let Ok(windlass_storage::logs::KeptIn::Bucket(bucket)) = "objectstore/platform/logs".parse()
    else {
        panic!("it is one");
    };
    let stores = InstallArgs {
        storage: true,
        ..args(&[])
    };
    let kept = InstallArgs {
        storage: true,
        keep_logs: Some(bucket),
        ..args(&[])
    };
    let less = objects(&stores).unwrap();
    let mut more = objects(&kept).unwrap();
    more.retain(|object| !less.contains(object));
    assert_eq!(names(&more), "Deployment windlass-system/windlass-operator");
}

#[test]
fn what_is_printed_is_the_definitions_and_then_everything_else() {
    let args = args(&[]);
    let printed = windlass_api::parse::objects(&documents(&args).unwrap()).unwrap();
    let (crds, others) = printed.split_at(windlass_api::crds().len());
    let is_crd = |object: &Value| object["kind"] == "CustomResourceDefinition";
    assert!(crds.iter().all(is_crd));
    assert_eq!(others, objects(&args).unwrap());
}

#[test]
fn a_webhook_is_asked_about_nothing_but_spark_in_the_namespaces_that_are_served() {
    let with = |namespaces: &[&str]| InstallArgs {
        webhook: true,
        ..args(namespaces)
    };
    insta::assert_yaml_snapshot!(webhook_objects(&with(&["etl", "ml"])).unwrap());
    let everywhere = webhook_objects(&with(&[])).unwrap();
    assert!(
        everywhere
            .iter()
            .all(|object| { object["webhooks"][0].get("namespaceSelector").is_none() })
    );
    let container =
        &deployment(&with(&[]), None).unwrap()["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][1]["name"], "webhook");
}

#[test]
fn with_cert_manager_the_operator_reads_files_and_has_no_rights_for_certificates() {
    let with = InstallArgs {
        webhook: true,
        cert_manager: true,
        ..args(&["etl"])
    };
    let printed = objects(&with).unwrap();
    let is_about_it = |it: &&Value| {
        let name = it["metadata"]["name"].as_str().unwrap();
        name.ends_with("-webhook") || it["kind"] == "Deployment"
    };
    let about: Vec<&Value> = printed.iter().filter(is_about_it).collect();
    insta::assert_yaml_snapshot!(about);
    let by_another = InstallArgs {
        cert_manager_issuer: Some("ClusterIssuer/company".parse().unwrap()),
        ..with
    };
    let printed = webhook_objects(&by_another).unwrap();
    assert!(printed.iter().all(|it| it["kind"] != "Issuer"));
    let certificate = printed.iter().find(|it| it["kind"] == "Certificate");
    assert_eq!(
        certificate.unwrap()["spec"]["issuerRef"],
        json!({"kind": "ClusterIssuer", "name": "company"})
    );
}

#[test]
fn what_the_operator_is_to_make_it_is_told_and_allowed() {
    let exposing = ExposingArgs {
        ui_gateway: Some("edge/shared".parse().unwrap()),
        pod_monitors: true,
        ..ExposingArgs::default()
    };
    let args = InstallArgs {
        exposing,
        ..args(&["etl"])
    };
    let objects = objects(&args).unwrap();
    let of = |kind: &str, name: &str| {
        let mut found = objects
            .iter()
            .filter(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        found.next().unwrap()
    };
    let told = &of("Deployment", OPERATOR)["spec"]["template"]["spec"]["containers"][0];
    let told = told["args"].as_array().unwrap();
    assert!(
        told.contains(&json!("--ui-gateway=edge/shared")),
        "{told:?}"
    );
    assert!(told.contains(&json!("--pod-monitors")), "{told:?}");
    let rules = &of("Role", rbac::OPERATOR_ROLE)["rules"];
    let rules = rules.as_array().unwrap().iter();
    let extra = rules.filter(|rule| {
        let resources = &rule["resources"];
        *resources == json!(["httproutes"]) || *resources == json!(["podmonitors"])
    });
    assert_eq!(extra.count(), 2);
}

#[test]
fn the_api_of_the_first_operator_is_printed_where_it_is_wanted() {
    let args = InstallArgs {
        original_api: true,
        original: OriginalArgs {
            original_image: Some("apache/spark:4.3.0".parse().unwrap()),
        },
        ..args(&[])
    };
    let printed = windlass_api::parse::objects(&documents(&args).unwrap()).unwrap();
    assert!(printed.contains(&windlass_api::original_crd()));
    let container = &deployment(&args, None).unwrap()["spec"]["template"]["spec"]["containers"][0];
    let told = container["args"].as_array().unwrap();
    for argument in ["--original-api", "--original-image=apache/spark:4.3.0"] {
        assert!(told.contains(&json!(argument)), "{told:?}");
    }
}

#[test]
fn the_webhook_is_asked_about_applications_of_the_first_operator_where_their_api_is_installed() {
    let groups = |original_api: bool| {
        let args = InstallArgs {
            webhook: true,
            original_api,
            ..args(&[])
        };
        let objects = webhook_objects(&args).unwrap();
        let mut found = objects
            .iter()
            .filter(|it| it["kind"] == "ValidatingWebhookConfiguration");
        let rules = found.next().unwrap()["webhooks"][0]["rules"].clone();
        let rules = rules.as_array().unwrap().iter();
        let groups = rules.map(|rule| rule["apiGroups"][0].as_str().unwrap().to_owned());
        groups.collect::<Vec<_>>()
    };
    let today = [
        "sparkoperator.k8s.io",
        "sparkoperator.k8s.io",
        "windlass.dev",
    ];
    assert_eq!(groups(false), today);
    assert_eq!(
        groups(true),
        [&today[..], &["spark-operator.k8s.io"]].concat()
    );
}

#[test]
fn further_arguments_are_the_operators_and_wrong_ones_are_told_before_they_are_printed() {
    let with = |further: &[&str]| {
        let args = InstallArgs {
            selector: Some("release=next".parse().unwrap()),
            further: further.iter().map(|&it| it.to_owned()).collect(),
            ..args(&["etl"])
        };
        let deployment = deployment(&args, None)?;
        let pod = &deployment["spec"]["template"]["spec"];
        let told = pod["containers"][0]["args"].as_array().unwrap();
        Ok::<_, Failure>(told.last().unwrap().clone())
    };
    let last = with(&["--max-running=3", "--silent-node-deadline=60"]).unwrap();
    assert_eq!(last, json!("--silent-node-deadline=60"));
    for (further, expected) in [
        ("--max-walking=3", "unexpected argument '--max-walking'"),
        ("--max-running=many", "invalid value 'many'"),
        ("job.py", "unexpected argument 'job.py'"),
        (
            "--storage-class-names=scratch",
            "required arguments were not provided: --storage",
        ),
        (
            "--selector=a=b",
            "--selector is set by an argument of install already",
        ),
    ] {
        let refused = with(&[further]).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    // What one of install's own arguments is asked for by is there.
    let storage = InstallArgs {
        storage: true,
        further: vec!["--storage-class-names=scratch,data-*".to_owned()],
        ..args(&[])
    };
    deployment(&storage, None).unwrap();
}

#[test]
fn the_pod_monitor_that_is_shipped_finds_the_operator() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/monitoring/podmonitor.yaml"
    );
    let text = std::fs::read_to_string(file).unwrap();
    let monitor = &windlass_api::parse::objects(&text).unwrap()[0];
    let args = args(&[]);
    let deployment = deployment(&args, None).unwrap();
    let pod = &deployment["spec"]["template"];
    assert_eq!(
        monitor["metadata"]["namespace"],
        deployment["metadata"]["namespace"]
    );
    assert_eq!(
        monitor["spec"]["selector"]["matchLabels"],
        pod["metadata"]["labels"]
    );
    assert_eq!(
        monitor["spec"]["podMetricsEndpoints"][0]["port"],
        pod["spec"]["containers"][0]["ports"][0]["name"]
    );
}

#[test]
fn an_operator_of_labelled_namespaces_may_look_who_has_the_label_and_is_told() {
    let args = InstallArgs {
        namespace_selector: Some("team=etl".parse().unwrap()),
        selector: Some("tier!=test".parse().unwrap()),
        webhook: true,
        ..args(&[])
    };
    let objects = objects(&args).unwrap();
    let of = |kind: &str| objects.iter().find(|it| it["kind"] == kind).unwrap();
    let hooks = &of("ValidatingWebhookConfiguration")["webhooks"];
    let rules = of("ClusterRole")["rules"].as_array().unwrap();
    insta::assert_yaml_snapshot!((
        names(&objects).lines().collect::<Vec<_>>(),
        &of("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"],
        rules.last(),
        &hooks[0]["namespaceSelector"],
        &hooks[0]["objectSelector"],
    ));
    let roles = |namespaces: &[&str]| {
        let args = InstallArgs {
            selector: Some("release=next".parse().unwrap()),
            ..self::args(namespaces)
        };
        let objects = objects_of(&args).unwrap();
        let own = objects.into_iter().filter(|it| {
            let name = it["metadata"]["name"].as_str().unwrap();
            name == "windlass-spark-operator-windlass-system"
                && it["roleRef"].get("name").is_none_or(|it| it == name)
        });
        own.count()
    };
    assert_eq!((roles(&[]), roles(&["etl"])), (2, 2));
    let by_number = InstallArgs {
        namespace_selector: Some("size>3".parse().unwrap()),
        ..args
    };
    let refused = objects_of(&by_number).unwrap_err();
    assert!(
        refused.message.contains("--namespace-selector size>3"),
        "{refused}"
    );
}

#[test]
fn policies_are_read_before_they_are_printed_and_another_text_is_another_pod() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let write = |allowed: &str| {
        let text = format!(
            "apiVersion: windlass.dev/v1alpha1\nkind: SparkPolicy\nmetadata: {{name: all}}\n\
             spec: {{allowedImages: [{allowed:?}]}}\n"
        );
        std::fs::write(&file, text).unwrap();
        objects_of(&InstallArgs {
            policy: Some(file.clone()),
            ..args(&["etl"])
        })
    };
    let pod_of = |objects: &[Value]| {
        let mut found = objects.iter().filter(|it| it["kind"] == "Deployment");
        found.next().unwrap()["spec"]["template"].clone()
    };
    let first = write("registry.example.com/*").unwrap();
    let config = first.iter().find(|it| it["kind"] == "ConfigMap").unwrap();
    assert_eq!(config["metadata"]["name"], "windlass-policy");
    let pod = pod_of(&first);
    let container = &pod["spec"]["containers"][0];
    let told = container["args"].as_array().unwrap();
    assert!(
        told.contains(&json!("--policy=/etc/windlass/policy/policy.yaml")),
        "{told:?}"
    );
    assert_eq!(
        container["volumeMounts"][0]["mountPath"],
        "/etc/windlass/policy"
    );
    assert_ne!(pod, pod_of(&write("apache/spark").unwrap()));
    let refused = write("").unwrap_err();
    assert!(
        refused.message.contains("spec.allowedImages[0]"),
        "{refused}"
    );
}

#[test]
fn the_deployment_is_this() {
    insta::assert_yaml_snapshot!(deployment(&args(&["etl", "ml"]), None).unwrap());
}

#[test]
fn storage_is_printed_with_all_it_needs_where_it_is_wanted() {
    let with = InstallArgs {
        storage: true,
        ..args(&[])
    };
    let less = objects(&args(&[])).unwrap();
    let more = objects(&with).unwrap();
    let mut added: Vec<&Value> = more.iter().filter(|it| !less.contains(it)).collect();
    added.retain(|it| it["kind"] != "Deployment");
    let role = json!(storage::storage_cluster_role());
    let binding = json!(storage::storage_cluster_role_binding(
        "windlass-system",
        OPERATOR
    ));
    assert_eq!(added, [&role, &binding]);
    let rules = role["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| !rule.to_string().contains('*')));
    let of_deployment = more.iter().find(|it| it["kind"] == "Deployment").unwrap();
    let container = &of_deployment["spec"]["template"]["spec"]["containers"][0];
    let told = container["args"].as_array().unwrap();
    assert!(told.contains(&json!("--storage")), "{told:?}");
    let printed = documents(&with).unwrap();
    for definition in windlass_api::storage::crds() {
        let name = definition["metadata"]["name"].as_str().unwrap();
        assert!(printed.contains(name), "{name}");
    }
    // Of two operators with selectors each has roles of its own.
    let selecting = InstallArgs {
        selector: Some("release=next".parse().unwrap()),
        ..with
    };
    let printed = names(&objects(&selecting).unwrap());
    assert!(
        printed.contains("ClusterRole windlass-storage-windlass-system"),
        "{printed}"
    );
}

#[test]
fn nfs_servers_have_a_namespace_of_their_own_and_the_operator_rights_in_it_alone() {
    let less = InstallArgs {
        storage: true,
        ..args(&[])
    };
    let with = InstallArgs {
        storage: true,
        storage_nfs: true,
        storage_nfs_namespace: DnsLabel::new("shares").unwrap(),
        ..args(&[])
    };
    let less = objects(&less).unwrap();
    let more = objects(&with).unwrap();
    let mut added: Vec<Value> = more.into_iter().filter(|it| !less.contains(it)).collect();
    let deployment = added.pop().unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let told = container["args"].as_array().unwrap();
    assert!(
        told.contains(&json!("--storage-nfs-namespace=shares")),
        "{told:?}"
    );
    assert!(
        added
            .iter()
            .all(|it| !it["rules"].to_string().contains('*'))
    );
    insta::assert_snapshot!(names(&added));
}

#[test]
fn virtual_clusters_are_printed_with_all_they_need_where_they_are_wanted() {
    let with = |args: InstallArgs| InstallArgs {
        virtual_clusters: true,
        webhook: true,
        ..args
    };
    let without = InstallArgs {
        webhook: true,
        ..args(&[])
    };
    let less = objects(&without).unwrap();
    let more = objects(&with(args(&[]))).unwrap();
    let mut added: Vec<&Value> = more.iter().filter(|it| !less.contains(it)).collect();
    added.retain(|it| it["kind"] != "Deployment");
    insta::assert_yaml_snapshot!(added);
    let of_deployment = more.iter().find(|it| it["kind"] == "Deployment").unwrap();
    let container = &of_deployment["spec"]["template"]["spec"]["containers"][0];
    let told = container["args"].as_array().unwrap();
    assert!(told.contains(&json!("--virtual-clusters")), "{told:?}");
    let printed = documents(&with(args(&[]))).unwrap();
    for definition in windlass_api::director::crds() {
        let name = definition["metadata"]["name"].as_str().unwrap();
        assert!(printed.contains(name), "{name}");
    }
    // Of two operators with selectors each has roles of its own.
    let selecting = with(InstallArgs {
        selector: Some("release=next".parse().unwrap()),
        ..args(&[])
    });
    let printed = names(&objects(&selecting).unwrap());
    assert!(
        printed.contains("ClusterRole windlass-director-windlass-system"),
        "{printed}"
    );
}
