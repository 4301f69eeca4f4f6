//! Transcripts of commands, the stored forms, and a comparison with a simple model.

mod deltas;
mod formats;
mod model;
mod roles;
mod transcripts;
mod user_locks;
mod views;

use crate::{
    AccountOptions, Catalog, Command, CommandId, NodeRole, Outcome, UserName, View, ViewAlgorithm,
    ViewSecurity,
};
use types::{ColumnDef, ColumnDefault, ColumnId, DatabaseId, NodeId, SqlError, SqlType, TableDef, TableId};

/// A catalog that numbers its commands by itself.
#[derive(Default)]
struct Driver {
    catalog: Catalog,
    number: u64,
}

impl Driver {
    /// With leaves n1 to n3 of four cores each.
    fn with_leaves() -> Driver {
        let mut driver = Driver::default();
        for port in 1..=3 {
            driver.run(register(None, port)).unwrap();
        }
        driver
    }

    fn run(&mut self, command: Command) -> Result<Outcome, SqlError> {
        self.number += 1;
        self.catalog.apply(CommandId { node: NodeId(1), number: self.number }, &command)
    }

    /// Runs a command that fails, and gives its error as a client sees it.
    fn fails(&mut self, command: Command) -> String {
        let before = self.catalog.clone();
        let error = self.run(command).unwrap_err().to_string();
        let after = Catalog { windows: before.windows.clone(), ..self.catalog.clone() };
        assert_eq!(after, before, "a failed command changed the state: {error}");
        error
    }
}

fn register(id: Option<u32>, port: u16) -> Command {
    Command::RegisterNode {
        id: id.map(NodeId),
        host: "leaf".into(),
        port,
        mysql_port: None,
        role: NodeRole::Leaf,
        cores: 4,
    }
}

fn create_database(name: &str, partitions: Option<u32>) -> Command {
    Command::CreateDatabase {
        name: name.into(),
        partitions,
        collation: types::Collation::default(),
        if_not_exists: false,
    }
}

fn drop_database(name: &str) -> Command {
    Command::DropDatabase { name: name.into(), if_exists: false }
}

fn create_table(database: &str, name: &str) -> Command {
    Command::CreateTable { database: database.into(), def: table(name), if_not_exists: false }
}

fn drop_table(database: &str, name: &str) -> Command {
    Command::DropTable { database: database.into(), name: name.into(), if_exists: false }
}

fn create_user(name: &str) -> Command {
    Command::CreateUser {
        user: UserName::new(name, "%"),
        plugin: "caching_sha2_password".into(),
        authentication: "secret".into(),
        if_not_exists: false,
        options: AccountOptions::default(),
    }
}

fn column(id: u32, name: &str) -> ColumnDef {
    ColumnDef {
        id: ColumnId(id),
        name: name.into(),
        ty: SqlType::Int { unsigned: false },
        nullable: false,
        default: ColumnDefault::Literal("0".into()),
        auto_increment: false,
        initial: None,
        collation: types::Collation::default(),
        on_update_now: false,
        comment: String::new(),
    }
}

/// (a INT, b INT, PRIMARY KEY (a)), as a binder makes it.
fn table(name: &str) -> TableDef {
    TableDef {
        id: TableId(0),
        database: DatabaseId(0),
        name: name.into(),
        version: 0,
        columns: vec![column(1, "a"), column(2, "b")],
        next_column_id: ColumnId(3),
        shard_key: vec![ColumnId(1)],
        sort_key: vec![],
        primary_key: vec![ColumnId(1)],
        keys: vec![],
        collation: types::Collation::default(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: String::new(),
        replacement: None,
        reference: false,
    }
}

fn view(name: &str) -> View {
    View {
        database: DatabaseId(0),
        name: name.into(),
        columns: vec!["a".into(), "total".into()],
        query: "SELECT a, SUM(b) FROM orders GROUP BY a".into(),
        definer: UserName::new("ann", "10.%"),
        security: ViewSecurity::Definer,
        algorithm: ViewAlgorithm::Undefined,
        sql_mode: "ONLY_FULL_GROUP_BY".into(),
    }
}
