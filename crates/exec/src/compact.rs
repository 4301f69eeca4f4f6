//! Batches that hold no more than their rows.
//!
//! A column of strings shares the buffers of the block that it was read from, or of the batches that it was
//! taken from. An operator that keeps such a batch keeps all of them, and counts them once for every batch.

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};
use datafusion::common::Result;
use std::sync::Arc;

/// Bytes that a column may hold beyond its rows, besides as many as they take.
const SLACK: usize = 16 << 10;

/// The same rows, without what other rows alone need of the buffers of strings.
pub(crate) fn compacted(batch: RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => without_others::<StringViewType>(column, column.as_string_view()),
        DataType::BinaryView => without_others::<BinaryViewType>(column, column.as_binary_view()),
        _ => column.clone(),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns.collect(), &options)?)
}

fn without_others<T: ByteViewType + ?Sized>(column: &ArrayRef, views: &GenericByteViewArray<T>) -> ArrayRef {
    let held: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    if held <= SLACK || held <= SLACK + 2 * views.total_buffer_bytes_used() {
        return column.clone();
    }
    Arc::new(views.gc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use arrow::datatypes::{Field, Schema};

    #[test]
    fn a_part_of_a_block_does_not_hold_the_block() {
        let block: StringViewArray = (0..5_000).map(|n| Some(format!("a string that is long {n}"))).collect();
        let schema = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8View, true)]));
        let whole = RecordBatch::try_new(schema, vec![Arc::new(block)]).unwrap();
        let part = whole.slice(10, 20);
        let small = compacted(part.clone()).unwrap();
        assert_eq!(small, part);
        assert!(small.get_array_memory_size() < 2_000, "{}", small.get_array_memory_size());
        let same = compacted(whole.clone()).unwrap();
        assert_eq!(same.get_array_memory_size(), whole.get_array_memory_size());
    }
}
