use super::*;
use arrow::array::{
    BinaryArray, BinaryViewArray, Date32Array, Decimal128Array, Decimal256Array, DictionaryArray,
    FixedSizeBinaryArray, Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray, ListArray,
    StringArray, StringViewArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Int8Type, Int32Type, Schema, i256};
use std::collections::HashMap;

/// Small numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let field = |(at, column): (usize, &ArrayRef)| {
        Field::new(format!("column {at}"), column.data_type().clone(), true)
    };
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// Columns of all kinds; `spread` is how far numbers lie apart, in bits.
fn columns(rows: usize, spread: u32, nulls: bool) -> Vec<ArrayRef> {
    let mut numbers = Numbers(rows as u64 + u64::from(spread));
    let there: Vec<bool> = (0..rows).map(|_| !nulls || numbers.next(3) > 0).collect();
    let bits: Vec<u64> = (0..rows)
        .map(|_| ((numbers.next(1 << 31) << 33) | (numbers.next(1 << 31) << 2)) >> (64 - spread).min(63))
        .collect();
    let values = || there.iter().zip(&bits).map(|(there, bits)| there.then_some(*bits));
    let text = |bits: u64| "ab\u{e9}c".repeat(bits as usize % 7);
    let few = |bits: u64| {
        ["GERMANY", "a name that is longer than a view", "", "\u{65e5}\u{672c}"][bits as usize % 4]
    };
    vec![
        Arc::new(NullArray::new(rows)),
        Arc::new(BooleanArray::from_iter(values().map(|v| v.map(|v| v % 2 == 0)))),
        Arc::new(Int8Array::from_iter(values().map(|v| v.map(|v| v as i8)))),
        Arc::new(Int32Array::from_iter(values().map(|v| v.map(|v| v as i32)))),
        Arc::new(Int64Array::from_iter(values().map(|v| v.map(|v| (v as i64).wrapping_sub(1 << 40))))),
        Arc::new(UInt64Array::from_iter(values())),
        Arc::new(Date32Array::from_iter(values().map(|v| v.map(|v| v as i32 % 3000)))),
        Arc::new(
            TimestampMicrosecondArray::from_iter(values().map(|v| v.map(|v| v as i64))).with_timezone("UTC"),
        ),
        Arc::new(
            Decimal128Array::from_iter(
                values().map(|v| v.map(|v| i128::from(v as i64) * (1 << (spread / 2)) - 7)),
            )
            .with_precision_and_scale(38, 4)
            .unwrap(),
        ),
        Arc::new(Decimal256Array::from_iter(values().map(|v| v.map(|v| i256::from(v as i64))))),
        Arc::new(Float64Array::from_iter(values().map(|v| v.map(|v| v as f64 / 3.0)))),
        Arc::new(StringViewArray::from_iter(values().map(|v| v.map(text)))),
        Arc::new(StringViewArray::from_iter(values().map(|v| v.map(few)))),
        Arc::new(BinaryViewArray::from_iter(values().map(|v| v.map(|v| vec![0xff; v as usize % 40])))),
        Arc::new(StringArray::from_iter(values().map(|v| v.map(text)))),
        Arc::new(LargeStringArray::from_iter(values().map(|v| v.map(text)))),
        Arc::new(BinaryArray::from_iter(values().map(|v| v.map(|v| v.to_le_bytes())))),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                values().map(|v| v.map(|v| v.to_le_bytes()[..3].to_vec())),
                3,
            )
            .unwrap(),
        ),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            values().map(|v| v.map(|v| (0..v % 5).map(move |at| Some((v + at) as i32)))),
        )),
        Arc::new(
            StructArray::try_new_with_length(
                vec![Field::new("inner", DataType::Int64, true)].into(),
                vec![Arc::new(Int64Array::from_iter(values().map(|v| v.map(|v| v as i64)))) as ArrayRef],
                nulls.then(|| NullBuffer::from(there.clone())),
                rows,
            )
            .unwrap(),
        ),
        Arc::new(values().map(|v| v.map(few)).collect::<DictionaryArray<Int8Type>>()),
    ]
}

fn cross(batches: &[RecordBatch]) {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    for batch in batches {
        assert_eq!(&decoder.decode(encoder.encode(batch).unwrap()).unwrap(), batch);
    }
}

