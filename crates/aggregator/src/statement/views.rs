//! CREATE, ALTER, DROP and SHOW CREATE VIEW, and how statements read views.
//!
//! A view reads what it reads with the rights of its definer, or with SQL SECURITY INVOKER with those
//! of who reads it, who needs SELECT on the view in either case.

use super::query::{CatalogTables, Parameters, modes_of};
use super::{Answer, done};
use crate::plans::NamedTable;
use crate::server::has_root;
use crate::session::{Identity, Level, Privileges, State};
use crate::statement::grid::Grid;
use catalog::{Catalog, Command, Outcome, Privilege, ROOT, UserName, View, ViewAlgorithm, ViewSecurity};
use sql::query::{BindContext, Momentary, SessionView, VariableScope};
use sql::statement::{CreateView, TableName};
use sql::temporal::Zone;
use std::sync::Arc;
use types::{DatabaseId, ErrorKind, Result, SqlError, Value};

impl State {
    pub(crate) async fn create_view(
        &mut self,
        create: &CreateView,
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        let database = self.database_name(create.name.database.as_deref())?.to_string();
        self.catalog.require_database(&database)?;
        let name = create.name.name.as_str();
        if create.must_exist && self.catalog.view(&database, name).is_none() {
            return Err(self.no_such_view(&database, name));
        }
        let own = self.identity.account_name();
        let definer = create.definer.as_ref().map_or_else(|| own.clone(), |account| self.user_name(account));
        if definer != own {
            self.privileges.require_globally(Privilege::Super, "SUPER or SET_USER_ID")?;
        }
        let (bound, named) = self
            .bind_with(|tables| {
                tables.take_named();
                let context = self.bind_context(tables, &parameters);
                let bound = sql::query::bind_view(create, (&database, name), &context)?;
                Ok((bound, tables.take_named()))
            })
            .await?;
        self.refuse_temporary(&named)?;
        if definer_privileges(&definer, &self.catalog).is_none() {
            let error = no_such_definer(&definer);
            self.add_message(Level::Note, error.kind.errno(), error.message);
        }
        let view = View {
            database: DatabaseId(0),
            name: name.to_string(),
            columns: bound.columns,
            query: bound.text,
            definer,
            security: if create.invoker_rights { ViewSecurity::Invoker } else { ViewSecurity::Definer },
            algorithm: match create.algorithm {
                sql::statement::ViewAlgorithm::Undefined => ViewAlgorithm::Undefined,
                sql::statement::ViewAlgorithm::Merge => ViewAlgorithm::Merge,
                sql::statement::ViewAlgorithm::TempTable => ViewAlgorithm::TempTable,
            },
            sql_mode: self.variables.text("sql_mode").unwrap_or_default(),
        };
        self.change_catalog(Command::CreateView { database, view, or_replace: create.or_replace }).await?;
        Ok(done())
    }

    /// That the query of a view reads no table which only the session has. Error: 1352.
    fn refuse_temporary(&self, named: &[NamedTable]) -> Result<()> {
        let is_own =
            |table: &&NamedTable| self.catalog.table_by_id(table.id).is_some_and(|kept| kept.is_temporary());
        let Some(NamedTable { name, .. }) = named.iter().find(is_own) else { return Ok(()) };
        let text = format!("View's SELECT refers to a temporary table '{name}'");
        Err(SqlError::new(ErrorKind::ViewOfTemporaryTable, text))
    }

    pub(crate) async fn drop_views(&mut self, views: &[TableName], if_exists: bool) -> Result<Answer> {
        let mut known = Vec::new();
        let mut missing = Vec::new();
        for view in views {
            let database = self.database_name(view.database.as_deref())?.to_string();
            let is_table = self.catalog.table(&database, &view.name).is_some();
            if is_table || self.catalog.view(&database, &view.name).is_some() {
                known.push((database, view.name.clone()));
            } else {
                missing.push(format!("{database}.{}", view.name));
            }
        }
        if !missing.is_empty() {
            let text = format!("Unknown table '{}'", missing.join(","));
            if !if_exists {
                return Err(SqlError::new(ErrorKind::UnknownTable, text));
            }
            self.add_message(Level::Note, ErrorKind::UnknownTable.errno(), text);
        }
        for (database, name) in known {
            if let Outcome::Unchanged(reason) =
                self.change_catalog(Command::DropView { database, name, if_exists }).await?
            {
                self.add_message(Level::Note, reason.kind.errno(), reason.message);
            }
        }
        Ok(done())
    }

    /// The view that a name means, if it means one.
    pub(super) fn named_view(&self, name: &TableName) -> Result<Option<Arc<View>>> {
        let database = self.database_name(name.database.as_deref())?;
        Ok(self.catalog.view(database, &name.name).cloned())
    }

    pub(super) fn show_create_view(&self, name: &TableName) -> Result<Grid> {
        let database = self.database_name(name.database.as_deref())?;
        let Some(view) = self.catalog.view(database, &name.name) else {
            return Err(self.no_such_view(database, &name.name));
        };
        self.privileges.require_on_table(Privilege::ShowView, "SHOW VIEW", database, &name.name)?;
        let mut grid =
            Grid::of_text(&["View", "Create View", "character_set_client", "collation_connection"]);
        grid.push(vec![
            view.name.as_str().into(),
            create_text(view).into(),
            sql::charset::DEFAULT_CHARSET.into(),
            sql::charset::DEFAULT_COLLATION.into(),
        ]);
        Ok(grid)
    }

