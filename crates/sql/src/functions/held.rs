//! What a column holds of a value that is assigned to it. An UPDATE shows that to its later assignments.
//!
//! It raises nothing: what the column does not take is told once, where the value is stored.

use super::kernel::{Arguments, Function, Nulls, Returns};
use super::warnings;
use crate::convert::{Context, convert_column};
use crate::temporal::Zone;
use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use types::{Collation, ColumnDef, ColumnDefault, ColumnId, SqlType};

/// held(value, type of the value, type of the column, whether it is NOT NULL, UTC now in microseconds, zone); all
/// constants but the value.
pub(crate) fn held() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Function::new("held", Returns::By(result), Nulls::Always, kernel).udf());
    Arc::clone(&UDF)
}

fn result(_: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    match scalars.get(2) {
        Some(Some(ScalarValue::Utf8View(Some(text)))) => Ok(parsed(Some(text.as_str()))?.arrow()),
        _ => Err(no_constant()),
    }
}

fn parsed(text: Option<&str>) -> Result<SqlType> {
    text.and_then(SqlType::parse).ok_or_else(no_constant)
}

fn no_constant() -> DataFusionError {
    DataFusionError::Internal("held() needs constants for types".into())
}

fn kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let text = |at: usize| args.texts(at).map(|texts| texts.constant().flatten());
    let number = |at: usize| args.numbers::<Int64Type>(at).map(|numbers| numbers.get(0).unwrap_or_default());
    let value = args.array(0)?;
    let from = parsed(text(1)?)?.field("", true).with_data_type(value.data_type().clone());
    let column = column(parsed(text(2)?)?, number(3)? == 0);
    let zone = text(5)?.and_then(Zone::parse).ok_or_else(no_constant)?;
    let context = Context { now: number(4)?, zone, lenient: true, ..Context::fixed() };
    warnings::hear_all(|| converted(&value, &from, &column, &context)).0
}

/// The values of the column; NULL for those that it takes in no mode, with which the statement fails.
fn converted(value: &ArrayRef, from: &Field, column: &ColumnDef, context: &Context) -> Result<ArrayRef> {
    if let Ok(all) = convert_column(value, from, column, context, 1) {
        return Ok(all);
    }
    let one = |row: usize| {
        let converted = convert_column(&value.slice(row, 1), from, column, context, 1);
        converted.unwrap_or_else(|_| new_null_array(&column.ty.arrow(), 1))
    };
    let rows: Vec<ArrayRef> = (0..value.len()).map(one).collect();
    let rows: Vec<_> = rows.iter().map(|row| row.as_ref()).collect();
    Ok(arrow::compute::concat(&rows)?)
}

fn column(ty: SqlType, nullable: bool) -> ColumnDef {
    ColumnDef {
        id: ColumnId(0),
        name: String::new(),
        ty,
        collation: Collation::default(),
        nullable,
        default: ColumnDefault::None,
        initial: None,
        auto_increment: false,
        on_update_now: false,
        comment: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int8Type;

    #[test]
    fn what_comes_nearest_and_no_warning() {
        let context = Context { lenient: true, ..Context::fixed() };
        let tiny = column(SqlType::TinyInt { unsigned: false }, false);
        let value: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), Some(300), None]));
        let from = SqlType::BigInt { unsigned: false }.field("", true);
        let held = converted(&value, &from, &tiny, &context).unwrap();
        assert_eq!(held.as_primitive::<Int8Type>().values(), &[5, 127, 0]);
        let value: ArrayRef = Arc::new(StringViewArray::from(vec!["2024-02-03", "never"]));
        let from = SqlType::VarChar(10).field("", true);
        let held = converted(&value, &from, &column(SqlType::Date, true), &context).unwrap();
        assert!(held.is_valid(0) && held.is_null(1), "no date comes near");
    }
}
