use super::*;
use crate::encoding::bits;
use crate::encoding::bytes::Strings;
use crate::encoding::{BLOCK_ROWS, VECTOR};
use arrow::array::BinaryViewArray;
use arrow::buffer::MutableBuffer;
use proptest::prelude::*;

const WORDS: [&str; 12] = [
    "carefully ",
    "final ",
    "deposits ",
    "żółw ",
    "quickly ",
    "above the ",
    "\u{10ffff}",
    "furiously ",
    "\0\0",
    "a",
    "requests",
    "",
];

fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = crate::encoding::number_hash(seed);
        seed % below
    }
}

fn texts(rows: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = numbers(seed);
    (0..rows)
        .map(|_| {
            let words = random(9);
            (0..words).map(|_| WORDS[random(12) as usize]).collect::<String>().into_bytes()
        })
        .collect()
}

fn symbols_of(rows: &[Vec<u8>]) -> Option<Vec<Symbol>> {
    let array = BinaryViewArray::from_iter_values(rows);
    train(&Strings::new(array.views(), array.data_buffers(), None), rows.iter().map(Vec::len).sum())
}

fn buffer(bytes: &[u8]) -> Buffer {
    // Blocks stand at aligned addresses.
    let mut aligned = MutableBuffer::new(bytes.len());
    aligned.extend_from_slice(bytes);
    aligned.into()
}

fn table_of(symbols: &[Symbol]) -> SymbolTable {
    let mut block = Vec::new();
    encode_table(symbols, &mut block);
    SymbolTable::new(symbols.len(), &buffer(&block)).unwrap()
}

/// A block of these rows, every seventh NULL if `nulls`.
fn block_of(symbols: &[Symbol], rows: &[Vec<u8>], nulls: bool) -> (Vec<u8>, u8) {
    let mut bitmap = vec![0u8; rows.len().div_ceil(8)];
    (0..rows.len()).filter(|row| !row.is_multiple_of(7)).for_each(|row| bitmap[row / 8] |= 1 << (row % 8));
    let get = |row: usize| if nulls && row.is_multiple_of(7) { &[] } else { rows[row].as_slice() };
    let mut bytes = Vec::new();
    let validity = nulls.then_some(bitmap.as_slice());
    let width = block::encode(&Encoder::new(symbols), rows.len(), get, validity, &mut bytes).unwrap();
    (bytes, width)
}

#[test]
fn strings_come_back_one_by_one_by_vectors_and_by_rows() {
    for rows in [1, 700, VECTOR, 3_000, BLOCK_ROWS] {
        let texts = texts(rows, rows as u64);
        for (symbols, nulls) in [
            (Vec::new(), false),
            (symbols_of(&texts).unwrap_or_default(), false),
            (symbols_of(&texts).unwrap_or_default(), true),
        ] {
            let table = table_of(&symbols);
            let (bytes, width) = block_of(&symbols, &texts, nulls);
            let block = FsstBlock::new(rows, width, nulls, true, &table, &buffer(&bytes)).unwrap();
            let expected =
                |row: usize| if nulls && row.is_multiple_of(7) { &[] } else { texts[row].as_slice() };
            let mut out = Vec::new();
            for row in (0..rows).step_by(97) {
                out.clear();
                block.append(row, &table, &mut out);
                assert_eq!(out, expected(row), "row {row} of {rows}");
                assert_eq!(block.is_valid(row), !nulls || !row.is_multiple_of(7));
            }
            for vector in 0..rows.div_ceil(VECTOR) {
                let count = (rows - vector * VECTOR).min(VECTOR);
                let some: Vec<u16> = (0..count as u16).filter(|row| row % 5 == 2).collect();
                let all: Vec<u16> = (0..count as u16).collect();
                for (wanted, whole) in [(&all, true), (&some, false)] {
                    let (mut out, mut ends) = (vec![7], Vec::new());
                    if whole {
                        block.extend(vector, count, &table, &mut out, &mut ends);
                    } else {
                        block.gather(vector, wanted, &table, &mut out, &mut ends);
                    }
                    let mut from = 1;
                    for (row, end) in wanted.iter().zip(&ends) {
                        let row = vector * VECTOR + usize::from(*row);
                        assert_eq!(&out[from..*end as usize], expected(row), "row {row} of {rows}");
                        from = *end as usize;
                    }
                    assert_eq!((from, ends.len()), (out.len(), wanted.len()));
                    assert!(out.len() <= 1 + block.longest(vector));
                }
            }
        }
    }
}

