//! The transition: state and command to state and outcome.
//!
//! Every command checks first and changes then: one that fails leaves the state as it was, but for
//! the memory of its failure. Nothing here may depend on anything but the state and the command.

mod databases;
mod nodes;
mod roles;
mod tables;
mod user_locks;
mod users;
mod views;

pub use tables::definition_changed;

use crate::window::fingerprint;
use crate::{AccountChange, Catalog, Command, CommandId, Node, NodeState, Outcome, is_system_database};
use std::sync::Arc;
use types::{ErrorKind, NodeId, SqlError};

/// MySQL's limit for names of databases, tables, columns and keys, in characters.
const MAX_NAME: usize = 64;

impl Catalog {
    /// Applies one command. The same id once more gives the outcome of the first time (see
    /// `window.rs` for how long) and changes nothing.
    pub fn apply(&mut self, id: CommandId, command: &Command) -> Result<Outcome, SqlError> {
        let fingerprint = fingerprint(command);
        if let Some(known) = self.windows.get(&id.node).and_then(|w| w.known(id, fingerprint)) {
            return known;
        }
        let result = self.execute(command);
        if result.as_ref().is_ok_and(|outcome| !outcome.changes_nothing()) {
            self.version += 1;
        }
        let window = Arc::make_mut(&mut self.windows).entry(id.node).or_default();
        Arc::make_mut(window).remember(id.number, fingerprint, result.clone());
        result
    }

    fn execute(&mut self, command: &Command) -> Result<Outcome, SqlError> {
        match command {
            Command::CreateDatabase { name, partitions, collation, if_not_exists } => {
                self.create_database(name, *partitions, *collation, *if_not_exists)
            }
            Command::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists),
            Command::CreateTable { database, def, if_not_exists } => {
                self.create_table(database, def, *if_not_exists)
            }
            Command::AlterTable { def, expected_version } => self.alter_table(def, *expected_version),
            Command::ReplaceTable { table, by, expected_version, name } => {
                self.replace_table(*table, *by, *expected_version, name)
            }
            Command::DropTable { database, name, if_exists } => self.drop_table(database, name, *if_exists),
            Command::TruncateTable { database, name } => self.truncate_table(database, name),
            Command::CreateView { database, view, or_replace } => {
                self.create_view(database, view, *or_replace)
            }
            Command::DropView { database, name, if_exists } => self.drop_view(database, name, *if_exists),
            Command::TakeIds { table, count } => self.take_ids(*table, *count),
            Command::RaiseIds { table, above } => self.raise_ids(*table, *above),
            Command::CreateUser { user, plugin, authentication, if_not_exists, options } => {
                self.create_user(user, plugin, authentication, *if_not_exists, *options)
            }
            Command::AlterUser { user, plugin, authentication, if_exists } => {
                self.alter_user(user, plugin, authentication, *if_exists)
            }
            Command::DropUser { user, if_exists } => self.drop_user(user, *if_exists),
            Command::RenameUser { from, to } => self.rename_user(from, to),
            Command::SetAccount {
                user,
                locked,
                requires_tls,
                failed_login_attempts,
                password_lock_time,
                if_exists,
            } => {
                let change = AccountChange {
                    locked: *locked,
                    requires_tls: *requires_tls,
                    failed_login_attempts: *failed_login_attempts,
                    password_lock_time: *password_lock_time,
                };
                self.set_account(user, change, *if_exists)
            }
            Command::CreateRole { role, if_not_exists } => self.create_role(role, *if_not_exists),
            Command::DropRole { role, if_exists } => self.drop_role(role, *if_exists),
            Command::GrantRole { user, role, admin } => self.grant_role(user, role, *admin),
            Command::RevokeRole { user, role } => self.revoke_role(user, role),
            Command::SetDefaultRoles { user, roles } => self.set_default_roles(user, roles),
            Command::Grant { user, level, privileges, columns } => {
                self.grant(user, level, *privileges, columns)
            }
            Command::Revoke { user, level, privileges, columns } => {
                self.revoke(user, level, *privileges, columns)
            }
            Command::RevokeAll { user } => self.revoke_all(user),
            Command::SetGlobalVariable { name, value } => {
                let variables = Arc::make_mut(&mut self.variables);
                match value {
                    Some(value) => variables.insert(name.to_lowercase(), value.clone()),
                    None => variables.remove(&name.to_lowercase()),
                };
                Ok(Outcome::Done)
            }
            Command::RegisterNode { id, host, port, mysql_port, role, cores } => {
                let node = Node {
                    id: NodeId(0),
                    host: host.clone(),
                    port: *port,
                    mysql_port: *mysql_port,
                    role: *role,
                    state: NodeState::Online,
                    cores: *cores,
                };
                self.register_node(*id, node)
            }
            Command::SetNodeState { node, state } => self.set_node_state(*node, *state),
            Command::RemoveNode { node } => self.remove_node(*node),
            Command::RemoveLeaf { node } => self.remove_leaf(*node),
            Command::ReadmitLeaf { node } => self.readmit_leaf(*node),
            Command::FoundCluster { id } => {
                self.cluster.get_or_insert(*id);
                Ok(Outcome::Done)
            }
            Command::TakeLock { name, holder, waits } => self.take_lock(name, *holder, *waits),
            Command::EndLockWait { holder } => {
                self.end_lock_wait(*holder);
                Ok(Outcome::LockWaitEnded)
            }
            Command::ReleaseLock { name, holder } => Ok(self.release_lock(name, *holder)),
            Command::ReleaseLocks { holder } => Ok(self.release_locks(*holder)),
            Command::FindLock { name } => Ok(self.find_lock(name)),
        }
    }
}

/// True for a name that MySQL takes: not empty, no zero byte, no space at its end.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && !name.ends_with(' ')
}

fn check_length(name: &str) -> Result<(), SqlError> {
    if name.chars().count() <= MAX_NAME {
        return Ok(());
    }
    Err(SqlError::new(ErrorKind::TooLongIdent, format!("Identifier name '{name}' is too long")))
}

fn refuse_system_database(name: &str) -> Result<(), SqlError> {
    if !is_system_database(name) {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorKind::NoSystemSchemaAccess,
        format!("Access to system schema '{name}' is rejected."),
    ))
}

/// Takes the next id of a counter. A cluster would need four thousand million of one kind to fail.
fn take_id(next: &mut u32) -> Result<u32, SqlError> {
    let id = *next;
    *next =
        id.checked_add(1).ok_or_else(|| SqlError::internal("The cluster has run out of ids of this kind"))?;
    Ok(id)
}
