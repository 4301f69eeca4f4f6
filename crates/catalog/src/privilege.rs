//! Privileges as MySQL names them, on three levels: everything, databases, tables; and on columns of tables.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use types::{ErrorKind, SqlError};

macro_rules! privileges {
    ($($name:ident = $bit:literal, $text:literal;)*) => {
        /// What a user may do. The names of SHOW GRANTS are also those of the stored form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Privilege { $($name,)* }

        impl Privilege {
            pub const ALL: &'static [Privilege] = &[$(Privilege::$name,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Privilege::$name => $text,)* }
            }

            const fn bit(self) -> u64 {
                match self { $(Privilege::$name => 1 << $bit,)* }
            }
        }
    };
}

privileges! {
    Select = 0, "SELECT";
    Insert = 1, "INSERT";
    Update = 2, "UPDATE";
    Delete = 3, "DELETE";
    Create = 4, "CREATE";
    Drop = 5, "DROP";
    Reload = 6, "RELOAD";
    Shutdown = 7, "SHUTDOWN";
    Process = 8, "PROCESS";
    File = 9, "FILE";
    References = 10, "REFERENCES";
    Index = 11, "INDEX";
    Alter = 12, "ALTER";
    ShowDatabases = 13, "SHOW DATABASES";
    Super = 14, "SUPER";
    CreateTemporaryTables = 15, "CREATE TEMPORARY TABLES";
    LockTables = 16, "LOCK TABLES";
    CreateView = 17, "CREATE VIEW";
    ShowView = 18, "SHOW VIEW";
    CreateUser = 19, "CREATE USER";
    GrantOption = 20, "GRANT OPTION";
}

impl Privilege {
    /// The privilege that SQL calls `name`, in any case.
    pub fn named(name: &str) -> Option<Privilege> {
        Privilege::ALL.iter().copied().find(|p| p.name().eq_ignore_ascii_case(name))
    }
}

/// A set of privileges; stored as the list of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PrivilegeSet(u64);

impl PrivilegeSet {
    pub const NONE: PrivilegeSet = PrivilegeSet(0);

    pub const fn with(self, privilege: Privilege) -> PrivilegeSet {
        PrivilegeSet(self.0 | privilege.bit())
    }

    pub const fn contains(self, privilege: Privilege) -> bool {
        self.0 & privilege.bit() != 0
    }

    pub const fn contains_all(self, other: PrivilegeSet) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn intersects(self, other: PrivilegeSet) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn union(self, other: PrivilegeSet) -> PrivilegeSet {
        PrivilegeSet(self.0 | other.0)
    }

    pub const fn minus(self, other: PrivilegeSet) -> PrivilegeSet {
        PrivilegeSet(self.0 & !other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.iter().copied().filter(move |p| self.contains(*p))
    }
}

impl FromIterator<Privilege> for PrivilegeSet {
    fn from_iter<I: IntoIterator<Item = Privilege>>(privileges: I) -> PrivilegeSet {
        privileges.into_iter().fold(PrivilegeSet::NONE, PrivilegeSet::with)
    }
}

impl Serialize for PrivilegeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Privilege::name))
    }
}

impl<'de> Deserialize<'de> for PrivilegeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PrivilegeSet, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|name| {
                Privilege::named(name)
                    .ok_or_else(|| de::Error::custom(format!("no privilege is named {name:?}")))
            })
            .collect()
    }
}

/// Privileges on columns of one table, by the name as the table spells it.
pub type ColumnPrivileges = BTreeMap<String, PrivilegeSet>;

/// Where a privilege holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Level {
    /// `*.*`
    Global,
    /// `name.*`, where `%` and `_` stand for other characters unless a backslash is before them.
    Database(String),
    /// `database.table`
    Table { database: String, table: String },
}

