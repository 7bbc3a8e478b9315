use jiff::Timestamp;
use serde_json::json;

use super::*;

fn request(conf: &[(&str, &str)], main: MainResource) -> SubmitRequest {
    let base = [
        ("spark.master", "k8s://https://host"),
        ("spark.kubernetes.container.image", "spark:test"),
    ];
    let conf = base.iter().chain(conf);
    SubmitRequest {
        version: "4.3.0".parse().unwrap(),
        conf: conf
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        main,
        args: Vec::new(),
        proxy_user: None,
        templates: Templates::default(),
        client: Client::bare("spark"),
        ids: SubmitIds::derive("0123456789abcdef", Timestamp::UNIX_EPOCH),
    }
}

fn python(file: &str) -> MainResource {
    MainResource::Python {
        file: file.to_owned(),
    }
}

fn java(jar: &str) -> MainResource {
    MainResource::Java {
        jar: Some(jar.to_owned()),
        class: "Main".to_owned(),
    }
}

#[test]
fn without_a_client_no_local_file_is_taken() {
    for (conf, main, key) in [
        (&[][..], python("/app.py"), "main resource"),
        (&[], python("file:///app.py"), "main resource"),
        (&[], java("/app.jar"), "spark.jars"),
        (
            &[("spark.files", "a.txt")],
            python("local:///a.py"),
            "spark.files",
        ),
        (
            &[("spark.kubernetes.driver.podTemplateFile", "/t.yaml")],
            python("local:///a.py"),
            "spark.kubernetes.driver.podTemplateFile",
        ),
        (
            &[("spark.kubernetes.kerberos.krb5.path", "/krb5.conf")],
            python("local:///a.py"),
            "spark.kubernetes.kerberos.krb5.path",
        ),
    ] {
        let error = build(&request(conf, main)).unwrap_err();
        assert_eq!(error.key(), key);
        assert!(error.to_string().contains("local file"), "{error}");
    }
}

#[test]
fn remote_resources_and_packages_reach_the_driver_unchanged() {
    let conf = [
        ("spark.jars", "s3a://b/z.jar,https://h/y.jar"),
        ("spark.jars.packages", "a:b:1"),
    ];
    let submission = build(&request(&conf, java("s3a://bucket/app.jar"))).unwrap();
    assert_eq!(
        submission.conf["spark.jars"],
        "s3a://b/z.jar,https://h/y.jar,s3a://bucket/app.jar"
    );
    assert_eq!(submission.conf["spark.jars.packages"], "a:b:1");
    assert_eq!(submission.notes, [Note::PackagesLeftToDriver]);
    assert!(submission.uploads.is_empty());
}

#[test]
fn an_unknown_version_is_said_to_be_unknown() {
    let mut request = request(&[], python("local:///a.py"));
    request.version = "5.1.0".parse().unwrap();
    let submission = build(&request).unwrap();
    let notes: Vec<String> = submission.notes.iter().map(Note::to_string).collect();
    assert_eq!(
        notes,
        ["Spark 5.1.0 is not known; the rules of Spark 4.3 were used"]
    );
    assert_eq!(
        submission.driver["metadata"]["labels"]["spark-version"],
        "5.1.0"
    );
}

#[test]
fn templates_may_be_given_as_data() {
    let mut request = request(&[], python("local:///a.py"));
    request.templates = Templates {
        driver: Some(json!({"spec": {"priorityClassName": "high", "containers": [{"name": "a"}]}})),
        executor: Some(json!({"spec": {"hostNetwork": true}})),
    };
    let submission = build(&request).unwrap();
    assert_eq!(submission.driver["spec"]["priorityClassName"], "high");
    assert_eq!(submission.container, "a");
    let template = &submission.objects[2]["data"]["podspec-configmap-key"];
    let template: Value = serde_json::from_str(template.as_str().unwrap()).unwrap();
    assert_eq!(template, json!({"spec": {"hostNetwork": true}}));
    assert_eq!(
        submission.conf["spark.kubernetes.executor.podTemplateFile"],
        "/opt/spark/pod-template/pod-spec-template.yml"
    );
}

#[test]
fn what_would_run_jvm_classes_or_open_port_zero_is_refused() {
    for (key, value) in [
        (
            "spark.kubernetes.driver.pod.featureSteps",
            "org.example.Step",
        ),
        ("spark.driver.port", "0"),
        ("spark.ui.port", "0"),
        ("spark.blockManager.port", "0"),
    ] {
        let error = build(&request(&[(key, value)], python("local:///a.py"))).unwrap_err();
        assert_eq!(error.key(), key);
    }
}

#[test]
fn everything_but_the_driver_is_owned_by_it() {
    let submission = build(&request(&[], python("local:///a.py"))).unwrap();
    let owned = submission.owned_by("uid-1");
    assert_eq!(owned.len(), submission.objects.len());
    for object in owned {
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], "uid-1");
        assert_eq!(owner["name"], submission.driver_name());
    }
    assert_eq!(submission.rendered()[0], submission.driver);
}
