//! LOCK TABLES .. READ and UNLOCK TABLES, as dumps send them.
//!
//! Nobody is kept from writing. What the session that locks is promised holds all the same, that the
//! tables stay as they are while it reads them: it reads one snapshot of everything, in a transaction that
//! writes nothing, until it unlocks. A note says so.

use super::{Answer, done};
use crate::session::{Level, State};
use catalog::Privilege;
use sql::statement::TableName;
use types::{ErrorKind, Result};

const NOTE: &str = "LOCK TABLES .. READ keeps nobody from writing: this session reads one snapshot of all tables \
                    until UNLOCK TABLES";

impl State {
    pub(crate) async fn lock_tables(&mut self, tables: &[TableName]) -> Result<Answer> {
        for table in tables {
            if self.named_view(table)?.is_none() {
                self.shown_table(table)?;
            }
        }
        self.begin(Some(true), true).await?;
        self.open_transaction()?.locks_tables = true;
        self.add_message(Level::Note, ErrorKind::NotSupportedYet.errno(), NOTE);
        Ok(done())
    }

    /// Ends what LOCK TABLES began; else it does nothing.
    pub(crate) async fn unlock_tables(&mut self) -> Result<Answer> {
        if self.transaction.as_ref().is_some_and(|txn| txn.locks_tables) {
            self.commit().await?;
        }
        Ok(done())
    }

    pub(super) fn may_lock_tables(&self, tables: &[TableName]) -> Result<()> {
        tables.iter().try_for_each(|table| {
            let database = self.database_name(table.database.as_deref())?;
            self.privileges.require_readable(database, &table.name)?;
            if crate::system_schemas::system_schema(database).is_some() {
                return Ok(());
            }
            self.privileges.require_on_database(Privilege::LockTables, database)
        })
    }
}
