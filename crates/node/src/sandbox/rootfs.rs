//! A container's private root: built on a fresh tmpfs, then pivoted into.
//!
//! System directories are overlays, so they read as the machine's and write to the container's own
//! directory. Homes, temporary directories and the agent's data are replaced by empty ones.
//! Everything else of the machine's root is visible and read-only.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};

use super::container::in_user_namespace;
use super::spec::{ContainerSpec, MountSpec, RootSpec};
use crate::inside::{Kind, resolve};

/// Directories of the machine that get a private writable layer.
const LAYERED: [&str; 4] = ["etc", "opt", "usr", "var"];

/// Directories of the machine that never show.
const WITHHELD: [&str; 9] = [
    "proc",
    "sys",
    "dev",
    "tmp",
    "run",
    "home",
    "root",
    "boot",
    "lost+found",
];

/// The devices every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What was being done when the system refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(super) struct RootError {
    what: String,
    source: io::Error,
}

fn failed<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> RootError {
    let what = what.into();
    move |source| RootError {
        what,
        source: source.into(),
    }
}

/// Builds the container's root and makes it this process's root.
pub(super) fn enter_private_root(spec: &ContainerSpec) -> Result<(), RootError> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(failed("keep mounts private"))?;
    let builder = Builder {
        spec,
        root: spec.dir.join("root"),
    };
    private_dir(&builder.root, 0o755)?;
    let read_only = match &spec.root {
        RootSpec::Host {
            overlays,
            exposed,
            scripts,
            read_only,
        } => {
            builder.host_root()?;
            for (source, place) in overlays {
                builder.layered(source, place)?;
            }
            for path in exposed {
                builder.bind(&MountSpec {
                    source: path.clone(),
                    sub_path: None,
                    target: path.clone(),
                    read_only: true,
                })?;
            }
            for (path, text) in scripts {
                builder.script(path, text)?;
            }
            *read_only
        }
        RootSpec::Directory { lower, read_only } => {
            builder.directory_root(lower)?;
            *read_only
        }
    };
    builder.kernel_file_systems()?;
    builder.hide()?;
    builder.name_the_user()?;
    builder.working_dir()?;
    let image = if read_only {
        mounts_below(&builder.root)?
    } else {
        vec![]
    };
    builder.volumes()?;
    builder.freeze(&image)?;
    builder.pivot()
}

struct Builder<'a> {
    spec: &'a ContainerSpec,
    root: PathBuf,
}

