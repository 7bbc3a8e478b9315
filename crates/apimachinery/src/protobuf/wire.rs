//! The protobuf wire format.

use super::DecodeError;

/// The value of a field as the wire has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payload<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    /// 32 bits; no message here uses them.
    Fixed32,
}

/// Reads the fields of one message.
pub(super) struct Reader<'b, 'p> {
    rest: &'b [u8],
    path: &'p str,
}

impl<'b, 'p> Reader<'b, 'p> {
    pub(super) fn new(bytes: &'b [u8], path: &'p str) -> Self {
        Self { rest: bytes, path }
    }

    /// The next field; `None` at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Payload<'b>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number =
            u32::try_from(tag >> 3).map_err(|_| self.error("a field number is too large"))?;
        let payload = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                let bits = bytes
                    .iter()
                    .rev()
                    .fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
                Payload::Fixed64(bits)
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length)
                    .map_err(|_| self.error("a length is beyond the body"))?;
                Payload::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Payload::Fixed32
            }
            _ => return Err(self.error("a field has an unknown wire type")),
        };
        Ok(Some((number, payload)))
    }

    /// The next number of a packed list; `None` at the end.
    pub(super) fn packed(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.rest.is_empty() {
            Ok(None)
        } else {
            self.varint().map(Some)
        }
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { break };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("a number is too long"))
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error("the bytes end early")),
        }
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed {
            at: self.path.to_owned(),
            what,
        }
    }
}
