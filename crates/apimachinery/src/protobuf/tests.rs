use super::*;

/// Writes protobuf, for making bodies.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: Writer) -> Self {
        self.bytes(field, &value.0)
    }

    fn entry(self, field: u64, key: &str, value: &[u8]) -> Self {
        self.message(field, writer().text(1, key).bytes(2, value))
    }
}

fn writer() -> Writer {
    Writer::default()
}

fn body(api_version: &str, kind: &str, message: Writer) -> Vec<u8> {
    let envelope = writer()
        .message(1, writer().text(1, api_version).text(2, kind))
        .message(2, message)
        .text(3, "")
        .text(4, "");
    [MAGIC, &envelope.0].concat()
}

fn meta(name: &str) -> Writer {
    // Go writes what is no pointer even where it is empty.
    writer()
        .text(1, name)
        .text(2, "")
        .text(3, "default")
        .message(8, writer())
        .number(7, 0)
}

#[test]
fn a_config_map_is_decoded() {
    let message = writer()
        .message(1, meta("m"))
        .entry(2, "k", b"v")
        .entry(3, "b", &[0xff, 0]);
    assert_eq!(
        decode(&body("v1", "ConfigMap", message)),
        Ok(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m", "namespace": "default"},
            "data": {"k": "v"}, "binaryData": {"b": "/wA="},
        }))
    );
}

#[test]
fn inlined_messages_and_special_values_are_decoded() {
    let port = writer()
        .text(2, "TCP")
        .number(3, 80)
        .message(4, writer().number(1, 1).text(3, "http"));
    let service = writer().message(1, meta("s")).message(
        2,
        writer()
            .message(1, port)
            .entry(2, "app", b"x")
            .text(3, "")
            .text(4, "ClusterIP"),
    );
    let decoded = decode(&body("v1", "Service", service)).unwrap();
    assert_eq!(decoded["spec"]["ports"][0]["targetPort"], "http");
    assert_eq!(decoded["spec"]["selector"], json!({"app": "x"}));
    assert!(decoded["spec"].get("clusterIP").is_none());

    let volume = writer().text(1, "v").message(
        2,
        writer().message(6, writer().text(1, "sec").number(3, 420)),
    );
    let container = writer()
        .text(1, "c")
        .text(2, "i")
        .message(8, writer().entry(1, "cpu", &writer().text(1, "500m").0));
    let pod_spec = writer()
        .message(1, volume)
        .message(2, container)
        .number(4, 0)
        .number(11, 0);
    let pod = writer().message(1, meta("p")).message(2, pod_spec);
    let decoded = decode(&body("v1", "Pod", pod)).unwrap();
    assert_eq!(
        decoded["spec"],
        json!({
            "volumes": [{"name": "v", "secret": {"secretName": "sec", "defaultMode": 420}}],
            "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "500m"}}}],
            "terminationGracePeriodSeconds": 0,
        })
    );
}

#[test]
fn groups_and_shared_kinds_find_their_messages() {
    let attributes = writer().text(1, "n").text(2, "create").text(5, "pods");
    let review = writer().message(2, writer().message(1, attributes));
    let decoded = decode(&body(
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
        review,
    ))
    .unwrap();
    assert_eq!(
        decoded["spec"]["resourceAttributes"],
        json!({"namespace": "n", "verb": "create", "resource": "pods"})
    );
    let options = writer().number(1, 0).text(4, "Background");
    let decoded = decode(&body("v1", "DeleteOptions", options)).unwrap();
    assert_eq!(decoded["gracePeriodSeconds"], 0);
    assert_eq!(decoded["propagationPolicy"], "Background");
    for (api_version, kind) in [
        ("v1", "Secret"),
        ("v1", "Namespace"),
        ("v1", "ServiceAccount"),
        ("v1", "ResourceQuota"),
        ("batch/v1", "Job"),
        ("batch/v1", "CronJob"),
        ("apps/v1", "Deployment"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("networking.k8s.io/v1", "Ingress"),
        ("policy/v1", "PodDisruptionBudget"),
        ("policy/v1", "Eviction"),
        ("scheduling.k8s.io/v1", "PriorityClass"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("authentication.k8s.io/v1", "SelfSubjectReview"),
    ] {
        let decoded = decode(&body(api_version, kind, writer()));
        assert_eq!(
            decoded,
            Ok(json!({"apiVersion": api_version, "kind": kind}))
        );
    }
}

#[test]
fn times_are_written_as_json_has_them() {
    let time = |seconds, nanos| writer().number(1, seconds).number(2, nanos);
    let lease = writer()
        .message(1, writer().text(1, "l").message(8, time(1_700_000_000, 0)))
        .message(
            2,
            writer()
                .text(1, "h")
                .number(2, 15)
                .message(4, time(1_700_000_000, 5_000)),
        );
    let decoded = decode(&body("coordination.k8s.io/v1", "Lease", lease)).unwrap();
    assert_eq!(
        decoded["metadata"]["creationTimestamp"],
        "2023-11-14T22:13:20Z"
    );
    assert_eq!(decoded["spec"]["renewTime"], "2023-11-14T22:13:20.000005Z");
}

#[test]
fn bad_bodies_are_errors() {
    assert_eq!(decode(b"{}"), Err(DecodeError::NoMagic));
    assert!(matches!(
        decode(&body("v1", "Nothing", writer())),
        Err(DecodeError::UnknownKind { .. })
    ));
    let whole = body(
        "v1",
        "ConfigMap",
        writer().message(1, meta("m")).entry(2, "k", b"v"),
    );
    for length in MAGIC.len()..whole.len() {
        // Any cut is an error or a shorter object, never a panic.
        let _ = decode(&whole[..length]);
    }
    let deep = (0..200).fold(writer(), |inner, _| writer().message(4, inner));
    let schema = writer().message(2, writer().message(1, deep));
    let _ = decode(&body("batch/v1", "Job", schema));
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[MAGIC, &bytes].concat());
            let envelope = writer().message(1, writer().text(1, "v1").text(2, "Pod")).bytes(2, &bytes);
            let _ = decode(&[MAGIC, &envelope.0].concat());
        }
    }
}

/// What kubectl sends is what it says it would send.
#[test]
fn recorded_bodies_of_kubectl_decode_to_what_it_prints() {
    let text = include_bytes!("../../testdata/kubectl-bodies.json");
    let recorded: Vec<Value> = serde_json::from_slice(text).unwrap();
    let mut silent = Vec::new();
    for record in &recorded {
        let body = record["body"].as_str().unwrap();
        let body = base64::engine::general_purpose::STANDARD
            .decode(body)
            .unwrap();
        let decoded = decode(&body).unwrap();
        match record.get("prints") {
            Some(printed) => assert_eq!(decoded, without_nulls(printed), "{}", record["command"]),
            None => silent.push(json!({"command": record["command"], "sends": decoded})),
        }
    }
    insta::assert_yaml_snapshot!("silent_commands", silent);
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
