//! Which Sparks this machine has.
//!
//! A Spark is found in `<cache>/spark/<version>` (a virtual environment with PySpark, as
//! hack/setup.sh makes it), or where SPARK_HOME points. The cache is `WINDLASS_CACHE`, else
//! `~/.cache/windlass`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest as _, Sha256};

use crate::exit::Failure;

/// A Spark on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its full version, for example `4.3.0`.
    pub version: String,
    /// What SPARK_HOME is in its terms.
    pub home: PathBuf,
    /// The interpreter that has PySpark, when it is not the system's.
    pub python: Option<PathBuf>,
}

/// The Spark version to write into an application that names none.
pub fn default_version(named: Option<&str>, embedded: bool) -> Result<String, Failure> {
    if let Some(version) = named {
        return Ok(version.to_owned());
    }
    if !embedded {
        return Ok(NEWEST_KNOWN.to_owned());
    }
    newest(&find()).map(|spark| spark.version.clone()).ok_or_else(|| {
        Failure::bad_input(format!(
            "no Spark is installed on this machine: run hack/setup.sh, or \
             python3 -m venv {cache}/spark/{NEWEST_KNOWN} && {cache}/spark/{NEWEST_KNOWN}/bin/pip install pyspark=={NEWEST_KNOWN}",
            cache = cache().display()
        ))
    })
}

/// Refuses a version that the embedded cluster has no Spark for.
pub fn require(version: &str) -> Result<(), Failure> {
    let found = find();
    let minor = |version: &str| -> Vec<String> {
        version
            .split(['.', '-'])
            .take(2)
            .map(str::to_owned)
            .collect()
    };
    if found
        .iter()
        .any(|spark| minor(&spark.version) == minor(version))
    {
        return Ok(());
    }
    let installed: Vec<&str> = found.iter().map(|spark| spark.version.as_str()).collect();
    Err(Failure::bad_input(format!(
        "--spark-version {version}: is not installed on this machine (installed: {}): run {}, choose \
         an installed one, or name an image that has it with --image",
        if installed.is_empty() {
            "none".to_owned()
        } else {
            installed.join(", ")
        },
        INSTALL_HINT.replace("{minor}", &minor(version).join("."))
    )))
}

/// The newest Spark there is, for what may be done with any: it reads what older ones have written.
pub fn newest_found() -> Result<Installed, Failure> {
    newest(&find()).cloned().ok_or_else(|| {
        Failure::bad_input(format!(
            "no Spark is installed on this machine: run {}",
            INSTALL_HINT.replace("{minor}", NEWEST_KNOWN)
        ))
    })
}

/// The newest version whose submission is known by heart.
pub const NEWEST_KNOWN: &str = "4.3.0";

/// What to run for a Spark that is not installed; `{minor}` stands for its minor version.
pub const INSTALL_HINT: &str = "hack/setup.sh {minor}";

/// Looks in the places above.
pub fn find() -> Vec<Installed> {
    let mut found = in_cache(&cache());
    if let Some(home) = std::env::var_os("SPARK_HOME").map(PathBuf::from)
        && let Some(version) = version_of(&home)
    {
        found.push(Installed {
            version,
            home,
            python: None,
        });
    }
    found
}

/// Other software that hack/ has installed, by the name that its image has on Docker Hub: its version, and its
/// home.
pub fn software() -> impl Iterator<Item = (&'static str, String, PathBuf)> {
    let found = |image: &'static str| {
        let name = image.rsplit('/').next()?;
        let mut homes = children(&cache().join(name));
        homes.retain(|home| home.join(".complete").exists());
        homes.sort();
        let home = homes.pop()?;
        let version = home.file_name()?.to_str()?.to_owned();
        Some((image, version, home))
    };
    ["library/cassandra", "apache/kafka", "tensorflow/tensorflow"]
        .into_iter()
        .filter_map(found)
}

/// The Java to run Spark with: where JAVA_HOME points, else the home of the `java` on the path.
/// Containers have a path of their own, so it matters where that leads.
pub fn java_home() -> Option<PathBuf> {
    if let Some(home) = std::env::var_os("JAVA_HOME").filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(home));
    }
    let path = std::env::var_os("PATH")?;
    java_on(std::env::split_paths(&path))
}

/// The home of the first `java`, when it is a real one and not a script that chooses one.
fn java_on(mut path: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let java = path.find_map(|folder| folder.join("java").canonicalize().ok())?;
    let home = java.parent()?.parent()?;
    home.join("lib").is_dir().then(|| home.to_owned())
}

