//! What has to be so of files for them to be there after a power cut.

use std::{fs::File, path::Path};

/// Makes the name of a file safe: synchronised bytes are of no use when their name is lost. A file
/// system that does not let directories be synchronised has nothing to lose there.
pub(crate) fn keep_name(path: &Path) {
    if let Some(directory) = path.parent().and_then(|path| File::open(path).ok()) {
        let _ = directory.sync_all();
    }
}
