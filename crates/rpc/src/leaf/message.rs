//! Words of the code as messages, and back.

use crate::columns::{Decoder, Encoder};
use arrow::record_batch::RecordBatch;
use columnstore::{
    Conflict, FewRead, FewRows, IfLocked, InsertedOrLocked, Inspect, KeyRead, KeyRow, LockRequest,
    Maintenance, ReadAt, RowLockMode, WriteContext,
};
use exec::{ColumnEstimate, TableEstimate, Target};
use exec::{decode_predicates, encode_predicates};
use proto::leaf as wire;
use proto::leaf::lock_rows_request::IfLocked as WireIfLocked;
use proto::leaf::value::Value as WireValue;
use std::time::Duration;
use tonic::Status;
use txn::{Answer, Outcome, Renewal, Settlement, WaitReport};
use types::{ColumnId, NodeId, PartitionId, SqlError, StatementNo, TableId, Timestamp, TxnId, Value};

use crate::clocks::malformed;

pub(super) fn put_txn(txn: TxnId) -> wire::Txn {
    wire::Txn { node: txn.node.0, number: txn.number }
}

pub(super) fn take_txn(txn: Option<wire::Txn>) -> Result<TxnId, Status> {
    let txn = txn.ok_or_else(|| malformed("transaction"))?;
    Ok(TxnId { node: NodeId(txn.node), number: txn.number })
}

pub(super) fn put_maintenance(what: Maintenance) -> wire::Maintenance {
    match what {
        Maintenance::Flush => wire::Maintenance::Flush,
        Maintenance::Merge => wire::Maintenance::Merge,
        Maintenance::MergeAll => wire::Maintenance::MergeAll,
        Maintenance::Check => wire::Maintenance::Check,
    }
}

pub(super) fn take_maintenance(what: wire::Maintenance) -> Result<Maintenance, Status> {
    match what {
        wire::Maintenance::Unspecified => Err(malformed("maintenance")),
        wire::Maintenance::Flush => Ok(Maintenance::Flush),
        wire::Maintenance::Merge => Ok(Maintenance::Merge),
        wire::Maintenance::MergeAll => Ok(Maintenance::MergeAll),
        wire::Maintenance::Check => Ok(Maintenance::Check),
    }
}

pub(super) fn put_inspect(what: Inspect) -> wire::Inspect {
    match what {
        Inspect::Pieces => wire::Inspect::Pieces,
        Inspect::Jobs => wire::Inspect::Jobs,
        Inspect::Memory => wire::Inspect::Memory,
        Inspect::Locks => wire::Inspect::Locks,
        Inspect::Positions => wire::Inspect::Positions,
    }
}

pub(super) fn take_inspect(what: wire::Inspect) -> Result<Inspect, Status> {
    match what {
        wire::Inspect::Unspecified => Err(malformed("inspection")),
        wire::Inspect::Pieces => Ok(Inspect::Pieces),
        wire::Inspect::Jobs => Ok(Inspect::Jobs),
        wire::Inspect::Memory => Ok(Inspect::Memory),
        wire::Inspect::Locks => Ok(Inspect::Locks),
        wire::Inspect::Positions => Ok(Inspect::Positions),
    }
}

pub(super) fn put_target(target: &Target) -> Option<wire::Target> {
    Some(wire::Target { catalog: target.catalog, partition: target.partition.0, table: target.table.0 })
}

pub(super) fn take_target(target: Option<wire::Target>) -> Result<Target, Status> {
    let target = target.ok_or_else(|| malformed("target"))?;
    Ok(Target {
        catalog: target.catalog,
        partition: PartitionId(target.partition),
        table: TableId(target.table),
    })
}

pub(super) fn put_context(ctx: &WriteContext) -> Option<wire::Context> {
    Some(wire::Context {
        txn: Some(put_txn(ctx.txn)),
        statement: ctx.statement.0,
        previous: ctx.previous.0,
        table_version: ctx.table_version,
        snapshot: ctx.snapshot.map(|ts| ts.0),
        lock_wait_millis: u64::try_from(ctx.lock_wait.as_millis()).unwrap_or(u64::MAX),
        begun: (ctx.begun != ctx.statement).then_some(ctx.begun.0),
    })
}

