//! Group keys: from the vectors of a batch to the number of each row's group, and from groups back to
//! arrays.
//!
//! The key columns are packed side by side into one word. An integer takes the bits of its SQL type and
//! counts from the lowest value of that, a string takes 32 bits for its number among the strings seen,
//! a nullable column one bit more. Where all columns of a batch have few values (codes of a small
//! dictionary, integers in a narrow range), rows go through a small table from the combination of these
//! to the group, and no word is made for them.

use super::groups::{Groups, NONE, Strings, Word};
use arrow::array::{ArrayRef, AsArray, BinaryViewBuilder, StringViewBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;
use columnstore::encoding::dictionary::Dictionary;
use columnstore::vectors::Ints;
use columnstore::{Vector, Vectors};
use datafusion::common::{Result, internal_err};
use std::ops::Range;
use std::sync::Arc;
use types::{Physical, SqlType};

/// Combinations of a batch's values up to which they index a table.
const FEW: usize = 4_096;

/// What a key column is.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyColumn {
    /// Of the scan's columns, or of the evaluated expressions behind them.
    pub(super) column: usize,
    pub(super) ty: SqlType,
    pub(super) nullable: bool,
}

/// The place of a key column in the word.
struct Field {
    column: usize,
    ty: SqlType,
    nullable: bool,
    shift: u32,
    /// Bits of the value; the bit for NULL stands above them.
    width: u32,
    /// Subtracted from an integer.
    lowest: i64,
    /// Of a column of strings.
    strings: Option<Translated>,
}

#[derive(Default)]
struct Translated {
    strings: Strings,
    /// The dictionary met last, and the number of each of its entries that was met.
    dictionary: Option<(Arc<Dictionary>, Vec<u32>)>,
}

/// Bits and lowest value of a key column's type. `None`: it cannot be packed.
fn width(ty: SqlType) -> Option<(u32, i64)> {
    Some(match (ty.physical(), ty.arrow()) {
        (Physical::Bytes, _) => (32, 0),
        (Physical::I64, DataType::Int8) => (8, i64::from(i8::MIN)),
        (Physical::I64, DataType::Int16) => (16, i64::from(i16::MIN)),
        (Physical::I64, DataType::Int32 | DataType::Date32) => (32, i64::from(i32::MIN)),
        (Physical::I64, DataType::UInt8) => (8, 0),
        (Physical::I64, DataType::UInt16) => (16, 0),
        (Physical::I64, DataType::UInt32) => (32, 0),
        (Physical::I64, _) => (64, i64::MIN),
        _ => return None,
    })
}

/// Bits of the packed key; `None` if it has a column that cannot be packed.
pub(super) fn packed_bits(columns: &[KeyColumn]) -> Option<u32> {
    columns.iter().map(|column| Some(width(column.ty)?.0 + u32::from(column.nullable))).sum()
}

/// The groups of one task.
pub(super) struct Keys<W> {
    fields: Vec<Field>,
    groups: Groups<W>,
    words: Vec<W>,
    few: FewValues,
}

/// What the places of a key column's values depend on.
enum Shape {
    Dictionary(Arc<Dictionary>),
    Range { low: i64, values: usize },
}

impl Shape {
    fn values(&self) -> usize {
        match self {
            Shape::Dictionary(dictionary) => dictionary.len(),
            Shape::Range { values, .. } => *values,
        }
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        match (self, other) {
            (Shape::Dictionary(a), Shape::Dictionary(b)) => Arc::ptr_eq(a, b),
            (Shape::Range { low: a, values: m }, Shape::Range { low: b, values: n }) => (a, m) == (b, n),
            _ => false,
        }
    }
}

/// The table of combinations, as long as the batches are alike.
#[derive(Default)]
struct FewValues {
    shape: Vec<Shape>,
    next_shape: Vec<Shape>,
    /// Of a batch's combinations the groups, then NONE: indexed without a check of bounds.
    groups: Option<Box<[u32; FEW]>>,
    /// How many combinations there are.
    combinations: usize,
    places: Vec<u32>,
}

