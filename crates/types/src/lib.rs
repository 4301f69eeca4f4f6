//! The words that all of Pando speaks: ids, SQL types and values, timestamps, the shard hash,
//! table definitions, errors. Pure data: no I/O, no threads, no async.

pub mod bits;
pub mod collation;
pub mod error;
pub mod hlc;
pub mod ids;
pub mod labels;
pub mod schema;
pub mod shard;
pub mod sql_type;
pub mod value;

pub use collation::Collation;
pub use error::{ErrorKind, Result, SqlError};
pub use hlc::Timestamp;
pub use ids::{ColumnId, DatabaseId, NodeId, PartitionId, StatementNo, TableId, TxnId};
pub use labels::Labels;
pub use schema::{CheckDef, ColumnDef, ColumnDefault, ForeignKeyDef, KeyDef, ReferentialAction, TableDef};
pub use sql_type::{Physical, SqlType};
pub use value::Value;
