//! Random tables as plain values, their Arrow batches and segments, and predicates evaluated naively.

use crate::filter::values::number_of;
use crate::segment::{BeginTimestamps, Segment, SegmentMeta, write_segment};
use crate::{BufferPool, Compare, Predicate};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, StringViewArray, TimestampMicrosecondArray, new_empty_array,
};
use arrow::datatypes as dt;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use env::{MemoryBudget, RealDisk};
use std::cmp::Ordering;
use std::sync::Arc;
use tempfile::TempDir;
use types::{ColumnDef, ColumnDefault, ColumnId, DatabaseId, SqlType, TableDef, TableId, Timestamp, Value};

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

pub fn all_types() -> Vec<SqlType> {
    use types::sql_type::LobSize;
    let mut types = vec![
        SqlType::Bool,
        SqlType::Decimal { precision: 15, scale: 2 },
        SqlType::Decimal { precision: 18, scale: 0 },
        SqlType::Decimal { precision: 38, scale: 4 },
        SqlType::Float,
        SqlType::Double,
        SqlType::Date,
        SqlType::Time { fsp: 6 },
        SqlType::DateTime { fsp: 0 },
        SqlType::Timestamp { fsp: 6 },
        SqlType::Year,
        SqlType::Char(10),
        SqlType::VarChar(300),
        SqlType::Text(LobSize::Normal),
        SqlType::VarBinary(300),
        SqlType::Blob(LobSize::Normal),
    ];
    for unsigned in [false, true] {
        types.extend([
            SqlType::TinyInt { unsigned },
            SqlType::SmallInt { unsigned },
            SqlType::MediumInt { unsigned },
            SqlType::Int { unsigned },
            SqlType::BigInt { unsigned },
        ]);
    }
    types
}

/// How a column's values lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Constant,
    Few,
    Sorted,
    Steps,
    Wild,
}

pub const SHAPES: [Shape; 5] = [Shape::Constant, Shape::Few, Shape::Sorted, Shape::Steps, Shape::Wild];

/// Least and greatest physical number of a type.
fn number_range(ty: SqlType) -> (i128, i128) {
    match ty {
        SqlType::Decimal { precision, .. } => {
            let limit = 10i128.pow(u32::from(precision)) - 1;
            (-limit, limit)
        }
        SqlType::Date => (i32::MIN.into(), i32::MAX.into()),
        SqlType::Time { .. } | SqlType::DateTime { .. } | SqlType::Timestamp { .. } => {
            (i64::MIN.into(), i64::MAX.into())
        }
        _ => ty.integer_range().unwrap_or((-1_000_000_000, 1_000_000_000)),
    }
}

fn number(ty: SqlType, shape: Shape, row: usize, random: &mut Random) -> i128 {
    let (low, high) = number_range(ty);
    let span = (high - low).unsigned_abs();
    let at = |n: u128| low + (n % (span + 1)) as i128;
    match shape {
        Shape::Constant => at(42),
        Shape::Few => at(u128::from(random.below(7)) * 13 + 5),
        Shape::Sorted => at(span / 3 + row as u128 * 5 + u128::from(random.below(4))),
        Shape::Steps => at(span / 2 / 1_000_000 * 1_000_000 + u128::from(random.below(500)) * 1_000_000),
        Shape::Wild => match random.below(10) {
            0 => low,
            1 => high,
            2 => low + (high - low) / 2,
            _ => at(u128::from(random.next()) << 64 | u128::from(random.next())),
        },
    }
}

fn text(shape: Shape, row: usize, random: &mut Random) -> String {
    const WORDS: [&str; 7] = [
        "",
        "a",
        "twelve bytes",
        "thirteen byte",
        "żółw",
        "a rather long entry of a dictionary",
        "\u{10ffff}",
    ];
    match shape {
        Shape::Constant => "always the same".into(),
        Shape::Few => (*random.pick(&WORDS)).into(),
        Shape::Sorted => format!("Customer#{row:09}"),
        Shape::Steps => format!("{}", random.below(3000)),
        Shape::Wild => {
            let most = if random.below(50) == 0 { 60 } else { 6 };
            let words = random.below(most);
            (0..words).map(|_| format!("{}{} ", random.pick(&WORDS), random.below(1000))).collect()
        }
    }
}

