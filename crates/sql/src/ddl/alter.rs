//! ALTER TABLE: a definition from the one before it. Only what leaves stored rows as they are is done;
//! what would rewrite them is refused with 1235.

use super::keys::{self, check_collocation};
use super::{check_column_name, check_table_name, column_def, errors, settle_default};
use crate::convert::{Context, DefaultValue, Scalar, default_value};
use crate::query::refuse_dependent;
use crate::statement::{AlterAction, AlterTable, ColumnPlace, ColumnSpec, DefaultSpec, KeyKind, KeySpec};
use sqlparser::ast::Ident;
use types::{ColumnDef, ColumnDefault, ColumnId, ErrorKind, Result, SqlError, SqlType, TableDef};

/// What an ALTER TABLE makes of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Altered {
    pub def: TableDef,
    /// AUTO_INCREMENT = n.
    pub auto_increment: Option<u64>,
    /// Names of unique keys that are new: rows that are there may contradict them.
    pub new_unique: Vec<String>,
    /// Names of constraints that are new, which the rows that are there may violate.
    pub new_checks: Vec<String>,
    /// RENAME TO a table of this database.
    pub new_database: Option<String>,
}

/// `context`: the time of the statement, for columns that are added with the time as their default.
/// What is known of the rows of a table that is altered.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowsThere {
    /// They are all in one partition.
    pub one_partition: bool,
    /// There are none.
    pub none: bool,
}

/// Whether it matters if the table has rows: a key may be over a text that needs collation keys.
pub fn asks_for_rows(def: &TableDef, alter: &AlterTable) -> bool {
    let has_texts = def.shown().iter().any(|column| !column.collation.is_bytes());
    alter.actions.iter().any(|action| match action {
        AlterAction::AddKey(_) | AlterAction::AddForeignKey(_) => has_texts,
        AlterAction::AddColumn { column, .. } | AlterAction::ChangeColumn { column, .. } => column.unique,
        _ => false,
    })
}

pub fn altered(def: &TableDef, alter: &AlterTable, context: &Context, rows: RowsThere) -> Result<Altered> {
    let mut change = Altered {
        def: def.clone(),
        auto_increment: None,
        new_unique: Vec::new(),
        new_checks: Vec::new(),
        new_database: None,
    };
    for action in &alter.actions {
        change.apply(action, context)?;
    }
    if change.def.columns.len() > super::MAX_COLUMNS {
        return Err(SqlError::new(ErrorKind::ManyKeys, "Too many columns"));
    }
    super::collations::refuse_other_keys(def, &change.def)?;
    if rows.none {
        super::collations::key_texts_of_none(&mut change.def);
    }
    check_collocation(&change.def, rows.one_partition)?;
    crate::query::check_rules(&change.def)?;
    Ok(change)
}

