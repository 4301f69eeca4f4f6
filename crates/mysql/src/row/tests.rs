use super::*;
use crate::packet::reader::FieldReader;
use ::types::SqlType;
use ::types::sql_type::LobSize;
use arrow::array::*;
use arrow::datatypes::*;
use std::sync::Arc;

fn batch_of(columns: Vec<(SqlType, ArrayRef)>) -> (RecordBatch, Vec<ColumnMeta>) {
    let metas = columns.iter().map(|(ty, _)| ColumnMeta::new("c", *ty)).collect();
    let batch = RecordBatch::try_from_iter(
        columns.into_iter().enumerate().map(|(i, (_, array))| (format!("c{i}"), array)),
    );
    (batch.unwrap(), metas)
}

fn rows(columns: Vec<(SqlType, ArrayRef)>, format: RowFormat) -> Vec<Vec<u8>> {
    let (batch, metas) = batch_of(columns);
    let encoder = RowEncoder::new(&batch, &metas, format).unwrap();
    (0..encoder.rows())
        .map(|row| {
            let mut out = Vec::new();
            encoder.encode(row, &mut out);
            out
        })
        .collect()
}

/// The texts of one column, NULL as "NULL".
fn texts(ty: SqlType, array: impl Array + 'static) -> Vec<String> {
    let text = |row: Vec<u8>| match row[0] {
        TEXT_NULL => "NULL".to_string(),
        _ => String::from_utf8(FieldReader::new(&row).lenenc_bytes().unwrap().to_vec()).unwrap(),
    };
    rows(vec![(ty, Arc::new(array))], RowFormat::Text).into_iter().map(text).collect()
}

/// The bytes of one column without NULLs, behind header and bitmap.
fn binaries(ty: SqlType, array: impl Array + 'static) -> Vec<Vec<u8>> {
    rows(vec![(ty, Arc::new(array))], RowFormat::Binary)
        .into_iter()
        .map(|row| {
            assert_eq!(row[..2], [0, 0]);
            row[2..].to_vec()
        })
        .collect()
}

const INT: SqlType = SqlType::Int { unsigned: false };
const DATETIME: SqlType = SqlType::DateTime { fsp: 0 };

