//! Conversions: errors as MySQL words them, and properties against simple oracles.

use super::*;
use crate::temporal::{format_date, format_datetime, format_time};
use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int32Type};
use proptest::prelude::*;
use std::sync::Arc;
use types::sql_type::LobSize;
use types::{ColumnDefault, ColumnId, SqlType};

fn column(ty: SqlType) -> ColumnDef {
    ColumnDef {
        id: ColumnId(1),
        name: "c".into(),
        ty,
        nullable: true,
        default: ColumnDefault::None,
        auto_increment: false,
        initial: None,
        collation: types::Collation::default(),
        on_update_now: false,
        comment: String::new(),
    }
}

fn context() -> Context {
    Context { now: 86_400_000_000 * 10 + 3_600_000_000, zone: Zone::Offset(7200), ..Context::fixed() }
}

fn from_text(text: &str, ty: SqlType) -> Result<Value> {
    convert_text(text.as_bytes(), &column(ty), &context(), 3)
}

fn from_value(value: Value, ty: SqlType) -> Result<Value> {
    convert_value(&value, &column(ty), &context(), 3)
}

const INT: SqlType = SqlType::Int { unsigned: false };
const DEC: SqlType = SqlType::Decimal { precision: 6, scale: 2 };

#[test]
fn errors_are_mysqls() {
    for (text, ty, errno, message) in [
        ("3000000000", INT, 1264, "Out of range value for column 'c' at row 3"),
        ("-1", SqlType::BigInt { unsigned: true }, 1264, "Out of range value for column 'c' at row 3"),
        (
            "8388608",
            SqlType::MediumInt { unsigned: false },
            1264,
            "Out of range value for column 'c' at row 3",
        ),
        ("99999.995", DEC, 1264, "Out of range value for column 'c' at row 3"),
        ("1e39", SqlType::Float, 1264, "Out of range value for column 'c' at row 3"),
        ("abc", INT, 1366, "Incorrect integer value: 'abc' for column 'c' at row 3"),
        ("", INT, 1366, "Incorrect integer value: '' for column 'c' at row 3"),
        ("12abc", INT, 1265, "Data truncated for column 'c' at row 3"),
        ("x", DEC, 1366, "Incorrect decimal value: 'x' for column 'c' at row 3"),
        ("12x", DEC, 1366, "Incorrect decimal value: '12x' for column 'c' at row 3"),
        ("x", SqlType::Double, 1366, "Incorrect double value: 'x' for column 'c' at row 3"),
        ("abcd", SqlType::VarChar(3), 1406, "Data too long for column 'c' at row 3"),
        ("abcd", SqlType::Binary(3), 1406, "Data too long for column 'c' at row 3"),
        ("2024-02-30", SqlType::Date, 1292, "Incorrect date value: '2024-02-30' for column 'c' at row 3"),
        (
            "2024-02-30",
            SqlType::DateTime { fsp: 0 },
            1292,
            "Incorrect datetime value: '2024-02-30' for column 'c' at row 3",
        ),
        ("25:61", SqlType::Time { fsp: 0 }, 1292, "Incorrect time value: '25:61' for column 'c' at row 3"),
        ("1899", SqlType::Year, 1264, "Out of range value for column 'c' at row 3"),
    ] {
        let error = from_text(text, ty).unwrap_err();
        assert_eq!((error.kind.errno(), error.message.as_str()), (errno, message), "{text} as {ty}");
    }
    let utf8 = convert_text(b"ab\xff\xfe", &column(SqlType::VarChar(9)), &context(), 1).unwrap_err();
    assert_eq!(utf8.message, "Incorrect string value: '\\xFF\\xFE' for column 'c' at row 1");
    let mut required = column(INT);
    required.nullable = false;
    let null = convert_value(&Value::Null, &required, &context(), 1).unwrap_err();
    assert_eq!((null.kind.errno(), null.message.as_str()), (1048, "Column 'c' cannot be null"));
}