pub fn value(ty: SqlType, shape: Shape, row: usize, random: &mut Random) -> Value {
    let float = |random: &mut Random| match random.below(12) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => -0.0,
        3 => 0.0,
        4 => f64::MIN,
        _ => random.next() as i64 as f64 / 1e6,
    };
    match ty {
        SqlType::Float | SqlType::Double => {
            let value = match shape {
                Shape::Wild => float(random),
                _ => number(SqlType::Int { unsigned: false }, shape, row, random) as f64 / 4.0,
            };
            match ty {
                SqlType::Float => Value::Float(value as f32),
                _ => Value::Double(value),
            }
        }
        _ if ty.is_string() => Value::Text(text(shape, row, random)),
        SqlType::Binary(_) | SqlType::VarBinary(_) | SqlType::Blob(_) => {
            let mut bytes = text(shape, row, random).into_bytes();
            if shape == Shape::Wild {
                bytes.iter_mut().step_by(3).for_each(|b| *b = b.wrapping_mul(77));
            }
            Value::Bytes(bytes)
        }
        SqlType::Decimal { scale, .. } => Value::Decimal { unscaled: number(ty, shape, row, random), scale },
        SqlType::Date => Value::Date(number(ty, shape, row, random) as i32),
        SqlType::Time { .. } => Value::Time(number(ty, shape, row, random) as i64),
        SqlType::DateTime { .. } => Value::DateTime(number(ty, shape, row, random) as i64),
        SqlType::Timestamp { .. } => Value::Timestamp(number(ty, shape, row, random) as i64),
        _ if ty.is_unsigned() => Value::UInt(number(ty, shape, row, random) as u64),
        _ => Value::Int(number(ty, shape, row, random) as i64),
    }
}

/// `nulls` of 100 rows are NULL.
pub fn column(ty: SqlType, shape: Shape, rows: usize, nulls: u64, random: &mut Random) -> Vec<Value> {
    (0..rows)
        .map(|row| if random.below(100) < nulls { Value::Null } else { value(ty, shape, row, random) })
        .collect()
}

pub fn array(ty: SqlType, values: &[Value]) -> ArrayRef {
    macro_rules! collect {
        ($array:ty, $($pattern:pat => $value:expr),+) => {
            Arc::new(values.iter().map(|v| match v {
                $($pattern => Some($value),)+
                _ => None,
            }).collect::<$array>()) as ArrayRef
        };
    }
    macro_rules! integers {
        ($ty:ty) => {
            Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Value::Int(v) => Some(*v as _),
                        Value::UInt(v) => Some(*v as _),
                        _ => None,
                    })
                    .collect::<arrow::array::PrimitiveArray<$ty>>(),
            ) as ArrayRef
        };
    }
    let made = match ty.arrow() {
        DataType::Int8 => integers!(dt::Int8Type),
        DataType::Int16 => integers!(dt::Int16Type),
        DataType::Int32 => integers!(dt::Int32Type),
        DataType::Int64 => integers!(dt::Int64Type),
        DataType::UInt8 => integers!(dt::UInt8Type),
        DataType::UInt16 => integers!(dt::UInt16Type),
        DataType::UInt32 => integers!(dt::UInt32Type),
        DataType::UInt64 => integers!(dt::UInt64Type),
        DataType::Decimal128(p, s) => {
            let numbers: Decimal128Array = values
                .iter()
                .map(|v| match v {
                    Value::Decimal { unscaled, .. } => Some(*unscaled),
                    _ => None,
                })
                .collect();
            Arc::new(numbers.with_precision_and_scale(p, s).unwrap())
        }
        DataType::Float32 => collect!(Float32Array, Value::Float(v) => *v),
        DataType::Float64 => collect!(Float64Array, Value::Double(v) => *v),
        DataType::Date32 => collect!(Date32Array, Value::Date(v) => *v),
        DataType::Duration(_) => collect!(DurationMicrosecondArray, Value::Time(v) => *v),
        DataType::Timestamp(_, zone) => {
            let stamps: TimestampMicrosecondArray = values
                .iter()
                .map(|v| match v {
                    Value::DateTime(v) | Value::Timestamp(v) => Some(*v),
                    _ => None,
                })
                .collect();
            Arc::new(stamps.with_timezone_opt(zone))
        }
        DataType::Utf8View => collect!(StringViewArray, Value::Text(v) => v.as_str()),
        DataType::BinaryView => collect!(BinaryViewArray, Value::Bytes(v) => v.as_slice()),
        other => unreachable!("{other}"),
    };
    assert_eq!(*made.data_type(), ty.arrow());
    made
}

