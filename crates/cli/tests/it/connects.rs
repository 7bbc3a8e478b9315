//! The commands about Connect servers and schedules, against one running cluster.
//!
//! The servers are no Sparks: their template's container says something and listens at the port of
//! one, so that a start takes a moment instead of that of a JVM.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::applications::{ok, scripted};
use crate::common::{Answer, Up, until, windlass, write};

const PATIENCE: Duration = Duration::from_mins(2);

/// Says something and answers at the port of a server.
const SERVER: &str = "echo the server starts; exec python3 -m http.server 15002 \
    --bind $SPARK_DRIVER_BIND_ADDRESS --directory /etc/hostname";

fn server(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {"name": name, "labels": {"team": "tests"}},
        "spec": {
            "sparkVersion": "4.3.0",
            "image": "local/host:latest",
            "server": {
                "memory": "64m",
                "template": {"spec": {
                    "serviceAccountName": "spark",
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "spark-kubernetes-driver",
                        "command": ["sh", "-c", script],
                        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                    }],
                }},
            },
            "executor": {"instances": 1, "memory": "512m"},
        },
    })
}

fn schedule(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "ScheduledSparkApplication",
        "metadata": {"name": name},
        "spec": {
            "schedule": "0 2 * * *",
            "timeZone": "Europe/Berlin",
            "template": scripted(name, script)["spec"],
        },
    })
}

/// What is said of a command that ends with bad input.
fn refused(answer: &Answer) -> &str {
    assert_eq!(answer.code, 2, "{}{}", answer.stdout, answer.stderr);
    &answer.stderr
}

/// Ends with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(up: &Up, arguments: &[&str]) -> Self {
        let log = std::fs::File::create(up.data.path().join("running.log")).unwrap();
        let mut command = up.command(arguments);
        Self(command.stdout(Stdio::piped()).stderr(log).spawn().unwrap())
    }

    /// The first line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let mut stdout = BufReader::new(self.0.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) -> i32 {
        let pid = self.0.id().to_string();
        let told = std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        assert!(told.unwrap().success());
        self.0.wait().unwrap().code().unwrap()
    }
}

