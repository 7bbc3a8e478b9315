//! `windlass render` and `windlass validate`: what would be created, and what is wrong with it.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use windlass_api::decode::is_kind;
use windlass_api::parse::to_yaml_documents;
use windlass_api::spark::original::OldImages;
use windlass_api::spark::scheduled::{SCHEDULE_LABEL, run_name, template};
use windlass_api::spark::{
    OriginalSparkApplication, ScheduledSparkApplication, SparkApplication, SparkConnect,
    SparkHistoryServer, SparkPolicy,
};
use windlass_api::spark::{application, original};
use windlass_spark::connect::Ruled;
use windlass_spark::policy::Layer;
use windlass_spark::submission::{SparkVersion, SubmitError, SubmitIds};
use windlass_spark::{connect, history, lower, spark_submit, submission};

use crate::args::{Format, RenderArgs, ValidateArgs};
use crate::exit::{Exit, Failure};
use crate::manifest::Original;
use crate::output::{out, talk};
use crate::{manifest, sparks};

/// Prints the objects of a submission.
pub fn render(args: RenderArgs) -> Result<Exit, Failure> {
    let objects = match &args.file {
        Some(file) => {
            let policies = manifest::policies(args.policy.as_deref())?;
            render_file(file, &policies, &args.original.old_images())?
        }
        None => render_command_line(&args)?,
    };
    match args.output {
        Format::Json => {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            out(&serde_json::to_string_pretty(&list).map_err(Failure::internal)?);
        }
        Format::Yaml => out(to_yaml_documents(&objects)
            .map_err(Failure::internal)?
            .trim_end()),
    }
    Ok(Exit::Completed)
}

/// What the operator would create for the first attempt of an application, or for a server.
fn render_file(
    file: &std::path::Path,
    policies: &[Arc<Layer>],
    old_images: &OldImages,
) -> Result<Vec<Value>, Failure> {
    let source = file.display().to_string();
    let objects = manifest::of_today(manifest::objects(file)?, file, old_images)?;
    let server = objects.iter().find(|it| is_kind::<SparkConnect>(it));
    if let Some(server) = server
        && !objects.iter().any(is_kind::<SparkApplication>)
    {
        return serves(
            &manifest::check_connect(policies, server, &source)?,
            &source,
        );
    }
    let server = objects.iter().find(|it| is_kind::<SparkHistoryServer>(it));
    if let Some(server) = server
        && !objects.iter().any(is_kind::<SparkApplication>)
    {
        return shows(
            &manifest::check_history(policies, server, &source)?,
            &source,
        );
    }
    let of_kind = |object: &&Value| is_kind::<ScheduledSparkApplication>(object);
    let application = match objects.iter().find(of_kind) {
        Some(scheduled) if !objects.iter().any(is_kind::<SparkApplication>) => {
            run_of(&manifest::check_scheduled(policies, scheduled, &source)?)
        }
        _ => {
            let manifest = manifest::sort(objects, file)?;
            manifest::check_by(policies, &manifest.application, &source)?
        }
    };
    let (objects, lowered) = rendered(&application, &source)?;
    for note in &lowered.not_applied {
        talk(&format!("warning: {source}: {note}"));
    }
    for note in &lowered.exposed {
        talk(&format!("warning: {source}: {note}"));
    }
    for note in &lowered.submission.notes {
        talk(&format!("note: {source}: {note}"));
    }
    Ok(objects)
}

/// The objects of a server, its token aside, which is made when the server is.
fn serves(server: &Ruled, source: &str) -> Result<Vec<Value>, Failure> {
    let wanted = connect::wanted_of(server, &settings()).map_err(|problems| {
        let lines = problems
            .iter()
            .map(|problem| format!("{source}: {problem}"));
        Failure::bad_input(lines.collect::<Vec<_>>().join("\n"))
    })?;
    for note in &wanted.not_applied {
        talk(&format!("warning: {source}: {note}"));
    }
    for note in &wanted.exposed {
        talk(&format!("warning: {source}: {note}"));
    }
    for note in &wanted.decided {
        talk(&format!("note: {source}: {note}"));
    }
    let mut objects = wanted.before;
    objects.push(wanted.deployment);
    Ok(objects)
}

/// The objects of a history server, without what follows from its ObjectStores.
fn shows(server: &history::Ruled, source: &str) -> Result<Vec<Value>, Failure> {
    let wanted = history::wanted(server, None, &lower::Settings::default());
    let wanted = wanted.map_err(|obstacle| {
        let problems = obstacle.problems().iter();
        let lines = problems.map(|problem| format!("{source}: {problem}"));
        Failure::bad_input(lines.collect::<Vec<_>>().join("\n"))
    })?;
    for note in wanted.not_applied.iter().chain(&wanted.exposed) {
        talk(&format!("warning: {source}: {note}"));
    }
    for note in &wanted.decided {
        talk(&format!("note: {source}: {note}"));
    }
    if wanted.log_directory.is_none() {
        talk(&format!(
            "note: {source}: spec.eventLog: how its bucket is reached is put in when the ObjectStore is there"
        ));
    }
    let mut objects = wanted.before;
    objects.push(wanted.deployment);
    Ok(objects)
}

/// A run of a schedule. Its name has a 0 where others have their time, so that two renderings can
/// be compared.
pub(super) fn run_of(scheduled: &ScheduledSparkApplication) -> SparkApplication {
    let name = scheduled.metadata.name.as_deref().unwrap_or_default();
    let mut run = template(scheduled, run_name(name, jiff::Timestamp::UNIX_EPOCH));
    let mut labels = scheduled.metadata.labels.clone().unwrap_or_default();
    labels.insert(SCHEDULE_LABEL.to_owned(), name.to_owned());
    run.metadata.labels = Some(labels);
    run
}

