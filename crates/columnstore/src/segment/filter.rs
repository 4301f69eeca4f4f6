//! Conditions evaluated on encoded blocks, a vector at a time.
//!
//! What zone maps decide is never looked at. A column is loaded when the first row must be looked
//! at. The parts of a conjunction run on the rows that the parts before left; the order is by what
//! the first two vectors showed: rows dropped for the effort.

use super::block::BlockColumn;
use crate::encoding::VECTOR;
use crate::encoding::bits::{self, Bits};
use crate::encoding::fsst::{FsstBlock, SymbolTable};
use crate::encoding::ints::{IntBlock, IntTest};
use crate::encoding::key_set::KeySet;
use crate::encoding::ranges::{Ranges, float_bounds};
use crate::encoding::string_test::{StringTest, all_pass};
use crate::filter::condition::{Condition, Known};
use crate::filter::keep_compared;
use crate::{Compare, StoreError};
use std::sync::Arc;
use types::{ColumnId, Physical, SqlType};

/// The columns of one block, as a filter sees them.
pub(super) trait Source {
    fn known(&self, column: ColumnId) -> Option<Known<'_>>;
    fn load(&self, column: ColumnId) -> Result<BlockColumn, StoreError>;
    fn ty(&self, column: ColumnId) -> Result<SqlType, StoreError>;
}

/// A condition on its way to being bound to a block.
pub(super) enum Node {
    Pass,
    Fail,
    /// Not bound yet: its columns are not loaded.
    Open(Condition),
    Ints {
        block: Arc<IntBlock>,
        test: IntTest,
    },
    /// Keys in integers.
    Keys {
        block: Arc<IntBlock>,
        keys: Arc<KeySet>,
    },
    /// Numbers of other forms.
    Numbers {
        column: BlockColumn,
        set: Ranges,
    },
    Strings {
        column: BlockColumn,
        tests: Vec<StringTest>,
    },
    /// Strings in codes of a symbol table: their tests, and those that are made of codes.
    Fsst {
        block: Arc<FsstBlock>,
        table: Arc<SymbolTable>,
        tests: Vec<StringTest>,
        /// Equal, or not equal, to these codes.
        codes: Vec<(Vec<u16>, bool)>,
        scratch: Vec<u8>,
    },
    Null {
        column: BlockColumn,
        null: bool,
    },
    Columns {
        left: BlockColumn,
        op: Compare,
        right: BlockColumn,
        ty: SqlType,
    },
    All(Conjunction),
    Any(Vec<Node>),
}

pub(super) struct Conjunction {
    parts: Vec<Part>,
    /// Vectors seen so far.
    vectors: u32,
}

struct Part {
    node: Node,
    seen: u32,
    passed: u32,
}

/// Vectors whose rows show how selective each part is.
const PROBES: u32 = 2;

impl Node {
    /// Decides what it can from zone maps.
    pub fn new(condition: Condition, source: &dyn Source) -> Node {
        match condition.decide(&|column| source.known(column)) {
            Some(true) => return Node::Pass,
            Some(false) => return Node::Fail,
            None => {}
        }
        match condition {
            Condition::All(parts) => {
                let parts: Vec<Node> = parts
                    .into_iter()
                    .map(|part| Node::new(part, source))
                    .filter(|node| !matches!(node, Node::Pass))
                    .collect();
                Node::all(parts)
            }
            Condition::Any(parts) => Node::Any(
                parts
                    .into_iter()
                    .map(|part| Node::new(part, source))
                    .filter(|node| !matches!(node, Node::Fail))
                    .collect(),
            ),
            leaf => Node::Open(leaf),
        }
    }

    fn all(mut parts: Vec<Node>) -> Node {
        match parts.len() {
            0 => Node::Pass,
            1 => parts.remove(0),
            _ => Node::All(Conjunction {
                parts: parts.into_iter().map(|node| Part { node, seen: 0, passed: 0 }).collect(),
                vectors: 0,
            }),
        }
    }

