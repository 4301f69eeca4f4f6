//! Collations of UTF-8 text: which texts are equal, and in which order they stand.
//!
//! A collation gives every text a key; two texts compare as their keys compare byte by byte. Under
//! [`Collation::Bytes`] a text is its own key, and nobody computes one. The others put the weights of the
//! characters in a row, each two bytes, the greater first; a character may weigh nothing (an accent by
//! itself, where accents do not count) or as much as several (`ß` as `ss`).
//!
//! Keys are stored, so the weights are part of the program and never change: each collation has
//! a file of them, whose form [`weights`] explains.
//!
//! - `utf8mb4_general_ci`: one weight a character of the basic plane, all others are equal.
//! - `utf8mb4_unicode_ci`, `utf8mb4_unicode_520_ci`: the first weights of Unicode's table, versions 4.0.0
//!   and 5.2.0.
//! - `utf8mb4_0900_ai_ci`: those of version 9.0.0.
//!
//! All but the last take blanks at the end for nothing (PAD SPACE). Sequences of characters that Unicode
//! weighs together (a Thai vowel before its consonant, say) are weighed one by one.

mod weights;

use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use weights::Weights;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Collation {
    /// By the bytes of UTF-8, which is by code points.
    #[default]
    #[serde(rename = "utf8mb4_bin")]
    Bytes,
    #[serde(rename = "utf8mb4_general_ci")]
    GeneralCi,
    #[serde(rename = "utf8mb4_unicode_ci")]
    UnicodeCi,
    #[serde(rename = "utf8mb4_unicode_520_ci")]
    Unicode520Ci,
    #[serde(rename = "utf8mb4_0900_ai_ci")]
    Uca0900AiCi,
}

static GENERAL: LazyLock<Weights> = LazyLock::new(|| Weights::read(include_bytes!("general_ci.weights")));
static UNICODE: LazyLock<Weights> = LazyLock::new(|| Weights::read(include_bytes!("unicode_ci.weights")));
static UNICODE_520: LazyLock<Weights> =
    LazyLock::new(|| Weights::read(include_bytes!("unicode_520_ci.weights")));
static UCA_0900: LazyLock<Weights> = LazyLock::new(|| Weights::read(include_bytes!("uca_0900.weights")));

/// The weights of one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CharWeights {
    len: u8,
    own: [u16; 6],
    /// More than those: in the table.
    many: Option<&'static [u16]>,
}

impl CharWeights {
    const fn one(weight: u16) -> CharWeights {
        CharWeights { len: 1, own: [weight, 0, 0, 0, 0, 0], many: None }
    }

    fn several(weights: &[u16]) -> CharWeights {
        let mut own = [0; 6];
        let len = weights.len().min(own.len());
        own[..len].copy_from_slice(&weights[..len]);
        CharWeights { len: len as u8, own, many: None }
    }

    pub fn as_slice(&self) -> &[u16] {
        self.many.unwrap_or(&self.own[..usize::from(self.len)])
    }
}