pub(super) fn take_context(ctx: Option<wire::Context>) -> Result<WriteContext, Status> {
    let ctx = ctx.ok_or_else(|| malformed("context"))?;
    Ok(WriteContext {
        txn: take_txn(ctx.txn)?,
        statement: StatementNo(ctx.statement),
        begun: StatementNo(ctx.begun.unwrap_or(ctx.statement)),
        previous: StatementNo(ctx.previous),
        table_version: ctx.table_version,
        snapshot: ctx.snapshot.map(Timestamp),
        lock_wait: Duration::from_millis(ctx.lock_wait_millis),
    })
}

pub(super) fn put_partitions(partitions: &[PartitionId]) -> Vec<u32> {
    partitions.iter().map(|partition| partition.0).collect()
}

pub(super) fn take_partitions(partitions: Vec<u32>) -> Vec<PartitionId> {
    partitions.into_iter().map(PartitionId).collect()
}

pub(super) fn put_parts(parts: &[(PartitionId, StatementNo)]) -> Vec<wire::Part> {
    parts.iter().map(|(partition, no)| wire::Part { partition: partition.0, statement: no.0 }).collect()
}

pub(super) fn take_parts(parts: Vec<wire::Part>) -> Vec<(PartitionId, StatementNo)> {
    parts.into_iter().map(|part| (PartitionId(part.partition), StatementNo(part.statement))).collect()
}

pub(super) fn put_outcome(outcome: Outcome) -> wire::Outcome {
    let commit = match outcome {
        Outcome::Commit(at) => Some(at.0),
        Outcome::Abort => None,
    };
    wire::Outcome { commit }
}

pub(super) fn take_outcome(outcome: &wire::Outcome) -> Outcome {
    outcome.commit.map_or(Outcome::Abort, |at| Outcome::Commit(Timestamp(at)))
}

pub(super) fn put_answer(answer: Answer) -> wire::InquireReply {
    use wire::inquire_reply::Answer as Wire;
    let answer = match answer {
        Answer::Commit(at) => Wire::Commit(at.0),
        Answer::Abort => Wire::Abort(wire::Empty {}),
        Answer::LaterThan(at) => Wire::LaterThan(at.0),
    };
    wire::InquireReply { answer: Some(answer) }
}

pub(super) fn take_answer(reply: &wire::InquireReply) -> Option<Answer> {
    use wire::inquire_reply::Answer as Wire;
    Some(match reply.answer.as_ref()? {
        Wire::Commit(at) => Answer::Commit(Timestamp(*at)),
        Wire::Abort(_) => Answer::Abort,
        Wire::LaterThan(at) => Answer::LaterThan(Timestamp(*at)),
    })
}

pub(super) fn put_settlement(settlement: &Settlement) -> wire::Settlement {
    wire::Settlement {
        txn: Some(put_txn(settlement.txn)),
        participant: settlement.participant.0,
        at: settlement.at.0,
    }
}

pub(super) fn take_settlement(settlement: wire::Settlement) -> Result<Settlement, Status> {
    Ok(Settlement {
        txn: take_txn(settlement.txn)?,
        participant: PartitionId(settlement.participant),
        at: Timestamp(settlement.at),
    })
}

pub(super) fn put_renewal(renewal: &Renewal) -> wire::Renewal {
    wire::Renewal {
        aggregator: renewal.aggregator.0,
        incarnation: renewal.incarnation,
        number: renewal.number,
        next: renewal.next,
        open: renewal.open.clone(),
        oldest_snapshot: renewal.oldest_snapshot.map(|ts| ts.0),
    }
}

pub(super) fn take_renewal(renewal: wire::Renewal) -> Renewal {
    let mut open = renewal.open;
    open.sort_unstable();
    Renewal {
        aggregator: NodeId(renewal.aggregator),
        incarnation: renewal.incarnation,
        number: renewal.number,
        next: renewal.next,
        open,
        oldest_snapshot: renewal.oldest_snapshot.map(Timestamp),
    }
}

pub(super) fn put_report(report: &WaitReport) -> wire::WaitReport {
    let waits = report.waits.iter().map(|(waiter, blockers)| wire::Wait {
        waiter: Some(put_txn(*waiter)),
        blockers: blockers.iter().copied().map(put_txn).collect(),
    });
    wire::WaitReport { leaf: report.leaf.0, waits: waits.collect() }
}

