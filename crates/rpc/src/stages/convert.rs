//! Requests and answers as messages.

use crate::error::{from_wire, to_wire};
use columnstore::ReadView;
use exec::exchange::ExchangeId;
use exec::spread::Source;
use exec::stages::{KeyRoute, Pull, QueryId, StageRequest, StageSlice, ToldKeys};
use exec::{Heard, Measured, Warning};
use proto::stages as wire;
use std::time::Duration;
use types::{NodeId, PartitionId, SqlError, StatementNo, Timestamp, TxnId};

fn missing(what: &str) -> SqlError {
    SqlError::internal(format!("a request came without its {what}"))
}

pub(super) fn heard_to_wire(heard: Heard) -> wire::End {
    let warnings =
        heard.warnings.into_iter().map(|Warning { kind, message }| to_wire(&SqlError::new(kind, message)));
    wire::End {
        warnings: warnings.collect(),
        more_divisions: heard.more_divisions,
        more: heard.more,
        insert_id: heard.insert_id,
    }
}

/// A warning with a number that this node does not know is counted.
pub(super) fn heard(end: wire::End) -> Heard {
    let mut heard = Heard {
        warnings: Vec::new(),
        more_divisions: end.more_divisions,
        more: end.more,
        insert_id: end.insert_id,
    };
    for warning in end.warnings {
        match from_wire(warning) {
            Some(SqlError { kind, message, .. }) => heard.warnings.push(Warning { kind, message }),
            None => heard.more += 1,
        }
    }
    heard
}

pub(super) fn query_to_wire(query: QueryId) -> wire::Query {
    wire::Query { node: query.node.0, number: query.number }
}

pub(super) fn query(query: Option<wire::Query>) -> Result<QueryId, SqlError> {
    let query = query.ok_or_else(|| missing("query"))?;
    Ok(QueryId { node: NodeId(query.node), number: query.number })
}

pub(super) fn stream_to_wire(pull: Pull) -> wire::Stream {
    wire::Stream {
        query: Some(query_to_wire(pull.query)),
        exchange: pull.exchange.0,
        stream: pull.stream as u32,
    }
}

pub(super) fn stream(stream: wire::Stream) -> Result<Pull, SqlError> {
    Ok(Pull {
        query: query(stream.query)?,
        exchange: ExchangeId(stream.exchange),
        stream: stream.stream as usize,
    })
}

fn written_to_wire((partition, statement): &(PartitionId, StatementNo)) -> wire::Written {
    wire::Written { partition: partition.0, statement: statement.0 }
}

fn written(written: &wire::Written) -> (PartitionId, StatementNo) {
    (PartitionId(written.partition), StatementNo(written.statement))
}

pub(super) fn request_to_wire(request: StageRequest) -> wire::StartRequest {
    wire::StartRequest {
        query: Some(query_to_wire(request.query)),
        part: request.part,
        catalog: request.catalog,
        read_at: request.view.ts.0,
        own: request.view.txn.map(|(txn, statement)| wire::OwnWrites {
            node: txn.node.0,
            number: txn.number,
            statement: statement.0,
            written: request.written.iter().map(written_to_wire).collect(),
        }),
        partitions: request.partitions.into_iter().map(|partition| partition.0).collect(),
        options: request.options.into_iter().map(|(key, value)| wire::Option { key, value }).collect(),
        memory: request.memory,
        deadline_micros: request.deadline.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)),
        stages: request
            .stages
            .into_iter()
            .map(|slice| wire::Slice {
                exchange: slice.exchange.0,
                tasks: slice.tasks,
                streams: slice.streams,
                plan: slice.plan.into(),
            })
            .collect(),
        sources: request
            .sources
            .into_iter()
            .map(|source| wire::Source {
                exchange: source.exchange.0,
                first: source.first,
                apart: source.apart,
                nodes: source.nodes.into_iter().map(|node| node.0).collect(),
            })
            .collect(),
        keys: request
            .keys
            .into_iter()
            .map(|route| wire::KeyRoute {
                number: route.number,
                from: route.from.into_iter().map(|node| node.0).collect(),
                to: route.to.into_iter().map(|node| node.0).collect(),
            })
            .collect(),
    }
}

pub(super) fn told_to_wire(query: QueryId, part: u32, told: ToldKeys) -> wire::ToldKeys {
    let set = |set: Option<Vec<u8>>| wire::KeySet { keys: set.map(Into::into) };
    wire::ToldKeys {
        query: Some(query_to_wire(query)),
        part,
        join: told.number,
        node: told.from.0,
        sets: told.sets.into_iter().map(set).collect(),
    }
}

