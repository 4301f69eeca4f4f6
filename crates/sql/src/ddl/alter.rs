//! ALTER TABLE: a definition from the one before it, and whether the rows that are stored under the old one
//! are rows of the new one.
//!
//! Mostly they are: then the change is instant. Else the definition is that of a new table, which the rows
//! are copied to (see [`super::rebuild`]), and [`Altered::rewrites`] says why.
//!
//! As in MySQL the clauses do not count in the order that they are written in: first keys and constraints are
//! dropped, then columns, then everything else happens. So what is dropped is what was there before.

use super::keys::{self, check_collocation};
use super::rebuild::{self, Rewrite};
use super::{check_auto_increment, check_column_name, check_table_name, column_def, errors, settle_default};
use crate::convert::{Context, DefaultValue, Scalar, default_value};
use crate::query::refuse_dependent;
use crate::statement::{
    AlterAction, AlterAlgorithm, AlterTable, CheckSpec, ColumnPlace, ColumnSpec, DefaultSpec, KeyKind,
    KeySpec,
};
use sqlparser::ast::Ident;
use types::{ColumnDef, ColumnDefault, ColumnId, ErrorKind, Result, SqlError, SqlType, TableDef};

/// What an ALTER TABLE makes of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Altered {
    pub def: TableDef,
    /// Why the rows that are there have to be copied. `None`: they stay as they are.
    pub rewrites: Option<Rewrite>,
    /// AUTO_INCREMENT = n.
    pub auto_increment: Option<u64>,
    /// Names of unique keys that are new: rows that stay may contradict them.
    pub new_unique: Vec<String>,
    /// Names of constraints that are new, which the rows that stay may violate.
    pub new_checks: Vec<String>,
    /// RENAME TO a table of this database.
    pub new_database: Option<String>,
}

/// What an ALTER TABLE makes of `def`.
///
/// `context`: the time of the statement, for columns that are added with the time as their default.
/// `one_partition`: all rows are in one. `rewrite`: they are to be copied even if they could stay.
pub fn altered(
    def: &TableDef,
    alter: &AlterTable,
    context: &Context,
    one_partition: bool,
    rewrite: bool,
) -> Result<Altered> {
    let copies = rewrite || alter.algorithm == Some(AlterAlgorithm::Copy);
    let mut change = Altered {
        def: def.clone(),
        rewrites: copies.then_some(Rewrite::Asked),
        auto_increment: None,
        new_unique: Vec::new(),
        new_checks: Vec::new(),
        new_database: None,
    };
    let mut actions: Vec<&AlterAction> = alter.actions.iter().collect();
    actions.sort_by_key(|action| turn(action));
    for action in actions {
        change.apply(action, context)?;
    }
    if change.def.shown().is_empty() {
        return Err(SqlError::new(
            ErrorKind::CantRemoveAllColumns,
            "You can't delete all columns with ALTER TABLE; use DROP TABLE instead",
        ));
    }
    if change.def.columns.len() > super::MAX_COLUMNS {
        return Err(SqlError::new(ErrorKind::ManyKeys, "Too many columns"));
    }
    if super::collations::needs_other_keys(def, &change.def) {
        change.rewrite(Rewrite::Other);
    }
    if change.rewrites.is_some() {
        rebuild::renew(&mut change.def)?;
        // Whoever copies the rows checks them.
        change.new_unique.clear();
        change.new_checks.clear();
    }
    check_auto_increment(&change.def)?;
    check_collocation(&change.def, one_partition)?;
    crate::query::check_rules(&change.def)?;
    rebuild::check_clauses(alter, change.rewrites)?;
    Ok(change)
}

/// When a clause has its turn.
fn turn(action: &AlterAction) -> u8 {
    match action {
        AlterAction::DropForeignKey(_)
        | AlterAction::DropCheck(_)
        | AlterAction::DropConstraint(_)
        | AlterAction::DropShardKey
        | AlterAction::DropSortKey
        | AlterAction::DropKey(_) => 0,
        AlterAction::DropColumn(_) => 1,
        _ => 2,
    }
}