impl Level {
    /// What ALL PRIVILEGES means here: all that the level knows but GRANT OPTION.
    pub fn all_privileges(&self) -> PrivilegeSet {
        use Privilege::*;
        let table =
            [Select, Insert, Update, Delete, Create, Drop, References, Index, Alter, CreateView, ShowView];
        match self {
            Level::Global => Privilege::ALL.iter().copied().filter(|p| *p != GrantOption).collect(),
            Level::Database(_) => table.into_iter().chain([CreateTemporaryTables, LockTables]).collect(),
            Level::Table { .. } => table.into_iter().collect(),
        }
    }

    /// An error, as MySQL gives it, if one of the privileges does not exist on this level.
    pub(crate) fn check(&self, privileges: PrivilegeSet) -> Result<(), SqlError> {
        if self.all_privileges().with(Privilege::GrantOption).contains_all(privileges) {
            return Ok(());
        }
        Err(match self {
            Level::Table { .. } => illegal_grant(),
            Level::Global | Level::Database(_) => {
                SqlError::new(ErrorKind::WrongUsage, "Incorrect usage of DB GRANT and GLOBAL PRIVILEGES")
            }
        })
    }
}

impl Level {
    /// An error, as MySQL gives it, if columns do not have these privileges, or this level has no columns.
    pub(crate) fn check_columns(&self, columns: &ColumnPrivileges) -> Result<(), SqlError> {
        let known = [Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::References];
        let known: PrivilegeSet = known.into_iter().collect();
        let are_known = columns.values().all(|privileges| known.contains_all(*privileges));
        let is_table = matches!(self, Level::Table { .. });
        if columns.is_empty() || (is_table && are_known) { Ok(()) } else { Err(illegal_grant()) }
    }
}

fn illegal_grant() -> SqlError {
    SqlError::new(
        ErrorKind::IllegalGrantForTable,
        "Illegal GRANT/REVOKE command; please consult the manual to see which privileges can be used",
    )
}

impl fmt::Display for Level {
    /// As GRANT takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        match self {
            Level::Global => write!(f, "*.*"),
            Level::Database(name) => write!(f, "{}.*", quoted(name)),
            Level::Table { database, table } => write!(f, "{}.{}", quoted(database), quoted(table)),
        }
    }
}

/// All that one user may do. Levels without a privilege have no entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    pub global: PrivilegeSet,
    /// By the pattern of database names.
    pub databases: BTreeMap<String, PrivilegeSet>,
    /// By database, then by table.
    pub tables: BTreeMap<String, BTreeMap<String, PrivilegeSet>>,
    /// By database, then by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, BTreeMap<String, ColumnPrivileges>>,
}

impl Grants {
    /// True if `privilege` holds on a table (or, without `table`, on a whole database; or, without
    /// `database`, everywhere).
    pub fn allow(&self, privilege: Privilege, database: Option<&str>, table: Option<&str>) -> bool {
        let Some(database) = database else { return self.global.contains(privilege) };
        self.global.contains(privilege)
            || self.on_database(database).contains(privilege)
            || table.is_some_and(|table| {
                self.tables.get(database).and_then(|t| t.get(table)).is_some_and(|p| p.contains(privilege))
            })
    }

    /// True if the user may do anything at all in the database: USE and SHOW DATABASES go by it.
    pub fn touch(&self, database: &str) -> bool {
        let everything = Level::Database(String::new()).all_privileges();
        self.global.intersects(everything)
            || !self.on_database(database).is_empty()
            || self.tables.contains_key(database)
            || self.columns.contains_key(database)
    }

    /// What is granted on columns of a table; `None`: nothing.
    pub fn on_columns(&self, database: &str, table: &str) -> Option<&ColumnPrivileges> {
        self.columns.get(database)?.get(table)
    }

    /// The same by level: only tables have columns.
    pub fn columns_at(&self, level: &Level) -> Option<&ColumnPrivileges> {
        match level {
            Level::Table { database, table } => self.on_columns(database, table),
            Level::Global | Level::Database(_) => None,
        }
    }

    /// What is granted at exactly this level.
    pub fn at(&self, level: &Level) -> PrivilegeSet {
        match level {
            Level::Global => self.global,
            Level::Database(name) => self.databases.get(name).copied().unwrap_or_default(),
            Level::Table { database, table } => {
                self.tables.get(database).and_then(|t| t.get(table)).copied().unwrap_or_default()
            }
        }
    }

