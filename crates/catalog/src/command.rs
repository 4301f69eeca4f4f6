//! What can be done to the catalog, and what comes of it.

use crate::{
    AccountOptions, ColumnPrivileges, Database, Level, LockHolder, LockTime, NodeRole, NodeState,
    PrivilegeSet, UserName, View, shared,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use types::{Collation, NodeId, SqlError, TableDef, TableId};

/// Names one command for good. A command that is sent again keeps its id, and is then applied
/// once. `number` rises with each command of a node, over restarts too. A voter gives odd numbers
/// to what it proposes itself, every process even ones to what it asks of the voters, since both
/// may be the same node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandId {
    pub node: NodeId,
    pub number: u64,
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.number)
    }
}

/// One change. Its JSON form is what the metadata log holds (see `format.rs`): fields are only
/// added together with a new format version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
// A command is built once and moved a few times; a box would only burden its users.
#[allow(clippy::large_enum_variant)]
pub enum Command {
    /// `partitions`: none means one for each core of the leaves that are online.
    CreateDatabase {
        name: String,
        partitions: Option<u32>,
        /// What its tables have that name none.
        #[serde(default, skip_serializing_if = "Collation::is_default")]
        collation: Collation,
        if_not_exists: bool,
    },
    /// Its tables go with it.
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    /// `def`: its `id`, `database` and `version` are given here, whatever they hold.
    CreateTable {
        database: String,
        def: TableDef,
        if_not_exists: bool,
    },
    /// Replaces the definition of the table `def.id` by `def`, with the version after
    /// `expected_version`, if that one is still the newest; else error 1412. A new `def.name`
    /// renames the table within its database.
    AlterTable {
        def: TableDef,
        expected_version: u64,
    },
    /// Puts a table, under `name`, in the place of the table that waits for it: that one's definition names it
    /// as its replacement, and has the version `expected_version`; else error 1412. The old table goes.
    ReplaceTable {
        table: TableId,
        by: TableId,
        expected_version: u64,
        name: String,
    },
    /// A table that waited to be replaced by this one waits no longer.
    DropTable {
        database: String,
        name: String,
        if_exists: bool,
    },
    /// Puts an empty table, with a new id and version 1, in the place of the old one.
    TruncateTable {
        database: String,
        name: String,
    },
    /// `view`: its `database` is given here, whatever it holds.
    CreateView {
        database: String,
        view: View,
        or_replace: bool,
    },
    DropView {
        database: String,
        name: String,
        if_exists: bool,
    },
    /// Takes `count` AUTO_INCREMENT values of a table for good.
    TakeIds {
        table: TableId,
        count: u64,
    },
    /// AUTO_INCREMENT values of the table are above `above` from now on.
    RaiseIds {
        table: TableId,
        above: u64,
    },
    /// `plugin` and `authentication` as in MySQL's `mysql.user`; crate `mysql` makes and reads them.
    CreateUser {
        user: UserName,
        plugin: String,
        authentication: String,
        if_not_exists: bool,
        #[serde(default, skip_serializing_if = "AccountOptions::is_default")]
        options: AccountOptions,
    },
    /// Replaces how the user proves who they are.
    AlterUser {
        user: UserName,
        plugin: String,
        authentication: String,
        if_exists: bool,
    },
    DropUser {
        user: UserName,
        if_exists: bool,
    },
    RenameUser {
        from: UserName,
        to: UserName,
    },
    /// What ALTER USER says beside the proof; none: as it was.
    SetAccount {
        user: UserName,
        locked: Option<bool>,
        requires_tls: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_login_attempts: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password_lock_time: Option<LockTime>,
        if_exists: bool,
    },
    /// A role is an account that is locked and has no password.
    CreateRole {
        role: UserName,
        if_not_exists: bool,
    },
    DropRole {
        role: UserName,
        if_exists: bool,
    },
    /// `user` may take `role`.
    GrantRole {
        user: UserName,
        role: UserName,
        admin: bool,
    },
    RevokeRole {
        user: UserName,
        role: UserName,
    },
    /// The roles that the user has from login on.
    SetDefaultRoles {
        user: UserName,
        roles: Vec<UserName>,
    },
    /// `columns`: beside `privileges`, which hold on the whole level.
    Grant {
        user: UserName,
        level: Level,
        privileges: PrivilegeSet,
        #[serde(default, skip_serializing_if = "ColumnPrivileges::is_empty")]
        columns: ColumnPrivileges,
    },
    /// `privileges` go from all columns, too.
    Revoke {
        user: UserName,
        level: Level,
        privileges: PrivilegeSet,
        #[serde(default, skip_serializing_if = "ColumnPrivileges::is_empty")]
        columns: ColumnPrivileges,
    },
    /// REVOKE ALL PRIVILEGES, GRANT OPTION: everything, on all levels.
    RevokeAll {
        user: UserName,
    },
    /// `value`: none takes the variable back to its default.
    SetGlobalVariable {
        name: String,
        value: Option<String>,
    },
    /// A process joins, or comes back, and is online. Without an id one is given; if a node of
    /// the same role, host and port is there and holds no partition, that one's id.
    RegisterNode {
        id: Option<NodeId>,
        host: String,
        port: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mysql_port: Option<u16>,
        role: NodeRole,
        cores: u32,
    },
    SetNodeState {
        node: NodeId,
        state: NodeState,
    },
    /// Refused while the node holds partitions.
    RemoveNode {
        node: NodeId,
    },
    /// The leaf is no part of the cluster until [`Command::ReadmitLeaf`]. Refused while it holds partitions,
    /// or is the only one.
    RemoveLeaf {
        node: NodeId,
    },
    /// Lets a removed leaf in again: it counts as offline until it is heard.
    ReadmitLeaf {
        node: NodeId,
    },
    /// Gives the cluster its id, which tells it from every other one; the first one stays.
    FoundCluster {
        id: u64,
    },
    /// GET_LOCK(), once: it does not wait. `waits`: the session is going to; error 3058 if it would wait for itself.
    TakeLock {
        name: String,
        holder: LockHolder,
        waits: bool,
    },
    /// The session waits no longer, without the lock.
    EndLockWait {
        holder: LockHolder,
    },
    ReleaseLock {
        name: String,
        holder: LockHolder,
    },
    /// All locks of a session.
    ReleaseLocks {
        holder: LockHolder,
    },
    /// Who holds a lock after all that was done before; changes nothing.
    FindLock {
        name: String,
    },
}

