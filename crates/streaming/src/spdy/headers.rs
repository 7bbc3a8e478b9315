//! Header blocks and their compression.
//!
//! One zlib stream per direction runs through all header blocks of a connection, flushed after
//! each. Clients compress against the [`dictionary`](super::dictionary); the inflater has no call
//! for preset dictionaries, so it is fed the dictionary as a stored block first. What the server
//! sends are replies without headers, so it writes stored blocks and compresses nothing.

use bytes::{Buf, BufMut};
use flate2::{Decompress, FlushDecompress};

use super::dictionary::{CHECKSUM, DICTIONARY};
use super::frame::SpdyError;

/// Names and values; several values of one name are joined by NUL.
pub(super) type Headers = Vec<(String, String)>;

/// The largest header block that is inflated.
const LIMIT: usize = 64 * 1024;
/// Deflate with a 32 KiB window, no dictionary (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
const PRESET_DICTIONARY: u8 = 0x20;

/// Writes header blocks.
#[derive(Default)]
pub(super) struct Writer {
    started: bool,
}

impl Writer {
    pub(super) fn encode(&mut self, headers: &Headers) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.put_u32(headers.len() as u32);
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(text.len() as u32);
            plain.put_slice(text.as_bytes());
        }
        let mut block = Vec::new();
        if !std::mem::replace(&mut self.started, true) {
            block.put_slice(&ZLIB_HEADER);
        }
        for piece in plain.chunks(usize::from(u16::MAX)) {
            put_stored(&mut block, piece);
        }
        // The empty block is the flush: inflaters hand out what they have when they meet it.
        put_stored(&mut block, &[]);
        block
    }
}

/// A deflate block that is not compressed and not the last one (RFC 1951, section 3.2.4).
fn put_stored(block: &mut Vec<u8>, piece: &[u8]) {
    let length = piece.len() as u16;
    block.put_u8(0);
    block.put_u16_le(length);
    block.put_u16_le(!length);
    block.put_slice(piece);
}

/// Reads header blocks.
pub(super) struct Inflater {
    raw: Decompress,
    started: bool,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            raw: Decompress::new(false),
            started: false,
        }
    }

    pub(super) fn decode(&mut self, mut block: &[u8]) -> Result<Headers, SpdyError> {
        if !std::mem::replace(&mut self.started, true) {
            self.start(&mut block)?;
        }
        parse(&self.inflate(block)?)
    }

    /// Reads the zlib header, and primes the window if the stream counts on the dictionary.
    fn start(&mut self, block: &mut &[u8]) -> Result<(), SpdyError> {
        let header = block.try_get_u16().map_err(|_| SpdyError::Headers)?;
        let [method, flags] = header.to_be_bytes();
        if method & 0x0f != 8 || header % 31 != 0 {
            return Err(SpdyError::Headers);
        }
        if flags & PRESET_DICTIONARY == 0 {
            return Ok(());
        }
        if block.try_get_u32().map_err(|_| SpdyError::Headers)? != CHECKSUM {
            return Err(SpdyError::Headers);
        }
        let mut stored = Vec::new();
        put_stored(&mut stored, &DICTIONARY);
        self.inflate(&stored)?;
        Ok(())
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let mut plain = Vec::new();
        loop {
            if plain.len() >= LIMIT {
                return Err(SpdyError::HeadersTooLarge);
            }
            plain.reserve(4096);
            let (read, written) = (self.raw.total_in(), plain.len());
            self.raw
                .decompress_vec(block, &mut plain, FlushDecompress::Sync)
                .map_err(|_| SpdyError::Headers)?;
            let read = (self.raw.total_in() - read) as usize;
            block = &block[read..];
            // Output can stay behind in the window after the last input byte has been taken, so
            // only a call without any progress is the end.
            if read == 0 && plain.len() == written {
                break;
            }
        }
        if block.is_empty() {
            Ok(plain)
        } else {
            Err(SpdyError::Headers)
        }
    }
}

fn parse(mut plain: &[u8]) -> Result<Headers, SpdyError> {
    let count = plain.try_get_u32().map_err(|_| SpdyError::Headers)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = text(&mut plain)?.to_ascii_lowercase();
        headers.push((name, text(&mut plain)?));
    }
    if plain.is_empty() {
        Ok(headers)
    } else {
        Err(SpdyError::Headers)
    }
}

fn text(plain: &mut &[u8]) -> Result<String, SpdyError> {
    let length = plain.try_get_u32().map_err(|_| SpdyError::Headers)? as usize;
    let (text, rest) = plain.split_at_checked(length).ok_or(SpdyError::Headers)?;
    *plain = rest;
    String::from_utf8(text.to_vec()).map_err(|_| SpdyError::Headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_of_one_connection_read_back_in_order(
            blocks in proptest::collection::vec(
                proptest::collection::vec(("[a-z-]{1,20}", "[ -~\u{0}]{0,80}"), 0..12),
                1..6,
            ),
        ) {
            let mut writer = Writer::default();
            let mut inflater = Inflater::new();
            for headers in blocks {
                let block = writer.encode(&headers);
                prop_assert_eq!(inflater.decode(&block).unwrap(), headers);
            }
        }

        #[test]
        fn long_values_read_back(bytes in proptest::collection::vec(b' '..b'~', 30_000..60_000)) {
            let headers = vec![("long".to_owned(), String::from_utf8(bytes).unwrap())];
            let block = Writer::default().encode(&headers);
            let read = Inflater::new().decode(&block);
            prop_assert!(read.as_ref().is_ok_and(|read| *read == headers), "{:?}", read.err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut inflater = Inflater::new();
            let _ = inflater.decode(&bytes);
            let _ = parse(&bytes);
        }
    }

    /// Written by zlib with this dictionary (`zlib.compressobj(zdict=...)`, sync flush).
    const FROM_ZLIB: &str =
        "78bbe3c6a7c202e50e703a2b294a4dcc851625aca9a080c652c670c2bd0a000000ffff";

    #[test]
    fn blocks_of_zlib_itself_are_read() {
        let bytes: Vec<u8> = (0..FROM_ZLIB.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&FROM_ZLIB[at..at + 2], 16).unwrap())
            .collect();
        let headers = Inflater::new().decode(&bytes).unwrap();
        assert_eq!(
            headers,
            vec![
                ("streamtype".to_owned(), "error".to_owned()),
                ("content-type".to_owned(), "text/html".to_owned()),
            ]
        );
    }

    #[test]
    fn a_block_that_inflates_without_end_is_refused() {
        let mut writer = Writer::default();
        let bomb = vec![("a".to_owned(), "x".repeat(2 * LIMIT))];
        let block = writer.encode(&bomb);
        assert!(matches!(
            Inflater::new().decode(&block),
            Err(SpdyError::HeadersTooLarge)
        ));
    }

    #[test]
    fn a_stream_that_names_another_dictionary_is_refused() {
        let foreign = [0x78, 0xbb, 1, 2, 3, 4, 0];
        assert!(Inflater::new().decode(&foreign).is_err());
    }
}
