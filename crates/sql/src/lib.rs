//! MySQL's SQL. Text becomes a [`statement::Statement`]; queries become logical plans with MySQL's
//! types made explicit; values become Arrow columns by MySQL's rules of assignment.
//!
//! No network, no storage: the caller gives the tables, the session's variables and the time.

pub(crate) mod analyzer;
pub mod charset;
pub mod convert;
pub mod ddl;
pub mod dialect;
pub mod evaluated;
pub mod functions;
pub mod insert;
pub(crate) mod json;
pub mod json_table;
pub mod like;
pub mod literal;
pub mod load;
pub mod outfile;
pub mod parse;
pub mod point;
pub mod query;
pub mod rows;
pub mod statement;
pub mod temporal;
pub mod variables;
