//! One dictionary a segment for a column of strings that repeat; its blocks hold codes, as
//! [`super::ints`] packs them. Entries are sorted and distinct, so codes compare as the strings do.
//!
//! The dictionary's block: the end of each entry in the bytes (u32 each, padded), then the bytes,
//! fewer than 2^31. An entry starts where the one before ends.

use super::bytes::Strings;
use super::ranges::Ranges;
use super::string_test::{StringTest, all_pass, all_same};
use super::{Malformed, aligned, pad};
use arrow::buffer::Buffer;
use hashbrown::HashTable;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// The greatest number of entries.
pub const MAX_ENTRIES: usize = 65_536;

/// The greatest number of bytes of all entries that a writer makes a dictionary of.
const MAX_BYTES: usize = 8 << 20;

/// A column as a dictionary and a code for each row (0 for NULLs).
pub struct Encoded<'a> {
    pub entries: Vec<&'a [u8]>,
    pub codes: Vec<u32>,
}

#[inline(always)]
fn mix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(0x9fb2_1c65_1e98_df25);
    x ^ x >> 29
}

fn hash(view: u128, bytes: &[u8]) -> u64 {
    if bytes.len() <= 12 {
        return mix(view as u64 ^ mix((view >> 64) as u64));
    }
    super::bytes_hash(bytes)
}

/// Makes a dictionary of the strings, or None where it is not worth it, which is found out early.
pub fn build<'a>(strings: &'a Strings<'a>) -> Option<Encoded<'a>> {
    const CHECK: usize = 8_192;
    let rows = strings.len();
    let mut table: HashTable<u32> = HashTable::new();
    let mut entries: Vec<(u128, &'a [u8])> = Vec::new();
    let mut codes: Vec<u32> = Vec::with_capacity(rows);
    let (mut entry_bytes, mut raw_bytes) = (0usize, 0usize);
    let mut last: Option<(u128, u32)> = None;
    for row in 0..rows {
        if row % CHECK == 0 && row >= 2 * CHECK && entries.len() > row / 3 {
            return None;
        }
        if strings.is_null(row) {
            codes.push(0);
            continue;
        }
        let bytes = strings.get(row);
        raw_bytes += bytes.len();
        let mut view = strings.view(row);
        if bytes.len() < 12 {
            // Bytes behind a short value do not count.
            view &= (1 << (32 + 8 * bytes.len())) - 1;
        }
        if let Some((seen, code)) = last
            && seen == view
        {
            // The same view into the same buffers is the same string.
            codes.push(code);
            continue;
        }
        let equal = |&code: &u32| {
            let (other, text) = entries[code as usize];
            // Length and first four bytes, then the rest.
            other as u64 == view as u64 && (bytes.len() <= 4 || text == bytes)
        };
        let hashed = hash(view, bytes);
        let code = match table.find(hashed, equal) {
            Some(code) => *code,
            None => {
                entry_bytes += bytes.len();
                if entries.len() == MAX_ENTRIES || entry_bytes > MAX_BYTES {
                    return None;
                }
                let code = entries.len() as u32;
                entries.push((view, bytes));
                table.insert_unique(hashed, code, |&code| {
                    let (view, bytes) = entries[code as usize];
                    hash(view, bytes)
                });
                code
            }
        };
        last = Some((view, code));
        codes.push(code);
    }
    let width = usize::from(super::lanes::width_of(entries.len() as u64));
    if entry_bytes + 4 * entries.len() + rows * width / 8 >= raw_bytes + rows / 2 && entries.len() > 1 {
        return None;
    }
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| entries[a as usize].1.cmp(entries[b as usize].1));
    let mut rank = vec![0u32; order.len()];
    for (new, &old) in order.iter().enumerate() {
        rank[old as usize] = new as u32;
    }
    if !rank.is_empty() {
        for code in &mut codes {
            *code = rank[*code as usize];
        }
    }
    Some(Encoded { entries: order.iter().map(|&old| entries[old as usize].1).collect(), codes })
}

/// Appends the dictionary's block to `out`, whose length is a multiple of [`super::ALIGN`].
pub fn encode(entries: &[&[u8]], out: &mut Vec<u8>) {
    let mut end = 0u32;
    for entry in entries {
        end += entry.len() as u32;
        out.extend_from_slice(&end.to_le_bytes());
    }
    pad(out);
    for entry in entries {
        out.extend_from_slice(entry);
    }
}

