//! Secret texts of roles, as they are stored: hex(nonce, ciphertext, tag) of AES in Galois/counter mode,
//! as KubeDirector writes them.

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use windlass_api::director::Hidden;

/// How many bytes a key has that is made here.
const FRESH_KEY_LEN: usize = 32;

/// Why a text cannot be encrypted, or read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// There is none.
    #[error("the KubeDirectorConfig has no masterEncryptionKey")]
    NoKey,
    /// It is something else.
    #[error("the masterEncryptionKey is no text of hex digits")]
    KeyNotHex,
    /// KubeDirector also knows 24 bytes.
    #[error("the masterEncryptionKey has neither 16 nor 32 bytes")]
    KeyLength,
    /// It cannot be used.
    #[error("the masterEncryptionKey cannot be used")]
    Key,
    /// No random bytes are to be had.
    #[error("there are no random bytes")]
    NoRandom,
    /// What is stored is something else.
    #[error("encryptedValue is no text of hex digits")]
    NotHex,
    /// Something is missing of what is stored.
    #[error("encryptedValue is too short")]
    TooShort,
    /// It is not what was stored.
    #[error("it was encrypted with another key, or changed")]
    OtherKey,
    /// Bytes were encrypted.
    #[error("it is no text")]
    NoText,
}

/// A new key for a configuration that has none.
///
/// # Errors
/// When there are no random bytes.
pub fn fresh_key() -> Result<Hidden, KeyError> {
    let key: [u8; FRESH_KEY_LEN] = random()?;
    Ok(Hidden::new(hex(&key)))
}

/// A text as it is stored; another one each time.
///
/// # Errors
/// When there is no key that can be used.
pub fn encrypt(key: Option<&Hidden>, text: &Hidden) -> Result<String, KeyError> {
    let key = usable(key)?;
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut sealed = text.expose().as_bytes().to_vec();
    let unique = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(unique, Aad::empty(), &mut sealed)
        .map_err(|_| KeyError::Key)?;
    Ok(hex(&nonce) + &hex(&sealed))
}

/// The text of what is stored.
///
/// # Errors
/// When there is no key, or another one, or the text was not stored like this.
pub fn decrypt(key: Option<&Hidden>, text: &str) -> Result<Hidden, KeyError> {
    let key = usable(key)?;
    let mut sealed = unhex(text).ok_or(KeyError::NotHex)?;
    let (nonce, sealed) = sealed
        .split_at_mut_checked(NONCE_LEN)
        .ok_or(KeyError::TooShort)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::TooShort)?;
    let opened = key
        .open_in_place(nonce, Aad::empty(), sealed)
        .map_err(|_| KeyError::OtherKey)?;
    let text = std::str::from_utf8(opened).map_err(|_| KeyError::NoText)?;
    Ok(Hidden::new(text))
}

fn usable(key: Option<&Hidden>) -> Result<LessSafeKey, KeyError> {
    let key = key.ok_or(KeyError::NoKey)?;
    let key = unhex(key.expose()).ok_or(KeyError::KeyNotHex)?;
    let algorithm: &Algorithm = match key.len() {
        16 => &AES_128_GCM,
        32 => &AES_256_GCM,
        _ => return Err(KeyError::KeyLength),
    };
    let key = UnboundKey::new(algorithm, &key).map_err(|_| KeyError::Key)?;
    Ok(LessSafeKey::new(key))
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| KeyError::NoRandom)
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits.filter(|it| it.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encrypted_is_read_again_with_this_key_alone() {
        let fresh = fresh_key().unwrap();
        let short = Hidden::new("000102030405060708090a0b0c0d0e0f");
        for key in [&fresh, &short] {
            for text in ["", "hunter2", "Gr\u{fc}\u{df}e"] {
                let text = Hidden::new(text);
                let stored = encrypt(Some(key), &text).unwrap();
                assert_ne!(stored, encrypt(Some(key), &text).unwrap());
                assert_eq!(decrypt(Some(key), &stored).unwrap(), text);
                let other = fresh_key().unwrap();
                let read = decrypt(Some(&other), &stored);
                assert_eq!(read, Err(KeyError::OtherKey));
                assert_eq!(decrypt(None, &stored), Err(KeyError::NoKey));
                let cut = stored.get(..stored.len() - 2).unwrap();
                assert_eq!(decrypt(Some(key), cut), Err(KeyError::OtherKey));
            }
        }
        assert_eq!(decrypt(Some(&fresh), "00"), Err(KeyError::TooShort));
        assert_eq!(decrypt(Some(&fresh), "zz"), Err(KeyError::NotHex));
        let long = Hidden::new("00".repeat(24));
        let stored = encrypt(Some(&long), &Hidden::new("text"));
        assert_eq!(stored, Err(KeyError::KeyLength));
    }

    #[test]
    fn what_kubedirector_has_encrypted_is_read() {
        // Test case 14 of the specification of the mode.
        let key = Hidden::new("00".repeat(32));
        let stored = "000000000000000000000000\
                      cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
        let read = decrypt(Some(&key), stored).unwrap();
        assert_eq!(read.expose(), "\0".repeat(16));
    }
}