pub(super) fn take_report(report: wire::WaitReport) -> Result<WaitReport, Status> {
    let waits = report.waits.into_iter().map(|wait| {
        let blockers = wait.blockers.into_iter().map(|txn| take_txn(Some(txn)));
        Ok((take_txn(wait.waiter)?, blockers.collect::<Result<_, Status>>()?))
    });
    Ok(WaitReport { leaf: NodeId(report.leaf), waits: waits.collect::<Result<_, Status>>()? })
}

pub(super) fn put_rows(rows: &RecordBatch) -> Result<bytes::Bytes, SqlError> {
    Encoder::default().encode(rows).map_err(SqlError::internal)
}

pub(super) fn take_rows(bytes: &bytes::Bytes) -> Result<RecordBatch, SqlError> {
    let malformed = |error| SqlError::internal(format!("the rows of a request cannot be read: {error}"));
    Decoder::default().decode(bytes.clone()).map_err(malformed)
}

pub(super) fn put_key_read(target: &Target, read: &KeyRead) -> wire::GetRequest {
    use wire::get_request::At;
    wire::GetRequest {
        target: put_target(target),
        key: read.key.iter().map(put_value).collect(),
        columns: read.columns.iter().map(|id| id.0).collect(),
        row_ref: read.row_ref,
        at: Some(match read.at {
            ReadAt::Newest { not_before } => At::NewestNotBefore(not_before.0),
            ReadAt::Snapshot(ts) => At::Snapshot(ts.0),
        }),
        txn: read.txn.map(|(txn, _)| put_txn(txn)),
        statement: read.txn.map_or(0, |(_, statement)| statement.0),
        written: read.written.0,
    }
}

pub(super) fn take_key_read(message: wire::GetRequest) -> Result<(Target, KeyRead), Status> {
    use wire::get_request::At;
    let target = take_target(message.target)?;
    let key = message.key.into_iter().map(take_value).collect::<Option<Vec<_>>>();
    let txn = match message.txn {
        Some(txn) => Some((take_txn(Some(txn))?, StatementNo(message.statement))),
        None => None,
    };
    let read = KeyRead {
        key: key.ok_or_else(|| malformed("key"))?,
        columns: message.columns.into_iter().map(ColumnId).collect(),
        row_ref: message.row_ref,
        at: match message.at.ok_or_else(|| malformed("moment"))? {
            At::NewestNotBefore(ts) => ReadAt::Newest { not_before: Timestamp(ts) },
            At::Snapshot(ts) => ReadAt::Snapshot(Timestamp(ts)),
        },
        txn,
        written: StatementNo(message.written),
    };
    Ok((target, read))
}

pub(super) fn put_few_read(
    catalog: u64,
    table: TableId,
    read: &FewRead,
) -> Result<wire::FewRequest, SqlError> {
    use wire::few_request::At;
    Ok(wire::FewRequest {
        catalog,
        table: table.0,
        partitions: put_partitions(&read.partitions),
        predicates: encode_predicates(&read.predicates)?.into(),
        columns: read.columns.iter().map(|id| id.0).collect(),
        row_ref: read.row_ref,
        at: Some(match read.at {
            ReadAt::Newest { not_before } => At::NewestNotBefore(not_before.0),
            ReadAt::Snapshot(ts) => At::Snapshot(ts.0),
        }),
        txn: read.txn.map(|(txn, _)| put_txn(txn)),
        statement: read.txn.map_or(0, |(_, statement)| statement.0),
        most: read.most,
        written: put_parts(&read.written),
    })
}

pub(super) fn take_few_read(message: wire::FewRequest) -> Result<(u64, TableId, FewRead), Status> {
    use wire::few_request::At;
    let read = FewRead {
        partitions: take_partitions(message.partitions),
        predicates: decode_predicates(&message.predicates).map_err(|_| malformed("predicates"))?,
        columns: message.columns.into_iter().map(ColumnId).collect(),
        row_ref: message.row_ref,
        at: match message.at.ok_or_else(|| malformed("moment"))? {
            At::NewestNotBefore(ts) => ReadAt::Newest { not_before: Timestamp(ts) },
            At::Snapshot(ts) => ReadAt::Snapshot(Timestamp(ts)),
        },
        txn: match message.txn {
            Some(txn) => Some((take_txn(Some(txn))?, StatementNo(message.statement))),
            None => None,
        },
        written: take_parts(message.written),
        most: message.most,
    };
    Ok((message.catalog, TableId(message.table), read))
}

