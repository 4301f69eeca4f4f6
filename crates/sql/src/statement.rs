//! What a statement says, before any name in it is looked up. Expressions and queries are
//! sqlparser's tree; everything else is ours, because MySQL's forms are.
//!
//! A placeholder `?` is [`ast::Value::Placeholder`] with the text `$n`, n counted from 1 in the order
//! of the text.

mod alter;

pub use alter::{AlterAction, AlterAlgorithm, AlterLock, AlterTable, ColumnPlace};
use sqlparser::ast;
use sqlparser::tokenizer::Location;
use types::{Collation, ReferentialAction, SqlType};

/// `'host'[:port]` of a leaf, where other processes reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafAddress {
    pub host: String,
    /// None: the usual one.
    pub port: Option<u16>,
}

/// A table, perhaps with its database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    pub database: Option<String>,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// SELECT, VALUES, TABLE, WITH, UNION.
    Query(Box<ast::Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    /// UPDATE of a join.
    UpdateJoined(Box<UpdateJoined>),
    /// DELETE from tables of a join.
    DeleteJoined(Box<DeleteJoined>),
    LoadData(Box<LoadData>),
    SelectInto(Box<SelectInto>),
    /// SELECT .. INTO @a, @b: the variables without their `@`, in lower case.
    SelectIntoVariables {
        query: Box<ast::Query>,
        variables: Vec<String>,
    },
    GetDiagnostics(Diagnostics),
    /// DO: evaluate and forget.
    Do(Vec<ast::Expr>),
    Truncate(TableName),

    CreateDatabase(CreateDatabase),
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    CreateTable(Box<CreateTable>),
    DropTable {
        tables: Vec<TableName>,
        if_exists: bool,
        temporary: bool,
    },
    CreateView(Box<CreateView>),
    DropView {
        views: Vec<TableName>,
        if_exists: bool,
    },
    /// ALTER TABLE, CREATE INDEX and DROP INDEX.
    AlterTable(Box<AlterTable>),
    /// RENAME TABLE a TO b, ..
    RenameTables(Vec<(TableName, TableName)>),
    /// ANALYZE, OPTIMIZE, CHECK and CHECKSUM TABLE.
    MaintainTables {
        action: MaintainAction,
        tables: Vec<TableName>,
        /// OPTIMIZE TABLE t FLUSH, FULL: SingleStore's words for how far to go.
        mode: Option<String>,
    },

    Use(String),
    Show(Box<Show>),
    /// DESCRIBE t [column or pattern].
    Describe {
        table: TableName,
        column: Option<String>,
    },
    Explain(Box<Explain>),

    Begin(Begin),
    Commit(Completion),
    Rollback(Completion),
    Savepoint(String),
    RollbackTo(String),
    ReleaseSavepoint(String),

    Set(Vec<SetItem>),
    Prepare {
        name: String,
        source: PrepareSource,
    },
    Execute {
        name: String,
        /// User variables, without the `@`.
        using: Vec<String>,
    },
    Deallocate(String),

    /// LOCK TABLES .. READ.
    LockTables(Vec<TableName>),
    UnlockTables,

    /// A leaf that was removed is let in again.
    AddLeaf(LeafAddress),
    RemoveLeaf(LeafAddress),
    Kill {
        /// KILL QUERY: ends what runs, keeps the connection.
        query_only: bool,
        connection: Box<ast::Expr>,
    },
    /// FLUSH PRIVILEGES, TABLES, STATUS, LOGS and so on: the words, upper case.
    Flush(Vec<String>),

    CreateUser {
        users: Vec<UserSpec>,
        if_not_exists: bool,
        options: UserOptions,
    },
    AlterUser {
        users: Vec<UserSpec>,
        if_exists: bool,
        options: UserOptions,
    },
    DropUser {
        users: Vec<Account>,
        if_exists: bool,
    },
    /// RENAME USER a TO b, ..
    RenameUsers(Vec<(Account, Account)>),
    CreateRole {
        roles: Vec<Account>,
        if_not_exists: bool,
    },
    DropRole {
        roles: Vec<Account>,
        if_exists: bool,
    },
    GrantRoles {
        roles: Vec<Account>,
        users: Vec<Account>,
        /// WITH ADMIN OPTION.
        admin: bool,
    },
    RevokeRoles {
        roles: Vec<Account>,
        users: Vec<Account>,
    },
    SetRole(RoleChoice),
    SetDefaultRole {
        roles: RoleChoice,
        users: Vec<Account>,
    },
    SetPassword {
        /// None: the current user.
        user: Option<Account>,
        password: String,
    },
    Grant(Box<Grant>),
    Revoke(Box<Grant>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintainAction {
    Analyze,
    Optimize,
    Check,
    Checksum,
}

/// INSERT or REPLACE.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: TableName,
    /// Empty: all columns of the table.
    pub columns: Vec<ast::Ident>,
    pub source: InsertSource,
    pub ignore: bool,
    /// REPLACE INTO.
    pub replace: bool,
    /// VALUES (..) AS new [(columns)].
    pub row_alias: Option<(ast::Ident, Vec<ast::Ident>)>,
    /// ON DUPLICATE KEY UPDATE.
    pub on_duplicate: Vec<Assignment>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// VALUES (..), (..) and SET a = 1. An empty row takes every default.
    Values(Vec<Vec<InsertValue>>),
    Query(Box<ast::Query>),
}

/// Not boxed: an INSERT has thousands of expressions and hardly a DEFAULT.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum InsertValue {
    /// The word DEFAULT.
    Default,
    Expr(ast::Expr),
}

