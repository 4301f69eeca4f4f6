//! A place in a message, which never moves past its end.

use super::{Result, damaged};
use bytes::Bytes;

/// See the module.
pub(super) struct Cursor {
    left: Bytes,
    /// Memory that may still be taken for what is decoded.
    room: usize,
}

impl Cursor {
    pub(super) fn new(message: Bytes, room: usize) -> Cursor {
        Cursor { left: message, room }
    }

    /// The next bytes, which share the message's memory.
    pub(super) fn take(&mut self, bytes: usize) -> Result<Bytes> {
        if bytes > self.left.len() {
            return Err(damaged("a message ends too early"));
        }
        Ok(self.left.split_to(bytes))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(&self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn count(&mut self) -> Result<usize> {
        Ok(self.u32()? as usize)
    }

    /// Asks before so much memory is taken: few bytes may stand for many values.
    pub(super) fn room(&mut self, bytes: usize) -> Result<()> {
        self.room = self.room.checked_sub(bytes).ok_or_else(|| damaged("rows are larger than can be"))?;
        Ok(())
    }

    pub(super) fn at_end(&self) -> Result<()> {
        if self.left.is_empty() { Ok(()) } else { Err(damaged("a message is longer than its rows")) }
    }
}
