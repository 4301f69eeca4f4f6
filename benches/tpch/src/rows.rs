//! The rows of the eight tables as text: one line a row, columns separated by `|`, no quotes, dates as
//! `1998-12-01`. No value holds a `|`, a quote, a backslash or a line break, so no escaping is needed.
//!
//! A table can be made in parts: part i of n holds a range of its keys, and the parts one after the
//! other are the table.

use std::fmt::Display;
use std::io::{self, Write};

use tpchgen::dates::TPCHDate;
use tpchgen::decimal::TPCHDecimal;
use tpchgen::generators::{
    Customer, CustomerGenerator, LineItem, LineItemGenerator, Nation, NationGenerator, Order, OrderGenerator,
    Part, PartGenerator, PartSupp, PartSuppGenerator, Region, RegionGenerator, Supplier, SupplierGenerator,
};

/// How many bytes of text are gathered before they are handed on.
const CHUNK: usize = 256 << 10;

/// A table, in the order in which they are loaded: the small ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Region,
    Nation,
    Supplier,
    Customer,
    Part,
    PartSupp,
    Orders,
    LineItem,
}

impl Table {
    pub const ALL: [Table; 8] = [
        Table::Region,
        Table::Nation,
        Table::Supplier,
        Table::Customer,
        Table::Part,
        Table::PartSupp,
        Table::Orders,
        Table::LineItem,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Table::Region => "region",
            Table::Nation => "nation",
            Table::Supplier => "supplier",
            Table::Customer => "customer",
            Table::Part => "part",
            Table::PartSupp => "partsupp",
            Table::Orders => "orders",
            Table::LineItem => "lineitem",
        }
    }

    /// False for the two tables that have the same few rows at every scale.
    pub fn grows(self) -> bool {
        !matches!(self, Table::Region | Table::Nation)
    }

    /// Writes part `part` of `parts` (counted from 1) at scale `scale`. `progress` is called with the
    /// rows and bytes of each chunk after it was written. Tables that do not grow are wholly in part 1.
    pub fn write(
        self,
        scale: f64,
        (part, parts): (i32, i32),
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<()> {
        match self {
            Table::Region | Table::Nation if part > 1 => Ok(()),
            Table::Region => write_rows(RegionGenerator::default().iter(), out, progress),
            Table::Nation => write_rows(NationGenerator::default().iter(), out, progress),
            Table::Supplier => write_rows(SupplierGenerator::new(scale, part, parts).iter(), out, progress),
            Table::Customer => write_rows(CustomerGenerator::new(scale, part, parts).iter(), out, progress),
            Table::Part => write_rows(PartGenerator::new(scale, part, parts).iter(), out, progress),
            Table::PartSupp => write_rows(PartSuppGenerator::new(scale, part, parts).iter(), out, progress),
            Table::Orders => write_rows(OrderGenerator::new(scale, part, parts).iter(), out, progress),
            Table::LineItem => write_rows(LineItemGenerator::new(scale, part, parts).iter(), out, progress),
        }
    }
}

fn write_rows<R: Line>(
    rows: impl Iterator<Item = R>,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<()> {
    let mut text = Vec::with_capacity(CHUNK + 1024);
    let mut count = 0;
    for row in rows {
        row.append(&mut text);
        // Every column was followed by a bar. The last one becomes the line's end.
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
        count += 1;
        if text.len() >= CHUNK {
            out.write_all(&text)?;
            progress(count, text.len() as u64);
            text.clear();
            count = 0;
        }
    }
    out.write_all(&text)?;
    progress(count, text.len() as u64);
    Ok(())
}

/// A row that appends its columns, each followed by a bar.
trait Line {
    fn append(&self, text: &mut Vec<u8>);
}

/// The generator's own text form, for the tables with few rows.
macro_rules! by_display {
    ($($row:ty),*) => {$(
        impl Line for $row {
            fn append(&self, text: &mut Vec<u8>) {
                append_display(text, self);
            }
        }
    )*};
}

by_display!(Region<'_>, Nation<'_>, Supplier, Customer<'_>, Part<'_>);

impl Line for PartSupp<'_> {
    fn append(&self, text: &mut Vec<u8>) {
        append_number(text, self.ps_partkey);
        append_number(text, self.ps_suppkey);
        append_number(text, self.ps_availqty.into());
        append_decimal(text, self.ps_supplycost);
        append_text(text, self.ps_comment);
    }
}