#[test]
fn texts() {
    assert_eq!(from_text("12.5", INT), Ok(Value::Int(13)));
    assert_eq!(from_text(" 7 ", SqlType::TinyInt { unsigned: true }), Ok(Value::UInt(7)));
    assert_eq!(from_text("1.005", DEC), Ok(Value::Decimal { unscaled: 101, scale: 2 }));
    assert_eq!(from_text("-1.005", DEC), Ok(Value::Decimal { unscaled: -101, scale: 2 }));
    assert_eq!(from_text("ab  ", SqlType::Char(3)), Ok(Value::Text("ab".into())));
    assert_eq!(from_text("abc  ", SqlType::VarChar(3)), Ok(Value::Text("abc".into())));
    assert_eq!(from_text("ab ", SqlType::VarChar(3)), Ok(Value::Text("ab ".into())));
    assert_eq!(from_text("äöü", SqlType::VarChar(3)), Ok(Value::Text("äöü".into())));
    assert!(from_text("äöüß", SqlType::VarChar(3)).is_err());
    assert!(from_text(&"x".repeat(256), SqlType::Text(LobSize::Tiny)).is_err());
    assert_eq!(from_text("ab", SqlType::Binary(4)), Ok(Value::Bytes(b"ab\0\0".to_vec())));
    assert_eq!(from_text("69", SqlType::Year), Ok(Value::UInt(2069)));
    assert_eq!(from_text("0", SqlType::Year), Ok(Value::UInt(2000)));
    assert_eq!(from_text("0000", SqlType::Year), Ok(Value::UInt(0)));
    // The session's zone is two hours ahead of UTC.
    let moment = from_text("1970-01-01 02:00:05", SqlType::Timestamp { fsp: 0 });
    assert_eq!(moment, Ok(Value::Timestamp(5_000_000)));
    let moment = from_text("1970-01-01 00:00:05+00:00", SqlType::DateTime { fsp: 0 });
    assert_eq!(moment, Ok(Value::DateTime(7_205_000_000)));
}

#[test]
fn values_of_other_types() {
    let date = Value::Date(19_727); // 2024-01-05
    assert_eq!(from_value(date.clone(), INT), Ok(Value::Int(20_240_105)));
    assert_eq!(from_value(date.clone(), SqlType::VarChar(20)), Ok(Value::Text("2024-01-05".into())));
    assert_eq!(from_value(date.clone(), SqlType::Year), Ok(Value::UInt(2024)));
    let midnight = 19_727 * 86_400_000_000;
    assert_eq!(from_value(date, SqlType::DateTime { fsp: 0 }), Ok(Value::DateTime(midnight)));
    assert_eq!(from_value(Value::Int(20_240_105), SqlType::Date), Ok(Value::Date(19_727)));
    assert_eq!(from_value(Value::Double(2.5), INT), Ok(Value::Int(2)));
    assert_eq!(from_value(Value::Decimal { unscaled: 25, scale: 1 }, INT), Ok(Value::Int(3)));
    assert_eq!(from_value(Value::Double(0.125), DEC), Ok(Value::Decimal { unscaled: 13, scale: 2 }));
    assert_eq!(from_value(Value::Int(7), SqlType::VarChar(1)), Ok(Value::Text("7".into())));
    assert_eq!(from_value(Value::Timestamp(0), SqlType::Time { fsp: 0 }), Ok(Value::Time(7_200_000_000)));
    assert_eq!(
        from_value(Value::DateTime(1_500_000), SqlType::DateTime { fsp: 0 }),
        Ok(Value::DateTime(2_000_000))
    );
    assert_eq!(from_value(Value::Int(102_030), SqlType::Time { fsp: 0 }), Ok(Value::Time(37_230_000_000)));
    assert!(from_value(Value::Int(5), SqlType::Date).is_err());
    assert_eq!(from_value(Value::Null, INT), Ok(Value::Null));
    // A TIME becomes that time of the statement's day.
    let at = from_value(Value::Time(1_000_000), SqlType::DateTime { fsp: 0 });
    assert_eq!(at, Ok(Value::DateTime(10 * 86_400_000_000 + 1_000_000)));
}

#[test]
fn columns_of_other_types() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(300)]));
    let from = Field::new("x", DataType::Int32, true);
    let wide = convert_column(&ints, &from, &column(SqlType::BigInt { unsigned: false }), &context(), 1);
    assert_eq!(wide.unwrap().as_ref(), &Int64Array::from(vec![Some(1), None, Some(300)]) as &dyn Array);
    let error = convert_column(&ints, &from, &column(SqlType::TinyInt { unsigned: false }), &context(), 11);
    assert_eq!(error.unwrap_err().message, "Out of range value for column 'c' at row 13");
    let mut required = column(INT);
    required.nullable = false;
    assert!(convert_column(&ints, &from, &required, &context(), 1).is_err());
    let same = convert_column(&ints, &INT.field("x", true), &column(INT), &context(), 1).unwrap();
    assert!(Arc::ptr_eq(&same, &ints), "nothing to convert, nothing copied");
    let dictionary: DictionaryArray<Int32Type> = vec!["a", "bb", "a"].into_iter().collect();
    let dictionary: ArrayRef = Arc::new(dictionary);
    let from = Field::new("x", dictionary.data_type().clone(), true);
    let texts = convert_column(&dictionary, &from, &column(SqlType::VarChar(2)), &context(), 1).unwrap();
    assert_eq!(texts.as_ref(), &StringViewArray::from(vec!["a", "bb", "a"]) as &dyn Array);
    let long = convert_column(&dictionary, &from, &column(SqlType::VarChar(1)), &context(), 1);
    assert_eq!(long.unwrap_err().message, "Data too long for column 'c' at row 2");
    // Declared lengths are not believed.
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["abc"]));
    let from = SqlType::VarChar(2).field("x", true);
    assert!(convert_column(&texts, &from, &column(SqlType::VarChar(2)), &context(), 1).is_err());
}

