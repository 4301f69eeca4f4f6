//! A constant that no rule evaluates a call of: what it warns of, or fails with, comes where a row reaches it.

use super::kernel::{Function, Nulls, Returns};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

/// The name in plans.
pub(crate) const NAME: &str = "unfolded";

/// unfolded(value): the value, for each row. Of no rows a call of it evaluates nothing.
pub(crate) fn unfolded() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let mut function = Function::volatile_of(NAME, 1, Returns::Argument(0), |args| args.array(0));
        function.nulls = Nulls::Propagate;
        function.udf()
    });
    Arc::clone(&UDF)
}
