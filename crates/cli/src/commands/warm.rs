//! `windlass warm`: an archive of Spark's classes, so that Spark's JVMs start with a third less CPU time.
//!
//! A JVM that ends can write the classes it has loaded, parsed and checked into a file that later
//! JVMs map into their memory (class data sharing). A job that uses what most jobs use is run once
//! for that, on a cluster of its own; the entry point of the embedded cluster's Spark images does
//! the rest. Nothing depends on the archive: a JVM that cannot use it starts as ever.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::args::WarmArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::scratch::Scratch;
use crate::sparks::{self, Installed};

/// The job that is run.
const JOB: &str = include_str!("warm.py");
/// Leaves the optimising compiler out.
const QUICK_START: &str = "-XX:TieredStopAtLevel=1";

/// Makes the archives that are missing.
pub async fn warm(args: WarmArgs) -> Result<Exit, Failure> {
    tokio::task::spawn_blocking(move || warm_all(&args))
        .await
        .map_err(Failure::internal)?
}

fn warm_all(args: &WarmArgs) -> Result<Exit, Failure> {
    for spark in wanted(&args.versions)? {
        let version = &spark.version;
        let archive = sparks::class_archive(&spark, sparks::java_home().as_deref());
        if archive.exists() && !args.force {
            output::talk(&format!(
                "Spark {version}: its classes are archived already"
            ));
            continue;
        }
        output::talk(&format!(
            "Spark {version}: archiving its classes (once, a minute or two)"
        ));
        let size = make(&spark, &archive)?;
        output::talk(&format!(
            "Spark {version}: {} MiB in {}",
            size / (1024 * 1024),
            archive.display()
        ));
    }
    Ok(Exit::Completed)
}

/// The installed Sparks of these versions; all of them where none is named.
fn wanted(versions: &[String]) -> Result<Vec<Installed>, Failure> {
    let installed = sparks::find();
    if versions.is_empty() {
        return Ok(installed);
    }
    versions
        .iter()
        .map(|version| {
            let found = installed.iter().find(|spark| spark.version == *version);
            found.cloned().ok_or_else(|| {
                let known: Vec<&str> = installed.iter().map(|it| it.version.as_str()).collect();
                Failure::bad_input(format!(
                    "Spark {version} is not installed on this machine (installed: {}): run {}",
                    if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    },
                    sparks::INSTALL_HINT.replace("{minor}", version),
                ))
            })
        })
        .collect()
}

/// Runs the job and puts its archive in place; returns the archive's size in bytes.
fn make(spark: &Installed, archive: &Path) -> Result<u64, Failure> {
    let version = &spark.version;
    let (Some(folder), Some(file)) = (archive.parent(), archive.file_name()) else {
        return Err(Failure::bad_input(format!(
            "{} is no place for an archive",
            archive.display()
        )));
    };
    // What is half made never has the name that is looked for.
    let staging = staging(folder)?;
    let cluster = Scratch::new(&std::env::temp_dir())?;
    let made = run_job(version, &staging, &staging.join(file), cluster.path());
    let placed = made.and_then(|()| place(&staging, folder, file.as_ref()));
    if placed.is_err() {
        let _ = std::fs::remove_dir_all(&staging);
    }
    placed
}

fn staging(folder: &Path) -> Result<PathBuf, Failure> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let staging = folder.with_file_name(name);
    std::fs::create_dir_all(&staging).map_err(|error| {
        Failure::bad_input(format!(
            "{} cannot be created: {error}: set WINDLASS_CACHE to a folder you may write to",
            staging.display()
        ))
    })?;
    Ok(staging)
}

/// A run in a process of its own, so that its progress is seen and the job's output is kept back
/// until it matters.
fn run_job(version: &str, folder: &Path, archive: &Path, data: &Path) -> Result<(), Failure> {
    let job = folder.join("warm.py");
    let manifest = folder.join("warm.yaml");
    let text = serde_json::to_string(&application(version, folder, archive));
    std::fs::write(&job, JOB)
        .and_then(|()| std::fs::write(&manifest, text.map_err(std::io::Error::other)?))
        .map_err(Failure::internal)?;
    let windlass = std::env::current_exe().map_err(Failure::internal)?;
    let run = Command::new(windlass)
        .args(["run", "--data-dir"])
        .arg(data)
        .arg("-f")
        .arg(&manifest)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(Failure::internal)?;
    if run.status.success() {
        return Ok(());
    }
    let lines = String::from_utf8_lossy(&run.stdout);
    let lines: Vec<&str> = lines.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n");
    Err(Failure::cluster(format!(
        "the job that uses the classes of Spark {version} failed; its last lines:\n{last}"
    )))
}

fn application(version: &str, folder: &Path, archive: &Path) -> Value {
    let mounts = json!([{ "name": "folder", "mountPath": folder }]);
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": { "name": "warm" },
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": version,
            "image": format!("apache/spark:{version}"),
            "mainApplicationFile": format!("local://{}/warm.py", folder.display()),
            "arguments": [folder],
            // A job that runs once for its classes is over before machine code pays that took long to make.
            "sparkConf": {
                "spark.driver.defaultJavaOptions": QUICK_START,
                "spark.executor.defaultJavaOptions": QUICK_START,
            },
            "restartPolicy": { "type": "Never" },
            "volumes": [{ "name": "folder", "hostPath": { "path": folder, "type": "Directory" } }],
            "driver": {
                "memory": "1g",
                "memoryOverhead": "1g",
                "serviceAccount": "spark",
                "volumeMounts": mounts,
                "env": [
                    { "name": "WINDLASS_CLASS_ARCHIVE", "value": archive },
                    { "name": "WINDLASS_MAKE_CLASS_ARCHIVE", "value": "1" },
                ],
            },
            "executor": { "instances": 1, "cores": 1, "memory": "1g", "volumeMounts": mounts },
        },
    })
}

/// Keeps the archive and what belongs to it, and gives the folder its name.
fn place(staging: &Path, folder: &Path, file: &Path) -> Result<u64, Failure> {
    let size = std::fs::metadata(staging.join(file))
        .map_err(|error| {
            Failure::cluster(format!(
                "the job is done, but its JVM wrote no archive of its classes ({error}): is it an \
                 OpenJDK of version 17 or newer?"
            ))
        })?
        .len();
    let place = || -> std::io::Result<()> {
        for entry in std::fs::read_dir(staging)? {
            let entry = entry?;
            let name = entry.file_name();
            let keep = Path::new(&name).file_stem() == file.file_stem()
                || Path::new(&name).file_stem() == Some(file.as_os_str());
            match (keep, entry.file_type()?.is_dir()) {
                (true, _) => {}
                (false, true) => std::fs::remove_dir_all(entry.path())?,
                (false, false) => std::fs::remove_file(entry.path())?,
            }
        }
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::rename(staging, folder)
    };
    place().map_err(Failure::internal)?;
    Ok(size)
}
