//! `windlass submit`: an application, created and left to the operator.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use windlass_api::spark::ScheduledSparkApplication;
use windlass_api::spark::original::OldImages;
use windlass_api::spark::scheduled::{template, triggered_run_name};
use windlass_spark::spark_submit;
use windlass_spark::submission::{MainResource, SparkVersion, SubmitIds, SubmitRequest};

use super::change::{created, remove, wait_until_gone};
use crate::applications::Place;
use crate::args::{Show, SubmitArgs};
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::talk;
use crate::run::preflight::api_failure;
use crate::run::{apply_beside, job};
use crate::schedules::schedule;
use crate::shown::{Found, Scope, show};
use crate::{manifest, sparks};

/// Creates the application of a manifest or of a `spark-submit` command line.
pub async fn submit(args: SubmitArgs) -> Result<Exit, Failure> {
    let (mut application, others, source) = match (&args.file, &args.from) {
        (Some(file), _) => {
            let manifest = manifest::load(file, &OldImages::Refuse)?;
            let source = file.display().to_string();
            (manifest.application, manifest.others, source)
        }
        (None, Some(name)) => {
            let subject = name.of(Kind::Schedule)?;
            let place = Place::open(&args.place).await?;
            let application = from_schedule(&schedule(&place, &subject).await?)?;
            (
                application,
                Vec::new(),
                format!("schedule {}", subject.name),
            )
        }
        (None, None) => (
            from_command_line(&args)?,
            Vec::new(),
            "the command line".to_owned(),
        ),
    };
    if let Some(name) = &args.name {
        application["metadata"]["name"] = Value::from(name.as_str());
    }
    if let Some(namespace) = &args.place.namespace {
        application["metadata"]["namespace"] = Value::from(namespace.as_str());
    }
    job::configure(&mut application, &args.conf)?;
    let mut upload = None;
    if let Some(to) = args.upload() {
        let files = to.rewrite(&mut application).await?;
        upload = Some((to, files));
    }
    manifest::check(&application, &source)?;
    if args.dry_run {
        if let Some((to, files)) = &upload {
            to.pretend(files);
        }
        let found = Found {
            kind: Kind::Application,
            object: object(application)?,
        };
        return show(&[found], args.output.unwrap_or(Show::Yaml), Scope::One);
    }

    let mut place = Place::open(&args.place).await?;
    match application["metadata"]["namespace"].as_str() {
        Some(namespace) if !namespace.is_empty() => namespace.clone_into(&mut place.namespace),
        _ => application["metadata"]["namespace"] = Value::from(place.namespace.as_str()),
    }
    let object = object(application)?;
    let name = object.metadata.name.clone().unwrap_or_default();
    if args.replace {
        let subject = Subject::application(name.as_str());
        match remove(&place, &subject).await {
            Ok(uid) => {
                wait_until_gone(&place, &subject, &uid).await?;
                talk(&format!("{}/{name} deleted", place.namespace));
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(api_failure(error)),
        }
    }
    if let Some((to, files)) = &upload {
        to.put(files).await?;
    }
    for other in others {
        let applied = apply_beside(&place.client, other, &place.namespace).await?;
        talk(&applied);
    }
    let answer = place
        .applications()
        .create(&PostParams::default(), &object)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) if status.code == 409 => Failure::bad_input(format!(
                "metadata.name {name:?}: an application of this name is in namespace {} already: --replace deletes it \
                 first, --name chooses another name, windlass rerun runs it again",
                place.namespace
            )),
            error => api_failure(error),
        })?;
    created(&place, answer, args.output)
}

fn object(application: Value) -> Result<DynamicObject, Failure> {
    serde_json::from_value(application).map_err(Failure::internal)
}

/// The application of a schedule's template, by a name of its own. It is nobody's run, so that the
/// schedule neither counts nor removes it.
pub fn from_schedule(schedule: &ScheduledSparkApplication) -> Result<Value, Failure> {
    let name = schedule.metadata.name.as_deref().unwrap_or_default();
    let now = jiff::Timestamp::now().to_string();
    let mut application = template(schedule, triggered_run_name(name, &now));
    application.metadata.namespace = schedule.metadata.namespace.clone();
    application.metadata.owner_references = None;
    application.metadata.labels = schedule.metadata.labels.clone();
    serde_json::to_value(application).map_err(Failure::internal)
}

