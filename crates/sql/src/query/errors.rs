//! Errors of binding, in MySQL's words, and DataFusion's brought to them.

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use types::{ErrorKind, SqlError};

/// Where an expression stands; named in "Unknown column 'x' in '...'".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    FieldList,
    From,
    Where,
    On,
    Group,
    Having,
    Order,
    TableFunction,
}

impl Clause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Clause::FieldList => "field list",
            Clause::From => "from clause",
            Clause::Where => "where clause",
            Clause::On => "on clause",
            Clause::Group => "group statement",
            Clause::Having => "having clause",
            Clause::Order => "order clause",
            Clause::TableFunction => "a table function argument",
        }
    }
}

/// 1054, with the nearest of the names there are.
pub(super) fn unknown_column<'a>(
    name: &str,
    clause: Clause,
    candidates: impl Iterator<Item = &'a str>,
) -> SqlError {
    let mut message = format!("Unknown column '{name}' in '{}'", clause.name());
    let bare = name.rsplit('.').next().unwrap_or(name);
    if let Some(near) = nearest(bare, candidates) {
        message.push_str(&format!("; did you mean '{near}'?"));
    }
    SqlError::new(ErrorKind::UnknownColumn, message)
}

pub(super) fn ambiguous_column(name: &str, clause: Clause) -> SqlError {
    SqlError::new(ErrorKind::AmbiguousColumn, format!("Column '{name}' in {} is ambiguous", clause.name()))
}

pub(super) fn invalid_group_function() -> SqlError {
    SqlError::new(ErrorKind::InvalidGroupFunction, "Invalid use of group function")
}

pub(super) fn wrong_columns(wanted: usize) -> SqlError {
    SqlError::new(
        ErrorKind::WrongColumnsInSubquery,
        format!("Operand should contain {wanted} column{}", if wanted == 1 { "(s)" } else { "s" }),
    )
}

/// The candidate that a slip of the fingers may have turned into `name`.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let most = match wanted.len() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    candidates
        .map(|candidate| {
            (distance(&wanted, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and exchanges of neighbours between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j - 1] + same).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// An error of DataFusion, in planning or at run time, as MySQL would say it: one of ours that
/// travelled through it comes out whole, known ones get their number, others a clean sentence.
pub fn execution_error(error: DataFusionError) -> SqlError {
    match error.find_root() {
        DataFusionError::External(inner) => {
            if let Some(ours) = inner.downcast_ref::<SqlError>() {
                return ours.clone();
            }
            SqlError::internal(inner)
        }
        DataFusionError::ArrowError(inner, _) => arrow_error(inner),
        DataFusionError::ResourcesExhausted(detail) => SqlError::new(
            ErrorKind::OutOfMemory,
            format!("The query needs more memory than it may take: {}", first_sentence(detail)),
        ),
        DataFusionError::NotImplemented(detail)
            if detail.contains("Physical plan does not support logical expression") =>
        {
            SqlError::unsupported("this form of correlated subquery")
        }
        DataFusionError::NotImplemented(detail) => SqlError::unsupported(first_sentence(detail)),
        DataFusionError::Plan(detail) => plan_error(detail),
        DataFusionError::Execution(detail) if detail.contains("more than one row") => {
            SqlError::new(ErrorKind::SubqueryMoreThanOneRow, "Subquery returns more than 1 row")
        }
        DataFusionError::Execution(detail) => SqlError::internal(first_sentence(detail)),
        DataFusionError::SchemaError(..) => {
            SqlError::internal("The query refers to a column that its plan does not have")
        }
        other => SqlError::internal(first_sentence(&other.strip_backtrace())),
    }
}

fn plan_error(detail: &str) -> SqlError {
    if detail.contains("must be aggregated to return at most one row")
        || detail.contains("Accessing outer reference columns")
        || detail.contains("orrelated")
        || detail.contains("subquery can only be used in")
    {
        return SqlError::unsupported("this form of correlated subquery");
    }
    if detail.contains("Physical plan does not support logical expression") {
        return SqlError::unsupported("a subquery in this place");
    }
    SqlError::internal(first_sentence(detail))
}

fn arrow_error(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<SqlError>() {
            Some(ours) => ours.clone(),
            None => match inner.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(ours)) if ours.is::<SqlError>() => {
                    // Invariant: just tested.
                    ours.downcast_ref::<SqlError>().cloned().unwrap_or_else(|| SqlError::internal(inner))
                }
                _ => SqlError::internal(inner),
            },
        },
        ArrowError::ArithmeticOverflow(_) => {
            SqlError::new(ErrorKind::NumericOverflow, "A value is out of range in the query")
        }
        ArrowError::DivideByZero => SqlError::new(ErrorKind::DivisionByZero, "Division by 0"),
        ArrowError::CastError(detail) | ArrowError::ComputeError(detail) => {
            SqlError::internal(first_sentence(detail))
        }
        other => SqlError::internal(first_sentence(&other.to_string())),
    }
}

/// The first line, without the name of DataFusion's kind of error.
fn first_sentence(detail: &str) -> String {
    let line = detail.lines().next().unwrap_or_default();
    let known = [
        "Internal error: ",
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "Optimizer rule '",
    ];
    let mut line = line;
    while let Some(rest) = known.iter().find_map(|prefix| line.strip_prefix(prefix)) {
        line = rest;
    }
    line.trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let names = ["id", "name", "l_extendedprice", "price"];
        let near = |name| nearest(name, names.into_iter());
        assert_eq!(near("nmae"), Some("name"));
        assert_eq!(near("L_EXTENDEDPRISE"), Some("l_extendedprice"));
        assert_eq!(near("prices"), Some("price"));
        assert_eq!(near("zzz"), None);
        assert_eq!(near("ix"), Some("id"));
    }

    #[test]
    fn errors_come_out_whole() {
        let ours = SqlError::new(ErrorKind::NumericOverflow, "BIGINT value is out of range in '(1 + 1)'");
        let wrapped = DataFusionError::External(Box::new(ours.clone())).context("in some operator");
        assert_eq!(execution_error(wrapped), ours);
        let error = execution_error(DataFusionError::Execution("x failed.\n\nbacktrace: .. ".into()));
        assert_eq!(error.message, "x failed");
    }
}