pub(super) fn put_few_rows(found: &FewRows) -> Result<wire::FewReply, SqlError> {
    let put = |(partition, rows): &(PartitionId, RecordBatch)| {
        Ok(wire::PartitionRows { partition: partition.0, rows: put_rows(rows)? })
    };
    let rows = found.rows.iter().flatten().map(put).collect::<Result<Vec<_>, SqlError>>()?;
    Ok(wire::FewReply {
        read_at: found.read_at.0,
        table_version: found.table_version,
        are_few: found.rows.is_some(),
        rows,
    })
}

pub(super) fn take_few_rows(reply: &wire::FewReply) -> Result<FewRows, SqlError> {
    let rows = reply.rows.iter().map(|part| Ok((PartitionId(part.partition), take_rows(&part.rows)?)));
    let rows = rows.collect::<Result<Vec<_>, SqlError>>()?;
    Ok(FewRows {
        read_at: Timestamp(reply.read_at),
        table_version: reply.table_version,
        rows: reply.are_few.then_some(rows),
    })
}

pub(super) fn put_key_row(row: &KeyRow) -> Result<wire::GetReply, SqlError> {
    Ok(wire::GetReply {
        read_at: row.read_at.0,
        table_version: row.table_version,
        row: row.row.as_ref().map(put_rows).transpose()?,
    })
}

pub(super) fn take_key_row(reply: &wire::GetReply) -> Result<KeyRow, SqlError> {
    Ok(KeyRow {
        read_at: Timestamp(reply.read_at),
        table_version: reply.table_version,
        row: reply.row.as_ref().map(take_rows).transpose()?,
    })
}

pub(super) fn put_lock_rows(
    target: &Target,
    ctx: &WriteContext,
    rows: Vec<u64>,
    request: LockRequest,
) -> wire::LockRowsRequest {
    let if_locked = match request.if_locked {
        IfLocked::Wait => WireIfLocked::Wait,
        IfLocked::Fail => WireIfLocked::Fail,
        IfLocked::Skip => WireIfLocked::Skip,
    };
    wire::LockRowsRequest {
        target: put_target(target),
        context: put_context(ctx),
        rows,
        read_at: request.read_at.0,
        shared: request.mode == RowLockMode::Shared,
        if_locked: if_locked.into(),
    }
}

pub(super) fn take_lock_request(message: &wire::LockRowsRequest) -> Result<LockRequest, Status> {
    let if_locked = WireIfLocked::try_from(message.if_locked).map_err(|_| malformed("lock request"))?;
    Ok(LockRequest {
        read_at: Timestamp(message.read_at),
        mode: if message.shared { RowLockMode::Shared } else { RowLockMode::Exclusive },
        if_locked: match if_locked {
            WireIfLocked::Wait => IfLocked::Wait,
            WireIfLocked::Fail => IfLocked::Fail,
            WireIfLocked::Skip => IfLocked::Skip,
        },
    })
}

pub(super) fn put_inserted_or_locked(
    outcome: &InsertedOrLocked,
) -> Result<wire::InsertOrLockReply, SqlError> {
    let put = |c: &Conflict| wire::Conflict { row: c.row, key: c.key, existing: c.existing };
    Ok(wire::InsertOrLockReply {
        inserted: outcome.inserted,
        conflicts: outcome.conflicts.iter().map(put).collect(),
        existing: put_rows(&outcome.existing)?,
        again: outcome.again.clone(),
    })
}

/// Refuses a reply whose conflicts and rows do not belong together.
pub(super) fn take_inserted_or_locked(reply: wire::InsertOrLockReply) -> Result<InsertedOrLocked, SqlError> {
    let existing = take_rows(&reply.existing)?;
    if existing.num_rows() != reply.conflicts.len() {
        return Err(SqlError::internal("a leaf sent not one row for each conflict"));
    }
    let take = |c: wire::Conflict| Conflict { row: c.row, key: c.key, existing: c.existing };
    Ok(InsertedOrLocked {
        inserted: reply.inserted,
        conflicts: reply.conflicts.into_iter().map(take).collect(),
        existing,
        again: reply.again,
    })
}

