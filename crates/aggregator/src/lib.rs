//! The aggregator: MySQL sessions, and the coordination of their statements.
//!
//! * `session` holds what a connection holds (database, variables, transaction, prepared statements)
//!   and answers the protocol's commands.
//! * `statement` carries out statements, one file a family: queries, inserts, changes, loads, schema,
//!   SHOW, SET, users.
//! * `system_schemas` makes the tables of information_schema and performance_schema.
//! * `plans` keeps the plans of queries that come again.
//! * `templates` keeps what is known of statements on one row, so that they need no plan again.
//! * `transaction` numbers statements and remembers where they wrote; `route` finds the partition of
//!   a row, `leaves` the leaf of a partition; `files` reads and writes files that statements name; `leases` tells the leaves what is open; `estimates` keeps
//!   what they say of their tables; `ids` hands out AUTO_INCREMENT values; `user_locks` compares what sessions believe to hold with the catalog; `admission` bounds how many
//!   statements run at the same time.
//!
//! An aggregator keeps no user data: everything durable is asked of the catalog ([`catalog::Metadata`])
//! or of leaves ([`exec::Leaves`]). A statement runs to its end in a task of its own even if
//! its client has gone, so that a transaction is never rolled back under a write that still runs.

mod admission;
mod aside;
mod commit;
mod estimates;
mod failed_logins;
mod files;
mod ids;
mod large_texts;
mod leases;
mod leaves;
mod links;
mod plans;
mod processes;
mod route;
mod server;
mod session;
mod statement;
mod system_schemas;
mod templates;
mod transaction;
mod user_locks;

pub use files::FileAccess;
pub use links::{Link, Links, NoLinks};
pub use server::{Aggregator, AggregatorOptions, AggregatorServer, server_version};