impl Altered {
    /// The rows have to be copied. The first reason is the one that is told.
    fn rewrite(&mut self, why: Rewrite) {
        match self.rewrites {
            None | Some(Rewrite::Asked) => self.rewrites = Some(why),
            Some(_) => {}
        }
    }

    fn apply(&mut self, action: &AlterAction, context: &Context) -> Result<()> {
        match action {
            AlterAction::AddColumn { column, place } => self.add_column(column, place, context),
            AlterAction::DropColumn(name) => self.drop_column(name),
            AlterAction::ChangeColumn { name, column, place } => self.change_column(name, column, place),
            AlterAction::RenameColumn { from, to } => {
                let place = self.place_of(from)?;
                self.rename(place, to)
            }
            AlterAction::SetDefault { column, default } => self.set_default(column, default.as_ref()),
            AlterAction::AddKey(key) => self.add_key(key),
            AlterAction::AddCheck(check) => self.add_check(check),
            AlterAction::AddForeignKey(key) => keys::add_foreign(&mut self.def, key),
            AlterAction::DropForeignKey(name) => {
                let place = self.foreign_key_place(name).ok_or_else(|| cannot_drop(name))?;
                self.def.foreign_keys.remove(place);
                Ok(())
            }
            AlterAction::DropKey(name) => {
                if name.eq_ignore_ascii_case("PRIMARY") {
                    return self.drop_primary_key();
                }
                let place = self.key_place(name).ok_or_else(|| cannot_drop(name))?;
                let key = self.def.keys.remove(place);
                self.new_unique.retain(|other| *other != key.name);
                Ok(())
            }
            AlterAction::DropShardKey => {
                if self.def.reference {
                    return Err(errors::reference_shard_key());
                }
                self.def.shard_key = self.def.primary_key.clone();
                self.rewrite(Rewrite::Other);
                Ok(())
            }
            AlterAction::DropSortKey => {
                self.def.sort_key.clear();
                self.rewrite(Rewrite::Other);
                Ok(())
            }
            AlterAction::DropCheck(name) => {
                let place = self.check_place(name).ok_or_else(|| {
                    SqlError::new(
                        ErrorKind::CheckConstraintNotFound,
                        format!("Check constraint '{name}' is not found in the table."),
                    )
                })?;
                let check = self.def.checks.remove(place);
                self.new_checks.retain(|other| *other != check.name);
                Ok(())
            }
            AlterAction::DropConstraint(name) => match self.check_place(name) {
                Some(place) => {
                    self.def.checks.remove(place);
                    Ok(())
                }
                None if self.foreign_key_place(name).is_some() => {
                    self.apply(&AlterAction::DropForeignKey(name.clone()), context)
                }
                None => self.apply(&AlterAction::DropKey(name.clone()), context),
            },
            AlterAction::RenameKey { from, to } => {
                let place = self.key_place(from).ok_or_else(|| {
                    SqlError::new(
                        ErrorKind::KeyDoesNotExist,
                        format!("Key '{from}' doesn't exist in table '{}'", self.def.name),
                    )
                })?;
                let taken = self.key_place(to).is_some_and(|other| other != place);
                if taken || to.eq_ignore_ascii_case("PRIMARY") {
                    return Err(errors::duplicate_key_name(to));
                }
                self.def.keys[place].name.clone_from(to);
                Ok(())
            }
            AlterAction::RenameTable(name) => {
                check_table_name(&name.name)?;
                self.def.name.clone_from(&name.name);
                self.new_database.clone_from(&name.database);
                Ok(())
            }
            AlterAction::AutoIncrement(next) => {
                self.auto_increment = Some(*next);
                Ok(())
            }
            AlterAction::Collation { collation, columns } => {
                self.def.collation = *collation;
                if *columns {
                    for column in &mut self.def.columns {
                        if column.ty.is_string() && column.ty != SqlType::Json {
                            column.collation = *collation;
                        }
                    }
                }
                Ok(())
            }
            AlterAction::Comment(comment) => {
                self.def.comment.clone_from(comment);
                Ok(())
            }
        }
    }