    /// Loads the columns of an open node.
    fn bind(&mut self, source: &dyn Source) -> Result<(), StoreError> {
        let Node::Open(condition) = self else { return Ok(()) };
        *self = match condition {
            Condition::Pass => Node::Pass,
            Condition::Fail => Node::Fail,
            Condition::Numbers { column, set } => match source.load(*column)? {
                BlockColumn::Null => Node::Fail,
                BlockColumn::Ints(block) => {
                    let test = block.bind(set);
                    if test.is_never() { Node::Fail } else { Node::Ints { block, test } }
                }
                column => Node::Numbers { column, set: set.clone() },
            },
            Condition::Keys { column, keys } => match source.load(*column)? {
                BlockColumn::Null => Node::Fail,
                BlockColumn::Ints(block) => Node::Keys { block, keys: keys.clone() },
                // Invariant: a column whose physical form is I64 is stored so.
                _ => {
                    return Err(StoreError::internal(format_args!(
                        "column {column} is not stored as integers"
                    )));
                }
            },
            Condition::Strings { column, tests } => match source.load(*column)? {
                BlockColumn::Null => Node::Fail,
                BlockColumn::Codes(block, dictionary) => {
                    let test = block.bind(&dictionary.passing(tests));
                    if test.is_never() { Node::Fail } else { Node::Ints { block, test } }
                }
                BlockColumn::Fsst(block, table) => Node::fsst(block, table, tests),
                column => Node::Strings { column, tests: tests.clone() },
            },
            Condition::Null { column, null } => Node::Null { column: source.load(*column)?, null: *null },
            Condition::Columns { left, op, right } => Node::Columns {
                ty: source.ty(*left)?,
                left: source.load(*left)?,
                op: *op,
                right: source.load(*right)?,
            },
            // Invariant: these are never left open.
            Condition::All(_) | Condition::Any(_) => {
                return Err(StoreError::internal("a compound condition was left open"));
            }
        };
        Ok(())
    }

    fn fsst(block: Arc<FsstBlock>, table: Arc<SymbolTable>, all: &[StringTest]) -> Node {
        let (mut tests, mut codes) = (Vec::new(), Vec::new());
        for test in all {
            match test {
                StringTest::Compare(op @ (Compare::Eq | Compare::NotEq), constant) => {
                    codes.push((table.codes(constant), *op == Compare::Eq));
                }
                test => tests.push(test.clone()),
            }
        }
        Node::Fsst { block, table, tests, codes, scratch: Vec::new() }
    }

    fn effort(&self) -> u32 {
        match self {
            Node::Pass | Node::Fail | Node::Null { .. } => 1,
            Node::Ints { block, .. } => 1 + block.cost(),
            Node::Keys { block, .. } => 3 + block.cost(),
            Node::Open(_) => 4,
            Node::Numbers { .. } => 8,
            Node::Columns { .. } => 12,
            Node::Strings { .. } => 60,
            Node::Fsst { tests, .. } if tests.is_empty() => 12,
            Node::Fsst { .. } => 90,
            Node::All(conjunction) => conjunction.parts.iter().map(|part| part.node.effort()).sum(),
            Node::Any(parts) => parts.iter().map(Node::effort).sum(),
        }
    }

