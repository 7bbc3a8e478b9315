//! From what an image name stands for to what a container of it starts with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::credentials::Credentials;
use super::{
    ImageError, ImageSource, ImageStore, Runtime, SoftwareInstallation, SparkInstallation,
};

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

/// An image that a container asks for.
pub(crate) struct ImageRequest<'a> {
    /// The name as the container gives it.
    pub(crate) name: &'a str,
    /// What it stands for.
    pub(crate) source: &'a ImageSource,
    pub(crate) policy: PullPolicy,
    /// For registries.
    pub(crate) credentials: Credentials,
    /// Called before something is fetched, which can take long.
    pub(crate) pulling: &'a (dyn Fn() + Send + Sync),
}

/// When a registry is asked, as `imagePullPolicy` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// The policy of a container; the API server has put in the default.
    pub(crate) fn of(policy: Option<&str>) -> Self {
        match policy {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            _ => Self::IfNotPresent,
        }
    }
}

/// An image, and where it was.
#[derive(Debug)]
pub(crate) struct Provided {
    pub(crate) image: Image,
    pub(crate) origin: Origin,
}

/// Where an image was when it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On the machine.
    There,
    /// In a registry, which was asked.
    Pulled {
        took: Duration,
        /// What was fetched, in bytes; `None` when the registry had nothing new.
        size: Option<u64>,
    },
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

/// The machine's own programs as an image.
fn host() -> Image {
    Image {
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
    }
}

