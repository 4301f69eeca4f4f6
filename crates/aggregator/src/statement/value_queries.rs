//! Subqueries in INSERT .. VALUES: all are read at one timestamp, before a row is written.

use super::query::Parameters;
use super::running::partitions_read;
use crate::session::State;
use arrow::array::ArrayRef;
use sql::convert::{Context, convert_column, hear_all, value_at};
use sql::evaluated::{Queried, RowQueries, queries_in};
use sql::query::BoundQuery;
use sql::rows::Target;
use sql::statement::Insert;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ColumnDef, PartitionId, Result, SqlError, SqlType, TableDef, Timestamp, Value};

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
        // There may be very many, so each is bound again when it is its turn, and no plan is kept.
        let mut partitions = BTreeSet::new();
        for query in &queries {
            self.check_cancelled()?;
            partitions.extend(partitions_read(&self.bind_values(query, insert, parameters).await?.plan)?);
        }
        let partitions: Vec<PartitionId> = partitions.into_iter().collect();
        let ts = self.read_timestamp(&partitions).await?;
        let _held = (ts > Timestamp::ZERO).then(|| self.aggregator.open.hold(ts));
        for query in &queries {
            self.check_cancelled()?;
            let bound = self.bind_values(query, insert, parameters).await?;
            self.judge(insert.ignore, bound.warnings.into())?;
            let plan = self.plan(bound.plan).await?;
            let _admitted = self.admit_plan(&plan).await?;
            let (batches, heard) = self.collect(&plan, ts).await?;
            self.judge(insert.ignore, heard)?;
            let batch = batches.iter().find(|batch| batch.num_rows() == 1);
            let batch = batch.ok_or_else(|| SqlError::internal("expressions without values"))?;
            let columns = bound.columns.iter().zip(batch.columns());
            self.judging(insert.ignore, |_| {
                for (place, (column, array)) in query.places.iter().zip(columns) {
                    let value = brought(array, column.ty, target.column(*place), &context, query.row)?;
                    queried.insert((query.row, *place), value);
                }
                Ok(())
            })?;
        }
        Ok(queried)
    }

    /// The values of a row as a query of one row.
    async fn bind_values(
        &mut self,
        query: &RowQueries,
        insert: &Insert,
        parameters: Parameters<'_>,
    ) -> Result<BoundQuery> {
        let bind = |tables: &_| {
            let context = self.bind_context(tables, &parameters);
            sql::query::bind_written_expressions(&query.exprs, &context, insert.ignore)
        };
        self.bind_with(bind).await
    }
}

/// The value of the array, brought to its column. `row` counts from 0.
fn brought(
    array: &ArrayRef,
    ty: SqlType,
    column: &ColumnDef,
    context: &Context,
    row: usize,
) -> Result<Value> {
    // What becomes of NULL is said where the row is made.
    let column = ColumnDef { nullable: true, ..column.clone() };
    let array = convert_column(array, &ty.field(&column.name, true), &column, context, row as u64 + 1)?;
    Ok(value_at(&array, column.ty, 0))
}
