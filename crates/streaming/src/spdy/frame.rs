//! The frames of SPDY/3 and their bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::headers::{Headers, Inflater, Writer};

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const FLAG_FIN: u8 = 0x01;
const FLAG_UNIDIRECTIONAL: u8 = 0x02;
const FLAG_CLEAR_SETTINGS: u8 = 0x01;
const FRAME_HEADER: usize = 8;
/// The largest control frame that is read. Data frames may use all of their 24 bits of length.
const CONTROL_LIMIT: usize = 64 * 1024;
const STREAM_ID: u32 = 0x7fff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    SynStream {
        id: u32,
        associated: u32,
        priority: u8,
        fin: bool,
        unidirectional: bool,
        headers: Headers,
    },
    SynReply {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    RstStream {
        id: u32,
        status: u32,
    },
    Settings {
        clear: bool,
        entries: Vec<Setting>,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last_good: u32,
        status: u32,
    },
    Headers {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    WindowUpdate {
        id: u32,
        delta: u32,
    },
    Data {
        id: u32,
        fin: bool,
        data: Bytes,
    },
    /// A control frame of a type this version does not define; it is to be ignored.
    Unknown {
        kind: u16,
    },
}

/// One entry of a SETTINGS frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) flags: u8,
    pub(super) id: u32,
    pub(super) value: u32,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpdyError {
    /// The connection itself failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Another version of SPDY.
    #[error("SPDY version {0} is not supported, only 3")]
    Version(u16),
    /// A control frame that is shorter or longer than its type says.
    #[error("control frame of type {0} has a wrong length")]
    Length(u16),
    /// A header block that does not inflate or parse.
    #[error("header block is malformed")]
    Headers,
    /// A header block beyond the limit.
    #[error("header block is too large")]
    HeadersTooLarge,
}

/// Turns bytes into frames and back; it holds the zlib streams of both directions.
pub(super) struct Codec {
    inflater: Inflater,
    writer: Writer,
}

impl Codec {
    pub(super) fn new() -> Self {
        Self {
            inflater: Inflater::new(),
            writer: Writer::default(),
        }
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: Bytes) -> Result<Frame, SpdyError> {
        let wrong = |_| SpdyError::Length(kind);
        let fin = flags & FLAG_FIN != 0;
        let frame = match kind {
            SYN_STREAM => {
                let id = body.try_get_u32().map_err(wrong)? & STREAM_ID;
                let associated = body.try_get_u32().map_err(wrong)? & STREAM_ID;
                let priority = body.try_get_u8().map_err(wrong)? >> 5;
                let _credential_slot = body.try_get_u8().map_err(wrong)?;
                let headers = self.inflater.decode(&body.split_off(0))?;
                Frame::SynStream {
                    id,
                    associated,
                    priority,
                    fin,
                    unidirectional: flags & FLAG_UNIDIRECTIONAL != 0,
                    headers,
                }
            }
            SYN_REPLY | HEADERS => {
                let id = body.try_get_u32().map_err(wrong)? & STREAM_ID;
                let headers = self.inflater.decode(&body.split_off(0))?;
                if kind == SYN_REPLY {
                    Frame::SynReply { id, fin, headers }
                } else {
                    Frame::Headers { id, fin, headers }
                }
            }
            RST_STREAM => Frame::RstStream {
                id: body.try_get_u32().map_err(wrong)? & STREAM_ID,
                status: body.try_get_u32().map_err(wrong)?,
            },
            SETTINGS => {
                let count = body.try_get_u32().map_err(wrong)?;
                let mut entries = Vec::new();
                for _ in 0..count {
                    let word = body.try_get_u32().map_err(wrong)?;
                    entries.push(Setting {
                        flags: (word >> 24) as u8,
                        id: word & 0x00ff_ffff,
                        value: body.try_get_u32().map_err(wrong)?,
                    });
                }
                Frame::Settings {
                    clear: flags & FLAG_CLEAR_SETTINGS != 0,
                    entries,
                }
            }
            PING => Frame::Ping {
                id: body.try_get_u32().map_err(wrong)?,
            },
            GOAWAY => Frame::GoAway {
                last_good: body.try_get_u32().map_err(wrong)? & STREAM_ID,
                status: body.try_get_u32().map_err(wrong)?,
            },
            WINDOW_UPDATE => Frame::WindowUpdate {
                id: body.try_get_u32().map_err(wrong)? & STREAM_ID,
                delta: body.try_get_u32().map_err(wrong)? & STREAM_ID,
            },
            _ => {
                body.clear();
                Frame::Unknown { kind }
            }
        };
        if body.is_empty() {
            Ok(frame)
        } else {
            Err(SpdyError::Length(kind))
        }
    }
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = SpdyError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, SpdyError> {
        let Some(mut header) = bytes.get(..FRAME_HEADER) else {
            return Ok(None);
        };
        let word = header.get_u32();
        let flags = header.get_u8();
        let length = header.get_uint(3) as usize;
        let version_and_bit = (word >> 16) as u16;
        let kind = word as u16;
        let is_control = version_and_bit & CONTROL != 0;
        if is_control {
            let version = version_and_bit & !CONTROL;
            if version != VERSION {
                return Err(SpdyError::Version(version));
            }
            if length > CONTROL_LIMIT {
                return Err(SpdyError::Length(kind));
            }
        }
        if bytes.len() < FRAME_HEADER + length {
            // Large data frames arrive piece by piece; the buffer grows with what has arrived.
            return Ok(None);
        }
        bytes.advance(FRAME_HEADER);
        let body = bytes.split_to(length).freeze();
        if is_control {
            self.control(kind, flags, body).map(Some)
        } else {
            Ok(Some(Frame::Data {
                id: word & STREAM_ID,
                fin: flags & FLAG_FIN != 0,
                data: body,
            }))
        }
    }
}

impl Encoder<Frame> for Codec {
    type Error = SpdyError;

    fn encode(&mut self, frame: Frame, bytes: &mut BytesMut) -> Result<(), SpdyError> {
        let mut body = BytesMut::new();
        let fin_flag = |fin: bool| if fin { FLAG_FIN } else { 0 };
        let (kind, flags) = match frame {
            Frame::SynStream {
                id,
                associated,
                priority,
                fin,
                unidirectional,
                headers,
            } => {
                body.put_u32(id);
                body.put_u32(associated);
                body.put_u8(priority << 5);
                body.put_u8(0);
                body.put_slice(&self.writer.encode(&headers));
                let mut flags = fin_flag(fin);
                if unidirectional {
                    flags |= FLAG_UNIDIRECTIONAL;
                }
                (SYN_STREAM, flags)
            }
            Frame::SynReply { id, fin, headers } => {
                body.put_u32(id);
                body.put_slice(&self.writer.encode(&headers));
                (SYN_REPLY, fin_flag(fin))
            }
            Frame::Headers { id, fin, headers } => {
                body.put_u32(id);
                body.put_slice(&self.writer.encode(&headers));
                (HEADERS, fin_flag(fin))
            }
            Frame::RstStream { id, status } => {
                body.put_u32(id);
                body.put_u32(status);
                (RST_STREAM, 0)
            }
            Frame::Settings { clear, entries } => {
                body.put_u32(entries.len() as u32);
                for entry in entries {
                    body.put_u32(u32::from(entry.flags) << 24 | entry.id);
                    body.put_u32(entry.value);
                }
                (SETTINGS, if clear { FLAG_CLEAR_SETTINGS } else { 0 })
            }
            Frame::Ping { id } => {
                body.put_u32(id);
                (PING, 0)
            }
            Frame::GoAway { last_good, status } => {
                body.put_u32(last_good);
                body.put_u32(status);
                (GOAWAY, 0)
            }
            Frame::WindowUpdate { id, delta } => {
                body.put_u32(id);
                body.put_u32(delta);
                (WINDOW_UPDATE, 0)
            }
            Frame::Unknown { kind } => (kind, 0),
            Frame::Data { id, fin, data } => {
                bytes.reserve(FRAME_HEADER + data.len());
                bytes.put_u32(id);
                bytes.put_u8(fin_flag(fin));
                bytes.put_uint(data.len() as u64, 3);
                bytes.put_slice(&data);
                return Ok(());
            }
        };
        bytes.reserve(FRAME_HEADER + body.len());
        bytes.put_u16(CONTROL | VERSION);
        bytes.put_u16(kind);
        bytes.put_u8(flags);
        bytes.put_uint(body.len() as u64, 3);
        bytes.put_slice(&body);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers() -> impl Strategy<Value = Headers> {
        proptest::collection::vec(("[a-z-]{1,12}", "[ -~]{0,40}"), 0..6)
    }

    fn frames() -> impl Strategy<Value = Frame> {
        let id = 1..=STREAM_ID;
        let setting = (any::<u8>(), 0..0x0100_0000u32, any::<u32>())
            .prop_map(|(flags, id, value)| Setting { flags, id, value });
        prop_oneof![
            (
                id.clone(),
                id.clone(),
                0..8u8,
                any::<bool>(),
                any::<bool>(),
                headers()
            )
                .prop_map(
                    |(id, associated, priority, fin, unidirectional, headers)| Frame::SynStream {
                        id,
                        associated,
                        priority,
                        fin,
                        unidirectional,
                        headers
                    }
                ),
            (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply {
                id,
                fin,
                headers
            }),
            (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Headers {
                id,
                fin,
                headers
            }),
            (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::RstStream { id, status }),
            (any::<bool>(), proptest::collection::vec(setting, 0..4))
                .prop_map(|(clear, entries)| Frame::Settings { clear, entries }),
            any::<u32>().prop_map(|id| Frame::Ping { id }),
            (id.clone(), any::<u32>())
                .prop_map(|(last_good, status)| Frame::GoAway { last_good, status }),
            (id.clone(), id.clone()).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
            (10..u16::MAX).prop_map(|kind| Frame::Unknown { kind }),
            (
                id,
                any::<bool>(),
                proptest::collection::vec(any::<u8>(), 0..300)
            )
                .prop_map(|(id, fin, data)| Frame::Data {
                    id,
                    fin,
                    data: data.into()
                }),
        ]
    }

    proptest! {
        #[test]
        fn frames_read_back_however_the_bytes_are_cut(
            frames in proptest::collection::vec(frames(), 1..8),
            piece in 1..64usize,
        ) {
            let mut writer = Codec::new();
            let mut bytes = BytesMut::new();
            for frame in &frames {
                writer.encode(frame.clone(), &mut bytes).unwrap();
            }
            let mut reader = Codec::new();
            let mut buffer = BytesMut::new();
            let mut read = Vec::new();
            for piece in bytes.chunks(piece) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = reader.decode(&mut buffer).unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut codec = Codec::new();
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = codec.decode(&mut buffer) {}
        }
    }

    #[test]
    fn frames_have_the_bytes_of_the_specification() {
        let mut codec = Codec::new();
        let mut encode = |frame| {
            let mut bytes = BytesMut::new();
            codec.encode(frame, &mut bytes).unwrap();
            bytes.to_vec()
        };
        assert_eq!(
            encode(Frame::Ping { id: 1 }),
            [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]
        );
        assert_eq!(
            encode(Frame::Data {
                id: 5,
                fin: true,
                data: Bytes::from_static(b"hi")
            }),
            [0, 0, 0, 5, 1, 0, 0, 2, b'h', b'i']
        );
        assert_eq!(
            encode(Frame::RstStream { id: 3, status: 5 }),
            [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 5]
        );
    }

    #[test]
    fn other_versions_and_wrong_lengths_end_the_connection() {
        let mut codec = Codec::new();
        let cases: [(&[u8], &str); 3] = [
            (&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], "version 2"),
            (&[0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 1, 9], "type 6"),
            (&[0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 9], "type 4"),
        ];
        for (bytes, reason) in cases {
            let error = codec.decode(&mut BytesMut::from(bytes)).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
