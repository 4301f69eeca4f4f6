//! The rows of a scan in their physical form: what operators of our own compute on.
//!
//! Where the storage holds integers of up to 64 bits (integers, short decimals, dates and times, see
//! [`types::sql_type`]) a vector holds the same integers and a range that they all lie in, so that
//! arithmetic on them can be proved not to overflow. Where it holds codes of a dictionary a vector
//! holds those. Anything else is an Arrow array of the column's type.
//!
//! The buffers are used again for the next rows, so what a scan yields is good only until the callback
//! returns.

use crate::StoreError;
use crate::encoding::dictionary::Dictionary;
use crate::filter::values::numbers;
use crate::segment::block::{code_array, int_array};
use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use types::{Physical, SqlType};

/// The greatest number of rows that a segment yields at once: few enough that a dozen columns stay in
/// the second cache.
pub const VECTORS_ROWS: usize = 4_096;

/// Rows of a scan. See the module.
#[derive(Debug, Default)]
pub struct Vectors {
    rows: usize,
    columns: Vec<Vector>,
}

/// One column.
#[derive(Debug)]
pub enum Vector {
    Ints(Ints),
    Codes(Codes),
    Array(ArrayRef),
}

/// Physical integers. Those of NULL rows mean nothing, but lie in the range too.
#[derive(Debug)]
pub struct Ints {
    pub values: Vec<i64>,
    pub nulls: Option<NullBuffer>,
    pub low: i64,
    pub high: i64,
}

/// Codes of a dictionary, which sort as their entries do. Those of NULL rows mean nothing.
#[derive(Debug)]
pub struct Codes {
    pub codes: Vec<u32>,
    pub nulls: Option<NullBuffer>,
    pub dictionary: Arc<Dictionary>,
}

impl Vectors {
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> &[Vector] {
        &self.columns
    }

    pub(crate) fn columns_mut(&mut self) -> &mut [Vector] {
        &mut self.columns
    }

    /// Makes room for other rows; their columns are to be set.
    pub(crate) fn reset(&mut self, rows: usize, columns: usize) {
        self.rows = rows;
        self.columns.resize_with(columns, Vector::default);
    }

    /// Takes the rows of a batch whose columns are the Arrow forms of `types`.
    pub fn set_batch(&mut self, batch: &RecordBatch, types: &[SqlType]) -> Result<(), StoreError> {
        if batch.num_columns() != types.len() {
            return Err(StoreError::internal(format_args!(
                "a batch of {} columns came for {} types",
                batch.num_columns(),
                types.len()
            )));
        }
        self.reset(batch.num_rows(), types.len());
        for ((array, ty), to) in batch.columns().iter().zip(types).zip(&mut self.columns) {
            to.set_array(array, *ty)?;
        }
        Ok(())
    }
}

impl Default for Vector {
    fn default() -> Vector {
        Vector::Array(new_empty_array(&DataType::Null))
    }
}

impl Vector {
    /// Takes the values of an array that is the Arrow form of `ty`.
    pub fn set_array(&mut self, array: &ArrayRef, ty: SqlType) -> Result<(), StoreError> {
        crate::filter::values::check_type(array, ty, "of a batch")?;
        if ty.physical() != Physical::I64 {
            *self = Vector::Array(array.clone());
            return Ok(());
        }
        let ints = self.ints_mut();
        numbers(array, ty, 0, array.len(), &mut ints.values)?;
        let whole = (i64::MAX, i64::MIN);
        let (low, high) = ints.values.iter().fold(whole, |(low, high), v| (low.min(*v), high.max(*v)));
        (ints.low, ints.high) = (low.min(high), high.max(low));
        ints.nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        Ok(())
    }

    /// This vector as integers, empty or with those of before.
    fn ints_mut(&mut self) -> &mut Ints {
        if !matches!(self, Vector::Ints(_)) {
            *self = Vector::Ints(Ints { values: Vec::new(), nulls: None, low: 0, high: 0 });
        }
        match self {
            Vector::Ints(ints) => ints,
            // Invariant: set above.
            _ => unreachable!("a vector is what it was set to"),
        }
    }

    /// Makes this integers in a range, and gives the empty list to fill.
    pub(crate) fn start_ints(&mut self, nulls: Option<NullBuffer>, low: i64, high: i64) -> &mut Vec<i64> {
        let ints = self.ints_mut();
        ints.values.clear();
        (ints.nulls, ints.low, ints.high) = (nulls, low, high);
        &mut ints.values
    }

    /// Makes this codes, and gives the empty list to fill.
    pub(crate) fn start_codes(
        &mut self,
        nulls: Option<NullBuffer>,
        dictionary: &Arc<Dictionary>,
    ) -> &mut Vec<u32> {
        let mut codes = match std::mem::take(self) {
            Vector::Codes(codes) => codes.codes,
            _ => Vec::new(),
        };
        codes.clear();
        *self = Vector::Codes(Codes { codes, nulls, dictionary: dictionary.clone() });
        match self {
            Vector::Codes(codes) => &mut codes.codes,
            // Invariant: set above.
            _ => unreachable!("a vector is what it was set to"),
        }
    }

    pub fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Vector::Ints(ints) => ints.nulls.as_ref(),
            Vector::Codes(codes) => codes.nulls.as_ref(),
            Vector::Array(array) => array.nulls(),
        }
    }

    /// The Arrow form, for a column of type `ty`.
    pub fn to_array(&self, ty: SqlType) -> Result<ArrayRef, StoreError> {
        match self {
            Vector::Ints(ints) => int_array(ty, &ints.values, ints.nulls.clone()),
            Vector::Codes(codes) => Ok(code_array(ty, &codes.codes, &codes.dictionary, codes.nulls.clone())),
            Vector::Array(array) => Ok(array.clone()),
        }
    }
}
