//! Layers of an image, laid one over the other into a directory.
//!
//! Follows the OCI image specification: entries replace what is there, directories merge, and
//! whiteouts (`.wh.NAME`, `.wh..wh..opq`) take away what lower layers brought. Links are followed
//! inside the directory only, so no layer can write elsewhere. Device nodes are left out: a
//! container's `/dev` is made by the node.

use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use crate::inside::{Kind, resolve};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Lays one layer, compressed with gzip or zstd or not at all, over what is in the directory.
pub(super) fn unpack(mut layer: impl BufRead, root: &Path) -> io::Result<()> {
    // The first bytes tell more reliably than media types, which registries mix up.
    let start = layer.fill_buf()?;
    if start.starts_with(&GZIP) {
        unpack_tar(flate2::bufread::MultiGzDecoder::new(layer), root)
    } else if start.starts_with(&ZSTD) {
        unpack_tar(zstd::stream::read::Decoder::with_buffer(layer)?, root)
    } else {
        unpack_tar(layer, root)
    }
}

fn unpack_tar(layer: impl Read, root: &Path) -> io::Result<()> {
    let owners = rustix::process::geteuid().is_root();
    let mut archive = Archive::new(layer);
    let mut unpacker = Unpacker {
        root,
        owners,
        written: Vec::new(),
        directories: Vec::new(),
    };
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        unpacker.take(&mut entry, &path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    unpacker.finish()
}

struct Unpacker<'a> {
    root: &'a Path,
    /// Whether files may be given to the users the layer names.
    owners: bool,
    /// What this layer brought; its own opaque marks do not take that away.
    written: Vec<PathBuf>,
    /// Directories and their permissions, set at the end: a directory that cannot be written is
    /// still to be filled.
    directories: Vec<(PathBuf, u32)>,
}

