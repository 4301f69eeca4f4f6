//! The stored forms, for the metadata log and its snapshots. Both are JSON.
//!
//! A command: `{"format":6,"id":{"node":1,"number":7},"command":{"drop_database":{..}}}`.
//!
//! A snapshot: `{"format":6,"version":..,"cluster":..,"next":{..},"databases":[..],"tables":[..],"views":[..],"next_values":{"3":1001},
//! "users":[..],
//! "nodes":[..],"variables":{..},"user_locks":{..},"lock_waits":[..],"windows":[{"node":1,"floor":0,"applied":[..]}]}`,
//! lists by name or id, so that equal states give equal bytes.
//!
//! A reader refuses a `format` that it does not know and fields that it does not know: a voter that
//! guessed would no longer hold the same state as the others. Old formats stay readable;
//! `testdata/` pins the bytes. Format 1 has no `cluster` and no `mysql_port`, format 2 no
//! `views`, and no `options`, `roles` and `default_roles` of users; format 3 no `replacement` of tables, format 4 no `reference` of
//! them, and no BIT; format 5 no `columns` of grants, no limits of wrong passwords in `options`, and no
//! user-level locks.

use crate::state::NextIds;
use crate::window::{Applied, Window};
use crate::{Catalog, Command, CommandId, Database, LockHolder, Node, Outcome, User, UserLock, View};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use types::{NodeId, TableDef, TableId};

pub(crate) const FORMAT: u32 = 6;

