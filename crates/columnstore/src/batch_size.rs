//! How much memory the rows of a batch take.

use arrow::array::{Array, ArrayData, AsArray, GenericByteViewArray};
use arrow::datatypes::{ByteViewType, DataType};
use arrow::record_batch::RecordBatch;

/// Bytes that a batch's rows take. Buffers may be shared: a string view's by many batches (a dictionary
/// of a whole segment), those of a batch that came over the network by all of its columns. So of them
/// only the part that this batch points to counts.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| array_bytes(column.as_ref())).sum()
}

fn array_bytes(array: &dyn Array) -> usize {
    match array.data_type() {
        DataType::Utf8View => view_bytes(array.as_string_view()),
        DataType::BinaryView => view_bytes(array.as_binary_view()),
        _ => {
            let data: ArrayData = array.to_data();
            data.get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
        }
    }
}

fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    let long: usize = array.views().iter().map(|view| *view as u32 as usize).filter(|len| *len > 12).sum();
    array.len() * 16 + long
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::buffer::{Buffer, ScalarBuffer};
    use std::sync::Arc;

    #[test]
    fn columns_of_one_buffer_count_once() {
        let shared = Buffer::from_vec((0..4000i64).collect::<Vec<_>>());
        let column = |at: usize| -> ArrayRef {
            Arc::new(Int64Array::new(ScalarBuffer::new(shared.clone(), at * 1000, 1000), None))
        };
        let names = ["a", "b", "c", "d"];
        let batch =
            RecordBatch::try_from_iter(names.iter().enumerate().map(|(at, name)| (*name, column(at))))
                .unwrap();
        assert_eq!(batch_bytes(&batch), 4 * 8000);
        assert!(batch.get_array_memory_size() >= 4 * 32_000);
    }
}