#[test]
fn all_kinds_of_columns_cross() {
    for rows in [0, 1, 7, 8, 100, 1000] {
        for spread in [1, 7, 15, 31, 40, 63] {
            for nulls in [false, true] {
                let batch = batch(columns(rows, spread, nulls));
                cross(&[batch.clone(), batch.slice(rows / 3, rows / 2), batch.slice(rows, 0)]);
            }
        }
    }
}

#[test]
fn rows_without_columns_cross() {
    let rows = |n| {
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap()
    };
    cross(&[rows(3), rows(0), rows(8192)]);
}

#[test]
fn another_schema_comes_when_it_changes() {
    let ints = batch(vec![Arc::new(Int32Array::from(vec![1, 2]))]);
    let text = batch(vec![Arc::new(StringViewArray::from(vec!["a"]))]);
    let metadata = HashMap::from([("key".to_string(), "value".to_string())]);
    let named = Schema::new_with_metadata(text.schema().fields().clone(), metadata);
    let named = RecordBatch::try_new(Arc::new(named), text.columns().to_vec()).unwrap();
    cross(&[ints.clone(), ints.clone(), text, named, ints]);
}

#[test]
fn numbers_are_as_narrow_as_what_lies_between_them() {
    let size = |column: ArrayRef| {
        let mut out = Vec::new();
        write(column.as_ref(), &mut out).unwrap();
        out.len()
    };
    // A byte for "no NULLs", the width, the least.
    let of_ints = |values: Vec<i64>| size(Arc::new(Int64Array::from(values)));
    assert_eq!(of_ints(vec![i64::MIN; 1000]), 2 + 8);
    assert_eq!(of_ints((0..1000).map(|i| i64::MAX - i % 256).collect()), 2 + 8 + 1000);
    assert_eq!(of_ints((0..1000).map(|i| -30_000 + i * 60).collect()), 2 + 8 + 2000);
    assert_eq!(of_ints((0..1000).map(|i| i << 20).collect()), 2 + 8 + 4000);
    assert_eq!(of_ints(vec![i64::MIN, i64::MAX]), 2 + 16);
    let amounts = Decimal128Array::from_iter_values((0..1000).map(|i| (1 << 90) | (i * 1000)));
    assert_eq!(size(Arc::new(amounts)), 2 + 16 + 4000);
    assert_eq!(size(Arc::new(Decimal128Array::from(vec![i128::MIN, i128::MAX]))), 2 + 32);
    // What stands where there is NULL does not count.
    let far = Int64Array::new(vec![5, i64::MAX, 6].into(), Some(vec![true, false, true].into()));
    assert_eq!(size(Arc::new(far)), 1 + 1 + 1 + 8 + 3);
    let names = StringViewArray::from_iter_values((0..1000).map(|i| ["SAUDI ARABIA", "CHINA"][i % 2]));
    assert_eq!(size(Arc::new(names)), 1 + 2 + (1 + 4 + 2) + (4 + 17) + 1000);
}

#[test]
fn damaged_messages_are_errors_or_other_rows() {
    let mut numbers = Numbers(1);
    for nulls in [false, true] {
        let message = Encoder::default().encode(&batch(columns(40, 15, nulls))).unwrap();
        for end in 0..message.len() {
            assert!(Decoder::default().decode(message.slice(..end)).is_err(), "{end} of {}", message.len());
        }
        for _ in 0..20_000 {
            let mut bytes = message.to_vec();
            for _ in 0..=numbers.next(3) {
                let at = numbers.next(bytes.len() as u64) as usize;
                bytes[at] = numbers.next(256) as u8;
            }
            // Whatever comes of it can be looked at.
            if let Ok(rows) = Decoder::default().decode(bytes.into())
                && rows.num_rows() < 1000
            {
                let _ = format!("{rows:?}");
            }
        }
    }
}

#[test]
fn few_bytes_do_not_stand_for_more_than_fits() {
    let column = |rows: u32| {
        let mut out = vec![1];
        types::write_schema(&Schema::new(vec![Field::new("d", DataType::Decimal128(38, 0), true)]), &mut out)
            .unwrap();
        out.extend_from_slice(&rows.to_le_bytes());
        // No NULLs, no width, and the one value.
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&7i128.to_le_bytes());
        Bytes::from(out)
    };
    assert_eq!(Decoder::default().decode(column(1000)).unwrap().num_rows(), 1000);
    let error = Decoder::default().decode(column(u32::MAX)).unwrap_err();
    assert!(error.to_string().contains("larger than can be"), "{error}");
}
