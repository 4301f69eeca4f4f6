//! The state: what is looked up, and how.
//!
//! Names of databases and tables are case-sensitive, as in MySQL on Linux. A change copies the maps
//! that it touches, so a schema change costs time in proportion to the number of objects beside it
//! (some 100 us for 10,000 tables); lookups never wait.

use crate::window::Window;
use crate::{LockHolder, Node, User, UserLock, UserName, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{Collation, DatabaseId, ErrorKind, NodeId, PartitionId, SqlError, TableDef, TableId};

/// A database and where its partitions are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub id: DatabaseId,
    pub name: String,
    /// By ordinal, from 0 without gaps: partition `i` of `n` holds the `i`th of `n` equal ranges
    /// of the shard hash.
    pub partitions: Vec<Partition>,
    /// What its tables have that name none.
    #[serde(default, skip_serializing_if = "Collation::is_default")]
    pub collation: Collation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    pub id: PartitionId,
    pub ordinal: u32,
    /// Takes reads and writes.
    pub primary: NodeId,
    /// Every node with a copy, the primary among them.
    pub replicas: Vec<NodeId>,
    /// The replicas that hold every acknowledged record.
    pub in_sync: Vec<NodeId>,
    /// From 1; rises with each change of the fields above.
    pub epoch: u64,
}

/// The ids that are given next. None is ever given twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextIds {
    pub(crate) database: u32,
    pub(crate) table: u32,
    pub(crate) partition: u32,
    pub(crate) node: u32,
}

pub(crate) type Tables = BTreeMap<String, Arc<TableDef>>;

/// The metadata at one version. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    pub(crate) version: u64,
    pub(crate) cluster: Option<u64>,
    pub(crate) next: NextIds,
    pub(crate) databases: Arc<BTreeMap<String, Arc<Database>>>,
    pub(crate) database_ids: Arc<BTreeMap<DatabaseId, Arc<Database>>>,
    pub(crate) partition_ids: Arc<BTreeMap<PartitionId, DatabaseId>>,
    /// Each database has an entry.
    pub(crate) tables: Arc<BTreeMap<DatabaseId, Arc<Tables>>>,
    pub(crate) table_ids: Arc<BTreeMap<TableId, Arc<TableDef>>>,
    pub(crate) views: Arc<BTreeMap<(DatabaseId, String), Arc<View>>>,
    /// The next AUTO_INCREMENT value; a table without an entry starts at 1.
    pub(crate) next_values: Arc<BTreeMap<TableId, u64>>,
    pub(crate) users: Arc<BTreeMap<UserName, Arc<User>>>,
    pub(crate) nodes: Arc<BTreeMap<NodeId, Arc<Node>>>,
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    /// By name, in lower case.
    pub(crate) user_locks: Arc<BTreeMap<String, UserLock>>,
    /// Holders of locks, and the names of those that they wait for. Only voters know them.
    pub(crate) lock_waits: Arc<BTreeMap<LockHolder, String>>,
    pub(crate) windows: Arc<BTreeMap<NodeId, Arc<Window>>>,
    /// Tables that one session sees before others of their names, see [`Catalog::with_shadows`]. Empty but in
    /// what a session sees.
    pub(crate) shadows: Arc<BTreeMap<(DatabaseId, String), Arc<TableDef>>>,
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog::new()
    }
}

impl Catalog {
    /// The catalog of a new cluster: nothing at all, at version 0.
    pub fn new() -> Catalog {
        Catalog {
            version: 0,
            cluster: None,
            next: NextIds { database: 1, table: 1, partition: 1, node: 1 },
            databases: Arc::default(),
            database_ids: Arc::default(),
            partition_ids: Arc::default(),
            tables: Arc::default(),
            table_ids: Arc::default(),
            views: Arc::default(),
            next_values: Arc::default(),
            users: Arc::default(),
            nodes: Arc::default(),
            variables: Arc::default(),
            user_locks: Arc::default(),
            lock_waits: Arc::default(),
            windows: Arc::default(),
            shadows: Arc::default(),
        }
    }

    /// Rises by one with each command that changed something.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What tells this cluster from every other one; none before [`Command::FoundCluster`](crate::Command).
    pub fn cluster(&self) -> Option<u64> {
        self.cluster
    }

