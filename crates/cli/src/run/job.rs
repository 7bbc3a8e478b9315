//! From a job file and flags to a SparkApplication, without YAML.
//!
//! The job's folder is mounted into driver and executors at its own absolute path, so that data
//! files and modules beside the job are found where the user's own shell finds them. The driver of
//! a Python job works in it, and Spark resolves relative paths in the driver; executors work where
//! they always do.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::args::RunArgs;
use crate::exit::Failure;

/// What a job file turned into.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The SparkApplication as a user would have written it.
    pub application: Value,
}

/// The kind of a job file, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Python,
    Jar,
    R,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "py" => Some(Self::Python),
            "jar" => Some(Self::Jar),
            "R" | "r" => Some(Self::R),
            _ => None,
        }
    }

    const fn spec_type(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Jar => "Java",
            Self::R => "R",
        }
    }
}

/// Builds the application for `windlass run JOB`.
///
/// `spark_version` is the version to run with when the flags name none; `cwd` resolves a relative
/// job path; `embedded` tells whether the job's folder can be mounted from this machine.
///
/// # Errors
/// A job file that does not exist, is of no known kind, a jar without `--class`, a `--conf`
/// without `=`, or a local file for a cluster on other machines.
pub fn application(
    run: &RunArgs,
    spark_version: &str,
    cwd: &Path,
    embedded: bool,
) -> Result<Job, Failure> {
    let job = run.job.as_deref().unwrap_or_default();
    let version = run.spark_version.as_deref().unwrap_or(spark_version);
    let located = Located::find(job, cwd, embedded)?;
    if located.kind == Kind::Jar && run.class.is_none() {
        return Err(Failure::bad_input(format!(
            "{job}: a jar needs its main class: add --class, for example --class org.example.Main"
        )));
    }
    let name = match &run.name {
        Some(name) => name.clone(),
        None => name_from(&located.file_stem),
    };

    let mut driver = json!({
        "cores": 1,
        "memory": run.driver_memory.as_deref().unwrap_or("1g"),
    });
    let mut executor = json!({
        "instances": run.executors.unwrap_or(2),
        "cores": run.executor_cores.unwrap_or(1),
        "memory": run.executor_memory.as_deref().unwrap_or("1g"),
    });
    let mut spec = json!({
        "type": located.kind.spec_type(),
        "mode": "cluster",
        "sparkVersion": version,
        "image": run.image.clone().unwrap_or_else(|| format!("apache/spark:{version}")),
        "imagePullPolicy": "IfNotPresent",
        "mainApplicationFile": located.uri,
        "restartPolicy": { "type": "Never" },
    });
    if let Some(folder) = &located.mount {
        let mount = json!([{ "name": "job", "mountPath": folder }]);
        driver["volumeMounts"] = mount.clone();
        executor["volumeMounts"] = mount;
        spec["volumes"] =
            json!([{ "name": "job", "hostPath": { "path": folder, "type": "Directory" } }]);
        if located.kind == Kind::Python && !fetches_files(run) {
            let container = json!({ "name": "spark-kubernetes-driver", "workingDir": folder });
            driver["template"] = json!({ "spec": { "containers": [container] } });
        }
    }
    if let Some(class) = &run.class {
        spec["mainClass"] = json!(class);
    }
    if !run.args.is_empty() {
        spec["arguments"] = json!(run.args);
    }
    if !run.packages.is_empty() {
        spec["deps"] = json!({ "packages": run.packages });
    }
    spec["driver"] = driver;
    spec["executor"] = executor;

    let mut application = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {
            "name": name,
            "namespace": run.namespace.as_deref().unwrap_or("default"),
        },
        "spec": spec,
    });
    configure(&mut application, &run.conf)?;
    Ok(Job { application })
}

/// Writes what `--conf` says into an application's `sparkConf`.
pub fn configure(application: &mut Value, conf: &[String]) -> Result<(), Failure> {
    for pair in conf {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::bad_input(format!(
                "--conf {pair}: write it as KEY=VALUE, for example --conf spark.sql.shuffle.partitions=8"
            )));
        };
        let spec = &mut application["spec"];
        // What is no map is reported with the manifest, by its field.
        if (spec.is_object() || spec.is_null())
            && (spec["sparkConf"].is_object() || spec["sparkConf"].is_null())
        {
            spec["sparkConf"][key.trim()] = Value::from(value);
        }
    }
    Ok(())
}

/// Whether Spark would put files where the driver works: it copies jars, files and packages there,
/// and deletes what has the same name, even if it is the very file that is to be copied. The job's
/// folder is no place for that; the main file of a Python job is not copied.
fn fetches_files(run: &RunArgs) -> bool {
    const FETCHED: [&str; 4] = [
        "spark.jars",
        "spark.files",
        "spark.archives",
        "spark.submit.pyFiles",
    ];
    let named = |pair: &String| FETCHED.iter().any(|key| pair.trim_start().starts_with(key));
    !run.packages.is_empty() || run.conf.iter().any(named)
}

/// Where a job file is and how pods reach it.
struct Located {
    kind: Kind,
    uri: String,
    file_stem: String,
    mount: Option<PathBuf>,
}

