//! LAST_INSERT_ID(expression): the value, which the session's LAST_INSERT_ID() gives from then on. Where it is evaluated
//! it is told like a warning ([`super::warnings`]), and so it comes to the session from other nodes, too.

use super::kernel::{Function, Returns, build_numbers};
use super::warnings;
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

/// last_insert_id(BIGINT UNSIGNED)
pub(crate) fn last_insert_id() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::volatile_of("last_insert_id", 1, Returns::Type(DataType::UInt64), |args| {
            let values = args.numbers::<UInt64Type>(0)?;
            if let Some(last) = args.rows.checked_sub(1) {
                // As MySQL has it, NULL is told as 0.
                warnings::tell_insert_id(values.get(last).unwrap_or(0));
            }
            build_numbers::<UInt64Type>(args, |row| Ok(values.get(row)))
        })
        .udf()
    });
    Arc::clone(&UDF)
}