/// The application that a `spark-submit` command line asks for.
fn from_command_line(args: &SubmitArgs) -> Result<Value, Failure> {
    let version = args
        .spark_version
        .as_deref()
        .unwrap_or(sparks::NEWEST_KNOWN);
    let parsed_version: SparkVersion = version
        .parse()
        .map_err(|error| Failure::bad_input(format!("--spark-version {version}: {error}")))?;
    let ids = SubmitIds::derive("0000000000000000", jiff::Timestamp::now());
    let client = spark_submit::this_machine();
    let parsed = spark_submit::parse(&args.submit, client, parsed_version, ids)
        .map_err(|error| Failure::bad_input(error.to_string()))?;
    for note in &parsed.notes {
        talk(&format!("note: {note}"));
    }
    application_of(&parsed.request, version)
}

/// Settings that stand for a field of the application: the field's place and its type.
const FIELDS: &[(&str, &str, As)] = &[
    ("spark.kubernetes.container.image", "/image", As::Text),
    (
        "spark.kubernetes.container.image.pullPolicy",
        "/imagePullPolicy",
        As::Text,
    ),
    (
        "spark.kubernetes.driver.container.image",
        "/driver/image",
        As::Text,
    ),
    (
        "spark.kubernetes.executor.container.image",
        "/executor/image",
        As::Text,
    ),
    (
        "spark.kubernetes.authenticate.driver.serviceAccountName",
        "/driver/serviceAccount",
        As::Text,
    ),
    (
        "spark.kubernetes.authenticate.executor.serviceAccountName",
        "/executor/serviceAccount",
        As::Text,
    ),
    ("spark.driver.cores", "/driver/cores", As::Number),
    ("spark.driver.memory", "/driver/memory", As::Text),
    ("spark.executor.cores", "/executor/cores", As::Number),
    ("spark.executor.memory", "/executor/memory", As::Text),
    (
        "spark.executor.instances",
        "/executor/instances",
        As::Number,
    ),
    ("spark.jars", "/deps/jars", As::List),
    ("spark.files", "/deps/files", As::List),
    ("spark.archives", "/deps/archives", As::List),
    ("spark.submit.pyFiles", "/deps/pyFiles", As::List),
    ("spark.jars.packages", "/deps/packages", As::List),
    ("spark.jars.excludes", "/deps/excludePackages", As::List),
    ("spark.jars.repositories", "/deps/repositories", As::List),
];

/// Settings that the application says by itself.
const IMPLIED: [&str; 4] = [
    "spark.master",
    "spark.submit.deployMode",
    "spark.kubernetes.namespace",
    "spark.app.name",
];

/// How a setting is written as a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Text,
    Number,
    List,
}

/// A submission as the application that makes the operator submit the same.
fn application_of(request: &SubmitRequest, version: &str) -> Result<Value, Failure> {
    let conf = &request.conf;
    let (kind, file, class) = match &request.main {
        MainResource::Java { jar, class } => ("Java", jar.clone(), Some(class.clone())),
        MainResource::Python { file } => ("Python", Some(file.clone()), None),
        MainResource::R { file } => ("R", Some(file.clone()), None),
    };
    let mut spec = json!({
        "type": kind,
        "mode": "cluster",
        "sparkVersion": version,
        "restartPolicy": { "type": "Never" },
        "driver": {},
        "executor": {},
    });
    if let Some(file) = file {
        spec["mainApplicationFile"] = Value::from(file);
    }
    if let Some(class) = class {
        spec["mainClass"] = Value::from(class);
    }
    if let Some(user) = &request.proxy_user {
        spec["proxyUser"] = Value::from(user.as_str());
    }
    if !request.args.is_empty() {
        spec["arguments"] = json!(request.args);
    }
    let mut rest = serde_json::Map::new();
    for (key, value) in conf {
        let field = FIELDS.iter().find(|(setting, _, _)| setting == key);
        match field {
            Some((_, place, form)) => put(&mut spec, place, field_value(key, value, *form)?),
            None if IMPLIED.contains(&key.as_str()) => {}
            None => {
                rest.insert(key.clone(), Value::from(value.as_str()));
            }
        }
    }
    if !rest.is_empty() {
        spec["sparkConf"] = Value::Object(rest);
    }
    let name = conf.get("spark.app.name").map_or("job", String::as_str);
    let mut metadata = json!({ "name": job::name_from(name) });
    if let Some(namespace) = conf.get("spark.kubernetes.namespace") {
        metadata["namespace"] = Value::from(namespace.as_str());
    }
    Ok(json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": metadata,
        "spec": spec,
    }))
}

