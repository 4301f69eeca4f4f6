//! Ids. All are small integers that are never reused within a cluster.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $repr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A database.
    DatabaseId, u32, "d"
);
id!(
    /// A table, unique in the cluster, not only in its database.
    TableId, u32, "t"
);
id!(
    /// A column, unique in its table; a dropped column's id stays unused.
    ColumnId, u32, "c"
);
id!(
    /// A partition, unique in the cluster. Which database and hash range it holds stands in the catalog.
    PartitionId, u32, "p"
);
id!(
    /// A process of the cluster.
    NodeId, u32, "n"
);
id!(
    /// The number of a statement within its transaction, from 1. 0: none yet.
    StatementNo, u32, "s"
);

/// A transaction: the aggregator that began it and that aggregator's counter, which starts at its
/// start-up time in nanoseconds, so that a restarted aggregator never repeats an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TxnId {
    pub node: NodeId,
    pub number: u64,
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x{}.{}", self.node.0, self.number)
    }
}
