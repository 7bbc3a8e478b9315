//! `windlass app`: writing an application for virtual clusters.
//!
//! An application is a folder: `app.yaml`, a KubeDirectorApp, and `package/`, the files of its setup
//! package with the startscript at their top.

mod plans;
mod probe;
mod standing;
mod trial;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use windlass_api::decode::{DecodeError, decode, is_kind};
use windlass_api::director::{KubeDirectorApp, app};
use windlass_api::field::FieldError;
use windlass_api::parse::{Lines, documents, to_yaml_documents};

use crate::args::{AppCommand, AppFolder, PackageArgs};
use crate::exit::{Exit, Failure};
use crate::manifest;
use crate::output::{out, talk};

/// The most that a ConfigMap may hold, its own fields taken off.
const CONFIG_MAP_MAX: usize = (1 << 20) - 4096;

/// Does what was asked for.
pub async fn app(command: AppCommand) -> Result<Exit, Failure> {
    match command {
        AppCommand::Init(folder) => init(&folder.folder),
        AppCommand::Lint(AppFolder { folder }) => {
            let read = read(&folder)?;
            out(&format!(
                "{}: {} is in order",
                folder.display(),
                read.name()
            ));
            Ok(Exit::Completed)
        }
        AppCommand::Package(args) => package(&args),
        AppCommand::Test(args) => Box::pin(trial::test(args)).await,
    }
}

/// An application that was read, and found in order.
struct Application {
    object: Value,
    /// The other objects of the file.
    others: Vec<Value>,
    /// The archive of its setup package, where it has one.
    archive: Option<Vec<u8>>,
}

impl Application {
    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

fn read(folder: &Path) -> Result<Application, Failure> {
    let file = folder.join("app.yaml");
    let objects = manifest::objects(&file)?;
    let (mut apps, others): (Vec<Value>, Vec<Value>) =
        objects.into_iter().partition(is_kind::<KubeDirectorApp>);
    let at = file.display();
    let object = match (apps.pop(), apps.is_empty()) {
        (Some(object), true) => object,
        (None, _) => {
            return Err(Failure::bad_input(format!(
                "{at}: has no KubeDirectorApp of kubedirector.hpe.com/v1beta1"
            )));
        }
        (Some(_), false) => {
            return Err(Failure::bad_input(format!(
                "{at}: has more than one KubeDirectorApp; give each a folder of its own"
            )));
        }
    };
    let read: KubeDirectorApp = decode(&object).map_err(|error| match error {
        DecodeError::Fields(mistakes) => refused(&file, &mistakes),
        error @ DecodeError::OtherKind { .. } => Failure::bad_input(format!("{at}: {error}")),
    })?;
    let mistakes = app::validate(&read);
    if !mistakes.is_empty() {
        return Err(refused(&file, &mistakes));
    }
    let files = folder.join("package");
    let archive = if files.is_dir() {
        check_startscript(&files.join("startscript"))?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Some(archive(&files, name)?)
    } else {
        None
    };
    Ok(Application {
        object,
        others,
        archive,
    })
}

/// Every mistake with the line that it is at.
fn refused(file: &Path, mistakes: &[FieldError]) -> Failure {
    let text = fs::read_to_string(file).unwrap_or_default();
    let documents = documents(&text).unwrap_or_default();
    let number = documents.iter().position(is_kind::<KubeDirectorApp>);
    let lines = number.zip(Lines::of(&text));
    let line = |mistake: &FieldError| {
        let (number, lines) = lines.as_ref()?;
        lines.line(*number, &mistake.path)
    };
    let at = file.display();
    let told = mistakes.iter().map(|mistake| match line(mistake) {
        Some(line) => format!("{at}:{line}: {mistake}"),
        None => format!("{at}: {mistake}"),
    });
    Failure::bad_input(told.collect::<Vec<_>>().join("\n"))
}

fn check_startscript(script: &Path) -> Result<(), Failure> {
    let at = script.display();
    let text = fs::read(script).map_err(|error| {
        Failure::bad_input(format!(
            "{at}: {error}: a setup package begins with its startscript"
        ))
    })?;
    if !text.starts_with(b"#!") {
        return Err(Failure::bad_input(format!(
            "{at}: must begin with #! and the program that runs it, for example #!/bin/bash"
        )));
    }
    let mode = fs::metadata(script)
        .map_err(Failure::internal)?
        .permissions()
        .mode();
    if mode & 0o100 == 0 {
        talk(&format!(
            "note: {at} may not be executed; members make it executable when they unpack it"
        ));
    }
    Ok(())
}

/// The archive of a folder: the same bytes for the same files, whoever packs them and when.
fn archive(files: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let zipped = GzBuilder::new().write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(zipped);
    let mut entries = Vec::new();
    collect(files, &mut entries)?;
    entries.sort();
    for path in entries {
        let unreadable =
            |error: std::io::Error| Failure::bad_input(format!("{}: {error}", path.display()));
        let inside = path.strip_prefix(files).map_err(Failure::internal)?;
        let text = fs::read(&path).map_err(unreadable)?;
        let mode = fs::metadata(&path)
            .map_err(unreadable)?
            .permissions()
            .mode();
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(if mode & 0o100 == 0 { 0o644 } else { 0o755 });
        header.set_mtime(0);
        let inside = Path::new(name).join(inside);
        archive
            .append_data(&mut header, inside, text.as_slice())
            .map_err(Failure::internal)?;
    }
    let mut zipped = archive.into_inner().map_err(Failure::internal)?;
    zipped.flush().map_err(Failure::internal)?;
    zipped.finish().map_err(Failure::internal)
}

fn collect(folder: &Path, entries: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable =
        |error: std::io::Error| Failure::bad_input(format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            collect(&path, entries)?;
        } else {
            entries.push(path);
        }
    }
    Ok(())
}

