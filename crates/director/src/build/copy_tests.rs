//! The script that copies directories to storage, run in a folder that stands for the root of a container.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

const SCRIPT: &str = include_str!("copy.sh");

fn copy(root: &Path, directories: &[&str]) -> Output {
    let mut sh = Command::new("sh");
    sh.args(["-c", SCRIPT, "init"]).args(directories);
    sh.env("WINDLASS_ROOT", root).output().unwrap()
}

fn image() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["etc/app", "usr/lib", "data", "mnt"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    for (file, text) in [
        ("etc/app/conf", "conf"),
        ("etc/.hidden", "hidden"),
        ("usr/lib/big", "big"),
        ("usr/first", "first"),
    ] {
        fs::write(root.path().join(file), text).unwrap();
    }
    symlink("lib/nowhere", root.path().join("usr/dangling")).unwrap();
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(root.path().join("data"), closed).unwrap();
    root
}

fn read(root: &Path, file: &str) -> String {
    fs::read_to_string(root.join("mnt").join(file)).unwrap_or_default()
}

#[test]
fn everything_is_copied_once_and_what_the_image_has_not_begins_empty() {
    let image = image();
    let root = image.path();
    let directories = ["/etc", "/usr", "/data", "/var/new"];
    let ran = copy(root, &directories);
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    for (file, text) in [
        ("etc/app/conf", "conf"),
        ("etc/.hidden", "hidden"),
        ("usr/lib/big", "big"),
    ] {
        assert_eq!(read(root, file), text);
    }
    let link = fs::read_link(root.join("mnt/usr/dangling")).unwrap();
    assert_eq!(link, Path::new("lib/nowhere"));
    let mode = fs::metadata(root.join("mnt/data")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
    assert!(root.join("mnt/var/new").is_dir());
    assert!(root.join("mnt/etc/kubedirector.init").exists());
    assert!(!root.join("mnt/.windlass-init").exists());
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 4, "{told}");
    assert!(lines[0].starts_with("directory 1 of 4, /etc"), "{told}");
    assert!(
        lines[3].starts_with("all 4 directories are copied"),
        "{told}"
    );
    let progress = read(root, "etc/kubedirector-init-progress-bar.log");
    assert_eq!(progress.trim_end(), lines[3]);

    fs::write(root.join("mnt/usr/first"), "changed").unwrap();
    assert!(copy(root, &directories).stdout.is_empty());
    assert_eq!(read(root, "usr/first"), "changed");
}

#[test]
fn what_was_killed_goes_on_and_copies_nothing_twice() {
    let image = image();
    let root = image.path();
    for folder in ["mnt/.windlass-init/part", "mnt/usr"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("mnt/.windlass-init/part/big"), "b").unwrap();
    fs::write(root.join("mnt/usr/first"), "there already").unwrap();
    assert!(copy(root, &["/etc", "/usr"]).status.success());
    assert_eq!(read(root, "usr/first"), "there already");
    assert_eq!(read(root, "usr/lib/big"), "big");
    assert!(root.join("mnt/etc/kubedirector.init").exists());
}

#[test]
fn what_cannot_be_copied_ends_it_without_the_mark() {
    let image = image();
    let root = image.path();
    fs::write(root.join("mnt/usr"), "in the way").unwrap();
    let ran = copy(root, &["/etc", "/usr"]);
    assert!(!ran.status.success());
    assert!(!ran.stderr.is_empty());
    assert!(!root.join("mnt/etc/kubedirector.init").exists());
}
