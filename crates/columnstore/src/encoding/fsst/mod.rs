//! Strings as codes of frequent pieces of text: FSST (Boncz, Neumann, Leis, "FSST: Fast Random Access
//! String Compression", VLDB 2020) with codes of 12 bits and symbols of up to 16 bytes.
//!
//! A column of a segment has one *symbol table* of at most 4,096 *symbols*, strings of 1 to 16 bytes. The
//! code of a symbol is its place in the table. Codes 0 to 255 stand for the single bytes, so that every
//! string has a form and there are no escapes; the others are what [`train()`] found to pay. A string is
//! written from its start to its end, each time with the longest symbol that fits: a string has one form,
//! and two strings of a column are equal exactly if their codes are. Single strings are decoded without
//! their neighbours.
//!
//! The table's block holds the symbols from code 256 on, in the order of their codes:
//!
//! | section | bytes |
//! |---|---|
//! | lengths, 2 to 16 | 1 a symbol, padded |
//! | symbols, zeros behind; none ends in a zero byte itself | 16 a symbol |
//!
//! Blocks of strings are described in [`block`].

pub mod block;
mod encoder;
#[cfg(test)]
mod tests;
mod train;

pub use block::FsstBlock;
pub use encoder::Encoder;
pub use train::train;

use super::{Malformed, aligned, pad};
use arrow::buffer::Buffer;

const CODE_BITS: usize = 12;
/// Codes that there are.
pub const CODES: usize = 1 << CODE_BITS;
/// The codes before this stand for single bytes.
pub const BYTES: usize = 256;
/// The greatest length of a symbol.
pub const SYMBOL: usize = 16;
/// Codes that a 64-bit word holds wherever the first of them begins in its byte.
const WORD_CODES: usize = 5;

/// A symbol that is not a single byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol {
    /// Least significant byte first, zeros behind.
    pub text: u128,
    pub length: u8,
}

impl Symbol {
    /// Of 1 to 16 bytes.
    fn new(bytes: &[u8]) -> Symbol {
        let mut text = [0; SYMBOL];
        text[..bytes.len()].copy_from_slice(bytes);
        Symbol { text: u128::from_le_bytes(text), length: bytes.len() as u8 }
    }

    fn of_byte(byte: u8) -> Symbol {
        Symbol { text: byte.into(), length: 1 }
    }

    /// Both, one behind the other, if that is not too long.
    fn then(self, next: Symbol) -> Option<Symbol> {
        let length = self.length + next.length;
        if usize::from(length) > SYMBOL {
            return None;
        }
        Some(Symbol { text: self.text | next.text << (8 * self.length), length })
    }

    fn ends_in_zero(&self) -> bool {
        self.bytes()[usize::from(self.length) - 1] == 0
    }

    fn bytes(&self) -> [u8; SYMBOL] {
        self.text.to_le_bytes()
    }
}

/// The code of a packed sequence of codes; `packed` has [`block::PADDING`] bytes behind the last.
#[inline(always)]
fn word_at(packed: &[u8], code: usize) -> u64 {
    let bit = code * CODE_BITS;
    let at = bit / 8;
    // Invariant: the slice has eight bytes.
    let word = u64::from_le_bytes(packed[at..at + 8].try_into().expect("eight bytes"));
    word >> (bit % 8)
}

#[inline(always)]
fn first_code(word: u64) -> usize {
    word as usize & (CODES - 1)
}

/// Appends the table's block to `out`, whose length is a multiple of [`super::ALIGN`].
pub fn encode_table(symbols: &[Symbol], out: &mut Vec<u8>) {
    out.extend(symbols.iter().map(|symbol| symbol.length));
    pad(out);
    symbols.iter().for_each(|symbol| out.extend_from_slice(&symbol.bytes()));
}

/// A symbol table, loaded and validated.
pub struct SymbolTable {
    /// Of all codes; those that stand for nothing are empty.
    symbols: Box<[[u8; SYMBOL]; CODES]>,
    lengths: Box<[u8; CODES]>,
    /// What a code's symbol may not be: [`NO_SYMBOL`], [`NO_ASCII`].
    flaws: Box<[u8; CODES]>,
    count: usize,
    /// What it was loaded from.
    _block: Option<Buffer>,
}

