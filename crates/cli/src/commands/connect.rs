//! `windlass connect`: a Spark Connect server at a port of this machine, and a client on it.
//!
//! The token that a server may ask for is read from its Secret with the user's own rights, and is
//! handed to the client by its environment, which is not in the list of processes.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::json;
use tokio::process::Command;
use windlass_api::spark::application::ConfValue;
use windlass_api::spark::connect::{SparkConnectSpec, WAKE_REQUESTED_AT};
use windlass_spark::connect::{CONNECT_PORT, CONNECT_PORT_KEY};

use super::forward::{listen, serve};
use crate::applications::Place;
use crate::args::ConnectArgs;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::{data, talk};
use crate::run::interrupts::{Interrupt, Interrupts};
use crate::run::preflight::api_failure;
use crate::sparks::{self, Installed};

const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Connects until the client has ended, or until it is interrupted.
pub async fn connect(args: ConnectArgs) -> Result<Exit, Failure> {
    let subject = args.server.of(Kind::Connect)?;
    let place = Place::open(&args.place).await?;
    let mut interrupts = Interrupts::listen()?;
    let found = place.object(&subject).await?;
    let spec = spec_of(&subject, &found)?;
    // Whoever has no Python for it is told so before a server is started for nothing.
    let python = if args.print {
        None
    } else {
        Some(python(&spec.spark_version)?)
    };
    wake(&place.api(Kind::Connect), &subject.name, &found).await?;
    let patience = Duration::from_secs(args.timeout);
    let pod = tokio::select! {
        pod = until_ready(&place, &subject, patience, talk) => pod?,
        _ = interrupts.next() => return Ok(Exit::Stopped),
    };
    let token = token(&place, &spec, &subject.name).await?;
    let (listener, local) = listen(args.local_port).await?;
    let (pods, port) = (place.pods(), port(&spec));
    let forwarding = serve(&listener, &pods, &pod, port);
    let Some(python) = python else {
        data(&url(local, token.as_deref()))?;
        talk(&format!("leads to port {port} of {pod}; Ctrl-C ends it"));
        return tokio::select! {
            failure = forwarding => Err(failure),
            _ = interrupts.next() => Ok(Exit::Completed),
        };
    };
    let mut client = client(&python, &args.program, local, token.as_deref());
    let mut client = client
        .spawn()
        .map_err(|error| Failure::bad_input(format!("Python cannot be started: {error}")))?;
    let mut forwarding = std::pin::pin!(forwarding);
    loop {
        tokio::select! {
            ended = client.wait() => {
                let ended = ended.map_err(Failure::internal)?;
                return Ok(if ended.success() { Exit::Completed } else { Exit::JobFailed });
            }
            failure = &mut forwarding => return Err(failure),
            // Ctrl-C reaches the client, too, which knows what to do about it.
            interrupt = interrupts.next() => if interrupt == Interrupt::Told {
                client.kill().await.map_err(Failure::internal)?;
                return Ok(Exit::Stopped);
            },
        }
    }
}

/// What a server is asked to be.
pub fn spec_of(subject: &Subject, found: &DynamicObject) -> Result<SparkConnectSpec, Failure> {
    SparkConnectSpec::deserialize(&found.data["spec"])
        .map_err(|error| Failure::bad_input(format!("{subject}: spec: {error}")))
}

/// The URL for clients on this machine.
pub fn url(port: u16, token: Option<&str>) -> String {
    let token = token.map_or_else(String::new, |token| format!(";token={token}"));
    format!("sc://localhost:{port}/{token}")
}

/// A server that was stopped because nobody used it is asked for again.
pub async fn wake(
    connects: &Api<DynamicObject>,
    name: &str,
    found: &DynamicObject,
) -> Result<(), Failure> {
    let (spec, status) = (&found.data["spec"], &found.data["status"]);
    let may_sleep = spec["idleTimeoutSeconds"].is_i64() && status["idleSince"].is_string();
    if !may_sleep {
        return Ok(());
    }
    let patch = json!({ "metadata": { "annotations": {
        WAKE_REQUESTED_AT: Timestamp::now().to_string(),
    } } });
    connects
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(api_failure)
}

