//! Generates the files that code is the source of: `cargo run -p xtask -- gen`.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("gen") => generate(),
        other => bail!(
            "unknown task {:?}; the only task is gen",
            other.unwrap_or_default()
        ),
    }
}

fn generate() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, text) in windlass_api::crd_files()? {
        write(&root.join("deploy/crds").join(name), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
