//! What a statement asks of its account, checked before it runs. Tables that are read are checked as
//! binding finds them, see [`super::query::CatalogTables`].

use crate::session::State;
use crate::statement::running::for_each_table;
use catalog::{Database, Privilege};
use datafusion::logical_expr::LogicalPlan;
use sql::query::BoundChange;
use sql::statement::{
    Account, AlterAction, AlterTable, Explain, GrantLevel, Insert, InsertValue, Scope, SetItem, Show,
    ShowWhat, Statement, TableName, UserOptions,
};
use sqlparser::ast;
use types::{ErrorKind, Result, SqlError, TableDef};

impl State {
    /// Errors: 1044, 1142, 1227.
    pub(crate) fn authorize(&self, statement: &Statement) -> Result<()> {
        use Privilege::*;
        let of_users = "CREATE USER";
        match statement {
            // Every table is checked where it is bound.
            Statement::Query(_) | Statement::SelectIntoVariables { .. } | Statement::Do(_) => Ok(()),
            Statement::GetDiagnostics(_) => Ok(()),
            Statement::Insert(insert) => self.may_insert(insert),
            Statement::Update(update) => {
                self.may(Update, "UPDATE", &update.table)?;
                let reads = update.selection.is_some()
                    || !update.order_by.is_empty()
                    || update.assignments.iter().any(|a| !is_constant(&a.value));
                if reads { self.may_read_some(&update.table) } else { Ok(()) }
            }
            Statement::Delete(delete) => {
                self.may(Delete, "DELETE", &delete.table)?;
                let reads = delete.selection.is_some() || !delete.order_by.is_empty();
                if reads { self.may_read_some(&delete.table) } else { Ok(()) }
            }
            // Which tables these change is known once they are bound: see `may_change`.
            Statement::UpdateJoined(_) | Statement::DeleteJoined(_) => Ok(()),
            Statement::LoadData(load) => {
                if !load.local {
                    self.privileges.require_globally(File, "FILE")?;
                }
                self.may(Insert, "INSERT", &load.table)
            }
            // Every table is checked where it is bound.
            Statement::SelectInto(_) => self.privileges.require_globally(File, "FILE"),
            Statement::Truncate(table) => self.may(Drop, "DROP", table),
            Statement::CreateDatabase(create) => self.privileges.require_on_database(Create, &create.name),
            Statement::DropDatabase { name, .. } => self.privileges.require_on_database(Drop, name),
            Statement::CreateTable(create) => {
                if create.temporary {
                    let database = self.database_name(create.name.database.as_deref())?;
                    self.privileges.require_on_database(CreateTemporaryTables, database)?;
                    return match &create.like {
                        Some(other) => self.may(Select, "SELECT", other),
                        None => Ok(()),
                    };
                }
                self.may(Create, "CREATE", &create.name)?;
                if create.query.is_some() {
                    self.may(Insert, "INSERT", &create.name)?;
                }
                match &create.like {
                    Some(other) => self.may(Select, "SELECT", other),
                    None => Ok(()),
                }
            }
            Statement::DropTable { tables, .. } => {
                tables.iter().try_for_each(|table| self.may(Drop, "DROP", table))
            }
            Statement::CreateView(create) => {
                self.may(CreateView, "CREATE VIEW", &create.name)?;
                if create.or_replace { self.may(Drop, "DROP", &create.name) } else { Ok(()) }
            }
            Statement::DropView { views, .. } => {
                views.iter().try_for_each(|view| self.may(Drop, "DROP", view))
            }
            Statement::AlterTable(alter) => self.may_alter(alter),
            Statement::RenameTables(renames) => {
                renames.iter().try_for_each(|(from, to)| self.may_rename(from, to))
            }
            Statement::MaintainTables { tables, .. } => tables.iter().try_for_each(|table| {
                self.may(Select, "SELECT", table)?;
                self.may(Insert, "INSERT", table)
            }),
            // Checked where the name is looked up, for COM_INIT_DB too.
            Statement::Use(_) => Ok(()),
            Statement::Show(show) => self.may_show(show),
            Statement::Describe { table, .. } => self.may_see(table),
            Statement::Explain(explain) => {
                let Explain { statement, .. } = &**explain;
                self.authorize(statement)
            }
            Statement::Begin(_)
            | Statement::Commit(_)
            | Statement::Rollback(_)
            | Statement::Savepoint(_)
            | Statement::RollbackTo(_)
            | Statement::ReleaseSavepoint(_) => Ok(()),
            Statement::Set(items) => items.iter().try_for_each(|item| self.may_set(item)),
            // What it executes is checked when it is executed.
            Statement::Prepare { .. } | Statement::Execute { .. } | Statement::Deallocate(_) => Ok(()),
            // Everybody may end their own.
            Statement::Kill { .. } => Ok(()),
            Statement::LockTables(tables) => self.may_lock_tables(tables),
            Statement::UnlockTables => Ok(()),
            Statement::AddLeaf(_) | Statement::RemoveLeaf(_) => {
                self.privileges.require_globally(Super, "SUPER")
            }
            Statement::Flush(_) => self.privileges.require_globally(Reload, "RELOAD"),
            Statement::CreateUser { .. }
            | Statement::DropUser { .. }
            | Statement::RenameUsers(_)
            | Statement::CreateRole { .. }
            | Statement::DropRole { .. } => self.privileges.require_globally(CreateUser, of_users),
            Statement::AlterUser { users, options, .. } => {
                // Only the own password is everybody's.
                if *options == UserOptions::default() && users.iter().all(|spec| self.is_own(&spec.account)) {
                    return Ok(());
                }
                self.privileges.require_globally(CreateUser, of_users)
            }
            Statement::SetPassword { user, .. } => match user {
                Some(account) if !self.is_own(account) => {
                    self.privileges.require_globally(CreateUser, of_users)
                }
                _ => Ok(()),
            },
            Statement::SetRole(_) => Ok(()),
            Statement::SetDefaultRole { users, .. } => {
                if users.iter().all(|account| self.is_own(account)) {
                    return Ok(());
                }
                self.privileges.require_globally(CreateUser, of_users)
            }
            Statement::GrantRoles { roles, .. } | Statement::RevokeRoles { roles, .. } => {
                roles.iter().try_for_each(|role| self.may_give(&self.user_name(role)))
            }
            // Only who has something may give it: checked with what is given.
            Statement::Grant(_) | Statement::Revoke(_) => Ok(()),
        }
    }

