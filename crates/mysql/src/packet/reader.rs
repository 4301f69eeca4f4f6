//! Reads the fields of one packet's payload. Every read is checked against what is left; nothing
//! panics, whatever the bytes.

use types::{ErrorKind, SqlError};

/// The payload ends before the field does, or a field has a value that it cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed packet")]
pub struct Malformed;

impl From<Malformed> for SqlError {
    fn from(_: Malformed) -> SqlError {
        SqlError::new(ErrorKind::WrongArguments, "Malformed communication packet")
    }
}

type Result<T> = std::result::Result<T, Malformed>;

#[derive(Debug, Clone, Copy)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    pub fn new(payload: &'a [u8]) -> FieldReader<'a> {
        FieldReader { rest: payload }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// All that is left; the reader is empty afterwards.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = tail;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = tail;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u24(&mut self) -> Result<u32> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length-encoded integer.
    pub fn lenenc(&mut self) -> Result<u64> {
        match self.u8()? {
            small @ 0..=250 => Ok(u64::from(small)),
            0xfc => Ok(u64::from(self.u16()?)),
            0xfd => Ok(u64::from(self.u24()?)),
            0xfe => self.u64(),
            // 0xfb is NULL and 0xff an error; neither is a number.
            _ => Err(Malformed),
        }
    }

    /// A length-encoded string.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.lenenc()?).map_err(|_| Malformed)?;
        self.bytes(len)
    }

    /// A string up to its zero byte.
    pub fn null_terminated(&mut self) -> Result<&'a [u8]> {
        let end = self.rest.iter().position(|b| *b == 0).ok_or(Malformed)?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    /// A string up to its zero byte, or to the end of the payload if there is none.
    pub fn null_terminated_or_rest(&mut self) -> &'a [u8] {
        self.null_terminated().unwrap_or_else(|Malformed| self.rest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_short_payloads_refused() {
        let mut r = FieldReader::new(&[1, 2, 0, 0xfc, 0, 1, 0xfd, 1, 0, 0, b'a', b'b', 0, 2, b'x', b'y', 9]);
        assert_eq!(r.u8(), Ok(1));
        assert_eq!(r.u16(), Ok(2));
        assert_eq!(r.lenenc(), Ok(256));
        assert_eq!(r.lenenc(), Ok(1));
        assert_eq!(r.null_terminated(), Ok(&b"ab"[..]));
        assert_eq!(r.lenenc_bytes(), Ok(&b"xy"[..]));
        assert_eq!(r.u32(), Err(Malformed));
        assert_eq!(r.rest(), &[9]);
        assert!(r.is_empty());
        assert_eq!(
            FieldReader::new(&[0xfe, 255, 255, 255, 255, 255, 255, 255, 255]).lenenc_bytes(),
            Err(Malformed)
        );
        assert_eq!(FieldReader::new(&[0xfb]).lenenc(), Err(Malformed));
        assert_eq!(FieldReader::new(b"abc").null_terminated(), Err(Malformed));
        assert_eq!(FieldReader::new(b"abc").null_terminated_or_rest(), b"abc");
    }
}