fn put_value(value: &Value) -> wire::Value {
    let value = match value {
        Value::Null => None,
        Value::Int(v) => Some(WireValue::Int(*v)),
        Value::UInt(v) => Some(WireValue::Uint(*v)),
        Value::Decimal { unscaled, scale } => Some(WireValue::Decimal(wire::Decimal {
            unscaled: unscaled.to_le_bytes().to_vec().into(),
            scale: u32::from(*scale),
        })),
        Value::Float(v) => Some(WireValue::Float(*v)),
        Value::Double(v) => Some(WireValue::Double(*v)),
        Value::Date(v) => Some(WireValue::Date(*v)),
        Value::Time(v) => Some(WireValue::Time(*v)),
        Value::DateTime(v) => Some(WireValue::Datetime(*v)),
        Value::Timestamp(v) => Some(WireValue::Timestamp(*v)),
        Value::Text(v) => Some(WireValue::Text(v.clone())),
        Value::Bytes(v) => Some(WireValue::Binary(v.clone().into())),
    };
    wire::Value { value }
}

/// None: malformed.
fn take_value(value: wire::Value) -> Option<Value> {
    Some(match value.value {
        None => Value::Null,
        Some(WireValue::Int(v)) => Value::Int(v),
        Some(WireValue::Uint(v)) => Value::UInt(v),
        Some(WireValue::Decimal(v)) => Value::Decimal {
            unscaled: i128::from_le_bytes(v.unscaled.as_ref().try_into().ok()?),
            scale: u8::try_from(v.scale).ok()?,
        },
        Some(WireValue::Float(v)) => Value::Float(v),
        Some(WireValue::Double(v)) => Value::Double(v),
        Some(WireValue::Date(v)) => Value::Date(v),
        Some(WireValue::Time(v)) => Value::Time(v),
        Some(WireValue::Datetime(v)) => Value::DateTime(v),
        Some(WireValue::Timestamp(v)) => Value::Timestamp(v),
        Some(WireValue::Text(v)) => Value::Text(v),
        Some(WireValue::Binary(v)) => Value::Bytes(v.to_vec()),
    })
}

pub(super) fn put_estimate(estimate: &TableEstimate) -> wire::EstimateReply {
    let columns = estimate.columns.iter().map(|(id, column)| wire::ColumnEstimate {
        column: id.0,
        min: column.min.as_ref().map(put_value),
        max: column.max.as_ref().map(put_value),
        nulls: column.nulls,
        distinct: column.distinct,
        bytes: column.bytes,
    });
    wire::EstimateReply { rows: estimate.rows, columns: columns.collect() }
}

/// A bound that cannot be read is none: plans go by what is known.
pub(super) fn take_estimate(reply: wire::EstimateReply) -> TableEstimate {
    let columns = reply.columns.into_iter().map(|column| {
        let estimate = ColumnEstimate {
            min: column.min.and_then(take_value),
            max: column.max.and_then(take_value),
            nulls: column.nulls,
            distinct: column.distinct,
            bytes: column.bytes,
        };
        (ColumnId(column.column), estimate)
    });
    TableEstimate { rows: reply.rows, columns: columns.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let values = [
            Value::Null,
            Value::Int(-5),
            Value::UInt(u64::MAX),
            Value::Decimal { unscaled: -(1 << 100), scale: 30 },
            Value::Float(1.5),
            Value::Double(f64::INFINITY),
            Value::Date(-1),
            Value::Time(-2),
            Value::DateTime(3),
            Value::Timestamp(4),
            Value::Text("ä".into()),
            Value::Bytes(vec![0, 255]),
        ];
        for value in values {
            assert_eq!(take_value(put_value(&value)), Some(value));
        }
        let short = wire::Decimal { unscaled: vec![1].into(), scale: 0 };
        assert_eq!(take_value(wire::Value { value: Some(WireValue::Decimal(short)) }), None);
    }

    #[test]
    fn rows_that_are_no_rows_are_refused() {
        assert!(take_rows(&bytes::Bytes::from_static(b"nonsense")).is_err());
        assert!(take_rows(&bytes::Bytes::new()).is_err());
    }
}