    /// Whether an account is the session's own.
    pub(crate) fn is_own(&self, account: &Account) -> bool {
        account.current || self.user_name(account) == self.identity.account_name()
    }

    fn may(&self, privilege: Privilege, command: &str, table: &TableName) -> Result<()> {
        let database = self.database_name(table.database.as_deref())?;
        self.privileges.require_on_table(privilege, command, database, &table.name)
    }

    /// Whether columns of a table may be read: which ones, binding checks.
    fn may_read_some(&self, table: &TableName) -> Result<()> {
        let database = self.database_name(table.database.as_deref())?;
        self.privileges.require_readable(database, &table.name)
    }

    /// Whether a bound UPDATE or DELETE of a join may change its tables, and read what it joins.
    pub(super) fn may_change(&self, privilege: Privilege, command: &str, change: &BoundChange) -> Result<()> {
        change
            .tables
            .iter()
            .try_for_each(|table| self.may_on_definition(privilege, command, &table.definition))?;
        self.may_read(&change.plan)
    }

    /// Whether a bound plan may read its tables.
    pub(super) fn may_read(&self, plan: &LogicalPlan) -> Result<()> {
        let mut tables = Vec::new();
        for_each_table(plan, |table| tables.push(table.def().clone()))?;
        tables
            .iter()
            .try_for_each(|def| self.privileges.require_readable(&self.database_of(def)?.name, &def.name))
    }

    fn may_on_definition(&self, privilege: Privilege, command: &str, def: &TableDef) -> Result<()> {
        self.privileges.require_on_table(privilege, command, &self.database_of(def)?.name, &def.name)
    }

    fn database_of(&self, def: &TableDef) -> Result<&Database> {
        let database = self.catalog.database_by_id(def.database).map(|database| &**database);
        database.ok_or_else(|| SqlError::new(ErrorKind::NoSuchTable, format!("Table '{}' is gone", def.name)))
    }

    /// To see a table's definition, any privilege on it will do.
    fn may_see(&self, table: &TableName) -> Result<()> {
        let database = self.database_name(table.database.as_deref())?;
        if self.privileges.touch_table(database, &table.name) {
            return Ok(());
        }
        Err(self.privileges.denied_on_table("SELECT", &table.name))
    }