/// The code stands for nothing.
const NO_SYMBOL: u8 = 1;
/// The symbol has bytes above 127.
const NO_ASCII: u8 = 2;

impl std::fmt::Debug for SymbolTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SymbolTable of {} symbols", self.count)
    }
}

impl SymbolTable {
    /// Bytes that a table takes in memory besides its block.
    pub const EXTRA_BYTES: usize = CODES * (SYMBOL + 2);

    /// Of the symbols from code 256 on.
    pub fn of(symbols: &[Symbol]) -> SymbolTable {
        let mut table = SymbolTable {
            symbols: Box::new([[0; SYMBOL]; CODES]),
            lengths: Box::new([0; CODES]),
            flaws: Box::new([NO_SYMBOL; CODES]),
            count: symbols.len(),
            _block: None,
        };
        let single = (0..=u8::MAX).map(Symbol::of_byte);
        for (code, symbol) in single.chain(symbols.iter().copied()).enumerate().take(CODES) {
            table.symbols[code] = symbol.bytes();
            table.lengths[code] = symbol.length;
            table.flaws[code] = if symbol.bytes().is_ascii() { 0 } else { NO_ASCII };
        }
        table
    }

    /// Checks the block's length and the symbols' lengths.
    pub fn new(count: usize, block: &Buffer) -> Result<SymbolTable, Malformed> {
        let symbols_at = aligned(count.min(CODES));
        if count > CODES - BYTES || block.len() != symbols_at + count * SYMBOL {
            return Err(Malformed::new(block.len(), "length of a table of symbols"));
        }
        let mut symbols = Vec::with_capacity(count);
        for (i, text) in block[symbols_at..].chunks_exact(SYMBOL).enumerate() {
            let length = usize::from(block[i]);
            if !(2..=SYMBOL).contains(&length)
                || text[length - 1] == 0
                || text[length..].iter().any(|byte| *byte != 0)
            {
                return Err(Malformed::new(i, "a symbol's length is wrong"));
            }
            symbols.push(Symbol::new(&text[..length]));
        }
        Ok(SymbolTable { _block: Some(block.clone()), ..SymbolTable::of(&symbols) })
    }

    /// The codes of a string: what the writer made of an equal one.
    pub fn codes(&self, mut string: &[u8]) -> Vec<u16> {
        let mut codes = Vec::new();
        while let Some(first) = string.first() {
            let (mut best, mut length) = (usize::from(*first), 1);
            for code in BYTES..BYTES + self.count {
                let symbol = &self.symbols[code][..usize::from(self.lengths[code])];
                if symbol.len() > length && string.starts_with(symbol) {
                    (best, length) = (code, symbol.len());
                }
            }
            codes.push(best as u16);
            string = &string[length..];
        }
        codes
    }

    /// Appends what codes `from..to` of a packed sequence stand for.
    #[inline]
    fn decode(&self, packed: &[u8], from: usize, to: usize, out: &mut Vec<u8>) {
        out.reserve((to - from).next_multiple_of(WORD_CODES) * SYMBOL);
        let mut length = out.len();
        let mut at = from;
        while at < to {
            let mut word = word_at(packed, at);
            // All codes of the word are copied, which is quicker than to end in the middle; those behind the
            // last one do not count.
            let count = to - at;
            for i in 0..WORD_CODES {
                let code = first_code(word);
                word >>= CODE_BITS;
                // SAFETY: what is reserved above has room for 16 bytes a code, up to a multiple of five codes, and
                // a symbol's length is at most 16.
                unsafe {
                    let to = out.as_mut_ptr().add(length);
                    std::ptr::copy_nonoverlapping(self.symbols[code].as_ptr(), to, SYMBOL);
                }
                length += if i < count { usize::from(self.lengths[code]) } else { 0 };
            }
            at += WORD_CODES;
        }
        // SAFETY: the bytes up to here were written above, and are within the capacity.
        unsafe { out.set_len(length) }
    }

    /// Of codes `from..to` of a packed sequence, all flaws of any of them.
    fn flaws(&self, packed: &[u8], from: usize, to: usize) -> u8 {
        (from..to).fold(0, |flaws, at| flaws | self.flaws[first_code(word_at(packed, at))])
    }
}