impl Builder<'_> {
    fn host_root(&self) -> Result<(), RootError> {
        tmpfs(&self.root, "mode=0755,size=64m")?;
        let entries = fs::read_dir("/").map_err(failed("list /"))?;
        for entry in entries {
            let entry = entry.map_err(failed("list /"))?;
            let name = entry.file_name();
            let Some(text) = name.to_str() else { continue };
            let kind = entry
                .file_type()
                .map_err(failed(format!("look at /{text}")))?;
            let place = Path::new("/").join(&name);
            if kind.is_symlink() {
                let target = fs::read_link(&place).map_err(failed(format!("read link /{text}")))?;
                symlink(target, self.root.join(&name))
                    .map_err(failed(format!("copy link /{text}")))?;
            } else if !kind.is_dir() || WITHHELD.contains(&text) {
                // Replaced below, or nothing a container needs.
            } else if LAYERED.contains(&text) {
                self.layered(&place, &place)?;
            } else {
                self.shown(&place)?;
            }
        }
        self.temporary_dirs()?;
        // What is installed in the home of the machine's root is exposed below this one, and a
        // container may run as another user: they pass through, but do not list it.
        self.own_dir("root-home", "/root", 0o711)?;
        private_dir(&self.root.join("home"), 0o755)
    }

    /// Shows a directory of the machine as it is, read-only.
    ///
    /// Where something is to be mounted below it at a place that is not there, an own directory
    /// stands for it, and shows what the machine's has. An overlay would not show the machine's
    /// mounts below it, and without privileges cannot be made over them.
    fn shown(&self, place: &Path) -> Result<(), RootError> {
        if !self.lacks_a_place_below(place) {
            return self.bind(&MountSpec {
                source: place.to_owned(),
                sub_path: None,
                target: place.to_owned(),
                read_only: true,
            });
        }
        let own = self.inside(place, Kind::Directory)?;
        let entries = fs::read_dir(place).map_err(failed(format!("list {}", place.display())))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if let Ok(target) = fs::read_link(&path) {
                symlink(target, own.join(entry.file_name()))
                    .map_err(failed(format!("copy link {}", path.display())))?;
            } else {
                self.shown(&path)?;
            }
        }
        Ok(())
    }

    fn lacks_a_place_below(&self, top: &Path) -> bool {
        let volumes = self.spec.mounts.iter().map(|mount| &mount.target);
        let mut places = volumes.chain([&self.spec.working_dir]);
        places.any(|place| place.starts_with(top) && fs::symlink_metadata(place).is_err())
    }

    fn directory_root(&self, lower: &Path) -> Result<(), RootError> {
        self.overlay(lower, &self.root, "image")?;
        private_dir(&self.inside(Path::new("/tmp"), Kind::Directory)?, 0o1777)
    }

    fn temporary_dirs(&self) -> Result<(), RootError> {
        self.own_dir("tmp", "/tmp", 0o1777)?;
        self.own_dir("var-tmp", "/var/tmp", 0o1777)?;
        let run = self.inside(Path::new("/run"), Kind::Directory)?;
        tmpfs(&run, "mode=0755,size=64m")
    }

    /// A directory of the container's own, on the disk rather than in memory.
    fn own_dir(&self, name: &str, target: &str, mode: u32) -> Result<(), RootError> {
        let source = self.spec.dir.join(name);
        private_dir(&source, mode)?;
        let target = self.inside(Path::new(target), Kind::Directory)?;
        mount_bind(&source, &target).map_err(failed(format!("mount {}", target.display())))
    }

    fn layered(&self, lower: &Path, place: &Path) -> Result<(), RootError> {
        let target = self.inside(place, Kind::Directory)?;
        let name = place.to_string_lossy().trim_matches('/').replace('/', "-");
        self.overlay(lower, &target, &name)
    }

    fn overlay(&self, lower: &Path, target: &Path, name: &str) -> Result<(), RootError> {
        let upper = self.spec.dir.join("upper").join(name);
        let work = self.spec.dir.join("work").join(name);
        private_dir(&upper, 0o755)?;
        private_dir(&work, 0o755)?;
        let escape = |path: &Path| {
            path.to_string_lossy()
                .replace('\\', "\\\\")
                .replace(',', "\\,")
                .replace(':', "\\:")
        };
        // Without privileges only user.* attributes can be written; with them, trusted.* ones are
        // safer, but the overlay of one run must be readable by the next, so both use the same.
        let options = format!(
            "userxattr,lowerdir={},upperdir={},workdir={}",
            escape(lower),
            escape(&upper),
            escape(&work)
        );
        let options = std::ffi::CString::new(options)
            .map_err(|error| failed::<io::Error>("name the layers")(error.into()))?;
        mount(
            "overlay",
            target,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .map_err(failed(format!(
            "lay a private layer over {}",
            lower.display()
        )))
    }

    fn script(&self, path: &Path, text: &str) -> Result<(), RootError> {
        let target = self.inside(path, Kind::File)?;
        let what = || format!("write {}", path.display());
        fs::write(&target, text).map_err(failed(what()))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).map_err(failed(what()))
    }

    fn kernel_file_systems(&self) -> Result<(), RootError> {
        let proc = self.inside(Path::new("/proc"), Kind::Directory)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", &proc, "proc", flags, None).map_err(failed(
            "mount /proc (is this machine's own /proc partly covered?)",
        ))?;
        let sys = self.inside(Path::new("/sys"), Kind::Directory)?;
        mount_bind_recursive("/sys", &sys).map_err(failed("mount /sys"))?;
        read_only_tree(&sys)?;
        self.devices()
    }

    fn devices(&self) -> Result<(), RootError> {
        let dev = self.inside(Path::new("/dev"), Kind::Directory)?;
        tmpfs(&dev, "mode=0755,size=64k")?;
        for name in DEVICES {
            let place = dev.join(name);
            File::create(&place).map_err(failed(format!("make /dev/{name}")))?;
            mount_bind(Path::new("/dev").join(name), &place)
                .map_err(failed(format!("mount /dev/{name}")))?;
        }
        let pts = dev.join("pts");
        private_dir(&pts, 0o755)?;
        mount(
            "devpts",
            &pts,
            "devpts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            c"newinstance,ptmxmode=0666,mode=0620",
        )
        .map_err(failed("mount /dev/pts"))?;
        let shm = dev.join("shm");
        private_dir(&shm, 0o1777)?;
        tmpfs(&shm, "mode=1777,size=64m")?;
        let links = [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ];
        for (name, target) in links {
            symlink(target, dev.join(name)).map_err(failed(format!("make /dev/{name}")))?;
        }
        Ok(())
    }

    fn hide(&self) -> Result<(), RootError> {
        for path in &self.spec.hidden {
            let place = self.root.join(path.strip_prefix("/").unwrap_or(path));
            if place.is_dir() {
                tmpfs(&place, "mode=0,size=4k")?;
                remount_read_only(&place)?;
            }
        }
        Ok(())
    }

    /// A user the image does not know gets an entry: many programs (every JVM with Hadoop in it)
    /// refuse to run as somebody without a name.
    fn name_the_user(&self) -> Result<(), RootError> {
        // In a user namespace the container stays the user of the node, who has a name.
        let Some(uid) = self.spec.user.uid.filter(|_| !in_user_namespace()) else {
            return Ok(());
        };
        let file = self.inside(Path::new("/etc/passwd"), Kind::File)?;
        let mut text = fs::read_to_string(&file).map_err(failed("read /etc/passwd"))?;
        let known = text
            .lines()
            .any(|line| line.split(':').nth(2) == Some(&uid.to_string()));
        if !known {
            let gid = self.spec.user.gid.unwrap_or(0);
            text.push_str(&format!("container-user:x:{uid}:{gid}::/:/bin/sh\n"));
            fs::write(&file, text).map_err(failed("write /etc/passwd"))?;
        }
        Ok(())
    }

    /// A working directory that the image lacks belongs to the container's user: Spark's executors
    /// put the files of a job there.
    fn working_dir(&self) -> Result<(), RootError> {
        let path = &self.spec.working_dir;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let parent = self.inside(parent, Kind::Directory)?;
        let is_missing = path
            .file_name()
            .is_some_and(|name| fs::symlink_metadata(parent.join(name)).is_err());
        let place = self.inside(path, Kind::Directory)?;
        let user = &self.spec.user;
        if is_missing && user.uid.is_some() && !in_user_namespace() {
            std::os::unix::fs::chown(&place, user.uid, user.gid)
                .map_err(failed(format!("give {} to its user", path.display())))?;
        }
        Ok(())
    }

    /// Makes the image's mounts read-only, except the kernel's own and those a volume covers.
    fn freeze(&self, image: &[PathBuf]) -> Result<(), RootError> {
        for point in image {
            let inside = Path::new("/").join(point.strip_prefix(&self.root).unwrap_or(point));
            let kernel = ["/proc", "/sys", "/dev"]
                .iter()
                .any(|top| inside.starts_with(top));
            let covered = self.spec.mounts.iter().any(|mount| mount.target == inside);
            if !kernel && !covered {
                remount_read_only(point)?;
            }
        }
        Ok(())
    }

    fn volumes(&self) -> Result<(), RootError> {
        // A mount inside another must come after it, whatever the order in the manifest.
        let mut mounts: Vec<&MountSpec> = self.spec.mounts.iter().collect();
        mounts.sort_by_key(|mount| mount.target.components().count());
        mounts.into_iter().try_for_each(|mount| self.bind(mount))
    }

    fn bind(&self, spec: &MountSpec) -> Result<(), RootError> {
        let what = || {
            format!(
                "mount {} at {}",
                spec.source.display(),
                spec.target.display()
            )
        };
        let source = match &spec.sub_path {
            None => spec.source.clone(),
            Some(path) => resolve(&spec.source, path, Kind::Directory).map_err(failed(what()))?,
        };
        let metadata = fs::metadata(&source).map_err(failed(what()))?;
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else {
            Kind::File
        };
        let target = self.inside(&spec.target, kind)?;
        mount_bind_recursive(&source, &target).map_err(failed(what()))?;
        if spec.read_only {
            read_only_tree(&target)
        } else {
            Ok(())
        }
    }

    fn pivot(&self) -> Result<(), RootError> {
        // The classic sequence: the old root is stacked on the new one and then let go.
        rustix::process::chdir(&self.root).map_err(failed("enter the new root"))?;
        rustix::process::pivot_root(".", ".").map_err(failed("change the root"))?;
        unmount(".", UnmountFlags::DETACH).map_err(failed("let the old root go"))?;
        rustix::process::chdir("/").map_err(failed("enter the new root"))
    }

    /// The place of a container path below the new root; made when missing.
    fn inside(&self, path: &Path, kind: Kind) -> Result<PathBuf, RootError> {
        resolve(&self.root, path, kind)
            .map_err(failed(format!("make {} in the container", path.display())))
    }
}

