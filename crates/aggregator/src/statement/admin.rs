//! ANALYZE, OPTIMIZE, CHECK and CHECKSUM TABLE.

use super::Answer;
use super::grid::{Cell, Grid};
use super::query::{Parameters, rows_answer};
use super::running::partitions_read;
use super::show::{TEXT, UNSIGNED};
use crate::leaves::by_leaf;
use crate::session::{Level, State};
use columnstore::Maintenance;
use exec::Target;
use futures::StreamExt;
use futures::future::try_join_all;
use sql::statement::{MaintainAction, Statement, TableName};
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError, TableDef, shard};

/// What one of these statements does to a table.
enum Work {
    /// Asks the leaves anew what they know of its rows.
    Analyze,
    /// Something that its leaves do.
    Maintain(Maintenance),
}

fn work(action: MaintainAction, mode: Option<&str>) -> Result<(&'static str, Work)> {
    let asked = |mode: &str| SqlError::unsupported(format!("{mode} of this statement"));
    Ok(match (action, mode) {
        (MaintainAction::Analyze, None) => ("analyze", Work::Analyze),
        (MaintainAction::Optimize, None) => ("optimize", Work::Maintain(Maintenance::Merge)),
        (MaintainAction::Optimize, Some("FULL")) => ("optimize", Work::Maintain(Maintenance::MergeAll)),
        (MaintainAction::Optimize, Some("FLUSH")) => ("optimize", Work::Maintain(Maintenance::Flush)),
        // As thorough as EXTENDED, whatever is asked for.
        (MaintainAction::Check, None | Some("QUICK" | "FAST" | "MEDIUM" | "EXTENDED")) => {
            ("check", Work::Maintain(Maintenance::Check))
        }
        (_, Some(mode)) => return Err(asked(mode)),
        (MaintainAction::Checksum, None) => return Err(SqlError::internal("a checksum is no maintenance")),
    })
}

impl State {
    pub(crate) async fn maintain_tables(
        &mut self,
        action: MaintainAction,
        tables: &[TableName],
        mode: Option<&str>,
    ) -> Result<Answer> {
        if action == MaintainAction::Checksum {
            return self.checksum_tables(tables, mode).await;
        }
        let (op, work) = work(action, mode)?;
        let mut grid = Grid::of_text(&["Table", "Op", "Msg_type", "Msg_text"]);
        for table in tables {
            let database = self.database_name(table.database.as_deref())?;
            let name = format!("{database}.{}", table.name);
            let mut say = |kind: &str, text: String| {
                grid.push(vec![name.as_str().into(), op.into(), kind.into(), text.into()]);
            };
            // As in MySQL, a table that it cannot be done to is told of, and the others go on.
            let done = match self.table(table) {
                Ok(def) => self.maintain(&def, &work).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(wrong) if wrong.is_empty() => say("status", "OK".into()),
                Ok(wrong) => {
                    wrong.into_iter().for_each(|wrong| say("error", wrong));
                    say("error", "Corrupt".into());
                }
                Err(error) => {
                    say("Error", error.message);
                    say("status", "Operation failed".into());
                }
            }
        }
        rows_answer(grid)
    }

    /// Gives what is wrong with the table.
    async fn maintain(&self, def: &Arc<TableDef>, work: &Work) -> Result<Vec<String>> {
        let what = match work {
            Work::Analyze => {
                self.aggregator.estimates.fetch(&self.aggregator, &self.catalog, def).await?;
                return Ok(Vec::new());
            }
            Work::Maintain(what) => *what,
        };
        let partitions = self.catalog.partitions_of(def).iter().map(|partition| partition.id);
        let leaves = by_leaf(&self.catalog, partitions, |partition| *partition)?;
        // One partition of a leaf at a time, so that the leaf has room for other work.
        let of_leaf = |(node, partitions)| async move {
            let leaf = self.aggregator.leaves.leaf(node)?;
            let mut wrong = Vec::new();
            for partition in partitions {
                let target = Target { catalog: self.catalog.version(), partition, table: def.id };
                wrong.extend(leaf.maintain(target, what).await?);
            }
            Ok::<_, SqlError>(wrong)
        };
        Ok(try_join_all(leaves.into_iter().map(of_leaf)).await?.concat())
    }

    /// The sum of the hashes of all rows: it does not depend on where they stand.
    async fn checksum_tables(&mut self, tables: &[TableName], mode: Option<&str>) -> Result<Answer> {
        let mut grid = Grid::new([("Table", TEXT), ("Checksum", UNSIGNED)]);
        for table in tables {
            let database = self.database_name(table.database.as_deref())?.to_string();
            let name = format!("{database}.{}", table.name);
            let sum = match mode {
                None | Some("EXTENDED") => self.checksum(&database, &table.name).await,
                // Storage keeps no checksum of a whole table.
                Some("QUICK") => self.table(table).map(|_| Cell::Null),
                Some(mode) => return Err(SqlError::unsupported(format!("{mode} of CHECKSUM TABLE"))),
            };
            let sum = match sum {
                Err(error) if error.kind == ErrorKind::NoSuchTable => {
                    self.add_message(Level::Error, error.kind.errno(), error.message);
                    Cell::Null
                }
                sum => sum?,
            };
            grid.push(vec![name.into(), sum]);
        }
        rows_answer(grid)
    }

    async fn checksum(&mut self, database: &str, table: &str) -> Result<Cell> {
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let text = format!("SELECT * FROM {}.{}", quoted(database), quoted(table));
        let Statement::Query(query) = sql::parse::parse_one(&text)?.statement else {
            return Err(SqlError::internal("a SELECT is a query"));
        };
        let bound = self.bind(&query, Parameters { values: &[], text: "" }).await?;
        self.open_for_reading();
        let partitions = partitions_read(&bound.plan)?;
        let plan = self.plan(bound.plan).await?;
        let _admitted = self.admit_plan(&plan).await?;
        let ts = self.read_timestamp(&partitions).await?;
        let mut rows = self.start_distributed(&plan, ts, false, false).await?;
        let mut sum = 0u64;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let hashes =
                shard::hash_columns(batch.columns(), batch.num_rows()).map_err(SqlError::internal)?;
            sum = hashes.into_iter().fold(sum, u64::wrapping_add);
        }
        Ok(Cell::UInt(sum))
    }
}
