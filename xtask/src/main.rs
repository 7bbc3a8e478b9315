//! Generates the files that code is the source of (`make gen`), and the trimmed
//! API description of Kubernetes: `xtask kubernetes OPENAPI API APIMACHINERY`.

mod kubernetes;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("gen") => generate(),
        Some("kubernetes") => {
            let mut folder = |what| {
                let name = arguments.next().map(PathBuf::from);
                name.with_context(|| format!("missing argument: the folder of {what}"))
            };
            kubernetes::generate(&kubernetes::Folders {
                openapi: folder("kubernetes/api/openapi-spec/v3")?,
                api: folder("the k8s.io/api module")?,
                machinery: folder("the k8s.io/apimachinery module")?,
                output: Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/apimachinery/data"),
            })
        }
        other => bail!(
            "unknown task {:?}; the tasks are gen and kubernetes",
            other.unwrap_or_default()
        ),
    }
}

fn generate() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, text) in windlass_api::crd_files()? {
        write(&root.join("deploy").join(name), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