/// `column = value` of UPDATE and ON DUPLICATE KEY UPDATE.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The column, perhaps with its table and database before it.
    pub column: Vec<ast::Ident>,
    pub value: InsertValue,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub table: TableName,
    pub alias: Option<ast::Ident>,
    pub ignore: bool,
    pub assignments: Vec<Assignment>,
    pub selection: Option<ast::Expr>,
    pub order_by: Vec<ast::OrderByExpr>,
    pub limit: Option<ast::Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub table: TableName,
    pub alias: Option<ast::Ident>,
    pub ignore: bool,
    pub selection: Option<ast::Expr>,
    pub order_by: Vec<ast::OrderByExpr>,
    pub limit: Option<ast::Expr>,
}

/// UPDATE a JOIN b ON .. SET a.x = .., b.y = ..
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateJoined {
    pub from: Vec<ast::TableWithJoins>,
    pub ignore: bool,
    pub assignments: Vec<Assignment>,
    pub selection: Option<ast::Expr>,
}

/// DELETE a, b FROM a JOIN b ON .. and DELETE FROM a, b USING a JOIN b ON ..
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteJoined {
    /// The tables to delete from, by their names or aliases in `from`.
    pub tables: Vec<TableName>,
    pub from: Vec<ast::TableWithJoins>,
    pub ignore: bool,
    pub selection: Option<ast::Expr>,
}

/// What LOAD DATA does with a row whose key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadDuplicates {
    #[default]
    Error,
    Ignore,
    Replace,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LoadData {
    /// The client sends the file.
    pub local: bool,
    pub file: String,
    pub duplicates: LoadDuplicates,
    pub table: TableName,
    pub format: FileFormat,
    /// Empty: all columns of the table; of a Parquet file: those that the file has.
    pub columns: Vec<ast::Ident>,
}

/// SELECT .. INTO OUTFILE.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectInto {
    pub query: Box<ast::Query>,
    pub file: String,
    pub format: FileFormat,
}