/// Key columns of a batch, in the order of the fields.
fn vector<'a>(field: &Field, vectors: &'a Vectors, evaluated: &'a [Vector]) -> Result<&'a Vector> {
    let scanned = vectors.columns();
    match scanned.get(field.column).or_else(|| evaluated.get(field.column - scanned.len())) {
        Some(vector) => Ok(vector),
        None => internal_err!("a group key's column {} is missing", field.column),
    }
}

impl<W: Word> Keys<W> {
    /// The columns' packed bits fit the word.
    pub(super) fn new(columns: &[KeyColumn]) -> Keys<W> {
        let mut shift = 0;
        let fields = columns
            .iter()
            .filter_map(|column| {
                let (width, lowest) = width(column.ty)?;
                let strings = (column.ty.physical() == Physical::Bytes).then(Translated::default);
                let KeyColumn { column, ty, nullable } = *column;
                let field = Field { column, ty, nullable, shift, width, lowest, strings };
                shift += width + u32::from(nullable);
                Some(field)
            })
            .collect();
        Keys { fields, groups: Groups::new(), words: Vec::new(), few: FewValues::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let strings = self.fields.iter().filter_map(|field| field.strings.as_ref());
        self.groups.bytes()
            + self.words.capacity() * size_of::<W>()
            + strings
                .map(|s| s.strings.bytes() + s.dictionary.as_ref().map_or(0, |d| d.1.len() * 4))
                .sum::<usize>()
    }

    /// The group of each row, into `ids`, which is cleared first.
    pub(super) fn find(&mut self, vectors: &Vectors, evaluated: &[Vector], ids: &mut Vec<u32>) -> Result<()> {
        for field in &self.fields {
            if !field.nullable
                && vector(field, vectors, evaluated)?.nulls().is_some_and(|n| n.null_count() > 0)
            {
                return internal_err!("a group key that is never NULL is NULL");
            }
        }
        if self.has_few_values(vectors, evaluated)? {
            return self.find_by_values(vectors, evaluated, ids);
        }
        self.words.clear();
        self.words.resize(vectors.rows(), W::default());
        for field in &mut self.fields {
            let vector = vector(field, vectors, evaluated)?;
            field.pack(vector, &mut self.words)?;
        }
        self.groups.find_all(&self.words, ids);
        Ok(())
    }

    /// Whether the batch's values can index a table; sets the table up for them.
    fn has_few_values(&mut self, vectors: &Vectors, evaluated: &[Vector]) -> Result<bool> {
        let few = &mut self.few;
        few.next_shape.clear();
        let mut combinations = 1usize;
        for field in &self.fields {
            let shape = match vector(field, vectors, evaluated)? {
                Vector::Codes(codes) => Shape::Dictionary(codes.dictionary.clone()),
                Vector::Ints(ints) => match ints.high.checked_sub(ints.low) {
                    Some(span @ 0..4_096) => Shape::Range { low: ints.low, values: span as usize + 1 },
                    _ => return Ok(false),
                },
                Vector::Array(_) => return Ok(false),
            };
            // One value more stands for NULL.
            combinations = combinations.saturating_mul(shape.values() + 1);
            few.next_shape.push(shape);
        }
        if combinations > FEW {
            return Ok(false);
        }
        if few.next_shape != few.shape || few.combinations != combinations {
            std::mem::swap(&mut few.shape, &mut few.next_shape);
            few.combinations = combinations;
            few.groups.get_or_insert_with(|| Box::new([NONE; FEW])).fill(NONE);
        }
        Ok(true)
    }

    fn find_by_values(&mut self, vectors: &Vectors, evaluated: &[Vector], ids: &mut Vec<u32>) -> Result<()> {
        let FewValues { shape, groups, combinations, places, .. } = &mut self.few;
        let table = groups.get_or_insert_with(|| Box::new([NONE; FEW]));
        places.clear();
        let mut stride = 1u32;
        for (field, shape) in self.fields.iter().zip(shape.iter()) {
            let null = shape.values() as u32;
            match vector(field, vectors, evaluated)? {
                Vector::Codes(codes) => {
                    add_places(places, stride, null, codes.nulls.as_ref(), &codes.codes, |code| code);
                }
                Vector::Ints(ints) => {
                    let low = ints.low;
                    let place = |value: i64| value.wrapping_sub(low) as u32;
                    add_places(places, stride, null, ints.nulls.as_ref(), &ints.values, place);
                }
                Vector::Array(_) => return internal_err!("an array has no few values"),
            }
            stride *= null + 1;
        }
        ids.clear();
        // A value out of its range, which no writer makes, has no place: then NONE is as good as any group.
        let last = places.iter().fold(0, |last, place| last.max(*place)) as usize;
        let are_places = last < *combinations;
        let known = |place: &u32| if are_places { table[*place as usize % FEW] } else { NONE };
        ids.extend(places.iter().map(known));
        if ids.iter().fold(0, |last, id| last.max(*id)) != NONE {
            return Ok(());
        }
        for (row, (place, id)) in places.iter().zip(ids.iter_mut()).enumerate() {
            if *id != NONE {
                continue;
            }
            let met = table.get(*place as usize).copied().filter(|met| *met != NONE && are_places);
            *id = match met {
                Some(met) => met,
                None => {
                    let mut word = W::default();
                    for field in &mut self.fields {
                        let vector = vector(field, vectors, evaluated)?;
                        word = word.or(field.pack_one(vector, row)?);
                    }
                    self.groups.find(word)
                }
            };
            if are_places {
                table[*place as usize % FEW] = *id;
            }
        }
        Ok(())
    }

    /// The key columns of some groups.
    pub(super) fn arrays(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        if self.fields.is_empty() {
            return Ok(Vec::new());
        }
        let words = &self.groups.words()[groups];
        self.fields.iter().map(|field| field.array(words)).collect()
    }
}

/// Adds `stride` times each row's place among a column's values; the first column finds no places yet.
fn add_places<T: Copy>(
    places: &mut Vec<u32>,
    stride: u32,
    null: u32,
    nulls: Option<&NullBuffer>,
    values: &[T],
    place: impl Fn(T) -> u32,
) {
    let Some(nulls) = nulls else {
        if places.is_empty() {
            places.extend(values.iter().map(|value| place(*value).wrapping_mul(stride)));
        } else {
            for (to, value) in places.iter_mut().zip(values) {
                *to = to.wrapping_add(place(*value).wrapping_mul(stride));
            }
        }
        return;
    };
    places.resize(values.len(), 0);
    for (row, (to, value)) in places.iter_mut().zip(values).enumerate() {
        let place = if nulls.is_null(row) { null } else { place(*value) };
        *to = to.wrapping_add(place.wrapping_mul(stride));
    }
}

impl Translated {
    /// The number of a dictionary's entry.
    #[inline]
    fn entry(&mut self, dictionary: &Arc<Dictionary>, code: u32) -> u32 {
        if self.dictionary.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, dictionary)) {
            self.dictionary = Some((dictionary.clone(), vec![NONE; dictionary.len()]));
        }
        let known = match &mut self.dictionary {
            Some((_, numbers)) => numbers.get_mut(code as usize),
            None => None,
        };
        match known {
            Some(number) if *number != NONE => *number,
            Some(number) => {
                *number = self.strings.find(dictionary.get(code as usize));
                *number
            }
            None => self.strings.find(&[]),
        }
    }

    fn text(&mut self, array: &ArrayRef, row: usize) -> Result<u32> {
        Ok(match array.data_type() {
            DataType::Utf8View => self.strings.find(array.as_string_view().value(row).as_bytes()),
            DataType::BinaryView => self.strings.find(array.as_binary_view().value(row)),
            other => return internal_err!("a group key of strings came as {other}"),
        })
    }
}