/// Whether something answers where a URL leads.
fn answers(url: &str) -> bool {
    let address = url.trim_start_matches("sc://").split('/').next().unwrap();
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_server_is_listed_looked_at_stopped_started_and_deleted_by_its_kind_and_name() {
    let up = Up::start();
    up.apply(&server("sql", SERVER));
    assert_eq!(
        ok(up.windlass(&["wait", "connect/sql", "--timeout", "120"])),
        "Connect server default/sql Ready\n"
    );

    // Looking.
    for arguments in [&["list", "connects"][..], &["list", "--connects"]] {
        let table = ok(up.windlass(arguments));
        assert!(
            table.starts_with("NAME   STATE   EXECUTORS   ADDRESS"),
            "{table}"
        );
        assert!(table.contains("sc://sql-server:15002"), "{table}");
    }
    let wide = ok(up.windlass(&[
        "list",
        "sparkconnects",
        "-A",
        "-o",
        "wide",
        "-l",
        "team=tests",
    ]));
    assert!(wide.starts_with("NAMESPACE   NAME"), "{wide}");
    assert!(wide.contains("local/host:latest"), "{wide}");
    let name = ok(up.windlass(&["list", "--connects", "-o", "name"]));
    assert_eq!(name, "sparkconnect.sparkoperator.k8s.io/sql\n");
    let list = ok(up.windlass(&["list", "--connects", "-o", "json"]));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["items"][0]["kind"], "SparkConnect");
    let yaml = ok(up.windlass(&["status", name.trim_end(), "-o", "yaml"]));
    assert!(yaml.contains("kind: SparkConnect"), "{yaml}");
    let status = ok(up.windlass(&["status", "connect/sql", "-o", "wide"]));
    assert!(
        status.contains("Address     sc://sql-server:15002"),
        "{status}"
    );
    let whole = ok(up.windlass(&["status"]));
    assert!(whole.contains("sc://sql-server:15002"), "{whole}");
    assert_eq!(
        ok(up.windlass(&["logs", "connect/sql", "--tail", "1"])),
        "the server starts\n"
    );
    let events = ok(up.windlass(&["events", "connect/sql"]));
    assert!(events.contains("ServerReady"), "{events}");
    assert!(events.contains("pod/sql-server-"), "{events}");
    let why = ok(up.windlass(&["why", "connect/sql"]));
    assert!(why.contains("nothing is found to be wrong"), "{why}");
    let mut printing = Running::start(&up, &["connect", "connect/sql", "--print"]);
    let url = printing.line();
    assert!(answers(&url), "{url}");
    assert_eq!(printing.interrupt(), 0);

    // Changing.
    assert_eq!(
        ok(up.windlass(&["suspend", "connect/sql"])),
        "Connect server default/sql suspended\n"
    );
    ok(up.windlass(&[
        "wait",
        "connect/sql",
        "--for",
        "suspended",
        "--timeout",
        "120",
    ]));
    let why = ok(up.windlass(&["why", "connect/sql"]));
    assert!(why.contains("windlass resume connect/sql"), "{why}");
    assert!(ok(up.windlass(&["list", "connects"])).contains("Suspended"));
    // Its last pod may still be ending, and has a log as long as it is there.
    until("the log to be a kept one", PATIENCE, || {
        let logs = up.windlass(&["logs", "connect/sql"]);
        let told = "default/sql is Suspended and has no pod: suspended";
        (logs.code == 0 && logs.stderr.contains(told)).then_some(())
    });
    let name = ok(up.windlass(&["resume", "connect/sql", "-o", "name"]));
    assert_eq!(name, "sparkconnect.sparkoperator.k8s.io/sql\n");
    ok(up.windlass(&["wait", "connect/sql", "--timeout", "120"]));

    // What has no meaning for a server, and what was meant by a wrong name.
    for (command, expected) in [
        (
            &["rerun", "connect/sql"][..],
            "windlass suspend connect/sql",
        ),
        (
            &["wait", "connect/sql", "--for", "end"],
            "connect/sql has no end",
        ),
        (
            &["trigger", "connect/sql"],
            "about schedules, not about Connect servers",
        ),
        (
            &["status", "sql"],
            "there is a Connect server of that name: give connect/sql",
        ),
        (
            &["delete", "schedule/sql"],
            "no schedule default/sql: there is a Connect server",
        ),
        (
            &["status", "connect/none"],
            "no Connect server default/none: see windlass list connects",
        ),
        (
            &["status", "pod/sql"],
            "\"pod\" is no kind that windlass knows",
        ),
    ] {
        let answer = up.windlass(command);
        let told = refused(&answer);
        assert!(told.contains(expected), "{command:?}: {told}");
    }

    // A server that fails.
    up.apply(&server(
        "failing",
        "echo 'Error: Failed to load class org.example.Nope.'; exit 101",
    ));
    let why = until("the cause to be found", PATIENCE, || {
        let text = ok(up.windlass(&["why", "connect/failing"]));
        text.contains("ClassMissing").then_some(text)
    });
    assert!(why.contains("exit code 101"), "{why}");

    let deleted = ok(up.windlass(&["delete", "connect/sql", "connect/failing"]));
    assert_eq!(
        deleted,
        "Connect server default/sql deleted\nConnect server default/failing deleted\n"
    );
    assert_eq!(up.kubectl_ok(&["get", "pods", "-o", "name"]), "");
    let answer = up.windlass(&["list", "connects"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, ""));
    assert!(
        answer
            .stderr
            .contains("no Connect servers in namespace default")
    );
}