    fn place_of(&self, name: &Ident) -> Result<usize> {
        self.def.column_named(&name.value).map(|(place, _)| place).ok_or_else(|| {
            SqlError::new(
                ErrorKind::UnknownColumn,
                format!("Unknown column '{}' in '{}'", name.value, self.def.name),
            )
        })
    }

    fn key_place(&self, name: &str) -> Option<usize> {
        self.def.keys.iter().position(|key| key.name.eq_ignore_ascii_case(name))
    }

    fn check_place(&self, name: &str) -> Option<usize> {
        self.def.checks.iter().position(|check| check.name.eq_ignore_ascii_case(name))
    }

    fn foreign_key_place(&self, name: &str) -> Option<usize> {
        self.def.foreign_keys.iter().position(|key| key.name.eq_ignore_ascii_case(name))
    }

    /// Puts the column at the place that is wanted.
    fn put(&mut self, column: ColumnDef, place: &ColumnPlace, unsaid: usize) -> Result<()> {
        let at = match place {
            ColumnPlace::Unsaid => unsaid,
            ColumnPlace::First => 0,
            ColumnPlace::After(name) => self.place_of(name)? + 1,
        };
        self.def.columns.insert(at.min(self.def.shown().len()), column);
        Ok(())
    }

    fn add_column(&mut self, spec: &ColumnSpec, place: &ColumnPlace, context: &Context) -> Result<()> {
        let name = &spec.name.value;
        check_column_name(name)?;
        if self.def.column_named(name).is_some() {
            return Err(errors::duplicate_column(name));
        }
        let id = self.def.next_column_id;
        let mut column = column_def(spec, id, self.def.collation)?;
        if column.nullable && column.default == ColumnDefault::None {
            column.default = ColumnDefault::Null;
        }
        settle_default(&mut column)?;
        column.initial = initial(&column, context)?;
        if column.initial.is_none() {
            self.rewrite(Rewrite::Other);
        }
        self.def.next_column_id = ColumnId(id.0 + 1);
        let last = self.def.shown().len();
        self.put(column, place, last)?;
        // The rows that are there cannot be asked for what they do not have.
        if !spec.checks.is_empty() {
            self.rewrite(Rewrite::Other);
        }
        self.add_keys_of(spec, false)
    }

    /// What a column's definition says of keys and constraints.
    fn add_keys_of(&mut self, spec: &ColumnSpec, is_primary: bool) -> Result<()> {
        let key = |kind| KeySpec { kind, name: None, columns: vec![spec.name.clone()] };
        if spec.primary && !is_primary {
            self.add_key(&key(KeyKind::Primary))?;
        }
        if spec.unique {
            self.add_key(&key(KeyKind::Unique))?;
        }
        spec.checks.iter().try_for_each(|check| self.add_check(check))
    }

    fn add_check(&mut self, check: &CheckSpec) -> Result<()> {
        let name = super::add_check(&mut self.def, check)?;
        if check.enforced {
            self.new_checks.push(name);
        }
        Ok(())
    }

    fn drop_column(&mut self, name: &Ident) -> Result<()> {
        let Some((_, column)) = self.def.column_named(&name.value) else {
            return Err(cannot_drop(&name.value));
        };
        let id = column.id;
        refuse_dependent(&self.def, &name.value)?;
        if let Some(key) = self.def.foreign_keys.iter().find(|key| key.columns.contains(&id)) {
            return Err(errors::foreign_key_column(&name.value, &key.name));
        }
        let compared = self.def.compared(id);
        let is_it = |column: &ColumnId| *column == id || *column == compared;
        let by_primary = self.def.shard_key == self.def.primary_key;
        let mut rewrites = false;
        for key in [&mut self.def.primary_key, &mut self.def.shard_key, &mut self.def.sort_key] {
            rewrites |= key.iter().any(is_it);
            key.retain(|column| !is_it(column));
        }
        if !self.def.reference && (by_primary || self.def.shard_key.is_empty()) {
            self.def.shard_key = self.def.primary_key.clone();
        }
        for key in &mut self.def.keys {
            // Rows that differ in this column alone are equal now.
            rewrites |= key.unique && key.columns.len() > 1 && key.columns.iter().any(is_it);
            key.columns.retain(|column| !is_it(column));
        }
        if rewrites {
            self.rewrite(Rewrite::Other);
        }
        self.def.keys.retain(|key| !key.columns.is_empty());
        self.def.columns.retain(|column| column.id != id && column.id != compared);
        Ok(())
    }

