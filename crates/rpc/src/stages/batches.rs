//! Batches cut into messages of a moderate size.

use arrow::array::RecordBatch;
use proto::stages as wire;

/// Batches are cut to about so many bytes of memory, so that one does not overrun the window by much: a stream
/// that nobody reads has a few of them under way at both ends.
const PIECE: usize = 256 << 10;

/// What a message takes beside its rows, roughly: on the wire, and where it waits. Rows may take none.
const MESSAGE: usize = 256;

/// Bytes that a message takes, roughly.
pub(super) fn size(batch: &wire::Batch) -> usize {
    batch.rows.len() + MESSAGE
}

/// The batch in pieces.
pub(super) fn pieces(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let bytes = columnstore::batch_bytes(&batch);
    let rows = batch.num_rows();
    let step = rows.div_ceil(bytes.div_ceil(PIECE).max(1)).max(1);
    (0..rows).step_by(step).map(move |from| batch.slice(from, step.min(rows - from)))
}