    /// The columns of a view as it is now: name, type, whether NULL may be among its values.
    /// Error: 1356.
    pub(super) fn view_columns(&self, view: &View) -> Result<Vec<sql::query::OutputColumn>> {
        let database = self
            .catalog
            .database_by_id(view.database)
            .ok_or_else(|| SqlError::internal("a view without its database"))?;
        self.tables().view_columns(&database.name, view)
    }

    /// 1146, or 1347 if the name is a table's.
    fn no_such_view(&self, database: &str, name: &str) -> SqlError {
        if self.catalog.table(database, name).is_some() {
            return SqlError::new(ErrorKind::WrongObject, format!("'{database}.{name}' is not VIEW"));
        }
        SqlError::new(ErrorKind::NoSuchTable, format!("Table '{database}.{name}' doesn't exist"))
    }
}

impl CatalogTables {
    /// The columns of a view as it is now, whoever asks: only their names and types are looked at.
    /// Error: 1356.
    pub(crate) fn view_columns(&self, database: &str, view: &View) -> Result<Vec<sql::query::OutputColumn>> {
        let variables = Defaults(self.server_variables());
        let current_user = self.privileges.current_user();
        let session = SessionView {
            database: Some(database),
            user: Momentary::new(&current_user),
            current_user: Momentary::new(&current_user),
            current_role: "NONE".into(),
            connection_id: 0.into(),
            last_insert_id: 0.into(),
            row_count: 0.into(),
            found_rows: 0.into(),
            version: sql::variables::SERVER_VERSION,
            now: 0.into(),
            zone: Zone::UTC,
            modes: modes_of(&view.sql_mode),
            variables: &variables,
        };
        let context = BindContext { tables: self, session, parameters: &[], text: "" };
        Ok(sql::query::describe_view(self.view_source(database, view)?, &context)?.columns)
    }

    /// A view as the binder takes it, with the tables that its query may read.
    pub(super) fn view_source(&self, database: &str, view: &View) -> Result<sql::query::View> {
        let (privileges, current_user) = match view.security {
            ViewSecurity::Invoker => (self.privileges.clone(), self.privileges.current_user()),
            ViewSecurity::Definer => {
                let privileges = definer_privileges(&view.definer, &self.catalog)
                    .ok_or_else(|| no_such_definer(&view.definer))?;
                (privileges, format!("{}@{}", view.definer.name, view.definer.host))
            }
        };
        Ok(sql::query::View {
            database: database.to_string(),
            name: view.name.clone(),
            columns: view.columns.clone(),
            query: view.query.clone(),
            current_user,
            modes: modes_of(&view.sql_mode),
            tables: Box::new(self.within_view(database, privileges)),
        })
    }
}

/// The server's variables, and no user's.
struct Defaults(sql::variables::Variables);

impl sql::query::Variables for Defaults {
    fn system(&self, _: VariableScope, name: &str) -> Result<Value> {
        self.0.get(name)
    }

    fn user(&self, _: &str) -> Value {
        Value::Null
    }
}

/// What a definer may do; `None`: there is no such account. The root without an account of a new
/// cluster is there until an account of that name is made, and then that one stands for it.
fn definer_privileges(definer: &UserName, catalog: &Catalog) -> Option<Privileges> {
    let of = |account: Option<UserName>| {
        let identity = Identity { user: definer.name.clone(), host: definer.host.clone(), account };
        Some(Privileges::of_account(Arc::new(identity), catalog))
    };
    if catalog.user(definer).is_some() {
        return of(Some(definer.clone()));
    }
    if definer.name != ROOT || definer.host != "localhost" {
        return None;
    }
    match catalog.user_for_login(ROOT, &["localhost"]).filter(|user| user.user.name == ROOT) {
        Some(user) => of(Some(user.user.clone())),
        None if has_root(catalog) => None,
        None => of(None),
    }
}

fn no_such_definer(definer: &UserName) -> SqlError {
    SqlError::new(
        ErrorKind::NoSuchDefiner,
        format!("The user specified as a definer ({definer}) does not exist"),
    )
}

/// The statement that makes the view.
fn create_text(view: &View) -> String {
    use sql::ddl::quote_name;
    let algorithm = match view.algorithm {
        ViewAlgorithm::Undefined => "UNDEFINED",
        ViewAlgorithm::Merge => "MERGE",
        ViewAlgorithm::TempTable => "TEMPTABLE",
    };
    let security = match view.security {
        ViewSecurity::Definer => "DEFINER",
        ViewSecurity::Invoker => "INVOKER",
    };
    let columns: Vec<String> = view.columns.iter().map(|name| quote_name(name)).collect();
    format!(
        "CREATE ALGORITHM={algorithm} DEFINER={}@{} SQL SECURITY {security} VIEW {} ({}) AS {}",
        quote_name(&view.definer.name),
        quote_name(&view.definer.host),
        quote_name(&view.name),
        columns.join(","),
        view.query
    )
}