    /// Every level on which something is granted, broadest first: the lines of SHOW GRANTS. A table with
    /// privileges on columns alone is among them, with an empty set.
    pub fn levels(&self) -> impl Iterator<Item = (Level, PrivilegeSet)> + '_ {
        let databases = self.databases.iter().map(|(name, p)| (Level::Database(name.clone()), *p));
        let of_tables = self.tables.iter().flat_map(|(d, tables)| tables.keys().map(move |t| (d, t)));
        let of_columns = self.columns.iter().flat_map(|(d, tables)| tables.keys().map(move |t| (d, t)));
        let names: BTreeSet<(&String, &String)> = of_tables.chain(of_columns).collect();
        let tables = names.into_iter().map(|(database, table)| {
            let level = Level::Table { database: database.clone(), table: table.clone() };
            let granted = self.at(&level);
            (level, granted)
        });
        std::iter::once((Level::Global, self.global)).chain(databases).chain(tables)
    }

    /// Adds all that `other` allows.
    pub fn add(&mut self, other: &Grants) {
        for (level, privileges) in other.levels() {
            self.set(&level, self.at(&level).union(privileges));
            if let (Level::Table { database, table }, Some(columns)) = (&level, other.columns_at(&level)) {
                self.add_columns(database, table, columns);
            }
        }
    }

    pub(crate) fn set(&mut self, level: &Level, privileges: PrivilegeSet) {
        match level {
            Level::Global => self.global = privileges,
            Level::Database(name) => {
                if privileges.is_empty() {
                    self.databases.remove(name);
                } else {
                    self.databases.insert(name.clone(), privileges);
                }
            }
            Level::Table { database, table } => {
                let tables = self.tables.entry(database.clone()).or_default();
                if privileges.is_empty() {
                    tables.remove(table);
                } else {
                    tables.insert(table.clone(), privileges);
                }
                if tables.is_empty() {
                    self.tables.remove(database);
                }
            }
        }
    }

    /// Adds privileges on columns, whose names are spelled as the table does.
    pub(crate) fn add_columns(&mut self, database: &str, table: &str, columns: &ColumnPrivileges) {
        if columns.is_empty() {
            return;
        }
        let tables = self.columns.entry(database.to_string()).or_default();
        let known = tables.entry(table.to_string()).or_default();
        for (column, privileges) in columns {
            let held = known.entry(column.clone()).or_default();
            *held = held.union(*privileges);
        }
    }

    /// Takes privileges on columns away: `privileges` from all of the table, and those of `columns`, named in
    /// any case.
    pub(crate) fn take_columns(
        &mut self,
        database: &str,
        table: &str,
        privileges: PrivilegeSet,
        columns: &ColumnPrivileges,
    ) {
        let Some(tables) = self.columns.get_mut(database) else { return };
        let Some(known) = tables.get_mut(table) else { return };
        for (name, held) in known.iter_mut() {
            let own = columns.iter().filter(|(column, _)| column.eq_ignore_ascii_case(name));
            *held = own.fold(held.minus(privileges), |held, (_, taken)| held.minus(*taken));
        }
        known.retain(|_, held| !held.is_empty());
        tables.retain(|_, columns| !columns.is_empty());
        self.columns.retain(|_, tables| !tables.is_empty());
    }

    fn on_database(&self, database: &str) -> PrivilegeSet {
        self.databases
            .iter()
            .filter(|(pattern, _)| matches_pattern(pattern, database))
            .fold(PrivilegeSet::NONE, |all, (_, p)| all.union(*p))
    }
}