impl Collation {
    pub const ALL: &[Collation] = &[
        Collation::Bytes,
        Collation::GeneralCi,
        Collation::UnicodeCi,
        Collation::Unicode520Ci,
        Collation::Uca0900AiCi,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Collation::Bytes => "utf8mb4_bin",
            Collation::GeneralCi => "utf8mb4_general_ci",
            Collation::UnicodeCi => "utf8mb4_unicode_ci",
            Collation::Unicode520Ci => "utf8mb4_unicode_520_ci",
            Collation::Uca0900AiCi => "utf8mb4_0900_ai_ci",
        }
    }

    /// MySQL's number.
    pub const fn id(self) -> u16 {
        match self {
            Collation::Bytes => 46,
            Collation::GeneralCi => 45,
            Collation::UnicodeCi => 224,
            Collation::Unicode520Ci => 246,
            Collation::Uca0900AiCi => 255,
        }
    }

    /// The collation of a name in any case. The older names of UTF-8 mean the same, and so does MySQL's
    /// `utf8mb4_0900_bin`.
    pub fn of_name(name: &str) -> Option<Collation> {
        let lower = name.to_ascii_lowercase();
        let (charset, rest) = lower.split_once('_')?;
        if !matches!(charset, "utf8mb4" | "utf8mb3" | "utf8") {
            return None;
        }
        match rest {
            "0900_bin" => Some(Collation::Bytes),
            rest => {
                let mut all = Collation::ALL.iter().copied();
                all.find(|own| own.name().split_once('_').is_some_and(|(_, end)| end == rest))
            }
        }
    }

    pub fn is_bytes(self) -> bool {
        self == Collation::Bytes
    }

    /// Whether a definition need not say it.
    pub fn is_default(&self) -> bool {
        *self == Collation::default()
    }

    /// Whether blanks at the end count for nothing.
    pub fn pads(self) -> bool {
        !matches!(self, Collation::Bytes | Collation::Uca0900AiCi)
    }

    fn table(self) -> Option<&'static Weights> {
        match self {
            Collation::Bytes => None,
            Collation::GeneralCi => Some(&GENERAL),
            Collation::UnicodeCi => Some(&UNICODE),
            Collation::Unicode520Ci => Some(&UNICODE_520),
            Collation::Uca0900AiCi => Some(&UCA_0900),
        }
    }

    /// The weights of a character; by bytes, of its code point.
    pub fn weights(self, c: char) -> CharWeights {
        let found = self.table().and_then(|table| table.get(c));
        match found {
            Some(&[weight]) => CharWeights::one(weight),
            Some(weights) if weights.len() <= 6 => CharWeights::several(weights),
            Some(weights) => CharWeights { len: 0, own: [0; 6], many: Some(weights) },
            None => self.unlisted(c),
        }
    }

    /// What a character weighs that the table has not.
    fn unlisted(self, c: char) -> CharWeights {
        let code = u32::from(c);
        let basic = code < 0x1_0000;
        match self {
            Collation::GeneralCi if basic => CharWeights::one(code as u16),
            Collation::GeneralCi => CharWeights::one(0xFFFD),
            Collation::UnicodeCi if !basic => CharWeights::one(0xFFFD),
            Collation::Bytes => CharWeights::several(&[(code >> 16) as u16, code as u16]),
            Collation::Uca0900AiCi if (0xAC00..=0xD7A3).contains(&code) => hangul(code - 0xAC00),
            _ => {
                let tangut = self == Collation::Uca0900AiCi && (0x1_7000..=0x1_8AFF).contains(&code);
                if tangut {
                    return CharWeights::several(&[0xFB00, (code - 0x1_7000) as u16 | 0x8000]);
                }
                let base = match code {
                    0x4E00..=0x9FFF | 0xF900..=0xFAFF => 0xFB40,
                    0x3400..=0x4DBF | 0x2_0000..=0x2_CEAF => 0xFB80,
                    _ => 0xFBC0,
                };
                CharWeights::several(&[base + (code >> 15) as u16, (code & 0x7FFF) as u16 | 0x8000])
            }
        }
    }

    /// Appends the key of a text.
    pub fn key(self, text: &str, out: &mut Vec<u8>) {
        let Some(table) = self.table() else {
            out.extend_from_slice(text.as_bytes());
            return;
        };
        let text = if self.pads() { text.trim_end_matches(' ') } else { text };
        for c in text.chars() {
            match table.ascii(c) {
                Some(weight) => out.extend_from_slice(&weight.to_be_bytes()),
                None => {
                    for weight in self.weights(c).as_slice() {
                        out.extend_from_slice(&weight.to_be_bytes());
                    }
                }
            }
        }
        // What is shorter goes on with blanks: before what is greater than a blank, after what is less.
        if self.pads() {
            for weight in self.weights(' ').as_slice() {
                out.extend_from_slice(&weight.to_be_bytes());
            }
        }
    }

    /// The key of one text.
    pub fn key_of(self, text: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(text.len() * 2 + 2);
        self.key(text, &mut key);
        key
    }

    pub fn equal(self, left: &str, right: &str) -> bool {
        left == right || (!self.is_bytes() && self.key_of(left) == self.key_of(right))
    }
}