    /// Keeps of `selected`, rows of a vector, those that pass.
    pub fn apply(
        &mut self,
        vector: usize,
        selected: &mut Bits,
        source: &dyn Source,
    ) -> Result<(), StoreError> {
        if bits::is_empty(selected) {
            return Ok(());
        }
        self.bind(source)?;
        match self {
            Node::Pass | Node::Open(_) => {}
            Node::Fail => *selected = bits::NONE,
            Node::Ints { block, test } => block.filter(vector, test, selected),
            Node::Keys { block, keys } => block.filter_keys(vector, keys, selected),
            Node::Numbers { column, set } => {
                if let BlockColumn::Fixed(block) = column {
                    block.filter(vector, set, selected);
                }
            }
            Node::Strings { column, tests } => {
                if let BlockColumn::Strings(block) = column {
                    block.filter(vector, |value| all_pass(tests, value), selected);
                }
            }
            Node::Fsst { block, table, tests, codes, scratch } => {
                for (codes, equal) in codes.iter() {
                    block.filter_equal(vector, codes, *equal, selected);
                }
                if !tests.is_empty() {
                    block.filter(vector, table, scratch, |value| all_pass(tests, value), selected);
                }
            }
            Node::Null { column, null } => {
                let mut valid = *selected;
                column.keep_valid(vector, &mut valid);
                if *null {
                    bits::and_not(selected, &valid);
                } else {
                    *selected = valid;
                }
            }
            Node::Columns { left, op, right, ty } => compare(vector, left, *op, right, *ty, selected),
            Node::All(conjunction) => conjunction.apply(vector, selected, source)?,
            Node::Any(parts) => {
                let mut passed = bits::NONE;
                for part in parts {
                    let mut rest = *selected;
                    bits::and_not(&mut rest, &passed);
                    part.apply(vector, &mut rest, source)?;
                    bits::or(&mut passed, &rest);
                }
                *selected = passed;
            }
        }
        Ok(())
    }
}

impl Conjunction {
    fn apply(&mut self, vector: usize, selected: &mut Bits, source: &dyn Source) -> Result<(), StoreError> {
        if self.vectors >= PROBES {
            for part in &mut self.parts {
                part.node.apply(vector, selected, source)?;
                if bits::is_empty(selected) {
                    break;
                }
            }
            return Ok(());
        }
        // Each part sees all rows, so that the counts compare.
        let before = *selected;
        for part in &mut self.parts {
            if bits::is_empty(selected) {
                break;
            }
            let mut alone = before;
            part.node.apply(vector, &mut alone, source)?;
            part.seen += bits::count(&before) as u32;
            part.passed += bits::count(&alone) as u32;
            bits::and(selected, &alone);
        }
        self.vectors += 1;
        if self.vectors == PROBES {
            self.parts.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
        }
        Ok(())
    }
}

impl Part {
    /// Effort for each row dropped; the least goes first.
    fn rank(&self) -> f64 {
        if self.seen == 0 {
            // Never reached: the parts before it dropped all.
            return f64::INFINITY;
        }
        let dropped = f64::from(self.seen - self.passed) / f64::from(self.seen);
        f64::from(self.node.effort()) / dropped.max(1e-6)
    }
}

fn compare(
    vector: usize,
    left: &BlockColumn,
    op: Compare,
    right: &BlockColumn,
    ty: SqlType,
    selected: &mut Bits,
) {
    left.keep_valid(vector, selected);
    right.keep_valid(vector, selected);
    if bits::is_empty(selected) {
        return;
    }
    if let (BlockColumn::Ints(left), BlockColumn::Ints(right)) = (left, right) {
        let (mut a, mut b) = (Vec::with_capacity(VECTOR), Vec::with_capacity(VECTOR));
        left.vector(vector, &mut a);
        right.vector(vector, &mut b);
        keep_compared(&a, op, &b, false, selected);
        return;
    }
    let start = vector * VECTOR;
    match ty.physical() {
        Physical::Bytes => {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            bits::retain(selected, |row| {
                op.holds(left.string(start + row, &mut a).cmp(right.string(start + row, &mut b)))
            });
        }
        physical => {
            let (low, high) = float_bounds();
            let floats = matches!(physical, Physical::F32 | Physical::F64);
            let nan = |key: i128| floats && !(i128::from(low)..=i128::from(high)).contains(&key);
            bits::retain(selected, |row| {
                let (a, b) = (left.number(start + row), right.number(start + row));
                !nan(a) && !nan(b) && op.holds(a.cmp(&b))
            });
        }
    }
}
