//! A token that is planted wherever a secret may come from is found nowhere but in its Secret.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{Answer, Up, WINDLASS, until, write};

const PATIENCE: Duration = Duration::from_mins(2);
/// What must be found nowhere.
const TOKEN: &str = "planted-5d1f0c7be2a94863";
/// What a user writes where everybody reads it.
const PLAIN: &str = "open-9c2e44b0a7d64f15";

/// A job that gets the token in every way there is, sees it, and fails.
fn application() -> Value {
    let reference = json!({"secretKeyRef": {"name": "creds", "key": "token"}});
    let script = "test \"$BY_ENV\" = \"$(cat /etc/creds/token)\" || exit 9\n\
                  test \"$BY_ENV\" = \"$BY_OLD_FIELD\" || exit 8\n\
                  test \"$BY_ENV\" = \"$token\" || exit 7\n\
                  test \"$BY_ENV\" = \"$BY_TEMPLATE\" || exit 6\n\
                  case \"$*\" in *\"$BY_ENV\"*) ;; *) exit 5 ;; esac\n\
                  echo java.lang.IllegalStateException: no table; exit 3";
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "planted", "namespace": "default"},
        "spec": {
            "type": "Python", "mode": "cluster", "sparkVersion": "4.3.0",
            "image": "local/host:latest",
            "mainApplicationFile": "local:///opt/job.py",
            "sparkConf": {"spark.hadoop.fs.s3a.secret.key": {"valueFrom": reference}},
            "hadoopConf": {"fs.s3a.session.token": {"valueFrom": reference}},
            "volumes": [{"name": "more", "secret": {"secretName": "creds"}}],
            "driver": {
                "cores": 1, "coreRequest": "10m", "memory": "64m", "memoryOverhead": "64m",
                "env": [{"name": "BY_ENV", "valueFrom": reference}],
                "envFrom": [{"secretRef": {"name": "creds"}}],
                "envSecretKeyRefs": {"BY_OLD_FIELD": {"name": "creds", "key": "token"}},
                "secrets": [{"name": "creds", "path": "/etc/creds", "secretType": "Generic"}],
                "volumeMounts": [{"name": "more", "mountPath": "/etc/more"}],
                "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [{
                    "name": "spark-kubernetes-driver",
                    "command": ["sh", "-c", script, "driver"],
                    "env": [{"name": "BY_TEMPLATE", "valueFrom": reference}],
                }]}},
            },
            "executor": {
                "instances": 1, "cores": 1, "memory": "512m",
                "env": [{"name": "BY_ENV", "valueFrom": reference}],
            },
        },
    })
}

/// A server that asks for the token.
fn server() -> Value {
    let reference = json!({"name": "creds", "key": "token"});
    let template = json!({"spec": {"containers": [{
        "name": "spark-kubernetes-driver", "image": "local/host:latest",
        "command": ["sh", "-c", "trap 'exit 143' TERM; while :; do sleep 0.1; done"],
    }]}});
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {"name": "guarded", "namespace": "default"},
        "spec": {
            "sparkVersion": "4.3.0", "image": "local/host:latest",
            "sparkConf": {"spark.hadoop.fs.s3a.secret.key": {
                "valueFrom": {"secretKeyRef": reference},
            }},
            "server": {"memory": "64m", "template": template},
            "executor": {"instances": 1},
            "access": {"token": {"secretKeyRef": reference}},
        },
    })
}

/// The same job with a secret that is none.
fn in_the_open() -> Value {
    let mut app = application();
    app["metadata"]["name"] = json!("open");
    app["spec"]["sparkConf"]["spark.hadoop.fs.s3a.secret.key"] = json!(PLAIN);
    app
}

fn ended(up: &Up, name: &str) -> Value {
    until(&format!("{name} to end"), PATIENCE, || {
        let app = up.get(&["sparkapplication", name])?;
        let state = app["status"]["applicationState"]["state"].as_str()?;
        assert_ne!(state, "COMPLETED", "{app:#}");
        (state == "FAILED").then_some(app)
    })
}

/// Everything the API shows of these kinds, apart from Secrets.
fn everything(up: &Up) -> String {
    let kinds = up.kubectl_ok(&["api-resources", "--verbs=list", "-o", "name"]);
    let kinds: Vec<&str> = kinds.lines().filter(|kind| *kind != "secrets").collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    up.kubectl_ok(&[
        "get",
        &kinds.join(","),
        "-A",
        "-o",
        "json",
        "--show-managed-fields",
    ])
}

fn said(answer: &Answer) -> String {
    format!("{}{}", answer.stdout, answer.stderr)
}