/// The pod of a Connect or history server, once it answers; what is waited for is told once.
pub async fn until_ready(
    place: &Place,
    subject: &Subject,
    patience: Duration,
    tell: impl Fn(&str),
) -> Result<String, Failure> {
    let begin = Instant::now();
    let mut waits = false;
    loop {
        let found = place.object(subject).await?;
        let status = &found.data["status"];
        let (condition, state, pod) = match subject.kind {
            Kind::History => ("Ready", &status["phase"], &status["podName"]),
            _ => (
                "ServerPodReady",
                &status["state"],
                &status["server"]["podName"],
            ),
        };
        let told = status["conditions"].as_array().into_iter().flatten();
        let told = told
            .filter(|it| it["type"] == condition)
            .find_map(|it| it["message"].as_str())
            .unwrap_or("no operator has looked at it yet")
            .to_owned();
        let is_current = status["observedGeneration"] == json!(found.metadata.generation)
            && status["wakeRequestedAt"].as_str() == annotation(&found, WAKE_REQUESTED_AT);
        let about = format!("{}/{}", place.namespace, subject.name);
        if is_current {
            match (state.as_str(), pod.as_str()) {
                (Some("Ready"), Some(pod)) => return Ok(pod.to_owned()),
                (Some("Failed"), _) => return Err(Failure::bad_input(format!("{about}: {told}"))),
                _ if found.data["spec"]["suspend"] == true => {
                    return Err(Failure::bad_input(format!("{about} is {told}")));
                }
                _ => {}
            }
        }
        if begin.elapsed() > patience {
            return Err(Failure::cluster(format!(
                "{about} has not answered for {} s: {told}",
                patience.as_secs()
            )));
        }
        if !waits {
            waits = true;
            tell(&format!("waiting for {about}: {told}"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn annotation<'a>(object: &'a DynamicObject, name: &str) -> Option<&'a str> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

/// The token that clients must show, read with the user's own rights.
pub async fn token(
    place: &Place,
    spec: &SparkConnectSpec,
    name: &str,
) -> Result<Option<String>, Failure> {
    let Some(reference) = spec.token(name) else {
        return Ok(None);
    };
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let secret = secrets.get(&reference.name).await.map_err(|error| {
        Failure::cluster(format!(
            "the token of {name} cannot be read from Secret {}: {error}",
            reference.name
        ))
    })?;
    let bytes = secret.data.and_then(|mut data| data.remove(&reference.key));
    let token = bytes.and_then(|bytes| String::from_utf8(bytes.0).ok());
    token.map(Some).ok_or_else(|| {
        Failure::bad_input(format!(
            "Secret {} has no text at key {}: put the token there",
            reference.name, reference.key
        ))
    })
}

/// The port that the server listens at.
pub fn port(spec: &SparkConnectSpec) -> u16 {
    let setting = spec.spark_conf.get(CONNECT_PORT_KEY);
    let text = setting.and_then(ConfValue::text);
    text.and_then(|text| text.trim().parse().ok())
        .unwrap_or(CONNECT_PORT)
}

/// The Spark of this machine with the client for a server of this version.
fn python(version: &str) -> Result<Installed, Failure> {
    let minor = |version: &str| -> Vec<String> {
        let parts = version.split(['.', '-']).take(2);
        parts.map(str::to_owned).collect()
    };
    let found = sparks::find();
    let fitting = found
        .into_iter()
        .find(|spark| minor(&spark.version) == minor(version));
    fitting.ok_or_else(|| {
        Failure::bad_input(format!(
            "this machine has no PySpark {}: run {}, or give --print and connect with your own",
            minor(version).join("."),
            sparks::INSTALL_HINT.replace("{minor}", &minor(version).join("."))
        ))
    })
}

/// Python with everything that makes a session of PySpark a remote one.
fn client(spark: &Installed, program: &[String], port: u16, token: Option<&str>) -> Command {
    let interpreter = spark.python.as_deref().unwrap_or(Path::new("python3"));
    let mut command = Command::new(interpreter);
    command
        .env("SPARK_REMOTE", format!("sc://localhost:{port}"))
        .env("SPARK_CONNECT_MODE_ENABLED", "1")
        .env_remove("SPARK_CONNECT_AUTHENTICATE_TOKEN")
        .stdin(Stdio::inherit())
        .kill_on_drop(true);
    if let Some(token) = token {
        command.env("SPARK_CONNECT_AUTHENTICATE_TOKEN", token);
    }
    if spark.python.is_none() {
        command.env("PYTHONPATH", spark.home.join("python"));
    }
    if program.is_empty() {
        let startup = ["shell.py", "python/pyspark/shell.py"]
            .map(|file| spark.home.join(file))
            .into_iter()
            .find(|file| file.exists());
        if let Some(startup) = startup {
            command.env("PYTHONSTARTUP", startup);
        }
        command.arg("-i");
    } else {
        command.args(program);
    }
    command
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn spec(more: Value) -> SparkConnectSpec {
        let mut spec = json!({"sparkVersion": "4.3.0"});
        for (name, value) in more.as_object().unwrap() {
            spec[name] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn the_port_is_the_one_of_the_settings() {
        assert_eq!(port(&spec(json!({}))), 15002);
        let moved = json!({"sparkConf": {"spark.connect.grpc.binding.port": "16000"}});
        assert_eq!(port(&spec(moved)), 16000);
    }

    #[test]
    fn a_token_reaches_the_client_by_its_environment_alone() {
        let spark = Installed {
            version: "4.3.0".to_owned(),
            home: "/sparks/4.3.0".into(),
            python: Some("/sparks/4.3.0/bin/python3".into()),
        };
        let program = ["job.py".to_owned(), "--token".to_owned()];
        let command = client(&spark, &program, 16000, Some("secret"));
        let command = command.as_std();
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["job.py", "--token"]);
        let variables: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
            .collect();
        assert!(variables.contains(&("SPARK_REMOTE", "sc://localhost:16000")));
        assert!(variables.contains(&("SPARK_CONNECT_AUTHENTICATE_TOKEN", "secret")));
    }
}