impl Field {
    fn null<W: Word>(&self) -> W {
        W::of(1, self.shift + self.width)
    }

    /// Adds the column's bits to each row's word.
    fn pack<W: Word>(&mut self, vector: &Vector, words: &mut [W]) -> Result<()> {
        let (shift, null) = (self.shift, self.null::<W>());
        let nulls = vector.nulls().filter(|nulls| nulls.null_count() > 0);
        match (vector, &mut self.strings) {
            (Vector::Ints(ints), None) => {
                let lowest = self.lowest;
                match nulls {
                    None => {
                        for (word, value) in words.iter_mut().zip(&ints.values) {
                            *word = word.or(W::of(value.wrapping_sub(lowest) as u64, shift));
                        }
                    }
                    Some(nulls) => {
                        for (row, (word, value)) in words.iter_mut().zip(&ints.values).enumerate() {
                            let bits = W::of(value.wrapping_sub(lowest) as u64, shift);
                            *word = word.or(if nulls.is_null(row) { null } else { bits });
                        }
                    }
                }
            }
            (Vector::Codes(codes), Some(strings)) => {
                for (row, code) in codes.codes.iter().enumerate() {
                    let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
                    words[row] = words[row].or(match is_null {
                        true => null,
                        false => W::of(strings.entry(&codes.dictionary, *code).into(), shift),
                    });
                }
            }
            (Vector::Array(array), Some(strings)) => {
                for (row, word) in words.iter_mut().enumerate() {
                    let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
                    *word = word.or(match is_null {
                        true => null,
                        false => W::of(strings.text(array, row)?.into(), shift),
                    });
                }
            }
            _ => return internal_err!("a group key of type {} came in another form", self.ty),
        }
        Ok(())
    }