impl Line for Order<'_> {
    fn append(&self, text: &mut Vec<u8>) {
        append_number(text, self.o_orderkey);
        append_number(text, self.o_custkey);
        append_display(text, &self.o_orderstatus);
        text.push(b'|');
        append_decimal(text, self.o_totalprice);
        append_date(text, self.o_orderdate);
        append_text(text, self.o_orderpriority);
        append_display(text, &self.o_clerk);
        text.push(b'|');
        append_number(text, self.o_shippriority.into());
        append_text(text, self.o_comment);
    }
}

impl Line for LineItem<'_> {
    fn append(&self, text: &mut Vec<u8>) {
        append_number(text, self.l_orderkey);
        append_number(text, self.l_partkey);
        append_number(text, self.l_suppkey);
        append_number(text, self.l_linenumber.into());
        append_number(text, self.l_quantity);
        append_decimal(text, self.l_extendedprice);
        append_decimal(text, self.l_discount);
        append_decimal(text, self.l_tax);
        append_text(text, self.l_returnflag);
        append_text(text, self.l_linestatus);
        append_date(text, self.l_shipdate);
        append_date(text, self.l_commitdate);
        append_date(text, self.l_receiptdate);
        append_text(text, self.l_shipinstruct);
        append_text(text, self.l_shipmode);
        append_text(text, self.l_comment);
    }
}

fn append_display(text: &mut Vec<u8>, value: &dyn Display) {
    // Invariant: writing to a Vec does not fail.
    write!(text, "{value}").expect("a Vec takes all bytes");
}

fn append_text(text: &mut Vec<u8>, value: &str) {
    text.extend_from_slice(value.as_bytes());
    text.push(b'|');
}

fn append_number(text: &mut Vec<u8>, value: i64) {
    append_digits(text, value, 1);
    text.push(b'|');
}

/// Two places after the point.
fn append_decimal(text: &mut Vec<u8>, value: TPCHDecimal) {
    append_digits(text, value.into_inner(), 3);
    let places = text.len() - 2;
    text.insert(places, b'.');
    text.push(b'|');
}

fn append_date(text: &mut Vec<u8>, value: TPCHDate) {
    append_display(text, &value);
    text.push(b'|');
}

/// A sign if needed and at least `least` digits.
fn append_digits(text: &mut Vec<u8>, value: i64, least: usize) {
    if value < 0 {
        text.push(b'-');
    }
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    while rest > 0 || digits.len() - start < least {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(table: Table, parts: i32) -> (String, u64) {
        let mut out = Vec::new();
        let mut rows = 0;
        for part in 1..=parts {
            table.write(0.001, (part, parts), &mut out, &mut |r, _| rows += r).unwrap();
        }
        (String::from_utf8(out).unwrap(), rows)
    }

    #[test]
    fn columns_are_separated_and_the_last_has_no_bar() {
        let (lines, _) = text(Table::LineItem, 1);
        let first = lines.lines().next().unwrap();
        assert_eq!(first.split('|').count(), 16, "{first}");
        assert!(first.starts_with("1|"), "{first}");
        assert!(!lines.contains("|\n"));
        let (lines, rows) = text(Table::Region, 1);
        assert_eq!((lines.lines().count(), rows), (5, 5));
    }

    #[test]
    fn the_parts_together_are_the_table() {
        for table in [Table::Nation, Table::Customer, Table::Orders, Table::LineItem] {
            let (whole, rows) = text(table, 1);
            assert_eq!(text(table, 3), (whole.clone(), rows), "{}", table.name());
            assert_eq!(whole.lines().count() as u64, rows);
        }
    }

    /// The lines are the generator's own text form without the last bar.
    fn check<R: Line + Display>(rows: impl Iterator<Item = R>) {
        for row in rows {
            let mut line = Vec::new();
            row.append(&mut line);
            assert_eq!(String::from_utf8(line).unwrap(), row.to_string());
        }
    }

    #[test]
    fn lines_are_those_of_the_generator() {
        check(PartSuppGenerator::new(0.001, 1, 1).iter());
        check(OrderGenerator::new(0.001, 1, 1).iter());
        check(LineItemGenerator::new(0.001, 1, 1).iter());
    }

    #[test]
    fn decimals_have_two_places() {
        for (value, expected) in [(0, "0.00|"), (7, "0.07|"), (-7, "-0.07|"), (-123456, "-1234.56|")] {
            let mut text = Vec::new();
            append_decimal(&mut text, TPCHDecimal(value));
            assert_eq!(text, expected.as_bytes());
        }
    }

    #[test]
    fn no_value_needs_escaping() {
        for table in Table::ALL {
            let (lines, _) = text(table, 1);
            assert!(!lines.contains(['\\', '\'', '"', '\r']), "{}", table.name());
        }
    }
}
