//! Images that were unpacked or pulled, kept on disk.
//!
//! ```text
//! DIR/sha256-HEX/{rootfs/,config.json}   an image, by the digest of its manifest
//! DIR/names/HEX                          which image a name of a registry stood for last
//! DIR/new-XXXX/                          an image on its way
//! ```
//!
//! Laws: an image appears whole or not at all, so a store can be shared by several agents and any
//! of them may be killed; what is there is never changed.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_client::Reference;
use sha2::{Digest as _, Sha256};

use super::credentials::Credentials;
use super::provide::{Image, image_of};
use super::registry::{self, PullError};
use super::{hex, layers, layout};

/// A store of images.
#[derive(Debug, Clone)]
pub(crate) struct ImageStore {
    dir: Arc<PathBuf>,
    /// Two pods with the same image pull it once: pulls take turns.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What was pulled.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) image: Image,
    /// What came over the network, in bytes; `None` when everything was there.
    pub(crate) size: Option<u64>,
}

impl ImageStore {
    /// A store in a directory, which is made when it is first needed.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir: Arc::new(dir),
            turn: Arc::default(),
        }
    }

    /// The image of an OCI layout, unpacked when it is not yet.
    pub(crate) async fn unpack_layout(
        &self,
        path: PathBuf,
        tag: Option<String>,
    ) -> Result<Image, String> {
        let _turn = self.turn.lock().await;
        let store = self.clone();
        let unpacked = tokio::task::spawn_blocking(move || {
            let found = layout::find(&path, tag.as_deref())?;
            if let Some(image) = store.image(&found.digest)? {
                return Ok(image);
            }
            let new = store.new_image().map_err(|error| error.to_string())?;
            for blob in &found.layers {
                layout::open(blob)
                    .and_then(|layer| layers::unpack(layer, &new.rootfs()))
                    .map_err(|error| format!("{}: {error}", blob.display()))?;
            }
            store.keep(new, &found.digest, &found.config)
        });
        unpacked.await.map_err(|error| error.to_string())?
    }

    /// The image a name stood for when it was pulled last, if it is here.
    pub(crate) fn named(&self, name: &Reference) -> Option<Image> {
        let digest = match name.digest() {
            Some(digest) => digest.to_owned(),
            None => fs::read_to_string(self.name_file(name)).ok()?,
        };
        self.image(&digest).ok().flatten()
    }

    /// Asks the registry what the name stands for, and fetches what is not here.
    pub(crate) async fn pull(
        &self,
        name: &Reference,
        credentials: &Credentials,
    ) -> Result<Pulled, PullError> {
        let _turn = self.turn.lock().await;
        let client = registry::client(name);
        let auth = credentials.of(name);
        let manifest = registry::manifest(&client, name, &auth).await?;
        if let Some(image) = self.image(&manifest.digest).map_err(PullError::Store)? {
            self.remember(name, &manifest.digest)?;
            return Ok(Pulled { image, size: None });
        }
        let new = self.new_image()?;
        let mut size = 0;
        for layer in &manifest.layers {
            let blob = new.0.join("layer");
            size += registry::fetch(&client, name, layer, &blob).await?;
            let rootfs = new.rootfs();
            let unpacked = tokio::task::spawn_blocking(move || {
                let file = io::BufReader::new(fs::File::open(&blob)?);
                layers::unpack(file, &rootfs)?;
                fs::remove_file(&blob)
            });
            unpacked.await.map_err(io::Error::other)??;
        }
        let image = self
            .keep(new, &manifest.digest, &manifest.config)
            .map_err(PullError::Store)?;
        self.remember(name, &manifest.digest)?;
        Ok(Pulled {
            image,
            size: Some(size),
        })
    }

    fn remember(&self, name: &Reference, digest: &str) -> io::Result<()> {
        let file = self.name_file(name);
        fs::create_dir_all(self.dir.join("names"))?;
        let new = file.with_extension("new");
        fs::write(&new, digest)?;
        fs::rename(new, file)
    }

    /// Names hold slashes and more, and can be longer than a file's.
    fn name_file(&self, name: &Reference) -> PathBuf {
        let hash = hex(&Sha256::digest(name.whole()));
        self.dir.join("names").join(hash)
    }

    fn place(&self, digest: &str) -> PathBuf {
        self.dir.join(digest.replace([':', '/'], "-"))
    }

    fn image(&self, digest: &str) -> Result<Option<Image>, String> {
        let place = self.place(digest);
        let file = place.join("config.json");
        match fs::read(&file) {
            Ok(config) => image_of(digest, &place.join("rootfs"), &config).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    fn new_image(&self) -> io::Result<NewImage> {
        fs::create_dir_all(&*self.dir)?;
        // Images bring programs with the set-user-id bit; nobody else is to find them here.
        fs::set_permissions(&*self.dir, fs::Permissions::from_mode(0o700))?;
        let mut number = 0;
        loop {
            let path = self
                .dir
                .join(format!("new-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let new = NewImage(path);
                    fs::create_dir(new.rootfs())?;
                    fs::set_permissions(new.rootfs(), fs::Permissions::from_mode(0o755))?;
                    return Ok(new);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn keep(&self, new: NewImage, digest: &str, config: &[u8]) -> Result<Image, String> {
        let place = self.place(digest);
        // An image that cannot be used is not kept.
        image_of(digest, &new.rootfs(), config)?;
        let kept =
            fs::write(new.0.join("config.json"), config).and_then(|()| fs::rename(&new.0, &place));
        match kept {
            Ok(()) => {}
            // Another agent was faster.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(format!("{}: {error}", place.display())),
        }
        image_of(digest, &place.join("rootfs"), config)
    }
}

/// An image on its way; whatever is not kept goes.
struct NewImage(PathBuf);

impl NewImage {
    fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }
}

impl Drop for NewImage {
    fn drop(&mut self) {
        if let Err(error) = crate::poddir::remove_tree(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "a half unpacked image stays behind");
        }
    }
}

/// Removes what interrupted pulls of agents that are gone have left.
pub(crate) fn sweep(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| {
            name.strip_prefix("new-")?
                .split('-')
                .next()?
                .parse::<u32>()
                .ok()
        });
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = crate::poddir::remove_tree(&entry.path());
        }
    }
}