pub fn values(ty: SqlType, array: &dyn Array) -> Vec<Value> {
    assert_eq!(*array.data_type(), ty.arrow());
    (0..array.len())
        .map(|row| {
            if array.is_null(row) {
                return Value::Null;
            }
            match array.data_type() {
                DataType::Int8 => Value::Int(array.as_primitive::<dt::Int8Type>().value(row).into()),
                DataType::Int16 => Value::Int(array.as_primitive::<dt::Int16Type>().value(row).into()),
                DataType::Int32 => Value::Int(array.as_primitive::<dt::Int32Type>().value(row).into()),
                DataType::Int64 => Value::Int(array.as_primitive::<dt::Int64Type>().value(row)),
                DataType::UInt8 => Value::UInt(array.as_primitive::<dt::UInt8Type>().value(row).into()),
                DataType::UInt16 => Value::UInt(array.as_primitive::<dt::UInt16Type>().value(row).into()),
                DataType::UInt32 => Value::UInt(array.as_primitive::<dt::UInt32Type>().value(row).into()),
                DataType::UInt64 => Value::UInt(array.as_primitive::<dt::UInt64Type>().value(row)),
                DataType::Decimal128(_, s) => Value::Decimal {
                    unscaled: array.as_primitive::<dt::Decimal128Type>().value(row),
                    scale: *s as u8,
                },
                DataType::Float32 => Value::Float(array.as_primitive::<dt::Float32Type>().value(row)),
                DataType::Float64 => Value::Double(array.as_primitive::<dt::Float64Type>().value(row)),
                DataType::Date32 => Value::Date(array.as_primitive::<dt::Date32Type>().value(row)),
                DataType::Duration(_) => {
                    Value::Time(array.as_primitive::<dt::DurationMicrosecondType>().value(row))
                }
                DataType::Timestamp(_, None) => {
                    Value::DateTime(array.as_primitive::<dt::TimestampMicrosecondType>().value(row))
                }
                DataType::Timestamp(..) => {
                    Value::Timestamp(array.as_primitive::<dt::TimestampMicrosecondType>().value(row))
                }
                DataType::Utf8View => Value::Text(array.as_string_view().value(row).to_string()),
                DataType::BinaryView => Value::Bytes(array.as_binary_view().value(row).to_vec()),
                other => unreachable!("{other}"),
            }
        })
        .collect()
}

/// Equal bit by bit: NaN equals itself, 0.0 is not -0.0.
pub fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

pub struct Table {
    pub def: TableDef,
    /// By column.
    pub columns: Vec<Vec<Value>>,
    pub batch: RecordBatch,
    pub folder: TempDir,
}

pub fn column_def(id: u32, ty: SqlType) -> ColumnDef {
    ColumnDef {
        id: ColumnId(id),
        name: format!("c{id}"),
        ty,
        nullable: true,
        default: ColumnDefault::None,
        auto_increment: false,
        initial: None,
        collation: types::Collation::default(),
        on_update_now: false,
        comment: String::new(),
    }
}

