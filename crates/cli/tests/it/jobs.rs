//! Real Spark on the embedded cluster: the run that every change must survive.

use crate::common::{root, windlass};

#[test]
fn pi_runs_with_two_executors_and_its_log_is_on_stdout() {
    let file = root().join("examples/spark-pi.yaml").display().to_string();
    let answer = windlass(&["run", "--progress", "plain", "-f", &file]);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    assert!(
        answer.stdout.contains("Pi is roughly 3.1"),
        "{}",
        answer.stdout
    );
    assert!(
        answer.stderr.contains("executors 2 of 2 running"),
        "{}",
        answer.stderr
    );
    assert!(answer.stderr.contains("COMPLETED in"), "{}", answer.stderr);
}
