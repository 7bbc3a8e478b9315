//! Every recorded `spark-submit` run, compared object by object.
//!
//! `testdata/golden/cases` holds one file per command line with the bodies that Spark sent, on
//! every version it was recorded with; what Spark draws at random stands there as fixed ids. Files
//! `NNN-*` were recorded with `bin/spark-submit`; `x-*` with the same classes in one JVM per
//! version. The comparison is exact but for the order of what comes out of hash maps, and for the
//! differences that [`intended`] makes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_spark::spark_submit::{self, RealFiles};
use windlass_spark::submission::{
    self, Client, ClientFiles, DirEntry, Submission, SubmitError, SubmitIds,
};

const APP_ID: &str = "spark-11111111111111111111111111111111";
const RECORDED_CASES: usize = 74;
const EXTRA_CASES: usize = 522;

/// Recorded as failures only because the recording client was offline.
const OFFLINE: [&str; 2] = [
    "035-error-packages-offline",
    "089-error-s3a-without-hadoop-aws",
];

/// Spark sends what no API server takes; here the setting is refused, from this version on.
const REFUSED_HERE: &[(&str, &str, &str)] = &[
    ("041-ui-disabled-or-ephemeral", "spark.ui.port", "3"),
    (
        "x-b2-driver-pod-name-empty",
        "spark.kubernetes.driver.pod.name",
        "3",
    ),
    (
        "x-b2-memoryoverheadfactor-infini",
        "spark.kubernetes.memoryOverheadFactor",
        "3",
    ),
    ("x-i-empty", "spark.kubernetes.container.image", "3"),
    ("x-o-connect0", "spark.connect.grpc.binding.port", "4.1"),
    ("x-o-port0", "spark.driver.port", "3"),
    ("x-o-portbig", "spark.driver.port", "3"),
    ("x-o-portneg", "spark.driver.port", "3"),
    ("x-q-rcores", "spark.kubernetes.driver.limit.cores", "3"),
    ("x-u-ns", "spark.kubernetes.namespace", "3"),
    ("x-q-space", "spark.kubernetes.driver.limit.cores", "3"),
    (
        "x-v-ed-bad",
        "spark.kubernetes.driver.volumes.emptyDir.a.options.sizeLimit",
        "3",
    ),
];

