//! What Spark's own code makes of executors, recorded on two versions: every row of the routing
//! table is looked for in the finished pod.

use std::{collections::BTreeSet, fs, path::Path};

use windlass_api::parse;

use super::*;

/// What a field must have done to the pod, as a JSON pointer and the value there. `{spark}` is
/// the container of Spark, `{env}NAME` the variable a kubelet would set, `{volume}` and `{mount}`
/// are found by name.
const ROWS: &[(&str, &str, &str)] = &[
    ("template", "/metadata/labels/tier", r#""batch""#),
    ("template", "{env}OF_TEMPLATE/value", r#""1""#),
    ("image", "{spark}/image", r#""registry.example.com/own:1""#),
    ("cores", "{env}SPARK_EXECUTOR_CORES/value", r#""2""#),
    ("coreRequest", "{spark}/resources/requests/cpu", r#""500m""#),
    ("coreLimit", "{spark}/resources/limits/cpu", r#""3""#),
    ("memory", "{env}SPARK_EXECUTOR_MEMORY/value", r#""2048m""#),
    (
        "memoryOverhead",
        "{spark}/resources/limits/memory",
        r#""2748Mi""#,
    ),
    (
        "javaOptions",
        "{env}SPARK_JAVA_OPT_0/value",
        r#""-XX:+UseZGC""#,
    ),
    ("serviceAccount", "/spec/serviceAccountName", r#""own""#),
    ("labels", "/metadata/labels/team", r#""data""#),
    ("nodeSelector", "/spec/nodeSelector/disk", r#""ssd""#),
    ("schedulerName", "/spec/schedulerName", r#""volcano""#),
    (
        "terminationGracePeriodSeconds",
        "/spec/terminationGracePeriodSeconds",
        "77",
    ),
    ("volumeMounts", "{mount}/data/name", r#""data""#),
    (
        "volumeMounts",
        "{volume}data/persistentVolumeClaim/claimName",
        r#""data""#,
    ),
    (
        "volumeMounts",
        "{volume}spark-local-dir-1/emptyDir/sizeLimit",
        r#""1Gi""#,
    ),
    ("volumeMounts", "{mount}/one/name", r#""spark-local-dir-1""#),
    ("volumeMounts", "{mount}/two/name", r#""spark-local-dir-2""#),
    ("env", "{env}PLAIN/value", r#""a b""#),
    ("env", "{env}EMPTY/value", r#""""#),
    (
        "env",
        "{env}NODE/valueFrom/fieldRef/fieldPath",
        r#""spec.nodeName""#,
    ),
    ("envVars", "{env}OLD/value", r#""1""#),
    (
        "envSecretKeyRefs",
        "{env}PASSWORD/valueFrom/secretKeyRef/name",
        r#""db""#,
    ),
    (
        "envFrom",
        "{spark}/envFrom/0/configMapRef/name",
        r#""settings""#,
    ),
    (
        "configMaps",
        "{mount}/etc/app/name",
        r#""app-settings-vol-c3fd84a7""#,
    ),
    ("secrets", "{mount}/mnt/gcp/name", r#""gcp-volume""#),
    (
        "secrets",
        "{env}GOOGLE_APPLICATION_CREDENTIALS/value",
        r#""/mnt/gcp/key.json""#,
    ),
    (
        "secrets",
        "{env}HADOOP_TOKEN_FILE_LOCATION/value",
        r#""/mnt/hdfs/hadoop.token""#,
    ),
    ("gpu", "{spark}/resources/limits/nvidia.com~1gpu", r#""2""#),
    ("ports", "{spark}/ports/0/name", r#""api""#),
    ("hostNetwork", "/spec/hostNetwork", "true"),
    (
        "hostNetwork",
        "/spec/dnsPolicy",
        r#""ClusterFirstWithHostNet""#,
    ),
    ("hostAliases", "/spec/hostAliases/0/ip", r#""10.0.0.1""#),
    ("initContainers", "/spec/initContainers/0/name", r#""wait""#),
    ("sidecars", "/spec/containers/1/name", r#""logs""#),
    (
        "dnsConfig",
        "/spec/dnsConfig/nameservers/0",
        r#""10.0.0.2""#,
    ),
    ("priorityClassName", "/spec/priorityClassName", r#""high""#),
    (
        "affinity",
        "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey",
        r#""kubernetes.io/hostname""#,
    ),
    ("tolerations", "/spec/tolerations/0/key", r#""spot""#),
    (
        "securityContext",
        "{spark}/securityContext/runAsUser",
        "185",
    ),
    ("podSecurityContext", "/spec/securityContext/fsGroup", "185"),
    (
        "shareProcessNamespace",
        "/spec/shareProcessNamespace",
        "true",
    ),
    (
        "lifecycle",
        "{spark}/lifecycle/preStop/exec/command/0",
        r#""sleep""#,
    ),
    // Not fields of the role, but on its pods all the same.
    ("", "{env}SPARK_CONF_DIR/value", r#""/etc/spark/conf""#),
    ("", "{env}HADOOP_CONF_DIR/value", r#""/etc/hadoop/conf""#),
    (
        "",
        "{mount}/etc/metrics/conf/name",
        r#""metrics-configmap-volume""#,
    ),
    ("", "/metadata/labels/stage", r#""test""#),
    (
        "",
        "/metadata/labels/sparkoperator.k8s.io~1app-name",
        r#""every-executor-field""#,
    ),
    ("", "/metadata/annotations/prometheus.io~1port", r#""8090""#),
];

/// Fields that show in how the driver deals with its executors, or in a value that is not fixed.
const ELSEWHERE: [&str; 5] = [
    "spot",
    "instances",
    "deleteOnTermination",
    "annotations",
    "memoryLimit",
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/executor")
}

fn recording(version: &str) -> Value {
    let text = fs::read_to_string(folder().join(format!("{version}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn subject(version: &str) -> SparkApplication {
    let text = fs::read_to_string(folder().join("application.yaml")).unwrap();
    let text = text.replace("VERSION", version);
    decode(&parse::objects(&text).unwrap()[0]).unwrap_or_else(|error| panic!("{error}"))
}

/// The value at a place of [`ROWS`].
fn find(pod: &Value, place: &str) -> Option<Value> {
    let containers = pod["spec"]["containers"].as_array()?;
    let spark = containers.iter().find(|it| it["args"][0] == "executor")?;
    let named = |list: &Value, key: &str, name: &str| -> Option<Value> {
        // Of two with one name the later one counts.
        list.as_array()?
            .iter()
            .rev()
            .find(|item| item[key] == name)
            .cloned()
    };
    if let Some(pointer) = place.strip_prefix("{spark}") {
        return spark.pointer(pointer).cloned();
    }
    if let Some(rest) = place.strip_prefix("{env}") {
        let (name, pointer) = rest.split_once('/')?;
        return named(&spark["env"], "name", name)?
            .pointer(&format!("/{pointer}"))
            .cloned();
    }
    if let Some(rest) = place.strip_prefix("{volume}") {
        let (name, pointer) = rest.split_once('/')?;
        let volume = named(&pod["spec"]["volumes"], "name", name)?;
        return volume.pointer(&format!("/{pointer}")).cloned();
    }
    if let Some(rest) = place.strip_prefix("{mount}") {
        let (path, field) = rest.rsplit_once('/')?;
        return named(&spark["volumeMounts"], "mountPath", path)?
            .get(field)
            .cloned();
    }
    pod.pointer(place).cloned()
}

#[test]
fn every_row_is_found_on_the_executor_pods_that_spark_makes() {
    for version in VERSIONS {
        let pod = recording(version)["pod"].clone();
        for (field, place, expected) in ROWS {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(
                find(&pod, place),
                Some(expected),
                "{version} {field} {place}"
            );
        }
        // Spark itself draws the order of the directories.
        let local_dirs = find(&pod, "{env}SPARK_LOCAL_DIRS/value").unwrap();
        let local_dirs: BTreeSet<&str> = local_dirs.as_str().unwrap().split(',').collect();
        assert_eq!(local_dirs, BTreeSet::from(["/one", "/two"]), "{version}");
        let annotation = &pod["metadata"]["annotations"]["example.com/id"];
        let id = identity::first_attempt(&subject(version)).spark_application_id;
        assert_eq!(*annotation, format!("{id}/1"), "{version}");
    }
}

#[test]
fn every_field_of_executors_is_looked_for() {
    let looked_for: BTreeSet<&str> = ROWS
        .iter()
        .map(|(field, ..)| *field)
        .chain(ELSEWHERE)
        .collect();
    for row in executor::FIELDS {
        assert!(looked_for.contains(row.field), "{} is in no row", row.field);
    }
}

#[test]
fn the_recordings_are_of_what_is_submitted_today() {
    for version in VERSIONS {
        let recording = recording(version);
        let lowered = lowered(&subject(version));
        let advice = "record again with hack/record-executor-pods.sh";
        assert_eq!(
            recording["settings"],
            json!(lowered.submission.conf),
            "{version}: {advice}"
        );
        assert_eq!(
            recording["template"],
            executor_template(&lowered),
            "{version}: {advice}"
        );
    }
}
