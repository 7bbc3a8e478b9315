//! Files a user gives: read, told apart, and checked before anything is started.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_api::decode::{decode, is_kind};
use windlass_api::spark::application::validate;
use windlass_api::spark::original::{Conversion, OldImages, check_followed, convert};
use windlass_api::spark::{
    OriginalSparkApplication, ScheduledSparkApplication, SparkApplication, SparkConnect,
    SparkHistoryServer, SparkPolicy, connect, history, scheduled,
};
use windlass_api::{field, parse};
use windlass_spark::connect::Ruled;
use windlass_spark::history as servers;
use windlass_spark::policy::{self, Layer, Policies};

use crate::commands::install::DRIVER_ACCOUNT;
use crate::exit::Failure;
use crate::kinds::Kind;
use crate::output::talk;

/// The objects of a file that holds one application.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The one SparkApplication.
    pub application: Value,
    /// What stands beside it, in order: ConfigMaps, Secrets, ServiceAccounts...
    pub others: Vec<Value>,
}

/// Reads a file, or standard input for `-`.
pub fn objects(file: &Path) -> Result<Vec<Value>, Failure> {
    let text = read(file)?;
    let objects = parse::objects(&text)
        .map_err(|error| Failure::bad_input(format!("{}: {error}", file.display())))?;
    if objects.is_empty() {
        return Err(Failure::bad_input(format!(
            "{}: is empty: give a SparkApplication manifest",
            file.display()
        )));
    }
    Ok(objects)
}

/// Reads a file that must hold exactly one SparkApplication.
pub fn load(file: &Path, old_images: &OldImages) -> Result<Manifest, Failure> {
    sort(of_today(objects(file)?, file, old_images)?, file)
}

/// The objects with each application of the first operator as one of today.
pub fn of_today(
    objects: Vec<Value>,
    file: &Path,
    old_images: &OldImages,
) -> Result<Vec<Value>, Failure> {
    let source = file.display().to_string();
    let converted = objects.into_iter().map(|object| {
        if !is_kind::<OriginalSparkApplication>(&object) {
            return Ok(object);
        }
        match check_original(&object, &source, old_images)? {
            Original::Converted(conversion) => {
                tell_notes(&conversion, &source);
                serde_json::to_value(&conversion.application).map_err(Failure::internal)
            }
            Original::Followed => Err(Failure::bad_input(format!(
                "{source}: spec.submissionByUser: is true, so nothing is submitted for it: apply the \
                 file with kubectl and call spark-submit yourself, or set it to false"
            ))),
        }
    });
    converted.collect()
}

/// An application of the first operator that is as it should be.
pub enum Original {
    /// It is submitted as this one.
    Converted(Box<Conversion>),
    /// Its user submits it.
    Followed,
}

/// Checks an application of the first operator completely; the error tells every mistake with its
/// field.
pub fn check_original(
    object: &Value,
    source: &str,
    old_images: &OldImages,
) -> Result<Original, Failure> {
    let original: OriginalSparkApplication = decode(object)
        .map_err(|error| refuse(source, error.to_string().lines().map(ToOwned::to_owned)))?;
    let told = |errors: Vec<field::FieldError>| {
        refuse(source, errors.iter().map(field::FieldError::to_string))
    };
    if original.spec.submission_by_user {
        let errors = check_followed(&original);
        return if errors.is_empty() {
            Ok(Original::Followed)
        } else {
            Err(told(errors))
        };
    }
    convert(&original, old_images)
        .map(|conversion| Original::Converted(Box::new(conversion)))
        .map_err(told)
}

/// Tells what was not taken over as it stands.
pub fn tell_notes(conversion: &Conversion, source: &str) {
    for note in &conversion.notes {
        talk(&format!("note: {source}: {note}"));
    }
}

/// What `windlass run` can make of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Runnable {
    /// An application, which runs to its end.
    Application(Manifest),
    /// A schedule, whose template runs once.
    Schedule {
        /// The ScheduledSparkApplication.
        schedule: Value,
        /// What stands beside it.
        others: Vec<Value>,
    },
    /// A Spark Connect or history server, which stays.
    Server {
        /// Its kind.
        kind: Kind,
        /// The SparkConnect or SparkHistoryServer.
        object: Value,
        /// What stands beside it.
        others: Vec<Value>,
    },
}