/// Prints what to apply, or writes the archive alone.
fn package(args: &PackageArgs) -> Result<Exit, Failure> {
    let read = read(&args.folder)?;
    let Some(archive) = &read.archive else {
        return Err(Failure::bad_input(format!(
            "{}: has no folder package with a startscript; windlass app init shows one",
            args.folder.display()
        )));
    };
    if let Some(file) = &args.output {
        fs::write(file, archive)
            .map_err(|error| Failure::bad_input(format!("{}: {error}", file.display())))?;
        out(&sum(archive));
        return Ok(Exit::Completed);
    }
    let objects = packaged(read, &args.folder)?;
    out(to_yaml_documents(&objects)
        .map_err(Failure::internal)?
        .trim_end());
    Ok(Exit::Completed)
}

/// The SHA-256 of an archive, in hex digits.
fn sum(archive: &[u8]) -> String {
    Sha256::digest(archive)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// What to apply: the application behind its setup package, where it has one, and what else is in its file.
fn packaged(mut read: Application, folder: &Path) -> Result<Vec<Value>, Failure> {
    let Some(archive) = read.archive.take() else {
        let mut objects = vec![read.object];
        objects.append(&mut read.others);
        return Ok(objects);
    };
    let sum = sum(&archive);
    let name = read.name().to_owned();
    let (map, key) = (format!("{name}-setup"), format!("{name}.tgz"));
    let text = STANDARD.encode(&archive);
    if text.len() > CONFIG_MAP_MAX {
        return Err(Failure::bad_input(format!(
            "{}: the setup package has {} bytes, more than a ConfigMap holds: write it to a file with --output, and put it where members fetch it by https",
            folder.display(),
            archive.len()
        )));
    }
    let package = &mut read.object["spec"]["defaultConfigPackage"];
    package["packageURL"] = json!(format!("configmap://{map}/{key}"));
    package["sha256"] = json!(sum);
    let config_map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": map},
        "binaryData": {key: text},
    });
    let mut objects = vec![config_map, read.object];
    objects.append(&mut read.others);
    Ok(objects)
}

/// Writes an application that does little, to begin with.
fn init(folder: &Path) -> Result<Exit, Failure> {
    let file = folder.join("app.yaml");
    if file.exists() {
        return Err(Failure::bad_input(format!(
            "{}: is there already",
            file.display()
        )));
    }
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let package = folder.join("package");
    let unwritable =
        |error: std::io::Error| Failure::bad_input(format!("{}: {error}", folder.display()));
    fs::create_dir_all(&package).map_err(unwritable)?;
    fs::write(&file, include_str!("app/app.yaml").replace("NAME", &name)).map_err(unwritable)?;
    let script = package.join("startscript");
    fs::write(&script, include_str!("app/startscript")).map_err(unwritable)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(unwritable)?;
    out(&format!("{} and {}", file.display(), script.display()));
    Ok(Exit::Completed)
}
