//! Subqueries in INSERT .. VALUES: all are read at one timestamp, before a row is written.

use super::query::Parameters;
use super::running::partitions_read;
use crate::session::State;
use arrow::array::RecordBatch;
use exec::DistributedPlan;
use sql::convert::{Context, convert_column, hear_all, value_at};
use sql::evaluated::{Queried, queries_in};
use sql::rows::Target;
use sql::statement::Insert;
use std::sync::Arc;
use types::{ColumnDef, Result, SqlError, SqlType, TableDef, Timestamp};

/// A query of one row, which has some of the values of a row of VALUES.
struct Planned {
    row: usize,
    places: Vec<usize>,
    types: Vec<SqlType>,
    plan: Arc<DistributedPlan>,
}

impl State {
    /// The values of expressions with subqueries.
    pub(super) async fn queried_values(
        &mut self,
        insert: &Insert,
        def: &Arc<TableDef>,
        parameters: Parameters<'_>,
    ) -> Result<Queried> {
        let mut queried = Queried::new();
        let queries = queries_in(insert);
        if queries.is_empty() {
            return Ok(queried);
        }
        let context = self.assign_context(insert.ignore);
        // What it warns of comes when the rows are made.
        let (target, _) = hear_all(|| Target::of_values(insert, def.clone(), &context));
        let target = target?;
        let mut planned = Vec::with_capacity(queries.len());
        let mut partitions = Vec::new();
        for query in queries {
            let bind = |tables: &_| {
                let context = self.bind_context(tables, &parameters);
                sql::query::bind_written_expressions(&query.exprs, &context, insert.ignore)
            };
            let bound = self.bind_with(bind).await?;
            self.judge(insert.ignore, bound.warnings.into())?;
            partitions.extend(partitions_read(&bound.plan)?);
            let types = bound.columns.iter().map(|column| column.ty).collect();
            let plan = self.plan(bound.plan).await?;
            planned.push(Planned { row: query.row, places: query.places, types, plan });
        }
        partitions.sort_unstable();
        partitions.dedup();
        let ts = self.read_timestamp(&partitions).await?;
        let _held = (ts > Timestamp::ZERO).then(|| self.aggregator.open.hold(ts));
        for query in planned {
            let _admitted = self.admit_plan(&query.plan).await?;
            let (batches, heard) = self.collect(&query.plan, ts).await?;
            self.judge(insert.ignore, heard)?;
            let batch = batches.iter().find(|batch| batch.num_rows() == 1);
            let batch = batch.ok_or_else(|| SqlError::internal("expressions without values"))?;
            self.judging(insert.ignore, |_| keep(&mut queried, &query, batch, &target, &context))?;
        }
        Ok(queried)
    }
}

/// Brings the values of a row to their columns.
fn keep(
    queried: &mut Queried,
    query: &Planned,
    batch: &RecordBatch,
    target: &Target,
    context: &Context,
) -> Result<()> {
    for ((place, ty), array) in query.places.iter().zip(&query.types).zip(batch.columns()) {
        // What becomes of NULL is said where the row is made.
        let column = ColumnDef { nullable: true, ..target.column(*place).clone() };
        let array =
            convert_column(array, &ty.field(&column.name, true), &column, context, query.row as u64 + 1)?;
        queried.insert((query.row, *place), value_at(&array, column.ty, 0));
    }
    Ok(())
}
