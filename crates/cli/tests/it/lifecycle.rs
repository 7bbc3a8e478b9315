//! One application on a running cluster: suspended, resumed, changed, run again, and gone when its
//! time is over. Spark is played by a script, so each run is short.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Up, WINDLASS, until, write};
use crate::machine::Machine;

const PATIENCE: Duration = Duration::from_mins(1);

/// Waits to be told to go, as the first process of its container must do itself.
const WAITS: &str = "import signal, sys\n\
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n\
    while True: signal.pause()\n";

struct Application {
    up: Up,
}

impl Application {
    fn status(&self) -> Value {
        let found = self.up.get(&["sparkapplication", "app"]);
        found.expect("the application is there")["status"].clone()
    }

    /// Waits until this attempt is in this state, and says how it is then.
    fn becomes(&self, state: &str, attempt: u64) -> Value {
        until(
            &format!("attempt {attempt} to be {state}"),
            PATIENCE,
            || {
                let status = self.status();
                let is = status["applicationState"]["state"] == state
                    && status["attempt"]["number"] == attempt;
                is.then_some(status)
            },
        )
    }

    fn patch(&self, spec: &Value) {
        let patch = json!({ "spec": spec }).to_string();
        let merge = [
            "patch",
            "sparkapplication",
            "app",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.up.kubectl_ok(&merge);
    }
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|it| it["type"] == kind);
    found.unwrap_or(&Value::Null)
}

#[test]
fn an_application_is_suspended_resumed_changed_run_again_and_gone_in_time() {
    let machine = Machine::new();
    machine.write("spark/examples/src/main/python/waits.py", WAITS);
    let mut windlass = Command::new(WINDLASS);
    windlass
        .env("SPARK_HOME", machine.path("spark"))
        .env("WINDLASS_CACHE", machine.path("cache"));
    let app = Application {
        up: Up::launched(tempfile::tempdir().unwrap(), windlass, ""),
    };
    let manifest = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "app"},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/waits.py",
            "driver": {"memory": "512m", "serviceAccount": "spark"},
            "executor": {"instances": 1, "memory": "512m"},
        },
    });
    let file = write(app.up.data.path(), "app.json", &manifest.to_string());
    app.up.kubectl_ok(&["create", "-f", &file]);
    app.becomes("RUNNING", 1);

    app.patch(&json!({"suspend": true}));
    let suspended = app.becomes("SUSPENDED", 1);
    assert_eq!(suspended["attempt"]["outcome"]["reason"], "Suspended");
    assert_eq!(app.up.get(&["pod", "app-driver"]), None);
    assert_eq!(app.up.get(&["service", "app-ui-svc"]), None);
    app.patch(&json!({"suspend": false}));
    let resumed = app.becomes("RUNNING", 2);
    assert_eq!(resumed["executionAttempts"], 1, "no retry is spent");

    app.patch(&json!({"driver": {"labels": {"team": "etl"}}}));
    let told = until("the change to be told", PATIENCE, || {
        let status = app.status();
        let pending = condition(&status, "UpdatePending");
        pending["message"].as_str().map(str::to_owned)
    });
    assert_eq!(
        told,
        "spec.driver.labels takes effect with the next attempt"
    );
    app.becomes("RUNNING", 2);

    app.patch(&json!({
        "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
    }));
    let completed = app.becomes("COMPLETED", 3);
    let before = &completed["attemptHistory"][1]["outcome"];
    assert_eq!(before["message"], "spec.mainApplicationFile changed");
    let driver = app.up.get(&["pod", "app-driver"]).unwrap();
    assert_eq!(driver["metadata"]["labels"]["team"], "etl");

    app.patch(&json!({"driver": {"labels": {"team": "ml"}}}));
    let generation = || {
        let found = app.up.get(&["sparkapplication", "app"]).unwrap();
        found["metadata"]["generation"].clone()
    };
    until("the label to be seen", PATIENCE, || {
        (app.status()["observedGeneration"] == generation()).then_some(())
    });
    app.becomes("COMPLETED", 3);

    let rerun = "windlass.dev/rerun-requested-at=2026-03-01T12:00:00Z";
    app.up
        .kubectl_ok(&["annotate", "sparkapplication", "app", rerun]);
    let again = app.becomes("COMPLETED", 4);
    assert_eq!(again["rerunRequestedAt"], "2026-03-01T12:00:00Z");

    app.patch(&json!({"timeToLiveSeconds": 1}));
    until("the application to be gone", PATIENCE, || {
        app.up
            .get(&["sparkapplication", "app"])
            .is_none()
            .then_some(())
    });
    until("its driver to be gone", PATIENCE, || {
        app.up.get(&["pod", "app-driver"]).is_none().then_some(())
    });
}