    fn rename(&mut self, place: usize, to: &Ident) -> Result<()> {
        check_column_name(&to.value)?;
        if !self.def.columns[place].name.eq_ignore_ascii_case(&to.value) {
            refuse_dependent(&self.def, &self.def.columns[place].name)?;
        }
        if self.def.column_named(&to.value).is_some_and(|(other, _)| other != place) {
            return Err(errors::duplicate_column(&to.value));
        }
        self.def.columns[place].name.clone_from(&to.value);
        Ok(())
    }

    /// MODIFY and CHANGE.
    fn change_column(&mut self, name: &Ident, spec: &ColumnSpec, place: &ColumnPlace) -> Result<()> {
        let at = self.place_of(name)?;
        self.rename(at, &spec.name)?;
        let old = self.def.columns[at].clone();
        let is_primary = self.def.has_column(&self.def.primary_key, old.id);
        let mut new = column_def(spec, old.id, self.def.collation)?;
        let is_virtual =
            |column: &ColumnDef| matches!(column.default, ColumnDefault::Generated { stored: false, .. });
        if is_virtual(&old) != is_virtual(&new) {
            return Err(SqlError::new(
                ErrorKind::UnsupportedOnGeneratedColumn,
                "'Changing the STORED status' is not supported for generated columns.",
            ));
        }
        if matches!(new.default, ColumnDefault::Generated { .. }) && old.default != new.default {
            self.rewrite(Rewrite::Other);
        }
        if is_primary && spec.nullable != Some(true) {
            new.nullable = false;
        }
        if new.nullable && new.default == ColumnDefault::None {
            new.default = ColumnDefault::Null;
        }
        if !old.auto_increment && new.auto_increment {
            self.rewrite(Rewrite::Other);
        }
        if !old.nullable && new.nullable && is_primary {
            return Err(errors::primary_key_null());
        }
        if old.nullable && !new.nullable {
            self.rewrite(Rewrite::Null);
        }
        let is_key = self.def.keys.iter().any(|key| self.def.has_column(&key.columns, old.id))
            || [&self.def.primary_key, &self.def.shard_key, &self.def.sort_key]
                .iter()
                .any(|key| self.def.has_column(key, old.id));
        if !widens(old.ty, new.ty) || (is_key && matches!(new.ty, SqlType::Text(_) | SqlType::Blob(_))) {
            self.rewrite(Rewrite::Type);
        }
        settle_default(&mut new)?;
        new.initial = Some(old.initial.clone().unwrap_or_else(|| for_missing(old.default)));
        let key = ColumnDefault::CollationKey(new.id);
        if let Some(key) = self.def.columns.iter_mut().find(|column| column.default == key) {
            key.nullable = new.nullable;
        }
        self.def.columns.remove(at);
        self.put(new, place, at)?;
        self.add_keys_of(spec, is_primary)
    }