/// A dictionary, loaded and validated.
pub struct Dictionary {
    ends: Buffer,
    data: Buffer,
    /// Arrow views of the entries, into buffer 0 that is `data`.
    views: Vec<u128>,
    /// What lately evaluated tests came to: blocks of a segment are scanned with the same ones.
    tested: Mutex<VecDeque<(Vec<StringTest>, Arc<Ranges>)>>,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dictionary of {} entries", self.len())
    }
}

impl Dictionary {
    /// Bytes that a dictionary takes in memory besides its block.
    pub const fn extra_bytes(entries: usize) -> usize {
        entries * size_of::<u128>()
    }

    /// Checks the offsets, the order and, with `text`, that every entry is UTF-8.
    pub fn new(entries: usize, text: bool, block: &Buffer) -> Result<Dictionary, Malformed> {
        let data_at = aligned(entries.saturating_mul(4));
        if entries > MAX_ENTRIES || block.len() < data_at || block.len() - data_at >= 1 << 31 {
            return Err(Malformed::new(block.len(), "length of a dictionary"));
        }
        let ends = block.slice_with_length(0, entries * 4);
        let data = block.slice(data_at);
        let mut views = Vec::with_capacity(entries);
        let mut start = 0u32;
        let mut before: Option<&[u8]> = None;
        for (i, &end) in ends.typed_data::<u32>().iter().enumerate() {
            let Some(entry) = data.get(start as usize..end as usize) else {
                return Err(Malformed::new(i * 4, "a dictionary entry's offset is out of range"));
            };
            if before.is_some_and(|before| before >= entry) {
                return Err(Malformed::new(i * 4, "dictionary entries are out of order"));
            }
            if text && std::str::from_utf8(entry).is_err() {
                return Err(Malformed::new(data_at + start as usize, "text is not UTF-8"));
            }
            views.push(super::bytes::view(&data, start, end));
            before = Some(entry);
            start = end;
        }
        if start as usize != data.len() {
            return Err(Malformed::new(data_at, "dictionary entries do not fill their bytes"));
        }
        Ok(Dictionary { ends, data, views, tested: Mutex::default() })
    }

    /// A dictionary of one entry, made in memory.
    pub fn of_one(entry: &[u8]) -> Dictionary {
        Dictionary {
            ends: Buffer::from_slice_ref([entry.len() as u32]),
            data: Buffer::from_slice_ref(entry),
            views: vec![arrow::array::make_view(entry, 0, 0)],
            tested: Mutex::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.views.len()
    }

    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// All entries' bytes: what the views point into.
    pub fn data(&self) -> &Buffer {
        &self.data
    }

    /// The entry of a code; empty for one that is out of range.
    pub fn get(&self, code: usize) -> &[u8] {
        let ends = self.ends.typed_data::<u32>();
        let Some(&end) = ends.get(code) else { return &[] };
        let start = if code == 0 { 0 } else { ends[code - 1] };
        &self.data[start as usize..end as usize]
    }

    /// The Arrow view of a code's entry; that of the empty string for one out of range.
    #[inline(always)]
    pub fn view(&self, code: usize) -> u128 {
        self.views.get(code).copied().unwrap_or(0)
    }

    pub fn views(&self) -> &[u128] {
        &self.views
    }

    /// The codes of the entries that pass all tests.
    pub fn passing(&self, tests: &[StringTest]) -> Arc<Ranges> {
        const KEPT: usize = 8;
        const SMALL: usize = 64;
        if self.len() > SMALL
            && let Some((_, codes)) = self.tested.lock().iter().find(|(done, _)| all_same(done, tests))
        {
            return codes.clone();
        }
        let passing = (0..self.len()).filter(|&code| all_pass(tests, self.get(code)));
        let codes = Arc::new(Ranges::points(passing.map(|code| code as i128).collect()));
        if self.len() > SMALL {
            let mut tested = self.tested.lock();
            tested.truncate(KEPT - 1);
            tested.push_front((tests.to_vec(), codes.clone()));
        }
        codes
    }
}