impl Table {
    /// Column ids count from 1.
    pub fn new(columns: Vec<(SqlType, Vec<Value>)>) -> Table {
        let def = TableDef {
            id: TableId(1),
            database: DatabaseId(1),
            name: "t".into(),
            version: 1,
            columns: columns.iter().enumerate().map(|(i, (ty, _))| column_def(i as u32 + 1, *ty)).collect(),
            next_column_id: ColumnId(100),
            shard_key: vec![],
            sort_key: vec![],
            primary_key: vec![],
            keys: vec![],
            collation: types::Collation::default(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            comment: String::new(),
            replacement: None,
            reference: false,
        };
        let mut table = Table {
            def,
            columns: Vec::new(),
            batch: RecordBatch::new_empty(Arc::new(Schema::empty())),
            folder: tempfile::tempdir().unwrap(),
        };
        table.fill(columns.into_iter().map(|(_, values)| values).collect());
        table
    }

    pub fn fill(&mut self, columns: Vec<Vec<Value>>) {
        let fields: Vec<_> = self.def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
        let arrays: Vec<ArrayRef> = self
            .def
            .columns
            .iter()
            .zip(&columns)
            .map(
                |(c, values)| {
                    if values.is_empty() { new_empty_array(&c.ty.arrow()) } else { array(c.ty, values) }
                },
            )
            .collect();
        self.batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        self.columns = columns;
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub fn ids(&self) -> Vec<ColumnId> {
        self.def.columns.iter().map(|c| c.id).collect()
    }

    pub fn write(&self, begin: BeginTimestamps<'_>) -> SegmentMeta {
        let path = self.folder.path().join("segment");
        let _ = std::fs::remove_file(&path);
        write_segment(&RealDisk, &path, 7, &self.def, &self.batch, begin).unwrap()
    }

    pub fn open(&self, meta: SegmentMeta) -> Segment {
        let pool = BufferPool::new(MemoryBudget::new(1 << 30), 1 << 29);
        Segment::open(&RealDisk, &self.folder.path().join("segment"), meta, pool).unwrap()
    }

    pub fn segment(&self) -> Segment {
        self.open(self.write(BeginTimestamps::All(Timestamp(5))))
    }

    pub fn value(&self, id: ColumnId, row: usize) -> &Value {
        &self.columns[self.def.position(id).unwrap()][row]
    }

    /// Whether a row passes, by the meaning of predicates.
    pub fn passes(&self, predicate: &Predicate, row: usize) -> bool {
        match predicate {
            Predicate::Compare { column, op, value } => {
                order(self.value(*column, row), value).is_some_and(|o| op.holds(o))
            }
            Predicate::In { column, values } => {
                values.iter().any(|v| order(self.value(*column, row), v).is_some_and(|o| o.is_eq()))
            }
            Predicate::Keys { column, keys } => self
                .value(*column, row)
                .to_physical(self.def.column(*column).unwrap().ty)
                .and_then(|value| number_of(&value))
                .is_some_and(|number| keys.contains(number as i64)),
            Predicate::IsNull(column) => self.value(*column, row).is_null(),
            Predicate::IsNotNull(column) => !self.value(*column, row).is_null(),
            Predicate::Columns { left, op, right } => {
                order(self.value(*left, row), self.value(*right, row)).is_some_and(|o| op.holds(o))
            }
            Predicate::Bytes { column, test, .. } => match self.value(*column, row) {
                Value::Text(text) => test.passes(text.as_bytes()),
                Value::Bytes(bytes) => test.passes(bytes),
                _ => false,
            },
            Predicate::Or(branches) => branches.iter().any(|b| b.iter().all(|p| self.passes(p, row))),
        }
    }
}

/// None for NULL and NaN.
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::UInt(a), Value::UInt(b)) => a.cmp(b),
        (Value::Decimal { unscaled: a, .. }, Value::Decimal { unscaled: b, .. }) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b)?,
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b)?,
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b))
        | (Value::DateTime(a), Value::DateTime(b))
        | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        _ => return None,
    })
}

const OPS: [Compare; 6] =
    [Compare::Eq, Compare::NotEq, Compare::Less, Compare::LessEq, Compare::Greater, Compare::GreaterEq];

/// A random predicate on the table's columns, with constants near its values.
pub fn predicate(table: &Table, shapes: &[Shape], depth: u32, random: &mut Random) -> Predicate {
    let at = random.below(table.def.columns.len() as u64) as usize;
    let (column, ty) = (table.def.columns[at].id, table.def.columns[at].ty);
    let constant = |random: &mut Random| {
        if table.rows() > 0 && random.below(3) > 0 {
            table.columns[at][random.below(table.rows() as u64) as usize].clone()
        } else {
            value(ty, shapes[at], random.below(200_000) as usize, random)
        }
    };
    match random.below(if depth == 0 { 9 } else { 10 }) {
        0..=4 => Predicate::Compare { column, op: *random.pick(&OPS), value: constant(random) },
        5 => {
            let count = random.below(12);
            Predicate::In { column, values: (0..count).map(|_| constant(random)).collect() }
        }
        6 => {
            if random.below(2) == 0 {
                Predicate::IsNull(column)
            } else {
                Predicate::IsNotNull(column)
            }
        }
        7 => {
            let same: Vec<ColumnId> = table.def.columns.iter().filter(|c| c.ty == ty).map(|c| c.id).collect();
            Predicate::Columns { left: column, op: *random.pick(&OPS), right: *random.pick(&same) }
        }
        8 => match table.def.columns.iter().find(|c| c.ty.physical() == types::Physical::Bytes) {
            Some(column) => {
                let modulus = random.below(5) as usize + 1;
                Predicate::Bytes {
                    column: column.id,
                    test: Arc::new(move |bytes: &[u8]| {
                        bytes.iter().map(|b| *b as usize).sum::<usize>() % modulus == 0
                    }),
                    label: format!("sums to a multiple of {modulus}"),
                }
            }
            None => Predicate::IsNotNull(column),
        },
        _ => {
            let branches = random.below(4);
            Predicate::Or(
                (0..branches)
                    .map(|_| {
                        let parts = random.below(3);
                        (0..parts).map(|_| predicate(table, shapes, depth - 1, random)).collect()
                    })
                    .collect(),
            )
        }
    }
}
