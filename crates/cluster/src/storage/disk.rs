//! Volumes of a size of their own: a file with a filesystem in it, mounted through a loop device.
//!
//! Laws: each step may be repeated, and one that was killed is made good by the next try: a file has its name
//! only when its filesystem is complete. Files are below a directory that exists in the filesystem alone, so a
//! pod never writes to the place where a disk should have been mounted.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::fs;
use tokio::process::Command;

/// What a disk's file is called, and its name while it is made.
const FILE: &str = "disk";
const UNFINISHED: &str = "disk.new";
/// Where a disk is mounted, beside its file.
const MOUNT: &str = "mounted";
/// Where its data is, on the disk.
const DATA: &str = "data";
/// Files of disks grow and shrink by this many bytes.
const GRAIN: u64 = 1 << 20;

/// A filesystem that a disk may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filesystem {
    Ext4,
    Xfs,
}

impl Filesystem {
    /// By its name in the parameters of a class.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "ext4" => Some(Self::Ext4),
            "xfs" => Some(Self::Xfs),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// The one that this machine can make, and grow while it is in use.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub(super) async fn usual() -> Result<Self, String> {
        run("losetup", &["-f".as_ref()])
            .await
            .map_err(|error| format!("no loop device can be had: {error}"))?;
        // The kernel lets those grow ext4 only who may exceed the limits of resources.
        if may_exceed_limits().await && is_there("mkfs.ext4").await {
            return Ok(Self::Ext4);
        }
        if is_there("mkfs.xfs").await {
            return Ok(Self::Xfs);
        }
        Err(
            "install xfsprogs: without CAP_SYS_RESOURCE, ext4 does not grow while it is in use"
                .to_owned(),
        )
    }
}

/// The disks of a directory, by the names of their volumes.
#[derive(Debug, Clone)]
pub(super) struct Disks {
    directory: PathBuf,
}

impl Disks {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where the data of a volume is.
    pub(super) fn data(&self, volume: &str) -> PathBuf {
        self.mount(volume).join(DATA)
    }

    /// Makes a disk of so many bytes, if it is not there, and mounts it.
    pub(super) async fn make(
        &self,
        volume: &str,
        bytes: u64,
        filesystem: Filesystem,
    ) -> Result<(), String> {
        let mount = self.mount(volume);
        told(&mount, fs::create_dir_all(&mount).await)?;
        let file = self.file(volume);
        if fs::metadata(&file).await.is_err() {
            let unfinished = self.directory.join(volume).join(UNFINISHED);
            told(
                &unfinished,
                set_size(&unfinished, bytes, Size::Exactly).await,
            )?;
            let quiet = match filesystem {
                Filesystem::Ext4 => ["-q", "-F"],
                Filesystem::Xfs => ["-q", "-f"],
            };
            let [first, second] = quiet.map(AsRef::as_ref);
            let program = format!("mkfs.{}", filesystem.name());
            run(&program, &[first, second, unfinished.as_ref()]).await?;
            told(&file, fs::rename(&unfinished, &file).await)?;
        }
        self.attach(volume).await?;
        let data = self.data(volume);
        told(&data, fs::create_dir_all(&data).await)?;
        // Whoever the pod runs as may write to its volume.
        let mode = std::fs::Permissions::from_mode(0o777);
        told(&data, fs::set_permissions(&data, mode).await)
    }

    /// Mounts a disk that is there.
    pub(super) async fn attach(&self, volume: &str) -> Result<(), String> {
        if self.attached().contains_key(volume) {
            return Ok(());
        }
        let (file, mount) = (self.file(volume), self.mount(volume));
        told(&mount, fs::create_dir_all(&mount).await)?;
        run(
            "mount",
            &[
                "-o".as_ref(),
                "loop".as_ref(),
                file.as_ref(),
                mount.as_ref(),
            ],
        )
        .await
    }