#[test]
fn a_token_stays_in_its_secret_whatever_is_made_of_it_and_whatever_fails() {
    let mut windlass = Command::new(WINDLASS);
    windlass.env(
        "RUST_LOG",
        "debug,hyper=info,hyper_util=info,h2=info,rustls=info,tower=info,kube_client=info",
    );
    let up = Up::launched(tempfile::tempdir().unwrap(), windlass, "");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "creds"},
        "stringData": {"token": TOKEN},
    });
    // Not by apply, which keeps a copy of what it was given in the object.
    up.kubectl_with(&["create", "-f", "-"], &secret.to_string());
    let app = application().to_string();
    up.kubectl_with(&["create", "-f", "-"], &app);
    up.kubectl_with(&["create", "-f", "-"], &server().to_string());
    let planted = ended(&up, "planted");
    let message = planted["status"]["applicationState"]["errorMessage"].as_str();
    assert!(
        message.unwrap().contains("no table"),
        "the job saw the token: {message:?}"
    );
    until("the server's pod", PATIENCE, || {
        let connect = up.get(&["sparkconnect", "guarded"])?;
        connect["status"]["server"]["podName"]
            .as_str()
            .map(str::to_owned)
    });

    let file = write(up.data.path(), "app.json", &app);
    let server = write(up.data.path(), "server.json", &server().to_string());
    let mut changed = application();
    changed["spec"]["image"] = json!("local/host:other");
    let changed = write(up.data.path(), "changed.json", &changed.to_string());
    let mut places = vec![("the API".to_owned(), everything(&up))];
    for arguments in [
        &["render", "-f", &file][..],
        &["render", "-f", &server],
        &["validate", "-f", &file],
        &["diff", "-f", &changed],
        &["list"],
        &["status", "planted"],
        &["status", "planted", "-o", "yaml"],
        &["why", "planted"],
        &["events", "planted"],
    ] {
        let answer = up.windlass(arguments);
        assert!(
            !answer.stdout.is_empty(),
            "{arguments:?}: {}",
            answer.stderr
        );
        places.push((arguments.join(" "), said(&answer)));
    }
    places.push((
        "kubectl describe".to_owned(),
        up.kubectl_ok(&["describe", "sparkapplications,sparkconnects,pods,events"]),
    ));
    let log = || std::fs::read_to_string(up.data.path().join("stderr.log")).unwrap();
    let so_far = log();
    assert!(so_far.contains("windlass"), "the log is one: {so_far}");
    places.push(("the log".to_owned(), so_far));
    let encoded = STANDARD.encode(TOKEN);
    for (place, text) in &places {
        for needle in [TOKEN, encoded.as_str()] {
            let found = text.find(needle);
            let around = found.and_then(|at| text.get(at.saturating_sub(200)..at));
            assert!(
                found.is_none(),
                "{place}: ...{}",
                around.unwrap_or_default()
            );
        }
    }
    let kept = up.get(&["secret", "creds"]).unwrap();
    assert_eq!(kept["data"]["token"], encoded);

    // What a user writes in the open is told to be a secret, and told no further.
    let open = in_the_open().to_string();
    up.kubectl_with(&["create", "-f", "-"], &open);
    let app = ended(&up, "open");
    let conditions = app["status"]["conditions"].as_array().unwrap();
    let warned = conditions
        .iter()
        .find(|it| it["type"] == "SecretInPlainText");
    let warned = warned.unwrap()["message"].as_str().unwrap();
    assert!(
        warned.starts_with("spec.sparkConf[spark.hadoop.fs.s3a.secret.key]: is a secret"),
        "{warned}"
    );
    let file = write(up.data.path(), "open.json", &open);
    let mut other = in_the_open();
    other["spec"]["sparkConf"]["spark.hadoop.fs.s3a.secret.key"] = json!("another");
    let other = write(up.data.path(), "other.json", &other.to_string());
    let checked = up.windlass(&["validate", "-f", &file]);
    assert!(checked.stderr.contains("warning: "), "{}", checked.stderr);
    let mut places = vec![
        ("the status".to_owned(), app["status"].to_string()),
        (
            "events".to_owned(),
            up.kubectl_ok(&["get", "events", "-o", "json"]),
        ),
        (
            "pods".to_owned(),
            up.kubectl_ok(&["get", "pods", "-o", "json"]),
        ),
        ("validate".to_owned(), said(&checked)),
        ("the log".to_owned(), log()),
    ];
    for arguments in [
        &["diff", "-f", &other][..],
        &["list"],
        &["status", "open"],
        &["why", "open"],
        &["events", "open"],
    ] {
        places.push((arguments.join(" "), said(&up.windlass(arguments))));
    }
    for (place, text) in &places {
        assert!(!text.contains(PLAIN), "{place}: {text}");
    }
}