/// Reads a file that must hold exactly one object that can be run. Beside an application, schedules
/// and servers are objects like others; beside a schedule, servers are.
pub fn load_runnable(file: &Path, old_images: &OldImages) -> Result<Runnable, Failure> {
    let objects = of_today(objects(file)?, file, old_images)?;
    let has = |is: fn(&Value) -> bool| objects.iter().any(is);
    if has(is_kind::<SparkApplication>) {
        return sort(objects, file).map(Runnable::Application);
    }
    if has(is_kind::<ScheduledSparkApplication>) {
        let (schedule, others) = only::<ScheduledSparkApplication>(objects, file)?;
        return Ok(Runnable::Schedule { schedule, others });
    }
    if has(is_kind::<SparkConnect>) {
        let (object, others) = only::<SparkConnect>(objects, file)?;
        let kind = Kind::Connect;
        return Ok(Runnable::Server {
            kind,
            object,
            others,
        });
    }
    if has(is_kind::<SparkHistoryServer>) {
        let (object, others) = only::<SparkHistoryServer>(objects, file)?;
        let kind = Kind::History;
        return Ok(Runnable::Server {
            kind,
            object,
            others,
        });
    }
    sort(objects, file).map(Runnable::Application)
}

/// Tells the one SparkApplication of a file from what stands beside it.
pub fn sort(objects: Vec<Value>, file: &Path) -> Result<Manifest, Failure> {
    let (application, others) = only::<SparkApplication>(objects, file)?;
    Ok(Manifest {
        application,
        others,
    })
}

/// Tells the one object of a kind from what stands beside it.
fn only<K>(objects: Vec<Value>, file: &Path) -> Result<(Value, Vec<Value>), Failure>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned,
{
    let mut wanted = Vec::new();
    let mut others = Vec::new();
    let mut lacking = None;
    let source = file.display().to_string();
    for (index, object) in objects.into_iter().enumerate() {
        if is_kind::<K>(&object) {
            wanted.push(object);
        } else {
            let lacks = check_beside(&object, &place(&source, index)).err();
            lacking = lacking.or(lacks);
            others.push(object);
        }
    }
    let mut wanted = wanted.into_iter();
    match (wanted.next(), wanted.next(), lacking) {
        (Some(_), None, Some(lacking)) => Err(lacking),
        (Some(object), None, None) => Ok((object, others)),
        (Some(_), Some(_), _) => Err(Failure::bad_input(format!(
            "{}: holds {} {}s: run them one by one, or apply the file with kubectl",
            file.display(),
            wanted.count() + 2,
            K::kind(&())
        ))),
        (None, ..) => {
            let first = others.into_iter().next().unwrap_or_default();
            let reason = decode::<K>(&first).map_or_else(|e| e.to_string(), |_| String::new());
            Err(Failure::bad_input(format!("{}: {reason}", file.display())))
        }
    }
}

/// Where an object of a file with several ones is.
pub fn place(source: &str, index: usize) -> String {
    format!("{source}, object {}", index + 1)
}

/// Checks what an object needs to be applied, whatever its kind.
pub fn check_beside(object: &Value, place: &str) -> Result<(), Failure> {
    if !object.is_object() {
        return Err(Failure::bad_input(format!(
            "{place}: is no object of Kubernetes: give apiVersion, kind and metadata.name, or \
             remove it"
        )));
    }
    let is_given = |pointer: &str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty())
    };
    let needed = [
        ("/apiVersion", "apiVersion"),
        ("/kind", "kind"),
        ("/metadata/name", "metadata.name"),
    ];
    match needed.iter().find(|(pointer, _)| !is_given(pointer)) {
        Some((_, field)) => Err(Failure::bad_input(format!(
            "{place}: {field}: must be given, as a text"
        ))),
        None => Ok(()),
    }
}

/// The ServiceAccount of drivers that name none, by an operator as it is installed.
const ACCOUNT: Option<&str> = Some(DRIVER_ACCOUNT);

/// The SparkPolicies of a file; none where no file is given.
pub fn policies(file: Option<&Path>) -> Result<Vec<Arc<Layer>>, Failure> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    policy_text(file).map(|(_, layers)| layers)
}

/// A file of SparkPolicies, and what it says.
pub fn policy_text(file: &Path) -> Result<(String, Vec<Arc<Layer>>), Failure> {
    let text = read(file)?;
    let layers = policy::read_file(&text)
        .map_err(|problems| refuse(&file.display().to_string(), problems.into_iter()))?;
    Ok((text, layers))
}

/// The policies about the namespace of an object.
fn about(layers: &[Arc<Layer>], namespace: Option<&String>) -> Result<Policies, Failure> {
    let namespace = namespace.map_or("default", String::as_str);
    let policies = Policies::of(layers, [], namespace);
    match policies.broken() {
        [] => Ok(policies),
        broken => Err(refuse("--policy", broken.iter().cloned())),
    }
}

/// Checks an application completely; the error tells every mistake with its field.
pub fn check(application: &Value, source: &str) -> Result<SparkApplication, Failure> {
    check_by(&[], application, source)
}

/// The same under policies: what comes back is the application as they make it.
pub fn check_by(
    layers: &[Arc<Layer>],
    application: &Value,
    source: &str,
) -> Result<SparkApplication, Failure> {
    let decoded: SparkApplication = decode(application)
        .map_err(|error| refuse(source, error.to_string().lines().map(ToOwned::to_owned)))?;
    check_decoded_by(layers, &decoded, source)
}

