//! What `spark-submit` itself does to the settings before the Kubernetes client sees them.

use windlass_api::jvm::Unit;

use super::client::{file_name, is_client_local, path_of, resolve_uri, scheme};
use super::profile::Profile;
use super::request::{Client, MainResource, SubmitRequest};
use super::settings::elements;
use super::{Conf, SubmitError, glob, memory, uri};

/// Lists of resources whose elements may be paths and patterns of the client.
const RESOURCE_LISTS: [&str; 4] = [
    "spark.jars",
    "spark.files",
    "spark.archives",
    "spark.submit.pyFiles",
];

/// Resources that stand for an interactive shell.
const SHELLS: [&str; 4] = [
    "spark-shell",
    "pyspark-shell",
    "sparkr-shell",
    "connect-shell",
];

/// Classes that Spark runs in client mode only.
const CLIENT_ONLY: [(&str, &str); 4] = [
    ("org.apache.spark.repl.Main", "the Spark shell"),
    (
        "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver",
        "the Spark SQL shell",
    ),
    (
        "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2",
        "the Spark Thrift server",
    ),
    (
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "the Spark Connect server",
    ),
];

/// Client mode only as well, where it is known.
const CONNECT_SHELL: &str = "org.apache.spark.sql.application.ConnectRepl";

/// The settings as the Kubernetes client receives them.
pub(super) fn prepare(request: &SubmitRequest, profile: &Profile) -> Result<Conf, SubmitError> {
    let mut conf: Conf = request
        .conf
        .iter()
        .filter(|(key, _)| key.starts_with("spark."))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    check_main(&request.main)?;
    if let MainResource::Java { class, .. } = &request.main {
        check_cluster_class(class, profile)?;
    }
    check_numbers(&conf, profile)?;
    check_java_options(&conf, profile)?;
    adopt_older_kerberos_keys(&mut conf);
    check_users(&conf, request.proxy_user.as_deref())?;

    let master = master(&conf)?;
    conf.insert("spark.master".to_owned(), master);
    conf.insert("spark.submit.deployMode".to_owned(), "cluster".to_owned());
    conf.entry("spark.app.name".to_owned())
        .or_insert_with(|| default_name(&request.main));
    if !(profile.keeps_submit_time && conf.contains_key("spark.app.submitTime")) {
        let time = request.ids.submit_time.as_millisecond().to_string();
        conf.insert("spark.app.submitTime".to_owned(), time);
    }
    // The driver's address is that of its Service, whatever the user says.
    conf.remove("spark.driver.host");

    resolve_resources(&mut conf, request)?;
    check_r_packages(&conf, &request.main)?;
    Ok(conf)
}

/// The name of an application that has none: its class, else its file.
pub(crate) fn default_name(main: &MainResource) -> String {
    match main {
        MainResource::Java { class, .. } => class.clone(),
        MainResource::Python { file } | MainResource::R { file } => file_name(file).to_owned(),
    }
}

fn check_main(main: &MainResource) -> Result<(), SubmitError> {
    let (MainResource::Java {
        jar: Some(resource),
        ..
    }
    | MainResource::Python { file: resource }
    | MainResource::R { file: resource }) = main
    else {
        return check_class(main);
    };
    if SHELLS.contains(&resource.as_str()) {
        return Err(SubmitError::setting(
            "main resource",
            format!(
                "{resource} is interactive and cannot run in cluster mode: give a jar, a .py or a .R file"
            ),
        ));
    }
    check_class(main)
}

fn check_class(main: &MainResource) -> Result<(), SubmitError> {
    let MainResource::Java { class, .. } = main else {
        return Ok(());
    };
    if class.is_empty() {
        return Err(SubmitError::setting(
            "--class",
            "the main class is missing: name it",
        ));
    }
    Ok(())
}

/// Refuses a class that Spark runs in client mode only. `spark-submit` looks at `--class` even
/// where it names nothing that will run, as beside a Python file.
pub(crate) fn check_cluster_class(class: &str, profile: &Profile) -> Result<(), SubmitError> {
    let connect_shell = profile
        .knows_connect_shell
        .then_some((CONNECT_SHELL, "the Spark Connect shell"));
    match CLIENT_ONLY
        .into_iter()
        .chain(connect_shell)
        .find(|(known, _)| *known == class)
    {
        Some((_, what)) => Err(SubmitError::setting(
            "--class",
            format!("{what} cannot run in cluster mode on Kubernetes: run it in client mode"),
        )),
        None => Ok(()),
    }
}

