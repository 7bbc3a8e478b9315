//! From what an image name stands for to what a container of it starts with.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ImageError, ImageSource, SparkInstallation};

/// The entry point of Spark containers, and the script its decommissioning hook calls.
const SPARK_ENTRYPOINT: &str = include_str!("entrypoint.sh");
const SPARK_DECOMMISSION: &str = include_str!("decom.sh");

/// Where Spark's own images have Spark.
const SPARK_HOME: &str = "/opt/spark";

/// The search path of a container whose image names none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image ready for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The `imageID` of container statuses.
    pub id: String,
    /// The files.
    pub root: ImageRoot,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// What runs unless the container has a `command`.
    pub entrypoint: Vec<String>,
    /// Its arguments unless the container has `command` or `args`.
    pub cmd: Vec<String>,
    /// The working directory unless the container names one.
    pub working_dir: PathBuf,
    /// `uid[:gid]`, or nothing for the user the node runs pods as.
    pub user: Option<(u32, Option<u32>)>,
}

/// Where an image's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRoot {
    /// The machine's own root, with additions.
    Host {
        /// Directories laid over the root: (source, place), writable and private to the container.
        overlays: Vec<(PathBuf, PathBuf)>,
        /// Directories shown read-only at their own paths even below hidden ones.
        exposed: Vec<PathBuf>,
        /// Small files put in place: (path, contents), executable.
        scripts: Vec<(PathBuf, String)>,
    },
    /// A whole root file system.
    Directory(PathBuf),
}

/// Looks at the installation or directory and says what a container of it starts with.
pub fn provide(name: &str, source: &ImageSource) -> Result<Image, ImageError> {
    let unusable = |reason: String| ImageError::Unusable {
        image: name.to_owned(),
        reason,
    };
    match source {
        ImageSource::Host => Ok(Image {
            id: "local/host@machine".to_owned(),
            root: ImageRoot::Host {
                overlays: vec![],
                exposed: vec![],
                scripts: vec![],
            },
            env: vec![("PATH".to_owned(), DEFAULT_PATH.to_owned())],
            entrypoint: vec![],
            cmd: vec!["/bin/sh".to_owned()],
            working_dir: PathBuf::from("/"),
            user: None,
        }),
        ImageSource::Spark {
            minor,
            installation,
        } => spark(installation, &minor.to_string()).map_err(unusable),
        ImageSource::Directory(path) => directory(path).map_err(unusable),
    }
}

fn spark(installation: &SparkInstallation, minor: &str) -> Result<Image, String> {
    let submit = installation.spark_home.join("bin/spark-submit");
    if !submit.is_file() {
        return Err(format!("{} does not exist", submit.display()));
    }
    let mut exposed = Vec::new();
    let mut path = Vec::new();
    let mut env = vec![("SPARK_HOME".to_owned(), SPARK_HOME.to_owned())];
    if let Some(java_home) = &installation.java_home {
        let java = java_home.join("bin/java");
        if !java.exists() {
            return Err(format!("{} does not exist", java.display()));
        }
        env.push(("JAVA_HOME".to_owned(), java_home.display().to_string()));
        path.push(java_home.join("bin").display().to_string());
        exposed.extend(link_chain(java_home));
    } else if !DEFAULT_PATH
        .split(':')
        .any(|folder| Path::new(folder).join("java").exists())
    {
        return Err("Spark needs Java, and this machine has none: install a JRE of version 17 or newer, or set JAVA_HOME".to_owned());
    }
    if let Some(python) = &installation.python {
        exposed.extend(python_prefixes(python)?);
        env.push((
            "WINDLASS_IMAGE_PYTHON".to_owned(),
            python.display().to_string(),
        ));
        if let Some(bin) = python.parent() {
            path.push(bin.display().to_string());
        }
    }
    path.push(DEFAULT_PATH.to_owned());
    env.push(("PATH".to_owned(), path.join(":")));
    exposed.sort();
    exposed.dedup();
    Ok(Image {
        id: format!("spark:{minor}@{}", installation.spark_home.display()),
        root: ImageRoot::Host {
            overlays: vec![(installation.spark_home.clone(), PathBuf::from(SPARK_HOME))],
            exposed,
            scripts: vec![
                (
                    PathBuf::from("/opt/entrypoint.sh"),
                    SPARK_ENTRYPOINT.to_owned(),
                ),
                (
                    PathBuf::from("/opt/decom.sh"),
                    SPARK_DECOMMISSION.to_owned(),
                ),
            ],
        },
        env,
        entrypoint: vec!["/opt/entrypoint.sh".to_owned()],
        cmd: vec![],
        working_dir: PathBuf::from(SPARK_HOME).join("work-dir"),
        user: None,
    })
}

/// The directories a Python interpreter needs: its environment, and the installation behind it.
///
/// A virtual environment's `bin/python` is a symbolic link into the base installation, whose
/// prefix is two levels up from the link's end; `pyvenv.cfg` names the base as well.
fn python_prefixes(python: &Path) -> Result<Vec<PathBuf>, String> {
    let real = python
        .canonicalize()
        .map_err(|error| format!("Python interpreter {}: {error}", python.display()))?;
    let prefix_of = |bin: &Path| bin.parent().and_then(Path::parent).map(Path::to_owned);
    let mut prefixes: Vec<PathBuf> = [prefix_of(python), prefix_of(&real)]
        .into_iter()
        .flatten()
        .collect();
    if let Some(environment) = prefix_of(python)
        && let Ok(text) = std::fs::read_to_string(environment.join("pyvenv.cfg"))
    {
        let home = text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "home").then(|| PathBuf::from(value.trim()))
        });
        prefixes.extend(home.as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    Ok(prefixes
        .into_iter()
        .flat_map(|prefix| link_chain(&prefix))
        .collect())
}

/// A directory's own path and, where links lead elsewhere, the real one; the system's directories
/// are visible in every container already.
fn link_chain(path: &Path) -> Vec<PathBuf> {
    let mut chain = vec![path.to_owned()];
    if let Ok(real) = path.canonicalize() {
        chain.push(real);
    }
    chain.retain(|p| {
        !["/usr", "/etc", "/opt", "/var"]
            .iter()
            .any(|top| p.starts_with(top))
            && p != Path::new("/")
    });
    chain
}

/// The `config` object of an OCI image configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DirectoryConfig {
    env: Vec<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    working_dir: String,
    user: String,
}

fn directory(path: &Path) -> Result<Image, String> {
    if !path.is_dir() {
        return Err(format!("{} is not a directory", path.display()));
    }
    let file = path.join("config.json");
    let config: DirectoryConfig = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| format!("{}: {error}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => DirectoryConfig::default(),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let mut env: Vec<(String, String)> = config
        .env
        .iter()
        .map(|entry| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    if env.iter().all(|(name, _)| name != "PATH") {
        env.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    Ok(Image {
        id: format!("dir:{}", path.display()),
        root: ImageRoot::Directory(path.to_owned()),
        env,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        working_dir: PathBuf::from(if config.working_dir.is_empty() {
            "/"
        } else {
            &config.working_dir
        }),
        user: parse_user(&config.user)?,
    })
}

fn parse_user(user: &str) -> Result<Option<(u32, Option<u32>)>, String> {
    if user.is_empty() || user == "root" {
        return Ok(None);
    }
    let (uid, gid) = match user.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (user, None),
    };
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| {
            format!("its user {user:?} is a name; set User in config.json to uid or uid:gid")
        })
    };
    Ok(Some((number(uid)?, gid.map(number).transpose()?)))
}