#[test]
fn defaults_and_constants() {
    let mut with_default = column(SqlType::DateTime { fsp: 0 });
    with_default.default = ColumnDefault::CurrentTimestamp;
    let expected = DefaultValue::Value(Value::DateTime(10 * 86_400_000_000 + 3 * 3_600_000_000));
    assert_eq!(default_value(&with_default, &context()), Ok(expected));
    let array =
        constant_column(&Value::Text("a text of some length".into()), &column(SqlType::VarChar(50)), 3);
    assert_eq!(array.unwrap().as_string_view().value(2), "a text of some length");
    assert_eq!(constant_column(&Value::Null, &column(INT), 2).unwrap().null_count(), 2);
    assert_eq!(constant_column(&Value::Null, &column(INT), 0).unwrap().len(), 0);
}

/// Every value of a type survives being written as text and read back.
fn reads_back(value: Value, ty: SqlType) {
    let utc = Context::fixed();
    let text = match (&value, ty) {
        (Value::Date(v), _) => format_date(*v),
        (Value::DateTime(v) | Value::Timestamp(v), _) => format_datetime(*v, 6),
        (Value::Time(v), _) => format_time(*v, 6),
        _ => String::from_utf8(Scalar::of(&value).text().into_owned()).unwrap(),
    };
    assert_eq!(convert_text(text.as_bytes(), &column(ty), &utc, 1), Ok(value), "{text} as {ty}");
}

proptest! {
    #[test]
    fn integers_read_back(value in any::<i64>(), unsigned in any::<u64>()) {
        reads_back(Value::Int(value), SqlType::BigInt { unsigned: false });
        reads_back(Value::UInt(unsigned), SqlType::BigInt { unsigned: true });
        reads_back(Value::Int(i64::from(value as i32)), INT);
    }

    #[test]
    fn times_read_back(days in crate::temporal::MIN_DATE..=crate::temporal::MAX_DATE, of_day in 0i64..86_400_000_000) {
        reads_back(Value::Date(days), SqlType::Date);
        reads_back(Value::DateTime(i64::from(days) * 86_400_000_000 + of_day), SqlType::DateTime { fsp: 6 });
        reads_back(Value::Time(of_day), SqlType::Time { fsp: 6 });
        reads_back(Value::Time(-of_day), SqlType::Time { fsp: 6 });
    }

    #[test]
    fn doubles_read_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
        reads_back(Value::Double(value), SqlType::Double);
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[0-9eE:. +-]{0,24}") {
        for ty in [
            INT, DEC, SqlType::Double, SqlType::Float, SqlType::Date, SqlType::Time { fsp: 2 }, SqlType::Year,
            SqlType::DateTime { fsp: 1 }, SqlType::Timestamp { fsp: 3 }, SqlType::Char(3), SqlType::Binary(30),
            SqlType::Decimal { precision: 38, scale: 30 },
        ] {
            let _ = convert_text(&bytes, &column(ty), &context(), 1);
            let _ = from_text(&text, ty);
        }
    }

    #[test]
    fn integers_agree_with_rust(text in "-?[0-9]{1,12}") {
        let expected = text.parse::<i64>().ok().and_then(|v| i32::try_from(v).ok());
        prop_assert_eq!(from_text(&text, INT).ok(), expected.map(|v| Value::Int(i64::from(v))));
    }

    #[test]
    fn values_and_texts_agree(unscaled in -9_999_999i128..10_000_000, scale in 0u8..5) {
        let value = Value::Decimal { unscaled, scale };
        let text = number::format_decimal(unscaled, scale);
        for ty in [INT, DEC, SqlType::Double, SqlType::VarChar(20)] {
            prop_assert_eq!(from_value(value.clone(), ty).ok(), from_text(&text, ty).ok(), "{} as {}", text, ty);
        }
    }
}