impl Unpacker<'_> {
    fn take(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
        let Some(name) = path.file_name() else {
            // The root itself, as `./`.
            return Ok(());
        };
        let parent = resolve(
            self.root,
            path.parent().unwrap_or(Path::new("")),
            Kind::Directory,
        )?;
        let bytes = name.as_bytes();
        if bytes == OPAQUE {
            return self.clear(&parent);
        }
        if let Some(hidden) = bytes.strip_prefix(WHITEOUT) {
            return self.vacate(&parent.join(std::ffi::OsStr::from_bytes(hidden)));
        }
        let place = parent.join(name);
        let mode = entry.header().mode()? & 0o7777;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::Directory => {
                let there = fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir());
                if !there {
                    self.vacate(&place)?;
                    fs::create_dir(&place)?;
                }
                self.directories.push((place.clone(), mode));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.vacate(&place)?;
                let mut file = File::create_new(&place)?;
                io::copy(entry, &mut file)?;
                // Byte code compiled beforehand counts as stale unless its source keeps its time.
                let seconds = std::time::Duration::from_secs(entry.header().mtime()?);
                file.set_modified(std::time::SystemTime::UNIX_EPOCH + seconds)?;
            }
            EntryType::Symlink => {
                self.vacate(&place)?;
                symlink(target(entry)?, &place)?;
            }
            EntryType::Link => {
                let there = target(entry)?;
                let parent = there.parent().unwrap_or(Path::new(""));
                let name = there.file_name().unwrap_or_default();
                let original = resolve(self.root, parent, Kind::Directory)?.join(name);
                self.vacate(&place)?;
                fs::hard_link(original, &place)?;
                self.written.push(place);
                return Ok(());
            }
            _ => return Ok(()),
        }
        if self.owners {
            let id = |id: u64| u32::try_from(id).ok();
            lchown(&place, id(entry.header().uid()?), id(entry.header().gid()?))?;
        }
        if kind.is_file() || kind.is_gnu_sparse() || kind.is_contiguous() {
            // After the owner, since a change of owner takes the set-user-id bit away.
            fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
        }
        self.written.push(place);
        Ok(())
    }

    /// Takes away what lower layers put into a directory.
    fn clear(&mut self, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if !self
                .written
                .iter()
                .any(|written| written.starts_with(&path))
            {
                self.vacate(&path)?;
            }
        }
        Ok(())
    }

    /// Removes whatever is at a place, if anything is. A directory's permissions are not to be set
    /// at the end any more: what comes there next may be a link to somewhere else.
    fn vacate(&mut self, place: &Path) -> io::Result<()> {
        match fs::symlink_metadata(place) {
            Ok(found) if found.is_dir() => {
                self.directories
                    .retain(|(directory, _)| !directory.starts_with(place));
                fs::remove_dir_all(place)
            }
            Ok(_) => fs::remove_file(place),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn finish(self) -> io::Result<()> {
        // Innermost first, so that none is closed before what it holds.
        for (place, mode) in self.directories.iter().rev() {
            // Without privileges nobody but the owner can enter or remove it, who must be able to.
            let mode = if self.owners { *mode } else { mode | 0o700 };
            fs::set_permissions(place, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

fn target(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    match entry.link_name()? {
        Some(target) => Ok(target.into_owned()),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a link that leads nowhere",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tar::{Builder, Header};

    use super::*;

    /// One entry of a layer: its kind, its path, and its text or target.
    type Item = (EntryType, &'static str, &'static str);

    fn layer(items: &[Item]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, path, text) in items {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_uid(u64::from(rustix::process::geteuid().as_raw()));
            header.set_gid(u64::from(rustix::process::getegid().as_raw()));
            header.set_mtime(1_000_000_000);
            // Written by hand: the library refuses to write what a hostile layer would hold.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            let data: &[u8] = match kind {
                EntryType::Symlink | EntryType::Link => {
                    let name = &mut header.as_gnu_mut().unwrap().linkname;
                    name[..text.len()].copy_from_slice(text.as_bytes());
                    &[]
                }
                _ => text.as_bytes(),
            };
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// What is below a directory, a line each.
    fn tree(root: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        let mut pending = vec![root.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().display().to_string();
                let kind = fs::symlink_metadata(&path).unwrap().file_type();
                if kind.is_dir() {
                    lines.push(format!("{name}/"));
                    pending.push(path);
                } else if kind.is_symlink() {
                    lines.push(format!(
                        "{name} -> {}",
                        fs::read_link(&path).unwrap().display()
                    ));
                } else {
                    lines.push(format!("{name}: {}", fs::read_to_string(&path).unwrap()));
                }
            }
        }
        lines.sort();
        lines
    }

    #[test]
    fn layers_replace_merge_and_take_away() {
        use EntryType::{Directory, Link, Regular, Symlink};
        let root = tempfile::tempdir().unwrap();
        let layers: [&[Item]; 3] = [
            &[
                (Directory, "usr/", ""),
                (Directory, "usr/bin/", ""),
                (Regular, "usr/bin/a", "old a"),
                (Regular, "usr/bin/b", "b"),
                (Symlink, "bin", "usr/bin"),
                (Regular, "etc/gone", "without its directory's own entry"),
                (Directory, "cache/", ""),
                (Regular, "cache/one", "1"),
            ],
            &[
                (Regular, "bin/a", "new a"),
                (Link, "usr/bin/again", "usr/bin/a"),
                (Regular, "etc/.wh.gone", ""),
                (Regular, "cache/two", "2"),
                (Regular, "cache/.wh..wh..opq", ""),
            ],
            &[
                (Regular, "usr/bin/.wh.b", ""),
                (Directory, "usr/bin/b/", ""),
                (Symlink, "cache/two", "/etc"),
            ],
        ];
        for items in layers {
            unpack(&layer(items)[..], root.path()).unwrap();
        }
        assert_eq!(
            tree(root.path()),
            [
                "bin -> usr/bin",
                "cache/",
                "cache/two -> /etc",
                "etc/",
                "usr/",
                "usr/bin/",
                "usr/bin/a: new a",
                "usr/bin/again: new a",
                "usr/bin/b/",
            ]
        );
        let file = fs::metadata(root.path().join("usr/bin/a")).unwrap();
        assert_eq!(file.permissions().mode() & 0o7777, 0o755);
        let since = file.modified().unwrap();
        let since = since.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_000_000_000);
    }

    #[test]
    fn no_layer_writes_outside_its_directory() {
        use EntryType::{Directory, Link, Regular, Symlink};
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("a/b/root");
        fs::create_dir_all(&root).unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        for path in [outside.path().to_owned(), outside.path().join("a")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let items: [&[Item]; 6] = [
            // Permissions are set at the end, when the directory may be a link elsewhere.
            &[(Directory, "turns/", ""), (Symlink, "turns", "../../..")],
            &[
                (Directory, "deep/a/", ""),
                (Regular, ".wh.deep", ""),
                (Symlink, "deep", "../../.."),
            ],
            &[(Regular, "../../../up", "x")],
            &[(Symlink, "way", "../../.."), (Regular, "way/through", "x")],
            &[(Symlink, "abs", "/"), (Regular, "abs/absolute", "x")],
            &[(Link, "stolen", "../../../secret")],
        ];
        for items in items {
            // Some are refused, the others end up inside.
            let _ = unpack(&layer(items)[..], &root);
        }
        let names = |path: &Path| -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(outside.path()), ["a", "secret"]);
        for path in ["", "a"] {
            let mode = fs::metadata(outside.path().join(path)).unwrap();
            let closed = mode.permissions().mode() & 0o7777;
            assert_eq!(closed, 0o700, "{path:?}");
        }
        assert_eq!(names(&outside.path().join("a")), ["b"]);
        assert_eq!(names(&outside.path().join("a/b")), ["root"]);
        assert!(!root.join("stolen").exists());
        assert!(root.join("absolute").exists());
    }

    #[test]
    fn every_usual_compression_is_recognised() {
        let plain = layer(&[(EntryType::Regular, "file", "text")]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        for bytes in [plain, gzip.finish().unwrap(), zstd] {
            let root = tempfile::tempdir().unwrap();
            unpack(&bytes[..], root.path()).unwrap();
            assert_eq!(tree(root.path()), ["file: text"]);
        }
        let root = tempfile::tempdir().unwrap();
        assert!(unpack(&b"no archive at all, but long enough"[..], root.path()).is_err());
    }
}
