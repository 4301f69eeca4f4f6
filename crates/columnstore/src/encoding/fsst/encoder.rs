//! Finding the longest symbol that a string begins with, quickly.
//!
//! A table by a hash of a string's first 8 bytes tells of which lengths from 8 on there may be symbols that
//! begin so, another by its first 3 bytes does for lengths 3 to 7; symbols of these lengths are looked up, from
//! the longest on. Those of 2 bytes are found by these.

use super::{BYTES, CODES, SYMBOL, Symbol};

/// Slots of the table of symbols, of which at most 3,840 are taken, and of those of lengths.
const SLOTS: usize = 2 * CODES;
const HEADS: usize = 4 * CODES;

/// A text's first `length` bytes, at least one.
#[inline(always)]
fn head(text: u128, length: usize) -> u128 {
    text & u128::MAX >> (128 - 8 * length)
}

#[inline(always)]
fn hash(text: u128) -> usize {
    let folded = text as u64 ^ ((text >> 64) as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

/// By a hash of their first bytes: the lengths of symbols, bit `n - 1` for `n` bytes.
struct Heads {
    bytes: usize,
    lengths: Vec<u16>,
}

impl Heads {
    fn new(bytes: usize) -> Heads {
        Heads { bytes, lengths: vec![0; HEADS] }
    }

    fn insert(&mut self, symbol: &Symbol) {
        self.lengths[hash(head(symbol.text, self.bytes)) % HEADS] |= 1 << (symbol.length - 1);
    }

    /// The lengths of symbols that a text of so many bytes may begin with.
    #[inline(always)]
    fn lengths(&self, text: u128, length: usize) -> u16 {
        self.lengths[hash(head(text, self.bytes)) % HEADS] & u16::MAX >> (SYMBOL - length.min(SYMBOL))
    }
}

/// Writes strings as codes of a table.
pub struct Encoder {
    /// Of the symbols, none of which ends in a zero byte: so their texts tell them apart.
    texts: Vec<u128>,
    long: Heads,
    short: Heads,
    /// Codes of symbols of 3 bytes or more by a hash of them; 0: none.
    slots: Vec<u16>,
    /// Codes of symbols of 2 bytes; 0: none.
    pairs: Vec<u16>,
}

impl Encoder {
    /// Of the symbols from code 256 on.
    pub fn new(symbols: &[Symbol]) -> Encoder {
        let mut made = Encoder {
            texts: symbols.iter().map(|symbol| symbol.text).collect(),
            long: Heads::new(8),
            short: Heads::new(3),
            slots: vec![0; SLOTS],
            pairs: vec![0; 1 << 16],
        };
        for (code, symbol) in (BYTES as u16..).zip(symbols) {
            match symbol.length {
                0..=2 => {
                    made.pairs[symbol.text as usize & 0xffff] = code;
                    continue;
                }
                3..=7 => made.short.insert(symbol),
                _ => made.long.insert(symbol),
            }
            let mut at = hash(symbol.text) % SLOTS;
            while made.slots[at] != 0 {
                at = (at + 1) % SLOTS;
            }
            made.slots[at] = code;
        }
        made
    }

    /// The code of the longest symbol of one of these lengths that a text begins with.
    #[inline(always)]
    fn longest(&self, text: u128, mut lengths: u16) -> Option<(u16, usize)> {
        while lengths != 0 {
            let length = lengths.ilog2() as usize + 1;
            lengths &= !(1 << (length - 1));
            let wanted = head(text, length);
            let mut at = hash(wanted) % SLOTS;
            while self.slots[at] != 0 {
                let code = self.slots[at];
                // A text that ends in a zero byte equals a shorter symbol's.
                if self.texts[usize::from(code) - BYTES] == wanted && wanted >> (8 * (length - 1)) != 0 {
                    return Some((code, length));
                }
                at = (at + 1) % SLOTS;
            }
        }
        None
    }

    /// The code and the length of the longest symbol that a string, which is not empty, begins with.
    #[inline]
    fn first(&self, string: &[u8]) -> (u16, usize) {
        let text = match string.first_chunk::<SYMBOL>() {
            Some(text) => u128::from_le_bytes(*text),
            None => Symbol::new(string).text,
        };
        if let Some(found) = self.longest(text, self.long.lengths(text, string.len())) {
            return found;
        }
        if let Some(found) = self.longest(text, self.short.lengths(text, string.len())) {
            return found;
        }
        match self.pairs[text as usize & 0xffff] {
            code if code > 0 && string.len() >= 2 => (code, 2),
            _ => (text as u16 & 0xff, 1),
        }
    }

    /// Appends the codes of a string.
    pub fn encode(&self, mut string: &[u8], codes: &mut Vec<u16>) {
        while !string.is_empty() {
            let (code, length) = self.first(string);
            codes.push(code);
            string = &string[length..];
        }
    }
}