/// A syllable weighs what its two or three letters weigh.
fn hangul(syllable: u32) -> CharWeights {
    let (lead, vowel, tail) = (syllable / 588, syllable / 28 % 21, syllable % 28);
    let mut weights = Vec::with_capacity(3);
    for code in [0x1100 + lead, 0x1161 + vowel, 0x11A7 + tail] {
        if code != 0x11A7 {
            weights.extend(char::from_u32(code).and_then(|c| UCA_0900.get(c)).unwrap_or_default());
        }
    }
    CharWeights::several(&weights)
}

impl std::fmt::Display for Collation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Collation::*;

    fn order(collation: Collation, left: &str, right: &str) -> std::cmp::Ordering {
        collation.key_of(left).cmp(&collation.key_of(right))
    }

    #[test]
    fn names() {
        for collation in Collation::ALL {
            assert_eq!(Collation::of_name(collation.name()), Some(*collation));
        }
        assert_eq!(Collation::of_name("UTF8_general_ci"), Some(GeneralCi));
        assert_eq!(Collation::of_name("utf8mb4_0900_bin"), Some(Bytes));
        assert_eq!(Collation::of_name("utf8mb4_0900_as_cs"), None);
        assert_eq!(Collation::of_name("latin1_bin"), None);
    }

    #[test]
    fn equal_texts() {
        for collation in [GeneralCi, UnicodeCi, Unicode520Ci, Uca0900AiCi] {
            assert!(collation.equal("abc", "ABC"), "{collation}");
            assert!(collation.equal("Ärger", "arger"), "{collation}");
            assert!(collation.equal("привет", "ПРИВЕТ"), "{collation}");
            assert!(!collation.equal("abc", "abd"), "{collation}");
            assert!(!collation.equal("", "a"), "{collation}");
            assert_eq!(collation.equal("a", "a  "), collation.pads(), "{collation}");
        }
        assert!(!Bytes.equal("a", "A"));
        assert!(GeneralCi.equal("ß", "s") && !GeneralCi.equal("ß", "ss"));
        assert!(Uca0900AiCi.equal("ß", "SS") && UnicodeCi.equal("ß", "ss"));
        assert!(Uca0900AiCi.equal("ø", "o") && !UnicodeCi.equal("ø", "o"));
        assert!(Uca0900AiCi.equal("e\u{301}", "é"));
        assert!(Uca0900AiCi.equal("\u{ac01}", "\u{1100}\u{1161}\u{11a8}"));
        assert!(!Uca0900AiCi.equal("😀", "😁") && GeneralCi.equal("😀", "😁"));
    }

    #[test]
    fn order_of_texts() {
        use std::cmp::Ordering::*;
        for collation in [GeneralCi, UnicodeCi, Unicode520Ci, Uca0900AiCi] {
            assert_eq!(order(collation, "a", "B"), Less, "{collation}");
            assert_eq!(order(collation, "a", "ab"), Less, "{collation}");
            assert_eq!(order(collation, "ä", "b"), Less, "{collation}");
            assert_eq!(order(collation, "9", "a"), Less, "{collation}");
            assert_eq!(order(collation, "", "a"), Less, "{collation}");
        }
        // A blank is greater than a tabulator.
        assert_eq!(order(GeneralCi, "a", "a\t"), Greater);
        assert_eq!(order(Uca0900AiCi, "a", "a\t"), Less);
        assert_eq!(order(Uca0900AiCi, "_", "-"), Less);
        assert_eq!(order(Uca0900AiCi, "中", "文"), Less);
    }

    /// Stored keys must never change.
    #[test]
    fn keys_stay() {
        let hex = |collation: Collation, text: &str| -> String {
            collation.key_of(text).iter().map(|byte| format!("{byte:02X}")).collect()
        };
        assert_eq!(hex(GeneralCi, "aß 9 "), "0041005300200039".to_string() + "0020");
        assert_eq!(hex(UnicodeCi, "aß"), "0E330FEA0FEA0209");
        assert_eq!(hex(Unicode520Ci, "aß"), "120F14101410020A");
        assert_eq!(hex(Uca0900AiCi, "aß 中"), "1C471E711E710209FB40CE2D");
    }
}
