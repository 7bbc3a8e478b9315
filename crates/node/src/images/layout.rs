//! Images in a directory of the OCI image layout, as `skopeo copy docker://IMAGE oci:/path:tag`,
//! `buildah push` and BuildKit write them.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use oci_client::client::current_platform_resolver;
use oci_client::manifest::{ImageIndexEntry, OciImageIndex, OciImageManifest};
use sha2::{Digest as _, Sha256};

use super::hex;

/// The annotation of an index entry that holds its tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// How deep an index may lead to others.
const MAX_DEPTH: usize = 4;

/// One image of a layout.
#[derive(Debug)]
pub(super) struct Found {
    /// The digest of the image's manifest.
    pub(super) digest: String,
    /// The image's configuration, as JSON.
    pub(super) config: Vec<u8>,
    /// The files of its layers, lowest first.
    pub(super) layers: Vec<PathBuf>,
}

/// Finds the image with the tag, or the only one, for this machine's platform.
pub(super) fn find(layout: &Path, tag: Option<&str>) -> Result<Found, String> {
    let path = layout.join("index.json");
    let bytes = std::fs::read(&path).map_err(|error| {
        format!(
            "{}: {error}; an OCI layout is a directory with an index.json",
            path.display()
        )
    })?;
    let mut index: OciImageIndex = parse(&path, &bytes)?;
    if let Some(tag) = tag {
        let tags = tags(&index);
        index.manifests.retain(|entry| tag_of(entry) == Some(tag));
        if index.manifests.is_empty() {
            return Err(format!("it has no tag {tag}; its tags are: {tags}"));
        }
    }
    for _ in 0..MAX_DEPTH {
        let digest = choose(&index.manifests)?;
        let (path, bytes) = blob(layout, &digest)?;
        if let Ok(manifest) = serde_json::from_slice::<OciImageManifest>(&bytes) {
            let (_, config) = blob(layout, &manifest.config.digest)?;
            let layers = manifest.layers.iter();
            let layers = layers.map(|layer| blob_path(layout, &layer.digest));
            return Ok(Found {
                digest,
                config,
                layers: layers.collect::<Result<_, _>>()?,
            });
        }
        index = parse(&path, &bytes)?;
    }
    Err("its index leads from index to index".to_owned())
}

fn choose(entries: &[ImageIndexEntry]) -> Result<String, String> {
    match entries {
        [] => Err("it holds no image".to_owned()),
        [one] => Ok(one.digest.clone()),
        several if several.iter().all(|entry| entry.platform.is_none()) => {
            Err("it holds several images: name one as oci:/path:tag".to_owned())
        }
        several => current_platform_resolver(several)
            .ok_or_else(|| "it holds no image for this machine's platform".to_owned()),
    }
}

fn tag_of(entry: &ImageIndexEntry) -> Option<&str> {
    let annotations = entry.annotations.as_ref()?;
    annotations.get(REF_NAME).map(String::as_str)
}

fn tags(index: &OciImageIndex) -> String {
    let tags: Vec<&str> = index.manifests.iter().filter_map(tag_of).collect();
    if tags.is_empty() {
        "none".to_owned()
    } else {
        tags.join(", ")
    }
}

/// The place of a blob; a digest that could lead elsewhere is refused.
fn blob_path(layout: &Path, digest: &str) -> Result<PathBuf, String> {
    match digest.split_once(':') {
        Some(("sha256", hex))
            if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            Ok(layout.join("blobs/sha256").join(hex))
        }
        _ => Err(format!("its digest {digest:?} is no sha256")),
    }
}

fn blob(layout: &Path, digest: &str) -> Result<(PathBuf, Vec<u8>), String> {
    let path = blob_path(layout, digest)?;
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((path, bytes))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Opens a blob whose contents are what its name says.
pub(super) fn open(blob: &Path) -> io::Result<BufReader<File>> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(blob)?, &mut hasher)?;
    let digest = hex(&hasher.finalize());
    if blob.file_name().and_then(|name| name.to_str()) != Some(&digest) {
        let what = format!("{} is damaged: its sha256 is {digest}", blob.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(BufReader::new(File::open(blob)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Layout(tempfile::TempDir);

    impl Layout {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
            Self(folder)
        }

        fn blob(&self, bytes: &[u8]) -> String {
            let hex = hex(&Sha256::digest(bytes));
            std::fs::write(self.0.path().join("blobs/sha256").join(&hex), bytes).unwrap();
            format!("sha256:{hex}")
        }

        fn descriptor(&self, value: &Value, kind: &str) -> Value {
            let text = value.to_string();
            let media_type = format!("application/vnd.oci.image.{kind}.v1+json");
            json!({"mediaType": media_type, "digest": self.blob(text.as_bytes()), "size": text.len()})
        }

        /// An image with one layer, as an entry of an index.
        fn image(&self, name: &str) -> Value {
            let config = self.descriptor(&json!({"config": {"Cmd": [name]}}), "config");
            let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": self.blob(name.as_bytes()), "size": name.len()});
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
            self.descriptor(&manifest, "manifest")
        }

        /// Which image is found.
        fn find(&self, index: &Value, tag: Option<&str>) -> Result<String, String> {
            std::fs::write(self.0.path().join("index.json"), index.to_string()).unwrap();
            let found = find(self.0.path(), tag)?;
            let mut name = String::new();
            for layer in found.layers {
                io::Read::read_to_string(&mut open(&layer).unwrap(), &mut name).unwrap();
            }
            Ok(name)
        }
    }

    fn index(entries: &[Value]) -> Value {
        json!({"schemaVersion": 2, "manifests": entries})
    }

    fn tagged(mut entry: Value, tag: &str) -> Value {
        entry["annotations"] = json!({REF_NAME: tag});
        entry
    }

    fn built_for(mut entry: Value, architecture: &str) -> Value {
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    }

    #[test]
    fn the_image_of_a_tag_or_of_this_platform_is_found() {
        let layout = Layout::new();
        let (one, two) = (layout.image("one"), layout.image("two"));
        let only = index(std::slice::from_ref(&one));
        assert_eq!(layout.find(&only, None).unwrap(), "one");
        let several = index(&[tagged(one.clone(), "v1"), tagged(two.clone(), "v2")]);
        assert_eq!(layout.find(&several, Some("v2")).unwrap(), "two");
        let here = if cfg!(target_arch = "x86_64") {
            "amd64"
        } else {
            "arm64"
        };
        let inner = index(&[built_for(one.clone(), "s390x"), built_for(two, here)]);
        let nested = index(&[tagged(layout.descriptor(&inner, "index"), "v3")]);
        assert_eq!(layout.find(&nested, Some("v3")).unwrap(), "two");

        for (document, tag, says) in [
            (&several, Some("v9"), "its tags are: v1, v2"),
            (&several, None, "name one as oci:/path:tag"),
            (&index(&[]), None, "no image"),
            (
                &index(&[
                    built_for(one.clone(), "s390x"),
                    built_for(one.clone(), "ppc64le"),
                ]),
                None,
                "this machine's platform",
            ),
            (
                &index(&[json!({"mediaType": "x", "size": 1, "digest": "sha256:../../x"})]),
                None,
                "is no sha256",
            ),
        ] {
            let error = layout.find(document, tag).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_damaged_blob_is_named() {
        let layout = Layout::new();
        let digest = layout.blob(b"whole");
        let path = blob_path(layout.0.path(), &digest).unwrap();
        std::fs::write(&path, "half").unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
        let error = find(Path::new("/nowhere"), None).unwrap_err();
        assert!(error.contains("index.json"), "{error}");
    }
}