/// What GET DIAGNOSTICS puts into which user variables, which are without their `@` and in lower case.
#[derive(Debug, Clone, PartialEq)]
pub enum Diagnostics {
    Statement(Vec<(String, StatementItem)>),
    /// Of the message of this number, from 1.
    Condition {
        number: Box<ast::Expr>,
        items: Vec<(String, ConditionItem)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementItem {
    Number,
    RowCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionItem {
    ClassOrigin,
    SubclassOrigin,
    ReturnedSqlstate,
    MessageText,
    MysqlErrno,
    /// What no message says anything of, such as a name.
    Empty,
}

/// What a file of rows looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFormat {
    Text(LoadFormat),
    Parquet,
}

/// FIELDS and LINES of LOAD DATA and INTO OUTFILE. The default is MySQL's: tabs, newlines, backslash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFormat {
    pub fields_terminated: Vec<u8>,
    pub enclosed: Option<u8>,
    pub optionally_enclosed: bool,
    pub escaped: Option<u8>,
    pub lines_starting: Vec<u8>,
    pub lines_terminated: Vec<u8>,
    pub ignore_lines: u64,
}

impl Default for LoadFormat {
    fn default() -> LoadFormat {
        LoadFormat {
            fields_terminated: b"\t".to_vec(),
            enclosed: None,
            optionally_enclosed: false,
            escaped: Some(b'\\'),
            lines_starting: Vec::new(),
            lines_terminated: b"\n".to_vec(),
            ignore_lines: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDatabase {
    pub name: String,
    pub if_not_exists: bool,
    /// PARTITIONS n.
    pub partitions: Option<u32>,
    /// What its tables have that name none.
    pub collation: Option<Collation>,
}

/// CREATE TABLE as written; [`crate::ddl::table_def`] checks it and makes a definition of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: TableName,
    pub if_not_exists: bool,
    pub temporary: bool,
    /// SingleStore's REFERENCE: all rows lie together.
    pub reference: bool,
    pub columns: Vec<ColumnSpec>,
    pub keys: Vec<KeySpec>,
    pub foreign_keys: Vec<ForeignKeySpec>,
    pub checks: Vec<CheckSpec>,
    /// CREATE TABLE t LIKE other.
    pub like: Option<TableName>,
    /// CREATE TABLE t [(..)] \[AS\] SELECT.
    pub query: Option<Box<ast::Query>>,
    pub comment: String,
    /// AUTO_INCREMENT = n: where the counter starts.
    pub auto_increment: Option<u64>,
    /// What its columns have that name none; `None`: the database's.
    pub collation: Option<Collation>,
    /// Its database has one partition, in which all rows meet. The text does not say so.
    pub one_partition: bool,
    /// Clauses that change nothing here, such as ENGINE = InnoDB: for a note to the client.
    pub accepted: Vec<String>,
}

/// FOREIGN KEY as written.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignKeySpec {
    /// The key that MySQL would have for it.
    pub key: KeySpec,
    /// CONSTRAINT name.
    pub constraint: Option<String>,
    pub table: TableName,
    pub referenced: Vec<ast::Ident>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

/// How an accepted clause begins that is a foreign key.
pub const FOREIGN_KEY: &str = "FOREIGN KEY";
/// How an accepted clause begins that is a comment on a key.
pub const KEY_COMMENT: &str = "COMMENT of the key";

/// CREATE [OR REPLACE] VIEW as written.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    pub name: TableName,
    pub or_replace: bool,
    /// ALTER VIEW.
    pub must_exist: bool,
    /// Empty: the columns are called as the query calls them.
    pub columns: Vec<ast::Ident>,
    pub query: Box<ast::Query>,
    /// Where the query stands in the statement's text.
    pub query_from: Location,
    pub query_to: Location,
    /// None: who creates it.
    pub definer: Option<Account>,
    pub invoker_rights: bool,
    pub algorithm: ViewAlgorithm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ViewAlgorithm {
    #[default]
    Undefined,
    Merge,
    TempTable,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSpec {
    pub name: ast::Ident,
    pub ty: SqlType,
    pub collation: Option<Collation>,
    /// NOT NULL and NULL as written.
    pub nullable: Option<bool>,
    pub default: Option<DefaultSpec>,
    pub auto_increment: bool,
    pub on_update_now: bool,
    /// PRIMARY KEY beside the column.
    pub primary: bool,
    /// UNIQUE beside the column.
    pub unique: bool,
    pub generated: Option<GeneratedSpec>,
    /// CHECK beside the column, which may name no other.
    pub checks: Vec<CheckSpec>,
    pub comment: String,
}

/// GENERATED ALWAYS AS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedSpec {
    /// As written.
    pub expression: String,
    pub stored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    pub name: Option<String>,
    /// As written.
    pub expression: String,
    /// False: NOT ENFORCED.
    pub enforced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultSpec {
    Null,
    /// A literal's text, as a string constant would give it.
    Literal {
        text: String,
        /// It was one: its bytes are what a BIT takes.
        is_string: bool,
    },
    CurrentTimestamp {
        fsp: u8,
    },
    /// (expression), as written.
    Expression(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Primary,
    Unique,
    /// KEY or INDEX.
    Plain,
    Shard,
    Sort,
}

#[derive(Debug, Clone, PartialEq)]
pub struct KeySpec {
    pub kind: KeyKind,
    pub name: Option<String>,
    pub columns: Vec<ast::Ident>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Show {
    pub what: ShowWhat,
    pub filter: Option<ShowFilter>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ShowFilter {
    /// LIKE 'pattern'.
    Like(String),
    Where(Box<ast::Expr>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShowWhat {
    Databases,
    Tables {
        database: Option<String>,
        full: bool,
    },
    Columns {
        table: TableName,
        full: bool,
    },
    Index {
        table: TableName,
    },
    CreateTable(TableName),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
    },
    CreateView(TableName),
    CreateUser(Account),
    TableStatus {
        database: Option<String>,
    },
    Variables(Scope),
    Status(Scope),
    /// SHOW WARNINGS [LIMIT \[offset,\] rows], SHOW COUNT(*) WARNINGS.
    Warnings(MessageList),
    Errors(MessageList),
    Engines,
    CharacterSet,
    Collation,
    ProcessList {
        full: bool,
    },
    Grants {
        /// None: the current user's.
        account: Option<Account>,
        /// USING: what these add.
        roles: Vec<Account>,
    },
    Privileges,
    Plugins,
    Profiles,
    Triggers {
        database: Option<String>,
    },
    Events {
        database: Option<String>,
    },
    OpenTables {
        database: Option<String>,
    },
    FunctionStatus,
    ProcedureStatus,
    /// SHOW MASTER STATUS and SHOW BINARY LOG STATUS.
    LogStatus,
    ReplicaStatus {
        /// As SHOW SLAVE STATUS.
        old_names: bool,
    },
    Replicas {
        /// As SHOW SLAVE HOSTS.
        old_names: bool,
    },
    BinaryLogs,
    Leaves,
    Aggregators,
    Partitions {
        database: Option<String>,
    },
    ClusterStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageList {
    pub count_only: bool,
    pub offset: u64,
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    #[default]
    Session,
    Global,
    /// SET PERSIST.
    Persist,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    pub format: ExplainFormat,
    /// EXPLAIN ANALYZE: run it and show what happened.
    pub analyze: bool,
    pub statement: Statement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainFormat {
    #[default]
    Default,
    Traditional,
    Tree,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begin {
    /// READ ONLY or READ WRITE, as written.
    pub read_only: Option<bool>,
    /// WITH CONSISTENT SNAPSHOT.
    pub snapshot: bool,
}

/// How COMMIT and ROLLBACK go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Completion {
    /// AND CHAIN: another transaction begins at once.
    pub chain: bool,
    /// RELEASE: the connection ends.
    pub release: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// The name as `@@transaction_isolation` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Isolation::ReadUncommitted => "READ-UNCOMMITTED",
            Isolation::ReadCommitted => "READ-COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE-READ",
            Isolation::Serializable => "SERIALIZABLE",
        }
    }
}

/// One part of a SET.
#[derive(Debug, Clone, PartialEq)]
pub enum SetItem {
    /// A system variable.
    System { scope: Scope, name: String, value: SetValue },
    /// @name = value; the name without the `@`, lower case.
    User { name: String, value: Box<ast::Expr> },
    /// SET NAMES; None: DEFAULT.
    Names { charset: Option<String>, collation: Option<String> },
    /// SET CHARACTER SET; None: DEFAULT.
    CharacterSet(Option<String>),
    /// SET \[scope\] TRANSACTION; without a scope it holds for the next transaction only.
    Transaction { scope: Option<Scope>, isolation: Option<Isolation>, read_only: Option<bool> },
}

#[derive(Debug, Clone, PartialEq)]
pub enum SetValue {
    Default,
    /// A bare word such as ON, utf8mb4 or SYSTEM is an identifier here and means its text.
    Expr(Box<ast::Expr>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrepareSource {
    Text(String),
    /// A user variable, without the `@`.
    Variable(String),
}

/// 'user'@'host'.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// Empty with `current`.
    pub user: String,
    /// `%` unless written.
    pub host: String,
    /// CURRENT_USER or USER().
    pub current: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSpec {
    pub account: Account,
    /// IDENTIFIED WITH plugin.
    pub plugin: Option<String>,
    pub password: Option<Password>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// IDENTIFIED BY 'text'.
    Plain(String),
    /// IDENTIFIED WITH plugin AS 'hash'.
    Hash(String),
}

/// What CREATE and ALTER USER say of the accounts; none: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserOptions {
    /// ACCOUNT LOCK or UNLOCK.
    pub locked: Option<bool>,
    /// REQUIRE SSL or NONE.
    pub requires_tls: Option<bool>,
    /// FAILED_LOGIN_ATTEMPTS.
    pub failed_login_attempts: Option<u16>,
    /// PASSWORD_LOCK_TIME, in days; `Some(None)`: UNBOUNDED.
    pub password_lock_time: Option<Option<u16>>,
}

/// Which roles SET ROLE and SET DEFAULT ROLE take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChoice {
    Default,
    None,
    All,
    AllExcept(Vec<Account>),
    Named(Vec<Account>),
}

/// GRANT and REVOKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Upper case, ALL for ALL PRIVILEGES, words parted by one space.
    pub privileges: Vec<String>,
    /// Those that are of some columns of the table only.
    pub columns: Vec<(String, Vec<String>)>,
    pub level: GrantLevel,
    pub users: Vec<UserSpec>,
    pub with_grant_option: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantLevel {
    /// *.*
    Global,
    /// db.*; None: the current database, written `*`.
    Database(Option<String>),
    Table(TableName),
    /// REVOKE ALL PRIVILEGES, GRANT OPTION FROM ..: every level.
    Everywhere,
}

impl Statement {
    /// Whether MySQL commits the open transaction before this statement.
    pub fn commits_implicitly(&self) -> bool {
        use Statement::*;
        match self {
            CreateTable(create) if create.temporary => return false,
            DropTable { temporary: true, .. } => return false,
            _ => {}
        }
        matches!(
            self,
            Truncate(_)
                | CreateDatabase(_)
                | DropDatabase { .. }
                | CreateTable(_)
                | DropTable { .. }
                | CreateView(_)
                | DropView { .. }
                | AlterTable(_)
                | RenameTables(_)
                | MaintainTables { .. }
                | Begin(_)
                | LockTables(_)
                | CreateUser { .. }
                | AlterUser { .. }
                | DropUser { .. }
                | RenameUsers(_)
                | CreateRole { .. }
                | DropRole { .. }
                | GrantRoles { .. }
                | RevokeRoles { .. }
                | SetDefaultRole { .. }
                | SetPassword { .. }
                | AddLeaf(_)
                | RemoveLeaf(_)
                | Grant(_)
                | Revoke(_)
        )
    }
}