/// The same for one that could be read.
pub fn check_decoded_by(
    layers: &[Arc<Layer>],
    application: &SparkApplication,
    source: &str,
) -> Result<SparkApplication, Failure> {
    let policies = about(layers, application.metadata.namespace.as_ref())?;
    let ruled = policies.apply_to(application, ACCOUNT);
    let (ruled, decided) =
        ruled.map_err(|errors| refuse(source, errors.iter().map(field::FieldError::to_string)))?;
    tell(source, &decided);
    let errors = validate(&ruled);
    if errors.is_empty() {
        return Ok(ruled);
    }
    Err(refuse(
        source,
        errors.iter().map(field::FieldError::to_string),
    ))
}

/// Checks a schedule completely, with its template; the error tells every mistake with its field.
pub fn check_scheduled(
    layers: &[Arc<Layer>],
    object: &Value,
    source: &str,
) -> Result<ScheduledSparkApplication, Failure> {
    let decoded: ScheduledSparkApplication = decode(object)
        .map_err(|error| refuse(source, error.to_string().lines().map(ToOwned::to_owned)))?;
    let policies = about(layers, decoded.metadata.namespace.as_ref())?;
    let ruled = policies.apply_to_schedule(&decoded, ACCOUNT);
    let decoded = ruled.map_err(|problems| refuse(source, problems.into_iter()))?;
    let errors = scheduled::validate(&decoded);
    if errors.is_empty() {
        return Ok(decoded);
    }
    Err(refuse(
        source,
        errors.iter().map(field::FieldError::to_string),
    ))
}

/// Checks a Spark Connect server completely; the error tells every mistake with its field.
pub fn check_connect(
    layers: &[Arc<Layer>],
    object: &Value,
    source: &str,
) -> Result<Ruled, Failure> {
    let decoded: SparkConnect = decode(object)
        .map_err(|error| refuse(source, error.to_string().lines().map(ToOwned::to_owned)))?;
    let policies = about(layers, decoded.metadata.namespace.as_ref())?;
    let ruled = Ruled::by(&policies, &decoded, ACCOUNT)
        .map_err(|problems| refuse(source, problems.into_iter()))?;
    let errors = connect::validate(ruled.connect());
    if errors.is_empty() {
        return Ok(ruled);
    }
    Err(refuse(
        source,
        errors.iter().map(field::FieldError::to_string),
    ))
}

/// Checks a history server completely; the error tells every mistake with its field.
pub fn check_history(
    layers: &[Arc<Layer>],
    object: &Value,
    source: &str,
) -> Result<servers::Ruled, Failure> {
    let decoded: SparkHistoryServer = decode(object)
        .map_err(|error| refuse(source, error.to_string().lines().map(ToOwned::to_owned)))?;
    let policies = about(layers, decoded.metadata.namespace.as_ref())?;
    let ruled = servers::Ruled::by(&policies, &decoded)
        .map_err(|obstacle| refuse(source, obstacle.problems().iter().cloned()))?;
    let errors = history::validate(ruled.server());
    if errors.is_empty() {
        return Ok(ruled);
    }
    Err(refuse(
        source,
        errors.iter().map(field::FieldError::to_string),
    ))
}

/// Checks a policy completely; the error tells every mistake with its field.
pub fn check_policy(object: &Value, source: &str) -> Result<(), Failure> {
    let decoded: SparkPolicy = decode(object)
        .map_err(|error| refuse(source, error.to_string().lines().map(ToOwned::to_owned)))?;
    let errors = windlass_api::spark::policy::validate(&decoded);
    if errors.is_empty() {
        return Ok(());
    }
    Err(refuse(
        source,
        errors.iter().map(field::FieldError::to_string),
    ))
}

/// What policies decided otherwise than the file.
fn tell(source: &str, decided: &[String]) {
    for field in decided {
        talk(&format!("note: {source}: {field}"));
    }
}

fn refuse(source: &str, errors: impl Iterator<Item = String>) -> Failure {
    let lines: Vec<String> = errors.map(|error| format!("{source}: {error}")).collect();
    Failure::bad_input(lines.join("\n"))
}

fn read(file: &Path) -> Result<String, Failure> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| {
                Failure::bad_input(format!("standard input cannot be read: {error}"))
            })?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| {
        Failure::bad_input(match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!(
                    "{}: no such file: check the path given with -f",
                    file.display()
                )
            }
            std::io::ErrorKind::InvalidData => {
                format!(
                    "{}: is not a text file: give a YAML or JSON manifest",
                    file.display()
                )
            }
            _ => format!("{}: {error}", file.display()),
        })
    })
}