/// Why stored metadata cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("the metadata is of format {found}, and this version of Pando knows only 1 to {FORMAT}")]
    UnknownFormat { found: u32 },
    #[error("the metadata is damaged: {0}")]
    Damaged(String),
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandFile {
    format: u32,
    id: CommandId,
    command: Command,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeFile {
    format: u32,
    outcome: Outcome,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotFile {
    format: u32,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<u64>,
    next: NextIds,
    databases: Vec<Database>,
    tables: Vec<TableDef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    views: Vec<View>,
    next_values: BTreeMap<TableId, u64>,
    users: Vec<User>,
    nodes: Vec<Node>,
    variables: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    user_locks: BTreeMap<String, UserLock>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lock_waits: Vec<(LockHolder, String)>,
    windows: Vec<WindowFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowFile {
    node: NodeId,
    floor: u64,
    applied: Vec<Applied>,
}

pub(crate) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    // Invariant: these forms hold strings, numbers, lists and maps with string keys only.
    serde_json::to_vec(value).expect("metadata is JSON")
}

pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, FormatError> {
    let damaged = |error: serde_json::Error| FormatError::Damaged(error.to_string());
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.format == 0 || head.format > FORMAT {
        return Err(FormatError::UnknownFormat { found: head.format });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

impl Command {
    /// The stored form of this command under `id`.
    pub fn encode(&self, id: CommandId) -> Vec<u8> {
        write(&CommandFile { format: FORMAT, id, command: self.clone() })
    }

    pub fn decode(bytes: &[u8]) -> Result<(CommandId, Command), FormatError> {
        let file: CommandFile = read(bytes)?;
        Ok((file.id, file.command))
    }
}

impl Outcome {
    /// The form that travels between processes.
    pub fn encode(&self) -> Vec<u8> {
        write(&OutcomeFile { format: FORMAT, outcome: self.clone() })
    }

    pub fn decode(bytes: &[u8]) -> Result<Outcome, FormatError> {
        Ok(read::<OutcomeFile>(bytes)?.outcome)
    }
}

impl Catalog {
    /// This state for a process that only follows it: without what is remembered of commands and of
    /// waits for user-level locks, which only voters need.
    pub fn to_follow(&self) -> Catalog {
        Catalog { windows: Arc::default(), lock_waits: Arc::default(), ..self.clone() }
    }

    /// The stored form of the whole state.
    pub fn encode(&self) -> Vec<u8> {
        write(&SnapshotFile {
            format: FORMAT,
            version: self.version,
            cluster: self.cluster,
            next: self.next.clone(),
            databases: self.databases.values().map(|d| Database::clone(d)).collect(),
            tables: self.table_ids.values().map(|t| TableDef::clone(t)).collect(),
            views: self.views.values().map(|v| View::clone(v)).collect(),
            next_values: BTreeMap::clone(&self.next_values),
            users: self.users.values().map(|u| User::clone(u)).collect(),
            nodes: self.nodes.values().map(|n| Node::clone(n)).collect(),
            variables: BTreeMap::clone(&self.variables),
            user_locks: BTreeMap::clone(&self.user_locks),
            lock_waits: self.lock_waits.iter().map(|(holder, name)| (*holder, name.clone())).collect(),
            windows: self
                .windows
                .iter()
                .map(|(node, window)| WindowFile {
                    node: *node,
                    floor: window.floor,
                    applied: window.applied.values().map(|a| Applied::clone(a)).collect(),
                })
                .collect(),
        })
    }

    pub fn decode(bytes: &[u8]) -> Result<Catalog, FormatError> {
        let file: SnapshotFile = read(bytes)?;
        check(&file)?;
        let mut catalog =
            Catalog { version: file.version, cluster: file.cluster, next: file.next, ..Catalog::new() };
        for database in file.databases {
            catalog.insert_database(Arc::new(database));
        }
        for table in file.tables {
            catalog.insert_table(Arc::new(table));
        }
        catalog.views =
            Arc::new(file.views.into_iter().map(|v| ((v.database, v.name.clone()), Arc::new(v))).collect());
        catalog.users = Arc::new(file.users.into_iter().map(|u| (u.user.clone(), Arc::new(u))).collect());
        catalog.nodes = Arc::new(file.nodes.into_iter().map(|n| (n.id, Arc::new(n))).collect());
        catalog.next_values = Arc::new(file.next_values);
        catalog.variables = Arc::new(file.variables);
        catalog.user_locks = Arc::new(file.user_locks);
        catalog.lock_waits = Arc::new(file.lock_waits.into_iter().collect());
        catalog.windows = Arc::new(
            file.windows
                .into_iter()
                .map(|w| {
                    let applied = w.applied.into_iter().map(|a| (a.number, Arc::new(a))).collect();
                    (w.node, Arc::new(Window { floor: w.floor, applied }))
                })
                .collect(),
        );
        Ok(catalog)
    }
}

/// What the lookups rely on.
fn check(file: &SnapshotFile) -> Result<(), FormatError> {
    let damaged = |what: String| Err(FormatError::Damaged(what));
    let mut names = HashSet::new();
    let mut ids = HashSet::new();
    let mut partitions = HashSet::new();
    for d in &file.databases {
        if !names.insert(&d.name) || !ids.insert(d.id) || d.id.0 >= file.next.database {
            return damaged(format!("database '{}' is there twice, or its id is not given yet", d.name));
        }
        for (ordinal, p) in (0u32..).zip(&d.partitions) {
            if p.ordinal != ordinal || !partitions.insert(p.id) || p.id.0 >= file.next.partition {
                return damaged(format!("partition {} of database '{}' is out of place", p.id, d.name));
            }
        }
    }
    let mut names = HashSet::new();
    let mut tables = HashSet::new();
    for t in &file.tables {
        if !names.insert((t.database, &t.name)) || !tables.insert(t.id) || t.id.0 >= file.next.table {
            return damaged(format!("table '{}' is there twice, or its id is not given yet", t.name));
        }
        if !ids.contains(&t.database) {
            return damaged(format!("table '{}' is in no database", t.name));
        }
    }
    for v in &file.views {
        if !ids.contains(&v.database) || names.contains(&(v.database, &v.name)) {
            return damaged(format!("view '{}' has no database, or the name of a table", v.name));
        }
    }
    if let Some(id) = file.next_values.keys().find(|id| !tables.contains(id)) {
        return damaged(format!("table {id} has AUTO_INCREMENT values and is not there"));
    }
    let mut nodes = HashSet::new();
    if let Some(n) = file.nodes.iter().find(|n| !nodes.insert(n.id) || n.id.0 >= file.next.node) {
        return damaged(format!("node {} is there twice, or its id is not given yet", n.id));
    }
    Ok(())
}

/// The stored form of an error: number, message, retryable.
pub(crate) mod error {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
    use types::{ErrorKind, SqlError};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct ErrorFile {
        errno: u16,
        message: String,
        retryable: bool,
    }

    impl From<&SqlError> for ErrorFile {
        fn from(error: &SqlError) -> ErrorFile {
            ErrorFile {
                errno: error.kind.errno(),
                message: error.message.clone(),
                retryable: error.retryable,
            }
        }
    }

    impl TryFrom<ErrorFile> for SqlError {
        type Error = String;

        fn try_from(file: ErrorFile) -> Result<SqlError, String> {
            let kind = ErrorKind::ALL.iter().copied().find(|kind| kind.errno() == file.errno);
            let kind = kind.ok_or_else(|| format!("no error has the number {}", file.errno))?;
            Ok(SqlError { kind, message: file.message, retryable: file.retryable })
        }
    }

    pub(crate) fn serialize<S: Serializer>(error: &SqlError, serializer: S) -> Result<S::Ok, S::Error> {
        ErrorFile::from(error).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SqlError, D::Error> {
        SqlError::try_from(ErrorFile::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The stored form of a command's result: `{"ok":..}` or `{"error":..}`.
pub(crate) mod result {
    use super::error::ErrorFile;
    use crate::Outcome;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
    use types::SqlError;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum ResultFile {
        Ok(Outcome),
        Error(ErrorFile),
    }

    pub(crate) fn serialize<S: Serializer>(
        result: &Result<Outcome, SqlError>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match result {
            Ok(outcome) => ResultFile::Ok(outcome.clone()),
            Err(error) => ResultFile::Error(error.into()),
        }
        .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Result<Outcome, SqlError>, D::Error> {
        Ok(match ResultFile::deserialize(deserializer)? {
            ResultFile::Ok(outcome) => Ok(outcome),
            ResultFile::Error(error) => Err(SqlError::try_from(error).map_err(de::Error::custom)?),
        })
    }
}