fn field_value(key: &str, value: &str, form: As) -> Result<Value, Failure> {
    match form {
        As::Text => Ok(Value::from(value)),
        As::Number => value.trim().parse::<i32>().map(Value::from).map_err(|_| {
            Failure::bad_input(format!(
                "{key}: {value:?} is not a number: write a whole number"
            ))
        }),
        As::List => Ok(value
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(Value::from)
            .collect()),
    }
}

/// Writes a value at a place, whose parents are made.
fn put(spec: &mut Value, place: &str, value: Value) {
    let mut at = spec;
    for part in place.split('/').skip(1) {
        at = &mut at[part];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn submitted(arguments: &[&str]) -> Result<Value, String> {
        let line = ["windlass", "submit", "--spark-version", "4.3.0", "--"];
        let cli = Cli::parse_from(line.iter().chain(arguments));
        let Command::Submit(args) = cli.command else {
            panic!("not submit")
        };
        let application = from_command_line(&args).map_err(|failure| failure.message)?;
        manifest::check(&application, "the command line").map_err(|failure| failure.message)?;
        Ok(application)
    }

    #[test]
    fn a_command_line_of_spark_submit_becomes_an_application() {
        let python = submitted(&[
            "--master",
            "k8s://https://example:6443",
            "--deploy-mode",
            "cluster",
            "--name",
            "My Report",
            "--num-executors",
            "4",
            "--executor-memory",
            "3g",
            "--executor-cores",
            "2",
            "--driver-memory",
            "2g",
            "--py-files",
            "local:///opt/a.zip,s3a://b/c.py",
            "--packages",
            "a:b:1,c:d:2",
            "--conf",
            "spark.kubernetes.namespace=jobs",
            "--conf",
            "spark.kubernetes.container.image=registry.example/etl:7",
            "--conf",
            "spark.kubernetes.authenticate.driver.serviceAccountName=spark",
            "--conf",
            "spark.sql.shuffle.partitions=8",
            "local:///opt/job.py",
            "--day",
            "7",
        ]);
        insta::assert_yaml_snapshot!(python.unwrap());
        let java = submitted(&[
            "--master",
            "k8s://https://example:6443",
            "--deploy-mode",
            "cluster",
            "--class",
            "org.example.Main",
            "--conf",
            "spark.kubernetes.container.image=registry.example/etl:7",
            "https://example/app.jar",
        ]);
        insta::assert_yaml_snapshot!(java.unwrap());
    }

    #[test]
    fn what_an_application_cannot_say_is_refused_with_what_to_do() {
        let start = [
            "--master",
            "k8s://https://example:6443",
            "--deploy-mode",
            "cluster",
            "--conf",
            "spark.kubernetes.container.image=registry.example/etl:7",
        ];
        let cases: [&[&str]; 3] = [
            &["/opt/job.py"],
            &["--files", "/etc/hosts", "local:///job.py"],
            &["--conf", "spark.executor.cores=two", "local:///job.py"],
        ];
        let told: Vec<String> = cases
            .iter()
            .map(|rest| {
                let line: Vec<&str> = start.iter().chain(*rest).copied().collect();
                submitted(&line).unwrap_err()
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
