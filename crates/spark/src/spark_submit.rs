//! The `spark-submit` command line, read into a [`SubmitRequest`].
//!
//! `spark-submit` is two programs: a launcher that gathers `--conf` and the driver's options in
//! the order they come, and the submission proper, whose other options win over all settings.
//! Files and environment are read here as they do: properties files, `spark-defaults.conf`,
//! `spark-env.sh` as far as it only sets variables, and the manifest of a jar without `--class`.

mod env_script;
mod files;
mod manifest;
mod options;

use std::path::Path;

use crate::submission::client::{absolute, file_name, path_of, resolve_uri, resolve_uris, scheme};
use crate::submission::prepare::check_cluster_class;
use crate::submission::{
    Client, Conf, MainResource, Note, Profile, SparkVersion, SubmitError, SubmitIds, SubmitRequest,
    Templates, properties,
};

pub use self::files::{RealFiles, this_machine};
use self::options::CommandLine;

/// Options that set one setting, whatever `--conf` says.
const SETTINGS: [(&str, &str); 15] = [
    ("--master", "spark.master"),
    ("--deploy-mode", "spark.submit.deployMode"),
    ("--name", "spark.app.name"),
    ("--jars", "spark.jars"),
    ("--files", "spark.files"),
    ("--archives", "spark.archives"),
    ("--py-files", "spark.submit.pyFiles"),
    ("--packages", "spark.jars.packages"),
    ("--exclude-packages", "spark.jars.excludes"),
    ("--repositories", "spark.jars.repositories"),
    ("--num-executors", "spark.executor.instances"),
    ("--executor-cores", "spark.executor.cores"),
    ("--executor-memory", "spark.executor.memory"),
    ("--principal", "spark.kerberos.principal"),
    ("--keytab", "spark.kerberos.keytab"),
];

/// Options that are lists of URIs and paths.
const RESOURCE_LISTS: [&str; 4] = ["--jars", "--files", "--archives", "--py-files"];

/// Variables that stand in for settings nobody made.
const VARIABLES: [(&str, &str); 5] = [
    ("MASTER", "spark.master"),
    ("DEPLOY_MODE", "spark.submit.deployMode"),
    ("SPARK_DRIVER_MEMORY", "spark.driver.memory"),
    ("SPARK_EXECUTOR_MEMORY", "spark.executor.memory"),
    ("SPARK_EXECUTOR_CORES", "spark.executor.cores"),
];

/// A command line that can be submitted.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The submission it asks for.
    pub request: SubmitRequest,
    /// What the caller should know although nothing was refused.
    pub notes: Vec<Note>,
}

/// Reads the arguments of `spark-submit`, without the program's name.
pub fn parse(
    args: &[String],
    mut client: Client,
    version: SparkVersion,
    ids: SubmitIds,
) -> Result<Parsed, SubmitError> {
    let (profile, _) = Profile::of(&version);
    let line = CommandLine::read(args, &profile)?;
    find_conf_dir(&mut client);
    let script = env_script::source(&mut client);

    let mut conf = settings(&line, &client)?;
    if let Some(cores) = line.option("--total-executor-cores") {
        // Kubernetes has no such setting, but a wrong number is refused all the same.
        check_total_cores(cores)?;
    }
    check_mode(&conf)?;
    check_remote(&conf, &client)?;
    let resource = line.resource.as_deref().ok_or_else(|| {
        SubmitError::setting(
            "main resource",
            "is missing: name a jar, a .py or a .R file",
        )
    })?;
    if !conf.contains_key("spark.app.name") {
        let name = line
            .option("--class")
            .unwrap_or_else(|| file_name(resource));
        conf.insert("spark.app.name".to_owned(), name.to_owned());
    }
    let class = line.option("--class").filter(|class| !class.is_empty());
    check_cluster_class(class.unwrap_or_default(), &profile)?;
    let main = main_resource(resource, class, &client)?;
    let request = SubmitRequest {
        version,
        conf,
        main,
        args: line.app_args,
        proxy_user: line.options.get("--proxy-user").cloned(),
        templates: Templates::default(),
        client,
        ids,
    };
    let notes = script
        .map(|path| Note::SparkEnvNotRun { path })
        .into_iter()
        .collect();
    Ok(Parsed { request, notes })
}

/// The script that starts Spark sets this variable when the user did not.
fn find_conf_dir(client: &mut Client) {
    if let (None, Some(home)) = (
        client.env.get("SPARK_CONF_DIR"),
        client.env.get("SPARK_HOME"),
    ) {
        let directory = format!("{home}/conf");
        client.env.insert("SPARK_CONF_DIR".to_owned(), directory);
    }
}

