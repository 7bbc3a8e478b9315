//! Real Spark on the embedded cluster: the two runs that every change must survive.

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

#[test]
fn a_job_that_loses_an_executor_heals() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("sales.py");
    std::fs::copy(root().join("examples/jobs/sales.py"), &job).unwrap();
    let job = job.display().to_string();
    let answer = windlass(&["run", "--progress", "plain", &job, "--lose-an-executor"]);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    assert!(
        answer.stdout.contains("healed: two executors again"),
        "{}",
        answer.stdout
    );
    assert!(
        answer.stdout.contains("read 2000000 rows"),
        "{}",
        answer.stdout
    );
    assert!(answer.stderr.contains("was lost"), "{}", answer.stderr);
}
