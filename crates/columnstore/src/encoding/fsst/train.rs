//! Choosing the symbols of a column.
//!
//! As in the paper, symbols grow from the bottom up: a sample is encoded with the symbols so far, starting
//! with the single bytes; the codes that came out, and each two that came next to one another, joined, are
//! the candidates for the next round, and those that stood for the most bytes are taken. After four rounds
//! a symbol of 16 bytes can have come about. The first rounds look at a part of the sample.

use super::encoder::Encoder;
use super::{BYTES, CODE_BITS, CODES, SYMBOL, Symbol};
use crate::encoding::bytes::Strings;
use crate::encoding::number_hash;
use hashbrown::HashTable;

/// Bytes of strings that are looked at.
const SAMPLE: usize = 256 << 10;
/// Of one string, no more than this.
const PIECE: usize = 1_024;
/// Fewer bytes of a column are not worth a table.
const LEAST_BYTES: usize = 16 << 10;
/// The part of the sample that each round looks at, in sixteenths.
const ROUNDS: [u64; 6] = [2, 4, 6, 8, 12, 16];

/// The symbols for a column of `total` bytes, in the order of their codes from 256 on; None if the strings
/// would not become a good deal shorter.
pub fn train(strings: &Strings<'_>, total: usize) -> Option<Vec<Symbol>> {
    if total < LEAST_BYTES {
        return None;
    }
    let sample = sample(strings, total);
    let sampled: usize = sample.iter().map(|piece| piece.len()).sum();
    let symbols = train_on(&sample, total as f64 / sampled as f64);
    let mut codes = Vec::new();
    let encoder = Encoder::new(&symbols);
    sample.iter().for_each(|piece| encoder.encode(piece, &mut codes));
    let share = (codes.len() * CODE_BITS / 8) as f64 / sampled as f64;
    let made = share * total as f64 + (symbols.len() * (SYMBOL + 1)) as f64;
    (made < 0.85 * total as f64).then_some(symbols)
}

/// Pieces from all over the column.
fn sample<'a>(strings: &'a Strings<'a>, total: usize) -> Vec<&'a [u8]> {
    // Runs of neighbours would tell less than rows that lie apart, at no regular distance.
    let step = (total / SAMPLE).max(1) as u64;
    let (mut row, mut bytes) = (0, 0);
    let mut pieces = Vec::new();
    while row < strings.len() && bytes < SAMPLE {
        let string = strings.get(row);
        let piece = &string[..string.len().min(PIECE)];
        bytes += piece.len();
        if !piece.is_empty() {
            pieces.push(piece);
        }
        row += 1 + (number_hash(row as u64) % (2 * step - 1)) as usize;
    }
    pieces
}

/// Numbers by keys that are counted.
struct Counts<K> {
    table: HashTable<(K, u64)>,
    hash: fn(&K) -> u64,
}

impl<K: PartialEq> Counts<K> {
    fn new(hash: fn(&K) -> u64) -> Counts<K> {
        Counts { table: HashTable::with_capacity(1 << 12), hash }
    }

    fn add(&mut self, key: K, count: u64) {
        let hash = self.hash;
        let hashed = hash(&key);
        match self.table.find_mut(hashed, |(known, _)| *known == key) {
            Some((_, sum)) => *sum += count,
            None => {
                self.table.insert_unique(hashed, (key, count), |(key, _)| hash(key));
            }
        }
    }
}

fn symbol_hash(symbol: &Symbol) -> u64 {
    number_hash(symbol.text as u64 ^ number_hash((symbol.text >> 64) as u64 ^ u64::from(symbol.length)))
}

/// `scale`: how many bytes of the column a byte of the sample stands for.
fn train_on(sample: &[&[u8]], scale: f64) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::new();
    let mut codes = Vec::new();
    for (round, part) in ROUNDS.into_iter().enumerate() {
        let is_last = round + 1 == ROUNDS.len();
        let encoder = Encoder::new(&symbols);
        let mut counts = vec![0u64; CODES];
        let mut pairs = Counts::new(|pair: &u32| number_hash(u64::from(*pair)));
        let pieces = sample.iter().enumerate().filter(|(i, _)| number_hash(*i as u64) % 16 < part);
        for (_, piece) in pieces {
            codes.clear();
            encoder.encode(piece, &mut codes);
            codes.iter().for_each(|code| counts[usize::from(*code)] += 1);
            if !is_last {
                for pair in codes.windows(2) {
                    pairs.add(u32::from(pair[0]) << CODE_BITS | u32::from(pair[1]), 1);
                }
            }
        }
        let symbol = |code: u32| match (code as usize).checked_sub(BYTES) {
            Some(at) => symbols[at],
            None => Symbol::of_byte(code as u8),
        };
        // Bytes that a candidate stood for.
        let mut candidates = Counts::new(symbol_hash);
        for (code, &count) in counts.iter().enumerate().skip(BYTES).filter(|(_, count)| **count > 0) {
            let symbol = symbol(code as u32);
            // In the end a symbol must save more than it takes in the table.
            let saved = count as f64 * (f64::from(symbol.length) - 1.0) * CODE_BITS as f64 / 8.0 * scale;
            if !is_last || saved > 2.0 * (SYMBOL + 1) as f64 {
                candidates.add(symbol, count * u64::from(symbol.length));
            }
        }
        for (pair, count) in pairs.table.iter().filter(|(_, count)| *count > 1) {
            let second = symbol(pair & (CODES as u32 - 1));
            if let Some(joined) = symbol(pair >> CODE_BITS).then(second)
                && !second.ends_in_zero()
            {
                candidates.add(joined, count * u64::from(joined.length));
            }
        }
        let mut best: Vec<(u64, Symbol)> =
            candidates.table.iter().map(|(symbol, gain)| (*gain, *symbol)).collect();
        // Those that stand for most get the lowest codes and lie next to one another in memory. The order
        // does not hang on that of the table.
        if best.len() > CODES - BYTES {
            best.select_nth_unstable_by(CODES - BYTES, |a, b| b.cmp(a));
            best.truncate(CODES - BYTES);
        }
        best.sort_unstable_by(|a, b| b.cmp(a));
        symbols = best.into_iter().map(|(_, symbol)| symbol).collect();
    }
    symbols
}