#[test]
fn a_schedule_is_looked_at_with_its_runs_stopped_started_and_deleted() {
    let up = Up::start();
    up.apply(&schedule("nightly", "echo it runs; exit 0"));
    let never = up.windlass(&["logs", "schedule/nightly"]);
    assert!(
        refused(&never).contains("windlass trigger nightly"),
        "{}",
        never.stderr
    );
    let run = ok(up.windlass(&["trigger", "schedule/nightly"]));
    let run = run.trim_end();
    ok(up.windlass(&["wait", run, "--timeout", "120"]));

    let status = ok(up.windlass(&["status", "schedule/nightly"]));
    for expected in [
        "Schedule    0 2 * * * (Europe/Berlin)",
        "Next run    in ",
        "Last run    ",
        run,
        "COMPLETED",
    ] {
        assert!(status.contains(expected), "{expected}: {status}");
    }
    let list = ok(up.windlass(&["list", "schedules"]));
    assert!(list.starts_with("NAME      SCHEDULE    STATE"), "{list}");
    let logs = up.windlass(&["logs", "schedule/nightly"]);
    assert!(
        logs.stderr.contains(&format!("the last run is {run}")),
        "{}",
        logs.stderr
    );
    assert_eq!(ok(logs), "it runs\n");
    let events = ok(up.windlass(&["events", "schedule/nightly"]));
    assert!(
        events.contains(&format!("sparkapplication/{run}")),
        "{events}"
    );
    let why = ok(up.windlass(&["why", "schedule/nightly"]));
    assert!(
        why.contains("schedule default/nightly is Scheduled"),
        "{why}"
    );
    assert!(
        why.contains(&format!("default/{run} is COMPLETED")),
        "{why}"
    );
    let why = ok(up.windlass(&["why", "schedule/nightly", "-o", "json"]));
    let why: Value = serde_json::from_str(&why).unwrap();
    assert_eq!(why["lastRun"]["name"], run);

    ok(up.windlass(&["suspend", "schedule/nightly"]));
    ok(up.windlass(&[
        "wait",
        "schedule/nightly",
        "--for",
        "suspended",
        "--timeout",
        "60",
    ]));
    let why = ok(up.windlass(&["why", "schedule/nightly"]));
    assert!(why.contains("windlass resume schedule/nightly"), "{why}");
    ok(up.windlass(&["resume", "schedule/nightly"]));
    for (command, expected) in [
        (
            &["rerun", "schedule/nightly"][..],
            "windlass trigger nightly",
        ),
        (&["wait", "schedule/nightly"], "its runs do"),
        (&["forward", "schedule/nightly"], "has no page"),
        (
            &["connect", "schedule/nightly"],
            "about Connect servers, not about schedules",
        ),
    ] {
        let answer = up.windlass(command);
        let told = refused(&answer);
        assert!(told.contains(expected), "{command:?}: {told}");
    }
    let answer = up.windlass(&["submit", "--from", "schedule/nightly", "--name", "once"]);
    assert_eq!(ok(answer), "default/once submitted\n");
    assert_eq!(
        ok(up.windlass(&["delete", "schedule/nightly", "once"])),
        "schedule default/nightly deleted\ndefault/once deleted\n"
    );
    assert_eq!(
        up.kubectl_ok(&["get", "sparkapplications", "-o", "name"]),
        ""
    );
}

#[test]
fn the_file_of_a_server_runs_until_it_is_stopped_and_that_of_a_schedule_once() {
    let up = Up::start();
    let file = write(
        up.data.path(),
        "server.json",
        &server("sql", SERVER).to_string(),
    );
    let mut running = Running::start(&up, &["run", "-f", &file, "--progress", "plain"]);
    let url = running.line();
    assert!(url.starts_with("sc://localhost:"), "{url}");
    assert!(answers(&url), "{url}");
    let again = up.windlass(&["run", "-f", &file]);
    assert!(refused(&again).contains("--attach"), "{}", again.stderr);
    assert_eq!(running.interrupt(), 0);
    assert!(up.get(&["sparkconnect", "sql"]).is_none());
    let said = std::fs::read_to_string(up.data.path().join("running.log")).unwrap();
    assert!(
        said.contains("stopped: sql and its pods are gone"),
        "{said}"
    );

    let file = write(
        up.data.path(),
        "schedule.json",
        &schedule("nightly", "echo it runs; exit 3").to_string(),
    );
    let answer = up.windlass(&["run", "-f", &file, "--progress", "off"]);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    assert_eq!(answer.stdout, "it runs\n");
    assert!(
        answer
            .stderr
            .contains("is a schedule: its template runs once, now")
    );
    assert!(up.get(&["scheduledsparkapplication", "nightly"]).is_none());

    let two = json!({"apiVersion": "v1", "kind": "List", "items": [
        server("a", SERVER), server("b", SERVER),
    ]});
    let file = write(up.data.path(), "two.json", &two.to_string());
    let answer = windlass(&["run", "-f", &file]);
    assert!(
        refused(&answer).contains("holds 2 SparkConnects"),
        "{}",
        answer.stderr
    );
}
