//! The cluster itself: PANDO_LEAVES, PANDO_AGGREGATORS, PANDO_PARTITIONS as the catalog has them;
//! PANDO_SEGMENTS, PANDO_MERGES, PANDO_MEMORY, PANDO_LOCKS as every leaf answers at this moment. A leaf that does
//! not answer is an error that names it: rows of the others alone would look like all there is.

use super::*;
use crate::statement::Cell;
use catalog::{Node, NodeRole, NodeState, Privilege};
use columnstore::{
    Inspect, Inspection, LayoutJobKind, LockKind, LockMode, LockState, MemoryUse, Piece, PieceKind,
};
use futures::FutureExt;
use futures::future::try_join_all;
use std::collections::HashMap;
use types::{NodeId, PartitionId, TxnId};

const NODE: Column = uint("NODE_ID");
const HOST: Column = text("HOST", 255);
const PORT: Column = uint("PORT");
const SCHEMA: Column = text("TABLE_SCHEMA", 64);
const TABLE: Column = text("TABLE_NAME", 64);
const PARTITION: Column = uint("PARTITION_ORDINAL");

const fn here(name: &'static str, columns: &'static [Column], make: Make) -> SystemTable {
    SystemTable { schema: INFORMATION_SCHEMA, name, columns, source: Source::Here(make) }
}

const fn asked(name: &'static str, columns: &'static [Column], make: Ask) -> SystemTable {
    SystemTable { schema: INFORMATION_SCHEMA, name, columns, source: Source::Asked(make) }
}

pub(super) const TABLES: &[SystemTable] = &[
    here(
        "PANDO_LEAVES",
        &[
            text("HOST", 255).null(),
            ubig("PORT").null(),
            ubig("AVAILABILITY_GROUP").null(),
            text("PAIR_HOST", 255).null(),
            ubig("PAIR_PORT").null(),
            text("STATE", 16).null(),
            ubig("OPENED_CONNECTIONS").null(),
            text("AVERAGE_ROUNDTRIP_LATENCY_MS", 32).null(),
            ubig("NODE_ID").null(),
            ubig("GRACE_PERIOD_IN_SECONDS").null(),
            text("RUNTIME_STATE", 16).null(),
        ],
        |facts, _, grid| grid.take_rows(facts.tables.leaves_grid()),
    ),
    here(
        "PANDO_AGGREGATORS",
        &[
            text("HOST", 255).null(),
            ubig("PORT").null(),
            text("STATE", 16).null(),
            ubig("OPENED_CONNECTIONS").null(),
            text("AVERAGE_ROUNDTRIP_LATENCY_MS", 32).null(),
            ubig("MASTER_AGGREGATOR").null(),
            ubig("NODE_ID").null(),
            text("RUNTIME_STATE", 16).null(),
        ],
        |facts, _, grid| grid.take_rows(facts.tables.aggregators_grid()),
    ),
    here(
        "PANDO_PARTITIONS",
        &[
            SCHEMA,
            PARTITION,
            uint("PARTITION_ID"),
            uint("NODE_ID"),
            text("HOST", 255).null(),
            uint("PORT").null(),
            text("ROLE", 16),
            ubig("EPOCH"),
        ],
        partitions,
    ),
    asked(
        "PANDO_SEGMENTS",
        &[
            NODE,
            HOST,
            PORT,
            SCHEMA,
            TABLE,
            PARTITION,
            text("KIND", 16),
            uint("SEGMENT_ID"),
            ubig("SEGMENT_ROWS"),
            ubig("DELETED_ROWS"),
            ubig("BYTES"),
            ubig("MIN_COMMIT_TS").null(),
            ubig("MAX_COMMIT_TS").null(),
            text("IS_PENDING", 3),
        ],
        |facts, wanted, grid| segments(facts, wanted, grid).boxed(),
    ),
    asked(
        "PANDO_MERGES",
        &[
            NODE,
            HOST,
            PORT,
            SCHEMA,
            TABLE,
            PARTITION,
            text("KIND", 16),
            text("STATE", 16),
            ubig("INPUTS"),
            ubig("INPUT_ROWS"),
            ubig("BYTES"),
            ubig("RUNNING_MS").null(),
        ],
        |facts, wanted, grid| merges(facts, wanted, grid).boxed(),
    ),
    asked(
        "PANDO_MEMORY",
        &[
            NODE,
            HOST,
            PORT,
            text("NODE_TYPE", 16),
            text("CONSUMER", 64),
            ubig("BYTES"),
            ubig("LIMIT_BYTES").null(),
        ],
        |facts, _, grid| memory(facts, grid).boxed(),
    ),
    asked(
        "PANDO_LOCKS",
        &[
            NODE,
            HOST,
            PORT,
            SCHEMA,
            text("TABLE_NAME", 64).null(),
            PARTITION,
            text("KIND", 16),
            ubig("LOCK_ID"),
            text("MODE", 16),
            text("STATE", 16),
            text("TRANSACTION_ID", 64),
            uint("AGGREGATOR_NODE_ID"),
            text("WAITS_FOR", 1024).null(),
            ubig("WAITING_MS").null(),
        ],
        |facts, wanted, grid| locks(facts, wanted, grid).boxed(),
    ),
];

