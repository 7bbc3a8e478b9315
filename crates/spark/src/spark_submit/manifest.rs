//! The main class a jar names in its manifest.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

const MANIFEST: &[u8] = b"META-INF/MANIFEST.MF";
/// A manifest is a few lines; what claims more is not one.
const MAX_MANIFEST: u64 = 1 << 20;

/// The value of `Main-Class`, if the bytes are a jar that has one.
pub(super) fn main_class(jar: &[u8]) -> Option<String> {
    let text = String::from_utf8(manifest(jar)?).ok()?;
    // A line that starts with a blank continues the one before it.
    let text = text.replace("\r\n", "\n").replace("\n ", "");
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("Main-Class")
            .then(|| value.trim().to_owned())
    })?;
    (!value.is_empty()).then_some(value)
}

/// The manifest's content, found by the central directory of the zip file.
fn manifest(jar: &[u8]) -> Option<Vec<u8>> {
    let end = jar.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let count = u16_at(jar, end + 10)?;
    let mut position = u32_at(jar, end + 16)? as usize;
    for _ in 0..count {
        if jar.get(position..position + 4)? != b"PK\x01\x02" {
            return None;
        }
        let name_len = usize::from(u16_at(jar, position + 28)?);
        let name = jar.get(position + 46..position + 46 + name_len)?;
        if name.eq_ignore_ascii_case(MANIFEST) {
            return content(jar, position);
        }
        let extra = usize::from(u16_at(jar, position + 30)?);
        let comment = usize::from(u16_at(jar, position + 32)?);
        position += 46 + name_len + extra + comment;
    }
    None
}

fn content(jar: &[u8], entry: usize) -> Option<Vec<u8>> {
    let method = u16_at(jar, entry + 10)?;
    let size = u32_at(jar, entry + 20)? as usize;
    let header = u32_at(jar, entry + 42)? as usize;
    let name_len = usize::from(u16_at(jar, header + 26)?);
    let extra = usize::from(u16_at(jar, header + 28)?);
    let start = header + 30 + name_len + extra;
    let data = jar.get(start..start.checked_add(size)?)?;
    match method {
        0 => Some(data.to_vec()),
        8 => {
            let mut content = Vec::new();
            DeflateDecoder::new(data)
                .take(MAX_MANIFEST)
                .read_to_end(&mut content)
                .ok()?;
            Some(content)
        }
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
