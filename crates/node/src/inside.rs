//! Paths as a process sees them whose root is another directory.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

/// How often a symbolic link may lead to another before it counts as a loop.
const MAX_LINKS: usize = 40;

/// What must be at the end of a path when nothing is there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An empty directory.
    Directory,
    /// An empty file.
    File,
}

/// Resolves `path` as if `root` were the root directory, following links inside it only, and makes
/// what is missing.
pub(crate) fn resolve(root: &Path, path: &Path, kind: Kind) -> io::Result<PathBuf> {
    let mut pending: Vec<PathBuf> = parts(path);
    pending.reverse();
    let mut inside = PathBuf::new();
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if part == Path::new("..") {
            inside.pop();
            continue;
        }
        let candidate = inside.join(&part);
        let place = root.join(&candidate);
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::other(format!(
                        "too many links in {}",
                        path.display()
                    )));
                }
                let target = fs::read_link(&place)?;
                if target.is_absolute() {
                    inside = PathBuf::new();
                }
                pending.extend(parts(&target).into_iter().rev());
                continue;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if pending.is_empty() && kind == Kind::File {
                    fs::OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o644)
                        .open(&place)?;
                } else {
                    fs::create_dir(&place)?;
                }
            }
            Err(error) => return Err(error),
        }
        inside = candidate;
    }
    Ok(root.join(inside))
}

/// The meaningful components of a path: names and `..`.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(PathBuf::from(name)),
            Component::ParentDir => Some(PathBuf::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_the_root_only() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        fs::create_dir(root.path().join("var")).unwrap();
        symlink("/run", root.path().join("var/run")).unwrap();
        symlink("../../../etc", root.path().join("escape")).unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        let at = |path: &str, kind| resolve(root.path(), Path::new(path), kind);
        assert_eq!(
            at("/var/run/secrets", Kind::Directory).unwrap(),
            root.path().join("run/secrets")
        );
        assert_eq!(
            at("/escape/passwd", Kind::File).unwrap(),
            root.path().join("etc/passwd")
        );
        assert!(root.path().join("etc/passwd").is_file());
        assert_eq!(
            at("../../x", Kind::Directory).unwrap(),
            root.path().join("x")
        );
        assert!(at("/loop", Kind::Directory).is_err());
    }
}