pub(super) fn told(told: wire::ToldKeys) -> Result<(QueryId, u32, ToldKeys), SqlError> {
    let sets = told.sets.into_iter().map(|set| set.keys.map(Into::into)).collect();
    let keys = ToldKeys { number: told.join, from: NodeId(told.node), sets };
    Ok((query(told.query)?, told.part, keys))
}

pub(super) fn request(request: wire::StartRequest) -> Result<StageRequest, SqlError> {
    let mut written = Vec::new();
    let own = request.own.map(|own| {
        written = own.written.iter().map(self::written).collect();
        (TxnId { node: NodeId(own.node), number: own.number }, StatementNo(own.statement))
    });
    Ok(StageRequest {
        query: query(request.query)?,
        part: request.part,
        catalog: request.catalog,
        view: ReadView { ts: Timestamp(request.read_at), txn: own },
        partitions: request.partitions.into_iter().map(PartitionId).collect(),
        written,
        options: request.options.into_iter().map(|option| (option.key, option.value)).collect(),
        memory: request.memory,
        deadline: request.deadline_micros.map(Duration::from_micros),
        stages: request
            .stages
            .into_iter()
            .map(|slice| StageSlice {
                exchange: ExchangeId(slice.exchange),
                tasks: slice.tasks,
                streams: slice.streams,
                plan: slice.plan.into(),
            })
            .collect(),
        sources: request
            .sources
            .into_iter()
            .map(|source| Source {
                exchange: ExchangeId(source.exchange),
                first: source.first,
                apart: source.apart,
                nodes: source.nodes.into_iter().map(NodeId).collect(),
            })
            .collect(),
        keys: request
            .keys
            .into_iter()
            .map(|route| KeyRoute {
                number: route.number,
                from: route.from.into_iter().map(NodeId).collect(),
                to: route.to.into_iter().map(NodeId).collect(),
            })
            .collect(),
    })
}

pub(super) fn measured_to_wire(measured: Measured) -> wire::Measured {
    wire::Measured {
        name: measured.name,
        rows: measured.rows,
        nanos: measured.nanos,
        spills: measured.spills,
        spilled: measured.spilled,
        memory: measured.memory,
        morsels: measured.morsels,
        children: measured.children.into_iter().map(measured_to_wire).collect(),
    }
}

pub(super) fn measured(measured: wire::Measured) -> Measured {
    Measured {
        name: measured.name,
        rows: measured.rows,
        nanos: measured.nanos,
        spills: measured.spills,
        spilled: measured.spilled,
        memory: measured.memory,
        morsels: measured.morsels,
        children: measured.children.into_iter().map(self::measured).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::ErrorKind;

    #[test]
    fn a_part_comes_with_where_its_transaction_wrote() {
        let txn = TxnId { node: NodeId(1), number: 7 };
        let mut sent = StageRequest {
            query: QueryId { node: NodeId(1), number: 8 },
            part: 1,
            catalog: 2,
            view: ReadView { ts: Timestamp(3), txn: Some((txn, StatementNo(4))) },
            partitions: vec![PartitionId(5), PartitionId(6)],
            written: vec![(PartitionId(6), StatementNo(3))],
            options: Vec::new(),
            memory: None,
            deadline: None,
            stages: Vec::new(),
            sources: vec![Source {
                exchange: ExchangeId(7),
                first: true,
                apart: false,
                nodes: vec![NodeId(2), NodeId(3)],
            }],
            keys: Vec::new(),
        };
        assert_eq!(request(request_to_wire(sent.clone())).unwrap(), sent);
        (sent.view.txn, sent.written) = (None, Vec::new());
        assert_eq!(request(request_to_wire(sent.clone())).unwrap(), sent);
    }

    #[test]
    fn warnings_come_as_they_were_sent() {
        let warning = Warning { kind: ErrorKind::WrongValue, message: "Truncated".to_string() };
        let sent = Heard { warnings: vec![warning], more_divisions: 3, more: 4, insert_id: Some(5) };
        assert_eq!(heard(heard_to_wire(sent.clone())), sent);
        let mut unknown = heard_to_wire(sent);
        unknown.warnings[0].errno = 65_535;
        let came = heard(unknown);
        assert_eq!((came.warnings.len(), came.count(true)), (0, 8));
    }
}