#[test]
fn every_recorded_submission_is_built_as_spark_built_it() {
    let cases = cases();
    let extra = cases
        .iter()
        .filter(|case| case.name.starts_with("x-"))
        .count();
    assert_eq!(
        (cases.len() - extra, extra),
        (RECORDED_CASES, EXTRA_CASES),
        "a case is missing"
    );
    let failures: Vec<String> = cases.iter().flat_map(Case::failures).collect();
    assert!(
        failures.is_empty(),
        "{} differences\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// One recorded command line.
struct Case {
    name: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    versions: BTreeMap<String, Value>,
    objects: Vec<Value>,
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden")
}

fn cases() -> Vec<Case> {
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let common = read(&testdata().join("common.json"));
    let resolve = |object: &Value| match object.as_u64() {
        Some(index) => common[index as usize].clone(),
        None => object.clone(),
    };
    let mut cases: Vec<Case> = std::fs::read_dir(testdata().join("cases"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = read(&path);
            Case {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                args: serde_json::from_value(file["args"].clone()).unwrap(),
                env: serde_json::from_value(file["env"].clone()).unwrap(),
                versions: serde_json::from_value(file["versions"].clone()).unwrap(),
                objects: file["objects"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(resolve)
                    .collect(),
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

impl Case {
    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (version, recorded) in &self.versions {
            let built = self.build(version);
            let refused_here = REFUSED_HERE
                .iter()
                .find(|(name, _, from)| *name == self.name && version.as_str() >= *from);
            let lines = match (&built, refused_here) {
                (Err(error), Some((_, key, _))) if error.key() == *key => Vec::new(),
                (_, Some((_, key, _))) => vec![format!("should be refused because of {key}")],
                (Ok(_), None) if OFFLINE.contains(&self.name.as_str()) => Vec::new(),
                (Ok(built), None) => match recorded.get("objects") {
                    Some(indices) => self.compare(version, indices, built),
                    None => vec![format!("should be refused: {}", recorded["refused"])],
                },
                (Err(_), None) if recorded.get("refused").is_some() => Vec::new(),
                (Err(error), None) => vec![format!("refused: {error}")],
            };
            failures.extend(
                lines
                    .iter()
                    .map(|line| format!("{} {version}: {line}", self.name)),
            );
        }
        failures
    }

    fn build(&self, version: &str) -> Result<Submission, SubmitError> {
        let mut client = Client::bare("root");
        client.env = self.env.clone();
        client.files = Arc::new(GoldenFiles);
        let ids = SubmitIds {
            app_id: APP_ID.to_owned(),
            prefix: "a".repeat(16),
            service: "c".repeat(16),
            conf_map: "b".repeat(16),
            local_dir: "dddddddd-dddd-dddd-dddd-dddddddddddd".to_owned(),
            upload_seed: "seed".to_owned(),
            submit_time: jiff::Timestamp::from_millisecond(1_795_170_000_000).unwrap(),
        };
        let request = spark_submit::parse(&self.args, client, version.parse().unwrap(), ids)?;
        submission::build(&request.request)
    }

    fn compare(&self, version: &str, indices: &Value, built: &Submission) -> Vec<String> {
        let expected: Vec<Value> = indices
            .as_array()
            .unwrap()
            .iter()
            .map(|index| {
                let text = self.objects[index.as_u64().unwrap() as usize].to_string();
                serde_json::from_str(&text.replace("{version}", version)).unwrap()
            })
            .map(|object| canonical(intended(object)))
            .collect();
        let got: Vec<Value> = std::iter::once(&built.driver)
            .chain(&built.objects)
            .map(|object| canonical(object.clone()))
            .collect();
        let kinds = |objects: &[Value]| -> Vec<Value> {
            objects
                .iter()
                .map(|object| object["kind"].clone())
                .collect()
        };
        if kinds(&expected) != kinds(&got) {
            return vec![format!(
                "objects: expected {:?}, got {:?}",
                kinds(&expected),
                kinds(&got)
            )];
        }
        let mut lines = Vec::new();
        for (expected, got) in expected.iter().zip(&got) {
            difference(
                expected["kind"].as_str().unwrap(),
                expected,
                got,
                &mut lines,
            );
        }
        lines
    }
}

/// What is sent on purpose where it is not what Spark sent.
fn intended(mut object: Value) -> Value {
    if object["kind"] == "Service" {
        for port in object["spec"]["ports"].as_array_mut().unwrap() {
            port["protocol"] = json!("TCP");
        }
        expand_ids(&mut object["spec"]["selector"]);
    }
    if object["kind"] == "Pod" {
        expand_ids(&mut object["metadata"]["labels"]);
        // Spark's container is always the last one.
        let container = object["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .last_mut()
            .unwrap();
        let env = container["env"].as_array_mut().unwrap();
        let last: BTreeMap<String, Value> = env
            .drain(..)
            .map(|variable| (variable["name"].to_string(), variable))
            .collect();
        env.extend(last.into_values());
    }
    object
}

fn expand_ids(labels: &mut Value) {
    for value in labels.as_object_mut().unwrap().values_mut() {
        // A label of a template may be without a value.
        if let Some(text) = value.as_str() {
            *value = json!(
                text.replace("{{APP_ID}}", APP_ID)
                    .replace("{{EXECUTOR_ID}}", "")
            );
        }
    }
}

/// Puts lists that Spark fills from hash maps in order.
fn canonical(mut object: Value) -> Value {
    let by = |list: &mut Value, field: &str| {
        if let Some(items) = list.as_array_mut() {
            items.sort_by_key(|item| item[field].to_string());
        }
    };
    if let Some(containers) = object["spec"]["containers"].as_array_mut() {
        for container in containers {
            by(&mut container["env"], "name");
            by(&mut container["volumeMounts"], "mountPath");
            name_local_dirs_alike(container);
        }
        by(&mut object["spec"]["volumes"], "name");
        for volume in object["spec"]["volumes"].as_array_mut().unwrap() {
            if let Some(items) = volume.pointer_mut("/configMap/items") {
                by(items, "key");
            }
        }
    }
    if let Some(properties) = object.pointer_mut("/data/spark.properties") {
        let mut lines: Vec<&str> = properties
            .as_str()
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        lines.sort_unstable();
        *properties = json!(hide_upload_ids(&lines.join("\n")));
    }
    serde_json::from_str(&hide_upload_ids(&object.to_string())).unwrap()
}

/// Spark shuffles the directories, so their order and their volumes' numbers say nothing.
fn name_local_dirs_alike(container: &mut Value) {
    for variable in container["env"].as_array_mut().into_iter().flatten() {
        if variable["name"] == "SPARK_LOCAL_DIRS" && variable["value"].is_string() {
            let mut directories: Vec<&str> =
                variable["value"].as_str().unwrap().split(',').collect();
            directories.sort_unstable();
            variable["value"] = json!(directories.join(","));
        }
    }
    for mount in container["volumeMounts"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        let name = mount["name"].as_str().unwrap_or_default();
        if name
            .strip_prefix("spark-local-dir-")
            .is_some_and(|n| n.parse::<u32>().is_ok())
        {
            mount["name"] = json!("spark-local-dir-N");
        }
    }
}

fn hide_upload_ids(text: &str) -> String {
    const MARK: &str = "spark-upload-";
    const UUID_LEN: usize = 36;
    let mut pieces = text.split(MARK);
    let mut out = pieces.next().unwrap().to_owned();
    for piece in pieces {
        out.push_str(MARK);
        out.push('*');
        out.push_str(
            piece
                .strip_prefix('*')
                .unwrap_or_else(|| &piece[UUID_LEN..]),
        );
    }
    out
}

/// Every place where two values differ, with what was expected and what was there.
fn difference(path: &str, expected: &Value, got: &Value, lines: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let side = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                match (side(a), side(b)) {
                    (Some(a), Some(b)) => difference(&format!("{path}.{key}"), &a, &b, lines),
                    (Some(a), None) => {
                        lines.push(format!("{path}.{key}: expected {a}, got nothing"));
                    }
                    (None, Some(b)) => {
                        lines.push(format!("{path}.{key}: expected nothing, got {b}"));
                    }
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                difference(&format!("{path}[{index}]"), a, b, lines);
            }
        }
        _ if expected == got => {}
        _ => lines.push(format!("{path}: expected {expected}, got {got}")),
    }
}

/// The files the recordings name, at the paths the recordings name them by.
#[derive(Debug)]
struct GoldenFiles;

impl GoldenFiles {
    fn find(path: &Path) -> io::Result<PathBuf> {
        let inner = path
            .strip_prefix("/golden")
            .map_err(|_| io::ErrorKind::NotFound)?;
        Ok(testdata().join(inner))
    }
}

impl ClientFiles for GoldenFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealFiles.read(&Self::find(path)?)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealFiles.list(&Self::find(dir)?)
    }
    fn stat(&self, path: &Path) -> io::Result<DirEntry> {
        RealFiles.stat(&Self::find(path)?)
    }
    fn current_dir(&self) -> String {
        "/work".to_owned()
    }
}