    fn set_default(&mut self, name: &Ident, default: Option<&DefaultSpec>) -> Result<()> {
        let place = self.place_of(name)?;
        let column = &mut self.def.columns[place];
        if matches!(column.default, ColumnDefault::Generated { .. }) {
            return Err(errors::invalid_default(&column.name));
        }
        let before = for_missing(column.default.clone());
        column.default = match default {
            None => ColumnDefault::None,
            Some(DefaultSpec::Null) => ColumnDefault::Null,
            Some(DefaultSpec::Literal { .. }) if matches!(column.ty, SqlType::Text(_) | SqlType::Blob(_)) => {
                return Err(errors::lob_default(&column.name));
            }
            Some(DefaultSpec::Literal { text, is_string }) => {
                super::literal_default(&column.name, column.ty, text, *is_string)?
            }
            Some(DefaultSpec::Expression(text)) => ColumnDefault::Expression(text.clone()),
            Some(DefaultSpec::CurrentTimestamp { fsp }) => match column.ty {
                SqlType::DateTime { fsp: own } | SqlType::Timestamp { fsp: own } if own == *fsp => {
                    ColumnDefault::CurrentTimestamp
                }
                _ => return Err(errors::invalid_default(&column.name)),
            },
        };
        if column.auto_increment && column.default != ColumnDefault::None {
            return Err(errors::invalid_default(&column.name));
        }
        // Rows from before the column was added keep what they have.
        column.initial = Some(column.initial.take().unwrap_or(before));
        settle_default(column)
    }

    fn add_key(&mut self, spec: &KeySpec) -> Result<()> {
        match spec.kind {
            KeyKind::Plain | KeyKind::Unique => {}
            KeyKind::Primary => {
                keys::add_primary(&mut self.def, spec)?;
                self.rewrite(Rewrite::Other);
                return Ok(());
            }
            KeyKind::Shard | KeyKind::Sort => {
                keys::add_placing(&mut self.def, spec)?;
                self.rewrite(Rewrite::Other);
                return Ok(());
            }
        }
        let name = keys::add(&mut self.def, spec)?;
        if spec.kind == KeyKind::Unique {
            self.new_unique.push(name);
        }
        Ok(())
    }
}

impl Altered {
    fn drop_primary_key(&mut self) -> Result<()> {
        if self.def.primary_key.is_empty() {
            return Err(cannot_drop("PRIMARY"));
        }
        if self.def.shard_key == self.def.primary_key {
            self.def.shard_key.clear();
        }
        self.def.primary_key.clear();
        self.rewrite(Rewrite::Other);
        Ok(())
    }
}

/// What rows without the column have. A column that computes its values was there from the first row on,
/// so nothing asks for it.
fn for_missing(default: ColumnDefault) -> ColumnDefault {
    match default {
        ColumnDefault::Expression(_) | ColumnDefault::Generated { .. } | ColumnDefault::CollationKey(_) => {
            ColumnDefault::None
        }
        other => other,
    }
}

fn cannot_drop(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::CantDropColumnOrKey,
        format!("Can't DROP '{name}'; check that column/key exists"),
    )
}

/// What rows from before an added column have in it, fixed for good. `None`: not the same in each row, or
/// nothing that there is.
fn initial(column: &ColumnDef, context: &Context) -> Result<Option<ColumnDefault>> {
    if !column.nullable && column.default == ColumnDefault::None && !column.auto_increment {
        // MySQL's implicit default of the type.
        let has_zero =
            !matches!(column.ty, SqlType::Date | SqlType::DateTime { .. } | SqlType::Timestamp { .. });
        return Ok(has_zero.then_some(ColumnDefault::None));
    }
    Ok(match default_value(column, context)? {
        DefaultValue::Value(types::Value::Null) => Some(ColumnDefault::Null),
        DefaultValue::Generated | DefaultValue::Computed => None,
        DefaultValue::Value(value) => {
            let text = Scalar::of(&value).text().into_owned();
            Some(ColumnDefault::Literal(
                String::from_utf8(text).map_err(|_| errors::invalid_default(&column.name))?,
            ))
        }
    })
}