/// What spark-submit would create for a command line.
fn render_command_line(args: &RenderArgs) -> Result<Vec<Value>, Failure> {
    let version = args
        .spark_version
        .as_deref()
        .unwrap_or(sparks::NEWEST_KNOWN);
    let version: SparkVersion = version
        .parse()
        .map_err(|error| Failure::bad_input(format!("--spark-version {version}: {error}")))?;
    let client = spark_submit::this_machine();
    // The same command line gives the same names, so two renderings can be compared.
    let ids = SubmitIds::derive(&seed(&args.submit), jiff::Timestamp::now());
    let refused = |error: SubmitError| Failure::bad_input(error.to_string());
    let parsed = spark_submit::parse(&args.submit, client, version, ids).map_err(refused)?;
    let submission = submission::build(&parsed.request).map_err(refused)?;
    for note in parsed.notes.iter().chain(&submission.notes) {
        talk(&format!("note: {note}"));
    }
    let mut objects = vec![submission.driver];
    objects.extend(submission.objects);
    Ok(objects)
}

/// 16 hexadecimal digits, as long as the ids that Spark draws.
fn seed(arguments: &[String]) -> String {
    let digest = Sha256::digest(arguments.join("\0").as_bytes());
    let (head, _) = digest.split_at(8);
    head.iter()
        .fold(String::new(), |seed, byte| seed + &format!("{byte:02x}"))
}

/// Checks every object of a file: completely if it is of a kind we define, and otherwise whether it
/// could be applied.
pub fn validate(args: ValidateArgs) -> Result<Exit, Failure> {
    let file = args.file.display().to_string();
    let policies = manifest::policies(args.policy.as_deref())?;
    let mut problems = Vec::new();
    let mut checked = 0;
    let objects = manifest::objects(&args.file)?;
    let alone = objects.len() == 1;
    let old_images = args.original.old_images();
    for (index, object) in objects.into_iter().enumerate() {
        let source = if alone {
            file.clone()
        } else {
            manifest::place(&file, index)
        };
        if object["apiVersion"].as_str().is_some_and(is_ours)
            || is_kind::<SparkPolicy>(&object)
            || is_kind::<SparkHistoryServer>(&object)
            || object["kind"].as_str().is_none()
        {
            checked += 1;
            let found = if is_kind::<ScheduledSparkApplication>(&object) {
                manifest::check_scheduled(&policies, &object, &source)
                    .and_then(|scheduled| lowers(&run_of(&scheduled), &source))
            } else if is_kind::<SparkConnect>(&object) {
                manifest::check_connect(&policies, &object, &source)
                    .and_then(|server| serves(&server, &source).map(drop))
            } else if is_kind::<SparkHistoryServer>(&object) {
                manifest::check_history(&policies, &object, &source)
                    .and_then(|server| shows(&server, &source).map(drop))
            } else if is_kind::<OriginalSparkApplication>(&object) {
                manifest::check_original(&object, &source, &old_images).and_then(|original| {
                    match original {
                        Original::Converted(conversion) => {
                            manifest::tell_notes(&conversion, &source);
                            let converted = &conversion.application;
                            manifest::check_decoded_by(&policies, converted, &source)
                                .and_then(|application| lowers(&application, &source))
                        }
                        Original::Followed => Ok(()),
                    }
                })
            } else if is_kind::<SparkPolicy>(&object) {
                manifest::check_policy(&object, &source)
            } else {
                manifest::check_by(&policies, &object, &source)
                    .and_then(|application| lowers(&application, &source))
            };
            problems.extend(found.err().map(|failure| failure.message));
        } else {
            let found = manifest::check_beside(&object, &source);
            problems.extend(found.err().map(|failure| failure.message));
        }
    }
    if !problems.is_empty() {
        return Err(Failure::bad_input(problems.join("\n")));
    }
    if checked == 0 {
        return Err(Failure::bad_input(format!(
            "{file}: holds nothing of Windlass: give a SparkApplication or \
             ScheduledSparkApplication (sparkoperator.k8s.io/v1beta2), a SparkConnect (v1alpha1), or a \
             SparkPolicy or SparkHistoryServer (windlass.dev/v1alpha1)"
        )));
    }
    out(&format!("{file}: {checked} valid"));
    Ok(Exit::Completed)
}

/// Whether a version is one of the groups of Spark operators.
fn is_ours(api_version: &str) -> bool {
    let group = api_version.split('/').next().unwrap_or_default();
    group == application::GROUP || group == original::GROUP
}

/// Whether the settings of the application would be accepted at submission.
fn lowers(application: &SparkApplication, source: &str) -> Result<(), Failure> {
    let lowered = lowered(application, source)?;
    let notes = lowered.not_applied.iter().map(ToString::to_string);
    for note in notes.chain(lowered.exposed) {
        talk(&format!("warning: {source}: {note}"));
    }
    Ok(())
}

/// What is submitted for an application.
pub(super) fn lowered(
    application: &SparkApplication,
    source: &str,
) -> Result<lower::Lowered, Failure> {
    rendered(application, source).map(|(_, lowered)| lowered)
}

fn rendered(
    application: &SparkApplication,
    source: &str,
) -> Result<(Vec<Value>, lower::Lowered), Failure> {
    lower::render(application, &settings()).map_err(|error| refused(source, &error))
}

/// Those of an operator that does all it can.
fn settings() -> lower::Settings {
    lower::Settings {
        serves_object_stores: true,
        ..lower::Settings::default()
    }
}

fn refused(source: &str, error: &lower::LowerError) -> Failure {
    let lines: Vec<String> = error
        .problems()
        .iter()
        .map(|problem| format!("{source}: {problem}"))
        .collect();
    Failure::bad_input(lines.join("\n"))
}
