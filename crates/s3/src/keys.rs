//! The one pair of keys of a folder: made at random once, and readable by its owner alone.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

/// The file.
const FILE: &str = "keys.json";

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// Who asks: `AWS_ACCESS_KEY_ID`.
    pub id: String,
    /// The secret: `AWS_SECRET_ACCESS_KEY`.
    pub secret: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl KeyPair {
    /// The pair of a folder, which is made if there is none.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let told = |error: &dyn fmt::Display| format!("{FILE}: {error}");
        match std::fs::read(&path) {
            Ok(bytes) => return serde_json::from_slice(&bytes).map_err(|error| told(&error)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(told(&error)),
        }
        let pair = Self::random().ok_or_else(|| told(&"this machine has no random numbers"))?;
        let text = serde_json::to_vec(&pair).map_err(|error| told(&error))?;
        // Whole or not at all: half a pair would be there for good.
        let partial = path.with_extension("partial");
        let written = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&partial)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&partial, &path)?;
            File::open(folder)?.sync_all()
        };
        written().map_err(|error| told(&error))?;
        Ok(pair)
    }

    /// As long as those of Amazon, which some clients check.
    fn random() -> Option<Self> {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut bytes = [0; 16 + 30];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let (id, secret) = bytes.split_at(16);
        let letters = id
            .iter()
            .map(|it| char::from(LETTERS[usize::from(it % 32)]));
        Some(Self {
            id: "AKIA".chars().chain(letters).collect(),
            secret: URL_SAFE_NO_PAD.encode(secret),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_has_one_pair_that_only_its_owner_reads_and_nobody_sees() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::of_folder(folder.path()).unwrap();
        assert_eq!((pair.id.len(), pair.secret.len()), (20, 40));
        assert_eq!(KeyPair::of_folder(folder.path()).unwrap(), pair);
        let mode = folder.path().join(FILE).metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert!(!format!("{pair:?}").contains(&pair.secret));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(KeyPair::of_folder(other.path()).unwrap(), pair);
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        let told = KeyPair::of_folder(folder.path()).unwrap_err();
        assert!(told.starts_with("keys.json: "), "{told}");
    }
}
