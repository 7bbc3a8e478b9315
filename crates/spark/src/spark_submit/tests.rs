use super::*;

fn submit(args: &[&str]) -> Result<SubmitRequest, SubmitError> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let version = "4.3.0".parse().unwrap();
    let ids = SubmitIds::derive("0123456789abcdef", jiff::Timestamp::UNIX_EPOCH);
    parse(&args, Client::bare("me"), version, ids).map(|parsed| parsed.request)
}

const CLUSTER: [&str; 4] = ["--master", "k8s://https://h", "--deploy-mode", "cluster"];

#[test]
fn the_last_of_option_and_conf_wins_for_the_driver_and_the_option_for_everything_else() {
    let mut args = CLUSTER.to_vec();
    args.extend(["--driver-memory", "2g", "--conf", "spark.driver.memory=3g"]);
    args.extend(["--executor-memory", "2g", "-c", "spark.executor.memory=3g"]);
    args.extend([
        "--name=n",
        "--conf=spark.x=y=z",
        "--class",
        "C",
        "local:///a.jar",
        "--name",
        "-v",
    ]);
    let request = submit(&args).unwrap();
    assert_eq!(request.conf["spark.driver.memory"], "3g");
    assert_eq!(request.conf["spark.executor.memory"], "2g");
    assert_eq!(request.conf["spark.app.name"], "n");
    assert_eq!(request.conf["spark.x"], "y=z");
    assert_eq!(request.args, ["--name", "-v"]);
}

#[test]
fn what_is_not_a_submission_in_cluster_mode_is_refused() {
    for (args, key) in [
        (&["local:///a.py"][..], "--deploy-mode"),
        (&["--deploy-mode", "cluster"], "main resource"),
        (&["--deploy-mode", "moon", "a.py"], "--deploy-mode"),
        (&["--deploy-mode"], "--deploy-mode"),
        (&["--frobnicate", "a.py"], "--frobnicate"),
        (&["--conf", "spark.x", "a.py"], "--conf"),
        (&["--kill", "x"], "--kill"),
        (&["--version"], "--version"),
        (&["--deploy-mode", "cluster", "local:///a.jar"], "--class"),
        (
            &[
                "--deploy-mode",
                "cluster",
                "--total-executor-cores",
                "x",
                "a.py",
            ],
            "--total-executor-cores",
        ),
    ] {
        assert_eq!(submit(args).unwrap_err().key(), key, "{args:?}");
    }
}