#[test]
fn text_of_every_type() {
    use SqlType::*;
    assert_eq!(texts(Bool, BooleanArray::from(vec![Some(true), None, Some(false)])), ["1", "NULL", "0"]);
    assert_eq!(texts(Bool, Int8Array::from(vec![7])), ["7"]);
    assert_eq!(texts(TinyInt { unsigned: false }, Int8Array::from(vec![i8::MIN])), ["-128"]);
    assert_eq!(texts(SmallInt { unsigned: true }, UInt16Array::from(vec![65_535])), ["65535"]);
    assert_eq!(texts(MediumInt { unsigned: false }, Int32Array::from(vec![-8_388_608])), ["-8388608"]);
    assert_eq!(texts(BigInt { unsigned: false }, Int64Array::from(vec![i64::MIN])), ["-9223372036854775808"]);
    assert_eq!(texts(BigInt { unsigned: true }, UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
    assert_eq!(texts(Year, UInt16Array::from(vec![1999, 0])), ["1999", "0000"]);
    let decimals = Decimal128Array::from(vec![-5, 12_345]).with_precision_and_scale(20, 3).unwrap();
    assert_eq!(texts(Decimal { precision: 20, scale: 3 }, decimals), ["-0.005", "12.345"]);
    assert_eq!(texts(Float, Float32Array::from(vec![0.1])), ["0.1"]);
    assert_eq!(texts(Double, Float64Array::from(vec![1e20, 0.1])), ["1e20", "0.1"]);
    assert_eq!(texts(Date, Date32Array::from(vec![19_000])), ["2022-01-08"]);
    assert_eq!(
        texts(Time { fsp: 2 }, DurationMicrosecondArray::from(vec![-3_600_120_000])),
        ["-01:00:00.12"]
    );
    let moment = TimestampMicrosecondArray::from(vec![1_641_600_000_123_456]);
    assert_eq!(texts(DATETIME, moment.clone()), ["2022-01-08 00:00:00"]);
    assert_eq!(texts(DateTime { fsp: 6 }, moment.clone()), ["2022-01-08 00:00:00.123456"]);
    assert_eq!(texts(Timestamp { fsp: 3 }, moment.with_timezone("+00:00")), ["2022-01-08 00:00:00.123"]);
    assert_eq!(texts(Binary(0), NullArray::new(2)), ["NULL", "NULL"]);
}

#[test]
fn strings_of_every_arrow_type() {
    let text = SqlType::VarChar(10);
    let long = "ü".repeat(200);
    let values = vec![Some("a"), None, Some(&long), Some("")];
    let expected = ["a", "NULL", &long, ""];
    assert_eq!(texts(text, StringArray::from(values.clone())), expected);
    assert_eq!(texts(text, LargeStringArray::from(values.clone())), expected);
    assert_eq!(texts(text, StringViewArray::from(values.clone())), expected);
    assert_eq!(texts(text, values.iter().copied().collect::<DictionaryArray<Int32Type>>()), expected);
    let bytes: Vec<_> = values.iter().map(|v| v.map(str::as_bytes)).collect();
    let blob = SqlType::Blob(LobSize::Normal);
    assert_eq!(texts(blob, BinaryArray::from(bytes.clone())), expected);
    assert_eq!(texts(blob, LargeBinaryArray::from(bytes.clone())), expected);
    assert_eq!(texts(blob, BinaryViewArray::from_iter(bytes)), expected);
    let fixed = FixedSizeBinaryArray::try_from_iter(["ab", "cd"].into_iter()).unwrap();
    assert_eq!(texts(SqlType::Binary(2), fixed), ["ab", "cd"]);
    assert_eq!(
        rows(vec![(text, Arc::new(StringArray::from(vec!["x".repeat(251)])))], RowFormat::Text)[0][..3],
        [0xfc, 251, 0]
    );
}

#[test]
fn doubles_with_a_number_of_decimals() {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let (batch, mut metas) = batch_of(vec![(SqlType::Double, array)]);
    metas[0].decimals = 2;
    let mut out = Vec::new();
    RowEncoder::new(&batch, &metas, RowFormat::Text).unwrap().encode(0, &mut out);
    assert_eq!(out, b"\x041.50");
}

#[test]
fn other_arrow_types_are_cast_to_the_announced_one() {
    assert_eq!(texts(INT, Int64Array::from(vec![5])), ["5"]);
    assert_eq!(binaries(INT, Int64Array::from(vec![5])), [[5, 0, 0, 0]]);
    let decimals = Decimal128Array::from(vec![15]).with_precision_and_scale(5, 1).unwrap();
    assert_eq!(texts(SqlType::Decimal { precision: 10, scale: 3 }, decimals), ["1.500"]);
    assert_eq!(texts(DATETIME, TimestampSecondArray::from(vec![60])), ["1970-01-01 00:01:00"]);
    assert_eq!(texts(SqlType::Time { fsp: 0 }, Time32SecondArray::from(vec![61])), ["00:01:01"]);
    assert_eq!(texts(SqlType::VarChar(5), Int32Array::from(vec![12])), ["12"]);

    let (batch, metas) = batch_of(vec![(INT, Arc::new(Int64Array::from(vec![i64::MAX])))]);
    let error = RowEncoder::new(&batch, &metas, RowFormat::Text).err().unwrap();
    assert!(error.message.starts_with("result column 'c' is Int64 and not int: "), "{error}");
    assert!(RowEncoder::new(&batch, &[], RowFormat::Text).is_err());
}

#[test]
fn binary_of_every_type() {
    use SqlType::*;
    assert_eq!(binaries(Bool, BooleanArray::from(vec![true])), [[1]]);
    assert_eq!(binaries(TinyInt { unsigned: false }, Int8Array::from(vec![-1])), [[255]]);
    assert_eq!(binaries(Year, UInt16Array::from(vec![2000])), [[0xd0, 7]]);
    assert_eq!(binaries(MediumInt { unsigned: false }, Int32Array::from(vec![-2])), [[254, 255, 255, 255]]);
    assert_eq!(binaries(BigInt { unsigned: true }, UInt64Array::from(vec![3])), [[3, 0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(binaries(Float, Float32Array::from(vec![1.0])), [1f32.to_le_bytes()]);
    assert_eq!(binaries(Double, Float64Array::from(vec![1.0])), [1f64.to_le_bytes()]);
    let decimals = Decimal128Array::from(vec![-5]).with_precision_and_scale(20, 3).unwrap();
    assert_eq!(binaries(Decimal { precision: 20, scale: 3 }, decimals), [b"\x06-0.005"]);
    assert_eq!(binaries(VarChar(3), StringViewArray::from(vec!["abc"])), [b"\x03abc"]);
    assert_eq!(binaries(Date, Date32Array::from(vec![19_000])), [[4, 0xe6, 7, 1, 8]]);

    let day = 1_641_600_000_000_000;
    let moments = vec![day, day + 3_661_000_000, day + 1];
    let expected: [&[u8]; 3] =
        [&[4, 0xe6, 7, 1, 8], &[7, 0xe6, 7, 1, 8, 1, 1, 1], &[11, 0xe6, 7, 1, 8, 0, 0, 0, 1, 0, 0, 0]];
    assert_eq!(binaries(DateTime { fsp: 6 }, TimestampMicrosecondArray::from(moments.clone())), expected);
    assert_eq!(binaries(DATETIME, TimestampMicrosecondArray::from(moments))[2], expected[0]);

    let times = vec![0, -90_061_000_000, 1];
    let expected: [&[u8]; 3] =
        [&[0], &[8, 1, 1, 0, 0, 0, 1, 1, 1], &[12, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]];
    assert_eq!(binaries(Time { fsp: 6 }, DurationMicrosecondArray::from(times)), expected);
}

#[test]
fn binary_nulls_are_bits_after_two_others() {
    let column = |values: Vec<Option<i8>>| {
        (SqlType::TinyInt { unsigned: false }, Arc::new(Int8Array::from(values)) as ArrayRef)
    };
    let columns = (0..8).map(|i| column(vec![(![0, 6].contains(&i)).then_some(i), Some(i)])).collect();
    let rows = rows(columns, RowFormat::Binary);
    assert_eq!(rows[0], [0, 0b100, 1, 1, 2, 3, 4, 5, 7]);
    assert_eq!(rows[1], [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]);
    let nulls = vec![(SqlType::Binary(0), Arc::new(NullArray::new(1)) as ArrayRef)];
    assert_eq!(super::tests::rows(nulls, RowFormat::Binary), [[0, 0b100]]);
}