    /// INDEX is enough for keys alone.
    fn may_alter(&self, alter: &AlterTable) -> Result<()> {
        let of_keys =
            |action: &AlterAction| matches!(action, AlterAction::AddKey(_) | AlterAction::DropKey(_));
        if !alter.actions.is_empty() && alter.actions.iter().all(of_keys) {
            return self.may(Privilege::Index, "INDEX", &alter.table);
        }
        self.may(Privilege::Alter, "ALTER", &alter.table)?;
        alter.actions.iter().try_for_each(|action| match action {
            AlterAction::RenameTable(to) => self.may_rename(&alter.table, to),
            _ => Ok(()),
        })
    }

    fn may_rename(&self, from: &TableName, to: &TableName) -> Result<()> {
        self.may(Privilege::Alter, "ALTER", from)?;
        self.may(Privilege::Drop, "DROP", from)?;
        self.may(Privilege::Create, "CREATE", to)?;
        self.may(Privilege::Insert, "INSERT", to)
    }

    fn may_insert(&self, insert: &Insert) -> Result<()> {
        self.may(Privilege::Insert, "INSERT", &insert.table)?;
        if insert.replace {
            self.may(Privilege::Delete, "DELETE", &insert.table)?;
        }
        if !insert.on_duplicate.is_empty() {
            self.may(Privilege::Update, "UPDATE", &insert.table)?;
        }
        // The tables of a query are checked where they are bound.
        if sql::evaluated::names_own_columns(insert) { self.may_read_some(&insert.table) } else { Ok(()) }
    }

    fn may_show(&self, show: &Show) -> Result<()> {
        let in_database = |database: &Option<String>| {
            let name = self.database_name(database.as_deref())?;
            self.privileges.require_touch(name)
        };
        match &show.what {
            ShowWhat::Tables { database, .. }
            | ShowWhat::TableStatus { database }
            | ShowWhat::Triggers { database }
            | ShowWhat::Events { database }
            | ShowWhat::OpenTables { database: database @ Some(_) }
            | ShowWhat::Partitions { database } => in_database(database),
            ShowWhat::CreateDatabase { name, .. } => self.privileges.require_touch(name),
            ShowWhat::Columns { table, .. } | ShowWhat::Index { table } | ShowWhat::CreateView(table) => {
                self.may_see(table)
            }
            ShowWhat::CreateTable(table) => {
                let database = self.database_name(table.database.as_deref())?;
                if self.privileges.touch_whole_table(database, &table.name) {
                    return Ok(());
                }
                Err(self.privileges.denied_on_table("SHOW", &table.name))
            }
            ShowWhat::Grants { account: Some(account), .. } | ShowWhat::CreateUser(account)
                if !self.is_own(account) =>
            {
                // As in MySQL, whose accounts are rows of tables of this database.
                self.privileges.require_on_database(Privilege::Select, "mysql")
            }
            _ => Ok(()),
        }
    }

    fn may_set(&self, item: &SetItem) -> Result<()> {
        let scope = match item {
            SetItem::System { scope, .. } => Some(*scope),
            SetItem::Transaction { scope, .. } => *scope,
            SetItem::User { .. } | SetItem::Names { .. } | SetItem::CharacterSet(_) => None,
        };
        match scope {
            Some(Scope::Global | Scope::Persist) => {
                self.privileges.require_globally(Privilege::Super, "SUPER or SYSTEM_VARIABLES_ADMIN")
            }
            Some(Scope::Session) | None => Ok(()),
        }
    }

    /// Where GRANT and REVOKE give or take.
    pub(crate) fn grant_level(&self, level: &GrantLevel) -> Result<catalog::Level> {
        Ok(match level {
            GrantLevel::Global => catalog::Level::Global,
            GrantLevel::Database(name) => {
                catalog::Level::Database(self.database_name(name.as_deref())?.to_string())
            }
            GrantLevel::Table(table) => catalog::Level::Table {
                database: self.database_name(table.database.as_deref())?.to_string(),
                table: table.name.clone(),
            },
            GrantLevel::Everywhere => return Err(SqlError::internal("GRANT has a level")),
        })
    }
}

/// Whether a value needs nothing of the row that it is set in.
fn is_constant(value: &InsertValue) -> bool {
    match value {
        InsertValue::Default => true,
        InsertValue::Expr(ast::Expr::Value(_)) => true,
        InsertValue::Expr(_) => false,
    }
}