/// What `spark-submit` checks before anything else. It looks at the values as written.
fn check_numbers(conf: &Conf, profile: &Profile) -> Result<(), SubmitError> {
    for key in ["spark.driver.memory", "spark.executor.memory"] {
        let Some(text) = conf.get(key) else { continue };
        match memory::read(text, Unit::Byte, profile) {
            Ok(memory) if memory.bytes() > 0 => {}
            Ok(_) => return Err(SubmitError::setting(key, "must be more than nothing")),
            Err(error) => return Err(SubmitError::setting(key, format!("{text:?} {error}"))),
        }
    }
    let dynamic = conf
        .get("spark.dynamicAllocation.enabled")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    for key in [
        "spark.driver.cores",
        "spark.executor.cores",
        "spark.cores.max",
        "spark.executor.instances",
    ] {
        let Some(text) = conf.get(key) else { continue };
        if key == "spark.executor.instances" && dynamic {
            continue;
        }
        if !text.parse::<i32>().is_ok_and(|number| number > 0) {
            return Err(SubmitError::setting(
                key,
                format!("{text:?} is not a positive whole number"),
            ));
        }
    }
    Ok(())
}

fn check_java_options(conf: &Conf, profile: &Profile) -> Result<(), SubmitError> {
    for key in [
        "spark.driver.extraJavaOptions",
        "spark.driver.defaultJavaOptions",
    ] {
        let Some(options) = conf.get(key) else {
            continue;
        };
        let sets_heap = if profile.splits_java_options {
            words(options)
                .ok_or_else(|| {
                    SubmitError::setting(key, format!("{options:?} ends within quotes: close them"))
                })?
                .iter()
                .any(|option| option.starts_with("-Xmx"))
        } else {
            options.contains("Xmx")
        };
        if sets_heap {
            return Err(SubmitError::setting(
                key,
                "may not set the heap (Xmx): set spark.driver.memory instead",
            ));
        }
    }
    Ok(())
}

/// The words of a line as a shell splits it; `None` when a quote is left open.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(chars.next()?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn adopt_older_kerberos_keys(conf: &mut Conf) {
    for name in ["principal", "keytab"] {
        let key = format!("spark.kerberos.{name}");
        if let (None, Some(value)) = (conf.get(&key), conf.get(&format!("spark.yarn.{name}"))) {
            conf.insert(key, value.clone());
        }
    }
}

fn check_users(conf: &Conf, proxy_user: Option<&str>) -> Result<(), SubmitError> {
    if proxy_user == Some("") {
        return Err(SubmitError::setting(
            "--proxy-user",
            "is empty: name a user or leave it out",
        ));
    }
    let kerberos = ["spark.kerberos.principal", "spark.kerberos.keytab"];
    match kerberos.iter().find(|key| conf.contains_key(**key)) {
        Some(key) if proxy_user.is_some() => Err(SubmitError::setting(
            *key,
            "cannot be combined with a proxy user: set only one of them",
        )),
        _ => Ok(()),
    }
}

/// The URL of the API server in Spark's form, `k8s://https://...`.
fn master(conf: &Conf) -> Result<String, SubmitError> {
    let refused = |reason: String| Err(SubmitError::setting("spark.master", reason));
    let Some(master) = conf.get("spark.master") else {
        return refused("is missing: set it to k8s://https://HOST:PORT".to_owned());
    };
    let Some(server) = master.strip_prefix("k8s://") else {
        return refused(format!(
            "{master:?} is not a Kubernetes master: write k8s://https://HOST:PORT"
        ));
    };
    match server.split_once("://") {
        None => Ok(format!("k8s://https://{server}")),
        Some(_) if !uri::is_valid(server) => refused(format!(
            "{server:?} is not a URL: write k8s://https://HOST:PORT"
        )),
        Some((scheme, _)) if ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) => {
            Ok(master.clone())
        }
        Some((scheme, _)) => refused(format!(
            "{master:?} has the scheme {scheme}: use https or http"
        )),
    }
}

