//! A machine of its own for somebody who is not root: a home, an empty cache, and one Spark that
//! is played by a script, so that what lies around Spark can be tried quickly.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Answer, WINDLASS};

const NOBODY: u32 = 65534;

/// Shows its arguments and runs the Python file among them.
const SPARK_SUBMIT: &str = r#"#!/bin/sh
job=
for argument; do
  echo "argument $argument"
  case "$argument" in local://*.py) job="${argument#local://}" ;; esac
done
[ -z "$job" ] || exec python3 "$job"
"#;

/// Such a machine.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// Sets it up.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { folder };
        let examples = "spark/examples/src/main/python";
        for directory in ["tmp", "home", "cache", "spark/bin", "spark/jars", examples] {
            fs::create_dir_all(machine.path(directory)).unwrap();
        }
        machine.write("spark/jars/spark-core_2.13-4.3.0.jar", "");
        machine.write("spark/bin/spark-submit", SPARK_SUBMIT);
        machine.write(&format!("{examples}/pi.py"), "print('Pi is roughly 3.14')");
        fs::copy(WINDLASS, machine.path("windlass")).unwrap();
        for name in ["", "tmp", "home", "cache", "spark/bin/spark-submit"] {
            give_away(&machine.path(name));
        }
        machine
    }

    /// A path on it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        crate::common::write(self.folder.path(), name, text)
    }

    /// A program on it, run by the ordinary user.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let folder = self.folder.path().display();
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{folder}:/usr/local/bin:/usr/bin:/bin"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("WINDLASS_CACHE", self.path("cache"))
            .env("SPARK_HOME", self.path("spark"))
            .stdin(Stdio::null());
        command
    }

    /// Runs windlass to its end.
    pub(crate) fn windlass(&self, arguments: &[&str]) -> Answer {
        let windlass = self.path("windlass").display().to_string();
        let mut command = self.command(&windlass);
        command.args(arguments);
        command.output().expect("windlass starts").into()
    }
}

/// Makes a file or directory the ordinary user's own.
fn give_away(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}