impl Located {
    fn find(job: &str, cwd: &Path, embedded: bool) -> Result<Self, Failure> {
        let unknown_kind = || {
            Failure::bad_input(format!(
                "{job}: cannot tell what kind of job this is: give a .py, .jar or .R file, or a manifest with -f"
            ))
        };
        if let Some((scheme, rest)) = job.split_once("://")
            && scheme != "file"
        {
            let path = Path::new(rest);
            return Ok(Self {
                kind: Kind::of(path).ok_or_else(unknown_kind)?,
                uri: job.to_owned(),
                file_stem: stem(path),
                mount: None,
            });
        }
        let path = cwd.join(job.strip_prefix("file://").unwrap_or(job));
        let path = path.canonicalize().map_err(|error| {
            Failure::bad_input(format!(
                "{job}: {}: check the path of the job",
                if error.kind() == std::io::ErrorKind::NotFound {
                    "no such file".to_owned()
                } else {
                    error.to_string()
                }
            ))
        })?;
        if !path.is_file() {
            return Err(Failure::bad_input(format!(
                "{job}: is not a file: give the job's file"
            )));
        }
        let kind =
            Kind::of(&path).ok_or_else(|| match path.extension().and_then(|e| e.to_str()) {
                Some("yaml" | "yml" | "json") => {
                    Failure::bad_input(format!("{job}: is a manifest: run it with -f {job}"))
                }
                _ => unknown_kind(),
            })?;
        if !embedded {
            return Err(Failure::bad_input(format!(
                "{job}: is a file of this machine, which the pods of another cluster cannot read: \
                 put it in the image (local://...) or in storage (s3a://, https://, ...) and name that"
            )));
        }
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        if folder == Path::new("/") {
            return Err(Failure::bad_input(format!(
                "{job}: lies in the root folder, which cannot be mounted into a pod: move it into a folder of its own"
            )));
        }
        Ok(Self {
            kind,
            uri: format!("local://{}", path.display()),
            file_stem: stem(&path),
            mount: Some(folder),
        })
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// A valid application name from a file name: lower case, dashes, at most 40 characters so that
/// the names derived from it stay within 63.
pub fn name_from(stem: &str) -> String {
    let mut name = String::new();
    for character in stem.chars() {
        let character = character.to_ascii_lowercase();
        if character.is_ascii_alphanumeric() {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(40);
    let name = name.trim_end_matches('-');
    match name.chars().next() {
        None => "job".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("job-{name}"),
        Some(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn build(arguments: &[&str], embedded: bool) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        for file in ["My Job_1.py", "app.jar", "app.yaml", "notes.txt"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let mut line = vec!["windlass", "run"];
        line.extend(arguments);
        let Command::Run(run) = Cli::parse_from(line).command else {
            panic!("not run")
        };
        application(&run, "4.3.0", folder.path(), embedded)
            .map(|job| {
                let root = folder.path().canonicalize().unwrap();
                let text = job
                    .application
                    .to_string()
                    .replace(root.to_str().unwrap(), "/jobs");
                serde_json::from_str(&text).unwrap()
            })
            .map_err(|failure| failure.message)
    }

    #[test]
    fn a_python_file_becomes_an_application_with_its_folder_mounted() {
        insta::assert_yaml_snapshot!(
            build(
                &[
                    "--conf",
                    "spark.a=b=c",
                    "--executors",
                    "3",
                    "My Job_1.py",
                    "10",
                    "--flag"
                ],
                true
            )
            .unwrap()
        );
    }

    #[test]
    fn a_jar_becomes_an_application_with_its_class() {
        insta::assert_yaml_snapshot!(
            build(&["--class", "org.example.Main", "app.jar"], true).unwrap()
        );
    }

    #[test]
    fn a_driver_that_fetches_files_does_not_work_among_the_users_own() {
        let works_there = |arguments: &[&str]| {
            let application = build(arguments, true).unwrap();
            !application["spec"]["driver"]["template"].is_null()
        };
        let python = "My Job_1.py";
        assert!(works_there(&[python]));
        assert!(works_there(&["-c", "spark.ui.enabled=false", python]));
        for arguments in [
            &["--class", "org.example.Main", "app.jar"][..],
            &["--packages", "a:b:1", python],
            &["-c", "spark.jars=local:///x.jar", python],
            &["-c", "spark.jars.packages=a:b:1", python],
            &["-c", "spark.submit.pyFiles=local:///x.py", python],
        ] {
            assert!(!works_there(arguments), "{arguments:?}");
        }
    }

    #[test]
    fn what_cannot_run_is_refused_with_what_to_do() {
        let cases: &[(&[&str], bool)] = &[
            (&["missing.py"], true),
            (&["app.jar"], true),
            (&["app.yaml"], true),
            (&["notes.txt"], true),
            (&["--conf", "spark.a", "My Job_1.py"], true),
            (&["My Job_1.py"], false),
        ];
        let messages: Vec<String> = cases
            .iter()
            .map(|(arguments, embedded)| build(arguments, *embedded).unwrap_err())
            .collect();
        insta::assert_yaml_snapshot!(messages);
    }

    #[test]
    fn settings_of_the_command_line_win_over_those_of_a_manifest() {
        let mut application =
            json!({ "spec": { "sparkConf": { "spark.a": "1", "spark.b": "2" } } });
        let conf = ["spark.b=3".to_owned(), " spark.c =x=y".to_owned()];
        configure(&mut application, &conf).unwrap();
        let expected = json!({ "spark.a": "1", "spark.b": "3", "spark.c": "x=y" });
        assert_eq!(application["spec"]["sparkConf"], expected);
        // What is wrong in the manifest is told with the manifest.
        let mut wrong = json!({ "spec": { "sparkConf": ["spark.a"] } });
        configure(&mut wrong, &conf).unwrap();
        assert_eq!(wrong, json!({ "spec": { "sparkConf": ["spark.a"] } }));
    }

    #[test]
    fn a_name_is_made_valid() {
        for (stem, name) in [
            ("My Job_1", "my-job-1"),
            ("2024-report", "job-2024-report"),
            ("___", "job"),
            ("a", "a"),
            ("ünï", "n"),
        ] {
            assert_eq!(name_from(stem), name, "{stem}");
        }
    }
}