impl Command {
    /// Whether statements that begin after this command must see what it did, on every aggregator.
    pub fn changes_what_statements_see(&self) -> bool {
        match self {
            Command::TakeIds { .. }
            | Command::RaiseIds { .. }
            | Command::RegisterNode { .. }
            | Command::SetNodeState { .. }
            | Command::FoundCluster { .. }
            | Command::TakeLock { .. }
            | Command::EndLockWait { .. }
            | Command::ReleaseLock { .. }
            | Command::ReleaseLocks { .. }
            | Command::FindLock { .. } => false,
            Command::CreateDatabase { .. }
            | Command::DropDatabase { .. }
            | Command::CreateTable { .. }
            | Command::AlterTable { .. }
            | Command::ReplaceTable { .. }
            | Command::DropTable { .. }
            | Command::TruncateTable { .. }
            | Command::CreateView { .. }
            | Command::DropView { .. }
            | Command::CreateUser { .. }
            | Command::AlterUser { .. }
            | Command::DropUser { .. }
            | Command::RenameUser { .. }
            | Command::SetAccount { .. }
            | Command::CreateRole { .. }
            | Command::DropRole { .. }
            | Command::GrantRole { .. }
            | Command::RevokeRole { .. }
            | Command::SetDefaultRoles { .. }
            | Command::Grant { .. }
            | Command::Revoke { .. }
            | Command::RevokeAll { .. }
            | Command::SetGlobalVariable { .. }
            | Command::RemoveNode { .. }
            | Command::RemoveLeaf { .. }
            | Command::ReadmitLeaf { .. } => true,
        }
    }
}

/// What an applied command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    DatabaseCreated(#[serde(with = "shared")] Arc<Database>),
    DatabaseDropped {
        #[serde(with = "shared")]
        database: Arc<Database>,
        /// How many tables went with it.
        tables: u64,
    },
    TableCreated(#[serde(with = "shared")] Arc<TableDef>),
    /// The new version.
    TableAltered(#[serde(with = "shared")] Arc<TableDef>),
    TableDropped(#[serde(with = "shared")] Arc<TableDef>),
    TableTruncated {
        #[serde(with = "shared")]
        old: Arc<TableDef>,
        #[serde(with = "shared")]
        new: Arc<TableDef>,
    },
    /// The first of the values taken.
    Ids {
        first: u64,
    },
    NodeRegistered(NodeId),
    LockTaken,
    /// Nothing that others see.
    LockWaitEnded,
    /// Nothing was to be done: another session holds the lock.
    LockHeld(LockHolder),
    /// Nothing was to be done: nobody holds the lock.
    LockFree,
    LockReleased {
        /// How often its holder still has it.
        left: u64,
    },
    LocksReleased {
        /// A lock that was taken several times counts as often.
        count: u64,
    },
    /// Nothing was to be done, by IF EXISTS or IF NOT EXISTS; MySQL shows this as a note.
    Unchanged(#[serde(with = "crate::format::error")] SqlError),
    /// Done, with nothing to tell.
    Done,
}

impl Outcome {
    /// Whether those who follow the catalog have nothing to learn of it.
    pub(crate) fn changes_nothing(&self) -> bool {
        matches!(
            self,
            Outcome::Unchanged(_)
                | Outcome::LockHeld(_)
                | Outcome::LockFree
                | Outcome::LocksReleased { count: 0 }
                | Outcome::LockWaitEnded
        )
    }
}
