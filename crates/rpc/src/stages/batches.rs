//! Batches on the wire: an Arrow IPC stream, a message for each batch. The schema comes with the first;
//! dictionaries when they are new. Nothing is compressed: between hosts of one cluster the time to
//! compress exceeds the time to send.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamEncoder;
use bytes::Bytes;
use std::sync::Arc;

/// Batches are cut to about so many bytes, so that one does not overrun the window by much: a stream that
/// nobody reads has a few of them under way at both ends.
const PIECE: usize = 256 << 10;

/// Writes the batches of one stream.
#[derive(Default)]
pub(super) struct Encoder(Option<StreamEncoder>);

impl Encoder {
    pub(super) fn encode(&mut self, batch: &RecordBatch) -> Result<proto::stages::Batch, ArrowError> {
        let encoder = match &mut self.0 {
            Some(encoder) => encoder,
            None => self.0.insert(StreamEncoder::try_new(&batch.schema())?),
        };
        let pieces = encoder.encode(batch)?;
        // Padding and small buffers would each cost a field.
        let mut joined: Vec<Bytes> = Vec::new();
        let mut small: Vec<u8> = Vec::new();
        for piece in pieces {
            if piece.len() < 4096 {
                small.extend_from_slice(&piece);
                continue;
            }
            if !small.is_empty() {
                joined.push(std::mem::take(&mut small).into());
            }
            joined.push(Bytes::from_owner(Owned(piece)));
        }
        if !small.is_empty() {
            joined.push(small.into());
        }
        Ok(proto::stages::Batch { pieces: joined, heard: None })
    }
}

struct Owned(Buffer);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Bytes that a message takes on the wire, roughly.
pub(super) fn size(batch: &proto::stages::Batch) -> usize {
    batch.pieces.iter().map(Bytes::len).sum()
}

/// Reads the batches of one stream.
#[derive(Default)]
pub(super) struct Decoder(StreamDecoder);

impl Decoder {
    /// The batch of a message; an error if it is not just one.
    pub(super) fn decode(&mut self, message: proto::stages::Batch) -> Result<RecordBatch, ArrowError> {
        let mut found = None;
        for piece in message.pieces {
            let mut piece = Buffer::from(piece);
            while !piece.is_empty() {
                if let Some(batch) = self.0.decode(&mut piece)?
                    && found.replace(batch).is_some()
                {
                    return Err(ArrowError::IpcError("two batches in one message".into()));
                }
            }
        }
        if found.is_none() {
            // A batch without buffers (no columns, or NULLs alone) has an empty body, which the decoder
            // looks at only when there is a further byte. It leaves that byte.
            found = self.0.decode(&mut Buffer::from(&[0u8]))?;
        }
        found.ok_or_else(|| ArrowError::IpcError("a message without its batch".into()))
    }
}

/// The batch in pieces of a moderate size, each made when it is wanted, without bytes that its rows do not
/// use: the strings of a batch often point into a dictionary of a whole segment.
pub(super) fn pieces(batch: RecordBatch) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    let bytes = columnstore::batch_bytes(&batch);
    let rows = batch.num_rows();
    let step = rows.div_ceil(bytes.div_ceil(PIECE).max(1)).max(1);
    (0..rows).step_by(step).map(move |from| {
        let piece = batch.slice(from, step.min(rows - from));
        let columns = piece.columns().iter().map(compact).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(piece.num_rows()));
        RecordBatch::try_new_with_options(piece.schema(), columns, &options)
    })
}

fn long_bytes<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>) -> usize {
    array.views().iter().map(|view| *view as u32 as usize).filter(|len| *len > 12).sum()
}

/// Strings that take less than half of their buffers are copied out of them.
fn compact(column: &ArrayRef) -> ArrayRef {
    fn worth<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>) -> bool {
        let held: usize = array.data_buffers().iter().map(|buffer| buffer.len()).sum();
        held > 2 * long_bytes(array)
    }
    match column.data_type() {
        DataType::Utf8View if worth(column.as_string_view()) => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView if worth(column.as_binary_view()) => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, NullArray};
    use arrow::datatypes::{Field, Schema};

    fn cross(batches: &[RecordBatch]) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for batch in batches {
            assert_eq!(&decoder.decode(encoder.encode(batch).unwrap()).unwrap(), batch);
        }
    }

    #[test]
    fn batches_without_buffers_cross() {
        let rows = |n| {
            let options = RecordBatchOptions::new().with_row_count(Some(n));
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap()
        };
        cross(&[rows(3), rows(0), rows(8192)]);
        let nulls = |n| {
            let schema = Schema::new(vec![Field::new("n", DataType::Null, true)]);
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(NullArray::new(n))]).unwrap()
        };
        cross(&[nulls(2), nulls(5)]);
    }

    #[test]
    fn batches_cross_in_order() {
        let ints = |from: i32| {
            let schema = Schema::new(vec![Field::new("a", DataType::Int32, true)]);
            let values = Int32Array::from_iter((from..from + 2000).map(|v| (v % 7 != 0).then_some(v)));
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values)]).unwrap()
        };
        cross(&[ints(0), ints(5), ints(-9)]);
    }
}
