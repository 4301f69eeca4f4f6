//! One column of one block, loaded: reads of rows, and Arrow arrays of the rows that a scan kept.

use crate::StoreError;
use crate::encoding::VECTOR;
use crate::encoding::bits::{self, Bits};
use crate::encoding::bytes::BytesBlock;
use crate::encoding::dictionary::Dictionary;
use crate::encoding::fixed::{FixedBits, FixedBlock, FixedKind};
use crate::encoding::fsst::{FsstBlock, SymbolTable};
use crate::encoding::ints::{IntBlock, Target};
use crate::vectors::Vector;
use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanBufferBuilder, PrimitiveArray, StringViewArray, make_view,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{self as dt, DataType};
use std::ops::Range;
use std::sync::Arc;
use types::{Physical, SqlType};

#[derive(Debug, Clone)]
pub(crate) enum BlockColumn {
    /// All rows are NULL.
    Null,
    Ints(Arc<IntBlock>),
    Fixed(Arc<FixedBlock>),
    Strings(Arc<BytesBlock>),
    Codes(Arc<IntBlock>, Arc<Dictionary>),
    Fsst(Arc<FsstBlock>, Arc<SymbolTable>),
}

impl BlockColumn {
    /// None: no row is NULL, or (for `Null`) all are.
    pub fn validity(&self) -> Option<&BooleanBuffer> {
        match self {
            BlockColumn::Null => None,
            BlockColumn::Ints(block) | BlockColumn::Codes(block, _) => block.validity(),
            BlockColumn::Fixed(block) => block.validity(),
            BlockColumn::Strings(block) => block.validity(),
            BlockColumn::Fsst(block, _) => block.validity(),
        }
    }

    pub fn is_valid(&self, row: usize) -> bool {
        match self {
            BlockColumn::Null => false,
            BlockColumn::Ints(block) | BlockColumn::Codes(block, _) => block.is_valid(row),
            BlockColumn::Fixed(block) => block.is_valid(row),
            BlockColumn::Strings(block) => block.is_valid(row),
            BlockColumn::Fsst(block, _) => block.is_valid(row),
        }
    }

    /// Keeps of `selected`, rows of a vector, those that are not NULL.
    pub fn keep_valid(&self, vector: usize, selected: &mut Bits) {
        match self.validity() {
            Some(validity) => bits::and(selected, &bits::load(validity, vector * VECTOR, VECTOR)),
            None if matches!(self, BlockColumn::Null) => *selected = bits::NONE,
            None => {}
        }
    }

    /// The number by which a row that is not NULL compares; 0 for strings.
    pub fn number(&self, row: usize) -> i128 {
        match self {
            BlockColumn::Ints(block) => block.get(row).into(),
            BlockColumn::Fixed(block) => block.key(row),
            BlockColumn::Null | BlockColumn::Strings(_) | BlockColumn::Codes(..) | BlockColumn::Fsst(..) => 0,
        }
    }

    /// The string of a row that is not NULL; empty for numbers. `scratch` is for what has to be decoded.
    pub fn string<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            BlockColumn::Strings(block) => block.get(row),
            BlockColumn::Fsst(block, table) => {
                scratch.clear();
                block.append(row, table, scratch);
                scratch
            }
            BlockColumn::Codes(codes, dictionary) => dictionary.get(codes.get(row) as usize),
            BlockColumn::Null | BlockColumn::Ints(_) | BlockColumn::Fixed(_) => &[],
        }
    }
}

/// Rows of a block that a scan yields in one batch, by vectors.
#[derive(Default)]
pub(super) struct Chunk {
    groups: Vec<Group>,
    /// Rows within their vector, of the groups that are not whole.
    indices: Vec<u16>,
    /// The same as runs (first row, length), of those groups that lack few rows.
    runs: Vec<(u16, u16)>,
    rows: usize,
}

struct Group {
    vector: usize,
    count: usize,
    /// Where its rows stand in `indices`; None: the vector's first `count` rows.
    from: Option<usize>,
    /// Where they stand in `runs`, if they do.
    runs: Range<usize>,
}