impl Altered {
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
            AlterAction::AddCheck(check) => {
                let name = super::add_check(&mut self.def, check)?;
                if check.enforced {
                    self.new_checks.push(name);
                }
                Ok(())
            }
            AlterAction::AddForeignKey(key) => keys::add_foreign(&mut self.def, key),
            AlterAction::DropForeignKey(name) => {
                let place = self.foreign_key_place(name).ok_or_else(|| cannot_drop(name))?;
                self.def.foreign_keys.remove(place);
                Ok(())
            }
            AlterAction::DropKey(name) => {
                if name.eq_ignore_ascii_case("PRIMARY") {
                    return Err(SqlError::unsupported("ALTER TABLE .. DROP PRIMARY KEY"));
                }
                let place = self.key_place(name).ok_or_else(|| cannot_drop(name))?;
                let key = self.def.keys.remove(place);
                self.new_unique.retain(|other| *other != key.name);
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
        if spec.primary {
            return Err(SqlError::unsupported("ALTER TABLE .. ADD PRIMARY KEY"));
        }
        if spec.auto_increment {
            return Err(SqlError::unsupported("adding an AUTO_INCREMENT column"));
        }
        if !spec.checks.is_empty() {
            return Err(SqlError::unsupported("ALTER TABLE .. ADD CHECK"));
        }
        if spec.generated.is_some() || matches!(spec.default, Some(DefaultSpec::Expression(_))) {
            return Err(SqlError::unsupported(format!(
                "adding column '{name}', whose values in the rows that are there are to be computed"
            )));
        }
        let id = self.def.next_column_id;
        let mut column = column_def(spec, id, self.def.collation)?;
        if column.nullable && column.default == ColumnDefault::None {
            column.default = ColumnDefault::Null;
        }
        settle_default(&mut column)?;
        column.initial = Some(initial(&column, context)?);
        self.def.next_column_id = ColumnId(id.0 + 1);
        let last = self.def.shown().len();
        self.put(column, place, last)?;
        if spec.unique {
            let columns = vec![spec.name.clone()];
            self.add_key(&KeySpec { kind: KeyKind::Unique, name: None, columns })?;
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
        for (key, what) in [
            (&self.def.primary_key, "primary key"),
            (&self.def.shard_key, "shard key"),
            (&self.def.sort_key, "sort key"),
        ] {
            if self.def.has_column(key, id) {
                return Err(SqlError::unsupported(format!("dropping a column of the {what}")));
            }
        }
        if self.def.shown().len() == 1 {
            return Err(SqlError::new(
                ErrorKind::CantRemoveAllColumns,
                "You can't delete all columns with ALTER TABLE; use DROP TABLE instead",
            ));
        }
        let compared = self.def.compared(id);
        for key in &mut self.def.keys {
            let has_it = key.columns.contains(&id) || key.columns.contains(&compared);
            if key.unique && key.columns.len() > 1 && has_it {
                return Err(SqlError::unsupported(format!(
                    "dropping a column of the unique key {}; drop the key first",
                    key.name
                )));
            }
            key.columns.retain(|column| *column != id && *column != compared);
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

    /// MODIFY and CHANGE, where stored values stay what they are.
    fn change_column(&mut self, name: &Ident, spec: &ColumnSpec, place: &ColumnPlace) -> Result<()> {
        let at = self.place_of(name)?;
        self.rename(at, &spec.name)?;
        let old = self.def.columns[at].clone();
        let is_primary = self.def.has_column(&self.def.primary_key, old.id);
        if spec.primary && !is_primary {
            return Err(SqlError::unsupported("ALTER TABLE .. ADD PRIMARY KEY"));
        }
        let mut new = column_def(spec, old.id, self.def.collation)?;
        let generated = |column: &ColumnDef| matches!(column.default, ColumnDefault::Generated { .. });
        if (generated(&old) || generated(&new)) && old.default != new.default {
            return Err(SqlError::unsupported("changing how a column is generated"));
        }
        if !spec.checks.is_empty() {
            return Err(SqlError::unsupported("ALTER TABLE .. ADD CHECK"));
        }
        if is_primary && spec.nullable != Some(true) {
            new.nullable = false;
        }
        if new.nullable && new.default == ColumnDefault::None {
            new.default = ColumnDefault::Null;
        }
        if old.auto_increment != new.auto_increment {
            return Err(SqlError::unsupported("giving or taking AUTO_INCREMENT"));
        }
        if !old.nullable && new.nullable && is_primary {
            return Err(errors::primary_key_null());
        }
        if old.nullable && !new.nullable {
            return Err(SqlError::unsupported(format!("making column '{}' NOT NULL", old.name)));
        }
        let is_key = self.def.keys.iter().any(|key| self.def.has_column(&key.columns, old.id))
            || [&self.def.primary_key, &self.def.shard_key, &self.def.sort_key]
                .iter()
                .any(|key| self.def.has_column(key, old.id));
        if !widens(old.ty, new.ty) || (is_key && matches!(new.ty, SqlType::Text(_) | SqlType::Blob(_))) {
            return Err(SqlError::unsupported(format!(
                "changing column '{}' from {} to {}, which rewrites the table",
                old.name, old.ty, new.ty
            )));
        }
        settle_default(&mut new)?;
        new.initial = Some(old.initial.clone().unwrap_or_else(|| for_missing(old.default)));
        let key = ColumnDefault::CollationKey(new.id);
        if let Some(key) = self.def.columns.iter_mut().find(|column| column.default == key) {
            key.nullable = new.nullable;
        }
        self.def.columns.remove(at);
        self.put(new, place, at)?;
        if spec.unique {
            let columns = vec![spec.name.clone()];
            self.add_key(&KeySpec { kind: KeyKind::Unique, name: None, columns })?;
        }
        Ok(())
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
            Some(DefaultSpec::Literal(_)) if matches!(column.ty, SqlType::Text(_) | SqlType::Blob(_)) => {
                return Err(errors::lob_default(&column.name));
            }
            Some(DefaultSpec::Literal(text)) => ColumnDefault::Literal(text.clone()),
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
        let name = keys::add(&mut self.def, spec)?;
        if spec.kind == KeyKind::Unique {
            self.new_unique.push(name);
        }
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

/// What rows from before an added column have in it, fixed for good.
fn initial(column: &ColumnDef, context: &Context) -> Result<ColumnDefault> {
    if !column.nullable && column.default == ColumnDefault::None {
        let has_no_zero =
            matches!(column.ty, SqlType::Date | SqlType::DateTime { .. } | SqlType::Timestamp { .. });
        if has_no_zero {
            return Err(SqlError::unsupported(format!(
                "adding column '{}' of type {} NOT NULL without a default",
                column.name, column.ty
            )));
        }
        // MySQL's implicit default of the type.
        return Ok(ColumnDefault::None);
    }
    Ok(match default_value(column, context)? {
        DefaultValue::Value(types::Value::Null) | DefaultValue::Generated => ColumnDefault::Null,
        DefaultValue::Computed => {
            return Err(SqlError::unsupported("adding a column whose values are to be computed"));
        }
        DefaultValue::Value(value) => {
            let text = Scalar::of(&value).text().into_owned();
            ColumnDefault::Literal(
                String::from_utf8(text).map_err(|_| errors::invalid_default(&column.name))?,
            )
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
            RowsThere::default(),
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
            if rest == "drop column c, drop b" {
                assert_eq!(result.unwrap_err().kind.errno(), 1235, "b is in a unique key with id");
                continue;
            }
            assert_eq!(names(&result.unwrap_or_else(|e| panic!("{rest}: {e}")).def), expected, "{rest}");
        }
        let def = alter("add d int, drop d, add d int").unwrap().def;
        assert_eq!((def.column_named("d").unwrap().1.id, def.next_column_id), (ColumnId(6), ColumnId(7)));
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
            altered(&before, &alter, &Context::fixed(), RowsThere::default()).map(|altered| altered.def)
        };
        let Statement::AlterTable(unique) =
            parse_one("alter table t add unique key v (id, t)").unwrap().statement
        else {
            panic!("not an ALTER TABLE")
        };
        let none = RowsThere { none: true, ..RowsThere::default() };
        let keyed = altered(&before, &unique, &Context::fixed(), none).unwrap().def;
        assert_eq!(names(&keyed), "id s t __key_2 __key_3");
        assert_eq!(keyed.keys[1].columns, [ColumnId(1), ColumnId(5)]);
        assert_eq!(
            (&keyed.columns[4].initial, keyed.columns[4].nullable),
            (&Some(ColumnDefault::Null), true)
        );
        assert_eq!(names(&before), "id s t __key_2");
        assert_eq!(names(&alter("add n int, add m int after s").unwrap()), "id s m t n __key_2");
        assert_eq!(names(&alter("drop key u, drop column s").unwrap()), "id t");
        assert_eq!(alter("add key k (t, s)").unwrap().keys[2].columns, [ColumnId(3), ColumnId(4)]);
        for rest in [
            "drop column s",
            "add unique key v (id, t)",
            "modify s varchar(9) collate utf8mb4_bin",
            "convert to character set utf8mb4 collate utf8mb4_0900_ai_ci",
        ] {
            assert_eq!(alter(rest).unwrap_err().kind.errno(), 1235, "{rest}");
        }
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
        assert_eq!(
            altered(&table(), &index, &Context::fixed(), RowsThere::default()).unwrap().new_unique,
            ["i"]
        );
    }

    #[test]
    fn what_rewrites_or_contradicts_is_refused() {
        for (rest, errno) in [
            ("add a int", 1060),
            ("add d date not null", 1235),
            ("add d int auto_increment", 1235),
            ("add unique (a)", 1235),
            ("add index k (b)", 1061),
            ("drop nope", 1091),
            ("drop key nope", 1091),
            ("drop id", 1235),
            ("modify nope int", 1054),
            ("modify b bigint", 1235),
            ("modify a varchar(4)", 1235),
            ("modify b int not null", 1235),
            ("modify a text", 1235),
            ("modify c datetime default 'x'", 1067),
            ("alter b set default 'x'", 1067),
            ("rename column a to B", 1060),
            ("rename key nope to x", 1176),
            ("drop index `primary`", 1235),
        ] {
            assert_eq!(alter(rest).unwrap_err().kind.errno(), errno, "{rest}");
        }
    }
}
