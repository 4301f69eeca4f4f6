//! Blocks of strings in codes of a symbol table:
//!
//! | section | bytes |
//! |---|---|
//! | validity bitmap, if the block has NULLs | rows / 8, padded |
//! | numbers of codes, as in [`crate::encoding::spans`]; NULL has 0 | |
//! | the codes, 12 bits each, least significant bit first | codes * 3 / 2 rounded up |
//! | zeros, so that any code can be read with the seven bytes behind it | 8 |

use super::{CODE_BITS, Encoder, NO_ASCII, NO_SYMBOL, SymbolTable, first_code, word_at};
use crate::encoding::bits::{self, Bits};
use crate::encoding::spans::{self, Spans};
use crate::encoding::{ALIGN, BLOCK_ROWS, Malformed, VECTOR, bitmap_bytes, pad};
use arrow::buffer::{BooleanBuffer, Buffer};

/// Bytes behind the codes.
pub const PADDING: usize = 8;

/// Appends a block of `rows` (1 to 65,536) strings, which `get` gives, to `out`, whose length is a
/// multiple of [`ALIGN`]. Returns the width of the numbers of codes, or None if there are too many bytes.
pub fn encode<'a>(
    encoder: &Encoder,
    rows: usize,
    get: impl Fn(usize) -> &'a [u8],
    validity: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Option<u8> {
    debug_assert!(out.len().is_multiple_of(ALIGN) && rows > 0 && rows <= BLOCK_ROWS);
    let mut codes = Vec::new();
    let mut lengths = Vec::with_capacity(rows);
    let mut bytes = 0u64;
    for row in 0..rows {
        let string = get(row);
        bytes += string.len() as u64;
        if bytes >= 1 << 31 {
            return None;
        }
        let before = codes.len();
        encoder.encode(string, &mut codes);
        lengths.push((codes.len() - before) as u32);
    }
    if let Some(bitmap) = validity {
        out.extend_from_slice(bitmap);
        pad(out);
    }
    let width = spans::encode(&lengths, out)?;
    pack(&codes, out);
    Some(width)
}

fn pack(codes: &[u16], out: &mut Vec<u8>) {
    for pair in codes.chunks(2) {
        let both = u32::from(pair[0]) | pair.get(1).map_or(0, |code| u32::from(*code) << CODE_BITS);
        out.extend_from_slice(&both.to_le_bytes()[..if pair.len() == 2 { 3 } else { 2 }]);
    }
    out.resize(out.len() + PADDING, 0);
}

/// A block of strings in codes, loaded and validated for one table.
#[derive(Debug)]
pub struct FsstBlock {
    validity: Option<BooleanBuffer>,
    spans: Spans,
    codes: Buffer,
}

impl FsstBlock {
    /// Checks all lengths and codes and, with `text`, that every value is UTF-8.
    pub fn new(
        rows: usize,
        width: u8,
        nulls: bool,
        text: bool,
        table: &SymbolTable,
        block: &Buffer,
    ) -> Result<FsstBlock, Malformed> {
        let bitmap = if nulls { bitmap_bytes(rows.min(BLOCK_ROWS)) } else { 0 };
        let (spans, codes_at) = Spans::new(rows, width, bitmap, block)?;
        let block = FsstBlock {
            validity: nulls.then(|| BooleanBuffer::new(block.slice_with_length(0, bitmap), 0, rows)),
            spans,
            codes: block.slice(codes_at),
        };
        block.check(text, table).map_err(|what| Malformed::new(bitmap, what))?;
        Ok(block)
    }

