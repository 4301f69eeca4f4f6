//! What changed between two states of the catalog, for processes that follow it.
//!
//! A delta: `{"format":3,"from":7,"to":9,"next":{..},"databases":{"put":[..],"gone":[..]},..}`, lists of
//! `[key, value]` by key. It is made of the entries that are not shared between the two states, so it
//! costs time and bytes in proportion to what changed and to the number of entries of the maps that
//! changed, and it may span any number of commands. What is remembered of commands and of waits for
//! user-level locks is left out: followers do not need it ([`Catalog::to_follow`]).
//!
//! Invariant: `old.to_follow()` with the delta from `old` to `new` is `new.to_follow()`.

use crate::format::{FORMAT, read, write};
use crate::state::NextIds;
use crate::{Catalog, Database, FormatError, Node, User, UserLock, UserName, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{DatabaseId, NodeId, TableDef, TableId};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeltaFile {
    format: u32,
    from: u64,
    to: u64,
    cluster: Option<u64>,
    next: NextIds,
    databases: Changes<DatabaseId, Database>,
    tables: Changes<TableId, TableDef>,
    views: Changes<(DatabaseId, String), View>,
    next_values: Changes<TableId, u64>,
    users: Changes<UserName, User>,
    nodes: Changes<NodeId, Node>,
    variables: Changes<String, String>,
    user_locks: Changes<String, UserLock>,
}

/// What one map got and lost.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes<K, V> {
    put: Vec<(K, V)>,
    gone: Vec<K>,
}

impl<K: Ord + Clone, V: Clone> Changes<K, V> {
    fn between<S: PartialEq>(
        old: &Arc<BTreeMap<K, S>>,
        new: &Arc<BTreeMap<K, S>>,
        value: impl Fn(&S) -> V,
    ) -> Changes<K, V> {
        if Arc::ptr_eq(old, new) {
            return Changes { put: Vec::new(), gone: Vec::new() };
        }
        Changes {
            put: new
                .iter()
                .filter(|(key, new)| old.get(key).is_none_or(|old| old != *new))
                .map(|(key, new)| (key.clone(), value(new)))
                .collect(),
            gone: old.keys().filter(|key| !new.contains_key(key)).cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.put.is_empty() && self.gone.is_empty()
    }

    fn apply<S: Clone>(self, map: &mut Arc<BTreeMap<K, S>>, value: impl Fn(V) -> S) {
        if self.is_empty() {
            return;
        }
        let map = Arc::make_mut(map);
        for key in &self.gone {
            map.remove(key);
        }
        map.extend(self.put.into_iter().map(|(key, put)| (key, value(put))));
    }
}

impl Catalog {
    /// What changed from `self` to `new`.
    pub fn delta_to(&self, new: &Catalog) -> Vec<u8> {
        write(&DeltaFile {
            format: FORMAT,
            from: self.version,
            to: new.version,
            cluster: new.cluster,
            next: new.next.clone(),
            databases: Changes::between(&self.database_ids, &new.database_ids, |d| Database::clone(d)),
            tables: Changes::between(&self.table_ids, &new.table_ids, |t| TableDef::clone(t)),
            views: Changes::between(&self.views, &new.views, |v| View::clone(v)),
            next_values: Changes::between(&self.next_values, &new.next_values, |v| *v),
            users: Changes::between(&self.users, &new.users, |u| User::clone(u)),
            nodes: Changes::between(&self.nodes, &new.nodes, |n| Node::clone(n)),
            variables: Changes::between(&self.variables, &new.variables, String::clone),
            user_locks: Changes::between(&self.user_locks, &new.user_locks, |lock| *lock),
        })
    }

    /// The state after a delta from this one.
    pub fn with_delta(&self, delta: &[u8]) -> Result<Catalog, FormatError> {
        let delta: DeltaFile = read(delta)?;
        if delta.from != self.version {
            return Err(FormatError::Damaged(format!(
                "changes since version {} do not fit version {}",
                delta.from, self.version
            )));
        }
        let mut new = Catalog { version: delta.to, cluster: delta.cluster, next: delta.next, ..self.clone() };
        delta.views.apply(&mut new.views, Arc::new);
        delta.next_values.apply(&mut new.next_values, |v| v);
        delta.users.apply(&mut new.users, Arc::new);
        delta.nodes.apply(&mut new.nodes, Arc::new);
        delta.variables.apply(&mut new.variables, |v| v);
        delta.user_locks.apply(&mut new.user_locks, |lock| lock);
        if !delta.databases.is_empty() || !delta.tables.is_empty() {
            let (mut databases, mut tables) = (new.database_ids, new.table_ids);
            delta.databases.apply(&mut databases, Arc::new);
            delta.tables.apply(&mut tables, Arc::new);
            let empty = Catalog::new();
            new = Catalog {
                databases: empty.databases,
                database_ids: empty.database_ids,
                partition_ids: empty.partition_ids,
                tables: empty.tables,
                table_ids: empty.table_ids,
                ..new
            };
            for database in databases.values() {
                new.insert_database(database.clone());
            }
            for table in tables.values() {
                new.insert_table(table.clone());
            }
        }
        Ok(new)
    }
}
