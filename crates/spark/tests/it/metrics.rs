//! The page that Prometheus reads, and what is shipped to look at it with.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::house::{House, pi};

/// The names of the Kubeflow operator, which do not follow the conventions that came later.
const KUBEFLOW: [&str; 16] = [
    "spark_application_count",
    "spark_application_submit_count",
    "spark_application_failed_submission_count",
    "spark_application_running_count",
    "spark_application_success_count",
    "spark_application_failure_count",
    "spark_application_success_execution_time_seconds",
    "spark_application_failure_execution_time_seconds",
    "spark_application_submit_latency_seconds",
    "spark_application_submit_latency_seconds_histogram",
    "spark_application_start_latency_seconds",
    "spark_application_start_latency_seconds_histogram",
    "spark_executor_running_count",
    "spark_executor_success_count",
    "spark_executor_failure_count",
    "workqueue_depth",
];

/// A house in which one application has completed and one runs.
async fn busy_house() -> House {
    let house = House::start().await;
    for name in ["done", "pi"] {
        house.apps().create(pi(name)).await;
        let driver = house.until_driver(name, 1).await;
        house.driver_runs(name).await;
        house.executor_runs(&driver, 1).await;
        house.until_state(name, "RUNNING").await;
    }
    house.driver_exits("done", 0).await;
    house.until_state("done", "COMPLETED").await;
    house
}

/// Waits for a line of the page.
async fn until_told(house: &House, line: &str) -> String {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let page = house.metrics_page();
            if page.lines().any(|it| it == line) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let told = waited.await;
    told.unwrap_or_else(|_| panic!("{line} is never told:\n{}", house.metrics_page()))
}

#[tokio::test]
async fn how_many_there_are_is_known_again_after_a_restart() {
    let mut house = busy_house().await;
    let running = r#"windlass_spark_applications{state="RUNNING"} 1"#;
    let completed = r#"windlass_spark_applications{state="COMPLETED"} 1"#;
    let page = until_told(&house, completed).await;
    for line in [
        running,
        "spark_application_count{} 2",
        "spark_application_submit_count{} 2",
        "spark_application_success_count{} 1",
        "spark_executor_success_count{} 1",
        "spark_application_failure_count{} 0",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}:\n{page}");
    }
    until_told(&house, "spark_executor_running_count{} 1").await;

    house.kill_operator().await;
    house.start_operator();
    let page = until_told(&house, running).await;
    for line in [
        completed,
        "spark_application_running_count{} 1",
        "spark_executor_running_count{} 1",
        r#"windlass_spark_applications{state="NEW"} 0"#,
    ] {
        assert!(page.lines().any(|it| it == line), "{line}:\n{page}");
    }
}

#[tokio::test]
async fn the_page_has_every_name_of_the_kubeflow_operator_and_is_well_formed() {
    let house = busy_house().await;
    let page = until_told(&house, "spark_application_success_count{} 1").await;
    let names = names_of(&page);
    for name in KUBEFLOW {
        assert!(names.contains(name), "{name}:\n{page}");
    }
    let Some(checked) = promtool(&["check", "metrics"], Some(&page)) else {
        return;
    };
    let told = text(&checked.stderr) + &text(&checked.stdout);
    let others: Vec<&str> = told
        .lines()
        .filter(|line| {
            let name = line.split(' ').next().unwrap_or_default();
            !KUBEFLOW.contains(&name)
        })
        .collect();
    assert!(others.is_empty(), "{told}\n{page}");
}

#[tokio::test]
async fn what_is_shipped_looks_only_at_what_is_there() {
    let house = busy_house().await;
    let names = names_of(&house.metrics_page());
    let alerts = std::fs::read_to_string(shipped("alerts.yaml")).unwrap();
    let alerts = &windlass_api::parse::documents(&alerts).unwrap()[0];
    let dashboard = std::fs::read_to_string(shipped("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    for (file, contents) in [("alerts.yaml", alerts), ("dashboard.json", &dashboard)] {
        let mut expressions = Vec::new();
        find_expressions(contents, &mut expressions);
        assert!(expressions.len() > 5, "{file}: {expressions:?}");
        for expression in expressions {
            let metrics = metrics_in(&expression);
            assert!(!metrics.is_empty(), "{file}: {expression}");
            for metric in metrics {
                assert!(names.contains(&metric), "{file}: {metric} in {expression}");
            }
        }
    }
}

#[test]
fn alerts_are_valid_and_do_what_they_say() {
    for (words, file) in [
        (["check", "rules"], "alerts.yaml"),
        (["test", "rules"], "alerts_test.yaml"),
    ] {
        let path = shipped(file).display().to_string();
        let Some(checked) = promtool(&[words[0], words[1], &path], None) else {
            return;
        };
        let told = text(&checked.stdout) + &text(&checked.stderr);
        assert!(checked.status.success(), "{file}: {told}");
    }
}

#[test]
fn metrics_are_found_in_expressions() {
    let expression = r#"sum by (le, name) (rate(a_bucket{x=~"b|c", y!="d"}[5m])) / on (z) e_total
        and absent(f == 1) > bool 2e3 offset 5m"#;
    let found: Vec<String> = metrics_in(expression).into_iter().collect();
    assert_eq!(found, ["a_bucket", "e_total", "f"]);
}

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/monitoring")
        .join(file)
}

/// The names of all samples that the page may have.
fn names_of(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        names.insert(name.to_owned());
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        }
    }
    names
}

fn find_expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("expr")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            fields.values().for_each(|it| find_expressions(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| find_expressions(it, found)),
        _ => {}
    }
}

/// The words of PromQL that are no metric, and the ones before a list of labels.
const WORDS: [&str; 8] = [
    "and", "or", "unless", "bool", "offset", "inf", "nan", "atan2",
];
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// The metrics that an expression of PromQL is about.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let mut metrics = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if let Some(end) = match first {
            '{' => Some('}'),
            '[' => Some(']'),
            '"' => Some('"'),
            _ => None,
        } {
            let inside = &rest[1..];
            rest = inside.split_once(end).map_or("", |(_, after)| after);
            continue;
        }
        let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let length = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        if length == 0 {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        rest = after;
        if BEFORE_LABELS.contains(&word) {
            rest = after.split_once(')').map_or("", |(_, after)| after);
            continue;
        }
        let next = after.trim_start();
        let is_function = ["(", "by", "without"].iter().any(|it| next.starts_with(it));
        if !is_function && !WORDS.contains(&word) && !first.is_ascii_digit() {
            metrics.insert(word.to_owned());
        }
    }
    metrics
}

/// Runs Prometheus' checker; says so and gives nothing where it is not on this machine.
fn promtool(arguments: &[&str], input: Option<&str>) -> Option<Output> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("WINDLASS_CACHE").map(PathBuf::from);
    let shared = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(shared.or(home)?.join("windlass")));
    let unpacked = cache.map(|cache| cache.join("promtool/usr/bin/promtool"));
    let unpacked = unpacked.filter(|path| path.exists());
    let program = unpacked.unwrap_or_else(|| PathBuf::from("promtool"));
    let child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let what = arguments.join(" ");
            eprintln!("left out: promtool {what}: {error}; hack/setup.sh --promtool fetches it");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(input.unwrap_or_default().as_bytes())
        .unwrap();
    drop(stdin);
    Some(child.wait_with_output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
