//! MySQL's conversions of assignment: what INSERT, UPDATE and LOAD DATA do to a value so that it is one of its
//! column, or how they refuse it. Outside of the strict modes ([`lenient`]) less is refused.
//!
//! Three ways in: text fields in bulk ([`ColumnBuilder::append_many`]), Arrow columns of any type
//! ([`convert_column`]) and single values ([`convert_value`], [`convert_text`]). All end in
//! [`ColumnBuilder`], whose arrays have the Arrow type of the column's SQL type.

mod array;
mod builder;
mod defaults;
mod lenient;
pub mod number;
mod scalar;
#[cfg(test)]
mod tests;
mod view;
mod wrong;

use crate::temporal::Zone;
use types::{ColumnDef, Result, Value};

pub use crate::functions::warnings::{Heard, Warning, gather, hear_all};
pub use array::{constant_column, convert_column, value_at};
pub use builder::ColumnBuilder;
pub(crate) use defaults::current_time;
pub use defaults::{DefaultValue, convert_default, default_value};
pub(crate) use lenient::zero;
pub use scalar::Scalar;
pub use wrong::Wrong;

/// What conversions need of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The time of the statement, in microseconds since 1970 UTC.
    pub now: i64,
    /// The session's `time_zone`.
    pub zone: Zone,
    /// Values that are none of their column are brought to it, with a warning; else they are errors.
    pub lenient: bool,
    /// So says the statement, by IGNORE.
    pub ignore: bool,
    /// Divisions by zero are errors in what tables compute.
    pub divisions_fail: bool,
    /// 0 in an AUTO_INCREMENT column is stored: NO_AUTO_VALUE_ON_ZERO. Else it means a number to be generated, as NULL
    /// does.
    pub keeps_zero: bool,
}

impl Context {
    /// 1970 in UTC, for checks that do not depend on time.
    pub const fn fixed() -> Context {
        Context {
            now: 0,
            zone: Zone::UTC,
            lenient: false,
            ignore: false,
            divisions_fail: true,
            keeps_zero: false,
        }
    }
}

/// One text to a value of the column.
pub fn convert_text(text: &[u8], to: &ColumnDef, context: &Context, row: u64) -> Result<Value> {
    convert_scalar(Scalar::Bytes(text), to, context, row)
}

/// One value of any type to a value of the column.
pub fn convert_value(value: &Value, to: &ColumnDef, context: &Context, row: u64) -> Result<Value> {
    convert_scalar(Scalar::of(value), to, context, row)
}

fn convert_scalar(scalar: Scalar<'_>, to: &ColumnDef, context: &Context, row: u64) -> Result<Value> {
    let mut builder = ColumnBuilder::new(to, 1);
    builder.assign(&scalar, to, context, row)?;
    Ok(value_at(&builder.finish(), to.ty, 0))
}
