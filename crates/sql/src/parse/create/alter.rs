//! ALTER TABLE, RENAME TABLE, CREATE INDEX and DROP INDEX.

use crate::parse::reader::{Read, Reader, unsupported};
use crate::statement::*;
use sqlparser::tokenizer::Token;
use types::{ErrorKind, SqlError};

impl Reader<'_> {
    /// CREATE TABLE's reading of keys notes what it accepts in a table.
    fn nameless_table() -> CreateTable {
        CreateTable {
            name: TableName { database: None, name: String::new() },
            if_not_exists: false,
            temporary: false,
            reference: false,
            columns: Vec::new(),
            keys: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            like: None,
            query: None,
            comment: String::new(),
            auto_increment: None,
            collation: None,
            one_partition: false,
            accepted: Vec::new(),
        }
    }

    pub(super) fn alter_table(&mut self) -> Read<Statement> {
        self.expect("TABLE")?;
        let mut alter = AlterTable {
            table: self.table_name()?,
            actions: Vec::new(),
            algorithm: None,
            lock: None,
            switches_keys: false,
            accepted: Vec::new(),
        };
        if self.at_end() {
            return self.expected("what to alter");
        }
        self.list(|r| r.alter_action(&mut alter))?;
        if self.is("PARTITION") {
            return unsupported("PARTITION BY");
        }
        Ok(Statement::AlterTable(Box::new(alter)))
    }

    fn alter_action(&mut self, alter: &mut AlterTable) -> Read<()> {
        if self.eat("ADD") {
            return self.alter_add(alter);
        }
        if self.eat("DROP") {
            return self.alter_drop(alter);
        }
        if self.eat("MODIFY") {
            self.eat("COLUMN");
            let column = self.placed_column(&mut alter.accepted)?;
            let (name, (column, place)) = (column.0.name.clone(), column);
            alter.actions.push(AlterAction::ChangeColumn { name, column, place });
        } else if self.eat("CHANGE") {
            self.eat("COLUMN");
            let name = self.ident()?;
            let (column, place) = self.placed_column(&mut alter.accepted)?;
            alter.actions.push(AlterAction::ChangeColumn { name, column, place });
        } else if self.eat("ALTER") {
            if self.is("INDEX") || self.is("CHECK") || self.is("CONSTRAINT") {
                return unsupported("ALTER INDEX and ALTER CHECK");
            }
            self.eat("COLUMN");
            let column = self.ident()?;
            let default = if self.eat_all(&["DROP", "DEFAULT"]) {
                None
            } else {
                self.expect("SET")?;
                if self.is("VISIBLE") || self.is("INVISIBLE") {
                    return unsupported("INVISIBLE columns");
                }
                self.expect("DEFAULT")?;
                Some(self.default_value()?)
            };
            alter.actions.push(AlterAction::SetDefault { column, default });
        } else if self.eat("RENAME") {
            self.alter_rename(alter)?;
        } else if self.how_to_alter(alter)? {
        } else if self.eat_all(&["DISABLE", "KEYS"]) || self.eat_all(&["ENABLE", "KEYS"]) {
            alter.switches_keys = true;
        } else if self.eat("COMMENT") {
            self.eat_equals();
            let text = self.text()?;
            alter.actions.push(AlterAction::Comment(text));
        } else if self.eat("AUTO_INCREMENT") {
            self.eat_equals();
            let next = self.unsigned()?;
            alter.actions.push(AlterAction::AutoIncrement(next));
        } else if self.eat_all(&["CONVERT", "TO"]) {
            if !self.character_set_clause()? {
                return self.expected("CHARACTER SET");
            }
            let collation = self.collate_clause()?.unwrap_or_default();
            alter.actions.push(AlterAction::Collation { collation, columns: true });
        } else if let Some(option) = self.eat_one_of(&["ENGINE", "ROW_FORMAT", "KEY_BLOCK_SIZE"]) {
            self.eat_equals();
            let value = match self.peek() {
                Token::Number(..) => self.unsigned()?.to_string(),
                _ => self.name_or_text()?,
            };
            alter.accepted.push(format!("{option} = {value}"));
        } else {
            let word = match self.peek() {
                Token::Word(word) => word.value.to_ascii_uppercase(),
                _ => return self.expected("what to alter"),
            };
            let known = [
                "DISCARD",
                "IMPORT",
                "EXCHANGE",
                "COALESCE",
                "REORGANIZE",
                "REMOVE",
                "TRUNCATE",
                "ANALYZE",
                "CHECK",
                "OPTIMIZE",
                "REBUILD",
                "REPAIR",
                "ORDER",
                "FORCE",
                "WITH",
                "WITHOUT",
                "TABLESPACE",
                "CHECKSUM",
                "COMPRESSION",
                "PARTITION",
            ];
            if known.contains(&word.as_str()) {
                return unsupported(&format!("ALTER TABLE .. {word}"));
            }
            self.eat("DEFAULT");
            let charset = self.character_set_clause()?;
            match self.collate_clause()? {
                None if !charset => return self.expected("what to alter"),
                collation => {
                    let collation = collation.unwrap_or_default();
                    alter.actions.push(AlterAction::Collation { collation, columns: false });
                }
            }
        }
        Ok(())
    }

    /// `ALGORITHM [=] ..` or `LOCK [=] ..`; false: neither comes next. Errors: 1800, 1801.
    fn how_to_alter(&mut self, alter: &mut AlterTable) -> Read<bool> {
        let of_algorithm = self.eat("ALGORITHM");
        if !of_algorithm && !self.eat("LOCK") {
            return Ok(false);
        }
        self.eat_equals();
        let word = self.any_word()?;
        match (of_algorithm, word.to_ascii_uppercase().as_str()) {
            (true, "DEFAULT") => alter.algorithm = None,
            (true, "INSTANT") => alter.algorithm = Some(AlterAlgorithm::Instant),
            (true, "INPLACE") => alter.algorithm = Some(AlterAlgorithm::Inplace),
            (true, "COPY") => alter.algorithm = Some(AlterAlgorithm::Copy),
            (false, "DEFAULT") => alter.lock = None,
            (false, "NONE") => alter.lock = Some(AlterLock::None),
            (false, "SHARED") => alter.lock = Some(AlterLock::Shared),
            (false, "EXCLUSIVE") => alter.lock = Some(AlterLock::Exclusive),
            (true, _) => {
                let text = format!("Unknown ALGORITHM '{word}'");
                return Err(SqlError::new(ErrorKind::UnknownAlterAlgorithm, text).into());
            }
            (false, _) => {
                let text = format!("Unknown LOCK type '{word}'");
                return Err(SqlError::new(ErrorKind::UnknownAlterLock, text).into());
            }
        }
        Ok(true)
    }

    /// A column's definition and where it goes.
    fn placed_column(&mut self, accepted: &mut Vec<String>) -> Read<(ColumnSpec, ColumnPlace)> {
        let column = self.column_spec(accepted)?;
        let place = if self.eat("FIRST") {
            ColumnPlace::First
        } else if self.eat("AFTER") {
            ColumnPlace::After(self.ident()?)
        } else {
            ColumnPlace::Unsaid
        };
        Ok((column, place))
    }

    fn alter_add(&mut self, alter: &mut AlterTable) -> Read<()> {
        let constraint = self.eat("CONSTRAINT");
        let mut name = None;
        if constraint && !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|w| self.is(w)) {
            name = Some(self.name()?);
        }
        if let Some(check) = self.check(name.clone())? {
            alter.actions.push(AlterAction::AddCheck(check));
            return Ok(());
        }
        if self.is("FOREIGN") {
            let key = self.foreign_key(name, &mut alter.accepted)?;
            alter.actions.push(AlterAction::AddForeignKey(key));
            return Ok(());
        }
        if self.is("FULLTEXT") || self.is("SPATIAL") || self.is("PARTITION") {
            return unsupported("FULLTEXT, SPATIAL and PARTITION in ALTER TABLE");
        }
        let mut table = Self::nameless_table();
        let placing = [("PRIMARY", KeyKind::Primary), ("SHARD", KeyKind::Shard), ("SORT", KeyKind::Sort)];
        if let Some((_, kind)) = placing.into_iter().find(|(word, _)| self.eat_all(&[word, "KEY"])) {
            let key = self.key(kind, None, &mut table)?;
            alter.actions.push(AlterAction::AddKey(key));
        } else if self.eat("UNIQUE") {
            let _ = self.eat("KEY") || self.eat("INDEX");
            let key = self.key(KeyKind::Unique, name, &mut table)?;
            alter.actions.push(AlterAction::AddKey(key));
        } else if self.eat("KEY") || self.eat("INDEX") {
            let key = self.key(KeyKind::Plain, None, &mut table)?;
            alter.actions.push(AlterAction::AddKey(key));
        } else {
            self.eat("COLUMN");
            if *self.peek() == Token::LParen {
                let columns = self.parenthesised(|r| r.list(|r| r.column_spec(&mut table.accepted)))?;
                let add = |column| AlterAction::AddColumn { column, place: ColumnPlace::Unsaid };
                alter.actions.extend(columns.into_iter().map(add));
            } else {
                let (column, place) = self.placed_column(&mut table.accepted)?;
                alter.actions.push(AlterAction::AddColumn { column, place });
            }
        }
        alter.accepted.append(&mut table.accepted);
        Ok(())
    }

    fn alter_drop(&mut self, alter: &mut AlterTable) -> Read<()> {
        for (word, action) in [
            ("PRIMARY", AlterAction::DropKey("PRIMARY".to_string())),
            ("SHARD", AlterAction::DropShardKey),
            ("SORT", AlterAction::DropSortKey),
        ] {
            if self.eat_all(&[word, "KEY"]) {
                alter.actions.push(action);
                return Ok(());
            }
        }
        if self.eat("CHECK") {
            let name = self.name()?;
            alter.actions.push(AlterAction::DropCheck(name));
            return Ok(());
        }
        if self.eat_all(&["FOREIGN", "KEY"]) {
            let name = self.name()?;
            alter.actions.push(AlterAction::DropForeignKey(name));
            return Ok(());
        }
        if self.is("PARTITION") {
            return unsupported("ALTER TABLE .. DROP PARTITION");
        }
        if self.eat("CONSTRAINT") {
            let name = self.name()?;
            alter.actions.push(AlterAction::DropConstraint(name));
        } else if self.eat("KEY") || self.eat("INDEX") {
            let name = self.name()?;
            alter.actions.push(AlterAction::DropKey(name));
        } else {
            self.eat("COLUMN");
            let name = self.ident()?;
            alter.actions.push(AlterAction::DropColumn(name));
        }
        Ok(())
    }

    fn alter_rename(&mut self, alter: &mut AlterTable) -> Read<()> {
        if self.eat("COLUMN") {
            let from = self.ident()?;
            self.expect("TO")?;
            let to = self.ident()?;
            alter.actions.push(AlterAction::RenameColumn { from, to });
        } else if self.eat("INDEX") || self.eat("KEY") {
            let from = self.name()?;
            self.expect("TO")?;
            let to = self.name()?;
            alter.actions.push(AlterAction::RenameKey { from, to });
        } else {
            let _ = self.eat("TO") || self.eat("AS") || self.eat_equals();
            let name = self.table_name()?;
            alter.actions.push(AlterAction::RenameTable(name));
        }
        Ok(())
    }

    pub fn rename_tables(&mut self) -> Read<Statement> {
        self.expect("RENAME")?;
        if self.eat("USER") {
            return self.rename_users();
        }
        if !self.eat("TABLES") {
            self.expect("TABLE")?;
        }
        let renames = self.list(|r| {
            let from = r.table_name()?;
            r.expect("TO")?;
            Ok((from, r.table_name()?))
        })?;
        Ok(Statement::RenameTables(renames))
    }

    /// `[UNIQUE] INDEX name [USING ..] ON table (columns) [options]`
    pub(super) fn create_index(&mut self) -> Read<Statement> {
        let kind = if self.eat("UNIQUE") { KeyKind::Unique } else { KeyKind::Plain };
        self.expect("INDEX")?;
        let name = self.name()?;
        let mut table = Self::nameless_table();
        if self.eat("USING") {
            let word = self.any_word()?;
            table.accepted.push(format!("USING {word}"));
        }
        self.expect("ON")?;
        let on = self.table_name()?;
        if *self.peek() != Token::LParen {
            return self.expected("(");
        }
        let key = self.key(kind, Some(name), &mut table)?;
        let actions = vec![AlterAction::AddKey(key)];
        let mut alter = AlterTable {
            table: on,
            actions,
            algorithm: None,
            lock: None,
            switches_keys: false,
            accepted: table.accepted,
        };
        while self.how_to_alter(&mut alter)? {}
        Ok(Statement::AlterTable(Box::new(alter)))
    }

    pub(super) fn drop_index(&mut self) -> Read<Statement> {
        self.expect("INDEX")?;
        let name = self.name()?;
        self.expect("ON")?;
        let table = self.table_name()?;
        let actions = vec![AlterAction::DropKey(name)];
        let mut alter = AlterTable {
            table,
            actions,
            algorithm: None,
            lock: None,
            switches_keys: false,
            accepted: Vec::new(),
        };
        while self.how_to_alter(&mut alter)? {}
        Ok(Statement::AlterTable(Box::new(alter)))
    }
}