/// A vector of which at most one row in so many is missing is read by runs.
const DENSE: usize = 8;

impl Chunk {
    pub fn clear(&mut self) {
        self.groups.clear();
        self.indices.clear();
        self.runs.clear();
        self.rows = 0;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the selected ones, `count` many, of the `vector_rows` rows of a vector.
    pub fn push(&mut self, vector: usize, vector_rows: usize, selected: &Bits, count: usize) {
        let from = (count < vector_rows).then(|| {
            let from = self.indices.len();
            bits::for_each(selected, |row| self.indices.push(row as u16));
            from
        });
        let first_run = self.runs.len();
        if from.is_some() && (vector_rows - count) * DENSE <= vector_rows {
            bits::for_each_run(selected, |first, length| self.runs.push((first as u16, length as u16)));
        }
        self.groups.push(Group { vector, count, from, runs: first_run..self.runs.len() });
        self.rows += count;
    }

    /// Calls `whole(vector, count)` or `some(vector, rows)` for each vector in turn.
    fn each<C>(
        &self,
        to: &mut C,
        whole: impl Fn(&mut C, usize, usize),
        some: impl Fn(&mut C, usize, &[u16]),
    ) {
        for group in &self.groups {
            match group.from {
                None => whole(to, group.vector, group.count),
                Some(from) => some(to, group.vector, &self.indices[from..from + group.count]),
            }
        }
    }

    /// Appends the chunk's values of a block of integers.
    fn append<T: Target>(&self, block: &IntBlock, bias: i64, to: &mut Vec<T>) {
        for group in &self.groups {
            match group.from {
                None => block.extend(group.vector, 0, group.count, bias, to),
                Some(_) if !group.runs.is_empty() => {
                    block.extend_runs(group.vector, &self.runs[group.runs.clone()], bias, to);
                }
                Some(from) => {
                    block.gather(group.vector, &self.indices[from..from + group.count], bias, to);
                }
            }
        }
    }

    /// The numbers, within the block, of all rows.
    pub fn row_numbers(&self, mut visit: impl FnMut(usize)) {
        for group in &self.groups {
            let start = group.vector * VECTOR;
            match group.from {
                None => (start..start + group.count).for_each(&mut visit),
                Some(from) => {
                    self.indices[from..from + group.count]
                        .iter()
                        .for_each(|row| visit(start + usize::from(*row)));
                }
            }
        }
    }

    fn nulls(&self, validity: Option<&BooleanBuffer>) -> Option<NullBuffer> {
        let validity = validity?;
        let mut builder = BooleanBufferBuilder::new(self.rows);
        self.each(
            &mut builder,
            |to, vector, count| to.append_buffer(&validity.slice(vector * VECTOR, count)),
            |to, vector, rows| {
                rows.iter().for_each(|row| to.append(validity.value(vector * VECTOR + usize::from(*row))));
            },
        );
        let nulls = NullBuffer::new(builder.finish());
        (nulls.null_count() > 0).then_some(nulls)
    }

    fn ints<T: Target>(&self, block: &IntBlock, bias: i64) -> Vec<T> {
        let mut values = Vec::with_capacity(self.rows);
        self.append(block, bias, &mut values);
        values
    }

    fn fixed<T: FixedBits>(&self, block: &FixedBlock) -> Buffer {
        let mut values: Vec<T> = Vec::with_capacity(self.rows);
        self.each(
            &mut values,
            |to, vector, count| block.extend(vector, 0, count, to),
            |to, vector, rows| block.gather(vector, rows, to),
        );
        Buffer::from_vec(values)
    }

    /// The column's values in the chunk's rows, as `ty`'s Arrow array.
    pub fn array(&self, column: &BlockColumn, ty: SqlType) -> Result<ArrayRef, StoreError> {
        let nulls = self.nulls(column.validity());
        match column {
            BlockColumn::Null => Ok(new_null_array(&ty.arrow(), self.rows)),
            BlockColumn::Ints(block) => {
                let form = IntForm::of(ty);
                let values = match form.bytes {
                    1 => Buffer::from_vec(self.ints::<u8>(block, 0)),
                    2 => Buffer::from_vec(self.ints::<u16>(block, 0)),
                    4 => Buffer::from_vec(self.ints::<u32>(block, 0)),
                    8 => Buffer::from_vec(self.ints::<u64>(block, form.bias)),
                    _ => Buffer::from_vec(self.ints::<i128>(block, 0)),
                };
                primitive(ty, self.rows, values, nulls)
            }
            BlockColumn::Fixed(block) => {
                let values = match block.kind() {
                    FixedKind::F32 => self.fixed::<f32>(block),
                    FixedKind::F64 => self.fixed::<f64>(block),
                    FixedKind::I128 => self.fixed::<i128>(block),
                };
                primitive(ty, self.rows, values, nulls)
            }
            BlockColumn::Codes(codes, dictionary) => {
                let mut state = (Vec::with_capacity(self.rows), Vec::<u32>::with_capacity(VECTOR));
                fn look_up(views: &[u128], (to, codes): &mut (Vec<u128>, Vec<u32>)) {
                    // A code out of range, which no writer makes, gives the empty string.
                    to.extend(codes.iter().map(|code| views.get(*code as usize).copied().unwrap_or(0)));
                    codes.clear();
                }
                self.each(
                    &mut state,
                    |state, vector, count| {
                        codes.extend(vector, 0, count, 0, &mut state.1);
                        look_up(dictionary.views(), state);
                    },
                    |state, vector, rows| {
                        codes.gather(vector, rows, 0, &mut state.1);
                        look_up(dictionary.views(), state);
                    },
                );
                Ok(views(ty, state.0, vec![dictionary.data().clone()], nulls))
            }
            BlockColumn::Strings(block) => Ok(self.strings(block, ty, nulls)),
            BlockColumn::Fsst(block, table) => Ok(self.decoded(block, table, ty, nulls)),
        }
    }

    /// The same of few rows, which may be kept or sent: its strings hold on to no block and no dictionary.
    pub fn own_array(&self, column: &BlockColumn, ty: SqlType) -> Result<ArrayRef, StoreError> {
        let mut copied = CopiedStrings::with_capacity(self.rows, 0);
        match column {
            BlockColumn::Codes(codes, dictionary) => {
                let codes: Vec<u32> = self.ints(codes, 0);
                codes.iter().for_each(|code| copied.push(dictionary.get(*code as usize)));
            }
            BlockColumn::Strings(block) => {
                let data = block.data();
                let spans = self.spans(block);
                spans.iter().for_each(|span| copied.push(&data[span.0 as usize..span.1 as usize]));
            }
            _ => return self.array(column, ty),
        }
        Ok(copied.finish(ty, self.nulls(column.validity())))
    }

    /// The column's values in the chunk's rows, as near to their stored form as vectors are. `range`:
    /// the lowest and greatest number of the block.
    pub fn vector(
        &self,
        column: &BlockColumn,
        ty: SqlType,
        range: Option<(i64, i64)>,
        to: &mut Vector,
    ) -> Result<(), StoreError> {
        match (column, range) {
            (BlockColumn::Ints(block), Some((low, high))) => {
                self.append(block, 0, to.start_ints(self.nulls(column.validity()), low, high));
            }
            (BlockColumn::Codes(block, dictionary), _) => {
                self.append(block, 0, to.start_codes(self.nulls(column.validity()), dictionary));
            }
            (BlockColumn::Null, _) if ty.physical() == Physical::I64 => {
                let nulls = NullBuffer::new_null(self.rows);
                to.start_ints(Some(nulls), 0, 0).resize(self.rows, 0);
            }
            _ => *to = Vector::Array(self.array(column, ty)?),
        }
        Ok(())
    }

    fn decoded(
        &self,
        block: &FsstBlock,
        table: &SymbolTable,
        ty: SqlType,
        nulls: Option<NullBuffer>,
    ) -> ArrayRef {
        let longest = self.groups.iter().map(|group| block.longest(group.vector)).sum::<usize>();
        if longest > CopiedStrings::FULL {
            let mut copied = CopiedStrings::with_capacity(self.rows, 0);
            let mut scratch = Vec::new();
            self.row_numbers(|row| {
                scratch.clear();
                block.append(row, table, &mut scratch);
                copied.push(&scratch);
            });
            return copied.finish(ty, nulls);
        }
        let mut to = Decoded::default();
        self.each(
            &mut to,
            |to, vector, count| block.extend(vector, count, table, &mut to.bytes, &mut to.ends),
            |to, vector, rows| block.gather(vector, rows, table, &mut to.bytes, &mut to.ends),
        );
        let mut from = 0;
        let made = to.ends.iter().map(|&end| {
            let view = crate::encoding::bytes::view(&to.bytes, from, end);
            from = end;
            view
        });
        let made = made.collect();
        views(ty, made, vec![Buffer::from_vec(to.bytes)], nulls)
    }

    /// Where the strings of the chunk's rows stand in their block.
    fn spans(&self, block: &BytesBlock) -> Vec<(u32, u32)> {
        let mut spans = Vec::with_capacity(self.rows);
        self.each(
            &mut spans,
            |to, vector, count| {
                let rows: Vec<u16> = (0..count as u16).collect();
                block.spans(vector, &rows, to);
            },
            |to, vector, rows| block.spans(vector, rows, to),
        );
        spans
    }

    fn strings(&self, block: &BytesBlock, ty: SqlType, nulls: Option<NullBuffer>) -> ArrayRef {
        if self.groups.iter().all(|group| group.from.is_none()) {
            let mut made = Vec::with_capacity(self.rows);
            self.each(&mut made, |to, vector, count| block.views(vector, 0, count, to), |_, _, _| {});
            return views(ty, made, vec![block.data().clone()], nulls);
        }
        let spans = self.spans(block);
        let data = block.data();
        let kept: usize = spans.iter().map(|span| (span.1 - span.0) as usize).sum();
        if kept < data.len() / 8 {
            // Few rows do not hold on to the whole block.
            let mut copied = CopiedStrings::with_capacity(self.rows, kept);
            spans.iter().for_each(|span| copied.push(&data[span.0 as usize..span.1 as usize]));
            return copied.finish(ty, nulls);
        }
        let made = spans.iter().map(|span| crate::encoding::bytes::view(data, span.0, span.1)).collect();
        views(ty, made, vec![data.clone()], nulls)
    }
}

/// The buffers of decoded strings under construction.
#[derive(Default)]
struct Decoded {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// How integers of a type stand in its Arrow array.
struct IntForm {
    bytes: usize,
    /// Added to the physical value, wrapping.
    bias: i64,
}

impl IntForm {
    fn of(ty: SqlType) -> IntForm {
        let bytes = match ty.arrow() {
            DataType::Int8 | DataType::UInt8 => 1,
            DataType::Int16 | DataType::UInt16 => 2,
            DataType::Int32 | DataType::UInt32 | DataType::Date32 => 4,
            DataType::Decimal128(..) => 16,
            _ => 8,
        };
        // Adding the top bit flips it.
        IntForm { bytes, bias: if ty.is_flipped() { i64::MIN } else { 0 } }
    }
}

/// Physical 64-bit integers as `ty`'s Arrow array.
pub(crate) fn int_array(
    ty: SqlType,
    values: &[i64],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, StoreError> {
    let form = IntForm::of(ty);
    fn cut<T: Target>(values: &[i64], bias: i64) -> Buffer {
        Buffer::from_vec(values.iter().map(|v| T::of(v.wrapping_add(bias) as u64)).collect::<Vec<T>>())
    }
    let bytes = match form.bytes {
        1 => cut::<u8>(values, 0),
        2 => cut::<u16>(values, 0),
        4 => cut::<u32>(values, 0),
        8 => cut::<u64>(values, form.bias),
        _ => cut::<i128>(values, 0),
    };
    primitive(ty, values.len(), bytes, nulls)
}

/// Codes of a dictionary as an array of its entries. A code out of range, which no writer makes, gives
/// the empty string.
pub(crate) fn code_array(
    ty: SqlType,
    codes: &[u32],
    dictionary: &Dictionary,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let made = codes.iter().map(|code| dictionary.view(*code as usize)).collect();
    views(ty, made, vec![dictionary.data().clone()], nulls)
}

/// An array of fixed-width values. `values` are of the width of the type's Arrow form.
fn primitive(
    ty: SqlType,
    rows: usize,
    values: Buffer,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, StoreError> {
    macro_rules! array {
        ($ty:ty) => {
            PrimitiveArray::<$ty>::try_new(ScalarBuffer::new(values, 0, rows), nulls)?
        };
    }
    let data_type = ty.arrow();
    Ok(match data_type {
        DataType::Int8 => Arc::new(array!(dt::Int8Type)),
        DataType::Int16 => Arc::new(array!(dt::Int16Type)),
        DataType::Int32 => Arc::new(array!(dt::Int32Type)),
        DataType::Int64 => Arc::new(array!(dt::Int64Type)),
        DataType::UInt8 => Arc::new(array!(dt::UInt8Type)),
        DataType::UInt16 => Arc::new(array!(dt::UInt16Type)),
        DataType::UInt32 => Arc::new(array!(dt::UInt32Type)),
        DataType::UInt64 => Arc::new(array!(dt::UInt64Type)),
        DataType::Float32 => Arc::new(array!(dt::Float32Type)),
        DataType::Float64 => Arc::new(array!(dt::Float64Type)),
        DataType::Date32 => Arc::new(array!(dt::Date32Type)),
        DataType::Decimal128(..) => Arc::new(array!(dt::Decimal128Type).with_data_type(data_type)),
        DataType::Duration(_) => Arc::new(array!(dt::DurationMicrosecondType)),
        DataType::Timestamp(..) => Arc::new(array!(dt::TimestampMicrosecondType).with_data_type(data_type)),
        other => return Err(StoreError::internal(format_args!("no fixed-width form of {other}"))),
    })
}

/// A view array. `made` are views into `buffers` of values that, for a text type, are UTF-8.
fn views(ty: SqlType, made: Vec<u128>, buffers: Vec<Buffer>, nulls: Option<NullBuffer>) -> ArrayRef {
    let made = ScalarBuffer::from(made);
    if ty.is_string() {
        // SAFETY: every view was made from a range of its buffer that was checked when the block was
        // loaded (or is inline), and blocks of text columns were checked to be UTF-8 then.
        Arc::new(unsafe { StringViewArray::new_unchecked(made, buffers, nulls) })
    } else {
        // SAFETY: as above; binary values may be any bytes.
        Arc::new(unsafe { BinaryViewArray::new_unchecked(made, buffers, nulls) })
    }
}

/// Strings copied out of their blocks.
struct CopiedStrings {
    views: Vec<u128>,
    full: Vec<Buffer>,
    bytes: Vec<u8>,
}

impl CopiedStrings {
    /// Bytes after which another buffer begins: views have 32-bit offsets.
    const FULL: usize = 1 << 30;

    fn with_capacity(rows: usize, bytes: usize) -> CopiedStrings {
        CopiedStrings { views: Vec::with_capacity(rows), full: Vec::new(), bytes: Vec::with_capacity(bytes) }
    }

    fn push(&mut self, value: &[u8]) {
        if value.len() > 12 && !self.bytes.is_empty() && self.bytes.len() + value.len() > Self::FULL {
            self.full.push(Buffer::from_vec(std::mem::take(&mut self.bytes)));
        }
        self.views.push(make_view(value, self.full.len() as u32, self.bytes.len() as u32));
        if value.len() > 12 {
            self.bytes.extend_from_slice(value);
        }
    }

    fn finish(mut self, ty: SqlType, nulls: Option<NullBuffer>) -> ArrayRef {
        if !self.bytes.is_empty() {
            self.full.push(Buffer::from_vec(self.bytes));
        }
        views(ty, self.views, self.full, nulls)
    }
}

/// Values of rows in any order, taken one by one from any block of a column. `at` gives, for each
/// row, its block and its row within.
pub(super) fn gather<'a>(
    ty: SqlType,
    rows: usize,
    at: impl Iterator<Item = (&'a BlockColumn, usize)>,
) -> Result<ArrayRef, StoreError> {
    let mut valid = Validity { bits: None, rows, at: 0 };
    match ty.physical() {
        Physical::Bytes => {
            let mut copied = CopiedStrings::with_capacity(rows, 0);
            let mut scratch = Vec::new();
            for (column, row) in at {
                copied.push(if valid.push(column, row) { column.string(row, &mut scratch) } else { &[] });
            }
            Ok(copied.finish(ty, valid.finish()))
        }
        Physical::F32 | Physical::F64 | Physical::I128 => {
            macro_rules! values {
                ($T:ty, $zero:expr) => {{
                    let mut values: Vec<$T> = Vec::with_capacity(rows);
                    for (column, row) in at {
                        match column {
                            _ if !valid.push(column, row) => values.push($zero),
                            BlockColumn::Fixed(block) => {
                                block.gather::<$T>(row / VECTOR, &[(row % VECTOR) as u16], &mut values);
                            }
                            other => values.push(<$T as OfNumber>::of_number(other.number(row))),
                        }
                    }
                    Buffer::from_vec(values)
                }};
            }
            let values = match ty.physical() {
                Physical::F32 => values!(f32, 0.0),
                Physical::F64 => values!(f64, 0.0),
                _ => values!(i128, 0),
            };
            primitive(ty, rows, values, valid.finish())
        }
        Physical::I64 => {
            let form = IntForm::of(ty);
            macro_rules! values {
                ($T:ty) => {{
                    let mut values: Vec<$T> = Vec::with_capacity(rows);
                    for (column, row) in at {
                        let value = match column {
                            BlockColumn::Ints(block) if valid.push(column, row) => block.get(row),
                            BlockColumn::Ints(_) => 0,
                            // Invariant: a column of this physical type is integers or NULL.
                            _ => {
                                valid.push(column, row);
                                0
                            }
                        };
                        values.push(<$T as Target>::of(value.wrapping_add(form.bias) as u64));
                    }
                    Buffer::from_vec(values)
                }};
            }
            let values = match form.bytes {
                1 => values!(u8),
                2 => values!(u16),
                4 => values!(u32),
                8 => values!(u64),
                _ => values!(i128),
            };
            primitive(ty, rows, values, valid.finish())
        }
    }
}

/// A 128-bit column's block may be packed integers; a float column's is never.
trait OfNumber {
    fn of_number(number: i128) -> Self;
}

impl OfNumber for i128 {
    fn of_number(number: i128) -> i128 {
        number
    }
}

impl OfNumber for f64 {
    fn of_number(number: i128) -> f64 {
        number as f64
    }
}

impl OfNumber for f32 {
    fn of_number(number: i128) -> f32 {
        number as f32
    }
}

/// A validity bitmap that comes into being with the first NULL.
struct Validity {
    bits: Option<BooleanBufferBuilder>,
    rows: usize,
    at: usize,
}

impl Validity {
    fn push(&mut self, column: &BlockColumn, row: usize) -> bool {
        let valid = column.is_valid(row);
        if !valid && self.bits.is_none() {
            let mut bits = BooleanBufferBuilder::new(self.rows);
            bits.append_n(self.at, true);
            self.bits = Some(bits);
        }
        if let Some(bits) = &mut self.bits {
            bits.append(valid);
        }
        self.at += 1;
        valid
    }

    fn finish(self) -> Option<NullBuffer> {
        self.bits.map(|mut bits| NullBuffer::new(bits.finish()))
    }
}