/// Expands patterns, makes paths absolute and puts the application's jar behind the others.
fn resolve_resources(conf: &mut Conf, request: &SubmitRequest) -> Result<(), SubmitError> {
    let current_dir = request.client.files.current_dir();
    for key in RESOURCE_LISTS {
        if let Some(value) = conf.get(key) {
            let expanded = expand(&request.client, key, value, &current_dir)?;
            conf.insert(key.to_owned(), expanded);
        }
    }
    conf.entry("spark.submit.pyFiles".to_owned()).or_default();
    if let MainResource::Java { jar, .. } = &request.main {
        let mut jars = elements(conf.get("spark.jars").map_or("", String::as_str));
        jars.extend(jar.iter().map(|jar| resolve_uri(jar, &current_dir)));
        conf.insert("spark.jars".to_owned(), jars.join(","));
    }
    Ok(())
}

fn expand(
    client: &Client,
    key: &str,
    list: &str,
    current_dir: &str,
) -> Result<String, SubmitError> {
    let mut uris = Vec::new();
    for uri in elements(list)
        .iter()
        .map(|element| resolve_uri(element, current_dir))
    {
        let (base, alias) = match uri.split_once('#') {
            Some((base, alias)) => (base, Some(alias)),
            None => (uri.as_str(), None),
        };
        // Patterns of remote stores are left to the driver.
        if !is_client_local(base) || !client.files.available() {
            uris.push(uri);
            continue;
        }
        if base
            .strip_prefix("file://")
            .is_some_and(|host| !host.starts_with('/'))
        {
            return Err(SubmitError::setting(
                key,
                format!("{uri}: a file: URI can name no host: write file:///PATH"),
            ));
        }
        let path = path_of(base);
        if path.contains(':') {
            return Err(SubmitError::setting(
                key,
                format!("{uri}: spark-submit reads no paths with a colon: rename the file"),
            ));
        }
        if path.contains(['[', '{']) {
            return Err(SubmitError::setting(
                key,
                format!("{path}: of patterns spark-submit reads only * and ?: name the files"),
            ));
        }
        let found = glob::files(client, &path);
        match (found, alias) {
            (None, _) => uris.push(uri),
            (Some(paths), Some(alias)) => match &paths[..] {
                [] => {}
                [path] => uris.push(format!("{}#{alias}", file_uri(path))),
                several => {
                    return Err(SubmitError::setting(
                        key,
                        format!(
                            "{uri} names {} files by one alias: name one file",
                            several.len()
                        ),
                    ));
                }
            },
            (Some(paths), None) => uris.extend(paths.iter().map(|path| file_uri(path))),
        }
    }
    Ok(uris.join(","))
}

fn file_uri(path: &str) -> String {
    resolve_uri(path, "/")
}

/// Spark opens every jar of an R application on the client, to look for R packages in it.
fn check_r_packages(conf: &Conf, main: &MainResource) -> Result<(), SubmitError> {
    let (MainResource::R { .. }, Some(jars)) = (main, conf.get("spark.jars")) else {
        return Ok(());
    };
    match elements(jars)
        .iter()
        .find(|jar| scheme(jar) != Some("file"))
    {
        Some(jar) => Err(SubmitError::setting(
            "spark.jars",
            format!(
                "{jar}: spark-submit looks for R packages in every jar of an R application and can do so in local files only"
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, expected) in [
            ("", Some(&[][..])),
            ("-Da=b  -Xmx1g\t-c", Some(&["-Da=b", "-Xmx1g", "-c"])),
            ("-Da=\"b -Xmx1g\"", Some(&["-Da=b -Xmx1g"])),
            ("'-Xmx1g'", Some(&["-Xmx1g"])),
            ("'a\\b' \"c\\\"d\" \\-Xmx", Some(&["a\\b", "c\"d", "-Xmx"])),
            ("''", Some(&[""])),
            ("-Da=b\"-Xmx1g", None),
            ("a\\", None),
        ] {
            let words = words(line);
            assert_eq!(
                words
                    .as_ref()
                    .map(|words| words.iter().map(String::as_str).collect()),
                expected.map(<[&str]>::to_vec),
                "{line}"
            );
        }
    }
}