fn partitions(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for database in facts.databases(wanted, 0) {
        for partition in &database.partitions {
            for replica in &partition.replicas {
                let node = facts.tables.catalog.node(*replica);
                grid.push(vec![
                    database.name.as_str().into(),
                    Cell::UInt(partition.ordinal.into()),
                    Cell::UInt(partition.id.0.into()),
                    Cell::UInt(replica.0.into()),
                    node.map(|node| node.host.as_str()).into(),
                    node.map(|node| u64::from(node.port)).into(),
                    (if partition.primary == *replica { "Master" } else { "Slave" }).into(),
                    Cell::UInt(partition.epoch),
                ]);
            }
        }
    }
    Ok(())
}

/// Where a row comes from, and what it is about.
struct Subject<'a> {
    node: &'a Node,
    database: &'a str,
    ordinal: u32,
}

impl Subject<'_> {
    fn cells(&self, table: impl Into<Cell>) -> Vec<Cell> {
        let mut cells = of_node(self.node);
        cells.extend([self.database.into(), table.into(), Cell::UInt(self.ordinal.into())]);
        cells
    }
}

fn of_node(node: &Node) -> Vec<Cell> {
    vec![Cell::UInt(node.id.0.into()), node.host.as_str().into(), Cell::UInt(node.port.into())]
}

impl Facts {
    /// Asks all leaves at once. Error: one of them does not answer.
    async fn ask(&self, what: Inspect) -> Result<Vec<(Arc<Node>, Inspection)>> {
        let nodes = self.tables.catalog.nodes();
        let is_leaf = |node: &&Arc<Node>| node.role == NodeRole::Leaf && node.state != NodeState::Removed;
        let leaves: Vec<Arc<Node>> = nodes.filter(is_leaf).cloned().collect();
        let asked = leaves.into_iter().map(|node| async move {
            let leaf = self.tables.aggregator.leaves.leaf(node.id)?;
            let found = leaf.inspect(what).await?;
            Ok::<_, SqlError>((node, found))
        });
        try_join_all(asked).await
    }

    /// The partition that a leaf speaks of; None: the session may see nothing of its database, or it is
    /// one that the catalog has no more.
    fn subject<'a>(&'a self, node: &'a Node, wanted: &Wanted, partition: PartitionId) -> Option<Subject<'a>> {
        let (database, partition) = self.tables.catalog.partition(partition)?;
        let database = database.name.as_str();
        let is_wanted = wanted.only(3).is_none_or(|only| only == database);
        (is_wanted && self.tables.privileges.touch(database)).then_some(Subject {
            node,
            database,
            ordinal: partition.ordinal,
        })
    }

    /// The name of a table that the session may see.
    fn table_named(&self, database: &str, table: TableId) -> Option<&str> {
        let name = self.tables.catalog.table_by_id(table)?.name.as_str();
        self.tables.privileges.touch_table(database, name).then_some(name)
    }

    /// What tables consist of, by table.
    pub(super) async fn sizes(&self) -> Result<HashMap<TableId, TableSize>> {
        let mut sizes: HashMap<TableId, TableSize> = HashMap::new();
        for (_, found) in self.ask(Inspect::Pieces).await? {
            let Inspection::Pieces(pieces) = found else { return Err(other_answer()) };
            for piece in pieces {
                let size = sizes.entry(piece.table).or_default();
                size.rows += piece.rows.saturating_sub(piece.deleted);
                size.bytes += piece.bytes;
            }
        }
        Ok(sizes)
    }
}

/// Of a table on all leaves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TableSize {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

fn other_answer() -> SqlError {
    SqlError::internal("a leaf answered something else than it was asked")
}

