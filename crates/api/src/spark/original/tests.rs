use serde_json::{Value, json};

use super::*;
use crate::decode::decode;
use crate::field::FieldError;
use crate::parse;
use crate::schema;

fn read(text: &str) -> SparkApplication {
    let object = &parse::objects(text).unwrap()[0];
    decode(object).unwrap_or_else(|error| panic!("{error}"))
}

fn example() -> SparkApplication {
    read(include_str!("../../../testdata/original/example.yaml"))
}

fn every_field() -> Value {
    let text = include_str!("../../../testdata/original/every-field.yaml");
    parse::objects(text).unwrap().remove(0)
}

fn current(image: &str) -> OldImages {
    OldImages::Replace(image.parse().unwrap())
}

fn shown(conversion: &Conversion) -> Value {
    let notes: Vec<String> = conversion.notes.iter().map(ToString::to_string).collect();
    json!({ "application": conversion.application, "notes": notes })
}

fn told(errors: &[FieldError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn an_application_of_that_time_is_refused_because_of_its_images() {
    insta::assert_snapshot!(told(&convert(&example(), &OldImages::Refuse).unwrap_err()));
}

#[test]
fn an_image_of_today_takes_the_place_of_those_of_that_time_where_that_is_wanted() {
    let converted = convert(&example(), &current("apache/spark:4.3.0")).unwrap();
    insta::assert_yaml_snapshot!(shown(&converted));
}

#[test]
fn every_field_is_taken_over_or_told_of() {
    let object = every_field();
    let schema = &crate::original_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = |schema: &Value| -> Vec<String> {
        let fields = schema["properties"].as_object().unwrap();
        fields.keys().cloned().collect()
    };
    // The manifest has them all.
    let spec = &schema["properties"]["spec"];
    for field in fields(spec) {
        assert!(!object["spec"][&field].is_null(), "{field}");
    }
    for part in ["deps", "driver", "executor"] {
        for field in fields(&spec["properties"][part]) {
            assert!(!object["spec"][part][&field].is_null(), "{part}.{field}");
        }
    }
    let converted = convert(&decode(&object).unwrap(), &OldImages::Refuse).unwrap();
    insta::assert_yaml_snapshot!(shown(&converted));
}

#[test]
fn shares_of_cores_are_requested_and_whole_ones_are_cores() {
    for (text, expected) in [
        ("1", Ok((1, None))),
        ("3", Ok((3, None))),
        ("0.1", Ok((1, Some("100m")))),
        ("500m", Ok((1, Some("500m")))),
        ("1.5", Ok((2, Some("1500m")))),
        ("2000m", Ok((2, None))),
        (
            "0",
            Err(
                "spec.driver.cores: \"0\": must be more than nothing, for example \"1\" or \"0.5\"",
            ),
        ),
        (
            "-1",
            Err(
                "spec.driver.cores: \"-1\": must be more than nothing, for example \"1\" or \"0.5\"",
            ),
        ),
        (
            "some",
            Err(
                "spec.driver.cores: \"some\": is not a quantity; write a number and a suffix, for \
                 example 500m, 2 or 1Gi",
            ),
        ),
    ] {
        let mut object = every_field();
        object["spec"]["driver"]["cores"] = json!(text);
        let found = convert(&decode(&object).unwrap(), &OldImages::Refuse);
        let driver = found.map(|it| it.application.spec.driver);
        let found = driver.as_ref().map(|driver| {
            let cores = driver.pod.cores.unwrap();
            (cores, driver.core_request.as_deref())
        });
        let found = found.map_err(|errors| told(errors));
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn what_cannot_be_taken_over_is_told_with_its_field_and_what_to_do() {
    let cases = [
        ("/spec/mode", json!("client")),
        ("/spec/mode", json!("in-cluster-client")),
        ("/spec/driver/image", Value::Null),
        ("/spec/driver/image", json!("registry.example/spark:latest")),
        ("/spec/executor/image", json!("apache/spark:3.5.9")),
        (
            "/spec/executor/image",
            json!("kubespark/spark-executor:v2.3.0"),
        ),
        ("/spec/mainApplicationFile", json!("/home/ada/main.jar")),
        ("/spec/mainClass", Value::Null),
        ("/spec/deps/jarFiles", json!(["first.jar"])),
        ("/spec/driver/memory", json!("1Gi")),
        ("/spec/driver/driverEnvVars", json!({"A=B": "x"})),
        (
            "/spec/sparkConf",
            json!({"spark.kubernetes.namespace": "elsewhere"}),
        ),
        (
            "/metadata/annotations",
            json!({"windlass.dev/spark-version": "newest"}),
        ),
        ("/metadata/name", json!("Everything")),
    ];
    let lines = cases.into_iter().map(|(pointer, value)| {
        let mut object = every_field();
        *object.pointer_mut(pointer).unwrap() = value.clone();
        let errors = convert(&decode(&object).unwrap(), &OldImages::Refuse).unwrap_err();
        format!("{pointer} = {value}\n{}", told(&errors))
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn an_annotation_tells_the_version_where_the_tag_does_not() {
    let mut object = every_field();
    for role in ["driver", "executor"] {
        object["spec"][role]["image"] = json!("registry.example/team/job:17");
    }
    object["metadata"]["annotations"][SPARK_VERSION_ANNOTATION] = json!("3.5.9");
    let converted = convert(&decode(&object).unwrap(), &OldImages::Refuse).unwrap();
    assert_eq!(converted.application.spec.spark_version, "3.5.9");
    let driver = &converted.application.spec.driver.pod;
    assert_eq!(
        driver.image.as_deref(),
        Some("registry.example/team/job:17")
    );
}

#[test]
fn unknown_fields_are_found_by_the_likely_spelling() {
    let mut object = every_field();
    object["spec"]["driver"]["driverConfgMaps"] = json!([]);
    object["spec"]["restartPolicy"] = json!("Never");
    insta::assert_snapshot!(decode::<SparkApplication>(&object).unwrap_err().to_string());
}

#[test]
fn an_app_id_is_the_value_of_a_label_and_leads_back_to_its_object() {
    let uid = "6f1c1f0e-5c8a-4b61-9d5c-0d5c6f6a7b11";
    let id = app_id("first-example", uid);
    assert_eq!(id, app_id("first-example", uid));
    assert_ne!(id, app_id("first-example", "another"));
    assert_eq!(name_of(&id), Some("first-example"));
    let longest = "a".repeat(FOLLOWED_NAME_MAX);
    assert_eq!(name_of(&app_id(&longest, uid)), Some(longest.as_str()));
    let long = app_id(&"a".repeat(63), uid);
    assert!(names::LabelValue::new(long.as_str()).is_ok(), "{long}");
    for other in ["first-example", "first-example-", "17"] {
        assert_eq!(name_of(other), None);
    }
}

#[test]
fn what_is_followed_only_needs_a_name_that_fits_into_the_label() {
    let mut original = example();
    assert!(check_followed(&original).is_empty());
    original.metadata.name = Some("a".repeat(FOLLOWED_NAME_MAX + 1));
    insta::assert_snapshot!(told(&check_followed(&original)));
}

#[test]
fn a_status_of_the_first_operator_is_read() {
    let status: SparkApplicationStatus = serde_json::from_value(json!({
        "appId": "first-example-666247082",
        "applicationState": {"errorMessage": "", "state": "COMPLETED"},
        "completionTime": "2018-01-09T23:19:59Z",
        "driverInfo": {
            "podName": "first-example-a751-driver",
            "webUIAddress": "203.0.113.7:30569",
            "webUIPort": 30569,
            "webUIServiceName": "first-example-ui-666247082",
        },
        "executorState": {"first-example-a751-exec-1": "COMPLETED"},
        "submissionTime": "2018-01-09T23:19:43Z",
    }))
    .unwrap();
    assert_eq!(
        status.application_state.state,
        ApplicationStateType::Completed
    );
    assert_eq!(status.driver_info.web_ui_port, Some(30569));
    let schema = schema::of::<SparkApplicationStatus>();
    let again = serde_json::to_value(&status).unwrap();
    let path = crate::field::FieldPath::new("status");
    assert!(schema::check(&schema, &again, &path).is_empty());
}
