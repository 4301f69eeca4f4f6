//! A table of weights by character.
//!
//! The file, all numbers little-endian in 16 bits unless said:
//!
//! | what | length |
//! |---|---|
//! | number of pages P, of lists L, of words W | 3 |
//! | for each 256 code points: the number of their page from 1, 0 for none | 0x1100 bytes |
//! | pages: a weight for each code point | P x 256 |
//! | where the lists begin among the words, and the end | L + 1 |
//! | words of the lists | W |
//!
//! In a page 0 is a character without weight, 0xFFFF one that the table has not; 0xF000 to 0xFAFF are
//! numbers of lists, all others weights.

const PAGES: usize = 0x1100;
const LISTS: std::ops::Range<u16> = 0xF000..0xFB00;
const UNLISTED: u16 = 0xFFFF;

pub(super) struct Weights {
    directory: &'static [u8],
    pages: Vec<u16>,
    starts: Vec<u16>,
    words: Vec<u16>,
    /// Weights of ASCII; 0 where it is not just one.
    ascii: [u16; 128],
}

impl Weights {
    /// Reads a file of this program.
    pub(super) fn read(file: &'static [u8]) -> Weights {
        let words: fn(&[u8]) -> Vec<u16> =
            |bytes| bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let counts = words(&file[..6]);
        let (directory, rest) = file[6..].split_at(PAGES);
        let (pages, rest) = rest.split_at(usize::from(counts[0]) * 512);
        let (starts, list) = rest.split_at((usize::from(counts[1]) + 1) * 2);
        let mut weights = Weights {
            directory,
            pages: words(pages),
            starts: words(starts),
            words: words(list),
            ascii: [0; 128],
        };
        for code in 0..128u8 {
            let weight = match weights.get(char::from(code)) {
                Some(&[weight]) => weight,
                _ => 0,
            };
            weights.ascii[usize::from(code)] = weight;
        }
        weights
    }

    /// The weight of an ASCII character that has just one.
    #[inline]
    pub(super) fn ascii(&self, c: char) -> Option<u16> {
        self.ascii.get(c as usize).copied().filter(|weight| *weight != 0)
    }

    /// `None`: the table has not got it.
    pub(super) fn get(&self, c: char) -> Option<&[u16]> {
        let code = c as usize;
        let page = usize::from(*self.directory.get(code >> 8)?).checked_sub(1)?;
        let at = page * 256 + (code & 0xFF);
        match self.pages.get(at..=at)? {
            [0] => Some(&[]),
            [UNLISTED] => None,
            [list] if LISTS.contains(list) => {
                let list = usize::from(list - LISTS.start);
                let (from, to) = (*self.starts.get(list)?, *self.starts.get(list + 1)?);
                self.words.get(usize::from(from)..usize::from(to))
            }
            weight => Some(weight),
        }
    }
}