/// Whether every stored value of the one type is the same value of the other.
fn widens(from: SqlType, to: SqlType) -> bool {
    use SqlType::*;
    match (from, to) {
        (VarChar(from), VarChar(to)) | (VarBinary(from), VarBinary(to)) => from <= to,
        (Text(from), Text(to)) | (Blob(from), Blob(to)) => from.max_bytes() <= to.max_bytes(),
        // A character takes up to four bytes.
        (VarChar(from), Text(to)) => u64::from(from) * 4 <= to.max_bytes(),
        (VarBinary(from), Blob(to)) => u64::from(from) <= to.max_bytes(),
        (Bit(from), Bit(to)) => from <= to,
        (Enum(from), Enum(to)) | (Set(from), Set(to)) => to.extends(from),
        (DateTime { fsp: from }, DateTime { fsp: to })
        | (Timestamp { fsp: from }, Timestamp { fsp: to })
        | (Time { fsp: from }, Time { fsp: to }) => from <= to,
        (from, to) => from == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_one;
    use crate::statement::Statement;
    use crate::temporal::{Zone, parse_datetime};

    fn table() -> TableDef {
        let sql = "create table t (id int primary key, a varchar(5) default 'x', b int, c datetime, \
                   key k (a, b), unique key u (id, b))";
        match parse_one(sql).unwrap().statement {
            Statement::CreateTable(create) => crate::ddl::table_def(&create).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn alter(rest: &str) -> Result<Altered> {
        let Statement::AlterTable(alter) = parse_one(&format!("alter table t {rest}"))?.statement else {
            panic!("{rest}")
        };
        let now = parse_datetime(b"2024-05-06 07:08:09.5", 6).unwrap();
        altered(
            &table(),
            &alter,
            &Context { now, zone: Zone::Offset(3600), ..Context::fixed() },
            false,
            false,
        )
    }

    fn names(def: &TableDef) -> String {
        def.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_come_go_and_move() {
        for (rest, expected) in [
            ("add column d int", "id a b c d"),
            ("add d int first, add (e int, f int), add g int after a", "d id a g b c e f"),
            ("drop column c, drop b", "id a"),
            ("modify a varchar(9) after c, rename column b to bb", "id bb c a"),
            ("change column c cc datetime(3) first", "cc id a b"),
            ("change a A varchar(5)", "id A b c"),
        ] {
            let result = alter(rest);
            assert_eq!(names(&result.unwrap_or_else(|e| panic!("{rest}: {e}")).def), expected, "{rest}");
        }
        let def = alter("drop b, add b int").unwrap().def;
        assert_eq!((def.column_named("b").unwrap().1.id, def.next_column_id), (ColumnId(5), ColumnId(6)));
    }

    #[test]
    fn collation_keys_go_with_their_texts() {
        let sql = "create table t (id int primary key, s varchar(5), t varchar(5), key (s), unique key u (id, s)) \
                   collate utf8mb4_general_ci";
        let Statement::CreateTable(create) = parse_one(sql).unwrap().statement else { panic!("{sql}") };
        let before = crate::ddl::table_def(&create).unwrap();
        let alter = |rest: &str| {
            let Statement::AlterTable(alter) = parse_one(&format!("alter table t {rest}")).unwrap().statement
            else {
                panic!("{rest}")
            };
            altered(&before, &alter, &Context::fixed(), false, false).map(|altered| altered.def)
        };
        let keyed = alter("add unique key v (id, t)").unwrap();
        assert_eq!(names(&keyed), "id s t __key_2 __key_3");
        assert_eq!(keyed.keys[1].columns, [ColumnId(1), ColumnId(6)]);
        assert_eq!(names(&before), "id s t __key_2");
        assert_eq!(names(&alter("add n int, add m int after s").unwrap()), "id s m t n __key_2");
        assert_eq!(names(&alter("drop key u, drop column s").unwrap()), "id t");
        assert_eq!(names(&alter("drop column s").unwrap()), "id t");
        assert_eq!(names(&alter("add key k (t, s)").unwrap()), "id s t __key_2 __key_3");
        assert_eq!(names(&alter("modify s varchar(9) collate utf8mb4_bin").unwrap()), "id s t");
    }

    #[test]
    fn rows_from_before_keep_what_they_have() {
        use ColumnDefault::{Literal, None as NoDefault, Null};
        for (rest, expected) in [
            ("add d int", Null),
            ("add d int not null", NoDefault),
            ("add d int not null default '7'", Literal("7".into())),
            ("add d decimal(5,2) default 1.239", Literal("1.24".into())),
            ("add d date default '2024-1-5'", Literal("2024-01-05".into())),
            ("add d datetime default current_timestamp", Literal("2024-05-06 08:08:09.000000".into())),
            ("add d timestamp default current_timestamp", Literal("2024-05-06 07:08:09.000000".into())),
            ("add d int default 1, alter d set default 2", Literal("1".into())),
            ("add d int default 1, modify d int default 3", Literal("1".into())),
        ] {
            let def = alter(rest).unwrap_or_else(|e| panic!("{rest}: {e}")).def;
            let column = def.column_named("d").unwrap().1;
            match (&column.initial, &expected) {
                (Some(Literal(text)), Literal(wanted)) if wanted.contains(':') => {
                    assert!(wanted.starts_with(text.trim_end_matches(".000000")), "{rest}: {text}");
                }
                (initial, expected) => assert_eq!(initial.as_ref(), Some(expected), "{rest}"),
            }
        }
        assert_eq!(
            alter("alter a set default 'y'").unwrap().def.columns[1].initial,
            Some(Literal("x".into()))
        );
    }

    #[test]
    fn keys_and_the_rest() {
        let made =
            alter("add unique (b, id), add index i (c), drop key k, comment = 'x', auto_increment = 9")
                .unwrap();
        let keys: Vec<(&str, bool)> = made.def.keys.iter().map(|k| (k.name.as_str(), k.unique)).collect();
        assert_eq!(keys, [("u", true), ("b", true), ("i", false)]);
        assert_eq!((made.new_unique, made.auto_increment), (vec!["b".to_string()], Some(9)));
        assert_eq!(made.def.comment, "x");
        assert_eq!(alter("rename to s").unwrap().def.name, "s");
        assert_eq!(alter("rename key k to kk").unwrap().def.keys[1].name, "kk");
        let Statement::AlterTable(index) = parse_one("create unique index i on t (id)").unwrap().statement
        else {
            panic!()
        };
        assert_eq!(altered(&table(), &index, &Context::fixed(), false, false).unwrap().new_unique, ["i"]);
    }

    #[test]
    fn what_contradicts_is_refused() {
        for (rest, errno) in [
            ("add a int", 1060),
            ("add index k (b)", 1061),
            ("drop nope", 1091),
            ("drop key nope", 1091),
            ("drop id, drop a, drop b, drop c", 1090),
            ("drop id", 1235),
            ("modify nope int", 1054),
            ("modify c datetime default 'x'", 1067),
            ("modify id int null", 1171),
            ("modify id text", 1072),
            ("modify b int auto_increment, drop key k", 1075),
            ("modify b int as (id) virtual", 3106),
            ("alter b set default 'x'", 1067),
            ("rename column a to B", 1060),
            ("rename key nope to x", 1176),
            ("add primary key (b)", 1068),
            ("add d int primary key", 1068),
            ("drop primary key, drop primary key", 1091),
            ("add sort key (a), add sort key (b)", 1061),
            ("add shard key (nope)", 1072),
            ("add unique v (c)", 1235),
            ("modify a varchar(4), algorithm=inplace", 1846),
            ("modify b int not null, algorithm=instant", 1846),
            ("modify b int not null, lock=none", 1846),
            ("modify b int not null, lock=exclusive", 1846),
            ("drop primary key, add primary key (id), algorithm = inplace", 1845),
            ("add d int, algorithm=instant, lock=none", 1221),
        ] {
            assert_eq!(alter(rest).unwrap_err().kind.errno(), errno, "{rest}");
        }
    }

    #[test]
    fn rows_stay_or_are_copied() {
        for (rest, rewrites) in [
            ("add d int not null default 3, algorithm=instant", None),
            ("add d varchar(9) not null, lock=none", None),
            ("add d int, drop c, algorithm=inplace, lock=shared", None),
            ("modify a varchar(6) not null default 'y'", Some(Rewrite::Null)),
            ("modify a varchar(6) default 'y' first", None),
            ("modify a varchar(4)", Some(Rewrite::Type)),
            ("modify b bigint, lock=shared, algorithm=copy", Some(Rewrite::Type)),
            ("change b n int unsigned not null", Some(Rewrite::Null)),
            ("modify a text", Some(Rewrite::Type)),
            ("modify b int check (b > 0)", None),
            ("add d int check (d > 0)", Some(Rewrite::Other)),
            ("add d date not null", Some(Rewrite::Other)),
            ("add d date not null default '2020-01-02'", None),
            ("add d int default (b + 1)", Some(Rewrite::Other)),
            ("add d int as (b + 1) stored", Some(Rewrite::Other)),
            ("add d int auto_increment, add key (d)", Some(Rewrite::Other)),
            ("modify id int auto_increment", Some(Rewrite::Other)),
            ("drop primary key", None),
            ("drop key u, drop primary key, add primary key (id, b)", Some(Rewrite::Other)),
            ("drop primary key, drop key u, add shard key (id), add unique (id)", Some(Rewrite::Other)),
            ("add sort key (b)", Some(Rewrite::Other)),
            ("convert to character set utf8mb4 collate utf8mb4_general_ci", Some(Rewrite::Other)),
            ("default character set utf8mb4 collate utf8mb4_general_ci", None),
            ("add d varchar(3) collate utf8mb4_general_ci, add key (d)", Some(Rewrite::Other)),
            ("add d varchar(3), add key (d)", None),
            ("add d varchar(3), algorithm=copy", Some(Rewrite::Asked)),
            ("add index i (c), algorithm=default, lock=default", None),
        ] {
            let found = alter(rest).map(|altered| altered.rewrites);
            if rest == "drop primary key" {
                // The unique key is not placed by the rows' batches.
                assert_eq!(found.unwrap_err().kind.errno(), 1235);
                continue;
            }
            assert_eq!(found.unwrap_or_else(|e| panic!("{rest}: {e}")), rewrites, "{rest}");
        }
    }

    #[test]
    fn a_copied_table_is_a_new_one() {
        let made = alter(
            "add d varchar(3) collate utf8mb4_general_ci default 'x', drop key u, drop primary key, \
             add primary key (d, id), add check (b > 0), modify id bigint",
        )
        .unwrap();
        let def = &made.def;
        let names = |key: &[ColumnId]| def.shown_columns(key).map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&def.primary_key), names(&def.shard_key)),
            (vec!["d".into(), "id".into()], vec!["d".into(), "id".into()])
        );
        assert!(def.column(def.primary_key[0]).unwrap().is_hidden(), "keys have the key of the text");
        assert!(def.columns.iter().all(|column| column.initial.is_none()));
        assert!(made.new_checks.is_empty(), "copying checks them");
        let Statement::AlterTable(binary) =
            parse_one("alter table t modify d varchar(3) collate utf8mb4_bin not null").unwrap().statement
        else {
            panic!("not an ALTER TABLE")
        };
        let def = altered(def, &binary, &Context::fixed(), false, false).unwrap().def;
        assert_eq!(def.columns.len(), def.shown().len(), "without collation keys");
        assert_eq!(def.column(def.primary_key[0]).unwrap().name, "d");
    }

    #[test]
    fn what_is_dropped_was_there_before() {
        let made = alter("add index k (c), drop key k, add b date, drop b").unwrap().def;
        assert_eq!(made.keys.iter().find(|key| key.name == "k").unwrap().columns, [made.columns[2].id]);
        assert_eq!(made.column_named("b").unwrap().1.ty, SqlType::Date);
        let made = alter("drop id, drop key u, drop primary key, add unique (b), add shard key (b)");
        assert_eq!(names(&made.unwrap().def), "a b c");
    }
}
