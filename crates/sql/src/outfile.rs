//! Rows as text in MySQL's field and line format, as SELECT .. INTO OUTFILE writes them: the other way
//! of [`crate::load`], which reads what this writes.
//!
//! NULL is `\N`, or `NULL` where there is no escape character. Within a value the escape character
//! stands before itself, zero bytes (as `\0`), and what would end the field or line: the enclosing
//! character if the field is enclosed, else the first byte of the field's end, and the first of the
//! line's. Without an escape character values are written as they are, as MySQL does, so that such a file
//! can only be read back if no value holds one of these.

use crate::statement::LoadFormat;

/// Appends lines to a buffer.
#[derive(Debug, Clone)]
pub struct LineWriter {
    format: LoadFormat,
    /// Whether the fields of each column are enclosed.
    enclosed: Vec<bool>,
}

impl LineWriter {
    /// `is_number`: for each column, whether OPTIONALLY ENCLOSED leaves it alone.
    pub fn new(format: LoadFormat, is_number: impl IntoIterator<Item = bool>) -> LineWriter {
        let encloses = |number: bool| format.enclosed.is_some() && !(format.optionally_enclosed && number);
        LineWriter { enclosed: is_number.into_iter().map(encloses).collect(), format }
    }

    /// A row: its fields by column, None for NULL.
    pub fn line<'a>(&self, fields: impl IntoIterator<Item = Option<&'a [u8]>>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.format.lines_starting);
        for (at, (field, enclosed)) in fields.into_iter().zip(&self.enclosed).enumerate() {
            if at > 0 {
                out.extend_from_slice(&self.format.fields_terminated);
            }
            match (field, self.format.escaped) {
                (Some(value), _) => self.value(value, *enclosed, out),
                (None, Some(escape)) => out.extend_from_slice(&[escape, b'N']),
                (None, None) => out.extend_from_slice(b"NULL"),
            }
        }
        out.extend_from_slice(&self.format.lines_terminated);
    }

    fn value(&self, value: &[u8], enclosed: bool, out: &mut Vec<u8>) {
        let around = self.format.enclosed.filter(|_| enclosed);
        out.extend(around);
        match self.format.escaped {
            None => out.extend_from_slice(value),
            Some(escape) => {
                let ends_field = around.or(self.format.fields_terminated.first().copied());
                let ends_line = self.format.lines_terminated.first().copied();
                for &byte in value {
                    let is_special =
                        byte == escape || byte == 0 || Some(byte) == ends_field || Some(byte) == ends_line;
                    if is_special {
                        out.push(escape);
                    }
                    out.push(if byte == 0 { b'0' } else { byte });
                }
            }
        }
        out.extend(around);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_one;
    use crate::statement::{FileFormat, Statement};

    fn format(clauses: &str) -> LoadFormat {
        let text = format!("SELECT 1 INTO OUTFILE 'f' {clauses} FROM t");
        match parse_one(&text).unwrap().statement {
            Statement::SelectInto(into) => match into.format {
                FileFormat::Text(format) => format,
                FileFormat::Parquet => panic!("no text"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn written(clauses: &str, fields: &[Option<&str>]) -> String {
        // The first column is a number.
        let writer = LineWriter::new(format(clauses), (0..fields.len()).map(|at| at == 0));
        let mut out = Vec::new();
        writer.line(fields.iter().map(|field| field.map(str::as_bytes)), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_written_as_mysql_writes_them() {
        let fields = [Some("1"), Some("a\tb\\c\nd\0"), None, Some("x,\"y\"")];
        assert_eq!(written("", &fields), "1\ta\\\tb\\\\c\\\nd\\0\t\\N\tx,\"y\"\n");
        assert_eq!(
            written("FIELDS TERMINATED BY ',' ENCLOSED BY '\"' LINES TERMINATED BY '\\r\\n'", &fields),
            "\"1\",\"a\tb\\\\c\nd\\0\",\\N,\"x,\\\"y\\\"\"\r\n"
        );
        assert_eq!(
            written("FIELDS TERMINATED BY ';' OPTIONALLY ENCLOSED BY '\"' LINES STARTING BY '>'", &fields),
            ">1;\"a\tb\\\\c\\\nd\\0\";\\N;\"x,\\\"y\\\"\"\n"
        );
        assert_eq!(
            written("FIELDS TERMINATED BY '|' ESCAPED BY ''", &fields),
            "1|a\tb\\c\nd\0|NULL|x,\"y\"\n"
        );
    }
}