/// LIKE as account names and grants use it: `%` for any characters, `_` for one, a backslash
/// before a character that stands for itself. Linear in the text for each `%` of the pattern.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on if the characters after the last `%` do not fit: it then takes one more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() || p < pattern.len() {
        let step = match pattern.get(p) {
            Some('%') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('_') => (t < text.len()).then_some(1),
            Some('\\') if p + 1 < pattern.len() => (text.get(t) == Some(&pattern[p + 1])).then_some(2),
            Some(literal) => (text.get(t) == Some(literal)).then_some(1),
            None => None,
        };
        match (step, retry) {
            (Some(width), _) => {
                p += width;
                t += 1;
            }
            (None, Some((after, from))) if from < text.len() => {
                retry = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("%", "", true),
            ("%", "any", true),
            ("", "", true),
            ("", "a", false),
            ("10.0.%", "10.0.3.4", true),
            ("10.0.%", "10.1.3.4", false),
            ("%.example.com", "a.b.example.com", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("a\\_c", "abc", false),
            ("a\\_c", "a_c", true),
            ("%ab%", "xxaab", true),
            ("%ab", "abxab", true),
            ("%ab", "abx", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn privileges_have_bits_of_their_own_and_names_lead_back() {
        assert_eq!(
            PrivilegeSet::from_iter(Privilege::ALL.iter().copied()).0.count_ones() as usize,
            Privilege::ALL.len()
        );
        for privilege in Privilege::ALL {
            assert_eq!(Privilege::named(&privilege.name().to_lowercase()), Some(*privilege));
        }
    }

    #[test]
    fn grants_hold_on_their_level_and_below() {
        let select = PrivilegeSet::NONE.with(Privilege::Select);
        let mut grants = Grants::default();
        grants.set(&Level::Database("shop_%".into()), select);
        grants.set(&Level::Table { database: "hr".into(), table: "staff".into() }, select);
        for (database, table, expected) in [
            (None, None, false),
            (Some("shop_eu"), None, true),
            (Some("shop_eu"), Some("orders"), true),
            (Some("hr"), None, false),
            (Some("hr"), Some("staff"), true),
            (Some("hr"), Some("pay"), false),
        ] {
            assert_eq!(grants.allow(Privilege::Select, database, table), expected, "{database:?} {table:?}");
            assert!(!grants.allow(Privilege::Insert, database, table));
        }
        assert!(grants.touch("hr") && grants.touch("shop_us") && !grants.touch("other"));
        grants.set(&Level::Table { database: "hr".into(), table: "staff".into() }, PrivilegeSet::NONE);
        assert!(grants.tables.is_empty());
        assert!(Level::Database("d".into()).check(PrivilegeSet::NONE.with(Privilege::Super)).is_err());
        assert!(Level::Global.check(Level::Global.all_privileges().with(Privilege::GrantOption)).is_ok());
    }

    #[test]
    fn grants_on_columns_make_a_table_a_level_of_its_own() {
        let select = PrivilegeSet::NONE.with(Privilege::Select);
        let columns = |names: &[&str]| -> ColumnPrivileges {
            names.iter().map(|name| (name.to_string(), select)).collect()
        };
        let mut grants = Grants::default();
        grants.add_columns("hr", "staff", &columns(&["name", "Room"]));
        assert!(!grants.allow(Privilege::Select, Some("hr"), Some("staff")) && grants.touch("hr"));
        let levels: Vec<String> = grants.levels().map(|(level, _)| level.to_string()).collect();
        assert_eq!(levels, ["*.*", "`hr`.`staff`"]);
        grants.take_columns("hr", "staff", PrivilegeSet::NONE, &columns(&["room"]));
        assert_eq!(grants.on_columns("hr", "staff"), Some(&columns(&["name"])));
        grants.take_columns("hr", "staff", select, &ColumnPrivileges::new());
        assert_eq!(grants, Grants::default());
        let table = Level::Table { database: "hr".into(), table: "staff".into() };
        assert!(table.check_columns(&columns(&["name"])).is_ok());
        assert!(Level::Global.check_columns(&columns(&["name"])).is_err());
        let delete = PrivilegeSet::NONE.with(Privilege::Delete);
        assert!(table.check_columns(&[("name".to_string(), delete)].into()).is_err());
    }
}
