//! The messages. Numbers of fields are never given again.

use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode, PhysicalSortExprNode, Schema};
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Stage {
    #[prost(message, optional, tag = "1")]
    pub plan: Option<PhysicalPlanNode>,
    #[prost(message, optional, tag = "2")]
    pub output: Option<Kind>,
    /// Aggregations are to be fused with their scans.
    #[prost(bool, tag = "3")]
    pub fused: bool,
}

/// How rows leave a stage.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Kind {
    /// 1 shuffle, 2 broadcast, 3 gather, 4 gather with order, 5 forward.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(message, repeated, tag = "2")]
    pub keys: Vec<PhysicalExprNode>,
    #[prost(uint32, tag = "3")]
    pub partitions: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Operator {
    #[prost(oneof = "Operation", tags = "1, 2, 3, 4, 5")]
    pub operation: Option<Operation>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Operation {
    #[prost(message, tag = "1")]
    Scan(Scan),
    #[prost(message, tag = "2")]
    Receive(Receive),
    #[prost(message, tag = "3")]
    Union(Schema),
    #[prost(message, tag = "4")]
    SharedKeys(SharedKeys),
    #[prost(message, tag = "5")]
    JsonTable(JsonTable),
}

/// Rows with those that JSON documents in them make.
#[derive(Clone, PartialEq, Message)]
pub(super) struct JsonTable {
    /// What rows a document makes, as JSON.
    #[prost(bytes, tag = "1")]
    pub table: Vec<u8>,
    /// The column of the documents.
    #[prost(uint32, tag = "2")]
    pub document: u32,
    #[prost(bool, tag = "3")]
    pub outer: bool,
}

/// Gathers the keys of a join for scans of other stages.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SharedKeys {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// The column of each key of the join; -1: none.
    #[prost(sint32, repeated, tag = "2")]
    pub columns: Vec<i32>,
}

/// What a scan looks for in the keys of a join.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WantedKey {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(uint32, tag = "2")]
    pub key: u32,
    #[prost(uint32, tag = "3")]
    pub column: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Scan {
    /// The table's definition, as JSON.
    #[prost(bytes, tag = "1")]
    pub table: Vec<u8>,
    #[prost(uint32, repeated, tag = "2")]
    pub partitions: Vec<u32>,
    /// The table's rows, roughly.
    #[prost(uint64, tag = "3")]
    pub rows: u64,
    /// A column's id; -1: the partition; -2: the row's reference.
    #[prost(sint64, repeated, tag = "4")]
    pub output: Vec<i64>,
    #[prost(message, repeated, tag = "5")]
    pub predicates: Vec<Predicate>,
    #[prost(uint64, optional, tag = "6")]
    pub limit: Option<u64>,
    #[prost(message, repeated, tag = "7")]
    pub shared_keys: Vec<WantedKey>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Receive {
    #[prost(uint32, tag = "1")]
    pub exchange: u32,
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Kind>,
    #[prost(message, optional, tag = "3")]
    pub schema: Option<Schema>,
    #[prost(uint32, repeated, tag = "4")]
    pub streams: Vec<u32>,
    /// Rows are placed by the shard hash of these; none: nothing is known.
    #[prost(message, repeated, tag = "5")]
    pub placed_by: Vec<PhysicalExprNode>,
    #[prost(message, repeated, tag = "6")]
    pub orderings: Vec<Ordering>,
    #[prost(message, repeated, tag = "7")]
    pub equal: Vec<Equal>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ordering {
    #[prost(message, repeated, tag = "1")]
    pub by: Vec<PhysicalSortExprNode>,
}

/// Expressions that are equal in each row.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Equal {
    #[prost(message, repeated, tag = "1")]
    pub expressions: Vec<PhysicalExprNode>,
    /// 0: they vary; 1: the same in all rows of a partition; 2: of all partitions.
    #[prost(uint32, tag = "2")]
    pub constant: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Predicate {
    #[prost(oneof = "Condition", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub condition: Option<Condition>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Condition {
    #[prost(message, tag = "1")]
    Compare(Compare),
    #[prost(message, tag = "2")]
    In(In),
    #[prost(uint32, tag = "3")]
    IsNull(u32),
    #[prost(uint32, tag = "4")]
    IsNotNull(u32),
    #[prost(message, tag = "5")]
    Columns(Columns),
    #[prost(message, tag = "6")]
    Text(Text),
    #[prost(message, tag = "7")]
    Or(Or),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Compare {
    #[prost(uint32, tag = "1")]
    pub column: u32,
    /// 1 =, 2 <>, 3 <, 4 <=, 5 >, 6 >=.
    #[prost(uint32, tag = "2")]
    pub op: u32,
    #[prost(message, optional, tag = "3")]
    pub value: Option<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct In {
    #[prost(uint32, tag = "1")]
    pub column: u32,
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Columns {
    #[prost(uint32, tag = "1")]
    pub left: u32,
    #[prost(uint32, tag = "2")]
    pub op: u32,
    #[prost(uint32, tag = "3")]
    pub right: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Or {
    #[prost(message, repeated, tag = "1")]
    pub branches: Vec<And>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct And {
    #[prost(message, repeated, tag = "1")]
    pub predicates: Vec<Predicate>,
}

/// A test of a string.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Text {
    #[prost(uint32, tag = "1")]
    pub column: u32,
    /// 1 starts with, 2 LIKE, 3 substring compared, 4 substring in a list, 5 not in a list.
    #[prost(uint32, tag = "2")]
    pub test: u32,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub texts: Vec<Vec<u8>>,
    #[prost(bool, tag = "4")]
    pub negated: bool,
    #[prost(uint32, tag = "5")]
    pub escape: u32,
    #[prost(uint64, tag = "6")]
    pub from: u64,
    #[prost(uint64, optional, tag = "7")]
    pub count: Option<u64>,
    #[prost(uint32, tag = "8")]
    pub op: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    /// None: NULL.
    #[prost(oneof = "Scalar", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub scalar: Option<Scalar>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Scalar {
    #[prost(sint64, tag = "1")]
    Int(i64),
    #[prost(uint64, tag = "2")]
    UInt(u64),
    #[prost(message, tag = "3")]
    Decimal(Decimal),
    #[prost(float, tag = "4")]
    Float(f32),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(sint32, tag = "6")]
    Date(i32),
    #[prost(sint64, tag = "7")]
    Time(i64),
    #[prost(sint64, tag = "8")]
    DateTime(i64),
    #[prost(sint64, tag = "9")]
    Timestamp(i64),
    #[prost(string, tag = "10")]
    Text(String),
    #[prost(bytes, tag = "11")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Decimal {
    #[prost(sint64, tag = "1")]
    pub high: i64,
    #[prost(uint64, tag = "2")]
    pub low: u64,
    #[prost(uint32, tag = "3")]
    pub scale: u32,
}