    pub fn database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.get(name)
    }

    pub fn database_by_id(&self, id: DatabaseId) -> Option<&Arc<Database>> {
        self.database_ids.get(&id)
    }

    /// The database, or error 1049.
    pub fn require_database(&self, name: &str) -> Result<&Arc<Database>, SqlError> {
        self.database(name).ok_or_else(|| unknown_database(name))
    }

    /// All databases, by name.
    pub fn databases(&self) -> impl Iterator<Item = &Arc<Database>> {
        self.databases.values()
    }

    pub fn table(&self, database: &str, name: &str) -> Option<&Arc<TableDef>> {
        self.table_of(self.database(database)?.id, name)
    }

    fn table_of(&self, database: DatabaseId, name: &str) -> Option<&Arc<TableDef>> {
        if !self.shadows.is_empty()
            && let Some(shadow) = self.shadows.get(&(database, name.to_string()))
        {
            return Some(shadow);
        }
        self.tables.get(&database)?.get(name)
    }

    /// The same catalog in which tables are found by other names than their own, before tables of those names:
    /// database, name, and the table's own name. One that is not there is left out.
    pub fn with_shadows<'a>(&self, shadows: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Catalog {
        let found = shadows.filter_map(|(database, name, own)| {
            let database = self.database(database)?.id;
            let def = self.tables.get(&database)?.get(own)?;
            let shadow = TableDef { name: name.to_string(), ..TableDef::clone(def) };
            Some(((database, name.to_string()), Arc::new(shadow)))
        });
        Catalog { shadows: Arc::new(found.collect()), ..self.clone() }
    }

    /// Without what only one session sees.
    pub fn without_shadows(&self) -> Catalog {
        Catalog { shadows: Arc::default(), ..self.clone() }
    }

    /// The newest version of the table.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableDef>> {
        self.table_ids.get(&id)
    }

    /// The next AUTO_INCREMENT value that nobody has taken.
    pub fn next_number(&self, table: TableId) -> u64 {
        self.next_values.get(&table).copied().unwrap_or(1)
    }

    /// The table, or error 1049 or 1146.
    pub fn require_table(&self, database: &str, name: &str) -> Result<&Arc<TableDef>, SqlError> {
        let id = self.require_database(database)?.id;
        self.table_of(id, name).ok_or_else(|| no_such_table(database, name))
    }

    /// The tables of a database, by name, those that are kept for one session among them; none if there is no
    /// such database.
    pub fn tables(&self, database: &str) -> impl Iterator<Item = &Arc<TableDef>> {
        let tables = self.database(database).and_then(|d| self.tables.get(&d.id));
        tables.into_iter().flat_map(|tables| tables.values())
    }

    /// Whether databases, partitions and tables are those of another state, as far as that is seen at once: what
    /// changes others of its parts, such as AUTO_INCREMENT values and user-level locks, does so often.
    pub fn shares_tables_with(&self, other: &Catalog) -> bool {
        Arc::ptr_eq(&self.databases, &other.databases) && Arc::ptr_eq(&self.tables, &other.tables)
    }

    /// The tables that are there for everybody.
    pub fn listed_tables(&self, database: &str) -> impl Iterator<Item = &Arc<TableDef>> {
        self.tables(database).filter(|def| !def.is_temporary())
    }

    pub fn view(&self, database: &str, name: &str) -> Option<&Arc<View>> {
        if !self.shadows.is_empty()
            && self.shadows.contains_key(&(self.database(database)?.id, name.to_string()))
        {
            return None;
        }
        self.views.get(&(self.database(database)?.id, name.to_string()))
    }

    /// The views of a database, by name; none if there is no such database.
    pub fn views(&self, database: &str) -> impl Iterator<Item = &Arc<View>> {
        let id = self.database(database).map(|d| d.id);
        let from =
            id.map(|id| self.views.range((id, String::new())..).take_while(move |((of, _), _)| *of == id));
        from.into_iter().flatten().map(|(_, view)| view)
    }

    /// The partitions of a database, by ordinal; empty if there is no such database.
    pub fn partitions(&self, database: DatabaseId) -> &[Partition] {
        self.database_by_id(database).map_or(&[], |d| &d.partitions)
    }

    /// The partitions in which rows of a table may lie, by ordinal.
    pub fn partitions_of(&self, def: &TableDef) -> &[Partition] {
        let all = self.partitions(def.database);
        if def.reference { &all[..all.len().min(1)] } else { all }
    }

    /// A partition and its database.
    pub fn partition(&self, id: PartitionId) -> Option<(&Arc<Database>, &Partition)> {
        let database = self.database_by_id(*self.partition_ids.get(&id)?)?;
        Some((database, database.partitions.iter().find(|p| p.id == id)?))
    }

    pub fn user(&self, user: &UserName) -> Option<&Arc<User>> {
        self.users.get(user)
    }

    /// The account of someone who logs in as `name` and comes from an address that `hosts` are
    /// spellings of ("127.0.0.1" and "localhost", say): of those that admit them, the most specific.
    pub fn user_for_login(&self, name: &str, hosts: &[&str]) -> Option<&Arc<User>> {
        self.users.values().filter(|u| u.user.admits(name, hosts)).min_by_key(|u| u.user.specificity())
    }

    /// All users, by name and host.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// What SET GLOBAL gave to a variable, named in any case; `None`: it has its default.
    pub fn global_variable(&self, name: &str) -> Option<&str> {
        self.variables.get(&name.to_lowercase()).map(String::as_str)
    }

    /// All global variables that were set, by their names in lower case.
    pub fn global_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The lock of this name, in lower case, if it is held.
    pub fn user_lock(&self, name: &str) -> Option<&UserLock> {
        self.user_locks.get(name)
    }

    /// Every session that holds user-level locks, perhaps more than once.
    pub fn lock_holders(&self) -> impl Iterator<Item = LockHolder> {
        self.user_locks.values().map(|lock| lock.holder)
    }

    /// The greatest command number of a node that was applied; 0: none.
    pub fn last_number(&self, node: NodeId) -> u64 {
        self.windows.get(&node).map_or(0, |window| window.last_number())
    }
}

/// True for the databases that MySQL keeps for itself. They are not in the catalog: what Pando
/// shows of them is made up by the aggregator.
pub fn is_system_database(name: &str) -> bool {
    ["information_schema", "mysql", "performance_schema", "sys"].iter().any(|s| s.eq_ignore_ascii_case(name))
}

pub(crate) fn unknown_database(name: &str) -> SqlError {
    SqlError::new(ErrorKind::UnknownDatabase, format!("Unknown database '{name}'"))
}

pub(crate) fn no_such_table(database: &str, table: &str) -> SqlError {
    SqlError::new(ErrorKind::NoSuchTable, format!("Table '{database}.{table}' doesn't exist"))
}