    fn check(&self, text: bool, table: &SymbolTable) -> Result<(), &'static str> {
        let count = self.spans.check()?;
        if self.codes.len() != (count * CODE_BITS).div_ceil(8) + PADDING {
            return Err("string offsets do not span the block");
        }
        let flaws = table.flaws(&self.codes, 0, count);
        if flaws & NO_SYMBOL != 0 {
            return Err("a code stands for no symbol");
        }
        if !text || flaws & NO_ASCII == 0 {
            return Ok(());
        }
        let mut decoded = Vec::new();
        let mut offsets = [0; VECTOR + 1];
        for vector in 0..self.spans.vectors() {
            self.spans.offsets(vector, &mut offsets);
            for span in offsets.windows(2) {
                decoded.clear();
                table.decode(&self.codes, span[0] as usize, span[1] as usize, &mut decoded);
                std::str::from_utf8(&decoded).map_err(|_| "text is not UTF-8")?;
            }
        }
        Ok(())
    }

    pub fn validity(&self) -> Option<&BooleanBuffer> {
        self.validity.as_ref()
    }

    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|bitmap| bitmap.value(row))
    }

    /// Appends the bytes of a row, none if it is NULL.
    pub fn append(&self, row: usize, table: &SymbolTable, out: &mut Vec<u8>) {
        let (from, to) = self.spans.range(row);
        table.decode(&self.codes, from, to, out);
    }

    /// Appends the bytes of the first `count` rows of a vector, and where each of them ends in `out`.
    pub fn extend(
        &self,
        vector: usize,
        count: usize,
        table: &SymbolTable,
        out: &mut Vec<u8>,
        ends: &mut Vec<u32>,
    ) {
        let mut offsets = [0; VECTOR + 1];
        self.spans.offsets(vector, &mut offsets);
        for span in offsets[..=count].windows(2) {
            table.decode(&self.codes, span[0] as usize, span[1] as usize, out);
            ends.push(out.len() as u32);
        }
    }

    /// The same of the given rows of a vector.
    pub fn gather(
        &self,
        vector: usize,
        rows: &[u16],
        table: &SymbolTable,
        out: &mut Vec<u8>,
        ends: &mut Vec<u32>,
    ) {
        self.spans.each(vector, rows, |from, to| {
            table.decode(&self.codes, from as usize, to as usize, out);
            ends.push(out.len() as u32);
        });
    }

    /// No string of a vector is longer than this.
    pub fn longest(&self, vector: usize) -> usize {
        let starts = self.spans.starts();
        (starts[vector + 1] - starts[vector]) as usize * super::SYMBOL
    }

    /// Keeps of `bits` the rows of a vector that are not NULL and pass the test. `scratch` is for decoded
    /// strings.
    pub fn filter(
        &self,
        vector: usize,
        table: &SymbolTable,
        scratch: &mut Vec<u8>,
        test: impl Fn(&[u8]) -> bool,
        bits: &mut Bits,
    ) {
        self.retain(vector, bits, |from, to| {
            scratch.clear();
            table.decode(&self.codes, from, to, scratch);
            test(scratch)
        });
    }

    /// Keeps of `bits` the rows of a vector that are not NULL and have (or, if not `equal`, do not have)
    /// these codes.
    pub fn filter_equal(&self, vector: usize, codes: &[u16], equal: bool, bits: &mut Bits) {
        let same = |from: usize| {
            let mut at = from..;
            codes.iter().all(|code| {
                // Invariant: the range has no end.
                let at = at.next().unwrap_or(from);
                first_code(word_at(&self.codes, at)) == usize::from(*code)
            })
        };
        self.retain(vector, bits, |from, to| (to - from == codes.len() && same(from)) == equal);
    }

    fn retain(&self, vector: usize, bits: &mut Bits, mut test: impl FnMut(usize, usize) -> bool) {
        if let Some(validity) = &self.validity {
            bits::and(bits, &bits::load(validity, vector * VECTOR, VECTOR));
        }
        if bits::is_empty(bits) {
            return;
        }
        let mut offsets = [0; VECTOR + 1];
        self.spans.offsets(vector, &mut offsets);
        bits::retain(bits, |row| test(offsets[row] as usize, offsets[row + 1] as usize));
    }
}
