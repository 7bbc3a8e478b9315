//! Bytes that go out: read from their files as they are taken.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, SeekFrom};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use s3s::dto::StreamingBlob;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::blobs::{Held, Shelf};
use crate::rows::Piece;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// What is left to be sent.
struct Sending {
    pieces: VecDeque<Piece>,
    open: Option<(File, u64)>,
    shelf: Arc<Shelf>,
    _held: Held,
}

/// The bytes of these pieces, whose files stay until they were sent.
pub(super) fn send(pieces: Vec<Piece>, shelf: Arc<Shelf>, held: Held) -> StreamingBlob {
    let sending = Sending {
        pieces: pieces.into(),
        open: None,
        shelf,
        _held: held,
    };
    StreamingBlob::wrap(stream::try_unfold(sending, next))
}

async fn next(mut sending: Sending) -> Result<Option<(Bytes, Sending)>, Error> {
    let (mut file, left) = match sending.open.take() {
        Some(open) => open,
        None => {
            let Some(piece) = sending.pieces.pop_front() else {
                return Ok(None);
            };
            let mut file = File::open(sending.shelf.path(&piece.blob)).await?;
            file.set_max_buf_size(BUFFER);
            if piece.from > 0 {
                file.seek(SeekFrom::Start(piece.from)).await?;
            }
            (file, piece.size)
        }
    };
    let wanted = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
    let mut bytes = BytesMut::zeroed(wanted);
    let read = file.read(&mut bytes).await?;
    if read == 0 {
        // The connection is broken off, so nobody takes half an object for one.
        let text = "a file is shorter than what is to be sent of it";
        return Err(Error::new(ErrorKind::UnexpectedEof, text));
    }
    bytes.truncate(read);
    let left = left - read as u64;
    if left > 0 {
        sending.open = Some((file, left));
    }
    Ok(Some((bytes.freeze(), sending)))
}
