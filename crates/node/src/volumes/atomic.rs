//! Directories whose files change all at once, as programs that watch mounted ConfigMaps expect.
//!
//! ```text
//! key            -> ..data/key
//! ..data         -> ..2026-01-02T03-04-05.678901234
//! ..2026-.../key    the file
//! ```
//! Replacing the one link `..data` replaces every file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// The files a volume should show: contents and mode by relative path.
pub(crate) type Payload = BTreeMap<PathBuf, (Vec<u8>, u32)>;

const CURRENT: &str = "..data";

/// Makes the directory show the payload, its files readable by the group if there is one; says
/// whether anything changed.
pub(crate) fn write(
    directory: &Path,
    payload: &Payload,
    group: Option<u32>,
    now: Timestamp,
) -> io::Result<bool> {
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    let current = directory.join(CURRENT);
    let before = fs::read_link(&current).ok();
    if before.is_some() && read(&current)? == *payload {
        return Ok(false);
    }
    let name = format!("..{now:.9}").replace(':', "-");
    let fresh = directory.join(&name);
    fs::create_dir_all(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    for (path, (bytes, mode)) in payload {
        let file = fresh.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, bytes)?;
        if group.is_some() {
            chown(&file, None, group)?;
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(*mode))?;
    }
    let next = directory.join("..data_next");
    let _ = fs::remove_file(&next);
    symlink(&name, &next)?;
    fs::rename(&next, &current)?;
    let wanted: BTreeSet<PathBuf> = payload.keys().filter_map(|path| first(path)).collect();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let shown = PathBuf::from(entry.file_name());
        let internal = shown.to_string_lossy().starts_with("..");
        if !internal && !wanted.contains(&shown) {
            fs::remove_file(entry.path())?;
        }
    }
    for shown in wanted {
        let link = directory.join(&shown);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(CURRENT).join(&shown), link)?;
        }
    }
    if let Some(before) = before {
        // Whoever still reads an old file keeps it until they close it.
        let _ = fs::remove_dir_all(directory.join(before));
    }
    Ok(true)
}

fn first(path: &Path) -> Option<PathBuf> {
    path.components()
        .next()
        .map(|component| PathBuf::from(component.as_os_str()))
}

fn read(directory: &Path) -> io::Result<Payload> {
    let mut payload = Payload::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        for entry in fs::read_dir(directory.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                pending.push(path);
            } else {
                let mode = entry.metadata()?.permissions().mode() & 0o7777;
                payload.insert(path, (fs::read(entry.path())?, mode));
            }
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let entry =
            |(path, text): &(&str, &str)| (PathBuf::from(path), (text.as_bytes().to_vec(), 0o644));
        files.iter().map(entry).collect()
    }

    #[test]
    fn files_change_all_at_once_and_only_when_they_differ() {
        let directory = tempfile::tempdir().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = payload(&[("a", "1"), ("deep/b", "2")]);
        assert!(write(directory.path(), &first, None, at(1)).unwrap());
        assert!(!write(directory.path(), &first, None, at(2)).unwrap());
        assert_eq!(
            fs::read_to_string(directory.path().join("deep/b")).unwrap(),
            "2"
        );
        let open = fs::File::open(directory.path().join("a")).unwrap();
        assert!(
            write(
                directory.path(),
                &payload(&[("a", "new"), ("c", "3")]),
                None,
                at(3)
            )
            .unwrap()
        );
        assert_eq!(
            fs::read_to_string(directory.path().join("a")).unwrap(),
            "new"
        );
        assert!(!directory.path().join("deep").exists());
        assert_eq!(io::read_to_string(open).unwrap(), "1");
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["..1970-01-01T00-00-03.000000000Z", "..data", "a", "c"]
        );
    }
}