fn tmpfs(target: &Path, options: &str) -> Result<(), RootError> {
    let what = || format!("mount a tmpfs at {}", target.display());
    let options = std::ffi::CString::new(options)
        .map_err(|error| failed::<io::Error>(what())(error.into()))?;
    mount(
        "tmpfs",
        target,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        options.as_c_str(),
    )
    .map_err(failed(what()))
}

fn private_dir(path: &Path, mode: u32) -> Result<(), RootError> {
    let what = || format!("make directory {}", path.display());
    fs::create_dir_all(path).map_err(failed(what()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed(what()))
}

fn read_only_tree(top: &Path) -> Result<(), RootError> {
    mounts_below(top)?
        .iter()
        .try_for_each(|point| remount_read_only(point))
}

/// Remounts one mount point read-only, keeping the flags it has: an unprivileged namespace may
/// not drop any of them.
fn remount_read_only(point: &Path) -> Result<(), RootError> {
    let what = || format!("make {} read-only", point.display());
    let present = statvfs(point).map_err(failed(what()))?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (seen, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if present.contains(seen) {
            flags |= flag;
        }
    }
    mount_remount(point, flags, c"").map_err(failed(what()))
}

/// The mount points at and below a directory, outermost first.
fn mounts_below(top: &Path) -> Result<Vec<PathBuf>, RootError> {
    let table =
        fs::read_to_string("/proc/self/mountinfo").map_err(failed("read the mount table"))?;
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|point| point.starts_with(top))
        .collect();
    points.sort();
    points.dedup();
    Ok(points)
}

/// Undoes the octal escapes of the mount table.
fn unescape(text: &str) -> PathBuf {
    let mut path = text.to_owned();
    for (code, plain) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        path = path.replace(code, plain);
    }
    PathBuf::from(path)
}