#[test]
fn text_becomes_much_shorter_and_noise_stays_as_it_is() {
    let texts = texts(20_000, 3);
    let raw: usize = texts.iter().map(Vec::len).sum();
    let symbols = symbols_of(&texts).unwrap();
    let (bytes, _) = block_of(&symbols, &texts, false);
    assert!(bytes.len() * 3 < raw, "{} of {raw}", bytes.len());
    let mut random = numbers(4);
    let noise: Vec<Vec<u8>> = (0..5_000).map(|_| (0..20).map(|_| random(256) as u8).collect()).collect();
    assert_eq!(symbols_of(&noise), None);
    assert_eq!(symbols_of(&texts[..100]), None, "too little for a table");
}

#[test]
fn equality_and_tests_are_those_of_the_strings() {
    let texts = texts(2_500, 5);
    let symbols = symbols_of(&texts).unwrap();
    let table = table_of(&symbols);
    for nulls in [false, true] {
        let (bytes, width) = block_of(&symbols, &texts, nulls);
        let block = FsstBlock::new(texts.len(), width, nulls, true, &table, &buffer(&bytes)).unwrap();
        let mut scratch = Vec::new();
        let constants = [texts[1].clone(), texts[2_000].clone(), b"final fina".to_vec(), Vec::new(), vec![0]];
        for constant in constants {
            let codes = table.codes(&constant);
            for vector in 0..3 {
                let count = (texts.len() - vector * VECTOR).min(VECTOR);
                for equal in [true, false] {
                    let mut found = bits::first(count);
                    block.filter_equal(vector, &codes, equal, &mut found);
                    let mut tested = bits::first(count);
                    block.filter(
                        vector,
                        &table,
                        &mut scratch,
                        |text| (text == constant) == equal,
                        &mut tested,
                    );
                    let mut wanted = bits::first(count);
                    bits::retain(&mut wanted, |row| {
                        let row = vector * VECTOR + row;
                        !(nulls && row.is_multiple_of(7)) && (texts[row] == constant) == equal
                    });
                    assert_eq!((found, tested), (wanted, wanted));
                }
            }
        }
    }
}

#[test]
fn a_string_has_one_form() {
    let texts = texts(5_000, 6);
    let symbols = symbols_of(&texts).unwrap();
    let (encoder, table) = (Encoder::new(&symbols), table_of(&symbols));
    let mut random = numbers(7);
    let cut = texts.iter().filter(|text| text.len() > 3).map(|text| {
        let from = random(3) as usize;
        &text[from..from + random((text.len() - from) as u64) as usize]
    });
    for text in cut {
        let mut codes = Vec::new();
        encoder.encode(text, &mut codes);
        assert_eq!(codes, table.codes(text), "{text:?}");
    }
}

