//! Savepoints of a transaction: names for moments between its statements.
//!
//! A savepoint is the number of the last statement before it. Going back to it takes back every
//! statement with a greater number; locks that those took stay, as in InnoDB.

use super::State;
use super::transactions::whole_transaction_lost;
use types::{ErrorKind, Result, SqlError, StatementNo};

/// Oldest first; names are compared without case.
#[derive(Debug, Default)]
pub(crate) struct Savepoints(Vec<(String, StatementNo)>);

impl Savepoints {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a savepoint; an older one of the same name goes.
    pub(crate) fn set(&mut self, name: &str, after: StatementNo) {
        self.0.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.0.push((name.to_string(), after));
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// Forgets the savepoints after this one. The statement that it stands after; None: unknown.
    pub(crate) fn go_back(&mut self, name: &str) -> Option<StatementNo> {
        let place = self.place(name)?;
        self.0.truncate(place + 1);
        Some(self.0[place].1)
    }

    /// Forgets this savepoint and those after it. False: unknown.
    pub(crate) fn release(&mut self, name: &str) -> bool {
        let place = self.place(name);
        if let Some(place) = place {
            self.0.truncate(place);
        }
        place.is_some()
    }
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(ErrorKind::FunctionDoesNotExist, format!("SAVEPOINT {name} does not exist"))
}

impl State {
    /// Outside of a transaction, with autocommit on, a savepoint ends with its own statement.
    pub(crate) fn set_savepoint(&mut self, name: &str) {
        self.open_for_reading();
        if let Some(txn) = &mut self.transaction {
            let after = txn.statement();
            txn.savepoints.set(name, after);
        }
    }

    pub(crate) async fn roll_back_to(&mut self, name: &str) -> Result<()> {
        let Some(txn) = &mut self.transaction else { return Err(unknown(name)) };
        let after = txn.savepoints.go_back(name).ok_or_else(|| unknown(name))?;
        let first = StatementNo(after.0 + 1);
        let (id, partitions) = (txn.id, txn.touched_since(first));
        if partitions.is_empty() {
            return Ok(());
        }
        let Err(error) = self.rollback_statement(id, first, &partitions).await else { return Ok(()) };
        // A part of it may be taken back and another not: all of it goes.
        self.rollback().await;
        Err(whole_transaction_lost(&error))
    }

    pub(crate) fn release_savepoint(&mut self, name: &str) -> Result<()> {
        let released = self.transaction.as_mut().is_some_and(|txn| txn.savepoints.release(name));
        if released { Ok(()) } else { Err(unknown(name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_its_newest_moment_and_going_back_forgets_later_ones() {
        let mut savepoints = Savepoints::default();
        savepoints.set("a", StatementNo(1));
        savepoints.set("b", StatementNo(2));
        savepoints.set("A", StatementNo(3));
        assert_eq!(savepoints.go_back("b"), Some(StatementNo(2)));
        assert_eq!(savepoints.go_back("a"), None, "it was set again after b");
        savepoints.set("c", StatementNo(4));
        assert_eq!(savepoints.go_back("C"), Some(StatementNo(4)));
        assert_eq!(savepoints.go_back("c"), Some(StatementNo(4)), "it stays");
        assert!(savepoints.release("b"));
        assert!(!savepoints.release("c"), "releasing one forgets those after it");
    }
}
