//! ANALYZE, OPTIMIZE and CHECK TABLE.

use super::Answer;
use super::grid::Grid;
use super::query::rows_answer;
use crate::session::State;
use sql::statement::{MaintainAction, TableName};
use types::{Result, SqlError};

impl State {
    /// Statistics are kept by storage as it writes, so ANALYZE has nothing to do but to say so.
    pub(crate) async fn maintain_tables(
        &mut self,
        action: MaintainAction,
        tables: &[TableName],
        mode: Option<&str>,
    ) -> Result<Answer> {
        match (action, mode) {
            (MaintainAction::Analyze, None) => {}
            (MaintainAction::Analyze, Some(mode)) => return Err(SqlError::unsupported(mode)),
            (MaintainAction::Optimize, _) => return Err(SqlError::unsupported("OPTIMIZE TABLE")),
            (MaintainAction::Checksum, _) => return Err(SqlError::unsupported("CHECKSUM TABLE")),
            (MaintainAction::Check, _) => return Err(SqlError::unsupported("CHECK TABLE")),
        }
        let mut grid = Grid::of_text(&["Table", "Op", "Msg_type", "Msg_text"]);
        for table in tables {
            let def = self.table(table)?;
            let database = self.database_name(table.database.as_deref())?;
            let name = format!("{database}.{}", def.name);
            grid.push(vec![name.into(), "analyze".into(), "status".into(), "OK".into()]);
        }
        rows_answer(grid)
    }
}
