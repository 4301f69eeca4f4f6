//! The TPC-H workload: the tables, the 22 queries with their validation parameters, the answers, and
//! the rows. The demo and the benchmark share it, so both speak of the same data.
//!
//! The rows come from the `tpchgen` crate. The answers were computed once by another engine on the
//! same rows; `make_fixtures.py` beside this crate does it again.

pub mod answers;
pub mod rows;

/// The `CREATE TABLE` statements, separated by semicolons.
pub const SCHEMA: &str = include_str!("../schema.sql");

/// One of the 22 queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// 1 to 22.
    pub number: u8,
    pub sql: &'static str,
    /// The result columns that its ORDER BY names, by position. Rows that agree in all of them may
    /// come in any order.
    pub order_by: &'static [usize],
}

macro_rules! query {
    ($number:literal, $file:literal, $order_by:expr) => {
        Query {
            number: $number,
            sql: include_str!(concat!("../queries/", $file, ".sql")),
            order_by: &$order_by,
        }
    };
}

/// The queries, in order.
pub const QUERIES: [Query; 22] = [
    query!(1, "q01", [0, 1]),
    query!(2, "q02", [0, 2, 1, 3]),
    query!(3, "q03", [1, 2]),
    query!(4, "q04", [0]),
    query!(5, "q05", [1]),
    query!(6, "q06", []),
    query!(7, "q07", [0, 1, 2]),
    query!(8, "q08", [0]),
    query!(9, "q09", [0, 1]),
    query!(10, "q10", [2]),
    query!(11, "q11", [1]),
    query!(12, "q12", [0]),
    query!(13, "q13", [1, 0]),
    query!(14, "q14", []),
    query!(15, "q15", [0]),
    query!(16, "q16", [3, 0, 1, 2]),
    query!(17, "q17", []),
    query!(18, "q18", [4, 3]),
    query!(19, "q19", []),
    query!(20, "q20", [0]),
    query!(21, "q21", [1, 0]),
    query!(22, "q22", [0]),
];

/// The statements of [`SCHEMA`], without comments and semicolons.
pub fn schema_statements() -> Vec<String> {
    let code: Vec<&str> = SCHEMA.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n").split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_numbered_and_not_empty() {
        for (index, query) in QUERIES.iter().enumerate() {
            assert_eq!(usize::from(query.number), index + 1);
            assert!(query.sql.contains("select"), "query {}", query.number);
        }
    }

    #[test]
    fn every_table_has_its_statement() {
        let statements = schema_statements();
        assert_eq!(statements.len(), rows::Table::ALL.len());
        for table in rows::Table::ALL {
            let head = format!("CREATE TABLE {} (", table.name());
            assert!(statements.iter().any(|s| s.starts_with(&head)), "{head}");
        }
    }
}