/// All settings: options, then `--conf`, then files, then variables.
fn settings(line: &CommandLine, client: &Client) -> Result<Conf, SubmitError> {
    let mut conf = Conf::new();
    if line.options.contains_key("--load-spark-defaults")
        || !line.options.contains_key("--properties-file")
    {
        conf.extend(default_properties(client)?);
    }
    if let Some(file) = line.option("--properties-file") {
        conf.extend(read_properties(client, "--properties-file", file)?);
    }
    conf.extend(line.conf.clone());
    // Other programs' settings in a shared file are not Spark's.
    conf.retain(|key, _| key.starts_with("spark."));
    let current_dir = client.files.current_dir();
    for (option, key) in SETTINGS {
        let Some(value) = line.option(option) else {
            continue;
        };
        let value = if RESOURCE_LISTS.contains(&option) {
            resolve_uris(value, &current_dir)
        } else {
            value.to_owned()
        };
        conf.insert(key.to_owned(), value);
    }
    if let Some(cores) = line.option("--driver-cores") {
        conf.insert("spark.driver.cores".to_owned(), cores.to_owned());
    }
    for (variable, key) in VARIABLES {
        if let (None, Some(value)) = (conf.get(key), client.env.get(variable)) {
            conf.insert(key.to_owned(), value.clone());
        }
    }
    Ok(conf)
}

fn default_properties(client: &Client) -> Result<Conf, SubmitError> {
    let Some(directory) = client.env.get("SPARK_CONF_DIR") else {
        return Ok(Conf::new());
    };
    let file = format!("{directory}/spark-defaults.conf");
    match client.files.stat(Path::new(&file)) {
        Ok(entry) if entry.is_file => read_properties(client, "spark-defaults.conf", &file),
        _ => Ok(Conf::new()),
    }
}

fn read_properties(client: &Client, key: &str, file: &str) -> Result<Conf, SubmitError> {
    let unreadable = |reason: String| SubmitError::File {
        key: key.to_owned(),
        path: file.to_owned(),
        reason,
    };
    // Unlike resources, this is a path and never a URI.
    let path = absolute(file, &client.files.current_dir());
    let bytes = client
        .files
        .read(Path::new(&path))
        .map_err(|error| unreadable(error.to_string()))?;
    let map = properties::read(&String::from_utf8_lossy(&bytes)).map_err(unreadable)?;
    Ok(map
        .into_iter()
        .map(|(key, value)| {
            // Line ends may be meant; other blanks around a value never are.
            let value = value.trim_matches(|c| c <= ' ' && c != '\r' && c != '\n');
            (key, value.to_owned())
        })
        .collect())
}

fn check_total_cores(cores: &str) -> Result<(), SubmitError> {
    match cores.parse::<i32>() {
        Ok(cores) if cores > 0 => Ok(()),
        _ => Err(SubmitError::setting(
            "--total-executor-cores",
            format!("{cores:?} is not a positive whole number"),
        )),
    }
}

fn check_mode(conf: &Conf) -> Result<(), SubmitError> {
    match conf
        .get("spark.submit.deployMode")
        .map_or("client", String::as_str)
    {
        "cluster" => Ok(()),
        "client" => Err(SubmitError::setting(
            "--deploy-mode",
            "client mode runs the driver on this machine and creates nothing: write --deploy-mode cluster",
        )),
        other => Err(SubmitError::setting(
            "--deploy-mode",
            format!("{other:?} is neither cluster nor client"),
        )),
    }
}

/// A Spark Connect server is no place to submit to.
fn check_remote(conf: &Conf, client: &Client) -> Result<(), SubmitError> {
    const SETTING: &str = "spark.remote";
    const VARIABLE: &str = "SPARK_REMOTE";
    let set = [
        (SETTING, conf.contains_key(SETTING)),
        (VARIABLE, client.env.contains_key(VARIABLE)),
    ];
    match set.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(SubmitError::setting(
            *name,
            "contradicts --master and --deploy-mode: remove it",
        )),
        None => Ok(()),
    }
}

fn main_resource(
    resource: &str,
    class: Option<&str>,
    client: &Client,
) -> Result<MainResource, SubmitError> {
    const NO_RESOURCE: &str = "spark-internal";
    const SHELLS: [&str; 3] = ["spark-shell", "pyspark-shell", "sparkr-shell"];
    let is_name = resource == NO_RESOURCE || SHELLS.contains(&resource);
    let uri = if is_name {
        resource.to_owned()
    } else {
        resolve_uri(resource, &client.files.current_dir())
    };
    if resource.ends_with(".py") || resource == "pyspark-shell" {
        return Ok(MainResource::Python { file: uri });
    }
    if resource.ends_with(".R") || resource.ends_with(".r") || resource == "sparkr-shell" {
        return Ok(MainResource::R { file: uri });
    }
    let class = match class {
        Some(class) => class.to_owned(),
        None if is_name => String::new(),
        None => manifest_class(&uri, client)?,
    };
    let jar = (resource != NO_RESOURCE).then_some(uri);
    Ok(MainResource::Java { jar, class })
}

/// The main class that the jar itself names.
fn manifest_class(jar: &str, client: &Client) -> Result<String, SubmitError> {
    let refused = |reason: String| {
        Err(SubmitError::setting(
            "--class",
            format!("is missing, and {reason}: name the class"),
        ))
    };
    if scheme(jar) != Some("file") {
        return refused(format!("{jar} cannot be looked into from here"));
    }
    let path = path_of(jar);
    match client.files.read(Path::new(&path)) {
        Err(error) => refused(format!("{path} cannot be read ({error})")),
        Ok(bytes) => match manifest::main_class(&bytes) {
            Some(class) => Ok(class),
            None => refused(format!("the manifest of {path} names none")),
        },
    }
}

#[cfg(test)]
mod tests;