/// Looks at what is installed, and unpacks or pulls what is not, as the policy wants it.
pub(crate) async fn provide(
    request: &ImageRequest<'_>,
    store: &ImageStore,
) -> Result<Provided, ImageError> {
    let ImageRequest { name, policy, .. } = request;
    let unusable = |reason: String| ImageError::Unusable {
        image: (*name).to_owned(),
        reason,
    };
    let there = |image| Provided {
        image,
        origin: Origin::There,
    };
    let reference = match request.source {
        ImageSource::Host => return Ok(there(host())),
        ImageSource::Spark {
            minor,
            installation,
        } => {
            let image = spark(installation, &minor.to_string());
            return image.map(there).map_err(unusable);
        }
        ImageSource::Software { name, installation } => {
            let image = software(name, installation);
            return image.map(there).map_err(unusable);
        }
        ImageSource::Directory(path) => return directory(path).map(there).map_err(unusable),
        ImageSource::Layout { path, tag } => {
            let image = store.unpack_layout(path.clone(), tag.clone()).await;
            return image.map(there).map_err(unusable);
        }
        ImageSource::Registry(reference) => reference,
    };
    let here = match policy {
        PullPolicy::Always => None,
        PullPolicy::IfNotPresent | PullPolicy::Never => store.named(reference),
    };
    if let Some(image) = here {
        return Ok(there(image));
    }
    if *policy == PullPolicy::Never {
        return Err(ImageError::NeverPull {
            image: (*name).to_owned(),
        });
    }
    (request.pulling)();
    let started = Instant::now();
    let pulled = store.pull(reference, &request.credentials).await;
    let pulled = pulled.map_err(|error| ImageError::PullFailed {
        image: (*name).to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Provided {
        image: pulled.image,
        origin: Origin::Pulled {
            took: started.elapsed(),
            size: pulled.size,
        },
    })
}

fn spark(installation: &SparkInstallation, minor: &str) -> Result<Image, String> {
    let submit = installation.spark_home.join("bin/spark-submit");
    if !submit.is_file() {
        return Err(format!("{} does not exist", submit.display()));
    }
    let mut exposed = Vec::new();
    let mut path = Vec::new();
    let mut env = vec![
        ("SPARK_HOME".to_owned(), SPARK_HOME.to_owned()),
        // The entry point also serves images of a real cluster, whose pods have networks of their own.
        ("WINDLASS_SHARED_NETWORK".to_owned(), "true".to_owned()),
    ];
    java(
        "Spark",
        installation.java_home.as_deref(),
        &mut env,
        &mut path,
        &mut exposed,
    )?;
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
    if let Some(archive) = &installation.class_archive {
        env.push((
            "WINDLASS_CLASS_ARCHIVE".to_owned(),
            archive.display().to_string(),
        ));
        exposed.extend(archive.parent().map(link_chain).into_iter().flatten());
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

/// Puts Java on the path of a container whose software needs it.
fn java(
    who: &str,
    home: Option<&Path>,
    env: &mut Vec<(String, String)>,
    path: &mut Vec<String>,
    exposed: &mut Vec<PathBuf>,
) -> Result<(), String> {
    let Some(home) = home else {
        let mut folders = DEFAULT_PATH.split(':').map(Path::new);
        let found = folders.any(|folder| folder.join("java").exists());
        let missing = || {
            format!(
                "{who} needs Java, and this machine has none: install a JRE of version 17 or newer, or set JAVA_HOME"
            )
        };
        return found.then_some(()).ok_or_else(missing);
    };
    let java = home.join("bin/java");
    if !java.exists() {
        return Err(format!("{} does not exist", java.display()));
    }
    env.push(("JAVA_HOME".to_owned(), home.display().to_string()));
    path.push(home.join("bin").display().to_string());
    exposed.extend(link_chain(home));
    Ok(())
}

fn software(name: &str, installation: &SoftwareInstallation) -> Result<Image, String> {
    let lib = installation.home.join("lib");
    if !lib.is_dir() {
        return Err(format!("{} does not exist", lib.display()));
    }
    let home = PathBuf::from("/opt").join(name);
    let mut env = vec![
        (
            format!("{}_HOME", name.to_uppercase()),
            home.display().to_string(),
        ),
        ("WINDLASS_SHARED_NETWORK".to_owned(), "true".to_owned()),
    ];
    let (mut path, mut exposed) = (Vec::new(), Vec::new());
    match &installation.runtime {
        Runtime::Java(java_home) => java(
            name,
            java_home.as_deref(),
            &mut env,
            &mut path,
            &mut exposed,
        )?,
        // An environment is one wherever it lies, but its programs name the interpreter where it was made.
        Runtime::Python => {
            exposed.extend(python_prefixes(&installation.home.join("bin/python3"))?);
            path.push(home.join("bin").display().to_string());
        }
    }
    path.push(DEFAULT_PATH.to_owned());
    env.push(("PATH".to_owned(), path.join(":")));
    Ok(Image {
        id: format!(
            "{name}:{}@{}",
            installation.version,
            installation.home.display()
        ),
        root: ImageRoot::Host {
            overlays: vec![(installation.home.clone(), home)],
            exposed,
            scripts: vec![],
        },
        env,
        entrypoint: vec![],
        cmd: vec!["/bin/sh".to_owned()],
        working_dir: PathBuf::from("/"),
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
///
/// Builders write `null` for what is not set.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DirectoryConfig {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
}

/// An OCI image configuration, as far as starting a container needs it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageConfiguration {
    config: Option<DirectoryConfig>,
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
    configured(format!("dir:{}", path.display()), path, config)
}

/// The image of an unpacked root with the JSON of an OCI image configuration.
pub(super) fn image_of(id: &str, root: &Path, configuration: &[u8]) -> Result<Image, String> {
    let configuration: ImageConfiguration = serde_json::from_slice(configuration)
        .map_err(|error| format!("its configuration: {error}"))?;
    configured(
        id.to_owned(),
        root,
        configuration.config.unwrap_or_default(),
    )
}

fn configured(id: String, root: &Path, config: DirectoryConfig) -> Result<Image, String> {
    let mut env: Vec<(String, String)> = config
        .env
        .iter()
        .flatten()
        .map(|entry| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    if env.iter().all(|(name, _)| name != "PATH") {
        env.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    let working_dir = config.working_dir.filter(|dir| !dir.is_empty());
    Ok(Image {
        id,
        env,
        entrypoint: config.entrypoint.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
        working_dir: working_dir.map_or_else(|| PathBuf::from("/"), PathBuf::from),
        user: user(root, config.user.as_deref().unwrap_or_default())?,
        root: ImageRoot::Directory(root.to_owned()),
    })
}

/// The user and group an image names, by number or by what its own files know.
fn user(root: &Path, user: &str) -> Result<Option<(u32, Option<u32>)>, String> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    if name.is_empty() || (name == "root" && group.is_none()) {
        return Ok(None);
    }
    let look_up = |file: &str, name: &str| -> Result<Vec<u32>, String> {
        // Read without following links, which could lead out of the image.
        let path = root.join(file);
        let regular = path.symlink_metadata().is_ok_and(|found| found.is_file());
        let text = if regular {
            std::fs::read_to_string(&path).unwrap_or_default()
        } else {
            String::new()
        };
        text.lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))
            .map(|fields| fields[1..].iter().filter_map(|f| f.parse().ok()).collect())
            .ok_or_else(|| format!("its user {user:?} is not in its own /{file}"))
    };
    let (uid, own_group) = match name.parse::<u32>() {
        Ok(uid) => (uid, None),
        Err(_) => match look_up("etc/passwd", name)?[..] {
            [uid, gid, ..] => (uid, Some(gid)),
            _ => {
                return Err(format!(
                    "its user {user:?} has no number in its /etc/passwd"
                ));
            }
        },
    };
    let gid = match group.map(|group| (group, group.parse::<u32>())) {
        None => own_group,
        Some((_, Ok(gid))) => Some(gid),
        Some((group, Err(_))) => look_up("etc/group", group)?.first().copied(),
    };
    Ok(Some((uid, gid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_an_image_is_a_number_or_a_name_it_knows() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let write = |file: &str, text: &str| std::fs::write(root.path().join(file), text).unwrap();
        write(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nspark:x:185:100::/:/bin/sh\n",
        );
        write("etc/group", "root:x:0:\nstaff:x:50:\n");
        for (text, wanted) in [
            ("", Ok(None)),
            ("root", Ok(None)),
            ("185", Ok(Some((185, None)))),
            ("185:0", Ok(Some((185, Some(0))))),
            ("spark", Ok(Some((185, Some(100))))),
            ("spark:staff", Ok(Some((185, Some(50))))),
            ("7:staff", Ok(Some((7, Some(50))))),
            (
                "nobody",
                Err("its user \"nobody\" is not in its own /etc/passwd"),
            ),
            (
                "7:nobody",
                Err("its user \"7:nobody\" is not in its own /etc/group"),
            ),
        ] {
            let found = user(root.path(), text);
            assert_eq!(found, wanted.map_err(ToOwned::to_owned), "{text}");
        }
    }
}
