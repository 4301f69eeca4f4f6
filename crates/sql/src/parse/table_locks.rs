//! LOCK TABLES .. READ and UNLOCK TABLES.

use super::reader::{Read, Reader, unsupported};
use crate::statement::Statement;

impl Reader<'_> {
    /// `LOCK TABLES t [[AS] alias] READ [LOCAL], ..`. WRITE is refused: nobody is kept from a table.
    pub fn lock_tables(&mut self) -> Read<Statement> {
        self.expect("LOCK")?;
        self.tables_word()?;
        let tables = self.list(|reader| {
            let table = reader.table_name()?;
            let lock = |reader: &Self| ["READ", "WRITE", "LOW_PRIORITY"].iter().any(|word| reader.is(word));
            if reader.eat("AS") || !lock(reader) {
                reader.name()?;
            }
            if reader.is("WRITE") || reader.is("LOW_PRIORITY") {
                return unsupported(
                    "LOCK TABLES .. WRITE: nobody is kept from a table; GET_LOCK() excludes others, and a dump that \
                     is to be restored is made with --skip-add-locks",
                );
            }
            reader.expect("READ")?;
            reader.eat("LOCAL");
            Ok(table)
        })?;
        Ok(Statement::LockTables(tables))
    }

    pub fn unlock_tables(&mut self) -> Read<Statement> {
        self.expect("UNLOCK")?;
        self.tables_word()?;
        Ok(Statement::UnlockTables)
    }

    fn tables_word(&mut self) -> Read<()> {
        match self.eat_one_of(&["TABLES", "TABLE"]) {
            Some(_) => Ok(()),
            None => self.expected("TABLES"),
        }
    }
}