async fn segments(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (node, found) in facts.ask(Inspect::Pieces).await? {
        let Inspection::Pieces(pieces) = found else { return Err(other_answer()) };
        for piece in pieces {
            let Some(subject) = facts.subject(&node, wanted, piece.partition) else { continue };
            let Some(table) = facts.table_named(subject.database, piece.table) else { continue };
            let Piece { id, rows, deleted, bytes, committed, pending, kind, .. } = piece;
            let kind = match kind {
                PieceKind::Tail => "TAIL",
                PieceKind::Run => "FROZEN",
                PieceKind::Segment => "SEGMENT",
            };
            let mut row = subject.cells(table);
            row.extend([kind.into(), Cell::UInt(id.into()), rows.into(), deleted.into(), bytes.into()]);
            row.extend([committed.map(|(from, _)| from.0).into(), committed.map(|(_, to)| to.0).into()]);
            row.push((if pending { "YES" } else { "NO" }).into());
            grid.push(row);
        }
    }
    Ok(())
}

async fn merges(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (node, found) in facts.ask(Inspect::Jobs).await? {
        let Inspection::Jobs(jobs) = found else { return Err(other_answer()) };
        for job in jobs {
            let Some(subject) = facts.subject(&node, wanted, job.partition) else { continue };
            let Some(table) = facts.table_named(subject.database, job.table) else { continue };
            let kind = match job.kind {
                LayoutJobKind::Flush => "FLUSH",
                LayoutJobKind::Merge => "MERGE",
            };
            let state = if job.running_millis.is_some() { "RUNNING" } else { "DUE" };
            let mut row = subject.cells(table);
            row.extend([kind.into(), state.into(), job.inputs.into(), job.rows.into(), job.bytes.into()]);
            row.push(job.running_millis.into());
            grid.push(row);
        }
    }
    Ok(())
}

/// Of who has PROCESS.
async fn memory(facts: &Facts, grid: &mut Grid) -> Result<()> {
    if !facts.tables.privileges.allow_globally(Privilege::Process) {
        return Ok(());
    }
    for (node, found) in facts.ask(Inspect::Memory).await? {
        let Inspection::Memory(uses) = found else { return Err(other_answer()) };
        for MemoryUse { name, bytes, limit } in uses {
            let mut row = of_node(&node);
            row.extend(["LEAF".into(), name.into(), bytes.into(), limit.into()]);
            grid.push(row);
        }
    }
    let aggregator = &facts.tables.aggregator;
    let queries = aggregator.stages.query_memory() as u64;
    let (used, limit) = (aggregator.memory.used() as u64, aggregator.memory.limit() as u64);
    for (name, bytes, limit) in [("total", used, Some(limit)), ("queries", queries, None)] {
        grid.push(vec![
            Cell::UInt(aggregator.options.node.0.into()),
            aggregator.options.host.as_str().into(),
            Cell::UInt(aggregator.options.port.into()),
            "AGGREGATOR".into(),
            name.into(),
            bytes.into(),
            limit.into(),
        ]);
    }
    Ok(())
}

async fn locks(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (node, found) in facts.ask(Inspect::Locks).await? {
        let Inspection::Locks(locks) = found else { return Err(other_answer()) };
        for lock in locks {
            let Some(subject) = facts.subject(&node, wanted, lock.partition) else { continue };
            let LockState { table, kind, key, mode, txn, wait, .. } = lock;
            let table = match table {
                Some(table) => match facts.table_named(subject.database, table) {
                    Some(name) => Cell::from(name),
                    None => continue,
                },
                None => Cell::Null,
            };
            let kind = match kind {
                LockKind::Row => "ROW",
                LockKind::Table => "TABLE",
                LockKind::Value => "UNIQUE VALUE",
            };
            let mode = match mode {
                LockMode::Intention => "INTENTION",
                LockMode::Shared => "SHARED",
                LockMode::Exclusive => "EXCLUSIVE",
            };
            let NodeId(aggregator) = txn.node;
            let mut row = subject.cells(table);
            row.extend([kind.into(), key.into(), mode.into()]);
            row.push((if wait.is_some() { "WAITING" } else { "HELD" }).into());
            row.extend([txn.to_string().into(), Cell::UInt(aggregator.into())]);
            let blockers = |txns: &[TxnId]| txns.iter().map(TxnId::to_string).collect::<Vec<_>>().join(",");
            row.push(wait.as_ref().map(|wait| blockers(&wait.blockers)).into());
            row.push(wait.map(|wait| wait.millis).into());
            grid.push(row);
        }
    }
    Ok(())
}
