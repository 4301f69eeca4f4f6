//! One value that stands for several: equal if and only if all are. For COUNT(DISTINCT a, b).

use super::kernel::{Arguments, Function, Nulls, Returns};
use arrow::array::{Array, ArrayRef, BinaryViewBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

/// row_key(value, ..): NULL if any is NULL.
pub(crate) fn row_key() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new("row_key", Returns::Type(DataType::BinaryView), Nulls::Propagate, key_kernel).udf()
    });
    Arc::clone(&UDF)
}

fn key_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let columns = (0..args.len()).map(|at| args.array(at)).collect::<Result<Vec<_>>>()?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
    let nulls = columns.iter().fold(None, |nulls: Option<NullBuffer>, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    let mut keys = BinaryViewBuilder::with_capacity(args.rows);
    for (at, row) in rows.iter().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(at)) {
            keys.append_null();
        } else {
            keys.append_value(row);
        }
    }
    Ok(Arc::new(keys.finish()))
}
