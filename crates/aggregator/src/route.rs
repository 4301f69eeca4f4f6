//! Which partition each row of a batch belongs to, and the batch cut accordingly.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use types::{Result, SqlError, TableDef, shard};

/// The rows of `rows` (columns in the order of `def`) by partition ordinal: one entry for each
/// ordinal that has rows, ascending. A table without a shard key sends the whole batch to
/// `spread % partitions`.
pub fn split(
    def: &TableDef,
    rows: RecordBatch,
    partitions: u32,
    spread: u32,
) -> Result<Vec<(u32, RecordBatch)>> {
    if rows.num_rows() == 0 {
        return Ok(Vec::new());
    }
    if def.shard_key.is_empty() || partitions == 1 {
        return Ok(vec![(spread % partitions, rows)]);
    }
    let mut by_ordinal: Vec<Vec<u32>> = vec![Vec::new(); partitions as usize];
    for (row, ordinal) in ordinals(def, &rows, partitions)?.into_iter().enumerate() {
        by_ordinal[ordinal as usize].push(row as u32);
    }
    let filled = by_ordinal.iter().filter(|rows| !rows.is_empty()).count();
    if filled == 1 {
        // Invariant: exactly one list has rows.
        let ordinal = by_ordinal.iter().position(|rows| !rows.is_empty()).expect("one filled list");
        return Ok(vec![(ordinal as u32, rows)]);
    }
    by_ordinal
        .into_iter()
        .enumerate()
        .filter(|(_, indices)| !indices.is_empty())
        .map(|(ordinal, indices)| {
            let part = take_record_batch(&rows, &UInt32Array::from(indices)).map_err(SqlError::internal)?;
            Ok((ordinal as u32, part))
        })
        .collect()
}

/// The partition ordinal of each row.
pub fn ordinals(def: &TableDef, rows: &RecordBatch, partitions: u32) -> Result<Vec<u32>> {
    let keys = def
        .shard_key
        .iter()
        .map(|id| def.position(*id).map(|at| rows.column(at).clone()))
        .collect::<Option<Vec<ArrayRef>>>()
        .ok_or_else(|| {
            SqlError::internal(format!("the shard key of '{}' names a missing column", def.name))
        })?;
    let hashes = shard::hash_columns(&keys, rows.num_rows()).map_err(SqlError::internal)?;
    Ok(hashes.into_iter().map(|hash| shard::ordinal(hash, partitions)).collect())
}