    /// The column's bits of one row.
    fn pack_one<W: Word>(&mut self, vector: &Vector, row: usize) -> Result<W> {
        if vector.nulls().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(self.null());
        }
        let bits = match (vector, &mut self.strings) {
            (Vector::Ints(ints), None) => ints.values[row].wrapping_sub(self.lowest) as u64,
            (Vector::Codes(codes), Some(strings)) => {
                strings.entry(&codes.dictionary, codes.codes[row]).into()
            }
            (Vector::Array(array), Some(strings)) => strings.text(array, row)?.into(),
            _ => return internal_err!("a group key of type {} came in another form", self.ty),
        };
        Ok(W::of(bits, self.shift))
    }

    /// The column's values in these words.
    fn array<W: Word>(&self, words: &[W]) -> Result<ArrayRef> {
        let is_null = |word: &W| self.nullable && word.bits(self.shift + self.width, 1) == 1;
        let bits = |word: &W| word.bits(self.shift, self.width);
        let Some(translated) = &self.strings else {
            let nulls = nulls(words.iter().map(is_null), self.nullable);
            let values = words.iter().map(|word| (bits(word) as i64).wrapping_add(self.lowest)).collect();
            let ints = Ints { values, nulls, low: i64::MIN, high: i64::MAX };
            return Vector::Ints(ints).to_array(self.ty).map_err(crate::scan::from_store_error);
        };
        if self.ty.is_string() {
            let mut builder = StringViewBuilder::with_capacity(words.len());
            for word in words {
                if is_null(word) {
                    builder.append_null();
                    continue;
                }
                match std::str::from_utf8(translated.strings.get(bits(word) as u32)) {
                    Ok(text) => builder.append_value(text),
                    Err(_) => return internal_err!("a string of a group key is not UTF-8"),
                }
            }
            return Ok(Arc::new(builder.finish()));
        }
        let mut builder = BinaryViewBuilder::with_capacity(words.len());
        for word in words {
            if is_null(word) {
                builder.append_null();
            } else {
                builder.append_value(translated.strings.get(bits(word) as u32));
            }
        }
        Ok(Arc::new(builder.finish()))
    }
}

fn nulls(null: impl Iterator<Item = bool>, nullable: bool) -> Option<NullBuffer> {
    if !nullable {
        return None;
    }
    let nulls = NullBuffer::new(BooleanBuffer::from_iter(null.map(|null| !null)));
    (nulls.null_count() > 0).then_some(nulls)
}