#[test]
fn malformed_tables_and_blocks_are_refused() {
    let symbols: Vec<Symbol> = ["ab", "abc", "ż"].iter().map(|text| Symbol::new(text.as_bytes())).collect();
    let table = |symbols: &[Symbol], count: usize| {
        let mut block = Vec::new();
        encode_table(symbols, &mut block);
        SymbolTable::new(count, &buffer(&block)).is_ok()
    };
    assert!(table(&symbols, 3) && !table(&symbols, 2) && !table(&symbols, 4) && !table(&symbols, usize::MAX));
    for wrong in [
        Symbol { text: 1, length: 1 },
        Symbol { text: 1, length: 0 },
        Symbol { text: 0x6161, length: 17 },
        Symbol { text: 0x0061, length: 2 },
        Symbol { text: 0x616161, length: 2 },
    ] {
        assert!(!table(&[symbols[0], wrong], 2), "{wrong:?}");
    }
    let table = table_of(&symbols);
    let rows: Vec<Vec<u8>> = ["abc", "ż", "ab"].iter().map(|text| text.as_bytes().to_vec()).collect();
    let (good, width) = block_of(&symbols, &rows, false);
    let load = |bytes: &[u8], text| FsstBlock::new(3, width, false, text, &table, &buffer(bytes));
    assert!(load(&good, true).is_ok());
    assert!(load(&good[..good.len() - 1], true).is_err());
    assert!(FsstBlock::new(3, 40, false, true, &table, &buffer(&good)).is_err());
    let codes_at = good.len() - block::PADDING - 5;
    // Codes 257, 258 and 256 are the symbols; 259 is none, and half of a character is no text.
    for (code, is_text, is_bytes) in
        [(257, true, true), (259, false, false), (4_095, false, false), (0xc5, false, true)]
    {
        let mut bytes = good.clone();
        let pair = code | 258 << 12;
        bytes[codes_at..codes_at + 3].copy_from_slice(&u32::to_le_bytes(pair)[..3]);
        assert_eq!((load(&bytes, true).is_ok(), load(&bytes, false).is_ok()), (is_text, is_bytes), "{code}");
    }
    // A character in two rows.
    let rows = vec![vec![0xc5], vec![0xbc]];
    let (cut, width) = block_of(&symbols, &rows, false);
    assert!(FsstBlock::new(2, width, false, true, &table, &buffer(&cut)).is_err());
    assert!(FsstBlock::new(2, width, false, false, &table, &buffer(&cut)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever the bytes are, there is an error, or all reads end within bounds.
    #[test]
    fn any_bytes_are_refused_or_read(seed in any::<u64>(), rows in 1usize..2_600, nulls: bool, text: bool) {
        let texts = texts(rows, seed);
        let symbols = symbols_of(&texts).unwrap_or_default();
        let (bytes, width) = block_of(&symbols, &texts, nulls);
        let mut table_bytes = Vec::new();
        encode_table(&symbols, &mut table_bytes);
        let mut random = numbers(seed);
        for round in 0..40 {
            let (mut bytes, mut table_bytes) = (bytes.clone(), table_bytes.clone());
            for _ in 0..=random(4) {
                let at = random(bytes.len() as u64) as usize;
                bytes[at] = random(256) as u8;
            }
            if round % 2 == 0 && !table_bytes.is_empty() {
                let at = random(table_bytes.len() as u64) as usize;
                table_bytes[at] = random(256) as u8;
            }
            let Ok(table) = SymbolTable::new(symbols.len(), &buffer(&table_bytes)) else { continue };
            let width = if round % 5 == 0 { random(66) as u8 } else { width };
            let Ok(block) = FsstBlock::new(rows, width, nulls, text, &table, &buffer(&bytes)) else { continue };
            for vector in 0..rows.div_ceil(VECTOR) {
                let (mut out, mut ends) = (Vec::new(), Vec::new());
                block.extend(vector, (rows - vector * VECTOR).min(VECTOR), &table, &mut out, &mut ends);
                prop_assert!(out.len() <= block.longest(vector) && block.longest(vector) <= bytes.len() * 11);
                let mut from = 0;
                for end in ends {
                    prop_assert!(!text || std::str::from_utf8(&out[from..end as usize]).is_ok());
                    from = end as usize;
                }
                block.filter_equal(vector, &table.codes(b"final"), true, &mut bits::first(VECTOR));
            }
        }
    }
}