    /// Makes a mounted disk as large as this, while it is in use.
    pub(super) async fn grow(&self, volume: &str, bytes: u64) -> Result<(), String> {
        self.attach(volume).await?;
        let attached = self.attached();
        let Some((device, filesystem)) = attached.get(volume) else {
            return Err(format!("the disk of volume {volume} is not mounted"));
        };
        let file = self.file(volume);
        told(&file, set_size(&file, bytes, Size::AtLeast).await)?;
        run("losetup", &["-c".as_ref(), device.as_ref()]).await?;
        match Filesystem::named(filesystem) {
            Some(Filesystem::Xfs) => run("xfs_growfs", &[self.mount(volume).as_ref()]).await,
            Some(Filesystem::Ext4) => run("resize2fs", &[device.as_ref()]).await,
            None => Err(format!(
                "a filesystem of type {filesystem} is not grown here"
            )),
        }
    }

    /// Unmounts a disk; what still uses it keeps it until it ends.
    pub(super) async fn detach(&self, volume: &str) -> Result<(), String> {
        if !self.attached().contains_key(volume) {
            return Ok(());
        }
        run("umount", &["-l".as_ref(), self.mount(volume).as_ref()]).await
    }

    /// The disks that are mounted: their loop devices and types of filesystem.
    pub(super) fn attached(&self) -> BTreeMap<String, (String, String)> {
        // Where this cannot be read nothing can be mounted either.
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        attached(&table, &self.directory)
    }

    fn file(&self, volume: &str) -> PathBuf {
        self.directory.join(volume).join(FILE)
    }

    fn mount(&self, volume: &str) -> PathBuf {
        self.directory.join(volume).join(MOUNT)
    }
}

/// Reads the table of mounts.
fn attached(table: &str, directory: &Path) -> BTreeMap<String, (String, String)> {
    table
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (device, place, filesystem) = (words.next()?, words.next()?, words.next()?);
            let place = PathBuf::from(place.replace("\\040", " "));
            let volume = place.strip_prefix(directory).ok()?;
            let volume = volume.to_str()?.strip_suffix(MOUNT)?.strip_suffix('/')?;
            Some((
                volume.to_owned(),
                (device.to_owned(), filesystem.to_owned()),
            ))
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Exactly,
    AtLeast,
}

/// Gives a file its size; what is not written takes no room.
async fn set_size(file: &Path, bytes: u64, size: Size) -> io::Result<()> {
    let bytes = bytes.div_ceil(GRAIN) * GRAIN;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(size == Size::Exactly);
    let open = options.open(file).await?;
    if size == Size::AtLeast && open.metadata().await?.len() >= bytes {
        return Ok(());
    }
    open.set_len(bytes).await?;
    open.sync_all().await
}

/// Runs a program of the system, which says why it fails.
async fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let mut command = Command::new(program);
    // These programs are where an ordinary user's path does not lead.
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command
        .output()
        .await
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.split_whitespace().collect();
    Err(format!("{program}: {} ({})", said.join(" "), output.status))
}

async fn is_there(program: &str) -> bool {
    run(program, &["-V".as_ref()]).await.is_ok()
}

/// Whether this process has `CAP_SYS_RESOURCE`.
async fn may_exceed_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status")
        .await
        .unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask >> CAP_SYS_RESOURCE & 1 == 1)
}

fn told(path: &Path, result: io::Result<()>) -> Result<(), String> {
    result.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_disks_are_read_from_the_table_of_mounts() {
        let table = "proc /proc proc rw 0 0\n\
                     /dev/loop3 /data/my\\040volumes/pvc-1/mounted xfs rw,relatime 0 0\n\
                     /dev/loop4 /data/elsewhere/pvc-2/mounted ext4 rw 0 0\n\
                     /dev/sda1 /data/my\\040volumes/pvc-3 ext4 rw 0 0\n";
        let found = attached(table, Path::new("/data/my volumes"));
        let expected = (
            "pvc-1".to_owned(),
            ("/dev/loop3".to_owned(), "xfs".to_owned()),
        );
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [expected]);
    }
}