/// Where the archive of a Spark's classes is, or would be: it holds for these jars and this Java
/// alone.
pub fn class_archive(spark: &Installed, java_home: Option<&Path>) -> PathBuf {
    let mut digest = Sha256::new();
    digest.update(spark.home.as_os_str().as_encoded_bytes());
    let jars = std::fs::metadata(spark.home.join("jars")).and_then(|jars| jars.modified());
    if let Ok(since) = jars.map(|time| time.duration_since(UNIX_EPOCH).unwrap_or_default()) {
        digest.update(since.as_nanos().to_le_bytes());
    }
    if let Some(home) = java_home {
        digest.update(home.as_os_str().as_encoded_bytes());
        // The version and the build of this Java.
        digest.update(std::fs::read(home.join("release")).unwrap_or_default());
    }
    let mut name = format!("{}-", spark.version);
    for byte in &digest.finalize()[..6] {
        let _ = write!(name, "{byte:02x}");
    }
    cache().join("classes").join(name).join("spark.jsa")
}

/// Where what is fetched is kept, unless `WINDLASS_CACHE` says otherwise.
pub fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("WINDLASS_CACHE").filter(|value| !value.is_empty()) {
        return PathBuf::from(cache);
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map_or_else(
            || std::env::home_dir().unwrap_or_default().join(".cache"),
            PathBuf::from,
        );
    base.join("windlass")
}

fn in_cache(cache: &Path) -> Vec<Installed> {
    let mut found: Vec<Installed> = children(&cache.join("spark"))
        .into_iter()
        .filter(|environment| environment.join(".complete").exists())
        .filter_map(|environment| {
            let home = children(&environment.join("lib"))
                .into_iter()
                .map(|python| python.join("site-packages/pyspark"))
                .find(|home| home.join("jars").is_dir())?;
            Some(Installed {
                version: version_of(&home)?,
                home,
                python: Some(environment.join("bin/python3")),
            })
        })
        .collect();
    found.sort_by(|left, right| left.home.cmp(&right.home));
    found
}

/// The version a Spark home is of, read off its core jar's name.
fn version_of(home: &Path) -> Option<String> {
    children(&home.join("jars")).into_iter().find_map(|jar| {
        let name = jar.file_name()?.to_str()?;
        let rest = name.strip_prefix("spark-core_")?.strip_suffix(".jar")?;
        Some(rest.split_once('-')?.1.to_owned())
    })
}

fn children(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect()
}

fn newest(sparks: &[Installed]) -> Option<&Installed> {
    sparks.iter().max_by_key(|spark| {
        spark
            .version
            .split(['.', '-'])
            .map(|part| part.parse::<u32>().unwrap_or(0))
            .collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_java_on_the_path_is_followed_to_its_home() {
        let machine = tempfile::tempdir().unwrap();
        let root = machine.path().canonicalize().unwrap();
        for folder in ["jdk/bin", "jdk/lib", "bin", "shims"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("jdk/bin/java"), "").unwrap();
        std::fs::write(root.join("shims/java"), "").unwrap();
        symlink(root.join("jdk/bin/java"), root.join("bin/java")).unwrap();
        let on = |folder: &str| java_on([root.join("none"), root.join(folder)].into_iter());
        assert_eq!(on("bin"), Some(root.join("jdk")));
        assert_eq!(on("shims"), None);
        assert_eq!(on("lib"), None);
    }

    #[test]
    fn an_archive_of_classes_is_for_one_build_of_java() {
        let java = tempfile::tempdir().unwrap();
        let spark = Installed {
            version: "4.3.0".to_owned(),
            home: PathBuf::from("/sparks/4.3.0"),
            python: None,
        };
        let archive = || class_archive(&spark, Some(java.path()));
        std::fs::write(java.path().join("release"), "JAVA_VERSION=17.0.15").unwrap();
        let before = archive();
        assert_eq!(before, archive());
        let folder = before.parent().and_then(Path::file_name).unwrap();
        assert!(folder.to_str().unwrap().starts_with("4.3.0-"));
        std::fs::write(java.path().join("release"), "JAVA_VERSION=17.0.16").unwrap();
        assert_ne!(before, archive());
        assert_ne!(before, class_archive(&spark, None));
    }

    #[test]
    fn complete_environments_are_found_and_the_newest_is_chosen_by_number() {
        let cache = tempfile::tempdir().unwrap();
        for (version, complete) in [("3.5.9", true), ("3.5.10", true), ("4.3.0", false)] {
            let environment = cache.path().join("spark").join(version);
            let jars = environment.join("lib/python3.11/site-packages/pyspark/jars");
            std::fs::create_dir_all(&jars).unwrap();
            std::fs::write(jars.join(format!("spark-core_2.12-{version}.jar")), "").unwrap();
            if complete {
                std::fs::write(environment.join(".complete"), "").unwrap();
            }
        }
        let found = in_cache(cache.path());
        assert_eq!(found.len(), 2);
        assert_eq!(newest(&found).unwrap().version, "3.5.10");
    }
}
